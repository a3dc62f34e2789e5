"""Choosing and reaching an upstream: cluster names, time-outs, what a client gets when it fails."""

import time

from lib.case import Group
from lib.client import request
from lib.context import cycle, share, took


def timed(group, name, port, low, high, **kw):
    @group.case(name)
    def _(t):
        r, when = took(lambda: t.req(port, **kw), low, high)
        return {"when": when, **r}


# ---- naming the cluster
g = Group("cluster-choice", "routing")
g.cluster("b1")
g.cluster("b2")
g.cluster("empty", hosts=[])
g.cluster("dead")
g.cluster("mixed", hosts=["b1", "b2"])
g.http(
    "c",
    """
    - match: {prefix: /header}
      route: {cluster_header: x-cluster}
    - match: {prefix: /h404}
      route: {cluster_header: x-cluster, cluster_not_found_response_code: NOT_FOUND}
    - match: {prefix: /h500}
      route: {cluster_header: x-cluster, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}
    - match: {prefix: /empty}
      route: {cluster: empty}
    - match: {prefix: /dead}
      route: {cluster: dead}
    - match: {prefix: /mixed}
      route: {cluster: mixed}
""",
)
g.get("header", "c", "/header", [("x-cluster", "b2")])
g.get("header.missing", "c", "/header")
g.get("header.unknown", "c", "/header", [("x-cluster", "zzz")])
g.get("header.unknown-404", "c", "/h404", [("x-cluster", "zzz")])
g.get("header.unknown-500", "c", "/h500", [("x-cluster", "zzz")])
g.get("header.missing-404", "c", "/h404")
g.get("no-endpoints", "c", "/empty")
g.get("no-endpoints.post", "c", "/empty", method="POST", body="x" * 100)
g.get("no-endpoints.head", "c", "/empty", method="HEAD")
g.get("refused", "c", "/dead")
g.get("refused.post", "c", "/dead", method="POST", body="x" * 100)
g.get("refused.head", "c", "/dead", method="HEAD")
g.case("round-robin")(lambda t: cycle(t.backends("c", 10, "/mixed"), 2))
g.case("refused.keeps-connection")(lambda t: t.backends("c", 3, "/dead"))

# ---- a static route to a cluster that does not exist: refused at start unless validate_clusters is off
g = Group("cluster-unknown", "routing")
g.cluster("b1")
g.http(
    "u",
    """
    - match: {prefix: /404}
      route: {cluster: nowhere, cluster_not_found_response_code: NOT_FOUND}
    - match: {prefix: /weighted}
      route: {weighted_clusters: {clusters: [{name: nowhere, weight: 1}]}}
    - match: {prefix: /}
      route: {cluster: nowhere}
""",
    route_config="validate_clusters: false",
)
g.get("unknown", "u", "/")
g.get("unknown.404", "u", "/404")
g.get("unknown.weighted", "u", "/weighted")

# ---- balancing
for lb in ("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"):
    g = Group("balance-" + lb.lower().replace("_", "-"), "routing")
    g.cluster("even", hosts=["b1", "b2", "b3"], lb=lb)
    g.cluster(
        "weighted",
        hosts=[],
        lb=lb,
        assignment="""
        - lb_endpoints:
          - {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @up:b1@}}}, load_balancing_weight: 3}
          - {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: @up:b2@}}}, load_balancing_weight: 1}
    """,
    )
    g.cluster(
        "dns",
        hosts=[],
        type="STRICT_DNS",
        lb=lb,
        extra="dns_lookup_family: V4_ONLY",
        assignment="""
        - lb_endpoints:
          - {endpoint: {address: {socket_address: {address: localhost, port_value: @up:b1@}}}}
          - {endpoint: {address: {socket_address: {address: localhost, port_value: @up:b2@}}}}
    """,
    )
    g.http(
        "m",
        "".join(
            f"\n    - match: {{prefix: /{c}}}\n      route: {{cluster: {c}}}\n" for c in ("even", "weighted", "dns")
        ),
    )
    weights = {"b1": (0.35, 0.9), "b2": (0.1, 0.65)}  # an answer may come before its request stops counting as active
    third = {b: (0.2, 0.47) for b in ("b1", "b2", "b3")}
    g.case("even")(lambda t: share(t.backends("m", 180, "/even"), third))
    g.case("weighted")(lambda t: share(t.backends("m", 200, "/weighted"), weights))
    g.case("names")(lambda t: share(t.backends("m", 120, "/dns"), {"b1": (0.3, 0.7), "b2": (0.3, 0.7)}))
    if lb == "ROUND_ROBIN":
        g.case("rotates")(lambda t: cycle(t.backends("m", 12, "/even"), 3))

