/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests in flight on a multiplexed connection: an id is a slot and its generation, so that a
 * late answer to a request that is over finds nobody.
 */
#include "proxy/uconn.h"

uint64_t uconn_slot_take(struct uconn *u, struct stream *st)
{
	uint32_t i = u->free_slot;

	if (i == UCONN_SLOT_NONE) {
		uint32_t n = u->n_slots ? u->n_slots * 2 : 16;

		u->slots = xrealloc(u->slots, n * sizeof(*u->slots));
		for (uint32_t k = u->n_slots; k < n; k++)
			u->slots[k] =
				(struct uconn_slot){ NULL, 1, k + 1 < n ? k + 1 : UCONN_SLOT_NONE };
		i = u->n_slots;
		u->n_slots = n;
	}
	u->free_slot = u->slots[i].next_free;
	u->slots[i].st = st;
	return (uint64_t)u->slots[i].gen << 32 | i;
}

struct stream *uconn_slot_find(const struct uconn *u, uint64_t id)
{
	uint32_t i = (uint32_t)id;

	if (i >= u->n_slots || u->slots[i].gen != id >> 32)
		return NULL;
	return u->slots[i].st;
}

void uconn_slot_give(struct uconn *u, uint64_t id)
{
	struct uconn_slot *s = &u->slots[(uint32_t)id];

	s->st = NULL;
	s->gen++;
	s->next_free = u->free_slot;
	u->free_slot = (uint32_t)id;
}
