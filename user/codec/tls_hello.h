/* SPDX-License-Identifier: Apache-2.0 */
/* What a TLS client says before anything is secret: which server it wants, what it could speak. */
#ifndef SKIFF_CODEC_TLS_HELLO_H
#define SKIFF_CODEC_TLS_HELLO_H

#include "codec/codec.h"

#define TLS_NAME_MAX 255    /* bytes of a server's name; a longer one counts as none */
#define TLS_ALPN_MAX 8      /* protocols that are kept; further ones are not */
#define TLS_HELLO_MAX 65536 /* bytes of a ClientHello; a longer one is none */

struct tls_hello {
	char server_name[TLS_NAME_MAX]; /* lower case */
	uint8_t server_name_len;        /* 0: none was said */
	uint8_t n_alpn;
	struct {
		uint8_t len;
		char text[255];
	} alpn[TLS_ALPN_MAX];
};

/*
 * Looks at the first @n bytes of a connection. SNIFF_YES: a whole ClientHello, @ret_h is filled;
 * SNIFF_MORE: the beginning of one; SNIFF_NO: none.
 */
enum sniff tls_hello_read(const char *p, size_t n, struct tls_hello *ret_h);

#endif
