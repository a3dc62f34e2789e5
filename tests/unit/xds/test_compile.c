/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources as a real istiod sends them (tests/data/xds) become parts: all of them, with exactly
 * the reports listed here. What the most telling ones become, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ftw.h>

#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "tests/unit/xds/t_compile.h"
#include "xds/yaml.h"

#define DATA TESTDATA "/xds"
#define MESSAGE_MAX (4 << 20)

/* ---- everything that was recorded ------------------------------------------------------------ */

/* All that may be reported, by kind; each is, at least once. */
static struct known {
	enum mesh_part_kind kind;
	const char *path, *text; /* ends */
	unsigned int seen;
} known[] = {
	{ MESH_PART_CLUSTER, "transport_socket_matches",
	  "TLS to the upstream is not there yet: connections to endpoints that need it fail", 0 },
	{ MESH_PART_CLUSTER, "",
	  "field number 19 (outlier_detection) of envoy.config.cluster.v3.Cluster has no effect "
	  "in "
	  "this version",
	  0 },
	{ MESH_PART_CLUSTER, "",
	  "field number 21 (upstream_bind_config) of envoy.config.cluster.v3.Cluster has no "
	  "effect "
	  "in this version",
	  0 },
	{ MESH_PART_CLUSTER, "",
	  "field number 30 (upstream_connection_options) of envoy.config.cluster.v3.Cluster has "
	  "no "
	  "effect in this version",
	  0 },
	{ MESH_PART_CLUSTER, "",
	  "field number 39 (respect_dns_ttl) of envoy.config.cluster.v3.Cluster has no effect in "
	  "this version",
	  0 },
	{ MESH_PART_CLUSTER, "", "HTTP/2 to the upstream is not there yet: HTTP/1.1 is "
	"spoken", 0 },
	{ MESH_PART_CLUSTER, "lb_policy",
	  "consistent hashing is not there yet; endpoints are picked at random, as for requests "
	  "without a hash",
	  0 },
	{ MESH_PART_LISTENER, ".transport_socket",
	  "TLS from clients is not there yet: connections of this chain are closed", 0 },
	{ MESH_PART_LISTENER, ".forward_client_cert_details",
	  "x-forwarded-client-cert is always removed: client certificates are not there yet", 0 },
	{ MESH_PART_ROUTES, ".route",
	  "field number 15 (hash_policy) of envoy.config.route.v3.RouteAction has no effect in "
	  "this "
	  "version",
	  0 },
};

static unsigned int compiled[MESH_PART_KINDS];

static void check_reports(enum mesh_part_kind kind, const struct xds_report *r, const char *file)
{
	for (size_t i = 0; i < r->n; i++) {
		size_t k = 0;

		for (; k < ARRAY_LEN(known); k++)
			if (known[k].kind == kind &&
			    slice_has_suffix(r->v[i].path, slice_str(known[k].path)) &&
			    slice_is_equal(r->v[i].text, slice_str(known[k].text)))
				break;
		if (k == ARRAY_LEN(known))
			fail_msg("%s: %.*s: not expected: %.*s", file, SLICE_ARG(r->v[i].path),
				 SLICE_ARG(r->v[i].text));
		known[k].seen++;
	}
}

static void resource(const Google__Protobuf__Any *any, const char *file)
{
	enum mesh_part_kind kind = t_kind(any->type_url);
	struct slice value = slice_of(any->value.data, any->value.len);
	struct xds_report report = { 0 };
	struct mesh_part *p = NULL;
	struct err e = { "" };

	if (xds_compile(kind, value, NULL, &report, &p, &e) < 0)
		fail_msg("%s: %s", file, e.text);
	assert_int_equal(p->kind, kind);
	assert_true(p->name.len && p->body);
	check_reports(kind, &report, file);
	compiled[kind]++;
	mesh_part_unref(p);
	xds_report_done(&report);
}

