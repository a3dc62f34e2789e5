/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster alive in one worker: its hosts, who is next, the pools of connections, the limits.
 * What a connection speaks is the proxy's business: it embeds struct upstream_conn.
 *
 * GLOSSARY  pool: the connections to one host made in one network namespace. shared: the part of
 * a cluster that all workers count in (circuit breakers, Envoy's semantics).
 */
#ifndef SKIFF_UPSTREAM_CLUSTER_H
#define SKIFF_UPSTREAM_CLUSTER_H

#include "base/list.h"
#include "base/stats.h"
#include "io/io.h"
#include "mesh/part.h"
#include "upstream/lb.h"

/* Envoy's names under "cluster.<name>." */
#define UPSTREAM_STATS(X) \
	X(cx_total, COUNTER, "upstream_cx_total") X(cx_active, GAUGE, "upstream_cx_active") \
	X(cx_http1_total, COUNTER, "upstream_cx_http1_total") \
	X(cx_connect_fail, COUNTER, "upstream_cx_connect_fail") \
	X(cx_connect_timeout, COUNTER, "upstream_cx_connect_timeout") \
	X(cx_connect_attempts_exceeded, COUNTER, "upstream_cx_connect_attempts_exceeded") \
	X(cx_overflow, COUNTER, "upstream_cx_overflow") X(cx_destroy, COUNTER, "upstream_cx_destroy") \
	X(cx_destroy_local, COUNTER, "upstream_cx_destroy_local") \
	X(cx_destroy_remote, COUNTER, "upstream_cx_destroy_remote") \
	X(cx_destroy_with_active_rq, COUNTER, "upstream_cx_destroy_with_active_rq") \
	X(cx_destroy_local_with_active_rq, COUNTER, "upstream_cx_destroy_local_with_active_rq") \
	X(cx_destroy_remote_with_active_rq, COUNTER, "upstream_cx_destroy_remote_with_active_rq") \
	X(cx_idle_timeout, COUNTER, "upstream_cx_idle_timeout") \
	X(cx_max_requests, COUNTER, "upstream_cx_max_requests") \
	X(cx_none_healthy, COUNTER, "upstream_cx_none_healthy") \
	X(cx_protocol_error, COUNTER, "upstream_cx_protocol_error") \
	X(cx_rx_bytes, COUNTER, "upstream_cx_rx_bytes_total") \
	X(cx_tx_bytes, COUNTER, "upstream_cx_tx_bytes_total") \
	X(rq_total, COUNTER, "upstream_rq_total") X(rq_active, GAUGE, "upstream_rq_active") \
	X(rq_completed, COUNTER, "upstream_rq_completed") X(rq_pending_total, COUNTER, "upstream_rq_pending_total") \
	X(rq_pending_active, GAUGE, "upstream_rq_pending_active") \
	X(rq_pending_overflow, COUNTER, "upstream_rq_pending_overflow") \
	X(rq_pending_failure_eject, COUNTER, "upstream_rq_pending_failure_eject") \
	X(rq_cancelled, COUNTER, "upstream_rq_cancelled") X(rq_timeout, COUNTER, "upstream_rq_timeout") \
	X(rq_maintenance, COUNTER, "upstream_rq_maintenance_mode") \
	X(rq_per_try_timeout, COUNTER, "upstream_rq_per_try_timeout") \
	X(redirect_succeeded, COUNTER, "upstream_internal_redirect_succeeded_total") \
	X(redirect_failed, COUNTER, "upstream_internal_redirect_failed_total") \
	X(rq_per_try_idle_timeout, COUNTER, "upstream_rq_per_try_idle_timeout") \
	X(rq_rx_reset, COUNTER, "upstream_rq_rx_reset") X(rq_tx_reset, COUNTER, "upstream_rq_tx_reset") \
	X(rq_retry, COUNTER, "upstream_rq_retry") X(rq_retry_success, COUNTER, "upstream_rq_retry_success") \
	X(rq_retry_overflow, COUNTER, "upstream_rq_retry_overflow") \
	X(rq_retry_limit_exceeded, COUNTER, "upstream_rq_retry_limit_exceeded") \
	X(rq_retry_exponential, COUNTER, "upstream_rq_retry_backoff_exponential") \
	X(rq_retry_ratelimited, COUNTER, "upstream_rq_retry_backoff_ratelimited") \
	X(rq_abandoned, COUNTER, "retry_or_shadow_abandoned") \
	X(lb_healthy_panic, COUNTER, "lb_healthy_panic") \
	X(membership_change, COUNTER, "membership_change") \
	X(update_success, COUNTER, "update_success") X(update_failure, COUNTER, "update_failure") \
	X(update_attempt, COUNTER, "update_attempt") \
	X(rq_time, HISTOGRAM, "upstream_rq_time") X(cx_connect_ms, HISTOGRAM, "upstream_cx_connect_ms")

/* Gauges that nobody counts: their readers ask the configuration. */
#define UPSTREAM_MEMBERSHIP(X) \
	X(total, "membership_total") X(healthy, "membership_healthy") \
	X(degraded, "membership_degraded") X(excluded, "membership_excluded")

struct upstream_stats {
#define X(field, kind, name) stat_id field;
	UPSTREAM_STATS(X)
#undef X
};

/* One a cluster and configuration, used by all workers. */
struct upstream_shared {
	const struct mesh_cluster *conf;
	struct upstream_stats stats;
	_Atomic uint32_t connections, pending, requests, retries;
	/* Counters of single status codes, registered when first seen. */
	struct upstream_codes *_Atomic codes[4];
	/* What the newest worker took its hosts from: each change is counted by the first. */
	const void *_Atomic members;
};

void upstream_shared_init(struct upstream_shared *s, const struct mesh_cluster *conf);

enum upstream_limit { UPSTREAM_CONNECTIONS, UPSTREAM_PENDING, UPSTREAM_REQUESTS, UPSTREAM_RETRIES };
/* Counts one more unless the limit is reached. */
bool upstream_take(struct upstream_shared *s, enum upstream_limit what);
void upstream_give(struct upstream_shared *s, enum upstream_limit what);

struct upstream_cluster;
struct upstream_pool;

/* Whose answers: all, those to requests from outside, from inside (x-envoy-internal); those that
 * another try followed. */
enum upstream_origin { UPSTREAM_ALL, UPSTREAM_EXTERNAL, UPSTREAM_INTERNAL, UPSTREAM_RETRIED };
/* Counts an answer: "upstream_rq_503", "upstream_rq_5xx", for UPSTREAM_ALL also rq_completed. */
void upstream_charge(struct upstream_cluster *c, enum upstream_origin origin, uint32_t status);
void upstream_shared_done(struct upstream_shared *s);

struct upstream_host {
	struct lb_host lb; /* first: the balancer's view */
	struct upstream_cluster *cluster;
	struct list node;  /* cluster->hosts, or cluster->retired */
	struct list pools;
	uint32_t refs;	   /* requests and pools that point here */
	char *hostname;	   /* what lb.hostname points to: configurations come and go */
	const struct metadata *metadata; /* of its endpoint, NULL: none; in: */
	struct arena *metadata_arena;
	bool removed;
	uint32_t turn;	   /* cluster->turn when its endpoints named it */
	bool is_secured; /* needs TLS, which is not there yet: no connection is made */
	uint64_t cx_total, cx_active, cx_fail, rq_total, rq_error, rq_success;
};

/* Embedded first in the proxy's upstream connection. */
struct upstream_conn {
	struct list node;  /* pool->idle, pool->busy or pool->connecting */
	struct upstream_pool *pool;
	uint32_t active;   /* requests in progress */
	uint32_t served;
	bool ready;	   /* connected */
	bool draining;	   /* takes no more requests */
};

struct upstream_pool {
	struct list node; /* host->pools */
	struct upstream_host *host;
	uint32_t pod;	  /* namespace that connections are made in; 0 = skiffd's own */
	const void *protocol; /* codec; connections of different protocols are never mixed */
	struct list idle, busy, connecting;
	uint32_t n_connecting;
	struct list pending; /* the proxy's waiting requests */
	uint32_t n_pending;
};

struct upstream_cluster {
	struct upstream_shared *shared;
	const struct mesh_cluster *conf;
	const struct lb *lb;
	struct lb_set set;
	struct list hosts;
	uint32_t n_hosts;
	struct list retired; /* removed hosts that are still in use */
	struct rng *rng;
	struct stats_set *stats;
	uint32_t refs;
	struct mesh_part *endpoints; /* whose hosts these are; referenced */
	uint32_t turn;		     /* of replacing them */
	/* Closes a connection that the pool gives up (host removed, cluster gone). */
	void (*close_conn)(struct upstream_conn *c);
};

struct upstream_cluster *upstream_cluster_new(struct upstream_shared *shared,
					      struct stats_set *stats, struct rng *rng,
					      void (*close_conn)(struct upstream_conn *c));
struct upstream_cluster *upstream_cluster_ref(struct upstream_cluster *c);
/* The last reference closes idle connections; busy ones end with their requests. */
void upstream_cluster_unref(struct upstream_cluster *c);
/* Replaces the hosts by those of @part (NULL: none): equal addresses keep their pools and counts.
 * Nothing happens when they are from it already. */
void upstream_cluster_set_endpoints(struct upstream_cluster *c, struct mesh_part *part);

/* The pod @pod left the node: connections made in its namespace close when their requests end. */
void upstream_cluster_drop_pod(struct upstream_cluster *c, uint32_t pod);

/* The next host, or NULL. Counts the use: give back with upstream_host_put. */
struct upstream_host *upstream_pick(struct upstream_cluster *c);
/* The host of an ORIGINAL_DST cluster: made when first seen. */
struct upstream_host *upstream_original_dst(struct upstream_cluster *c, const struct addr *dst);
void upstream_host_put(struct upstream_host *h);

struct upstream_pool *upstream_pool_get(struct upstream_host *h, uint32_t pod,
					const void *protocol);
/* Moves @c between the lists of its pool by its state. */
void upstream_conn_place(struct upstream_conn *c);
/* The connection left its pool (closed). */
void upstream_conn_remove(struct upstream_conn *c);

#endif
