/* SPDX-License-Identifier: Apache-2.0 */
/* JSON -> messages: fields, oneofs, repeated fields and maps. Special messages: protojson_wkt.c. */
#include "xds/protojson_impl.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>

void protojson_init(struct protojson *pj, struct arena *a, struct xds_report *report, struct err *e)
{
	*pj = (struct protojson){
		.arena = a, .report = report, .err = e, .room = PROTOJSON_MEMORY_MAX
	};
	xds_path_init(&pj->path, "");
}

static const char *path_colon(const struct xds_path *p)
{
	return p->len && p->text[p->len - 1] != ' ' ? ": " : "";
}

int protojson_fail(struct protojson *pj, int code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(pj->err, code, "%s%s%s", pj->path.text, path_colon(&pj->path), text);
}

int unknown_field(struct protojson *pj, const ProtobufCMessageDescriptor *d, const char *name,
		  uint32_t number)
{
	const char *why = pj->refuse ? pj->refuse(d->name, name, number) : NULL;
	char what[128];

	if (name)
		snprintf(what, sizeof(what), "\"%s\"", name);
	else
		snprintf(what, sizeof(what), "number %u", number);
	if (why)
		return protojson_fail(pj, -EINVAL, "field %s of %s %s", what, d->name, why);
	xds_report_add(pj->report, pj->path.text,
		       "field %s of %s is not known to this version and has no effect", what,
		       d->name);
	return 0;
}

/* Does camelCase @camel stand for @snake? */
static bool name_is_camel_of(const char *camel, const char *snake)
{
	for (; *snake; snake++) {
		char c = *snake;

		if (c == '_') {
			if (!*++snake)
				return false;
			c = (char)toupper((unsigned char)*snake);
		}
		if (*camel++ != c)
			return false;
	}
	return *camel == '\0';
}

bool protojson_name_is(const char *name, const char *field)
{
	return strcmp(name, field) == 0 || name_is_camel_of(name, field);
}

static const ProtobufCFieldDescriptor *field_find(const ProtobufCMessageDescriptor *d,
						  const char *name)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(d, name);

	for (unsigned int i = 0; !f && i < d->n_fields; i++)
		if (name_is_camel_of(name, d->fields[i].name))
			f = &d->fields[i];
	return f;
}

bool field_is_map(const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	size_t len;

	if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE ||
	    d->n_fields != 2)
		return false;
	len = strlen(d->short_name);
	if (len <= 5 || strcmp(d->short_name + len - 5, "Entry") != 0)
		return false;
	/* protoc names the entry after the field: typed_config -> TypedConfigEntry. */
	for (const char *s = f->name, *c = d->short_name;; s++, c++) {
		bool up = s == f->name;

		if (*s == '_') {
			s++;
			up = true;
		}
		if (!*s)
			return strcmp(c, "Entry") == 0;
		if (*c != (up ? toupper((unsigned char)*s) : *s))
			return false;
	}
}

size_t field_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE: return 8;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT: return 4;
	case PROTOBUF_C_TYPE_ENUM: return sizeof(int);
	case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
	}
	must(!"field type");
	return 0;
}

ProtobufCMessage *message_new(struct arena *a, const ProtobufCMessageDescriptor *d)
{
	ProtobufCMessage *m = arena_zalloc(a, d->sizeof_message);

	protobuf_c_message_init(d, m);
	return m;
}

/* One element (or the single value) of @f into @out. */
static int element_read(struct protojson *pj, const ProtobufCFieldDescriptor *f, const json_t *j,
			void *out)
{
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return protojson_read(pj, f->descriptor, j, (ProtobufCMessage **)out);
	return scalar_read(pj, f, j, out);
}

static int list_read(struct protojson *pj, const ProtobufCFieldDescriptor *f, const json_t *j,
		     ProtobufCMessage *m)
{
	size_t n = json_array_size(j), size = field_size(f);
	char *v;

	if (!json_is_array(j))
		return protojson_fail(pj, -EINVAL, "a list is needed here");
	v = arena_zalloc(pj->arena, n * size);
	for (size_t i = 0; i < n; i++) {
		size_t mark = xds_path_push_at(&pj->path, "", i);
		int rc = element_read(pj, f, json_array_get(j, i), v + i * size);

		if (rc < 0)
			return rc;
		xds_path_pop(&pj->path, mark);
	}
	*(void **)field_at(m, f->offset) = v;
	*(size_t *)field_at(m, f->quantifier_offset) = n;
	return 0;
}

static int map_entry_read(struct protojson *pj, const ProtobufCMessageDescriptor *d,
			  const char *key, const json_t *value, ProtobufCMessage **ret_m)
{
	const ProtobufCFieldDescriptor *k = &d->fields[0], *v = &d->fields[1];
	ProtobufCMessage *e = message_new(pj->arena, d);
	json_t *jk = json_string(key);
	int rc = scalar_read(pj, k, jk, field_at(e, k->offset));

	json_decref(jk);
	if (rc < 0)
		return rc;
	rc = element_read(pj, v, value, field_at(e, v->offset));
	if (rc == 0)
		*ret_m = e;
	return rc;
}

