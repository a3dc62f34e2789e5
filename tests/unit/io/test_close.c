/* SPDX-License-Identifier: Apache-2.0 */
/* Every way for a stream to end. */
#include "tests/unit/io/t_io.h"

static struct addr closed_port(void)
{
	struct addr at;

	close(t_listen_fd(&at));
	return at;
}

static void test_connect_refused(void **state)
{
	struct io *io = t_io_new();
	struct addr at = closed_port();
	struct t_end a = { 0 };

	(void)state;
	t_connect(io, &a, &at);
	io_stream_write(a.s, "lost", 4);
	assert_int_equal(a.connected, 0);
	t_until(io, a.connected);
	assert_int_equal(a.connect_err, -ECONNREFUSED);
	t_turns(io, 3);
	assert_int_equal(a.connected, 1);
	assert_int_equal(a.data + a.eof + a.failed, 0);
	t_close(&a);
	t_free(io);
}

/* An address that cannot even be bound is told like any other failure, not from inside. */
static void test_connect_bad_source(void **state)
{
	struct io *io = t_io_new();
	struct addr at, from;
	struct t_end a = { 0 };
	int fd = t_listen_fd(&at);
	int err = 0;

	(void)state;
	assert_int_equal(addr_parse(slice_str("192.0.2.77:0"), &from), 0);
	a.s = io_connect(io, &at, &from, NULL, &t_ops, &a, &err);
	assert_non_null(a.s);
	assert_int_equal(a.connected, 0);
	t_until(io, a.connected);
	assert_int_equal(a.connect_err, -EADDRNOTAVAIL);
	t_close(&a);
	close(fd);
	t_free(io);
}

static void test_connect_from(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 };
	struct addr from, seen;
	struct t_server sv;
	int err = 0;

	(void)state;
	t_server_start(&sv, io, &b, 1);
	assert_int_equal(addr_parse(slice_str("127.0.0.9:0"), &from), 0);
	a.s = io_connect(io, &sv.at, &from, NULL, &t_ops, &a, &err);
	assert_non_null(a.s);
	t_until(io, sv.n);
	assert_int_equal(io_stream_peer(b.s, &seen), 0);
	assert_true(addr_ip_is_equal(&seen, &from));
	t_close(&a);
	t_close(&b);
	io_listener_close(sv.l);
	t_free(io);
}

/* A port that nobody answers at: a backlog of one that is full. */
static void test_close_while_connecting(void **state)
{
	struct io *io = t_io_new();
	struct t_end a[8] = { 0 };
	struct addr at;
	int fd = t_listen_fd(&at);

	(void)state;
	assert_int_equal(listen(fd, 0), 0);
	for (int i = 0; i < 8; i++) {
		t_connect(io, &a[i], &at);
		if (i % 2)
			io_stream_write(a[i].s, "x", 1);
	}
	io_stream_close(a[0].s); /* before anything was submitted */
	a[0].s = NULL;
	t_turns(io, 3);
	for (int i = 1; i < 8; i++)
		t_close(&a[i]);
	t_free(io);
	assert_int_equal(a[0].connected, 0);
	close(fd);
}

/* ---- closing from inside ------------------------------------------------------------- */

enum how { CLOSE, ABORT, CLOSE_FLUSH, HOWS };

static void end_self(struct t_end *e)
{
	struct io_stream *s = e->s;

	e->s = NULL;
	switch (*(enum how *)e->arg) {
	case CLOSE:
		io_stream_close(s);
		return;
	case ABORT:
		io_stream_abort(s);
		return;
	default:
		io_stream_close_flush(s, 20);
		return;
	}
}

static void test_end_inside_connected(void **state)
{
	(void)state;
	for (enum how how = CLOSE; how < HOWS; how++) {
		struct io *io = t_io_new();
		struct t_end a = { .on_connected = end_self, .arg = &how }, b = { 0 };
		struct t_server sv;

		t_server_start(&sv, io, &b, 1);
		t_connect(io, &a, &sv.at);
		t_until(io, a.connected && sv.n && (b.eof || b.failed));
		t_close(&b);
		io_listener_close(sv.l);
		t_free(io);
		assert_int_equal(a.data + a.eof + a.failed, 0);
	}
}

