/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP's connection manager: the router's part (routes, redirects, direct responses, time-outs)
 * and answers. What it does to request headers on entry is in http_request.c.
 */
#include "proxy/http.h"
#include "proxy/mirror.h"
#include "proxy/retry.h"

#include <errno.h>

#include "l7/join.h"

static const struct phttp *hp(const struct hop *h)
{
	return &h->chain->http;
}

static void count(struct hop *h, stat_id id)
{
	stats_inc(h->st->w->stats, id);
}

/* ---- entry ----------------------------------------------------------------------------------- */

void http_route_lookup(struct stream *st, struct hop *h)
{
	const struct ptable *t = phttp_table(h->view->pv, hp(h));

	if (unlikely(!t)) {
		h->http = (struct route_decision){ 0 }; /* the control plane has not sent it */
		return;
	}
	route_match(t->http, &st->req, st->arena, &st->w->rng, &h->http);
	h->cluster_name = h->http.cluster;
	/* Out of a header it lies in the bytes received, which do not outlive a filter's pause. */
	if (h->http.route && !h->http.route->cluster.len && h->cluster_name.len)
		h->cluster_name = arena_slice(st->arena, h->cluster_name);
	if (h->http.route) {
		h->info.route_name = h->http.route->name;
		h->info.metadata[L7_META_ROUTE] = h->http.route->metadata;
	}
	if (h->http.vhost) {
		h->info.virtual_host = h->http.vhost->name;
		h->info.metadata[L7_META_VHOST] = h->http.vhost->metadata;
		h->info.virtual_cluster =
			route_virtual_cluster(h->http.vhost, &st->req, st->arena);
	}
}

static uint64_t default_timeout(const struct mesh_route *r)
{
	return r->has_timeout ? r->timeout_ms : 15000;
}

static bool upgrade_is_refused(struct stream *st, struct hop *h)
{
	struct slice type = l7_props_value(&st->req.props, L7_KEY_UPGRADE);

	/* CONNECT is a matter of routes: without one for it there is nothing to find. */
	if (!h->http.route && slice_is_equal(st->req.method, SLICE("CONNECT"))) {
		st->c->close_after = true;
		return false;
	}
	/* No tunnel is made here; a route can still answer or send elsewhere. */
	if (slice_is_equal(st->req.method, SLICE("CONNECT")) &&
	    h->http.route->action != MESH_ROUTE_CLUSTER)
		type = SLICE("connect");
	if (!st->req.wants_upgrade)
		return false;
	if (route_upgrade_is_allowed(&h->http, hp(h)->conf->upgrades, hp(h)->conf->n_upgrades,
				     type)) {
		if (!st->req.is_upgrade)
			l7_props_remove(&st->req.props, L7_KEY_UPGRADE);
		st->req.wants_upgrade = st->req.is_upgrade;
		return false;
	}
	count(h, hp(h)->stats.rq_ws_on_non_ws_route);
	st->c->close_after = true;
	stream_reply(st, L7_REPLY_UPGRADE_REFUSED, 0, "upgrade_failed", NULL);
	return true;
}

static void start_timers(struct stream *st, struct hop *h)
{
	const struct mesh_route *r = h->http.route;
	uint64_t ms = r && r->has_idle_timeout ? r->idle_timeout_ms :
						 hp(h)->conf->stream_idle_timeout_ms;

	if (ms)
		io_timer_set(st->w->io, &st->idle_timer, ms);
	ms = r && r->has_max_stream ? r->max_stream_ms : hp(h)->conf->max_stream_ms;
	if (unlikely(r && r->grpc_is_stream))
		http_grpc_timeout(st, r, &ms);
	if (ms)
		io_timer_set(st->w->io, &st->life_timer, ms);
	if (hp(h)->conf->request_timeout_ms && !st->req_end)
		io_timer_set(st->w->io, &st->request_timer, hp(h)->conf->request_timeout_ms);
}

