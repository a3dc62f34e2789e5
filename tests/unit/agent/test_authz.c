/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel is told of who may connect, against what the engine decides (mesh_chain_find and
 * filter/rbac.c): it refuses nobody that the engine would take, and everybody that the engine
 * refuses for his address, port or name alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "agent/agent_impl.h"
#include "base/rand.h"
#include "filter/rbac.h"

#define ROUNDS 10000
#define CHAINS 4

static struct arena arena;

static struct addr ip(const char *text)
{
	struct addr a;

	must(addr_parse_ip(slice_str(text), &a) == 0);
	return a;
}

static struct mesh_prefix *net(const char *text)
{
	struct mesh_prefix *p = arena_new(&arena, struct mesh_prefix);

	must(addr_parse_prefix(slice_str(text), &p->net, &p->bits) == 0);
	return p;
}

/* ---- rules in few words ---------------------------------------------------------------------- */

#define PARTS(...) \
	(struct mesh_rbac_rule[]){ __VA_ARGS__ }, \
		sizeof((struct mesh_rbac_rule[]){ __VA_ARGS__ }) / sizeof(struct mesh_rbac_rule)

static struct mesh_rbac_rule any(void)
{
	return (struct mesh_rbac_rule){ .kind = MESH_RBAC_ANY };
}

static struct mesh_rbac_rule from(const char *prefix)
{
	return (struct mesh_rbac_rule){ .kind = MESH_RBAC_SOURCE, .prefix = net(prefix) };
}

static struct mesh_rbac_rule port_of(uint32_t start, uint32_t end)
{
	return (struct mesh_rbac_rule){ .kind = MESH_RBAC_PORT, .ports = { start, end } };
}

static struct mesh_rbac_rule text_rule(enum mesh_rbac_kind kind, const char *text)
{
	struct mesh_string *s = arena_new(&arena, struct mesh_string);

	*s = (struct mesh_string){ .kind = MESH_STRING_EXACT, .text = slice_str(text) };
	return (struct mesh_rbac_rule){ .kind = kind, .has_string = true, .string = s };
}

static struct mesh_rbac_rule group(enum mesh_rbac_kind kind, const struct mesh_rbac_rule *v,
				   size_t n)
{
	struct mesh_rbac_rule *parts = arena_array(&arena, struct mesh_rbac_rule, n);

	if (n)
		memcpy(parts, v, n * sizeof(*v));
	return (struct mesh_rbac_rule){ .kind = kind, .parts = parts, .n_parts = (uint32_t)n };
}

static const struct mesh_rbac *rbac_of(bool is_deny, struct mesh_rbac_rule permission,
				       struct mesh_rbac_rule principal)
{
	struct mesh_rbac *c = arena_new(&arena, struct mesh_rbac);
	struct mesh_rbac_rules *r = arena_new(&arena, struct mesh_rbac_rules);

	r->is_deny = is_deny;
	r->policies = arena_new(&arena, struct mesh_rbac_policy);
	r->n_policies = 1;
	r->policies[0].permissions = group(MESH_RBAC_OR, &permission, 1);
	r->policies[0].principals = group(MESH_RBAC_OR, &principal, 1);
	c->rules = r;
	return c;
}

/* A chain with these RBAC filters (up to the first NULL), and a tcp_proxy. */
static struct mesh_chain chain_of(const struct mesh_rbac *a, const struct mesh_rbac *b)
{
	struct mesh_chain c = { .filters = arena_array(&arena, struct mesh_net_filter, 3) };

	if (a)
		c.filters[c.n_filters++] =
			(struct mesh_net_filter){ .kind = MESH_NET_RBAC, .rbac = a };
	if (b)
		c.filters[c.n_filters++] =
			(struct mesh_net_filter){ .kind = MESH_NET_RBAC, .rbac = b };
	c.filters[c.n_filters++] = (struct mesh_net_filter){ .kind = MESH_NET_TCP };
	return c;
}

static struct mesh_listener listener_of(struct mesh_chain *v, size_t n)
{
	struct mesh_listener l = { .chains = arena_array(&arena, struct mesh_chain, n) };

	memcpy(l.chains, v, n * sizeof(*v));
	l.n_chains = (uint32_t)n;
	return l;
}

#define LISTENER(...) \
	listener_of((struct mesh_chain[]){ __VA_ARGS__ }, \
		    sizeof((struct mesh_chain[]){ __VA_ARGS__ }) / sizeof(struct mesh_chain))

