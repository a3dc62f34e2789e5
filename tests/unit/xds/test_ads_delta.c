/* SPDX-License-Identifier: Apache-2.0 */
/* The incremental protocol: what is asked, taken, confirmed, refused and asked again. */
#include "t_ads.h"

/* A node with one cluster, its endpoints, one listener and its routes. */
static void start_whole(void)
{
	t_start(ADS_DELTA);
	ads_link_up(t.ads);
	assert_sent("node CDS; LDS");
	t_delta(MESH_PART_CLUSTER, "n1", "a eds:a", "");
	assert_sent("CDS ack n1; EDS +a");
	t_delta(MESH_PART_ENDPOINTS, "n2", "a =1", "");
	assert_sent("EDS ack n2");
	t_delta(MESH_PART_LISTENER, "n3", "l rds:r", "");
	assert_sent("LDS ack n3; RDS +r");
	assert_events("");
	t_delta(MESH_PART_ROUTES, "n4", "r ~cds:a", "");
	assert_sent("RDS ack n4");
	assert_events("ready");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
}

static void test_first_configuration(void **state)
{
	(void)state;
	start_whole();
	assert_true(ads_node_is_complete(t.n));
	t_end();
}

static void test_same_again_changes_nothing(void **state)
{
	(void)state;
	start_whole();
	t_delta(MESH_PART_CLUSTER, "n5", "a eds:a", "");
	t_delta(MESH_PART_ENDPOINTS, "n6", "a =1", "");
	t_delta(MESH_PART_ROUTES, "n7", "r ~cds:a", "");
	assert_sent("CDS ack n5; EDS ack n6; RDS ack n7");
	assert_events("");
	assert_int_equal(t_compiled, 4);
	t_end();
}

static void test_endpoints_alone(void **state)
{
	(void)state;
	start_whole();
	t_delta(MESH_PART_ENDPOINTS, "n5", "a =2", "");
	assert_events("endpoints a=2");
	assert_set("CDS a; EDS a=2; LDS l; RDS r");
	t_end();
}

static void test_shared_endpoints(void **state)
{
	(void)state;
	start_whole();
	t_delta(MESH_PART_CLUSTER, "n5", "b eds:a, c eds:x", "");
	assert_sent("CDS ack n5; EDS +x");
	t_delta(MESH_PART_ENDPOINTS, "n6", "x =7", "");
	assert_events("ready");
	t_delta(MESH_PART_ENDPOINTS, "n7", "a =3, x =8", "");
	assert_events("endpoints a=3; endpoints b=3; endpoints c=8");
	t_end();
}

static void test_subscriptions_end(void **state)
{
	(void)state;
	start_whole();
	*t.requests = '\0';
	t_delta(MESH_PART_LISTENER, "n5", "l rds:s", "");
	assert_sent("LDS ack n5; RDS +s");
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_delta(MESH_PART_ROUTES, "n6", "s", "");
	assert_events("ready");
	assert_sent("RDS ack n6; RDS -r");
	assert_set("CDS a; EDS a=1; LDS l; RDS s");
	t_delta(MESH_PART_CLUSTER, "n7", "", "a");
	assert_events("ready");
	assert_sent("CDS ack n7; EDS -a");
	assert_set("LDS l; RDS s");
	t_end();
}

static void test_nobody_asked(void **state)
{
	struct ads_type_status s;

	(void)state;
	start_whole();
	t_delta(MESH_PART_ENDPOINTS, "n5", "other =1", "");
	assert_sent("EDS ack n5");
	t_delta(MESH_PART_FILTER, "n6", "f", "");
	assert_sent("");
	assert_events("");
	ads_node_type_status(t.n, MESH_PART_ENDPOINTS, &s);
	assert_int_equal(s.ignored, 1);
	assert_int_equal(t.n->unknown, 1);
	t_end();
}

static void note_rejected(void *arg, struct slice name, const char *reason)
{
	t_append(arg, "%.*s: %s\n", SLICE_ARG(name), reason);
}

