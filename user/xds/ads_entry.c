/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One resource of one node: what a response says of it, what it holds, its clocks. Contents that
 * are the same as before change nothing, so over-sending is harmless.
 */
#include <errno.h>
#include <stdarg.h>

#include "xds/ads_impl.h"

/* ---- holding ------------------------------------------------------------------------------------
 */

/* Users of the named resources that @r needs: one more, or one less. */
static void needs_count(struct ads_node *n, const struct xds_resource *r, int by)
{
	for (uint32_t i = 0; i < r->part->n_refs; i++) {
		const struct mesh_ref *ref = &r->part->refs[i];
		struct ads_sub *s = &n->subs[ref->kind];
		struct xds_name *name = r->needs[i];
		struct ads_entry *e;

		/* Nothing needs its own kind; its table must not move under the caller. */
		if (ads_kind_is_wildcard(ref->kind) || ref->kind == r->kind)
			continue;
		e = ads_table_get(&s->table, name);
		e->wants += (uint32_t)by;
		if (e->wants == 0)
			ads_names_add(&s->idle, name);
		else if (by > 0 && e->wants == 1)
			ads_names_add(&s->fresh, name);
	}
}

static struct xds_resource *resource_hold(struct ads_node *n, struct xds_resource *r)
{
	if (r) {
		xds_resource_ref(r);
		needs_count(n, r, 1);
	}
	return r;
}

static void resource_release(struct ads_node *n, struct xds_resource *r)
{
	if (r) {
		needs_count(n, r, -1);
		xds_resource_unref(ads_store(n), r);
	}
}

/*
 * Its share of the fingerprint. Sums do not depend on the order; the factor keeps equal hashes from
 * cancelling out.
 */
static uint64_t print_of(const struct xds_resource *r)
{
	return r ? (r->hash | 1) * 0x9e3779b97f4a7c15ull : 0;
}

void ads_entry_activate(struct ads_node *n, struct ads_sub *s, struct ads_entry *e)
{
	struct xds_resource *old = e->cur;

	/* The first set is told as a whole. */
	if (s->kind != MESH_PART_ENDPOINTS)
		n->structure_changed = true;
	else if (n->is_ready)
		ads_names_add(&n->moved, e->name);
	n->fingerprint += print_of(e->next) - print_of(old);
	e->cur = resource_hold(n, e->next);
	resource_release(n, old);
}

static void rejected_forget(struct ads_node *n, struct ads_sub *s, const struct xds_name *name)
{
	for (uint32_t i = 0; i < s->n_rejected; i++) {
		if (s->rejected[i].name != name)
			continue;
		xds_name_unref(ads_store(n), s->rejected[i].name);
		free(s->rejected[i].reason);
		s->rejected[i] = s->rejected[--s->n_rejected];
		return;
	}
}

void ads_entry_drop(struct ads_node *n, struct ads_sub *s, struct ads_entry *e)
{
	struct xds_resource *next = e->next, *cur = e->cur;
	struct xds_name *name = e->name, *version = e->version;

	if (cur && s->kind != MESH_PART_ENDPOINTS)
		n->structure_changed = true;
	n->fingerprint -= print_of(cur);
	/* Of clusters and listeners the control plane has one of this name, though a bad one. */
	if (!ads_kind_is_wildcard(s->kind))
		rejected_forget(n, s, name);
	ads_table_del(&s->table, e);
	if (s->kind == MESH_PART_ROUTES)
		ads_vhds_forget(n, name);
	resource_release(n, next);
	resource_release(n, cur);
	xds_name_unref(ads_store(n), version);
	xds_name_unref(ads_store(n), name);
}

/* ---- clocks ---------------------------------------------------------------------------------- */

void ads_entry_clock(struct ads_node *n, struct ads_entry *e, enum ads_clock what, uint64_t ms)
{
	/* Later ones are looked at when the timer goes off. */
	if (ms > INT32_MAX)
		ms = INT32_MAX;
	e->clock = (uint8_t)what;
	if (what == ADS_CLOCK_NONE)
		return;
	e->deadline = ads_ms(n->ads) + (uint32_t)ms;
	if (!io_timer_is_armed(&n->clock) || n->clock.at > io_now(n->ads->io) / NSEC_PER_MSEC + ms)
		io_timer_set(n->ads->io, &n->clock, ms);
}

