/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, filter chains and network filters as data, immutable. */
#ifndef SKIFF_MESH_LISTENER_H
#define SKIFF_MESH_LISTENER_H

#include "base/addr.h"
#include "mesh/filters.h"
#include "mesh/tls.h"

struct mesh_prefix {
	struct addr net;
	unsigned int bits; /* of 128 */
};

/* envoy.config.listener.v3.ListenerFilterChainMatchPredicate */
enum mesh_port_rule_kind {
	MESH_PORT_ANY,
	MESH_PORT_RANGE,
	MESH_PORT_AND,
	MESH_PORT_OR,
	MESH_PORT_NOT /* of its one part */
};

struct mesh_port_rule {
	enum mesh_port_rule_kind kind;
	uint32_t start, end; /* RANGE: [start, end) */
	struct mesh_port_rule *parts;
	uint32_t n_parts;
};

/* envoy.config.listener.v3.FilterChainMatch */
struct mesh_chain_match {
	uint32_t destination_port; /* 0: any */
	struct mesh_prefix *destinations, *sources, *direct_sources;
	uint32_t n_destinations, n_sources, n_direct_sources;
	enum { MESH_SOURCE_ANY, MESH_SOURCE_SAME_IP, MESH_SOURCE_EXTERNAL } source_kind;
	uint32_t *source_ports;
	uint32_t n_source_ports;
	struct slice *server_names;
	uint32_t n_server_names;
	struct slice transport; /* "raw_buffer", "tls" or empty */
	struct slice *protocols; /* application protocols: "http/1.1", "h2c" ... */
	uint32_t n_protocols;
};

enum mesh_forward_client_cert { MESH_XFCC_SANITIZE };
enum mesh_server_header { MESH_SERVER_OVERWRITE, MESH_SERVER_APPEND_IF_ABSENT, MESH_SERVER_PASS };
enum mesh_underscores { MESH_UNDERSCORES_ALLOW, MESH_UNDERSCORES_REJECT, MESH_UNDERSCORES_DROP };
enum mesh_escaped_slashes {
	MESH_SLASHES_KEEP,
	MESH_SLASHES_REJECT,
	MESH_SLASHES_REDIRECT,
	MESH_SLASHES_UNESCAPE
};
enum mesh_codec_type { MESH_CODEC_AUTO, MESH_CODEC_HTTP1, MESH_CODEC_HTTP2 };

/* envoy...http_connection_manager.v3.ResponseMapper */
struct mesh_reply_mapper {
	const struct mesh_log_filter *filter;
	uint32_t status; /* 0: as it was */
	bool has_body;
	struct slice body;
	const struct mesh_body_format *format; /* NULL: the configuration's */
	struct mesh_header_ops headers;
};

/* envoy...http_connection_manager.v3.LocalReplyConfig: what becomes of our own answers. */
struct mesh_local_reply {
	struct mesh_reply_mapper *mappers; /* the first that matches counts */
	uint32_t n_mappers;
	const struct mesh_body_format *format; /* NULL: the body as it is */
};

/* envoy...http_connection_manager.v3.HttpConnectionManager */
struct mesh_http_manager {
	struct slice stat_prefix;
	enum mesh_codec_type codec_type;
	const struct mesh_route_table *routes; /* inline; NULL: route_name in the view (RDS) */
	struct slice route_name;
	struct mesh_filter *filters;
	uint32_t n_filters;
	struct mesh_access_log *logs;
	uint32_t n_logs;
	struct mesh_log_when log_when;
	const struct mesh_local_reply *local_reply; /* or NULL */
	struct slice server_name; /* default "skiff" */
	enum mesh_server_header server_header;
	struct slice via;
	/* times in ms; 0 = none */
	uint32_t idle_timeout_ms;	   /* connection without requests; default 3600000 */
	uint32_t max_connection_ms; /* common_http_protocol_options.max_connection_duration */
	uint32_t max_stream_ms;		   /* max_stream_duration */
	uint32_t stream_idle_timeout_ms;   /* default 300000 */
	uint32_t request_timeout_ms;	   /* default 0 */
	uint32_t request_headers_timeout_ms; /* default 0 */
	uint32_t delayed_close_ms;	   /* default 1000 */
	uint32_t drain_timeout_ms;	   /* default 5000 */
	uint32_t max_requests_per_connection; /* 0: no limit */
	uint32_t max_headers;		   /* default 100 */
	uint32_t max_head_kb;		   /* default 60 */
	bool use_remote_address;
	uint32_t xff_trusted_hops;
	bool skip_xff_append;
	bool append_x_forwarded_port;
	bool add_user_agent; /* also names the caller: nobody, no node of ours has a name */
	struct mesh_prefix *internal_addresses; /* internal_address_config.cidr_ranges */
	uint32_t n_internal_addresses;
	bool has_internal_address_config;
	bool generate_request_id;	   /* default true */
	bool preserve_external_request_id;
	bool request_id_in_response;	   /* always_set_request_id_in_response */
	bool normalize_path, merge_slashes;
	enum mesh_escaped_slashes escaped_slashes;
	bool strip_matching_port, strip_any_port, strip_trailing_dot;
	enum mesh_underscores underscores;
	bool suppress_envoy_headers; /* set on the router filter: no x-envoy-* added */
	bool allow_absolute_url;     /* default true */
	bool accept_http10, proper_case, preserve_case, enable_trailers, allow_chunked_length;
	struct slice default_host_http10;
	bool proxy_100_continue;
	struct mesh_upgrade *upgrades;
	uint32_t n_upgrades;
	struct slice scheme_overwrite; /* scheme_header_transformation */
	struct mesh_header_steps early; /* early_header_mutation_extensions */
	bool keep_client_cert; /* x-forwarded-client-cert goes on as the client wrote it */
	bool keeps_bad_requests; /* stream_error_on_invalid_http_message: the connection goes on */
	struct mesh_string *ignored_upgrades; /* these are dropped, not refused */
	uint32_t n_ignored_upgrades;
	bool forward_proto;	       /* reserved: x-forwarded-proto is always set */
};

