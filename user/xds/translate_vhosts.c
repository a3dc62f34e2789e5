/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual hosts of a route table that a control plane sends: of thousands one changes, so those
 * whose bytes stand in the version before are taken over from there. What is made anew for one
 * version of a table lies in one pool, which lives as long as some version has a host out of it.
 */
#include <xxhash.h>

#include "xds/store.h"
#include "xds/translate.h"
#include "xds/wire.h"

#define VIRTUAL_HOSTS 2	   /* the field of RouteConfiguration */
#define WASTE_MAX 64	   /* hosts in pools that are of no more use, beside as many as are */

/* Where a host's content is, and what else it brought. */
struct own_host {
	uint32_t pool;		    /* which of the table's */
	uint32_t first_ref, n_refs; /* of the pool's */
	struct xds_report_entry *notes; /* path: below the host; in the pool */
	uint32_t n_notes;
	bool is_fixed; /* other bytes alone make it another one */
};

struct own {
	struct own_host *hosts; /* as in the table */
	uint32_t n;
	struct mesh_part **pools; /* each once, referenced; body: uint32_t, the hosts in it */
	uint32_t n_pools;
	size_t max_body;
	void (*release)(struct mesh_part *p); /* of the table itself */
	void *release_arg;
};

/* What is being made. */
struct making {
	struct translate *t;
	struct own *own;
	struct mesh_route_table *table;
	struct mesh_part *pool; /* of new hosts; NULL: there is none yet */
	uint32_t pool_at;
	/* The version before. */
	const struct own *was; /* NULL: none */
	const struct mesh_route_table *was_table;
	struct slice *was_bytes;
	uint32_t was_n, next; /* next: the one that is expected */
	uint32_t *pools;      /* number + 1 of its pools in the new one; 0: not used yet */
	uint32_t *slots;      /* number + 1 by hash; NULL: nobody has searched yet */
	uint32_t mask;
};

