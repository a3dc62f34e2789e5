/* SPDX-License-Identifier: Apache-2.0 */
/* TLS engines against each other, without sockets: handshakes in pieces, names, files, ends. */
#include "tests/unit/io/t_cert.h"

#include <errno.h>
#include <sys/wait.h>

#include "io/tls.h"

static struct t_ca ca, other;
static char *ca_file, *other_file, *good_crt, *good_key, *client_crt, *client_key;

static int make_files(void **state)
{
	(void)state;
	t_ca_open(&ca, NULL, "ca.crt");
	t_ca_open(&other, &ca, "other.crt");
	t_leaf(&ca, "good", "DNS:good.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1");
	t_leaf(&ca, "client", "URI:spiffe://cluster.local/ns/a/sa/b");
	ca_file = t_cert_path(&ca, "ca.crt");
	other_file = t_cert_path(&ca, "other.crt");
	good_crt = t_cert_path(&ca, "good.crt");
	good_key = t_cert_path(&ca, "good.key");
	client_crt = t_cert_path(&ca, "client.crt");
	client_key = t_cert_path(&ca, "client.key");
	return 0;
}

static int remove_files(void **state)
{
	char **all[] = { &ca_file, &other_file, &good_crt, &good_key, &client_crt, &client_key };

	(void)state;
	t_ca_close(&other, false);
	t_ca_close(&ca, true);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		free(*all[i]);
	return 0;
}

struct side {
	struct tls_ctx *ctx;
	struct tls *tls;
	struct buf in, plain;
	struct err e;
	int rc;
};

struct pair {
	struct side cl, sv;
};

static void side_open(struct side *s, const struct tls_opts *o, const char *name)
{
	*s = (struct side){ .rc = 0 };
	if (tls_ctx_new(o, &s->ctx, &s->e) < 0)
		fail_msg("%s", s->e.text);
	s->tls = tls_new(s->ctx, name);
}

static void side_close(struct side *s)
{
	tls_free(s->tls);
	tls_ctx_free(s->ctx);
	buf_done(&s->in);
	buf_done(&s->plain);
}

static void pair_open(struct pair *p, const struct tls_opts *cl, const struct tls_opts *sv,
		      const char *name)
{
	side_open(&p->cl, cl, name);
	side_open(&p->sv, sv, NULL);
}

static void pair_close(struct pair *p)
{
	side_close(&p->cl);
	side_close(&p->sv);
}

/* Gives @s what waits for it, @step bytes at a time. */
static bool side_run(struct side *s, struct side *peer, size_t step)
{
	bool any = buf_len(&s->in);

	while (buf_len(&s->in) && s->rc == 0) {
		size_t n = buf_len(&s->in) < step ? buf_len(&s->in) : step;

		s->rc = tls_read(s->tls, buf_ptr(&s->in), n, &s->plain, &peer->in, &s->e);
		buf_consume(&s->in, n);
	}
	buf_clear(&s->in);
	return any;
}

static void run(struct pair *p, size_t step)
{
	if (!tls_is_ready(p->cl.tls) && p->cl.rc == 0)
		p->cl.rc = tls_read(p->cl.tls, NULL, 0, &p->cl.plain, &p->sv.in, &p->cl.e);
	while ((int)side_run(&p->sv, &p->cl, step) | (int)side_run(&p->cl, &p->sv, step))
		;
}

static struct tls_opts client_opts(void)
{
	return (struct tls_opts){ .ca_file = ca_file, .alpn = "h2" };
}

static struct tls_opts server_opts(void)
{
	return (struct tls_opts){
		.is_server = true, .cert_file = good_crt, .key_file = good_key, .alpn = "h2"
	};
}

static void test_pieces_of_every_size(void **state)
{
	static const size_t steps[] = { 1, 2, 5, 100, 1000, 1u << 30 };
	struct tls_opts co = client_opts(), so = server_opts();
	char big[100000];

	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + i / 256);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct pair p;
		struct err e;

		pair_open(&p, &co, &so, "good.test");
		assert_int_equal(tls_write(p.cl.tls, "x", 1, &p.sv.in, &e), -EPROTO); /* early */
		run(&p, steps[i]);
		assert_true(tls_is_ready(p.cl.tls) && tls_is_ready(p.sv.tls));
		assert_string_equal(tls_version(p.cl.tls), "TLSv1.3");
		assert_int_equal(tls_write(p.cl.tls, big, sizeof(big), &p.sv.in, &e), 0);
		assert_int_equal(tls_write(p.sv.tls, "hello", 5, &p.cl.in, &e), 0);
		assert_int_equal(tls_write(p.sv.tls, NULL, 0, &p.cl.in, &e), 0);
		run(&p, steps[i]);
		assert_int_equal(buf_len(&p.sv.plain), sizeof(big));
		assert_memory_equal(buf_ptr(&p.sv.plain), big, sizeof(big));
		assert_true(slice_is_equal(buf_slice(&p.cl.plain), SLICE("hello")));
		tls_shutdown(p.cl.tls, &p.sv.in);
		run(&p, steps[i]);
		assert_int_equal(p.sv.rc, 1);
		pair_close(&p);
	}
}

