/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent without a kernel and a control plane: what it would write is kept as text. Views are
 * made from JSON with ' for ". One test file is one program: it has this state to itself.
 */
#ifndef SKIFF_TESTS_UNIT_AGENT_T_AGENT_H
#define SKIFF_TESTS_UNIT_AGENT_T_AGENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "agent/agent_impl.h"
#include "../xds/t_compile.h"

#define T_TEXT 4096

static char t_log[T_TEXT];      /* what was written, in its order */
static const char *t_no_room;   /* calls of this name fail with -E2BIG */
static bool t_is_mesh;          /* pods are nodes of a control plane */

static inline void t_note(const char *fmt, ...) printf_like(1, 2);
static inline void t_note(const char *fmt, ...)
{
	size_t n = strlen(t_log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t_log + n, sizeof(t_log) - n, fmt, ap);
	va_end(ap);
}

/* What was noted since the last time. */
static inline const char *t_told(void)
{
	static char text[T_TEXT];

	memcpy(text, t_log, sizeof(text));
	t_log[0] = 0;
	return text;
}

static inline int t_may_fail(const char *call, struct err *e)
{
	if (t_no_room && strcmp(call, t_no_room) == 0)
		return err_set(e, -E2BIG, "no room");
	return 0;
}

/* ---- the datapath ---------------------------------------------------------------------------- */

static inline void t_note_rule(const struct datapath_rule *r)
{
	static const char *const verdicts[] = { "bypass", "l4", "l7", "deny" };
	char text[ADDR_TEXT_MAX];

	addr_format_ip(&r->addr, text);
	t_note(" %s %s/%u:%u=%s%s", r->direction == SKIFF_INBOUND ? "in" : "out",
	       r->bits ? text : "any", r->bits, r->addr.port, verdicts[r->verdict],
	       r->authz ? "+guard" : "");
}

int datapath_policy_set(struct datapath *dp, uint32_t pod, const struct datapath_rule *rules,
			size_t n, uint32_t generation, struct err *err)
{
	int r = t_may_fail("policy", err);

	(void)dp;
	(void)generation;
	if (r < 0)
		return r;
	t_note("[pod %u", pod);
	for (size_t i = 0; i < n; i++)
		t_note_rule(&rules[i]);
	t_note("]");
	return 0;
}

int datapath_authz_set(struct datapath *dp, uint32_t list, const struct datapath_authz *entries,
		       size_t n, uint32_t generation, struct err *err)
{
	int r = t_may_fail("guard", err);

	(void)dp;
	(void)generation;
	if (r < 0)
		return r;
	assert_int_not_equal(list, 0);
	t_note("[guard");
	for (size_t i = 0; i < n; i++) {
		char text[ADDR_TEXT_MAX];

		addr_format_ip(&entries[i].source, text);
		t_note(" %s/%u:%u=%s", text, entries[i].bits, entries[i].source.port,
		       entries[i].is_deny ? "no" : "yes");
	}
	t_note("]");
	return 0;
}

void datapath_authz_trim(struct datapath *dp, const uint32_t *lists, size_t n)
{
	(void)dp;
	(void)lists;
	t_note("[%zu guards stay]", n);
}

int datapath_service_set(struct datapath *dp, const struct datapath_service *service,
			 uint32_t generation, struct err *err)
{
	int r = t_may_fail("service", err);

	(void)dp;
	(void)generation;
	if (r < 0)
		return r;
	t_note("[service");
	for (size_t i = 0; i < service->backends_n; i++) {
		char text[ADDR_TEXT_MAX];

		addr_format(&service->backends[i].addr, text);
		t_note(" %s*%u", text, service->backends[i].weight);
	}
	t_note("]");
	return 0;
}

void datapath_services_trim(struct datapath *dp, const struct datapath_service *services, size_t n)
{
	(void)dp;
	(void)services;
	t_note("[%zu services stay]", n);
}

/* ---- the control plane ----------------------------------------------------------------------- */

bool agent_xds_wants(const struct agent *a, const struct skiffd_pod *conf)
{
	(void)a;
	(void)conf;
	return t_is_mesh;
}

