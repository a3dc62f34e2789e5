/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics of configured clusters that no worker has used: zeros under Envoy's names; and of all
 * clusters how many hosts they have. Read on the admin port's thread. */
#include <uthash.h>

#include "proxy/proxy_impl.h"

#define NAME_MAX_LEN 512

/* Clusters of one name (in several views) are said once. */
struct said {
	struct slice name;
	UT_hash_handle hh;
};

struct member {
	struct addr addr;
	bool healthy, degraded;
};

static int by_addr(const void *a, const void *b)
{
	return memcmp(&((const struct member *)a)->addr, &((const struct member *)b)->addr,
		      sizeof(struct addr));
}

struct membership {
	uint64_t total, healthy, degraded, excluded;
};

/* The same address twice is one host. */
static struct membership count_members(struct mesh_endpoints eps)
{
	struct member *v = xcalloc(eps.n, sizeof(*v));
	struct membership m = { 0 };

	for (uint32_t i = 0; i < eps.n; i++) {
		enum mesh_health h = eps.v[i].health;

		v[i].addr = eps.v[i].addr;
		v[i].degraded = h == MESH_HEALTH_DEGRADED;
		v[i].healthy = h == MESH_HEALTH_UNKNOWN || h == MESH_HEALTH_HEALTHY;
	}
	qsort(v, eps.n, sizeof(*v), by_addr);
	for (uint32_t i = 0; i < eps.n; i++) {
		if (i && addr_is_equal(&v[i].addr, &v[i - 1].addr))
			continue;
		m.total++;
		m.healthy += v[i].healthy;
		m.degraded += v[i].degraded;
	}
	free(v);
	return m;
}

static void say(const struct stats_sink *out, enum stat_kind kind, const struct mesh_cluster *c,
		const char *what, uint64_t value)
{
	char name[NAME_MAX_LEN];

	snprintf(name, sizeof(name), "cluster.%.*s.%s", SLICE_ARG(c->stat_name), what);
	out->value(out->arg, kind, name, value);
}

static void cluster_say(const struct stats_sink *out, const struct mesh_cluster *c,
			struct mesh_endpoints eps)
{
	struct membership m = count_members(eps);

#define X(field, text) say(out, STAT_GAUGE, c, text, m.field);
	UPSTREAM_MEMBERSHIP(X)
#undef X
#define X(field, kind, text) \
	say(out, STAT_##kind, c, text, strcmp(text, "membership_change") == 0 && eps.n);
	UPSTREAM_STATS(X)
#undef X
}

static void view_say(struct pview *v, struct said **said, struct arena *a,
		     const struct stats_sink *out)
{
	for (uint32_t i = 0; i < v->mesh->n_clusters; i++) {
		const struct mesh_cluster *c = mesh_view_cluster_at(v->mesh, i);
		struct mesh_endpoints eps = { c->endpoints, c->n_endpoints };
		struct mesh_part *part = NULL;
		struct said *s;

		HASH_FIND(hh, *said, c->stat_name.ptr, c->stat_name.len, s);
		if (s)
			continue;
		s = arena_new(a, struct said);
		s->name = c->stat_name;
		HASH_ADD_KEYPTR(hh, *said, s->name.ptr, s->name.len, s);
		if (mesh_cluster_has_cell(c)) {
			part = mesh_view_endpoints_get(v->mesh, i);
			eps = mesh_part_endpoints(part);
		}
		cluster_say(out, c, eps);
		mesh_part_unref(part);
	}
}

static struct psnap *snapshot(struct engine *e)
{
	struct psnap *p;

	pthread_mutex_lock(&e->snap_lock);
	p = e->snap ? psnap_ref(e->snap) : NULL;
	pthread_mutex_unlock(&e->snap_lock);
	return p;
}

void clusters_stats(void *arg, const struct stats_sink *out)
{
	struct psnap *p = snapshot(arg);
	struct said *said = NULL;
	struct arena a = { 0 };

	if (!p)
		return;
	if (p->host)
		view_say(p->host, &said, &a, out);
	for (uint32_t i = 0; i < p->mesh->n_pods; i++)
		if (p->pods[i])
			view_say(p->pods[i], &said, &a, out);
	HASH_CLEAR(hh, said);
	arena_done(&a);
	psnap_unref(p);
}
