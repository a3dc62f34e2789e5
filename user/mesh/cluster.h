/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters and endpoints as data (envoy.config.cluster.v3, endpoint.v3), immutable. */
#ifndef SKIFF_MESH_CLUSTER_H
#define SKIFF_MESH_CLUSTER_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/metadata.h"
#include "mesh/tls.h"

enum mesh_cluster_kind {
	MESH_CLUSTER_STATIC,
	MESH_CLUSTER_STRICT_DNS,
	MESH_CLUSTER_LOGICAL_DNS,
	MESH_CLUSTER_EDS,
	MESH_CLUSTER_ORIGINAL_DST
};
enum mesh_lb { MESH_LB_ROUND_ROBIN, MESH_LB_LEAST_REQUEST, MESH_LB_RANDOM, MESH_LB_PROVIDED };
enum mesh_health {
	MESH_HEALTH_UNKNOWN,
	MESH_HEALTH_HEALTHY,
	MESH_HEALTH_UNHEALTHY,
	MESH_HEALTH_DRAINING,
	MESH_HEALTH_TIMEOUT,
	MESH_HEALTH_DEGRADED
};

/* What endpoints tell of themselves; most have none. */
struct mesh_endpoint_meta {
	struct mesh_pair *match; /* envoy.transport_socket_match: chooses how to connect */
	uint32_t n_match;
	struct slice workload; /* Istio: "name;namespace;service;revision;cluster" */
	struct slice region, zone, sub_zone;
	uint32_t locality_weight; /* 0: none said */
	const struct metadata
		*values; /* all of it, for formats; NULL: none, or of a control plane */
};

struct mesh_endpoint {
	struct addr addr;     /* STATIC/EDS; for DNS the port only */
	struct slice dns_name; /* to resolve, in DNS clusters */
	struct slice hostname; /* for auto_host_rewrite */
	uint32_t weight;      /* 1 by default */
	uint32_t priority;
	enum mesh_health health;
	const struct mesh_endpoint_meta *meta; /* NULL: none */
};

enum mesh_hash { MESH_HASH_NONE, MESH_HASH_RING, MESH_HASH_MAGLEV };

/* envoy.config.cluster.v3.OutlierDetection; percentages of 100, times in ms */
struct mesh_outlier {
	uint32_t consecutive_5xx;     /* default 5; 0: not looked at */
	uint32_t consecutive_gateway; /* 502, 503, 504; default 5 */
	uint32_t consecutive_local;   /* connect failures, when split; default 5 */
	uint32_t enforce_5xx, enforce_gateway, enforce_local, enforce_success_rate;
	uint32_t interval_ms, base_ejection_ms, max_ejection_ms;
	uint32_t max_ejection_percent; /* default 10 */
	bool split_local;	       /* split_external_local_origin_errors */
};

struct mesh_keepalive {
	uint32_t probes, time_s, interval_s; /* 0: the system's own */
};

/* Circuit breakers, default priority. */
struct mesh_thresholds {
	uint32_t max_connections, max_pending_requests, max_requests, max_retries;
};

struct mesh_cluster {
	struct slice name;
	const struct metadata *metadata; /* NULL: none */
	struct slice stat_name; /* alt_stat_name or name, ':' as '_' */
	enum mesh_cluster_kind kind;
	struct slice service_name; /* EDS: what its endpoints are asked for by; never empty there */
	enum mesh_lb lb;
	uint32_t choice_count; /* least_request, default 2 */
	uint32_t connect_timeout_ms; /* default 5000 */
	struct mesh_endpoint *endpoints; /* STATIC; of DNS clusters the names; else none */
	uint32_t n_endpoints;
	uint32_t dns_refresh_ms; /* default 5000 */
	enum { MESH_DNS_AUTO, MESH_DNS_V4, MESH_DNS_V6, MESH_DNS_ALL } dns_family;
	bool use_original_dst_header; /* x-envoy-original-dst-host */
	uint32_t idle_timeout_ms;     /* of a pooled connection; default 3600000; 0 = none */
	uint32_t max_requests_per_connection; /* 0: no limit */
	uint32_t max_headers;		      /* of answers; 0: default */
	uint32_t panic_threshold;	      /* percent, default 50 */
	bool proper_case, preserve_case;      /* header names towards the upstream */
	bool enable_trailers;
	bool http2; /* asked for; from files it is refused until it is there */
	bool use_downstream_protocol;	      /* what the client speaks is spoken to the upstream */
	/* Chosen by the endpoint's metadata: mesh_cluster_socket. */
	struct mesh_socket socket; /* when no match fits */
	struct mesh_socket_match *socket_matches;
	uint32_t n_socket_matches;
	enum mesh_hash hash_kind;
	uint64_t ring_min, ring_max, table_size; /* 0: the default */
	const struct mesh_outlier *outlier;	 /* NULL: none */
	const struct mesh_keepalive *keepalive;	 /* NULL: none */
	bool has_bind;
	struct addr bind; /* upstream_bind_config */
	bool locality_weighted;
	/* Istio's metadata: what the cluster stands for; may be empty. */
	struct slice service_host, service, service_namespace, subset;
	struct mesh_thresholds limits;
	uint32_t per_connection_buffer; /* bytes, default 1 MiB */
	uint64_t hash;	  /* of everything above: equal clusters keep their pools on reload */
	uint32_t index;	  /* place in its view */
};

/* How to connect to @e: the first match that fits, or the cluster's own socket. */
const struct mesh_socket *mesh_cluster_socket(const struct mesh_cluster *c,
					      const struct mesh_endpoint *e);
/* A copy of @e with all that hangs on it in @a. */
struct mesh_endpoint mesh_endpoint_copy(struct arena *a, const struct mesh_endpoint *e);

#endif
