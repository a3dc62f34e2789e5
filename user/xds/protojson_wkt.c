/* SPDX-License-Identifier: Apache-2.0 */
/* The messages that look special in JSON: Any, Struct, Value, ListValue, Duration, wrappers. */
#include <errno.h>

#include "xds/protojson_impl.h"
#include "xds/registry.h"

#define DURATION_SECONDS_MAX 315576000000ll /* as protobuf says */
#define TYPED_STRUCT "type.googleapis.com/xds.type.v3.TypedStruct"

enum wkt wkt_kind(const ProtobufCMessageDescriptor *d)
{
	if (d == &google__protobuf__any__descriptor)
		return WKT_ANY;
	if (d == &google__protobuf__struct__descriptor)
		return WKT_STRUCT;
	if (d == &google__protobuf__value__descriptor)
		return WKT_VALUE;
	if (d == &google__protobuf__list_value__descriptor)
		return WKT_LIST;
	if (d == &google__protobuf__duration__descriptor)
		return WKT_DURATION;
	if (d == &google__protobuf__bool_value__descriptor ||
	    d == &google__protobuf__string_value__descriptor ||
	    d == &google__protobuf__bytes_value__descriptor ||
	    d == &google__protobuf__int32_value__descriptor ||
	    d == &google__protobuf__uint32_value__descriptor ||
	    d == &google__protobuf__int64_value__descriptor ||
	    d == &google__protobuf__uint64_value__descriptor ||
	    d == &google__protobuf__float_value__descriptor ||
	    d == &google__protobuf__double_value__descriptor)
		return WKT_WRAPPER;
	return WKT_NONE;
}

bool type_is_typed_struct(const char *name)
{
	return strcmp(name, "xds.type.v3.TypedStruct") == 0 ||
	       strcmp(name, "udpa.type.v1.TypedStruct") == 0;
}

/* ---- Duration -------------------------------------------------------------------------------- */

/* Up to nine digits after the point as nanoseconds; -1 when malformed. */
static int64_t nanos_read(const char *s, const char *end)
{
	int64_t v = 0;
	int n = 0;

	for (; s < end && *s >= '0' && *s <= '9' && n < 9; s++, n++)
		v = v * 10 + (*s - '0');
	if (s != end || n == 0)
		return -1;
	for (; n < 9; n++)
		v *= 10;
	return v;
}

static int duration_read(struct protojson *pj, Google__Protobuf__Duration *d, const json_t *j)
{
	const char *s = json_string_value(j), *p = s, *end;
	int64_t seconds = 0, nanos = 0;
	bool negative;

	if (!s)
		return protojson_fail(pj, -EINVAL, "a duration such as \"0.25s\" is needed here");
	end = s + strlen(s);
	negative = *p == '-';
	p += negative;
	if (*p < '0' || *p > '9' || end[-1] != 's')
		return protojson_fail(pj, -EINVAL, "\"%s\" is not a duration such as \"0.25s\"", s);
	for (end--; *p >= '0' && *p <= '9'; p++) {
		seconds = seconds * 10 + (*p - '0');
		if (seconds > DURATION_SECONDS_MAX)
			return protojson_fail(pj, -EINVAL, "\"%s\" is too long a duration", s);
	}
	if (p != end)
		nanos = *p == '.' ? nanos_read(p + 1, end) : -1;
	if (nanos < 0)
		return protojson_fail(pj, -EINVAL, "\"%s\" is not a duration such as \"0.25s\"", s);
	d->seconds = negative ? -seconds : seconds;
	d->nanos = (int32_t)(negative ? -nanos : nanos);
	return 0;
}

static json_t *duration_write(const Google__Protobuf__Duration *d)
{
	int64_t nanos = d->nanos < 0 ? -(int64_t)d->nanos : d->nanos;
	unsigned long long seconds = d->seconds < 0 ? 0 - (unsigned long long)d->seconds :
						      (unsigned long long)d->seconds;
	int digits = nanos == 0 ? 0 : nanos % 1000000 == 0 ? 3 : nanos % 1000 == 0 ? 6 : 9;
	char buf[64], frac[16] = "";

	if (digits) {
		snprintf(frac, sizeof(frac), ".%09lld", (long long)(nanos % 1000000000));
		frac[digits + 1] = '\0';
	}
	snprintf(buf, sizeof(buf), "%s%llu%ss", d->seconds < 0 || d->nanos < 0 ? "-" : "", seconds,
		 frac);
	return json_string(buf);
}

