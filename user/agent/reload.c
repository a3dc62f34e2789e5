/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new configuration: everything is read and opened beside what serves, then published in one
 * step; when anything fails, what was opened goes and all stays as it was.
 */
#include <errno.h>

#include "agent/agent_impl.h"
#include "base/log.h"

/* ---- views -------------------------------------------------------------------- */

static void swap_views(struct agent *a)
{
	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);
		struct mesh_view *v = p->view;

		p->view = p->next_view;
		p->next_view = v;
	}
}

/* Swaps the views; on failure swaps them back. Takes @host. */
static int publish_views(struct agent *a, struct mesh_view *host, struct err *e)
{
	struct mesh_view *old = a->host;
	int r;

	a->host = host;
	swap_views(a);
	r = agent_publish(a, e);
	if (r < 0) {
		a->host = old;
		old = host;
		swap_views(a);
	}
	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		mesh_view_unref(p->next_view);
		p->next_view = NULL;
	}
	mesh_view_unref(old);
	return r;
}

/* ---- pods --------------------------------------------------------------------- */

/* @p takes what @o is configured as, and the other way round. */
static void swap_conf(struct agent_pod *p, struct agent_pod *o)
{
	struct agent_pod t = *p;

	p->conf = o->conf;
	p->arena = o->arena;
	p->addresses = o->addresses;
	p->n_addresses = o->n_addresses;
	o->conf = t.conf;
	o->arena = t.arena;
	o->addresses = t.addresses;
	o->n_addresses = t.n_addresses;
}

/* What the pod's own files say, if it has any; a node of a control plane keeps what it has until
 * it was sent its own. */
static int change_view(struct agent *a, struct agent_pod *p, struct mesh_view **ret_v,
		       struct err *e)
{
	if (agent_xds_wants(a, &p->conf)) {
		*ret_v = mesh_view_ref(p->view);
		return 0;
	}
	return agent_load_view(a, p->conf.resources, p->conf.n_resources, ret_v, e);
}

/* Its connections wait no more, when they did: there is a view that needs no control plane. */
static int change_publish(struct agent *a, struct agent_pod *p, struct mesh_view *v, struct err *e)
{
	enum agent_phase phase = p->phase;
	struct mesh_view *old = p->view;
	int r;

	p->view = v;
	if (!agent_xds_wants(a, &p->conf))
		p->phase = AGENT_SERVED;
	agent_policy_touch(p);
	r = agent_publish(a, e);
	if (r < 0) {
		p->view = old;
		p->phase = phase;
		old = v;
	} else if (phase != p->phase) {
		a->engine.pod_serve(a->engine.arg, p->ref.id);
	}
	mesh_view_unref(old);
	return r;
}

int agent_pod_change(struct agent *a, struct agent_pod *p, const struct skiffd_pod *conf,
		     struct err *e)
{
	struct agent_pod *was = agent_pod_new(conf);
	struct mesh_view *v = NULL;
	struct err ignored;
	int r;

	swap_conf(p, was);
	r = agent_pod_look(p, e);
	if (r == 0)
		r = change_view(a, p, &v, e);
	if (r == 0)
		r = agent_pod_write(a, p, e);
	if (r == 0)
		r = change_publish(a, p, v, e);
	if (r == 0)
		r = agent_xds_sync(a, p, e);
	if (r < 0) {
		err_prefix(e, r, "pod %s/%s", p->conf.namespace_, p->conf.name);
		swap_conf(p, was);
		agent_policy_touch(p);
		agent_pod_write(a, p, &ignored);
		agent_publish(a, &ignored);
	} else {
		log_info("agent", "pod %s/%s changed", p->conf.namespace_, p->conf.name);
	}
	agent_pod_free(was);
	return r;
}

static int plan_new(struct agent *a, const struct skiffd_pod *conf, struct err *e)
{
	struct agent_pod *p;

	if (!a->dp)
		return err_set(e, -ENOTSUP,
			       "pods: skiffd was started without capture: start it again");
	if (a->n_pods == AGENT_PODS_MAX)
		return err_set(e, -ENOSPC, "more than %d pods", AGENT_PODS_MAX);
	p = agent_pod_new(conf);
	p->named = p->from_file = true;
	list_push(&a->pods, &p->node);
	a->n_pods++;
	return 0;
}

/* What becomes of the pods: those of the file stay or come, others of an earlier file leave. */
static int plan_pods(struct agent *a, const struct skiffd_config *c, struct err *e)
{
	for (uint32_t i = 0; i < c->n_pods; i++) {
		const struct skiffd_pod *conf = &c->pods[i];
		const char *ns = conf->namespace_ ? conf->namespace_ : "default";
		struct agent_pod *p = agent_pod_find(a, ns, conf->name);
		int r = 0;

		if (p && p->named)
			return err_set(e, -EEXIST, "%s: pods: %s/%s is there twice", c->path, ns,
				       conf->name);
		if (p && agent_pod_is_in(p, conf->netns)) {
			p->named = true;
			p->was = agent_pod_new(conf);
			swap_conf(p, p->was);
			agent_policy_touch(p);
			r = agent_pod_look(p, e);
		} else {
			/* The same name in another namespace is another pod. */
			if (p)
				p->leaving = true;
			r = plan_new(a, conf, e);
		}
		if (r < 0)
			return r;
	}
	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		p->leaving |= p->from_file && !p->named;
	}
	return 0;
}

static int open_new(struct agent *a, struct err *e)
{
	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);
		int r = !p->named || p->was || p->in_engine ? 0 : agent_pod_open(a, p, e);

		if (r < 0)
			return r;
	}
	return 0;
}

