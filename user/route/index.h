/* SPDX-License-Identifier: Apache-2.0 */
/* The domain index, inside the room only. Others call route_table_index and route_match. */
#ifndef SKIFF_ROUTE_INDEX_H
#define SKIFF_ROUTE_INDEX_H

#include "route/route.h"

/* The virtual host for @host by Envoy's search, or NULL. @a: for hosts of unusual length. */
const struct mesh_vhost *route_index_find(const struct mesh_route_table *t, struct slice host,
					  struct arena *a);

#endif
