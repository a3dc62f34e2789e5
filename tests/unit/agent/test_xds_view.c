/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the sets of a control plane to views: who shares one, what becomes of a set that the engine
 * does not take, when pods that shared part. Nodes and the publishing are played.
 */
#include "t_agent.h"

#include "agent/xds.h"
#include "base/clock.h"

/* ---- nodes ----------------------------------------------------------------------------------- */

struct ads_node {
	struct mesh_part *parts[T_PARTS_MAX];
	uint32_t n;
	uint64_t print;
	const char *rejected; /* a listener; NULL: none */
};

uint64_t ads_node_fingerprint(const struct ads_node *n)
{
	return n->print;
}

struct mesh_part *const *ads_node_parts(const struct ads_node *n, uint32_t *ret_n)
{
	*ret_n = n->n;
	return n->parts;
}

const char *ads_node_id(const struct ads_node *n)
{
	(void)n;
	return "node";
}

void ads_node_each_rejected(const struct ads_node *n, enum mesh_part_kind kind,
			    void (*fn)(void *arg, struct slice name, const char *reason), void *arg)
{
	if (n->rejected && kind == MESH_PART_LISTENER)
		fn(arg, slice_str(n->rejected), "it is bad");
}

/* ---- the rest of the agent ------------------------------------------------------------------- */

static struct agent a;
static struct agent_xds x;
static uint32_t hates; /* the engine takes no view of this pod but its first; 0: takes all */
static const struct mesh_view *hated_but;
static uint32_t publishings;

int agent_publish(struct agent *agent, struct err *e)
{
	publishings++;
	list_for_each(n, &agent->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->ref.id == hates && p->view != hated_but)
			return err_set(e, -EINVAL, "I hate it");
	}
	t_note("[published]");
	return 0;
}

void agent_policy_touch(struct agent_pod *p)
{
	t_note("[rules of %u]", p->ref.id);
}

void agent_endpoints(struct agent *agent, struct mesh_view *v, struct slice name,
		     struct mesh_part *part)
{
	(void)agent;
	(void)v;
	(void)part;
	t_note("[endpoints of %.*s]", SLICE_ARG(name));
}

static uint32_t kept;

void lkg_keeper_touch(struct lkg_keeper *k)
{
	assert_ptr_equal(k, &x);
	kept++;
}

static void engine_serve(void *arg, uint32_t pod)
{
	(void)arg;
	t_note("[serve %u]", pod);
}

/* ---- pods ------------------------------------------------------------------------------------ */

static int begin(void **state)
{
	(void)state;
	a = (struct agent){ .engine.pod_serve = engine_serve, .xds = &x };
	x = (struct agent_xds){ .a = &a, .keeper = (struct lkg_keeper *)&x };
	kept = 0;
	list_init(&a.pods);
	hates = publishings = 0;
	hated_but = NULL;
	t_told();
	return 0;
}

static void node_clear(struct ads_node *n)
{
	for (uint32_t i = 0; i < n->n; i++)
		mesh_part_unref(n->parts[i]);
	n->n = 0;
}

static int end(void **state)
{
	struct list *n;

	(void)state;
	while ((n = list_pop(&a.pods)) != NULL) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		node_clear(p->xds);
		free(p->xds);
		mesh_view_unref(p->view);
		mesh_view_unref(p->next_view);
		free(p->refusal);
		free(p);
	}
	return 0;
}

/* The pod's set is this now, and it is due. */
static void set(struct agent_pod *p, uint64_t print, const char *listeners, const char *clusters)
{
	struct ads_node *n = p->xds;

	node_clear(n);
	n->n = t_parts(MESH_PART_LISTENER, listeners, n->parts, 0);
	n->n = t_parts(MESH_PART_CLUSTER, clusters, n->parts, n->n);
	n->print = print;
	p->is_due = x.is_due = true;
}

/* One that waits for its first set. */
static struct agent_pod *pod_of(uint32_t id)
{
	struct agent_pod *p = xcalloc(1, sizeof(*p));

	p->ref.id = id;
	p->in_engine = true;
	p->phase = AGENT_HELD;
	p->conf.namespace_ = "default";
	p->conf.name = "p";
	p->xds = xcalloc(1, sizeof(*p->xds));
	list_push(&a.pods, &p->node);
	return p;
}

static const char *published(void)
{
	xds_publish(&x);
	assert_false(x.is_due);
	return t_told();
}

/* A cluster without limits, which is what control planes make. */
#define FREE(name) \
	T_CLUSTER(name, T_END("10.0.0.1", ""), \
		  ", 'circuit_breakers': {'thresholds': [{'max_connections': 4294967295, " \
		  "'max_pending_requests': 4294967295, 'max_requests': 4294967295, " \
		  "'max_retries': 4294967295}]}")
