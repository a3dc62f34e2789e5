/* SPDX-License-Identifier: Apache-2.0 */
/* Any host; weights do not count, as in Envoy. */
#include "upstream/lb_impl.h"

static struct lb_host *pick(struct lb_set *s, struct rng *rng)
{
	struct lb_level *l = lb_level_pick(s, rng);

	return l ? s->hosts[l->first + rng_below(rng, l->n)] : NULL;
}

const struct lb lb_random = { MESH_LB_RANDOM, "random", lb_levels_build, pick };
