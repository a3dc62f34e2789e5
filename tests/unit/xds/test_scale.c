/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one push of a control plane costs in a node with many pods: istiod sends each of them all
 * endpoints, which are those that it has, and the whole route table, of which one virtual host is
 * another. What is equal must be made once. callgrind counts the instructions of ten pushes to
 * 30 pods:
 *   valgrind --tool=callgrind --toggle-collect=push build/tests/unit/xds/test_scale 1000 test_rules
 */
#include "t_ads.h"

#include "xds/compile.h"
#include "xds/registry.h"

#define PODS 30
#define PUSHES 10
#define API "type.googleapis.com/envoy."

static unsigned int services = 100;
static struct ads_node *nodes[PODS];

/* ---- what istiod says, much like it ------------------------------------------------------------
 */

/* JSON with ' for ", and the packed bytes of the message that it says. */
static struct slice packed(enum mesh_part_kind kind, struct buf *json, struct arena *a)
{
	struct protojson pj;
	ProtobufCMessage *m;
	struct err e = { "" };
	json_error_t why;
	json_t *j;

	for (size_t i = 0; i < buf_len(json); i++)
		if (buf_ptr(json)[i] == '\'')
			buf_ptr(json)[i] = '"';
	j = json_loadb(buf_ptr(json), buf_len(json), 0, &why);
	if (!j)
		fail_msg("%s at %d", why.text, why.position);
	protojson_init(&pj, a, NULL, &e);
	if (protojson_read(&pj, registry_find(slice_str(xds_type_url(kind))), j, &m) < 0)
		fail_msg("%s", e.text);
	json_decref(j);
	buf_done(json);
	return protojson_pack(m, a);
}

static void name_of(unsigned int i, const char *subset, char out[static 96])
{
	snprintf(out, 96, "outbound|8080|%s|service-%04u.shop.svc.cluster.local", subset, i);
}

static struct slice cluster(const char *name, struct arena *a)
{
	struct buf j = { 0 };

	buf_printf(&j,
		   "{'name': '%s', 'type': 'EDS', 'eds_cluster_config': {'service_name': '%s',"
		   " 'eds_config': {'ads': {}, 'resource_api_version': 'V3'}},"
		   " 'connect_timeout': '10s', 'lb_policy': 'LEAST_REQUEST',"
		   " 'metadata': {'filter_metadata': {'istio': {'services': [{'host': '%s',"
		   " 'name': 'x', 'namespace': 'shop'}]}}}}",
		   name, name, name);
	return packed(MESH_PART_CLUSTER, &j, a);
}

static struct slice endpoints(const char *name, unsigned int i, struct arena *a)
{
	struct buf j = { 0 };

	buf_printf(&j, "{'cluster_name': '%s', 'endpoints': [{'load_balancing_weight': 5,"
		       " 'locality': {'region': 'r', 'zone': 'z'}, 'lb_endpoints': [",
		   name);
	for (unsigned int k = 0; k < 5; k++)
		buf_printf(&j,
			   "%s{'health_status': 'HEALTHY', 'load_balancing_weight': 1, 'endpoint':"
			   " {'address': {'socket_address': {'address': '10.%u.%u.%u',"
			   " 'port_value': 8080}}}, 'metadata': {'filter_metadata': {'istio':"
			   " {'workload': 'service-%04u-%u;shop;service-%04u;v1;Kubernetes'}}}}",
			   k ? "," : "", 1 + i / 250, i % 250, k + 1, i, k, i);
	buf_printf(&j, "]}]}");
	return packed(MESH_PART_ENDPOINTS, &j, a);
}

static void vhost(struct buf *j, unsigned int i, const char *to, unsigned int mark)
{
	const char *h = "shop.svc.cluster.local";

	buf_printf(j,
		   "%s{'name': 'service-%04u.%s:8080', 'domains': ['service-%04u.%s',"
		   " 'service-%04u.%s:8080', 'service-%04u.shop', 'service-%04u.shop:8080',"
		   " 'service-%04u.shop.svc', 'service-%04u.shop.svc:8080', '10.96.%u.%u',"
		   " '10.96.%u.%u:8080'], 'include_request_attempt_count': true, 'routes': [{"
		   "'name': 'default', 'match': {'prefix': '/'}, 'decorator': {'operation':"
		   " 'service-%04u.%s:8080/* %u'}, 'route': {'cluster': '%s', 'timeout': '0s',"
		   " 'max_grpc_timeout': '0s', 'retry_policy': {'num_retries': 2, 'retry_on':"
		   " 'connect-failure,refused-stream,unavailable,cancelled',"
		   " 'host_selection_retry_max_attempts': 5}}}]}",
		   i ? "," : "", i, h, i, h, i, h, i, i, i, i, i / 250, i % 250, i / 250, i % 250,
		   i, h, mark, to);
}

