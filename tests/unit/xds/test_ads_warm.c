/* SPDX-License-Identifier: Apache-2.0 */
/* Make before break: what waits, what stays, and who gives up when. */
#include "t_ads.h"

static void start_with(unsigned int fetch_ms, unsigned int linger_ms)
{
	t_start_with((struct ads_opts){
		.mode = ADS_DELTA, .fetch_timeout_ms = fetch_ms, .linger_ms = linger_ms });
	ads_link_up(t.ads);
}

/* Cluster a for listener l by route r. */
static void start_whole(unsigned int fetch_ms, unsigned int linger_ms)
{
	start_with(fetch_ms, linger_ms);
	t_delta(MESH_PART_CLUSTER, "n", "a eds:a", "");
	t_delta(MESH_PART_LISTENER, "n", "l rds:r", "");
	t_delta(MESH_PART_ENDPOINTS, "n", "a =1", "");
	t_delta(MESH_PART_ROUTES, "n", "r ~cds:a", "");
	assert_events("ready");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	*t.requests = '\0';
}

static void test_new_cluster_waits(void **state)
{
	struct ads_type_status s;

	(void)state;
	start_whole(0, 0);
	t_delta(MESH_PART_CLUSTER, "n", "b eds:b", "");
	t_delta(MESH_PART_ROUTES, "n", "r =2 ~cds:b", "");
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	ads_node_type_status(t.n, MESH_PART_CLUSTER, &s);
	assert_int_equal(s.warming, 1);
	assert_false(s.is_in_sync);
	t_delta(MESH_PART_ENDPOINTS, "n", "b =9", "");
	assert_events("ready");
	assert_set("CDS a b; EDS a=1 b=9; LDS l; RDS r=2");
	t_end();
}

static void test_changed_cluster_serves_as_it_was(void **state)
{
	(void)state;
	start_whole(0, 0);
	t_delta(MESH_PART_CLUSTER, "n", "a =new eds:other", "");
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_delta(MESH_PART_ENDPOINTS, "n", "other =2", "");
	assert_events("ready");
	assert_set("CDS a=new; EDS other=2; LDS l; RDS r");
	t_end();
}

static void test_nobody_waits_for_ever(void **state)
{
	(void)state;
	start_with(40, 0);
	t_delta(MESH_PART_CLUSTER, "n", "a eds:a", "");
	t_delta(MESH_PART_LISTENER, "n", "l rds:r", "");
	assert_events("");
	t_wait(60);
	assert_events("ready");
	assert_set("CDS a; LDS l");
	assert_true(ads_node_is_complete(t.n));
	/* It comes late. */
	t_delta(MESH_PART_ENDPOINTS, "n", "a =1", "");
	assert_events("endpoints a=1");
	t_end();
}

static void test_refused_and_gone_count_as_answers(void **state)
{
	(void)state;
	start_with(0, 0);
	t_delta(MESH_PART_CLUSTER, "n", "a eds:a", "");
	t_delta(MESH_PART_LISTENER, "n", "l rds:r", "");
	t_delta(MESH_PART_ENDPOINTS, "n", "a bad", "");
	t_delta(MESH_PART_ROUTES, "n", "", "r");
	assert_events("ready");
	assert_set("CDS a; LDS l");
	t_end();
}

static void test_weak_needs_are_not_waited_for(void **state)
{
	(void)state;
	start_with(0, 0);
	t_delta(MESH_PART_CLUSTER, "n", "a sds:key", "");
	t_delta(MESH_PART_LISTENER, "n", "l ~ecds:f ~cds:nowhere", "");
	assert_events("ready");
	assert_set("CDS a; LDS l");
	t_delta(MESH_PART_FILTER, "n", "f =1", "");
	assert_events("ready");
	assert_set("CDS a; LDS l; ECDS f=1");
	t_delta(MESH_PART_FILTER, "n", "", "f");
	assert_events("ready");
	assert_set("CDS a; LDS l");
	t_end();
}

