/* SPDX-License-Identifier: Apache-2.0 */
/* What a route does: clusters, rewrites, time-outs, redirects, direct responses. */
#include "envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite.pb-c.h"
#include "xds/translate.h"

#define K_ACTION(x) K_ROUTE(ROUTE_ACTION__##x)
#define K_REDIRECT(x) K_ROUTE(REDIRECT_ACTION__##x)
#define ROUTE_TIMEOUT_MS 15000

bool tr_cluster_exists(const struct translate *t, struct slice name)
{
	char *key = slice_dup(name);
	bool found = json_object_get(t->clusters, key) != NULL;

	free(key);
	return found;
}

static int weight_entry(struct translate *t, const PB_ROUTE(WeightedCluster__ClusterWeight) * m,
			struct mesh_weighted *w)
{
	int rc;

	if (!*m->name == !*m->cluster_header)
		return tr_fail(t, "one of name and cluster_header is required, and only one");
	w->name = tr_str(t, m->name);
	tr_need(t, MESH_PART_CLUSTER, w->name, true);
	w->header = tr_lower(t, m->cluster_header);
	w->weight = tr_u32(m->weight, 0);
	rc = tr_line(t, "host_rewrite_literal", m->host_rewrite_literal, &w->host_rewrite);
	if (rc < 0)
		return rc;
	rc = TR_MUTATIONS(t, m, &w->mutations);
	return rc < 0 ? rc : TR_OVERRIDES(t, m, &w->overrides);
}

static int weighted(struct translate *t, const PB_ROUTE(WeightedCluster) * m, struct mesh_route *r)
{
	uint64_t total = 0;

	if (!m->n_clusters)
		return tr_fail(t, "clusters may not be empty");
	r->weighted = TR_ARRAY(t, struct mesh_weighted, m->n_clusters);
	r->n_weighted = (uint32_t)m->n_clusters;
	for (size_t i = 0; i < m->n_clusters; i++) {
		TR_IN_AT(t, "clusters", i, weight_entry(t, m->clusters[i], &r->weighted[i]));
		total += r->weighted[i].weight;
	}
	if (total == 0 || total > UINT32_MAX)
		return tr_fail(t,
			       "the sum of the weights is %llu; it must be over 0 and under 2^32",
			       (unsigned long long)total);
	r->total_weight = (uint32_t)total;
	if (m->random_value_specifier_case ==
	    K_ROUTE(WEIGHTED_CLUSTER__RANDOM_VALUE_SPECIFIER_HEADER_NAME))
		r->weighted_header = tr_lower(t, m->header_name);
	return 0;
}

static int cluster_spec(struct translate *t, const PB_ROUTE(RouteAction) * m, struct mesh_route *r)
{
	switch (m->cluster_specifier_case) {
	case K_ACTION(CLUSTER_SPECIFIER_CLUSTER):
		r->cluster = tr_str(t, m->cluster);
		tr_need(t, MESH_PART_CLUSTER, r->cluster, true);
		return tr_nonempty(t, "cluster", m->cluster);
	case K_ACTION(CLUSTER_SPECIFIER_CLUSTER_HEADER):
		r->cluster_header = tr_lower(t, m->cluster_header);
		return tr_nonempty(t, "cluster_header", m->cluster_header);
	case K_ACTION(CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS):
		TR_IN(t, "weighted_clusters", weighted(t, m->weighted_clusters, r));
		return 0;
	default:
		return tr_fail(t,
			       "one of cluster, cluster_header and weighted_clusters is required");
	}
}

/* ---- rewrites -------------------------------------------------------------------------------- */

static int host_rewrite(struct translate *t, const PB_ROUTE(RouteAction) * m, struct mesh_route *r)
{
	switch (m->host_rewrite_specifier_case) {
	case K_ACTION(HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL):
		r->host_rewrite = MESH_HOST_LITERAL;
		return tr_line(t, "host_rewrite_literal", m->host_rewrite_literal,
			       &r->host_literal);
	case K_ACTION(HOST_REWRITE_SPECIFIER_AUTO_HOST_REWRITE):
		r->host_rewrite = tr_bool(m->auto_host_rewrite, false) ? MESH_HOST_AUTO :
									 MESH_HOST_KEEP;
		return 0;
	case K_ACTION(HOST_REWRITE_SPECIFIER_HOST_REWRITE_HEADER):
		r->host_rewrite = MESH_HOST_HEADER;
		r->host_literal = tr_lower(t, m->host_rewrite_header);
		return 0;
	case K_ACTION(HOST_REWRITE_SPECIFIER_HOST_REWRITE_PATH_REGEX):
		r->host_rewrite = MESH_HOST_PATH_REGEX;
		TR_IN(t, "host_rewrite_path_regex",
		      tr_regex_subst(t, m->host_rewrite_path_regex, &r->host_regex,
				     &r->host_literal));
		return 0;
	case K_ACTION(HOST_REWRITE_SPECIFIER_HOST_REWRITE):
		r->host_rewrite = MESH_HOST_FORMAT;
		TR_IN(t, "host_rewrite", tr_format(t, slice_str(m->host_rewrite), &r->host_format));
		return 0;
	default: return 0;
	}
}

