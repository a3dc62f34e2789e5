/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a Referer one that may go on? RFC 9110 10.1.3 wants an absolute URI or a relative reference
 * without fragment and user; Envoy removes what is neither, and so do we. Only http_request.c asks.
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

/* Bytes of "scheme://"; 0: it does not begin so. */
static size_t scheme_len(struct slice s)
{
	size_t n = 0;

	if (!s.len || !is_alpha(s.ptr[0]))
		return 0;
	while (n < s.len && (is_alpha(s.ptr[n]) || is_digit(s.ptr[n]) || s.ptr[n] == '+' ||
			     s.ptr[n] == '-' || s.ptr[n] == '.'))
		n++;
	return slice_has_prefix(slice_skip(s, n), SLICE("://")) ? n + 3 : 0;
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

/* What follows the scheme: a host, maybe a port, then a path or a query of printable bytes. */
static bool is_absolute(struct slice s)
{
	size_t n;

	if (s.len && s.ptr[0] == '@') /* an empty user is none */
		s = slice_skip(s, 1);
	n = host_len(s);
	s = slice_skip(s, n);
	if (!n || !take_port(&s))
		return false;
	if (s.len && s.ptr[0] != '/' && s.ptr[0] != '?')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '#')
			return false;
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
	size_t n = scheme_len(s);

	return (n && is_absolute(slice_skip(s, n))) || is_relative(s);
}
