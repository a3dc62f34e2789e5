/* SPDX-License-Identifier: Apache-2.0 */
/* Listener, chain, route, cluster, endpoints of a request that nobody sends. */
#include "proxy/explain.h"

#include "base/json.h"
#include "route/route.h"

static json_t *addr_text(const struct addr *a)
{
	char t[ADDR_TEXT_MAX];

	addr_format(a, t);
	return json_string(t);
}

static void set(json_t *o, const char *key, json_t *v)
{
	json_object_set_new_nocheck(o, key, v);
}

static void set_text(json_t *o, const char *key, struct slice s)
{
	if (s.len)
		set(o, key, slice_json(s));
}

/* ---- clusters -------------------------------------------------------------------------------- */

static const char *health_name(enum mesh_health h)
{
	static const char *const names[] = {
		[MESH_HEALTH_UNKNOWN] = "unknown",     [MESH_HEALTH_HEALTHY] = "healthy",
		[MESH_HEALTH_UNHEALTHY] = "unhealthy", [MESH_HEALTH_DRAINING] = "draining",
		[MESH_HEALTH_TIMEOUT] = "timeout",     [MESH_HEALTH_DEGRADED] = "degraded",
	};

	return names[h];
}

static json_t *endpoints(const struct mesh_view *v, uint32_t place)
{
	struct mesh_endpoints eps = mesh_view_endpoints(v, place);
	json_t *out = json_array();

	for (uint32_t i = 0; i < eps.n; i++) {
		const struct mesh_endpoint *e = &eps.v[i];
		json_t *o = json_object();

		set(o, "address", addr_text(&e->addr));
		set_text(o, "name", e->dns_name);
		set(o, "weight", json_integer(e->weight));
		set(o, "priority", json_integer(e->priority));
		set(o, "health", json_string(health_name(e->health)));
		json_array_append_new(out, o);
	}
	return out;
}

static const char *cluster_kind(enum mesh_cluster_kind k)
{
	static const char *const names[] = {
		[MESH_CLUSTER_STATIC] = "STATIC",
		[MESH_CLUSTER_STRICT_DNS] = "STRICT_DNS",
		[MESH_CLUSTER_LOGICAL_DNS] = "LOGICAL_DNS",
		[MESH_CLUSTER_EDS] = "EDS",
		[MESH_CLUSTER_ORIGINAL_DST] = "ORIGINAL_DST",
	};

	return names[k];
}

/* A cluster by name, with its endpoints; why not, when it is not there. */
static json_t *cluster(const struct mesh_view *v, struct slice name, uint32_t weight)
{
	int place = mesh_view_cluster_place(v, name);
	json_t *o = json_object();

	set_text(o, "name", name);
	if (weight)
		set(o, "weight", json_integer(weight));
	if (place < 0) {
		set(o, "missing", json_true());
		return o;
	}
	set(o, "type", json_string(cluster_kind(mesh_view_cluster_at(v, (uint32_t)place)->kind)));
	if (mesh_view_cluster_at(v, (uint32_t)place)->kind != MESH_CLUSTER_ORIGINAL_DST)
		set(o, "endpoints", endpoints(v, (uint32_t)place));
	return o;
}

