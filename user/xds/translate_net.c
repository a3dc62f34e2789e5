/* SPDX-License-Identifier: Apache-2.0 */
/* Network filters: tcp_proxy, dubbo_proxy, local rate limit, and their order in a chain. */
#include "envoy/extensions/filters/network/dubbo_proxy/v3/dubbo_proxy.pb-c.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h" /* style: generated name */
#include "envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.pb-c.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb-c.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb-c.h"
#include "xds/translate.h"

#define TCP_IDLE_TIMEOUT_MS 3600000
#define DUBBO_ROUTER "envoy.filters.dubbo.router"

/* ---- tcp_proxy ------------------------------------------------------------------------------- */

static int tcp_weighted(struct translate *t, const PB_TCP(TcpProxy__WeightedCluster) * m,
			struct mesh_tcp_proxy *p)
{
	uint64_t total = 0;

	if (!m->n_clusters)
		return tr_fail(t, "clusters may not be empty");
	p->weighted = TR_ARRAY(t, struct mesh_weighted, m->n_clusters);
	p->n_weighted = (uint32_t)m->n_clusters;
	for (size_t i = 0; i < m->n_clusters; i++) {
		TR_IN_AT(t, "clusters", i, tr_nonempty(t, "name", m->clusters[i]->name));
		if (!m->clusters[i]->weight)
			return tr_fail(t, "clusters[%zu].weight must be at least 1", i);
		p->weighted[i].name = tr_str(t, m->clusters[i]->name);
		tr_need(t, MESH_PART_CLUSTER, p->weighted[i].name, true);
		p->weighted[i].weight = m->clusters[i]->weight;
		total += m->clusters[i]->weight;
	}
	if (total > UINT32_MAX)
		return tr_fail(t, "the sum of the weights must be under 2^32");
	p->total_weight = (uint32_t)total;
	return 0;
}

static int tcp_cluster(struct translate *t, const PB_TCP(TcpProxy) * m, struct mesh_tcp_proxy *p)
{
	switch (m->cluster_specifier_case) {
	case K_TCP(TCP_PROXY__CLUSTER_SPECIFIER_CLUSTER):
		p->cluster = tr_str(t, m->cluster);
		tr_need(t, MESH_PART_CLUSTER, p->cluster, true);
		return tr_nonempty(t, "cluster", m->cluster);
	case K_TCP(TCP_PROXY__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS):
		TR_IN(t, "weighted_clusters", tcp_weighted(t, m->weighted_clusters, p));
		return 0;
	default: return tr_fail(t, "one of cluster and weighted_clusters is required");
	}
}

static int tcp_log_when(struct translate *t, const PB_TCP(TcpProxy) * m, struct mesh_log_when *w)
{
	const PB_TCP(TcpProxy__TcpAccessLogOptions) *o = m->access_log_options;

	if (o && (m->access_log_flush_interval || m->flush_access_log_on_connected))
		return tr_fail(t, "only access_log_options or the deprecated "
				  "access_log_flush_interval and flush_access_log_on_connected "
				  "may be set");
	w->on_connected = m->flush_access_log_on_connected;
	if (!o)
		return tr_log_interval(t, m->access_log_flush_interval, &w->interval_ms);
	w->on_connected = o->flush_access_log_on_connected;
	w->on_start = o->flush_access_log_on_start;
	TR_IN(t, "access_log_options",
	      tr_log_interval(t, o->access_log_flush_interval, &w->interval_ms));
	return 0;
}

static int tcp_proxy(struct translate *t, const ProtobufCMessage *msg, struct mesh_net_filter *f)
{
	const PB_TCP(TcpProxy) *m = (const PB_TCP(TcpProxy) *)msg;
	struct mesh_tcp_proxy *p = arena_new(t->a, struct mesh_tcp_proxy);
	int rc = tr_nonempty(t, "stat_prefix", m->stat_prefix);

	p->stat_prefix = tr_str(t, m->stat_prefix);
	p->max_connect_attempts = tr_u32(m->max_connect_attempts, 1);
	if (rc == 0 && !p->max_connect_attempts)
		return tr_fail(t, "max_connect_attempts must be at least 1");
	if (rc == 0)
		rc = tcp_cluster(t, m, p);
	if (rc == 0)
		rc = tr_ms(t, "idle_timeout", m->idle_timeout, TCP_IDLE_TIMEOUT_MS,
			   &p->idle_timeout_ms);
	if (rc == 0)
		rc = tr_ms(t, "max_downstream_connection_duration",
			   m->max_downstream_connection_duration, 0, &p->max_connection_ms);
	if (rc == 0)
		rc = tr_access_logs(t, "access_log", m->access_log, m->n_access_log, &p->logs,
				    &p->n_logs);
	if (rc == 0)
		rc = tcp_log_when(t, m, &p->log_when);
	if (rc == 0 && m->max_downstream_connection_duration && !p->max_connection_ms)
		return tr_fail(t, "max_downstream_connection_duration must be at least 0.001s");
	f->kind = MESH_NET_TCP;
	f->tcp = p;
	return rc;
}

