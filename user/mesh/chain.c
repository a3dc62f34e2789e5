/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter chain of a connection: candidates are narrowed criterion by criterion, in Envoy's
 * order; at each, those that name the most specific fitting value win over those that name none.
 * A later criterion never brings back a chain that an earlier one dropped.
 */
#include "mesh/listener.h"

#define CHAINS_MAX 4096 /* of one listener that are looked at */

/* How well a chain fits one criterion: -1 not at all, 0 names nothing, higher is more specific. */
typedef int (*fit_fn)(const struct mesh_chain_match *m, const struct mesh_chain_input *in);

/* The longest prefix that @a is in, + 1; 0 for an empty list; -1: none. */
static int prefix_fit(const struct mesh_prefix *v, uint32_t n, const struct addr *a)
{
	int best = n ? -1 : 0;

	for (uint32_t i = 0; i < n; i++)
		if (addr_is_in(a, &v[i].net, v[i].bits) && (int)v[i].bits + 1 > best)
			best = (int)v[i].bits + 1;
	return best;
}

static int port_fit(const struct mesh_chain_match *m, const struct mesh_chain_input *in)
{
	if (!m->destination_port)
		return 0;
	return m->destination_port == in->local.port ? 1 : -1;
}

static int destination_fit(const struct mesh_chain_match *m, const struct mesh_chain_input *in)
{
	return prefix_fit(m->destinations, m->n_destinations, &in->local);
}

/* Exact names are above all wildcards, longer wildcards above shorter ones. */
static int name_fit(struct slice pattern, struct slice name)
{
	if (slice_is_empty(pattern))
		return 0;
	if (pattern.len > 1 && pattern.ptr[0] == '*') {
		struct slice suffix = slice_skip(pattern, 1);

		if (name.len <= suffix.len ||
		    !slice_is_equal_nocase(slice_skip(name, name.len - suffix.len), suffix))
			return -1;
		return (int)suffix.len;
	}
	return slice_is_equal_nocase(pattern, name) ? 1 << 20 : -1;
}

static int server_name_fit(const struct mesh_chain_match *m, const struct mesh_chain_input *in)
{
	int best = m->n_server_names ? -1 : 0;

	for (uint32_t i = 0; i < m->n_server_names; i++) {
		int fit = name_fit(m->server_names[i], in->server_name);

		if (fit > best)
			best = fit;
	}
	return best;
}

static int transport_fit(const struct mesh_chain_match *m, const struct mesh_chain_input *in)
{
	struct slice transport = slice_is_empty(in->transport) ? SLICE("raw_buffer") :
								 in->transport;

	if (slice_is_empty(m->transport))
		return 0;
	return slice_is_equal(m->transport, transport) ? 1 : -1;
}

/* The connection's protocols are in order of preference. */
static int protocol_fit(const struct mesh_chain_match *m, const struct mesh_chain_input *in)
{
	if (!m->n_protocols)
		return 0;
	for (uint32_t k = 0; k < in->n_protocols; k++)
		for (uint32_t i = 0; i < m->n_protocols; i++)
			if (slice_is_equal(m->protocols[i], in->protocols[k]))
				return (int)(in->n_protocols - k);
	return -1;
}

static int direct_source_fit(const struct mesh_chain_match *m, const struct mesh_chain_input *in)
{
	return prefix_fit(m->direct_sources, m->n_direct_sources, &in->remote);
}

static int source_kind_fit(const struct mesh_chain_match *m, const struct mesh_chain_input *in)
{
	bool is_same = addr_ip_is_equal(&in->local, &in->remote) || addr_is_loopback(&in->remote);

	switch (m->source_kind) {
	case MESH_SOURCE_ANY: return 0;
	case MESH_SOURCE_SAME_IP: return is_same ? 1 : -1;
	case MESH_SOURCE_EXTERNAL: return is_same ? -1 : 1;
	}
	return -1;
}

static int source_fit(const struct mesh_chain_match *m, const struct mesh_chain_input *in)
{
	return prefix_fit(m->sources, m->n_sources, &in->remote);
}

static int source_port_fit(const struct mesh_chain_match *m, const struct mesh_chain_input *in)
{
	for (uint32_t i = 0; i < m->n_source_ports; i++)
		if (m->source_ports[i] == in->remote.port)
			return 1;
	return m->n_source_ports ? -1 : 0;
}

static const fit_fn criteria[] = { port_fit,        destination_fit, server_name_fit,
				   transport_fit,   protocol_fit,    direct_source_fit,
				   source_kind_fit, source_fit,      source_port_fit };

/* Keeps the best fitting of the @n chains in @left; returns how many. */
static uint32_t narrow(const struct mesh_chain **left, uint32_t n, fit_fn fit,
		       const struct mesh_chain_input *in)
{
	uint32_t kept = 0;
	int best = -1;

	for (uint32_t i = 0; i < n; i++) {
		int f = fit(&left[i]->match, in);

		if (f > best) {
			best = f;
			kept = 0;
		}
		if (f >= 0 && f == best)
			left[kept++] = left[i];
	}
	return kept;
}

const struct mesh_chain *mesh_chain_find(const struct mesh_listener *l,
					 const struct mesh_chain_input *in)
{
	const struct mesh_chain *left[CHAINS_MAX];
	uint32_t n = 0;

	for (; n < l->n_chains && n < CHAINS_MAX; n++)
		left[n] = &l->chains[n];
	for (size_t c = 0; n && c < ARRAY_LEN(criteria); c++)
		n = narrow(left, n, criteria[c], in);
	return n ? left[0] : l->default_chain;
}

/* ---- inspectors ------------------------------------------------------------------------------ */

static bool port_parts_match(const struct mesh_port_rule *r, uint32_t port, bool all)
{
	for (uint32_t i = 0; i < r->n_parts; i++)
		if (mesh_port_rule_is_match(&r->parts[i], port) != all)
			return !all;
	return all;
}

bool mesh_port_rule_is_match(const struct mesh_port_rule *r, uint32_t port)
{
	switch (r->kind) {
	case MESH_PORT_ANY: return true;
	case MESH_PORT_RANGE: return port >= r->start && port < r->end;
	case MESH_PORT_AND: return port_parts_match(r, port, true);
	case MESH_PORT_OR: return port_parts_match(r, port, false);
	case MESH_PORT_NOT: return !port_parts_match(r, port, true);
	}
	return false;
}

bool mesh_listener_sniffs_http(const struct mesh_listener *l, uint32_t port)
{
	return l->sniff_http && !(l->http_off && mesh_port_rule_is_match(l->http_off, port));
}

bool mesh_listener_sniffs_tls(const struct mesh_listener *l, uint32_t port)
{
	return l->sniff_tls && !(l->tls_off && mesh_port_rule_is_match(l->tls_off, port));
}
