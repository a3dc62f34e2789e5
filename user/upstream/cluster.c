/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters of one worker: hosts by diff, pools, limits. */
#include "upstream/cluster.h"

#include <stdatomic.h>

static void stats_register_all(struct upstream_shared *s)
{
	struct slice name = s->conf->stat_name;

#define X(field, kind, text) \
	s->stats.field = stats_registerf(STAT_##kind, "cluster.%.*s." text, SLICE_ARG(name));
	UPSTREAM_STATS(X)
#undef X
}

void upstream_shared_init(struct upstream_shared *s, const struct mesh_cluster *conf)
{
	s->conf = conf;
	stats_register_all(s);
}

#define CODES 600

struct upstream_codes {
	stat_id code[CODES];
	stat_id class[CODES / 100];
};

static struct upstream_codes *codes_get(struct upstream_shared *s, enum upstream_origin o)
{
	struct upstream_codes *t = atomic_load_explicit(&s->codes[o], memory_order_acquire);
	struct upstream_codes *fresh, *none = NULL;

	if (likely(t != NULL))
		return t;
	fresh = xcalloc(1, sizeof(*fresh));
	if (atomic_compare_exchange_strong(&s->codes[o], &none, fresh))
		return fresh;
	free(fresh); /* another worker was first */
	return none;
}

/* Registering twice gives the same id: a race does no harm. */
static inline stat_id code_id(struct upstream_shared *s, enum upstream_origin o, stat_id *cell,
		       const char *fmt, uint32_t v)
{
	static const char *const prefix[] = { "", "external.", "internal.", "retry." };
	char name[32];
	stat_id id = __atomic_load_n(cell, __ATOMIC_RELAXED);

	if (likely(id))
		return id;
	snprintf(name, sizeof(name), fmt, v);
	id = stats_registerf(STAT_COUNTER, "cluster.%.*s.%supstream_rq_%s",
			     SLICE_ARG(s->conf->stat_name), prefix[o], name);
	__atomic_store_n(cell, id, __ATOMIC_RELAXED);
	return id;
}

__attribute__((cold, noinline)) static void charge_retried(struct upstream_cluster *c,
							   struct upstream_codes *t)
{
	stats_inc(c->stats, code_id(c->shared, UPSTREAM_RETRIED, &t->class[0], "completed", 0));
}

void upstream_charge(struct upstream_cluster *c, enum upstream_origin origin, uint32_t status)
{
	struct upstream_shared *s = c->shared;
	struct upstream_codes *t;

	if (origin == UPSTREAM_ALL)
		stats_inc(c->stats, s->stats.rq_completed);
	if (status < 100 || status >= CODES)
		return;
	t = codes_get(s, origin);
	if (unlikely(origin == UPSTREAM_RETRIED))
		charge_retried(c, t);
	stats_inc(c->stats, code_id(s, origin, &t->code[status], "%u", status));
	stats_inc(c->stats, code_id(s, origin, &t->class[status / 100], "%uxx", status / 100));
}

void upstream_shared_done(struct upstream_shared *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->codes); i++)
		free(atomic_load(&s->codes[i]));
}

static _Atomic uint32_t *limit_count(struct upstream_shared *s, enum upstream_limit what)
{
	switch (what) {
	case UPSTREAM_CONNECTIONS: return &s->connections;
	case UPSTREAM_PENDING: return &s->pending;
	case UPSTREAM_REQUESTS: return &s->requests;
	case UPSTREAM_RETRIES: return &s->retries;
	}
	return NULL;
}

static uint32_t limit_max(const struct upstream_shared *s, enum upstream_limit what)
{
	const struct mesh_thresholds *t = &s->conf->limits;

	switch (what) {
	case UPSTREAM_CONNECTIONS: return t->max_connections;
	case UPSTREAM_PENDING: return t->max_pending_requests;
	case UPSTREAM_REQUESTS: return t->max_requests;
	case UPSTREAM_RETRIES: return t->max_retries;
	}
	return 0;
}

bool upstream_take(struct upstream_shared *s, enum upstream_limit what)
{
	_Atomic uint32_t *n = limit_count(s, what);

	if (atomic_fetch_add_explicit(n, 1, memory_order_relaxed) < limit_max(s, what))
		return true;
	atomic_fetch_sub_explicit(n, 1, memory_order_relaxed);
	return false;
}

