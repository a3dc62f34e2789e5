/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinary ports inside pods: listeners with bind_to_port that stand in a pod's view (Istio: those
 * of a Sidecar with captureMode NONE) are opened in the pod's namespace. One that cannot be had
 * harms nothing else; it is tried again. The ports of skiffd's own namespace are engine.c's.
 */
#ifndef SKIFF_PROXY_PORTS_H
#define SKIFF_PROXY_PORTS_H

#include "proxy/proxy_impl.h"

/* ---- engine.c: one listening socket a worker, together ---- */
/* Opens one socket a worker at @at; @out has place for them. 0 or -errno, then none is open. */
int listens_open(struct engine *e, const struct addr *at, struct epod *pod, int kind,
		 struct wlisten **out, struct err *err);
void listens_start(struct engine *e, struct wlisten **listens); /* they accept */
void listens_stop(struct engine *e, struct wlisten **listens);	/* closed and freed, all of them */

/* ---- ports.c ---- */
/*
 * Opens and closes what differs between @ports (struct list) and what @v (NULL: nothing) asks for.
 * The workers have @v already.
 */
void pod_ports_set(struct engine *e, struct list *ports, struct epod *pod,
		   const struct mesh_view *v);
/* Tries those again that are not open; how many are still not. */
unsigned int pod_ports_retry(struct engine *e, struct list *ports, struct epod *pod);
void pod_ports_each(const struct list *ports, void (*fn)(void *arg, const struct engine_port *p),
		    void *arg);
/* Frees the list when the workers, which have closed their sockets, are gone. */
void pod_ports_free(struct list *ports);

#endif
