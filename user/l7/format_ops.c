/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of operators and the simple values. Operators of Envoy whose source does not exist in
 * Skiff (dynamic metadata, filter state, traces, TLS of this hop) are accepted and always absent;
 * names that Envoy does not know either are refused.
 */
#include <ctype.h>
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "l7/format_impl.h"

/* ---- points in time and durations ------------------------------------------------------------ */

enum point {
	DS_RX_BEG,
	DS_RX_END,
	US_TX_BEG,
	US_TX_END,
	US_RX_BEG,
	US_RX_END,
	DS_TX_BEG,
	DS_TX_END,
	US_CX_BEG,
	US_CX_END,
	POINTS
};

#define BETWEEN(from, to) ((uint32_t)(from) << 8 | (uint32_t)(to))

static uint64_t point_ns(const struct l7_info *in, uint32_t at)
{
	const uint64_t v[POINTS] = { in->start_ns,	       in->request_end_ns,
				     in->upstream_first_tx_ns, in->upstream_last_tx_ns,
				     in->upstream_first_rx_ns, in->upstream_last_rx_ns,
				     in->response_first_ns,    in->response_last_ns,
				     in->upstream_connect_ns,  in->upstream_connected_ns };

	return at < POINTS ? v[at] : 0;
}

/* option: BETWEEN; option2: nanoseconds in the unit. */
static enum value_kind append_span(const struct part *p, const struct l7_info *in, struct buf *out)
{
	uint64_t from = point_ns(in, p->option >> 8), to = point_ns(in, p->option & 0xff);

	if (!from || !to || to < from)
		return VALUE_ABSENT;
	buf_add_u64(out, (to - from) / (p->option2 ? p->option2 : NSEC_PER_MSEC));
	return VALUE_NUMBER;
}

/* Until now while the stream still lives. */
static enum value_kind append_duration(const struct part *p, const struct l7_info *in,
				       struct buf *out)
{
	uint64_t end = in->end_ns ? in->end_ns : clock_mono_ns();

	(void)p;
	if (!in->start_ns)
		return VALUE_ABSENT;
	buf_add_u64(out, end > in->start_ns ? (end - in->start_ns) / NSEC_PER_MSEC : 0);
	return VALUE_NUMBER;
}

/* "DS_RX_BEG:DS_TX_END:ms". */
static int prepare_span(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	static const char *const points[] = { "DS_RX_BEG", "DS_RX_END", "US_TX_BEG", "US_TX_END",
					      "US_RX_BEG", "US_RX_END", "DS_TX_BEG", "DS_TX_END",
					      "US_CX_BEG", "US_CX_END", "US_HS_END" };
	struct slice unit = args;
	struct slice names[2] = { slice_split(&unit, ':'), SLICE_NONE };
	uint32_t at[2] = { UINT32_MAX, UINT32_MAX };

	(void)a;
	names[1] = slice_split(&unit, ':');
	for (uint32_t i = 0; i < ARRAY_LEN(points); i++)
		for (size_t k = 0; k < 2; k++)
			if (slice_is_equal(names[k], slice_str(points[i])))
				at[k] = i;
	if (at[0] == UINT32_MAX || at[1] == UINT32_MAX)
		return err_set(e, -EINVAL, "'%.*s' names no two points in time", SLICE_ARG(args));
	p->option = BETWEEN(at[0], at[1]);
	p->option2 = slice_is_equal(unit, SLICE("ms")) ? 1000000 :
		     slice_is_equal(unit, SLICE("us")) ? 1000 :
		     slice_is_equal(unit, SLICE("ns")) ? 1 :
							   0;
	return p->option2 ? 0 :
			    err_set(e, -EINVAL, "'%.*s' is none of ms, us, ns", SLICE_ARG(unit));
}

enum { TIME_START = 1, TIME_LOCAL = 2 };

static enum value_kind append_time(const struct part *p, const struct l7_info *in, struct buf *out)
{
	time_append(p->option & TIME_START ? in->start_wall_ns : clock_wall_ns(), p->text,
		    p->option & TIME_LOCAL, out);
	return VALUE_TEXT;
}