/* ---- Struct ---------------------------------------------------------------------------------- */

static int struct_read(struct protojson *pj, Google__Protobuf__Struct *s, const json_t *j)
{
	const char *key;
	json_t *value;
	int rc;

	if (!json_is_object(j))
		return protojson_fail(pj, -EINVAL, "a map is needed here");
	s->fields = arena_array(pj->arena, Google__Protobuf__Struct__FieldsEntry *,
				json_object_size(j));
	json_object_foreach((json_t *)(uintptr_t)j, key, value)
	{
		size_t mark = xds_path_push(&pj->path, key);
		Google__Protobuf__Struct__FieldsEntry *e = (void *)message_new(
			pj->arena, &google__protobuf__struct__fields_entry__descriptor);

		e->key = arena_str(pj->arena, slice_str(key));
		rc = protojson_read(pj, &google__protobuf__value__descriptor, value,
				    (ProtobufCMessage **)&e->value);
		if (rc < 0)
			return rc;
		s->fields[s->n_fields++] = e;
		xds_path_pop(&pj->path, mark);
	}
	return 0;
}

static int values_read(struct protojson *pj, Google__Protobuf__ListValue *l, const json_t *j)
{
	int rc;

	if (!json_is_array(j))
		return protojson_fail(pj, -EINVAL, "a list is needed here");
	l->values = arena_array(pj->arena, Google__Protobuf__Value *, json_array_size(j));
	for (size_t i = 0; i < json_array_size(j); i++) {
		size_t mark = xds_path_push_at(&pj->path, "", i);

		rc = protojson_read(pj, &google__protobuf__value__descriptor, json_array_get(j, i),
				    (ProtobufCMessage **)&l->values[i]);
		if (rc < 0)
			return rc;
		l->n_values++;
		xds_path_pop(&pj->path, mark);
	}
	return 0;
}

static int value_read(struct protojson *pj, Google__Protobuf__Value *v, const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
		return protojson_read(pj, &google__protobuf__struct__descriptor, j,
				      (ProtobufCMessage **)&v->struct_value);
	case JSON_ARRAY:
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
		return protojson_read(pj, &google__protobuf__list_value__descriptor, j,
				      (ProtobufCMessage **)&v->list_value);
	case JSON_STRING:
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
		v->string_value = arena_str(pj->arena, slice_str(json_string_value(j)));
		return 0;
	case JSON_INTEGER:
	case JSON_REAL:
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
		v->number_value = json_number_value(j);
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
		v->bool_value = json_is_true(j);
		return 0;
	case JSON_NULL: break;
	}
	v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
	v->null_value = GOOGLE__PROTOBUF__NULL_VALUE__NULL_VALUE;
	return 0;
}

json_t *struct_write(const Google__Protobuf__Struct *s, unsigned int depth)
{
	json_t *o = json_object();

	for (size_t i = 0; i < s->n_fields; i++)
		json_object_set_new(o, s->fields[i]->key,
				    s->fields[i]->value ?
					    wkt_write(WKT_VALUE, &s->fields[i]->value->base,
						      depth + 1) :
					    json_null());
	return o;
}

