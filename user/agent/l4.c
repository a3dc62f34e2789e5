/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services that the kernel balances: a plain tcp_proxy to known endpoints needs no proxy in the
 * path. Whatever the kernel cannot do as the engine would (TLS, limits, outliers, hashing,
 * priorities, panic) is left to the engine. A service is known by its listener and clusters; views
 * that have the same endpoints share it.
 */
#include <uthash.h>

#include "agent/agent_impl.h"

#define SERVICES_MAX SKIFF_MAX_SERVICES
#define SHARE_ALL 1000000u       /* of a cluster that has all connections */
#define CONNECTIONS_DEFAULT 1024 /* Envoy's: a limit that nobody asked for */

struct l4_service {
	UT_hash_handle hh;
	struct l4 *l4;
	struct list dirty; /* of l4->dirty, while the kernel has less */
	uint32_t id, refs;
	uint64_t key; /* of the listener and its clusters */
	struct datapath_backend *v;
	size_t n;
};

struct l4 {
	struct datapath *dp;
	struct l4_service *services; /* by id */
	struct list dirty;
	bool has_dead; /* some has no user, or an earlier skiffd may have left others */
};

/* A cluster of a service, with its share of the connections. */
struct target {
	const struct mesh_cluster *c;
	struct mesh_endpoints eps;
	uint64_t share, weight; /* of SHARE_ALL; sum of the healthy endpoints */
};

struct targets {
	struct target v[L4_TARGETS_MAX];
	uint32_t n;
	uint64_t key;
	size_t endpoints;
};

/* ---- what the kernel can do ------------------------------------------------------------------ */

bool l4_is_candidate(const struct mesh_listener *l)
{
	const struct mesh_chain *c = l->n_chains == 1 ? &l->chains[0] : l->default_chain;
	const struct mesh_chain_match *m;

	if (l->n_chains > 1 || (l->n_chains && l->default_chain) || !c || l->n_logs ||
	    c->n_filters != 1 || c->filters[0].kind != MESH_NET_TCP ||
	    c->socket.kind != MESH_SOCKET_RAW)
		return false;
	m = &c->match;
	if (m->destination_port || m->n_destinations || m->n_sources || m->n_direct_sources ||
	    m->source_kind != MESH_SOURCE_ANY || m->n_source_ports || m->n_server_names ||
	    m->transport.len || m->n_protocols)
		return false;
	return c->filters[0].tcp->n_logs == 0;
}

static const struct mesh_tcp_proxy *tcp_of(const struct mesh_listener *l)
{
	return (l->n_chains ? &l->chains[0] : l->default_chain)->filters[0].tcp;
}

static bool is_plain(const struct mesh_cluster *c)
{
	/* least_request is Istio's default: between endpoints of equal weight chance comes near. */
	bool balances = c->kind == MESH_CLUSTER_EDS ||
			(c->kind == MESH_CLUSTER_STATIC && c->lb != MESH_LB_LEAST_REQUEST);

	return balances && c->hash_kind == MESH_HASH_NONE && !c->outlier && !c->has_bind &&
	       (c->limits.max_connections == CONNECTIONS_DEFAULT ||
		c->limits.max_connections == UINT32_MAX);
}

static bool is_healthy(const struct mesh_endpoint *e)
{
	return e->health == MESH_HEALTH_UNKNOWN || e->health == MESH_HEALTH_HEALTHY;
}

/* Fills the weight; false: these endpoints need the engine. */
static bool weigh(struct target *t)
{
	uint32_t healthy = 0;

	t->weight = 0;
	for (uint32_t i = 0; i < t->eps.n; i++) {
		const struct mesh_endpoint *e = &t->eps.v[i];

		if (e->priority || e->health == MESH_HEALTH_DEGRADED ||
		    mesh_cluster_socket(t->c, e)->kind != MESH_SOCKET_RAW)
			return false;
		if (!is_healthy(e))
			continue;
		healthy++;
		t->weight += e->weight;
	}
	/* Below the panic threshold Envoy takes the unhealthy ones, too. */
	return t->weight && healthy * 100ull >= (uint64_t)t->c->panic_threshold * t->eps.n;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x9e3779b97f4a7c15ull;
}

