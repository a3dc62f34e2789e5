/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of metadata. */
#include "base/metadata.h"

const struct metadata *metadata_copy(struct arena *a, const struct metadata *m)
{
	struct metadata_value *v;
	struct metadata *out;

	if (!m)
		return NULL;
	v = arena_array(a, struct metadata_value, m->n);
	for (uint32_t i = 0; i < m->n; i++)
		v[i] = (struct metadata_value){ .path = arena_slice(a, m->v[i].path),
						.text = arena_slice(a, m->v[i].text),
						.is_string = m->v[i].is_string };
	out = arena_new(a, struct metadata);
	*out = (struct metadata){ v, m->n };
	return out;
}
