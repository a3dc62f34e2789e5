/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of names and the sums over all workers' sets. */
#include "base/stats.h"

#include <pthread.h>
#include <stdarg.h>
#include <uthash.h>

#define HIST_CELLS (STATS_BUCKETS + 1)

struct stat_name {
	char *name;
	enum stat_kind kind;
	stat_id id;
	UT_hash_handle hh;
};

struct source {
	struct source *next;
	void (*fn)(void *arg, const struct stats_sink *out);
	void *arg;
};

static pthread_mutex_t sources_lock = PTHREAD_MUTEX_INITIALIZER;
static struct source *sources;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stat_name *names;
static struct stats_set *sets;
static uint32_t next_id = 1;
static const double bounds[] = STATS_BOUNDS;

_Static_assert(ARRAY_LEN(bounds) + 1 == STATS_BUCKETS,
	       "a bucket for each bound and one for the rest");

/* A histogram's cells lie together in one chunk. */
static stat_id take_ids(uint32_t n)
{
	stat_id id;

	if (next_id / STATS_CHUNK != (next_id + n - 1) / STATS_CHUNK)
		next_id = (next_id / STATS_CHUNK + 1) * STATS_CHUNK;
	if (next_id + n > STATS_MAX)
		return 0;
	id = next_id;
	next_id += n;
	return id;
}

stat_id stats_register(enum stat_kind kind, const char *name)
{
	struct stat_name *s;
	stat_id id;

	pthread_mutex_lock(&lock);
	HASH_FIND_STR(names, name, s);
	if (s) {
		/* A histogram has more cells than a counter: never share across kinds. */
		id = s->kind == kind ? s->id : 0;
		goto out;
	}
	id = take_ids(kind == STAT_HISTOGRAM ? HIST_CELLS : 1);
	if (!id)
		goto out;
	s = xcalloc(1, sizeof(*s));
	s->name = xstrdup(name);
	s->kind = kind;
	s->id = id;
	HASH_ADD_KEYPTR(hh, names, s->name, strlen(s->name), s);
out:
	pthread_mutex_unlock(&lock);
	return id;
}

stat_id stats_registerf(enum stat_kind kind, const char *fmt, ...)
{
	char name[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	return stats_register(kind, name);
}

struct stats_set *stats_set_new(void)
{
	struct stats_set *s = xcalloc(1, sizeof(*s));

	pthread_mutex_lock(&lock);
	s->next = sets;
	sets = s;
	pthread_mutex_unlock(&lock);
	return s;
}

void stats_set_free(struct stats_set *s)
{
	struct stats_set **p;

	if (!s)
		return;
	pthread_mutex_lock(&lock);
	for (p = &sets; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < ARRAY_LEN(s->chunks); i++)
		free(s->chunks[i]);
	free(s);
}

uint64_t *stats_cell_slow(struct stats_set *s, stat_id id)
{
	uint64_t *c = xcalloc(STATS_CHUNK, sizeof(*c));

	/* Release: a reader that sees the chunk sees its zeros. */
	__atomic_store_n(&s->chunks[id / STATS_CHUNK], c, __ATOMIC_RELEASE);
	return c + id % STATS_CHUNK;
}

void stats_record(struct stats_set *s, stat_id id, uint64_t us)
{
	double ms = (double)us / 1000;
	uint32_t b = 0;

	if (!id)
		return;
	while (b < ARRAY_LEN(bounds) && ms > bounds[b])
		b++;
	stats_inc(s, id + b);
	stats_add(s, id + STATS_BUCKETS, us);
}

static uint64_t sum(stat_id id)
{
	uint64_t v = 0;

	for (struct stats_set *s = sets; s; s = s->next) {
		uint64_t *c = __atomic_load_n(&s->chunks[id / STATS_CHUNK], __ATOMIC_ACQUIRE);

		if (c)
			v += __atomic_load_n(c + id % STATS_CHUNK, __ATOMIC_RELAXED);
	}
	return v;
}

uint64_t stats_value(stat_id id)
{
	uint64_t v;

	pthread_mutex_lock(&lock);
	v = sum(id);
	pthread_mutex_unlock(&lock);
	return v;
}

uint64_t stats_value_by_name(const char *name)
{
	struct stat_name *s;
	uint64_t v = 0;

	pthread_mutex_lock(&lock);
	HASH_FIND_STR(names, name, s);
	if (s)
		v = sum(s->id);
	pthread_mutex_unlock(&lock);
	return v;
}

/* ---- sources --------------------------------------------------------------------------------- */

void stats_source_add(void (*fn)(void *arg, const struct stats_sink *out), void *arg)
{
	struct source *s = xcalloc(1, sizeof(*s));

	pthread_mutex_lock(&sources_lock);
	*s = (struct source){ sources, fn, arg };
	sources = s;
	pthread_mutex_unlock(&sources_lock);
}

void stats_source_remove(void *arg)
{
	pthread_mutex_lock(&sources_lock);
	for (struct source **p = &sources; *p; p = &(*p)->next)
		if ((*p)->arg == arg) {
			struct source *s = *p;

			*p = s->next;
			free(s);
			break;
		}
	pthread_mutex_unlock(&sources_lock);
}

/* What a source said. */
struct row {
	char *name;
	enum stat_kind kind;
	uint64_t value;
};

struct rows {
	struct row *v;
	size_t n, cap;
};

static void rows_add(void *arg, enum stat_kind kind, const char *name, uint64_t value)
{
	struct rows *r = arg;

	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 256;
		r->v = xrealloc(r->v, r->cap * sizeof(*r->v));
	}
	r->v[r->n++] = (struct row){ xstrdup(name), kind, value };
}

