/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Dubbo provider of demo.GreetingService for tests and the demo: it answers with the bytes that
 * a real provider sent (tests/data/dubbo), the id copied; sayHello is answered for the name that
 * was asked. Heartbeats are answered, one-way calls counted. On SIGTERM it tells its clients that
 * it is read-only, serves for a moment more and prints its counts.
 *
 *   dubbo_server [-n NAME] [-D DIR] [-m silent|close|cut] [-d ms] [-s seconds] IP PORT
 *
 * -n: "Hello, world from NAME". -m: do not answer; close instead; close within the answer. -d: wait
 * before each answer, one after the other. -s: live so long.
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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADER 16
#define FRAME_MAX (9u << 20)
#define TEXT_MAX (1u << 20)
#define CHUNK 32768 /* UTF-16 units */
#define LAST_MOMENT 2 /* seconds after SIGTERM */

struct bytes {
	uint8_t *p;
	size_t n, cap;
};

struct conn {
	int fd;
	bool want_out;
	struct bytes in, out;
	struct conn *next, **prev;
};

/* What is answered to a method: a captured frame. */
struct answer {
	const char *method;
	unsigned int serialization;
	const char *file;
	struct bytes frame;
};

static struct answer answers[] = {
	{ "get", 2, "v3-get-002-s2c.bin", { 0 } },
	{ "attachments", 2, "v3-attach-002-s2c.bin", { 0 } },
	{ "fail", 2, "v3-fail-002-s2c.bin", { 0 } },
	{ "failRuntime", 2, "v3-failrt-002-s2c.bin", { 0 } },
	{ "any", 2, "v3-void-002-s2c.bin", { 0 } },
	{ "sayHello", 23, "v3-fastjson2-002-s2c.bin", { 0 } },
	{ "get", 23, "v3-fastjson2-004-s2c.bin", { 0 } },
	{ "fail", 23, "v3-fastjson2-006-s2c.bin", { 0 } },
};

enum mode { MODE_ANSWER, MODE_SILENT, MODE_CLOSE, MODE_CUT };

