# SPDX-License-Identifier: Apache-2.0
"""Envoy's resources for the bench, the same objects for Envoy and for skiffd: what is compared is the work, not the settings.

Each HTTP hop has a router, a local rate limit that never says no, statistics, and no access log. Outbound goes to where the
connection was going (ORIGINAL_DST), inbound to 127.0.0.1.
"""
T = "type.googleapis.com/envoy.extensions."
HTTP_PORT, DUBBO_PORT = 8080, 20880
INTERFACE, METHOD = "demo.GreetingService", "sayHello"
PLENTY = 1_000_000_000  # tokens a second


def ext(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": T + kind, **fields}}


def address(ip, port):
    return {"address": {"socket_address": {"address": ip, "port_value": port}}}


def cluster(name, to=None):
    """To a fixed address, or, without one, to where the connection was going."""
    if not to:
        return {"name": name, "connect_timeout": "2s", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
    return {"name": name, "connect_timeout": "2s", "type": "STATIC", "load_assignment": {
        "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": address(*to)}]}]}}


def http(to, prefix):
    """HttpConnectionManager to the cluster @to."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    limit = ext("envoy.filters.http.local_ratelimit", "filters.http.local_ratelimit.v3.LocalRateLimit",
                stat_prefix="limit", filter_enabled=always, filter_enforced=always,
                token_bucket={"max_tokens": PLENTY, "tokens_per_fill": PLENTY, "fill_interval": "1s"})
    return ext("envoy.filters.network.http_connection_manager",
               "filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix=prefix,
               route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                   {"match": {"prefix": "/"}, "route": {"cluster": to}}]}]},
               http_filters=[limit, ext("envoy.filters.http.router", "filters.http.router.v3.Router")])


def dubbo(to, prefix):
    """dubbo_proxy: a route by interface and method."""
    return ext("envoy.filters.network.dubbo_proxy", "filters.network.dubbo_proxy.v3.DubboProxy", stat_prefix=prefix,
               protocol_type="Dubbo", serialization_type="Hessian2",
               route_config=[{"name": "greetings", "interface": INTERFACE, "routes": [
                   {"match": {"method": {"name": {"exact": METHOD}}}, "route": {"cluster": to}}]}],
               dubbo_filters=[{"name": "envoy.filters.dubbo.router"}])


def generic(to, prefix):
    """Envoy's generic_proxy with the Dubbo codec: the same route."""
    g = "filters.network.generic_proxy."
    route = {"single_predicate": {"input": ext("method", g + "matcher.v3.MethodMatchInput"), "value_match": {"exact": METHOD}}}
    return ext("envoy.filters.network.generic_proxy", g + "v3.GenericProxy", stat_prefix=prefix,
               codec_config=ext("dubbo", g + "codecs.dubbo.v3.DubboCodecConfig"),
               route_config={"name": "greetings", "virtual_hosts": [{"name": "all", "hosts": [INTERFACE], "routes": {
                   "matcher_list": {"matchers": [{"predicate": route, "on_match": {
                       "action": ext("route", g + "action.v3.RouteAction", cluster=to)}}]}}}]},
               filters=[ext("envoy.filters.generic.router", g + "router.v3.Router")])


def tcp(to, prefix):
    return ext("envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy", stat_prefix=prefix, cluster=to)


def resources(listeners, clusters):
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


# ---- skiffd: listeners are what the pod's connections ask for -------------------------------------

def captured(name, port, network_filter, outbound, ip="0.0.0.0"):
    return {"name": name, "traffic_direction": "OUTBOUND" if outbound else "INBOUND", "bind_to_port": False,
            **address(ip, port), "filter_chains": [{"filters": [network_filter]}]}


def skiff_client(server_ip):
    return resources([captured("out-http", HTTP_PORT, http("out-http", "out"), True),
                      captured("out-dubbo", DUBBO_PORT, dubbo("out-dubbo", "out"), True)],
                     [cluster("out-http"), cluster("out-dubbo", (server_ip, DUBBO_PORT))])


def skiff_server():
    return resources([captured("in-http", HTTP_PORT, http("in-http", "in"), False),
                      captured("in-dubbo", DUBBO_PORT, dubbo("in-dubbo", "in"), False)],
                     [cluster("in-http", ("127.0.0.1", HTTP_PORT)), cluster("in-dubbo", ("127.0.0.1", DUBBO_PORT))])


def skiff_l4(service_ip, server_ip):
    """A service address that the kernel replaces by an endpoint's."""
    return resources([captured("l4-http", HTTP_PORT, tcp("l4-http", "l4"), True, service_ip)],
                     [cluster("l4-http", (server_ip, HTTP_PORT))])


# ---- Envoy: a sidecar's two listeners behind nft redirect -------------------------------------------

def envoy_sidecar(port, network_filter, to, admin):
    """One sidecar; @admin: path of its admin socket."""
    listener = {"name": "capture", **address("0.0.0.0", port), "filter_chains": [{"filters": [network_filter]}],
                "listener_filters": [ext("envoy.filters.listener.original_dst", "filters.listener.original_dst.v3.OriginalDst")]}
    return {**resources([listener], [to]), "admin": {"address": {"pipe": {"path": admin, "mode": 438}}}}
