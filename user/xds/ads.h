/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side of xDS v3's aggregated discovery service, for many nodes (pods) over one channel:
 * what each is subscribed to, what it was sent, what of that is complete enough to be published.
 * Incremental (delta) first, state of the world as fall-back. The bytes travel by an ads_transport
 * (ads_grpc.h; tests script one), resources are compiled and shared by the store.
 *
 * GLOSSARY  node: one client to the control plane, here a pod. named resource: one that another
 * resource needs (endpoints, routes ...) and that is asked for by name. warming: a resource that is
 * known but not published, as what it needs has not been answered. complete: the first
 * configuration is there: clusters and listeners and all that they need. stale: served from the
 * last good configuration on disk (lkg.h), not confirmed by the control plane yet.
 *
 * Main thread only: everything here and all callbacks run on the thread of the loop.
 */
#ifndef SKIFF_XDS_ADS_H
#define SKIFF_XDS_ADS_H

#include <jansson.h>

#include "base/err.h"
#include "io/io.h"
#include "xds/store.h"

#define ADS_RESOURCES_MAX (1u << 18) /* of one type and node; more refuse the response */
#define ADS_HOSTS_MAX 1024       /* virtual hosts that requests wait for, or that do not exist */
#define ADS_REJECTED_MAX 100         /* rejected resources that a type remembers with reasons */
#define ADS_NACK_TEXT_MAX 4096       /* bytes of the reasons in one NACK */

struct ads;
struct ads_node;

/* ---- the way to the control plane ---------------------------------------------------------- */

/* How streams are opened and written. None of them calls back from inside. */
struct ads_transport {
	/* A new bidirectional stream of @method for @n; NULL with @e: the node tries again. */
	void *(*open)(void *arg, struct ads_node *n, const char *method, struct err *e);
	/* One message (copied). 0 or -errno: the stream is then reset and opened again. */
	int (*send)(void *stream, struct slice bytes);
	/* Ends the stream; nothing comes of it any more. */
	void (*reset)(void *stream);
};

/* What the transport tells. */
void ads_link_up(struct ads *a);
/* New streams go another way from now on, over which every node opens one; then its old one ends.
 */
void ads_link_moved(struct ads *a);
void ads_link_down(struct ads *a, const char *reason); /* after ads_stream_closed of all */
void ads_stream_message(struct ads_node *n, struct slice bytes);
/* @status: the code of gRPC (0 OK ... 12 UNIMPLEMENTED). The stream is gone. */
void ads_stream_closed(struct ads_node *n, int status, struct slice text);

/* ---- all nodes ----------------------------------------------------------------------------- */

enum ads_mode { ADS_AUTO, ADS_DELTA, ADS_SOTW };

struct ads_opts {
	enum ads_mode mode;
	struct xds_store *store; /* borrowed; outlives the ads */
	const struct ads_transport *transport;
	void *transport_arg;
	/* In ms; 0: the default. */
	unsigned int fetch_timeout_ms; /* 15 s: nobody waits longer for a named resource */
	/* 5 s: so long a removed cluster stays for routes that still name it. */
	unsigned int linger_ms;
	unsigned int backoff_min_ms, backoff_max_ms; /* 500, 30 s: between streams of a node */
};

struct ads_ops {
	/*
	 * The node's published set is new: build a view of ads_node_parts(). At most once a turn
	 * of the loop; for the first time when it is complete (or at once from disk).
	 */
	void (*ready)(struct ads_node *n);
	/*
	 * Only the endpoints of @cluster, which is in the published set, are others now: @part
	 * (lent). O(1) in the number of resources.
	 */
	void (*endpoints)(struct ads_node *n, struct slice cluster, struct mesh_part *part);
	/*
	 * What ads_node_want_host asked for is answered: ready() has been called for it, or there
	 * is no such host. May be NULL.
	 */
	void (*host)(struct ads_node *n, struct slice table, struct slice host);
	/* Something of its status changed: connected, complete, rejected. May be NULL. */
	void (*state)(struct ads_node *n);
};

/*
 * Callbacks come from timers of @io or from ads_stream_*(); they may not remove nodes or free the
 * ads. Never fails.
 */
struct ads *ads_new(struct io *io, const struct ads_opts *opts, const struct ads_ops *ops,
		    void *owner);
/* Its nodes too; streams are reset. NULL is allowed. */
void ads_free(struct ads *a);
void *ads_owner(const struct ads *a);
struct xds_store *ads_store_get(const struct ads *a);
/* Calls @fn for each node, in the order of adding. */
void ads_each(struct ads *a, void (*fn)(void *arg, struct ads_node *n), void *arg);

