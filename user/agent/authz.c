/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is refused at a listener whatever he would say: what the kernel can decide of the network
 * RBAC of its chains. A chain may depend on bytes that nobody has sent yet, a rule on TLS: answers
 * have three values, and refused is only who is refused in every chain that the connection could
 * get. All others go to the engine, which decides them (filter/rbac.c).
 */
#include <errno.h>

#include "agent/agent_impl.h"

#define PREFIXES_MAX 8192
#define PORTS_MAX 256
#define RANGE_PORTS 16		/* a range of so many ports is looked at one by one */
#define WORK_MAX (2000 * 1000) /* rules and chains asked for one listener: some 20 ms */

enum answer { NO, MAYBE, YES };

/* Where sources and ports begin to matter: between these all connections are equal. */
struct borders {
	struct mesh_prefix *prefixes;
	uint32_t n, room;
	uint16_t ports[PORTS_MAX];
	uint32_t n_ports;
	bool asks_identity, has_too_many;
};

/* One kind of connection: all that come from @source, but not from a longer prefix. */
struct look {
	const struct authz_ask *q;
	const struct mesh_prefix *source;
	uint32_t port;		/* 0: one that nobody names */
	struct slice principal; /* empty: no pod of this node */
	bool is_tls;
	uint32_t work;
};

/* ---- borders --------------------------------------------------------------------------------- */

static void add_prefix(struct borders *b, const struct mesh_prefix *p)
{
	struct mesh_prefix *to;

	if (b->n == PREFIXES_MAX) {
		b->has_too_many = true;
		return;
	}
	if (b->n == b->room) {
		b->room = b->room ? 2 * b->room : 16;
		b->prefixes = xrealloc(b->prefixes, b->room * sizeof(*b->prefixes));
	}
	to = &b->prefixes[b->n++];
	*to = (struct mesh_prefix){ .bits = p->bits };
	memcpy(to->net.ip, p->net.ip, (p->bits + 7) / 8);
	if (p->bits % 8)
		to->net.ip[p->bits / 8] &= (uint8_t)(0xff00u >> p->bits % 8);
}

static void add_prefixes(struct borders *b, const struct mesh_prefix *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		add_prefix(b, &v[i]);
}

static void add_port(struct borders *b, uint32_t port)
{
	for (uint32_t i = 0; i < b->n_ports; i++)
		if (b->ports[i] == port)
			return;
	if (b->n_ports == PORTS_MAX)
		b->has_too_many = true;
	else if (port && port <= UINT16_MAX)
		b->ports[b->n_ports++] = (uint16_t)port;
}

static bool is_short(const struct mesh_rbac_rule *r)
{
	return r->ports.end - r->ports.start <= RANGE_PORTS;
}

static void add_rule(struct borders *b, const struct mesh_rbac_rule *r)
{
	for (uint32_t i = 0; i < r->n_parts; i++)
		add_rule(b, &r->parts[i]);
	if (r->kind == MESH_RBAC_SOURCE || r->kind == MESH_RBAC_REMOTE)
		add_prefix(b, r->prefix);
	b->asks_identity |= r->kind == MESH_RBAC_PRINCIPAL;
	if (r->kind != MESH_RBAC_PORT)
		return;
	for (uint32_t p = r->ports.start; is_short(r) && p < r->ports.end; p++)
		add_port(b, p);
}

/* The rules of the @i-th network filter of a chain, or NULL. The last one serves. */
static const struct mesh_rbac_rules *rules_at(const struct mesh_chain *c, uint32_t i)
{
	const struct mesh_net_filter *f = &c->filters[i];

	return i + 1 < c->n_filters && f->kind == MESH_NET_RBAC ? f->rbac->rules : NULL;
}

