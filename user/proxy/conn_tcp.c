/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_proxy: bytes both ways with back-pressure and half-close; also connections that nobody named.
 */
#include <errno.h>
#include <stdatomic.h>

#include "proxy/conn.h"
#include "proxy/istio.h"
#include "proxy/stream.h"
#include "route/route.h"

#define TCP_CONNECT_TIMEOUT_MS 5000
#define TCP_LINGER_MS 1000

struct tcp {
	struct conn *c;
	struct io_stream *up;
	struct upstream_cluster *cluster; /* NULL: passed through */
	struct upstream_host *host;
	const struct ptcp *conf;	  /* NULL: passed through */
	struct l7_info info;
	uint32_t attempts;
	bool up_ready, down_eof, up_eof;
	bool holds_connection; /* counted against the circuit breaker */
	uint64_t up_start_ns;
	struct io_timer log_timer;
	char failure[128];
};

static void tcp_connect(struct tcp *t);
static void tcp_finish(struct tcp *t, uint32_t flags, const char *details, bool reset);

/* ---- upstream side --------------------------------------------------------------------------- */

static void up_stat(struct tcp *t, stat_id id)
{
	stats_inc(t->c->w->stats, id);
}

#define UP_STAT(t, field) \
	do { \
		if ((t)->cluster) \
			up_stat(t, (t)->cluster->shared->stats.field); \
	} while (0)

static void up_release(struct tcp *t)
{
	struct worker *w = t->c->w;

	if (t->up) {
		if (t->up_ready && t->cluster) {
			stats_dec(w->stats, t->cluster->shared->stats.cx_active);
			UP_STAT(t, cx_destroy);
			if (t->up_eof || t->info.upstream_was_reset)
				UP_STAT(t, cx_destroy_remote);
			else
				UP_STAT(t, cx_destroy_local);
			t->host->cx_active--;
		}
		t->up = NULL;
		t->up_ready = false;
	}
	if (t->holds_connection) {
		upstream_give(t->cluster->shared, UPSTREAM_CONNECTIONS);
		t->holds_connection = false;
	}
	if (t->host) {
		t->host->lb.active--;
		upstream_host_put(t->host);
		t->host = NULL;
	}
}

static void touch(struct tcp *t)
{
	struct conn *c = t->c;

	c->last_ns = io_now(c->w->io);
}

/* A line before the end. */
static void tcp_log(struct tcp *t, enum l7_log_type type)
{
	struct conn *c = t->c;

	t->info.log_type = type;
	t->info.now_ns = io_now(c->w->io);
	t->info.bytes_received = t->info.downstream_wire_rx = c->rx;
	t->info.bytes_sent = t->info.downstream_wire_tx = io_stream_written(c->io);
	worker_log(c->w, &t->conf->logs, &t->info);
	t->info.log_type = L7_LOG_AT_END;
}

static void on_log_timer(struct io_timer *timer)
{
	struct tcp *t = container_of(timer, struct tcp, log_timer);

	tcp_log(t, L7_LOG_TCP_PERIODIC);
	io_timer_set(t->c->w->io, timer, t->conf->conf->log_when.interval_ms);
}

static void arm_idle(struct tcp *t, uint64_t ms)
{
	if (ms)
		io_timer_set(t->c->w->io, &t->c->timer, ms);
}

static void on_up_connected(struct io_stream *s, int err)
{
	struct tcp *t = io_stream_owner(s);
	struct worker *w = t->c->w;

	if (err) {
		UP_STAT(t, cx_connect_fail);
		UP_STAT(t, rq_pending_failure_eject);
		UP_STAT(t, cx_destroy);
		UP_STAT(t, cx_destroy_remote);
		t->info.flags |= L7_FLAG(UF); /* stays when another try gets through */
		if (t->host)
			t->host->cx_fail++;
		snprintf(t->failure, sizeof(t->failure), "delayed_connect_error:_%s",
			 strerror(-err));
		for (char *p = t->failure; *p; p++)
			if (*p == ' ')
				*p = '_';
		t->info.upstream_failure = slice_str(t->failure);
		io_stream_close(t->up);
		up_release(t);
		tcp_connect(t);
		return;
	}
	t->up_ready = true;
	io_timer_cancel(w->io, &t->c->timer);
	if (t->cluster) {
		stats_inc(w->stats, t->cluster->shared->stats.cx_active);
		stats_record(w->stats, t->cluster->shared->stats.cx_connect_ms,
			     (io_now(w->io) - t->up_start_ns) / 1000);
		t->host->cx_total++;
		t->host->cx_active++;
		UP_STAT(t, rq_total);
		t->host->rq_total++;
	}
	t->info.has_upstream_local = io_stream_local(t->up, &t->info.upstream_local) == 0;
	t->info.upstream_connected_ns = t->info.pool_answered_ns = io_now(w->io);
	arm_idle(t, t->conf ? t->conf->conf->idle_timeout_ms : 0);
	if (t->conf && t->conf->conf->log_when.on_connected)
		tcp_log(t, L7_LOG_TCP_CONNECTED);
	if (buf_len(&t->c->in)) {
		io_stream_write(t->up, buf_ptr(&t->c->in), buf_len(&t->c->in));
		t->info.upstream_wire_tx += buf_len(&t->c->in);
		buf_done(&t->c->in);
	}
	if (t->down_eof)
		io_stream_shutdown(t->up);
	io_stream_read_start(t->c->io);
}