static json_t *value_write(const Google__Protobuf__Value *v, unsigned int depth)
{
	json_t *list;

	switch (v->kind_case) {
	case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
		return scalar_write(&google__protobuf__double_value__descriptor.fields[0],
				    &v->number_value, depth);
	case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE: return json_string(v->string_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE: return json_boolean(v->bool_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
		return depth > PROTOJSON_DEPTH_MAX ? json_null() :
						     struct_write(v->struct_value, depth + 1);
	case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
		list = json_array();
		for (size_t i = 0; depth <= PROTOJSON_DEPTH_MAX && i < v->list_value->n_values; i++)
			json_array_append_new(list,
					      value_write(v->list_value->values[i], depth + 1));
		return list;
	default: return json_null();
	}
}

/* ---- Any ------------------------------------------------------------------------------------- */

/* A type that is not registered is kept as a TypedStruct of that type: nothing is lost. */
static int any_keep(struct protojson *pj, Google__Protobuf__Any *any, const char *url,
		    const json_t *j, bool in_any)
{
	ProtobufCMessage *ts = message_new(pj->arena, registry_find(slice_str(TYPED_STRUCT)));
	json_t *value = json_object(), *o = json_object();
	int rc;

	if (json_is_object(j))
		json_object_update(value, (json_t *)(uintptr_t)j);
	if (in_any)
		json_object_del(value, "@type");
	json_object_set_new(o, "type_url", json_string(url));
	json_object_set_new(o, "value", value);
	any->type_url = (char *)(uintptr_t)TYPED_STRUCT;
	rc = any_read_typed(pj, ts->descriptor, o, false, &any->value);
	json_decref(o);
	return rc;
}

int any_read(struct protojson *pj, Google__Protobuf__Any *any, const json_t *j)
{
	const char *url = json_string_value(json_object_get(j, "@type"));
	const ProtobufCMessageDescriptor *d;
	bool in_any = true;
	struct slice name;

	/* An Any of nothing is {}: it may say "the default". */
	if (json_is_object(j) && json_object_size(j) == 0)
		return 0;
	if (!json_is_object(j) || !url || !*url)
		return protojson_fail(pj, -EINVAL, "\"@type\" is missing");
	name = registry_type_name(slice_str(url));
	if (type_is_typed_struct(name.ptr)) {
		json_t *inner = json_object_get(j, "type_url");

		url = json_string_value(inner ? inner : json_object_get(j, "typeUrl"));
		if (!url || !*url)
			return protojson_fail(pj, -EINVAL, "a TypedStruct needs \"type_url\"");
		j = json_object_get(j, "value");
		in_any = false;
	}
	d = registry_find(slice_str(url));
	if (!d)
		return any_keep(pj, any, url, j, in_any);
	any->type_url = arena_str(pj->arena, slice_str(url));
	if (j)
		return any_read_typed(pj, d, j, in_any, &any->value);
	return 0;
}

int wkt_read(struct protojson *pj, enum wkt kind, ProtobufCMessage *m, const json_t *j)
{
	if (!j)
		return protojson_fail(pj, -EINVAL, "\"value\" is missing");
	switch (kind) {
	case WKT_ANY: return any_read(pj, (Google__Protobuf__Any *)m, j);
	case WKT_STRUCT: return struct_read(pj, (Google__Protobuf__Struct *)m, j);
	case WKT_VALUE: return value_read(pj, (Google__Protobuf__Value *)m, j);
	case WKT_LIST: return values_read(pj, (Google__Protobuf__ListValue *)m, j);
	case WKT_DURATION: return duration_read(pj, (Google__Protobuf__Duration *)m, j);
	case WKT_WRAPPER:
		return scalar_read(pj, &m->descriptor->fields[0], j,
				   field_at(m, m->descriptor->fields[0].offset));
	case WKT_NONE: break;
	}
	must(!"not a special message");
	return -EINVAL;
}

json_t *wkt_write(enum wkt kind, const ProtobufCMessage *m, unsigned int depth)
{
	const ProtobufCFieldDescriptor *f = &m->descriptor->fields[0];
	json_t *list;

	switch (kind) {
	case WKT_ANY: return any_write((const Google__Protobuf__Any *)m, depth);
	case WKT_STRUCT: return struct_write((const Google__Protobuf__Struct *)m, depth);
	case WKT_VALUE: return value_write((const Google__Protobuf__Value *)m, depth);
	case WKT_LIST:
		list = json_array();
		for (size_t i = 0; i < ((const Google__Protobuf__ListValue *)m)->n_values; i++)
			json_array_append_new(
				list,
				value_write(((const Google__Protobuf__ListValue *)m)->values[i],
					    depth + 1));
		return list;
	case WKT_DURATION: return duration_write((const Google__Protobuf__Duration *)m);
	case WKT_WRAPPER: return scalar_write(f, field_at(m, f->offset), depth);
	case WKT_NONE: break;
	}
	return NULL;
}
