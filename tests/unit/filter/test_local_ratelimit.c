/* SPDX-License-Identifier: Apache-2.0 */
/* local_ratelimit: tokens, refilling, descriptors, answers, statistics, as Envoy 1.40. */
#include "tests/unit/filter/context.h"

#define HOUR (3600 * NSEC_PER_SEC)
#define ALL 1000000u

static struct mesh_local_ratelimit limit_of(uint32_t max, uint64_t interval_ns)
{
	return (struct mesh_local_ratelimit){ .stat_prefix = S("rl"),
					      .has_bucket = true,
					      .bucket = { max, max, interval_ns },
					      .status = 429,
					      .enabled = ALL,
					      .enforced = ALL,
					      .always_consume_default = true };
}

/* How many of @n requests pass. */
static int passed(struct bench *b, int n)
{
	int passed = 0;

	for (int i = 0; i < n; i++) {
		bench_stream(b);
		passed += bench_request(b) == FILTER_NEXT;
	}
	return passed;
}

static void two_then_refused(void **state)
{
	struct mesh_local_ratelimit c = limit_of(2, HOUR);
	struct bench b;
	uint64_t enabled, ok;

	(void)state;
	bench_init(&b, &filter_local_ratelimit, &c);
	enabled = stats_value_by_name("rl.http_local_rate_limit.enabled");
	ok = stats_value_by_name("rl.http_local_rate_limit.ok");
	assert_int_equal(passed(&b, 4), 2);
	assert_int_equal(b.ctx.reply.code, L7_REPLY_RATE_LIMITED);
	assert_int_equal(b.ctx.reply.status, 429);
	assert_slice(b.ctx.reply.body, "local_rate_limited");
	assert_slice(b.ctx.reply.details, "local_rate_limited");
	assert_true(b.info.flags & L7_FLAG(RL));
	assert_int_equal(stats_value_by_name("rl.http_local_rate_limit.enabled") - enabled, 4);
	assert_int_equal(stats_value_by_name("rl.http_local_rate_limit.ok") - ok, 2);
	assert_int_equal(stats_value_by_name("rl.http_local_rate_limit.rate_limited"), 2);
	assert_int_equal(stats_value_by_name("rl.http_local_rate_limit.enforced"), 2);
	bench_done(&b);
}

static void switches(void **state)
{
	struct mesh_local_ratelimit c = limit_of(1, HOUR);
	struct arena a = { 0 };
	struct mesh_header_add would = { .name = S("x-would-limit"),
					 .value = format_of(&a, "true") };
	struct bench b;

	(void)state;
	c.enabled = 0;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(passed(&b, 4), 4);
	bench_done(&b);
	c.enabled = ALL;
	c.enforced = 0;
	c.request_add = (struct mesh_header_ops){ .add = &would, .n_add = 1 };
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(passed(&b, 1), 1);
	assert_null(l7_props_find(&b.req.props, S("x-would-limit")));
	assert_int_equal(passed(&b, 1), 1);
	assert_slice(values_of(&b.a, &b.req, "x-would-limit"), "true");
	bench_done(&b);
	arena_done(&a);
}

static void answer(void **state)
{
	struct arena a = { 0 };
	struct mesh_header_add add = { .name = S("x-limited"), .value = format_of(&a, "yes") };
	struct mesh_local_ratelimit c = limit_of(1, HOUR);
	struct bench b;

	(void)state;
	c.status = 503;
	c.response_add = (struct mesh_header_ops){ .add = &add, .n_add = 1 };
	c.resource_exhausted = true;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(passed(&b, 2), 1);
	assert_int_equal(b.ctx.reply.status, 503);
	assert_slice(reply_value(&b, "x-limited"), "yes");
	assert_slice(reply_value(&b, "grpc-status"), "");
	bench_stream(&b);
	msg_add(&b.req, "content-type", "application/grpc");
	assert_int_equal(bench_request(&b), FILTER_REPLY);
	assert_slice(reply_value(&b, "grpc-status"), "8");
	bench_done(&b);
	c.status = 200; /* not one that Envoy lets stand */
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(passed(&b, 2), 1);
	assert_int_equal(b.ctx.reply.status, 429);
	bench_done(&b);
	arena_done(&a);
}

