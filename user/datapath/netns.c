/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short visits to a pod's network namespace, on the calling thread only.
 */
#include "datapath/datapath_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int netns_run(int netns, int (*fn)(void *arg), void *arg, struct err *err)
{
	int home, r;

	home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return err_set(err, -errno, "open /proc/thread-self/ns/net: %m");
	if (setns(netns, CLONE_NEWNET) < 0) {
		r = err_set(err, -errno, "cannot enter the network namespace: %m");
		goto out;
	}
	r = fn(arg);
	must(setns(home, CLONE_NEWNET) == 0); /* a thread lost in a pod would serve the wrong one */
out:
	close(home);
	return r;
}

static int cookie_read(void *arg)
{
	socklen_t size = sizeof(uint64_t);
	int fd, r = 0;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, arg, &size) < 0)
		r = -errno;
	close(fd);
	return r;
}

int netns_cookie_get(int netns, uint64_t *ret_cookie, struct err *err)
{
	uint64_t cookie = 0;
	struct err why = {{0}};
	int r;

	r = netns_run(netns, cookie_read, &cookie, &why);
	if (r < 0)
		return err_set(err, r, "netns cookie: %s",
			       why.text[0] ? why.text : strerror(-r));
	*ret_cookie = cookie;
	return 0;
}