static int each_message(const char *file, const struct stat *st, int type, struct FTW *ftw)
{
	char *text = NULL;
	size_t len = 0;
	struct err e = { "" };

	(void)st;
	(void)ftw;
	if (type != FTW_F || !slice_has_suffix(slice_str(file), SLICE(".pb")))
		return 0;
	if (yaml_file_read(file, MESSAGE_MAX, &text, &len, &e) < 0)
		fail_msg("%s", e.text);
	if (strstr(file, "sotw")) {
		Envoy__Service__Discovery__V3__DiscoveryResponse *m =
			envoy__service__discovery__v3__discovery_response__unpack(
				NULL, len, (const uint8_t *)text);

		assert_non_null(m);
		for (size_t i = 0; i < m->n_resources; i++)
			resource(m->resources[i], file);
		envoy__service__discovery__v3__discovery_response__free_unpacked(m, NULL);
	} else {
		Envoy__Service__Discovery__V3__DeltaDiscoveryResponse *m =
			envoy__service__discovery__v3__delta_discovery_response__unpack(
				NULL, len, (const uint8_t *)text);

		assert_non_null(m);
		for (size_t i = 0; i < m->n_resources; i++)
			resource(m->resources[i]->resource, file);
		envoy__service__discovery__v3__delta_discovery_response__free_unpacked(m, NULL);
	}
	free(text);
	return 0;
}

static void recorded(void **state)
{
	(void)state;
	assert_int_equal(nftw(DATA, each_message, 16, FTW_PHYS), 0);
	assert_true(compiled[MESH_PART_CLUSTER] > 400 && compiled[MESH_PART_ENDPOINTS] > 400);
	assert_true(compiled[MESH_PART_LISTENER] > 200 && compiled[MESH_PART_ROUTES] > 100);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!known[i].seen)
			fail_msg("never reported: %s", known[i].text);
}

/* ---- what they become ------------------------------------------------------------------------ */

#define ADS "{'ads': {}, 'resource_api_version': 'V3'}"
#define T "type.googleapis.com/envoy.extensions."
#define F T "filters."
#define TLS_UP \
	"{'name': 'tls', 'typed_config': {'@type': '" T \
	"transport_sockets.tls.v3.UpstreamTlsContext', 'sni': 'a.test', 'common_tls_context': " \
	"{'alpn_protocols': ['istio'], 'tls_params': {'tls_minimum_protocol_version': " \
	"'TLSv1_2'}, " \
	"'tls_certificate_sds_secret_configs': [{'name': 'cert', 'sds_config': " ADS "}], " \
	"'combined_validation_context': {'default_validation_context': " \
	"{'match_subject_alt_names': [{'exact': 'spiffe://x'}]}, " \
	"'validation_context_sds_secret_config': {'name': 'ROOTCA', 'sds_config': " \
	"{'api_config_source': {'api_type': 'GRPC', 'grpc_services': [{'envoy_grpc': " \
	"{'cluster_name': 'sds-grpc'}}]}}}}}}}"
#define TLS_DOWN \
	"{'name': 'tls', 'typed_config': {'@type': '" T \
	"transport_sockets.tls.v3.DownstreamTlsContext', 'require_client_certificate': true}}"
#define RAW \
	"{'name': 'raw', 'typed_config': {'@type': '" T \
	"transport_sockets.raw_buffer.v3.RawBuffer'}}"

static bool needs(const struct mesh_part *p, enum mesh_part_kind kind, const char *name, bool weak)
{
	for (uint32_t i = 0; i < p->n_refs; i++)
		if (p->refs[i].kind == kind && p->refs[i].is_weak == weak &&
		    slice_is_equal(p->refs[i].name, slice_str(name)))
			return true;
	return false;
}