static struct {
	const char *name, *dir;
	enum mode mode;
	unsigned int delay_ms;
	unsigned long requests, oneway, heartbeats, connections;
	struct conn *conns;
	int ep;
} server = { .dir = "tests/data/dubbo" };

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void add(struct bytes *b, const void *p, size_t n)
{
	while (b->n + n > b->cap) {
		b->cap = b->cap ? b->cap * 2 : 4096;
		b->p = realloc(b->p, b->cap);
		if (!b->p)
			abort();
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void consume(struct bytes *b, size_t n)
{
	b->n -= n;
	memmove(b->p, b->p + n, b->n);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void header(struct bytes *out, unsigned int flag, unsigned int status, const uint8_t *id,
		   size_t len)
{
	uint8_t h[HEADER] = { 0xda, 0xbb, (uint8_t)flag, (uint8_t)status };

	if (id)
		memcpy(h + 4, id, 8);
	for (int i = 0; i < 4; i++)
		h[12 + i] = (uint8_t)(len >> (24 - 8 * i));
	add(out, h, HEADER);
}

/* ---- strings -------------------------------------------------------------------------------- */

/* Bytes of the first @units UTF-16 units at @p, 0 when they are cut. */
static size_t text_bytes(const uint8_t *p, const uint8_t *end, size_t units)
{
	const uint8_t *at = p;

	while (units--) {
		if (at >= end)
			return 0;
		at += *at < 0x80 ? 1 : *at < 0xe0 ? 2 : 3;
	}
	return at <= end ? (size_t)(at - p) : 0;
}

/* Appends a hessian2 string's text to @to; returns what follows, or NULL. null reads as "null". */
static const uint8_t *string_read(const uint8_t *p, const uint8_t *end, struct bytes *to)
{
	bool last;

	do {
		size_t units, n;

		if (end - p < 3 && (p == end || *p >= 0x20))
			return NULL;
		last = *p != 'R';
		if (*p < 0x20) {
			units = *p;
			p += 1;
		} else if (*p >= 0x30 && *p < 0x34) {
			units = (size_t)(*p - 0x30) << 8 | p[1];
			p += 2;
		} else if (*p == 'R' || *p == 'S') {
			units = (size_t)p[1] << 8 | p[2];
			p += 3;
		} else {
			if (*p == 'N')
				add(to, "null", 4);
			return *p == 'N' ? p + 1 : NULL;
		}
		n = text_bytes(p, end, units);
		if (units && !n)
			return NULL;
		add(to, p, n);
		p += n;
	} while (!last);
	return p;
}

static void string_write(struct bytes *out, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;

	for (;;) {
		size_t units = 0, bytes;
		uint8_t head[3];
		bool last;

		for (bytes = 0; p + bytes < end && units < CHUNK; units++)
			bytes += p[bytes] < 0x80 ? 1 : p[bytes] < 0xe0 ? 2 : 3;
		last = p + bytes >= end;
		head[0] = !last ? 'R' : units < 32 ? (uint8_t)units : 'S';
		head[1] = (uint8_t)(units >> 8);
		head[2] = (uint8_t)units;
		add(out, head, head[0] < 32 ? 1 : 3);
		add(out, p, bytes);
		p += bytes;
		if (last)
			return;
	}
}

/* ---- answers -------------------------------------------------------------------------------- */

/* The fourth string of the body is the method, the sixth the first argument. */
static bool request_read(const uint8_t *body, size_t len, struct bytes *method, struct bytes *arg)
{
	const uint8_t *p = body, *end = body + len;
	struct bytes skip = { 0 };

	for (int i = 0; p && i < 6; i++) {
		skip.n = 0;
		p = string_read(p, end, i == 3 ? method : i == 5 ? arg : &skip);
	}
	free(skip.p);
	return method->n > 0;
}

/* The same for fastjson2, where strings are short and stand behind their length. */
static bool request_read_fastjson2(const uint8_t *p, size_t len, struct bytes *method)
{
	for (int i = 0; i < 4; i++) {
		uint32_t n;

		if (len < 5)
			return false;
		n = be32(p);
		if (!n || n > len - 4)
			return false;
		if (i == 3)
			add(method, p + 5, n - 1);
		p += 4 + n;
		len -= 4 + n;
	}
	return true;
}

static void hello(struct bytes *out, const uint8_t *id, const struct bytes *arg)
{
	static const uint8_t tail[] = "H\x05" "dubbo\x05" "2.0.2Z"; /* attachments of the answer */
	struct bytes text = { 0 }, body = { 0 };

	add(&text, "Hello, ", 7);
	add(&text, arg->p, arg->n);
	if (server.name) {
		add(&text, " from ", 6);
		add(&text, server.name, strlen(server.name));
	}
	add(&body, "\x94", 1);
	string_write(&body, text.p, text.n);
	add(&body, tail, sizeof(tail) - 1);
	header(out, 2, 20, id, body.n);
	add(out, body.p, body.n);
	free(text.p);
	free(body.p);
}

static void error(struct bytes *out, const uint8_t *id, const char *text)
{
	struct bytes body = { 0 };

	string_write(&body, (const uint8_t *)text, strlen(text));
	header(out, 2, 40, id, body.n);
	add(out, body.p, body.n);
	free(body.p);
}

static bool captured(struct bytes *out, const uint8_t *id, unsigned int ser,
		     const struct bytes *method)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const struct answer *a = &answers[i];
		size_t at = out->n;

		if (a->serialization != ser || !a->frame.n || strlen(a->method) != method->n ||
		    memcmp(a->method, method->p, method->n) != 0)
			continue;
		add(out, a->frame.p, a->frame.n);
		memcpy(out->p + at + 4, id, 8);
		return true;
	}
	return false;
}

static void answer(struct bytes *out, const uint8_t *frame, size_t len)
{
	unsigned int ser = frame[2] & 0x1f;
	struct bytes method = { 0 }, arg = { 0 };
	bool readable = ser == 23 ? request_read_fastjson2(frame + HEADER, len - HEADER, &method) :
				    request_read(frame + HEADER, len - HEADER, &method, &arg);

	if (!readable)
		error(out, frame + 4, "Fail to decode request");
	else if (ser == 2 && method.n == 8 && memcmp(method.p, "sayHello", 8) == 0)
		hello(out, frame + 4, &arg);
	else if (!captured(out, frame + 4, ser, &method))
		error(out, frame + 4, "no such method");
	free(method.p);
	free(arg.p);
}

/* One whole frame. false: close the connection. */
static bool frame_handle(struct conn *c, const uint8_t *frame, size_t len)
{
	size_t before = c->out.n;

	if (!(frame[2] & 0x80))
		return true; /* an answer: of a heartbeat */
	if (frame[2] & 0x20) {
		if (frame[2] & 0x40) {
			server.heartbeats++;
			header(&c->out, 0x20 | (frame[2] & 0x1f), 20, frame + 4, len - HEADER);
			add(&c->out, frame + HEADER, len - HEADER);
		}
		return true;
	}
	if (!(frame[2] & 0x40)) {
		server.oneway++;
		return true;
	}
	server.requests++;
	if (server.delay_ms)
		usleep(server.delay_ms * 1000);
	if (server.mode == MODE_SILENT)
		return true;
	if (server.mode == MODE_CLOSE)
		return false;
	answer(&c->out, frame, len);
	if (server.mode == MODE_CUT) {
		size_t half = (c->out.n - before) / 2 + before;

		(void)!send(c->fd, c->out.p, half, MSG_NOSIGNAL);
		return false;
	}
	return true;
}

/* ---- connections ---------------------------------------------------------------------------- */

static void conn_close(struct conn *c)
{
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	close(c->fd);
	free(c->in.p);
	free(c->out.p);
	free(c);
}

static bool conn_flush(struct conn *c)
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
		epoll_ctl(server.ep, EPOLL_CTL_MOD, c->fd, &e);
	}
	return true;
}