void upstream_give(struct upstream_shared *s, enum upstream_limit what)
{
	atomic_fetch_sub_explicit(limit_count(s, what), 1, memory_order_relaxed);
}

/* ---- hosts ----------------------------------------------------------------------------------- */

static struct upstream_host *host_new(struct upstream_cluster *c, const struct mesh_endpoint *e)
{
	struct upstream_host *h = xcalloc(1, sizeof(*h));

	h->cluster = c;
	h->lb.addr = e->addr;
	list_init(&h->pools);
	list_init(&h->node);
	return h;
}

static void close_idle(struct upstream_host *h, bool all);

static void host_describe(struct upstream_host *h, const struct metadata *m)
{
	if (h->metadata_arena)
		arena_done(h->metadata_arena);
	free(h->metadata_arena);
	h->metadata_arena = m ? xcalloc(1, sizeof(*h->metadata_arena)) : NULL;
	h->metadata = metadata_copy(h->metadata_arena, m);
}

static void host_update(struct upstream_host *h, const struct mesh_endpoint *e)
{
	bool is_secured = mesh_cluster_socket(h->cluster->conf, e)->kind != MESH_SOCKET_RAW;

	if (!slice_is_equal(h->lb.hostname, e->hostname)) {
		free(h->hostname);
		h->hostname = slice_dup(e->hostname);
		h->lb.hostname = slice_of(h->hostname, e->hostname.len);
	}
	host_describe(h, e->meta ? e->meta->values : NULL);
	if (is_secured && !h->is_secured)
		close_idle(h, true); /* made when it needed none */
	h->is_secured = is_secured;
	h->lb.weight = e->weight ? e->weight : 1;
	h->lb.priority = e->priority;
	h->lb.healthy = e->health == MESH_HEALTH_UNKNOWN || e->health == MESH_HEALTH_HEALTHY ||
			e->health == MESH_HEALTH_DEGRADED;
}

static void pool_free(struct upstream_pool *p)
{
	list_del(&p->node);
	free(p);
}

static void host_free(struct upstream_host *h)
{
	list_for_each_safe(n, tmp, &h->pools)
		pool_free(list_entry(n, struct upstream_pool, node));
	list_del(&h->node);
	host_describe(h, NULL);
	free(h->hostname);
	free(h);
}

static bool pool_is_empty(const struct upstream_pool *p)
{
	return list_is_empty(&p->idle) && list_is_empty(&p->busy) &&
	       list_is_empty(&p->connecting) && list_is_empty(&p->pending);
}

static bool host_is_unused(const struct upstream_host *h)
{
	if (h->refs)
		return false;
	list_for_each(n, &h->pools)
		if (!pool_is_empty(list_entry(n, struct upstream_pool, node)))
			return false;
	return true;
}

/* Closes what no request needs: idle connections, with @all also those still connecting. */
static void pool_close(struct upstream_pool *p, bool all)
{
	struct upstream_cluster *c = p->host->cluster;
	struct list *it;

	list_for_each(b, &p->busy)
		list_entry(b, struct upstream_conn, node)->draining = true;
	while ((it = list_pop(&p->idle)) != NULL)
		c->close_conn(list_entry(it, struct upstream_conn, node));
	while (all && (it = list_pop(&p->connecting)) != NULL)
		c->close_conn(list_entry(it, struct upstream_conn, node));
}

static void close_idle(struct upstream_host *h, bool all)
{
	h->refs++; /* closing must not free the host under us */
	list_for_each(n, &h->pools)
		pool_close(list_entry(n, struct upstream_pool, node), all);
	h->refs--;
}

static void drop_pod(struct list *hosts, uint32_t pod)
{
	list_for_each_safe(n, tmp, hosts) {
		struct upstream_host *h = list_entry(n, struct upstream_host, node);

		h->refs++;
		list_for_each(k, &h->pools) {
			struct upstream_pool *p = list_entry(k, struct upstream_pool, node);

			if (p->pod == pod)
				pool_close(p, list_is_empty(&p->pending));
		}
		upstream_host_put(h);
	}
}

void upstream_cluster_drop_pod(struct upstream_cluster *c, uint32_t pod)
{
	drop_pod(&c->hosts, pod);
	drop_pod(&c->retired, pod);
}

