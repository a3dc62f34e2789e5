/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Dubbo consumer for tests and the demo: replays one real request N times over C connections,
 * P of them in flight on each, checks that every answer carries an id that was asked and did not
 * come before, and counts what the answers say.
 *
 *   dubbo_client [-n N] [-c C] [-P P] [-f FRAME FILE] [-t seconds] [-b] [-q] IP PORT
 *
 * Without -f: sayHello("world") of a 2.7.23 consumer. -b: a heartbeat on each connection first.
 * -q: no summary line. A one-way frame is sent N times and nothing is waited for.
 * Prints "COUNT answer" lines, most frequent first. Exit 0: all were answered (whatever it
 * was), 1: not all, or a wrong id, 2: no connection.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
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
#define KINDS 64	/* distinct answers */
#define ANSWER_TEXT 160 /* of them this much is told apart and shown */

static const uint8_t hello[] =
	"\xda\xbb\xc2\x00\0\0\0\0\0\0\0\0\0\0\0\xad"
	"\x05" "2.0.2\x14" "demo.GreetingService\x05" "0.0.0\x08" "sayHello"
	"\x12Ljava/lang/String;\x05worldH\x04path\x14" "demo.GreetingService"
	"\x12remote.application\x0d" "demo-consumer\x09interface\x14" "demo.GreetingService"
	"\x07version\x05" "0.0.0Z";

struct conn {
	int fd;
	bool want_out;
	uint8_t *in, *out;
	size_t in_n, in_cap, out_n, out_cap;
	unsigned int sent, done; /* requests; ids are consecutive */
	bool *open;		 /* by sequence number */
};

static struct {
	const uint8_t *frame;
	size_t frame_len;
	unsigned int requests, conns, depth, seconds;
	bool heartbeat, quiet, oneway;
	struct conn *conn;
	unsigned int left, heartbeats, readonly, closed;
	int ep;
	struct {
		char text[ANSWER_TEXT];
		unsigned int n;
	} kind[KINDS];
} client = { .frame = hello, .frame_len = sizeof(hello) - 1, .requests = 1, .conns = 1, .depth = 1,
	     .seconds = 10 };

