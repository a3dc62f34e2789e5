/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream connections. A serial codec serves one stream a connection; a multiplexed one gives
 * each request an id of its own (slot and generation) and finds the stream again by it.
 */
#include "proxy/uconn.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/log.h"

#define ST(u, field) stats_inc((u)->w->stats, (u)->cluster->shared->stats.field)

static void pool_serve(struct upstream_pool *p);
static void uconn_rest(struct uconn *u);
static void uconn_close(struct uconn *u, bool failed);

static struct uconn *uconn_of(struct list *n)
{
	return container_of(list_entry(n, struct upstream_conn, node), struct uconn, base);
}

struct buf *uconn_out(struct uconn *u)
{
	return io_stream_out(u->io);
}

void uconn_flush(struct uconn *u)
{
	io_stream_flush(u->io);
}

/* ---- codec events ---------------------------------------------------------------------------- */

static struct stream *event_stream(struct uconn *u, uint64_t id)
{
	return u->codec->multiplexed ? uconn_slot_find(u, id) : u->st;
}

/* What happened in an event may have closed the connection under the codec: it must stop then. */
static int event_result(const struct uconn *u)
{
	return u->closed ? -ECANCELED : 0;
}

static int on_head(void *owner, struct l7_msg *m, bool end)
{
	struct uconn *u = owner;
	struct stream *st = event_stream(u, m->id);

	if (st)
		stream_up_head(st, m, end);
	else if (!u->codec->multiplexed)
		return -EPROTO; /* nothing was asked */
	/* Else an answer nobody waits for any more (its client left): read over it. */
	return event_result(u);
}

static int on_body(void *owner, uint64_t id, struct slice data)
{
	struct uconn *u = owner;
	struct stream *st = event_stream(u, id);

	if (st)
		stream_up_body(st, data);
	return event_result(u);
}

static int on_end(void *owner, uint64_t id, struct l7_props *trailers)
{
	struct uconn *u = owner;
	struct stream *st = event_stream(u, id);

	if (st)
		stream_up_end(st, trailers);
	return event_result(u);
}

static int on_interim(void *owner, struct l7_msg *m)
{
	struct uconn *u = owner;
	struct stream *st = u->st;

	/* As Envoy: 100 was ours to give, unless the manager leaves that to the upstream. Then the
	 * first of the known ones is passed on, and all others are dropped. */
	if (!st || st->mirror || st->had_interim || m->status < 100 || m->status > 104 ||
	    m->status == 101 || !http_passes_continue(st))
		return 0;
	st->had_interim = true;
	st->c->codec->encode_interim(st->c->cstate, m, io_stream_out(st->c->io));
	io_stream_flush(st->c->io);
	return 0;
}

static int on_control(void *owner, const char *kind)
{
	struct uconn *u = owner;

	if (u->closed)
		return -ECANCELED;
	if (buf_len(&u->reply)) {
		buf_add_slice(io_stream_out(u->io), buf_slice(&u->reply));
		buf_clear(&u->reply);
		io_stream_flush(u->io);
	}
	if (strcmp(kind, "readonly") == 0)
		u->base.draining = true;
	return event_result(u);
}

static const struct codec_events events = {
	.head = on_head,
	.body = on_body,
	.end = on_end,
	.interim = on_interim,
	.control = on_control,
};

/* ---- closing --------------------------------------------------------------------------------- */

static void fail_streams(struct uconn *u, uint32_t flags, const char *details)
{
	struct stream *st;

	if (u->st)
		stream_up_reset(u->st, flags, details);
	for (uint32_t i = 0; i < u->n_slots; i++)
		if ((st = u->slots[i].st) != NULL)
			stream_up_reset(st, flags, details);
}

