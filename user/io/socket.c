/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets and the network namespaces that they are made in. setns(2) moves the calling thread;
 * the thread remembers where it is, so that a worker that keeps dialling one pod pays for the
 * move once. It does not stay for long (IO_HOME_MS): a thread inside keeps a dead pod's
 * namespace, and its devices, alive.
 */
#include "io/io_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTEN_BACKLOG 4096 /* the kernel lowers it to net.core.somaxconn */

/*
 * Where this thread is. Descriptors are recycled, so a namespace is known by device and inode,
 * which cannot be recycled while the thread is inside.
 */
static __thread struct {
	bool away;
	dev_t dev;
	ino_t ino;
} place;

static int home_fd = -1;
static pthread_once_t home_once = PTHREAD_ONCE_INIT;

/* Runs before the first move of any thread, so the thread is at home. */
static void home_open(void)
{
	home_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

int socket_error(int fd)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	return -err;
}

void socket_go_home(void)
{
	if (!place.away)
		return;
	/* Staying in a pod by mistake would open skiffd's own sockets there. */
	must(setns(home_fd, CLONE_NEWNET) == 0);
	place.away = false;
}

static int netns_enter(int netns)
{
	struct stat st;

	if (netns < 0) {
		socket_go_home();
		return 0;
	}
	pthread_once(&home_once, home_open);
	if (home_fd < 0 || fstat(netns, &st) < 0)
		return -EBADF;
	if (place.away && place.dev == st.st_dev && place.ino == st.st_ino)
		return 0;
	if (setns(netns, CLONE_NEWNET) < 0)
		return -errno;
	place.away = true;
	place.dev = st.st_dev;
	place.ino = st.st_ino;
	return 0;
}

int socket_make(const struct addr *a, const struct io_socket_opts *opts, int type_flags)
{
	int rc = netns_enter(opts ? opts->netns : -1);
	int fd;

	if (rc < 0)
		return rc;
	fd = socket(addr_is_v4(a) ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | type_flags,
		    IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	if (opts && opts->mark &&
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &opts->mark, sizeof(opts->mark)) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static const char *listen_fix(int code)
{
	switch (-code) {
	case EADDRINUSE:
		return "address in use: another program has this port (\"ss -ltnp\" names it); "
		       "stop it or choose another port";
	case EACCES:
		return "no permission; ports under 1024 need root or CAP_NET_BIND_SERVICE";
	case EADDRNOTAVAIL:
		return "no interface has this address";
	case EPERM:
		return "no permission; marks and network namespaces need root or CAP_NET_ADMIN and "
		       "CAP_SYS_ADMIN";
	case EBADF:
		return "the network namespace's descriptor is not open";
	default:
		return strerror(-code);
	}
}

static int listen_start(int fd, const struct addr *at, bool dual_stack)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(at, &ss);
	int one = 1;
	int v6only = !dual_stack;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		return -errno;
	/* 0.0.0.0 and :: of one port are two listeners, unless one shall serve both. */
	if (ss.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0)
		return -errno;
	if (bind(fd, (const void *)&ss, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	return 0;
}

int io_listen_socket(const struct addr *at, const struct io_socket_opts *opts, struct err *e)
{
	char text[ADDR_TEXT_MAX];
	int fd = socket_make(at, opts, SOCK_NONBLOCK);
	int rc = fd;

	/* No loop stands behind this call that would go home later. */
	socket_go_home();
	if (fd >= 0) {
		rc = listen_start(fd, at, opts && opts->dual_stack);
		if (rc == 0)
			return fd;
		close(fd);
	}
	addr_format(at, text);
	return err_set(e, rc, "cannot listen on %s: %s", text, listen_fix(rc));
}
