/* SPDX-License-Identifier: Apache-2.0 */
/* The generic message: properties, keeping past an event, values by name, replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "l7/l7.h"

static bool is(struct slice s, const char *want)
{
	return slice_is_equal(s, slice_str(want));
}

static void add(struct l7_props *p, const char *name, const char *value)
{
	l7_props_add(p, l7_key_find(slice_str(name)), slice_str(name), slice_str(value));
}

static unsigned int live(const struct l7_props *p)
{
	unsigned int n = 0;

	l7_props_each(p, i)
		n++;
	return n;
}

static void test_many(void **state)
{
	struct arena a = { 0 };
	struct l7_props p;
	char names[200][16];

	(void)state;
	l7_props_init(&p, &a);
	assert_null(l7_props_get(&p, L7_KEY_HOST));
	for (int i = 0; i < 200; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d", i);
		add(&p, names[i], names[i]);
	}
	for (int i = 0; i < 200; i++)
		assert_true(is(l7_props_find(&p, slice_str(names[i]))->value, names[i]));
	assert_int_equal(p.n, 200);
	arena_done(&a);
}

static void test_get_set_remove(void **state)
{
	struct arena a = { 0 };
	struct l7_props p;

	(void)state;
	l7_props_init(&p, &a);
	add(&p, "accept", "1");
	add(&p, "x-a", "1");
	add(&p, "accept", "2");
	add(&p, "x-a", "2");
	assert_true(is(l7_props_value(&p, L7_KEY_ACCEPT), "1"));
	assert_true(is(l7_props_find(&p, SLICE("accept"))->value, "1"));
	assert_null(l7_props_find(&p, SLICE("Accept")));
	assert_null(l7_props_find(&p, SLICE("x")));
	assert_int_equal(l7_props_value(&p, L7_KEY_TE).len, 0);

	l7_props_set(&p, L7_KEY_ACCEPT, SLICE("3"));
	assert_int_equal(live(&p), 3);
	assert_true(is(l7_props_value(&p, L7_KEY_ACCEPT), "3"));
	l7_props_set_name(&p, SLICE("x-a"), SLICE("4"));
	assert_int_equal(live(&p), 2);
	assert_true(is(l7_props_find(&p, SLICE("x-a"))->value, "4"));
	l7_props_set_name(&p, SLICE("te"), SLICE("5"));
	assert_true(is(l7_props_value(&p, L7_KEY_TE), "5"));
	l7_props_set(&p, L7_KEY_VIA, SLICE("6"));
	assert_true(is(l7_props_find(&p, SLICE("via"))->name, "via"));

	assert_int_equal(l7_props_remove(&p, L7_KEY_ACCEPT), 1);
	assert_int_equal(l7_props_remove(&p, L7_KEY_ACCEPT), 0);
	add(&p, "x-a", "7");
	assert_int_equal(l7_props_remove_name(&p, SLICE("x-a")), 2);
	assert_int_equal(l7_props_remove_name(&p, SLICE("via")), 1);
	assert_int_equal(live(&p), 1);
	arena_done(&a);
}

/* A protocol that does not intern its names is still served by name. */
static void test_names_without_keys(void **state)
{
	struct arena a = { 0 };
	struct l7_props p;

	(void)state;
	l7_props_init(&p, &a);
	l7_props_add(&p, L7_KEY_NONE, SLICE("host"), SLICE("1"));
	l7_props_add(&p, L7_KEY_NONE, SLICE("Path"), SLICE("2"));
	assert_null(l7_props_get(&p, L7_KEY_HOST));
	assert_true(is(l7_props_find(&p, SLICE("host"))->value, "1"));
	assert_true(is(l7_props_find(&p, SLICE("Path"))->value, "2"));
	assert_null(l7_props_find(&p, SLICE("path")));
	arena_done(&a);
}

