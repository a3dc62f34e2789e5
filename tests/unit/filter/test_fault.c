/* SPDX-License-Identifier: Apache-2.0 */
/* fault: aborts, delays, headers, percentages, conditions, limits of what is active. */
#include "tests/unit/filter/context.h"

#define ALL 1000000u

static enum filter_verdict with(struct bench *b, const char *n1, const char *v1, const char *n2,
				const char *v2)
{
	bench_stream(b);
	if (n1)
		msg_add(&b->req, n1, v1);
	if (n2)
		msg_add(&b->req, n2, v2);
	return bench_request(b);
}

static void aborts(void **state)
{
	struct mesh_fault c = { .has_abort = true, .abort_status = 418, .abort_fraction = ALL };
	struct bench b;

	(void)state;
	bench_init(&b, &filter_fault, &c);
	assert_int_equal(with(&b, NULL, NULL, NULL, NULL), FILTER_REPLY);
	assert_int_equal(b.ctx.reply.status, 418);
	assert_slice(b.ctx.reply.body, "fault filter abort");
	assert_slice(b.ctx.reply.details, "fault_filter_abort");
	assert_int_equal(b.info.flags, L7_FLAG(FI));
	assert_int_equal(stats_value_by_name("http.test.fault.aborts_injected"), 1);
	c.abort_fraction = 0;
	assert_int_equal(with(&b, NULL, NULL, NULL, NULL), FILTER_NEXT);
	bench_done(&b);
}

static void half(void **state)
{
	struct mesh_fault c = { .has_abort = true, .abort_status = 503, .abort_fraction = ALL / 2 };
	struct bench b;
	int n = 0;

	(void)state;
	bench_init(&b, &filter_fault, &c);
	for (int i = 0; i < 2000; i++)
		n += with(&b, NULL, NULL, NULL, NULL) == FILTER_REPLY;
	assert_in_range(n, 880, 1120);
	bench_done(&b);
}

static void grpc(void **state)
{
	struct mesh_fault c = {
		.has_abort = true, .abort_status = 14, .abort_is_grpc = true, .abort_fraction = ALL
	};
	struct bench b;

	(void)state;
	bench_init(&b, &filter_fault, &c);
	assert_int_equal(with(&b, "content-type", "application/grpc", NULL, NULL), FILTER_REPLY);
	assert_slice(reply_value(&b, "grpc-status"), "14");
	assert_int_equal(b.ctx.reply.status, 200);
	assert_int_equal(with(&b, NULL, NULL, NULL, NULL), FILTER_REPLY);
	assert_int_equal(b.ctx.reply.status, 200);
	assert_slice(reply_value(&b, "grpc-status"), "");
	bench_done(&b);
}

#define ABORT "x-envoy-fault-abort-request"
#define PERCENTAGE "x-envoy-fault-abort-request-percentage"

static void by_header(void **state)
{
	struct mesh_fault c = { .has_abort = true,
				.abort_by_header = true,
				.abort_fraction = ALL,
				.has_delay = true,
				.delay_by_header = true,
				.delay_fraction = ALL };
	struct bench b;

	(void)state;
	bench_init(&b, &filter_fault, &c);
	assert_int_equal(with(&b, ABORT, "429", NULL, NULL), FILTER_REPLY);
	assert_int_equal(b.ctx.reply.status, 429);
	assert_int_equal(with(&b, ABORT, "99", NULL, NULL), FILTER_NEXT);
	assert_int_equal(with(&b, ABORT, "word", NULL, NULL), FILTER_NEXT);
	assert_int_equal(with(&b, NULL, NULL, NULL, NULL), FILTER_NEXT);
	assert_int_equal(with(&b, ABORT, "429", PERCENTAGE, "0"), FILTER_NEXT);
	assert_int_equal(with(&b, "x-envoy-fault-abort-grpc-request", "7", "content-type",
			      "application/grpc"),
			 FILTER_REPLY);
	assert_slice(reply_value(&b, "grpc-status"), "7");
	assert_int_equal(with(&b, "x-envoy-fault-delay-request", "250", NULL, NULL), FILTER_PAUSE);
	assert_int_equal(b.timer_ms, 250);
	assert_int_equal(b.ops->timer(&b.ctx), FILTER_NEXT);
	/* A header never raises the configured share. */
	c.abort_fraction = 0;
	assert_int_equal(with(&b, ABORT, "429", PERCENTAGE, "100"), FILTER_NEXT);
	bench_done(&b);
}

