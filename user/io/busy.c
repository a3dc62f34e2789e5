/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Busy polling: waiting awake for a moment before the sleep when the event is likely to come within
 * that moment. A sleep that ends after 30 us costs as much again in waking up, and at low rates a
 * mesh pays that at each hop. The last two waits predict the next one (a request's answer comes
 * soon, the next request does not). A guess that was wrong, or a CPU that somebody else wants,
 * stops the guessing for ever longer times; and events that come several at once say that there is
 * enough to do. So an idle, a crowded and a loaded node pay next to nothing.
 */
#include <sched.h>

#include "io/io_impl.h"

#define EVENT 256                        /* one event, in io_busy.events */
#define QUIET_EVENTS (EVENT + EVENT / 2) /* events a turn; more is work enough */
#define SURE 4                           /* right guesses that are remembered */
#define PENALTY_MAX 1024                 /* short waits to see before the next guess */
#define IMMEDIATE_NS 3000                /* no wait at all: says nothing */
#define YIELD_EVERY_NS 8000              /* how often the others are let in */
#define YIELD_LONG_NS 80000              /* somebody with work: a peer that passes is shorter */

static void busy_wrong(struct io_busy_guess *g)
{
	g->penalty = g->penalty ? g->penalty * 2 : 1;
	if (g->penalty > PENALTY_MAX)
		g->penalty = PENALTY_MAX;
	g->score = -g->penalty;
}

/* Does anybody else want this CPU? They get it. */
static bool cpu_is_wanted(uint64_t *now)
{
	uint64_t after;

	sched_yield();
	after = clock_mono_ns();
	if (after - *now > YIELD_LONG_NS)
		return true;
	*now = after;
	return false;
}

bool busy_poll(struct io *io)
{
	struct io_busy *b = &io->busy;
	struct io_busy_guess *g = &b->guess[b->history];
	uint64_t now, end, yield;

	if (g->score <= 0 || b->events > QUIET_EVENTS)
		return false;
	/* What the turn armed must be with the kernel before its events can come. */
	io->backend->wait(io, 0);
	now = clock_mono_ns();
	end = now + b->limit_ns;
	yield = now;
	while (!io->backend->ready(io)) {
		bool wanted = now >= yield && cpu_is_wanted(&now);

		/* Who was let in may be who answers. */
		if (wanted && io->backend->ready(io))
			break;
		if (wanted || now >= end) {
			busy_wrong(g);
			return false;
		}
		if (now >= yield)
			yield += YIELD_EVERY_NS;
		now = clock_mono_ns();
	}
	g->penalty = 0;
	io->backend->wait(io, 0);
	return true;
}

void busy_count(struct io *io, unsigned int events)
{
	struct io_busy *b = &io->busy;

	b->events += ((int)events * EVENT - b->events) / 8;
}

void busy_learn(struct io *io, uint64_t waited_ns)
{
	struct io_busy *b = &io->busy;
	struct io_busy_guess *g = &b->guess[b->history];
	bool soon = waited_ns < b->limit_ns;

	if (waited_ns < IMMEDIATE_NS)
		return;
	if (soon && g->score < SURE)
		g->score++;
	else if (!soon && g->score > 0)
		g->score = 0;
	b->history = (b->history << 1 | soon) % ARRAY_LEN(b->guess);
}

void io_set_busy_poll(struct io *io, unsigned int us)
{
	io->busy.limit_ns = io->backend->ready ? us * 1000ull : 0;
}
