/* SPDX-License-Identifier: Apache-2.0 */
/* Interned resources and names: two sets of pointers with open addressing; see store.h. */
#include "xds/store.h"

#include <errno.h>
#include <xxhash.h>

#include "base/buf.h"
#include "xds/registry.h"
#include "xds/wire.h"

/* ---- a set of pointers, at most half full ---------------------------------------------------- */

struct set {
	void **v;
	uint32_t n, mask; /* mask: slots - 1; v is NULL at first */
	uint32_t (*hash)(const void *p);
};

static uint32_t name_hash(const void *p)
{
	return ((const struct xds_name *)p)->hash;
}

static uint32_t resource_hash(const void *p)
{
	return (uint32_t)((const struct xds_resource *)p)->hash;
}

static void set_put(struct set *s, void *p)
{
	uint32_t i = s->hash(p) & s->mask;

	while (s->v[i])
		i = (i + 1) & s->mask;
	s->v[i] = p;
}

static void set_resize(struct set *s, uint32_t slots)
{
	struct set old = *s;

	s->v = xcalloc(slots, sizeof(void *));
	s->mask = slots - 1;
	for (uint32_t i = 0; old.v && i <= old.mask; i++)
		if (old.v[i])
			set_put(s, old.v[i]);
	free(old.v);
}

static void set_add(struct set *s, void *p)
{
	if (!s->v || (s->n + 1) * 2 > s->mask + 1)
		set_resize(s, s->v ? (s->mask + 1) * 2 : 64);
	set_put(s, p);
	s->n++;
}

/* Takes @p out and moves up what stood behind it because of it. */
static void set_del(struct set *s, const void *p)
{
	uint32_t i = s->hash(p) & s->mask, hole, home;

	while (s->v[i] != p)
		i = (i + 1) & s->mask;
	for (hole = i;;) {
		i = (i + 1) & s->mask;
		if (!s->v[i])
			break;
		home = s->hash(s->v[i]) & s->mask;
		if (((i - home) & s->mask) >= ((i - hole) & s->mask)) {
			s->v[hole] = s->v[i];
			hole = i;
		}
	}
	s->v[hole] = NULL;
	s->n--;
	if (s->mask > 63 && s->n * 8 < s->mask)
		set_resize(s, (s->mask + 1) / 2);
}

/* ---- store ------------------------------------------------------------------------------------
 */

struct xds_store {
	xds_compile_fn compile;
	int (*check)(void *arg, struct mesh_part *part, struct err *e); /* or NULL */
	void *check_arg;
	struct set names, resources;
	struct xds_store_totals totals;
	struct buf scratch; /* the content that is being looked for */
};

struct xds_store *xds_store_new(xds_compile_fn compile)
{
	struct xds_store *s = xcalloc(1, sizeof(*s));

	s->compile = compile;
	s->names.hash = name_hash;
	s->resources.hash = resource_hash;
	return s;
}

void xds_store_free(struct xds_store *s)
{
	if (!s)
		return;
	must(s->resources.n == 0 && s->names.n == 0);
	free(s->resources.v);
	free(s->names.v);
	buf_done(&s->scratch);
	free(s);
}

/* ---- names ------------------------------------------------------------------------------------
 */

static struct xds_name *name_look(const struct xds_store *s, struct slice text, uint32_t hash)
{
	struct xds_name *n;

	for (uint32_t i = hash & s->names.mask; s->names.v && (n = s->names.v[i]) != NULL;
	     i = (i + 1) & s->names.mask)
		if (n->hash == hash && slice_is_equal(xds_name_slice(n), text))
			return n;
	return NULL;
}

struct xds_name *xds_name_find(const struct xds_store *s, struct slice text)
{
	return name_look(s, text, mesh_name_hash(text));
}

struct xds_name *xds_name_get(struct xds_store *s, struct slice text)
{
	uint32_t hash = mesh_name_hash(text);
	struct xds_name *n = name_look(s, text, hash);

	if (n)
		return xds_name_ref(n);
	n = xmalloc(sizeof(*n) + text.len + 1);
	*n = (struct xds_name){ .refs = 1, .hash = hash, .len = (uint32_t)text.len };
	if (text.len)
		memcpy(n->text, text.ptr, text.len);
	n->text[text.len] = '\0';
	set_add(&s->names, n);
	return n;
}

