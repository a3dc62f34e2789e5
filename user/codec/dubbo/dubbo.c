/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec: frames in, events out, and back. A request is raised when its frame is whole, an
 * answer when it is whole or, when it is long, as it comes. Events never leave the codec.
 */
#include "codec/dubbo/dubbo.h"

#include <errno.h>

#include "codec/dubbo/dubbo_impl.h"

/* What happens to the rest of the frame that is being read. */
enum rest { REST_NONE, REST_PASS, REST_DROP };

struct conn {
	enum codec_side side;
	struct codec_limits limits;
	const struct codec_events *ev;
	void *owner;
	struct arena *arena;
	struct buf *reply;

	size_t need;	  /* bytes wanted together; 0 = any */
	enum rest rest;	  /* of the frame in progress */
	uint32_t in_left; /* its bytes that did not come yet */
	uint64_t in_id;
	bool is_partial; /* the last decode left the beginning of a frame */

	uint32_t out_left; /* bytes that encode_head promised and encode_body still owes */
	bool is_broken;	   /* that promise was broken */
	bool is_readonly;  /* client: the provider takes no new calls */
	bool closing, told_readonly;
	uint64_t event_id;
	struct dubbo_frame refused; /* the frame of a fault, for reject; flag 0: none */
};

/* State of one decode call. */
struct turn {
	struct conn *c;
	struct codec_fault *fault;
	bool stop;	     /* a callback wants to stop here */
	struct l7_prop *v;   /* array of properties, used again for every message */
	uint32_t cap;
};

/* ---- sniffing, life ------------------------------------------------------------------------- */

static enum sniff dubbo_sniff(const char *p, size_t n)
{
	unsigned char flag;

	if (!dubbo_frame_is_magic(p, n))
		return SNIFF_NO;
	if (n < 3)
		return SNIFF_MORE;
	flag = (unsigned char)p[2];
	/* The client speaks first, so it is a request, in a serialization that exists. */
	return flag & DUBBO_FLAG_REQUEST &&
			       dubbo_serialization_name(flag & DUBBO_FLAG_SERIALIZATION) ?
		       SNIFF_YES :
		       SNIFF_NO;
}

static uint32_t or_default(uint32_t v, uint32_t dflt)
{
	return v ? v : dflt;
}

static void dubbo_init(void *conn, enum codec_side side, const struct codec_limits *limits,
		       const struct codec_opts *opts, const struct codec_events *ev, void *owner,
		       struct arena *arena, struct buf *reply)
{
	static const struct codec_limits none;
	const struct codec_limits *l = limits ? limits : &none;
	struct conn *c = conn;

	(void)opts; /* none of them is about Dubbo */
	*c = (struct conn){
		.side = side,
		.limits = {
			.head_bytes = or_default(l->head_bytes, CODEC_HEAD_BYTES),
			.props = or_default(l->props, CODEC_PROPS),
			.frame_bytes = or_default(l->frame_bytes, CODEC_FRAME_BYTES),
			.depth = or_default(l->depth, CODEC_DEPTH),
		},
		.ev = ev,
		.owner = owner,
		.arena = arena,
		.reply = reply,
	};
}

/* ---- decode: helpers ------------------------------------------------------------------------ */

static int fault(struct turn *t, int err, enum l7_reply_code code, const char *details)
{
	*t->fault = (struct codec_fault){ .code = code, .details = details };
	return err;
}

/* Takes a callback's verdict into account; negative: give up. */
static int verdict(struct turn *t, int r)
{
	if (r > 0)
		t->stop = true;
	return r < 0 ? r : 0;
}

static int control(struct turn *t, const char *what)
{
	struct conn *c = t->c;

	return c->ev->control ? verdict(t, c->ev->control(c->owner, what)) : 0;
}

/* The frame is wanted whole: how far is it? 0: not here yet. */
static size_t whole(struct conn *c, const struct dubbo_frame *f, size_t n)
{
	size_t total = DUBBO_HEADER + (size_t)f->len;

	if (n >= total)
		return total;
	c->need = total;
	return 0;
}

/* The body of this frame will be swallowed as it comes. */
static ssize_t drop(struct turn *t, const struct dubbo_frame *f, const char *what)
{
	int r;

	t->c->rest = f->len ? REST_DROP : REST_NONE;
	t->c->in_left = f->len;
	r = control(t, what);
	return r < 0 ? r : DUBBO_HEADER;
}

static void msg_init(struct turn *t, struct l7_msg *m, enum l7_kind kind,
		     const struct dubbo_frame *f)
{
	l7_msg_init(m, kind, t->c->arena);
	m->props.v = t->v;
	m->props.cap = t->cap;
	m->id = f->id;
	m->wire = (uint32_t)f->flag << 8 | f->status;
	m->body_len = f->len;
}

