/* SPDX-License-Identifier: Apache-2.0 */
/* What the router changes on the way: header levels, host and path rewrites, redirects. */
#include "base/regex.h"
#include "l7/format.h"
#include "route/route.h"

/* ---- levels of header changes ---------------------------------------------------------------- */

#define LEVELS 4

/* The levels in the order in which they are applied; a later one can undo an earlier one. */
static uint32_t levels(const struct route_decision *d,
		       const struct mesh_mutations *v[static LEVELS])
{
	const struct mesh_mutations *up[] = {
		d->route ? &d->route->mutations : NULL,
		d->vhost ? &d->vhost->mutations : NULL,
		d->table ? &d->table->mutations : NULL,
	};
	uint32_t n = 0;

	if (d->weighted)
		v[n++] = &d->weighted->mutations;
	for (size_t i = 0; i < ARRAY_LEN(up); i++) {
		bool reverse = d->table && d->table->most_specific_wins;
		const struct mesh_mutations *one = up[reverse ? ARRAY_LEN(up) - 1 - i : i];

		if (one)
			v[n++] = one;
	}
	return n;
}

void route_response_finalize(const struct route_decision *d, struct l7_msg *m,
			     const struct l7_info *in, struct arena *a)
{
	const struct mesh_mutations *v[LEVELS];
	uint32_t n = levels(d, v);

	for (uint32_t i = 0; i < n; i++)
		route_headers_apply(&v[i]->response, m, in, a);
}

/* ---- host ------------------------------------------------------------------------------------ */

/* In a host what is absent is "-", in a path nothing. */
static struct slice evaluate(const struct l7_format *f, const struct l7_info *in, bool omit_empty,
			     struct arena *a)
{
	struct buf b = { 0 };
	struct slice s;

	l7_format_text(f, in, omit_empty, &b);
	s = arena_slice(a, buf_slice(&b));
	buf_done(&b);
	return s;
}

static struct slice substitute(const struct regex *re, struct slice text, struct slice subst,
			       struct arena *a)
{
	struct buf b = { 0 };
	struct slice s = SLICE_NONE;

	if (regex_substitute(re, text, subst, &b) == 0)
		s = arena_slice(a, buf_slice(&b));
	buf_done(&b);
	return s;
}

/* Appends the host that the client asked for, unless it stands there already as the last. */
static void forwarded_host_append(struct l7_msg *m, struct arena *a)
{
	struct slice old = l7_props_value(&m->props, L7_KEY_X_FORWARDED_HOST);
	const char *comma = old.len ? memrchr(old.ptr, ',', old.len) : NULL;
	struct slice last = comma ? slice_skip(old, (size_t)(comma + 1 - old.ptr)) : old;

	if (!m->host.len || (old.len && slice_is_equal(last, m->host)))
		return;
	l7_props_set(&m->props, L7_KEY_X_FORWARDED_HOST,
		     old.len ? arena_join(a, (struct slice[]){ old, SLICE(","), m->host }, 3) :
			       m->host);
}

static void host_set(const struct mesh_route *r, struct l7_msg *m, struct slice host,
		     bool keep_original, struct arena *a)
{
	if (!host.len)
		return;
	if (r->append_x_forwarded_host)
		forwarded_host_append(m, a);
	if (keep_original)
		l7_props_set(&m->props, L7_KEY_X_ENVOY_ORIGINAL_HOST, m->host);
	m->host = host;
}

static struct slice host_new(const struct mesh_route *r, const struct l7_msg *m,
			     const struct l7_info *in, struct arena *a)
{
	const struct l7_prop *p;

	switch (r->host_rewrite) {
	case MESH_HOST_LITERAL:
		return r->host_literal;
	case MESH_HOST_HEADER:
		p = l7_props_find(&m->props, r->host_literal);
		return p ? p->value : SLICE_NONE;
	case MESH_HOST_PATH_REGEX:
		return substitute(r->host_regex, route_path_only(m->path, NULL), r->host_literal,
				  a);
	case MESH_HOST_FORMAT:
		return evaluate(r->host_format, in, false, a);
	case MESH_HOST_KEEP:
	case MESH_HOST_AUTO:
		break;
	}
	return SLICE_NONE;
}

void route_host_auto(const struct route_decision *d, struct l7_msg *m, struct slice hostname,
		     bool keep_original, struct arena *a)
{
	if (d->route && d->route->host_rewrite == MESH_HOST_AUTO)
		host_set(d->route, m, arena_slice(a, hostname), keep_original, a);
}

/* ---- path ------------------------------------------------------------------------------------ */

/* How much of the path the route's match stands for: what a prefix rewrite replaces. */
static size_t matched_len(const struct mesh_route *r, struct slice path_only)
{
	switch (r->path_kind) {
	case MESH_PATH_PREFIX:
	case MESH_PATH_EXACT:
	case MESH_PATH_SEPARATED:
		return r->path.len < path_only.len ? r->path.len : path_only.len;
	case MESH_PATH_REGEX:
	case MESH_PATH_CONNECT:
		return path_only.len;
	case MESH_PATH_ANY:
		break;
	}
	return 0;
}

static struct slice path_replace(struct slice path, size_t n, struct slice with, struct arena *a)
{
	return arena_join(a, (struct slice[]){ with, slice_skip(path, n) }, 2);
}

/* A path that would become empty stays as it is. */
static struct slice path_regex_replace(struct slice path, const struct regex *re,
				       struct slice subst, struct arena *a)
{
	struct slice only = route_path_only(path, NULL);
	struct slice new = substitute(re, only, subst, a);

