/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel must know: for each pod which destinations go to the engine, which are answered
 * with an endpoint in the kernel, which are refused, and which sources are refused before the
 * engine is asked. Everything else is untouched. Rules are made once for a view and shared by its
 * pods; only pods that changed are written.
 */
#include <errno.h>
#include <uthash.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/log.h"

#define RULES_MAX 16384
#define CHECK_MS 1000 /* so long pods may differ that were equal: their pushes come one by one */
#define DNS_PORT 53   /* left alone where everything else is denied, as UDP is */

/* A listener that the kernel serves in the place of the engine, or could. */
struct l4_use {
	const struct mesh_listener *listener;
	struct l4_service *service; /* referenced; NULL: the engine serves it */
};

/* The uses that name a cluster. */
struct use_name {
	UT_hash_handle hh;
	struct use_name *next; /* of the same name; only the first is in the hash */
	struct slice name;
	struct l4_use *use;
};

/* A rule for inbound connections that are authorized. */
struct guarded {
	struct guarded *next;
	size_t rule; /* of agent_rules.v */
	const struct mesh_listener *listener;
	struct guard *guard; /* referenced; NULL: the kernel refuses nobody */
};

/* What a view asks of the kernel. */
struct agent_rules {
	struct list node; /* agent->rules */
	struct arena arena;
	uint32_t refs;
	struct mesh_view *view; /* referenced */
	bool is_mesh;           /* of a control plane */
	bool is_stale;          /* a service does not fit any more: to be made anew */
	bool has_unspecified;   /* listeners that take connections of either direction */
	bool asks_identity;     /* some guard depends on the pods that are known by address */
	uint64_t known;         /* guards_known() of then */
	struct guarded *guarded;
	struct datapath_rule *v;
	size_t n;
	struct l4_use *uses;
	size_t n_uses;
	struct use_name *names;
};

/* ---- lists without doubles ------------------------------------------------------------------- */

/* What a rule is found by: one destination has one. */
struct rule_key {
	uint8_t ip[16];
	uint32_t direction, bits, port;
};

struct rule_entry {
	struct rule_key key;
	UT_hash_handle hh;
};

struct rule_list {
	struct arena arena; /* entries */
	struct rule_entry *index;
	struct datapath_rule *v; /* the owner frees it */
	size_t n, max;
};

static void list_done(struct rule_list *p)
{
	HASH_CLEAR(hh, p->index);
	arena_done(&p->arena);
}

/* The first rule for a destination is the one that counts. */
static int rule_add(struct rule_list *p, const struct datapath_rule *r, struct err *e)
{
	struct rule_entry *entry = arena_new(&p->arena, struct rule_entry), *was;

	if (p->n == RULES_MAX)
		return err_set(e, -E2BIG, "more than %d policies for one pod", RULES_MAX);
	*entry = (struct rule_entry){ .key = { .direction = (uint32_t)r->direction,
					       .bits = r->bits,
					       .port = r->addr.port } };
	memcpy(entry->key.ip, r->addr.ip, sizeof(entry->key.ip));
	HASH_FIND(hh, p->index, &entry->key, sizeof(entry->key), was);
	if (was)
		return 0;
	HASH_ADD(hh, p->index, key, sizeof(entry->key), entry);
	if (p->n == p->max) {
		p->max = p->max ? 2 * p->max : 64;
		p->v = xrealloc(p->v, p->max * sizeof(*p->v));
	}
	p->v[p->n++] = *r;
	return 0;
}

/* For every destination, at @port (0: any). */
static int rule_add_all(struct rule_list *p, enum skiff_direction direction, uint16_t port,
			enum skiff_verdict verdict, struct err *e)
{
	struct datapath_rule r = { .direction = direction,
				   .verdict = verdict,
				   .addr = { .port = port } };

	return rule_add(p, &r, e);
}

/* ---- virtual listeners: what no other listener names ----------------------------------------- */

static bool is_catch_all(const struct mesh_chain_match *m)
{
	return !m->destination_port && !m->n_destinations && !m->n_sources &&
	       !m->n_direct_sources && m->source_kind == MESH_SOURCE_ANY && !m->n_source_ports &&
	       !m->n_server_names && !m->transport.len && !m->n_protocols;
}

