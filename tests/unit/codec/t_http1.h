/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the http1 codec as the engine does and writes what it says as text. Every call of decode
 * gets fresh memory that is gone afterwards, so a borrowed slice that outlives its giver shows up
 * under ASan.
 */
#ifndef T_HTTP1_H
#define T_HTTP1_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "codec/http1/http1.h"

struct t_peer {
	void *conn;
	struct arena arena;
	struct buf log;	  /* the events as text */
	struct buf out;	  /* what was encoded */
	struct buf reply;
	struct codec_events ev;
	bool answer;	  /* server: a whole request is answered with 204 */
	bool whole;	  /* a message ended in this call */
	bool in_body;	  /* the log is in the middle of a body */
	size_t stop_after; /* head() answers 1 */
	uint64_t bodies;
};

static void t_say(struct t_peer *t, const char *fmt, struct slice s)
{
	if (t->in_body)
		buf_add_char(&t->log, '\n');
	t->in_body = false;
	buf_add_slice(&t->log, slice_str(fmt));
	buf_add_slice(&t->log, s);
}

static void t_props(struct t_peer *t, const struct l7_props *p)
{
	l7_props_each(p, i) {
		assert_int_equal(p->v[i].key, l7_key_find(p->v[i].name));
		buf_add_slice(&t->log, SLICE(" "));
		buf_add_slice(&t->log, p->v[i].name);
		buf_add_slice(&t->log, SLICE("="));
		buf_add_slice(&t->log, p->v[i].value);
		buf_add_slice(&t->log, SLICE(";"));
	}
}

static void t_msg(struct t_peer *t, const char *what, struct l7_msg *m, bool end)
{
	t_say(t, what, SLICE_NONE);
	if (m->kind == L7_REQUEST)
		buf_printf(&t->log, "%.*s %.*s %.*s %.*s", SLICE_ARG(m->method),
			   SLICE_ARG(m->scheme), SLICE_ARG(m->host), SLICE_ARG(m->path));
	else
		buf_printf(&t->log, "%u %.*s", m->status, SLICE_ARG(m->reason));
	buf_printf(&t->log, " len=%lld%s%s%s%s |", (long long)m->body_len, end ? " end" : "",
		   m->close ? " close" : "", m->is_upgrade ? " upgrade" : "",
		   m->expect_continue ? " expect" : "");
	t_props(t, &m->props);
	buf_add_char(&t->log, '\n');
	/* "lent until the return": nothing may be used later. */
	for (uint32_t i = 0; i < m->props.n; i++)
		m->props.v[i] = (struct l7_prop){ 0 };
}

static int t_head(void *owner, struct l7_msg *m, bool end)
{
	struct t_peer *t = owner;

	t_msg(t, "head ", m, end);
	t->whole = end;
	return t->stop_after ? 1 : 0;
}

static int t_body(void *owner, uint64_t id, struct slice data)
{
	struct t_peer *t = owner;

	(void)id;
	assert_true(data.len > 0);
	if (!t->in_body)
		buf_add_slice(&t->log, SLICE("body "));
	t->in_body = true;
	t->bodies++;
	buf_add_slice(&t->log, data);
	return 0;
}

static int t_end(void *owner, uint64_t id, struct l7_props *trailers)
{
	struct t_peer *t = owner;

	(void)id;
	t_say(t, "end", SLICE_NONE);
	if (trailers)
		t_props(t, trailers);
	buf_add_char(&t->log, '\n');
	t->whole = true;
	return 0;
}

static int t_interim(void *owner, struct l7_msg *m)
{
	t_msg(owner, "interim ", m, true);
	return 0;
}

static void t_open(struct t_peer *t, enum codec_side side, const struct codec_limits *limits,
		   const struct codec_opts *opts)
{
	static const struct codec_limits no_limits;
	static const struct codec_opts no_opts;

	*t = (struct t_peer){ 0 };
	t->ev = (struct codec_events){ t_head, t_body, t_end, t_interim, NULL };
	t->conn = xmalloc(codec_http1.conn_size);
	codec_http1.init(t->conn, side, limits ? limits : &no_limits, opts ? opts : &no_opts,
			 &t->ev, t, &t->arena, &t->reply);
}

static void t_close(struct t_peer *t)
{
	free(t->conn);
	arena_done(&t->arena);
	buf_done(&t->log);
	buf_done(&t->out);
	buf_done(&t->reply);
}

static void t_answer(struct t_peer *t)
{
	struct l7_msg m;

	l7_msg_init(&m, L7_RESPONSE, &t->arena);
	m.status = 204;
	codec_http1.encode_head(t->conn, &m, true, &t->out);
	arena_reset(&t->arena);
}

/* One call of decode on memory of its own. */
static ssize_t t_decode(struct t_peer *t, const char *p, size_t n)
{
	struct codec_fault fault = { 0 };
	char *copy = xmalloc(n);
	ssize_t r;

	memcpy(copy, p, n);
	t->whole = false;
	r = codec_http1.decode(t->conn, copy, n, &fault);
	memset(copy, 'X', n);
	free(copy);
	if (r < 0 && fault.details) {
		struct l7_reply reply = { .code = fault.code, .status = fault.status };

		t_say(t, "fault ", SLICE_NONE);
		buf_printf(&t->log, "%u %s%s\n", l7_reply_status(&reply), fault.details,
			   r == -E2BIG ? " E2BIG" : "");
		codec_http1.reject(t->conn, &fault, &t->out);
	} else if (r >= 0) {
		assert_true((size_t)r <= n);
		if (t->whole && t->answer)
			t_answer(t);
	}
	return r;
}

/*
 * Feeds @in in pieces of @piece bytes (0: random pieces). Bytes not used come again with more.
 * Returns false when decode failed.
 */
static bool t_feed(struct t_peer *t, struct slice in, size_t piece)
{
	size_t used = 0, seen = 0;

	while (used < in.len) {
		size_t step = piece ? piece : 1 + (size_t)rand() % 40;
		ssize_t r;

		seen = seen + step < in.len ? seen + step : in.len;
		while (used < seen) {
			r = t_decode(t, in.ptr + used, seen - used);
			if (r < 0)
				return false;
			if (!r)
				break;
			used += (size_t)r;
		}
		if (used < in.len && seen == in.len)
			break; /* waits for an answer */
	}
	if (used < in.len) {
		t_say(t, "", SLICE_NONE);
		buf_printf(&t->log, "unread %zu\n", in.len - used);
	}
	return true;
}

static void t_eof(struct t_peer *t)
{
	struct codec_fault fault = { 0 };
	int r = codec_http1.eof(t->conn, &fault);

	t_say(t, "eof ", slice_str(r < 0 ? fault.details : "ok"));
	buf_add_char(&t->log, '\n');
}

static char *t_text(struct buf *b)
{
	buf_add_char(b, '\0');
	return buf_ptr(b);
}

#endif
