/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of messages: feeds the codec, holds what must wait, keeps alive, closes. */
#include "proxy/conn_msg.h"
#include "proxy/uconn.h"

#include <errno.h>
#include <stdatomic.h>

static const struct mesh_http_manager *http_conf(const struct conn *c)
{
	return c->chain->kind == MESH_NET_HTTP ? c->chain->http.conf : NULL;
}

static uint32_t linger_ms(const struct conn *c)
{
	const struct mesh_http_manager *m = http_conf(c);

	return m ? m->delayed_close_ms : 1000;
}

/* ---- start ----------------------------------------------------------------------------------- */

static void codec_start(struct conn *c)
{
	const struct pchain *ch = c->chain;
	bool http = ch->kind == MESH_NET_HTTP;

	memset(c->cstate, 0, c->codec->conn_size);
	c->codec->init(c->cstate, CODEC_SERVER, http ? &ch->http.limits : &ch->rpc.limits,
		       http ? &ch->http.opts : &ch->rpc.opts, &stream_events, c, &c->arena,
		       &c->reply);
}

static void arm_idle(struct conn *c)
{
	const struct mesh_http_manager *m = http_conf(c);

	if (m && m->idle_timeout_ms)
		io_timer_set(c->w->io, &c->timer, m->idle_timeout_ms);
}

static int msg_start(struct conn *c)
{
	struct stats_set *s = c->w->stats;

	if (c->chain->kind == MESH_NET_HTTP) {
		const struct http_stats *h = &c->chain->http.stats;

		c->codec = codec_find(c->w->e->opts.codecs, "http1");
		io_stream_set_watch(c->io, IO_WATCH_ANSWERS);
		stats_inc(s, h->cx_total);
		stats_inc(s, h->cx_active);
		stats_inc(s, h->cx_http1_total);
		stats_inc(s, h->cx_http1_active);
	} else {
		c->codec = c->chain->rpc.codec;
		stats_inc(s, c->chain->rpc.stats.cx_total);
		stats_inc(s, c->chain->rpc.stats.cx_active);
	}
	must(c->codec != NULL);
	c->cstate = xcalloc(1, c->codec->conn_size);
	codec_start(c);
	arm_idle(c);
	if (http_conf(c) && http_conf(c)->max_connection_ms)
		io_timer_set(c->w->io, &c->life, http_conf(c)->max_connection_ms);
	return 0;
}

/* ---- a new configuration --------------------------------------------------------------------- */

/* The chain of the current configuration for this connection; NULL: it must end. */
static const struct pchain *same_chain(struct conn *c, const struct plistener *pl)
{
	struct mesh_chain_input in = { .local = c->local, .remote = c->remote };
	const struct mesh_chain *m = mesh_chain_find(pl->conf, &in);
	const struct pchain *ch = m ? plistener_chain(pl, m) : NULL;

	if (!ch || ch->kind != c->chain->kind ||
	    (ch->kind == MESH_NET_RPC && ch->rpc.codec != c->codec))
		return NULL;
	return ch;
}

/* The connection counts under its manager's prefix: both may have another one now. */
static void move_gauges(struct conn *c, const struct plistener *pl, const struct pchain *to)
{
	struct stats_set *s = c->w->stats;

	stats_dec(s, c->pl->stats.cx_active);
	stats_inc(s, pl->stats.cx_active);
	if (to->kind == MESH_NET_HTTP) {
		stats_dec(s, c->chain->http.stats.cx_active);
		stats_inc(s, to->http.stats.cx_active);
		stats_dec(s, c->chain->http.stats.cx_http1_active);
		stats_inc(s, to->http.stats.cx_http1_active);
	} else {
		stats_dec(s, c->chain->rpc.stats.cx_active);
		stats_inc(s, to->rpc.stats.cx_active);
	}
}

/* Between two messages the connection takes up the newest configuration: what is in progress ends
 * with the one that it began with. */
