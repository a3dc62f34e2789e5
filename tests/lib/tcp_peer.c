/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plain TCP client and server for tests: never splices, polls before it reads, checks each byte.
 * Its executable counts as safe to accelerate. Not a load generator.
 *
 * usage: tcp_peer [wait|mptcp|tls] VERB ...
 *                                         wait: waits in recv(2), where EAGAIN is an error, and
 *                                         streams with two threads; mptcp: with such sockets;
 *                                         tls: talk switches to kernel TLS
 *                                         (without keys: bytes stay as they are) after its first
 *                                         turn, says "tls on" or why not, and goes on
 *        tcp_peer serve PORT echo|collect|stall   stall: reads only after SIGUSR1, then as collect
 *        tcp_peer short ADDR PORT COUNT BYTES     COUNT connections: write BYTES, close
 *        tcp_peer talk ADDR PORT COUNT BYTES      one connection: COUNT times write and read BYTES
 *        tcp_peer stream ADDR PORT BYTES          one connection: write and read BYTES at once
 *        tcp_peer mumble ADDR PORT COUNT BYTES    as talk, but reads nothing before SIGUSR1
 *        tcp_peer flood ADDR PORT                 one connection: write until it blocks for 500 ms,
 *                                                 say how much went in, shut down on SIGUSR1, go on
 * Lines on standard output: "ready", then one line a connection or result: "bytes N good|BAD".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 65536
#define BLOCKED_MS 500

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

static volatile sig_atomic_t go;
static int protocol; /* of every socket; 0: TCP */
static bool with_tls;
static bool waits; /* in recv(2) */

static void on_usr1(int sig)
{
	(void)sig;
	go = 1;
}

static void die(const char *what)
{
	printf("error %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The byte at @at of every stream: a lost, doubled or moved chunk does not fit. */
static unsigned char pattern(uint64_t at)
{
	return (unsigned char)((at * 2654435761u) >> 13 ^ at >> 20);
}

static void fill(unsigned char *buf, size_t n, uint64_t at)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = pattern(at + i);
}

static int check(const unsigned char *buf, size_t n, uint64_t at)
{
	for (size_t i = 0; i < n; i++) {
		if (buf[i] != pattern(at + i))
			return 0;
	}
	return 1;
}

static void write_all(int fd, const unsigned char *buf, size_t n)
{
	while (n) {
		ssize_t k = send(fd, buf, n, MSG_NOSIGNAL);

		if (k < 0)
			die("send");
		buf += k;
		n -= (size_t)k;
	}
}

/* As recv(2): at least a byte, or the end. */
static ssize_t take(int fd, unsigned char *buf, size_t n)
{
	ssize_t k;

	if (waits)
		return recv(fd, buf, n, 0);
	do {
		poll(&(struct pollfd){fd, POLLIN, 0}, 1, -1);
		k = recv(fd, buf, n, MSG_DONTWAIT);
	} while (k < 0 && errno == EAGAIN);
	return k;
}

/* Exactly @n bytes. */
static bool take_all(int fd, unsigned char *buf, size_t n)
{
	while (n) {
		ssize_t k = take(fd, buf, n);

		if (k <= 0)
			return false;
		buf += k;
		n -= (size_t)k;
	}
	return true;
}

static void report(uint64_t bytes, int good)
{
	printf("bytes %llu %s\n", (unsigned long long)bytes, good ? "good" : "BAD");
	fflush(stdout);
}

/* Reads to the end of the stream and says what came, and the first thing that was wrong. */
static void collect(int fd)
{
	unsigned char buf[CHUNK];
	uint64_t at = 0, wrong = 0;
	int good = 1;
	ssize_t n;

	while ((n = take(fd, buf, sizeof(buf))) > 0) {
		if (good && !check(buf, (size_t)n, at)) {
			good = 0;
			wrong = at;
		}
		at += (uint64_t)n;
	}
	if (good && n == 0) {
		report(at, 1);
		return;
	}
	printf("bytes %llu BAD: %s, chunk at %llu\n", (unsigned long long)at,
	       good ? strerror(errno) : "not the bytes that were sent", (unsigned long long)wrong);
	fflush(stdout);
}

/* ---- server ---------------------------------------------------------------------------------- */

struct served {
	int fd;
	const char *mode;
};

static void *serve_one(void *arg)
{
	struct served s = *(struct served *)arg;
	unsigned char buf[CHUNK];
	ssize_t n;

	free(arg);
	if (strcmp(s.mode, "echo") == 0) {
		while ((n = take(s.fd, buf, sizeof(buf))) > 0)
			write_all(s.fd, buf, (size_t)n);
		if (n < 0) {
			printf("error recv: %s\n", strerror(errno));
			fflush(stdout);
		}
		shutdown(s.fd, SHUT_WR);
	} else {
		while (strcmp(s.mode, "stall") == 0 && !go)
			usleep(10000);
		collect(s.fd);
	}
	close(s.fd);
	return NULL;
}

static void serve(uint16_t port, const char *mode)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int one = 1, off = 0, fd = socket(AF_INET6, SOCK_STREAM, protocol);
	pthread_t thread;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1024) < 0)
		die("listen");
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct served *s = malloc(sizeof(*s));

		s->fd = accept(fd, NULL, NULL);
		s->mode = mode;
		if (s->fd < 0)
			die("accept");
		setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&thread, NULL, serve_one, s))
			die("thread");
		pthread_detach(thread);
	}
}

