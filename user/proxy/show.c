/* SPDX-License-Identifier: Apache-2.0 */
/* /clusters and /listeners, in Envoy's text and JSON forms, gathered from all workers. */
#include <jansson.h>

#include "proxy/engine.h"
#include "proxy/gather.h"

static void host_line(struct buf *out, const struct gathered *g, const char *addr, const char *key,
		      uint64_t v)
{
	buf_printf(out, "%.*s::%s::%s::%llu\n", SLICE_ARG(g->cluster->name), addr, key,
		   (unsigned long long)v);
}

static void cluster_text(struct buf *out, const struct mesh_cluster *c)
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
	buf_printf(out, "%.*s::added_via_api::false\n", n, s);
}

static void host_text(struct buf *out, const struct gathered *g)
{
	static const char *const places[] = { "region", "zone", "sub_zone" };
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
		buf_printf(out, "%.*s::%s::%s::\n", SLICE_ARG(g->cluster->name), addr, places[i]);
	buf_printf(out, "%.*s::%s::canary::false\n", SLICE_ARG(g->cluster->name), addr);
	buf_printf(out, "%.*s::%s::success_rate::-1\n", SLICE_ARG(g->cluster->name), addr);
	buf_printf(out, "%.*s::%s::local_origin_success_rate::-1\n", SLICE_ARG(g->cluster->name),
		   addr);
	host_line(out, g, addr, "priority", g->priority);
}

void engine_clusters_text(struct engine *e, struct buf *out)
{
	struct gather all = { 0 };

	gather_hosts(e, &all);
	for (size_t i = 0; i < all.n; i++) {
		if (i == 0 || all.v[i].order != all.v[i - 1].order)
			cluster_text(out, all.v[i].cluster);
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
	json_t *o = json_object();
	json_t *stats = json_array();

	json_array_append_new(stats, json_stat("cx_connect_fail", g->cx_fail, false));
	json_array_append_new(stats, json_stat("cx_total", g->cx_total, false));
	json_array_append_new(stats, json_stat("rq_error", g->rq_error, false));
	json_array_append_new(stats, json_stat("rq_success", g->rq_success, false));
	json_array_append_new(stats, json_stat("rq_total", g->rq_total, false));
	json_array_append_new(stats, json_stat("cx_active", g->cx_active, true));
	json_array_append_new(stats, json_stat("rq_active", g->rq_active, true));
	json_object_set_new(o, "address", json_addr(&g->addr));
	json_object_set_new(o, "stats", stats);
	json_object_set_new(o, "health_status",
			    g->healthy ? json_pack("{s:s}", "eds_health_status", "HEALTHY") :
					 json_pack("{s:s}", "eds_health_status", "UNHEALTHY"));
	json_object_set_new(o, "weight", json_integer(g->weight));
	json_object_set_new(o, "locality", json_object());
	if (g->hostname.len)
		json_object_set_new(o, "hostname", json_stringn(g->hostname.ptr, g->hostname.len));
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

void engine_clusters_json(struct engine *e, struct buf *out)
{
	json_t *list = json_array();
	json_t *cluster = NULL;
	struct gather all = { 0 };

	gather_hosts(e, &all);
	for (size_t i = 0; i < all.n; i++) {
		const struct gathered *g = &all.v[i];

		if (i == 0 || g->order != all.v[i - 1].order) {
			cluster = json_object();
			json_object_set_new(cluster, "name",
					    json_stringn(g->cluster->name.ptr,
							 g->cluster->name.len));
			json_object_set_new(cluster, "host_statuses", json_array());
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

static void each_listener(struct engine *e, void (*fn)(void *arg, const struct mesh_listener *l),
			  void *arg)
{
	const struct mesh_snapshot *s = gather_snapshot(e);

	for (uint32_t i = 0; s && s->host && i < s->host->n_listeners; i++)
		fn(arg, mesh_view_listener_at(s->host, i));
	for (uint32_t p = 0; s && p < s->n_pods; p++)
		for (uint32_t i = 0; s->pods[p].view && i < s->pods[p].view->n_listeners; i++)
			fn(arg, mesh_view_listener_at(s->pods[p].view, i));
}

static void listener_text(void *arg, const struct mesh_listener *l)
{
	char addr[ADDR_TEXT_MAX];

	addr_format(&l->addr, addr);
	buf_printf(arg, "%.*s::%s\n", SLICE_ARG(l->name), addr);
}

void engine_listeners_text(struct engine *e, struct buf *out)
{
	each_listener(e, listener_text, out);
}

static void listener_json(void *arg, const struct mesh_listener *l)
{
	json_array_append_new(arg,
			      json_pack("{s:o,s:o}", "name", json_stringn(l->name.ptr, l->name.len),
					"local_address", json_addr(&l->addr)));
}

void engine_listeners_json(struct engine *e, struct buf *out)
{
	json_t *list = json_array();

	each_listener(e, listener_json, list);
	print_json(json_pack("{s:o}", "listener_statuses", list), out);
}
