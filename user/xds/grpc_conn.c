/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 of the gRPC client, by nghttp2. Ends of streams that nghttp2 finds are put aside in
 * `ended` and told when it is not at work any more, so that closed() may do anything; messages are
 * told at once, as their bytes are lent.
 *
 * Flow control: what came is granted again at once, to the connection always, to a stream while
 * the unfinished messages of all streams are few (GRPC_HELD_MAX); over that only the stream whose
 * message began first goes on, so memory is bounded and nobody waits for ever.
 */
#include "xds/grpc_conn.h"

#include <errno.h>
#include <inttypes.h>
#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "xds/grpc_msg.h"

#define CONN_WINDOW (16u << 20) /* of all streams; granted again at once */
#define HEAD_LIST_MAX 65536     /* bytes of a response's headers */
#define WHY_MAX 256

struct grpc_conn {
	const struct grpc_conn_ops *ops;
	void *owner;
	nghttp2_session *h2;
	size_t message_max;
	struct list streams; /* open */
	struct list ended;   /* to be told */
	struct list waiting; /* open, a message has begun, in order */
	struct list gone;    /* freed when nothing is at work */
	uint32_t n_streams;
	uint64_t held;
	unsigned int depth; /* our functions on the stack that go on after a callback */
	bool freed;
	bool settled;
	bool receiving;
	bool sending;
	char why[WHY_MAX]; /* what nghttp2 had against the peer */
};

struct grpc_stream {
	struct grpc_conn *conn;
	const struct grpc_stream_ops *ops;
	void *owner;
	struct list node;
	struct list wait_node;
	int32_t id;
	struct grpc_reader reader;
	struct buf out;
	size_t owed;       /* bytes that came and are not granted again */
	size_t held;       /* counted in conn->held */
	unsigned int http; /* :status */
	int grpc;          /* grpc-status of the headers at hand; -1: none */
	int status;        /* how it ended */
	char *text;
	bool grpc_type; /* content-type is gRPC's */
	bool answered;  /* the first headers are done */
	bool closing;   /* grpc_stream_close */
	bool out_ended; /* nghttp2 has our last byte and knows it */
	bool over;      /* in ended or gone: nghttp2 does not know it any more */
	bool freed;
};

/* ---- life of a stream ------------------------------------------------------------------------ */

static void grant(struct grpc_stream *st)
{
	if (st->owed)
		nghttp2_session_consume_stream(st->conn->h2, st->id, st->owed);
	st->owed = 0;
}

/* Grants what the rule above allows. */
static void grant_all(struct grpc_conn *c)
{
	if (c->held <= GRPC_HELD_MAX) {
		list_for_each(n, &c->streams)
			grant(list_entry(n, struct grpc_stream, node));
	} else if (!list_is_empty(&c->waiting)) {
		grant(list_entry(c->waiting.next, struct grpc_stream, wait_node));
	}
}

/* Keeps the counts of an open stream in step with its reader. */
static void account(struct grpc_stream *st)
{
	struct grpc_conn *c = st->conn;
	size_t held = grpc_reader_held(&st->reader);

	c->held += held;
	c->held -= st->held;
	st->held = held;
	if (!grpc_reader_is_partial(&st->reader))
		list_del(&st->wait_node);
	else if (list_is_empty(&st->wait_node))
		list_push(&c->waiting, &st->wait_node);
}

/* nghttp2 shall not find @st any more, and what it holds is dropped. */
static void detach(struct grpc_stream *st)
{
	struct grpc_conn *c = st->conn;

	if (st->over)
		return;
	st->over = true;
	c->n_streams--;
	nghttp2_session_set_stream_user_data(c->h2, st->id, NULL);
	list_del(&st->node);
	list_del(&st->wait_node);
	c->held -= st->held;
	st->held = 0;
	/* The reader stays: its message may be lent to a callback further up the stack. */
	buf_done(&st->out);
}

static void stream_free(struct grpc_stream *st)
{
	list_del(&st->node);
	buf_done(&st->out);
	grpc_reader_done(&st->reader);
	free(st->text);
	free(st);
}

