/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual hosts on demand, and streams that move to another connection. */
#include "t_ads.h"

static void ev_host(struct ads_node *n, struct slice table, struct slice host)
{
	(void)n;
	t_append(t.events, "%shost %.*s %.*s", *t.events ? "; " : "", SLICE_ARG(table),
		 SLICE_ARG(host));
}

/* Listener l with the table r, which has vhds. */
static void start(unsigned int linger_ms)
{
	t_start_with((struct ads_opts){ .mode = ADS_DELTA, .linger_ms = linger_ms });
	t.ads->ops.host = ev_host;
	ads_link_up(t.ads);
	t_delta(MESH_PART_CLUSTER, "n", "", "");
	t_delta(MESH_PART_LISTENER, "n", "l rds:r", "");
	*t.requests = '\0';
	t_delta(MESH_PART_ROUTES, "n", "r vhds:r", "");
}

static int want(const char *host)
{
	return ads_node_want_host(t.n, SLICE("r"), slice_str(host));
}

static const struct xds_resource *table(void)
{
	const struct ads_table *all = &t.n->subs[MESH_PART_ROUTES].table;

	return ads_table_find(all, xds_name_find(t.store, SLICE("r")))->cur;
}

static bool table_has(const char *word)
{
	return memmem(table()->bytes.ptr, table()->bytes.len, word, strlen(word)) != NULL;
}

static void test_table_waits_a_moment(void **state)
{
	(void)state;
	start(0);
	assert_non_null(strstr(t.requests, "VHDS"));
	assert_null(strstr(t.requests, "+r"));
	assert_events("");
	t_delta(MESH_PART_VHOST, "n", "r/a as=a =one", "");
	assert_events("ready");
	assert_true(table_has("one"));
	t_end();
}

static void test_nothing_comes(void **state)
{
	struct ads_status s;

	(void)state;
	start(0);
	t_wait(ADS_VHDS_FIRST_MS + 50);
	assert_events("ready");
	ads_node_status(t.n, &s);
	assert_true(s.is_in_sync);
	t_end();
}

static void test_host_is_asked_for_and_told(void **state)
{
	(void)state;
	start(0);
	t_delta(MESH_PART_VHOST, "n", "", "");
	assert_events("ready");
	*t.requests = '\0';
	assert_int_equal(want("b"), 0);
	assert_int_equal(want("b"), 0);
	assert_string_equal(t.requests, "VHDS +r/b");
	assert_events("");
	t_delta(MESH_PART_VHOST, "n", "r/b as=b =two", "");
	assert_events("ready; host r b");
	assert_true(table_has("two"));
	assert_int_equal(want("b"), -ENOENT);
	assert_int_equal(ads_node_want_host(t.n, SLICE("other"), SLICE("b")), -ENOENT);
	t_end();
}

static void test_what_does_not_exist_is_forgotten(void **state)
{
	(void)state;
	start(30);
	t_delta(MESH_PART_VHOST, "n", "", "");
	assert_events("ready");
	assert_int_equal(want("b"), 0);
	t_delta(MESH_PART_VHOST, "n", "", "r/b");
	assert_events("host r b");
	assert_int_equal(want("b"), -ENOENT);
	*t.requests = '\0';
	t_wait(60);
	assert_string_equal(t.requests, "VHDS -r/b");
	assert_int_equal(want("b"), 0);
	t_end();
}

static void test_bad_together(void **state)
{
	(void)state;
	start(0);
	t_delta(MESH_PART_VHOST, "n", "r/a as=a =one", "");
	assert_events("ready");
	t_delta(MESH_PART_VHOST, "n2", "r/a as=a bad", "");
	assert_non_null(strstr(t.requests, "r/a: it is bad"));
	assert_events("");
	assert_true(table_has("one"));
	t_delta(MESH_PART_VHOST, "n3", "r/a as=a =three, other/x as=x", "r/none");
	assert_events("ready");
	assert_true(table_has("three"));
	assert_int_equal(t.n->subs[MESH_PART_VHOST].ignored, 1);
	t_end();
}

static void test_table_goes(void **state)
{
	(void)state;
	start(0);
	t_delta(MESH_PART_VHOST, "n", "r/a as=a =one", "");
	assert_int_equal(want("b"), 0);
	t_delta(MESH_PART_ROUTES, "n", "r =plain", "");
	t_turn();
	assert_false(table_has("one"));
	assert_int_equal(t.n->subs[MESH_PART_VHOST].table.n, 0);
	assert_int_equal(want("c"), -ENOENT);
	t_end();
}

static void test_too_many_wait(void **state)
{
	char host[32];

	(void)state;
	start(0);
	t_delta(MESH_PART_VHOST, "n", "", "");
	for (int i = 0; i < ADS_HOSTS_MAX + 10; i++) {
		snprintf(host, sizeof(host), "h%d", i);
		*t.requests = '\0';
		assert_int_equal(want(host), i < ADS_HOSTS_MAX - 1 ? 0 : -ENOENT);
	}
	t_end();
}

static void test_moved(void **state)
{
	struct ads_status s;

	(void)state;
	start(0);
	t_delta(MESH_PART_VHOST, "n", "", "");
	assert_events("ready");
	*t.requests = '\0';
	ads_link_moved(t.ads);
	assert_int_equal(t.opened, 2);
	assert_int_equal(t.resets, 1);
	assert_non_null(strstr(t.requests, "node"));
	ads_node_status(t.n, &s);
	assert_true(s.is_connected && s.is_in_sync);
	assert_string_equal(s.error, "");
	t_delta(MESH_PART_CLUSTER, "n", "a", "");
	assert_events("ready");
	t_end();
}

static void test_time_to_live(void **state)
{
	(void)state;
	start(0);
	t_delta(MESH_PART_VHOST, "n", "r/a as=a ttl=80 =one, r/b as=b =two", "");
	assert_events("ready");
	for (int i = 0; i < 4; i++) {
		t_wait(40);
		t_delta(MESH_PART_VHOST, "n", "r/a ttl=80 empty", "");
	}
	assert_true(table_has("one"));
	assert_events("");
	t_wait(120);
	assert_events("ready");
	assert_false(table_has("one"));
	assert_true(table_has("two"));
	t_delta(MESH_PART_VHOST, "n", "r/a as=a ttl=40 =three", "");
	assert_events("ready");
	assert_true(table_has("three"));
	/* Sent again without one, it stays. */
	t_delta(MESH_PART_VHOST, "n", "r/a as=a =three", "");
	t_wait(80);
	assert_true(table_has("three"));
	t_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_waits_a_moment),
		cmocka_unit_test(test_nothing_comes),
		cmocka_unit_test(test_host_is_asked_for_and_told),
		cmocka_unit_test(test_what_does_not_exist_is_forgotten),
		cmocka_unit_test(test_bad_together),
		cmocka_unit_test(test_table_goes),
		cmocka_unit_test(test_too_many_wait),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_time_to_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
