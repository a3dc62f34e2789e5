"""Local rate limits: the HTTP filter, its descriptors and its statistics, and the network filter."""

import time

from lib.case import Group
from lib.context import share

B = """
    - match: {prefix: /}
      route: {cluster: b1}
"""
RL = "@T@filters.http.local_ratelimit.v3.LocalRateLimit"
ON = "filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}"
HOUR = "fill_interval: 3600s"
ADD = "append_action: OVERWRITE_IF_EXISTS_OR_ADD"


def bucket(n):
    return f"{{max_tokens: {n}, tokens_per_fill: {n}, {HOUR}}}"


def percent(enabled, enforced):
    return f"filter_enabled: {{default_value: {{numerator: {enabled}}}}}, filter_enforced: {{default_value: {{numerator: {enforced}}}}}"


def limit(more="", tokens=bucket(2), on=ON, prefix="rl"):
    return (
        f'- name: envoy.filters.http.local_ratelimit\n  typed_config: {{"@type": {RL}, stat_prefix: {prefix}'
        + (f", token_bucket: {tokens}" if tokens else "")
        + (", " + on if on else "")
        + (", " + more if more else "")
        + "}\n"
    )


def per_route(more="", tokens=bucket(1), on=ON):
    return (
        f'typed_per_filter_config: {{envoy.filters.http.local_ratelimit: {{"@type": {RL}, stat_prefix: route'
        + (f", token_bucket: {tokens}" if tokens else "")
        + (", " + on if on else "")
        + (", " + more if more else "")
        + "}}"
    )


def many(group, name, port, n, path="/", headers=(), **kw):
    group.case(name)(
        lambda t: [t.req(port, path=path, headers=headers, only=("status",), **kw)["status"] for _ in range(n)]
    )


def spent(group, name, port, path="/", n=3, **kw):
    """The answer once the bucket is empty."""

    @group.case(name)
    def _(t):
        for _ in range(n):
            r = t.req(port, path=path, **kw)
        return r


# ---- the plain filter
g = Group("ratelimit-plain", "ratelimit")
g.cluster("b1")
for i in range(8):
    g.http(f"p{i}", B, filters=limit(prefix=f"rl{i}"))
many(g, "two-then-429", "p0", 4)
spent(g, "answer", "p1")
spent(g, "answer.head", "p2", method="HEAD")
spent(g, "answer.post", "p3", method="POST", body="data")
spent(g, "answer.http-1.0", "p4", version="1.0")


@g.case("shared-by-connections")
def _(t):
    return [t.backends("p5", 1, conn=t.conn("p5"))[0] for _ in range(4)]


@g.case("connection-stays")
def _(t):
    c = t.conn("p6")
    return [t.backends("p6", 4, conn=c), c.state()]


@g.case("stats")
def _(t):
    names = (
        ["rl7.http_local_rate_limit." + n for n in ("rate_limited", "enabled", "enforced", "ok")]
        + [f"http.p7.downstream_rq_{n}" for n in ("total", "2xx", "4xx", "completed")]
        + ["cluster.b1.upstream_rq_total"]
    )

    def five():
        for _ in range(5):
            t.req("p7")

    return t.delta(names, five)


# ---- its options
g = Group("ratelimit-options", "ratelimit")
g.cluster("b1")
g.http(
    "custom",
    B,
    filters=limit(
        "status: {code: 503}, response_headers_to_add: [{header: {key: x-limited, value: 'yes'}, %s}, {header: {key: x-twice, value: a}}, {header: {key: x-twice, value: b}}]"
        % ADD
    ),
)
g.http("low", B, filters=limit("status: {code: 200}"))
g.http(
    "body",
    B,
    filters=limit(
        "response_headers_to_add: [{header: {key: content-type, value: application/json}, %s}, {header: {key: retry-after, value: '3'}}]"
        % ADD
    ),
)
g.http("xrl", B, filters=limit("enable_x_ratelimit_headers: DRAFT_VERSION_03"))
g.http(
    "watch",
    B,
    filters=limit(
        "request_headers_to_add_when_not_enforced: [{header: {key: x-would-limit, value: 'true'}}]",
        on=percent(100, 0),
        prefix="watch",
    ),
)
g.http("disabled", B, filters=limit(on=percent(0, 100)))
g.http("defaults", B, filters=limit(on=""))
g.http("halfon", B, filters=limit(tokens=bucket(1), on=percent(50, 100)))
g.http("halfforce", B, filters=limit(tokens=bucket(1), on=percent(100, 50)))
g.http("late", B, filters=limit(tokens="{max_tokens: 3, tokens_per_fill: 1, %s}" % HOUR))
g.http("nofill", B, filters=limit(tokens="{max_tokens: 2, %s}" % HOUR))
spent(g, "custom.answer", "custom")
many(g, "status-below-400", "low", 3)
spent(g, "header-over-content-type", "body")
many(g, "disabled", "disabled", 4)
many(g, "enabled-is-not-default", "defaults", 4)
many(g, "bucket-starts-full", "late", 5)
many(g, "one-token-by-default", "nofill", 4)


