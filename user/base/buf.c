/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte queue. */
#include "base/buf.h"

#include <stdarg.h>

#define BUF_FIRST 512

char *buf_grow(struct buf *b, size_t n)
{
	size_t len = buf_len(b);
	size_t want = len + n;
	size_t cap = b->cap ? b->cap : BUF_FIRST;

	must(want >= len);
	/* Moving is enough when at least half of the room is consumed space. */
	if (b->head && want <= b->cap / 2) {
		memmove(b->base, buf_ptr(b), len);
	} else {
		char *p;

		while (cap < want)
			cap = cap > SIZE_MAX / 2 ? want : cap * 2;
		p = xmalloc(cap);
		if (len)
			memcpy(p, b->base + b->head, len);
		free(b->base);
		b->base = p;
		b->cap = cap;
	}
	b->head = 0;
	b->tail = len;
	return b->base + len;
}

void buf_add_u64(struct buf *b, uint64_t v)
{
	char tmp[20];
	size_t n = sizeof(tmp);

	do {
		tmp[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_add(b, tmp + n, sizeof(tmp) - n);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	vsnprintf(buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
	va_end(again);
	b->tail += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
	must(n <= buf_len(b));
	b->head += n;
	if (b->head == b->tail)
		buf_clear(b);
}

void buf_clear(struct buf *b)
{
	b->head = b->tail = 0;
	if (b->cap > BUF_KEEP)
		buf_done(b);
}

void buf_done(struct buf *b)
{
	free(b->base);
	*b = (struct buf){ 0 };
}
