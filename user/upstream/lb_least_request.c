/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least busy of a few hosts drawn at random. Where weights differ: by weight, divided by the
 * requests in progress.
 */
#include "upstream/lb_impl.h"

#define CHOICES 2

static void rebuild(struct lb_set *s, struct rng *rng)
{
	lb_levels_build(s, rng);
	lb_edf_build(s, true, rng);
}

static struct lb_host *pick(struct lb_set *s, struct rng *rng)
{
	struct lb_level *l = lb_level_pick(s, rng);
	struct lb_host *best = NULL;
	uint32_t choices = s->choice_count ? s->choice_count : CHOICES;

	if (!l)
		return NULL;
	if (l->weighted)
		return lb_edf_pick(s, l, true);
	/* More draws than hosts: look at each. */
	for (uint32_t i = 0; i < choices && i < l->n; i++) {
		uint32_t at = choices < l->n ? rng_below(rng, l->n) : (i + l->cursor) % l->n;
		struct lb_host *h = s->hosts[l->first + at];

		if (!best || h->active < best->active)
			best = h;
	}
	l->cursor++;
	return best;
}

const struct lb lb_least_request = { MESH_LB_LEAST_REQUEST, "least_request", rebuild, pick };
