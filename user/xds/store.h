/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every xDS resource that some node has, once for each distinct content: its bytes, and what they
 * were compiled to. Thirty pods that are sent the same cluster hold one. Also the interned names.
 * Which node has which resource is not known here (ads). Main thread only.
 *
 * Control planes written in Go send map entries in a random order, for every pod another one:
 * contents are compared, and kept, with the entries of maps sorted by key.
 */
#ifndef SKIFF_XDS_STORE_H
#define SKIFF_XDS_STORE_H

#include "base/err.h"
#include "mesh/part.h"
#include "xds/report.h"

#define XDS_NAME_MAX 4096 /* bytes of a resource's name */

struct xds_store;

/* A text that is held once: two equal names have the same address. */
struct xds_name {
	uint32_t refs, hash, len;
	struct xds_resource *latest; /* the good one that came last under it; NULL: none is held */
	char text[]; /* and a NUL */
};

static inline struct slice xds_name_slice(const struct xds_name *n)
{
	return n ? slice_of(n->text, n->len) : SLICE_NONE;
}

struct xds_resource;

/*
 * Compiles the @value of an Any of this kind. @before: the last good one of that name that is still
 * held by somebody; NULL: none. 0 and a part with one reference, or a negative errno
 * with @e. xds_compile() in skiffd; tests give their own.
 */
typedef int (*xds_compile_fn)(enum mesh_part_kind kind, struct slice value,
			      const struct xds_resource *before, struct xds_report *report,
			      struct mesh_part **ret_part, struct err *e);

/* Immutable. */
struct xds_resource {
	uint32_t refs;
	enum mesh_part_kind kind;
	uint64_t hash;          /* of kind and bytes */
	struct xds_name *name;  /* as its content says */
	struct slice bytes;     /* value of the Any, maps sorted */
	struct mesh_part *part; /* NULL: refused, and error says why */
	struct xds_name **needs; /* the names of part->refs; with references */
	char *error;
	struct xds_report report; /* what of it has no effect */
};

struct xds_store *xds_store_new(xds_compile_fn compile);
/*
 * What else a new content must pass once it is compiled, before anybody has it: 0, or a negative
 * errno with @e, which refuses it as its compiler would. NULL: nothing.
 */
void xds_store_set_check(struct xds_store *s,
			 int (*check)(void *arg, struct mesh_part *part, struct err *e), void *arg);
/* All references must have been given back. NULL is allowed. */
void xds_store_free(struct xds_store *s);

/*
 * The resource with this content, with a reference for the caller; compiled when it is new. Never
 * fails: see part and error. @value is copied.
 */
struct xds_resource *xds_store_get(struct xds_store *s, enum mesh_part_kind kind,
				   struct slice value);
/*
 * The same. What came last under @name (may be NULL) and @has (may be NULL) are looked at first,
 * which is cheap: most contents are what the caller has, or what others got before it.
 */
struct xds_resource *xds_store_get_like(struct xds_store *s, enum mesh_part_kind kind,
					struct slice value, const struct xds_name *name,
					struct xds_resource *has);
struct xds_resource *xds_resource_ref(struct xds_resource *r);
/* The last one frees it. NULL is allowed. */
void xds_resource_unref(struct xds_store *s, struct xds_resource *r);

/* The name, with a reference. */
struct xds_name *xds_name_get(struct xds_store *s, struct slice text);
/* The name if anybody holds it (no reference), else NULL. */
struct xds_name *xds_name_find(const struct xds_store *s, struct slice text);
struct xds_name *xds_name_ref(struct xds_name *n);
void xds_name_unref(struct xds_store *s, struct xds_name *n); /* NULL is allowed */

/* Calls @fn for each resource, in no order. */
void xds_store_each(const struct xds_store *s, void (*fn)(void *arg, const struct xds_resource *r),
		    void *arg);

struct xds_store_totals {
	uint64_t resources, bytes; /* held now */
	uint64_t names;
	uint64_t compiled; /* ever: contents that were new */
	uint64_t hits;     /* ever: contents that were there */
	uint64_t refused;  /* ever: contents that could not be compiled */
};
void xds_store_totals_get(const struct xds_store *s, struct xds_store_totals *ret_t);

/* ---- types --------------------------------------------------------------------------------- */

/* "type.googleapis.com/envoy.config.cluster.v3.Cluster" ... */
const char *xds_type_url(enum mesh_part_kind kind);
/* The kind of resource that @url says; -ENOENT for others. */
int xds_type_find(struct slice url, enum mesh_part_kind *ret_kind);
/* "CDS", "EDS", "LDS", "RDS", "DRDS", "ECDS", "SDS", "VHDS". */
const char *xds_type_short(enum mesh_part_kind kind);

/*
 * Sorts the entries of all maps within packed bytes of the message type @name by their keys, in
 * place; the length stays. Bytes that are no such message stay as they are, from where they are
 * not.
 */
void xds_canonicalize(struct slice type_name, char *p, size_t n);
/* The name that the content of any of our types says (its field 1); empty when it has none. */
struct slice xds_content_name(struct slice value);

#endif
