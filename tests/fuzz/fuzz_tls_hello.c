/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: ClientHello. Every prefix in memory of its exact size: once there is a verdict, more
 * bytes do not change it, and what was read stays the same.
 */
#include "codec/tls_hello.h"

#define LOOK_MAX 2048 /* prefixes of longer inputs are not tried one by one */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum sniff verdict = SNIFF_MORE;
	struct tls_hello h, first = { 0 };

	for (size_t n = size > LOOK_MAX ? size : 0; n <= size; n++) {
		char *p = xmalloc(n);
		enum sniff now;

		if (n)
			memcpy(p, data, n);
		now = tls_hello_read(p, n, &h);
		must(verdict == SNIFF_MORE || now == verdict);
		must(h.n_alpn <= TLS_ALPN_MAX);
		if (now == SNIFF_YES && verdict == SNIFF_MORE)
			first = h;
		if (now == SNIFF_YES)
			must(h.server_name_len == first.server_name_len &&
			     memcmp(h.server_name, first.server_name, h.server_name_len) == 0);
		verdict = now;
		free(p);
	}
	return 0;
}
