/* SPDX-License-Identifier: Apache-2.0 */
/* Messages -> JSON, for dumps. */
#include "xds/protojson_impl.h"
#include "xds/registry.h"

/* Is the field at its default, and so not written? */
static bool field_is_unset(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const void *at = field_at(m, f->offset);

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(size_t *)field_at(m, f->quantifier_offset) == 0;
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(unsigned int *)field_at(m, f->quantifier_offset) != f->id;
	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE: return *(void *const *)at == NULL;
	case PROTOBUF_C_TYPE_STRING:
		return *(char *const *)at == NULL || **(char *const *)at == '\0';
	case PROTOBUF_C_TYPE_BYTES: return ((const ProtobufCBinaryData *)at)->len == 0;
	default:
		return field_size(f) == 8 ? *(const uint64_t *)at == 0 : *(const uint32_t *)at == 0;
	}
}

/* The text of a map's key. */
static char *key_text(struct arena *a, const ProtobufCMessage *entry,
		      const ProtobufCFieldDescriptor *f)
{
	json_t *j = scalar_write(f, field_at(entry, f->offset), 0);
	char number[32];
	const char *text = json_string_value(j);
	char *out;

	if (!text) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(j));
		text = json_is_boolean(j) ? (json_is_true(j) ? "true" : "false") : number;
	}
	out = arena_str(a, slice_str(text));
	json_decref(j);
	return out;
}

static json_t *map_write(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
			 unsigned int depth)
{
	size_t n = *(size_t *)field_at(m, f->quantifier_offset);
	ProtobufCMessage **v = *(ProtobufCMessage ***)field_at(m, f->offset);
	const ProtobufCMessageDescriptor *d = f->descriptor;
	struct arena a = { 0 };
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++) {
		const ProtobufCFieldDescriptor *vf = &d->fields[1];

		if (vf->type == PROTOBUF_C_TYPE_MESSAGE && field_is_unset(v[i], vf))
			continue;
		json_object_set_new(o, key_text(&a, v[i], &d->fields[0]),
				    scalar_write(vf, field_at(v[i], vf->offset), depth + 1));
	}
	arena_done(&a);
	return o;
}

static json_t *list_write(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
			  unsigned int depth)
{
	size_t n = *(size_t *)field_at(m, f->quantifier_offset), size = field_size(f);
	const char *v = *(char *const *)field_at(m, f->offset);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, scalar_write(f, v + i * size, depth + 1));
	return list;
}

json_t *message_write(const ProtobufCMessage *m, unsigned int depth)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	enum wkt kind = wkt_kind(d);
	json_t *o;

	if (depth > PROTOJSON_DEPTH_MAX)
		return json_null();
	if (kind != WKT_NONE)
		return wkt_write(kind, m, depth);
	o = json_object();
	for (unsigned int i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		if (field_is_unset(m, f))
			continue;
		if (field_is_map(f))
			json_object_set_new(o, f->name, map_write(m, f, depth));
		else if (f->label == PROTOBUF_C_LABEL_REPEATED)
			json_object_set_new(o, f->name, list_write(m, f, depth));
		else
			json_object_set_new(o, f->name,
					    scalar_write(f, field_at(m, f->offset), depth + 1));
	}
	return o;
}

/*
 * What stands for a message that this version does not know is shown as that message: the reader
 * makes a TypedStruct of it. One that the control plane sent (udpa) is shown as what it is.
 */
static bool is_stand_in(const ProtobufCMessageDescriptor *d)
{
	return strcmp(d->name, "xds.type.v3.TypedStruct") == 0;
}

static json_t *typed_struct_write(const ProtobufCMessage *m, unsigned int depth)
{
	json_t *o = message_write(m, depth + 1), *value = json_object_get(o, "value"), *url, *out;

	url = json_object_get(o, "type_url");
	out = json_object();
	if (url)
		json_object_set(out, "@type", url);
	if (json_is_object(value))
		json_object_update(out, value);
	json_decref(o);
	return out;
}

json_t *any_write(const Google__Protobuf__Any *any, unsigned int depth)
{
	const ProtobufCMessageDescriptor *d = registry_find(slice_str(any->type_url));
	struct arena a = { 0 };
	struct protojson pj;
	ProtobufCMessage *m = NULL;
	json_t *out, *inner;

	if (!*any->type_url && !any->value.len)
		return json_object();
	protojson_init(&pj, &a, NULL, NULL);
	pj.depth = depth;
	if (d && protojson_unpack(&pj, d, slice_of(any->value.data, any->value.len), &m) == 0) {
		if (is_stand_in(d)) {
			out = typed_struct_write(m, depth);
			goto out;
		}
		out = json_object();
		json_object_set_new(out, "@type", json_string(any->type_url));
		inner = message_write(m, depth + 1);
		if (wkt_kind(d) == WKT_NONE)
			json_object_update(out, inner);
		else
			json_object_set(out, "value", inner);
		json_decref(inner);
		goto out;
	}
	out = json_object();
	json_object_set_new(out, "@type", json_string(any->type_url));
	json_object_set_new(out, "value",
			    json_string(base64_write(&a, any->value.data, any->value.len)));
out:
	arena_done(&a);
	return out;
}

json_t *protojson_write(const ProtobufCMessage *m)
{
	return message_write(m, 0);
}