static int prepare_time(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	(void)p;
	(void)a;
	if (slice_find(args, '\n') >= 0 || slice_find(args, '\0') >= 0)
		return err_set(e, -EINVAL, "a time format has no line ends");
	return 0;
}

/* ---- members of the info --------------------------------------------------------------------- */

#define MEMBER(m) (uint32_t)offsetof(struct l7_info, m)

static const void *member(const struct part *p, const struct l7_info *in)
{
	return (const char *)in + p->option;
}

static enum value_kind append_u64(const struct part *p, const struct l7_info *in, struct buf *out)
{
	buf_add_u64(out, *(const uint64_t *)member(p, in));
	return VALUE_NUMBER;
}

static enum value_kind append_u32(const struct part *p, const struct l7_info *in, struct buf *out)
{
	buf_add_u64(out, *(const uint32_t *)member(p, in));
	return VALUE_NUMBER;
}

static enum value_kind append_slice(const struct part *p, const struct l7_info *in, struct buf *out)
{
	struct slice s = *(const struct slice *)member(p, in);

	buf_add_slice(out, s);
	return s.len ? VALUE_TEXT : VALUE_ABSENT;
}

/* The same with blanks as '_', so that a line still splits at blanks. */
static enum value_kind append_words(const struct part *p, const struct l7_info *in, struct buf *out)
{
	struct slice s = *(const struct slice *)member(p, in);

	for (size_t i = 0; i < s.len; i++)
		buf_add_char(out, isspace((unsigned char)s.ptr[i]) ? '_' : s.ptr[i]);
	return s.len ? VALUE_TEXT : VALUE_ABSENT;
}

static int prepare_details(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	(void)a;
	if (!args.len)
		return 0;
	if (!slice_is_equal(args, SLICE("ALLOW_WHITESPACES")))
		return err_set(e, -EINVAL, "'%.*s' is not ALLOW_WHITESPACES", SLICE_ARG(args));
	p->append = append_slice;
	return 0;
}

static enum value_kind append_protocol(const struct part *p, const struct l7_info *in,
				       struct buf *out)
{
	struct slice s = in->protocol.len || !in->request ? in->protocol : in->request->protocol;

	(void)p;
	buf_add_slice(out, s);
	return s.len ? VALUE_TEXT : VALUE_ABSENT;
}

static enum value_kind append_cluster(const struct part *p, const struct l7_info *in,
				      struct buf *out)
{
	struct slice s = in->cluster_stat_name.len ? in->cluster_stat_name : in->cluster;

	(void)p;
	buf_add_slice(out, s);
	return s.len ? VALUE_TEXT : VALUE_ABSENT;
}

static enum value_kind append_flags(const struct part *p, const struct l7_info *in, struct buf *out)
{
	l7_flags_text(in->flags, p->option, out);
	return VALUE_TEXT;
}

/* ---- addresses ------------------------------------------------------------------------------- */

enum { ADDR_BOTH, ADDR_IP, ADDR_PORT };

static const uint8_t no_ip[16];

/* option: the member; option2: which part of it. */
static enum value_kind append_addr(const struct part *p, const struct l7_info *in, struct buf *out)
{
	const struct addr *a = member(p, in);
	char text[ADDR_TEXT_MAX];
	size_t n;

	/* Both are ends of a connection, not of a wish for one. */
	if ((p->option == MEMBER(upstream_remote) || p->option == MEMBER(upstream_local)) &&
	    !in->has_upstream_local)
		return VALUE_ABSENT;
	/* All zero means that nobody filled it in; 0.0.0.0 is ::ffff:0.0.0.0 here. */
	if (!a->port && memcmp(a->ip, no_ip, sizeof(no_ip)) == 0)
		return VALUE_ABSENT;
	if (p->option2 == ADDR_PORT) {
		buf_add_u64(out, a->port);
		return VALUE_NUMBER;
	}
	n = p->option2 == ADDR_IP ? addr_format_ip(a, text) : addr_format(a, text);
	buf_add(out, text, n);
	return VALUE_TEXT;
}

static enum value_kind append_addr_ip(const struct part *p, const struct l7_info *in,
				      struct buf *out)
{
	const struct part ip = { .option = p->option, .option2 = ADDR_IP };

	return append_addr(&ip, in, out);
}

