/* SPDX-License-Identifier: Apache-2.0 */
/* Shared inside protojson_*.c only. */
#ifndef SKIFF_XDS_PROTOJSON_IMPL_H
#define SKIFF_XDS_PROTOJSON_IMPL_H

#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "xds/protojson.h"

/* How a message looks in JSON. */
enum wkt { WKT_NONE, WKT_ANY, WKT_STRUCT, WKT_VALUE, WKT_LIST, WKT_DURATION, WKT_WRAPPER };

enum wkt wkt_kind(const ProtobufCMessageDescriptor *d);
/* Is @f a map (a repeated entry message)? */
bool field_is_map(const ProtobufCFieldDescriptor *f);
/* Bytes of one element of @f's C type. */
size_t field_size(const ProtobufCFieldDescriptor *f);
bool type_is_typed_struct(const char *name);

/* A new message of type @d with all defaults. */
ProtobufCMessage *message_new(struct arena *a, const ProtobufCMessageDescriptor *d);

static inline void *field_at(const ProtobufCMessage *m, unsigned int offset)
{
	return (char *)(uintptr_t)m + offset;
}

/* Reads of the special messages; @m is fresh. */
int wkt_read(struct protojson *pj, enum wkt kind, ProtobufCMessage *m, const json_t *j);
int scalar_read(struct protojson *pj, const ProtobufCFieldDescriptor *f, const json_t *j,
		void *out);
/* Reads @j as type @d and packs it. @in_any: "@type" stands among the fields. */
int any_read_typed(struct protojson *pj, const ProtobufCMessageDescriptor *d, const json_t *j,
		   bool in_any, ProtobufCBinaryData *ret_b);
int any_read(struct protojson *pj, Google__Protobuf__Any *any, const json_t *j);

/* Writes. */
json_t *wkt_write(enum wkt kind, const ProtobufCMessage *m, unsigned int depth);
json_t *scalar_write(const ProtobufCFieldDescriptor *f, const void *at, unsigned int depth);
json_t *message_write(const ProtobufCMessage *m, unsigned int depth);
json_t *any_write(const Google__Protobuf__Any *any, unsigned int depth);
json_t *struct_write(const Google__Protobuf__Struct *s, unsigned int depth);

/* Base64, standard alphabet; reading also takes the URL alphabet and missing padding. */
char *base64_write(struct arena *a, const uint8_t *p, size_t n);
int base64_read(struct arena *a, struct slice text, ProtobufCBinaryData *ret_b); /* 0, -EINVAL */

/* Deals with one unknown field. 0: go on. */
int unknown_field(struct protojson *pj, const ProtobufCMessageDescriptor *d, const char *name,
		  uint32_t number);

#endif
