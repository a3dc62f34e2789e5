/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of a connected channel: messages both ways, how they end, and what a bad server gets. */
#include "tests/unit/xds/t_grpc.h"

#include <inttypes.h>

struct world {
	struct io *io;
	struct t_server sv;
	struct t_client cl;
};

static void begin(struct world *w)
{
	*w = (struct world){ .io = t_io_new() };
	t_server_start(&w->sv, w->io);
	t_connect(&w->cl, &w->sv);
}

static void finish(struct world *w)
{
	grpc_channel_free(w->cl.ch);
	t_until(w->io, w->sv.conns[w->sv.n_conns - 1].over);
	t_server_stop(&w->sv);
	t_io_free(w->io);
}

/* The @n-th call as soon as it is there. */
static struct t_call *call(struct world *w, int n)
{
	t_until(w->io, w->sv.n_calls > n && w->sv.calls[n].path[0]);
	return &w->sv.calls[n];
}

static void test_headers(void **state)
{
	struct t_stream x = { 0 };
	struct t_call *k;
	struct world w;

	(void)state;
	begin(&w);
	t_open(&w.cl, &x);
	k = call(&w, 0);
	assert_string_equal(k->path, T_METHOD);
	assert_string_equal(k->authority, w.sv.text);
	assert_string_equal(k->te, "trailers");
	assert_string_equal(k->type, "application/grpc");
	assert_true(t_has(k->agent, "skiff/"));
	assert_string_equal(k->authorization, "");
	assert_ptr_equal(grpc_stream_channel(x.st), w.cl.ch);
	assert_ptr_equal(grpc_stream_owner(x.st), &x);
	finish(&w);
	assert_int_equal(x.closed, 0); /* free calls nobody */
}

static void test_echo(void **state)
{
	struct t_stream x = { 0 };
	char text[32];
	struct world w;

	(void)state;
	begin(&w);
	w.sv.echo = true;
	t_open(&w.cl, &x);
	for (int i = 0; i < 200; i++) {
		int n = snprintf(text, sizeof(text), "message %d", i);

		assert_int_equal(grpc_stream_send(x.st, slice_of(text, (size_t)n)), 0);
		t_until(w.io, x.messages == i + 1);
		assert_true(slice_is_equal(buf_slice(&x.last), slice_of(text, (size_t)n)));
	}
	assert_int_equal(grpc_stream_pending(x.st), 0);
	buf_done(&x.last);
	finish(&w);
}

/* All sizes around the frame, window and buffer limits, many in flight. */
static void test_big_messages_both_ways(void **state)
{
	static const size_t sizes[] = { 0,     1,           16379,           16384,   65535,
					65536, GRPC_WINDOW, GRPC_WINDOW + 1, 9u << 20 };
	struct t_stream x = { 0 };
	size_t total = 0;
	struct world w;

	(void)state;
	begin(&w);
	w.sv.echo = true;
	t_open(&w.cl, &x);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char *p = xmalloc(sizes[i] + 1);

		memset(p, 'a' + (int)i, sizes[i] + 1);
		assert_int_equal(grpc_stream_send(x.st, slice_of(p, sizes[i])), 0);
		total += sizes[i];
		free(p);
	}
	t_until(w.io, x.messages == ARRAY_LEN(sizes));
	assert_int_equal(x.bytes, total);
	assert_int_equal(buf_len(&x.last), 9u << 20);
	for (size_t i = 0; i < buf_len(&x.last); i++)
		if (buf_ptr(&x.last)[i] != 'a' + 8)
			fail_msg("byte %zu is wrong", i);
	buf_done(&x.last);
	finish(&w);
}

static void test_half_close_then_trailers(void **state)
{
	struct t_stream x = { 0 };
	struct t_call *k;
	struct world w;

	(void)state;
	begin(&w);
	t_open(&w.cl, &x);
	grpc_stream_send(x.st, SLICE("bye"));
	grpc_stream_close(x.st);
	assert_int_equal(grpc_stream_send(x.st, SLICE("late")), -EPIPE);
	k = call(&w, 0);
	t_until(w.io, k->in_ended);
	assert_int_equal(buf_len(&k->in), GRPC_HEAD + 3);
	assert_int_equal(x.closed, 0);
	t_message(k, "answer", 6);
	t_finish(k, "0", "all%20is well");
	t_until(w.io, x.closed);
	assert_int_equal(x.messages, 1);
	assert_int_equal(x.status, GRPC_OK);
	assert_string_equal(x.text, "all is well");
	/* Both sides ended by themselves: nothing was reset. */
	t_until(w.io, k->closed);
	assert_int_equal(k->closed_code, 0);
	buf_done(&x.last);
	finish(&w);
}

