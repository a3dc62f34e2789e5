/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, filter chain matches and listener filters. */
#include <xxhash.h>

#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb-c.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb-c.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb-c.h"
#include "xds/translate.h"

#define SNIFF_TIMEOUT_MS 100      /* when listener_filters_timeout is not said */
#define CONNECTION_BUFFER 1048576 /* per_connection_buffer_limit_bytes by default */
#define K_SOURCE(x) K_LISTENER(FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__##x)

static int server_names(struct translate *t, const PB_LISTENER(FilterChainMatch) * m,
			struct mesh_chain_match *c)
{
	c->server_names = tr_strs(t, m->server_names, m->n_server_names, true);
	c->n_server_names = (uint32_t)m->n_server_names;
	for (uint32_t i = 0; i < c->n_server_names; i++) {
		ptrdiff_t star = slice_find(c->server_names[i], '*');

		if (star < 0)
			continue; /* an empty name means any, as in Envoy */
		if (star > 0 || c->server_names[i].len < 2 || c->server_names[i].ptr[1] != '.')
			return tr_fail(t,
				       "server_names[%u] \"%s\": a wildcard must be \"*.\" at the "
				       "beginning",
				       i, m->server_names[i]);
	}
	return 0;
}

static int chain_match(struct translate *t, const PB_LISTENER(FilterChainMatch) * m,
		       struct mesh_chain_match *c)
{
	int rc;

	c->destination_port = tr_u32(m->destination_port, 0);
	if (m->destination_port && (!c->destination_port || c->destination_port > 65535))
		return tr_fail(t, "destination_port %u is not between 1 and 65535",
			       c->destination_port);
	c->source_kind = m->source_type == K_SOURCE(SAME_IP_OR_LOOPBACK) ? MESH_SOURCE_SAME_IP :
			 m->source_type == K_SOURCE(EXTERNAL)            ? MESH_SOURCE_EXTERNAL :
									   MESH_SOURCE_ANY;
	c->source_ports = TR_ARRAY(t, uint32_t, m->n_source_ports);
	c->n_source_ports = (uint32_t)m->n_source_ports;
	for (size_t i = 0; i < m->n_source_ports; i++) {
		if (!m->source_ports[i] || m->source_ports[i] > 65535)
			return tr_fail(t, "source_ports[%zu] is not between 1 and 65535", i);
		c->source_ports[i] = m->source_ports[i];
	}
	c->transport = tr_str(t, m->transport_protocol);
	c->protocols = tr_strs(t, m->application_protocols, m->n_application_protocols, false);
	c->n_protocols = (uint32_t)m->n_application_protocols;
	rc = server_names(t, m, c);
	if (rc == 0)
		rc = tr_cidrs(t, "prefix_ranges", m->prefix_ranges, m->n_prefix_ranges,
			      &c->destinations, &c->n_destinations);
	if (rc == 0)
		rc = tr_cidrs(t, "source_prefix_ranges", m->source_prefix_ranges,
			      m->n_source_prefix_ranges, &c->sources, &c->n_sources);
	if (rc == 0)
		rc = tr_cidrs(t, "direct_source_prefix_ranges", m->direct_source_prefix_ranges,
			      m->n_direct_source_prefix_ranges, &c->direct_sources,
			      &c->n_direct_sources);
	return rc;
}

/*
 * A chain that asks for TLS matches as it says, but its connections are closed: were it left out, a
 * chain behind it could serve them unsecured.
 */
static int chain_socket(struct translate *t, const PB_LISTENER(FilterChain) * m,
			struct mesh_chain *c)
{
	if (!m->transport_socket)
		return 0;
	if (!t->is_xds)
		return tr_files_refuse(t, &m->base, "transport_socket");
	TR_IN(t, "transport_socket", tr_socket(t, m->transport_socket, true, &c->socket));
	if (c->socket.kind == MESH_SOCKET_TLS)
		tr_warn(t, "transport_socket",
			"TLS from clients is not there yet: connections of this chain are closed");
	return 0;
}

