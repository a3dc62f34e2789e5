/* SPDX-License-Identifier: Apache-2.0 */
/* A stream's context for filter tests, without an engine. */
#ifndef SKIFF_TESTS_UNIT_FILTER_CONTEXT_H
#define SKIFF_TESTS_UNIT_FILTER_CONTEXT_H

#include "tests/unit/fixture.h"

#include "base/clock.h"
#include "filter/filter.h"

struct bench {
	const struct filter *ops;
	struct mesh_filter conf;
	struct arena a, conn_arena;
	struct stats_set *stats;
	struct rng rng;
	struct l7_info info;
	struct l7_msg req;
	struct filter_ctx ctx;
	void *slot;
	void *shared;
	uint32_t timer_ms;
};

static inline void bench_timer(struct filter_ctx *ctx, uint32_t ms)
{
	((struct bench *)ctx->engine)->timer_ms = ms;
}

static inline void bench_init(struct bench *b, const struct filter *ops, const void *config)
{
	memset(b, 0, sizeof(*b));
	b->ops = ops;
	b->conf = (struct mesh_filter){ .name = S("f"), .kind = ops->kind, .config = config };
	b->stats = stats_set_new();
	rng_init(&b->rng, 42);
	b->shared = ops->shared_new ? ops->shared_new(&b->conf, config, S("http.test")) : NULL;
}

/* A new stream with a GET of "/" at h.test. */
static inline void bench_stream(struct bench *b)
{
	if (b->ops->end && b->ctx.state)
		b->ops->end(&b->ctx);
	arena_done(&b->a);
	b->timer_ms = 0;
	b->req = request_of(&b->a, "h.test", "/");
	b->info = (struct l7_info){ .request = &b->req };
	b->ctx = (struct filter_ctx){
		.conf = &b->conf,
		.config = b->conf.config,
		.shared = b->shared,
		.state = arena_zalloc(&b->a, b->ops->state_size + 1),
		.info = &b->info,
		.arena = &b->a,
		.rng = &b->rng,
		.stats = b->stats,
		.now_ns = 1000 * NSEC_PER_SEC,
		.stat_prefix = S("http.test"),
		.conn_slot = &b->slot,
		.conn_arena = &b->conn_arena,
		.set_timer = bench_timer,
		.engine = b,
	};
}

static inline enum filter_verdict bench_request(struct bench *b)
{
	return b->ops->request(&b->ctx, &b->req);
}

static inline void bench_done(struct bench *b)
{
	if (b->ops->end && b->ctx.state)
		b->ops->end(&b->ctx);
	if (b->ops->shared_free)
		b->ops->shared_free(b->shared);
	stats_set_free(b->stats);
	arena_done(&b->a);
	arena_done(&b->conn_arena);
}

/* A property of the reply. */
static inline struct slice reply_value(const struct bench *b, const char *name)
{
	const struct l7_prop *p = l7_props_find(&b->ctx.reply.props, S(name));

	return p ? p->value : S("");
}

#endif
