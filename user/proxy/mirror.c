/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of requests: made, fed, timed, counted on their own cluster. */
#include "proxy/mirror.h"

#include <stdatomic.h>

#include "proxy/http.h"
#include "proxy/uconn.h"

struct mirror {
	struct stream *of;   /* whose body follows; NULL: it is whole */
	struct stream *next; /* another copy of the same */
	const struct codec *codec;
	uint32_t timeout_ms;
};

static const struct upstream_stats *stats_of(const struct stream *m)
{
	return &m->hops[0].cluster->shared->stats;
}

static void count(const struct stream *m, stat_id id)
{
	stats_inc(m->w->stats, id);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The client may be gone: its pod is counted, not its connection. false: over a limit. */
static bool hold(struct stream *m, size_t n)
{
	const struct engine_limits *l = &m->w->e->opts.limits;
	struct epod *pod = m->hops[0].pod;
	uint64_t own = atomic_fetch_add_explicit(&pod->buffer_bytes, n, memory_order_relaxed) + n;
	uint64_t all =
		atomic_fetch_add_explicit(&m->w->e->buffer_bytes, n, memory_order_relaxed) + n;

	m->kept += n;
	return own <= l->buffer_bytes_per_pod && all <= l->buffer_bytes;
}

static void unhold(struct stream *m)
{
	atomic_fetch_sub_explicit(&m->hops[0].pod->buffer_bytes, m->kept, memory_order_relaxed);
	atomic_fetch_sub_explicit(&m->w->e->buffer_bytes, m->kept, memory_order_relaxed);
	m->kept = 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void unlink_from(struct stream *m)
{
	struct stream *st = m->mirror->of;
	struct stream **at;

	if (!st)
		return;
	for (at = &st->mirrors; *at != m; at = &(*at)->mirror->next)
		;
	*at = m->mirror->next;
	m->mirror->of = NULL;
}

static void finish(struct stream *m, bool whole)
{
	if (m->ended)
		return;
	m->ended = true;
	unlink_from(m);
	io_timer_cancel(m->w->io, &m->route_timer);
	uconn_unwant(m);
	uconn_release(m, whole && m->end_up);
	buf_done(&m->body);
	unhold(m);
	stream_hop_let_go(&m->hops[0]);
	list_del(&m->node);
	list_push(&m->w->dead_streams, &m->node);
}

static void charge(struct stream *m, uint32_t status)
{
	struct upstream_cluster *k = m->hops[0].cluster;

	upstream_charge(k, UPSTREAM_ALL, status);
	upstream_charge(k, UPSTREAM_INTERNAL, status);
}

void mirror_up_failed(struct stream *m, uint32_t status)
{
	if (!m->ended && !m->resp_started)
		charge(m, status);
	finish(m, false);
}

static void on_timer(struct io_timer *t)
{
	struct stream *m = container_of(t, struct stream, route_timer);

	count(m, stats_of(m)->rq_timeout);
	mirror_up_failed(m, 504);
}

void mirrors_end(struct worker *w, const struct epod *pod)
{
	list_for_each_safe(n, tmp, &w->mirrors) {
		struct stream *m = list_entry(n, struct stream, node);

		if (!pod || m->hops[0].pod == pod)
			finish(m, false);
	}
}

/* ---- upstream -------------------------------------------------------------------------------- */

static void up_end(struct stream *m)
{
	m->up->codec->encode_end(m->up->cstate, m->up_id, NULL, uconn_out(m->up));
	m->end_up = true;
}

void mirror_up_ready(struct stream *m, struct uconn *u)
{
	bool whole = m->req_end && !buf_len(&m->body);
	struct hop *h = &m->hops[0];

	count(m, stats_of(m)->rq_total);
	count(m, stats_of(m)->rq_active);
	h->host->rq_total++;
	h->counted_up = true;
	h->upstream_start_ns = io_now(m->w->io);
	m->req.id = m->up_id;
	u->codec->encode_head(u->cstate, &m->req, whole, uconn_out(u));
	m->head_up = true;
	m->end_up = whole;
	if (buf_len(&m->body))
		u->codec->encode_body(u->cstate, m->up_id, buf_slice(&m->body), uconn_out(u));
	buf_done(&m->body);
	unhold(m);
	if (m->req_end && !whole)
		up_end(m);
	uconn_flush(u);
}

void mirror_up_head(struct stream *m, const struct l7_msg *answer, bool end)
{
	struct hop *h = &m->hops[0];

	m->resp_started = true;
	charge(m, answer->status);
	stats_record(m->w->stats, stats_of(m)->rq_time,
		     (io_now(m->w->io) - h->upstream_start_ns) / 1000);
	if (answer->status >= 500)
		h->host->rq_error++;
	else
		h->host->rq_success++;
	if (end)
		mirror_up_end(m);
}

void mirror_up_end(struct stream *m)
{
	finish(m, true);
}

/* ---- the original ---------------------------------------------------------------------------- */

static void arm(struct stream *m)
{
	uint32_t ms = m->mirror->timeout_ms;

	io_timer_set(m->w->io, &m->route_timer, ms ? ms : MIRROR_MS);
}

/* A copy that does not get on must not heap up here, nor make the original wait. */
static void give_up(struct stream *m)
{
	count(m, stats_of(m)->rq_abandoned);
	finish(m, false);
}

static void feed(struct stream *m, struct slice data)
{
	if (m->up) {
		m->up->codec->encode_body(m->up->cstate, m->up_id, data, uconn_out(m->up));
		uconn_flush(m->up);
		if (m->up && io_stream_is_full(m->up->io))
			give_up(m);
		return;
	}
	if (buf_len(&m->body) + data.len > MIRROR_HELD_MAX || !hold(m, data.len))
		give_up(m);
	else
		buf_add_slice(&m->body, data);
}

void mirror_body(struct stream *st, struct slice data)
{
	struct stream *next;

	for (struct stream *m = st->mirrors; m; m = next) {
		next = m->mirror->next;
		feed(m, data);
	}
}

void mirror_request_end(struct stream *st)
{
	struct stream *m;

	while ((m = st->mirrors) != NULL) {
		unlink_from(m);
		m->req_end = true;
		if (m->up) {
			up_end(m);
			uconn_flush(m->up);
		}
		arm(m);
	}
}

void mirror_detach(struct stream *st)
{
	while (st->mirrors)
		finish(st->mirrors, false);
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void copy_head(struct stream *m, const struct stream *st, struct slice host)
{
	struct l7_props *p = &m->req.props;
	const struct engine *e = m->w->e;
	char *text = arena_alloc(&m->own, ADDR_TEXT_MAX);

	m->req = st->req;
	l7_msg_keep(&m->req, &m->own);
	m->req.host = arena_slice(&m->own, host);
	m->req.is_upgrade = false;
	l7_props_set(p, L7_KEY_X_ENVOY_INTERNAL, SLICE("true"));
	http_append(p, L7_KEY_X_FORWARDED_FOR,
		    slice_of(text, addr_format_ip(&e->local_address, text)), SLICE(","), &m->own);
}

static struct stream *mirror_new(struct stream *st, struct hop *h, struct upstream_cluster *k)
{
	struct stream *m = stream_alloc(st->w);
	struct hop *own = &m->hops[0];

	m->w = st->w;
	m->arena = &m->own;
	m->mirror = arena_new(&m->own, struct mirror);
	m->mirror->codec = st->c->codec;
	m->mirror->timeout_ms = h->timeout_ms;
	m->req_end = st->req_end;
	m->n_hops = 1;
	own->st = m;
	own->view = wview_ref(h->view);
	own->pod = epod_ref(h->pod);
	own->cluster = upstream_cluster_ref(k);
	m->netns = h->pod;
	list_init(&m->pending_node);
	list_init(&m->held_node);
	io_timer_init(&m->route_timer, on_timer);
	list_push(&m->w->mirrors, &m->node);
	return m;
}

/* A host to send it to, within the cluster's limits. false: it is over. */
static bool choose_host(struct stream *m, const struct stream *st)
{
	struct hop *h = &m->hops[0];
	struct upstream_cluster *k = h->cluster;

	h->counted_active = upstream_take(k->shared, UPSTREAM_REQUESTS);
	if (!h->counted_active) {
		count(m, stats_of(m)->rq_pending_overflow);
		mirror_up_failed(m, 503);
		return false;
	}
	if (k->conf->kind != MESH_CLUSTER_ORIGINAL_DST)
		h->host = upstream_pick(k);
	else
		h->host = st->c->is_direct ? NULL : upstream_original_dst(k, &st->c->local);
	if (!h->host) {
		count(m, stats_of(m)->cx_none_healthy);
		mirror_up_failed(m, 503);
		return false;
	}
	h->host->lb.active++;
	return true;
}

void mirror_begin(struct stream *st, struct hop *h, struct slice cluster, struct slice host)
{
	struct upstream_cluster *k = wview_cluster(h->view, cluster);
	struct stream *m;

	if (!k)
		return;
	m = mirror_new(st, h, k);
	if (!choose_host(m, st))
		return;
	copy_head(m, st, host);
	if (m->req_end) {
		arm(m);
	} else {
		m->mirror->of = st;
		m->mirror->next = st->mirrors;
		st->mirrors = m;
	}
	uconn_want(m, m->hops[0].host, m->mirror->codec);
}
