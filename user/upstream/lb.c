/* SPDX-License-Identifier: Apache-2.0 */
/* Priorities: which hosts may be picked at all, and how much each priority takes. */
#include "upstream/lb_impl.h"

#define OVERPROVISION 140 /* percent */

struct census {
	uint32_t total, healthy;
	uint32_t available; /* percent, overprovisioned */
};

static int by_level(const void *a, const void *b)
{
	const struct lb_host *x = *(struct lb_host *const *)a, *y = *(struct lb_host *const *)b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return (int)y->healthy - (int)x->healthy;
}

/* Levels by priority; healthy hosts come first in each. */
static void take_census(struct lb_set *s, struct census v[static LB_LEVELS])
{
	s->n_levels = 0;
	for (uint32_t i = 0; i < s->n; i++) {
		const struct lb_host *h = s->hosts[i];
		bool is_new = !i || h->priority != s->hosts[i - 1]->priority;

		if (is_new && s->n_levels < LB_LEVELS) {
			v[s->n_levels] = (struct census){ 0 };
			s->levels[s->n_levels++] = (struct lb_level){ .first = i };
		}
		v[s->n_levels - 1].total++;
		v[s->n_levels - 1].healthy += h->healthy;
	}
}

/* Parts of 100 by @weight; what rounding leaves goes to the first level that has any. */
static void spread(struct lb_set *s, const uint32_t *weight, uint32_t sum)
{
	uint32_t left = 100;

	for (uint32_t i = 0; i < s->n_levels; i++) {
		uint32_t part = sum ? (uint32_t)((uint64_t)weight[i] * 100 / sum) : 0;

		s->levels[i].load = part < left ? part : left;
		left -= s->levels[i].load;
	}
	for (uint32_t i = 0; i < s->n_levels && left; i++)
		if (s->levels[i].load || !sum) {
			s->levels[i].load += left;
			left = 0;
		}
}

static void set_loads(struct lb_set *s, struct census v[static LB_LEVELS])
{
	uint32_t weight[LB_LEVELS] = { 0 };
	uint32_t sum = 0, hosts = 0;
	bool all_panic = true;

	for (uint32_t i = 0; i < s->n_levels; i++) {
		uint64_t available = (uint64_t)v[i].healthy * OVERPROVISION / v[i].total;

		v[i].available = available < 100 ? (uint32_t)available : 100;
		sum += v[i].available;
		hosts += v[i].total;
	}
	sum = sum < 100 ? sum : 100;
	for (uint32_t i = 0; i < s->n_levels; i++) {
		weight[i] = v[i].available;
		s->levels[i].panic = sum < 100 && v[i].healthy * 100ull <
							  (uint64_t)s->panic_threshold * v[i].total;
		s->levels[i].n = s->levels[i].panic ? v[i].total : v[i].healthy;
		all_panic = all_panic && s->levels[i].panic;
	}
	spread(s, weight, sum);
	if (!all_panic || !hosts)
		return;
	/* Nothing is well: as if everything were, by the number of hosts. */
	for (uint32_t i = 0; i < s->n_levels; i++)
		weight[i] = v[i].total;
	spread(s, weight, hosts);
}

void lb_levels_build(struct lb_set *s, struct rng *rng)
{
	struct census v[LB_LEVELS] = { 0 };

	if (s->n)
		qsort(s->hosts, s->n, sizeof(struct lb_host *), by_level);
	take_census(s, v);
	set_loads(s, v);
	for (uint32_t i = 0; i < s->n_levels; i++) {
		struct lb_level *l = &s->levels[i];

		/* Workers and reloads must not all begin with the same host. */
		l->cursor = l->n ? rng_below(rng, l->n) : 0;
		for (uint32_t k = 1; k < l->n; k++)
			l->weighted |= s->hosts[l->first + k]->weight != s->hosts[l->first]->weight;
	}
}

struct lb_level *lb_level_pick(struct lb_set *s, struct rng *rng)
{
	uint32_t at;

	if (likely(s->n_levels == 1))
		return s->levels[0].n ? &s->levels[0] : NULL;
	at = rng_below(rng, 100);
	for (uint32_t i = 0; i < s->n_levels; i++) {
		if (at < s->levels[i].load)
			return s->levels[i].n ? &s->levels[i] : NULL;
		at -= s->levels[i].load;
	}
	return NULL;
}

const struct lb *lb_find(enum mesh_lb policy)
{
	static const struct lb *const table[] = { &lb_round_robin, &lb_least_request, &lb_random };

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i]->policy == policy)
			return table[i];
	return NULL;
}
