/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gRPC server for tests, by nghttp2's server half, on the loop of the client under test: it does
 * what the test says and remembers what it was asked. And a client that remembers.
 */
#ifndef SKIFF_TESTS_T_GRPC_H
#define SKIFF_TESTS_T_GRPC_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/io.h"
#include "io/tls.h"
#include "xds/grpc.h"
#include "xds/grpc_msg.h"

#define T_STREAMS 64
#define T_CONNS 16

#define t_until(io, cond) \
	do { \
		uint64_t t_end = clock_mono_ns() + 20 * NSEC_PER_SEC; \
		while (!(cond)) { \
			if (clock_mono_ns() > t_end) \
				fail_msg("waited 20 s for " #cond); \
			io_run_once(io, 20); \
		} \
	} while (0)

static inline void t_for_ms(struct io *io, uint64_t ms)
{
	uint64_t end = clock_mono_ns() + ms * NSEC_PER_MSEC;

	while (clock_mono_ns() < end)
		io_run_once(io, 5);
}

static inline struct io *t_io_new(void)
{
	struct io *io;
	struct err e;

	if (io_new(IO_EPOLL, &io, &e) < 0)
		fail_msg("no loop: %s", e.text);
	return io;
}

static inline void t_io_free(struct io *io)
{
	struct io_totals t;

	for (int i = 0; i < 300; i++) {
		io_run_once(io, 10);
		io_totals_get(io, &t);
		if (!t.streams)
			break;
	}
	assert_int_equal(t.streams, 0);
	io_free(io);
}

/* ---- server ------------------------------------------------------------------------------ */

struct t_call { /* one stream, as the server sees it */
	struct t_server *sv;
	struct t_conn *conn;
	int32_t id;
	char path[128], authority[128], authorization[256], te[32], type[64], agent[64];
	struct buf in;  /* DATA so far */
	struct buf out; /* to be sent as DATA */
	bool in_ended, out_ends, out_done, trailing;
	uint32_t closed_code;
	bool closed;
	const char *status, *text; /* trailers at the end of out */
};

struct t_conn {
	struct t_server *sv;
	struct io_stream *s;
	struct tls *tls;
	nghttp2_session *h2;
	int pings;
	bool over;
};

struct t_server {
	struct io *io;
	struct io_listener *l;
	struct addr at;
	char text[ADDR_TEXT_MAX];
	struct tls_ctx *tls;
	struct t_conn conns[T_CONNS];
	int n_conns;
	struct t_call calls[T_STREAMS];
	int n_calls;
	/* Settings. */
	bool silent;    /* accepts and says nothing */
	bool no_acks;   /* PINGs are not answered */
	bool no_answer; /* no headers by itself */
	bool echo;
	uint32_t max_streams; /* at the same time; 0: any number */
	struct slice first;   /* what is sent instead of HTTP/2 */
};

static inline void t_conn_pump(struct t_conn *c)
{
	const uint8_t *p;
	ssize_t n;
	struct err e;

	if (!c->s)
		return;
	while ((n = nghttp2_session_mem_send(c->h2, &p)) > 0) {
		if (c->tls)
			assert_int_equal(tls_write(c->tls, p, (size_t)n, io_stream_out(c->s), &e),
					 0);
		else
			buf_add(io_stream_out(c->s), p, (size_t)n);
	}
	io_stream_flush(c->s);
}

static inline void t_conn_close(struct t_conn *c)
{
	if (c->s)
		io_stream_close(c->s);
	c->s = NULL;
	tls_free(c->tls);
	c->tls = NULL;
	nghttp2_session_del(c->h2);
	c->h2 = NULL;
	c->over = true;
}

static inline ssize_t t_give(nghttp2_session *h2, int32_t id, uint8_t *p, size_t n, uint32_t *flags,
			     nghttp2_data_source *src, void *arg)
{
	struct t_call *k = src->ptr;

	(void)arg;
	if (n > buf_len(&k->out))
		n = buf_len(&k->out);
	if (n)
		memcpy(p, buf_ptr(&k->out), n);
	buf_consume(&k->out, n);
	if (!buf_len(&k->out) && k->out_ends) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		k->out_done = true;
		if (k->status) {
			nghttp2_nv nv[] = {
				{ (uint8_t *)"grpc-status", (uint8_t *)k->status, 11,
				  strlen(k->status), 0 },
				{ (uint8_t *)"grpc-message", (uint8_t *)k->text, 12,
				  strlen(k->text), 0 },
			};

			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			assert_int_equal(nghttp2_submit_trailer(h2, id, nv, 2), 0);
		}
		return (ssize_t)n;
	}
	return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

/* Headers of the answer; @ends: and no more. */
static inline void t_head(struct t_call *k, const char *http, const char *type, const char *status,
			  const char *text, bool ends)
{
	nghttp2_data_provider data = { .source.ptr = k, .read_callback = t_give };
	nghttp2_nv nv[4];
	size_t n = 0;

#define T_NV(name, value) \
	((nghttp2_nv){ (uint8_t *)(name), (uint8_t *)(value), strlen(name), strlen(value), 0 })
	nv[n++] = T_NV(":status", http);
	if (type)
		nv[n++] = T_NV("content-type", type);
	if (status)
		nv[n++] = T_NV("grpc-status", status);
	if (text)
		nv[n++] = T_NV("grpc-message", text);
	assert_int_equal(nghttp2_submit_response(k->conn->h2, k->id, nv, n, ends ? NULL : &data),
			 0);
}

/* Raw DATA bytes. */
static inline void t_send(struct t_call *k, const void *p, size_t n)
{
	buf_add(&k->out, p, n);
	nghttp2_session_resume_data(k->conn->h2, k->id);
	t_conn_pump(k->conn);
}

static inline void t_message(struct t_call *k, const void *p, size_t n)
{
	uint8_t head[GRPC_HEAD];

	grpc_head_write(head, (uint32_t)n);
	buf_add(&k->out, head, sizeof(head));
	t_send(k, p, n);
}

/* A message of @n bytes 'x'. */
static inline void t_message_of(struct t_call *k, size_t n)
{
	char *p = xmalloc(n);

	memset(p, 'x', n);
	t_message(k, p, n);
	free(p);
}

/* Ends the answer: with trailers, or (@status NULL) without. */
static inline void t_finish(struct t_call *k, const char *status, const char *text)
{
	k->status = status;
	k->text = text;
	k->out_ends = true;
	nghttp2_session_resume_data(k->conn->h2, k->id);
	t_conn_pump(k->conn);
}

static inline void t_reset(struct t_call *k, uint32_t code)
{
	nghttp2_submit_rst_stream(k->conn->h2, 0, k->id, code);
	t_conn_pump(k->conn);
}

static inline int t_on_begin(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct t_conn *c = arg;
	struct t_call *k;

	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	assert_true(c->sv->n_calls < T_STREAMS);
	k = &c->sv->calls[c->sv->n_calls++];
	*k = (struct t_call){ .sv = c->sv, .conn = c, .id = f->hd.stream_id };
	nghttp2_session_set_stream_user_data(h2, k->id, k);
	return 0;
}

static inline void t_keep(char *out, size_t max, const char *name, const uint8_t *n,
			  const uint8_t *v, size_t v_len)
{
	if (strcmp(name, (const char *)n) == 0)
		snprintf(out, max, "%.*s", (int)v_len, (const char *)v);
}

static inline int t_on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *n,
			      size_t n_len, const uint8_t *v, size_t v_len, uint8_t flags,
			      void *arg)
{
	struct t_call *k = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);

	(void)n_len;
	(void)flags;
	(void)arg;
	if (!k)
		return 0;
	t_keep(k->path, sizeof(k->path), ":path", n, v, v_len);
	t_keep(k->authority, sizeof(k->authority), ":authority", n, v, v_len);
	t_keep(k->authorization, sizeof(k->authorization), "authorization", n, v, v_len);
	t_keep(k->te, sizeof(k->te), "te", n, v, v_len);
	t_keep(k->type, sizeof(k->type), "content-type", n, v, v_len);
	t_keep(k->agent, sizeof(k->agent), "user-agent", n, v, v_len);
	return 0;
}

