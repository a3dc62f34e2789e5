"""Authorization: the HTTP filter with its settings per route, and the network filter."""

from lib.case import Group

B = """
- match: {prefix: /}
  route: {cluster: b1}
"""
HTTP = "@T@filters.http.rbac.v3.RBAC"
NET = "@T@filters.network.rbac.v3.RBAC"
TCP = "@T@filters.network.tcp_proxy.v3.TcpProxy"
ANY = "{any: true}"


def rules(action, *policies, field="rules"):
    """policies: (permission, principal)"""
    text = ", ".join(f'"policy {i}": {{permissions: [{p}], principals: [{q}]}}' for i, (p, q) in enumerate(policies))
    return f"{field}: {{action: {action}, policies: {{{text}}}}}"


def rbac(more):
    return f'- name: envoy.filters.http.rbac\n  typed_config: {{"@type": {HTTP}, {more}}}\n'


def header(name, match):
    return f"{{header: {{name: '{name}', {match}}}}}"


def exact(value):
    return f"string_match: {{exact: '{value}'}}"


def path(match):
    return f"{{url_path: {{path: {{{match}}}}}}}"


def ip(field, address, bits):
    return f"{{{field}: {{address_prefix: {address}, prefix_len: {bits}}}}}"


# ---- requests
g = Group("rbac-http", "rbac")
g.cluster("b1")


def http(name, *filters, routes=B, **kw):
    g.http(name, routes, filters="".join(rbac(f) for f in filters), **kw)


http("nothing", "rules_stat_prefix: ''")
http("nobody", "rules: {}")
http("denynobody", "rules: {action: DENY}")
http("get", rules("ALLOW", (header(":method", exact("GET")), ANY)))
http("deny", rules("DENY", (path("prefix: /private/"), ANY), (header("x-bad", "present_match: true"), ANY)))
http("exactpath", rules("ALLOW", (path("exact: /a"), ANY)))
http("regexpath", rules("ALLOW", (path("safe_regex: {regex: '/[ab]+'}"), ANY)))
http("nocase", rules("ALLOW", (path("prefix: /AB, ignore_case: true"), ANY)))
http("host", rules("ALLOW", (header(":authority", exact("h.test")), ANY)))
http("not", rules("ALLOW", ("{not_rule: " + header("x-a", exact("1")) + "}", ANY)))
http("notmissing", rules("ALLOW", (header("x-a", exact("1") + ", invert_match: true"), ANY)))
http(
    "and",
    rules(
        "ALLOW",
        (
            f"{{and_rules: {{rules: [{path('prefix: /a')}, {{or_rules: {{rules: [{header('x-a', exact('1'))}, {header('x-a', exact('2'))}]}}}}]}}}}",
            ANY,
        ),
    ),
)
http("port", rules("ALLOW", ("{destination_port: @port:port@}", ANY)))
http("otherport", rules("ALLOW", ("{destination_port: 1}", ANY)))
http("range", rules("ALLOW", ("{destination_port_range: {start: 1, end: 65536}}", ANY)))
http("destination", rules("ALLOW", (ip("destination_ip", "127.0.0.1", 32), ANY)))
http("sni", rules("ALLOW", ("{requested_server_name: {exact: ''}}", ANY)))
http("template", rules("ALLOW", ('{uri_template: {name: t, typed_config: {"@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", path_template: "/a/{x}"}}}', ANY)))
http("source", rules("ALLOW", (ANY, ip("direct_remote_ip", "127.0.0.5", 32))))
http("sourceip", rules("ALLOW", (ANY, ip("source_ip", "127.0.0.5", 32))))
http("remote", rules("ALLOW", (ANY, ip("remote_ip", "10.1.2.3", 32))), hcm="use_remote_address: true\nxff_num_trusted_hops: 1\n")
http("direct", rules("ALLOW", (ANY, ip("direct_remote_ip", "10.1.2.3", 32))), hcm="use_remote_address: true\nxff_num_trusted_hops: 1\n")
http("authenticated", rules("ALLOW", (ANY, "{authenticated: {}}")))
http("unauthenticated", rules("DENY", (ANY, "{not_id: {authenticated: {principal_name: {prefix: 'spiffe://'}}}}")))
http("tenant", rules("ALLOW", (ANY, f"{{and_ids: {{ids: [{header('x-t', exact('a'))}, {{not_id: {ip('direct_remote_ip', '127.0.0.5', 32)}}}]}}}}")))
http("two", rules("DENY", (path("prefix: /private"), ANY)), rules("ALLOW", (header(":method", exact("GET")), ANY)))
http(
    "shadow",
    rules("ALLOW", (ANY, ANY)) + ", rules_stat_prefix: own_, shadow_rules_stat_prefix: dry_, "
    + rules("DENY", (path("prefix: /private"), ANY), field="shadow_rules"),
)
http("log", rules("LOG", (ANY, ANY)))
PER_ROUTE = '{"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"'
http(
    "route",
    rules("DENY", (ANY, ANY)),
    routes=f"""
- match: {{prefix: /off}}
  route: {{cluster: b1}}
  typed_per_filter_config: {{envoy.filters.http.rbac: {PER_ROUTE}}}}}
- match: {{prefix: /other}}
  route: {{cluster: b1}}
  typed_per_filter_config: {{envoy.filters.http.rbac: {PER_ROUTE}, rbac: {{{rules("ALLOW", (header("x-a", exact("1")), ANY))}}}}}}}
- match: {{prefix: /}}
  route: {{cluster: b1}}
""",
)
FORMAT = '"%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %UPSTREAM_CLUSTER%\\n"'

