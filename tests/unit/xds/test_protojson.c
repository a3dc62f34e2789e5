/* SPDX-License-Identifier: Apache-2.0 */
/* JSON and wire form <-> messages: special messages, names, oneofs, maps, numbers, Any, limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/listener/v3/listener.pb-c.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "xds/protojson.h"
#include "xds/registry.h"

#define LISTENER "envoy.config.listener.v3.Listener"
#define CLUSTER "envoy.config.cluster.v3.Cluster"
#define TCP "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"

struct fixture {
	struct arena a;
	struct protojson pj;
	struct xds_report report;
	struct err e;
};

static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	protojson_init(&f->pj, &f->a, &f->report, &f->e);
}

static void end(struct fixture *f)
{
	xds_report_done(&f->report);
	arena_done(&f->a);
}

static const ProtobufCMessageDescriptor *type(const char *name)
{
	const ProtobufCMessageDescriptor *d = registry_find(slice_str(name));

	assert_non_null(d);
	return d;
}

static int read_text(struct fixture *f, const char *name, const char *text,
		     ProtobufCMessage **ret_m)
{
	json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
	int rc;

	if (!j)
		fail_msg("the test's own JSON is bad: %s", text);
	rc = protojson_read(&f->pj, type(name), j, ret_m);
	json_decref(j);
	return rc;
}

/* @in is read as @name; what is written then is @out. The wire form gives the same. */
static void trip(const char *name, const char *in, const char *out)
{
	ProtobufCMessage *m = NULL, *again = NULL;
	struct fixture f;
	json_t *j, *want = json_loads(out, JSON_DECODE_ANY, NULL);

	begin(&f);
	if (read_text(&f, name, in, &m) < 0)
		fail_msg("%s: %s", in, f.e.text);
	for (int i = 0; i < 2; i++) {
		j = protojson_write(i ? again : m);
		if (!json_equal(j, want))
			fail_msg("%s gives %s", in, json_dumps(j, JSON_ENCODE_ANY));
		json_decref(j);
		if (!i)
			assert_int_equal(protojson_unpack(&f.pj, m->descriptor,
							  protojson_pack(m, &f.a), &again),
					 0);
	}
	json_decref(want);
	end(&f);
}

static void refuse(const char *name, const char *in, const char *error)
{
	ProtobufCMessage *m = NULL;
	struct fixture f;

	begin(&f);
	if (read_text(&f, name, in, &m) == 0)
		fail_msg("taken: %s", in);
	assert_string_equal(f.e.text, error);
	assert_null(m);
	end(&f);
}

#define DURATION "google.protobuf.Duration"

static void durations(void **state)
{
	static const char *const same[] = { "\"0s\"",           "\"3600s\"",
					    "\"-3s\"",          "\"315576000000s\"",
					    "\"0.250s\"",       "\"0.000001s\"",
					    "\"0.000000001s\"", "\"-0.500s\"" };
	static const char *const bad[] = { "\"\"",     "\"s\"",   "\"1\"",
					   "\"1.s\"",  "\".5s\"", "\"1ms\"",
					   "\"1 s\"",  "\"+1s\"", "\"1.0000000001s\"",
					   "\"--1s\"", "\"1e3s\"" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		trip(DURATION, same[i], same[i]);
	trip(DURATION, "\"0.25s\"", "\"0.250s\"");
	trip(DURATION, "\"1.5000s\"", "\"1.500s\"");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char error[128];

		snprintf(error, sizeof(error), "%.*s is not a duration such as \"0.25s\"",
			 (int)strlen(bad[i]), bad[i]);
		refuse(DURATION, bad[i], error);
	}
	refuse(DURATION, "\"315576000001s\"", "\"315576000001s\" is too long a duration");
	refuse(DURATION, "5", "a duration such as \"0.25s\" is needed here");
}

static void structs(void **state)
{
	(void)state;
	trip("google.protobuf.Struct", "{\"a\":[1,2.5,\"x\",true,null,{\"b\":{}},[]]}",
	     "{\"a\":[1,2.5,\"x\",true,null,{\"b\":{}},[]]}");
	trip("google.protobuf.Value", "null", "null");
	trip("google.protobuf.Value", "-12", "-12");
	refuse("google.protobuf.Struct", "[]", "a map is needed here");
}

