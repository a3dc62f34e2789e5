/* SPDX-License-Identifier: Apache-2.0 */
/* The connection manager of RPC protocols (dubbo_proxy): routes by service and method, counts
 * answers. */
#include "proxy/conn_msg.h"
#include "proxy/stream.h"

static const struct prpc *rp(const struct hop *h)
{
	return &h->chain->rpc;
}

static void count(struct hop *h, stat_id id)
{
	stats_inc(h->st->w->stats, id);
}

static bool rpc_request(struct stream *st, struct hop *h)
{
	const struct rpc_stats *s = &rp(h)->stats;
	const struct ptable *named = pview_table(h->view->pv, rp(h)->slot);
	struct mesh_rpc_tables t = named ? named->rpc : rp(h)->tables;

	count(h, s->request);
	count(h, s->request_decoding_success);
	count(h, st->is_oneway ? s->request_oneway : s->request_twoway);
	count(h, s->request_active);
	route_rpc_match(t.v, t.n, &st->req, st->arena, &st->w->rng, &h->rpc);
	h->cluster_name = h->rpc.cluster;
	/* Out of an attachment it lies in the bytes received, which do not outlive a filter's
	 * pause. */
	if (h->rpc.route && !h->rpc.route->cluster.len && h->cluster_name.len)
		h->cluster_name = arena_slice(st->arena, h->cluster_name);
	if (h->rpc.route)
		h->info.route_name = h->rpc.route->name;
	return true;
}

static bool rpc_route(struct stream *st, struct hop *h)
{
	if (h->rpc.route && h->cluster_name.len)
		return true;
	count(h, rp(h)->stats.route_missing);
	/* The codec has the words for it. */
	struct l7_reply r = { .code = L7_REPLY_NO_ROUTE, .details = SLICE("route_not_found") };

	stream_reply_full(st, h, &r, L7_FLAG(NR));
	return false;
}

static void rpc_forward(struct stream *st, struct hop *h, const struct upstream_host *host)
{
	(void)host;
	h->info.upstream_protocol = st->req.protocol;
}

static void rpc_response(struct stream *st, struct hop *h)
{
	const struct rpc_stats *s = &rp(h)->stats;

	h->info.details = SLICE("via_upstream");
	h->info.status = st->resp.status;
	count(h, s->response);
	count(h, s->response_decoding_success);
	count(h, st->resp.kind == L7_ERROR ? s->response_error :
		 st->resp.is_ok		   ? s->response_success :
					     s->response_exception);
	if (!h->cluster)
		return;
	count(h, h->cluster->shared->stats.rq_completed);
	stats_record(st->w->stats, h->cluster->shared->stats.rq_time,
		     (io_now(st->w->io) - h->upstream_start_ns) / 1000);
	if (st->resp.kind == L7_ERROR)
		h->host->rq_error++;
	else
		h->host->rq_success++;
}

static void rpc_response_out(struct stream *st, struct hop *h)
{
	(void)st;
	(void)h;
}

static void rpc_reply(struct stream *st, struct hop *h, const struct l7_reply *r)
{
	count(h, rp(h)->stats.local_response_error);
	h->info.status = l7_reply_status(r);
	st->req.id = st->id; /* the request may have been renumbered for its upstream */
	stream_write_reply(st, r);
}

static void rpc_end(struct stream *st, struct hop *h)
{
	stats_dec(st->w->stats, rp(h)->stats.request_active);
	stream_count_istio(st, h, rp(h)->codec->name, h->info.status);
	stats_record(st->w->stats, rp(h)->stats.request_time,
		     (h->info.end_ns - h->info.start_ns) / 1000);
}

const struct manager manager_rpc = {
	.request = rpc_request,
	.route = rpc_route,
	.forward = rpc_forward,
	.response = rpc_response,
	.response_out = rpc_response_out,
	.reply = rpc_reply,
	.end = rpc_end,
};
