/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load balancing: which endpoint next. One file a policy; state is one worker's, so no locks.
 *
 * HINT: a policy is one const struct lb with pick and rebuild; add it to lb_find in lb.c.
 */
#ifndef SKIFF_UPSTREAM_LB_H
#define SKIFF_UPSTREAM_LB_H

#include "base/rand.h"
#include "mesh/cluster.h"

/* An endpoint alive in one worker. The policy may keep its own numbers in it. */
struct lb_host {
	struct addr addr;
	struct slice hostname;
	uint32_t weight;
	uint32_t priority;
	bool healthy;
	uint32_t active; /* requests in progress, kept by the engine */
	double deadline; /* weighted round robin (EDF) */
};

#define LB_LEVELS 8 /* priorities told apart; further ones count as the last */

/* The hosts of one priority that take traffic: hosts[first .. first + n). Kept by rebuild. */
struct lb_level {
	uint32_t first, n;
	uint32_t load; /* percent of all picks */
	uint32_t cursor;
	bool weighted; /* the weights differ: hosts[] is a heap by deadline */
	bool panic;
};

struct lb_set {
	struct lb_host **hosts; /* owned by the caller; rebuild reorders it */
	uint32_t n;
	uint32_t cursor;
	uint32_t choice_count;
	uint32_t panic_threshold;
	bool weighted;	/* not all weights are equal */
	double edf_now; /* weighted round robin */
	struct lb_level levels[LB_LEVELS];
	uint32_t n_levels;
};

struct lb {
	enum mesh_lb policy;
	const char *name;
	/* The hosts, their health or weights changed. Must be called before the first pick. */
	void (*rebuild)(struct lb_set *s, struct rng *rng);
	/* NULL: no host can be used. */
	struct lb_host *(*pick)(struct lb_set *s, struct rng *rng);
};

const struct lb *lb_find(enum mesh_lb policy);
/*
 * Priorities as Envoy: the best takes all while 72 % of its hosts are healthy (factor 1.4), below
 * that the rest spills to the next; with too little health altogether, priorities below the panic
 * threshold use all of their hosts.
 */
extern const struct lb lb_round_robin, lb_least_request, lb_random;

#endif
