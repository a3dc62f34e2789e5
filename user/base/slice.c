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
