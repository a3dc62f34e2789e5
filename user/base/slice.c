/* SPDX-License-Identifier: Apache-2.0 */
/* Text helpers over borrowed bytes. */
#include "base/slice.h"

#include <errno.h>
#include <stdio.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
	while (s.len && is_blank(s.ptr[0]))
		s = slice_skip(s, 1);
	while (s.len && is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

struct slice slice_split(struct slice *s, char sep)
{
	ptrdiff_t at = slice_find(*s, sep);
	struct slice head = *s;

	if (at < 0) {
		*s = SLICE_NONE;
		return head;
	}
	head.len = (size_t)at;
	*s = slice_skip(*s, (size_t)at + 1);
	return head;
}

int slice_to_u64(struct slice s, uint64_t *ret_v)
{
	uint64_t v = 0;

	if (!s.len)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		unsigned int d = (unsigned char)s.ptr[i] - '0';

		if (d > 9)
			return -EINVAL;
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			return -ERANGE;
	}
	*ret_v = v;
	return 0;
}

char *slice_dup(struct slice s)
{
	char *p = xmalloc(s.len + 1);

	if (s.len)
		memcpy(p, s.ptr, s.len);
	p[s.len] = '\0';
	return p;
}

/* Bytes of the well-formed UTF-8 character at the front, 0: it is none. */
static size_t utf8_char(struct slice s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char c = (unsigned char)s.ptr[0];
	size_t n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
	uint32_t v = n == 1 ? c : c & (0x7fu >> n);

	if (!n || n > s.len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s.ptr[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | ((unsigned char)s.ptr[i] & 0x3f);
	}
	return v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? 0 : n;
}

/* Eight characters at once, as most texts are ASCII. */
static bool is_ascii8(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return !(v & 0x8080808080808080ull);
}

bool slice_is_utf8(struct slice s)
{
	for (size_t i = 0, n; i < s.len; i += n) {
		n = s.len - i >= 8 && is_ascii8(s.ptr + i) ? 8 : utf8_char(slice_skip(s, i));
		if (!n)
			return false;
	}
	return true;
}

/* Bytes of the UTF-8 character at the front; 0: there is none. */
static size_t utf8_len(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] > 0xf4 || n > s.len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than need be, a surrogate, past the last character. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* How the character of @n bytes (0: a stray byte) at the front is written; @text has room. */
static struct slice escaped(struct slice s, size_t n, const char *keep, char text[8])
{
	unsigned char c = (unsigned char)s.ptr[0];
	bool c1 = n == 2 && c == 0xc2 && (unsigned char)s.ptr[1] < 0xa0;
	static const char names[] = "\n\r\t", letters[] = "nrt";
	const char *name = memchr(names, c, sizeof(names) - 1);

	if (n && !c1 && ((c >= 0x20 && c != 0x7f) || (c && strchr(keep, c))))
		return slice_first(s, n);
	if (name)
		snprintf(text, 8, "\\%c", letters[name - names]);
	else if (n)
		snprintf(text, 8, "\\u%04x", c1 ? (unsigned char)s.ptr[1] : c);
	else
		snprintf(text, 8, "\\x%02x", c);
	return slice_str(text);
}

size_t slice_escape(struct slice s, const char *keep, char *out, size_t at, size_t cap)
{
	while (s.len) {
		char text[8];
		size_t n = utf8_len(s);
		struct slice piece = escaped(s, n, keep, text);

		if (piece.len > cap - at)
			break;
		memcpy(out + at, piece.ptr, piece.len);
		at += piece.len;
		s = slice_skip(s, n ? n : 1);
	}
	return at;
}
