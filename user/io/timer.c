/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: a hierarchical wheel of 1 ms steps, four levels of 256 slots (49 days; later timers
 * wait in the last level and are spread again). Setting and cancelling are O(1). A bit a slot
 * says "may hold timers"; cancelling leaves it set, searching clears it.
 */
#include "io/io_impl.h"

#define LEVEL_SHIFT(level) ((level) * WHEEL_BITS)
#define SLOT_MASK (WHEEL_SLOTS - 1)
#define WHEEL_SPAN (1ull << (WHEEL_LEVELS * WHEEL_BITS))

void wheel_init(struct wheel *w, uint64_t now_ns)
{
	memset(w->used, 0, sizeof(w->used));
	w->tick = now_ns / NSEC_PER_MSEC;
	for (unsigned int level = 0; level < WHEEL_LEVELS; level++)
		for (unsigned int i = 0; i < WHEEL_SLOTS; i++)
			list_init(&w->slot[level][i]);
}

void wheel_done(struct wheel *w)
{
	for (unsigned int level = 0; level < WHEEL_LEVELS; level++) {
		for (unsigned int i = 0; i < WHEEL_SLOTS; i++) {
			struct list *n;

			while ((n = list_pop(&w->slot[level][i])) != NULL)
				list_entry(n, struct io_timer, node)->at = 0;
		}
	}
}

static void wheel_add(struct wheel *w, struct io_timer *t)
{
	/* A timer that is due while its slot is being spread goes to the slot of this very tick. */
	uint64_t at = t->at < w->tick ? w->tick : t->at;
	uint64_t delta = at - w->tick;
	unsigned int level = 0;
	unsigned int i;

	if (delta >= WHEEL_SPAN) {
		delta = WHEEL_SPAN - 1;
		at = w->tick + delta;
	}
	while (delta >> LEVEL_SHIFT(level + 1))
		level++;
	i = (unsigned int)(at >> LEVEL_SHIFT(level)) & SLOT_MASK;
	list_push(&w->slot[level][i], &t->node);
	w->used[level][i / 64] |= 1ull << (i % 64);
}

/* The first slot from @from on, going round once, that holds a timer; -1: none. */
static int wheel_find(struct wheel *w, unsigned int level, unsigned int from)
{
	for (unsigned int n = 0; n < WHEEL_SLOTS;) {
		unsigned int i = (from + n) & SLOT_MASK;
		uint64_t word = w->used[level][i / 64] >> (i % 64);

		if (!word) {
			n += 64 - i % 64;
			continue;
		}
		n += (unsigned int)__builtin_ctzll(word);
		i = (from + n) & SLOT_MASK;
		if (n >= WHEEL_SLOTS)
			break;
		if (!list_is_empty(&w->slot[level][i]))
			return (int)i;
		w->used[level][i / 64] &= ~(1ull << (i % 64));
	}
	return -1;
}

uint64_t wheel_next(struct wheel *w)
{
	uint64_t next = UINT64_MAX;

	for (unsigned int level = 0; level < WHEEL_LEVELS; level++) {
		/* The slot of the present has been handled: it stands for one full round later. */
		uint64_t base = (w->tick >> LEVEL_SHIFT(level)) + 1;
		int i = wheel_find(w, level, (unsigned int)base & SLOT_MASK);
		uint64_t at;

		if (i < 0)
			continue;
		at = (base + (((unsigned int)i - base) & SLOT_MASK)) << LEVEL_SHIFT(level);
		if (at < next)
			next = at;
	}
	return next;
}

/* Spreads the coarse slots that begin at this tick over the finer levels. */
static void wheel_cascade(struct wheel *w)
{
	for (unsigned int level = WHEEL_LEVELS - 1; level > 0; level--) {
		unsigned int i = (unsigned int)(w->tick >> LEVEL_SHIFT(level)) & SLOT_MASK;
		struct list moved;
		struct list *n;

		if (w->tick & ((1ull << LEVEL_SHIFT(level)) - 1))
			continue;
		list_init(&moved);
		list_splice(&moved, &w->slot[level][i]);
		while ((n = list_pop(&moved)) != NULL)
			wheel_add(w, list_entry(n, struct io_timer, node));
	}
}

void wheel_run(struct wheel *w, uint64_t now_ns)
{
	uint64_t now = now_ns / NSEC_PER_MSEC;
	uint64_t next;

	while ((next = wheel_next(w)) <= now) {
		struct list due;
		struct list *n;

		w->tick = next;
		wheel_cascade(w);
		list_init(&due);
		list_splice(&due, &w->slot[0][w->tick & SLOT_MASK]);
		/* One by one: a callback may cancel the next. */
		while ((n = list_pop(&due)) != NULL) {
			struct io_timer *t = list_entry(n, struct io_timer, node);

			t->at = 0;
			t->fn(t);
		}
	}
	if (now > w->tick)
		w->tick = now;
}

void io_timer_init(struct io_timer *t, void (*fn)(struct io_timer *t))
{
	list_init(&t->node);
	t->at = 0;
	t->fn = fn;
}

void io_timer_set(struct io *io, struct io_timer *t, uint64_t ms)
{
	uint64_t at = (io->now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;

	at = ms > UINT64_MAX - at ? UINT64_MAX : at + ms;
	/* The slot of the present tick is not looked at again. */
	if (at <= io->wheel.tick)
		at = io->wheel.tick + 1;
	list_del(&t->node);
	t->at = at;
	wheel_add(&io->wheel, t);
}

void io_timer_cancel(struct io *io, struct io_timer *t)
{
	(void)io;
	list_del(&t->node);
	t->at = 0;
}
