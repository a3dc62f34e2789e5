/* SPDX-License-Identifier: Apache-2.0 */
/* The request's way: from the codec's event through managers and filters to an upstream. */
#include "proxy/stream.h"

#include <errno.h>
#include <stdatomic.h>

#include "proxy/mirror.h"
#include "proxy/retry.h"
#include "proxy/uconn.h"

static void on_filter_timer(struct io_timer *t);

/* ---- birth ----------------------------------------------------------------------------------- */

struct stream *stream_alloc(struct worker *w)
{
	struct list *n = list_pop(&w->free_streams);
	struct stream *st;

	if (n) {
		w->n_free_streams--;
		return list_entry(n, struct stream, node);
	}
	st = xcalloc(1, sizeof(*st));
	list_init(&st->node);
	return st;
}

/* Everything but the memory that is worth keeping. */
static void stream_recycle(struct stream *st)
{
	struct worker *w = st->w;
	struct arena own = st->own;
	struct buf body = st->body;

	for (uint32_t i = 0; i < st->n_hops; i++) {
		upstream_cluster_unref(st->hops[i].cluster);
		wview_unref(st->hops[i].view);
		epod_unref(st->hops[i].pod);
	}
	epod_unref(st->netns_ref);
	for (uint32_t i = 0; i < st->n_before; i++)
		wview_unref(st->before[i]);
	free(st->before);
	if (st->has_retry)
		retry_release(st);
	buf_done(&st->held);
	if (w->n_free_streams >= STREAM_FREE_MAX) {
		arena_done(&own);
		buf_done(&body);
		free(st);
		return;
	}
	arena_reset(&own);
	buf_clear(&body);
	memset(st, 0, sizeof(*st));
	st->own = own;
	st->body = body;
	list_init(&st->node);
	list_push_front(&w->free_streams, &st->node);
	w->n_free_streams++;
}

static struct stream *stream_new(struct conn *c, const struct l7_msg *m, bool end)
{
	struct stream *st = stream_alloc(c->w);

	st->c = c;
	st->w = c->w;
	st->arena = c->codec->multiplexed ? &st->own : &c->arena;
	st->id = m->id;
	st->req = *m;
	st->req_end = end;
	st->is_oneway = m->kind == L7_ONEWAY;
	st->bytes.down_head_rx = m->props_bytes;
	st->bytes.down_rx = m->frame_bytes;
	st->last_ns = io_now(c->w->io);
	list_init(&st->pending_node);
	list_init(&st->held_node);
	io_timer_init(&st->route_timer, stream_on_route_timer);
	io_timer_init(&st->idle_timer, stream_on_idle_timer);
	io_timer_init(&st->filter_timer, on_filter_timer);
	io_timer_init(&st->request_timer, stream_on_request_timer);
	io_timer_init(&st->life_timer, stream_on_life_timer);
	st->is_head = slice_is_equal(m->method, SLICE("HEAD"));
	list_push(&c->streams, &st->node);
	c->n_streams++;
	c->served++;
	return st;
}

struct hop *stream_hop(struct stream *st)
{
	return &st->hops[st->n_hops - 1];
}

void stream_touch(struct stream *st)
{
	st->last_ns = io_now(st->w->io);
}

/* ---- hops ------------------------------------------------------------------------------------ */

/* The server's pod sees its own address and that of the client's pod, which it knows. */
static void hop_info_inbound(struct hop *h)
{
	struct stream *st = h->st;

	h->info.downstream_local = st->hops[st->n_hops - 2].host->lb.addr;
	h->info.downstream_remote = h->info.downstream_direct =
		conn_client(st->c, &h->info.downstream_local);
	if (h->chain->asks_identity && !st->c->principal.len)
		st->c->principal = conn_principal(st->c);
	h->info.downstream_principal = st->c->principal;
}

static void hop_info(struct hop *h)
{
	struct stream *st = h->st;
	struct l7_info *in = &h->info;

	conn_info(st->c, in);
	in->start_ns = io_now(st->w->io);
	in->start_wall_ns = worker_wall_ns(st->w);
	in->protocol = st->req.protocol;
	in->stream_id = st->id;
	in->request = &st->req;
	if (st->n_hops > 1)
		hop_info_inbound(h);
	if (st->req_end)
		in->request_end_ns = in->start_ns;
}

