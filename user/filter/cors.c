/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cors: answers preflights and marks answers to allowed origins. A policy stands at routes, virtual
 * hosts or tables; what the most specific one leaves open is taken from the next, as in Envoy.
 */
#include "filter/filter.h"
#include "route/route.h"

#define POLICIES 4

struct shared {
	stat_id valid, invalid;
};

struct state {
	struct slice origin; /* allowed one; empty: none */
};

/* Most specific first. */
struct policies {
	const struct mesh_cors *v[POLICIES];
	uint32_t n;
};

static void *shared_new(const struct mesh_filter *conf, const void *config,
			struct slice stat_prefix)
{
	struct shared *s = xcalloc(1, sizeof(*s));

	(void)conf;
	(void)config;
	s->valid = stats_registerf(STAT_COUNTER, "%.*s.cors.origin_valid", SLICE_ARG(stat_prefix));
	s->invalid =
		stats_registerf(STAT_COUNTER, "%.*s.cors.origin_invalid", SLICE_ARG(stat_prefix));
	return s;
}

static void policies_add(struct policies *p, const struct mesh_cors *c)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (p->v[i] == c)
			return;
	if (c && p->n < POLICIES)
		p->v[p->n++] = c;
}

static void policies_add_level(struct policies *p, const struct mesh_overrides *o,
			       struct slice name)
{
	for (uint32_t i = 0; i < o->n; i++)
		if (slice_is_equal(o->v[i].name, name))
			policies_add(p, o->v[i].config);
}

static struct policies policies_of(const struct filter_ctx *ctx)
{
	struct policies p = { .n = 0 };

	/* Also the chosen cluster's, which no other member of the context shows. */
	policies_add(&p, ctx->config);
	if (ctx->route)
		policies_add_level(&p, &ctx->route->overrides, ctx->conf->name);
	if (ctx->vhost)
		policies_add_level(&p, &ctx->vhost->overrides, ctx->conf->name);
	if (ctx->table)
		policies_add_level(&p, &ctx->table->overrides, ctx->conf->name);
	return p;
}

static bool is_allowed(const struct policies *p, struct slice origin)
{
	for (uint32_t i = 0; i < p->n; i++) {
		const struct mesh_cors *c = p->v[i];

		for (uint32_t k = 0; k < c->n_origins; k++)
			if (mesh_string_is_match(&c->origins[k], origin) ||
			    mesh_string_is_match(&c->origins[k], SLICE("*")))
				return true;
		if (c->n_origins)
			return false;
	}
	return false;
}

/* The first text that a policy has at @offset. */
static struct slice text_of(const struct policies *p, size_t offset)
{
	for (uint32_t i = 0; i < p->n; i++) {
		struct slice s = *(const struct slice *)((const char *)p->v[i] + offset);

		if (s.len)
			return s;
	}
	return SLICE_NONE;
}

#define TEXT(p, member) text_of(p, offsetof(struct mesh_cors, member))

static bool has_credentials(const struct policies *p)
{
	bool has = false;

	for (uint32_t i = 0; i < p->n; i++)
		has = has || p->v[i]->credentials;
	return has;
}

static bool has_private_network(const struct policies *p)
{
	bool has = false;

	for (uint32_t i = 0; i < p->n; i++)
		has = has || p->v[i]->private_network;
	return has;
}

static void set(struct l7_props *props, struct slice name, struct slice value)
{
	if (value.len)
		l7_props_set_name(props, name, value);
}

/* What every answer to an allowed origin carries. */
static void mark(const struct policies *p, struct slice origin, struct l7_props *props)
{
	set(props, SLICE("access-control-allow-origin"), origin);
	if (has_credentials(p))
		set(props, SLICE("access-control-allow-credentials"), SLICE("true"));
	set(props, SLICE("access-control-expose-headers"), TEXT(p, expose));
}

/* "*" gives back what was asked for. */
static struct slice echo(struct slice allowed, const struct l7_msg *m, struct slice asked)
{
	const struct l7_prop *p;

	if (!slice_is_equal(allowed, SLICE("*")))
		return allowed;
	p = l7_props_find(&m->props, asked);
	return p ? p->value : SLICE_NONE;
}

static enum filter_verdict preflight(struct filter_ctx *ctx, const struct policies *p,
				     const struct l7_msg *m, struct slice origin)
{
	const struct l7_prop *private_network =
		l7_props_find(&m->props, SLICE("access-control-request-private-network"));
	struct l7_props *props = &ctx->reply.props;

	ctx->reply = (struct l7_reply){ .code = L7_REPLY_DIRECT,
					.status = 200,
					.details = SLICE("cors_response"),
					.is_final = true };
	l7_props_init(props, ctx->arena);
	set(props, SLICE("access-control-allow-methods"),
	    echo(TEXT(p, methods), m, SLICE("access-control-request-method")));
	set(props, SLICE("access-control-allow-headers"),
	    echo(TEXT(p, headers), m, SLICE("access-control-request-headers")));
	set(props, SLICE("access-control-max-age"), TEXT(p, max_age));
	if (private_network && slice_is_equal(private_network->value, SLICE("true")) &&
	    has_private_network(p))
		set(props, SLICE("access-control-allow-private-network"), SLICE("true"));
	if (origin.len)
		mark(p, origin, props);
	return FILTER_REPLY;
}

static bool is_preflight(const struct l7_msg *m)
{
	const struct l7_prop *p = l7_props_find(&m->props, SLICE("access-control-request-method"));

	return slice_is_equal(m->method, SLICE("OPTIONS")) && p && p->value.len;
}

static enum filter_verdict request(struct filter_ctx *ctx, struct l7_msg *m)
{
	struct policies p = policies_of(ctx);
	struct shared *s = ctx->shared;
	struct state *state = ctx->state;
	struct slice origin = l7_props_value(&m->props, L7_KEY_ORIGIN);
	bool allowed;

	if (!p.n || !origin.len)
		return FILTER_NEXT;
	if (p.v[0]->enabled < 1000000 && rng_below(ctx->rng, 1000000) >= p.v[0]->enabled)
		return FILTER_NEXT;
	allowed = is_allowed(&p, origin);
	if (s)
		stats_inc(ctx->stats, allowed ? s->valid : s->invalid);
	if (allowed)
		state->origin = arena_slice(ctx->arena, origin);
	if (is_preflight(m) && (allowed || !p.v[0]->forward_not_matching))
		return preflight(ctx, &p, m, state->origin);
	return FILTER_NEXT;
}

static enum filter_verdict response(struct filter_ctx *ctx, struct l7_msg *m)
{
	const struct state *state = ctx->state;
	struct policies p;

	if (!state->origin.len)
		return FILTER_NEXT;
	p = policies_of(ctx);
	mark(&p, state->origin, &m->props);
	return FILTER_NEXT;
}

const struct filter filter_cors = {
	.kind = "cors",
	.state_size = sizeof(struct state),
	.shared_new = shared_new,
	.shared_free = free,
	.request = request,
	.needs_request = true,
	.response = response,
};