const char *agent_xds_trust_domain(const struct agent *a)
{
	(void)a;
	return NULL;
}

/* ---- views ----------------------------------------------------------------------------------- */

#define T_PARTS_MAX 64

/* Appends the parts of JSON objects in a row. */
static inline uint32_t t_parts(enum mesh_part_kind kind, const char *objects,
			       struct mesh_part **parts, uint32_t n)
{
	char *text = xasprintf("[%s]", objects);
	json_t *list, *o;
	size_t i;

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	list = json_loads(text, 0, NULL);
	if (!list)
		fail_msg("not JSON: %s", text);
	json_array_foreach(list, i, o) {
		char *one = json_dumps(o, 0);

		must(n < T_PARTS_MAX);
		parts[n++] = t_part(kind, one);
		free(one);
	}
	json_decref(list);
	free(text);
	return n;
}

/* @listeners and @clusters: JSON objects in a row. */
static inline struct mesh_view *t_view(const char *listeners, const char *clusters)
{
	struct mesh_part *parts[T_PARTS_MAX];
	struct mesh_view *v = NULL;
	struct err e = { "" };
	uint32_t n = t_parts(MESH_PART_LISTENER, listeners, parts, 0);

	n = t_parts(MESH_PART_CLUSTER, clusters, parts, n);
	if (mesh_view_build(parts, n, SLICE("test"), &v, &e) < 0)
		fail_msg("%s", e.text);
	for (uint32_t i = 0; i < n; i++)
		mesh_part_unref(parts[i]);
	return v;
}

#define T_URL "type.googleapis.com/envoy."
#define T_TCP_PROXY(to) \
	"{'name': 't', 'typed_config': {'@type': '" T_URL \
	"extensions.filters.network.tcp_proxy.v3.TcpProxy', 'stat_prefix': 's', " to "}}"
/* A listener for captured connections; @more: of the listener, begins with a comma. */
#define T_LISTENER(name, way, ip, port, filters, more) \
	"{'name': '" name "', 'traffic_direction': '" way "', 'bind_to_port': false, 'address': " \
	"{'socket_address': {'address': '" ip "', 'port_value': " port "}}, " \
	"'filter_chains': [{'filters': [" filters "]}]" more "}"
#define T_TCP(name, ip, port, cluster) \
	T_LISTENER(name, "OUTBOUND", ip, port, T_TCP_PROXY("'cluster': '" cluster "'"), "")

#define T_END(ip, more) \
	"{'endpoint': {'address': {'socket_address': {'address': '" ip "', 'port_value': 80}}}" \
	more "}"
#define T_CLUSTER(name, ends, more) \
	"{'name': '" name "', 'type': 'STATIC', 'connect_timeout': '1s', 'load_assignment': " \
	"{'cluster_name': '" name "', 'endpoints': [{'lb_endpoints': [" ends "]}]}" more "}"
#define T_EDS(name) \
	"{'name': '" name "', 'type': 'EDS', 'connect_timeout': '1s', 'eds_cluster_config': " \
	"{'eds_config': {'ads': {}}}}"

/* ---- endpoints ------------------------------------------------------------------------------- */

/* Parts of a cluster's cell; at most 4 addresses, the rest NULL. */
static inline struct mesh_part *t_endpoints(const char *name, const char *const *ips, uint32_t n)
{
	struct mesh_endpoint v[4] = { 0 };
	struct mesh_part *p;

	for (uint32_t i = 0; i < n; i++) {
		must(addr_parse(slice_str(ips[i]), &v[i].addr) == 0);
		v[i].weight = 1;
	}
	p = mesh_part_endpoints_copy(slice_str(name), v, n);
	return p;
}

/* Puts them into the cell, as the engine does. */
static inline struct mesh_part *t_cell_set(struct mesh_view *v, const char *cluster,
					   const char *const *ips, uint32_t n)
{
	struct mesh_part *p = t_endpoints(cluster, ips, n);

	mesh_view_endpoints_set(v, (uint32_t)mesh_view_cluster_place(v, slice_str(cluster)), p);
	mesh_part_unref(p);
	return p;
}

#endif
