/* SPDX-License-Identifier: Apache-2.0 */
/* Views and snapshots: references, names, the listener of a captured connection. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mesh/mesh.h"

static int released;

static void count_release(struct mesh_part *p)
{
	(void)p;
	released++;
}

static struct addr at(const char *text)
{
	struct addr a;

	must(addr_parse(slice_str(text), &a) == 0);
	return a;
}

/* A part with an empty body of its kind. */
static struct mesh_part *part(enum mesh_part_kind kind, const char *name, size_t body)
{
	struct mesh_part *p = mesh_part_new(kind, slice_str(name));

	p->body = arena_zalloc(&p->arena, body);
	p->release = count_release;
	return p;
}

static struct mesh_part *cluster(const char *name, enum mesh_cluster_kind kind)
{
	struct mesh_part *p = part(MESH_PART_CLUSTER, name, sizeof(struct mesh_cluster));
	struct mesh_cluster *c = p->body;

	*c = (struct mesh_cluster){ .name = p->name, .service_name = p->name, .kind = kind };
	return p;
}

static struct mesh_part *listener(const char *name, const char *addr, enum mesh_direction d,
				  bool original)
{
	struct mesh_part *p = part(MESH_PART_LISTENER, name, sizeof(struct mesh_listener));
	struct mesh_listener *l = p->body;

	*l = (struct mesh_listener){
		.name = p->name, .addr = at(addr), .direction = d, .use_original_dst = original
	};
	return p;
}

/* Builds a view and lets go of the parts: the view has its own references. */
static int build(struct mesh_part **parts, uint32_t n, struct mesh_view **ret_v, struct err *e)
{
	int rc = mesh_view_build(parts, n, SLICE("test"), ret_v, e);

	for (uint32_t i = 0; i < n; i++)
		mesh_part_unref(parts[i]);
	return rc;
}

static void names(void **state)
{
	struct mesh_part *parts[1001];
	struct mesh_view *v;
	struct err e;
	char name[64];

	(void)state;
	parts[0] = listener("outbound|7||app.test", "10.0.0.1:80", MESH_OUTBOUND, false);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "outbound|%u||app.test", i);
		parts[i + 1] = cluster(name, MESH_CLUSTER_STATIC);
	}
	assert_int_equal(build(parts, ARRAY_LEN(parts), &v, &e), 0);
	assert_int_equal(v->n_clusters, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "outbound|%u||app.test", i);
		assert_int_equal(mesh_view_cluster_place(v, slice_str(name)), i);
		assert_ptr_equal(mesh_view_cluster(v, slice_str(name)), parts[i + 1]->body);
	}
	/* A listener of the same name is another thing. */
	assert_int_equal(mesh_view_listener_named(v, SLICE("outbound|7||app.test")), 0);
	assert_int_equal(mesh_view_listener_named(v, SLICE("outbound|8||app.test")), -1);
	assert_int_equal(mesh_view_cluster_place(v, SLICE("outbound|1000||app.test")), -1);
	assert_null(mesh_view_cluster(v, SLICE("")));
	assert_null(mesh_view_part(v, MESH_PART_ROUTES, SLICE("outbound|7||app.test")));
	mesh_view_unref(v);
}

static void names_twice(void **state)
{
	struct mesh_part *a[] = { cluster("x", MESH_CLUSTER_STATIC),
				  cluster("y", MESH_CLUSTER_STATIC),
				  cluster("x", MESH_CLUSTER_STATIC) };
	struct mesh_part *b[] = { listener("b", "10.0.0.1:80", MESH_OUTBOUND, false),
				  listener("a", "10.0.0.1:81", MESH_OUTBOUND, false),
				  listener("b", "10.0.0.1:82", MESH_OUTBOUND, false) };
	struct mesh_view *v;
	struct err e;

	(void)state;
	released = 0;
	assert_int_equal(build(a, 3, &v, &e), -EEXIST);
	assert_string_equal(e.text, "cluster \"x\" is there twice");
	assert_int_equal(build(b, 3, &v, &e), -EEXIST);
	assert_string_equal(e.text, "listener \"b\" is there twice");
	assert_int_equal(released, 6);
	assert_int_equal(build(NULL, 0, &v, &e), 0);
	assert_int_equal(mesh_view_cluster_place(v, SLICE("x")), -1);
	mesh_view_unref(v);
}

static const char *found(const struct mesh_view *v, enum mesh_direction d, const char *dst)
{
	struct addr a = at(dst);
	const struct mesh_listener *l = mesh_view_listener(v, d, &a);

	return l ? l->name.ptr : NULL;
}

/* mesh_part's names are not NUL-terminated: compared by slice. */
#define assert_listener(v, d, dst, expected) \
	assert_memory_equal(found(v, d, dst), expected, sizeof(expected) - 1)

