/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path templates (envoy.path.match.uri_template), such as "/a/{name}" and "/{rest=**}", as
 * regular expressions, and template rewrites as their substitutions.
 */
#include "base/buf.h"
#include "xds/translate.h"

#define TEMPLATE_NAMES_MAX 5 /* variables of one template, as Envoy's limit */
#define TEMPLATE_NAME_LEN 16
/* What a path segment may hold: unreserved, %-escapes, sub-delims, ':' and '@'. */
#define SEGMENT "[a-zA-Z0-9\\-._~%!$&'()+,;:@=]"
#define ONE_SEGMENT SEGMENT "+"
#define MANY_SEGMENTS "[a-zA-Z0-9\\-._~%!$&'()+,;:@=/]*"

struct template
{
	struct translate *t;
	struct buf out;
	struct slice names[TEMPLATE_NAMES_MAX];
	unsigned int n_names;
	bool many; /* "**" was there: no other glob may follow */
};

static int bad(struct template *p, const char *why)
{
	return tr_fail(p->t, "path template: %s", why);
}

static void add_text(struct buf *out, const char *text)
{
	buf_add(out, text, strlen(text));
}

/*
 * Literal text, escaped for the regular expression. As in Envoy a '*' that does not begin a segment
 * is allowed, and means to the regular expression what it means there.
 */
static int literal(struct template *p, struct slice s)
{
	static const char others[] = "-._~%!$&'()+,;:@=*";

	if (!s.len)
		return bad(p, "an empty segment");
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (!isalnum((unsigned char)c) && !memchr(others, c, sizeof(others) - 1))
			return bad(p, "a character that a literal may not have");
		if (!isalnum((unsigned char)c) && c != '*')
			buf_add_char(&p->out, '\\');
		buf_add_char(&p->out, c);
	}
	return 0;
}

static bool name_is_good(struct slice name)
{
	if (!name.len || name.len > TEMPLATE_NAME_LEN || !isalpha((unsigned char)name.ptr[0]))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!isalnum((unsigned char)name.ptr[i]) && name.ptr[i] != '_')
			return false;
	return true;
}

/* "*" or "**" at the front. Bytes used, 0: there is none, -EINVAL. */
static ssize_t glob(struct template *p, struct slice s)
{
	bool many = slice_has_prefix(s, SLICE("**"));

	if (!s.len || s.ptr[0] != '*')
		return 0;
	if (p->many)
		return bad(p, "no other glob may follow **");
	p->many = many;
	add_text(&p->out, many ? MANY_SEGMENTS : ONE_SEGMENT);
	return many ? 2 : 1;
}

/* One segment of a variable: "*", "**" or a literal. */
static int segment(struct template *p, struct slice s)
{
	ssize_t n = glob(p, s);

	if (n < 0)
		return (int)n;
	if (n && (size_t)n < s.len)
		return bad(p, "a glob of a variable must be a whole segment");
	return n ? 0 : literal(p, s);
}

/* "name" or "name=segments" between braces. */
static int variable(struct template *p, struct slice s)
{
	struct slice name = slice_split(&s, '=');
	bool first = true;
	int rc = 0;

	if (!name_is_good(name))
		return bad(p, "a variable's name has 1 to 16 letters, digits and '_' and begins "
			      "with a letter");
	for (unsigned int i = 0; i < p->n_names; i++)
		if (slice_is_equal(p->names[i], name))
			return bad(p, "a variable is there twice");
	if (p->n_names == TEMPLATE_NAMES_MAX)
		return bad(p, "more than 5 variables");
	p->names[p->n_names++] = name;
	buf_add_char(&p->out, '(');
	if (!s.ptr) {
		rc = segment(p, SLICE("*"));
	} else {
		do {
			if (!first)
				buf_add_char(&p->out, '/');
			first = false;
			rc = segment(p, slice_split(&s, '/'));
		} while (rc == 0 && s.ptr);
	}
	buf_add_char(&p->out, ')');
	return rc;
}