static void msg_refresh(struct conn *c)
{
	struct wview *v = worker_view(c->w, c->pod->id);
	const struct plistener *pl;
	const struct pchain *ch;

	if ((c->n_streams && !c->codec->multiplexed) || !c->codec->is_idle(c->cstate))
		return;
	c->is_stale = false;
	if (v == c->view)
		return;
	pl = v ? wview_listener_again(v, c->pl) : NULL;
	ch = pl ? same_chain(c, pl) : NULL;
	if (!ch) {
		c->draining = true;
		return;
	}
	move_gauges(c, pl, ch);
	wview_ref(v);
	wview_unref(c->view);
	c->view = v;
	c->pl = pl;
	c->chain = ch;
	c->filter_slots = NULL;
	if (!c->n_streams) /* else their filters have slots there */
		arena_reset(&c->slot_arena);
	codec_start(c); /* its options point into the configuration */
}

/* ---- input ----------------------------------------------------------------------------------- */

static struct stream *first_stream(struct conn *c)
{
	return list_is_empty(&c->streams) ? NULL : list_entry(c->streams.next, struct stream, node);
}

static void rpc_reject(struct conn *c, const struct codec_fault *f)
{
	struct l7_info in = { 0 };

	conn_info(c, &in);
	in.start_ns = in.end_ns = io_now(c->w->io);
	in.start_wall_ns = worker_wall_ns(c->w);
	in.flags = L7_FLAG(DPE);
	in.details = slice_str(f->details);
	worker_log(c->w, &c->chain->rpc.logs, &in);
	stats_inc(c->w->stats, c->chain->rpc.stats.request_decoding_error);
	c->codec->reject(c->cstate, f, c->writer ? &c->after : io_stream_out(c->io));
	io_stream_flush(c->io);
}

/* The peer broke the protocol: its defined answer, then the end. */
static void msg_fault(struct conn *c, const struct codec_fault *f)
{
	struct stream *st = first_stream(c);

	if (st && !c->codec->multiplexed) {
		/* In the middle of a body: that request gets the answer. */
		if (c->chain->kind == MESH_NET_HTTP)
			stats_inc(c->w->stats, c->chain->http.stats.cx_protocol_error);
		c->close_after = true;
		if (st->resp_started)
			stream_reset(st, L7_FLAG(DPE), f->details);
		else
			stream_refuse(st, f->code, L7_FLAG(DPE), f->details,
				      f->code == L7_REPLY_HEADERS_TOO_LARGE ?
					      "Request Header Fields Too Large" :
					      "Bad Request");
		return;
	}
	if (c->chain->kind == MESH_NET_HTTP)
		http_reject(c, f);
	else
		rpc_reject(c, f);
	conn_close_flush(c, linger_ms(c));
}

/* A client that does not read its answers asks nothing more. A serial request that has begun may
 * go on: its client perhaps reads only when it has sent all of it. */
static bool must_wait(const struct conn *c)
{
	if (c->waiting >= CONN_HELD_MAX)
		return true;
	return io_stream_is_full(c->io) && (c->codec->multiplexed || c->codec->is_idle(c->cstate));
}

/* Gives bytes to the codec as long as it takes some. Returns how many it took. */
static size_t msg_feed(struct conn *c, char *p, size_t n)
{
	size_t used = 0;

	while (used < n && !c->closed && !must_wait(c)) {
		struct codec_fault fault = { 0 };
		ssize_t r;

		if (c->n_streams == 0) {
			if (c->arena_dirty)
				arena_reset(&c->arena);
			c->arena_dirty = false;
		}
		if (c->is_stale)
			msg_refresh(c);
		c->in_decode = true;
		r = c->codec->decode(c->cstate, p + used, n - used, &fault);
		c->in_decode = false;
		if (c->closed)
			return n;
		if (r < 0) {
			msg_fault(c, &fault);
			return n;
		}
		if (r == 0)
			break;
		used += (size_t)r;
		if (c->codec->multiplexed)
			arena_reset(&c->arena);
	}
	return used;
}

/* Too much is held: the client must wait (it pipelines faster than it is answered). */
static void msg_hold(struct conn *c, const char *p, size_t n)
{
	size_t need = c->codec->need ? c->codec->need(c->cstate) : 0;

	if (need > n)
		buf_reserve(&c->in, need);
	buf_add(&c->in, p, n);
	if (buf_len(&c->in) >= CONN_HELD_MAX && need <= buf_len(&c->in) && !c->read_stopped) {
		c->read_stopped = true;
		io_stream_read_stop(c->io);
	}
}

