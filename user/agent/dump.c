/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /config_dump in Envoy's shape, one pod after the other: what a control plane sent by
 * xds/ads_dump.c, what files say as it was read; for both the endpoints that are in force.
 */
#include "agent/agent_impl.h"
#include "base/json.h"
#include "xds/ads_dump.h"
#include "xds/grpc.h"
#include "xds/store.h"

#define ADMIN_TYPE "type.googleapis.com/envoy.admin.v3."

/* Endpoints of one locality and priority come together. */
struct group {
	struct slice region, zone, sub_zone;
	uint32_t priority, weight;
};

static json_t *add_config(json_t *configs, const char *type, json_t *extra)
{
	json_t *o = json_object();
	char *full = xasprintf(ADMIN_TYPE "%s", type);

	json_object_set_new(o, "@type", json_string(full));
	if (extra)
		json_object_update(o, extra);
	json_array_append_new(configs, o);
	free(full);
	return o;
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static const char *health_name(enum mesh_health h)
{
	switch (h) {
	case MESH_HEALTH_UNKNOWN:
	case MESH_HEALTH_HEALTHY: return "HEALTHY";
	case MESH_HEALTH_DEGRADED: return "DEGRADED";
	case MESH_HEALTH_UNHEALTHY:
	case MESH_HEALTH_DRAINING:
	case MESH_HEALTH_TIMEOUT: break;
	}
	return "UNHEALTHY";
}

/* What of the endpoint's metadata has a meaning here; NULL: none. */
static json_t *metadata_json(const struct mesh_endpoint_meta *m)
{
	json_t *o = json_object(), *match = json_object();

	for (uint32_t i = 0; m && i < m->n_match; i++) {
		char *key = slice_dup(m->match[i].key);

		json_object_set_new(match, key, slice_json(m->match[i].value));
		free(key);
	}
	if (json_object_size(match))
		json_object_set(o, "envoy.transport_socket_match", match);
	json_decref(match);
	if (m && m->workload.len)
		json_object_set_new(o, "istio",
				    json_pack("{s:o}", "workload", slice_json(m->workload)));
	if (json_object_size(o))
		return json_pack("{s:o}", "filter_metadata", o);
	json_decref(o);
	return NULL;
}

static json_t *endpoint_json(const struct mesh_endpoint *e)
{
	char ip[ADDR_TEXT_MAX];
	json_t *o, *at, *metadata = metadata_json(e->meta);

	addr_format_ip(&e->addr, ip);
	at = json_pack("{s:{s:{s:s, s:i}}, s:{}}", "address", "socket_address", "address", ip,
		       "port_value", (int)e->addr.port, "health_check_config");
	if (e->hostname.len)
		json_object_set_new(at, "hostname", slice_json(e->hostname));
	o = json_pack("{s:o, s:s, s:i}", "endpoint", at, "health_status", health_name(e->health),
		      "load_balancing_weight", (int)(e->weight ? e->weight : 1));
	if (metadata)
		json_object_set_new(o, "metadata", metadata);
	return o;
}

static struct group group_of(const struct mesh_endpoint *e)
{
	struct group g = { .priority = e->priority };

	if (e->meta) {
		g.region = e->meta->region;
		g.zone = e->meta->zone;
		g.sub_zone = e->meta->sub_zone;
		g.weight = e->meta->locality_weight;
	}
	return g;
}

static bool is_in(const struct group *a, const struct mesh_endpoint *e)
{
	struct group b = group_of(e);

	return a->priority == b.priority && a->weight == b.weight &&
	       slice_is_equal(a->region, b.region) && slice_is_equal(a->zone, b.zone) &&
	       slice_is_equal(a->sub_zone, b.sub_zone);
}

static json_t *group_json(const struct group *g)
{
	json_t *where = json_object(), *o;

	if (g->region.len)
		json_object_set_new(where, "region", slice_json(g->region));
	if (g->zone.len)
		json_object_set_new(where, "zone", slice_json(g->zone));
	if (g->sub_zone.len)
		json_object_set_new(where, "sub_zone", slice_json(g->sub_zone));
	o = json_pack("{s:o, s:[]}", "locality", where, "lb_endpoints");
	if (g->weight)
		json_object_set_new(o, "load_balancing_weight", json_integer(g->weight));
	if (g->priority)
		json_object_set_new(o, "priority", json_integer(g->priority));
	return o;
}

/* A ClusterLoadAssignment of what the cluster has now. */
static json_t *assignment(const struct mesh_cluster *c, struct mesh_endpoints eps)
{
	json_t *list = json_array(), *last = NULL, *o;
	struct group g = { 0 };

	for (uint32_t i = 0; i < eps.n; i++) {
		if (!last || !is_in(&g, &eps.v[i])) {
			g = group_of(&eps.v[i]);
			last = group_json(&g);
			json_array_append_new(list, last);
		}
		json_array_append_new(json_object_get(last, "lb_endpoints"),
				      endpoint_json(&eps.v[i]));
	}
	o = json_pack("{s:s, s:o, s:{s:i}}", "@type", xds_type_url(MESH_PART_ENDPOINTS),
		      "cluster_name", slice_json(c->name), "policy", "overprovisioning_factor",
		      140);
	if (json_array_size(list))
		json_object_set(o, "endpoints", list);
	json_decref(list);
	return o;
}

static void dump_endpoints(json_t *configs, const struct mesh_view *v, const char *list,
			   json_t *extra)
{
	json_t *out = json_array();

	for (uint32_t i = 0; i < v->n_clusters; i++)
		json_array_append_new(out,
				      json_pack("{s:o}", "endpoint_config",
						assignment(mesh_view_cluster_at(v, i),
							   mesh_view_endpoints(v, i))));
	json_object_set_new(add_config(configs, "EndpointsConfigDump", extra), list, out);
}

/* ---- routes inside of listeners -------------------------------------------------------------- */

static json_t *typed(json_t *o, enum mesh_part_kind kind)
{
	json_t *out = json_pack("{s:s}", "@type", xds_type_url(kind));

	json_object_update(out, o);
	return out;
}

static void add_tables(json_t *out, json_t *chain)
{
	json_t *f;
	size_t i;

	json_array_foreach(json_object_get(chain, "filters"), i, f) {
		json_t *table = json_object_get(json_object_get(f, "typed_config"), "route_config");

		/* Those of other protocols are lists. */
		if (json_is_object(table))
			json_array_append_new(out, json_pack("{s:o}", "route_config",
							     typed(table, MESH_PART_ROUTES)));
	}
}

static void add_listener_tables(json_t *out, json_t *listener)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(listener, "filter_chains"), i, c)
		add_tables(out, c);
	add_tables(out, json_object_get(listener, "default_filter_chain"));
}

