/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two files of the io_uring backend share: the ring, and how an operation is named. They
 * are the only ones that see liburing.
 */
#ifndef SKIFF_IO_URING_IMPL_H
#define SKIFF_IO_URING_IMPL_H

#include <liburing.h>

#include "io/io_impl.h"

#define URING_PUSHES 512 /* of a turn; what is more is sent at once */

enum { OP_RECV = 1, OP_SEND, OP_CONN, OP_ACCEPT, OP_CANCEL, OP_WAKE, OP_PUSH, OP_MASK = 7 };

_Static_assert(_Alignof(max_align_t) > OP_MASK, "room for the kind in an address");

struct late { /* a completed recv */
	struct io_stream *s;
	int res;
	unsigned int flags;
};

struct uring_push { /* uring_push.c */
	struct io_stream *v[URING_PUSHES]; /* streams whose push is not yet known to be made */
	unsigned int n;
	bool works; /* on this kernel */
	bool hurry; /* one of @v waits for that, to die */
};

struct uring {
	struct io_uring ring;
	struct io_uring_buf_ring *bufs;
	char *memory; /* IO_RECV_BUFFERS of IO_RECV_BUFFER bytes */
	uint64_t wake_count;
	/*
	 * What streams received beyond IO_TURN_BYTES; told when the others had theirs. At most all
	 * buffers, and one end for each stream that holds some.
	 */
	struct late late[2 * IO_RECV_BUFFERS];
	unsigned int n_late;
	struct uring_push push;
};

static inline struct uring *uring_of(const struct io *io)
{
	return io->impl;
}

/* After the io_uring_prep_ call, which may clear the name. */
static inline void uring_name(struct io_uring_sqe *sqe, const void *who, unsigned int op)
{
	sqe->user_data = (uintptr_t)who | op;
}

static inline void *uring_who(uint64_t name)
{
	return (void *)(uintptr_t)(name & ~(uint64_t)OP_MASK);
}

static inline void uring_fly(struct io_stream *s, unsigned int bit)
{
	s->flight |= bit;
	s->io->totals.in_flight++;
}

static inline void uring_land(struct io_stream *s, unsigned int bit)
{
	must(s->flight & bit);
	s->flight &= ~bit;
	s->io->totals.in_flight--;
}

static inline bool ring_has(const struct io_uring *ring, unsigned int flag)
{
	return __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED) & flag;
}

/* A place in the submission queue. */
struct io_uring_sqe *uring_sqe(struct io *io);

/* Before the ring is used: does this kernel do what a push needs? 0 or -errno. */
int uring_push_open(struct uring *u);
/* io_backend_ops.push */
bool uring_push(struct io_stream *s);
/* After the wait, before its completions are handled: tells what became of the pushes. */
void uring_pushes_end(struct io *io);
/* A completion of a push among the others. */
void uring_push_late(struct uring *u, struct io_stream *s, int res);

#endif