g.get("nothing", "nothing", "/")
g.get("nobody", "nobody", "/")
g.get("nobody.head", "nobody", "/", method="HEAD")
g.get("nobody.post", "nobody", "/", method="POST", body=b"data", headers=[("content-length", "4")])
g.get("nobody.grpc", "nobody", "/", method="POST", headers=[("content-type", "application/grpc")])
g.get("denynobody", "denynobody", "/")
for port, cases in {
    "get": [("GET", "/", []), ("POST", "/", []), ("HEAD", "/", [])],
    "deny": [("GET", "/", []), ("GET", "/private/a", []), ("GET", "/private", []), ("GET", "/", [("x-bad", "")])],
    "exactpath": [("GET", "/a", []), ("GET", "/a?b=c", []), ("GET", "/a/", []), ("GET", "/A", [])],
    "regexpath": [("GET", "/ab", []), ("GET", "/abc", []), ("GET", "/ab?c", [])],
    "nocase": [("GET", "/ab", []), ("GET", "/Abc", []), ("GET", "/b", [])],
    "host": [("GET", "/", [])],
    "not": [("GET", "/", []), ("GET", "/", [("x-a", "1")]), ("GET", "/", [("x-a", "2")])],
    "notmissing": [("GET", "/", []), ("GET", "/", [("x-a", "1")]), ("GET", "/", [("x-a", "2")])],
    "and": [("GET", "/a", []), ("GET", "/a", [("x-a", "2")]), ("GET", "/b", [("x-a", "1")]), ("GET", "/a", [("x-a", "1"), ("x-a", "3")])],
    "port": [("GET", "/", [])],
    "otherport": [("GET", "/", [])],
    "range": [("GET", "/", [])],
    "destination": [("GET", "/", [])],
    "sni": [("GET", "/", [])],
    "template": [("GET", "/a/b", []), ("GET", "/a/b/c", []), ("GET", "/a/b?c", [])],
    "remote": [("GET", "/", []), ("GET", "/", [("x-forwarded-for", "10.1.2.3")])],
    "direct": [("GET", "/", [("x-forwarded-for", "10.1.2.3")])],
    "authenticated": [("GET", "/", [])],
    "unauthenticated": [("GET", "/", [])],
    "tenant": [("GET", "/", []), ("GET", "/", [("x-t", "a")])],
    "two": [("GET", "/", []), ("POST", "/", []), ("GET", "/private", [])],
    "shadow": [("GET", "/", []), ("GET", "/private", [])],
    "log": [("GET", "/", [])],
    "route": [("GET", "/", []), ("GET", "/off", []), ("GET", "/other", []), ("GET", "/other", [("x-a", "1")])],
}.items():
    for i, (method, p, headers) in enumerate(cases):
        g.get(f"{port}.{i}", port, p, headers=headers, method=method)
