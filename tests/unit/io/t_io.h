/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the io room share: a loop of the backend under test, a connected pair on
 * 127.0.0.1 whose ends record what they are told, blocking plain sockets as peers.
 */
#ifndef SKIFF_TESTS_T_IO_H
#define SKIFF_TESTS_T_IO_H

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h> /* a fuller tcp_info than netinet/tcp.h */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rand.h"
#include "io/io.h"

static enum io_backend t_backend;

static inline struct io *t_io_new(void)
{
	struct err e = { .text = "" };
	struct io *io = NULL;
	int rc = io_new(t_backend, &io, &e);

	if (rc < 0)
		fail_msg("no loop: %s", e.text);
	assert_string_equal(io_backend_name(io), t_backend == IO_URING ? "uring" : "epoll");
	return io;
}

/* Turns until @*flag or @ms passed; fails the test on the latter. */
#define t_until(io, cond) \
	do { \
		uint64_t t_end = clock_mono_ns() + 10 * NSEC_PER_SEC; \
		while (!(cond)) { \
			if (clock_mono_ns() > t_end) \
				fail_msg("waited 10 s for " #cond); \
			io_run_once(io, 50); \
		} \
	} while (0)

static inline void t_turns(struct io *io, int n)
{
	while (n--)
		io_run_once(io, 5);
}

static inline void t_free(struct io *io)
{
	struct io_totals t;

	for (int i = 0; i < 100; i++) {
		io_totals_get(io, &t);
		if (!t.streams && !t.in_flight)
			break;
		io_run_once(io, 10);
	}
	assert_int_equal(t.streams, 0);
	assert_int_equal(t.in_flight, 0);
	io_free(io);
}

/* ---- one end that remembers ---------------------------------------------------------- */

struct t_end {
	struct io_stream *s;
	struct buf got;
	int connected; /* calls */
	int connect_err;
	int data, eof, failed, drained; /* calls */
	int err;
	bool drop;     /* do not keep the bytes */
	bool echo;
	size_t total;
	void (*on_data)(struct t_end *e);
	void (*on_connected)(struct t_end *e);
	void (*on_eof)(struct t_end *e);
	void (*on_failed)(struct t_end *e);
	void (*on_drained)(struct t_end *e);
	void *arg;
};

static inline void t_connected(struct io_stream *s, int err)
{
	struct t_end *e = io_stream_owner(s);

	e->connected++;
	e->connect_err = err;
	if (e->on_connected)
		e->on_connected(e);
}

static inline void t_data(struct io_stream *s, char *p, size_t n)
{
	struct t_end *e = io_stream_owner(s);

	assert_true(n > 0);
	e->data++;
	e->total += n;
	if (!e->drop)
		buf_add(&e->got, p, n);
	if (e->echo)
		io_stream_write(s, p, n);
	if (e->on_data)
		e->on_data(e);
	/* Lent memory may be written to until the return, also after a close. */
	memset(p, 0xdd, n);
}

static inline void t_eof(struct io_stream *s)
{
	struct t_end *e = io_stream_owner(s);

	e->eof++;
	if (e->on_eof)
		e->on_eof(e);
}

static inline void t_failed(struct io_stream *s, int err)
{
	struct t_end *e = io_stream_owner(s);

	e->failed++;
	e->err = err;
	if (e->on_failed)
		e->on_failed(e);
}

static inline void t_drained(struct io_stream *s)
{
	struct t_end *e = io_stream_owner(s);

	e->drained++;
	if (e->on_drained)
		e->on_drained(e);
}

static const struct io_stream_ops t_ops = {
	.connected = t_connected,
	.data = t_data,
	.eof = t_eof,
	.failed = t_failed,
	.drained = t_drained,
};

static inline void t_close(struct t_end *e)
{
	if (e->s)
		io_stream_close(e->s);
	e->s = NULL;
	buf_done(&e->got);
}

/* ---- listener that hands its connections to ends in turn ----------------------------- */

struct t_server {
	struct io *io;
	struct io_listener *l;
	struct addr at;
	struct t_end *ends;
	size_t n, max;
};

static inline void t_accepted(struct io_listener *l, int fd)
{
	struct t_server *sv = io_listener_owner(l);
	struct t_end *e;

	assert_true(sv->n < sv->max);
	e = &sv->ends[sv->n++];
	e->s = io_stream_new(sv->io, fd, &t_ops, e);
}

static const struct io_listener_ops t_listener_ops = { .accepted = t_accepted };

static inline int t_listen_fd(struct addr *ret_at)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct err e = { .text = "" };
	struct addr any;
	int fd;

	assert_int_equal(addr_parse(slice_str("127.0.0.1:0"), &any), 0);
	fd = io_listen_socket(&any, NULL, &e);
	if (fd < 0)
		fail_msg("%s", e.text);
	assert_int_equal(getsockname(fd, (void *)&ss, &len), 0);
	assert_int_equal(addr_from_sockaddr((void *)&ss, ret_at), 0);
	return fd;
}

static inline void t_server_start(struct t_server *sv, struct io *io, struct t_end *ends,
				  size_t max)
{
	*sv = (struct t_server){ .io = io, .ends = ends, .max = max };
	sv->l = io_listener_new(io, t_listen_fd(&sv->at), &t_listener_ops, sv);
}

static inline void t_connect(struct io *io, struct t_end *e, const struct addr *to)
{
	int err = 0;

	e->s = io_connect(io, to, NULL, NULL, &t_ops, e, &err);
	if (!e->s)
		fail_msg("no socket: %s", strerror(-err));
}

/* A pair of streams of one loop. The listener is gone afterwards. */
static inline void t_pair(struct io *io, struct t_end *a, struct t_end *b)
{
	struct t_server sv;

	t_server_start(&sv, io, b, 1);
	t_connect(io, a, &sv.at);
	t_until(io, a->connected && sv.n == 1);
	assert_int_equal(a->connect_err, 0);
	io_listener_close(sv.l);
}

/* A stream of the loop and a plain blocking socket as its peer; returns the latter. */
static inline int t_plain_pair(struct io *io, struct t_end *a)
{
	struct sockaddr_storage ss;
	struct t_server sv;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	t_server_start(&sv, io, a, 1);
	assert_int_equal(connect(fd, (void *)&ss, addr_to_sockaddr(&sv.at, &ss)), 0);
	t_until(io, sv.n == 1);
	io_listener_close(sv.l);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Runs every test of @tests on both backends. */
#define t_main(tests) \
	int main(void) \
	{ \
		int bad; \
		signal(SIGPIPE, SIG_DFL); \
		t_backend = IO_URING; \
		bad = cmocka_run_group_tests_name("uring", tests, NULL, NULL); \
		t_backend = IO_EPOLL; \
		return bad + cmocka_run_group_tests_name("epoll", tests, NULL, NULL); \
	}

#endif