static enum value_kind append_addr_port(const struct part *p, const struct l7_info *in,
					struct buf *out)
{
	const struct part port = { .option = p->option, .option2 = ADDR_PORT };

	return append_addr(&port, in, out);
}

/* ---- identities, constants, sizes ------------------------------------------------------------ */

/* Envoy's stream id is the request id. */
static enum value_kind append_stream_id(const struct part *p, const struct l7_info *in,
					struct buf *out)
{
	struct slice id = in->request ? l7_props_value(&in->request->props, L7_KEY_X_REQUEST_ID) :
					SLICE_NONE;

	(void)p;
	if (id.len)
		buf_add_slice(out, id);
	else if (in->stream_id)
		buf_add_u64(out, in->stream_id);
	return id.len || in->stream_id ? VALUE_TEXT : VALUE_ABSENT;
}

static enum value_kind append_unique_id(const struct part *p, const struct l7_info *in,
					struct buf *out)
{
	unsigned char r[16];

	(void)p;
	(void)in;
	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return VALUE_ABSENT;
	r[6] = (r[6] & 0x0f) | 0x40;
	r[8] = (r[8] & 0x3f) | 0x80;
	for (size_t i = 0; i < sizeof(r); i++)
		buf_printf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", r[i]);
	return VALUE_TEXT;
}

enum l7_log_type l7_log_type(const struct l7_info *in)
{
	if (in->log_type != L7_LOG_AT_END)
		return in->log_type;
	return in->request || in->protocol.len ? L7_LOG_END : L7_LOG_TCP_END;
}

static enum value_kind append_log_type(const struct part *p, const struct l7_info *in,
				       struct buf *out)
{
	static const char *const names[] = {
		[L7_LOG_TCP_CONNECTED] = "TcpUpstreamConnected",
		[L7_LOG_TCP_PERIODIC] = "TcpPeriodic",
		[L7_LOG_TCP_END] = "TcpConnectionEnd",
		[L7_LOG_START] = "DownstreamStart",
		[L7_LOG_PERIODIC] = "DownstreamPeriodic",
		[L7_LOG_END] = "DownstreamEnd",
		[L7_LOG_TUNNEL] = "DownstreamTunnelSuccessfullyEstablished",
		[L7_LOG_TCP_START] = "TcpConnectionStart",
	};

	(void)p;
	buf_add_slice(out, slice_str(names[l7_log_type(in)]));
	return VALUE_TEXT;
}

/* "filter:key:key" */
static int prepare_metadata_path(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	char *path = arena_alloc(a, args.len + 1);

	(void)e;
	for (size_t i = 0; i < args.len; i++)
		path[i] = args.ptr[i] == ':' ? METADATA_SEP : args.ptr[i];
	p->text = slice_of(path, args.len);
	return 0;
}

/* "ROUTE:filter:key:key"; other kinds than these have no values here. */
static int prepare_metadata(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	static const char *const kinds[] = {
		[L7_META_ROUTE] = "ROUTE",
		[L7_META_CLUSTER] = "CLUSTER",
		[L7_META_VHOST] = "VIRTUAL_HOST",
		[L7_META_LISTENER] = "LISTENER",
		[L7_META_HOST] = "UPSTREAM_HOST",
	};
	struct slice rest = args, kind = slice_split(&rest, ':');

	p->option = 0;
	while (p->option < L7_METADATA_KINDS && !slice_is_equal(kind, slice_str(kinds[p->option])))
		p->option++;
	return prepare_metadata_path(p, rest, a, e);
}

static enum value_kind append_metadata(const struct part *p, const struct l7_info *in,
				       struct buf *out)
{
	const struct metadata *m = p->option < L7_METADATA_KINDS ? in->metadata[p->option] : NULL;

	for (uint32_t i = 0; m && i < m->n; i++) {
		if (!slice_is_equal(m->v[i].path, p->text))
			continue;
		buf_add_slice(out, m->v[i].text);
		return m->v[i].is_string ? VALUE_TEXT : VALUE_NUMBER;
	}
	return VALUE_ABSENT;
}

/* There in Envoy, but nothing writes into it. */
static enum value_kind append_empty(const struct part *p, const struct l7_info *in, struct buf *out)
{
	(void)p;
	(void)in;
	(void)out;
	return VALUE_TEXT;
}

