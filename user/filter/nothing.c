/* SPDX-License-Identifier: Apache-2.0 */
/* nothing: stands where a control plane wants a filter whose work is done elsewhere. */
#include "filter/filter.h"

const struct filter filter_nothing = { .kind = "nothing" };
