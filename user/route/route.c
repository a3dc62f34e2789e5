/* SPDX-License-Identifier: Apache-2.0 */
/* The choice: virtual host, route, cluster; and what the chosen levels say of filters and upgrades.
 */
#include "route/route.h"

#include "base/regex.h"
#include "l7/grpc.h"
#include "route/index.h"

#define WHOLE 1000000u /* fractions are parts of a million */

static bool has_path_prefix(struct slice path, const struct mesh_route *r)
{
	struct slice head = slice_first(path, r->path.len);

	return r->ignore_case ? slice_is_equal_nocase(head, r->path) :
				slice_is_equal(head, r->path);
}

/* @path without query. */
static bool path_is_match(const struct mesh_route *r, struct slice path, const struct l7_msg *m)
{
	switch (r->path_kind) {
	case MESH_PATH_ANY:
		return true;
	case MESH_PATH_PREFIX:
		return has_path_prefix(path, r);
	case MESH_PATH_EXACT:
		return path.len == r->path.len && has_path_prefix(path, r);
	case MESH_PATH_REGEX:
		return regex_is_match(r->path_regex, path);
	case MESH_PATH_SEPARATED:
		return has_path_prefix(path, r) &&
		       (path.len == r->path.len || path.ptr[r->path.len] == '/');
	case MESH_PATH_CONNECT:
		return slice_is_equal(m->method, SLICE("CONNECT"));
	}
	return false;
}

/* One random number serves all fractions of a request, as in Envoy. */
static bool is_in_fraction(uint32_t fraction, struct rng *rng, uint64_t *random)
{
	if (fraction >= WHOLE)
		return true;
	if (!*random)
		*random = rng_u64(rng) | 1ull << 63;
	return *random % WHOLE < fraction;
}

/* The value of @name in the cookie headers: the first that has one. */
static bool cookie_value(const struct l7_msg *m, struct slice name, struct slice *ret_v)
{
	l7_props_each(&m->props, i) {
		struct slice rest = m->props.v[i].value;

		if (m->props.v[i].key != L7_KEY_COOKIE)
			continue;
		while (rest.ptr) {
			struct slice value = slice_split(&rest, ';'), key;

			while (value.len && value.ptr[0] == ' ')
				value = slice_skip(value, 1);
			key = slice_split(&value, '=');
			if (!value.ptr || !slice_is_equal(key, name))
				continue;
			if (value.len >= 2 && value.ptr[0] == '"' &&
			    value.ptr[value.len - 1] == '"')
				value = slice_of(value.ptr + 1, value.len - 2);
			*ret_v = value;
			return true;
		}
	}
	return false;
}

static bool cookies_are_match(const struct mesh_route *r, const struct l7_msg *m)
{
	for (uint32_t i = 0; i < r->n_cookies; i++) {
		const struct mesh_cookie_match *c = &r->cookies[i];
		struct slice v = SLICE_NONE;
		bool found = cookie_value(m, c->name, &v);

		if ((found && mesh_string_is_match(&c->string, v)) == c->invert)
			return false;
	}
	return true;
}

/* "/a;x=1/b;y" is "/a/b". */
static struct slice without_parameters(struct slice path, struct arena *a)
{
	bool skip = false;
	size_t n = 0;
	char *to;

	if (slice_find(path, ';') < 0)
		return path;
	to = arena_alloc(a, path.len);
	for (size_t i = 0; i < path.len; i++) {
		skip = path.ptr[i] != '/' && (skip || path.ptr[i] == ';');
		if (!skip)
			to[n++] = path.ptr[i];
	}
	return slice_of(to, n);
}

static const struct mesh_route *find_route(const struct mesh_route_table *t,
					   const struct mesh_vhost *vh, const struct l7_msg *m,
					   struct arena *a, struct rng *rng)
{
	struct slice path = route_path_only(m->path, NULL);
	uint64_t random = 0;

	if (unlikely(t->ignore_path_parameters))
		path = without_parameters(path, a);

	for (uint32_t i = 0; i < vh->n_routes; i++) {
		const struct mesh_route *r = &vh->routes[i];

		if (path_is_match(r, path, m) && (!r->grpc || l7_msg_is_grpc(m)) &&
		    route_headers_are_match(r->headers, r->n_headers, m, a) &&
		    route_queries_are_match(r->queries, r->n_queries, m->path) &&
		    cookies_are_match(r, m) && is_in_fraction(r->fraction, rng, &random))
			return r;
	}
	return NULL;
}

static uint32_t pick_at(const struct mesh_weighted *w, uint32_t n, uint32_t at)
{
	for (uint32_t i = 0; i < n; i++) {
		if (at < w[i].weight)
			return i;
		at -= w[i].weight;
	}
	return n - 1;
}