/* All services' routes; those of the last one differ with @mark, and go to @subset. */
static struct slice routes(unsigned int mark, const char *subset, struct arena *a)
{
	struct buf j = { 0 };
	char name[96];

	buf_printf(&j, "{'name': '8080', 'validate_clusters': false, 'virtual_hosts': [");
	for (unsigned int i = 0; i < services; i++) {
		bool is_last = i == services - 1;

		name_of(i, is_last ? subset : "", name);
		vhost(&j, i, name, is_last ? mark : 0);
	}
	buf_printf(&j, "]}");
	return packed(MESH_PART_ROUTES, &j, a);
}

static struct slice listener(struct arena *a)
{
	struct buf j = { 0 };

	buf_printf(&j,
		   "{'name': '0.0.0.0_8080', 'address': {'socket_address': {'address': '0.0.0.0',"
		   " 'port_value': 8080}}, 'filter_chains': [{'filters': [{'name': 'h',"
		   " 'typed_config': {'@type': '" API "extensions.filters.network"
		   ".http_connection_manager.v3.HttpConnectionManager', 'stat_prefix': 'o', 'rds':"
		   " {'route_config_name': '8080', 'config_source': {'ads': {}}}, 'http_filters':"
		   " [{'name': 'r', 'typed_config': {'@type': '" API "extensions.filters.http"
		   ".router.v3.Router'}}]}}]}]}");
	return packed(MESH_PART_LISTENER, &j, a);
}

static PB_DISCOVERY(Resource) *
	resource(enum mesh_part_kind kind, const char *name, struct slice value, struct arena *a)
{
	PB_DISCOVERY(Resource) *r = arena_new(a, PB_DISCOVERY(Resource));

	*r = (PB_DISCOVERY(Resource))ENVOY__SERVICE__DISCOVERY__V3__RESOURCE__INIT;
	r->name = arena_str(a, slice_str(name));
	r->resource = arena_new(a, Google__Protobuf__Any);
	*r->resource = (Google__Protobuf__Any)GOOGLE__PROTOBUF__ANY__INIT;
	r->resource->type_url = (char *)(uintptr_t)xds_type_url(kind);
	r->resource->value.data = (uint8_t *)(uintptr_t)value.ptr;
	r->resource->value.len = value.len;
	return r;
}

static struct slice response(enum mesh_part_kind kind, PB_DISCOVERY(Resource) * *v, size_t n,
			     char *gone, struct arena *a)
{
	PB_DISCOVERY(DeltaDiscoveryResponse)
	m = ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_RESPONSE__INIT;

	m.type_url = (char *)(uintptr_t)xds_type_url(kind);
	m.nonce = m.system_version_info = (char *)(uintptr_t)"2026-11-23T17:52:56Z/1";
	m.resources = v;
	m.n_resources = n;
	m.removed_resources = &gone;
	m.n_removed_resources = gone != NULL;
	return protojson_pack(&m.base, a);
}

static struct slice one(enum mesh_part_kind kind, const char *name, struct slice value, char *gone,
			struct arena *a)
{
	PB_DISCOVERY(Resource) *r = resource(kind, name, value, a);

	return response(kind, &r, 1, gone, a);
}

/* All clusters, or all endpoints, in an order of its own for every @turn: istiod has none. */
static struct slice all(enum mesh_part_kind kind, unsigned int turn, struct arena *a)
{
	PB_DISCOVERY(Resource) **v = arena_array(a, PB_DISCOVERY(Resource) *, services);
	char name[96];

	for (unsigned int i = 0; i < services; i++) {
		unsigned int at = (i * 7 + turn * 13) % services;

		name_of(at, "", name);
		v[i] = resource(kind, name,
				kind == MESH_PART_CLUSTER ? cluster(name, a) :
							    endpoints(name, at, a),
				a);
	}
	return response(kind, v, services, NULL, a);
}

/* ---- pods ------------------------------------------------------------------------------------ */

static unsigned int ready, moved;

static void on_ready(struct ads_node *n)
{
	(void)n;
	ready++;
}

