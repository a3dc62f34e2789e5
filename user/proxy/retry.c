/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries: deciding on another one, undoing the last, waiting, going again from the hop's router.
 * Nothing here knows what a failure is in a protocol.
 */
#include "proxy/retry.h"

#include "proxy/uconn.h"

#define RETRY_RESETS (MESH_RETRY_RESET | MESH_RETRY_5XX | MESH_RETRY_GATEWAY)

static void on_wait(struct io_timer *t);
static void on_try_timer(struct io_timer *t);
static void on_idle_timer(struct io_timer *t);

/* Could the request go up once more? */
static bool keeps(const struct retry *r)
{
	return r->p.on || r->p.moves;
}

static void count(const struct hop *h, stat_id id)
{
	stats_inc(h->st->w->stats, id);
}

static const struct upstream_stats *stats_of(const struct hop *h)
{
	return &h->cluster->shared->stats;
}

void retry_begin(struct stream *st, struct hop *h, const struct retry_policy *p)
{
	struct retry *r = arena_new(st->arena, struct retry);

	r->h = h;
	r->p = *p;
	r->left = p->num;
	r->next_ms = p->base_ms;
	io_timer_init(&r->wait, on_wait);
	io_timer_init(&r->try_timer, on_try_timer);
	io_timer_init(&r->idle_timer, on_idle_timer);
	h->retry = r;
	st->has_retry = true;
	st->keeps_body |= keeps(r);
}

/* ---- the times of one try -------------------------------------------------------------------- */

static void arm_try(struct retry *r)
{
	struct io *io = r->h->st->w->io;

	if (r->p.per_try_ms && !io_timer_is_armed(&r->try_timer))
		io_timer_set(io, &r->try_timer, r->p.per_try_ms);
}

void retry_started(struct hop *h)
{
	struct retry *r = h->retry;

	r->is_begun = r->was_sent = true;
	r->begun_ns = io_now(h->st->w->io);
	if (r->p.per_try_idle_ms)
		io_timer_set(h->st->w->io, &r->idle_timer, r->p.per_try_idle_ms);
	if (h->st->req_end)
		arm_try(r);
}

void retry_request_end(struct stream *st)
{
	for (uint32_t i = 0; i < st->n_hops; i++)
		if (st->hops[i].retry && st->hops[i].retry->is_begun)
			arm_try(st->hops[i].retry);
}

static void cancel_try(struct retry *r)
{
	struct io *io = r->h->st->w->io;

	r->is_begun = false;
	io_timer_cancel(io, &r->try_timer);
	io_timer_cancel(io, &r->idle_timer);
}

/* ---- the decision ---------------------------------------------------------------------------- */

/* The outcome of the last try is known: it counts in the cluster's retries no more. */
static void uncount(struct retry *r)
{
	if (!r->is_counted)
		return;
	r->is_counted = false;
	upstream_give(r->h->cluster->shared, UPSTREAM_RETRIES);
}

static void wait_for_next(struct retry *r, uint32_t asked_ms)
{
	struct worker *w = r->h->st->w;
	uint32_t ms;

	r->is_asked = asked_ms != 0;
	if (asked_ms) {
		ms = asked_ms + rng_below(&w->rng, asked_ms / 2 + 1);
	} else {
		ms = rng_below(&w->rng, r->next_ms);
		ms = ms < r->p.max_ms ? ms : r->p.max_ms;
		r->next_ms = r->next_ms < r->p.max_ms / 2 ? r->next_ms * 2 : r->p.max_ms;
	}
	r->is_waiting = true;
	/* Never in this turn: callers that are on their way here still look at the last try. */
	io_timer_set(w->io, &r->wait, ms ? ms : 1);
}

