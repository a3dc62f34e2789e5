/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes of RPC protocols (dubbo_proxy): by interface, group, version, method and attachments.
 * Tables are tried in order; the first whose service and route match wins.
 */
#include "route/route.h"

/* "*", "*suffix", "prefix*" or the whole name; a wildcard stands for at least one character. */
static bool interface_is_match(struct slice pattern, struct slice name)
{
	if (slice_is_equal(pattern, SLICE("*")))
		return name.len > 0;
	if (pattern.len && pattern.ptr[0] == '*')
		return name.len > pattern.len - 1 && slice_has_suffix(name, slice_skip(pattern, 1));
	if (pattern.len && pattern.ptr[pattern.len - 1] == '*')
		return name.len > pattern.len - 1 &&
		       slice_has_prefix(name, slice_first(pattern, pattern.len - 1));
	return slice_is_equal(pattern, name);
}

static bool table_is_match(const struct mesh_rpc_table *t, const struct l7_msg *m)
{
	return interface_is_match(t->interface, m->host) &&
	       (!t->group.len || slice_is_equal(t->group, m->group)) &&
	       (!t->version.len || slice_is_equal(t->version, m->version));
}

/* Attachment names keep their case on the wire; matchers have them in lower case. */
static bool attachment_is_match(const struct mesh_header_match *h, const struct l7_msg *m,
				struct arena *a)
{
	struct l7_msg one = {
		.kind = m->kind, .host = m->host, .method = m->method, .path = m->path
	};

	l7_props_init(&one.props, a);
	l7_props_each(&m->props, i)
		if (slice_is_equal_nocase(m->props.v[i].name, h->name))
			l7_props_add(&one.props, L7_KEY_NONE, h->name, m->props.v[i].value);
	return route_headers_are_match(h, 1, &one, a);
}

static bool route_is_match(const struct mesh_rpc_route *r, const struct l7_msg *m, struct arena *a)
{
	if (r->has_method && !mesh_string_is_match(&r->method, m->method))
		return false;
	for (uint32_t i = 0; i < r->n_headers; i++)
		if (!attachment_is_match(&r->headers[i], m, a))
			return false;
	return true;
}

static void choose(struct route_rpc_decision *d, const struct l7_msg *m, struct arena *a,
		   struct rng *rng)
{
	const struct mesh_rpc_route *r = d->route;

	d->cluster = r->cluster;
	if (!r->n_weighted || !r->total_weight)
		return;
	d->weighted =
		&r->weighted[route_weighted_pick(r->weighted, r->n_weighted, r->total_weight, rng)];
	d->cluster = d->weighted->name;
	if (!d->cluster.len && d->weighted->header.len &&
	    !l7_msg_value(m, d->weighted->header, a, &d->cluster))
		d->cluster = SLICE_NONE;
}

void route_rpc_match(const struct mesh_rpc_table *tables, uint32_t n, const struct l7_msg *m,
		     struct arena *a, struct rng *rng, struct route_rpc_decision *ret_d)
{
	struct route_rpc_decision d = { 0 };

	for (uint32_t i = 0; i < n && !d.route; i++) {
		if (!table_is_match(&tables[i], m))
			continue;
		for (uint32_t k = 0; k < tables[i].n_routes && !d.route; k++)
			if (route_is_match(&tables[i].routes[k], m, a)) {
				d.table = &tables[i];
				d.route = &tables[i].routes[k];
			}
	}
	if (d.route)
		choose(&d, m, a, rng);
	*ret_d = d;
}
