/* SPDX-License-Identifier: Apache-2.0 */
/* The state-of-the-world protocol, and the way to it from the incremental one. */
#include "t_ads.h"

static void start_whole(void)
{
	t_start(ADS_SOTW);
	ads_link_up(t.ads);
	assert_sent("node CDS; LDS");
	t_sotw(MESH_PART_CLUSTER, "1", "a eds:a, b");
	assert_sent("CDS version 1 ack 1; EDS a");
	t_sotw(MESH_PART_ENDPOINTS, "2", "a =1");
	assert_sent("EDS a version 2 ack 2");
	t_sotw(MESH_PART_LISTENER, "3", "l rds:r");
	assert_sent("LDS version 3 ack 3; RDS r");
	t_sotw(MESH_PART_ROUTES, "4", "r");
	assert_sent("RDS r version 4 ack 4");
	assert_events("ready");
	assert_set("CDS a b; EDS a=1; LDS l; RDS r");
}

static void test_first_configuration(void **state)
{
	struct ads_status s;

	(void)state;
	start_whole();
	ads_node_status(t.n, &s);
	assert_true(s.is_in_sync);
	assert_false(s.is_delta);
	t_end();
}

static void test_what_is_missing_is_removed(void **state)
{
	(void)state;
	start_whole();
	t_sotw(MESH_PART_CLUSTER, "5", "a eds:a");
	assert_events("ready");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_sotw(MESH_PART_ENDPOINTS, "6", "");
	assert_events("");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_sotw(MESH_PART_LISTENER, "7", "");
	assert_events("ready");
	assert_set("CDS a; EDS a=1");
	assert_sent("CDS version 5 ack 5; EDS a version 6 ack 6; LDS version 7 ack 7; "
		    "RDS version 4 ack 4");
	t_end();
}

static void test_nack_says_the_last_good_version(void **state)
{
	(void)state;
	start_whole();
	t_sotw(MESH_PART_CLUSTER, "5", "a bad, c");
	assert_sent("CDS version 1 nack 5 (a: it is bad)");
	assert_events("ready");
	assert_set("CDS a c; EDS a=1; LDS l; RDS r");
	t_sotw(MESH_PART_CLUSTER, "6", "c");
	assert_sent("CDS version 6 ack 6");
	assert_events("ready");
	assert_sent("EDS version 2 ack 2");
	assert_set("CDS c; LDS l; RDS r");
	t_end();
}

static void test_twice_and_strange(void **state)
{
	(void)state;
	start_whole();
	t_sotw(MESH_PART_CLUSTER, "5", "a eds:a, b, c =1, c =2");
	assert_sent("CDS version 1 nack 5 (c: the name comes twice in one response)");
	assert_events("ready");
	assert_set("CDS a b c=1; EDS a=1; LDS l; RDS r");
	/* Who knows which one the strange one is: nothing is taken away. */
	t_sotw(MESH_PART_CLUSTER, "6", "a eds:a, x alien");
	assert_sent("CDS version 1 nack 6 (is of another type than the response)");
	assert_events("");
	assert_set("CDS a b c=1; EDS a=1; LDS l; RDS r");
	t_end();
}

static void test_envelope_with_time_to_live(void **state)
{
	(void)state;
	start_whole();
	t_sotw(MESH_PART_CLUSTER, "5", "a eds:a, b ttl=80");
	assert_sent("CDS version 5 ack 5");
	t_wait(40);
	t_sotw(MESH_PART_CLUSTER, "6", "a eds:a, b ttl=80 empty");
	assert_sent("CDS version 6 ack 6");
	t_wait(60);
	assert_events("");
	t_wait(60);
	assert_events("ready");
	assert_set("CDS a; EDS a=1; LDS l; RDS r");
	t_end();
}

static void test_reconnect(void **state)
{
	(void)state;
	start_whole();
	t_close(0);
	t_wait(20);
	assert_int_equal(t.opened, 2);
	assert_sent("node CDS version 1; EDS a version 2; LDS version 3; RDS r version 4");
	t_sotw(MESH_PART_CLUSTER, "9", "a eds:a, b");
	assert_sent("CDS version 9 ack 9");
	assert_events("");
	t_end();
}

static void test_unimplemented_delta(void **state)
{
	struct ads_status s;

	(void)state;
	t_start(ADS_AUTO);
	ads_link_up(t.ads);
	assert_true(((struct t_stream *)t.n->stream)->is_delta);
	assert_sent("node CDS; LDS");
	t_close(12);
	assert_sent("node CDS; LDS");
	assert_false(((struct t_stream *)t.n->stream)->is_delta);
	t_sotw(MESH_PART_CLUSTER, "1", "b");
	t_sotw(MESH_PART_LISTENER, "1", "l");
	assert_events("ready");
	assert_set("CDS b; LDS l");
	ads_node_status(t.n, &s);
	assert_false(s.is_delta);
	/* It is remembered until the connection is another one. */
	t_close(14);
	t_wait(20);
	assert_false(((struct t_stream *)t.n->stream)->is_delta);
	t_close(14);
	ads_link_down(t.ads, "killed");
	ads_link_up(t.ads);
	assert_true(((struct t_stream *)t.n->stream)->is_delta);
	t_end();
}

static void test_nothing_implemented(void **state)
{
	unsigned int opened;

	(void)state;
	t_start(ADS_AUTO);
	ads_link_up(t.ads);
	for (int i = 0; i < 10; i++) {
		t_close(12);
		if (!t.n->stream)
			t_wait(10);
	}
	opened = t.opened;
	assert_int_equal(opened, 11);
	t_end();
}

static void test_delta_only(void **state)
{
	(void)state;
	t_start(ADS_DELTA);
	ads_link_up(t.ads);
	t_close(12);
	t_wait(20);
	assert_int_equal(t.opened, 2);
	assert_true(((struct t_stream *)t.n->stream)->is_delta);
	t_end();
}

static void test_streams_that_cannot_be(void **state)
{
	(void)state;
	t_start(ADS_AUTO);
	t.refuse_open = true;
	ads_link_up(t.ads);
	t_wait(30);
	assert_in_range(t.opened, 3, 30);
	t.refuse_open = false;
	t.fail_send = true;
	t_wait(20);
	assert_true(t.resets > 0);
	t.fail_send = false;
	t_wait(20);
	*t.requests = '\0';
	t_delta(MESH_PART_CLUSTER, "1", "b", "");
	assert_sent("CDS ack 1");
	t_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_configuration),
		cmocka_unit_test(test_what_is_missing_is_removed),
		cmocka_unit_test(test_nack_says_the_last_good_version),
		cmocka_unit_test(test_twice_and_strange),
		cmocka_unit_test(test_envelope_with_time_to_live),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_unimplemented_delta),
		cmocka_unit_test(test_nothing_implemented),
		cmocka_unit_test(test_delta_only),
		cmocka_unit_test(test_streams_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
