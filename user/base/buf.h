/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An owned, growing queue of bytes: appended at the end, consumed at the front. All zero is a
 * valid empty buffer. Memory is given back by buf_done; an empty buffer over BUF_KEEP shrinks.
 */
#ifndef SKIFF_BASE_BUF_H
#define SKIFF_BASE_BUF_H

#include "base/slice.h"

#define BUF_KEEP 65536

struct buf {
	char *base;
	size_t head; /* first byte not consumed */
	size_t tail; /* end of the bytes */
	size_t cap;
};

static inline size_t buf_len(const struct buf *b)
{
	return b->tail - b->head;
}

static inline char *buf_ptr(const struct buf *b)
{
	/* NULL + 0 is undefined. */
	return b->head ? b->base + b->head : b->base;
}

static inline struct slice buf_slice(const struct buf *b)
{
	return slice_of(buf_ptr(b), b->tail - b->head);
}

/* Room for at least @n more bytes at the end; the address stays good until the next call. */
char *buf_grow(struct buf *b, size_t n);

static inline char *buf_reserve(struct buf *b, size_t n)
{
	return likely(b->cap - b->tail >= n) ? b->base + b->tail : buf_grow(b, n);
}

/* Takes @n bytes that were written after buf_reserve into the buffer. */
static inline void buf_commit(struct buf *b, size_t n)
{
	b->tail += n;
}

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
	if (n) {
		memcpy(buf_reserve(b, n), p, n);
		b->tail += n;
	}
}

static inline void buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.ptr, s.len);
}

static inline void buf_add_char(struct buf *b, char c)
{
	*buf_reserve(b, 1) = c;
	b->tail++;
}

void buf_add_u64(struct buf *b, uint64_t v); /* decimal */
void buf_printf(struct buf *b, const char *fmt, ...) printf_like(2, 3);

/* Drops @n bytes at the front. */
void buf_consume(struct buf *b, size_t n);
/* Empties; keeps at most BUF_KEEP bytes of memory. */
void buf_clear(struct buf *b);
/* Gives the memory back; the buffer is empty and usable. */
void buf_done(struct buf *b);

#endif
