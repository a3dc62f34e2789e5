/* SPDX-License-Identifier: Apache-2.0 */
/* How a channel connects, notices that its peer is gone, waits and comes back. Plaintext. */
#include "tests/unit/xds/t_grpc.h"

struct world {
	struct io *io;
	struct t_server sv;
	struct t_client cl;
};

static void begin(struct world *w)
{
	*w = (struct world){ .io = t_io_new() };
	t_server_start(&w->sv, w->io);
}

static void finish(struct world *w)
{
	grpc_channel_free(w->cl.ch);
	t_server_stop(&w->sv);
	t_io_free(w->io);
}

static void start(struct world *w, const char *const *at, size_t n)
{
	struct grpc_opts o = T_OPTS(.addresses = at);

	o.n_addresses = n;
	t_client_start(&w->cl, w->io, &o);
}

static void start_one(struct world *w)
{
	const char *at = w->sv.text;

	start(w, &at, 1);
}

/* An address of this machine where nobody listens. */
static void free_port(struct io *io, char text[static ADDR_TEXT_MAX])
{
	struct t_server sv;

	t_server_start(&sv, io);
	memcpy(text, sv.text, ADDR_TEXT_MAX);
	t_server_stop(&sv);
	t_for_ms(io, 20);
}

static void test_nothing_from_inside_new(void **state)
{
	struct world w;
	struct err e;

	(void)state;
	begin(&w);
	start_one(&w);
	assert_int_equal(w.cl.ups + w.cl.downs, 0);
	assert_false(grpc_channel_is_up(w.cl.ch));
	assert_null(grpc_stream_open(w.cl.ch, T_METHOD, &t_stream_ops, NULL, &e));
	assert_true(t_has(e.text, "not connected"));
	t_until(w.io, w.cl.ups == 1);
	assert_true(grpc_channel_is_up(w.cl.ch));
	finish(&w);
}

static void test_free_at_every_moment(void **state)
{
	(void)state;
	for (int turns = 0; turns < 8; turns++) {
		struct world w;
		const char *at;

		begin(&w);
		at = w.sv.text;
		start(&w, &at, 1);
		for (int i = 0; i < turns; i++)
			io_run_once(w.io, 1);
		finish(&w);
	}
}

static void test_addresses_in_order(void **state)
{
	struct grpc_channel_info info;
	char dead[ADDR_TEXT_MAX];
	struct world w;

	(void)state;
	begin(&w);
	free_port(w.io, dead);
	start(&w, (const char *const[]){ dead, w.sv.text }, 2);
	t_until(w.io, w.cl.ups);
	assert_int_equal(w.cl.downs, 0); /* the round had success */
	grpc_channel_info_get(w.cl.ch, &info);
	assert_string_equal(info.address, w.sv.text);
	assert_true(info.is_up);
	assert_true(t_has(info.error, "refused"));
	assert_true(t_has(info.error, dead));
	finish(&w);
}

static void test_names(void **state)
{
	struct world w;
	char at[64];

	(void)state;
	begin(&w);
	snprintf(at, sizeof(at), "localhost:%u", w.sv.at.port);
	start(&w, (const char *const[]){ "no-such-name.invalid:1", at }, 2);
	t_until(w.io, w.cl.ups);
	finish(&w);
}

static void test_unknown_name(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	start(&w, (const char *const[]){ "no-such-name.invalid:1" }, 1);
	t_until(w.io, w.cl.downs);
	assert_true(t_has(w.cl.reason, "no-such-name.invalid:1"));
	assert_true(t_has(w.cl.reason, "cannot be resolved"));
	finish(&w);
}

static void test_free_during_a_look_up(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	start(&w, (const char *const[]){ "no-such-name.invalid:1" }, 1);
	io_run_once(w.io, 5);
	finish(&w);
}

static void test_waits_longer_each_time(void **state)
{
	uint64_t at[8] = { 0 };
	char dead[ADDR_TEXT_MAX];
	const char *p = dead;
	struct grpc_opts o = {
		.addresses = &p, .n_addresses = 1, .backoff_min_ms = 20, .backoff_max_ms = 160
	};
	struct grpc_channel_info info;
	struct world w;

	(void)state;
	begin(&w);
	free_port(w.io, dead);
	t_client_start(&w.cl, w.io, &o);
	for (int i = 0; i < 8; i++) {
		t_until(w.io, w.cl.downs == i + 1);
		at[i] = w.cl.down_at;
	}
	/* The n-th wait is in [d/2, d], d = 40, 80, 160, 160 ...; machines are late, never early.
	 */
	for (int i = 1; i < 8; i++) {
		uint64_t d = i < 3 ? 20u << i : 160, ms = (at[i] - at[i - 1]) / NSEC_PER_MSEC;

		if (ms + 2 < d / 2)
			fail_msg("wait %d: %u ms", i, (unsigned int)ms);
	}
	grpc_channel_info_get(w.cl.ch, &info);
	assert_int_equal(info.failures, 8);
	assert_int_equal(info.connects, 0);
	finish(&w);
}

