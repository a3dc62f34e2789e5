/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rbac: who may do what. The same rules serve HTTP and RPC requests (the filter below) and plain
 * connections (proxy/conn.c), where rules about headers see none.
 */
#include "filter/rbac.h"

#include "filter/filter.h"
#include "route/route.h"

/* ---- rules ----------------------------------------------------------------------------------- */

static bool is_match(const struct mesh_rbac_rule *r, const struct rbac_input *in);

static bool parts_match(const struct mesh_rbac_rule *r, const struct rbac_input *in, bool all)
{
	for (uint32_t i = 0; i < r->n_parts; i++)
		if (is_match(&r->parts[i], in) != all)
			return !all;
	return all;
}

static bool header_matches(const struct mesh_header_match *h, const struct rbac_input *in)
{
	struct l7_msg none;

	if (in->msg)
		return route_headers_are_match(h, 1, in->msg, in->arena);
	l7_msg_init(&none, L7_REQUEST, in->arena);
	return route_headers_are_match(h, 1, &none, in->arena);
}

static bool path_matches(const struct mesh_string *s, const struct rbac_input *in)
{
	struct slice query;

	if (!in->msg || !in->msg->path.len)
		return false;
	return mesh_string_is_match(s, route_path_only(in->msg->path, &query));
}

static bool is_in(const struct addr *a, const struct mesh_prefix *p)
{
	return addr_is_in(a, &p->net, p->bits);
}

static bool is_match(const struct mesh_rbac_rule *r, const struct rbac_input *in)
{
	switch (r->kind) {
	case MESH_RBAC_ANY: return true;
	case MESH_RBAC_AND: return parts_match(r, in, true);
	case MESH_RBAC_OR: return parts_match(r, in, false);
	case MESH_RBAC_NOT: return !parts_match(r, in, true);
	case MESH_RBAC_HEADER: return header_matches(r->header, in);
	case MESH_RBAC_PATH: return path_matches(r->string, in);
	case MESH_RBAC_DESTINATION: return is_in(in->local, r->prefix);
	case MESH_RBAC_PORT:
		return in->local->port >= r->ports.start && in->local->port < r->ports.end;
	case MESH_RBAC_SERVER_NAME: return mesh_string_is_match(r->string, in->server_name);
	case MESH_RBAC_SOURCE: return is_in(in->source, r->prefix);
	case MESH_RBAC_REMOTE: return is_in(in->remote, r->prefix);
	case MESH_RBAC_PRINCIPAL:
		if (!in->principal.len)
			return false;
		return !r->has_string || mesh_string_is_match(r->string, in->principal);
	}
	return false;
}

const struct mesh_rbac_policy *rbac_find(const struct mesh_rbac_rules *r,
					 const struct rbac_input *in)
{
	for (uint32_t i = 0; i < r->n_policies; i++)
		if (is_match(&r->policies[i].permissions, in) &&
		    is_match(&r->policies[i].principals, in))
			return &r->policies[i];
	return NULL;
}

bool rbac_is_allowed(const struct mesh_rbac_rules *r, const struct rbac_input *in,
		     const struct mesh_rbac_policy **ret_policy)
{
	*ret_policy = r ? rbac_find(r, in) : NULL;
	if (!r)
		return true;
	return r->is_deny ? !*ret_policy : *ret_policy != NULL;
}

struct slice rbac_details(const struct mesh_rbac_policy *p, struct arena *a)
{
	struct slice s = arena_printf(a, "rbac_access_denied_matched_policy[%.*s]",
				      SLICE_ARG(p ? p->name : SLICE("none")));

	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == ' ' || (s.ptr[i] >= '\t' && s.ptr[i] <= '\r'))
			((char *)(uintptr_t)s.ptr)[i] = '_';
	return s;
}

/* ---- counting -------------------------------------------------------------------------------- */

/* Each prefix gets a dot behind it, as in Envoy. */
static const char *dot_after(struct slice s)
{
	return s.len && s.ptr[s.len - 1] != '.' ? "." : "";
}

static stat_id counter(struct slice prefix, struct slice own, const char *name)
{
	return stats_registerf(STAT_COUNTER, "%.*s%srbac.%.*s%s%s", SLICE_ARG(prefix),
			       dot_after(prefix), SLICE_ARG(own), dot_after(own), name);
}

void rbac_stats_register(struct rbac_stats *s, const struct mesh_rbac *conf, struct slice prefix)
{
	s->allowed = counter(prefix, conf->rules_prefix, "allowed");
	s->denied = counter(prefix, conf->rules_prefix, "denied");
	s->shadow_allowed = counter(prefix, conf->shadow_prefix, "shadow_allowed");
	s->shadow_denied = counter(prefix, conf->shadow_prefix, "shadow_denied");
}

bool rbac_enforce(const struct mesh_rbac *conf, const struct rbac_stats *s, struct stats_set *set,
		  const struct rbac_input *in, const struct mesh_rbac_policy **ret_policy)
{
	bool allowed;

	if (conf->shadow) {
		allowed = rbac_is_allowed(conf->shadow, in, ret_policy);
		stats_inc(set, allowed ? s->shadow_allowed : s->shadow_denied);
	}
	*ret_policy = NULL;
	if (!conf->rules)
		return true;
	allowed = rbac_is_allowed(conf->rules, in, ret_policy);
	stats_inc(set, allowed ? s->allowed : s->denied);
	return allowed;
}

/* ---- the filter ------------------------------------------------------------------------------ */

static void *shared_new(const struct mesh_filter *conf, const void *config,
			struct slice stat_prefix)
{
	struct rbac_stats *s = xcalloc(1, sizeof(*s));
	struct arena a = { 0 };

	(void)conf;
	rbac_stats_register(s, config, arena_printf(&a, "%.*s.", SLICE_ARG(stat_prefix)));
	arena_done(&a);
	return s;
}

static enum filter_verdict request(struct filter_ctx *ctx, struct l7_msg *m)
{
	const struct mesh_rbac_policy *policy;
	const struct l7_info *info = ctx->info;
	const struct rbac_input in = {
		.msg = m,
		.local = &info->downstream_local,
		.source = &info->downstream_direct,
		.remote = &info->downstream_remote,
		.principal = info->downstream_principal,
		.server_name = info->requested_server_name,
		.arena = ctx->arena,
	};

	/* A filter that stands in a chain only for its routes has nothing to ask. */
	if (!ctx->config || rbac_enforce(ctx->config, ctx->shared, ctx->stats, &in, &policy))
		return FILTER_NEXT;
	ctx->reply = (struct l7_reply){ .code = L7_REPLY_FORBIDDEN,
					.body = SLICE("RBAC: access denied"),
					.details = rbac_details(policy, ctx->arena) };
	return FILTER_REPLY;
}

const struct filter filter_rbac = {
	.kind = "rbac",
	.shared_new = shared_new,
	.shared_free = free,
	.request = request,
};