static void test_nack_keeps_last_good(void **state)
{
	char *text = xcalloc(1, T_TEXT);
	struct ads_type_status s;
	struct ads_status all;

	(void)state;
	start_whole();
	t_delta(MESH_PART_CLUSTER, "n5", "a bad, b =1, c bad", "");
	assert_sent("CDS nack n5 (a: it is bad; c: it is bad)");
	assert_events("ready");
	assert_set("CDS a b=1; EDS a=1; LDS l; RDS r");
	ads_node_each_rejected(t.n, MESH_PART_CLUSTER, note_rejected, text);
	assert_string_equal(text, "a: it is bad\nc: it is bad\n");
	ads_node_type_status(t.n, MESH_PART_CLUSTER, &s);
	assert_int_equal(s.nacks, 1);
	assert_int_equal(s.rejected, 2);
	assert_true(slice_is_equal(s.version, SLICE("n1")));
	assert_false(s.is_in_sync);
	ads_node_status(t.n, &all);
	assert_false(all.is_in_sync);
	t_delta(MESH_PART_CLUSTER, "n6", "a =2 eds:a", "c");
	assert_sent("CDS ack n6");
	assert_events("ready");
	ads_node_status(t.n, &all);
	assert_true(all.is_in_sync);
	assert_set("CDS a=2 b=1; EDS a=1; LDS l; RDS r");
	free(text);
	t_end();
}

static void test_twice_in_one_response(void **state)
{
	(void)state;
	start_whole();
	t_delta(MESH_PART_CLUSTER, "n5", "b =1, c, b =2", "");
	assert_sent("CDS nack n5 (b: the name comes twice in one response)");
	t_delta(MESH_PART_CLUSTER, "n6", "b =1", "b");
	assert_sent("CDS nack n6 (b: the name comes twice in one response)");
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_end();
}

static void test_wrong_contents(void **state)
{
	(void)state;
	start_whole();
	t_delta(MESH_PART_CLUSTER, "n5", "b alien", "");
	assert_sent("CDS nack n5 (b: is of another type than the response)");
	t_delta(MESH_PART_CLUSTER, "n6", "b as=c", "");
	assert_sent("CDS nack n6 (b: the content has another name)");
	t_delta(MESH_PART_CLUSTER, "n7", "b empty", "");
	assert_sent("CDS nack n7 (b: has no content, and is not known)");
	assert_events("");
	t_end();
}

static void test_bytes_that_are_no_message(void **state)
{
	(void)state;
	start_whole();
	ads_stream_message(t.n, SLICE("\xff\xff\xff"));
	assert_int_equal(t.resets, 1);
	assert_sent("");
	t_wait(20);
	assert_int_equal(t.opened, 2);
	assert_sent("node CDS have a=; EDS +a have a=; LDS have l=; RDS +r have r=");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_end();
}

/* A server that answers with garbage each time is not asked again at once for ever. */
static void test_garbage_backs_off(void **state)
{
	(void)state;
	start_whole();
	for (unsigned int i = 1; i <= 3; i++) {
		ads_stream_message(t.n, SLICE("\xff\xff\xff"));
		assert_int_equal(t.n->attempts, i);
		t_wait(20);
		assert_int_equal(t.opened, i + 1);
	}
	*t.requests = '\0';
	t_delta(MESH_PART_CLUSTER, "n5", "a =2 eds:a", "");
	assert_int_equal(t.n->attempts, 0);
	t_end();
}

