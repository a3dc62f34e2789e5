/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters by weight, header and fraction; overrides, upgrades; routes of RPC protocols. */
#include "tests/unit/fixture.h"

#include "route/route.h"

static struct mesh_weighted weights[] = { { .name = { "b1", 2 }, .weight = 30 },
					  { .name = { "b2", 2 }, .weight = 70 } };

static struct slice any = { "*", 1 };

static struct route_decision ask(struct mesh_route *r, uint32_t n, const char *name,
				 const char *value, struct rng *rng)
{
	static struct arena a; /* for what the decision points to */
	struct mesh_vhost vh = { .domains = &any, .n_domains = 1, .routes = r, .n_routes = n };
	struct mesh_route_table t = { .vhosts = &vh, .n_vhosts = 1 };
	struct l7_msg m = request_of(&a, "h", "/");
	struct route_decision d;
	struct err e;

	arena_reset(&a);
	m = request_of(&a, "h", "/");
	if (name)
		msg_add(&m, name, value);
	assert_int_equal(route_table_index(&t, &a, &e), 0);
	route_match(&t, &m, &a, rng, &d);
	return d;
}

static void by_weight(void **state)
{
	struct mesh_route r = {
		.fraction = 1000000, .weighted = weights, .n_weighted = 2, .total_weight = 100
	};
	struct rng rng = { 42 };
	int n = 0;

	(void)state;
	for (int i = 0; i < 10000; i++)
		n += slice_is_equal(ask(&r, 1, NULL, NULL, &rng).cluster, S("b1"));
	assert_in_range(n, 2800, 3200);
	r.total_weight = 0;
	assert_slice(ask(&r, 1, NULL, NULL, &rng).cluster, "");
}

static void by_header_value(void **state)
{
	static const char *const cases[][2] = { { "0", "b1" },  { "29", "b1" },  { "30", "b2" },
						{ "99", "b2" }, { "100", "b1" }, { "130", "b2" } };
	struct mesh_route r = { .fraction = 1000000,
				.weighted = weights,
				.n_weighted = 2,
				.total_weight = 100,
				.weighted_header = S("x-pick") };
	struct rng rng = { 42 };
	int n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_slice(ask(&r, 1, "x-pick", cases[i][0], &rng).cluster, cases[i][1]);
	for (int i = 0; i < 1000; i++)
		n += slice_is_equal(ask(&r, 1, "x-pick", "word", &rng).cluster, S("b1"));
	assert_in_range(n, 240, 360);
}

static void by_cluster_header(void **state)
{
	struct mesh_route r = { .fraction = 1000000, .cluster_header = S("x-cluster") };
	struct rng rng = { 42 };

	(void)state;
	assert_slice(ask(&r, 1, "x-cluster", "b2", &rng).cluster, "b2");
	assert_slice(ask(&r, 1, NULL, NULL, &rng).cluster, "");
}

static void by_fraction(void **state)
{
	struct mesh_route r[] = { { .name = S("none") }, { .name = S("half"), .fraction = 500000 },
				  { .name = S("rest"), .fraction = 2000000 } };
	struct rng rng = { 42 };
	int n = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		struct slice name = ask(r, 3, NULL, NULL, &rng).route->name;

		assert_false(slice_is_equal(name, S("none")));
		n += slice_is_equal(name, S("half"));
	}
	assert_in_range(n, 4700, 5300);
}

static struct mesh_filter_override override_of(const char *name, const char *kind)
{
	return (struct mesh_filter_override){ .name = S(name), .kind = kind };
}

static void overrides(void **state)
{
	struct mesh_filter_override t_o = override_of("f", "table"),
				    v_o = override_of("f", "vhost"),
				    r_o = override_of("f", "route"),
				    w_o = override_of("f", "weighted");
	struct mesh_route_table t = { .overrides = { &t_o, 1 } };
	struct mesh_vhost vh = { .overrides = { &v_o, 1 } };
	struct mesh_route r = { .overrides = { &r_o, 1 } };
	struct mesh_weighted w = { .overrides = { &w_o, 1 } };
	struct route_decision d = { .table = &t };

	(void)state;
	assert_string_equal(route_override(&d, S("f"))->kind, "table");
	d.vhost = &vh;
	assert_string_equal(route_override(&d, S("f"))->kind, "vhost");
	d.route = &r;
	assert_string_equal(route_override(&d, S("f"))->kind, "route");
	d.weighted = &w;
	assert_string_equal(route_override(&d, S("f"))->kind, "weighted");
	assert_null(route_override(&d, S("g")));
}

