/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is refused, with the text that people read; what is only reported. Each case is a piece of
 * YAML at one place of a small bootstrap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "xds/load.h"

#define T "type.googleapis.com/envoy.extensions.filters."
#define ROUTER "{name: r, typed_config: {'@type': " T "http.router.v3.Router}}"
#define ADDR(port) "address: {socket_address: {address: 127.0.0.1, port_value: " #port "}}"

/* Where a case's text goes: flow style, so that any piece fits. */
#define LISTENER(text) \
	"static_resources: {listeners: [{name: l, " ADDR(80) ", " text \
							     "}], clusters: [{name: app}]}"
#define CHAIN(text) LISTENER("filter_chains: [{" text "}]")
#define FILTERS(text) CHAIN("filters: [" text "]")
#define HCM(text) \
	FILTERS("{name: h, typed_config: {'@type': " T \
		"network.http_connection_manager.v3.HttpConnectionManager, " text "}}")
#define ROUTES(text) \
	HCM("stat_prefix: s, http_filters: [" ROUTER \
	    "], route_config: {name: r, virtual_hosts: [{name: v, domains: " \
	    "['*'], routes: [" text "]}]}")
#define ROUTE(text) ROUTES("{match: {prefix: /}, " text "}")
#define ACTION(text) ROUTE("route: {" text "}")
#define MATCH(text) ROUTES("{match: {" text "}, route: {cluster: app}}")
#define HTTP_FILTER(text) HCM("stat_prefix: s, route_config: {}, http_filters: [" text "]")
#define VHOSTS(text) \
	HCM("stat_prefix: s, http_filters: [" ROUTER \
	    "], route_config: {name: r, virtual_hosts: [" text "]}")
#define CLUSTER(text) "static_resources: {clusters: [{name: c, " text "}]}"
#define LIMIT(text) \
	HTTP_FILTER("{name: l, typed_config: {'@type': " T \
		    "http.local_ratelimit.v3.LocalRateLimit, " text "}}, " ROUTER)

struct bad {
	const char *yaml, *error; /* the end of the error's text */
};

static const struct bad yaml_cases[] = {
	{ "a: [1", "t.yaml:2:1: did not find expected ',' or ']'" },
	{ "a: 1\na: 2\n", "t.yaml:2:1: the key is there twice: a" },
	{ "a: *x\n", "t.yaml:1:4: no such anchor: *x" },
	{ "a: &x [*x]\n", "t.yaml:1:8: alias to what it stands in: *x" },
	{ "a: 1\n---\nb: 2\n", "t.yaml:2:1: more than one document in a file" },
	{ "? [a]\n: 1\n", "t.yaml:1:3: a map's key must be plain text" },
	{ "a: {<<: 1}\n", "\"<<\" needs a map or a list of maps" },
	{ "[]", "t.yaml: fields of envoy.config.bootstrap.v3.Bootstrap are needed here" },
};

