/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: resources of a control plane, from the bytes to the part that is served. The first
 * byte says the kind (clusters, endpoints, listeners, routes, RPC routes, filters, secrets).
 * Whatever the bytes are: refused with a reason, or a part that can be used and is the same again.
 */
#include "filter/rbac.h"
#include "route/route.h"
#include "xds/compile.h"
#include "xds/store.h"

static void use_rbac(const struct mesh_rbac *r)
{
	const struct mesh_rbac_policy *policy;
	struct arena a = { 0 };
	struct addr any = { 0 };
	struct rbac_input in = { .local = &any, .source = &any, .remote = &any, .arena = &a };

	rbac_is_allowed(r->rules, &in, &policy);
	rbac_is_allowed(r->shadow, &in, &policy);
	arena_done(&a);
}

/* A request for each virtual host and route, as near to them as it can be without much ado. */
static void ask(const struct mesh_route_table *t, struct slice host, struct slice path)
{
	struct arena a = { 0 };
	struct l7_info in = { 0 };
	struct route_decision d = { 0 };
	struct l7_msg m;
	struct rng rng;

	rng_init(&rng, 1);
	l7_msg_init(&m, L7_REQUEST, &a);
	m.scheme = SLICE("http");
	m.method = SLICE("GET");
	m.host = host;
	m.path = path;
	in.request = &m;
	route_match(t, &m, &a, &rng, &d);
	must(!d.route || d.vhost);
	if (d.route && d.route->action == MESH_ROUTE_REDIRECT)
		route_redirect_location(d.route->redirect, d.route, &m, m.scheme, &in, &a);
	if (d.route && d.route->action == MESH_ROUTE_CLUSTER)
		route_request_finalize(&d, &m, &in, &a, true);
	if (d.vhost)
		route_virtual_cluster(d.vhost, &m, &a);
	arena_done(&a);
}

static void use_routes(struct mesh_route_table *t)
{
	struct arena a = { 0 };
	struct err e;

	/* What the compiler takes the search takes, too: else the whole pod would be refused. */
	must(route_table_index(t, &a, &e) == 0);
	for (uint32_t i = 0; i < t->n_vhosts; i++) {
		const struct mesh_vhost *v = &t->vhosts[i];
		struct slice host = v->n_domains ? v->domains[0] : SLICE_NONE;

		ask(t, host, SLICE("/"));
		for (uint32_t k = 0; k < v->n_routes; k++)
			ask(t, host, v->routes[k].path);
	}
	t->index = NULL;
	arena_done(&a);
}

static void use_listener(const struct mesh_listener *l)
{
	static const struct slice http = { "http/1.1", 8 };
	struct mesh_chain_input in = { .protocols = &http, .n_protocols = 1 };
	const struct mesh_chain *c;

	in.local.port = 8080;
	mesh_listener_sniffs_http(l, in.local.port);
	mesh_listener_sniffs_tls(l, in.local.port);
	c = mesh_chain_find(l, &in);
	for (uint32_t i = 0; c && i < c->n_filters; i++)
		if (c->filters[i].kind == MESH_NET_RBAC)
			use_rbac(c->filters[i].rbac);
		else if (c->filters[i].kind == MESH_NET_HTTP && c->filters[i].http->routes)
			use_routes(
				(struct mesh_route_table *)(uintptr_t)c->filters[i].http->routes);
}

static void use(const struct mesh_part *p)
{
	static const struct mesh_endpoint nothing;
	struct mesh_endpoints e;
	struct arena a = { 0 };

	must(p->name.len && p->body);
	for (uint32_t i = 0; i < p->n_refs; i++)
		must(p->refs[i].name.len && p->refs[i].kind < MESH_PART_KINDS);
	if (p->kind == MESH_PART_CLUSTER)
		must(mesh_cluster_socket(mesh_part_cluster(p), &nothing));
	if (p->kind == MESH_PART_LISTENER)
		use_listener(mesh_part_listener(p));
	if (p->kind == MESH_PART_ROUTES)
		use_routes(p->body);
	if (p->kind == MESH_PART_ENDPOINTS) {
		e = mesh_part_endpoints(p);
		for (uint32_t i = 0; i < e.n; i++)
			mesh_endpoint_copy(&a, &e.v[i]);
	}
	arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct xds_report report = { 0 };
	struct mesh_part *p = NULL, *again = NULL;
	enum mesh_part_kind kind;
	struct err e = { "" };
	struct slice in;

	if (!len)
		return 0;
	kind = data[0] % MESH_PART_KINDS;
	in = slice_of(data + 1, len - 1);
	if (xds_compile(kind, in, NULL, &report, &p, &e) < 0) {
		must(!p && e.text[0]);
	} else {
		struct xds_resource before = { .kind = kind, .bytes = in, .part = p };

		use(p);
		must(xds_compile(kind, in, &before, NULL, &again, &e) == 0);
		must(mesh_part_is_same(p, again));
		mesh_part_unref(p);
		use(again);
		mesh_part_unref(again);
	}
	xds_report_done(&report);
	return 0;
}
