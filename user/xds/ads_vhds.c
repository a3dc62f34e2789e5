/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual hosts on demand (VHDS): a route table that has vhds is what RDS sent (its base) and the
 * virtual hosts named TABLE/... that came beside; joined here to one table, which is compiled and
 * published as any other. As Envoy, the first request names nothing, and what the server sends
 * below a table unasked is taken; the table waits a moment for that (its own name stands for it
 * among the entries, and is never sent). A host that a request asked for is subscribed until it
 * is gone; one that does not exist is remembered for a moment, so that not every request asks.
 * Delta only.
 */
#include <errno.h>

#include "xds/ads_impl.h"

#define TAG_VIRTUAL_HOSTS 0x12 /* field 2 of RouteConfiguration, with a length */

static struct ads_sub *vhosts(struct ads_node *n)
{
	return &n->subs[MESH_PART_VHOST];
}

/* The route table that a resource belongs to: all before the last slash; empty: none. */
static struct slice table_of(struct slice name)
{
	for (size_t i = name.len; i > 0; i--)
		if (name.ptr[i - 1] == '/')
			return slice_first(name, i - 1);
	return SLICE_NONE;
}

static bool is_below(const struct ads_entry *e, struct slice table)
{
	return slice_is_equal(table_of(xds_name_slice(e->name)), table);
}

static struct ads_vhds *vhds_find(const struct ads_node *n, struct slice table)
{
	for (uint32_t i = 0; i < n->n_vhds; i++)
		if (slice_is_equal(xds_name_slice(n->vhds[i].base->name), table))
			return &n->vhds[i];
	return NULL;
}

bool ads_vhds_is_table(const struct ads_node *n, const struct xds_name *name)
{
	return ads_table_find(&n->subs[MESH_PART_ROUTES].table, name) != NULL;
}

bool ads_vhds_is(const struct xds_resource *r)
{
	uint32_t n = r->kind == MESH_PART_ROUTES ? r->part->n_refs : 0;

	/* The last kind: they are sorted. */
	return n && r->part->refs[n - 1].kind == MESH_PART_VHOST;
}

/* ---- joining --------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct ads_entry *x = *(struct ads_entry *const *)a;
	const struct ads_entry *y = *(struct ads_entry *const *)b;

	return strcmp(x->name->text, y->name->text);
}

static void add_vhost(struct buf *out, struct slice bytes)
{
	uint64_t n = bytes.len;

	buf_add_char(out, TAG_VIRTUAL_HOSTS);
	for (; n >= 128; n >>= 7)
		buf_add_char(out, (char)(n | 128));
	buf_add_char(out, (char)n);
	buf_add_slice(out, bytes);
}

/* The table of @base and what is below it, in an order of its own: equal for equal nodes. */
static struct xds_resource *join(struct ads_node *n, struct xds_resource *base)
{
	const struct ads_table *t = &vhosts(n)->table;
	struct slice name = xds_name_slice(base->name);
	struct ads_entry **v = xcalloc(t->n + 1, sizeof(*v));
	struct xds_resource *r;
	struct buf bytes = { 0 };
	uint32_t count = 0;

	for (uint32_t i = 0; i < t->n; i++)
		if (t->v[i].next && is_below(&t->v[i], name))
			v[count++] = &t->v[i];
	qsort(v, count, sizeof(struct ads_entry *), by_name);
	buf_add_slice(&bytes, base->bytes);
	for (uint32_t i = 0; i < count; i++)
		add_vhost(&bytes, v[i]->next->bytes);
	r = count ? xds_store_get(ads_store(n), MESH_PART_ROUTES, buf_slice(&bytes)) :
		    xds_resource_ref(base);
	buf_done(&bytes);
	free(v);
	return r;
}