/* Its memory may still be looked at further down the stack. */
static void release(struct grpc_stream *st)
{
	st->freed = true;
	list_del(&st->node);
	if (st->conn->depth)
		list_push(&st->conn->gone, &st->node);
	else
		stream_free(st);
}

/* The stream ended; takes @text. */
static void end(struct grpc_stream *st, int status, char *text)
{
	if (st->over) {
		free(text);
		return;
	}
	detach(st);
	st->status = status;
	free(st->text);
	st->text = text;
	list_push(&st->conn->ended, &st->node);
	grant_all(st->conn);
}

static void cancel(struct grpc_stream *st)
{
	nghttp2_submit_rst_stream(st->conn->h2, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
}

/* The same, while the peer still goes on. */
static void cut(struct grpc_stream *st, int status, char *text)
{
	if (!st->over)
		cancel(st);
	end(st, status, text);
}

/* ---- nghttp2's callbacks --------------------------------------------------------------------- */

static struct grpc_stream *find(nghttp2_session *h2, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(h2, id) : NULL;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *arg)
{
	struct grpc_stream *st = find(h2, f->hd.stream_id);
	struct slice n = slice_of(name, name_len), v = slice_of(value, value_len);
	uint64_t code;

	(void)flags;
	(void)arg;
	if (!st || f->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (slice_is_equal(n, SLICE(":status"))) {
		st->http = slice_to_u64(v, &code) == 0 && code < 1000 ? (unsigned int)code : 0;
	} else if (slice_is_equal(n, SLICE("content-type"))) {
		st->grpc_type = slice_has_prefix(v, SLICE("application/grpc"));
	} else if (slice_is_equal(n, SLICE("grpc-status"))) {
		st->grpc = grpc_status_parse(v);
		if (st->grpc < 0)
			st->grpc = GRPC_UNKNOWN;
	} else if (slice_is_equal(n, SLICE("grpc-message"))) {
		free(st->text);
		st->text = grpc_text_decode(v);
	}
	return 0;
}

static char *take_text(struct grpc_stream *st)
{
	char *text = st->text;

	st->text = NULL;
	return text ? text : xstrdup("");
}

/* The peer's side is done; ours has nothing to say to it any more. */
static void peer_ended(struct grpc_stream *st)
{
	if (!st->out_ended)
		cancel(st);
	if (grpc_reader_is_partial(&st->reader))
		end(st, GRPC_INTERNAL, xstrdup("the stream ended within a message"));
	else if (st->grpc >= 0)
		end(st, st->grpc, take_text(st));
	else
		end(st, GRPC_INTERNAL, xstrdup("the stream ended without a status"));
}

static void headers_done(struct grpc_stream *st, bool is_end)
{
	bool first = !st->answered;

	if (first && st->http >= 100 && st->http < 200)
		return;
	st->answered = true;
	if (first && st->grpc < 0 && st->http != 200)
		cut(st, grpc_status_of_http(st->http), xasprintf("HTTP status %u", st->http));
	else if (first && st->grpc < 0 && !st->grpc_type)
		cut(st, GRPC_UNKNOWN, xstrdup("the answer's content-type is not gRPC's"));
	else if (is_end)
		peer_ended(st);
}

static void goaway_came(struct grpc_conn *c, const nghttp2_goaway *g)
{
	c->ops->goaway(c->owner, g->error_code, slice_of(g->opaque_data, g->opaque_data_len));
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct grpc_stream *st = find(h2, f->hd.stream_id);
	struct grpc_conn *c = arg;
	bool is_end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (f->hd.type == NGHTTP2_SETTINGS && !(f->hd.flags & NGHTTP2_FLAG_ACK) && !c->settled) {
		c->settled = true;
		if (!c->freed)
			c->ops->settled(c->owner);
	} else if (f->hd.type == NGHTTP2_GOAWAY && !c->freed) {
		goaway_came(c, &f->goaway);
	} else if (f->hd.type == NGHTTP2_HEADERS && st) {
		headers_done(st, is_end);
	} else if (f->hd.type == NGHTTP2_DATA && st && is_end) {
		peer_ended(st);
	}
	return 0;
}

static void take_data(struct grpc_stream *st, struct slice in)
{
	while (!st->over) {
		const char *reason = NULL;
		struct slice msg;
		int r = grpc_reader_next(&st->reader, &in, &msg, &reason);

		if (r == 1) {
			st->ops->message(st, msg);
			continue;
		}
		if (r == -EMSGSIZE)
			cut(st, GRPC_RESOURCE_EXHAUSTED,
			    xasprintf("%s: %" PRIu32 " bytes, %zu allowed", reason, st->reader.len,
				      st->reader.max));
		else if (r < 0)
			cut(st, GRPC_INTERNAL, xstrdup(reason));
		break;
	}
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
		   void *arg)
{
	struct grpc_stream *st = find(h2, id);
	struct grpc_conn *c = arg;
	bool was_full = c->held > GRPC_HELD_MAX;

	(void)flags;
	nghttp2_session_consume_connection(h2, n);
	if (!st)
		return 0;
	if (!st->answered) {
		cut(st, GRPC_INTERNAL, xstrdup("a message before the headers"));
		return 0;
	}
	st->owed += n;
	take_data(st, slice_of(p, n));
	if (!st->over)
		account(st);
	if (was_full || c->held > GRPC_HELD_MAX)
		grant_all(c);
	else if (!st->over)
		grant(st);
	return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *arg)
{
	struct grpc_stream *st = find(h2, id);

	(void)arg;
	if (st)
		end(st, grpc_status_of_h2(code),
		    xasprintf("the stream was reset: %s", nghttp2_http2_strerror(code)));
	return 0;
}

/* Only a request whose stream cannot be made any more concerns us. */
static int on_not_sent(nghttp2_session *h2, const nghttp2_frame *f, int code, void *arg)
{
	struct grpc_stream *st = find(h2, f->hd.stream_id);

	(void)arg;
	if (st && f->hd.type == NGHTTP2_HEADERS)
		end(st, GRPC_UNAVAILABLE, xstrdup(nghttp2_strerror(code)));
	return 0;
}

static int on_trouble(nghttp2_session *h2, int code, const char *msg, size_t n, void *arg)
{
	struct grpc_conn *c = arg;

	(void)h2;
	(void)code;
	snprintf(c->why, sizeof(c->why), "%.*s", (int)n, msg);
	return 0;
}

/* Our own GOAWAY says best what the peer did. */
static int on_sent(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct grpc_conn *c = arg;

	(void)h2;
	if (f->hd.type == NGHTTP2_GOAWAY && !c->why[0])
		snprintf(c->why, sizeof(c->why), "the peer broke the protocol: %s (%.*s)",
			 nghttp2_http2_strerror(f->goaway.error_code),
			 (int)f->goaway.opaque_data_len, (const char *)f->goaway.opaque_data);
	return 0;
}

static ssize_t give_data(nghttp2_session *h2, int32_t id, uint8_t *p, size_t n, uint32_t *flags,
			 nghttp2_data_source *source, void *arg)
{
	struct grpc_stream *st = find(h2, id);

	(void)source;
	(void)arg;
	if (!st)
		return NGHTTP2_ERR_DEFERRED;
	if (n > buf_len(&st->out))
		n = buf_len(&st->out);
	if (!n && !st->closing)
		return NGHTTP2_ERR_DEFERRED;
	if (n)
		memcpy(p, buf_ptr(&st->out), n);
	buf_consume(&st->out, n);
	if (!buf_len(&st->out)) {
		buf_done(&st->out);
		st->out_ended = st->closing;
		if (st->closing)
			*flags |= NGHTTP2_DATA_FLAG_EOF;
	}
	return (ssize_t)n;
}

/* ---- life of a connection -------------------------------------------------------------------- */

static nghttp2_session *session_new(struct grpc_conn *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt;
	nghttp2_session *h2;

	must(nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&opt) == 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_not_sent);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
	nghttp2_session_callbacks_set_error_callback2(cb, on_trouble);
	nghttp2_option_set_no_auto_window_update(opt, 1);
	nghttp2_option_set_max_reserved_remote_streams(opt, 0);
	must(nghttp2_session_client_new2(&h2, cb, c, opt) == 0);
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	return h2;
}

struct grpc_conn *grpc_conn_new(size_t message_max, const struct grpc_conn_ops *ops, void *owner)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GRPC_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_LIST_MAX },
	};
	struct grpc_conn *c = xcalloc(1, sizeof(*c));

	c->ops = ops;
	c->owner = owner;
	c->message_max = message_max < UINT32_MAX ? message_max : UINT32_MAX;
	list_init(&c->streams);
	list_init(&c->ended);
	list_init(&c->waiting);
	list_init(&c->gone);
	c->h2 = session_new(c);
	must(nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0);
	must(nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW) == 0);
	return c;
}

