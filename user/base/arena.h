/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that dies together: one arena a stream, a connection, a snapshot. All zero is a valid
 * empty arena. arena_reset keeps the first block, so a recycled stream does not call malloc.
 */
#ifndef SKIFF_BASE_ARENA_H
#define SKIFF_BASE_ARENA_H

#include "base/slice.h"

#define ARENA_BLOCK 4096

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first; the last one is kept by reset */
	char *at;
	size_t left;
	size_t total; /* bytes asked of malloc, for limits */
	/* Bytes of the next block, doubled up to ARENA_BLOCK; 0: ARENA_BLOCK. For arenas that are
	 * mostly small. */
	unsigned int block;
};

void *arena_grow(struct arena *a, size_t n);

/* Aligned to 8 bytes, not cleared. */
static inline void *arena_alloc(struct arena *a, size_t n)
{
	n = (n + 7) & ~(size_t)7;
	if (likely(a->left >= n)) {
		void *p = a->at;

		a->at += n;
		a->left -= n;
		return p;
	}
	return arena_grow(a, n);
}

static inline void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	/* Nothing of an empty arena is at NULL. */
	return n ? memset(p, 0, n) : p;
}

#define arena_new(a, type) ((type *)arena_zalloc(a, sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_zalloc(a, sizeof(type) * (n)))

/* Copy of @s that lives as long as the arena. */
struct slice arena_slice(struct arena *a, struct slice s);
char *arena_str(struct arena *a, struct slice s); /* the same, NUL-terminated */
/* All @n slices behind each other; any bytes, where arena_printf would stop at a NUL. */
struct slice arena_join(struct arena *a, const struct slice *v, size_t n);
struct slice arena_printf(struct arena *a, const char *fmt, ...) printf_like(2, 3);
struct slice arena_u64(struct arena *a, uint64_t v); /* decimal */

void arena_reset(struct arena *a);
void arena_done(struct arena *a);

#endif
