/* SPDX-License-Identifier: Apache-2.0 */
/* Short names for the generated types: PB_ROUTE(Route) is Envoy__Config__Route__V3__Route,
 * K_ROUTE(...) its constants. */
#ifndef SKIFF_XDS_PB_H
#define SKIFF_XDS_PB_H

#define PB_CORE(x) Envoy__Config__Core__V3__##x
#define PB_ROUTE(x) Envoy__Config__Route__V3__##x
#define PB_LISTENER(x) Envoy__Config__Listener__V3__##x
#define PB_CLUSTER(x) Envoy__Config__Cluster__V3__##x
#define PB_ENDPOINT(x) Envoy__Config__Endpoint__V3__##x
#define PB_LOG(x) Envoy__Config__Accesslog__V3__##x
#define PB_MATCHER(x) Envoy__Type__Matcher__V3__##x
#define PB_TYPE(x) Envoy__Type__V3__##x
#define PB_HCM(x) Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__##x
#define PB_TCP(x) Envoy__Extensions__Filters__Network__TcpProxy__V3__##x
#define PB_DUBBO(x) Envoy__Extensions__Filters__Network__DubboProxy__V3__##x
#define PB_FAULT(x) Envoy__Extensions__Filters__Http__Fault__V3__##x
#define PB_CORS(x) Envoy__Extensions__Filters__Http__Cors__V3__##x
#define PB_MUTATION(x) Envoy__Extensions__Filters__Http__HeaderMutation__V3__##x
#define PB_LIMIT(x) Envoy__Extensions__Filters__Http__LocalRatelimit__V3__##x
#define PB_NETLIMIT(x) Envoy__Extensions__Filters__Network__LocalRatelimit__V3__##x
#define PB_HTTP(x) Envoy__Extensions__Upstreams__Http__V3__##x

/* The descriptor of an extension's message, by the generated name between both ends. */
#define D_EXT(x) (&envoy__extensions__##x##__descriptor)

#define K_CORE(x) ENVOY__CONFIG__CORE__V3__##x
#define K_KEY_FORMAT(x) K_CORE(HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_##x)
#define K_ROUTE(x) ENVOY__CONFIG__ROUTE__V3__##x
#define K_LISTENER(x) ENVOY__CONFIG__LISTENER__V3__##x
#define K_CLUSTER(x) ENVOY__CONFIG__CLUSTER__V3__##x
#define K_ENDPOINT(x) ENVOY__CONFIG__ENDPOINT__V3__##x
#define K_LOG(x) ENVOY__CONFIG__ACCESSLOG__V3__##x
#define K_MATCHER(x) ENVOY__TYPE__MATCHER__V3__##x
#define K_HCM(x) ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__##x
#define K_TCP(x) ENVOY__EXTENSIONS__FILTERS__NETWORK__TCP_PROXY__V3__##x
#define K_DUBBO(x) ENVOY__EXTENSIONS__FILTERS__NETWORK__DUBBO_PROXY__V3__##x
#define K_HTTP(x) ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__##x

#endif
