/* SPDX-License-Identifier: Apache-2.0 */
/* Which buckets a request takes from: every matching descriptor's, slowest first, then the default.
 */
#include "filter/limiter.h"

#include <sys/random.h>
#include <xxhash.h>

static bool has_wildcard(const struct mesh_rl_descriptor *d)
{
	for (uint32_t i = 0; i < d->n_entries; i++)
		if (!d->entries[i].value.len)
			return true;
	return false;
}

static int by_rate(const void *a, const void *b)
{
	const struct limiter_entry *x = a, *y = b;

	return (x->bucket.rate > y->bucket.rate) - (x->bucket.rate < y->bucket.rate);
}

void limiter_init(struct limiter *l, const struct mesh_local_ratelimit *conf, struct arena *a)
{
	l->has_default = conf->has_bucket;
	l->always_default = conf->always_consume_default;
	l->max_tokens = conf->bucket.max_tokens;
	l->max_values = conf->max_values ? conf->max_values : LIMITER_VALUES_DEFAULT;
	if (conf->has_bucket)
		filter_bucket_init(&l->bucket, &conf->bucket);
	l->entries = arena_array(a, struct limiter_entry, conf->n_descriptors);
	l->n = conf->n_descriptors;
	for (uint32_t i = 0; i < l->n; i++) {
		struct limiter_entry *e = &l->entries[i];

		e->conf = &conf->descriptors[i];
		e->is_wildcard = has_wildcard(e->conf);
		filter_bucket_init(&e->bucket, &e->conf->bucket);
		if (e->is_wildcard)
			e->values = arena_array(a, struct limiter_value, l->max_values);
	}
	if (l->n)
		qsort(l->entries, l->n, sizeof(*l->entries), by_rate);
	/* Without randomness the seed stays what it is: only the odds of a collision suffer. */
	if (getrandom(&l->seed, sizeof(l->seed), GRND_NONBLOCK) != sizeof(l->seed))
		l->seed = (uint64_t)(uintptr_t)l;
	pthread_mutex_init(&l->lock, NULL);
}

static bool entry_is_match(const struct limiter_entry *e, const struct filter_descriptor *d)
{
	if (e->conf->n_entries != d->n)
		return false;
	for (uint32_t i = 0; i < d->n; i++) {
		const struct mesh_rl_entry *want = &e->conf->entries[i];

		if (!slice_is_equal(want->key, d->entries[i].key) ||
		    (want->value.len && !slice_is_equal(want->value, d->entries[i].value)))
			return false;
	}
	return true;
}

static XXH128_hash_t values_hash(const struct limiter *l, const struct filter_descriptor *d)
{
	XXH128_hash_t h = { l->seed, l->seed };

	for (uint32_t i = 0; i < d->n; i++) {
		XXH128_hash_t one = XXH3_128bits_withSeed(d->entries[i].value.ptr,
							  d->entries[i].value.len, h.low64 + i);

		h.low64 = one.low64 ^ (h.high64 << 1);
		h.high64 = one.high64 + h.low64;
	}
	return h;
}

/* Under the lock. */
static struct limiter_value *value_get(struct limiter *l, struct limiter_entry *e,
				       const struct filter_descriptor *d)
{
	XXH128_hash_t h = values_hash(l, d);
	struct limiter_value *v = NULL;

	for (uint32_t i = 0; i < e->n_values; i++) {
		if (e->values[i].hash_low == h.low64 && e->values[i].hash_high == h.high64) {
			e->values[i].used = ++l->clock;
			return &e->values[i];
		}
		if (!v || e->values[i].used < v->used)
			v = &e->values[i];
	}
	if (e->n_values < l->max_values)
		v = &e->values[e->n_values++];
	filter_bucket_init(&v->bucket, &e->conf->bucket);
	v->hash_low = h.low64;
	v->hash_high = h.high64;
	v->used = ++l->clock;
	return v;
}

static bool entry_take(struct limiter *l, struct limiter_entry *e,
		       const struct filter_descriptor *d, uint64_t now_ns, struct limiter_state *st)
{
	bool taken;

	st->limit = e->conf->bucket.max_tokens;
	st->is_known = true;
	if (!e->is_wildcard)
		return filter_bucket_take(&e->bucket, now_ns, &st->left, &st->reset_s);
	pthread_mutex_lock(&l->lock);
	taken = filter_bucket_take(&value_get(l, e, d)->bucket, now_ns, &st->left, &st->reset_s);
	pthread_mutex_unlock(&l->lock);
	return taken;
}

/* A descriptor written out goes before a wildcard that would match it too. */
static struct limiter_entry *entry_for(struct limiter *l, const struct filter_descriptor *d)
{
	struct limiter_entry *wild = NULL;

	for (uint32_t i = 0; i < l->n; i++) {
		struct limiter_entry *e = &l->entries[i];

		if (!entry_is_match(e, d))
			continue;
		if (!e->is_wildcard)
			return e;
		if (!wild)
			wild = e;
	}
	return wild;
}

struct matched {
	struct limiter_entry *entry;
	const struct filter_descriptor *d;
};

/* Insertion by rate keeps the slowest first. */
static uint32_t match_all(struct limiter *l, const struct filter_descriptor *d, uint32_t n,
			  struct matched *v, uint32_t max)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n && k < max; i++) {
		struct matched m = { entry_for(l, &d[i]), &d[i] };
		uint32_t at = k;

		if (!m.entry)
			continue;
		while (at && v[at - 1].entry->bucket.rate > m.entry->bucket.rate) {
			v[at] = v[at - 1];
			at--;
		}
		v[at] = m;
		k++;
	}
	return k;
}

#define MATCHED_MAX 32

bool limiter_take(struct limiter *l, const struct filter_descriptor *d, uint32_t n, uint64_t now_ns,
		  struct limiter_state *ret_state)
{
	struct matched v[MATCHED_MAX];
	uint32_t k = match_all(l, d, n, v, MATCHED_MAX);
	struct limiter_state st = { 0 };
	bool shadow = false;

	for (uint32_t i = 0; i < k; i++) {
		bool taken = entry_take(l, v[i].entry, v[i].d, now_ns, &st);

		if (i == 0 || !taken)
			*ret_state = st;
		if (!taken && !v[i].entry->conf->shadow)
			return false;
		shadow |= !taken;
	}
	if (l->has_default && (!k || l->always_default)) {
		st = (struct limiter_state){ .limit = l->max_tokens, .is_known = true };
		if (!filter_bucket_take(&l->bucket, now_ns, &st.left, &st.reset_s)) {
			*ret_state = st;
			return false;
		}
		if (!k)
			*ret_state = st;
	}
	ret_state->is_shadow = shadow;
	return !shadow;
}
