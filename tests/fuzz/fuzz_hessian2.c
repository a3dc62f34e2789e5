/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the Hessian walk. Values are stepped over one after the other; each one must be
 * stepped over alike when nothing stands behind it, and be refused when its last byte is missing.
 * Strings must be what they were when they are written again.
 */
#include "codec/dubbo/hessian2.h"

#define STRING_BYTES 65536

/* Is @p[0..n) exactly one value, for a walk that starts there? */
static int walk(const unsigned char *p, size_t n, const unsigned char **ret_end)
{
	char *copy = xmalloc(n + 1);
	struct arena a = { 0 };
	struct hessian2 h;
	int r;

	memcpy(copy, p, n);
	hessian2_init(&h, slice_of(copy, n), 64, STRING_BYTES, &a);
	r = hessian2_skip(&h);
	must(r == 0 || h.error);
	*ret_end = p + (h.p - (unsigned char *)copy);
	must(a.total <= 64 * 1024 + n);
	arena_done(&a);
	free(copy);
	return r;
}

static void strings(const uint8_t *data, size_t size)
{
	struct arena a = { 0 };
	struct buf out = { 0 };
	struct slice s, again;
	struct hessian2 h;

	/* read, and read what is written of it */
	hessian2_init(&h, slice_of(data, size), 64, STRING_BYTES, &a);
	while (!hessian2_is_end(&h) && hessian2_string(&h, &s) == 0) {
		struct hessian2 g;

		must(s.len <= STRING_BYTES);
		buf_clear(&out);
		hessian2_write_string(&out, s);
		hessian2_init(&g, buf_slice(&out), 64, UINT32_MAX, &a);
		must(hessian2_string(&g, &again) == 0 && hessian2_is_end(&g));
	}
	/* any bytes can be written, and come out as a string */
	buf_clear(&out);
	hessian2_write_string(&out, slice_of(data, size));
	hessian2_init(&h, buf_slice(&out), 64, UINT32_MAX, &a);
	must(hessian2_string(&h, &again) == 0 && hessian2_is_end(&h));
	buf_done(&out);
	arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned char *p = data, *end = data + size, *next, *same;
	struct arena a = { 0 };
	struct hessian2 h;

	if (size > 100000)
		return 0;
	for (int i = 0; i < 16 && p < end && walk(p, (size_t)(end - p), &next) == 0; i++) {
		must(next > p && next <= end);
		must(walk(p, (size_t)(next - p), &same) == 0 && same == next);
		must(walk(p, (size_t)(next - p) - 1, &same) < 0);
		p = next;
	}
	/* one stream: the class definitions of a value hold for those behind it */
	hessian2_init(&h, slice_of(data, size), 64, STRING_BYTES, &a);
	while (!hessian2_is_end(&h) && hessian2_skip(&h) == 0)
		;
	hessian2_init(&h, slice_of(data, size), 64, STRING_BYTES, &a);
	if (hessian2_map_open(&h) == 1)
		while (!hessian2_map_is_done(&h) && hessian2_skip(&h) == 0)
			if (hessian2_skip(&h) < 0)
				break;
	arena_done(&a);
	strings(data, size);
	return 0;
}
