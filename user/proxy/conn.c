/* SPDX-License-Identifier: Apache-2.0 */
/* Accept, addresses, limits, listener and chain; then conn_tcp or conn_msg take over. */
#include "proxy/conn.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "codec/tls_hello.h"

static const struct io_stream_ops conn_io_ops;

/* ---- end of life ----------------------------------------------------------------------------- */

/* The listener's own access log has one line a connection. */
static void log_connection(struct conn *c)
{
	struct l7_info in = { 0 };

	conn_info(c, &in);
	in.end_ns = io_now(c->w->io);
	in.bytes_received = in.downstream_wire_rx = c->rx;
	in.bytes_sent = in.downstream_wire_tx = c->tx;
	if (c->chain && c->chain->kind == MESH_NET_HTTP)
		in.protocol = SLICE("HTTP/1.1");
	in.termination_details = c->refusal;
	worker_log(c->w, &c->pl->logs, &in);
}

static void sniff_end(struct conn *c)
{
	if (c->sniffing)
		stats_dec(c->w->stats, c->pl->stats.pre_cx_active);
	c->sniffing = false;
}

static void conn_count_end(struct conn *c)
{
	struct worker *w = c->w;

	atomic_fetch_sub_explicit(&w->e->connections, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&c->pod->connections, 1, memory_order_relaxed);
	if (!c->pl)
		return;
	if (c->pl->logs.n)
		log_connection(c);
	sniff_end(c);
	stats_dec(w->stats, c->pl->stats.cx_active);
	stats_inc(w->stats, c->pl->stats.cx_destroy);
	stats_record(w->stats, c->pl->stats.cx_length_ms, (io_now(w->io) - c->start_ns) / 1000);
}

bool conn_hold(struct conn *c, uint64_t n)
{
	struct engine *e = c->w->e;
	uint64_t pod =
		atomic_fetch_add_explicit(&c->pod->buffer_bytes, n, memory_order_relaxed) + n;
	uint64_t all = atomic_fetch_add_explicit(&e->buffer_bytes, n, memory_order_relaxed) + n;

	if (pod <= e->opts.limits.buffer_bytes_per_pod && all <= e->opts.limits.buffer_bytes)
		return true;
	stats_inc(c->w->stats, stats_register(STAT_COUNTER, "overload.buffer_limit_reached"));
	return false;
}

void conn_unhold(struct conn *c, uint64_t n)
{
	if (!n)
		return;
	atomic_fetch_sub_explicit(&c->pod->buffer_bytes, n, memory_order_relaxed);
	atomic_fetch_sub_explicit(&c->w->e->buffer_bytes, n, memory_order_relaxed);
}

static void conn_bury(struct conn *c)
{
	c->closed = true;
	c->tx = io_stream_written(c->io);
	c->io = NULL;
	io_timer_cancel(c->w->io, &c->timer);
	io_timer_cancel(c->w->io, &c->life);
	list_del(&c->ready);
	list_del(&c->node);
	list_push(&c->w->dead, &c->node);
	if (c->ops && c->ops->done)
		c->ops->done(c);
	conn_unhold(c, c->in_counted);
	c->in_counted = 0;
	conn_count_end(c);
}

void conn_close(struct conn *c, bool reset)
{
	struct io_stream *io = c->io;

	if (c->closed)
		return;
	conn_bury(c);
	if (reset)
		io_stream_abort(io);
	else
		io_stream_close(io);
}

void conn_close_flush(struct conn *c, uint32_t linger_ms)
{
	struct io_stream *io = c->io;

	if (c->closed)
		return;
	conn_bury(c);
	io_stream_close_flush(io, linger_ms);
}

static void conn_free(struct conn *c)
{
	buf_done(&c->in);
	buf_done(&c->reply);
	buf_done(&c->after);
	arena_done(&c->arena);
	arena_done(&c->slot_arena);
	free(c->cstate);
	wview_unref(c->view);
	epod_unref(c->pod);
	free(c);
}

void conn_free_dead(struct worker *w)
{
	struct list *n;

	while ((n = list_pop(&w->dead)) != NULL)
		conn_free(list_entry(n, struct conn, node));
}

void conn_all_stale(struct worker *w)
{
	list_for_each(n, &w->conns) {
		struct conn *c = list_entry(n, struct conn, node);

		c->is_stale = true;
		conn_make_ready(c);
	}
}

void conn_make_ready(struct conn *c)
{
	if (!c->closed && list_is_empty(&c->ready))
		list_push(&c->w->ready, &c->ready);
}

