/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled resources: references, what they name. */
#include "mesh/part.h"

#include <stdatomic.h>
#include <xxhash.h>

#define REFS_FIRST 4
#define BLOCK_FIRST 512 /* there are thousands of parts, and most are small */

uint32_t mesh_name_hash(struct slice s)
{
	return (uint32_t)XXH3_64bits(s.len ? s.ptr : "", s.len);
}

struct mesh_part *mesh_part_new(enum mesh_part_kind kind, struct slice name)
{
	struct mesh_part *p = xcalloc(1, sizeof(*p));

	p->kind = kind;
	p->arena.block = BLOCK_FIRST;
	mesh_part_rename(p, name);
	atomic_init(&p->users, 1);
	return p;
}

void mesh_part_rename(struct mesh_part *p, struct slice name)
{
	p->name = arena_slice(&p->arena, name);
	p->name_hash = mesh_name_hash(name);
}

struct mesh_part *mesh_part_ref(struct mesh_part *p)
{
	if (p)
		atomic_fetch_add_explicit(&p->users, 1, memory_order_relaxed);
	return p;
}

void mesh_part_unref(struct mesh_part *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->users, 1, memory_order_acq_rel) != 1)
		return;
	if (p->release)
		p->release(p);
	arena_done(&p->arena);
	free(p);
}

/* Room for one more: the array is full when its length is 0 or a power of two from REFS_FIRST on.
 */
static void refs_grow(struct mesh_part *p)
{
	uint32_t n = p->n_refs;
	struct mesh_ref *v;

	if (n && (n < REFS_FIRST || (n & (n - 1))))
		return;
	v = arena_array(&p->arena, struct mesh_ref, n ? 2 * n : REFS_FIRST);
	if (n)
		memcpy(v, p->refs, n * sizeof(*v));
	p->refs = v;
}

void mesh_part_need(struct mesh_part *p, enum mesh_part_kind kind, struct slice name, bool is_weak)
{
	refs_grow(p);
	p->refs[p->n_refs++] = (struct mesh_ref){ kind, is_weak, arena_slice(&p->arena, name) };
}

void mesh_part_type_add(struct mesh_part *p, struct slice filter, struct slice type)
{
	/* 0, 1, 2, 4 ...: full. */
	if ((p->n_types & (p->n_types - 1)) == 0) {
		uint32_t cap = p->n_types ? p->n_types * 2 : 1;
		struct mesh_part_type *v = arena_array(&p->arena, struct mesh_part_type, cap);

		if (p->n_types)
			memcpy(v, p->types, p->n_types * sizeof(*v));
		p->types = v;
	}
	p->types[p->n_types++] = (struct mesh_part_type){ arena_slice(&p->arena, filter),
							  arena_slice(&p->arena, type) };
}

bool mesh_part_allows(const struct mesh_part *user, const struct mesh_part *filter)
{
	bool is_named = false;

	for (uint32_t i = 0; i < user->n_types; i++) {
		if (!slice_is_equal(user->types[i].filter, filter->name))
			continue;
		is_named = true;
		if (filter->n_types && slice_is_equal(user->types[i].type, filter->types[0].type))
			return true;
	}
	return !is_named;
}

static int ref_compare(const void *a, const void *b)
{
	const struct mesh_ref *x = a, *y = b;
	size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
	int d = x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) :
		n                  ? memcmp(x->name.ptr, y->name.ptr, n) :
				     0;

	return d ? d : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

void mesh_part_finish(struct mesh_part *p)
{
	uint32_t kept = 0;

	if (!p->n_refs)
		return;
	qsort(p->refs, p->n_refs, sizeof(*p->refs), ref_compare);
	for (uint32_t i = 1; i < p->n_refs; i++)
		if (ref_compare(&p->refs[kept], &p->refs[i]) == 0)
			p->refs[kept].is_weak &= p->refs[i].is_weak;
		else
			p->refs[++kept] = p->refs[i];
	p->n_refs = kept + 1;
}

bool mesh_part_is_same(const struct mesh_part *a, const struct mesh_part *b)
{
	return a == b || (a && b && a->kind == b->kind && a->hash == b->hash &&
			  slice_is_equal(a->name, b->name));
}

const char *mesh_part_kind_name(enum mesh_part_kind kind)
{
	static const char *const names[] = {
		[MESH_PART_CLUSTER] = "cluster",
		[MESH_PART_ENDPOINTS] = "endpoints",
		[MESH_PART_LISTENER] = "listener",
		[MESH_PART_ROUTES] = "route table",
		[MESH_PART_RPC_ROUTES] = "RPC route table",
		[MESH_PART_FILTER] = "filter",
		[MESH_PART_SECRET] = "secret",
		[MESH_PART_VHOST] = "virtual host",
	};

	return names[kind];
}

struct mesh_part *mesh_part_endpoints_copy(struct slice name, const struct mesh_endpoint *v,
					   uint32_t n)
{
	struct mesh_part *p = mesh_part_new(MESH_PART_ENDPOINTS, name);
	struct mesh_endpoints *e = arena_new(&p->arena, struct mesh_endpoints);

	e->v = arena_array(&p->arena, struct mesh_endpoint, n);
	e->n = n;
	for (uint32_t i = 0; i < n; i++)
		e->v[i] = mesh_endpoint_copy(&p->arena, &v[i]);
	p->body = e;
	return p;
}
