/* SPDX-License-Identifier: Apache-2.0 */
/* What a node was sent, in the shape of Envoy's /config_dump (envoy.admin.v3). */
#ifndef SKIFF_XDS_ADS_DUMP_H
#define SKIFF_XDS_ADS_DUMP_H

#include "xds/ads.h"

/*
 * Appends to the array @configs one object each for bootstrap (the node, and how it is connected:
 * @server), listeners, clusters, routes, filters and secrets (names only); what was refused is
 * there with its reason. Fields that this version does not know are not in it. @extra: members
 * that each object gets ("skiff_pod"), or NULL.
 */
void ads_node_dump(const struct ads_node *n, const char *server, json_t *extra, json_t *configs);

#endif