void conn_info(const struct conn *c, struct l7_info *in)
{
	in->start_ns = c->start_ns;
	in->start_wall_ns = c->start_wall_ns;
	in->downstream_remote = c->remote;
	in->downstream_direct = c->remote;
	in->downstream_local = c->local;
	in->connection_id = c->id;
	in->downstream_principal = c->principal;
	in->requested_server_name = c->server_name;
	if (c->pl) {
		in->listener = c->pl->conf->name;
		in->metadata[L7_META_LISTENER] = c->pl->conf->metadata;
	}
	if (c->chain)
		in->filter_chain = c->chain->conf->name;
}

/* ---- listener and chain ---------------------------------------------------------------------- */

static bool is_at(const struct mesh_listener *l, const struct addr *at)
{
	for (uint32_t i = 0; i < l->n_more; i++)
		if (addr_is_equal(&l->more[i], at))
			return true;
	return addr_is_equal(&l->addr, at);
}

static const struct plistener *port_listener(const struct wlisten *l, const struct wview *v)
{
	for (uint32_t i = 0; i < v->pv->mesh->n_listeners; i++) {
		const struct plistener *p = v->pv->listeners[i];

		if (p->conf->bind_to_port && is_at(p->conf, &l->addr))
			return p;
	}
	return NULL;
}

static const struct plistener *conn_listener(struct conn *c)
{
	if (!c->view)
		return NULL;
	if (c->from->kind == WLISTEN_PORT)
		return port_listener(c->from, c->view);
	return wview_listener(c->view, c->direction, &c->local);
}

static bool conn_passes_limits(struct conn *c)
{
	for (uint32_t i = 0; i < c->chain->n_limits; i++)
		if (!filter_bucket_take(c->chain->limits[i].bucket, io_now(c->w->io), NULL, NULL)) {
			stats_inc(c->w->stats, c->chain->limits[i].rate_limited);
			return false;
		}
	return true;
}

static const struct mesh_pod *pod_of(const struct conn *c, const struct epod *p)
{
	return p && p->id && c->w->snap ? mesh_snapshot_pod(c->w->snap->ps->mesh, p->id) : NULL;
}

/* A captured client is seen at loopback: its pod's address stands for it. */
struct addr conn_client(const struct conn *c, const struct addr *towards)
{
	const struct mesh_pod *p = c->direction == MESH_OUTBOUND ? pod_of(c, c->pod) : NULL;

	for (uint32_t i = 0; p && i < p->n_addresses; i++)
		if (addr_is_v4(&p->addresses[i]) == addr_is_v4(towards)) {
			struct addr a = p->addresses[i];

			a.port = c->remote.port;
			return a;
		}
	return c->remote;
}

/*
 * Who the client is: the service account of the pod that has its address. Only pods of this node
 * are known by their address, which nobody else can answer from.
 */
struct slice conn_principal(struct conn *c)
{
	const struct mesh_pod *p =
		pod_of(c, c->direction == MESH_OUTBOUND ? c->pod :
							  worker_peer_by_addr(c->w, &c->remote));

	if (!p)
		return SLICE_NONE;
	return mesh_principal(&c->slot_arena, c->w->e->opts.trust_domain, p->namespace_,
			      p->service_account);
}

/* Asked before anything is read or connected: Envoy waits for the first byte. */
static bool conn_is_authorized(struct conn *c)
{
	struct addr client = conn_client(c, &c->local);
	const struct rbac_input in = { .local = &c->local,
				       .source = &client,
				       .remote = &client,
				       .principal = c->principal,
				       .server_name = c->server_name,
				       .arena = &c->slot_arena };
	const struct mesh_rbac_policy *policy;

	for (uint32_t i = 0; i < c->chain->n_rbac; i++)
		if (!rbac_enforce(c->chain->rbac[i].conf, &c->chain->rbac[i].stats, c->w->stats,
				  &in, &policy)) {
			c->refusal = rbac_details(policy, &c->slot_arena);
			return false;
		}
	return true;
}

/* Serves @c with @ops; what was read while sniffing is given first. */
static void conn_serve(struct conn *c, const struct conn_ops *ops)
{
	struct buf held = c->in;

	c->in = (struct buf){ 0 };
	io_timer_cancel(c->w->io, &c->timer);
	c->ops = ops;
	if (c->ops->start(c) < 0)
		conn_close(c, false);
	else if (buf_len(&held) && !c->closed)
		c->ops->data(c, buf_ptr(&held), buf_len(&held));
	buf_done(&held);
}

