/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: what a gRPC server may send. Byte 0 chooses: the framing of messages alone, bytes
 * of HTTP/2, or HTTP/2 frames made from the rest (so that most of it is about gRPC); byte 1 the
 * pieces, byte 2 what the owner does in its callbacks. Read whole and in pieces, the streams must
 * see the same; each is told its end once.
 */
#include <errno.h>

#include "xds/grpc_conn.h"
#include "xds/grpc_msg.h"

#define STREAMS 3
#define LIMIT 1000

enum { RESET = 1, SEND = 2, FREE = 4, CLOSE = 8, LATE = 16 }; /* of byte 2 */

struct run;

struct end {
	struct run *run;
	struct grpc_stream *st;
	struct buf log;
	int closed;
	bool gone;
};

struct run {
	struct grpc_conn *c;
	struct end ends[STREAMS];
	unsigned int acts;
	bool settled, goaway;
};

static void say(struct buf *b, struct slice s)
{
	buf_add_u64(b, s.len);
	buf_add_char(b, ':');
	buf_add_slice(b, s);
}

/* ---- the client ------------------------------------------------------------------------------ */

static void free_all(struct run *r)
{
	for (int i = 0; i < STREAMS; i++)
		r->ends[i].gone = true;
	grpc_conn_free(r->c);
	r->c = NULL;
}

static void on_message(struct grpc_stream *st, struct slice bytes)
{
	struct end *e = grpc_stream_owner(st);
	unsigned int acts = e->run->acts;

	must(!e->gone && !e->closed && bytes.len <= LIMIT);
	say(&e->log, bytes);
	if (acts & SEND)
		grpc_stream_send(st, bytes);
	if (acts & CLOSE)
		grpc_stream_close(st);
	if (acts & RESET && bytes.len % 3 == 1) {
		grpc_stream_reset(st);
		e->gone = true;
	} else if (acts & FREE && bytes.len % 7 == 3) {
		free_all(e->run);
	}
	say(&e->log, bytes); /* still lent */
}

static void on_closed(struct grpc_stream *st, int status, struct slice text)
{
	struct end *e = grpc_stream_owner(st);

	must(!e->gone && !e->closed++ && status >= 0 && status <= GRPC_UNAUTHENTICATED);
	must(text.len <= GRPC_TEXT_MAX);
	buf_printf(&e->log, " end %d ", status);
	say(&e->log, text);
	if (e->run->acts & FREE && status == GRPC_ABORTED)
		free_all(e->run);
}

static const struct grpc_stream_ops stream_ops = { .message = on_message, .closed = on_closed };

static void on_settled(void *owner)
{
	struct run *r = owner;

	must(!r->settled);
	r->settled = true;
}

static void on_goaway(void *owner, uint32_t code, struct slice text)
{
	struct run *r = owner;
	char *said = grpc_text_decode(text);

	(void)code;
	must(strlen(said) <= GRPC_TEXT_MAX);
	free(said);
	r->goaway = true;
}

static void on_output(void *owner)
{
	(void)owner;
}

static const struct grpc_conn_ops conn_ops = {
	.settled = on_settled,
	.goaway = on_goaway,
	.output = on_output,
};

static void pump(struct run *r)
{
	struct buf out = { 0 };
	struct err e;

	while (r->c && grpc_conn_send(r->c, &out, 4096, &e) == 1)
		buf_clear(&out);
	buf_done(&out);
}

static void run_open(struct run *r, unsigned int acts)
{
	static const struct grpc_request q = {
		.method = "/a.B/C", .scheme = "http", .authority = "a", .user_agent = "u"
	};
	struct err e;

	*r = (struct run){ .acts = acts };
	r->c = grpc_conn_new(LIMIT, &conn_ops, r);
	for (int i = 0; i < STREAMS; i++) {
		r->ends[i].run = r;
		r->ends[i].st = grpc_conn_open(r->c, &q, &stream_ops, &r->ends[i], &e);
		must(r->ends[i].st);
		grpc_stream_send(r->ends[i].st, SLICE("hello"));
	}
	if (!(acts & LATE))
		pump(r);
}

static void run_close(struct run *r)
{
	struct grpc_conn_count n;

	if (r->c)
		pump(r);
	if (r->c)
		grpc_conn_fail(r->c, GRPC_UNAVAILABLE, "done");
	for (int i = 0; i < STREAMS; i++)
		must(r->ends[i].closed == !r->ends[i].gone || (!r->c && r->ends[i].closed));
	if (r->c) {
		grpc_conn_count_get(r->c, &n);
		must(!n.streams && !n.held);
	}
	grpc_conn_free(r->c);
	for (int i = 0; i < STREAMS; i++)
		buf_done(&r->ends[i].log);
}

/* Exact copies, so that ASan sees an over-read; @pieces 0: all at once. */
static int feed(struct run *r, struct slice in, unsigned int pieces)
{
	int rc = 0;

	while (in.len && rc == 0 && r->c) {
		size_t n = in.len;
		struct err e;
		char *p;

		if (pieces) {
			pieces = pieces * 1103515245 + 12345;
			n = 1 + (pieces >> 16) % 37;
			n = n < in.len ? n : in.len;
		}
		p = xmalloc(n);
		memcpy(p, in.ptr, n);
		rc = grpc_conn_recv(r->c, slice_of(p, n), &e);
		must(rc == 0 || (rc == -EPROTO && (!r->c || e.text[0])));
		free(p);
		in = slice_skip(in, n);
	}
	return rc;
}