static void count_close(struct uconn *u)
{
	struct upstream_host *h = u->base.pool->host;

	if (!u->is_over_limit)
		upstream_give(u->cluster->shared, UPSTREAM_CONNECTIONS);
	stats_add(u->w->stats, u->cluster->shared->stats.cx_rx_bytes, u->rx);
	if (!u->base.ready)
		return;
	stats_dec(u->w->stats, u->cluster->shared->stats.cx_active);
	ST(u, cx_destroy);
	stats_inc(u->w->stats, u->remote_closed ? u->cluster->shared->stats.cx_destroy_remote :
						  u->cluster->shared->stats.cx_destroy_local);
	if (u->had_active) {
		ST(u, cx_destroy_with_active_rq);
		stats_inc(u->w->stats,
			  u->remote_closed ?
				  u->cluster->shared->stats.cx_destroy_remote_with_active_rq :
				  u->cluster->shared->stats.cx_destroy_local_with_active_rq);
	}
	h->cx_active--;
}

static void uconn_close(struct uconn *u, bool failed)
{
	struct upstream_pool *p = u->base.pool;

	if (u->closed)
		return;
	u->closed = true;
	io_timer_cancel(u->w->io, &u->timer);
	count_close(u);
	if (!u->base.ready)
		p->n_connecting--;
	upstream_conn_remove(&u->base);
	/* One-way messages and answers to the provider's own frames may be on their way still. */
	if (!failed && io_stream_pending(u->io))
		io_stream_close_flush(u->io, 0);
	else
		io_stream_close(u->io);
	u->io = NULL;
	list_push(&u->w->dead_uconns, &u->dead);
}

/* Closes; the requests that wait for this pool do so for another connection. */
static void uconn_leave(struct uconn *u, bool failed)
{
	struct upstream_pool *p = u->base.pool;
	struct upstream_host *h = p->host;

	h->refs++;
	uconn_close(u, failed);
	pool_serve(p);
	upstream_host_put(h);
}

void uconn_close_base(struct upstream_conn *c)
{
	struct uconn *u = container_of(c, struct uconn, base);

	/* One that is still connecting is given up only when nobody waits for it: pool_close. */
	if (u->base.ready)
		uconn_leave(u, false);
	else
		uconn_close(u, false);
}

void uconn_free_dead(struct worker *w)
{
	struct list *n;

	while ((n = list_pop(&w->dead_uconns)) != NULL) {
		struct uconn *u = list_entry(n, struct uconn, dead);

		buf_done(&u->in);
		buf_done(&u->reply);
		arena_done(&u->arena);
		free(u->slots);
		free(u->cstate);
		free(u);
	}
}

