/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCRE2 behind RE2's meaning. Patterns that RE2 refuses (look-around, back references, possessive
 * and recursive constructs) are refused here too: they are what makes matching exponential.
 */
#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <pthread.h>

#include "base/buf.h"

#define RESULT_MAX 65536
#define GROUPS 10	      /* \0 .. \9 */
#define JIT_STACK_FIRST 32768
#define JIT_STACK_MAX (1024 * 1024)

struct regex {
	pcre2_code *whole; /* anchored at both ends */
	pcre2_code *part;
	uint32_t groups;
};

/* What a thread needs to match; PCRE2 wants it apart from the compiled pattern. */
struct scratch {
	pcre2_match_data *data;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static _Thread_local struct scratch *mine;

static void scratch_free(void *p)
{
	struct scratch *s = p;

	mine = NULL;
	pcre2_match_data_free(s->data);
	pcre2_match_context_free(s->context);
	pcre2_jit_stack_free(s->stack);
	free(s);
}

static void scratch_key_make(void)
{
	must(pthread_key_create(&scratch_key, scratch_free) == 0);
}

static struct scratch *scratch_new(void)
{
	struct scratch *s = xcalloc(1, sizeof(*s));

	pthread_once(&once, scratch_key_make);
	s->data = pcre2_match_data_create(GROUPS, NULL);
	s->context = pcre2_match_context_create(NULL);
	s->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
	must(s->data && s->context && s->stack);
	pcre2_set_match_limit(s->context, REGEX_MATCH_LIMIT);
	pcre2_jit_stack_assign(s->context, NULL, s->stack);
	pthread_setspecific(scratch_key, s);
	return s;
}

static struct scratch *scratch_get(void)
{
	if (unlikely(!mine))
		mine = scratch_new();
	return mine;
}

/* After "(?": only what RE2 knows: groups, names and flags. */
static const char *group_reason(struct slice rest)
{
	size_t i = 0;

	if (slice_has_prefix(rest, SLICE("P<")) || slice_has_prefix(rest, SLICE(":")))
		return NULL;
	if (rest.len > 1 && rest.ptr[0] == '<' && rest.ptr[1] != '=' && rest.ptr[1] != '!')
		return NULL;
	while (i < rest.len && strchr("imsU-", rest.ptr[i]))
		i++;
	return i && i < rest.len && (rest.ptr[i] == ')' || rest.ptr[i] == ':') ?
		       NULL :
		       "look-around, recursion and conditions are not supported";
}

/* Does a repetition ("*", "+", "?", "{2,3}") end at @i? */
static bool is_quantifier_end(struct slice p, size_t i)
{
	size_t k = i;

	if (p.ptr[i] != '}')
		return p.ptr[i] == '*' || p.ptr[i] == '+' || p.ptr[i] == '?';
	while (k && ((p.ptr[k - 1] >= '0' && p.ptr[k - 1] <= '9') || p.ptr[k - 1] == ','))
		k--;
	return k && k < i && p.ptr[k - 1] == '{';
}

/* Index behind the class that opens at @i. */
static size_t class_end(struct slice p, size_t i)
{
	i++;
	if (i < p.len && p.ptr[i] == '^')
		i++;
	if (i < p.len && p.ptr[i] == ']')
		i++;
	for (; i < p.len && p.ptr[i] != ']'; i++) {
		if (p.ptr[i] == '\\')
			i++;
		else if (p.ptr[i] == '[' && i + 1 < p.len && p.ptr[i + 1] == ':')
			while (i + 1 < p.len && !(p.ptr[i] == ':' && p.ptr[i + 1] == ']'))
				i += i + 2 < p.len && p.ptr[i] == '[' ? 2 : 1;
	}
	return i + 1;
}

/* Why RE2 would not take the pattern, although PCRE2 would; NULL: it would. */
static const char *re2_reason(struct slice p, size_t *ret_at)
{
	bool after_quantifier = false;

	for (size_t i = 0; i < p.len;) {
		bool quantifier = is_quantifier_end(p, i);
		const char *why = NULL;

		*ret_at = i;
		switch (p.ptr[i]) {
		case '\\':
			if (i + 1 < p.len && strchr("123456789gkKGRXZhHVNe", p.ptr[i + 1]))
				return "back references and this escape are not supported";
			i += 2;
			break;
		case '[':
			i = class_end(p, i);
			break;
		case '(':
			if (i + 1 < p.len && p.ptr[i + 1] == '*')
				return "verbs are not supported";
			if (i + 1 < p.len && p.ptr[i + 1] == '?') {
				why = group_reason(slice_skip(p, i + 2));
				i++;
			}
			i++;
			break;
		default:
			/* "x*?" is lazy, "x*+" and "x**" are nothing that RE2 knows. */
			if (after_quantifier && (p.ptr[i] == '+' || p.ptr[i] == '*'))
				return "bad repetition operator";
			i++;
		}
		if (why)
			return why;
		after_quantifier = quantifier;
	}
	return NULL;
}

static pcre2_code *compile(struct slice p, uint32_t more, struct err *e)
{
	PCRE2_SIZE at = 0;
	int code = 0;
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)p.ptr, p.len,
				       PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
					       PCRE2_NEVER_BACKSLASH_C | more,
				       &code, &at, NULL);

	if (!re) {
		PCRE2_UCHAR why[120] = "";

		pcre2_get_error_message(code, why, sizeof(why));
		err_set(e, -EINVAL, "regex: %s at offset %zu of '%.*s'", (char *)why, (size_t)at,
			SLICE_ARG(p));
		return NULL;
	}
	/* Without JIT (a hardened kernel may forbid it) the interpreter does the same. */
	pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
	return re;
}

