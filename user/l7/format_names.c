/* SPDX-License-Identifier: Apache-2.0 */
/* Operators over properties, the path and its query: %REQ%, %RESP%, %TRAILER%, %PATH% ... */
#include <ctype.h>
#include <errno.h>

#include "l7/format_impl.h"
#include "l7/join.h"

enum { PATH_QUERY = 1, PATH_ORIGINAL = 2, PATH_CURRENT = 4 };

/* ---- reading arguments ----------------------------------------------------------------------- */

static void ref_set(struct name_ref *ref, struct slice name, bool in_request, struct arena *a)
{
	static const struct {
		struct slice name;
		int field;
	} fields[] = {
		{ { ":path", 5 }, REF_PATH },		{ { ":method", 7 }, REF_METHOD },
		{ { ":authority", 10 }, REF_AUTHORITY }, { { "host", 4 }, REF_AUTHORITY },
		{ { ":scheme", 7 }, REF_SCHEME },	{ { ":status", 7 }, REF_STATUS },
	};
	char *p = arena_str(a, name);

	for (size_t i = 0; i < name.len; i++)
		p[i] = (char)tolower((unsigned char)p[i]);
	ref->name = slice_of(p, name.len);
	ref->field = REF_PROP;
	ref->key = l7_key_find(ref->name);
	ref->joined = l7_name_is_joined(ref->name, in_request);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (slice_is_equal(fields[i].name, ref->name))
			ref->field = fields[i].field;
}

/* "NAME" or "NAME?OTHER". */
int prepare_names(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	struct slice rest = args;
	struct slice name = slice_split(&rest, '?');
	bool in_request = p->append == append_request || p->append == append_without_query;

	if (slice_find(rest, '?') >= 0)
		return err_set(e, -EINVAL, "more than one alternative in '%.*s'", SLICE_ARG(args));
	if (!name.len || slice_find(args, '\n') >= 0 || slice_find(args, '\0') >= 0)
		return err_set(e, -EINVAL, "'%.*s' is no header name", SLICE_ARG(args));
	ref_set(&p->main, name, in_request, a);
	if (rest.len)
		ref_set(&p->alt, rest, in_request, a);
	return 0;
}

/* "", "WQ" or "NQ", then ":ORIG", ":PATH" or ":ORIG_OR_PATH". */
int prepare_path(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	struct slice from = args;
	struct slice query = slice_split(&from, ':');

	(void)a;
	p->option = PATH_QUERY;
	if (slice_is_equal(query, SLICE("NQ")))
		p->option = 0;
	else if (query.len && !slice_is_equal(query, SLICE("WQ")))
		return err_set(e, -EINVAL, "'%.*s' is neither WQ nor NQ", SLICE_ARG(query));
	if (!from.len || slice_is_equal(from, SLICE("ORIG_OR_PATH")))
		p->option |= PATH_ORIGINAL | PATH_CURRENT;
	else if (slice_is_equal(from, SLICE("ORIG")))
		p->option |= PATH_ORIGINAL;
	else if (slice_is_equal(from, SLICE("PATH")))
		p->option |= PATH_CURRENT;
	else
		return err_set(e, -EINVAL, "'%.*s' is none of ORIG, PATH, ORIG_OR_PATH",
			       SLICE_ARG(from));
	return 0;
}

/* ---- properties ------------------------------------------------------------------------------ */

static bool prop_is(const struct l7_prop *prop, const struct name_ref *ref)
{
	if (ref->key != L7_KEY_NONE && prop->key != L7_KEY_NONE)
		return prop->key == ref->key;
	return slice_is_equal(prop->name, ref->name);
}

/* The first value; all of them where the name is a list. */
static enum value_kind append_props(const struct name_ref *ref, const struct l7_props *props,
				    struct buf *out)
{
	bool found = false;

	l7_props_each(props, i) {
		if (!prop_is(&props->v[i], ref))
			continue;
		if (found)
			buf_add_char(out, ',');
		buf_add_slice(out, props->v[i].value);
		found = true;
		if (!ref->joined)
			break;
	}
	return found ? VALUE_TEXT : VALUE_ABSENT;
}

static enum value_kind append_field(struct slice s, struct buf *out)
{
	buf_add_slice(out, s);
	return s.len ? VALUE_TEXT : VALUE_ABSENT;
}

static enum value_kind append_ref(const struct name_ref *ref, const struct l7_msg *m,
				  struct buf *out)
{
	switch (ref->field) {
	case REF_PROP:
		return append_props(ref, &m->props, out);
	case REF_PATH:
		return append_field(m->path, out);
	case REF_METHOD:
		return append_field(m->method, out);
	case REF_AUTHORITY:
		return append_field(m->host, out);
	case REF_SCHEME:
		return append_field(m->scheme, out);
	case REF_STATUS:
		if (m->status)
			buf_add_u64(out, m->status);
		return m->status ? VALUE_TEXT : VALUE_ABSENT;
	}
	return VALUE_ABSENT;
}

