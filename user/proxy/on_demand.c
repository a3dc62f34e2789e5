/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for their virtual host; see on_demand.h. */
#include "proxy/on_demand.h"

#include "proxy/http.h"
#include "proxy/worker.h"

/* State of a stream's filter. */
struct waiting {
	struct list node; /* worker's, while it waits */
	struct hop *hop;
	struct slice host; /* lower case, in the stream's arena */
};

static struct slice lower_case(struct slice s, struct arena *a)
{
	char *p = arena_alloc(a, s.len + 1);

	for (size_t i = 0; i < s.len; i++)
		p[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] | 32) : s.ptr[i];
	return slice_of(p, s.len);
}

static void leave(struct waiting *x)
{
	list_del(&x->node);
	list_init(&x->node);
	x->hop->st->w->n_on_demand--;
}

static enum filter_verdict request(struct filter_ctx *ctx, struct l7_msg *m)
{
	struct hop *h = ctx->engine;
	struct worker *w = h->st->w;
	struct waiting *x = ctx->state;

	if (ctx->route || !ctx->table || !ctx->table->on_demand || !m->host.len ||
	    !w->e->opts.want_host || w->n_on_demand >= ON_DEMAND_MAX)
		return FILTER_NEXT;
	x->hop = h;
	x->host = lower_case(m->host, ctx->arena);
	list_push(&w->on_demand, &x->node);
	w->n_on_demand++;
	ctx->set_timer(ctx, ON_DEMAND_WAIT_MS);
	w->e->opts.want_host(w->e->opts.arg, h->pod->id, ctx->table->name, x->host);
	return FILTER_PAUSE;
}

/* Nobody answered in time: goes on as it is, without a route. */
static enum filter_verdict timer(struct filter_ctx *ctx)
{
	leave(ctx->state);
	return FILTER_NEXT;
}

static void end(struct filter_ctx *ctx)
{
	struct waiting *x = ctx->state;

	if (x->hop && !list_is_empty(&x->node))
		leave(x);
}

const struct filter filter_on_demand = {
	.kind = "on_demand",
	.state_size = sizeof(struct waiting),
	.request = request,
	.timer = timer,
	.end = end,
};

/* ---- answers --------------------------------------------------------------------------------- */

/* From now on by the configuration of now; those that its chains lie in stay as long as it. */
static void route_anew(struct hop *h)
{
	struct stream *st = h->st;
	struct wview *now = worker_view(st->w, h->pod->id);

	if (now && now != h->view) {
		st->before = xrealloc(st->before, (st->n_before + 1) * sizeof(*st->before));
		st->before[st->n_before++] = h->view;
		h->view = wview_ref(now);
	}
	http_route_lookup(st, h);
}

static void go_on(struct waiting *x)
{
	struct stream *st = x->hop->st;

	leave(x);
	io_timer_cancel(st->w->io, &st->filter_timer);
	st->paused = false;
	route_anew(x->hop);
	stream_run(st);
}

static bool is_meant(const struct waiting *x, const struct host_answer *a)
{
	return x->hop->pod->id == a->pod && slice_is_equal(x->host, slice_str(a->host)) &&
	       slice_is_equal(x->hop->http.table->name, slice_str(a->table));
}

void worker_host_answered(void *arg)
{
	struct host_answer *a = arg;
	struct list now, *n;

	/* Going on may end others, or let new ones wait. */
	list_init(&now);
	list_splice(&now, &a->w->on_demand);
	while ((n = list_pop(&now)) != NULL) {
		struct waiting *x = list_entry(n, struct waiting, node);

		list_push(&a->w->on_demand, &x->node);
		if (is_meant(x, a))
			go_on(x);
	}
	free(a->table);
	free(a->host);
	free(a);
}