static void table_release(struct mesh_part *p)
{
	struct own *own = p->release_arg;

	for (uint32_t i = 0; i < own->n_pools; i++)
		mesh_part_unref(own->pools[i]);
	p->release_arg = own->release_arg;
	own->release(p);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static bool is_host(const struct wire_item *i)
{
	return i->number == VIRTUAL_HOSTS && i->type == WIRE_BYTES;
}

struct slice *tr_hosts_split(struct slice s, struct arena *a, uint32_t *ret_n,
			     struct slice *ret_rest)
{
	char *rest = arena_alloc(a, s.len + 1);
	struct slice at, *v;
	struct wire_item i;
	size_t len = 0;
	uint32_t n = 0;

	for (at = s; at.len && wire_item_next(at, &i) == 0; at = slice_skip(at, i.used))
		n += is_host(&i);
	v = arena_array(a, struct slice, n + 1);
	n = 0;
	for (at = s; at.len && wire_item_next(at, &i) == 0; at = slice_skip(at, i.used)) {
		if (is_host(&i)) {
			v[n++] = i.data;
			continue;
		}
		memcpy(rest + len, at.ptr, i.used);
		len += i.used;
	}
	/* Whoever unpacks it says what is wrong with it. */
	if (at.len)
		memcpy(rest + len, at.ptr, at.len);
	*ret_rest = slice_of(rest, len + at.len);
	*ret_n = n;
	return v;
}

/* ---- the version before ---------------------------------------------------------------------- */

/* Would the next one, of @n hosts, keep more that it does not use? Then all are made anew. */
static bool is_wasteful(const struct own *was, uint32_t n)
{
	size_t made = 0;

	for (uint32_t i = 0; i < was->n_pools; i++)
		made += *(const uint32_t *)was->pools[i]->body;
	return made > 2 * (size_t)n + WASTE_MAX;
}

static void was_open(struct making *k)
{
	const struct xds_resource *before = k->t->hosts->before;
	struct mesh_part *p = before ? before->part : NULL;
	const struct own *was;
	struct slice rest;

	if (!p || p->release != table_release)
		return;
	was = p->release_arg;
	if (was->max_body != k->own->max_body || is_wasteful(was, k->t->hosts->n))
		return;
	k->was = was;
	k->was_table = p->body;
	k->was_bytes = tr_hosts_split(before->bytes, k->t->pj.arena, &k->was_n, &rest);
	k->pools = arena_array(k->t->pj.arena, uint32_t, was->n_pools + 1);
	must(k->was_n == was->n);
}

static void was_index(struct making *k)
{
	uint32_t slots = 4;

	while (slots / 2 < k->was_n)
		slots *= 2;
	k->slots = arena_array(k->t->pj.arena, uint32_t, slots);
	k->mask = slots - 1;
	for (uint32_t i = 0; i < k->was_n; i++) {
		struct slice s = k->was_bytes[i];
		uint32_t at = (uint32_t)XXH3_64bits(s.ptr, s.len) & k->mask;

		while (k->slots[at])
			at = (at + 1) & k->mask;
		k->slots[at] = i + 1;
	}
}

/* The number of a host before with these bytes; -1: none that may be taken. */
static int64_t was_find(struct making *k, struct slice bytes)
{
	uint32_t i = k->next;

	if (i >= k->was_n || !slice_is_equal(k->was_bytes[i], bytes)) {
		if (!k->was_n)
			return -1;
		if (!k->slots)
			was_index(k);
		i = (uint32_t)XXH3_64bits(bytes.ptr, bytes.len) & k->mask;
		while (k->slots[i] && !slice_is_equal(k->was_bytes[k->slots[i] - 1], bytes))
			i = (i + 1) & k->mask;
		if (!k->slots[i])
			return -1;
		i = k->slots[i] - 1;
	}
	k->next = i + 1;
	return k->was->hosts[i].is_fixed ? (int64_t)i : -1;
}

/* ---- hosts ----------------------------------------------------------------------------------- */

static uint32_t pool_add(struct own *own, struct mesh_part *pool)
{
	own->pools[own->n_pools] = pool;
	return own->n_pools++;
}

/* What a host names, its table names. */
static void refs_add(struct translate *t, const struct mesh_part *pool, const struct own_host *h)
{
	for (uint32_t i = h->first_ref; i < h->first_ref + h->n_refs; i++)
		tr_need(t, pool->refs[i].kind, pool->refs[i].name, pool->refs[i].is_weak);
}

/* Takes over a host of the version before with all that it brought. */
static void host_keep(struct making *k, uint32_t at, uint32_t from)
{
	const struct own_host *h = &k->was->hosts[from];
	struct mesh_part *pool = k->was->pools[h->pool];
	struct translate *t = k->t;

	if (!k->pools[h->pool])
		k->pools[h->pool] = pool_add(k->own, mesh_part_ref(pool)) + 1;
	k->table->vhosts[at] = k->was_table->vhosts[from];
	k->own->hosts[at] = *h;
	k->own->hosts[at].pool = k->pools[h->pool] - 1;
	refs_add(t, pool, h);
	for (uint32_t i = 0; i < h->n_notes; i++) {
		size_t mark = xds_path_push_raw(&t->pj.path, h->notes[i].path.ptr);

		xds_report_add(t->pj.report, t->pj.path.text, "%s", h->notes[i].text.ptr);
		xds_path_pop(&t->pj.path, mark);
	}
}

/* Keeps what was reported from @first on, without the place of the host. */
static void notes_keep(struct making *k, struct own_host *h, size_t first)
{
	const struct xds_report *r = k->t->pj.report;
	struct arena *a = &k->pool->arena;
	size_t n = r ? r->n - first : 0;

	h->is_fixed &= r && !r->dropped;
	h->n_notes = (uint32_t)n;
	h->notes = n ? arena_array(a, struct xds_report_entry, n) : NULL;
	for (size_t i = 0; i < n; i++)
		h->notes[i] = (struct xds_report_entry){
			arena_slice(a, slice_skip(r->v[first + i].path, k->t->pj.path.len)),
			arena_slice(a, r->v[first + i].text),
		};
}

static int host_translate(struct translate *t, struct slice bytes, size_t max_body,
			  struct mesh_vhost *v)
{
	ProtobufCMessage *m = NULL;
	int rc = protojson_unpack(&t->pj, &envoy__config__route__v3__virtual_host__descriptor,
				  bytes, &m);

	return rc < 0 ? rc : tr_vhost_fill(t, (const PB_ROUTE(VirtualHost) *)m, max_body, v);
}

/* From now on @t builds in the pool. */
static void pool_enter(struct making *k)
{
	struct translate *t = k->t;

	if (!k->pool) {
		k->pool = mesh_part_new(MESH_PART_VHOST, SLICE_NONE);
		k->pool_at = pool_add(k->own, k->pool);
		tr_part_init(t, k->pool);
		k->pool->body = arena_new(t->a, uint32_t);
	}
	t->part = k->pool;
	t->a = &k->pool->arena;
	t->regexes = k->pool->release_arg;
}

static int host_make(struct making *k, uint32_t at, struct slice bytes)
{
	struct translate *t = k->t;
	struct translate_regex **regexes = t->regexes;
	struct mesh_part *table = t->part;
	struct own_host *h = &k->own->hosts[at];
	size_t noted = t->pj.report ? t->pj.report->n : 0;
	uint64_t seed = t->hash_seed;
	int rc;

	pool_enter(k);
	++*(uint32_t *)k->pool->body;
	h->pool = k->pool_at;
	h->first_ref = k->pool->n_refs;
	rc = host_translate(t, bytes, k->own->max_body, &k->table->vhosts[at]);
	h->n_refs = k->pool->n_refs - h->first_ref;
	h->is_fixed = t->hash_seed == seed;
	t->part = table;
	t->a = &table->arena;
	t->regexes = regexes;
	if (rc < 0)
		return rc;
	refs_add(t, k->pool, h);
	notes_keep(k, h, noted);
	return 0;
}

static int host_take(struct making *k, uint32_t at, struct slice bytes)
{
	int64_t from = was_find(k, bytes);

	if (from < 0)
		return host_make(k, at, bytes);
	host_keep(k, at, (uint32_t)from);
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void own_init(struct making *k, uint32_t n)
{
	struct translate *t = k->t;
	struct own *own = k->own;

	own->n = n;
	own->hosts = TR_ARRAY(t, struct own_host, n);
	own->pools = TR_ARRAY(t, struct mesh_part *, (k->was ? k->was->n_pools : 0) + 1);
	own->release = t->part->release;
	own->release_arg = t->part->release_arg;
	t->part->release = table_release;
	t->part->release_arg = own;
}

int tr_hosts_take(struct translate *t, size_t max_body, struct mesh_route_table *r)
{
	struct making k = { .t = t, .table = r, .own = arena_new(t->a, struct own) };
	const struct tr_hosts *hosts = t->hosts;

	k.own->max_body = max_body;
	was_open(&k);
	own_init(&k, hosts->n);
	r->vhosts = TR_ARRAY(t, struct mesh_vhost, hosts->n);
	r->n_vhosts = hosts->n;
	for (uint32_t i = 0; i < hosts->n; i++)
		TR_IN_AT(t, "virtual_hosts", i, host_take(&k, i, hosts->v[i]));
	return 0;
}
