/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Absolute URLs in headers, read as Envoy 1.40 reads them, and what of them may be a Referer: RFC
 * 9110 10.1.3 wants an absolute URI or a relative reference without fragment and user; Envoy
 * removes what is neither, and so do we.
 */
#include "base/addr.h"
#include "proxy/http.h"

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes "scheme://" from the front. false: it does not begin so. */
static bool take_scheme(struct slice *s, struct slice *ret_scheme)
{
	size_t n = 0;

	if (!s->len || !is_alpha(s->ptr[0]))
		return false;
	while (n < s->len && (is_alpha(s->ptr[n]) || is_digit(s->ptr[n]) || s->ptr[n] == '+' ||
			      s->ptr[n] == '-' || s->ptr[n] == '.'))
		n++;
	*ret_scheme = slice_first(*s, n);
	*s = slice_skip(*s, n);
	if (!slice_has_prefix(*s, SLICE("://")))
		return false;
	*s = slice_skip(*s, 3);
	return true;
}

/* Takes "user@" from the front, when it is there. */
static struct slice take_user(struct slice *s)
{
	static const char others[] = "!$%&'()*+,-.:;=_~";
	struct slice user;
	size_t n = 0;

	while (n < s->len && (is_alpha(s->ptr[n]) || is_digit(s->ptr[n]) ||
			      memchr(others, s->ptr[n], sizeof(others) - 1)))
		n++;
	if (n == s->len || s->ptr[n] != '@')
		return SLICE_NONE;
	user = slice_first(*s, n);
	*s = slice_skip(*s, n + 1);
	return user;
}

/* Bytes of the host at the front: a name, or an address in brackets; 0: none. */
static size_t host_len(struct slice s)
{
	struct addr a;
	ptrdiff_t end;
	size_t n = 0;

	if (s.len && s.ptr[0] == '[') {
		end = slice_find(s, ']');
		if (end < 0 || addr_parse_ip(slice_of(s.ptr + 1, (size_t)end - 1), &a) < 0)
			return 0;
		return (size_t)end + 1;
	}
	while (n < s.len && (is_alpha(s.ptr[n]) || is_digit(s.ptr[n]) || s.ptr[n] == '-' ||
			     s.ptr[n] == '.'))
		n++;
	return n;
}

/* Takes ":port" from the front. false: it is no port. */
static bool take_port(struct slice *s)
{
	uint64_t port;
	size_t n = 1;

	if (!s->len || s->ptr[0] != ':')
		return true;
	while (n < s->len && is_digit(s->ptr[n]))
		n++;
	if (slice_to_u64(slice_of(s->ptr + 1, n - 1), &port) < 0 || port > 65535)
		return false;
	*s = slice_skip(*s, n);
	return true;
}

bool http_url_read(struct slice s, struct http_url *ret_u)
{
	const char *authority;
	ptrdiff_t end;
	size_t n;

	if (!take_scheme(&s, &ret_u->scheme))
		return false;
	ret_u->user = take_user(&s);
	authority = s.ptr;
	n = host_len(s);
	s = slice_skip(s, n);
	if (!n || !take_port(&s) || (s.len && s.ptr[0] != '/' && s.ptr[0] != '?'))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
			return false;
	end = slice_find(s, '#');
	ret_u->host = slice_of(authority, (size_t)(s.ptr - authority));
	ret_u->path = end < 0 ? s : slice_first(s, (size_t)end);
	ret_u->has_fragment = end >= 0;
	return true;
}

/* The first segment of a relative reference has no ':'. */
static bool is_relative(struct slice s)
{
	static const char others[] = "!$%&'()*+,-./;=?@_~";
	bool slash = false;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		slash |= c == '/';
		if (c == ':' ?
			    !slash :
			    !is_alpha(c) && !is_digit(c) && !memchr(others, c, sizeof(others) - 1))
			return false;
	}
	return true;
}

bool http_referer_is_good(struct slice s)
{
	struct http_url u;

	if (http_url_read(s, &u))
		return !u.user.len && !u.has_fragment;
	return is_relative(s);
}
