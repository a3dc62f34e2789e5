/* SPDX-License-Identifier: Apache-2.0 */
/* Views: parts put together, the indexes over them, the cells of their endpoints. */
#include "mesh/mesh.h"

#include <errno.h>
#include <stdatomic.h>

/* A listener with its place. */
struct placed {
	const struct mesh_listener *l;
	const struct addr *at; /* one of its addresses */
	uint32_t place;
};

struct view_index {
	struct placed *listeners; /* by port, address, place; one for each address */
	uint32_t n_listeners;
	int virtuals[3]; /* by enum mesh_direction: place of the one with use_original_dst, or -1 */
	uint32_t mask;
	uint32_t slots[]; /* index in parts + 1; open addressing, at most half full */
};

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
	for (uint32_t i = 0; v->cells && i < v->n_clusters; i++)
		mesh_part_unref(v->cells[i]);
	for (uint32_t i = 0; i < v->n_parts; i++)
		mesh_part_unref(v->parts[i]);
	pthread_mutex_destroy(&v->lock);
	arena_done(&v->arena);
	free(v);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* The slot of the name, or the empty one where it would go. */
static uint32_t *slot_find(const struct mesh_view *v, enum mesh_part_kind kind, uint32_t hash,
			   struct slice name)
{
	struct view_index *x = v->index;
	uint32_t i = (hash + (uint32_t)kind * 0x9e3779b1u) & x->mask;

	for (; x->slots[i]; i = (i + 1) & x->mask) {
		const struct mesh_part *p = v->parts[x->slots[i] - 1];

		if (p->name_hash == hash && p->kind == kind && slice_is_equal(p->name, name))
			break;
	}
	return &x->slots[i];
}

static int names_index(struct mesh_view *v, struct err *e)
{
	uint32_t size = 4;

	while (size < v->n_parts * 2)
		size *= 2;
	v->index = arena_zalloc(&v->arena, sizeof(*v->index) + size * sizeof(uint32_t));
	v->index->mask = size - 1;
	for (uint32_t i = 0; i < v->n_parts; i++) {
		const struct mesh_part *p = v->parts[i];
		uint32_t *slot = slot_find(v, p->kind, p->name_hash, p->name);

		if (*slot)
			return err_set(e, -EEXIST, "%s \"%.*s\" is there twice",
				       mesh_part_kind_name(p->kind), SLICE_ARG(p->name));
		*slot = i + 1;
	}
	return 0;
}

struct mesh_part *mesh_view_part(const struct mesh_view *v, enum mesh_part_kind kind,
				 struct slice name)
{
	uint32_t slot = *slot_find(v, kind, mesh_name_hash(name), name);

	return slot ? v->parts[slot - 1] : NULL;
}

int mesh_view_cluster_place(const struct mesh_view *v, struct slice name)
{
	uint32_t slot = *slot_find(v, MESH_PART_CLUSTER, mesh_name_hash(name), name);

	return slot ? (int)(slot - 1 - (uint32_t)(v->clusters - v->parts)) : -1;
}

int mesh_view_listener_named(const struct mesh_view *v, struct slice name)
{
	uint32_t slot = *slot_find(v, MESH_PART_LISTENER, mesh_name_hash(name), name);

	return slot ? (int)(slot - 1 - (uint32_t)(v->listeners - v->parts)) : -1;
}

const struct mesh_cluster *mesh_view_cluster(const struct mesh_view *v, struct slice name)
{
	int place = mesh_view_cluster_place(v, name);

	return place < 0 ? NULL : mesh_view_cluster_at(v, (uint32_t)place);
}

/* ---- listeners ------------------------------------------------------------------------------- */

/* Order of the index: port, then address; listeners of one address stay in their order. */
static int place_compare(const struct addr *a, const struct addr *b)
{
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return memcmp(a->ip, b->ip, sizeof(b->ip));
}

static int placed_compare(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	int d = place_compare(x->at, y->at);

	return d ? d : (x->place > y->place) - (x->place < y->place);
}

