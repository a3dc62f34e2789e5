/* SPDX-License-Identifier: Apache-2.0 */
/* Authorization rules applied to a request or a connection. Pure: no I/O, no clock. */
#ifndef SKIFF_FILTER_RBAC_H
#define SKIFF_FILTER_RBAC_H

#include "base/stats.h"
#include "l7/l7.h"
#include "mesh/listener.h"

/* Who asks for what. */
struct rbac_input {
	const struct l7_msg *msg;  /* NULL: a connection, about which no header is known */
	const struct addr *local;  /* what the connection was made to */
	const struct addr *source; /* its peer */
	const struct addr *remote; /* the client, which headers may have told */
	struct slice principal;    /* "spiffe://..."; empty: not known */
	struct slice server_name;
	struct arena *arena; /* for joined values of headers */
};

/* The first policy that matches, or NULL. */
const struct mesh_rbac_policy *rbac_find(const struct mesh_rbac_rules *r,
					 const struct rbac_input *in);
/* Do the rules (NULL: none) let @in pass? @ret_policy: the one that matched, or NULL. */
bool rbac_is_allowed(const struct mesh_rbac_rules *r, const struct rbac_input *in,
		     const struct mesh_rbac_policy **ret_policy);
/* "rbac_access_denied_matched_policy[name]", as Envoy; no policy: "none". In @a. */
struct slice rbac_details(const struct mesh_rbac_policy *p, struct arena *a);

struct rbac_stats {
	stat_id allowed, denied, shadow_allowed, shadow_denied;
};
/* @prefix: "http.<manager>." or the network filter's own. */
void rbac_stats_register(struct rbac_stats *s, const struct mesh_rbac *conf, struct slice prefix);
/* Decides and counts. false: refuse, @ret_policy says by which. */
bool rbac_enforce(const struct mesh_rbac *conf, const struct rbac_stats *s, struct stats_set *set,
		  const struct rbac_input *in, const struct mesh_rbac_policy **ret_policy);

#endif