/* Headers of the answer that the route adds to our own answer: its status is not known yet then. */
static void finalize_reply(struct stream *st, struct hop *h)
{
	if (!h->http.route)
		return;
	h->info.status = 0;
	h->info.response = &st->resp;
	if (h->info.attempts && h->http.vhost->include_attempt_count_in_response)
		l7_props_set(&st->resp.props, L7_KEY_X_ENVOY_ATTEMPT_COUNT,
			     arena_u64(st->arena, h->info.attempts));
	route_response_finalize(&h->http, &st->resp, &h->info, st->arena);
}

static bool is_grpc(const struct stream *st)
{
	struct slice ct = l7_props_value(&st->req.props, L7_KEY_CONTENT_TYPE);

	return slice_is_equal(ct, SLICE("application/grpc")) ||
	       slice_has_prefix(ct, SLICE("application/grpc+"));
}

static bool http_request(struct stream *st, struct hop *h)
{
	st->is_grpc = is_grpc(st); /* asked again when the request's bytes may be gone */
	count(h, hp(h)->stats.rq_total);
	count(h, hp(h)->stats.rq_http1_total);
	count(h, hp(h)->stats.rq_active);
	if (unlikely(h->redirects > 0))
		st->bytes.up_tx = st->bytes.up_rx = 0;
	if (!(unlikely(h->redirects > 0) ? http_target_in(st, h) : http_request_in(st, h)))
		return false;
	http_route_lookup(st, h);
	hop_log_begin(h);
	if (upgrade_is_refused(st, h))
		return false;
	if (h == &st->hops[0])
		start_timers(st, h);
	return true;
}

/* ---- answers made here ----------------------------------------------------------------------- */

/* gRPC's status for an HTTP one (grpc/doc/http-grpc-status-mapping.md). */
static struct slice grpc_status(uint32_t http)
{
	switch (http) {
	case 400:
		return SLICE("13");
	case 401:
		return SLICE("16");
	case 403:
		return SLICE("7");
	case 404:
		return SLICE("12");
	case 429:
	case 502:
	case 503:
	case 504:
		return SLICE("14");
	default:
		return SLICE("2");
	}
}

/* Percent-encodes what a grpc-message may not hold. */
static struct slice grpc_message(struct slice s, struct arena *a)
{
	char *p = arena_alloc(a, s.len * 3 + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c >= 0x20 && c < 0x7f && c != '%')
			p[n++] = (char)c;
		else
			n += (size_t)snprintf(p + n, 4, "%%%02X", c);
	}
	return slice_of(p, n);
}

static void reply_as_grpc(struct stream *st, struct slice body)
{
	struct l7_props *p = &st->resp.props;
	uint32_t status = st->resp.status;

	/* A JSON format ends its line. */
	if (slice_is_equal(l7_props_value(p, L7_KEY_CONTENT_TYPE), SLICE("application/json")) &&
	    body.len && body.ptr[body.len - 1] == '\n')
		body.len--;
	st->resp.status = 200;
	st->resp.body_len = 0;
	l7_props_remove(p, L7_KEY_CONTENT_LENGTH);
	l7_props_set(p, L7_KEY_CONTENT_TYPE, SLICE("application/grpc"));
	if (!l7_props_get(p, L7_KEY_GRPC_STATUS))
		l7_props_set(p, L7_KEY_GRPC_STATUS, grpc_status(status));
	if (body.len)
		l7_props_set(p, L7_KEY_GRPC_MESSAGE, grpc_message(body, st->arena));
}

/* What the configuration says of the type goes first; of the length it has nothing to say. */
static void describe_body(struct stream *st, struct slice body, struct slice type)
{
	struct l7_props *p = &st->resp.props;

	l7_props_set(p, L7_KEY_CONTENT_LENGTH, arena_u64(st->arena, body.len));
	if (!l7_props_get(p, L7_KEY_CONTENT_TYPE))
		l7_props_add(p, L7_KEY_CONTENT_TYPE, l7_key_name(L7_KEY_CONTENT_TYPE),
			     type);
}

/* The format of a direct response says what it makes; as Envoy, gRPC never hears of it. */
static struct slice body_type(const struct stream *st, const struct hop *h)
{
	const struct mesh_route *r = h->http.route;

	return r && r->action == MESH_ROUTE_DIRECT && r->direct_format && !st->is_grpc ?
		       r->direct_format->content_type :
		       SLICE("text/plain");
}

