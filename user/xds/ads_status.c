/* SPDX-License-Identifier: Apache-2.0 */
/* What others may see of a node: the published set, status, resources. Changes nothing. */
#include "xds/ads_impl.h"

bool ads_node_is_ready(const struct ads_node *n)
{
	return n->is_ready;
}

bool ads_node_is_complete(const struct ads_node *n)
{
	return n->is_complete;
}

bool ads_node_is_stale(const struct ads_node *n)
{
	return n->is_stale;
}

struct mesh_part *const *ads_node_parts(const struct ads_node *n, uint32_t *ret_n)
{
	struct ads *a = n->ads;
	uint32_t at = 0, all = 1;

	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		all += n->subs[k].table.n;
	if (all > a->parts_cap) {
		a->parts = xrealloc(a->parts, all * sizeof(*a->parts));
		a->parts_cap = all;
	}
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
		const struct ads_table *t = &n->subs[k].table;

		for (uint32_t i = 0; i < t->n; i++)
			if (t->v[i].cur)
				a->parts[at++] = t->v[i].cur->part;
	}
	*ret_n = at;
	return a->parts;
}

uint64_t ads_node_fingerprint(const struct ads_node *n)
{
	return n->fingerprint;
}

static const char *text_or_empty(const char *s)
{
	return s ? s : "";
}

/* Named resources that are wanted and not answered. */
static uint32_t sub_missing(const struct ads_sub *s)
{
	uint32_t missing = 0;

	if (ads_kind_is_wildcard(s->kind))
		return s->asked && !s->answered;
	for (uint32_t i = 0; i < s->table.n; i++)
		missing += s->table.v[i].wants && !(s->table.v[i].flags & ADS_ANSWERED);
	return missing;
}

static bool sub_is_in_sync(const struct ads_sub *s)
{
	if (!s->asked)
		return !ads_kind_is_wildcard(s->kind);
	return !s->error && !s->n_rejected && !s->warming && !s->removed && !s->changed &&
	       sub_missing(s) == 0;
}

void ads_node_status(const struct ads_node *n, struct ads_status *ret_s)
{
	bool is_in_sync = n->stream && n->stream_answered;

	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		is_in_sync = is_in_sync && sub_is_in_sync(&n->subs[k]);
	*ret_s = (struct ads_status){
		.is_connected = n->stream && n->stream_answered,
		.is_in_sync = is_in_sync,
		.is_complete = n->is_complete,
		.is_stale = n->is_stale,
		.is_delta = n->proto == &ads_proto_delta,
		.streams = n->streams,
		.grpc_status = n->grpc_status,
		.error = text_or_empty(n->error),
	};
}

void ads_node_type_status(const struct ads_node *n, enum mesh_part_kind kind,
			  struct ads_type_status *ret_s)
{
	const struct ads_sub *s = &n->subs[kind];
	uint32_t published = 0;

	for (uint32_t i = 0; i < s->table.n; i++)
		published += s->table.v[i].cur != NULL ||
			     (kind == MESH_PART_VHOST && s->table.v[i].next);
	*ret_s = (struct ads_type_status){
		.is_asked = s->asked,
		.is_in_sync = sub_is_in_sync(s),
		.version = slice_str(text_or_empty(s->version)),
		.nonce = slice_str(text_or_empty(s->nonce)),
		.responses = s->responses,
		.nacks = s->nacks,
		.ignored = s->ignored,
		.published = published,
		.warming = s->warming,
		.missing = sub_missing(s),
		.rejected = s->n_rejected,
		.last_push_ns = s->last_push,
		.latency_ns = s->latency_ns,
		.error = text_or_empty(s->error),
	};
}

void ads_node_each_rejected(const struct ads_node *n, enum mesh_part_kind kind,
			    void (*fn)(void *arg, struct slice name, const char *reason), void *arg)
{
	const struct ads_sub *s = &n->subs[kind];

	for (uint32_t i = 0; i < s->n_rejected; i++)
		fn(arg, xds_name_slice(s->rejected[i].name), s->rejected[i].reason);
}

void ads_node_each(const struct ads_node *n, enum mesh_part_kind kind,
		   void (*fn)(void *arg, const struct ads_item *item), void *arg)
{
	const struct ads_table *t = &n->subs[kind].table;

	for (uint32_t i = 0; i < t->n; i++) {
		struct ads_item item = {
			.name = xds_name_slice(t->v[i].name),
			.version = xds_name_slice(t->v[i].version),
			.updated = t->v[i].updated,
			.published = t->v[i].cur,
			.warming = t->v[i].next != t->v[i].cur ? t->v[i].next : NULL,
		};

		if (item.published || item.warming)
			fn(arg, &item);
	}
}