static const struct bad listener_cases[] = {
	{ "static_resources: {listeners: [{name: l}]}",
	  "static_resources.listeners[0]: address is required" },
	{ LISTENER("name: m"), "the key is there twice: name" },
	{ "static_resources: {listeners: [{address: {pipe: {path: /x}}}]}",
	  "listeners[0].address.pipe: a Unix domain socket is not supported yet by this version" },
	{ "static_resources: {listeners: [{address: {socket_address: {address: x.test, port_value: "
	  "1}}}]}",
	  "\"x.test\" is not an IP address" },
	{ "static_resources: {listeners: [{address: {socket_address: {address: 1.1.1.1, "
	  "port_value: 70000}}}]}",
	  "listeners[0].address.socket_address: port_value 70000 is over 65535" },
	{ "static_resources: {listeners: [{address: {socket_address: {address: 1.1.1.1}}}]}",
	  "port_value is required" },
	{ "static_resources: {listeners: [{address: {socket_address: {address: 1.1.1.1, "
	  "port_value: 1, protocol: UDP}}}]}",
	  "UDP is not supported yet by this version" },
	{ LISTENER("stat_prefix: x"), "listeners[0]: filter_chains may not be empty" },
	{ LISTENER("listener_filters_timeout: 5"), "a duration such as \"0.25s\" is needed here" },
	{ LISTENER("listener_filters_timeout: 5ms"),
	  "\"5ms\" is not a duration such as \"0.25s\"" },
	{ LISTENER("traffic_direction: SIDEWAYS"),
	  "\"SIDEWAYS\" is not a value of envoy.config.core.v3.TrafficDirection" },
	{ LISTENER("listener_filters: [{name: p, typed_config: {'@type': a/b.Proxy}}]"),
	  "listeners[0].listener_filters[0]: listener filter \"p\" of type \"b.Proxy\" is not "
	  "supported yet by this "
	  "version" },
	{ LISTENER("udp_listener_config: {}"),
	  "listeners[0]: field \"udp_listener_config\" of envoy.config.listener.v3.Listener is not "
	  "supported yet by "
	  "this version" },
	{ CHAIN("transport_socket: {name: tls}"),
	  "listeners[0].filter_chains[0]: field \"transport_socket\" of "
	  "envoy.config.listener.v3.FilterChain is not "
	  "supported yet by this version" },
	{ CHAIN("transportSocket: {name: tls}"), "is not supported yet by this version" },
	{ CHAIN("filter_chain_match: {address_suffix: x}"),
	  "field \"address_suffix\" of envoy.config.listener.v3.FilterChainMatch is not supported "
	  "yet by this version" },
	{ CHAIN("filter_chain_match: {server_names: ['a*.b']}"),
	  "server_names[0] \"a*.b\": a wildcard must be \"*.\" at the beginning" },
	{ CHAIN("filter_chain_match: {prefix_ranges: [{address_prefix: x}]}"),
	  "\"x\" is not an IP address" },
	{ LISTENER("filter_chains: [{name: a}, {name: b}]"),
	  "filter_chains[1] \"b\" has the same filter_chain_match as filter_chains[0] \"a\", or "
	  "meets it" },
	{ FILTERS("{name: x}"), "filters[0]: typed_config is required for filter \"x\"" },
	{ FILTERS("{name: x, typed_config: {a: 1}}"),
	  "filters[0].typed_config: \"@type\" is missing" },
	{ FILTERS("{name: redis, typed_config: {'@type': " T "network.redis_proxy.v3.RedisProxy}}"),
	  "listeners[0].filter_chains[0].filters[0].typed_config: network filter \"redis\" of type "
	  "\"envoy.extensions."
	  "filters.network.redis_proxy.v3.RedisProxy\" is not supported yet by this version" },
	{ FILTERS("{name: t, typed_config: {'@type': " T
		  "network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: c}}, "
		  "{name: u, typed_config: {'@type': " T
		  "network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: c}}"),
	  "filters[0] \"t\" ends the chain and must be the last" },
	{ FILTERS("{name: t, typed_config: {'@type': " T
		  "network.local_ratelimit.v3.LocalRateLimit, stat_prefix: s, "
		  "token_bucket: {max_tokens: 1, fill_interval: 1s}}}"),
	  "filters: the last one must end the chain (HTTP connection manager, tcp_proxy, "
	  "dubbo_proxy), \"t\" does not" },
	{ FILTERS("{name: t, typed_config: {'@type': " T
		  "network.tcp_proxy.v3.TcpProxy, cluster: c}}"),
	  "typed_config: stat_prefix is required and may not be empty" },
	{ FILTERS("{name: t, typed_config: {'@type': " T
		  "network.tcp_proxy.v3.TcpProxy, stat_prefix: s}}"),
	  "one of cluster and weighted_clusters is required" },
	{ FILTERS("{name: t, typed_config: {'@type': " T
		  "network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: c, "
		  "tunneling_config: {hostname: x}}}"),
	  "field \"tunneling_config\" of envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy is "
	  "not supported yet by "
	  "this version" },
	{ FILTERS("{name: d, typed_config: {'@type': " T
		  "network.dubbo_proxy.v3.DubboProxy, stat_prefix: s, drds: {}}}"),
	  "field \"drds\" of envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy is not "
	  "supported yet by this "
	  "version" },
	{ FILTERS("{name: d, typed_config: {'@type': " T
		  "network.dubbo_proxy.v3.DubboProxy, stat_prefix: s, "
		  "route_config: [{interface: i, routes: [{match: {method: {params_match: "
		  "{}}}}]}]}}"),
	  "routes[0].match.method: field \"params_match\" of "
	  "envoy.extensions.filters.network.dubbo_proxy.v3.MethodMatch "
	  "is not supported yet by this version" },
};

