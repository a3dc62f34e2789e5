/* SPDX-License-Identifier: Apache-2.0 */
/* The words of retry_on, as configurations and request headers have them. */
#include "mesh/route.h"

uint32_t mesh_retry_bit(struct slice word)
{
	static const struct {
		const char *word;
		uint32_t bit;
	} words[] = {
		{ "5xx", MESH_RETRY_5XX },
		{ "gateway-error", MESH_RETRY_GATEWAY },
		{ "reset", MESH_RETRY_RESET },
		{ "connect-failure", MESH_RETRY_CONNECT },
		{ "refused-stream", MESH_RETRY_REFUSED },
		{ "retriable-4xx", MESH_RETRY_4XX },
		{ "retriable-status-codes", MESH_RETRY_CODES },
		{ "reset-before-request", MESH_RETRY_RESET_BEFORE_REQUEST },
		{ "retriable-headers", MESH_RETRY_HEADERS },
		{ "envoy-ratelimited", MESH_RETRY_ENVOY_RATELIMITED },
		{ "http3-post-connect-failure", MESH_RETRY_HTTP3 },
		{ "cancelled", MESH_RETRY_GRPC_CANCELLED },
		{ "deadline-exceeded", MESH_RETRY_GRPC_DEADLINE },
		{ "internal", MESH_RETRY_GRPC_INTERNAL },
		{ "resource-exhausted", MESH_RETRY_GRPC_EXHAUSTED },
		{ "unavailable", MESH_RETRY_GRPC_UNAVAILABLE },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is_equal(word, slice_str(words[i].word)))
			return words[i].bit;
	return 0;
}

uint32_t mesh_retry_on(struct slice list)
{
	uint32_t on = 0;

	while (list.ptr && list.len)
		on |= mesh_retry_bit(slice_trim(slice_split(&list, ',')));
	return on;
}
