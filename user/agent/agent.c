/* SPDX-License-Identifier: Apache-2.0 */
/* The main thread: start, reload, the loop that waits for signals, files, kernel events and tasks.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/log.h"
#include "xds/load.h"

#define EVENT_LINES 20	  /* a second */
#define DNS_START_MS 5000 /* names that take longer are found later */
#define LAST_MS 50
#define DNS_LOOK_MS 10

/* ---- life ------------------------------------------------------------------------------------ */

/* Whose connections to pods are the node's own: what the configuration says, else skiffd's own
 * addresses. */
static int set_nodes(struct agent *a, struct err *e)
{
	struct agent_addresses l = { .netns = -1, .arena = &a->conf->arena };
	int r;

	if (a->conf->n_node_addresses)
		return datapath_nodes_set(a->dp, a->conf->node_addresses, a->conf->n_node_addresses,
					  1, e);
	r = agent_addresses_read(&l);
	if (r < 0)
		return err_set(e, r, "cannot list this node's addresses: %s", strerror(-r));
	return datapath_nodes_set(a->dp, l.addrs, l.n, 1, e);
}

static int open_datapath(struct agent *a, struct err *e)
{
	struct datapath_options o = {
		.pin_dir = a->conf->pin_dir,
		.cgroup = a->conf->cgroup,
		.credit = a->conf->credit_bytes,
		.beat_seconds = a->conf->heartbeat_seconds,
	};
	struct datapath_selftest test;
	int r = datapath_open(&o, &a->dp, e);

	if (r < 0)
		return err_prefix(e, r, "capture");
	if (datapath_selftest(a->dp, &test, e) < 0)
		log_warn("agent", "the capture self-test could not run: %s: acceleration is off",
			 e->text);
	/* The test has beaten. Pods that are still pinned would be steered before their
	 * configuration is here. */
	datapath_beat_stop(a->dp);
	return set_nodes(a, e);
}

int agent_new(struct skiffd_config *conf, bool with_pods, struct agent **ret_a, struct err *e)
{
	struct agent *a = xcalloc(1, sizeof(*a));
	sigset_t set;

	a->conf = conf;
	a->started_ns = clock_mono_ns();
	a->watch = a->folder = -1;
	list_init(&a->pods);
	list_init(&a->rules);
	list_init(&a->tasks);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->cond, NULL);
	atomic_store(&a->state, ADMIN_PRE_INITIALIZING);
	a->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	a->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	must(a->wake >= 0 && a->signals >= 0);
	if (conf->n_pods || with_pods) {
		int r = open_datapath(a, e);

		if (r < 0) {
			a->conf = NULL;
			agent_free(a);
			return r;
		}
	}
	*ret_a = a;
	return 0;
}

void agent_set_engine(struct agent *a, const struct agent_engine *engine)
{
	a->engine = *engine;
}

void agent_free(struct agent *a)
{
	struct list *n;

	if (!a)
		return;
	dns_free(a->dns);
	agent_xds_free(a);
	/* The kernel side stays: pods are open or closed until a skiffd comes back. */
	while ((n = list_pop(&a->pods)) != NULL)
		agent_pod_free(list_entry(n, struct agent_pod, node));
	l4_free(a->l4);
	guards_free(a->guards);
	datapath_close(a->dp);
	mesh_view_unref(a->host);
	mesh_snapshot_unref(a->snap);
	skiffd_config_free(a->conf);
	close(a->wake);
	close(a->signals);
	if (a->watch >= 0)
		close(a->watch);
	free(a);
}

enum admin_state agent_state(void *arg)
{
	struct agent *a = arg;

	return (enum admin_state)atomic_load(&a->state);
}

const struct mesh_snapshot *agent_snapshot(const struct agent *a)
{
	return a->snap;
}

/* ---- start ----------------------------------------------------------------------------------- */

static bool is_managed(struct agent *a, uint64_t netns)
{
	list_for_each(n, &a->pods)
		if (list_entry(n, struct agent_pod, node)->ref.netns == netns)
			return true;
	return false;
}

/* Pods that an earlier skiffd left in the kernel and that nobody names any more. */
static void forget_others(struct agent *a)
{
	struct datapath_pod_info *old = xcalloc(AGENT_PODS_MAX, sizeof(*old));
	int n = a->dp ? datapath_pod_list(a->dp, old, AGENT_PODS_MAX) : 0;
	struct err e;

	for (int i = 0; i < n && i < AGENT_PODS_MAX; i++) {
		if (is_managed(a, old[i].ref.netns))
			continue;
		log_warn("agent",
			 "pod %u of an earlier skiffd is not configured: it leaves the mesh",
			 old[i].ref.id);
		if (datapath_pod_remove(a->dp, old[i].ref.netns, &e) < 0)
			log_warn("agent", "%s", e.text);
	}
	free(old);
}