static void eds_cluster(void **state)
{
	struct mesh_part *p = t_part(
		MESH_PART_CLUSTER,
		"{'name': 'outbound|80|v1|a.test', 'type': 'EDS', 'eds_cluster_config': "
		"{'eds_config': " ADS
		", 'service_name': 'svc'}, 'lb_policy': 'RING_HASH', 'ring_hash_lb_config': "
		"{'minimum_ring_size': 1024}, 'outlier_detection': {'consecutive_5xx': 7, "
		"'interval': "
		"'10s', 'max_ejection_percent': 50}, 'metadata': {'filter_metadata': {'istio': "
		"{'subset': 'v1', 'services': [{'host': 'a.test', 'name': 'a', 'namespace': "
		"'ns'}]}}}, "
		"'filters': [{'name': 'istio.metadata_exchange', 'typed_config': {'@type': "
		"'type.googleapis.com/udpa.type.v1.TypedStruct', 'type_url': "
		"'type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange', "
		"'value': "
		"{'protocol': 'p'}}}]}");
	const struct mesh_cluster *c = mesh_part_cluster(p);

	(void)state;
	assert_int_equal(c->kind, MESH_CLUSTER_EDS);
	assert_true(slice_is_equal(c->service_name, SLICE("svc")));
	assert_int_equal(p->n_refs, 1);
	assert_true(needs(p, MESH_PART_ENDPOINTS, "svc", false));
	assert_int_equal(c->hash_kind, MESH_HASH_RING);
	assert_int_equal(c->ring_min, 1024);
	assert_int_equal(c->outlier->consecutive_5xx, 7);
	assert_int_equal(c->outlier->max_ejection_percent, 50);
	assert_int_equal(c->outlier->base_ejection_ms, 30000);
	assert_true(slice_is_equal(c->subset, SLICE("v1")));
	assert_true(slice_is_equal(c->service_host, SLICE("a.test")));
	assert_true(slice_is_equal(c->service_namespace, SLICE("ns")));
	mesh_part_unref(p);
}

/* TLS towards endpoints that say that they have it, plain towards the others. */
static void sockets(void **state)
{
	struct mesh_part *p = t_part(
		MESH_PART_CLUSTER,
		"{'name': 'c', 'type': 'EDS', 'eds_cluster_config': {'eds_config': " ADS "}, "
		"'transport_socket_matches': [{'name': 'istio', 'match': {'tlsMode': 'istio'}, "
		"'transport_socket': " TLS_UP "}, {'name': 'disabled', 'match': {}, "
		"'transport_socket': " RAW "}]}");
	struct mesh_part *eds = t_part(
		MESH_PART_ENDPOINTS,
		"{'cluster_name': 'c', 'endpoints': [{'locality': {'region': 'r', 'zone': 'z'}, "
		"'load_balancing_weight': 3, 'lb_endpoints': [{'endpoint': {'address': "
		"{'socket_address': {'address': '10.0.0.1', 'port_value': 80}}}, 'metadata': "
		"{'filter_metadata': {'envoy.transport_socket_match': {'tlsMode': 'istio'}, "
		"'istio': "
		"{'workload': 'w;ns;s;v1;k'}}}}, {'endpoint': {'address': {'socket_address': "
		"{'address': '10.0.0.2', 'port_value': 80}}}, 'load_balancing_weight': 5, "
		"'health_status': 'DRAINING'}]}]}");
	const struct mesh_cluster *c = mesh_part_cluster(p);
	struct mesh_endpoints e = mesh_part_endpoints(eds);
	struct mesh_cluster only_tls = *c;
	struct arena a = { 0 };
	struct mesh_endpoint copy;

	(void)state;
	assert_int_equal(e.n, 2);
	assert_int_equal(mesh_cluster_socket(c, &e.v[0])->kind, MESH_SOCKET_TLS);
	assert_int_equal(mesh_cluster_socket(c, &e.v[1])->kind, MESH_SOCKET_RAW);
	only_tls.n_socket_matches = 1;
	only_tls.socket.kind = MESH_SOCKET_OTHER;
	assert_int_equal(mesh_cluster_socket(&only_tls, &e.v[1])->kind, MESH_SOCKET_OTHER);
	assert_true(slice_is_equal(c->socket_matches[0].socket.tls->server_name, SLICE("a.test")));
	assert_int_equal(c->socket_matches[0].socket.tls->min_version, 12);
	assert_int_equal(c->socket_matches[0].socket.tls->n_peer_names, 1);
	/* Only the secret that comes over this stream is asked for. */
	assert_true(needs(p, MESH_PART_SECRET, "cert", true));
	assert_false(needs(p, MESH_PART_SECRET, "ROOTCA", true));
	assert_int_equal(e.v[1].weight, 5);
	assert_int_equal(e.v[1].health, MESH_HEALTH_DRAINING);
	assert_int_equal(e.v[1].meta->locality_weight, 3);
	copy = mesh_endpoint_copy(&a, &e.v[0]);
	mesh_part_unref(eds);
	assert_true(slice_is_equal(copy.meta->workload, SLICE("w;ns;s;v1;k")));
	assert_true(slice_is_equal(copy.meta->zone, SLICE("z")));
	assert_int_equal(mesh_cluster_socket(c, &copy)->kind, MESH_SOCKET_TLS);
	arena_done(&a);
	mesh_part_unref(p);
}

