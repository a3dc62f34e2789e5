/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named counters, gauges and histograms. A name is registered once (thread-safe, mutex) and
 * gives an id; each worker owns a set of values that only it writes, so that counting on the hot
 * path is one plain add. Readers (the admin port) sum the sets with relaxed loads.
 * Names are Envoy's; ids of the same name are equal, so counts survive a new configuration.
 */
#ifndef SKIFF_BASE_STATS_H
#define SKIFF_BASE_STATS_H

#include "base/slice.h"

#define STATS_MAX (1u << 20) /* cells; names beyond go to the sink */
#define STATS_CHUNK 1024

enum stat_kind { STAT_COUNTER, STAT_GAUGE, STAT_HISTOGRAM };

typedef uint32_t stat_id; /* 0 is a sink that nobody reads */

/* Bucket bounds of a histogram in ms, as Envoy's and Istio's boards expect. */
#define STATS_BOUNDS \
	{ \
		0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, \
			300000, 600000, 1800000, 3600000 \
	}
#define STATS_BUCKETS 20 /* bounds and +Inf; followed by the sum in us */

struct stats_set; /* one worker's values */

/* The id of @name; 0 (the sink) when the cells are used up or the name has another kind already. */
stat_id stats_register(enum stat_kind kind, const char *name);
/* The same with a printf form. */
stat_id stats_registerf(enum stat_kind kind, const char *fmt, ...) printf_like(2, 3);

struct stats_set *stats_set_new(void); /* also makes it visible to readers */
void stats_set_free(struct stats_set *s);

uint64_t *stats_cell_slow(struct stats_set *s, stat_id id);

struct stats_set {
	uint64_t *chunks[STATS_MAX / STATS_CHUNK];
	struct stats_set *next;
};

static inline void stats_add(struct stats_set *s, stat_id id, uint64_t n)
{
	uint64_t *c = s->chunks[id / STATS_CHUNK];
	uint64_t *cell = likely(c != NULL) ? c + id % STATS_CHUNK : stats_cell_slow(s, id);

	/* One writer: a relaxed store is enough for readers on other cores. */
	__atomic_store_n(cell, *cell + n, __ATOMIC_RELAXED);
}

static inline void stats_inc(struct stats_set *s, stat_id id)
{
	stats_add(s, id, 1);
}

/* Gauges are sums over the workers: every inc has its dec. */
static inline void stats_dec(struct stats_set *s, stat_id id)
{
	stats_add(s, id, (uint64_t)-1);
}

/* Records one value of @us microseconds into histogram @id. */
void stats_record(struct stats_set *s, stat_id id, uint64_t us);

/* ---- sources --------------------------------------------------------------------------- */

/* Takes what a source says; of a name that is registered too, the registered value counts. */
struct stats_sink {
	void (*value)(void *arg, enum stat_kind kind, const char *name, uint64_t value);
	void *arg;
};

/*
 * @fn gives values that nobody registers (of a thousand things that are there and not used) each
 * time that all are read, on the reader's thread. A histogram's value is taken as empty.
 */
void stats_source_add(void (*fn)(void *arg, const struct stats_sink *out), void *arg);
/* Waits until no reader asks it. */
void stats_source_remove(void *arg);

/* ---- readers --------------------------------------------------------------------------- */
uint64_t stats_value(stat_id id); /* sum over the sets */
/* Calls @fn for every name, sorted. @hist: STATS_BUCKETS counts and the sum in us, else NULL. */
void stats_walk(void (*fn)(void *arg, const char *name, enum stat_kind kind, uint64_t value,
			   const uint64_t *hist),
		void *arg);
/* The value by name; 0 when there is none. */
uint64_t stats_value_by_name(const char *name);

#endif
