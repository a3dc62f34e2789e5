/* SPDX-License-Identifier: Apache-2.0 */
/* Route tables as data (envoy.config.route.v3 and dubbo_proxy's routes), immutable. */
#ifndef SKIFF_MESH_ROUTE_H
#define SKIFF_MESH_ROUTE_H

#include "base/metadata.h"
#include "mesh/match.h"

struct l7_format; /* l7/format.h: compiled when the configuration is read */
struct mesh_cluster;
struct mesh_local_ratelimit;
struct mesh_body_format;

enum mesh_append {
	MESH_APPEND_OR_ADD,
	MESH_ADD_IF_ABSENT,
	MESH_OVERWRITE_OR_ADD,
	MESH_OVERWRITE_IF_EXISTS
};

/* envoy.config.core.v3.HeaderValueOption */
struct mesh_header_add {
	struct slice name; /* lower case */
	const struct l7_format *value;
	enum mesh_append action;
	bool keep_empty;
};

struct mesh_header_ops {
	struct mesh_header_add *add;
	uint32_t n_add;
	struct slice *remove;
	uint32_t n_remove;
};

/* Changes that are made one after the other, each to what the one before left. */
struct mesh_header_steps {
	struct mesh_header_ops *v;
	uint32_t n;
};

/* The changes that one level (route, virtual host, table, weighted cluster) makes. */
struct mesh_mutations {
	struct mesh_header_ops request, response;
};

enum mesh_path_kind {
	MESH_PATH_ANY,
	MESH_PATH_PREFIX,
	MESH_PATH_EXACT,
	MESH_PATH_REGEX,
	MESH_PATH_SEPARATED,
	MESH_PATH_CONNECT
};

/* Per-route settings of one HTTP filter (typed_per_filter_config), by filter name. */
struct mesh_filter_override {
	struct slice name;	/* filter name as in http_filters */
	const char *kind;	/* enum name, static: "local_ratelimit" ... */
	bool disabled;
	const void *config; /* the filter's own struct (mesh/filters.h), NULL when only disabled */
};

struct mesh_overrides {
	struct mesh_filter_override *v;
	uint32_t n;
};

struct mesh_weighted {
	struct slice name; /* of the cluster */
	struct slice header; /* cluster_header of this entry, or empty */
	uint32_t weight;
	struct slice host_rewrite; /* host_rewrite_literal */
	struct mesh_mutations mutations;
	struct mesh_overrides overrides;
};

/* RateLimit.Action, the kinds that local rate limits can use. */
enum mesh_rl_action_kind {
	MESH_RL_REQUEST_HEADERS,
	MESH_RL_GENERIC_KEY,
	MESH_RL_HEADER_VALUE_MATCH,
	MESH_RL_REMOTE_ADDRESS,
	MESH_RL_DESTINATION_CLUSTER,
	MESH_RL_SOURCE_CLUSTER,
	MESH_RL_QUERY_VALUE_MATCH,
	MESH_RL_QUERY_PARAMETERS,
	MESH_RL_MASKED_ADDRESS,
	MESH_RL_ROUTE_METADATA,
	MESH_RL_DYNAMIC_METADATA, /* which there is none of: the default */
	MESH_RL_REMOTE_ADDRESS_MATCH
};

struct mesh_rl_action {
	enum mesh_rl_action_kind kind;
	struct slice header;	 /* or query parameter */
	struct slice key, value; /* descriptor */
	bool skip_if_absent;
	bool expect_match; /* header_value_match: default true */
	struct mesh_header_match *headers;
	struct mesh_query_match *queries;
	uint32_t n_headers, n_queries;
	struct slice path;     /* ROUTE_METADATA: of struct metadata_value; value is the default */
	uint32_t v4_bits, v6_bits; /* MASKED_ADDRESS: length of the prefix */
	struct mesh_prefix *ranges; /* REMOTE_ADDRESS_MATCH; expect_match is not inverted */
	uint32_t n_ranges;
};

