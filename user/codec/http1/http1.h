/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.0 and HTTP/1.1: a serial codec. llhttp reads request lines, status lines, headers and
 * trailers; a strict gate in front of it lets through only what RFC 9112 allows.
 */
#ifndef SKIFF_CODEC_HTTP1_HTTP1_H
#define SKIFF_CODEC_HTTP1_HTTP1_H

#include "codec/codec.h"

/*
 * What the engine has to know beside codec.h:
 *
 * - decode stops after every whole message, also when more bytes are there; the arena can be
 *   reset then (a client: even when the next request was encoded in that very call); never in the
 *   middle of a message, wanted or not. A server returns 0 until the answer is encoded.
 * - m->host is the host; there is no "host" property. Hop-by-hop properties stay in m->props for
 *   the engine to strip; encode_head ignores connection, transfer-encoding and content-length (only
 *   the place of the latter counts) and derives them from body_len, end and the state.
 * - A request with is_upgrade (or CONNECT) comes with end = false; nothing behind its head is
 *   delivered before the answer. When a 101 (2xx for CONNECT) is encoded or decoded the connection
 *   is raw: body() events until eof(), which raises end(). Any other answer closes the connection.
 * - encode_head ignores m->close of a message that is passed on: want_close is the way to close. A
 *   server goes on until an answer could announce it (the next head written), then is not reusable.
 * - An answer that starts before the request was read to its end makes the connection close.
 * - A response's is_ok means: status below 500.
 */

#define HTTP1_RESPONSE_HEAD_BYTES (80 * 1024) /* client side default of codec_limits.head_bytes */
#define HTTP1_CHUNK_LINE 1024	/* bytes of a chunk's size and extensions */
#define HTTP1_EMPTY_LINES 1024	/* empty lines that may stand before a request */
#define HTTP1_INTERIM 16	/* 1xx answers before the final one */
#define HTTP1_NOMINATED 10	/* tokens of Connection: as many are too many */
#define HTTP1_TE 256		/* bytes of TE when Connection names it */
#define HTTP1_METHOD 32		/* bytes of a method when sniffing */

extern const struct codec codec_http1;

#endif
