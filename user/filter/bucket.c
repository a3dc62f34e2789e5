/* SPDX-License-Identifier: Apache-2.0 */
/* Token bucket. */
#include <math.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "filter/filter.h"

#define RATE_MIN (1.0 / (365 * 24 * 3600)) /* a token a year */

void filter_bucket_init(struct filter_bucket *b, const struct mesh_token_bucket *conf)
{
	uint32_t per_fill = conf->tokens_per_fill ? conf->tokens_per_fill : 1;
	double seconds = (double)conf->fill_interval_ns / NSEC_PER_SEC;

	b->max = conf->max_tokens;
	b->rate = seconds > 0 ? per_fill / seconds : RATE_MIN;
	if (b->rate < RATE_MIN)
		b->rate = RATE_MIN;
	/* Long enough ago to be full, whatever the clock says. */
	b->empty_at_s = -(b->max / b->rate) - 1;
}

struct filter_bucket *filter_bucket_new(const struct mesh_token_bucket *conf)
{
	struct filter_bucket *b = xcalloc(1, sizeof(*b));

	filter_bucket_init(b, conf);
	return b;
}

void filter_bucket_free(struct filter_bucket *b)
{
	free(b);
}

static uint32_t whole(double tokens)
{
	return tokens > 0 ? (uint32_t)tokens : 0;
}

static uint32_t seconds_to_token(double tokens, double rate)
{
	return tokens >= 1 ? 0 : (uint32_t)fmin(ceil((1 - tokens) / rate), UINT32_MAX);
}

bool filter_bucket_take(struct filter_bucket *b, uint64_t now_ns, uint32_t *ret_left,
			uint32_t *ret_reset_s)
{
	double now = (double)now_ns / NSEC_PER_SEC;
	double empty_at = atomic_load_explicit(&b->empty_at_s, memory_order_relaxed);
	bool taken;
	double tokens;

	do {
		tokens = fmin(b->max, (now - empty_at) * b->rate);
		taken = tokens >= 1;
		if (!taken)
			break;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->empty_at_s, &empty_at, now - (tokens - 1) / b->rate, memory_order_relaxed,
		memory_order_relaxed));
	tokens -= taken;
	if (ret_left)
		*ret_left = whole(tokens);
	if (ret_reset_s)
		*ret_reset_s = seconds_to_token(tokens, b->rate);
	return taken;
}