/* ---- client ---------------------------------------------------------------------------------- */

static int dial(const char *addr, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *to;
	int one = 1, fd;

	if (getaddrinfo(addr, port, &hints, &to))
		die("address");
	fd = socket(to->ai_family, SOCK_STREAM, protocol);
	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) < 0)
		die("connect");
	freeaddrinfo(to);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void shorts(const char *addr, const char *port, int count, size_t bytes)
{
	unsigned char *buf = malloc(bytes);

	fill(buf, bytes, 0);
	for (int i = 0; i < count; i++) {
		int fd = dial(addr, port);

		write_all(fd, buf, bytes);
		close(fd);
	}
	free(buf);
	report((uint64_t)count * bytes, 1);
}

static void tls_on(int fd)
{
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3) == 0)
		printf("tls on\n");
	else
		printf("tls off: %s\n", errno == ENOENT ? "not in this kernel" : strerror(errno));
	fflush(stdout);
}

static void talk(const char *addr, const char *port, int count, size_t bytes)
{
	unsigned char *buf = malloc(bytes);
	int fd = dial(addr, port), good = 1;
	uint64_t at = 0;

	for (int i = 0; i < count && good; i++) {
		fill(buf, bytes, at);
		write_all(fd, buf, bytes);
		memset(buf, 0, bytes);
		good = take_all(fd, buf, bytes) && check(buf, bytes, at);
		at += bytes;
		if (with_tls && i == 0)
			tls_on(fd);
	}
	close(fd);
	free(buf);
	report(at, good);
}

