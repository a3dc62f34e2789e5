/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared inside the proxy room: the engine, a worker and what a worker holds. A worker's things
 * are touched only on its own thread.
 *
 * GLOSSARY  conn: a downstream connection. uconn: an upstream one. stream: one request and its
 * answer. hop: one pass of a message through a connection manager; two when the peer is a pod of
 * this node (the client's outbound and the server's inbound).
 */
#ifndef SKIFF_PROXY_IMPL_H
#define SKIFF_PROXY_IMPL_H

#include <pthread.h>

#include "proxy/compile.h"
#include "proxy/engine.h"

struct conn;
struct worker;
struct istio_series;
struct stream;
struct table_name;

/* ---- log sinks ------------------------------------------------------------------------------- */

#define LOG_SINKS_MAX 256
#define LOG_FLUSH_MS 50
#define LOG_FLUSH_BYTES 65536

struct log_sink {
	char *path; /* NULL: a standard stream */
	int fd;
};

/* Finds or opens the sink of @conf. Index, or -errno with @err. Main thread. */
int log_sink_open(struct engine *e, const struct mesh_access_log *conf, struct err *err);

/* ---- engine ---------------------------------------------------------------------------------- */

/* A pod's namespace; reference counted because connections outlive it. */
struct epod {
	uint32_t id;
	int netns;
	_Atomic uint32_t refs;
	_Atomic uint32_t connections;
	_Atomic uint64_t buffer_bytes;
};

struct epod *epod_ref(struct epod *p);
void epod_unref(struct epod *p);

struct engine {
	struct engine_opts opts;
	unsigned int n_workers;
	struct worker *workers;
	struct psnap *snap; /* the main thread's; others read it under snap_lock */
	pthread_mutex_t snap_lock;
	struct stats_set *stats; /* the main thread's */
	struct epod *host;  /* id 0: skiffd's own namespace */
	struct list pods;   /* struct pod_entry */
	struct list ports;  /* struct port_entry */
	struct log_sink sinks[LOG_SINKS_MAX];
	uint32_t n_sinks;
	pthread_mutex_t names_lock;
	struct table_name *names; /* by slot, under names_lock; grown by the main thread */
	uint32_t n_names;
	_Atomic uint32_t connections;
	_Atomic uint64_t buffer_bytes;
	_Atomic uint64_t next_id; /* connection ids */
	_Atomic bool draining;
	struct addr local_address; /* Envoy's "local address": first non-loopback IPv4 */
	char hostname[256];
	pthread_barrier_t
		turning; /* all workers and the main thread: at the start and at the end */
};

/* Runs @fn on every worker and waits for all of them. Main thread. */
void engine_on_all(struct engine *e, void (*fn)(struct worker *w, void *arg), void *arg);
/* Source of statistics: what configured clusters have that no worker counts. */
void clusters_stats(void *arg, const struct stats_sink *out);

/* ---- worker ---------------------------------------------------------------------------------- */

/* A cluster that this worker has used. */
struct wcluster {
	struct upstream_cluster *c; /* referenced; NULL: a free entry */
	uint32_t hash;		    /* of its name */
	uint32_t place;
};

/* A view in one worker: the clusters alive. Counted without atomics. */
struct wview {
	struct worker *w;
	struct pview *pv;
	struct wcluster *clusters; /* open addressing by name, at most half full */
	uint32_t mask, n_clusters;
	uint32_t refs;
};

#define wview_each(v, entry) \
	for (struct wcluster *entry = (v)->clusters; entry <= (v)->clusters + (v)->mask; entry++) \
		if (entry->c)

struct wsnap {
	struct psnap *ps;
	struct wview *host;
	struct wview **pods; /* parallel to ps->mesh->pods */
	struct wview **all;  /* distinct views */
	uint32_t n_all;
};

/* A listening socket of this worker. */
struct wlisten {
	struct list node;
	struct worker *w;
	struct io_listener *io;
	int fd; /* the same, for the kernel's maps */
	struct epod *pod;
	enum { WLISTEN_PORT, WLISTEN_OUTBOUND, WLISTEN_INBOUND } kind;
	struct addr addr;
};

struct worker {
	struct engine *e;
	unsigned int index;
	pthread_t thread;
	struct io *io;
	struct stats_set *stats;
	struct rng rng;
	struct wsnap *snap;
	struct list listens;
	struct list conns;	/* all downstream connections */
	struct list ready;	/* conns with held input to look at again at the end of the turn */
	struct list dead;	/* conns to free at the end of the turn */
	struct list dead_uconns;
	struct list pods;	/* struct wpod: epods known here */
	struct list mirrors;	/* streams that copy others: see mirror.h */
	struct list on_demand;	/* requests that wait for their virtual host: on_demand.c */
	uint32_t n_on_demand;
	struct list free_streams;
	struct list dead_streams; /* recycled at the end of the turn */
	uint32_t n_free_streams;
	struct istio_series *istio, *istio_last[2]; /* istio.c */
	struct buf log_bufs[LOG_SINKS_MAX];
	struct io_timer log_timer;
	uint64_t date_sec;
	char date[32];
	size_t date_len;
	uint64_t turn_wall_ns, turn_wall_at; /* cached wall clock */
	_Atomic bool is_asked; /* engine_is_alive: it has not answered yet */
	uint64_t asked_ns;     /* of that thread */
	int start_result;
	struct err start_err;
};

struct wview *wview_ref(struct wview *v);
void wview_unref(struct wview *v);
struct wview *worker_view(struct worker *w, uint32_t pod); /* current view of a pod; 0 = host */
/* The listener for a captured connection, see mesh_view_listener_place; NULL: none. */
const struct plistener *wview_listener(const struct wview *v, enum mesh_direction direction,
				       const struct addr *original_dst);
/* The listener that is what @was is in another configuration; NULL: none any more. */
const struct plistener *wview_listener_again(const struct wview *v, const struct plistener *was);
/* The cluster of that name, made alive when it is used for the first time; NULL: there is none. */
struct upstream_cluster *wview_cluster(struct wview *v, struct slice name);
/*
 * The managed pod of this node that has the address @dst, for a connection from inside its
 * namespace, past the wire. NULL: none, or one whose inbound policy only the kernel can apply.
 */
struct epod *worker_pod_by_addr(struct worker *w, const struct addr *dst);
/* The managed pod of this node that has @ip, for names and counts; NULL if none. */
struct epod *worker_peer_by_addr(struct worker *w, const struct addr *ip);
struct epod *worker_pod(struct worker *w, uint32_t id);

/* "Sun, 06 Nov 1994 08:49:37 GMT", renewed every second. */
struct slice worker_date(struct worker *w);
uint64_t worker_wall_ns(struct worker *w);

/* Appends one line to every log of @logs that wants it. */
void worker_log(struct worker *w, const struct plogs *logs, const struct l7_info *in);
void worker_log_flush(struct worker *w);
void worker_log_init(struct worker *w);

#endif
