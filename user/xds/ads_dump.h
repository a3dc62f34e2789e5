/* SPDX-License-Identifier: Apache-2.0 */
/* What a node was sent, in the shape of Envoy's /config_dump (envoy.admin.v3). */
#ifndef SKIFF_XDS_ADS_DUMP_H
#define SKIFF_XDS_ADS_DUMP_H

#include "xds/ads.h"

/*
 * Appends to the array @configs one object each for bootstrap (the node), clusters, listeners,
 * routes, filters, secrets (names only) and, when @with_endpoints, endpoints. Fields that this
 * version does not know are not in it. @extra: members that each object gets ("skiff_pod"), or
 * NULL.
 */
void ads_node_dump(const struct ads_node *n, bool with_endpoints, json_t *extra, json_t *configs);

#endif
