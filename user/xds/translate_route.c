/* SPDX-License-Identifier: Apache-2.0 */
/* Route tables: virtual hosts, domains, what a route matches. */
#include "base/slice_set.h"
#include "envoy/extensions/path/match/uri_template/v3/uri_template_match.pb-c.h"
#include "xds/translate.h"

#define K_MATCH(x) K_ROUTE(ROUTE_MATCH__PATH_SPECIFIER_##x)
#define URI_MATCH Envoy__Extensions__Path__Match__UriTemplate__V3__UriTemplateMatchConfig
#define DIRECT_BODY_MAX 4096 /* bytes; max_direct_response_body_size_bytes by default */

/* ---- match ----------------------------------------------------------------------------------- */

static int template_match(struct translate *t, const PB_CORE(TypedExtensionConfig) * x,
			  struct mesh_route *r)
{
	struct slice pattern = { 0 };
	ProtobufCMessage *m = NULL;
	int rc = tr_any_of(t, x->typed_config,
			   D_EXT(path__match__uri_template__v3__uri_template_match_config),
			   "a path match", &m);

	if (rc < 0)
		return rc;
	/* The template stays in path, for the rewrite. */
	r->path_kind = MESH_PATH_REGEX;
	r->path = tr_str(t, ((const URI_MATCH *)m)->path_template);
	rc = tr_template_pattern(t, r->path, &pattern);
	return rc < 0 ? rc : tr_regex_text(t, pattern, &r->path_regex);
}

static int separated_prefix(struct translate *t, const char *s, struct mesh_route *r)
{
	size_t len = strlen(s);

	r->path_kind = MESH_PATH_SEPARATED;
	r->path = tr_str(t, s);
	if (!len || s[len - 1] == '/' || strpbrk(s, "?#"))
		return tr_fail(t,
			       "path_separated_prefix \"%s\" may not be empty, end in '/' or have "
			       "'?' or '#'",
			       s);
	return 0;
}

static int path_match(struct translate *t, const PB_ROUTE(RouteMatch) * m, struct mesh_route *r)
{
	switch (m->path_specifier_case) {
	case K_MATCH(PREFIX):
		r->path_kind = *m->prefix ? MESH_PATH_PREFIX : MESH_PATH_ANY;
		r->path = tr_str(t, m->prefix);
		return 0;
	case K_MATCH(PATH):
		r->path_kind = MESH_PATH_EXACT;
		r->path = tr_str(t, m->path);
		return 0;
	case K_MATCH(SAFE_REGEX):
		r->path_kind = MESH_PATH_REGEX;
		return tr_regex(t, "safe_regex", m->safe_regex, &r->path_regex);
	case K_MATCH(CONNECT_MATCHER): r->path_kind = MESH_PATH_CONNECT; return 0;
	case K_MATCH(PATH_SEPARATED_PREFIX):
		return separated_prefix(t, m->path_separated_prefix, r);
	case K_MATCH(PATH_MATCH_POLICY):
		TR_IN(t, "path_match_policy", template_match(t, m->path_match_policy, r));
		return 0;
	default:
		return tr_fail(t, "one of prefix, path, safe_regex, path_separated_prefix, "
				  "path_match_policy and connect_matcher is required");
	}
}

/* Conditions that are always or never true: nobody shows a certificate here, and no filter writes
 * dynamic metadata. */
static bool can_match(const PB_ROUTE(RouteMatch) * m)
{
	const PB_ROUTE(RouteMatch__TlsContextMatchOptions) *tls = m->tls_context;

	for (size_t i = 0; i < m->n_dynamic_metadata; i++)
		if (!m->dynamic_metadata[i]->invert)
			return false;
	return !tls || (!tr_bool(tls->presented, false) && !tr_bool(tls->validated, false));
}

static int cookie(struct translate *t, const PB_ROUTE(CookieMatcher) * m,
		  struct mesh_cookie_match *c)
{
	int rc = tr_nonempty(t, "name", m->name);

	c->name = tr_str(t, m->name);
	c->invert = m->invert_match;
	if (rc == 0)
		rc = tr_required(t, "string_match", m->string_match != NULL);
	if (rc == 0)
		TR_IN(t, "string_match", tr_string(t, m->string_match, &c->string));
	return rc;
}

