/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start-up self-test: sends bytes through sk_msg in a network namespace of its own and sees
 * whether this kernel keeps the promises that acceleration rests on. Lowers the mode when not.
 * It uses the real programs and maps, as a pod with the address SELFTEST_ADDR.
 */
#include "datapath/datapath_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define ROOM "datapath"

#define SELFTEST_ADDR "192.0.2.1" /* documentation range: nobody's */
#define SELFTEST_PORT 7
#define WAIT_MS 1000
#define ORDER_BYTES (8u * 1024 * 1024)    /* far over the credit: both sides of the fall-back */
#define STALL_BYTES (64u * 1024 * 1024)   /* TCP stops long before */
#define CHUNK 16384u

/* One captured connection: the application's end and the engine's. */
struct test {
	struct datapath *dp;
	struct datapath_selftest *result;
	struct err *err;
	struct datapath_pod_ref ref;
	int listener, app, engine;
	int r;
};

/* ---- the namespace --------------------------------------------------------------------------- */

static int loopback_up(void)
{
	struct ifreq req = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = ioctl(fd, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int listener_make(struct test *t)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons(SKIFF_OUTBOUND_PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int mark = SKIFF_MARK;

	t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (t->listener < 0 ||
	    setsockopt(t->listener, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	    bind(t->listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(t->listener, 8) < 0)
		return err_set(t->err, -errno, "listener: %m");
	return datapath_pod_listener_set(t->dp, t->ref.id, SKIFF_LISTEN_OUT4, t->listener, t->err);
}

static int pod_make(struct test *t)
{
	struct datapath_pod pod = {.accelerate = DATAPATH_BOTH};
	struct datapath_rule rule = {
		.direction = SKIFF_OUTBOUND,
		.verdict = SKIFF_L7,
		.bits = 128,
	};
	int r;

	pod.netns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (pod.netns < 0)
		return err_set(t->err, -errno, "namespace: %m");
	r = datapath_pod_add(t->dp, &pod, &t->ref, t->err);
	close(pod.netns);
	if (r < 0)
		return r;
	t->dp->selftest_netns = t->ref.netns;
	must(addr_parse_ip(SLICE(SELFTEST_ADDR), &rule.addr) == 0);
	rule.addr.port = SELFTEST_PORT;
	r = datapath_policy_set(t->dp, t->ref.id, &rule, 1, 0, t->err);
	return r < 0 ? r : listener_make(t);
}

/* ---- connections ----------------------------------------------------------------------------- */

static bool ready(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, WAIT_MS) == 1;
}

static int pair_open(struct test *t)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(SELFTEST_PORT)};

	must(inet_pton(AF_INET, SELFTEST_ADDR, &a.sin_addr) == 1);
	t->app = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (t->app < 0 || connect(t->app, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_set(t->err, -errno, "connect: %m");
	if (!ready(t->listener, POLLIN))
		return err_set(t->err, -ETIMEDOUT, "the captured connection never arrived");
	t->engine = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);
	return t->engine < 0 ? err_set(t->err, -errno, "accept: %m") : 0;
}

static void pair_close(struct test *t)
{
	if (t->app >= 0)
		close(t->app);
	if (t->engine >= 0)
		close(t->engine);
	t->app = t->engine = -1;
}

/* ---- what is proven -------------------------------------------------------------------------- */

/* The byte at @at of the stream: no period that a lost or doubled chunk could hide behind. */
static unsigned char pattern(uint64_t at)
{
	return (unsigned char)((at * 2654435761u) >> 13 ^ at >> 20);
}

/* Reads what is there; false at the first byte that is not the next one. */
static bool drain(int fd, uint64_t *at)
{
	unsigned char buf[CHUNK];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != pattern((*at)++))
				return false;
		}
	}
	return true;
}

