/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to bytes. Framing is derived here and written exactly once, whatever the properties
 * say; content-length keeps the place that it has among the properties.
 */
#include "codec/http1/http1_impl.h"

#define NUMBER_MAX 20	/* digits of a 64-bit number */
#define FIXED_MAX 256	/* first line without texts, framing headers, the empty line */
#define PER_PROP 4	/* ": " and CRLF */

/* Everything that a head says about framing, decided before it is written. */
struct frame {
	int64_t length;	    /* content-length to write, -1: none */
	bool chunked;	    /* transfer-encoding: chunked is written */
	enum tx_state tx;   /* how the body goes */
	struct slice connection; /* value, empty: none */
};

static bool is_method(const struct l7_msg *m, const char *name)
{
	return slice_is_equal(m->method, slice_str(name));
}

/* ---- writing: the caller has reserved -------------------------------------------------------- */

static char *put(char *at, struct slice s)
{
	if (s.len)
		memcpy(at, s.ptr, s.len);
	return at + s.len;
}

static char *put_number(char *at, uint64_t v)
{
	char tmp[NUMBER_MAX];
	size_t n = sizeof(tmp);

	do {
		tmp[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return put(at, slice_of(tmp + n, sizeof(tmp) - n));
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Content-Type: upper case at the start and behind anything that is not a letter or digit. */
static char *put_proper(char *at, struct slice name)
{
	bool up = true;

	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		*at++ = up && c >= 'a' && c <= 'z' ? (char)(c - 0x20) : c;
		up = !is_alnum(c);
	}
	return at;
}

static char *put_name(const struct http1 *c, char *at, struct slice name, uint64_t caps)
{
	if (unlikely(c->opts.proper_case))
		return put_proper(at, name);
	put(at, name);
	/* Only who keeps capitals reads them; they go on wherever the message goes. */
	if (unlikely(caps != 0))
		for (size_t i = 0; i < name.len && i < 64; i++)
			if (caps >> i & 1 && at[i] >= 'a' && at[i] <= 'z')
				at[i] = (char)(at[i] - 0x20);
	return at + name.len;
}

static char *put_line(const struct http1 *c, char *at, struct slice name, uint64_t caps,
		      struct slice value)
{
	at = put_name(c, at, name, caps);
	*at++ = ':';
	*at++ = ' ';
	at = put(at, value);
	*at++ = '\r';
	*at++ = '\n';
	return at;
}

static char *put_length(const struct http1 *c, char *at, uint64_t caps, int64_t length)
{
	char text[NUMBER_MAX];
	char *end = put_number(text, (uint64_t)length);

	return put_line(c, at, SLICE("content-length"), caps, slice_of(text, (size_t)(end - text)));
}

/* A name or value that would break the head (our own or a plugin's mistake) is left out. */
static bool is_writable(const struct l7_prop *p)
{
	return p->name.len && http1_is_visible(p->name) && http1_is_value(p->value);
}

static char *put_props(const struct http1 *c, char *at, const struct l7_props *props,
		       struct frame *f)
{
	l7_props_each(props, i) {
		const struct l7_prop *p = &props->v[i];

		switch ((int)p->key) {
		case L7_KEY_CONTENT_LENGTH:
			if (f->length >= 0)
				at = put_length(c, at, p->caps, f->length);
			f->length = -1;
			continue;
		case L7_KEY_HOST:
			if (c->side == CODEC_SERVER)
				break;
			continue;
		case L7_KEY_TRANSFER_ENCODING:
		case L7_KEY_CONNECTION:
			continue;
		}
		if (likely(is_writable(p)))
			at = put_line(c, at, p->name, p->caps, p->value);
	}
	return at;
}

static size_t props_size(const struct l7_props *props)
{
	size_t n = 0;

	l7_props_each(props, i)
		n += props->v[i].name.len + props->v[i].value.len + PER_PROP;
	return n;
}

/* The rest of the head behind the first line. */
static char *put_rest(const struct http1 *c, char *at, const struct l7_props *props,
		      struct frame *f)
{
	at = put_props(c, at, props, f);
	if (f->connection.len)
		at = put_line(c, at, SLICE("connection"), 0, f->connection);
	if (f->length >= 0)
		at = put_length(c, at, 0, f->length);
	if (f->chunked)
		at = put_line(c, at, SLICE("transfer-encoding"), 0, SLICE("chunked"));
	return put(at, SLICE("\r\n"));
}

static char *put_status_line(const struct http1 *c, char *at, uint32_t status)
{
	at = put(at, c->peer10 && c->opts.accept_http10 ? SLICE("HTTP/1.0 ") : SLICE("HTTP/1.1 "));
	at = put_number(at, status);
	*at++ = ' ';
	at = put(at, http1_reason(status));
	return put(at, SLICE("\r\n"));
}

/* ---- responses ------------------------------------------------------------------------------ */

/* The value that came with the message, when it is one that can be written. */
static struct slice upgrade_connection(const struct l7_msg *m)
{
	struct slice v = l7_props_value(&m->props, L7_KEY_CONNECTION);

	return v.len && http1_is_value(v) ? v : SLICE("Upgrade");
}

static void frame_response(struct http1 *c, const struct l7_msg *m, bool end, struct frame *f)
{
	uint32_t status = m->status;

	*f = (struct frame){ .length = -1, .tx = TX_NONE };
	if (!end && c->is_upgrade && (c->is_connect ? status / 100 == 2 : status == 101)) {
		f->tx = TX_RAW;
		if (status == 101)
			f->connection = upgrade_connection(m);
		return;
	}
	if (status < 200 || status == 204) {
		/* no framing at all */
	} else if (c->is_head || status == 304) {
		f->length = m->body_len;
		f->chunked = status != 304 && m->body_len < 0 && !c->peer10;
	} else if (end) {
		f->length = 0;
	} else if (m->body_len >= 0) {
		f->length = m->body_len;
		f->tx = TX_LENGTH;
	} else if (!c->peer10) {
		f->chunked = true;
		f->tx = TX_CHUNKED;
	} else {
		f->tx = TX_UNTIL_CLOSE;
		c->closing = true;
	}
	if (!c->rx_done)
		c->closing = true;
	c->over = c->closing || c->draining || !c->keep;
	if (c->over)
		f->connection = SLICE("close");
	else if (c->peer10)
		f->connection = SLICE("keep-alive");
}

static void tx_begin(struct http1 *c, const struct frame *f, const struct l7_msg *m, bool end)
{
	c->tx = f->tx;
	c->tx_left = f->tx == TX_LENGTH ? (uint64_t)m->body_len : 0;
	if (f->tx == TX_RAW && c->side == CODEC_SERVER)
		http1_go_raw(c);
	if (end) {
		c->tx = TX_IDLE;
		http1_settle(c);
	}
}

static void encode_response(struct http1 *c, struct l7_msg *m, bool end, struct buf *out)
{
	struct frame f, written;
	char *from, *at, *props;

	frame_response(c, m, end, &f);
	written = f;
	from = at = buf_reserve(out, FIXED_MAX + props_size(&m->props) + f.connection.len);
	at = put_status_line(c, at, m->status);
	props = at;
	at = put_rest(c, at, &m->props, &written);
	m->props_bytes = (uint32_t)(at - props) - 2;
	buf_commit(out, (size_t)(at - from));
	tx_begin(c, &f, m, end);
}

/* ---- requests ------------------------------------------------------------------------------- */

static bool has_no_body(const struct l7_msg *m)
{
	return is_method(m, "GET") || is_method(m, "HEAD") || is_method(m, "DELETE") ||
	       is_method(m, "TRACE") || is_method(m, "CONNECT");
}

static void frame_request(struct http1 *c, const struct l7_msg *m, bool end, struct frame *f)
{
	*f = (struct frame){ .length = -1, .tx = TX_NONE };
	if (c->is_upgrade) {
		if (!c->is_connect)
			f->connection = upgrade_connection(m);
		return;
	}
	if (end) {
		if (!has_no_body(m) || l7_props_get(&m->props, L7_KEY_CONTENT_LENGTH))
			f->length = 0;
	} else if (m->body_len >= 0) {
		f->length = m->body_len;
		f->tx = TX_LENGTH;
	} else {
		f->chunked = true;
		f->tx = TX_CHUNKED;
	}
	if (c->closing)
		f->connection = SLICE("close");
}

/* Bytes that would end the request line early are escaped; up to three times @s. */
static char *put_target(char *at, struct slice s)
{
	static const char digits[] = "0123456789ABCDEF";

	if (likely(http1_is_visible(s)))
		return put(at, s);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char ch = (unsigned char)s.ptr[i];

		if (ch > 0x20 && ch != 0x7f) {
			*at++ = (char)ch;
			continue;
		}
		*at++ = '%';
		*at++ = digits[ch >> 4];
		*at++ = digits[ch & 15];
	}
	return at;
}

static char *put_request_line(const struct http1 *c, char *at, const struct l7_msg *m)
{
	struct slice target = c->is_connect ? m->host : m->path;

	at = put_target(at, m->method);
	*at++ = ' ';
	if (!target.len || target.ptr[0] == '?')
		*at++ = '/';
	at = put_target(at, target);
	return put(at, SLICE(" HTTP/1.1\r\n"));
}

/* m->wire holds the case of the host's name, which has no property of its own. */
static char *put_host(const struct http1 *c, char *at, const struct l7_msg *m)
{
	return http1_is_value(m->host) ? put_line(c, at, SLICE("host"), m->wire, m->host) : at;
}

static void encode_request(struct http1 *c, struct l7_msg *m, bool end, struct buf *out)
{
	struct frame f, written;
	char *from, *at, *props;
	size_t room;

	must(!c->pending);
	c->id = m->id;
	c->pending = true;
	c->rx_done = false;
	c->message_bytes = 0;
	c->interims = 0;
	c->is_head = is_method(m, "HEAD");
	c->is_connect = is_method(m, "CONNECT");
	c->is_upgrade = m->is_upgrade || c->is_connect;
	frame_request(c, m, end, &f);
	written = f;
	/* The target may be escaped, or be the host, which is written once more. */
	room = FIXED_MAX + props_size(&m->props) + f.connection.len;
	room += 3 * (m->path.len + m->method.len + m->host.len) + m->host.len;
	from = at = buf_reserve(out, room);
	at = put_request_line(c, at, m);
	props = at;
	at = put_host(c, at, m);
	at = put_rest(c, at, &m->props, &written);
	m->props_bytes = (uint32_t)(at - props) - 2;
	buf_commit(out, (size_t)(at - from));
	tx_begin(c, &f, m, end);
}

/* ---- the codec's functions ------------------------------------------------------------------ */

void http1_encode_head(void *conn, struct l7_msg *m, bool end, struct buf *out)
{
	struct http1 *c = conn;

	must(c->tx == TX_IDLE);
	if (c->side == CODEC_SERVER)
		encode_response(c, m, end, out);
	else
		encode_request(c, m, end, out);
}

static void put_chunk(struct slice data, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";
	char tmp[2 * sizeof(size_t)];
	size_t n = sizeof(tmp), v = data.len;
	char *at, *from;

	do {
		tmp[--n] = digits[v & 15];
		v >>= 4;
	} while (v);
	from = at = buf_reserve(out, sizeof(tmp) + data.len + 4);
	at = put(at, slice_of(tmp + n, sizeof(tmp) - n));
	at = put(at, SLICE("\r\n"));
	at = put(at, data);
	at = put(at, SLICE("\r\n"));
	buf_commit(out, (size_t)(at - from));
}

void http1_encode_body(void *conn, uint64_t id, struct slice data, struct buf *out)
{
	struct http1 *c = conn;

	(void)id;
	if (!data.len)
		return;
	switch (c->tx) {
	case TX_IDLE:
	case TX_NONE:
		break; /* a body where none may be */
	case TX_LENGTH:
		if (data.len > c->tx_left) {
			/* More than was promised would be read as the next message. */
			data.len = (size_t)c->tx_left;
			c->closing = true;
		}
		c->tx_left -= data.len;
		buf_add_slice(out, data);
		break;
	case TX_CHUNKED:
		put_chunk(data, out);
		break;
	case TX_UNTIL_CLOSE:
	case TX_RAW:
		buf_add_slice(out, data);
		break;
	}
}

static void put_trailers(const struct http1 *c, const struct l7_props *trailers, struct buf *out)
{
	struct frame none = { .length = -1 };
	char *from, *at;

	buf_add_slice(out, SLICE("0\r\n"));
	if (trailers && c->opts.enable_trailers) {
		from = at = buf_reserve(out, props_size(trailers));
		at = put_props(c, at, trailers, &none);
		buf_commit(out, (size_t)(at - from));
	}
	buf_add_slice(out, SLICE("\r\n"));
}

void http1_encode_end(void *conn, uint64_t id, const struct l7_props *trailers, struct buf *out)
{
	struct http1 *c = conn;

	(void)id;
	if (c->tx == TX_RAW || c->tx == TX_IDLE)
		return;
	if (c->tx == TX_CHUNKED)
		put_trailers(c, trailers, out);
	/* Less than was promised: only closing tells the peer. */
	if (c->tx == TX_LENGTH && c->tx_left)
		c->closing = true;
	c->tx = TX_IDLE;
	http1_settle(c);
}

void http1_encode_interim(void *conn, struct l7_msg *m, struct buf *out)
{
	struct http1 *c = conn;
	struct frame none = { .length = -1 };
	char *from, *at;

	if (c->side != CODEC_SERVER || c->peer10 || c->tx != TX_IDLE)
		return;
	from = at = buf_reserve(out, FIXED_MAX + props_size(&m->props));
	at = put_status_line(c, at, m->status);
	at = put_rest(c, at, &m->props, &none);
	buf_commit(out, (size_t)(at - from));
}

void http1_encode_reply(void *conn, const struct l7_msg *req, const struct l7_reply *r,
			struct buf *out)
{
	struct http1 *c = conn;
	struct l7_msg m = { .kind = L7_RESPONSE, .status = l7_reply_status(r) };
	struct frame f;
	char *from, *at;
	bool bodiless = m.status < 200 || m.status == 204 || m.status == 304;

	if (c->tx != TX_IDLE)
		return;
	if (req)
		c->is_head = is_method(req, "HEAD");
	m.body_len = bodiless ? -1 : (int64_t)r->body.len;
	frame_response(c, &m, false, &f);
	from = at = buf_reserve(out, FIXED_MAX + props_size(&r->props) + r->body.len);
	at = put_status_line(c, at, m.status);
	/* The length of a body stands before its type, that of none at the end. */
	if (f.length >= 0 && r->body.len) {
		at = put_length(c, at, 0, f.length);
		f.length = -1;
	}
	f.chunked = false;
	if (!bodiless && r->body.len && !l7_props_get(&r->props, L7_KEY_CONTENT_TYPE))
		at = put_line(c, at, SLICE("content-type"), 0, SLICE("text/plain"));
	at = put_rest(c, at, &r->props, &f);
	if (f.tx == TX_LENGTH)
		at = put(at, r->body);
	buf_commit(out, (size_t)(at - from));
	http1_settle(c);
}

void http1_reject(void *conn, const struct codec_fault *fault, struct buf *out)
{
	struct http1 *c = conn;
	struct l7_reply r = { .code = fault->code, .status = fault->status };
	bool answered = !c->pending && c->rx != RX_START && c->rx != RX_HEAD;

	/* Half an answer, or a whole one, is out: nothing more can be said. */
	if (c->side != CODEC_SERVER || c->tx != TX_IDLE || answered)
		return;
	if (!c->pending)
		c->is_head = c->parser.method == HTTP_HEAD;
	/* Envoy gives a text for what its codec refuses, none for what is refused behind it. */
	if ((fault->details && !strncmp(fault->details, "http", 4)) || fault->status == 426)
		r.body = http1_reason(l7_reply_status(&r));
	if (fault->props)
		r.props = *fault->props;
	if (fault->rewrite)
		fault->rewrite(fault->rewrite_owner, &r);
	c->closing = true;
	http1_encode_reply(c, NULL, &r, out);
}
