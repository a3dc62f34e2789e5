/* SPDX-License-Identifier: Apache-2.0 */
/* Views and snapshots: references, names, the listener of a captured connection. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mesh/mesh.h"

static int released;

static void count_release(struct mesh_view *v)
{
	(void)v;
	released++;
}

static struct addr at(const char *text)
{
	struct addr a;

	must(addr_parse(slice_str(text), &a) == 0);
	return a;
}

static struct mesh_view *view_with_clusters(uint32_t n)
{
	struct mesh_view *v = mesh_view_new();

	v->clusters = arena_array(&v->arena, struct mesh_cluster, n);
	v->n_clusters = n;
	for (uint32_t i = 0; i < n; i++)
		v->clusters[i].name = arena_printf(&v->arena, "outbound|%u||app.test", i);
	return v;
}

static void names(void **state)
{
	struct mesh_view *v = view_with_clusters(1000);
	struct err e;

	(void)state;
	assert_null(mesh_view_cluster(v, SLICE("x"))); /* before the index is there */
	assert_int_equal(mesh_view_finish(v, &e), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "outbound|%u||app.test", i);
		assert_ptr_equal(mesh_view_cluster(v, slice_str(name)), &v->clusters[i]);
		assert_int_equal(v->clusters[i].index, i);
	}
	assert_null(mesh_view_cluster(v, SLICE("outbound|1000||app.test")));
	assert_null(mesh_view_cluster(v, SLICE("")));
	mesh_view_unref(v);
}

static void names_twice(void **state)
{
	struct mesh_view *v = view_with_clusters(3);
	struct mesh_listener l[] = { { .name = SLICE("b") },
				     { .name = SLICE("a") },
				     { .name = SLICE("b") } };
	struct err e;

	(void)state;
	v->clusters[2].name = v->clusters[0].name;
	assert_int_equal(mesh_view_finish(v, &e), -EEXIST);
	assert_string_equal(e.text, "cluster \"outbound|0||app.test\" is there twice");
	v->n_clusters = 2;
	v->listeners = l;
	v->n_listeners = 3;
	assert_int_equal(mesh_view_finish(v, &e), -EEXIST);
	assert_string_equal(e.text, "listener \"b\" is there twice");
	v->n_listeners = 2;
	assert_int_equal(mesh_view_finish(v, &e), 0);
	assert_int_equal(l[1].index, 1);
	mesh_view_unref(v);
}

static void listener_of(void **state)
{
	struct mesh_listener l[] = {
		{ .name = SLICE("any"), .addr = at("0.0.0.0:80") },
		{ .name = SLICE("exact"), .addr = at("10.0.0.1:80") },
		{ .name = SLICE("virtual-out"),
		  .addr = at("0.0.0.0:15001"),
		  .use_original_dst = true,
		  .direction = MESH_OUTBOUND },
		{ .name = SLICE("virtual-in"),
		  .addr = at("0.0.0.0:15006"),
		  .use_original_dst = true,
		  .direction = MESH_INBOUND },
		{ .name = SLICE("any-in"), .addr = at("0.0.0.0:80"), .direction = MESH_INBOUND },
		{ .name = SLICE("in"), .addr = at("0.0.0.0:90"), .direction = MESH_INBOUND },
		{ .name = SLICE("six"), .addr = at("[::]:95") },
	};
	struct mesh_view *v = mesh_view_new();
	struct err e;
	struct addr exact = at("10.0.0.1:80"), other = at("10.0.0.2:80"),
		    ninety = at("10.0.0.2:90"), six = at("[fd00::1]:80");

	(void)state;
	assert_null(mesh_view_listener(v, MESH_OUTBOUND, &exact)); /* before the index is there */
	v->listeners = l;
	v->n_listeners = ARRAY_LEN(l);
	assert_int_equal(mesh_view_finish(v, &e), 0);
	assert_ptr_equal(mesh_view_listener(v, MESH_OUTBOUND, &exact), &l[1]);
	assert_ptr_equal(mesh_view_listener(v, MESH_OUTBOUND, &other), &l[0]);
	assert_ptr_equal(mesh_view_listener(v, MESH_INBOUND, &other), &l[4]);
	assert_ptr_equal(mesh_view_listener(v, MESH_OUTBOUND, &ninety), &l[2]);
	assert_ptr_equal(mesh_view_listener(v, MESH_INBOUND, &ninety), &l[5]);
	assert_ptr_equal(mesh_view_listener(v, MESH_OUTBOUND, &six), &l[0]);
	ninety.port = 95;
	assert_ptr_equal(mesh_view_listener(v, MESH_OUTBOUND, &ninety), &l[6]);
	ninety.port = 90;
	l[2].use_original_dst = l[3].use_original_dst = false;
	assert_int_equal(mesh_view_finish(v, &e), 0);
	assert_null(mesh_view_listener(v, MESH_OUTBOUND, &ninety));
	mesh_view_unref(v);
}