static void hop_filters(struct hop *h)
{
	struct stream *st = h->st;

	h->ctx = h->n_filters ? arena_array(st->arena, struct filter_ctx, h->n_filters) : NULL;
	for (uint32_t i = 0; i < h->n_filters; i++) {
		const struct filter *ops = h->filters[i].ops;

		h->ctx[i] = (struct filter_ctx){
			.conf = h->filters[i].conf,
			.config = h->filters[i].conf->config,
			.shared = h->filters[i].shared,
			.state = ops->state_size ? arena_zalloc(st->arena, ops->state_size) : NULL,
			.info = &h->info,
			.arena = st->arena,
			.rng = &st->w->rng,
			.stats = st->w->stats,
			.engine = h,
		};
	}
}

/* Enters the manager of @chain as the newest hop. */
static struct hop *hop_begin(struct stream *st, const struct pchain *chain, struct wview *view,
			     struct epod *pod)
{
	struct hop *h = &st->hops[st->n_hops++];

	h->st = st;
	h->chain = chain;
	h->view = wview_ref(view);
	h->pod = epod_ref(pod);
	if (chain->kind == MESH_NET_HTTP) {
		h->mgr = &manager_http;
		h->filters = chain->http.filters;
		h->n_filters = chain->http.n_filters;
		h->logs = &chain->http.logs;
	} else {
		h->mgr = &manager_rpc;
		h->filters = chain->rpc.filters;
		h->n_filters = chain->rpc.n_filters;
		h->logs = &chain->rpc.logs;
	}
	hop_info(h);
	hop_filters(h);
	return h;
}

/* ---- filters --------------------------------------------------------------------------------- */

static void set_filter_timer(struct filter_ctx *ctx, uint32_t ms)
{
	struct hop *h = ctx->engine;

	io_timer_set(h->st->w->io, &h->st->filter_timer, ms);
}

static struct slice hop_stat_prefix(const struct hop *h)
{
	return h->chain->kind == MESH_NET_HTTP ? h->chain->http.stat_prefix :
						 h->chain->rpc.stat_prefix;
}

/* What the most specific level says about this filter. false: switched off. */
static bool filter_override(struct hop *h, struct filter_ctx *ctx)
{
	const struct mesh_filter_override *o;

	if (!h->http.table)
		return !ctx->conf->disabled;
	o = route_override(&h->http, ctx->conf->name);
	if (!o)
		return !ctx->conf->disabled;
	if (o->disabled)
		return false;
	if (o->config) {
		ctx->config = o->config;
		ctx->shared = ptable_override(phttp_table(h->view->pv, &h->chain->http), o->config);
	}
	return true;
}

static void ctx_fill(struct hop *h, struct filter_ctx *ctx)
{
	struct conn *c = h->st->c;

	ctx->route = h->http.route;
	ctx->vhost = h->http.vhost;
	ctx->table = h->http.table;
	ctx->cluster = h->cluster_name;
	ctx->now_ns = io_now(h->st->w->io);
	ctx->stat_prefix = hop_stat_prefix(h);
	ctx->set_timer = set_filter_timer;
	ctx->conn_arena = &c->slot_arena;
	if (h == &h->st->hops[0]) {
		if (!c->filter_slots)
			c->filter_slots = arena_array(&c->slot_arena, void *, h->n_filters);
		ctx->conn_slot = &c->filter_slots[ctx - h->ctx];
	} else {
		/* The second hop has no connection of its own: a slot that lives as long as the
		 * stream. */
		ctx->conn_slot = arena_zalloc(h->st->arena, sizeof(void *));
	}
}

/* A filter's answer to one call; true: go on with the next. */
static bool filter_go(struct hop *h, struct filter_ctx *ctx, enum filter_verdict v)
{
	struct stream *st = h->st;

	switch (v) {
	case FILTER_NEXT:
		return true;
	case FILTER_PAUSE:
		st->paused = true;
		return false;
	case FILTER_REPLY:
		stream_reply_full(st, h, &ctx->reply, 0);
		return false;
	case FILTER_FAIL:
		stream_reset(st, L7_FLAG(LR), "filter_reset");
		return false;
	}
	return false;
}

/* Runs the request filters that are left. true: all let it through. */
static bool hop_request_filters(struct hop *h)
{
	while (h->at < h->n_filters) {
		struct filter_ctx *ctx = &h->ctx[h->at];
		const struct filter *ops = h->filters[h->at++].ops;

		if (ops->is_terminal)
			break;
		if (!filter_override(h, ctx))
			continue;
		ctx_fill(h, ctx);
		h->entered = h->at;
		if (ops->request && !filter_go(h, ctx, ops->request(ctx, &h->st->req)))
			return false;
	}
	return true;
}

