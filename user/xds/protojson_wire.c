/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire form: a check of packed bytes before protobuf-c unpacks them (it recurses without a
 * bound and keeps unknown fields silently), unpacking and packing into arenas, and opening an Any.
 */
#include <errno.h>

#include "xds/protojson_impl.h"
#include "xds/registry.h"
#include "xds/wire.h"

#define FIELD_BYTES 64 /* protobuf-c's note of a field, a pointer to it, an arena's rounding */

static void *alloc_in_arena(void *a, size_t n)
{
	return arena_alloc(a, n);
}

static void free_nothing(void *a, void *p)
{
	(void)a;
	(void)p;
}

ProtobufCAllocator protojson_allocator(struct arena *a)
{
	return (ProtobufCAllocator){ alloc_in_arena, free_nothing, a };
}

static int wire_check(struct protojson *pj, const ProtobufCMessageDescriptor *d, struct slice s);

/* What unpacking takes, at most, for one more message or field of @n bytes. */
static int take_room(struct protojson *pj, size_t n)
{
	if (n > pj->room)
		return protojson_fail(pj, -E2BIG, "unpacked it takes more than %u MiB of memory",
				      PROTOJSON_MEMORY_MAX >> 20);
	pj->room -= n;
	return 0;
}

static int text_check(struct protojson *pj, const struct wire_item *i)
{
	if (!slice_is_utf8(i->data))
		return protojson_fail(pj, -EINVAL, "the text is no UTF-8");
	if (slice_find(i->data, '\0') >= 0)
		return protojson_fail(pj, -EINVAL, "the text has a NUL byte");
	return 0;
}

static int wire_field_check(struct protojson *pj, const ProtobufCMessageDescriptor *d,
			    const struct wire_item *i, size_t *counts)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, i->number);
	bool is_message = f && f->type == PROTOBUF_C_TYPE_MESSAGE && i->type == WIRE_BYTES;
	int rc = take_room(pj, FIELD_BYTES + (is_message ? 0 : i->data.len));
	size_t mark;

	if (rc < 0)
		return rc;
	if (!f)
		return unknown_field(pj, d, NULL, i->number);
	if (!is_message && (f->type != PROTOBUF_C_TYPE_STRING || i->type != WIRE_BYTES))
		return 0;
	mark = f->label == PROTOBUF_C_LABEL_REPEATED ?
		       xds_path_push_at(&pj->path, f->name, counts[f - d->fields]++) :
		       xds_path_push(&pj->path, f->name);
	rc = is_message ? wire_check(pj, f->descriptor, i->data) : text_check(pj, i);
	if (rc == 0)
		xds_path_pop(&pj->path, mark);
	return rc;
}

/* Walks packed bytes: nesting, form, texts, unknown fields. 0 or negative with err set. */
static int wire_check(struct protojson *pj, const ProtobufCMessageDescriptor *d, struct slice s)
{
	size_t counted = (d->n_fields + 1) * sizeof(size_t), *counts;
	int rc = take_room(pj, d->sizeof_message + counted);
	struct wire_item i;

	if (rc < 0)
		return rc;
	if (pj->depth >= PROTOJSON_DEPTH_MAX)
		return protojson_fail(pj, -E2BIG, "nested deeper than %d", PROTOJSON_DEPTH_MAX);
	pj->depth++;
	counts = arena_zalloc(pj->arena, counted);
	for (; s.len && rc == 0; s = slice_skip(s, i.used)) {
		if (wire_item_next(s, &i) < 0)
			return protojson_fail(pj, -EINVAL, "the bytes are not a message of type %s",
					      d->name);
		rc = wire_field_check(pj, d, &i, counts);
	}
	pj->depth--;
	return rc;
}

int protojson_unpack(struct protojson *pj, const ProtobufCMessageDescriptor *d, struct slice bytes,
		     ProtobufCMessage **ret_m)
{
	ProtobufCAllocator alloc = protojson_allocator(pj->arena);
	ProtobufCMessage *m;
	int rc;

	if (bytes.len > PROTOJSON_WIRE_MAX)
		return protojson_fail(pj, -E2BIG, "the message is over %d bytes",
				      PROTOJSON_WIRE_MAX);
	rc = wire_check(pj, d, bytes);
	if (rc < 0)
		return rc;
	m = protobuf_c_message_unpack(d, &alloc, bytes.len,
				      (const uint8_t *)(bytes.len ? bytes.ptr : ""));
	if (!m)
		return protojson_fail(pj, -EINVAL, "the bytes are not a message of type %s",
				      d->name);
	*ret_m = m;
	return 0;
}

struct slice protojson_pack(const ProtobufCMessage *m, struct arena *a)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *p = arena_alloc(a, n + 1);

	protobuf_c_message_pack(m, p);
	return slice_of(p, n);
}

/* ---- Any ------------------------------------------------------------------------------------- */

/* type_url and value of either TypedStruct message. */
static void typed_struct_get(const ProtobufCMessage *m, const char **ret_url,
			     const Google__Protobuf__Struct **ret_v)
{
	const ProtobufCFieldDescriptor *url =
		protobuf_c_message_descriptor_get_field(m->descriptor, 1);
	const ProtobufCFieldDescriptor *value =
		protobuf_c_message_descriptor_get_field(m->descriptor, 2);

	*ret_url = *(char **)field_at(m, url->offset);
	*ret_v = *(Google__Protobuf__Struct **)field_at(m, value->offset);
}

static int typed_struct_open(struct protojson *pj, const ProtobufCMessage *ts,
			     ProtobufCMessage **ret_m)
{
	const Google__Protobuf__Struct *value;
	const ProtobufCMessageDescriptor *d;
	const char *url;
	json_t *j;
	int rc;

	typed_struct_get(ts, &url, &value);
	d = registry_find(slice_str(url));
	if (!d)
		return protojson_fail(pj, -ENOENT, "type \"%s\" is not known to this version", url);
	j = value ? struct_write(value, 0) : json_object();
	rc = protojson_read(pj, d, j, ret_m);
	json_decref(j);
	return rc;
}

int protojson_any_open(struct protojson *pj, const ProtobufCMessage *any, ProtobufCMessage **ret_m)
{
	const Google__Protobuf__Any *a = (const Google__Protobuf__Any *)any;
	const ProtobufCMessageDescriptor *d = registry_find(slice_str(a->type_url));
	ProtobufCMessage *m = NULL;
	int rc;

	if (!d)
		return protojson_fail(pj, -ENOENT, "type \"%s\" is not known to this version",
				      a->type_url);
	rc = protojson_unpack(pj, d, slice_of(a->value.data, a->value.len), &m);
	if (rc == 0 && type_is_typed_struct(d->name))
		return typed_struct_open(pj, m, ret_m);
	if (rc == 0)
		*ret_m = m;
	return rc;
}

const char *protojson_any_type(struct protojson *pj, const ProtobufCMessage *any)
{
	const Google__Protobuf__Any *a = (const Google__Protobuf__Any *)any;
	const ProtobufCMessageDescriptor *d = registry_find(slice_str(a->type_url));
	const Google__Protobuf__Struct *value;
	const char *url = a->type_url;
	struct protojson quiet = { .arena = pj->arena, .room = PROTOJSON_MEMORY_MAX };
	ProtobufCMessage *m;

	if (d && type_is_typed_struct(d->name) &&
	    protojson_unpack(&quiet, d, slice_of(a->value.data, a->value.len), &m) == 0)
		typed_struct_get(m, &url, &value);
	return registry_type_name(slice_str(url)).ptr;
}