struct xds_name *xds_name_ref(struct xds_name *n)
{
	n->refs++;
	return n;
}

void xds_name_unref(struct xds_store *s, struct xds_name *n)
{
	if (!n || --n->refs)
		return;
	set_del(&s->names, n);
	free(n);
}

/* ---- resources --------------------------------------------------------------------------------
 */

static struct xds_resource *resource_look(const struct xds_store *s, enum mesh_part_kind kind,
					  struct slice bytes, uint64_t hash)
{
	const struct set *set = &s->resources;
	struct xds_resource *r;

	for (uint32_t i = (uint32_t)hash & set->mask; set->v && (r = set->v[i]) != NULL;
	     i = (i + 1) & set->mask)
		if (r->hash == hash && r->kind == kind && slice_is_equal(r->bytes, bytes))
			return r;
	return NULL;
}

/* Fills part, or error. */
static void resource_compile(struct xds_store *s, struct xds_resource *r)
{
	const struct xds_resource *before = r->name->latest;
	struct slice name = xds_name_slice(r->name);
	struct err e = { "" };
	int rc;

	if (before && before->kind != r->kind)
		before = NULL;
	if (!name.len || name.len > XDS_NAME_MAX || memchr(name.ptr, '\0', name.len))
		rc = err_set(&e, -EINVAL, "the %s has no name, or not a good one",
			     mesh_part_kind_name(r->kind));
	else
		rc = s->compile(r->kind, r->bytes, before, &r->report, &r->part, &e);
	if (rc >= 0 && !slice_is_equal(r->part->name, name))
		rc = err_set(&e, -EINVAL, "the name stands there twice");
	if (rc >= 0 && s->check)
		rc = s->check(s->check_arg, r->part, &e);
	s->totals.compiled++;
	if (rc < 0) {
		mesh_part_unref(r->part);
		r->part = NULL;
		r->error = xstrdup(e.text);
		s->totals.refused++;
		return;
	}
	r->name->latest = r;
}

static void needs_hold(struct xds_store *s, struct xds_resource *r)
{
	if (!r->part || !r->part->n_refs)
		return;
	r->needs = xmalloc(r->part->n_refs * sizeof(struct xds_name *));
	for (uint32_t i = 0; i < r->part->n_refs; i++)
		r->needs[i] = xds_name_get(s, r->part->refs[i].name);
}

static void needs_release(struct xds_store *s, struct xds_resource *r)
{
	for (uint32_t i = 0; r->needs && i < r->part->n_refs; i++)
		xds_name_unref(s, r->needs[i]);
	free(r->needs);
}

static struct xds_resource *resource_new(struct xds_store *s, enum mesh_part_kind kind,
					 struct slice bytes, uint64_t hash)
{
	struct xds_resource *r = xcalloc(1, sizeof(*r) + bytes.len);
	char *copy = (char *)(r + 1);

	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	*r = (struct xds_resource){
		.refs = 1,
		.kind = kind,
		.hash = hash,
		.bytes = slice_of(copy, bytes.len),
	};
	r->name = xds_name_get(s, xds_content_name(r->bytes));
	set_add(&s->resources, r);
	s->totals.bytes += bytes.len;
	resource_compile(s, r);
	needs_hold(s, r);
	return r;
}

static struct xds_resource *resource_find(const struct xds_store *s, enum mesh_part_kind kind,
					  struct slice bytes, uint64_t *ret_hash)
{
	*ret_hash = XXH3_64bits_withSeed(bytes.len ? bytes.ptr : "", bytes.len, kind);
	return resource_look(s, kind, bytes, *ret_hash);
}

void xds_store_set_check(struct xds_store *s,
			 int (*check)(void *arg, struct mesh_part *part, struct err *e), void *arg)
{
	s->check = check;
	s->check_arg = arg;
}

struct xds_resource *xds_store_get(struct xds_store *s, enum mesh_part_kind kind,
				   struct slice value)
{
	struct slice bytes = value;
	uint64_t hash;
	/* Most contents have no map with two entries: they are known as they came. */
	struct xds_resource *r = resource_find(s, kind, value, &hash);