/* The one chain that takes every connection but those to the listener's own port; NULL: several. */
static const struct mesh_chain *only_chain(const struct mesh_listener *l)
{
	const struct mesh_chain *found = l->default_chain;

	for (uint32_t i = 0; i < l->n_chains; i++) {
		const struct mesh_chain *c = &l->chains[i];

		if (c->match.destination_port && c->match.destination_port == l->addr.port)
			continue;
		if (found || !is_catch_all(&c->match))
			return NULL;
		found = c;
	}
	return found;
}

/*
 * What becomes of connections that only the virtual listener would take: straight on
 * (PassthroughCluster) needs no rule, nowhere (BlackHoleCluster) is refused by the kernel.
 */
static int virtual_rules(struct rule_list *p, const struct mesh_view *v,
			 const struct mesh_listener *l, struct err *e)
{
	const struct mesh_chain *c = only_chain(l);
	const struct mesh_cluster *k;
	int r;

	if (!c || c->n_filters != 1 || c->filters[0].kind != MESH_NET_TCP ||
	    c->filters[0].tcp->n_weighted || c->socket.kind != MESH_SOCKET_RAW)
		return rule_add_all(p, SKIFF_OUTBOUND, 0, SKIFF_L7, e);
	k = mesh_view_cluster(v, c->filters[0].tcp->cluster);
	if (k && k->kind == MESH_CLUSTER_ORIGINAL_DST && k->socket.kind == MESH_SOCKET_RAW &&
	    !k->n_socket_matches && !k->use_original_dst_header)
		return 0;
	if (!k || k->kind != MESH_CLUSTER_STATIC || k->n_endpoints)
		return rule_add_all(p, SKIFF_OUTBOUND, 0, SKIFF_L7, e);
	r = rule_add_all(p, SKIFF_OUTBOUND, DNS_PORT, SKIFF_BYPASS, e);
	return r < 0 ? r : rule_add_all(p, SKIFF_OUTBOUND, 0, SKIFF_DENY, e);
}

/* ---- rules of a view ------------------------------------------------------------------------- */

static void use_name_add(struct agent_rules *r, struct slice name, struct l4_use *u)
{
	struct use_name *n = arena_new(&r->arena, struct use_name), *first;

	*n = (struct use_name){ .name = name, .use = u };
	HASH_FIND(hh, r->names, name.ptr, name.len, first);
	if (!first) {
		HASH_ADD_KEYPTR(hh, r->names, n->name.ptr, n->name.len, n);
		return;
	}
	n->next = first->next;
	first->next = n;
}

/* The verdict for an outbound listener: in the kernel if that can be, else in the engine. */
static enum skiff_verdict use_add(struct agent *a, struct agent_rules *r,
				  const struct mesh_listener *l, uint32_t *ret_service)
{
	struct slice names[L4_TARGETS_MAX];
	uint32_t n = l4_is_candidate(l) ? l4_clusters(l, names) : 0;
	struct l4_use *u = &r->uses[r->n_uses];

	if (!n)
		return SKIFF_L7;
	*u = (struct l4_use){ l, l4_service_get(a->l4, r->view, l) };
	r->n_uses++;
	for (uint32_t i = 0; i < n; i++)
		use_name_add(r, names[i], u);
	if (!u->service)
		return SKIFF_L7;
	*ret_service = l4_service_id(u->service);
	return SKIFF_L4;
}

/* Would the engine give all connections of the rule to this listener? */
static bool is_for(const struct agent_rules *r, const struct datapath_rule *rule,
		   const struct mesh_listener *l)
{
	struct addr any4 = { .ip = { [10] = 0xff, [11] = 0xff }, .port = rule->addr.port };

	if (rule->direction != SKIFF_INBOUND || (!rule->bits && r->has_unspecified))
		return false;
	return mesh_view_listener(r->view, MESH_INBOUND, rule->bits ? &rule->addr : &any4) == l;
}

/* Adds the rule, with a guard where connections are authorized. */
static int guarded_add(struct agent *a, struct agent_rules *r, struct rule_list *p,
		       const struct datapath_rule *rule, const struct mesh_listener *l,
		       struct err *e)
{
	size_t at = p->n;
	bool asks_identity;
	struct guarded *g;
	int rc = rule_add(p, rule, e);