static void test_server_comes_late(void **state)
{
	char dead[ADDR_TEXT_MAX];
	const char *at = dead;
	struct world w = { .io = t_io_new() };

	(void)state;
	free_port(w.io, dead);
	start(&w, &at, 1);
	t_until(w.io, w.cl.downs == 2);
	w.sv = (struct t_server){ .io = w.io };
	assert_int_equal(addr_parse(slice_str(dead), &w.sv.at), 0);
	t_listen(&w.sv);
	t_until(w.io, w.cl.ups == 1);
	finish(&w);
}

/* ---- connections that end -------------------------------------------------------------------- */

static void test_lost_and_back(void **state)
{
	struct t_stream x = { 0 }, y = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	t_connect(&w.cl, &w.sv);
	t_open(&w.cl, &x);
	t_open(&w.cl, &y);
	t_until(w.io, w.sv.n_calls == 2);
	t_conn_close(&w.sv.conns[0]);
	t_until(w.io, w.cl.downs == 1);
	assert_int_equal(x.closed + y.closed, 2);
	assert_int_equal(x.status, GRPC_UNAVAILABLE);
	assert_true(t_has(x.text, w.sv.text));
	t_until(w.io, w.cl.ups == 2);
	w.sv.echo = true;
	t_open(&w.cl, &x);
	grpc_stream_send(x.st, SLICE("hello again"));
	t_until(w.io, x.messages == 1);
	buf_done(&x.last);
	finish(&w);
}

/* One round: a message comes, the connection ends; returns the ms until the next one is up. */
static uint64_t ms_to_come_back(struct world *w, int round, bool proves)
{
	struct t_stream x = { 0 };
	uint64_t lost;

	w->sv.echo = true;
	t_open(&w->cl, &x);
	grpc_stream_send(x.st, SLICE("hello"));
	t_until(w->io, x.messages == 1);
	if (proves)
		grpc_channel_prove(w->cl.ch);
	t_conn_close(&w->sv.conns[round]);
	t_until(w->io, w->cl.downs == round + 1);
	lost = w->cl.down_at;
	t_until(w->io, w->cl.ups == round + 2);
	buf_done(&x.last);
	return (clock_mono_ns() - lost) / NSEC_PER_MSEC;
}

/* A server that is restarted every now and then is not a server that is down. */
static void test_waits_are_short_again_after_a_proof(void **state)
{
	struct grpc_opts o = { .n_addresses = 1, .backoff_min_ms = 20, .backoff_max_ms = 10000 };
	const char *at;
	struct world w;

	(void)state;
	begin(&w);
	at = w.sv.text;
	o.addresses = &at;
	t_client_start(&w.cl, w.io, &o);
	t_until(w.io, w.cl.ups == 1);
	for (int i = 0; i < 5; i++)
		ms_to_come_back(&w, i, false);
	/* The next one would be at least 640 ms long. */
	assert_true(ms_to_come_back(&w, 5, true) < 400);
	finish(&w);
}

static void test_goaway(void **state)
{
	struct t_stream x = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	t_connect(&w.cl, &w.sv);
	t_open(&w.cl, &x);
	t_until(w.io, w.sv.n_calls == 1);
	/* What is said before it still counts. */
	t_message(&w.sv.calls[0], "last words", 10);
	nghttp2_submit_goaway(w.sv.conns[0].h2, 0, 1, NGHTTP2_NO_ERROR, (const uint8_t *)"max_age",
			      7);
	t_conn_pump(&w.sv.conns[0]);
	t_until(w.io, w.cl.downs == 1);
	assert_int_equal(x.messages, 1);
	assert_int_equal(x.closed, 1);
	assert_int_equal(x.status, GRPC_UNAVAILABLE);
	assert_true(t_has(w.cl.reason, "max_age"));
	t_until(w.io, w.cl.ups == 2);
	buf_done(&x.last);
	finish(&w);
}

static void says(struct slice first, const char *want)
{
	struct world w;

	begin(&w);
	w.sv.first = first;
	start_one(&w);
	t_until(w.io, w.cl.downs == 1);
	assert_int_equal(w.cl.ups, 0);
	assert_true(t_has(w.cl.reason, want));
	assert_null(strstr(w.cl.reason, "in time"));
	finish(&w);
}

