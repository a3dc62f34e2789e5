/* SPDX-License-Identifier: Apache-2.0 */
/* The answer's way: from an upstream (or from Skiff itself) through the filters back to the client;
 * the end. */
#include <errno.h>
#include <stdatomic.h>

#include "proxy/conn_msg.h"
#include "proxy/istio.h"
#include "proxy/mirror.h"
#include "proxy/retry.h"
#include "proxy/stream.h"
#include "proxy/uconn.h"

static uint32_t hop_index(const struct stream *st, const struct hop *h)
{
	return (uint32_t)(h - st->hops);
}

/* ---- head ------------------------------------------------------------------------------------ */

static void response_filters(struct hop *h)
{
	for (uint32_t i = h->n_filters; i-- > 0;) {
		struct filter_ctx *ctx = &h->ctx[i];

		if (!h->filters[i].ops->response)
			continue;
		ctx->now_ns = io_now(h->st->w->io);
		h->filters[i].ops->response(ctx, &h->st->resp);
	}
}

/* Counts what was appended to @out since it had @before bytes as the answer of @st. */
static void count_written(struct stream *st, const struct buf *out, size_t before)
{
	st->bytes.down_tx += buf_len(out) - before;
}

static bool must_collect(const struct stream *st)
{
	return st->c->writer && st->c->writer != st;
}

/*
 * Passes the head through the hops from @h down to the client, then encodes it. false: a hop tries
 * once more instead.
 */
static bool send_head(struct stream *st, struct hop *h, bool end, bool from_upstream)
{
	struct conn *c = st->c;
	uint64_t now = io_now(st->w->io);
	struct buf *out;
	size_t before;

	for (uint32_t i = hop_index(st, h) + 1; i-- > 0;) {
		struct hop *at = &st->hops[i];

		at->info.response = &st->resp;
		at->info.status = st->resp.status;
		at->info.response_first_ns = now;
		if (from_upstream || i != hop_index(st, h)) {
			if (at->retry && retry_after_answer(st, at, end, from_upstream))
				return false;
			at->mgr->response(st, at);
		}
		response_filters(at);
		at->mgr->response_out(st, at);
		at->info.status = st->resp.status;
	}
	if (st->has_retry)
		retry_accepted(st);
	st->resp_started = true;
	st->resp.id = st->id;
	conn_msg_before_response(c, st);
	if (must_collect(st)) {
		st->collects = true;
		l7_msg_keep(&st->resp, st->arena);
		return true;
	}
	out = io_stream_out(c->io);
	before = buf_len(out);
	c->codec->encode_head(c->cstate, &st->resp, end, out);
	count_written(st, out, before);
	st->bytes.down_head_tx = st->resp.props_bytes;
	if (!end && c->codec->multiplexed)
		c->writer = st;
	io_stream_flush(c->io);
	return true;
}

/* ---- one writer at a time -------------------------------------------------------------------- */

/* Writes the answers that became whole while another one was on its way. */
static void write_held(struct conn *c)
{
	struct list *n;

	c->writer = NULL;
	while ((n = list_pop(&c->held)) != NULL) {
		struct stream *st = list_entry(n, struct stream, held_node);
		struct buf *out = io_stream_out(c->io);
		size_t before = buf_len(out);

		if (!st->resp_end) {
			list_push(&c->held, n); /* still gathering: cannot be here */
			return;
		}
		c->codec->encode_head(c->cstate, &st->resp, false, out);
		c->codec->encode_body(c->cstate, st->id, buf_slice(&st->held), out);
		c->codec->encode_end(c->cstate, st->id, NULL, out);
		count_written(st, out, before);
		io_stream_flush(c->io);
		stream_end(st);
		if (c->closed)
			return;
	}
}

/* Nothing of a collected answer was written yet: the call can still get another one. */
static void uncollect(struct stream *st)
{
	stream_drop(st, &st->held);
	st->collects = false;
	st->resp_started = false;
}

static int collect(struct stream *st, struct slice data)
{
	if (stream_keep(st, &st->held, data))
		return 0;
	uncollect(st);
	stream_refuse(st, L7_REPLY_OVERLOAD, L7_FLAG(OM), "overload", "overload");
	return 0;
}

/* A collected answer is whole: it goes out now or when the writer is done. */
static void collected(struct stream *st)
{
	struct conn *c = st->c;

	st->resp_end = true;
	uconn_release(st, st->end_up);
	list_push(&c->held, &st->held_node);
	if (!c->writer)
		write_held(c);
}

void stream_write_reply(struct stream *st, const struct l7_reply *r)
{
	struct conn *c = st->c;
	struct buf *out = c->writer ? &c->after : io_stream_out(c->io);
	size_t before = buf_len(out);

	st->resp_started = true;
	c->codec->encode_reply(c->cstate, &st->req, r, out);
	count_written(st, out, before);
	io_stream_flush(c->io);
}

