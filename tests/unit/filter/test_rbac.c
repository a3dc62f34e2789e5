/* SPDX-License-Identifier: Apache-2.0 */
/* Authorization: rules as Istio writes them, from JSON to the verdict; what cannot be expressed
 * fails closed. */
#include "tests/unit/filter/context.h"

#include "filter/rbac.h"
#include "tests/unit/xds/t_compile.h"

#define RBAC "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
#define FILTER(text) "{'name': 'f', 'typed_config': {'@type': '" RBAC "', " text "}}"
#define POLICY(permission, principal) \
	"{'permissions': [" permission "], 'principals': [" principal "]}"
#define RULES(action, permission, principal) \
	FILTER("'rules': {'action': '" action \
	       "', 'policies': {'p 1': " POLICY(permission, principal) "}}")
#define ANY "{'any': true}"
#define ALLOW(permission, principal) RULES("ALLOW", permission, principal)
#define DENY(permission, principal) RULES("DENY", permission, principal)

static const struct mesh_rbac *rbac_of(const struct mesh_part *p)
{
	return ((const struct mesh_filter *)p->body)->config;
}

struct asked {
	const char *method, *path, *header; /* x-tenant */
	const char *source, *local;         /* "ip:port" */
	const char *principal;
};

static bool passes(const char *json, const struct asked *q)
{
	struct mesh_part *p = t_part(MESH_PART_FILTER, json);
	const struct mesh_rbac_policy *policy;
	struct arena a = { 0 };
	struct l7_msg m = request_of(&a, "h.test", q->path ? q->path : "/");
	struct addr source, local;
	struct rbac_input in = { .msg = q->method || q->path || q->header ? &m : NULL,
				 .local = &local,
				 .source = &source,
				 .remote = &source,
				 .principal = q->principal ? S(q->principal) : SLICE_NONE,
				 .server_name = SLICE("sni.test"),
				 .arena = &a };
	bool ok;

	must(addr_parse(S(q->source ? q->source : "10.0.0.1:1000"), &source) == 0);
	must(addr_parse(S(q->local ? q->local : "10.0.0.9:8080"), &local) == 0);
	if (q->method)
		m.method = S(q->method);
	if (q->header)
		msg_add(&m, "x-tenant", q->header);
	ok = rbac_is_allowed(rbac_of(p)->rules, &in, &policy);
	arena_done(&a);
	mesh_part_unref(p);
	return ok;
}

#define SPIFFE "spiffe://cluster.local/ns/default/sa/client"
#define HEADER(value) "{'header': {'name': 'x-tenant', 'string_match': {'exact': '" value "'}}}"
#define PORT(n) "{'destination_port': " n "}"
#define FROM(prefix, len) \
	"{'direct_remote_ip': {'address_prefix': '" prefix "', 'prefix_len': " len "}}"
#define WHO(match) "{'authenticated': {'principal_name': {" match "}}}"

