/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for the Dubbo protocol: replays one two-way request, the 8-byte ids rewritten and checked.
 *
 *   dubbo_load [-a ip] [-p port] [-c connections] [-d seconds] [-w warm-up seconds]
 *              [-P in flight per connection] [-r total requests/s, open loop] [-f frame file]
 *
 * Prints one JSON object: conns, depth, rps, n, all, errors, and the latency in us (avg, p50, p90,
 * p99, p999, max); in the open loop it counts from the time when the request was due. Exit 1: an
 * error answer or no answer at all, 2: the subject broke.
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
#define FRAME_MAX (1u << 24)
#define DEPTH_MAX 1024
#define SECONDS_MAX 600
#define READ_MIN (64 * 1024)
#define STATUS_OK 20
#define SILENCE_NS 5000000000ull /* without an answer: give up */
#define BUCKETS 4096

/* A 2.7.23 consumer's frame: demo.GreetingService.sayHello("world"). */
static const uint8_t hello[] =
	"\xda\xbb\xc2\x00\0\0\0\0\0\0\0\0\0\0\0\xad"
	"\x05" "2.0.2\x14" "demo.GreetingService\x05" "0.0.0\x08" "sayHello"
	"\x12Ljava/lang/String;\x05worldH\x04path\x14" "demo.GreetingService"
	"\x12remote.application\x0d" "demo-consumer\x09interface\x14" "demo.GreetingService"
	"\x07version\x05" "0.0.0Z";

struct conn {
	int fd;
	bool want_out;
	uint32_t sent, done;
	uint8_t *in, *out;
	size_t in_n, in_cap, out_n;
	uint64_t began[DEPTH_MAX]; /* by sequence number, modulo */
	bool open[DEPTH_MAX];
};

static struct {
	const char *ip;
	uint16_t port;
	unsigned int conns, depth;
	double seconds, warm_up, rate;
	const uint8_t *frame;
	size_t frame_len;
	struct conn *conn;
	int ep;
	bool counting;
	uint64_t n, errors, sum, max, hist[BUCKETS];
} load = { .ip = "127.0.0.1", .port = 20880, .conns = 1, .depth = 1, .seconds = 5, .warm_up = 0.5,
	   .frame = hello, .frame_len = sizeof(hello) - 1 };

static void die(const char *what)
{
	fprintf(stderr, "dubbo_load: %s\n", what);
	exit(2);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* ---- latency: buckets of 1/32 of a power of two --------------------------------------------- */

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int shift, b;

	if (ns < 64)
		return (unsigned int)ns;
	shift = 58 - (unsigned int)__builtin_clzll(ns);
	b = shift * 32 + (unsigned int)(ns >> shift);
	return b < BUCKETS ? b : BUCKETS - 1;
}

static uint64_t bucket_ns(unsigned int b)
{
	unsigned int shift;

	if (b < 64)
		return b;
	shift = b / 32 - 1;
	return (uint64_t)(b - shift * 32) << shift;
}

static double percentile_us(double p)
{
	uint64_t want = (uint64_t)((double)load.n * p / 100), seen = 0;

	for (unsigned int b = 0; b < BUCKETS; b++) {
		seen += load.hist[b];
		if (seen > want)
			return (double)bucket_ns(b) / 1e3;
	}
	return (double)load.max / 1e3;
}

static void latency_add(uint64_t ns)
{
	load.n++;
	load.sum += ns;
	load.hist[bucket_of(ns)]++;
	if (ns > load.max)
		load.max = ns;
}

/* ---- connections ---------------------------------------------------------------------------- */

static void flush(struct conn *c)
{
	struct epoll_event e = { .data.ptr = c };
	size_t sent = 0;

	while (sent < c->out_n) {
		ssize_t r = send(c->fd, c->out + sent, c->out_n - sent, MSG_NOSIGNAL);

		if (r < 0 && errno != EAGAIN)
			die("cannot send");
		if (r < 0)
			break;
		sent += (size_t)r;
	}
	memmove(c->out, c->out + sent, c->out_n - sent);
	c->out_n -= sent;
	if ((c->out_n > 0) != c->want_out) {
		c->want_out = c->out_n > 0;
		e.events = EPOLLIN | (c->want_out ? EPOLLOUT : 0);
		epoll_ctl(load.ep, EPOLL_CTL_MOD, c->fd, &e);
	}
}

/* Appends one request; the id tells the connection (from 1) and the sequence number. */
static void ask(struct conn *c, uint64_t t)
{
	uint64_t id = htobe64((uint64_t)(c - load.conn + 1) << 32 | c->sent);

	memcpy(c->out + c->out_n, load.frame, load.frame_len);
	memcpy(c->out + c->out_n + 4, &id, 8);
	c->out_n += load.frame_len;
	c->began[c->sent % DEPTH_MAX] = t;
	c->open[c->sent % DEPTH_MAX] = true;
	c->sent++;
}

static void answer_handle(struct conn *c, const uint8_t *p, uint64_t t)
{
	uint64_t id;
	uint32_t seq;

	if (p[2] & 0x20)
		return; /* an event */
	if (p[2] & 0x80)
		die("a request came back");
	memcpy(&id, p + 4, 8);
	id = be64toh(id);
	seq = (uint32_t)id;
	if (id >> 32 != (uint64_t)(c - load.conn) + 1 || c->sent - seq > DEPTH_MAX ||
	    seq == c->sent || !c->open[seq % DEPTH_MAX])
		die("an answer has an id that was not asked");
	c->open[seq % DEPTH_MAX] = false;
	c->done++;
	load.errors += p[3] != STATUS_OK;
	if (load.counting)
		latency_add(t - c->began[seq % DEPTH_MAX]);
	if (load.rate == 0)
		ask(c, t);
}

