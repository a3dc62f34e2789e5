/* SPDX-License-Identifier: Apache-2.0 */
/* The engine seen from the main thread: start, stop, publish, listening sockets, pods. */
#include "proxy/engine.h"
#include "proxy/mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/conn.h"
#include "proxy/gather.h"
#include "proxy/ports.h"
#include "proxy/worker.h"

/* A bound address of the host view: one socket a worker. */
struct port_entry {
	struct list node;
	struct addr addr;
	struct wlisten **listens; /* by worker */
	bool wanted;
};

struct pod_entry {
	struct list node;
	struct epod *pod;
	struct wlisten **listens; /* 3 kinds x workers */
	unsigned int n_listens;
	bool serves;			  /* connections are accepted */
	struct list ports;		  /* ports.c */
	const struct mesh_view *ports_of; /* what they were opened for, in force */
};

/* ---- running something on a worker ----------------------------------------------------------- */

struct task {
	struct worker *w;
	void (*fn)(struct worker *w, void *arg);
	void *arg;
	pthread_mutex_t *lock;
	pthread_cond_t *cond;
	unsigned int *left;
};

static void run_task(void *arg)
{
	struct task *t = arg;

	t->fn(t->w, t->arg);
	pthread_mutex_lock(t->lock);
	if (--*t->left == 0)
		pthread_cond_signal(t->cond);
	pthread_mutex_unlock(t->lock);
}

void engine_on_all(struct engine *e, void (*fn)(struct worker *w, void *arg), void *arg)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct task tasks[ENGINE_WORKERS_MAX];
	unsigned int left = e->n_workers;

	for (unsigned int i = 0; i < e->n_workers; i++) {
		tasks[i] = (struct task){ &e->workers[i], fn, arg, &lock, &cond, &left };
		io_post(e->workers[i].io, run_task, &tasks[i]);
	}
	pthread_mutex_lock(&lock);
	while (left)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
}

/* ---- start and stop -------------------------------------------------------------------------- */

/* Envoy's idea of the machine's own address: the first IPv4 that is not loopback. */
static void find_local_address(struct engine *e)
{
	struct ifaddrs *all = NULL;

	addr_parse_ip(SLICE("127.0.0.1"), &e->local_address);
	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct addr a;

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    addr_from_sockaddr(i->ifa_addr, &a) < 0 || addr_is_loopback(&a))
			continue;
		e->local_address = a;
		break;
	}
	freeifaddrs(all);
}

static void default_limits(struct engine_limits *l)
{
	if (!l->connections)
		l->connections = 100000;
	if (!l->connections_per_pod)
		l->connections_per_pod = 20000;
	if (!l->buffer_bytes)
		l->buffer_bytes = 1ull << 30;
	if (!l->buffer_bytes_per_pod)
		l->buffer_bytes_per_pod = 256ull << 20;
}

static struct epod *epod_new(uint32_t id, int netns)
{
	struct epod *p = xcalloc(1, sizeof(*p));

	p->id = id;
	p->netns = netns;
	atomic_store(&p->refs, 1);
	return p;
}

static int start_workers(struct engine *e, struct err *err)
{
	sigset_t all, old;

	pthread_barrier_init(&e->turning, NULL, e->n_workers + 1);
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned int i = 0; i < e->n_workers; i++) {
		struct worker *w = &e->workers[i];

		w->e = e;
		w->index = i;
		if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
			pthread_sigmask(SIG_SETMASK, &old, NULL);
			return err_set(err, -EAGAIN, "cannot start worker %u: %s", i,
				       strerror(errno));
		}
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_barrier_wait(&e->turning);
	return 0;
}

/* What the workers have to say after their start. */
static int start_result(const struct engine *e, struct err *err)
{
	for (unsigned int i = 0; i < e->n_workers; i++)
		if (e->workers[i].start_result < 0) {
			*err = e->workers[i].start_err;
			return e->workers[i].start_result;
		}
	return 0;
}

