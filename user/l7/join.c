/* SPDX-License-Identifier: Apache-2.0 */
/* A table by length: a name is compared with the few of its own length. */
#include "l7/join.h"

#include <string.h>

enum { REQ = 1, RESP = 2, BOTH = 3 };

struct joined {
	struct slice name;
	uint8_t where;
};

/* Sorted by length, as first[] below says; tests/unit/l7/test_join.c asks for every name. */
static const struct joined table[] = {
	{ { "te", 2 }, REQ },
	{ { "age", 3 }, RESP },
	{ { "via", 3 }, BOTH },
	{ { "date", 4 }, RESP },
	{ { "etag", 4 }, RESP },
	{ { "vary", 4 }, RESP },
	{ { "accept", 6 }, REQ },
	{ { "expect", 6 }, REQ },
	{ { "origin", 6 }, REQ },
	{ { "pragma", 6 }, REQ },
	{ { "server", 6 }, RESP },
	{ { "expires", 7 }, RESP },
	{ { "referer", 7 }, REQ },
	{ { "upgrade", 7 }, BOTH },
	{ { "if-match", 8 }, REQ },
	{ { "if-range", 8 }, REQ },
	{ { "location", 8 }, RESP },
	{ { "connection", 10 }, BOTH },
	{ { "keep-alive", 10 }, BOTH },
	{ { "user-agent", 10 }, REQ },
	{ { "grpc-status", 11 }, RESP },
	{ { "content-type", 12 }, BOTH },
	{ { "grpc-message", 12 }, RESP },
	{ { "grpc-timeout", 12 }, REQ },
	{ { "proxy-status", 12 }, BOTH },
	{ { "x-request-id", 12 }, BOTH },
	{ { "authorization", 13 }, REQ },
	{ { "cache-control", 13 }, BOTH },
	{ { "if-none-match", 13 }, REQ },
	{ { "last-modified", 13 }, RESP },
	{ { "content-length", 14 }, BOTH },
	{ { "accept-encoding", 15 }, REQ },
	{ { "x-envoy-ip-tags", 15 }, REQ },
	{ { "x-forwarded-for", 15 }, REQ },
	{ { "content-encoding", 16 }, BOTH },
	{ { "proxy-connection", 16 }, BOTH },
	{ { "x-envoy-degraded", 16 }, RESP },
	{ { "x-envoy-internal", 16 }, REQ },
	{ { "x-envoy-retry-on", 16 }, REQ },
	{ { "x-forwarded-host", 16 }, REQ },
	{ { "x-forwarded-port", 16 }, REQ },
	{ { "if-modified-since", 17 }, REQ },
	{ { "transfer-encoding", 17 }, BOTH },
	{ { "x-client-trace-id", 17 }, REQ },
	{ { "x-forwarded-proto", 17 }, REQ },
	{ { "if-unmodified-since", 19 }, REQ },
	{ { "x-envoy-force-trace", 19 }, REQ },
	{ { "x-envoy-max-retries", 19 }, REQ },
	{ { "x-envoy-ratelimited", 19 }, RESP },
	{ { "grpc-accept-encoding", 20 }, REQ },
	{ { "x-envoy-original-url", 20 }, REQ },
	{ { "x-envoy-attempt-count", 21 }, BOTH },
	{ { "x-envoy-original-host", 21 }, REQ },
	{ { "x-envoy-original-path", 21 }, REQ },
	{ { "x-envoy-retry-grpc-on", 21 }, REQ },
	{ { "access-control-max-age", 22 }, RESP },
	{ { "x-envoy-upstream-canary", 23 }, RESP },
	{ { "x-forwarded-client-cert", 23 }, REQ },
	{ { "x-envoy-external-address", 24 }, REQ },
	{ { "x-envoy-is-timeout-retry", 24 }, REQ },
	{ { "access-control-allow-origin", 27 }, RESP },
	{ { "x-envoy-decorator-operation", 27 }, BOTH },
	{ { "access-control-allow-headers", 28 }, RESP },
	{ { "access-control-allow-methods", 28 }, RESP },
	{ { "access-control-expose-headers", 29 }, RESP },
	{ { "access-control-request-method", 29 }, REQ },
	{ { "x-envoy-upstream-service-time", 29 }, RESP },
	{ { "access-control-request-headers", 30 }, REQ },
	{ { "x-envoy-expected-rq-timeout-ms", 30 }, REQ },
	{ { "x-envoy-retriable-header-names", 30 }, REQ },
	{ { "x-envoy-retriable-status-codes", 30 }, REQ },
	{ { "x-envoy-upstream-alt-stat-name", 30 }, REQ },
	{ { "x-envoy-upstream-rq-timeout-ms", 30 }, REQ },
	{ { "x-envoy-downstream-service-node", 31 }, REQ },
	{ { "access-control-allow-credentials", 32 }, RESP },
	{ { "x-envoy-hedge-on-per-try-timeout", 32 }, REQ },
	{ { "x-envoy-downstream-service-cluster", 34 }, REQ },
	{ { "x-envoy-immediate-health-check-fail", 35 }, RESP },
	{ { "x-envoy-upstream-stream-duration-ms", 35 }, REQ },
	{ { "access-control-allow-private-network", 36 }, RESP },
	{ { "access-control-request-private-network", 38 }, REQ },
	{ { "x-envoy-upstream-healthchecked-cluster", 38 }, RESP },
	{ { "x-envoy-upstream-rq-per-try-timeout-ms", 38 }, REQ },
	{ { "x-envoy-upstream-rq-timeout-alt-response", 40 }, REQ },
};