static int open_pods(struct agent *a, struct err *e)
{
	for (uint32_t i = 0; i < a->conf->n_pods; i++) {
		struct agent_pod *p = agent_pod_new(&a->conf->pods[i]);
		int r = agent_pod_find(a, p->conf.namespace_, p->conf.name) ?
				err_set(e, -EEXIST, "%s: pods: %s/%s is there twice", a->conf->path,
					p->conf.namespace_, p->conf.name) :
				agent_pod_open(a, p, e);

		if (r < 0) {
			agent_pod_free(p);
			return r;
		}
		p->from_file = true;
		list_push(&a->pods, &p->node);
		a->n_pods++;
	}
	return 0;
}

/* Makes the views that were just read the current ones. */
static void take_views(struct agent *a, struct mesh_view *host)
{
	mesh_view_unref(a->host);
	a->host = host;
	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		mesh_view_unref(p->view);
		p->view = p->next_view;
		p->next_view = NULL;
	}
}

static void run_tasks(struct agent *a);

/* As Envoy: nothing counts as started before the names of its clusters were looked up once. */
static void wait_for_names(struct agent *a)
{
	uint64_t until = clock_mono_ns() + DNS_START_MS * NSEC_PER_MSEC;

	while (!dns_is_settled(a->dns) && clock_mono_ns() < until) {
		struct pollfd fd = { .fd = a->wake, .events = POLLIN };

		if (poll(&fd, 1, DNS_LOOK_MS) > 0)
			run_tasks(a);
	}
}

int agent_start(struct agent *a, struct err *e)
{
	struct mesh_view *host;
	int r;

	atomic_store(&a->state, ADMIN_INITIALIZING);
	a->dns = dns_new(
		a); /* not earlier: a thread has the rights of the moment that it was made in */
	r = agent_xds_new(a, e);
	if (r == 0)
		r = open_pods(a, e);
	if (r == 0)
		r = agent_load_all(a, &host, e);
	if (r < 0)
		return r;
	take_views(a, host);
	r = agent_publish(a, e);
	if (r < 0)
		return r;
	agent_records_read(a);
	heart_start(a);
	forget_others(a);
	wait_for_names(a);
	r = agent_watch_start(a, e);
	/* What came meanwhile nobody has seen. */
	if (r == 0)
		agent_records_read(a);
	if (r == 0 && !agent_xds_is_waiting(a))
		atomic_store(&a->state, ADMIN_LIVE);
	return r;
}

/* ---- tasks of other threads ------------------------------------------------------------------ */

static void wake(struct agent *a)
{
	uint64_t one = 1;

	if (write(a->wake, &one, sizeof(one)) < 0)
		return; /* full: it is awake anyway */
}

void agent_call(struct agent *a, void (*fn)(struct agent *a, void *arg), void *arg)
{
	struct agent_task t = { .fn = fn, .arg = arg };

	pthread_mutex_lock(&a->lock);
	list_push(&a->tasks, &t.node);
	wake(a);
	/* One that has begun is waited for: it works on this stack. */
	while (!t.done && (t.running || !atomic_load(&a->quit)))
		pthread_cond_wait(&a->cond, &a->lock);
	if (!t.done)
		list_del(&t.node);
	pthread_mutex_unlock(&a->lock);
}

