/* SPDX-License-Identifier: Apache-2.0 */
/* One worker: its thread, what happens at the end of a turn, its view of the configuration. */
#include "proxy/worker.h"
#include "proxy/mirror.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/conn.h"
#include "proxy/istio.h"
#include "proxy/uconn.h"

/* ---- pods ------------------------------------------------------------------------------------ */

struct epod *epod_ref(struct epod *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void epod_unref(struct epod *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	if (p->netns >= 0)
		close(p->netns);
	free(p);
}

struct epod *worker_pod(struct worker *w, uint32_t id)
{
	list_for_each(n, &w->pods) {
		struct wpod *p = list_entry(n, struct wpod, node);

		if (p->pod->id == id)
			return p->pod;
	}
	return NULL;
}

static const struct mesh_pod *pod_by_addr(const struct worker *w, const struct addr *ip)
{
	return w->snap && w->snap->ps->mesh->n_pods ?
		       mesh_snapshot_pod_by_addr(w->snap->ps->mesh, ip) :
		       NULL;
}

struct epod *worker_peer_by_addr(struct worker *w, const struct addr *ip)
{
	const struct mesh_pod *p = pod_by_addr(w, ip);

	return p ? worker_pod(w, p->id) : NULL;
}

struct epod *worker_pod_by_addr(struct worker *w, const struct addr *dst)
{
	const struct mesh_pod *p = pod_by_addr(w, dst);

	return p && !mesh_pod_has_inbound(p, dst) ? worker_pod(w, p->id) : NULL;
}

/* ---- the turn -------------------------------------------------------------------------------- */

static void on_turn(void *arg)
{
	struct worker *w = arg;
	struct list *n;
	struct list again;

	/* Those that become ready now wait for the next turn: none starves the others. */
	list_init(&again);
	list_splice(&again, &w->ready);
	while ((n = list_pop(&again)) != NULL) {
		struct conn *c = list_entry(n, struct conn, ready);

		if (!c->closed && c->ops)
			c->ops->resume(c);
	}
	streams_recycle(w);
	uconn_free_dead(w);
	conn_free_dead(w);
	if (!list_is_empty(&w->ready))
		io_post(w->io, worker_nudge, w);
}

void worker_nudge(void *arg)
{
	(void)arg; /* its only purpose is another turn */
}

struct slice worker_date(struct worker *w)
{
	uint64_t sec = worker_wall_ns(w) / NSEC_PER_SEC;

	if (sec != w->date_sec) {
		time_t t = (time_t)sec;
		struct tm tm;

		gmtime_r(&t, &tm);
		w->date_len = strftime(w->date, sizeof(w->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		w->date_sec = sec;
	}
	return slice_of(w->date, w->date_len);
}

uint64_t worker_wall_ns(struct worker *w)
{
	uint64_t now = io_now(w->io);

	if (w->turn_wall_at != now) {
		w->turn_wall_at = now;
		w->turn_wall_ns = clock_wall_ns();
	}
	return w->turn_wall_ns;
}

/* ---- thread ---------------------------------------------------------------------------------- */

static void worker_init(struct worker *w)
{
	list_init(&w->listens);
	list_init(&w->conns);
	list_init(&w->mirrors);
	list_init(&w->on_demand);
	list_init(&w->ready);
	list_init(&w->dead);
	list_init(&w->dead_uconns);
	list_init(&w->pods);
	list_init(&w->free_streams);
	list_init(&w->dead_streams);
	w->stats = stats_set_new();
	rng_init(&w->rng,
		 clock_mono_ns() ^ ((uint64_t)getpid() << 32) ^ (w->index * 0x9e3779b97f4a7c15ull));
	for (int i = 0; i < 8; i++)
		rng_u64(&w->rng);
	worker_log_init(w);
}

static void worker_done(struct worker *w)
{
	struct list *n;

	while ((n = list_pop(&w->listens)) != NULL) {
		struct wlisten *l = list_entry(n, struct wlisten, node);

		if (l->io)
			io_listener_close(l->io);
		epod_unref(l->pod);
		free(l);
	}
	while (!list_is_empty(&w->conns))
		conn_close(list_entry(w->conns.next, struct conn, node), false);
	mirrors_end(w, NULL);
	on_turn(w);
	wsnap_free(w->snap);
	w->snap = NULL;
	on_turn(w);
	streams_free(w);
	while ((n = list_pop(&w->pods)) != NULL) {
		struct wpod *p = list_entry(n, struct wpod, node);

		epod_unref(p->pod);
		free(p);
	}
	worker_log_flush(w);
	for (uint32_t i = 0; i < LOG_SINKS_MAX; i++)
		buf_done(&w->log_bufs[i]);
	istio_done(w);
}

void *worker_main(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "skiff-w%u", w->index);
	pthread_setname_np(pthread_self(), name);
	worker_init(w);
	w->start_result = io_new(w->e->opts.io, &w->io, &w->start_err);
	if (w->start_result == 0) {
		io_set_turn_hook(w->io, on_turn, w);
		io_set_busy_poll(w->io, w->e->opts.busy_poll_us);
	}
	pthread_barrier_wait(&w->e->turning);
	if (w->start_result == 0)
		io_run(w->io);
	pthread_barrier_wait(&w->e->turning);
	if (w->start_result == 0)
		worker_done(w);
	io_free(w->io);
	stats_set_free(w->stats);
	return NULL;
}
