/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot -> runnable form, on the main thread. */
#include "proxy/compile.h"

#include <errno.h>
#include <stdatomic.h>

#include "proxy/proxy_impl.h"
#include "route/route.h"

/* ---- views ----------------------------------------------------------------------------------- */

static void pview_free(struct pview *v)
{
	for (uint32_t i = 0; v->listeners && i < v->mesh->n_listeners; i++)
		plistener_unref(v->listeners[i]);
	for (uint32_t i = 0; i < v->n_tables; i++)
		ptable_unref(v->tables[i]);
	for (uint32_t i = 0; v->clusters && i < v->mesh->n_clusters; i++)
		pcluster_unref(v->clusters[i]);
	pthread_mutex_destroy(&v->lock);
	arena_done(&v->arena);
	mesh_view_unref(v->mesh);
	free(v);
}

struct pview *pview_ref(struct pview *v)
{
	atomic_fetch_add(&v->refs, 1);
	return v;
}

void pview_unref(struct pview *v)
{
	if (v && atomic_fetch_sub(&v->refs, 1) == 1)
		pview_free(v);
}

/* The listener of that name in the pod's view before. */
static struct plistener *listener_before(const struct pview *was, const struct mesh_part *part)
{
	int place = was ? mesh_view_listener_named(was->mesh, part->name) : -1;

	return place < 0 ? NULL : was->listeners[place];
}

static int listeners_get(struct engine *e, struct pview *v, const struct pview *was,
			 struct err *err)
{
	const struct mesh_view *m = v->mesh;

	v->listeners = arena_array(&v->arena, struct plistener *, m->n_listeners);
	for (uint32_t i = 0; i < m->n_listeners; i++) {
		int r = plistener_get(e, v, m->listeners[i], listener_before(was, m->listeners[i]),
				      &v->listeners[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int pview_compile(struct engine *e, struct mesh_view *m, const struct pview *was,
			 struct pview **ret_v, struct err *err)
{
	struct pview *v = xcalloc(1, sizeof(*v));
	int r;

	v->mesh = mesh_view_ref(m);
	atomic_store(&v->refs, 1);
	pthread_mutex_init(&v->lock, NULL);
	v->clusters = arena_array(&v->arena, struct pcluster *, m->n_clusters);
	r = listeners_get(e, v, was, err);
	if (r == 0)
		r = ptables_resolve(e, v, was, err);
	if (r < 0) {
		pview_unref(v);
		return r;
	}
	*ret_v = v;
	return 0;
}

/* ---- single resources ------------------------------------------------------------------------ */

int engine_check(struct engine *e, struct mesh_part *part, struct err *err)
{
	const struct mesh_route_table *t = part->body;
	const struct mesh_filter *f = part->body;

	switch (part->kind) {
	case MESH_PART_LISTENER: return plistener_check(e, part, err);
	case MESH_PART_ROUTES:
		/* Built only once: the table comes to use with it. */
		return t->index ? 0 : route_table_index(part->body, &part->arena, err);
	case MESH_PART_FILTER:
		if (!f->kind || filter_by_kind(e, f->kind))
			return 0;
		return err_set(err, -EINVAL, "filter '%.*s': no filter '%s' is built in",
			       SLICE_ARG(f->name), f->kind);
	case MESH_PART_CLUSTER:
	case MESH_PART_ENDPOINTS:
	case MESH_PART_RPC_ROUTES:
	case MESH_PART_SECRET:
	case MESH_PART_VHOST: break;
	}
	return 0;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

struct pview *psnap_find(const struct psnap *p, const struct mesh_view *m)
{
	if (!p)
		return NULL;
	if (p->host && p->host->mesh == m)
		return p->host;
	for (uint32_t i = 0; i < p->mesh->n_pods; i++)
		if (p->pods[i] && p->pods[i]->mesh == m)
			return p->pods[i];
	return NULL;
}

static struct pview *old_pod_view(const struct psnap *old, uint32_t id)
{
	for (uint32_t i = 0; old && i < old->mesh->n_pods; i++)
		if (old->mesh->pods[i].id == id)
			return old->pods[i];
	return NULL;
}

static int psnap_view(struct engine *e, struct psnap *p, const struct psnap *old,
		      struct mesh_view *m, struct pview *was, struct pview **ret_v, struct err *err)
{
	struct pview *have = was && was->mesh == m ? was : psnap_find(p, m);

	if (!have)
		have = psnap_find(old, m);
	if (have) {
		*ret_v = pview_ref(have);
		return 0;
	}
	return pview_compile(e, m, was, ret_v, err);
}

int psnap_compile(struct engine *e, struct mesh_snapshot *s, struct psnap *old,
		  struct psnap **ret_p, struct err *err)
{
	struct psnap *p = xcalloc(1, sizeof(*p));
	int r = 0;

	atomic_store(&p->refs, 1);
	p->mesh = mesh_snapshot_ref(s);
	p->pods = xcalloc(s->n_pods, sizeof(*p->pods));
	if (s->host)
		r = psnap_view(e, p, old, s->host, old ? old->host : NULL, &p->host, err);
	for (uint32_t i = 0; i < s->n_pods && r == 0; i++)
		if (s->pods[i].view)
			r = psnap_view(e, p, old, s->pods[i].view, old_pod_view(old, s->pods[i].id),
				       &p->pods[i], err);
	if (r < 0) {
		psnap_unref(p);
		return r;
	}
	*ret_p = p;
	return 0;
}

struct psnap *psnap_ref(struct psnap *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void psnap_unref(struct psnap *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	pview_unref(p->host);
	for (uint32_t i = 0; i < p->mesh->n_pods; i++)
		pview_unref(p->pods[i]);
	free(p->pods);
	mesh_snapshot_unref(p->mesh);
	free(p);
}
