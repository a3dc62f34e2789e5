/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: what a listening socket promises, network namespaces and marks (need root; skipped
 * without), the fall-back to epoll where io_uring is forbidden, the cost of an idle stream.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/unit/io/t_io.h"

#include "base/log.h"
#include "io/io_impl.h"

static int get_option(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int v = -1;

	assert_int_equal(getsockopt(fd, level, name, &v, &len), 0);
	return v;
}

static void test_listening_socket(void **state)
{
	struct addr at;
	int fd = t_listen_fd(&at);

	(void)state;
	assert_true(get_option(fd, SOL_SOCKET, SO_REUSEADDR));
	assert_true(get_option(fd, SOL_SOCKET, SO_REUSEPORT));
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static void test_address_in_use(void **state)
{
	struct sockaddr_storage ss;
	struct err e = { .text = "" };
	char text[ADDR_TEXT_MAX];
	socklen_t len = sizeof(ss);
	struct addr at;
	int fd = socket(AF_INET, SOCK_STREAM, 0); /* without SO_REUSEPORT */

	(void)state;
	assert_int_equal(addr_parse(slice_str("127.0.0.1:0"), &at), 0);
	assert_int_equal(bind(fd, (void *)&ss, addr_to_sockaddr(&at, &ss)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (void *)&ss, &len), 0);
	assert_int_equal(addr_from_sockaddr((void *)&ss, &at), 0);
	assert_int_equal(io_listen_socket(&at, NULL, &e), -EADDRINUSE);
	addr_format(&at, text);
	assert_non_null(strstr(e.text, text));
	assert_non_null(strstr(e.text, "address in use"));
	assert_non_null(strstr(e.text, "choose another port"));
	assert_int_equal(addr_parse(slice_str("192.0.2.1:1"), &at), 0);
	assert_int_equal(io_listen_socket(&at, NULL, NULL), -EADDRNOTAVAIL);
	close(fd);
}

/* Listens on [::] and then on 0.0.0.0 of the same port; the latter's descriptor or -errno. */
static int share_a_port(int *ret_fd6)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr any4, any6;

	assert_int_equal(addr_parse(slice_str("[::]:0"), &any6), 0);
	*ret_fd6 = io_listen_socket(&any6, NULL, NULL);
	if (*ret_fd6 == -EAFNOSUPPORT)
		skip(); /* a kernel without IPv6 */
	assert_true(*ret_fd6 >= 0);
	assert_int_equal(getsockname(*ret_fd6, (void *)&ss, &len), 0);
	assert_int_equal(addr_from_sockaddr((void *)&ss, &any6), 0);
	assert_int_equal(addr_parse(slice_str("0.0.0.0:0"), &any4), 0);
	any4.port = any6.port;
	return io_listen_socket(&any4, NULL, NULL);
}

static void test_ip6_and_ip4_share_a_port(void **state)
{
	int fd6, fd4 = -EADDRINUSE;

	(void)state;
	/* Another program may have that port on 0.0.0.0 alone: then another port. */
	for (int i = 0; i < 20 && fd4 == -EADDRINUSE; i++) {
		fd4 = share_a_port(&fd6);
		close(fd6);
	}
	assert_true(fd4 >= 0);
	close(fd4);
}

static void test_accepted_and_dialled_have_nodelay(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { 0 };

	(void)state;
	t_pair(io, &a, &b);
	assert_true(get_option(io_stream_fd(a.s), IPPROTO_TCP, TCP_NODELAY));
	assert_true(get_option(io_stream_fd(b.s), IPPROTO_TCP, TCP_NODELAY));
	assert_true(fcntl(io_stream_fd(a.s), F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(io_stream_fd(b.s), F_GETFD) & FD_CLOEXEC);
	t_close(&a);
	t_close(&b);
	t_free(io);
}

/* ---- network namespaces -------------------------------------------------------------- */

static int netns_fd(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static ino_t netns_inode(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/thread-self/ns/net", &st), 0);
	return st.st_ino;
}

/* A thread that makes a namespace with loopback up, hands out its descriptor and ends. */
static void *netns_make(void *arg)
{
	char ifreq[40] = "lo"; /* name, then flags at 16: struct ifreq */
	short up = 1;
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return NULL;
	memcpy(ifreq + 16, &up, sizeof(up));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ioctl(fd, 0x8914 /* SIOCSIFFLAGS */, ifreq);
	close(fd);
	*(int *)arg = netns_fd();
	return NULL;
}

static int netns_new(void)
{
	pthread_t t;
	int fd = -1;

	pthread_create(&t, NULL, netns_make, &fd);
	pthread_join(t, NULL);
	return fd;
}

static uint64_t socket_cookie(int fd)
{
	socklen_t len = sizeof(uint64_t);
	uint64_t v = 0;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &v, &len), 0);
	return v;
}