/* ---- both sides ------------------------------------------------------------------------------ */

static const struct authz_who *who;
static uint32_t n_who;

/* As bpf/lookup.bpf.c asks: the exact port first, then any, the longest prefix each time. */
static bool kernel_refuses(const struct datapath_authz *v, size_t n, const struct addr *source,
			   uint16_t port)
{
	const uint16_t ports[] = { port, 0 };

	for (size_t k = 0; k < ARRAY_LEN(ports); k++) {
		const struct datapath_authz *best = NULL;

		for (size_t i = 0; i < n; i++)
			if (v[i].source.port == ports[k] &&
			    addr_is_in(source, &v[i].source, v[i].bits) &&
			    (!best || v[i].bits > best->bits))
				best = &v[i];
		if (best)
			return best->is_deny;
	}
	return false;
}

static struct slice known_as(const struct addr *a)
{
	for (uint32_t i = 0; i < n_who; i++)
		if (addr_ip_is_equal(&who[i].addr, a))
			return who[i].principal;
	return SLICE_NONE;
}

/* @c: the chain of the connection. @principal: what the engine takes the client for. */
static bool engine_takes(const struct mesh_chain *c, const struct mesh_chain_input *in,
			 struct slice principal)
{
	const struct rbac_input ask = { .local = &in->local,
					.source = &in->remote,
					.remote = &in->remote,
					.principal = principal,
					.server_name = in->server_name,
					.arena = &arena };
	const struct mesh_rbac_policy *p;

	for (uint32_t i = 0; c && i < c->n_filters; i++)
		if (c->filters[i].kind == MESH_NET_RBAC &&
		    !rbac_is_allowed(c->filters[i].rbac->rules, &ask, &p))
			return false;
	return c != NULL;
}

static size_t derive(const struct mesh_listener *l, uint16_t port, struct datapath_authz **ret_v)
{
	struct authz_ask q = { .listener = l, .port = port, .who = who, .n_who = n_who };
	size_t n = 0;

	*ret_v = NULL;
	assert_int_equal(authz_derive(&q, ret_v, &n), 0);
	return n;
}

