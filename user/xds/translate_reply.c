/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of Skiff's own answers: local_reply_config, and formats that make bodies. */
#include "xds/translate.h"

#define REPLY_BODY_MAX (1024 * 1024)
#define MAPPED_STATUS_MIN 200
#define MAPPED_STATUS_MAX 600 /* the first that is none */

int tr_body_format(struct translate *t, const PB_CORE(SubstitutionFormatString) * f,
		   const struct mesh_body_format **ret_f)
{
	struct mesh_body_format *b = arena_new(t->a, struct mesh_body_format);
	int rc = tr_string_format(t, f, &b->line);

	if (rc < 0)
		return rc;
	*ret_f = b;
	if (!*f->content_type) {
		b->content_type = b->line.json ? SLICE("application/json") : SLICE("text/plain");
		return 0;
	}
	return tr_line(t, "content_type", f->content_type, &b->content_type);
}

static int mapper_status(struct translate *t, const Google__Protobuf__UInt32Value *v,
			 struct mesh_reply_mapper *r)
{
	if (!v)
		return 0;
	if (v->value < MAPPED_STATUS_MIN || v->value >= MAPPED_STATUS_MAX)
		return tr_fail(t, "status_code %u is not between %d and %d", v->value,
			       MAPPED_STATUS_MIN, MAPPED_STATUS_MAX - 1);
	r->status = v->value;
	return 0;
}

static int mapper(struct translate *t, const PB_HCM(ResponseMapper) * m,
		  struct mesh_reply_mapper *r)
{
	int rc = tr_required(t, "filter", m->filter != NULL);

	if (rc == 0)
		rc = tr_log_filter(t, m->filter, &r->filter);
	if (rc == 0)
		rc = mapper_status(t, m->status_code, r);
	if (rc < 0)
		return rc;
	r->has_body = m->body != NULL;
	if (m->body)
		TR_IN(t, "body", tr_data_source(t, m->body, REPLY_BODY_MAX, &r->body));
	if (m->body_format_override)
		TR_IN(t, "body_format_override",
		      tr_body_format(t, m->body_format_override, &r->format));
	return tr_header_adds(t, "headers_to_add", m->headers_to_add, m->n_headers_to_add,
			      &r->headers);
}

int tr_local_reply(struct translate *t, const PB_HCM(LocalReplyConfig) * m,
		   const struct mesh_local_reply **ret_r)
{
	struct mesh_local_reply *r = arena_new(t->a, struct mesh_local_reply);

	r->mappers = TR_ARRAY(t, struct mesh_reply_mapper, m->n_mappers);
	r->n_mappers = (uint32_t)m->n_mappers;
	for (size_t i = 0; i < m->n_mappers; i++)
		TR_IN_AT(t, "mappers", i, mapper(t, m->mappers[i], &r->mappers[i]));
	if (m->body_format)
		TR_IN(t, "body_format", tr_body_format(t, m->body_format, &r->format));
	*ret_r = r;
	return 0;
}
