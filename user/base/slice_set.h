/* SPDX-License-Identifier: Apache-2.0 */
/* Texts, each once: to see that nothing stands twice in a list. It only grows. */
#ifndef SKIFF_BASE_SLICE_SET_H
#define SKIFF_BASE_SLICE_SET_H

#include "base/arena.h"

struct slice_set {
	struct slice *v; /* open addressing; ptr NULL: free */
	size_t mask;
};

/* Room for @n, in @a. */
void slice_set_init(struct slice_set *s, struct arena *a, size_t n);
/* Adds @x (its bytes are borrowed); false: it is there already. */
bool slice_set_add(struct slice_set *s, struct slice x);

#endif