static void enter(struct grpc_conn *c)
{
	c->depth++;
}

/* The last one out ends what was freed meanwhile. */
static void leave(struct grpc_conn *c)
{
	struct list *n;

	if (--c->depth)
		return;
	while ((n = list_pop(&c->gone)) != NULL)
		stream_free(list_entry(n, struct grpc_stream, node));
	if (!c->freed)
		return;
	nghttp2_session_del(c->h2);
	free(c);
}

void grpc_conn_free(struct grpc_conn *c)
{
	if (!c)
		return;
	must(!c->freed);
	c->freed = true;
	enter(c);
	list_for_each_safe(n, next, &c->streams) {
		struct grpc_stream *st = list_entry(n, struct grpc_stream, node);

		detach(st);
		release(st);
	}
	list_for_each_safe(n, next, &c->ended)
		release(list_entry(n, struct grpc_stream, node));
	leave(c);
}

static void output(struct grpc_conn *c)
{
	if (!c->receiving && !c->sending && !c->freed)
		c->ops->output(c->owner);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

bool grpc_conn_has_news(const struct grpc_conn *c)
{
	return !list_is_empty(&c->ended);
}

void grpc_conn_tell(struct grpc_conn *c)
{
	struct list *n;

	enter(c);
	while (!c->freed && (n = list_pop(&c->ended)) != NULL) {
		struct grpc_stream *st = list_entry(n, struct grpc_stream, node);

		st->ops->closed(st, st->status, slice_str(st->text));
		/* Its owner may have reset it, not knowing better. */
		if (!st->freed)
			release(st);
	}
	leave(c);
}

static int dead(const struct grpc_conn *c, struct err *e)
{
	return err_set(e, -EPROTO, "HTTP/2: %s", c->why[0] ? c->why : "the session has ended");
}

int grpc_conn_recv(struct grpc_conn *c, struct slice in, struct err *e)
{
	ssize_t n;
	int r = 0;

	enter(c);
	c->receiving = true;
	n = nghttp2_session_mem_recv(c->h2, (const uint8_t *)in.ptr, in.len);
	c->receiving = false;
	if (!c->freed && n < 0)
		r = err_set(e, -EPROTO, "HTTP/2: %s", nghttp2_strerror((int)n));
	if (!c->freed)
		grpc_conn_tell(c);
	leave(c);
	return r;
}

int grpc_conn_send(struct grpc_conn *c, struct buf *out, size_t limit, struct err *e)
{
	int r = 0;

	enter(c);
	c->sending = true;
	do {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(c->h2, &p);

		if (n < 0)
			r = err_set(e, -EPROTO, "HTTP/2: %s", nghttp2_strerror((int)n));
		if (n <= 0)
			break;
		buf_add(out, p, (size_t)n);
		r = buf_len(out) >= limit;
	} while (!r);
	c->sending = false;
	/* After a fault of the peer nghttp2 sends GOAWAY and wants no more. */
	if (r == 0 && !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2))
		r = dead(c, e);
	leave(c);
	return r;
}

