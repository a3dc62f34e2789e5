/* SPDX-License-Identifier: Apache-2.0 */
/* Texts for JSON answers. What a peer said may be anything: JSON is UTF-8, and jansson refuses the
 * rest. */
#ifndef SKIFF_BASE_JSON_H
#define SKIFF_BASE_JSON_H

#include <jansson.h>

#include "base/slice.h"

/* @s as a new JSON string, never NULL; when it is no UTF-8, '?' for each byte that is not ASCII. */
json_t *slice_json(struct slice s);

static inline json_t *text_json(const char *s)
{
	return slice_json(slice_str(s));
}

#endif