static void end_workers(struct engine *e)
{
	for (unsigned int i = 0; i < e->n_workers; i++)
		if (e->workers[i].start_result == 0)
			io_stop(e->workers[i].io);
	/* No worker frees its loop while it is being told to stop. */
	pthread_barrier_wait(&e->turning);
	for (unsigned int i = 0; i < e->n_workers; i++)
		pthread_join(e->workers[i].thread, NULL);
}

/* The listeners of a pod that was never served: no worker knows them. */
static void free_unserved(struct pod_entry *p)
{
	for (unsigned int i = 0; i < p->n_listens && !p->serves; i++) {
		close(p->listens[i]->fd);
		epod_unref(p->listens[i]->pod);
		free(p->listens[i]);
	}
}

static void free_ports(struct engine *e)
{
	struct list *n;

	while ((n = list_pop(&e->ports)) != NULL) {
		struct port_entry *p = list_entry(n, struct port_entry, node);

		free(p->listens);
		free(p);
	}
	while ((n = list_pop(&e->pods)) != NULL) {
		struct pod_entry *p = list_entry(n, struct pod_entry, node);

		free_unserved(p);
		pod_ports_free(&p->ports);
		epod_unref(p->pod);
		free(p->listens);
		free(p);
	}
}

/* What is left when the workers have ended. */
static void engine_delete(struct engine *e)
{
	free_ports(e);
	psnap_unref(e->snap);
	ptable_slots_free(e);
	for (uint32_t i = 0; i < e->n_sinks; i++) {
		if (e->sinks[i].path)
			close(e->sinks[i].fd);
		free(e->sinks[i].path);
	}
	epod_unref(e->host);
	stats_set_free(e->stats);
	pthread_barrier_destroy(&e->turning);
	pthread_mutex_destroy(&e->names_lock);
	pthread_mutex_destroy(&e->snap_lock);
	free(e->workers);
	free(e);
}

int engine_new(const struct engine_opts *opts, struct engine **ret_e, struct err *err)
{
	struct engine *e = xcalloc(1, sizeof(*e));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int r;

	e->opts = *opts;
	default_limits(&e->opts.limits);
	e->n_workers = opts->workers ? opts->workers : (unsigned int)(cpus > 0 ? cpus : 1);
	if (e->n_workers > ENGINE_WORKERS_MAX)
		e->n_workers = ENGINE_WORKERS_MAX;
	e->workers = xcalloc(e->n_workers, sizeof(*e->workers));
	e->host = epod_new(0, -1);
	e->stats = stats_set_new();
	list_init(&e->pods);
	list_init(&e->ports);
	pthread_mutex_init(&e->names_lock, NULL);
	pthread_mutex_init(&e->snap_lock, NULL);
	find_local_address(e);
	r = start_workers(e, err);
	if (r < 0)
		return r; /* those that were made wait for the others, and the process ends */
	r = start_result(e, err);
	if (r < 0) {
		end_workers(e);
		engine_delete(e);
		return r;
	}
	stats_source_add(clusters_stats, e);
	*ret_e = e;
	return 0;
}

static void nothing(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	stats_source_remove(e);
	engine_on_all(e, nothing, NULL); /* what was posted before has run */
	end_workers(e);
	engine_delete(e);
}

unsigned int engine_workers(const struct engine *e)
{
	return e->n_workers;
}

const char *engine_io_name(const struct engine *e)
{
	return io_backend_name(e->workers[0].io);
}

/* ---- listening sockets ----------------------------------------------------------------------- */

struct listen_task {
	struct wlisten **listens;
};

static void start_listens(struct worker *w, void *arg)
{
	struct listen_task *t = arg;
	struct wlisten *l = t->listens[w->index];

	l->io = io_listener_new(w->io, l->fd, &conn_listener_ops, l);
	list_push(&w->listens, &l->node);
}