static void upgrades(void **state)
{
	struct mesh_upgrade hcm[] = { { S("websocket"), true }, { S("h2c"), false } };
	struct mesh_upgrade own[] = { { S("websocket"), false }, { S("foo"), true } };
	struct mesh_route r = { .upgrades = own, .n_upgrades = 2 };
	struct route_decision none = { 0 }, d = { .route = &r };

	(void)state;
	assert_true(route_upgrade_is_allowed(&none, hcm, 2, S("WebSocket")));
	assert_false(route_upgrade_is_allowed(&none, hcm, 2, S("h2c")));
	assert_false(route_upgrade_is_allowed(&none, hcm, 2, S("foo")));
	assert_false(route_upgrade_is_allowed(&d, hcm, 2, S("websocket")));
	assert_true(route_upgrade_is_allowed(&d, hcm, 2, S("foo")));
}

/* ---- RPC ------------------------------------------------------------------------------------- */

static struct l7_msg call(struct arena *a, const char *service, const char *method,
			  const char *group, const char *version)
{
	struct l7_msg m;

	l7_msg_init(&m, L7_REQUEST, a);
	m.host = S(service);
	m.method = S(method);
	m.group = S(group);
	m.version = S(version);
	return m;
}

static void rpc(void **state)
{
	struct mesh_header_match gray = { .name = S("gray"), .string = { .text = S("yes") } };
	struct mesh_rpc_route v1[] = {
		{ .name = S("gray"), .headers = &gray, .n_headers = 1, .cluster = S("gray") },
		{ .name = S("say"),
		  .has_method = true,
		  .method = { .kind = MESH_STRING_PREFIX, .text = S("say") },
		  .cluster = S("say") },
	};
	struct mesh_rpc_route rest = {
		.name = S("rest"), .weighted = weights, .n_weighted = 2, .total_weight = 100
	};
	struct mesh_rpc_table t[] = {
		{ .interface = S("org.a.Hello"), .version = S("1.0"), .routes = v1, .n_routes = 2 },
		{ .interface = S("org.b.*"), .group = S("g"), .routes = &rest, .n_routes = 1 },
		{ .interface = S("*.Last"), .routes = &rest, .n_routes = 1 },
	};
	static const struct {
		const char *service, *method, *group, *version, *gray, *want;
	} cases[] = {
		{ "org.a.Hello", "sayHello", "", "1.0", NULL, "say" },
		{ "org.a.Hello", "sayHello", "", "2.0", NULL, NULL },
		{ "org.a.Hello", "bye", "", "1.0", NULL, NULL },
		{ "org.a.Hello", "bye", "", "1.0", "yes", "gray" },
		{ "org.a.Hello2", "sayHello", "", "1.0", NULL, NULL },
		{ "org.b.X", "m", "g", "", NULL, "rest" },
		{ "org.b.X", "m", "", "", NULL, NULL },
		{ "org.b.", "m", "g", "", NULL, NULL },
		{ "a.Last", "m", "", "9", NULL, "rest" },
		{ ".Last", "m", "", "9", NULL, NULL },
	};
	struct rng rng = { 7 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = { 0 };
		struct l7_msg m = call(&a, cases[i].service, cases[i].method, cases[i].group,
				       cases[i].version);
		struct route_rpc_decision d;

		if (cases[i].gray)
			msg_add(&m, "Gray", cases[i].gray); /* the wire keeps the case */
		route_rpc_match(t, ARRAY_LEN(t), &m, &a, &rng, &d);
		if (!cases[i].want) {
			assert_null(d.route);
		} else {
			assert_non_null(d.route);
			assert_slice(d.route->name, cases[i].want);
			assert_true(d.cluster.len > 0);
		}
		arena_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_weight),
		cmocka_unit_test(by_header_value),
		cmocka_unit_test(by_cluster_header),
		cmocka_unit_test(by_fraction),
		cmocka_unit_test(overrides),
		cmocka_unit_test(upgrades),
		cmocka_unit_test(rpc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