/* ---- one node ------------------------------------------------------------------------------ */

/* What a node says of itself; everything is copied. node.h makes one of a pod as Istio has it. */
struct ads_node_info {
	const char *id, *cluster;
	const char *region, *zone, *sub_zone; /* may be NULL */
	const json_t *metadata;               /* an object, or NULL */
	const char *token_file; /* the bearer token of its streams; NULL: the channel's */
};

/* Opens its stream as soon as the link is up. */
struct ads_node *ads_node_add(struct ads *a, const struct ads_node_info *info, void *owner);
/* Its resources are given back, its stream ends. NULL is allowed. */
void ads_node_remove(struct ads_node *n);
void *ads_node_owner(const struct ads_node *n);
const char *ads_node_id(const struct ads_node *n);
const char *ads_node_token_file(const struct ads_node *n); /* NULL: none of its own */
struct ads *ads_node_ads(const struct ads_node *n);

/*
 * The published set: clusters, endpoints, listeners, route tables ...; kinds in the order of their
 * enum. The parts are lent until the node's next callback, the array until the next call for any
 * node.
 */
struct mesh_part *const *ads_node_parts(const struct ads_node *n, uint32_t *ret_n);
/* A number that two nodes share when their published sets are the same (contents, not order). O(1).
 */
uint64_t ads_node_fingerprint(const struct ads_node *n);
/* Has ready() been due at least once (a set is published)? */
bool ads_node_is_ready(const struct ads_node *n);
/* Was the first configuration of the control plane itself complete? */
bool ads_node_is_complete(const struct ads_node *n);
bool ads_node_is_stale(const struct ads_node *n);

/*
 * A resource of the last good configuration, before the node's stream was opened (right after
 * ads_node_add); takes over the caller's reference. ads_node_restored() then publishes the set.
 */
void ads_node_restore(struct ads_node *n, struct xds_resource *r);
void ads_node_restored(struct ads_node *n);

/*
 * Asks for the virtual host that the route table @table (of RDS, with vhds) lacks for @host (lower
 * case). 0: host() will tell; -ENOENT: there is nothing to wait for, or too much.
 */
int ads_node_want_host(struct ads_node *n, struct slice table, struct slice host);

/* ---- status -------------------------------------------------------------------------------- */

struct ads_status {
	bool is_connected; /* its stream is open and was answered */
	bool is_in_sync;   /* connected, all answered, nothing rejected, nothing warming */
	bool is_complete, is_stale;
	bool is_delta;
	uint64_t streams;  /* opened so far */
	int grpc_status;   /* of the last stream that ended; -1: none yet */
	const char *error; /* why the last stream ended or could not be opened; "" */
};
void ads_node_status(const struct ads_node *n, struct ads_status *ret_s);

struct ads_type_status {
	bool is_asked; /* subscribed at all */
	bool is_in_sync;
	struct slice version; /* of the last response that was accepted */
	struct slice nonce;   /* of the last response */
	uint64_t responses, nacks;
	uint64_t ignored;                     /* resources that nobody had asked for */
	uint32_t published, warming, missing; /* missing: asked for and not (yet) answered */
	uint32_t rejected;
	uint64_t last_push_ns; /* wall clock; 0: never */
	uint64_t latency_ns;   /* from the last response to its effect being published */
	const char *error;     /* why the last response was refused as a whole; "" */
};
void ads_node_type_status(const struct ads_node *n, enum mesh_part_kind kind,
			  struct ads_type_status *ret_s);
/* Calls @fn for each resource whose last content was rejected. */
void ads_node_each_rejected(const struct ads_node *n, enum mesh_part_kind kind,
			    void (*fn)(void *arg, struct slice name, const char *reason),
			    void *arg);

struct ads_item {
	struct slice name, version;
	uint32_t updated; /* wall clock, s: when its newest content came */
	const struct xds_resource *published; /* NULL: none */
	const struct xds_resource *warming;   /* the newer content that waits; NULL: none */
};
/* Calls @fn for each resource that the node has, in no order: for dumps, reports, the disk. */
void ads_node_each(const struct ads_node *n, enum mesh_part_kind kind,
		   void (*fn)(void *arg, const struct ads_item *item), void *arg);
/*
 * All of the above as a new JSON object, for status pages: {"node", "connected", "in_sync", ...,
 * "types": {"CDS": {"version", ..., "rejected": [{"name", "reason"}], "no_effect": [{"name",
 * "path", "text"}]}}}. Times in ms, last_push in ms of the wall clock.
 */
json_t *ads_node_json(const struct ads_node *n);

#endif
