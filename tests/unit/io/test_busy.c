/* SPDX-License-Identifier: Apache-2.0 */
/* Busy polling: when the loop waits awake, when it learns better, and that it loses nothing. */
#include "t_io.h"

#include "io/io_impl.h"

/* ---- a backend that counts ----------------------------------------------------------- */

static int waits, looks, ready_at; /* ready_at: the look that finds something; 0 = none does */

static void fake_wait(struct io *io, int64_t ns)
{
	(void)io;
	assert_true(ns == 0); /* awake: never asks to sleep */
	waits++;
}

static bool fake_ready(const struct io *io)
{
	(void)io;
	return ready_at && ++looks >= ready_at;
}

static const struct io_backend_ops fake = { .name = "fake",
					    .wait = fake_wait,
					    .ready = fake_ready };

static void fake_setup(struct io *io)
{
	*io = (struct io){ .backend = &fake };
	io_set_busy_poll(io, 100);
	waits = looks = ready_at = 0;
}

#define SHORT_NS 50000
#define LONG_NS 5000000

static void test_unsure_at_first(void **state)
{
	struct io io;

	(void)state;
	fake_setup(&io);
	assert_false(busy_poll(&io));
	assert_int_equal(waits, 0);
}

/* Answers come soon, the next request does not: both are foretold. */
static void test_alternating_waits(void **state)
{
	struct io io;

	(void)state;
	fake_setup(&io);
	for (int i = 0; i < 8; i++) {
		busy_learn(&io, SHORT_NS);
		busy_learn(&io, LONG_NS);
	}
	ready_at = 1;                /* at once: before anybody else is let in */
	assert_true(busy_poll(&io)); /* after a long wait: a short one */
	assert_int_equal(looks, 1);
	assert_int_equal(waits, 2);
	busy_learn(&io, SHORT_NS);
	assert_false(busy_poll(&io)); /* after a short one: a long one */
	assert_int_equal(waits, 2);
}

/* In vain: after each failure it takes twice as many short waits until the next try. */
static void test_failures_back_off(void **state)
{
	struct io_busy_guess *g;
	struct io io;

	(void)state;
	fake_setup(&io);
	g = &io.busy.guess[3];
	for (int penalty = 1; penalty <= 1024; penalty *= 2) {
		int needed = 0;

		for (; g->score <= 0; needed++)
			busy_learn(&io, SHORT_NS);
		/* (The first three also make the history.) */
		assert_int_equal(needed, penalty == 1 ? 3 : penalty / 2 + 1);
		assert_false(busy_poll(&io));
		assert_int_equal(g->score, -penalty);
	}
}

/* Several events at once: there is enough to do, sleeping costs little. */
static void test_not_under_load(void **state)
{
	struct io io;

	(void)state;
	fake_setup(&io);
	for (int i = 0; i < 8; i++)
		busy_learn(&io, SHORT_NS);
	ready_at = 1;
	for (int i = 0; i < 20; i++)
		busy_count(&io, 4);
	assert_false(busy_poll(&io));
	for (int i = 0; i < 20; i++)
		busy_count(&io, 1);
	assert_true(busy_poll(&io));
}

static void test_immediate_events_teach_nothing(void **state)
{
	struct io io;

	(void)state;
	fake_setup(&io);
	for (int i = 0; i < 100; i++)
		busy_learn(&io, 500);
	assert_false(busy_poll(&io));
}

/* ---- a real loop --------------------------------------------------------------------- */

static void test_ping_pong(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd[2];
	char byte;

	(void)state;
	io_set_busy_poll(io, 1000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	a.echo = true;
	a.s = io_stream_new(io, fd[0], &t_ops, &a);
	for (int i = 0; i < 200; i++) {
		byte = (char)i;
		assert_int_equal(write(fd[1], &byte, 1), 1);
		t_until(io, a.total == (size_t)i + 1);
		io_run_once(io, 0); /* the echo goes out with the next wait */
		assert_int_equal(recv(fd[1], &byte, 1, 0), 1);
		assert_int_equal(byte, (char)i);
	}
	t_close(&a);
	close(fd[1]);
	t_free(io);
}

static int fired;

static void on_timer(struct io_timer *t)
{
	(void)t;
	fired++;
}

static void on_post(void *arg)
{
	++*(int *)arg;
}

static void *post_later(void *arg)
{
	struct timespec t = { .tv_nsec = 300000 };

	nanosleep(&t, NULL);
	io_post(arg, on_post, &fired);
	return NULL;
}

/* Timers and posts end the waiting awake as they end a sleep. */
static void test_timers_and_posts(void **state)
{
	struct io *io = t_io_new();
	struct io_timer t;
	pthread_t other;

	(void)state;
	io_set_busy_poll(io, 1000);
	io_timer_init(&t, on_timer);
	fired = 0;
	for (int i = 1; i <= 50; i++) {
		if (i % 2) {
			io_timer_set(io, &t, 1);
			t_until(io, fired == i);
			continue;
		}
		assert_int_equal(pthread_create(&other, NULL, post_later, io), 0);
		t_until(io, fired == i);
		pthread_join(other, NULL);
	}
	t_free(io);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_unsure_at_first),
	cmocka_unit_test(test_alternating_waits),
	cmocka_unit_test(test_failures_back_off),
	cmocka_unit_test(test_not_under_load),
	cmocka_unit_test(test_immediate_events_teach_nothing),
	cmocka_unit_test(test_ping_pong),
	cmocka_unit_test(test_timers_and_posts),
};

t_main(tests)