/* The list of @l in words, "prefix:port action", to be compared. */
static const char *listed(const struct mesh_listener *l, uint16_t port)
{
	struct datapath_authz *v;
	size_t n = derive(l, port, &v);
	struct slice s = SLICE("");

	for (size_t i = 0; i < n; i++) {
		char text[ADDR_TEXT_MAX];

		addr_format_ip(&v[i].source, text);
		s = arena_printf(&arena, "%.*s%s%s/%u:%u %s", SLICE_ARG(s), i ? ", " : "", text,
				 v[i].bits, v[i].source.port, v[i].is_deny ? "no" : "yes");
	}
	free(v);
	return arena_printf(&arena, "%.*s%c", SLICE_ARG(s), 0).ptr;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void one_source_is_refused(void **state)
{
	struct mesh_listener l =
		LISTENER(chain_of(rbac_of(true, any(), from("10.0.0.1/32")), NULL));

	(void)state;
	assert_string_equal(listed(&l, 0), "::/0:0 yes, 10.0.0.1/128:0 no");
}

static void prefixes_within_each_other(void **state)
{
	struct mesh_rbac_rule some = group(
		MESH_RBAC_AND, PARTS(from("10.0.0.0/8"), group(MESH_RBAC_NOT,
							       PARTS(from("10.1.0.0/16")))));
	struct mesh_listener l = LISTENER(chain_of(rbac_of(false, any(), some), NULL));

	(void)state;
	assert_string_equal(listed(&l, 0),
			    "::/0:0 no, 10.0.0.0/104:0 yes, 10.1.0.0/112:0 no");
}

static void a_port_has_entries_only_where_it_differs(void **state)
{
	struct mesh_listener l = LISTENER(chain_of(
		rbac_of(false, group(MESH_RBAC_OR, PARTS(port_of(80, 81), port_of(443, 444))),
			from("10.0.0.0/8")),
		NULL));
	struct mesh_listener two = LISTENER(
		chain_of(rbac_of(true, port_of(80, 81), any()), NULL));

	(void)state;
	assert_string_equal(listed(&l, 0), "::/0:0 no, ::/0:80 no, 10.0.0.0/104:80 yes, "
					   "::/0:443 no, 10.0.0.0/104:443 yes");
	assert_string_equal(listed(&l, 80), "::/0:0 no, 10.0.0.0/104:0 yes");
	assert_string_equal(listed(&l, 81), "::/0:0 no");
	assert_string_equal(listed(&two, 0), "::/0:0 yes, ::/0:80 no");
	assert_string_equal(listed(&two, 81), "");
}

static void a_chain_of_a_port_is_alone_there(void **state)
{
	struct mesh_chain some = chain_of(rbac_of(true, any(), any()), NULL);
	struct mesh_listener l;

	(void)state;
	some.match.destination_port = 80;
	l = LISTENER(some, chain_of(NULL, NULL));
	assert_string_equal(listed(&l, 0), "::/0:0 yes, ::/0:80 no");
	l = LISTENER(some);
	assert_string_equal(listed(&l, 0), "::/0:0 yes, ::/0:80 no");
}

static void names_are_those_of_pods(void **state)
{
	const struct authz_who pods[] = { { ip("10.0.0.1"), SLICE("spiffe://a"), 0 },
					  { ip("10.0.0.2"), SLICE("spiffe://b"), 1 } };
	struct mesh_chain c = chain_of(
		rbac_of(false, any(), text_rule(MESH_RBAC_PRINCIPAL, "spiffe://a")), NULL);
	struct mesh_listener l;
	bool asks;

	(void)state;
	who = pods;
	n_who = 2;
	l = LISTENER(c);
	assert_string_equal(listed(&l, 0), "::/0:0 no, 10.0.0.1/128:0 yes");
	/* With TLS others may have names that the kernel does not know. */
	c.socket.kind = MESH_SOCKET_TLS;
	l = LISTENER(c);
	assert_string_equal(listed(&l, 0), "::/0:0 yes, 10.0.0.2/128:0 no");
	assert_true(authz_is_asked(&l, &asks));
	assert_true(asks);
	n_who = 0;
}

static void what_nobody_can_know_is_left_to_the_engine(void **state)
{
	struct mesh_rbac_rule sni = text_rule(MESH_RBAC_SERVER_NAME, "x"),
			      to = { .kind = MESH_RBAC_DESTINATION, .prefix = net("10.0.0.9/32") };
	struct addr nine = ip("10.0.0.9");
	struct mesh_listener l = LISTENER(chain_of(rbac_of(true, any(), sni), NULL));
	struct authz_ask q = { .listener = &l, .local = &nine, .port = 80 };
	struct datapath_authz *v;
	bool asks;
	size_t n;

	(void)state;
	assert_string_equal(listed(&l, 0), "");
	l = LISTENER(chain_of(rbac_of(true, port_of(100, 200), any()), NULL));
	assert_string_equal(listed(&l, 0), "");
	assert_string_equal(listed(&l, 150), "::/0:0 no");
	l = LISTENER(chain_of(rbac_of(true, to, any()), NULL));
	assert_string_equal(listed(&l, 0), "");
	assert_int_equal(authz_derive(&q, &v, &n), 0);
	assert_int_equal(n, 1);
	free(v);
	/* Another chain may take him. */
	l = LISTENER(chain_of(rbac_of(true, any(), any()), NULL), chain_of(NULL, NULL));
	l.chains[0].match.transport = SLICE("tls");
	assert_string_equal(listed(&l, 0), "");
	assert_true(authz_is_asked(&l, &asks));
	assert_false(asks);
	l = LISTENER(chain_of(NULL, NULL));
	assert_false(authz_is_asked(&l, &asks));
}

static void too_much_is_refused(void **state)
{
	enum { MANY = 9000 };
	struct mesh_rbac_rule *v = arena_array(&arena, struct mesh_rbac_rule, MANY);
	struct datapath_authz *list;
	struct mesh_listener l;
	struct authz_ask q = { .listener = &l };
	size_t n;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		v[i] = from("10.0.0.0/32");
		((struct mesh_prefix *)(uintptr_t)v[i].prefix)->net.ip[14] = (uint8_t)(i >> 8);
		((struct mesh_prefix *)(uintptr_t)v[i].prefix)->net.ip[15] = (uint8_t)i;
	}
	l = LISTENER(chain_of(rbac_of(true, any(), group(MESH_RBAC_OR, v, MANY)), NULL));
	assert_int_equal(authz_derive(&q, &list, &n), -E2BIG); /* prefixes */
	l = LISTENER(chain_of(rbac_of(true, any(), group(MESH_RBAC_OR, v, 7000)), NULL));
	assert_int_equal(authz_derive(&q, &list, &n), -E2BIG); /* work */
	for (uint32_t i = 0; i < 300; i++)
		v[i] = port_of(i + 1, i + 2);
	l = LISTENER(chain_of(rbac_of(true, group(MESH_RBAC_OR, v, 300), any()), NULL));
	assert_int_equal(authz_derive(&q, &list, &n), -E2BIG); /* ports */
	q.port = 80;
	l = LISTENER(chain_of(rbac_of(true, any(), from("10.0.0.0/8")), NULL));
	assert_int_equal(authz_derive(&q, &list, &n), 0);
	free(list);
}

