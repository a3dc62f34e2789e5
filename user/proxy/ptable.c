/* SPDX-License-Identifier: Apache-2.0 */
/* Route tables ready to run, and the numbers of those that listeners ask for by name. */
#include <stdatomic.h>

#include "proxy/proxy_impl.h"
#include "route/route.h"

/* ---- overrides ------------------------------------------------------------------------------- */

struct comp {
	struct engine *e;
	struct ptable *t;
	struct slice prefix;
};

static void add_overrides(struct comp *c, const struct mesh_overrides *o)
{
	for (uint32_t i = 0; i < o->n; i++) {
		const struct mesh_filter_override *ov = &o->v[i];
		struct mesh_filter conf = { .name = ov->name,
					    .kind = ov->kind,
					    .config = ov->config };
		const struct filter *ops;
		struct poverride *p;

		if (!ov->config)
			continue;
		ops = filter_by_kind(c->e, ov->kind);
		if (!ops || !ops->shared_new)
			continue;
		HASH_FIND_PTR(c->t->overrides, &ov->config, p);
		if (p)
			continue;
		p = arena_new(&c->t->arena, struct poverride);
		p->config = ov->config;
		p->ops = ops;
		p->shared = ops->shared_new(&conf, ov->config, c->prefix);
		HASH_ADD_PTR(c->t->overrides, config, p);
	}
}

static void add_vhost(struct comp *c, const struct mesh_vhost *vh)
{
	add_overrides(c, &vh->overrides);
	for (uint32_t j = 0; j < vh->n_routes; j++) {
		const struct mesh_route *r = &vh->routes[j];

		add_overrides(c, &r->overrides);
		for (uint32_t k = 0; k < r->n_weighted; k++)
			add_overrides(c, &r->weighted[k].overrides);
	}
}

