/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushes: the sends of a turn, made by the system call that submits and waits. Measured with 32
 * connections against a system call each: whom the first answer woke no longer takes the processor
 * from the worker before it has sent the others.
 *
 * A push is a send that neither waits nor, when all of it is taken, completes: a completion would
 * end the wait that it was submitted with. What the kernel did not take whole completes, as
 * MSG_WAITALL makes that a failure, before the submission returns.
 */
#include "io/uring_impl.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define PROBE_BYTES (1u << 20) /* more than the probe's socket takes */

static void push_prep(struct io_uring_sqe *sqe, int fd, const void *p, size_t n, const void *who)
{
	io_uring_prep_send(sqe, fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	uring_name(sqe, who, OP_PUSH);
}

/* One push of @n bytes; what completed, or @n if nothing did. */
static int probe_push(struct uring *u, int fd, const void *p, size_t n)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	struct io_uring_cqe *cqe;
	int res = (int)n;

	push_prep(sqe, fd, p, n, NULL);
	if (io_uring_submit_and_get_events(&u->ring) < 0)
		return 0;
	if (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		res = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
	}
	return res;
}

/*
 * A message that fits completes nothing, one that fits in part tells which part, and the next one
 * that nothing fits. On a kernel where that is not so, bytes would be lost.
 */
static bool probe(struct uring *u, int fd, int peer)
{
	char *p = xcalloc(1, PROBE_BYTES);
	bool ok = probe_push(u, fd, p, 1) == 1 && recv(peer, p, 8, MSG_DONTWAIT) == 1;
	int part = ok ? probe_push(u, fd, p, PROBE_BYTES) : 0;

	ok = part > 0 && part < (int)PROBE_BYTES && probe_push(u, fd, p, PROBE_BYTES) == -EAGAIN;
	while (part > 0) {
		ssize_t n = recv(peer, p, PROBE_BYTES, MSG_DONTWAIT);

		if (n <= 0)
			break;
		part -= (int)n;
	}
	free(p);
	return ok && part == 0 && !io_uring_cq_ready(&u->ring);
}

int uring_push_open(struct uring *u)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return -errno;
	u->push.works = probe(u, fd[0], fd[1]);
	if (!u->push.works)
		log_info("io", "this kernel's io_uring does not tell how much of a send was taken: "
			       "each is a system call of its own");
	close(fd[0]);
	close(fd[1]);
	return 0;
}

bool uring_push(struct io_stream *s)
{
	struct uring_push *u = &uring_of(s->io)->push;

	if (!u->works || u->n == URING_PUSHES)
		return false;
	u->v[u->n++] = s;
	s->pushing = true;
	s->pushed = (int)buf_len(&s->sending);
	push_prep(uring_sqe(s->io), s->fd, buf_ptr(&s->sending), buf_len(&s->sending), s);
	uring_fly(s, IO_SEND);
	return true;
}

void uring_push_late(struct uring *u, struct io_stream *s, int res)
{
	/* Without pushes, uring_pushes_end has seen it, and the stream may be gone. */
	if (u->push.n)
		s->pushed = res;
}

/* All pushes were made during the wait; those that failed are among the completions. */
void uring_pushes_end(struct io *io)
{
	struct uring *u = uring_of(io);
	struct io_uring_cqe *cqe;
	unsigned int n = u->push.n;
	unsigned int head;

	/* Not handed over, or reported too late: the next turn knows. */
	if (!n || io_uring_sq_ready(&u->ring) || ring_has(&u->ring, IORING_SQ_CQ_OVERFLOW))
		return;
	io_uring_for_each_cqe(&u->ring, head, cqe)
		if ((cqe->user_data & OP_MASK) == OP_PUSH)
			((struct io_stream *)uring_who(cqe->user_data))->pushed = cqe->res;
	u->push.n = 0;
	u->push.hurry = false;
	for (unsigned int i = 0; i < n; i++) {
		struct io_stream *s = u->push.v[i];

		uring_land(s, IO_SEND);
		s->pushing = false;
		stream_on_pushed(s, s->pushed);
	}
}