static const struct {
	const char *json;
	struct asked q;
	bool passes;
} cases[] = {
	/* no policies: ALLOW lets nothing pass, DENY everything */
	{ FILTER("'rules': {}"), { 0 }, false },
	{ FILTER("'rules': {'action': 'DENY'}"), { 0 }, true },
	{ FILTER("'rules': {'action': 'LOG'}"), { 0 }, true },
	{ FILTER("'shadow_rules_stat_prefix': ''"), { 0 }, true },
	{ ALLOW(ANY, ANY), { 0 }, true },
	{ DENY(ANY, ANY), { 0 }, false },
	/* permissions */
	{ ALLOW(PORT("8080"), ANY), { 0 }, true },
	{ ALLOW(PORT("8081"), ANY), { 0 }, false },
	{ ALLOW("{'destination_port_range': {'start': 8000, 'end': 8081}}", ANY), { 0 }, true },
	{ ALLOW("{'destination_port_range': {'start': 8000, 'end': 8080}}", ANY), { 0 }, false },
	{ ALLOW("{'destination_ip': {'address_prefix': '10.0.0.0', 'prefix_len': 28}}", ANY),
	  { 0 },
	  true },
	{ ALLOW("{'destination_ip': {'address_prefix': '10.0.1.0', 'prefix_len': 24}}", ANY),
	  { 0 },
	  false },
	{ ALLOW("{'requested_server_name': {'suffix': '.test'}}", ANY), { 0 }, true },
	{ ALLOW("{'url_path': {'path': {'prefix': '/public/'}}}", ANY),
	  { .path = "/public/a?x=/y" },
	  true },
	{ ALLOW("{'url_path': {'path': {'exact': '/a'}}}", ANY), { .path = "/a?b" }, true },
	{ ALLOW("{'url_path': {'path': {'exact': '/a'}}}", ANY), { .path = "/b" }, false },
	{ ALLOW("{'uri_template': {'name': 't', 'typed_config': {'@type': "
		"'type.googleapis.com/envoy.extensions.path.match.uri_template.v3."
		"UriTemplateMatchConfig', 'path_template': '/a/*'}}}",
		ANY),
	  { .path = "/a/b" },
	  true },
	{ ALLOW("{'header': {'name': ':method', 'string_match': {'exact': 'GET'}}}", ANY),
	  { .method = "GET" },
	  true },
	{ ALLOW("{'header': {'name': ':method', 'string_match': {'exact': 'GET'}}}", ANY),
	  { .method = "POST" },
	  false },
	{ ALLOW("{'and_rules': {'rules': [" PORT("8080") ", {'not_rule': " PORT("1") "}]}}", ANY),
	  { 0 },
	  true },
	{ ALLOW("{'and_rules': {'rules': [" PORT("8080") ", {'not_rule': " PORT("8080") "}]}}",
		ANY),
	  { 0 },
	  false },
	{ ALLOW("{'or_rules': {'rules': [" PORT("1") ", " PORT("8080") "]}}", ANY), { 0 }, true },
	/* principals */
	{ ALLOW(ANY, FROM("10.0.0.0", "24")), { 0 }, true },
	{ ALLOW(ANY, FROM("10.0.0.0", "24")), { .source = "10.0.1.1:5" }, false },
	{ ALLOW(ANY, FROM("fd00::", "16")), { .source = "[fd00::7]:5" }, true },
	{ ALLOW(ANY, "{'remote_ip': {'address_prefix': '10.0.0.1', 'prefix_len': 32}}"),
	  { 0 },
	  true },
	{ ALLOW(ANY, "{'source_ip': {'address_prefix': '10.0.0.1', 'prefix_len': 32}}"),
	  { 0 },
	  true },
	{ ALLOW(ANY, WHO("'exact': '" SPIFFE "'")), { .principal = SPIFFE }, true },
	{ ALLOW(ANY, WHO("'exact': '" SPIFFE "'")), { 0 }, false },
	{ ALLOW(ANY, WHO("'safe_regex': {'regex': '.*/ns/default/.*'}")),
	  { .principal = SPIFFE },
	  true },
	{ ALLOW(ANY, "{'authenticated': {}}"), { .principal = SPIFFE }, true },
	{ ALLOW(ANY, "{'authenticated': {}}"), { 0 }, false },
	{ ALLOW(ANY, "{'filter_state': {'key': 'io.istio.peer_principal', 'string_match': "
		     "{'exact': '" SPIFFE "'}}}"),
	  { .principal = SPIFFE },
	  true },
	{ ALLOW(ANY, "{'and_ids': {'ids': [{'or_ids': {'ids': [" HEADER("a") ", " HEADER(
			     "b") "]}}, {'not_id': " FROM("10.9.0.0", "16") "}]}}"),
	  { .header = "b" },
	  true },
	{ ALLOW(ANY, HEADER("a")), { .header = "c" }, false },
	{ ALLOW(ANY, "{'url_path': {'path': {'exact': '/a'}}}"), { .path = "/a" }, true },
	/* a connection has no headers and no path, whatever is asked of them */
	{ ALLOW(ANY, HEADER("a")), { 0 }, false },
	{ ALLOW("{'url_path': {'path': {'prefix': '/'}}}", ANY), { 0 }, false },
	{ DENY(ANY, "{'not_id': " HEADER("a") "}"), { 0 }, false },
	/* as in "deny what is not of our namespace" */
	{ DENY(PORT("8080"),
	       "{'not_id': " WHO("'prefix': 'spiffe://cluster.local/ns/default/'") "}"),
	  { .principal = SPIFFE },
	  true },
	{ DENY(PORT("8080"),
	       "{'not_id': " WHO("'prefix': 'spiffe://cluster.local/ns/default/'") "}"),
	  { 0 },
	  false },
};

static void verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (passes(cases[i].json, &cases[i].q) != cases[i].passes)
			fail_msg("case %zu: %s", i, cases[i].json);
}

/* ---- what cannot be expressed ---------------------------------------------------------------- */