/* The joined table becomes the node's next one. 0, or -EINVAL with @e and nothing is changed. */
static int table_update(struct ads_node *n, struct xds_resource *base, struct err *e)
{
	struct ads_sub *s = &n->subs[MESH_PART_ROUTES];
	struct xds_resource *r = join(n, base);
	struct ads_entry *entry = ads_table_find(&s->table, base->name);
	int rc = 0;

	if (!r->part)
		rc = err_set(e, -EINVAL, "%s", r->error);
	if (rc < 0 || !entry) {
		xds_resource_unref(ads_store(n), r);
		return rc;
	}
	ads_entry_set(n, s, entry, r);
	ads_node_touch(n);
	return 0;
}

int ads_vhds_base(struct ads_node *n, struct xds_resource *base, struct err *e)
{
	struct ads_vhds *v = vhds_find(n, xds_name_slice(base->name));
	struct xds_resource *old;
	int rc;

	if (n->proto == &ads_proto_sotw)
		return err_set(e, -EINVAL, "vhds needs the incremental protocol");
	rc = table_update(n, base, e);
	if (rc < 0)
		return rc;
	if (!v) {
		n->vhds = xrealloc(n->vhds, (n->n_vhds + 1) * sizeof(*n->vhds));
		v = &n->vhds[n->n_vhds++];
		v->base = NULL;
	}
	old = v->base;
	v->base = xds_resource_ref(base);
	xds_resource_unref(ads_store(n), old);
	return 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Nobody wants it any more; it goes with the next requests. */
static void entry_give_up(struct ads_node *n, struct ads_entry *e)
{
	struct xds_resource *old = e->next;

	e->wants = 0;
	e->next = NULL;
	xds_resource_unref(ads_store(n), old);
	ads_names_add(&vhosts(n)->idle, e->name);
}

void ads_vhds_forget(struct ads_node *n, const struct xds_name *table)
{
	struct ads_vhds *v = vhds_find(n, xds_name_slice(table));
	struct ads_table *t = &vhosts(n)->table;

	if (!v)
		return;
	for (uint32_t i = 0; i < t->n; i++)
		if (is_below(&t->v[i], xds_name_slice(table)))
			entry_give_up(n, &t->v[i]);
	xds_resource_unref(ads_store(n), v->base);
	*v = n->vhds[--n->n_vhds];
}

void ads_vhds_expire(struct ads_node *n, struct ads_entry *e)
{
	if (!e->next && !ads_vhds_is_table(n, e->name))
		entry_give_up(n, e);
}

/* Names that requests asked for and that lead to nothing (yet). */
static uint32_t empty_count(const struct ads_node *n)
{
	const struct ads_table *t = &n->subs[MESH_PART_VHOST].table;
	uint32_t count = 0;

	for (uint32_t i = 0; i < t->n; i++)
		count += !t->v[i].next;
	return count;
}

static bool is_told(const struct ads_node *n, const struct ads_entry *e)
{
	struct slice table = table_of(xds_name_slice(e->name));
	const struct ads_entry *t = ads_table_find(&n->subs[MESH_PART_ROUTES].table,
						   xds_name_find(ads_store(n), table));

	return e->flags & (ADS_ANSWERED | ADS_EXPIRED) && (!t || t->next == t->cur);
}

int ads_node_want_host(struct ads_node *n, struct slice table, struct slice host)
{
	struct xds_name *name;
	struct ads_entry *e;
	char *text;
	int rc = -ENOENT;

	if (!vhds_find(n, table) || table.len + host.len + 1 > XDS_NAME_MAX || !host.len)
		return -ENOENT;
	text = xasprintf("%.*s/%.*s", SLICE_ARG(table), SLICE_ARG(host));
	name = xds_name_get(ads_store(n), slice_str(text));
	free(text);
	e = ads_table_find(&vhosts(n)->table, name);
	if (e && is_told(n, e))
		goto out;
	if (!e && (empty_count(n) >= ADS_HOSTS_MAX || vhosts(n)->table.n >= ADS_RESOURCES_MAX))
		goto out;
	rc = 0;
	if (!e) {
		e = ads_table_get(&vhosts(n)->table, name);
		e->wants = 1;
		ads_names_add(&vhosts(n)->fresh, name);
		ads_names_add(&n->hosts, name);
		ads_node_flush(n);
	}
out:
	xds_name_unref(ads_store(n), name);
	return rc;
}

void ads_vhds_tell(struct ads_node *n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n->hosts.n; i++) {
		struct xds_name *name = n->hosts.v[i];
		struct ads_entry *e = ads_table_find(&vhosts(n)->table, name);
		struct slice table = table_of(xds_name_slice(name));

		if (e && !is_told(n, e)) {
			n->hosts.v[kept++] = name;
			continue;
		}
		if (n->ads->ops.host)
			n->ads->ops.host(n, table, slice_skip(xds_name_slice(name), table.len + 1));
		if (e && e->flags & ADS_EXPIRED && !(e->flags & ADS_ANSWERED))
			ads_vhds_expire(n, e);
		xds_name_unref(ads_store(n), name);
	}
	n->hosts.n = kept;
}