static int chain(struct translate *t, const PB_LISTENER(FilterChain) * m, struct mesh_chain *c)
{
	int rc = chain_socket(t, m, c);

	if (rc < 0)
		return rc;
	c->name = tr_str(t, m->name);
	if (m->filter_chain_match)
		TR_IN(t, "filter_chain_match", chain_match(t, m->filter_chain_match, &c->match));
	return tr_net_filters(t, m->filters, m->n_filters, c);
}

/* ---- no connection may fit two chains equally ---- */

/* Do both lists name the same element, or both none? */
static bool slices_meet(const struct slice *a, uint32_t na, const struct slice *b, uint32_t nb)
{
	for (uint32_t i = 0; i < na; i++)
		for (uint32_t k = 0; k < nb; k++)
			if (slice_is_equal(a[i], b[k]))
				return true;
	return !na && !nb;
}

static bool prefixes_meet(const struct mesh_prefix *a, uint32_t na, const struct mesh_prefix *b,
			  uint32_t nb)
{
	for (uint32_t i = 0; i < na; i++)
		for (uint32_t k = 0; k < nb; k++)
			if (a[i].bits == b[k].bits && addr_is_in(&a[i].net, &b[k].net, b[k].bits))
				return true;
	return !na && !nb;
}

static bool ports_meet(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb)
{
	for (uint32_t i = 0; i < na; i++)
		for (uint32_t k = 0; k < nb; k++)
			if (a[i] == b[k])
				return true;
	return !na && !nb;
}

static bool matches_meet(const struct mesh_chain_match *a, const struct mesh_chain_match *b)
{
	return a->destination_port == b->destination_port && a->source_kind == b->source_kind &&
	       slice_is_equal(a->transport, b->transport) &&
	       prefixes_meet(a->destinations, a->n_destinations, b->destinations,
			     b->n_destinations) &&
	       prefixes_meet(a->sources, a->n_sources, b->sources, b->n_sources) &&
	       prefixes_meet(a->direct_sources, a->n_direct_sources, b->direct_sources,
			     b->n_direct_sources) &&
	       slices_meet(a->server_names, a->n_server_names, b->server_names,
			   b->n_server_names) &&
	       slices_meet(a->protocols, a->n_protocols, b->protocols, b->n_protocols) &&
	       ports_meet(a->source_ports, a->n_source_ports, b->source_ports, b->n_source_ports);
}

static int matches_unique(struct translate *t, const struct mesh_listener *l)
{
	for (uint32_t i = 0; i < l->n_chains; i++)
		for (uint32_t k = 0; k < i; k++)
			if (matches_meet(&l->chains[i].match, &l->chains[k].match))
				return tr_fail(t,
					       "filter_chains[%u] \"%.*s\" has the same "
					       "filter_chain_match as filter_chains[%u] \"%.*s\", "
					       "or meets it",
					       i, SLICE_ARG(l->chains[i].name), k,
					       SLICE_ARG(l->chains[k].name));
	return 0;
}

static int chains(struct translate *t, const PB_LISTENER(Listener) * m, struct mesh_listener *l)
{
	struct mesh_chain *dflt;

	if (!m->n_filter_chains && !m->default_filter_chain)
		return tr_fail(t, "filter_chains may not be empty");
	l->chains = TR_ARRAY(t, struct mesh_chain, m->n_filter_chains);
	l->n_chains = (uint32_t)m->n_filter_chains;
	for (size_t i = 0; i < m->n_filter_chains; i++)
		TR_IN_AT(t, "filter_chains", i, chain(t, m->filter_chains[i], &l->chains[i]));
	if (m->default_filter_chain) {
		dflt = arena_new(t->a, struct mesh_chain);
		TR_IN(t, "default_filter_chain", chain(t, m->default_filter_chain, dflt));
		l->default_chain = dflt;
	}
	return matches_unique(t, l);
}

