/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts of all clusters with their numbers, summed over the workers. Main thread. */
#ifndef SKIFF_PROXY_GATHER_H
#define SKIFF_PROXY_GATHER_H

#include "proxy/proxy_impl.h"

struct gathered {
	const struct mesh_cluster *cluster;
	uint32_t order; /* of the cluster, as configured */
	bool is_empty;  /* stands for the cluster itself; there is one of each, before its hosts */
	bool is_sent;   /* of is_empty: by a control plane, not a file */
	struct addr addr;
	struct slice hostname;
	uint32_t weight, priority;
	const struct mesh_endpoint_meta *meta; /* where it is; NULL: nobody said */
	bool healthy;
	uint64_t cx_total, cx_active, cx_fail, rq_total, rq_error, rq_success, rq_active;
};

struct gather {
	const struct mesh_view *only; /* NULL: all */
	struct gathered *v;
	size_t n, cap;
	uint32_t *slots; /* index in v + 1, by cluster and address */
	size_t mask;
	uint32_t n_clusters;
	struct arena arena; /* hostnames */
};

/*
 * The clusters of @only, or all that are configured (NULL; the same one of several views once) with
 * the hosts that they have, used or not. Pods that share a view share its numbers. Good as long as
 * no new configuration is published (main thread).
 */
void gather_hosts(struct engine *e, const struct mesh_view *only, struct gather *g);
void gather_done(struct gather *g);
const struct mesh_snapshot *gather_snapshot(const struct engine *e);

#endif
