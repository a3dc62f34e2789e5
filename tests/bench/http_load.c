/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for HTTP/1.1: one GET, repeated, every answer checked (status 200, content-length, nothing
 * beyond it). One thread. It understands no chunked answers: those are an error.
 *
 *   http_load [-a ip] [-p port] [-c connections] [-d seconds] [-w warm-up seconds] [-u path]
 *             [-r total requests/s, open loop] [-C a connection a request] [-I]
 *
 * Prints one JSON object: conns, rps, n, all (with the warm-up), body bytes an answer, and the
 * latency in us (avg, p50, p90, p99, p999, max; 1 us apart); in the open loop it counts from the
 * time when the request was due if its connection was still busy then, else from sending it; with
 * -C from before connect(2). -I: one request on each
 * connection, "holding", then they are kept idle for -d seconds. Exit 1: anything went wrong.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 8192
#define REQUEST_MAX 2048
#define CONNS_MAX 20000
#define SECONDS_MAX 600
#define BODY_BUF (256 * 1024)
#define SILENCE_NS 5000000000ull /* without an answer: give up */
#define US_MAX (1u << 21)	 /* of the histogram */

struct conn {
	int fd;
	bool busy, sent, in_body;
	uint64_t began, due; /* due: of the next request, open loop only */
	uint64_t body_left;
	size_t head_n;
	char head[HEAD_MAX];
};

static struct {
	const char *ip, *path;
	uint16_t port;
	unsigned int conns;
	double seconds, warm_up, rate;
	bool close, hold;
	struct sockaddr_in to;
	char request[REQUEST_MAX];
	size_t request_len;
	struct conn *conn;
	int ep;
	bool counting;
	uint64_t every, n, all, sum, max, body;
	uint32_t *hist;
} load = { .ip = "127.0.0.1", .path = "/", .port = 8080, .conns = 1, .seconds = 5,
	   .warm_up = 0.5 };

static char body[BODY_BUF];

static void die(const char *what, const char *detail)
{
	fprintf(stderr, "http_load: %s%s%s, after %llu answers\n", what, detail ? ": " : "",
		detail ? detail : "", (unsigned long long)load.all);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* ---- latency -------------------------------------------------------------------------------- */

static void latency_add(uint64_t ns)
{
	uint64_t us = (ns + 500) / 1000;

	load.n++;
	load.sum += ns;
	load.hist[us < US_MAX ? us : US_MAX - 1]++;
	if (ns > load.max)
		load.max = ns;
}

static double percentile_us(double p)
{
	uint64_t want = (uint64_t)((double)load.n * p / 100), seen = 0;

	for (unsigned int us = 0; us < US_MAX - 1; us++) {
		seen += load.hist[us];
		if (seen > want)
			return us;
	}
	return (double)load.max / 1e3;
}

/* ---- one request ---------------------------------------------------------------------------- */

static void conn_open(struct conn *c, bool block)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				 .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (block ? 0 : SOCK_NONBLOCK), 0);
	if (c->fd < 0)
		die("socket", strerror(errno));
	if (connect(c->fd, (struct sockaddr *)&load.to, sizeof(load.to)) < 0 &&
	    errno != EINPROGRESS)
		die("connect", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(load.ep, EPOLL_CTL_ADD, c->fd, &e) < 0)
		die("epoll_ctl", strerror(errno));
}