/* ---- pods ------------------------------------------------------------------------------------ */

/* One resource list of a view's own JSON, each wrapped as Envoy does. */
static json_t *wrap(json_t *view, const char *key, const char *inner, enum mesh_part_kind kind)
{
	json_t *out = json_array();
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(view, key), i, v)
		json_array_append_new(out, json_pack("{s:o}", inner, typed(v, kind)));
	return out;
}

/* Configured by files. */
static void dump_files(json_t *configs, const struct mesh_view *v, json_t *extra)
{
	json_t *view = v->config_json.len ?
			       json_loadb(v->config_json.ptr, v->config_json.len, 0, NULL) :
			       NULL;
	json_t *tables = json_array(), *l, *boot = json_object();
	size_t i;

	json_array_foreach(json_object_get(view, "static_listeners"), i, l)
		add_listener_tables(tables, l);
	json_object_set_new(boot, "static_resources",
			    json_pack("{s:O?, s:O?}", "listeners",
				      json_object_get(view, "static_listeners"), "clusters",
				      json_object_get(view, "static_clusters")));
	json_object_set_new(add_config(configs, "BootstrapConfigDump", extra), "bootstrap", boot);
	json_object_set_new(add_config(configs, "ClustersConfigDump", extra), "static_clusters",
			    wrap(view, "static_clusters", "cluster", MESH_PART_CLUSTER));
	json_object_set_new(add_config(configs, "ListenersConfigDump", extra), "static_listeners",
			    wrap(view, "static_listeners", "listener", MESH_PART_LISTENER));
	add_config(configs, "ScopedRoutesConfigDump", extra);
	json_object_set_new(add_config(configs, "RoutesConfigDump", extra), "static_route_configs",
			    tables);
	add_config(configs, "SecretsConfigDump", extra);
	json_decref(view);
}

static bool is_type(const json_t *config, const char *type)
{
	const char *have = json_string_value(json_object_get(config, "@type"));

	return have && strcmp(have, type) == 0;
}

