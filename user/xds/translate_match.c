/* SPDX-License-Identifier: Apache-2.0 */
/* Matchers of strings, headers and query parameters. */
#include "xds/translate.h"

int tr_string(struct translate *t, const PB_MATCHER(StringMatcher) * m, struct mesh_string *ret_s)
{
	struct mesh_string s = { .ignore_case = m->ignore_case };

	switch (m->match_pattern_case) {
	case K_MATCHER(STRING_MATCHER__MATCH_PATTERN_EXACT):
		s.kind = MESH_STRING_EXACT;
		s.text = tr_str(t, m->exact);
		break;
	case K_MATCHER(STRING_MATCHER__MATCH_PATTERN_PREFIX):
		s.kind = MESH_STRING_PREFIX;
		s.text = tr_str(t, m->prefix);
		break;
	case K_MATCHER(STRING_MATCHER__MATCH_PATTERN_SUFFIX):
		s.kind = MESH_STRING_SUFFIX;
		s.text = tr_str(t, m->suffix);
		break;
	case K_MATCHER(STRING_MATCHER__MATCH_PATTERN_CONTAINS):
		s.kind = MESH_STRING_CONTAINS;
		s.text = tr_str(t, m->contains);
		break;
	case K_MATCHER(STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX):
		*ret_s = (struct mesh_string){ .kind = MESH_STRING_REGEX };
		return tr_regex(t, "safe_regex", m->safe_regex, &ret_s->regex);
	default:
		return tr_fail(t,
			       "one of exact, prefix, suffix, contains and safe_regex is required");
	}
	if (s.kind != MESH_STRING_EXACT && slice_is_empty(s.text))
		return tr_fail(t, "the text of prefix, suffix and contains may not be empty");
	*ret_s = s;
	return 0;
}

/* The deprecated forms that carry plain text. */
static int header_text(struct translate *t, const char *field, const char *text,
		       enum mesh_string_kind kind, struct mesh_header_match *h)
{
	h->string = (struct mesh_string){ .kind = kind, .text = tr_str(t, text) };
	return kind == MESH_STRING_EXACT ? 0 : tr_nonempty(t, field, text);
}

static int header_spec(struct translate *t, const PB_ROUTE(HeaderMatcher) * m,
		       struct mesh_header_match *h)
{
	switch (m->header_match_specifier_case) {
	case K_ROUTE(HEADER_MATCHER__HEADER_MATCH_SPECIFIER_EXACT_MATCH):
		return header_text(t, "exact_match", m->exact_match, MESH_STRING_EXACT, h);
	case K_ROUTE(HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PREFIX_MATCH):
		return header_text(t, "prefix_match", m->prefix_match, MESH_STRING_PREFIX, h);
	case K_ROUTE(HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SUFFIX_MATCH):
		return header_text(t, "suffix_match", m->suffix_match, MESH_STRING_SUFFIX, h);
	case K_ROUTE(HEADER_MATCHER__HEADER_MATCH_SPECIFIER_CONTAINS_MATCH):
		return header_text(t, "contains_match", m->contains_match, MESH_STRING_CONTAINS, h);
	case K_ROUTE(HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SAFE_REGEX_MATCH):
		h->string.kind = MESH_STRING_REGEX;
		return tr_regex(t, "safe_regex_match", m->safe_regex_match, &h->string.regex);
	case K_ROUTE(HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH):
		TR_IN(t, "string_match", tr_string(t, m->string_match, &h->string));
		return 0;
	case K_ROUTE(HEADER_MATCHER__HEADER_MATCH_SPECIFIER_RANGE_MATCH):
		h->kind = MESH_HEADER_RANGE;
		h->range_start = m->range_match->start;
		h->range_end = m->range_match->end;
		return 0;
	case K_ROUTE(HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH):
		h->kind = MESH_HEADER_PRESENT;
		h->present = m->present_match;
		return 0;
	default: /* nothing said: the header must be there */
		h->kind = MESH_HEADER_PRESENT;
		h->present = true;
		return 0;
	}
}

int tr_header_match(struct translate *t, const PB_ROUTE(HeaderMatcher) * m, bool keep_case,
		    struct mesh_header_match *ret_h)
{
	int rc = tr_nonempty(t, "name", m->name);

	if (rc < 0)
		return rc;
	if (strpbrk(m->name, "\r\n"))
		return tr_fail(t, "name has a line break");
	*ret_h = (struct mesh_header_match){
		.name = keep_case ? tr_str(t, m->name) : tr_lower(t, m->name),
		.kind = MESH_HEADER_STRING,
		.invert = m->invert_match,
		.treat_missing_as_empty = m->treat_missing_header_as_empty,
	};
	return header_spec(t, m, ret_h);
}

int tr_header_matches(struct translate *t, const char *field, PB_ROUTE(HeaderMatcher) * *v,
		      size_t n, bool keep_case, struct mesh_header_match **ret_v, uint32_t *ret_n)
{
	struct mesh_header_match *out = TR_ARRAY(t, struct mesh_header_match, n);

	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, field, i, tr_header_match(t, v[i], keep_case, &out[i]));
	*ret_v = out;
	*ret_n = (uint32_t)n;
	return 0;
}

static int query_match(struct translate *t, const PB_ROUTE(QueryParameterMatcher) * m,
		       struct mesh_query_match *ret_q)
{
	int rc = tr_nonempty(t, "name", m->name);

	if (rc < 0)
		return rc;
	*ret_q = (struct mesh_query_match){ .name = tr_str(t, m->name),
					    .is_present_match = true,
					    .present = true };
	switch (m->query_parameter_match_specifier_case) {
	case K_ROUTE(QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH):
		ret_q->is_present_match = false;
		TR_IN(t, "string_match", tr_string(t, m->string_match, &ret_q->string));
		break;
	case K_ROUTE(QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_PRESENT_MATCH):
		ret_q->present = m->present_match;
		break;
	default: /* nothing said: the parameter must be there */ break;
	}
	return 0;
}

int tr_query_matches(struct translate *t, const char *field, PB_ROUTE(QueryParameterMatcher) * *v,
		     size_t n, struct mesh_query_match **ret_v, uint32_t *ret_n)
{
	struct mesh_query_match *out = TR_ARRAY(t, struct mesh_query_match, n);

	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, field, i, query_match(t, v[i], &out[i]));
	*ret_v = out;
	*ret_n = (uint32_t)n;
	return 0;
}
