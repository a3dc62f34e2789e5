/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's body in fastjson2: every value stands behind its length, so that arguments are
 * stepped over unread; only the leading strings and the map of attachments are looked into.
 * Strings in other encodings than ASCII and UTF-8 are stepped over.
 */
#include "codec/dubbo/dubbo_impl.h"

#include <errno.h>

/* Tags of the binary format. Small numbers are their own tag. */
enum {
	TAG_INT_MAX = 0x2f,
	TAG_INT_BYTE = 0x30,
	TAG_INT_BYTE_ZERO = 0x38,
	TAG_INT_SHORT = 0x40,
	TAG_INT_SHORT_ZERO = 0x44,
	TAG_INT = 0x48,
	TAG_STR_FIX = 0x49,
	TAG_STR_FIX_MAX = 0x78,
	TAG_STR_ASCII = 0x79,
	TAG_STR_UTF8 = 0x7a,
	TAG_STR_LAST = 0x7e,
	TAG_SYMBOL = 0x7f,
	TAG_CHAR = 0x90,
	TAG_BINARY = 0x91,
	TAG_TYPED = 0x92,
	TAG_REFERENCE = 0x93,
	TAG_ARRAY_FIX = 0x94,
	TAG_ARRAY = 0xa4,
	TAG_OBJECT_END = 0xa5,
	TAG_OBJECT = 0xa6,
	TAG_LOCAL_TIME = 0xa7,
	TAG_LOCAL_DATETIME = 0xa8,
	TAG_TIME_ZONED = 0xaa,
	TAG_TIMESTAMP = 0xae,
	TAG_NULL = 0xaf,
	TAG_DOUBLE_LONG = 0xb4,
	TAG_FLOAT_INT = 0xb6,
	TAG_DECIMAL_LONG = 0xb8,
	TAG_DECIMAL = 0xb9,
	TAG_BIGINT_LONG = 0xba,
	TAG_BIGINT = 0xbb,
	TAG_LONG_SHORT = 0xc0,
	TAG_LONG_BYTE = 0xc8,
	TAG_LONG_SMALL = 0xd8,
};

struct jsonb {
	const unsigned char *p, *end;
	const char *error;
};

/* Values still to come on a level of nesting; an object counts none and ends with a mark. */
#define UNTIL_MARK UINT32_MAX

static int fail(struct jsonb *j, const char *why)
{
	j->error = why;
	return -EPROTO;
}

static int fail_cut(struct jsonb *j)
{
	return fail(j, "fastjson2 value is cut");
}

static size_t left_of(const struct jsonb *j)
{
	return (size_t)(j->end - j->p);
}

static int step(struct jsonb *j, size_t n)
{
	if (left_of(j) < n)
		return fail_cut(j);
	j->p += n;
	return 0;
}

