/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (and the wire form) <-> protobuf messages, through protobuf-c's descriptors, for every
 * message: Any, Struct, Duration, wrappers, enums, maps, oneofs, TypedStruct. Field names in
 * snake_case and camelCase. It knows no message but google.protobuf's and TypedStruct.
 *
 * GLOSSARY  unknown field: a JSON name or a field number that our subset of the message lacks.
 */
#ifndef SKIFF_XDS_PROTOJSON_H
#define SKIFF_XDS_PROTOJSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"
#include "xds/path.h"
#include "xds/report.h"

#define PROTOJSON_DEPTH_MAX 100     /* messages within messages */
#define PROTOJSON_WIRE_MAX 67108864 /* bytes of one packed message */
#define PROTOJSON_MEMORY_MAX (512u << 20) /* bytes that messages of the wire may take unpacked */

/* One reading: where messages go, where we are, who decides about unknown fields. */
struct protojson {
	struct arena *arena; /* all messages that are read live here */
	struct xds_path path;
	struct xds_report *report; /* for unknown fields; may be NULL */
	struct err *err;
	unsigned int depth;
	/* Bytes that messages of the wire may still take; SIZE_MAX: whoever wrote them is trusted.
	 */
	size_t room;
	/*
	 * Refuses an unknown field of message @d: answers why, or NULL to go on (it is then written
	 * to the report). @name is NULL on the wire, @number is 0 in JSON. May be NULL: goes on.
	 */
	const char *(*refuse)(const char *message, const char *name, uint32_t number);
};

void protojson_init(struct protojson *pj, struct arena *a, struct xds_report *report,
		    struct err *e);

/* Sets the error "<path>: <text>" and returns @code. */
int protojson_fail(struct protojson *pj, int code, const char *fmt, ...) printf_like(3, 4);

/* Reads @j as a message of type @d. 0; -EINVAL and -E2BIG with path and reason in err. */
int protojson_read(struct protojson *pj, const ProtobufCMessageDescriptor *d, const json_t *j,
		   ProtobufCMessage **ret_m);
/* The same from the wire form. */
int protojson_unpack(struct protojson *pj, const ProtobufCMessageDescriptor *d, struct slice bytes,
		     ProtobufCMessage **ret_m);
/*
 * The message inside an Any (protobuf's own struct, @any), TypedStruct resolved to its type.
 * 0; -ENOENT with err set when the type is not registered; -EINVAL.
 */
int protojson_any_open(struct protojson *pj, const ProtobufCMessage *any, ProtobufCMessage **ret_m);
/* The name of the type in @any ("envoy....Router"), for messages; of a TypedStruct's inner type. */
const char *protojson_any_type(struct protojson *pj, const ProtobufCMessage *any);

/* A new JSON value of @m, with snake_case names; a NULL for one over PROTOJSON_DEPTH_MAX. */
json_t *protojson_write(const ProtobufCMessage *m);

/* The packed form, in @a. */
struct slice protojson_pack(const ProtobufCMessage *m, struct arena *a);

/* Is the JSON name @name that of @field, in snake_case or camelCase? */
bool protojson_name_is(const char *name, const char *field);

/* An allocator over an arena, for protobuf-c: frees nothing. */
ProtobufCAllocator protojson_allocator(struct arena *a);

#endif