#define LIMITED(name) T_CLUSTER(name, T_END("10.0.0.1", ""), "")
#define L1 T_TCP("l", "10.9.9.9", "1", "c")

/* ---- cases ----------------------------------------------------------------------------------- */

static void who_was_held_is_served(void **state)
{
	struct agent_pod *p = pod_of(1), *q = pod_of(2);

	(void)state;
	set(p, 7, L1, FREE("c"));
	assert_string_equal(published(), "[rules of 1][published][serve 1]");
	assert_int_equal(kept, 1); /* on disk, some seconds later */
	assert_int_equal(p->phase, AGENT_SERVED);
	assert_int_equal(p->view->n_listeners, 1);
	assert_null(p->next_view);
	assert_false(p->is_due);
	assert_int_equal(q->phase, AGENT_HELD);
	assert_null(q->view);
	set(p, 8, "", FREE("c"));
	assert_string_equal(published(), "[published][serve 1]"); /* its rules are compared */
	assert_int_equal(p->view->n_listeners, 0);
	xds_publish(&x);
	assert_int_equal(publishings, 2);
	set(q, 9, "", "");
	q->in_engine = false;
	assert_string_equal(published(), "");
}

static void equal_sets_are_one_view(void **state)
{
	struct agent_pod *p = pod_of(1), *q = pod_of(2), *r = pod_of(3), *s = pod_of(4);

	(void)state;
	set(p, 7, L1, FREE("c"));
	set(q, 7, L1, FREE("c"));
	set(r, 8, L1, FREE("d"));
	published();
	assert_int_equal(publishings, 1);
	assert_ptr_equal(p->view, q->view);
	assert_ptr_not_equal(p->view, r->view);
	/* Also the view of one that has it already, unless it is to change. */
	set(s, 8, L1, FREE("d"));
	published();
	assert_ptr_equal(s->view, r->view);
	set(r, 9, L1, FREE("e"));
	set(q, 8, L1, FREE("d"));
	published();
	assert_ptr_equal(q->view, s->view);
	assert_ptr_not_equal(r->view, s->view);
}

static void what_counts_for_one_pod_is_not_shared(void **state)
{
	static const struct {
		const char *what, *listeners, *clusters;
		bool is_alone;
	} cases[] = {
		{ "nothing", L1, FREE("c"), false },
		{ "a cluster without endpoints", L1, T_CLUSTER("c", "", ""), false },
		{ "limits", L1, LIMITED("c"), true },
		{ "outliers", L1,
		  T_CLUSTER("c", T_END("10.0.0.1", ""),
			    ", 'outlier_detection': {}, 'circuit_breakers': {'thresholds': [{"
			    "'max_connections': 4294967295, 'max_pending_requests': 4294967295, "
			    "'max_requests': 4294967295, 'max_retries': 4294967295}]}"),
		  true },
		{ "a rate of connections",
		  T_LISTENER("l", "OUTBOUND", "10.9.9.9", "1",
			     "{'name': 'r', 'typed_config': {'@type': '" T_URL
			     "extensions.filters.network.local_ratelimit.v3.LocalRateLimit', "
			     "'stat_prefix': 'r', 'token_bucket': {'max_tokens': 1, "
			     "'fill_interval': '1s'}}}, " T_TCP_PROXY("'cluster': 'c'"),
			     ""),
		  FREE("c"), true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct agent_pod *p, *q;

		print_message("%s\n", cases[i].what);
		begin(NULL);
		p = pod_of(1);
		q = pod_of(2);
		set(p, 7, cases[i].listeners, cases[i].clusters);
		set(q, 7, cases[i].listeners, cases[i].clusters);
		published();
		assert_int_equal(p->view != q->view, cases[i].is_alone);
		assert_int_equal(p->is_alone, cases[i].is_alone);
		if (i + 1 < ARRAY_LEN(cases))
			end(NULL);
	}
}

static void one_bad_set_harms_nobody_else(void **state)
{
	struct agent_pod *p = pod_of(1), *q = pod_of(2), *r = pod_of(3);

	(void)state;
	set(p, 7, L1, FREE("c"));
	set(q, 7, L1, FREE("c"));
	published();
	hates = 2;
	hated_but = q->view;
	set(p, 8, "", FREE("c"));
	set(q, 9, "", FREE("d"));
	set(r, 10, "", FREE("e"));
	published();
	assert_int_equal(publishings, 5); /* all at once, and then one by one */
	assert_int_equal(p->view->n_listeners, 0);
	assert_ptr_equal(q->view, hated_but);
	assert_string_equal(q->refusal, "I hate it");
	assert_null(q->next_view);
	assert_int_equal(q->phase, AGENT_SERVED);
	assert_int_equal(r->phase, AGENT_SERVED);
	/* Nobody takes the view of one that has not what its node says. */
	set(r, 9, "", FREE("d"));
	published();
	assert_ptr_not_equal(r->view, q->view);
	hates = 0;
	set(q, 11, "", FREE("d"));
	published();
	assert_null(q->refusal);
}

static void who_is_hated_at_first_waits_on(void **state)
{
	struct agent_pod *p = pod_of(1);

	(void)state;
	hates = 1;
	set(p, 7, L1, FREE("c"));
	assert_null(strstr(published(), "serve"));
	assert_int_equal(p->phase, AGENT_HELD);
	assert_null(p->view);
	assert_non_null(p->refusal);
	assert_int_equal(kept, 0);
}

static void a_set_that_cannot_be_put_together(void **state)
{
	struct agent_pod *p = pod_of(1);

	(void)state;
	set(p, 7, L1 ", " L1, FREE("c"));
	assert_string_equal(published(), "");
	assert_non_null(strstr(p->refusal, "twice"));
	assert_int_equal(p->phase, AGENT_HELD);
}

#define CATCHER T_LISTENER("virtualInbound", "INBOUND", "0.0.0.0", "15006", \
			   T_TCP_PROXY("'cluster': 'c'"), ", 'use_original_dst': true")

