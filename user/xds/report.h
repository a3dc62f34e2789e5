/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a set of resources asks for and Skiff does not do: unknown fields, settings that are not
 * built yet. Nothing is dropped silently: it stands here, and the caller logs or shows it.
 * Fields whose absence would weaken security or widen a match never come here: they refuse.
 */
#ifndef SKIFF_XDS_REPORT_H
#define SKIFF_XDS_REPORT_H

#include "base/arena.h"

#define XDS_REPORT_MAX 1000 /* entries kept; the others are counted */

struct xds_report_entry {
	struct slice path; /* place in the resources, file name first where there is one */
	struct slice text;
};

/* All zero is a valid empty report. */
struct xds_report {
	struct arena arena;
	struct xds_report_entry *v;
	size_t n, cap;
	size_t dropped; /* entries over XDS_REPORT_MAX */
};

/* Adds one entry; the texts are copied. A NULL @r is allowed. */
void xds_report_add(struct xds_report *r, const char *path, const char *fmt, ...) printf_like(3, 4);
/* Frees what it holds; empty and usable afterwards. */
void xds_report_done(struct xds_report *r);

#endif
