/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes go there and back: small, many in one turn, before the connection is up. */
#include "tests/unit/io/t_io.h"

static void test_echo(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { .echo = true };

	(void)state;
	t_pair(io, &a, &b);
	for (int i = 0; i < 100; i++) {
		buf_clear(&a.got);
		io_stream_write(a.s, "hello", 5);
		t_until(io, buf_len(&a.got) == 5);
		assert_memory_equal(buf_ptr(&a.got), "hello", 5);
	}
	assert_int_equal(io_stream_pending(a.s), 0);
	t_close(&a);
	t_until(io, b.eof);
	t_close(&b);
	t_free(io);
}

static void test_write_before_connected(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 };
	struct t_server sv;

	(void)state;
	t_server_start(&sv, io, &b, 1);
	t_connect(io, &a, &sv.at);
	io_stream_write(a.s, "early", 5);
	assert_int_equal(a.connected, 0);
	assert_int_equal(io_stream_pending(a.s), 5);
	t_until(io, buf_len(&b.got) == 5);
	assert_int_equal(a.connected, 1);
	assert_memory_equal(buf_ptr(&b.got), "early", 5);
	t_close(&a);
	t_close(&b);
	io_listener_close(sv.l);
	t_free(io);
}

static unsigned long segments_out(int fd)
{
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len), 0);
	return ti.tcpi_data_segs_out;
}

static void test_writes_of_a_turn_are_one_send(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 };
	unsigned long before;

	(void)state;
	t_pair(io, &a, &b);
	before = segments_out(io_stream_fd(a.s));
	for (int i = 0; i < 200; i++)
		io_stream_write(a.s, "0123456789", 10);
	assert_int_equal(io_stream_pending(a.s), 2000);
	assert_int_equal(segments_out(io_stream_fd(a.s)), before);
	t_until(io, buf_len(&b.got) == 2000);
	/* TCP_NODELAY is on, so each send would be a segment. */
	assert_int_equal(segments_out(io_stream_fd(a.s)), before + 1);
	assert_int_equal(b.data, 1);
	t_close(&a);
	t_close(&b);
	t_free(io);
}

static void test_out_buffer(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 };

	(void)state;
	t_pair(io, &a, &b);
	buf_add(io_stream_out(a.s), "one ", 4);
	buf_add(io_stream_out(a.s), "two", 3);
	io_stream_flush(a.s);
	t_until(io, buf_len(&b.got) == 7);
	assert_memory_equal(buf_ptr(&b.got), "one two", 7);
	assert_non_null(io_stream_out(b.s)->base);
	io_stream_flush(b.s); /* nothing was added */
	t_turns(io, 2);
	t_close(&a);
	t_close(&b);
	t_free(io);
}

static void test_addresses(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 };
	struct addr x, y;

	(void)state;
	t_pair(io, &a, &b);
	assert_int_equal(io_stream_local(a.s, &x), 0);
	assert_int_equal(io_stream_peer(b.s, &y), 0);
	assert_true(addr_is_equal(&x, &y));
	assert_int_equal(io_stream_peer(a.s, &x), 0);
	assert_int_equal(io_stream_local(b.s, &y), 0);
	assert_true(addr_is_equal(&x, &y));
	assert_true(addr_is_loopback(&x));
	t_close(&a);
	t_close(&b);
	t_free(io);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_echo),
	cmocka_unit_test(test_write_before_connected),
	cmocka_unit_test(test_writes_of_a_turn_are_one_send),
	cmocka_unit_test(test_out_buffer),
	cmocka_unit_test(test_addresses),
};

t_main(tests)
