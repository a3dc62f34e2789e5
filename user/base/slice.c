/* SPDX-License-Identifier: Apache-2.0 */
/* Text helpers over borrowed bytes. */
#include "base/slice.h"

#include <errno.h>

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
