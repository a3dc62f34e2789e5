/* SPDX-License-Identifier: Apache-2.0 */
/* What configuration says of its parts beside their meaning, as a flat list of values; for formats
 * and rate limits, which look them up by a path of keys. */
#ifndef SKIFF_BASE_METADATA_H
#define SKIFF_BASE_METADATA_H

#include "base/arena.h"

struct metadata_value {
	struct slice path; /* the filter's name and keys, METADATA_SEP between them */
	struct slice text; /* of a string as it is, else as JSON */
	bool is_string;
};
#define METADATA_SEP '\x1f'

struct metadata {
	const struct metadata_value *v;
	uint32_t n;
};

/* A copy in @a, which is not looked at when @m is NULL (as the copy then). */
const struct metadata *metadata_copy(struct arena *a, const struct metadata *m);

#endif
