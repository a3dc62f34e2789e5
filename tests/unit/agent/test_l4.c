/* SPDX-License-Identifier: Apache-2.0 */
/* Which services the kernel may balance, with what weights, and who shares them. */
#include "t_agent.h"

static struct l4 *l4;

static int begin(void **state)
{
	(void)state;
	l4 = l4_new(NULL);
	t_told();
	t_no_room = NULL;
	return 0;
}

static int end(void **state)
{
	(void)state;
	l4_free(l4);
	return 0;
}

#define A T_END("10.0.0.1", "")
#define B T_END("10.0.0.2", "")
#define WEIGHING(n) ", 'load_balancing_weight': " n

/* ---- may it be a service? -------------------------------------------------------------------- */

static void listeners(void **state)
{
	static const struct {
		const char *what, *json;
		bool may;
	} cases[] = {
		{ "plain", T_TCP("l", "10.9.9.9", "1", "c"), true },
		{ "an access log of its own",
		  T_LISTENER("l", "OUTBOUND", "10.9.9.9", "1", T_TCP_PROXY("'cluster': 'c'"),
			     ", 'access_log': [{'name': 'a', 'typed_config': {'@type': '" T_URL
			     "extensions.access_loggers.file.v3.FileAccessLog', 'path': "
			     "'/dev/null'}}]"),
		  false },
		{ "an access log of the proxy",
		  T_LISTENER("l", "OUTBOUND", "10.9.9.9", "1",
			     T_TCP_PROXY("'cluster': 'c', 'access_log': [{'name': 'a', "
					 "'typed_config': {'@type': '" T_URL
					 "extensions.access_loggers.file.v3.FileAccessLog', "
					 "'path': '/dev/null'}}]"),
			     ""),
		  false },
		{ "a filter before the proxy",
		  T_LISTENER("l", "OUTBOUND", "10.9.9.9", "1",
			     "{'name': 'r', 'typed_config': {'@type': '" T_URL
			     "extensions.filters.network.local_ratelimit.v3.LocalRateLimit', "
			     "'stat_prefix': 'r', 'token_bucket': {'max_tokens': 1, "
			     "'fill_interval': '1s'}}}, " T_TCP_PROXY("'cluster': 'c'"),
			     ""),
		  false },
		{ "two chains",
		  T_LISTENER("l", "OUTBOUND", "10.9.9.9", "1", T_TCP_PROXY("'cluster': 'c'"),
			     ", 'default_filter_chain': {'filters': [" T_TCP_PROXY(
				     "'cluster': 'c'") "]}"),
		  false },
		{ "a chain for some",
		  "{'name': 'l', 'traffic_direction': 'OUTBOUND', 'bind_to_port': false, "
		  "'address': {'socket_address': {'address': '10.9.9.9', 'port_value': 1}}, "
		  "'filter_chains': [{'filter_chain_match': {'transport_protocol': 'tls'}, "
		  "'filters': [" T_TCP_PROXY("'cluster': 'c'") "]}]}",
		  false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mesh_view *v = t_view(cases[i].json, T_CLUSTER("c", A, ""));

		print_message("%s\n", cases[i].what);
		assert_int_equal(l4_is_candidate(mesh_view_listener_at(v, 0)), cases[i].may);
		mesh_view_unref(v);
	}
}

static void clusters(void **state)
{
	static const struct {
		const char *what, *json;
		bool may;
	} cases[] = {
		{ "plain", T_CLUSTER("c", A, ""), true },
		{ "least requests", T_CLUSTER("c", A, ", 'lb_policy': 'LEAST_REQUEST'"), false },
		{ "random", T_CLUSTER("c", A, ", 'lb_policy': 'RANDOM'"), true },
		{ "a hash", T_CLUSTER("c", A, ", 'lb_policy': 'RING_HASH'"), false },
		{ "outliers", T_CLUSTER("c", A, ", 'outlier_detection': {}"), false },
		{ "a limit",
		  T_CLUSTER("c", A,
			    ", 'circuit_breakers': {'thresholds': [{'max_connections': 5}]}"),
		  false },
		{ "Envoy's own limit",
		  T_CLUSTER("c", A,
			    ", 'circuit_breakers': {'thresholds': [{'max_connections': 1024}]}"),
		  true },
		{ "names",
		  "{'name': 'c', 'type': 'STRICT_DNS', 'connect_timeout': '1s', "
		  "'load_assignment': {'cluster_name': 'c', 'endpoints': [{'lb_endpoints': "
		  "[" T_END("a.test", "") "]}]}}",
		  false },
		{ "no endpoint", T_CLUSTER("c", "", ""), false },
		{ "none that is healthy",
		  T_CLUSTER("c", T_END("10.0.0.1", ", 'health_status': 'UNHEALTHY'"), ""), false },
		{ "one that is degraded",
		  T_CLUSTER("c", A ", " T_END("10.0.0.2", ", 'health_status': 'DEGRADED'"), ""),
		  false },
		{ "half of them healthy",
		  T_CLUSTER("c", A ", " T_END("10.0.0.2", ", 'health_status': 'UNHEALTHY'"), ""),
		  true },
		{ "in a panic",
		  T_CLUSTER("c",
			    A ", " T_END("10.0.0.2", ", 'health_status': 'UNHEALTHY'") ", " T_END(
				    "10.0.0.3", ", 'health_status': 'UNHEALTHY'"),
			    ""),
		  false },
		{ "priorities",
		  "{'name': 'c', 'type': 'STATIC', 'connect_timeout': '1s', 'load_assignment': "
		  "{'cluster_name': 'c', 'endpoints': [{'lb_endpoints': [" A "]}, {'priority': 1, "
		  "'lb_endpoints': [" B "]}]}}",
		  false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mesh_view *v = t_view(T_TCP("l", "10.9.9.9", "1", "c"), cases[i].json);
		struct l4_service *s = l4_service_get(l4, v, mesh_view_listener_at(v, 0));

		print_message("%s\n", cases[i].what);
		assert_int_equal(s != NULL, cases[i].may);
		l4_service_unref(s);
		mesh_view_unref(v);
	}
}

static void a_cluster_that_is_not_there(void **state)
{
	struct mesh_view *v = t_view(T_TCP("l", "10.9.9.9", "1", "c"), T_CLUSTER("d", A, ""));

	(void)state;
	assert_null(l4_service_get(l4, v, mesh_view_listener_at(v, 0)));
	mesh_view_unref(v);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

/* What is written for the first listener of a view. */
static const char *written(const char *listener, const char *clusters_json)
{
	struct mesh_view *v = t_view(listener, clusters_json);
	struct l4_service *s = l4_service_get(l4, v, mesh_view_listener_at(v, 0));
	struct err e;

	assert_non_null(s);
	t_told();
	assert_int_equal(l4_write(l4, 1, &e), 0);
	l4_service_unref(s);
	mesh_view_unref(v);
	return t_told();
}

static void each_cluster_has_its_share(void **state)
{
	(void)state;
	assert_string_equal(written(T_TCP("l", "10.9.9.9", "1", "c"),
				    T_CLUSTER("c",
					      A ", " T_END("10.0.0.2", WEIGHING("3")) ", " T_END(
						      "10.0.0.3", ", 'health_status': 'DRAINING'"),
					      "")),
			    "[service 10.0.0.1:80*250000 10.0.0.2:80*750000]");
	/* A quarter for one endpoint, the rest for two. */
	assert_string_equal(
		written(T_LISTENER("l", "OUTBOUND", "10.9.9.9", "1",
				   T_TCP_PROXY("'weighted_clusters': {'clusters': [{'name': 'c', "
					       "'weight': 1}, {'name': 'd', 'weight': 3}]}"),
				   ""),
			T_CLUSTER("c", A, "") ", " T_CLUSTER(
				"d", B ", " T_END("10.0.0.3", WEIGHING("2")), "")),
		"[service 10.0.0.1:80*250000 10.0.0.2:80*250000 10.0.0.3:80*500000]");
}

static void names_of_clusters(void **state)
{
	struct slice names[L4_TARGETS_MAX];
	struct mesh_view *v = t_view(
		T_LISTENER("l", "OUTBOUND", "10.9.9.9", "1",
			   T_TCP_PROXY("'weighted_clusters': {'clusters': [{'name': 'c', "
				       "'weight': 1}, {'name': 'd', 'weight': 3}]}"),
			   "") ", " T_TCP("m", "10.9.9.9", "2", "e"),
		"");

	(void)state;
	assert_int_equal(l4_clusters(mesh_view_listener_at(v, 0), names), 2);
	assert_true(slice_is_equal(names[1], SLICE("d")));
	assert_int_equal(l4_clusters(mesh_view_listener_at(v, 1), names), 1);
	assert_true(slice_is_equal(names[0], SLICE("e")));
	mesh_view_unref(v);
}

/* ---- sharing --------------------------------------------------------------------------------- */

#define EDS_VIEW() t_view(T_TCP("l", "10.9.9.9", "1", "c"), T_EDS("c"))

static void equal_ones_are_one(void **state)
{
	static const char *const first[] = { "10.0.0.1:80" }, *const other[] = { "10.0.0.2:80" };
	struct mesh_view *v[3] = { EDS_VIEW(), EDS_VIEW(), EDS_VIEW() };
	struct l4_service *s[3];
	struct err e;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		t_cell_set(v[i], "c", i < 2 ? first : other, 1);
		s[i] = l4_service_get(l4, v[i], mesh_view_listener_at(v[i], 0));
	}
	assert_ptr_equal(s[0], s[1]);
	assert_true(l4_service_is_shared(s[0]));
	assert_int_not_equal(l4_service_id(s[0]), l4_service_id(s[2]));
	assert_false(l4_service_is_shared(s[2]));
	assert_int_equal(l4_write(l4, 1, &e), 0);
	assert_non_null(strstr(t_told(), "10.0.0.1:80*1000000"));
	assert_false(l4_service_differs(s[1], v[1], mesh_view_listener_at(v[1], 0)));
	t_cell_set(v[1], "c", other, 1);
	assert_true(l4_service_differs(s[1], v[1], mesh_view_listener_at(v[1], 0)));
	for (size_t i = 0; i < 3; i++) {
		l4_service_unref(s[i]);
		mesh_view_unref(v[i]);
	}
	t_told();
	l4_trim(l4);
	assert_string_equal(t_told(), "[0 services stay]");
	l4_trim(l4);
	assert_string_equal(t_told(), "");
}

static void only_what_changed_is_written(void **state)
{
	static const char *const ips[] = { "10.0.0.1:80", "10.0.0.2:80" };
	struct mesh_view *v = EDS_VIEW();
	const struct mesh_listener *l = mesh_view_listener_at(v, 0);
	struct l4_service *s;
	struct err e;

	(void)state;
	assert_null(l4_service_get(l4, v, l)); /* no endpoint yet */
	t_cell_set(v, "c", ips, 2);
	s = l4_service_get(l4, v, l);
	assert_int_equal(l4_write(l4, 1, &e), 0);
	assert_string_equal(t_told(), "[service 10.0.0.1:80*500000 10.0.0.2:80*500000]");
	assert_true(l4_service_renew(s, v, l));
	assert_int_equal(l4_write(l4, 2, &e), 0);
	assert_string_equal(t_told(), "");
	t_cell_set(v, "c", ips, 1);
	assert_true(l4_service_renew(s, v, l));
	t_no_room = "service";
	assert_int_equal(l4_write(l4, 3, &e), -E2BIG);
	t_no_room = NULL;
	assert_int_equal(l4_write(l4, 3, &e), 0); /* it was not forgotten */
	assert_string_equal(t_told(), "[service 10.0.0.1:80*1000000]");
	t_cell_set(v, "c", ips, 0);
	assert_false(l4_service_renew(s, v, l));
	l4_service_unref(s);
	mesh_view_unref(v);
}

/* The number is the same for the next skiffd: what is pinned stays as it is. */
static void the_number_is_made_of_what_it_is(void **state)
{
	uint32_t ids[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		static const char *const ips[] = { "10.0.0.1:80" };
		struct l4 *one = l4_new(NULL);
		struct mesh_view *v = EDS_VIEW();
		struct l4_service *s;

		t_cell_set(v, "c", ips, 1);
		s = l4_service_get(one, v, mesh_view_listener_at(v, 0));
		ids[i] = l4_service_id(s);
		l4_service_unref(s);
		mesh_view_unref(v);
		l4_free(one);
	}
	assert_int_equal(ids[0], ids[1]);
	assert_int_not_equal(ids[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(listeners, begin, end),
		cmocka_unit_test_setup_teardown(clusters, begin, end),
		cmocka_unit_test_setup_teardown(a_cluster_that_is_not_there, begin, end),
		cmocka_unit_test_setup_teardown(each_cluster_has_its_share, begin, end),
		cmocka_unit_test_setup_teardown(names_of_clusters, begin, end),
		cmocka_unit_test_setup_teardown(equal_ones_are_one, begin, end),
		cmocka_unit_test_setup_teardown(only_what_changed_is_written, begin, end),
		cmocka_unit_test_setup_teardown(the_number_is_made_of_what_it_is, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