int regex_compile(struct slice pattern, struct regex **ret_re, struct err *e)
{
	struct regex *re;
	const char *why;
	size_t at = 0;

	if (!pattern.ptr)
		pattern = SLICE("");
	if (pattern.len > REGEX_PATTERN_MAX)
		return err_set(e, -EINVAL, "regex: %zu bytes are over the limit of %d", pattern.len,
			       REGEX_PATTERN_MAX);
	why = re2_reason(pattern, &at);
	if (why)
		return err_set(e, -EINVAL, "regex: %s at offset %zu of '%.*s'", why, at,
			       SLICE_ARG(pattern));
	re = xcalloc(1, sizeof(*re));
	re->whole = compile(pattern, PCRE2_ANCHORED | PCRE2_ENDANCHORED, e);
	re->part = re->whole ? compile(pattern, 0, e) : NULL;
	if (!re->part) {
		regex_free(re);
		return -EINVAL;
	}
	pcre2_pattern_info(re->part, PCRE2_INFO_CAPTURECOUNT, &re->groups);
	*ret_re = re;
	return 0;
}

void regex_free(struct regex *re)
{
	if (!re)
		return;
	pcre2_code_free(re->whole);
	pcre2_code_free(re->part);
	free(re);
}

/* A limit that was hit and bad UTF-8 count as no match. */
static bool match(const pcre2_code *code, struct slice text, size_t from)
{
	struct scratch *s = scratch_get();

	if (!text.ptr)
		text = SLICE("");
	return pcre2_match(code, (PCRE2_SPTR)text.ptr, text.len, from, 0, s->data, s->context) >= 0;
}

bool regex_is_match(const struct regex *re, struct slice text)
{
	return match(re->whole, text, 0);
}

int regex_check_subst(const struct regex *re, struct slice subst, struct err *e)
{
	for (size_t i = 0; i < subst.len; i++) {
		if (subst.ptr[i] != '\\')
			continue;
		if (++i == subst.len)
			return err_set(e, -EINVAL, "substitution '%.*s' ends in a backslash",
				       SLICE_ARG(subst));
		if (subst.ptr[i] == '\\')
			continue;
		if (subst.ptr[i] < '0' || subst.ptr[i] > '9')
			return err_set(
				e, -EINVAL,
				"substitution '%.*s': a backslash needs a digit or a backslash",
				SLICE_ARG(subst));
		if ((uint32_t)(subst.ptr[i] - '0') > re->groups)
			return err_set(e, -EINVAL,
				       "substitution '%.*s' names group %c, the pattern has %u",
				       SLICE_ARG(subst), subst.ptr[i], re->groups);
	}
	return 0;
}

/* Does @subst name a group that @re does not have? */
static bool names_too_much(const struct regex *re, struct slice subst)
{
	for (size_t i = 0; i + 1 < subst.len; i++) {
		if (subst.ptr[i] != '\\')
			continue;
		i++;
		if (subst.ptr[i] >= '0' && subst.ptr[i] <= '9' &&
		    (uint32_t)(subst.ptr[i] - '0') > re->groups)
			return true;
	}
	return false;
}

/* Appends @subst, up to its first bad escape, with its groups filled in from the last match. */
static void rewrite(struct slice text, struct slice subst, struct buf *out)
{
	const PCRE2_SIZE *v = pcre2_get_ovector_pointer(mine->data);

	for (size_t i = 0; i < subst.len; i++) {
		char c = subst.ptr[i];

		if (c == '\\') {
			c = i + 1 < subst.len ? subst.ptr[++i] : '\0';
			if (c >= '0' && c <= '9') {
				PCRE2_SIZE from = v[2 * (c - '0')], to = v[2 * (c - '0') + 1];

				if (from != PCRE2_UNSET && to > from)
					buf_add(out, text.ptr + from, to - from);
				continue;
			}
			if (c != '\\')
				return;
		}
		buf_add_char(out, c);
	}
}

int regex_substitute(const struct regex *re, struct slice text, struct slice subst, struct buf *out)
{
	size_t limit = buf_len(out) + RESULT_MAX;
	size_t at = 0, last_end = SIZE_MAX;
	bool never = names_too_much(re, subst);

	while (!never && at <= text.len && match(re->part, text, at)) {
		const PCRE2_SIZE *v = pcre2_get_ovector_pointer(mine->data);
		size_t from = v[0], to = v[1];

		if (from < at || to < from)
			break;
		buf_add(out, text.ptr + at, from - at);
		if (from == to && from == last_end) {
			/* An empty match right behind a match is none: one byte further. */
			if (from < text.len)
				buf_add_char(out, text.ptr[from]);
			at = from + 1;
			continue;
		}
		rewrite(text, subst, out);
		at = last_end = to;
		if (buf_len(out) > limit)
			return -E2BIG;
	}
	if (at < text.len)
		buf_add(out, text.ptr + at, text.len - at);
	return buf_len(out) > limit ? -E2BIG : 0;
}