/* ---- decode: events ------------------------------------------------------------------------- */

/* Reads the text of an event, a serialized string of one letter; anything else is 0. */
static char event_letter(const char *body, size_t n)
{
	return n >= 2 && n <= 16 ? body[n - 1] : 0;
}

static const char *event_take(struct conn *c, const struct dubbo_frame *f, const char *body)
{
	if (!(f->flag & DUBBO_FLAG_REQUEST))
		return "heartbeat_reply";
	if (f->flag & DUBBO_FLAG_TWOWAY) {
		struct dubbo_frame a = *f;

		a.flag = DUBBO_FLAG_EVENT | dubbo_frame_serialization(f);
		a.status = DUBBO_OK;
		/* The answer holds null, and so does the question, in its serialization. */
		dubbo_frame_write(&a, buf_reserve(c->reply, DUBBO_HEADER));
		buf_commit(c->reply, DUBBO_HEADER);
		buf_add(c->reply, body, f->len);
		return "heartbeat";
	}
	if (c->side == CODEC_CLIENT) {
		char letter = event_letter(body, f->len);

		if (letter == 'R' || letter == 'W') {
			c->is_readonly = letter == 'R';
			return letter == 'R' ? "readonly" : "writable";
		}
	}
	return "event";
}

static ssize_t event_feed(struct turn *t, const struct dubbo_frame *f, const char *p, size_t n)
{
	size_t total;
	int r;

	if (f->len > DUBBO_EVENT_BYTES)
		return fault(t, -E2BIG, L7_REPLY_TOO_LARGE, "dubbo.event_too_large");
	total = whole(t->c, f, n);
	if (!total)
		return 0;
	r = control(t, event_take(t->c, f, p + DUBBO_HEADER));
	return r < 0 ? r : (ssize_t)total;
}

/* ---- decode: requests ----------------------------------------------------------------------- */

/* A request that cannot be read, though its frame is sound: answered, and the next one may come. */
static int request_refuse(struct turn *t, const struct dubbo_frame *f, const char *why)
{
	unsigned int ser = dubbo_frame_serialization(f);
	const char *name = dubbo_serialization_name(ser);
	bool readable = dubbo_invocation_is_readable(ser);
	char text[256];
	int n;

	if (readable)
		n = snprintf(text, sizeof(text), "dubbo request cannot be read: %s", why);
	else
		n = snprintf(text, sizeof(text),
			     "dubbo request cannot be routed: serialization %u (%s) is not "
			     "supported, use hessian2 or fastjson2",
			     ser, name ? name : "unknown");
	if (f->flag & DUBBO_FLAG_TWOWAY)
		dubbo_write_error(t->c->reply, f->id, DUBBO_BAD_REQUEST, slice_of(text, (size_t)n));
	return control(t, readable ? "bad_request" : "bad_serialization");
}

static ssize_t request_feed(struct turn *t, const struct dubbo_frame *f, char *p, size_t n)
{
	struct conn *c = t->c;
	size_t total = whole(c, f, n);
	unsigned int ser = dubbo_frame_serialization(f);
	const char *why = NULL;
	struct l7_msg m;
	int r;

	if (!total)
		return 0;
	if (!dubbo_invocation_is_readable(ser)) {
		r = request_refuse(t, f, NULL);
		return r < 0 ? r : (ssize_t)total;
	}
	msg_init(t, &m, f->flag & DUBBO_FLAG_TWOWAY ? L7_REQUEST : L7_ONEWAY, f);
	r = dubbo_invocation_read(&m, ser, slice_of(p + DUBBO_HEADER, f->len), &c->limits, c->arena,
				  &why);
	/* The list may have grown; the callback may put another one in its place. */
	t->v = m.props.v;
	t->cap = m.props.cap;
	if (r < 0) {
		r = request_refuse(t, f, why);
	} else {
		m.raw = slice_of(p, total);
		m.frame_bytes = (uint32_t)total;
		r = verdict(t, c->ev->head(c->owner, &m, true));
	}
	return r < 0 ? r : (ssize_t)total;
}

/* A provider calls its consumer back over the consumer's connection: there is no way through. */
static ssize_t callback_refuse(struct turn *t, const struct dubbo_frame *f)
{
	if (f->flag & DUBBO_FLAG_TWOWAY)
		dubbo_write_error(t->c->reply, f->id, DUBBO_SERVICE_NOT_FOUND,
				  SLICE("calls from provider to consumer do not pass this proxy"));
	return drop(t, f, "callback");
}

/* ---- decode: answers ------------------------------------------------------------------------ */

