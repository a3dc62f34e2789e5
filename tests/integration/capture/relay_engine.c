/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest engine that the capture tests can drive: it opens the datapath, serves pods from
 * this process and relays bytes. It is not skiffd: no protocol, no configuration file.
 * Commands come as lines on standard input, each is answered by one line "ok ..." or "error ...";
 * events are printed in between as lines "event ...".
 *
 * usage: relay_engine PIN_DIR [credit=BYTES] [beat=SECONDS] [cgroup=PATH] [selftest]
 *        relay_engine PIN_DIR show|doctor|unload      prints, removes, ends
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/base.h"
#include "base/err.h"
#include "datapath/datapath.h"

#define PODS_MAX 16
#define RULES_MAX 64
#define BUFFER 65536
#define WORDS_MAX 16

struct pod {
	char name[32];
	int netns;
	struct datapath_pod_ref ref;
	struct addr addrs[SKIFF_POD_ADDRS];
	unsigned int addrs_n;
	enum datapath_accelerate accelerate;
	bool closed;
	struct datapath_rule rules[RULES_MAX];
	size_t rules_n;
	struct datapath_authz authz[RULES_MAX];
	size_t authz_n;
};

enum kind { COMMANDS, EVENTS, TIMER, LISTEN_OUT, LISTEN_IN, STREAM };

/* What epoll points at. */
struct source {
	enum kind kind;
	int fd;
	struct pod *pod;
	struct source *peer;        /* STREAM: where this one's bytes go */
	unsigned char data[BUFFER]; /* read here, not yet written to the peer */
	size_t from, to;
	bool eof, shut, dead;
};

static struct datapath *dp;
static struct pod pods[PODS_MAX];
static size_t pods_n;
static struct datapath_backend backends[RULES_MAX];
static uint32_t backend_service[RULES_MAX];
static size_t backends_n;
static struct addr nodes[RULES_MAX];
static size_t nodes_n;
static int ep, home;
static bool beating = true;
static uint32_t generation;

static void say(const char *word, const char *text)
{
	printf("%s %s\n", word, text);
	fflush(stdout);
}

static void watch(struct source *s, uint32_t events, int op)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	must(epoll_ctl(ep, op, s->fd, &e) == 0);
}

static struct source *source_new(enum kind kind, int fd, struct pod *pod)
{
	struct source *s = xcalloc(1, sizeof(*s));

	s->kind = kind;
	s->fd = fd;
	s->pod = pod;
	return s;
}

/* ---- sockets inside pods --------------------------------------------------------------------- */

static int socket_in(const struct pod *pod, int family)
{
	int one = 1, mark = SKIFF_MARK, fd;

	must(setns(pod->netns, CLONE_NEWNET) == 0);
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	must(setns(home, CLONE_NEWNET) == 0);
	must(fd >= 0);
	must(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0);
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0);
	must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	return fd;
}

static int listener_open(struct pod *pod, const char *ip, uint16_t port, enum skiff_listener role,
			 struct err *err)
{
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	bool v4 = inet_pton(AF_INET, ip, &a4.sin_addr) == 1;
	int fd = socket_in(pod, v4 ? AF_INET : AF_INET6), r;

	if (!v4)
		must(inet_pton(AF_INET6, ip, &a6.sin6_addr) == 1);
	if (v4)
		r = bind(fd, (struct sockaddr *)&a4, sizeof(a4));
	else
		r = bind(fd, (struct sockaddr *)&a6, sizeof(a6));
	if (r < 0 || listen(fd, 1024) < 0)
		return err_set(err, -errno, "listen on %s port %u: %m", ip, port);
	r = datapath_pod_listener_set(dp, pod->ref.id, role, fd, err);
	if (r < 0)
		return r;
	watch(source_new(role == SKIFF_LISTEN_IN ? LISTEN_IN : LISTEN_OUT, fd, pod), EPOLLIN,
	      EPOLL_CTL_ADD);
	return 0;
}

/* ---- relaying -------------------------------------------------------------------------------- */