#define HTTP(text) \
	"{'name': 'l', 'address': {'socket_address': {'address': '0.0.0.0', 'port_value': 80}}, " \
	"'bind_to_port': false, 'filter_chains': [{'filters': [{'name': 'h', 'typed_config': " \
	"{'@type': '" F "network.http_connection_manager.v3.HttpConnectionManager', " \
	"'stat_prefix': 's', " text "}}]}]}"
#define ROUTER "{'name': 'r', 'typed_config': {'@type': '" F "http.router.v3.Router'}}"

static void by_name(void **state)
{
	struct mesh_part *p = t_part(
		MESH_PART_LISTENER,
		HTTP("'rds': {'config_source': " ADS
		     ", 'route_config_name': '80'}, 'http_filters': ["
		     "{'name': 'stats', 'typed_config': {'@type': "
		     "'type.googleapis.com/udpa.type.v1.TypedStruct', 'type_url': "
		     "'type.googleapis.com/stats.PluginConfig', 'value': {}}}, "
		     "{'name': 'waits', 'config_discovery': {'config_source': " ADS
		     ", 'type_urls': ['x']}}, "
		     "{'name': 'dflt', 'config_discovery': {'config_source': " ADS
		     ", 'type_urls': ['x'], "
		     "'apply_default_config_without_warming': true, 'default_config': {'@type': "
		     "'" F
		     "http.fault.v3.HTTPFault'}}}, " ROUTER "]"));
	const struct mesh_listener *l = mesh_part_listener(p);
	const struct mesh_http_manager *h = l->chains[0].filters[0].http;

	(void)state;
	assert_false(l->bind_to_port);
	assert_null(h->routes);
	assert_true(slice_is_equal(h->route_name, SLICE("80")));
	assert_true(needs(p, MESH_PART_ROUTES, "80", false));
	assert_int_equal(h->n_filters, 3); /* statistics are built in */
	assert_true(slice_is_equal(h->filters[0].discovery, SLICE("waits")));
	assert_null(h->filters[0].kind);
	assert_true(needs(p, MESH_PART_FILTER, "waits", false));
	assert_string_equal(h->filters[1].kind, "fault");
	assert_true(needs(p, MESH_PART_FILTER, "dflt", true));
	mesh_part_unref(p);

	p = t_part(MESH_PART_FILTER, "{'name': 'waits', 'typed_config': {'@type': '" F
				     "http.fault.v3.HTTPFault', 'delay': {'fixed_delay': '2s'}}}");
	assert_string_equal(((const struct mesh_filter *)p->body)->kind, "fault");
	assert_int_equal(((const struct mesh_fault *)((const struct mesh_filter *)p->body)->config)
				 ->delay_ms,
			 2000);
	mesh_part_unref(p);
}