/* Two namespaces; false without root. */
static bool two_namespaces(struct io_socket_opts in[2])
{
	for (int i = 0; i < 2; i++)
		in[i] = (struct io_socket_opts){ .netns = netns_new() };
	if (in[0].netns < 0)
		print_message("needs root to make network namespaces\n");
	return in[0].netns >= 0;
}

static uint64_t dial_cookie(struct io *io, struct t_end *e, const struct io_socket_opts *opts)
{
	struct addr at;
	int err = 0;

	*e = (struct t_end){ 0 };
	assert_int_equal(addr_parse(slice_str("127.0.0.1:18080"), &at), 0);
	e->s = io_connect(io, &at, NULL, opts, &t_ops, e, &err);
	if (!e->s)
		fail_msg("no socket: %s", strerror(-err));
	return socket_cookie(io_stream_fd(e->s));
}

static void test_listen_in_namespaces(void **state)
{
	ino_t home = netns_inode();
	struct io_socket_opts in[2], out = { .netns = -1 };
	uint64_t cookie[3];
	struct addr at;
	int fd[3];

	(void)state;
	if (!two_namespaces(in))
		skip();
	assert_int_equal(addr_parse(slice_str("127.0.0.1:18080"), &at), 0);
	for (int i = 0; i < 3; i++) { /* the same address in all of them */
		fd[i] = io_listen_socket(&at, i < 2 ? &in[i] : &out, NULL);
		assert_true(fd[i] >= 0);
		assert_int_equal(netns_inode(), home); /* not left behind */
		cookie[i] = socket_cookie(fd[i]);
	}
	assert_true(cookie[0] != cookie[1] && cookie[0] != cookie[2] && cookie[1] != cookie[2]);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close(in[0].netns);
	close(in[1].netns);
}

static void test_dial_in_namespaces(void **state)
{
	struct io *io = t_io_new();
	ino_t home = netns_inode();
	struct io_socket_opts in[2];
	struct t_end a, b = { 0 };
	struct addr at, seen;
	struct t_server sv = { .io = io, .ends = &b, .max = 1 };

	(void)state;
	if (!two_namespaces(in)) {
		io_free(io);
		skip();
	}
	assert_int_equal(addr_parse(slice_str("127.0.0.1:18080"), &at), 0);
	sv.l = io_listener_new(io, io_listen_socket(&at, &in[0], NULL), &t_listener_ops, &sv);
	dial_cookie(io, &a, &in[0]);
	t_until(io, a.connected && sv.n == 1);
	assert_int_equal(a.connect_err, 0);
	assert_int_equal(io_stream_local(b.s, &seen), 0);
	assert_true(addr_is_equal(&seen, &at));
	t_close(&a);
	dial_cookie(io, &a, &in[1]); /* nobody listens there */
	t_until(io, a.connected);
	assert_int_equal(a.connect_err, -ECONNREFUSED);
	t_close(&a);
	/* The thread does not stay for long. */
	t_until(io, netns_inode() == home);
	t_close(&b);
	io_listener_close(sv.l);
	t_free(io);
	close(in[0].netns);
	close(in[1].netns);
}

