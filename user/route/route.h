/* SPDX-License-Identifier: Apache-2.0 */
/* Message + route table -> decision. Pure: no I/O, no clock, no logging. */
#ifndef SKIFF_ROUTE_ROUTE_H
#define SKIFF_ROUTE_ROUTE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/rand.h"
#include "l7/info.h"
#include "l7/l7.h"
#include "mesh/listener.h"

/* ---- matchers -------------------------------------------------------------------------------- */
/* All of @h match (an empty list matches). @a: for joined values. */
bool route_headers_are_match(const struct mesh_header_match *h, uint32_t n, const struct l7_msg *m,
			     struct arena *a);
/* Looks the names of @h up once, so that matching need not. Called by route_table_index for routes.
 */
void route_headers_resolve(struct mesh_header_match *h, uint32_t n);
bool route_queries_are_match(const struct mesh_query_match *q, uint32_t n, struct slice path);

/* ---- header changes -------------------------------------------------------------------------- */

/*
 * Applies one level's changes to @m as Envoy does: removals first; then all values are formatted
 * (with @in, into @a; empty ones are dropped unless keep_empty), then overwrites, then additions,
 * which join the value of names that are lists (l7/join.h). ":path", ":method", ":authority" and
 * "host" change @m's fields, never vanish, and are left alone in responses.
 */
void route_headers_apply(const struct mesh_header_ops *ops, struct l7_msg *m,
			 const struct l7_info *in, struct arena *a);
/* The same for each step after the other. */
void route_headers_steps(const struct mesh_header_steps *s, struct l7_msg *m,
			 const struct l7_info *in, struct arena *a);

/* ---- HTTP ------------------------------------------------------------------------------------ */

struct route_decision {
	const struct mesh_route_table *table;
	const struct mesh_vhost *vhost;	      /* NULL: no virtual host */
	const struct mesh_route *route;	      /* NULL: no route */
	const struct mesh_weighted *weighted; /* the entry chosen, or NULL */
	struct slice cluster; /* name; empty for redirect/direct or a missing cluster_header */
};

/* Builds the domain index of @t in @a (hash of exact names, suffix and prefix wildcards by length).
 * -EEXIST with @e when a domain stands in two virtual hosts (as Envoy refuses it). */
int route_table_index(struct mesh_route_table *t, struct arena *a, struct err *e);

/* Envoy's search: exact host, longest suffix wildcard, longest prefix wildcard, "*"; case ignored;
 * then routes in order. @m->path has the query. Fills @d (vhost/route NULL when nothing matches).
 * @rng decides fractions and weights. @is_tls: the downstream is TLS. */
void route_match(const struct mesh_route_table *t, const struct l7_msg *m, struct arena *a,
		 struct rng *rng, struct route_decision *ret_d);

/*
 * What the router does to the request before it goes up: header changes of weighted cluster,
 * route, virtual host, table in Envoy's order (@in->request must be @m), then host rewrite (all but
 * MESH_HOST_AUTO), then path rewrite. @insert_envoy_original_path: keeps what was replaced in
 * x-envoy-original-host and x-envoy-original-path (off with suppress_envoy_headers).
 */
void route_request_finalize(const struct route_decision *d, struct l7_msg *m,
			    const struct l7_info *in, struct arena *a,
			    bool insert_envoy_original_path);
void route_response_finalize(const struct route_decision *d, struct l7_msg *m,
			     const struct l7_info *in, struct arena *a);
/* host rewrite MESH_HOST_AUTO, once the endpoint is known; an empty @hostname changes nothing.
 * @keep_original: sets x-envoy-original-host. */
void route_host_auto(const struct route_decision *d, struct l7_msg *m, struct slice hostname,
		     bool keep_original, struct arena *a);
/* The name of the virtual cluster that the request belongs to; empty: to none. */
struct slice route_virtual_cluster(const struct mesh_vhost *vh, const struct l7_msg *m,
				   struct arena *a);
/* The Location of a redirect. @scheme: of the request; @in: for formats. */
struct slice route_redirect_location(const struct mesh_redirect *r, const struct mesh_route *route,
				     const struct l7_msg *m, struct slice scheme,
				     const struct l7_info *in, struct arena *a);
/* The Location when require_tls refuses plain HTTP (301). */
struct slice route_tls_location(const struct l7_msg *m, struct arena *a);
/* require_tls: does the request have to be sent to https (301)? */
bool route_needs_tls(const struct mesh_vhost *vh, bool is_tls, bool is_external);
/* The settings in force of @filter: route, then virtual host, then table; NULL: none. Weighted
 * first. */
const struct mesh_filter_override *route_override(const struct route_decision *d,
						  struct slice filter_name);
/* Is this upgrade allowed here? @hcm: the manager's list. */
bool route_upgrade_is_allowed(const struct route_decision *d, const struct mesh_upgrade *hcm,
			      uint32_t n_hcm, struct slice type);

/* The path without query and fragment, and the query without '?'. */
struct slice route_path_only(struct slice path, struct slice *ret_query);
/* RFC 3986 normalization as Envoy's normalize_path (dot segments, %-decoding of unreserved,
 * backslashes), merge_slashes, escaped slashes. 0; 1: redirect to @ret_path; -EINVAL: answer 400,
 * @ret_path is how far it came, for the log.
 */
int route_path_normalize(const struct mesh_http_manager *hcm, struct slice path, struct arena *a,
			 struct slice *ret_path);

/* ---- RPC (dubbo_proxy) ---------------------------------------------------------------------- */

struct route_rpc_decision {
	const struct mesh_rpc_table *table;
	const struct mesh_rpc_route *route; /* NULL: no route */
	struct slice cluster;
	const struct mesh_weighted *weighted;
};
void route_rpc_match(const struct mesh_rpc_table *tables, uint32_t n, const struct l7_msg *m,
		     struct arena *a, struct rng *rng, struct route_rpc_decision *ret_d);

/* Picks by weight: index in @w. @total > 0. */
uint32_t route_weighted_pick(const struct mesh_weighted *w, uint32_t n, uint32_t total,
			     struct rng *rng);

#endif
