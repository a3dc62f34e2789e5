/* SPDX-License-Identifier: Apache-2.0 */
/* local_reply_config: rewrites the answers that HTTP's connection manager gives itself. */
#include "filter/filter.h"
#include "proxy/http.h"

static const struct mesh_reply_mapper *mapper_find(const struct mesh_local_reply *l,
						   const struct l7_info *in, struct rng *rng)
{
	for (uint32_t i = 0; i < l->n_mappers; i++)
		if (filter_log_is_wanted(l->mappers[i].filter, in, rng))
			return &l->mappers[i];
	return NULL;
}

struct slice http_format_body(const struct mesh_body_format *f, struct l7_info *in,
			      struct slice body, struct arena *a)
{
	struct buf b = { 0 };

	in->local_reply_body = body;
	filter_log_line(&f->line, in, &b);
	in->local_reply_body = SLICE_NONE;
	body = arena_slice(a, buf_slice(&b));
	buf_done(&b);
	return body;
}

/* Whether the answer has a type already counts only as long as its body stays. */
static void set_type(struct l7_props *p, struct slice type, bool is_forced)
{
	if (is_forced || !l7_props_get(p, L7_KEY_CONTENT_TYPE))
		l7_props_set(p, L7_KEY_CONTENT_TYPE, type);
}

void http_rewrite_reply(const struct mesh_local_reply *l, struct l7_msg *m, struct l7_info *in,
			struct rng *rng, struct arena *a, struct slice *body)
{
	const struct mesh_body_format *f = l->format;
	const struct mesh_reply_mapper *r;
	uint32_t flags = in->flags;
	struct slice type = l7_props_value(&m->props, L7_KEY_CONTENT_TYPE), was = *body;
	bool has_type;

	/* As Envoy, which sets these two behind the answer. */
	in->flags &= ~(L7_FLAG(RL) | L7_FLAG(DPE));
	in->status = m->status;
	in->response = m;
	r = mapper_find(l, in, rng);
	if (r) {
		if (r->has_body)
			*body = r->body;
		route_headers_apply(&r->headers, m, in, a);
		if (r->status)
			in->status = m->status = r->status;
		if (r->format)
			f = r->format;
	}
	if (f)
		*body = http_format_body(f, in, *body, a);
	in->flags = flags;
	has_type = !slice_is_equal(type, l7_props_value(&m->props, L7_KEY_CONTENT_TYPE));
	set_type(&m->props, f ? f->content_type : SLICE("text/plain"),
		 !has_type && !slice_is_equal(was, *body));
}