/* envoy...tcp_proxy.v3.TcpProxy */
struct mesh_tcp_proxy {
	struct slice stat_prefix;
	struct slice cluster;
	struct mesh_weighted *weighted;
	uint32_t n_weighted, total_weight;
	uint32_t idle_timeout_ms;	   /* default 3600000; 0 = none */
	uint32_t max_connection_ms;	   /* max_downstream_connection_duration; 0 = none */
	uint32_t max_connect_attempts;	   /* default 1 */
	struct mesh_access_log *logs;
	uint32_t n_logs;
	struct mesh_log_when log_when;
};

/* envoy...dubbo_proxy.v3.DubboProxy: an RPC protocol by the codec's name */
struct mesh_rpc_proxy {
	const char *codec; /* "dubbo" */
	struct slice stat_prefix;
	struct mesh_rpc_table *tables; /* inline, or with route_name in the view (DRDS) */
	uint32_t n_tables;
	struct slice route_name;
	struct mesh_filter *filters; /* ends in the router */
	uint32_t n_filters;
	struct mesh_access_log *logs;
	uint32_t n_logs;
};

/* envoy...network.local_ratelimit.v3.LocalRateLimit */
struct mesh_net_ratelimit {
	struct slice stat_prefix;
	struct mesh_token_bucket bucket;
};

enum mesh_net_kind {
	MESH_NET_HTTP,
	MESH_NET_TCP,
	MESH_NET_RPC,
	MESH_NET_RATELIMIT,
	MESH_NET_RBAC
};

struct mesh_net_filter {
	struct slice name;
	enum mesh_net_kind kind;
	union {
		const struct mesh_http_manager *http;
		const struct mesh_tcp_proxy *tcp;
		const struct mesh_rpc_proxy *rpc;
		const struct mesh_net_ratelimit *ratelimit;
		const struct mesh_rbac *rbac;
		const void *any;
	};
};

struct mesh_chain {
	struct slice name;
	struct mesh_chain_match match;
	/* Not MESH_SOCKET_RAW: a connection that gets here is closed, TLS is not there yet. */
	struct mesh_socket socket;
	struct mesh_net_filter *filters; /* the last one is terminal (http, tcp, rpc) */
	uint32_t n_filters;
};

enum mesh_direction { MESH_UNSPECIFIED, MESH_INBOUND, MESH_OUTBOUND };

#define MESH_LISTENER_ADDRS_MAX 64

struct mesh_listener {
	struct slice name;
	const struct metadata *metadata; /* NULL: none */
	struct addr addr;
	struct addr *more; /* additional_addresses: for captured connections only */
	uint32_t n_more;
	bool bind_to_port;	/* default true */
	bool bind_in_pod;	/* a pod's: the same, but a file has to say it */
	bool use_original_dst; /* hands connections to the listener of their original destination */
	bool sniff; /* a listener filter (http_inspector, tls_inspector) or ours asks for detection
		     */
	/* What of the first bytes is looked at: an inspector for HTTP (and whatever else we know),
	 * one for TLS. */
	bool sniff_http, sniff_tls;
	const struct mesh_port_rule *http_off, *tls_off; /* ports without; NULL: none */
	enum mesh_direction direction;
	struct slice stat_prefix; /* or empty: by address */
	uint32_t sniff_timeout_ms; /* listener_filters_timeout; default 100 here; 0: none */
	bool continue_on_timeout;
	uint32_t per_connection_buffer; /* default 1 MiB */
	struct mesh_chain *chains;
	uint32_t n_chains;
	const struct mesh_chain *default_chain; /* or NULL */
	struct mesh_access_log *logs;
	uint32_t n_logs;
	uint64_t hash;	/* of the whole listener */
	uint32_t index; /* place in its view */
};

bool mesh_port_rule_is_match(const struct mesh_port_rule *r, uint32_t port);
/* Are the first bytes of connections to @port looked at? */
bool mesh_listener_sniffs_http(const struct mesh_listener *l, uint32_t port);
bool mesh_listener_sniffs_tls(const struct mesh_listener *l, uint32_t port);

/* The chain for a connection by Envoy's order of match criteria, or NULL. */
struct mesh_chain_input {
	struct addr local;  /* original destination */
	struct addr remote; /* source */
	struct slice server_name, transport; /* transport "" counts as "raw_buffer" */
	const struct slice *protocols;
	uint32_t n_protocols;
};
const struct mesh_chain *mesh_chain_find(const struct mesh_listener *l,
					 const struct mesh_chain_input *in);

#endif