static int by_row(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static void rows_ask(struct rows *r)
{
	struct stats_sink sink = { rows_add, r };

	pthread_mutex_lock(&sources_lock);
	for (struct source *s = sources; s; s = s->next)
		s->fn(s->arg, &sink);
	pthread_mutex_unlock(&sources_lock);
	if (r->n)
		qsort(r->v, r->n, sizeof(*r->v), by_row);
}

/* ---- all of them ----------------------------------------------------------------------------- */

struct walk {
	void (*fn)(void *arg, const char *name, enum stat_kind kind, uint64_t value,
		   const uint64_t *hist);
	void *arg;
	struct rows rows;
	size_t at; /* the next row */
};

/* The rows before @name (NULL: all that are left); one of that name itself is passed over. */
static void walk_rows(struct walk *w, const char *name)
{
	static const uint64_t empty[HIST_CELLS];

	for (; w->at < w->rows.n; w->at++) {
		const struct row *r = &w->rows.v[w->at];
		int d = name ? strcmp(r->name, name) : -1;

		if (d > 0)
			return;
		if (d == 0 || (w->at && strcmp(r[-1].name, r->name) == 0))
			continue;
		w->fn(w->arg, r->name, r->kind, r->kind == STAT_HISTOGRAM ? 0 : r->value,
		      r->kind == STAT_HISTOGRAM ? empty : NULL);
	}
}

static void walk_name(struct walk *w, const struct stat_name *s)
{
	uint64_t hist[HIST_CELLS];
	uint64_t n = 0;

	if (s->kind != STAT_HISTOGRAM) {
		w->fn(w->arg, s->name, s->kind, sum(s->id), NULL);
		return;
	}
	for (uint32_t i = 0; i < HIST_CELLS; i++)
		hist[i] = sum(s->id + i);
	for (uint32_t i = 0; i < STATS_BUCKETS; i++)
		n += hist[i];
	w->fn(w->arg, s->name, s->kind, n, hist);
}

static int by_name(struct stat_name *a, struct stat_name *b)
{
	return strcmp(a->name, b->name);
}

void stats_walk(void (*fn)(void *arg, const char *name, enum stat_kind kind, uint64_t value,
			   const uint64_t *hist),
		void *arg)
{
	struct walk w = { .fn = fn, .arg = arg };
	struct stat_name *s, *tmp;

	rows_ask(&w.rows);
	pthread_mutex_lock(&lock);
	HASH_SORT(names, by_name);
	HASH_ITER(hh, names, s, tmp) {
		walk_rows(&w, s->name);
		walk_name(&w, s);
	}
	walk_rows(&w, NULL);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < w.rows.n; i++)
		free(w.rows.v[i].name);
	free(w.rows.v);
}
