/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine asks of a worker; all but worker_main runs on the worker's thread. */
#ifndef SKIFF_PROXY_WORKER_H
#define SKIFF_PROXY_WORKER_H

#include "proxy/proxy_impl.h"
#include "proxy/stream.h"

/* A pod known to a worker. */
struct wpod {
	struct list node;
	struct epod *pod;
};

void *worker_main(void *arg); /* the thread */
void worker_set_snapshot(struct worker *w, struct psnap *ps);
/* The endpoints of the cluster at @place of @pv are others now. */
void worker_endpoints_changed(struct worker *w, const struct pview *pv, uint32_t place);
/* What engine_host_answered posts; the worker frees it. */
struct host_answer {
	struct worker *w;
	uint32_t pod;
	char *table, *host;
};
void worker_host_answered(void *arg);
void wsnap_free(struct wsnap *s);
void worker_nudge(void *arg);

#endif
