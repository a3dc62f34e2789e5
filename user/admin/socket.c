/* SPDX-License-Identifier: Apache-2.0 */
/* The two listening sockets of the admin server. */
#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin_impl.h"
#include "base/log.h"

#define BACKLOG 64
#define CONTROL_MODE 0600

static int bound_port(int fd, uint16_t *ret_port)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr a;

	if (getsockname(fd, (struct sockaddr *)&ss, &len))
		return -errno;
	if (addr_from_sockaddr((struct sockaddr *)&ss, &a))
		return -EAFNOSUPPORT;
	*ret_port = a.port;
	return 0;
}

int admin_socket_tcp(const struct addr *at, bool allow_any, uint16_t *ret_port, struct err *e)
{
	char text[ADDR_TEXT_MAX];
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(at, &ss);
	int one = 1, fd, rc;

	addr_format(at, text);
	if (!addr_is_loopback(at)) {
		if (!allow_any)
			return err_set(
				e, -EPERM,
				"admin address %s is not loopback: anyone who reaches it can "
				"read the configuration; use 127.0.0.1, or allow it explicitly",
				text);
		log_warn("admin", "listening on %s, which is not loopback: anyone who reaches it "
				  "can read the configuration", text);
	}
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, -errno, "admin socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, len) || listen(fd, BACKLOG)) {
		rc = err_set(e, -errno, "admin address %s: %s%s", text, strerror(errno),
			     errno == EADDRINUSE ?
				     "; stop what listens there or choose another port" :
				     "");
		goto out;
	}
	rc = bound_port(fd, ret_port);
	if (rc)
		err_set(e, rc, "admin address %s: %s", text, strerror(-rc));
out:
	if (rc < 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

/* Does a server answer at @un? */
static bool is_alive(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool alive;

	if (fd < 0)
		return false;
	/* A full backlog (EAGAIN) is a server too. */
	alive = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 || errno == EAGAIN;
	close(fd);
	return alive;
}

/* Removes what a skiffd that died left; nothing but a socket is ever removed. */
static int clear_stale(const struct sockaddr_un *un, struct err *e)
{
	struct stat st;

	if (lstat(un->sun_path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "control socket %s: a file that is no socket is there; "
					   "move it away or give another path", un->sun_path);
	if (is_alive(un))
		return err_set(e, -EADDRINUSE, "control socket %s: another skiffd answers there; "
					       "stop it or give another path", un->sun_path);
	unlink(un->sun_path);
	return 0;
}

/* Makes the last folder of @path, for /run/skiff on a fresh boot. Failures show at bind. */
static void make_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir;

	if (!slash || slash == path)
		return;
	dir = slice_dup(slice_of(path, (size_t)(slash - path)));
	if (mkdir(dir, 0755) && errno != EEXIST)
		log_debug("admin", "mkdir %s: %s", dir, strerror(errno));
	free(dir);
}

int admin_socket_control(const char *path, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(path) >= sizeof(un.sun_path))
		return err_set(e, -ENAMETOOLONG, "control socket %s: longer than %zu bytes", path,
			       sizeof(un.sun_path) - 1);
	memcpy(un.sun_path, path, strlen(path) + 1);
	make_parent(path);
	rc = clear_stale(&un, e);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, -errno, "control socket: %s", strerror(errno));
	/* The mode of the descriptor becomes the file's at bind: there is no moment when it is
	 * open. */
	if (fchmod(fd, CONTROL_MODE) || bind(fd, (struct sockaddr *)&un, sizeof(un)) ||
	    listen(fd, BACKLOG)) {
		rc = err_set(e, -errno, "control socket %s: %s", path, strerror(errno));
		close(fd);
		return rc;
	}
	return fd;
}
