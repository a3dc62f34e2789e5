/* SPDX-License-Identifier: Apache-2.0 */
/* Envoy's names of the engine's statistics, one table a prefix. */
#ifndef SKIFF_PROXY_STATS_H
#define SKIFF_PROXY_STATS_H

#include "base/stats.h"

/* "http.<stat_prefix>." */
#define HTTP_STATS(X) \
	X(cx_total, COUNTER, "downstream_cx_total") X(cx_active, GAUGE, "downstream_cx_active") \
	X(cx_http1_total, COUNTER, "downstream_cx_http1_total") \
	X(cx_http1_active, GAUGE, "downstream_cx_http1_active") \
	X(cx_destroy, COUNTER, "downstream_cx_destroy") \
	X(cx_destroy_local, COUNTER, "downstream_cx_destroy_local") \
	X(cx_destroy_remote, COUNTER, "downstream_cx_destroy_remote") \
	X(cx_destroy_active_rq, COUNTER, "downstream_cx_destroy_active_rq") \
	X(cx_destroy_local_active_rq, COUNTER, "downstream_cx_destroy_local_active_rq") \
	X(cx_destroy_remote_active_rq, COUNTER, "downstream_cx_destroy_remote_active_rq") \
	X(cx_protocol_error, COUNTER, "downstream_cx_protocol_error") \
	X(cx_idle_timeout, COUNTER, "downstream_cx_idle_timeout") \
	X(cx_max_duration, COUNTER, "downstream_cx_max_duration_reached") \
	X(cx_max_requests, COUNTER, "downstream_cx_max_requests_reached") \
	X(cx_overload_disable_keepalive, COUNTER, "downstream_cx_overload_disable_keepalive") \
	X(cx_drain_close, COUNTER, "downstream_cx_drain_close") \
	X(cx_delayed_close_timeout, COUNTER, "downstream_cx_delayed_close_timeout") \
	X(cx_upgrades_total, COUNTER, "downstream_cx_upgrades_total") \
	X(cx_upgrades_active, GAUGE, "downstream_cx_upgrades_active") \
	X(cx_rx_bytes, COUNTER, "downstream_cx_rx_bytes_total") \
	X(cx_tx_bytes, COUNTER, "downstream_cx_tx_bytes_total") \
	X(cx_length_ms, HISTOGRAM, "downstream_cx_length_ms") \
	X(flow_paused, COUNTER, "downstream_flow_control_paused_reading_total") \
	X(flow_resumed, COUNTER, "downstream_flow_control_resumed_reading_total") \
	X(rq_total, COUNTER, "downstream_rq_total") X(rq_http1_total, COUNTER, "downstream_rq_http1_total") \
	X(rq_active, GAUGE, "downstream_rq_active") X(rq_completed, COUNTER, "downstream_rq_completed") \
	X(rq_1xx, COUNTER, "downstream_rq_1xx") X(rq_2xx, COUNTER, "downstream_rq_2xx") \
	X(rq_3xx, COUNTER, "downstream_rq_3xx") X(rq_4xx, COUNTER, "downstream_rq_4xx") \
	X(rq_5xx, COUNTER, "downstream_rq_5xx") X(rq_rx_reset, COUNTER, "downstream_rq_rx_reset") \
	X(rq_tx_reset, COUNTER, "downstream_rq_tx_reset") X(rq_too_large, COUNTER, "downstream_rq_too_large") \
	X(rq_non_relative_path, COUNTER, "downstream_rq_non_relative_path") \
	X(rq_ws_on_non_ws_route, COUNTER, "downstream_rq_ws_on_non_ws_route") \
	X(rq_timeout, COUNTER, "downstream_rq_timeout") X(rq_header_timeout, COUNTER, "downstream_rq_header_timeout") \
	X(rq_idle_timeout, COUNTER, "downstream_rq_idle_timeout") \
	X(rq_max_duration, COUNTER, "downstream_rq_max_duration_reached") \
	X(rq_overload_close, COUNTER, "downstream_rq_overload_close") \
	X(rq_failed_path_normalization, COUNTER, "downstream_rq_failed_path_normalization") \
	X(redirect_bad_location, COUNTER, "passthrough_internal_redirect_bad_location") \
	X(redirect_no_route, COUNTER, "passthrough_internal_redirect_no_route") \
	X(redirect_predicate, COUNTER, "passthrough_internal_redirect_predicate") \
	X(redirect_too_many, COUNTER, "passthrough_internal_redirect_too_many_redirects") \
	X(redirect_unsafe_scheme, COUNTER, "passthrough_internal_redirect_unsafe_scheme") \
	X(rq_redirected_path, COUNTER, "downstream_rq_redirected_with_normalized_path") \
	X(rq_no_route, COUNTER, "no_route") X(rq_no_cluster, COUNTER, "no_cluster") \
	X(rq_redirect, COUNTER, "rq_redirect") X(rq_direct, COUNTER, "rq_direct_response") \
	X(rq_route_total, COUNTER, "rq_total") X(rq_reset_after, COUNTER, "rq_reset_after_downstream_response_started") \
	X(rq_time, HISTOGRAM, "downstream_rq_time")

