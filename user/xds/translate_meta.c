/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata of routes as a flat list of values, for what looks them up by a path of keys. */
#include <jansson.h>

#include "l7/info.h"
#include "xds/translate.h"

#define META_MAX 256 /* values of one Metadata */
#define META_DEPTH_MAX 16

struct values {
	struct translate *t;
	struct metadata_value v[META_MAX];
	uint32_t n;
};

static json_t *to_json(const Google__Protobuf__Value *v, unsigned int depth);

static json_t *object_to_json(const Google__Protobuf__Struct *s, unsigned int depth)
{
	json_t *o = json_object();

	for (size_t i = 0; i < s->n_fields; i++)
		json_object_set_new_nocheck(o, s->fields[i]->key,
					    to_json(s->fields[i]->value, depth));
	return o;
}

static json_t *list_to_json(const Google__Protobuf__ListValue *l, unsigned int depth)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->n_values; i++)
		json_array_append_new(a, to_json(l->values[i], depth));
	return a;
}

static json_t *number_to_json(double d)
{
	return d == (double)(long long)d ? json_integer((long long)d) : json_real(d);
}

static json_t *to_json(const Google__Protobuf__Value *v, unsigned int depth)
{
	if (!v || depth > META_DEPTH_MAX)
		return json_null();
	switch (v->kind_case) {
	case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE: return json_string(v->string_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE: return number_to_json(v->number_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE: return json_boolean(v->bool_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
		return object_to_json(v->struct_value, depth + 1);
	case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
		return list_to_json(v->list_value, depth + 1);
	default: return json_null();
	}
}

static struct slice join(struct translate *t, struct slice path, const char *key)
{
	return arena_printf(t->a, "%.*s%c%s", SLICE_ARG(path), METADATA_SEP, key);
}

static int add_struct(struct values *x, struct slice path, const Google__Protobuf__Struct *s,
		      unsigned int depth);

static int add_json(struct values *x, struct slice path, json_t *j)
{
	char *text = json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);

	x->v[x->n++] = (struct metadata_value){ .path = path, .text = tr_str(x->t, text) };
	free(text);
	json_decref(j);
	return 0;
}

static int add(struct values *x, struct slice path, const Google__Protobuf__Value *v,
	       unsigned int depth)
{
	int rc = 0;

	if (x->n == META_MAX || depth > META_DEPTH_MAX)
		return tr_fail(x->t, "more than %d values, or nested deeper than %d", META_MAX,
			       META_DEPTH_MAX);
	if (!v || v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE)
		return 0; /* as if it were not there */
	if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE) {
		x->v[x->n++] = (struct metadata_value){ .path = path,
						   .text = tr_str(x->t, v->string_value),
						   .is_string = true };
		return 0;
	}
	if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
		rc = add_struct(x, path, v->struct_value, depth + 1);
	if (rc == 0 && x->n == META_MAX)
		return tr_fail(x->t, "more than %d values", META_MAX);
	return rc < 0 ? rc : add_json(x, path, to_json(v, depth));
}

static int add_struct(struct values *x, struct slice path, const Google__Protobuf__Struct *s,
		      unsigned int depth)
{
	for (size_t i = 0; s && i < s->n_fields; i++) {
		int rc = add(x, join(x->t, path, s->fields[i]->key), s->fields[i]->value, depth);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int tr_metadata_values(struct translate *t, const PB_CORE(Metadata) * m,
		       const struct metadata **ret_m)
{
	struct values x = { .t = t };
	struct metadata *out;
	struct metadata_value *v;

	for (size_t i = 0; i < m->n_filter_metadata; i++) {
		const Google__Protobuf__Struct *s = m->filter_metadata[i]->value;
		struct slice name = tr_str(t, m->filter_metadata[i]->key);
		int rc = add_struct(&x, name, s, 0);

		if (rc == 0 && s && s->n_fields && x.n < META_MAX)
			rc = add_json(&x, name, object_to_json(s, 0));

		if (rc < 0)
			return rc;
	}
	v = TR_ARRAY(t, struct metadata_value, x.n);
	memcpy(v, x.v, x.n * sizeof(*x.v));
	out = arena_new(t->a, struct metadata);
	*out = (struct metadata){ v, x.n };
	*ret_m = out;
	return 0;
}

struct slice tr_metadata_path(struct translate *t, const Envoy__Type__Metadata__V3__MetadataKey *m)
{
	struct slice path = tr_str(t, m->key);

	for (size_t i = 0; i < m->n_path; i++)
		path = join(t, path, m->path[i]->key ? m->path[i]->key : "");
	return path;
}
