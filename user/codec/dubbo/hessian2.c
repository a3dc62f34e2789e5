/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk. Values nest on an explicit stack of limited depth, so that a hostile body cannot use
 * ours. References are never followed: a loop costs nothing.
 */
#include "codec/dubbo/hessian2.h"

#include <errno.h>

/* What a container still expects. */
enum level_kind {
	LEVEL_COUNT, /* so many values */
	LEVEL_LIST,  /* values until the end mark */
	LEVEL_KEY,   /* a map: a key or the end mark */
	LEVEL_VALUE, /* a map: the value of a key */
};

struct level {
	uint32_t left; /* LEVEL_COUNT */
	enum level_kind kind;
};

struct stack {
	uint32_t n;
	struct level v[HESSIAN2_DEPTH_MAX];
};

static int fail(struct hessian2 *h, int err, const char *why)
{
	h->error = why;
	return err;
}

static int fail_cut(struct hessian2 *h)
{
	return fail(h, -EPROTO, "hessian2 value is cut");
}

static size_t left_of(const struct hessian2 *h)
{
	return (size_t)(h->end - h->p);
}

static int step(struct hessian2 *h, size_t n)
{
	if (left_of(h) < n)
		return fail_cut(h);
	h->p += n;
	return 0;
}

void hessian2_init(struct hessian2 *h, struct slice in, uint32_t depth, uint32_t string_bytes,
		   struct arena *a)
{
	h->p = (const unsigned char *)in.ptr;
	h->end = h->p + in.len;
	h->arena = a;
	h->error = NULL;
	h->depth = depth && depth < HESSIAN2_DEPTH_MAX ? depth : HESSIAN2_DEPTH_MAX;
	h->string_bytes = string_bytes;
	h->class_n = 0;
	h->class_cap = HESSIAN2_CLASSES_INLINE;
	h->class_fields = h->class_inline;
}

/* ---- strings -------------------------------------------------------------------------------- */

/* Are @n bytes all below 0x80? */
static bool is_ascii(const unsigned char *p, size_t n)
{
	uint64_t w, all = 0;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		all |= w;
	}
	if (n >= 4) {
		uint32_t half;

		memcpy(&half, p, 4);
		all |= half;
		p += 4;
		n -= 4;
	}
	while (n--)
		all |= *p++;
	return !(all & 0x8080808080808080u);
}

/* Bytes of the character that starts with @c, and its UTF-16 units; 0 when it cannot start one. */
static unsigned int char_bytes(unsigned char c, unsigned int *ret_units)
{
	*ret_units = 1;
	if (c < 0x80)
		return 1;
	if (c >= 0xc0 && c < 0xe0)
		return 2;
	if (c >= 0xe0 && c < 0xf0)
		return 3;
	*ret_units = 2; /* plain UTF-8, which some writers that are not Java send */
	return c >= 0xf0 && c < 0xf8 ? 4 : 0;
}

/* Steps over @units UTF-16 units of text that is not plain ASCII. */
static int text_skip(struct hessian2 *h, size_t units)
{
	const unsigned char *p = h->p;

	while (units) {
		unsigned int u, n;

		if (units >= 64 && (size_t)(h->end - p) >= 64 && is_ascii(p, 64)) {
			p += 64;
			units -= 64;
			continue;
		}
		if (p == h->end)
			return fail_cut(h);
		n = char_bytes(*p, &u);
		if (!n || u > units)
			return fail(h, -EPROTO, "hessian2 string is not CESU-8");
		if ((size_t)(h->end - p) < n)
			return fail_cut(h);
		for (unsigned int i = 1; i < n; i++)
			if ((p[i] & 0xc0) != 0x80)
				return fail(h, -EPROTO, "hessian2 string is not CESU-8");
		p += n;
		units -= u;
	}
	h->p = p;
	return 0;
}

static inline int text(struct hessian2 *h, size_t units)
{
	if (left_of(h) < units)
		return fail_cut(h);
	if (likely(is_ascii(h->p, units))) {
		h->p += units;
		return 0;
	}
	return text_skip(h, units);
}

