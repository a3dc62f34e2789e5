/* SPDX-License-Identifier: Apache-2.0 */
/* Envoy's fields -> the mesh's: values, defaults and deprecated spellings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/regex.h"
#include "xds/load.h"

#define T "type.googleapis.com/envoy.extensions.filters."
#define ROUTER \
	"{name: r, typed_config: {'@type': " T \
	"http.router.v3.Router, suppress_envoy_headers: true}}"

static struct mesh_view *view;
static struct xds_report report;

static void unload(void)
{
	mesh_view_unref(view);
	view = NULL;
	xds_report_done(&report);
}

/* What a test loaded before is gone. */
static void load(const char *yaml)
{
	struct err e = { "" };

	unload();
	if (xds_load_text(slice_str(yaml), "t", &view, &report, &e) < 0)
		fail_msg("%s\n%s", e.text, yaml);
}

static int end(void **state)
{
	(void)state;
	unload();
	return 0;
}

/* printf into one listener's chain; the manager of it. */
static const struct mesh_http_manager *manager(const char *text)
{
	char *yaml;

	must(asprintf(&yaml,
		      "static_resources: {listeners: [{name: l, address: {socket_address: "
		      "{address: 127.0.0.1, "
		      "port_value: 80}}, filter_chains: [{filters: [{name: h, typed_config: "
		      "{'@type': " T "network.http_connection_manager.v3.HttpConnectionManager, "
		      "stat_prefix: s, %s}}]}]}], clusters: "
		      "[{name: a}, {name: b}]}",
		      text) > 0);
	load(yaml);
	free(yaml);
	return mesh_view_listener_at(view, 0)->chains[0].filters[0].http;
}

static const struct mesh_route_table *table(const char *text)
{
	const struct mesh_route_table *r;
	char *m;

	must(asprintf(&m, "http_filters: [" ROUTER "], route_config: {name: r, %s}", text) > 0);
	r = manager(m)->routes;
	free(m);
	return r;
}

static const struct mesh_vhost *vhost(const char *text)
{
	const struct mesh_vhost *v;
	char *m;

	must(asprintf(&m, "virtual_hosts: [{name: v, domains: ['*'], %s}]", text) > 0);
	v = table(m)->vhosts;
	free(m);
	return v;
}

static const struct mesh_route *route(const char *match, const char *action)
{
	const struct mesh_route *r;
	char *m;

	must(asprintf(&m, "routes: [{match: {%s}, %s}]", match, action) > 0);
	r = vhost(m)->routes;
	free(m);
	return r;
}

#define same(s, text) \
	do { \
		struct slice s_ = (s); \
		if (!slice_is_equal(s_, slice_str(text))) \
			fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s_), text); \
	} while (0)

static void header_matches(void **state)
{
	const struct mesh_route *r =
		route("prefix: /x, headers: [{name: A, exact_match: v}, {name: b, prefix_match: "
		      "v}, {name: c, suffix_match: v}, "
		      "{name: d, contains_match: v}, {name: e, safe_regex_match: {google_re2: {}, "
		      "regex: v+}}, {name: f, "
		      "range_match: {start: -1, end: 5}}, {name: g, present_match: false}, {name: "
		      "':path'}, {name: i, "
		      "string_match: {exact: V, ignore_case: true}, invert_match: true, "
		      "treat_missing_header_as_empty: true}]",
		      "route: {cluster: a}");
	static const enum mesh_string_kind kinds[] = { MESH_STRING_EXACT, MESH_STRING_PREFIX,
						       MESH_STRING_SUFFIX, MESH_STRING_CONTAINS,
						       MESH_STRING_REGEX };

	(void)state;
	assert_int_equal(r->n_headers, 9);
	same(r->headers[0].name, "a");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		assert_int_equal(r->headers[i].kind, MESH_HEADER_STRING);
		assert_int_equal(r->headers[i].string.kind, kinds[i]);
		if (i < 4)
			same(r->headers[i].string.text, "v");
	}
	assert_true(regex_is_match(r->headers[4].string.regex, SLICE("vvv")));
	assert_int_equal(r->headers[5].range_start, -1);
	assert_int_equal(r->headers[5].range_end, 5);
	assert_int_equal(r->headers[6].kind, MESH_HEADER_PRESENT);
	assert_false(r->headers[6].present);
	assert_true(r->headers[7].present);
	same(r->headers[7].name, ":path");
	assert_true(r->headers[8].invert && r->headers[8].treat_missing_as_empty &&
		    r->headers[8].string.ignore_case);
}