static int cookies(struct translate *t, const PB_ROUTE(RouteMatch) * m, struct mesh_route *r)
{
	r->cookies = TR_ARRAY(t, struct mesh_cookie_match, m->n_cookies);
	r->n_cookies = (uint32_t)m->n_cookies;
	for (size_t i = 0; i < m->n_cookies; i++)
		TR_IN_AT(t, "cookies", i, cookie(t, m->cookies[i], &r->cookies[i]));
	return 0;
}

static int match(struct translate *t, const PB_ROUTE(RouteMatch) * m, struct mesh_route *r)
{
	int rc = path_match(t, m, r);

	r->ignore_case = !tr_bool(m->case_sensitive, true);
	r->grpc = m->grpc != NULL;
	if (rc == 0)
		rc = tr_runtime_percent(t, "runtime_fraction", m->runtime_fraction, 1000000,
					&r->fraction);
	if (rc == 0)
		rc = tr_header_matches(t, "headers", m->headers, m->n_headers, false, &r->headers,
				       &r->n_headers);
	if (rc == 0)
		rc = tr_query_matches(t, "query_parameters", m->query_parameters,
				      m->n_query_parameters, &r->queries, &r->n_queries);
	if (rc == 0)
		rc = cookies(t, m, r);
	if (!can_match(m))
		r->fraction = 0;
	return rc;
}

/* ---- routes ---------------------------------------------------------------------------------- */

struct table_ctx {
	bool validate;   /* routes may only name known clusters */
	size_t max_body; /* of direct responses */
};

static int cluster_known(struct translate *t, const struct table_ctx *x, struct slice name)
{
	if (!x->validate || slice_is_empty(name) || tr_cluster_exists(t, name))
		return 0;
	return tr_fail(t, "unknown cluster '%.*s'", SLICE_ARG(name));
}

static int clusters_known(struct translate *t, const struct table_ctx *x,
			  const struct mesh_route *r)
{
	int rc = cluster_known(t, x, r->cluster);

	for (uint32_t i = 0; rc == 0 && i < r->n_weighted; i++)
		rc = cluster_known(t, x, r->weighted[i].name);
	return rc;
}

static int action(struct translate *t, const PB_ROUTE(Route) * m, const struct table_ctx *x,
		  struct mesh_route *r)
{
	switch (m->action_case) {
	case K_ROUTE(ROUTE__ACTION_ROUTE):
		TR_IN(t, "route", tr_route_action(t, m->route, r));
		return clusters_known(t, x, r);
	case K_ROUTE(ROUTE__ACTION_REDIRECT):
		TR_IN(t, "redirect", tr_redirect(t, m->redirect, r));
		return 0;
	case K_ROUTE(ROUTE__ACTION_DIRECT_RESPONSE):
		TR_IN(t, "direct_response",
		      tr_direct_response(t, m->direct_response, x->max_body, r));
		return 0;
	case K_ROUTE(ROUTE__ACTION_NON_FORWARDING_ACTION): r->action = MESH_ROUTE_NONE; return 0;
	default:
		return tr_fail(t, "one of route, redirect, direct_response and "
				  "non_forwarding_action is required");
	}
}

static int route(struct translate *t, const PB_ROUTE(Route) * m, const struct table_ctx *x,
		 struct mesh_route *r)
{
	int rc;

	if (!m->match)
		return tr_fail(t, "match is required");
	*r = (struct mesh_route){ .name = tr_str(t, m->name), .no_cluster_status = 503 };
	TR_IN(t, "match", match(t, m->match, r));
	rc = TR_OVERRIDES(t, m, &r->overrides);
	if (rc == 0)
		rc = action(t, m, x, r);
	if (rc == 0)
		rc = TR_MUTATIONS(t, m, &r->mutations);
	if (rc == 0 && m->decorator) {
		r->decorator = tr_str(t, m->decorator->operation);
		rc = tr_nonempty(t, "decorator.operation", m->decorator->operation);
	}
	r->stat_prefix = tr_str(t, m->stat_prefix);
	tr_body_limit(m->request_body_buffer_limit, m->per_request_buffer_limit_bytes,
		      &r->body_limit);
	if (rc == 0 && m->metadata)
		TR_IN(t, "metadata", tr_metadata_values(t, m->metadata, &r->metadata));
	return rc;
}