/* A client with @co wants @name of a server with @so: the reason, or NULL when they agree. */
static const char *outcome(const struct tls_opts *co, const struct tls_opts *so, const char *name)
{
	static struct err said;
	struct pair p;
	struct err e;

	pair_open(&p, co, so, name);
	run(&p, 4096);
	/* In TLS 1.3 a client learns only by the next answer that it is not wanted. */
	if (tls_is_ready(p.sv.tls)) {
		assert_int_equal(tls_write(p.sv.tls, "ok", 2, &p.cl.in, &e), 0);
		run(&p, 4096);
	}
	said.text[0] = '\0';
	if (p.cl.rc < 0)
		said = p.cl.e;
	else
		assert_true(buf_len(&p.cl.plain) == 2);
	pair_close(&p);
	return said.text[0] ? said.text : NULL;
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} v[] = {
		{ "good.test", true },    { "GOOD.test", true },  { "a.wild.test", true },
		{ "127.0.0.1", true },    { "::1", true },        { "bad.test", false },
		{ "x.good.test", false }, { "wild.test", false }, { "a.b.wild.test", false },
		{ "127.0.0.2", false },   { "good", false },
	};
	struct tls_opts co = client_opts(), so = server_opts();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		const char *why = outcome(&co, &so, v[i].name);

		if (!why != v[i].good)
			fail_msg("%s: %s", v[i].name, why ? why : "accepted");
		if (why)
			assert_non_null(strstr(why, "mismatch"));
	}
}

static void test_unknown_ca(void **state)
{
	struct tls_opts co = client_opts(), so = server_opts();
	const char *why;

	(void)state;
	co.ca_file = other_file;
	why = outcome(&co, &so, "good.test");
	assert_non_null(why);
	assert_non_null(strstr(why, "certificate is not accepted"));
	co.ca_file = NULL; /* the system's do not know it either */
	assert_non_null(outcome(&co, &so, "good.test"));
}

static void test_client_certificate(void **state)
{
	struct tls_opts co = client_opts(), so = server_opts();

	(void)state;
	so.need_peer_cert = true;
	so.ca_file = ca_file;
	assert_non_null(outcome(&co, &so, "good.test"));
	co.cert_file = client_crt;
	co.key_file = client_key;
	assert_null(outcome(&co, &so, "good.test"));
	so.ca_file = other_file;
	assert_non_null(outcome(&co, &so, "good.test"));
}

static void test_alpn(void **state)
{
	struct tls_opts co = client_opts(), so = server_opts();

	(void)state;
	so.alpn = "http/1.1";
	assert_non_null(outcome(&co, &so, "good.test"));
	so.alpn = NULL; /* a server that does not know of it */
	assert_non_null(strstr(outcome(&co, &so, "good.test"), "ALPN"));
	co.alpn = NULL;
	assert_null(outcome(&co, &so, "good.test"));
}

static void test_garbage(void **state)
{
	struct tls_opts co = client_opts();
	struct buf plain = { 0 }, out = { 0 };
	struct side s;

	(void)state;
	side_open(&s, &co, "good.test");
	assert_int_equal(tls_read(s.tls, NULL, 0, &plain, &out, &s.e), 0);
	assert_true(buf_len(&out) > 0);
	assert_int_equal(tls_read(s.tls, "HTTP/1.1 400 Bad Request\r\n", 26, &plain, &out, &s.e),
			 -EPROTO);
	assert_true(s.e.text[0]);
	assert_int_equal(tls_read(s.tls, "x", 1, &plain, &out, &s.e), -EPROTO);
	assert_int_equal(buf_len(&plain), 0);
	buf_done(&out);
	side_close(&s);
}

