/* SPDX-License-Identifier: Apache-2.0 */
/* The list of what was not understood; see report.h. */
#include "xds/report.h"

#include <stdarg.h>

#define REPORT_TEXT_MAX 512

void xds_report_add(struct xds_report *r, const char *path, const char *fmt, ...)
{
	char text[REPORT_TEXT_MAX];
	va_list ap;

	if (!r)
		return;
	if (r->n >= XDS_REPORT_MAX) {
		r->dropped++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 16;
		r->v = xrealloc(r->v, r->cap * sizeof(*r->v));
	}
	r->v[r->n++] = (struct xds_report_entry){
		arena_slice(&r->arena, slice_str(path)),
		arena_slice(&r->arena, slice_str(text)),
	};
}

void xds_report_done(struct xds_report *r)
{
	arena_done(&r->arena);
	free(r->v);
	*r = (struct xds_report){ 0 };
}
