/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel must know: for each pod which destinations go to the engine, which are answered
 * with an endpoint in the kernel, which are refused; the endpoints. Everything else is untouched.
 */
#include <errno.h>
#include <uthash.h>

#include "agent/agent_impl.h"
#include "base/log.h"

#define RULES_MAX 16384
#define SERVICES_MAX 8192
#define TARGETS_MAX 16 /* clusters that one service may be split over */

/* What a rule is found by: one destination has one. */
struct rule_key {
	uint8_t ip[16];
	uint32_t direction, bits, port;
};

struct rule_entry {
	struct rule_key key;
	UT_hash_handle hh;
};

/* A cluster that the kernel balances, or would if it had endpoints. */
struct l4_name {
	char *name;
	UT_hash_handle hh;
};

struct policies {
	struct agent *a;
	struct datapath_rule *rules;
	struct rule_entry *entries; /* parallel to rules */
	struct rule_entry *index;
	size_t n_rules;
	struct datapath_service *services;
	size_t n_services;
	struct arena arena;
};

static int add_rule(struct policies *p, const struct datapath_rule *r, struct err *e)
{
	struct rule_entry *entry, *was;

	if (p->n_rules == RULES_MAX)
		return err_set(e, -E2BIG, "more than %d policies for one pod", RULES_MAX);
	entry = &p->entries[p->n_rules];
	*entry = (struct rule_entry){ .key = { .direction = (uint32_t)r->direction,
					       .bits = r->bits,
					       .port = r->addr.port } };
	memcpy(entry->key.ip, r->addr.ip, sizeof(entry->key.ip));
	/* The explicit policies come first and win over a listener's for the same destination. */
	HASH_FIND(hh, p->index, &entry->key, sizeof(entry->key), was);
	if (was)
		return 0;
	HASH_ADD(hh, p->index, key, sizeof(entry->key), entry);
	p->rules[p->n_rules++] = *r;
	return 0;
}

/* ---- L4: a plain tcp_proxy to known endpoints needs no proxy in the path --------------------- */

static bool is_plain(const struct mesh_listener *l)
{
	const struct mesh_chain *c = l->n_chains == 1 ? &l->chains[0] : NULL;
	const struct mesh_chain_match *m;

	if (!c || l->default_chain || l->n_logs || c->n_filters != 1 ||
	    c->filters[0].kind != MESH_NET_TCP)
		return false;
	m = &c->match;
	if (m->n_destinations || m->n_sources || m->n_direct_sources ||
	    m->source_kind != MESH_SOURCE_ANY || m->n_source_ports || m->n_server_names ||
	    m->transport.len || m->n_protocols)
		return false;
	return c->filters[0].tcp->n_logs == 0;
}

/* A cluster of a service, with its share of the connections. */
struct target {
	const struct mesh_cluster *c;
	struct mesh_endpoints eps;
	uint64_t share; /* of a million */
};

static bool is_candidate(const struct mesh_cluster *c)
{
	return (c->kind == MESH_CLUSTER_STATIC || c->kind == MESH_CLUSTER_EDS) &&
	       c->lb != MESH_LB_LEAST_REQUEST;
}

static void remember(struct agent *a, struct slice name)
{
	struct l4_name *n;

	HASH_FIND(hh, a->l4, name.ptr, name.len, n);
	if (n)
		return;
	n = xcalloc(1, sizeof(*n));
	n->name = slice_dup(name);
	HASH_ADD_KEYPTR(hh, a->l4, n->name, name.len, n);
}

static void forget_all(struct agent *a)
{
	struct l4_name *n, *tmp;

	HASH_ITER(hh, a->l4, n, tmp) {
		HASH_DEL(a->l4, n);
		free(n->name);
		free(n);
	}
}

static bool is_healthy(const struct mesh_endpoint *e)
{
	return e->priority == 0 &&
	       (e->health == MESH_HEALTH_UNKNOWN || e->health == MESH_HEALTH_HEALTHY);
}

static uint64_t total_weight(struct mesh_endpoints eps)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < eps.n; i++)
		if (is_healthy(&eps.v[i]))
			n += eps.v[i].weight;
	return n;
}

