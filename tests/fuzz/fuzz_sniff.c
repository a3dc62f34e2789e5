/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: sniffing. Every codec looks at every prefix, in memory of its exact size: once it
 * has decided, more bytes do not change its mind; and the table's verdict follows from theirs.
 */
#include "cmd/builtin.h"
#include "codec/codec.h"

#define LOOK_MAX 128 /* nobody needs more to decide */

static void one(const struct codec *c, const char *p, size_t n, enum sniff *verdict)
{
	enum sniff now = c->sniff(p, n);

	must(now == SNIFF_YES || now == SNIFF_NO || now == SNIFF_MORE);
	must(*verdict == SNIFF_MORE || now == *verdict);
	*verdict = now;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum sniff verdicts[32];
	size_t max = size < LOOK_MAX ? size : LOOK_MAX;

	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
		verdicts[i] = SNIFF_MORE;
	for (size_t n = 0; n <= max; n++) {
		char *p = xmalloc(n);
		const struct codec *found = NULL;
		bool yes = false, more = false;
		enum sniff all;

		if (n)
			memcpy(p, data, n);
		for (size_t i = 0; builtin_codecs[i]; i++) {
			must(i < ARRAY_LEN(verdicts));
			if (!builtin_codecs[i]->sniff)
				continue;
			one(builtin_codecs[i], p, n, &verdicts[i]);
			yes |= verdicts[i] == SNIFF_YES;
			more |= verdicts[i] == SNIFF_MORE;
		}
		all = codec_sniff(builtin_codecs, p, n, &found);
		must(all == (yes ? SNIFF_YES : more ? SNIFF_MORE : SNIFF_NO));
		must((all == SNIFF_YES) == (found != NULL));
		free(p);
	}
	return 0;
}
