/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Make before break: what of the latest contents is complete enough to be published, and when what
 * was removed may go.
 *
 * Endpoints, filters and secrets need nothing and are taken at once. A cluster waits for its
 * endpoints; a route table for clusters that are there but wait themselves; a listener for its
 * route tables and filters. A removed cluster stays while published routes name it (linger_ms at
 * most) with the endpoints that it had: those that istiod still sends for a subset that is gone are
 * the whole service's. A removed listener stays while others wait: perhaps one of them takes its
 * place. Nobody waits for what was refused, does not exist, or was not answered within the fetch
 * time-out, and nobody for secrets: nothing is done with them yet.
 */
#include "xds/ads_impl.h"

/* In this order nothing waits for what comes later. */
static const enum mesh_part_kind settle_order[] = {
	MESH_PART_ENDPOINTS, MESH_PART_FILTER,     MESH_PART_SECRET,   MESH_PART_CLUSTER,
	MESH_PART_ROUTES,    MESH_PART_RPC_ROUTES, MESH_PART_LISTENER,
};

/* The entry of the @i-th resource that @r needs. */
static struct ads_entry *ref_entry(const struct ads_node *n, const struct xds_resource *r,
				   uint32_t i)
{
	return ads_table_find(&n->subs[r->part->refs[i].kind].table, r->needs[i]);
}

static bool ref_is_ready(const struct ads_node *n, const struct xds_resource *r, uint32_t i)
{
	const struct mesh_ref *ref = &r->part->refs[i];
	const struct ads_entry *e = ref_entry(n, r, i);

	if (ref->kind == MESH_PART_CLUSTER)
		return !e || !e->next || e->cur;
	if (ref->is_weak || ref->kind == MESH_PART_SECRET)
		return true;
	if (!e)
		return false;
	return e->cur || (!e->next && e->flags & (ADS_ANSWERED | ADS_EXPIRED));
}

static bool resource_is_ready(const struct ads_node *n, const struct xds_resource *r)
{
	for (uint32_t i = 0; i < r->part->n_refs; i++)
		if (!ref_is_ready(n, r, i))
			return false;
	return true;
}

/* Notes which clusters the published routes and listeners name. */
static void clusters_mark(struct ads_node *n)
{
	static const enum mesh_part_kind users[] = { MESH_PART_LISTENER, MESH_PART_ROUTES,
						     MESH_PART_RPC_ROUTES };
	struct ads_table *clusters = &n->subs[MESH_PART_CLUSTER].table;

	for (uint32_t i = 0; i < clusters->n; i++)
		clusters->v[i].flags &= (uint8_t)~ADS_USED;
	for (size_t u = 0; u < ARRAY_LEN(users); u++) {
		const struct ads_table *t = &n->subs[users[u]].table;

		for (uint32_t i = 0; i < t->n; i++) {
			const struct xds_resource *r = t->v[i].cur;

			for (uint32_t j = 0; r && j < r->part->n_refs; j++) {
				struct ads_entry *e = NULL;

				if (r->part->refs[j].kind == MESH_PART_CLUSTER)
					e = ref_entry(n, r, j);
				if (e)
					e->flags |= ADS_USED;
			}
		}
	}
}

/* May the removed resource leave the published set? */
static bool may_go(const struct ads_node *n, const struct ads_sub *s, const struct ads_entry *e)
{
	if (!e->cur || e->clock != ADS_CLOCK_LINGER)
		return true;
	if (s->kind == MESH_PART_CLUSTER)
		return !(e->flags & ADS_USED);
	return n->subs[MESH_PART_LISTENER].warming == 0;
}

static bool cluster_uses(const struct ads_entry *e, const struct xds_name *service)
{
	const struct xds_resource *r = e ? e->cur : NULL;

	for (uint32_t i = 0; r && i < r->part->n_refs; i++)
		if (r->part->refs[i].kind == MESH_PART_ENDPOINTS && r->needs[i] == service)
			return true;
	return false;
}

bool ads_endpoints_wait(const struct ads_node *n, const struct ads_entry *e)
{
	const struct ads_entry *c = ads_table_find(&n->subs[MESH_PART_CLUSTER].table, e->name);

	return e->cur && e->wants == 1 && c && !c->next && cluster_uses(c, e->name);
}

/* Activates what is ready; counts what waits and what was removed. */
static void sub_activate(struct ads_node *n, struct ads_sub *s)
{
	s->changed = false;
	s->warming = s->removed = 0;
	for (uint32_t i = 0; i < s->table.n; i++) {
		struct ads_entry *e = &s->table.v[i];

		if (e->next == e->cur && (e->next || !ads_kind_is_wildcard(s->kind)))
			continue;
		if (!e->next && ads_kind_is_wildcard(s->kind))
			s->removed++;
		else if (s->kind == MESH_PART_ENDPOINTS && ads_endpoints_wait(n, e))
			s->warming++;
		else if (!e->next || resource_is_ready(n, e->next))
			ads_entry_activate(n, s, e);
		else
			s->warming++;
	}
}

