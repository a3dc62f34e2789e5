/* SPDX-License-Identifier: Apache-2.0 */
/* The filter chain of a connection: Envoy's order of criteria, most specific first, no way back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mesh/listener.h"

#define S(text) SLICE(text)

static struct mesh_prefix net(const char *text)
{
	struct mesh_prefix p;

	must(addr_parse_prefix(slice_str(text), &p.net, &p.bits) == 0);
	return p;
}

static struct addr at(const char *text)
{
	struct addr a;

	must(addr_parse(slice_str(text), &a) == 0);
	return a;
}

static const char *find(struct mesh_chain *v, uint32_t n, const struct mesh_chain *dflt,
			const char *local, const char *remote, const char *sni,
			const char *transport, const char *alpn)
{
	struct mesh_listener l = { .chains = v, .n_chains = n, .default_chain = dflt };
	struct slice protocols[] = { slice_str(alpn) };
	struct mesh_chain_input in = { .local = at(local),
				       .remote = at(remote),
				       .server_name = slice_str(sni),
				       .transport = slice_str(transport),
				       .protocols = protocols,
				       .n_protocols = *alpn != 0 };
	const struct mesh_chain *c = mesh_chain_find(&l, &in);

	return c ? c->name.ptr : "none";
}

#define FIND(v, ...) find(v, ARRAY_LEN(v), NULL, __VA_ARGS__)

static void ports_and_prefixes(void **state)
{
	struct mesh_prefix any = net("0.0.0.0/0"), ten = net("10.0.0.0/8"),
			   one = net("10.0.0.1/32"), six = net("fd00::/8");
	struct mesh_chain v[] = {
		{ S("all"), .match = { 0 } },
		{ S("port"), .match = { .destination_port = 80 } },
		{ S("ten"), .match = { .destinations = &ten, .n_destinations = 1 } },
		{ S("one"), .match = { .destinations = &one, .n_destinations = 1 } },
		{ S("any4"), .match = { .destinations = &any, .n_destinations = 1 } },
		{ S("six"), .match = { .destinations = &six, .n_destinations = 1 } },
		{ S("port+ten"),
		  .match = { .destination_port = 81, .destinations = &ten, .n_destinations = 1 } },
	};

	(void)state;
	assert_string_equal(FIND(v, "10.0.0.1:90", "1.1.1.1:1", "", "", ""), "one");
	assert_string_equal(FIND(v, "10.0.0.2:90", "1.1.1.1:1", "", "", ""), "ten");
	assert_string_equal(FIND(v, "11.0.0.2:90", "1.1.1.1:1", "", "", ""), "any4");
	assert_string_equal(FIND(v, "[fd00::1]:90", "[fd00::2]:1", "", "", ""), "six");
	assert_string_equal(FIND(v, "[2001::1]:90", "[fd00::2]:1", "", "", ""), "all");
	/* The port comes first: a chain for it wins over a longer prefix without it. */
	assert_string_equal(FIND(v, "10.0.0.1:80", "1.1.1.1:1", "", "", ""), "port");
	/* ... and once it has won there is no way back to the chains without a port. */
	assert_string_equal(FIND(v, "11.0.0.1:81", "1.1.1.1:1", "", "", ""), "none");
}

static void server_names(void **state)
{
	struct slice exact[] = { S("www.a.test"), S("x.test") }, wild[] = { S("*.a.test") },
		     longer[] = { S("*.b.a.test") };
	struct mesh_chain v[] = {
		{ S("exact"), .match = { .server_names = exact, .n_server_names = 2 } },
		{ S("wild"), .match = { .server_names = wild, .n_server_names = 1 } },
		{ S("longer"), .match = { .server_names = longer, .n_server_names = 1 } },
		{ S("rest"), .match = { 0 } },
	};

	(void)state;
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "www.a.test", "tls", ""), "exact");
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "WWW.a.test", "tls", ""), "exact");
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "c.a.test", "tls", ""), "wild");
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "c.b.a.test", "tls", ""), "longer");
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "a.test", "tls", ""), "rest");
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "", "", ""), "rest");
}