static void delay_then_abort(void **state)
{
	struct mesh_fault c = { .has_delay = true,
				.delay_ms = 200,
				.delay_fraction = ALL,
				.has_abort = true,
				.abort_status = 500,
				.abort_fraction = ALL };
	struct bench b;

	(void)state;
	bench_init(&b, &filter_fault, &c);
	assert_int_equal(with(&b, NULL, NULL, NULL, NULL), FILTER_PAUSE);
	assert_int_equal(b.timer_ms, 200);
	assert_int_equal(b.ops->timer(&b.ctx), FILTER_REPLY);
	assert_int_equal(b.ctx.reply.status, 500);
	assert_int_equal(b.info.flags, L7_FLAG(DI) | L7_FLAG(FI));
	bench_done(&b);
}

static void conditions(void **state)
{
	struct mesh_header_match on = { .name = S("x-fault"), .string = { .text = S("on") } };
	struct slice node = S("some-node");
	struct mesh_fault c = { .has_abort = true,
				.abort_status = 503,
				.abort_fraction = ALL,
				.headers = &on,
				.n_headers = 1 };
	struct bench b;

	(void)state;
	bench_init(&b, &filter_fault, &c);
	assert_int_equal(with(&b, "x-fault", "on", NULL, NULL), FILTER_REPLY);
	assert_int_equal(with(&b, "x-fault", "off", NULL, NULL), FILTER_NEXT);
	c.n_headers = 0;
	c.nodes = &node;
	c.n_nodes = 1;
	assert_int_equal(with(&b, NULL, NULL, NULL, NULL), FILTER_NEXT);
	assert_int_equal(with(&b, "x-envoy-downstream-service-node", "some-node", NULL, NULL),
			 FILTER_REPLY);
	c.n_nodes = 0;
	c.upstream_cluster = S("b2");
	assert_int_equal(with(&b, NULL, NULL, NULL, NULL), FILTER_NEXT);
	bench_stream(&b);
	b.ctx.cluster = S("b2");
	assert_int_equal(bench_request(&b), FILTER_REPLY);
	bench_done(&b);
}

static void max_active(void **state)
{
	struct mesh_fault c = {
		.has_delay = true, .delay_ms = 10, .delay_fraction = ALL, .max_active = 1
	};
	struct bench b;
	struct filter_ctx first;

	(void)state;
	bench_init(&b, &filter_fault, &c);
	assert_int_equal(with(&b, NULL, NULL, NULL, NULL), FILTER_PAUSE);
	assert_int_equal(stats_value_by_name("http.test.fault.active_faults"), 1);
	first = b.ctx;
	b.ctx.state = arena_zalloc(&b.a, b.ops->state_size);
	assert_int_equal(bench_request(&b), FILTER_NEXT);
	assert_int_equal(stats_value_by_name("http.test.fault.faults_overflow"), 1);
	b.ops->end(&first);
	b.ops->end(&first);
	assert_int_equal(stats_value_by_name("http.test.fault.active_faults"), 0);
	assert_int_equal(bench_request(&b), FILTER_PAUSE);
	bench_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aborts),
		cmocka_unit_test(half),
		cmocka_unit_test(grpc),
		cmocka_unit_test(by_header),
		cmocka_unit_test(delay_then_abort),
		cmocka_unit_test(conditions),
		cmocka_unit_test(max_active),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
