/* SPDX-License-Identifier: Apache-2.0 */
/* Bootstrap files as a whole: what a simple one becomes, several files, folders, dumps, hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "xds/load.h"

#define T "type.googleapis.com/envoy.extensions.filters."

static const char simple[] =
	"node: {id: n, cluster: c}\n"
	"admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}\n"
	"static_resources:\n"
	"  listeners:\n"
	"  - name: web\n"
	"    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n"
	"    traffic_direction: INBOUND\n"
	"    filter_chains:\n"
	"    - filters:\n"
	"      - name: hcm\n"
	"        typed_config:\n"
	"          '@type': " T "network.http_connection_manager.v3.HttpConnectionManager\n"
	"          stat_prefix: web\n"
	"          common_http_protocol_options: {idle_timeout: 0.25s}\n"
	"          route_config:\n"
	"            name: r\n"
	"            virtual_hosts:\n"
	"            - name: all\n"
	"              domains: ['*', WWW.Example.com]\n"
	"              routes:\n"
	"              - match: {prefix: /api}\n"
	"                route: {cluster: app, timeout: 1.5s, prefixRewrite: /}\n"
	"              - match: {path: /old}\n"
	"                redirect: {path_redirect: /new, response_code: FOUND}\n"
	"          http_filters:\n"
	"          - name: envoy.filters.http.router\n"
	"            typed_config: {'@type': " T "http.router.v3.Router}\n"
	"  - name: tcp\n"
	"    address: {socket_address: {address: '::', port_value: 9000}}\n"
	"    filter_chains:\n"
	"    - filters:\n"
	"      - name: tcp\n"
	"        typed_config: {'@type': " T
	"network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}\n"
	"  clusters:\n"
	"  - name: app\n"
	"    type: STATIC\n"
	"    connect_timeout: 1s\n"
	"    load_assignment:\n"
	"      cluster_name: app\n"
	"      endpoints:\n"
	"      - lb_endpoints:\n"
	"        - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}\n"
	"        - endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 80}}}\n"
	"          load_balancing_weight: 3\n";

static struct mesh_view *load(const char *text)
{
	struct xds_report r = { 0 };
	struct mesh_view *v = NULL;
	struct err e = { "" };
	int rc = xds_load_text(slice_str(text), "t.yaml", &v, &r, &e);

	if (rc < 0)
		fail_msg("%s", e.text);
	if (r.n)
		fail_msg("%.*s: %.*s", SLICE_ARG(r.v[0].path), SLICE_ARG(r.v[0].text));
	xds_report_done(&r);
	return v;
}

#define assert_slice(s, text) \
	do { \
		struct slice s_ = (s); \
		assert_int_equal(s_.len, strlen(text)); \
		assert_memory_equal(s_.ptr, text, s_.len); \
	} while (0)

static void http_listener(void **state)
{
	struct mesh_view *v = load(simple);
	const struct mesh_listener *l = mesh_view_listener_at(v, 0);
	const struct mesh_http_manager *h;
	const struct mesh_vhost *vh;

	(void)state;
	assert_int_equal(v->n_listeners, 2);
	assert_slice(l->name, "web");
	assert_int_equal(l->addr.port, 8080);
	assert_int_equal(l->direction, MESH_INBOUND);
	assert_true(l->bind_to_port);
	assert_int_equal(l->n_chains, 1);
	assert_int_equal(l->chains[0].filters[0].kind, MESH_NET_HTTP);
	h = l->chains[0].filters[0].http;
	assert_slice(h->stat_prefix, "web");
	assert_slice(h->server_name, "skiff");
	assert_int_equal(h->idle_timeout_ms, 250);
	assert_int_equal(h->stream_idle_timeout_ms, 300000);
	assert_int_equal(h->n_filters, 1);
	assert_string_equal(h->filters[0].kind, "router");
	vh = &h->routes->vhosts[0];
	assert_slice(vh->domains[1], "www.example.com");
	assert_int_equal(vh->routes[0].path_kind, MESH_PATH_PREFIX);
	assert_slice(vh->routes[0].cluster, "app");
	assert_int_equal(vh->routes[0].timeout_ms, 1500);
	assert_slice(vh->routes[0].prefix_rewrite, "/");
	assert_int_equal(vh->routes[1].action, MESH_ROUTE_REDIRECT);
	assert_int_equal(vh->routes[1].redirect->code, 302);
	mesh_view_unref(v);
}

static void cluster_and_tcp(void **state)
{
	struct mesh_view *v = load(simple);
	const struct mesh_cluster *c = mesh_view_cluster(v, SLICE("app"));
	const struct mesh_tcp_proxy *p = mesh_view_listener_at(v, 1)->chains[0].filters[0].tcp;

	(void)state;
	assert_non_null(c);
	assert_null(mesh_view_cluster(v, SLICE("ap")));
	assert_int_equal(c->kind, MESH_CLUSTER_STATIC);
	assert_int_equal(c->lb, MESH_LB_ROUND_ROBIN);
	assert_int_equal(c->n_endpoints, 2);
	assert_int_equal(c->endpoints[0].weight, 1);
	assert_int_equal(c->endpoints[1].weight, 3);
	assert_int_equal(c->endpoints[1].addr.port, 80);
	assert_int_equal(c->limits.max_requests, 1024);
	assert_int_equal(c->limits.max_retries, 3);
	assert_slice(p->cluster, "app");
	assert_int_equal(p->idle_timeout_ms, 3600000);
	assert_int_equal(p->max_connect_attempts, 1);
	mesh_view_unref(v);
}

/* Equal resources have equal hashes, a changed one has another; the others keep theirs. */
static void hashes(void **state)
{
	struct mesh_view *a = load(simple), *b = load(simple), *c;
	char *text = strdup(simple);

	(void)state;
	memcpy(strstr(text, "10.0.0.2"), "10.0.0.3", 8);
	c = load(text);
	assert_true(a->hash == b->hash && a->hash != c->hash);
	assert_true(mesh_view_cluster_at(a, 0)->hash == mesh_view_cluster_at(b, 0)->hash);
	assert_true(mesh_view_cluster_at(a, 0)->hash != mesh_view_cluster_at(c, 0)->hash);
	assert_true(mesh_view_listener_at(a, 0)->hash == mesh_view_listener_at(c, 0)->hash);
	free(text);
	mesh_view_unref(a);
	mesh_view_unref(b);
	mesh_view_unref(c);
}