/* ---- responses ------------------------------------------------------------------------------- */

/* What an entry was before the response. */
struct change {
	struct xds_name *name; /* referenced */
	struct xds_resource *old;
};

struct response {
	struct ads_node *n;
	struct ads_verdict *v;
	struct change *changes;
	size_t n_changes;
};

/* A subscribed name was answered, with or without content; @ttl_ms: how long that holds (0: on). */
static void name_answered(struct ads_node *n, struct slice text, uint64_t ttl_ms)
{
	struct ads_entry *e =
		ads_table_find(&vhosts(n)->table, xds_name_find(ads_store(n), text));

	if (!e)
		return;
	e->flags = (uint8_t)((e->flags | ADS_ANSWERED) & ~ADS_EXPIRED);
	/* One that leads to nothing, or to a host of another name, may be asked for again later. */
	if (e->next && ttl_ms)
		ads_entry_clock(n, e, ADS_CLOCK_TTL, ttl_ms);
	else if (e->next || ads_vhds_is_table(n, e->name))
		ads_entry_clock(n, e, ADS_CLOCK_NONE, 0);
	else
		ads_entry_clock(n, e, ADS_CLOCK_LINGER, n->ads->opts.linger_ms);
}

/* Takes over the reference to @r (may be NULL). */
static void content_set(struct response *x, struct slice text, struct xds_resource *r)
{
	struct ads_node *n = x->n;
	struct xds_name *name = xds_name_get(ads_store(n), text);
	struct ads_entry *e = ads_table_get(&vhosts(n)->table, name);

	x->changes[x->n_changes++] = (struct change){ name, e->next };
	e->next = r;
}

static void resource_take(struct response *x, const struct ads_update *u)
{
	struct ads_node *n = x->n;
	struct xds_resource *r;
	const char *why = NULL;

	for (uint32_t i = 0; i < u->n_aliases; i++)
		name_answered(n, u->aliases[i], 0);
	if (!vhds_find(n, table_of(u->name))) {
		vhosts(n)->ignored++;
		return;
	}
	if (!u->has_content) {
		name_answered(n, u->name, u->ttl_ms);
		return;
	}
	r = xds_store_get(ads_store(n), MESH_PART_VHOST, u->value);
	if (!slice_is_equal(u->type, slice_str(xds_type_url(MESH_PART_VHOST))))
		why = "is of another type than the response";
	else if (!r->part)
		why = r->error;
	else if (u->name.len > XDS_NAME_MAX || vhosts(n)->table.n >= ADS_RESOURCES_MAX)
		why = "too many resources of this type, or too long a name";
	if (why) {
		ads_update_reject(n, vhosts(n), u->name, why, x->v);
		xds_resource_unref(ads_store(n), r);
		return;
	}
	ads_rejected_forget(n, vhosts(n), u->name);
	content_set(x, u->name, r);
	ads_entry_version(n, ads_table_find(&vhosts(n)->table, x->changes[x->n_changes - 1].name),
			  u->version);
	name_answered(n, u->name, u->ttl_ms);
}