/* ---- from upstream --------------------------------------------------------------------------- */


static void finish(struct stream *st)
{
	st->resp_end = true;
	uconn_release(st, st->end_up);
	stream_end(st);
}

static bool is_switching(const struct stream *st)
{
	return st->req.is_upgrade && st->resp.is_upgrade;
}

static void switch_protocols(struct stream *st)
{
	struct conn *c = st->c;

	st->upgraded = true;
	io_timer_cancel(st->w->io, &st->route_timer);
	for (uint32_t i = 0; i < st->n_hops; i++)
		if (st->hops[i].chain->kind == MESH_NET_HTTP &&
		    st->hops[i].chain->http.conf->log_when.on_connected)
			hop_log(&st->hops[i], L7_LOG_TUNNEL);
	io_stream_set_watch(c->io, IO_WATCH_PEER);
	c->codec->set_raw(c->cstate);
	st->up->codec->set_raw(st->up->cstate);
	conn_make_ready(c); /* what the client sent behind its request */
}

static void keep_response(struct stream *st, bool end)
{
	bool logged = false;

	for (uint32_t i = 0; i < st->n_hops; i++)
		logged |= st->hops[i].logs->n > 0;
	if (logged && !end)
		l7_msg_keep(&st->resp, st->arena);
}

int stream_up_head(struct stream *st, struct l7_msg *m, bool end)
{
	uint64_t now = io_now(st->w->io);

	if (unlikely(st->mirror != NULL)) {
		mirror_up_head(st, m, end);
		return 0;
	}
	st->resp = *m;
	st->bytes.up_head_rx = m->props_bytes;
	st->bytes.up_rx = m->frame_bytes;
	for (uint32_t i = 0; i < st->n_hops; i++) {
		struct l7_info *in = &st->hops[i].info;

		in->upstream_first_rx_ns = now;
		if (end)
			in->upstream_last_rx_ns = now;
	}
	stream_touch(st);
	if (!send_head(st, stream_hop(st), end, true) || st->ended)
		return 0;
	if (is_switching(st))
		switch_protocols(st);
	if (end && st->collects)
		collected(st);
	else if (end)
		finish(st);
	else
		keep_response(st, end);
	return 0;
}

static void response_body_filters(struct stream *st, struct slice data, bool end)
{
	for (uint32_t k = st->n_hops; k-- > 0;) {
		struct hop *h = &st->hops[k];

		h->info.bytes_sent += data.len;
		for (uint32_t i = h->n_filters; i-- > 0;)
			if (h->filters[i].ops->response_body)
				h->filters[i].ops->response_body(&h->ctx[i], data, end);
	}
}

int stream_up_body(struct stream *st, struct slice data)
{
	struct conn *c = st->c;
	struct buf *out;
	size_t before;

	if (unlikely(st->mirror != NULL))
		return 0;
	stream_touch(st);
	st->bytes.up_rx += data.len; /* a serial codec says it better at the end */
	response_body_filters(st, data, false);
	if (st->collects)
		return collect(st, data);
	out = io_stream_out(c->io);
	before = buf_len(out);
	c->codec->encode_body(c->cstate, st->id, data, out);
	count_written(st, out, before);
	io_stream_flush(c->io);
	if (io_stream_is_full(c->io) && st->up && !st->up->reading_stopped) {
		st->up->reading_stopped = true;
		st->up->stopped_by = st;
		io_stream_read_stop(st->up->io);
		if (c->codec->multiplexed)
			conn_msg_stalled(c);
		if (c->chain->kind == MESH_NET_HTTP)
			stats_inc(st->w->stats, c->chain->http.stats.flow_paused);
	}
	return 0;
}

int stream_up_end(struct stream *st, struct l7_props *trailers)
{
	struct conn *c = st->c;
	uint64_t now = io_now(st->w->io);
	struct buf *out;
	size_t before;

	if (unlikely(st->mirror != NULL)) {
		mirror_up_end(st);
		return 0;
	}
	for (uint32_t i = 0; i < st->n_hops; i++) {
		st->hops[i].info.trailers = trailers;
		st->hops[i].info.upstream_last_rx_ns = now;
	}
	response_body_filters(st, SLICE_NONE, true);
	if (st->collects) {
		collected(st);
		return 0;
	}
	out = io_stream_out(c->io);
	before = buf_len(out);
	c->codec->encode_end(c->cstate, st->id, trailers, out);
	count_written(st, out, before);
	if (c->writer == st) {
		buf_add_slice(out, buf_slice(&c->after));
		buf_clear(&c->after);
	}
	io_stream_flush(c->io);
	if (c->writer == st)
		write_held(c);
	finish(st);
	return 0;
}