static void stop_listens(struct worker *w, void *arg)
{
	struct listen_task *t = arg;
	struct wlisten *l = t->listens[w->index];

	list_del(&l->node);
	if (l->io)
		io_listener_close(l->io);
	epod_unref(l->pod);
	free(l);
}

void listens_start(struct engine *e, struct wlisten **listens)
{
	struct listen_task t = { listens };

	engine_on_all(e, start_listens, &t);
}

void listens_stop(struct engine *e, struct wlisten **listens)
{
	struct listen_task t = { listens };

	engine_on_all(e, stop_listens, &t);
}

int listens_open(struct engine *e, const struct addr *at, struct epod *pod, int kind,
		 struct wlisten **out, struct err *err)
{
	struct io_socket_opts opts = { .netns = pod->netns, .mark = pod->id ? e->opts.mark : 0,
				       .dual_stack = kind == WLISTEN_INBOUND };

	for (unsigned int i = 0; i < e->n_workers; i++) {
		int fd = io_listen_socket(at, &opts, err);

		if (fd < 0) {
			while (i-- > 0) {
				close(out[i]->fd);
				epod_unref(out[i]->pod);
				free(out[i]);
			}
			return fd;
		}
		out[i] = xcalloc(1, sizeof(**out));
		out[i]->w = &e->workers[i];
		out[i]->fd = fd;
		out[i]->pod = epod_ref(pod);
		out[i]->kind = kind;
		out[i]->addr = *at;
		list_init(&out[i]->node);
	}
	return 0;
}

static struct port_entry *find_port(struct engine *e, const struct addr *a)
{
	list_for_each(n, &e->ports) {
		struct port_entry *p = list_entry(n, struct port_entry, node);

		if (addr_is_equal(&p->addr, a))
			return p;
	}
	return NULL;
}

static int open_port(struct engine *e, const struct mesh_listener *l, struct list *fresh,
		     struct err *err)
{
	struct port_entry *p = xcalloc(1, sizeof(*p));
	int r;

	p->addr = l->addr;
	p->wanted = true;
	p->listens = xcalloc(e->n_workers, sizeof(struct wlisten *));
	r = listens_open(e, &l->addr, e->host, WLISTEN_PORT, p->listens, err);
	if (r < 0) {
		free(p->listens);
		free(p);
		return err_prefix(err, r, "listener '%.*s'", SLICE_ARG(l->name));
	}
	list_push(fresh, &p->node);
	return 0;
}

static void abandon_ports(struct engine *e, struct list *fresh)
{
	struct list *n;

	while ((n = list_pop(fresh)) != NULL) {
		struct port_entry *p = list_entry(n, struct port_entry, node);

		for (unsigned int i = 0; i < e->n_workers; i++) {
			close(p->listens[i]->fd);
			epod_unref(p->listens[i]->pod);
			free(p->listens[i]);
		}
		free(p->listens);
		free(p);
	}
}

/* Opens the ports of @v that are not open yet; the sockets wait in @fresh. */
static int open_ports(struct engine *e, const struct mesh_view *v, struct list *fresh,
		      struct err *err)
{
	list_for_each(n, &e->ports)
		list_entry(n, struct port_entry, node)->wanted = false;
	for (uint32_t i = 0; v && i < v->n_listeners; i++) {
		const struct mesh_listener *l = mesh_view_listener_at(v, i);
		struct port_entry *p;
		int r;

		if (!l->bind_to_port)
			continue;
		p = find_port(e, &l->addr);
		if (p) {
			p->wanted = true;
			continue;
		}
		r = open_port(e, l, fresh, err);
		if (r < 0) {
			abandon_ports(e, fresh);
			return r;
		}
	}
	return 0;
}

static void close_unwanted(struct engine *e)
{
	list_for_each_safe(n, tmp, &e->ports) {
		struct port_entry *p = list_entry(n, struct port_entry, node);

		if (p->wanted)
			continue;
		listens_stop(e, p->listens);
		list_del(&p->node);
		free(p->listens);
		free(p);
	}
}