static ssize_t response_feed(struct turn *t, const struct dubbo_frame *f, char *p, size_t n)
{
	struct conn *c = t->c;
	size_t total = DUBBO_HEADER + (size_t)f->len;
	bool end = n >= total;
	struct l7_msg m;
	int r;

	if (!end && (f->len <= DUBBO_WHOLE_BYTES || n < DUBBO_HEADER + DUBBO_ANSWER_BYTES)) {
		c->need = f->len <= DUBBO_WHOLE_BYTES ? total : DUBBO_HEADER + DUBBO_ANSWER_BYTES;
		return 0;
	}
	msg_init(t, &m, L7_RESPONSE, f);
	m.status = f->status;
	m.reason = dubbo_status_text(f->status);
	m.protocol = SLICE("Dubbo");
	m.is_ok = f->status == DUBBO_OK &&
		  !dubbo_answer_is_exception(dubbo_frame_serialization(f),
					     slice_of(p + DUBBO_HEADER, n - DUBBO_HEADER));
	m.frame_bytes = (uint32_t)(end ? total : DUBBO_HEADER);
	if (end) {
		m.raw = slice_of(p, total);
	} else {
		c->rest = REST_PASS;
		c->in_left = f->len;
		c->in_id = f->id;
	}
	r = verdict(t, c->ev->head(c->owner, &m, end));
	return r < 0 ? r : (ssize_t)(end ? total : DUBBO_HEADER);
}

/* ---- decode --------------------------------------------------------------------------------- */

/* Takes what is there of the body in progress. */
static ssize_t rest_feed(struct turn *t, const char *p, size_t n)
{
	struct conn *c = t->c;
	size_t take = n < c->in_left ? n : c->in_left;
	bool pass = c->rest == REST_PASS;
	int r = 0;

	c->in_left -= (uint32_t)take;
	if (!c->in_left)
		c->rest = REST_NONE;
	if (pass)
		r = verdict(t, c->ev->body(c->owner, c->in_id, slice_of(p, take)));
	if (r == 0 && pass && !c->in_left)
		r = verdict(t, c->ev->end(c->owner, c->in_id, NULL));
	return r < 0 ? r : (ssize_t)take;
}

/* Takes one frame, or the head of one. 0: more bytes are needed. */
static ssize_t frame_feed(struct turn *t, char *p, size_t n)
{
	struct conn *c = t->c;
	struct dubbo_frame f;

	if (!dubbo_frame_is_magic(p, n))
		return fault(t, -EPROTO, L7_REPLY_BAD_REQUEST, "dubbo.bad_magic");
	if (n < DUBBO_HEADER) {
		c->need = DUBBO_HEADER;
		return 0;
	}
	dubbo_frame_parse(p, &f);
	if ((uint64_t)f.len + DUBBO_HEADER > c->limits.frame_bytes) {
		c->refused = f;
		return fault(t, -E2BIG, L7_REPLY_TOO_LARGE, "dubbo.frame_too_large");
	}
	if (f.flag & DUBBO_FLAG_EVENT)
		return event_feed(t, &f, p, n);
	if (c->side == CODEC_SERVER)
		return f.flag & DUBBO_FLAG_REQUEST ? request_feed(t, &f, p, n) :
						     drop(t, &f, "stray_response");
	return f.flag & DUBBO_FLAG_REQUEST ? callback_refuse(t, &f) : response_feed(t, &f, p, n);
}

static ssize_t dubbo_decode(void *conn, char *p, size_t n, struct codec_fault *ret_fault)
{
	struct conn *c = conn;
	struct turn t = { .c = c, .fault = ret_fault };
	size_t used = 0;

	c->is_partial = false;
	c->need = 0;
	while (used < n && !t.stop) {
		ssize_t r = c->rest == REST_NONE ? frame_feed(&t, p + used, n - used) :
						   rest_feed(&t, p + used, n - used);
		if (r < 0)
			return r;
		if (r == 0) {
			c->is_partial = true;
			break;
		}
		used += (size_t)r;
	}
	return (ssize_t)used;
}

static size_t dubbo_need(const void *conn)
{
	return ((const struct conn *)conn)->need;
}

static int dubbo_eof(void *conn, struct codec_fault *ret_fault)
{
	struct conn *c = conn;

	if (!c->is_partial && c->rest == REST_NONE)
		return 0;
	*ret_fault = (struct codec_fault){ .details = "dubbo.truncated_frame" };
	ret_fault->code = c->side == CODEC_SERVER ? L7_REPLY_BAD_REQUEST : L7_REPLY_UPSTREAM_RESET;
	return -EPROTO;
}

/* ---- encode --------------------------------------------------------------------------------- */

void codec_dubbo_write_readonly(void *conn, struct buf *out)
{
	struct conn *c = conn;
	struct dubbo_frame f = { .flag = DUBBO_FLAG_REQUEST | DUBBO_FLAG_EVENT | DUBBO_SER_HESSIAN2,
				 .len = 2 };

	if (c->told_readonly || c->side != CODEC_SERVER || c->out_left)
		return;
	c->told_readonly = true;
	f.id = c->event_id++;
	dubbo_frame_write(&f, buf_reserve(out, DUBBO_HEADER));
	buf_commit(out, DUBBO_HEADER);
	buf_add(out, "\x01R", 2);
}