/* A chain with TLS keeps its place among the others: nothing behind it may serve instead. */
static void inbound(void **state)
{
	struct mesh_part *p = t_part(
		MESH_PART_LISTENER,
		"{'name': 'virtualInbound', 'address': {'socket_address': {'address': '0.0.0.0', "
		"'port_value': 15006}}, 'traffic_direction': 'INBOUND', 'use_original_dst': true, "
		"'listener_filters': [{'name': 't', 'typed_config': {'@type': '" F
		"listener.tls_inspector.v3.TlsInspector'}}, {'name': 'h', 'typed_config': "
		"{'@type': '" F
		"listener.http_inspector.v3.HttpInspector'}, 'filter_disabled': {'or_match': "
		"{'rules': "
		"[{'destination_port_range': {'start': 3306, 'end': 3307}}, {'not_match': "
		"{'destination_port_range': {'start': 1, 'end': 9000}}}]}}}], 'filter_chains': ["
		"{'name': 'tls', 'filter_chain_match': {'transport_protocol': 'tls'}, "
		"'transport_socket': " TLS_DOWN
		", 'filters': [{'name': 't', 'typed_config': {'@type': '" F
		"network.tcp_proxy.v3.TcpProxy', 'stat_prefix': 's', 'cluster': 'c'}}]}, "
		"{'name': 'raw', 'filter_chain_match': {'transport_protocol': 'raw_buffer', "
		"'destination_port': 8080}, 'filters': [{'name': 'rbac', 'typed_config': "
		"{'@type': '" F
		"network.rbac.v3.RBAC', 'stat_prefix': 'tcp.', 'rules': {}}}, {'name': 't', "
		"'typed_config': {'@type': '" F
		"network.tcp_proxy.v3.TcpProxy', 'stat_prefix': 's', 'cluster': 'c'}}]}]}");
	const struct mesh_listener *l = mesh_part_listener(p);
	struct mesh_chain_input in = { .transport = SLICE("tls") };

	(void)state;
	assert_true(needs(p, MESH_PART_CLUSTER, "c", true));
	in.local.port = 8080;
	assert_ptr_equal(mesh_chain_find(l, &in), NULL); /* the port comes first: raw only */
	in.local.port = 81;
	assert_int_equal(mesh_chain_find(l, &in)->socket.kind, MESH_SOCKET_TLS);
	assert_true(mesh_chain_find(l, &in)->socket.tls->require_client_certificate);
	in.transport = SLICE_NONE;
	assert_null(mesh_chain_find(l, &in));
	in.local.port = 8080;
	assert_int_equal(mesh_chain_find(l, &in)->filters[0].kind, MESH_NET_RBAC);
	assert_true(mesh_listener_sniffs_tls(l, 3306) && !mesh_listener_sniffs_http(l, 3306));
	assert_true(mesh_listener_sniffs_http(l, 3307) && mesh_listener_sniffs_http(l, 8999));
	assert_false(mesh_listener_sniffs_http(l, 9000));
	mesh_part_unref(p);
}

static void routes(void **state)
{
	struct mesh_part *p = t_part(
		MESH_PART_ROUTES,
		"{'name': '80', 'virtual_hosts': [{'name': 'v', 'domains': ['a.test', "
		"'a.test:80'], "
		"'routes': [{'match': {'prefix': '/'}, 'route': {'weighted_clusters': "
		"{'clusters': "
		"[{'name': 'c1', 'weight': 90}, {'name': 'c2', 'weight': 10}]}, 'retry_policy': "
		"{'retry_on': 'connect-failure,refused-stream,unavailable,cancelled', "
		"'num_retries': "
		"2, 'host_selection_retry_max_attempts': 5, 'retry_host_predicate': [{'name': "
		"'p', "
		"'typed_config': {'@type': '" T
		"retry.host.previous_hosts.v3.PreviousHostsPredicate'}}]}, "
		"'request_mirror_policies': "
		"[{'cluster': 'm', 'runtime_fraction': {'default_value': {'numerator': 50}}, "
		"'disable_shadow_host_suffix_append': true}], 'hash_policy': [{'header': "
		"{'header_name': 'X-User'}, 'terminal': true}, {'cookie': {'name': 'k', 'ttl': "
		"'5s', "
		"'path': '/'}}, {'connection_properties': {'source_ip': true}}]}}]}]}");
	const struct mesh_route_table *t = p->body;
	const struct mesh_route *r = &t->vhosts[0].routes[0];

	(void)state;
	assert_int_equal(r->retry->on, MESH_RETRY_CONNECT | MESH_RETRY_REFUSED |
					       MESH_RETRY_GRPC_UNAVAILABLE |
					       MESH_RETRY_GRPC_CANCELLED);
	assert_int_equal(r->retry->num, 2);
	assert_int_equal(r->retry->host_attempts, 5);
	assert_true(r->retry->other_hosts);
	assert_int_equal(r->n_mirrors, 1);
	assert_int_equal(r->mirrors[0].fraction, 500000);
	assert_true(r->mirrors[0].keep_host);
	assert_int_equal(r->n_hashes, 3);
	assert_true(r->hashes[0].is_terminal);
	assert_true(slice_is_equal(r->hashes[0].name, SLICE("x-user")));
	assert_int_equal(r->hashes[1].ttl_s, 5);
	assert_int_equal(r->hashes[2].source, MESH_HASH_SOURCE_IP);
	assert_true(needs(p, MESH_PART_CLUSTER, "c1", true));
	assert_true(needs(p, MESH_PART_CLUSTER, "c2", true));
	assert_true(needs(p, MESH_PART_CLUSTER, "m", true));
	mesh_part_unref(p);
}