def half_an_hour(v):
    """Time until the next token: two an hour come every 1800 s."""
    return "about 1800" if v and 1790 <= int(v) <= 1800 else v


@g.case("x-ratelimit-headers")
def _(t):
    out = []
    for _ in range(3):
        r = t.req("xrl", path="/")
        hs = dict(map(tuple, r["headers"]))
        out.append(
            [
                r["status"],
                hs.get("x-ratelimit-limit"),
                hs.get("x-ratelimit-remaining"),
                half_an_hour(hs.get("x-ratelimit-reset")),
            ]
        )
    return out


@g.case("not-enforced")
def _(t):
    out = []
    for _ in range(3):
        r = t.req("watch", path="/")
        out.append([r["status"], [h for h in r["upstream"]["headers"] if h[0] == "x-would-limit"]])
    names = ["watch.http_local_rate_limit." + n for n in ("rate_limited", "enabled", "enforced", "ok")]
    return out + [t.delta(names, lambda: t.req("watch"))]


g.case("enabled-half")(
    lambda t: share([t.status("halfon") for _ in range(150)], {200: (0.35, 0.65), 429: (0.35, 0.65)})
)
g.case("enforced-half")(
    lambda t: share([t.status("halfforce") for _ in range(150)], {200: (0.35, 0.65), 429: (0.35, 0.65)})
)

# ---- rarer options, each by itself
g = Group("ratelimit-per-connection", "ratelimit")
g.cluster("b1")
g.http("perconn", B, filters=limit("local_rate_limit_per_downstream_connection: true"))


@g.case("per-connection")
def _(t):
    return [t.backends("perconn", 3, conn=t.conn("perconn")) for _ in range(2)]


g = Group("ratelimit-grpc", "ratelimit")
g.cluster("b1")
g.http("grpc", B, filters=limit(tokens=bucket(1)))
g.http("grpcre", B, filters=limit("rate_limited_as_resource_exhausted: true", bucket(1)))
for name, port in (("grpc-status", "grpc"), ("grpc-resource-exhausted", "grpcre")):
    spent(g, name, port, headers=[("content-type", "application/grpc"), ("te", "trailers")], n=2)

# ---- filling up
g = Group("ratelimit-refill", "ratelimit")
g.cluster("b1")
g.http("one", B, filters=limit(tokens="{max_tokens: 1, tokens_per_fill: 1, fill_interval: 0.3s}"))
g.http("three", B, filters=limit(tokens="{max_tokens: 3, tokens_per_fill: 3, fill_interval: 0.5s}"))
g.http("cap", B, filters=limit(tokens="{max_tokens: 2, tokens_per_fill: 1, fill_interval: 0.1s}"))


def burst(t, port, n):
    return [t.status(port) for _ in range(n)]


@g.case("one")
def _(t):
    out = burst(t, "one", 2)
    time.sleep(0.7)
    return out + burst(t, "one", 2)


@g.case("three")
def _(t):
    out = [burst(t, "three", 4)]
    time.sleep(0.8)
    return out + [burst(t, "three", 4)]


@g.case("not-over-the-maximum")
def _(t):
    burst(t, "cap", 2)
    time.sleep(1.0)
    return burst(t, "cap", 3)