static void listener_of(void **state)
{
	struct mesh_part *parts[] = {
		listener("any-------", "0.0.0.0:80", MESH_UNSPECIFIED, false),
		listener("exact-----", "10.0.0.1:80", MESH_UNSPECIFIED, false),
		listener("virtual-out", "0.0.0.0:15001", MESH_OUTBOUND, true),
		listener("virtual-in-", "0.0.0.0:15006", MESH_INBOUND, true),
		listener("any-in----", "0.0.0.0:80", MESH_INBOUND, false),
		listener("in--------", "0.0.0.0:90", MESH_INBOUND, false),
		listener("six-------", "[::]:95", MESH_UNSPECIFIED, false),
	};
	struct mesh_part *plain = listener("any", "0.0.0.0:80", MESH_UNSPECIFIED, false);
	struct mesh_view *v;
	struct err e;

	(void)state;
	assert_int_equal(build(parts, ARRAY_LEN(parts), &v, &e), 0);
	assert_listener(v, MESH_OUTBOUND, "10.0.0.1:80", "exact");
	assert_listener(v, MESH_OUTBOUND, "10.0.0.2:80", "any---");
	assert_listener(v, MESH_INBOUND, "10.0.0.2:80", "any-in");
	assert_listener(v, MESH_OUTBOUND, "10.0.0.2:90", "virtual-out");
	assert_listener(v, MESH_INBOUND, "10.0.0.2:90", "in----");
	assert_listener(v, MESH_OUTBOUND, "[fd00::1]:80", "any---");
	assert_listener(v, MESH_OUTBOUND, "10.0.0.2:95", "six");
	mesh_view_unref(v);
	assert_int_equal(build(&plain, 1, &v, &e), 0);
	assert_null(found(v, MESH_OUTBOUND, "10.0.0.2:90"));
	mesh_view_unref(v);
}

static void endpoints_of(void **state)
{
	struct mesh_endpoint e1 = { .addr = at("10.1.0.1:80"), .hostname = SLICE("h") }, e2 = e1;
	struct mesh_part *eds = cluster("eds", MESH_CLUSTER_EDS);
	struct mesh_part *parts[] = {
		mesh_part_endpoints_copy(SLICE("svc"), &e1, 1),
		mesh_part_endpoints_copy(SLICE("nobody-asks"), &e1, 1),
		eds,
		cluster("dns", MESH_CLUSTER_STRICT_DNS),
		cluster("static", MESH_CLUSTER_STATIC),
	};
	struct mesh_part *got, *next;
	struct mesh_view *v;
	struct err e;

	(void)state;
	((struct mesh_cluster *)eds->body)->service_name = SLICE("svc");
	e2.addr = at("10.1.0.2:80");
	next = mesh_part_endpoints_copy(SLICE("dns"), &e2, 1);
	assert_int_equal(build(parts, ARRAY_LEN(parts), &v, &e), 0);
	assert_int_equal(v->n_parts, 3);
	assert_int_equal(mesh_view_endpoints(v, 0).n, 1);
	got = mesh_view_endpoints_get(v, 0);
	assert_true(addr_is_equal(&mesh_part_endpoints(got).v[0].addr, &e1.addr));
	assert_int_equal(v->n_resolved, 1);
	assert_int_equal(v->resolved[0], 1);
	assert_null(mesh_view_endpoints_get(v, 1));
	mesh_view_endpoints_set(v, 1, next);
	assert_true(addr_is_equal(&mesh_view_endpoints(v, 1).v[0].addr, &e2.addr));
	mesh_view_endpoints_set(v, 0, NULL);
	assert_int_equal(mesh_view_endpoints(v, 0).n, 0);
	/* Who has taken it keeps it. */
	assert_int_equal(mesh_part_endpoints(got).n, 1);
	mesh_part_unref(got);
	mesh_part_unref(next);
	mesh_view_unref(v);
}

static void part_needs(void **state)
{
	struct mesh_part *p = part(MESH_PART_LISTENER, "l", 8),
			 *q = part(MESH_PART_LISTENER, "l", 8);

	(void)state;
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%02d", i % 20);
		mesh_part_need(p, MESH_PART_CLUSTER, slice_str(name), i < 20);
	}
	mesh_part_need(p, MESH_PART_ROUTES, SLICE("80"), false);
	mesh_part_finish(p);
	assert_int_equal(p->n_refs, 21);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(p->refs[i].kind, MESH_PART_CLUSTER);
		assert_false(p->refs[i].is_weak); /* asked for as strong too */
	}
	assert_int_equal(p->refs[20].kind, MESH_PART_ROUTES);
	assert_true(mesh_part_is_same(p, q));
	q->hash = 1;
	assert_false(mesh_part_is_same(p, q));
	assert_false(mesh_part_is_same(p, NULL));
	mesh_part_rename(q, SLICE("m"));
	assert_int_equal(q->name_hash, mesh_name_hash(SLICE("m")));
	mesh_part_unref(p);
	mesh_part_unref(q);
}

static void references(void **state)
{
	struct mesh_snapshot *s = mesh_snapshot_new();
	struct mesh_part *p = cluster("c", MESH_CLUSTER_STATIC);
	struct addr ip = at("10.0.0.2:0"), other = at("10.0.0.3:0");
	struct mesh_view *v;
	struct err e;

	(void)state;
	released = 0;
	assert_int_equal(build(&p, 1, &v, &e), 0);
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
	struct mesh_prefix list[2] = { 0 };
	struct mesh_pod pod = { .inbound = list, .n_inbound = 2 };
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
		cmocka_unit_test(endpoints_of),
		cmocka_unit_test(part_needs),
		cmocka_unit_test(references),
		cmocka_unit_test(policies_about_a_destination),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
