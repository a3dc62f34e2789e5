/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What HTTP's router asks of further tries: the policy of route or virtual host, what trusted
 * callers ask for in headers, and which answers are failures.
 */
#include "proxy/http.h"
#include "proxy/retry.h"

#define BACK_OFF_MS 25
#define HEADER_LIST_MAX 64 /* entries of one list in a header that count */

/* The policy's argument. */
struct http_retry {
	const struct mesh_retry *conf; /* NULL: only headers ask */
	uint32_t *codes;               /* of the headers */
	struct slice *names;
	uint32_t n_codes, n_names;
};

/* ---- what headers ask for -------------------------------------------------------------------- */

static struct slice asked(const struct stream *st, const char *name)
{
	struct l7_prop *p = l7_props_find(&st->req.props, slice_str(name));

	return p ? p->value : SLICE_NONE;
}

static uint32_t asked_bits(const struct stream *st)
{
	struct slice on = asked(st, "x-envoy-retry-on"), grpc = asked(st, "x-envoy-retry-grpc-on");

	return (mesh_retry_on(on) & ~MESH_RETRY_GRPC) | (mesh_retry_on(grpc) & MESH_RETRY_GRPC);
}

static void asked_codes(struct stream *st, struct http_retry *x)
{
	struct slice rest = asked(st, "x-envoy-retriable-status-codes");
	uint64_t n;

	if (!rest.len)
		return;
	x->codes = arena_array(st->arena, uint32_t, HEADER_LIST_MAX);
	while (rest.ptr && x->n_codes < HEADER_LIST_MAX)
		if (slice_to_u64(slice_trim(slice_split(&rest, ',')), &n) == 0 && n <= UINT32_MAX)
			x->codes[x->n_codes++] = (uint32_t)n;
}

static struct slice lower(struct slice s, struct arena *a)
{
	char *p = arena_alloc(a, s.len + 1);

	for (size_t i = 0; i < s.len; i++)
		p[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] | 0x20) : s.ptr[i];
	return slice_of(p, s.len);
}

static void asked_names(struct stream *st, struct http_retry *x)
{
	struct slice rest = asked(st, "x-envoy-retriable-header-names");

	if (!rest.len)
		return;
	x->names = arena_array(st->arena, struct slice, HEADER_LIST_MAX);
	while (rest.ptr && x->n_names < HEADER_LIST_MAX) {
		struct slice name = slice_trim(slice_split(&rest, ','));

		if (name.len)
			x->names[x->n_names++] = lower(name, st->arena);
	}
}

