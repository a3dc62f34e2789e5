/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new pod's connections wait for its first configuration, so that none slips past policy: the
 * kernel hands all of them to the engine's listeners in the pod, where nobody accepts them yet. Not
 * for ever: then the pod is open or closed, as it is when no skiffd lives.
 */
#include "agent/xds.h"
#include "base/clock.h"
#include "base/log.h"

static uint64_t hold_end(const struct agent_xds *x, const struct agent_pod *p)
{
	return p->joined_ms + x->conf->hold_timeout_ms;
}

uint64_t xds_hold_next(const struct agent_xds *x)
{
	uint64_t next = 0;

	list_for_each(n, &x->a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->xds && p->phase == AGENT_HELD && (!next || hold_end(x, p) < next))
			next = hold_end(x, p);
	}
	return next;
}

/* A view that asks for nothing: connections go straight on. */
static void open_up(struct agent_pod *p)
{
	struct err e;

	must(mesh_view_build(NULL, 0, SLICE("no configuration"), &p->view, &e) == 0);
	p->phase = AGENT_SERVED;
}

static void give_up(struct agent_xds *x, struct agent_pod *p)
{
	log_error("xds",
		  "pod %s/%s: no complete configuration within %u ms: its connections are %s%s%s",
		  p->conf.namespace_, p->conf.name, x->conf->hold_timeout_ms,
		  p->conf.fail_open ? "let through (fail_open)" : "refused (not fail_open)",
		  p->refusal ? ": " : "", p->refusal ? p->refusal : "");
	if (p->conf.fail_open)
		open_up(p);
	else
		p->phase = AGENT_CLOSED;
	agent_policy_touch(p);
}

void xds_hold_turn(struct agent_xds *x, uint64_t now_ms)
{
	bool any = false;
	struct err e;

	list_for_each(n, &x->a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (!p->xds || p->phase != AGENT_HELD || now_ms < hold_end(x, p))
			continue;
		give_up(x, p);
		any = true;
	}
	if (!any)
		return;
	if (agent_publish(x->a, &e) < 0)
		log_error("xds", "%s", e.text);
	/* Those that waited are let through, or closed for want of a view. */
	list_for_each(n, &x->a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->phase != AGENT_HELD && p->in_engine)
			x->a->engine.pod_serve(x->a->engine.arg, p->ref.id);
	}
}
