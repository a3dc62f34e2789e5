/* SPDX-License-Identifier: Apache-2.0 */
/* A node's resources as envoy.admin.v3 messages in JSON. */
#include "xds/ads_dump.h"

#include <time.h>

#include "base/clock.h"
#include "xds/protojson.h"
#include "xds/registry.h"

#define ADMIN_TYPE "type.googleapis.com/envoy.admin.v3."
#define TIME_MAX sizeof("2026-11-23T18:00:00.123Z")

struct dump {
	const struct ads_node *node;
	enum mesh_part_kind kind;
	const char *member;   /* of an entry: the resource */
	const char *version;  /* of an entry: "version_info", or NULL */
	json_t *published, *warming;
	char time[TIME_MAX]; /* of the type's last push */
};

static json_t *text(struct slice s)
{
	json_t *j = json_stringn(s.ptr ? s.ptr : "", s.len);

	return j ? j : json_string("?");
}

static void time_text(uint64_t ns, char t[TIME_MAX])
{
	time_t sec = (time_t)(ns / NSEC_PER_SEC);
	struct tm tm;
	size_t n;

	gmtime_r(&sec, &tm);
	n = strftime(t, TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(t + n, TIME_MAX - n, ".%03uZ", (unsigned int)(ns % NSEC_PER_SEC / NSEC_PER_MSEC));
}

/* The message of @r, named as in an Any. Secrets are not shown. */
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
		j = json_object();
	}
	json_object_set_new(j, "@type", json_string(url));
	return j;
}

static json_t *entry(const struct dump *d, const struct ads_item *item,
		     const struct xds_resource *r)
{
	json_t *o = json_object();

	if (d->version)
		json_object_set_new(o, d->version, text(item->version));
	json_object_set_new(o, d->member, resource_json(r));
	json_object_set_new(o, "last_updated", json_string(d->time));
	return o;
}

/* Listeners have their name outside, and their states are objects of their own. */
static void add_listener(const struct dump *d, const struct ads_item *item)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", text(item->name));
	if (item->published)
		json_object_set_new(o, "active_state", entry(d, item, item->published));
	if (item->warming)
		json_object_set_new(o, "warming_state", entry(d, item, item->warming));
	json_array_append_new(d->published, o);
}

static void add_item(void *arg, const struct ads_item *item)
{
	const struct dump *d = arg;

	if (d->kind == MESH_PART_LISTENER) {
		add_listener(d, item);
		return;
	}
	if (d->kind == MESH_PART_SECRET) {
		json_array_append_new(d->published, json_pack("{s:o, s:s}", "name",
							      text(item->name), "last_updated",
							      d->time));
		return;
	}
	if (item->published)
		json_array_append_new(d->published, entry(d, item, item->published));
	if (item->warming)
		json_array_append_new(d->warming, entry(d, item, item->warming));
}

static int by_name(const void *a, const void *b)
{
	char *x = json_dumps(*(json_t *const *)a, JSON_COMPACT | JSON_SORT_KEYS);
	char *y = json_dumps(*(json_t *const *)b, JSON_COMPACT | JSON_SORT_KEYS);
	int d = strcmp(x, y);

	free(x);
	free(y);
	return d;
}

/* In an order of its own, so that two dumps can be compared. Takes @list. */
static json_t *sorted(json_t *list)
{
	size_t n = json_array_size(list), i;
	json_t **v = xcalloc(n + 1, sizeof(*v)), *out = json_array(), *x;

	json_array_foreach(list, i, x)
		v[i] = x;
	if (n)
		qsort(v, n, sizeof(*v), by_name);
	for (i = 0; i < n; i++)
		json_array_append(out, v[i]);
	free(v);
	json_decref(list);
	return out;
}

static json_t *config(const char *type, json_t *extra)
{
	json_t *o = extra ? json_copy(extra) : json_object();
	char *full = xasprintf(ADMIN_TYPE "%s", type);

	json_object_set_new(o, "@type", json_string(full));
	free(full);
	return o;
}

static const struct {
	enum mesh_part_kind kind;
	const char *type, *list, *warming, *member, *version;
} types[] = {
	{ MESH_PART_CLUSTER, "ClustersConfigDump", "dynamic_active_clusters",
	  "dynamic_warming_clusters", "cluster", "version_info" },
	{ MESH_PART_LISTENER, "ListenersConfigDump", "dynamic_listeners", NULL, "listener",
	  "version_info" },
	{ MESH_PART_ROUTES, "RoutesConfigDump", "dynamic_route_configs", NULL, "route_config",
	  "version_info" },
	{ MESH_PART_FILTER, "EcdsConfigDump", "ecds_filters", NULL, "ecds_filter", "version_info" },
	{ MESH_PART_SECRET, "SecretsConfigDump", "dynamic_active_secrets", NULL, "secret", NULL },
	{ MESH_PART_ENDPOINTS, "EndpointsConfigDump", "dynamic_endpoint_configs", NULL,
	  "endpoint_config", "version_info" },
};

static json_t *type_dump(const struct ads_node *n, size_t t, json_t *extra)
{
	struct dump d = { .node = n,
			  .kind = types[t].kind,
			  .member = types[t].member,
			  .version = types[t].version,
			  .published = json_array(),
			  .warming = json_array() };
	json_t *o = config(types[t].type, extra);
	struct ads_type_status s;

	ads_node_type_status(n, d.kind, &s);
	time_text(s.last_push_ns, d.time);
	ads_node_each(n, d.kind, add_item, &d);
	if (d.kind != MESH_PART_SECRET)
		json_object_set_new(o, "version_info", text(s.version));
	json_object_set_new(o, types[t].list, sorted(d.published));
	if (types[t].warming && json_array_size(d.warming))
		json_object_set(o, types[t].warming, d.warming);
	json_decref(d.warming);
	return o;
}

void ads_node_dump(const struct ads_node *n, bool with_endpoints, json_t *extra, json_t *configs)
{
	json_t *boot = config("BootstrapConfigDump", extra);

	json_object_set_new(boot, "bootstrap",
			    json_pack("{s:{s:s}}", "node", "id", ads_node_id(n)));
	json_array_append_new(configs, boot);
	for (size_t t = 0; t < ARRAY_LEN(types); t++)
		if (with_endpoints || types[t].kind != MESH_PART_ENDPOINTS)
			json_array_append_new(configs, type_dump(n, t, extra));
}