/* The connection broke: its streams get @flags, then it goes. */
static void uconn_break(struct uconn *u, uint32_t flags, const char *details)
{
	struct upstream_host *h = u->base.pool->host;
	struct upstream_pool *p = u->base.pool;

	u->base.draining = true;
	u->had_active = u->base.active > 0;
	h->refs++; /* the streams give theirs back */
	fail_streams(u, flags, details);
	uconn_close(u, true);
	pool_serve(p);
	upstream_host_put(h);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void uconn_fault(struct uconn *u, const struct codec_fault *fault)
{
	ST(u, cx_protocol_error);
	if (u->base.active)
		uconn_break(u, L7_FLAG(UPE), fault->details);
	else
		uconn_leave(u, true);
}

/* The answer became whole inside decode. Only now it is known whether anything came behind it. */
static void uconn_settle(struct uconn *u, bool has_more)
{
	u->rest_later = false;
	if (has_more) {
		/* Nobody asked for that: it must not become the answer to the next request. */
		ST(u, cx_protocol_error);
		uconn_leave(u, true);
		return;
	}
	uconn_rest(u);
}

static size_t uconn_feed(struct uconn *u, char *p, size_t n)
{
	size_t used = 0;

	while (used < n && !u->closed) {
		struct codec_fault fault = { 0 };
		ssize_t r;

		u->in_decode = true;
		r = u->codec->decode(u->cstate, p + used, n - used, &fault);
		u->in_decode = false;
		if (u->closed)
			return n;
		if (r < 0 && u->rest_later) {
			uconn_settle(u, true);
			return n;
		}
		if (r < 0) {
			uconn_fault(u, &fault);
			return n;
		}
		if (r == 0)
			break;
		used += (size_t)r;
		/* Behind a whole message nothing of it is left in use. */
		if (u->codec->multiplexed || u->arena_dirty)
			arena_reset(&u->arena);
		u->arena_dirty = false;
	}
	if (u->rest_later && !u->closed)
		uconn_settle(u, used < n || !u->codec->is_idle(u->cstate));
	return used;
}

static void on_io_data(struct io_stream *s, char *p, size_t n)
{
	struct uconn *u = io_stream_owner(s);
	size_t used;

	u->rx += n;
	if (buf_len(&u->in)) {
		buf_add(&u->in, p, n);
		used = uconn_feed(u, buf_ptr(&u->in), buf_len(&u->in));
		if (!u->closed)
			buf_consume(&u->in, used);
		return;
	}
	used = uconn_feed(u, p, n);
	if (!u->closed && used < n) {
		size_t need = u->codec->need ? u->codec->need(u->cstate) : 0;

		if (need > n - used)
			buf_reserve(&u->in, need);
		buf_add(&u->in, p + used, n - used);
	}
}

static void on_io_eof(struct io_stream *s)
{
	struct uconn *u = io_stream_owner(s);
	struct codec_fault fault = { 0 };
	int r;

	u->remote_closed = true;
	r = u->codec->eof(u->cstate, &fault);
	if (u->closed)
		return;
	if (r < 0 && fault.code != L7_REPLY_UPSTREAM_RESET && u->base.active &&
	    (u->codec->multiplexed || u->rx > u->rx_at_give)) {
		/* In the middle of an answer, and the codec takes that for a breach of its
		 * protocol. */
		ST(u, cx_protocol_error);
		uconn_break(u, L7_FLAG(UPE), fault.details);
		return;
	}
	if (u->base.active) {
		uconn_break(u, L7_FLAG(UC), "connection termination");
		return;
	}
	if (!u->closed)
		uconn_leave(u, false);
}

/* Everybody who waits for @p is told that there is nothing to wait for. The caller holds the host.
 */
static void fail_pending(struct upstream_pool *p, uint32_t flags, const char *why,
			 const char *failure)
{
	struct upstream_cluster *k = p->host->cluster;
	struct list waiting;

	list_init(&waiting);
	list_splice(&waiting, &p->pending);
	while (!list_is_empty(&waiting)) {
		struct stream *st = list_entry(waiting.next, struct stream, pending_node);

		stats_inc(st->w->stats, k->shared->stats.rq_pending_failure_eject);
		uconn_unwant(st);
		stream_up_failed(st, flags, why, failure);
	}
}

static void connect_failed(struct uconn *u, const char *why, const char *failure)
{
	struct upstream_pool *p = u->base.pool;
	struct upstream_host *h = p->host;

	ST(u, cx_connect_fail);
	h->cx_fail++;
	h->refs++;
	uconn_close(u, true);
	fail_pending(p, L7_FLAG(UF), why, failure);
	upstream_host_put(h);
}

static void on_io_failed(struct io_stream *s, int err)
{
	struct uconn *u = io_stream_owner(s);

	u->remote_closed = true;
	if (!u->base.ready)
		connect_failed(u, "remote connection failure", strerror(-err));
	else if (u->base.active)
		uconn_break(u, L7_FLAG(UC), "connection termination");
	else
		uconn_leave(u, true);
}

static void on_io_connected(struct io_stream *s, int err)
{
	struct uconn *u = io_stream_owner(s);
	struct upstream_pool *p = u->base.pool;

	if (err) {
		connect_failed(u, "remote connection failure", strerror(-err));
		return;
	}
	io_timer_cancel(u->w->io, &u->timer);
	u->base.ready = true;
	u->connected_ns = io_now(u->w->io);
	p->n_connecting--;
	p->host->cx_active++;
	p->host->cx_total++;
	stats_inc(u->w->stats, u->cluster->shared->stats.cx_active);
	stats_record(u->w->stats, u->cluster->shared->stats.cx_connect_ms,
		     (io_now(u->w->io) - u->start_ns) / 1000);
	upstream_conn_place(&u->base);
	pool_serve(p);
	/* Those it was made for may have left meanwhile. */
	if (!u->closed && !u->base.active)
		uconn_rest(u);
}

static void on_io_drained(struct io_stream *s)
{
	struct uconn *u = io_stream_owner(s);

	if (u->st)
		stream_up_drained(u->st);
	for (uint32_t i = 0; i < u->n_slots; i++)
		if (u->slots[i].st)
			stream_up_drained(u->slots[i].st);
	if (u->codec->multiplexed && !u->closed)
		pool_serve(u->base.pool); /* it takes requests again */
}

static const struct io_stream_ops io_ops = {
	.connected = on_io_connected,
	.data = on_io_data,
	.eof = on_io_eof,
	.failed = on_io_failed,
	.drained = on_io_drained,
};

static void on_timer(struct io_timer *t)
{
	struct uconn *u = container_of(t, struct uconn, timer);

	if (!u->base.ready) {
		ST(u, cx_connect_timeout);
		connect_failed(u, "connection timeout", NULL);
		return;
	}
	if (u->base.active)
		return;
	ST(u, cx_idle_timeout);
	uconn_leave(u, false);
}

/* ---- opening --------------------------------------------------------------------------------- */

static struct uconn *uconn_new(struct upstream_pool *p, struct worker *w, const struct codec *codec)
{
	struct uconn *u = xcalloc(1, sizeof(*u));
	static const struct codec_limits limits; /* all defaults */
	struct codec_opts opts = { .proper_case = p->host->cluster->conf->proper_case,
				   .preserve_case = p->host->cluster->conf->preserve_case,
				   .enable_trailers = p->host->cluster->conf->enable_trailers };

	u->w = w;
	u->base.pool = p;
	u->cluster = p->host->cluster;
	u->codec = codec;
	u->cstate = xcalloc(1, codec->conn_size);
	u->free_slot = UCONN_SLOT_NONE;
	list_init(&u->base.node);
	list_init(&u->dead);
	io_timer_init(&u->timer, on_timer);
	codec->init(u->cstate, CODEC_CLIENT, &limits, &opts, &events, u, &u->arena, &u->reply);
	u->start_ns = io_now(w->io);
	u->id = atomic_fetch_add_explicit(&w->e->next_id, 1, memory_order_relaxed);
	return u;
}

static void uconn_abandon(struct uconn *u)
{
	free(u->cstate);
	arena_done(&u->arena);
	free(u);
}

static bool pool_has_any(const struct upstream_pool *p)
{
	return !list_is_empty(&p->idle) || !list_is_empty(&p->busy) ||
	       !list_is_empty(&p->connecting);
}

/* Opens one more connection of @p. 0, or -errno. */
static int uconn_open(struct upstream_pool *p, struct worker *w, const struct codec *codec,
		      struct epod *netns)
{
	struct upstream_cluster *k = p->host->cluster;
	struct io_socket_opts opts = { .netns = netns->netns,
				       .mark = netns->id ? w->e->opts.mark : 0 };
	bool over;
	struct uconn *u;
	int err = 0;

	if (p->host->is_secured)
		return -EPROTONOSUPPORT; /* TLS is not there yet: never unsecured */
	over = !upstream_take(k->shared, UPSTREAM_CONNECTIONS);
	if (over) {
		stats_inc(w->stats, k->shared->stats.cx_overflow);
		/* As Envoy: the first one of a pool is always made, else other hosts could starve
		 * this. */
		if (pool_has_any(p))
			return -EBUSY;
	}
	u = uconn_new(p, w, codec);
	u->is_over_limit = over;
	u->io = io_connect(w->io, &p->host->lb.addr, NULL, &opts, &io_ops, u, &err);
	if (!u->io) {
		if (!over)
			upstream_give(k->shared, UPSTREAM_CONNECTIONS);
		uconn_abandon(u);
		return err;
	}
	stats_inc(w->stats, k->shared->stats.cx_total);
	if (!codec->multiplexed)
		stats_inc(w->stats, k->shared->stats.cx_http1_total);
	io_stream_set_marks(u->io, k->conf->per_connection_buffer,
			    k->conf->per_connection_buffer / 2);
	p->n_connecting++;
	upstream_conn_place(&u->base);
	io_timer_set(w->io, &u->timer, k->conf->connect_timeout_ms);
	return 0;
}

/* ---- pools ----------------------------------------------------------------------------------- */

static bool conn_is_open(const struct uconn *u)
{
	/* One that waits for a slow client would make the others wait too. */
	return u->base.ready && !u->base.draining && !u->closed && !u->reading_stopped &&
	       u->base.active < (u->codec->multiplexed ? UCONN_STREAMS_MAX : 1);
}

/* A provider that takes nothing: what it gets must not heap up here. */
static bool conn_is_full(const struct uconn *u)
{
	return u->codec->multiplexed && io_stream_is_full(u->io);
}

static bool conn_takes_more(const struct uconn *u)
{
	return conn_is_open(u) && !conn_is_full(u);
}

/* Waits a connection only for its host to read? Another one to the same host would be no better. */
static bool pool_is_full(struct upstream_pool *p)
{
	list_for_each(n, &p->idle)
		if (conn_is_open(uconn_of(n)) && conn_is_full(uconn_of(n)))
			return true;
	list_for_each(n, &p->busy)
		if (conn_is_open(uconn_of(n)) && conn_is_full(uconn_of(n)))
			return true;
	return false;
}

static struct uconn *pool_find(struct upstream_pool *p, bool multiplexed)
{
	list_for_each(n, &p->idle)
		if (conn_takes_more(uconn_of(n)))
			return uconn_of(n);
	if (!multiplexed)
		return NULL;
	list_for_each(n, &p->busy)
		if (conn_takes_more(uconn_of(n)))
			return uconn_of(n);
	return NULL;
}

static bool uconn_is_done(const struct uconn *u)
{
	uint32_t max = u->cluster->conf->max_requests_per_connection;

	if (max && u->base.served >= max) {
		ST(u, cx_max_requests);
		return true;
	}
	return u->base.draining || u->base.pool->host->removed || !u->codec->is_reusable(u->cstate);
}

/* Nobody uses it now: it waits for the next request, or closes. */
static void uconn_idle(struct uconn *u)
{
	if (uconn_is_done(u)) {
		uconn_close(u, false);
		return;
	}
	upstream_conn_place(&u->base);
	if (u->cluster->conf->idle_timeout_ms)
		io_timer_set(u->w->io, &u->timer, u->cluster->conf->idle_timeout_ms);
}

static void uconn_give(struct uconn *u, struct stream *st)
{
	io_timer_cancel(u->w->io, &u->timer);
	u->rx_at_give = u->rx;
	u->base.active++;
	u->base.served++;
	if (u->codec->multiplexed) {
		st->up_id = uconn_slot_take(u, st);
	} else {
		u->st = st;
		st->up_id = u->base.served;
	}
	st->up = u;
	if (u->base.active == 1)
		upstream_conn_place(&u->base);
	u->in_give = true;
	stream_up_ready(st, u);
	u->in_give = false;
	if (!u->closed && !u->base.active)
		uconn_idle(u); /* a one-way message */
}

/* Those that wait and that no connection takes need another one, unless one is on its way. */
static void pool_grow(struct upstream_pool *p)
{
	struct stream *st;
	int r;

	if (list_is_empty(&p->pending) || p->n_connecting || pool_is_full(p))
		return;
	st = list_entry(p->pending.next, struct stream, pending_node);
	r = uconn_open(p, st->w, p->protocol, st->netns);
	/* At the limit they wait for one in use; without any there is nothing to wait for. */
	if (r < 0 && list_is_empty(&p->busy))
		fail_pending(p, r == -EBUSY ? L7_FLAG(UO) : L7_FLAG(UF),
			     r == -EBUSY ? "overflow" : "local connection failure",
			     r == -EBUSY ? NULL : strerror(-r));
}

static void pool_serve(struct upstream_pool *p)
{
	struct upstream_host *h =
		p->host; /* a one-way message ends as it is given, and gives its host back */

	h->refs++;
	while (!list_is_empty(&p->pending)) {
		struct stream *st = list_entry(p->pending.next, struct stream, pending_node);
		const struct codec *codec = p->protocol;
		struct uconn *u = pool_find(p, codec->multiplexed);

		if (!u)
			break;
		uconn_unwant(st);
		uconn_give(u, st);
	}
	pool_grow(p);
	upstream_host_put(h);
}

void uconn_unwant(struct stream *st)
{
	struct upstream_pool *p = st->pool;

	if (!p)
		return;
	list_del(&st->pending_node);
	st->pool = NULL;
	p->n_pending--;
	upstream_give(p->host->cluster->shared, UPSTREAM_PENDING);
	stats_dec(st->w->stats, p->host->cluster->shared->stats.rq_pending_active);
}

static void wait_in(struct upstream_pool *p, struct stream *st)
{
	struct upstream_cluster *k = p->host->cluster;

	st->pool = p;
	list_push(&p->pending, &st->pending_node);
	p->n_pending++;
	stats_inc(st->w->stats, k->shared->stats.rq_pending_total);
	stats_inc(st->w->stats, k->shared->stats.rq_pending_active);
}

void uconn_want(struct stream *st, struct upstream_host *host, const struct codec *codec)
{
	struct epod *netns = st->netns;
	struct upstream_pool *p = upstream_pool_get(host, netns->id, codec);
	struct uconn *u = pool_find(p, codec->multiplexed);
	struct upstream_cluster *k = host->cluster;
	int r = 0;

	if (u) {
		uconn_give(u, st);
		return;
	}
	if (!upstream_take(k->shared, UPSTREAM_PENDING)) {
		stats_inc(st->w->stats, k->shared->stats.rq_pending_overflow);
		stream_up_failed(st, L7_FLAG(UO), "overflow", NULL);
		return;
	}
	wait_in(p, st);
	if (!pool_is_full(p) && p->n_connecting < (codec->multiplexed ? 1 : p->n_pending))
		r = uconn_open(p, st->w, codec, netns);
	/* At the connection limit it waits for one in use; without any there is nothing to wait
	 * for. */
	if (r < 0 && p->n_connecting == 0 && list_is_empty(&p->busy)) {
		uconn_unwant(st);
		stream_up_failed(st, r == -EBUSY ? L7_FLAG(UO) : L7_FLAG(UF),
				 r == -EBUSY ? "overflow" : "local connection failure",
				 r == -EBUSY ? NULL : strerror(-r));
	}
}

/* ---- release --------------------------------------------------------------------------------- */

static void uconn_rest(struct uconn *u)
{
	struct upstream_pool *p = u->base.pool;
	struct upstream_host *h = p->host;

	h->refs++; /* the request may have given its own back */
	/* Inside its own decode the connection must stay until that returns: close() only marks. */
	uconn_idle(u);
	pool_serve(p);
	upstream_host_put(h);
}

void uconn_read_start(struct uconn *u)
{
	u->reading_stopped = false;
	io_stream_read_start(u->io);
	if (u->codec->multiplexed)
		pool_serve(u->base.pool); /* it takes requests again */
}

void uconn_release(struct stream *st, bool whole)
{
	struct uconn *u = st->up;

	if (!u)
		return;
	if (u->codec->message_bytes)
		st->bytes.up_rx = u->codec->message_bytes(u->cstate);
	st->up = NULL;
	u->arena_dirty = true;
	if (u->codec->multiplexed)
		uconn_slot_give(u, st->up_id);
	else
		u->st = NULL;
	u->base.active--;
	if (u->closed)
		return;
	if (u->in_give && u->codec->multiplexed)
		return;
	if (u->reading_stopped && (u->stopped_by == st || !u->base.active))
		uconn_read_start(u);
	if (u->closed)
		return;
	/* A serial connection in the middle of something cannot be used again. */
	if (!whole && !u->codec->multiplexed) {
		struct upstream_pool *p = u->base.pool;

		uconn_close(u, true);
		pool_serve(p);
		return;
	}
	if (u->in_decode && !u->codec->multiplexed)
		u->rest_later =
			true; /* what lies behind its answer is not known yet: see uconn_settle */
	else if (u->base.active == 0)
		uconn_rest(u);
	else if (!list_is_empty(&u->base.pool->pending))
		pool_serve(u->base.pool);
}
