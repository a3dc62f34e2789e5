/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of filters and access logs as data, immutable. */
#ifndef SKIFF_MESH_FILTERS_H
#define SKIFF_MESH_FILTERS_H

#include "mesh/rbac.h"
#include "mesh/route.h"

/* ---- rate limits (envoy.extensions.filters.{http,network}.local_ratelimit.v3) -------------- */

struct mesh_token_bucket {
	uint32_t max_tokens;
	uint32_t tokens_per_fill; /* default 1 */
	uint64_t fill_interval_ns;
};

struct mesh_rl_entry {
	struct slice key,
		value; /* empty value: any value of that key, each with a bucket of its own */
};

struct mesh_rl_descriptor {
	struct mesh_rl_entry *entries;
	uint32_t n_entries;
	struct mesh_token_bucket bucket;
	bool shadow; /* counts, but lets pass */
};

struct mesh_local_ratelimit {
	struct slice stat_prefix;
	bool has_bucket;
	struct mesh_token_bucket bucket;
	uint32_t status; /* default 429 */
	uint32_t enabled, enforced; /* parts of a million; unset = 0, as in Envoy */
	struct mesh_header_ops response_add;	 /* response_headers_to_add */
	struct mesh_header_ops request_add;	 /* request_headers_to_add_when_not_enforced */
	struct mesh_rl_descriptor *descriptors;
	uint32_t n_descriptors;
	struct mesh_rl_descriptor_source *rate_limits; /* rate_limits of the filter itself */
	uint32_t n_rate_limits;
	bool per_connection; /* local_rate_limit_per_downstream_connection */
	bool x_ratelimit_headers;
	bool resource_exhausted; /* gRPC status 8 instead of 14 */
	bool always_consume_default;
	uint32_t stage; /* of the rate_limits that count; the filter's own are of any */
	enum { MESH_RL_VH_OVERRIDE, MESH_RL_VH_INCLUDE, MESH_RL_VH_IGNORE } vh;
	uint32_t max_values; /* that one wildcard descriptor remembers */
	bool retry_after;
};

/* envoy.extensions.filters.http.fault.v3.HTTPFault */
struct mesh_fault {
	bool has_delay, delay_by_header;
	uint32_t delay_ms, delay_fraction; /* parts of a million */
	bool has_abort, abort_by_header;
	uint32_t abort_status, abort_fraction;
	bool abort_is_grpc;
	struct slice upstream_cluster;
	struct mesh_header_match *headers;
	uint32_t n_headers;
	struct slice *nodes;
	uint32_t n_nodes;
	/* Parts of a million that 1 stands for in x-envoy-fault-*-percentage; 0: 10000 (percent).
	 */
	uint32_t delay_scale, abort_scale;
	uint32_t max_active; /* 0: no limit */
};

/* envoy.extensions.filters.http.cors.v3.CorsPolicy */
struct mesh_cors {
	struct mesh_string *origins;
	uint32_t n_origins;
	struct slice methods, headers, expose, max_age;
	bool credentials, private_network;
	bool forward_not_matching; /* default true */
	uint32_t enabled;	   /* parts of a million, default all */
};

/* envoy.extensions.filters.http.header_mutation.v3 */
struct mesh_header_mutation {
	struct mesh_header_steps request, response;
};

/* One HTTP (or RPC) filter in a chain; @kind names the implementation in cmd/builtin.c. */
struct mesh_filter {
	struct slice name;  /* as configured */
	/* "router", "local_ratelimit", "fault", "cors", "header_mutation", "rbac"; "nothing" for
	 * one whose work is done elsewhere */
	const char *kind;
	bool disabled;
	const void *config; /* struct mesh_<kind>, NULL where it has none */
	/* Of this name in the view (ECDS); then kind and config are the default, kind NULL: none.
	 * Without either the filter answers 500. */
	struct slice discovery;
};

/* ---- access logs ---------------------------------------------------------------------------- */

enum mesh_log_filter_kind {
	MESH_LOG_STATUS,
	MESH_LOG_DURATION,
	MESH_LOG_NOT_HEALTH,
	MESH_LOG_TRACEABLE,
	MESH_LOG_RUNTIME,
	MESH_LOG_AND,
	MESH_LOG_OR,
	MESH_LOG_HEADER,
	MESH_LOG_FLAGS,
	MESH_LOG_GRPC_STATUS,
	MESH_LOG_TYPE
};
enum mesh_compare { MESH_EQ, MESH_GE, MESH_LE, MESH_NE };

struct mesh_log_filter {
	enum mesh_log_filter_kind kind;
	enum mesh_compare op;
	uint64_t value;
	struct mesh_log_filter *sub; /* and, or */
	uint32_t n_sub;
	struct mesh_header_match header;
	/* MESH_LOG_GRPC_STATUS, _TYPE: value has a bit for each (1 << it); op MESH_NE excludes
	 * them. */
	uint32_t flags; /* L7_FLAG bits; 0 = any flag */
	uint32_t fraction;
};

/* A JSON format is a tree: object members, list items or leaves. */
struct mesh_json_format {
	enum {
		MESH_JSON_FORMAT,
		MESH_JSON_OBJECT,
		MESH_JSON_LIST,
		MESH_JSON_NUMBER,
		MESH_JSON_BOOL,
		MESH_JSON_NULL
	} kind;
	struct slice key;	 /* inside an object */
	const struct l7_format *format;
	double number;
	bool flag;
	struct mesh_json_format *sub;
	uint32_t n_sub;
};

struct mesh_access_log {
	enum { MESH_LOG_FILE, MESH_LOG_STDOUT, MESH_LOG_STDERR } sink;
	struct slice path;
	const struct l7_format *format;	   /* text; NULL with json */
	const struct mesh_json_format *json;
	bool omit_empty;
	bool sort_json; /* json_format_options.sort_properties; Envoy sorts keys by default */
	const struct mesh_log_filter *filter; /* NULL: all */
};

/* Lines that are written before the end: HcmAccessLogOptions, TcpAccessLogOptions. */
struct mesh_log_when {
	uint32_t interval_ms; /* 0: none */
	bool on_start;
	bool on_connected; /* HTTP: a tunnel was established; TCP: the upstream is there */
};

/* envoy.config.core.v3.SubstitutionFormatString where it makes a body */
struct mesh_body_format {
	struct mesh_access_log line; /* only its format */
	struct slice content_type;
};

#endif
