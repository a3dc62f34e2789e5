/* SPDX-License-Identifier: Apache-2.0 */
/* /clusters and /listeners, in Envoy's text and JSON forms, gathered from all workers. */
#include <jansson.h>

#include "base/json.h"
#include "proxy/engine.h"
#include "proxy/gather.h"

static void host_line(struct buf *out, const struct gathered *g, const char *addr, const char *key,
		      uint64_t v)
{
	buf_printf(out, "%.*s::%s::%s::%llu\n", SLICE_ARG(g->cluster->name), addr, key,
		   (unsigned long long)v);
}

static void cluster_text(struct buf *out, const struct mesh_cluster *c, bool is_sent)
{
	const struct mesh_thresholds *t = &c->limits;
	int n = (int)c->name.len;
	const char *s = c->name.ptr;

	buf_printf(out, "%.*s::observability_name::%.*s\n", n, s, n, s);
	buf_printf(out, "%.*s::default_priority::max_connections::%u\n", n, s, t->max_connections);
	buf_printf(out, "%.*s::default_priority::max_pending_requests::%u\n", n, s,
		   t->max_pending_requests);
	buf_printf(out, "%.*s::default_priority::max_requests::%u\n", n, s, t->max_requests);
	buf_printf(out, "%.*s::default_priority::max_retries::%u\n", n, s, t->max_retries);
	/* One set of limits serves all priorities. */
	buf_printf(out, "%.*s::high_priority::max_connections::%u\n", n, s, t->max_connections);
	buf_printf(out, "%.*s::high_priority::max_pending_requests::%u\n", n, s,
		   t->max_pending_requests);
	buf_printf(out, "%.*s::high_priority::max_requests::%u\n", n, s, t->max_requests);
	buf_printf(out, "%.*s::high_priority::max_retries::%u\n", n, s, t->max_retries);
	buf_printf(out, "%.*s::added_via_api::%s\n", n, s, is_sent ? "true" : "false");
}

static const char *const places[] = { "region", "zone", "sub_zone" };

/* What the host says of places[@i]; empty: nothing. */
static struct slice place_of(const struct gathered *g, size_t i)
{
	if (!g->meta)
		return SLICE_NONE;
	return i == 0 ? g->meta->region : i == 1 ? g->meta->zone : g->meta->sub_zone;
}

static void host_text(struct buf *out, const struct gathered *g)
{
	char addr[ADDR_TEXT_MAX];

	addr_format(&g->addr, addr);
	host_line(out, g, addr, "cx_active", g->cx_active);
	host_line(out, g, addr, "cx_connect_fail", g->cx_fail);
	host_line(out, g, addr, "cx_total", g->cx_total);
	host_line(out, g, addr, "rq_active", g->rq_active);
	host_line(out, g, addr, "rq_error", g->rq_error);
	host_line(out, g, addr, "rq_pending_active", 0);
	host_line(out, g, addr, "rq_success", g->rq_success);
	host_line(out, g, addr, "rq_timeout", 0);
	host_line(out, g, addr, "rq_total", g->rq_total);
	buf_printf(out, "%.*s::%s::hostname::%.*s\n", SLICE_ARG(g->cluster->name), addr,
		   SLICE_ARG(g->hostname));
	buf_printf(out, "%.*s::%s::health_flags::%s\n", SLICE_ARG(g->cluster->name), addr,
		   g->healthy ? "healthy" : "/failed_eds_health");
	host_line(out, g, addr, "weight", g->weight);
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		buf_printf(out, "%.*s::%s::%s::%.*s\n", SLICE_ARG(g->cluster->name), addr,
			   places[i], SLICE_ARG(place_of(g, i)));
	buf_printf(out, "%.*s::%s::canary::false\n", SLICE_ARG(g->cluster->name), addr);
	buf_printf(out, "%.*s::%s::success_rate::-1\n", SLICE_ARG(g->cluster->name), addr);
	buf_printf(out, "%.*s::%s::local_origin_success_rate::-1\n", SLICE_ARG(g->cluster->name),
		   addr);
	host_line(out, g, addr, "priority", g->priority);
}

void engine_clusters_text(struct engine *e, const struct mesh_view *only, struct buf *out)
{
	struct gather all = { 0 };

	gather_hosts(e, only, &all);
	for (size_t i = 0; i < all.n; i++) {
		if (i == 0 || all.v[i].order != all.v[i - 1].order)
			cluster_text(out, all.v[i].cluster, all.v[i].is_sent);
		if (!all.v[i].is_empty)
			host_text(out, &all.v[i]);
	}
	gather_done(&all);
}

static json_t *json_addr(const struct addr *a)
{
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(a, ip);
	return json_pack("{s:{s:s,s:i}}", "socket_address", "address", ip, "port_value",
			 (int)a->port);
}

static json_t *json_stat(const char *name, uint64_t v, bool gauge)
{
	json_t *o = json_object();
	char text[24];

	/* 64-bit numbers are strings in protojson. */
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	if (gauge)
		json_object_set_new(o, "type", json_string("GAUGE"));
	if (v)
		json_object_set_new(o, "value", json_string(text));
	json_object_set_new(o, "name", json_string(name));
	return o;
}

