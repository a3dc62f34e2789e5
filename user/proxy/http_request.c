/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What HTTP's connection manager does to a request on entry: 100-continue, target checks, path
 * normalization, hop-by-hop headers, client address and x-forwarded-*, request id.
 * Source of the rules: Envoy's documentation, "HTTP header manipulation" and "HTTP header
 * sanitizing".
 */
#include "l7/join.h"
#include "proxy/http.h"

static const struct mesh_http_manager *conf(const struct hop *h)
{
	return h->chain->http.conf;
}

void http_append(struct l7_props *p, enum l7_key key, struct slice v, struct slice sep,
		 struct arena *a)
{
	struct l7_prop *was = l7_props_get(p, key);

	if (was && was->value.len)
		was->value = arena_printf(a, "%.*s%.*s%.*s", SLICE_ARG(was->value), SLICE_ARG(sep),
					  SLICE_ARG(v));
	else
		l7_props_set(p, key, v);
}

bool http_is_https(const struct stream *st)
{
	return slice_is_equal_nocase(l7_props_value(&st->req.props, L7_KEY_X_FORWARDED_PROTO),
				     SLICE("https"));
}

/* ---- target ---------------------------------------------------------------------------------- */

static void answer_continue(struct stream *st, struct hop *h)
{
	struct conn *c = st->c;
	struct l7_msg m;

	if (!st->req.expect_continue || conf(h)->proxy_100_continue || h != &st->hops[0])
		return;
	l7_msg_init(&m, L7_RESPONSE, st->arena);
	m.status = 100;
	c->codec->encode_interim(c->cstate, &m, io_stream_out(c->io));
	io_stream_flush(c->io);
	l7_props_remove(&st->req.props, L7_KEY_EXPECT);
}

static bool is_connect(const struct stream *st)
{
	return slice_is_equal(st->req.method, SLICE("CONNECT"));
}

/* stream_error_on_invalid_http_message: what the codec let through to be refused here. */
static bool refuse_passed(struct stream *st)
{
	if (st->req.host.ptr && slice_find(st->req.path, '#') < 0)
		return false;
	stream_reply(st, L7_REPLY_BAD_REQUEST, 0,
		     st->req.host.ptr ? "path_normalization_failed" : "missing_host_header", NULL);
	return true;
}

static bool target_is_good(struct stream *st, struct hop *h)
{
	struct slice path = st->req.path;

	if (conf(h)->keeps_bad_requests && refuse_passed(st))
		return false;
	if (is_connect(st))
		return true;
	if (path.len && path.ptr[0] == '/')
		return true;
	stats_inc(st->w->stats, h->chain->http.stats.rq_non_relative_path);
	stream_reply(st, L7_REPLY_NO_ROUTE, 0, "absolute_path_rejected", NULL);
	return false;
}

static bool redirect_to(struct stream *st, struct hop *h, struct slice path)
{
	struct l7_reply r = { .code = L7_REPLY_DIRECT, .status = 307,
			      .details = SLICE("path_normalization_failed") };

	stats_inc(st->w->stats, h->chain->http.stats.rq_redirected_path);
	l7_props_init(&r.props, st->arena);
	l7_props_add(&r.props, L7_KEY_LOCATION, l7_key_name(L7_KEY_LOCATION), path);
	stream_reply_full(st, h, &r, 0);
	return false;
}

static bool normalize(struct stream *st, struct hop *h)
{
	struct slice path = st->req.path;
	int r;

	if (is_connect(st) || !path.len || path.ptr[0] != '/')
		return true;
	r = route_path_normalize(conf(h), st->req.path, st->arena, &path);
	if (r == 1)
		return redirect_to(st, h, path);
	if (r < 0) {
		stats_inc(st->w->stats, h->chain->http.stats.rq_failed_path_normalization);
		st->req.path = path;
		st->c->close_after |= !conf(h)->keeps_bad_requests;
		stream_reply(st, L7_REPLY_BAD_REQUEST, 0, "path_normalization_failed", NULL);
		return false;
	}
	st->req.path = path;
	return true;
}

/* "host:port" -> the place of ':', or the length. IPv6 addresses stand in brackets. */
static size_t port_at(struct slice host)
{
	size_t i = host.len;

	while (i > 0 && host.ptr[i - 1] >= '0' && host.ptr[i - 1] <= '9')
		i--;
	return i > 0 && i < host.len && host.ptr[i - 1] == ':' ? i - 1 : host.len;
}

