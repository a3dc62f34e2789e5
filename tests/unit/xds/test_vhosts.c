/* SPDX-License-Identifier: Apache-2.0 */
/* A route table that is sent again: what did not change is the very same, all else as made anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "tests/unit/xds/t_compile.h"
#include "xds/store.h"

#define ROUTES MESH_PART_ROUTES
#define HOST(name, mark) \
	"{'name': '" name "', 'domains': ['" name "'], 'routes': [{'name': '" mark "', 'match': " \
	"{'prefix': '/'}, 'route': {'cluster': 'c-" name "'}}]}"
#define REGEX \
	"{'name': 'x', 'domains': ['x'], 'routes': [{'match': {'safe_regex': {'regex': '/.*'}}, " \
	"'route': {'cluster': 'c-x'}}]}"

/* A resource as the store has it. */
struct held {
	struct arena arena;
	struct xds_report report;
	struct xds_resource r;
};

static const struct mesh_route_table *table(const struct held *h)
{
	return h->r.part->body;
}

static void make_wire(struct held *h, struct slice wire, const struct held *before)
{
	struct err e = { "" };

	h->r.kind = ROUTES;
	h->r.bytes = wire;
	if (xds_compile(ROUTES, wire, before ? &before->r : NULL, &h->report, &h->r.part, &e) < 0)
		fail_msg("%s", e.text);
}

/* A table named r of @hosts with other settings @more. */
static struct held *make(const char *more, const char *hosts, const struct held *before)
{
	struct held *h = xcalloc(1, sizeof(*h));
	char *json = xasprintf("{'name': 'r', %s 'virtual_hosts': [%s]}", more, hosts);

	make_wire(h, t_wire(t_types[ROUTES], json, &h->arena), before);
	free(json);
	return h;
}

static void drop(struct held *h)
{
	mesh_part_unref(h->r.part);
	xds_report_done(&h->report);
	arena_done(&h->arena);
	free(h);
}

/* The same table as if it had come first. */
static void assert_as_new(const struct held *h)
{
	struct held *fresh = xcalloc(1, sizeof(*fresh));

	make_wire(fresh, h->r.bytes, NULL);
	assert_true(mesh_part_is_same(h->r.part, fresh->r.part));
	assert_int_equal(h->r.part->n_refs, fresh->r.part->n_refs);
	for (uint32_t i = 0; i < h->r.part->n_refs; i++)
		assert_true(slice_is_equal(h->r.part->refs[i].name, fresh->r.part->refs[i].name));
	assert_int_equal(table(h)->n_vhosts, table(fresh)->n_vhosts);
	for (uint32_t i = 0; i < table(h)->n_vhosts; i++) {
		const struct mesh_vhost *a = &table(h)->vhosts[i], *b = &table(fresh)->vhosts[i];

		assert_true(slice_is_equal(a->name, b->name));
		assert_true(slice_is_equal(a->routes[0].name, b->routes[0].name));
	}
	assert_int_equal(h->report.n, fresh->report.n);
	for (size_t i = 0; i < h->report.n; i++) {
		assert_true(slice_is_equal(h->report.v[i].path, fresh->report.v[i].path));
		assert_true(slice_is_equal(h->report.v[i].text, fresh->report.v[i].text));
	}
	drop(fresh);
}

static void test_taken_over(void **state)
{
	struct held *a = make("", HOST("one", "1") "," REGEX "," HOST("two", "1"), NULL);
	struct held *b = make("",
			      REGEX "," HOST("one", "1") "," HOST("new", "1") ","
				    HOST("two", "2"),
			      a);
	const struct mesh_vhost *was = table(a)->vhosts, *is = table(b)->vhosts;

	(void)state;
	assert_ptr_equal(is[0].routes, was[1].routes);
	assert_ptr_equal(is[1].routes, was[0].routes);
	assert_ptr_not_equal(is[3].routes, was[2].routes);
	assert_true(slice_is_equal(is[3].routes[0].name, SLICE("2")));
	assert_as_new(b);
	/* What it took lives on without the version before. */
	drop(a);
	assert_true(slice_is_equal(is[1].routes[0].cluster, SLICE("c-one")));
	assert_non_null(is[0].routes[0].path_regex);
	drop(b);
}

