/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel is told of each pod, in which order, and when nothing is: the agent's rules, with
 * the services and guards that they name.
 */
#include "t_agent.h"

static struct agent a;
static struct skiffd_policy explicit_rules[2];

/* The engine: endpoints go into the view's cell. */
static int engine_endpoints(void *arg, struct mesh_view *v, struct slice cluster,
			    struct mesh_part *part)
{
	int place = mesh_view_cluster_place(v, cluster);

	(void)arg;
	if (place < 0)
		return -ENOENT;
	mesh_view_endpoints_set(v, (uint32_t)place, part);
	return 0;
}

static int begin(void **state)
{
	(void)state;
	a = (struct agent){ .dp = (struct datapath *)&a, .engine.endpoints = engine_endpoints };
	list_init(&a.pods);
	list_init(&a.rules);
	t_told();
	t_no_room = NULL;
	t_is_mesh = false;
	return 0;
}

static int end(void **state)
{
	struct list *n;

	(void)state;
	while ((n = list_pop(&a.pods)) != NULL) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		agent_policy_drop(p);
		mesh_view_unref(p->view);
		arena_done(&p->arena);
		free(p);
	}
	assert_true(list_is_empty(&a.rules));
	l4_free(a.l4);
	guards_free(a.guards);
	return 0;
}

/* A served pod with the address 10.8.0.<id>. Takes @v. */
static struct agent_pod *pod_of(uint32_t id, struct mesh_view *v)
{
	struct agent_pod *p = xcalloc(1, sizeof(*p));

	p->ref.id = id;
	p->in_engine = p->in_kernel = true;
	p->view = v;
	p->conf.namespace_ = "default";
	p->conf.name = arena_str(&p->arena, arena_printf(&p->arena, "p%u", id));
	p->addresses = arena_new(&p->arena, struct addr);
	must(addr_parse_ip(SLICE("10.8.0.0"), p->addresses) == 0);
	p->addresses[0].ip[15] = (uint8_t)id;
	p->n_addresses = 1;
	list_push(&a.pods, &p->node);
	a.n_pods++;
	return p;
}

/* What one more publishing writes. */
static const char *applied(void)
{
	struct err e = { "" };

	a.version++;
	if (agent_policy_apply(&a, &e) < 0)
		fail_msg("%s", e.text);
	return t_told();
}

static void view_set(struct agent_pod *p, struct mesh_view *v)
{
	mesh_view_unref(p->view);
	p->view = v;
}

#define C T_CLUSTER("c", T_END("10.0.0.1", ""), "")
#define HTTP(name, way, ip, port) \
	T_LISTENER( \
		name, way, ip, port, \
		"{'name': 'h', 'typed_config': {'@type': '" T_URL \
		"extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', " \
		"'stat_prefix': 's', 'route_config': {'name': 'r'}, 'http_filters': [{'name': " \
		"'router', 'typed_config': {'@type': '" T_URL \
		"extensions.filters.http.router.v3.Router'}}]}}", \
		"")
#define FIRST "[0 services stay][0 guards stay]" /* an earlier skiffd may have left some */
#define FIRST_L4 "[1 services stay][0 guards stay]"

/* ---- verdicts -------------------------------------------------------------------------------- */

static void listeners_become_rules(void **state)
{
	(void)state;
	pod_of(1, t_view(HTTP("h", "OUTBOUND", "10.9.9.9", "80") ", " T_TCP(
				 "t", "10.9.9.9", "1", "c") ", " T_TCP("any", "0.0.0.0", "2", "c")
				 ", " HTTP("i", "INBOUND", "10.8.0.1", "80"),
			 C));
	assert_string_equal(applied(),
			    "[service 10.0.0.1:80*1000000][service 10.0.0.1:80*1000000]"
			    "[pod 1 out 10.9.9.9/128:80=l7 out 10.9.9.9/128:1=l4 out any/0:2=l4 "
			    "in 10.8.0.1/128:80=l7][2 services stay][0 guards stay]");
}

static void policies_of_the_pod_itself_go_first(void **state)
{
	struct agent_pod *p = pod_of(1, t_view(HTTP("h", "OUTBOUND", "10.9.9.9", "80"), ""));

	(void)state;
	explicit_rules[0] = (struct skiffd_policy){ .direction = MESH_OUTBOUND,
						    .verdict = SKIFFD_DENY,
						    .bits = 128 };
	must(addr_parse(SLICE("10.9.9.9:80"), &explicit_rules[0].net) == 0);
	explicit_rules[1] = (struct skiffd_policy){ .direction = MESH_INBOUND,
						    .verdict = SKIFFD_BYPASS };
	p->conf.policy = explicit_rules;
	p->conf.n_policy = 2;
	assert_string_equal(applied(), "[pod 1 out 10.9.9.9/128:80=deny in any/0:0=bypass]" FIRST);
}