static void strip_host(struct stream *st, struct hop *h)
{
	struct slice *host = &st->req.host;
	size_t at = port_at(*host);
	uint64_t port;

	if (at < host->len && !is_connect(st)) {
		bool match = conf(h)->strip_matching_port &&
			     slice_to_u64(slice_skip(*host, at + 1), &port) == 0 &&
			     port == st->c->local.port;

		if (match || conf(h)->strip_any_port)
			host->len = at;
	}
	if (conf(h)->strip_trailing_dot && host->len) {
		at = port_at(*host);
		if (at == host->len && host->ptr[at - 1] == '.')
			host->len--;
		else if (at < host->len && at > 0 && host->ptr[at - 1] == '.')
			*host = arena_printf(st->arena, "%.*s%.*s", (int)(at - 1), host->ptr,
					     (int)(host->len - at), host->ptr + at);
	}
}

bool http_target_in(struct stream *st, struct hop *h)
{
	if (!target_is_good(st, h) || !normalize(st, h))
		return false;
	strip_host(st, h);
	return true;
}

/* ---- client address -------------------------------------------------------------------------- */

/* The @skip-th address from the end of x-forwarded-for. @ret_single: it is the only one. */
static bool xff_address(const struct stream *st, uint32_t skip, struct addr *ret_a,
			bool *ret_single)
{
	struct slice all, item = SLICE_NONE, rest;
	uint32_t n = 1, want;

	if (!l7_props_joined(&st->req.props, SLICE("x-forwarded-for"), st->arena, &all) || !all.len)
		return false;
	for (size_t i = 0; i < all.len; i++)
		n += all.ptr[i] == ',';
	if (skip >= n)
		return false;
	want = n - 1 - skip;
	rest = all;
	for (uint32_t i = 0; i <= want; i++)
		item = slice_split(&rest, ',');
	*ret_single = n == 1;
	return addr_parse_ip(slice_trim(item), ret_a) == 0;
}

static bool is_internal(const struct hop *h, const struct addr *a)
{
	for (uint32_t i = 0; i < conf(h)->n_internal_addresses; i++)
		if (addr_is_in(a, &conf(h)->internal_addresses[i].net,
			       conf(h)->internal_addresses[i].bits))
			return true;
	return false;
}

/* Repeated x-forwarded-for become one. */
static void xff_join(struct stream *st)
{
	struct slice all;
	struct l7_prop *p = l7_props_get(&st->req.props, L7_KEY_X_FORWARDED_FOR);

	if (p && l7_props_joined(&st->req.props, SLICE("x-forwarded-for"), st->arena, &all) &&
	    all.len != p->value.len)
		l7_props_set(&st->req.props, L7_KEY_X_FORWARDED_FOR, all);
}

static void append_xff(struct stream *st, const struct addr *who)
{
	const struct engine *e = st->w->e;
	char *text = arena_alloc(st->arena, ADDR_TEXT_MAX);
	/* Envoy's loopback is one address of each family. */
	bool loopback = addr_is_loopback(who) &&
			(!addr_is_v4(who) || memcmp(who->ip + 13, "\0\0\1", 3) == 0);
	size_t n = addr_format_ip(loopback ? &e->local_address : who, text);

	http_append(&st->req.props, L7_KEY_X_FORWARDED_FOR, slice_of(text, n), SLICE(","),
		    st->arena);
}

static void remote_address(struct stream *st, struct hop *h)
{
	const struct mesh_http_manager *m = conf(h);
	struct addr last = st->c->remote;
	struct addr from_xff;
	bool single = l7_props_get(&st->req.props, L7_KEY_X_FORWARDED_FOR) == NULL;

	xff_join(st);
	if (m->use_remote_address) {
		bool one;

		if (m->xff_trusted_hops > 0 &&
		    xff_address(st, m->xff_trusted_hops - 1, &from_xff, &one)) {
			last = from_xff;
			last.port = 0;
		}
		if (!m->skip_xff_append)
			append_xff(st, &st->c->remote);
	} else {
		bool one = true;

		if (xff_address(st, m->xff_trusted_hops, &from_xff, &one)) {
			last = from_xff;
			last.port = 0;
		}
		single = one;
	}
	h->is_internal = single && is_internal(h, &last);
	h->is_edge = !h->is_internal && m->use_remote_address;
	h->info.downstream_remote = last;
}

/* ---- sanitizing ------------------------------------------------------------------------------ */