static void on_filter_timer(struct io_timer *t)
{
	struct stream *st = container_of(t, struct stream, filter_timer);
	struct hop *h = stream_hop(st);
	struct filter_ctx *ctx;

	if (!st->paused || h->at == 0)
		return;
	st->paused = false;
	ctx = &h->ctx[h->at - 1];
	ctx->now_ns = io_now(st->w->io);
	if (h->filters[h->at - 1].ops->timer &&
	    !filter_go(h, ctx, h->filters[h->at - 1].ops->timer(ctx)))
		return;
	stream_run(st);
}

/* ---- router ---------------------------------------------------------------------------------- */

static bool hop_cluster(struct stream *st, struct hop *h)
{
	struct upstream_cluster *k = wview_cluster(h->view, h->cluster_name);

	if (!k) {
		/* The route names a cluster that is not there. */
		uint32_t status = h->http.route ? h->http.route->no_cluster_status : 0;
		struct l7_reply r = { .code = L7_REPLY_NO_UPSTREAM, .status = status,
				      .details = SLICE("cluster_not_found") };

		if (h->chain->kind == MESH_NET_HTTP)
			stats_inc(st->w->stats, h->chain->http.stats.rq_no_cluster);
		stream_reply_full(st, h, &r, L7_FLAG(NC));
		return false;
	}
	if (!h->cluster) /* else another try */
		h->cluster = upstream_cluster_ref(k);
	hop_name_cluster(&h->info, k->conf);
	if (!upstream_take(k->shared, UPSTREAM_REQUESTS)) {
		stats_inc(st->w->stats, k->shared->stats.rq_pending_overflow);
		stream_up_failed(st, L7_FLAG(UO), "overflow", NULL);
		return false;
	}
	h->counted_active = true;
	return true;
}

static bool hop_host(struct stream *st, struct hop *h)
{
	struct upstream_cluster *k = h->cluster;
	const struct addr *dst = st->c->is_direct ? NULL : &st->c->local;

	/* In the second hop the destination is the host that the first one chose. */
	if (st->n_hops > 1)
		dst = &st->hops[st->n_hops - 2].host->lb.addr;
	if (k->conf->kind == MESH_CLUSTER_ORIGINAL_DST)
		h->host = dst ? upstream_original_dst(k, dst) : NULL;
	else
		h->host = h->retry ? retry_pick(h) : upstream_pick(k);
	h->info.attempts++;
	if (!h->host) {
		struct l7_reply r = { .code = L7_REPLY_NO_UPSTREAM,
				      .body = SLICE("no healthy upstream"),
				      .details = SLICE("no_healthy_upstream") };

		stats_inc(st->w->stats, k->shared->stats.cx_none_healthy);
		stream_reply_full(st, h, &r, L7_FLAG(UH));
		return false;
	}
	h->host->lb.active++;
	/* Formats in request headers are evaluated before an upstream is known, as in Envoy. */
	if (retry_is_again(h))
		h->retry->p.again(st, h);
	else
		h->mgr->forward(st, h, h->host);
	hop_name_host(h);
	return true;
}

/* The inbound manager of the host's pod when that lives on this node and speaks the same. */
static const struct pchain *local_inbound(struct stream *st, struct hop *h, struct epod *pod,
					  struct wview *v)
{
	const struct plistener *l;
	const struct pchain *chain;
	const struct mesh_chain *mc;
	static const struct slice http[] = { { "http/1.1", 8 } };
	struct mesh_chain_input in = { .local = h->host->lb.addr,
				       .remote = conn_client(st->c, &h->host->lb.addr),
				       .protocols = http,
				       .n_protocols = h->chain->kind == MESH_NET_HTTP };

	(void)pod;
	l = v ? wview_listener(v, MESH_INBOUND, &h->host->lb.addr) : NULL;
	mc = l ? mesh_chain_find(l->conf, &in) : NULL;
	if (!mc)
		return NULL;
	chain = plistener_chain(l, mc);
	if (chain->n_limits || chain->n_rbac || mc->socket.kind != MESH_SOCKET_RAW ||
	    chain->kind != h->chain->kind)
		return NULL; /* counts connections, or speaks something else: over the wire */
	if (chain->kind == MESH_NET_RPC && chain->rpc.codec != h->chain->rpc.codec)
		return NULL;
	return chain;
}