static void conn_read(struct conn *c)
{
	size_t at = 0;
	uint64_t t;
	ssize_t r;

	if (c->in_cap - c->in_n < READ_MIN) {
		c->in_cap += c->in_cap + READ_MIN;
		c->in = realloc(c->in, c->in_cap);
		if (!c->in)
			abort();
	}
	r = recv(c->fd, c->in + c->in_n, c->in_cap - c->in_n, 0);
	if (r < 0 && errno == EAGAIN)
		return;
	if (r <= 0)
		die("the connection was closed");
	c->in_n += (size_t)r;
	t = now();
	while (c->in_n - at >= HEADER) {
		const uint8_t *p = c->in + at;
		size_t len = HEADER + ((size_t)p[12] << 24 | (size_t)p[13] << 16 |
				       (size_t)p[14] << 8 | p[15]);

		if (p[0] != 0xda || p[1] != 0xbb || len > FRAME_MAX)
			die("the answer is not a Dubbo frame");
		if (c->in_n - at < len)
			break;
		answer_handle(c, p, t);
		at += len;
	}
	memmove(c->in, c->in + at, c->in_n - at);
	c->in_n -= at;
}

static void conn_open(struct conn *c)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(load.port) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, load.ip, &sa.sin_addr) != 1 ||
	    connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die(strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	c->out = malloc(load.frame_len * (load.depth + 1));
	if (!c->out)
		abort();
	epoll_ctl(load.ep, EPOLL_CTL_ADD, c->fd, &e);
}

/* ---- the run -------------------------------------------------------------------------------- */

/* Open loop: asks what is due until @t, round robin over connections with room. */
static void ask_due(uint64_t t, uint64_t *due, uint64_t every)
{
	static unsigned int turn;

	while (*due <= t) {
		unsigned int k = 0;
		struct conn *c;

		for (; k < load.conns; k++) {
			c = &load.conn[(turn + k) % load.conns];
			if (c->sent - c->done < load.depth)
				break;
		}
		if (k == load.conns)
			return;
		ask(c, *due);
		flush(c);
		turn += k + 1;
		*due += every;
	}
}

static double run(void)
{
	uint64_t start = now(), begin = start + (uint64_t)(load.warm_up * 1e9);
	uint64_t end = begin + (uint64_t)(load.seconds * 1e9), t, last = start, due = start;
	uint64_t every = load.rate > 0 ? (uint64_t)(1e9 / load.rate) : 0;
	struct epoll_event ev[256];

	for (unsigned int i = 0; !every && i < load.conns; i++) {
		for (unsigned int k = 0; k < load.depth; k++)
			ask(&load.conn[i], start);
		flush(&load.conn[i]);
	}
	while ((t = now()) < end) {
		int wait = 100, n;

		if (!load.counting && t >= begin) {
			load.counting = true;
			begin = t;
		}
		if (every) {
			ask_due(t, &due, every);
			wait = due > t ? (int)((due - t) / 1000000) : 1;
		}
		n = epoll_wait(load.ep, ev, 256, wait);
		if (n > 0)
			last = now();
		else if (now() - last > SILENCE_NS)
			die("no answer for 5 s");
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				conn_read(c);
			if (c->out_n)
				flush(c);
		}
	}
	return (double)(now() - begin) / 1e9;
}

static void report(double seconds)
{
	unsigned long long all = 0;

	for (unsigned int i = 0; i < load.conns; i++)
		all += load.conn[i].done;
	printf("{\"conns\":%u,\"depth\":%u,\"rps\":%.0f,\"n\":%llu,\"all\":%llu,\"errors\":%llu,"
	       "\"avg\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n",
	       load.conns, load.depth, (double)load.n / seconds, (unsigned long long)load.n, all,
	       (unsigned long long)load.errors,
	       load.n ? (double)load.sum / 1e3 / (double)load.n : 0.0, percentile_us(50),
	       percentile_us(90), percentile_us(99), percentile_us(99.9), (double)load.max / 1e3);
}

static void frame_load(const char *path)
{
	FILE *f = fopen(path, "r");
	uint8_t *p = malloc(FRAME_MAX);

	if (!f || !p)
		die(path);
	load.frame_len = fread(p, 1, FRAME_MAX, f);
	load.frame = p;
	fclose(f);
}

static void options(int ac, char **av)
{
	const uint8_t *p;
	int o;

	while ((o = getopt(ac, av, "a:p:c:d:w:P:r:f:")) > 0) {
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
		else if (o == 'P')
			load.depth = (unsigned int)v;
		else if (o == 'r')
			load.rate = v;
		else if (o == 'f')
			frame_load(optarg);
		else
			exit(2);
	}
	if (!load.conns || !load.depth || load.depth > DEPTH_MAX || load.seconds > SECONDS_MAX)
		die("-c is at least 1, -P 1 to 1024, -d at most 600");
	p = load.frame;
	if (load.frame_len < HEADER || p[0] != 0xda || p[1] != 0xbb || !(p[2] & 0x40) ||
	    HEADER + ((size_t)p[12] << 24 | (size_t)p[13] << 16 | (size_t)p[14] << 8 | p[15]) !=
		    load.frame_len)
		die("the file is not one two-way Dubbo request");
}

int main(int ac, char **av)
{
	options(ac, av);
	load.ep = epoll_create1(EPOLL_CLOEXEC);
	load.conn = calloc(load.conns, sizeof(*load.conn));
	if (!load.conn)
		abort();
	for (unsigned int i = 0; i < load.conns; i++)
		conn_open(&load.conn[i]);
	report(run());
	return load.errors || !load.n;
}
