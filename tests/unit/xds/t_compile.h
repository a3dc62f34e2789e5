/* SPDX-License-Identifier: Apache-2.0 */
/* Parts from JSON (with ' for "), for tests of what resources become. */
#ifndef SKIFF_TESTS_UNIT_XDS_T_COMPILE_H
#define SKIFF_TESTS_UNIT_XDS_T_COMPILE_H

#include <cmocka.h>
#include <errno.h>

#include "xds/compile.h"
#include "xds/protojson.h"
#include "xds/registry.h"

static const char *const t_types[MESH_PART_KINDS] = {
	[MESH_PART_CLUSTER] = "envoy.config.cluster.v3.Cluster",
	[MESH_PART_ENDPOINTS] = "envoy.config.endpoint.v3.ClusterLoadAssignment",
	[MESH_PART_LISTENER] = "envoy.config.listener.v3.Listener",
	[MESH_PART_ROUTES] = "envoy.config.route.v3.RouteConfiguration",
	[MESH_PART_RPC_ROUTES] =
		"envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration",
	[MESH_PART_FILTER] = "envoy.config.core.v3.TypedExtensionConfig",
	[MESH_PART_VHOST] = "envoy.config.route.v3.VirtualHost",
};

static inline enum mesh_part_kind t_kind(const char *url)
{
	struct slice name = registry_type_name(slice_str(url));

	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		if (t_types[k] && slice_is_equal(name, slice_str(t_types[k])))
			return (enum mesh_part_kind)k;
	fail_msg("no kind for %s", url);
	return MESH_PART_SECRET;
}

/* The packed form of @json in @a. */
static inline struct slice t_wire(const char *type, const char *json, struct arena *a)
{
	const ProtobufCMessageDescriptor *d = registry_find(slice_str(type));
	char *text = arena_str(a, slice_str(json));
	ProtobufCMessage *m = NULL;
	struct protojson pj;
	struct err e = { "" };
	json_t *j;

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	j = json_loads(text, 0, NULL);
	if (!j)
		fail_msg("not JSON: %s", text);
	protojson_init(&pj, a, NULL, &e);
	if (protojson_read(&pj, d, j, &m) < 0)
		fail_msg("%s: %s", e.text, text);
	json_decref(j);
	return protojson_pack(m, a);
}

static inline int t_compile(enum mesh_part_kind kind, const char *json, struct xds_report *report,
			    struct mesh_part **ret_part, struct err *e)
{
	struct arena a = { 0 };
	int rc = xds_compile(kind, t_wire(t_types[kind], json, &a), NULL, report, ret_part, e);

	arena_done(&a);
	return rc;
}

static inline struct mesh_part *t_part(enum mesh_part_kind kind, const char *json)
{
	struct mesh_part *p = NULL;
	struct err e = { "" };

	if (t_compile(kind, json, NULL, &p, &e) < 0)
		fail_msg("%s: %s", e.text, json);
	return p;
}

#endif
