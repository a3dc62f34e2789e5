/* SPDX-License-Identifier: Apache-2.0 */
/* YAML -> JSON: typing, anchors, merge keys, limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "xds/yaml.h"

static void same(const char *yaml, enum yaml_typing typing, const char *json)
{
	json_t *j = NULL, *want = json_loads(json, JSON_DECODE_ANY, NULL);
	struct err e = { "" };

	assert_non_null(want);
	if (yaml_parse(slice_str(yaml), "t", typing, &j, &e) < 0)
		fail_msg("%s: %s", yaml, e.text);
	if (!json_equal(j, want))
		fail_msg("%s gives %s, not %s", yaml, json_dumps(j, JSON_ENCODE_ANY), json);
	json_decref(j);
	json_decref(want);
}

static void typing(void **state)
{
	(void)state;
	same("[true, True, FALSE, tRUE, yes, on, y]", YAML_TYPING_ENVOY,
	     "[true,true,false,\"tRUE\",\"yes\",\"on\",\"y\"]");
	same("[1, -2, 0x10, 2147483648, 1.5, 1e3, .5, -, +, '1', \"2\"]", YAML_TYPING_ENVOY,
	     "[1,-2,16,\"2147483648\",\"1.5\",\"1e3\",\".5\",\"-\",\"+\",\"1\",\"2\"]");
	same("[1, 2147483648, 1.5, 1e3, 12s, 1.2.3.4, 99999999999999999999]", YAML_TYPING_CORE,
	     "[1,2147483648,1.5,1000.0,\"12s\",\"1.2.3.4\",1e20]");
	same("[~, null, NULL, '', 'null', nil]", YAML_TYPING_ENVOY,
	     "[null,null,null,\"\",\"null\",\"nil\"]");
	same("{a: , b: !!str 5}", YAML_TYPING_ENVOY, "{\"a\":null,\"b\":\"5\"}");
	same("a: |\n  x\n  y\nb: >-\n  c\n  d\n", YAML_TYPING_ENVOY,
	     "{\"a\":\"x\\ny\\n\",\"b\":\"c d\"}");
	same("", YAML_TYPING_ENVOY, "{}");
	same("---\na: 1\n...\n", YAML_TYPING_ENVOY, "{\"a\":1}");
	same("5: x\ntrue: y\n", YAML_TYPING_ENVOY, "{\"5\":\"x\",\"true\":\"y\"}");
	same("{\"json\": [\"is\", {\"yaml\": null}]}", YAML_TYPING_ENVOY,
	     "{\"json\":[\"is\",{\"yaml\":null}]}");
}

static void anchors(void **state)
{
	(void)state;
	same("a: &x {k: 1}\nb: *x\n", YAML_TYPING_ENVOY, "{\"a\":{\"k\":1},\"b\":{\"k\":1}}");
	same("a: &x 1\nb: &x 2\nc: *x\n", YAML_TYPING_ENVOY, "{\"a\":1,\"b\":2,\"c\":2}");
	same("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n", YAML_TYPING_ENVOY,
	     "{\"a\":{\"k\":1,\"l\":2},\"b\":{\"k\":1,\"l\":3}}");
	same("b: {l: 3, <<: [{k: 1}, {k: 2, m: 4}]}\n", YAML_TYPING_ENVOY,
	     "{\"b\":{\"k\":1,\"l\":3,\"m\":4}}");
	same("'<<': 1\n", YAML_TYPING_ENVOY, "{\"<<\":1}");
}

static int parse(const char *text, size_t len, struct err *e)
{
	json_t *j = NULL;
	int rc = yaml_parse(slice_of(text, len), "t", YAML_TYPING_ENVOY, &j, e);

	json_decref(j);
	return rc;
}

/* Nine levels of ten aliases each would be a billion values. */
static void alias_bomb(void **state)
{
	char text[1024] = "a0: &a0 x\n";
	struct err e = { "" };

	(void)state;
	for (int i = 1; i < 10; i++) {
		size_t at = strlen(text);

		at += (size_t)snprintf(text + at, sizeof(text) - at, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s*a%d", k ? "," : "",
					       i - 1);
		snprintf(text + at, sizeof(text) - at, "]\n");
	}
	assert_int_equal(parse(text, strlen(text), &e), -E2BIG);
	assert_non_null(strstr(e.text, "too many values"));
}

static void depth(void **state)
{
	char text[2 * YAML_DEPTH_MAX + 4];
	struct err e = { "" };

	(void)state;
	memset(text, '[', YAML_DEPTH_MAX);
	memset(text + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
	assert_int_equal(parse(text, 2 * YAML_DEPTH_MAX, &e), 0);
	memset(text, '[', YAML_DEPTH_MAX + 1);
	memset(text + YAML_DEPTH_MAX + 1, ']', YAML_DEPTH_MAX + 1);
	assert_int_equal(parse(text, 2 * YAML_DEPTH_MAX + 2, &e), -E2BIG);
	assert_non_null(strstr(e.text, "nested too deep"));
}

static void many_anchors(void **state)
{
	size_t len = (YAML_ANCHORS_MAX + 1) * 16, at = 0;
	char *text = malloc(len);
	struct err e = { "" };

	(void)state;
	for (int i = 0; i <= YAML_ANCHORS_MAX; i++)
		at += (size_t)snprintf(text + at, len - at, "- &a%d 1\n", i);
	assert_int_equal(parse(text, at, &e), -E2BIG);
	assert_non_null(strstr(e.text, "too many anchors"));
	free(text);
}

static void bad_text(void **state)
{
	struct err e = { "" };

	(void)state;
	assert_true(parse("a: \"\xff\"\n", 7, &e) < 0);
	assert_true(parse("a: \x01\n", 5, &e) < 0);
	assert_true(parse("a:\n\t- b\n", 8, &e) < 0);
	assert_true(parse("\"a\\0b\": 1\n", 10, &e) < 0);
	assert_non_null(strstr(e.text, "NUL"));
}

static void too_long(void **state)
{
	char *text = malloc(YAML_FILE_MAX + 1);
	struct err e = { "" };

	(void)state;
	memset(text, '#', YAML_FILE_MAX + 1);
	assert_int_equal(parse(text, YAML_FILE_MAX + 1, &e), -E2BIG);
	assert_string_equal(e.text, "t: over 16777216 bytes");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typing),       cmocka_unit_test(anchors),
		cmocka_unit_test(alias_bomb),   cmocka_unit_test(depth),
		cmocka_unit_test(many_anchors), cmocka_unit_test(bad_text),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
