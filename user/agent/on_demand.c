/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual hosts that requests wait for: from the workers to the pods' nodes, and the answers back
 * once what they changed is in force.
 */
#include "agent/xds.h"

struct host_want {
	struct list node; /* agent_xds.answered, once it is answered */
	struct agent_xds *x;
	uint32_t pod;
	char *table, *host;
};

static struct host_want *want_new(struct agent_xds *x, uint32_t pod, struct slice table,
				  struct slice host)
{
	struct host_want *w = xcalloc(1, sizeof(*w));

	*w = (struct host_want){
		.x = x, .pod = pod, .table = slice_dup(table), .host = slice_dup(host)
	};
	list_init(&w->node);
	return w;
}

static void want_free(struct host_want *w)
{
	free(w->table);
	free(w->host);
	free(w);
}

static struct agent_pod *pod_by_id(const struct agent *a, uint32_t id)
{
	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->ref.id == id)
			return p;
	}
	return NULL;
}

/* On the main thread. */
static void take(void *arg)
{
	struct host_want *w = arg;
	struct agent_pod *p = pod_by_id(w->x->a, w->pod);

	if (p && p->xds &&
	    ads_node_want_host(p->xds, slice_str(w->table), slice_str(w->host)) == 0)
		want_free(w); /* the node will tell */
	else
		list_push(&w->x->answered, &w->node);
}

void agent_want_host(void *arg, uint32_t pod, struct slice table, struct slice host)
{
	struct agent *a = arg;

	if (a->xds)
		io_post(a->xds->io, take, want_new(a->xds, pod, table, host));
}

void xds_host_answered(struct agent_xds *x, const struct agent_pod *p, struct slice table,
		       struct slice host)
{
	struct host_want *w = want_new(x, p->ref.id, table, host);

	list_push(&x->answered, &w->node);
}

void xds_hosts_turn(struct agent_xds *x)
{
	struct list now, *n;

	list_init(&now);
	list_splice(&now, &x->answered);
	while ((n = list_pop(&now)) != NULL) {
		struct host_want *w = list_entry(n, struct host_want, node);
		const struct agent_pod *p = pod_by_id(x->a, w->pod);

		if (p && p->is_due) {
			list_push(&x->answered, &w->node); /* its view is still to come */
			continue;
		}
		x->a->engine.host_answered(x->a->engine.arg, w->pod, slice_str(w->table),
					   slice_str(w->host));
		want_free(w);
	}
}

void xds_hosts_done(struct agent_xds *x)
{
	struct list *n;

	while ((n = list_pop(&x->answered)) != NULL)
		want_free(list_entry(n, struct host_want, node));
}