/* Too many bytes are held for all: this peer gives up its own. */
static void overloaded(struct conn *c)
{
	struct l7_info in = { 0 };

	if (c->chain->kind == MESH_NET_HTTP) {
		http_reply_without_request(c, 503, "overload", "overload", L7_FLAG(OM));
		conn_close_flush(c, linger_ms(c));
		return;
	}
	/* Half a frame cannot be answered: its id may not even be here. */
	conn_info(c, &in);
	in.start_ns = in.end_ns = io_now(c->w->io);
	in.start_wall_ns = worker_wall_ns(c->w);
	in.flags = L7_FLAG(OM);
	in.details = SLICE("overload");
	worker_log(c->w, &c->chain->rpc.logs, &in);
	conn_close_flush(c, linger_ms(c));
}

/* Before it is read: what the codec takes is counted by those who keep it. */
static void uncount_input(struct conn *c)
{
	conn_unhold(c, c->in_counted);
	c->in_counted = 0;
}

/* A serial codec keeps the beginning of a head itself. */
static uint64_t head_bytes(const struct conn *c)
{
	if (c->n_streams || c->codec->multiplexed || c->codec->is_idle(c->cstate))
		return 0;
	return c->codec->message_bytes ? c->codec->message_bytes(c->cstate) : 0;
}

/* Counts what is held now. Whole messages that wait their turn are few bytes, and their client was
 * stopped. */
static void count_input(struct conn *c)
{
	c->in_counted = buf_len(&c->in) + head_bytes(c);
	if (c->in_counted && !conn_hold(c, c->in_counted) && !must_wait(c) &&
	    (c->codec->multiplexed || !c->n_streams))
		overloaded(c);
}

/* The rest of a frame must come, or at least a part of it from time to time. */
static void arm_frame(struct conn *c)
{
	bool was = c->in_frame;

	if (c->stalled)
		return; /* that timer runs */
	c->in_frame = buf_len(&c->in) && !c->read_stopped && !must_wait(c);
	if (c->in_frame)
		io_timer_set(c->w->io, &c->timer, CONN_FRAME_MS);
	else if (was)
		io_timer_cancel(c->w->io, &c->timer);
}

/* A head that does not get complete in time, or a connection without requests. */
static void arm_after_input(struct conn *c)
{
	const struct mesh_http_manager *m = http_conf(c);

	if (!m) {
		arm_frame(c);
		return;
	}
	if (c->n_streams) {
		io_timer_cancel(c->w->io, &c->timer);
		return;
	}
	if (c->codec->is_idle(c->cstate))
		return;
	if (m->request_headers_timeout_ms && !(c->head_started)) {
		c->head_started = true;
		io_timer_set(c->w->io, &c->timer, m->request_headers_timeout_ms);
	} else if (!m->request_headers_timeout_ms && m->stream_idle_timeout_ms) {
		c->head_started = true;
		io_timer_set(c->w->io, &c->timer, m->stream_idle_timeout_ms);
	}
}

static void msg_data(struct conn *c, char *p, size_t n)
{
	size_t used;

	uncount_input(c);
	if (buf_len(&c->in)) {
		buf_add(&c->in, p, n);
		used = msg_feed(c, buf_ptr(&c->in), buf_len(&c->in));
		if (c->closed)
			return;
		buf_consume(&c->in, used);
		if (buf_len(&c->in))
			msg_hold(c, NULL, 0);
	} else {
		used = msg_feed(c, p, n);
		if (c->closed)
			return;
		if (used < n)
			msg_hold(c, p + used, n - used);
	}
	count_input(c);
	if (!c->closed)
		arm_after_input(c);
}

static void msg_resume(struct conn *c)
{
	size_t used;

	/* One that is quiet must not keep a configuration alive, and its upstream connections. */
	if (c->is_stale && !buf_len(&c->in))
		msg_refresh(c);
	if (buf_len(&c->in)) {
		uncount_input(c);
		used = msg_feed(c, buf_ptr(&c->in), buf_len(&c->in));
		if (c->closed)
			return;
		buf_consume(&c->in, used);
		count_input(c);
		if (c->closed)
			return;
	}
	/* Also when the rest of a big frame is wanted. */
	if (c->read_stopped && (buf_len(&c->in) < CONN_HELD_MAX / 2 ||
				(c->codec->need && c->codec->need(c->cstate) > buf_len(&c->in)))) {
		c->read_stopped = false;
		io_stream_read_start(c->io);
	}
	if (c->eof && c->n_streams == 0) {
		conn_close(c, false);
		return;
	}
	arm_after_input(c);
}

