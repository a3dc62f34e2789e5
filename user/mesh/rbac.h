/* SPDX-License-Identifier: Apache-2.0 */
/* Authorization rules as data (envoy.config.rbac.v3), immutable. Evaluated in filter/rbac.c. */
#ifndef SKIFF_MESH_RBAC_H
#define SKIFF_MESH_RBAC_H

#include "base/addr.h"
#include "mesh/match.h"

struct mesh_prefix;

enum mesh_rbac_kind {
	MESH_RBAC_ANY,
	MESH_RBAC_AND,
	MESH_RBAC_OR,
	MESH_RBAC_NOT, /* of its one part */
	MESH_RBAC_HEADER,
	MESH_RBAC_PATH,        /* without the query; no path: false */
	MESH_RBAC_DESTINATION, /* address */
	MESH_RBAC_PORT,        /* destination, [start, end) */
	MESH_RBAC_SERVER_NAME, /* SNI */
	MESH_RBAC_SOURCE,      /* address of the peer of the connection */
	MESH_RBAC_REMOTE,      /* address of the client, which headers may have told */
	MESH_RBAC_PRINCIPAL,   /* identity of the peer; without a string: that there is one */
};

/* A Permission or a Principal. */
struct mesh_rbac_rule {
	enum mesh_rbac_kind kind;
	bool has_string;
	uint32_t n_parts;
	struct mesh_rbac_rule *parts; /* AND, OR, NOT */
	union {
		const struct mesh_header_match *header;
		const struct mesh_prefix *prefix;
		const struct mesh_string *string; /* PATH, SERVER_NAME, PRINCIPAL */
		struct {
			uint32_t start, end;
		} ports;
	};
};

/* Matches when one of the permissions and one of the principals does. */
struct mesh_rbac_policy {
	struct slice name;
	struct mesh_rbac_rule permissions, principals; /* MESH_RBAC_OR */
};

struct mesh_rbac_rules {
	bool is_deny;                      /* else: allowed is what a policy matches */
	struct mesh_rbac_policy *policies; /* sorted by name: the first that matches is the one */
	uint32_t n_policies;
};

/* envoy.extensions.filters.{http,network}.rbac.v3.RBAC */
struct mesh_rbac {
	const struct mesh_rbac_rules *rules;  /* NULL: everything passes */
	const struct mesh_rbac_rules *shadow; /* only counted; NULL: none */
	struct slice stat_prefix;             /* network */
	struct slice rules_prefix, shadow_prefix;
	bool count_policies; /* track_per_rule_stats */
};

#endif
