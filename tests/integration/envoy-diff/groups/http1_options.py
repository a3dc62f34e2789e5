"""Options of the connection manager: forwarded headers, identifiers, paths, hosts, limits, time-outs."""

import time

from lib.case import Group
from lib.client import request
from lib.context import took

B = """
    - match: {prefix: /direct}
      direct_response: {status: 200, body: {inline_string: direct}}
    - match: {prefix: /}
      route: {cluster: b1}
"""
H = "Host: h.test\r\n"


# ---- what is added, taken away and kept
g = Group("http1-headers", "http1")
g.cluster("b1")
g.http("p", B)
g.case("order-and-case")(
    lambda t: t.req(
        "p",
        headers=[
            ("X-Zed", "Z"),
            ("user-AGENT", "Me"),
            ("Accept", "*/*"),
            ("x-a", "1"),
            ("X-A", "2"),
            ("x-do", "hdr=X-Second:2;hdr=a-first:1;body=x"),
        ],
        ordered=True,
    )
)
g.case("order-and-case.echo")(
    lambda t: t.req(
        "p",
        "POST",
        headers=[("X-Zed", "Z"), ("Cookie", "a"), ("cookie", "b"), ("Accept", "*/*")],
        body="x",
        ordered=True,
    )
)
g.case("order.direct")(lambda t: t.req("p", path="/direct", ordered=True))
g.get(
    "hop-by-hop",
    "p",
    "/",
    [
        ("Connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip"),
        ("Trailer", "x"),
        ("Proxy-Authenticate", "x"),
        ("Proxy-Authorization", "y"),
    ],
)
g.get("te-trailers", "p", "/", [("TE", "trailers")])
g.get("te-list", "p", "/", [("TE", "gzip, trailers")])
g.get("upgrade-alone", "p", "/", [("Upgrade", "h2c")])
g.get(
    "envoy-headers-from-client",
    "p",
    "/",
    [
        ("x-envoy-" + n, "1")
        for n in (
            "retry-on",
            "max-retries",
            "upstream-alt-stat-name",
            "force-trace",
            "internal",
            "downstream-service-cluster",
            "downstream-service-node",
            "original-path",
            "original-host",
            "decorator-operation",
            "expected-rq-timeout-ms",
            "upstream-service-time",
            "ip-tags",
            "hedge-on-per-try-timeout",
            "external-address",
            "upstream-rq-timeout-alt-response",
            "attempt-count",
            "peer-metadata",
            "some-other",
        )
    ],
)
g.get(
    "envoy-headers-from-upstream",
    "p",
    "/",
    [
        (
            "x-do",
            "body=x;hdr=x-envoy-upstream-healthchecked-cluster:a;hdr=x-envoy-overloaded:true;hdr=x-envoy-upstream-canary:true;"
            "hdr=x-envoy-immediate-health-check-fail:1;hdr=x-envoy-upstream-service-time:7;hdr=x-envoy-decorator-operation:o;hdr=x-envoy-degraded:1",
        )
    ],
)
g.get("cookies", "p", "/", [("Cookie", "a=1"), ("Cookie", "b=2")])
g.get("same-name-twice", "p", "/", [("Accept", "a"), ("X-Two", "1"), ("Accept", "b"), ("x-two", "2")])
g.get("empty-value", "p", "/", [("x-empty", "")])
g.get("white-space", "p", "/", [("x-a", "  two  words\t ")])
g.get(
    "forwarded",
    "p",
    "/",
    [
        ("Forwarded", "for=1.2.3.4"),
        ("Via", "1.0 x"),
        ("x-real-ip", "9.9.9.9"),
        ("x-forwarded-host", "f"),
        ("x-forwarded-port", "99"),
        ("x-forwarded-client-cert", "By=x"),
        ("x-b3-traceid", "1"),
        ("traceparent", "00-x"),
    ],
)
g.get("own-server-header", "p", "/", [("x-do", "hdr=server:origin;hdr=via:1.1 up;body=x")])
g.get("host-upper", "p", "/", host="H.Test")
g.get("absolute-uri", "p", "http://other.test/path?q", host="h.test")
g.get("absolute-uri.port", "p", "http://other.test:8080/path", host="h.test")
g.get("absolute-uri.no-path", "p", "http://other.test", host="h.test")
g.get("absolute-uri.query-only", "p", "http://other.test?a=b", host="h.test")
g.get("absolute-uri.https", "p", "https://other.test/path", host="h.test")
g.get("absolute-uri.user", "p", "http://user@other.test/path", host="h.test")
g.get("absolute-uri.no-host-header", "p", "http://other.test/path", host=None)
g.get("absolute-uri.ftp", "p", "ftp://other.test/path", host="h.test")
g.get("path.encoded", "p", "/a%20b%2fc%2Fd/%41?x=%20")
g.get("path.double-slash", "p", "//a///b/./c/../d")
g.get("path.star", "p", "*", method="OPTIONS")
g.get("path.long", "p", "/" + "a" * 8000)
g.get("path.odd-characters", "p", '/a|b^c`d{e}f"g<h>i\\j')