static const struct bad more_cases[] = {
	{ CHAIN("filter_chain_match: {prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: "
		"129}]}"),
	  "prefix_len 129 is over 128" },
	{ LIMIT("stat_prefix: s, status: {}"), "status.code 0 is not a status" },
	{ CLUSTER("http_protocol_options: {header_key_format: {}}"),
	  "header_key_format: one of proper_case_words and stateful_formatter is required" },
	{ HCM("stat_prefix: s, http_filters: [" ROUTER
	      "], route_config: {}, http_protocol_options: {header_key_format: "
	      "{stateful_formatter: {name: x, typed_config: {'@type': a/b.C}}}}"),
	  "header_key_format.stateful_formatter: only "
	  "envoy.extensions.http.header_formatters.preserve_case.v3."
	  "PreserveCaseFormatterConfig is known" },
	{ "static_resources: {listeners: [{name: a, " ADDR(
		  80) ", filter_chains: [{}]}, {name: b, " ADDR(80) ", filter_chains: [{}]}]}",
	  "static_resources.listeners[1]: listener \"b\" has the address of listener \"a\"" },
	{ LISTENER("filter_chains: [{name: a, filter_chain_match: {destination_port: 1, "
		   "source_ports: [1, 2]}}, {name: b, "
		   "filter_chain_match: {destination_port: 1, source_ports: [2]}}]"),
	  "filter_chains[1] \"b\" has the same filter_chain_match as filter_chains[0] \"a\", or "
	  "meets it" },
	{ CHAIN("filter_chain_match: {server_names: ['*']}"),
	  "a wildcard must be \"*.\" at the beginning" },
	{ CHAIN("filter_chain_match: {prefix_ranges: [{address_prefix: '::', prefix_len: 129}]}"),
	  "prefix_len 129 is over 128" },
	{ HCM("stat_prefix: s, via: \"a\\nb\""), "via has a line break" },
	{ HCM("stat_prefix: s, server_name: \"a\\rb\""), "server_name has a line break" },
	{ HCM("stat_prefix: s, http_filters: [" ROUTER
	      "], upgrade_configs: [{upgrade_type: a}, {upgrade_type: A}]"),
	  "upgrade_configs: \"a\" is there twice" },
	{ VHOSTS("{name: v, domains: [\"a\\nb\"]}"), "domains[0] has a line break" },
	{ MATCH("prefix: /, headers: [{name: \"a\\nb\"}]"), "headers[0]: name has a line break" },
	{ ACTION("cluster: app, prefix_rewrite: \"/\\n\""), "prefix_rewrite has a line break" },
	{ ACTION("cluster: app, host_rewrite_literal: \"a\\nb\""),
	  "host_rewrite_literal has a line break" },
	{ ROUTE("redirect: {host_redirect: \"a\\nb\"}"), "host_redirect has a line break" },
	{ ACTION("cluster: app, rate_limits: [{stage: 11, actions: [{remote_address: {}}]}]"),
	  "stage is over 10" },
	{ ACTION("cluster: app, rate_limits: [{actions: [{header_value_match: {headers: [{name: "
		 "a}]}}]}]"),
	  "headers and descriptor_value may not be empty" },
	{ LIMIT("stat_prefix: s, filter_enabled: {}"), "filter_enabled.default_value is required" },
	{ HTTP_FILTER(
		  "{name: m, typed_config: {'@type': " T
		  "http.header_mutation.v3.HeaderMutation, mutations: "
		  "{request_mutations: [{append: {header: {key: ':path', value: x}}}]}}}, " ROUTER),
	  "\":path\": :-prefixed or host headers may not be modified" },
	{ HTTP_FILTER("{name: f, typed_config: {'@type': " T
		      "http.fault.v3.HTTPFault, response_rate_limit: "
		      "{fixed_limit: {limit_kbps: 16}}}}, " ROUTER),
	  "response_rate_limit: a rate of answers is not supported yet by this version" },
	{ FILTERS("{name: t, typed_config: {'@type': " T
		  "network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: c, "
		  "max_downstream_connection_duration: 0s}}"),
	  "max_downstream_connection_duration must be at least 0.001s" },
	{ CLUSTER("dns_refresh_rate: 0.001s"), "dns_refresh_rate must be over 0.001s" },
	{ CLUSTER("typed_extension_protocol_options: {x: {'@type': a/b.C}}"),
	  "typed_extension_protocol_options[x]: the only key known here is "
	  "envoy.extensions.upstreams.http.v3."
	  "HttpProtocolOptions" },
};