void stream_up_drained(struct stream *st)
{
	if (!st->down_reading_stopped || st->mirror || st->c->closed)
		return;
	st->down_reading_stopped = false;
	io_stream_read_start(st->c->io);
}

bool stream_down_drained(struct stream *st)
{
	struct uconn *u = st->up;

	if (!u || !u->reading_stopped || u->closed)
		return false;
	if (st->c->chain->kind == MESH_NET_HTTP)
		stats_inc(st->w->stats, st->c->chain->http.stats.flow_resumed);
	uconn_read_start(u);
	return true;
}

/* ---- from Skiff itself ----------------------------------------------------------------------- */

void stream_answer(struct stream *st, struct hop *h, struct slice body, bool end)
{
	struct conn *c = st->c;

	if (!send_head(st, h, end && !body.len, false))
		return;
	if (body.len) {
		for (uint32_t i = 0; i <= hop_index(st, h) && !st->is_head; i++)
			st->hops[i].info.bytes_sent += body.len;
		struct buf *out = io_stream_out(c->io);
		size_t before = buf_len(out);

		c->codec->encode_body(c->cstate, st->id, body, out);
		c->codec->encode_end(c->cstate, st->id, NULL, out);
		count_written(st, out, before);
		io_stream_flush(c->io);
	}
}

void stream_reply_full(struct stream *st, struct hop *h, struct l7_reply *r, uint32_t flags)
{
	if (st->ended)
		return;
	must(!st->resp_started);
	st->local_reply = true;
	for (uint32_t i = 0; i <= hop_index(st, h); i++) {
		st->hops[i].info.flags |= flags;
		st->hops[i].info.details = r->details;
	}
	if (st->is_oneway) {
		stream_end(st); /* nobody waits for an answer */
		return;
	}
	h->mgr->reply(st, h, r);
	if (st->ended || !st->local_reply) /* over, or another hop tries once more */
		return;
	st->resp_end = true;
	uconn_unwant(st);
	uconn_release(st, false);
	stream_end(st);
}

void stream_reply(struct stream *st, enum l7_reply_code code, uint32_t flags, const char *details,
		  const char *body)
{
	struct l7_reply r = { .code = code,
			      .details = slice_str(details),
			      .body = slice_str(body) };

	stream_reply_full(st, stream_hop(st), &r, flags);
}

void stream_refuse(struct stream *st, enum l7_reply_code code, uint32_t flags, const char *details,
		   const char *body)
{
	if (st->has_retry)
		retry_stop(st, 0);
	stream_reply(st, code, flags, details, body);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Blanks as Envoy's logs have them. @s lies in an arena. */
static struct slice underscored(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == ' ')
			((char *)s.ptr)[i] = '_';
	return s;
}

static struct slice reset_body(struct stream *st, const char *reason)
{
	return arena_printf(
		st->arena,
		"upstream connect error or disconnect/reset before headers. %sreset reason: %s",
		retry_is_again(stream_hop(st)) ? "retried and the latest " : "", reason);
}

void stream_up_failed(struct stream *st, uint32_t flags, const char *reason, const char *failure)
{
	struct l7_reply r = { .code = L7_REPLY_UPSTREAM_RESET };

	if (st->mirror) {
		mirror_up_failed(st, 503);
		return;
	}
	if (stream_hop(st)->retry && retry_after_reset(st, flags))
		return;
	if (flags & L7_FLAG(UO)) {
		r.code = L7_REPLY_OVERLOAD;
		l7_props_init(&r.props, st->arena);
		l7_props_add(&r.props, L7_KEY_NONE, SLICE("x-envoy-overloaded"), SLICE("true"));
	}
	r.body = reset_body(st, reason);
	r.details = arena_printf(st->arena, "upstream_reset_before_response_started{%s%s%s}",
				 reason, failure ? "|delayed_connect_error:_" : "",
				 failure ? failure : "");
	underscored(r.details);
	for (uint32_t i = 0; i < st->n_hops; i++)
		st->hops[i].info.pool_answered_ns = io_now(st->w->io);
	if (failure)
		stream_hop(st)->info.upstream_failure = underscored(
			arena_printf(st->arena, "delayed_connect_error:_%s", failure));
	stream_reply_full(st, stream_hop(st), &r, flags);
}