/* The log names the cluster that the request would have gone to, if there is one. */
static void name_cluster(struct hop *h)
{
	struct upstream_cluster *k;

	if (h->info.cluster.len || !h->cluster_name.len)
		return;
	k = wview_cluster(h->view, h->cluster_name);
	if (!k)
		return;
	hop_name_cluster(&h->info, k->conf);
}

static void rewrite_reply(struct stream *st, struct hop *h, struct slice *body)
{
	struct l7_props *p = &st->resp.props;

	h->info.now_ns = io_now(st->w->io);
	http_rewrite_reply(hp(h)->conf->local_reply, &st->resp, &h->info, &st->w->rng, st->arena,
			   body);
	if (body->len)
		return;
	l7_props_remove(p, L7_KEY_CONTENT_TYPE);
	l7_props_remove(p, L7_KEY_CONTENT_LENGTH);
}

static void http_reply(struct stream *st, struct hop *h, const struct l7_reply *r)
{
	struct slice body = r->body;
	uint32_t status = l7_reply_status(r);

	name_cluster(h);

	l7_msg_init(&st->resp, L7_RESPONSE, st->arena);
	st->resp.status = status;
	l7_props_each(&r->props, i) {
		const struct l7_prop *p = &r->props.v[i];

		l7_props_add(&st->resp.props, p->key, p->name, p->value);
	}
	finalize_reply(st, h);
	if (hp(h)->conf->local_reply && !r->is_final)
		rewrite_reply(st, h, &body);
	st->resp.body_len = (int64_t)body.len;
	/* As Envoy: nothing is known of the length of what HEAD would have got, nor of 304's. */
	if (!body.len && (st->is_head || st->resp.status == 304))
		st->resp.body_len = -1;
	if (body.len)
		describe_body(st, body, body_type(st, h));
	if (st->is_grpc) {
		reply_as_grpc(st, body);
		body = SLICE_NONE;
	}
	if (h->cluster && !retry_is_waiting(h)) {
		upstream_charge(h->cluster, UPSTREAM_ALL, status);
		upstream_charge(h->cluster, h->is_internal ? UPSTREAM_INTERNAL : UPSTREAM_EXTERNAL,
				status);
	}
	stream_answer(st, h, body, true);
}

static void http_count_code(struct stats_set *set, const struct phttp *p, uint32_t code)
{
	const struct http_stats *s = &p->stats;
	const struct listener_http_stats *l = &p->listener_stats;
	const stat_id ids[] = { s->rq_1xx, s->rq_2xx, s->rq_3xx, s->rq_4xx, s->rq_5xx };
	const stat_id own[] = { l->rq_1xx, l->rq_2xx, l->rq_3xx, l->rq_4xx, l->rq_5xx };

	stats_inc(set, s->rq_completed);
	stats_inc(set, l->rq_completed);
	if (code < 100 || code >= 600)
		return;
	stats_inc(set, ids[code / 100 - 1]);
	stats_inc(set, own[code / 100 - 1]);
}

/* The sizes of @answer as it is on the wire: a head and a body. */
static void info_answer(struct l7_info *in, struct slice answer)
{
	const char *first = memmem(answer.ptr, answer.len, "\r\n", 2);
	const char *end = memmem(answer.ptr, answer.len, "\r\n\r\n", 4);

	in->downstream_wire_tx = answer.len;
	if (!end)
		return;
	in->downstream_head_tx = (size_t)(end - first);
	in->bytes_sent = answer.len - (size_t)(end + 4 - answer.ptr);
}

/* A request that never became one, and its answer. */
struct broken {
	struct conn *c;
	struct l7_info info;
	struct l7_msg resp; /* as it is logged */
};

/* @fault: why; NULL when the request was not read to its end. */
static void broken_begin(struct broken *b, struct conn *c, const char *details, uint32_t flags,
			 const struct codec_fault *fault)
{
	struct l7_info *in = &b->info;

	*b = (struct broken){ .c = c };
	conn_info(c, in);
	in->start_ns = in->end_ns = in->response_first_ns = in->response_last_ns = io_now(c->w->io);
	in->start_wall_ns = worker_wall_ns(c->w);
	in->flags = flags;
	in->details = slice_str(details);
	in->request = fault ? fault->request : NULL;
	in->downstream_wire_rx = c->codec->message_bytes(c->cstate);
	in->downstream_head_rx = fault ? fault->props_bytes : 0;
	in->protocol = SLICE("HTTP/1.1");
	l7_msg_init(&b->resp, L7_RESPONSE, &c->arena);
	in->response = &b->resp;
}

