/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buckets of one local rate limit: the default one, one a descriptor, and those that wildcard
 * descriptors grow by value. Shared by workers, or one a connection. Knows nothing of messages.
 */
#ifndef SKIFF_FILTER_LIMITER_H
#define SKIFF_FILTER_LIMITER_H

#include <pthread.h>

#include "filter/filter.h"

#define LIMITER_VALUES_DEFAULT 20

/* One value of a wildcard descriptor. */
struct limiter_value {
	struct filter_bucket bucket;
	uint64_t used; /* for the oldest */
	uint64_t hash_low, hash_high;
};

struct limiter_entry {
	const struct mesh_rl_descriptor *conf;
	struct filter_bucket bucket;
	bool is_wildcard;
	struct limiter_value *values; /* max_values of them; the oldest go */
	uint32_t n_values;
};

struct limiter {
	bool has_default, always_default;
	struct filter_bucket bucket;
	uint32_t max_tokens, max_values;
	struct limiter_entry *entries; /* slowest first */
	uint32_t n;
	uint64_t clock; /* of wildcard use */
	uint64_t seed;	/* of value hashes: a peer chooses the values */
	pthread_mutex_t lock; /* wildcard values only */
};

/* What the x-ratelimit headers say. */
struct limiter_state {
	uint32_t limit, left, reset_s;
	bool is_known;
	bool is_shadow;	  /* refused by a descriptor that only counts */
};

/* Everything in @a, zero before. */
void limiter_init(struct limiter *l, const struct mesh_local_ratelimit *conf, struct arena *a);
/* Takes tokens for a request with these descriptors. false: over the limit; @ret_state->is_shadow:
 * only of descriptors that let pass. */
bool limiter_take(struct limiter *l, const struct filter_descriptor *d, uint32_t n, uint64_t now_ns,
		  struct limiter_state *ret_state);

#endif