static void entry_expire(struct ads_node *n, struct ads_sub *s, struct ads_entry *e)
{
	enum ads_clock what = (enum ads_clock)e->clock;

	e->clock = ADS_CLOCK_NONE;
	switch (what) {
	case ADS_CLOCK_FETCH:
		e->flags |= ADS_EXPIRED;
		if (s->kind == MESH_PART_VHOST && ads_vhds_is_table(n, e->name))
			e->flags |= ADS_ANSWERED; /* nothing came: there is nothing */
		break;
	case ADS_CLOCK_TTL:
		if (s->kind == MESH_PART_VHOST)
			ads_vhds_time_out(n, e);
		else
			ads_entry_remove(n, s, e);
		break;
	case ADS_CLOCK_LINGER:
		if (s->kind == MESH_PART_VHOST)
			ads_vhds_expire(n, e);
		break;
	case ADS_CLOCK_NONE: break; /* settle sees that no clock runs any more */
	}
}

void ads_clock_fire(struct ads_node *n)
{
	uint32_t now = ads_ms(n->ads);
	int32_t left, least = INT32_MAX;

	for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
		struct ads_table *t = &n->subs[k].table;

		for (uint32_t i = 0; i < t->n; i++) {
			if (t->v[i].clock == ADS_CLOCK_NONE)
				continue;
			left = (int32_t)(t->v[i].deadline - now);
			if (left <= 0)
				entry_expire(n, &n->subs[k], &t->v[i]);
			else if (left < least)
				least = left;
		}
	}
	/* What expired may have set earlier ones. */
	if (least < INT32_MAX && !io_timer_is_armed(&n->clock))
		io_timer_set(n->ads->io, &n->clock, (uint64_t)least);
	ads_node_touch(n);
}

/* ---- responses ------------------------------------------------------------------------------- */