/* The answer @r is about to be written: rewrites it as the configuration says. */
static void broken_answer(void *broken, struct l7_reply *r)
{
	struct broken *b = broken;
	struct conn *c = b->c;
	const struct mesh_local_reply *l = c->chain->http.conf->local_reply;

	b->info.status = b->resp.status = l7_reply_status(r);
	if (l)
		http_rewrite_reply(l, &b->resp, &b->info, &c->w->rng, &c->arena, &r->body);
	else if (r->body.len)
		l7_props_set(&b->resp.props, L7_KEY_CONTENT_TYPE, SLICE("text/plain"));
	if (!r->body.len)
		l7_props_remove(&b->resp.props, L7_KEY_CONTENT_TYPE);
	if (c->chain->http.conf->server_header == MESH_SERVER_OVERWRITE ||
	    (c->chain->http.conf->server_header == MESH_SERVER_APPEND_IF_ABSENT &&
	     !l7_props_get(&b->resp.props, L7_KEY_SERVER)))
		l7_props_set(&b->resp.props, L7_KEY_SERVER, c->chain->http.conf->server_name);
	l7_props_set(&b->resp.props, L7_KEY_DATE, worker_date(c->w));
	if (c->chain->http.conf->via.len)
		http_append(&b->resp.props, L7_KEY_VIA, c->chain->http.conf->via, SLICE(", "),
			    &c->arena);
	r->status = b->resp.status;
	r->props = b->resp.props;
}

/* One line in the log and the counters. @answer: what was written to the client. */
static void broken_end(struct broken *b, struct slice answer)
{
	const struct phttp *p = &b->c->chain->http;
	struct l7_props *props = &b->resp.props;

	info_answer(&b->info, answer);
	l7_props_set(props, L7_KEY_CONNECTION, SLICE("close"));
	if (b->info.bytes_sent)
		l7_props_set(props, L7_KEY_CONTENT_LENGTH,
			     arena_printf(&b->c->arena, "%zu", (size_t)b->info.bytes_sent));
	worker_log(b->c->w, &p->logs, &b->info);
	stats_inc(b->c->w->stats, p->stats.rq_total);
	stats_inc(b->c->w->stats, p->stats.rq_http1_total);
	http_count_code(b->c->w->stats, p, b->info.status);
}

void http_reject(struct conn *c, const struct codec_fault *fault)
{
	struct codec_fault f = *fault;
	struct l7_reply r = { .code = f.code, .status = f.status };
	/* What Envoy's manager refuses, not its codec, is no protocol error. */
	bool ours = f.details && strncmp(f.details, "http", 4) != 0 && f.status != 426;
	struct buf *out = io_stream_out(c->io);
	size_t at = buf_len(out);
	struct broken b;

	broken_begin(&b, c, f.details, ours ? 0 : L7_FLAG(DPE), &f);
	b.info.status = l7_reply_status(&r); /* also when nothing can be written */
	f.rewrite = broken_answer;
	f.rewrite_owner = &b;
	c->codec->reject(c->cstate, &f, out);
	broken_end(&b, slice_skip(buf_slice(out), at));
	io_stream_flush(c->io);
	if (ours)
		return;
	stats_inc(c->w->stats, c->chain->http.stats.cx_protocol_error);
	stats_inc(c->w->stats, c->chain->http.stats.rq_rx_reset);
}

void http_reply_without_request(struct conn *c, uint32_t status, const char *body,
				const char *details, uint32_t flags)
{
	struct l7_reply r = { .code = L7_REPLY_TIMEOUT_REQUEST,
			      .status = status,
			      .body = slice_str(body) };
	struct buf *out = io_stream_out(c->io);
	size_t at = buf_len(out);
	struct broken b;

	broken_begin(&b, c, details, flags, NULL);
	broken_answer(&b, &r);
	c->codec->want_close(c->cstate);
	c->codec->encode_reply(c->cstate, NULL, &r, out);
	broken_end(&b, slice_skip(buf_slice(out), at));
	io_stream_flush(c->io);
}