static void remove_internal(struct stream *st, struct hop *h)
{
	static const struct { const char *s; size_t n;
	} names[] = {
#define N(x) { x, sizeof(x) - 1 }
		N("x-envoy-retriable-status-codes"),
		N("x-envoy-retriable-header-names"),
		N("x-envoy-retry-on"),
		N("x-envoy-retry-grpc-on"),
		N("x-envoy-max-retries"),
		N("x-envoy-upstream-alt-stat-name"),
		N("x-envoy-upstream-rq-timeout-ms"),
		N("x-envoy-upstream-rq-per-try-timeout-ms"),
		N("x-envoy-upstream-rq-timeout-alt-response"),
		N("x-envoy-expected-rq-timeout-ms"),
		N("x-envoy-force-trace"),
		N("x-envoy-ip-tags"),
		N("x-envoy-original-url"),
		N("x-envoy-hedge-on-per-try-timeout"),
		/* from here on only at the edge */
		N("x-envoy-decorator-operation"),
		N("x-envoy-downstream-service-cluster"),
		N("x-envoy-downstream-service-node"),
		N("x-envoy-original-path"),
		N("x-envoy-original-host"),
#undef N
	};
	const struct ptable *table = phttp_table(h->view->pv, &h->chain->http);
	const struct mesh_route_table *t = table ? table->http : NULL;
	struct l7_props *p = &st->req.props;
	bool any = false;

	/* Most requests have none of them. */
	l7_props_each(p, i)
		any |= slice_has_prefix(p->v[i].name, SLICE("x-envoy-"));
	for (size_t i = 0; any && i < ARRAY_LEN(names); i++)
		if (i < 14 || h->is_edge)
			l7_props_remove_name(p, slice_of(names[i].s, names[i].n));
	for (uint32_t i = 0; t && i < t->n_internal_only; i++)
		l7_props_remove_name(p, t->internal_only[i]);
}

static void remove_nocase(struct l7_props *p, struct slice name)
{
	l7_props_each(p, i)
		if (slice_is_equal_nocase(p->v[i].name, name))
			p->v[i].dead = true;
}

static bool list_has(struct slice list, struct slice word)
{
	while (list.ptr)
		if (slice_is_equal(slice_trim(slice_split(&list, ',')), word))
			return true;
	return false;
}

/* Headers that Connection names are for this hop only. */
static void remove_nominated(struct stream *st)
{
	struct l7_props *p = &st->req.props;

	l7_props_each(p, i) {
		struct slice rest = p->v[i].value;

		if (p->v[i].key != L7_KEY_CONNECTION)
			continue;
		while (rest.ptr) {
			struct slice name = slice_trim(slice_split(&rest, ','));

			if (name.len && !slice_is_equal_nocase(name, SLICE("te")) &&
			    !slice_is_equal_nocase(name, SLICE("upgrade")) &&
			    !slice_is_equal_nocase(name, SLICE("close")) &&
			    !slice_is_equal_nocase(name, SLICE("http2-settings")) &&
			    !slice_is_equal_nocase(name, SLICE("keep-alive")))
				remove_nocase(p, name);
		}
	}
}

static void hop_by_hop(struct stream *st, struct hop *h)
{
	struct l7_props *p = &st->req.props;
	struct slice upgrade = l7_props_value(p, L7_KEY_UPGRADE);
	struct slice te = l7_props_value(p, L7_KEY_TE);

	/* An offer to speak HTTP/2 from here on is not taken, and not passed on. */
	if (st->req.wants_upgrade && slice_is_equal_nocase(upgrade, SLICE("h2c"))) {
		st->req.is_upgrade = st->req.wants_upgrade = false;
		l7_props_remove_name(p, SLICE("http2-settings"));
	}
	remove_nominated(st);
	if (!st->req.is_upgrade)
		l7_props_remove(p, L7_KEY_CONNECTION);
	if (!st->req.wants_upgrade)
		l7_props_remove(p, L7_KEY_UPGRADE);
	l7_props_remove(p, L7_KEY_KEEP_ALIVE);
	l7_props_remove(p, L7_KEY_PROXY_CONNECTION);
	if (te.ptr && !list_has(te, SLICE("trailers")))
		l7_props_remove(p, L7_KEY_TE);
	else if (te.ptr)
		l7_props_set(p, L7_KEY_TE, SLICE("trailers"));
	/* Says who the client is; without mutual TLS nobody can know (forward_client_cert_details:
	 * SANITIZE). */
	if (!conf(h)->keep_client_cert)
		l7_props_remove_name(p, SLICE("x-forwarded-client-cert"));
}