/* Appends the endpoints so that the cluster as a whole has its share. */
static size_t add_backends(const struct target *t, struct datapath_backend *out)
{
	uint64_t total = total_weight(t->eps);
	size_t n = 0;

	for (uint32_t i = 0; i < t->eps.n; i++) {
		uint64_t w;

		if (!is_healthy(&t->eps.v[i]) || !total)
			continue;
		w = t->eps.v[i].weight * t->share / total;
		out[n++] = (struct datapath_backend){ t->eps.v[i].addr, w ? (uint32_t)w : 1 };
	}
	return n;
}

/* The clusters that @t names, all known with endpoints; 0: not all are. */
static uint32_t tcp_targets(struct policies *p, const struct mesh_view *v,
			    const struct mesh_tcp_proxy *t, struct target *out, uint32_t max)
{
	uint32_t n = t->n_weighted ? t->n_weighted : 1;
	bool all = true;

	if (n > max)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		int place = mesh_view_cluster_place(v, t->n_weighted ? t->weighted[i].name :
								       t->cluster);

		if (place < 0 || !is_candidate(mesh_view_cluster_at(v, (uint32_t)place)))
			return 0;
		out[i].c = mesh_view_cluster_at(v, (uint32_t)place);
		out[i].eps = mesh_view_endpoints(v, (uint32_t)place);
		out[i].share = t->n_weighted ?
				       1000000ull * t->weighted[i].weight / t->total_weight :
				       1000000;
		remember(p->a, out[i].c->name);
		all = all && out[i].eps.n;
	}
	return all ? n : 0;
}

/* Stays the same as long as the listener and its clusters do; never 0. */
static uint32_t service_id(const struct mesh_listener *l, const struct target *t, uint32_t n)
{
	uint64_t h = l->hash;

	for (uint32_t i = 0; i < n; i++)
		h = (h ^ t[i].c->hash) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(h ^ (h >> 32)) | 1;
}

static const struct datapath_service *find_service(const struct policies *p, uint32_t id)
{
	for (size_t i = 0; i < p->n_services; i++)
		if (p->services[i].id == id)
			return &p->services[i];
	return NULL;
}

static bool is_same(const struct datapath_service *s, const struct datapath_backend *b, size_t n)
{
	if (s->backends_n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s->backends[i].weight != b[i].weight ||
		    !addr_is_equal(&s->backends[i].addr, &b[i].addr))
			return false;
	return true;
}

/* true: the listener is served in the kernel by service @ret_id. */
static bool add_service(struct policies *p, const struct mesh_view *v,
			const struct mesh_listener *l, uint32_t *ret_id)
{
	struct target t[TARGETS_MAX];
	const struct datapath_service *was;
	struct datapath_backend *b;
	uint32_t n, total = 0;
	size_t used = 0;

	if (!is_plain(l))
		return false;
	n = tcp_targets(p, v, l->chains[0].filters[0].tcp, t, ARRAY_LEN(t));
	if (!n || p->n_services == SERVICES_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++)
		total += t[i].eps.n;
	if (total > SKIFF_SERVICE_SLOTS)
		return false;
	b = arena_array(&p->arena, struct datapath_backend, total);
	for (uint32_t i = 0; i < n; i++)
		used += add_backends(&t[i], b + used);
	/* The number is a hash: another service may have it by chance. */
	*ret_id = service_id(l, t, n);
	while ((was = find_service(p, *ret_id)) != NULL) {
		if (is_same(was, b, used))
			return true;
		*ret_id += 2;
	}
	p->services[p->n_services++] = (struct datapath_service){ *ret_id, b, used };
	return true;
}

/* ---- listeners -> rules ---------------------------------------------------------------------- */