struct mesh_rl_descriptor_source { /* one RateLimit of a route or virtual host */
	uint32_t stage;
	struct mesh_rl_action *actions;
	uint32_t n_actions;
};

struct mesh_upgrade {
	struct slice type; /* "websocket", lower case */
	bool enabled;
};

enum mesh_route_action {
	MESH_ROUTE_CLUSTER,
	MESH_ROUTE_REDIRECT,
	MESH_ROUTE_DIRECT,
	MESH_ROUTE_NONE
};
enum mesh_host_rewrite {
	MESH_HOST_KEEP,
	MESH_HOST_LITERAL,
	MESH_HOST_AUTO,
	MESH_HOST_HEADER,
	MESH_HOST_PATH_REGEX,
	MESH_HOST_FORMAT
};
enum mesh_path_rewrite {
	MESH_PATH_KEEP,
	MESH_PATH_REWRITE_PREFIX,
	MESH_PATH_REWRITE_REGEX,
	MESH_PATH_REWRITE_FORMAT
};
enum mesh_redirect_path {
	MESH_REDIRECT_PATH_KEEP,
	MESH_REDIRECT_PATH_REPLACE,
	MESH_REDIRECT_PATH_PREFIX,
	MESH_REDIRECT_PATH_REGEX,
	MESH_REDIRECT_PATH_FORMAT
};

struct mesh_redirect {
	struct slice host, scheme, path; /* empty: keep */
	enum mesh_redirect_path path_kind;
	const struct regex *regex;	 /* REGEX: pattern; path is the substitution */
	const struct l7_format *format; /* FORMAT: of the path without its query */
	bool https;
	uint32_t port;			 /* 0: keep */
	uint32_t code;			 /* 301 ... */
	bool strip_query;
};

/* A header of an answer that says how long to wait. */
struct mesh_retry_reset {
	struct slice name; /* lower case */
	bool is_time;	   /* seconds since 1970, else from now */
};

/* Milliseconds; has_x false: the default applies. */
struct mesh_retry {
	uint32_t on;	   /* bits MESH_RETRY_* */
	uint32_t num;	   /* default 1 */
	uint32_t per_try_timeout_ms; /* 0: the route's */
	uint32_t base_ms, max_ms; /* back-off, 0: 25 ms and 10 times that */
	uint32_t *codes;
	uint32_t n_codes;
	uint32_t per_try_idle_ms; /* 0: none */
	bool other_hosts;	  /* not a host that was tried (previous_hosts) */
	uint32_t host_attempts;	  /* picks of a host for that; default 1 */
	struct mesh_header_match *headers, *request_headers; /* retriable_* */
	uint32_t n_headers, n_request_headers;
	struct mesh_retry_reset *resets; /* rate_limited_retry_back_off */
	uint32_t n_resets;
	uint32_t reset_max_ms; /* a longer wait does not count */
};
enum {
	MESH_RETRY_5XX = 1,
	MESH_RETRY_GATEWAY = 2,
	MESH_RETRY_RESET = 4,
	MESH_RETRY_CONNECT = 8,
	MESH_RETRY_REFUSED = 16,
	MESH_RETRY_4XX = 32,
	MESH_RETRY_CODES = 64,
	MESH_RETRY_RESET_BEFORE_REQUEST = 128,
	MESH_RETRY_HEADERS = 256,
	MESH_RETRY_ENVOY_RATELIMITED = 512,
	MESH_RETRY_HTTP3 = 1024, /* http3-post-connect-failure: never happens here */
	/* by grpc-status: */
	MESH_RETRY_GRPC_CANCELLED = 4096,
	MESH_RETRY_GRPC_DEADLINE = 8192,
	MESH_RETRY_GRPC_INTERNAL = 16384,
	MESH_RETRY_GRPC_EXHAUSTED = 32768,
	MESH_RETRY_GRPC_UNAVAILABLE = 65536
};
#define MESH_RETRY_GRPC 0x1f000

