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

struct lb_set {
	struct lb_host **hosts; /* in configured order; owned by the caller */
	uint32_t n;
	uint32_t cursor;
	uint32_t choice_count;
	uint32_t panic_threshold;
	bool weighted;	/* not all weights are equal */
	double edf_now; /* weighted round robin */
};

struct lb {
	enum mesh_lb policy;
	const char *name;
	/* The hosts changed. */
	void (*rebuild)(struct lb_set *s, struct rng *rng);
	/* NULL: no host can be used. */
	struct lb_host *(*pick)(struct lb_set *s, struct rng *rng);
};

const struct lb *lb_find(enum mesh_lb policy);
/* Healthy hosts of the best priority; all hosts in panic (fewer healthy than the threshold). */
extern const struct lb lb_round_robin, lb_least_request, lb_random;

#endif
