/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC's framing of messages in a stream of bytes, for both sides: one byte of flags, the length in
 * four bytes, the message. No compression. No HTTP/2 here.
 */
#ifndef SKIFF_XDS_GRPC_MSG_H
#define SKIFF_XDS_GRPC_MSG_H

#include "base/slice.h"

#define GRPC_HEAD 5 /* bytes before a message */

struct grpc_reader { /* zero is a good start, but for max */
	size_t max;  /* bytes of a message */
	char *held;  /* a message that came in pieces */
	size_t have, cap;
	uint32_t len;
	uint8_t head[GRPC_HEAD];
	uint8_t n_head;
	bool told; /* held was lent and is of no more use */
};

/*
 * Takes bytes off the front of @in. 1: @ret_msg is the next message, lent until the next call (and
 * as long as @in's memory); 0: all was taken, more is needed; -EMSGSIZE or -EPROTO with a static
 * reason: nothing more can be read. Memory grows with what came, not with what was announced; with
 * no message begun nothing is held once 0 was returned.
 */
int grpc_reader_next(struct grpc_reader *r, struct slice *in, struct slice *ret_msg,
		     const char **ret_reason);
/* Bytes have come of a message that is not whole yet. */
static inline bool grpc_reader_is_partial(const struct grpc_reader *r)
{
	return r->n_head != 0;
}
/* Bytes that are kept of it; the memory may be eight times as much, the rest of it untouched. */
static inline size_t grpc_reader_held(const struct grpc_reader *r)
{
	return r->have;
}
void grpc_reader_done(struct grpc_reader *r);

/* What goes before a message of @n bytes. */
void grpc_head_write(uint8_t out[static GRPC_HEAD], uint32_t n);

#endif