static void wrappers(void **state)
{
	(void)state;
	trip("google.protobuf.UInt32Value", "5", "5");
	trip("google.protobuf.UInt32Value", "\"5\"", "5");
	trip("google.protobuf.UInt32Value", "5.0", "5");
	trip("google.protobuf.UInt32Value", "0", "0");
	trip("google.protobuf.UInt64Value", "\"18446744073709551615\"", "\"18446744073709551615\"");
	trip("google.protobuf.BoolValue", "false", "false");
	trip("google.protobuf.BoolValue", "\"Yes\"", "true");
	trip("google.protobuf.StringValue", "\"\"", "\"\"");
	trip("google.protobuf.DoubleValue", "\"1.5\"", "1.5");
	refuse("google.protobuf.UInt32Value", "4294967296",
	       "4294967296 is out of range (0 to 4294967295)");
	refuse("google.protobuf.UInt32Value", "-1", "-1 is out of range (0 to 4294967295)");
	refuse("google.protobuf.UInt32Value", "1.5", "a whole number is needed here, not a number");
	refuse("google.protobuf.UInt32Value", "\"x\"", "\"x\" is not a whole number in range");
	refuse("google.protobuf.UInt32Value", "{}", "a number is needed here, not an object");
	refuse("google.protobuf.BoolValue", "1", "true or false is needed here, not a number");
	refuse("google.protobuf.BoolValue", "\"yEs\"", "true or false is needed here, not text");
	refuse("google.protobuf.StringValue", "5",
	       "text is needed here, not a number; put it in quotes");
}

static void names(void **state)
{
	(void)state;
	trip(LISTENER,
	     "{\"statPrefix\":\"s\",\"bindToPort\":false,\"perConnectionBufferLimitBytes\":7}",
	     "{\"stat_prefix\":\"s\",\"bind_to_port\":false,\"per_connection_buffer_limit_bytes\":"
	     "7}");
	trip(CLUSTER, "{\"http2ProtocolOptions\":{}}", "{\"http2_protocol_options\":{}}");
	trip(LISTENER, "{\"name\":null,\"filter_chains\":null}", "{}");
	refuse(LISTENER, "{\"stat_prefix\":\"a\",\"statPrefix\":\"b\"}",
	       "stat_prefix: the field is there twice");
	refuse(LISTENER, "{\"filter_chains\":{}}", "filter_chains: a list is needed here");
	refuse(LISTENER, "{\"filter_chains\":[{},{\"filters\":[{\"name\":5}]}]}",
	       "filter_chains[1].filters[0].name: text is needed here, not a number; put it in "
	       "quotes");
	refuse(LISTENER, "[]", "fields of envoy.config.listener.v3.Listener are needed here");
}

static void enums(void **state)
{
	(void)state;
	trip(CLUSTER, "{\"type\":\"STRICT_DNS\",\"lb_policy\":3}",
	     "{\"type\":\"STRICT_DNS\",\"lb_policy\":\"RANDOM\"}");
	trip(CLUSTER, "{\"lb_policy\":77}",
	     "{\"lb_policy\":77}"); /* a newer peer's value is kept */
	refuse(CLUSTER, "{\"lb_policy\":\"BEST\"}",
	       "lb_policy: \"BEST\" is not a value of envoy.config.cluster.v3.Cluster.LbPolicy");
}

static void oneofs(void **state)
{
	(void)state;
	refuse(LISTENER, "{\"address\":{\"pipe\":{},\"socket_address\":{}}}",
	       "address.socket_address: only one of \"pipe\" and \"socket_address\" may be set");
	trip(LISTENER, "{\"address\":{\"pipe\":null,\"socket_address\":{\"port_value\":0}}}",
	     "{\"address\":{\"socket_address\":{\"port_value\":0}}}"); /* a set member shows, even
									  at its default */
}