/*
 * Reads the head of a string chunk. 1: the last chunk, 0: others follow; -EPROTO when no string
 * starts here.
 */
static inline int chunk_head(struct hessian2 *h, size_t *ret_units)
{
	unsigned int c;

	if (hessian2_is_end(h))
		return fail_cut(h);
	c = *h->p;
	if (likely(c < 0x20)) {
		*ret_units = c;
		h->p++;
		return 1;
	}
	if (c >= 0x30 && c < 0x34) {
		if (left_of(h) < 2)
			return fail_cut(h);
		*ret_units = (c - 0x30) << 8 | h->p[1];
		h->p += 2;
		return 1;
	}
	if (c != 'R' && c != 'S')
		return fail(h, -EPROTO, "hessian2 string expected");
	if (left_of(h) < 3)
		return fail_cut(h);
	*ret_units = (size_t)h->p[1] << 8 | h->p[2];
	h->p += 3;
	return c == 'S';
}

static int string_skip(struct hessian2 *h)
{
	int last;

	do {
		size_t units;
		int r;

		last = chunk_head(h, &units);
		if (last < 0)
			return last;
		r = text(h, units);
		if (r < 0)
			return r;
	} while (!last);
	return 0;
}

/* Copies the text of the chunks between @from and the present place, which were walked before. */
static struct slice join(struct hessian2 *h, const unsigned char *from, size_t len)
{
	struct hessian2 again = *h;
	char *to = arena_alloc(h->arena, len + 1), *at = to; /* + 1: never NULL */
	int last;

	again.end = h->p;
	again.p = from;
	do {
		const unsigned char *start;
		size_t units;

		last = chunk_head(&again, &units);
		start = again.p;
		must(last >= 0 && text(&again, units) == 0);
		memcpy(at, start, (size_t)(again.p - start));
		at += again.p - start;
	} while (!last);
	return slice_of(to, len);
}

/* A string in more than one chunk. Its head is at @from, the place is at the second chunk. */
static int string_chunked(struct hessian2 *h, const unsigned char *from, size_t len,
			  struct slice *ret_s)
{
	int last;

	do {
		const unsigned char *start;
		size_t units;
		int r;

		last = chunk_head(h, &units);
		if (last < 0)
			return last;
		start = h->p;
		r = text(h, units);
		if (r < 0)
			return r;
		len += (size_t)(h->p - start);
		if (len > h->string_bytes)
			return fail(h, -E2BIG, "hessian2 string is too long");
	} while (!last);
	*ret_s = join(h, from, len);
	return 0;
}

bool hessian2_is_string(const struct hessian2 *h)
{
	unsigned int c = hessian2_is_end(h) ? 'N' : *h->p;

	return c < 0x20 || (c >= 0x30 && c < 0x34) || c == 'R' || c == 'S';
}

int hessian2_string(struct hessian2 *h, struct slice *ret_s)
{
	const unsigned char *from = h->p, *start;
	size_t units;
	int last, r;

	if (!hessian2_is_end(h) && *h->p == 'N') {
		h->p++;
		*ret_s = SLICE_NONE;
		return 0;
	}
	last = chunk_head(h, &units);
	if (last < 0)
		return last;
	start = h->p;
	r = text(h, units);
	if (r < 0)
		return r;
	if ((size_t)(h->p - start) > h->string_bytes)
		return fail(h, -E2BIG, "hessian2 string is too long");
	if (unlikely(!last))
		return string_chunked(h, from, (size_t)(h->p - start), ret_s);
	*ret_s = slice_of(start, (size_t)(h->p - start));
	return 0;
}

/* ---- other leaves --------------------------------------------------------------------------- */

