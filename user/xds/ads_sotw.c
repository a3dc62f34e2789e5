/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state-of-the-world protocol (xDS protocol, "Basic Protocol Overview"): a response for
 * clusters or listeners is all of them, one for a named type what came of those that were asked
 * for; each request repeats all names and the last version that was taken.
 */
#include <errno.h>

#include "xds/ads_impl.h"

/* A TTL, or a heartbeat, comes in an envelope. */
#define ENVELOPE "type.googleapis.com/envoy.service.discovery.v3.Resource"

/* ---- requests ------------------------------------------------------------------------------- */

static void sotw_request(struct ads_node *n, struct ads_sub *s, const char *reasons)
{
	PB_DISCOVERY(DiscoveryRequest)
	q = ENVOY__SERVICE__DISCOVERY__V3__DISCOVERY_REQUEST__INIT;
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	struct arena a = { 0 };

	q.type_url = (char *)(uintptr_t)xds_type_url(s->kind);
	q.version_info = s->version ? s->version : q.version_info;
	q.response_nonce = s->nonce ? s->nonce : q.response_nonce;
	if (!n->self_sent)
		q.node = n->self;
	n->self_sent = true;
	if (!ads_kind_is_wildcard(s->kind)) {
		q.resource_names = arena_array(&a, char *, s->table.n + 1);
		for (uint32_t i = 0; i < s->table.n; i++)
			if (s->table.v[i].wants)
				q.resource_names[q.n_resource_names++] = s->table.v[i].name->text;
	}
	if (reasons) {
		status.code = ADS_NACK_CODE;
		status.message = (char *)(uintptr_t)reasons;
		q.error_detail = &status;
	}
	ads_node_send(n, &q.base);
	arena_done(&a);
}

static void sotw_first(struct ads_node *n, struct ads_sub *s)
{
	sotw_request(n, s, NULL);
}

static void sotw_names(struct ads_node *n, struct ads_sub *s, const struct ads_names *fresh,
		       const struct ads_names *idle)
{
	(void)fresh;
	(void)idle;
	sotw_request(n, s, NULL);
}

/* ---- responses ------------------------------------------------------------------------------ */

/* Opens the envelope, if it is one. */
static int update_open(const struct ads_update *u, struct arena *a, struct ads_update *ret_u,
		       struct err *e)
{
	*ret_u = *u;
	return slice_is_equal(u->type, SLICE(ENVELOPE)) ? ads_update_read(u->value, a, ret_u, e) :
							  0;
}

static bool is_seen(const struct ads_node *n, const struct ads_sub *s, const struct ads_update *u)
{
	struct slice name = u->name.len || !u->has_content ? u->name : xds_content_name(u->value);
	const struct ads_entry *e = ads_table_find(&s->table, xds_name_find(ads_store(n), name));

	return e && e->flags & ADS_SEEN;
}

/* As Envoy: the first one of a name is taken, the others are refused. */
static void resources_apply(struct ads_node *n, struct ads_sub *s, const struct ads_response *m,
			    struct arena *a, struct ads_verdict *v)
{
	struct ads_update u;
	struct err e;

	if (ads_kind_is_wildcard(s->kind))
		ads_rejected_clear(n, s);
	for (uint32_t i = 0; i < s->table.n; i++)
		s->table.v[i].flags &= (uint8_t)~ADS_SEEN;
	for (uint32_t i = 0; i < m->n; i++) {
		if (update_open(&m->v[i], a, &u, &e) < 0)
			ads_verdict_add(v, SLICE_NONE, "resource %u: %s", i, e.text);
		else if (is_seen(n, s, &u))
			ads_verdict_add(v, u.name.len ? u.name : xds_content_name(u.value),
					"the name comes twice in one response");
		else
			ads_update_apply(n, s, &u, v);
	}
	/* What was refused without a name may be any of them: it keeps its last good content. */
	if (!ads_kind_is_wildcard(s->kind) || v->is_nameless)
		return;
	for (uint32_t i = 0; i < s->table.n; i++)
		if (s->table.v[i].next && !(s->table.v[i].flags & ADS_SEEN))
			ads_entry_remove(n, s, &s->table.v[i]);
}

static int sotw_message(struct ads_node *n, struct slice bytes, struct err *e)
{
	struct ads_verdict v = { 0 };
	struct arena a = { 0 };
	struct ads_response m;
	struct ads_sub *s;
	int rc = ads_response_read(bytes, false, &a, &m, e);

	if (rc == 0) {
		s = ads_sub_find(n, m.type);
		if (s) {
			resources_apply(n, s, &m, &a, &v);
			ads_response_done(n, s, m.version, m.nonce, &v);
		}
	}
	arena_done(&a);
	return rc;
}

const struct ads_proto ads_proto_sotw = {
	.method = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
		  "/StreamAggregatedResources",
	.first = sotw_first,
	.names = sotw_names,
	.ack = sotw_request,
	.message = sotw_message,
};
