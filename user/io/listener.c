/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: accepting, and what happens when descriptors run out. */
#include "io/io_impl.h"

#include <errno.h>
#include <unistd.h>

#include "base/log.h"

static void listener_arm(struct io_listener *l)
{
	if (!l->closed && !l->armed && !io_timer_is_armed(&l->pause))
		l->io->backend->accept(l);
}

static void listener_resume(struct io_timer *t)
{
	listener_arm(container_of(t, struct io_listener, pause));
}

struct io_listener *io_listener_new(struct io *io, int fd, const struct io_listener_ops *ops,
				    void *owner)
{
	struct io_listener *l = xcalloc(1, sizeof(*l));

	l->io = io;
	l->fd = fd;
	l->ops = ops;
	l->owner = owner;
	io_timer_init(&l->pause, listener_resume);
	list_push(&io->listeners, &l->node);
	listener_arm(l);
	return l;
}

void *io_listener_owner(const struct io_listener *l)
{
	return l->owner;
}

int io_listener_fd(const struct io_listener *l)
{
	return l->fd;
}

static bool is_starvation(int res)
{
	return res == -EMFILE || res == -ENFILE || res == -ENOBUFS || res == -ENOMEM;
}

static void listener_starve(struct io_listener *l, int res)
{
	if (!l->starving)
		log_warn("io",
			 "cannot accept: %s; retrying every %d ms (raise the limit of open files)",
			 strerror(-res), IO_ACCEPT_PAUSE_MS);
	l->starving = true;
	io_timer_set(l->io, &l->pause, IO_ACCEPT_PAUSE_MS);
	if (l->armed)
		l->io->backend->accept_cancel(l);
}

void listener_on_accept(struct io_listener *l, int res)
{
	if (res < 0) {
		/* The rest (a client that left, a cancel) says nothing about the listener. */
		if (is_starvation(res) && !l->closed)
			listener_starve(l, res);
		return;
	}
	if (l->closed) {
		close(res);
		return;
	}
	l->starving = false;
	l->ops->accepted(l, res);
}

void listener_on_idle(struct io_listener *l)
{
	if (!l->closed) {
		listener_arm(l);
		return;
	}
	list_del(&l->node);
	list_push(&l->io->dead_listeners, &l->node);
}

void io_listener_close(struct io_listener *l)
{
	if (!l || l->closed)
		return;
	l->closed = true;
	io_timer_cancel(l->io, &l->pause);
	if (l->armed)
		l->io->backend->accept_cancel(l);
	else
		listener_on_idle(l);
}

void listeners_reap(struct io *io)
{
	struct list *n;

	while ((n = list_pop(&io->dead_listeners)) != NULL) {
		struct io_listener *l = list_entry(n, struct io_listener, node);

		close(l->fd);
		free(l);
	}
}
