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
	bool many; /* "**" was there: it must be the end */
};

static int bad(struct template *p, const char *why)
{
	return tr_fail(p->t, "path template: %s", why);
}

static void add_text(struct buf *out, const char *text)
{
	buf_add(out, text, strlen(text));
}

/* Literal text, escaped for the regular expression. */
static void add_literal(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!isalnum((unsigned char)s.ptr[i]) && s.ptr[i] != '/' && s.ptr[i] != '_')
			buf_add_char(out, '\\');
		buf_add_char(out, s.ptr[i]);
	}
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

/* One segment that is not a variable: "*", "**" or a literal. */
static int segment(struct template *p, struct slice s)
{
	if (p->many)
		return bad(p, "** must be the last");
	if (slice_is_equal(s, SLICE("**"))) {
		p->many = true;
		add_text(&p->out, MANY_SEGMENTS);
	} else if (slice_is_equal(s, SLICE("*"))) {
		add_text(&p->out, ONE_SEGMENT);
	} else {
		for (size_t i = 0; i < s.len; i++)
			if (memchr("{}*?#<>\"", s.ptr[i], 8))
				return bad(p, "a character that a literal may not have");
		add_literal(&p->out, s);
	}
	return 0;
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

static int pattern(struct template *p, struct slice s)
{
	int rc = 0;

	if (!s.len || s.ptr[0] != '/')
		return bad(p, "must begin with '/'");
	while (s.len && rc == 0) {
		ptrdiff_t end;

		if (s.ptr[0] == '/') {
			buf_add_char(&p->out, '/');
			s = slice_skip(s, 1);
			if (s.len && s.ptr[0] == '/')
				return bad(p, "an empty segment");
			continue;
		}
		if (s.ptr[0] == '{') {
			end = slice_find(s, '}');
			if (end < 0)
				return bad(p, "'}' is missing");
			rc = p->many ? bad(p, "** must be the last") :
				       variable(p, slice_of(s.ptr + 1, (size_t)end - 1));
			s = slice_skip(s, (size_t)end + 1);
			if (rc == 0 && s.len && s.ptr[0] != '/')
				return bad(p, "a variable must be a whole segment");
			continue;
		}
		end = slice_find(s, '/');
		rc = segment(p, slice_first(s, end < 0 ? s.len : (size_t)end));
		s = end < 0 ? SLICE_NONE : slice_skip(s, (size_t)end);
	}
	return rc;
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
			if (s.ptr[0] == '}' || s.ptr[0] == '*')
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