/* "p": { <permission bytes>, any } as an RBAC of @action within a TypedExtensionConfig. */
static int compile_unknown(uint8_t action, struct slice permission, struct xds_report *report,
			   struct mesh_part **ret_p, struct err *e)
{
	struct buf policy = { 0 }, entry = { 0 }, rules = { 0 }, rbac = { 0 }, any = { 0 },
		   ext = { 0 };
	int rc;

#define FIELD(out, number, s) \
	do { \
		struct slice s_ = (s); \
		must(s_.len < 128 * 128); \
		buf_add_char(out, (char)((number) << 3 | 2)); \
		buf_add_char(out, (char)(0x80 | (s_.len & 127))); \
		buf_add_char(out, (char)(s_.len >> 7)); \
		buf_add_slice(out, s_); \
	} while (0)
	FIELD(&policy, 1, permission);
	FIELD(&policy, 2, slice_of("\x18\x01", 2));
	FIELD(&entry, 1, SLICE("p"));
	FIELD(&entry, 2, buf_slice(&policy));
	buf_add_char(&rules, 0x08);
	buf_add_char(&rules, (char)action);
	FIELD(&rules, 2, buf_slice(&entry));
	FIELD(&rbac, 1, buf_slice(&rules));
	FIELD(&any, 1, SLICE(RBAC));
	FIELD(&any, 2, buf_slice(&rbac));
	FIELD(&ext, 1, SLICE("f"));
	FIELD(&ext, 2, buf_slice(&any));
#undef FIELD
	rc = xds_compile(MESH_PART_FILTER, buf_slice(&ext), NULL, report, ret_p, e);
	buf_done(&policy);
	buf_done(&entry);
	buf_done(&rules);
	buf_done(&rbac);
	buf_done(&any);
	buf_done(&ext);
	return rc;
}

/* Permission { metadata {} }, alone and under not_rule: a rule about what we do not know. */
static void unknown_rules(void **state)
{
	static const char *const rules[] = { "\x3a\x00", "\x42\x02\x3a\x00" };
	static const size_t lens[] = { 2, 4 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		struct slice permission = slice_of(rules[i], lens[i]);
		struct xds_report report = { 0 };
		struct mesh_part *p = NULL;
		struct err e = { "" };

		assert_int_equal(compile_unknown(1, permission, &report, &p, &e), -EINVAL);
		assert_non_null(strstr(e.text, "rules.policies[p]"));
		assert_non_null(strstr(e.text, "what it denies may not pass"));
		assert_int_equal(compile_unknown(0, permission, &report, &p, &e), 0);
		/* It allows nothing, so nothing is allowed. */
		assert_non_null(rbac_of(p)->rules);
		assert_int_equal(rbac_of(p)->rules->n_policies, 0);
		assert_true(report.n >= 2);
		assert_non_null(strstr(report.v[report.n - 1].text.ptr, "allows nothing"));
		mesh_part_unref(p);
		xds_report_done(&report);
	}
}

/* ---- the filter ------------------------------------------------------------------------------ */

static void filter(void **state)
{
	struct mesh_part *p = t_part(
		MESH_PART_FILTER,
		FILTER("'rules': {'action': 'ALLOW', 'policies': {'p 1': " POLICY(
			ANY,
			FROM("10.0.0.0",
			     "8")) "}}, 'shadow_rules_stat_prefix': 'dry_', "
				   "'shadow_rules': {'action': 'DENY', 'policies': {'x': " POLICY(
					   ANY, ANY) "}}"));
	static const struct mesh_rbac none;
	struct bench b;

	(void)state;
	bench_init(&b, &filter_rbac, rbac_of(p));
	bench_stream(&b);
	must(addr_parse(S("10.1.1.1:7"), &b.info.downstream_direct) == 0);
	assert_int_equal(bench_request(&b), FILTER_NEXT);
	bench_stream(&b);
	must(addr_parse(S("11.1.1.1:7"), &b.info.downstream_direct) == 0);
	assert_int_equal(bench_request(&b), FILTER_REPLY);
	assert_int_equal(l7_reply_status(&b.ctx.reply), 403);
	assert_slice(b.ctx.reply.body, "RBAC: access denied");
	assert_slice(b.ctx.reply.details, "rbac_access_denied_matched_policy[none]");
	assert_int_equal(stats_value_by_name("http.test.rbac.allowed"), 1);
	assert_int_equal(stats_value_by_name("http.test.rbac.denied"), 1);
	assert_int_equal(stats_value_by_name("http.test.rbac.dry_.shadow_denied"), 2);
	assert_int_equal(stats_value_by_name("http.test.rbac.dry_.shadow_allowed"), 0);
	bench_done(&b);
	mesh_part_unref(p);

	p = t_part(MESH_PART_FILTER, DENY(ANY, ANY));
	bench_init(&b, &filter_rbac, rbac_of(p));
	bench_stream(&b);
	assert_int_equal(bench_request(&b), FILTER_REPLY);
	assert_slice(b.ctx.reply.details, "rbac_access_denied_matched_policy[p_1]");
	/* rbac { }: none on this route */
	bench_stream(&b);
	b.ctx.config = &none;
	assert_int_equal(bench_request(&b), FILTER_NEXT);
	bench_done(&b);
	mesh_part_unref(p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(unknown_rules),
		cmocka_unit_test(filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
