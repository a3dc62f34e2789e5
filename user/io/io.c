/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: making and freeing it, turns, posts from other threads. What a turn does to streams
 * stands in stream.c, how the kernel is asked in loop_uring.c and loop_epoll.c.
 */
#include "io/io_impl.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

static void io_home_due(struct io_timer *t)
{
	(void)t;
	socket_go_home();
}

static int io_backend_open(struct io *io, enum io_backend want, struct err *e)
{
	struct err why = { .text = "" };
	int rc;

	if (want != IO_EPOLL) {
		io->backend = &io_uring_ops;
		rc = io->backend->open(io, &why);
		if (rc == 0)
			return 0;
		if (want == IO_URING)
			return err_set(e, rc, "io_uring is not available (%s)", why.text);
		log_warn("io", "io_uring is not available (%s): using epoll", why.text);
	}
	io->backend = &io_epoll_ops;
	return io->backend->open(io, e);
}

int io_new(enum io_backend want, struct io **ret_io, struct err *e)
{
	struct io *io = xcalloc(1, sizeof(*io));
	int rc;

	list_init(&io->streams);
	list_init(&io->listeners);
	list_init(&io->dirty);
	list_init(&io->ready);
	list_init(&io->dead);
	list_init(&io->dead_listeners);
	io->calls_end = &io->calls;
	io->now = clock_mono_ns();
	wheel_init(&io->wheel, io->now);
	io_timer_init(&io->home, io_home_due);
	pthread_mutex_init(&io->lock, NULL);
	io->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (io->wake_fd < 0) {
		rc = err_set(e, -errno, "eventfd: %s", strerror(errno));
		goto out;
	}
	rc = io_backend_open(io, want, e);
out:
	if (rc < 0) {
		if (io->wake_fd >= 0)
			close(io->wake_fd);
		pthread_mutex_destroy(&io->lock);
		free(io);
		return rc;
	}
	*ret_io = io;
	return 0;
}

/* Ends all streams and listeners and waits for the kernel to let go of their memory. */
static void io_close_all(struct io *io)
{
	list_for_each_safe(n, next, &io->streams)
		stream_kill(list_entry(n, struct io_stream, node));
	list_for_each_safe(n, next, &io->listeners)
		io_listener_close(list_entry(n, struct io_listener, node));
	streams_reap(io);
	listeners_reap(io);
	while (!list_is_empty(&io->streams) || !list_is_empty(&io->listeners)) {
		io->backend->wait(io, -1);
		io->backend->dispatch(io);
		streams_reap(io);
		listeners_reap(io);
	}
}

void io_free(struct io *io)
{
	if (!io)
		return;
	io_close_all(io);
	io->backend->close(io);
	wheel_done(&io->wheel);
	socket_go_home();
	while (io->calls) {
		struct io_call *c = io->calls;

		io->calls = c->next;
		free(c);
	}
	while (io->n_spare)
		buf_done(&io->spare[--io->n_spare]);
	close(io->wake_fd);
	pthread_mutex_destroy(&io->lock);
	free(io);
}

const char *io_backend_name(const struct io *io)
{
	return io->backend->name;
}

uint64_t io_now(const struct io *io)
{
	return io->now;
}

void io_totals_get(const struct io *io, struct io_totals *ret_t)
{
	*ret_t = io->totals;
}

void io_set_turn_hook(struct io *io, void (*fn)(void *arg), void *arg)
{
	io->hook = fn;
	io->hook_arg = arg;
}

/* ---- other threads ------------------------------------------------------------------- */

static void io_wake(struct io *io)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(io->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	must(n == sizeof(one));
}

void io_stop(struct io *io)
{
	atomic_store(&io->stop, true);
	io_wake(io);
}

void io_post(struct io *io, void (*fn)(void *arg), void *arg)
{
	struct io_call *c = xmalloc(sizeof(*c));
	bool first;

	*c = (struct io_call){ .fn = fn, .arg = arg };
	pthread_mutex_lock(&io->lock);
	first = !io->calls;
	*io->calls_end = c;
	io->calls_end = &c->next;
	/* Inside the lock: after it the loop may run @fn, and @fn may end the loop. */
	if (first)
		io_wake(io);
	pthread_mutex_unlock(&io->lock);
}

static void io_run_calls(struct io *io)
{
	struct io_call *c;

	if (!io->woken)
		return;
	io->woken = false;
	pthread_mutex_lock(&io->lock);
	c = io->calls;
	io->calls = NULL;
	io->calls_end = &io->calls;
	pthread_mutex_unlock(&io->lock);
	while (c) {
		struct io_call *next = c->next;

		c->fn(c->arg);
		free(c);
		c = next;
	}
}

/* ---- turns --------------------------------------------------------------------------- */

/* How long the turn may sleep: the caller's limit, the next timer, not at all with work left. */
static int64_t io_patience(struct io *io, int timeout_ms)
{
	int64_t ns = timeout_ms < 0 ? -1 : timeout_ms * (int64_t)NSEC_PER_MSEC;
	uint64_t next;

	if (!list_is_empty(&io->dirty) || !list_is_empty(&io->ready))
		return 0;
	next = wheel_next(&io->wheel);
	if (next <= INT64_MAX / NSEC_PER_MSEC) {
		int64_t left = (int64_t)(next * NSEC_PER_MSEC) - (int64_t)clock_mono_ns();

		if (left < 0)
			left = 0;

		if (ns < 0 || left < ns)
			ns = left;
	}
	return ns;
}

static void io_wait(struct io *io, int64_t ns)
{
	uint64_t begin = clock_mono_ns();
	bool busy = io->busy.limit_ns && (ns < 0 || (uint64_t)ns > io->busy.limit_ns);

	if (!busy || !busy_poll(io))
		io->backend->wait(io, ns);
	io->now = clock_mono_ns();
	if (busy)
		busy_learn(io, io->now - begin);
}

void io_run_once(struct io *io, int timeout_ms)
{
	io_wait(io, io_patience(io, timeout_ms));
	io->totals.turns++;
	io->backend->dispatch(io);
	streams_tell_ready(io);
	wheel_run(&io->wheel, io->now);
	io_run_calls(io);
	if (io->hook)
		io->hook(io->hook_arg);
	streams_settle(io);
	streams_reap(io);
	listeners_reap(io);
}

void io_run(struct io *io)
{
	while (!atomic_load(&io->stop))
		io_run_once(io, -1);
	atomic_store(&io->stop, false);
}