/* Takes @h out of service; it goes when its last request ends. */
static void host_retire(struct upstream_host *h, bool all)
{
	h->removed = true;
	list_del(&h->node);
	list_push(&h->cluster->retired, &h->node);
	close_idle(h, all);
	if (host_is_unused(h))
		host_free(h);
}

static void set_rebuild(struct upstream_cluster *c)
{
	uint32_t i = 0;
	uint32_t weight = 0;

	free(c->set.hosts);
	c->set.hosts = xcalloc(c->n_hosts, sizeof(*c->set.hosts));
	c->set.weighted = false;
	list_for_each(n, &c->hosts) {
		struct upstream_host *h = list_entry(n, struct upstream_host, node);

		c->set.weighted |= i > 0 && h->lb.weight != weight;
		weight = h->lb.weight;
		c->set.hosts[i++] = &h->lb;
	}
	c->set.n = i;
	if (c->lb && c->lb->rebuild)
		c->lb->rebuild(&c->set, c->rng);
}

static struct upstream_host *host_find(struct list *hosts, const struct addr *a)
{
	list_for_each(n, hosts) {
		struct upstream_host *h = list_entry(n, struct upstream_host, node);

		if (addr_is_equal(&h->lb.addr, a))
			return h;
	}
	return NULL;
}

/* Hosts by address while they are replaced: thousands must not be compared with thousands. */
struct by_addr {
	struct upstream_host **slots;
	size_t mask;
};

static struct upstream_host **by_addr_slot(const struct by_addr *t, const struct addr *a)
{
	size_t i = (size_t)addr_hash(a) & t->mask;

	for (; t->slots[i]; i = (i + 1) & t->mask)
		if (addr_is_equal(&t->slots[i]->lb.addr, a))
			break;
	return &t->slots[i];
}

/* Room for the hosts that are there and @n more. */
static void by_addr_init(struct by_addr *t, const struct upstream_cluster *c, uint32_t n)
{
	size_t size = 8;

	while (size < 2 * ((size_t)c->n_hosts + n))
		size *= 2;
	t->slots = xcalloc(size, sizeof(struct upstream_host *));
	t->mask = size - 1;
	list_for_each(it, &c->hosts) {
		struct upstream_host *h = list_entry(it, struct upstream_host, node);

		*by_addr_slot(t, &h->lb.addr) = h;
	}
}

static void set_hosts(struct upstream_cluster *c, struct mesh_endpoints eps)
{
	struct by_addr known;
	struct list old;

	by_addr_init(&known, c, eps.n);
	list_init(&old);
	list_splice(&old, &c->hosts);
	c->n_hosts = 0;
	c->turn++;
	for (uint32_t i = 0; i < eps.n; i++) {
		struct upstream_host **h = by_addr_slot(&known, &eps.v[i].addr);

		if (!*h)
			*h = host_new(c, &eps.v[i]);
		else if ((*h)->turn == c->turn)
			continue; /* the same address twice */
		else
			list_del(&(*h)->node);
		(*h)->turn = c->turn;
		host_update(*h, &eps.v[i]);
		list_push(&c->hosts, &(*h)->node);
		c->n_hosts++;
	}
	free(known.slots);
	list_for_each_safe(it, tmp, &old)
		host_retire(list_entry(it, struct upstream_host, node), false);
	set_rebuild(c);
}

/* The workers take the same endpoints up one after the other: one of them counts. */
static void count_change(struct upstream_cluster *c, const void *members)
{
	if (atomic_exchange(&c->shared->members, members) != members)
		stats_inc(c->stats, c->shared->stats.membership_change);
}

void upstream_cluster_set_endpoints(struct upstream_cluster *c, struct mesh_part *part)
{
	struct mesh_part *was = c->endpoints;

	if (part == was)
		return;
	c->endpoints = mesh_part_ref(part);
	set_hosts(c, mesh_part_endpoints(part));
	count_change(c, part);
	mesh_part_unref(was);
}

/* ---- cluster --------------------------------------------------------------------------------- */