static int map_read(struct protojson *pj, const ProtobufCFieldDescriptor *f, const json_t *j,
		    ProtobufCMessage *m)
{
	ProtobufCMessage **v;
	const char *key;
	json_t *value;
	size_t n = 0;

	if (!json_is_object(j))
		return protojson_fail(pj, -EINVAL, "a map is needed here");
	v = arena_array(pj->arena, ProtobufCMessage *, json_object_size(j));
	json_object_foreach((json_t *)(uintptr_t)j, key, value)
	{
		size_t mark = xds_path_push_key(&pj->path, key);
		int rc = map_entry_read(pj, f->descriptor, key, value, &v[n]);

		if (rc < 0)
			return rc;
		n++;
		xds_path_pop(&pj->path, mark);
	}
	*(ProtobufCMessage ***)field_at(m, f->offset) = v;
	*(size_t *)field_at(m, f->quantifier_offset) = n;
	return 0;
}

static const char *field_name_by_id(const ProtobufCMessageDescriptor *d, unsigned int id)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, id);

	return f ? f->name : "?";
}

static int field_read(struct protojson *pj, const ProtobufCFieldDescriptor *f, const json_t *j,
		      ProtobufCMessage *m)
{
	int rc;

	/* null means "not set", but for google.protobuf.Value it is a value. */
	if (json_is_null(j) &&
	    (f->type != PROTOBUF_C_TYPE_MESSAGE || wkt_kind(f->descriptor) != WKT_VALUE))
		return 0;
	if (field_is_map(f))
		return map_read(pj, f, j, m);
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return list_read(pj, f, j, m);
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		unsigned int set = *(unsigned int *)field_at(m, f->quantifier_offset);

		if (set)
			return protojson_fail(pj, -EINVAL,
					      "only one of \"%s\" and \"%s\" may be set",
					      field_name_by_id(m->descriptor, set), f->name);
	}
	rc = element_read(pj, f, j, field_at(m, f->offset));
	if (rc == 0 && (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
		*(unsigned int *)field_at(m, f->quantifier_offset) = f->id;
	return rc;
}

static int object_read(struct protojson *pj, ProtobufCMessage *m, const json_t *j, bool in_any)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	bool *seen = arena_array(pj->arena, bool, d->n_fields + 1);
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)j, key, value)
	{
		const ProtobufCFieldDescriptor *f;
		size_t mark;
		int rc;

		if (in_any && strcmp(key, "@type") == 0)
			continue;
		f = field_find(d, key);
		if (!f) {
			rc = unknown_field(pj, d, key, 0);
			if (rc < 0)
				return rc;
			continue;
		}
		mark = xds_path_push(&pj->path, f->name);
		if (seen[f - d->fields])
			return protojson_fail(pj, -EINVAL, "the field is there twice");
		seen[f - d->fields] = true;
		rc = field_read(pj, f, value, m);
		if (rc < 0)
			return rc;
		xds_path_pop(&pj->path, mark);
	}
	return 0;
}

static int message_read(struct protojson *pj, ProtobufCMessage *m, const json_t *j, bool in_any)
{
	enum wkt kind = wkt_kind(m->descriptor);
	int rc;

	if (pj->depth >= PROTOJSON_DEPTH_MAX)
		return protojson_fail(pj, -E2BIG, "nested deeper than %d", PROTOJSON_DEPTH_MAX);
	pj->depth++;
	if (kind != WKT_NONE) {
		rc = wkt_read(pj, kind, m, in_any ? json_object_get(j, "value") : j);
	} else if (!json_is_object(j)) {
		rc = protojson_fail(pj, -EINVAL, "fields of %s are needed here",
				    m->descriptor->name);
	} else {
		rc = object_read(pj, m, j, in_any);
	}
	pj->depth--;
	return rc;
}

int protojson_read(struct protojson *pj, const ProtobufCMessageDescriptor *d, const json_t *j,
		   ProtobufCMessage **ret_m)
{
	ProtobufCMessage *m = message_new(pj->arena, d);
	int rc = message_read(pj, m, j, false);

	if (rc == 0)
		*ret_m = m;
	return rc;
}

int any_read_typed(struct protojson *pj, const ProtobufCMessageDescriptor *d, const json_t *j,
		   bool in_any, ProtobufCBinaryData *ret_b)
{
	ProtobufCMessage *m = message_new(pj->arena, d);
	struct slice bytes;
	int rc = message_read(pj, m, j, in_any);

	if (rc < 0)
		return rc;
	bytes = protojson_pack(m, pj->arena);
	ret_b->data = (uint8_t *)(uintptr_t)bytes.ptr;
	ret_b->len = bytes.len;
	return 0;
}
