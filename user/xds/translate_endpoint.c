/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints: those within a cluster, and those that are a resource of their own (EDS). */
#include "xds/translate.h"

#define PRIORITY_MAX 128

static bool is_empty(const struct mesh_endpoint_meta *m)
{
	return !m->n_match && !m->workload.len && !m->region.len && !m->zone.len &&
	       !m->sub_zone.len && !m->locality_weight && !m->values;
}

/* What the endpoint's metadata leaves open is taken from its locality's, as in Envoy. */
static int meta(struct translate *t, const PB_ENDPOINT(LocalityLbEndpoints) * g,
		const PB_ENDPOINT(LbEndpoint) * m, const struct mesh_endpoint_meta **ret_m)
{
	struct mesh_endpoint_meta out = { 0 };
	const Google__Protobuf__Struct *s =
		tr_metadata(m->metadata, "envoy.transport_socket_match");
	struct mesh_endpoint_meta *kept;

	if (!s)
		s = tr_metadata(g->metadata, "envoy.transport_socket_match");
	tr_pairs(t, s, false, &out.match, &out.n_match);
	out.workload = tr_value_text(t, tr_value(tr_metadata(m->metadata, "istio"), "workload"));
	if (g->locality) {
		out.region = tr_str(t, g->locality->region);
		out.zone = tr_str(t, g->locality->zone);
		out.sub_zone = tr_str(t, g->locality->sub_zone);
	}
	out.locality_weight = tr_u32(g->load_balancing_weight, 0);
	/* As for clusters: a control plane sends some with each of thousands. */
	if (m->metadata && !t->is_xds)
		TR_IN(t, "metadata", tr_metadata_values(t, m->metadata, &out.values));
	if (is_empty(&out))
		return 0;
	kept = arena_new(t->a, struct mesh_endpoint_meta);
	*kept = out;
	*ret_m = kept;
	return 0;
}

static int endpoint_address(struct translate *t, const PB_ENDPOINT(Endpoint) * m,
			    enum mesh_cluster_kind kind, struct mesh_endpoint *e)
{
	const PB_CORE(SocketAddress) *sa = NULL;
	int rc = tr_socket_address(t, m->address, &sa);

	if (rc < 0)
		return rc;
	e->hostname = tr_str(t, m->hostname);
	if (addr_parse_ip(slice_str(sa->address), &e->addr) < 0) {
		if (kind == MESH_CLUSTER_STATIC || kind == MESH_CLUSTER_EDS)
			return tr_fail(t,
				       "address.socket_address.address: \"%s\" is not an IP "
				       "address; names need type STRICT_DNS or LOGICAL_DNS",
				       sa->address);
	}
	if (kind == MESH_CLUSTER_STRICT_DNS || kind == MESH_CLUSTER_LOGICAL_DNS) {
		e->dns_name = tr_str(t, sa->address);
		if (!e->hostname.len)
			e->hostname = e->dns_name;
	}
	e->addr.port = (uint16_t)sa->port_value;
	return 0;
}

static int endpoint(struct translate *t, const PB_ENDPOINT(LbEndpoint) * m,
		    const PB_ENDPOINT(LocalityLbEndpoints) * g, enum mesh_cluster_kind kind,
		    struct mesh_endpoint *e)
{
	int health;

	if (m->host_identifier_case != K_ENDPOINT(LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT))
		return tr_fail(t, "endpoint is required");
	TR_IN(t, "endpoint", endpoint_address(t, m->endpoint, kind, e));
	e->priority = g->priority;
	e->weight = tr_u32(m->load_balancing_weight, 1);
	if (!e->weight)
		return tr_fail(t, "load_balancing_weight must be at least 1");
	health = (int)m->health_status;
	if (health >= MESH_HEALTH_UNKNOWN && health <= MESH_HEALTH_DEGRADED)
		e->health = (enum mesh_health)health; /* the same numbers */
	return meta(t, g, m, &e->meta);
}

static int group(struct translate *t, const PB_ENDPOINT(LocalityLbEndpoints) * g,
		 enum mesh_cluster_kind kind, struct mesh_endpoints *out)
{
	if (g->priority > PRIORITY_MAX)
		return tr_fail(t, "priority %u is over %d", g->priority, PRIORITY_MAX);
	for (size_t i = 0; i < g->n_lb_endpoints; i++) {
		TR_IN_AT(t, "lb_endpoints", i,
			 endpoint(t, g->lb_endpoints[i], g, kind, &out->v[out->n]));
		out->n++;
	}
	return 0;
}

static void policy(struct translate *t, const PB_ENDPOINT(ClusterLoadAssignment) * m)
{
	if (!m->policy)
		return;
	tr_no_effect(t, &m->policy->base, "drop_overloads", m->policy->n_drop_overloads);
	tr_no_effect(t, &m->policy->base, "overprovisioning_factor",
		     m->policy->overprovisioning_factor != NULL);
}

int tr_endpoints(struct translate *t, const PB_ENDPOINT(ClusterLoadAssignment) * m,
		 enum mesh_cluster_kind kind, struct mesh_endpoints *ret_e)
{
	size_t n = 0;
	int rc = tr_nonempty(t, "cluster_name", m->cluster_name);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < m->n_endpoints; i++)
		n += m->endpoints[i]->n_lb_endpoints;
	*ret_e = (struct mesh_endpoints){ TR_ARRAY(t, struct mesh_endpoint, n), 0 };
	for (size_t i = 0; i < m->n_endpoints; i++)
		TR_IN_AT(t, "endpoints", i, group(t, m->endpoints[i], kind, ret_e));
	policy(t, m);
	return 0;
}
