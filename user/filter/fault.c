/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault: delays and aborts some of the requests, by configuration or by what the client asks for
 * in headers. Not here: response_rate_limit, which the configuration refuses.
 */
#include <stdatomic.h>

#include "filter/filter.h"
#include "l7/grpc.h"
#include "route/route.h"

#define PERCENT 10000u /* parts of a million */

struct shared {
	_Atomic uint32_t active;
	stat_id aborts, delays, overflow, active_faults;
};

struct state {
	bool is_active; /* counted in shared->active */
	struct shared *shared;
};

static void *shared_new(const struct mesh_filter *conf, const void *config,
			struct slice stat_prefix)
{
	struct shared *s;

	(void)conf;
	if (!config)
		return NULL;
	s = xcalloc(1, sizeof(*s));
#define STAT(kind, name) stats_registerf(kind, "%.*s.fault." name, SLICE_ARG(stat_prefix))
	s->aborts = STAT(STAT_COUNTER, "aborts_injected");
	s->delays = STAT(STAT_COUNTER, "delays_injected");
	s->overflow = STAT(STAT_COUNTER, "faults_overflow");
	s->active_faults = STAT(STAT_GAUGE, "active_faults");
#undef STAT
	return s;
}

static bool header_number(const struct l7_msg *m, struct slice name, uint64_t *ret_v)
{
	const struct l7_prop *p = l7_props_find(&m->props, name);

	return p && slice_to_u64(p->value, ret_v) == 0;
}

/* The configured share; a header may only make it smaller. */
static bool is_hit(uint32_t fraction, uint32_t scale, bool by_header, struct slice header,
		   const struct l7_msg *m, struct rng *rng)
{
	uint64_t v;

	if (by_header && header_number(m, header, &v)) {
		v = v < 1000000 ? v * (scale ? scale : PERCENT) : 1000000;
		fraction = v < fraction ? (uint32_t)v : fraction;
	}
	return fraction >= 1000000 || (fraction && rng_below(rng, 1000000) < fraction);
}

/* One of the faults that may be active at once. false: too many. */
static bool activate(struct filter_ctx *ctx)
{
	const struct mesh_fault *c = ctx->config;
	struct shared *s = ctx->shared;
	struct state *state = ctx->state;

	if (state->is_active)
		return true;
	if (c->max_active && atomic_load(&s->active) >= c->max_active) {
		stats_inc(ctx->stats, s->overflow);
		return false;
	}
	atomic_fetch_add(&s->active, 1);
	stats_inc(ctx->stats, s->active_faults);
	state->is_active = true;
	state->shared = s;
	return true;
}

static bool is_meant(const struct filter_ctx *ctx, const struct l7_msg *m)
{
	const struct mesh_fault *c = ctx->config;
	const struct l7_prop *node;

	if (c->upstream_cluster.len && !slice_is_equal(c->upstream_cluster, ctx->cluster))
		return false;
	if (!route_headers_are_match(c->headers, c->n_headers, m, ctx->arena))
		return false;
	if (!c->n_nodes)
		return true;
	node = l7_props_find(&m->props, SLICE("x-envoy-downstream-service-node"));
	for (uint32_t i = 0; node && i < c->n_nodes; i++)
		if (slice_is_equal(c->nodes[i], node->value))
			return true;
	return false;
}

static uint32_t delay_ms(const struct filter_ctx *ctx, const struct l7_msg *m)
{
	const struct mesh_fault *c = ctx->config;
	uint64_t v = c->delay_ms;

	if (!c->has_delay || !is_hit(c->delay_fraction, c->delay_scale, c->delay_by_header,
				     SLICE("x-envoy-fault-delay-request-percentage"), m, ctx->rng))
		return 0;
	if (c->delay_by_header && !header_number(m, SLICE("x-envoy-fault-delay-request"), &v))
		return 0;
	return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

struct answer {
	uint32_t status;
	bool has_grpc;
	uint64_t grpc;
};

/* What the abort answers; false: it does not happen. */
static bool abort_answer(const struct filter_ctx *ctx, const struct l7_msg *m, struct answer *ret_a)
{
	const struct mesh_fault *c = ctx->config;
	uint64_t v;

	*ret_a = (struct answer){ .status = 200 };
	if (!c->has_abort || !is_hit(c->abort_fraction, c->abort_scale, c->abort_by_header,
				     SLICE("x-envoy-fault-abort-request-percentage"), m, ctx->rng))
		return false;
	if (!c->abort_by_header) {
		ret_a->has_grpc = c->abort_is_grpc;
		ret_a->grpc = c->abort_status;
		if (!c->abort_is_grpc)
			ret_a->status = c->abort_status;
		return true;
	}
	if (header_number(m, SLICE("x-envoy-fault-abort-request"), &v) && v >= 200 && v < 600) {
		ret_a->status = (uint32_t)v;
		return true;
	}
	ret_a->has_grpc = header_number(m, SLICE("x-envoy-fault-abort-grpc-request"), &ret_a->grpc);
	return ret_a->has_grpc;
}

static enum filter_verdict maybe_abort(struct filter_ctx *ctx, const struct l7_msg *m)
{
	struct shared *s = ctx->shared;
	struct answer a;

	if (!abort_answer(ctx, m, &a) || !activate(ctx))
		return FILTER_NEXT;
	stats_inc(ctx->stats, s->aborts);
	ctx->info->flags |= L7_FLAG(FI);
	ctx->reply = (struct l7_reply){
		.code = L7_REPLY_INTERNAL, .status = a.status, .body = SLICE("fault filter abort"),
		.details = SLICE("fault_filter_abort"),
	};
	l7_props_init(&ctx->reply.props, ctx->arena);
	if (a.has_grpc && l7_msg_is_grpc(m))
		l7_props_add(&ctx->reply.props, L7_KEY_GRPC_STATUS, l7_key_name(L7_KEY_GRPC_STATUS),
			     arena_printf(ctx->arena, "%llu", (unsigned long long)a.grpc));
	return FILTER_REPLY;
}

static enum filter_verdict request(struct filter_ctx *ctx, struct l7_msg *m)
{
	struct shared *s = ctx->shared;
	uint32_t ms;

	if (!ctx->config || !s || !is_meant(ctx, m))
		return FILTER_NEXT;
	ms = delay_ms(ctx, m);
	if (!ms || !activate(ctx))
		return maybe_abort(ctx, m);
	stats_inc(ctx->stats, s->delays);
	ctx->info->flags |= L7_FLAG(DI);
	ctx->set_timer(ctx, ms);
	return FILTER_PAUSE;
}

/* The delay is over; an abort may follow it. */
static enum filter_verdict timer(struct filter_ctx *ctx)
{
	return ctx->info->request ? maybe_abort(ctx, ctx->info->request) : FILTER_NEXT;
}

static void end(struct filter_ctx *ctx)
{
	struct state *state = ctx->state;

	if (!state || !state->is_active)
		return;
	state->is_active = false;
	atomic_fetch_sub(&state->shared->active, 1);
	stats_dec(ctx->stats, state->shared->active_faults);
}

const struct filter filter_fault = {
	.kind = "fault",
	.state_size = sizeof(struct state),
	.shared_new = shared_new,
	.shared_free = free,
	.request = request,
	.timer = timer,
	.end = end,
};