/* A message was written to its end: what waited for that comes now. */
static void message_done(struct conn *c, struct buf *out)
{
	if (c->closing)
		codec_dubbo_write_readonly(c, out);
}

static void dubbo_encode_head(void *conn, struct l7_msg *m, bool end, struct buf *out)
{
	struct conn *c = conn;
	char *p;

	must(!c->out_left); /* see is_writing */
	if (m->raw.len) {
		must(m->raw.len >= DUBBO_HEADER);
		p = buf_reserve(out, m->raw.len);
		memcpy(p, m->raw.ptr, m->raw.len);
		dubbo_frame_set_id(p, m->id);
		buf_commit(out, m->raw.len);
	} else {
		struct dubbo_frame f = { .flag = (uint8_t)(m->wire >> 8),
					 .status = (uint8_t)m->wire,
					 .id = m->id };

		must(m->body_len >= 0 && m->body_len <= UINT32_MAX);
		f.len = (uint32_t)m->body_len;
		dubbo_frame_write(&f, buf_reserve(out, DUBBO_HEADER));
		buf_commit(out, DUBBO_HEADER);
		c->out_left = f.len;
		c->is_broken |= end && f.len;
	}
	if (end)
		message_done(c, out);
}

static void dubbo_encode_body(void *conn, uint64_t id, struct slice data, struct buf *out)
{
	struct conn *c = conn;

	(void)id; /* one message at a time is written: see is_writing */
	if (data.len > c->out_left) {
		c->is_broken = true;
		data.len = c->out_left;
	}
	c->out_left -= (uint32_t)data.len;
	buf_add_slice(out, data);
}

static void dubbo_encode_end(void *conn, uint64_t id, const struct l7_props *trailers,
			     struct buf *out)
{
	struct conn *c = conn;

	(void)id;
	(void)trailers; /* the protocol has none */
	if (c->out_left)
		c->is_broken = true;
	else
		message_done(c, out);
}

static void dubbo_encode_reply(void *conn, const struct l7_msg *req, const struct l7_reply *r,
			       struct buf *out)
{
	struct conn *c = conn;

	if (req && req->kind == L7_REQUEST)
		dubbo_write_reply(out, req, r);
	/* In the middle of another message @out is not the connection's: its end is not yet here.
	 */
	if (!c->out_left)
		message_done(c, out);
}

static void dubbo_reject(void *conn, const struct codec_fault *fault, struct buf *out)
{
	struct conn *c = conn;
	char text[160];
	int n;

	/* Only a frame that is too large has a sound header to answer to. */
	if ((c->refused.flag & (DUBBO_FLAG_REQUEST | DUBBO_FLAG_TWOWAY | DUBBO_FLAG_EVENT)) !=
		    (DUBBO_FLAG_REQUEST | DUBBO_FLAG_TWOWAY) ||
	    c->side != CODEC_SERVER || c->out_left)
		return;
	n = snprintf(text, sizeof(text), "dubbo request of %llu bytes is over the limit of %u (%s)",
		     (unsigned long long)c->refused.len + DUBBO_HEADER, c->limits.frame_bytes,
		     fault->details);
	dubbo_write_error(out, c->refused.id, DUBBO_BAD_REQUEST, slice_of(text, (size_t)n));
}

/* ---- state ---------------------------------------------------------------------------------- */

static bool dubbo_is_reusable(const void *conn)
{
	const struct conn *c = conn;

	return !c->is_broken && !c->is_readonly && !c->closing;
}

static void dubbo_want_close(void *conn)
{
	((struct conn *)conn)->closing = true;
}

static bool dubbo_is_idle(const void *conn)
{
	const struct conn *c = conn;

	return c->rest == REST_NONE && !c->is_partial && !c->out_left;
}

static bool dubbo_is_writing(const void *conn)
{
	return ((const struct conn *)conn)->out_left > 0;
}

const struct codec codec_dubbo = {
	.name = "dubbo",
	.conn_size = sizeof(struct conn),
	.multiplexed = true,
	.has_request_first = true,
	.sniff = dubbo_sniff,
	.init = dubbo_init,
	.decode = dubbo_decode,
	.need = dubbo_need,
	.eof = dubbo_eof,
	.encode_head = dubbo_encode_head,
	.encode_body = dubbo_encode_body,
	.encode_end = dubbo_encode_end,
	.encode_reply = dubbo_encode_reply,
	.reject = dubbo_reject,
	.is_reusable = dubbo_is_reusable,
	.want_close = dubbo_want_close,
	.is_idle = dubbo_is_idle,
	.is_writing = dubbo_is_writing,
};