void ads_verdict_add(struct ads_verdict *v, struct slice name, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	v->n++;
	v->is_nameless |= !name.len;
	if (buf_len(&v->reasons) > ADS_NACK_TEXT_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(&v->reasons, "%s%.*s%s%s", v->n > 1 ? "; " : "",
		   SLICE_ARG(slice_first(name, 256)), name.len ? ": " : "", text);
}

struct ads_sub *ads_sub_find(struct ads_node *n, struct slice type_url)
{
	enum mesh_part_kind kind;

	if (xds_type_find(type_url, &kind) == 0 && n->subs[kind].asked)
		return &n->subs[kind];
	n->unknown++;
	return NULL;
}

static void rejected_add(struct ads_node *n, struct ads_sub *s, struct slice text,
			 const char *reason)
{
	struct xds_name *name = xds_name_get(ads_store(n), slice_first(text, XDS_NAME_MAX));

	rejected_forget(n, s, name);
	if (s->n_rejected == ADS_REJECTED_MAX) {
		xds_name_unref(ads_store(n), name);
		return;
	}
	if (!s->rejected)
		s->rejected = xcalloc(ADS_REJECTED_MAX, sizeof(*s->rejected));
	s->rejected[s->n_rejected++] = (struct ads_rejected){ name, xstrdup(reason) };
}

void ads_rejected_forget(struct ads_node *n, struct ads_sub *s, struct slice name)
{
	rejected_forget(n, s, xds_name_find(ads_store(n), name));
}

void ads_update_reject(struct ads_node *n, struct ads_sub *s, struct slice name,
			  const char *reason, struct ads_verdict *v)
{
	struct ads_entry *e = ads_table_find(&s->table, xds_name_find(ads_store(n), name));

	if (e) {
		e->flags |= ADS_ANSWERED | ADS_SEEN;
		if (e->clock == ADS_CLOCK_FETCH)
			e->clock = ADS_CLOCK_NONE;
		s->changed = true;
	}
	ads_verdict_add(v, name, "%s", reason);
	if (e || ads_kind_is_wildcard(s->kind))
		rejected_add(n, s, name, reason);
}

void ads_entry_version(struct ads_node *n, struct ads_entry *e, struct slice version)
{
	struct xds_name *old = e->version;

	if (slice_is_equal(xds_name_slice(old), version))
		return;
	e->version = version.len ? xds_name_get(ads_store(n), version) : NULL;
	xds_name_unref(ads_store(n), old);
}

static void entry_answered(struct ads_node *n, struct ads_entry *e, uint64_t ttl_ms)
{
	e->flags = (uint8_t)((e->flags | ADS_ANSWERED | ADS_SEEN) & ~ADS_EXPIRED);
	ads_entry_clock(n, e, ttl_ms ? ADS_CLOCK_TTL : ADS_CLOCK_NONE, ttl_ms);
}

void ads_entry_set(struct ads_node *n, struct ads_sub *s, struct ads_entry *e,
		   struct xds_resource *r)
{
	struct xds_resource *old = e->next;

	if (old == r) {
		xds_resource_unref(ads_store(n), r);
		return;
	}
	e->next = r;
	e->updated = (uint32_t)(clock_wall_ns() / NSEC_PER_SEC);
	needs_count(n, r, 1);
	resource_release(n, old);
	if (s->kind == MESH_PART_ENDPOINTS && !ads_endpoints_wait(n, e))
		ads_entry_activate(n, s, e);
	else
		s->changed = true;
}

/* The entry for a good resource; NULL: nobody asked for it, or there are too many. */
static struct ads_entry *update_entry(struct ads_sub *s, struct xds_name *name)
{
	struct ads_entry *e = ads_table_find(&s->table, name);

	if (ads_kind_is_wildcard(s->kind))
		return e || s->table.n < ADS_RESOURCES_MAX ? ads_table_get(&s->table, name) : NULL;
	if (e && e->wants)
		return e;
	s->ignored++;
	return NULL;
}

static void update_heartbeat(struct ads_node *n, struct ads_sub *s, const struct ads_update *u,
			     struct ads_verdict *v)
{
	struct ads_entry *e = ads_table_find(&s->table, xds_name_find(ads_store(n), u->name));

	if (!e || !e->next)
		ads_update_reject(n, s, u->name, "has no content, and is not known", v);
	else
		entry_answered(n, e, u->ttl_ms);
}

/* Does a listener name the filter @r for another type? */
static bool type_is_refused(const struct ads_node *n, const struct xds_resource *r)
{
	const struct ads_table *t = &n->subs[MESH_PART_LISTENER].table;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct xds_resource *l = t->v[i].next;

		if (l && l->part->n_types && !mesh_part_allows(l->part, r->part))
			return true;
	}
	return false;
}

/* What is wrong with @r beside what its compiler says; NULL: nothing. */
static const char *update_fault(const struct ads_node *n, const struct ads_sub *s,
				const struct ads_update *u, const struct xds_resource *r)
{
	if (r->error)
		return r->error;
	if (s->kind == MESH_PART_FILTER && type_is_refused(n, r))
		return "its type is not among the type_urls of the listener that names it";
	if (u->name.len && !slice_is_equal(u->name, xds_name_slice(r->name)))
		return "the content has another name";
	if (ads_kind_is_wildcard(s->kind) && s->table.n >= ADS_RESOURCES_MAX &&
	    !ads_table_find(&s->table, r->name))
		return "too many resources of this type";
	return NULL;
}

/* Takes over the reference to @r, which is good in itself. */
static void content_take(struct ads_node *n, struct ads_sub *s, struct ads_entry *e,
			 struct xds_resource *r, struct ads_verdict *v)
{
	struct err err;

	rejected_forget(n, s, e->name);
	if (!ads_vhds_is(r)) {
		if (s->kind == MESH_PART_ROUTES)
			ads_vhds_forget(n, e->name);
		ads_entry_set(n, s, e, r);
		return;
	}
	if (ads_vhds_base(n, r, &err) < 0)
		ads_update_reject(n, s, xds_name_slice(e->name), err.text, v);
	xds_resource_unref(ads_store(n), r);
}

void ads_update_apply(struct ads_node *n, struct ads_sub *s, const struct ads_update *u,
		      struct ads_verdict *v)
{
	const struct xds_name *name;
	struct xds_resource *r;
	struct ads_entry *e;
	const char *why;