static void test_not_http2(void **state)
{
	(void)state;
	says(SLICE("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"), "HTTP/2");
	says(SLICE("\0\0\0\4\0\0\0\0\1"), "HTTP/2");           /* SETTINGS on a stream */
	says(SLICE("\0\0\x08\6\0\0\0\0\0abcdefgh"), "HTTP/2"); /* PING before SETTINGS */
	says(SLICE("\0\0\7\4\0\0\0\0\0abcdefg"), "HTTP/2");    /* SETTINGS of 7 bytes */
}

/* A fault of the peer on a connection that is up. */
static void test_breach_of_protocol(void **state)
{
	static const char bad[] = "\0\0\1\0\0\0\0\0\0x"; /* DATA on stream 0 */
	struct t_stream x = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	t_connect(&w.cl, &w.sv);
	t_open(&w.cl, &x);
	t_until(w.io, w.sv.n_calls == 1);
	io_stream_write(w.sv.conns[0].s, bad, sizeof(bad) - 1);
	t_until(w.io, w.cl.downs == 1);
	assert_int_equal(x.closed, 1);
	assert_int_equal(x.status, GRPC_UNAVAILABLE);
	assert_true(t_has(w.cl.reason, "PROTOCOL_ERROR"));
	t_until(w.io, w.cl.ups == 2);
	finish(&w);
}

static void test_silent_server(void **state)
{
	struct grpc_opts o = T_OPTS(.connect_timeout_ms = 100);
	const char *at;
	struct world w;

	(void)state;
	begin(&w);
	w.sv.silent = true;
	at = w.sv.text;
	o.addresses = &at;
	t_client_start(&w.cl, w.io, &o);
	t_until(w.io, w.cl.downs == 1);
	assert_true(t_has(w.cl.reason, "SETTINGS"));
	finish(&w);
}

static void test_keepalive(void **state)
{
	struct grpc_opts o = T_OPTS(.keepalive_ms = 60, .keepalive_timeout_ms = 1000);
	const char *at;
	uint64_t from;
	struct world w;

	(void)state;
	begin(&w);
	at = w.sv.text;
	o.addresses = &at;
	t_client_start(&w.cl, w.io, &o);
	t_until(w.io, w.cl.ups == 1);
	t_until(w.io, w.sv.conns[0].pings >= 3);
	assert_int_equal(w.cl.downs, 0);
	w.sv.no_acks = true;
	from = clock_mono_ns();
	t_until(w.io, w.cl.downs == 1);
	assert_true(t_has(w.cl.reason, "PING"));
	assert_true(clock_mono_ns() - from >= 990 * NSEC_PER_MSEC);
	t_until(w.io, w.cl.ups == 2);
	finish(&w);
}

/* A connection on which messages come needs no PING. */
static void test_no_ping_while_busy(void **state)
{
	struct grpc_opts o = T_OPTS(.keepalive_ms = 1500, .keepalive_timeout_ms = 100);
	struct t_stream x = { .drop = true };
	const char *at;
	struct world w;

	(void)state;
	begin(&w);
	w.sv.no_acks = true;
	at = w.sv.text;
	o.addresses = &at;
	t_client_start(&w.cl, w.io, &o);
	t_until(w.io, w.cl.ups == 1);
	t_open(&w.cl, &x);
	t_until(w.io, w.sv.n_calls == 1);
	for (int i = 0; i < 200; i++) {
		t_message(&w.sv.calls[0], "x", 1);
		t_for_ms(w.io, 10);
	}
	assert_int_equal(w.sv.conns[0].pings, 0);
	assert_int_equal(w.cl.downs, 0);
	finish(&w);
}

static void test_too_many_pings(void **state)
{
	struct grpc_opts o = T_OPTS(.keepalive_ms = 300, .keepalive_timeout_ms = 5000);
	const char *at;
	uint64_t from;
	struct world w;

	(void)state;
	begin(&w);
	at = w.sv.text;
	o.addresses = &at;
	t_client_start(&w.cl, w.io, &o);
	t_until(w.io, w.sv.n_conns && w.sv.conns[0].pings == 1);
	nghttp2_submit_goaway(w.sv.conns[0].h2, 0, 0, NGHTTP2_ENHANCE_YOUR_CALM,
			      (const uint8_t *)"too_many_pings", 14);
	t_conn_pump(&w.sv.conns[0]);
	t_until(w.io, w.cl.ups == 2);
	from = w.cl.up_at;
	t_until(w.io, w.sv.conns[1].pings == 1);
	assert_true(clock_mono_ns() - from >= 590 * NSEC_PER_MSEC); /* twice as long */
	finish(&w);
}

