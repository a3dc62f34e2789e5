/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: order, cancel, re-arming from inside, long waits, no turns without a cause. */
#include "tests/unit/io/t_io.h"

#include "io/io_impl.h"

struct tt {
	struct io_timer t;
	struct io *io;
	struct tt *other;
	uint64_t fired_at;
	int fired;
	int order;
	unsigned int again_ms;
};

static int order;

static void tt_fire(struct io_timer *t)
{
	struct tt *x = container_of(t, struct tt, t);

	assert_false(io_timer_is_armed(t));
	x->fired++;
	x->fired_at = io_now(x->io);
	x->order = ++order;
	if (x->other)
		io_timer_cancel(x->io, &x->other->t);
	if (x->again_ms)
		io_timer_set(x->io, t, x->again_ms);
}

static void tt_set(struct io *io, struct tt *x, uint64_t ms)
{
	if (!x->io)
		io_timer_init(&x->t, tt_fire);
	x->io = io;
	io_timer_set(io, &x->t, ms);
}

static void test_order(void **state)
{
	struct io *io = t_io_new();
	struct tt x[5] = { 0 };
	static const unsigned int ms[5] = { 30, 10, 300, 20, 10 };
	uint64_t start = io_now(io);

	(void)state;
	order = 0;
	for (int i = 0; i < 5; i++)
		tt_set(io, &x[i], ms[i]);
	t_until(io, x[2].fired);
	assert_int_equal(x[1].order, 1);
	assert_int_equal(x[4].order, 2);
	assert_int_equal(x[3].order, 3);
	assert_int_equal(x[0].order, 4);
	assert_int_equal(x[2].order, 5);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(x[i].fired, 1);
		assert_true(x[i].fired_at - start >= ms[i] * NSEC_PER_MSEC);
		/* A busy machine may be late, not by this much. */
		assert_true(x[i].fired_at - start < (ms[i] + 200) * NSEC_PER_MSEC);
	}
	t_free(io);
}

static void test_cancel_and_rearm(void **state)
{
	struct io *io = t_io_new();
	struct tt a = { 0 }, b = { 0 }, c = { .again_ms = 5 }, d = { 0 };

	(void)state;
	tt_set(io, &a, 10);
	tt_set(io, &b, 10);
	a.other = &b; /* the next of the same tick */
	tt_set(io, &c, 5);
	tt_set(io, &d, 5);
	tt_set(io, &d, 60); /* moved */
	io_timer_cancel(io, &a.t);
	io_timer_cancel(io, &a.t); /* harmless */
	assert_false(io_timer_is_armed(&a.t));
	tt_set(io, &a, 10);
	/* a is behind b now: put b behind a. */
	tt_set(io, &b, 10);
	t_until(io, d.fired);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 0);
	assert_true(c.fired >= 3);
	assert_int_equal(d.fired, 1);
	io_timer_cancel(io, &c.t);
	t_free(io);
}

static void test_free_disarms(void **state)
{
	struct io *io = t_io_new();
	struct tt a = { 0 };

	(void)state;
	tt_set(io, &a, 100000000);
	io_free(io);
	assert_false(io_timer_is_armed(&a.t));
	assert_int_equal(a.fired, 0);
}

/* Sleeping until a timer takes a handful of turns, sleeping without one takes none. */
static void test_no_busy_turns(void **state)
{
	struct io *io = t_io_new();
	struct tt a = { 0 };
	struct io_totals before, after;
	uint64_t start;

	(void)state;
	io_run_once(io, 0);
	io_totals_get(io, &before);
	tt_set(io, &a, 700);
	while (!a.fired)
		io_run_once(io, -1);
	io_totals_get(io, &after);
	assert_true(after.turns - before.turns <= 4);
	start = clock_mono_ns();
	io_run_once(io, 100);
	assert_true(clock_mono_ns() - start >= 99 * NSEC_PER_MSEC);
	t_free(io);
}

/* ---- the wheel alone, with a made-up clock ------------------------------------------- */

#define MANY 3000

static struct tt many[MANY];
static uint64_t virtual_ms;

static void many_fire(struct io_timer *t)
{
	struct tt *x = container_of(t, struct tt, t);

	x->fired++;
	x->fired_at = virtual_ms;
}

static uint64_t many_delay(struct rng *r)
{
	/* All levels, and beyond the last. */
	unsigned int bits = rng_below(r, 36);

	return rng_u64(r) & ((1ull << bits) - 1);
}

static void test_wheel_is_exact(void **state)
{
	struct io *io = xcalloc(1, sizeof(*io));
	uint64_t due[MANY];
	struct rng r;
	int left = MANY;

	(void)state;
	rng_init(&r, 5);
	virtual_ms = 1234567;
	io->now = virtual_ms * NSEC_PER_MSEC;
	wheel_init(&io->wheel, io->now);
	for (int i = 0; i < MANY; i++) {
		uint64_t ms = many_delay(&r);

		many[i] = (struct tt){ .io = io };
		io_timer_init(&many[i].t, many_fire);
		io_timer_set(io, &many[i].t, ms);
		due[i] = virtual_ms + (ms ? ms : 1);
		if (i % 7 == 0) {
			io_timer_cancel(io, &many[i].t);
			left--;
		}
	}
	while (left) {
		uint64_t next = wheel_next(&io->wheel);

		assert_true(next != UINT64_MAX);
		assert_true(next > virtual_ms);
		virtual_ms = next;
		io->now = next * NSEC_PER_MSEC;
		wheel_run(&io->wheel, io->now);
		for (int i = 0; i < MANY; i++) {
			if (many[i].fired != 1)
				continue;
			assert_int_equal(many[i].fired_at, due[i]);
			many[i].fired = 2;
			left--;
		}
	}
	assert_true(wheel_next(&io->wheel) == UINT64_MAX);
	for (int i = 0; i < MANY; i += 7)
		assert_int_equal(many[i].fired, 0);
	free(io);
}

/* A loop that slept past many deadlines fires them all, in order of time. */
static void test_wheel_catches_up(void **state)
{
	struct io *io = xcalloc(1, sizeof(*io));
	struct tt x[3] = { 0 };

	(void)state;
	order = 0;
	wheel_init(&io->wheel, 0);
	io->now = 0;
	tt_set(io, &x[0], 70000);
	tt_set(io, &x[1], 3);
	tt_set(io, &x[2], 500);
	io->now = 1000000 * NSEC_PER_MSEC;
	wheel_run(&io->wheel, io->now);
	assert_int_equal(x[1].order, 1);
	assert_int_equal(x[2].order, 2);
	assert_int_equal(x[0].order, 3);
	free(io);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_order),
	cmocka_unit_test(test_cancel_and_rearm),
	cmocka_unit_test(test_free_disarms),
	cmocka_unit_test(test_no_busy_turns),
	cmocka_unit_test(test_wheel_is_exact),
	cmocka_unit_test(test_wheel_catches_up),
};

t_main(tests)