/* ---- dubbo_proxy ----------------------------------------------------------------------------- */

/* Only name and weight of an entry count, as in Envoy. */
static int rpc_weighted(struct translate *t, const PB_ROUTE(WeightedCluster) * m,
			struct mesh_rpc_route *r)
{
	uint64_t total = 0;

	r->weighted = TR_ARRAY(t, struct mesh_weighted, m->n_clusters);
	r->n_weighted = (uint32_t)m->n_clusters;
	for (size_t i = 0; i < m->n_clusters; i++) {
		TR_IN_AT(t, "clusters", i, tr_nonempty(t, "name", m->clusters[i]->name));
		r->weighted[i].name = tr_str(t, m->clusters[i]->name);
		tr_need(t, MESH_PART_CLUSTER, r->weighted[i].name, true);
		r->weighted[i].weight = tr_u32(m->clusters[i]->weight, 0);
		total += r->weighted[i].weight;
	}
	if (total == 0 || total > UINT32_MAX)
		return tr_fail(t, "the sum of the weights must be over 0 and under 2^32");
	r->total_weight = (uint32_t)total;
	return 0;
}

static int rpc_cluster(struct translate *t, const PB_DUBBO(RouteAction) * m,
		       struct mesh_rpc_route *r)
{
	switch (m->cluster_specifier_case) {
	case K_DUBBO(ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER):
		r->cluster = tr_str(t, m->cluster);
		tr_need(t, MESH_PART_CLUSTER, r->cluster, true);
		return tr_nonempty(t, "cluster", m->cluster);
	case K_DUBBO(ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS):
		TR_IN(t, "weighted_clusters", rpc_weighted(t, m->weighted_clusters, r));
		return 0;
	default: return tr_fail(t, "one of cluster and weighted_clusters is required");
	}
}

static int rpc_match(struct translate *t, const PB_DUBBO(RouteMatch) * m, struct mesh_rpc_route *r)
{
	r->has_method = m->method && m->method->name;
	if (r->has_method)
		TR_IN(t, "method.name", tr_string(t, m->method->name, &r->method));
	/* Attachments keep the case of their names. */
	return tr_header_matches(t, "headers", m->headers, m->n_headers, true, &r->headers,
				 &r->n_headers);
}

static int rpc_route(struct translate *t, const PB_DUBBO(Route) * m, struct mesh_rpc_route *r)
{
	if (!m->match)
		return tr_fail(t, "match is required");
	if (!m->route)
		return tr_fail(t, "route is required");
	TR_IN(t, "match", rpc_match(t, m->match, r));
	TR_IN(t, "route", rpc_cluster(t, m->route, r));
	return 0;
}

static int rpc_table(struct translate *t, const PB_DUBBO(RouteConfiguration) * m,
		     struct mesh_rpc_table *r)
{
	r->name = tr_str(t, m->name);
	r->interface = tr_str(t, m->interface);
	r->group = tr_str(t, m->group);
	r->version = tr_str(t, m->version);
	r->routes = TR_ARRAY(t, struct mesh_rpc_route, m->n_routes);
	r->n_routes = (uint32_t)m->n_routes;
	for (size_t i = 0; i < m->n_routes; i++)
		TR_IN_AT(t, "routes", i, rpc_route(t, m->routes[i], &r->routes[i]));
	return 0;
}

static int rpc_tables(struct translate *t, PB_DUBBO(RouteConfiguration) * *v, size_t n,
		      struct mesh_rpc_tables *ret_r)
{
	ret_r->v = TR_ARRAY(t, struct mesh_rpc_table, n);
	ret_r->n = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, "route_config", i, rpc_table(t, v[i], &ret_r->v[i]));
	return 0;
}

