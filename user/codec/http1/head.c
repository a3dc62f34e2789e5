/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a head means: the first line's exact form, host and path, the framing of the body (RFC 9112
 * §6), keep-alive, upgrades. Whatever could be read in two ways is a fault.
 */
#include "codec/http1/http1_impl.h"

#define LENGTH_MAX 18 /* digits of a content-length */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next run of bytes that are no blanks; empty at the end. */
static struct slice next_word(struct slice *rest)
{
	struct slice s = slice_trim(*rest);
	size_t n = 0;

	while (n < s.len && !is_blank(s.ptr[n]))
		n++;
	*rest = slice_skip(s, n);
	return slice_first(s, n);
}

static bool read_version(struct http1 *c, struct slice v)
{
	c->http10 = slice_is_equal(v, SLICE("HTTP/1.0"));
	return c->http10 || slice_is_equal(v, SLICE("HTTP/1.1"));
}

/*
 * RFC 9112 3 lets several blanks stand between the parts: then llhttp gets them with one. Without
 * a version it is an HTTP/0.9 request, which goes as HTTP/1.0 where that is accepted.
 */
static enum http1_fault check_request_line(struct http1 *c, struct slice line,
					   struct slice *ret_line)
{
	struct slice rest = line, method, target, version;
	bool exact;

	method = next_word(&rest);
	target = next_word(&rest);
	version = next_word(&rest);
	if (!target.len || rest.len || slice_find(method, '-') >= 0)
		return HTTP1_FAULT_CODEC;
	exact = version.len && method.len + target.len + version.len + 2 == line.len &&
		slice_find(line, '\t') < 0;
	if (!version.len && c->opts.accept_http10 && slice_is_equal(method, SLICE("GET")))
		version = SLICE("HTTP/1.0");
	if (!read_version(c, version))
		return HTTP1_FAULT_CODEC;
	c->is_query = slice_is_equal(method, SLICE("QUERY"));
	if (c->is_query)
		method = SLICE("POST");
	if (!exact || c->is_query)
		*ret_line = arena_printf(c->arena, "%.*s %.*s %.*s\r\n", SLICE_ARG(method),
					 SLICE_ARG(target), SLICE_ARG(version));
	return HTTP1_OK;
}

static enum http1_fault check_status_line(struct http1 *c, struct slice line)
{
	struct slice rest = slice_skip(line, 8);

	if (!read_version(c, slice_first(line, 8)) || rest.len < 4 || rest.ptr[0] != ' ' ||
	    rest.ptr[1] < '1' || rest.ptr[1] > '9' || (rest.len > 4 && rest.ptr[4] != ' '))
		return HTTP1_FAULT_CODEC;
	return HTTP1_OK;
}

enum http1_fault http1_check_first_line(struct http1 *c, struct slice line, struct slice *ret_line)
{
	return c->side == CODEC_SERVER ? check_request_line(c, line, ret_line) :
					 check_status_line(c, line);
}

/* ---- properties that the codec itself needs ------------------------------------------------- */

struct head {
	struct slice host, upgrade;
	int64_t length; /* -1: not given */
	bool has_host, has_upgrade, has_connection;
	bool chunked, bad_transfer; /* transfer-encoding is chunked, or something else */
	bool close, keep_alive, wants_upgrade;
};

static enum http1_fault read_length(struct head *h, struct slice v)
{
	uint64_t n;

	/* Two of them are refused even when they are equal, as are lists. */
	if (h->length >= 0 || v.len > LENGTH_MAX || slice_to_u64(v, &n) < 0)
		return HTTP1_FAULT_CODEC;
	h->length = (int64_t)n;
	return HTTP1_OK;
}

static void read_connection(struct head *h, struct slice v)
{
	while (v.ptr) {
		struct slice token = slice_trim(slice_split(&v, ','));

		if (slice_is_equal_nocase(token, SLICE("close")))
			h->close = true;
		else if (slice_is_equal_nocase(token, SLICE("keep-alive")))
			h->keep_alive = true;
		else if (slice_is_equal_nocase(token, SLICE("upgrade")))
			h->wants_upgrade = true;
	}
}