/* ---- anything against the engine ------------------------------------------------------------- */

static struct rng rng;
static bool is_plain; /* nothing that only the engine could know */

static const char *const nets[] = { "0.0.0.0/0",   "10.0.0.0/8",  "10.1.0.0/16", "10.1.2.0/24",
				    "10.1.2.3/32", "10.1.2.4/32", "::/0",	 "fd00::/8",
				    "fd00::1/128" };
static const char *const sources[] = { "10.0.0.1", "10.1.0.1", "10.1.2.1", "10.1.2.3", "10.1.2.4",
				       "11.0.0.1", "fd00::1",  "fd00::2",  "2001:db8::1" };
static const uint16_t ports[] = { 1, 79, 80, 81, 82, 443, 500, 8080, 65535 };
static const char *const names[] = { "spiffe://a", "spiffe://b", "spiffe://c" };

static struct mesh_rbac_rule random_leaf(void)
{
	switch (rng_below(&rng, is_plain ? 5 : 8)) {
	case 0: return any();
	case 1: return from(nets[rng_below(&rng, ARRAY_LEN(nets))]);
	case 2: return port_of(80, 81 + rng_below(&rng, 3));
	case 3: return text_rule(MESH_RBAC_PRINCIPAL, names[rng_below(&rng, 3)]);
	case 4: return (struct mesh_rbac_rule){ .kind = MESH_RBAC_PRINCIPAL };
	case 5: return text_rule(MESH_RBAC_SERVER_NAME, "a.test");
	case 6: return port_of(400 + rng_below(&rng, 200), 9000);
	default: break;
	}
	return (struct mesh_rbac_rule){ .kind = MESH_RBAC_DESTINATION,
					.prefix = net("10.9.0.0/16") };
}

static struct mesh_rbac_rule random_rule(unsigned int depth)
{
	static const enum mesh_rbac_kind kinds[] = { MESH_RBAC_AND, MESH_RBAC_OR, MESH_RBAC_NOT };
	uint32_t kind = rng_below(&rng, 6);
	struct mesh_rbac_rule v[3];
	uint32_t n;

	if (kind >= ARRAY_LEN(kinds) || !depth)
		return random_leaf();
	n = kinds[kind] == MESH_RBAC_NOT ? 1 : rng_below(&rng, 4);
	for (uint32_t i = 0; i < n; i++)
		v[i] = random_rule(depth - 1);
	return group(kinds[kind], v, n);
}

static const struct mesh_rbac *random_rbac(void)
{
	return rbac_of(rng_below(&rng, 2), random_rule(3), random_rule(3));
}

static struct mesh_chain random_chain(void)
{
	struct mesh_chain c = chain_of(rng_below(&rng, 4) ? random_rbac() : NULL,
				       rng_below(&rng, 3) ? NULL : random_rbac());
	struct mesh_chain_match *m = &c.match;

	m->destination_port = rng_below(&rng, 3) ? 0 : rng_below(&rng, 2) ? 80 : 443;
	if (!rng_below(&rng, 4)) {
		m->sources = net(nets[rng_below(&rng, ARRAY_LEN(nets))]);
		m->n_sources = 1;
	}
	if (!rng_below(&rng, 6)) {
		m->direct_sources = net(nets[rng_below(&rng, ARRAY_LEN(nets))]);
		m->n_direct_sources = 1;
	}
	if (is_plain)
		return c;
	c.socket.kind = rng_below(&rng, 2) ? MESH_SOCKET_RAW : MESH_SOCKET_TLS;
	if (rng_below(&rng, 2))
		m->transport = c.socket.kind == MESH_SOCKET_RAW ? SLICE("raw_buffer") :
								  SLICE("tls");
	if (!rng_below(&rng, 5)) {
		m->server_names = arena_new(&arena, struct slice);
		m->server_names[0] = SLICE("a.test");
		m->n_server_names = 1;
	}
	return c;
}