# ---- by route, virtual host, cluster
g = Group("ratelimit-route", "ratelimit")
g.cluster("b1")
g.cluster("b2")
g.http(
    "route",
    vhosts=f"""
    - name: limited
      domains: [limited.test]
      {per_route(tokens=bucket(2))}
      routes:
      - match: {{prefix: /own}}
        route: {{cluster: b1}}
        {per_route()}
      - match: {{prefix: /}}
        route: {{cluster: b1}}
    - name: all
      domains: ['*']
      routes:
      - match: {{prefix: /one}}
        route: {{cluster: b1}}
        {per_route()}
      - match: {{prefix: /three}}
        route: {{cluster: b1}}
        {per_route(tokens=bucket(3))}
      - match: {{prefix: /off}}
        route: {{cluster: b1}}
        {per_route(on=percent(0, 0))}
      - match: {{prefix: /custom}}
        route: {{cluster: b1}}
        {per_route("status: {code: 503}, response_headers_to_add: [{header: {key: x-route, value: limited}}]")}
      - match: {{prefix: /direct}}
        direct_response: {{status: 200, body: {{inline_string: direct}}}}
        {per_route()}
      - match: {{prefix: /redirect}}
        redirect: {{path_redirect: /x}}
        {per_route()}
      - match: {{prefix: /weighted}}
        route: {{weighted_clusters: {{clusters: [{{name: b1, weight: 50}}, {{name: b2, weight: 50}}]}}}}
        {per_route(tokens=bucket(4))}
      - match: {{prefix: /added}}
        route: {{cluster: b1}}
        response_headers_to_add: [{{header: {{key: x-of-route, value: 'yes'}}}}]
        {per_route()}
      - match: {{prefix: /}}
        route: {{cluster: b1}}
""",
    filters=limit(tokens=None, on=""),
)
g.http(
    "disabled",
    B,
    filters='- name: envoy.filters.http.local_ratelimit\n  disabled: true\n  typed_config: {"@type": %s, stat_prefix: rl, token_bucket: %s, %s}\n'
    % (RL, bucket(1), ON),
)
g.http(
    "free",
    f"""
    - match: {{prefix: /free}}
      route: {{cluster: b1}}
      typed_per_filter_config: {{envoy.filters.http.local_ratelimit: {{"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}}}
    - match: {{prefix: /more}}
      route: {{cluster: b1}}
      {per_route(tokens=bucket(3))}
    - match: {{prefix: /}}
      route: {{cluster: b1}}
""",
    filters=limit(tokens=bucket(1)),
)
many(g, "one", "route", 3, "/one")
many(g, "three", "route", 5, "/three")
many(g, "none", "route", 5, "/")
many(g, "not-enabled", "route", 3, "/off")
many(g, "virtual-host", "route", 4, "/", host="limited.test")
many(g, "route-over-virtual-host", "route", 3, "/own", host="limited.test")
spent(g, "custom.answer", "route", "/custom", 2)
spent(g, "direct-response", "route", "/direct", 2)
spent(g, "redirect", "route", "/redirect", 2)
spent(g, "route-headers-on-429", "route", "/added", 2)
g.case("weighted-clusters-share")(
    lambda t: [
        s if s == 429 else "ok" for s in (t.backend("route", "/weighted", [("x-do", "body=x")]) for _ in range(6))
    ]
)
many(g, "filter-disabled", "disabled", 3)
many(g, "route-disables-filter", "free", 3, "/free")
many(g, "route-over-filter", "free", 5, "/more")
many(g, "filter-for-the-rest", "free", 3, "/")

# ---- two filters, one after the other
g = Group("ratelimit-two", "ratelimit")
g.cluster("b1")
g.http(
    "two",
    B,
    filters=limit(tokens=bucket(3), prefix="first").replace(
        "- name: envoy.filters.http.local_ratelimit", "- name: first"
    )
    + limit("status: {code: 503}", tokens=bucket(2), prefix="second").replace(
        "- name: envoy.filters.http.local_ratelimit", "- name: second"
    ),
)
many(g, "both", "two", 6)