/* @protocols: what was found, or is offered. */
static void conn_choose(struct conn *c, struct slice transport, const struct slice *protocols,
			uint32_t n)
{
	struct mesh_chain_input in = {
		.local = c->local, .remote = c->remote, .transport = transport,
		.server_name = c->server_name, .protocols = protocols, .n_protocols = n,
	};
	const struct mesh_chain *m = mesh_chain_find(c->pl->conf, &in);

	if (!m) {
		stats_inc(c->w->stats, c->pl->stats.no_chain);
		conn_close(c, false);
		return;
	}
	if (m->socket.kind != MESH_SOCKET_RAW) {
		/* TLS that is not there yet: never served unsecured. */
		stats_inc(c->w->stats, stats_register(STAT_COUNTER, "listener_manager.no_tls"));
		conn_close(c, false);
		return;
	}
	c->chain = plistener_chain(c->pl, m);
	if (c->chain->asks_identity)
		c->principal = conn_principal(c);
	if (c->chain->kind == MESH_NET_TCP)
		stats_inc(c->w->stats, c->chain->tcp.stats.cx_total);
	if (!conn_passes_limits(c) || !conn_is_authorized(c)) {
		conn_close(c, false);
		return;
	}
	conn_serve(c, c->chain->kind == MESH_NET_TCP ? &conn_tcp_ops : &conn_msg_ops);
}

/* ---- sniffing -------------------------------------------------------------------------------- */

/* The name under which filter chains ask for a protocol that was found in the bytes. */
static const char *protocol_name(const struct codec *k)
{
	return strcmp(k->name, "http1") == 0 ? "http/1.1" : k->name;
}

/* Is there an inspector for this port? */
static bool conn_wants_sniffing(const struct conn *c)
{
	return mesh_listener_sniffs_http(c->pl->conf, c->local.port) ||
	       mesh_listener_sniffs_tls(c->pl->conf, c->local.port);
}

/* A TLS client that said all: its chain may be chosen by the name that it asks for. */
static void conn_choose_tls(struct conn *c, const struct tls_hello *h)
{
	struct slice alpn[TLS_ALPN_MAX];

	for (uint32_t i = 0; i < h->n_alpn; i++)
		alpn[i] = slice_of(h->alpn[i].text, h->alpn[i].len);
	c->server_name =
		arena_slice(&c->slot_arena, slice_of(h->server_name, h->server_name_len));
	conn_choose(c, SLICE("tls"), alpn, h->n_alpn);
}

static void conn_sniff(struct conn *c)
{
	const struct mesh_listener *l = c->pl->conf;
	const struct codec *k = NULL;
	struct slice s = buf_slice(&c->in), name = { 0 };
	struct tls_hello hello;
	enum sniff r = SNIFF_NO;

	if (mesh_listener_sniffs_tls(l, c->local.port))
		r = tls_hello_read(s.ptr, s.len, &hello);
	if (r == SNIFF_YES) {
		sniff_end(c);
		conn_choose_tls(c, &hello);
		return;
	}
	if (r == SNIFF_NO && mesh_listener_sniffs_http(l, c->local.port))
		r = codec_sniff(c->w->e->opts.codecs, s.ptr, s.len, &k);
	if (r == SNIFF_MORE && s.len < CONN_HELD_MAX)
		return;
	sniff_end(c);
	if (r == SNIFF_YES)
		name = slice_str(protocol_name(k));
	conn_choose(c, SLICE_NONE, &name, r == SNIFF_YES);
}

static void on_sniff_timeout(struct conn *c)
{
	stats_inc(c->w->stats, c->pl->stats.pre_cx_timeout);
	sniff_end(c);
	conn_choose(c, SLICE_NONE, NULL, 0);
}

/* The client said little and then no more: that is its whole message. */
static void sniff_cut(struct conn *c)
{
	sniff_end(c);
	conn_choose(c, SLICE_NONE, NULL, 0);
	if (!c->closed)
		c->ops->eof(c);
}

/* ---- socket events --------------------------------------------------------------------------- */

static void on_data(struct io_stream *s, char *p, size_t n)
{
	struct conn *c = io_stream_owner(s);

	c->rx += n;
	c->last_ns = io_now(c->w->io);
	if (c->ops) {
		c->ops->data(c, p, n);
		return;
	}
	buf_add(&c->in, p, n);
	conn_sniff(c);
}

static void on_eof(struct io_stream *s)
{
	struct conn *c = io_stream_owner(s);

	if (c->ops)
		c->ops->eof(c);
	else if (c->sniffing && buf_len(&c->in))
		sniff_cut(c);
	else
		conn_close(c, false);
}

static void on_failed(struct io_stream *s, int err)
{
	struct conn *c = io_stream_owner(s);

	c->remote_closed = true;
	if (c->ops)
		c->ops->failed(c, err);
	conn_close(c, false);
}

static void on_drained(struct io_stream *s)
{
	struct conn *c = io_stream_owner(s);

	if (c->ops && c->ops->drained)
		c->ops->drained(c);
}

static const struct io_stream_ops conn_io_ops = {
	.data = on_data,
	.eof = on_eof,
	.failed = on_failed,
	.drained = on_drained,
};

static void on_timer(struct io_timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	if (!c->ops)
		on_sniff_timeout(c);
	else if (c->ops->timer)
		c->ops->timer(c);
}