static void both_ended(struct tcp *t)
{
	if (t->down_eof && t->up_eof)
		tcp_finish(t, 0, NULL, false);
}

static void on_up_data(struct io_stream *s, char *p, size_t n)
{
	struct tcp *t = io_stream_owner(s);
	struct conn *c = t->c;

	touch(t);
	t->info.upstream_wire_rx += n;
	io_stream_write(c->io, p, n);
	if (!io_stream_is_full(c->io))
		return;
	/* The client is slower: stop reading until it has caught up. */
	io_stream_read_stop(t->up);
}

static void on_up_eof(struct io_stream *s)
{
	struct tcp *t = io_stream_owner(s);

	t->up_eof = true;
	io_stream_shutdown(t->c->io);
	both_ended(t);
}

static void on_up_failed(struct io_stream *s, int err)
{
	struct tcp *t = io_stream_owner(s);

	t->info.upstream_was_reset = err == -ECONNRESET;
	tcp_finish(t, err == -ECONNRESET ? L7_FLAG(UR) : L7_FLAG(UC), NULL, err == -ECONNRESET);
}

static void on_up_drained(struct io_stream *s)
{
	struct tcp *t = io_stream_owner(s);

	if (t->conf)
		up_stat(t, t->conf->stats.flow_resumed);
	io_stream_read_start(t->c->io);
}

static const struct io_stream_ops up_ops = {
	.connected = on_up_connected,
	.data = on_up_data,
	.eof = on_up_eof,
	.failed = on_up_failed,
	.drained = on_up_drained,
};

/* ---- choosing and connecting ----------------------------------------------------------------- */

/* The host's pod on this node, whose namespace is entered instead of the wire; else the client's.
 */
static struct epod *netns_for(struct tcp *t, const struct addr *to)
{
	struct conn *c = t->c;
	struct epod *local;

	if (c->direction != MESH_OUTBOUND)
		return c->pod;
	local = worker_pod_by_addr(c->w, to);
	if (!local)
		return c->pod;
	/* The server pod's own inbound policy must see the connection: over the wire then. */
	struct wview *v = worker_view(c->w, local->id);

	if (v && mesh_view_listener(v->pv->mesh, MESH_INBOUND, to))
		return c->pod;
	return local;
}

static void start_connect(struct tcp *t, const struct addr *to, uint32_t timeout_ms)
{
	struct conn *c = t->c;
	struct epod *pod = netns_for(t, to);
	struct io_socket_opts opts = { .netns = pod->netns,
				       .mark = pod->id ? c->w->e->opts.mark : 0 };
	int err = 0;

	t->info.upstream_remote = *to;
	t->info.has_upstream = true;
	if (t->host) { /* endpoints may change meanwhile */
		t->info.upstream_hostname = arena_slice(&c->slot_arena, t->host->lb.hostname);
		t->info.metadata[L7_META_HOST] =
			metadata_copy(&c->slot_arena, t->host->metadata);
	}
	t->up_start_ns = io_now(c->w->io);
	t->info.upstream_connect_ns = t->up_start_ns;
	if (!t->info.pool_asked_ns)
		t->info.pool_asked_ns = t->up_start_ns;
	t->info.upstream_connection_id =
		atomic_fetch_add_explicit(&c->w->e->next_id, 1, memory_order_relaxed);
	UP_STAT(t, cx_total);
	UP_STAT(t, rq_pending_total);
	t->up = io_connect(c->w->io, to, NULL, &opts, &up_ops, t, &err);
	if (!t->up) {
		tcp_finish(t, L7_FLAG(UF), NULL, false);
		return;
	}
	io_timer_set(c->w->io, &c->timer, timeout_ms);
}

