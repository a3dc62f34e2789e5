/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An echo server that reads only with splice(2), as Go's io.Copy and HAProxy do. Bytes that sk_msg
 * put into its sockets would be invisible to it: `auto` must leave it on TCP.
 *
 * usage: splice_peer PORT
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 65536

static void *echo(void *arg)
{
	int fd = (int)(long)arg, p[2];
	ssize_t n;

	if (pipe(p) < 0)
		return NULL;
	while ((n = splice(fd, NULL, p[1], NULL, CHUNK, SPLICE_F_MOVE)) > 0) {
		while (n > 0) {
			ssize_t k = splice(p[0], NULL, fd, NULL, (size_t)n, SPLICE_F_MOVE);

			if (k <= 0)
				break;
			n -= k;
		}
	}
	shutdown(fd, SHUT_WR);
	close(fd);
	close(p[0]);
	close(p[1]);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};
	int one = 1, off = 0, fd = socket(AF_INET6, SOCK_STREAM, 0);
	pthread_t thread;

	if (argc != 2)
		return 2;
	a.sin6_port = htons((unsigned short)strtoul(argv[1], NULL, 10));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 512) < 0)
		return 1;
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int c = accept(fd, NULL, NULL);

		if (c < 0 || pthread_create(&thread, NULL, echo, (void *)(long)c))
			return 1;
		setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		pthread_detach(thread);
	}
}