static void who_waits_goes_to_the_engine_and_who_is_closed_nowhere(void **state)
{
	struct agent_pod *p = pod_of(1, NULL);

	(void)state;
	p->phase = AGENT_HELD;
	agent_policy_touch(p);
	assert_string_equal(applied(), "[pod 1 out any/0:0=l7 in any/0:0=l7]" FIRST);
	p->phase = AGENT_CLOSED;
	agent_policy_touch(p);
	assert_string_equal(applied(), "[pod 1 out any/0:0=deny in any/0:0=deny]");
	p->phase = AGENT_SERVED;
	agent_policy_touch(p);
	view_set(p, t_view("", ""));
	assert_string_equal(applied(), "[pod 1]");
}

#define VIRTUAL(way, filters) \
	T_LISTENER("virtual" way, way, "0.0.0.0", "15001", filters, ", 'use_original_dst': true")
#define PASS \
	"{'name': 'c', 'type': 'ORIGINAL_DST', 'lb_policy': 'CLUSTER_PROVIDED', " \
	"'connect_timeout': '1s'}"

static void what_no_listener_names(void **state)
{
	static const char all[] = VIRTUAL("OUTBOUND", T_TCP_PROXY("'cluster': 'c'"));
	struct agent_pod *p = pod_of(1, t_view(all, PASS));

	(void)state;
	assert_string_equal(applied(),
			    "[pod 1 out any/0:0=l7]" FIRST); /* files say what they want */
	t_is_mesh = true;
	view_set(p, t_view(all, PASS));
	assert_string_equal(applied(), "[pod 1]");
	view_set(p, t_view(all, T_CLUSTER("c", "", "")));
	assert_string_equal(applied(), "[pod 1 out any/0:53=bypass out any/0:0=deny]");
	view_set(p, t_view(all, T_CLUSTER("c", T_END("10.0.0.1", ""), "")));
	assert_string_equal(applied(), "[pod 1 out any/0:0=l7]");
	view_set(p, t_view(VIRTUAL("INBOUND", T_TCP_PROXY("'cluster': 'c'")), PASS));
	assert_string_equal(applied(), "[pod 1 in any/0:0=l7]");
}

static void too_many_are_refused_with_the_pod(void **state)
{
	enum { MANY = 16385 };
	struct agent_pod *p = pod_of(1, t_view("", ""));
	struct skiffd_policy *v = xcalloc(MANY, sizeof(*v));
	struct err e;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		v[i].net = (struct addr){ .port = (uint16_t)(i + 1) };
	p->conf.policy = v;
	p->conf.n_policy = MANY;
	agent_policy_touch(p);
	assert_int_equal(agent_policy_apply(&a, &e), -E2BIG);
	assert_non_null(strstr(e.text, "pod default/p1"));
	p->conf.n_policy = 1;
	free(v);
	p->conf.policy = explicit_rules;
}

/* ---- only what changed ----------------------------------------------------------------------- */

static void what_is_the_same_is_not_written(void **state)
{
	struct mesh_view *v = t_view(T_TCP("t", "10.9.9.9", "1", "c"), C);
	struct agent_pod *p = pod_of(1, v), *q = pod_of(2, mesh_view_ref(v));

	(void)state;
	assert_string_equal(applied(),
			    "[service 10.0.0.1:80*1000000]"
			    "[pod 1 out 10.9.9.9/128:1=l4][pod 2 out 10.9.9.9/128:1=l4]" FIRST_L4);
	assert_ptr_equal(p->rules, q->rules);
	assert_string_equal(applied(), "");
	/* Another view that says the same. */
	view_set(p, t_view(T_TCP("t", "10.9.9.9", "1", "c"), C));
	assert_string_equal(applied(), "");
	assert_ptr_not_equal(p->rules, q->rules);
	agent_policy_touch(q);
	assert_string_equal(applied(), "[pod 2 out 10.9.9.9/128:1=l4]");
	view_set(p, t_view("", ""));
	assert_string_equal(applied(), "[pod 1]");
	view_set(q, t_view("", ""));
	assert_string_equal(applied(), "[pod 2][0 services stay]");
}

