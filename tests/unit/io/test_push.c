/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinary messages, which a backend may send with the loop's wait: what the kernel does not take
 * whole, what fails, and streams that end while theirs is on its way.
 */
#include "t_io.h"

#include "io/io_impl.h"

static unsigned char letter(size_t at)
{
	return (unsigned char)(at * 31 + (at >> 8));
}

/* Messages until the socket is full, one a turn: the last is taken in part, or not at all. */
static size_t fill(struct io *io, struct t_end *a, size_t size)
{
	size_t sent = 0;

	io_stream_set_marks(a->s, UINT32_MAX, 0); /* never "full": each is tried as a push */
	for (int over = 0; over < 3;) {
		struct buf *out = io_stream_out(a->s);

		for (size_t i = 0; i < size; i++, sent++) {
			char c = (char)letter(sent);

			buf_add(out, &c, 1);
		}
		io_stream_flush(a->s);
		io_run_once(io, 0);
		io_run_once(io, 0);
		if (io_stream_pending(a->s))
			over++;
	}
	return sent;
}

static void read_all(struct io *io, int fd, size_t n)
{
	static char block[50000];
	size_t at = 0;

	while (at < n) {
		ssize_t r = recv(fd, block, sizeof(block), MSG_DONTWAIT);

		for (ssize_t i = 0; i < r; i++)
			assert_int_equal((unsigned char)block[i], letter(at + (size_t)i));
		if (r > 0)
			at += (size_t)r;
		else
			io_run_once(io, 5);
	}
}

static void test_taken_in_part(void **state)
{
	static const size_t sizes[] = { 100, 1000, 4096, 7777, IO_PUSH_MAX, IO_PUSH_MAX + 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct io *io = t_io_new();
		struct t_end a = { 0 };
		int fd = t_plain_pair(io, &a);
		int small = 4096, modest = 65536; /* few messages fill the socket */
		size_t n;

		setsockopt(io_stream_fd(a.s), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &modest, sizeof(modest));
		n = fill(io, &a, sizes[i]);
		assert_int_equal(io_stream_written(a.s), n);
		read_all(io, fd, n);
		t_until(io, !io_stream_pending(a.s));
		assert_int_equal(a.failed, 0);
		t_close(&a);
		close(fd);
		t_free(io);
	}
}

/* More streams in one turn than are pushed together. */
static void test_many_at_once(void **state)
{
	enum { N = 700 };
	static struct t_end ends[N];
	static int fds[N];
	struct io *io = t_io_new();

	(void)state;
	memset(ends, 0, sizeof(ends));
	for (int i = 0; i < N; i++)
		fds[i] = t_plain_pair(io, &ends[i]);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++)
			io_stream_write(ends[i].s, &i, sizeof(i));
		t_turns(io, 2);
		for (int i = 0; i < N; i++) {
			int got = -1;

			assert_int_equal(recv(fds[i], &got, sizeof(got), MSG_DONTWAIT),
					 sizeof(got));
			assert_int_equal(got, i);
		}
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(io_stream_pending(ends[i].s), 0);
		t_close(&ends[i]);
		close(fds[i]);
	}
	t_free(io);
}

static void test_peer_is_gone(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	struct linger reset = { .l_onoff = 1 };
	int fd = t_plain_pair(io, &a);

	(void)state;
	io_stream_read_stop(a.s);
	t_turns(io, 2);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	io_stream_write(a.s, "lost", 4);
	t_until(io, a.failed);
	assert_int_equal(a.failed, 1);
	assert_true(a.err == -EPIPE || a.err == -ECONNRESET);
	t_close(&a);
	t_free(io);
}

static void on_data_close_other(struct t_end *e)
{
	struct t_end *other = e->arg;

	t_close(other);
}

/*
 * One stream's failure closes another one whose message is on its way, in the same turn: its
 * descriptor is given back without anything else happening on the loop.
 */
static void test_closed_on_the_way(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { .on_data = on_data_close_other };
	int fa = t_plain_pair(io, &a);
	int fb = t_plain_pair(io, &b);
	struct io_totals t;
	char byte = 0;

	(void)state;
	b.arg = &a;
	assert_int_equal(send(fb, "x", 1, 0), 1);
	usleep(10000);
	/* The wait of this turn sends for a and finds the byte for b. */
	io_stream_write(a.s, "y", 1);
	t_until(io, b.data);
	for (int i = 0; i < 5; i++) {
		io_totals_get(io, &t);
		if (t.streams == 1)
			break;
		io_run_once(io, 1000);
	}
	assert_int_equal(t.streams, 1);
	assert_in_range(recv(fa, &byte, 1, 0), 0, 1); /* and its end is seen */
	t_close(&b);
	close(fa);
	close(fb);
	t_free(io);
}

/* The loop ends while messages are on their way; it does not wait for events that never come. */
static void test_loop_ends(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);

	(void)state;
	io_stream_write(a.s, "bye", 3);
	io_run_once(io, 0);
	assert_int_equal(a.s->pushing, t_backend == IO_URING);
	buf_done(&a.got);
	alarm(20);
	io_free(io);
	alarm(0);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_taken_in_part),
	cmocka_unit_test(test_many_at_once),
	cmocka_unit_test(test_peer_is_gone),
	cmocka_unit_test(test_closed_on_the_way),
	cmocka_unit_test(test_loop_ends),
};

t_main(tests)