/* A glob or a variable at the front of @s. Bytes used, 0: neither stands there, -EINVAL. */
static ssize_t capture(struct template *p, struct slice s)
{
	ptrdiff_t end = s.len && s.ptr[0] == '{' ? slice_find(s, '}') : -1;
	int rc;

	if (end < 0)
		return glob(p, s);
	rc = variable(p, slice_of(s.ptr + 1, (size_t)end - 1));
	return rc < 0 ? rc : end + 1;
}

/* Bytes of a literal at the front: up to the segment's end or a variable. */
static size_t literal_len(struct slice s)
{
	size_t n = 0;

	while (n < s.len && s.ptr[n] != '/' &&
	       (s.ptr[n] != '{' || slice_find(slice_skip(s, n), '}') < 0))
		n++;
	return n;
}

/* What stands between two '/': a literal, then a glob or a variable, then a literal; each may be
 * missing. Bytes used, or -EINVAL. */
static ssize_t whole_segment(struct template *p, struct slice s)
{
	size_t used = s.len && s.ptr[0] == '*' ? 0 : literal_len(s);
	ssize_t n;

	if (used && literal(p, slice_first(s, used)) < 0)
		return -EINVAL;
	n = used < s.len && s.ptr[used] == '/' ? 0 : capture(p, slice_skip(s, used));
	if (n < 0)
		return n;
	if (!used && !n)
		return bad(p, "an empty segment");
	used += (size_t)n;
	n = (ssize_t)literal_len(slice_skip(s, used));
	if (n && literal(p, slice_first(slice_skip(s, used), (size_t)n)) < 0)
		return -EINVAL;
	used += (size_t)n;
	if (used < s.len && s.ptr[used] != '/')
		return bad(p, "more than one glob or variable in a segment");
	return (ssize_t)used;
}

static int pattern(struct template *p, struct slice s)
{
	if (!s.len || s.ptr[0] != '/')
		return bad(p, "must begin with '/'");
	while (s.len) {
		ssize_t n;

		buf_add_char(&p->out, '/');
		s = slice_skip(s, 1);
		if (!s.len)
			break;
		n = whole_segment(p, s);
		if (n < 0)
			return (int)n;
		s = slice_skip(s, (size_t)n);
	}
	return 0;
}

int tr_template_pattern(struct translate *t, struct slice text, struct slice *ret_pattern)
{
	struct template p = { .t = t };
	int rc = pattern(&p, text);

	if (rc == 0)
		*ret_pattern = arena_slice(t->a, buf_slice(&p.out));
	buf_done(&p.out);
	return rc;
}

/* The number of @name's group in the names of @p; 0: none. */
static unsigned int group_of(const struct template *p, struct slice name)
{
	for (unsigned int i = 0; i < p->n_names; i++)
		if (slice_is_equal(p->names[i], name))
			return i + 1;
	return 0;
}

static int rewrite(struct template *p, struct slice s)
{
	if (!s.len || s.ptr[0] != '/')
		return bad(p, "a rewrite must begin with '/'");
	buf_clear(&p->out);
	while (s.len) {
		ptrdiff_t end = slice_find(s, '}');
		unsigned int group;

		if (s.ptr[0] != '{') {
			if (memchr("}?#\"<>|^`", s.ptr[0], 9))
				return bad(p, "a character that a rewrite may not have");
			if (s.ptr[0] == '\\')
				buf_add_char(&p->out, '\\');
			buf_add_char(&p->out, s.ptr[0]);
			s = slice_skip(s, 1);
			continue;
		}
		group = end < 0 ? 0 : group_of(p, slice_of(s.ptr + 1, (size_t)end - 1));
		if (!group)
			return bad(p, "the rewrite names a variable that the match does not have");
		buf_add_char(&p->out, '\\');
		buf_add_char(&p->out, (char)('0' + group));
		s = slice_skip(s, (size_t)end + 1);
	}
	return 0;
}

int tr_template_rewrite(struct translate *t, struct slice match, struct slice text,
			struct slice *ret_subst)
{
	struct template p = { .t = t };
	int rc = pattern(&p, match);

	if (rc == 0)
		rc = rewrite(&p, text);
	if (rc == 0)
		*ret_subst = arena_slice(t->a, buf_slice(&p.out));
	buf_done(&p.out);
	return rc;
}