static void add_chain(struct borders *b, const struct mesh_chain *c)
{
	add_port(b, c->match.destination_port);
	add_prefixes(b, c->match.sources, c->match.n_sources);
	add_prefixes(b, c->match.direct_sources, c->match.n_direct_sources);
	for (uint32_t i = 0; i < c->n_filters; i++) {
		const struct mesh_rbac_rules *r = rules_at(c, i);

		for (uint32_t k = 0; r && k < r->n_policies; k++) {
			add_rule(b, &r->policies[k].permissions);
			add_rule(b, &r->policies[k].principals);
		}
	}
}

static int prefix_compare(const void *a, const void *b)
{
	const struct mesh_prefix *x = a, *y = b;
	int d = memcmp(x->net.ip, y->net.ip, sizeof(x->net.ip));

	return d ? d : (x->bits > y->bits) - (x->bits < y->bits);
}

/* Sorted, without doubles, shorter ones before those within them; the first is all the world. */
static void borders_find(struct borders *b, const struct authz_ask *q)
{
	const struct mesh_listener *l = q->listener;
	const struct mesh_prefix all = { 0 };
	uint32_t n = 0;

	add_prefix(b, &all);
	for (uint32_t i = 0; i < l->n_chains; i++)
		add_chain(b, &l->chains[i]);
	if (l->default_chain)
		add_chain(b, l->default_chain);
	for (uint32_t i = 0; b->asks_identity && i < q->n_who; i++)
		add_prefix(b, &(struct mesh_prefix){ q->who[i].addr, 128 });
	qsort(b->prefixes, b->n, sizeof(*b->prefixes), prefix_compare);
	for (uint32_t i = 0; i < b->n; i++)
		if (!n || prefix_compare(&b->prefixes[n - 1], &b->prefixes[i]) != 0)
			b->prefixes[n++] = b->prefixes[i];
	b->n = n;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static enum answer answer_of(bool yes)
{
	return yes ? YES : NO;
}

static enum answer worse(enum answer a, enum answer b)
{
	return a < b ? a : b;
}

static enum answer better(enum answer a, enum answer b)
{
	return a > b ? a : b;
}

static bool is_within(const struct mesh_prefix *inner, const struct mesh_prefix *outer)
{
	return inner->bits >= outer->bits && addr_is_in(&inner->net, &outer->net, outer->bits);
}

static enum answer port_matches(const struct look *k, const struct mesh_rbac_rule *r)
{
	if (k->port)
		return answer_of(k->port >= r->ports.start && k->port < r->ports.end);
	if (r->ports.start <= 1 && r->ports.end > UINT16_MAX)
		return YES;
	return is_short(r) ? NO : MAYBE; /* the ports of a short one all have names */
}

static enum answer destination_matches(const struct look *k, const struct mesh_prefix *p)
{
	if (k->q->local)
		return answer_of(addr_is_in(k->q->local, &p->net, p->bits));
	return p->bits ? MAYBE : YES;
}

/*
 * A pod of this node is who it is, with and without TLS: that is skiffd's, too. Of others only TLS
 * could tell.
 */
static enum answer principal_matches(const struct look *k, const struct mesh_rbac_rule *r)
{
	if (!k->principal.len)
		return k->is_tls ? MAYBE : NO;
	return answer_of(!r->has_string || mesh_string_is_match(r->string, k->principal));
}

static enum answer matches(struct look *k, const struct mesh_rbac_rule *r);

static enum answer parts_match(struct look *k, const struct mesh_rbac_rule *r, bool all)
{
	enum answer a = answer_of(all);

	for (uint32_t i = 0; i < r->n_parts; i++)
		a = all ? worse(a, matches(k, &r->parts[i])) : better(a, matches(k, &r->parts[i]));
	return a;
}

static enum answer matches(struct look *k, const struct mesh_rbac_rule *r)
{
	k->work++;
	switch (r->kind) {
	case MESH_RBAC_ANY: return YES;
	case MESH_RBAC_AND: return parts_match(k, r, true);
	case MESH_RBAC_OR: return parts_match(k, r, false);
	case MESH_RBAC_NOT: return (enum answer)(YES - parts_match(k, r, true));
	case MESH_RBAC_PATH: return NO; /* a connection has none */
	case MESH_RBAC_HEADER:
	case MESH_RBAC_SERVER_NAME: return MAYBE;
	case MESH_RBAC_DESTINATION: return destination_matches(k, r->prefix);
	case MESH_RBAC_PORT: return port_matches(k, r);
	case MESH_RBAC_SOURCE:
	case MESH_RBAC_REMOTE: return answer_of(is_within(k->source, r->prefix));
	case MESH_RBAC_PRINCIPAL: return principal_matches(k, r);
	}
	return MAYBE;
}

static enum answer policies_match(struct look *k, const struct mesh_rbac_rules *r)
{
	enum answer a = NO;

	for (uint32_t i = 0; i < r->n_policies && a != YES; i++)
		a = better(a, worse(matches(k, &r->policies[i].permissions),
				    matches(k, &r->policies[i].principals)));
	return a;
}

/* ---- chains ---------------------------------------------------------------------------------- */

static bool chain_refuses(struct look *k, const struct mesh_chain *c)
{
	k->is_tls = c->socket.kind != MESH_SOCKET_RAW;
	for (uint32_t i = 0; i < c->n_filters; i++) {
		const struct mesh_rbac_rules *r = rules_at(c, i);

		if (r && policies_match(k, r) == (r->is_deny ? YES : NO))
			return true;
	}
	return false;
}

static bool is_in_some(const struct mesh_prefix *source, const struct mesh_prefix *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (is_within(source, &v[i]))
			return true;
	return n == 0;
}

/* The port is the first criterion (mesh_chain_find); later ones may depend on what is sent. */
static bool names_port(const struct mesh_listener *l, uint32_t port)
{
	for (uint32_t i = 0; port && i < l->n_chains; i++)
		if (l->chains[i].match.destination_port == port)
			return true;
	return false;
}

static bool can_get(const struct look *k, const struct mesh_chain_match *m, uint32_t port)
{
	return m->destination_port == port && is_in_some(k->source, m->sources, m->n_sources) &&
	       is_in_some(k->source, m->direct_sources, m->n_direct_sources);
}

/* By every chain that it could get, and there is one. */
static bool is_refused(struct look *k)
{
	const struct mesh_listener *l = k->q->listener;
	uint32_t port = names_port(l, k->port) ? k->port : 0;
	bool any = false;

	k->work += l->n_chains + 1;
	for (uint32_t i = 0; i < l->n_chains; i++) {
		if (!can_get(k, &l->chains[i].match, port))
			continue;
		if (!chain_refuses(k, &l->chains[i]))
			return false;
		any = true;
	}
	if (l->default_chain)
		return chain_refuses(k, l->default_chain);
	return any;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static struct slice principal_of(const struct authz_ask *q, const struct mesh_prefix *p)
{
	uint32_t low = 0, high = q->n_who;

	while (p->bits == 128 && low < high) {
		uint32_t mid = low + (high - low) / 2;
		int d = memcmp(p->net.ip, q->who[mid].addr.ip, sizeof(p->net.ip));

		if (!d)
			return q->who[mid].principal;
		if (d < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return SLICE_NONE;
}

static bool is_around(const struct datapath_authz *e, const struct mesh_prefix *p)
{
	return is_within(p, &(struct mesh_prefix){ e->source, e->bits });
}

/* What holds for one port: appends the prefixes that differ from what is around them. */
static size_t list_port(struct look *k, const struct borders *b, struct datapath_authz *v)
{
	size_t around[129], depth = 0, n = 0;

	for (uint32_t i = 0; i < b->n && k->work <= WORK_MAX; i++) {
		bool is_deny;

		k->source = &b->prefixes[i];
		k->principal = b->asks_identity ? principal_of(k->q, k->source) : SLICE_NONE;
		while (depth && !is_around(&v[around[depth - 1]], k->source))
			depth--;
		is_deny = is_refused(k);
		if (depth && v[around[depth - 1]].is_deny == is_deny)
			continue;
		around[depth++] = n;
		v[n] = (struct datapath_authz){ k->source->net, k->source->bits, is_deny };
		v[n++].source.port = (uint16_t)k->port;
	}
	return n;
}

static bool is_like(const struct datapath_authz *a, size_t n, const struct datapath_authz *b,
		    size_t m)
{
	for (size_t i = 0; i < n && n == m; i++)
		if (a[i].bits != b[i].bits || a[i].is_deny != b[i].is_deny ||
		    !addr_ip_is_equal(&a[i].source, &b[i].source))
			return false;
	return n == m;
}

/* All ports: first the list for any, then of those that differ from it. */
static size_t list_ports(struct look *k, const struct borders *b, struct datapath_authz **v)
{
	size_t any, n;

	*v = xcalloc(b->n, sizeof(**v));
	k->port = 0;
	any = n = list_port(k, b, *v);
	for (uint32_t i = 0; i < b->n_ports && n <= AUTHZ_ENTRIES_MAX; i++) {
		size_t more;

		*v = xrealloc(*v, (n + b->n) * sizeof(**v));
		k->port = b->ports[i];
		more = list_port(k, b, *v + n);
		if (!is_like(*v, any, *v + n, more))
			n += more;
	}
	return n;
}

/* At one port, which needs no name then. */
static size_t list_one(struct look *k, const struct borders *b, struct datapath_authz **v)
{
	size_t n;

	*v = xcalloc(b->n, sizeof(**v));
	k->port = k->q->port;
	n = list_port(k, b, *v);
	for (size_t i = 0; i < n; i++)
		(*v)[i].source.port = 0;
	return n;
}

static bool has_deny(const struct datapath_authz *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].is_deny)
			return true;
	return false;
}

int authz_derive(const struct authz_ask *q, struct datapath_authz **ret_v, size_t *ret_n)
{
	struct look k = { .q = q };
	struct borders b = { 0 };
	struct datapath_authz *v = NULL;
	int r = -E2BIG;
	size_t n = 0;

	borders_find(&b, q);
	if (b.has_too_many)
		goto out;
	n = q->port ? list_one(&k, &b, &v) : list_ports(&k, &b, &v);
	if (k.work > WORK_MAX || n > AUTHZ_ENTRIES_MAX)
		goto out;
	r = 0;
	*ret_n = has_deny(v, n) ? n : 0;
	*ret_v = *ret_n ? v : NULL;
	if (*ret_n)
		v = NULL;
out:
	free(v);
	free(b.prefixes);
	return r;
}

/* ---- what is asked at all -------------------------------------------------------------------- */

static bool asks_who(const struct mesh_rbac_rule *r)
{
	bool found = r->kind == MESH_RBAC_PRINCIPAL;

	for (uint32_t i = 0; !found && i < r->n_parts; i++)
		found = asks_who(&r->parts[i]);
	return found;
}

static void chain_asks(const struct mesh_chain *c, bool *any, bool *who)
{
	for (uint32_t i = 0; i < c->n_filters; i++) {
		const struct mesh_rbac_rules *r = rules_at(c, i);

		*any |= r != NULL;
		for (uint32_t k = 0; r && k < r->n_policies; k++)
			*who |= asks_who(&r->policies[k].principals) ||
				asks_who(&r->policies[k].permissions);
	}
}

bool authz_is_asked(const struct mesh_listener *l, bool *ret_identity)
{
	bool any = false, who = false;

	for (uint32_t i = 0; i < l->n_chains; i++)
		chain_asks(&l->chains[i], &any, &who);
	if (l->default_chain)
		chain_asks(l->default_chain, &any, &who);
	*ret_identity = who;
	return any;
}