#define POLICY(name) \
	"{typed_extension_config: {name: x, typed_config: {'@type': type.googleapis.com/" name "}" \
	"}" \
	"}"
#define LB(name) POLICY("envoy.extensions.load_balancing_policies." name)

static const struct bad balancer_cases[] = {
	{ CLUSTER("load_balancing_policy: {policies: []}"),
	  "load_balancing_policy: none of the policies is supported yet by this version" },
	{ CLUSTER("load_balancing_policy: {policies: [" POLICY("a.B") "]}"),
	  "load_balancing_policy: none of the policies is supported yet by this version" },
	{ CLUSTER("load_balancing_policy: {policies: [{}]}"),
	  "load_balancing_policy.policies[0]: typed_extension_config.typed_config is required" },
	{ CLUSTER("load_balancing_policy: {policies: [" LB(
		  "cluster_provided.v3.ClusterProvided") "]}"),
	  "lb_policy CLUSTER_PROVIDED and type ORIGINAL_DST belong together" },
	{ CLUSTER("lb_policy: LOAD_BALANCING_POLICY_CONFIG"),
	  "lb_policy 7 needs load_balancing_policy" },
};

static void balancers(void **state)
{
	struct mesh_view *v = NULL;
	struct err e = { "" };

	(void)state;
	if (xds_load_text(SLICE(CLUSTER("load_balancing_policy: {policies: [" POLICY("a.B") ", " LB(
				  "least_request.v3.LeastRequest, choice_count: "
				  "3") ", " LB("random.v3.Random") "]}")),
			  "t", &v, NULL, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(mesh_view_cluster_at(v, 0)->lb, MESH_LB_LEAST_REQUEST);
	assert_int_equal(mesh_view_cluster_at(v, 0)->choice_count, 3);
	mesh_view_unref(v);
}

static const struct bad http_cases[] = {
	{ HCM("http_filters: []"), "typed_config: stat_prefix is required and may not be empty" },
	{ HCM("stat_prefix: s, codec_type: HTTP3"),
	  "codec_type: HTTP3 is not supported yet by this version" },
	{ HCM("stat_prefix: s, max_request_headers_kb: 0"),
	  "max_request_headers_kb 0 is not between 1 and 8192" },
	{ HCM("stat_prefix: s"), "http_filters needs at least the router filter" },
	{ HCM("stat_prefix: s, http_filters: [" ROUTER "]"),
	  "route_config is required; scoped_routes are not supported yet by this version" },
	{ HCM("stat_prefix: s, http_filters: [" ROUTER "], rds: {route_config_name: x}"),
	  "rds: routes by name need a control plane (xDS), and none is configured; use "
	  "route_config" },
	{ HCM("stat_prefix: s, rds: {}, route_config: {}"),
	  "route_config: only one of \"rds\" and \"route_config\" may be set" },
	{ HCM("stat_prefix: s, strip_matching_host_port: true, strip_any_host_port: true"),
	  "only one of strip_matching_host_port and strip_any_host_port may be set" },
	{ HTTP_FILTER(ROUTER ", " ROUTER),
	  "http_filters: filter \"r\" ends the chain and must be the last" },
	{ HTTP_FILTER("{name: c, typed_config: {'@type': " T "http.cors.v3.Cors}}"),
	  "http_filters: the last filter must be the router, not \"c\"" },
	{ HTTP_FILTER("{name: x, typed_config: {'@type': " T
		      "http.ext_authz.v3.ExtAuthz, rules: {}}}, " ROUTER),
	  "http_filters[0].typed_config: filter \"x\" of type "
	  "\"envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\" is not "
	  "supported yet by this version" },
	{ HTTP_FILTER("{name: x}"), "http_filters[0]: typed_config is required for filter \"x\"" },
	{ LIMIT("token_bucket: {}"),
	  "http_filters[0].typed_config: stat_prefix is required and may not be empty" },
	{ LIMIT("stat_prefix: s, token_bucket: {max_tokens: 1}"),
	  "token_bucket: fill_interval is required" },
	{ LIMIT("stat_prefix: s, token_bucket: {max_tokens: 1, fill_interval: 0.01s}"),
	  "token_bucket: fill_interval must be at least 0.05s" },
	{ LIMIT("stat_prefix: s, token_bucket: {max_tokens: 1, fill_interval: 1s, tokens_per_fill: "
		"0}"),
	  "tokens_per_fill must be over 0" },
	{ LIMIT("stat_prefix: s, descriptors: [{token_bucket: {max_tokens: 1, fill_interval: "
		"1s}}]"),
	  "descriptors[0]: entries may not be empty" },
	{ LIMIT("stat_prefix: s, descriptors: [&d {entries: [{key: a}], token_bucket: {max_tokens: "
		"1, fill_interval: 1s}}, "
		"*d]"),
	  "descriptors[0] and descriptors[1] are equal" },
	{ HTTP_FILTER("{name: f, typed_config: {'@type': " T
		      "http.fault.v3.HTTPFault, abort: {http_status: 99}}}, " ROUTER),
	  "abort: http_status 99 is not between 200 and 599" },
	{ HTTP_FILTER("{name: f, typed_config: {'@type': " T
		      "http.fault.v3.HTTPFault, delay: {}}}, " ROUTER),
	  "delay: one of fixed_delay and header_delay is required" },
	{ VHOSTS("{domains: ['*']}"), "virtual_hosts[0]: name is required and may not be empty" },
	{ VHOSTS("{name: v}"), "virtual_hosts[0]: domains may not be empty" },
	{ VHOSTS("{name: v, domains: [A.b]}, {name: w, domains: [a.B]}"),
	  "domain \"a.b\" stands twice in the virtual hosts of route configuration \"r\"" },
	{ VHOSTS("{name: v, domains: ['*'], matcher: {}}"),
	  "field \"matcher\" of envoy.config.route.v3.VirtualHost is not supported yet by this "
	  "version" },
};

static const struct bad route_cases[] = {
	{ ROUTES("{route: {cluster: app}}"), "routes[0]: match is required" },
	{ MATCH("headers: [{name: x}]"),
	  "match: one of prefix, path, safe_regex, path_separated_prefix, "
	  "path_match_policy and connect_matcher is required" },
	{ MATCH("prefix: /, path: /x"),
	  "match.path: only one of \"prefix\" and \"path\" may be set" },
	{ MATCH("prefix: /, filter_state: []"),
	  "match: field \"filter_state\" of envoy.config.route.v3.RouteMatch is not supported "
	  "yet by this version" },
	{ MATCH("prefix: /, headers: [{name: ''}]"),
	  "match.headers[0]: name is required and may not be empty" },
	{ MATCH("prefix: /, headers: [{name: x, string_match: {}}]"),
	  "headers[0].string_match: one of exact, prefix, suffix, contains and safe_regex is "
	  "required" },
	{ MATCH("prefix: /, headers: [{name: x, string_match: {prefix: ''}}]"),
	  "the text of prefix, suffix and contains may not be empty" },
	{ MATCH("prefix: /, headers: [{name: x, string_match: {custom: {name: a}}}]"),
	  "field \"custom\" of envoy.type.matcher.v3.StringMatcher is not supported yet by this "
	  "version" },
	{ MATCH("path_separated_prefix: /a/"),
	  "path_separated_prefix \"/a/\" may not be empty, end in '/' or have '?' or '#'" },
	{ MATCH("safe_regex: {}"), "match.safe_regex: regex is required and may not be empty" },
	{ MATCH("path_match_policy: {name: t, typed_config: {'@type': "
		"type.googleapis.com/"
		"envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, "
		"path_template: "
		"'/{a}/{a}'}}"),
	  "path_match_policy: path template: a variable is there twice" },
	{ ROUTE("name: x"), "routes[0]: one of route, redirect, direct_response and "
			    "non_forwarding_action is required" },
	{ ROUTE("direct_response: {status: 99}"),
	  "direct_response: status 99 is not between 200 and 599" },
	{ ROUTE("direct_response: {status: 200, body: {filename: /nonexistent}}"),
	  "direct_response.body: /nonexistent: No such file or directory" },
	{ ACTION("timeout: 1s"),
	  "route: one of cluster, cluster_header and weighted_clusters is required" },
	{ ACTION("cluster: nowhere"), "routes[0]: unknown cluster 'nowhere'" },
	{ ACTION("cluster: app, timeout: -1s"),
	  "route.timeout: the duration must be between 0 and 4294966s" },
	{ ACTION("cluster: app, prefix_rewrite: /x, regex_rewrite: {pattern: {regex: a}}"),
	  "only one of prefix_rewrite, regex_rewrite, path_rewrite and path_rewrite_policy may "
	  "be set" },
	{ ACTION("cluster: app, metadata_match: {}"),
	  "field \"metadata_match\" of envoy.config.route.v3.RouteAction is not supported yet by "
	  "this version" },
	{ ACTION("weighted_clusters: {clusters: []}"),
	  "weighted_clusters: clusters may not be empty" },
	{ ACTION("weighted_clusters: {clusters: [{name: app, weight: 0}]}"),
	  "the sum of the weights is 0; it must be over 0 and under 2^32" },
	{ ACTION("weighted_clusters: {clusters: [{name: app, weight: 4294967295}, {name: app, "
		 "weight: 1}]}"),
	  "the sum of the weights is 4294967296; it must be over 0 and under 2^32" },
	{ ACTION("weighted_clusters: {clusters: [{weight: 1}]}"),
	  "clusters[0]: one of name and cluster_header is required, and only one" },
	{ ACTION("weighted_clusters: {clusters: [{name: other, weight: 1}]}"),
	  "unknown cluster 'other'" },
	{ ACTION("cluster: app, retry_policy: {retry_back_off: {}}"),
	  "retry_back_off: base_interval is required" },
	{ ACTION("cluster: app, rate_limits: [{actions: [{}]}]"),
	  "rate_limits[0].actions[0]: the action's kind is required, or is not supported yet by "
	  "this version" },
	{ ROUTE("route: {cluster: app}, request_headers_to_add: [{header: {key: Host, value: x}}]"),
	  "request_headers_to_add[0]: \"Host\": :-prefixed or host headers may not be modified" },
	{ ROUTE("route: {cluster: app}, response_headers_to_remove: [':path']"),
	  "response_headers_to_remove[0]: \":path\": :-prefixed or host headers may not be "
	  "removed" },
	{ ROUTE("route: {cluster: app}, request_headers_to_add: [{header: {key: 'a b', value: "
		"x}}]"),
	  "\"a b\" is not a header name" },
	{ ROUTE("route: {cluster: app}, request_headers_to_add: [{header: {key: a, value: "
		"\"x\\r\\ny: z\"}}]"),
	  "the value of \"a\" has a line break or NUL" },
	{ ROUTE("route: {cluster: app}, request_headers_to_add: [{header: {key: a, value: x}, "
		"append: true, append_action: "
		"ADD_IF_ABSENT}]"),
	  "only one of append and append_action may be set" },
	{ ROUTE("route: {cluster: app}, request_headers_to_add: [{header: {key: a, value: 5}}]"),
	  "header.value: text is needed here, not a number; put it in quotes" },
	{ ROUTE("route: {cluster: app}, typed_per_filter_config: {x: {'@type': a/b.C}}"),
	  "typed_per_filter_config[x]: filter \"x\" of type \"b.C\" is not supported yet by this "
	  "version" },
	{ ROUTE("route: {cluster: app}, typed_per_filter_config: {x: {'@type': " T
		"http.local_ratelimit.v3.LocalRateLimit, stat_prefix: s}}"),
	  "typed_per_filter_config[x]: token_bucket is required in settings of a route" },
};

static const struct bad cluster_cases[] = {
	{ "static_resources: {clusters: [{type: STATIC}]}",
	  "clusters[0]: name is required and may not be empty" },
	{ "static_resources: {clusters: [{name: a}, {name: a}]}",
	  "clusters[1]: cluster \"a\" is there twice" },
	{ CLUSTER("connect_timeout: 0s"), "connect_timeout must be over 0" },
	{ CLUSTER("type: EDS"),
	  "clusters[0].type: EDS needs a control plane (xDS), and none is configured; give the "
	  "endpoints in load_assignment of a STATIC cluster" },
	{ CLUSTER("type: ORIGINAL_DST"),
	  "lb_policy CLUSTER_PROVIDED and type ORIGINAL_DST belong together" },
	{ CLUSTER("type: LOGICAL_DNS"), "a LOGICAL_DNS cluster needs exactly one endpoint, not 0" },
	{ CLUSTER("http2_protocol_options: {}"),
	  "clusters[0]: HTTP/2 to the upstream is not supported yet by this version" },
	{ CLUSTER("typed_extension_protocol_options: "
		  "{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': "
		  "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
		  "explicit_http_config: "
		  "{http2_protocol_options: {}}}}"),
	  "HTTP/2 to the upstream is not supported yet by this version" },
	{ CLUSTER("transport_socket: {name: tls}"),
	  "clusters[0]: field \"transport_socket\" of envoy.config.cluster.v3.Cluster is not "
	  "supported yet by this version" },
	{ CLUSTER("load_assignment: {endpoints: []}"),
	  "load_assignment: cluster_name is required and may not be empty" },
	{ CLUSTER("load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: "
		  "{" ADDR(1) "}, "
			      "load_balancing_weight: 0}]}]}"),
	  "lb_endpoints[0]: load_balancing_weight must be at least 1" },
	{ CLUSTER("load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: "
		  "{address: {socket_address: "
		  "{address: a.test, port_value: 1}}}}]}]}"),
	  "\"a.test\" is not an IP address; names need type STRICT_DNS or LOGICAL_DNS" },
	{ CLUSTER("common_lb_config: {healthy_panic_threshold: {value: 101}}"),
	  "common_lb_config.healthy_panic_threshold must be between 0 and 100" },
	{ CLUSTER("least_request_lb_config: {choice_count: 1}"),
	  "choice_count must be at least 2" },
	{ CLUSTER("per_connection_buffer_limit_bytes: -1"),
	  "-1 is out of range (0 to 4294967295)" },
};

static void refused(const struct bad *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct mesh_view *view = NULL;
		struct err e = { "" };
		int rc = xds_load_text(slice_str(v[i].yaml), "t.yaml", &view, NULL, &e);

		if (rc == 0)
			fail_msg("taken: %s", v[i].yaml);
		if (!slice_has_suffix(slice_str(e.text), slice_str(v[i].error)))
			fail_msg("%s\n  gives:  %s\n  wanted: %s", v[i].yaml, e.text, v[i].error);
		if (strncmp(e.text, "t.yaml", 6) != 0)
			fail_msg("no file name: %s", e.text);
	}
}

#define TEST(name) \
	static void name(void **state) \
	{ \
		(void)state; \
		refused(name##_cases, ARRAY_LEN(name##_cases)); \
	}

TEST(yaml)
TEST(listener)
TEST(more)
TEST(balancer)
TEST(http)
TEST(route)
TEST(cluster)

/* Taken, with one line in the report. */
static const struct bad reported_cases[] = {
	{ LISTENER("filter_chains: [{}], tcp_backlog_size: 5"),
	  "t.yaml: static_resources.listeners[0]|field \"tcp_backlog_size\" of "
	  "envoy.config.listener.v3.Listener is not "
	  "known to this version and has no effect" },
	{ CLUSTER("health_checks: [{timeout: 1s}]"),
	  "t.yaml: static_resources.clusters[0]|field \"health_checks\" of "
	  "envoy.config.cluster.v3.Cluster is not known to "
	  "this version and has no effect" },
	{ CLUSTER("lb_policy: RING_HASH"),
	  "t.yaml: static_resources.clusters[0].lb_policy|consistent hashing is not there yet; "
	  "endpoints are picked at "
	  "random, as for requests without a hash" },
	{ ACTION("cluster: app, retry_policy: {retry_on: '5xx, magic'}"),
	  ".route.retry_policy.retry_on|\"magic\" has no effect in this version" },
	{ HTTP_FILTER("{name: x, is_optional: true, typed_config: {'@type': a/b.C}}, " ROUTER),
	  "http_filters[0].typed_config|filter \"x\" of type \"b.C\" is not known and optional: "
	  "left out" },
	{ ROUTE("route: {cluster: app}, typed_per_filter_config: {x: {'@type': "
		"type.googleapis.com/envoy.config.route.v3.FilterConfig, is_optional: true, "
		"config: {'@type': a/b.C}}}"),
	  "typed_per_filter_config[x]|filter \"x\" of type \"b.C\" is not known and optional: left "
	  "out" },
	{ "layered_runtime: {layers: [{name: d, disk_layer: {}}]}",
	  "t.yaml: layered_runtime.layers[0]|field \"disk_layer\" of "
	  "envoy.config.bootstrap.v3.RuntimeLayer is not known to this version and has no "
	  "effect" },
};

static void reported(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reported_cases); i++) {
		struct xds_report r = { 0 };
		struct mesh_view *v = NULL;
		struct err e = { "" };
		char text[1024] = "";

		if (xds_load_text(slice_str(reported_cases[i].yaml), "t.yaml", &v, &r, &e) < 0)
			fail_msg("%s\n  refused: %s", reported_cases[i].yaml, e.text);
		assert_int_equal(r.n, 1);
		snprintf(text, sizeof(text), "%.*s|%.*s", SLICE_ARG(r.v[0].path),
			 SLICE_ARG(r.v[0].text));
		if (!slice_has_suffix(slice_str(text), slice_str(reported_cases[i].error)))
			fail_msg("%s\n  gives:  %s\n  wanted: %s", reported_cases[i].yaml, text,
				 reported_cases[i].error);
		xds_report_done(&r);
		mesh_view_unref(v);
	}
}

static void report_is_bounded(void **state)
{
	char *yaml = malloc(XDS_REPORT_MAX * 16 + 64);
	struct xds_report r = { 0 };
	struct mesh_view *v = NULL;
	struct err e;
	size_t at = 0;

	(void)state;
	for (int i = 0; i < XDS_REPORT_MAX + 7; i++)
		at += (size_t)snprintf(yaml + at, 16, "f%d: 1\n", i);
	assert_int_equal(xds_load_text(slice_of(yaml, at), "t", &v, &r, &e), 0);
	assert_int_equal(r.n, XDS_REPORT_MAX);
	assert_int_equal(r.dropped, 7);
	xds_report_done(&r);
	mesh_view_unref(v);
	free(yaml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yaml),      cmocka_unit_test(listener),
		cmocka_unit_test(more),      cmocka_unit_test(balancer),
		cmocka_unit_test(balancers), cmocka_unit_test(http),
		cmocka_unit_test(route),     cmocka_unit_test(cluster),
		cmocka_unit_test(reported),  cmocka_unit_test(report_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