static int listener_rule(struct policies *p, const struct mesh_view *v,
			 const struct mesh_listener *l, struct err *e)
{
	struct datapath_rule r = { .verdict = SKIFF_L7, .addr = l->addr, .bits = 128 };

	r.direction = l->direction == MESH_INBOUND ? SKIFF_INBOUND : SKIFF_OUTBOUND;
	if (addr_is_any(&l->addr)) {
		r.addr = (struct addr){ .port = l->addr.port };
		r.bits = 0;
	}
	if (l->use_original_dst) {
		r.addr = (struct addr){ 0 };
		r.bits = 0;
	}
	if (r.direction == SKIFF_OUTBOUND && !l->use_original_dst &&
	    add_service(p, v, l, &r.service))
		r.verdict = SKIFF_L4;
	return add_rule(p, &r, e);
}

static int explicit_rules(struct policies *p, const struct agent_pod *pod, struct err *e)
{
	static const enum skiff_verdict verdicts[] = {
		[SKIFFD_BYPASS] = SKIFF_BYPASS,
		[SKIFFD_DENY] = SKIFF_DENY,
		[SKIFFD_L7] = SKIFF_L7,
	};
	int r = 0;

	for (uint32_t i = 0; i < pod->conf.n_policy && r == 0; i++) {
		const struct skiffd_policy *c = &pod->conf.policy[i];
		struct datapath_rule rule = {
			.direction = c->direction == MESH_INBOUND ? SKIFF_INBOUND : SKIFF_OUTBOUND,
			.verdict = verdicts[c->verdict],
			.addr = c->net,
			.bits = c->bits,
		};

		r = add_rule(p, &rule, e);
	}
	return r;
}

static int pod_rules(struct policies *p, const struct agent_pod *pod, struct err *e)
{
	const struct mesh_view *v = pod->view;
	int r;

	HASH_CLEAR(hh, p->index);
	p->n_rules = 0;
	r = explicit_rules(p, pod, e);
	for (uint32_t i = 0; v && i < v->n_listeners && r == 0; i++)
		r = listener_rule(p, v, mesh_view_listener_at(v, i), e);
	return r;
}

/* Services of all pods first (additions), then each pod's rules, then the services go that no rule
 * names any more. */
int agent_policy_apply(struct agent *a, struct err *e)
{
	struct policies p = { .a = a };
	uint32_t gen = (uint32_t)a->version;
	int r = 0;

	if (!a->dp)
		return 0;
	forget_all(a);
	a->l4_changed = false;
	p.rules = xcalloc(RULES_MAX, sizeof(*p.rules));
	p.entries = xcalloc(RULES_MAX, sizeof(*p.entries));
	p.services = xcalloc(SERVICES_MAX, sizeof(*p.services));
	list_for_each(n, &a->pods) {
		r = pod_rules(&p, list_entry(n, struct agent_pod, node), e);
		if (r < 0)
			goto out;
	}
	r = datapath_services_set(a->dp, p.services, p.n_services, gen, e);
	list_for_each(n, &a->pods) {
		struct agent_pod *pod = list_entry(n, struct agent_pod, node);

		if (r < 0)
			break;
		if (!pod->in_kernel)
			continue;
		r = pod_rules(&p, pod, e);
		if (r == 0)
			r = datapath_policy_set(a->dp, pod->ref.id, p.rules, p.n_rules, gen, e);
		if (r < 0)
			err_prefix(e, r, "pod %s/%s", pod->conf.namespace_, pod->conf.name);
	}
	if (r == 0)
		datapath_services_trim(a->dp, p.services, p.n_services);
out:
	HASH_CLEAR(hh, p.index);
	free(p.rules);
	free(p.entries);
	free(p.services);
	arena_done(&p.arena);
	return r;
}

void agent_policy_done(struct agent *a)
{
	forget_all(a);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

void agent_endpoints(struct agent *a, struct mesh_view *v, struct slice name,
		     struct mesh_part *part)
{
	struct l4_name *n;

	/* -ENOENT: the name is of a configuration that is gone. */
	if (a->engine.endpoints(a->engine.arg, v, name, part) < 0)
		return;
	HASH_FIND(hh, a->l4, name.ptr, name.len, n);
	a->l4_changed |= n != NULL;
}

void agent_policy_catch_up(struct agent *a)
{
	struct err e;

	if (a->l4_changed && agent_policy_apply(a, &e) < 0)
		log_error("agent", "new endpoints are not in the kernel: %s", e.text);
}