/* An unknown field of a host is reported for each version, where the host stands there. */
static void test_reports(void **state)
{
	struct arena arena = { 0 };
	struct slice wire = t_wire(
		t_types[ROUTES], "{'name': 'r', 'virtual_hosts': [" HOST("one", "1") "]}", &arena);
	static const char strange[] = "\x12\x0d\x0a\x01s\x12\x01s\xca\x3e\x04half";
	struct slice both[2] = { wire, slice_of(strange, sizeof(strange) - 1) };
	struct slice turned[2] = { both[1], both[0] };
	struct held *a = xcalloc(1, sizeof(*a)), *b = xcalloc(1, sizeof(*b));

	(void)state;
	make_wire(a, arena_join(&arena, both, 2), NULL);
	make_wire(b, arena_join(&arena, turned, 2), a);
	assert_int_equal(a->report.n, 1);
	assert_int_equal(b->report.n, 1);
	assert_true(slice_has_prefix(a->report.v[0].path, SLICE("virtual_hosts[1]")));
	assert_true(slice_has_prefix(b->report.v[0].path, SLICE("virtual_hosts[0]")));
	drop(a);
	drop(b);
	arena_done(&arena);
}

/* The length of direct responses is the table's. */
static void test_other_limit(void **state)
{
	struct held *a = make("", HOST("one", "1"), NULL);
	struct held *b = make("'max_direct_response_body_size_bytes': 9,", HOST("one", "1"), a);

	(void)state;
	assert_ptr_not_equal(table(a)->vhosts[0].routes, table(b)->vhosts[0].routes);
	drop(a);
	drop(b);
}

/* A text out of the environment may be another one the next time. */
static void test_outside(void **state)
{
	static const char host[] =
		"{'name': 'e', 'domains': ['e'], 'routes': [{'match': {'prefix': '/'}, "
		"'direct_response': {'status': 200, 'body': {"
		"'environment_variable': 'T_VHOST'}}}]}";
	struct held *a, *b;

	(void)state;
	setenv("T_VHOST", "first", 1);
	a = make("", host, NULL);
	setenv("T_VHOST", "second", 1);
	b = make("", host, a);
	assert_true(slice_is_equal(table(b)->vhosts[0].routes[0].direct_body, SLICE("second")));
	assert_false(mesh_part_is_same(a->r.part, b->r.part));
	drop(a);
	drop(b);
}

/* A host that is refused leaves the version before whole. */
static void test_refused(void **state)
{
	struct held *a = make("", HOST("one", "1"), NULL);
	struct arena arena = { 0 };
	struct mesh_part *p = NULL;
	struct err e = { "" };
	struct slice wire = t_wire(t_types[ROUTES],
				   "{'name': 'r', 'virtual_hosts': [" HOST("one", "1") ","
				   "{'name': 'bad', 'domains': ['b'], 'routes': [{}]}]}", &arena);

	(void)state;
	assert_int_equal(xds_compile(ROUTES, wire, &a->r, NULL, &p, &e), -EINVAL);
	assert_null(p);
	assert_string_equal(e.text, "virtual_hosts[1].routes[0]: match is required");
	assert_true(slice_is_equal(table(a)->vhosts[0].routes[0].name, SLICE("1")));
	drop(a);
	arena_done(&arena);
}

/* The first @n of many hosts. */
static struct held *make_many(unsigned int n, const struct held *before)
{
	struct buf hosts = { 0 };
	struct held *h;

	for (unsigned int i = 0; i < n; i++)
		buf_printf(&hosts,
			   "%s{'name': 'h%u', 'domains': ['h%u'], 'routes': [{'match': "
			   "{'prefix': '/'}, 'route': {'cluster': 'c%u'}}]}",
			   i ? "," : "", i, i, i);
	buf_add_char(&hosts, '\0');
	h = make("", buf_ptr(&hosts), before);
	buf_done(&hosts);
	return h;
}

/* What is of no more use goes, at the latest when it is more than what is. */
static void test_waste(void **state)
{
	struct held *all = make_many(1000, NULL);
	struct held *most = make_many(600, all);
	struct held *few = make_many(300, most);

	(void)state;
	assert_ptr_equal(table(most)->vhosts[0].routes, table(all)->vhosts[0].routes);
	assert_ptr_not_equal(table(few)->vhosts[0].routes, table(most)->vhosts[0].routes);
	assert_as_new(few);
	drop(all);
	drop(most);
	drop(few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_over),  cmocka_unit_test(test_reports),
		cmocka_unit_test(test_other_limit), cmocka_unit_test(test_outside),
		cmocka_unit_test(test_refused),	    cmocka_unit_test(test_waste),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