for port in ("source", "sourceip", "tenant"):
    g.get(f"{port}.from-5", port, "/", headers=[("x-t", "a")], source="127.0.0.5")


@g.case("stats")
def _(t):
    names = ["http.deny.rbac.allowed", "http.deny.rbac.denied", "http.shadow.rbac.own_.allowed", "http.shadow.rbac.own_.denied"]
    names += ["http.shadow.rbac.dry_.shadow_allowed", "http.shadow.rbac.dry_.shadow_denied", "http.deny.downstream_rq_4xx"]

    def ask():
        for port in ("deny", "shadow"):
            for p in ("/", "/private/x", "/private/y"):
                t.req(port, path=p, only=("status",))

    return t.delta(names, ask)


# ---- what the log says
l = Group("rbac-log", "rbac")
l.cluster("b1")
for name, r in {
    "deny": rules("DENY", (path("prefix: /private"), ANY)),
    "allow": rules("ALLOW", (path("prefix: /public"), ANY)),
}.items():
    l.http(
        name,
        B,
        filters=rbac(r),
        hcm=f'access_log:\n- name: f\n  typed_config: {{"@type": @T@access_loggers.file.v3.FileAccessLog, path: "@tmp@/{name}.log", '
        f"log_format: {{text_format_source: {{inline_string: {FORMAT}}}}}}}\n",
    )
    for p in ("/public", "/private"):

        def one(t, name=name, p=p):
            n = t.count_lines(name + ".log")
            t.req(name, path=p, only=("status",))
            return t.lines(name + ".log", skip=n)

        l.case(f"{name}{p.replace('/', '.')}")(one)

# ---- connections
n = Group("rbac-tcp", "rbac")
n.cluster("t1")
n.cluster("b1")


def net(more, prefix):
    return f'- name: envoy.filters.network.rbac\n  typed_config: {{"@type": {NET}, stat_prefix: {prefix}, {more}}}\n'


def tcp(name, *filters):
    body = "".join(net(f, f"{name}.") for f in filters)
    body += f'- name: envoy.filters.network.tcp_proxy\n  typed_config: {{"@type": {TCP}, stat_prefix: {name}, cluster: t1}}\n'
    n.raw_listener(name, "- filters:\n" + "".join("  " + x + "\n" for x in body.rstrip("\n").split("\n")))


tcp("none", "shadow_rules_stat_prefix: x")
tcp("nobody", "rules: {}")
tcp("all", rules("ALLOW", (ANY, ANY)))
tcp("deny", rules("DENY", (ANY, ip("direct_remote_ip", "127.0.0.5", 32))))
tcp("allow", rules("ALLOW", (ANY, ip("source_ip", "127.0.0.5", 32))))
tcp("port", rules("DENY", ("{destination_port: @port:port@}", ANY)))
tcp("nopath", rules("DENY", ("{not_rule: " + path("prefix: /") + "}", ANY)))
tcp("two", rules("DENY", (ANY, ip("direct_remote_ip", "127.0.0.5", 32))), rules("ALLOW", (ANY, ip("direct_remote_ip", "127.0.0.0", 29))))
tcp("shadow", rules("ALLOW", (ANY, ANY)) + ", shadow_rules_stat_prefix: dry_, " + rules("DENY", (ANY, ANY), field="shadow_rules"))


def talk(t, port, **kw):
    c = t.conn(port, **kw)
    c.send(b"hi\n")
    d, st = c.rest(0.3)
    return [d.decode("latin-1"), st]


for port in n.ports:
    n.case(port)(lambda t, port=port: talk(t, port))
for port in ("deny", "allow", "two"):
    n.case(port + ".from-5")(lambda t, port=port: talk(t, port, source="127.0.0.5"))


@n.case("stats")
def _(t):
    names = ["deny.rbac.allowed", "deny.rbac.denied", "shadow.rbac.allowed", "shadow.rbac.dry_.shadow_denied", "tcp.deny.downstream_cx_total"]

    def ask():
        talk(t, "deny")
        talk(t, "deny", source="127.0.0.5")
        talk(t, "shadow")

    return t.delta(names, ask)
