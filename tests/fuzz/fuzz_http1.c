/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the http1 codec. Byte 0 chooses side and options, byte 1 the pieces; the rest is
 * the connection. Read whole and in pieces it must be the same; and every message that passed is
 * written by a codec of the other side and read again, strictly, and must be the same message: what
 * is forwarded cannot be read in two ways.
 */
#include <errno.h>

#include "codec/http1/http1.h"

enum {
	CLIENT = 1, HTTP10 = 2, ABSOLUTE = 4, BOTH = 8, UNDERSCORES = 16, UPGRADE = 32, HEAD = 64,
	CONNECT = 128,
};

/* FIRST: forwards. PIECES: sees the same in pieces. AGAIN: reads what was forwarded. */
enum mode { FIRST, PIECES, AGAIN };

struct run {
	void *conn, *peer; /* peer: writes what is forwarded; NULL: nothing is */
	int flags;
	struct arena arena, peer_arena;
	struct buf log, reply, forwarded;
	size_t message; /* where the log of the message at hand begins */
	bool whole, raw, held, interim;
};

static int on_head(void *owner, struct l7_msg *m, bool end);
static int on_body(void *owner, uint64_t id, struct slice data);
static int on_end(void *owner, uint64_t id, struct l7_props *trailers);
static int on_interim(void *owner, struct l7_msg *m);

static const struct codec_events events = {
	.head = on_head,
	.body = on_body,
	.end = on_end,
	.interim = on_interim,
};

static int on_nothing(void *owner, struct l7_msg *m, bool end)
{
	(void)owner;
	(void)m;
	(void)end;
	return 0;
}

static const struct codec_events no_events = { .head = on_nothing };

/* ---- opening, asking ------------------------------------------------------------------------ */

static const char *method_of(int flags)
{
	return flags & CONNECT ? "CONNECT" : flags & HEAD ? "HEAD" : "GET";
}

/* A client's question, without which no answer is read. */
static void ask(void *conn, struct arena *a, int flags, struct buf *out)
{
	struct l7_msg m;

	l7_msg_init(&m, L7_REQUEST, a);
	m.id = 1;
	m.method = slice_str(method_of(flags));
	m.host = SLICE("h:1");
	m.path = SLICE("/");
	m.is_upgrade = flags & (UPGRADE | CONNECT);
	if (flags & UPGRADE)
		l7_props_add(&m.props, L7_KEY_UPGRADE, SLICE("upgrade"), SLICE("x"));
	codec_http1.encode_head(conn, &m, !m.is_upgrade, out);
	if (m.is_upgrade)
		codec_http1.encode_end(conn, 1, NULL, out);
}

static void run_open(struct run *r, int flags, enum mode mode)
{
	struct codec_opts opts = {
		.accept_http10 = flags & HTTP10,
		.allow_absolute_url = flags & ABSOLUTE,
		.allow_chunked_length = flags & BOTH,
		.drop_underscores = flags & UNDERSCORES,
		.preserve_case = flags & UNDERSCORES,
		.enable_trailers = true,
		.default_host = SLICE("default.test"),
	};
	struct codec_limits limits = { .head_bytes = 4096, .props = 30 };

	*r = (struct run){ .flags = flags };
	r->conn = xmalloc(codec_http1.conn_size);
	if (mode == FIRST)
		r->peer = xmalloc(codec_http1.conn_size);
	codec_http1.init(r->conn, flags & CLIENT ? CODEC_CLIENT : CODEC_SERVER,
			 mode == AGAIN ? NULL : &limits, &opts, &events, r, &r->arena, &r->reply);
	if (flags & CLIENT)
		ask(r->conn, &r->arena, flags, &r->reply);
}

static void run_close(struct run *r)
{
	free(r->conn);
	free(r->peer);
	arena_done(&r->arena);
	arena_done(&r->peer_arena);
	buf_done(&r->log);
	buf_done(&r->reply);
	buf_done(&r->forwarded);
}

/* A fresh codec of the other side for the message that begins. */
static void peer_open(struct run *r)
{
	struct codec_opts opts = { .enable_trailers = true };
	struct codec_fault fault;
	struct buf question = { 0 };
	bool client = r->flags & CLIENT;
	void *asker;
	ssize_t n;

	arena_reset(&r->peer_arena);
	buf_clear(&r->forwarded);
	codec_http1.init(r->peer, client ? CODEC_SERVER : CODEC_CLIENT, NULL, &opts, &no_events,
			 NULL, &r->peer_arena, &r->reply);
	if (!client)
		return;
	/* A server must have been asked before it answers. */
	asker = xmalloc(codec_http1.conn_size);
	codec_http1.init(asker, CODEC_CLIENT, NULL, NULL, &no_events, NULL, &r->peer_arena,
			 &r->reply);
	ask(asker, &r->peer_arena, r->flags, &question);
	n = codec_http1.decode(r->peer, buf_ptr(&question), buf_len(&question), &fault);
	must(n == (ssize_t)buf_len(&question));
	free(asker);
	buf_done(&question);
}

/* ---- what was seen, as text ----------------------------------------------------------------- */

static void say(struct buf *b, struct slice s)
{
	buf_add_u64(b, s.len);
	buf_add_char(b, ':');
	buf_add_slice(b, s);
}

/* Written anew by every hop; the engine strips them. */
static void strip(struct l7_msg *m)
{
	static const enum l7_key keys[] = { L7_KEY_CONNECTION, L7_KEY_CONTENT_LENGTH, L7_KEY_HOST,
					    L7_KEY_TRANSFER_ENCODING };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		l7_props_remove(&m->props, keys[i]);
	if (!m->is_upgrade)
		l7_props_remove(&m->props, L7_KEY_UPGRADE);
}