static uint32_t asked_number(const struct stream *st, const char *name, uint32_t otherwise)
{
	struct slice v = asked(st, name);
	uint64_t n;

	if (!v.len || slice_to_u64(v, &n) < 0)
		return otherwise;
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* ---- the policy ------------------------------------------------------------------------------ */

/* The conditions on the request: one of them is enough. */
static bool request_is_retriable(struct stream *st, const struct mesh_retry *c)
{
	for (uint32_t i = 0; i < c->n_request_headers; i++)
		if (route_headers_are_match(&c->request_headers[i], 1, &st->req, st->arena))
			return true;
	return c->n_request_headers == 0;
}

static uint64_t body_limit(const struct hop *h)
{
	const struct mesh_body_limit *l[] = { &h->http.route->body_limit,
					      &h->http.vhost->body_limit };

	for (size_t i = 0; i < ARRAY_LEN(l); i++)
		if (l[i]->has_max)
			return l[i]->max;
	for (size_t i = 0; i < ARRAY_LEN(l); i++)
		if (l[i]->has_request)
			return l[i]->request;
	return h->st->c->pl->conf->per_connection_buffer;
}

static void fill(struct hop *h, const struct mesh_retry *c, struct retry_policy *p)
{
	*p = (struct retry_policy){ .num = 1, .base_ms = BACK_OFF_MS, .host_attempts = 1 };
	if (c) {
		p->on = c->on;
		p->num = c->num;
		p->per_try_ms = c->per_try_timeout_ms;
		p->per_try_idle_ms = c->per_try_idle_ms;
		p->base_ms = c->base_ms ? c->base_ms : BACK_OFF_MS;
		p->max_ms = c->max_ms;
		p->other_hosts = c->other_hosts;
		p->host_attempts = c->host_attempts;
	}
	if (!p->max_ms)
		p->max_ms = p->base_ms < UINT32_MAX / 10 ? p->base_ms * 10 : UINT32_MAX;
	p->body_max = body_limit(h);
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool code_is_listed(const struct http_retry *x, uint32_t code)
{
	for (uint32_t i = 0; x->conf && i < x->conf->n_codes; i++)
		if (x->conf->codes[i] == code)
			return true;
	for (uint32_t i = 0; i < x->n_codes; i++)
		if (x->codes[i] == code)
			return true;
	return false;
}

static bool status_is_failure(const struct http_retry *x, uint32_t on, uint32_t code)
{
	if ((on & MESH_RETRY_5XX) && code >= 500 && code < 600)
		return true;
	if ((on & MESH_RETRY_GATEWAY) && code >= 502 && code <= 504)
		return true;
	if ((on & MESH_RETRY_4XX) && code == 409)
		return true;
	return (on & MESH_RETRY_CODES) && code_is_listed(x, code);
}

static bool headers_are_failure(const struct http_retry *x, struct stream *st)
{
	for (uint32_t i = 0; x->conf && i < x->conf->n_headers; i++)
		if (route_headers_are_match(&x->conf->headers[i], 1, &st->resp, st->arena))
			return true;
	for (uint32_t i = 0; i < x->n_names; i++)
		if (l7_props_find(&st->resp.props, x->names[i]))
			return true;
	return false;
}

static bool grpc_is_failure(uint32_t on, const struct l7_msg *m)
{
	struct slice v = l7_props_value(&m->props, L7_KEY_GRPC_STATUS);
	uint64_t n;

	if (!v.len || slice_to_u64(v, &n) < 0)
		return false;
	switch (n) {
	case 1: return on & MESH_RETRY_GRPC_CANCELLED;
	case 4: return on & MESH_RETRY_GRPC_DEADLINE;
	case 8: return on & MESH_RETRY_GRPC_EXHAUSTED;
	case 13: return on & MESH_RETRY_GRPC_INTERNAL;
	case 14: return on & MESH_RETRY_GRPC_UNAVAILABLE;
	}
	return false;
}

/* The wait that the answer asks for, in ms; 0: none that counts. */
static uint32_t asked_wait(struct stream *st, const struct mesh_retry *c)
{
	uint64_t now = worker_wall_ns(st->w) / 1000000000;

	for (uint32_t i = 0; i < c->n_resets; i++) {
		struct l7_prop *p = l7_props_find(&st->resp.props, c->resets[i].name);
		uint64_t n;

		if (!p || slice_to_u64(p->value, &n) < 0)
			continue;
		if (c->resets[i].is_time)
			n = n > now ? n - now : 0;
		if (n && n <= UINT32_MAX / 2000 && n * 1000 <= c->reset_max_ms)
			return (uint32_t)n * 1000;
	}
	return 0;
}

static bool is_failure(struct stream *st, struct hop *h, uint32_t *ret_ms)
{
	const struct http_retry *x = h->retry->p.arg;
	uint32_t on = h->retry->p.on;
	bool yes;

	if (l7_props_find(&st->resp.props, SLICE("x-envoy-ratelimited")))
		yes = on & MESH_RETRY_ENVOY_RATELIMITED;
	else
		yes = status_is_failure(x, on, st->resp.status) ||
		      ((on & MESH_RETRY_HEADERS) && headers_are_failure(x, st)) ||
		      grpc_is_failure(on, &st->resp);
	if (yes && x->conf)
		*ret_ms = asked_wait(st, x->conf);
	return yes;
}

/* ---- again ----------------------------------------------------------------------------------- */

static void again(struct stream *st, struct hop *h)
{
	http_expect_timeout(st, h);
	if (h->http.vhost->include_attempt_count)
		l7_props_set(&st->req.props, L7_KEY_X_ENVOY_ATTEMPT_COUNT,
			     arena_u64(st->arena, h->info.attempts));
	route_host_auto(&h->http, &st->req, h->host->lb.hostname,
			!h->chain->http.conf->suppress_envoy_headers, st->arena);
}

void http_retry_begin(struct stream *st, struct hop *h)
{
	const struct mesh_retry *c = h->http.route->retry ? h->http.route->retry :
							    h->http.vhost->retry;
	struct http_retry *x;
	struct retry_policy p;

	fill(h, c, &p);
	if (h->is_internal) {
		p.on |= asked_bits(st);
		p.per_try_ms =
			asked_number(st, "x-envoy-upstream-rq-per-try-timeout-ms", p.per_try_ms);
	}
	if (c && !request_is_retriable(st, c))
		p.on = 0;
	if (h->timeout_ms && p.per_try_ms >= h->timeout_ms)
		p.per_try_ms = 0;
	if (h->http.route->internal_redirect)
		p.moves = http_moves;
	if (!p.on && !p.per_try_ms && !p.per_try_idle_ms && !p.moves)
		return;
	x = arena_new(st->arena, struct http_retry);
	x->conf = c;
	if (h->is_internal) {
		p.num = asked_number(st, "x-envoy-max-retries", p.num);
		asked_codes(st, x);
		asked_names(st, x);
	}
	p.wants = is_failure;
	p.again = again;
	p.arg = x;
	retry_begin(st, h, &p);
}