static void die(const char *what)
{
	fprintf(stderr, "dubbo_client: %s\n", what);
	exit(1);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void add(uint8_t **b, size_t *n, size_t *cap, const void *p, size_t len)
{
	while (*n + len > *cap) {
		*cap = *cap ? *cap * 2 : 4096;
		*b = realloc(*b, *cap);
		if (!*b)
			abort();
	}
	memcpy(*b + *n, p, len);
	*n += len;
}

/* ---- what an answer says -------------------------------------------------------------------- */

/* Copies the text of a hessian2 string (its first chunk) to @to; returns what follows or NULL. */
static const uint8_t *string_show(const uint8_t *p, const uint8_t *end, char *to, size_t size)
{
	size_t units, n = 0;
	const uint8_t *start;

	if (p == end)
		return NULL;
	if (*p < 0x20) {
		units = *p++;
	} else if (*p >= 0x30 && *p < 0x34 && end - p >= 2) {
		units = (size_t)(*p - 0x30) << 8 | p[1];
		p += 2;
	} else if ((*p == 'S' || *p == 'R') && end - p >= 3) {
		units = (size_t)p[1] << 8 | p[2];
		p += 3;
	} else {
		return NULL;
	}
	for (start = p; units && p < end; units--)
		p += *p < 0x80 ? 1 : *p < 0xe0 ? 2 : 3;
	if (p > end || units)
		return NULL;
	for (; start < p && n + 1 < size; start++)
		to[n++] = *start < 0x20 ? ' ' : (char)*start;
	to[n] = 0;
	return p;
}

/* Appends as much of @text as fits. */
static void append(char *to, size_t size, const char *text)
{
	size_t n = strlen(to);

	while (*text && n + 1 < size)
		to[n++] = *text++;
	to[n] = 0;
}

/* The class of an exception, and its first fields as long as they are plain. */
static void exception_show(const uint8_t *p, const uint8_t *end, char *to, size_t size)
{
	char names[8][40], value[ANSWER_TEXT];
	int fields, at = snprintf(to, size, "exception ");

	p = p < end && *p == 'C' ? string_show(p + 1, end, to + at, size - (size_t)at) : NULL;
	if (!p || p == end || *p < 0x90 || *p > 0x98)
		return;
	fields = *p++ - 0x90;
	for (int i = 0; i < fields; i++) {
		p = string_show(p, end, names[i], sizeof(names[i]));
		if (!p)
			return;
	}
	if (p == end || *p++ != 0x60)
		return;
	for (int i = 0; p < end && i < fields; i++) {
		if (*p >= 0x80 && *p < 0xc0)
			snprintf(value, sizeof(value), "%d", *p++ - 0x90);
		else
			p = string_show(p, end, value, sizeof(value));
		if (!p)
			return;
		append(to, size, " ");
		append(to, size, names[i]);
		append(to, size, "=");
		append(to, size, value);
	}
}

static void answer_show(const uint8_t *frame, size_t len, char *to, size_t size)
{
	const uint8_t *p = frame + HEADER, *end = frame + len;
	unsigned int ser = frame[2] & 0x1f;
	int at;

	if (frame[3] != 20) {
		at = snprintf(to, size, "status %u ", frame[3]);
		if (ser != 2 || !string_show(p, end, to + at, size - (size_t)at))
			snprintf(to + at, size - (size_t)at, "(%zu bytes)", len);
		return;
	}
	if (ser != 2 || p == end) {
		snprintf(to, size, "OK, %zu bytes in serialization %u", len, ser);
		return;
	}
	switch (*p - 0x90) {
	case 0:
	case 3:
		exception_show(p + 1, end, to, size);
		return;
	case 2:
	case 5:
		snprintf(to, size, "OK null");
		return;
	}
	at = snprintf(to, size, "OK ");
	if (!string_show(p + 1, end, to + at, size - (size_t)at))
		snprintf(to, size, "OK, a value of %zu bytes", len - HEADER - 1);
}

static void answer_count(const uint8_t *frame, size_t len)
{
	char text[ANSWER_TEXT] = "";

	answer_show(frame, len, text, sizeof(text));
	for (int i = 0; i < KINDS; i++) {
		if (client.kind[i].n && strcmp(client.kind[i].text, text) != 0)
			continue;
		memcpy(client.kind[i].text, text, sizeof(text));
		client.kind[i].n++;
		return;
	}
	die("more distinct answers than can be counted");
}

/* ---- connections ---------------------------------------------------------------------------- */

static void flush(struct conn *c)
{
	struct epoll_event e = { .data.ptr = c };
	size_t sent = 0;

	while (sent < c->out_n) {
		ssize_t r = send(c->fd, c->out + sent, c->out_n - sent, MSG_NOSIGNAL);

		if (r < 0)
			break; /* full, or gone: then recv tells */
		sent += (size_t)r;
	}
	memmove(c->out, c->out + sent, c->out_n - sent);
	c->out_n -= sent;
	if ((c->out_n > 0) != c->want_out) {
		c->want_out = c->out_n > 0;
		e.events = EPOLLIN | (c->want_out ? EPOLLOUT : 0);
		epoll_ctl(client.ep, EPOLL_CTL_MOD, c->fd, &e);
	}
}

/* The id tells the connection (from 1) and the sequence number. */
static void ask(struct conn *c)
{
	uint64_t id = htobe64((uint64_t)(c - client.conn + 1) << 32 | c->sent);
	size_t at = c->out_n;

	add(&c->out, &c->out_n, &c->out_cap, client.frame, client.frame_len);
	memcpy(c->out + at + 4, &id, 8);
	c->open[c->sent++] = !client.oneway;
	client.left--;
	if (client.oneway)
		c->done++;
}

static void fill(struct conn *c)
{
	while (client.left && c->sent - c->done < client.depth)
		ask(c);
	flush(c);
}

static void event_handle(struct conn *c, const uint8_t *p, size_t len)
{
	uint8_t reply[HEADER + 64];

	if (!(p[2] & 0x80)) {
		client.heartbeats++;
	} else if (p[2] & 0x40 && len <= sizeof(reply)) {
		memcpy(reply, p, len);
		reply[2] = 0x20 | (p[2] & 0x1f);
		reply[3] = 20;
		add(&c->out, &c->out_n, &c->out_cap, reply, len);
	} else if (len == HEADER + 2 && p[HEADER + 1] == 'R') {
		client.readonly++;
	}
}

static void answer_handle(struct conn *c, const uint8_t *p, size_t len)
{
	uint64_t id;
	uint32_t seq;

	if (p[2] & 0x20) {
		event_handle(c, p, len);
		return;
	}
	if (p[2] & 0x80)
		die("a request came back");
	memcpy(&id, p + 4, 8);
	id = be64toh(id);
	seq = (uint32_t)id;
	if (id >> 32 != (uint64_t)(c - client.conn) + 1 || seq >= c->sent || !c->open[seq])
		die("an answer has an id that was not asked");
	c->open[seq] = false;
	c->done++;
	answer_count(p, len);
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
	add(&c->in, &c->in_n, &c->in_cap, some, (size_t)r);
	while (c->in_n - at >= HEADER) {
		const uint8_t *p = c->in + at;
		size_t len = HEADER + (size_t)be32(p + 12);

		if (p[0] != 0xda || p[1] != 0xbb || len > FRAME_MAX)
			die("the answer is not a Dubbo frame");
		if (c->in_n - at < len)
			break;
		answer_handle(c, p, len);
		at += len;
	}
	memmove(c->in, c->in + at, c->in_n - at);
	c->in_n -= at;
	return true;
}

static void conn_open(struct conn *c, const struct sockaddr_in *sa)
{
	static const uint8_t beat[] = "\xda\xbb\xe2\0\0\0\0\0\0\0\0\x63\0\0\0\1N";
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(c->fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0) {
		fprintf(stderr, "dubbo_client: connect: %s\n", strerror(errno));
		exit(2);
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	c->open = calloc(client.requests, sizeof(*c->open));
	if (client.heartbeat)
		add(&c->out, &c->out_n, &c->out_cap, beat, sizeof(beat) - 1);
	epoll_ctl(client.ep, EPOLL_CTL_ADD, c->fd, &e);
}

static bool is_done(void)
{
	if (client.left || (client.heartbeat && client.heartbeats < client.conns))
		return false;
	for (unsigned int i = 0; i < client.conns; i++)
		if (client.conn[i].done < client.conn[i].sent || client.conn[i].out_n)
			return false;
	return true;
}

static void run(void)
{
	time_t end = time(NULL) + client.seconds;
	struct epoll_event ev[64];

	for (unsigned int i = 0; i < client.conns; i++)
		fill(&client.conn[i]);
	while (!is_done() && time(NULL) < end && client.closed < client.conns) {
		int n = epoll_wait(client.ep, ev, 64, 100);

		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !conn_read(c)) {
				epoll_ctl(client.ep, EPOLL_CTL_DEL, c->fd, NULL);
				client.closed++;
				continue;
			}
			fill(c);
		}
	}
}

