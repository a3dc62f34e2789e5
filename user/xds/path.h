/* SPDX-License-Identifier: Apache-2.0 */
/* The place in a resource that is being read, as text for messages:
 * "listeners[0].filter_chains[1].name". */
#ifndef SKIFF_XDS_PATH_H
#define SKIFF_XDS_PATH_H

#include "base/slice.h"

#define XDS_PATH_MAX 1024 /* longer paths are cut */

struct xds_path {
	size_t len;
	char text[XDS_PATH_MAX];
};

/* Starts at @root, which may be empty. */
void xds_path_init(struct xds_path *p, const char *root);
/* Each push returns the mark that takes it back with xds_path_pop. */
size_t xds_path_push(struct xds_path *p, const char *field);
size_t xds_path_push_at(struct xds_path *p, const char *field, size_t index);
size_t xds_path_push_key(struct xds_path *p, const char *key); /* "[key]" */
size_t xds_path_push_raw(struct xds_path *p,
			 const char *text); /* as it is; no '.' follows a blank */
void xds_path_pop(struct xds_path *p, size_t mark);

#endif
