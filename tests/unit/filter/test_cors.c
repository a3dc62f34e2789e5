/* SPDX-License-Identifier: Apache-2.0 */
/* cors and header_mutation. The cases of cors are those that Envoy 1.40 was asked. */
#include "tests/unit/filter/context.h"

#define ALL 1000000u

static struct mesh_string exact_a = { .text = { "https://a.test", 14 } },
			  vhost_origin = { .text = { "https://vhost.test", 18 } },
			  star = { .text = { "*", 1 } },
			  https = { .kind = MESH_STRING_PREFIX, .text = { "https://", 8 } };

static const struct mesh_cors vhost = { .origins = &vhost_origin,
					.n_origins = 1,
					.methods = { "GET", 3 },
					.forward_not_matching = true,
					.enabled = ALL };
static const struct mesh_cors full = { .origins = &exact_a,
				       .n_origins = 1,
				       .methods = { "GET, POST, PUT", 14 },
				       .headers = { "x-a, content-type", 17 },
				       .expose = { "x-e, x-f", 8 },
				       .max_age = { "600", 3 },
				       .credentials = true,
				       .forward_not_matching = true,
				       .enabled = ALL };
static const struct mesh_cors any = { .origins = &star, .n_origins = 1, .methods = { "*", 1 },
				      .forward_not_matching = true, .enabled = ALL };
static const struct mesh_cors private_network = { .origins = &https,
						  .n_origins = 1,
						  .private_network = true,
						  .forward_not_matching = true,
						  .enabled = ALL };
static const struct mesh_cors not_forward = { .origins = &exact_a, .n_origins = 1, .enabled = ALL };
static const struct mesh_cors off = { .origins = &https,
				      .n_origins = 1,
				      .forward_not_matching = true };

enum { SIMPLE, PREFLIGHT, NO_METHOD, PRIVATE };

/* The access-control headers of the answer as "name=value;" without their common beginning, or
 * "forwarded" for a preflight that went on. */
static struct slice show(struct bench *b, const struct l7_props *p)
{
	struct slice s = S("");
	struct slice prefix = S("access-control-");

	l7_props_each(p, i)
		if (slice_has_prefix(p->v[i].name, prefix)) {
			struct slice name = slice_skip(p->v[i].name, prefix.len);

			s = arena_printf(&b->a, "%.*s%.*s=%.*s;", SLICE_ARG(s), SLICE_ARG(name),
					 SLICE_ARG(p->v[i].value));
		}
	return s;
}

static struct slice ask(struct bench *b, const struct mesh_cors *route, const char *origin,
			int kind)
{
	struct mesh_filter_override ro = { .name = S("f"), .kind = "cors", .config = route };
	struct mesh_filter_override vo = { .name = S("f"), .kind = "cors", .config = &vhost };
	struct mesh_route r = { .overrides = { &ro, 1 } };
	struct mesh_vhost vh = { .overrides = { &vo, 1 } };
	struct l7_msg resp;

	bench_stream(b);
	if (route)
		b->ctx.route = &r;
	b->ctx.vhost = &vh;
	b->ctx.config = route ? route : &vhost;
	if (origin)
		msg_add(&b->req, "origin", origin);
	if (kind != SIMPLE)
		b->req.method = S("OPTIONS");
	if (kind == PREFLIGHT || kind == PRIVATE)
		msg_add(&b->req, "access-control-request-method", "PUT");
	if (kind == PRIVATE)
		msg_add(&b->req, "access-control-request-private-network", "true");
	if (bench_request(b) == FILTER_REPLY) {
		assert_int_equal(b->ctx.reply.status, 200);
		return show(b, &b->ctx.reply.props);
	}
	l7_msg_init(&resp, L7_RESPONSE, &b->a);
	msg_add(&resp, "access-control-allow-origin", "upstream");
	b->ops->response(&b->ctx, &resp);
	return show(b, &resp.props);
}

#define UNTOUCHED "allow-origin=upstream;"
#define SIMPLE_FULL "allow-origin=https://a.test;allow-credentials=true;expose-headers=x-e, x-f;"