static void mumble(const char *addr, const char *port, int count, size_t bytes)
{
	unsigned char *buf = malloc(bytes);
	struct pollfd p = {dial(addr, port), POLLOUT, 0};
	uint64_t said = 0;
	ssize_t n = 0;

	/* until back-pressure has come round */
	for (int i = 0; i < count && n >= 0 && poll(&p, 1, BLOCKED_MS) > 0; i++) {
		fill(buf, bytes, said);
		n = send(p.fd, buf, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
		said += n > 0 ? (uint64_t)n : 0;
		usleep(100); /* let the answer arrive */
	}
	printf("mumbled %llu\n", (unsigned long long)said);
	fflush(stdout);
	while (!go)
		usleep(10000);
	shutdown(p.fd, SHUT_WR);
	collect(p.fd);
	close(p.fd);
	free(buf);
}

struct upload {
	int fd;
	uint64_t bytes;
};

static void *upload(void *arg)
{
	static unsigned char out[CHUNK];
	const struct upload *u = arg;
	size_t n;

	for (uint64_t at = 0; at < u->bytes; at += n) {
		n = u->bytes - at < CHUNK ? (size_t)(u->bytes - at) : CHUNK;
		fill(out, n, at);
		write_all(u->fd, out, n);
	}
	shutdown(u->fd, SHUT_WR);
	return NULL;
}

/* Sends and reads at once, each in a thread that waits for its own call. */
static void stream_waiting(const char *addr, const char *port, uint64_t bytes)
{
	struct upload u = {.fd = dial(addr, port), .bytes = bytes};
	pthread_t thread;

	if (pthread_create(&thread, NULL, upload, &u))
		die("thread");
	collect(u.fd); /* to the end, or the first error: then nobody waits for the upload */
	exit(0);
}

static void stream(const char *addr, const char *port, uint64_t bytes)
{
	static unsigned char out[CHUNK], in[CHUNK];
	int fd = dial(addr, port), good = 1, eof = 0;
	uint64_t sent = 0, got = 0, ready_to = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (!eof) {
		struct pollfd p = {fd, POLLIN | (sent < bytes ? POLLOUT : 0), 0};
		size_t want = bytes - sent < CHUNK ? (size_t)(bytes - sent) : CHUNK;
		ssize_t n;

		poll(&p, 1, -1);
		if (want && p.revents & POLLOUT) {
			if (ready_to != sent + want)
				fill(out, want, sent);
			ready_to = sent + want;
			n = send(fd, out, want, MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN)
				die("send");
			sent += n > 0 ? (uint64_t)n : 0;
			if (sent == bytes)
				shutdown(fd, SHUT_WR);
		}
		n = recv(fd, in, sizeof(in), 0);
		if (n < 0 && errno != EAGAIN)
			die("recv");
		eof = n == 0;
		good &= n <= 0 || check(in, (size_t)n, got);
		got += n > 0 ? (uint64_t)n : 0;
	}
	report(got, good && got == bytes);
}

static void flood(const char *addr, const char *port)
{
	static unsigned char out[CHUNK];
	int fd = dial(addr, port);
	uint64_t sent = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (!go) {
		struct pollfd p = {fd, POLLOUT, 0};
		ssize_t n;

		if (poll(&p, 1, BLOCKED_MS) == 0) {
			printf("blocked %llu\n", (unsigned long long)sent);
			fflush(stdout);
			while (!go)
				usleep(10000);
			break;
		}
		fill(out, sizeof(out), sent);
		n = send(fd, out, sizeof(out), MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			die("send");
		sent += n > 0 ? (uint64_t)n : 0;
	}
	close(fd);
	report(sent, 1);
}

int main(int argc, char **argv)
{
	struct sigaction usr1 = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
	size_t bytes;
	int count;

	with_tls = argc > 1 && strcmp(argv[1], "tls") == 0;
	waits = argc > 1 && strcmp(argv[1], "wait") == 0;
	protocol = argc > 1 && strcmp(argv[1], "mptcp") == 0 ? IPPROTO_MPTCP : 0;
	if (with_tls || waits || protocol) {
		argc--;
		argv++;
	}
	count = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 0;
	bytes = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
	sigaction(SIGUSR1, &usr1, NULL);
	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		serve((uint16_t)strtoul(argv[2], NULL, 10), argv[3]);
	else if (argc == 6 && strcmp(argv[1], "short") == 0)
		shorts(argv[2], argv[3], count, bytes);
	else if (argc == 6 && strcmp(argv[1], "talk") == 0)
		talk(argv[2], argv[3], count, bytes);
	else if (argc == 6 && strcmp(argv[1], "mumble") == 0)
		mumble(argv[2], argv[3], count, bytes);
	else if (argc == 5 && waits && strcmp(argv[1], "stream") == 0)
		stream_waiting(argv[2], argv[3], strtoull(argv[4], NULL, 10));
	else if (argc == 5 && strcmp(argv[1], "stream") == 0)
		stream(argv[2], argv[3], strtoull(argv[4], NULL, 10));
	else if (argc == 4 && strcmp(argv[1], "flood") == 0)
		flood(argv[2], argv[3]);
	else
		return 2;
	return 0;
}