/* ---- virtual hosts --------------------------------------------------------------------------- */

static int domains(struct translate *t, const PB_ROUTE(VirtualHost) * m, struct mesh_vhost *v)
{
	if (!m->n_domains)
		return tr_fail(t, "domains may not be empty");
	v->domains = tr_strs(t, m->domains, m->n_domains, true);
	v->n_domains = (uint32_t)m->n_domains;
	for (uint32_t i = 0; i < v->n_domains; i++) {
		struct slice d = v->domains[i];

		if (d.len && strpbrk(d.ptr, "\r\n"))
			return tr_fail(t, "domains[%u] has a line break", i);
	}
	return 0;
}

static int virtual_cluster(struct translate *t, const PB_ROUTE(VirtualCluster) * m,
			   struct mesh_virtual_cluster *c)
{
	int rc = tr_nonempty(t, "name", m->name);

	c->name = tr_str(t, m->name);
	return rc < 0 ? rc :
			tr_header_matches(t, "headers", m->headers, m->n_headers, false,
					  &c->headers, &c->n_headers);
}

static int virtual_clusters(struct translate *t, const PB_ROUTE(VirtualHost) * m,
			    struct mesh_vhost *v)
{
	v->virtual_clusters = TR_ARRAY(t, struct mesh_virtual_cluster, m->n_virtual_clusters);
	v->n_virtual_clusters = (uint32_t)m->n_virtual_clusters;
	for (size_t i = 0; i < m->n_virtual_clusters; i++)
		TR_IN_AT(t, "virtual_clusters", i,
			 virtual_cluster(t, m->virtual_clusters[i], &v->virtual_clusters[i]));
	return 0;
}

static int vhost_lists(struct translate *t, const PB_ROUTE(VirtualHost) * m,
		       const struct table_ctx *x, struct mesh_vhost *v)
{
	int rc;

	v->routes = TR_ARRAY(t, struct mesh_route, m->n_routes);
	v->n_routes = (uint32_t)m->n_routes;
	for (size_t i = 0; i < m->n_routes; i++)
		TR_IN_AT(t, "routes", i, route(t, m->routes[i], x, &v->routes[i]));
	rc = TR_MUTATIONS(t, m, &v->mutations);
	if (rc == 0)
		rc = virtual_clusters(t, m, v);
	if (rc == 0)
		rc = tr_mirrors(t, m->request_mirror_policies, m->n_request_mirror_policies,
				&v->mirrors, &v->n_mirrors);
	if (rc == 0)
		rc = TR_OVERRIDES(t, m, &v->overrides);
	if (rc == 0)
		rc = tr_cors_override(t, m->cors, &v->overrides);
	if (rc == 0)
		rc = tr_rate_limits(t, "rate_limits", m->rate_limits, m->n_rate_limits,
				    &v->rate_limits, &v->n_rate_limits);
	return rc;
}

static int vhost(struct translate *t, const PB_ROUTE(VirtualHost) * m, const struct table_ctx *x,
		 struct mesh_vhost *v)
{
	int rc = tr_nonempty(t, "name", m->name);

	if (rc < 0)
		return rc;
	v->name = tr_str(t, m->name);
	v->require_tls =
		m->require_tls == K_ROUTE(VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__ALL) ?
			MESH_TLS_ALL :
		m->require_tls == K_ROUTE(VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__EXTERNAL_ONLY) ?
			MESH_TLS_EXTERNAL_ONLY :
			MESH_TLS_NONE;
	v->include_attempt_count = m->include_request_attempt_count;
	v->include_attempt_count_in_response = m->include_attempt_count_in_response;
	tr_body_limit(m->request_body_buffer_limit, m->per_request_buffer_limit_bytes,
		      &v->body_limit);
	rc = domains(t, m, v);
	if (rc == 0 && m->metadata)
		TR_IN(t, "metadata", tr_metadata_values(t, m->metadata, &v->metadata));
	if (rc == 0 && m->retry_policy)
		TR_IN(t, "retry_policy", tr_retry(t, m->retry_policy, &v->retry));
	return rc < 0 ? rc : vhost_lists(t, m, x, v);
}

int tr_vhost_fill(struct translate *t, const PB_ROUTE(VirtualHost) * m, size_t max_body,
		  struct mesh_vhost *v)
{
	return vhost(t, m, &(struct table_ctx){ .max_body = max_body }, v);
}

