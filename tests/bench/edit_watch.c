/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks for one thing again and again and says when the answer becomes another one: what a change
 * of configuration is measured with at a request. One connection, one request at a time.
 *
 *   edit_watch [-a ip] [-p port] [-H host] [-u path] [-e every us, 1000] [-C]
 *
 * -C: a connection a request. A line a change: "SENT ANSWERED ANSWER": CLOCK_MONOTONIC ns of the
 * first request that was answered so, and of the answer; the answer is "STATUS BODY" (60 bytes at
 * most). "FAILED ns why" for a request that got none. Ends with SIGTERM, says "polls N failed N".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 8192
#define BODY_MAX 60
#define SILENCE_S 5

static volatile sig_atomic_t over;

static void on_term(int sig)
{
	(void)sig;
	over = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int dial(const struct sockaddr_in *to)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval t = { .tv_sec = SILENCE_S };

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0) {
		int e = errno;

		close(fd);
		return -e;
	}
	return fd;
}

/* The answer's text in @ret; 1: the connection goes on, 0: not, -errno. */
static int ask(int fd, const char *request, char ret[BODY_MAX + 8])
{
	static char in[HEAD_MAX + 1];
	size_t n = 0, length, head;
	const char *end, *field;

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return -errno;
	for (end = NULL; !end;) {
		ssize_t r = n < HEAD_MAX ? recv(fd, in + n, HEAD_MAX - n, 0) : 0;

		if (r <= 0)
			return r < 0 ? -errno : -ECONNRESET;
		n += (size_t)r;
		in[n] = '\0';
		end = strstr(in, "\r\n\r\n");
	}
	head = (size_t)(end - in) + 4;
	field = strcasestr(in, "\r\ncontent-length:");
	length = field && field < end ? strtoul(field + 17, NULL, 10) : 0;
	while (n < head + length && head + length <= HEAD_MAX) {
		ssize_t r = recv(fd, in + n, HEAD_MAX - n, 0);

		if (r <= 0)
			return r < 0 ? -errno : -ECONNRESET;
		n += (size_t)r;
	}
	snprintf(ret, BODY_MAX + 8, "%.3s %.*s", in + 9,
		 (int)(length < BODY_MAX ? length : BODY_MAX), in + head);
	field = strcasestr(in, "\r\nconnection: close");
	return !(field && field < end);
}

struct watch {
	struct sockaddr_in to;
	char request[1024], last[BODY_MAX + 8];
	bool close;
	unsigned int every_us;
	int fd;
	uint64_t polls, failed;
};

static void poll_once(struct watch *w)
{
	uint64_t sent = now_ns();
	char have[BODY_MAX + 8];
	int r = 0;

	if (w->fd < 0)
		r = w->fd = dial(&w->to);
	if (r >= 0)
		r = ask(w->fd, w->request, have);
	w->polls++;
	if (r < 0 && !over) {
		w->failed++;
		printf("FAILED %lu %s\n", (unsigned long)sent, strerror(-r));
	} else if (r >= 0 && strcmp(have, w->last) != 0) {
		printf("%lu %lu %s\n", (unsigned long)sent, (unsigned long)now_ns(), have);
		strcpy(w->last, have); /* style: both have that size */
	}
	if ((r <= 0 || w->close) && w->fd >= 0) {
		close(w->fd);
		w->fd = -1;
	}
}

int main(int argc, char **argv)
{
	struct watch w = { .fd = -1, .every_us = 1000, .to.sin_family = AF_INET };
	const char *ip = "127.0.0.1", *host = "x", *path = "/";
	uint64_t next;
	int c;

	while ((c = getopt(argc, argv, "a:p:H:u:e:C")) != -1) {
		if (c == 'a')
			ip = optarg;
		else if (c == 'p')
			w.to.sin_port = htons((uint16_t)strtoul(optarg, NULL, 10));
		else if (c == 'H')
			host = optarg;
		else if (c == 'u')
			path = optarg;
		else if (c == 'e')
			w.every_us = (unsigned int)strtoul(optarg, NULL, 10);
		else if (c == 'C')
			w.close = true;
		else
			return 2;
	}
	if (inet_pton(AF_INET, ip, &w.to.sin_addr) != 1 || !w.every_us)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, on_term);
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(w.request, sizeof(w.request), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host);
	for (next = now_ns(); !over; next += w.every_us * 1000ull) {
		struct timespec t;

		poll_once(&w);
		if (next + w.every_us * 1000ull < now_ns())
			next = now_ns() - w.every_us * 1000ull;
		t = (struct timespec){ (time_t)((next + w.every_us * 1000ull) / 1000000000u),
				       (long)((next + w.every_us * 1000ull) % 1000000000u) };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	}
	printf("polls %lu failed %lu\n", (unsigned long)w.polls, (unsigned long)w.failed);
	return w.failed != 0;
}
