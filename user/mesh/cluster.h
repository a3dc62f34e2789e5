/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters and endpoints as data (envoy.config.cluster.v3, endpoint.v3), immutable. */
#ifndef SKIFF_MESH_CLUSTER_H
#define SKIFF_MESH_CLUSTER_H

#include "base/addr.h"

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

struct mesh_endpoint {
	struct addr addr;     /* STATIC/EDS; for DNS the port only */
	struct slice dns_name; /* to resolve, in DNS clusters */
	struct slice hostname; /* for auto_host_rewrite */
	uint32_t weight;      /* 1 by default */
	uint32_t priority;
	enum mesh_health health;
};

/* Circuit breakers, default priority. */
struct mesh_thresholds {
	uint32_t max_connections, max_pending_requests, max_requests, max_retries;
};

struct mesh_cluster {
	struct slice name;
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
	bool http2;			      /* asked for HTTP/2: refused until it is there */
	struct mesh_thresholds limits;
	uint32_t per_connection_buffer; /* bytes, default 1 MiB */
	uint64_t hash;	  /* of everything above: equal clusters keep their pools on reload */
	uint32_t index;	  /* place in its view */
};

#endif
