/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of who is refused by the kernel. A list never changes: its number is a hash of what is in
 * it, listeners that ask for the same share it, and a rule goes from one to the next in one write.
 * Which sources are in it: authz.c.
 */
#include <uthash.h>

#include "agent/agent_impl.h"
#include "base/log.h"

#define ALL_MAX (SKIFF_MAX_AUTHZ / 2) /* entries: what is new is there beside what was */

struct guard {
	UT_hash_handle hh;
	struct guards *all;
	uint32_t id, refs;
	bool is_written;
	struct datapath_authz *v;
	size_t n;
};

struct guards {
	struct datapath *dp;
	struct guard *v; /* by id */
	size_t entries;
	bool has_dead; /* some has no user, or an earlier skiffd may have left others */
	bool has_told; /* that something is too much for the kernel */
	struct arena arena; /* of who */
	struct authz_who *who;
	uint32_t n_who;
	uint64_t known;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x9e3779b97f4a7c15ull;
}

/* ---- who is known ---------------------------------------------------------------------------- */

static int who_compare(const void *a, const void *b)
{
	const struct authz_who *x = a, *y = b;
	int d = memcmp(x->addr.ip, y->addr.ip, sizeof(x->addr.ip));

	return d ? d : (x->order > y->order) - (x->order < y->order);
}

/* Of two pods with one address the first one is found (mesh_snapshot_pod_by_addr). */
static void who_sort(struct guards *g)
{
	uint32_t n = 0;

	if (g->n_who)
		qsort(g->who, g->n_who, sizeof(*g->who), who_compare);
	for (uint32_t i = 0; i < g->n_who; i++)
		if (!n || !addr_ip_is_equal(&g->who[n - 1].addr, &g->who[i].addr))
			g->who[n++] = g->who[i];
	g->n_who = n;
}

static bool is_known(const struct agent_pod *p)
{
	return p->in_engine && p->phase == AGENT_SERVED;
}

void guards_know(struct guards *g, const struct agent *a)
{
	const char *domain = agent_xds_trust_domain(a);
	uint32_t max = 0;

	arena_reset(&g->arena);
	list_for_each(n, &a->pods)
		max += list_entry(n, struct agent_pod, node)->n_addresses;
	g->who = arena_array(&g->arena, struct authz_who, max);
	g->n_who = 0;
	list_for_each(n, &a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);
		struct slice s = mesh_principal(&g->arena, domain, slice_str(p->conf.namespace_),
						slice_str(p->conf.service_account));

		for (uint32_t i = 0; is_known(p) && i < p->n_addresses; i++, g->n_who++)
			g->who[g->n_who] = (struct authz_who){ p->addresses[i], s, g->n_who };
	}
	who_sort(g);
	g->known = g->n_who;
	for (uint32_t i = 0; i < g->n_who; i++)
		g->known = mix(mix(g->known, addr_hash(&g->who[i].addr)),
			       mesh_name_hash(g->who[i].principal));
}

uint64_t guards_known(const struct guards *g)
{
	return g->known;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static bool is_list(const struct guard *g, const struct datapath_authz *v, size_t n)
{
	for (size_t i = 0; i < n && g->n == n; i++)
		if (g->v[i].bits != v[i].bits || g->v[i].is_deny != v[i].is_deny ||
		    !addr_is_equal(&g->v[i].source, &v[i].source))
			return false;
	return g->n == n;
}

/* Never 0, which is no list. */
static uint32_t list_hash(const struct datapath_authz *v, size_t n)
{
	uint64_t h = n;

	for (size_t i = 0; i < n; i++)
		h = mix(mix(h, addr_hash(&v[i].source)), v[i].bits << 1 | v[i].is_deny);
	return (uint32_t)(h ^ h >> 32) | 1;
}

/* Takes @v. */
static struct guard *list_take(struct guards *all, struct datapath_authz *v, size_t n)
{
	uint32_t id = list_hash(v, n);
	struct guard *g;

	for (;; id += 2) {
		HASH_FIND(hh, all->v, &id, sizeof(id), g);
		if (!g || is_list(g, v, n))
			break;
	}
	if (g) {
		free(v);
		g->refs++;
		return g;
	}
	g = xcalloc(1, sizeof(*g));
	*g = (struct guard){ .all = all, .id = id, .refs = 1, .v = v, .n = n };
	HASH_ADD(hh, all->v, id, sizeof(id), g);
	all->entries += n;
	return g;
}

static void tell(struct guards *all, const struct mesh_listener *l)
{
	if (!all->has_told)
		log_info("agent",
			 "listener %.*s: its authorization is too much for the kernel: the engine "
			 "decides all of it (and of others like it)",
			 SLICE_ARG(l->name));
	all->has_told = true;
}

struct guard *guard_get(struct guards *all, const struct mesh_listener *l, const struct addr *to,
			unsigned int bits)
{
	struct authz_ask q = { .listener = l,
			       .local = bits ? to : NULL,
			       .port = to->port,
			       .who = all->who,
			       .n_who = all->n_who };
	struct datapath_authz *v = NULL;
	size_t n;

	if (authz_derive(&q, &v, &n) < 0 || all->entries + n > ALL_MAX) {
		tell(all, l);
		free(v);
		return NULL;
	}
	return n ? list_take(all, v, n) : NULL;
}

void guard_unref(struct guard *g)
{
	if (g && --g->refs == 0)
		g->all->has_dead = true;
}

uint32_t guard_id(const struct guard *g)
{
	return g ? g->id : 0;
}

/* ---- kernel ---------------------------------------------------------------------------------- */

int guards_write(struct guards *all, uint32_t generation, struct err *e)
{
	struct guard *g, *tmp;

	HASH_ITER(hh, all->v, g, tmp) {
		int r = g->is_written || !g->refs ?
				0 :
				datapath_authz_set(all->dp, g->id, g->v, g->n, generation, e);

		if (r < 0)
			return r;
		g->is_written |= g->refs > 0;
	}
	return 0;
}

static void list_free(struct guards *all, struct guard *g)
{
	HASH_DEL(all->v, g);
	all->entries -= g->n;
	free(g->v);
	free(g);
}

void guards_trim(struct guards *all)
{
	struct guard *g, *tmp;
	uint32_t *live;
	size_t n = 0;

	if (!all->has_dead)
		return;
	live = xcalloc(HASH_COUNT(all->v) + 1, sizeof(*live));
	HASH_ITER(hh, all->v, g, tmp)
		if (g->refs)
			live[n++] = g->id;
		else
			list_free(all, g);
	datapath_authz_trim(all->dp, live, n);
	all->has_dead = false;
	free(live);
}

struct guards *guards_new(struct datapath *dp)
{
	struct guards *g = xcalloc(1, sizeof(*g));

	g->dp = dp;
	g->has_dead = true;
	return g;
}

void guards_free(struct guards *all)
{
	struct guard *g, *tmp;

	if (!all)
		return;
	HASH_ITER(hh, all->v, g, tmp)
		list_free(all, g);
	arena_done(&all->arena);
	free(all);
}