static struct slice tcp_cluster_name(struct tcp *t)
{
	const struct mesh_tcp_proxy *m = t->conf->conf;

	if (!m->n_weighted)
		return m->cluster;
	return m->weighted[route_weighted_pick(m->weighted, m->n_weighted, m->total_weight,
					       &t->c->w->rng)]
		.name;
}

static int tcp_pick(struct tcp *t)
{
	struct upstream_cluster *k = t->cluster;

	if (k->conf->kind != MESH_CLUSTER_ORIGINAL_DST)
		t->host = upstream_pick(k);
	else
		t->host = t->c->is_direct ? NULL : upstream_original_dst(k, &t->c->local);
	if (!t->host) {
		UP_STAT(t, cx_none_healthy);
		return -EHOSTUNREACH;
	}
	t->host->lb.active++;
	if (!upstream_take(k->shared, UPSTREAM_CONNECTIONS)) {
		UP_STAT(t, cx_overflow);
		return -EBUSY;
	}
	t->holds_connection = true;
	return 0;
}

static void tcp_connect(struct tcp *t)
{
	uint32_t max = t->conf ? t->conf->conf->max_connect_attempts : 1;
	int r;

	if (t->attempts >= (max ? max : 1)) {
		if (t->cluster)
			UP_STAT(t, cx_connect_attempts_exceeded);
		tcp_finish(t, L7_FLAG(UF) | L7_FLAG(URX), NULL, false);
		return;
	}
	t->attempts++;
	if (!t->conf) {
		t->info.attempts = t->attempts;
		start_connect(t, &t->c->local, TCP_CONNECT_TIMEOUT_MS);
		return;
	}
	r = tcp_pick(t);
	if (r < 0) {
		tcp_finish(t, r == -EBUSY ? L7_FLAG(UO) : L7_FLAG(UH), NULL, false);
		return;
	}
	t->info.attempts = t->attempts;
	if (t->host->is_secured) {
		/* TLS is not there yet: never unsecured. */
		UP_STAT(t, cx_connect_fail);
		t->info.upstream_failure = SLICE("TLS_to_the_upstream_is_not_supported_yet");
		tcp_finish(t, L7_FLAG(UF), NULL, false);
		return;
	}
	start_connect(t, &t->host->lb.addr, t->cluster->conf->connect_timeout_ms);
}

/* ---- the client's side ----------------------------------------------------------------------- */

static int tcp_start(struct conn *c)
{
	struct tcp *t = xcalloc(1, sizeof(*t));
	struct slice name;

	t->c = c;
	c->tcp = t;
	t->conf = c->chain ? &c->chain->tcp : NULL;
	conn_info(c, &t->info);
	io_timer_init(&t->log_timer, on_log_timer);
	if (t->conf) {
		if (t->conf->conf->log_when.on_start)
			tcp_log(t, L7_LOG_TCP_START);
		if (t->conf->conf->log_when.interval_ms)
			io_timer_set(c->w->io, &t->log_timer,
				     t->conf->conf->log_when.interval_ms);
		name = tcp_cluster_name(t);
		t->cluster = wview_cluster(c->view, name);
		if (!t->cluster) {
			stats_inc(c->w->stats, t->conf->stats.cx_no_route);
			t->info.flags |= L7_FLAG(NC);
			return -ENOENT;
		}
		upstream_cluster_ref(t->cluster);
		hop_name_cluster(&t->info, t->cluster->conf);
		if (t->conf->conf->max_connection_ms)
			io_timer_set(c->w->io, &c->life, t->conf->conf->max_connection_ms);
	}
	io_stream_set_watch(c->io, IO_WATCH_PEER);
	/* Nothing is read before there is somewhere to send it. */
	io_stream_read_stop(c->io);
	tcp_connect(t);
	return 0;
}

/* Ends both sides: @reset passes the peer's reset on, otherwise what is pending is sent first. */
static void tcp_finish(struct tcp *t, uint32_t flags, const char *details, bool reset)
{
	struct conn *c = t->c;
	struct io_stream *up = t->up;
	bool ready = t->up_ready;

	t->info.flags |= flags;
	if (details)
		t->info.termination_details = slice_str(details);
	t->up = NULL;
	if (up && reset)
		io_stream_abort(up);
	else if (up && ready)
		io_stream_close_flush(up, TCP_LINGER_MS);
	else if (up)
		io_stream_close(up);
	t->up = up; /* for the counts in up_release */
	up_release(t);
	if (c->closed)
		return;
	if (reset)
		conn_close(c, true);
	else
		conn_close_flush(c, TCP_LINGER_MS);
}