/* option: 1 = only of an upstream that there is. No address of ours has an endpoint id. */
static enum value_kind append_endpoint_id(const struct part *p, const struct l7_info *in,
					  struct buf *out)
{
	return p->option && !in->has_upstream_local ? VALUE_ABSENT : append_empty(p, in, out);
}

static enum value_kind append_body(const struct part *p, const struct l7_info *in, struct buf *out)
{
	(void)p;
	buf_add_slice(out, in->local_reply_body);
	return VALUE_TEXT;
}

/* What TCP alone has no number for: QUIC's. */
static enum value_kind append_zero(const struct part *p, const struct l7_info *in, struct buf *out)
{
	(void)p;
	(void)in;
	buf_add_char(out, '0');
	return VALUE_NUMBER;
}

static enum value_kind append_absent(const struct part *p, const struct l7_info *in,
				     struct buf *out)
{
	(void)p;
	(void)in;
	(void)out;
	return VALUE_ABSENT;
}

static int prepare_hostname(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	char name[256] = "-";

	(void)args;
	(void)e;
	if (gethostname(name, sizeof(name) - 1) < 0 || !name[0])
		memcpy(name, "-", 2);
	p->append = NULL;
	p->text = arena_slice(a, slice_str(name));
	return 0;
}

static int prepare_environment(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	const char *value = getenv(arena_str(a, args));

	(void)e;
	p->append = NULL;
	p->text = arena_slice(a, slice_str(value ? value : "-"));
	return 0;
}

enum { SIZE_REQUEST, SIZE_RESPONSE, SIZE_TRAILERS };

static uint64_t props_size(const struct l7_props *props)
{
	uint64_t n = 0;

	/* How a message is framed is no property of it. */
	l7_props_each(props, i)
		if (props->v[i].key != L7_KEY_TRANSFER_ENCODING)
			n += props->v[i].name.len + props->v[i].value.len;
	return n;
}

static uint64_t field_size(const char *name, struct slice value)
{
	return value.len ? strlen(name) + value.len : 0;
}

/* Names and values together, pseudo names too, as Envoy counts. */
static enum value_kind append_size(const struct part *p, const struct l7_info *in, struct buf *out)
{
	const struct l7_msg *m = p->option == SIZE_REQUEST ? in->request : in->response;
	uint64_t n = 0;