static void maps_and_any(void **state)
{
	(void)state;
	trip(CLUSTER,
	     "{\"typed_extension_protocol_options\":{\"x\":{\"@type\":\"" TCP
	     "\",\"statPrefix\":\"s\"}}}",
	     "{\"typed_extension_protocol_options\":{\"x\":{\"@type\":\"" TCP
	     "\",\"stat_prefix\":\"s\"}}}");
	trip("google.protobuf.Any", "{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1.5s\"}",
	     "{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1.500s\"}");
	trip("google.protobuf.Any", "{\"@type\":\"x/google.protobuf.Struct\",\"value\":{\"a\":1}}",
	     "{\"@type\":\"x/google.protobuf.Struct\",\"value\":{\"a\":1}}");
	/* What is not known is kept as it is. */
	trip("google.protobuf.Any", "{\"@type\":\"x/a.B\",\"c\":[1]}",
	     "{\"@type\":\"x/a.B\",\"c\":[1]}");
	/* A TypedStruct is its type. */
	trip("google.protobuf.Any",
	     "{\"@type\":\"x/udpa.type.v1.TypedStruct\",\"type_url\":\"" TCP
	     "\",\"value\":{\"cluster\":\"c\"}}",
	     "{\"@type\":\"" TCP "\",\"cluster\":\"c\"}");
	refuse("google.protobuf.Any", "{\"a\":1}", "\"@type\" is missing");
	refuse("google.protobuf.Any", "{\"@type\":\"x/google.protobuf.Duration\"}",
	       "\"value\" is missing");
	refuse("google.protobuf.Any", "{\"@type\":\"x/xds.type.v3.TypedStruct\"}",
	       "a TypedStruct needs \"type_url\"");
	refuse(CLUSTER,
	       "{\"typed_extension_protocol_options\":{\"x\":{\"@type\":\"" TCP
	       "\",\"idle_timeout\":1}}}",
	       "typed_extension_protocol_options[x].idle_timeout: a duration such as \"0.25s\" is "
	       "needed here");
}

#define HEADER_VALUE_BYTES \
	"{\"request_headers_to_add\":[{\"header\":{\"key\":\"k\",\"raw_value\":\"%s\"}}]}"

static void bytes(void **state)
{
	static const char *const in[] = { "", "YQ==", "YWI=", "YWJj", "+/+/", "YQ", "-_-_" };
	static const char *const out[] = { "", "YQ==", "YWI=", "YWJj", "+/+/", "YQ==", "+/+/" };
	char a[256], b[256];

	(void)state;
	for (size_t i = 1; i < ARRAY_LEN(in); i++) {
		snprintf(a, sizeof(a), HEADER_VALUE_BYTES, in[i]);
		snprintf(b, sizeof(b), HEADER_VALUE_BYTES, out[i]);
		trip("envoy.config.route.v3.RouteConfiguration", a, b);
	}
	snprintf(a, sizeof(a), HEADER_VALUE_BYTES, "a");
	refuse("envoy.config.route.v3.RouteConfiguration", a,
	       "request_headers_to_add[0].header.raw_value: the text is not base64");
	snprintf(a, sizeof(a), HEADER_VALUE_BYTES, "a*bc");
	refuse("envoy.config.route.v3.RouteConfiguration", a,
	       "request_headers_to_add[0].header.raw_value: the text is not base64");
}

/* ---- unknown fields -------------------------------------------------------------------------- */

static const char *refuse_tls(const char *message, const char *name, uint32_t number)
{
	assert_non_null(message);
	return (name && strcmp(name, "tls") == 0) || number == 4 ? "is dangerous" : NULL;
}

static void unknown_in_json(void **state)
{
	ProtobufCMessage *m = NULL;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(read_text(&f, LISTENER, "{\"a\":1,\"filter_chains\":[{\"b\":{}}]}", &m),
			 0);
	assert_int_equal(f.report.n, 2);
	assert_string_equal(f.report.v[0].path.ptr, "");
	assert_string_equal(f.report.v[1].path.ptr, "filter_chains[0]");
	assert_string_equal(f.report.v[1].text.ptr,
			    "field \"b\" of envoy.config.listener.v3.FilterChain is not known to "
			    "this version and has no effect");
	f.pj.refuse = refuse_tls;
	assert_int_equal(read_text(&f, LISTENER, "{\"tls\":1}", &m), -EINVAL);
	assert_string_equal(f.e.text,
			    "field \"tls\" of envoy.config.listener.v3.Listener is dangerous");
	end(&f);
}