static void tcp_data(struct conn *c, char *p, size_t n)
{
	struct tcp *t = c->tcp;

	if (!t->up_ready) {
		buf_add(&c->in, p, n); /* read while sniffing */
		return;
	}
	t->info.upstream_wire_tx += n;
	io_stream_write(t->up, p, n);
	if (!io_stream_is_full(t->up))
		return;
	io_stream_read_stop(c->io);
	if (t->conf)
		stats_inc(c->w->stats, t->conf->stats.flow_paused);
}

static void tcp_eof(struct conn *c)
{
	struct tcp *t = c->tcp;

	t->down_eof = true;
	if (t->up_ready)
		io_stream_shutdown(t->up);
	both_ended(t);
}

static void tcp_failed(struct conn *c, int err)
{
	c->tcp->info.downstream_was_reset = err == -ECONNRESET;
	/* As Envoy: who resets is said by the termination details, not by a flag. */
	tcp_finish(c->tcp, err == -ECONNRESET ? 0 : L7_FLAG(DC), NULL, err == -ECONNRESET);
}

static void tcp_drained(struct conn *c)
{
	if (c->tcp->up_ready)
		io_stream_read_start(c->tcp->up);
}

static void tcp_timer(struct conn *c)
{
	struct tcp *t = c->tcp;
	uint64_t idle = t->conf ? t->conf->conf->idle_timeout_ms : 0;
	uint64_t quiet = (io_now(c->w->io) - c->last_ns) / 1000000;

	if (!t->up_ready) {
		UP_STAT(t, cx_connect_timeout);
		UP_STAT(t, cx_connect_fail);
		UP_STAT(t, rq_pending_failure_eject);
		UP_STAT(t, cx_destroy);
		UP_STAT(t, cx_destroy_local);
		t->info.flags |= L7_FLAG(UF);
		if (t->up)
			io_stream_close(t->up);
		up_release(t);
		tcp_connect(t);
		return;
	}
	if (quiet < idle) {
		arm_idle(t, idle - quiet);
		return;
	}
	stats_inc(c->w->stats, t->conf->stats.idle_timeout);
	tcp_finish(t, 0, NULL, false);
}

static void tcp_life(struct conn *c)
{
	struct tcp *t = c->tcp;

	if (!t->conf || !t->conf->conf->max_connection_ms)
		return;
	stats_inc(c->w->stats, t->conf->stats.max_duration);
	tcp_finish(t, L7_FLAG(DT), NULL, false);
}

static void tcp_done(struct conn *c)
{
	struct tcp *t = c->tcp;
	struct worker *w = c->w;

	if (!t)
		return;
	c->tcp = NULL;
	io_timer_cancel(w->io, &t->log_timer);
	if (t->up)
		io_stream_close(t->up);
	up_release(t);
	t->info.end_ns = io_now(w->io);
	t->info.bytes_received = t->info.downstream_wire_rx = c->rx;
	t->info.bytes_sent = t->info.downstream_wire_tx = c->tx;
	if (t->conf) {
		stats_add(w->stats, t->conf->stats.cx_rx_bytes, c->rx);
		stats_add(w->stats, t->conf->stats.cx_tx_bytes, c->tx);
		worker_log(w, &t->conf->logs, &t->info);
	}
	if (c->pod->id) {
		struct istio_event ev = {
			.pod = c->pod,
			.cluster = t->cluster ? t->cluster->conf : NULL,
			.protocol = "tcp",
			.is_source = c->direction == MESH_OUTBOUND,
			.flags = t->info.flags,
			.info = &t->info,
		};

		ev.peer = worker_peer_by_addr(w, ev.is_source ? &t->info.upstream_remote :
								&c->remote);
		istio_count_connection(w, &ev);
	}
	if (t->cluster) {
		stats_add(w->stats, t->cluster->shared->stats.cx_rx_bytes,
			  t->info.upstream_wire_rx);
		stats_add(w->stats, t->cluster->shared->stats.cx_tx_bytes,
			  t->info.upstream_wire_tx);
		upstream_cluster_unref(t->cluster);
	}
	free(t);
}

static void tcp_resume(struct conn *c)
{
	(void)c;
}

const struct conn_ops conn_tcp_ops = {
	.start = tcp_start,
	.data = tcp_data,
	.eof = tcp_eof,
	.failed = tcp_failed,
	.drained = tcp_drained,
	.timer = tcp_timer,
	.resume = tcp_resume,
	.life = tcp_life,
	.done = tcp_done,
};