/* ---- the router ------------------------------------------------------------------------------ */

static void send_redirect(struct stream *st, struct hop *h, struct slice location, uint32_t code)
{
	struct l7_reply r = { .code = L7_REPLY_DIRECT,
			      .status = code,
			      .details = SLICE("direct_response") };

	count(h, hp(h)->stats.rq_direct);
	l7_props_init(&r.props, st->arena);
	l7_props_add(&r.props, L7_KEY_LOCATION, l7_key_name(L7_KEY_LOCATION), location);
	stream_reply_full(st, h, &r, 0);
}

static void send_direct(struct stream *st, struct hop *h)
{
	const struct mesh_route *d = h->http.route;
	struct l7_reply r = { .code = L7_REPLY_DIRECT,
			      .status = d->direct_status,
			      .body = d->direct_body,
			      .details = SLICE("direct_response") };

	count(h, hp(h)->stats.rq_direct);
	if (d->direct_format) {
		h->info.status = d->direct_status;
		r.body = http_format_body(d->direct_format, &h->info, d->direct_body, st->arena);
	}
	/* As Envoy: an answer of these kinds says where. */
	if (d->direct_status == 201 || d->direct_status / 100 == 3) {
		l7_props_init(&r.props, st->arena);
		l7_props_add(&r.props, L7_KEY_LOCATION, l7_key_name(L7_KEY_LOCATION),
			     arena_printf(st->arena, "%s://%.*s%.*s",
					  http_is_https(st) ? "https" : "http",
					  SLICE_ARG(st->req.host), SLICE_ARG(st->req.path)));
	}
	stream_reply_full(st, h, &r, 0);
}

/* Requests to be sent to https. */
static bool tls_is_needed(struct stream *st, struct hop *h)
{
	if (!h->http.vhost || !route_needs_tls(h->http.vhost, http_is_https(st), !h->is_internal))
		return false;
	send_redirect(st, h, route_tls_location(&st->req, st->arena), 301);
	return true;
}

static void no_route(struct stream *st, struct hop *h)
{
	count(h, hp(h)->stats.rq_no_route);
	stream_reply(st, L7_REPLY_NO_ROUTE, L7_FLAG(NR), "route_not_found", NULL);
}

static uint64_t header_timeout(struct stream *st, uint64_t ms)
{
	struct slice v = l7_props_value(&st->req.props, L7_KEY_X_ENVOY_TIMEOUT);
	uint64_t n;

	if (v.ptr) {
		if (slice_to_u64(v, &n) == 0)
			ms = n;
		l7_props_remove(&st->req.props, L7_KEY_X_ENVOY_TIMEOUT);
	}
	return ms;
}