static void name_remove(struct response *x, struct slice text)
{
	struct ads_table *t = &vhosts(x->n)->table;
	struct ads_entry *e = ads_table_find(t, xds_name_find(ads_store(x->n), text));

	ads_rejected_forget(x->n, vhosts(x->n), text);
	if (e && e->next)
		content_set(x, text, NULL);
	name_answered(x->n, text, 0);
}

/* Every table that the response touches, joined anew. */
static int tables_update(struct response *x, struct err *e)
{
	struct ads_node *n = x->n;

	for (uint32_t i = 0; i < n->n_vhds; i++) {
		struct xds_resource *base = n->vhds[i].base;
		bool touched = false;
		int rc;

		for (size_t k = 0; !touched && k < x->n_changes; k++)
			touched = slice_is_equal(table_of(xds_name_slice(x->changes[k].name)),
						 xds_name_slice(base->name));
		rc = touched ? table_update(n, base, e) : 0;
		if (rc < 0)
			return err_prefix(e, rc, "route table %s", base->name->text);
	}
	return 0;
}

/* As Envoy: hosts that do not go together are refused together; the last good ones stay. */
static void revert(struct response *x, const char *why)
{
	struct ads_node *n = x->n;
	struct err e;

	for (size_t i = x->n_changes; i > 0; i--) {
		struct change *c = &x->changes[i - 1];
		struct ads_entry *entry = ads_table_find(&vhosts(n)->table, c->name);
		struct xds_resource *r = entry->next;

		entry->next = c->old;
		c->old = r;
		ads_update_reject(n, vhosts(n), xds_name_slice(c->name), why, x->v);
	}
	tables_update(x, &e); /* those that had been joined before the one that failed */
}

/* What nobody asked for by its own name goes with its content. */
static void changes_done(struct response *x)
{
	struct ads_node *n = x->n;

	for (size_t i = 0; i < x->n_changes; i++) {
		struct change *c = &x->changes[i];
		struct ads_entry *e = ads_table_find(&vhosts(n)->table, c->name);

		if (e && !e->next && !e->wants)
			ads_names_add(&vhosts(n)->idle, c->name);
		xds_resource_unref(ads_store(n), c->old);
		xds_name_unref(ads_store(n), c->name);
	}
	free(x->changes);
}

void ads_vhds_response(struct ads_node *n, const struct ads_response *m, struct ads_verdict *v)
{
	struct response x = { .n = n, .v = v };
	struct err e;

	x.changes = xcalloc(m->n + m->n_gone + 1, sizeof(*x.changes));
	for (uint32_t i = 0; i < m->n; i++)
		resource_take(&x, &m->v[i]);
	for (uint32_t i = 0; i < m->n_gone; i++)
		name_remove(&x, m->gone[i]);
	/* Any answer is one to the first request, which names nothing. */
	for (uint32_t i = 0; i < n->n_vhds; i++)
		name_answered(n, xds_name_slice(n->vhds[i].base->name), 0);
	if (tables_update(&x, &e) < 0)
		revert(&x, e.text);
	changes_done(&x);
	n->subs[MESH_PART_ROUTES].changed = true; /* tables may have waited for it */
}

void ads_vhds_time_out(struct ads_node *n, struct ads_entry *e)
{
	struct ads_verdict nobody = { 0 };
	struct response x = { .n = n, .v = &nobody };
	struct err err;

	x.changes = xcalloc(1, sizeof(*x.changes));
	name_remove(&x, xds_name_slice(e->name));
	if (tables_update(&x, &err) < 0)
		revert(&x, err.text);
	changes_done(&x);
	n->subs[MESH_PART_ROUTES].changed = true;
	buf_done(&nobody.reasons);
}

void ads_vhds_done(struct ads_node *n)
{
	for (uint32_t i = 0; i < n->n_vhds; i++)
		xds_resource_unref(ads_store(n), n->vhds[i].base);
	free(n->vhds);
	n->vhds = NULL;
	n->n_vhds = 0;
	ads_names_clear(ads_store(n), &n->hosts);
}
