/* SPDX-License-Identifier: Apache-2.0 */
/* Shared inside the agent room: what the files about the control plane know of each other. */
#ifndef SKIFF_AGENT_XDS_H
#define SKIFF_AGENT_XDS_H

#include "agent/agent_impl.h"
#include "xds/ads_grpc.h"
#include "xds/lkg.h"

struct agent_xds {
	struct agent *a;
	struct arena arena;
	struct skiffd_xds *conf; /* as it was at the start */
	struct io *io;
	struct xds_store *store;
	struct ads_grpc *grpc;
	char *lkg_path;          /* NULL: nothing is kept on disk */
	struct lkg *lkg;         /* what was there at the start, as long as somebody may need it */
	uint64_t lkg_written_ns; /* wall clock; 0: there was none */
	struct lkg_keeper *keeper;
	uint64_t published_ms; /* monotonic: the last time that views were taken up */
	uint32_t gather_ms;    /* so long until the next */
	bool is_due;           /* some pod's is_due */
	struct list answered;  /* struct host_want: workers are to be told */
};

/* ---- xds_view.c ---- */
/*
 * Builds the views of all pods that are due, publishes them in one step, lets those serve that were
 * held. What the engine refuses leaves its pod with the view that it has.
 */
void xds_publish(struct agent_xds *x);
/* Only endpoints changed. */
void xds_endpoints(struct agent_xds *x, struct agent_pod *p, struct slice cluster,
		   struct mesh_part *part);
/* Pods whose shared view is no longer the same for all of them get their own. */
void xds_check_shared(struct agent_xds *x, uint64_t now_ms);

/* ---- on_demand.c ---- */
/* The node of @p says that a virtual host is there, or does not exist. */
void xds_host_answered(struct agent_xds *x, const struct agent_pod *p, struct slice table,
		       struct slice host);
/* Tells the workers of those whose pod's view is in force. */
void xds_hosts_turn(struct agent_xds *x);
void xds_hosts_done(struct agent_xds *x);

/* ---- hold.c ---- */
/* The pods that have waited too long are open or closed from now on, as they are configured. */
void xds_hold_turn(struct agent_xds *x, uint64_t now_ms);
/* When the next pod has waited too long (monotonic ms); 0: none waits. */
uint64_t xds_hold_next(const struct agent_xds *x);

#endif