#define URI_REWRITE Envoy__Extensions__Path__Rewrite__UriTemplate__V3__UriTemplateRewriteConfig

/* The match's template was kept in r->path. */
static int template_rewrite(struct translate *t, const PB_CORE(TypedExtensionConfig) * x,
			    struct mesh_route *r)
{
	ProtobufCMessage *m = NULL;
	int rc = tr_any_of(t, x->typed_config,
			   D_EXT(path__rewrite__uri_template__v3__uri_template_rewrite_config),
			   "a path rewrite", &m);

	if (rc < 0)
		return rc;
	if (r->path_kind != MESH_PATH_REGEX || slice_is_empty(r->path))
		return tr_fail(t, "a template rewrite needs a template in match.path_match_policy");
	r->rewrite = MESH_PATH_REWRITE_REGEX;
	r->rewrite_regex = r->path_regex;
	return tr_template_rewrite(t, r->path,
				   slice_str(((const URI_REWRITE *)m)->path_template_rewrite),
				   &r->prefix_rewrite);
}

static int path_rewrite(struct translate *t, const PB_ROUTE(RouteAction) * m, struct mesh_route *r)
{
	if ((*m->prefix_rewrite != 0) + (m->regex_rewrite != NULL) +
		    (m->path_rewrite_policy != NULL) + (*m->path_rewrite != 0) >
	    1)
		return tr_fail(t, "only one of prefix_rewrite, regex_rewrite, path_rewrite and "
				  "path_rewrite_policy may be set");
	if (*m->path_rewrite) {
		r->rewrite = MESH_PATH_REWRITE_FORMAT;
		TR_IN(t, "path_rewrite",
		      tr_format(t, slice_str(m->path_rewrite), &r->rewrite_format));
	}
	if (*m->prefix_rewrite) {
		r->rewrite = MESH_PATH_REWRITE_PREFIX;
		if (tr_line(t, "prefix_rewrite", m->prefix_rewrite, &r->prefix_rewrite) < 0)
			return -EINVAL;
	}
	if (m->regex_rewrite) {
		r->rewrite = MESH_PATH_REWRITE_REGEX;
		TR_IN(t, "regex_rewrite",
		      tr_regex_subst(t, m->regex_rewrite, &r->rewrite_regex, &r->prefix_rewrite));
	}
	if (m->path_rewrite_policy)
		TR_IN(t, "path_rewrite_policy", template_rewrite(t, m->path_rewrite_policy, r));
	return 0;
}

/* ---- the action ------------------------------------------------------------------------------ */

static int timeouts(struct translate *t, const PB_ROUTE(RouteAction) * m, struct mesh_route *r)
{
	const PB_ROUTE(RouteAction__MaxStreamDuration) *d = m->max_stream_duration;
	int rc = tr_ms(t, "timeout", m->timeout, ROUTE_TIMEOUT_MS, &r->timeout_ms);

	r->has_timeout = m->timeout != NULL;
	if (rc == 0)
		rc = tr_ms(t, "idle_timeout", m->idle_timeout, 0, &r->idle_timeout_ms);
	r->has_idle_timeout = m->idle_timeout != NULL;
	r->grpc_is_stream = d && d->grpc_timeout_header_max;
	r->has_max_grpc_timeout = m->max_grpc_timeout || r->grpc_is_stream;
	if (rc == 0)
		rc = r->grpc_is_stream ?
			     tr_ms(t, "max_stream_duration.grpc_timeout_header_max",
				   d->grpc_timeout_header_max, 0, &r->max_grpc_ms) :
			     tr_ms(t, "max_grpc_timeout", m->max_grpc_timeout, 0, &r->max_grpc_ms);
	if (rc == 0)
		rc = r->grpc_is_stream ?
			     tr_ms(t, "max_stream_duration.grpc_timeout_header_offset",
				   d->grpc_timeout_header_offset, 0, &r->grpc_offset_ms) :
			     tr_ms(t, "grpc_timeout_offset", m->grpc_timeout_offset, 0,
				   &r->grpc_offset_ms);
	if (rc == 0 && d)
		rc = tr_ms(t, "max_stream_duration.max_stream_duration", d->max_stream_duration, 0,
			   &r->max_stream_ms);
	r->has_max_stream = d && d->max_stream_duration;
	return rc;
}

static uint32_t not_found_status(int code)
{
	static const uint32_t status[] = { 503, 404, 500 };

	return code >= 0 && (size_t)code < ARRAY_LEN(status) ? status[code] : 503;
}

static int action_lists(struct translate *t, const PB_ROUTE(RouteAction) * m, struct mesh_route *r)
{
	r->upgrades = TR_ARRAY(t, struct mesh_upgrade, m->n_upgrade_configs);
	r->n_upgrades = (uint32_t)m->n_upgrade_configs;
	for (size_t i = 0; i < m->n_upgrade_configs; i++)
		TR_IN_AT(t, "upgrade_configs", i,
			 tr_upgrade(t, m->upgrade_configs[i]->upgrade_type,
				    m->upgrade_configs[i]->enabled, &r->upgrades[i]));
	if (tr_upgrades_unique(t, r->upgrades, r->n_upgrades) < 0)
		return -EINVAL;
	r->include_vh_rate_limits = tr_bool(m->include_vh_rate_limits, false);
	return tr_rate_limits(t, "rate_limits", m->rate_limits, m->n_rate_limits, &r->rate_limits,
			      &r->n_rate_limits);
}