static struct mesh_listener random_listener(void)
{
	struct mesh_chain v[CHAINS];
	uint32_t n = is_plain ? 1 : 1 + rng_below(&rng, CHAINS);
	struct mesh_listener l;

	for (uint32_t i = 0; i < n; i++)
		v[i] = random_chain();
	l = listener_of(v, n);
	if (!is_plain && !rng_below(&rng, 4)) {
		struct mesh_chain *c = arena_new(&arena, struct mesh_chain);

		*c = random_chain();
		l.default_chain = c;
	}
	return l;
}

/* Does the engine take one of the connections that could come from there to that port? */
static bool engine_may_take(const struct mesh_listener *l, const char *source, uint16_t port)
{
	static const char *const to[] = { "10.9.0.1", "10.8.0.1" };
	struct mesh_chain_input in = { .remote = ip(source) };
	struct slice known = known_as(&in.remote);
	const struct mesh_chain *c;

	for (uint32_t i = 0; i < (is_plain ? 1 : 8); i++) {
		in.local = ip(to[i & 1]);
		in.local.port = port;
		in.transport = i & 2 ? SLICE("tls") : SLICE("raw_buffer");
		in.server_name = i & 2 && i & 4 ? SLICE("a.test") : SLICE_NONE;
		c = mesh_chain_find(l, &in);
		if (engine_takes(c, &in, known))
			return true;
		if (!c || known.len || c->socket.kind == MESH_SOCKET_RAW)
			continue;
		/* A certificate could name a stranger. */
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (engine_takes(c, &in, slice_str(names[k])))
				return true;
	}
	return false;
}

static void compare(const struct mesh_listener *l)
{
	struct datapath_authz *all, *one;
	size_t n = derive(l, 0, &all);

	for (size_t p = 0; p < ARRAY_LEN(ports); p++) {
		size_t m = derive(l, ports[p], &one);

		for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
			struct addr a = ip(sources[i]);
			bool refuses = kernel_refuses(all, n, &a, ports[p]);
			bool takes = engine_may_take(l, sources[i], ports[p]);

			if (refuses && takes)
				fail_msg("%s to %u: only the kernel refuses", sources[i], ports[p]);
			if (is_plain && !takes && !refuses && l->chains[0].n_filters > 1 &&
			    mesh_chain_find(l, &(struct mesh_chain_input){
						       .local = { .port = ports[p] },
						       .remote = a }))
				fail_msg("%s to %u: the kernel could refuse", sources[i], ports[p]);
			/* Whoever knows the port knows more. */
			assert_true(!refuses || kernel_refuses(one, m, &a, ports[p]));
			assert_false(takes && kernel_refuses(one, m, &a, ports[p]));
		}
		free(one);
	}
	free(all);
}

static void nothing_is_decided_otherwise(void **state)
{
	const struct authz_who pods[] = { { ip("10.1.2.3"), slice_str(names[0]), 0 },
					  { ip("fd00::1"), slice_str(names[1]), 1 } };
	/* sorted: IPv4 is mapped, ::ffff:.. */
	uint32_t refused = 0;

	(void)state;
	who = pods;
	n_who = 2;
	rng_init(&rng, 7);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct mesh_listener l;
		struct datapath_authz *v;

		is_plain = i % 2;
		l = random_listener();
		refused += derive(&l, 0, &v) > 0;
		free(v);
		compare(&l);
		arena_done(&arena);
		arena = (struct arena){ 0 };
	}
	n_who = 0;
	assert_true(refused > ROUNDS / 4);
}

static int arena_clear(void **state)
{
	(void)state;
	arena_done(&arena);
	arena = (struct arena){ 0 };
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(one_source_is_refused, arena_clear),
		cmocka_unit_test_teardown(prefixes_within_each_other, arena_clear),
		cmocka_unit_test_teardown(a_port_has_entries_only_where_it_differs, arena_clear),
		cmocka_unit_test_teardown(a_chain_of_a_port_is_alone_there, arena_clear),
		cmocka_unit_test_teardown(names_are_those_of_pods, arena_clear),
		cmocka_unit_test_teardown(what_nobody_can_know_is_left_to_the_engine, arena_clear),
		cmocka_unit_test_teardown(too_much_is_refused, arena_clear),
		cmocka_unit_test_teardown(nothing_is_decided_otherwise, arena_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
