/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interned names by a perfect hash: the length and four characters choose one slot, one compare
 * decides. The slots follow from L7_KEYS; tests/unit/l7/test_key.c prints the table that is due
 * when a name was added (and says when another HASH_FACTOR is needed).
 */
#include "l7/key.h"

#define HASH_FACTOR 0x18072e8du

static const struct slice names[L7_KEY_COUNT] = {
#define X(id, name) [L7_KEY_##id] = { name, sizeof(name) - 1 },
	L7_KEYS(X)
#undef X
};

static const uint8_t slots[256] = {
	[0x08] = L7_KEY_HOST,
	[0x2d] = L7_KEY_X_ENVOY_TIMEOUT,
	[0x37] = L7_KEY_X_ENVOY_ORIGINAL_HOST,
	[0x3c] = L7_KEY_X_ENVOY_EXTERNAL_ADDRESS,
	[0x44] = L7_KEY_REFERER,
	[0x55] = L7_KEY_UPGRADE,
	[0x5a] = L7_KEY_X_ENVOY_SERVICE_TIME,
	[0x5e] = L7_KEY_TRAILER,
	[0x5f] = L7_KEY_VIA,
	[0x66] = L7_KEY_X_ENVOY_INTERNAL,
	[0x72] = L7_KEY_CONTENT_LENGTH,
	[0x73] = L7_KEY_SERVER,
	[0x79] = L7_KEY_CONTENT_TYPE,
	[0x7d] = L7_KEY_X_REQUEST_ID,
	[0x88] = L7_KEY_GRPC_MESSAGE,
	[0x8f] = L7_KEY_TE,
	[0x99] = L7_KEY_DATE,
	[0x9b] = L7_KEY_USER_AGENT,
	[0x9e] = L7_KEY_X_FORWARDED_PROTO,
	[0xb4] = L7_KEY_PROXY_CONNECTION,
	[0xb6] = L7_KEY_GRPC_STATUS,
	[0xbe] = L7_KEY_TRANSFER_ENCODING,
	[0xc0] = L7_KEY_X_FORWARDED_HOST,
	[0xca] = L7_KEY_ACCEPT,
	[0xcd] = L7_KEY_EXPECT,
	[0xd0] = L7_KEY_X_ENVOY_EXPECTED_TIMEOUT,
	[0xd1] = L7_KEY_ORIGIN,
	[0xd7] = L7_KEY_X_FORWARDED_FOR,
	[0xda] = L7_KEY_X_ENVOY_ORIGINAL_PATH,
	[0xdf] = L7_KEY_KEEP_ALIVE,
	[0xe0] = L7_KEY_LOCATION,
	[0xe5] = L7_KEY_X_ENVOY_ATTEMPT_COUNT,
	[0xf0] = L7_KEY_CONNECTION,
	[0xf8] = L7_KEY_COOKIE,
	[0xfa] = L7_KEY_X_FORWARDED_PORT,
	[0xfb] = L7_KEY_X_ENVOY_DECORATOR,
};

static unsigned int hash(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	uint32_t v = p[0] ^ (uint32_t)p[s.len * 3 / 4] << 8 ^ (uint32_t)p[s.len - 1] << 16 ^
		     (uint32_t)s.len << 24 ^ (uint32_t)p[s.len / 2] << 20;

	return v * HASH_FACTOR >> 24;
}

enum l7_key l7_key_find(struct slice name)
{
	unsigned int key;

	if (!name.len)
		return L7_KEY_NONE;
	key = slots[hash(name)];
	return slice_is_equal(names[key], name) ? (enum l7_key)key : L7_KEY_NONE;
}

struct slice l7_key_name(enum l7_key key)
{
	must((unsigned int)key < L7_KEY_COUNT);
	return names[key];
}