static void check_referer(struct l7_props *p)
{
	const struct l7_prop *r = l7_props_get(p, L7_KEY_REFERER);

	if (r && !http_referer_is_good(r->value))
		l7_props_remove(p, L7_KEY_REFERER);
}

static struct slice new_request_id(struct stream *st)
{
	static const char hex[] = "0123456789abcdef";
	char *p = arena_alloc(st->arena, 37);
	uint64_t r[2] = { rng_u64(&st->w->rng), rng_u64(&st->w->rng) };
	char *o = p;

	/* A random UUID, version 4. */
	r[0] = (r[0] & ~0xf000ull) | 0x4000;
	r[1] = (r[1] & ~(3ull << 62)) | (2ull << 62);
	for (unsigned int i = 0; i < 32; i++) {
		*o++ = hex[(r[i / 16] >> (60 - 4 * (i % 16))) & 15];
		if (i == 7 || i == 11 || i == 15 || i == 19)
			*o++ = '-';
	}
	return slice_of(p, 36);
}

static void request_id(struct stream *st, struct hop *h)
{
	const struct mesh_http_manager *m = conf(h);
	struct l7_props *p = &st->req.props;
	bool force = !m->preserve_external_request_id && h->is_edge;

	if (m->generate_request_id && (force || !l7_props_value(p, L7_KEY_X_REQUEST_ID).len))
		l7_props_set(p, L7_KEY_X_REQUEST_ID, new_request_id(st));
	st->request_id = l7_props_value(p, L7_KEY_X_REQUEST_ID);
	if (m->request_id_in_response)
		st->request_id = arena_slice(st->arena, st->request_id);
}

static void forwarded(struct stream *st, struct hop *h)
{
	const struct mesh_http_manager *m = conf(h);
	struct l7_props *p = &st->req.props;
	char *text;

	if (!l7_props_get(p, L7_KEY_X_FORWARDED_PROTO) ||
	    (m->use_remote_address && m->xff_trusted_hops == 0))
		l7_props_set(p, L7_KEY_X_FORWARDED_PROTO, SLICE("http"));
	if (m->scheme_overwrite.len)
		l7_props_set(p, L7_KEY_X_FORWARDED_PROTO, m->scheme_overwrite);
	if (m->append_x_forwarded_port &&
	    ((m->use_remote_address && m->xff_trusted_hops == 0) ||
	     !l7_props_get(p, L7_KEY_X_FORWARDED_PORT)))
		l7_props_set(p, L7_KEY_X_FORWARDED_PORT,
			     arena_printf(st->arena, "%u", st->c->local.port));
	if (h->is_internal) {
		l7_props_set(p, L7_KEY_X_ENVOY_INTERNAL, SLICE("true"));
	} else {
		l7_props_remove(p, L7_KEY_X_ENVOY_INTERNAL);
		remove_internal(st, h);
	}
	if (h->is_edge) {
		text = arena_alloc(st->arena, ADDR_TEXT_MAX);
		l7_props_set(p, L7_KEY_X_ENVOY_EXTERNAL_ADDRESS,
			     slice_of(text, addr_format_ip(&h->info.downstream_remote, text)));
	}
	if (m->via.len)
		http_append(p, L7_KEY_VIA, m->via, SLICE(", "), st->arena);
}

/* The name is that of the node's cluster, which is empty. */
static void name_caller(struct l7_props *p)
{
	l7_props_set_name(p, SLICE("x-envoy-downstream-service-cluster"), SLICE(""));
	if (!l7_props_value(p, L7_KEY_USER_AGENT).len)
		l7_props_set(p, L7_KEY_USER_AGENT, SLICE(""));
}

bool http_request_in(struct stream *st, struct hop *h)
{
	answer_continue(st, h);
	l7_props_join(&st->req.props, true, st->arena);
	if (unlikely(conf(h)->early.n))
		route_headers_steps(&conf(h)->early, &st->req, &h->info, st->arena);
	hop_by_hop(st, h);
	check_referer(&st->req.props);
	remote_address(st, h);
	if (!http_target_in(st, h))
		return false;
	forwarded(st, h);
	if (conf(h)->add_user_agent)
		name_caller(&st->req.props);
	request_id(st, h);
	return true;
}

bool http_passes_continue(const struct stream *st)
{
	return st->c->chain->kind == MESH_NET_HTTP && st->c->chain->http.conf->proxy_100_continue &&
	       st->c->codec->encode_interim;
}
