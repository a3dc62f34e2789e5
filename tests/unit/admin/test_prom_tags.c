/* SPDX-License-Identifier: Apache-2.0 */
/* Names of statistics become the families and labels that Envoy's Prometheus page has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "admin/admin_impl.h"

static const struct {
	const char *name, *family, *labels;
} cases[] = {
	{ "server.uptime", "envoy_server_uptime", "" },
	{ "cluster.local.upstream_cx_total", "envoy_cluster_upstream_cx_total",
	  "envoy_cluster_name=\"local\"" },
	{ "cluster.local.upstream_rq_2xx", "envoy_cluster_upstream_rq_xx",
	  "envoy_response_code_class=\"2\",envoy_cluster_name=\"local\"" },
	{ "cluster.local.upstream_rq_503", "envoy_cluster_upstream_rq",
	  "envoy_response_code=\"503\",envoy_cluster_name=\"local\"" },
	{ "cluster.local.upstream_rq_5030", "envoy_cluster_upstream_rq_5030",
	  "envoy_cluster_name=\"local\"" },
	{ "cluster.outbound|80||reviews.default.svc.cluster.local.upstream_rq_total",
	  "envoy_cluster_upstream_rq_total",
	  "envoy_cluster_name=\"outbound|80||reviews.default.svc.cluster.local\"" },
	{ "cluster.a.circuit_breakers.default.cx_open",
	  "envoy_cluster_circuit_breakers_default_cx_open", "envoy_cluster_name=\"a\"" },
	{ "http.ingress_http.downstream_rq_total", "envoy_http_downstream_rq_total",
	  "envoy_http_conn_manager_prefix=\"ingress_http\"" },
	{ "http.outbound_0.0.0.0_8080.downstream_rq_4xx", "envoy_http_downstream_rq_xx",
	  "envoy_response_code_class=\"4\","
	  "envoy_http_conn_manager_prefix=\"outbound_0.0.0.0_8080\"" },
	{ "listener.0.0.0.0_15001.downstream_cx_total", "envoy_listener_downstream_cx_total",
	  "envoy_listener_address=\"0.0.0.0_15001\"" },
	{ "listener.[__1]_80.downstream_cx_total", "envoy_listener_downstream_cx_total",
	  "envoy_listener_address=\"[__1]_80\"" },
	{ "listener.127.0.0.1_80.http.web.downstream_rq_5xx",
	  "envoy_listener_http_downstream_rq_xx",
	  "envoy_response_code_class=\"5\",envoy_http_conn_manager_prefix=\"web\","
	  "envoy_listener_address=\"127.0.0.1_80\"" },
	{ "listener.127.0.0.1_80.worker_1.downstream_cx_active",

	  "envoy_listener_worker_downstream_cx_active",
	  "envoy_worker_id=\"1\",envoy_listener_address=\"127.0.0.1_80\"" },
	{ "listener_manager.listener_added", "envoy_listener_manager_listener_added", "" },
	{ "tcp.out.downstream_cx_total", "envoy_tcp_downstream_cx_total",
	  "envoy_tcp_prefix=\"out\"" },
	{ "tcp.outbound|80||a.b.svc.downstream_cx_total", "envoy_tcp_downstream_cx_total",
	  "envoy_tcp_prefix=\"outbound|80||a.b.svc\"" },
	{ "dubbo.incomming.request_twoway", "envoy_dubbo_incomming_request_twoway", "" },
	{ "limiter.http_local_rate_limit.rate_limited", "envoy_http_local_rate_limit_rate_limited",
	  "envoy_local_http_ratelimit_prefix=\"limiter\"" },
	{ "vhost.v.vcluster.c.upstream_rq_total", "envoy_vhost_vcluster_upstream_rq_total",
	  "envoy_virtual_cluster=\"c\",envoy_virtual_host=\"v\"" },
	{ "istio_requests_total{reporter=\"source\",response_code=\"200\"}", "istio_requests_total",
	  "reporter=\"source\",response_code=\"200\"" },
	{ "istio_build", "istio_build", "" },
	{ "skiff_capture{reason=\"out_l7\"}", "skiff_capture", "reason=\"out_l7\"" },
	{ "cluster.a\"b\\c.x-y", "envoy_cluster_x_y", "envoy_cluster_name=\"a\\\"b\\\\c\"" },
};

static void names_split_as_envoy_does(void **state)
{
	struct prom_tags *t = prom_tags_new();
	struct buf family = { 0 }, labels = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		prom_tags_split(t, cases[i].name, &family, &labels);
		buf_add_char(&family, '\0');
		buf_add_char(&labels, '\0');
		assert_string_equal(buf_ptr(&family), cases[i].family);
		assert_string_equal(buf_ptr(&labels), cases[i].labels);
		buf_clear(&family);
		buf_clear(&labels);
	}
	buf_done(&family);
	buf_done(&labels);
	prom_tags_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_split_as_envoy_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
