/* SPDX-License-Identifier: Apache-2.0 */
/* Messages out of pieces of any size. */
#include "xds/grpc_msg.h"

#include <errno.h>

#define HELD_FIRST 4096
#define HELD_FACTOR 8 /* copied seldom; what is not touched takes no memory */

static void drop_held(struct grpc_reader *r)
{
	free(r->held);
	r->held = NULL;
	r->have = r->cap = 0;
	r->told = false;
}

void grpc_reader_done(struct grpc_reader *r)
{
	drop_held(r);
	r->n_head = 0;
}

/* 1: the head is whole and good. */
static int take_head(struct grpc_reader *r, struct slice *in, const char **ret_reason)
{
	size_t n = GRPC_HEAD - r->n_head;

	if (n > in->len)
		n = in->len;
	if (n)
		memcpy(r->head + r->n_head, in->ptr, n);
	r->n_head = (uint8_t)(r->n_head + n);
	*in = slice_skip(*in, n);
	if (r->n_head < GRPC_HEAD)
		return 0;
	r->len = (uint32_t)r->head[1] << 24 | (uint32_t)r->head[2] << 16 |
		 (uint32_t)r->head[3] << 8 | r->head[4];
	if (r->head[0] != 0) {
		*ret_reason = r->head[0] == 1 ? "a compressed message, which was not asked for" :
						"a message with unknown flags";
		return -EPROTO;
	}
	if (r->len > r->max) {
		*ret_reason = "a message over the limit";
		return -EMSGSIZE;
	}
	return 1;
}

/* Room for @n more bytes, but never beyond the message. */
static void grow(struct grpc_reader *r, size_t n)
{
	size_t cap = r->cap ? r->cap : HELD_FIRST;

	if (r->cap - r->have >= n)
		return;
	while (cap - r->have < n)
		cap *= HELD_FACTOR;
	if (cap > r->len)
		cap = r->len;
	r->held = xrealloc(r->held, cap);
	r->cap = cap;
}

int grpc_reader_next(struct grpc_reader *r, struct slice *in, struct slice *ret_msg,
		     const char **ret_reason)
{
	size_t n;
	int rc;

	if (r->told)
		drop_held(r);
	rc = take_head(r, in, ret_reason);
	if (rc <= 0)
		return rc;
	n = r->len - r->have;
	if (!r->have && in->len >= n) { /* whole: not copied */
		*ret_msg = slice_first(*in, n);
		*in = slice_skip(*in, n);
		r->n_head = 0;
		return 1;
	}
	if (n > in->len)
		n = in->len;
	if (n) {
		grow(r, n);
		memcpy(r->held + r->have, in->ptr, n);
		r->have += n;
		*in = slice_skip(*in, n);
	}
	if (r->have < r->len)
		return 0;
	*ret_msg = slice_of(r->held, r->have);
	r->n_head = 0;
	r->told = true;
	return 1;
}

void grpc_head_write(uint8_t out[static GRPC_HEAD], uint32_t n)
{
	out[0] = 0;
	out[1] = (uint8_t)(n >> 24);
	out[2] = (uint8_t)(n >> 16);
	out[3] = (uint8_t)(n >> 8);
	out[4] = (uint8_t)n;
}
