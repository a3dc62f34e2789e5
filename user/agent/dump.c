/* SPDX-License-Identifier: Apache-2.0 */
/* /config_dump: files in Envoy's shape; what a control plane sent, by xds/ads_dump.c. */
#include "agent/agent_impl.h"

#define ADMIN_TYPE "type.googleapis.com/envoy.admin.v3."

/* One resource list of a view's own JSON, each wrapped as Envoy does. */
static json_t *wrap(json_t *view, const char *key, const char *inner)
{
	json_t *out = json_array();
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(view, key), i, v) {
		json_t *o = json_object();

		json_object_set(o, inner, v);
		json_array_append_new(out, o);
	}
	return out;
}

static void add_dump(json_t *configs, const char *type, const char *list, json_t *items,
		     const char *pod)
{
	json_t *o = json_object();
	char *full = xasprintf(ADMIN_TYPE "%s", type);

	json_object_set_new(o, "@type", json_string(full));
	if (pod)
		json_object_set_new(o, "skiff_pod", json_string(pod));
	json_object_set_new(o, list, items);
	json_array_append_new(configs, o);
	free(full);
}

/* The tables inside the connection managers. */
static json_t *route_configs(json_t *view)
{
	json_t *out = json_array();
	json_t *l, *c, *f;
	size_t i, j, k;

	json_array_foreach(json_object_get(view, "static_listeners"), i, l)
		json_array_foreach(json_object_get(l, "filter_chains"), j, c)
			json_array_foreach(json_object_get(c, "filters"), k, f) {
		json_t *table = json_object_get(json_object_get(f, "typed_config"), "route_config");

		if (json_is_object(table))
			json_array_append_new(out, json_pack("{s:O}", "route_config", table));
			}
	return out;
}

static void dump_view(json_t *configs, const struct mesh_view *v, const char *pod)
{
	json_t *view = v->config_json.len ?
			       json_loadb(v->config_json.ptr, v->config_json.len, 0, NULL) :
			       NULL;

	add_dump(configs, "BootstrapConfigDump", "bootstrap",
		 json_pack("{s:O?}", "static_resources", view), pod);
	add_dump(configs, "ClustersConfigDump", "static_clusters",
		 wrap(view, "static_clusters", "cluster"), pod);
	add_dump(configs, "ListenersConfigDump", "static_listeners",
		 wrap(view, "static_listeners", "listener"), pod);
	add_dump(configs, "ScopedRoutesConfigDump", "inline_scoped_route_configs", json_array(),
		 pod);
	add_dump(configs, "RoutesConfigDump", "static_route_configs", route_configs(view), pod);
	add_dump(configs, "SecretsConfigDump", "static_secrets", json_array(), pod);
	json_decref(view);
}

static void dump_pod(json_t *configs, const struct agent_pod *p)
{
	char *name = xasprintf("%s/%s", p->conf.namespace_, p->conf.name);

	if (p->view)
		dump_view(configs, p->view, name);
	free(name);
}

static json_t *dump_all(struct agent *a, const struct agent_pod *pod)
{
	json_t *configs = json_array();

	if (pod) {
		dump_pod(configs, pod);
		return configs;
	}
	if (a->host)
		dump_view(configs, a->host, NULL);
	list_for_each(n, &a->pods)
		dump_pod(configs, list_entry(n, struct agent_pod, node));
	return configs;
}

/* The entries of all lists called @resource, as Envoy does it; NULL: there is no such list. */
static json_t *pick(json_t *configs, const char *resource)
{
	json_t *out = json_array(), *config, *list;
	bool found = false;
	size_t i;

	json_array_foreach(configs, i, config) {
		list = json_object_get(config, resource);
		if (!json_is_array(list))
			continue;
		found = true;
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
	json_t *configs = dump_all(a, pod);

	(void)with_endpoints;
	if (resource)
		configs = pick(configs, resource);
	return configs ? json_pack("{s:o}", "configs", configs) : NULL;
}