static bool conn_read(struct conn *c)
{
	static uint8_t some[65536];
	ssize_t r = recv(c->fd, some, sizeof(some), 0);
	size_t at = 0;

	if (r < 0 && errno == EAGAIN)
		return true;
	if (r <= 0)
		return false;
	add(&c->in, some, (size_t)r);
	while (c->in.n - at >= HEADER) {
		const uint8_t *p = c->in.p + at;
		size_t len = HEADER + (size_t)be32(p + 12);

		if (p[0] != 0xda || p[1] != 0xbb || len > FRAME_MAX)
			return false;
		if (c->in.n - at < len)
			break;
		if (!frame_handle(c, p, len))
			return false;
		at += len;
	}
	if (at)
		consume(&c->in, at);
	return true;
}

static void conns_accept(int ls)
{
	int fd, one = 1;

	while ((fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

		if (!c)
			abort();
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->fd = fd;
		c->next = server.conns;
		c->prev = &server.conns;
		if (c->next)
			c->next->prev = &c->next;
		server.conns = c;
		server.connections++;
		epoll_ctl(server.ep, EPOLL_CTL_ADD, fd, &e);
	}
}

static void tell_readonly(void)
{
	struct conn *next;

	for (struct conn *c = server.conns; c; c = next) {
		next = c->next;
		header(&c->out, 0xa2, 0, NULL, 2);
		add(&c->out, "\x01R", 2);
		if (!conn_flush(c))
			conn_close(c);
	}
}

static void serve(int ls)
{
	struct epoll_event ev[64], e = { .events = EPOLLIN };
	time_t last = 0;

	epoll_ctl(server.ep, EPOLL_CTL_ADD, ls, &e);
	while (!last || (time(NULL) < last && server.conns)) {
		int n = epoll_wait(server.ep, ev, 64, 100);

		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (!c)
				conns_accept(ls);
			else if (!conn_read(c) || !conn_flush(c))
				conn_close(c);
		}
		if (stop && !last) {
			last = time(NULL) + LAST_MOMENT;
			tell_readonly();
		}
	}
}

static void answers_load(void)
{
	static uint8_t some[65536];

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		char path[512];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", server.dir, answers[i].file);
		f = fopen(path, "r");
		if (!f)
			continue; /* only sayHello then */
		add(&answers[i].frame, some, fread(some, 1, sizeof(some), f));
		fclose(f);
	}
}

static int listen_on(const char *ip, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (inet_pton(AF_INET, ip, &sa.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 1024) < 0) {
		fprintf(stderr, "dubbo_server: cannot listen on %s:%s: %s\n", ip, port,
			strerror(errno));
		exit(2);
	}
	return fd;
}

static void options(int ac, char **av)
{
	int o;

	while ((o = getopt(ac, av, "n:D:m:d:s:")) > 0) {
		if (o == 'n')
			server.name = optarg;
		else if (o == 'D')
			server.dir = optarg;
		else if (o == 'd')
			server.delay_ms = (unsigned int)strtoul(optarg, NULL, 10);
		else if (o == 's')
			alarm((unsigned int)strtoul(optarg, NULL, 10));
		else if (o == 'm' && !strcmp(optarg, "silent"))
			server.mode = MODE_SILENT;
		else if (o == 'm' && !strcmp(optarg, "close"))
			server.mode = MODE_CLOSE;
		else if (o == 'm' && !strcmp(optarg, "cut"))
			server.mode = MODE_CUT;
		else
			exit(2);
	}
	if (ac - optind != 2) {
		fprintf(stderr, "usage: dubbo_server [-n NAME] [-D DIR] [-m silent|close|cut] "
				"[-d ms] [-s seconds] IP PORT\n");
		exit(2);
	}
}

int main(int ac, char **av)
{
	int ls;

	options(ac, av);
	answers_load();
	signal(SIGTERM, on_term);
	signal(SIGINT, on_term);
	signal(SIGALRM, on_term);
	server.ep = epoll_create1(EPOLL_CLOEXEC);
	ls = listen_on(av[optind], av[optind + 1]);
	serve(ls);
	printf("{\"requests\":%lu,\"oneway\":%lu,\"heartbeats\":%lu,\"connections\":%lu}\n",
	       server.requests, server.oneway, server.heartbeats, server.connections);
	return 0;
}
