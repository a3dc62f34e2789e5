/* SPDX-License-Identifier: Apache-2.0 */
/* Which virtual host: exact, suffix, prefix, "*"; ports; duplicates; thousands of them. */
#include "tests/unit/fixture.h"

#include <errno.h>

#include "base/clock.h"
#include "route/route.h"

struct hosts {
	const char *name;
	const char *domains[3];
};

static const struct hosts hosts[] = {
	{ "exact", { "a.test", "Upper.Test", "with.port:8080" } },
	{ "suffix", { "*.a.test" } },
	{ "longer", { "*.b.a.test" } },
	{ "dash", { "*-dash.test" } },
	{ "prefix", { "pre.*" } },
	{ "longprefix", { "pre.fix.*" } },
	{ "ip", { "10.1.2.3", "[::1]" } },
	{ "any", { "*" } },
};

static struct mesh_route_table table_of(const struct hosts *h, uint32_t n, struct arena *a)
{
	struct mesh_route_table t = { .n_vhosts = n,
				      .vhosts = arena_array(a, struct mesh_vhost, n) };

	for (uint32_t i = 0; i < n; i++) {
		t.vhosts[i].name = S(h[i].name);
		t.vhosts[i].domains = arena_array(a, struct slice, 3);
		for (uint32_t k = 0; k < 3 && h[i].domains[k]; k++)
			t.vhosts[i].domains[t.vhosts[i].n_domains++] = S(h[i].domains[k]);
	}
	return t;
}

static void check(const struct mesh_route_table *t, const char *host, const char *want,
		  struct arena *a)
{
	struct l7_msg m = request_of(a, host, "/");
	struct rng rng = { 1 };
	struct route_decision d;

	route_match(t, &m, a, &rng, &d);
	assert_slice(d.vhost ? d.vhost->name : S("none"), want);
	assert_null(d.route);
}

static void domains(void **state)
{
	static const char *const cases[][2] = {
		{ "a.test", "exact" },
		{ "A.TEST", "exact" },
		{ "upper.test", "exact" },
		{ "a.test:80", "any" },
		{ "a.test:8080", "any" },
		{ "with.port:8080", "exact" },
		{ "with.port", "any" },
		{ "with.port:81", "any" },
		{ "a.test:", "any" },
		{ "x.a.test", "suffix" },
		{ "y.x.a.test", "suffix" },
		{ "x.b.a.test", "longer" },
		{ "x.a.test:80", "any" },
		{ "X.A.Test", "suffix" },
		{ ".a.test", "any" },
		{ "x-dash.test", "dash" },
		{ "-dash.test", "any" },
		{ "pre.x", "prefix" },
		{ "pre.fix.org", "longprefix" },
		{ "pre.x:99", "prefix" },
		{ "pre.", "any" },
		{ "a.test.", "any" },
		{ "other.test", "any" },
		{ "10.1.2.3", "ip" },
		{ "10.1.2.3:80", "any" },
		{ "[::1]", "ip" },
		{ "[::1]:80", "any" },
		{ "", "any" },
	};
	struct arena a = { 0 };
	struct mesh_route_table t = table_of(hosts, ARRAY_LEN(hosts), &a);
	struct err e;
	char big[1000];

	(void)state;
	assert_int_equal(route_table_index(&t, &a, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check(&t, cases[i][0], cases[i][1], &a);
	memset(big, 'x', sizeof(big) - 1);
	memcpy(big + 990, ".a.test", 8);
	check(&t, big, "suffix", &a);
	arena_done(&a);
}

static void without_any(void **state)
{
	struct arena a = { 0 };
	struct mesh_route_table t = table_of(hosts, ARRAY_LEN(hosts) - 1, &a), none = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(route_table_index(&t, &a, &e), 0);
	assert_int_equal(route_table_index(&none, &a, &e), 0);
	check(&t, "a.test", "exact", &a);
	check(&t, "other.test", "none", &a);
	check(&t, "", "none", &a);
	check(&none, "a.test", "none", &a);
	arena_done(&a);
}

static void ignore_port(void **state)
{
	static const char *const cases[][2] = {
		{ "a.test:80", "exact" },    { "with.port:8080", "any" }, { "a.test:", "exact" },
		{ "x.a.test:80", "suffix" }, { "pre.x:99", "prefix" },    { "10.1.2.3:80", "ip" },
		{ "[::1]:80", "ip" },        { "[::1]", "ip" },
	};
	struct arena a = { 0 };
	struct mesh_route_table t = table_of(hosts, ARRAY_LEN(hosts), &a);
	struct err e;

	(void)state;
	t.ignore_port_in_host = true;
	assert_int_equal(route_table_index(&t, &a, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check(&t, cases[i][0], cases[i][1], &a);
	arena_done(&a);
}

static void duplicates(void **state)
{
	static const struct hosts bad[][2] = {
		{ { "one", { "a.test" } }, { "two", { "A.test" } } },
		{ { "one", { "*.a" } }, { "two", { "*.a" } } },
		{ { "one", { "*" } }, { "two", { "*" } } },
	};
	struct arena a = { 0 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mesh_route_table t = table_of(bad[i], 2, &a);

		assert_int_equal(route_table_index(&t, &a, &e), -EEXIST);
		assert_non_null(strstr(e.text, "two"));
	}
	arena_done(&a);
}

/* The search does not grow with the number of virtual hosts. */
static void many(void **state)
{
	const uint32_t n = 20000;
	struct arena a = { 0 };
	struct mesh_route_table t = { .n_vhosts = n,
				      .vhosts = arena_array(&a, struct mesh_vhost, n) };
	struct rng rng = { 1 };
	struct route_decision d;
	struct err e;
	uint64_t start;

	(void)state;
	for (uint32_t i = 0; i < n; i++) {
		t.vhosts[i].name = arena_printf(&a, "s%u.ns.svc.cluster.local", i);
		t.vhosts[i].domains = &t.vhosts[i].name;
		t.vhosts[i].n_domains = 1;
	}
	assert_int_equal(route_table_index(&t, &a, &e), 0);
	struct l7_msg m = request_of(&a, "s19999.ns.svc.cluster.local", "/");
	start = clock_mono_ns();
	for (int i = 0; i < 10000; i++)
		route_match(&t, &m, &a, &rng, &d);
	assert_true(clock_mono_ns() - start < 10000 * 20000ull);
	assert_slice(d.vhost->name, "s19999.ns.svc.cluster.local");
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(domains),     cmocka_unit_test(without_any),
		cmocka_unit_test(ignore_port), cmocka_unit_test(duplicates),
		cmocka_unit_test(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