	if (!r) {
		buf_clear(&s->scratch);
		buf_add_slice(&s->scratch, value);
		xds_canonicalize(slice_str(xds_type_url(kind)), buf_ptr(&s->scratch), value.len);
		bytes = buf_slice(&s->scratch);
		r = resource_find(s, kind, bytes, &hash);
	}
	if (!r)
		return resource_new(s, kind, bytes, hash);
	s->totals.hits++;
	if (r->part)
		r->name->latest = r;
	return xds_resource_ref(r);
}

static bool resource_is(const struct xds_resource *r, enum mesh_part_kind kind, struct slice value)
{
	return r && r->kind == kind && slice_is_equal(r->bytes, value);
}

struct xds_resource *xds_store_get_like(struct xds_store *s, enum mesh_part_kind kind,
					struct slice value, const struct xds_name *name,
					struct xds_resource *has)
{
	struct xds_resource *latest = name ? name->latest : NULL, *r = NULL;

	if (resource_is(latest, kind, value))
		r = latest;
	else if (has != latest && resource_is(has, kind, value))
		r = has;
	if (!r)
		return xds_store_get(s, kind, value);
	s->totals.hits++;
	return xds_resource_ref(r);
}

struct xds_resource *xds_resource_ref(struct xds_resource *r)
{
	r->refs++;
	return r;
}

void xds_resource_unref(struct xds_store *s, struct xds_resource *r)
{
	if (!r || --r->refs)
		return;
	set_del(&s->resources, r);
	if (r->name->latest == r)
		r->name->latest = NULL;
	s->totals.bytes -= r->bytes.len;
	needs_release(s, r);
	mesh_part_unref(r->part);
	xds_name_unref(s, r->name);
	xds_report_done(&r->report);
	free(r->error);
	free(r);
}

void xds_store_each(const struct xds_store *s, void (*fn)(void *arg, const struct xds_resource *r),
		    void *arg)
{
	for (uint32_t i = 0; s->resources.v && i <= s->resources.mask; i++)
		if (s->resources.v[i])
			fn(arg, s->resources.v[i]);
}

void xds_store_totals_get(const struct xds_store *s, struct xds_store_totals *ret_t)
{
	*ret_t = s->totals;
	ret_t->resources = s->resources.n;
	ret_t->names = s->names.n;
}

/* ---- types ------------------------------------------------------------------------------------
 */

#define T "type.googleapis.com/envoy."

static const struct {
	const char *url, *brief;
} types[MESH_PART_KINDS] = {
	[MESH_PART_CLUSTER] = { T "config.cluster.v3.Cluster", "CDS" },
	[MESH_PART_ENDPOINTS] = { T "config.endpoint.v3.ClusterLoadAssignment", "EDS" },
	[MESH_PART_LISTENER] = { T "config.listener.v3.Listener", "LDS" },
	[MESH_PART_ROUTES] = { T "config.route.v3.RouteConfiguration", "RDS" },
	[MESH_PART_RPC_ROUTES] = { T "extensions.filters.network.dubbo_proxy.v3"
				     ".MultipleRouteConfiguration",
				   "DRDS" },
	[MESH_PART_FILTER] = { T "config.core.v3.TypedExtensionConfig", "ECDS" },
	[MESH_PART_SECRET] = { T "extensions.transport_sockets.tls.v3.Secret", "SDS" },
	[MESH_PART_VHOST] = { T "config.route.v3.VirtualHost", "VHDS" },
};

const char *xds_type_url(enum mesh_part_kind kind)
{
	return types[kind].url;
}

int xds_type_find(struct slice url, enum mesh_part_kind *ret_kind)
{
	for (unsigned int i = 0; i < MESH_PART_KINDS; i++) {
		if (slice_is_equal(url, slice_str(types[i].url))) {
			*ret_kind = (enum mesh_part_kind)i;
			return 0;
		}
	}
	return -ENOENT;
}

const char *xds_type_short(enum mesh_part_kind kind)
{
	return types[kind].brief;
}

struct slice xds_content_name(struct slice value)
{
	return wire_bytes(value, 1);
}
