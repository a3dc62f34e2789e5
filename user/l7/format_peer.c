/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators about the upstream that a stream went to, and about how connections were got and
 * ended. What is said of "attempted" ones holds for a connection that was established; without
 * retries that is at most one.
 */
#include <errno.h>

#include "base/clock.h"
#include "l7/format_impl.h"

/* "name:80" -> "name"; an IPv6 address without brackets stays whole. */
static struct slice without_port(struct slice s)
{
	size_t i = s.len;

	while (i > 0 && s.ptr[i - 1] >= '0' && s.ptr[i - 1] <= '9')
		i--;
	if (i < 2 || i == s.len || s.ptr[i - 1] != ':')
		return s;
	if (slice_find(s, ':') != (ptrdiff_t)i - 1 && s.ptr[i - 2] != ']')
		return s;
	return slice_first(s, i - 1);
}

static void append_address(const struct addr *a, bool no_port, struct buf *out)
{
	char text[ADDR_TEXT_MAX];

	buf_add(out, text, no_port ? addr_format_ip(a, text) : addr_format(a, text));
}

/* option: PEER_ALL, PEER_NO_PORT, or with PEER_ATTEMPTED. */
static bool is_there(const struct part *p, const struct l7_info *in)
{
	return p->option & PEER_ATTEMPTED ? in->has_upstream_local : in->has_upstream;
}

enum value_kind append_host_name(const struct part *p, const struct l7_info *in, struct buf *out)
{
	bool no_port = p->option & PEER_NO_PORT;

	if (!is_there(p, in))
		return VALUE_ABSENT;
	if (!in->upstream_hostname.len)
		append_address(&in->upstream_remote, no_port, out);
	else
		buf_add_slice(out, no_port ? without_port(in->upstream_hostname) :
					     in->upstream_hostname);
	return VALUE_TEXT;
}

enum value_kind append_host(const struct part *p, const struct l7_info *in, struct buf *out)
{
	if (!is_there(p, in))
		return VALUE_ABSENT;
	append_address(&in->upstream_remote, p->option & PEER_NO_PORT, out);
	return VALUE_TEXT;
}

enum value_kind append_upstream_protocol(const struct part *p, const struct l7_info *in,
					 struct buf *out)
{
	(void)p;
	if (!in->has_upstream_local || !in->upstream_protocol.len)
		return VALUE_ABSENT;
	buf_add_slice(out, in->upstream_protocol);
	return VALUE_TEXT;
}

enum value_kind append_connections_attempted(const struct part *p, const struct l7_info *in,
					     struct buf *out)
{
	(void)p;
	if (!in->upstream_connection_id)
		return VALUE_ABSENT;
	buf_add_u64(out, in->upstream_connection_id);
	return VALUE_TEXT;
}

enum value_kind append_pool_duration(const struct part *p, const struct l7_info *in,
				     struct buf *out)
{
	(void)p;
	if (!in->pool_asked_ns || in->pool_answered_ns < in->pool_asked_ns)
		return VALUE_ABSENT;
	buf_add_u64(out, (in->pool_answered_ns - in->pool_asked_ns) / NSEC_PER_MSEC);
	return VALUE_NUMBER;
}

/* option: 1 = of the upstream connection. */
enum value_kind append_close_type(const struct part *p, const struct l7_info *in, struct buf *out)
{
	bool reset = p->option ? in->upstream_was_reset : in->downstream_was_reset;

	if (p->option && !in->has_upstream)
		return VALUE_ABSENT;
	buf_add_slice(out, reset ? SLICE("RemoteReset") : SLICE("Normal"));
	return VALUE_TEXT;
}

/* ---- REQUESTED_SERVER_NAME(X:Y) -------------------------------------------------------------- */

enum { SNI_ONLY, SNI_FIRST, HOST_FIRST };
enum { NAME_ORIG_OR_HOST, NAME_HOST, NAME_ORIG };

int prepare_server_name(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	static const char *const order[] = { "SNI_ONLY", "SNI_FIRST", "HOST_FIRST" };
	static const char *const host[] = { "ORIG_OR_HOST", "HOST", "ORIG" };
	struct slice rest = args, first = slice_split(&rest, ':');
	bool known = !first.len, known_host = !rest.len;

	(void)a;
	p->option = SNI_ONLY;
	p->option2 = NAME_ORIG_OR_HOST;
	for (uint32_t i = 0; i < ARRAY_LEN(order); i++) {
		if (slice_is_equal(first, slice_str(order[i]))) {
			p->option = i;
			known = true;
		}
		if (slice_is_equal(rest, slice_str(host[i]))) {
			p->option2 = i;
			known_host = true;
		}
	}
	if (known && known_host)
		return 0;
	return err_set(e, -EINVAL, "'%.*s' is not SNI_ONLY, SNI_FIRST or HOST_FIRST with ORIG, "
		       "HOST or ORIG_OR_HOST", SLICE_ARG(args));
}

static struct slice host_of(const struct part *p, const struct l7_info *in)
{
	struct slice host = SLICE_NONE;
	const struct l7_prop *orig;

	if (!in->request)
		return host;
	orig = l7_props_find(&in->request->props, SLICE("x-envoy-original-host"));
	if (p->option2 != NAME_HOST && orig)
		host = orig->value;
	if (p->option2 != NAME_ORIG && !host.len)
		host = in->request->host;
	return without_port(host);
}

enum value_kind append_server_name(const struct part *p, const struct l7_info *in, struct buf *out)
{
	struct slice sni = in->requested_server_name, host = SLICE_NONE, s;

	if (p->option != SNI_ONLY)
		host = host_of(p, in);
	s = p->option == HOST_FIRST ? (host.len ? host : sni) : (sni.len ? sni : host);
	buf_add_slice(out, s);
	return s.len ? VALUE_TEXT : VALUE_ABSENT;
}
