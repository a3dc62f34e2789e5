/* SPDX-License-Identifier: Apache-2.0 */
/* Views and snapshots: references, the name index, look-ups. */
#include "mesh/mesh.h"

#include <errno.h>
#include <stdatomic.h>

struct mesh_view *mesh_view_new(void)
{
	struct mesh_view *v = xcalloc(1, sizeof(*v));

	atomic_init(&v->refs, 1);
	return v;
}

struct mesh_view *mesh_view_ref(struct mesh_view *v)
{
	if (v)
		atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
	return v;
}

void mesh_view_unref(struct mesh_view *v)
{
	if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (v->release)
		v->release(v);
	arena_done(&v->arena);
	free(v);
}

/* ---- names -> clusters: open addressing, at most half full ----------------------------------- */

struct view_index {
	const struct mesh_listener **listeners;  /* by port, then address */
	const struct mesh_listener *virtuals[3]; /* by enum mesh_direction: with use_original_dst */
	uint32_t mask;
	const struct mesh_cluster *slots[];
};

static uint32_t name_hash(struct slice s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.ptr[i]) * 16777619u;
	return h ^ h >> 15;
}

/* The slot of @name, or the empty one where it would go. */
static const struct mesh_cluster **slot_find(struct view_index *x, struct slice name)
{
	uint32_t i = name_hash(name) & x->mask;

	while (x->slots[i] && !slice_is_equal(x->slots[i]->name, name))
		i = (i + 1) & x->mask;
	return &x->slots[i];
}

static int clusters_index(struct mesh_view *v, struct err *e)
{
	struct view_index *x;
	uint32_t size = 4;

	while (size < v->n_clusters * 2)
		size *= 2;
	x = arena_zalloc(&v->arena, sizeof(*x) + size * sizeof(x->slots[0]));
	x->mask = size - 1;
	for (uint32_t i = 0; i < v->n_clusters; i++) {
		const struct mesh_cluster **slot = slot_find(x, v->clusters[i].name);

		if (*slot)
			return err_set(e, -EEXIST, "cluster \"%.*s\" is there twice",
				       SLICE_ARG(v->clusters[i].name));
		*slot = &v->clusters[i];
		v->clusters[i].index = i;
	}
	v->cluster_index = x;
	return 0;
}

