/* SPDX-License-Identifier: Apache-2.0 */
/* One after the other; by weight where weights differ. */
#include "upstream/lb_impl.h"

static void rebuild(struct lb_set *s, struct rng *rng)
{
	lb_levels_build(s, rng);
	lb_edf_build(s, false, rng);
}

static struct lb_host *pick(struct lb_set *s, struct rng *rng)
{
	struct lb_level *l = lb_level_pick(s, rng);

	if (!l)
		return NULL;
	if (l->weighted)
		return lb_edf_pick(s, l, false);
	if (++l->cursor >= l->n)
		l->cursor = 0;
	return s->hosts[l->first + l->cursor];
}

const struct lb lb_round_robin = { MESH_LB_ROUND_ROBIN, "round_robin", rebuild, pick };