/* Sends the request, once the connection is there. It is far smaller than a socket's buffer. */
static void conn_send(struct conn *c)
{
	ssize_t r = send(c->fd, load.request, load.request_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (r < 0 && (errno == EAGAIN || errno == ENOTCONN))
		return;
	if (r != (ssize_t)load.request_len)
		die("send", r < 0 ? strerror(errno) : "only in part");
	c->sent = true;
}

static void ask(struct conn *c, uint64_t began)
{
	c->began = began;
	c->busy = true;
	c->sent = c->in_body = false;
	c->head_n = 0;
	if (load.close)
		conn_open(c, false);
	else
		conn_send(c);
}

/* What comes after an answer: at once in the closed loop, when it is due in the open one. */
static void answer_done(struct conn *c)
{
	uint64_t t = now();

	load.all++;
	if (load.counting)
		latency_add(t - c->began);
	c->busy = false;
	if (load.close) {
		close(c->fd);
		c->fd = -1;
	}
	if (load.hold)
		return;
	if (!load.every) {
		ask(c, t);
	} else if (c->due <= t) {
		ask(c, c->due);
		c->due += load.every * load.conns;
	}
}

/* ---- one answer ----------------------------------------------------------------------------- */

static uint64_t head_length(char *head)
{
	uint64_t len = UINT64_MAX;
	char *line = head, *next;

	if (strncmp(head, "HTTP/1.1 200", 12)) {
		head[strcspn(head, "\r\n")] = 0;
		die("an answer that is not 200", head);
	}
	for (; (next = strstr(line, "\r\n")); line = next + 2)
		if (!strncasecmp(line, "content-length:", 15))
			len = strtoull(line + 15, NULL, 10);
	if (len == UINT64_MAX)
		die("an answer without content-length", NULL);
	if (load.all && len != load.body)
		die("an answer of another length", NULL);
	load.body = len;
	return len;
}

/* Takes what came of the head. Returns true when the head is whole. */
static bool head_take(struct conn *c, size_t n)
{
	size_t from = c->head_n > 3 ? c->head_n - 3 : 0, got;
	char *end;

	c->head_n += n;
	c->head[c->head_n] = 0;
	end = memmem(c->head + from, c->head_n - from, "\r\n\r\n", 4);
	if (!end) {
		if (c->head_n == HEAD_MAX - 1)
			die("the head is too large", NULL);
		return false;
	}
	got = c->head_n - (size_t)(end + 4 - c->head);
	end[2] = 0;
	c->body_left = head_length(c->head);
	if (got > c->body_left)
		die("bytes beyond the answer", NULL);
	c->body_left -= got;
	c->in_body = true;
	return true;
}

/* One recv. false: nothing has come. */
static bool conn_recv(struct conn *c)
{
	char *to = c->in_body ? body : c->head + c->head_n;
	size_t room = c->in_body ? sizeof(body) : HEAD_MAX - 1 - c->head_n;
	ssize_t r = recv(c->fd, to, room, MSG_DONTWAIT);

	if (r < 0 && (errno == EAGAIN || errno == ENOTCONN))
		return false;
	if (r <= 0)
		die(c->busy ? "closed within an exchange" : "an idle connection was closed",
		    r < 0 ? strerror(errno) : NULL);
	if (!c->busy)
		die("bytes that nobody asked for", NULL);
	if (!c->in_body)
		return head_take(c, (size_t)r) || c->head_n < HEAD_MAX - 1;
	if ((uint64_t)r > c->body_left)
		die("bytes beyond the answer", NULL);
	c->body_left -= (uint64_t)r;
	return true;
}

static void conn_handle(struct conn *c, uint32_t events)
{
	int err = 0;
	socklen_t n = sizeof(err);

	if (events & EPOLLERR) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n);
		die("connection", strerror(err));
	}
	if (c->busy && !c->sent)
		conn_send(c);
	if (!(events & (EPOLLIN | EPOLLRDHUP)))
		return;
	while (conn_recv(c))
		if (c->in_body && !c->body_left) {
			answer_done(c);
			return;
		}
}

/* ---- the run -------------------------------------------------------------------------------- */

/* Open loop: asks what is due; returns the time until the next, in ns. */
static uint64_t ask_due(uint64_t t)
{
	uint64_t next = UINT64_MAX;

	for (unsigned int i = 0; i < load.conns; i++) {
		struct conn *c = &load.conn[i];

		if (!c->busy && c->due <= t) {
			/* Free when it was due: our own waking up is not the mesh's. */
			ask(c, now());
			c->due += load.every * load.conns;
		}
		if (!c->busy && c->due < next)
			next = c->due;
	}
	return next == UINT64_MAX ? 100000000 : next - t;
}

static void turn(uint64_t wait_ns, uint64_t *last)
{
	struct epoll_event ev[256];
	struct timespec ts = { (time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000) };
	int n = epoll_pwait2(load.ep, ev, 256, &ts, NULL);

	for (int i = 0; i < n; i++)
		conn_handle(ev[i].data.ptr, ev[i].events);
	if (n > 0)
		*last = now();
	else if (now() - *last > SILENCE_NS)
		die("no answer for 5 s", NULL);
}