/* Decides where the connection is made. true: a second hop was entered first. */
static bool hop_shortcut(struct stream *st, struct hop *h)
{
	struct epod *local;
	struct wview *v;
	const struct pchain *chain;

	st->netns = h->pod;
	if (st->c->direction != MESH_OUTBOUND || st->n_hops == STREAM_HOPS_MAX)
		return false;
	local = worker_pod_by_addr(st->w, &h->host->lb.addr);
	if (!local || local == h->pod)
		return false;
	v = worker_view(st->w, local->id);
	chain = local_inbound(st, h, local, v);
	if (chain) {
		if (h->retry)
			retry_through(h);
		hop_begin(st, chain, v, local);
		return true;
	}
	if (!v || !mesh_view_listener(v->pv->mesh, MESH_INBOUND, &h->host->lb.addr))
		st->netns = st->netns_ref =
			epod_ref(local); /* nothing is asked of inbound connections there */
	return false;
}

static void arm_route_timer(struct stream *st)
{
	for (uint32_t i = 0; i < st->n_hops; i++) {
		struct hop *h = &st->hops[i];

		if (h->timeout_ms && !st->upgraded) {
			io_timer_set(st->w->io, &st->route_timer, h->timeout_ms);
			return; /* the client's own time-out counts first */
		}
	}
}

/* Up to the router. false: it waits, or was answered. */
static bool hop_enter(struct stream *st, struct hop *h)
{
	if (h->at == 0 && !h->mgr->request(st, h))
		return false;
	return hop_request_filters(h) && h->mgr->route(st, h);
}

void stream_run(struct stream *st)
{
	for (;;) {
		struct hop *h = stream_hop(st);

		if (!retry_is_again(h) && !hop_enter(st, h))
			return;
		if (!hop_cluster(st, h) || !hop_host(st, h))
			return;
		if (!hop_shortcut(st, h))
			break;
	}
	if (st->req_end && !io_timer_is_armed(&st->route_timer))
		arm_route_timer(st); /* waiting for a connection counts, and so do other tries */
	for (uint32_t i = 0; i < st->n_hops; i++)
		st->hops[i].info.pool_asked_ns = io_now(st->w->io);
	uconn_want(st, stream_hop(st)->host, st->c->codec);
}

void stream_hop_again(struct stream *st)
{
	struct hop *h = stream_hop(st), was = *h;

	stream_hop_end(h);
	memset(&st->hops[--st->n_hops], 0, sizeof(*h));
	hop_begin(st, was.chain, was.view, was.pod);
	upstream_cluster_unref(was.cluster);
	wview_unref(was.view);
	epod_unref(was.pod);
	h->redirects = was.redirects + 1;
	h->is_internal = was.is_internal;
	h->is_edge = was.is_edge;
	h->info.downstream_remote = was.info.downstream_remote;
	stream_run(st);
}

/* ---- up -------------------------------------------------------------------------------------- */

static void up_end(struct stream *st)
{
	struct uconn *u = st->up;
	struct buf *out = uconn_out(u);
	size_t before = buf_len(out);

	u->codec->encode_end(u->cstate, st->up_id, st->req_trailers, out);
	st->bytes.up_tx += buf_len(out) - before;
	st->end_up = true;
	for (uint32_t i = 0; i < st->n_hops; i++)
		st->hops[i].info.upstream_last_tx_ns = io_now(st->w->io);
}

static void up_ready(struct stream *st, struct uconn *u)
{
	/* A chunked request stays one, also when nothing was in it. */
	bool chunked = st->c->chain->kind == MESH_NET_HTTP && st->req.body_len < 0;
	bool whole = st->req_end && !buf_len(&st->body) && !st->req_trailers && !chunked;
	uint64_t now = io_now(st->w->io);
	struct buf *out = uconn_out(u);
	size_t before = buf_len(out);

	for (uint32_t i = 0; i < st->n_hops; i++) {
		struct l7_info *in = &st->hops[i].info;

		in->upstream_first_tx_ns = in->pool_answered_ns = now;
		in->upstream_connect_ns = u->start_ns;
		in->upstream_connected_ns = u->connected_ns;
		in->upstream_connection_id = u->id;
		in->has_upstream_local = io_stream_local(u->io, &in->upstream_local) == 0;
		if (st->hops[i].counted_up)
			continue; /* another try of the hop behind it */
		st->hops[i].host->rq_total++;
		st->hops[i].counted_up = true;
		stats_inc(st->w->stats, st->hops[i].cluster->shared->stats.rq_total);
		stats_inc(st->w->stats, st->hops[i].cluster->shared->stats.rq_active);
		st->hops[i].upstream_start_ns = now;
	}
	st->req.id = st->up_id;
	u->codec->encode_head(u->cstate, &st->req, whole, out);
	st->bytes.up_head_tx = st->req.props_bytes;
	st->head_up = true;
	if (stream_hop(st)->retry)
		retry_started(stream_hop(st));
	stream_waited(st);
	if (whole) {
		st->end_up = true;
		for (uint32_t i = 0; i < st->n_hops; i++)
			st->hops[i].info.upstream_last_tx_ns = now;
	}
	if (buf_len(&st->body)) {
		u->codec->encode_body(u->cstate, st->up_id, buf_slice(&st->body), out);
		if (!st->keeps_body)
			stream_drop(st, &st->body);
	}
	st->bytes.up_tx += buf_len(out) - before;
	if (st->req_end && !whole)
		up_end(st);
	uconn_flush(u);
	if (st->down_reading_stopped) {
		st->down_reading_stopped = false;
		io_stream_read_start(st->c->io);
	}
	if (st->is_oneway) {
		/* Nobody answers: the stream is over once the message is on its way. */
		uconn_release(st, true);
		stream_end(st);
	}
}