/* The clusters of the listener, all for the kernel; false: the engine serves it. */
static bool targets_find(const struct mesh_view *v, const struct mesh_listener *l,
			 struct targets *ret_t)
{
	const struct mesh_tcp_proxy *tcp = tcp_of(l);

	*ret_t = (struct targets){ .n = tcp->n_weighted ? tcp->n_weighted : 1, .key = l->hash };
	if (ret_t->n > L4_TARGETS_MAX)
		return false;
	for (uint32_t i = 0; i < ret_t->n; i++) {
		struct target *t = &ret_t->v[i];
		int place = mesh_view_cluster_place(v, tcp->n_weighted ? tcp->weighted[i].name :
									 tcp->cluster);

		if (place < 0 || !is_plain(mesh_view_cluster_at(v, (uint32_t)place)))
			return false;
		t->c = mesh_view_cluster_at(v, (uint32_t)place);
		t->eps = mesh_view_endpoints(v, (uint32_t)place);
		t->share = tcp->n_weighted ? (uint64_t)SHARE_ALL * tcp->weighted[i].weight /
						     tcp->total_weight :
					     SHARE_ALL;
		if (!weigh(t))
			return false;
		ret_t->key = mix(ret_t->key, t->c->hash);
		ret_t->endpoints += t->eps.n;
	}
	return ret_t->endpoints <= SKIFF_SERVICE_SLOTS;
}

/* The healthy endpoints, so that each cluster as a whole has its share; free them. */
static struct datapath_backend *backends_make(const struct targets *t, size_t *ret_n)
{
	struct datapath_backend *v = xcalloc(t->endpoints, sizeof(*v));
	size_t n = 0;

	for (uint32_t i = 0; i < t->n; i++)
		for (uint32_t k = 0; k < t->v[i].eps.n; k++) {
			const struct mesh_endpoint *e = &t->v[i].eps.v[k];
			uint64_t w = e->weight * t->v[i].share / t->v[i].weight;

			if (!is_healthy(e) || !t->v[i].share)
				continue;
			v[n++] = (struct datapath_backend){ e->addr, w ? (uint32_t)w : 1 };
		}
	*ret_n = n;
	return v;
}

/* ---- services -------------------------------------------------------------------------------- */

static bool has_backends(const struct l4_service *s, const struct datapath_backend *v, size_t n)
{
	if (s->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s->v[i].weight != v[i].weight || !addr_is_equal(&s->v[i].addr, &v[i].addr))
			return false;
	return true;
}

struct l4_service *l4_service_ref(struct l4_service *s)
{
	if (s)
		s->refs++;
	return s;
}

void l4_service_unref(struct l4_service *s)
{
	if (s && --s->refs == 0)
		s->l4->has_dead = true;
}

uint32_t l4_service_id(const struct l4_service *s)
{
	return s->id;
}

static struct l4_service *service_find(struct l4 *l, uint32_t id)
{
	struct l4_service *s;

	HASH_FIND(hh, l->services, &id, sizeof(id), s);
	return s;
}

static void service_free(struct l4 *l, struct l4_service *s)
{
	HASH_DEL(l->services, s);
	list_del(&s->dirty);
	free(s->v);
	free(s);
}

/* Takes @v. */
static void service_put(struct l4_service *s, struct datapath_backend *v, size_t n)
{
	if (!has_backends(s, v, n) && list_is_empty(&s->dirty))
		list_push(&s->l4->dirty, &s->dirty);
	free(s->v);
	s->v = v;
	s->n = n;
}

/*
 * The number stays the same as long as the listener and its clusters do, also for the next skiffd;
 * it is a hash, and other endpoints make it another service: then the next free one. Never 0.
 */