static void listeners_index(struct mesh_view *v)
{
	struct view_index *x = v->index;
	uint32_t n = v->n_listeners;

	for (uint32_t i = 0; i < v->n_listeners; i++)
		n += mesh_view_listener_at(v, i)->n_more;
	x->listeners = arena_array(&v->arena, struct placed, n);
	for (size_t i = 0; i < ARRAY_LEN(x->virtuals); i++)
		x->virtuals[i] = -1;
	for (uint32_t i = 0; i < v->n_listeners; i++) {
		const struct mesh_listener *l = mesh_view_listener_at(v, i);

		x->listeners[x->n_listeners++] = (struct placed){ l, &l->addr, i };
		for (uint32_t k = 0; k < l->n_more; k++)
			x->listeners[x->n_listeners++] = (struct placed){ l, &l->more[k], i };
		if (l->use_original_dst && x->virtuals[l->direction] < 0)
			x->virtuals[l->direction] = (int)i;
	}
	if (n)
		qsort(x->listeners, n, sizeof(*x->listeners), placed_compare);
}

/* The listener at exactly @at, one that names @direction before one that names none. */
static const struct placed *listener_at(const struct mesh_view *v, enum mesh_direction direction,
					const struct addr *at)
{
	const struct view_index *x = v->index;
	const struct placed *found = NULL;
	uint32_t low = 0, high = x->n_listeners;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (place_compare(x->listeners[mid].at, at) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < x->n_listeners && place_compare(x->listeners[low].at, at) == 0; low++) {
		const struct placed *p = &x->listeners[low];

		if (p->l->direction == direction)
			return p;
		if (p->l->direction == MESH_UNSPECIFIED && !found)
			found = p;
	}
	return found;
}

int mesh_view_listener_place(const struct mesh_view *v, enum mesh_direction direction,
			     const struct addr *original_dst)
{
	/* Any address: 0.0.0.0 (mapped) and ::. */
	struct addr any4 = { .ip = { [10] = 0xff, [11] = 0xff }, .port = original_dst->port };
	struct addr any6 = { .port = original_dst->port };
	const struct view_index *x = v->index;
	const struct placed *p = listener_at(v, direction, original_dst), *other;

	if (!p) {
		p = listener_at(v, direction, &any4);
		other = listener_at(v, direction, &any6);
		if (other &&
		    (!p || (p->l->direction != direction && other->l->direction == direction)))
			p = other;
	}
	if (p)
		return (int)p->place;
	return x->virtuals[direction] >= 0 ? x->virtuals[direction] : x->virtuals[MESH_UNSPECIFIED];
}

