/* SPDX-License-Identifier: Apache-2.0 */
/* Names looked up beside the loop, and a loop that another thread's poll(2) serves. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/poll.h"
#include "io/resolve.h"

struct answer {
	int calls;
	unsigned int n;
	struct addr first;
	char reason[256];
};

static void told(void *arg, const struct addr *v, unsigned int n, const char *reason)
{
	struct answer *a = arg;

	a->calls++;
	a->n = n;
	if (n)
		a->first = v[0];
	else
		snprintf(a->reason, sizeof(a->reason), "%s", reason);
}

static struct io *loop(enum io_backend b)
{
	struct io *io;
	struct err e;

	if (io_new(b, &io, &e) < 0)
		fail_msg("%s", e.text);
	return io;
}

/* Serves the loop as its header says, until @*flag or 10 s. */
static int serve(struct io *io, const int *flag)
{
	uint64_t end = clock_mono_ns() + 10 * NSEC_PER_SEC;
	int turns = 0;

	while (!*flag && clock_mono_ns() < end) {
		struct pollfd p = { .fd = io_poll_fd(io), .events = POLLIN };

		poll(&p, 1, io_next_timeout(io));
		io_run_once(io, 0);
		turns++;
	}
	assert_true(*flag);
	return turns;
}

static void test_known_name(void **state)
{
	struct io *io = loop(IO_EPOLL);
	struct answer a = { 0 };
	struct err e;

	(void)state;
	assert_non_null(io_lookup_start(io, "localhost", 1234, told, &a, &e));
	assert_int_equal(a.calls, 0);
	serve(io, &a.calls);
	assert_true(a.n >= 1 && a.n <= IO_LOOKUP_ADDRS);
	assert_int_equal(a.first.port, 1234);
	assert_true(addr_is_loopback(&a.first));
	io_free(io);
}

static void test_unknown_name(void **state)
{
	struct io *io = loop(IO_EPOLL);
	struct answer a = { 0 };
	struct err e;

	(void)state;
	assert_non_null(io_lookup_start(io, "no-such-name.invalid", 1, told, &a, &e));
	serve(io, &a.calls);
	assert_int_equal(a.n, 0);
	assert_true(a.reason[0]);
	io_free(io);
}

static void test_cancelled(void **state)
{
	struct io *io = loop(IO_EPOLL);
	struct answer a = { 0 };
	struct err e;

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct io_lookup *l = io_lookup_start(io, "localhost", 1, told, &a, &e);

		for (int turn = 0; turn < i % 3; turn++)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		io_lookup_cancel(l);
	}
	io_lookup_cancel(NULL);
	for (int i = 0; i < 20; i++)
		io_run_once(io, 5);
	assert_int_equal(a.calls, 0);
	io_free(io);
}

static struct {
	struct io_timer t;
	int fired;
} timer;

static void fire(struct io_timer *t)
{
	(void)t;
	timer.fired++;
}

static void test_timeout_is_the_next_timer(void **state)
{
	struct io *io = loop(IO_EPOLL);
	uint64_t from = clock_mono_ns(), took;
	int turns;

	(void)state;
	timer.fired = 0;
	assert_int_equal(io_next_timeout(io), -1);
	io_timer_init(&timer.t, fire);
	io_timer_set(io, &timer.t, 500);
	assert_in_range(io_next_timeout(io), 1, 502);
	turns = serve(io, &timer.fired);
	took = clock_mono_ns() - from;
	assert_true(took >= 499 * NSEC_PER_MSEC);
	assert_true(turns < 20); /* it slept */
	assert_int_equal(io_next_timeout(io), -1);
	io_timer_set(io, &timer.t, 0);
	assert_in_range(io_next_timeout(io), 0, 2);
	io_timer_cancel(io, &timer.t);
	io_free(io);
}

static void post(void *arg)
{
	++*(int *)arg;
}

static void test_posts_wake_poll(void **state)
{
	struct io *io = loop(IO_EPOLL);
	struct pollfd p = { .fd = io_poll_fd(io), .events = POLLIN };
	int flag = 0;

	(void)state;
	assert_int_equal(poll(&p, 1, 0), 0);
	io_post(io, post, &flag);
	assert_int_equal(poll(&p, 1, 1000), 1);
	io_run_once(io, 0);
	assert_int_equal(flag, 1);
	assert_int_equal(poll(&p, 1, 0), 0);
	io_free(io);
}

static void test_only_of_epoll(void **state)
{
	struct io *io = loop(IO_URING);

	(void)state;
	assert_int_equal(io_poll_fd(io), -ENOTSUP);
	io_free(io);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_known_name),      cmocka_unit_test(test_unknown_name),
	cmocka_unit_test(test_cancelled),       cmocka_unit_test(test_timeout_is_the_next_timer),
	cmocka_unit_test(test_posts_wake_poll), cmocka_unit_test(test_only_of_epoll),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
