/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of packed protobuf bytes, one after the other, without a schema. */
#ifndef SKIFF_XDS_WIRE_H
#define SKIFF_XDS_WIRE_H

#include <errno.h>

#include "base/slice.h"

#define WIRE_NUMBER_MAX 536870911u /* as protobuf says */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct wire_item {
	uint32_t number;
	unsigned int type; /* WIRE_* */
	struct slice data; /* what stands after the tag (and the length) */
	size_t used;       /* bytes with the tag */
};

/* A varint at the front of @s; its bytes, 0 when it is cut or too long. */
static inline size_t wire_varint(struct slice s, uint64_t *ret_v)
{
	uint64_t v = 0;

	if (s.len && !((unsigned char)s.ptr[0] & 128)) {
		*ret_v = (unsigned char)s.ptr[0];
		return 1;
	}
	for (size_t i = 0; i < s.len && i < 10; i++) {
		v |= (uint64_t)((unsigned char)s.ptr[i] & 127) << (7 * i);
		if (!((unsigned char)s.ptr[i] & 128)) {
			*ret_v = v;
			return i + 1;
		}
	}
	return 0;
}

/* The first field of @s, which is not empty. 0 or -EINVAL. */
static inline int wire_item_next(struct slice s, struct wire_item *ret_i)
{
	uint64_t tag, len = 0;
	size_t at = wire_varint(s, &tag), more;

	if (!at || tag >> 3 == 0 || tag >> 3 > WIRE_NUMBER_MAX)
		return -EINVAL;
	switch (tag & 7) {
	case WIRE_VARINT:
		len = wire_varint(slice_skip(s, at), &len);
		if (!len)
			return -EINVAL;
		break;
	case WIRE_64: len = 8; break;
	case WIRE_32: len = 4; break;
	case WIRE_BYTES:
		more = wire_varint(slice_skip(s, at), &len);
		if (!more)
			return -EINVAL;
		at += more;
		break;
	default: /* groups are gone since proto3 */ return -EINVAL;
	}
	if (len > s.len - at)
		return -EINVAL;
	*ret_i = (struct wire_item){ (uint32_t)(tag >> 3), tag & 7, slice_of(s.ptr + at, len),
				     at + len };
	return 0;
}

/* The last field @number of bytes type in @s; empty when there is none or @s is broken. */
static inline struct slice wire_bytes(struct slice s, uint32_t number)
{
	struct slice found = SLICE_NONE;
	struct wire_item i;

	while (s.len && wire_item_next(s, &i) == 0) {
		if (i.number == number && i.type == WIRE_BYTES)
			found = i.data;
		s = slice_skip(s, i.used);
	}
	return found;
}

#endif