struct http_stats {
#define X(field, kind, name) stat_id field;
	HTTP_STATS(X)
#undef X
};

/* "dubbo.<stat_prefix>." */
#define RPC_STATS(X) \
	X(cx_total, COUNTER, "downstream_cx_total") X(cx_active, GAUGE, "downstream_cx_active") \
	X(cx_destroy_local, COUNTER, "cx_destroy_local_with_active_rq") \
	X(cx_destroy_remote, COUNTER, "cx_destroy_remote_with_active_rq") \
	X(request, COUNTER, "request") X(request_twoway, COUNTER, "request_twoway") \
	X(request_oneway, COUNTER, "request_oneway") X(request_event, COUNTER, "request_event") \
	X(request_active, GAUGE, "request_active") X(request_decoding_success, COUNTER, "request_decoding_success") \
	X(request_decoding_error, COUNTER, "request_decoding_error") X(response, COUNTER, "response") \
	X(response_success, COUNTER, "response_success") X(response_error, COUNTER, "response_error") \
	X(response_exception, COUNTER, "response_business_exception") \
	X(response_decoding_success, COUNTER, "response_decoding_success") \
	X(response_decoding_error, COUNTER, "response_decoding_error") \
	X(local_response_success, COUNTER, "local_response_success") \
	X(local_response_error, COUNTER, "local_response_error") \
	X(local_response_exception, COUNTER, "local_response_business_exception") \
	X(route_missing, COUNTER, "route_missing") X(request_time, HISTOGRAM, "request_time_ms")

struct rpc_stats {
#define X(field, kind, name) stat_id field;
	RPC_STATS(X)
#undef X
};

/* "tcp.<stat_prefix>." */
#define TCP_STATS(X) \
	X(cx_total, COUNTER, "downstream_cx_total") X(cx_no_route, COUNTER, "downstream_cx_no_route") \
	X(cx_rx_bytes, COUNTER, "downstream_cx_rx_bytes_total") \
	X(cx_tx_bytes, COUNTER, "downstream_cx_tx_bytes_total") \
	X(cx_rx_buffered, GAUGE, "downstream_cx_rx_bytes_buffered") \
	X(cx_tx_buffered, GAUGE, "downstream_cx_tx_bytes_buffered") \
	X(flow_paused, COUNTER, "downstream_flow_control_paused_reading_total") \
	X(flow_resumed, COUNTER, "downstream_flow_control_resumed_reading_total") \
	X(idle_timeout, COUNTER, "idle_timeout") X(max_duration, COUNTER, "max_downstream_connection_duration")

struct tcp_stats {
#define X(field, kind, name) stat_id field;
	TCP_STATS(X)
#undef X
};

/* "listener.<address>." */
#define LISTENER_STATS(X) \
	X(cx_total, COUNTER, "downstream_cx_total") X(cx_active, GAUGE, "downstream_cx_active") \
	X(cx_destroy, COUNTER, "downstream_cx_destroy") X(cx_overflow, COUNTER, "downstream_cx_overflow") \
	X(no_chain, COUNTER, "no_filter_chain_match") X(pre_cx_timeout, COUNTER, "downstream_pre_cx_timeout") \
	X(pre_cx_active, GAUGE, "downstream_pre_cx_active") \
	X(cx_length_ms, HISTOGRAM, "downstream_cx_length_ms")

struct listener_stats {
#define X(field, kind, name) stat_id field;
	LISTENER_STATS(X)
#undef X
};

/* "listener.<address>.http.<stat_prefix>." */
#define LISTENER_HTTP_STATS(X) \
	X(rq_1xx, COUNTER, "downstream_rq_1xx") X(rq_2xx, COUNTER, "downstream_rq_2xx") \
	X(rq_3xx, COUNTER, "downstream_rq_3xx") X(rq_4xx, COUNTER, "downstream_rq_4xx") \
	X(rq_5xx, COUNTER, "downstream_rq_5xx") X(rq_completed, COUNTER, "downstream_rq_completed")

struct listener_http_stats {
#define X(field, kind, name) stat_id field;
	LISTENER_HTTP_STATS(X)
#undef X
};

void listener_http_stats_register(struct listener_http_stats *s, struct slice listener,
				  struct slice prefix);
void http_stats_register(struct http_stats *s, struct slice prefix);
void rpc_stats_register(struct rpc_stats *s, const char *codec, struct slice prefix);
void tcp_stats_register(struct tcp_stats *s, struct slice prefix);
/* @name: stat_prefix or the address with ':' as Envoy writes it. */
void listener_stats_register(struct listener_stats *s, struct slice name);

#endif