void stream_up_reset(struct stream *st, uint32_t flags, const char *details)
{
	struct hop *h = stream_hop(st);

	if (st->mirror) {
		mirror_up_failed(st, flags & L7_FLAG(UPE) ? 502 : 503);
		return;
	}
	if (st->upgraded) {
		finish(st);
		return;
	}
	if (st->collects)
		uncollect(st);
	if (st->resp_started) {
		if (flags & L7_FLAG(UPE))
			details = "protocol error";
		h->info.details = underscored(arena_printf(
			st->arena, "upstream_reset_after_response_started{%s}", details));
		stream_reset(st, flags, NULL);
		return;
	}
	if ((flags & L7_FLAG(UPE)) && h->retry && retry_after_reset(st, flags))
		return;
	if (flags & L7_FLAG(UPE)) {
		struct l7_reply r = {
			.code = L7_REPLY_BAD_GATEWAY,
			.body = reset_body(st, "protocol error"),
			.details = SLICE("upstream_reset_before_response_started{protocol_error}")
		};

		stream_reply_full(st, h, &r, flags);
		return;
	}
	stream_up_failed(st, flags, details, NULL);
}

void stream_reset(struct stream *st, uint32_t flags, const char *details)
{
	struct conn *c = st->c;
	bool serial = !c->codec->multiplexed;

	if (st->ended)
		return;
	/* Half an answer was written: the client cannot find the next one any more. */
	serial |= c->writer == st;
	for (uint32_t i = 0; i < st->n_hops; i++) {
		st->hops[i].info.flags |= flags;
		if (details && !st->hops[i].info.details.len)
			st->hops[i].info.details = slice_str(details);
	}
	/* On a serial connection a broken answer can only be told by closing. */
	if (serial)
		c->close_after = true;
	stream_end(st);
	if (serial && !c->closed)
		conn_close_flush(c, 0);
}

/* ---- the end --------------------------------------------------------------------------------- */

void stream_count_istio(struct stream *st, struct hop *h, const char *protocol, uint32_t status)
{
	bool is_source = st->c->direction == MESH_OUTBOUND && h == &st->hops[0];
	struct istio_event ev = {
		.pod = h->pod,
		.cluster = h->cluster ? h->cluster->conf : NULL,
		.is_source = is_source,
		.protocol = protocol,
		.status = status,
		.flags = h->info.flags,
		.info = &h->info,
	};

	if (!h->pod->id)
		return;
	if (st->n_hops > 1)
		ev.peer = is_source ? st->hops[1].pod : st->hops[0].pod;
	else
		ev.peer = worker_peer_by_addr(st->w, is_source ? &h->info.upstream_remote :
								 &st->c->remote);
	istio_count_request(st->w, &ev);
}

void stream_hop_let_go(struct hop *h)
{
	if (h->host) {
		h->host->lb.active--;
		upstream_host_put(h->host);
	}
	if (h->counted_active)
		upstream_give(h->cluster->shared, UPSTREAM_REQUESTS);
	if (h->counted_up)
		stats_dec(h->st->w->stats, h->cluster->shared->stats.rq_active);
	h->host = NULL;
	h->counted_active = h->counted_up = false;
}

void stream_hop_end(struct hop *h)
{
	struct stream *st = h->st;
	struct worker *w = st->w;

	h->info.end_ns = io_now(w->io);
	if (st->resp_end)
		h->info.response_last_ns = h->info.end_ns;
	h->mgr->end(st, h);
	for (uint32_t i = 0; i < h->n_filters; i++)
		if (h->filters[i].ops->end)
			h->filters[i].ops->end(&h->ctx[i]);
	hop_log_end(h);
	if (h->retry)
		retry_end(h);
	stream_hop_let_go(h);
	/* Cluster, view and pod stay to the end of the turn (stream_recycle): this may be the last
	 * stream that knows them, and callers that are on their way here still look at them. */
}

void stream_end(struct stream *st)
{
	struct conn *c = st->c;
	struct worker *w = st->w;

	if (st->ended)
		return;
	st->ended = true;
	if (st->mirrors)
		mirror_detach(st);
	io_timer_cancel(w->io, &st->route_timer);
	io_timer_cancel(w->io, &st->idle_timer);
	io_timer_cancel(w->io, &st->filter_timer);
	io_timer_cancel(w->io, &st->request_timer);
	io_timer_cancel(w->io, &st->life_timer);
	uconn_unwant(st);
	uconn_release(st, false);
	if (buf_len(&st->body))
		stream_drop(st, &st->body);
	if (buf_len(&st->held))
		stream_drop(st, &st->held);
	stream_waited(st);
	conn_unhold(c, st->kept);
	if (st->down_reading_stopped && !c->closed)
		io_stream_read_start(c->io);
	for (uint32_t i = st->n_hops; i-- > 0;)
		stream_hop_end(&st->hops[i]);
	list_del(&st->held_node);
	if (c->writer == st)
		c->writer = NULL;
	list_del(&st->node);
	c->n_streams--;
	list_push(&w->dead_streams, &st->node);
	conn_msg_stream_done(c, st);
}