/* ---- socket events --------------------------------------------------------------------------- */

/* The client is gone, whatever was said of the stream before. */
static void note_gone(struct stream *st, const char *details)
{
	for (uint32_t i = 0; i < st->n_hops; i++) {
		st->hops[i].info.flags |= L7_FLAG(DC);
		st->hops[i].info.details = slice_str(details);
	}
}

static void end_stream(struct conn *c, struct stream *st, const char *details)
{
	note_gone(st, details);
	if (c->chain->kind == MESH_NET_HTTP)
		stats_inc(c->w->stats, c->chain->http.stats.rq_rx_reset);
	stream_end(st);
}

static void reset_streams(struct conn *c, const char *details)
{
	struct stream *st;

	/* The connection is about to go: nobody closes it from below. */
	while ((st = first_stream(c)) != NULL)
		end_stream(c, st, details);
}

/* The end of a stream may end others of its connection: every search starts from the front. */
static struct stream *first_call(struct conn *c)
{
	list_for_each(n, &c->streams) {
		struct stream *st = list_entry(n, struct stream, node);

		if (!st->is_oneway)
			return st;
	}
	return NULL;
}

/* A one-way message is not lost because its sender leaves at once: true when some are not on their
 * way yet. Calls that wait for an answer end here. */
static bool has_oneway(struct conn *c)
{
	struct stream *st;

	while ((st = first_call(c)) != NULL)
		end_stream(c, st, "downstream_remote_disconnect");
	return !list_is_empty(&c->streams);
}

static void msg_eof(struct conn *c)
{
	struct stream *st = first_stream(c);
	struct codec_fault fault = { 0 };

	c->remote_closed = true;
	if (c->chain->kind == MESH_NET_RPC && c->codec->eof(c->cstate, &fault) < 0)
		stats_inc(c->w->stats, c->chain->rpc.stats.request_decoding_error);
	if (st && st->upgraded && st->up) {
		note_gone(st, "downstream_remote_disconnect");
		io_stream_shutdown(st->up->io);
		c->eof = true;
		return;
	}
	if (has_oneway(c)) {
		c->eof = true;
		return;
	}
	conn_close_flush(c, 0);
}

static void msg_failed(struct conn *c, int err)
{
	(void)err;
	(void)c;
}

void conn_msg_stalled(struct conn *c)
{
	if (c->stalled || http_conf(c))
		return;
	c->stalled = true;
	io_timer_set(c->w->io, &c->timer, CONN_STALL_MS);
}

/* Lets one upstream connection go on that waited for this client; that may end streams here. */
static bool wake_one(struct conn *c)
{
	list_for_each(n, &c->streams)
		if (stream_down_drained(list_entry(n, struct stream, node)))
			return true;
	return false;
}

static void msg_drained(struct conn *c)
{
	if (c->stalled) {
		c->stalled = false;
		io_timer_cancel(c->w->io, &c->timer);
	}
	if (buf_len(&c->in))
		conn_make_ready(c);
	while (!c->closed && wake_one(c))
		;
	if (!c->closed && !http_conf(c))
		arm_frame(c);
}

static void timed_out_head(struct conn *c)
{
	const struct mesh_http_manager *m = http_conf(c);
	bool headers = m->request_headers_timeout_ms != 0;
	struct http_stats *h = (struct http_stats *)&c->chain->http.stats;

	stats_inc(c->w->stats, headers ? h->rq_header_timeout : h->rq_idle_timeout);
	http_reply_without_request(c, 408, headers ? "request header timeout" : "stream timeout",
				   headers ? "request_header_timeout" : "stream_idle_timeout",
				   headers ? 0 : L7_FLAG(SI));
	conn_close_flush(c, linger_ms(c));
}

/* The next answer says that the connection ends; it does so at the latest after the drain time. */
static void start_drain(struct conn *c)
{
	uint32_t ms = http_conf(c)->drain_timeout_ms;

	c->draining = true;
	io_timer_set(c->w->io, &c->life, ms ? ms : 1);
}

