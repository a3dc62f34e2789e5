/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to events. The gate finds whole lines, llhttp reads them (so every name and value lies in
 * one piece: in the caller's memory, or in the arena when its line came in several calls), bodies
 * are passed on as they are.
 */
#include "codec/http1/http1_impl.h"

#define PART_FIRST 256 /* bytes kept at first of a line that is not whole yet */

static int fail(struct http1 *c, enum http1_fault f)
{
	c->fault = f;
	return -EPROTO;
}

/* Was it refused for what it asks, not for how it is written? */
static bool is_whole_head(const struct http1 *c)
{
	return c->side == CODEC_SERVER && c->head_done && c->rx == RX_HEAD &&
	       (c->fault == HTTP1_FAULT_NO_HOST || c->fault == HTTP1_FAULT_FRAGMENT ||
		c->fault == HTTP1_FAULT_QUERY_TYPE);
}

int http1_fault(const struct http1 *c, struct codec_fault *ret_fault)
{
	static const struct {
		uint32_t status;
		const char *details;
	} faults[] = {
#define X(id, number, text) [HTTP1_FAULT_##id] = { number, text },
		HTTP1_FAULTS(X)
#undef X
	};
	uint32_t status = faults[c->fault].status;

	ret_fault->details = faults[c->fault].details;
	ret_fault->status = 0;
	ret_fault->props = NULL;
	ret_fault->request = is_whole_head(c) ? &c->m : NULL;
	ret_fault->props_bytes = c->m.props_bytes;
	if (c->side == CODEC_CLIENT) {
		ret_fault->code = L7_REPLY_BAD_GATEWAY;
	} else if (status == 431) {
		ret_fault->code = L7_REPLY_HEADERS_TOO_LARGE;
	} else {
		ret_fault->code = L7_REPLY_BAD_REQUEST;
		ret_fault->status = status;
	}
	return status == 431 ? -E2BIG : -EPROTO;
}

/* ---- llhttp's callbacks: all spans are whole ------------------------------------------------ */

static struct http1 *conn_of(llhttp_t *p)
{
	return container_of(p, struct http1, parser);
}

static int refuse(struct http1 *c, enum http1_fault f)
{
	c->fault = f;
	return HPE_USER;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
	conn_of(p)->m.path = slice_of(at, len);
	return 0;
}

static int on_method(llhttp_t *p, const char *at, size_t len)
{
	conn_of(p)->m.method = slice_of(at, len);
	return 0;
}

static int on_status(llhttp_t *p, const char *at, size_t len)
{
	conn_of(p)->m.reason = slice_of(at, len);
	return 0;
}

/* Which of the first 64 bytes are capitals. */
static uint64_t capitals(const unsigned char *name, size_t len)
{
	uint64_t caps = 0;

	for (size_t i = 0; i < len && i < 64; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			caps |= 1ull << i;
	return caps;
}

static int on_field(llhttp_t *p, const char *at, size_t len)
{
	struct http1 *c = conn_of(p);
	unsigned char *name = (unsigned char *)(uintptr_t)at;
	bool underscore = false;
	uint64_t caps = 0;
	struct slice s = slice_of(at, len);
	struct l7_props *props = c->in_trailers ? &c->trailers : &c->m.props;

	if (!len)
		return refuse(c, HTTP1_FAULT_CODEC);
	/* As Envoy counts them: without the blanks, but for one ':' and the line's end. */
	c->m.props_bytes += (uint32_t)len + 3;
	if (++c->lines > c->limits.props)
		return refuse(c, HTTP1_FAULT_HEAD_COUNT);
	if (unlikely(c->opts.preserve_case))
		caps = capitals(name, len);
	for (size_t i = 0; i < len; i++) {
		name[i] = http1_token[name[i]];
		if (!name[i])
			return refuse(c, HTTP1_FAULT_CODEC);
		underscore |= name[i] == '_';
	}
	c->skip_prop = false;
	if (unlikely(underscore) && c->side == CODEC_SERVER) {
		if (c->opts.reject_underscores)
			return refuse(c, HTTP1_FAULT_UNDERSCORE);
		c->skip_prop = c->opts.drop_underscores;
	}
	if (!c->skip_prop)
		l7_props_add(props, l7_key_find(s), s, SLICE_NONE)->caps = caps;
	return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
	struct http1 *c = conn_of(p);
	struct l7_props *props = c->in_trailers ? &c->trailers : &c->m.props;
	struct l7_prop *prop;

	if (c->skip_prop)
		return 0;
	must(props->n);
	prop = &props->v[props->n - 1];
	if (prop->value.ptr)
		return refuse(c, HTTP1_FAULT_CODEC);
	prop->value = slice_trim(slice_of(at, len));
	c->m.props_bytes += (uint32_t)prop->value.len;
	return 0;
}

/* Returns 1 (no body for llhttp) unless trailers are to be read by it. */
static int on_headers_complete(llhttp_t *p)
{
	struct http1 *c = conn_of(p);
	enum http1_fault f;

	c->head_done = true;
	c->m.status = p->status_code;
	f = c->side == CODEC_SERVER ? http1_head_request(c) : http1_head_response(c);
	if (f)
		return refuse(c, f);
	p->upgrade = 0;
	if (c->body != RX_CHUNKED)
		return 1;
	return p->flags & F_CHUNKED ? 0 : refuse(c, HTTP1_FAULT_TRANSFER);
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_method = on_method,
	.on_status = on_status,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
};

void http1_parser_init(struct http1 *c)
{
	llhttp_init(&c->parser, c->side == CODEC_SERVER ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	/* What these let through is judged in head.c, with the fault that fits. */
	c->parser.lenient_flags = LENIENT_CHUNKED_LENGTH | LENIENT_TRANSFER_ENCODING;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static int execute(struct http1 *c, const char *p, size_t n)
{
	llhttp_errno_t e;

	if (!n)
		return 0;
	e = llhttp_execute(&c->parser, p, n);
	if (c->fault)
		return -EPROTO;
	return e == HPE_OK ? 0 : fail(c, HTTP1_FAULT_CODEC);
}

/* A copy of whole lines, unfolded, in which each ends in CRLF: llhttp takes no others. */
static struct slice tidy_lines(struct arena *a, const char *p, size_t n)
{
	char *to = arena_alloc(a, 2 * n), *at = to;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\r')
			continue; /* the gate saw that LF follows */
		if (p[i] != '\n') {
			*at++ = p[i];
		} else if (i + 1 == n || (p[i + 1] != ' ' && p[i + 1] != '\t')) {
			*at++ = '\r';
			*at++ = '\n';
		}
	}
	return slice_of(to, (size_t)(at - to));
}

/* Gives whole lines to llhttp, the first line after its own check. */
static int parse(struct http1 *c, const char *p, size_t n)
{
	struct slice line, other = SLICE_NONE;
	enum http1_fault f;
	size_t len;
	int r = 0;

	if (unlikely(c->gate.bare_lf || c->gate.folded)) {
		line = tidy_lines(c->arena, p, n);
		p = line.ptr;
		n = line.len;
	}
	if (c->first_line) {
		len = (size_t)((const char *)memchr(p, '\n', n) - p);
		line = slice_of(p, len - 1);
		c->first_line = false;
		f = http1_check_first_line(c, line, &other);
		if (f)
			return fail(c, f);
		if (other.len) {
			r = execute(c, other.ptr, other.len);
			p += len + 1;
			n -= len + 1;
		}
	}
	return r < 0 ? r : execute(c, p, n);
}

static void part_add(struct http1 *c, const char *p, size_t n)
{
	size_t want = c->part_len + n;

	if (want > c->part_cap) {
		size_t cap = c->part_cap ? c->part_cap : PART_FIRST;
		char *to;

		while (cap < want)
			cap *= 2;
		to = arena_alloc(c->arena, cap);
		if (c->part_len)
			memcpy(to, c->part, c->part_len);
		c->part = to;
		c->part_cap = cap;
	}
	memcpy(c->part + c->part_len, p, n);
	c->part_len = want;
}

static void part_drop(struct http1 *c)
{
	c->part = NULL;
	c->part_len = c->part_cap = 0;
}

/* Parses the whole lines among the @used bytes and keeps the rest. @last: the block ends here. */
static int take_lines(struct http1 *c, const char *p, size_t used, size_t lines, bool last)
{
	int r = 0;

	if (c->part_len && c->gate.whole) {
		size_t k = lines;

		/* A line may go on behind its LF only where folding is allowed. */
		if (!c->gate.lenient)
			k = (size_t)((const char *)memchr(p, '\n', lines) - p) + 1;
		part_add(c, p, k);
		r = parse(c, c->part, c->part_len);
		part_drop(c);
		p += k;
		used -= k;
		lines -= k;
	}
	if (!r && lines)
		r = parse(c, last ? p : arena_slice(c->arena, slice_of(p, lines)).ptr, lines);
	if (!r && used > lines)
		part_add(c, p + lines, used - lines);
	return r;
}

/* Reads lines up to the end of the block: 1 = it is there, 0 = more is needed. */
static int feed_lines(struct http1 *c, const char *p, size_t n, size_t *ret_used)
{
	size_t room = c->limits.head_bytes - c->head_bytes, used = 0, lines = 0;
	int verdict, r;

	verdict = http1_gate_lines(&c->gate, p, n > room ? room + 1 : n, &used, &lines);
	r = take_lines(c, p, verdict < 0 ? lines : used, lines, verdict == GATE_END);
	if (r < 0)
		return r;
	if (verdict < 0)
		return fail(c, verdict == -EILSEQ ? HTTP1_FAULT_CHARACTERS : HTTP1_FAULT_CODEC);
	if (used > room)
		return fail(c, HTTP1_FAULT_HEAD_SIZE);
	c->head_bytes += (uint32_t)used;
	*ret_used = used;
	return verdict == GATE_END;
}

/* ---- events --------------------------------------------------------------------------------- */

/* What the caller of step() does next: a callback's wish to stop, or its error. */
static int answer(int r)
{
	return r < 0 ? r : r > 0;
}

static void rx_finish(struct http1 *c)
{
	c->rx = RX_START;
	c->rx_done = true;
	if (c->side == CODEC_CLIENT)
		http1_settle(c);
}

/* The message is whole; decode stops behind it. */
static int raise_end(struct http1 *c, struct l7_props *trailers)
{
	int r = 0;

	rx_finish(c);
	if (c->ev->end)
		r = c->ev->end(c->owner, c->id, trailers);
	return r < 0 ? r : 1;
}

static int raise_body(struct http1 *c, const char *p, size_t n)
{
	return c->ev->body ? answer(c->ev->body(c->owner, c->id, slice_of(p, n))) : 0;
}

static int raise_interim(struct http1 *c)
{
	c->rx = RX_START;
	if (++c->interims > HTTP1_INTERIM)
		return fail(c, HTTP1_FAULT_INTERIM);
	return c->ev->interim ? answer(c->ev->interim(c->owner, &c->m)) : 0;
}

static int raise_head(struct http1 *c)
{
	bool end = c->body == RX_START;
	int r = 0;

	if (c->side == CODEC_CLIENT && c->m.status < 200 && c->m.status != 101)
		return raise_interim(c);
	if (c->side == CODEC_SERVER) {
		c->pending = true;
		c->m.id = ++c->id;
	} else {
		c->m.id = c->id;
	}
	c->rx = c->body;
	if (c->body == RX_CHUNKED)
		c->chunk = (struct chunk){ 0 };
	if (c->body == RX_RAW)
		http1_go_raw(c);
	if (end)
		rx_finish(c);
	if (c->ev->head)
		r = c->ev->head(c->owner, &c->m, end);
	return end && r >= 0 ? 1 : answer(r);
}

/* ---- steps: use some bytes, 0 = go on, 1 = stop, negative = give up ------------------------- */

static void begin_head(struct http1 *c)
{
	llhttp_reset(&c->parser);
	/* Old upstreams end lines with LF, or fold them; written anew that does no harm. */
	c->gate = (struct gate){ .lenient = c->side == CODEC_CLIENT };
	l7_msg_init(&c->m, c->side == CODEC_SERVER ? L7_REQUEST : L7_RESPONSE, c->arena);
	part_drop(c);
	c->rx = RX_HEAD;
	c->first_line = true;
	c->head_done = c->in_trailers = c->rx_done = false;
	c->head_bytes = c->lines = 0;
	c->message_bytes = c->step_used = 0;
	c->empty_lines = 0;
	if (c->side == CODEC_SERVER)
		c->interims = 0;
}

/* An empty line before a request is tolerated, as RFC 9112 2.2 asks for. */
static int step_empty(struct http1 *c, char ch)
{
	if (c->empty_cr != (ch == '\n') || (!c->empty_cr && ch != '\r'))
		return fail(c, HTTP1_FAULT_CODEC);
	c->empty_cr = !c->empty_cr;
	if (!c->empty_cr && ++c->empty_lines > HTTP1_EMPTY_LINES)
		return fail(c, HTTP1_FAULT_CODEC);
	return 0;
}

static int step_start(struct http1 *c, const char *p, size_t *ret_used)
{
	if (c->side == CODEC_CLIENT && (!c->pending || c->rx_done))
		return fail(c, HTTP1_FAULT_UNASKED);
	/* Serial: the next request waits for the answer; behind a last one nothing is read. */
	if (c->side == CODEC_SERVER && (c->pending || c->closing || c->over))
		return 1;
	if (c->side == CODEC_SERVER && (c->empty_cr || *p == '\r' || *p == '\n')) {
		*ret_used = 1;
		return step_empty(c, *p);
	}
	/* No status line begins so: waiting for its end would be in vain. */
	if (c->side == CODEC_CLIENT && *p > ' ' && !strchr("HhI", *p))
		return fail(c, HTTP1_FAULT_CODEC);
	begin_head(c);
	return 0;
}

static int step_head(struct http1 *c, const char *p, size_t n, size_t *ret_used)
{
	int r = feed_lines(c, p, n, ret_used);

	if (r <= 0)
		return r;
	if (!c->head_done)
		return fail(c, HTTP1_FAULT_CODEC);
	return raise_head(c);
}

static int step_length(struct http1 *c, const char *p, size_t n, size_t *ret_used)
{
	int r;

	*ret_used = n = n < c->left ? n : (size_t)c->left;
	c->left -= n;
	r = raise_body(c, p, n);
	return c->left || r < 0 ? r : raise_end(c, NULL);
}

static int begin_trailers(struct http1 *c)
{
	c->rx = RX_TRAILERS;
	c->gate = (struct gate){ .ends_at_empty = true, .lenient = c->side == CODEC_CLIENT };
	c->in_trailers = true;
	part_drop(c);
	l7_props_init(&c->trailers, c->arena);
	return execute(c, "0\r\n", 3);
}

static int step_chunked(struct http1 *c, const char *p, size_t n, size_t *ret_used)
{
	struct chunk *ch = &c->chunk;
	int r;

	switch (ch->state) {
	case CHUNK_DATA:
		*ret_used = n = n < ch->left ? n : (size_t)ch->left;
		ch->left -= n;
		if (!ch->left)
			ch->state = CHUNK_DATA_CR;
		return raise_body(c, p, n);
	case CHUNK_DATA_CR:
	case CHUNK_DATA_LF:
		if (*p != (ch->state == CHUNK_DATA_CR ? '\r' : '\n'))
			return fail(c, HTTP1_FAULT_CODEC);
		*ret_used = 1;
		if (ch->state == CHUNK_DATA_CR)
			ch->state = CHUNK_DATA_LF;
		else
			*ch = (struct chunk){ 0 };
		return 0;
	default:
		r = http1_chunk_line(ch, p, n, ret_used);
		if (r < 0)
			return fail(c, HTTP1_FAULT_CODEC);
		return r && !ch->left ? begin_trailers(c) : 0;
	}
}

/* Fields that frame or route a message have no business behind it. */
static void drop_forbidden(struct l7_props *p)
{
	static const enum l7_key keys[] = {
		L7_KEY_HOST, L7_KEY_CONTENT_LENGTH, L7_KEY_TRANSFER_ENCODING, L7_KEY_CONNECTION,
		L7_KEY_KEEP_ALIVE, L7_KEY_PROXY_CONNECTION, L7_KEY_UPGRADE, L7_KEY_TE,
		L7_KEY_TRAILER, L7_KEY_EXPECT, L7_KEY_CONTENT_TYPE,
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		l7_props_remove(p, keys[i]);
}

static int step_trailers(struct http1 *c, const char *p, size_t n, size_t *ret_used)
{
	int r = feed_lines(c, p, n, ret_used);

	if (r <= 0)
		return r;
	drop_forbidden(&c->trailers);
	return raise_end(c, c->opts.enable_trailers && c->trailers.n ? &c->trailers : NULL);
}

static int step(struct http1 *c, const char *p, size_t n, size_t *ret_used)
{
	switch (c->rx) {
	case RX_START:
		return step_start(c, p, ret_used);
	case RX_HEAD:
		return step_head(c, p, n, ret_used);
	case RX_LENGTH:
		return step_length(c, p, n, ret_used);
	case RX_CHUNKED:
		return step_chunked(c, p, n, ret_used);
	case RX_TRAILERS:
		return step_trailers(c, p, n, ret_used);
	case RX_UNTIL_CLOSE:
	case RX_RAW:
		*ret_used = n;
		return raise_body(c, p, n);
	case RX_HOLD:
		return 1;
	}
	return -EPROTO;
}

ssize_t http1_decode(void *conn, char *p, size_t n, struct codec_fault *ret_fault)
{
	struct http1 *c = conn;
	size_t used = 0;
	int r = 0;

	if (c->fault)
		return http1_fault(c, ret_fault);
	while (!r && used < n) {
		c->step_used = 0;
		r = step(c, p + used, n - used, &c->step_used);
		used += c->step_used;
		c->message_bytes += c->step_used;
	}
	c->step_used = 0;
	if (c->fault) {
		c->message_bytes += n - used; /* nothing behind it is read any more */
		return http1_fault(c, ret_fault);
	}
	return r < 0 ? r : (ssize_t)used;
}

int http1_eof(void *conn, struct codec_fault *ret_fault)
{
	struct http1 *c = conn;
	int r;

	if (c->fault)
		return http1_fault(c, ret_fault);
	c->closing = true;
	if (c->rx == RX_UNTIL_CLOSE || c->rx == RX_RAW) {
		r = raise_end(c, NULL);
		return r < 0 ? r : 0;
	}
	/* Nothing of a message was read, so nothing was cut: the caller knows what it waits for. */
	if (c->rx == RX_HOLD || c->rx == RX_START)
		return 0;
	c->fault = HTTP1_FAULT_CUT;
	return http1_fault(c, ret_fault);
}
