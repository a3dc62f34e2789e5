/* SPDX-License-Identifier: Apache-2.0 */
/* Channels over TLS: names, client certificates, tokens, and files that change under way. */
#include "tests/unit/io/t_cert.h"
#include "tests/unit/xds/t_grpc.h"

static struct t_ca ca, other;
static char *ca_file, *other_file, *crt, *key, *client_crt, *client_key, *token_file;

static int make_files(void **state)
{
	(void)state;
	t_ca_open(&ca, NULL, "ca.crt");
	t_ca_open(&other, &ca, "other.crt");
	t_leaf(&ca, "server", "DNS:istiod.test,IP:127.0.0.1");
	ca_file = t_cert_path(&ca, "ca.crt");
	other_file = t_cert_path(&ca, "other.crt");
	crt = t_cert_path(&ca, "server.crt");
	key = t_cert_path(&ca, "server.key");
	client_crt = t_cert_path(&ca, "client.crt");
	client_key = t_cert_path(&ca, "client.key");
	token_file = t_cert_path(&ca, "token");
	return 0;
}

static int remove_files(void **state)
{
	char **all[] = { &ca_file, &other_file, &crt, &key, &client_crt, &client_key, &token_file };

	(void)state;
	t_ca_close(&other, false);
	t_ca_close(&ca, true);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		free(*all[i]);
	return 0;
}

struct world {
	struct io *io;
	struct t_server sv;
	struct t_client cl;
	const char *at;
	struct grpc_opts o;
};

static void server_tls(struct world *w, const struct tls_opts *so)
{
	struct err e;

	if (tls_ctx_new(so, &w->sv.tls, &e) < 0)
		fail_msg("%s", e.text);
}

static struct tls_opts server_opts(void)
{
	return (struct tls_opts){
		.is_server = true, .cert_file = crt, .key_file = key, .alpn = "h2"
	};
}

static void begin(struct world *w, const struct tls_opts *so)
{
	struct grpc_opts o = T_OPTS(.tls = true, .ca_file = ca_file);

	*w = (struct world){ .io = t_io_new(), .o = o };
	t_server_start(&w->sv, w->io);
	if (so)
		server_tls(w, so);
	w->at = w->sv.text;
	w->o.addresses = &w->at;
}

static void finish(struct world *w)
{
	grpc_channel_free(w->cl.ch);
	t_for_ms(w->io, 20);
	t_server_stop(&w->sv);
	t_io_free(w->io);
}

static void test_messages(void **state)
{
	struct tls_opts so = server_opts();
	struct t_stream x = { 0 };
	char *big = xmalloc(3u << 20);
	struct world w;

	(void)state;
	memset(big, 'b', 3u << 20);
	begin(&w, &so);
	w.sv.echo = true;
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.ups == 1);
	t_open(&w.cl, &x);
	for (int i = 0; i < 4; i++)
		grpc_stream_send(x.st, slice_of(big, 3u << 20));
	t_until(w.io, x.messages == 4);
	assert_int_equal(x.bytes, 12u << 20);
	assert_memory_equal(buf_ptr(&x.last), big, 3u << 20);
	grpc_channel_free(w.cl.ch);
	w.cl.ch = NULL;
	t_until(w.io, w.sv.conns[0].over);
	buf_done(&x.last);
	free(big);
	finish(&w);
}

/* The name that is checked is server_name, else the host of the address. */
static void name_is(const char *server_name, const char *host, bool good)
{
	struct tls_opts so = server_opts();
	struct world w;
	char at[64];

	begin(&w, &so);
	snprintf(at, sizeof(at), "%s:%u", host, w.sv.at.port);
	w.at = at;
	w.o.server_name = server_name;
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.ups + w.cl.downs);
	assert_int_equal(w.cl.ups, good);
	if (!good)
		assert_true(t_has(w.cl.reason, "mismatch"));
	finish(&w);
}

static void test_names(void **state)
{
	(void)state;
	name_is("istiod.test", "127.0.0.1", true);
	name_is(NULL, "127.0.0.1", true);
	name_is("other.test", "127.0.0.1", false);
	name_is(NULL, "localhost", false);
	name_is("istiod.test", "localhost", true);
}

static void test_unknown_ca(void **state)
{
	struct tls_opts so = server_opts();
	struct world w;

	(void)state;
	begin(&w, &so);
	w.o.ca_file = other_file;
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.downs == 1);
	assert_true(t_has(w.cl.reason, "certificate is not accepted"));
	assert_int_equal(w.cl.ups, 0);
	finish(&w);
}

static void test_plaintext_server(void **state)
{
	struct world w;

	(void)state;
	begin(&w, NULL);
	w.sv.first = SLICE("HTTP/1.1 400 Bad Request\r\n\r\n");
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.downs == 1);
	assert_true(t_has(w.cl.reason, "TLS"));
	finish(&w);
}

static void test_server_that_does_not_shake_hands(void **state)
{
	struct tls_opts so = server_opts();
	struct world w;

	(void)state;
	begin(&w, &so);
	w.sv.silent = true;
	w.o.connect_timeout_ms = 100;
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.downs == 1);
	assert_true(t_has(w.cl.reason, "handshake"));
	finish(&w);
}

static void test_server_without_h2(void **state)
{
	struct tls_opts so = server_opts();
	struct world w;

	(void)state;
	so.alpn = NULL;
	begin(&w, &so);
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.downs == 1);
	assert_true(t_has(w.cl.reason, "ALPN"));
	finish(&w);
}

