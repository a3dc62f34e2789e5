/* SPDX-License-Identifier: Apache-2.0 */
/* Files in the format of an Envoy bootstrap (static_resources), YAML or JSON -> one view. */
#ifndef SKIFF_XDS_LOAD_H
#define SKIFF_XDS_LOAD_H

#include "mesh/mesh.h"
#include "xds/report.h"

#define XDS_FILES_MAX 10000 /* files of one set */

/*
 * Reads @n paths, each a file or a folder (its *.yaml, *.yml and *.json, sorted by name, not
 * deeper), as one set of resources. All or nothing: 0 and a view with one reference, or a negative
 * errno with the file, the path in it and the reason in @e. @report (may be NULL) gets what has no
 * effect. Routes are checked; their domain index (route_table_index) is not built here.
 */
int xds_load_files(const char *const *paths, size_t n, struct mesh_view **ret_view,
		   struct xds_report *report, struct err *e);
/* The same from one text in memory; @name stands in messages. */
int xds_load_text(struct slice text, const char *name, struct mesh_view **ret_view,
		  struct xds_report *report, struct err *e);

#endif
