/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot made ready to run: names resolved to implementations, statistics registered, shared
 * filter state made. Built on the main thread, read by all workers, freed with its last user. What
 * stays the same from one configuration of a pod to the next is taken over, with its state.
 *
 * GLOSSARY  plistener, ptable, pcluster: a listener, a route table, a cluster in that form. slot:
 * the number under which a view keeps the table of one name (RDS, DRDS).
 */
#ifndef SKIFF_PROXY_COMPILE_H
#define SKIFF_PROXY_COMPILE_H

#include <pthread.h>
#include <uthash.h>

#include "codec/codec.h"
#include "filter/filter.h"
#include "filter/rbac.h"
#include "mesh/mesh.h"
#include "proxy/stats.h"
#include "upstream/cluster.h"

struct engine;

#define PTABLE_INLINE UINT32_MAX /* instead of a slot */

/* Shared state of a per-route override. */
struct poverride {
	const void *config;
	const struct filter *ops;
	void *shared;
	UT_hash_handle hh;
};

/* A route table with the shared state of its overrides. */
struct ptable {
	const struct mesh_route_table *http;
	struct mesh_rpc_tables rpc;
	struct mesh_part *part; /* of the table, or of the listener that it is in; referenced */
	struct poverride *overrides;
	struct arena arena;
	_Atomic uint32_t refs;
};

/* One configured filter. */
struct pfilter {
	const struct filter *ops;
	const struct mesh_filter *conf;
	void *shared;
};

/* A log file or stream, kept open for all workers. */
struct plog {
	const struct mesh_access_log *conf;
	uint32_t sink; /* index in the engine's sinks */
};

struct plogs {
	struct plog *v;
	uint32_t n;
};

struct phttp {
	const struct mesh_http_manager *conf;
	struct pfilter *filters;
	uint32_t n_filters;
	struct plogs logs;
	struct http_stats stats;
	struct listener_http_stats listener_stats;
	struct codec_opts opts;
	struct codec_limits limits;
	struct slice stat_prefix; /* "http.<prefix>" */
	struct ptable *table;     /* inline, or: */
	uint32_t slot;
};

struct prpc {
	const struct mesh_rpc_proxy *conf;
	const struct codec *codec;
	struct pfilter *filters;
	uint32_t n_filters;
	struct plogs logs;
	struct rpc_stats stats;
	struct codec_opts opts;
	struct codec_limits limits;
	struct slice stat_prefix;
	struct mesh_rpc_tables tables; /* inline, or: */
	uint32_t slot;
};

struct ptcp {
	const struct mesh_tcp_proxy *conf;
	struct plogs logs;
	struct tcp_stats stats;
};

struct pratelimit {
	struct filter_bucket *bucket;
	stat_id rate_limited;
};

struct prbac {
	const struct mesh_rbac *conf;
	struct rbac_stats stats;
};

struct pchain {
	const struct mesh_chain *conf;
	struct prbac *rbac; /* who may connect, before the terminal */
	uint32_t n_rbac;
	bool asks_identity; /* some filter wants to know who the client is */
	struct pratelimit *limits; /* network rate limits before the terminal */
	uint32_t n_limits;
	enum mesh_net_kind kind; /* of the terminal */
	union {
		struct phttp http;
		struct prpc rpc;
		struct ptcp tcp;
	};
};

/* State of filters in it (token buckets) lives as long as the pod's listener stays the same. */
struct plistener {
	const struct mesh_listener *conf;
	struct engine *e;
	struct mesh_part *part;     /* what it was made of; referenced */
	struct mesh_part **filters; /* and the filters by name in it (ECDS), NULL: none */
	uint32_t n_filters;
	struct arena arena;
	struct pchain *chains; /* n_chains of conf, then the default */
	uint32_t n_chains;
	struct plogs logs;
	struct listener_stats stats;
	_Atomic uint32_t refs;
};