/* What was refused is no trouble any more when nobody wants it, and none when nobody asked. */
static void test_rejected_goes_with_its_users(void **state)
{
	struct ads_type_status s;

	(void)state;
	start_whole();
	t_delta(MESH_PART_ROUTES, "n5", "r bad, other bad", "");
	assert_sent("RDS nack n5 (r: it is bad; other: it is bad)");
	ads_node_type_status(t.n, MESH_PART_ROUTES, &s);
	assert_int_equal(s.rejected, 1);
	assert_false(s.is_in_sync);
	t_delta(MESH_PART_LISTENER, "n6", "l", "");
	assert_events("ready");
	assert_sent("LDS ack n6; RDS -r");
	ads_node_type_status(t.n, MESH_PART_ROUTES, &s);
	assert_int_equal(s.rejected, 0);
	assert_true(s.is_in_sync);
	t_end();
}

static void test_reconnect_tells_versions(void **state)
{
	struct ads_status s;

	(void)state;
	start_whole();
	t_delta(MESH_PART_CLUSTER, "n5", "a v=7 eds:a, b v=8", "");
	*t.requests = '\0';
	t_close(14);
	ads_link_down(t.ads, "killed");
	t_wait(20);
	assert_int_equal(t.opened, 1);
	ads_node_status(t.n, &s);
	assert_false(s.is_connected);
	assert_false(s.is_in_sync);
	assert_int_equal(s.grpc_status, -1);
	assert_string_equal(s.error, "killed");
	ads_link_up(t.ads);
	assert_sent("node CDS have a=7 have b=8; EDS +a have a=; LDS have l=; RDS +r have r=");
	assert_set("CDS a b; EDS a=1; LDS l; RDS r");
	t_delta(MESH_PART_CLUSTER, "m1", "", "b");
	t_delta(MESH_PART_LISTENER, "m2", "", "");
	*t.events = '\0';
	assert_events("ready");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_end();
}

static void test_time_to_live(void **state)
{
	(void)state;
	start_whole();
	t_delta(MESH_PART_LISTENER, "n5", "m ttl=60", "");
	assert_events("ready");
	for (int i = 0; i < 4; i++) {
		t_wait(30);
		t_delta(MESH_PART_LISTENER, "n6", "m ttl=60 empty", "");
	}
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l m; RDS r");
	t_wait(80);
	assert_events("ready");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_end();
}

static void test_many_names(void **state)
{
	char *text = xcalloc(1, T_TEXT), *want = xcalloc(1, T_TEXT);

	(void)state;
	t_start(ADS_DELTA);
	ads_link_up(t.ads);
	for (int i = 100; i < 600; i++)
		t_append(text, "%sc%d eds:e%d", i > 100 ? "," : "", i, i);
	*t.requests = '\0';
	t_delta(MESH_PART_CLUSTER, "n1", text, "");
	t_append(want, "CDS ack n1; EDS");
	for (int i = 100; i < 600; i++)
		t_append(want, " +e%d", i);
	assert_sent(want);
	*text = '\0';
	for (int i = 100; i < 599; i++)
		t_append(text, "%sc%d", i > 100 ? "," : "", i);
	t_delta(MESH_PART_LISTENER, "n2", "", "");
	t_delta(MESH_PART_CLUSTER, "n3", "", text);
	t_delta(MESH_PART_ENDPOINTS, "n4", "e599 =9", "");
	assert_events("ready");
	assert_set("CDS c599; EDS e599=9");
	free(text);
	free(want);
	t_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_configuration),
		cmocka_unit_test(test_same_again_changes_nothing),
		cmocka_unit_test(test_endpoints_alone),
		cmocka_unit_test(test_shared_endpoints),
		cmocka_unit_test(test_subscriptions_end),
		cmocka_unit_test(test_nobody_asked),
		cmocka_unit_test(test_nack_keeps_last_good),
		cmocka_unit_test(test_twice_in_one_response),
		cmocka_unit_test(test_wrong_contents),
		cmocka_unit_test(test_bytes_that_are_no_message),
		cmocka_unit_test(test_garbage_backs_off),
		cmocka_unit_test(test_rejected_goes_with_its_users),
		cmocka_unit_test(test_reconnect_tells_versions),
		cmocka_unit_test(test_time_to_live),
		cmocka_unit_test(test_many_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