	if (!u->has_content) {
		update_heartbeat(n, s, u, v);
		return;
	}
	if (!slice_is_equal(u->type, slice_str(xds_type_url(s->kind)))) {
		ads_update_reject(n, s, u->name, "is of another type than the response", v);
		return;
	}
	/* Most of what comes is there already. */
	name = xds_name_find(ads_store(n), u->name);
	e = ads_table_find(&s->table, name);
	r = xds_store_get_like(ads_store(n), s->kind, u->value, name, e ? e->next : NULL);
	why = update_fault(n, s, u, r);
	if (why) {
		ads_update_reject(n, s, u->name.len ? u->name : xds_name_slice(r->name), why, v);
		xds_resource_unref(ads_store(n), r);
		return;
	}
	e = update_entry(s, r->name);
	if (!e) {
		xds_resource_unref(ads_store(n), r);
		return;
	}
	ads_entry_version(n, e, u->version);
	entry_answered(n, e, u->ttl_ms);
	content_take(n, s, e, r, v);
}

void ads_entry_remove(struct ads_node *n, struct ads_sub *s, struct ads_entry *e)
{
	struct xds_resource *old = e->next;

	rejected_forget(n, s, e->name);
	e->flags |= ADS_ANSWERED | ADS_SEEN;
	s->changed = true;
	switch (s->kind) {
	case MESH_PART_ENDPOINTS:
	case MESH_PART_ROUTES:
	case MESH_PART_RPC_ROUTES:
	case MESH_PART_SECRET:
	case MESH_PART_VHOST:
		/* Whoever needs it goes on with the last one, as in Envoy; it goes with them. */
		ads_entry_clock(n, e, ADS_CLOCK_NONE, 0);
		return;
	case MESH_PART_CLUSTER:
		ads_entry_clock(n, e, ADS_CLOCK_LINGER, n->ads->opts.linger_ms);
		break;
	case MESH_PART_LISTENER:
		ads_entry_clock(n, e, ADS_CLOCK_LINGER, n->ads->opts.fetch_timeout_ms);
		break;
	case MESH_PART_FILTER: ads_entry_clock(n, e, ADS_CLOCK_NONE, 0); break;
	}
	ads_entry_version(n, e, SLICE_NONE);
	e->next = NULL;
	resource_release(n, old);
}

void ads_name_remove(struct ads_node *n, struct ads_sub *s, struct slice text)
{
	struct xds_name *name = xds_name_find(ads_store(n), text);
	struct ads_entry *e = ads_table_find(&s->table, name);

	if (e)
		ads_entry_remove(n, s, e);
	else if (name)
		rejected_forget(n, s, name);
}

void ads_rejected_clear(struct ads_node *n, struct ads_sub *s)
{
	while (s->n_rejected)
		rejected_forget(n, s, s->rejected[0].name);
}

static void text_set(char **at, struct slice text)
{
	free(*at);
	*at = text.len ? slice_dup(text) : NULL;
}

void ads_response_done(struct ads_node *n, struct ads_sub *s, struct slice version,
		       struct slice nonce, struct ads_verdict *v)
{
	struct slice reasons = buf_slice(&v->reasons);
	char *text = v->n ? slice_dup(slice_first(reasons, ADS_NACK_TEXT_MAX)) : NULL;

	s->responses++;
	s->last_push = clock_wall_ns();
	s->pushed_at = clock_mono_ns();
	text_set(&s->nonce, nonce);
	text_set(&s->error, v->is_whole ? slice_str(text) : SLICE_NONE);
	s->answered |= !v->is_whole;
	if (text)
		s->nacks++;
	else
		text_set(&s->version, version);
	n->proto->ack(n, s, text);
	ads_node_flush(n);
	ads_node_touch(n);
	ads_node_changed(n);
	free(text);
	buf_done(&v->reasons);
}

void ads_sub_done(struct ads_node *n, struct ads_sub *s)
{
	ads_rejected_clear(n, s);
	free(s->rejected);
	ads_names_clear(ads_store(n), &s->fresh);
	ads_names_clear(ads_store(n), &s->idle);
	ads_table_done(&s->table);
	free(s->version);
	free(s->nonce);
	free(s->error);
}
