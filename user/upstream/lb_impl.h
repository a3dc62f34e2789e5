/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the balancing policies only. */
#ifndef SKIFF_UPSTREAM_LB_IMPL_H
#define SKIFF_UPSTREAM_LB_IMPL_H

#include "upstream/lb.h"

/* Sorts the hosts into levels with their loads. Every policy's rebuild begins with it. */
void lb_levels_build(struct lb_set *s, struct rng *rng);
/* The level for this pick by load; NULL: none has hosts. */
struct lb_level *lb_level_pick(struct lb_set *s, struct rng *rng);

/*
 * Earliest deadline first: the host with the smallest deadline is next and gets a later one by its
 * weight. Build the heap after lb_levels_build; @divide_by_active: a busy host counts less.
 */
void lb_edf_build(struct lb_set *s, bool divide_by_active, struct rng *rng);
struct lb_host *lb_edf_pick(struct lb_set *s, struct lb_level *l, bool divide_by_active);

#endif