static void sub_remove(struct ads_node *n, struct ads_sub *s)
{
	if (!s->removed)
		return;
	if (s->kind == MESH_PART_CLUSTER)
		clusters_mark(n);
	s->removed = 0;
	for (uint32_t i = 0; i < s->table.n;) {
		struct ads_entry *e = &s->table.v[i];

		if (e->next || !may_go(n, s, e)) {
			s->removed += !e->next;
			i++;
		} else {
			ads_entry_drop(n, s, e); /* another one is at this place now */
		}
	}
}

/* Is a named resource that somebody needs not answered, though perhaps known from the disk? */
static bool is_missing(const struct ads_node *n)
{
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
		const struct ads_table *t = &n->subs[k].table;

		if (ads_kind_is_wildcard((enum mesh_part_kind)k) || k == MESH_PART_SECRET)
			continue;
		for (uint32_t i = 0; i < t->n; i++)
			if (t->v[i].wants && !(t->v[i].flags & (ADS_ANSWERED | ADS_EXPIRED)))
				return true;
	}
	return false;
}

static void complete_check(struct ads_node *n)
{
	if (n->is_complete || !n->subs[MESH_PART_CLUSTER].answered ||
	    !n->subs[MESH_PART_LISTENER].answered || (n->is_stale && is_missing(n)))
		return;
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		if (n->subs[k].warming)
			return;
	n->is_complete = true;
	n->is_stale = false;
	/* Also an empty set is one. */
	n->structure_changed = true;
	ads_node_changed(n);
}

/* ---- endpoints alone --------------------------------------------------------------------------
 */

static void endpoints_tell(struct ads_node *n, const struct xds_name *service)
{
	const struct ads_entry *e = ads_table_find(&n->subs[MESH_PART_ENDPOINTS].table, service);
	const struct ads_table *clusters = &n->subs[MESH_PART_CLUSTER].table;
	const struct ads_entry *c = ads_table_find(clusters, service);
	struct mesh_part *part;

	if (!e || !e->cur)
		return;
	part = e->cur->part;
	if (cluster_uses(c, service)) {
		n->ads->ops.endpoints(n, xds_name_slice(c->name), part);
		/* Its present and its next content: nobody else uses them. */
		if (e->wants <= 2)
			return;
	}
	for (uint32_t i = 0; i < clusters->n; i++)
		if (&clusters->v[i] != c && cluster_uses(&clusters->v[i], service))
			n->ads->ops.endpoints(n, xds_name_slice(clusters->v[i].name), part);
}

/* ---- both ---------------------------------------------------------------------------------------
 */

/* Measures from the response to now, for types whose effect is out. */
static void latency_note(struct ads_node *n)
{
	uint64_t now = clock_mono_ns();

	for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
		struct ads_sub *s = &n->subs[k];

		if (!s->pushed_at || s->warming)
			continue;
		s->latency_ns = now - s->pushed_at;
		s->pushed_at = 0;
	}
}

static void publish(struct ads_node *n)
{
	struct ads_names moved = n->moved;

	n->moved = (struct ads_names){ 0 };
	if (n->structure_changed) {
		n->structure_changed = false;
		n->is_ready = true;
		n->ads->ops.ready(n);
	} else {
		for (uint32_t i = 0; i < moved.n; i++)
			endpoints_tell(n, moved.v[i]);
	}
	latency_note(n);
	ads_names_clear(ads_store(n), &moved);
}

void ads_settle(struct ads_node *n)
{
	for (size_t i = 0; i < ARRAY_LEN(settle_order); i++) {
		struct ads_sub *s = &n->subs[settle_order[i]];

		if (s->changed || s->warming || s->removed)
			sub_activate(n, s);
	}
	sub_remove(n, &n->subs[MESH_PART_LISTENER]);
	sub_remove(n, &n->subs[MESH_PART_CLUSTER]);
	ads_node_flush(n);
	/* Some waited for a cluster that has gone now. */
	if (n->subs[MESH_PART_ENDPOINTS].warming)
		sub_activate(n, &n->subs[MESH_PART_ENDPOINTS]);
	complete_check(n);
	if (n->is_complete || n->is_stale)
		publish(n);
	if (n->hosts.n) {
		ads_vhds_tell(n);
		ads_node_flush(n);
	}
}
