/* SPDX-License-Identifier: Apache-2.0 */
/* A stream's time-outs: of the route, of silence, of the whole request, of the whole stream. */
#include "proxy/retry.h"

/* The hop behind the one that answers: it sees its client go. */
static void abandon_second(struct stream *st)
{
	struct hop *h = &st->hops[1];

	h->info.flags |= L7_FLAG(DC);
	h->info.details = SLICE("downstream_remote_disconnect");
}

void stream_on_route_timer(struct io_timer *t)
{
	static const char why[] = "response_timeout";
	struct stream *st = container_of(t, struct stream, route_timer);
	/* Whose time it was, see arm_route_timer(). */
	struct hop *h = st->hops[0].timeout_ms ? &st->hops[0] : stream_hop(st);
	struct l7_reply r = { .code = L7_REPLY_TIMEOUT,
			      .details = slice_str(why),
			      .body = SLICE("upstream request timeout") };

	st->timed_out = true;
	if (st->has_retry)
		retry_stop(st, st->hops[0].timeout_ms ? 0 : 1);
	if (h->cluster && !retry_is_waiting(h))
		stats_inc(st->w->stats, h->cluster->shared->stats.rq_timeout);
	if (st->resp_started) {
		h->info.details = slice_str(why);
		stream_reset(st, L7_FLAG(UT), why);
	} else {
		if (h != stream_hop(st))
			abandon_second(st);
		stream_reply_full(st, h, &r, L7_FLAG(UT));
	}
}

void stream_on_request_timer(struct io_timer *t)
{
	struct stream *st = container_of(t, struct stream, request_timer);

	if (st->req_end)
		return;
	if (st->c->chain->kind == MESH_NET_HTTP)
		stats_inc(st->w->stats, st->c->chain->http.stats.rq_timeout);
	if (st->resp_started)
		stream_reset(st, 0, "request_overall_timeout");
	else
		stream_refuse(st, L7_REPLY_TIMEOUT_REQUEST, 0, "request_overall_timeout",
			     "request timeout");
}

/* max_stream_duration */
void stream_on_life_timer(struct io_timer *t)
{
	struct stream *st = container_of(t, struct stream, life_timer);

	if (st->c->chain->kind == MESH_NET_HTTP)
		stats_inc(st->w->stats, st->c->chain->http.stats.rq_max_duration);
	if (st->resp_started) {
		st->hops[0].info.details = SLICE("max_duration_timeout");
		stream_reset(st, 0, "max_duration_timeout");
	} else {
		struct l7_reply r = {
			.code = st->req_end ? L7_REPLY_TIMEOUT : L7_REPLY_TIMEOUT_REQUEST,
			.body = SLICE("downstream duration timeout"),
			.details = SLICE("max_duration_timeout"),
		};

		if (st->is_grpc) {
			l7_props_init(&r.props, st->arena);
			l7_props_add(&r.props, L7_KEY_GRPC_STATUS, l7_key_name(L7_KEY_GRPC_STATUS),
				     SLICE("4"));
		}
		if (st->has_retry)
			retry_stop(st, 0);
		stream_reply_full(st, stream_hop(st), &r, 0);
	}
}

static uint32_t idle_ms(struct stream *st)
{
	const struct hop *h = &st->hops[0];

	if (h->http.route && h->http.route->has_idle_timeout)
		return h->http.route->idle_timeout_ms;
	return h->chain->kind == MESH_NET_HTTP ? h->chain->http.conf->stream_idle_timeout_ms : 0;
}

void stream_on_idle_timer(struct io_timer *t)
{
	struct stream *st = container_of(t, struct stream, idle_timer);
	uint64_t limit = idle_ms(st);
	uint64_t quiet = (io_now(st->w->io) - st->last_ns) / 1000000;

	if (!limit)
		return;
	if (quiet < limit) {
		io_timer_set(st->w->io, &st->idle_timer, limit - quiet);
		return;
	}
	if (st->c->chain->kind == MESH_NET_HTTP)
		stats_inc(st->w->stats, st->c->chain->http.stats.rq_idle_timeout);
	if (st->resp_started)
		stream_reset(st, L7_FLAG(SI), "stream_idle_timeout");
	else
		stream_refuse(st, st->req_end ? L7_REPLY_TIMEOUT : L7_REPLY_TIMEOUT_REQUEST,
			     L7_FLAG(SI), "stream_idle_timeout", "stream timeout");
}
