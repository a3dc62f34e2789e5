/* SPDX-License-Identifier: Apache-2.0 */
/* The engine seen from the main thread: start, stop, publish, listening sockets, pods. */
#include "proxy/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/conn.h"
#include "proxy/gather.h"
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

/* Runs @fn on every worker and waits for all of them. */
static void on_all(struct engine *e, void (*fn)(struct worker *w, void *arg), void *arg)
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
	for (unsigned int i = 0; i < e->n_workers; i++)
		if (e->workers[i].start_result < 0) {
			*err = e->workers[i].start_err;
			return e->workers[i].start_result;
		}
	return 0;
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
	find_local_address(e);
	r = start_workers(e, err);
	if (r < 0) {
		/* A worker that failed has ended already; the others have nothing yet. */
		for (unsigned int i = 0; i < e->n_workers; i++)
			if (e->workers[i].io)
				io_stop(e->workers[i].io);
		return r;
	}
	*ret_e = e;
	return 0;
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

		epod_unref(p->pod);
		free(p->listens);
		free(p);
	}
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	for (unsigned int i = 0; i < e->n_workers; i++)
		io_stop(e->workers[i].io);
	pthread_barrier_wait(
		&e->turning); /* no worker frees its loop while it is being told to stop */
	for (unsigned int i = 0; i < e->n_workers; i++)
		pthread_join(e->workers[i].thread, NULL);
	free_ports(e);
	psnap_unref(e->snap);
	for (uint32_t i = 0; i < e->n_sinks; i++) {
		if (e->sinks[i].path)
			close(e->sinks[i].fd);
		free(e->sinks[i].path);
	}
	epod_unref(e->host);
	stats_set_free(e->stats);
	pthread_barrier_destroy(&e->turning);
	free(e->workers);
	free(e);
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

/* Opens one socket a worker at @at. 0 or -errno, then none is open. */
static int open_listens(struct engine *e, const struct addr *at, struct epod *pod, int kind,
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
	r = open_listens(e, &l->addr, e->host, WLISTEN_PORT, p->listens, err);
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
		struct port_entry *p;
		int r;

		if (!v->listeners[i].bind_to_port)
			continue;
		p = find_port(e, &v->listeners[i].addr);
		if (p) {
			p->wanted = true;
			continue;
		}
		r = open_port(e, &v->listeners[i], fresh, err);
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
		struct listen_task t = { p->listens };

		if (p->wanted)
			continue;
		on_all(e, stop_listens, &t);
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
	on_all(e, take_snapshot, p);
	while ((n = list_pop(&fresh)) != NULL) {
		struct port_entry *pe = list_entry(n, struct port_entry, node);
		struct listen_task t = { pe->listens };

		list_push(&e->ports, n);
		on_all(e, start_listens, &t);
	}
	close_unwanted(e);
	count_snapshot(e, s, e->snap ? e->snap->mesh : NULL);
	psnap_unref(e->snap);
	e->snap = p;
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
	/* Its number may be given to another pod: nothing made in its namespace may stay pooled. */
	for (uint32_t i = 0; w->snap && i < w->snap->n_all; i++)
		for (uint32_t k = 0; k < w->snap->all[i]->pv->mesh->n_clusters; k++)
			upstream_cluster_drop_pod(w->snap->all[i]->clusters[k], pod->id);
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
		struct listen_task t = { out };
		struct addr a;
		int r;

		if (at[i].v6 && !has_ipv6)
			continue;
		addr_parse_ip(slice_str(at[i].ip), &a);
		a.port = at[i].port;
		r = open_listens(e, &a, p->pod, at[i].kind, out, err);
		if (r < 0)
			return r;
		on_all(e, start_listens, &t);
		p->n_listens += e->n_workers;
	}
	return 0;
}

static void pod_drop(struct engine *e, struct pod_entry *p)
{
	for (unsigned int i = 0; i < p->n_listens; i += e->n_workers) {
		struct listen_task t = { p->listens + i };

		on_all(e, stop_listens, &t);
	}
	on_all(e, forget_pod, p->pod);
	list_del(&p->node);
	epod_unref(p->pod);
	free(p->listens);
	free(p);
}

int engine_pod_add(struct engine *e, uint32_t pod, int netns, bool has_ipv6,
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
	list_push(&e->pods, &p->node);
	r = pod_listens(e, p, has_ipv6, err);
	if (r < 0) {
		pod_drop(e, p);
		return r;
	}
	on_all(e, learn_pod, p->pod);
	ret_fds->outbound4 = p->listens[0]->fd;
	ret_fds->inbound = p->listens[e->n_workers]->fd;
	ret_fds->outbound6 = has_ipv6 ? p->listens[2 * e->n_workers]->fd : -1;
	return 0;
}

void engine_pod_remove(struct engine *e, uint32_t pod)
{
	struct pod_entry *p = find_pod(e, pod);

	if (p)
		pod_drop(e, p);
}