static void dump(void **state)
{
	struct mesh_view *v = load(simple);
	json_t *j = json_loadb(v->config_json.ptr, v->config_json.len, 0, NULL), *hcm;

	(void)state;
	assert_non_null(j);
	assert_int_equal(json_array_size(json_object_get(j, "static_listeners")), 2);
	assert_int_equal(json_array_size(json_object_get(j, "static_clusters")), 1);
	hcm = json_array_get(json_object_get(j, "static_listeners"), 0);
	hcm = json_array_get(json_object_get(hcm, "filter_chains"), 0);
	hcm = json_object_get(json_array_get(json_object_get(hcm, "filters"), 0), "typed_config");
	assert_string_equal(json_string_value(json_object_get(hcm, "@type")),
			    T "network.http_connection_manager.v3.HttpConnectionManager");
	assert_string_equal(json_string_value(json_object_get(hcm, "stat_prefix")), "web");
	hcm = json_object_get(hcm, "common_http_protocol_options");
	assert_string_equal(json_string_value(json_object_get(hcm, "idle_timeout")), "0.250s");
	json_decref(j);
	mesh_view_unref(v);
}

/* ---- files ----------------------------------------------------------------------------------- */

static char dir[] = "/tmp/skiff-load-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void drop(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
}

static void folder_merges(void **state)
{
	const char *const paths[] = { dir };
	struct mesh_view *v = NULL;
	struct err e = { "" };

	(void)state;
	put("b.json", "{\"static_resources\": {\"clusters\": [{\"name\": \"two\"}]}}");
	put("a.yaml", "static_resources: {clusters: [{name: one}]}\n");
	put("notes.txt", "not a resource: [");
	put("empty.yml", "# nothing\n");
	assert_int_equal(xds_load_files(paths, 1, &v, NULL, &e), 0);
	assert_int_equal(v->n_clusters, 2);
	assert_slice(mesh_view_cluster_at(v, 0)->name, "one");
	assert_slice(mesh_view_cluster_at(v, 1)->name, "two");
	assert_slice(v->source, dir);
	mesh_view_unref(v);
	put("c.yaml", "static_resources: {clusters: [{name: one}]}\n");
	assert_true(xds_load_files(paths, 1, &v, NULL, &e) < 0);
	assert_non_null(strstr(
		e.text, "c.yaml: static_resources.clusters[0]: cluster \"one\" is there twice"));
	drop("c.yaml");
	put("c.yaml", "static_resources: {clusters: [{name: ''}]}\n");
	assert_true(xds_load_files(paths, 1, &v, NULL, &e) < 0);
	assert_non_null(strstr(e.text, "c.yaml: static_resources.clusters[0]: name is required"));
	drop("a.yaml");
	drop("b.json");
	drop("c.yaml");
	drop("empty.yml");
	drop("notes.txt");
}