	if (rc < 0 || p->n == at || !is_for(r, rule, l) || !authz_is_asked(l, &asks_identity))
		return rc;
	g = arena_new(&r->arena, struct guarded);
	*g = (struct guarded){ r->guarded, at, l,
			       guard_get(a->guards, l, &rule->addr, rule->bits) };
	r->guarded = g;
	r->asks_identity |= asks_identity;
	p->v[at].authz = guard_id(g->guard);
	return 0;
}

/* The rule for one address of a listener. */
static int address_rule(struct agent *a, struct agent_rules *r, struct rule_list *p,
			struct datapath_rule rule, const struct mesh_listener *l,
			const struct addr *at, struct err *e)
{
	rule.addr = addr_is_any(at) ? (struct addr){ .port = at->port } : *at;
	rule.bits = addr_is_any(at) ? 0 : 128;
	return guarded_add(a, r, p, &rule, l, e);
}

static int listener_rule(struct agent *a, struct agent_rules *r, struct rule_list *p,
			 const struct mesh_listener *l, struct err *e)
{
	struct datapath_rule rule = { .verdict = SKIFF_L7 };
	int rc;

	rule.direction = l->direction == MESH_INBOUND ? SKIFF_INBOUND : SKIFF_OUTBOUND;
	/* What is opened on the pod's loopback is found there; nobody else's port is captured. */
	if (l->bind_in_pod && !l->use_original_dst && !l->n_more && addr_is_loopback(&l->addr))
		return 0;
	if (l->use_original_dst && r->is_mesh && rule.direction == SKIFF_OUTBOUND)
		return virtual_rules(p, r->view, l, e);
	if (l->use_original_dst)
		return guarded_add(a, r, p, &rule, l, e); /* for all addresses and ports */
	if (rule.direction == SKIFF_OUTBOUND)
		rule.verdict = use_add(a, r, l, &rule.service);
	rc = address_rule(a, r, p, rule, l, &l->addr, e);
	for (uint32_t i = 0; i < l->n_more && rc == 0; i++)
		rc = address_rule(a, r, p, rule, l, &l->more[i], e);
	return rc;
}

static void rules_unref(struct agent_rules *r)
{
	if (!r || --r->refs)
		return;
	for (size_t i = 0; i < r->n_uses; i++)
		l4_service_unref(r->uses[i].service);
	for (struct guarded *g = r->guarded; g; g = g->next)
		guard_unref(g->guard);
	HASH_CLEAR(hh, r->names);
	list_del(&r->node);
	mesh_view_unref(r->view);
	arena_done(&r->arena);
	free(r->v);
	free(r);
}

static int rules_make(struct agent *a, struct mesh_view *v, bool is_mesh,
		      struct agent_rules **ret_r, struct err *e)
{
	struct agent_rules *r = xcalloc(1, sizeof(*r));
	struct rule_list p = { 0 };
	int rc = 0;

	r->refs = 1;
	r->view = mesh_view_ref(v);
	r->is_mesh = is_mesh;
	r->known = guards_known(a->guards);
	for (uint32_t i = 0; i < v->n_listeners; i++)
		r->has_unspecified |= mesh_view_listener_at(v, i)->direction == MESH_UNSPECIFIED;
	r->uses = arena_array(&r->arena, struct l4_use, v->n_listeners);
	list_push(&a->rules, &r->node);
	for (uint32_t i = 0; i < v->n_listeners && rc == 0; i++)
		rc = listener_rule(a, r, &p, mesh_view_listener_at(v, i), e);
	r->v = p.v;
	r->n = p.n;
	list_done(&p);
	if (rc < 0) {
		rules_unref(r);
		return rc;
	}
	*ret_r = r;
	return 0;
}

/* Another pod has come or gone: who is refused by name may have changed with it. */
static void rules_recognize(struct agent *a, struct agent_rules *r)
{
	bool has_changed = false;

	if (!r->asks_identity || r->known == guards_known(a->guards))
		return;
	r->known = guards_known(a->guards);
	for (struct guarded *g = r->guarded; g; g = g->next) {
		struct datapath_rule *rule = &r->v[g->rule];
		struct guard *was = g->guard;

		g->guard = guard_get(a->guards, g->listener, &rule->addr, rule->bits);
		has_changed |= g->guard != was;
		rule->authz = guard_id(g->guard);
		guard_unref(was);
	}
	list_for_each(n, &a->pods) {
		struct agent_pod *pod = list_entry(n, struct agent_pod, node);

		pod->rules_changed |= has_changed && pod->rules == r;
	}
}