# ---- descriptors
g = Group("ratelimit-descriptors", "ratelimit")
g.cluster("b1")
ROUTES = (
    ("/hdr", "{request_headers: {header_name: x-user, descriptor_key: user}}"),
    ("/generic", "{generic_key: {descriptor_value: slow}}"),
    (
        "/named",
        "{generic_key: {descriptor_key: kind, descriptor_value: k1}}, {request_headers: {header_name: x-user, descriptor_key: user}}",
    ),
    (
        "/value",
        "{header_value_match: {descriptor_value: post, headers: [{name: ':method', string_match: {exact: POST}}]}}",
    ),
    (
        "/novalue",
        "{header_value_match: {descriptor_value: notpost, expect_match: false, headers: [{name: ':method', string_match: {exact: POST}}]}}",
    ),
    (
        "/query",
        "{query_parameter_value_match: {descriptor_value: q, query_parameters: [{name: q, string_match: {exact: '1'}}]}}",
    ),
    ("/remote", "{remote_address: {}}"),
    ("/destination", "{destination_cluster: {}}"),
    (
        "/skip",
        "{request_headers: {header_name: x-opt, descriptor_key: opt, skip_if_absent: true}}, {generic_key: {descriptor_value: sk}}",
    ),
)
g.http(
    "desc",
    "".join(
        f"\n    - match: {{prefix: {p}}}\n      route:\n        cluster: b1\n        rate_limits: [{{actions: [{a}]}}]\n"
        for p, a in ROUTES
    )
    + """
    - match: {prefix: /any}
      route:
        cluster: b1
        rate_limits: [{actions: [{generic_key: {descriptor_value: nope}}]}, {actions: [{generic_key: {descriptor_key: kind, descriptor_value: second}}]}]
    - match: {prefix: /}
      route: {cluster: b1}
""",
    filters=f"""
    - name: envoy.filters.http.local_ratelimit
      typed_config:
        "@type": {RL}
        stat_prefix: desc
        token_bucket: {bucket(1000)}
        filter_enabled: {{default_value: {{numerator: 100}}}}
        filter_enforced: {{default_value: {{numerator: 100}}}}
        descriptors:
"""
    + "".join(
        f"        - {{entries: [{e}], token_bucket: {bucket(n)}}}\n"
        for e, n in (
            ("{key: user, value: alice}", 1),
            ("{key: user, value: bob}", 2),
            ("{key: generic_key, value: slow}", 1),
            ("{key: kind, value: k1}, {key: user, value: carl}", 1),
            ("{key: header_match, value: post}", 1),
            ("{key: header_match, value: notpost}", 1),
            ("{key: query_match, value: q}", 1),
            ("{key: remote_address, value: 127.0.0.9}", 1),
            ("{key: destination_cluster, value: b1}", 1),
            ("{key: generic_key, value: sk}", 1),
            ("{key: kind, value: second}", 1),
        )
    ),
    hcm="use_remote_address: true",
)
many(g, "alice", "desc", 3, "/hdr", [("x-user", "alice")])
many(g, "bob", "desc", 4, "/hdr", [("x-user", "bob")])
many(g, "nobody", "desc", 4, "/hdr", [("x-user", "zoe")])
many(g, "header-missing", "desc", 4, "/hdr")
many(g, "generic", "desc", 3, "/generic")
many(g, "two-entries", "desc", 3, "/named", [("x-user", "carl")])
many(g, "two-entries-part", "desc", 3, "/named", [("x-user", "dora")])
many(g, "value-match", "desc", 3, "/value", method="POST")
many(g, "value-match.no", "desc", 3, "/value")
many(g, "value-not-match", "desc", 3, "/novalue")
many(g, "query-match", "desc", 3, "/query?q=1")
many(g, "query-match.no", "desc", 3, "/query?q=2")
many(g, "remote-address", "desc", 3, "/remote", source="127.0.0.9")
many(g, "remote-address.other", "desc", 3, "/remote", source="127.0.0.8")
many(g, "destination-cluster", "desc", 3, "/destination")
many(g, "skip-if-absent", "desc", 3, "/skip")
many(g, "second-of-two", "desc", 3, "/any")

# ---- in the access log
g = Group("ratelimit-log", "ratelimit")
g.cluster("b1")
g.http(
    "log",
    B,
    filters=limit(tokens=bucket(1)),
    hcm="""
    access_log:
    - name: envoy.access_loggers.file
      typed_config: {"@type": @T@access_loggers.file.v3.FileAccessLog, path: "@tmp@/ratelimit.log", log_format: {text_format_source: {inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %BYTES_SENT%\\n"}}}
""",
)


@g.case("flags-and-details")
def _(t):
    n = t.count_lines("ratelimit.log")
    t.req("log")
    t.req("log")
    return t.lines("ratelimit.log", 2, skip=n)[1:]


# ---- connections
g = Group("ratelimit-network", "ratelimit")
g.cluster("t1")
for name, tokens, more in (
    ("two", bucket(2), ""),
    ("count", bucket(2), ""),
    ("slow", "{max_tokens: 1, tokens_per_fill: 1, fill_interval: 0.3s}", ""),
    ("off", bucket(1), ", runtime_enabled: {default_value: false, runtime_key: some.key}"),
):
    g.raw_listener(
        "net" + name,
        f"""
    - filters:
      - name: envoy.filters.network.local_ratelimit
        typed_config: {{"@type": @T@filters.network.local_ratelimit.v3.LocalRateLimit, stat_prefix: net{name}, token_bucket: {tokens}{more}}}
      - name: envoy.filters.network.tcp_proxy
        typed_config: {{"@type": @T@filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: net{name}, cluster: t1}}
""",
    )


def connections(t, port, n):
    out = []
    for _ in range(n):
        c = t.conn(port)
        c.send(b"hi\n")
        d, st = c.rest(0.3)
        out.append([d.decode(), st])
        c.close()
    return out


g.case("connections")(lambda t: connections(t, "nettwo", 4))
g.case("not-enabled")(lambda t: connections(t, "netoff", 3))


@g.case("refill")
def _(t):
    out = connections(t, "netslow", 1)
    time.sleep(0.7)
    return out + connections(t, "netslow", 1)


@g.case("stats")
def _(t):
    connections(t, "netcount", 2)
    return t.delta(
        ["local_rate_limit.netcount.rate_limited", "tcp.netcount.downstream_cx_total"],
        lambda: connections(t, "netcount", 2),
    )
