/* SPDX-License-Identifier: Apache-2.0 */
/* Header levels, path and host rewrites, redirects: Envoy 1.40's answers. */
#include "tests/unit/fixture.h"

#include "route/route.h"

/* ---- header changes -------------------------------------------------------------------------- */

static struct mesh_header_add add(struct arena *a, const char *name, const char *value,
				  enum mesh_append action)
{
	return (struct mesh_header_add){ .name = S(name),
					 .value = format_of(a, value),
					 .action = action };
}

static void append_actions(void **state)
{
	static const struct {
		enum mesh_append action;
		const char *v1, *v2, *want;
	} cases[] = {
		{ MESH_APPEND_OR_ADD, "old", NULL, "old|new" },
		{ MESH_APPEND_OR_ADD, NULL, NULL, "new" },
		{ MESH_ADD_IF_ABSENT, "old", NULL, "old" },
		{ MESH_ADD_IF_ABSENT, NULL, NULL, "new" },
		{ MESH_OVERWRITE_OR_ADD, "old", NULL, "new" },
		{ MESH_OVERWRITE_OR_ADD, NULL, NULL, "new" },
		{ MESH_OVERWRITE_IF_EXISTS, "old", NULL, "new" },
		{ MESH_OVERWRITE_IF_EXISTS, NULL, NULL, "" },
		{ MESH_OVERWRITE_OR_ADD, "a", "b", "new" },
		{ MESH_APPEND_OR_ADD, "a", "b", "a|b|new" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = { 0 };
		struct l7_msg m = request_of(&a, "h", "/");
		struct l7_info in = { .request = &m };
		struct mesh_header_add one = add(&a, "x-q", "new", cases[i].action);
		struct mesh_header_ops ops = { .add = &one, .n_add = 1 };

		if (cases[i].v1)
			msg_add(&m, "x-q", cases[i].v1);
		if (cases[i].v2)
			msg_add(&m, "x-q", cases[i].v2);
		route_headers_apply(&ops, &m, &in, &a);
		assert_slice(values_of(&a, &m, "x-q"), cases[i].want);
		arena_done(&a);
	}
}

static void values_and_names(void **state)
{
	struct arena a = { 0 };
	struct l7_msg m = request_of(&a, "h.test", "/p");
	struct l7_info in = { .request = &m };
	struct mesh_header_add v[] = {
		add(&a, "x-e", "", MESH_APPEND_OR_ADD),
		add(&a, "x-none", "%REQ(x-none)%", MESH_APPEND_OR_ADD),
		add(&a, "x-keep", "", MESH_APPEND_OR_ADD),
		add(&a, "user-agent", "mine", MESH_APPEND_OR_ADD),
		add(&a, "cookie", "c=d", MESH_APPEND_OR_ADD),
		add(&a, "x-part", "a-%REQ(x-none)%-b", MESH_APPEND_OR_ADD),
		add(&a, "x-q", "one", MESH_APPEND_OR_ADD),
		add(&a, "x-q", "two", MESH_APPEND_OR_ADD),
		add(&a, "x-o", "%REQ(x-q)%", MESH_OVERWRITE_OR_ADD),
		add(&a, ":path", "/new", MESH_OVERWRITE_OR_ADD),
		add(&a, "host", "new.test", MESH_OVERWRITE_OR_ADD),
	};
	struct slice gone[] = { S("x-q"), S(":method"), S("host") };
	struct mesh_header_ops ops = { v, ARRAY_LEN(v), gone, ARRAY_LEN(gone) };

	(void)state;
	v[2].keep_empty = true;
	msg_add(&m, "user-agent", "u");
	msg_add(&m, "cookie", "a=b");
	msg_add(&m, "x-q", "old");
	route_headers_apply(&ops, &m, &in, &a);
	assert_null(l7_props_find(&m.props, S("x-e")));
	assert_null(l7_props_find(&m.props, S("x-none")));
	assert_non_null(l7_props_find(&m.props, S("x-keep")));
	assert_slice(values_of(&a, &m, "user-agent"), "u,mine");
	assert_slice(values_of(&a, &m, "cookie"), "a=b|c=d");
	assert_slice(values_of(&a, &m, "x-part"), "a--b");
	/* Removed first, then added; no value sees what another one added. */
	assert_slice(values_of(&a, &m, "x-q"), "one|two");
	assert_null(l7_props_find(&m.props, S("x-o")));
	assert_slice(m.path, "/new");
	assert_slice(m.host, "new.test");
	assert_slice(m.method, "GET");
	arena_done(&a);
}

static struct mesh_mutations level(struct arena *a, const char *name)
{
	struct mesh_mutations m = { 0 };
	struct mesh_header_add *v = arena_array(a, struct mesh_header_add, 3);

	v[0] = add(a, "x-over", name, MESH_OVERWRITE_OR_ADD);
	v[1] = add(a, "x-app", name, MESH_APPEND_OR_ADD);
	v[2] = add(a, "x-abs", name, MESH_ADD_IF_ABSENT);
	m.request = m.response = (struct mesh_header_ops){ .add = v, .n_add = 3 };
	return m;
}

static void check_levels(bool weighted, bool specific, const char *app, const char *over,
			 const char *abs)
{
	struct arena a = { 0 };
	struct mesh_route r = { .mutations = level(&a, "route") };
	struct mesh_vhost vh = { .mutations = level(&a, "vhost") };
	struct mesh_route_table t = { .mutations = level(&a, "config"),
				      .most_specific_wins = specific };
	struct mesh_weighted w = { .mutations = level(&a, "cluster") };
	struct route_decision d = {
		.table = &t, .vhost = &vh, .route = &r, .weighted = weighted ? &w : NULL
	};
	struct l7_msg m = request_of(&a, "h", "/"), resp;
	struct l7_info in = { .request = &m, .response = &resp };

	route_request_finalize(&d, &m, &in, &a, true);
	assert_slice(values_of(&a, &m, "x-app"), app);
	assert_slice(values_of(&a, &m, "x-over"), over);
	assert_slice(values_of(&a, &m, "x-abs"), abs);
	l7_msg_init(&resp, L7_RESPONSE, &a);
	route_response_finalize(&d, &resp, &in, &a);
	assert_slice(values_of(&a, &resp, "x-app"), app);
	arena_done(&a);
}

static void levels(void **state)
{
	(void)state;
	check_levels(false, false, "route|vhost|config", "config", "route");
	check_levels(true, false, "cluster|route|vhost|config", "config", "cluster");
	check_levels(false, true, "config|vhost|route", "route", "config");
	check_levels(true, true, "cluster|config|vhost|route", "route", "cluster");
}

/* ---- paths and hosts ------------------------------------------------------------------------- */

static void check_path(struct mesh_route *r, const char *path, const char *want)
{
	struct arena a = { 0 };
	struct l7_msg m = request_of(&a, "h", path);
	struct l7_info in = { .request = &m };
	struct route_decision d = { .route = r };

	msg_add(&m, "x-envoy-original-path", "/mine");
	route_request_finalize(&d, &m, &in, &a, true);
	assert_slice(m.path, want);
	assert_slice(values_of(&a, &m, "x-envoy-original-path"),
		     r->rewrite == MESH_PATH_KEEP ? "/mine" : path);
	arena_done(&a);
}

static void path_prefix(void **state)
{
	static const struct {
		enum mesh_path_kind kind;
		const char *match, *to, *path, *want;
	} cases[] = {
		{ MESH_PATH_PREFIX, "/api/", "/", "/api/v1/x?q=/api/", "/v1/x?q=/api/" },
		{ MESH_PATH_PREFIX, "/api/", "/", "/api/", "/" },
		{ MESH_PATH_PREFIX, "/old", "/new/path", "/old/x", "/new/path/x" },
		{ MESH_PATH_PREFIX, "/old", "/new/path", "/older", "/new/pather" },
		{ MESH_PATH_PREFIX, "/old", "/new/path", "/old?x=1", "/new/path?x=1" },
		{ MESH_PATH_EXACT, "/whole", "/replaced", "/whole?a", "/replaced?a" },
		{ MESH_PATH_PREFIX, "/Fold", "/f", "/fOLD/er", "/f/er" },
		{ MESH_PATH_SEPARATED, "/sep", "/s", "/sep/a", "/s/a" },
		{ MESH_PATH_REGEX, "", "/all-of-it", "/rx/abc?d", "/all-of-it?d" },
	};
	struct mesh_route keep = { .rewrite = MESH_PATH_KEEP };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mesh_route r = { .path_kind = cases[i].kind,
					.path = S(cases[i].match),
					.rewrite = MESH_PATH_REWRITE_PREFIX,
					.prefix_rewrite = S(cases[i].to) };

		check_path(&r, cases[i].path, cases[i].want);
	}
	check_path(&keep, "/plain?x", "/plain?x");
}

