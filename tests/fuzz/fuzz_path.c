/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: path normalization. The first byte chooses the options. What was normalized stays as
 * it is when normalized again, holds no dot segment, and keeps its query.
 */
#include <errno.h>

#include "route/route.h"

#define INPUT_MAX 8192

static void check_segments(struct slice path)
{
	while (path.ptr) {
		struct slice segment = slice_split(&path, '/');

		must(!slice_is_equal(segment, SLICE(".")) && !slice_is_equal(segment, SLICE("..")));
		must(slice_find(segment, '\\') < 0);
	}
}

static struct slice query_of(struct slice path)
{
	ptrdiff_t at = slice_find(path, '?');

	return at < 0 ? SLICE_NONE : slice_skip(path, (size_t)at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mesh_http_manager hcm = { 0 };
	struct arena a = { 0 };
	struct slice path, once = SLICE_NONE, twice = SLICE_NONE;
	int r;

	if (!size || size > INPUT_MAX)
		return 0;
	hcm.normalize_path = data[0] & 1;
	hcm.merge_slashes = data[0] & 2;
	hcm.escaped_slashes = data[0] >> 2 & 3;
	path = slice_of(data + 1, size - 1);
	r = route_path_normalize(&hcm, path, &a, &once);
	must(r == 0 || r == -EINVAL || (r == 1 && hcm.escaped_slashes == MESH_SLASHES_REDIRECT));
	if (r < 0)
		goto out;
	must(slice_is_equal(query_of(path), query_of(once)));
	if (hcm.normalize_path)
		check_segments(route_path_only(once, NULL));
	/* Unescaping once may uncover another escape ("%252f"): that one is left for the next hop.
	 */
	hcm.escaped_slashes = MESH_SLASHES_KEEP;
	must(route_path_normalize(&hcm, once, &a, &twice) == 0);
	must(slice_is_equal(once, twice));
out:
	arena_done(&a);
	return 0;
}
