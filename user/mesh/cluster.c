/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints: how to connect to them, copies. */
#include "mesh/cluster.h"

static bool pair_is_in(const struct mesh_pair *p, const struct mesh_endpoint_meta *m)
{
	for (uint32_t i = 0; m && i < m->n_match; i++)
		if (slice_is_equal(m->match[i].key, p->key))
			return slice_is_equal(m->match[i].value, p->value);
	return false;
}

const struct mesh_socket *mesh_cluster_socket(const struct mesh_cluster *c,
					      const struct mesh_endpoint *e)
{
	for (uint32_t i = 0; i < c->n_socket_matches; i++) {
		const struct mesh_socket_match *m = &c->socket_matches[i];
		uint32_t k = 0;

		while (k < m->n_match && pair_is_in(&m->match[k], e->meta))
			k++;
		if (k == m->n_match)
			return &m->socket;
	}
	return &c->socket;
}

static const struct mesh_endpoint_meta *meta_copy(struct arena *a,
						  const struct mesh_endpoint_meta *m)
{
	struct mesh_endpoint_meta *out;

	if (!m)
		return NULL;
	out = arena_new(a, struct mesh_endpoint_meta);
	*out = *m;
	out->workload = arena_slice(a, m->workload);
	out->region = arena_slice(a, m->region);
	out->zone = arena_slice(a, m->zone);
	out->sub_zone = arena_slice(a, m->sub_zone);
	out->values = metadata_copy(a, m->values);
	out->match = arena_array(a, struct mesh_pair, m->n_match);
	for (uint32_t i = 0; i < m->n_match; i++)
		out->match[i] = (struct mesh_pair){ arena_slice(a, m->match[i].key),
						    arena_slice(a, m->match[i].value) };
	return out;
}

struct mesh_endpoint mesh_endpoint_copy(struct arena *a, const struct mesh_endpoint *e)
{
	struct mesh_endpoint out = *e;

	out.dns_name = arena_slice(a, e->dns_name);
	out.hostname = arena_slice(a, e->hostname);
	out.meta = meta_copy(a, e->meta);
	return out;
}