static void on_life(struct io_timer *t)
{
	struct conn *c = container_of(t, struct conn, life);

	if (c->ops && c->ops->life)
		c->ops->life(c);
}

/* ---- accept ---------------------------------------------------------------------------------- */

static int conn_addresses(struct conn *c)
{
	struct engine *e = c->w->e;
	int r = io_stream_peer(c->io, &c->remote);

	if (r < 0)
		return r;
	if (c->from->kind != WLISTEN_OUTBOUND)
		return io_stream_local(c->io, &c->local);
	if (!e->opts.original_dst)
		return -ENOENT;
	r = e->opts.original_dst(e->opts.arg, c->pod->id, &c->remote, &c->local);
	if (r < 0)
		log_warn(
			"proxy",
			"a connection came to the outbound port of pod %u without being "
			"captured: closed",
			c->pod->id);
	else if (addr_is_loopback(&c->remote))
		c->remote = conn_client(c, &c->local);
	return r;
}

static bool conn_is_admitted(struct worker *w, struct epod *pod)
{
	const struct engine_limits *l = &w->e->opts.limits;

	if (atomic_fetch_add_explicit(&w->e->connections, 1, memory_order_relaxed) >=
	    l->connections)
		goto out;
	if (atomic_fetch_add_explicit(&pod->connections, 1, memory_order_relaxed) >=
	    l->connections_per_pod) {
		atomic_fetch_sub_explicit(&pod->connections, 1, memory_order_relaxed);
		goto out;
	}
	return true;
out:
	atomic_fetch_sub_explicit(&w->e->connections, 1, memory_order_relaxed);
	return false;
}

static struct conn *conn_new(struct wlisten *l, int fd)
{
	struct worker *w = l->w;
	struct conn *c = xcalloc(1, sizeof(*c));

	c->w = w;
	c->from = l;
	c->is_direct = l->kind == WLISTEN_PORT;
	c->pod = epod_ref(l->pod);
	c->direction = l->kind == WLISTEN_OUTBOUND ? MESH_OUTBOUND :
		       l->kind == WLISTEN_INBOUND  ? MESH_INBOUND :
						     MESH_UNSPECIFIED;
	c->id = atomic_fetch_add_explicit(&w->e->next_id, 1, memory_order_relaxed);
	c->start_ns = c->last_ns = io_now(w->io);
	c->start_wall_ns = worker_wall_ns(w);
	list_init(&c->ready);
	list_init(&c->streams);
	list_init(&c->held);
	io_timer_init(&c->timer, on_timer);
	io_timer_init(&c->life, on_life);
	list_push(&w->conns, &c->node);
	c->io = io_stream_new(w->io, fd, &conn_io_ops, c);
	return c;
}

static void conn_count_start(struct conn *c)
{
	c->pl = conn_listener(c);
	if (!c->pl)
		return;
	if (c->is_direct && c->pod->id)
		c->direction = c->pl->conf->direction;
	stats_inc(c->w->stats, c->pl->stats.cx_total);
	stats_inc(c->w->stats, c->pl->stats.cx_active);
	io_stream_set_marks(c->io, c->pl->conf->per_connection_buffer,
			    c->pl->conf->per_connection_buffer / 2);
}

static void conn_begin(struct conn *c)
{
	struct wview *v = worker_view(c->w, c->pod->id);
	int r = conn_addresses(c);

	c->view = v ? wview_ref(v) : NULL;
	if (r < 0) {
		conn_close(c, false);
		return;
	}
	if (!v && c->pod->id) {
		/* Captured before the pod's configuration is here: it must not pass without its
		 * policy. */
		conn_close(c, true);
		return;
	}
	conn_count_start(c);
	if (!c->pl) {
		if (c->from->kind == WLISTEN_PORT)
			conn_close(c, false); /* the listener is just going away */
		else
			conn_serve(c, &conn_tcp_ops);
		return;
	}
	if (conn_wants_sniffing(c)) {
		stats_inc(c->w->stats, c->pl->stats.pre_cx_active);
		c->sniffing = true;
		/* 0, which Istio sends: as long as it takes. */
		if (c->pl->conf->sniff_timeout_ms)
			io_timer_set(c->w->io, &c->timer, c->pl->conf->sniff_timeout_ms);
		return;
	}
	conn_choose(c, SLICE_NONE, NULL, 0);
}

static void on_accepted(struct io_listener *io, int fd)
{
	struct wlisten *l = io_listener_owner(io);
	struct conn *c;

	if (!conn_is_admitted(l->w, l->pod)) {
		stats_inc(l->w->stats,
			  stats_register(STAT_COUNTER, "listener_manager.downstream_cx_overflow"));
		close(fd);
		return;
	}
	c = conn_new(l, fd);
	conn_begin(c);
	c->from = NULL;
}

const struct io_listener_ops conn_listener_ops = { .accepted = on_accepted };