# ---- the client's address
ROUTE = B
for name, hcm in (
    ("xff-default", ""),
    ("xff-remote", "use_remote_address: true"),
    ("xff-hops", "use_remote_address: true\nxff_num_trusted_hops: 1"),
    ("xff-hops-noremote", "xff_num_trusted_hops: 1"),
    ("xff-skip", "use_remote_address: true\nskip_xff_append: true"),
    (
        "xff-internal",
        "use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}",
    ),
    ("xff-via", "via: 1.1 edge\nuse_remote_address: true"),
):
    g = Group("http1-" + name, "http1")
    g.cluster("b1")
    LOG = f"""
access_log:
- name: envoy.access_loggers.file
  typed_config: {{"@type": @T@access_loggers.file.v3.FileAccessLog, path: "@tmp@/{name}.log", log_format: {{text_format_source: {{inline_string: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%\\n"}}}}}}
"""
    g.http("p", B, hcm=hcm + LOG)

    def client(label, headers, source="127.0.0.5", name=name, g=g):
        @g.case(label)
        def _(t):
            n = t.count_lines(name + ".log")
            r = t.req("p", headers=headers, source=source)
            r["log"] = t.lines(name + ".log", skip=n)
            return r

    client("none", [])
    client("one", [("x-forwarded-for", "1.2.3.4")])
    client("three", [("x-forwarded-for", "1.2.3.4, 5.6.7.8,9.10.11.12")])
    if name in ("xff-default", "xff-remote", "xff-hops"):
        client("loopback", [], None)
        client("loopback.one", [("x-forwarded-for", "1.2.3.4")], None)
        client("two-headers", [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "5.6.7.8")])
        client("garbage", [("x-forwarded-for", "not an address")])
        client("with-port", [("x-forwarded-for", "1.2.3.4:999")])
        client("ipv6", [("x-forwarded-for", "2001:db8::1")])
        client("private", [("x-forwarded-for", "10.0.0.1")])
        client("proto", [("x-forwarded-proto", "https")])
        client("proto-garbage", [("x-forwarded-proto", "gopher")])
        client("request-id", [("x-request-id", "my-own-id")])
        client("external-address", [("x-envoy-external-address", "3.3.3.3"), ("x-envoy-internal", "true")])
    if name == "xff-internal":
        client("timeout-header", [("x-envoy-upstream-rq-timeout-ms", "2500")])
        client(
            "envoy-headers",
            [
                ("x-envoy-retry-on", "5xx"),
                ("x-envoy-max-retries", "2"),
                ("x-envoy-expected-rq-timeout-ms", "5"),
                ("x-envoy-original-path", "/o"),
            ],
        )

        @g.case("timeout-header.used")
        def _(t):
            n = t.count_lines("xff-internal.log")
            r = took(
                lambda: t.req("p", headers=[("x-envoy-upstream-rq-timeout-ms", "150"), ("x-do", "delay=700")]),
                0.14,
                0.65,
            )
            t.lines("xff-internal.log", skip=n)
            return r