static void path_regex(void **state)
{
	static const struct {
		const char *re, *to, *path, *want;
	} cases[] = {
		{ "^/service/([^/]+)(/.*)$", "\\2/instance/\\1", "/service/foo/v1/api?q=1",
		  "/v1/api/instance/foo?q=1" },
		{ "^/service/([^/]+)(/.*)$", "\\2/instance/\\1", "/service/foo", "/service/foo" },
		{ "one", "two", "/every/one/one?one", "/every/two/two?one" },
		{ "^.*$", "/x\\0", "/whole-match/a?b", "/x/whole-match/a?b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct regex *re = regex_of(cases[i].re);
		struct mesh_route r = { .rewrite = MESH_PATH_REWRITE_REGEX, .rewrite_regex = re,
					.prefix_rewrite = S(cases[i].to) };

		check_path(&r, cases[i].path, cases[i].want);
		regex_free(re);
	}
}

static void check_host(struct mesh_route *r, const char *xfh, const char *want,
		       const char *want_original, const char *want_xfh)
{
	struct arena a = { 0 };
	struct l7_msg m = request_of(&a, "h.test", "/regex/abc/def?q=1");
	struct l7_info in = { .request = &m };
	struct route_decision d = { .route = r };

	msg_add(&m, "x-host", "from-header.test");
	msg_add(&m, "x-empty", "");
	if (xfh)
		msg_add(&m, "x-forwarded-host", xfh);
	route_request_finalize(&d, &m, &in, &a, true);
	route_host_auto(&d, &m, S("named.test"), true, &a);
	assert_slice(m.host, want);
	assert_slice(values_of(&a, &m, "x-envoy-original-host"), want_original);
	assert_slice(values_of(&a, &m, "x-forwarded-host"), want_xfh);
	arena_done(&a);
}

static void hosts(void **state)
{
	struct regex *re = regex_of("^/regex/([^/?]+).*$");
	struct mesh_route literal = { .host_rewrite = MESH_HOST_LITERAL,
				      .host_literal = S("lit.test") };
	struct mesh_route xfh = literal;
	struct mesh_route header = { .host_rewrite = MESH_HOST_HEADER,
				     .host_literal = S("x-host") };
	struct mesh_route missing = { .host_rewrite = MESH_HOST_HEADER,
				      .host_literal = S("x-other") };
	struct mesh_route empty = { .host_rewrite = MESH_HOST_HEADER,
				    .host_literal = S("x-empty") };
	struct mesh_route path = { .host_rewrite = MESH_HOST_PATH_REGEX,
				   .host_literal = S("\\1.test"),
				   .host_regex = re };
	struct mesh_route automatic = { .host_rewrite = MESH_HOST_AUTO }, keep = { 0 };

	(void)state;
	xfh.append_x_forwarded_host = true;
	check_host(&literal, "x.test", "lit.test", "h.test", "x.test");
	check_host(&xfh, NULL, "lit.test", "h.test", "h.test");
	check_host(&xfh, "first.test", "lit.test", "h.test", "first.test,h.test");
	check_host(&xfh, "first.test,h.test", "lit.test", "h.test", "first.test,h.test");
	check_host(&header, NULL, "from-header.test", "h.test", "");
	check_host(&missing, NULL, "h.test", "", "");
	check_host(&empty, NULL, "h.test", "", "");
	check_host(&path, NULL, "abc.test", "h.test", "");
	check_host(&automatic, NULL, "named.test", "h.test", "");
	check_host(&keep, NULL, "h.test", "", "");
	regex_free(re);
}

/* The chosen entry's host leaves no trace; the header values see the path before the rewrite. */
static void weighted_host(void **state)
{
	struct arena a = { 0 };
	struct mesh_header_add v = add(&a, "x-path", "%REQ(:PATH)%", MESH_APPEND_OR_ADD);
	struct mesh_weighted w = { .host_rewrite = S("one.example") };
	struct mesh_route r = { .path_kind = MESH_PATH_PREFIX,
				.path = S("/o"),
				.rewrite = MESH_PATH_REWRITE_PREFIX,
				.prefix_rewrite = S("/p"),
				.mutations.request = { .add = &v, .n_add = 1 } };
	struct route_decision d = { .route = &r, .weighted = &w };
	struct l7_msg m = request_of(&a, "h.test", "/ov/er?q=1");
	struct l7_info in = { .request = &m };

	(void)state;
	route_request_finalize(&d, &m, &in, &a, false);
	assert_slice(m.host, "one.example");
	assert_null(l7_props_find(&m.props, S("x-envoy-original-host")));
	assert_null(l7_props_find(&m.props, S("x-envoy-original-path")));
	assert_slice(values_of(&a, &m, "x-path"), "/ov/er?q=1");
	assert_slice(m.path, "/pv/er?q=1");
	arena_done(&a);
}

/* ---- redirects ------------------------------------------------------------------------------- */

#define T(text) { text, sizeof(text) - 1 }

static const struct {
	struct mesh_redirect r;
	const char *match, *host, *path, *want;
} redirect_cases[] = {
	{ { .host = T("new.test") },
	  "/host",
	  "h.test",
	  "/host/a?b=c",
	  "http://new.test/host/a?b=c" },
	{ { .host = T("new.test:8443") },
	  "/",
	  "h.test",
	  "/hostport",
	  "http://new.test:8443/hostport" },
	{ { .path = T("/new"), .path_kind = MESH_REDIRECT_PATH_REPLACE },
	  "/path",
	  "h.test",
	  "/path/a?b=c",
	  "http://h.test/new?b=c" },
	{ { .path = T("/new?fixed=1"), .path_kind = MESH_REDIRECT_PATH_REPLACE },
	  "/p",
	  "h.test",
	  "/p?b=c",
	  "http://h.test/new?fixed=1" },
	{ { .path = T("/new?fixed=1"),
	    .path_kind = MESH_REDIRECT_PATH_REPLACE,
	    .strip_query = true },
	  "/p",
	  "h.test",
	  "/p?b=c",
	  "http://h.test/new?fixed=1" },
	{ { .path = T("/fresh"), .path_kind = MESH_REDIRECT_PATH_PREFIX },
	  "/prefix",
	  "h.test",
	  "/prefix/a/b?c=d",
	  "http://h.test/fresh/a/b?c=d" },
	{ { .path = T("/fresh"), .path_kind = MESH_REDIRECT_PATH_PREFIX },
	  "/prefix",
	  "h.test",
	  "/prefix",
	  "http://h.test/fresh" },
	{ { .https = true }, "/", "h.test", "/https/x?y", "https://h.test/https/x?y" },
	{ { .scheme = T("ftp") }, "/", "h.test", "/scheme", "ftp://h.test/scheme" },
	{ { .port = 8443 }, "/", "h.test", "/port?x", "http://h.test:8443/port?x" },
	{ { .https = true, .port = 443 }, "/", "h.test", "/shp", "https://h.test:443/shp" },
	{ { .path = T("/new"),
	    .path_kind = MESH_REDIRECT_PATH_REPLACE,
	    .strip_query = true },
	  "/s",
	  "h.test",
	  "/s/a?b=c",
	  "http://h.test/new" },
	{ { .path = T("/x"), .path_kind = MESH_REDIRECT_PATH_PREFIX, .strip_query = true },
	  "/sp",
	  "h.test",
	  "/sp/a?b=c",
	  "http://h.test/x/a" },
	{ { .path = T("/\\2/\\1"), .path_kind = MESH_REDIRECT_PATH_REGEX },
	  "/",
	  "h.test",
	  "/regex/abc/def?q=1",
	  "http://h.test/def/abc?q=1" },
	{ { .https = true }, "/", "h.test:8080", "/https", "https://h.test:8080/https" },
	{ { .https = true }, "/", "h.test:80", "/https", "https://h.test/https" },
	{ { .port = 8443 }, "/", "h.test:8080", "/port", "http://h.test:8443/port" },
	{ { .port = 8443 }, "/", "[::1]:8080", "/port", "http://[::1]:8443/port" },
	{ { .port = 8443 }, "/", "[::1]", "/port", "http://[::1]:8443/port" },
	{ { .host = T("new.test") }, "/", "h.test:8080", "/host", "http://new.test/host" },
	{ { .https = false }, "/", "h.test", "/unchanged", "http://h.test/unchanged" } };

static void redirects(void **state)
{
	struct regex *re = regex_of("/regex/([a-z]+)/(.*)");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(redirect_cases); i++) {
		struct arena a = { 0 };
		struct mesh_redirect r = redirect_cases[i].r;
		struct mesh_route route = { .path_kind = MESH_PATH_PREFIX,
					    .path = S(redirect_cases[i].match) };
		struct l7_msg m = request_of(&a, redirect_cases[i].host, redirect_cases[i].path);

		if (r.path_kind == MESH_REDIRECT_PATH_REGEX)
			r.regex = re;
		msg_add(&m, "x-forwarded-proto", "http");
		assert_slice(route_redirect_location(&r, &route, &m, S("http"), NULL, &a),
			     redirect_cases[i].want);
		arena_done(&a);
	}
	regex_free(re);
}

static void tls(void **state)
{
	struct mesh_vhost all = { .require_tls = MESH_TLS_ALL },
			  external = { .require_tls = MESH_TLS_EXTERNAL_ONLY }, none = { 0 };
	struct arena a = { 0 };
	struct l7_msg m = request_of(&a, "all.test:80", "/a?b");

	(void)state;
	assert_true(route_needs_tls(&all, false, false));
	assert_false(route_needs_tls(&all, true, true));
	assert_true(route_needs_tls(&external, false, true));
	assert_false(route_needs_tls(&external, false, false));
	assert_false(route_needs_tls(&none, false, true));
	assert_slice(route_tls_location(&m, &a), "https://all.test:80/a?b");
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(append_actions),
		cmocka_unit_test(values_and_names),
		cmocka_unit_test(levels),
		cmocka_unit_test(path_prefix),
		cmocka_unit_test(path_regex),
		cmocka_unit_test(hosts),
		cmocka_unit_test(weighted_host),
		cmocka_unit_test(redirects),
		cmocka_unit_test(tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
