/* SPDX-License-Identifier: Apache-2.0 */
/* Texts for JSON answers. */
#include "base/json.h"

json_t *slice_json(struct slice s)
{
	json_t *j = json_stringn(s.len ? s.ptr : "", s.len);
	char *copy;

	if (j)
		return j;
	copy = slice_dup(s);
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)copy[i] >= 0x80)
			copy[i] = '?';
	j = json_stringn(copy, s.len);
	free(copy);
	return j;
}
