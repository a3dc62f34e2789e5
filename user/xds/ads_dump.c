/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's resources as envoy.admin.v3 messages in JSON. Endpoints are not here: what of them is in
 * force, DNS answers too, lies in the views.
 */
#include "xds/ads_dump.h"

#include <time.h>

#include "base/json.h"
#include "xds/ads_impl.h"
#include "xds/registry.h"

#define TYPES "type.googleapis.com/"
#define ADMIN "envoy.admin.v3."
#define TIME_MAX sizeof("2026-11-23T18:00:00.123Z")

struct dump {
	enum mesh_part_kind kind;
	const char *member; /* of an entry: the resource */
	json_t *published, *warming;
	char pushed[TIME_MAX]; /* the type's last push */
};

static void time_text(uint64_t ns, char t[TIME_MAX])
{
	time_t sec = (time_t)(ns / NSEC_PER_SEC);
	struct tm tm;
	size_t n;

	gmtime_r(&sec, &tm);
	n = strftime(t, TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(t + n, TIME_MAX - n, ".%03uZ", (unsigned int)(ns % NSEC_PER_SEC / NSEC_PER_MSEC));
}

/* The message of @r, named as in an Any. Of secrets only the name is shown. */
static json_t *resource_json(const struct xds_resource *r)
{
	const char *url = xds_type_url(r->kind);
	ProtobufCMessage *m = NULL;
	struct arena a = { 0 };
	struct protojson pj;
	struct err e;
	json_t *j = NULL;

	protojson_init(&pj, &a, NULL, &e);
	if (r->kind != MESH_PART_SECRET &&
	    protojson_unpack(&pj, registry_find(slice_str(url)), r->bytes, &m) == 0)
		j = protojson_write(m);
	arena_done(&a);
	if (!json_is_object(j)) {
		json_decref(j);
		j = json_pack("{s:o}", "name", slice_json(xds_name_slice(r->name)));
	}
	json_object_set_new(j, "@type", json_string(url));
	return j;
}

static json_t *entry(const struct dump *d, const struct ads_item *item,
		     const struct xds_resource *r)
{
	char at[TIME_MAX];
	json_t *o = json_object();

	time_text(item->updated * NSEC_PER_SEC, at);
	if (item->version.len)
		json_object_set_new(o, "version_info", slice_json(item->version));
	json_object_set_new(o, d->member, resource_json(r));
	json_object_set_new(o, "last_updated", json_string(at));
	return o;
}

/* Listeners have their name outside, and their states are objects of their own. */
static void add_listener(const struct dump *d, const struct ads_item *item)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", slice_json(item->name));
	if (item->published)
		json_object_set_new(o, "active_state", entry(d, item, item->published));
	if (item->warming)
		json_object_set_new(o, "warming_state", entry(d, item, item->warming));
	json_array_append_new(d->published, o);
}

static void add_item(void *arg, const struct ads_item *item)
{
	const struct dump *d = arg;
	json_t *o;

	if (d->kind == MESH_PART_LISTENER) {
		add_listener(d, item);
		return;
	}
	if (item->published) {
		o = entry(d, item, item->published);
		if (d->kind == MESH_PART_SECRET)
			json_object_set_new(o, "name", slice_json(item->name));
		json_array_append_new(d->published, o);
	}
	if (item->warming)
		json_array_append_new(d->warming, entry(d, item, item->warming));
}

/* The name of the resource in an entry, whatever kind it is of. */
static const char *entry_name(const struct dump *d, const json_t *o)
{
	const json_t *r = json_object_get(o, d->member);
	const char *name = json_string_value(json_object_get(r ? r : o, "name"));

	return name ? name : "";
}

/* What the control plane was told of a resource, at the entry of its last good content. */
static void add_rejected(void *arg, struct slice name, const char *reason)
{
	const struct dump *d = arg;
	json_t *state = json_pack("{s:{s:s, s:o}, s:s, s:o}", "failed_configuration", "@type",
				  xds_type_url(d->kind), "name", slice_json(name),
				  "last_update_attempt", d->pushed, "details", text_json(reason));
	json_t *o;
	size_t i;

	json_array_foreach(d->published, i, o)
		if (slice_is_equal(slice_str(entry_name(d, o)), name)) {
			json_object_set_new(o, "error_state", state);
			return;
		}
	o = json_pack("{s:o}", "error_state", state);
	if (d->kind == MESH_PART_LISTENER)
		json_object_set_new(o, "name", slice_json(name));
	json_array_append_new(d->published, o);
}