/* The bit of one word of retry_on, 0 for others; the bits of a list with commas (mesh/retry.c). */
uint32_t mesh_retry_bit(struct slice word);
uint32_t mesh_retry_on(struct slice list);

/* envoy.config.route.v3.InternalRedirectPolicy */
#define MESH_MOVED_FIRST 300
struct mesh_internal_redirect {
	uint32_t max;	   /* redirects of one request that are followed */
	uint32_t codes;	   /* bit n: of status MESH_MOVED_FIRST + n */
	bool cross_scheme; /* from http to https or back */
	bool safe_scheme;  /* not from http to https */
	bool no_loops;	   /* no way from route to route twice */
	bool has_allowed;  /* only to these routes */
	struct slice *allowed, *copy; /* copy: headers of the answer that the request takes along */
	uint32_t n_allowed, n_copy;
};

/* envoy.config.route.v3.RouteAction.RequestMirrorPolicy */
struct mesh_mirror {
	struct slice cluster, cluster_header; /* one of them */
	uint32_t fraction;		      /* parts of a million */
	bool keep_host;			      /* no "-shadow" after the host's name */
	struct slice host_rewrite;
};

/* envoy.config.route.v3.RouteAction.HashPolicy */
enum mesh_hash_source {
	MESH_HASH_HEADER,
	MESH_HASH_COOKIE,
	MESH_HASH_SOURCE_IP,
	MESH_HASH_QUERY
};

struct mesh_hash_policy {
	enum mesh_hash_source source;
	struct slice name; /* of the header, cookie or query parameter */
	const struct regex *regex; /* HEADER: rewrites the value first; NULL: none */
	struct slice subst;
	bool has_ttl; /* COOKIE: one is made when the client has none */
	uint32_t ttl_s; /* 0: for the session */
	struct slice path, attributes; /* COOKIE: path; "; name=value" ... */
	bool is_terminal;
};

/* How much of a request is kept for other tries. */
struct mesh_body_limit {
	bool has_max;	  /* request_body_buffer_limit */
	bool has_request; /* per_request_buffer_limit_bytes; only where nobody says max */
	uint64_t max, request;
};

/* envoy.config.route.v3.CookieMatcher */
struct mesh_cookie_match {
	struct slice name;
	struct mesh_string string;
	bool invert;
};

struct mesh_route {
	struct slice name;
	const struct metadata *metadata; /* NULL: none */
	/* match */
	enum mesh_path_kind path_kind;
	struct slice path; /* prefix, path or separated prefix */
	const struct regex *path_regex;
	bool ignore_case; /* case_sensitive: false */
	struct mesh_header_match *headers;
	uint32_t n_headers;
	struct mesh_query_match *queries;
	uint32_t n_queries;
	struct mesh_cookie_match *cookies;
	uint32_t n_cookies;
	uint32_t fraction; /* runtime_fraction default: parts of a million; 1000000 = always */
	bool grpc;	   /* only gRPC requests */
	/* action */
	enum mesh_route_action action;
	struct slice cluster;	     /* name; empty with header or weighted */
	struct slice cluster_header;
	struct mesh_weighted *weighted;
	uint32_t n_weighted, total_weight;
	struct slice
		weighted_header;    /* weighted_clusters.header_name: its number picks, or empty */
	uint32_t no_cluster_status; /* cluster_not_found_response_code: 503 or 404 */
	enum mesh_path_rewrite rewrite;
	struct slice prefix_rewrite;	   /* or the regex's substitution */
	const struct regex *rewrite_regex;
	const struct l7_format *rewrite_format; /* of the path without its query */
	enum mesh_host_rewrite host_rewrite;
	struct slice host_literal;	   /* literal, header name, or substitution */
	const struct regex *host_regex;
	const struct l7_format *host_format;
	bool append_x_forwarded_host;
	bool has_timeout, has_idle_timeout, has_max_grpc_timeout;
	uint32_t timeout_ms;	  /* route time-out; default 15000; 0 = none */
	uint32_t idle_timeout_ms; /* overrides the manager's stream_idle_timeout */
	bool has_max_stream;	  /* max_stream_ms is said; 0: none */
	uint32_t max_stream_ms;	  /* overrides the manager's max_stream_duration */
	uint32_t max_grpc_ms;	  /* of what grpc-timeout may ask for; 0: no limit */
	uint32_t grpc_offset_ms;  /* is taken off it */
	bool grpc_is_stream;	  /* it is a max_stream_duration, not the route's time-out */
	struct mesh_retry *retry; /* NULL: none */
	const struct mesh_internal_redirect *internal_redirect; /* NULL: none */
	struct mesh_body_limit body_limit;
	struct mesh_mirror *mirrors;
	uint32_t n_mirrors; /* of the route; else the virtual host's, else the table's */
	struct mesh_hash_policy *hashes;
	uint32_t n_hashes;
	struct mesh_upgrade *upgrades;
	uint32_t n_upgrades;
	struct mesh_redirect *redirect;
	uint32_t direct_status;
	struct slice direct_body;
	const struct mesh_body_format *direct_format; /* body_format, or NULL */
	struct mesh_rl_descriptor_source *rate_limits;
	uint32_t n_rate_limits;
	bool include_vh_rate_limits;
	struct mesh_mutations mutations;
	struct mesh_overrides overrides;
	struct slice decorator; /* operation */
	struct slice stat_prefix;
};