static enum http1_fault read_prop(struct http1 *c, struct head *h, struct l7_prop *p)
{
	switch ((int)p->key) {
	case L7_KEY_HOST:
		if (c->side != CODEC_SERVER)
			break;
		if (h->has_host)
			return HTTP1_FAULT_CODEC;
		h->has_host = true;
		h->host = p->value;
		c->m.wire = (uint32_t)p->caps; /* see put_host */
		p->dead = true;
		break;
	case L7_KEY_CONTENT_LENGTH:
		return read_length(h, p->value);
	case L7_KEY_TRANSFER_ENCODING:
		if (h->chunked || !slice_is_equal_nocase(p->value, SLICE("chunked")))
			h->bad_transfer = true;
		h->chunked = true;
		break;
	case L7_KEY_CONNECTION:
		h->has_connection = true;
		read_connection(h, p->value);
		break;
	case L7_KEY_PROXY_CONNECTION:
		if (slice_is_equal_nocase(p->value, SLICE("close")))
			h->close = true;
		break;
	case L7_KEY_UPGRADE:
		h->has_upgrade = true;
		h->upgrade = p->value;
		break;
	case L7_KEY_EXPECT:
		/* HTTP/1.0 has no interim answers. */
		if (!c->http10 && slice_is_equal_nocase(p->value, SLICE("100-continue")))
			c->m.expect_continue = true;
		break;
	}
	return HTTP1_OK;
}

static enum http1_fault read_props(struct http1 *c, struct head *h)
{
	*h = (struct head){ .length = -1 };
	l7_props_each(&c->m.props, i) {
		enum http1_fault f;

		if (c->m.props.v[i].key == L7_KEY_NONE)
			continue;
		f = read_prop(c, h, &c->m.props.v[i]);
		if (f)
			return f;
	}
	c->keep = !h->close && (!c->http10 || h->keep_alive);
	c->m.close = !c->keep;
	c->m.protocol = c->http10 ? SLICE("HTTP/1.0") : SLICE("HTTP/1.1");
	return HTTP1_OK;
}

/* ---- target --------------------------------------------------------------------------------- */

static bool is_host(struct slice s)
{
	static const char marks[] = "-._~%!$&'()*+,;=:@[]";

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
		    (c == '\0' || !strchr(marks, c)))
			return false;
	}
	return true;
}

/* 1 = ends in a port, 0 = has none, -1 = a bad one. An IPv6 address stands in brackets. */
static int has_port(struct slice host)
{
	const char *colon = memrchr(host.ptr, ':', host.len);
	struct slice digits;
	uint64_t port;

	if (!colon || host.ptr[host.len - 1] == ']')
		return 0;
	digits = slice_skip(host, (size_t)(colon - host.ptr) + 1);
	if (slice_to_u64(digits, &port) < 0 || port > 65535)
		return -1;
	return colon == host.ptr ? -1 : 1;
}

/* "host:port" with a port, which is all that CONNECT may name. */
static enum http1_fault target_connect(struct http1 *c, struct slice url)
{
	if (!is_host(url) || has_port(url) != 1)
		return HTTP1_FAULT_URL;
	c->m.host = url;
	c->m.path = SLICE_NONE;
	return HTTP1_OK;
}

/* The host of an absolute target, stricter than Host: a name, IPv4, or IPv6 in brackets. */
static bool is_url_host(struct slice host)
{
	bool v6 = host.ptr[0] == '[';
	const char *end = v6 ? memchr(host.ptr, ']', host.len) : NULL;
	size_t n = 0;

	if (v6 && !end)
		return false;
	for (n = v6; n < host.len && host.ptr[n] != (v6 ? ']' : ':'); n++) {
		char ch = host.ptr[n];
		bool hex = (ch | 0x20) >= 'a' && (ch | 0x20) <= (v6 ? 'f' : 'z');

		if (!hex && !(ch >= '0' && ch <= '9') && ch != '.' && ch != (v6 ? ':' : '-'))
			return false;
	}
	n += v6;
	return n > 0 && (n == host.len || memrchr(host.ptr, ':', host.len) == host.ptr + n);
}

/* "user:password" in front of a host. */
static bool is_user(struct slice s)
{
	static const char marks[] = "-_.!~*'()%;:&=+$,";

	for (size_t i = 0; i < s.len; i++)
		if (!(s.ptr[i] >= '0' && s.ptr[i] <= '9') &&
		    !((s.ptr[i] | 0x20) >= 'a' && (s.ptr[i] | 0x20) <= 'z') &&
		    (!s.ptr[i] || !strchr(marks, s.ptr[i])))
			return false;
	return true;
}

static enum http1_fault target_absolute(struct http1 *c, struct slice url)
{
	static const char sep[] = "://";
	const char *at = memmem(url.ptr, url.len, sep, 3);
	struct slice scheme, host;
	const char *user;
	size_t end = 0;