	return new.len ? path_replace(path, only.len, new, a) : path;
}

/* The query stays. */
static struct slice path_format(struct slice path, const struct l7_format *f,
				const struct l7_info *in, struct arena *a)
{
	struct slice new = evaluate(f, in, true, a);

	return new.len ? path_replace(path, route_path_only(path, NULL).len, new, a) : path;
}

static void path_rewrite(const struct mesh_route *r, struct l7_msg *m, const struct l7_info *in,
			 bool keep_original, struct arena *a)
{
	struct slice old = m->path;
	struct slice only = route_path_only(old, NULL);

	switch (r->rewrite) {
	case MESH_PATH_KEEP:
		return;
	case MESH_PATH_REWRITE_PREFIX:
		/* With ignore_path_parameters another path may have matched. */
		if (r->path_kind != MESH_PATH_REGEX && r->path_kind != MESH_PATH_CONNECT &&
		    !slice_is_equal_nocase(slice_first(old, r->path.len), r->path))
			return;
		m->path = path_replace(old, matched_len(r, only), r->prefix_rewrite, a);
		break;
	case MESH_PATH_REWRITE_REGEX:
		m->path = path_regex_replace(old, r->rewrite_regex, r->prefix_rewrite, a);
		break;
	case MESH_PATH_REWRITE_FORMAT:
		m->path = path_format(old, r->rewrite_format, in, a);
		break;
	}
	if (keep_original && m->path.ptr != old.ptr)
		l7_props_set(&m->props, L7_KEY_X_ENVOY_ORIGINAL_PATH, old);
}

void route_request_finalize(const struct route_decision *d, struct l7_msg *m,
			    const struct l7_info *in, struct arena *a,
			    bool insert_envoy_original_path)
{
	const struct mesh_mutations *v[LEVELS];
	uint32_t n = levels(d, v);

	for (uint32_t i = 0; i < n; i++) {
		route_headers_apply(&v[i]->request, m, in, a);
		/* The entry's own host leaves no trace in x-envoy-original-host. */
		if (d->weighted && i == 0 && d->weighted->host_rewrite.len)
			m->host = d->weighted->host_rewrite;
	}
	if (!d->route)
		return;
	host_set(d->route, m, host_new(d->route, m, in, a), insert_envoy_original_path, a);
	path_rewrite(d->route, m, in, insert_envoy_original_path, a);
}

/* ---- redirects ------------------------------------------------------------------------------- */

static struct slice redirect_path(const struct mesh_redirect *r, const struct mesh_route *route,
				  const struct l7_msg *m, const struct l7_info *in, struct arena *a)
{
	struct slice path = m->path;
	ptrdiff_t query = slice_find(path, '?');
	bool own_query = r->path_kind == MESH_REDIRECT_PATH_REPLACE &&
			 slice_find(r->path, '?') >= 0;

	switch (r->path_kind) {
	case MESH_REDIRECT_PATH_KEEP:
		break;
	case MESH_REDIRECT_PATH_REPLACE:
		path = own_query || query < 0 ? r->path :
						path_replace(path, (size_t)query, r->path, a);
		break;
	case MESH_REDIRECT_PATH_PREFIX:
		path = path_replace(path, matched_len(route, route_path_only(path, NULL)), r->path,
				    a);
		break;
	case MESH_REDIRECT_PATH_REGEX:
		path = path_regex_replace(path, r->regex, r->path, a);
		break;
	case MESH_REDIRECT_PATH_FORMAT:
		path = path_format(path, r->format, in, a);
		break;
	}
	query = slice_find(path, '?');
	return r->strip_query && !own_query && query >= 0 ? slice_first(path, (size_t)query) : path;
}

/* The request's host; without its port when a new one is given, or when it is the default of a
 * scheme that the redirect leaves. */
static struct slice redirect_host(const struct l7_msg *m, struct slice scheme, bool new_port)
{
	struct slice proto = l7_props_value(&m->props, L7_KEY_X_FORWARDED_PROTO);
	struct slice host = m->host, port;
	const char *colon = host.len ? memrchr(host.ptr, ':', host.len) : NULL;
	bool cut = new_port;

	if (!colon || (host.ptr[0] == '[' && (colon == host.ptr || colon[-1] != ']')))
		return host;
	port = slice_skip(host, (size_t)(colon - host.ptr));
	if (!slice_is_equal(scheme, proto))
		cut |= (slice_is_equal(proto, SLICE("https")) &&
			slice_is_equal(port, SLICE(":443"))) ||
		       (slice_is_equal(proto, SLICE("http")) && slice_is_equal(port, SLICE(":80")));
	return cut ? slice_first(host, host.len - port.len) : host;
}

struct slice route_redirect_location(const struct mesh_redirect *r, const struct mesh_route *route,
				     const struct l7_msg *m, struct slice scheme,
				     const struct l7_info *in, struct arena *a)
{
	struct slice to = r->scheme.len ? r->scheme : r->https ? SLICE("https") : scheme;
	struct slice host = r->host.len ? r->host : redirect_host(m, to, r->port > 0);
	struct slice path = redirect_path(r, route, m, in, a);
	char port[16] = "";

	if (r->port)
		snprintf(port, sizeof(port), ":%u", r->port);
	return arena_join(a,
			  (struct slice[]){ to, SLICE("://"), host, slice_str(port),
					    path.len && path.ptr[0] != '/' ? SLICE("/") : SLICE(""),
					    path },
			  6);
}

struct slice route_tls_location(const struct l7_msg *m, struct arena *a)
{
	return arena_join(a, (struct slice[]){ SLICE("https://"), m->host, m->path }, 3);
}