struct named {
	const char *name;
	json_t *entry;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* What is published in an order of its own, so that two dumps can be compared. */
static json_t *sorted(const struct dump *d)
{
	size_t n = json_array_size(d->published), i;
	struct named *v = xcalloc(n + 1, sizeof(*v));
	json_t *out = json_array(), *o;

	json_array_foreach(d->published, i, o)
		v[i] = (struct named){ entry_name(d, o), o };
	if (n)
		qsort(v, n, sizeof(*v), by_name);
	for (i = 0; i < n; i++)
		json_array_append(out, v[i].entry);
	free(v);
	return out;
}

static json_t *config(const char *type, json_t *extra)
{
	json_t *o = json_object();
	char *full = xasprintf(TYPES "%s", type);

	json_object_set_new(o, "@type", json_string(full));
	if (extra)
		json_object_update(o, extra);
	free(full);
	return o;
}

static const struct {
	enum mesh_part_kind kind;
	bool is_seldom; /* only shown when there is one */
	const char *type, *list, *warming, *member;
} types[] = {
	{ MESH_PART_CLUSTER, false, ADMIN "ClustersConfigDump", "dynamic_active_clusters",
	  "dynamic_warming_clusters", "cluster" },
	{ MESH_PART_LISTENER, false, ADMIN "ListenersConfigDump", "dynamic_listeners", NULL,
	  "listener" },
	{ MESH_PART_ROUTES, false, ADMIN "RoutesConfigDump", "dynamic_route_configs", NULL,
	  "route_config" },
	{ MESH_PART_RPC_ROUTES, true, "skiff.admin.v1.RpcRoutesConfigDump",
	  "dynamic_rpc_route_configs", NULL, "rpc_route_config" },
	{ MESH_PART_FILTER, true, ADMIN "EcdsConfigDump", "ecds_filters", NULL, "ecds_filter" },
	{ MESH_PART_SECRET, false, ADMIN "SecretsConfigDump", "dynamic_active_secrets",
	  "dynamic_warming_secrets", "secret" },
};

/* NULL: there is none of a type that is seldom. */
static json_t *type_dump(const struct ads_node *n, size_t t, json_t *extra)
{
	struct dump d = { .kind = types[t].kind,
			  .member = types[t].member,
			  .published = json_array(),
			  .warming = json_array() };
	json_t *o = NULL;
	struct ads_type_status s;

	ads_node_type_status(n, d.kind, &s);
	time_text(s.last_push_ns, d.pushed);
	ads_node_each(n, d.kind, add_item, &d);
	ads_node_each_rejected(n, d.kind, add_rejected, &d);
	if (types[t].is_seldom && !json_array_size(d.published))
		goto out;
	o = config(types[t].type, extra);
	if (ads_kind_is_wildcard(d.kind))
		json_object_set_new(o, "version_info", slice_json(s.version));
	json_object_set_new(o, types[t].list, sorted(&d));
	if (types[t].warming && json_array_size(d.warming))
		json_object_set(o, types[t].warming, d.warming);
out:
	json_decref(d.published);
	json_decref(d.warming);
	return o;
}

/* "1.2.3" as envoy.type.v3.SemanticVersion. */
static json_t *build_version(void)
{
	unsigned int v[3] = { 0 };

	if (sscanf(SKIFF_VERSION, "%u.%u.%u", &v[0], &v[1], &v[2]) < 1)
		return json_object();
	return json_pack("{s:i, s:i, s:i}", "major_number", (int)v[0], "minor_number", (int)v[1],
			 "patch", (int)v[2]);
}

/* What would stand in the bootstrap of the pod's own proxy. */
static json_t *bootstrap(const struct ads_node *n, const char *server)
{
	json_t *node = protojson_write(&n->self->base);
	struct ads_status s;

	ads_node_status(n, &s);
	json_object_set_new(node, "user_agent_name", json_string("skiff"));
	json_object_set_new(node, "user_agent_build_version",
			    json_pack("{s:o}", "version", build_version()));
	return json_pack(
		"{s:o, s:{s:{s:{}, s:s}, s:{s:{}, s:s}, s:{s:s, s:s, s:[{s:{s:s, s:s}}]}}}", "node",
		node, "dynamic_resources", "lds_config", "ads", "resource_api_version", "V3",
		"cds_config", "ads", "resource_api_version", "V3", "ads_config", "api_type",
		s.is_delta ? "DELTA_GRPC" : "GRPC", "transport_api_version", "V3", "grpc_services",
		"google_grpc", "target_uri", server, "stat_prefix", "xds");
}

void ads_node_dump(const struct ads_node *n, const char *server, json_t *extra, json_t *configs)
{
	json_t *boot = config(ADMIN "BootstrapConfigDump", extra);

	json_object_set_new(boot, "bootstrap", bootstrap(n, server));
	json_array_append_new(configs, boot);
	for (size_t t = 0; t < ARRAY_LEN(types); t++)
		json_array_append_new(configs, type_dump(n, t, extra)); /* NULL is left out */
}