/* The limits of the request and of the cluster. true: the next try is arranged. */
static bool decide(struct retry *r, bool is_wanted, uint32_t asked_ms)
{
	struct hop *h = r->h;

	if (r->is_counted && !is_wanted)
		count(h, stats_of(h)->rq_retry_success);
	uncount(r);
	if (!is_wanted)
		return false;
	if (!r->left) {
		count(h, stats_of(h)->rq_retry_limit_exceeded);
		h->info.flags |= L7_FLAG(URX) | L7_FLAG_URX_FIRST;
		return false;
	}
	r->left--;
	if (!upstream_take(h->cluster->shared, UPSTREAM_RETRIES)) {
		count(h, stats_of(h)->rq_retry_overflow);
		h->info.flags |= L7_FLAG(UO);
		return false;
	}
	r->is_counted = true;
	wait_for_next(r, asked_ms);
	return true;
}

/* ---- back to the router ---------------------------------------------------------------------- */

static void remember_host(struct retry *r)
{
	if (!r->p.other_hosts || !r->h->host || r->n_tried == RETRY_HOSTS_MAX)
		return;
	if (!r->tried)
		r->tried = arena_array(r->h->st->arena, struct addr, RETRY_HOSTS_MAX);
	r->tried[r->n_tried++] = r->h->host->lb.addr;
}

/* Lets the second hop go. Its references are given back when nobody can look at it any more. */
static void drop_second(struct stream *st, bool is_whole)
{
	struct hop *h = &st->hops[1];

	if (!is_whole && !(h->info.flags & L7_FLAG(DC))) {
		h->info.flags |= L7_FLAG(DC);
		if (!h->info.details.len)
			h->info.details = SLICE("downstream_remote_disconnect");
	}
	if (is_whole)
		h->info.response_last_ns = io_now(st->w->io);
	stream_hop_end(h);
	st->old = (struct stream_old){ h->cluster, h->view, h->pod, st->netns_ref };
	st->netns_ref = NULL;
	st->n_hops = 1;
}

/*
 * Everything behind the router of @h did not happen. @is_whole: its answer ended; @was_read: the
 * upstream's did, so that the connection is good for others.
 */
static void undo(struct stream *st, struct hop *h, bool is_whole, bool was_read)
{
	bool has_second = h != stream_hop(st);

	cancel_try(h->retry);
	remember_host(h->retry);
	uconn_unwant(st);
	uconn_release(st, was_read && st->end_up);
	io_timer_cancel(st->w->io, &st->filter_timer);
	/* The route's time counts on, unless it is that of the hop that goes. */
	if (has_second && !st->hops[0].timeout_ms)
		io_timer_cancel(st->w->io, &st->route_timer);
	if (has_second)
		drop_second(st, is_whole);
	else if (st->netns_ref)
		st->old.netns = st->netns_ref;
	st->netns_ref = NULL;
	stream_hop_let_go(h);
	st->paused = st->head_up = st->end_up = st->resp_started = false;
	st->collects = st->local_reply = false;
	h->info.response = NULL;
	h->info.status = 0;
	h->info.upstream_first_rx_ns = h->info.upstream_last_rx_ns = 0;
	h->info.upstream_first_tx_ns = h->info.upstream_last_tx_ns = 0;
}

/* The answer may send the request elsewhere. true: it starts again there. */
static bool move(struct stream *st, struct retry *r, bool end, bool from_upstream)
{
	struct hop *h = r->h;
	uint32_t status = st->resp.status;
	struct slice details;

	if (h != stream_hop(st) && r->has_req) {
		st->req = r->req; /* the second hop changed its own */
		l7_msg_keep(&st->req, st->arena);
	}
	if (!r->p.moves(st, h))
		return false;
	details = h->info.details;
	h->mgr->response(st, h); /* counts */
	h->info.details = details;
	l7_msg_keep(&st->resp, st->arena);
	undo(st, h, end || !from_upstream, end && from_upstream);
	h->info.status = status; /* for the log */
	h->is_moved = true;
	h->info.response = &st->resp;
	r->is_moving = true;
	st->keeps_body = false; /* unless the next route says so */
	io_timer_set(st->w->io, &r->wait, 1);
	return true;
}