int tr_rpc_tables(struct translate *t, const PB_DUBBO(MultipleRouteConfiguration) * m,
		  struct mesh_rpc_tables *ret_r)
{
	return rpc_tables(t, m->route_config, m->n_route_config, ret_r);
}

static int drds(struct translate *t, const PB_DUBBO(DubboProxy) * m, struct mesh_rpc_proxy *p)
{
	if (!t->is_xds)
		return tr_files_refuse(t, &m->base, "drds");
	xds_path_push(&t->pj.path, "drds");
	if (tr_nonempty(t, "route_config_name", m->drds->route_config_name) < 0)
		return -EINVAL;
	if (!tr_is_ads(m->drds->config_source))
		return tr_unsupported(t, "config_source", "another source than ads");
	p->route_name = tr_str(t, m->drds->route_config_name);
	tr_need(t, MESH_PART_RPC_ROUTES, p->route_name, false);
	return 0;
}

static int rpc_routes(struct translate *t, const PB_DUBBO(DubboProxy) * m, struct mesh_rpc_proxy *p)
{
	const PB_DUBBO(MultipleRouteConfiguration) *many = NULL;
	struct mesh_rpc_tables r = { NULL, 0 };
	size_t mark = t->pj.path.len;

	if (m->route_specifier_case == K_DUBBO(DUBBO_PROXY__ROUTE_SPECIFIER_DRDS)) {
		int rc = drds(t, m, p);

		if (rc == 0)
			xds_path_pop(&t->pj.path, mark);
		return rc;
	}
	if (m->route_specifier_case == K_DUBBO(DUBBO_PROXY__ROUTE_SPECIFIER_MULTIPLE_ROUTE_CONFIG))
		many = m->multiple_route_config;
	if (many && m->n_route_config)
		return tr_fail(t, "only one of route_config and multiple_route_config may be set");
	if (many)
		TR_IN(t, "multiple_route_config", tr_rpc_tables(t, many, &r));
	else if (rpc_tables(t, m->route_config, m->n_route_config, &r) < 0)
		return -EINVAL;
	p->tables = r.v;
	p->n_tables = r.n;
	return 0;
}

/* The router may be named without settings, and is added when nothing is named. */
static int rpc_filters(struct translate *t, const PB_DUBBO(DubboProxy) * m,
		       struct mesh_rpc_proxy *p)
{
	const ProtobufCMessage *router = NULL;

	p->filters = TR_ARRAY(t, struct mesh_filter, m->n_dubbo_filters + 1);
	for (size_t i = 0; i < m->n_dubbo_filters; i++) {
		const PB_DUBBO(DubboFilter) *f = m->dubbo_filters[i];
		struct mesh_filter *out = &p->filters[p->n_filters++];

		if (!f->config && strcmp(f->name, DUBBO_ROUTER) == 0)
			*out = (struct mesh_filter){ .name = tr_str(t, f->name), .kind = "router" };
		else
			TR_IN_AT(t, "dubbo_filters", i,
				 tr_filter(t, f->name, f->config, false, false, out, &router));
	}
	if (!p->n_filters)
		p->filters[p->n_filters++] =
			(struct mesh_filter){ .name = SLICE(DUBBO_ROUTER), .kind = "router" };
	return tr_filter_order(t, "dubbo_filters", p->filters, p->n_filters);
}

static int dubbo_proxy(struct translate *t, const ProtobufCMessage *msg, struct mesh_net_filter *f)
{
	const PB_DUBBO(DubboProxy) *m = (const PB_DUBBO(DubboProxy) *)msg;
	struct mesh_rpc_proxy *p = arena_new(t->a, struct mesh_rpc_proxy);
	int rc = tr_nonempty(t, "stat_prefix", m->stat_prefix);

	p->codec = "dubbo";
	p->stat_prefix = tr_str(t, m->stat_prefix);
	if (rc == 0)
		rc = rpc_routes(t, m, p);
	if (rc == 0)
		rc = rpc_filters(t, m, p);
	f->kind = MESH_NET_RPC;
	f->rpc = p;
	return rc;
}

/* ---- local rate limit of connections --------------------------------------------------------- */

/* 1: switched off, left out. */
static int net_ratelimit(struct translate *t, const ProtobufCMessage *msg,
			 struct mesh_net_filter *f)
{
	const PB_NETLIMIT(LocalRateLimit) *m = (const PB_NETLIMIT(LocalRateLimit) *)msg;
	struct mesh_net_ratelimit *l = arena_new(t->a, struct mesh_net_ratelimit);
	int rc = tr_nonempty(t, "stat_prefix", m->stat_prefix);

