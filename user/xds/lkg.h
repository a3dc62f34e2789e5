/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last good configuration on disk: what each node has published, each content once, so that a
 * restart without a control plane serves it. One file, replaced whole: written beside, synced,
 * renamed; read whole or refused whole (magic, format, length, checksum). No secrets are in it.
 *
 * Layout, little-endian: struct lkg_header; then resources { u8 kind, u32 length, bytes }; then
 * nodes { u32 length, id, u32 count, count places of resources (u32) }. Main thread only.
 */
#ifndef SKIFF_XDS_LKG_H
#define SKIFF_XDS_LKG_H

#include "xds/ads.h"

#define LKG_FORMAT 1
#define LKG_FILE_MAX (1ull << 30) /* bytes of the file */

struct lkg_header {
	char magic[8]; /* "skifflkg" */
	uint32_t format, n_resources, n_nodes, zero;
	uint64_t written;  /* wall clock, ns */
	uint64_t length;   /* of what follows */
	uint64_t checksum; /* XXH3 of what follows */
};

_Static_assert(sizeof(struct lkg_header) == 48, "on disk");

/* ---- reading -----------------------------------------------------------------------------------
 */

struct lkg;

/*
 * Reads the file and compiles what is in it. 0; -ENOENT; others with the reason in @e: it is then
 * as if there were none.
 */
int lkg_load(const char *path, struct xds_store *s, struct lkg **ret_l, struct err *e);
/* The same for what follows the header; @h says how many. -EINVAL with @e. */
int lkg_parse(const struct lkg_header *h, struct slice body, struct xds_store *s,
	      struct lkg **ret_l, struct err *e);
void lkg_free(struct lkg *l);              /* NULL is allowed */
uint64_t lkg_written(const struct lkg *l); /* wall clock, ns */
/*
 * Calls @fn for each resource that the node of this id had. false: the file knows no such node.
 */
bool lkg_each(const struct lkg *l, const char *id,
	      void (*fn)(void *arg, struct xds_resource *r), void *arg);
/*
 * Gives @n (right after ads_node_add) what the node of this id had; it is published in the next
 * turn, as stale. false: the file knows no such node.
 */
bool lkg_restore(const struct lkg *l, struct ads_node *n);

/* ---- writing -----------------------------------------------------------------------------------
 */

/* Is what @n has published in use? Not one that the engine refused. NULL: always. */
typedef bool (*lkg_good_fn)(const struct ads_node *n);

/*
 * Writes what the nodes of @a have published, and waits until it is on disk. Of a node whose set is
 * not good what the file has of it stays. 0 or -errno, @e.
 */
int lkg_save(const char *path, struct ads *a, lkg_good_fn is_good, struct err *e);

/*
 * Saves by itself some time after changes: LKG_DELAY_MS after the first one, LKG_PAUSE_MS after the
 * last saving at the earliest. Syncing is done by a thread of its own: the loop does not wait for
 * the disk.
 */
#define LKG_DELAY_MS 2000
#define LKG_PAUSE_MS 30000

struct lkg_keeper;

struct lkg_keeper *lkg_keeper_new(struct io *io, const char *path, struct ads *a,
				  lkg_good_fn is_good);
/* What some node has published is in use; cheap. */
void lkg_keeper_touch(struct lkg_keeper *k);
/* Saves what was touched and not saved. NULL is allowed. Before ads_free. */
void lkg_keeper_free(struct lkg_keeper *k);

#endif
