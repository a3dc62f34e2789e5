/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/2 connection of a gRPC client, without its socket: bytes of the server in, bytes for it
 * out, streams between. It ends once; the channel (grpc.c) makes the next one. Streams' callbacks
 * run only inside grpc_conn_recv, grpc_conn_tell and grpc_conn_fail.
 */
#ifndef SKIFF_XDS_GRPC_CONN_H
#define SKIFF_XDS_GRPC_CONN_H

#include "base/buf.h"
#include "xds/grpc.h"

struct grpc_conn;

/* The owner is told at once, and must only take note: it may not call into the connection. */
struct grpc_conn_ops {
	void (*settled)(void *owner); /* the first SETTINGS came */
	void (*goaway)(void *owner, uint32_t code, struct slice text);
	/* grpc_conn_send has something to do, or grpc_conn_tell; not told inside grpc_conn_recv. */
	void (*output)(void *owner);
};

struct grpc_conn *grpc_conn_new(size_t message_max, const struct grpc_conn_ops *ops, void *owner);
/* With its streams, without a callback. May be called from their callbacks. NULL is allowed. */
void grpc_conn_free(struct grpc_conn *c);

/*
 * Takes bytes of the server. 0, or -EPROTO with @e: the connection is of no more use. What else the
 * server did wrong is told by grpc_conn_send. @c may be gone after it if a callback freed it.
 */
int grpc_conn_recv(struct grpc_conn *c, struct slice in, struct err *e);
/*
 * Appends to @out what is to be sent, until it holds @limit bytes or more. 1: there may be more, 0:
 * that is all, -EPROTO with @e: that was the last (a GOAWAY, as the server broke the protocol).
 */
int grpc_conn_send(struct grpc_conn *c, struct buf *out, size_t limit, struct err *e);
/* Is there a stream whose end was found outside grpc_conn_recv? grpc_conn_tell tells it. */
bool grpc_conn_has_news(const struct grpc_conn *c);
void grpc_conn_tell(struct grpc_conn *c);
/* The connection broke: every stream is told. */
void grpc_conn_fail(struct grpc_conn *c, int status, const char *text);
int grpc_conn_ping(struct grpc_conn *c);
/* Says goodbye; for grpc_conn_send. */
void grpc_conn_goodbye(struct grpc_conn *c);

struct grpc_conn_count {
	uint32_t streams;
	uint64_t held;
};
void grpc_conn_count_get(const struct grpc_conn *c, struct grpc_conn_count *ret_count);

/* What a request says beside its method. */
struct grpc_request {
	const char *method;
	const char *scheme, *authority, *user_agent;
	struct slice authorization; /* the header's value; empty: none */
};

/* NULL with @e. */
struct grpc_stream *grpc_conn_open(struct grpc_conn *c, const struct grpc_request *q,
				   const struct grpc_stream_ops *ops, void *owner, struct err *e);

/* ---- what HTTP says, in gRPC's terms (grpc_status.c) ------------------------------------- */

int grpc_status_of_http(unsigned int http);
int grpc_status_of_h2(uint32_t error_code);
/* Reads a grpc-status; -EINVAL. */
int grpc_status_parse(struct slice s);
/* A grpc-message without its percent signs, at most GRPC_TEXT_MAX bytes; free it. */
char *grpc_text_decode(struct slice s);

#endif
