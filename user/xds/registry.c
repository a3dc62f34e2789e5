/* SPDX-License-Identifier: Apache-2.0 */
/* The only list of types that may stand in an Any. A new extension adds its header and one line. */
#include "xds/registry.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/config/listener/v3/listener.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb-c.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb-c.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb-c.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb-c.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb-c.h"
#include "envoy/extensions/filters/http/header_mutation/v3/header_mutation.pb-c.h"
#include "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb-c.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb-c.h"
#include "envoy/extensions/filters/http/on_demand/v3/on_demand.pb-c.h"
#include "envoy/extensions/filters/http/router/v3/router.pb-c.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb-c.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb-c.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb-c.h"
#include "envoy/extensions/filters/network/dubbo_proxy/router/v3/router.pb-c.h"
#include "envoy/extensions/filters/network/dubbo_proxy/v3/dubbo_proxy.pb-c.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h" /* style: generated name */
#include "envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.pb-c.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb-c.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb-c.h"
#include "envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.pb-c.h"
#include "envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.pb-c.h"
#include "envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.pb-c.h"
#include "envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb-c.h"
#include "envoy/extensions/load_balancing_policies/random/v3/random.pb-c.h"
#include "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.pb-c.h"
#include "envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config.pb-c.h" /* style: generated name */
#include "envoy/extensions/internal_redirect/previous_routes/v3/previous_routes_config.pb-c.h"
#include "envoy/extensions/internal_redirect/safe_cross_scheme/v3/safe_cross_scheme_config.pb-c.h"
#include "envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.pb-c.h"
#include "envoy/extensions/path/match/uri_template/v3/uri_template_match.pb-c.h"
#include "envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite.pb-c.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb-c.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb-c.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "istio/envoy/config/filter/http/alpn/v2alpha1/config.pb-c.h"
#include "udpa/type/v1/typed_struct.pb-c.h"
#include "xds/pb.h"
#include "xds/type/v3/typed_struct.pb-c.h"

static const ProtobufCMessageDescriptor *const types[] = {
	/* resources */
	&envoy__config__listener__v3__listener__descriptor,
	&envoy__config__cluster__v3__cluster__descriptor,
	&envoy__config__route__v3__route_configuration__descriptor,
	&envoy__config__endpoint__v3__cluster_load_assignment__descriptor,
	&envoy__config__core__v3__typed_extension_config__descriptor,
	D_EXT(filters__network__dubbo_proxy__v3__multiple_route_configuration),
	&envoy__config__route__v3__virtual_host__descriptor,
	D_EXT(filters__http__on_demand__v3__on_demand),
	D_EXT(filters__http__on_demand__v3__per_route_config),
	/* network and listener filters */
	D_EXT(filters__network__http_connection_manager__v3__http_connection_manager),
	D_EXT(filters__network__tcp_proxy__v3__tcp_proxy),
	D_EXT(filters__network__dubbo_proxy__v3__dubbo_proxy),
	D_EXT(filters__network__dubbo_proxy__router__v3__router),
	D_EXT(filters__network__local_ratelimit__v3__local_rate_limit),
	D_EXT(filters__listener__http_inspector__v3__http_inspector),
	D_EXT(filters__listener__tls_inspector__v3__tls_inspector),
	D_EXT(filters__listener__original_dst__v3__original_dst),
	D_EXT(filters__network__rbac__v3__rbac),
	/* HTTP filters and their settings per route */
	&envoy__config__route__v3__filter_config__descriptor,
	D_EXT(filters__http__router__v3__router),
	D_EXT(filters__http__local_ratelimit__v3__local_rate_limit),
	D_EXT(filters__http__fault__v3__httpfault),
	D_EXT(filters__http__rbac__v3__rbac),
	D_EXT(filters__http__rbac__v3__rbacper_route),
	D_EXT(filters__http__grpc_stats__v3__filter_config),
	&istio__envoy__config__filter__http__alpn__v2alpha1__filter_config__descriptor,
	D_EXT(filters__http__cors__v3__cors),
	D_EXT(filters__http__cors__v3__cors_policy),
	D_EXT(filters__http__header_mutation__v3__header_mutation),
	D_EXT(filters__http__header_mutation__v3__header_mutation_per_route),
	/* access logs and others */
	D_EXT(access_loggers__file__v3__file_access_log),
	D_EXT(access_loggers__stream__v3__stdout_access_log),
	D_EXT(access_loggers__stream__v3__stderr_access_log),
	D_EXT(http__early_header_mutation__header_mutation__v3__header_mutation),
	D_EXT(http__header_formatters__preserve_case__v3__preserve_case_formatter_config),
	D_EXT(path__match__uri_template__v3__uri_template_match_config),
	D_EXT(path__rewrite__uri_template__v3__uri_template_rewrite_config),
	D_EXT(upstreams__http__v3__http_protocol_options),
	D_EXT(internal_redirect__allow_listed_routes__v3__allow_listed_routes_config),
	D_EXT(internal_redirect__previous_routes__v3__previous_routes_config),
	D_EXT(internal_redirect__safe_cross_scheme__v3__safe_cross_scheme_config),
	D_EXT(request_id__uuid__v3__uuid_request_id_config),
	D_EXT(retry__host__previous_hosts__v3__previous_hosts_predicate),
	D_EXT(network__dns_resolver__cares__v3__cares_dns_resolver_config),
	/* transport sockets */
	D_EXT(transport_sockets__raw_buffer__v3__raw_buffer),
	D_EXT(transport_sockets__tls__v3__upstream_tls_context),
	D_EXT(transport_sockets__tls__v3__downstream_tls_context),
	/* balancers */
	D_EXT(load_balancing_policies__round_robin__v3__round_robin),
	D_EXT(load_balancing_policies__least_request__v3__least_request),
	D_EXT(load_balancing_policies__random__v3__random),
	D_EXT(load_balancing_policies__cluster_provided__v3__cluster_provided),
	/* general */
	&xds__type__v3__typed_struct__descriptor,
	&udpa__type__v1__typed_struct__descriptor,
	&google__protobuf__any__descriptor,
	&google__protobuf__struct__descriptor,
	&google__protobuf__value__descriptor,
	&google__protobuf__duration__descriptor,
	&google__protobuf__bool_value__descriptor,
	&google__protobuf__string_value__descriptor,
	&google__protobuf__uint32_value__descriptor,
	&google__protobuf__uint64_value__descriptor,
	&google__protobuf__double_value__descriptor,
};

struct slice registry_type_name(struct slice url)
{
	for (size_t i = url.len; i > 0; i--)
		if (url.ptr[i - 1] == '/')
			return slice_skip(url, i);
	return url;
}

const ProtobufCMessageDescriptor *registry_find(struct slice name_or_url)
{
	struct slice name = registry_type_name(name_or_url);

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (slice_is_equal(name, slice_str(types[i]->name)))
			return types[i];
	return NULL;
}