/* Those of the pod's view as it is now, with a reference; NULL for a pod without one. */
static int rules_get(struct agent *a, const struct agent_pod *pod, struct agent_rules **ret_r,
		     struct err *e)
{
	bool is_mesh = agent_xds_wants(a, &pod->conf);

	*ret_r = NULL;
	if (!pod->view || pod->phase != AGENT_SERVED)
		return 0;
	list_for_each(n, &a->rules) {
		struct agent_rules *r = list_entry(n, struct agent_rules, node);

		if (r->view != pod->view || r->is_mesh != is_mesh || r->is_stale)
			continue;
		rules_recognize(a, r);
		r->refs++;
		*ret_r = r;
		return 0;
	}
	return rules_make(a, pod->view, is_mesh, ret_r, e);
}

/* ---- rules of a pod -------------------------------------------------------------------------- */

static int explicit_rules(struct rule_list *p, const struct agent_pod *pod, struct err *e)
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

		r = rule_add(p, &rule, e);
	}
	return r;
}

/* A pod without configuration: everything goes to the engine, where it waits, or nowhere. */
static int phase_rules(struct rule_list *p, const struct agent_pod *pod, struct err *e)
{
	enum skiff_verdict verdict = pod->phase == AGENT_HELD ? SKIFF_L7 : SKIFF_DENY;
	int r = 0;

	if (pod->phase == AGENT_SERVED)
		return 0;
	r = rule_add_all(p, SKIFF_OUTBOUND, 0, verdict, e);
	return r < 0 ? r : rule_add_all(p, SKIFF_INBOUND, 0, verdict, e);
}

/* What the policies of the pod itself say goes before what its listeners ask for. */
static int pod_write(struct agent *a, struct agent_pod *pod, const struct agent_rules *rules,
		     struct err *e)
{
	struct rule_list p = { 0 };
	int r = explicit_rules(&p, pod, e);

	if (r == 0)
		r = phase_rules(&p, pod, e);
	for (size_t i = 0; rules && i < rules->n && r == 0; i++)
		r = rule_add(&p, &rules->v[i], e);
	if (r == 0)
		r = datapath_policy_set(a->dp, pod->ref.id, p.v, p.n, (uint32_t)a->version, e);
	free(p.v);
	list_done(&p);
	return r;
}

/* ---- all pods -------------------------------------------------------------------------------- */

/* The rules that each pod shall have; those of @next[i] are referenced also on failure. */
static int plan(struct agent *a, struct agent_rules **next, struct err *e)
{
	uint32_t i = 0;

	list_for_each(n, &a->pods) {
		struct agent_pod *pod = list_entry(n, struct agent_pod, node);
		int r = rules_get(a, pod, &next[i++], e);

		if (r < 0)
			return err_prefix(e, r, "pod %s/%s", pod->conf.namespace_, pod->conf.name);
	}
	return 0;
}

/* Most changes are about routes: what the kernel has stays as it is. */
static bool is_same(const struct agent_rules *a, const struct agent_rules *b)
{
	if (!a || !b || a->n != b->n)
		return a == b;
	for (size_t i = 0; i < a->n; i++) {
		const struct datapath_rule *x = &a->v[i], *y = &b->v[i];

		if (x->direction != y->direction || x->verdict != y->verdict ||
		    x->bits != y->bits || x->service != y->service || x->authz != y->authz ||
		    !addr_is_equal(&x->addr, &y->addr))
			return false;
	}
	return true;
}

/* Writes the pods whose rules changed; they own what they have then. */
static int write_pods(struct agent *a, struct agent_rules **next, struct err *e)
{
	uint32_t i = 0;

	list_for_each(n, &a->pods) {
		struct agent_pod *pod = list_entry(n, struct agent_pod, node);
		struct agent_rules *rules = next[i++], *was = pod->rules;
		int r;

		if (!pod->in_kernel || (rules == was && !pod->rules_changed))
			continue;
		pod->rules_changed |= !is_same(rules, was); /* until all of it is there */
		r = pod->rules_changed ? pod_write(a, pod, rules, e) : 0;
		if (r < 0)
			return err_prefix(e, r, "pod %s/%s", pod->conf.namespace_, pod->conf.name);
		pod->rules = rules;
		next[i - 1] = was;
		pod->rules_changed = false;
	}
	return 0;
}

