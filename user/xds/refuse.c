/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unknown fields that may not be ignored: without them a match would be wider, a connection less
 * secure or an answer another one. Their resource is refused. All others are only reported.
 */
#include "xds/translate.h"

#define V3(package) "envoy.config." package ".v3."
#define HCM "envoy.extensions.filters.network.http_connection_manager.v3."
#define TCP "envoy.extensions.filters.network.tcp_proxy.v3."
#define DUBBO "envoy.extensions.filters.network.dubbo_proxy.v3."

/* Messages that narrow what is matched: any unknown field of theirs is a condition that we would
 * drop. */
static const char *const conditions[] = {
	V3("route") "RouteMatch",
	V3("route") "RouteMatch.ConnectMatcher",
	V3("route") "RouteMatch.GrpcRouteMatchOptions",
	V3("route") "HeaderMatcher",
	V3("route") "QueryParameterMatcher",
	V3("listener") "FilterChainMatch",
	V3("accesslog") "AccessLogFilter",
	"envoy.type.matcher.v3.StringMatcher",
	"envoy.type.matcher.v3.RegexMatcher",
	"envoy.type.matcher.v3.PathMatcher",
	V3("listener") "ListenerFilterChainMatchPredicate",
	DUBBO "RouteMatch",
	DUBBO "MethodMatch",
};

/* The same, but kept on the wire: translate_rbac.c sees that they are there, and fails closed. */
static const char *const rules[] = {
	V3("rbac") "Policy",
	V3("rbac") "Permission",
	V3("rbac") "Principal",
	V3("rbac") "Principal.Authenticated",
	"envoy.type.matcher.v3.FilterStateMatcher",
};

static const struct {
	const char *message, *field;
	uint32_t number;
} fields[] = {
	{ V3("listener") "FilterChain", "use_proxy_proto", 4 },
	{ V3("listener") "Listener", "fcds_config", 36 },
	{ V3("listener") "Listener", "filter_chain_matcher", 32 },
	{ V3("listener") "Listener", "udp_listener_config", 18 },
	{ V3("listener") "Listener", "api_listener", 19 },
	{ V3("listener") "Listener", "internal_listener", 27 },
	{ V3("cluster") "Cluster", "cluster_type", 38 },
	{ V3("cluster") "Cluster", "transport_socket_matcher", 59 },
	{ V3("core") "ConfigSource", "path", 1 },
	{ V3("core") "ConfigSource", "path_config_source", 8 },
	{ V3("endpoint") "LbEndpoint", "endpoint_name", 5 },
	{ V3("endpoint") "LocalityLbEndpoints", "load_balancer_endpoints", 7 },
	{ V3("endpoint") "LocalityLbEndpoints", "leds_cluster_locality_config", 8 },
	{ V3("core") "Address", "envoy_internal_address", 3 },
	{ V3("core") "SocketAddress", "resolver_name", 5 },
	{ V3("route") "VirtualHost", "matcher", 21 },
	{ V3("route") "RouteConfiguration", "vhost_header", 18 },
	{ V3("route") "Route", "filter_action", 17 },
	{ V3("route") "RouteAction", "cluster_specifier_plugin", 37 },
	{ V3("route") "RouteAction", "inline_cluster_specifier_plugin", 39 },
	{ V3("route") "RouteAction", "metadata_match", 4 },
	{ HCM "HttpConnectionManager", "scoped_routes", 31 },
	{ HCM "HttpConnectionManager", "original_ip_detection_extensions", 46 },
	{ TCP "TcpProxy", "tunneling_config", 12 },
	{ TCP "TcpProxy", "metadata_match", 9 },
	{ TCP "TcpProxy", "on_demand", 14 },
	{ "envoy.extensions.filters.http.rbac.v3.RBAC", "matcher", 4 },
	{ "envoy.extensions.filters.network.rbac.v3.RBAC", "matcher", 6 },
	{ "envoy.extensions.filters.http.router.v3.Router", "upstream_http_filters", 8 },
	{ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "http_filters", 6 },
	{ DUBBO "RouteAction", "metadata_match", 3 },
};

const char *xds_refuse_unknown(const char *message, const char *name, uint32_t number)
{
	static const char why[] = "is not supported yet by this version";

	for (size_t i = 0; i < ARRAY_LEN(conditions); i++)
		if (strcmp(conditions[i], message) == 0)
			return why;
	for (size_t i = 0; name && i < ARRAY_LEN(rules); i++)
		if (strcmp(rules[i], message) == 0)
			return why;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (strcmp(fields[i].message, message) != 0)
			continue;
		if (name ? protojson_name_is(name, fields[i].field) : number == fields[i].number)
			return why;
	}
	return NULL;
}