static int name_compare(const void *a, const void *b)
{
	const struct mesh_listener *x = *(const struct mesh_listener *const *)a;
	const struct mesh_listener *y = *(const struct mesh_listener *const *)b;
	size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
	int d = n ? memcmp(x->name.ptr, y->name.ptr, n) : 0;

	return d ? d : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static int listeners_index(struct mesh_view *v, struct err *e)
{
	const struct mesh_listener **sorted = xcalloc(v->n_listeners + 1, sizeof(*sorted));
	int rc = 0;

	for (uint32_t i = 0; i < v->n_listeners; i++) {
		v->listeners[i].index = i;
		sorted[i] = &v->listeners[i];
	}
	qsort(sorted, v->n_listeners, sizeof(*sorted), name_compare);
	for (uint32_t i = 1; rc == 0 && i < v->n_listeners; i++)
		if (slice_is_equal(sorted[i]->name, sorted[i - 1]->name))
			rc = err_set(e, -EEXIST, "listener \"%.*s\" is there twice",
				     SLICE_ARG(sorted[i]->name));
	free(sorted);
	return rc;
}

const struct mesh_cluster *mesh_view_cluster(const struct mesh_view *v, struct slice name)
{
	return v->cluster_index ? *slot_find(v->cluster_index, name) : NULL;
}

/* ---- listeners ------------------------------------------------------------------------------- */

/* Order of the index: port, then address; listeners of one address stay in their order. */
static int place_compare(const struct mesh_listener *a, const struct addr *b)
{
	if (a->addr.port != b->port)
		return a->addr.port < b->port ? -1 : 1;
	return memcmp(a->addr.ip, b->ip, sizeof(b->ip));
}

static int listener_compare(const void *a, const void *b)
{
	const struct mesh_listener *x = *(const struct mesh_listener *const *)a;
	const struct mesh_listener *y = *(const struct mesh_listener *const *)b;
	int d = place_compare(x, &y->addr);

	return d ? d : (x > y) - (x < y);
}

static void listeners_place(struct mesh_view *v)
{
	struct view_index *x = v->cluster_index;

	x->listeners = arena_array(&v->arena, const struct mesh_listener *, v->n_listeners + 1);
	for (uint32_t i = 0; i < v->n_listeners; i++) {
		const struct mesh_listener *l = &v->listeners[i];

		x->listeners[i] = l;
		if (l->use_original_dst && !x->virtuals[l->direction])
			x->virtuals[l->direction] = l;
	}
	qsort(x->listeners, v->n_listeners, sizeof(*x->listeners), listener_compare);
}

/* The listener at exactly @at, one that names @direction before one that names none. */
static const struct mesh_listener *listener_at(const struct mesh_view *v,
					       enum mesh_direction direction, const struct addr *at)
{
	const struct view_index *x = v->cluster_index;
	const struct mesh_listener *found = NULL;
	uint32_t low = 0, high = v->n_listeners;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (place_compare(x->listeners[mid], at) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < v->n_listeners && place_compare(x->listeners[low], at) == 0; low++) {
		if (x->listeners[low]->direction == direction)
			return x->listeners[low];
		if (x->listeners[low]->direction == MESH_UNSPECIFIED && !found)
			found = x->listeners[low];
	}
	return found;
}

const struct mesh_listener *mesh_view_listener(const struct mesh_view *v,
					       enum mesh_direction direction,
					       const struct addr *original_dst)
{
	/* Any address: 0.0.0.0 (mapped) and ::. */
	struct addr any4 = { .ip = { [10] = 0xff, [11] = 0xff }, .port = original_dst->port };
	struct addr any6 = { .port = original_dst->port };
	const struct view_index *x = v->cluster_index;
	const struct mesh_listener *l, *other;

	if (!x)
		return NULL;
	l = listener_at(v, direction, original_dst);
	if (l)
		return l;
	l = listener_at(v, direction, &any4);
	other = listener_at(v, direction, &any6);
	if (other && (!l || (l->direction != direction && other->direction == direction)))
		l = other;
	if (l)
		return l;
	return x->virtuals[direction] ? x->virtuals[direction] : x->virtuals[MESH_UNSPECIFIED];
}

int mesh_view_finish(struct mesh_view *v, struct err *e)
{
	int rc = clusters_index(v, e);

	if (rc == 0)
		rc = listeners_index(v, e);
	if (rc == 0)
		listeners_place(v);
	return rc;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

struct mesh_snapshot *mesh_snapshot_new(void)
{
	struct mesh_snapshot *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	return s;
}

struct mesh_snapshot *mesh_snapshot_ref(struct mesh_snapshot *s)
{
	if (s)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void mesh_snapshot_unref(struct mesh_snapshot *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	mesh_view_unref(s->host);
	for (uint32_t i = 0; i < s->n_pods; i++)
		mesh_view_unref(s->pods[i].view);
	arena_done(&s->arena);
	free(s);
}

const struct mesh_pod *mesh_snapshot_pod(const struct mesh_snapshot *s, uint32_t id)
{
	for (uint32_t i = 0; i < s->n_pods; i++)
		if (s->pods[i].id == id)
			return &s->pods[i];
	return NULL;
}

bool mesh_pod_has_inbound(const struct mesh_pod *p, const struct addr *dst)
{
	for (uint32_t i = 0; i < p->n_inbound; i++) {
		const struct mesh_prefix *c = &p->inbound[i];

		if ((!c->net.port || c->net.port == dst->port) && addr_is_in(dst, &c->net, c->bits))
			return true;
	}
	return false;
}

const struct mesh_pod *mesh_snapshot_pod_by_addr(const struct mesh_snapshot *s,
						 const struct addr *ip)
{
	for (uint32_t i = 0; i < s->n_pods; i++)
		for (uint32_t k = 0; k < s->pods[i].n_addresses; k++)
			if (addr_ip_is_equal(&s->pods[i].addresses[k], ip))
				return &s->pods[i];
	return NULL;
}
