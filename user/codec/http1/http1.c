/* SPDX-License-Identifier: Apache-2.0 */
/* The codec's table, the life of a connection's state, recognising HTTP/1 by its first bytes. */
#include "codec/http1/http1_impl.h"

static void init(void *conn, enum codec_side side, const struct codec_limits *limits,
		 const struct codec_opts *opts, const struct codec_events *ev, void *owner,
		 struct arena *arena, struct buf *reply)
{
	struct http1 *c = conn;

	(void)reply; /* nothing is answered behind the engine's back */
	*c = (struct http1){ .side = side, .ev = ev, .owner = owner, .arena = arena, .keep = true };
	if (limits)
		c->limits = *limits;
	if (opts)
		c->opts = *opts;
	if (!c->limits.head_bytes)
		c->limits.head_bytes = side == CODEC_SERVER ? CODEC_HEAD_BYTES :
							      HTTP1_RESPONSE_HEAD_BYTES;
	if (!c->limits.props)
		c->limits.props = CODEC_PROPS;
	http1_parser_init(c);
}

static size_t need(const void *conn)
{
	(void)conn;
	return 0;
}

void http1_settle(struct http1 *c)
{
	bool answered, asked;

	if (!c->pending)
		return;
	answered = c->side == CODEC_SERVER ? c->tx == TX_IDLE : c->rx_done;
	asked = c->side == CODEC_SERVER ? c->rx_done : c->tx == TX_IDLE;
	/* Answered before the request was whole: what is left of it has no place to go. */
	if (answered && !asked)
		c->closing = true;
	if (c->tx == TX_IDLE && answered)
		c->pending = false;
}

void http1_go_raw(struct http1 *c)
{
	c->rx = RX_RAW;
	c->tx = TX_RAW;
	c->closing = true;
}

static void set_raw(void *conn)
{
	http1_go_raw(conn);
}

static bool is_reusable(const void *conn)
{
	const struct http1 *c = conn;

	return !c->fault && c->keep && !c->closing && !c->over;
}

static void want_close(void *conn)
{
	struct http1 *c = conn;

	if (c->side == CODEC_SERVER)
		c->draining = true;
	else
		c->closing = true;
}

static bool is_idle(const void *conn)
{
	const struct http1 *c = conn;

	return !c->pending && c->rx == RX_START && c->tx == TX_IDLE;
}

static uint64_t message_bytes(const void *conn)
{
	const struct http1 *c = conn;

	return c->message_bytes + c->step_used;
}

/* ---- sniffing ------------------------------------------------------------------------------- */

static bool is_known_method(struct slice s)
{
	static const char *const known[] = { "GET", "POST", "PUT", "HEAD", "DELETE",
					     "OPTIONS", "PATCH", "CONNECT", "TRACE" };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_is_equal(s, slice_str(known[i])))
			return true;
	return false;
}

/* Behind an unknown method: the beginning of a request target. */
static enum sniff sniff_target(struct slice s)
{
	static const char scheme[] = "http";

	if (!s.len)
		return SNIFF_MORE;
	if (s.ptr[0] == '/' || s.ptr[0] == '*')
		return SNIFF_YES;
	for (size_t i = 0; i < s.len && i < sizeof(scheme) - 1; i++)
		if ((s.ptr[i] | 0x20) != scheme[i])
			return SNIFF_NO;
	return s.len < sizeof(scheme) - 1 ? SNIFF_MORE : SNIFF_YES;
}

static enum sniff sniff(const char *p, size_t n)
{
	struct slice method;
	size_t i = 0;

	while (i < n && i <= HTTP1_METHOD && ((p[i] >= 'A' && p[i] <= 'Z') || (i && p[i] == '-')))
		i++;
	if (i > HTTP1_METHOD)
		return SNIFF_NO;
	if (i == n)
		return SNIFF_MORE;
	if (!i || p[i] != ' ')
		return SNIFF_NO;
	method = slice_of(p, i);
	if (is_known_method(method))
		return SNIFF_YES;
	/* HTTP/2's preface is a request line on purpose. */
	if (slice_is_equal(method, SLICE("PRI")))
		return SNIFF_NO;
	return sniff_target(slice_of(p + i + 1, n - i - 1));
}

const struct codec codec_http1 = {
	.name = "http1",
	.conn_size = sizeof(struct http1),
	.has_request_first = true,
	.sniff = sniff,
	.init = init,
	.decode = http1_decode,
	.need = need,
	.eof = http1_eof,
	.encode_head = http1_encode_head,
	.encode_body = http1_encode_body,
	.encode_end = http1_encode_end,
	.encode_interim = http1_encode_interim,
	.encode_reply = http1_encode_reply,
	.reject = http1_reject,
	.is_reusable = is_reusable,
	.want_close = want_close,
	.is_idle = is_idle,
	.set_raw = set_raw,
	.message_bytes = message_bytes,
};
