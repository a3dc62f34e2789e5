/* SPDX-License-Identifier: Apache-2.0 */
/* io_stream_close_flush: the last answer arrives, and patience has an end. */
#include "tests/unit/io/t_io.h"

#define ANSWER (3u << 20)

struct peer {
	int fd;
	bool sends;
	size_t got;
	int err; /* of the last read */
	pthread_t thread;
};

/* Keeps sending while it reads slowly, as a client in the middle of an upload does. */
static void *peer_run(void *arg)
{
	struct peer *p = arg;
	static char junk[65536];
	char block[30000];

	for (;;) {
		ssize_t n;

		if (p->sends && send(p->fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		    errno != EAGAIN)
			p->sends = false;
		n = read(p->fd, block, sizeof(block));
		if (n <= 0) {
			p->err = n < 0 ? errno : 0;
			break;
		}
		p->got += (size_t)n;
		usleep(500);
	}
	close(p->fd);
	return NULL;
}

static size_t streams(struct io *io)
{
	struct io_totals t;

	io_totals_get(io, &t);
	return t.streams;
}

static void test_all_bytes_arrive(void **state)
{
	static char answer[ANSWER];

	(void)state;
	for (int sends = 0; sends < 2; sends++) {
		struct io *io = t_io_new();
		struct t_end a = { 0 };
		struct peer p = { .fd = t_plain_pair(io, &a), .sends = sends };

		pthread_create(&p.thread, NULL, peer_run, &p);
		if (sends)
			t_until(io, a.data);
		buf_done(&a.got);
		a.drop = true;
		io_stream_write(a.s, answer, sizeof(answer));
		io_stream_close_flush(a.s, 2000);
		a.data = 0;
		t_until(io, streams(io) == 0);
		pthread_join(p.thread, NULL);
		assert_int_equal(p.got, ANSWER);
		assert_int_equal(p.err, 0); /* an end, not a reset */
		assert_int_equal(a.data + a.eof + a.failed + a.drained, 0);
		t_free(io);
	}
}

/* Small answer, unread input in the kernel: a plain close would reset it away. */
static void test_unread_input_does_not_reset(void **state)
{
	(void)state;
	for (int stopped = 0; stopped < 2; stopped++) {
		struct io *io = t_io_new();
		struct t_end a = { 0 };
		int fd = t_plain_pair(io, &a);
		static char upload[200000];
		char got[100];

		if (stopped) {
			io_stream_read_stop(a.s);
			t_turns(io, 2);
		}
		assert_int_equal(write(fd, upload, sizeof(upload)), sizeof(upload));
		io_stream_write(a.s, "bye", 3);
		io_stream_close_flush(a.s, 1000);
		t_turns(io, 5);
		/* Still sending after the answer. */
		assert_int_equal(write(fd, upload, sizeof(upload)), sizeof(upload));
		t_turns(io, 5);
		assert_int_equal(read(fd, got, sizeof(got)), 3);
		assert_int_equal(read(fd, got, sizeof(got)), 0);
		assert_int_equal(streams(io), 1); /* lingers */
		close(fd);
		t_until(io, streams(io) == 0);
		t_free(io);
	}
}

static uint64_t until_gone_ms(struct io *io)
{
	uint64_t start = clock_mono_ns();

	t_until(io, streams(io) == 0);
	return (clock_mono_ns() - start) / NSEC_PER_MSEC;
}

static void test_linger_ends(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);
	uint64_t ms;

	(void)state;
	io_stream_write(a.s, "bye", 3);
	io_stream_close_flush(a.s, 150);
	ms = until_gone_ms(io);
	assert_true(ms >= 140);
	assert_true(ms < 900);
	close(fd);
	t_free(io);
}

static void test_no_linger(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);
	char got[10];

	(void)state;
	io_stream_write(a.s, "bye", 3);
	io_stream_close_flush(a.s, 0);
	assert_true(until_gone_ms(io) < 100);
	assert_int_equal(read(fd, got, sizeof(got)), 3);
	assert_int_equal(read(fd, got, sizeof(got)), 0);
	close(fd);
	t_free(io);
}

/* A peer that does not read loses the answer, after a second without progress. */
static void test_stuck_output_is_dropped(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);
	static char answer[16 << 20];
	uint64_t ms;

	(void)state;
	io_stream_write(a.s, answer, sizeof(answer));
	io_stream_close_flush(a.s, 50);
	ms = until_gone_ms(io);
	assert_true(ms >= 900); /* from io_now, which is read once a turn */
	assert_true(ms < 3000);
	close(fd);
	t_free(io);
}

/* The peer has already said all: nothing to linger for. */
static void test_after_eof(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);
	char got[10];

	(void)state;
	shutdown(fd, SHUT_WR);
	t_until(io, a.eof);
	io_stream_write(a.s, "bye", 3);
	io_stream_close_flush(a.s, 5000);
	assert_true(until_gone_ms(io) < 500);
	assert_int_equal(read(fd, got, sizeof(got)), 3);
	assert_int_equal(read(fd, got, sizeof(got)), 0);
	close(fd);
	t_free(io);
}

/* Before the connection is up; after an own half-close; with a peer that resets. */
static void test_odd_moments(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	struct t_server sv;
	struct linger l = { .l_onoff = 1 };
	int fd;

	(void)state;
	t_server_start(&sv, io, &b, 1);
	t_connect(io, &a, &sv.at);
	io_stream_write(a.s, "bye", 3);
	io_stream_close_flush(a.s, 1000);
	t_until(io, b.eof);
	assert_int_equal(buf_len(&b.got), 3);
	assert_int_equal(a.connected, 0);
	t_close(&b);
	io_listener_close(sv.l);
	t_until(io, streams(io) == 0);

	fd = t_plain_pair(io, &c);
	io_stream_shutdown(c.s);
	t_turns(io, 2);
	io_stream_close_flush(c.s, 50);
	assert_true(until_gone_ms(io) < 900);
	close(fd);

	fd = t_plain_pair(io, &d);
	io_stream_close_flush(d.s, 5000);
	t_turns(io, 2);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
	assert_true(until_gone_ms(io) < 1000);
	t_free(io);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_all_bytes_arrive),
	cmocka_unit_test(test_unread_input_does_not_reset),
	cmocka_unit_test(test_linger_ends),
	cmocka_unit_test(test_no_linger),
	cmocka_unit_test(test_stuck_output_is_dropped),
	cmocka_unit_test(test_after_eof),
	cmocka_unit_test(test_odd_moments),
};

t_main(tests)