static void test_joined(void **state)
{
	struct arena a = { 0 };
	struct l7_props p;
	struct slice v;

	(void)state;
	l7_props_init(&p, &a);
	add(&p, "x-a", "");
	add(&p, "accept", "one");
	add(&p, "x-a", "2");
	add(&p, "x-a", "");
	assert_true(l7_props_joined(&p, SLICE("x-a"), &a, &v) && is(v, ",2,"));
	assert_true(l7_props_joined(&p, SLICE("accept"), &a, &v) && is(v, "one"));
	assert_ptr_equal(v.ptr, p.v[1].value.ptr);
	assert_false(l7_props_joined(&p, SLICE("via"), &a, &v));
	p.v[0].dead = true;
	assert_true(l7_props_joined(&p, SLICE("x-a"), &a, &v) && is(v, "2,"));
	arena_done(&a);
}

static void test_keep(void **state)
{
	struct arena a = { 0 }, b = { 0 };
	struct l7_msg m;
	char *text = xstrdup("GET/pathhostx-nvaluegone");

	(void)state;
	l7_msg_init(&m, L7_REQUEST, &a);
	assert_int_equal(m.body_len, -1);
	m.method = slice_of(text, 3);
	m.path = slice_of(text + 3, 5);
	m.host = slice_of(text + 8, 4);
	m.status = 7;
	l7_props_add(&m.props, L7_KEY_NONE, slice_of(text + 12, 3), slice_of(text + 15, 5));
	l7_props_add(&m.props, L7_KEY_NONE, slice_of(text + 20, 4), slice_of(text, 1))->dead = true;
	l7_props_add(&m.props, L7_KEY_VIA, l7_key_name(L7_KEY_VIA), slice_of(text + 15, 2));
	l7_msg_keep(&m, &b);
	memset(text, 'X', strlen(text));
	free(text);
	arena_done(&a);
	assert_true(is(m.method, "GET") && is(m.path, "/path") && is(m.host, "host"));
	assert_int_equal(m.status, 7);
	assert_int_equal(m.props.n, 2);
	assert_true(is(l7_props_find(&m.props, SLICE("x-n"))->value, "value"));
	assert_true(is(l7_props_value(&m.props, L7_KEY_VIA), "va"));
	add(&m.props, "x-more", "1");
	assert_ptr_equal(m.props.arena, &b);
	assert_true(is(l7_props_find(&m.props, SLICE("x-n"))->value, "value"));
	arena_done(&b);
}

static void test_value(void **state)
{
	struct arena a = { 0 };
	struct l7_msg m;
	struct slice v;

	(void)state;
	l7_msg_init(&m, L7_REQUEST, &a);
	assert_false(l7_msg_value(&m, SLICE(":path"), &a, &v));
	assert_false(l7_msg_value(&m, SLICE(":status"), &a, &v));
	assert_false(l7_msg_value(&m, SLICE("host"), &a, &v));
	m.method = SLICE("GET");
	m.path = SLICE("/");
	m.host = SLICE("h");
	m.scheme = SLICE("http");
	m.status = 503;
	add(&m.props, "x-a", "1");
	add(&m.props, "x-a", "2");
	assert_true(l7_msg_value(&m, SLICE(":method"), &a, &v) && is(v, "GET"));
	assert_true(l7_msg_value(&m, SLICE(":path"), &a, &v) && is(v, "/"));
	assert_true(l7_msg_value(&m, SLICE(":authority"), &a, &v) && is(v, "h"));
	assert_true(l7_msg_value(&m, SLICE("host"), &a, &v) && is(v, "h"));
	assert_true(l7_msg_value(&m, SLICE(":scheme"), &a, &v) && is(v, "http"));
	assert_true(l7_msg_value(&m, SLICE(":status"), &a, &v) && is(v, "503"));
	assert_true(l7_msg_value(&m, SLICE("x-a"), &a, &v) && is(v, "1,2"));
	assert_false(l7_msg_value(&m, SLICE(":other"), &a, &v));
	assert_false(l7_msg_value(&m, SLICE("x-b"), &a, &v));
	arena_done(&a);
}

static void test_reply_status(void **state)
{
	struct l7_reply r = { .code = L7_REPLY_RATE_LIMITED };

	(void)state;
	assert_int_equal(l7_reply_status(&r), 429);
	r.status = 418;
	assert_int_equal(l7_reply_status(&r), 418);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_get_set_remove),
		cmocka_unit_test(test_names_without_keys),
		cmocka_unit_test(test_joined),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_reply_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