/* ---- publish --------------------------------------------------------------------------------- */

static void take_snapshot(struct worker *w, void *arg)
{
	worker_set_snapshot(w, arg);
	conn_all_stale(w);
}

/* Gauges are changed by the difference. */
static void set_gauge(struct engine *e, const char *name, uint64_t value)
{
	stat_id id = stats_register(STAT_GAUGE, name);

	stats_add(e->stats, id, value - stats_value(id));
}

static void count_view(const struct mesh_view *v, uint64_t *listeners, uint64_t *clusters)
{
	*listeners += v ? v->n_listeners : 0;
	*clusters += v ? v->n_clusters : 0;
}

static void count_snapshot(struct engine *e, const struct mesh_snapshot *s,
			   const struct mesh_snapshot *old)
{
	uint64_t listeners = 0, clusters = 0, was_l = 0, was_c = 0;

	count_view(s->host, &listeners, &clusters);
	for (uint32_t i = 0; i < s->n_pods; i++)
		count_view(s->pods[i].view, &listeners, &clusters);
	if (old)
		count_view(old->host, &was_l, &was_c);
	for (uint32_t i = 0; old && i < old->n_pods; i++)
		count_view(old->pods[i].view, &was_l, &was_c);
	set_gauge(e, "cluster_manager.active_clusters", clusters);
	set_gauge(e, "listener_manager.total_listeners_active", listeners);
	set_gauge(e, "server.live", 1);
	set_gauge(e, "server.state", 0);
	set_gauge(e, "server.concurrency", e->n_workers);
	stats_add(e->stats, stats_register(STAT_COUNTER, "cluster_manager.cluster_added"),
		  clusters > was_c ? clusters - was_c : 0);
	stats_add(e->stats, stats_register(STAT_COUNTER, "listener_manager.listener_added"),
		  listeners > was_l ? listeners - was_l : 0);
	stats_add(e->stats,
		  stats_register(STAT_COUNTER, "listener_manager.listener_create_success"),
		  (listeners > was_l ? listeners - was_l : 0) * e->n_workers);
}

/* Readers of statistics look at it from their own threads. */
static void swap_snapshot(struct engine *e, struct psnap *p)
{
	struct psnap *old = e->snap;

	pthread_mutex_lock(&e->snap_lock);
	e->snap = p;
	pthread_mutex_unlock(&e->snap_lock);
	psnap_unref(old);
}

/* Most pods have the view that they had. */
static void set_pod_ports(struct engine *e, const struct mesh_snapshot *s)
{
	list_for_each(n, &e->pods) {
		struct pod_entry *p = list_entry(n, struct pod_entry, node);
		const struct mesh_pod *m = mesh_snapshot_pod(s, p->pod->id);
		const struct mesh_view *v = m ? m->view : NULL;

		if (v == p->ports_of)
			continue;
		pod_ports_set(e, &p->ports, p->pod, v);
		p->ports_of = v;
	}
}

int engine_apply(struct engine *e, struct mesh_snapshot *s, struct err *err)
{
	struct psnap *p;
	struct list fresh;
	struct list *n;
	int r = psnap_compile(e, s, e->snap, &p, err);

	if (r < 0)
		return r;
	list_init(&fresh);
	r = open_ports(e, s->host, &fresh, err);
	if (r < 0) {
		psnap_unref(p);
		return r;
	}
	engine_on_all(e, take_snapshot, p);
	while ((n = list_pop(&fresh)) != NULL) {
		struct port_entry *pe = list_entry(n, struct port_entry, node);

		list_push(&e->ports, n);
		listens_start(e, pe->listens);
	}
	close_unwanted(e);
	set_pod_ports(e, s);
	count_snapshot(e, s, e->snap ? e->snap->mesh : NULL);
	swap_snapshot(e, p);
	return 0;
}

