/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one stream (or one plain connection) at its end: for access logs, formats in
 * header values, and statistics. Filled by the engine as the stream goes.
 */
#ifndef SKIFF_L7_INFO_H
#define SKIFF_L7_INFO_H

#include "base/addr.h"
#include "base/metadata.h"
#include "l7/l7.h"

/* Envoy's response flags: short and long name. */
#define L7_FLAGS(X) \
	X(UH, "UH", "NoHealthyUpstream") X(UF, "UF", "UpstreamConnectionFailure") \
	X(UO, "UO", "UpstreamOverflow") X(NR, "NR", "NoRouteFound") \
	X(URX, "URX", "UpstreamRetryLimitExceeded") X(NC, "NC", "NoClusterFound") \
	X(DT, "DT", "DurationTimeout") X(DC, "DC", "DownstreamConnectionTermination") \
	X(LH, "LH", "FailedLocalHealthCheck") X(UT, "UT", "UpstreamRequestTimeout") \
	X(LR, "LR", "LocalReset") X(UR, "UR", "UpstreamRemoteReset") \
	X(UC, "UC", "UpstreamConnectionTermination") X(DI, "DI", "DelayInjected") \
	X(FI, "FI", "FaultInjected") X(RL, "RL", "RateLimited") \
	X(UAEX, "UAEX", "UnauthorizedExternalService") X(IH, "IH", "InvalidEnvoyRequestHeaders") \
	X(SI, "SI", "StreamIdleTimeout") X(DPE, "DPE", "DownstreamProtocolError") \
	X(UPE, "UPE", "UpstreamProtocolError") X(UMSDR, "UMSDR", "UpstreamMaxStreamDurationReached") \
	X(OM, "OM", "OverloadManagerTerminated") X(DF, "DF", "DnsResolutionFailed")

enum l7_flag {
#define X(id, s, l) L7_FLAG_##id##_BIT,
	L7_FLAGS(X)
#undef X
	L7_FLAG_COUNT
};
#define L7_FLAG(id) (1u << L7_FLAG_##id##_BIT)
/* Envoy names flags in the order in which they came: URX was set before the others. */
#define L7_FLAG_URX_FIRST (1u << 31)

/* When a line is written: Envoy's names and numbers. */
enum l7_log_type {
	L7_LOG_AT_END, /* of the stream or connection */
	L7_LOG_TCP_CONNECTED,
	L7_LOG_TCP_PERIODIC,
	L7_LOG_TCP_END,
	L7_LOG_START,
	L7_LOG_PERIODIC,
	L7_LOG_END,
	L7_LOG_TUNNEL = 10,
	L7_LOG_TCP_START = 14,
};

/* Whose metadata formats can name. */
enum { L7_META_ROUTE, L7_META_CLUSTER, L7_META_VHOST, L7_META_LISTENER, L7_META_HOST,
       L7_METADATA_KINDS };

struct l7_info {
	enum l7_log_type log_type;
	uint64_t start_wall_ns;	  /* first byte of the request */
	uint64_t start_ns;	  /* the same, monotonic; the following too; 0 = did not happen */
	uint64_t request_end_ns;  /* last byte of the request received */
	uint64_t upstream_first_tx_ns, upstream_last_tx_ns;
	uint64_t upstream_first_rx_ns, upstream_last_rx_ns;
	uint64_t response_first_ns; /* first byte of the answer sent down */
	uint64_t response_last_ns;  /* last byte of it: 0 when it was cut */
	uint64_t end_ns;
	uint64_t now_ns; /* instead, while it goes on */
	uint64_t bytes_received;  /* request body (connection: bytes from the client) */
	uint64_t bytes_sent;	  /* response body */
	/* All bytes of the messages as they were on the wire, as far as they got. */
	uint64_t upstream_wire_tx, upstream_wire_rx, downstream_wire_tx, downstream_wire_rx;
	/* Of these the properties of the heads (l7_msg.props_bytes). */
	uint64_t upstream_head_tx, upstream_head_rx, downstream_head_tx, downstream_head_rx;
	/* The pool was asked for a connection; it gave one, or failed. */
	uint64_t pool_asked_ns, pool_answered_ns;
	/* Of the connection that was used: opened, connected; maybe long before this stream. */
	uint64_t upstream_connect_ns, upstream_connected_ns;
	uint64_t upstream_connection_id; /* 0: none was got */
	uint32_t flags;		  /* L7_FLAG(...) */
	uint32_t status;	  /* of the answer, 0 = none */
	uint32_t attempts;	  /* upstream attempts */
	struct slice details;	  /* %RESPONSE_CODE_DETAILS% */
	struct slice termination_details; /* %CONNECTION_TERMINATION_DETAILS% */
	struct slice upstream_failure;	  /* %UPSTREAM_TRANSPORT_FAILURE_REASON% */
	struct slice route_name, virtual_host, cluster, cluster_stat_name, filter_chain;
	struct slice listener;
	struct slice protocol;	  /* %PROTOCOL% */
	struct slice upstream_protocol; /* what is spoken there */
	struct slice upstream_hostname; /* the endpoint's own name, maybe with a port; empty: it has
					   none */
	struct slice local_reply_body;	/* only while a format makes the body of our own answer */
	struct slice requested_server_name; /* SNI */
	struct slice downstream_principal; /* "spiffe://..."; empty: not known */
	struct slice pod;	  /* "ns/name" of the pod that the stream belongs to */
	struct addr downstream_remote, downstream_direct, downstream_local;
	struct addr upstream_remote, upstream_local;
	bool has_upstream;	  /* upstream_remote is set */
	bool has_upstream_local; /* so there was a connection */
	bool downstream_was_reset, upstream_was_reset; /* by the peer */
	uint64_t connection_id, stream_id;
	const struct l7_msg *request;	 /* as it is now; NULL for plain connections */
	const struct l7_msg *response;	 /* NULL before it is there */
	const struct l7_props *trailers; /* of the response, NULL if none */
	const struct metadata *metadata[L7_METADATA_KINDS]; /* NULL: there is none */
	struct slice virtual_cluster; /* empty: the virtual host has none */
	struct slice original_path;	 /* for %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% */
};

/* The kind of line that is written; L7_LOG_AT_END is resolved. */
enum l7_log_type l7_log_type(const struct l7_info *in);

#endif