static inline int t_on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct t_call *k =
		f->hd.stream_id ? nghttp2_session_get_stream_user_data(h2, f->hd.stream_id) : NULL;
	struct t_conn *c = arg;

	if (f->hd.type == NGHTTP2_PING && !(f->hd.flags & NGHTTP2_FLAG_ACK)) {
		c->pings++;
		if (!c->sv->no_acks)
			nghttp2_submit_ping(h2, NGHTTP2_FLAG_ACK, f->ping.opaque_data);
	}
	if (k && f->hd.type == NGHTTP2_HEADERS && !c->sv->no_answer)
		t_head(k, "200", "application/grpc", NULL, NULL, false);
	if (k && (f->hd.flags & NGHTTP2_FLAG_END_STREAM) && f->hd.type <= NGHTTP2_HEADERS)
		k->in_ended = true;
	return 0;
}

static inline int t_on_chunk(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p,
			     size_t n, void *arg)
{
	struct t_call *k = nghttp2_session_get_stream_user_data(h2, id);
	struct t_conn *c = arg;

	(void)flags;
	buf_add(&k->in, p, n);
	if (c->sv->echo) {
		buf_add(&k->out, p, n);
		nghttp2_session_resume_data(h2, id);
	}
	return 0;
}

static inline int t_on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *arg)
{
	struct t_call *k = nghttp2_session_get_stream_user_data(h2, id);

	(void)arg;
	if (k) {
		k->closed = true;
		k->closed_code = code;
	}
	return 0;
}

