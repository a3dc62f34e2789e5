/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS over memory BIOs. Each tls_read puts the peer's bytes into one BIO, lets OpenSSL go on as
 * far as it can, and empties the other BIO into the owner's output; so nothing ever waits inside.
 */
#include "io/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#define ALPN_MAX 32
#define PLAIN_STEP 16384 /* a record's plaintext */

/* What tells one content of a file from another without reading it. */
struct file_mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec modified, changed;
};

enum { FILE_CA, FILE_CERT, FILE_KEY, N_FILES };

struct tls_ctx {
	SSL_CTX *ssl;
	char *files[N_FILES];
	struct file_mark marks[N_FILES];
	bool is_server, need_peer_cert;
	unsigned char alpn[ALPN_MAX]; /* in TLS's form: length and name */
	unsigned int alpn_len;
};

struct tls {
	SSL *ssl;
	BIO *in, *out; /* owned by ssl */
	bool wants_alpn;
	bool failed;
};

/* ---- reasons --------------------------------------------------------------------------------- */

/* The oldest entry says what went wrong, the later ones who was in the way. */
static int ssl_fail(struct err *e, int code, const char *what)
{
	unsigned long n = ERR_get_error();
	const char *reason = n ? ERR_reason_error_string(n) : NULL;

	ERR_clear_error();
	return err_set(e, code, "%s: %s", what, reason ? reason : "unknown error");
}

/* The certificate is for somebody else: for whom it should be. */
static int name_fail(const struct tls *t, long verify, struct err *e)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);
	char *ip = X509_VERIFY_PARAM_get1_ip_asc(p);
	const char *name = X509_VERIFY_PARAM_get0_host(p, 0);

	err_set(e, -EPROTO, "TLS: the peer's certificate is not accepted: %s, it is not for %s",
		X509_verify_cert_error_string(verify), ip ? ip : name ? name : "it");
	OPENSSL_free(ip);
	return -EPROTO;
}

static int handshake_fail(const struct tls *t, struct err *e)
{
	long verify = SSL_get_verify_result(t->ssl);

	if (verify == X509_V_OK)
		return ssl_fail(e, -EPROTO, "TLS");
	ERR_clear_error();
	if (verify == X509_V_ERR_HOSTNAME_MISMATCH || verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
		return name_fail(t, verify, e);
	return err_set(e, -EPROTO, "TLS: the peer's certificate is not accepted: %s",
		       X509_verify_cert_error_string(verify));
}

/* ---- files ----------------------------------------------------------------------------------- */

static int mark_read(const char *path, struct file_mark *ret_m, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size > TLS_FILE_MAX)
		return err_set(e, -EINVAL, "%s: not a file of at most %u bytes", path,
			       TLS_FILE_MAX);
	*ret_m = (struct file_mark){ st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim };
	return 0;
}

static int marks_read(const struct tls_ctx *ctx, struct file_mark m[static N_FILES], struct err *e)
{
	memset(m, 0, sizeof(*m) * N_FILES); /* padding too: they are compared as bytes */
	for (unsigned int i = 0; i < N_FILES; i++) {
		int r = ctx->files[i] ? mark_read(ctx->files[i], &m[i], e) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* An encrypted key is none: OpenSSL would ask for the password and wait. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static int load_cert(const struct tls_ctx *ctx, SSL_CTX *ssl, struct err *e)
{
	const char *cert = ctx->files[FILE_CERT], *key = ctx->files[FILE_KEY];

	if (!cert)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ssl, cert) != 1)
		return ssl_fail(e, -EINVAL, cert);
	if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
		return ssl_fail(e, -EINVAL, key);
	if (SSL_CTX_check_private_key(ssl) != 1)
		return ssl_fail(e, -EINVAL, key);
	return 0;
}

static int load_roots(const struct tls_ctx *ctx, SSL_CTX *ssl, struct err *e)
{
	const char *ca = ctx->files[FILE_CA];

	if (ca && SSL_CTX_load_verify_file(ssl, ca) != 1)
		return ssl_fail(e, -EINVAL, ca);
	if (!ca && !ctx->is_server && SSL_CTX_set_default_verify_paths(ssl) != 1)
		return ssl_fail(e, -EINVAL, "the system's certificates");
	return 0;
}

/* ---- contexts -------------------------------------------------------------------------------- */

