/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matchers over strings, headers and query parameters, with Envoy 1.40's answers: each value of a
 * repeated header is tried alone, except of names that are lists (l7/join.h).
 */
#include <ctype.h>

#include "l7/join.h"
#include "route/route.h"

/* A signed decimal number, blanks around it allowed (as absl::SimpleAtoi). */
static bool to_i64(struct slice s, int64_t *ret_v)
{
	bool negative = false;
	uint64_t v;

	while (s.len && isspace((unsigned char)s.ptr[0]))
		s = slice_skip(s, 1);
	while (s.len && isspace((unsigned char)s.ptr[s.len - 1]))
		s.len--;
	if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+')) {
		negative = s.ptr[0] == '-';
		s = slice_skip(s, 1);
	}
	if (slice_to_u64(s, &v) < 0 || v > (uint64_t)INT64_MAX + negative)
		return false;
	*ret_v = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

static bool value_is_match(const struct mesh_header_match *h, struct slice v)
{
	int64_t number;

	switch (h->kind) {
	case MESH_HEADER_STRING:
		return mesh_string_is_match(&h->string, v);
	case MESH_HEADER_RANGE:
		return to_i64(v, &number) && number >= h->range_start && number < h->range_end;
	case MESH_HEADER_PRESENT:
		return true;
	}
	return false;
}

void route_headers_resolve(struct mesh_header_match *h, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		/* What a table has from the version before it is read by workers already. */
		if (h[i].is_resolved)
			continue;
		h[i].key = (uint16_t)l7_key_find(h[i].name);
		h[i].joined_in_request = l7_name_is_joined(h[i].name, true);
		h[i].joined_in_response = l7_name_is_joined(h[i].name, false);
		h[i].is_resolved = true;
	}
}

static bool is_field(const struct mesh_header_match *h)
{
	return (h->name.len && h->name.ptr[0] == ':') || h->key == L7_KEY_HOST;
}

struct found {
	uint32_t n;    /* values seen */
	bool is_match; /* one of them matches */
};

static void try_value(const struct mesh_header_match *h, struct slice v, struct found *f)
{
	f->n++;
	f->is_match = f->is_match || value_is_match(h, v);
}

static void try_props(const struct mesh_header_match *h, const struct l7_props *p, struct found *f)
{
	l7_props_each(p, i) {
		const struct l7_prop *prop = &p->v[i];

		if (h->key != L7_KEY_NONE && prop->key != L7_KEY_NONE ?
			    prop->key == h->key :
			    slice_is_equal(prop->name, h->name))
			try_value(h, prop->value, f);
	}
}

static struct found try_header(const struct mesh_header_match *h, const struct l7_msg *m,
			       struct arena *a)
{
	struct found f = { 0 };
	struct slice v;

	if (is_field(h)) {
		if (l7_msg_value(m, h->name, a, &v))
			try_value(h, v, &f);
		return f;
	}
	try_props(h, &m->props, &f);
	if (f.n > 1 && (l7_msg_is_request(m) ? h->joined_in_request : h->joined_in_response) &&
	    l7_props_joined(&m->props, h->name, a, &v)) {
		f = (struct found){ 0 };
		try_value(h, v, &f);
	}
	return f;
}

static bool header_verdict(const struct mesh_header_match *h, struct found f)
{
	if (!f.n && h->treat_missing_as_empty)
		try_value(h, SLICE(""), &f);
	if (h->kind == MESH_HEADER_PRESENT)
		return ((f.n > 0) == h->present) != h->invert;
	/* An absent header matches no value, inverted or not. */
	return f.n && f.is_match != h->invert;
}

bool route_headers_are_match(const struct mesh_header_match *h, uint32_t n, const struct l7_msg *m,
			     struct arena *a)
{
	for (uint32_t i = 0; i < n; i++) {
		struct mesh_header_match copy;
		const struct mesh_header_match *one = &h[i];

		if (unlikely(!one->is_resolved)) {
			copy = *one;
			route_headers_resolve(&copy, 1);
			one = &copy;
		}
		if (!header_verdict(one, try_header(one, m, a)))
			return false;
	}
	return true;
}

/* The first value of @name in @query; false: absent. */
static bool query_value(struct slice query, struct slice name, struct slice *ret_v)
{
	while (query.ptr) {
		struct slice value = slice_split(&query, '&');
		struct slice key = slice_split(&value, '=');

		if (slice_is_equal(key, name)) {
			*ret_v = value.ptr ? value : SLICE("");
			return true;
		}
	}
	return false;
}

bool route_queries_are_match(const struct mesh_query_match *q, uint32_t n, struct slice path)
{
	struct slice query = SLICE_NONE;
	ptrdiff_t at;

	if (!n)
		return true;
	at = slice_find(path, '?');
	if (at >= 0)
		query = slice_skip(path, (size_t)at + 1);
	for (uint32_t i = 0; i < n; i++) {
		struct slice v;
		bool found = query_value(query, q[i].name, &v);

		if (q[i].is_present_match ? found != q[i].present :
					    !found || !mesh_string_is_match(&q[i].string, v))
			return false;
	}
	return true;
}

struct slice route_path_only(struct slice path, struct slice *ret_query)
{
	size_t n = 0;

	while (n < path.len && path.ptr[n] != '?' && path.ptr[n] != '#')
		n++;
	if (ret_query) {
		struct slice rest = slice_skip(path, n);
		ptrdiff_t fragment = slice_find(rest, '#');

		if (fragment >= 0)
			rest.len = (size_t)fragment;
		*ret_query = slice_skip(rest, 1);
	}
	return slice_first(path, n);
}