/* A changed byte in a record ends the connection, and nothing of it is plaintext. */
static void test_tampered_record(void **state)
{
	struct tls_opts co = client_opts(), so = server_opts();
	struct pair p;
	struct err e;

	(void)state;
	pair_open(&p, &co, &so, "good.test");
	run(&p, 4096);
	assert_int_equal(tls_write(p.cl.tls, "secret", 6, &p.sv.in, &e), 0);
	buf_ptr(&p.sv.in)[buf_len(&p.sv.in) - 3] ^= 1;
	run(&p, 4096);
	assert_int_equal(p.sv.rc, -EPROTO);
	assert_int_equal(buf_len(&p.sv.plain), 0);
	pair_close(&p);
}

static void move(const char *name, const char *to)
{
	char *from = t_cert_path(&ca, name);

	assert_int_equal(rename(from, to), 0);
	free(from);
}

static void test_reload(void **state)
{
	struct tls_opts co = client_opts();
	struct tls_ctx *ctx;
	struct err e;

	(void)state;
	t_leaf(&ca, "turn", "URI:spiffe://x");
	co.cert_file = t_cert_path(&ca, "turn.crt");
	co.key_file = t_cert_path(&ca, "turn.key");
	assert_int_equal(tls_ctx_new(&co, &ctx, &e), 0);
	assert_int_equal(tls_ctx_reload(ctx, &e), 0);
	t_leaf(&ca, "turn", "URI:spiffe://x");
	assert_int_equal(tls_ctx_reload(ctx, &e), 1);
	assert_int_equal(tls_ctx_reload(ctx, &e), 0);
	/* Half of a rotation: the key is new, the certificate old. */
	t_leaf(&ca, "next", "URI:spiffe://x");
	move("next.key", co.key_file);
	assert_true(tls_ctx_reload(ctx, &e) < 0);
	assert_non_null(strstr(e.text, "turn.key"));
	move("next.crt", co.cert_file);
	assert_int_equal(tls_ctx_reload(ctx, &e), 1);
	unlink(co.cert_file);
	assert_true(tls_ctx_reload(ctx, &e) < 0);
	tls_free(tls_new(ctx, "still.works"));
	tls_ctx_free(ctx);
	free((char *)co.cert_file);
	free((char *)co.key_file);
}

static void test_bad_options(void **state)
{
	struct tls_opts v[] = {
		{ .cert_file = good_crt },
		{ .key_file = good_key },
		{ .is_server = true },
		{ .is_server = true,
		  .cert_file = good_crt,
		  .key_file = good_key,
		  .need_peer_cert = true },
		{ .ca_file = "/no/such/file" },
		{ .ca_file = "/tmp" },
		{ .ca_file = good_key },
		{ .cert_file = good_crt, .key_file = client_key },
		{ .cert_file = good_key, .key_file = good_key },
		{ .alpn = "" },
		{ .alpn = "0123456789012345678901234567890123456789" },
	};
	struct tls_ctx *ctx;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct err e = { .text = "" };

		if (tls_ctx_new(&v[i], &ctx, &e) >= 0)
			fail_msg("case %zu is accepted", i);
		assert_true(e.text[0]);
	}
}

/* The file of the key @name again, encrypted; free it. */
static char *encrypted_key(const char *name)
{
	char *path = t_cert_path(&ca, name);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), (const unsigned char *)"word",
					 4, NULL, NULL));
	fclose(f);
	EVP_PKEY_free(key);
	return path;
}

/* Nobody is asked for a password, not even somebody who would know it: skiffd would wait for it. */
static void test_encrypted_key(void **state)
{
	struct tls_opts o = { .cert_file = good_crt, .key_file = encrypted_key("encrypted.key") };
	struct tls_ctx *ctx;
	int in[2], status;
	struct err e;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(write(in[1], "word\n", 5), 5);
	close(in[1]);
	child = fork();
	if (child == 0) {
		setsid(); /* no terminal: it would be asked before the standard input is */
		dup2(in[0], 0);
		_exit(tls_ctx_new(&o, &ctx, &e) < 0 && strstr(e.text, "encrypted.key") &&
				      read(0, &status, 1) == 1 ?
			      0 :
			      1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(in[0]);
	free((char *)o.key_file);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_pieces_of_every_size),
	cmocka_unit_test(test_names),
	cmocka_unit_test(test_unknown_ca),
	cmocka_unit_test(test_client_certificate),
	cmocka_unit_test(test_alpn),
	cmocka_unit_test(test_garbage),
	cmocka_unit_test(test_tampered_record),
	cmocka_unit_test(test_reload),
	cmocka_unit_test(test_bad_options),
	cmocka_unit_test(test_encrypted_key),
};

int main(void)
{
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