struct upstream_cluster *upstream_cluster_new(struct upstream_shared *shared,
					      struct stats_set *stats, struct rng *rng,
					      void (*close_conn)(struct upstream_conn *c))
{
	struct upstream_cluster *c = xcalloc(1, sizeof(*c));
	const struct mesh_cluster *conf = shared->conf;

	c->shared = shared;
	c->conf = conf;
	c->lb = lb_find(conf->lb);
	c->set.choice_count = conf->choice_count;
	c->set.panic_threshold = conf->panic_threshold;
	c->rng = rng;
	c->stats = stats;
	c->refs = 1;
	c->close_conn = close_conn;
	list_init(&c->hosts);
	list_init(&c->retired);
	if (conf->kind == MESH_CLUSTER_STATIC) {
		set_hosts(c, (struct mesh_endpoints){ conf->endpoints, conf->n_endpoints });
		count_change(c, conf);
	}
	return c;
}

struct upstream_cluster *upstream_cluster_ref(struct upstream_cluster *c)
{
	c->refs++;
	return c;
}

void upstream_cluster_unref(struct upstream_cluster *c)
{
	if (!c || --c->refs)
		return;
	c->refs = 1; /* closing connections must not come back here */
	list_for_each_safe(n, tmp, &c->hosts)
		host_retire(list_entry(n, struct upstream_host, node), true);
	list_for_each_safe(n, tmp, &c->retired) {
		close_idle(list_entry(n, struct upstream_host, node), true);
		host_free(list_entry(n, struct upstream_host, node));
	}
	free(c->set.hosts);
	mesh_part_unref(c->endpoints);
	free(c);
}

struct upstream_host *upstream_pick(struct upstream_cluster *c)
{
	struct lb_host *l = c->lb ? c->lb->pick(&c->set, c->rng) : NULL;
	struct upstream_host *h;

	if (!l)
		return NULL;
	h = container_of(l, struct upstream_host, lb);
	h->refs++;
	return h;
}

/* Hosts of ORIGINAL_DST clusters come and go with the traffic. */
#define ORIGINAL_DST_HOSTS_MAX 4096

static void original_dst_trim(struct upstream_cluster *c)
{
	if (c->n_hosts < ORIGINAL_DST_HOSTS_MAX)
		return;
	list_for_each_safe(n, tmp, &c->hosts) {
		struct upstream_host *h = list_entry(n, struct upstream_host, node);

		if (h->refs)
			continue;
		c->n_hosts--;
		host_retire(h, false);
		return;
	}
}

struct upstream_host *upstream_original_dst(struct upstream_cluster *c, const struct addr *dst)
{
	struct upstream_host *h = host_find(&c->hosts, dst);

	if (!h) {
		struct mesh_endpoint e = { .addr = *dst, .weight = 1 };

		original_dst_trim(c);
		h = host_new(c, &e);
		host_update(h, &e);
		list_push(&c->hosts, &h->node);
		c->n_hosts++;
	}
	h->refs++;
	return h;
}

void upstream_host_put(struct upstream_host *h)
{
	must(h->refs > 0);
	h->refs--;
	if (h->removed && host_is_unused(h))
		host_free(h);
}

/* ---- pools ----------------------------------------------------------------------------------- */

struct upstream_pool *upstream_pool_get(struct upstream_host *h, uint32_t pod, const void *protocol)
{
	struct upstream_pool *p;

	list_for_each(n, &h->pools) {
		p = list_entry(n, struct upstream_pool, node);
		if (p->pod == pod && p->protocol == protocol)
			return p;
	}
	p = xcalloc(1, sizeof(*p));
	p->host = h;
	p->pod = pod;
	p->protocol = protocol;
	list_init(&p->idle);
	list_init(&p->busy);
	list_init(&p->connecting);
	list_init(&p->pending);
	list_push(&h->pools, &p->node);
	return p;
}

void upstream_conn_place(struct upstream_conn *c)
{
	struct upstream_pool *p = c->pool;

	list_del(&c->node);
	if (!c->ready)
		list_push(&p->connecting, &c->node);
	else if (c->active)
		list_push(&p->busy, &c->node);
	else
		/* The most recently used first: the others may grow old and close. */
		list_push_front(&p->idle, &c->node);
}

void upstream_conn_remove(struct upstream_conn *c)
{
	struct upstream_host *h = c->pool->host;

	list_del(&c->node);
	c->pool = NULL;
	if (h->removed && host_is_unused(h))
		host_free(h);
}