static void missing_file(void **state)
{
	const char *const paths[] = { "/nonexistent/x.yaml" };
	struct mesh_view *v = NULL;
	struct err e;

	(void)state;
	assert_true(xds_load_files(paths, 1, &v, NULL, &e) < 0);
	assert_string_equal(e.text, "/nonexistent/x.yaml: No such file or directory");
	assert_null(v);
}

/* A pod may serve a port and call others' port of the same number. */
static void one_address_both_ways(void **state)
{
	static const char text[] =
		"static_resources: {listeners: [{name: in, traffic_direction: INBOUND, address: "
		"{socket_address: {address: 0.0.0.0, port_value: 80}}, filter_chains: [{}]}, "
		"{name: out, "
		"traffic_direction: OUTBOUND, address: {socket_address: {address: 0.0.0.0, "
		"port_value: "
		"80}}, filter_chains: [{}]}]}";
	struct mesh_view *v = load(text);
	struct addr dst;

	(void)state;
	assert_int_equal(addr_parse(SLICE("10.0.0.1:80"), &dst), 0);
	assert_ptr_equal(mesh_view_listener(v, MESH_INBOUND, &dst), mesh_view_listener_at(v, 0));
	assert_ptr_equal(mesh_view_listener(v, MESH_OUTBOUND, &dst), mesh_view_listener_at(v, 1));
	mesh_view_unref(v);
}

/* What the layers say counts instead of the default, the last of them most. */
static void runtime(void **state)
{
	static const char text[] =
		"layered_runtime: {layers: [{name: a, static_layer: {x: 10, y: {z: 30}, n: 404}}, "
		"{name: b, static_layer: {x: {numerator: 1, denominator: TEN_THOUSAND}, w: 0.5}}, "
		"{name: c, admin_layer: {}}]}\n"
		"static_resources: {clusters: [{name: app}], listeners: [{name: l, address: "
		"{socket_address: {address: 0.0.0.0, port_value: 80}}, filter_chains: [{filters: "
		"[{name: h, typed_config: {'@type': type.googleapis.com/"
		"envoy.extensions.filters.network.http_connection_manager.v3."
		"HttpConnectionManager, stat_prefix: s, "
		"http_filters: [{name: r, typed_config: {'@type': "
		"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}], "
		"route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], routes: ["
		"{match: {prefix: /x, runtime_fraction: {runtime_key: x, default_value: "
		"{numerator: 5}}}, route: {cluster: app}}, "
		"{match: {prefix: /z, runtime_fraction: {runtime_key: y.z, default_value: "
		"{numerator: 5}}}, route: {cluster: app}}, "
		"{match: {prefix: /w, runtime_fraction: {runtime_key: w, default_value: "
		"{numerator: 5}}}, route: {cluster: app}}, "
		"{match: {prefix: /o, runtime_fraction: {runtime_key: other, default_value: "
		"{numerator: 5}}}, route: {cluster: app}}]}]}}}]}]}]}";
	static const uint32_t wanted[] = { 100, 300000, 0, 50000 };
	struct mesh_view *v = load(text);
	const struct mesh_route *r =
		mesh_view_listener_at(v, 0)->chains[0].filters[0].http->routes->vhosts[0].routes;

	(void)state;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		assert_int_equal(r[i].fraction, wanted[i]);
	mesh_view_unref(v);
}

static void nothing(void **state)
{
	struct mesh_view *v = NULL;
	struct err e;

	(void)state;
	assert_int_equal(xds_load_files(NULL, 0, &v, NULL, &e), 0);
	assert_int_equal(v->n_listeners, 0);
	assert_null(mesh_view_cluster(v, SLICE("x")));
	mesh_view_unref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_listener),
		cmocka_unit_test(cluster_and_tcp),
		cmocka_unit_test(hashes),
		cmocka_unit_test(dump),
		cmocka_unit_test(folder_merges),
		cmocka_unit_test(missing_file),
		cmocka_unit_test(one_address_both_ways),
		cmocka_unit_test(runtime),
		cmocka_unit_test(nothing),
	};
	int rc;

	if (!mkdtemp(dir))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return rc;
}
