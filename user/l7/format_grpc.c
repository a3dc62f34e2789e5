/* SPDX-License-Identifier: Apache-2.0 */
/* %GRPC_STATUS%: from trailers, headers, or the answer's status where a gRPC request got none. */
#include <errno.h>

#include "l7/format_impl.h"
#include "l7/grpc.h"

static const char *const codes[][2] = {
	{ "OK", "OK" },
	{ "Canceled", "CANCELLED" },
	{ "Unknown", "UNKNOWN" },
	{ "InvalidArgument", "INVALID_ARGUMENT" },
	{ "DeadlineExceeded", "DEADLINE_EXCEEDED" },
	{ "NotFound", "NOT_FOUND" },
	{ "AlreadyExists", "ALREADY_EXISTS" },
	{ "PermissionDenied", "PERMISSION_DENIED" },
	{ "ResourceExhausted", "RESOURCE_EXHAUSTED" },
	{ "FailedPrecondition", "FAILED_PRECONDITION" },
	{ "Aborted", "ABORTED" },
	{ "OutOfRange", "OUT_OF_RANGE" },
	{ "Unimplemented", "UNIMPLEMENTED" },
	{ "Internal", "INTERNAL" },
	{ "Unavailable", "UNAVAILABLE" },
	{ "DataLoss", "DATA_LOSS" },
	{ "Unauthenticated", "UNAUTHENTICATED" },
};

int prepare_grpc(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	(void)a;
	if (!args.len)
		return 0;
	if (slice_is_equal(args, SLICE("CAMEL_STRING")))
		p->option = GRPC_CAMEL;
	else if (slice_is_equal(args, SLICE("SNAKE_STRING")))
		p->option = GRPC_SNAKE;
	else if (slice_is_equal(args, SLICE("NUMBER")))
		p->option = GRPC_NUMBER;
	else
		return err_set(e, -EINVAL, "'%.*s' is none of CAMEL_STRING, SNAKE_STRING, NUMBER",
			       SLICE_ARG(args));
	return 0;
}

bool l7_msg_is_grpc(const struct l7_msg *m)
{
	struct slice type = l7_props_value(&m->props, L7_KEY_CONTENT_TYPE);
	struct slice grpc = SLICE("application/grpc");

	return slice_has_prefix(type, grpc) && (type.len == grpc.len || type.ptr[grpc.len] == '+');
}

static uint64_t from_http(uint32_t status)
{
	switch (status) {
	case 400:
		return 13;
	case 401:
		return 16;
	case 403:
		return 7;
	case 404:
		return 12;
	case 429:
	case 502:
	case 503:
	case 504:
		return 14;
	}
	return 2;
}

bool l7_grpc_status(const struct l7_info *in, uint64_t *ret_status)
{
	struct slice s = SLICE_NONE;

	if (in->trailers)
		s = l7_props_value(in->trailers, L7_KEY_GRPC_STATUS);
	if (!s.len && in->response)
		s = l7_props_value(&in->response->props, L7_KEY_GRPC_STATUS);
	if (slice_to_u64(s, ret_status) == 0)
		return true;
	if (s.len || !in->status)
		return false;
	*ret_status = from_http(in->status);
	return true;
}

enum value_kind append_grpc_status(const struct part *p, const struct l7_info *in, struct buf *out)
{
	uint64_t status;

	if (!in->request || !l7_msg_is_grpc(in->request) || !l7_grpc_status(in, &status))
		return VALUE_ABSENT;
	if (p->option != GRPC_NUMBER && status < ARRAY_LEN(codes)) {
		buf_add_slice(out, slice_str(codes[status][p->option]));
		return VALUE_TEXT;
	}
	buf_add_u64(out, status);
	return p->option == GRPC_NUMBER ? VALUE_NUMBER : VALUE_TEXT;
}