static struct l4_service *service_make(struct l4 *l, uint64_t key, struct datapath_backend *v,
				       size_t n)
{
	uint32_t id = (uint32_t)(key ^ (key >> 32)) | 1;
	struct l4_service *s;

	while ((s = service_find(l, id)) != NULL) {
		if (s->key == key && (!s->refs || has_backends(s, v, n)))
			break;
		id += 2;
	}
	if (!s && HASH_COUNT(l->services) >= SERVICES_MAX) {
		free(v);
		return NULL;
	}
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->l4 = l;
		s->id = id;
		s->key = key;
		list_init(&s->dirty);
		list_push(&l->dirty, &s->dirty);
		HASH_ADD(hh, l->services, id, sizeof(id), s);
	}
	service_put(s, v, n);
	return l4_service_ref(s);
}

struct l4_service *l4_service_get(struct l4 *l, const struct mesh_view *v,
				  const struct mesh_listener *lis)
{
	struct datapath_backend *b;
	struct targets t;
	size_t n;

	if (!targets_find(v, lis, &t))
		return NULL;
	b = backends_make(&t, &n);
	return service_make(l, t.key, b, n);
}

bool l4_service_is_shared(const struct l4_service *s)
{
	return s->refs > 1;
}

uint32_t l4_clusters(const struct mesh_listener *lis, struct slice *out)
{
	const struct mesh_tcp_proxy *tcp = tcp_of(lis);

	if (tcp->n_weighted > L4_TARGETS_MAX)
		return 0;
	out[0] = tcp->cluster;
	for (uint32_t i = 0; i < tcp->n_weighted; i++)
		out[i] = tcp->weighted[i].name;
	return tcp->n_weighted ? tcp->n_weighted : 1;
}

bool l4_service_renew(struct l4_service *s, const struct mesh_view *v,
		      const struct mesh_listener *lis)
{
	struct datapath_backend *b;
	struct targets t;
	size_t n;

	if (!targets_find(v, lis, &t) || t.key != s->key)
		return false;
	b = backends_make(&t, &n);
	service_put(s, b, n);
	return true;
}

bool l4_service_differs(const struct l4_service *s, const struct mesh_view *v,
			const struct mesh_listener *lis)
{
	struct datapath_backend *b;
	struct targets t;
	bool differs;
	size_t n;

	if (!targets_find(v, lis, &t) || t.key != s->key)
		return true;
	b = backends_make(&t, &n);
	differs = !has_backends(s, b, n);
	free(b);
	return differs;
}

/* ---- kernel ---------------------------------------------------------------------------------- */

int l4_write(struct l4 *l, uint32_t generation, struct err *e)
{
	list_for_each_safe(n, tmp, &l->dirty) {
		struct l4_service *s = list_entry(n, struct l4_service, dirty);
		struct datapath_service d = { s->id, s->v, s->n };
		int r = s->refs ? datapath_service_set(l->dp, &d, generation, e) : 0;

		if (r < 0)
			return r;
		list_del(&s->dirty);
	}
	return 0;
}

void l4_trim(struct l4 *l)
{
	struct datapath_service *live;
	struct l4_service *s, *tmp;
	size_t n = 0;

	if (!l->has_dead)
		return;
	live = xcalloc(HASH_COUNT(l->services) + 1, sizeof(*live));
	HASH_ITER(hh, l->services, s, tmp)
		if (s->refs)
			live[n++] = (struct datapath_service){ s->id, s->v, s->n };
		else
			service_free(l, s);
	datapath_services_trim(l->dp, live, n);
	l->has_dead = false;
	free(live);
}

struct l4 *l4_new(struct datapath *dp)
{
	struct l4 *l = xcalloc(1, sizeof(*l));

	l->dp = dp;
	list_init(&l->dirty);
	l->has_dead = true;
	return l;
}

void l4_free(struct l4 *l)
{
	struct l4_service *s, *tmp;

	if (!l)
		return;
	HASH_ITER(hh, l->services, s, tmp)
		service_free(l, s);
	free(l);
}