void grpc_conn_fail(struct grpc_conn *c, int status, const char *text)
{
	enter(c);
	list_for_each_safe(n, next, &c->streams)
		end(list_entry(n, struct grpc_stream, node), status, xstrdup(text));
	grpc_conn_tell(c);
	leave(c);
}

int grpc_conn_ping(struct grpc_conn *c)
{
	int r = nghttp2_submit_ping(c->h2, NGHTTP2_FLAG_NONE, NULL);

	output(c);
	return r == 0 ? 0 : -EPROTO;
}

void grpc_conn_goodbye(struct grpc_conn *c)
{
	nghttp2_session_terminate_session(c->h2, NGHTTP2_NO_ERROR);
}

void grpc_conn_count_get(const struct grpc_conn *c, struct grpc_conn_count *ret_count)
{
	*ret_count = (struct grpc_conn_count){ c->n_streams, c->held };
}

/* ---- streams, for their owners --------------------------------------------------------------- */

static nghttp2_nv field(const char *name, struct slice value, uint8_t flags)
{
	return (nghttp2_nv){
		.name = (uint8_t *)name,
		.value = (uint8_t *)value.ptr,
		.namelen = strlen(name),
		.valuelen = value.len,
		.flags = flags,
	};
}

struct grpc_stream *grpc_conn_open(struct grpc_conn *c, const struct grpc_request *q,
				   const struct grpc_stream_ops *ops, void *owner, struct err *e)
{
	nghttp2_nv nv[] = {
		field(":method", SLICE("POST"), 0),
		field(":scheme", slice_str(q->scheme), 0),
		field(":path", slice_str(q->method), 0),
		field(":authority", slice_str(q->authority), 0),
		field("te", SLICE("trailers"), 0),
		field("content-type", SLICE("application/grpc"), 0),
		field("user-agent", slice_str(q->user_agent), 0),
		/* A secret: no table of header compression keeps it. */
		field("authorization", q->authorization, NGHTTP2_NV_FLAG_NO_INDEX),
	};
	size_t n = ARRAY_LEN(nv) - slice_is_empty(q->authorization);
	nghttp2_data_provider data = { .read_callback = give_data };
	struct grpc_stream *st = xcalloc(1, sizeof(*st));

	st->conn = c;
	st->ops = ops;
	st->owner = owner;
	st->grpc = -1;
	st->reader.max = c->message_max;
	list_init(&st->node);
	list_init(&st->wait_node);
	st->id = nghttp2_submit_request(c->h2, NULL, nv, n, &data, st);
	if (st->id < 0) {
		err_set(e, -EPROTO, "HTTP/2: %s", nghttp2_strerror(st->id));
		free(st);
		return NULL;
	}
	c->n_streams++;
	list_push(&c->streams, &st->node);
	output(c);
	return st;
}

