/* SPDX-License-Identifier: Apache-2.0 */
/* Header changes: HeaderValueOption lists, removals, and the formats of their values. */
#include "l7/format.h"
#include "xds/translate.h"

#define HEADER_OPS_MAX 1000 /* as Envoy's limit of one list */

int tr_format(struct translate *t, struct slice text, const struct l7_format **ret_f)
{
	struct err e;

	if (l7_format_compile(text, t->a, ret_f, &e) < 0)
		return tr_fail(t, "%s", e.text);
	return 0;
}

/* Names that header lists may not touch: routing has its own fields for them. */
static bool name_is_fixed(const char *name)
{
	return name[0] == ':' || strcasecmp(name, "host") == 0;
}

static int name_check(struct translate *t, const char *name)
{
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || (*p == ':' && p != name))
			return tr_fail(t, "\"%s\" is not a header name", name);
	return 0;
}

static int append_action(struct translate *t, const PB_CORE(HeaderValueOption) * o,
			 enum mesh_append *ret_action)
{
	static const enum mesh_append actions[] = { MESH_APPEND_OR_ADD, MESH_ADD_IF_ABSENT,
						    MESH_OVERWRITE_OR_ADD,
						    MESH_OVERWRITE_IF_EXISTS };

	if (o->append && o->append_action)
		return tr_fail(t, "only one of append and append_action may be set");
	if (o->append)
		*ret_action = o->append->value ? MESH_APPEND_OR_ADD : MESH_OVERWRITE_OR_ADD;
	else if (o->append_action >= 0 && (size_t)o->append_action < ARRAY_LEN(actions))
		*ret_action = actions[o->append_action];
	else
		return tr_fail(t, "append_action %d is not known", (int)o->append_action);
	return 0;
}

int tr_header_add(struct translate *t, const PB_CORE(HeaderValueOption) * o,
		  struct mesh_header_add *ret_h)
{
	const PB_CORE(HeaderValue) *h = o->header;
	struct slice text;
	int rc = tr_required(t, "header", h);

	if (rc == 0)
		rc = tr_nonempty(t, "header.key", h->key);
	if (rc == 0)
		rc = name_check(t, h->key);
	if (rc == 0)
		rc = append_action(t, o, &ret_h->action);
	if (rc < 0)
		return rc;
	if (name_is_fixed(h->key))
		return tr_fail(t, "\"%s\": :-prefixed or host headers may not be modified", h->key);
	tr_no_effect(t, &h->base, "raw_value", h->raw_value.len > 0); /* as in Envoy */
	text = tr_str(t, h->value);
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '\r' || text.ptr[i] == '\n' || text.ptr[i] == '\0')
			return tr_fail(t, "the value of \"%s\" has a line break or NUL", h->key);
	ret_h->name = tr_lower(t, h->key);
	ret_h->keep_empty = o->keep_empty_value;
	TR_IN(t, "header.value", tr_format(t, text, &ret_h->value));
	return 0;
}

int tr_header_adds(struct translate *t, const char *field, PB_CORE(HeaderValueOption) * *v,
		   size_t n, struct mesh_header_ops *ret_ops)
{
	if (n > HEADER_OPS_MAX)
		return tr_fail(t, "%s has more than %d entries", field, HEADER_OPS_MAX);
	ret_ops->add = TR_ARRAY(t, struct mesh_header_add, n);
	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, field, i, tr_header_add(t, v[i], &ret_ops->add[i]));
	ret_ops->n_add = (uint32_t)n;
	return 0;
}

static int remove_check(struct translate *t, const char *name)
{
	int rc = *name ? name_check(t, name) : tr_fail(t, "a header name may not be empty");

	if (rc == 0 && name_is_fixed(name))
		return tr_fail(t, "\"%s\": :-prefixed or host headers may not be removed", name);
	return rc;
}

int tr_header_removes(struct translate *t, const char *field, char **v, size_t n,
		      struct mesh_header_ops *ret_ops)
{
	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, field, i, remove_check(t, v[i]));
	ret_ops->remove = tr_strs(t, v, n, true);
	ret_ops->n_remove = (uint32_t)n;
	return 0;
}

int tr_mutations(struct translate *t, PB_CORE(HeaderValueOption) * *req_add, size_t n_req_add,
		 char **req_remove, size_t n_req_remove, PB_CORE(HeaderValueOption) * *resp_add,
		 size_t n_resp_add, char **resp_remove, size_t n_resp_remove,
		 struct mesh_mutations *ret_m)
{
	int rc = tr_header_adds(t, "request_headers_to_add", req_add, n_req_add, &ret_m->request);

	if (rc == 0)
		rc = tr_header_removes(t, "request_headers_to_remove", req_remove, n_req_remove,
				       &ret_m->request);
	if (rc == 0)
		rc = tr_header_adds(t, "response_headers_to_add", resp_add, n_resp_add,
				    &ret_m->response);
	if (rc == 0)
		rc = tr_header_removes(t, "response_headers_to_remove", resp_remove, n_resp_remove,
				       &ret_m->response);
	return rc;
}