	if (rc < 0)
		return rc;
	if (!m->token_bucket)
		return tr_fail(t, "token_bucket is required");
	l->stat_prefix = tr_str(t, m->stat_prefix);
	TR_IN(t, "token_bucket", tr_token_bucket(t, m->token_bucket, &l->bucket));
	f->kind = MESH_NET_RATELIMIT;
	f->ratelimit = l;
	return m->runtime_enabled &&
	       !tr_runtime_bool(t, m->runtime_enabled->runtime_key,
				tr_bool(m->runtime_enabled->default_value, true));
}

/* ---- the chain's filters --------------------------------------------------------------------- */

static int http(struct translate *t, const ProtobufCMessage *m, struct mesh_net_filter *f)
{
	f->kind = MESH_NET_HTTP;
	return tr_http_manager(t, m, &f->http);
}

static const struct {
	const ProtobufCMessageDescriptor *type;
	int (*read)(struct translate *t, const ProtobufCMessage *m, struct mesh_net_filter *f);
} net_kinds[] = {
	{ D_EXT(filters__network__http_connection_manager__v3__http_connection_manager), http },
	{ D_EXT(filters__network__tcp_proxy__v3__tcp_proxy), tcp_proxy },
	{ D_EXT(filters__network__dubbo_proxy__v3__dubbo_proxy), dubbo_proxy },
	{ D_EXT(filters__network__local_ratelimit__v3__local_rate_limit), net_ratelimit },
	{ D_EXT(filters__network__rbac__v3__rbac), tr_net_rbac },
};

/* 1: left out. */
static int net_filter(struct translate *t, const PB_LISTENER(Filter) * m, struct mesh_net_filter *f)
{
	size_t mark = t->pj.path.len;
	ProtobufCMessage *c = NULL;
	int rc = tr_nonempty(t, "name", m->name);

	if (rc < 0)
		return rc;
	if (m->config_type_case == K_LISTENER(FILTER__CONFIG_TYPE_CONFIG_DISCOVERY))
		return tr_files_refuse(t, &m->base, "config_discovery");
	if (!m->typed_config)
		return tr_fail(t, "typed_config is required for filter \"%s\"", m->name);
	if (tr_is_nothing(t, m->typed_config))
		return 1;
	*f = (struct mesh_net_filter){ .name = tr_str(t, m->name) };
	xds_path_push(&t->pj.path, "typed_config");
	rc = tr_any(t, m->typed_config, &c);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(net_kinds); i++) {
		if (net_kinds[i].type != c->descriptor)
			continue;
		rc = net_kinds[i].read(t, c, f);
		if (rc >= 0)
			xds_path_pop(&t->pj.path, mark);
		return rc;
	}
	return tr_fail(t,
		       "network filter \"%s\" of type \"%s\" is not supported yet by this version",
		       m->name, protojson_any_type(&t->pj, &m->typed_config->base));
}

static bool net_is_terminal(const struct mesh_net_filter *f)
{
	return f->kind != MESH_NET_RATELIMIT && f->kind != MESH_NET_RBAC;
}

int tr_net_filters(struct translate *t, PB_LISTENER(Filter) * *v, size_t n, struct mesh_chain *c)
{
	c->filters = TR_ARRAY(t, struct mesh_net_filter, n);
	for (size_t i = 0; i < n; i++) {
		size_t mark = xds_path_push_at(&t->pj.path, "filters", i);
		int rc = net_filter(t, v[i], &c->filters[c->n_filters]);

		if (rc < 0)
			return rc;
		if (rc == 0)
			c->n_filters++;
		xds_path_pop(&t->pj.path, mark);
	}
	for (uint32_t i = 0; i < c->n_filters; i++) {
		bool last = i + 1 == c->n_filters;

		if (net_is_terminal(&c->filters[i]) && !last)
			return tr_fail(t,
				       "filters[%u] \"%.*s\" ends the chain and must be the last",
				       i, SLICE_ARG(c->filters[i].name));
		if (!net_is_terminal(&c->filters[i]) && last)
			return tr_fail(t,
				       "filters: the last one must end the chain (HTTP connection "
				       "manager, tcp_proxy, dubbo_proxy), \"%.*s\" does not",
				       SLICE_ARG(c->filters[i].name));
	}
	return 0;
}
