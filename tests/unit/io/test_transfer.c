/* SPDX-License-Identifier: Apache-2.0 */
/* Large transfers both ways, with back-pressure, stopped readers and half-closes. */
#include "tests/unit/io/t_io.h"

#define TOTAL (64u << 20)

static uint64_t mix(uint64_t h, const char *p, size_t n)
{
	/* Order matters: a swap, a loss or a repetition changes the sum. */
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3ull;
	return h;
}

struct side {
	struct t_end end;
	struct rng rng;
	size_t sent, shut;
	uint64_t sum_out, sum_in;
	bool stopped;
	int while_stopped; /* callbacks that must not have come */
};

static void side_data(struct io_stream *s, char *p, size_t n)
{
	struct side *d = io_stream_owner(s);

	d->while_stopped += d->stopped;
	d->end.total += n;
	d->sum_in = mix(d->sum_in, p, n);
	if (rng_below(&d->rng, 50) == 0) {
		d->stopped = true;
		io_stream_read_stop(s);
	}
}

static void side_eof(struct io_stream *s)
{
	struct side *d = io_stream_owner(s);

	d->while_stopped += d->stopped;
	d->end.eof++;
}

static void side_failed(struct io_stream *s, int err)
{
	(void)s;
	fail_msg("failed: %s", strerror(-err));
}

static const struct io_stream_ops side_ops = {
	.data = side_data, .eof = side_eof, .failed = side_failed
};

static void side_feed(struct side *d)
{
	char chunk[8192];

	while (d->sent < TOTAL && !io_stream_is_full(d->end.s)) {
		size_t n = 1 + rng_below(&d->rng, sizeof(chunk));

		if (n > TOTAL - d->sent)
			n = TOTAL - d->sent;
		for (size_t i = 0; i < n; i += 8) {
			uint64_t v = rng_u64(&d->rng);

			memcpy(chunk + i, &v, n - i < 8 ? n - i : 8);
		}
		d->sum_out = mix(d->sum_out, chunk, n);
		d->sent += n;
		io_stream_write(d->end.s, chunk, n);
	}
	if (d->sent == TOTAL && !d->shut) {
		io_stream_shutdown(d->end.s);
		d->shut = 1;
	}
}

static void side_flip(struct side *d)
{
	if (d->stopped && rng_below(&d->rng, 3) == 0) {
		d->stopped = false;
		io_stream_read_start(d->end.s);
	} else if (!d->stopped && rng_below(&d->rng, 20) == 0) {
		d->stopped = true;
		io_stream_read_stop(d->end.s);
		if (rng_below(&d->rng, 2)) { /* on again in the same turn */
			d->stopped = false;
			io_stream_read_start(d->end.s);
		}
	}
}

static void test_both_ways(void **state)
{
	static struct side side[2];
	struct io *io = t_io_new();
	int small = 16384;
	uint64_t limit = clock_mono_ns() + 120 * NSEC_PER_SEC;

	(void)state;
	memset(side, 0, sizeof(side));
	t_pair(io, &side[0].end, &side[1].end);
	for (int i = 0; i < 2; i++) {
		rng_init(&side[i].rng, 77 + (uint64_t)i);
		setsockopt(io_stream_fd(side[i].end.s), SOL_SOCKET, SO_SNDBUF, &small,
			   sizeof(small));
		io_stream_set_owner(side[i].end.s, &side_ops, &side[i]);
	}
	while (!side[0].end.eof || !side[1].end.eof) {
		if (clock_mono_ns() > limit)
			fail_msg("stalled: %zu and %zu of %u came", side[0].end.total,
				 side[1].end.total, TOTAL);
		for (int i = 0; i < 2; i++) {
			side_feed(&side[i]);
			side_flip(&side[i]);
		}
		io_run_once(io, 1);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(side[i].end.total, TOTAL);
		assert_int_equal(side[i].while_stopped, 0);
		assert_true(side[i].sum_in == side[1 - i].sum_out);
		assert_int_equal(io_stream_pending(side[i].end.s), 0);
		t_close(&side[i].end);
	}
	t_free(io);
}

