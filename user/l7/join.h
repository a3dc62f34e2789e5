/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties whose repeated values count as one list ("a,b"), against those where each stands
 * alone. The set is Envoy 1.40's, found by asking it; matchers, formats and header changes use it.
 */
#ifndef SKIFF_L7_JOIN_H
#define SKIFF_L7_JOIN_H

#include "l7/l7.h"

/* @name in lower case; requests and responses have sets of their own. O(1). */
bool l7_name_is_joined(struct slice name, bool in_request);

/*
 * Makes one property of those of @p that have the same name and whose values are one list, as Envoy
 * does with what it reads; empty values leave no comma. Joined values are in @a.
 */
void l7_props_join(struct l7_props *p, bool in_request, struct arena *a);

static inline bool l7_msg_is_request(const struct l7_msg *m)
{
	return m->kind == L7_REQUEST || m->kind == L7_ONEWAY;
}

#endif
