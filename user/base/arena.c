/* SPDX-License-Identifier: Apache-2.0 */
/* Block allocator without single frees. */
#include "base/arena.h"

#include <stdarg.h>

struct arena_block {
	struct arena_block *next;
	size_t size;
	_Alignas(16) char data[];
};

void *arena_grow(struct arena *a, size_t n)
{
	size_t block = (a->block ? a->block : ARENA_BLOCK) - sizeof(struct arena_block);
	size_t size = n > block ? n : block;
	struct arena_block *b = xmalloc(sizeof(*b) + size);

	if (a->block && a->block < ARENA_BLOCK)
		a->block *= 2;
	a->total += size;
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	/* What does not fit a block stands alone and leaves the current block in use. */
	if (size == n && a->at)
		return b->data;
	a->at = b->data + n;
	a->left = size - n;
	return b->data;
}

struct slice arena_slice(struct arena *a, struct slice s)
{
	return slice_of(arena_str(a, s), s.len);
}

char *arena_str(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.len + 1);

	if (s.len)
		memcpy(p, s.ptr, s.len);
	p[s.len] = '\0';
	return p;
}

struct slice arena_join(struct arena *a, const struct slice *v, size_t n)
{
	size_t len = 0;
	char *p, *at;

	for (size_t i = 0; i < n; i++)
		len += v[i].len;
	p = at = arena_alloc(a, len + 1);
	for (size_t i = 0; i < n; i++) {
		if (v[i].len)
			memcpy(at, v[i].ptr, v[i].len);
		at += v[i].len;
	}
	*at = '\0';
	return slice_of(p, len);
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return slice_of(p, (size_t)n);
}

struct slice arena_u64(struct arena *a, uint64_t v)
{
	char *end = (char *)arena_alloc(a, 24) + 24;
	char *p = end;

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return slice_of(p, (size_t)(end - p));
}

void arena_reset(struct arena *a)
{
	struct arena_block *b = a->blocks;

	if (!b)
		return;
	while (b->next) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	/* An oversized first block is not worth keeping. */
	if (b->size > ARENA_BLOCK) {
		free(b);
		*a = (struct arena){ 0 };
		return;
	}
	a->blocks = b;
	a->at = b->data;
	a->left = b->size;
	a->total = b->size;
}

void arena_done(struct arena *a)
{
	struct arena_block *b = a->blocks;

	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	*a = (struct arena){ 0 };
}