/* ---- what the workers know ------------------------------------------------------------------- */

struct gather_task {
	struct gather *g;
	pthread_mutex_t lock;
};

static struct gathered *gather_slot(struct gather *g, const struct mesh_cluster *c,
				    const struct addr *a)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i].cluster == c &&
		    (a ? !g->v[i].is_empty && addr_is_equal(&g->v[i].addr, a) : g->v[i].is_empty))
			return &g->v[i];
	if (g->n == g->cap) {
		g->cap = g->cap ? g->cap * 2 : 64;
		g->v = xrealloc(g->v, g->cap * sizeof(*g->v));
	}
	g->v[g->n] = (struct gathered){ .cluster = c, .is_empty = !a };
	if (a)
		g->v[g->n].addr = *a;
	return &g->v[g->n++];
}

static void gather_host(struct gather *g, const struct upstream_host *h)
{
	struct gathered *o = gather_slot(g, h->cluster->conf, &h->lb.addr);

	o->hostname = h->lb.hostname;
	o->weight = h->lb.weight;
	o->priority = h->lb.priority;
	o->healthy = h->lb.healthy;
	o->cx_total += h->cx_total;
	o->cx_active += h->cx_active;
	o->cx_fail += h->cx_fail;
	o->rq_total += h->rq_total;
	o->rq_error += h->rq_error;
	o->rq_success += h->rq_success;
	o->rq_active += h->lb.active;
}

static void gather_worker(struct worker *w, void *arg)
{
	struct gather_task *t = arg;

	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; w->snap && i < w->snap->n_all; i++)
		for (uint32_t k = 0; k < w->snap->all[i]->pv->mesh->n_clusters; k++) {
			const struct upstream_cluster *c = w->snap->all[i]->clusters[k];

			gather_slot(t->g, c->conf, NULL);
			list_for_each(n, &c->hosts)
				gather_host(t->g, list_entry(n, struct upstream_host, node));
		}
	pthread_mutex_unlock(&t->lock);
}

/* By cluster in order of appearance, the cluster's own entry first. */
static int by_cluster(const void *a, const void *b)
{
	const struct gathered *x = a, *y = b;

	if (x->cluster != y->cluster)
		return x->cluster < y->cluster ? -1 : 1;
	if (x->is_empty != y->is_empty)
		return x->is_empty ? -1 : 1;
	return memcmp(&x->addr, &y->addr, sizeof(x->addr));
}

void gather_hosts(struct engine *e, struct gather *g)
{
	struct gather_task t = { g, PTHREAD_MUTEX_INITIALIZER };

	on_all(e, gather_worker, &t);
	if (g->n)
		qsort(g->v, g->n, sizeof(*g->v), by_cluster);
}

void gather_done(struct gather *g)
{
	free(g->v);
	*g = (struct gather){ 0 };
}

const struct mesh_snapshot *gather_snapshot(const struct engine *e)
{
	return e->snap ? e->snap->mesh : NULL;
}

/* ---- DNS ------------------------------------------------------------------------------------- */

struct hosts_task {
	uint64_t hash;
	struct slice name;
	const struct mesh_endpoint *eps;
	uint32_t n;
};

static void set_hosts(struct worker *w, void *arg)
{
	const struct hosts_task *t = arg;

	for (uint32_t i = 0; w->snap && i < w->snap->n_all; i++) {
		struct wview *v = w->snap->all[i];
		const struct mesh_cluster *m = mesh_view_cluster(v->pv->mesh, t->name);

		if (!m || m->hash != t->hash)
			continue;
		upstream_cluster_set_hosts(v->clusters[m->index], t->eps, t->n);
		atomic_store(&v->clusters[m->index]->shared->resolved, t->n);
	}
}

void engine_cluster_hosts(struct engine *e, uint64_t cluster_hash, struct slice name,
			  const struct mesh_endpoint *eps, uint32_t n)
{
	struct hosts_task t = { cluster_hash, name, eps, n };

	on_all(e, set_hosts, &t);
}

/* ---- drain ----------------------------------------------------------------------------------- */

static void drain_worker(struct worker *w, void *arg)
{
	const bool *inbound_only = arg;

	list_for_each_safe(n, tmp, &w->listens) {
		struct wlisten *l = list_entry(n, struct wlisten, node);

		if (*inbound_only && l->kind == WLISTEN_OUTBOUND)
			continue;
		if (l->io)
			io_listener_close(l->io);
		l->io = NULL;
	}
	list_for_each_safe(n, tmp, &w->conns) {
		struct conn *c = list_entry(n, struct conn, node);

		c->draining = true;
	}
}

void engine_drain(struct engine *e, bool inbound_only)
{
	if (!inbound_only)
		atomic_store(&e->draining, true);
	log_info("proxy", "draining %slisteners: no new connections, streams end",
		 inbound_only ? "inbound " : "");
	on_all(e, drain_worker, &inbound_only);
}