/* ---- inspectors ------------------------------------------------------------------------------ */

#define PREDICATE PB_LISTENER(ListenerFilterChainMatchPredicate)
#define K_RULE(x) K_LISTENER(LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_##x)

static int port_rule(struct translate *t, const PREDICATE *m, struct mesh_port_rule *r);

static int port_rules(struct translate *t, PREDICATE **v, size_t n, enum mesh_port_rule_kind kind,
		      struct mesh_port_rule *r)
{
	r->kind = kind;
	r->parts = TR_ARRAY(t, struct mesh_port_rule, n);
	r->n_parts = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, "rules", i, port_rule(t, v[i], &r->parts[i]));
	return 0;
}

static int port_rule(struct translate *t, const PREDICATE *m, struct mesh_port_rule *r)
{
	PREDICATE *inner;

	switch (m->rule_case) {
	case K_RULE(ANY_MATCH): r->kind = MESH_PORT_ANY; return 0;
	case K_RULE(DESTINATION_PORT_RANGE):
		r->kind = MESH_PORT_RANGE;
		if (m->destination_port_range->start < 0 || m->destination_port_range->end < 0)
			return tr_fail(t, "destination_port_range may not be negative");
		r->start = (uint32_t)m->destination_port_range->start;
		r->end = (uint32_t)m->destination_port_range->end;
		return 0;
	case K_RULE(OR_MATCH):
		return port_rules(t, m->or_match->rules, m->or_match->n_rules, MESH_PORT_OR, r);
	case K_RULE(AND_MATCH):
		return port_rules(t, m->and_match->rules, m->and_match->n_rules, MESH_PORT_AND, r);
	case K_RULE(NOT_MATCH):
		inner = m->not_match;
		return port_rules(t, &inner, 1, MESH_PORT_NOT, r);
	default: return tr_fail(t, "this kind of predicate is not supported yet by this version");
	}
}

/* Ports on which the filter is switched off. */
static int disabled(struct translate *t, const PB_LISTENER(ListenerFilter) * m,
		    const struct mesh_port_rule **ret_r)
{
	struct mesh_port_rule *r;

	if (!m->filter_disabled)
		return 0;
	if (!t->is_xds)
		return tr_files_refuse(t, &m->base, "filter_disabled");
	r = arena_new(t->a, struct mesh_port_rule);
	TR_IN(t, "filter_disabled", port_rule(t, m->filter_disabled, r));
	*ret_r = r;
	return 0;
}

static int listener_filter(struct translate *t, const PB_LISTENER(ListenerFilter) * m,
			   struct mesh_listener *l)
{
	ProtobufCMessage *c = NULL;
	int rc;

	if (m->config_type_case != K_LISTENER(LISTENER_FILTER__CONFIG_TYPE_TYPED_CONFIG))
		return tr_fail(t, "typed_config is required for listener filter \"%s\"", m->name);
	rc = tr_any(t, m->typed_config, &c);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (rc == 0 &&
	    c->descriptor == D_EXT(filters__listener__http_inspector__v3__http_inspector)) {
		l->sniff = l->sniff_http = true;
		return disabled(t, m, &l->http_off);
	}
	if (rc == 0 &&
	    c->descriptor == D_EXT(filters__listener__tls_inspector__v3__tls_inspector)) {
		l->sniff = l->sniff_tls = true;
		return disabled(t, m, &l->tls_off);
	}
	/*
	 * Captured connections know their original destination without a filter: the listener is
	 * for all that no other one names.
	 */
	if (rc == 0 && c->descriptor == D_EXT(filters__listener__original_dst__v3__original_dst)) {
		l->use_original_dst = true;
		return 0;
	}
	return tr_fail(t,
		       "listener filter \"%s\" of type \"%s\" is not supported yet by this version",
		       m->name, protojson_any_type(&t->pj, &m->typed_config->base));
}

