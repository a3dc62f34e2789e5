/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: workers that serve listeners by an immutable snapshot. It knows neither the control
 * plane nor libbpf; what it needs of them comes through struct engine_opts.
 */
#ifndef SKIFF_PROXY_ENGINE_H
#define SKIFF_PROXY_ENGINE_H

#include "base/buf.h"
#include "base/err.h"
#include "codec/codec.h"
#include "filter/filter.h"
#include "io/io.h"
#include "mesh/mesh.h"

#define ENGINE_OUTBOUND_PORT 15001
#define ENGINE_INBOUND_PORT 15006
#define ENGINE_WORKERS_MAX 256

/* Everything a peer or a tenant can make us hold; 0 means the default. */
struct engine_limits {
	uint32_t connections;	       /* downstream, all; default 100000 */
	uint32_t connections_per_pod;  /* default 20000 */
	uint64_t buffer_bytes;	       /* held for all streams; default 1 GiB */
	uint64_t buffer_bytes_per_pod; /* default 256 MiB */
};

struct engine_opts {
	unsigned int workers; /* 0: one a CPU */
	enum io_backend io;
	const struct codec *const *codecs; /* NULL-terminated, in sniffing order */
	const struct filter *const *filters;
	struct engine_limits limits;
	uint32_t busy_poll_us; /* io_set_busy_poll */
	const char *trust_domain; /* of identities of pods; NULL: cluster.local */
	uint32_t mark; /* SO_MARK of our sockets inside pods */
	/*
	 * The original destination of an outbound connection captured in @pod whose client's
	 * address is
	 * @peer. Any thread. 0 or -errno. NULL without capture.
	 */
	int (*original_dst)(void *arg, uint32_t pod, const struct addr *peer, struct addr *ret_dst);
	/*
	 * A request of @pod waits for the virtual host that the route table @table lacks for @host:
	 * engine_host_answered ends that. Any thread. NULL: nobody waits.
	 */
	void (*want_host)(void *arg, uint32_t pod, struct slice table, struct slice host);
	void *arg;
};

struct engine;

int engine_new(const struct engine_opts *opts, struct engine **ret_e, struct err *err);
void engine_free(struct engine *e); /* stops the workers and waits */

/* Listening descriptors inside a pod, for the kernel's maps; the engine's, good until its removal.
 * With several workers each is one of a SO_REUSEPORT group. */
struct engine_pod_fds {
	int outbound4, outbound6; /* outbound6: -1 without IPv6 */
	int inbound;		  /* dual-stack */
};

/*
 * Takes a pod's namespace: @netns is duplicated, its in-pod listeners are opened. @held:
 * connections wait in the kernel's queues, established and unread, until engine_pod_serve.
 */
int engine_pod_add(struct engine *e, uint32_t pod, int netns, bool has_ipv6, bool held,
		   struct engine_pod_fds *ret_fds, struct err *err);
/* Connections of the pod are accepted from now on. Its view should have been applied. */
void engine_pod_serve(struct engine *e, uint32_t pod);
/* Closes the listeners and the connections of the pod. */
void engine_pod_remove(struct engine *e, uint32_t pod);

/* An address that a listener of a pod is opened at, in the pod's namespace. */
struct engine_port {
	const char *listener;
	struct addr addr;
	const char *error; /* NULL: it is open */
};

/* Calls @fn for each of the pod's. Main thread, as the next. */
void engine_pod_ports(struct engine *e, uint32_t pod,
		      void (*fn)(void *arg, const struct engine_port *p), void *arg);
/* Tries again to open those that could not be opened; how many of all pods are still closed. */
unsigned int engine_ports_retry(struct engine *e);

/*
 * Publishes @s (takes a reference). Opens the ordinary ports of its host view first: when one
 * cannot be had, nothing changes and @err names it. Ports of pods (listeners with bind_to_port in
 * their views) follow; one that cannot be had stays closed (engine_pod_ports). Main thread.
 */
int engine_apply(struct engine *e, struct mesh_snapshot *s, struct err *err);

/*
 * Would the engine take a view with this resource in it, as far as the resource itself says? 0, or
 * a negative errno with @err: so that one bad resource is refused, and not the view that it is in.
 * Before anybody else sees @part. Main thread.
 */
int engine_check(struct engine *e, struct mesh_part *part, struct err *err);

/*
 * The endpoints of cluster @name of @v are those of @part from now on (NULL: none; references are
 * taken). Workers that have used it take them up soon, the others when they do: the cost does not
 * depend on the number of clusters. 0; 1: it has them already. -ENOENT: @v has no such cluster, or
 * it keeps its own endpoints. Main thread.
 */
int engine_endpoints(struct engine *e, struct mesh_view *v, struct slice name,
		     struct mesh_part *part);

/* The host of want_host is in the snapshot that is in force, or there is none. Main thread. */
void engine_host_answered(struct engine *e, uint32_t pod, struct slice table, struct slice host);

/*
 * Do all workers live? Asks each to answer; false: one has not done so for @max_ms. To be called
 * again and again, by one thread (any).
 */
bool engine_is_alive(struct engine *e, uint32_t max_ms);

/* Stops accepting, answers with "connection: close", lets streams end. */
void engine_drain(struct engine *e, bool inbound_only);

unsigned int engine_workers(const struct engine *e);
const char *engine_io_name(const struct engine *e);

/*
 * Texts for the admin port (Envoy's shapes): of @only, which should be in force, or of all views
 * (NULL). Main thread.
 */
void engine_clusters_text(struct engine *e, const struct mesh_view *only, struct buf *out);
void engine_clusters_json(struct engine *e, const struct mesh_view *only, struct buf *out);
void engine_listeners_text(struct engine *e, const struct mesh_view *only, struct buf *out);
void engine_listeners_json(struct engine *e, const struct mesh_view *only, struct buf *out);

#endif