const struct mesh_listener *mesh_view_listener(const struct mesh_view *v,
					       enum mesh_direction direction,
					       const struct addr *original_dst)
{
	int place = mesh_view_listener_place(v, direction, original_dst);

	return place < 0 ? NULL : mesh_view_listener_at(v, (uint32_t)place);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

struct mesh_part *mesh_view_endpoints_get(struct mesh_view *v, uint32_t cluster)
{
	struct mesh_part *p;

	pthread_mutex_lock(&v->lock);
	p = mesh_part_ref(v->cells[cluster]);
	pthread_mutex_unlock(&v->lock);
	return p;
}

void mesh_view_endpoints_set(struct mesh_view *v, uint32_t cluster, struct mesh_part *part)
{
	struct mesh_part *was;

	mesh_part_ref(part);
	pthread_mutex_lock(&v->lock);
	was = v->cells[cluster];
	v->cells[cluster] = part;
	pthread_mutex_unlock(&v->lock);
	mesh_part_unref(was);
}

struct mesh_endpoints mesh_view_endpoints(const struct mesh_view *v, uint32_t cluster)
{
	const struct mesh_cluster *c = mesh_view_cluster_at(v, cluster);

	if (mesh_cluster_has_cell(c))
		return mesh_part_endpoints(v->cells[cluster]);
	return (struct mesh_endpoints){ c->endpoints, c->n_endpoints };
}

/* Endpoints by service name while a view is built; of a name that comes twice the last counts. */
struct assigned {
	struct mesh_part **slots;
	uint32_t mask;
};

static struct mesh_part **assigned_slot(const struct assigned *a, struct slice name, uint32_t hash)
{
	uint32_t i = hash & a->mask;

	while (a->slots[i] &&
	       (a->slots[i]->name_hash != hash || !slice_is_equal(a->slots[i]->name, name)))
		i = (i + 1) & a->mask;
	return &a->slots[i];
}

static void assigned_init(struct assigned *a, struct mesh_part *const *parts, uint32_t n,
			  uint32_t n_endpoints)
{
	uint32_t size = 4;

	while (size < n_endpoints * 2)
		size *= 2;
	a->slots = xcalloc(size, sizeof(struct mesh_part *));
	a->mask = size - 1;
	for (uint32_t i = 0; i < n; i++)
		if (parts[i]->kind == MESH_PART_ENDPOINTS)
			*assigned_slot(a, parts[i]->name, parts[i]->name_hash) = parts[i];
}

static bool is_resolved_here(const struct mesh_cluster *c)
{
	return c->kind == MESH_CLUSTER_STRICT_DNS || c->kind == MESH_CLUSTER_LOGICAL_DNS;
}

/* Most are called as their service is: then the hash is known. */
static uint32_t service_hash(const struct mesh_part *p)
{
	struct slice name = mesh_part_cluster(p)->service_name;

	return slice_is_equal(name, p->name) ? p->name_hash : mesh_name_hash(name);
}

static void cells_init(struct mesh_view *v, const struct assigned *a)
{
	uint32_t k = 0;

	v->cells = arena_array(&v->arena, struct mesh_part *, v->n_clusters);
	for (uint32_t i = 0; i < v->n_clusters; i++) {
		const struct mesh_cluster *c = mesh_view_cluster_at(v, i);

		if (c->kind == MESH_CLUSTER_EDS)
			v->cells[i] = mesh_part_ref(
				*assigned_slot(a, c->service_name, service_hash(v->clusters[i])));
		v->n_resolved += is_resolved_here(c);
	}
	v->resolved = arena_array(&v->arena, uint32_t, v->n_resolved);
	for (uint32_t i = 0; k < v->n_resolved; i++)
		if (is_resolved_here(mesh_view_cluster_at(v, i)))
			v->resolved[k++] = i;
}

/* ---- building -------------------------------------------------------------------------------- */

/* Sorts by kind, keeps the order within each. */
static void parts_take(struct mesh_view *v, struct mesh_part *const *parts, uint32_t n,
		       const uint32_t *counts)
{
	uint32_t at[MESH_PART_KINDS], next = 0;

	for (size_t k = 0; k < MESH_PART_KINDS; k++) {
		at[k] = next;
		next += k == MESH_PART_ENDPOINTS ? 0 : counts[k];
	}
	v->parts = arena_array(&v->arena, struct mesh_part *, next);
	v->n_parts = next;
	v->clusters = v->parts + at[MESH_PART_CLUSTER];
	v->n_clusters = counts[MESH_PART_CLUSTER];
	v->listeners = v->parts + at[MESH_PART_LISTENER];
	v->n_listeners = counts[MESH_PART_LISTENER];
	for (uint32_t i = 0; i < n; i++)
		if (parts[i]->kind != MESH_PART_ENDPOINTS)
			v->parts[at[parts[i]->kind]++] = mesh_part_ref(parts[i]);
}

static uint64_t hash_of(const struct mesh_view *v)
{
	uint64_t h = v->n_parts;

	for (uint32_t i = 0; i < v->n_parts; i++)
		h = (h ^ v->parts[i]->hash) * 0x9e3779b97f4a7c15ull + v->parts[i]->name_hash;
	return h;
}

int mesh_view_build(struct mesh_part *const *parts, uint32_t n, struct slice source,
		    struct mesh_view **ret_v, struct err *e)
{
	struct mesh_view *v = xcalloc(1, sizeof(*v));
	uint32_t counts[MESH_PART_KINDS] = { 0 };
	struct assigned assigned;
	int rc;

	atomic_init(&v->refs, 1);
	pthread_mutex_init(&v->lock, NULL);
	for (uint32_t i = 0; i < n; i++)
		counts[parts[i]->kind]++;
	parts_take(v, parts, n, counts);
	rc = names_index(v, e);
	if (rc < 0) {
		mesh_view_unref(v);
		return rc;
	}
	assigned_init(&assigned, parts, n, counts[MESH_PART_ENDPOINTS]);
	cells_init(v, &assigned);
	free(assigned.slots);
	listeners_index(v);
	v->source = arena_slice(&v->arena, source);
	v->hash = hash_of(v);
	*ret_v = v;
	return 0;
}