void *grpc_stream_owner(const struct grpc_stream *st)
{
	return st->owner;
}

struct grpc_channel *grpc_stream_channel(const struct grpc_stream *st)
{
	return st->conn->owner;
}

size_t grpc_stream_pending(const struct grpc_stream *st)
{
	return buf_len(&st->out);
}

int grpc_stream_send(struct grpc_stream *st, struct slice bytes)
{
	uint8_t head[GRPC_HEAD];

	if (st->closing || st->over)
		return -EPIPE;
	if (bytes.len > GRPC_OUT_MAX - GRPC_HEAD ||
	    buf_len(&st->out) > GRPC_OUT_MAX - GRPC_HEAD - bytes.len)
		return -ENOBUFS;
	grpc_head_write(head, (uint32_t)bytes.len);
	buf_add(&st->out, head, sizeof(head));
	buf_add_slice(&st->out, bytes);
	/* Fails when it is not deferred: then it is in the queue already. */
	nghttp2_session_resume_data(st->conn->h2, st->id);
	output(st->conn);
	return 0;
}

void grpc_stream_close(struct grpc_stream *st)
{
	if (st->closing || st->over)
		return;
	st->closing = true;
	nghttp2_session_resume_data(st->conn->h2, st->id);
	output(st->conn);
}

void grpc_stream_reset(struct grpc_stream *st)
{
	struct grpc_conn *c;

	if (!st || st->freed)
		return;
	c = st->conn;
	if (!st->over) {
		cancel(st);
		detach(st);
		grant_all(c);
	}
	release(st);
	output(c);
}