static void test_server_ends_first(void **state)
{
	struct t_stream x = { 0 };
	struct t_call *k;
	struct world w;

	(void)state;
	begin(&w);
	t_open(&w.cl, &x);
	k = call(&w, 0);
	t_finish(k, "7", "no");
	t_until(w.io, x.closed);
	assert_int_equal(x.status, GRPC_PERMISSION_DENIED);
	assert_string_equal(x.text, "no");
	/* Our half does not linger in the server. */
	t_until(w.io, k->closed);
	finish(&w);
}

static void test_reset_by_us(void **state)
{
	struct t_stream x = { 0 }, y = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	w.sv.echo = true;
	t_open(&w.cl, &x);
	t_open(&w.cl, &y);
	call(&w, 1);
	grpc_stream_send(x.st, SLICE("never told"));
	grpc_stream_reset(x.st);
	t_until(w.io, w.sv.calls[0].closed);
	assert_int_equal(w.sv.calls[0].closed_code, NGHTTP2_CANCEL);
	grpc_stream_send(y.st, SLICE("told"));
	t_until(w.io, y.messages == 1);
	assert_int_equal(x.messages + x.closed, 0);
	buf_done(&y.last);
	finish(&w);
}

/* A stream that the server has not heard of yet. */
static void test_reset_at_once(void **state)
{
	struct t_stream x = { 0 }, y = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	for (int i = 0; i < 5; i++) {
		t_open(&w.cl, &x);
		grpc_stream_send(x.st, SLICE("x"));
		grpc_stream_reset(x.st);
	}
	w.sv.echo = true;
	t_open(&w.cl, &y);
	grpc_stream_send(y.st, SLICE("y"));
	t_until(w.io, y.messages == 1);
	assert_int_equal(x.closed, 0);
	buf_done(&y.last);
	finish(&w);
}

static void reset_code(uint32_t code, int status)
{
	struct t_stream x = { 0 };
	struct world w;

	begin(&w);
	t_open(&w.cl, &x);
	t_reset(call(&w, 0), code);
	t_until(w.io, x.closed);
	assert_int_equal(x.status, status);
	assert_true(t_has(x.text, nghttp2_http2_strerror(code)));
	assert_true(grpc_channel_is_up(w.cl.ch));
	finish(&w);
}

static void test_reset_by_the_server(void **state)
{
	(void)state;
	reset_code(NGHTTP2_REFUSED_STREAM, GRPC_UNAVAILABLE);
	reset_code(NGHTTP2_CANCEL, GRPC_CANCELLED);
	reset_code(NGHTTP2_ENHANCE_YOUR_CALM, GRPC_RESOURCE_EXHAUSTED);
	reset_code(NGHTTP2_INTERNAL_ERROR, GRPC_INTERNAL);
}

struct answer {
	const char *http, *type, *status, *text;
	bool ends;
	int want;
	const char *want_text;
};

static void answered(const struct answer *a)
{
	struct t_stream x = { 0 };
	struct t_call *k;
	struct world w;

	begin(&w);
	w.sv.no_answer = true;
	t_open(&w.cl, &x);
	k = call(&w, 0);
	t_head(k, a->http, a->type, a->status, a->text, a->ends);
	t_conn_pump(k->conn);
	t_until(w.io, x.closed);
	assert_int_equal(x.status, a->want);
	assert_true(t_has(x.text, a->want_text));
	t_until(w.io, k->closed);
	finish(&w);
}