static void what_could_not_be_written_comes_again(void **state)
{
	struct agent_pod *p = pod_of(1, t_view(T_TCP("t", "10.9.9.9", "1", "c"), C));
	struct err e;

	(void)state;
	t_no_room = "service";
	assert_int_equal(agent_policy_apply(&a, &e), -E2BIG);
	assert_string_equal(t_told(), "");
	t_no_room = "policy";
	assert_int_equal(agent_policy_apply(&a, &e), -E2BIG);
	assert_non_null(strstr(e.text, "pod default/p1"));
	assert_null(p->rules);
	t_no_room = NULL;
	t_told();
	assert_non_null(strstr(applied(), "[pod 1 out 10.9.9.9/128:1=l4]"));
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static void endpoints_change(const char *const *ips, uint32_t n)
{
	struct agent_pod *p = list_entry(a.pods.next, struct agent_pod, node);
	struct mesh_part *part = t_endpoints("c", ips, n);

	agent_endpoints(&a, p->view, SLICE("c"), part);
	mesh_part_unref(part);
	agent_policy_catch_up(&a);
}

static void endpoints_go_another_way(void **state)
{
	static const char *const ips[] = { "10.0.0.1:80", "10.0.0.2:80" };

	(void)state;
	pod_of(1, t_view(T_TCP("t", "10.9.9.9", "1", "c"), T_EDS("c")));
	assert_string_equal(applied(), "[pod 1 out 10.9.9.9/128:1=l7]" FIRST); /* none yet */
	endpoints_change(ips, 1);
	assert_string_equal(t_told(),
			    "[service 10.0.0.1:80*1000000][pod 1 out 10.9.9.9/128:1=l4]"
			    "[1 services stay]");
	endpoints_change(ips, 2);
	assert_string_equal(t_told(), "[service 10.0.0.1:80*500000 10.0.0.2:80*500000]");
	endpoints_change(ips, 0);
	assert_string_equal(t_told(), "[pod 1 out 10.9.9.9/128:1=l7][0 services stay]");
	agent_policy_catch_up(&a);
	assert_string_equal(t_told(), "");
}

/* ---- guards ---------------------------------------------------------------------------------- */

#define RBAC(action, principal) \
	"{'name': 'rbac', 'typed_config': {'@type': '" T_URL \
	"extensions.filters.network.rbac.v3.RBAC', 'stat_prefix': 's', 'rules': {'action': '" \
	action "', 'policies': {'p': {'permissions': [{'any': true}], 'principals': [" \
	principal "]}}}}}"
#define IP(x) "{'direct_remote_ip': {'address_prefix': '" x "', 'prefix_len': 32}}"
#define ACCOUNT(x) \
	"{'authenticated': {'principal_name': {'exact': " \
	"'spiffe://cluster.local/ns/default/sa/" x "'}}}"
#define GUARDED(rbac) VIRTUAL("INBOUND", rbac ", " T_TCP_PROXY("'cluster': 'c'"))

static void a_guard_is_there_before_its_rule_and_goes_after(void **state)
{
	struct agent_pod *p = pod_of(1, t_view(GUARDED(RBAC("DENY", IP("10.0.0.7"))), PASS));

	(void)state;
	assert_string_equal(applied(),
			    "[guard ::/0:0=yes 10.0.0.7/128:0=no]"
			    "[pod 1 in any/0:0=l7+guard][0 services stay][1 guards stay]");
	pod_of(2, t_view(GUARDED(RBAC("DENY", IP("10.0.0.7"))), PASS));
	assert_string_equal(applied(), "[pod 2 in any/0:0=l7+guard]"); /* the same list */
	view_set(p, t_view(GUARDED(RBAC("ALLOW", IP("10.0.0.7"))), PASS));
	assert_string_equal(applied(), "[guard ::/0:0=no 10.0.0.7/128:0=yes]"
				       "[pod 1 in any/0:0=l7+guard]");
	view_set(p, t_view(VIRTUAL("INBOUND", T_TCP_PROXY("'cluster': 'c'")), PASS));
	assert_string_equal(applied(), "[pod 1 in any/0:0=l7][1 guards stay]");
}

static void no_rule_names_a_guard_that_is_not_there(void **state)
{
	struct err e;

	(void)state;
	pod_of(1, t_view(GUARDED(RBAC("DENY", IP("10.0.0.7"))), PASS));
	t_no_room = "guard";
	assert_int_equal(agent_policy_apply(&a, &e), -E2BIG);
	assert_string_equal(t_told(), "");
	t_no_room = NULL;
	assert_non_null(strstr(applied(), "10.0.0.7/128:0=no][pod 1 in any/0:0=l7+guard]"));
}

static void names_come_and_go_with_pods(void **state)
{
	struct agent_pod *p = pod_of(1, t_view(GUARDED(RBAC("ALLOW", ACCOUNT("good"))), PASS)), *q;

	(void)state;
	assert_string_equal(applied(), "[guard ::/0:0=no][pod 1 in any/0:0=l7+guard]"
				       "[0 services stay][1 guards stay]");
	q = pod_of(2, t_view("", ""));
	assert_string_equal(applied(), "[pod 2]");
	q->conf.service_account = "good";
	assert_string_equal(applied(), "[guard ::/0:0=no 10.8.0.2/128:0=yes]"
				       "[pod 1 in any/0:0=l7+guard][1 guards stay]");
	q->phase = AGENT_HELD; /* the engine does not know it */
	assert_string_equal(applied(), "[guard ::/0:0=no][pod 1 in any/0:0=l7+guard]"
				       "[pod 2 out any/0:0=l7 in any/0:0=l7][1 guards stay]");
	q->phase = AGENT_SERVED;
	t_no_room = "policy";
	assert_int_equal(agent_policy_apply(&a, &(struct err){ "" }), -E2BIG);
	t_no_room = NULL;
	t_told();
	assert_string_equal(applied(), "[pod 1 in any/0:0=l7+guard][pod 2][1 guards stay]");
	assert_non_null(p->rules);
}

#define PROXY T_TCP_PROXY("'cluster': 'c'")
#define DENY RBAC("DENY", IP("10.0.0.7"))
#define ONE T_LISTENER("i", "INBOUND", "10.8.0.1", "80", DENY ", " PROXY, "")
#define ANY4 T_LISTENER("j", "INBOUND", "0.0.0.0", "81", DENY ", " PROXY, "")
#define ANY6 T_LISTENER("k", "INBOUND", "::", "81", DENY ", " PROXY, "")

static void only_where_the_engine_would_ask_that_listener(void **state)
{
	struct agent_pod *p = pod_of(1, t_view(ONE ", " ANY4, PASS));

	(void)state;
	assert_non_null(strstr(applied(), "[pod 1 in 10.8.0.1/128:80=l7+guard "
					  "in any/0:81=l7+guard]"));
	/* Another listener takes some of them. */
	view_set(p, t_view(ONE ", " ANY4
			       ", " T_LISTENER("u", "UNSPECIFIED", "10.8.0.1", "81", PROXY, ""),
			   PASS));
	assert_non_null(strstr(applied(), "in 10.8.0.1/128:80=l7+guard in any/0:81=l7 "));
	/* Two for one rule. */
	view_set(p, t_view(ANY4 ", " ANY6, PASS));
	assert_string_equal(applied(), "[pod 1 in any/0:81=l7+guard]");
	view_set(p, t_view(ANY6 ", " ANY4, PASS));
	assert_string_equal(applied(), "[pod 1 in any/0:81=l7][0 guards stay]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(listeners_become_rules, begin, end),
		cmocka_unit_test_setup_teardown(policies_of_the_pod_itself_go_first, begin, end),
		cmocka_unit_test_setup_teardown(
			who_waits_goes_to_the_engine_and_who_is_closed_nowhere, begin, end),
		cmocka_unit_test_setup_teardown(what_no_listener_names, begin, end),
		cmocka_unit_test_setup_teardown(too_many_are_refused_with_the_pod, begin, end),
		cmocka_unit_test_setup_teardown(what_is_the_same_is_not_written, begin, end),
		cmocka_unit_test_setup_teardown(what_could_not_be_written_comes_again, begin, end),
		cmocka_unit_test_setup_teardown(endpoints_go_another_way, begin, end),
		cmocka_unit_test_setup_teardown(a_guard_is_there_before_its_rule_and_goes_after,
						begin, end),
		cmocka_unit_test_setup_teardown(no_rule_names_a_guard_that_is_not_there, begin,
						end),
		cmocka_unit_test_setup_teardown(names_come_and_go_with_pods, begin, end),
		cmocka_unit_test_setup_teardown(only_where_the_engine_would_ask_that_listener,
						begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
