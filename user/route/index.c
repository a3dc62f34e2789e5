/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains of a route table: one hash of exact names, suffixes ("*.a") and prefixes ("a.*"), and
 * the lengths of the wildcards, longest first. A search costs one probe for each length that
 * exists, whatever the number of virtual hosts.
 */
#include "route/index.h"

#include <errno.h>
#include <xxhash.h>

#define HOST_ON_STACK 256

enum kind { EXACT, SUFFIX, PREFIX };

struct entry {
	struct slice text; /* lower case, without '*'; ptr NULL: free */
	enum kind kind;
	const struct mesh_vhost *vhost;
};

struct lengths {
	uint32_t *v; /* descending */
	uint32_t n;
};

struct route_index {
	struct entry *slots;
	uint32_t mask;
	bool has_exact;
	struct lengths suffixes, prefixes;
	const struct mesh_vhost *any; /* "*" */
};

static uint64_t hash(enum kind kind, struct slice text)
{
	return XXH3_64bits_withSeed(text.ptr, text.len, (uint64_t)kind);
}

static struct entry *slot(const struct route_index *x, enum kind kind, struct slice text)
{
	uint32_t i = (uint32_t)hash(kind, text) & x->mask;

	while (x->slots[i].text.ptr &&
	       (x->slots[i].kind != kind || !slice_is_equal(x->slots[i].text, text)))
		i = (i + 1) & x->mask;
	return &x->slots[i];
}

static const struct mesh_vhost *find(const struct route_index *x, enum kind kind, struct slice text)
{
	const struct entry *e = slot(x, kind, text);

	return e->text.ptr ? e->vhost : NULL;
}

static void lower(char *to, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		to[i] = (char)tolower((unsigned char)s.ptr[i]);
}

static struct slice lower_copy(struct slice s, struct arena *a)
{
	char *p = arena_str(a, s);

	lower(p, s);
	return slice_of(p, s.len);
}

static void length_add(struct lengths *l, uint32_t len)
{
	uint32_t i = 0;

	while (i < l->n && l->v[i] > len)
		i++;
	if (i < l->n && l->v[i] == len)
		return;
	memmove(&l->v[i + 1], &l->v[i], (l->n - i) * sizeof(*l->v));
	l->v[i] = len;
	l->n++;
}

static int domain_add(struct route_index *x, const struct mesh_vhost *vh, struct slice domain,
		      struct arena *a, struct err *e)
{
	struct slice text = lower_copy(domain, a);
	enum kind kind = EXACT;
	struct entry *at;

	if (slice_is_equal(text, SLICE("*"))) {
		if (x->any)
			return err_set(e, -EEXIST,
				       "virtual host '%.*s': only one may have the domain '*'",
				       SLICE_ARG(vh->name));
		x->any = vh;
		return 0;
	}
	if (text.len && text.ptr[0] == '*') {
		kind = SUFFIX;
		text = slice_skip(text, 1);
		length_add(&x->suffixes, (uint32_t)text.len);
	} else if (text.len && text.ptr[text.len - 1] == '*') {
		kind = PREFIX;
		text.len--;
		length_add(&x->prefixes, (uint32_t)text.len);
	} else {
		x->has_exact = true;
	}
	at = slot(x, kind, text);
	if (at->text.ptr)
		return err_set(e, -EEXIST,
			       "virtual host '%.*s': domain '%.*s' is already in '%.*s'",
			       SLICE_ARG(vh->name), SLICE_ARG(domain), SLICE_ARG(at->vhost->name));
	*at = (struct entry){ text, kind, vh };
	return 0;
}

static struct route_index *index_new(const struct mesh_route_table *t, struct arena *a)
{
	struct route_index *x = arena_new(a, struct route_index);
	uint32_t n = 0, size = 4;

	for (uint32_t i = 0; i < t->n_vhosts; i++)
		n += t->vhosts[i].n_domains;
	while (size < 2 * n)
		size *= 2;
	x->slots = arena_array(a, struct entry, size);
	x->mask = size - 1;
	x->suffixes.v = arena_array(a, uint32_t, n + 1);
	x->prefixes.v = arena_array(a, uint32_t, n + 1);
	return x;
}

int route_table_index(struct mesh_route_table *t, struct arena *a, struct err *e)
{
	struct route_index *x = index_new(t, a);

	for (uint32_t i = 0; i < t->n_vhosts; i++) {
		struct mesh_vhost *vh = &t->vhosts[i];

		for (uint32_t k = 0; k < vh->n_domains; k++) {
			int r = domain_add(x, vh, vh->domains[k], a, e);

			if (r < 0)
				return r;
		}
		for (uint32_t k = 0; k < vh->n_routes; k++)
			route_headers_resolve(vh->routes[k].headers, vh->routes[k].n_headers);
	}
	t->index = x;
	return 0;
}

/* @host in lower case. */
static const struct mesh_vhost *find_host(const struct route_index *x, struct slice host)
{
	const struct mesh_vhost *vh = x->has_exact ? find(x, EXACT, host) : NULL;

	/* A wildcard stands for at least one character. */
	for (uint32_t i = 0; !vh && i < x->suffixes.n; i++)
		if (x->suffixes.v[i] < host.len)
			vh = find(x, SUFFIX, slice_skip(host, host.len - x->suffixes.v[i]));
	for (uint32_t i = 0; !vh && i < x->prefixes.n; i++)
		if (x->prefixes.v[i] < host.len)
			vh = find(x, PREFIX, slice_first(host, x->prefixes.v[i]));
	return vh ? vh : x->any;
}

/* Without ":port", which may be empty; a bracketed IPv6 address keeps its colons. */
static struct slice without_port(struct slice host)
{
	const char *colon = host.len ? memrchr(host.ptr, ':', host.len) : NULL;
	const char *bracket = host.len ? memrchr(host.ptr, ']', host.len) : NULL;

	return colon && (!bracket || bracket < colon) ?
		       slice_first(host, (size_t)(colon - host.ptr)) :
		       host;
}

const struct mesh_vhost *route_index_find(const struct mesh_route_table *t, struct slice host,
					  struct arena *a)
{
	const struct route_index *x = t->index;
	char small[HOST_ON_STACK];
	char *p = small;

	must(x);
	if (!x->has_exact && !x->suffixes.n && !x->prefixes.n)
		return x->any;
	if (t->ignore_port_in_host)
		host = without_port(host);
	if (host.len > sizeof(small))
		p = arena_alloc(a, host.len);
	lower(p, host);
	return find_host(x, slice_of(p, host.len));
}