static void run_tasks(struct agent *a)
{
	struct list *n;
	uint64_t count;

	if (read(a->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn("agent", "eventfd: %s", strerror(errno));
	pthread_mutex_lock(&a->lock);
	while ((n = list_pop(&a->tasks)) != NULL) {
		struct agent_task *t = list_entry(n, struct agent_task, node);

		t->running = true;
		/* Unlocked: the task may take its time, others may queue meanwhile. */
		pthread_mutex_unlock(&a->lock);
		t->fn(a, t->arg);
		pthread_mutex_lock(&a->lock);
		t->done = true;
		pthread_cond_broadcast(&a->cond);
	}
	pthread_mutex_unlock(&a->lock);
}

/* ---- the loop -------------------------------------------------------------------------------- */

void agent_quit(struct agent *a)
{
	atomic_store(&a->quit, true);
	pthread_mutex_lock(&a->lock);
	pthread_cond_broadcast(&a->cond);
	pthread_mutex_unlock(&a->lock);
	wake(a);
}

void agent_stop(struct agent *a)
{
	agent_quit(a);
	heart_stop(a);
}

/* Returns the signal that ends us, or 0. */
static int take_signal(struct agent *a)
{
	struct signalfd_siginfo si;
	struct err e;

	if (read(a->signals, &si, sizeof(si)) != sizeof(si))
		return 0;
	if (si.ssi_signo != SIGHUP)
		return (int)si.ssi_signo;
	agent_reload(a, &e); /* logs itself */
	return 0;
}

/* What an operator must see: refusals and failures. The others come with ordinary traffic. */
static bool is_trouble(uint32_t reason)
{
	return reason != SKIFF_R_MSG_FALLBACK && reason != SKIFF_R_EXEC_ASK;
}

/* A pod that is refused in a loop must not fill the log: so many lines a second, then their number.
 */
static void log_event(void *arg, const struct skiff_event *ev)
{
	struct agent *a = arg;
	uint64_t second = clock_mono_ns() / NSEC_PER_SEC;
	char text[512];

	datapath_event_format(ev, text, sizeof(text));
	if (!is_trouble(ev->reason)) {
		log_debug("capture", "%s", text);
		return;
	}
	if (second != a->event_second) {
		if (a->event_lines > EVENT_LINES)
			log_info("capture", "%u more events in one second, see skiffctl bpf show",
				 a->event_lines - EVENT_LINES);
		a->event_second = second;
		a->event_lines = 0;
	}
	if (a->event_lines++ < EVENT_LINES)
		log_info("capture", "%s", text);
}

/* @ms (-1: for ever), or less when @at (ms; 0: never) is earlier. */
int agent_earlier(int ms, uint64_t at, uint64_t now)
{
	uint64_t left = at > now ? at - now : 0;

	return at && (ms < 0 || left < (uint64_t)ms) ? (int)left : ms;
}

static int poll_timeout(const struct agent *a, uint64_t now)
{
	int ms = agent_earlier(-1, a->reload_at, now);

	ms = agent_earlier(ms, a->l4_check_at_ms, now);
	ms = agent_earlier(ms, a->ports_at_ms, now);
	return agent_xds_timeout(a, ms, now);
}

/*
 * The kernel hands over no more connections; the workers still serve those that it has handed over:
 * closing their listeners at once would reset what waits to be accepted.
 */
static void stop_capture(struct agent *a)
{
	struct timespec t = { .tv_nsec = LAST_MS * NSEC_PER_MSEC };

	if (!a->dp || !a->n_pods)
		return;
	heart_stop(a);
	nanosleep(&t, NULL);
}

int agent_run(struct agent *a)
{
	while (!atomic_load(&a->quit)) {
		struct pollfd fds[5] = {
			{ .fd = a->signals, .events = POLLIN },
			{ .fd = a->wake, .events = POLLIN },
			{ .fd = a->watch, .events = POLLIN },
			{ .fd = a->dp ? datapath_events_fd(a->dp) : -1, .events = POLLIN },
			{ .fd = agent_xds_fd(a), .events = POLLIN },
		};
		uint64_t now = clock_mono_ns() / NSEC_PER_MSEC;
		int sig;

		agent_xds_turn(a, now);
		agent_policy_catch_up(a);
		if (a->ports_at_ms && now >= a->ports_at_ms)
			a->ports_at_ms =
				a->engine.ports_retry(a->engine.arg) ? now + AGENT_PORTS_MS : 0;
		if (a->reload_at && now >= a->reload_at) {
			struct err e;

			a->reload_at = 0;
			agent_reload(a, &e); /* logs itself */
		}
		if (poll(fds, ARRAY_LEN(fds), poll_timeout(a, now)) <= 0)
			continue;
		if ((fds[0].revents & POLLIN) && (sig = take_signal(a)) != 0) {
			stop_capture(a);
			agent_quit(a);
			return sig;
		}
		if (fds[1].revents & POLLIN)
			run_tasks(a);
		if (fds[2].revents & POLLIN)
			agent_watch_event(a);
		if (a->folder_changed) {
			a->folder_changed = false;
			agent_records_read(a);
		}
		if (fds[3].revents & POLLIN)
			datapath_events_read(a->dp, log_event, a);
	}
	stop_capture(a);
	return 0;
}
