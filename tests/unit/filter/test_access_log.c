/* SPDX-License-Identifier: Apache-2.0 */
/* Access logs: filters, text and JSON lines. The JSON lines are Envoy 1.40's. */
#include "tests/unit/fixture.h"

#include "base/clock.h"
#include "filter/filter.h"

static bool wanted(const struct mesh_log_filter *f, const struct l7_info *in)
{
	struct rng rng = { 9 };

	return filter_log_is_wanted(f, in, &rng);
}

static void filters(void **state)
{
	struct arena a = { 0 };
	struct l7_msg m = request_of(&a, "h", "/");
	struct l7_info in = {
		.request = &m, .status = 404, .start_ns = 1, .end_ns = 1 + 20 * NSEC_PER_MSEC
	};
	struct mesh_log_filter ge = { .kind = MESH_LOG_STATUS, .op = MESH_GE, .value = 400 };
	struct mesh_log_filter eq = { .kind = MESH_LOG_STATUS, .op = MESH_EQ, .value = 200 };
	struct mesh_log_filter le = { .kind = MESH_LOG_DURATION, .op = MESH_LE, .value = 19 };
	struct mesh_log_filter ne = { .kind = MESH_LOG_DURATION, .op = MESH_NE, .value = 19 };
	struct mesh_log_filter flags = { .kind = MESH_LOG_FLAGS },
			       rl = { .kind = MESH_LOG_FLAGS, .flags = L7_FLAG(RL) };
	struct mesh_log_filter header = { .kind = MESH_LOG_HEADER,
					  .header = { .name = S("x-a"),
						      .string = { .text = S("1") } } };
	struct mesh_log_filter half = { .kind = MESH_LOG_RUNTIME, .fraction = 500000 };
	struct mesh_log_filter grpc = { .kind = MESH_LOG_GRPC_STATUS, .value = 1 << 5 };
	struct mesh_log_filter both[] = { ge, eq };
	struct mesh_log_filter and = { .kind = MESH_LOG_AND, .sub = both, .n_sub = 2 };
	struct mesh_log_filter or = { .kind = MESH_LOG_OR, .sub = both, .n_sub = 2 };
	struct rng rng = { 9 };
	int n = 0;

	(void)state;
	assert_true(wanted(NULL, &in));
	assert_true(wanted(&ge, &in));
	assert_false(wanted(&eq, &in));
	assert_false(wanted(&le, &in));
	assert_true(wanted(&ne, &in));
	assert_false(wanted(&and, &in));
	assert_true(wanted(&or, &in));
	assert_false(wanted(&flags, &in));
	in.flags = L7_FLAG(NR);
	assert_true(wanted(&flags, &in));
	assert_false(wanted(&rl, &in));
	assert_false(wanted(&header, &in));
	msg_add(&m, "x-a", "1");
	assert_true(wanted(&header, &in));
	assert_false(wanted(&grpc, &in));
	msg_add(&m, "content-type", "application/grpc");
	in.status = 404;
	assert_false(wanted(&grpc, &in));
	grpc.op = MESH_NE;
	assert_true(wanted(&grpc, &in));
	for (int i = 0; i < 1000; i++)
		n += filter_log_is_wanted(&half, &in, &rng);
	assert_in_range(n, 430, 570);
	in.request = NULL;
	assert_false(wanted(&header, &in));
	arena_done(&a);
}

static struct mesh_json_format leaf(struct arena *a, const char *key, const char *format)
{
	return (struct mesh_json_format){ .kind = MESH_JSON_FORMAT,
					  .key = S(key),
					  .format = format_of(a, format) };
}

static void check(const struct mesh_access_log *log, const struct l7_info *in, const char *want)
{
	struct buf out = { 0 };

	filter_log_line(log, in, &out);
	assert_slice(buf_slice(&out), want);
	buf_done(&out);
}

static void json(void **state)
{
	struct arena a = { 0 };
	struct l7_msg m = request_of(&a, "h", "/p");
	struct l7_info in = { .request = &m, .status = 200 };
	struct mesh_json_format inner[] = { leaf(&a, "y", "x"), leaf(&a, "c", "%REQ(none)%"),
					    leaf(&a, "d", "a%REQ(none)%b"),
					    leaf(&a, "D", "%REQ(none)%%REQ(none)%") };
	struct mesh_json_format none = leaf(&a, "v", "%REQ(none)%");
	struct mesh_json_format list[] = { leaf(&a, "", "%REQ(none)%"),
					   leaf(&a, "", "x"),
					   { .kind = MESH_JSON_NUMBER, .number = 2.5 },
					   { .kind = MESH_JSON_BOOL, .flag = true },
					   { .kind = MESH_JSON_NULL } };
	struct mesh_json_format v[] = {
		leaf(&a, "z", "%PROTOCOL%"),
		{ .kind = MESH_JSON_NUMBER, .key = S("b"), .number = 1 },
		{ .kind = MESH_JSON_OBJECT, .key = S("a"), .sub = inner, .n_sub = 4 },
		{ .kind = MESH_JSON_LIST, .key = S("l"), .sub = list, .n_sub = 5 },
		{ .kind = MESH_JSON_NUMBER, .key = S("B"), .number = 0.1 },
		leaf(&a, "q", "%REQ(:PATH)%"),
		leaf(&a, "code", "%RESPONSE_CODE%"),
		leaf(&a, "emp", ""),
		{ .kind = MESH_JSON_LIST, .key = S("earr") },
		{ .kind = MESH_JSON_OBJECT, .key = S("eobj") },
		{ .kind = MESH_JSON_OBJECT, .key = S("objn"), .sub = &none, .n_sub = 1 },
		{ .kind = MESH_JSON_NULL, .key = S("nulls") },
	};
	struct mesh_json_format root = { .kind = MESH_JSON_OBJECT,
					 .sub = v,
					 .n_sub = ARRAY_LEN(v) };
	struct mesh_json_format empty = { .kind = MESH_JSON_OBJECT, .sub = &none, .n_sub = 1 };
	struct mesh_access_log log = { .json = &root };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		list[i].key = SLICE_NONE;
	check(&log, &in,
	      "{\"B\":0.1,\"a\":{\"D\":\"--\",\"c\":null,\"d\":\"a-b\",\"y\":\"x\"},"
	      "\"b\":1,\"code\":200,\"earr\":[],"
	      "\"emp\":\"\",\"eobj\":{},\"l\":[null,\"x\",2.5,true,null],\"nulls\":null,"
	      "\"objn\":{\"v\":null},"
	      "\"q\":\"/p\",\"z\":\"HTTP/1.1\"}\n");
	log.omit_empty = true;
	check(&log, &in,
	      "{\"B\":0.1,\"a\":{\"D\":\"\",\"d\":\"ab\",\"y\":\"x\"},\"b\":1,"
	      "\"code\":200,\"earr\":[],\"emp\":\"\","
	      "\"l\":[\"x\",2.5,true],\"q\":\"/p\",\"z\":\"HTTP/1.1\"}\n");
	log.json = &empty;
	check(&log, &in, "{}\n");
	log.omit_empty = false;
	check(&log, &in, "{\"v\":null}\n");
	arena_done(&a);
}

static void text(void **state)
{
	struct arena a = { 0 };
	struct l7_info in = { .status = 200 };
	struct mesh_access_log log = { .format = format_of(&a, "%RESPONSE_CODE% %ROUTE_NAME%") };

	(void)state;
	check(&log, &in, "200 -");
	log.omit_empty = true;
	check(&log, &in, "200 ");
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(filters), cmocka_unit_test(json),
					    cmocka_unit_test(text) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
