/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted choice without streaks: a binary heap of the level's hosts by deadline. */
#include "upstream/lb_impl.h"

#define WARM_UP_MAX 429 /* picks thrown away, so that not everybody begins with the heaviest */

static double step(const struct lb_host *h, bool divide_by_active)
{
	double weight = h->weight ? h->weight : 1;

	return (divide_by_active ? h->active + 1.0 : 1.0) / weight;
}

static void sift_down(struct lb_host **v, uint32_t n, uint32_t i)
{
	for (;;) {
		uint32_t least = i;

		for (uint32_t k = 2 * i + 1; k <= 2 * i + 2 && k < n; k++)
			if (v[k]->deadline < v[least]->deadline)
				least = k;
		if (least == i)
			return;
		struct lb_host *h = v[i];

		v[i] = v[least];
		v[least] = h;
		i = least;
	}
}

struct lb_host *lb_edf_pick(struct lb_set *s, struct lb_level *l, bool divide_by_active)
{
	struct lb_host **v = s->hosts + l->first;
	struct lb_host *h = v[0];

	h->deadline += step(h, divide_by_active);
	sift_down(v, l->n, 0);
	return h;
}

void lb_edf_build(struct lb_set *s, bool divide_by_active, struct rng *rng)
{
	for (uint32_t i = 0; i < s->n_levels; i++) {
		struct lb_level *l = &s->levels[i];
		uint32_t warm_up;

		if (!l->weighted)
			continue;
		for (uint32_t k = 0; k < l->n; k++)
			s->hosts[l->first + k]->deadline =
				step(s->hosts[l->first + k], divide_by_active);
		for (uint32_t k = l->n; k-- > 0;)
			sift_down(s->hosts + l->first, l->n, k);
		warm_up = rng_below(rng, WARM_UP_MAX);
		while (warm_up--)
			lb_edf_pick(s, l, divide_by_active);
	}
}