void stream_up_ready(struct stream *st, struct uconn *u)
{
	if (unlikely(st->mirror != NULL))
		mirror_up_ready(st, u);
	else
		up_ready(st, u);
}

/* ---- downstream events ----------------------------------------------------------------------- */

static int event_result(const struct conn *c)
{
	return c->closed ? -ECANCELED : 0;
}

static struct stream *event_stream(struct conn *c)
{
	struct stream *st;

	/* Only serial codecs deliver bodies apart from their heads. */
	if (list_is_empty(&c->streams))
		return NULL;
	st = list_entry(c->streams.next, struct stream, node);
	return st->local_reply ? NULL : st;
}

static bool hop_needs_request(const struct hop *h)
{
	const struct route_decision *d = &h->http;

	if (h->logs->n || h->retry)
		return true;
	if (d->route && (d->route->mutations.response.n_add || d->vhost->mutations.response.n_add ||
			 d->table->mutations.response.n_add || d->weighted))
		return true;
	for (uint32_t i = 0; i < h->n_filters; i++)
		if (h->filters[i].ops->needs_request)
			return true;
	return false;
}

/* The head's bytes go away when this event ends: copies what is needed later. */
static void keep_request(struct stream *st)
{
	bool keep = !st->head_up || st->req.is_upgrade;

	for (uint32_t i = 0; i < st->n_hops && !keep; i++)
		keep = hop_needs_request(&st->hops[i]);
	if (st->head_up)
		st->req.raw = SLICE_NONE; /* only its properties are asked for from now on */
	if (keep)
		l7_msg_keep(&st->req, st->arena);
	st->req_kept = keep;
	if (!keep || !st->req.raw.len)
		return;
	st->kept = st->waiting = st->req.raw.len;
	st->c->waiting += st->waiting;
	if (!conn_hold(st->c, st->kept))
		stream_refuse(st, L7_REPLY_OVERLOAD, L7_FLAG(OM), "overload", "overload");
}

void stream_waited(struct stream *st)
{
	struct conn *c = st->c;

	if (!st->waiting)
		return;
	c->waiting -= st->waiting;
	st->waiting = 0;
	if (buf_len(&c->in) || c->read_stopped)
		conn_make_ready(c);
}

static int on_head(void *owner, struct l7_msg *m, bool end)
{
	struct conn *c = owner;
	struct stream *st = stream_new(c, m, end);

	hop_begin(st, c->chain, c->view, c->pod);
	stream_run(st);
	if (!st->ended)
		keep_request(st);
	/* Its requests wait for their upstream: the next ones wait before they are read. */
	if (!c->closed && c->waiting >= CONN_HELD_MAX)
		return 1;
	return event_result(c);
}

void stream_drop(struct stream *st, struct buf *b)
{
	conn_unhold(st->c, buf_len(b));
	buf_done(b);
}

bool stream_keep(struct stream *st, struct buf *b, struct slice data)
{
	buf_add_slice(b, data);
	return conn_hold(st->c, data.len);
}

static bool hold_body(struct stream *st, struct slice data)
{
	if (st->keeps_body && !retry_body(st, data.len))
		return false;
	if (!stream_keep(st, &st->body, data)) {
		stream_refuse(st, L7_REPLY_OVERLOAD, L7_FLAG(OM), "overload", "overload");
		return false;
	}
	if (buf_len(&st->body) >= STREAM_HELD_MAX && !st->down_reading_stopped) {
		st->down_reading_stopped = true;
		io_stream_read_stop(st->c->io);
	}
	return true;
}