static void headers(void **state)
{
	static const char *const left[] = { "1", "0", "0" };
	struct mesh_local_ratelimit c = limit_of(2, HOUR);
	struct bench b;
	struct l7_msg resp;

	(void)state;
	c.x_ratelimit_headers = true;
	bench_init(&b, &filter_local_ratelimit, &c);
	for (size_t i = 0; i < ARRAY_LEN(left); i++) {
		bench_stream(&b);
		bench_request(&b);
		l7_msg_init(&resp, L7_RESPONSE, &b.a);
		b.ops->response(&b.ctx, &resp);
		assert_slice(values_of(&b.a, &resp, "x-ratelimit-limit"), "2");
		assert_slice(values_of(&b.a, &resp, "x-ratelimit-remaining"), left[i]);
		assert_slice(values_of(&b.a, &resp, "x-ratelimit-reset"), i ? "1800" : "0");
	}
	bench_done(&b);
}

static void bucket(void **state)
{
	struct filter_bucket *b =
		filter_bucket_new(&(struct mesh_token_bucket){ 1, 1, 300 * NSEC_PER_MSEC });
	uint64_t t = 5 * NSEC_PER_SEC;
	uint32_t left, reset;

	(void)state;
	assert_true(filter_bucket_take(b, t, &left, &reset));
	assert_int_equal(left, 0);
	assert_int_equal(reset, 1);
	assert_false(filter_bucket_take(b, t, NULL, NULL));
	assert_false(filter_bucket_take(b, t + 290 * NSEC_PER_MSEC, NULL, NULL));
	assert_true(filter_bucket_take(b, t + 700 * NSEC_PER_MSEC, NULL, NULL));
	assert_false(filter_bucket_take(b, t + 700 * NSEC_PER_MSEC, NULL, NULL));
	/* Another worker's clock may be behind. */
	assert_false(filter_bucket_take(b, t, NULL, NULL));
	filter_bucket_free(b);
	b = filter_bucket_new(&(struct mesh_token_bucket){ 100, 10, NSEC_PER_SEC });
	for (int i = 0; i < 100; i++)
		assert_true(filter_bucket_take(b, t, NULL, NULL));
	assert_false(filter_bucket_take(b, t, NULL, NULL));
	/* Fills all the time: half a second brings half of ten. */
	for (int i = 0; i < 5; i++)
		assert_true(filter_bucket_take(b, t + NSEC_PER_SEC / 2, NULL, NULL));
	assert_false(filter_bucket_take(b, t + NSEC_PER_SEC / 2, NULL, NULL));
	filter_bucket_free(b);
}