int tr_route_action(struct translate *t, const PB_ROUTE(RouteAction) * m, struct mesh_route *r)
{
	int rc;

	r->action = MESH_ROUTE_CLUSTER;
	r->no_cluster_status = not_found_status(m->cluster_not_found_response_code);
	r->append_x_forwarded_host = m->append_x_forwarded_host;
	rc = cluster_spec(t, m, r);
	if (rc == 0)
		rc = path_rewrite(t, m, r);
	if (rc == 0)
		rc = host_rewrite(t, m, r);
	if (rc == 0)
		rc = timeouts(t, m, r);
	if (rc == 0)
		rc = action_lists(t, m, r);
	if (rc < 0)
		return rc;
	if (m->retry_policy)
		TR_IN(t, "retry_policy", tr_retry(t, m->retry_policy, &r->retry));
	if (m->internal_redirect_policy)
		TR_IN(t, "internal_redirect_policy",
		      tr_internal_redirect(t, m->internal_redirect_policy, &r->internal_redirect));
	rc = tr_mirrors(t, m->request_mirror_policies, m->n_request_mirror_policies, &r->mirrors,
			&r->n_mirrors);
	if (rc == 0)
		rc = tr_hashes(t, m, r);
	if (rc < 0)
		return rc;
	return tr_cors_override(t, m->cors, &r->overrides);
}

/* ---- redirects and direct responses ---------------------------------------------------------- */

static int redirect_path(struct translate *t, const PB_ROUTE(RedirectAction) * m,
			 struct mesh_redirect *r)
{
	switch (m->path_rewrite_specifier_case) {
	case K_REDIRECT(PATH_REWRITE_SPECIFIER_PATH_REDIRECT):
		r->path_kind = *m->path_redirect ? MESH_REDIRECT_PATH_REPLACE :
						   MESH_REDIRECT_PATH_KEEP;
		return tr_line(t, "path_redirect", m->path_redirect, &r->path);
	case K_REDIRECT(PATH_REWRITE_SPECIFIER_PREFIX_REWRITE):
		r->path_kind = MESH_REDIRECT_PATH_PREFIX;
		return tr_line(t, "prefix_rewrite", m->prefix_rewrite, &r->path);
	case K_REDIRECT(PATH_REWRITE_SPECIFIER_REGEX_REWRITE):
		r->path_kind = MESH_REDIRECT_PATH_REGEX;
		TR_IN(t, "regex_rewrite", tr_regex_subst(t, m->regex_rewrite, &r->regex, &r->path));
		return 0;
	case K_REDIRECT(PATH_REWRITE_SPECIFIER_PATH_REWRITE):
		r->path_kind = MESH_REDIRECT_PATH_FORMAT;
		TR_IN(t, "path_rewrite", tr_format(t, slice_str(m->path_rewrite), &r->format));
		return 0;
	default: return 0;
	}
}

int tr_redirect(struct translate *t, const PB_ROUTE(RedirectAction) * m, struct mesh_route *route)
{
	static const uint32_t codes[] = { 301, 302, 303, 307, 308 };
	struct mesh_redirect *r = arena_new(t->a, struct mesh_redirect);

	if (m->response_code < 0 || (size_t)m->response_code >= ARRAY_LEN(codes))
		return tr_fail(t, "response_code %d is not known", (int)m->response_code);
	r->code = codes[m->response_code];
	if (tr_line(t, "host_redirect", m->host_redirect, &r->host) < 0)
		return -EINVAL;
	r->port = m->port_redirect;
	r->strip_query = m->strip_query;
	if (m->scheme_rewrite_specifier_case == K_REDIRECT(SCHEME_REWRITE_SPECIFIER_HTTPS_REDIRECT))
		r->https = m->https_redirect;
	else if (m->scheme_rewrite_specifier_case ==
		 K_REDIRECT(SCHEME_REWRITE_SPECIFIER_SCHEME_REDIRECT))
		if (tr_line(t, "scheme_redirect", m->scheme_redirect, &r->scheme) < 0)
			return -EINVAL;
	route->action = MESH_ROUTE_REDIRECT;
	route->redirect = r;
	return redirect_path(t, m, r);
}

int tr_direct_response(struct translate *t, const PB_ROUTE(DirectResponseAction) * m,
		       size_t max_body, struct mesh_route *r)
{
	if (m->status < 200 || m->status >= 600)
		return tr_fail(t, "status %u is not between 200 and 599", m->status);
	r->action = MESH_ROUTE_DIRECT;
	r->direct_status = m->status;
	if (m->body)
		TR_IN(t, "body", tr_data_source(t, m->body, max_body, &r->direct_body));
	if (m->body_format)
		TR_IN(t, "body_format", tr_body_format(t, m->body_format, &r->direct_format));
	return 0;
}
