/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mesh as the engine sees it: one immutable snapshot, built whole or refused whole, published
 * by pointer, freed when its last user is gone.
 *
 * GLOSSARY  view: the listeners, clusters and route tables that one pod (or skiffd's own namespace)
 * sees: shared parts and the indexes over them; pods with equal resources share one. place: the
 * number of a listener or cluster in a view; the same part may have another in another view. cell:
 * where a view keeps the endpoints of one EDS or DNS cluster, the only thing in it that changes.
 * snapshot: all views and pods of a moment.
 */
#ifndef SKIFF_MESH_MESH_H
#define SKIFF_MESH_MESH_H

#include <pthread.h>

#include "base/arena.h"
#include "base/err.h"
#include "mesh/cluster.h"
#include "mesh/listener.h"
#include "mesh/part.h"

struct view_index;

/* Reference counted (atomic): views are shared by snapshots. */
struct mesh_view {
	struct arena arena; /* the arrays and indexes */
	/* All but endpoints, one reference each, kind by kind in the order that they came in. */
	struct mesh_part **parts;
	uint32_t n_parts;
	struct mesh_part **listeners; /* of parts, by place */
	uint32_t n_listeners;
	struct mesh_part **clusters; /* of parts, by place */
	uint32_t n_clusters;
	uint32_t *resolved; /* places of the clusters whose names are resolved here (DNS) */
	uint32_t n_resolved;
	struct view_index *index;
	struct mesh_part **cells; /* by cluster; NULL: no endpoints are known yet */
	pthread_mutex_t lock;     /* of cells */
	struct slice source;      /* files or control plane, for messages */
	struct slice config_json; /* the resources as protojson, for /config_dump; may be empty */
	uint64_t hash;
	_Atomic uint32_t refs;
};

/*
 * Composes @parts (a reference to each is taken; any order). Endpoints fill the cells of the EDS
 * clusters that ask for them by service name, others are left out. O(n) steps and no copies of
 * what the parts hold. 0 and a view with one reference; -EEXIST with @e for a name that comes
 * twice. Main thread.
 */
int mesh_view_build(struct mesh_part *const *parts, uint32_t n, struct slice source,
		    struct mesh_view **ret_v, struct err *e);
struct mesh_view *mesh_view_ref(struct mesh_view *v);
void mesh_view_unref(struct mesh_view *v);

/* The resource of this kind and name, or NULL. Not for endpoints. */
struct mesh_part *mesh_view_part(const struct mesh_view *v, enum mesh_part_kind kind,
				 struct slice name);
/* The place of a cluster or listener by name, or -1. */
int mesh_view_cluster_place(const struct mesh_view *v, struct slice name);
int mesh_view_listener_named(const struct mesh_view *v, struct slice name);
/* The same as the cluster itself, or NULL. */
const struct mesh_cluster *mesh_view_cluster(const struct mesh_view *v, struct slice name);
/*
 * The place of the listener for a captured connection: @direction and original destination. Order:
 * exact address and port; any address and the port; the listener with use_original_dst (the
 * "virtual" one). -1: nobody wants it (the connection passes through untouched).
 */
int mesh_view_listener_place(const struct mesh_view *v, enum mesh_direction direction,
			     const struct addr *original_dst);
const struct mesh_listener *mesh_view_listener(const struct mesh_view *v,
					       enum mesh_direction direction,
					       const struct addr *original_dst);

static inline const struct mesh_cluster *mesh_view_cluster_at(const struct mesh_view *v,
							      uint32_t place)
{
	return mesh_part_cluster(v->clusters[place]);
}

static inline const struct mesh_listener *mesh_view_listener_at(const struct mesh_view *v,
								uint32_t place)
{
	return mesh_part_listener(v->listeners[place]);
}

/* Do the endpoints of such a cluster lie in its cell? Otherwise they are its own, or it has none.
 */
static inline bool mesh_cluster_has_cell(const struct mesh_cluster *c)
{
	return c->kind == MESH_CLUSTER_EDS || c->kind == MESH_CLUSTER_STRICT_DNS ||
	       c->kind == MESH_CLUSTER_LOGICAL_DNS;
}

/* The part in the cell of a cluster, with a reference; NULL: nothing yet. Any thread. */
struct mesh_part *mesh_view_endpoints_get(struct mesh_view *v, uint32_t cluster);
/* Puts @part (a reference is taken; NULL empties) into the cell. Main thread. */
void mesh_view_endpoints_set(struct mesh_view *v, uint32_t cluster, struct mesh_part *part);
/* The endpoints that a cluster has now, wherever they lie. Main thread, good until the next set. */
struct mesh_endpoints mesh_view_endpoints(const struct mesh_view *v, uint32_t cluster);

enum mesh_accelerate { MESH_ACCELERATE_AUTO, MESH_ACCELERATE_BOTH, MESH_ACCELERATE_OFF };

struct mesh_label {
	struct slice key, value;
};

/* A managed pod. */
struct mesh_pod {
	struct slice name, namespace_, service_account;
	struct slice netns; /* path of its network namespace */
	uint32_t id;        /* stable while the pod is managed; > 0 */
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

/*
 * The identity of a pod: "spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT", in @a; none without a
 * namespace. @domain: NULL is "cluster.local"; an empty @account is "default".
 */
struct slice mesh_principal(struct arena *a, const char *domain, struct slice namespace_,
			    struct slice account);

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