static inline void t_take(struct t_conn *c, const char *p, size_t n)
{
	ssize_t r = nghttp2_session_mem_recv(c->h2, (const uint8_t *)p, n);

	assert_int_equal(r, n);
	t_conn_pump(c);
}

static inline void t_sv_data(struct io_stream *s, char *p, size_t n)
{
	struct t_conn *c = io_stream_owner(s);
	struct buf plain = { 0 };
	struct err e;
	int r;

	if (c->sv->silent || c->sv->first.len)
		return;
	if (!c->tls) {
		t_take(c, p, n);
		return;
	}
	r = tls_read(c->tls, p, n, &plain, io_stream_out(s), &e);
	io_stream_flush(s);
	if (tls_is_ready(c->tls))
		t_conn_pump(c);
	if (buf_len(&plain))
		t_take(c, buf_ptr(&plain), buf_len(&plain));
	buf_done(&plain);
	if (r < 0) {
		io_stream_close_flush(c->s, 0);
		c->s = NULL;
		t_conn_close(c);
	}
}

static inline void t_sv_eof(struct io_stream *s)
{
	t_conn_close(io_stream_owner(s));
}

static inline void t_sv_failed(struct io_stream *s, int err)
{
	(void)err;
	t_conn_close(io_stream_owner(s));
}

static const struct io_stream_ops t_sv_ops = { .data = t_sv_data,
					       .eof = t_sv_eof,
					       .failed = t_sv_failed };

static inline void t_sv_accepted(struct io_listener *l, int fd)
{
	struct t_server *sv = io_listener_owner(l);
	nghttp2_settings_entry limit = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, sv->max_streams };
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt;
	struct t_conn *c;

	assert_true(sv->n_conns < T_CONNS);
	c = &sv->conns[sv->n_conns++];
	*c = (struct t_conn){ .sv = sv };
	nghttp2_session_callbacks_new(&cb);
	nghttp2_option_new(&opt);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, t_on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, t_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, t_on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, t_on_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, t_on_close);
	nghttp2_option_set_no_auto_ping_ack(opt, 1);
	nghttp2_session_server_new2(&c->h2, cb, c, opt);
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	c->s = io_stream_new(sv->io, fd, &t_sv_ops, c);
	io_stream_set_marks(c->s, 1u << 30, 1);
	if (sv->tls)
		c->tls = tls_new(sv->tls, NULL);
	nghttp2_submit_settings(c->h2, 0, &limit, sv->max_streams ? 1 : 0);
	if (sv->first.len)
		io_stream_write(c->s, sv->first.ptr, sv->first.len);
	else if (!sv->silent && !sv->tls)
		t_conn_pump(c);
}

static const struct io_listener_ops t_sv_listener = { .accepted = t_sv_accepted };

/* Listens on @at, or on a new port of 127.0.0.1 when that is zero. */
static inline void t_listen(struct t_server *sv)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct err e;
	int fd;

	if (!sv->at.port)
		assert_int_equal(addr_parse(slice_str("127.0.0.1:0"), &sv->at), 0);
	fd = io_listen_socket(&sv->at, NULL, &e);
	if (fd < 0)
		fail_msg("%s", e.text);
	assert_int_equal(getsockname(fd, (void *)&ss, &len), 0);
	assert_int_equal(addr_from_sockaddr((void *)&ss, &sv->at), 0);
	addr_format(&sv->at, sv->text);
	sv->l = io_listener_new(sv->io, fd, &t_sv_listener, sv);
}