void *ptable_override(const struct ptable *t, const void *config)
{
	struct poverride *o;

	HASH_FIND_PTR(t->overrides, &config, o);
	return o ? o->shared : NULL;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void ptable_free(struct ptable *t)
{
	struct poverride *o, *tmp;

	HASH_ITER(hh, t->overrides, o, tmp) {
		HASH_DEL(t->overrides, o);
		if (o->shared && o->ops->shared_free)
			o->ops->shared_free(o->shared);
	}
	mesh_part_unref(t->part);
	arena_done(&t->arena);
	free(t);
}

struct ptable *ptable_ref(struct ptable *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void ptable_unref(struct ptable *t)
{
	if (t && atomic_fetch_sub(&t->refs, 1) == 1)
		ptable_free(t);
}

static struct ptable *ptable_alloc(struct mesh_part *part)
{
	struct ptable *t = xcalloc(1, sizeof(*t));

	t->part = mesh_part_ref(part);
	atomic_store(&t->refs, 1);
	return t;
}

int ptable_new(struct engine *e, const struct mesh_route_table *conf, struct mesh_part *part,
	       struct slice prefix, struct ptable **ret_t, struct err *err)
{
	struct ptable *t;
	struct comp c = { e, NULL, prefix };

	/* The one thing in a part that is filled in later: by the room that searches it, once,
	 * before anyone else sees it. */
	if (!conf->index) {
		int r = route_table_index((struct mesh_route_table *)conf, &part->arena, err);

		if (r < 0)
			return r;
	}
	t = ptable_alloc(part);
	t->http = conf;
	c.t = t;
	add_overrides(&c, &conf->overrides);
	for (uint32_t i = 0; i < conf->n_vhosts; i++)
		add_vhost(&c, &conf->vhosts[i]);
	*ret_t = t;
	return 0;
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* A name that listeners ask for. */
struct table_name {
	uint32_t users; /* 0: the slot is free */
	enum mesh_part_kind kind;
	char *name;
};

/* The slot of the name, else a free one, else one past the last. */
static uint32_t slot_find(const struct engine *e, enum mesh_part_kind kind, struct slice name)
{
	uint32_t unused = e->n_names;

	for (uint32_t i = 0; i < e->n_names; i++) {
		const struct table_name *n = &e->names[i];

		if (!n->users)
			unused = i;
		else if (n->kind == kind && slice_is_equal(slice_str(n->name), name))
			return i;
	}
	return unused;
}

uint32_t ptable_slot_take(struct engine *e, enum mesh_part_kind kind, struct slice name)
{
	struct table_name *n;
	uint32_t slot;

	pthread_mutex_lock(&e->names_lock);
	slot = slot_find(e, kind, name);
	if (slot == e->n_names) {
		e->names = xrealloc(e->names, (e->n_names + 1) * sizeof(*e->names));
		e->names[e->n_names++] = (struct table_name){ 0 };
	}
	n = &e->names[slot];
	if (!n->users++) {
		n->kind = kind;
		n->name = slice_dup(name);
	}
	pthread_mutex_unlock(&e->names_lock);
	return slot;
}

void ptable_slot_give(struct engine *e, uint32_t slot)
{
	pthread_mutex_lock(&e->names_lock);
	if (--e->names[slot].users == 0) {
		free(e->names[slot].name);
		e->names[slot].name = NULL;
	}
	pthread_mutex_unlock(&e->names_lock);
}

void ptable_slots_free(struct engine *e)
{
	for (uint32_t i = 0; i < e->n_names; i++)
		free(e->names[i].name);
	free(e->names);
}

/* ---- the tables of a view -------------------------------------------------------------------- */

/* The table of @slot as the view before has it, when it is the same. */
static struct ptable *kept(const struct pview *was, uint32_t slot, const struct mesh_part *part)
{
	const struct ptable *t = was ? pview_table(was, slot) : NULL;

	return t && mesh_part_is_same(t->part, part) ? ptable_ref(was->tables[slot]) : NULL;
}

static int http_resolve(struct engine *e, struct pview *v, const struct pview *was,
			const struct phttp *p, struct err *err)
{
	struct mesh_part *part;

	if (p->table || v->tables[p->slot])
		return 0;
	part = mesh_view_part(v->mesh, MESH_PART_ROUTES, p->conf->route_name);
	if (!part)
		return 0;
	v->tables[p->slot] = kept(was, p->slot, part);
	if (v->tables[p->slot])
		return 0;
	return ptable_new(e, part->body, part, p->stat_prefix, &v->tables[p->slot], err);
}

static void rpc_resolve(struct pview *v, const struct pview *was, const struct prpc *p)
{
	struct mesh_part *part;

	if (p->slot == PTABLE_INLINE || v->tables[p->slot])
		return;
	part = mesh_view_part(v->mesh, MESH_PART_RPC_ROUTES, p->conf->route_name);
	if (!part)
		return;
	v->tables[p->slot] = kept(was, p->slot, part);
	if (v->tables[p->slot])
		return;
	v->tables[p->slot] = ptable_alloc(part);
	v->tables[p->slot]->rpc = *(const struct mesh_rpc_tables *)part->body;
}

static int chain_resolve(struct engine *e, struct pview *v, const struct pview *was,
			 const struct pchain *ch, struct err *err)
{
	int r = 0;

	if (ch->kind == MESH_NET_HTTP)
		r = http_resolve(e, v, was, &ch->http, err);
	else if (ch->kind == MESH_NET_RPC)
		rpc_resolve(v, was, &ch->rpc);
	return r < 0 ? err_prefix(err, r, "routes '%.*s'", SLICE_ARG(ch->http.conf->route_name)) :
		       0;
}

int ptables_resolve(struct engine *e, struct pview *v, const struct pview *was, struct err *err)
{
	v->n_tables = e->n_names;
	v->tables = arena_array(&v->arena, struct ptable *, v->n_tables);
	for (uint32_t i = 0; i < v->mesh->n_listeners; i++) {
		const struct plistener *l = v->listeners[i];

		for (uint32_t k = 0; k < l->n_chains; k++) {
			int r = chain_resolve(e, v, was, &l->chains[k], err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}