static void per_connection(void **state)
{
	struct mesh_local_ratelimit c = limit_of(2, HOUR);
	struct bench b;

	(void)state;
	c.per_connection = true;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(passed(&b, 3), 2);
	b.slot = NULL; /* the next connection */
	assert_int_equal(passed(&b, 3), 2);
	bench_done(&b);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static struct mesh_rl_entry alice = { { "user", 4 }, { "alice", 5 } },
			    bob = { { "user", 4 }, { "bob", 3 } },
			    slow = { { "generic_key", 11 }, { "slow", 4 } },
			    any_user = { { "user", 4 }, { NULL, 0 } },
			    pair[] = { { { "kind", 4 }, { "k1", 2 } },
				       { { "user", 4 }, { "carl", 4 } } },
			    remote = { { "remote_address", 14 }, { "127.0.0.9", 9 } },
			    post = { { "header_match", 12 }, { "post", 4 } };

static struct mesh_rl_action by_user = { .kind = MESH_RL_REQUEST_HEADERS,
					 .header = { "x-user", 6 },
					 .key = { "user", 4 } };
static struct mesh_header_match is_post = { .name = { ":method", 7 },
					    .string = { .text = { "POST", 4 } } };

static uint32_t stage; /* of the route's rate limit */

/* Requests of @user (or method) on a route with these actions; how many of @n pass. */
static int with_actions(struct bench *b, struct mesh_rl_action *v, uint32_t n_v, const char *user,
			int n)
{
	struct mesh_rl_descriptor_source src = { .actions = v, .n_actions = n_v, .stage = stage };
	struct mesh_route route = { .rate_limits = &src, .n_rate_limits = 1 };
	int count = 0;

	for (int i = 0; i < n; i++) {
		bench_stream(b);
		b->ctx.route = &route;
		assert_int_equal(addr_parse(S("127.0.0.9:1"), &b->info.downstream_remote), 0);
		if (user && strcmp(user, "POST") == 0)
			b->req.method = S("POST");
		else if (user)
			msg_add(&b->req, "x-user", user);
		count += bench_request(b) == FILTER_NEXT;
	}
	return count;
}

static void descriptors(void **state)
{
	struct mesh_rl_descriptor d[] = {
		{ &alice, 1, { 1, 1, HOUR }, false },  { &bob, 1, { 2, 1, HOUR }, false },
		{ &slow, 1, { 1, 1, HOUR }, false },   { pair, 2, { 1, 1, HOUR }, false },
		{ &remote, 1, { 1, 1, HOUR }, false }, { &post, 1, { 1, 1, HOUR }, false },
	};
	struct mesh_rl_action generic = { .kind = MESH_RL_GENERIC_KEY, .value = S("slow") };
	struct mesh_rl_action named[] = {
		{ .kind = MESH_RL_GENERIC_KEY, .key = S("kind"), .value = S("k1") }, by_user
	};
	struct mesh_rl_action address = { .kind = MESH_RL_REMOTE_ADDRESS };
	struct mesh_rl_action match = { .kind = MESH_RL_HEADER_VALUE_MATCH,
					.value = S("post"),
					.expect_match = true,
					.headers = &is_post,
					.n_headers = 1 };
	struct mesh_rl_action skip[] = { by_user, generic };
	struct mesh_local_ratelimit c = limit_of(1000, HOUR);
	struct bench b;

	(void)state;
	skip[0].skip_if_absent = true;
	c.descriptors = d;
	c.n_descriptors = ARRAY_LEN(d);
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(with_actions(&b, &by_user, 1, "alice", 3), 1);
	assert_int_equal(with_actions(&b, &by_user, 1, "bob", 4), 2);
	assert_int_equal(with_actions(&b, &by_user, 1, "zoe", 4), 4);
	assert_int_equal(with_actions(&b, &by_user, 1, NULL, 4), 4);
	assert_int_equal(with_actions(&b, named, 2, "carl", 3), 1);
	assert_int_equal(with_actions(&b, named, 2, "dora", 3), 3);
	assert_int_equal(with_actions(&b, &address, 1, NULL, 3), 1);
	assert_int_equal(with_actions(&b, &match, 1, "POST", 3), 1);
	assert_int_equal(with_actions(&b, &match, 1, NULL, 3), 3);
	assert_int_equal(with_actions(&b, skip, 2, NULL, 3), 1);
	bench_done(&b);
}

/* A descriptor without a value has a bucket for each value; the oldest make room. */
static void wildcard(void **state)
{
	struct mesh_rl_descriptor d[] = { { &any_user, 1, { 1, 1, HOUR }, false },
					  { &bob, 1, { 3, 1, HOUR }, false } };
	struct mesh_local_ratelimit c = limit_of(1000, HOUR);
	struct bench b;
	char name[16];

	(void)state;
	c.descriptors = d;
	c.n_descriptors = 2;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(with_actions(&b, &by_user, 1, "alice", 3), 1);
	assert_int_equal(with_actions(&b, &by_user, 1, "zoe", 3), 1);
	assert_int_equal(with_actions(&b, &by_user, 1, "bob", 4), 3);
	for (int i = 0; i < 19; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		assert_int_equal(with_actions(&b, &by_user, 1, name, 2), 1);
	}
	/* 20 are remembered: the first is forgotten, the second not. */
	assert_int_equal(with_actions(&b, &by_user, 1, "zoe", 1), 0);
	assert_int_equal(with_actions(&b, &by_user, 1, "alice", 1), 1);
	bench_done(&b);
}

/* The default bucket pays too, unless told not to. */
static void default_bucket(void **state)
{
	struct mesh_rl_descriptor d = { &alice, 1, { 5, 1, HOUR }, false };
	struct mesh_local_ratelimit c = limit_of(2, HOUR);
	struct bench b;

	(void)state;
	c.descriptors = &d;
	c.n_descriptors = 1;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(with_actions(&b, &by_user, 1, "alice", 6), 2);
	bench_done(&b);
	c.always_consume_default = false;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(with_actions(&b, &by_user, 1, "alice", 6), 5);
	bench_done(&b);
}

/* A descriptor in shadow mode counts and lets pass; the default bucket still pays. */
static void shadow(void **state)
{
	struct mesh_rl_descriptor d = { &alice, 1, { 1, 1, HOUR }, true };
	struct mesh_local_ratelimit c = limit_of(3, HOUR);
	struct bench b;

	(void)state;
	c.stat_prefix = S("sh");
	c.descriptors = &d;
	c.n_descriptors = 1;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(with_actions(&b, &by_user, 1, "alice", 5), 3);
	assert_int_equal(stats_value_by_name("sh.http_local_rate_limit.shadow_mode"), 2);
	assert_int_equal(stats_value_by_name("sh.http_local_rate_limit.rate_limited"), 4);
	assert_int_equal(stats_value_by_name("sh.http_local_rate_limit.enforced"), 2);
	bench_done(&b);
}

/* Only rate limits of the filter's own stage count. */
static void stages(void **state)
{
	struct mesh_rl_descriptor d = { &alice, 1, { 1, 1, HOUR }, false };
	struct mesh_local_ratelimit c = limit_of(1000, HOUR);
	struct bench b;

	(void)state;
	c.descriptors = &d;
	c.n_descriptors = 1;
	c.stage = 2;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(with_actions(&b, &by_user, 1, "alice", 3), 3);
	stage = 2;
	assert_int_equal(with_actions(&b, &by_user, 1, "alice", 3), 1);
	stage = 0;
	bench_done(&b);
}

static void retry_after(void **state)
{
	struct mesh_local_ratelimit c = limit_of(1, HOUR);
	struct bench b;

	(void)state;
	c.retry_after = true;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(passed(&b, 2), 1);
	assert_slice(l7_props_find(&b.ctx.reply.props, S("retry-after"))->value, "3600");
	bench_done(&b);
}

static void address_match(void **state)
{
	struct mesh_rl_descriptor d = { &post, 1, { 1, 1, HOUR }, false };
	struct mesh_prefix net = { .bits = 96 + 8 };
	struct mesh_rl_action act = { .kind = MESH_RL_REMOTE_ADDRESS_MATCH,
				      .key = { "header_match", 12 },
				      .value = { "post", 4 },
				      .ranges = &net,
				      .n_ranges = 1 };
	struct mesh_local_ratelimit c = limit_of(1000, HOUR);
	struct bench b;

	(void)state;
	assert_int_equal(addr_parse_ip(S("127.0.0.0"), &net.net), 0);
	c.descriptors = &d;
	c.n_descriptors = 1;
	bench_init(&b, &filter_local_ratelimit, &c);
	assert_int_equal(with_actions(&b, &act, 1, NULL, 3), 3);
	act.expect_match = true;
	assert_int_equal(with_actions(&b, &act, 1, NULL, 3), 1);
	bench_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_then_refused), cmocka_unit_test(switches),
		cmocka_unit_test(shadow),           cmocka_unit_test(stages),
		cmocka_unit_test(retry_after),      cmocka_unit_test(address_match),
		cmocka_unit_test(answer),           cmocka_unit_test(headers),
		cmocka_unit_test(bucket),           cmocka_unit_test(per_connection),
		cmocka_unit_test(descriptors),      cmocka_unit_test(wildcard),
		cmocka_unit_test(default_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
