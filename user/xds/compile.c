/* SPDX-License-Identifier: Apache-2.0 */
/* Resources of a control plane, one by one. The set that a pod sees is put together elsewhere. */
#include "xds/compile.h"

#include <xxhash.h>

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"
#include "xds/translate.h"

#define D_RPC_ROUTES D_EXT(filters__network__dubbo_proxy__v3__multiple_route_configuration)
#define PB_SECRET Envoy__Extensions__TransportSockets__Tls__V3__Secret

static int compile_cluster(struct translate *t, const ProtobufCMessage *m)
{
	struct mesh_cluster *c = arena_new(t->a, struct mesh_cluster);

	t->part->body = c;
	return tr_cluster(t, (const PB_CLUSTER(Cluster) *)m, c);
}

static int compile_endpoints(struct translate *t, const ProtobufCMessage *m)
{
	struct mesh_endpoints *e = arena_new(t->a, struct mesh_endpoints);

	t->part->body = e;
	return tr_endpoints(t, (const PB_ENDPOINT(ClusterLoadAssignment) *)m, MESH_CLUSTER_EDS, e);
}

static int compile_listener(struct translate *t, const ProtobufCMessage *m)
{
	struct mesh_listener *l = arena_new(t->a, struct mesh_listener);

	t->part->body = l;
	return tr_listener(t, (const PB_LISTENER(Listener) *)m, l);
}

static int compile_routes(struct translate *t, const ProtobufCMessage *m)
{
	const struct mesh_route_table *r = NULL;
	int rc = tr_route_table(t, (const PB_ROUTE(RouteConfiguration) *)m, false, &r);

	t->part->body = (void *)(uintptr_t)r;
	return rc;
}

static int compile_vhost(struct translate *t, const ProtobufCMessage *m)
{
	const struct mesh_route_table *r = NULL;
	int rc = tr_vhost(t, (PB_ROUTE(VirtualHost) *)(uintptr_t)m, &r);

	t->part->body = (void *)(uintptr_t)r;
	return rc;
}

static int compile_rpc_routes(struct translate *t, const ProtobufCMessage *m)
{
	struct mesh_rpc_tables *r = arena_new(t->a, struct mesh_rpc_tables);

	t->part->body = r;
	return tr_rpc_tables(t, (const PB_DUBBO(MultipleRouteConfiguration) *)m, r);
}

static int compile_filter(struct translate *t, const ProtobufCMessage *msg)
{
	const PB_CORE(TypedExtensionConfig) *m = (const PB_CORE(TypedExtensionConfig) *)msg;
	struct mesh_filter *f = arena_new(t->a, struct mesh_filter);
	const ProtobufCMessage *router = NULL;
	int rc = tr_filter(t, m->name, m->typed_config, false, false, f, &router);

	t->part->body = f;
	if (rc >= 0)
		mesh_part_type_add(
			t->part, slice_str(m->name),
			slice_str(protojson_any_type(&t->pj, &m->typed_config->base)));
	if (rc > 0) /* one whose work is done elsewhere */
		*f = (struct mesh_filter){ .name = tr_str(t, m->name), .kind = "nothing" };
	if (rc >= 0 && router)
		return tr_fail(t, "the router may not be a resource of its own");
	return rc < 0 ? rc : 0;
}

static void secret_release(struct mesh_part *p)
{
	struct xds_secret *s = p->body;

	if (s && s->bytes.len)
		explicit_bzero((char *)(uintptr_t)s->bytes.ptr, s->bytes.len);
}

