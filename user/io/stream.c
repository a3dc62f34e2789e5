/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a stream: how it begins, fails and ends, and what is done for it at the end of a
 * turn. CONNECTING, OPEN, FAILED (told; the owner must close) or DEAD (closed; waits for the
 * kernel to let go). Bytes in are input.c, bytes out output.c.
 *
 * Nothing is armed from inside a call: the stream is marked dirty and settled at the end of the
 * turn, so that many writes are one send and a stop followed by a start costs nothing.
 */
#include "io/io_impl.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* ---- ends ---------------------------------------------------------------------------- */

static void stream_bury(struct io_stream *s)
{
	list_del(&s->node);
	list_push(&s->io->dead, &s->node);
}

void stream_kill(struct io_stream *s)
{
	if (s->phase == IO_DEAD)
		return;
	s->phase = IO_DEAD;
	io_timer_cancel(s->io, &s->timer);
	list_del(&s->dirty_node);
	list_del(&s->ready_node);
	stream_drop_output(s);
	buf_done(&s->held);
	if (s->flight)
		s->io->backend->cancel(s);
	/* A backend that can let go at once has cleared flight. */
	if (!s->flight)
		stream_bury(s);
}

void stream_on_idle(struct io_stream *s)
{
	if (s->phase == IO_DEAD) {
		if (!s->flight)
			stream_bury(s);
		return;
	}
	stream_mark_dirty(s);
}

void streams_reap(struct io *io)
{
	struct list *n;

	while ((n = list_pop(&io->dead)) != NULL) {
		struct io_stream *s = list_entry(n, struct io_stream, node);

		must(!s->flight);
		stream_drop_output(s);
		close(s->fd);
		free(s);
		io->totals.streams--;
	}
}

/* The connection is of no more use: tells the owner, or ends it when there is none. */
void stream_fail(struct io_stream *s, int err)
{
	if (s->phase >= IO_FAILED)
		return;
	if (s->orphan) {
		stream_kill(s);
		return;
	}
	io_timer_cancel(s->io, &s->timer);
	stream_drop_output(s);
	buf_done(&s->held);
	if (s->flight)
		s->io->backend->cancel(s);
	if (s->phase == IO_CONNECTING) {
		s->phase = IO_FAILED;
		if (s->ops->connected)
			s->ops->connected(s, err);
		return;
	}
	s->phase = IO_FAILED;
	s->ops->failed(s, s->broken ? s->broken : err);
}

static void stream_timer(struct io_timer *t)
{
	struct io_stream *s = container_of(t, struct io_stream, timer);

	if (s->orphan)
		stream_kill(s);
	else if (s->broken)
		stream_fail(s, s->broken);
	else
		stream_look(s);
}

/* ---- the end of a turn --------------------------------------------------------------- */

/* What follows when all output is out: the half-close, and the end of an orphan. */
static void stream_settle_end(struct io_stream *s)
{
	if (io_stream_pending(s))
		return;
	if ((s->shut_wanted || s->orphan) && !s->shut_done) {
		s->shut_done = true;
		/* Fails only on a connection that is gone, which the input side reports. */
		shutdown(s->fd, SHUT_WR);
	}
	if (!s->orphan)
		return;
	if (s->eof_seen || !s->linger_ms) {
		stream_kill(s);
	} else if (!s->lingering) {
		s->lingering = true;
		io_timer_set(s->io, &s->timer, s->linger_ms);
	}
}

static void stream_settle(struct io_stream *s)
{
	if (s->phase == IO_OPEN)
		stream_settle_output(s);
	if (s->phase == IO_OPEN)
		stream_settle_end(s);
	if (s->phase == IO_OPEN)
		stream_settle_input(s);
	if (s->phase == IO_OPEN)
		stream_settle_drained(s);
}

void streams_settle(struct io *io)
{
	struct list now;
	struct list *n;

	/* What the callbacks make dirty again waits for the next turn. */
	list_init(&now);
	list_splice(&now, &io->dirty);
	while ((n = list_pop(&now)) != NULL)
		stream_settle(list_entry(n, struct io_stream, dirty_node));
}

/* ---- beginning ----------------------------------------------------------------------- */