static void path_kinds(void **state)
{
	static const struct {
		const char *match, *path;
		enum mesh_path_kind kind;
	} cases[] = {
		{ "prefix: /", "/", MESH_PATH_PREFIX },
		{ "path: /a", "/a", MESH_PATH_EXACT },
		{ "prefix: ''", "", MESH_PATH_ANY },
		{ "path_separated_prefix: /a", "/a", MESH_PATH_SEPARATED },
		{ "connect_matcher: {}", "", MESH_PATH_CONNECT },
		{ "safe_regex: {regex: /a}", "", MESH_PATH_REGEX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct mesh_route *r = route(cases[i].match, "route: {cluster: a}");

		assert_int_equal(r->path_kind, cases[i].kind);
		same(r->path, cases[i].path);
		assert_int_equal(r->fraction, 1000000);
		end(NULL);
	}
}

static void match_more(void **state)
{
	const struct mesh_route *r =
		route("prefix: /, case_sensitive: false, grpc: {}, runtime_fraction: "
		      "{default_value: {numerator: 25, denominator: "
		      "TEN_THOUSAND}}, query_parameters: [{name: q, string_match: {prefix: x}}, "
		      "{name: r, present_match: true}, "
		      "{name: s}]",
		      "non_forwarding_action: {}");

	(void)state;
	assert_true(r->ignore_case && r->grpc);
	assert_int_equal(r->fraction, 2500);
	assert_int_equal(r->n_queries, 3);
	assert_false(r->queries[0].is_present_match);
	assert_true(r->queries[1].is_present_match && r->queries[1].present);
	assert_true(r->queries[2].is_present_match && r->queries[2].present);
	assert_int_equal(r->action, MESH_ROUTE_NONE);
}

#define TEMPLATE(text) \
	"path_match_policy: {name: t, typed_config: {'@type': " \
	"type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, " \
	"path_template: '" text "'}}"

static void templates(void **state)
{
	static const struct {
		const char *path;
		bool matches;
	} cases[] = {
		{ "/a/x/y/z", true },  { "/a/x/", true },   { "/a/x", false },
		{ "/a//y", false },    { "/b/x/y", false }, { "/a/x.1/y", true },
		{ "/a/x?y/z", false },
	};
	const struct mesh_route *r =
		route(TEMPLATE("/a/{one}/{rest=**}"),
		      "route: {cluster: a, path_rewrite_policy: {name: t, typed_config: {'@type': "
		      "type.googleapis.com/"
		      "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig, "
		      "path_template_rewrite: '/n/{rest}/{one}'}}}");

	(void)state;
	assert_int_equal(r->path_kind, MESH_PATH_REGEX);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (regex_is_match(r->path_regex, slice_str(cases[i].path)) != cases[i].matches)
			fail_msg("%s", cases[i].path);
	assert_int_equal(r->rewrite, MESH_PATH_REWRITE_REGEX);
	assert_ptr_equal(r->rewrite_regex, r->path_regex);
	same(r->prefix_rewrite, "/n/\\2/\\1");
}

/* Literals around a glob or a variable, as Envoy takes them. */
static void template_parts(void **state)
{
	static const struct {
		const char *template, *path;
		bool matches;
	} cases[] = {
		{ TEMPLATE("/v/{id}.m3u8"), "/v/7.m3u8", true },
		{ TEMPLATE("/v/{id}.m3u8"), "/v/7.m3u9", false },
		{ TEMPLATE("/v/{id}.m3u8"), "/v/.m3u8", false },
		{ TEMPLATE("/a-{b}"), "/a-b", true },
		{ TEMPLATE("/{a=**}:verb"), "/x/y:verb", true },
		{ TEMPLATE("/{a=**}:verb"), "/x/y", false },
		{ TEMPLATE("/a/**/b"), "/a/x/y/b", true },
		{ TEMPLATE("/a/**/b"), "/a/x/y", false },
		{ TEMPLATE("/*.jpg"), "/p.jpg", true },
		{ TEMPLATE("/*.jpg"), "/p.jpgx", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct mesh_route *r =
			route(cases[i].template, "direct_response: {status: 200}");

		if (regex_is_match(r->path_regex, slice_str(cases[i].path)) != cases[i].matches)
			fail_msg("%s %s", cases[i].template, cases[i].path);
	}
}

static void redirects_followed(void **state)
{
	const struct mesh_internal_redirect *p =
		route("prefix: /",
		      "route: {cluster: a, internal_redirect_policy: "
		      "{max_internal_redirects: 3, redirect_response_codes: [301, 308, "
		      "404], response_headers_to_copy: [X-A], predicates: [{name: p, "
		      "typed_config: {'@type': type.googleapis.com/"
		      "envoy.extensions.internal_redirect.previous_routes.v3."
		      "PreviousRoutesConfig}}]}}")
			->internal_redirect;

	(void)state;
	assert_int_equal(p->max, 3);
	assert_int_equal(p->codes, 1u << 1 | 1u << 8);
	same(p->copy[0], "x-a");
	assert_true(p->no_loops && !p->has_allowed && !p->cross_scheme);
}

static void action(void **state)
{
	const struct mesh_route *r =
		route("prefix: /", "name: n, stat_prefix: sp, decorator: {operation: op}, route: "
				   "{weighted_clusters: {clusters: [{name: a, weight: "
				   "80, request_headers_to_add: [{header: {key: X, value: y}, "
				   "append: false}], host_rewrite_literal: h}, {name: b, "
				   "weight: 20}]}, cluster_not_found_response_code: NOT_FOUND, "
				   "timeout: 0s, idle_timeout: 0.0015s, "
				   "host_rewrite_header: X-Host, regex_rewrite: {pattern: {regex: "
				   "^/a}, substitution: /b}, retry_policy: {retry_on: "
				   "'5xx,connect-failure, reset', num_retries: 0, per_try_timeout: "
				   "2s, retriable_status_codes: [409]}, "
				   "max_stream_duration: {grpc_timeout_header_max: 0s}, "
				   "upgrade_configs: [{upgrade_type: WebSocket, enabled: false}], "
				   "include_vh_rate_limits: true, append_x_forwarded_host: true}");

	(void)state;
	same(r->name, "n");
	same(r->decorator, "op");
	same(r->stat_prefix, "sp");
	assert_int_equal(r->n_weighted, 2);
	assert_int_equal(r->total_weight, 100);
	same(r->weighted[0].host_rewrite, "h");
	same(r->weighted[0].mutations.request.add[0].name, "x");
	assert_int_equal(r->weighted[0].mutations.request.add[0].action, MESH_OVERWRITE_OR_ADD);
	assert_int_equal(r->no_cluster_status, 404);
	assert_true(r->has_timeout && r->timeout_ms == 0);
	assert_true(r->has_idle_timeout && r->idle_timeout_ms == 1);
	assert_true(r->has_max_grpc_timeout);
	assert_int_equal(r->host_rewrite, MESH_HOST_HEADER);
	same(r->host_literal, "x-host");
	assert_int_equal(r->rewrite, MESH_PATH_REWRITE_REGEX);
	same(r->prefix_rewrite, "/b");
	assert_int_equal(r->retry->on, MESH_RETRY_5XX | MESH_RETRY_CONNECT | MESH_RETRY_RESET);
	assert_int_equal(r->retry->num, 0);
	assert_int_equal(r->retry->per_try_timeout_ms, 2000);
	assert_int_equal(r->retry->codes[0], 409);
	same(r->upgrades[0].type, "websocket");
	assert_false(r->upgrades[0].enabled);
	assert_true(r->include_vh_rate_limits && r->append_x_forwarded_host);
	assert_int_equal(report.n, 0);
}

static void answers(void **state)
{
	const struct mesh_route *r =
		route("prefix: /",
		      "redirect: {https_redirect: true, host_redirect: h, port_redirect: 8443, "
		      "prefix_rewrite: /p, response_code: PERMANENT_REDIRECT, strip_query: true}");

	(void)state;
	assert_true(r->redirect->https && r->redirect->strip_query);
	assert_int_equal(r->redirect->code, 308);
	assert_int_equal(r->redirect->port, 8443);
	assert_int_equal(r->redirect->path_kind, MESH_REDIRECT_PATH_PREFIX);
	same(r->redirect->path, "/p");
	end(NULL);
	r = route("prefix: /", "direct_response: {status: 418, body: {inline_bytes: dGVh}}");
	assert_int_equal(r->direct_status, 418);
	same(r->direct_body, "tea");
	assert_null(r->direct_format);
}

static void vhosts(void **state)
{
	const struct mesh_vhost *v = vhost(
		"require_tls: EXTERNAL_ONLY, include_request_attempt_count: true, cors: "
		"{allow_origin_string_match: [{exact: o}], "
		"allow_methods: GET, max_age: '5', allow_credentials: true}, rate_limits: "
		"[{actions: [{remote_address: {}}, "
		"{generic_key: {descriptor_value: g}}]}], typed_per_filter_config: {f: {'@type': "
		"type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}, g: "
		"{'@type': "
		"type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}}");
	const struct mesh_cors *c;

	(void)state;
	assert_int_equal(v->require_tls, MESH_TLS_EXTERNAL_ONLY);
	assert_true(v->include_attempt_count);
	assert_int_equal(v->n_rate_limits, 1);
	assert_int_equal(v->rate_limits[0].actions[0].kind, MESH_RL_REMOTE_ADDRESS);
	same(v->rate_limits[0].actions[1].key, "generic_key");
	same(v->rate_limits[0].actions[1].value, "g");
	assert_int_equal(v->overrides.n, 3);
	assert_true(v->overrides.v[0].disabled);
	assert_false(v->overrides.v[1].disabled);
	assert_null(v->overrides.v[1].config);
	same(v->overrides.v[2].name, "envoy.filters.http.cors");
	assert_string_equal(v->overrides.v[2].kind, "cors");
	c = v->overrides.v[2].config;
	same(c->origins[0].text, "o");
	same(c->methods, "GET");
	assert_true(c->credentials && c->forward_not_matching && c->enabled == 1000000);
}

static void manager_defaults(void **state)
{
	const struct mesh_http_manager *h = manager("route_config: {}, http_filters: [" ROUTER "]");

	(void)state;
	assert_int_equal(h->idle_timeout_ms, 3600000);
	assert_int_equal(h->stream_idle_timeout_ms, 300000);
	assert_int_equal(h->delayed_close_ms, 1000);
	assert_int_equal(h->drain_timeout_ms, 5000);
	assert_int_equal(h->max_headers, 100);
	assert_int_equal(h->max_head_kb, 60);
	assert_true(h->generate_request_id && h->allow_absolute_url && h->suppress_envoy_headers);
	assert_false(h->normalize_path || h->use_remote_address || h->has_internal_address_config ||
		     h->accept_http10);
	same(h->server_name, "skiff");
}

static void manager_values(void **state)
{
	const struct mesh_http_manager *h = manager(
		"route_config: {}, codec_type: http1, server_name: n, "
		"server_header_transformation: PASS_THROUGH, via: v, "
		"common_http_protocol_options: {idle_timeout: 0s, max_connection_duration: 1s, "
		"max_stream_duration: 2s, "
		"max_headers_count: 7, max_requests_per_connection: 8, "
		"headers_with_underscores_action: DROP_HEADER}, "
		"http_protocol_options: {allow_absolute_url: false, accept_http_10: yes, "
		"default_host_for_http_10: d, "
		"header_key_format: {proper_case_words: {}}, enable_trailers: true, "
		"allow_chunked_length: true}, "
		"request_timeout: 3s, request_headers_timeout: 4s, use_remote_address: true, "
		"xff_num_trusted_hops: 2, "
		"skip_xff_append: true, append_x_forwarded_port: true, internal_address_config: "
		"{cidr_ranges: [{address_prefix: "
		"10.0.0.0, prefix_len: 8}, {address_prefix: 'fd00::', prefix_len: 8}]}, "
		"path_with_escaped_slashes_action: "
		"UNESCAPE_AND_REDIRECT, strip_any_host_port: true, strip_trailing_host_dot: true, "
		"scheme_header_transformation: {scheme_to_overwrite: https}, http_filters: [{name: "
		"off, disabled: true, "
		"typed_config: {'@type': " T "http.cors.v3.Cors}}, " ROUTER "]");

	(void)state;
	assert_int_equal(h->codec_type, MESH_CODEC_HTTP1);
	assert_int_equal(h->server_header, MESH_SERVER_PASS);
	assert_int_equal(h->idle_timeout_ms, 0);
	assert_int_equal(h->max_connection_ms, 1000);
	assert_int_equal(h->max_stream_ms, 2000);
	assert_int_equal(h->request_timeout_ms, 3000);
	assert_int_equal(h->request_headers_timeout_ms, 4000);
	assert_int_equal(h->max_headers, 7);
	assert_int_equal(h->max_requests_per_connection, 8);
	assert_int_equal(h->underscores, MESH_UNDERSCORES_DROP);
	assert_true(h->accept_http10 && h->proper_case && h->enable_trailers &&
		    h->allow_chunked_length);
	assert_false(h->allow_absolute_url);
	same(h->default_host_http10, "d");
	assert_int_equal(h->xff_trusted_hops, 2);
	assert_true(h->skip_xff_append && h->append_x_forwarded_port &&
		    h->has_internal_address_config);
	assert_int_equal(h->n_internal_addresses, 2);
	assert_int_equal(h->internal_addresses[0].bits, 104);
	assert_int_equal(h->internal_addresses[1].bits, 8);
	assert_int_equal(h->escaped_slashes, MESH_SLASHES_REDIRECT);
	assert_true(h->strip_any_port && h->strip_trailing_dot);
	same(h->scheme_overwrite, "https");
	assert_int_equal(h->n_filters, 2);
	assert_true(h->filters[0].disabled);
	assert_string_equal(h->filters[0].kind, "cors");
	assert_null(h->filters[0].config);
}

static void filters(void **state)
{
	const struct mesh_http_manager *h =
		manager("route_config: {}, http_filters: [{name: l, typed_config: {'@type': " T
			"http.local_ratelimit.v3.LocalRateLimit, "
			"stat_prefix: p, status: {code: ServiceUnavailable}, token_bucket: "
			"{max_tokens: 10, tokens_per_fill: 5, "
			"fill_interval: 0.1s}, filter_enabled: {default_value: {numerator: 100}}, "
			"filter_enforced: {default_value: "
			"{numerator: 50}}, descriptors: [{entries: [{key: k, value: v}, {key: w}], "
			"token_bucket: {max_tokens: 1, "
			"fill_interval: 60s}}], enable_x_ratelimit_headers: DRAFT_VERSION_03}}, "
			"{name: f, typed_config: {'@type': " T
			"http.fault.v3.HTTPFault, delay: {fixed_delay: 0.5s, percentage: "
			"{numerator: 1, denominator: MILLION}}, abort: "
			"{http_status: 503, percentage: {numerator: 100}}, headers: [{name: x}]}}, "
			"{name: m, typed_config: {'@type': " T
			"http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: "
			"[{remove: A}, {append: {header: {key: B, "
			"value: c}, append_action: ADD_IF_ABSENT}}], response_mutations: [{remove: "
			"D}]}}}, " ROUTER "]");
	const struct mesh_local_ratelimit *l = h->filters[0].config;
	const struct mesh_fault *f = h->filters[1].config;
	const struct mesh_header_mutation *m = h->filters[2].config;

	(void)state;
	assert_int_equal(l->status, 503);
	assert_true(l->has_bucket && l->x_ratelimit_headers && l->always_consume_default);
	assert_int_equal(l->bucket.max_tokens, 10);
	assert_int_equal(l->bucket.fill_interval_ns, 100000000);
	assert_int_equal(l->enabled, 1000000);
	assert_int_equal(l->enforced, 500000);
	assert_int_equal(l->descriptors[0].n_entries, 2);
	same(l->descriptors[0].entries[1].value, "");
	assert_int_equal(f->delay_ms, 500);
	assert_int_equal(f->delay_fraction, 1);
	assert_int_equal(f->abort_status, 503);
	assert_int_equal(f->abort_fraction, 1000000);
	assert_int_equal(f->n_headers, 1);
	same(m->request.v[0].remove[0], "a");
	assert_int_equal(m->request.v[1].add[0].action, MESH_ADD_IF_ABSENT);
	same(m->response.v[0].remove[0], "d");
}

static void access_logs(void **state)
{
	const struct mesh_http_manager *h = manager(
		"route_config: {}, http_filters: [" ROUTER
		"], access_log: [{name: a, filter: {and_filter: {filters: "
		"[{status_code_filter: {comparison: {op: GE, value: {default_value: 400, "
		"runtime_key: k}}}}, "
		"{response_flag_filter: {flags: [UH, DR]}}]}}, typed_config: {'@type': "
		"type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "
		"/x, log_format: {json_format: "
		"{b: '%PROTOCOL%', a: [1, true, ~, {c: text}]}, omit_empty_values: true}}}, {name: "
		"b, typed_config: {'@type': "
		"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog}}, "
		"{name: c, typed_config: "
		"{'@type': "
		"type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "
		"/dev/stdout, "
		"format: '%RESPONSE_CODE%'}}]");
	const struct mesh_access_log *l = h->logs;
	const struct mesh_json_format *j = l[0].json;

	(void)state;
	assert_int_equal(h->n_logs, 3);
	assert_int_equal(l[0].sink, MESH_LOG_FILE);
	same(l[0].path, "/x");
	assert_true(l[0].omit_empty && !l[0].format);
	assert_int_equal(l[0].filter->kind, MESH_LOG_AND);
	assert_int_equal(l[0].filter->sub[0].kind, MESH_LOG_STATUS);
	assert_int_equal(l[0].filter->sub[0].op, MESH_GE);
	assert_int_equal(l[0].filter->sub[0].value, 400);
	assert_int_equal(l[0].filter->sub[1].kind, MESH_LOG_FLAGS);
	assert_true(l[0].filter->sub[1].flags != 0);
	assert_int_equal(j->kind, MESH_JSON_OBJECT);
	assert_int_equal(j->n_sub, 2);
	same(j->sub[0].key, "b");
	assert_int_equal(j->sub[0].kind, MESH_JSON_FORMAT);
	assert_int_equal(j->sub[1].kind, MESH_JSON_LIST);
	assert_int_equal(j->sub[1].sub[0].kind, MESH_JSON_NUMBER);
	assert_int_equal(j->sub[1].sub[1].kind, MESH_JSON_BOOL);
	assert_int_equal(j->sub[1].sub[2].kind, MESH_JSON_NULL);
	assert_int_equal(j->sub[1].sub[3].kind, MESH_JSON_OBJECT);
	assert_int_equal(l[1].sink, MESH_LOG_STDERR);
	assert_non_null(l[1].format);
	assert_int_equal(l[2].sink, MESH_LOG_STDOUT);
	assert_int_equal(report.n, 1);
}

/* A substitution that cannot work is taken, as by Envoy, and reported. */
static void bad_substitution(void **state)
{
	const struct mesh_route *r =
		route("prefix: /",
		      "route: {cluster: a, regex_rewrite: {pattern: {regex: '(b)c'}, "
		      "substitution: '\\2'}}");

	(void)state;
	assert_int_equal(r->rewrite, MESH_PATH_REWRITE_REGEX);
	assert_int_equal(report.n, 1);
	assert_non_null(memmem(report.v[0].text.ptr, report.v[0].text.len, "names group 2", 13));
}

static void clusters(void **state)
{
	const struct mesh_cluster *c;

	(void)state;
	load("static_resources: {clusters: [{name: 'outbound|80||a', type: STRICT_DNS, lb_policy: "
	     "LEAST_REQUEST, connect_timeout: 0.5s, "
	     "dns_refresh_rate: 2s, dns_lookup_family: V6_ONLY, least_request_lb_config: "
	     "{choice_count: 5}, common_lb_config: "
	     "{healthy_panic_threshold: {value: 10}}, circuit_breakers: {thresholds: "
	     "[{max_requests: 3, max_retries: 0}]}, "
	     "per_connection_buffer_limit_bytes: 4096, typed_extension_protocol_options: "
	     "{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': "
	     "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
	     "common_http_protocol_options: "
	     "{idle_timeout: 9s, max_requests_per_connection: 2}, explicit_http_config: "
	     "{http_protocol_options: {enable_trailers: "
	     "true}}}}, load_assignment: {cluster_name: x, endpoints: [{priority: 1, lb_endpoints: "
	     "[{endpoint: {address: "
	     "{socket_address: {address: a.test, port_value: 81}}}, health_status: DRAINING, "
	     "load_balancing_weight: 4}]}]}}, "
	     "{name: o, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, alt_stat_name: 'x:y', "
	     "original_dst_lb_config: "
	     "{use_http_header: true}}]}");
	c = mesh_view_cluster_at(view, 0);
	assert_int_equal(c->kind, MESH_CLUSTER_STRICT_DNS);
	assert_int_equal(c->lb, MESH_LB_LEAST_REQUEST);
	assert_int_equal(c->choice_count, 5);
	assert_int_equal(c->connect_timeout_ms, 500);
	assert_int_equal(c->dns_refresh_ms, 2000);
	assert_int_equal(c->dns_family, MESH_DNS_V6);
	assert_int_equal(c->panic_threshold, 10);
	assert_int_equal(c->limits.max_requests, 3);
	assert_int_equal(c->limits.max_retries, 0);
	assert_int_equal(c->limits.max_connections, 1024);
	assert_int_equal(c->per_connection_buffer, 4096);
	assert_int_equal(c->idle_timeout_ms, 9000);
	assert_int_equal(c->max_requests_per_connection, 2);
	assert_true(c->enable_trailers);
	same(c->endpoints[0].hostname, "a.test");
	assert_int_equal(c->endpoints[0].addr.port, 81);
	assert_int_equal(c->endpoints[0].weight, 4);
	assert_int_equal(c->endpoints[0].priority, 1);
	assert_int_equal(c->endpoints[0].health, MESH_HEALTH_DRAINING);
	c = mesh_view_cluster_at(view, 1);
	assert_int_equal(c->kind, MESH_CLUSTER_ORIGINAL_DST);
	assert_int_equal(c->lb, MESH_LB_PROVIDED);
	assert_true(c->use_original_dst_header);
	same(c->stat_name, "x_y");
}

static void listeners(void **state)
{
	const struct mesh_listener *l;
	const struct mesh_chain_match *m;

	(void)state;
	load("static_resources: {listeners: [{address: {socket_address: {address: '::', "
	     "port_value: 15001}}, use_original_dst: true, "
	     "deprecated_v1: {bind_to_port: false}, traffic_direction: OUTBOUND, stat_prefix: p, "
	     "listener_filters_timeout: 0s, "
	     "continue_on_listener_filters_timeout: true, listener_filters: [{name: o, "
	     "typed_config: {'@type': " T
	     "listener.original_dst.v3.OriginalDst}}, {name: h, typed_config: {'@type': " T
	     "listener.http_inspector.v3.HttpInspector}}], filter_chains: [{name: c, "
	     "filter_chain_match: {destination_port: 80, "
	     "prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}], source_type: EXTERNAL, "
	     "source_ports: [7], "
	     "server_names: ['*.A.test'], transport_protocol: raw_buffer, application_protocols: "
	     "[http/1.1, h2c]}, filters: "
	     "[{name: l, typed_config: {'@type': " T
	     "network.local_ratelimit.v3.LocalRateLimit, stat_prefix: n, token_bucket: "
	     "{max_tokens: 2, fill_interval: 1s}}}, {name: t, typed_config: {'@type': " T
	     "network.tcp_proxy.v3.TcpProxy, "
	     "stat_prefix: s, weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, "
	     "weight: 2}]}}}]}], "
	     "default_filter_chain: {name: d}}]}");
	l = mesh_view_listener_at(view, 0);
	m = &l->chains[0].match;
	same(l->name, "[::]:15001");
	assert_true(l->use_original_dst && !l->bind_to_port && l->sniff && l->continue_on_timeout);
	assert_int_equal(l->direction, MESH_OUTBOUND);
	assert_int_equal(l->sniff_timeout_ms, 0);
	same(l->stat_prefix, "p");
	assert_int_equal(m->destination_port, 80);
	assert_int_equal(m->destinations[0].bits, 104);
	assert_int_equal(m->source_kind, MESH_SOURCE_EXTERNAL);
	assert_int_equal(m->source_ports[0], 7);
	same(m->server_names[0], "*.a.test");
	same(m->protocols[1], "h2c");
	assert_int_equal(l->chains[0].n_filters, 2);
	assert_int_equal(l->chains[0].filters[0].ratelimit->bucket.max_tokens, 2);
	assert_int_equal(l->chains[0].filters[1].tcp->total_weight, 3);
	same(l->default_chain->name, "d");
}

static void dubbo(void **state)
{
	const struct mesh_rpc_proxy *p;

	(void)state;
	load("static_resources: {listeners: [{name: l, address: {socket_address: {address: "
	     "127.0.0.1, port_value: 1}}, filter_chains: "
	     "[{filters: [{name: d, typed_config: {'@type': " T
	     "network.dubbo_proxy.v3.DubboProxy, stat_prefix: d, "
	     "multiple_route_config: {name: m, route_config: [{name: r, interface: org.*, group: "
	     "g, version: '1', routes: [{match: "
	     "{method: {name: {exact: hello}}, headers: [{name: userId, exact_match: '7'}]}, "
	     "route: {cluster: a}}, {match: {}, "
	     "route: {weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: "
	     "3}]}}}]}]}, dubbo_filters: [{name: "
	     "lim, config: {'@type': " T
	     "http.local_ratelimit.v3.LocalRateLimit, stat_prefix: l}}, {name: "
	     "envoy.filters.dubbo.router}]}}]}]}]}");
	p = mesh_view_listener_at(view, 0)->chains[0].filters[0].rpc;
	assert_string_equal(p->codec, "dubbo");
	assert_int_equal(p->n_tables, 1);
	same(p->tables[0].interface, "org.*");
	same(p->tables[0].group, "g");
	same(p->tables[0].version, "1");
	assert_true(p->tables[0].routes[0].has_method);
	same(p->tables[0].routes[0].method.text, "hello");
	same(p->tables[0].routes[0].headers[0].name, "userId"); /* attachments keep their case */
	assert_false(p->tables[0].routes[1].has_method);
	assert_int_equal(p->tables[0].routes[1].total_weight, 4);
	assert_int_equal(p->n_filters, 2);
	assert_string_equal(p->filters[0].kind, "local_ratelimit");
	assert_string_equal(p->filters[1].kind, "router");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(header_matches, end),
		cmocka_unit_test_teardown(path_kinds, end),
		cmocka_unit_test_teardown(match_more, end),
		cmocka_unit_test_teardown(templates, end),
		cmocka_unit_test_teardown(template_parts, end),
		cmocka_unit_test_teardown(redirects_followed, end),
		cmocka_unit_test_teardown(action, end),
		cmocka_unit_test_teardown(answers, end),
		cmocka_unit_test_teardown(vhosts, end),
		cmocka_unit_test_teardown(manager_defaults, end),
		cmocka_unit_test_teardown(manager_values, end),
		cmocka_unit_test_teardown(filters, end),
		cmocka_unit_test_teardown(access_logs, end),
		cmocka_unit_test_teardown(bad_substitution, end),
		cmocka_unit_test_teardown(clusters, end),
		cmocka_unit_test_teardown(listeners, end),
		cmocka_unit_test_teardown(dubbo, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
