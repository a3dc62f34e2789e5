/* SPDX-License-Identifier: Apache-2.0 */
/* router: only marks the end of the chain; the engine routes. */
#include "filter/filter.h"

const struct filter filter_router = { .kind = "router", .is_terminal = true };