/* Steps over binary chunks; the place is at the first one's tag. */
static int binary_skip(struct hessian2 *h)
{
	for (;;) {
		size_t len;
		unsigned int c;

		if (hessian2_is_end(h))
			return fail_cut(h);
		c = *h->p++;
		if (c >= 0x20 && c < 0x30)
			return step(h, c - 0x20);
		if (c >= 0x34 && c < 0x38) {
			if (hessian2_is_end(h))
				return fail_cut(h);
			len = (c - 0x34) << 8 | *h->p;
			return step(h, len + 1);
		}
		if (c != 'A' && c != 'B')
			return fail(h, -EPROTO, "hessian2 binary chunk expected");
		if (left_of(h) < 2)
			return fail_cut(h);
		len = (size_t)h->p[0] << 8 | h->p[1];
		if (step(h, len + 2) < 0)
			return -EPROTO;
		if (c == 'B')
			return 0;
	}
}

/* Reads an int in any of its forms. */
static int int_read(struct hessian2 *h, int64_t *ret_v)
{
	const unsigned char *p = h->p;
	size_t left = left_of(h);

	if (!left)
		return fail_cut(h);
	if (*p >= 0x80 && *p < 0xc0) {
		*ret_v = *p - 0x90;
		h->p += 1;
	} else if (*p >= 0xc0 && *p < 0xd0) {
		if (left < 2)
			return fail_cut(h);
		*ret_v = (*p - 0xc8) * 256 + p[1];
		h->p += 2;
	} else if (*p >= 0xd0 && *p < 0xd8) {
		if (left < 3)
			return fail_cut(h);
		*ret_v = (*p - 0xd4) * 65536 + (p[1] << 8 | p[2]);
		h->p += 3;
	} else if (*p == 'I') {
		if (left < 5)
			return fail_cut(h);
		*ret_v = (int32_t)((uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 |
				   (uint32_t)p[3] << 8 | p[4]);
		h->p += 5;
	} else {
		return fail(h, -EPROTO, "hessian2 int expected");
	}
	return 0;
}

/* A count that the peer wrote: each thing counted takes a byte at least, so more is a lie. */
static int count_read(struct hessian2 *h, uint32_t *ret_n)
{
	int64_t v;
	int r = int_read(h, &v);

	if (r < 0)
		return r;
	if (v < 0 || (uint64_t)v > left_of(h))
		return fail(h, -EPROTO, "hessian2 length is more than the bytes");
	*ret_n = (uint32_t)v;
	return 0;
}

/* The type of a typed list or map: a name, or the number of a name seen before. */
static int type_skip(struct hessian2 *h)
{
	int64_t ref;
	int r;

	if (hessian2_is_string(h))
		return string_skip(h);
	r = int_read(h, &ref);
	if (r < 0)
		return r;
	return ref < 0 ? fail(h, -EPROTO, "hessian2 type number is negative") : 0;
}

/* ---- classes -------------------------------------------------------------------------------- */

static void class_add(struct hessian2 *h, uint32_t fields)
{
	if (h->class_n == h->class_cap) {
		uint32_t *more = arena_alloc(h->arena, 2 * sizeof(*more) * h->class_cap);

		memcpy(more, h->class_fields, sizeof(*more) * h->class_n);
		h->class_fields = more;
		h->class_cap *= 2;
	}
	h->class_fields[h->class_n++] = fields;
}

/* Reads a class definition after its tag: name, number of fields, their names. */
static int class_read(struct hessian2 *h)
{
	uint32_t fields;
	int r;

	if (h->class_n >= HESSIAN2_CLASSES)
		return fail(h, -E2BIG, "hessian2 has too many class definitions");
	r = string_skip(h);
	if (r < 0)
		return r;
	r = count_read(h, &fields);
	for (uint32_t i = 0; r == 0 && i < fields; i++)
		r = string_skip(h);
	if (r < 0)
		return r;
	class_add(h, fields);
	return 0;
}

/* ---- containers ----------------------------------------------------------------------------- */

static int push(struct hessian2 *h, struct stack *s, enum level_kind kind, uint32_t left)
{
	if (kind == LEVEL_COUNT && !left)
		return 0;
	if (s->n >= h->depth)
		return fail(h, -E2BIG, "hessian2 values are nested too deep");
	s->v[s->n].kind = kind;
	s->v[s->n].left = left;
	s->n++;
	return 0;
}

static int object_open(struct hessian2 *h, struct stack *s, int64_t class)
{
	if (class < 0 || class >= h->class_n)
		return fail(h, -EPROTO, "hessian2 object of an unknown class");
	return push(h, s, LEVEL_COUNT, h->class_fields[class]);
}

static int list_open(struct hessian2 *h, struct stack *s, unsigned int c)
{
	bool typed = c == 'U' || c == 'V' || (c >= 0x70 && c < 0x78);
	uint32_t n;
	int r = typed ? type_skip(h) : 0;

	if (r < 0)
		return r;
	if (c == 'U' || c == 'W')
		return push(h, s, LEVEL_LIST, 0);
	if (c >= 0x70) {
		n = c & 7;
		if (n > left_of(h))
			return fail_cut(h);
	} else {
		r = count_read(h, &n);
		if (r < 0)
			return r;
	}
	return push(h, s, LEVEL_COUNT, n);
}

/* Steps over a leaf, or the head of a container, whose tag is one of the letters. */
static int letter_skip(struct hessian2 *h, struct stack *s, unsigned int c)
{
	int64_t v;
	int r;

	switch (c) {
	case 'A':
	case 'B':
		h->p--;
		return binary_skip(h);
	case 'R':
	case 'S':
		h->p--;
		return string_skip(h);
	case 'F':
	case 'N':
	case 'T':
	case '[': /* 0.0 */
	case '\\': /* 1.0 */
		return 0;
	case ']': /* double of one byte */
		return step(h, 1);
	case '^': /* of two */
		return step(h, 2);
	case '_': /* thousandths */
	case 'I':
	case 'K':
	case 'Y':
		return step(h, 4);
	case 'D':
	case 'J':
	case 'L':
		return step(h, 8);
	case 'H':
		return push(h, s, LEVEL_KEY, 0);
	case 'M':
		r = type_skip(h);
		return r < 0 ? r : push(h, s, LEVEL_KEY, 0);
	case 'O':
		r = int_read(h, &v);
		return r < 0 ? r : object_open(h, s, v);
	case 'Q':
		r = int_read(h, &v);
		if (r == 0 && v < 0)
			r = fail(h, -EPROTO, "hessian2 reference is negative");
		return r;
	case 'U':
	case 'V':
	case 'W':
	case 'X':
		return list_open(h, s, c);
	default:
		return fail(h, -EPROTO, "hessian2 has an unknown tag");
	}
}

/* Steps over a leaf or the head of a container, which it pushes. Class definitions are taken in. */
static int value_skip(struct hessian2 *h, struct stack *s)
{
	unsigned int c;
	int r;

	for (;;) {
		if (hessian2_is_end(h))
			return fail_cut(h);
		c = *h->p;
		if (c != 'C')
			break;
		h->p++;
		r = class_read(h);
		if (r < 0)
			return r;
	}
	if (c < 0x20 || (c >= 0x30 && c < 0x34))
		return string_skip(h);
	if (c < 0x38)
		return binary_skip(h);
	h->p++;
	if (c < 0x40)
		return step(h, 2); /* long of three bytes */
	if (c < 0x60)
		return letter_skip(h, s, c);
	if (c < 0x70)
		return object_open(h, s, c - 0x60);
	if (c < 0x80)
		return list_open(h, s, c);
	if (c < 0xc0)
		return 0; /* int of one byte */
	if (c < 0xd0)
		return step(h, 1);
	if (c < 0xd8)
		return step(h, 2);
	return step(h, c < 0xf0 ? 0 : 1); /* longs */
}

/* One value of the innermost container is done, or its end mark is: closes what is complete. */
static void unwind(struct hessian2 *h, struct stack *s)
{
	while (s->n) {
		struct level *l = &s->v[s->n - 1];
		bool done;

		if (l->kind == LEVEL_COUNT) {
			done = l->left == 0;
		} else {
			done = l->kind != LEVEL_VALUE && !hessian2_is_end(h) && *h->p == 'Z';
			if (done)
				h->p++;
		}
		if (!done)
			return;
		s->n--;
	}
}

/* Books the value that comes next on the innermost container. */
static void account(struct stack *s)
{
	struct level *l = &s->v[s->n - 1];

	if (l->kind == LEVEL_COUNT)
		l->left--;
	else if (l->kind == LEVEL_KEY)
		l->kind = LEVEL_VALUE;
	else if (l->kind == LEVEL_VALUE)
		l->kind = LEVEL_KEY;
}

int hessian2_skip(struct hessian2 *h)
{
	struct stack s;
	int r;

	s.n = 0;
	r = value_skip(h, &s);
	for (;;) {
		if (r < 0)
			return r;
		unwind(h, &s);
		if (!s.n)
			return 0;
		account(&s);
		r = value_skip(h, &s);
	}
}

int hessian2_map_open(struct hessian2 *h)
{
	unsigned int c;
	int64_t ref;
	int r;

	if (hessian2_is_end(h))
		return fail_cut(h);
	c = *h->p++;
	switch (c) {
	case 'H':
		return 1;
	case 'M':
		r = type_skip(h);
		return r < 0 ? r : 1;
	case 'N':
		return 0;
	case 'Q':
		return int_read(h, &ref);
	default:
		return fail(h, -EPROTO, "hessian2 map expected");
	}
}

bool hessian2_map_is_done(struct hessian2 *h)
{
	if (hessian2_is_end(h) || *h->p != 'Z')
		return false;
	h->p++;
	return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Length of the valid UTF-8 character at @p, or 0. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	unsigned int units;
	size_t len = char_bytes(*p, &units);

	if (!len || len > n || *p == 0xc0 || *p == 0xc1)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static void surrogate_write(struct buf *out, uint32_t unit)
{
	buf_add_char(out, (char)(0xe0 | unit >> 12));
	buf_add_char(out, (char)(0x80 | (unit >> 6 & 0x3f)));
	buf_add_char(out, (char)(0x80 | (unit & 0x3f)));
}

static void char_write(struct buf *out, const unsigned char *p, size_t n)
{
	uint32_t c;

	if (n < 4) {
		buf_add(out, p, n);
		return;
	}
	c = (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
	    (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
	if (c < 0x10000 || c > 0x10ffff) {
		buf_add(out, "??", 2); /* two units were counted for it */
		return;
	}
	c -= 0x10000;
	surrogate_write(out, 0xd800 | c >> 10);
	surrogate_write(out, 0xdc00 | (c & 0x3ff));
}

/* Bytes of @s that fill at most one chunk, and their units. */
static size_t chunk_measure(struct slice s, size_t *ret_units)
{
	size_t at = 0, units = 0;

	while (at < s.len) {
		size_t n = utf8_len((const unsigned char *)s.ptr + at, s.len - at);
		size_t u = n == 4 ? 2 : 1;

		if (units + u > HESSIAN2_CHUNK)
			break;
		units += u;
		at += n ? n : 1;
	}
	*ret_units = units;
	return at;
}

static void chunk_head_write(struct buf *out, size_t units, bool last)
{
	if (last && units < 32) {
		buf_add_char(out, (char)units);
		return;
	}
	if (last && units < 1024) {
		buf_add_char(out, (char)(0x30 + (units >> 8)));
	} else {
		buf_add_char(out, last ? 'S' : 'R');
		buf_add_char(out, (char)(units >> 8));
	}
	buf_add_char(out, (char)units);
}

void hessian2_write_string(struct buf *out, struct slice s)
{
	bool last;

	do {
		size_t units, bytes = chunk_measure(s, &units);

		last = bytes == s.len;
		chunk_head_write(out, units, last);
		for (size_t at = 0; at < bytes;) {
			const unsigned char *p = (const unsigned char *)s.ptr + at;
			size_t n = utf8_len(p, bytes - at);

			if (n)
				char_write(out, p, n);
			else
				buf_add_char(out, '?');
			at += n ? n : 1;
		}
		if (!last)
			s = slice_skip(s, bytes);
	} while (!last);
}