/* What all workers share of a cluster; survives configurations in which it did not change. */
struct pcluster {
	struct upstream_shared shared;
	struct mesh_part *part; /* keeps shared.conf alive */
	_Atomic uint32_t refs;
};

struct pview {
	struct mesh_view *mesh;
	struct arena arena;
	struct plistener **listeners; /* by place */
	struct ptable **tables;       /* by slot; NULL: no such table yet */
	uint32_t n_tables;
	pthread_mutex_t lock;
	struct pcluster **clusters; /* by place, under lock; NULL: no worker has used it yet */
	_Atomic uint32_t refs;
};

struct psnap {
	struct mesh_snapshot *mesh;
	struct pview *host;
	struct pview **pods; /* parallel to mesh->pods */
	_Atomic uint32_t refs;
};

/* Compiles @s; what is the same in @old is taken over. -EINVAL with @err for a filter or codec that
 * nobody implements, or a log file that cannot be opened. */
int psnap_compile(struct engine *e, struct mesh_snapshot *s, struct psnap *old,
		  struct psnap **ret_p, struct err *err);
struct psnap *psnap_ref(struct psnap *p);
void psnap_unref(struct psnap *p);
struct pview *pview_ref(struct pview *v);
void pview_unref(struct pview *v);
/* The view's form of @m in @p, or NULL. */
struct pview *psnap_find(const struct psnap *p, const struct mesh_view *m);

/* ---- plistener.c ---- */
/* Takes @was over (may be NULL) when nothing in it changed, else compiles. */
int plistener_get(struct engine *e, const struct pview *v, struct mesh_part *part,
		  struct plistener *was, struct plistener **ret_l, struct err *err);
/* Could a listener be made of @part, whatever the filters are that it names? */
int plistener_check(struct engine *e, struct mesh_part *part, struct err *err);
void plistener_unref(struct plistener *l); /* NULL is allowed */
const struct pchain *plistener_chain(const struct plistener *l, const struct mesh_chain *c);
const struct filter *filter_by_kind(const struct engine *e, const char *kind);

/* ---- ptable.c ---- */
/* @prefix: for statistics of its overrides. -EEXIST for a domain that comes twice. Main thread. */
int ptable_new(struct engine *e, const struct mesh_route_table *t, struct mesh_part *part,
	       struct slice prefix, struct ptable **ret_t, struct err *err);
struct ptable *ptable_ref(struct ptable *t);
void ptable_unref(struct ptable *t);
/* Shared state of the override whose settings are @config. */
void *ptable_override(const struct ptable *t, const void *config);
/* The slot of a name, counted; any thread gives it back. */
uint32_t ptable_slot_take(struct engine *e, enum mesh_part_kind kind, struct slice name);
void ptable_slot_give(struct engine *e, uint32_t slot);
void ptable_slots_free(struct engine *e);
/* Resolves the names of @v's listeners; tables of @was (may be NULL) that stay are taken over. */
int ptables_resolve(struct engine *e, struct pview *v, const struct pview *was, struct err *err);

static inline const struct ptable *pview_table(const struct pview *v, uint32_t slot)
{
	return slot < v->n_tables ? v->tables[slot] : NULL;
}

/* The routes of a manager in @v; NULL: they are not there (yet). */
static inline const struct ptable *phttp_table(const struct pview *v, const struct phttp *p)
{
	return p->table ? p->table : pview_table(v, p->slot);
}

/* ---- pcluster.c ---- */
/* The shared part of a cluster of @v, with a reference of its own @v keeps. Any thread. */
struct pcluster *pview_cluster(struct pview *v, uint32_t place);
/* The same, but @have is taken when there is none yet. */
struct pcluster *pview_cluster_adopt(struct pview *v, uint32_t place, struct pcluster *have);
bool pview_cluster_is_used(struct pview *v, uint32_t place);
void pcluster_unref(struct pcluster *p);

#endif
