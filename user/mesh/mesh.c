/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: references, look-ups. Views: view.c. */
#include "mesh/mesh.h"

#include <stdatomic.h>

struct mesh_snapshot *mesh_snapshot_new(void)
{
	struct mesh_snapshot *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	return s;
}

struct mesh_snapshot *mesh_snapshot_ref(struct mesh_snapshot *s)
{
	if (s)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void mesh_snapshot_unref(struct mesh_snapshot *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	mesh_view_unref(s->host);
	for (uint32_t i = 0; i < s->n_pods; i++)
		mesh_view_unref(s->pods[i].view);
	arena_done(&s->arena);
	free(s);
}

const struct mesh_pod *mesh_snapshot_pod(const struct mesh_snapshot *s, uint32_t id)
{
	for (uint32_t i = 0; i < s->n_pods; i++)
		if (s->pods[i].id == id)
			return &s->pods[i];
	return NULL;
}

struct slice mesh_principal(struct arena *a, const char *domain, struct slice namespace_,
			    struct slice account)
{
	if (!namespace_.len)
		return SLICE_NONE;
	return arena_printf(a, "spiffe://%s/ns/%.*s/sa/%.*s", domain ? domain : "cluster.local",
			    SLICE_ARG(namespace_),
			    SLICE_ARG(account.len ? account : SLICE("default")));
}

bool mesh_pod_has_inbound(const struct mesh_pod *p, const struct addr *dst)
{
	for (uint32_t i = 0; i < p->n_inbound; i++) {
		const struct mesh_prefix *c = &p->inbound[i];

		if ((!c->net.port || c->net.port == dst->port) && addr_is_in(dst, &c->net, c->bits))
			return true;
	}
	return false;
}

const struct mesh_pod *mesh_snapshot_pod_by_addr(const struct mesh_snapshot *s,
						 const struct addr *ip)
{
	for (uint32_t i = 0; i < s->n_pods; i++)
		for (uint32_t k = 0; k < s->pods[i].n_addresses; k++)
			if (addr_ip_is_equal(&s->pods[i].addresses[k], ip))
				return &s->pods[i];
	return NULL;
}
