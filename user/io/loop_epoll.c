/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoll backend, for kernels where io_uring is switched off. Level-triggered: a stream that
 * is not read, or read only in part, is reported again. Operations end at once when cancelled,
 * so nothing is ever in flight after stream_kill.
 */
#include "io/io_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "io/poll.h"

#define EVENTS_MAX 256
#define ACCEPTS_MAX 64 /* of one listener in a turn */

enum { TAG_STREAM, TAG_LISTENER, TAG_WAKE, TAG_MASK = 3 };

struct poller {
	int fd;
	int n; /* events of the last wait */
	struct epoll_event events[EVENTS_MAX];
	char buffer[IO_RECV_BUFFER];
};

static struct poller *poller_of(const struct io *io)
{
	return io->impl;
}

/* ---- interest ------------------------------------------------------------------------ */

static void poll_ctl(struct io *io, int op, int fd, uint32_t mask, uintptr_t name)
{
	struct epoll_event ev = { .events = mask, .data.u64 = name };

	/* Fails only without memory; a connection that is never reported would hang. */
	must(epoll_ctl(poller_of(io)->fd, op, fd, &ev) == 0);
}

static void poll_update(struct io_stream *s)
{
	uint32_t mask = (s->flight & IO_RECV ? EPOLLIN : 0u) |
			(s->flight & (IO_SEND | IO_CONN) ? EPOLLOUT : 0u);

	if (s->polled && mask == s->poll_mask)
		return;
	if (!s->polled && !mask)
		return;
	poll_ctl(s->io, s->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, mask,
		 (uintptr_t)s | TAG_STREAM);
	s->polled = true;
	s->poll_mask = mask;
}

/* Hang-ups are reported whatever was asked for; nobody wants to hear them from this stream. */
static void poll_forget(struct io_stream *s)
{
	if (s->polled)
		poll_ctl(s->io, EPOLL_CTL_DEL, s->fd, 0, 0);
	s->polled = false;
	s->poll_mask = 0;
}

static void epoll_recv(struct io_stream *s)
{
	s->flight |= IO_RECV;
	poll_update(s);
}

static void epoll_recv_cancel(struct io_stream *s)
{
	s->flight &= ~IO_RECV;
	poll_update(s);
}

static void epoll_send(struct io_stream *s)
{
	s->flight |= IO_SEND;
	poll_update(s);
}