static void on_endpoints(struct ads_node *n, struct slice cluster, struct mesh_part *part)
{
	(void)n;
	(void)cluster;
	(void)part;
	moved++;
}

static int quiet_send(void *stream, struct slice bytes)
{
	(void)stream;
	(void)bytes;
	return 0;
}

static const struct ads_transport quiet = { t_open, quiet_send, t_reset };
static const struct ads_ops counting = { .ready = on_ready, .endpoints = on_endpoints };

static void say_all(struct slice bytes)
{
	for (unsigned int i = 0; i < PODS; i++)
		ads_stream_message(nodes[i], bytes);
}

static void start(void)
{
	struct arena a = { 0 };
	char id[16];

	ready = moved = 0;
	t_start(ADS_DELTA);
	ads_free(t.ads);
	xds_store_free(t.store);
	t.store = xds_store_new(xds_compile);
	t.ads = ads_new(t.io,
			&(struct ads_opts){ .mode = ADS_DELTA,
					    .store = t.store,
					    .transport = &quiet,
					    .transport_arg = &t },
			&counting, &t);
	for (unsigned int i = 0; i < PODS; i++) {
		snprintf(id, sizeof(id), "n%u", i);
		nodes[i] = ads_node_add(t.ads, &(struct ads_node_info){ .id = id }, &t);
	}
	ads_link_up(t.ads);
	say_all(all(MESH_PART_CLUSTER, 0, &a));
	say_all(one(MESH_PART_LISTENER, "0.0.0.0_8080", listener(&a), NULL, &a));
	say_all(all(MESH_PART_ENDPOINTS, 1, &a));
	say_all(one(MESH_PART_ROUTES, "8080", routes(0, "", &a), NULL, &a));
	t_turn();
	assert_int_equal(ready, PODS);
	assert_true(ads_node_is_complete(nodes[PODS - 1]));
	arena_done(&a);
}

static uint64_t compiled(void)
{
	struct xds_store_totals totals;

	xds_store_totals_get(t.store, &totals);
	return totals.compiled;
}

/* ---- pushes ---------------------------------------------------------------------------------- */

/* What one node is sent, packed. */
struct messages {
	struct slice v[4];
	unsigned int n;
};

static __attribute__((noinline)) void push(const struct messages *p)
{
	for (unsigned int i = 0; i < p->n; i++)
		say_all(p->v[i]);
	while (io_timer_is_armed(&t.ads->settle))
		io_run_once(t.io, 1);
}

static void test_rules(void **state)
{
	(void)state;
	start();
	for (unsigned int i = 1; i <= PUSHES; i++) {
		uint64_t before = compiled();
		struct arena a = { 0 };
		struct messages p = { { all(MESH_PART_ENDPOINTS, i, &a),
				    one(MESH_PART_ROUTES, "8080", routes(i, "", &a), NULL, &a) },
				  2 };

		ready = moved = 0;
		push(&p);
		assert_int_equal(compiled() - before, 1);
		assert_int_equal(ready, PODS);
		assert_int_equal(moved, 0);
		arena_done(&a);
	}
	t_end();
}

static void test_subset(void **state)
{
	char subset[16], name[96], gone[96];

	(void)state;
	start();
	*gone = '\0';
	for (unsigned int i = 1; i <= PUSHES; i++) {
		uint64_t before = compiled();
		struct arena a = { 0 };
		struct messages p = { .n = 4 };

		snprintf(subset, sizeof(subset), "sub-%u", i);
		name_of(services - 1, subset, name);
		p.v[0] = one(MESH_PART_CLUSTER, name, cluster(name, &a), *gone ? gone : NULL, &a);
		p.v[1] = all(MESH_PART_ENDPOINTS, i, &a);
		p.v[2] = one(MESH_PART_ENDPOINTS, name, endpoints(name, services, &a), NULL, &a);
		p.v[3] = one(MESH_PART_ROUTES, "8080", routes(i, subset, &a), NULL, &a);
		ready = 0;
		push(&p);
		assert_int_equal(compiled() - before, 3);
		assert_int_equal(ready, PODS);
		/* The one before goes when the routes do not name it any more. */
		assert_int_equal(nodes[PODS - 1]->subs[MESH_PART_CLUSTER].table.n, services + 1);
		memcpy(gone, name, sizeof(gone));
		arena_done(&a);
	}
	t_end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_subset),
	};

	if (argc > 1)
		services = (unsigned int)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
