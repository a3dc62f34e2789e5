/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 of bytes fields. */
#include <errno.h>

#include "xds/protojson_impl.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_write(struct arena *a, const uint8_t *p, size_t n)
{
	char *out = arena_alloc(a, (n + 2) / 3 * 4 + 1), *w = out;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
			     (i + 2 < n ? p[i + 2] : 0);

		*w++ = alphabet[v >> 18];
		*w++ = alphabet[v >> 12 & 63];
		*w++ = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
		*w++ = i + 2 < n ? alphabet[v & 63] : '=';
	}
	*w = '\0';
	return out;
}

static int digit(char c)
{
	const char *p = c ? strchr(alphabet, c) : NULL;

	if (p)
		return (int)(p - alphabet);
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int base64_read(struct arena *a, struct slice text, ProtobufCBinaryData *ret_b)
{
	uint8_t *out = arena_alloc(a, text.len / 4 * 3 + 3);
	uint32_t v = 0, bits = 0;
	size_t n = 0;

	while (text.len && text.ptr[text.len - 1] == '=')
		text.len--;
	if (text.len % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		int d = digit(text.ptr[i]);

		if (d < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)d;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (uint8_t)(v >> bits);
		}
	}
	ret_b->data = out;
	ret_b->len = n;
	return 0;
}
