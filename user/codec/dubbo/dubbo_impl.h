/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared inside the Dubbo codec: the frame header, the request body's readers, the answers that
 * Skiff writes.
 */
#ifndef SKIFF_CODEC_DUBBO_DUBBO_IMPL_H
#define SKIFF_CODEC_DUBBO_DUBBO_IMPL_H

#include "codec/codec.h"

#define DUBBO_MAGIC_0 0xda
#define DUBBO_MAGIC_1 0xbb
#define DUBBO_HEADER 16

enum {
	DUBBO_FLAG_REQUEST = 0x80,
	DUBBO_FLAG_TWOWAY = 0x40,
	DUBBO_FLAG_EVENT = 0x20,
	DUBBO_FLAG_SERIALIZATION = 0x1f, /* mask */
};

enum {
	DUBBO_SER_HESSIAN2 = 2,
	DUBBO_SER_FASTJSON2 = 23,
};

/* The first int of an answer with status OK. */
enum dubbo_answer {
	DUBBO_ANSWER_EXCEPTION,
	DUBBO_ANSWER_VALUE,
	DUBBO_ANSWER_NULL,
	DUBBO_ANSWER_EXCEPTION_PROPS, /* and the same with attachments behind */
	DUBBO_ANSWER_VALUE_PROPS,
	DUBBO_ANSWER_NULL_PROPS,
};

/* Bytes of an answer's body that tell an exception from a value in any serialization. */
#define DUBBO_ANSWER_BYTES 6

struct dubbo_frame {
	uint8_t flag;
	uint8_t status;
	uint32_t len; /* of the body */
	uint64_t id;
};

static inline unsigned int dubbo_frame_serialization(const struct dubbo_frame *f)
{
	return f->flag & DUBBO_FLAG_SERIALIZATION;
}

/* Can a frame begin with these @n bytes, as far as they go? */
bool dubbo_frame_is_magic(const char *p, size_t n);
/* Reads DUBBO_HEADER bytes. */
void dubbo_frame_parse(const char *p, struct dubbo_frame *ret_f);
/* Writes DUBBO_HEADER bytes. */
void dubbo_frame_write(const struct dubbo_frame *f, char *p);
/* Replaces the id in a frame's bytes. */
void dubbo_frame_set_id(char *p, uint64_t id);

/* Name of a serialization id, NULL when it is none of Dubbo's. */
const char *dubbo_serialization_name(unsigned int id);
/* The status as text for logs, empty when unknown. */
struct slice dubbo_status_text(unsigned int status);
/* Is this answer, of status OK, an exception? @body: its first bytes (DUBBO_ANSWER_BYTES do). */
bool dubbo_answer_is_exception(unsigned int serialization, struct slice body);

/*
 * Reads a request's body into @m: host, version, method, group, properties, protocol. Slices borrow
 * from @body or live in @a. 0, or -EPROTO / -E2BIG with a static @ret_why; then @m is half filled.
 */
int dubbo_invocation_read(struct l7_msg *m, unsigned int serialization, struct slice body,
			  const struct codec_limits *limits, struct arena *a, const char **ret_why);
/* Can dubbo_invocation_read read bodies of this serialization at all? */
bool dubbo_invocation_is_readable(unsigned int serialization);

/* The leading strings of a request, in both serializations. */
struct dubbo_lead {
	struct slice protocol, path, version, method, types;
};

/* Number of parameters in a JVM descriptor such as "JLjava/util/Map;[I", -1 when it is none. */
int dubbo_types_count(struct slice types);
/*
 * Adds one attachment to @m, refusing too many or too large ones (@room: bytes left for them).
 * 0, -E2BIG with @ret_why.
 */
int dubbo_prop_add(struct l7_msg *m, struct slice name, struct slice value,
		   const struct codec_limits *limits, size_t *room, const char **ret_why);
/* The two readers behind dubbo_invocation_read: they fill @lead, then add the attachments to @m. */
int dubbo_hessian2_read(struct l7_msg *m, struct dubbo_lead *lead, struct slice body,
			const struct codec_limits *limits, struct arena *a, const char **ret_why);
int dubbo_fastjson2_read(struct l7_msg *m, struct dubbo_lead *lead, struct slice body,
			 const struct codec_limits *limits, const char **ret_why);

/* Appends an error answer: @status with a text. */
void dubbo_write_error(struct buf *out, uint64_t id, unsigned int status, struct slice text);
/* Appends Skiff's own answer to @req, which is two-way. */
void dubbo_write_reply(struct buf *out, const struct l7_msg *req, const struct l7_reply *r);

#endif
