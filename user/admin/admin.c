/* SPDX-License-Identifier: Apache-2.0 */
/* Life of the admin server: sockets, the table of routes, the thread. */
#include "admin/admin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "admin/admin_impl.h"
#include "base/clock.h"
#include "base/log.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int open_sockets(struct admin *a, struct err *e)
{
	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->wake_fd < 0)
		return err_set(e, -errno, "admin: eventfd: %s", strerror(errno));
	if (a->opts.tcp) {
		a->tcp_fd = admin_socket_tcp(&a->opts.listen, a->opts.allow_any, &a->port, e);
		if (a->tcp_fd < 0)
			return a->tcp_fd;
	}
	if (a->opts.control) {
		a->control_fd = admin_socket_control(a->opts.control, e);
		if (a->control_fd < 0)
			return a->control_fd;
	}
	return 0;
}

int admin_new(const struct admin_options *opts, struct admin **ret_admin, struct err *e)
{
	struct admin *a = xcalloc(1, sizeof(*a));
	int rc;

	a->opts = *opts;
	a->tcp_fd = a->control_fd = a->wake_fd = -1;
	a->started_ns = clock_mono_ns();
	rc = open_sockets(a, e);
	if (rc) {
		/* A socket that is not ours may be at the path. */
		if (a->control_fd < 0)
			a->opts.control = NULL;
		admin_free(a);
		return rc;
	}
	a->tags = prom_tags_new();
	meter_init(&a->meter);
	admin_add_own(a);
	admin_add_stats(a);
	*ret_admin = a;
	return 0;
}

void admin_add(struct admin *a, const struct admin_route *routes, size_t n, void *ctx)
{
	must(!a->running);
	for (size_t i = 0; i < n; i++) {
		must(a->entries_n < ADMIN_ROUTES_MAX);
		a->entries[a->entries_n++] = (struct admin_entry){ routes + i, ctx };
	}
}

static int shorter_wait(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* One wait for both daemons and the wake-up, then a turn of each. */
static void turn(struct admin *a)
{
	struct MHD_Daemon *daemons[] = { a->tcp, a->control };
	struct pollfd fds[ARRAY_LEN(daemons) + 1] = { { .fd = a->wake_fd, .events = POLLIN } };
	nfds_t n = 1;
	int wait = -1;

	for (size_t i = 0; i < ARRAY_LEN(daemons); i++)
		if (daemons[i]) {
			fds[n++] = (struct pollfd){ .fd = admin_serve_fd(daemons[i]),
						    .events = POLLIN };
			wait = shorter_wait(wait, admin_serve_wait(daemons[i]));
		}
	if (poll(fds, n, wait) < 0 && errno != EINTR)
		log_error("admin", "poll: %s; trying again", strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(daemons); i++)
		if (daemons[i])
			admin_serve_turn(daemons[i]);
}

static void *run(void *arg)
{
	struct admin *a = arg;

	while (!atomic_load(&a->stop))
		turn(a);
	return NULL;
}

/* The thread takes no signal: they belong to main. */
static int start_thread(struct admin *a)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&a->thread, NULL, run, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc == 0)
		pthread_setname_np(a->thread, "skiff-admin");
	return -rc;
}

static struct MHD_Daemon *serve(struct admin *a, int *fd, bool control)
{
	struct MHD_Daemon *d = admin_serve(a, *fd, control);

	if (d)
		*fd = -1; /* the daemon's from now on */
	return d;
}

int admin_start(struct admin *a, struct err *e)
{
	int rc;

	must(!a->running);
	if (a->tcp_fd >= 0 && !(a->tcp = serve(a, &a->tcp_fd, false)))
		return err_set(e, -ENOMEM, "admin: libmicrohttpd does not start on port %u",
			       a->port);
	if (a->control_fd >= 0 && !(a->control = serve(a, &a->control_fd, true)))
		return err_set(e, -ENOMEM, "admin: libmicrohttpd does not start on %s",
			       a->opts.control);
	rc = start_thread(a);
	if (rc)
		return err_set(e, rc, "admin thread: %s", strerror(-rc));
	a->running = true;
	return 0;
}

uint16_t admin_port(const struct admin *a)
{
	return a->port;
}

void admin_free(struct admin *a)
{
	uint64_t one = 1;

	if (!a)
		return;
	if (a->running) {
		atomic_store(&a->stop, true);
		/* An eventfd with room always takes it. */
		must(write(a->wake_fd, &one, sizeof(one)) == sizeof(one));
		pthread_join(a->thread, NULL);
	}
	admin_serve_stop(a->tcp);
	admin_serve_stop(a->control);
	close_fd(&a->tcp_fd);
	close_fd(&a->control_fd);
	close_fd(&a->wake_fd);
	if (a->opts.control)
		unlink(a->opts.control);
	prom_tags_free(a->tags);
	meter_done(&a->meter);
	free(a);
}