static void stream_rearm(struct source *s)
{
	uint32_t events = 0;

	if (s->dead)
		return;
	if (!s->eof && s->to == 0)
		events |= EPOLLIN;
	if (s->peer->to > 0)
		events |= EPOLLOUT;
	watch(s, events, EPOLL_CTL_MOD);
}

/* Ends both sides; @doing NULL: all is done, else what failed, with errno. */
static void stream_kill(struct source *s, const char *doing)
{
	char line[128];

	if (s->dead)
		return;
	if (doing) {
		snprintf(line, sizeof(line), "RELAY: pod %s %s: %s", s->pod->name, doing,
			 strerror(errno));
		say("event", line);
	}
	s->dead = s->peer->dead = true;
	close(s->fd);
	close(s->peer->fd);
}

/* Moves what @s has read to its peer. */
static void stream_flush(struct source *s)
{
	while (s->from < s->to) {
		ssize_t n = send(s->peer->fd, s->data + s->from, s->to - s->from,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			stream_kill(s, "send");
			return;
		}
		s->from += (size_t)n;
	}
	s->from = s->to = 0;
	if (s->eof && !s->shut) {
		s->shut = true;
		shutdown(s->peer->fd, SHUT_WR);
	}
	if (s->shut && s->peer->shut)
		stream_kill(s, NULL);
}

static void stream_read(struct source *s)
{
	ssize_t n;

	if (s->eof || s->to > 0)
		return;
	n = recv(s->fd, s->data, sizeof(s->data), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		stream_kill(s, "recv");
		return;
	}
	if (n == 0)
		s->eof = true;
	s->to = (size_t)n;
	stream_flush(s);
}

