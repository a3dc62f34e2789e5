/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot made ready to run: names resolved to implementations, statistics registered, shared
 * filter state made. Built on the main thread, read by all workers, freed with its last user.
 */
#ifndef SKIFF_PROXY_COMPILE_H
#define SKIFF_PROXY_COMPILE_H

#include <uthash.h>

#include "codec/codec.h"
#include "filter/filter.h"
#include "filter/rbac.h"
#include "mesh/mesh.h"
#include "proxy/stats.h"
#include "upstream/cluster.h"

struct engine;

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

struct plistener {
	const struct mesh_listener *conf;
	struct pview *view;
	struct pchain *chains;	/* n_chains of conf, then the default */
	uint32_t n_chains;
	struct plogs logs;
	struct listener_stats stats;
};

/* Shared state of a per-route override. */
struct poverride {
	const void *config;
	const struct filter *ops;
	void *shared;
	UT_hash_handle hh;
};

/* A cluster's shared part survives configurations in which it did not change. */
struct pcluster {
	struct upstream_shared shared;
	struct mesh_view *owner; /* keeps shared.conf alive */
	_Atomic uint32_t refs;
};

struct pview {
	struct mesh_view *mesh;
	struct arena arena;
	struct plistener *listeners;
	struct pcluster **clusters; /* by mesh_cluster.index */
	struct poverride *overrides;
	_Atomic uint32_t refs;
};

struct psnap {
	struct mesh_snapshot *mesh;
	struct pview *host;
	struct pview **pods; /* parallel to mesh->pods */
	_Atomic uint32_t refs;
};

/* Compiles @s; parts equal to @old's are taken over. -EINVAL with @err for a filter or codec that
 * nobody implements, or a log file that cannot be opened. */
int psnap_compile(struct engine *e, struct mesh_snapshot *s, struct psnap *old,
		  struct psnap **ret_p, struct err *err);
struct psnap *psnap_ref(struct psnap *p);
void psnap_unref(struct psnap *p);
struct pview *pview_ref(struct pview *v);
void pview_unref(struct pview *v);
/* Shared state of the override whose settings are @config. */
void *pview_override(const struct pview *v, const void *config);
const struct pchain *plistener_chain(const struct plistener *l, const struct mesh_chain *c);

#endif