static void references(void **state)
{
	struct mesh_snapshot *s = mesh_snapshot_new();
	struct mesh_view *v = mesh_view_new();
	struct addr ip = at("10.0.0.2:0"), other = at("10.0.0.3:0");

	(void)state;
	released = 0;
	v->release = count_release;
	s->host = mesh_view_ref(v);
	s->pods = arena_array(&s->arena, struct mesh_pod, 2);
	s->n_pods = 2;
	s->pods[0] = (struct mesh_pod){
		.id = 7, .view = mesh_view_ref(v), .addresses = &ip, .n_addresses = 1
	};
	s->pods[1] = (struct mesh_pod){ .id = 9 };
	assert_ptr_equal(mesh_snapshot_pod(s, 9), &s->pods[1]);
	assert_null(mesh_snapshot_pod(s, 8));
	assert_ptr_equal(mesh_snapshot_pod_by_addr(s, &ip), &s->pods[0]);
	assert_null(mesh_snapshot_pod_by_addr(s, &other));
	assert_false(mesh_pod_has_inbound(&s->pods[0], &ip));
	assert_ptr_equal(mesh_snapshot_ref(s), s);
	mesh_snapshot_unref(s);
	mesh_view_unref(v);
	assert_int_equal(released, 0);
	mesh_snapshot_unref(s);
	assert_int_equal(released, 1);
	mesh_snapshot_unref(NULL);
	mesh_view_unref(NULL);
	assert_null(mesh_view_ref(NULL));
}

static void policies_about_a_destination(void **state)
{
	struct mesh_prefix list[2] = {0};
	struct mesh_pod pod = {.inbound = list, .n_inbound = 2};
	struct addr dst;

	(void)state;
	assert_int_equal(addr_parse_prefix(SLICE("10.0.0.0/24"), &list[0].net, &list[0].bits), 0);
	assert_int_equal(addr_parse_prefix(SLICE("fd00::/64"), &list[1].net, &list[1].bits), 0);
	list[0].net.port = 80;
	assert_int_equal(addr_parse(SLICE("10.0.0.9:80"), &dst), 0);
	assert_true(mesh_pod_has_inbound(&pod, &dst));
	dst.port = 81;
	assert_false(mesh_pod_has_inbound(&pod, &dst));
	list[0].net.port = 0;
	assert_true(mesh_pod_has_inbound(&pod, &dst));
	assert_int_equal(addr_parse(SLICE("10.0.1.9:81"), &dst), 0);
	assert_false(mesh_pod_has_inbound(&pod, &dst));
	assert_int_equal(addr_parse(SLICE("[fd00::7]:443"), &dst), 0);
	assert_true(mesh_pod_has_inbound(&pod, &dst));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(names_twice),
		cmocka_unit_test(listener_of),
		cmocka_unit_test(references),
		cmocka_unit_test(policies_about_a_destination),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