static void stream_event(struct source *s, uint32_t events)
{
	if (!s->dead && events & EPOLLOUT)
		stream_flush(s->peer);
	if (!s->dead && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		stream_read(s);
	if (!s->dead && events & EPOLLERR && s->to > 0)
		stream_kill(s, "error while waiting");
	if (!s->dead) {
		stream_rearm(s);
		stream_rearm(s->peer);
	}
}

/* The pod that has the address: its namespace is entered directly. Else @from. */
static struct pod *pod_of(const struct addr *dst, struct pod *from)
{
	for (size_t i = 0; i < pods_n; i++) {
		for (unsigned int j = 0; j < pods[i].addrs_n; j++) {
			if (addr_ip_is_equal(&pods[i].addrs[j], dst))
				return &pods[i];
		}
	}
	return from;
}

static void relay(struct pod *pod, int fd, const struct addr *dst)
{
	struct source *a = source_new(STREAM, fd, pod), *b;
	struct sockaddr_storage ss;
	socklen_t size = addr_to_sockaddr(dst, &ss);
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	b = source_new(STREAM, socket_in(pod_of(dst, pod), ss.ss_family), pod);
	a->peer = b;
	b->peer = a;
	watch(a, 0, EPOLL_CTL_ADD);
	watch(b, 0, EPOLL_CTL_ADD);
	if (connect(b->fd, (struct sockaddr *)&ss, size) < 0 && errno != EINPROGRESS) {
		stream_kill(a, "connect");
		return;
	}
	stream_rearm(a);
	stream_rearm(b);
}

static void accept_one(struct source *listener)
{
	struct sockaddr_storage ss;
	socklen_t size = sizeof(ss);
	struct addr dst;
	int fd, r;

	fd = accept4(listener->fd, (struct sockaddr *)&ss, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (listener->kind == LISTEN_IN) {
		size = sizeof(ss);
		must(getsockname(fd, (struct sockaddr *)&ss, &size) == 0);
	}
	r = addr_from_sockaddr((struct sockaddr *)&ss, &dst);
	if (r == 0 && listener->kind == LISTEN_OUT)
		r = datapath_origdst_get(dp, listener->pod->ref.netns, &dst, &dst);
	if (r < 0) {
		say("event", "NO_ORIGDST");
		close(fd);
		return;
	}
	relay(listener->pod, fd, &dst);
}

/* ---- commands -------------------------------------------------------------------------------- */

static struct pod *pod_find(const char *name)
{
	for (size_t i = 0; i < pods_n; i++) {
		if (strcmp(pods[i].name, name) == 0)
			return &pods[i];
	}
	return NULL;
}

/* pod NAME NETNS_PATH off|auto|both open|closed ADDR... */
static int do_pod(char **w, int n, struct err *err)
{
	struct pod *pod = pod_find(w[1]);
	bool fresh = !pod;
	int r;

	if (fresh) {
		pod = &pods[pods_n++];
		snprintf(pod->name, sizeof(pod->name), "%s", w[1]);
		pod->netns = open(w[2], O_RDONLY | O_CLOEXEC);
		if (pod->netns < 0)
			return err_set(err, -errno, "open %s: %m", w[2]);
	}
	if (datapath_accelerate_parse(w[3], &pod->accelerate) < 0)
		return err_set(err, -EINVAL, "accelerate %s", w[3]);
	pod->closed = strcmp(w[4], "closed") == 0;
	pod->addrs_n = 0;
	for (int i = 5; i < n; i++)
		must(addr_parse_ip(slice_str(w[i]), &pod->addrs[pod->addrs_n++]) == 0);
	struct datapath_pod d = {
		.netns = pod->netns,
		.accelerate = pod->accelerate,
		.closed = pod->closed,
		.addrs = pod->addrs,
		.addrs_n = pod->addrs_n,
	};
	r = datapath_pod_add(dp, &d, &pod->ref, err);
	if (r < 0 || !fresh)
		return r;
	r = listener_open(pod, "127.0.0.1", SKIFF_OUTBOUND_PORT, SKIFF_LISTEN_OUT4, err);
	if (r == 0)
		r = listener_open(pod, "::1", SKIFF_OUTBOUND_PORT, SKIFF_LISTEN_OUT6, err);
	if (r == 0)
		r = listener_open(pod, "::", SKIFF_INBOUND_PORT, SKIFF_LISTEN_IN, err);
	return r;
}

/* rule POD out|in bypass|l4|l7|deny PREFIX PORT [SERVICE] */
static int do_rule(char **w, int n, struct err *err)
{
	static const char *const verdicts[] = {"bypass", "l4", "l7", "deny"};
	struct pod *pod = pod_find(w[1]);
	struct datapath_rule *r;

	if (!pod || pod->rules_n == RULES_MAX)
		return err_set(err, -EINVAL, "no pod %s or too many rules", w[1]);
	r = &pod->rules[pod->rules_n++];
	*r = (struct datapath_rule){
		.direction = strcmp(w[2], "in") == 0 ? SKIFF_INBOUND : SKIFF_OUTBOUND,
		.service = n > 6 ? (uint32_t)strtoul(w[6], NULL, 10) : 0,
	};
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		if (strcmp(w[3], verdicts[i]) == 0)
			r->verdict = (enum skiff_verdict)i;
	}
	must(addr_parse_prefix(slice_str(w[4]), &r->addr, &r->bits) == 0);
	r->addr.port = (uint16_t)strtoul(w[5], NULL, 10);
	return 0;
}

/* authz POD allow|deny PREFIX PORT */
static int do_authz(char **w, struct err *err)
{
	struct pod *pod = pod_find(w[1]);
	struct datapath_authz *a;

	if (!pod || pod->authz_n == RULES_MAX)
		return err_set(err, -EINVAL, "no pod %s or too many rules", w[1]);
	a = &pod->authz[pod->authz_n++];
	*a = (struct datapath_authz){.allow = strcmp(w[2], "allow") == 0};
	must(addr_parse_prefix(slice_str(w[3]), &a->source, &a->bits) == 0);
	a->source.port = (uint16_t)strtoul(w[4], NULL, 10);
	return 0;
}

/* Services are known by their backends and by "service ID", which makes an empty one. */
static int services_apply(struct err *err)
{
	struct datapath_service list[RULES_MAX];
	struct datapath_backend own[RULES_MAX][RULES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < backends_n; i++) {
		size_t s = 0;

		while (s < n && list[s].id != backend_service[i])
			s++;
		if (s == n)
			list[n++] = (struct datapath_service){backend_service[i], own[s], 0};
		own[s][list[s].backends_n++] = backends[i];
	}
	return datapath_services_set(dp, list, n, ++generation, err);
}

/* commit: everything that was said since "reset" becomes the policy. */
static int do_commit(struct err *err)
{
	int r = services_apply(err);

	for (size_t i = 0; i < pods_n && r == 0; i++) {
		r = datapath_policy_set(dp, pods[i].ref.id, pods[i].rules, pods[i].rules_n,
					generation, err);
		if (r == 0)
			r = datapath_authz_set(dp, pods[i].ref.id, pods[i].authz,
					       pods[i].authz_n, generation, err);
	}
	return r < 0 ? r : datapath_nodes_set(dp, nodes, nodes_n, generation, err);
}

static int do_reset(void)
{
	for (size_t i = 0; i < pods_n; i++)
		pods[i].rules_n = pods[i].authz_n = 0;
	backends_n = nodes_n = 0;
	return 0;
}

static int do_stats(char *answer, size_t size)
{
	uint64_t counts[SKIFF_R_COUNT];
	size_t at = 0;
	int r = datapath_stats_read(dp, counts);

	for (int i = 0; i < SKIFF_R_COUNT && r == 0; i++)
		at += (size_t)snprintf(answer + at, size - at, "%s=%llu ",
				       datapath_reason_name((enum skiff_reason)i),
				       (unsigned long long)counts[i]);
	return r;
}

static int do_remove(const char *name, struct err *err)
{
	struct pod *pod = pod_find(name);

	return pod ? datapath_pod_remove(dp, pod->ref.netns, err) : -ENOENT;
}

static int command(char **w, int n, char *answer, size_t size, struct err *err)
{
	if (strcmp(w[0], "pod") == 0 && n >= 6)
		return do_pod(w, n, err);
	if (strcmp(w[0], "rule") == 0 && n >= 6)
		return do_rule(w, n, err);
	if (strcmp(w[0], "authz") == 0 && n == 5)
		return do_authz(w, err);
	if (strcmp(w[0], "backend") == 0 && n == 4 && backends_n < RULES_MAX) {
		backend_service[backends_n] = (uint32_t)strtoul(w[1], NULL, 10);
		backends[backends_n].weight = (uint32_t)strtoul(w[3], NULL, 10);
		return addr_parse(slice_str(w[2]), &backends[backends_n++].addr);
	}
	if (strcmp(w[0], "node") == 0 && n == 2 && nodes_n < RULES_MAX)
		return addr_parse_ip(slice_str(w[1]), &nodes[nodes_n++]);
	if (strcmp(w[0], "commit") == 0)
		return do_commit(err);
	if (strcmp(w[0], "reset") == 0)
		return do_reset();
	if (strcmp(w[0], "stats") == 0)
		return do_stats(answer, size);
	if (strcmp(w[0], "remove") == 0 && n == 2)
		return do_remove(w[1], err);
	if (strcmp(w[0], "beat") == 0 && n == 2) {
		beating = strcmp(w[1], "on") == 0;
		return beating ? datapath_beat(dp) : 0;
	}
	return err_set(err, -EINVAL, "unknown command %s", w[0]);
}

static void command_line(char *line)
{
	char answer[4096] = "", *w[WORDS_MAX], *save = NULL;
	struct err err = {{0}};
	int n = 0, r;

	for (char *p = strtok_r(line, " \n", &save); p && n < WORDS_MAX;
	     p = strtok_r(NULL, " \n", &save))
		w[n++] = p;
	if (!n)
		return;
	r = command(w, n, answer, sizeof(answer), &err);
	if (r < 0)
		say("error", err.text[0] ? err.text : strerror(-r));
	else
		say("ok", answer);
}

static void on_event(void *arg, const struct skiff_event *event)
{
	char line[512];

	(void)arg;
	datapath_event_format(event, line, sizeof(line));
	say("event", line);
}

static void dispatch(struct source *s, uint32_t events)
{
	char line[1024];
	uint64_t ticks;

	switch (s->kind) {
	case COMMANDS:
		if (!fgets(line, sizeof(line), stdin)) {
			datapath_close(dp);
			exit(0);
		}
		command_line(line);
		break;
	case EVENTS:
		datapath_events_read(dp, on_event, NULL);
		break;
	case TIMER:
		if (read(s->fd, &ticks, sizeof(ticks)) > 0 && beating)
			datapath_beat(dp);
		break;
	case LISTEN_OUT:
	case LISTEN_IN:
		accept_one(s);
		break;
	case STREAM:
		stream_event(s, events);
		break;
	}
}

static void options_read(int argc, char **argv, struct datapath_options *o, bool *selftest)
{
	o->pin_dir = argv[1];
	for (int i = 2; i < argc; i++) {
		if (strncmp(argv[i], "credit=", 7) == 0)
			o->credit = (uint32_t)strtoul(argv[i] + 7, NULL, 10);
		else if (strncmp(argv[i], "beat=", 5) == 0)
			o->beat_seconds = (uint32_t)strtoul(argv[i] + 5, NULL, 10);
		else if (strncmp(argv[i], "cgroup=", 7) == 0)
			o->cgroup = argv[i] + 7;
		else if (strcmp(argv[i], "selftest") == 0)
			*selftest = true;
	}
}

static void start(int argc, char **argv)
{
	struct datapath_options options = {0};
	struct datapath_selftest result;
	bool selftest = false;
	struct err err;
	char line[512];

	options_read(argc, argv, &options, &selftest);
	if (datapath_open(&options, &dp, &err) < 0) {
		say("error", err.text);
		exit(1);
	}
	datapath_beat(dp);
	if (selftest) {
		if (datapath_selftest(dp, &result, &err) < 0) {
			say("error", err.text);
			exit(1);
		}
		snprintf(line, sizeof(line),
			 "order=%d eof=%d back_pressure=%d splice=%d ceiling=%s",
			 result.order, result.eof, result.back_pressure, result.splice,
			 datapath_accelerate_name(result.ceiling));
		say("ok", line);
		return;
	}
	say("ok", "open");
}

/* The verbs that need no engine. Returns the exit status, -1: none of them. */
static int verb_run(const char *pin_dir, const char *verb)
{
	struct datapath_feature f[DATAPATH_FEATURES_MAX];
	struct err err = {{0}};
	int n, r = 0;

	if (strcmp(verb, "show") == 0) {
		r = datapath_show(pin_dir, stdout, &err);
	} else if (strcmp(verb, "unload") == 0) {
		r = datapath_unload(pin_dir, &err);
	} else if (strcmp(verb, "doctor") == 0) {
		n = datapath_doctor(f);
		for (int i = 0; i < n; i++)
			printf("%-4s %-9s %s: %s\n", f[i].present ? "has" : "no",
			       f[i].required ? "required" : "optional", f[i].name, f[i].what);
	} else {
		return -1;
	}
	if (r < 0)
		say("error", err.text);
	return r < 0;
}

int main(int argc, char **argv)
{
	struct itimerspec tick = {{0, 250000000}, {0, 1}};
	struct epoll_event events[64];
	int n;

	if (argc < 2)
		return 2;
	if (argc == 3 && (n = verb_run(argv[1], argv[2])) >= 0)
		return n;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdin, NULL, _IONBF, 0);
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ep = epoll_create1(EPOLL_CLOEXEC);
	start(argc, argv);
	n = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(n, 0, &tick, NULL);
	watch(source_new(TIMER, n, NULL), EPOLLIN, EPOLL_CTL_ADD);
	watch(source_new(COMMANDS, 0, NULL), EPOLLIN, EPOLL_CTL_ADD);
	watch(source_new(EVENTS, datapath_events_fd(dp), NULL), EPOLLIN, EPOLL_CTL_ADD);
	for (;;) {
		n = epoll_wait(ep, events, ARRAY_LEN(events), -1);
		for (int i = 0; i < n; i++)
			dispatch(events[i].data.ptr, events[i].events);
	}
}