int agent_policy_apply(struct agent *a, struct err *e)
{
	struct agent_rules **next;
	int r;

	if (!a->dp)
		return 0;
	if (!a->l4)
		a->l4 = l4_new(a->dp);
	if (!a->guards)
		a->guards = guards_new(a->dp);
	a->l4_changed = false;
	guards_know(a->guards, a);
	next = xcalloc(a->n_pods + 1, sizeof(struct agent_rules *));
	r = plan(a, next, e);
	if (r == 0)
		r = l4_write(a->l4, (uint32_t)a->version, e);
	if (r == 0)
		r = guards_write(a->guards, (uint32_t)a->version, e);
	if (r == 0)
		r = write_pods(a, next, e);
	for (uint32_t i = 0; i < a->n_pods; i++)
		rules_unref(next[i]);
	free(next);
	/* No policy names the others any more. */
	if (r == 0) {
		l4_trim(a->l4);
		guards_trim(a->guards);
	}
	return r;
}

void agent_policy_touch(struct agent_pod *p)
{
	p->rules_changed = true;
}

void agent_policy_drop(struct agent_pod *p)
{
	rules_unref(p->rules);
	p->rules = NULL;
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static void use_changed(struct agent *a, struct agent_rules *r, struct l4_use *u)
{
	struct l4_service *s = u->service;

	if (!s) {
		/* Has it become one for the kernel? */
		s = l4_service_get(a->l4, r->view, u->listener);
		r->is_stale |= s != NULL;
		l4_service_unref(s);
		return;
	}
	r->is_stale |= !l4_service_renew(s, r->view, u->listener);
	if (l4_service_is_shared(s) && !a->l4_check_at_ms)
		a->l4_check_at_ms = clock_mono_ns() / NSEC_PER_MSEC + CHECK_MS;
}

void agent_endpoints(struct agent *a, struct mesh_view *v, struct slice name,
		     struct mesh_part *part)
{
	/* -ENOENT: the name is of a configuration that is gone; 1: another pod of the view was
	 * first. */
	if (a->engine.endpoints(a->engine.arg, v, name, part) != 0)
		return;
	list_for_each(n, &a->rules) {
		struct agent_rules *r = list_entry(n, struct agent_rules, node);
		struct use_name *u;

		if (r->view != v)
			continue;
		HASH_FIND(hh, r->names, name.ptr, name.len, u);
		for (; u; u = u->next) {
			use_changed(a, r, u->use);
			a->l4_changed = true;
		}
	}
}

/* Views that shared a service and have other endpoints by now get one of their own. */
static void check_shared(struct agent *a)
{
	a->l4_check_at_ms = 0;
	list_for_each(n, &a->rules) {
		struct agent_rules *r = list_entry(n, struct agent_rules, node);

		for (size_t i = 0; i < r->n_uses && !r->is_stale; i++) {
			struct l4_use *u = &r->uses[i];

			if (u->service && l4_service_is_shared(u->service) &&
			    l4_service_differs(u->service, r->view, u->listener))
				r->is_stale = a->l4_changed = true;
		}
	}
}

static bool has_stale(const struct agent *a)
{
	list_for_each(n, &a->rules)
		if (list_entry(n, struct agent_rules, node)->is_stale)
			return true;
	return false;
}

void agent_policy_catch_up(struct agent *a)
{
	struct err e;
	int r;

	if (a->l4_check_at_ms && clock_mono_ns() / NSEC_PER_MSEC >= a->l4_check_at_ms)
		check_shared(a);
	if (!a->l4_changed)
		return;
	a->l4_changed = false;
	r = has_stale(a) ? agent_policy_apply(a, &e) : l4_write(a->l4, (uint32_t)a->version, &e);
	if (r < 0)
		log_error("agent", "new endpoints are not in the kernel: %s", e.text);
}
