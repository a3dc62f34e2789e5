/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the Dubbo codec. The first byte chooses side and piece size; the rest is the
 * connection. It is decoded in one piece and in small ones, which must see the same; everything
 * that is raised is encoded by a codec of the other side, which must give the same frames.
 */
#include "codec/dubbo/dubbo.h"

/* One run over the bytes. */
struct run {
	void *conn, *peer;
	struct arena arena;
	struct buf reply, forwarded;
	unsigned int heads, ends, controls;
	int error;
	bool streaming;
};

static int on_head(void *owner, struct l7_msg *m, bool end)
{
	struct run *r = owner;
	struct arena keep = { 0 };

	must(!r->streaming);
	r->heads++;
	r->ends += end;
	r->streaming = !end;
	must(m->kind == L7_RESPONSE || (m->host.len && m->method.len && end));
	must(end == (m->raw.len > 0));
	l7_msg_keep(m, &keep);
	codec_dubbo.encode_head(r->peer, m, end, &r->forwarded);
	if (m->kind != L7_RESPONSE) {
		struct l7_reply reply = { 0 };
		struct buf out = { 0 };

		reply.code = (enum l7_reply_code)(m->id % (L7_REPLY_DIRECT + 1));
		codec_dubbo.encode_reply(r->conn, m, &reply, &out);
		must((buf_len(&out) > 0) == (m->kind == L7_REQUEST));
		buf_done(&out);
	}
	arena_done(&keep);
	return 0;
}

static int on_body(void *owner, uint64_t id, struct slice data)
{
	struct run *r = owner;

	must(r->streaming);
	codec_dubbo.encode_body(r->peer, id, data, &r->forwarded);
	return 0;
}

static int on_end(void *owner, uint64_t id, struct l7_props *trailers)
{
	struct run *r = owner;

	must(r->streaming);
	r->streaming = false;
	r->ends++;
	codec_dubbo.encode_end(r->peer, id, trailers, &r->forwarded);
	must(!codec_dubbo.is_writing(r->peer));
	return 0;
}

static int on_control(void *owner, const char *text)
{
	struct run *r = owner;

	must(text && *text);
	r->controls++;
	return 0;
}

static const struct codec_events events = {
	.head = on_head,
	.body = on_body,
	.end = on_end,
	.control = on_control,
};

static void run_open(struct run *r, enum codec_side side)
{
	*r = (struct run){ .conn = xcalloc(1, codec_dubbo.conn_size),
			   .peer = xcalloc(1, codec_dubbo.conn_size) };
	codec_dubbo.init(r->conn, side, NULL, NULL, &events, r, &r->arena, &r->reply);
	codec_dubbo.init(r->peer, side == CODEC_SERVER ? CODEC_CLIENT : CODEC_SERVER, NULL, NULL,
			 &events, NULL, &r->arena, &r->reply);
}

static void run_close(struct run *r)
{
	free(r->conn);
	free(r->peer);
	arena_done(&r->arena);
	buf_done(&r->reply);
	buf_done(&r->forwarded);
}

/* Feeds as an engine does, in memory of the exact size. */
static void run_feed(struct run *r, const uint8_t *data, size_t size, size_t piece)
{
	size_t used = 0, have = 0;
	struct codec_fault fault = { 0 };

	while (have < size && !r->error) {
		char *p;
		ssize_t n;

		have = have + piece < size ? have + piece : size;
		p = xmalloc(have - used + 1);
		memcpy(p, data + used, have - used);
		n = codec_dubbo.decode(r->conn, p, have - used, &fault);
		must(n <= (ssize_t)(have - used));
		if (n < 0) {
			must(fault.details);
			codec_dubbo.reject(r->conn, &fault, &r->reply);
			r->error = (int)n;
		} else {
			used += (size_t)n;
			/* either all is used, or it says that it wants more than there is */
			must(used == have || codec_dubbo.need(r->conn) > have - used);
		}
		free(p);
		arena_reset(&r->arena);
	}
	if (!r->error)
		r->error = codec_dubbo.eof(r->conn, &fault);
}

static bool is_equal(const struct buf *a, const struct buf *b)
{
	return buf_len(a) == buf_len(b) &&
	       (!buf_len(a) || memcmp(buf_ptr(a), buf_ptr(b), buf_len(a)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, parts;
	enum codec_side side;

	if (size < 1)
		return 0;
	side = data[0] & 1 ? CODEC_CLIENT : CODEC_SERVER;
	codec_dubbo.sniff((const char *)data + 1, size - 1);
	run_open(&whole, side);
	run_open(&parts, side);
	run_feed(&whole, data + 1, size - 1, size);
	run_feed(&parts, data + 1, size - 1, 1 + (data[0] >> 1));
	must(whole.error == parts.error);
	/* A fault in one piece hides nothing of what came before it. */
	must(whole.heads == parts.heads && whole.ends == parts.ends);
	must(whole.controls == parts.controls);
	must(is_equal(&whole.forwarded, &parts.forwarded));
	must(is_equal(&whole.reply, &parts.reply));
	run_close(&whole);
	run_close(&parts);
	return 0;
}