static void drop_pod(struct agent *a, struct agent_pod *p)
{
	agent_pod_close(a, p);
	list_del(&p->node);
	a->n_pods--;
	agent_pod_free(p);
}

static void refresh_kept(struct agent *a, struct agent_pod *p)
{
	struct err e;

	if (agent_pod_write(a, p, &e) < 0 || agent_xds_sync(a, p, &e) < 0)
		log_warn("agent", "pod %s/%s: %s", p->conf.namespace_, p->conf.name, e.text);
	p->from_file = true;
	agent_pod_free(p->was);
}

/* Pods that waited for a control plane and have files now are served. */
static void serve_kept(struct agent *a)
{
	struct err e;
	bool any = false;

	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->phase == AGENT_SERVED || agent_xds_wants(a, &p->conf) || !p->view)
			continue;
		p->phase = AGENT_SERVED;
		agent_policy_touch(p);
		any = true;
	}
	if (!any)
		return;
	if (agent_publish(a, &e) < 0)
		log_error("agent", "%s", e.text);
	list_for_each(n, &a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->phase == AGENT_SERVED && p->in_engine)
			a->engine.pod_serve(a->engine.arg, p->ref.id);
	}
}

/* true: a pod leaves; the kernel has let it go already. */
static bool unhook_leaving(struct agent *a)
{
	bool any = false;

	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (!p->leaving)
			continue;
		agent_pod_unhook(a, p);
		any = true;
	}
	if (any)
		agent_settle();
	return any;
}

static void end_pods(struct agent *a, bool done)
{
	bool left = done && unhook_leaving(a);
	struct err e;

	list_for_each_safe(n, tmp, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);
		bool fresh = p->named && !p->was;

		if (done ? p->leaving : fresh) {
			if (done)
				log_info("agent", "pod %s/%s has left the mesh",
					 p->conf.namespace_, p->conf.name);
			drop_pod(a, p);
			continue;
		}
		if (p->was && done)
			refresh_kept(a, p);
		else if (p->was) {
			swap_conf(p, p->was);
			agent_policy_touch(p);
			agent_pod_free(p->was);
		} else if (fresh)
			log_info("agent", "pod %s/%s is in the mesh", p->conf.namespace_,
				 p->conf.name);
		p->was = NULL;
		p->named = p->leaving = false;
	}
	if (left && agent_publish(a, &e) < 0)
		log_warn("agent", "the pods that left are still known: %s", e.text);
	if (done)
		serve_kept(a);
}

/* ---- all of it ---------------------------------------------------------------- */

static int take(struct agent *a, struct skiffd_config *c, struct err *e)
{
	struct skiffd_config *old = a->conf;
	const struct mesh_snapshot *was = a->snap;
	struct mesh_view *host;
	int r = plan_pods(a, c, e);

	a->conf = c;
	if (r == 0)
		r = agent_load_all(a, &host, e);
	if (r == 0) {
		r = open_new(a, e);
		if (r == 0)
			r = publish_views(a, host, e);
		else
			agent_views_drop(a, host);
	}
	end_pods(a, r == 0);
	a->conf = old;
	if (r < 0 && a->snap != was) {
		struct err ignored;

		/* The engine may have it already, the kernel not: the old one again for both. */
		agent_publish(a, &ignored);
	}
	return r;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* What skiffd takes from its file at the start only. */
static bool same_base(const struct skiffd_config *a, const struct skiffd_config *b)
{
	return a->workers == b->workers && same_text(a->io, b->io) &&
	       a->busy_poll_us == b->busy_poll_us && a->has_admin == b->has_admin &&
	       addr_is_equal(&a->admin, &b->admin) && same_text(a->control, b->control) &&
	       a->max_connections == b->max_connections &&
	       a->max_connections_per_pod == b->max_connections_per_pod &&
	       a->max_buffer_bytes == b->max_buffer_bytes &&
	       a->max_buffer_bytes_per_pod == b->max_buffer_bytes_per_pod &&
	       same_text(a->cgroup, b->cgroup) && same_text(a->pin_dir, b->pin_dir) &&
	       a->credit_bytes == b->credit_bytes && a->heartbeat_seconds == b->heartbeat_seconds &&
	       same_text(a->state_dir, b->state_dir) && same_text(a->pod_folder, b->pod_folder) &&
	       skiffd_xds_is_same(a->xds, b->xds);
}

static void adopt_config(struct agent *a, struct skiffd_config *c)
{
	if (!same_base(c, a->conf))
		log_warn("agent", "workers, io, admin, control, limits, capture, xds, state_dir "
				  "and pod_folder change with a restart only");
	skiffd_config_free(a->conf);
	a->conf = c;
}

int agent_reload(struct agent *a, struct err *e)
{
	struct xds_report report = { 0 };
	struct skiffd_config *c = NULL;
	int r = skiffd_config_read(a->conf->path, &c, &report, e);

	if (r == 0)
		r = take(a, c, e);
	if (r < 0) {
		skiffd_config_free(c);
		a->reloads_refused++;
		snprintf(a->last_error, sizeof(a->last_error), "%s", e->text);
		log_error("agent", "new configuration refused, version %llu stays: %s",
			  (unsigned long long)(a->snap ? a->snap->version : 0), e->text);
		goto out;
	}
	adopt_config(a, c);
	a->reloads++;
	a->last_error[0] = '\0';
	log_info("agent", "configuration version %llu is in force",
		 (unsigned long long)a->snap->version);
	r = agent_watch_start(a, e);
out:
	xds_report_done(&report);
	return r;
}