static uint32_t be32_at(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A length: an int that is not more than the bytes that follow. */
static int length_read(struct jsonb *j, uint32_t *ret_n)
{
	const unsigned char *p = j->p;
	size_t left = left_of(j);
	int64_t v;

	if (left >= 1 && *p <= TAG_INT_MAX) {
		v = *p;
		j->p += 1;
	} else if (left >= 2 && *p >= TAG_INT_BYTE && *p < TAG_INT_SHORT) {
		v = (*p - TAG_INT_BYTE_ZERO) * 256 + p[1];
		j->p += 2;
	} else if (left >= 3 && *p >= TAG_INT_SHORT && *p < TAG_INT) {
		v = (*p - TAG_INT_SHORT_ZERO) * 65536 + (p[1] << 8 | p[2]);
		j->p += 3;
	} else if (left >= 5 && *p == TAG_INT) {
		v = (int32_t)be32_at(p + 1);
		j->p += 5;
	} else {
		return fail(j, "fastjson2 length expected");
	}
	if (v < 0 || (uint64_t)v > left_of(j))
		return fail(j, "fastjson2 length is more than the bytes");
	*ret_n = (uint32_t)v;
	return 0;
}

static bool is_text(const struct jsonb *j)
{
	return j->p < j->end && *j->p >= TAG_STR_FIX && *j->p <= TAG_STR_UTF8;
}

/* A string whose bytes are ASCII or UTF-8, or null: an empty slice. */
static int text_read(struct jsonb *j, struct slice *ret_s)
{
	uint32_t n;
	unsigned int c;

	if (j->p < j->end && *j->p == TAG_NULL) {
		j->p++;
		*ret_s = SLICE_NONE;
		return 0;
	}
	if (!is_text(j))
		return fail(j, "fastjson2 string expected");
	c = *j->p++;
	if (c <= TAG_STR_FIX_MAX)
		n = c - TAG_STR_FIX;
	else if (length_read(j, &n) < 0)
		return -EPROTO;
	if (left_of(j) < n)
		return fail_cut(j);
	*ret_s = slice_of(j->p, n);
	j->p += n;
	return 0;
}

/* Bytes behind the tags whose length is fixed; 0xff: not one of them. */
static unsigned int fixed_bytes(unsigned int c)
{
	static const uint8_t from_time[] = {
		[0xa9 - 0xa7] = 4, [0xab - 0xa7] = 8, [0xac - 0xa7] = 4, [0xad - 0xa7] = 4,
		[0xb5 - 0xa7] = 8, [0xb7 - 0xa7] = 4, [0xbc - 0xa7] = 2, [0xbd - 0xa7] = 1,
		[0xbe - 0xa7] = 8, [0xbf - 0xa7] = 4,
	};

	if (c <= TAG_INT_MAX || c >= TAG_LONG_SMALL)
		return 0;
	if (c < TAG_INT_SHORT)
		return 1;
	if (c <= TAG_INT)
		return c < TAG_INT ? 2 : 4;
	if (c < TAG_LOCAL_TIME)
		return 0xff;
	if (c < TAG_LONG_SHORT)
		return from_time[c - TAG_LOCAL_TIME];
	return c < TAG_LONG_BYTE ? 2 : 1;
}

/* Bytes with their length before them: strings of any encoding, binaries. */
static int counted_skip(struct jsonb *j)
{
	uint32_t n;

	return length_read(j, &n) < 0 ? -EPROTO : step(j, n);
}

/*
 * Steps over one tag and what belongs to it without nesting. What nests sets @ret_more: so many
 * values follow, or UNTIL_MARK.
 */
static int tag_skip(struct jsonb *j, uint32_t *ret_more)
{
	unsigned int c;

	*ret_more = 0;
	if (!left_of(j))
		return fail_cut(j);
	c = *j->p++;
	if (c >= TAG_STR_FIX && c <= TAG_STR_FIX_MAX)
		return step(j, c - TAG_STR_FIX);
	if ((c > TAG_STR_FIX_MAX && c <= TAG_STR_LAST) || c == TAG_BINARY || c == TAG_BIGINT)
		return counted_skip(j);
	if (c >= TAG_ARRAY_FIX && c < TAG_ARRAY) {
		*ret_more = c - TAG_ARRAY_FIX;
		return 0;
	}
	switch (c) {
	case TAG_SYMBOL: /* a number, or a name and its number */
		*ret_more = left_of(j) && *j->p >= TAG_STR_FIX && *j->p <= TAG_STR_LAST ? 2 : 1;
		return 0;
	case TAG_TYPED: /* the type, its number, the value */
		*ret_more = left_of(j) && *j->p >= TAG_STR_FIX && *j->p <= TAG_STR_LAST ? 3 : 2;
		return 0;
	case TAG_DECIMAL: /* scale, unscaled value */
		*ret_more = 2;
		return 0;
	case TAG_CHAR:
	case TAG_REFERENCE:
	case TAG_DOUBLE_LONG:
	case TAG_FLOAT_INT:
	case TAG_DECIMAL_LONG:
	case TAG_BIGINT_LONG:
		*ret_more = 1;
		return 0;
	case TAG_ARRAY:
		return length_read(j, ret_more);
	case TAG_OBJECT:
		*ret_more = UNTIL_MARK;
		return 0;
	case TAG_LOCAL_TIME: /* then the nanoseconds; below too */
		*ret_more = 1;
		return step(j, 3);
	case TAG_LOCAL_DATETIME:
		*ret_more = 1;
		return step(j, 7);
	case TAG_TIME_ZONED: /* date, time, nanoseconds, zone */
		*ret_more = 2;
		return step(j, 7);
	case TAG_TIMESTAMP:
		*ret_more = 1;
		return step(j, 8);
	default:
		if (c == TAG_OBJECT_END || (c > TAG_SYMBOL && c < TAG_CHAR))
			return fail(j, "fastjson2 has an unknown tag");
		return step(j, fixed_bytes(c));
	}
}

/* Steps over one value of any kind. */
static int value_skip(struct jsonb *j, uint32_t depth)
{
	uint32_t left[CODEC_DEPTH], n = 0;

	if (depth > ARRAY_LEN(left))
		depth = ARRAY_LEN(left);
	for (;;) {
		uint32_t more;

		if (tag_skip(j, &more) < 0)
			return -EPROTO;
		if (more) {
			if (n >= depth)
				return fail(j, "fastjson2 values are nested too deep");
			left[n++] = more;
		}
		while (n && (left[n - 1] == 0 || (left[n - 1] == UNTIL_MARK && left_of(j) &&
						  *j->p == TAG_OBJECT_END))) {
			j->p += left[n - 1] == UNTIL_MARK;
			n--;
		}
		if (!n)
			return 0;
		if (left[n - 1] != UNTIL_MARK)
			left[n - 1]--;
	}
}

/* ---- the body ------------------------------------------------------------------------------- */

/* Opens the next value of the body: its bytes become @ret_value. */
static int part_open(struct jsonb *j, struct jsonb *ret_value)
{
	uint32_t n;

	if (left_of(j) < 4)
		return fail_cut(j);
	n = be32_at(j->p);
	j->p += 4;
	if (n > left_of(j))
		return fail(j, "fastjson2 length is more than the bytes");
	*ret_value = (struct jsonb){ .p = j->p, .end = j->p + n };
	j->p += n;
	return 0;
}

static int part_text(struct jsonb *j, struct slice *ret_s)
{
	struct jsonb value;
	int r = part_open(j, &value);

	if (r == 0) {
		r = text_read(&value, ret_s);
		if (r < 0)
			j->error = value.error;
	}
	return r;
}

static int attachments_read(struct jsonb *j, struct l7_msg *m, const struct codec_limits *limits,
			    const char **ret_why)
{
	size_t room = limits->head_bytes;

	if (left_of(j) && *j->p == TAG_NULL)
		return 0;
	if (!left_of(j) || *j->p++ != TAG_OBJECT)
		return fail(j, "fastjson2 object expected");
	while (left_of(j) && *j->p != TAG_OBJECT_END) {
		struct slice name = SLICE_NONE, value;
		int r;

		r = is_text(j) ? text_read(j, &name) : value_skip(j, limits->depth);
		if (r == 0 && (!name.ptr || !is_text(j))) {
			r = value_skip(j, limits->depth);
		} else if (r == 0) {
			r = text_read(j, &value);
			if (r == 0)
				r = dubbo_prop_add(m, name, value, limits, &room, ret_why);
		}
		if (r < 0)
			return r;
	}
	return left_of(j) ? 0 : fail_cut(j);
}

static int lead_read(struct jsonb *j, struct dubbo_lead *lead)
{
	int r = part_text(j, &lead->protocol);

	if (r == 0)
		r = part_text(j, &lead->path);
	if (r == 0)
		r = part_text(j, &lead->version);
	if (r == 0)
		r = part_text(j, &lead->method);
	if (r == 0)
		r = part_text(j, &lead->types);
	return r;
}

int dubbo_fastjson2_read(struct l7_msg *m, struct dubbo_lead *lead, struct slice body,
			 const struct codec_limits *limits, const char **ret_why)
{
	struct jsonb j = { .p = (const unsigned char *)body.ptr,
			   .end = (const unsigned char *)body.ptr + body.len };
	struct jsonb value = { 0 };
	int args, r;

	r = lead_read(&j, lead);
	if (r == 0) {
		args = dubbo_types_count(lead->types);
		if (args < 0) {
			*ret_why = "parameter types are not a descriptor";
			return -EPROTO;
		}
		while (r == 0 && args--)
			r = part_open(&j, &value);
	}
	if (r == 0 && left_of(&j)) {
		r = part_open(&j, &value);
		if (r == 0) {
			r = attachments_read(&value, m, limits, ret_why);
			if (r < 0)
				j.error = value.error;
		}
	}
	if (r < 0 && j.error)
		*ret_why = j.error;
	return r;
}