static bool body_filters(struct stream *st, struct slice data, bool end)
{
	for (uint32_t k = 0; k < st->n_hops; k++) {
		struct hop *h = &st->hops[k];

		h->info.bytes_received += data.len;
		for (uint32_t i = 0; i < h->entered; i++)
			if (h->filters[i].ops->request_body &&
			    !filter_go(h, &h->ctx[i],
				       h->filters[i].ops->request_body(&h->ctx[i], data, end)))
				return false;
	}
	return true;
}

static int on_body(void *owner, uint64_t id, struct slice data)
{
	struct conn *c = owner;
	struct stream *st = event_stream(c);
	struct buf *out;
	size_t before;

	(void)id;
	if (!st)
		return event_result(c);
	stream_touch(st);
	if (!body_filters(st, data, false))
		return event_result(c);
	if (st->mirrors)
		mirror_body(st, data);
	if (!st->head_up) {
		hold_body(st, data);
		return event_result(c);
	}
	if (!st->up)
		return event_result(c);
	if (st->keeps_body)
		retry_copy_body(st, data);
	out = uconn_out(st->up);
	before = buf_len(out);
	st->up->codec->encode_body(st->up->cstate, st->up_id, data, out);
	st->bytes.up_tx += buf_len(out) - before;
	uconn_flush(st->up);
	if (io_stream_is_full(st->up->io) && !st->down_reading_stopped) {
		st->down_reading_stopped = true;
		io_stream_read_stop(c->io);
	}
	return event_result(c);
}

static struct l7_props *keep_trailers(struct stream *st, const struct l7_props *t)
{
	struct l7_props *k;

	if (!t || !t->n)
		return NULL;
	k = arena_new(st->arena, struct l7_props);
	l7_props_init(k, st->arena);
	l7_props_each(t, i)
		l7_props_add(k, t->v[i].key, arena_slice(st->arena, t->v[i].name),
			     arena_slice(st->arena, t->v[i].value));
	return k;
}

static int on_end(void *owner, uint64_t id, struct l7_props *trailers)
{
	struct conn *c = owner;
	struct stream *st = event_stream(c);

	(void)id;
	if (!st)
		return event_result(c);
	st->req_end = true;
	io_timer_cancel(st->w->io, &st->request_timer);
	st->req_trailers = keep_trailers(st, trailers);
	for (uint32_t i = 0; i < st->n_hops; i++)
		st->hops[i].info.request_end_ns = io_now(st->w->io);
	if (!body_filters(st, SLICE_NONE, true))
		return event_result(c);
	if (st->mirrors)
		mirror_request_end(st);
	if (st->head_up && st->up) {
		up_end(st);
		uconn_flush(st->up);
	}
	if (stream_hop(st)->host || retry_is_waiting(stream_hop(st)))
		arm_route_timer(st);
	if (st->has_retry)
		retry_request_end(st);
	return event_result(c);
}

static bool is_bad(const char *kind)
{
	return strcmp(kind, "bad_request") == 0 || strcmp(kind, "bad_serialization") == 0 ||
	       strcmp(kind, "stray_response") == 0;
}

static int on_control(void *owner, const char *kind)
{
	struct conn *c = owner;

	if (buf_len(&c->reply)) {
		buf_add_slice(c->writer ? &c->after : io_stream_out(c->io), buf_slice(&c->reply));
		buf_clear(&c->reply);
		io_stream_flush(c->io);
	}
	if (c->chain->kind == MESH_NET_RPC)
		stats_inc(c->w->stats, is_bad(kind) ?
					       c->chain->rpc.stats.request_decoding_error :
					       c->chain->rpc.stats.request_event);
	return event_result(c);
}

const struct codec_events stream_events = {
	.head = on_head,
	.body = on_body,
	.end = on_end,
	.control = on_control,
};

/* ---- recycling ------------------------------------------------------------------------------- */

void streams_recycle(struct worker *w)
{
	struct list *n;

	while ((n = list_pop(&w->dead_streams)) != NULL)
		stream_recycle(list_entry(n, struct stream, node));
}

void streams_free(struct worker *w)
{
	struct list *n;

	streams_recycle(w);
	while ((n = list_pop(&w->free_streams)) != NULL) {
		struct stream *st = list_entry(n, struct stream, node);

		arena_done(&st->own);
		buf_done(&st->body);
		free(st);
	}
}
