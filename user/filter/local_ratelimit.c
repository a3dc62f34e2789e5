/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_ratelimit: lets requests pass while there are tokens. Knows no protocol: the same limits
 * and descriptors serve every codec's messages.
 */
#include "filter/limiter.h"
#include "l7/grpc.h"
#include "route/route.h"

#define DESCRIPTORS_MAX 16 /* of one request; further ones are not looked at */
#define STATUS_DEFAULT 429

struct shared {
	struct arena arena;
	struct limiter limiter;
	stat_id enabled, enforced, rate_limited, ok, shadow;
};

struct state {
	struct limiter_state limit;
	bool has_run;
};

/* Limits of one connection, one for each configuration that applied to it. */
struct conn_limit {
	const void *config;
	struct limiter limiter;
	struct conn_limit *next;
};

static void *shared_new(const struct mesh_filter *conf, const void *config,
			struct slice stat_prefix)
{
	const struct mesh_local_ratelimit *c = config;
	struct shared *s;

	(void)conf;
	(void)stat_prefix;
	if (!c)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	limiter_init(&s->limiter, c, &s->arena);
#define STAT(name) \
	stats_registerf(STAT_COUNTER, "%.*s.http_local_rate_limit." name, SLICE_ARG(c->stat_prefix))
	s->enabled = STAT("enabled");
	s->enforced = STAT("enforced");
	s->rate_limited = STAT("rate_limited");
	s->ok = STAT("ok");
	s->shadow = STAT("shadow_mode");
#undef STAT
	return s;
}

static void shared_free(void *p)
{
	struct shared *s = p;

	if (!s)
		return;
	pthread_mutex_destroy(&s->limiter.lock);
	arena_done(&s->arena);
	free(s);
}

static bool is_in(uint32_t fraction, struct rng *rng)
{
	return fraction >= 1000000 || (fraction && rng_below(rng, 1000000) < fraction);
}

static struct limiter *limiter_for(struct filter_ctx *ctx)
{
	const struct mesh_local_ratelimit *c = ctx->config;
	struct shared *s = ctx->shared;
	struct conn_limit *l;

	if (!c->per_connection || !ctx->conn_slot)
		return &s->limiter;
	for (l = *ctx->conn_slot; l; l = l->next)
		if (l->config == ctx->config)
			return &l->limiter;
	l = arena_new(ctx->conn_arena, struct conn_limit);
	l->config = ctx->config;
	limiter_init(&l->limiter, c, ctx->conn_arena);
	l->next = *ctx->conn_slot;
	*ctx->conn_slot = l;
	return &l->limiter;
}

static bool takes_vhost(const struct mesh_local_ratelimit *c, const struct mesh_route *r)
{
	if (r->include_vh_rate_limits || c->vh == MESH_RL_VH_INCLUDE)
		return true;
	return c->vh == MESH_RL_VH_OVERRIDE && !r->n_rate_limits;
}

/* The filter's own rate_limits, or else those of the route and (when it has none, or includes
 * them) of the virtual host. */
static uint32_t descriptors(const struct filter_ctx *ctx, const struct l7_msg *m,
			    struct filter_descriptor *d)
{
	const struct mesh_local_ratelimit *c = ctx->config;
	const struct mesh_route *r = ctx->route;
	int stage = (int)c->stage;
	uint32_t n = 0;

	if (!c->n_descriptors)
		return 0;
	if (c->n_rate_limits)
		return filter_descriptors(c->rate_limits, c->n_rate_limits, FILTER_ANY_STAGE, ctx,
					  m, d, DESCRIPTORS_MAX);
	if (r)
		n = filter_descriptors(r->rate_limits, r->n_rate_limits, stage, ctx, m, d,
				       DESCRIPTORS_MAX);
	if (r && ctx->vhost && takes_vhost(c, r))
		n += filter_descriptors(ctx->vhost->rate_limits, ctx->vhost->n_rate_limits, stage,
					ctx, m, d + n, DESCRIPTORS_MAX - n);
	return n;
}

static enum filter_verdict refuse(struct filter_ctx *ctx, const struct l7_msg *m)
{
	const struct mesh_local_ratelimit *c = ctx->config;
	const struct state *state = ctx->state;
	struct l7_msg answer;

	l7_msg_init(&answer, L7_RESPONSE, ctx->arena);
	answer.status = c->status >= 400 ? c->status : STATUS_DEFAULT;
	route_headers_apply(&c->response_add, &answer, ctx->info, ctx->arena);
	if (c->resource_exhausted && l7_msg_is_grpc(m))
		l7_props_add(&answer.props, L7_KEY_GRPC_STATUS, l7_key_name(L7_KEY_GRPC_STATUS),
			     SLICE("8"));
	if (c->retry_after && state->limit.is_known)
		l7_props_add(&answer.props, L7_KEY_NONE, SLICE("retry-after"),
			     arena_printf(ctx->arena, "%u", state->limit.reset_s));
	ctx->info->flags |= L7_FLAG(RL);
	ctx->reply = (struct l7_reply){
		.code = L7_REPLY_RATE_LIMITED,
		.status = answer.status,
		.body = SLICE("local_rate_limited"),
		.details = SLICE("local_rate_limited"),
		.props = answer.props,
	};
	return FILTER_REPLY;
}

static enum filter_verdict request(struct filter_ctx *ctx, struct l7_msg *m)
{
	const struct mesh_local_ratelimit *c = ctx->config;
	struct shared *s = ctx->shared;
	struct state *state = ctx->state;
	struct filter_descriptor d[DESCRIPTORS_MAX];

	if (!c || !s || !is_in(c->enabled, ctx->rng))
		return FILTER_NEXT;
	stats_inc(ctx->stats, s->enabled);
	state->has_run = true;
	if (limiter_take(limiter_for(ctx), d, descriptors(ctx, m, d), ctx->now_ns, &state->limit)) {
		stats_inc(ctx->stats, s->ok);
		return FILTER_NEXT;
	}
	stats_inc(ctx->stats, s->rate_limited);
	if (state->limit.is_shadow) {
		stats_inc(ctx->stats, s->shadow);
		return FILTER_NEXT;
	}
	if (!is_in(c->enforced, ctx->rng)) {
		route_headers_apply(&c->request_add, m, ctx->info, ctx->arena);
		return FILTER_NEXT;
	}
	stats_inc(ctx->stats, s->enforced);
	return refuse(ctx, m);
}

static void add_number(struct l7_msg *m, struct slice name, uint32_t v, struct arena *a)
{
	l7_props_add(&m->props, L7_KEY_NONE, name, arena_printf(a, "%u", v));
}

static enum filter_verdict response(struct filter_ctx *ctx, struct l7_msg *m)
{
	const struct mesh_local_ratelimit *c = ctx->config;
	const struct state *state = ctx->state;

	if (!c || !c->x_ratelimit_headers || !state->has_run || !state->limit.is_known)
		return FILTER_NEXT;
	add_number(m, SLICE("x-ratelimit-limit"), state->limit.limit, ctx->arena);
	add_number(m, SLICE("x-ratelimit-remaining"), state->limit.left, ctx->arena);
	add_number(m, SLICE("x-ratelimit-reset"), state->limit.reset_s, ctx->arena);
	return FILTER_NEXT;
}

const struct filter filter_local_ratelimit = {
	.kind = "local_ratelimit",
	.state_size = sizeof(struct state),
	.shared_new = shared_new,
	.shared_free = shared_free,
	.request = request,
	.response = response,
};
