/* SPDX-License-Identifier: Apache-2.0 */
/* A pod's record -> the node of its sidecar; see node.h. */
#include "xds/node.h"

#include <errno.h>

#include "base/buf.h"

static const char * or (const char *s, const char *otherwise)
{
	return s && *s ? s : otherwise;
}

static const char *label(const struct xds_pod *p, const char *key)
{
	for (uint32_t i = 0; i < p->n_labels; i++)
		if (strcmp(p->labels[i].key, key) == 0)
			return p->labels[i].value;
	return NULL;
}

static void set(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		json_object_set_new(o, key, json_string(value));
}

/* "10.0.0.1,fd00::1" */
static void set_addresses(json_t *o, const struct xds_pod *p)
{
	char text[ADDR_TEXT_MAX];
	struct buf b = { 0 };

	for (uint32_t i = 0; i < p->n_addresses; i++) {
		addr_format_ip(&p->addresses[i], text);
		buf_printf(&b, "%s%s", i ? "," : "", text);
	}
	json_object_set_new(o, "INSTANCE_IPS", json_stringn(buf_ptr(&b), buf_len(&b)));
	buf_done(&b);
}

static json_t *metadata_make(const struct xds_pod *p)
{
	json_t *o = json_object(), *labels = json_object();

	for (uint32_t i = 0; i < p->n_labels; i++)
		set(labels, p->labels[i].key, p->labels[i].value);
	set(o, "NAME", p->name);
	set(o, "NAMESPACE", p->namespace_);
	set_addresses(o, p);
	json_object_set_new(o, "LABELS", labels);
	set(o, "SERVICE_ACCOUNT", or (p->service_account, "default"));
	set(o, "WORKLOAD_NAME", or (or (p->workload, label(p, "app")), p->name));
	set(o, "CLUSTER_ID", or (p->cluster_id, "Kubernetes"));
	set(o, "MESH_ID", or (p->mesh_id, "cluster.local"));
	set(o, "NETWORK", p->network);
	set(o, "ISTIO_VERSION", or (p->istio_version, XDS_ISTIO_VERSION));
	set(o, "INTERCEPTION_MODE", or (p->interception, "REDIRECT"));
	set(o, "NODE_NAME", p->node_name);
	return o;
}

int xds_node_make(const struct xds_pod *p, struct xds_node *ret_n, struct err *e)
{
	char ip[ADDR_TEXT_MAX];

	if (!p->name || !*p->name || !p->namespace_ || !*p->namespace_ || !p->n_addresses)
		return err_set(e, -EINVAL,
			       "a node needs a pod's name, its namespace and an address");
	addr_format_ip(&p->addresses[0], ip);
	ret_n->id = xasprintf("sidecar~%s~%s.%s~%s.svc.%s", ip, p->name, p->namespace_,
			      p->namespace_, or (p->domain, "cluster.local"));
	ret_n->cluster = xasprintf("%s.%s", or (label(p, "app"), p->name), p->namespace_);
	ret_n->metadata = metadata_make(p);
	ret_n->info = (struct ads_node_info){
		.id = ret_n->id,
		.cluster = ret_n->cluster,
		.region = p->region,
		.zone = p->zone,
		.sub_zone = p->sub_zone,
		.metadata = ret_n->metadata,
	};
	return 0;
}

void xds_node_done(struct xds_node *n)
{
	free(n->id);
	free(n->cluster);
	json_decref(n->metadata);
	*n = (struct xds_node){ 0 };
}
