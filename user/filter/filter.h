/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter: sees messages, never sockets. The engine walks the chain in order for the request and
 * in reverse for the response. Every member of the vtable but name is optional.
 *
 * HINT: to add a filter, write one file filter/<kind>.c with one const struct filter and add one
 * line to cmd/builtin.c; its settings are a struct in mesh/filters.h, filled by xds/.
 *
 * GLOSSARY  shared: state of one configured filter instance, shared by all workers (atomics
 * inside), it lives as long as its snapshot. state: per stream, in the stream's arena, zeroed.
 */
#ifndef SKIFF_FILTER_FILTER_H
#define SKIFF_FILTER_FILTER_H

#include "base/buf.h"
#include "base/rand.h"
#include "base/stats.h"
#include "l7/info.h"
#include "l7/l7.h"
#include "mesh/filters.h"
#include "mesh/listener.h"

enum filter_verdict {
	FILTER_NEXT,  /* go on */
	FILTER_PAUSE, /* wait; the filter (or its timer) will call filter_resume */
	FILTER_REPLY, /* answer now with ctx->reply; no further filter sees the request */
	FILTER_FAIL,  /* reset the stream */
};

struct filter;

/* What a filter may use of its stream; filled by the engine, lives as long as the stream. */
struct filter_ctx {
	const struct mesh_filter *conf;	     /* this filter's entry */
	const void *config;		     /* conf->config, or the most specific route override */
	void *shared;			     /* see above; of the override when that is in force */
	void *state;			     /* per stream */
	struct l7_info *info;
	struct arena *arena;		     /* the stream's */
	const struct mesh_route *route;	     /* NULL: none matched */
	const struct mesh_vhost *vhost;
	const struct mesh_route_table *table;
	struct slice cluster;		     /* chosen cluster's name; empty without a route */
	struct rng *rng;
	struct stats_set *stats;
	uint64_t now_ns;		     /* the loop's time */
	struct slice stat_prefix;	     /* "http.<prefix>" of the manager */
	/* Per downstream connection: a slot for this filter, zeroed at first; in conn_arena. */
	void **conn_slot;
	struct arena *conn_arena;
	struct l7_reply reply;		     /* for FILTER_REPLY */
	/* Arms the stream's filter timer: after @ms the engine calls filter->timer. For
	 * FILTER_PAUSE. */
	void (*set_timer)(struct filter_ctx *ctx, uint32_t ms);
	void *engine;			     /* the engine's own */
};

struct filter {
	const char *kind; /* as mesh_filter.kind */
	size_t state_size;
	bool is_terminal; /* router */
	bool needs_request; /* response() or end() look at the request: it is kept until then */

	/* Makes and frees the shared state of one instance (or one route override) of @config.
	 * Main thread. NULL: has none. */
	void *(*shared_new)(const struct mesh_filter *conf, const void *config,
			    struct slice stat_prefix);
	void (*shared_free)(void *shared);

	enum filter_verdict (*request)(struct filter_ctx *ctx, struct l7_msg *m);
	enum filter_verdict (*request_body)(struct filter_ctx *ctx, struct slice data, bool end);
	enum filter_verdict (*response)(struct filter_ctx *ctx, struct l7_msg *m);
	enum filter_verdict (*response_body)(struct filter_ctx *ctx, struct slice data, bool end);
	/* After set_timer fired while paused in request(): NEXT, REPLY or FAIL. */
	enum filter_verdict (*timer)(struct filter_ctx *ctx);
	/* The stream is over, however it ended. */
	void (*end)(struct filter_ctx *ctx);
};

/* ---- shared pieces -------------------------------------------------------------------------- */

/* Header changes are route_headers_apply, matchers route_headers_are_match: route/route.h. */

#define FILTER_DESCRIPTOR_ENTRIES 16 /* of one descriptor; one with more is never built */

/* Rate limit descriptors of a request: see filter/descriptor.c. */
struct filter_descriptor {
	struct { struct slice key, value; } entries[FILTER_DESCRIPTOR_ENTRIES];
	uint32_t n;
};
#define FILTER_ANY_STAGE (-1)
/* Builds the descriptors that those of @stage in @src (of a route, virtual host or filter) yield;
 * returns how many were written to @out (at most @max). One whose action has no value yields none.
 */
uint32_t filter_descriptors(const struct mesh_rl_descriptor_source *src, uint32_t n_src, int stage,
			    const struct filter_ctx *ctx, const struct l7_msg *m,
			    struct filter_descriptor *out, uint32_t max);

/*
 * Token bucket shared by workers, lock-free: one number, the moment at which the bucket was (or
 * would have been) empty. It fills all the time, as Envoy's, not once an interval.
 */
struct filter_bucket {
	_Atomic double empty_at_s;
	double max;
	double rate; /* tokens a second */
};
/* Full at first. _init for one embedded elsewhere, _new for one on the heap. */
struct filter_bucket *filter_bucket_new(const struct mesh_token_bucket *conf);
void filter_bucket_free(struct filter_bucket *b);
void filter_bucket_init(struct filter_bucket *b, const struct mesh_token_bucket *conf);
/* Takes one token. Returns false when empty. @ret_left / @ret_reset_s may be NULL. */
bool filter_bucket_take(struct filter_bucket *b, uint64_t now_ns, uint32_t *ret_left,
			uint32_t *ret_reset_s);

/* The filters that this room has (named in cmd/builtin.c). */
extern const struct filter filter_router;
extern const struct filter filter_local_ratelimit;
extern const struct filter filter_fault;
extern const struct filter filter_cors;
extern const struct filter filter_header_mutation;
extern const struct filter filter_rbac;
extern const struct filter filter_nothing; /* one whose work is done elsewhere */

/* ---- access log ------------------------------------------------------------------------------ */

/* Does @f (NULL: yes) let the stream be logged? */
bool filter_log_is_wanted(const struct mesh_log_filter *f, const struct l7_info *in,
			  struct rng *rng);
/* Appends one line. JSON lines end in '\n'; a text format brings its own line end, or has none. */
void filter_log_line(const struct mesh_access_log *log, const struct l7_info *in, struct buf *out);

#endif
