/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decisions of the kernel side (bpf/decide.bpf.h), compiled natively: tables of inputs and the
 * expected verdict. Attachment and maps are proven in namespaces, in tests/integration/capture.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decide.bpf.h"

/* "1.2.3.4" becomes ::ffff:1.2.3.4. */
static struct skiff_addr ip(const char *text)
{
	struct skiff_addr a = {{0}};
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		ip_from_v4(&a, v4.s_addr);
	else
		assert_int_equal(inet_pton(AF_INET6, text, a.b), 1);
	return a;
}

static void addresses(void **state)
{
	static const struct {
		const char *text;
		int v4, loopback, any;
	} cases[] = {
		{"127.0.0.1", 1, 1, 0},	 {"127.255.0.9", 1, 1, 0}, {"128.0.0.1", 1, 0, 0},
		{"126.9.9.9", 1, 0, 0},	 {"0.0.0.0", 1, 0, 1},	   {"0.0.0.1", 1, 0, 0},
		{"::1", 0, 1, 0},	 {"::", 0, 0, 1},	   {"::2", 0, 0, 0},
		{"fd00::1", 0, 0, 0},	 {"::ffff:127.0.0.1", 1, 1, 0},
		{"::fffe:127.0.0.1", 0, 0, 0}, {"1::ffff:127.0.0.1", 0, 0, 0},
		{"0:1::1", 0, 0, 0},	 {"::1:0:1", 0, 0, 0},	   {"::101", 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skiff_addr a = ip(cases[i].text);

		print_message("%s\n", cases[i].text);
		assert_int_equal(ip_is_v4(&a), cases[i].v4);
		assert_int_equal(ip_is_loopback(&a), cases[i].loopback);
		assert_int_equal(ip_is_any(&a), cases[i].any);
	}
}

static void address_equality_sees_every_byte(void **state)
{
	struct skiff_addr a = ip("fd00:1:2:3:4:5:6:7");

	(void)state;
	for (int i = 0; i < 16; i++) {
		struct skiff_addr b = a;

		assert_true(ip_equal(&a, &b));
		b.b[i] ^= 0x40;
		assert_false(ip_equal(&a, &b));
	}
}

static struct skiff_pod pod_of(__u32 flags)
{
	struct skiff_pod pod = {.id = 7, .flags = flags, .addrs = 2};

	pod.addr[0] = ip("10.0.0.2");
	pod.addr[1] = ip("fd00::2");
	pod.addr[2] = ip("10.0.0.99"); /* beyond addrs: not the pod's */
	return pod;
}

static void self_is_loopback_any_and_own_addresses(void **state)
{
	static const struct {
		const char *text;
		int self;
	} cases[] = {
		{"10.0.0.2", 1}, {"fd00::2", 1}, {"127.0.0.7", 1}, {"::1", 1}, {"0.0.0.0", 1},
		{"::", 1},	 {"10.0.0.99", 0}, {"10.0.0.3", 0},  {"fd00::3", 0},
	};
	struct skiff_pod pod = pod_of(0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skiff_addr a = ip(cases[i].text);

		print_message("%s\n", cases[i].text);
		assert_int_equal(ip_is_self(&pod, &a), cases[i].self);
	}
}

static void engine_lives_with_listener_and_young_heartbeat(void **state)
{
	struct skiff_beat beat = {.time = 10 * DECIDE_NS_PER_SEC};

	(void)state;
	assert_true(decide_alive(&beat, 1, 10 * DECIDE_NS_PER_SEC, 3));
	assert_true(decide_alive(&beat, 1, 13 * DECIDE_NS_PER_SEC, 3));
	assert_false(decide_alive(&beat, 1, 13 * DECIDE_NS_PER_SEC + 1, 3));
	assert_true(decide_alive(&beat, 1, 9 * DECIDE_NS_PER_SEC, 3)); /* another CPU's clock */
	assert_false(decide_alive(&beat, 0, 10 * DECIDE_NS_PER_SEC, 3));
	assert_false(decide_alive(NULL, 1, 10 * DECIDE_NS_PER_SEC, 3));
	beat.time = 0; /* never */
	assert_false(decide_alive(&beat, 1, 1, 3));
}

static void mark_counts_only_from_the_engines_cgroup(void **state)
{
	struct skiff_beat beat = {.cgroup = 42};

	(void)state;
	assert_true(decide_engine(&beat, SKIFF_MARK, 42));
	assert_false(decide_engine(&beat, SKIFF_MARK, 43));
	assert_false(decide_engine(&beat, SKIFF_MARK + 1, 42));
	assert_false(decide_engine(&beat, 0, 42));
	beat.cgroup = 0;
	assert_true(decide_engine(&beat, SKIFF_MARK, 43));
	assert_true(decide_engine(NULL, SKIFF_MARK, 43));
}

static void outbound_verdicts(void **state)
{
	static const struct {
		int verdict; /* -1: no entry */
		__u32 flags;
		int alive;
		__u32 action, reason;
	} cases[] = {
		{-1, 0, 1, DECIDE_PASS, SKIFF_R_OUT_UNNAMED},
		{-1, SKIFF_POD_CLOSED, 0, DECIDE_PASS, SKIFF_R_OUT_UNNAMED},
		{SKIFF_BYPASS, SKIFF_POD_CLOSED, 0, DECIDE_PASS, SKIFF_R_OUT_BYPASS},
		{SKIFF_L4, 0, 0, DECIDE_PICK, SKIFF_R_OUT_L4},
		{SKIFF_L4, SKIFF_POD_CLOSED, 0, DECIDE_PICK, SKIFF_R_OUT_L4},
		{SKIFF_L7, 0, 1, DECIDE_ENGINE, SKIFF_R_OUT_L7},
		{SKIFF_L7, SKIFF_POD_CLOSED, 1, DECIDE_ENGINE, SKIFF_R_OUT_L7},
		{SKIFF_L7, 0, 0, DECIDE_PASS, SKIFF_R_OUT_OPEN},
		{SKIFF_L7, SKIFF_POD_CLOSED, 0, DECIDE_REFUSE, SKIFF_R_OUT_CLOSED},
		{SKIFF_DENY, 0, 1, DECIDE_REFUSE, SKIFF_R_OUT_DENY},
		{SKIFF_DENY, 0, 0, DECIDE_REFUSE, SKIFF_R_OUT_DENY},
		{99, 0, 1, DECIDE_REFUSE, SKIFF_R_OUT_DENY}, /* unknown: refuse */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skiff_policy pol = {.verdict = (__u32)cases[i].verdict};
		struct skiff_pod pod = pod_of(cases[i].flags);
		struct decision d = decide_outbound(&pod, cases[i].verdict < 0 ? NULL : &pol,
						    cases[i].alive);

		print_message("case %zu\n", i);
		assert_int_equal(d.action, cases[i].action);
		assert_int_equal(d.reason, cases[i].reason);
	}
}

static void inbound_verdicts(void **state)
{
	static const struct {
		int authz, verdict; /* -1: no entry */
		__u32 flags;
		int alive;
		__u32 action, reason;
	} cases[] = {
		{-1, -1, SKIFF_POD_CLOSED, 0, DECIDE_PASS, SKIFF_R_IN_UNNAMED},
		{SKIFF_AUTHZ_DENY, SKIFF_L7, 0, 1, DECIDE_REFUSE, SKIFF_R_IN_AUTHZ},
		{SKIFF_AUTHZ_DENY, SKIFF_BYPASS, 0, 1, DECIDE_REFUSE, SKIFF_R_IN_AUTHZ},
		{77, SKIFF_L7, 0, 1, DECIDE_REFUSE, SKIFF_R_IN_AUTHZ}, /* unknown: refuse */
		{SKIFF_AUTHZ_PASS, SKIFF_L7, 0, 1, DECIDE_ENGINE, SKIFF_R_IN_L7},
		{SKIFF_AUTHZ_DENY, SKIFF_L7, 0, 0, DECIDE_REFUSE, SKIFF_R_IN_AUTHZ},
		{SKIFF_AUTHZ_PASS, SKIFF_L7, SKIFF_POD_CLOSED, 0, DECIDE_REFUSE, SKIFF_R_IN_CLOSED},
		{SKIFF_AUTHZ_PASS, SKIFF_DENY, 0, 1, DECIDE_REFUSE, SKIFF_R_IN_DENY},
		{-1, SKIFF_BYPASS, SKIFF_POD_CLOSED, 0, DECIDE_PASS, SKIFF_R_IN_BYPASS},
		{-1, SKIFF_L4, SKIFF_POD_CLOSED, 0, DECIDE_PASS, SKIFF_R_IN_BYPASS},
		{-1, SKIFF_L7, 0, 0, DECIDE_PASS, SKIFF_R_IN_OPEN},
		{-1, SKIFF_L7, SKIFF_POD_CLOSED, 0, DECIDE_REFUSE, SKIFF_R_IN_CLOSED},
		{-1, 99, 0, 1, DECIDE_REFUSE, SKIFF_R_IN_DENY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skiff_authz authz = {.action = (__u32)cases[i].authz};
		struct skiff_policy pol = {.verdict = (__u32)cases[i].verdict};
		struct skiff_pod pod = pod_of(cases[i].flags);
		struct decision d = decide_inbound(&pod, cases[i].verdict < 0 ? NULL : &pol,
						   cases[i].authz < 0 ? NULL : &authz,
						   cases[i].alive);

		print_message("case %zu\n", i);
		assert_int_equal(d.action, cases[i].action);
		assert_int_equal(d.reason, cases[i].reason);
	}
}

static void own_inbound_connections(void **state)
{
	static const struct {
		const char *remote, *local;
		int own;
	} cases[] = {
		{"10.0.0.2", "10.0.0.2", 1},
		{"10.0.0.2", "10.9.9.9", 1},
		{"fd00::2", "10.9.9.9", 1},
		{"10.9.9.9", "10.9.9.9", 1}, /* an address that we were not told of */
		{"127.0.0.1", "127.0.0.2", 1}, {"10.0.0.3", "10.0.0.2", 0},
		{"fd00::3", "fd00::2", 0},
	};
	struct skiff_pod pod = pod_of(0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skiff_addr remote = ip(cases[i].remote), local = ip(cases[i].local);

		print_message("%s -> %s\n", cases[i].remote, cases[i].local);
		assert_int_equal(decide_inbound_own(&pod, &remote, &local), cases[i].own);
	}
}

/* ---- weighted pick --------------------------------------------------------------------------- */

/* What backend_pick() of connect.bpf.c does, over an array. */
static __u32 pick(const struct skiff_service *svc, const struct skiff_backend *be, __u32 random)
{
	__u32 lo = 0, hi = svc->count, point = pick_point(svc, random);

	for (int i = 0; i < SKIFF_PICK_STEPS && lo < hi; i++)
		pick_halve(&lo, &hi, be[(lo + hi) / 2].upto, point);
	assert_true(lo == hi); /* the steps are enough */
	return lo;
}

static struct skiff_service weigh(struct skiff_backend *be, __u32 count, const __u32 *weights)
{
	struct skiff_service svc = {.count = count};

	for (__u32 i = 0; i < count; i++) {
		be[i].weight = weights ? weights[i] : 1;
		svc.total += be[i].weight;
		be[i].upto = svc.total;
	}
	return svc;
}

static void pick_follows_the_weights_exactly(void **state)
{
	static const __u32 weights[] = {80, 1, 19, 100};
	struct skiff_backend be[4];
	struct skiff_service svc = weigh(be, 4, weights);
	__u32 hits[4] = {0};

	(void)state;
	/* one random number inside each of the 200 points */
	for (__u64 point = 0; point < svc.total; point++)
		hits[pick(&svc, be, (__u32)(((point << 32) + svc.total - 1) / svc.total))]++;
	assert_memory_equal(hits, weights, sizeof(weights));
}

static void pick_reaches_every_slot_of_every_size(void **state)
{
	static struct skiff_backend be[SKIFF_SERVICE_SLOTS];
	static const __u32 sizes[] = {1,    2, 3, 5, 1000, SKIFF_SERVICE_SLOTS - 1,
				      SKIFF_SERVICE_SLOTS};

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct skiff_service svc = weigh(be, sizes[s], NULL);

		for (__u64 slot = 0; slot < svc.count; slot++) {
			__u32 random = (__u32)(((slot << 32) + svc.total - 1) / svc.total);

			assert_int_equal(pick(&svc, be, random), slot);
		}
		assert_int_equal(pick(&svc, be, UINT32_MAX), svc.count - 1);
	}
}

static void pick_of_nothing_is_out_of_range(void **state)
{
	struct skiff_service svc = {0};

	(void)state;
	assert_int_equal(pick_point(&svc, UINT32_MAX), 0);
	assert_int_equal(pick(&svc, NULL, UINT32_MAX), 0); /* >= count: the caller refuses */
}

static void pick_keeps_the_address_family(void **state)
{
	struct skiff_addr v4 = ip("10.0.0.1"), other = ip("192.0.2.1"), v6 = ip("fd00::1");

	(void)state;
	assert_true(ip_same_family(&v4, &other));
	assert_false(ip_same_family(&v4, &v6));
}

/* ---- acceleration ---------------------------------------------------------------------------- */

static void accelerate_by_mode_and_executable(void **state)
{
	static const struct {
		__u32 flags, exec, reason;
	} cases[] = {
		{SKIFF_POD_AUTO, SKIFF_EXEC_PLAIN, SKIFF_R_ACCEL_ON},
		{SKIFF_POD_AUTO, SKIFF_EXEC_SPLICES, SKIFF_R_ACCEL_SPLICES},
		{SKIFF_POD_AUTO, SKIFF_EXEC_UNKNOWN, SKIFF_R_ACCEL_UNKNOWN},
		{SKIFF_POD_AUTO, SKIFF_EXEC_PENDING, SKIFF_R_ACCEL_UNKNOWN},
		{SKIFF_POD_AUTO | SKIFF_POD_SPLICE_OK, SKIFF_EXEC_SPLICES, SKIFF_R_ACCEL_SPLICES},
		{SKIFF_POD_BOTH, SKIFF_EXEC_PLAIN, SKIFF_R_ACCEL_ON},
		{SKIFF_POD_BOTH, SKIFF_EXEC_UNKNOWN, SKIFF_R_ACCEL_ON},
		{SKIFF_POD_BOTH, SKIFF_EXEC_PENDING, SKIFF_R_ACCEL_ON},
		{SKIFF_POD_BOTH, SKIFF_EXEC_SPLICES, SKIFF_R_ACCEL_SPLICES},
		{SKIFF_POD_BOTH | SKIFF_POD_SPLICE_OK, SKIFF_EXEC_SPLICES, SKIFF_R_ACCEL_ON},
		{SKIFF_POD_AUTO, SKIFF_EXEC_WATCHED, SKIFF_R_ACCEL_WATCHED},
		{SKIFF_POD_BOTH, SKIFF_EXEC_WATCHED, SKIFF_R_ACCEL_ON},
		{SKIFF_POD_AUTO, SKIFF_EXEC_WAITS, SKIFF_R_ACCEL_WAITS},
		{SKIFF_POD_BOTH | SKIFF_POD_SPLICE_OK, SKIFF_EXEC_WAITS, SKIFF_R_ACCEL_WAITS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skiff_pod pod = pod_of(cases[i].flags);

		print_message("case %zu\n", i);
		assert_int_equal(decide_accelerate(&pod, cases[i].exec), cases[i].reason);
	}
}

static struct skiff_sock_key ends(const char *local, __u16 lport, const char *remote, __u16 rport)
{
	return (struct skiff_sock_key){
		.netns = 5,
		.local = ip(local),
		.local_port = lport,
		.remote = ip(remote),
		.remote_port = rport,
	};
}

static void both_ends_compute_one_pair_key(void **state)
{
	static const struct {
		const char *a;
		__u16 a_port;
		const char *b;
		__u16 b_port;
	} cases[] = {
		{"127.0.0.1", 15001, "10.0.0.2", 40000}, {"10.0.0.2", 40000, "10.0.0.2", 8080},
		{"10.0.0.2", 1, "10.0.0.2", 65535},	 {"::1", 15001, "fd00::2", 9},
		{"fd00::2", 9, "fd00::3", 9},		 {"255.255.255.255", 9, "1.0.0.1", 10},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skiff_sock_key a = ends(cases[i].a, cases[i].a_port, cases[i].b,
					       cases[i].b_port);
		struct skiff_sock_key b = sock_key_peer(&a), back = sock_key_peer(&b);
		struct skiff_pair_key ka, kb;
		int ia = pair_key_from(&ka, &a), ib = pair_key_from(&kb, &b);

		print_message("case %zu\n", i);
		assert_memory_equal(&back, &a, sizeof(a));
		assert_memory_equal(&ka, &kb, sizeof(ka));
		assert_int_equal(ia, !ib);
		assert_true(ip_equal(&ka.addr[ia], &a.local));
		assert_int_equal(ka.port[ib], b.local_port);
	}
}

static void redirect_steps(void **state)
{
	static const struct {
		__u32 flags;
		int tcp, known, peer;
		__u64 sent;
		__u32 size;
		enum redirect_step step;
	} cases[] = {
		{SKIFF_SOCK_ACCEL, 0, 1, 1, 0, 100, REDIRECT_GO},
		{SKIFF_SOCK_ACCEL, 0, 1, 1, 900, 100, REDIRECT_GO},
		{SKIFF_SOCK_ACCEL, 0, 1, 1, 901, 100, REDIRECT_OVER},
		{SKIFF_SOCK_ACCEL, 0, 1, 1, 0, 1001, REDIRECT_OVER},
		{SKIFF_SOCK_ACCEL, 0, 1, 1, UINT64_C(1) << 33, UINT32_MAX, REDIRECT_OVER},
		{SKIFF_SOCK_ACCEL, 0, 1, 0, 0, 100, REDIRECT_MISS},
		{SKIFF_SOCK_ACCEL, 0, 0, 0, 0, 100, REDIRECT_MISS},
		{SKIFF_SOCK_ACCEL, 1, 1, 1, 0, 1, REDIRECT_EARLY}, /* bytes would overtake */
		{SKIFF_SOCK_ACCEL, 1, 0, 0, 0, 1, REDIRECT_EARLY},
		{SKIFF_SOCK_ACCEL | SKIFF_SOCK_TCP, 1, 1, 1, 0, 1, REDIRECT_TCP}, /* no news */
		{SKIFF_SOCK_ACCEL | SKIFF_SOCK_TCP, 0, 1, 1, 0, 1, REDIRECT_TCP}, /* for good */
		{SKIFF_SOCK_ACCEL | SKIFF_SOCK_TCP, 0, 0, 0, 0, 1, REDIRECT_TCP},
	};

	(void)state;
	for (int me = 0; me < 2; me++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct skiff_pair pair = {.present = {1, 1}};

			pair.present[!me] = (__u32)cases[i].peer;
			pair.sent[me] = cases[i].sent;
			pair.sent[!me] = 5000; /* the other direction does not count */
			print_message("end %d case %zu\n", me, i);
			assert_int_equal(decide_redirect(cases[i].flags, cases[i].tcp,
							 cases[i].known ? &pair : NULL, me,
							 cases[i].size, 1000),
					 cases[i].step);
		}
	}
}

static void a_socket_leaves_only_when_nothing_is_on_its_way(void **state)
{
	const __u32 in = SKIFF_SOCK_ACCEL, tcp = SKIFF_SOCK_TCP;

	(void)state;
	for (int me = 0; me < 2; me++) {
		struct skiff_pair pair = {.present = {SKIFF_IN_SOCKS, SKIFF_IN_SOCKS}};

		pair.present[me] |= SKIFF_SENDS_TCP;
		assert_false(decide_leave(in | tcp, &pair, me)); /* the other end may still send */
		pair.present[!me] |= SKIFF_SENDS_TCP;
		assert_true(decide_leave(in | tcp, &pair, me));
		assert_false(decide_leave(in, &pair, me)); /* it still sends past TCP */
		assert_false(decide_leave(tcp, &pair, me)); /* it is not there */
		assert_false(decide_leave(in | tcp, NULL, me));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(address_equality_sees_every_byte),
		cmocka_unit_test(self_is_loopback_any_and_own_addresses),
		cmocka_unit_test(engine_lives_with_listener_and_young_heartbeat),
		cmocka_unit_test(mark_counts_only_from_the_engines_cgroup),
		cmocka_unit_test(outbound_verdicts),
		cmocka_unit_test(inbound_verdicts),
		cmocka_unit_test(own_inbound_connections),
		cmocka_unit_test(pick_follows_the_weights_exactly),
		cmocka_unit_test(pick_reaches_every_slot_of_every_size),
		cmocka_unit_test(pick_of_nothing_is_out_of_range),
		cmocka_unit_test(pick_keeps_the_address_family),
		cmocka_unit_test(accelerate_by_mode_and_executable),
		cmocka_unit_test(both_ends_compute_one_pair_key),
		cmocka_unit_test(redirect_steps),
		cmocka_unit_test(a_socket_leaves_only_when_nothing_is_on_its_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
