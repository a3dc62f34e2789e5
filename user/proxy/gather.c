/* SPDX-License-Identifier: Apache-2.0 */
/* What is configured, with the numbers of the workers that use it. */
#include "proxy/gather.h"

#include <stdatomic.h>

#include "proxy/worker.h"

#define SLOTS_FIRST 256

/* ---- the list -------------------------------------------------------------------------------- */

static size_t slot_hash(const struct mesh_cluster *c, const struct addr *a)
{
	uint64_t h = c->hash;

	for (size_t i = 0; a && i < sizeof(a->ip); i++)
		h = (h ^ a->ip[i]) * 0x100000001b3ull;
	if (a)
		h = (h ^ a->port) * 0x100000001b3ull;
	return (size_t)(h ^ h >> 29);
}

static bool is_it(const struct gathered *o, const struct mesh_cluster *c, const struct addr *a)
{
	if (o->cluster != c &&
	    (o->cluster->hash != c->hash || !slice_is_equal(o->cluster->name, c->name)))
		return false;
	return a ? !o->is_empty && addr_is_equal(&o->addr, a) : o->is_empty;
}

static uint32_t *slot_find(struct gather *g, const struct mesh_cluster *c, const struct addr *a)
{
	size_t i = slot_hash(c, a) & g->mask;

	while (g->slots[i] && !is_it(&g->v[g->slots[i] - 1], c, a))
		i = (i + 1) & g->mask;
	return &g->slots[i];
}

static void grow(struct gather *g)
{
	g->cap = g->cap ? g->cap * 2 : SLOTS_FIRST / 2;
	g->v = xrealloc(g->v, g->cap * sizeof(*g->v));
	free(g->slots);
	g->slots = xcalloc(2 * g->cap, sizeof(*g->slots));
	g->mask = 2 * g->cap - 1;
	for (size_t i = 0; i < g->n; i++)
		*slot_find(g, g->v[i].cluster, g->v[i].is_empty ? NULL : &g->v[i].addr) =
			(uint32_t)i + 1;
}

/* The entry of the cluster (no @a) or of its host; made, and then @ret_new is true. */
static struct gathered *entry(struct gather *g, const struct mesh_cluster *c, const struct addr *a,
			      bool *ret_new)
{
	struct gathered *o;
	uint32_t *slot;

	if (g->n == g->cap)
		grow(g);
	slot = slot_find(g, c, a);
	*ret_new = !*slot;
	if (*slot)
		return &g->v[*slot - 1];
	*slot = (uint32_t)++g->n;
	o = &g->v[g->n - 1];
	*o = (struct gathered){ .cluster = c, .is_empty = !a };
	if (a)
		o->addr = *a;
	return o;
}

/* The cluster's number; it is entered when it is not there. */
static uint32_t cluster_order(struct gather *g, const struct mesh_cluster *c, bool is_sent)
{
	bool is_new;
	struct gathered *o = entry(g, c, NULL, &is_new);

	if (is_new)
		o->order = g->n_clusters++;
	o->is_sent |= is_sent;
	return o->order;
}

/* ---- what is configured ---------------------------------------------------------------------- */

static bool is_healthy(enum mesh_health h)
{
	return h == MESH_HEALTH_UNKNOWN || h == MESH_HEALTH_HEALTHY || h == MESH_HEALTH_DEGRADED;
}

static void add_endpoint(struct gather *g, const struct mesh_cluster *c, uint32_t order,
			 const struct mesh_endpoint *e)
{
	bool is_new;
	struct gathered *o = entry(g, c, &e->addr, &is_new);

	if (!is_new)
		return;
	o->order = order;
	o->hostname = arena_slice(&g->arena, e->hostname);
	o->weight = e->weight ? e->weight : 1;
	o->priority = e->priority;
	o->meta = e->meta;
	o->healthy = is_healthy(e->health);
}

static void add_view(struct gather *g, const struct mesh_view *v)
{
	if (g->only && v != g->only)
		return;
	for (uint32_t i = 0; v && i < v->n_clusters; i++) {
		const struct mesh_cluster *c = mesh_view_cluster_at(v, i);
		struct mesh_endpoints eps = mesh_view_endpoints(v, i);
		/* Views of files keep what they were read from. */
		uint32_t order = cluster_order(g, c, !v->config_json.len);

		for (uint32_t k = 0; k < eps.n; k++)
			add_endpoint(g, c, order, &eps.v[k]);
	}
}

/* ---- what the workers know ------------------------------------------------------------------- */

struct gather_task {
	struct gather *g;
	pthread_mutex_t lock;
};

static void add_host(struct gather *g, const struct upstream_host *h, uint32_t order)
{
	bool is_new;
	struct gathered *o = entry(g, h->cluster->conf, &h->lb.addr, &is_new);

	if (is_new) {
		o->order = order;
		o->hostname = arena_slice(&g->arena, h->lb.hostname);
	}
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

static void gather_view(struct gather *g, const struct wview *v)
{
	wview_each(v, k)
	{
		uint32_t order = cluster_order(g, k->c->conf, false);

		list_for_each(n, &k->c->hosts)
			add_host(g, list_entry(n, struct upstream_host, node), order);
	}
}

static void gather_worker(struct worker *w, void *arg)
{
	struct gather_task *t = arg;

	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; w->snap && i < w->snap->n_all; i++)
		if (!t->g->only || w->snap->all[i]->pv->mesh == t->g->only)
			gather_view(t->g, w->snap->all[i]);
	pthread_mutex_unlock(&t->lock);
}

/* By cluster as configured, the cluster's own entry first. */
static int by_cluster(const void *a, const void *b)
{
	const struct gathered *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	if (x->is_empty != y->is_empty)
		return x->is_empty ? -1 : 1;
	return memcmp(&x->addr, &y->addr, sizeof(x->addr));
}

void gather_hosts(struct engine *e, const struct mesh_view *only, struct gather *g)
{
	struct gather_task t = { g, PTHREAD_MUTEX_INITIALIZER };
	const struct mesh_snapshot *s = gather_snapshot(e);

	g->only = only;
	add_view(g, s ? s->host : NULL);
	for (uint32_t i = 0; s && i < s->n_pods; i++)
		add_view(g, s->pods[i].view);
	engine_on_all(e, gather_worker, &t);
	if (g->n)
		qsort(g->v, g->n, sizeof(*g->v), by_cluster);
}

void gather_done(struct gather *g)
{
	free(g->v);
	free(g->slots);
	arena_done(&g->arena);
	*g = (struct gather){ 0 };
}

const struct mesh_snapshot *gather_snapshot(const struct engine *e)
{
	return e->snap ? e->snap->mesh : NULL;
}