static struct io_stream *stream_new(struct io *io, int fd, const struct io_stream_ops *ops,
				    void *owner)
{
	struct io_stream *s = xcalloc(1, sizeof(*s));

	s->io = io;
	s->fd = fd;
	s->ops = ops;
	s->owner = owner;
	s->reading = true;
	s->high = IO_MARK_HIGH;
	s->low = IO_MARK_LOW;
	list_init(&s->dirty_node);
	list_init(&s->ready_node);
	io_timer_init(&s->timer, stream_timer);
	list_push(&io->streams, &s->node);
	io->totals.streams++;
	return s;
}

struct io_stream *io_stream_new(struct io *io, int fd, const struct io_stream_ops *ops,
				void *owner)
{
	struct io_stream *s = stream_new(io, fd, ops, owner);

	s->phase = IO_OPEN;
	stream_mark_dirty(s);
	return s;
}

static int stream_bind(int fd, const struct addr *from)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(from, &ss);
	int one = 1;

	/* The port is chosen by connect, which can share it between destinations. */
	if (!from->port)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(fd, (const void *)&ss, len) < 0 ? -errno : 0;
}

struct io_stream *io_connect(struct io *io, const struct addr *to, const struct addr *from,
			     const struct io_socket_opts *opts, const struct io_stream_ops *ops,
			     void *owner, int *ret_err)
{
	int fd = socket_make(to, opts, io->backend->connect_flags);
	struct sockaddr_storage ss;
	struct io_stream *s;
	int one = 1;

	if (opts && opts->netns >= 0 && !io_timer_is_armed(&io->home))
		io_timer_set(io, &io->home, IO_HOME_MS);
	if (fd < 0) {
		*ret_err = fd;
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s = stream_new(io, fd, ops, owner);
	s->phase = IO_CONNECTING;
	memcpy(&s->to, &ss, addr_to_sockaddr(to, &ss));
	s->early = from ? stream_bind(fd, from) : 0;
	if (!s->early)
		s->early = io->backend->connect(s);
	if (s->early)
		stream_mark_ready(s);
	return s;
}

void stream_on_connect(struct io_stream *s, int res)
{
	if (s->phase != IO_CONNECTING)
		return;
	if (res < 0) {
		stream_fail(s, res);
		return;
	}
	s->phase = IO_OPEN;
	stream_mark_dirty(s);
	if (!s->orphan && s->ops->connected)
		s->ops->connected(s, 0);
}

/* ---- the owner's other calls --------------------------------------------------------- */

void io_stream_shutdown(struct io_stream *s)
{
	s->shut_wanted = true;
	stream_mark_dirty(s);
}

void io_stream_close(struct io_stream *s)
{
	if (s)
		stream_kill(s);
}

void io_stream_close_flush(struct io_stream *s, unsigned int linger_ms)
{
	if (s->phase > IO_OPEN || s->broken || s->early) {
		stream_kill(s);
		return;
	}
	s->orphan = true;
	s->linger_ms = linger_ms;
	buf_done(&s->held);
	list_del(&s->ready_node);
	io_timer_set(s->io, &s->timer, linger_ms > IO_FLUSH_MIN_MS ? linger_ms : IO_FLUSH_MIN_MS);
	stream_mark_dirty(s);
}

void io_stream_abort(struct io_stream *s)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	stream_kill(s);
}

void *io_stream_owner(const struct io_stream *s)
{
	return s->owner;
}

void io_stream_set_owner(struct io_stream *s, const struct io_stream_ops *ops, void *owner)
{
	s->ops = ops;
	s->owner = owner;
}

struct io *io_stream_io(const struct io_stream *s)
{
	return s->io;
}

int io_stream_fd(const struct io_stream *s)
{
	return s->fd;
}

static int stream_name(int fd, int (*get)(int fd, struct sockaddr *sa, socklen_t *len),
		       struct addr *ret_a)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (get(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	return addr_from_sockaddr((const struct sockaddr *)&ss, ret_a);
}

int io_stream_local(struct io_stream *s, struct addr *ret_a)
{
	if (!s->has_local) {
		int rc = stream_name(s->fd, getsockname, &s->local);

		if (rc < 0)
			return rc;
		s->has_local = true;
	}
	*ret_a = s->local;
	return 0;
}

int io_stream_peer(struct io_stream *s, struct addr *ret_a)
{
	if (!s->has_peer) {
		int rc = stream_name(s->fd, getpeername, &s->peer);

		if (rc < 0)
			return rc;
		s->has_peer = true;
	}
	*ret_a = s->peer;
	return 0;
}