/* A domain may stand in one virtual host only. */
static int domains_unique(struct translate *t, const struct mesh_route_table *r)
{
	struct slice_set seen;
	size_t n = 0;

	for (uint32_t i = 0; i < r->n_vhosts; i++)
		n += r->vhosts[i].n_domains;
	slice_set_init(&seen, t->pj.arena, n);
	for (uint32_t i = 0; i < r->n_vhosts; i++)
		for (uint32_t k = 0; k < r->vhosts[i].n_domains; k++)
			if (!slice_set_add(&seen, r->vhosts[i].domains[k]))
				return tr_fail(t,
					       "domain \"%.*s\" stands twice in the virtual hosts "
					       "of route configuration \"%.*s\"",
					       SLICE_ARG(r->vhosts[i].domains[k]),
					       SLICE_ARG(r->name));
	return 0;
}

static int vhosts(struct translate *t, const PB_ROUTE(RouteConfiguration) * m,
		  const struct table_ctx *x, struct mesh_route_table *r)
{
	if (t->hosts)
		return tr_hosts_take(t, x->max_body, r);
	r->vhosts = TR_ARRAY(t, struct mesh_vhost, m->n_virtual_hosts);
	r->n_vhosts = (uint32_t)m->n_virtual_hosts;
	for (size_t i = 0; i < m->n_virtual_hosts; i++)
		TR_IN_AT(t, "virtual_hosts", i, vhost(t, m->virtual_hosts[i], x, &r->vhosts[i]));
	return 0;
}

/* Virtual hosts that come on their own (VHDS). */
static int on_demand(struct translate *t, const PB_ROUTE(RouteConfiguration) * m,
		     struct mesh_route_table *r)
{
	if (!t->is_xds)
		return tr_files_refuse(t, &m->base, "vhds");
	if (t->part->kind != MESH_PART_ROUTES)
		return tr_unsupported(t, "vhds", "routes that are not a resource of their own");
	if (!tr_is_ads(m->vhds->config_source))
		return tr_unsupported(t, "vhds.config_source", "another source than ads");
	r->on_demand = true;
	tr_need(t, MESH_PART_VHOST, r->name, false);
	return 0;
}

int tr_vhost(struct translate *t, PB_ROUTE(VirtualHost) * m,
	     const struct mesh_route_table **ret_table)
{
	PB_ROUTE(RouteConfiguration)
	r = ENVOY__CONFIG__ROUTE__V3__ROUTE_CONFIGURATION__INIT;

	r.n_virtual_hosts = 1;
	r.virtual_hosts = &m;
	return tr_route_table(t, &r, false, ret_table);
}

int tr_route_table(struct translate *t, const PB_ROUTE(RouteConfiguration) * m,
		   bool validate_by_default, const struct mesh_route_table **ret_table)
{
	/* From a control plane clusters come on their own; one that is not there answers 503. */
	struct table_ctx x = {
		.validate = t->clusters && tr_bool(m->validate_clusters, validate_by_default),
		.max_body = tr_u32(m->max_direct_response_body_size_bytes, DIRECT_BODY_MAX)
	};
	struct mesh_route_table *r = arena_new(t->a, struct mesh_route_table);
	int rc;

	r->name = tr_str(t, m->name);
	r->ignore_path_parameters = m->ignore_path_parameters_in_path_matching;
	r->ignore_port_in_host = m->ignore_port_in_host_matching;
	r->most_specific_wins = m->most_specific_header_mutations_wins;
	r->internal_only = tr_strs(t, m->internal_only_headers, m->n_internal_only_headers, true);
	r->n_internal_only = (uint32_t)m->n_internal_only_headers;
	rc = m->vhds ? on_demand(t, m, r) : 0;
	if (rc == 0)
		rc = TR_MUTATIONS(t, m, &r->mutations);
	if (rc == 0)
		rc = TR_OVERRIDES(t, m, &r->overrides);
	if (rc == 0)
		rc = tr_mirrors(t, m->request_mirror_policies, m->n_request_mirror_policies,
				&r->mirrors, &r->n_mirrors);
	if (rc == 0)
		rc = vhosts(t, m, &x, r);
	if (rc < 0)
		return rc;
	*ret_table = r;
	return domains_unique(t, r);
}