/* One cluster, or all of a split. */
static void add_clusters(json_t *o, const struct mesh_view *v, struct slice name,
			 const struct mesh_weighted *w, uint32_t n)
{
	json_t *list = json_array();

	if (!n && name.len)
		json_array_append_new(list, cluster(v, name, 0));
	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(list, cluster(v, w[i].name, w[i].weight));
	set(o, "clusters", list);
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static json_t *filters(const struct mesh_filter *f, uint32_t n, const struct route_decision *d)
{
	json_t *out = json_array();

	for (uint32_t i = 0; i < n; i++) {
		const struct mesh_filter_override *ov =
			d && d->route ? route_override(d, f[i].name) : NULL;
		json_t *o = json_object();

		set_text(o, "name", f[i].name);
		set(o, "kind", json_string(f[i].kind));
		if (ov)
			set(o, "override",
			    json_string(ov->disabled ? "disabled here" : "settings of the route"));
		json_array_append_new(out, o);
	}
	return out;
}

static const char *path_kind(enum mesh_path_kind k)
{
	static const char *const names[] = {
		[MESH_PATH_ANY] = "any",
		[MESH_PATH_PREFIX] = "prefix",
		[MESH_PATH_EXACT] = "path",
		[MESH_PATH_REGEX] = "safe_regex",
		[MESH_PATH_SEPARATED] = "path_separated_prefix",
		[MESH_PATH_CONNECT] = "connect",
	};

	return names[k];
}

static void route_action(json_t *o, const struct mesh_view *v, const struct mesh_route *r,
			 const struct route_decision *d)
{
	switch (r->action) {
	case MESH_ROUTE_CLUSTER:
		add_clusters(o, v, d->cluster, r->weighted, r->n_weighted);
		if (r->timeout_ms || r->has_timeout)
			set(o, "timeout_ms", json_integer(r->timeout_ms));
		if (r->retry)
			set(o, "retries", json_integer(r->retry->num));
		break;
	case MESH_ROUTE_REDIRECT: set(o, "redirect", json_integer(r->redirect->code)); break;
	case MESH_ROUTE_DIRECT: set(o, "direct_response", json_integer(r->direct_status)); break;
	case MESH_ROUTE_NONE: break;
	}
}

static uint32_t place_of(const struct route_decision *d)
{
	return (uint32_t)(d->route - d->vhost->routes);
}

/* Fills @o and says in a few words how it ends. */
static const char *route(json_t *o, const struct mesh_view *v, const struct route_decision *d)
{
	const struct mesh_route *r = d->route;
	json_t *m;

	set_text(o, "table", d->table->name);
	if (!d->vhost)
		return "404: no virtual host has this host";
	set_text(o, "virtual_host", d->vhost->name);
	if (!r)
		return "404: no route of the virtual host matches";
	set_text(o, "route", r->name);
	set(o, "number", json_integer(place_of(d) + 1));
	set(o, "of", json_integer(d->vhost->n_routes));
	m = json_object();
	set(m, path_kind(r->path_kind), slice_json(r->path));
	if (r->n_headers)
		set(m, "headers", json_integer(r->n_headers));
	if (r->n_queries)
		set(m, "query_parameters", json_integer(r->n_queries));
	if (r->fraction != 1000000)
		set(m, "fraction_of_a_million", json_integer(r->fraction));
	set(o, "match", m);
	route_action(o, v, r, d);
	switch (r->action) {
	case MESH_ROUTE_REDIRECT: return "redirected";
	case MESH_ROUTE_DIRECT: return "answered by the proxy itself";
	case MESH_ROUTE_CLUSTER: return "goes to the cluster";
	case MESH_ROUTE_NONE: break;
	}
	return "404: the route has no action";
}

static void message(struct l7_msg *m, const struct explain_question *q, struct arena *a)
{
	const char *name;
	json_t *value;

	l7_msg_init(m, L7_REQUEST, a);
	m->scheme = SLICE("http");
	m->method = q->method;
	m->host = q->host;
	m->path = q->path;
	json_object_foreach((json_t *)q->headers, name, value)
		l7_props_add(&m->props, l7_key_find(slice_str(name)), slice_str(name),
			     slice_str(json_string_value(value) ? json_string_value(value) : ""));
}

static const struct mesh_route_table *table_of(const struct mesh_view *v,
					       const struct mesh_http_manager *h)
{
	const struct mesh_part *p;

	if (h->routes)
		return h->routes;
	p = mesh_view_part(v, MESH_PART_ROUTES, h->route_name);
	return p ? p->body : NULL;
}

static const char *http(json_t *out, const struct mesh_view *v, const struct mesh_http_manager *h,
			const struct explain_question *q)
{
	const struct mesh_route_table *t = table_of(v, h);
	struct route_decision d = { 0 };
	struct arena a = { 0 };
	struct l7_msg m;
	struct rng rng;
	json_t *o = json_object();
	const char *outcome;

	set_text(o, "stat_prefix", h->stat_prefix);
	if (!t) {
		set_text(o, "table", h->route_name);
		set(out, "http", o);
		return "404: the route table was not sent yet";
	}
	rng_init(&rng, 1);
	message(&m, q, &a);
	route_match(t, &m, &a, &rng, &d);
	outcome = route(o, v, &d);
	set(o, "filters", filters(h->filters, h->n_filters, &d));
	set(out, "http", o);
	arena_done(&a);
	return outcome;
}

/* ---- connections ----------------------------------------------------------------------------- */

static const char *tcp(json_t *out, const struct mesh_view *v, const struct mesh_tcp_proxy *p)
{
	json_t *o = json_object();

	set_text(o, "stat_prefix", p->stat_prefix);
	add_clusters(o, v, p->cluster, p->weighted, p->n_weighted);
	set(out, "tcp", o);
	return "relayed as bytes";
}

static const char *terminal(json_t *out, const struct mesh_view *v, const struct mesh_chain *c,
			    const struct explain_question *q)
{
	const struct mesh_net_filter *f = &c->filters[c->n_filters - 1];

	switch (f->kind) {
	case MESH_NET_HTTP: return http(out, v, f->http, q);
	case MESH_NET_TCP: return tcp(out, v, f->tcp);
	default: return "served by its network filter";
	}
}

static json_t *chain(const struct mesh_listener *l, const struct mesh_chain *c)
{
	json_t *o = json_object(), *names = json_array();

	set_text(o, "name", c->name);
	if (c == l->default_chain)
		set(o, "is_default", json_true());
	else
		set(o, "number", json_integer(c - l->chains + 1));
	for (uint32_t i = 0; i < c->n_filters; i++)
		json_array_append_new(names, slice_json(c->filters[i].name));
	set(o, "network_filters", names);
	return o;
}

static const char *why_listener(const struct mesh_listener *l, const struct addr *to)
{
	if (addr_is_equal(&l->addr, to))
		return "its address is the destination";
	if (l->use_original_dst)
		return "no other listener has the destination";
	return "any address, and the port";
}

json_t *explain_request(const struct mesh_view *v, const struct explain_question *q)
{
	const struct mesh_listener *l = mesh_view_listener(v, q->direction, &q->to);
	static const struct slice plain[] = { { "http/1.1", 8 } };
	struct mesh_chain_input in = {
		.local = q->to, .remote = q->from, .protocols = plain, .n_protocols = 1
	};
	json_t *out = json_object(), *o;
	const struct mesh_chain *c;
	const char *outcome;

	set(out, "destination", addr_text(&q->to));
	if (!l) {
		set(out, "outcome", json_string("left alone: no listener names the destination"));
		return out;
	}
	o = json_object();
	set_text(o, "name", l->name);
	set(o, "address", addr_text(&l->addr));
	set(o, "why", json_string(why_listener(l, &q->to)));
	set(out, "listener", o);
	c = mesh_chain_find(l, &in);
	if (!c) {
		set(out, "outcome", json_string("closed: no filter chain matches"));
		return out;
	}
	set(out, "filter_chain", chain(l, c));
	outcome = c->n_filters ? terminal(out, v, c, q) : "closed: the chain has no filters";
	set(out, "outcome", json_string(outcome));
	return out;
}