static void test_strong_filter_is_waited_for(void **state)
{
	(void)state;
	start_with(0, 0);
	t_delta(MESH_PART_CLUSTER, "n", "", "");
	t_delta(MESH_PART_LISTENER, "n", "l ecds:f", "");
	assert_events("");
	t_delta(MESH_PART_FILTER, "n", "f =1", "");
	assert_events("ready");
	assert_set("LDS l; ECDS f=1");
	t_end();
}

static void test_removed_cluster_stays_for_its_routes(void **state)
{
	(void)state;
	start_whole(0, 0);
	t_delta(MESH_PART_CLUSTER, "n", "b", "a");
	assert_events("ready");
	assert_set("CDS a b; EDS a=1; LDS l; RDS r");
	t_delta(MESH_PART_ROUTES, "n", "r ~cds:b", "");
	assert_events("ready");
	assert_set("CDS b; LDS l; RDS r");
	t_end();
}

/* What comes for it meanwhile is not for those who still use it. */
static void test_removed_cluster_keeps_its_endpoints(void **state)
{
	struct ads_status s;

	(void)state;
	start_whole(0, 0);
	t_delta(MESH_PART_CLUSTER, "n", "b eds:b", "a");
	t_delta(MESH_PART_ENDPOINTS, "n", "a =all", "");
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_delta(MESH_PART_ENDPOINTS, "n", "b =2", "");
	assert_events("ready");
	assert_set("CDS a b; EDS a=1 b=2; LDS l; RDS r");
	t_delta(MESH_PART_ROUTES, "n", "r =2 ~cds:b", "");
	assert_events("ready");
	assert_set("CDS b; EDS b=2; LDS l; RDS r=2");
	ads_node_status(t.n, &s);
	assert_true(s.is_in_sync);
	t_end();
}

static void test_removed_cluster_that_comes_back_has_the_latest(void **state)
{
	(void)state;
	start_whole(0, 0);
	t_delta(MESH_PART_CLUSTER, "n", "", "a");
	t_delta(MESH_PART_ENDPOINTS, "n", "a =2", "");
	assert_events("");
	t_delta(MESH_PART_CLUSTER, "n", "a eds:a", "");
	assert_events("endpoints a=2");
	assert_set("CDS a; EDS a=2; LDS l; RDS r");
	t_end();
}

static void test_removed_cluster_does_not_stay_long(void **state)
{
	(void)state;
	start_whole(0, 40);
	t_delta(MESH_PART_CLUSTER, "n", "", "a");
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_wait(60);
	assert_events("ready");
	assert_set("LDS l; RDS r");
	assert_sent("CDS ack n; EDS -a");
	t_end();
}

static void test_removed_cluster_comes_back(void **state)
{
	(void)state;
	start_whole(0, 40);
	t_delta(MESH_PART_CLUSTER, "n", "", "a");
	assert_events("");
	t_delta(MESH_PART_CLUSTER, "n", "a eds:a", "");
	t_wait(60);
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	assert_sent("CDS ack n; CDS ack n");
	t_end();
}

static void test_listener_stays_until_its_successor_is_there(void **state)
{
	(void)state;
	start_whole(0, 0);
	t_delta(MESH_PART_LISTENER, "n", "m rds:s", "l");
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_delta(MESH_PART_ROUTES, "n", "s ~cds:a", "");
	assert_events("ready");
	assert_set("CDS a; EDS a=1; LDS m; RDS s");
	assert_sent("LDS ack n; RDS +s; RDS ack n; RDS -r");
	t_end();
}

static void test_removed_routes_and_endpoints_stay(void **state)
{
	(void)state;
	start_whole(0, 0);
	t_delta(MESH_PART_ROUTES, "n", "", "r");
	t_delta(MESH_PART_ENDPOINTS, "n", "", "a");
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_end();
}

static void test_empty_configuration_is_one(void **state)
{
	(void)state;
	start_with(0, 0);
	t_delta(MESH_PART_CLUSTER, "n", "", "");
	assert_events("");
	assert_false(ads_node_is_ready(t.n));
	t_delta(MESH_PART_LISTENER, "n", "", "");
	assert_events("ready");
	assert_set("");
	t_end();
}

static struct xds_resource *resource(enum mesh_part_kind kind, const char *text)
{
	struct xds_resource *r;
	struct t_spec x;