static void msg_timer(struct conn *c)
{
	if (c->stalled) {
		conn_close(c, true);
		return;
	}
	if (c->in_frame) {
		stats_inc(c->w->stats, c->chain->rpc.stats.request_decoding_error);
		conn_close_flush(c, linger_ms(c));
		return;
	}
	if (c->n_streams || !http_conf(c))
		return;
	if (c->head_started && !c->codec->is_idle(c->cstate)) {
		timed_out_head(c);
		return;
	}
	stats_inc(c->w->stats, c->chain->http.stats.cx_idle_timeout);
	if (!c->rx)
		conn_close_flush(c, linger_ms(c));
	else if (!c->draining)
		start_drain(c);
}

/* max_connection_duration is over: the next answer says so; without one it ends with the drain
 * time. */
static void msg_life(struct conn *c)
{
	const struct mesh_http_manager *m = http_conf(c);

	if (c->draining || !m) {
		c->close_after = true;
		if (c->n_streams == 0)
			conn_close_flush(c, linger_ms(c));
		return;
	}
	stats_inc(c->w->stats, c->chain->http.stats.cx_max_duration);
	start_drain(c);
}

static void msg_done(struct conn *c)
{
	struct stats_set *s = c->w->stats;
	const struct http_stats *h = &c->chain->http.stats;
	bool active = c->n_streams > 0;

	reset_streams(c, "downstream_remote_disconnect");
	if (c->chain->kind != MESH_NET_HTTP) {
		const struct rpc_stats *rpc = &c->chain->rpc.stats;

		stats_dec(s, rpc->cx_active);
		if (active)
			stats_inc(s, c->remote_closed ? rpc->cx_destroy_remote :
							rpc->cx_destroy_local);
		return;
	}
	stats_dec(s, h->cx_active);
	stats_dec(s, h->cx_http1_active);
	stats_inc(s, h->cx_destroy);
	stats_inc(s, c->remote_closed ? h->cx_destroy_remote : h->cx_destroy_local);
	if (active) {
		stats_inc(s, h->cx_destroy_active_rq);
		stats_inc(s, c->remote_closed ? h->cx_destroy_remote_active_rq :
						h->cx_destroy_local_active_rq);
	}
	stats_add(s, h->cx_rx_bytes, c->rx);
	stats_add(s, h->cx_tx_bytes, c->tx);
	stats_record(s, h->cx_length_ms, (io_now(c->w->io) - c->start_ns) / 1000);
}

/* ---- streams --------------------------------------------------------------------------------- */

void conn_msg_before_response(struct conn *c, struct stream *st)
{
	const struct mesh_http_manager *m = http_conf(c);

	if (m && m->max_requests_per_connection && c->served >= m->max_requests_per_connection) {
		stats_inc(c->w->stats, c->chain->http.stats.cx_max_requests);
		c->close_after = true;
	}
	if (atomic_load_explicit(&c->w->e->draining, memory_order_relaxed) || c->draining) {
		if (m && !c->close_after)
			stats_inc(c->w->stats, c->chain->http.stats.cx_drain_close);
		c->close_after = true;
	}
	/* An answer before the whole request was read: what follows could not be told apart. */
	if (!c->codec->multiplexed && !st->req_end && !(st->req.is_upgrade && st->resp.is_upgrade))
		c->close_after = true;
	if (c->close_after)
		c->codec->want_close(c->cstate);
}

void conn_msg_stream_done(struct conn *c, struct stream *st)
{
	if (c->closed)
		return;
	if (st->upgraded) {
		conn_close_flush(c, linger_ms(c));
		return;
	}
	if (c->close_after ?
		    c->n_streams == 0 :
		    !c->codec->multiplexed && !st->is_oneway && !c->codec->is_reusable(c->cstate)) {
		conn_close_flush(c, linger_ms(c));
		return;
	}
	c->arena_dirty = true;
	c->head_started = false;
	if (buf_len(&c->in) || c->read_stopped || c->eof)
		conn_make_ready(c);
	if (c->n_streams == 0)
		arm_idle(c);
}

const struct conn_ops conn_msg_ops = {
	.start = msg_start,
	.data = msg_data,
	.eof = msg_eof,
	.failed = msg_failed,
	.drained = msg_drained,
	.timer = msg_timer,
	.resume = msg_resume,
	.life = msg_life,
	.done = msg_done,
};