bool retry_after_answer(struct stream *st, struct hop *h, bool end, bool from_upstream)
{
	struct retry *r = h->retry;
	uint32_t ms = 0;
	bool is_wanted;

	is_wanted = r->p.on && r->p.wants(st, h, &ms);
	if (r->p.on && decide(r, is_wanted, ms)) {
		upstream_charge(h->cluster, UPSTREAM_RETRIED, st->resp.status);
		undo(st, h, end || !from_upstream, end && from_upstream);
		return true;
	}
	return r->p.moves && move(st, r, end, from_upstream);
}

static bool wants_after_reset(const struct retry *r, uint32_t flags)
{
	if (flags & L7_FLAG(UO))
		return false;
	if ((flags & L7_FLAG(UF)) && (r->p.on & MESH_RETRY_CONNECT))
		return true;
	if ((r->p.on & MESH_RETRY_RESET_BEFORE_REQUEST) && !r->was_sent)
		return true;
	return r->p.on & RETRY_RESETS;
}

bool retry_after_reset(struct stream *st, uint32_t flags)
{
	struct hop *h = stream_hop(st);
	struct retry *r = h->retry;

	if (!r->p.on || !h->cluster || !decide(r, wants_after_reset(r, flags), 0))
		return false;
	if (h->host)
		h->host->rq_error++;
	undo(st, h, false, false);
	return true;
}

/* The second hop changes the message: for another try it must be as it left the first one. */
void retry_through(struct hop *h)
{
	struct retry *r = h->retry;

	retry_started(h);
	if (!keeps(r) || r->has_req)
		return;
	r->req = h->st->req;
	l7_msg_keep(&r->req, h->st->arena);
	r->has_req = true;
}

void retry_release(struct stream *st)
{
	upstream_cluster_unref(st->old.cluster);
	wview_unref(st->old.view);
	epod_unref(st->old.pod);
	epod_unref(st->old.netns);
	st->old = (struct stream_old){ 0 };
	if (st->n_hops == 1)
		memset(&st->hops[1], 0, sizeof(st->hops[1]));
}

/* ---- again ----------------------------------------------------------------------------------- */

struct upstream_host *retry_pick(struct hop *h)
{
	struct retry *r = h->retry;
	struct upstream_host *host = upstream_pick(h->cluster);

	for (uint32_t i = 0; r->done && host && i < r->p.host_attempts; i++) {
		uint32_t k = 0;

		while (k < r->n_tried && !addr_is_equal(&r->tried[k], &host->lb.addr))
			k++;
		if (k == r->n_tried)
			break;
		upstream_host_put(host);
		host = upstream_pick(h->cluster);
	}
	return host;
}

static void on_wait(struct io_timer *t)
{
	struct retry *r = container_of(t, struct retry, wait);
	struct stream *st = r->h->st;

	if (r->is_moving) {
		retry_release(st);
		stream_hop_again(st);
		return;
	}
	r->is_waiting = false;
	r->done++;
	count(r->h, stats_of(r->h)->rq_retry);
	count(r->h, r->is_asked ? stats_of(r->h)->rq_retry_ratelimited :
				  stats_of(r->h)->rq_retry_exponential);
	retry_release(st);
	if (r->has_req) {
		/* The second hop changed its own; this one is needed again. */
		st->req = r->req;
		l7_msg_keep(&st->req, st->arena);
	}
	stream_run(st);
}

/* ---- time-outs of a try ---------------------------------------------------------------------- */

/* As a reset that we made ourselves. */
static void try_failed(struct retry *r, stat_id stat, const char *details, uint32_t flags)
{
	struct hop *h = r->h;
	struct stream *st = h->st;
	struct l7_reply reply = { .code = L7_REPLY_TIMEOUT,
				  .body = SLICE("upstream request timeout"),
				  .details = slice_str(details) };

	count(h, stat);
	if (r->p.on && decide(r, r->p.on & RETRY_RESETS, 0)) {
		h->host->rq_error++;
		undo(st, h, false, false);
		return;
	}
	undo(st, h, false, false);
	retry_stop(st, 0);
	stream_reply_full(st, h, &reply, flags);
}