/* ---- pods ------------------------------------------------------------------------------------ */

static void learn_pod(struct worker *w, void *arg)
{
	struct wpod *p = xcalloc(1, sizeof(*p));

	p->pod = epod_ref(arg);
	list_push(&w->pods, &p->node);
}

static void forget_pod(struct worker *w, void *arg)
{
	struct epod *pod = arg;

	list_for_each_safe(n, tmp, &w->pods) {
		struct wpod *p = list_entry(n, struct wpod, node);

		if (p->pod != pod)
			continue;
		list_del(&p->node);
		epod_unref(p->pod);
		free(p);
	}
	list_for_each_safe(n, tmp, &w->conns) {
		struct conn *c = list_entry(n, struct conn, node);

		if (c->pod == pod)
			conn_close(c, true);
	}
	mirrors_end(w, pod);
	/* Its number may be given to another pod: nothing made in its namespace may stay pooled. */
	for (uint32_t i = 0; w->snap && i < w->snap->n_all; i++)
		wview_each(w->snap->all[i], k)
			upstream_cluster_drop_pod(k->c, pod->id);
}

static struct pod_entry *find_pod(struct engine *e, uint32_t id)
{
	list_for_each(n, &e->pods) {
		struct pod_entry *p = list_entry(n, struct pod_entry, node);

		if (p->pod->id == id)
			return p;
	}
	return NULL;
}

/* The three in-pod addresses; IPv6 loopback may be missing in the pod. */
static int pod_listens(struct engine *e, struct pod_entry *p, bool has_ipv6, struct err *err)
{
	static const struct { const char *ip; uint16_t port; int kind; bool v6; } at[] = {
		{ "127.0.0.1", ENGINE_OUTBOUND_PORT, WLISTEN_OUTBOUND, false },
		{ "::", ENGINE_INBOUND_PORT, WLISTEN_INBOUND, false },
		{ "::1", ENGINE_OUTBOUND_PORT, WLISTEN_OUTBOUND, true },
	};

	p->listens = xcalloc(ARRAY_LEN(at) * e->n_workers, sizeof(struct wlisten *));
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		struct wlisten **out = p->listens + p->n_listens;
		struct addr a;
		int r;

		if (at[i].v6 && !has_ipv6)
			continue;
		addr_parse_ip(slice_str(at[i].ip), &a);
		a.port = at[i].port;
		r = listens_open(e, &a, p->pod, at[i].kind, out, err);
		if (r < 0)
			return r;
		p->n_listens += e->n_workers;
	}
	return 0;
}

static void pod_serve(struct engine *e, struct pod_entry *p)
{
	for (unsigned int i = 0; i < p->n_listens && !p->serves; i += e->n_workers)
		listens_start(e, p->listens + i);
	p->serves = true;
}

static void pod_drop(struct engine *e, struct pod_entry *p)
{
	for (unsigned int i = 0; i < p->n_listens && p->serves; i += e->n_workers)
		listens_stop(e, p->listens + i);
	pod_ports_set(e, &p->ports, p->pod, NULL);
	free_unserved(p);
	engine_on_all(e, forget_pod, p->pod);
	list_del(&p->node);
	epod_unref(p->pod);
	free(p->listens);
	free(p);
}

int engine_pod_add(struct engine *e, uint32_t pod, int netns, bool has_ipv6, bool held,
		   struct engine_pod_fds *ret_fds, struct err *err)
{
	struct pod_entry *p;
	int fd, r;

