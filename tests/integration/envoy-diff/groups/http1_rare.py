"""Options of the connection manager that few set, and what they change: errors that keep the connection, early mutations, upgrades."""

from lib.case import Group, script

CAT = "http1"
ROUTES = "- {match: {prefix: /dr}, direct_response: {status: 200, body: {inline_string: ok}}}\n- {match: {prefix: /}, route: {cluster: b1}}"


def group(name, hcm):
    g = Group("http1-rare-" + name, CAT)
    g.cluster("b1")
    g.http("r", ROUTES, hcm=hcm)
    return g


NEXT = "GET /dr HTTP/1.1\r\nHost: h.test\r\n\r\n"
for name, hcm in {
    "keeps": "stream_error_on_invalid_http_message: true",
    "keeps-http1": "http_protocol_options: {override_stream_error_on_invalid_http_message: true}",
    "keeps-not": "stream_error_on_invalid_http_message: true\nhttp_protocol_options: {override_stream_error_on_invalid_http_message: false}",
}.items():
    g = group(name, hcm + "\nnormalize_path: true")
    then = [] if name == "keeps-not" else [NEXT, "answer"]
    script(g, "no-host", "r", "GET / HTTP/1.1\r\n\r\n", "answer", *then)
    script(g, "fragment", "r", "GET /a#b HTTP/1.1\r\nHost: h.test\r\n\r\n", "answer", *then)
    g.get("path", "r", "/../x%00", persist=True)
    g.get("header", "r", "/", (("a b", "c"),), persist=True)

g = group(
    "early",
    "early_header_mutation_extensions: [{name: m, typed_config: {'@type': @T@http.early_header_mutation.header_mutation.v3.HeaderMutation, mutations: [{append: {header: {key: x-early, value: '%REQ(via)%-v'}}}, {remove: via}, {append: {header: {key: x-late, value: '%REQ(via)%-w'}}}]}}]",
)
g.get("has", "r", "/", (("via", "1.0 fred"), ("x-early", "mine")))
g.get("absent", "r", "/")

g = group("upgrades", "http_protocol_options: {ignore_http_11_upgrade: [{prefix: TLS}]}")
for u in ("TLS/1.2", "websocket", "h2c"):
    g.get(u.replace("/", "-"), "r", "/", (("connection", "upgrade"), ("upgrade", u)))

for name in ("FORWARD_ONLY", "ALWAYS_FORWARD_ONLY", "SANITIZE"):
    g = group("cert-" + name.lower().replace("_", "-"), "forward_client_cert_details: " + name)
    g.get("xfcc", "r", "/", (("x-forwarded-client-cert", "By=a;Hash=b"),))

g = group("scheme", "scheme_header_transformation: {match_upstream: true}")
g.get("plain", "r", "/", (("x-forwarded-proto", "https"),))

# Filters that change headers one after the other.
g = Group("headers-mutation-order", "headers")
g.cluster("b1")
g.http(
    "r",
    ROUTES,
    filters="- {name: m, typed_config: {'@type': @T@filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: x-a, value: '%REQ(x-b)%1'}}}, {remove: x-b}, {append: {header: {key: x-c, value: '%REQ(x-a)%2'}}}, {remove: x-a}]}}}",
)
g.get("order", "r", "/", (("x-b", "b"),))
g.get("absent", "r", "/")
