/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter on_demand: a request whose host no virtual host of its table names waits until the
 * control plane was asked for it (VHDS), and is then routed anew. Tables without vhds, and
 * listeners without the filter, know nothing of it.
 */
#ifndef SKIFF_PROXY_ON_DEMAND_H
#define SKIFF_PROXY_ON_DEMAND_H

#include "filter/filter.h"

#define ON_DEMAND_WAIT_MS 5000 /* a request waits no longer; then it goes on without a route */
#define ON_DEMAND_MAX 1024     /* requests that wait in one worker; the next ones do not */

extern const struct filter filter_on_demand;

#endif
