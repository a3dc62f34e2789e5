/* SPDX-License-Identifier: Apache-2.0 */
/* One content is held once, also when its maps come in another order. */
#include "t_ads.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "xds/registry.h"

static void start(void)
{
	memset(&t, 0, sizeof(t));
	t_compiled = 0;
	t.store = xds_store_new(t_compile);
}

static void test_content_is_shared(void **state)
{
	struct xds_resource *a, *b, *c;
	struct xds_store_totals totals;

	(void)state;
	start();
	a = xds_store_get(t.store, MESH_PART_CLUSTER, SLICE("\x0a\x01x"));
	b = xds_store_get(t.store, MESH_PART_CLUSTER, SLICE("\x0a\x01x"));
	c = xds_store_get(t.store, MESH_PART_LISTENER, SLICE("\x0a\x01x"));
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_ptr_equal(a->name, c->name);
	assert_int_equal(t_compiled, 2);
	xds_resource_unref(t.store, a);
	assert_true(slice_is_equal(xds_name_slice(b->name), SLICE("x")));
	xds_resource_unref(t.store, b);
	xds_store_totals_get(t.store, &totals);
	assert_int_equal(totals.resources, 1);
	assert_int_equal(totals.names, 1);
	xds_resource_unref(t.store, c);
	xds_store_free(t.store);
}

static void test_refused_is_remembered(void **state)
{
	static const char bad[] = "\x0a\x01x\xda\x3e\x01y"; /* field 1003 */
	struct xds_resource *a, *b;

	(void)state;
	start();
	a = xds_store_get(t.store, MESH_PART_CLUSTER, slice_of(bad, sizeof(bad) - 1));
	b = xds_store_get(t.store, MESH_PART_CLUSTER, slice_of(bad, sizeof(bad) - 1));
	assert_ptr_equal(a, b);
	assert_null(a->part);
	assert_string_equal(a->error, "it is bad");
	assert_int_equal(t_compiled, 1);
	xds_resource_unref(t.store, a);
	xds_resource_unref(t.store, b);
	a = xds_store_get(t.store, MESH_PART_CLUSTER, SLICE_NONE);
	assert_non_null(strstr(a->error, "no name"));
	xds_resource_unref(t.store, a);
	xds_store_free(t.store);
}

static int refuse_x(void *arg, struct mesh_part *part, struct err *e)
{
	++*(int *)arg;
	return slice_is_equal(part->name, SLICE("x")) ? err_set(e, -EINVAL, "not here") : 0;
}

static void test_checked_beside_compiled(void **state)
{
	struct xds_resource *a, *b;
	int asked = 0;

	(void)state;
	start();
	xds_store_set_check(t.store, refuse_x, &asked);
	a = xds_store_get(t.store, MESH_PART_CLUSTER, SLICE("\x0a\x01x"));
	b = xds_store_get(t.store, MESH_PART_CLUSTER, SLICE("\x0a\x01y"));
	assert_null(a->part);
	assert_string_equal(a->error, "not here");
	assert_non_null(b->part);
	assert_int_equal(asked, 2);
	xds_resource_unref(t.store, a);
	xds_resource_unref(t.store, b);
	xds_store_free(t.store);
}

static void test_many(void **state)
{
	enum { MANY = 5000 };
	struct xds_resource **v = xcalloc(MANY, sizeof(struct xds_resource *));
	struct xds_store_totals totals;

	(void)state;
	start();
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < MANY; i++) {
			char content[6] = "\x0a\x04";

			memcpy(content + 2, &(uint32_t){ i * 7 + 0x01010101 }, 4);
			v[i] = xds_store_get(t.store, MESH_PART_CLUSTER, slice_of(content, 6));
		}
		for (unsigned int i = 0; i < MANY; i += 2)
			xds_resource_unref(t.store, v[i]);
		for (unsigned int i = 1; i < MANY; i += 2) {
			struct slice name = xds_name_slice(v[i]->name);

			assert_ptr_equal(xds_name_find(t.store, name), v[i]->name);
			xds_resource_unref(t.store, v[i]);
		}
		xds_store_totals_get(t.store, &totals);
		assert_int_equal(totals.resources, 0);
		assert_int_equal(totals.names, 0);
	}
	free(v);
	xds_store_free(t.store);
}

/* The packed form of a cluster in JSON. */
static struct slice packed(const char *json, struct arena *a)
{
	json_t *j = json_loads(json, 0, NULL);
	struct protojson pj;
	ProtobufCMessage *m;
	struct err e;

	protojson_init(&pj, a, NULL, &e);
	must(j && protojson_read(&pj, registry_find(SLICE("envoy.config.cluster.v3.Cluster")), j,
				 &m) == 0);
	json_decref(j);
	return protojson_pack(m, a);
}

#define H \
	"'http': {'@type': 'type.googleapis.com/google.protobuf.Struct', 'value': {'p': 1, 'q': 2}}"
#define H2 \
	"'http': {'@type': 'type.googleapis.com/google.protobuf.Struct', 'value': {'q': 2, 'p': 1}}"
#define D "'dubbo': {'@type': 'type.googleapis.com/google.protobuf.BoolValue', 'value': true}"

static char *quotes(const char *s)
{
	char *out = xstrdup(s);

	for (char *p = out; *p; p++)
		if (*p == '\'')
			*p = '"';
	return out;
}

static void test_order_of_maps(void **state)
{
	static const char *const same[] = {
		"{'name': 'c', 'typed_extension_protocol_options': {" H "," D "}}",
		"{'name': 'c', 'typed_extension_protocol_options': {" D "," H "}}",
		"{'name': 'c', 'typed_extension_protocol_options': {" D "," H2 "}}",
	};
	struct arena a = { 0 };
	struct slice first, other;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		char *text = quotes(same[i]);

		other = packed(text, &a);
		xds_canonicalize(SLICE("envoy.config.cluster.v3.Cluster"),
				 (char *)(uintptr_t)other.ptr, other.len);
		if (i == 0)
			first = other;
		assert_true(slice_is_equal(first, other));
		assert_true(slice_is_equal(xds_content_name(other), SLICE("c")));
		free(text);
	}
	arena_done(&a);
}

static void test_broken_bytes_stay(void **state)
{
	char text[] = "\x0a\x05"
		      "a",
	     copy[sizeof(text)];

	(void)state;
	memcpy(copy, text, sizeof(text));
	xds_canonicalize(SLICE("envoy.config.cluster.v3.Cluster"), text, sizeof(text) - 1);
	assert_memory_equal(text, copy, sizeof(text));
	assert_true(slice_is_empty(xds_content_name(slice_of(text, 3))));
}

static void test_types(void **state)
{
	enum mesh_part_kind kind;

	(void)state;
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
		struct slice url = slice_str(xds_type_url((enum mesh_part_kind)k));

		assert_int_equal(xds_type_find(url, &kind), 0);
		assert_int_equal(kind, k);
		assert_true(strlen(xds_type_short(kind)) >= 3);
		/* A secret is opaque. */
		assert_true(registry_find(url) || kind == MESH_PART_SECRET);
	}
	assert_int_equal(xds_type_find(SLICE("x"), &kind), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_is_shared),
		cmocka_unit_test(test_refused_is_remembered),
		cmocka_unit_test(test_checked_beside_compiled),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_order_of_maps),
		cmocka_unit_test(test_broken_bytes_stay),
		cmocka_unit_test(test_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
