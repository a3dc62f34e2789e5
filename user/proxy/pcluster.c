/* SPDX-License-Identifier: Apache-2.0 */
/* What the workers share of clusters: made when the first of them uses one. */
#include <stdatomic.h>

#include "proxy/compile.h"

void pcluster_unref(struct pcluster *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	upstream_shared_done(&p->shared);
	mesh_part_unref(p->part);
	free(p);
}

static struct pcluster *pcluster_new(struct mesh_part *part)
{
	struct pcluster *p = xcalloc(1, sizeof(*p));

	p->part = mesh_part_ref(part);
	atomic_store(&p->refs, 1);
	upstream_shared_init(&p->shared, mesh_part_cluster(part));
	return p;
}

struct pcluster *pview_cluster_adopt(struct pview *v, uint32_t place, struct pcluster *have)
{
	struct pcluster *p;

	pthread_mutex_lock(&v->lock);
	p = v->clusters[place];
	if (!p) {
		if (have)
			atomic_fetch_add(&have->refs, 1);
		p = have ? have : pcluster_new(v->mesh->clusters[place]);
		v->clusters[place] = p;
	}
	pthread_mutex_unlock(&v->lock);
	return p;
}

struct pcluster *pview_cluster(struct pview *v, uint32_t place)
{
	return pview_cluster_adopt(v, place, NULL);
}

bool pview_cluster_is_used(struct pview *v, uint32_t place)
{
	bool used;

	pthread_mutex_lock(&v->lock);
	used = v->clusters[place] != NULL;
	pthread_mutex_unlock(&v->lock);
	return used;
}