static void test_half_close(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 };

	(void)state;
	t_pair(io, &a, &b);
	io_stream_write(a.s, "question", 8);
	io_stream_shutdown(a.s);
	t_until(io, b.eof);
	assert_int_equal(buf_len(&b.got), 8);
	assert_int_equal(a.eof, 0);
	/* The other direction is as good as before. */
	for (int i = 0; i < 10; i++) {
		io_stream_write(b.s, "answer", 6);
		t_turns(io, 2);
	}
	io_stream_shutdown(b.s);
	t_until(io, a.eof);
	assert_int_equal(buf_len(&a.got), 60);
	t_turns(io, 3);
	assert_int_equal(a.eof, 1);
	assert_int_equal(b.eof, 1);
	assert_int_equal(a.failed + b.failed, 0);
	t_close(&a);
	t_close(&b);
	t_free(io);
}

static void test_eof_waits_for_reader(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 };

	(void)state;
	t_pair(io, &a, &b);
	io_stream_read_stop(b.s);
	io_stream_write(a.s, "last words", 10);
	io_stream_shutdown(a.s);
	t_turns(io, 10);
	assert_int_equal(b.data + b.eof, 0);
	io_stream_read_start(b.s);
	/* Never from inside the call. */
	assert_int_equal(b.data + b.eof, 0);
	t_until(io, b.eof);
	assert_int_equal(buf_len(&b.got), 10);
	t_close(&a);
	t_close(&b);
	t_free(io);
}

static void stop_self(struct t_end *e)
{
	io_stream_read_stop(e->s);
}

/* Data that is under way when reading stops is held, in order, and told after the start. */
static void test_stop_inside_data(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { .on_data = stop_self };
	char block[100000];

	(void)state;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 7 + i / 251);
	t_pair(io, &a, &b);
	io_stream_write(a.s, block, sizeof(block));
	for (int calls = 1; buf_len(&b.got) < sizeof(block); calls++) {
		t_until(io, b.data == calls);
		t_turns(io, 3);
		assert_int_equal(b.data, calls);
		io_stream_read_start(b.s);
	}
	assert_memory_equal(buf_ptr(&b.got), block, sizeof(block));
	t_close(&a);
	t_close(&b);
	t_free(io);
}

/* A peer that does not read: the caller sees what is pending and hears when it is out. */
static void test_pending_and_drained(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);
	static char block[65536];
	size_t written = 0, got = 0;

	(void)state;
	io_stream_set_marks(a.s, 100000, 50000);
	while (!io_stream_is_full(a.s)) {
		io_stream_write(a.s, block, sizeof(block));
		written += sizeof(block);
		t_turns(io, 1);
		assert_true(written < 64u << 20);
	}
	t_turns(io, 5);
	assert_true(io_stream_pending(a.s) > 100000);
	assert_true(io_stream_pending(a.s) <= 100000 + sizeof(block));
	assert_int_equal(a.drained, 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (got < written) {
		ssize_t n = read(fd, block, sizeof(block));

		if (n > 0)
			got += (size_t)n;
		io_run_once(io, 1);
		if (io_stream_pending(a.s) > 50000)
			assert_int_equal(a.drained, 0);
	}
	t_turns(io, 2);
	assert_int_equal(io_stream_pending(a.s), 0);
	assert_int_equal(a.drained, 1);
	t_close(&a);
	close(fd);
	t_free(io);
}

static struct t_end *busy;
static size_t busy_at_slow;

static void note_busy(struct t_end *e)
{
	(void)e;
	busy_at_slow = busy->total;
}

/* One busy stream does not keep the others waiting: they have their share before its excess. */
static void test_turn_is_fair(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { .drop = true }, c = { .on_data = note_busy };
	int fast = t_plain_pair(io, &a), slow = t_plain_pair(io, &c);
	static char block[4 << 20];
	int big = 8 << 20;
	ssize_t n;

	(void)state;
	/* Fill the busy one's receive queue while its loop does not turn. */
	setsockopt(fast, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
	setsockopt(io_stream_fd(a.s), SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	fcntl(fast, F_SETFL, O_NONBLOCK);
	n = write(fast, block, sizeof(block));
	assert_true(n > 1 << 20);
	shutdown(fast, SHUT_WR);
	assert_int_equal(write(slow, "x", 1), 1);
	usleep(20000);
	busy = &a;
	t_until(io, c.data);
	assert_true(busy_at_slow <= IO_TURN_BYTES);
	t_until(io, a.eof);
	assert_int_equal(a.total, n);
	t_close(&a);
	t_close(&c);
	close(fast);
	close(slow);
	t_free(io);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_both_ways),
	cmocka_unit_test(test_half_close),
	cmocka_unit_test(test_eof_waits_for_reader),
	cmocka_unit_test(test_stop_inside_data),
	cmocka_unit_test(test_pending_and_drained),
	cmocka_unit_test(test_turn_is_fair),
};

t_main(tests)