/* Bytes in order over the fall-back from sk_msg to TCP, and EOF after the last one. */
static void prove_order(int from, int to, bool *ret_order, bool *ret_eof)
{
	unsigned char buf[CHUNK];
	uint64_t sent = 0, got = 0;
	ssize_t n;

	while (sent < ORDER_BYTES) {
		size_t want = CHUNK - sent % 977; /* odd sizes */

		for (size_t i = 0; i < want; i++)
			buf[i] = pattern(sent + i);
		n = send(from, buf, want, MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (uint64_t)n : 0;
		if (n < 0 && (errno != EAGAIN || !ready(to, POLLIN)))
			return;
		if (n < 0 && !drain(to, &got))
			return;
	}
	shutdown(from, SHUT_WR);
	while (got < sent && ready(to, POLLIN)) {
		uint64_t before = got;

		if (!drain(to, &got) || got == before)
			return;
	}
	*ret_order = got == sent;
	*ret_eof = *ret_order && ready(to, POLLIN) && recv(to, buf, 1, MSG_DONTWAIT) == 0;
}

/* A reader that does not read stops the writer. */
static bool prove_back_pressure(int from)
{
	static const unsigned char zeros[CHUNK];
	uint64_t sent = 0;
	ssize_t n;

	while (sent < STALL_BYTES) {
		n = send(from, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		sent += (uint64_t)n;
	}
	return false;
}

/* splice(2) sees a redirected byte. */
static bool prove_splice(int from, int to)
{
	bool sees = false;
	int p[2];

	/* a blocking socket would wait for ever: SPLICE_F_NONBLOCK is about the pipe */
	if (fcntl(to, F_SETFL, O_NONBLOCK) < 0 || pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	if (send(from, "x", 1, MSG_NOSIGNAL) == 1 && ready(to, POLLIN))
		sees = splice(to, NULL, p[1], NULL, 1, SPLICE_F_NONBLOCK) == 1;
	close(p[0]);
	close(p[1]);
	return sees;
}

static int prove_all(struct test *t)
{
	struct datapath_selftest *out = t->result;
	uint64_t before[SKIFF_R_COUNT], after[SKIFF_R_COUNT];
	bool order[2] = {false}, eof[2] = {false};
	int r;

	datapath_stats_read(t->dp, before);
	r = pair_open(t);
	if (r < 0)
		return r;
	prove_order(t->app, t->engine, &order[0], &eof[0]);
	prove_order(t->engine, t->app, &order[1], &eof[1]);
	pair_close(t);
	out->order = order[0] && order[1];
	out->eof = eof[0] && eof[1];
	r = pair_open(t);
	if (r < 0)
		return r;
	out->back_pressure = prove_back_pressure(t->app) && prove_back_pressure(t->engine);
	pair_close(t);
	r = pair_open(t);
	if (r < 0)
		return r;
	out->splice = prove_splice(t->engine, t->app);
	pair_close(t);
	datapath_stats_read(t->dp, after);
	if (after[SKIFF_R_MSG_REDIRECT] == before[SKIFF_R_MSG_REDIRECT])
		return err_set(t->err, -ENOTSUP, "the kernel redirected nothing");
	return 0;
}

/* Runs on a thread of its own: its namespace dies with it. */
static void *run(void *arg)
{
	struct test *t = arg;

	if (unshare(CLONE_NEWNET) < 0) {
		t->r = err_set(t->err, -errno, "new network namespace: %m");
		return NULL;
	}
	t->r = loopback_up();
	if (t->r < 0)
		err_set(t->err, t->r, "lo: %s", strerror(-t->r));
	if (t->r == 0)
		t->r = pod_make(t);
	if (t->r == 0)
		t->r = prove_all(t);
	pair_close(t);
	if (t->listener >= 0)
		close(t->listener);
	if (t->ref.netns)
		datapath_pod_remove(t->dp, t->ref.netns, NULL);
	return NULL;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static void lower(struct datapath *dp, struct datapath_selftest *out)
{
	const char *lost = !out->order	       ? "bytes change their order" :
			   !out->eof	       ? "the end of a stream is lost" :
			   !out->back_pressure ? "a stalled reader does not stop the writer" :
						 NULL;

	out->ceiling = lost ? DATAPATH_OFF : DATAPATH_BOTH;
	if (lost)
		snprintf(out->text, sizeof(out->text),
			 "self-test of sk_msg: on this kernel %s; acceleration is off for all pods",
			 lost);
	else if (!out->splice)
		snprintf(out->text, sizeof(out->text),
			 "self-test of sk_msg: on this kernel splice(2) does not see redirected "
			 "bytes; `both` leaves out executables that may splice");
	dp->ceiling = out->ceiling;
	dp->splice_ok = out->splice;
	if (out->text[0] && !dp->quiet)
		log_warn(ROOM, "%s", out->text);
}

int datapath_selftest(struct datapath *dp, struct datapath_selftest *ret_result, struct err *err)
{
	struct datapath_selftest result = {.ceiling = DATAPATH_OFF};
	struct err why = {{0}};
	struct test t = {
		.dp = dp, .result = &result, .err = &why, .listener = -1, .app = -1, .engine = -1};
	pthread_t thread;
	int r;

	dp->ceiling = DATAPATH_BOTH;
	dp->splice_ok = true; /* else the program that runs this test may be left out */
	datapath_beat(dp);
	r = pthread_create(&thread, NULL, run, &t);
	if (r == 0)
		pthread_join(thread, NULL);
	r = r ? -r : t.r;
	if (r < 0) {
		dp->ceiling = DATAPATH_OFF;
		dp->splice_ok = false;
		return err_set(err, r, "self-test of sk_msg could not run (%s): acceleration is "
				       "off for all pods",
			       why.text[0] ? why.text : strerror(-r));
	}
	lower(dp, &result);
	*ret_result = result;
	return 0;
}