static int one_address(struct translate *t, const PB_CORE(Address) * m, struct addr *ret_a)
{
	const PB_CORE(SocketAddress) *sa = NULL;
	int rc = tr_socket_address(t, m, &sa);

	if (rc < 0)
		return rc;
	if (addr_parse_ip(slice_str(sa->address), ret_a) < 0)
		return tr_fail(t, "address.socket_address.address: \"%s\" is not an IP address",
			       sa->address);
	ret_a->port = (uint16_t)sa->port_value;
	return 0;
}

static int listener_address(struct translate *t, const PB_LISTENER(Listener) * m,
			    struct mesh_listener *l)
{
	int rc = one_address(t, m->address, &l->addr);

	if (m->n_additional_addresses > MESH_LISTENER_ADDRS_MAX)
		return tr_fail(t, "additional_addresses: more than %d", MESH_LISTENER_ADDRS_MAX);
	l->more = arena_array(t->a, struct addr, m->n_additional_addresses);
	for (size_t i = 0; rc == 0 && i < m->n_additional_addresses; i++)
		TR_IN_AT(t, "additional_addresses", i,
			 one_address(t, m->additional_addresses[i]->address,
				     &l->more[l->n_more++]));
	return rc;
}

static int sniff_timeout(struct translate *t, const PB_LISTENER(Listener) * m,
			 struct mesh_listener *l)
{
	l->continue_on_timeout = m->continue_on_listener_filters_timeout;
	return tr_ms(t, "listener_filters_timeout", m->listener_filters_timeout, SNIFF_TIMEOUT_MS,
		     &l->sniff_timeout_ms);
}

int tr_listener(struct translate *t, const PB_LISTENER(Listener) * m, struct mesh_listener *l)
{
	struct slice packed = protojson_pack(&m->base, t->pj.arena);
	char text[ADDR_TEXT_MAX];
	int rc;

	*l = (struct mesh_listener){ .name = tr_str(t, m->name),
				     .stat_prefix = tr_str(t, m->stat_prefix) };
	rc = listener_address(t, m, l);
	if (rc < 0)
		return rc;
	if (slice_is_empty(l->name))
		l->name = arena_slice(t->a, slice_of(text, addr_format(&l->addr, text)));
	l->bind_to_port =
		tr_bool(m->bind_to_port,
			!m->deprecated_v1 || tr_bool(m->deprecated_v1->bind_to_port, true));
	/* A file's listener of a pod stands for a captured port: it must not take the port away. */
	l->bind_in_pod = l->bind_to_port && (t->is_xds || m->bind_to_port);
	l->use_original_dst = tr_bool(m->use_original_dst, false);
	l->direction =
		m->traffic_direction == K_CORE(TRAFFIC_DIRECTION__INBOUND)  ? MESH_INBOUND :
		m->traffic_direction == K_CORE(TRAFFIC_DIRECTION__OUTBOUND) ? MESH_OUTBOUND :
									      MESH_UNSPECIFIED;
	l->per_connection_buffer = tr_u32(m->per_connection_buffer_limit_bytes, CONNECTION_BUFFER);
	t->hash_seed = 0;
	rc = sniff_timeout(t, m, l);
	for (size_t i = 0; rc == 0 && i < m->n_listener_filters; i++)
		TR_IN_AT(t, "listener_filters", i, listener_filter(t, m->listener_filters[i], l));
	if (rc == 0)
		rc = tr_access_logs(t, "access_log", m->access_log, m->n_access_log, &l->logs,
				    &l->n_logs);
	/* As for clusters. */
	if (rc == 0 && m->metadata && !t->is_xds)
		TR_IN(t, "metadata", tr_metadata_values(t, m->metadata, &l->metadata));
	if (rc == 0)
		rc = chains(t, m, l);
	l->hash = XXH64(packed.ptr, packed.len, t->hash_seed);
	return rc;
}