/* Fed by a control plane. */
static void dump_node(struct agent *a, json_t *configs, const struct agent_pod *p, json_t *extra)
{
	size_t first = json_array_size(configs), i, k;
	json_t *tables = json_array(), *config, *l;
	struct grpc_channel_info info;

	grpc_channel_info_get(agent_xds_channel(a), &info);
	ads_node_dump(p->xds, info.address, extra, configs);
	for (i = first; (config = json_array_get(configs, i)) != NULL; i++)
		json_array_foreach(json_object_get(config, "dynamic_listeners"), k, l)
			add_listener_tables(tables,
					    json_object_get(json_object_get(l, "active_state"),
							    "listener"));
	for (i = first; (config = json_array_get(configs, i)) != NULL; i++)
		if (is_type(config, ADMIN_TYPE "RoutesConfigDump"))
			json_object_set(config, "static_route_configs", tables);
	json_decref(tables);
}

static void dump_view(struct agent *a, json_t *configs, const struct mesh_view *v,
		      const struct agent_pod *p, bool with_endpoints)
{
	json_t *extra = NULL;

	if (p) {
		char *name = xasprintf("%s/%s", p->conf.namespace_, p->conf.name);

		extra = json_pack("{s:s}", "skiff_pod", name);
		free(name);
	}
	if (p && p->xds)
		dump_node(a, configs, p, extra);
	else if (v)
		dump_files(configs, v, extra);
	if (v && with_endpoints)
		dump_endpoints(configs, v,
			       p && p->xds ? "dynamic_endpoint_configs" : "static_endpoint_configs",
			       extra);
	json_decref(extra);
}

static json_t *dump_all(struct agent *a, const struct agent_pod *pod, bool with_endpoints)
{
	json_t *configs = json_array();

	if (pod) {
		dump_view(a, configs, pod->view, pod, with_endpoints);
		return configs;
	}
	if (a->host)
		dump_view(a, configs, a->host, NULL, with_endpoints);
	list_for_each(n, &a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		dump_view(a, configs, p->view, p, with_endpoints);
	}
	return configs;
}

/* ---- parts of a dump ------------------------------------------------------------------------- */

/* The type of the entries of the list @name, as Envoy says it; NULL: of no list that we know. */
static const char *entry_type(const char *name)
{
	static const char *const types[][2] = {
		{ "static_clusters", "ClustersConfigDump.StaticCluster" },
		{ "dynamic_active_clusters", "ClustersConfigDump.DynamicCluster" },
		{ "dynamic_warming_clusters", "ClustersConfigDump.DynamicCluster" },
		{ "static_listeners", "ListenersConfigDump.StaticListener" },
		{ "dynamic_listeners", "ListenersConfigDump.DynamicListener" },
		{ "static_route_configs", "RoutesConfigDump.StaticRouteConfig" },
		{ "dynamic_route_configs", "RoutesConfigDump.DynamicRouteConfig" },
		{ "static_endpoint_configs", "EndpointsConfigDump.StaticEndpointConfig" },
		{ "dynamic_endpoint_configs", "EndpointsConfigDump.DynamicEndpointConfig" },
		{ "dynamic_active_secrets", "SecretsConfigDump.DynamicSecret" },
		{ "dynamic_warming_secrets", "SecretsConfigDump.DynamicSecret" },
		{ "ecds_filters", "EcdsConfigDump.EcdsFilterConfig" },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(name, types[i][0]) == 0)
			return types[i][1];
	return NULL;
}

static void take_entries(json_t *out, json_t *list, const char *type, json_t *pod)
{
	json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) {
		json_t *o = add_config(out, type, NULL);

		if (pod)
			json_object_set(o, "skiff_pod", pod);
		json_object_update(o, entry);
	}
}

/* The entries of all lists called @resource, as Envoy does it; NULL: there is no such list. */
static json_t *pick(json_t *configs, const char *resource)
{
	const char *type = entry_type(resource);
	json_t *out = json_array(), *config;
	bool found = false;
	size_t i;

	json_array_foreach(configs, i, config) {
		json_t *list = json_object_get(config, resource);

		if (!json_is_array(list))
			continue;
		found = true;
		if (type)
			take_entries(out, list, type, json_object_get(config, "skiff_pod"));
		else
			json_array_extend(out, list);
	}
	if (!found) {
		json_decref(out);
		out = NULL;
	}
	json_decref(configs);
	return out;
}

json_t *agent_dump(struct agent *a, const struct agent_pod *pod, bool with_endpoints,
		   const char *resource)
{
	json_t *configs = dump_all(a, pod, with_endpoints);

	if (resource)
		configs = pick(configs, resource);
	return configs ? json_pack("{s:o}", "configs", configs) : NULL;
}