static void rpc_routes(void **state)
{
	struct mesh_part *p = t_part(
		MESH_PART_RPC_ROUTES,
		"{'name': 'dubbo', 'route_config': [{'name': 'a', 'interface': 'org.x.Api', "
		"'routes': "
		"[{'match': {'method': {'name': {'exact': 'get'}}}, 'route': {'cluster': "
		"'c'}}]}]}");
	const struct mesh_rpc_tables *t = p->body;
	struct mesh_part *l;

	(void)state;
	assert_int_equal(t->n, 1);
	assert_true(slice_is_equal(t->v[0].interface, SLICE("org.x.Api")));
	assert_true(needs(p, MESH_PART_CLUSTER, "c", true));
	mesh_part_unref(p);
	l = t_part(
		MESH_PART_LISTENER,
		"{'name': 'd', 'address': {'socket_address': {'address': '0.0.0.0', 'port_value': "
		"20880}}, 'filter_chains': [{'filters': [{'name': 'd', 'typed_config': "
		"{'@type': '" F
		"network.dubbo_proxy.v3.DubboProxy', 'stat_prefix': 's', 'drds': "
		"{'config_source': " ADS
		", 'route_config_name': 'dubbo'}}}]}]}");
	assert_true(needs(l, MESH_PART_RPC_ROUTES, "dubbo", false));
	assert_true(slice_is_equal(mesh_part_listener(l)->chains[0].filters[0].rpc->route_name,
				   SLICE("dubbo")));
	mesh_part_unref(l);
}

