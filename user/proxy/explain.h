/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would become of a connection or request of a pod, step by step, by the very functions that
 * serve it; nothing is sent. For `skiffctl route explain`.
 */
#ifndef SKIFF_PROXY_EXPLAIN_H
#define SKIFF_PROXY_EXPLAIN_H

#include <jansson.h>

#include "base/err.h"
#include "mesh/mesh.h"

/* A request that nobody sends. */
struct explain_question {
	enum mesh_direction direction;
	struct addr to;   /* original destination; any address with only a port: by port */
	struct addr from; /* source, for matches on it; may be zero */
	struct slice method, host, path;
	const json_t *headers; /* object of strings, lower-case names; may be NULL */
};

/*
 * {"listener": {...}, "filter_chain": {...}, "route": {...}, "cluster": {...}, "endpoints": [...],
 * "outcome": "..."}: as far as it goes. Weights and fractions are told, not drawn. Main thread.
 */
json_t *explain_request(const struct mesh_view *v, const struct explain_question *q);

/* The same question as people ask it; NULL: not said. */
struct explain_args {
	const char *pod; /* "namespace/name", or a name that only one namespace has */
	bool inbound;
	const char *to, *from; /* addresses, with or without a port */
	const char *method, *url;
	const json_t *headers;
};

/*
 * The destination is @to, else the URL's host when that is an address, else any address and the
 * URL's port (80). NULL with @e: -ENOENT no such pod, -EINVAL an argument. Main thread.
 */
json_t *explain(const struct mesh_snapshot *s, const struct explain_args *args, struct err *e);

#endif