/* A server's choice: our one protocol, or none in common. */
static int choose_alpn(SSL *ssl, const unsigned char **ret_p, unsigned char *ret_n,
		       const unsigned char *offer, unsigned int n, void *arg)
{
	const struct tls_ctx *ctx = arg;
	unsigned char *p;

	(void)ssl;
	if (SSL_select_next_proto(&p, ret_n, ctx->alpn, ctx->alpn_len, offer, n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret_p = p;
	return SSL_TLSEXT_ERR_OK;
}

static void set_verify(const struct tls_ctx *ctx, SSL_CTX *ssl)
{
	int mode = SSL_VERIFY_NONE;

	if (!ctx->is_server)
		mode = SSL_VERIFY_PEER;
	else if (ctx->need_peer_cert)
		mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ssl, mode, NULL);
}

static int ssl_ctx_make(struct tls_ctx *ctx, SSL_CTX **ret_ssl, struct err *e)
{
	SSL_CTX *ssl = SSL_CTX_new(ctx->is_server ? TLS_server_method() : TLS_client_method());
	int r;

	if (!ssl)
		return ssl_fail(e, -ENOMEM, "TLS");
	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ssl, no_password);
	set_verify(ctx, ssl);
	if (ctx->alpn_len && ctx->is_server)
		SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, ctx);
	else if (ctx->alpn_len)
		SSL_CTX_set_alpn_protos(ssl, ctx->alpn, ctx->alpn_len);
	r = load_roots(ctx, ssl, e);
	if (r == 0)
		r = load_cert(ctx, ssl, e);
	if (r < 0) {
		SSL_CTX_free(ssl);
		return r;
	}
	*ret_ssl = ssl;
	return 0;
}

static int check_opts(const struct tls_opts *o, struct err *e)
{
	if (!o->cert_file != !o->key_file)
		return err_set(e, -EINVAL,
			       "a certificate needs its key, and a key its certificate");
	if (o->is_server && !o->cert_file)
		return err_set(e, -EINVAL, "a TLS server needs a certificate");
	if (o->need_peer_cert && !o->ca_file)
		return err_set(e, -EINVAL,
			       "clients' certificates need a CA file to check them with");
	if (o->alpn && (!*o->alpn || strlen(o->alpn) >= ALPN_MAX))
		return err_set(e, -EINVAL, "ALPN: 1 to %u bytes", ALPN_MAX - 1);
	return 0;
}

static void copy_opts(struct tls_ctx *ctx, const struct tls_opts *o)
{
	ctx->is_server = o->is_server;
	ctx->need_peer_cert = o->need_peer_cert;
	ctx->files[FILE_CA] = o->ca_file ? xstrdup(o->ca_file) : NULL;
	ctx->files[FILE_CERT] = o->cert_file ? xstrdup(o->cert_file) : NULL;
	ctx->files[FILE_KEY] = o->key_file ? xstrdup(o->key_file) : NULL;
	if (o->alpn) {
		size_t n = strlen(o->alpn);

		ctx->alpn[0] = (unsigned char)n;
		memcpy(ctx->alpn + 1, o->alpn, n);
		ctx->alpn_len = (unsigned int)n + 1;
	}
}

int tls_ctx_new(const struct tls_opts *opts, struct tls_ctx **ret_ctx, struct err *e)
{
	struct tls_ctx *ctx;
	int r = check_opts(opts, e);

	if (r < 0)
		return r;
	ctx = xcalloc(1, sizeof(*ctx));
	copy_opts(ctx, opts);
	/* The marks first: a file that changes while it is read is read again. */
	r = marks_read(ctx, ctx->marks, e);
	if (r == 0)
		r = ssl_ctx_make(ctx, &ctx->ssl, e);
	if (r < 0) {
		tls_ctx_free(ctx);
		return r;
	}
	*ret_ctx = ctx;
	return 0;
}

void tls_ctx_free(struct tls_ctx *ctx)
{
	if (!ctx)
		return;
	SSL_CTX_free(ctx->ssl);
	for (unsigned int i = 0; i < N_FILES; i++)
		free(ctx->files[i]);
	free(ctx);
}

int tls_ctx_reload(struct tls_ctx *ctx, struct err *e)
{
	struct file_mark m[N_FILES];
	SSL_CTX *ssl;
	int r = marks_read(ctx, m, e);

	if (r < 0)
		return r;
	if (memcmp(m, ctx->marks, sizeof(m)) == 0)
		return 0;
	r = ssl_ctx_make(ctx, &ssl, e);
	if (r < 0)
		return r;
	SSL_CTX_free(ctx->ssl);
	ctx->ssl = ssl;
	memcpy(ctx->marks, m, sizeof(m));
	return 1;
}

