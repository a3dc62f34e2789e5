/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sets of nodes become views: one for all pods whose sets are equal, as long as nothing in it
 * belongs to a single pod (token buckets, limits of connections). Published in one step; when the
 * engine refuses that, pod by pod, so that one bad set harms nobody else.
 */
#include "agent/xds.h"

#include "base/clock.h"
#include "base/log.h"

#define CHECK_MS 1000 /* so long pods may differ that were equal: their pushes come one by one */

/* ---- may a view be shared? ------------------------------------------------------------------- */

/* Does the filter count what passes, or is it settled elsewhere, so that it may? */
static bool filter_counts(const struct mesh_filter *f)
{
	if (f->discovery.len || !f->kind)
		return true;
	if (strcmp(f->kind, "fault") == 0)
		return f->config && ((const struct mesh_fault *)f->config)->max_active;
	return strcmp(f->kind, "local_ratelimit") == 0;
}

static bool filters_count(const struct mesh_filter *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (filter_counts(&v[i]))
			return true;
	return false;
}

static bool chain_counts(const struct mesh_chain *c)
{
	for (uint32_t i = 0; i < c->n_filters; i++) {
		const struct mesh_net_filter *f = &c->filters[i];

		if (f->kind == MESH_NET_RATELIMIT)
			return true;
		if (f->kind == MESH_NET_HTTP && filters_count(f->http->filters, f->http->n_filters))
			return true;
		if (f->kind == MESH_NET_RPC && filters_count(f->rpc->filters, f->rpc->n_filters))
			return true;
	}
	return false;
}

static bool listener_counts(const struct mesh_listener *l)
{
	for (uint32_t i = 0; i < l->n_chains; i++)
		if (chain_counts(&l->chains[i]))
			return true;
	return l->default_chain && chain_counts(l->default_chain);
}

static bool cluster_counts(const struct mesh_cluster *c)
{
	const struct mesh_thresholds *t = &c->limits;

	if (c->kind == MESH_CLUSTER_STATIC && !c->n_endpoints)
		return false;
	return c->outlier || t->max_connections != UINT32_MAX ||
	       t->max_pending_requests != UINT32_MAX || t->max_requests != UINT32_MAX ||
	       t->max_retries != UINT32_MAX;
}

static bool view_counts(const struct mesh_view *v)
{
	for (uint32_t i = 0; i < v->n_listeners; i++)
		if (listener_counts(mesh_view_listener_at(v, i)))
			return true;
	for (uint32_t i = 0; i < v->n_clusters; i++)
		if (cluster_counts(mesh_view_cluster_at(v, i)))
			return true;
	return false;
}

/* ---- building -------------------------------------------------------------------------------- */

/* A pod whose view is just what its node has published. */
static bool is_settled(const struct agent_pod *p)
{
	return p->xds && p->view && !p->is_due && p->phase == AGENT_SERVED && !p->refusal;
}

/* The view that another pod with an equal set has, or gets now; NULL: none. */
static struct mesh_view *view_of_equal(struct agent_xds *x, const struct agent_pod *p)
{
	uint64_t print = ads_node_fingerprint(p->xds);

	list_for_each(n, &x->a->pods) {
		struct agent_pod *o = list_entry(n, struct agent_pod, node);
		struct mesh_view *v = o->next_view ? o->next_view : is_settled(o) ? o->view : NULL;

		if (o != p && o->xds && v && !o->is_alone && ads_node_fingerprint(o->xds) == print)
			return mesh_view_ref(v);
	}
	return NULL;
}

static void refuse(struct agent_pod *p, const char *why)
{
	log_error("xds", "pod %s/%s: the configuration cannot be used, %s: %s", p->conf.namespace_,
		  p->conf.name, p->view ? "the last good one stays" : "there is no other", why);
	free(p->refusal);
	p->refusal = xstrdup(why);
}

/* ---- listeners that everything goes through -------------------------------------------------- */

static bool is_published(const struct ads_node *n, struct slice listener)
{
	struct mesh_part *const *parts;
	uint32_t count;

	parts = ads_node_parts(n, &count);
	for (uint32_t i = 0; i < count; i++)
		if (parts[i]->kind == MESH_PART_LISTENER &&
		    slice_is_equal(parts[i]->name, listener))
			return true;
	return false;
}

struct catcher {
	const struct ads_node *node;
	char *why;
};

/* Istio's names of the listeners with use_original_dst. */
static void catcher_rejected(void *arg, struct slice name, const char *reason)
{
	struct catcher *c = arg;

	if (c->why || (!slice_is_equal(name, SLICE("virtualInbound")) &&
		       !slice_is_equal(name, SLICE("virtualOutbound"))))
		return;
	if (!is_published(c->node, name))
		c->why = xasprintf("listener %.*s was rejected: %s", SLICE_ARG(name), reason);
}

/*
 * Was one of them rejected, with no earlier version in force? Without it what it decides would
 * pass untouched, authorization included: such a set is none.
 */
static bool lacks_catcher(struct agent_pod *p)
{
	struct catcher c = { .node = p->xds };

	ads_node_each_rejected(p->xds, MESH_PART_LISTENER, catcher_rejected, &c);
	if (!c.why)
		return false;
	refuse(p, c.why);
	free(c.why);
	return true;
}

