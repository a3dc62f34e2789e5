/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mesh as the engine sees it: one immutable snapshot, built whole or refused whole, published
 * by pointer, freed when its last user is gone.
 *
 * GLOSSARY  view: the listeners and clusters that one pod (or skiffd's own namespace) sees; pods
 * with equal resources share one. snapshot: all views and pods of a moment.
 */
#ifndef SKIFF_MESH_MESH_H
#define SKIFF_MESH_MESH_H

#include "base/arena.h"
#include "base/err.h"
#include "mesh/cluster.h"
#include "mesh/listener.h"

/* One set of resources, compiled. Reference counted (atomic): views are shared by snapshots. */
struct mesh_view {
	struct arena arena; /* all that hangs below lives here */
	struct mesh_listener *listeners;
	uint32_t n_listeners;
	struct mesh_cluster *clusters;
	uint32_t n_clusters;
	void *cluster_index;	/* name -> cluster */
	void (*release)(struct mesh_view *v); /* frees what is not in the arena (regexes) */
	void *release_arg;
	struct slice source;	/* files or control plane, for messages */
	struct slice config_json; /* the resources as protojson, for /config_dump; may be empty */
	uint64_t hash;
	_Atomic uint32_t refs;
};

struct mesh_view *mesh_view_new(void); /* empty, one reference */
struct mesh_view *mesh_view_ref(struct mesh_view *v);
void mesh_view_unref(struct mesh_view *v);
/* Builds the name index, sets index fields; -EEXIST with @e for a name that comes twice. */
int mesh_view_finish(struct mesh_view *v, struct err *e);
const struct mesh_cluster *mesh_view_cluster(const struct mesh_view *v, struct slice name);
/*
 * The listener for a captured connection: @direction and original destination. Order: exact
 * address and port; any address and the port; the listener with use_original_dst (the "virtual"
 * one). NULL: nobody wants it (the connection passes through untouched).
 */
const struct mesh_listener *mesh_view_listener(const struct mesh_view *v,
					       enum mesh_direction direction,
					       const struct addr *original_dst);

enum mesh_accelerate { MESH_ACCELERATE_AUTO, MESH_ACCELERATE_BOTH, MESH_ACCELERATE_OFF };

struct mesh_label {
	struct slice key, value;
};

/* A managed pod. */
struct mesh_pod {
	struct slice name, namespace_, service_account;
	struct slice netns; /* path of its network namespace */
	uint32_t id;	    /* stable while the pod is managed; > 0 */
	struct addr *addresses;
	uint32_t n_addresses;
	struct mesh_label *labels;
	uint32_t n_labels;
	bool fail_open;
	enum mesh_accelerate accelerate;
	struct mesh_prefix *inbound; /* what policies of its own are about; port 0: any */
	uint32_t n_inbound;
	struct mesh_view *view;
};

/* Is a policy of the pod's own about connections to @dst? Then the kernel knows the verdict. */
bool mesh_pod_has_inbound(const struct mesh_pod *p, const struct addr *dst);

struct mesh_snapshot {
	uint64_t version;
	struct arena arena;
	struct mesh_view
		*host; /* served on ordinary ports in skiffd's own namespace; may be empty */
	struct mesh_pod *pods;
	uint32_t n_pods;
	_Atomic uint32_t refs;
};

struct mesh_snapshot *mesh_snapshot_new(void);
struct mesh_snapshot *mesh_snapshot_ref(struct mesh_snapshot *s);
void mesh_snapshot_unref(struct mesh_snapshot *s);
const struct mesh_pod *mesh_snapshot_pod(const struct mesh_snapshot *s, uint32_t id);
const struct mesh_pod *mesh_snapshot_pod_by_addr(const struct mesh_snapshot *s,
						 const struct addr *ip);

#endif
