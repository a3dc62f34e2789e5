/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Dubbo origin of the benchmark: answers every two-way request with one real OK answer
 * ("Hello, world", hessian2, id copied), every two-way event with a null event, one-way calls with
 * nothing. It reads no bodies, so that it costs as little as an origin can.
 *
 *   dubbo_echo [IP] [PORT] [seconds to live, default 600]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER 16
#define FRAME_MAX (9u << 20)
#define READ_MIN 16384

static const uint8_t ok[] = "\xda\xbb\x02\x14\0\0\0\0\0\0\0\0\0\0\0\x1c\x94\x0c"
			    "Hello, worldH\x05" "dubbo\x05" "2.0.2Z";
static const uint8_t beat[] = "\xda\xbb\x22\x14\0\0\0\0\0\0\0\0\0\0\0\x01N";

struct bytes {
	uint8_t *p;
	size_t n, cap;
};

struct conn {
	int fd;
	bool want_out;
	struct bytes in, out;
};

static uint8_t *reserve(struct bytes *b, size_t n)
{
	while (b->n + n > b->cap) {
		b->cap = b->cap ? b->cap * 2 : READ_MIN;
		b->p = realloc(b->p, b->cap);
		if (!b->p)
			abort();
	}
	return b->p + b->n;
}

static void consume(struct bytes *b, size_t n)
{
	b->n -= n;
	memmove(b->p, b->p + n, b->n);
}

static void answer(struct conn *c, const uint8_t *frame)
{
	const uint8_t *a = frame[2] & 0x20 ? beat : ok;
	size_t n = frame[2] & 0x20 ? sizeof(beat) - 1 : sizeof(ok) - 1;
	uint8_t *to;

	if ((frame[2] & 0xc0) != 0xc0)
		return;
	to = reserve(&c->out, n);
	memcpy(to, a, n);
	memcpy(to + 4, frame + 4, 8);
	c->out.n += n;
}

/* false: close. */
static bool conn_read(struct conn *c)
{
	uint8_t *to = reserve(&c->in, READ_MIN);
	ssize_t r = recv(c->fd, to, c->in.cap - c->in.n, 0);
	size_t at = 0;

	if (r < 0 && errno == EAGAIN)
		return true;
	if (r <= 0)
		return false;
	c->in.n += (size_t)r;
	while (c->in.n - at >= HEADER) {
		const uint8_t *p = c->in.p + at;
		size_t len = HEADER + ((size_t)p[12] << 24 | (size_t)p[13] << 16 |
				       (size_t)p[14] << 8 | p[15]);

		if (p[0] != 0xda || p[1] != 0xbb || len > FRAME_MAX)
			return false;
		if (c->in.n - at < len)
			break;
		answer(c, p);
		at += len;
	}
	consume(&c->in, at);
	return true;
}

static bool conn_flush(struct conn *c, int ep)
{
	struct epoll_event e = { .data.ptr = c };
	size_t sent = 0;

	while (sent < c->out.n) {
		ssize_t r = send(c->fd, c->out.p + sent, c->out.n - sent, MSG_NOSIGNAL);

		if (r < 0 && errno != EAGAIN)
			return false;
		if (r < 0)
			break;
		sent += (size_t)r;
	}
	if (sent)
		consume(&c->out, sent);
	if ((c->out.n > 0) != c->want_out) {
		c->want_out = c->out.n > 0;
		e.events = EPOLLIN | (c->want_out ? EPOLLOUT : 0);
		epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
	}
	return true;
}

static void conns_accept(int ls, int ep)
{
	int fd, one = 1;

	while ((fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

		if (!c)
			abort();
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->fd = fd;
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	}
}

static void conn_close(struct conn *c)
{
	close(c->fd);
	free(c->in.p);
	free(c->out.p);
	free(c);
}

int main(int ac, char **av)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct epoll_event ev[256], e = { .events = EPOLLIN };
	int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	int ep = epoll_create1(EPOLL_CLOEXEC);

	sa.sin_port = htons((uint16_t)strtoul(ac > 2 ? av[2] : "20880", NULL, 10));
	alarm((unsigned int)strtoul(ac > 3 ? av[3] : "600", NULL, 10));
	setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (inet_pton(AF_INET, ac > 1 ? av[1] : "127.0.0.1", &sa.sin_addr) != 1 ||
	    bind(ls, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(ls, 1024) < 0) {
		fprintf(stderr, "dubbo_echo: cannot listen: %s\n", strerror(errno));
		return 2;
	}
	epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
	for (;;) {
		int n = epoll_wait(ep, ev, 256, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (!c)
				conns_accept(ls, ep);
			else if (!conn_read(c) || !conn_flush(c, ep))
				conn_close(c);
		}
	}
}
