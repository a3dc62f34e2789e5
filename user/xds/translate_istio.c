/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Istio's own extensions that need nothing here: its statistics and the identity of peers are
 * built in, ALPN belongs to TLS. They are known by the names of their types.
 */
#include "xds/translate.h"

static const char *const nothing[] = {
	"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
	"envoy.tcp.metadataexchange.config.MetadataExchange",
	"io.istio.http.peer_metadata.Config",
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
	"stats.PluginConfig",
};

bool tr_is_nothing(struct translate *t, const Google__Protobuf__Any *any)
{
	const char *type = any ? protojson_any_type(&t->pj, &any->base) : NULL;

	for (size_t i = 0; type && i < ARRAY_LEN(nothing); i++)
		if (strcmp(type, nothing[i]) == 0)
			return true;
	return false;
}

int tr_cluster_filters(struct translate *t, const PB_CLUSTER(Cluster) * m)
{
	for (size_t i = 0; i < m->n_filters; i++) {
		const PB_CLUSTER(Filter) *f = m->filters[i];

		if (tr_is_nothing(t, f->typed_config))
			continue;
		if (!t->is_xds)
			return tr_files_refuse(t, &m->base, "filters");
		xds_path_push_at(&t->pj.path, "filters", i);
		return tr_fail(
			t,
			"cluster filter \"%s\" of type \"%s\" is not supported yet by this "
			"version",
			f->name,
			f->typed_config ? protojson_any_type(&t->pj, &f->typed_config->base) : "");
	}
	return 0;
}

/* Istio says in its metadata what a cluster stands for. */
void tr_cluster_service(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	const Google__Protobuf__Struct *istio = tr_metadata(m->metadata, "istio"), *first;
	const Google__Protobuf__Value *v = tr_value(istio, "services");

	c->subset = tr_value_text(t, tr_value(istio, "subset"));
	if (!v || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE ||
	    !v->list_value->n_values ||
	    v->list_value->values[0]->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
		return;
	first = v->list_value->values[0]->struct_value;
	c->service_host = tr_value_text(t, tr_value(first, "host"));
	c->service = tr_value_text(t, tr_value(first, "name"));
	c->service_namespace = tr_value_text(t, tr_value(first, "namespace"));
}