# ---- time-outs of a route
g = Group("timeouts", "routing")
g.cluster("b1")
g.cluster("mute", hosts=["mute"])
g.http(
    "t",
    """
    - match: {prefix: /short}
      route: {cluster: b1, timeout: 0.25s}
    - match: {prefix: /none}
      route: {cluster: b1, timeout: 0s}
    - match: {prefix: /default}
      route: {cluster: b1}
    - match: {prefix: /mute}
      route: {cluster: mute, timeout: 0.25s}
    - match: {prefix: /idle}
      route: {cluster: b1, timeout: 0s, idle_timeout: 0.25s}
    - match: {prefix: /long}
      route: {cluster: b1, timeout: 20s}
""",
)
timed(g, "answer-late", "t", 0.24, 1.5, path="/short", headers=[("x-do", "delay=800")])
timed(g, "answer-late.post", "t", 0.24, 1.5, path="/short", method="POST", body="data", headers=[("x-do", "delay=800")])
timed(g, "answer-never", "t", 0.24, 1.5, path="/mute")
timed(g, "body-late", "t", 0.24, 1.5, path="/short", headers=[("x-do", "slow=10,100")], only=("status", "cut"))
timed(g, "in-time", "t", 0, 0.24, path="/short", headers=[("x-do", "delay=50")])
timed(g, "none", "t", 0.38, 1.5, path="/none", headers=[("x-do", "delay=400")])
timed(g, "idle.before-answer", "t", 0.24, 1.5, path="/idle", headers=[("x-do", "delay=800")])
timed(g, "idle.in-answer", "t", 0.24, 1.5, path="/idle", headers=[("x-do", "slow=2,700")])
timed(g, "idle.slow-but-alive", "t", 0.4, 2, path="/idle", headers=[("x-do", "slow=6,100")])
timed(
    g,
    "client.header",
    "t",
    0.1,
    1.5,
    path="/default",
    headers=[("x-envoy-upstream-rq-timeout-ms", "100"), ("x-do", "delay=800")],
)
timed(
    g,
    "client.header-zero",
    "t",
    0.24,
    1.5,
    path="/short",
    headers=[("x-envoy-upstream-rq-timeout-ms", "0"), ("x-do", "delay=350")],
)
timed(
    g,
    "client.header-word",
    "t",
    0.24,
    1.5,
    path="/short",
    headers=[("x-envoy-upstream-rq-timeout-ms", "soon"), ("x-do", "delay=800")],
)
g.get("expected-header.none", "t", "/none")
g.get("expected-header.default", "t", "/default")
g.get("expected-header.long", "t", "/long")
g.get("expected-header.client", "t", "/default", [("x-envoy-upstream-rq-timeout-ms", "700")])
g.get("expected-header.from-client", "t", "/default", [("x-envoy-expected-rq-timeout-ms", "5")])


@g.case("connection-after-timeout")
def _(t):
    c = t.conn("t")
    c.send(request("GET", "/short", [("x-do", "delay=800")]))
    first = t.answer(c)["status"]
    st = c.state()
    c.send(request("GET", "/default"))
    return [first, st, t.answer(c).get("status")]


@g.case("body-not-finished")
def _(t):
    """The route's time begins when the request is complete."""
    c = t.conn("t")
    c.send("POST /short HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\nab")
    time.sleep(0.4)
    before = c.state()
    c.send("cd")
    return [before, t.answer(c).get("status")]


g = Group("timeouts-suppressed", "routing")
g.cluster("b1")
g.http(
    "s",
    """
    - match: {prefix: /}
      route: {cluster: b1}
""",
    router=False,
    filters="""
    - name: envoy.filters.http.router
      typed_config: {"@type": @T@filters.http.router.v3.Router, suppress_envoy_headers: true}
""",
)
g.get("no-envoy-headers", "s", "/")

# ---- connections that do not get through
g = Group("connect-timeout", "routing")
for c in ("plain", "hasty", "logged", "counted"):
    g.cluster(c, hosts=["stuck"], timeout="0.3s")
g.http(
    "c",
    """
    - match: {prefix: /short}
      route: {cluster: hasty, timeout: 0.15s}
    - match: {prefix: /log}
      route: {cluster: logged}
    - match: {prefix: /stats}
      route: {cluster: counted}
    - match: {prefix: /}
      route: {cluster: plain}
""",
    hcm="""
    access_log:
    - name: envoy.access_loggers.file
      typed_config: {"@type": @T@access_loggers.file.v3.FileAccessLog, path: "@tmp@/connect.log", log_format: {text_format_source: {inline_string: "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST%\\n"}}}
""",
)
timed(g, "connect-timeout", "c", 0.28, 1.5, path="/")
timed(g, "connect-timeout.post", "c", 0.28, 1.5, path="/", method="POST", body="data")
timed(g, "route-timeout-first", "c", 0.14, 1.0, path="/short")