	if (!at)
		return HTTP1_FAULT_URL;
	scheme = slice_first(url, (size_t)(at - url.ptr));
	if (slice_is_equal_nocase(scheme, SLICE("http")))
		c->m.scheme = SLICE("http");
	else if (slice_is_equal_nocase(scheme, SLICE("https")))
		c->m.scheme = SLICE("https");
	else
		return HTTP1_FAULT_SCHEME;
	host = slice_skip(url, scheme.len + 3);
	while (end < host.len && host.ptr[end] != '/' && host.ptr[end] != '?')
		end++;
	c->m.path = end < host.len ? slice_skip(host, end) : SLICE("/");
	host.len = end;
	user = memrchr(host.ptr, '@', host.len);
	if (user && !is_user(slice_first(host, (size_t)(user - host.ptr))))
		return HTTP1_FAULT_URL;
	if (user)
		host = slice_skip(host, (size_t)(user - host.ptr) + 1);
	if (!host.len || !is_url_host(host) || has_port(host) < 0)
		return HTTP1_FAULT_URL;
	c->m.host = host;
	return HTTP1_OK;
}

static enum http1_fault read_target(struct http1 *c, const struct head *h)
{
	struct slice url = c->m.path;

	if (!url.len)
		return HTTP1_FAULT_URL;
	if (c->is_connect)
		return target_connect(c, url);
	if (slice_find(url, '#') >= 0) {
		c->m.host = h->host; /* for the log */
		return c->opts.pass_refused ? HTTP1_OK : HTTP1_FAULT_FRAGMENT;
	}
	/* What is no path is refused behind the codec. */
	if (url.ptr[0] != '/' && c->opts.allow_absolute_url &&
	    !(slice_is_equal(url, SLICE("*")) && slice_is_equal(c->m.method, SLICE("OPTIONS"))))
		return target_absolute(c, url);
	if (h->has_host)
		c->m.host = h->host;
	else if (c->http10)
		c->m.host = c->opts.default_host;
	if (!h->has_host && !c->m.host.len)
		return c->opts.pass_refused ? HTTP1_OK : HTTP1_FAULT_NO_HOST;
	return is_host(c->m.host) ? HTTP1_OK : HTTP1_FAULT_HOST;
}

/* ---- framing -------------------------------------------------------------------------------- */

static enum http1_fault frame_request(struct http1 *c, struct head *h)
{
	if (c->is_connect && h->chunked)
		return HTTP1_FAULT_TRANSFER;
	if (c->is_connect && h->length > 0)
		return HTTP1_FAULT_BODY;
	if (h->chunked && h->length >= 0) {
		if (!c->opts.allow_chunked_length)
			return HTTP1_FAULT_LENGTHS;
		l7_props_remove(&c->m.props, L7_KEY_CONTENT_LENGTH);
		c->keep = false;
	}
	if (h->bad_transfer)
		return HTTP1_FAULT_TRANSFER;
	/* RFC 9112 6.1: a chunked HTTP/1.0 message is suspect; nothing may follow it. */
	if (h->chunked && c->http10)
		c->keep = false;
	c->m.close = !c->keep;
	c->m.body_len = h->chunked ? -1 : h->length > 0 ? h->length : 0;
	c->body = h->chunked ? RX_CHUNKED : h->length > 0 ? RX_LENGTH : RX_START;
	c->left = h->length > 0 ? (uint64_t)h->length : 0;
	return HTTP1_OK;
}

/*
 * An upgrade request with a body is an ordinary request: RFC 9110 7.8 lets us ignore the wish.
 * Where it is not allowed it is refused all the same.
 */
static void read_upgrade(struct http1 *c, const struct head *h)
{
	bool wanted = h->wants_upgrade && h->has_upgrade && !c->http10;

	if (wanted && slice_is_equal_nocase(h->upgrade, SLICE("h2c"))) {
		wanted = false;
		l7_props_remove(&c->m.props, L7_KEY_UPGRADE);
		l7_props_remove_name(&c->m.props, SLICE("http2-settings"));
	}
	if (unlikely(c->opts.ignores_upgrade) && h->has_upgrade &&
	    c->opts.ignores_upgrade(c->opts.ignores_arg, h->upgrade)) {
		wanted = false;
		l7_props_remove(&c->m.props, L7_KEY_UPGRADE);
	}
	c->is_upgrade = (wanted && c->body == RX_START) || c->is_connect;
	c->m.is_upgrade = c->is_upgrade;
	c->m.wants_upgrade = wanted || c->is_connect;
	if (c->is_upgrade)
		c->body = RX_HOLD;
}