static void cors(void **state)
{
	static const struct {
		const struct mesh_cors *route;
		const char *origin;
		int kind;
		const char *want;
	} cases[] = {
		{ &full, "https://a.test", SIMPLE, SIMPLE_FULL },
		{ &full, "https://evil.test", SIMPLE, UNTOUCHED },
		{ &full, NULL, SIMPLE, UNTOUCHED },
		{ &full, "https://A.test", SIMPLE, UNTOUCHED },
		{ &full, "https://a.test", PREFLIGHT,
		  "allow-methods=GET, POST, PUT;allow-headers=x-a, content-type;"
		  "max-age=600;" SIMPLE_FULL },
		{ &full, "https://evil.test", PREFLIGHT, UNTOUCHED },
		{ &full, NULL, PREFLIGHT, UNTOUCHED },
		{ &full, "https://a.test", NO_METHOD, SIMPLE_FULL },
		{ &any, "https://q.test", SIMPLE, "allow-origin=https://q.test;" },
		{ &any, "https://q.test", PREFLIGHT,
		  "allow-methods=PUT;allow-origin=https://q.test;" },
		{ NULL, "https://vhost.test", SIMPLE, "allow-origin=https://vhost.test;" },
		{ NULL, "https://vhost.test", PREFLIGHT,
		  "allow-methods=GET;allow-origin=https://vhost.test;" },
		{ &full, "https://vhost.test", PREFLIGHT, UNTOUCHED },
		{ &private_network, "https://a.test", PRIVATE,
		  "allow-methods=GET;allow-private-network=true;allow-origin=https://a.test;" },
		{ &private_network, "https://a.test", PREFLIGHT,
		  "allow-methods=GET;allow-origin=https://a.test;" },
		{ &not_forward, "https://evil.test", PREFLIGHT, "allow-methods=GET;" },
		{ &off, "https://a.test", SIMPLE, UNTOUCHED },
		{ &off, "https://a.test", PREFLIGHT, UNTOUCHED },
	};
	struct bench b;

	(void)state;
	bench_init(&b, &filter_cors, NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_slice(ask(&b, cases[i].route, cases[i].origin, cases[i].kind),
			     cases[i].want);
	assert_true(stats_value_by_name("http.test.cors.origin_valid") >= 8);
	assert_true(stats_value_by_name("http.test.cors.origin_invalid") >= 4);
	/* Without any policy the filter does nothing. */
	bench_stream(&b);
	msg_add(&b.req, "origin", "https://a.test");
	assert_int_equal(bench_request(&b), FILTER_NEXT);
	bench_done(&b);
}

static void header_mutation(void **state)
{
	struct arena a = { 0 };
	struct mesh_header_add add = { .name = S("x-new"),
				       .value = format_of(&a, "%REQ(:METHOD)%%REQ(x-old)%") };
	struct slice gone = S("x-old");
	/* One after the other: the value is made before its source goes. */
	struct mesh_header_ops steps[] = { { .add = &add, .n_add = 1 },
					   { .remove = &gone, .n_remove = 1 } };
	struct mesh_header_mutation c = { .request = { steps, 2 }, .response = { steps, 2 } };
	struct bench b;
	struct l7_msg resp;

	(void)state;
	bench_init(&b, &filter_header_mutation, &c);
	bench_stream(&b);
	msg_add(&b.req, "x-old", "1");
	assert_int_equal(bench_request(&b), FILTER_NEXT);
	assert_slice(values_of(&b.a, &b.req, "x-new"), "GET1");
	assert_slice(values_of(&b.a, &b.req, "x-old"), "");
	l7_msg_init(&resp, L7_RESPONSE, &b.a);
	msg_add(&resp, "x-old", "1");
	assert_int_equal(b.ops->response(&b.ctx, &resp), FILTER_NEXT);
	assert_slice(values_of(&b.a, &resp, "x-new"), "GET");
	assert_slice(values_of(&b.a, &resp, "x-old"), "");
	bench_done(&b);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(cors),
					    cmocka_unit_test(header_mutation) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