static json_t *json_host(const struct gathered *g)
{
	json_t *o = json_object(), *where = json_object();
	json_t *stats = json_array();

	json_array_append_new(stats, json_stat("cx_connect_fail", g->cx_fail, false));
	json_array_append_new(stats, json_stat("cx_total", g->cx_total, false));
	json_array_append_new(stats, json_stat("rq_error", g->rq_error, false));
	json_array_append_new(stats, json_stat("rq_success", g->rq_success, false));
	json_array_append_new(stats, json_stat("rq_timeout", 0, false));
	json_array_append_new(stats, json_stat("rq_total", g->rq_total, false));
	json_array_append_new(stats, json_stat("cx_active", g->cx_active, true));
	json_array_append_new(stats, json_stat("rq_active", g->rq_active, true));
	json_array_append_new(stats, json_stat("rq_pending_active", 0, true));
	json_object_set_new(o, "address", json_addr(&g->addr));
	json_object_set_new(o, "stats", stats);
	json_object_set_new(o, "health_status",
			    g->healthy ? json_pack("{s:s}", "eds_health_status", "HEALTHY") :
					 json_pack("{s:s}", "eds_health_status", "UNHEALTHY"));
	json_object_set_new(o, "weight", json_integer(g->weight));
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (place_of(g, i).len)
			json_object_set_new(where, places[i], slice_json(place_of(g, i)));
	json_object_set_new(o, "locality", where);
	if (g->priority)
		json_object_set_new(o, "priority", json_integer(g->priority));
	if (g->hostname.len)
		json_object_set_new(o, "hostname", slice_json(g->hostname));
	return o;
}

/* One set of limits serves all priorities. */
static json_t *json_limits(const struct mesh_thresholds *t)
{
	json_t *list = json_array();

	for (int high = 0; high < 2; high++) {
		json_t *o = json_object();

		if (high)
			json_object_set_new(o, "priority", json_string("HIGH"));
		json_object_set_new(o, "max_connections", json_integer(t->max_connections));
		json_object_set_new(o, "max_pending_requests",
				    json_integer(t->max_pending_requests));
		json_object_set_new(o, "max_requests", json_integer(t->max_requests));
		json_object_set_new(o, "max_retries", json_integer(t->max_retries));
		json_array_append_new(list, o);
	}
	return json_pack("{s:o}", "thresholds", list);
}

/* Without its hosts. */
static json_t *json_cluster(const struct gathered *g)
{
	const struct mesh_cluster *c = g->cluster;
	json_t *o = json_pack("{s:o, s:[], s:o, s:o}", "name", slice_json(c->name), "host_statuses",
			      "circuit_breakers", json_limits(&c->limits), "observability_name",
			      slice_json(c->name));

	if (g->is_sent)
		json_object_set_new(o, "added_via_api", json_true());
	if (c->service_name.len)
		json_object_set_new(o, "eds_service_name", slice_json(c->service_name));
	return o;
}

static void print_json(json_t *root, struct buf *out)
{
	char *text = json_dumps(root, JSON_INDENT(1));

	buf_add_slice(out, slice_str(text));
	buf_add_char(out, '\n');
	free(text);
	json_decref(root);
}

void engine_clusters_json(struct engine *e, const struct mesh_view *only, struct buf *out)
{
	json_t *list = json_array();
	json_t *cluster = NULL;
	struct gather all = { 0 };

	gather_hosts(e, only, &all);
	for (size_t i = 0; i < all.n; i++) {
		const struct gathered *g = &all.v[i];

		if (i == 0 || g->order != all.v[i - 1].order) {
			cluster = json_cluster(g);
			json_array_append_new(list, cluster);
		}
		if (!g->is_empty)
			json_array_append_new(json_object_get(cluster, "host_statuses"),
					      json_host(g));
	}
	gather_done(&all);
	print_json(json_pack("{s:o}", "cluster_statuses", list), out);
}

/* ---- listeners ------------------------------------------------------------------------------- */

struct each {
	const struct mesh_view *only; /* NULL: all */
	void (*fn)(void *arg, const struct mesh_listener *l, const struct addr *at);
	void *arg;
};

/* A listener has a line for each of its addresses. */
static void each_address(const struct each *x, const struct mesh_view *v)
{
	for (uint32_t i = 0; v && (!x->only || v == x->only) && i < v->n_listeners; i++) {
		const struct mesh_listener *l = mesh_view_listener_at(v, i);

		x->fn(x->arg, l, &l->addr);
		for (uint32_t k = 0; k < l->n_more; k++)
			x->fn(x->arg, l, &l->more[k]);
	}
}

/* Pods that share the view that is asked for are one. */
static void each_listener(struct engine *e, const struct each *x)
{
	const struct mesh_snapshot *s = gather_snapshot(e);

	if (x->only) {
		each_address(x, x->only);
		return;
	}
	each_address(x, s ? s->host : NULL);
	for (uint32_t p = 0; s && p < s->n_pods; p++)
		each_address(x, s->pods[p].view);
}

static void listener_text(void *arg, const struct mesh_listener *l, const struct addr *at)
{
	char addr[ADDR_TEXT_MAX];

	addr_format(at, addr);
	buf_printf(arg, "%.*s::%s\n", SLICE_ARG(l->name), addr);
}

void engine_listeners_text(struct engine *e, const struct mesh_view *only, struct buf *out)
{
	each_listener(e, &(struct each){ only, listener_text, out });
}

/* Further addresses follow their first one. */
static void listener_json(void *arg, const struct mesh_listener *l, const struct addr *at)
{
	json_t *last = json_array_get(arg, json_array_size(arg) - 1), *more;

	if (at == &l->addr) {
		json_array_append_new(arg, json_pack("{s:o,s:o}", "name", slice_json(l->name),
						     "local_address", json_addr(at)));
		return;
	}
	more = json_object_get(last, "additional_local_addresses");
	if (!more) {
		more = json_array();
		json_object_set_new(last, "additional_local_addresses", more);
	}
	json_array_append_new(more, json_addr(at));
}

void engine_listeners_json(struct engine *e, const struct mesh_view *only, struct buf *out)
{
	json_t *list = json_array();

	each_listener(e, &(struct each){ only, listener_json, list });
	print_json(json_pack("{s:o}", "listener_statuses", list), out);
}