static int by_count(const void *a, const void *b)
{
	const unsigned int *x = (const void *)((const char *)a + ANSWER_TEXT);
	const unsigned int *y = (const void *)((const char *)b + ANSWER_TEXT);

	return *x < *y ? 1 : *x > *y ? -1 : 0;
}

static int report(void)
{
	unsigned int sent = 0, done = 0;

	for (unsigned int i = 0; i < client.conns; i++) {
		sent += client.conn[i].sent;
		done += client.conn[i].done;
	}
	qsort(client.kind, KINDS, sizeof(client.kind[0]), by_count);
	for (int i = 0; i < KINDS && client.kind[i].n; i++)
		printf("%u %s\n", client.kind[i].n, client.kind[i].text);
	if (!client.quiet)
		printf("sent %u, answered %u, heartbeats %u, readonly %u, closed %u\n", sent,
		       client.oneway ? 0 : done, client.heartbeats, client.readonly, client.closed);
	return is_done() ? 0 : 1;
}

static void frame_load(const char *path)
{
	FILE *f = fopen(path, "r");
	uint8_t *p = malloc(FRAME_MAX);

	if (!f || !p) {
		fprintf(stderr, "dubbo_client: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	client.frame_len = fread(p, 1, FRAME_MAX, f);
	client.frame = p;
	fclose(f);
}

static void options(int ac, char **av)
{
	int o;

	while ((o = getopt(ac, av, "n:c:P:f:t:bq")) > 0) {
		unsigned int v = optarg ? (unsigned int)strtoul(optarg, NULL, 10) : 0;

		if (o == 'n')
			client.requests = v;
		else if (o == 'c')
			client.conns = v;
		else if (o == 'P')
			client.depth = v;
		else if (o == 't')
			client.seconds = v;
		else if (o == 'f')
			frame_load(optarg);
		else if (o == 'b')
			client.heartbeat = true;
		else if (o == 'q')
			client.quiet = true;
		else
			exit(2);
	}
	if (ac - optind != 2 || !client.conns || !client.depth) {
		fprintf(stderr, "usage: dubbo_client [-n requests] [-c connections] [-P depth] "
				"[-f frame] [-t seconds] [-b] [-q] IP PORT\n");
		exit(2);
	}
	if (client.frame_len < HEADER || client.frame[0] != 0xda || !(client.frame[2] & 0x80) ||
	    HEADER + (size_t)be32(client.frame + 12) != client.frame_len) {
		fprintf(stderr, "dubbo_client: the file is not one Dubbo request\n");
		exit(2);
	}
	client.oneway = !(client.frame[2] & 0x40);
	client.left = client.requests;
}

int main(int ac, char **av)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };

	options(ac, av);
	sa.sin_port = htons((uint16_t)strtoul(av[optind + 1], NULL, 10));
	if (inet_pton(AF_INET, av[optind], &sa.sin_addr) != 1) {
		fprintf(stderr, "dubbo_client: %s is not an IPv4 address\n", av[optind]);
		return 2;
	}
	client.ep = epoll_create1(EPOLL_CLOEXEC);
	client.conn = calloc(client.conns, sizeof(*client.conn));
	for (unsigned int i = 0; i < client.conns; i++)
		conn_open(&client.conn[i], &sa);
	run();
	return report();
}