static void session(struct slice in, unsigned int pieces, unsigned int acts)
{
	struct run whole, parts;

	run_open(&whole, acts);
	run_open(&parts, acts);
	feed(&whole, in, 0);
	feed(&parts, in, pieces);
	/* Which stream's end frees all of them depends on when ends are told. */
	for (int i = 0; i < STREAMS && !(acts & FREE); i++)
		must(slice_is_equal(buf_slice(&whole.ends[i].log), buf_slice(&parts.ends[i].log)));
	run_close(&whole);
	run_close(&parts);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t id, struct slice body)
{
	const uint8_t head[9] = { (uint8_t)(body.len >> 16),
				  (uint8_t)(body.len >> 8),
				  (uint8_t)body.len,
				  type,
				  flags,
				  0,
				  0,
				  0,
				  (uint8_t)id };

	buf_add(b, head, sizeof(head));
	buf_add_slice(b, body);
}

static struct slice cut(struct slice *in, size_t n)
{
	struct slice s = slice_first(*in, n);

	*in = slice_skip(*in, n);
	return s;
}

static unsigned int byte(struct slice *in)
{
	struct slice s = cut(in, 1);

	return s.len ? (unsigned char)s.ptr[0] : 0;
}

/* A header in HPACK's plainest form. */
static void field(struct buf *b, struct slice name, struct slice value)
{
	buf_add_char(b, 0);
	buf_add_char(b, (char)name.len);
	buf_add_slice(b, name);
	buf_add_char(b, (char)value.len);
	buf_add_slice(b, value);
}

static void headers(struct buf *wire, uint32_t id, unsigned int how, struct slice *in)
{
	struct buf block = { 0 };

	if (!(how & 1))
		field(&block, SLICE(":status"), how & 2 ? cut(in, 3) : SLICE("200"));
	if (!(how & 4))
		field(&block, SLICE("content-type"), SLICE("application/grpc"));
	if (how & 8)
		field(&block, SLICE("grpc-status"), cut(in, byte(in) % 4));
	if (how & 16)
		field(&block, SLICE("grpc-message"), cut(in, byte(in) % 100));
	frame(wire, 1, how & 8 ? 5 : 4, id, buf_slice(&block));
	buf_done(&block);
}

/* A message, perhaps with a wrong length, in one DATA frame or two. */
static void message(struct buf *wire, uint32_t id, unsigned int how, struct slice *in)
{
	struct slice body = cut(in, how >> 2);
	struct buf data = { 0 };
	uint8_t head[GRPC_HEAD];
	size_t first;

	grpc_head_write(head, (uint32_t)body.len + (how & 1 ? byte(in) : 0));
	buf_add(&data, head, sizeof(head));
	buf_add_slice(&data, body);
	first = how & 2 ? byte(in) % (buf_len(&data) + 1) : buf_len(&data);
	frame(wire, 0, 0, id, slice_first(buf_slice(&data), first));
	if (first < buf_len(&data))
		frame(wire, 0, 0, id, slice_skip(buf_slice(&data), first));
	buf_done(&data);
}

/* What @in says, as frames on streams that exist. */
static void make(struct slice in, struct buf *wire)
{
	frame(wire, 4, 0, 0, SLICE_NONE);
	while (in.len) {
		unsigned int op = byte(&in);
		uint32_t id = 1 + 2 * (op >> 4) % (2 * STREAMS);

		switch (op & 15) {
		case 0 ... 5: message(wire, id, byte(&in), &in); break;
		case 6 ... 8: headers(wire, id, byte(&in), &in); break;
		case 9: frame(wire, 0, (uint8_t)byte(&in) & 9, id, cut(&in, byte(&in))); break;
		case 10: frame(wire, 3, 0, id, cut(&in, 4)); break;
		case 11: frame(wire, 8, 0, id, cut(&in, 4)); break;
		case 12: frame(wire, 4, byte(&in) & 1, 0, cut(&in, 6)); break;
		case 13: frame(wire, 6, 0, 0, cut(&in, 8)); break;
		case 14: frame(wire, 7, 0, 0, cut(&in, 8 + byte(&in) % 20)); break;
		default: headers(wire, id, 0, &in); break;
		}
	}
}

/* ---- messages alone -------------------------------------------------------------------------- */

static int read_all(struct slice in, unsigned int pieces, struct buf *log)
{
	struct grpc_reader r = { .max = LIMIT };
	int rc = 0;

	while (in.len && rc == 0) {
		struct slice part, msg;
		const char *why = NULL;
		size_t n = in.len;

		if (pieces) {
			pieces = pieces * 1103515245 + 12345;
			n = (pieces >> 16) % 37; /* none at all too */
			n = n < in.len ? n : in.len;
		}
		part = slice_first(in, n);
		in = slice_skip(in, n);
		while ((rc = grpc_reader_next(&r, &part, &msg, &why)) == 1)
			say(log, msg);
		must(rc == 0 ? !part.len : why != NULL);
		must(grpc_reader_held(&r) <= LIMIT);
	}
	buf_printf(log, " %d %d", rc, grpc_reader_is_partial(&r));
	grpc_reader_done(&r);
	return rc;
}

static void messages(struct slice in, unsigned int pieces)
{
	struct buf whole = { 0 }, parts = { 0 };
	int rc = read_all(in, 0, &whole);

	must(rc == read_all(in, pieces, &parts));
	must(slice_is_equal(buf_slice(&whole), buf_slice(&parts)));
	buf_done(&whole);
	buf_done(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf wire = { 0 };
	struct slice in;

	if (size < 3)
		return 0;
	in = slice_of(data + 3, size - 3);
	switch (data[0] % 4) {
	case 0: messages(in, data[1] + 1u); break;
	case 1: session(in, data[1] + 1u, data[2]); break;
	default:
		make(in, &wire);
		session(buf_slice(&wire), data[1] + 1u, data[2]);
		buf_done(&wire);
		break;
	}
	return 0;
}