static void unknown_on_wire(void **state)
{
	/* name "l", filter_chains { 15: varint 1 }, filter_chains { 4: "" } */
	static const uint8_t wire[] = { 0x0a, 1, 'l', 0x1a, 2, 0x78, 1, 0x1a, 2, 0x22, 0 };
	ProtobufCMessage *m = NULL;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(protojson_unpack(&f.pj, type(LISTENER), slice_of(wire, sizeof(wire)), &m),
			 0);
	assert_int_equal(f.report.n, 2);
	assert_string_equal(f.report.v[0].path.ptr, "filter_chains[0]");
	assert_string_equal(f.report.v[0].text.ptr,
			    "field number 15 of envoy.config.listener.v3.FilterChain is not known "
			    "to this version and has no effect");
	assert_string_equal(f.report.v[1].path.ptr, "filter_chains[1]");
	f.pj.refuse = refuse_tls;
	assert_int_equal(protojson_unpack(&f.pj, type(LISTENER), slice_of(wire, sizeof(wire)), &m),
			 -EINVAL);
	assert_string_equal(f.e.text, "filter_chains[1]: field number 4 of "
				      "envoy.config.listener.v3.FilterChain is dangerous");
	end(&f);
}

static void bad_wire(void **state)
{
	static const struct {
		uint8_t bytes[8];
		size_t len;
	} cases[] = {
		{ { 0x0a }, 1 },                               /* length is missing */
		{ { 0x0a, 5, 'x' }, 3 },                       /* cut */
		{ { 0x0b }, 1 },                               /* a group */
		{ { 0x02, 0 }, 2 },                            /* field 0 */
		{ { 0x1a, 2, 0x0a, 9 }, 4 },                   /* cut inside a message */
		{ { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80 }, 6 }, /* tag without end */
		{ { 0x25, 1, 2 }, 3 },                         /* four bytes, two there */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ProtobufCMessage *m = NULL;
		struct fixture f;

		begin(&f);
		if (protojson_unpack(&f.pj, type(LISTENER), slice_of(cases[i].bytes, cases[i].len),
				     &m) != -EINVAL)
			fail_msg("case %zu is taken", i);
		end(&f);
	}
}

/* Texts are UTF-8 without a NUL, as protobuf demands and as JSON needs; bytes are anything. */
static void texts_on_wire(void **state)
{
	static const struct {
		uint8_t bytes[8];
		size_t len;
		const char *why;
	} cases[] = {
		{ { 0x0a, 2, 'l', 0xff }, 4, "name: the text is no UTF-8" },
		{ { 0x0a, 2, 0xc0, 0x80 }, 4, "name: the text is no UTF-8" },
		{ { 0x0a, 3, 'l', 0, 'x' }, 5, "name: the text has a NUL byte" },
		{ { 0x1a, 4, 0x3a, 2, 'l', 0xc3 }, 6,
		  "filter_chains[0].name: the text is no UTF-8" },
	};
	static const uint8_t any[] = { 0x12, 2, 0xff, 0 };
	ProtobufCMessage *m = NULL;
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		begin(&f);
		assert_int_equal(protojson_unpack(&f.pj, type(LISTENER),
						  slice_of(cases[i].bytes, cases[i].len), &m),
				 -EINVAL);
		assert_string_equal(f.e.text, cases[i].why);
		end(&f);
	}
	begin(&f);
	assert_int_equal(protojson_unpack(&f.pj, &google__protobuf__any__descriptor,
					  slice_of(any, sizeof(any)), &m),
			 0);
	end(&f);
}