/* envoy.config.route.v3.VirtualCluster */
struct mesh_virtual_cluster {
	struct slice name;
	struct mesh_header_match *headers;
	uint32_t n_headers;
};

struct mesh_vhost {
	struct slice name;
	const struct metadata *metadata; /* NULL: none */
	struct mesh_virtual_cluster *virtual_clusters; /* for logs: the first that matches */
	uint32_t n_virtual_clusters;
	struct slice *domains; /* lower case */
	uint32_t n_domains;
	enum { MESH_TLS_NONE, MESH_TLS_EXTERNAL_ONLY, MESH_TLS_ALL } require_tls;
	struct mesh_route *routes;
	uint32_t n_routes;
	struct mesh_mutations mutations;
	struct mesh_overrides overrides;
	struct mesh_rl_descriptor_source *rate_limits;
	uint32_t n_rate_limits;
	struct mesh_retry *retry;
	struct mesh_body_limit body_limit;
	struct mesh_mirror *mirrors;
	uint32_t n_mirrors;
	bool include_attempt_count;		/* x-envoy-attempt-count in the request */
	bool include_attempt_count_in_response;
};

struct mesh_route_table {
	struct slice name;
	struct mesh_vhost *vhosts;
	uint32_t n_vhosts;
	/* domain -> virtual host; built once by route_table_index (route/): opaque here */
	const void *index;
	bool ignore_port_in_host;
	bool ignore_path_parameters; /* ";..." is no part of the path that routes match */
	bool on_demand; /* VHDS: virtual hosts that it lacks can be asked for */
	bool most_specific_wins; /* most_specific_header_mutations_wins */
	struct mesh_mirror *mirrors;
	uint32_t n_mirrors;
	struct slice *internal_only;
	uint32_t n_internal_only;
	struct mesh_mutations mutations;
	struct mesh_overrides overrides;
};

/* ---- routes of RPC protocols (dubbo_proxy) -------------------------------------------------- */

struct mesh_rpc_route {
	struct slice name;
	bool has_method;
	struct mesh_string method;
	struct mesh_header_match *headers; /* attachments */
	uint32_t n_headers;
	struct slice cluster;
	struct mesh_weighted *weighted;
	uint32_t n_weighted, total_weight;
};

struct mesh_rpc_table {
	struct slice name;
	struct slice interface; /* exact; "*" and a leading or trailing '*' are patterns */
	struct slice group, version; /* empty: any */
	struct mesh_rpc_route *routes;
	uint32_t n_routes;
};

#endif