	t_spec_parse(slice_str(text), &x);
	r = xds_store_get(t.store, kind, buf_slice(&x.content));
	buf_done(&x.content);
	return r;
}

static void test_last_good_serves_first(void **state)
{
	(void)state;
	t_start(ADS_DELTA);
	ads_node_restore(t.n, resource(MESH_PART_ROUTES, "r ~cds:a"));
	ads_node_restore(t.n, resource(MESH_PART_ROUTES, "unused"));
	ads_node_restore(t.n, resource(MESH_PART_ENDPOINTS, "a =1"));
	ads_node_restore(t.n, resource(MESH_PART_LISTENER, "l rds:r"));
	ads_node_restore(t.n, resource(MESH_PART_CLUSTER, "a eds:a"));
	ads_node_restore(t.n, resource(MESH_PART_CLUSTER, "b bad"));
	ads_node_restored(t.n);
	assert_events("ready");
	assert_true(ads_node_is_stale(t.n));
	assert_false(ads_node_is_complete(t.n));
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	ads_link_up(t.ads);
	assert_sent("node CDS have a=; EDS +a have a=; LDS have l=; RDS +r have r=");
	t_delta(MESH_PART_CLUSTER, "n", "a eds:a", "");
	t_delta(MESH_PART_LISTENER, "n", "l rds:r", "");
	assert_events("");
	assert_true(ads_node_is_stale(t.n));
	t_delta(MESH_PART_ENDPOINTS, "n", "a =2", "");
	assert_events("endpoints a=2");
	t_delta(MESH_PART_ROUTES, "n", "r ~cds:a", "");
	assert_events("ready");
	assert_false(ads_node_is_stale(t.n));
	assert_true(ads_node_is_complete(t.n));
	assert_set("CDS a; EDS a=2; LDS l; RDS r");
	t_end();
}

static void test_nodes_share(void **state)
{
	struct ads_node *m;
	struct xds_store_totals totals;

	(void)state;
	start_whole(0, 0);
	m = ads_node_add(t.ads, &(struct ads_node_info){ .id = "n2", .cluster = "c" }, NULL);
	t_turn();
	assert_sent("node CDS; LDS");
	t_say(m, MESH_PART_CLUSTER, "n", "a eds:a", "");
	t_say(m, MESH_PART_LISTENER, "n", "l rds:r", "");
	t_say(m, MESH_PART_ENDPOINTS, "n", "a =1", "");
	t_say(m, MESH_PART_ROUTES, "n", "r ~cds:a", "");
	assert_events("ready");
	assert_int_equal(t_compiled, 4);
	xds_store_totals_get(t.store, &totals);
	assert_int_equal(totals.resources, 4);
	assert_int_equal(ads_node_fingerprint(t.n), ads_node_fingerprint(m));
	t_say(m, MESH_PART_ENDPOINTS, "n", "a =2", "");
	assert_events("endpoints a=2");
	assert_int_not_equal(ads_node_fingerprint(t.n), ads_node_fingerprint(m));
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	ads_node_remove(m);
	xds_store_totals_get(t.store, &totals);
	assert_int_equal(totals.resources, 4);
	t_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_cluster_waits),
		cmocka_unit_test(test_changed_cluster_serves_as_it_was),
		cmocka_unit_test(test_nobody_waits_for_ever),
		cmocka_unit_test(test_refused_and_gone_count_as_answers),
		cmocka_unit_test(test_weak_needs_are_not_waited_for),
		cmocka_unit_test(test_strong_filter_is_waited_for),
		cmocka_unit_test(test_removed_cluster_stays_for_its_routes),
		cmocka_unit_test(test_removed_cluster_keeps_its_endpoints),
		cmocka_unit_test(test_removed_cluster_that_comes_back_has_the_latest),
		cmocka_unit_test(test_removed_cluster_does_not_stay_long),
		cmocka_unit_test(test_removed_cluster_comes_back),
		cmocka_unit_test(test_listener_stays_until_its_successor_is_there),
		cmocka_unit_test(test_removed_routes_and_endpoints_stay),
		cmocka_unit_test(test_empty_configuration_is_one),
		cmocka_unit_test(test_last_good_serves_first),
		cmocka_unit_test(test_nodes_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
