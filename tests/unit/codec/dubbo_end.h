/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the Dubbo codec: a connection that keeps all that its callbacks saw. */
#ifndef TESTS_UNIT_CODEC_DUBBO_END_H
#define TESTS_UNIT_CODEC_DUBBO_END_H

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "codec/dubbo/dubbo.h"
#include "codec/dubbo/dubbo_impl.h"

struct seen {
	unsigned int heads, ends, controls, bodies;
	struct l7_msg m; /* the last head, kept in memory */
	struct buf body;
	struct buf forwarded; /* what another connection's codec made of it */
	const char *control;
	struct arena memory;
	int head_returns;
	void *peer; /* encodes what is seen, when set */
};

struct end {
	void *conn;
	struct arena arena;
	struct buf reply;
	struct seen seen;
	struct codec_fault fault;
};

static int on_head(void *owner, struct l7_msg *m, bool end)
{
	struct seen *s = owner;

	s->heads++;
	if (s->peer)
		codec_dubbo.encode_head(s->peer, m, end, &s->forwarded);
	s->m = *m;
	l7_msg_keep(&s->m, &s->memory);
	if (end)
		s->ends++;
	return s->head_returns;
}

static int on_body(void *owner, uint64_t id, struct slice data)
{
	struct seen *s = owner;

	s->bodies++;
	buf_add_slice(&s->body, data);
	if (s->peer)
		codec_dubbo.encode_body(s->peer, id, data, &s->forwarded);
	return 0;
}

static int on_end(void *owner, uint64_t id, struct l7_props *trailers)
{
	struct seen *s = owner;

	s->ends++;
	if (s->peer)
		codec_dubbo.encode_end(s->peer, id, trailers, &s->forwarded);
	return 0;
}

static int on_control(void *owner, const char *text)
{
	struct seen *s = owner;

	s->controls++;
	s->control = text;
	return 0;
}

static const struct codec_events events = {
	.head = on_head,
	.body = on_body,
	.end = on_end,
	.control = on_control,
};

static inline void end_open(struct end *e, enum codec_side side, const struct codec_limits *limits)
{
	memset(e, 0, sizeof(*e));
	e->conn = calloc(1, codec_dubbo.conn_size);
	codec_dubbo.init(e->conn, side, limits, NULL, &events, &e->seen, &e->arena, &e->reply);
}

static inline void end_close(struct end *e)
{
	free(e->conn);
	arena_done(&e->arena);
	arena_done(&e->seen.memory);
	buf_done(&e->reply);
	buf_done(&e->seen.body);
	buf_done(&e->seen.forwarded);
}

/*
 * Feeds @data in pieces of @piece bytes as an engine does: what was not used is given again with
 * more behind. Returns bytes used, or the first error. The memory is exact, for ASan.
 */
static inline ssize_t feed(struct end *e, struct slice data, size_t piece)
{
	size_t used = 0, have = 0;

	while (have < data.len) {
		char *p;
		ssize_t r;

		have = have + piece < data.len ? have + piece : data.len;
		p = malloc(have - used);
		memcpy(p, data.ptr + used, have - used);
		r = codec_dubbo.decode(e->conn, p, have - used, &e->fault);
		free(p);
		if (r < 0)
			return r;
		arena_reset(&e->arena);
		used += (size_t)r;
	}
	return (ssize_t)used;
}

/* A frame of tests/data/dubbo; stays in memory. */
static inline struct slice frame_file(const char *name)
{
	static struct {
		const char *name;
		struct slice frame;
	} cache[64];
	static size_t n;
	static char bytes[1 << 20];
	char path[256];
	FILE *f;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(cache[i].name, name))
			return cache[i].frame;
	snprintf(path, sizeof(path), TESTDATA "/dubbo/%s.bin", name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("no %s", path);
	assert_true(n < ARRAY_LEN(cache));
	cache[n].name = name;
	cache[n].frame.len = fread(bytes, 1, sizeof(bytes), f);
	cache[n].frame.ptr = memcpy(malloc(cache[n].frame.len), bytes, cache[n].frame.len);
	fclose(f);
	return cache[n++].frame;
}

static inline void assert_slice(struct slice s, const char *text)
{
	if (!slice_is_equal(s, slice_str(text)))
		fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s), text);
}

static inline uint64_t id_of(const char *frame)
{
	uint64_t id;

	memcpy(&id, frame + 4, 8);
	return be64toh(id);
}

#endif