uint32_t route_weighted_pick(const struct mesh_weighted *w, uint32_t n, uint32_t total,
			     struct rng *rng)
{
	must(n && total);
	return pick_at(w, n, rng_below(rng, total));
}

static const struct mesh_weighted *choose_weighted(const struct mesh_route *r,
						   const struct l7_msg *m, struct arena *a,
						   struct rng *rng)
{
	struct slice v;
	uint64_t at;

	if (!r->total_weight)
		return NULL;
	if (r->weighted_header.len && l7_msg_value(m, r->weighted_header, a, &v) &&
	    slice_to_u64(v, &at) == 0)
		return &r->weighted[pick_at(r->weighted, r->n_weighted,
					    (uint32_t)(at % r->total_weight))];
	return &r->weighted[route_weighted_pick(r->weighted, r->n_weighted, r->total_weight, rng)];
}

/* The first value names it. */
static struct slice named_cluster(const struct l7_msg *m, struct slice header, struct arena *a)
{
	const struct l7_prop *p = l7_props_find(&m->props, header);
	struct slice v = SLICE_NONE;

	if (p)
		return p->value;
	if (header.ptr[0] == ':')
		(void)l7_msg_value(m, header, a, &v);
	return v;
}

static void choose_cluster(struct route_decision *d, const struct l7_msg *m, struct arena *a,
			   struct rng *rng)
{
	const struct mesh_route *r = d->route;
	struct slice header = r->cluster_header;

	d->cluster = r->cluster;
	if (r->n_weighted) {
		d->weighted = choose_weighted(r, m, a, rng);
		if (!d->weighted)
			return;
		d->cluster = d->weighted->name;
		header = d->weighted->header;
	}
	if (!d->cluster.len && header.len)
		d->cluster = named_cluster(m, header, a);
}

struct slice route_virtual_cluster(const struct mesh_vhost *vh, const struct l7_msg *m,
				   struct arena *a)
{
	for (uint32_t i = 0; i < vh->n_virtual_clusters; i++)
		if (route_headers_are_match(vh->virtual_clusters[i].headers,
					    vh->virtual_clusters[i].n_headers, m, a))
			return vh->virtual_clusters[i].name;
	return SLICE_NONE;
}

void route_match(const struct mesh_route_table *t, const struct l7_msg *m, struct arena *a,
		 struct rng *rng, struct route_decision *ret_d)
{
	struct route_decision d = { .table = t };

	d.vhost = route_index_find(t, m->host, a);
	if (d.vhost)
		d.route = find_route(t, d.vhost, m, a, rng);
	if (d.route && d.route->action == MESH_ROUTE_CLUSTER)
		choose_cluster(&d, m, a, rng);
	*ret_d = d;
}

bool route_needs_tls(const struct mesh_vhost *vh, bool is_tls, bool is_external)
{
	if (is_tls)
		return false;
	return vh->require_tls == MESH_TLS_ALL ||
	       (vh->require_tls == MESH_TLS_EXTERNAL_ONLY && is_external);
}

static const struct mesh_filter_override *override_find(const struct mesh_overrides *o,
							struct slice name)
{
	for (uint32_t i = 0; i < o->n; i++)
		if (slice_is_equal(o->v[i].name, name))
			return &o->v[i];
	return NULL;
}

const struct mesh_filter_override *route_override(const struct route_decision *d,
						  struct slice filter_name)
{
	const struct mesh_overrides *levels[] = {
		d->weighted ? &d->weighted->overrides : NULL,
		d->route ? &d->route->overrides : NULL,
		d->vhost ? &d->vhost->overrides : NULL,
		d->table ? &d->table->overrides : NULL,
	};

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		const struct mesh_filter_override *o =
			levels[i] ? override_find(levels[i], filter_name) : NULL;

		if (o)
			return o;
	}
	return NULL;
}

static const struct mesh_upgrade *upgrade_find(const struct mesh_upgrade *u, uint32_t n,
					       struct slice type)
{
	for (uint32_t i = 0; i < n; i++)
		if (slice_is_equal_nocase(u[i].type, type))
			return &u[i];
	return NULL;
}

bool route_upgrade_is_allowed(const struct route_decision *d, const struct mesh_upgrade *hcm,
			      uint32_t n_hcm, struct slice type)
{
	const struct mesh_upgrade *u =
		d->route ? upgrade_find(d->route->upgrades, d->route->n_upgrades, type) : NULL;

	if (!u)
		u = upgrade_find(hcm, n_hcm, type);
	return u && u->enabled;
}