static void say_props(struct buf *b, const struct l7_props *p)
{
	l7_props_each(p, i) {
		must(p->v[i].key == l7_key_find(p->v[i].name));
		say(b, p->v[i].name);
		say(b, p->v[i].value);
	}
}

static void say_head(struct run *r, struct l7_msg *m)
{
	struct buf *b = &r->log;

	buf_printf(b, "\nhead %u ", m->status);
	say(b, m->method);
	say(b, m->host);
	if (m->path.len && m->path.ptr[0] == '?')
		m->path = arena_printf(&r->arena, "/%.*s", SLICE_ARG(m->path));
	say(b, m->path);
	say_props(b, &m->props);
	buf_add_slice(b, SLICE(" body "));
}

/* The message is whole: what was written of it must read as what was seen. */
static void verify(struct run *r)
{
	struct slice seen = slice_skip(buf_slice(&r->log), r->message);
	struct codec_fault fault = { 0 };
	struct run again;
	size_t used = 0;

	if (!r->peer)
		return;
	run_open(&again, r->flags & (CLIENT | HEAD | UPGRADE | CONNECT), AGAIN);
	while (used < buf_len(&r->forwarded)) {
		ssize_t n = codec_http1.decode(again.conn, buf_ptr(&r->forwarded) + used,
					       buf_len(&r->forwarded) - used, &fault);

		must(n > 0);
		used += (size_t)n;
	}
	must(again.whole || again.held);
	must(slice_is_equal(buf_slice(&again.log), seen));
	run_close(&again);
}

/* ---- events --------------------------------------------------------------------------------- */

static int on_head(void *owner, struct l7_msg *m, bool end)
{
	struct run *r = owner;
	struct arena keep = { 0 };

	must(!r->whole);
	strip(m);
	r->message = buf_len(&r->log);
	r->raw = r->flags & CLIENT && m->is_upgrade;
	r->held = !(r->flags & CLIENT) && m->is_upgrade;
	say_head(r, m);
	l7_msg_keep(m, &keep);
	if (r->peer) {
		peer_open(r);
		codec_http1.encode_head(r->peer, m, end, &r->forwarded);
	}
	arena_done(&keep);
	if (end || r->held)
		verify(r);
	r->whole = end;
	return 0;
}

static int on_body(void *owner, uint64_t id, struct slice data)
{
	struct run *r = owner;

	must(data.len && !r->whole);
	buf_add_slice(&r->log, data);
	if (r->peer)
		codec_http1.encode_body(r->peer, id, data, &r->forwarded);
	return 0;
}

static int on_end(void *owner, uint64_t id, struct l7_props *trailers)
{
	struct run *r = owner;

	must(!r->whole);
	if (trailers)
		say_props(&r->log, trailers);
	if (r->peer)
		codec_http1.encode_end(r->peer, id, trailers, &r->forwarded);
	if (!r->raw)
		verify(r);
	r->whole = true;
	return 0;
}

static int on_interim(void *owner, struct l7_msg *m)
{
	struct run *r = owner;

	must(m->status >= 100 && m->status < 200 && m->status != 101);
	buf_printf(&r->log, "\ninterim %u ", m->status);
	say_props(&r->log, &m->props);
	return 0;
}

/* ---- feeding -------------------------------------------------------------------------------- */

/* A message ended: the next one needs an answer, or a question. False: there is no next one. */
static bool go_on(struct run *r)
{
	struct l7_msg m;

	if (r->flags & CLIENT) {
		if (!codec_http1.is_reusable(r->conn) || !codec_http1.is_idle(r->conn))
			return false;
		arena_reset(&r->arena);
		ask(r->conn, &r->arena, r->flags, &r->reply);
	} else {
		l7_msg_init(&m, L7_RESPONSE, &r->arena);
		r->raw = r->flags & UPGRADE && r->held;
		m.status = r->raw ? 101 : 404;
		codec_http1.encode_head(r->conn, &m, !r->raw, &r->reply);
		arena_reset(&r->arena);
		if (!r->raw && !codec_http1.is_reusable(r->conn))
			return false;
	}
	r->whole = r->held = false;
	buf_clear(&r->reply);
	return true;
}

static void feed(struct run *r, const uint8_t *data, size_t size, unsigned int pieces)
{
	struct codec_fault fault = { 0 };
	size_t used = 0, have = 0;
	bool split = pieces;

	while (have < size) {
		char *p;
		ssize_t n;

		pieces = pieces * 1103515245 + 12345;
		have += split ? 1 + (pieces >> 16) % 23 : size;
		have = have < size ? have : size;
		do {
			p = xmalloc(have - used);
			memcpy(p, data + used, have - used);
			n = codec_http1.decode(r->conn, p, have - used, &fault);
			memset(p, 'X', have - used);
			free(p);
			if (n < 0) {
				must(fault.details && (n == -EPROTO || n == -E2BIG));
				buf_printf(&r->log, "\nfault %s", fault.details);
				codec_http1.reject(r->conn, &fault, &r->reply);
				must(!codec_http1.is_reusable(r->conn));
				return;
			}
			must((size_t)n <= have - used);
			used += (size_t)n;
			if ((r->whole || r->held) && !go_on(r))
				return;
		} while (n && used < have);
	}
	buf_printf(&r->log, "\neof %d", codec_http1.eof(r->conn, &fault));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, parts;

	if (size < 2)
		return 0;
	run_open(&whole, data[0], FIRST);
	run_open(&parts, data[0], PIECES);
	feed(&whole, data + 2, size - 2, 0);
	feed(&parts, data + 2, size - 2, data[1] + 1u);
	must(slice_is_equal(buf_slice(&whole.log), buf_slice(&parts.log)));
	run_close(&whole);
	run_close(&parts);
	return 0;
}
