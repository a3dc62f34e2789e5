/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration in one worker: its views, the clusters that are alive in them. */
#include <stdatomic.h>

#include "proxy/uconn.h"
#include "proxy/worker.h"

#define CLUSTERS_FIRST 8 /* entries of a view at first; a power of two */

struct wview *wview_ref(struct wview *v)
{
	v->refs++;
	return v;
}

void wview_unref(struct wview *v)
{
	if (!v || --v->refs)
		return;
	wview_each(v, e) upstream_cluster_unref(e->c);
	free(v->clusters);
	pview_unref(v->pv);
	free(v);
}

struct wview *worker_view(struct worker *w, uint32_t pod)
{
	const struct mesh_pod *p;

	if (!w->snap)
		return NULL;
	if (pod == 0)
		return w->snap->host;
	p = mesh_snapshot_pod(w->snap->ps->mesh, pod);
	return p ? w->snap->pods[p - w->snap->ps->mesh->pods] : NULL;
}

const struct plistener *wview_listener(const struct wview *v, enum mesh_direction direction,
				       const struct addr *original_dst)
{
	int place = mesh_view_listener_place(v->pv->mesh, direction, original_dst);

	return place < 0 ? NULL : v->pv->listeners[place];
}

const struct plistener *wview_listener_again(const struct wview *v, const struct plistener *was)
{
	int place = mesh_view_listener_named(v->pv->mesh, was->conf->name);
	const struct plistener *l = place < 0 ? NULL : v->pv->listeners[place];

	return l && addr_is_equal(&l->conf->addr, &was->conf->addr) ? l : NULL;
}

/* ---- clusters -------------------------------------------------------------------------------- */

/* The entry of the name, or the free one where it would go. */
static struct wcluster *entry_find(const struct wview *v, uint32_t hash, struct slice name)
{
	uint32_t i = hash & v->mask;

	while (v->clusters[i].c &&
	       (v->clusters[i].hash != hash || !slice_is_equal(v->clusters[i].c->conf->name, name)))
		i = (i + 1) & v->mask;
	return &v->clusters[i];
}

static void entries_grow(struct wview *v)
{
	struct wcluster *old = v->clusters;
	uint32_t n = v->mask + 1;

	v->clusters = xcalloc(2 * n, sizeof(*v->clusters));
	v->mask = 2 * n - 1;
	for (uint32_t i = 0; i < n; i++)
		if (old[i].c)
			*entry_find(v, old[i].hash, old[i].c->conf->name) = old[i];
	free(old);
}

/* Takes the reference. */
static void entry_add(struct wview *v, struct upstream_cluster *c, uint32_t hash, uint32_t place)
{
	if (++v->n_clusters > (v->mask + 1) / 2)
		entries_grow(v);
	*entry_find(v, hash, c->conf->name) = (struct wcluster){ c, hash, place };
}

/* Its hosts are those in the cell of the view that is in force. */
static void take_endpoints(struct wview *v, struct upstream_cluster *c, uint32_t place)
{
	struct mesh_part *p;

	if (!mesh_cluster_has_cell(c->conf))
		return;
	p = mesh_view_endpoints_get(v->pv->mesh, place);
	upstream_cluster_set_endpoints(c, p);
	mesh_part_unref(p);
}

static struct upstream_cluster *make_alive(struct wview *v, struct slice name, uint32_t hash)
{
	int place = mesh_view_cluster_place(v->pv->mesh, name);
	struct upstream_cluster *c;

	if (place < 0)
		return NULL;
	/* First the shared part: whoever changes the endpoints from now on sees that it is used. */
	c = upstream_cluster_new(&pview_cluster(v->pv, (uint32_t)place)->shared, v->w->stats,
				 &v->w->rng, uconn_close_base);
	take_endpoints(v, c, (uint32_t)place);
	entry_add(v, c, hash, (uint32_t)place);
	return c;
}

