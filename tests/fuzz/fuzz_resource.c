/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: resources of a control plane, from the bytes to the part that is served. The first
 * byte says the kind (clusters, endpoints, listeners, routes, RPC routes, filters, secrets).
 * Whatever the bytes are: refused with a reason, or a part that can be used and is the same again.
 */
#include "filter/rbac.h"
#include "xds/compile.h"

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
	if (xds_compile(kind, in, &report, &p, &e) < 0) {
		must(!p && e.text[0]);
	} else {
		use(p);
		must(xds_compile(kind, in, NULL, &again, &e) == 0);
		must(mesh_part_is_same(p, again));
		mesh_part_unref(again);
		mesh_part_unref(p);
	}
	xds_report_done(&report);
	return 0;
}
