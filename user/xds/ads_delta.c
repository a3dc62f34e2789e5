/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The incremental protocol (xDS protocol, "Incremental xDS"): responses are differences, names are
 * subscribed and given up one by one. ACKs carry no subscriptions, subscriptions no nonce: a server
 * that drops a request with a nonce that is no longer its last one loses no subscription.
 */
#include <errno.h>

#include "base/slice_set.h"
#include "xds/ads_impl.h"

#define PB_VERSION PB_DISCOVERY(DeltaDiscoveryRequest__InitialResourceVersionsEntry)
#define PB_VERSION_INIT \
	ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INITIAL_RESOURCE_VERSIONS_ENTRY__INIT /* style: generated */

/* ---- requests ------------------------------------------------------------------------------- */

static void request_init(PB_DISCOVERY(DeltaDiscoveryRequest) * q, struct ads_node *n,
			 const struct ads_sub *s)
{
	*q = (PB_DISCOVERY(
		DeltaDiscoveryRequest))ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
	q->type_url = (char *)(uintptr_t)xds_type_url(s->kind);
	if (!n->self_sent)
		q->node = n->self;
	n->self_sent = true;
}

/* What the node has, with versions, so that the server need not send it again. */
static void initial_versions(PB_DISCOVERY(DeltaDiscoveryRequest) * q, const struct ads_table *t,
			     struct arena *a)
{
	q->initial_resource_versions = arena_array(a, PB_VERSION *, t->n + 1);
	for (uint32_t i = 0; i < t->n; i++) {
		const struct ads_entry *e = &t->v[i];
		PB_VERSION *x;

		if (!e->next)
			continue;
		x = arena_new(a, PB_VERSION);
		*x = (PB_VERSION)PB_VERSION_INIT;
		x->key = e->name->text;
		x->value = e->version ? e->version->text : x->value;
		q->initial_resource_versions[q->n_initial_resource_versions++] = x;
	}
}

/* Is the entry's name one that the server is told? */
static bool is_said(const struct ads_node *n, const struct ads_sub *s, const struct ads_entry *e)
{
	return e->wants && !(s->kind == MESH_PART_VHOST && ads_vhds_is_table(n, e->name));
}

static void delta_first(struct ads_node *n, struct ads_sub *s)
{
	PB_DISCOVERY(DeltaDiscoveryRequest) q;
	struct arena a = { 0 };

	request_init(&q, n, s);
	initial_versions(&q, &s->table, &a);
	if (!ads_kind_is_wildcard(s->kind)) {
		q.resource_names_subscribe = arena_array(&a, char *, s->table.n + 1);
		for (uint32_t i = 0; i < s->table.n; i++)
			if (is_said(n, s, &s->table.v[i]))
				q.resource_names_subscribe[q.n_resource_names_subscribe++] =
					s->table.v[i].name->text;
	}
	ads_node_send(n, &q.base);
	arena_done(&a);
}

static char **texts_of(const struct ads_node *n, const struct ads_sub *s, const struct ads_names *l,
		       struct arena *a, size_t *ret_n)
{
	char **v = arena_array(a, char *, l->n + 1);

	*ret_n = 0;
	for (uint32_t i = 0; i < l->n; i++)
		if (s->kind != MESH_PART_VHOST || !ads_vhds_is_table(n, l->v[i]))
			v[(*ret_n)++] = l->v[i]->text;
	return v;
}

static void delta_names(struct ads_node *n, struct ads_sub *s, const struct ads_names *fresh,
			const struct ads_names *idle)
{
	PB_DISCOVERY(DeltaDiscoveryRequest) q;
	struct arena a = { 0 };

	request_init(&q, n, s);
	q.resource_names_subscribe = texts_of(n, s, fresh, &a, &q.n_resource_names_subscribe);
	q.resource_names_unsubscribe = texts_of(n, s, idle, &a, &q.n_resource_names_unsubscribe);
	if (q.n_resource_names_subscribe || q.n_resource_names_unsubscribe)
		ads_node_send(n, &q.base);
	arena_done(&a);
}

static void delta_ack(struct ads_node *n, struct ads_sub *s, const char *reasons)
{
	PB_DISCOVERY(DeltaDiscoveryRequest) q;
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;

	request_init(&q, n, s);
	q.response_nonce = s->nonce ? s->nonce : q.response_nonce;
	if (reasons) {
		status.code = ADS_NACK_CODE;
		status.message = (char *)(uintptr_t)reasons;
		q.error_detail = &status;
	}
	ads_node_send(n, &q.base);
}

/* ---- responses ------------------------------------------------------------------------------ */

/* Does a name come twice, among what is added and removed? */
static bool name_is_twice(const struct ads_response *m, struct arena *a, struct slice *ret_name)
{
	struct slice_set names;

	slice_set_init(&names, a, m->n + m->n_gone);
	for (uint32_t i = 0; i < m->n + m->n_gone; i++) {
		*ret_name = i < m->n ? m->v[i].name : m->gone[i - m->n];
		if (!slice_set_add(&names, *ret_name))
			return true;
	}
	return false;
}

static void resources_apply(struct ads_node *n, struct ads_sub *s, const struct ads_response *m,
			    struct ads_verdict *v)
{
	for (uint32_t i = 0; i < m->n; i++)
		/* An alias without content is the answer for a name that led to nothing. */
		if (m->v[i].has_content || !m->v[i].n_aliases)
			ads_update_apply(n, s, &m->v[i], v);
	for (uint32_t i = 0; i < m->n_gone; i++)
		ads_name_remove(n, s, m->gone[i]);
}

static void response_take(struct ads_node *n, struct ads_sub *s, const struct ads_response *m,
			  struct arena *a)
{
	struct ads_verdict v = { 0 };
	struct slice twice;

	if (name_is_twice(m, a, &twice)) {
		v.is_whole = true;
		ads_verdict_add(&v, twice, "the name comes twice in one response");
	} else if (s->kind == MESH_PART_VHOST) {
		ads_vhds_response(n, m, &v);
	} else {
		resources_apply(n, s, m, &v);
	}
	ads_response_done(n, s, m->version, m->nonce, &v);
}

static int delta_message(struct ads_node *n, struct slice bytes, struct err *e)
{
	struct arena a = { 0 };
	struct ads_response m;
	struct ads_sub *s;
	int rc = ads_response_read(bytes, true, &a, &m, e);

	if (rc == 0) {
		s = ads_sub_find(n, m.type);
		if (s)
			response_take(n, s, &m, &a);
	}
	arena_done(&a);
	return rc;
}

const struct ads_proto ads_proto_delta = {
	.method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
	.first = delta_first,
	.names = delta_names,
	.ack = delta_ack,
	.message = delta_message,
};