static void start(uint64_t t)
{
	load.every = load.rate > 0 ? (uint64_t)(1e9 / load.rate) : 0;
	for (unsigned int i = 0; i < load.conns; i++) {
		load.conn[i].due = t + load.every * i;
		if (!load.every)
			ask(&load.conn[i], t);
	}
}

static double run(void)
{
	uint64_t t = now(), begin = t + (uint64_t)(load.warm_up * 1e9), last = t, end;

	start(t);
	end = begin + (uint64_t)(load.seconds * 1e9);
	while ((t = now()) < end) {
		if (!load.counting && t >= begin) {
			load.counting = true;
			begin = t;
		}
		turn(load.every ? ask_due(t) : 100000000, &last);
	}
	return (double)(now() - begin) / 1e9;
}

/* One request on each connection, then silence, in which none may be closed. */
static double hold(void)
{
	uint64_t last = now(), end;

	for (unsigned int i = 0; i < load.conns; i++) {
		ask(&load.conn[i], now());
		while (load.conn[i].busy)
			turn(100000000, &last);
	}
	puts("holding");
	fflush(stdout);
	for (end = now() + (uint64_t)(load.seconds * 1e9); now() < end; last = now())
		turn(10000000, &last);
	return load.seconds;
}

static void report(double seconds)
{
	printf("{\"conns\":%u,\"rps\":%.1f,\"n\":%llu,\"all\":%llu,\"body\":%llu,\"avg\":%.1f,"
	       "\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n",
	       load.conns, (double)load.n / seconds, (unsigned long long)load.n,
	       (unsigned long long)load.all, (unsigned long long)load.body,
	       load.n ? (double)load.sum / 1e3 / (double)load.n : 0.0, percentile_us(50),
	       percentile_us(90), percentile_us(99), percentile_us(99.9), (double)load.max / 1e3);
}

static void option(int o)
{
	double v = optarg ? strtod(optarg, NULL) : 0;

	if (o == 'a')
		load.ip = optarg;
	else if (o == 'p')
		load.port = (uint16_t)v;
	else if (o == 'c')
		load.conns = (unsigned int)v;
	else if (o == 'd')
		load.seconds = v;
	else if (o == 'w')
		load.warm_up = v;
	else if (o == 'u')
		load.path = optarg;
	else if (o == 'r')
		load.rate = v;
	else if (o == 'C')
		load.close = true;
	else if (o == 'I')
		load.hold = true;
	else
		exit(2);
}

static void prepare(void)
{
	if (!load.conns || load.conns > CONNS_MAX || load.seconds > SECONDS_MAX || load.rate < 0 ||
	    (load.hold && (load.close || load.rate > 0)))
		die("-c is 1 to 20000, -d at most 600; -I goes alone", NULL);
	load.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(load.port) };
	if (inet_pton(AF_INET, load.ip, &load.to.sin_addr) != 1)
		die("not an IPv4 address", load.ip);
	load.request_len = (size_t)snprintf(load.request, sizeof(load.request),
					    "GET %s HTTP/1.1\r\nHost: %s:%u\r\n%s\r\n", load.path,
					    load.ip, load.port,
					    load.close ? "Connection: close\r\n" : "");
	if (load.request_len >= sizeof(load.request))
		die("the path is too long", NULL);
	prctl(PR_SET_TIMERSLACK, 1); /* the open loop is on time */
	load.ep = epoll_create1(EPOLL_CLOEXEC);
	load.hist = calloc(US_MAX, sizeof(*load.hist));
	load.conn = calloc(load.conns, sizeof(*load.conn));
	if (!load.hist || !load.conn)
		abort();
}

int main(int ac, char **av)
{
	int o;

	while ((o = getopt(ac, av, "a:p:c:d:w:u:r:CI")) > 0)
		option(o);
	prepare();
	for (unsigned int i = 0; !load.close && i < load.conns; i++)
		conn_open(&load.conn[i], true);
	report(load.hold ? hold() : run());
	if (!load.n && !load.hold)
		die("no answer was counted", NULL);
	return 0;
}