static void test_reconnect(void **state)
{
	struct t_stream x = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	t_connect(&w.cl, &w.sv);
	t_open(&w.cl, &x);
	grpc_channel_reconnect(w.cl.ch, "wanted so");
	assert_int_equal(x.closed + w.cl.downs, 0); /* not inside the call */
	assert_false(grpc_channel_is_up(w.cl.ch));
	t_until(w.io, w.cl.ups == 2);
	assert_int_equal(x.closed, 1);
	assert_int_equal(w.cl.downs, 1);
	assert_true(t_has(w.cl.reason, "wanted so"));
	finish(&w);
}

/* ---- calls from callbacks -------------------------------------------------------------------- */

static void do_free(struct t_client *cl)
{
	grpc_channel_free(cl->ch);
	cl->ch = NULL;
}

static void test_free_in_up(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.cl.on_up = do_free;
	start_one(&w);
	t_until(w.io, !w.cl.ch);
	finish(&w);
}

static void test_free_in_down(void **state)
{
	char dead[ADDR_TEXT_MAX];
	const char *at = dead;
	struct world w;

	(void)state;
	begin(&w);
	free_port(w.io, dead);
	w.cl.on_down = do_free;
	start(&w, &at, 1);
	t_until(w.io, !w.cl.ch);
	finish(&w);
	begin(&w);
	w.cl.on_down = do_free;
	start_one(&w);
	t_until(w.io, w.cl.ups);
	t_conn_close(&w.sv.conns[0]);
	t_until(w.io, !w.cl.ch);
	finish(&w);
}

static void free_in_closed(struct t_stream *x)
{
	do_free(x->arg);
}

static void test_free_in_closed_of_a_lost_connection(void **state)
{
	struct t_stream x[3] = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	start_one(&w);
	t_until(w.io, w.cl.ups);
	for (int i = 0; i < 3; i++) {
		x[i].arg = &w.cl;
		x[i].on_closed = free_in_closed;
		t_open(&w.cl, &x[i]);
	}
	t_conn_close(&w.sv.conns[0]);
	t_until(w.io, !w.cl.ch);
	t_for_ms(w.io, 50);
	assert_int_equal(x[0].closed + x[1].closed + x[2].closed, 1);
	assert_int_equal(w.cl.downs, 0);
	finish(&w);
}

static void test_bad_options(void **state)
{
	static const char *const bad[] = { "",           "host",   "host:",   ":80",  "host:0",
					   "host:65536", "::1:80", "host:8x", "[]:80" };
	const char *good = "127.0.0.1:1";
	struct grpc_opts o[] = {
		{ .addresses = &good, .n_addresses = 0 },
		{ .addresses = &good, .n_addresses = 1, .ca_file = "/dev/null" },
		{ .addresses = &good, .n_addresses = 1, .token_file = "/dev/null" },
		{ .addresses = &good, .n_addresses = 1, .tls = true, .key_file = "/dev/null" },
		{ .addresses = &good, .n_addresses = 1, .tls = true, .cert_file = "/dev/null" },
	};
	struct io *io = t_io_new();
	struct grpc_channel *ch;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(o); i++)
		assert_true(grpc_channel_new(io, &o[i], &t_channel_ops, NULL, &ch, &e) < 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct grpc_opts b = { .addresses = &bad[i], .n_addresses = 1 };

		assert_int_equal(grpc_channel_new(io, &b, &t_channel_ops, NULL, &ch, &e), -EINVAL);
	}
	t_io_free(io);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_nothing_from_inside_new),
	cmocka_unit_test(test_free_at_every_moment),
	cmocka_unit_test(test_addresses_in_order),
	cmocka_unit_test(test_names),
	cmocka_unit_test(test_unknown_name),
	cmocka_unit_test(test_free_during_a_look_up),
	cmocka_unit_test(test_waits_longer_each_time),
	cmocka_unit_test(test_server_comes_late),
	cmocka_unit_test(test_lost_and_back),
	cmocka_unit_test(test_waits_are_short_again_after_a_proof),
	cmocka_unit_test(test_goaway),
	cmocka_unit_test(test_not_http2),
	cmocka_unit_test(test_breach_of_protocol),
	cmocka_unit_test(test_silent_server),
	cmocka_unit_test(test_keepalive),
	cmocka_unit_test(test_no_ping_while_busy),
	cmocka_unit_test(test_too_many_pings),
	cmocka_unit_test(test_reconnect),
	cmocka_unit_test(test_free_in_up),
	cmocka_unit_test(test_free_in_down),
	cmocka_unit_test(test_free_in_closed_of_a_lost_connection),
	cmocka_unit_test(test_bad_options),
};

int main(void)
{
	signal(SIGPIPE, SIG_DFL);
	log_level_set(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
