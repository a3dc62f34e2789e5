/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing a codec from a table: by the first bytes of a connection, or by name. */
#include "codec/codec.h"

enum sniff codec_sniff(const struct codec *const *table, const char *p, size_t n,
		       const struct codec **ret_codec)
{
	enum sniff verdict = SNIFF_NO;

	for (; *table; table++) {
		enum sniff s = (*table)->sniff ? (*table)->sniff(p, n) : SNIFF_NO;

		if (s == SNIFF_YES) {
			*ret_codec = *table;
			return SNIFF_YES;
		}
		if (s == SNIFF_MORE)
			verdict = SNIFF_MORE;
	}
	return verdict;
}

const struct codec *codec_find(const struct codec *const *table, const char *name)
{
	for (; *table; table++)
		if (!strcmp((*table)->name, name))
			return *table;
	return NULL;
}