static void on_try_timer(struct io_timer *t)
{
	struct retry *r = container_of(t, struct retry, try_timer);

	if (!r->h->st->resp_started)
		try_failed(r, stats_of(r->h)->rq_per_try_timeout, "upstream_per_try_timeout",
			   L7_FLAG(UT));
}

static void on_idle_timer(struct io_timer *t)
{
	struct retry *r = container_of(t, struct retry, idle_timer);
	struct stream *st = r->h->st;
	uint64_t from = st->last_ns > r->begun_ns ? st->last_ns : r->begun_ns;
	uint64_t quiet = (io_now(st->w->io) - from) / 1000000;

	if (quiet < r->p.per_try_idle_ms) {
		io_timer_set(st->w->io, t, r->p.per_try_idle_ms - quiet);
		return;
	}
	if (!st->resp_started) {
		try_failed(r, stats_of(r->h)->rq_per_try_idle_timeout,
			   "upstream_per_try_idle_timeout", L7_FLAG(UT));
		return;
	}
	count(r->h, stats_of(r->h)->rq_per_try_idle_timeout);
	r->h->info.details = SLICE("upstream_per_try_idle_timeout");
	stream_reset(st, L7_FLAG(UT), "upstream_per_try_idle_timeout");
}

/* ---- the body -------------------------------------------------------------------------------- */

static bool keeps_any(const struct stream *st)
{
	for (uint32_t i = 0; i < st->n_hops; i++)
		if (st->hops[i].retry && keeps(st->hops[i].retry))
			return true;
	return false;
}

/* The body is held for tries only, unless it waits for its first connection. */
static void forget_body(struct stream *st)
{
	st->keeps_body = keeps_any(st);
	if (!st->keeps_body && st->head_up)
		stream_drop(st, &st->body);
}

static void give_up(struct retry *r)
{
	r->p.on = 0;
	r->p.moves = NULL;
	uncount(r);
	io_timer_cancel(r->h->st->w->io, &r->wait);
}

bool retry_body(struct stream *st, size_t n)
{
	struct hop *waiting = NULL;

	for (uint32_t i = 0; i < st->n_hops; i++) {
		struct retry *r = st->hops[i].retry;

		if (!r || !keeps(r) || buf_len(&st->body) + n <= r->p.body_max)
			continue;
		if (r->h->cluster)
			count(r->h, stats_of(r->h)->rq_abandoned);
		if (r->is_waiting)
			waiting = r->h;
		give_up(r);
	}
	forget_body(st);
	if (waiting) {
		struct l7_reply r = {
			.code = L7_REPLY_INTERNAL,
			.status = 507,
			.body = SLICE("exceeded request buffer limit while retrying upstream"),
			.details = SLICE("request_payload_exceeded_retry_buffer_limit")
		};

		stream_reply_full(st, waiting, &r, 0);
	}
	return !waiting;
}

void retry_copy_body(struct stream *st, struct slice data)
{
	retry_body(st, data.len);
	if (!st->keeps_body || stream_keep(st, &st->body, data))
		return;
	retry_stop(st, 0);
	st->keeps_body = false;
	stream_drop(st, &st->body);
}

/* ---- the end --------------------------------------------------------------------------------- */

void retry_stop(struct stream *st, uint32_t from)
{
	for (uint32_t i = from; i < st->n_hops; i++)
		if (st->hops[i].retry)
			give_up(st->hops[i].retry);
}

void retry_accepted(struct stream *st)
{
	for (uint32_t i = 0; i < st->n_hops; i++)
		if (st->hops[i].retry) {
			st->hops[i].retry->p.on = 0;
			st->hops[i].retry->p.moves = NULL;
			uncount(st->hops[i].retry);
			io_timer_cancel(st->w->io, &st->hops[i].retry->try_timer);
		}
	if (st->keeps_body)
		forget_body(st);
}

void retry_end(struct hop *h)
{
	cancel_try(h->retry);
	give_up(h->retry);
}