# ---- identifiers
g = Group("http1-request-id", "http1")
g.cluster("b1")
g.http("default", B)
g.http("noid", B, hcm="generate_request_id: false")
g.http("preserve", B, hcm="use_remote_address: true\npreserve_external_request_id: true")
g.http("edge", B, hcm="use_remote_address: true")
g.http("answer", B, hcm="always_set_request_id_in_response: true")
ID = [("x-request-id", "my-own-id")]
for p in ("default", "noid", "preserve", "edge", "answer"):
    g.get(p + ".none", p, "/", source="127.0.0.5")
    g.get(p + ".given", p, "/", ID, source="127.0.0.5")
g.get("answer.direct", "answer", "/direct")
g.get("answer.direct-given", "answer", "/direct", ID)


@g.case("a-new-one-each-time")
def _(t):
    import re

    ids = set()
    for _ in range(5):
        t.req("default")
    for e in t.up.seen:
        v = dict(map(tuple, e["headers"]))["x-request-id"]
        ids.add(
            v
            if re.fullmatch(
                r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|[0-9a-f]{8}-[0-9a-f]{4}-[9abcdef][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
                v,
            )
            else "odd"
        )
    return [len(ids), "odd" in ids]


# ---- who serves
g = Group("http1-server", "http1")
g.exact = ("server",)
g.cluster("b1")
UP = [("x-do", "hdr=server:origin;body=x")]
for name, hcm in (
    ("default", ""),
    ("name", "server_name: my-proxy"),
    ("append", "server_header_transformation: APPEND_IF_ABSENT\nserver_name: my-proxy"),
    ("pass", "server_header_transformation: PASS_THROUGH\nserver_name: my-proxy"),
    ("over", "server_header_transformation: OVERWRITE\nserver_name: my-proxy"),
):
    g.http(name, B, hcm=hcm)
    if name != "default":
        g.get(name + ".upstream-says", name, "/", UP)
        g.get(name + ".upstream-silent", name, "/", [("x-do", "body=x")])
        g.get(name + ".direct", name, "/direct")
        g.get(name + ".bad-request", name, "/", host=None)

# ---- date
g = Group("http1-date", "http1")
g.cluster("b1")
g.exact = ("date",)
g.http("p", B)


@g.case("date")
def _(t):
    import email.utils

    out = []
    for path, hs in (("/", []), ("/direct", []), ("/", [("x-do", "hdr=date:Mon, 01 Jan 2024 00:00:00 GMT;body=x")])):
        v = dict(map(tuple, t.req("p", path=path, headers=hs)["headers"]))["date"]
        at = email.utils.parsedate_to_datetime(v).timestamp()
        out.append("now" if abs(at - time.time()) < 3 else v)
    return out


# ---- casing
for name, fmt in (
    ("proper", "proper_case_words: {}"),
    (
        "preserve",
        'stateful_formatter: {name: preserve_case, typed_config: {"@type": @T@http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}}',
    ),
):
    g = Group(f"http1-{name}-case", "http1")
    g.cluster(
        "b1",
        extra=f"""
        typed_extension_protocol_options:
          envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
            "@type": @T@upstreams.http.v3.HttpProtocolOptions
            explicit_http_config: {{http_protocol_options: {{header_key_format: {{{fmt}}}}}}}
    """,
    )
    g.http("p", B, hcm=f"http_protocol_options: {{header_key_format: {{{fmt}}}}}")
    g.case("both-ways")(
        lambda t: t.req("p", headers=[("X-MiXed", "1"), ("x-lower-case", "1"), ("X-UPPER", "1")], ordered=True)
    )
    g.case("answer")(lambda t: t.req("p", headers=[("x-do", "hdr=X-ReSp:1;hdr=lower-one:2;body=x")], ordered=True))
    g.case("direct")(lambda t: t.req("p", path="/direct", ordered=True))

# ---- paths
P = (
    "/a/../b",
    "/a/./b",
    "/a//b",
    "/../a",
    "/a/b/..",
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/%2e%2e/a",
    "/a/%2e%2e/b",
    "/a%41b",
    "/a%7eb",
    "/a%zzb",
    "/a%00b",
    "/a\\b",
    "/a?x=/../y//z",
    "//",
    "/a/b/../../../../c",
    "/a%2f../b",
    "/caf%c3%a9",
    "/a;p=1/../b",
    "/.",
    "/a..",
    "/a%",
    "/%2F%2Fa",
)
for name, hcm in (
    ("plain", ""),
    ("normalize", "normalize_path: true"),
    ("merge", "normalize_path: true\nmerge_slashes: true"),
    ("mergeonly", "merge_slashes: true"),
    ("reject", "path_with_escaped_slashes_action: REJECT_REQUEST"),
    ("redirect", "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT"),
    ("unescape", "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD\nnormalize_path: true"),
    ("keep", "path_with_escaped_slashes_action: KEEP_UNCHANGED\nnormalize_path: true"),
):
    g = Group("http1-path-" + name, "http1")
    g.cluster("b1")
    g.http("p", B, hcm=hcm)

    def line(t, path):
        r = t.req("p", path=path)
        if "upstream" in r:
            return r["upstream"]["line"]
        return {k: v for k, v in r.items() if k != "headers"} | {
            "location": dict(map(tuple, r.get("headers", ()))).get("location")
        }

    wanted = (
        P
        if name in ("plain", "normalize", "merge")
        else [p for p in P if "%2" in p or "%5" in p or "//" in p or "\\" in p]
    )
    for p in wanted:
        g.case(f"{P.index(p):02}")(lambda t, p=p: {"sent": p, "got": line(t, p)})

# ---- ports in the host
for name, hcm in (
    ("keep", ""),
    ("matching", "strip_matching_host_port: true"),
    ("any", "strip_any_host_port: true"),
    ("dot", "strip_trailing_host_dot: true"),
):
    g = Group("http1-host-" + name, "http1")
    g.cluster("b1")
    g.http("p", B, hcm=hcm)
    for label, h in (
        ("none", "h.test"),
        ("own", "h.test:@"),
        ("other", "h.test:8080"),
        ("ipv6", "[::1]:8080"),
        ("dot", "h.test."),
        ("dot-port", "h.test.:8080"),
    ):

        @g.case(label)
        def _(t, h=h):
            r = t.req("p", host=h.replace("@", str(t.ports["p"])))
            return [v for n, v in r["upstream"]["headers"] if n == "host"] if "upstream" in r else r


# ---- limits
g = Group("http1-limits", "http1")
g.cluster("b1")
g.http("p", B)
g.http("small", B, hcm="max_request_headers_kb: 2")
g.http("count", B, hcm="common_http_protocol_options: {max_headers_count: 10}")


def big(name, port, path="/", n=0, count=0):
    @g.case(name)
    def _(t):
        r = t.req(
            port,
            path=path,
            headers=([("x-big", "v" * n)] if n else [])
            + [(f"x-{i}", "1") for i in range(count)]
            + [("x-do", "body=ok")],
        )
        return r


big("headers.50-kib", "p", n=50 << 10)
big("headers.59-kib", "p", n=59 << 10)
big("headers.61-kib", "p", n=61 << 10)
big("headers.200-kib", "p", n=200 << 10)
big("headers.many", "p", count=95)
big("headers.too-many", "p", count=101)
big("headers.many-and-long", "p", n=30 << 10, count=90)
big("small.under", "small", n=1500)
big("small.over", "small", n=2500)
big("small.path", "small", path="/" + "a" * 3000)
big("count.under", "count", count=6)
big("count.over", "count", count=15)

g = Group("http1-underscores", "http1")
g.cluster("b1")
g.http("p", B)
g.http("under", B, hcm="common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}")
g.http("drop", B, hcm="common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}")
g.get("underscore.default", "p", "/", [("x_a", "1")])
g.get("underscore.reject", "under", "/", [("x_a", "1")])
g.get("underscore.drop", "drop", "/", [("x_a", "1"), ("x-b", "2")])
g.get("underscore.value", "under", "/", [("x-a", "1_2")])

g = Group("http1-max-requests", "http1")
g.cluster("b1")
g.http("requests", B, hcm="common_http_protocol_options: {max_requests_per_connection: 2}")


@g.case("requests-per-connection")
def _(t):
    c = t.conn("requests")
    out = []
    for _ in range(2):
        c.send(request("GET", "/", [("x-do", "body=ok")]))
        out.append(t.answer(c))
    return out + [c.state(1.0)]


# ---- time-outs of a connection
def option(name, hcm):
    group = Group("http1-" + name, "http1")
    group.cluster("b1")
    group.http("p", B, hcm=hcm)
    return group


def timed(group, name, *steps, low=0.25, high=1.5):
    """An exchange that ends by a time-out, and whether that came in time."""

    @group.case(name)
    def _(t):
        c = t.conn("p")
        for s in steps:
            time.sleep(s) if isinstance(s, float) else c.send(s)
        r, when = took(lambda: t.answer(c), low, high)
        if "status" in r:
            r["conn"] = c.state(1.0 if ["connection", "close"] in r["headers"] else 0.1)
        return {"when": when, **r}


g = option("request-headers-timeout", "request_headers_timeout: 0.3s")
g.case("nothing")(lambda t: t.conn("p").state(1.0))
timed(g, "part", "GET / HTTP/1.1\r\nHost:")
timed(g, "line-only", "GET / HTTP/1.1\r\n")
timed(g, "done", f"GET / HTTP/1.1\r\n{H}x-do: delay=500;body=ok\r\n\r\n", low=0.45)
timed(g, "body-late", f"POST / HTTP/1.1\r\n{H}x-do: body=ok\r\nContent-Length: 2\r\n\r\n", 0.5, "ab", low=0, high=0.2)

g = option("request-timeout", "request_timeout: 0.3s")
timed(g, "body-missing", f"POST / HTTP/1.1\r\n{H}Content-Length: 5\r\n\r\nab")
timed(g, "answer-late", f"GET / HTTP/1.1\r\n{H}x-do: delay=500;body=ok\r\n\r\n", low=0.45)

g = option("stream-idle-timeout", "stream_idle_timeout: 0.3s")
timed(g, "body-missing", f"POST / HTTP/1.1\r\n{H}Content-Length: 5\r\n\r\nab")
timed(g, "answer-late", f"GET / HTTP/1.1\r\n{H}x-do: delay=900;body=ok\r\n\r\n")
timed(g, "body-stops", f"GET / HTTP/1.1\r\n{H}x-do: slow=2,900\r\n\r\n")
timed(g, "part-of-head", "GET / HTTP/1.1\r\nHost:")

g = option("max-stream-duration", "common_http_protocol_options: {max_stream_duration: 0.3s}")
timed(g, "answer-late", f"GET / HTTP/1.1\r\n{H}x-do: delay=900;body=ok\r\n\r\n")
timed(g, "in-answer", f"GET / HTTP/1.1\r\n{H}x-do: slow=2,900\r\n\r\n")


g = option("idle-timeout", "common_http_protocol_options: {idle_timeout: 0.3s}\ndrain_timeout: 0.1s")


@g.case("idle-connection")
def _(t):
    c = t.conn("p")
    c.send(request("GET", "/", [("x-do", "body=ok")]))
    first = t.answer(c)["status"]
    st, when = took(lambda: c.state(2.0), 0.25, 1.2)
    return [first, st, when]


@g.case("idle-connection.never-used")
def _(t):
    c = t.conn("p")
    return took(lambda: c.state(2.0), 0.25, 1.2)


@g.case("idle-connection.busy")
def _(t):
    c = t.conn("p")
    c.send(request("GET", "/", [("x-do", "delay=600;body=ok")]))
    return t.answer(c)["status"]


g = option("connection-duration", "common_http_protocol_options: {max_connection_duration: 0.3s}\ndrain_timeout: 0.1s")


@g.case("connection-duration")
def _(t):
    c = t.conn("p")
    c.send(request("GET", "/", [("x-do", "body=ok")]))
    first = t.answer(c)["status"]
    time.sleep(0.35)
    st = c.state(0.02)
    if st == "closed":
        return [first, "closed"]
    c.send(request("GET", "/", [("x-do", "body=ok")]))
    return [first, t.answer(c), c.state(1.0)]


@g.case("connection-duration.in-request")
def _(t):
    c = t.conn("p")
    c.send(request("GET", "/", [("x-do", "delay=600;body=ok")]))
    r = t.answer(c)
    return [r, c.state(1.0)]
