/* SPDX-License-Identifier: Apache-2.0 */
/* What `skiffctl status` is told, as JSON. */
#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/json.h"
#include "xds/ads.h"
#include "xds/grpc.h"

static double seconds_since(uint64_t mono_ns)
{
	return (double)(clock_mono_ns() - mono_ns) / (double)NSEC_PER_SEC;
}

static json_t *server_json(const struct grpc_channel *ch)
{
	struct grpc_channel_info info;

	grpc_channel_info_get(ch, &info);
	return json_pack("{s:o, s:b, s:f, s:o}", "server", text_json(info.address), "connected",
			 info.is_up, "since_seconds", seconds_since(info.since), "error",
			 text_json(info.error));
}

static void port_add(void *list, const struct agent_port *p)
{
	char at[ADDR_TEXT_MAX];

	addr_format(&p->addr, at);
	json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "listener",
					      text_json(p->listener), "address", at, "error",
					      text_json(p->error ? p->error : "")));
}

static json_t *ports_json(const struct agent *a, const struct agent_pod *p)
{
	json_t *list = json_array();

	a->engine.pod_ports(a->engine.arg, p->ref.id, port_add, list);
	return list;
}

/* What the control plane sent, and what became of it here. */
static json_t *node_json(const struct agent *a, const struct agent_pod *p)
{
	static const char *const phases[] = {
		[AGENT_SERVED] = "served",
		[AGENT_HELD] = "held",
		[AGENT_CLOSED] = "closed",
	};
	json_t *o = ads_node_json(p->xds);
	char *pod = xasprintf("%s/%s", p->conf.namespace_, p->conf.name);

	json_object_set_new(o, "pod", text_json(pod));
	json_object_set_new(o, "connections", json_string(phases[p->phase]));
	json_object_set_new(o, "ports", ports_json(a, p));
	if (ads_node_is_stale(p->xds))
		json_object_set_new(o, "age_seconds",
				    json_integer((json_int_t)agent_xds_disk_age(a)));
	if (p->refusal)
		json_object_set_new(o, "error", text_json(p->refusal));
	free(pod);
	return o;
}

/* Pods whose configuration is files. */
static json_int_t from_files(const struct agent *a)
{
	json_int_t n = 0;

	list_for_each(i, &a->pods)
		n += list_entry(i, struct agent_pod, node)->xds == NULL;
	return n;
}

json_t *agent_status(struct agent *a)
{
	const struct grpc_channel *ch = agent_xds_channel(a);
	json_t *o = json_object(), *nodes;

	json_object_set_new(o, "skiffd", json_string(SKIFF_VERSION));
	json_object_set_new(o, "uptime_seconds", json_real(seconds_since(a->started_ns)));
	json_object_set_new(o, "version_seconds",
			    json_real(a->snap ? seconds_since(a->published_ns) : 0));
	json_object_set_new(o, "pods_from_files", json_integer(from_files(a)));
	json_object_set_new(o, "version", json_integer(a->snap ? (json_int_t)a->snap->version : 0));
	json_object_set_new(o, "error", text_json(a->last_error));
	if (!ch)
		return o;
	nodes = json_array();
	json_object_set_new(o, "xds", server_json(ch));
	json_object_set_new(o, "nodes", nodes);
	list_for_each(n, &a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->xds)
			json_array_append_new(nodes, node_json(a, p));
	}
	return o;
}