static enum value_kind append_msg(const struct part *p, const struct l7_msg *m, struct buf *out)
{
	enum value_kind kind = VALUE_ABSENT;

	if (m)
		kind = append_ref(&p->main, m, out);
	if (m && kind == VALUE_ABSENT && p->alt.name.len)
		kind = append_ref(&p->alt, m, out);
	return kind;
}

enum value_kind append_request(const struct part *p, const struct l7_info *in, struct buf *out)
{
	/* The path before a rewrite is known even where the header for it was not added. */
	if (p->main.key == L7_KEY_X_ENVOY_ORIGINAL_PATH && in->original_path.len && in->request &&
	    !l7_props_get(&in->request->props, L7_KEY_X_ENVOY_ORIGINAL_PATH))
		return append_field(in->original_path, out);
	return append_msg(p, in->request, out);
}

enum value_kind append_response(const struct part *p, const struct l7_info *in, struct buf *out)
{
	return append_msg(p, in->response, out);
}

enum value_kind append_trailer(const struct part *p, const struct l7_info *in, struct buf *out)
{
	enum value_kind kind = VALUE_ABSENT;

	if (in->trailers)
		kind = append_props(&p->main, in->trailers, out);
	if (in->trailers && kind == VALUE_ABSENT && p->alt.name.len)
		kind = append_props(&p->alt, in->trailers, out);
	return kind;
}

enum value_kind append_without_query(const struct part *p, const struct l7_info *in,
				     struct buf *out)
{
	size_t before = buf_len(out);
	enum value_kind kind = append_request(p, in, out);
	struct slice value = slice_skip(buf_slice(out), before);
	ptrdiff_t at = slice_find(value, '?');

	if (at >= 0)
		out->tail -= value.len - (size_t)at;
	return kind;
}

/* ---- path and query -------------------------------------------------------------------------- */

static struct slice original_path(const struct l7_info *in)
{
	struct slice s = l7_props_value(&in->request->props, L7_KEY_X_ENVOY_ORIGINAL_PATH);

	return s.len ? s : in->original_path;
}

enum value_kind append_path(const struct part *p, const struct l7_info *in, struct buf *out)
{
	struct slice s = SLICE_NONE;
	ptrdiff_t query;

	if (!in->request)
		return VALUE_ABSENT;
	if (p->option & PATH_ORIGINAL)
		s = original_path(in);
	if (!s.len && (p->option & PATH_CURRENT))
		s = in->request->path;
	query = slice_find(s, '?');
	if (!(p->option & PATH_QUERY) && query >= 0)
		s = slice_first(s, (size_t)query);
	return append_field(s, out);
}

/* What stands behind '?'. */
static struct slice query_of(const struct l7_info *in)
{
	struct slice s = in->request ? in->request->path : SLICE_NONE;
	ptrdiff_t at = slice_find(s, '?');

	return at < 0 ? SLICE_NONE : slice_skip(s, (size_t)at + 1);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * A '%' that no two hex digits follow stays. @lightly, as Envoy does with a whole query: only what
 * is visible is decoded, and a '%' in front of two other characters goes.
 */
static void append_decoded(struct slice s, bool lightly, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		int high = s.ptr[i] == '%' && i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
		int low = high < 0 ? -1 : hex_digit(s.ptr[i + 2]);
		int c = low < 0 ? -1 : high << 4 | low;

		if (low < 0 || (lightly && (c <= ' ' || c > '~'))) {
			if (low >= 0 || s.ptr[i] != '%' || !lightly || i + 2 >= s.len)
				buf_add_char(out, s.ptr[i]);
			continue;
		}
		buf_add_char(out, (char)c);
		i += 2;
	}
}

static bool decoded_is_equal(struct slice raw, struct slice want)
{
	struct buf b = { 0 };
	bool equal;

	if (slice_find(raw, '%') < 0)
		return slice_is_equal(raw, want);
	append_decoded(raw, false, &b);
	equal = slice_is_equal(buf_slice(&b), want);
	buf_done(&b);
	return equal;
}

enum value_kind append_query(const struct part *p, const struct l7_info *in, struct buf *out)
{
	struct slice query = query_of(in);

	if (!slice_is_equal(p->text, SLICE("DECODED")))
		return append_field(query, out);
	append_decoded(query, true, out);
	return query.len ? VALUE_TEXT : VALUE_ABSENT;
}

enum value_kind append_query_param(const struct part *p, const struct l7_info *in, struct buf *out)
{
	struct slice query = query_of(in);

	while (query.ptr) {
		struct slice value = slice_split(&query, '&');
		struct slice key = slice_split(&value, '=');

		if (decoded_is_equal(key, p->text)) {
			append_decoded(value, false, out);
			return VALUE_TEXT;
		}
	}
	return VALUE_ABSENT;
}