/* Two bytes become a struct of hundreds: what a message takes is bounded, not only its bytes. */
static void many_on_wire(void **state)
{
	size_t n = PROTOJSON_MEMORY_MAX / sizeof(Envoy__Config__Listener__V3__FilterChain) + 1;
	char *bytes = malloc(2 * n);
	ProtobufCMessage *m = NULL;
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < n; i++)
		memcpy(bytes + 2 * i, "\x1a", 2); /* filter_chains {} */
	begin(&f);
	assert_int_equal(protojson_unpack(&f.pj, type(LISTENER), slice_of(bytes, 2 * n), &m),
			 -E2BIG);
	assert_non_null(strstr(f.e.text, "takes more than 512 MiB of memory"));
	end(&f);
	begin(&f);
	assert_int_equal(protojson_unpack(&f.pj, type(LISTENER), slice_of(bytes, 2000), &m), 0);
	end(&f);
	free(bytes);
}

/* ---- depth ----------------------------------------------------------------------------------- */

static void deep_json(void **state)
{
	ProtobufCMessage *m = NULL;
	struct fixture f;
	json_t *j = json_object();

	(void)state;
	for (int i = 0; i < PROTOJSON_DEPTH_MAX; i++)
		j = json_pack("{s:o}", "a", j);
	begin(&f);
	assert_int_equal(protojson_read(&f.pj, type("google.protobuf.Struct"), j, &m), -E2BIG);
	assert_non_null(strstr(f.e.text, ": nested deeper than 100"));
	json_decref(j);
	end(&f);
}

/* ListValue { values: Value { list_value: ... } } as bytes, far deeper than a stack would bear. */
static void deep_wire(void **state)
{
	uint8_t *bytes = calloc(1, 3000000), *p = bytes + 3000000;
	ProtobufCMessage *m = NULL;
	size_t len = 0;
	struct fixture f;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint8_t head[8];
		size_t n = 1, v = len;

		head[0] = i % 2 ? 0x0a : 0x32; /* values = 1, list_value = 6 */
		for (; v > 127; v >>= 7)
			head[n++] = (uint8_t)(v | 128);
		head[n++] = (uint8_t)v;
		p -= n;
		memcpy(p, head, n);
		len += n;
	}
	begin(&f);
	assert_int_equal(protojson_unpack(&f.pj, &google__protobuf__list_value__descriptor,
					  slice_of(p, len), &m),
			 -E2BIG);
	end(&f);
	free(bytes);
}

static void typed_struct_on_wire(void **state)
{
	ProtobufCMessage *m = NULL, *inner = NULL;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	struct fixture f;
	struct slice bytes;

	(void)state;
	begin(&f);
	assert_int_equal(read_text(&f, "xds.type.v3.TypedStruct",
				   "{\"type_url\":\"" TCP "\",\"value\":{\"statPrefix\":\"s\"}}",
				   &m),
			 0);
	bytes = protojson_pack(m, &f.a);
	any.type_url = (char *)(uintptr_t) "type.googleapis.com/xds.type.v3.TypedStruct";
	any.value = (ProtobufCBinaryData){ bytes.len, (uint8_t *)(uintptr_t)bytes.ptr };
	assert_string_equal(protojson_any_type(&f.pj, &any.base),
			    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy");
	assert_int_equal(protojson_any_open(&f.pj, &any.base, &inner), 0);
	assert_string_equal(inner->descriptor->name,
			    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy");
	any.type_url = (char *)(uintptr_t) "x/a.B";
	assert_int_equal(protojson_any_open(&f.pj, &any.base, &inner), -ENOENT);
	assert_string_equal(f.e.text, "type \"x/a.B\" is not known to this version");
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),       cmocka_unit_test(structs),
		cmocka_unit_test(wrappers),        cmocka_unit_test(names),
		cmocka_unit_test(enums),           cmocka_unit_test(oneofs),
		cmocka_unit_test(maps_and_any),    cmocka_unit_test(bytes),
		cmocka_unit_test(unknown_in_json), cmocka_unit_test(unknown_on_wire),
		cmocka_unit_test(bad_wire),        cmocka_unit_test(deep_json),
		cmocka_unit_test(texts_on_wire),   cmocka_unit_test(many_on_wire),
		cmocka_unit_test(deep_wire),       cmocka_unit_test(typed_struct_on_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