/* ---- connections ----------------------------------------------------------------------------- */

static bool is_ip(const char *s)
{
	unsigned char b[16];

	return inet_pton(AF_INET, s, b) == 1 || inet_pton(AF_INET6, s, b) == 1;
}

static void set_peer_name(struct tls *t, const char *name)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);

	if (is_ip(name)) {
		must(X509_VERIFY_PARAM_set1_ip_asc(p, name) == 1);
		return;
	}
	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	must(SSL_set1_host(t->ssl, name) == 1);
	must(SSL_set_tlsext_host_name(t->ssl, name) == 1);
}

struct tls *tls_new(struct tls_ctx *ctx, const char *peer_name)
{
	struct tls *t = xcalloc(1, sizeof(*t));

	t->ssl = SSL_new(ctx->ssl);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	must(t->ssl && t->in && t->out);
	SSL_set_bio(t->ssl, t->in, t->out);
	t->wants_alpn = ctx->alpn_len && !ctx->is_server;
	if (ctx->is_server) {
		SSL_set_accept_state(t->ssl);
	} else {
		SSL_set_connect_state(t->ssl);
		/* Without a name any certificate of the roots would do: that is no check. */
		must(peer_name && *peer_name);
		set_peer_name(t, peer_name);
	}
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t);
}

bool tls_is_ready(const struct tls *t)
{
	return !t->failed && SSL_is_init_finished(t->ssl);
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

static void take_output(struct tls *t, struct buf *out)
{
	char *p;
	long n = BIO_get_mem_data(t->out, &p);

	if (n > 0)
		buf_add(out, p, (size_t)n);
	BIO_reset(t->out);
}

/* 0: goes on or is done. */
static int shake_hands(struct tls *t, struct err *e)
{
	const unsigned char *alpn;
	unsigned int n;
	int r = SSL_do_handshake(t->ssl);

	if (r != 1) {
		int why = SSL_get_error(t->ssl, r);

		return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ?
			       0 :
			       handshake_fail(t, e);
	}
	if (!t->wants_alpn)
		return 0;
	/* OpenSSL has refused an answer that was not offered; none at all is refused here. */
	SSL_get0_alpn_selected(t->ssl, &alpn, &n);
	return n ? 0 : err_set(e, -EPROTO, "TLS: the peer does not agree on a protocol (ALPN)");
}

static int read_plain(struct tls *t, struct buf *plain, struct err *e)
{
	for (;;) {
		size_t n;
		int r = SSL_read_ex(t->ssl, buf_reserve(plain, PLAIN_STEP), PLAIN_STEP, &n);

		if (r == 1) {
			buf_commit(plain, n);
			continue;
		}
		switch (SSL_get_error(t->ssl, r)) {
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE: return 0;
		case SSL_ERROR_ZERO_RETURN: return 1;
		default: return handshake_fail(t, e);
		}
	}
}

int tls_read(struct tls *t, const void *p, size_t n, struct buf *plain, struct buf *out,
	     struct err *e)
{
	int r = 0;

	if (t->failed)
		return err_set(e, -EPROTO, "TLS: the connection has failed");
	ERR_clear_error();
	must(n <= INT32_MAX && (!n || BIO_write(t->in, p, (int)n) == (int)n));
	if (!SSL_is_init_finished(t->ssl))
		r = shake_hands(t, e);
	if (r == 0 && SSL_is_init_finished(t->ssl))
		r = read_plain(t, plain, e);
	take_output(t, out);
	t->failed = r < 0;
	return r;
}

int tls_write(struct tls *t, const void *p, size_t n, struct buf *out, struct err *e)
{
	size_t took;

	if (!n)
		return 0;
	if (!tls_is_ready(t))
		return err_set(e, -EPROTO, "TLS: the connection is not ready");
	ERR_clear_error();
	/* A memory BIO takes everything. */
	if (SSL_write_ex(t->ssl, p, n, &took) != 1 || took != n) {
		t->failed = true;
		return ssl_fail(e, -EPROTO, "TLS");
	}
	take_output(t, out);
	return 0;
}

void tls_shutdown(struct tls *t, struct buf *out)
{
	if (!tls_is_ready(t))
		return;
	SSL_shutdown(t->ssl);
	ERR_clear_error();
	take_output(t, out);
}
