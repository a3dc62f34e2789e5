/* SPDX-License-Identifier: Apache-2.0 */
/* A pod's record becomes what its sidecar would say of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>

#include <cmocka.h>

#include "xds/node.h"

static void test_pod(void **state)
{
	const struct xds_pod_label labels[] = { { "app", "web" }, { "version", "v1" } };
	struct addr a[2];
	struct xds_pod p = { .name = "web-1",
			     .namespace_ = "shop",
			     .addresses = a,
			     .n_addresses = 2,
			     .service_account = "web-sa",
			     .labels = labels,
			     .n_labels = 2,
			     .zone = "z" };
	struct xds_node n;
	struct err e;
	json_t *want;

	(void)state;
	assert_int_equal(addr_parse_ip(SLICE("10.0.0.7"), &a[0]), 0);
	assert_int_equal(addr_parse_ip(SLICE("fd00::7"), &a[1]), 0);
	assert_int_equal(xds_node_make(&p, &n, &e), 0);
	assert_string_equal(n.info.id, "sidecar~10.0.0.7~web-1.shop~shop.svc.cluster.local");
	assert_string_equal(n.info.cluster, "web.shop");
	assert_string_equal(n.info.zone, "z");
	want = json_pack("{ss ss ss s{ss ss} ss ss ss ss ss ss}", "NAME", "web-1", "NAMESPACE",
			 "shop", "INSTANCE_IPS", "10.0.0.7,fd00::7", "LABELS", "app", "web",
			 "version", "v1", "SERVICE_ACCOUNT", "web-sa", "WORKLOAD_NAME", "web",
			 "CLUSTER_ID", "Kubernetes", "MESH_ID", "cluster.local", "ISTIO_VERSION",
			 XDS_ISTIO_VERSION, "INTERCEPTION_MODE", "REDIRECT");
	assert_non_null(want);
	assert_true(json_equal(want, n.info.metadata));
	json_decref(want);
	xds_node_done(&n);
}

static void test_what_is_needed(void **state)
{
	struct addr a;
	struct xds_pod p = { .name = "x", .addresses = &a, .n_addresses = 1 };
	struct xds_node n;
	struct err e;

	(void)state;
	assert_int_equal(addr_parse_ip(SLICE("10.0.0.7"), &a), 0);
	assert_int_equal(xds_node_make(&p, &n, &e), -EINVAL);
	p.namespace_ = "ns";
	p.n_addresses = 0;
	assert_int_equal(xds_node_make(&p, &n, &e), -EINVAL);
	p.n_addresses = 1;
	assert_int_equal(xds_node_make(&p, &n, &e), 0);
	assert_string_equal(n.info.cluster, "x.ns");
	xds_node_done(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pod),
		cmocka_unit_test(test_what_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