static void test_answers(void **state)
{
	static const struct answer v[] = {
		{ "200", "application/grpc", "12", "unknown service", true, GRPC_UNIMPLEMENTED,
		  "unknown service" },
		{ "200", "application/grpc+proto", "0", NULL, true, GRPC_OK, "" },
		{ "200", "application/grpc", "bad", "x", true, GRPC_UNKNOWN, "x" },
		{ "200", "application/grpc", NULL, NULL, true, GRPC_INTERNAL, "without a status" },
		{ "503", "text/plain", NULL, NULL, false, GRPC_UNAVAILABLE, "HTTP status 503" },
		{ "401", NULL, NULL, NULL, true, GRPC_UNAUTHENTICATED, "HTTP status 401" },
		{ "404", "text/html", NULL, NULL, true, GRPC_UNIMPLEMENTED, "HTTP status 404" },
		{ "200", "text/html", NULL, NULL, false, GRPC_UNKNOWN, "content-type" },
		{ "403", "application/grpc", "7", "denied", true, GRPC_PERMISSION_DENIED,
		  "denied" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		answered(&v[i]);
}

static void test_ends_without_trailers(void **state)
{
	struct t_stream x = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	t_open(&w.cl, &x);
	t_finish(call(&w, 0), NULL, NULL);
	t_until(w.io, x.closed);
	assert_int_equal(x.status, GRPC_INTERNAL);
	assert_true(t_has(x.text, "without a status"));
	finish(&w);
}

static void test_ends_within_a_message(void **state)
{
	struct t_stream x = { 0 };
	struct t_call *k;
	struct world w;

	(void)state;
	begin(&w);
	t_open(&w.cl, &x);
	k = call(&w, 0);
	t_send(k, "\0\0\0\0\5abc", 8);
	t_finish(k, "0", "");
	t_until(w.io, x.closed);
	assert_int_equal(x.messages, 0);
	assert_int_equal(x.status, GRPC_INTERNAL);
	assert_true(t_has(x.text, "within a message"));
	finish(&w);
}

static void test_bad_framing_ends_one_stream(void **state)
{
	struct t_stream x = { 0 }, y = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	t_open(&w.cl, &x);
	t_open(&w.cl, &y);
	call(&w, 1);
	t_send(&w.sv.calls[0], "\0\0\0\0\2ok\1\0\0\0\1z\0\0\0\0\1n", 19);
	t_until(w.io, x.closed);
	assert_int_equal(x.messages, 1); /* the good one before it */
	assert_int_equal(x.status, GRPC_INTERNAL);
	assert_true(t_has(x.text, "compressed"));
	t_message(&w.sv.calls[1], "fine", 4);
	t_until(w.io, y.messages == 1);
	buf_done(&x.last);
	buf_done(&y.last);
	finish(&w);
}

static void test_message_over_the_limit(void **state)
{
	struct t_stream x = { .drop = true }, y = { .drop = true };
	struct world w = { .io = t_io_new() };
	const char *at = w.sv.text;
	struct grpc_opts o = T_OPTS(.addresses = &at, .message_max = 100000);
	struct grpc_channel_info info;

	(void)state;
	t_server_start(&w.sv, w.io);
	t_client_start(&w.cl, w.io, &o);
	t_until(w.io, w.cl.ups);
	t_open(&w.cl, &x);
	t_open(&w.cl, &y);
	call(&w, 1);
	t_message_of(&w.sv.calls[0], 100000);
	t_until(w.io, x.messages == 1);
	t_message_of(&w.sv.calls[0], 100001);
	t_message_of(&w.sv.calls[0], 5000000);
	t_until(w.io, x.closed);
	assert_int_equal(x.status, GRPC_RESOURCE_EXHAUSTED);
	assert_true(t_has(x.text, "100001 bytes, 100000 allowed"));
	t_message_of(&w.sv.calls[1], 100000);
	t_until(w.io, y.messages == 1);
	grpc_channel_info_get(w.cl.ch, &info);
	assert_int_equal(info.held, 0);
	assert_int_equal(info.streams, 1);
	finish(&w);
}

/* ---- flow control ---------------------------------------------------------------------------- */

/* While one stream takes 48 MiB, another is answered many times. */
static void test_big_push_does_not_stall_others(void **state)
{
	struct t_stream big = { .drop = true }, small = { 0 };
	int before = 0;
	struct world w;

	(void)state;
	begin(&w);
	t_open(&w.cl, &big);
	t_open(&w.cl, &small);
	call(&w, 1);
	t_message_of(&w.sv.calls[0], 48u << 20);
	while (!big.messages) {
		int n = small.messages;

		t_message(&w.sv.calls[1], "tick", 4);
		t_until(w.io, small.messages > n);
		before += !big.messages;
	}
	assert_true(before >= 10);
	assert_int_equal(big.bytes, 48u << 20);
	buf_done(&small.last);
	finish(&w);
}

/* Eight streams begin 16 MiB each: what is held stays bounded, and all of them end. */
static void test_held_is_bounded(void **state)
{
	enum { N = 8, SIZE = 16u << 20 };
	struct t_stream x[N] = { 0 };
	uint64_t most = 0;
	int done = 0;
	struct world w;

	(void)state;
	begin(&w);
	for (int i = 0; i < N; i++) {
		x[i].drop = true;
		t_open(&w.cl, &x[i]);
	}
	call(&w, N - 1);
	for (int i = 0; i < N; i++)
		t_message_of(&w.sv.calls[i], SIZE);
	while (done < N) {
		struct grpc_channel_info info;

		io_run_once(w.io, 10);
		grpc_channel_info_get(w.cl.ch, &info);
		most = info.held > most ? info.held : most;
		done = 0;
		for (int i = 0; i < N; i++)
			done += x[i].messages;
	}
	assert_true(most > GRPC_HELD_MAX / 2); /* they did come side by side */
	if (most > GRPC_HELD_MAX + SIZE + 2 * N * GRPC_WINDOW)
		fail_msg("%" PRIu64 " bytes were held", most);
	finish(&w);
}

/* What still comes for streams that we cut off does not use up the connection's window. */
static void test_bytes_of_cut_streams_are_granted_again(void **state)
{
	struct world w = { .io = t_io_new() };
	const char *at = w.sv.text;
	struct grpc_opts o = T_OPTS(.addresses = &at, .message_max = 1000);
	struct t_stream x = { 0 };

	(void)state;
	t_server_start(&w.sv, w.io);
	t_client_start(&w.cl, w.io, &o);
	t_until(w.io, w.cl.ups);
	/* Each sends a whole window before it hears of the end. */
	for (int i = 0; i < 40; i++) {
		t_open(&w.cl, &x);
		t_message_of(call(&w, i), GRPC_WINDOW);
		t_until(w.io, x.closed == i + 1);
		assert_int_equal(x.status, GRPC_RESOURCE_EXHAUSTED);
	}
	t_open(&w.cl, &x);
	for (int i = 0; i < 100; i++)
		t_message_of(call(&w, 40), 1000);
	t_until(w.io, x.messages == 100);
	buf_done(&x.last);
	finish(&w);
}

/* ---- the server's limit of streams ----------------------------------------------------------- */

static void test_streams_wait_for_their_turn(void **state)
{
	struct world w = { .io = t_io_new() };
	struct t_stream x[5] = { 0 };
	const char *at = w.sv.text;
	struct grpc_opts o = T_OPTS(.addresses = &at);

	(void)state;
	t_server_start(&w.sv, w.io);
	w.sv.max_streams = 2;
	t_client_start(&w.cl, w.io, &o);
	t_until(w.io, w.cl.ups);
	for (int i = 0; i < 5; i++) {
		t_open(&w.cl, &x[i]);
		grpc_stream_send(x[i].st, slice_of(&"01234"[i], 1));
	}
	call(&w, 1);
	t_for_ms(w.io, 30);
	assert_int_equal(w.sv.n_calls, 2);
	grpc_stream_reset(x[2].st); /* one that waits */
	grpc_stream_reset(x[0].st);
	t_until(w.io, w.sv.n_calls == 3 && buf_len(&w.sv.calls[2].in) == GRPC_HEAD + 1);
	assert_int_equal(buf_ptr(&w.sv.calls[2].in)[GRPC_HEAD], '3');
	/* The connection ends: those that still wait are told too. */
	t_conn_close(&w.sv.conns[0]);
	t_until(w.io, x[4].closed);
	assert_int_equal(x[0].closed + x[2].closed, 0);
	assert_int_equal(x[1].closed + x[3].closed + x[4].closed, 3);
	assert_int_equal(x[4].status, GRPC_UNAVAILABLE);
	finish(&w);
}

static void test_send_limit(void **state)
{
	size_t n = GRPC_OUT_MAX / 4;
	struct t_stream x = { 0 };
	char *p = xcalloc(1, n);
	struct world w;
	int r = 0, sent = 0;

	(void)state;
	begin(&w);
	t_open(&w.cl, &x);
	while (sent < 6 && (r = grpc_stream_send(x.st, slice_of(p, n))) == 0)
		sent++;
	assert_int_equal(r, -ENOBUFS);
	assert_true(sent >= 3);
	assert_true(grpc_stream_pending(x.st) <= GRPC_OUT_MAX);
	grpc_stream_reset(x.st);
	free(p);
	finish(&w);
}

/* ---- calls from callbacks -------------------------------------------------------------------- */

static void do_reset(struct t_stream *x)
{
	grpc_stream_reset(x->st);
	x->st = NULL;
}

static void do_free(struct t_stream *x)
{
	struct t_client *cl = x->arg;

	grpc_channel_free(cl->ch);
	cl->ch = NULL;
}

static void do_reply(struct t_stream *x)
{
	if (x->messages < 50)
		assert_int_equal(grpc_stream_send(x->st, SLICE("again")), 0);
	else
		grpc_stream_close(x->st);
}

static void do_reopen(struct t_stream *x)
{
	if (x->closed < 5)
		t_open(x->arg, x);
}

static void test_reset_in_message(void **state)
{
	struct t_stream x = { .on_message = do_reset };
	struct world w;

	(void)state;
	begin(&w);
	t_open(&w.cl, &x);
	call(&w, 0);
	/* Two in one frame, one copied together: the second must not come. */
	t_send(&w.sv.calls[0], "\0\0\0\0\4ab", 7);
	t_for_ms(w.io, 20);
	t_send(&w.sv.calls[0], "cd\0\0\0\0\1x", 8);
	t_until(w.io, w.sv.calls[0].closed);
	assert_int_equal(x.messages, 1);
	assert_int_equal(x.closed, 0);
	buf_done(&x.last);
	finish(&w);
}

static void free_in(bool in_message, bool whole)
{
	struct t_stream x = { 0 }, y = { 0 };
	struct world w;

	begin(&w);
	x.arg = &w.cl;
	*(in_message ? &x.on_message : &x.on_closed) = do_free;
	t_open(&w.cl, &x);
	t_open(&w.cl, &y);
	call(&w, 1);
	if (!whole) {
		t_send(&w.sv.calls[0], "\0\0\0\0\4ab", 7);
		t_for_ms(w.io, 20);
		t_send(&w.sv.calls[0], "cd\0\0\0\0\1x", 8);
	} else {
		t_send(&w.sv.calls[0], "\0\0\0\0\1x\0\0\0\0\1y", 12);
	}
	t_message(&w.sv.calls[1], "other", 5);
	t_finish(&w.sv.calls[0], "0", "");
	t_until(w.io, !w.cl.ch);
	t_until(w.io, w.sv.conns[0].over);
	assert_true(x.messages >= 1);
	assert_int_equal(y.closed, 0);
	buf_done(&x.last);
	buf_done(&y.last);
	finish(&w);
}

static void test_free_in_callbacks(void **state)
{
	(void)state;
	free_in(true, true);
	free_in(true, false);
	free_in(false, true);
}

static void test_send_in_message(void **state)
{
	struct t_stream x = { .on_message = do_reply };
	struct world w;

	(void)state;
	begin(&w);
	w.sv.echo = true;
	t_open(&w.cl, &x);
	grpc_stream_send(x.st, SLICE("first"));
	t_until(w.io, w.sv.n_calls && w.sv.calls[0].in_ended);
	assert_int_equal(x.messages, 50);
	buf_done(&x.last);
	finish(&w);
}

static void test_open_in_closed(void **state)
{
	struct t_stream x = { .on_closed = do_reopen };
	struct world w;

	(void)state;
	begin(&w);
	x.arg = &w.cl;
	t_open(&w.cl, &x);
	for (int i = 0; i < 5; i++)
		t_finish(call(&w, i), "14", "again");
	t_until(w.io, x.closed == 5);
	assert_int_equal(w.sv.n_calls, 5);
	finish(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_headers),
	cmocka_unit_test(test_echo),
	cmocka_unit_test(test_big_messages_both_ways),
	cmocka_unit_test(test_half_close_then_trailers),
	cmocka_unit_test(test_server_ends_first),
	cmocka_unit_test(test_reset_by_us),
	cmocka_unit_test(test_reset_at_once),
	cmocka_unit_test(test_reset_by_the_server),
	cmocka_unit_test(test_answers),
	cmocka_unit_test(test_ends_without_trailers),
	cmocka_unit_test(test_ends_within_a_message),
	cmocka_unit_test(test_bad_framing_ends_one_stream),
	cmocka_unit_test(test_message_over_the_limit),
	cmocka_unit_test(test_big_push_does_not_stall_others),
	cmocka_unit_test(test_held_is_bounded),
	cmocka_unit_test(test_bytes_of_cut_streams_are_granted_again),
	cmocka_unit_test(test_streams_wait_for_their_turn),
	cmocka_unit_test(test_send_limit),
	cmocka_unit_test(test_reset_in_message),
	cmocka_unit_test(test_free_in_callbacks),
	cmocka_unit_test(test_send_in_message),
	cmocka_unit_test(test_open_in_closed),
};

int main(void)
{
	signal(SIGPIPE, SIG_DFL);
	log_level_set(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
