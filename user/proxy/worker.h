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
void worker_nudge(void *arg);

#endif
