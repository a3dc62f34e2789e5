/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limit descriptors: what the actions of routes and filters make of a request. */
#include "filter/filter.h"
#include "mesh/listener.h"
#include "route/route.h"

enum outcome { ENTRY, SKIP, NOTHING };

static bool query_value(struct slice path, struct slice name, struct slice *ret_v)
{
	struct slice query;

	route_path_only(path, &query);
	while (query.len) {
		struct slice value = slice_split(&query, '&');
		struct slice key = slice_split(&value, '=');

		if (slice_is_equal(key, name)) {
			*ret_v = value;
			return true;
		}
	}
	return false;
}

/* An empty value is one; what is not there leaves out the entry, or the whole descriptor. */
static enum outcome from_value(bool found, struct slice v, const struct mesh_rl_action *act,
			       struct slice *ret_v)
{
	if (found) {
		*ret_v = v;
		return ENTRY;
	}
	return act->skip_if_absent ? SKIP : NOTHING;
}

static enum outcome remote_address(const struct filter_ctx *ctx, struct slice *ret_v)
{
	char text[ADDR_TEXT_MAX];
	size_t n = addr_format_ip(&ctx->info->downstream_remote, text);

	*ret_v = arena_slice(ctx->arena, slice_of(text, n));
	return ENTRY;
}

static enum outcome masked_address(const struct filter_ctx *ctx, const struct mesh_rl_action *act,
				   struct slice *ret_v)
{
	struct addr who = ctx->info->downstream_remote;
	bool v4 = addr_is_v4(&who);
	uint32_t bits = v4 ? act->v4_bits + 96 : act->v6_bits;
	char text[ADDR_TEXT_MAX];
	size_t n;

	for (uint32_t i = 0; i < 16; i++) {
		uint32_t keep = bits > i * 8 ? bits - i * 8 : 0;

		who.ip[i] &= keep >= 8 ? 0xff : (uint8_t)(0xff00 >> keep);
	}
	n = addr_format_ip(&who, text);
	*ret_v = arena_printf(ctx->arena, "%.*s/%u", (int)n, text, v4 ? bits - 96 : bits);
	return ENTRY;
}

/* Only texts that are not empty count. */
static enum outcome metadata(const struct filter_ctx *ctx, const struct mesh_rl_action *act,
			     struct slice *ret_v)
{
	const struct metadata *m =
		act->kind == MESH_RL_ROUTE_METADATA && ctx->route ? ctx->route->metadata : NULL;

	*ret_v = act->value;
	for (uint32_t i = 0; m && i < m->n; i++)
		if (m->v[i].is_string && m->v[i].text.len &&
		    slice_is_equal(m->v[i].path, act->path))
			*ret_v = m->v[i].text;
	return from_value(ret_v->len > 0, *ret_v, act, ret_v);
}

static bool is_in_ranges(const struct mesh_rl_action *act, const struct addr *who)
{
	for (uint32_t i = 0; i < act->n_ranges; i++)
		if (addr_is_in(who, &act->ranges[i].net, act->ranges[i].bits))
			return true;
	return false;
}

/* The value of one action; its key is the configured one or @fallback. */
static enum outcome action_value(const struct mesh_rl_action *act, const struct filter_ctx *ctx,
				 const struct l7_msg *m, struct slice *ret_v,
				 struct slice *fallback)
{
	struct slice v = SLICE_NONE;
	bool found;

	switch (act->kind) {
	case MESH_RL_REQUEST_HEADERS:
		found = l7_msg_value(m, act->header, ctx->arena, &v);
		return from_value(found, v, act, ret_v);
	case MESH_RL_QUERY_PARAMETERS:
		found = query_value(m->path, act->header, &v);
		return from_value(found, v, act, ret_v);
	case MESH_RL_GENERIC_KEY:
		*fallback = SLICE("generic_key");
		*ret_v = act->value;
		return ENTRY;
	case MESH_RL_HEADER_VALUE_MATCH:
		*fallback = SLICE("header_match");
		*ret_v = act->value;
		found = route_headers_are_match(act->headers, act->n_headers, m, ctx->arena);
		return found == act->expect_match ? ENTRY : NOTHING;
	case MESH_RL_QUERY_VALUE_MATCH:
		*fallback = SLICE("query_match");
		*ret_v = act->value;
		found = route_queries_are_match(act->queries, act->n_queries, m->path);
		return found == act->expect_match ? ENTRY : NOTHING;
	case MESH_RL_REMOTE_ADDRESS:
		*fallback = SLICE("remote_address");
		return remote_address(ctx, ret_v);
	case MESH_RL_REMOTE_ADDRESS_MATCH:
		*ret_v = act->value;
		return is_in_ranges(act, &ctx->info->downstream_remote) == act->expect_match ?
			       ENTRY :
			       NOTHING;
	case MESH_RL_MASKED_ADDRESS:
		return masked_address(ctx, act, ret_v);
	case MESH_RL_ROUTE_METADATA:
	case MESH_RL_DYNAMIC_METADATA:
		return metadata(ctx, act, ret_v);
	case MESH_RL_DESTINATION_CLUSTER:
		*fallback = SLICE("destination_cluster");
		return from_value(true, ctx->cluster, act, ret_v);
	case MESH_RL_SOURCE_CLUSTER:
		/* The node's own cluster name, which no pod of ours announces. */
		*fallback = SLICE("source_cluster");
		return from_value(false, v, act, ret_v);
	}
	return NOTHING;
}

static bool build(const struct mesh_rl_descriptor_source *src, const struct filter_ctx *ctx,
		  const struct l7_msg *m, struct filter_descriptor *d)
{
	d->n = 0;
	for (uint32_t i = 0; i < src->n_actions; i++) {
		const struct mesh_rl_action *act = &src->actions[i];
		struct slice fallback = SLICE_NONE, value;

		switch (action_value(act, ctx, m, &value, &fallback)) {
		case ENTRY:
			if (d->n == FILTER_DESCRIPTOR_ENTRIES)
				return false;
			d->entries[d->n].key = act->key.len ? act->key : fallback;
			d->entries[d->n++].value = value;
			break;
		case SKIP:
			break;
		case NOTHING:
			return false;
		}
	}
	return d->n > 0;
}

uint32_t filter_descriptors(const struct mesh_rl_descriptor_source *src, uint32_t n_src, int stage,
			    const struct filter_ctx *ctx, const struct l7_msg *m,
			    struct filter_descriptor *out, uint32_t max)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_src && n < max; i++)
		if (stage == FILTER_ANY_STAGE || src[i].stage == (uint32_t)stage)
			n += build(&src[i], ctx, m, &out[n]);
	return n;
}
