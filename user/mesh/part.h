/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One compiled resource: made once for each distinct content, shared by every view (pod) that has
 * it, immutable from the moment that it is handed on, freed with its last reference.
 *
 * HINT: whoever compiles (xds) makes it with mesh_part_new, fills body from its arena, names what
 * it needs with mesh_part_need, ends with mesh_part_finish. Main thread until then; references may
 * be taken and given back on any thread.
 */
#ifndef SKIFF_MESH_PART_H
#define SKIFF_MESH_PART_H

#include "base/arena.h"
#include "mesh/cluster.h"
#include "mesh/listener.h"

enum mesh_part_kind {
	MESH_PART_CLUSTER,    /* body: struct mesh_cluster */
	MESH_PART_ENDPOINTS,  /* struct mesh_endpoints; name: the EDS service name */
	MESH_PART_LISTENER,   /* struct mesh_listener */
	MESH_PART_ROUTES,     /* struct mesh_route_table (RDS) */
	MESH_PART_RPC_ROUTES, /* struct mesh_rpc_tables (DRDS) */
	MESH_PART_FILTER,     /* struct mesh_filter (ECDS) */
	MESH_PART_SECRET,     /* SDS: opaque, never dumped */
	MESH_PART_VHOST       /* struct mesh_route_table with that one (VHDS); never in a view */
};
#define MESH_PART_KINDS (MESH_PART_VHOST + 1)

/* What an EDS resource says; of a DNS cluster, what its names resolve to now. */
struct mesh_endpoints {
	struct mesh_endpoint *v;
	uint32_t n;
};

struct mesh_rpc_tables {
	struct mesh_rpc_table *v;
	uint32_t n;
};

/* A resource named by another. Weak: useful, but nobody waits for it (clusters that routes name).
 */
struct mesh_ref {
	enum mesh_part_kind kind;
	bool is_weak;
	struct slice name;
};

/* Of a filter: its type. Of who names filters: a type that the one of this name may have. */
struct mesh_part_type {
	struct slice filter, type;
};

struct mesh_part {
	struct arena arena; /* all that hangs below lives here */
	enum mesh_part_kind kind;
	uint32_t name_hash; /* of name, for the views' indexes */
	struct slice name;
	uint64_t hash; /* of the content; equal kind, name and hash: the same resource */
	void *body;
	struct mesh_ref *refs; /* sorted by kind and name after mesh_part_finish */
	uint32_t n_refs;
	uint32_t n_types;
	struct mesh_part_type *types;
	void (*release)(struct mesh_part *p); /* frees what is not in the arena (regexes) */
	void *release_arg;
	_Atomic uint32_t users;
};

/* Empty, one reference; @name is copied. */
struct mesh_part *mesh_part_new(enum mesh_part_kind kind, struct slice name);
/* Another name (copied), before the part is handed on. */
void mesh_part_rename(struct mesh_part *p, struct slice name);
struct mesh_part *mesh_part_ref(struct mesh_part *p);
void mesh_part_unref(struct mesh_part *p);
/* Notes that the part names the resource @name (copied). Amortised O(1); doubles are welcome. */
void mesh_part_need(struct mesh_part *p, enum mesh_part_kind kind, struct slice name, bool is_weak);
/* Notes a type (both copied). Amortised O(1). */
void mesh_part_type_add(struct mesh_part *p, struct slice filter, struct slice type);
/* May @filter be what @user names so? Yes, too, when @user does not name it. */
bool mesh_part_allows(const struct mesh_part *user, const struct mesh_part *filter);
/* Sorts refs, each once (strong wins over weak). */
void mesh_part_finish(struct mesh_part *p);
/* Have both the same content? Either may be NULL. */
bool mesh_part_is_same(const struct mesh_part *a, const struct mesh_part *b);
/* "cluster", "route table" ... for messages. */
const char *mesh_part_kind_name(enum mesh_part_kind kind);
uint32_t mesh_name_hash(struct slice s);

/* A copy of @n endpoints with their texts as a part of its own; for a DNS answer. */
struct mesh_part *mesh_part_endpoints_copy(struct slice name, const struct mesh_endpoint *v,
					   uint32_t n);

/* The body by kind; the caller knows the kind. */
static inline const struct mesh_cluster *mesh_part_cluster(const struct mesh_part *p)
{
	return p->body;
}

static inline const struct mesh_listener *mesh_part_listener(const struct mesh_part *p)
{
	return p->body;
}

/* NULL has none. */
static inline struct mesh_endpoints mesh_part_endpoints(const struct mesh_part *p)
{
	return p && p->body ? *(const struct mesh_endpoints *)p->body :
			      (struct mesh_endpoints){ NULL, 0 };
}

#endif