static void test_end_inside_refused(void **state)
{
	struct addr at = closed_port();

	(void)state;
	for (enum how how = CLOSE; how < HOWS; how++) {
		struct io *io = t_io_new();
		struct t_end a = { .on_connected = end_self, .arg = &how };

		t_connect(io, &a, &at);
		t_until(io, a.connected);
		t_free(io);
		assert_int_equal(a.connected, 1);
	}
}

static void test_end_inside_data(void **state)
{
	static char block[300000];

	(void)state;
	for (enum how how = CLOSE; how < HOWS; how++) {
		struct io *io = t_io_new();
		struct t_end a = { 0 }, b = { .on_data = end_self, .arg = &how };

		t_pair(io, &a, &b);
		io_stream_write(b.s, block, sizeof(block)); /* output is pending, too */
		io_stream_write(a.s, block, sizeof(block));
		io_stream_shutdown(a.s);
		t_until(io, b.data);
		t_turns(io, 5);
		assert_int_equal(b.data, 1);
		assert_int_equal(b.eof + b.failed, 0);
		t_close(&a);
		t_close(&b);
		t_free(io);
	}
}

static void test_end_inside_eof(void **state)
{
	(void)state;
	for (enum how how = CLOSE; how < HOWS; how++) {
		struct io *io = t_io_new();
		struct t_end a = { 0 }, b = { .on_eof = end_self, .arg = &how };

		t_pair(io, &a, &b);
		io_stream_shutdown(a.s);
		t_until(io, b.eof && (a.eof || a.failed));
		t_close(&a);
		t_free(io);
		assert_int_equal(b.eof, 1);
	}
}

static void test_end_inside_failed(void **state)
{
	(void)state;
	for (enum how how = CLOSE; how < HOWS; how++) {
		struct io *io = t_io_new();
		struct t_end a = { 0 }, b = { .on_failed = end_self, .arg = &how };

		t_pair(io, &a, &b);
		io_stream_abort(a.s);
		t_until(io, b.failed);
		t_free(io);
		assert_int_equal(b.failed, 1);
		assert_int_equal(b.err, -ECONNRESET);
	}
}

static void test_end_inside_drained(void **state)
{
	static char block[8 << 20];

	(void)state;
	for (enum how how = CLOSE; how < HOWS; how++) {
		struct io *io = t_io_new();
		struct t_end a = { .on_drained = end_self, .arg = &how }, b = { .drop = true };

		t_pair(io, &a, &b);
		io_stream_write(a.s, block, sizeof(block));
		t_until(io, a.drained && (b.eof || b.failed));
		if (how == CLOSE_FLUSH)
			assert_int_equal(b.total, sizeof(block));
		t_close(&b);
		t_free(io);
	}
}

/* ---- failures ------------------------------------------------------------------------ */

static void test_abort_resets_peer(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);
	char c;

	(void)state;
	io_stream_abort(a.s);
	a.s = NULL;
	t_turns(io, 3);
	assert_int_equal(read(fd, &c, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	t_free(io);
}

static void reset(int fd)
{
	struct linger l = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

/* Both sides of the stream see the reset; the owner hears once. */
static void test_failed_comes_once(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);
	static char block[8 << 20];

	(void)state;
	io_stream_write(a.s, block, sizeof(block));
	t_turns(io, 3);
	assert_true(io_stream_pending(a.s) > 0); /* a send is in flight */
	reset(fd);
	t_until(io, a.failed);
	io_stream_write(a.s, "more", 4);
	t_turns(io, 5);
	assert_int_equal(a.failed, 1);
	assert_int_equal(a.eof, 0);
	assert_true(a.err == -ECONNRESET || a.err == -EPIPE);
	t_close(&a);
	t_free(io);
}

/* Writing to a peer that has closed: the reset that answers is a failure, not a signal. */
static void test_write_after_peer_closed(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);

	(void)state;
	close(fd);
	t_until(io, a.eof);
	for (int i = 0; i < 50 && !a.failed; i++) {
		io_stream_write(a.s, "x", 1);
		t_turns(io, 1);
	}
	assert_int_equal(a.failed, 1);
	t_close(&a);
	t_free(io);
}