static void without_its_catcher_a_set_is_none(void **state)
{
	struct agent_pod *p = pod_of(1);

	(void)state;
	p->xds->rejected = "virtualInbound";
	set(p, 7, L1, FREE("c"));
	assert_string_equal(published(), "");
	assert_int_equal(p->phase, AGENT_HELD);
	assert_string_equal(p->refusal, "listener virtualInbound was rejected: it is bad");
	/* An earlier one is in force. */
	set(p, 8, L1 ", " CATCHER, FREE("c"));
	published();
	assert_int_equal(p->phase, AGENT_SERVED);
	assert_null(p->refusal);
	/* Others may be missing. */
	p->xds->rejected = "10.9.9.9_1";
	set(p, 9, "", FREE("c"));
	published();
	assert_int_equal(p->view->n_listeners, 0);
}

static void equal_pods_part_when_they_differ(void **state)
{
	struct agent_pod *p = pod_of(1), *q = pod_of(2), *r = pod_of(3);
	uint64_t now;

	(void)state;
	xds_endpoints(&x, p, SLICE("c"), NULL);
	assert_string_equal(t_told(), ""); /* the view that is due will have them */
	set(p, 7, L1, FREE("c"));
	set(q, 7, L1, FREE("c"));
	set(r, 8, L1, FREE("c"));
	published();
	xds_endpoints(&x, r, SLICE("c"), NULL);
	assert_string_equal(t_told(), "[endpoints of c]");
	assert_int_equal(r->check_at_ms, 0); /* it is alone with its view */
	now = clock_mono_ns() / NSEC_PER_MSEC;
	xds_endpoints(&x, p, SLICE("c"), NULL);
	assert_true(p->check_at_ms > now);
	p->xds->print = q->xds->print = 9; /* both were told the same */
	xds_check_shared(&x, now);
	assert_int_not_equal(p->check_at_ms, 0);
	xds_check_shared(&x, now + 10000);
	assert_int_equal(p->check_at_ms, 0);
	assert_false(x.is_due || p->is_due);
	xds_endpoints(&x, p, SLICE("c"), NULL);
	p->xds->print = 10;
	xds_check_shared(&x, now + 20000);
	assert_true(x.is_due && p->is_due && q->is_due && !r->is_due);
	published();
	assert_ptr_not_equal(p->view, q->view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_was_held_is_served, begin, end),
		cmocka_unit_test_setup_teardown(equal_sets_are_one_view, begin, end),
		cmocka_unit_test_setup_teardown(what_counts_for_one_pod_is_not_shared, begin, end),
		cmocka_unit_test_setup_teardown(one_bad_set_harms_nobody_else, begin, end),
		cmocka_unit_test_setup_teardown(who_is_hated_at_first_waits_on, begin, end),
		cmocka_unit_test_setup_teardown(a_set_that_cannot_be_put_together, begin, end),
		cmocka_unit_test_setup_teardown(without_its_catcher_a_set_is_none, begin, end),
		cmocka_unit_test_setup_teardown(equal_pods_part_when_they_differ, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