struct upstream_cluster *wview_cluster(struct wview *v, struct slice name)
{
	uint32_t hash = mesh_name_hash(name);
	struct upstream_cluster *c = entry_find(v, hash, name)->c;

	return likely(c != NULL) ? c : make_alive(v, name, hash);
}

/* @e of the pod's view before stays alive in @v when it is the same cluster there. */
static void adopt(struct wview *v, const struct wcluster *e)
{
	struct pcluster *have = container_of(e->c->shared, struct pcluster, shared);
	int place = mesh_view_cluster_place(v->pv->mesh, e->c->conf->name);

	if (place < 0 || !mesh_part_is_same(have->part, v->pv->mesh->clusters[place]))
		return;
	/* Another worker may have made a new one already. */
	if (pview_cluster_adopt(v->pv, (uint32_t)place, have) != have)
		return;
	take_endpoints(v, e->c, (uint32_t)place);
	entry_add(v, upstream_cluster_ref(e->c), e->hash, (uint32_t)place);
}

static struct wview *wview_new(struct worker *w, struct pview *pv, const struct wview *was)
{
	struct wview *v = xcalloc(1, sizeof(*v));

	v->w = w;
	v->pv = pview_ref(pv);
	v->refs = 1;
	v->clusters = xcalloc(CLUSTERS_FIRST, sizeof(*v->clusters));
	v->mask = CLUSTERS_FIRST - 1;
	if (was)
		wview_each(was, e) adopt(v, e);
	return v;
}

void worker_endpoints_changed(struct worker *w, const struct pview *pv, uint32_t place)
{
	const struct mesh_part *part = pv->mesh->clusters[place];

	for (uint32_t i = 0; w->snap && i < w->snap->n_all; i++) {
		struct wview *v = w->snap->all[i];
		struct wcluster *e;

		if (v->pv != pv)
			continue;
		e = entry_find(v, part->name_hash, part->name);
		if (e->c)
			take_endpoints(v, e->c, place);
	}
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* The view of the same pod until now. */
static struct wview *view_before(const struct wsnap *old, uint32_t pod)
{
	const struct mesh_pod *p = old ? mesh_snapshot_pod(old->ps->mesh, pod) : NULL;

	return p ? old->pods[p - old->ps->mesh->pods] : NULL;
}

/* @was: the view of the same pod until now, or NULL. */
static struct wview *snap_view(struct worker *w, struct wsnap *s, struct pview *pv,
			       const struct wsnap *old, struct wview *was)
{
	struct wview *v = NULL;

	if (!pv)
		return NULL;
	for (uint32_t i = 0; i < s->n_all; i++)
		if (s->all[i]->pv == pv)
			return s->all[i];
	if (was && was->pv == pv)
		v = wview_ref(was);
	for (uint32_t i = 0; !v && old && i < old->n_all; i++)
		if (old->all[i]->pv == pv)
			v = wview_ref(old->all[i]);
	if (!v)
		v = wview_new(w, pv, was);
	s->all[s->n_all++] = v;
	return v;
}

void wsnap_free(struct wsnap *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n_all; i++)
		wview_unref(s->all[i]);
	free(s->all);
	free(s->pods);
	psnap_unref(s->ps);
	free(s);
}

void worker_set_snapshot(struct worker *w, struct psnap *ps)
{
	struct wsnap *old = w->snap;
	struct wsnap *s = xcalloc(1, sizeof(*s));
	uint32_t n = ps->mesh->n_pods;

	s->ps = psnap_ref(ps);
	s->pods = xcalloc(n, sizeof(struct wview *));
	s->all = xcalloc(n + 1, sizeof(struct wview *));
	s->host = snap_view(w, s, ps->host, old, old ? old->host : NULL);
	for (uint32_t i = 0; i < n; i++)
		s->pods[i] =
			snap_view(w, s, ps->pods[i], old, view_before(old, ps->mesh->pods[i].id));
	w->snap = s;
	wsnap_free(old);
}