#define LEN_MAX 40

bool l7_name_is_joined(struct slice name, bool in_request)
{
	/* Where the names of each length begin. */
	static const uint8_t first[LEN_MAX + 2] = {
		0, 0, 0, 1, 3, 6, 6, 11, 14, 17, 17, 20,
		21, 26, 30, 31, 34, 41, 45, 45, 49, 51, 55, 56,
		58, 60, 60, 60, 62, 64, 67, 73, 74, 76, 76, 77,
		79, 80, 80, 83, 83, 84,
	};
	unsigned int bit = in_request ? REQ : RESP;

	if (name.len > LEN_MAX)
		return false;
	for (unsigned int i = first[name.len]; i < first[name.len + 1]; i++)
		if ((table[i].where & bit) && slice_is_equal(table[i].name, name))
			return true;
	return false;
}

/* Joins those behind @first that have its name. */
static void join_one(struct l7_props *p, uint32_t first, struct arena *a)
{
	struct slice name = p->v[first].name;
	size_t len = p->v[first].value.len;
	uint32_t n = 1;
	char *text, *at;

	for (uint32_t i = first + 1; i < p->n; i++)
		if (!p->v[i].dead && slice_is_equal(p->v[i].name, name)) {
			len += p->v[i].value.len + 1;
			n++;
		}
	if (n == 1)
		return;
	text = at = arena_alloc(a, len);
	for (uint32_t i = first; i < p->n; i++) {
		struct slice v = p->v[i].value;

		if (p->v[i].dead || !slice_is_equal(p->v[i].name, name))
			continue;
		p->v[i].dead = i != first;
		if (v.len && at != text)
			*at++ = ',';
		if (v.len)
			memcpy(at, v.ptr, v.len);
		at += v.len;
	}
	p->v[first].value = slice_of(text, (size_t)(at - text));
}

/* A bit for a name; two names may share one. */
static uint64_t name_bit(struct slice name)
{
	return name.len ? 1ull << ((name.len * 7 + (unsigned char)name.ptr[name.len - 1]) & 63) : 0;
}

void l7_props_join(struct l7_props *p, bool in_request, struct arena *a)
{
	uint64_t seen = 0, twice = 0;

	l7_props_each(p, i) {
		uint64_t bit = name_bit(p->v[i].name);

		twice |= seen & bit;
		seen |= bit;
	}
	if (!twice)
		return;
	l7_props_each(p, i)
		if ((name_bit(p->v[i].name) & twice) &&
		    l7_name_is_joined(p->v[i].name, in_request))
			join_one(p, i, a);
}
