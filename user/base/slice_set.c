/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing, at most half full; see slice_set.h. */
#include "base/slice_set.h"

#include <xxhash.h>

void slice_set_init(struct slice_set *s, struct arena *a, size_t n)
{
	size_t slots = 4;

	while (slots / 2 < n)
		slots *= 2;
	s->v = arena_array(a, struct slice, slots);
	s->mask = slots - 1;
}

bool slice_set_add(struct slice_set *s, struct slice x)
{
	size_t i;

	if (!x.ptr)
		x = SLICE("");
	for (i = XXH3_64bits(x.ptr, x.len) & s->mask; s->v[i].ptr; i = (i + 1) & s->mask)
		if (slice_is_equal(s->v[i], x))
			return false;
	s->v[i] = x;
	return true;
}