	if (find_pod(e, pod))
		return err_set(err, -EEXIST, "pod %u is there already", pod);
	fd = fcntl(netns, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "pod %u: cannot keep its namespace: %s", pod,
			       strerror(errno));
	p = xcalloc(1, sizeof(*p));
	p->pod = epod_new(pod, fd);
	list_init(&p->ports);
	list_push(&e->pods, &p->node);
	r = pod_listens(e, p, has_ipv6, err);
	if (r < 0) {
		pod_drop(e, p);
		return r;
	}
	engine_on_all(e, learn_pod, p->pod);
	if (!held)
		pod_serve(e, p);
	ret_fds->outbound4 = p->listens[0]->fd;
	ret_fds->inbound = p->listens[e->n_workers]->fd;
	ret_fds->outbound6 = has_ipv6 ? p->listens[2 * e->n_workers]->fd : -1;
	return 0;
}

void engine_pod_serve(struct engine *e, uint32_t pod)
{
	struct pod_entry *p = find_pod(e, pod);

	if (p)
		pod_serve(e, p);
}

void engine_pod_remove(struct engine *e, uint32_t pod)
{
	struct pod_entry *p = find_pod(e, pod);

	if (p)
		pod_drop(e, p);
}

void engine_pod_ports(struct engine *e, uint32_t pod,
		      void (*fn)(void *arg, const struct engine_port *p), void *arg)
{
	const struct pod_entry *p = find_pod(e, pod);

	if (p)
		pod_ports_each(&p->ports, fn, arg);
}

unsigned int engine_ports_retry(struct engine *e)
{
	unsigned int closed = 0;

	list_for_each(n, &e->pods) {
		struct pod_entry *p = list_entry(n, struct pod_entry, node);

		closed += pod_ports_retry(e, &p->ports, p->pod);
	}
	return closed;
}

/* ---- endpoints ------------------------------------------------------------------------------- */

struct change {
	struct worker *w;
	struct pview *pv; /* referenced */
	uint32_t place;
};

static void take_change(void *arg)
{
	struct change *c = arg;

	worker_endpoints_changed(c->w, c->pv, c->place);
	pview_unref(c->pv);
	free(c);
}

int engine_endpoints(struct engine *e, struct mesh_view *v, struct slice name,
		     struct mesh_part *part)
{
	int place = mesh_view_cluster_place(v, name);
	struct mesh_part *has;
	struct pview *pv;

	if (place < 0 || !mesh_cluster_has_cell(mesh_view_cluster_at(v, (uint32_t)place)))
		return -ENOENT;
	has = mesh_view_endpoints_get(v, (uint32_t)place);
	mesh_part_unref(has);
	if (has == part)
		return 1;
	mesh_view_endpoints_set(v, (uint32_t)place, part);
	pv = psnap_find(e->snap, v);
	if (!pv || !pview_cluster_is_used(pv, (uint32_t)place))
		return 0;
	for (unsigned int i = 0; i < e->n_workers; i++) {
		struct change *c = xcalloc(1, sizeof(*c));

		*c = (struct change){ &e->workers[i], pview_ref(pv), (uint32_t)place };
		io_post(c->w->io, take_change, c);
	}
	return 0;
}

void engine_host_answered(struct engine *e, uint32_t pod, struct slice table, struct slice host)
{
	for (unsigned int i = 0; i < e->n_workers; i++) {
		struct host_answer *a = xcalloc(1, sizeof(*a));

		*a = (struct host_answer){ &e->workers[i], pod, slice_dup(table), slice_dup(host) };
		io_post(a->w->io, worker_host_answered, a);
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

static void answer_ping(void *arg)
{
	struct worker *w = arg;

	atomic_store(&w->is_asked, false);
}

bool engine_is_alive(struct engine *e, uint32_t max_ms)
{
	uint64_t now = clock_mono_ns();
	bool alive = true;

	for (unsigned int i = 0; i < e->n_workers; i++) {
		struct worker *w = &e->workers[i];

		if (atomic_load(&w->is_asked)) {
			alive &= now - w->asked_ns <= max_ms * NSEC_PER_MSEC;
			continue;
		}
		w->asked_ns = now;
		atomic_store(&w->is_asked, true);
		io_post(w->io, answer_ping, w);
	}
	return alive;
}
