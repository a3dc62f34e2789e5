/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over Hessian 2.0 bytes: reads strings, steps over any other value, makes no objects.
 * The bytes are all there (a cut value is an error, not "need more"). The work is linear in the
 * bytes; nothing is allocated by a number that the peer wrote. Also writes the few values that
 * Skiff's own answers need. Not here: what the values mean (invocation.c).
 */
#ifndef SKIFF_CODEC_DUBBO_HESSIAN2_H
#define SKIFF_CODEC_DUBBO_HESSIAN2_H

#include "base/arena.h"
#include "base/buf.h"

/* Nesting of containers that a walk can be allowed at most, whatever is configured. */
#define HESSIAN2_DEPTH_MAX 512
/* Class definitions in one stream. */
#define HESSIAN2_CLASSES 4096
/* Of them, so many are kept without the arena. */
#define HESSIAN2_CLASSES_INLINE 16
/* UTF-16 units in one string chunk that we write; what the Java writers use. */
#define HESSIAN2_CHUNK 32768

struct hessian2 {
	const unsigned char *p, *end;
	struct arena *arena;   /* joined strings, a long class table */
	const char *error;     /* static reason of the last failure */
	uint32_t depth;	       /* nesting allowed */
	uint32_t string_bytes; /* strings longer than this are refused by hessian2_string */
	uint32_t class_n, class_cap;
	uint32_t *class_fields; /* number of fields by class index */
	uint32_t class_inline[HESSIAN2_CLASSES_INLINE];
};

/*
 * Starts a walk over @in, which must outlive it. One walk is one Hessian stream: class definitions
 * are known from their place on. @depth 0 and above HESSIAN2_DEPTH_MAX are clamped.
 */
void hessian2_init(struct hessian2 *h, struct slice in, uint32_t depth, uint32_t string_bytes,
		   struct arena *a);

static inline bool hessian2_is_end(const struct hessian2 *h)
{
	return h->p == h->end;
}

/* Does a string start here? (null is none) */
bool hessian2_is_string(const struct hessian2 *h);

/*
 * Reads a string or null (an empty slice with ptr NULL). The bytes are CESU-8 as they came,
 * borrowed from the input; a string in several chunks is joined in the arena. 0, -EPROTO for
 * another value or broken bytes, -E2BIG for one over string_bytes.
 */
int hessian2_string(struct hessian2 *h, struct slice *ret_s);

/* Steps over one value of any kind. 0, -EPROTO, -E2BIG (too deep, too many classes). */
int hessian2_skip(struct hessian2 *h);

/*
 * Opens a map: 1 when its keys and values follow (until hessian2_map_is_done), 0 when a null or a
 * reference stood in its place, -EPROTO.
 */
int hessian2_map_open(struct hessian2 *h);
/* At the map's end mark? Then steps over it. At the end of the input: false, and skip fails. */
bool hessian2_map_is_done(struct hessian2 *h);

/*
 * Appends @s, UTF-8, as a string: in chunks when it is long, characters above U+FFFF as two
 * surrogates, a byte that is not UTF-8 as '?'.
 */
void hessian2_write_string(struct buf *out, struct slice s);

#endif