/* May a client have this property taken out at this hop? Not who it is or what it asked for. */
static bool is_nominable(struct slice token)
{
	return token.ptr[0] != ':' && !slice_is_equal_nocase(token, SLICE("x-forwarded-for")) &&
	       !slice_is_equal_nocase(token, SLICE("x-forwarded-host")) &&
	       !slice_is_equal_nocase(token, SLICE("x-forwarded-proto"));
}

/* The properties that Connection names, as Envoy limits them. */
static enum http1_fault check_nominated(const struct http1 *c)
{
	unsigned int n = 0;
	bool te = false;

	l7_props_each(&c->m.props, i) {
		struct slice rest = c->m.props.v[i].value;

		if (c->m.props.v[i].key != L7_KEY_CONNECTION)
			continue;
		while (rest.ptr) {
			struct slice token = slice_trim(slice_split(&rest, ','));

			n += token.len > 0;
			te |= slice_is_equal_nocase(token, SLICE("te"));
			if (slice_is_equal_nocase(token, SLICE("host")))
				return HTTP1_FAULT_NO_HOST;
			if (n >= HTTP1_NOMINATED || (token.len && !is_nominable(token)))
				return HTTP1_FAULT_NOMINATED;
		}
	}
	if (te && l7_props_value(&c->m.props, L7_KEY_TE).len > HTTP1_TE)
		return HTTP1_FAULT_NOMINATED;
	return HTTP1_OK;
}

enum http1_fault http1_head_request(struct http1 *c)
{
	enum http1_fault f;
	struct head h;

	if (c->http10 && !c->opts.accept_http10)
		return HTTP1_FAULT_VERSION;
	c->peer10 = c->http10;
	if (c->is_query)
		c->m.method = SLICE("QUERY");
	c->is_head = slice_is_equal(c->m.method, SLICE("HEAD"));
	c->is_connect = slice_is_equal(c->m.method, SLICE("CONNECT"));
	f = read_props(c, &h);
	if (!f)
		f = frame_request(c, &h);
	if (!f)
		f = read_target(c, &h);
	if (!f && c->is_query && !l7_props_value(&c->m.props, L7_KEY_CONTENT_TYPE).len)
		f = HTTP1_FAULT_QUERY_TYPE;
	if (f)
		return f;
	if (!c->m.scheme.len)
		c->m.scheme = SLICE("http");
	read_upgrade(c, &h);
	return h.has_connection && !c->is_upgrade ? check_nominated(c) : HTTP1_OK;
}

static enum http1_fault frame_response(struct http1 *c, const struct head *h)
{
	uint32_t status = c->m.status;

	if ((h->chunked && (h->length >= 0 || c->http10)))
		return HTTP1_FAULT_LENGTHS;
	if (h->bad_transfer)
		return HTTP1_FAULT_TRANSFER;
	if (status == 101 || (c->is_connect && status / 100 == 2)) {
		if (!c->is_upgrade)
			return HTTP1_FAULT_UNASKED;
		c->m.is_upgrade = true;
		c->body = RX_RAW;
		return HTTP1_OK;
	}
	if (status < 200 || status == 204) {
		/* A length here desynchronizes whoever believes it. */
		if (h->length > 0 || h->chunked)
			return HTTP1_FAULT_BODY;
		c->m.body_len = 0;
		return HTTP1_OK;
	}
	c->m.body_len = h->length;
	if (c->is_head || status == 304)
		return HTTP1_OK;
	c->body = h->chunked ? RX_CHUNKED : h->length < 0 ? RX_UNTIL_CLOSE :
		  h->length ? RX_LENGTH : RX_START;
	c->left = h->length > 0 ? (uint64_t)h->length : 0;
	if (c->body == RX_UNTIL_CLOSE)
		c->keep = false;
	c->m.close = !c->keep;
	return HTTP1_OK;
}

enum http1_fault http1_head_response(struct http1 *c)
{
	enum http1_fault f;
	struct head h;

	if (c->m.status < 100)
		return HTTP1_FAULT_CODEC;
	c->m.is_ok = c->m.status < 500;
	c->body = RX_START;
	f = read_props(c, &h);
	return f ? f : frame_response(c, &h);
}