@g.case("log")
def _(t):
    n = t.count_lines("connect.log")
    t.req("c", path="/log")
    t.settle(lambda: any("/log" in x for x in t.lines("connect.log", skip=n)))
    return [x for x in t.lines("connect.log", skip=n) if "/log" in x]


@g.case("stats")
def _(t):
    return t.delta(
        [
            "cluster.counted.upstream_cx_connect_timeout",
            "cluster.counted.upstream_cx_connect_fail",
            "cluster.counted.upstream_cx_total",
            "cluster.counted.upstream_rq_503",
        ],
        lambda: t.req("c", path="/stats"),
    )


# ---- answers, to the byte
g = Group("upstream-answers", "http1")
g.cluster("b1")
g.http(
    "u",
    """
    - match: {prefix: /}
      route: {cluster: b1}
""",
)
RAW = (
    ("ok", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ("http-1.0", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ("http-1.0-until-close", "HTTP/1.0 200 OK\r\n\r\nuntil the end"),
    ("until-close", "HTTP/1.1 200 OK\r\n\r\nuntil the end"),
    ("no-reason", "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok"),
    ("no-reason-space", "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok"),
    ("odd-reason", "HTTP/1.1 200 All Is Well\r\ncontent-length: 2\r\n\r\nok"),
    ("status-299", "HTTP/1.1 299 X\r\ncontent-length: 2\r\n\r\nok"),
    ("status-600", "HTTP/1.1 600 X\r\ncontent-length: 2\r\n\r\nok"),
    ("status-999", "HTTP/1.1 999 X\r\ncontent-length: 2\r\n\r\nok"),
    ("status-99", "HTTP/1.1 99 X\r\ncontent-length: 2\r\n\r\nok"),
    ("status-1000", "HTTP/1.1 1000 X\r\ncontent-length: 2\r\n\r\nok"),
    ("status-word", "HTTP/1.1 abc X\r\ncontent-length: 2\r\n\r\nok"),
    ("version-2", "HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ("version-bad", "HTTQ/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ("garbage", "this is no HTTP\r\n\r\n"),
    ("empty-line-first", "\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ("bare-lf", "HTTP/1.1 200 OK\ncontent-length: 2\n\nok"),
    ("obs-fold", "HTTP/1.1 200 OK\r\nx-a: one\r\n two\r\ncontent-length: 2\r\n\r\nok"),
    ("no-colon", "HTTP/1.1 200 OK\r\nx-a one\r\ncontent-length: 2\r\n\r\nok"),
    ("space-before-colon", "HTTP/1.1 200 OK\r\nx-a : one\r\ncontent-length: 2\r\n\r\nok"),
    ("nul-in-value", "HTTP/1.1 200 OK\r\nx-a: o\0ne\r\ncontent-length: 2\r\n\r\nok"),
    ("high-bytes", "HTTP/1.1 200 OK\r\nx-a: \xe4\xff\r\ncontent-length: 2\r\n\r\nok"),
    ("empty-value", "HTTP/1.1 200 OK\r\nx-a:\r\ncontent-length: 2\r\n\r\nok"),
    ("both-lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("two-lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"),
    ("two-equal-lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"),
    ("length-negative", "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok"),
    ("length-word", "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok"),
    ("length-huge", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nok"),
    ("more-than-length", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more"),
    ("less-than-length", "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok"),
    ("chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;ext=1\r\nok\r\n0\r\nx-t: 1\r\n\r\n"),
    ("chunk-size-bad", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n"),
    ("chunk-size-bad-first", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
    ("chunk-cut", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nok"),
    ("te-gzip", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok"),
    ("te-gzip-chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("204-with-body", "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok"),
    ("204-length-0", "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"),
    ("304-with-length", "HTTP/1.1 304 Not Modified\r\ncontent-length: 200\r\netag: x\r\n\r\n"),
    ("head-cut", "HTTP/1.1 200 OK\r\nx-a: on"),
    ("only-status-line", "HTTP/1.1 200 OK\r\n"),
    ("101-unasked", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ("100-then-200", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ("103-then-200", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ("102-then-200", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ("connection-close", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"),
    (
        "hop-by-hop",
        "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-a\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nok",
    ),
    ("upgrade-header", "HTTP/1.1 200 OK\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nok"),
    (
        "server-and-date",
        "HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\ncontent-length: 2\r\n\r\nok",
    ),
    ("set-cookie-twice", "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\nok"),
    ("upper-names", "HTTP/1.1 200 OK\r\nX-MiXeD: V\r\nContent-Length: 2\r\n\r\nok"),
    ("underscore", "HTTP/1.1 200 OK\r\nx_under: 1\r\ncontent-length: 2\r\n\r\nok"),
    ("big-header", "HTTP/1.1 200 OK\r\nx-a: " + "v" * 20000 + "\r\ncontent-length: 2\r\n\r\nok"),
    ("too-big-headers", "HTTP/1.1 200 OK\r\nx-a: " + "v" * 70000 + "\r\ncontent-length: 2\r\n\r\nok"),
    (
        "many-headers",
        "HTTP/1.1 200 OK\r\n" + "".join(f"x-{i}: 1\r\n" for i in range(99)) + "content-length: 2\r\n\r\nok",
    ),
    (
        "too-many-headers",
        "HTTP/1.1 200 OK\r\n" + "".join(f"x-{i}: 1\r\n" for i in range(150)) + "content-length: 2\r\n\r\nok",
    ),
)


def answer_case(name, text, method="GET", label=""):
    @g.case("raw." + name + label)
    def _(t):
        t.up.raws[name] = text.encode("latin-1")
        r = t.req("u", method, "/" + name, [("x-do", f"raw={name}")])
        r["headers"] = [[n, v if len(v) < 300 else f"<{len(v)} bytes>"] for n, v in r.get("headers", ())]
        if len(r["headers"]) > 60:
            r["headers"] = f"{len(r['headers'])} headers"
        return r


for n, x in RAW:
    answer_case(n, x)
for n in ("ok", "204-length-0", "until-close", "chunked"):
    answer_case(n, dict(RAW)[n], "HEAD", ".head")
g.get("close-before-answer", "u", "/", [("x-do", "close")])
g.get("reset-before-answer", "u", "/", [("x-do", "reset")])
g.get("close-before-answer.post", "u", "/", [("x-do", "close")], method="POST", body="data")
g.get("cut-in-body", "u", "/", [("x-do", "big=1000;partial=100")], persist=True)
g.get("reset-in-body", "u", "/", [("x-do", "big=1000;partial=100;abort")], persist=True)
g.get("cut-in-chunked-body", "u", "/", [("x-do", "big=1000;chunked;partial=100")], persist=True)
g.get("interim", "u", "/", [("x-do", "1xx=103;body=done")])
g.get("interim.two", "u", "/", [("x-do", "1xx=103;1xx=102;body=done")])
for s in (204, 304, 400, 404, 500, 503):
    g.get(f"status-{s}", "u", "/", [("x-do", f"status={s}")])
g.get("big", "u", "/", [("x-do", "big=3000000")])
g.get("big.chunked", "u", "/", [("x-do", "big=3000000;chunked")])
g.get("until-close", "u", "/", [("x-do", "big=100000;noclen")])
g.get("until-close.http-1.1-chunked", "u", "/", [("x-do", "noclen;body=hello")], persist=True)
g.get("slow-body", "u", "/", [("x-do", "slow=5,20")])
g.get("head.with-length", "u", "/", [("x-do", "big=1000")], method="HEAD")
g.get("head.chunked", "u", "/", [("x-do", "big=1000;chunked")], method="HEAD")


@g.case("early-answer-to-long-request")
def _(t):
    """The upstream answers before it has the body and closes."""
    c = t.conn("u")
    c.send("POST / HTTP/1.1\r\nHost: h.test\r\nx-do: early;status=413\r\nContent-Length: 1000000\r\n\r\n" + "x" * 1000)
    r = t.answer(c)
    r["conn"] = c.state(1.0)
    return r


@g.case("reuse")
def _(t):
    """Three requests of one client use one upstream connection; so does the next client."""
    import json

    out = []
    for _ in range(2):
        c = t.conn("u")
        for _ in range(3):
            c.send(request("GET", "/", [("x-do", "count")]))
            out.append(json.loads(c.answer().body)["conn"])
    return len(set(out))


@g.case("no-reuse-after-close-header")
def _(t):
    import json

    out = []
    for _ in range(3):
        r = t.conn("u")
        r.send(request("GET", "/", [("x-do", "count;bye;hdr=connection:close")]))
        out.append(json.loads(r.answer().body)["nth"])
    return out[1:]


@g.case("closed-between-requests")
def _(t):
    """An idle pooled connection that the upstream has closed is not used."""
    c = t.conn("u")
    out = []
    for _ in range(3):
        c.send(request("GET", "/", [("x-do", "bye;body=ok")]))
        out.append(t.answer(c)["status"])
        time.sleep(0.08)
    return out


@g.case("client-gone")
def _(t):
    """A client that leaves makes the upstream request end."""
    c = t.conn("u")
    c.send(request("GET", "/", [("x-do", "slow=30,20")]))
    c.answer("HEAD")
    before = len(t.up.writers.get("b1", ()))
    c.reset()
    gone = t.settle(lambda: len(t.up.writers.get("b1", ())) < before, 1.5)
    return gone
