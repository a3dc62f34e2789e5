"""Options of the connection manager that few set, and what they change: errors that keep the connection, early mutations, upgrades."""

from lib.case import Group, ep, script

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

# A header's raw_value counts for nothing; no filter writes the state that this operator reads.
g = Group("headers-raw-value", "headers")
g.cluster("b1")
g.http(
    "r",
    ROUTES,
    route_config="request_headers_to_add: [{header: {key: x-raw, raw_value: cmF3}}, {header: {key: x-both, value: v, raw_value: cmF3}}, {header: {key: x-state, value: 'a%PER_REQUEST_STATE(x)%b'}}]",
)
g.get("get", "r", "/")

# What is said of an endpoint, for formats.
g = Group("headers-upstream-metadata", "headers")
g.cluster("b1", assignment="- lb_endpoints: [" + ep("b1", "").rstrip("}") + "}}}, metadata: {filter_metadata: {f: {k: v, n: 1, o: {p: q}}}}}]")
g.cluster("b2", type="STRICT_DNS", assignment="- lb_endpoints: [" + ep("b2", "").rstrip("}") + "}}}, metadata: {filter_metadata: {f: {k: w}}}}]")
g.http(
    "r",
    "- {match: {prefix: /dns}, route: {cluster: b2}}\n" + ROUTES,
    route_config="""response_headers_to_add: [{header: {key: x-m, value: '[%UPSTREAM_METADATA(f:k)% %UPSTREAM_METADATA(f:n)% %UPSTREAM_METADATA(f:o)% %UPSTREAM_METADATA(f:o:p)% %UPSTREAM_METADATA(f)% %UPSTREAM_METADATA(x)% %METADATA(UPSTREAM_HOST:f:k)%]'}}]
request_headers_to_add: [{header: {key: x-m, value: '[%UPSTREAM_METADATA(f:k)%]'}}]""",
)
g.get("get", "r", "/")
g.get("dns", "r", "/dns")
g.get("direct", "r", "/dr")

# Interim answers of upstreams: the first of those that are known goes down, where 100 is the upstream's business.
g = Group("http1-rare-interim", CAT)
g.cluster("b1")
g.http("passes", ROUTES, hcm="proxy_100_continue: true")
g.http("drops", ROUTES)
for port in ("passes", "drops"):
    for codes in ("100", "102", "103", "104", "105", "199", "103,100", "100,103", "103,103"):
        for name, expect in (("", ""), (".expect", "Expect: 100-continue\r\n")):

            @g.case(f"{port}.{codes.replace(',', '+')}{name}")
            def _(t, port=port, codes=codes, expect=expect):
                c = t.conn(port)
                do = ";".join("1xx=" + x for x in codes.split(","))
                c.send(f"POST / HTTP/1.1\r\nHost: h.test\r\n{expect}x-do: {do};no100;body=x\r\nContent-Length: 1\r\n\r\nb")
                return t.answer(c, interim=True)


script(g, "ten", "passes", "POST / HTTP/1.0\r\nHost: h.test\r\nx-do: 1xx=103;body=x\r\nContent-Length: 1\r\n\r\nb", "answer")

# An upgrade that is not allowed is refused with a body, too. One that is allowed: see expected-differences.
g = Group("http1-rare-upgrade-body", CAT)
g.cluster("b1")
g.http("none", ROUTES)
g.http("ws", ROUTES, hcm="upgrade_configs: [{upgrade_type: websocket}]")
for port in ("none", "ws"):
    for name, lines, body in (
        ("length", "Content-Length: 4\r\n", "body"),
        ("length-0", "Content-Length: 0\r\n", ""),
        ("chunked", "Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"),
        ("without", "", ""),
    ):

        @g.case(f"{port}.{name}")
        def _(t, port=port, lines=lines, body=body):
            c = t.conn(port)
            c.send(f"POST / HTTP/1.1\r\nHost: h.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nx-do: status=403\r\n{lines}\r\n{body}")
            r = t.answer(c)
            r["seen"] = t.seen()
            r["conn"] = c.state(2.0 if ["connection", "close"] in r.get("headers", ()) else 0.1)
            return r


# Tunnels that CONNECT asks for, ended here (connect_config) or passed on.
g = Group("http1-connect", CAT)
g.cluster("b1")
g.cluster("banner")
for port, route in (("ends", "cluster: banner, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]"), ("passes", "cluster: b1")):
    g.http(port, f"- {{match: {{connect_matcher: {{}}}}, route: {{{route}}}}}\n{ROUTES}", hcm="upgrade_configs: [{upgrade_type: CONNECT}]")
    script(g, port, port, "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test\r\nx-do: upgrade\r\n\r\n", 0.1, "head")