static void test_thread_knows_where_it_is(void **state)
{
	struct io *io = t_io_new();
	ino_t home = netns_inode();
	struct io_socket_opts in[2];
	uint64_t own, first;
	struct t_end a;
	struct addr at;
	int err = 0;

	(void)state;
	if (!two_namespaces(in)) {
		io_free(io);
		skip();
	}
	own = dial_cookie(io, &a, NULL);
	t_close(&a);
	first = dial_cookie(io, &a, &in[0]);
	t_close(&a);
	assert_true(first != own);
	assert_true(dial_cookie(io, &a, NULL) == own);
	assert_int_equal(netns_inode(), home);
	t_close(&a);
	assert_true(dial_cookie(io, &a, &in[0]) == first);
	t_close(&a);
	/* A recycled descriptor number is another namespace. */
	assert_int_equal(dup2(in[1].netns, in[0].netns), in[0].netns);
	assert_true(dial_cookie(io, &a, &in[0]) != first);
	t_close(&a);
	close(in[0].netns);
	assert_int_equal(addr_parse(slice_str("127.0.0.1:1"), &at), 0);
	assert_null(io_connect(io, &at, NULL, &in[0], &t_ops, &a, &err));
	assert_int_equal(err, -EBADF);
	t_free(io);
	assert_int_equal(netns_inode(), home);
	close(in[1].netns);
}

static void test_mark(void **state)
{
	struct io_socket_opts opts = { .netns = -1, .mark = 0x5afe };
	struct addr at;
	int fd;

	(void)state;
	assert_int_equal(addr_parse(slice_str("127.0.0.1:0"), &at), 0);
	fd = io_listen_socket(&at, &opts, NULL);
	if (fd == -EPERM) {
		print_message("needs root to mark sockets\n");
		skip();
	}
	assert_true(fd >= 0);
	assert_int_equal(get_option(fd, SOL_SOCKET, SO_MARK), 0x5afe);
	close(fd);
}

/* ---- io_uring switched off ----------------------------------------------------------- */

static int forbid_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_LEN(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &prog);
}

/* In a child, because a filter cannot be taken away. Exit status: the step that failed. */
static int without_io_uring(void)
{
	struct err e = { .text = "" };
	struct io *io = NULL;

	if (forbid_io_uring())
		return 1;
	if (io_new(IO_URING, &io, &e) != -EPERM || io)
		return 2;
	if (!strstr(e.text, "io_uring is not available (") || !strstr(e.text, "seccomp"))
		return 3;
	if (io_new(IO_AUTO, &io, &e) != 0)
		return 4;
	if (strcmp(io_backend_name(io), "epoll") != 0)
		return 5;
	io_free(io);
	return 0;
}

static void test_falls_back(void **state)
{
	char text[4096];
	size_t n = 0;
	ssize_t r;
	int fds[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		_exit(without_io_uring());
	}
	close(fds[1]);
	while (n < sizeof(text) - 1 && (r = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_non_null(strstr(text, "io_uring is not available ("));
	assert_non_null(strstr(text, "): using epoll"));
	assert_ptr_equal(strchr(text, '\n'), text + n - 1); /* one line */
}

/* An idle stream holds no buffer and little else. */
static void test_idle_stream_is_small(void **state)
{
	struct io *io = t_io_new();
	struct t_end a = { 0 }, b = { .echo = true };

	(void)state;
	t_pair(io, &a, &b);
	io_stream_write(a.s, "hello", 5);
	t_until(io, a.total == 5);
	assert_true(sizeof(struct io_stream) < 600);
	for (int i = 0; i < 2; i++) {
		struct io_stream *s = i ? a.s : b.s;

		assert_null(s->out.base);
		assert_null(s->sending.base);
		assert_null(s->held.base);
	}
	t_close(&a);
	t_close(&b);
	t_free(io);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_listening_socket),
	cmocka_unit_test(test_address_in_use),
	cmocka_unit_test(test_ip6_and_ip4_share_a_port),
	cmocka_unit_test(test_accepted_and_dialled_have_nodelay),
	cmocka_unit_test(test_listen_in_namespaces),
	cmocka_unit_test(test_dial_in_namespaces),
	cmocka_unit_test(test_thread_knows_where_it_is),
	cmocka_unit_test(test_mark),
	cmocka_unit_test(test_falls_back),
	cmocka_unit_test(test_idle_stream_is_small),
};

t_main(tests)