	if (p->option == SIZE_TRAILERS)
		n = in->trailers ? props_size(in->trailers) : 0;
	else if (m)
		n = props_size(&m->props) + field_size(":path", m->path) +
		    field_size(":method", m->method) + field_size(":authority", m->host) +
		    field_size(":scheme", m->scheme) + (m->status ? strlen(":status200") : 0);
	buf_add_u64(out, n);
	return VALUE_NUMBER;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define ADDRESS(prefix, m) \
	{ prefix "_ADDRESS", append_addr, ARGS_NONE, false, MEMBER(m), NULL }, \
	{ prefix "_ADDRESS_WITHOUT_PORT", append_addr_ip, ARGS_NONE, false, MEMBER(m), NULL }, \
	{ prefix "_PORT", append_addr_port, ARGS_NONE, false, MEMBER(m), NULL }
#define NUMBER(name, m) { name, append_u64, ARGS_NONE, false, MEMBER(m), NULL }
#define NUMBER32(name, m) { name, append_u32, ARGS_NONE, false, MEMBER(m), NULL }
#define TEXT(name, m) { name, append_slice, ARGS_NONE, false, MEMBER(m), NULL }
#define PLAIN(name, fn, option) { name, fn, ARGS_NONE, false, option, NULL }
#define ABSENT(name) { name, append_absent, ARGS_NONE, false, 0, NULL }
#define ABSENT_MAY(name) { name, append_absent, ARGS_MAY, false, 0, NULL }
#define ABSENT_ARGS(name) { name, append_absent, ARGS_MUST, true, 0, NULL }

static const struct op ops[] = {
	{ "REQ", append_request, ARGS_MUST, true, 0, prepare_names },
	{ "REQUEST_HEADER", append_request, ARGS_MUST, true, 0, prepare_names },
	{ "RESP", append_response, ARGS_MUST, true, 0, prepare_names },
	{ "RESPONSE_HEADER", append_response, ARGS_MUST, true, 0, prepare_names },
	{ "TRAILER", append_trailer, ARGS_MUST, true, 0, prepare_names },
	{ "RESPONSE_TRAILER", append_trailer, ARGS_MUST, true, 0, prepare_names },
	{ "REQ_WITHOUT_QUERY", append_without_query, ARGS_MUST, true, 0, prepare_names },
	{ "PATH", append_path, ARGS_MAY, true, 0, prepare_path },
	{ "QUERY_PARAM", append_query_param, ARGS_MUST, true, 0, NULL },
	{ "QUERY_PARAMS", append_query, ARGS_MAY, true, 0, NULL },
	{ "START_TIME", append_time, ARGS_MAY, false, TIME_START, prepare_time },
	{ "START_TIME_LOCAL", append_time, ARGS_MAY, false, TIME_START | TIME_LOCAL, prepare_time },
	{ "EMIT_TIME", append_time, ARGS_MAY, false, 0, prepare_time },
	{ "EMIT_TIME_LOCAL", append_time, ARGS_MAY, false, TIME_LOCAL, prepare_time },
	PLAIN("DURATION", append_duration, 0),
	PLAIN("REQUEST_DURATION", append_span, BETWEEN(DS_RX_BEG, DS_RX_END)),
	PLAIN("REQUEST_TX_DURATION", append_span, BETWEEN(DS_RX_BEG, US_TX_END)),
	PLAIN("RESPONSE_DURATION", append_span, BETWEEN(DS_RX_BEG, US_RX_BEG)),
	PLAIN("RESPONSE_TX_DURATION", append_span, BETWEEN(US_RX_BEG, DS_TX_END)),
	{ "COMMON_DURATION", append_span, ARGS_MUST, false, 0, prepare_span },
	NUMBER("BYTES_RECEIVED", bytes_received),
	NUMBER("BYTES_SENT", bytes_sent),
	NUMBER("DOWNSTREAM_WIRE_BYTES_SENT", downstream_wire_tx),
	NUMBER("DOWNSTREAM_WIRE_BYTES_RECEIVED", downstream_wire_rx),
	NUMBER("UPSTREAM_WIRE_BYTES_SENT", upstream_wire_tx),
	NUMBER("UPSTREAM_WIRE_BYTES_RECEIVED", upstream_wire_rx),
	NUMBER("DOWNSTREAM_HEADER_BYTES_SENT", downstream_head_tx),
	NUMBER("DOWNSTREAM_HEADER_BYTES_RECEIVED", downstream_head_rx),
	NUMBER("UPSTREAM_HEADER_BYTES_SENT", upstream_head_tx),
	NUMBER("UPSTREAM_HEADER_BYTES_RECEIVED", upstream_head_rx),
	/* No protocol of ours compresses its heads. */
	NUMBER("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", downstream_head_tx),
	NUMBER("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", downstream_head_rx),
	NUMBER("UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", upstream_head_tx),
	NUMBER("UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", upstream_head_rx),
	PLAIN("BYTES_RETRANSMITTED", append_zero, 0),
	PLAIN("PACKETS_RETRANSMITTED", append_zero, 0),
	PLAIN("DOWNSTREAM_CX_RTT", append_zero, 0),
	ABSENT("ROUNDTRIP_DURATION"),
	ABSENT("DOWNSTREAM_HANDSHAKE_DURATION"),
	PLAIN("REQUEST_HEADERS_BYTES", append_size, SIZE_REQUEST),
	PLAIN("RESPONSE_HEADERS_BYTES", append_size, SIZE_RESPONSE),
	PLAIN("RESPONSE_TRAILERS_BYTES", append_size, SIZE_TRAILERS),
	PLAIN("PROTOCOL", append_protocol, 0),
	NUMBER32("RESPONSE_CODE", status),
	{ "RESPONSE_CODE_DETAILS", append_words, ARGS_MAY, false, MEMBER(details),
	  prepare_details },
	TEXT("CONNECTION_TERMINATION_DETAILS", termination_details),
	PLAIN("RESPONSE_FLAGS", append_flags, 0),
	PLAIN("RESPONSE_FLAGS_LONG", append_flags, 1),
	PLAIN("UPSTREAM_HOST", append_host, PEER_ALL),
	ADDRESS("UPSTREAM_REMOTE", upstream_remote),
	ADDRESS("UPSTREAM_LOCAL", upstream_local),
	PLAIN("UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", append_endpoint_id, 1),
	PLAIN("UPSTREAM_HOST_NAME", append_host_name, PEER_ALL),
	PLAIN("UPSTREAM_HOST_NAME_WITHOUT_PORT", append_host_name, PEER_NO_PORT),
	PLAIN("UPSTREAM_HOST_NAMES_ATTEMPTED", append_host_name, PEER_ATTEMPTED),
	PLAIN("UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", append_host_name,
	      PEER_ATTEMPTED | PEER_NO_PORT),
	PLAIN("UPSTREAM_HOSTS_ATTEMPTED", append_host, PEER_ATTEMPTED),
	PLAIN("UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", append_host, PEER_ATTEMPTED | PEER_NO_PORT),
	PLAIN("UPSTREAM_PROTOCOL", append_upstream_protocol, 0),
	NUMBER("UPSTREAM_CONNECTION_ID", upstream_connection_id),
	PLAIN("UPSTREAM_CONNECTION_IDS_ATTEMPTED", append_connections_attempted, 0),
	PLAIN("UPSTREAM_CONNECTION_POOL_READY_DURATION", append_pool_duration, 0),
	PLAIN("UPSTREAM_DETECTED_CLOSE_TYPE", append_close_type, 1),
	PLAIN("DOWNSTREAM_DETECTED_CLOSE_TYPE", append_close_type, 0),
	ABSENT("UPSTREAM_LOCAL_CLOSE_REASON"),
	ABSENT("DOWNSTREAM_LOCAL_CLOSE_REASON"),
	PLAIN("UPSTREAM_CLUSTER", append_cluster, 0),
	TEXT("UPSTREAM_CLUSTER_RAW", cluster),
	PLAIN("UPSTREAM_TRANSPORT_FAILURE_REASON", append_words, MEMBER(upstream_failure)),
	NUMBER32("UPSTREAM_REQUEST_ATTEMPT_COUNT", attempts),
	ADDRESS("DOWNSTREAM_REMOTE", downstream_remote),
	ADDRESS("DOWNSTREAM_DIRECT_REMOTE", downstream_direct),
	ADDRESS("DOWNSTREAM_LOCAL", downstream_local),
	ADDRESS("DOWNSTREAM_DIRECT_LOCAL", downstream_local),
	PLAIN("DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", append_endpoint_id, 0),
	PLAIN("DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID", append_endpoint_id, 0),
	{ "REQUESTED_SERVER_NAME", append_server_name, ARGS_MAY, false, 0, prepare_server_name },
	PLAIN("LOCAL_REPLY_BODY", append_body, 0),
	PLAIN("CUSTOM_FLAGS", append_empty, 0),
	{ "COALESCE", append_coalesce, ARGS_MUST, true, 0, prepare_coalesce },
	TEXT("ROUTE_NAME", route_name),
	TEXT("FILTER_CHAIN_NAME", filter_chain),
	TEXT("LISTENER_NAME", listener),
	{ "HOSTNAME", append_absent, ARGS_NONE, false, 0, prepare_hostname },
	{ "ENVIRONMENT", append_absent, ARGS_MUST, true, 0, prepare_environment },
	NUMBER("CONNECTION_ID", connection_id),
	PLAIN("STREAM_ID", append_stream_id, 0),
	PLAIN("UNIQUE_ID", append_unique_id, 0),
	PLAIN("ACCESS_LOG_TYPE", append_log_type, 0),
	{ "GRPC_STATUS", append_grpc_status, ARGS_MAY, false, GRPC_CAMEL, prepare_grpc },
	PLAIN("GRPC_STATUS_NUMBER", append_grpc_status, GRPC_NUMBER),
	ABSENT("TRACE_ID"),
	ABSENT("SPAN_ID"),
	TEXT("VIRTUAL_CLUSTER_NAME", virtual_cluster),
	ABSENT("TLS_JA3_FINGERPRINT"),
	ABSENT("TLS_JA4_FINGERPRINT"),
	ABSENT("DOWNSTREAM_TRANSPORT_FAILURE_REASON"),
	ABSENT("DOWNSTREAM_TLS_VERSION"),
	ABSENT("DOWNSTREAM_TLS_CIPHER"),
	ABSENT("DOWNSTREAM_TLS_SESSION_ID"),
	ABSENT("DOWNSTREAM_PEER_URI_SAN"),
	ABSENT("DOWNSTREAM_PEER_DNS_SAN"),
	ABSENT("DOWNSTREAM_PEER_SUBJECT"),
	ABSENT("DOWNSTREAM_PEER_ISSUER"),
	ABSENT("DOWNSTREAM_PEER_SERIAL"),
	ABSENT("DOWNSTREAM_PEER_CERT"),
	ABSENT("DOWNSTREAM_LOCAL_URI_SAN"),
	ABSENT("DOWNSTREAM_LOCAL_DNS_SAN"),
	ABSENT("DOWNSTREAM_LOCAL_SUBJECT"),
	ABSENT("UPSTREAM_TLS_VERSION"),
	ABSENT("UPSTREAM_TLS_CIPHER"),
	ABSENT("UPSTREAM_TLS_SESSION_ID"),
	ABSENT("UPSTREAM_PEER_SUBJECT"),
	ABSENT("UPSTREAM_PEER_ISSUER"),
	ABSENT("UPSTREAM_PEER_URI_SAN"),
	ABSENT("UPSTREAM_LOCAL_URI_SAN"),
	ABSENT("UPSTREAM_LOCAL_DNS_SAN"),
	ABSENT("UPSTREAM_LOCAL_IP_SAN"),
	ABSENT("UPSTREAM_PEER_CERT"),
	ABSENT_MAY("UPSTREAM_PEER_CERT_V_END"),
	ABSENT_MAY("UPSTREAM_PEER_CERT_V_START"),
	ABSENT("UPSTREAM_PEER_DNS_SAN"),
	ABSENT("UPSTREAM_PEER_IP_SAN"),
	ABSENT("UPSTREAM_SERVER_NAME"),
	ABSENT("UPSTREAM_TLS_GROUP"),
	ABSENT("DOWNSTREAM_LOCAL_EMAIL_SAN"),
	ABSENT("DOWNSTREAM_LOCAL_IP_SAN"),
	ABSENT("DOWNSTREAM_LOCAL_OTHERNAME_SAN"),
	ABSENT_MAY("DOWNSTREAM_PEER_CERT_V_END"),
	ABSENT_MAY("DOWNSTREAM_PEER_CERT_V_START"),
	ABSENT("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1"),
	ABSENT("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256"),
	ABSENT("DOWNSTREAM_PEER_CHAIN_SERIALS"),
	ABSENT("DOWNSTREAM_PEER_EMAIL_SAN"),
	ABSENT("DOWNSTREAM_PEER_FINGERPRINT_1"),
	ABSENT("DOWNSTREAM_PEER_FINGERPRINT_256"),
	ABSENT("DOWNSTREAM_PEER_IP_SAN"),
	ABSENT("DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256"),
	ABSENT("DOWNSTREAM_PEER_ISSUER_SERIAL"),
	ABSENT("DOWNSTREAM_PEER_OTHERNAME_SAN"),
	ABSENT("DOWNSTREAM_TLS_GROUP"),
	ABSENT_ARGS("DYNAMIC_METADATA"),
	{ "CLUSTER_METADATA", append_metadata, ARGS_MUST, true, L7_META_CLUSTER,
	  prepare_metadata_path },
	{ "UPSTREAM_METADATA", append_metadata, ARGS_MUST, true, L7_META_HOST,
	  prepare_metadata_path },
	ABSENT_ARGS("PER_REQUEST_STATE"),
	{ "METADATA", append_metadata, ARGS_MUST, true, 0, prepare_metadata },
	ABSENT_ARGS("FILTER_STATE"),
	ABSENT_ARGS("UPSTREAM_FILTER_STATE"),
};

const struct op *op_find(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (slice_is_equal(slice_str(ops[i].name), name))
			return &ops[i];
	return NULL;
}