static void transport_and_protocols(void **state)
{
	struct slice h1[] = { S("http/1.1"), S("http/1.0") };
	struct mesh_chain v[] = {
		{ S("tls"), .match = { .transport = S("tls") } },
		{ S("raw-http"),
		  .match = { .transport = S("raw_buffer"), .protocols = h1, .n_protocols = 2 } },
		{ S("raw"), .match = { .transport = S("raw_buffer") } },
	};

	(void)state;
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "", "tls", ""), "tls");
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "", "", "http/1.1"), "raw-http");
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "", "raw_buffer", "h2c"), "raw");
	assert_string_equal(FIND(v, "1.1.1.1:1", "2.2.2.2:2", "", "", ""), "raw");
}

static void sources(void **state)
{
	struct mesh_prefix lan = net("192.168.0.0/16"), host = net("192.168.1.1/32");
	uint32_t ports[] = { 7, 8 };
	struct mesh_chain v[] = {
		{ S("same"), .match = { .source_kind = MESH_SOURCE_SAME_IP } },
		{ S("lan"), .match = { .sources = &lan, .n_sources = 1 } },
		{ S("host"), .match = { .sources = &host, .n_sources = 1 } },
		{ S("host+port"), .match = { .sources = &host,
					     .n_sources = 1,
					     .source_ports = ports,
					     .n_source_ports = 2 } },
		{ S("outside"), .match = { .source_kind = MESH_SOURCE_EXTERNAL,
					   .sources = &host,
					   .n_sources = 1,
					   .source_ports = ports,
					   .n_source_ports = 1 } },
	};

	(void)state;
	assert_string_equal(FIND(v, "10.0.0.1:1", "10.0.0.1:9", "", "", ""), "same");
	assert_string_equal(FIND(v, "10.0.0.1:1", "127.0.0.1:9", "", "", ""), "same");
	/* The kind of source is decided before its prefix: "outside" alone is left. */
	assert_string_equal(FIND(v, "10.0.0.1:1", "192.168.1.1:7", "", "", ""), "outside");
	assert_string_equal(FIND(v, "10.0.0.1:1", "192.168.1.1:8", "", "", ""), "none");
	v[4].match.source_kind = MESH_SOURCE_ANY;
	v[4].match.n_source_ports = 0;
	v[4].name = S("late");
	assert_string_equal(FIND(v, "10.0.0.1:1", "192.168.1.1:7", "", "", ""), "host+port");
	assert_string_equal(FIND(v, "10.0.0.1:1", "192.168.1.1:9", "", "", ""), "host");
	assert_string_equal(FIND(v, "10.0.0.1:1", "192.168.2.1:9", "", "", ""), "lan");
	assert_string_equal(FIND(v, "10.0.0.1:1", "9.9.9.9:9", "", "", ""), "none");
}

/* The direct source is decided before the kind of source. */
static void direct_source(void **state)
{
	struct mesh_prefix lan = net("192.168.0.0/16");
	struct mesh_chain v[] = {
		{ S("external"), .match = { .source_kind = MESH_SOURCE_EXTERNAL } },
		{ S("direct"), .match = { .direct_sources = &lan, .n_direct_sources = 1 } },
	};

	(void)state;
	assert_string_equal(FIND(v, "10.0.0.1:1", "192.168.1.1:7", "", "", ""), "direct");
	assert_string_equal(FIND(v, "10.0.0.1:1", "9.9.9.9:7", "", "", ""), "external");
}

static void default_chain(void **state)
{
	struct mesh_chain v[] = { { S("a"), .match = { .destination_port = 80 } } },
			  dflt = { S("default"), .match = { 0 } };

	(void)state;
	assert_string_equal(find(v, 1, &dflt, "1.1.1.1:80", "2.2.2.2:2", "", "", ""), "a");
	assert_string_equal(find(v, 1, &dflt, "1.1.1.1:81", "2.2.2.2:2", "", "", ""), "default");
	assert_string_equal(find(v, 0, &dflt, "1.1.1.1:81", "2.2.2.2:2", "", "", ""), "default");
	assert_string_equal(find(v, 1, NULL, "1.1.1.1:81", "2.2.2.2:2", "", "", ""), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_and_prefixes),      cmocka_unit_test(server_names),
		cmocka_unit_test(transport_and_protocols), cmocka_unit_test(sources),
		cmocka_unit_test(direct_source),           cmocka_unit_test(default_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
