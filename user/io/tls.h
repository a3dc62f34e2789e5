/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS without sockets: a context (files, versions, ALPN) and one connection's engine, which turns
 * what the peer sent into plaintext and plaintext into what is to be sent. The owner moves the
 * bytes, over an io_stream or in a test. TLS 1.2 and 1.3, no renegotiation, no compression.
 * A client always checks the server's certificate and its name. Only this room sees OpenSSL.
 */
#ifndef SKIFF_IO_TLS_H
#define SKIFF_IO_TLS_H

#include "base/buf.h"
#include "base/err.h"

#define TLS_FILE_MAX (1u << 20) /* bytes of a PEM file */

struct tls_ctx; /* shared by connections of one thread */
struct tls;     /* one connection */

struct tls_opts {
	bool is_server;
	bool need_peer_cert;   /* servers: refuse clients without a certificate of ca_file */
	const char *ca_file;   /* NULL: a client takes the system's roots */
	const char *cert_file; /* leaf first; with key_file; a server needs both */
	const char *key_file;
	/* What is spoken inside, e.g. "h2": a client insists on it, a server takes only it. NULL:
	 * any. */
	const char *alpn;
};

/* 0 or -errno with @e: which file, what is wrong with it. @opts' strings are copied. */
int tls_ctx_new(const struct tls_opts *opts, struct tls_ctx **ret_ctx, struct err *e);
/* NULL is allowed. Its connections must be gone. */
void tls_ctx_free(struct tls_ctx *ctx);
/*
 * Looks at the files and reads them again if one has changed; new connections take the new ones.
 * 1: they are new, 0: as before, -errno with @e: they changed but are not good; the last good ones
 * stay, and the next call tries again.
 */
int tls_ctx_reload(struct tls_ctx *ctx, struct err *e);

/* @peer_name: the name or IP that a client wants in the server's certificate; NULL for servers. */
struct tls *tls_new(struct tls_ctx *ctx, const char *peer_name);
void tls_free(struct tls *t);

/* The handshake is done: tls_write may be called. */
bool tls_is_ready(const struct tls *t);
/*
 * Takes @n bytes from the peer (0: begins a client's handshake); appends plaintext to @plain and
 * what must be sent now to @out. 0; 1 when the peer has closed its side properly; -EPROTO with @e
 * when the connection is of no more use (@out may have an alert for the peer).
 */
int tls_read(struct tls *t, const void *p, size_t n, struct buf *plain, struct buf *out,
	     struct err *e);
/* Appends @n bytes of plaintext, encrypted, to @out. 0 or -EPROTO with @e. */
int tls_write(struct tls *t, const void *p, size_t n, struct buf *out, struct err *e);
/* Appends the notice that nothing more follows. */
void tls_shutdown(struct tls *t, struct buf *out);
/* "TLSv1.3", for people. */
const char *tls_version(const struct tls *t);

#endif
