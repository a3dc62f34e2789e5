/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire form: a check of packed bytes before protobuf-c unpacks them (it recurses without a
 * bound and keeps unknown fields silently), unpacking and packing into arenas, and opening an Any.
 */
#include <errno.h>

#include "xds/protojson_impl.h"
#include "xds/registry.h"

#define FIELD_NUMBER_MAX 536870911u /* as protobuf says */

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

/* A varint at @p; returns its bytes, 0 when it is cut or too long. */
static size_t varint_read(const uint8_t *p, size_t n, uint64_t *ret_v)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n && i < 10; i++) {
		v |= (uint64_t)(p[i] & 127) << (7 * i);
		if (!(p[i] & 128)) {
			*ret_v = v;
			return i + 1;
		}
	}
	return 0;
}

struct wire_field {
	uint32_t number;
	unsigned int type; /* wire type */
	const uint8_t *data;
	size_t len;  /* of data */
	size_t used; /* with the tag */
};

/* Takes one field off @p. 0 or -EINVAL. */
static int wire_next(const uint8_t *p, size_t n, struct wire_field *ret_f)
{
	uint64_t tag, v = 0;
	size_t at = varint_read(p, n, &tag), len;

	if (!at || tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX)
		return -EINVAL;
	switch (tag & 7) {
	case 0:
		len = varint_read(p + at, n - at, &v);
		if (!len)
			return -EINVAL;
		break;
	case 1: len = 8; break;
	case 5: len = 4; break;
	case 2:
		len = varint_read(p + at, n - at, &v);
		if (!len || v > n - at - len)
			return -EINVAL;
		at += len;
		len = v;
		break;
	default: /* groups are gone since proto3 */ return -EINVAL;
	}
	if (len > n - at)
		return -EINVAL;
	*ret_f = (struct wire_field){ (uint32_t)(tag >> 3), tag & 7, p + at, len, at + len };
	return 0;
}

static int wire_field_check(struct protojson *pj, const ProtobufCMessageDescriptor *d,
			    const struct wire_field *w, size_t *counts)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, w->number);
	size_t mark;
	int rc;

	if (!f)
		return unknown_field(pj, d, NULL, w->number);
	if (f->type != PROTOBUF_C_TYPE_MESSAGE || w->type != 2)
		return 0;
	mark = f->label == PROTOBUF_C_LABEL_REPEATED ?
		       xds_path_push_at(&pj->path, f->name, counts[f - d->fields]++) :
		       xds_path_push(&pj->path, f->name);
	rc = wire_check(pj, f->descriptor, w->data, w->len);
	if (rc == 0)
		xds_path_pop(&pj->path, mark);
	return rc;
}

int wire_check(struct protojson *pj, const ProtobufCMessageDescriptor *d, const uint8_t *p,
	       size_t n)
{
	size_t *counts = arena_array(pj->arena, size_t, d->n_fields + 1);
	struct wire_field w;
	int rc = 0;

	if (pj->depth >= PROTOJSON_DEPTH_MAX)
		return protojson_fail(pj, -E2BIG, "nested deeper than %d", PROTOJSON_DEPTH_MAX);
	pj->depth++;
	while (n && rc == 0) {
		if (wire_next(p, n, &w) < 0)
			return protojson_fail(pj, -EINVAL, "the bytes are not a message of type %s",
					      d->name);
		rc = wire_field_check(pj, d, &w, counts);
		p += w.used;
		n -= w.used;
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
	rc = wire_check(pj, d, (const uint8_t *)bytes.ptr, bytes.len);
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
	struct protojson quiet = { .arena = pj->arena };
	ProtobufCMessage *m;

	if (d && type_is_typed_struct(d->name) &&
	    protojson_unpack(&quiet, d, slice_of(a->value.data, a->value.len), &m) == 0)
		typed_struct_get(m, &url, &value);
	return registry_type_name(slice_str(url)).ptr;
}
