/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes and texts: gRPC's own, and what HTTP's codes mean to gRPC. */
#include <errno.h>
#include <nghttp2/nghttp2.h>

#include "xds/grpc_conn.h"

static const char *const names[] = {
#define X(id) [GRPC_##id] = #id,
	GRPC_STATUSES(X)
#undef X
};

const char *grpc_status_name(int status)
{
	return status >= 0 && (size_t)status < ARRAY_LEN(names) ? names[status] : "?";
}

int grpc_status_of_http(unsigned int http)
{
	switch (http) {
	case 400: return GRPC_INTERNAL;
	case 401: return GRPC_UNAUTHENTICATED;
	case 403: return GRPC_PERMISSION_DENIED;
	case 404: return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504: return GRPC_UNAVAILABLE;
	default: return GRPC_UNKNOWN;
	}
}

int grpc_status_of_h2(uint32_t error_code)
{
	switch (error_code) {
	case NGHTTP2_REFUSED_STREAM: return GRPC_UNAVAILABLE;
	case NGHTTP2_CANCEL: return GRPC_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM: return GRPC_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY: return GRPC_PERMISSION_DENIED;
	default: return GRPC_INTERNAL;
	}
}

int grpc_status_parse(struct slice s)
{
	uint64_t v;

	if (slice_to_u64(s, &v) < 0 || v > INT32_MAX)
		return -EINVAL;
	/* Codes that are not known yet count as UNKNOWN. */
	return v < ARRAY_LEN(names) ? (int)v : GRPC_UNKNOWN;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes that are no text for a log line become '?'. */
static char printable(int c)
{
	return c >= 0x20 && c != 0x7f ? (char)c : c == '\n' || c == '\t' ? ' ' : '?';
}

char *grpc_text_decode(struct slice s)
{
	char *out = xmalloc(GRPC_TEXT_MAX + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len && n < GRPC_TEXT_MAX; i++) {
		int c = (unsigned char)s.ptr[i];

		if (c == '%' && i + 2 < s.len && hex(s.ptr[i + 1]) >= 0 && hex(s.ptr[i + 2]) >= 0) {
			c = hex(s.ptr[i + 1]) << 4 | hex(s.ptr[i + 2]);
			i += 2;
		}
		out[n++] = printable(c);
	}
	out[n] = '\0';
	return xrealloc(out, n + 1);
}
