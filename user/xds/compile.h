/* SPDX-License-Identifier: Apache-2.0 */
/* One resource of a control plane -> one part of the mesh. */
#ifndef SKIFF_XDS_COMPILE_H
#define SKIFF_XDS_COMPILE_H

#include "base/err.h"
#include "mesh/part.h"
#include "xds/report.h"

struct xds_resource;

/*
 * Compiles @value, the value of an Any: a Cluster, ClusterLoadAssignment, Listener,
 * RouteConfiguration, MultipleRouteConfiguration, TypedExtensionConfig or Secret, by @kind. 0 and a
 * part with one reference that names what it needs, or a negative errno with the place and the
 * reason in @e. @before (may be NULL): the version of that name until now, of which an equal
 * virtual host is taken over. @report (may be NULL) gets what has no effect, also when the resource
 * is refused. Main thread only. An xds_compile_fn (xds/store.h).
 */
int xds_compile(enum mesh_part_kind kind, struct slice value, const struct xds_resource *before,
		struct xds_report *report, struct mesh_part **ret_part, struct err *e);

/* The bytes of a secret (MESH_PART_SECRET's body): nobody may print them. */
struct xds_secret {
	struct slice bytes;
};

#endif