/* What callers that we trust may ask of the router goes no further than this. */
static void remove_asked(struct stream *st)
{
	static const char *const names[] = {
		"x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries",
		"x-envoy-retriable-status-codes", "x-envoy-retriable-header-names",
		"x-envoy-hedge-on-per-try-timeout", "x-envoy-upstream-rq-per-try-timeout-ms",
		"x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-timeout-alt-response",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		l7_props_remove_name(&st->req.props, slice_str(names[i]));
}

/* That of one try, if there is one, and never more than what is left of all. */
void http_expect_timeout(struct stream *st, struct hop *h)
{
	uint64_t ms = h->retry && h->retry->p.per_try_ms ? h->retry->p.per_try_ms : h->timeout_ms;
	uint64_t left = h->timeout_ms;

	if (retry_is_again(h) && left && st->req_end) {
		uint64_t gone = (io_now(st->w->io) - h->info.request_end_ns) / 1000000;

		left = gone < left ? left - gone : 1;
	}
	if (left && left < ms)
		ms = left;
	if (unlikely(h->http.route->has_max_grpc_timeout) && ms && st->is_grpc)
		http_grpc_tell(st, h->http.route, ms);
	if (ms && !hp(h)->conf->suppress_envoy_headers)
		l7_props_set(&st->req.props, L7_KEY_X_ENVOY_EXPECTED_TIMEOUT,
			     arena_u64(st->arena, ms));
}

static void set_timeout(struct stream *st, struct hop *h)
{
	uint64_t ms = default_timeout(h->http.route);

	if (unlikely(h->http.route->has_max_grpc_timeout && !h->http.route->grpc_is_stream))
		http_grpc_timeout(st, h->http.route, &ms);
	ms = header_timeout(st, ms);
	h->timeout_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
	if (unlikely(h->http.route->retry || h->http.vhost->retry || h->is_internal ||
		     h->http.route->internal_redirect))
		http_retry_begin(st, h);
	if (h->is_internal)
		remove_asked(st);
	http_expect_timeout(st, h);
}

static bool http_route(struct stream *st, struct hop *h)
{
	const struct mesh_route *r = h->http.route;

	count(h, hp(h)->stats.rq_route_total);
	if (tls_is_needed(st, h))
		return false;
	if (!r) {
		no_route(st, h);
		return false;
	}
	switch (r->action) {
	case MESH_ROUTE_REDIRECT:
		send_redirect(st, h,
			      route_redirect_location(r->redirect, r, &st->req,
						      http_is_https(st) ? SLICE("https") :
									  SLICE("http"),
						      &h->info, st->arena),
			      r->redirect->code);
		return false;
	case MESH_ROUTE_DIRECT:
		send_direct(st, h);
		return false;
	case MESH_ROUTE_NONE: { /* somebody else should have served it */
		struct l7_reply rp = { .code = L7_REPLY_NO_UPSTREAM };

		stream_reply_full(st, h, &rp, 0);
		return false;
	}
	case MESH_ROUTE_CLUSTER:
		break;
	}
	if (!h->cluster_name.len) {
		count(h, hp(h)->stats.rq_no_cluster);
		struct l7_reply rp = { .code = L7_REPLY_NO_UPSTREAM, .status = r->no_cluster_status,
				       .details = SLICE("cluster_not_found") };

		stream_reply_full(st, h, &rp, L7_FLAG(NC));
		return false;
	}
	set_timeout(st, h);
	return true;
}

/* "name:80" -> "name-shadow:80" */
static struct slice shadow_host(struct stream *st)
{
	struct slice host = st->req.host;
	const char *colon = host.len ? memrchr(host.ptr, ':', host.len) : NULL;
	size_t at = colon && !memchr(colon, ']', (size_t)(host.ptr + host.len - colon)) ?
			    (size_t)(colon - host.ptr) :
			    host.len;

	return arena_join(st->arena,
			  (struct slice[]){ slice_first(host, at), SLICE("-shadow"),
					    slice_skip(host, at) },
			  3);
}

static void mirror_to(struct stream *st, struct hop *h, const struct mesh_mirror *m)
{
	struct slice cluster = m->cluster;
	struct l7_prop *p;

	if (m->fraction < 1000000 && rng_below(&st->w->rng, 1000000) >= m->fraction)
		return;
	if (!cluster.len) {
		p = l7_props_find(&st->req.props, m->cluster_header);
		if (!p || !p->value.len)
			return;
		cluster = p->value;
	}
	mirror_begin(st, h, cluster,
		     m->host_rewrite.len ? m->host_rewrite :
		     m->keep_host	 ? st->req.host :
					   shadow_host(st));
}

/* Copies for other clusters: as the route says, else the virtual host, else the table. */
static void mirror(struct stream *st, struct hop *h)
{
	const struct route_decision *d = &h->http;
	uint32_t n = d->route->n_mirrors;
	const struct mesh_mirror *v = d->route->mirrors;

	if (!n) {
		n = d->vhost->n_mirrors;
		v = d->vhost->mirrors;
	}
	if (!n) {
		n = d->table->n_mirrors;
		v = d->table->mirrors;
	}
	for (uint32_t i = 0; i < n; i++)
		mirror_to(st, h, &v[i]);
}

static void http_forward(struct stream *st, struct hop *h, const struct upstream_host *host)
{
	if (h->http.vhost->include_attempt_count)
		l7_props_set(&st->req.props, L7_KEY_X_ENVOY_ATTEMPT_COUNT, SLICE("1"));
	route_request_finalize(&h->http, &st->req, &h->info, st->arena,
			       !hp(h)->conf->suppress_envoy_headers);
	route_host_auto(&h->http, &st->req, host->lb.hostname, !hp(h)->conf->suppress_envoy_headers,
			st->arena);
	h->info.upstream_protocol = SLICE("HTTP/1.1");
	if (unlikely(h->http.route->n_mirrors || h->http.vhost->n_mirrors ||
		     h->http.table->n_mirrors))
		mirror(st, h);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void count_code(struct stream *st, struct hop *h)
{
	uint32_t code = st->resp.status;

	upstream_charge(h->cluster, UPSTREAM_ALL, code);
	upstream_charge(h->cluster, h->is_internal ? UPSTREAM_INTERNAL : UPSTREAM_EXTERNAL, code);
	stats_record(st->w->stats, h->cluster->shared->stats.rq_time,
		     (io_now(st->w->io) - h->upstream_start_ns) / 1000);
	if (code >= 500)
		h->host->rq_error++;
	else
		h->host->rq_success++;
}

static void http_response(struct stream *st, struct hop *h)
{
	struct l7_props *p = &st->resp.props;

	if (h->cluster && h->host)
		count_code(st, h);
	h->info.details = SLICE("via_upstream");
	l7_props_join(p, false, st->arena);
	l7_props_remove(p, L7_KEY_KEEP_ALIVE);
	l7_props_remove(p, L7_KEY_PROXY_CONNECTION);
	if (!st->resp.is_upgrade) {
		l7_props_remove(p, L7_KEY_CONNECTION);
		l7_props_remove(p, L7_KEY_UPGRADE);
	}
	/* The time is counted from the end of the request: before that there is none. */
	if (st->req_end && !hp(h)->conf->suppress_envoy_headers)
		l7_props_set(p, L7_KEY_X_ENVOY_SERVICE_TIME,
			     arena_u64(st->arena,
				       (io_now(st->w->io) - h->info.request_end_ns) / 1000000));
	if (h->http.vhost->include_attempt_count_in_response)
		l7_props_set(p, L7_KEY_X_ENVOY_ATTEMPT_COUNT,
			     arena_u64(st->arena, h->info.attempts));
	route_response_finalize(&h->http, &st->resp, &h->info, st->arena);
}

static void http_response_out(struct stream *st, struct hop *h)
{
	const struct mesh_http_manager *m = hp(h)->conf;
	struct l7_props *p = &st->resp.props;
	bool has_server = l7_props_get(p, L7_KEY_SERVER) != NULL;

	if (m->server_header == MESH_SERVER_OVERWRITE ||
	    (m->server_header == MESH_SERVER_APPEND_IF_ABSENT && !has_server))
		l7_props_set(p, L7_KEY_SERVER, m->server_name);
	if (!l7_props_get(p, L7_KEY_DATE))
		l7_props_add(p, L7_KEY_DATE, l7_key_name(L7_KEY_DATE), worker_date(st->w));
	if (m->via.len)
		http_append(p, L7_KEY_VIA, m->via, SLICE(", "), st->arena);
	if (m->request_id_in_response && st->request_id.len)
		l7_props_set(p, L7_KEY_X_REQUEST_ID, st->request_id);
}

static void http_end(struct stream *st, struct hop *h)
{
	const struct http_stats *s = &hp(h)->stats;
	uint32_t code = h->info.status;

	stats_dec(st->w->stats, s->rq_active);
	stream_count_istio(st, h, st->is_grpc ? "grpc" : "http", code);
	if (!code)
		return;
	if (!h->is_moved)
		http_count_code(st->w->stats, hp(h), code);
	stats_record(st->w->stats, s->rq_time, (h->info.end_ns - h->info.start_ns) / 1000);
}

const struct manager manager_http = {
	.request = http_request,
	.route = http_route,
	.forward = http_forward,
	.response = http_response,
	.response_out = http_response_out,
	.reply = http_reply,
	.end = http_end,
};
