/* SPDX-License-Identifier: Apache-2.0 */
/* The 16 bytes in front of every Dubbo message, and the numbers in them. */
#include "codec/dubbo/dubbo_impl.h"

#include <endian.h>

#include "codec/dubbo/dubbo.h"

bool dubbo_frame_is_magic(const char *p, size_t n)
{
	return (n < 1 || (unsigned char)p[0] == DUBBO_MAGIC_0) &&
	       (n < 2 || (unsigned char)p[1] == DUBBO_MAGIC_1);
}

void dubbo_frame_parse(const char *p, struct dubbo_frame *ret_f)
{
	uint64_t id;
	uint32_t len;

	memcpy(&id, p + 4, sizeof(id));
	memcpy(&len, p + 12, sizeof(len));
	ret_f->flag = (uint8_t)p[2];
	ret_f->status = (uint8_t)p[3];
	ret_f->id = be64toh(id);
	ret_f->len = be32toh(len);
}

void dubbo_frame_set_id(char *p, uint64_t id)
{
	id = htobe64(id);
	memcpy(p + 4, &id, sizeof(id));
}

void dubbo_frame_write(const struct dubbo_frame *f, char *p)
{
	uint32_t len = htobe32(f->len);

	p[0] = (char)DUBBO_MAGIC_0;
	p[1] = (char)DUBBO_MAGIC_1;
	p[2] = (char)f->flag;
	p[3] = (char)f->status;
	dubbo_frame_set_id(p, f->id);
	memcpy(p + 12, &len, sizeof(len));
}

const char *dubbo_serialization_name(unsigned int id)
{
	static const char *const names[] = {
		[2] = "hessian2", [3] = "java", [4] = "compactedjava", [6] = "fastjson",
		[7] = "nativejava", [8] = "kryo", [9] = "fst", [10] = "native-hessian",
		[11] = "avro", [12] = "protostuff", [16] = "gson", [18] = "jackson",
		[21] = "protobuf-json", [22] = "protobuf", [23] = "fastjson2", [25] = "kryo2",
		[27] = "msgpack", [28] = "fury",
	};

	return id < ARRAY_LEN(names) ? names[id] : NULL;
}

struct slice dubbo_status_text(unsigned int status)
{
	switch (status) {
#define X(id, number) \
	case number: \
		return SLICE(#id);
	DUBBO_STATUSES(X)
#undef X
	}
	return SLICE_NONE;
}

bool dubbo_answer_is_exception(unsigned int serialization, struct slice body)
{
	const unsigned char *p = (const unsigned char *)body.ptr;
	unsigned int flag;

	if (serialization == DUBBO_SER_HESSIAN2 && body.len >= 1) {
		flag = p[0] - 0x90u; /* an int of one byte */
	} else if (serialization == DUBBO_SER_FASTJSON2 && body.len >= 5) {
		/* a length, then an int of one byte, bare or behind its tag */
		flag = p[4] == 0xbd && body.len >= 6 ? p[5] : p[4];
	} else {
		return false;
	}
	return flag == DUBBO_ANSWER_EXCEPTION || flag == DUBBO_ANSWER_EXCEPTION_PROPS;
}
