/* SPDX-License-Identifier: Apache-2.0 */
/* A node's status as JSON. */
#include <math.h>

#include "base/clock.h"
#include "base/json.h"
#include "xds/ads.h"

#define REPORT_SHOWN 200 /* entries of one type that are listed */

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *milliseconds(uint64_t ns)
{
	return json_real(round((double)ns / 1e3) / 1e3);
}

static void rejected_add(void *arg, struct slice name, const char *reason)
{
	json_array_append_new(arg, json_pack("{s:o, s:o}", "name", slice_json(name), "reason",
					     text_json(reason)));
}

static void report_add(void *arg, const struct ads_item *item)
{
	const struct xds_resource *r = item->published ? item->published : item->warming;

	for (size_t i = 0; i < r->report.n && json_array_size(arg) < REPORT_SHOWN; i++)
		json_array_append_new(arg,
				      json_pack("{s:o, s:o, s:o}", "name", slice_json(item->name),
						"path", slice_json(r->report.v[i].path), "text",
						slice_json(r->report.v[i].text)));
}

static json_t *type_json(const struct ads_node *n, enum mesh_part_kind kind)
{
	json_t *rejected = json_array(), *no_effect = json_array(), *j = json_object();
	struct ads_type_status s;

	ads_node_type_status(n, kind, &s);
	ads_node_each_rejected(n, kind, rejected_add, rejected);
	ads_node_each(n, kind, report_add, no_effect);
	json_object_set_new(j, "in_sync", json_boolean(s.is_in_sync));
	json_object_set_new(j, "version", slice_json(s.version));
	json_object_set_new(j, "responses", number(s.responses));
	json_object_set_new(j, "nacks", number(s.nacks));
	json_object_set_new(j, "ignored", number(s.ignored));
	json_object_set_new(j, "published", number(s.published));
	json_object_set_new(j, "warming", number(s.warming));
	json_object_set_new(j, "missing", number(s.missing));
	json_object_set_new(j, "last_push", number(s.last_push_ns / NSEC_PER_MSEC));
	json_object_set_new(j, "latency_ms", milliseconds(s.latency_ns));
	json_object_set_new(j, "error", text_json(s.error));
	json_object_set_new(j, "rejected", rejected);
	json_object_set_new(j, "no_effect", no_effect);
	return j;
}

json_t *ads_node_json(const struct ads_node *n)
{
	json_t *types = json_object(), *j = json_object();
	struct ads_status s;

	ads_node_status(n, &s);
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
		struct ads_type_status t;

		ads_node_type_status(n, (enum mesh_part_kind)k, &t);
		if (t.is_asked || t.responses || t.published)
			json_object_set_new(types, xds_type_short((enum mesh_part_kind)k),
					    type_json(n, (enum mesh_part_kind)k));
	}
	json_object_set_new(j, "node", text_json(ads_node_id(n)));
	json_object_set_new(j, "connected", json_boolean(s.is_connected));
	json_object_set_new(j, "in_sync", json_boolean(s.is_in_sync));
	json_object_set_new(j, "complete", json_boolean(s.is_complete));
	json_object_set_new(j, "stale", json_boolean(s.is_stale));
	json_object_set_new(j, "protocol", json_string(s.is_delta ? "delta" : "sotw"));
	json_object_set_new(j, "streams", number(s.streams));
	/* Why an earlier stream ended is no trouble any more. */
	json_object_set_new(j, "error", text_json(s.is_connected ? "" : s.error));
	json_object_set_new(j, "types", types);
	return j;
}