/* Secret { name: "cert", tls_certificate { private_key { inline_string: "KEY" } } } */
static void secret(void **state)
{
	static const uint8_t wire[] = { 0x0a, 4, 'c',  'e', 'r', 't', 0x12, 7,
					0x12, 5, 0x1a, 3,   'K', 'E', 'Y' };
	struct xds_report report = { 0 };
	struct mesh_part *p = NULL;
	struct err e = { "" };

	(void)state;
	assert_int_equal(
		xds_compile(MESH_PART_SECRET, slice_of(wire, sizeof(wire)), NULL, &report, &p, &e),
		0);
	assert_true(slice_is_equal(p->name, SLICE("cert")));
	assert_int_equal(report.n, 0);
	assert_int_equal(((const struct xds_secret *)p->body)->bytes.len, sizeof(wire));
	mesh_part_unref(p);
	assert_int_equal(xds_compile(MESH_PART_SECRET, SLICE_NONE, NULL, &report, &p, &e), -EINVAL);
	xds_report_done(&report);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static const struct {
	enum mesh_part_kind kind;
	const char *json, *error; /* its end */
} bad[] = {
	{ MESH_PART_CLUSTER, "{}", "name is required and may not be empty" },
	{ MESH_PART_CLUSTER, "{'name': 'c', 'type': 'EDS'}",
	  "eds_cluster_config.eds_config is required for type EDS" },
	{ MESH_PART_CLUSTER,
	  "{'name': 'c', 'filters': [{'name': 'f', 'typed_config': {'@type': 'a/b.C'}}]}",
	  "filters[0]: cluster filter \"f\" of type \"b.C\" is not supported yet by this "
	  "version" },
	{ MESH_PART_CLUSTER,
	  "{'name': 'c', 'transport_socket_matches': [{'name': 'm', 'match': {'a': 1}}]}",
	  "transport_socket_matches[0]: match.a: only a text is supported" },
	{ MESH_PART_ENDPOINTS,
	  "{'cluster_name': 'c', 'endpoints': [{'lb_endpoints': [{'endpoint': {'address': "
	  "{'socket_address': {'address': 'x.test', 'port_value': 1}}}}]}]}",
	  "\"x.test\" is not an IP address; names need type STRICT_DNS or LOGICAL_DNS" },
	{ MESH_PART_LISTENER,
	  HTTP("'rds': {'route_config_name': 'r'}, 'http_filters': [" ROUTER "]"),
	  "rds: config_source is required" },
	{ MESH_PART_LISTENER,
	  HTTP("'route_config': {}, 'http_filters': [{'name': 'jwt', 'typed_config': {'@type': '" F
	       "http.jwt_authn.v3.JwtAuthentication'}}, " ROUTER "]"),
	  "http_filters[0].typed_config: filter \"jwt\" of type "
	  "\"envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication\" is not supported "
	  "yet by "
	  "this version" },
	{ MESH_PART_LISTENER,
	  HTTP("'route_config': {}, 'http_filters': [{'name': 'x', 'config_discovery': "
	       "{'config_source': " ADS ", 'type_urls': ['x'], 'default_config': {'@type': '" F
	       "http.router.v3.Router'}}}]"),
	  "the router may not be a resource of its own" },
	{ MESH_PART_ROUTES,
	  "{'name': 'r', 'virtual_hosts': [{'name': 'v', 'domains': ['*']}, {'name': 'w', "
	  "'domains': "
	  "['*']}]}",
	  "domain \"*\" stands twice in the virtual hosts of route configuration \"r\"" },
	{ MESH_PART_ROUTES,
	  "{'name': 'r', 'virtual_hosts': [{'name': 'v', 'domains': ['*'], 'routes': [{'match': "
	  "{'prefix': '/'}, 'route': {'cluster': 'c', 'request_mirror_policies': [{}]}}]}]}",
	  "request_mirror_policies[0]: one of cluster and cluster_header is required, and only "
	  "one" },
	{ MESH_PART_FILTER, "{'name': 'f', 'typed_config': {'@type': 'a/b.C'}}",
	  "typed_config: filter \"f\" of type \"b.C\" is not supported yet by this version" },
	{ MESH_PART_LISTENER,
	  "{'name': 'l', 'address': {'socket_address': {'address': '0.0.0.0', 'port_value': 80}}, "
	  "'filter_chains': [{'filters': [{'name': 'n', 'typed_config': {'@type': '" F
	  "network.rbac.v3.RBAC', 'stat_prefix': 's', 'rules': {'policies': {'p': {'permissions': "
	  "[{'not_rule': {'header': {'name': 'a'}}}], 'principals': [{'any': true}]}}}}}]}]}",
	  "typed_config.rules: policies[p]: a connection has no headers" },
	{ MESH_PART_FILTER, "{'name': 'f'}", "typed_config is required for filter \"f\"" },
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mesh_part *p = NULL;
		struct err e = { "" };

		if (t_compile(bad[i].kind, bad[i].json, NULL, &p, &e) == 0)
			fail_msg("taken: %s", bad[i].json);
		assert_null(p);
		if (!slice_has_suffix(slice_str(e.text), slice_str(bad[i].error)))
			fail_msg("%s\n  gives:  %s\n  wanted: %s", bad[i].json, e.text,
				 bad[i].error);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded),   cmocka_unit_test(eds_cluster),
		cmocka_unit_test(sockets),    cmocka_unit_test(by_name),
		cmocka_unit_test(inbound),    cmocka_unit_test(routes),
		cmocka_unit_test(rpc_routes), cmocka_unit_test(secret),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
