/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring backend: multishot accept, multishot recv on one provided buffer ring a loop, one
 * system call a turn that submits and waits. What goes out with it: uring_push.c.
 *
 * An operation is named by the address of its stream or listener and, in the low bits, its kind.
 * Cancels carry no address: their own result says nothing that the operation's does not.
 */
#include "io/uring_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SQ_ENTRIES 1024
#define CQ_ENTRIES (8 * SQ_ENTRIES)
#define BUF_GROUP 0

_Static_assert((IO_RECV_BUFFERS & (IO_RECV_BUFFERS - 1)) == 0, "a ring's size");

/* ---- set-up -------------------------------------------------------------------------- */

static void buffer_give(struct uring *u, unsigned int bid, int offset)
{
	io_uring_buf_ring_add(u->bufs, u->memory + (size_t)bid * IO_RECV_BUFFER, IO_RECV_BUFFER,
			      (unsigned short)bid, IO_RECV_BUFFERS - 1, offset);
}

static void *map_pages(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int buffers_open(struct uring *u)
{
	struct io_uring_buf_reg reg = { .ring_entries = IO_RECV_BUFFERS, .bgid = BUF_GROUP };
	int rc;

	u->bufs = map_pages(IO_RECV_BUFFERS * sizeof(struct io_uring_buf));
	u->memory = map_pages((size_t)IO_RECV_BUFFERS * IO_RECV_BUFFER);
	if (!u->bufs || !u->memory)
		return -ENOMEM;
	reg.ring_addr = (uintptr_t)u->bufs;
	rc = io_uring_register_buf_ring(&u->ring, &reg, 0);
	if (rc < 0)
		return rc;
	io_uring_buf_ring_init(u->bufs);
	for (unsigned int i = 0; i < IO_RECV_BUFFERS; i++)
		buffer_give(u, i, (int)i);
	io_uring_buf_ring_advance(u->bufs, IO_RECV_BUFFERS);
	return 0;
}

static void buffers_close(struct uring *u)
{
	if (u->bufs)
		munmap(u->bufs, IO_RECV_BUFFERS * sizeof(struct io_uring_buf));
	if (u->memory)
		munmap(u->memory, (size_t)IO_RECV_BUFFERS * IO_RECV_BUFFER);
}

/* ---- arming -------------------------------------------------------------------------- */

struct io_uring_sqe *uring_sqe(struct io *io)
{
	struct uring *u = uring_of(io);
	struct io_uring_sqe *sqe;

	/* More operations in one turn than the ring holds: hand them over early. */
	while ((sqe = io_uring_get_sqe(&u->ring)) == NULL) {
		int rc = io_uring_submit(&u->ring);

		must(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
		if (rc == -EBUSY)
			io_uring_get_events(&u->ring);
	}
	return sqe;
}

static void uring_prep_cancel(struct io *io, const void *who, unsigned int op)
{
	struct io_uring_sqe *sqe = uring_sqe(io);

	io_uring_prep_cancel64(sqe, (uintptr_t)who | op, 0);
	uring_name(sqe, NULL, OP_CANCEL);
}

static void uring_recv(struct io_stream *s)
{
	struct io_uring_sqe *sqe = uring_sqe(s->io);

	io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUF_GROUP;
	uring_name(sqe, s, OP_RECV);
	uring_fly(s, IO_RECV);
}

static void uring_recv_cancel(struct io_stream *s)
{
	s->recv_cancelling = true;
	uring_prep_cancel(s->io, s, OP_RECV);
}

static void uring_send(struct io_stream *s)
{
	struct io_uring_sqe *sqe = uring_sqe(s->io);

	io_uring_prep_send(sqe, s->fd, buf_ptr(&s->sending), buf_len(&s->sending), MSG_NOSIGNAL);
	/* stream_send has just found the socket full. */
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	uring_name(sqe, s, OP_SEND);
	uring_fly(s, IO_SEND);
}

static int uring_connect(struct io_stream *s)
{
	socklen_t len = s->to.sa.sa_family == AF_INET ? sizeof(s->to.in) : sizeof(s->to.in6);
	struct io_uring_sqe *sqe = uring_sqe(s->io);

	io_uring_prep_connect(sqe, s->fd, &s->to.sa, len);
	uring_name(sqe, s, OP_CONN);
	uring_fly(s, IO_CONN);
	return 0;
}

static void uring_cancel(struct io_stream *s)
{
	if (s->flight & IO_RECV)
		uring_recv_cancel(s);
	if (s->pushing)
		uring_of(s->io)->push.hurry = true;
	else if (s->flight & IO_SEND)
		uring_prep_cancel(s->io, s, OP_SEND);
	if (s->flight & IO_CONN)
		uring_prep_cancel(s->io, s, OP_CONN);
}

static void uring_accept(struct io_listener *l)
{
	struct io_uring_sqe *sqe;
	int flags = fcntl(l->fd, F_GETFL);

	/* On a non-blocking listener some kernels answer EAGAIN instead of waiting. */
	if (flags >= 0 && (flags & O_NONBLOCK))
		fcntl(l->fd, F_SETFL, flags & ~O_NONBLOCK);
	sqe = uring_sqe(l->io);
	io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
	uring_name(sqe, l, OP_ACCEPT);
	l->armed = true;
	l->io->totals.in_flight++;
}

static void uring_accept_cancel(struct io_listener *l)
{
	uring_prep_cancel(l->io, l, OP_ACCEPT);
}

static void uring_arm_wake(struct io *io)
{
	struct uring *u = uring_of(io);
	struct io_uring_sqe *sqe = uring_sqe(io);

	io_uring_prep_read(sqe, io->wake_fd, &u->wake_count, sizeof(u->wake_count), 0);
	uring_name(sqe, NULL, OP_WAKE);
}

/* ---- completions --------------------------------------------------------------------- */

/*
 * Ends that say nothing about the connection. -ENOBUFS: the other streams' input has all buffers;
 * they are back at the end of the turn, when the stream is armed again.
 */
static bool recv_is_to_rearm(int res)
{
	return res == -ENOBUFS || res == -ECANCELED || res == -EAGAIN || res == -EINTR;
}

static void uring_tell_recv(struct io_stream *s, int res, unsigned int flags)
{
	struct uring *u = uring_of(s->io);
	unsigned int bid = flags >> IORING_CQE_BUFFER_SHIFT;

	if (res > 0)
		stream_on_data(s, u->memory + (size_t)bid * IO_RECV_BUFFER, (size_t)res);
	else if (!recv_is_to_rearm(res))
		stream_on_recv_end(s, res);
	if (flags & IORING_CQE_F_BUFFER) {
		buffer_give(u, bid, 0);
		io_uring_buf_ring_advance(u->bufs, 1);
	}
}

/* Has @s had its share of this turn before these @res bytes? Once it had, it stays so. */
static bool recv_is_late(struct io_stream *s, int res)
{
	uint32_t turn = (uint32_t)s->io->totals.turns;

	if (s->turn != turn) {
		s->turn = turn;
		s->turn_bytes = 0;
	}
	if (res > 0)
		s->turn_bytes += (uint32_t)res;
	return s->turn_bytes > IO_TURN_BYTES;
}

static void uring_on_recv(struct io_stream *s, int res, unsigned int flags)
{
	struct uring *u = uring_of(s->io);
	bool more = flags & IORING_CQE_F_MORE;

	if (!more) {
		uring_land(s, IO_RECV);
		s->recv_cancelling = false;
	}
	if (recv_is_late(s, res) && (res >= 0 || !recv_is_to_rearm(res)))
		u->late[u->n_late++] = (struct late){ s, res, flags };
	else
		uring_tell_recv(s, res, flags);
	/* Its memory stays until the end of the turn, so also for what is late. */
	if (!more)
		stream_on_idle(s);
}

static void uring_tell_late(struct uring *u)
{
	for (unsigned int i = 0; i < u->n_late; i++)
		uring_tell_recv(u->late[i].s, u->late[i].res, u->late[i].flags);
	u->n_late = 0;
}

static void uring_on_accept(struct io_listener *l, int res, unsigned int flags)
{
	bool more = flags & IORING_CQE_F_MORE;

	if (!more) {
		l->armed = false;
		l->io->totals.in_flight--;
	}
	listener_on_accept(l, res);
	if (!more)
		listener_on_idle(l);
}

static void uring_handle(struct io *io, uint64_t name, int res, unsigned int flags)
{
	void *who = uring_who(name);
	struct io_stream *s = who;

	switch (name & OP_MASK) {
	case OP_RECV:
		uring_on_recv(s, res, flags);
		return;
	case OP_SEND:
		uring_land(s, IO_SEND);
		stream_on_sent(s, res);
		stream_on_idle(s);
		return;
	case OP_CONN:
		uring_land(s, IO_CONN);
		stream_on_connect(s, res);
		stream_on_idle(s);
		return;
	case OP_ACCEPT:
		uring_on_accept(who, res, flags);
		return;
	case OP_PUSH:
		uring_push_late(uring_of(io), s, res);
		return;
	case OP_WAKE:
		io->woken = true;
		uring_arm_wake(io);
		return;
	default: /* OP_CANCEL: the operation's own completion tells */
		return;
	}
}

static void uring_dispatch(struct io *io)
{
	struct io_uring *ring = &uring_of(io)->ring;
	struct io_uring_cqe *cqe;
	unsigned int n;

	uring_pushes_end(io);
	n = io_uring_cq_ready(ring);
	busy_count(io, n);
	/* What completes while callbacks run waits for the next turn. */
	for (; n; n--) {
		uint64_t name;
		unsigned int flags;
		int res;

		if (io_uring_peek_cqe(ring, &cqe) < 0)
			break;
		name = cqe->user_data;
		res = cqe->res;
		flags = cqe->flags;
		io_uring_cqe_seen(ring, cqe);
		uring_handle(io, name, res, flags);
	}
	uring_tell_late(uring_of(io));
}

static bool uring_ready(const struct io *io)
{
	const struct io_uring *ring = &uring_of(io)->ring;

	return io_uring_cq_ready(ring) ||
	       ring_has(ring, IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static void uring_wait(struct io *io, int64_t ns)
{
	struct io_uring *ring = &uring_of(io)->ring;
	struct io_uring_cqe *cqe;
	int rc;

	if (ns == 0 || uring_of(io)->push.hurry) {
		rc = io_uring_submit_and_get_events(ring);
	} else if (ns < 0) {
		rc = io_uring_submit_and_wait(ring, 1);
	} else {
		struct __kernel_timespec ts = { .tv_sec = ns / (int64_t)NSEC_PER_SEC,
						.tv_nsec = ns % (int64_t)NSEC_PER_SEC };

		rc = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &ts, NULL);
	}
	must(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
}

/* ---- open and close ------------------------------------------------------------------ */

static void uring_close(struct io *io)
{
	struct uring *u = uring_of(io);

	if (!u)
		return;
	if (u->ring.ring_fd > 0)
		io_uring_queue_exit(&u->ring);
	buffers_close(u);
	free(u);
	io->impl = NULL;
}

static const char *setup_reason(int rc)
{
	switch (-rc) {
	case ENOSYS:
		return "this kernel has no io_uring";
	case EPERM:
	case EACCES:
		return "switched off by kernel.io_uring_disabled or a seccomp profile";
	case EINVAL:
		return "needs Linux 6.1 or newer";
	default:
		return strerror(-rc);
	}
}

static int uring_open(struct io *io, struct err *e)
{
	struct io_uring_params p = { .cq_entries = CQ_ENTRIES };
	struct uring *u = xcalloc(1, sizeof(*u));
	int rc;

	p.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
		  IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		  IORING_SETUP_TASKRUN_FLAG; /* the flag is what busy polling looks at */
	io->impl = u;
	rc = io_uring_queue_init_params(SQ_ENTRIES, &u->ring, &p);
	if (rc < 0) {
		u->ring.ring_fd = -1;
		goto out;
	}
	/* Spares a table look-up a system call; works without. */
	io_uring_register_ring_fd(&u->ring);
	rc = uring_push_open(u);
	if (rc == 0)
		rc = buffers_open(u);
out:
	if (rc < 0) {
		uring_close(io);
		return err_set(e, rc, "%s", setup_reason(rc));
	}
	uring_arm_wake(io);
	return 0;
}

const struct io_backend_ops io_uring_ops = {
	.name = "uring",
	.open = uring_open,
	.close = uring_close,
	.wait = uring_wait,
	.ready = uring_ready,
	.dispatch = uring_dispatch,
	.recv = uring_recv,
	.recv_cancel = uring_recv_cancel,
	.send = uring_send,
	.push = uring_push,
	.connect = uring_connect,
	.cancel = uring_cancel,
	.accept = uring_accept,
	.accept_cancel = uring_accept_cancel,
};
