/* SPDX-License-Identifier: Apache-2.0 */
/* Interned property names: compared by number first, by bytes only for the others. */
#ifndef SKIFF_L7_KEY_H
#define SKIFF_L7_KEY_H

#include "base/slice.h"

#define L7_KEYS(X) \
	X(HOST, "host") X(CONTENT_LENGTH, "content-length") X(CONTENT_TYPE, "content-type") \
	X(TRANSFER_ENCODING, "transfer-encoding") X(CONNECTION, "connection") X(KEEP_ALIVE, "keep-alive") \
	X(PROXY_CONNECTION, "proxy-connection") X(UPGRADE, "upgrade") X(TE, "te") X(TRAILER, "trailer") \
	X(EXPECT, "expect") X(DATE, "date") X(SERVER, "server") X(VIA, "via") X(LOCATION, "location") \
	X(USER_AGENT, "user-agent") X(ACCEPT, "accept") X(ORIGIN, "origin") X(COOKIE, "cookie") \
	X(X_FORWARDED_FOR, "x-forwarded-for") X(X_FORWARDED_PROTO, "x-forwarded-proto") \
	X(X_FORWARDED_HOST, "x-forwarded-host") X(X_FORWARDED_PORT, "x-forwarded-port") \
	X(X_REQUEST_ID, "x-request-id") X(X_ENVOY_INTERNAL, "x-envoy-internal") \
	X(X_ENVOY_EXTERNAL_ADDRESS, "x-envoy-external-address") \
	X(X_ENVOY_EXPECTED_TIMEOUT, "x-envoy-expected-rq-timeout-ms") \
	X(X_ENVOY_TIMEOUT, "x-envoy-upstream-rq-timeout-ms") \
	X(X_ENVOY_SERVICE_TIME, "x-envoy-upstream-service-time") \
	X(X_ENVOY_ORIGINAL_PATH, "x-envoy-original-path") \
	X(X_ENVOY_ORIGINAL_HOST, "x-envoy-original-host") \
	X(X_ENVOY_DECORATOR, "x-envoy-decorator-operation") \
	X(X_ENVOY_ATTEMPT_COUNT, "x-envoy-attempt-count") \
	X(GRPC_STATUS, "grpc-status") X(GRPC_MESSAGE, "grpc-message") X(REFERER, "referer")

enum l7_key {
	L7_KEY_NONE,
#define X(id, name) L7_KEY_##id,
	L7_KEYS(X)
#undef X
	L7_KEY_COUNT
};

/* The key of a lower-case name, or L7_KEY_NONE. O(1). */
enum l7_key l7_key_find(struct slice name);
struct slice l7_key_name(enum l7_key key);

#endif