static inline void t_server_start(struct t_server *sv, struct io *io)
{
	*sv = (struct t_server){ .io = io };
	t_listen(sv);
}

static inline void t_server_stop(struct t_server *sv)
{
	if (sv->l)
		io_listener_close(sv->l);
	sv->l = NULL;
	for (int i = 0; i < sv->n_conns; i++)
		if (!sv->conns[i].over)
			t_conn_close(&sv->conns[i]);
	for (int i = 0; i < sv->n_calls; i++) {
		buf_done(&sv->calls[i].in);
		buf_done(&sv->calls[i].out);
	}
	tls_ctx_free(sv->tls);
	sv->tls = NULL;
}

/* ---- client ------------------------------------------------------------------------------ */

struct t_client {
	struct grpc_channel *ch;
	int ups, downs;
	char reason[512];
	uint64_t up_at, down_at;
	void (*on_up)(struct t_client *cl);
	void (*on_down)(struct t_client *cl);
};

struct t_stream {
	struct grpc_stream *st;
	int messages, closed, status;
	char text[GRPC_TEXT_MAX + 1];
	size_t bytes;    /* of all messages */
	struct buf last; /* the last one */
	bool drop;       /* only counts */
	void (*on_message)(struct t_stream *x);
	void (*on_closed)(struct t_stream *x);
	void *arg;
};

static inline void t_up(struct grpc_channel *ch)
{
	struct t_client *cl = grpc_channel_owner(ch);

	cl->ups++;
	cl->up_at = clock_mono_ns();
	if (cl->on_up)
		cl->on_up(cl);
}

static inline void t_down(struct grpc_channel *ch, const char *reason)
{
	struct t_client *cl = grpc_channel_owner(ch);

	cl->downs++;
	cl->down_at = clock_mono_ns();
	snprintf(cl->reason, sizeof(cl->reason), "%s", reason);
	if (cl->on_down)
		cl->on_down(cl);
}

static const struct grpc_channel_ops t_channel_ops = { .up = t_up, .down = t_down };

static inline void t_got(struct grpc_stream *st, struct slice bytes)
{
	struct t_stream *x = grpc_stream_owner(st);

	x->messages++;
	x->bytes += bytes.len;
	if (!x->drop) {
		buf_clear(&x->last);
		buf_add_slice(&x->last, bytes);
	}
	if (x->on_message) {
		x->on_message(x);
		/* Lent until the return, whatever was called. */
		if (!x->drop)
			assert_memory_equal(buf_ptr(&x->last), bytes.ptr, bytes.len);
	}
}

static inline void t_closed(struct grpc_stream *st, int status, struct slice text)
{
	struct t_stream *x = grpc_stream_owner(st);

	x->closed++;
	x->status = status;
	snprintf(x->text, sizeof(x->text), "%.*s", SLICE_ARG(text));
	x->st = NULL;
	if (x->on_closed)
		x->on_closed(x);
}

static const struct grpc_stream_ops t_stream_ops = { .message = t_got, .closed = t_closed };

#define T_METHOD "/test.Service/Talk"

static inline void t_open(struct t_client *cl, struct t_stream *x)
{
	struct err e;

	x->st = grpc_stream_open(cl->ch, T_METHOD, &t_stream_ops, x, &e);
	if (!x->st)
		fail_msg("no stream: %s", e.text);
}

/* Short waits, so that failures are seen soon. */
#define T_OPTS(...) \
	{ \
		.n_addresses = 1, .backoff_min_ms = 20, .backoff_max_ms = 200, __VA_ARGS__ \
	}

static inline void t_client_start(struct t_client *cl, struct io *io, const struct grpc_opts *o)
{
	struct err e;

	if (grpc_channel_new(io, o, &t_channel_ops, cl, &cl->ch, &e) < 0)
		fail_msg("no channel: %s", e.text);
}

/* A client that is connected to @sv. */
static inline void t_connect(struct t_client *cl, struct t_server *sv)
{
	const char *at = sv->text;
	struct grpc_opts o = T_OPTS(.addresses = &at);

	t_client_start(cl, sv->io, &o);
	t_until(sv->io, cl->ups);
}

static inline bool t_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_message("'%s' does not have '%s'\n", text, part);
	return strstr(text, part);
}

#endif
