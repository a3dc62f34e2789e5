/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redirects of upstreams that are followed here (internal_redirect_policy): is the answer one of
 * them, where does it lead, and may it? That the request goes there is the business of retry.c.
 */
#include "l7/join.h"
#include "proxy/http.h"
#include "proxy/retry.h"

/* Where a redirect was followed from and to; for the predicate previous_routes. */
struct moved {
	const struct mesh_route *from, *to;
	struct moved *next;
};

static const struct http_stats *stats_of(const struct hop *h)
{
	return &h->chain->http.stats;
}

static bool refuse(struct hop *h, stat_id id)
{
	stats_inc(h->st->w->stats, id);
	return false;
}

static bool is_allowed(const struct mesh_internal_redirect *p, struct slice route)
{
	for (uint32_t i = 0; i < p->n_allowed; i++)
		if (slice_is_equal(p->allowed[i], route))
			return true;
	return !p->has_allowed;
}

/* Was this way taken before? If not, it is now. */
static bool is_loop(struct stream *st, const struct mesh_route *from, const struct mesh_route *to)
{
	struct moved *m;

	for (m = st->moved; m; m = m->next)
		if (m->from == from && m->to == to)
			return true;
	m = arena_new(st->arena, struct moved);
	*m = (struct moved){ from, to, st->moved };
	st->moved = m;
	return false;
}

static bool predicates_hold(struct stream *st, struct hop *h, const struct mesh_route *from,
			    bool was_https, bool https)
{
	const struct mesh_internal_redirect *p = from->internal_redirect;
	const struct mesh_route *to = h->http.route;

	if (p->safe_scheme && https && !was_https)
		return false;
	return is_allowed(p, to->name) && !(p->no_loops && is_loop(st, from, to));
}

/* What the request was like, in case that it cannot go there. */
struct before {
	struct slice host, path, scheme;
	struct route_decision http;
	struct slice cluster_name;
};

/* The log names the route and the cluster where the request would have gone. */
static void name_target(struct hop *h)
{
	struct upstream_cluster *k = h->http.route && h->cluster_name.len ?
					     wview_cluster(h->view, h->cluster_name) :
					     NULL;

	hop_name_cluster(&h->info, k ? k->conf : NULL);
	if (!h->http.route)
		h->info.route_name = SLICE_NONE;
}

static void copy_headers(struct stream *st, const struct mesh_internal_redirect *p)
{
	for (uint32_t i = 0; i < p->n_copy; i++) {
		const struct l7_prop *v = l7_props_find(&st->resp.props, p->copy[i]);

		l7_props_remove_name(&st->req.props, p->copy[i]);
		if (v)
			l7_props_add(&st->req.props, l7_key_find(p->copy[i]), p->copy[i],
				     arena_slice(st->arena, v->value));
	}
}

/* 303 asks for something else with GET: the body was not meant for it. */
static void become_get(struct stream *st)
{
	st->req.method = SLICE("GET");
	st->req.body_len = 0;
	l7_props_remove(&st->req.props, L7_KEY_CONTENT_LENGTH);
	l7_props_remove(&st->req.props, L7_KEY_TRANSFER_ENCODING);
	st->req_trailers = NULL;
	if (buf_len(&st->body))
		stream_drop(st, &st->body);
}

/* The request as it goes on, when there is a route for it that may be taken. */
static bool retarget(struct stream *st, struct hop *h, const struct http_url *u, bool https)
{
	const struct mesh_route *from = h->http.route;
	struct l7_msg *m = &st->req;
	struct before was = { m->host, m->path, m->scheme, h->http, h->cluster_name };
	bool was_https = http_is_https(st);
	stat_id why;

	m->host = arena_slice(st->arena, u->host);
	m->path = u->path.len ? arena_slice(st->arena, u->path) : SLICE("/");
	m->scheme = https ? SLICE("https") : SLICE("http");
	copy_headers(st, from->internal_redirect);
	http_route_lookup(st, h);
	name_target(h);
	if (h->http.route && predicates_hold(st, h, from, was_https, https)) {
		l7_props_set_name(&m->props, SLICE("x-envoy-original-url"),
				  arena_join(st->arena,
					     (struct slice[]){ was_https ? SLICE("https://") :
									   SLICE("http://"),
							       was.host, was.path },
					     3));
		return true;
	}
	why = h->http.route ? stats_of(h)->redirect_predicate : stats_of(h)->redirect_no_route;
	m->host = was.host;
	m->path = was.path;
	m->scheme = was.scheme;
	h->http = was.http;
	h->cluster_name = was.cluster_name;
	return refuse(h, why);
}

static bool follow(struct stream *st, struct hop *h, const struct mesh_internal_redirect *p)
{
	const struct l7_prop *location = l7_props_get(&st->resp.props, L7_KEY_LOCATION);
	struct http_url u;
	bool https;

	if (!location || !st->req_end)
		return false;
	if (!http_url_read(location->value, &u))
		return refuse(h, stats_of(h)->redirect_bad_location);
	https = !slice_is_equal_nocase(u.scheme, SLICE("http"));
	if (!p->cross_scheme && https != http_is_https(st))
		return refuse(h, stats_of(h)->redirect_unsafe_scheme);
	if (https && !slice_is_equal_nocase(u.scheme, SLICE("https")))
		return refuse(h, stats_of(h)->redirect_bad_location);
	if (h->redirects >= p->max)
		return refuse(h, stats_of(h)->redirect_too_many);
	if (!retarget(st, h, &u, https))
		return false;
	if (st->resp.status == 303 && !st->is_head && !slice_is_equal(st->req.method, SLICE("GET")))
		become_get(st);
	return true;
}

bool http_moves(struct stream *st, struct hop *h)
{
	const struct mesh_internal_redirect *p = h->http.route->internal_redirect;
	uint32_t bit = st->resp.status - MESH_MOVED_FIRST;
	struct upstream_stats *s = &h->cluster->shared->stats;
	bool yes;

	if (bit > 31 || !(p->codes & 1u << bit))
		return false;
	yes = follow(st, h, p);
	stats_inc(st->w->stats, yes ? s->redirect_succeeded : s->redirect_failed);
	if (yes)
		h->info.details = SLICE("internal_redirect");
	return yes;
}