/* Fills next_view of a pod that is due. */
static void build(struct agent_xds *x, struct agent_pod *p)
{
	struct mesh_part *const *parts;
	struct err e;
	uint32_t n;

	p->is_alone = false;
	if (lacks_catcher(p))
		return;
	p->next_view = view_of_equal(x, p);
	if (p->next_view)
		return;
	parts = ads_node_parts(p->xds, &n);
	if (mesh_view_build(parts, n, slice_str(ads_node_id(p->xds)), &p->next_view, &e) < 0) {
		refuse(p, e.text);
		return;
	}
	p->is_alone = view_counts(p->next_view);
}

/* ---- publishing ------------------------------------------------------------------------------ */

/* Exchanges a pod's view with its next one; the same again takes it back. */
static void swap(struct agent_pod *p)
{
	struct mesh_view *v = p->view;
	enum agent_phase phase = p->phase;

	p->view = p->next_view;
	p->next_view = v;
	p->phase = p->next_phase;
	p->next_phase = phase;
	if (p->phase != phase)
		agent_policy_touch(p);
}

/* The engine has its view: connections that waited are taken up. */
static void serve(struct agent_xds *x, struct agent_pod *p)
{
	struct agent *a = x->a;

	a->engine.pod_serve(a->engine.arg, p->ref.id);
	if (p->next_phase != AGENT_SERVED)
		log_info("xds", "pod %s/%s is configured after %llu ms: %u listeners, %u clusters",
			 p->conf.namespace_, p->conf.name,
			 (unsigned long long)(clock_mono_ns() / NSEC_PER_MSEC - p->joined_ms),
			 p->view->n_listeners, p->view->n_clusters);
	free(p->refusal);
	p->refusal = NULL;
	mesh_view_unref(p->next_view);
	p->next_view = NULL;
	if (x->keeper)
		lkg_keeper_touch(x->keeper);
}

/* One after the other, after all together were refused. */
static void publish_single(struct agent_xds *x, struct agent_pod *p)
{
	struct err e;

	swap(p);
	if (agent_publish(x->a, &e) == 0) {
		serve(x, p);
		return;
	}
	swap(p);
	refuse(p, e.text);
	mesh_view_unref(p->next_view);
	p->next_view = NULL;
}

static void each_next(struct agent_xds *x, void (*fn)(struct agent_xds *x, struct agent_pod *p))
{
	list_for_each(n, &x->a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->is_changing)
			fn(x, p);
	}
}

static void swap_each(struct agent_xds *x, struct agent_pod *p)
{
	(void)x;
	swap(p);
}

static uint32_t build_due(struct agent_xds *x)
{
	uint32_t changing = 0;

	list_for_each(n, &x->a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		p->is_changing = false;
		if (!p->is_due || !p->xds || !p->in_engine)
			continue;
		p->next_phase = AGENT_SERVED;
		build(x, p);
		p->is_due = false;
		p->is_changing = p->next_view != NULL;
		changing += p->is_changing;
	}
	return changing;
}

void xds_publish(struct agent_xds *x)
{
	struct err e;

	x->is_due = false;
	if (!build_due(x))
		return;
	each_next(x, swap_each);
	if (agent_publish(x->a, &e) == 0) {
		each_next(x, serve);
		return;
	}
	each_next(x, swap_each);
	each_next(x, publish_single);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static bool is_shared(const struct agent_xds *x, const struct agent_pod *p)
{
	list_for_each(n, &x->a->pods) {
		const struct agent_pod *o = list_entry(n, struct agent_pod, node);

		if (o != p && o->view == p->view)
			return true;
	}
	return false;
}

void xds_endpoints(struct agent_xds *x, struct agent_pod *p, struct slice cluster,
		   struct mesh_part *part)
{
	if (!p->view)
		return; /* the view that is due will have them */
	agent_endpoints(x->a, p->view, cluster, part);
	if (!p->check_at_ms && !p->is_alone && is_shared(x, p))
		p->check_at_ms = clock_mono_ns() / NSEC_PER_MSEC + CHECK_MS;
}

/* All pods of the view of @p, when they are not equal any more. */
static void part_ways(struct agent_xds *x, const struct agent_pod *p)
{
	uint64_t print = ads_node_fingerprint(p->xds);
	bool differ = false;

	list_for_each(n, &x->a->pods) {
		struct agent_pod *o = list_entry(n, struct agent_pod, node);

		if (o->view == p->view && o->xds) {
			o->check_at_ms = 0;
			differ |= ads_node_fingerprint(o->xds) != print;
		}
	}
	if (!differ)
		return;
	x->is_due = true;
	list_for_each(n, &x->a->pods) {
		struct agent_pod *o = list_entry(n, struct agent_pod, node);

		o->is_due |= o->view == p->view && o->xds;
	}
}

void xds_check_shared(struct agent_xds *x, uint64_t now_ms)
{
	list_for_each(n, &x->a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->check_at_ms && now_ms >= p->check_at_ms)
			part_ways(x, p);
	}
}