static int epoll_connect(struct io_stream *s)
{
	socklen_t len = s->to.sa.sa_family == AF_INET ? sizeof(s->to.in) : sizeof(s->to.in6);

	if (connect(s->fd, &s->to.sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	s->flight |= IO_CONN;
	poll_update(s);
	return 0;
}

static void epoll_cancel(struct io_stream *s)
{
	s->flight = 0;
	poll_forget(s);
}

static void epoll_accept(struct io_listener *l)
{
	int flags = fcntl(l->fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(l->fd, F_SETFL, flags | O_NONBLOCK);
	poll_ctl(l->io, EPOLL_CTL_ADD, l->fd, EPOLLIN, (uintptr_t)l | TAG_LISTENER);
	l->armed = true;
}

static void epoll_accept_cancel(struct io_listener *l)
{
	poll_ctl(l->io, EPOLL_CTL_DEL, l->fd, 0, 0);
	l->armed = false;
	listener_on_idle(l);
}

/* ---- events -------------------------------------------------------------------------- */

static void epoll_read(struct io_stream *s)
{
	char *buffer = poller_of(s->io)->buffer;
	size_t total = 0;

	while (stream_is_reading(s) && total < IO_TURN_BYTES) {
		ssize_t n = recv(s->fd, buffer, IO_RECV_BUFFER, MSG_DONTWAIT);

		if (n > 0) {
			total += (size_t)n;
			stream_on_data(s, buffer, (size_t)n);
			if (n < IO_RECV_BUFFER)
				return;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		epoll_recv_cancel(s);
		stream_on_recv_end(s, n < 0 ? -errno : 0);
		return;
	}
}

static void epoll_on_stream(struct io_stream *s, uint32_t events)
{
	bool hup = events & (EPOLLHUP | EPOLLERR);

	if (s->phase >= IO_FAILED)
		return;
	if (s->flight & IO_CONN) {
		s->flight &= ~IO_CONN;
		poll_update(s);
		stream_on_connect(s, socket_error(s->fd));
		stream_on_idle(s);
		return;
	}
	if ((s->flight & IO_SEND) && (events & EPOLLOUT || hup)) {
		s->flight &= ~IO_SEND;
		poll_update(s);
		stream_on_idle(s);
	}
	if ((s->flight & IO_RECV) && (events & EPOLLIN || hup)) {
		epoll_read(s);
		return;
	}
	if (hup) {
		/* It would be reported again and again. */
		poll_forget(s);
		stream_look(s);
	}
}

static void epoll_on_listener(struct io_listener *l)
{
	for (int i = 0; i < ACCEPTS_MAX && l->armed; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && errno == EAGAIN)
			return;
		listener_on_accept(l, fd < 0 ? -errno : fd);
	}
}

static void epoll_on_wake(struct io *io)
{
	uint64_t count;

	if (read(io->wake_fd, &count, sizeof(count)) == sizeof(count))
		io->woken = true;
}

static void epoll_dispatch(struct io *io)
{
	struct poller *p = poller_of(io);

	for (int i = 0; i < p->n; i++) {
		uintptr_t name = (uintptr_t)p->events[i].data.u64;
		void *who = (void *)(name & ~(uintptr_t)TAG_MASK);

		switch (name & TAG_MASK) {
		case TAG_STREAM:
			epoll_on_stream(who, p->events[i].events);
			break;
		case TAG_LISTENER:
			epoll_on_listener(who);
			break;
		default:
			epoll_on_wake(io);
			break;
		}
	}
	p->n = 0;
}

static void epoll_wait_ns(struct io *io, int64_t ns)
{
	struct poller *p = poller_of(io);
	int64_t ms = ns < 0 ? -1 : (ns + (int64_t)NSEC_PER_MSEC - 1) / (int64_t)NSEC_PER_MSEC;

	if (ms > INT32_MAX)
		ms = INT32_MAX;
	p->n = epoll_wait(p->fd, p->events, EVENTS_MAX, (int)ms);
	if (p->n < 0) {
		must(errno == EINTR);
		p->n = 0;
	}
}

/* ---- open and close ------------------------------------------------------------------ */

static int epoll_open(struct io *io, struct err *e)
{
	struct poller *p = xcalloc(1, sizeof(*p));

	p->fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->fd < 0) {
		int rc = err_set(e, -errno, "epoll: %s", strerror(errno));

		free(p);
		return rc;
	}
	io->impl = p;
	poll_ctl(io, EPOLL_CTL_ADD, io->wake_fd, EPOLLIN, TAG_WAKE);
	return 0;
}

static void epoll_close(struct io *io)
{
	struct poller *p = poller_of(io);

	close(p->fd);
	free(p);
	io->impl = NULL;
}

int io_poll_fd(const struct io *io)
{
	return io->backend == &io_epoll_ops ? poller_of(io)->fd : -ENOTSUP;
}

const struct io_backend_ops io_epoll_ops = {
	.name = "epoll",
	.connect_flags = SOCK_NONBLOCK,
	.open = epoll_open,
	.close = epoll_close,
	.wait = epoll_wait_ns,
	.dispatch = epoll_dispatch,
	.recv = epoll_recv,
	.recv_cancel = epoll_recv_cancel,
	.send = epoll_send,
	.connect = epoll_connect,
	.cancel = epoll_cancel,
	.accept = epoll_accept,
	.accept_cancel = epoll_accept_cancel,
};
