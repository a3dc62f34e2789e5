/* SPDX-License-Identifier: Apache-2.0 */
/* Fast random numbers for load balancing and fractions (xorshift); never for secrets. */
#ifndef SKIFF_BASE_RAND_H
#define SKIFF_BASE_RAND_H

#include <stdint.h>

struct rng {
	uint64_t s;
};

static inline void rng_init(struct rng *r, uint64_t seed)
{
	r->s = seed ? seed : 0x9e3779b97f4a7c15ull;
}

static inline uint64_t rng_u64(struct rng *r)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return r->s * 0x2545f4914f6cdd1dull;
}

/* In [0, n), n > 0. */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(((rng_u64(r) >> 32) * n) >> 32);
}

#endif
