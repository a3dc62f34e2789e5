/* SPDX-License-Identifier: Apache-2.0 */
/* A node's resources of one type by name; see ads_impl.h. Names are interned: pointers are
 * compared. */
#include "xds/ads_impl.h"

/* The slot of @name, or the empty one where it would go. */
static uint32_t *slot_of(const struct ads_table *t, const struct xds_name *name)
{
	uint32_t i = name->hash & t->mask;

	while (t->slots[i] && t->v[t->slots[i] - 1].name != name)
		i = (i + 1) & t->mask;
	return &t->slots[i];
}

struct ads_entry *ads_table_find(const struct ads_table *t, const struct xds_name *name)
{
	uint32_t at = t->slots && name ? *slot_of(t, name) : 0;

	return at ? &t->v[at - 1] : NULL;
}

static void table_resize(struct ads_table *t, uint32_t slots)
{
	free(t->slots);
	t->slots = xcalloc(slots, sizeof(*t->slots));
	t->mask = slots - 1;
	for (uint32_t i = 0; i < t->n; i++)
		*slot_of(t, t->v[i].name) = i + 1;
}

struct ads_entry *ads_table_get(struct ads_table *t, struct xds_name *name)
{
	struct ads_entry *e = ads_table_find(t, name);

	if (e)
		return e;
	if (t->n == t->cap) {
		/* By halves: thousands of nodes' tables would otherwise be half empty. */
		t->cap = t->cap ? t->cap + t->cap / 2 : 8;
		t->v = xrealloc(t->v, t->cap * sizeof(*t->v));
	}
	e = &t->v[t->n];
	*e = (struct ads_entry){ .name = xds_name_ref(name) };
	t->n++;
	if (!t->slots || t->n * 2 > t->mask + 1)
		table_resize(t, t->slots ? (t->mask + 1) * 2 : 16);
	else
		*slot_of(t, name) = t->n;
	return e;
}

/* Empties @slot and moves up what stood behind it because of it. */
static void slot_clear(struct ads_table *t, uint32_t *slot)
{
	uint32_t hole = (uint32_t)(slot - t->slots), i = hole, home;

	for (;;) {
		i = (i + 1) & t->mask;
		if (!t->slots[i])
			break;
		home = t->v[t->slots[i] - 1].name->hash & t->mask;
		if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole] = 0;
}

void ads_table_del(struct ads_table *t, struct ads_entry *e)
{
	uint32_t place = (uint32_t)(e - t->v);

	slot_clear(t, slot_of(t, e->name));
	t->n--;
	if (place != t->n) {
		*slot_of(t, t->v[t->n].name) = place + 1;
		t->v[place] = t->v[t->n];
	}
}

void ads_table_done(struct ads_table *t)
{
	free(t->v);
	free(t->slots);
	*t = (struct ads_table){ 0 };
}

void ads_names_add(struct ads_names *l, struct xds_name *name)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 8;
		l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = xds_name_ref(name);
}

void ads_names_clear(struct xds_store *s, struct ads_names *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		xds_name_unref(s, l->v[i]);
	free(l->v);
	*l = (struct ads_names){ 0 };
}