/* The certificate that the server accepts comes later, in the same files. */
static void test_client_certificate_changes(void **state)
{
	struct tls_opts so = server_opts();
	struct world w;

	(void)state;
	t_leaf(&other, "client", "URI:spiffe://cluster.local/ns/a/sa/wrong");
	so.need_peer_cert = true;
	so.ca_file = ca_file;
	begin(&w, &so);
	w.o.cert_file = client_crt;
	w.o.key_file = client_key;
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.downs == 2);
	assert_int_equal(w.cl.ups, 0);
	t_leaf(&ca, "client", "URI:spiffe://cluster.local/ns/a/sa/right");
	t_until(w.io, w.cl.ups == 1);
	/* Files that are no good leave the last ones in force. */
	t_file_write(&ca, "client.crt", "half a certific");
	grpc_channel_reconnect(w.cl.ch, "test");
	t_until(w.io, w.cl.ups == 2);
	finish(&w);
}

static void test_files_come_late(void **state)
{
	struct tls_opts so = server_opts();
	struct world w;

	(void)state;
	begin(&w, &so);
	w.o.ca_file = t_cert_path(&ca, "late.crt");
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.downs == 2);
	assert_true(t_has(w.cl.reason, "late.crt: No such file"));
	t_cert_write(&ca, "late.crt", ca.cert, NULL);
	t_until(w.io, w.cl.ups == 1);
	free((char *)w.o.ca_file);
	finish(&w);
}

static void test_ca_file_changes(void **state)
{
	struct tls_opts so = server_opts();
	struct world w;

	(void)state;
	t_cert_write(&ca, "roots.crt", other.cert, NULL);
	begin(&w, &so);
	w.o.ca_file = t_cert_path(&ca, "roots.crt");
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.downs == 1);
	t_cert_write(&ca, "roots.crt", ca.cert, NULL);
	t_until(w.io, w.cl.ups == 1);
	free((char *)w.o.ca_file);
	finish(&w);
}

/* Opens a stream; what the server sees as its authorization. */
static const char *token_seen(struct world *w)
{
	struct t_stream x = { 0 };
	int n = w->sv.n_calls;

	t_open(&w->cl, &x);
	t_until(w->io, w->sv.n_calls > n && w->sv.calls[n].path[0]);
	grpc_stream_reset(x.st);
	return w->sv.calls[n].authorization;
}

static void no_stream(struct world *w, const char *want)
{
	struct err e;

	assert_null(grpc_stream_open(w->cl.ch, T_METHOD, &t_stream_ops, NULL, &e));
	assert_true(t_has(e.text, want));
}

static void test_token_is_read_for_each_stream(void **state)
{
	struct tls_opts so = server_opts();
	char *big = xcalloc(1, GRPC_TOKEN_MAX + 2);
	struct world w;

	(void)state;
	begin(&w, &so);
	w.o.token_file = token_file;
	unlink(token_file);
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.ups == 1);
	no_stream(&w, "No such file");
	t_file_write(&ca, "token", "one.two.three\n");
	assert_string_equal(token_seen(&w), "Bearer one.two.three");
	t_file_write(&ca, "token", "four.five.six");
	assert_string_equal(token_seen(&w), "Bearer four.five.six");
	t_file_write(&ca, "token", " \n");
	no_stream(&w, "no token");
	t_file_write(&ca, "token", "a\r\nx-evil: b");
	no_stream(&w, "not a bearer token");
	memset(big, 'x', GRPC_TOKEN_MAX + 1);
	t_file_write(&ca, "token", big);
	no_stream(&w, "over 65536 bytes");
	free(big);
	finish(&w);
}

static void test_broken_off(void **state)
{
	struct tls_opts so = server_opts();
	struct t_stream x = { 0 };
	struct world w;

	(void)state;
	begin(&w, &so);
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.ups == 1);
	t_open(&w.cl, &x);
	t_until(w.io, w.sv.n_calls == 1);
	t_conn_close(&w.sv.conns[0]); /* without TLS's goodbye */
	t_until(w.io, w.cl.downs == 1);
	assert_int_equal(x.closed, 1);
	assert_int_equal(x.status, GRPC_UNAVAILABLE);
	t_until(w.io, w.cl.ups == 2);
	finish(&w);
}

static void do_free(struct t_stream *x)
{
	struct t_client *cl = x->arg;

	grpc_channel_free(cl->ch);
	cl->ch = NULL;
}

/* The bytes of the message come out of the TLS engine that is freed meanwhile. */
static void test_free_in_message(void **state)
{
	struct tls_opts so = server_opts();
	struct t_stream x = { .on_message = do_free };
	struct world w;

	(void)state;
	begin(&w, &so);
	x.arg = &w.cl;
	t_client_start(&w.cl, w.io, &w.o);
	t_until(w.io, w.cl.ups == 1);
	t_open(&w.cl, &x);
	t_until(w.io, w.sv.n_calls == 1);
	t_send(&w.sv.calls[0], "\0\0\0\0\1x\0\0\0\0\1y", 12);
	t_until(w.io, !w.cl.ch);
	assert_int_equal(x.messages, 1);
	buf_done(&x.last);
	finish(&w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_messages),
	cmocka_unit_test(test_names),
	cmocka_unit_test(test_unknown_ca),
	cmocka_unit_test(test_plaintext_server),
	cmocka_unit_test(test_server_that_does_not_shake_hands),
	cmocka_unit_test(test_server_without_h2),
	cmocka_unit_test(test_client_certificate_changes),
	cmocka_unit_test(test_files_come_late),
	cmocka_unit_test(test_ca_file_changes),
	cmocka_unit_test(test_token_is_read_for_each_stream),
	cmocka_unit_test(test_broken_off),
	cmocka_unit_test(test_free_in_message),
};

int main(void)
{
	signal(SIGPIPE, SIG_DFL);
	log_level_set(LOG_ERROR);
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
