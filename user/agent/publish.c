/* SPDX-License-Identifier: Apache-2.0 */
/* Files -> views -> snapshot -> engine -> kernel policies. */
#include <errno.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/log.h"
#include "xds/load.h"

#define REPORT_LINES 20 /* logged; the rest is counted */

static void log_report(const struct xds_report *r)
{
	for (size_t i = 0; i < r->n && i < REPORT_LINES; i++)
		log_warn("config", "%.*s: %.*s", SLICE_ARG(r->v[i].path), SLICE_ARG(r->v[i].text));
	if (r->n + r->dropped > REPORT_LINES)
		log_warn("config", "%zu more fields are not used by this version",
			 r->n + r->dropped - REPORT_LINES);
}

int agent_load_view(struct agent *a, char **paths, uint32_t n, struct mesh_view **ret_v,
		    struct err *e)
{
	struct xds_report report = { 0 };
	int r;

	(void)a;
	r = xds_load_files((const char *const *)paths, n, ret_v, &report, e);
	if (r == 0)
		log_report(&report);
	xds_report_done(&report);
	return r;
}

static bool same_paths(char **a, uint32_t na, char **b, uint32_t nb)
{
	if (na != nb)
		return false;
	for (uint32_t i = 0; i < na; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

/* The view that an earlier pod of this load has of the same files: equal resources are held once.
 */
static struct mesh_view *shared_view(struct agent *a, const struct agent_pod *p)
{
	list_for_each(n, &a->pods) {
		struct agent_pod *o = list_entry(n, struct agent_pod, node);

		if (o == p)
			return NULL;
		if (o->next_view && !agent_xds_wants(a, &o->conf) &&
		    same_paths(o->conf.resources, o->conf.n_resources,
					       p->conf.resources, p->conf.n_resources))
			return mesh_view_ref(o->next_view);
	}
	return NULL;
}

void agent_views_drop(struct agent *a, struct mesh_view *host)
{
	mesh_view_unref(host);
	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		mesh_view_unref(p->next_view);
		p->next_view = NULL;
	}
}

/* Reads everything again into next_view; on failure nothing has changed. */
int agent_load_all(struct agent *a, struct mesh_view **ret_host, struct err *e)
{
	struct mesh_view *host = NULL;
	int r = agent_load_view(a, a->conf->resources, a->conf->n_resources, &host, e);

	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (r < 0)
			break;
		if (p->leaving) {
			/* Until the kernel hands over no more of its connections. */
			p->next_view = p->view ? mesh_view_ref(p->view) : NULL;
			continue;
		}
		if (agent_xds_wants(a, &p->conf)) {
			/* The control plane's business; files give way when it has sent all. */
			p->next_view = p->view ? mesh_view_ref(p->view) : NULL;
			continue;
		}
		p->next_view = shared_view(a, p);
		if (!p->next_view)
			r = agent_load_view(a, p->conf.resources, p->conf.n_resources,
					    &p->next_view, e);
		if (r < 0)
			err_prefix(e, r, "pod %s/%s", p->conf.namespace_, p->conf.name);
	}
	if (r < 0) {
		agent_views_drop(a, host);
		return r;
	}
	*ret_host = host;
	return 0;
}

static void fill_inbound(struct mesh_snapshot *s, struct mesh_pod *m, const struct skiffd_pod *conf)
{
	m->inbound = arena_array(&s->arena, struct mesh_prefix, conf->n_policy);
	for (uint32_t i = 0; i < conf->n_policy; i++) {
		const struct skiffd_policy *p = &conf->policy[i];

		if (p->direction == MESH_INBOUND)
			m->inbound[m->n_inbound++] = (struct mesh_prefix){ p->net, p->bits };
	}
}

static void fill_pod(struct mesh_snapshot *s, struct mesh_pod *m, const struct agent_pod *p)
{
	m->name = arena_slice(&s->arena, slice_str(p->conf.name));
	m->namespace_ = arena_slice(&s->arena, slice_str(p->conf.namespace_));
	m->service_account = arena_slice(&s->arena, slice_str(p->conf.service_account));
	m->netns = arena_slice(&s->arena, slice_str(p->conf.netns));
	m->id = p->ref.id;
	m->n_addresses = p->n_addresses;
	m->addresses = arena_array(&s->arena, struct addr, p->n_addresses);
	if (p->n_addresses)
		memcpy(m->addresses, p->addresses, p->n_addresses * sizeof(struct addr));
	m->n_labels = p->conf.n_labels;
	m->labels = arena_array(&s->arena, struct mesh_label, p->conf.n_labels);
	for (uint32_t i = 0; i < p->conf.n_labels; i++) {
		m->labels[i].key = arena_slice(&s->arena, slice_str(p->conf.labels[i].key));
		m->labels[i].value = arena_slice(&s->arena, slice_str(p->conf.labels[i].value));
	}
	m->fail_open = p->conf.fail_open;
	fill_inbound(s, m, &p->conf);
	m->view = p->view ? mesh_view_ref(p->view) : NULL;
}

static struct mesh_snapshot *snapshot(struct agent *a)
{
	struct mesh_snapshot *s = mesh_snapshot_new();
	uint32_t i = 0;

	s->version = ++a->version;
	s->host = a->host ? mesh_view_ref(a->host) : NULL;
	s->pods = arena_array(&s->arena, struct mesh_pod, a->n_pods);
	list_for_each(n, &a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		/* What is held or closed has no configuration: nobody may pass it unseen. */
		if (p->in_engine && p->phase == AGENT_SERVED)
			fill_pod(s, &s->pods[i++], p);
	}
	s->n_pods = i;
	return s;
}

int agent_publish(struct agent *a, struct err *e)
{
	struct mesh_snapshot *s = snapshot(a);
	int r;

	dns_seed(a->dns, s, a->snap);
	r = a->engine.apply(a->engine.arg, s, e);

	if (r < 0) {
		mesh_snapshot_unref(s);
		return r;
	}
	/* The engine is ready for them: now the kernel may send connections. */
	r = agent_policy_apply(a, e);
	if (r < 0) {
		struct err ignored;

		/* Refused whole: the engine goes back to what the kernel was made for. */
		if (a->snap && a->engine.apply(a->engine.arg, a->snap, &ignored) < 0)
			log_error("agent", "the old configuration cannot be put back: %s",
				  ignored.text);
		mesh_snapshot_unref(s);
		return r;
	}
	mesh_snapshot_unref(a->snap);
	a->snap = s;
	dns_set(a->dns, s);
	a->published_ns = clock_mono_ns();
	a->ports_at_ms = clock_mono_ns() / NSEC_PER_MSEC + AGENT_PORTS_MS;
	return 0;
}