static const struct {
	const ProtobufCMessageDescriptor *type;
	int (*compile)(struct translate *t, const ProtobufCMessage *m);
	unsigned int name_offset; /* of a char * in the message */
} kinds[] = {
	[MESH_PART_CLUSTER] = { &envoy__config__cluster__v3__cluster__descriptor, compile_cluster,
				offsetof(PB_CLUSTER(Cluster), name) },
	[MESH_PART_ENDPOINTS] = { &envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
				  compile_endpoints,
				  offsetof(PB_ENDPOINT(ClusterLoadAssignment), cluster_name) },
	[MESH_PART_LISTENER] = { &envoy__config__listener__v3__listener__descriptor,
				 compile_listener, offsetof(PB_LISTENER(Listener), name) },
	[MESH_PART_ROUTES] = { &envoy__config__route__v3__route_configuration__descriptor,
			       compile_routes, offsetof(PB_ROUTE(RouteConfiguration), name) },
	[MESH_PART_RPC_ROUTES] = { D_RPC_ROUTES, compile_rpc_routes,
				   offsetof(PB_DUBBO(MultipleRouteConfiguration), name) },
	[MESH_PART_FILTER] = { &envoy__config__core__v3__typed_extension_config__descriptor,
			       compile_filter, offsetof(PB_CORE(TypedExtensionConfig), name) },
	[MESH_PART_VHOST] = { &envoy__config__route__v3__virtual_host__descriptor, compile_vhost,
			      offsetof(PB_ROUTE(VirtualHost), name) },
};

static int compile_message(struct protojson *pj, enum mesh_part_kind kind, struct slice value,
			   const struct xds_resource *before, struct mesh_part **ret_part)
{
	struct translate t = { .pj = *pj, .is_xds = true };
	struct tr_hosts hosts = { .before = before };
	struct slice rest = value;
	ProtobufCMessage *m = NULL;
	struct mesh_part *p;
	const char *name;
	int rc;

	if (kind == MESH_PART_ROUTES) {
		hosts.v = tr_hosts_split(value, pj->arena, &hosts.n, &rest);
		t.hosts = &hosts;
	}
	rc = protojson_unpack(&t.pj, kinds[kind].type, rest, &m);
	if (rc < 0)
		return rc;
	name = *(char *const *)(const void *)((const char *)m + kinds[kind].name_offset);
	p = mesh_part_new(kind, slice_str(name));
	tr_part_init(&t, p);
	rc = tr_nonempty(&t, kind == MESH_PART_ENDPOINTS ? "cluster_name" : "name", name);
	if (rc == 0)
		rc = kinds[kind].compile(&t, m);
	if (rc < 0) {
		mesh_part_unref(p);
		return rc;
	}
	p->hash = XXH64(value.ptr, value.len, t.hash_seed);
	mesh_part_finish(p);
	*ret_part = p;
	return 0;
}

/* Only the name is looked at; nothing of a secret is reported. */
static int compile_secret(struct protojson *pj, struct slice value, struct mesh_part **ret_part)
{
	ProtobufCMessage *m = NULL;
	struct xds_secret *s;
	struct mesh_part *p;
	int rc;

	pj->report = NULL;
	rc = protojson_unpack(pj, D_EXT(transport_sockets__tls__v3__secret), value, &m);
	if (rc < 0)
		return rc;
	if (!*((const PB_SECRET *)m)->name)
		return protojson_fail(pj, -EINVAL, "name is required and may not be empty");
	p = mesh_part_new(MESH_PART_SECRET, slice_str(((const PB_SECRET *)m)->name));
	s = arena_new(&p->arena, struct xds_secret);
	s->bytes = arena_slice(&p->arena, value);
	p->body = s;
	p->release = secret_release;
	p->hash = XXH64(value.ptr, value.len, 0);
	*ret_part = p;
	return 0;
}

int xds_compile(enum mesh_part_kind kind, struct slice value, const struct xds_resource *before,
		struct xds_report *report, struct mesh_part **ret_part, struct err *e)
{
	struct arena messages = { 0 };
	struct protojson pj;
	int rc;

	*ret_part = NULL;
	protojson_init(&pj, &messages, report, e);
	pj.refuse = xds_refuse_unknown;
	rc = kind == MESH_PART_SECRET ? compile_secret(&pj, value, ret_part) :
					compile_message(&pj, kind, value, before, ret_part);
	arena_done(&messages);
	return rc;
}