/* A server that answers early and resets the rest of the upload: its answer is not lost. */
static void test_answer_before_reset_is_read(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		struct io *io = t_io_new();
		struct t_end a = { 0 };
		int fd = t_plain_pair(io, &a);
		static char block[4 << 20];

		io_stream_write(a.s, block, sizeof(block));
		t_turns(io, 2);
		assert_int_equal(write(fd, "413", 3), 3);
		close(fd); /* with unread input: a reset */
		t_until(io, a.failed);
		assert_int_equal(a.failed, 1);
		assert_int_equal(buf_len(&a.got), 3);
		t_close(&a);
		t_free(io);
	}
}

static void test_failed_while_stopped(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);

	(void)state;
	io_stream_read_stop(a.s);
	t_turns(io, 3);
	reset(fd);
	t_turns(io, 3);
	io_stream_write(a.s, "x", 1);
	t_turns(io, 3);
	io_stream_write(a.s, "x", 1);
	t_until(io, a.failed);
	assert_int_equal(a.data + a.eof, 0);
	assert_int_equal(a.failed, 1);
	t_close(&a);
	t_free(io);
}

/* Nobody reads and the peer has hung up: no event storm. */
static void test_no_busy_loop_when_stopped(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 };
	int fd = t_plain_pair(io, &a);
	struct io_totals before, after;

	(void)state;
	io_stream_shutdown(a.s);
	io_stream_read_stop(a.s);
	assert_int_equal(write(fd, "unread", 6), 6);
	close(fd);
	t_turns(io, 5);
	io_totals_get(io, &before);
	for (uint64_t end = clock_mono_ns() + 200 * NSEC_PER_MSEC; clock_mono_ns() < end;)
		io_run_once(io, 50);
	io_totals_get(io, &after);
	assert_true(after.turns - before.turns < 20);
	t_close(&a);
	t_free(io);
}

static void test_close_with_send_in_flight(void **state)
{
	static char block[8 << 20];

	(void)state;
	for (int aborted = 0; aborted < 2; aborted++) {
		struct io *io = t_io_new();
		struct t_end a = { 0 };
		int fd = t_plain_pair(io, &a);
		char sink[4096];
		ssize_t n;

		io_stream_write(a.s, block, sizeof(block));
		t_turns(io, 2);
		assert_true(io_stream_pending(a.s) > 0);
		if (aborted)
			io_stream_abort(a.s);
		else
			io_stream_close(a.s);
		t_free(io);
		do
			n = read(fd, sink, sizeof(sink));
		while (n > 0);
		assert_int_equal(n, aborted ? -1 : 0);
		close(fd);
	}
}

/* io_free with everything open: nothing leaks (ASan), nothing hangs. */
static void test_free_closes_all(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	int fd = t_plain_pair(io, &a);
	static char block[8 << 20];
	struct t_server sv;
	char ch;

	(void)state;
	t_pair(io, &b, &c);
	io_stream_write(a.s, block, sizeof(block));
	io_stream_write(b.s, "never sent", 10);
	t_turns(io, 2);
	io_stream_read_stop(c.s);
	io_stream_write(b.s, "held", 4);
	t_server_start(&sv, io, NULL, 0);
	t_connect(io, &d, &sv.at);
	io_free(io);
	while (read(fd, block, sizeof(block)) > 0)
		;
	assert_true(read(fd, &ch, 1) <= 0);
	close(fd);
	buf_done(&a.got);
	buf_done(&c.got);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_connect_refused),
	cmocka_unit_test(test_connect_bad_source),
	cmocka_unit_test(test_connect_from),
	cmocka_unit_test(test_close_while_connecting),
	cmocka_unit_test(test_end_inside_connected),
	cmocka_unit_test(test_end_inside_refused),
	cmocka_unit_test(test_end_inside_data),
	cmocka_unit_test(test_end_inside_eof),
	cmocka_unit_test(test_end_inside_failed),
	cmocka_unit_test(test_end_inside_drained),
	cmocka_unit_test(test_abort_resets_peer),
	cmocka_unit_test(test_failed_comes_once),
	cmocka_unit_test(test_write_after_peer_closed),
	cmocka_unit_test(test_answer_before_reset_is_read),
	cmocka_unit_test(test_failed_while_stopped),
	cmocka_unit_test(test_no_busy_loop_when_stopped),
	cmocka_unit_test(test_close_with_send_in_flight),
	cmocka_unit_test(test_free_closes_all),
};

t_main(tests)
