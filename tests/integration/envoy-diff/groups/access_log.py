"""Access logs: the default format, operators, filters, JSON, files and standard output."""

import json
import re
import time

from lib.case import Group
from lib.client import request

FILE = "@T@access_loggers.file.v3.FileAccessLog"


def logger(file, text=None, more="", extra=""):
    fmt = (
        f", log_format: {{{extra}text_format_source: {{inline_string: {json.dumps(text + chr(10))}}}}}"
        if text is not None
        else ""
    )
    return (
        f"- name: envoy.access_loggers.file\n{more}"
        f'  typed_config: {{"@type": {FILE}, path: "@tmp@/{file}.log"{fmt}}}\n'
    )


def logs(*texts):
    return "access_log:\n" + "".join(texts)


ROUTES = """
    - name: direct-route
      match: {prefix: /direct}
      direct_response: {status: 200, body: {inline_string: direct}}
    - name: redirect-route
      match: {prefix: /redirect}
      redirect: {path_redirect: /x}
    - match: {prefix: /short}
      route: {cluster: b1, timeout: 0.2s}
    - match: {prefix: /idle}
      route: {cluster: b1, timeout: 0s, idle_timeout: 0.2s}
    - match: {prefix: /dead}
      route: {cluster: dead}
    - match: {prefix: /empty}
      route: {cluster: empty}
    - match: {prefix: /unknown}
      route: {cluster_header: x-cluster}
    - match: {prefix: /rewritten}
      route: {cluster: b1, prefix_rewrite: /other, host_rewrite_literal: new.test}
    - name: named-route
      match: {prefix: /ok}
      route: {cluster: b1}
"""


def clusters(g):
    g.cluster("b1")
    g.cluster("dead")
    g.cluster("empty", hosts=[])


def after(t, file, n):
    """The lines of a log since it had n; a moment longer for one too many."""
    return t.lines(file, 1, skip=n)


def logged(g, name, port, fn, file=None, fix=None):
    """The log's lines that fn brings about."""
    file = file or port + ".log"

    @g.case(name)
    def _(t):
        n = t.count_lines(file)
        fn(t)
        out = after(t, file, n)
        return [fix(x) for x in out] if fix else out


def ask(port, path, headers=(), **kw):
    return lambda t: t.req(port, path=path, headers=headers, **kw)


# ---- the default format
def mask_default(line):
    """Time and durations of the default format."""
    line = re.sub(r"^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\]", "[<time>]", line)
    return re.sub(
        r'^(\[<time>\] "[^"]*" \d+ \S+ \d+ \d+) \d+ (\d+|-) ',
        lambda m: f"{m.group(1)} <ms> {'-' if m.group(2) == '-' else '<ms>'} ",
        line,
    )


g = Group("log-default", "access log")
clusters(g)
g.http("def", ROUTES, hcm=logs(logger("def")))
for name, kw in (
    (
        "ok",
        {"path": "/ok", "headers": [("user-agent", "me/1.0"), ("x-do", "body=hello"), ("x-forwarded-for", "1.2.3.4")]},
    ),
    ("post", {"path": "/ok", "method": "POST", "body": "12345", "headers": [("x-do", "body=hello")]}),
    ("direct", {"path": "/direct"}),
    ("refused", {"path": "/dead"}),
    ("no-route", {"path": "/none"}),
    ("no-endpoints", {"path": "/empty"}),
    ("rewritten", {"path": "/rewritten/x?q", "headers": [("x-do", "body=hello")]}),
    ("quote-in-header", {"path": "/direct", "headers": [("user-agent", 'a"b\\c')]}),
):
    logged(g, name, "def", lambda t, kw=kw: t.req("def", **kw), fix=mask_default)
logged(g, "bad-request", "def", lambda t: (t.conn("def").send("BAD\r\n\r\n")), fix=mask_default)

# ---- flags and details
g = Group("log-flags", "access log")
clusters(g)
T = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON% %BYTES_RECEIVED% %BYTES_SENT% %REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%"
g.http(
    "f",
    ROUTES,
    hcm=logs(logger("f", T))
    + "stream_idle_timeout: 0.5s\nrequest_headers_timeout: 0.3s\ncommon_http_protocol_options: {max_stream_duration: 0.8s}\npath_with_escaped_slashes_action: REJECT_REQUEST\n",
)
for name, kw in (
    ("ok", {"path": "/ok", "headers": [("x-do", "body=hello")]}),
    ("status-500", {"path": "/ok", "headers": [("x-do", "status=500")]}),
    ("direct", {"path": "/direct"}),
    ("redirect", {"path": "/redirect"}),
    ("no-route", {"path": "/none"}),
    ("refused", {"path": "/dead"}),
    ("no-endpoints", {"path": "/empty"}),
    ("no-cluster", {"path": "/unknown"}),
    ("no-cluster.named", {"path": "/unknown", "headers": [("x-cluster", "zz")]}),
    ("route-timeout", {"path": "/short", "headers": [("x-do", "delay=600")]}),
    ("route-idle-timeout", {"path": "/idle", "headers": [("x-do", "delay=600")]}),
    ("stream-idle-timeout", {"path": "/ok", "headers": [("x-do", "delay=900")]}),
    ("upstream-closes", {"path": "/ok", "headers": [("x-do", "close")]}),
    ("upstream-cut", {"path": "/ok", "headers": [("x-do", "big=1000;partial=10")]}),
    ("upstream-reset", {"path": "/ok", "headers": [("x-do", "reset")]}),
    ("upstream-protocol-error", {"path": "/ok", "headers": [("x-do", "raw=garbage")]}),
    ("escaped-slash", {"path": "/a%2fb"}),
    ("head", {"path": "/ok", "method": "HEAD", "headers": [("x-do", "big=100")]}),
    ("post", {"path": "/ok", "method": "POST", "body": "12345", "headers": [("x-do", "body=hello")]}),
    (
        "chunked",
        {
            "path": "/ok",
            "method": "POST",
            "body": "12345",
            "chunked": True,
            "headers": [("x-do", "body=hello;chunked")],
        },
    ),
    ("no-host", {"path": "/ok", "host": None}),
    ("fragment", {"path": "/ok#x"}),
    ("http-1.0", {"path": "/ok", "version": "1.0"}),
    ("max-stream-duration", {"path": "/ok", "headers": [("x-do", "slow=20,100")]}),
    ("304", {"path": "/ok", "headers": [("x-do", "status=304")]}),
    ("too-big", {"path": "/ok", "headers": [("x-a", "v" * 70000)]}),
    ("upgrade-refused", {"path": "/ok", "headers": [("Connection", "Upgrade"), ("Upgrade", "websocket")]}),
):

    def run(t, kw=kw):
        t.up.raws["garbage"] = b"no http at all\r\n\r\n"
        t.req("f", **kw)

    logged(g, name, "f", run)


def send(port, data, then=None, wait=0.1):
    def run(t):
        c = t.conn(port)
        c.send(data)
        time.sleep(wait)
        if then == "close":
            c.close()
        elif then == "reset":
            c.reset()
        elif then == "shut":
            c.half_close()
        else:
            c.state(1.0)

    return run


HH = "Host: h.test\r\n"
logged(g, "client-leaves", "f", send("f", f"GET /ok HTTP/1.1\r\n{HH}x-do: delay=500\r\n\r\n", "close"))
logged(g, "client-resets", "f", send("f", f"GET /ok HTTP/1.1\r\n{HH}x-do: delay=500\r\n\r\n", "reset"))
logged(g, "client-leaves-in-body", "f", send("f", f"POST /ok HTTP/1.1\r\n{HH}Content-Length: 100\r\n\r\nabc", "close"))
logged(g, "garbage", "f", send("f", "garbage\r\n\r\n"))
logged(g, "bad-chunk", "f", send("f", f"POST /ok HTTP/1.1\r\n{HH}Transfer-Encoding: chunked\r\n\r\nzz\r\n"))
logged(
    g,
    "both-lengths",
    "f",
    send("f", f"POST /ok HTTP/1.1\r\n{HH}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
)
logged(g, "bad-transfer-encoding", "f", send("f", f"POST /ok HTTP/1.1\r\n{HH}Transfer-Encoding: gzip\r\n\r\n"))
logged(g, "headers-late", "f", send("f", "GET /ok HTTP/1.1\r\nHost:", None, 0.4))
logged(g, "body-late", "f", send("f", f"POST /ok HTTP/1.1\r\n{HH}Content-Length: 10\r\n\r\nabc", None, 0.6))


@g.case("nothing-for-silent-connections")
def _(t):
    n = t.count_lines("f.log")
    c = t.conn("f")
    time.sleep(0.1)
    c.close()
    return t.no_lines("f.log", n)


# ---- operators: the common ones first, so that a refused rare one costs only its own configuration
COMMON = (
    "%REQ(:METHOD)%",
    "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "%REQ(:PATH)%",
    "%REQ(:AUTHORITY)%",
    "%REQ(:SCHEME)%",
    "%REQ(HOST)%",
    "%REQ(user-agent)%",
    "%REQ(USER-AGENT):4%",
    "%REQ(x-none)%",
    "%REQ(x-none?x-given)%",
    "%REQ(x-twice)%",
    "%REQ(X-REQUEST-ID)%",
    "%RESP(X-BACKEND)%",
    "%RESP(content-type)%",
    "%RESP(content-type):4%",
    "%RESP(x-none?x-backend)%",
    "%RESP(:STATUS)%",
    "%TRAILER(x-t)%",
    "%PROTOCOL%",
    "%RESPONSE_CODE%",
    "%RESPONSE_FLAGS%",
    "%RESPONSE_CODE_DETAILS%",
    "%BYTES_RECEIVED%",
    "%BYTES_SENT%",
    "%UPSTREAM_HOST%",
    "%UPSTREAM_CLUSTER%",
    "%ROUTE_NAME%",
    "%DOWNSTREAM_REMOTE_ADDRESS%",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%DOWNSTREAM_LOCAL_ADDRESS%",
    "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "%DOWNSTREAM_LOCAL_PORT%",
)
SECOND = (
    "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%UPSTREAM_LOCAL_ADDRESS%",
    "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "%UPSTREAM_REMOTE_ADDRESS%",
    "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%UPSTREAM_REMOTE_PORT%",
    "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    "%CONNECTION_TERMINATION_DETAILS%",
    "%REQUESTED_SERVER_NAME%",
    "%RESPONSE_FLAGS_LONG%",
    "%VIRTUAL_CLUSTER_NAME%",
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "%FILTER_CHAIN_NAME%",
    "%HOSTNAME%",
    "%RESP(SERVER)%",
    "%TRAILER(x-none)%",
    "%DYNAMIC_METADATA(some:key)%",
    "%UPSTREAM_PROTOCOL%",
)
RARE = (
    "%UPSTREAM_CLUSTER_RAW%",
    "%ACCESS_LOG_TYPE%",
    "%DYNAMIC_METADATA(some)%",
    "%FILTER_STATE(some.key)%",
    "%METADATA(ROUTE:some:key)%",
    "%METADATA(CLUSTER:some:key)%",
    "%ENVIRONMENT(SURELY_NOT_SET)%",
    "%PATH(NQ)%",
    "%PATH(WQ)%",
    "%PATH(WQ:ORIG)%",
    "%QUERY_PARAM(q)%",
    "%QUERY_PARAM(none)%",
    "%LOCAL_REPLY_BODY%",
    "%GRPC_STATUS%",
    "%GRPC_STATUS_NUMBER%",
    "%STREAM_ID%",
    "%CUSTOM_FLAGS%",
    "%UPSTREAM_HOST_NAME%",
    "%UPSTREAM_HOST_NAME_WITHOUT_PORT%",
)
SIZES = (
    "%DOWNSTREAM_WIRE_BYTES_SENT%",
    "%UPSTREAM_WIRE_BYTES_SENT%",
    "%DOWNSTREAM_HEADER_BYTES_SENT%",
    "%DOWNSTREAM_HEADER_BYTES_RECEIVED%",
    "%UPSTREAM_HEADER_BYTES_SENT%",
    "%UPSTREAM_WIRE_BYTES_RECEIVED%",
    "%DOWNSTREAM_WIRE_BYTES_RECEIVED%",
    "%UPSTREAM_HEADER_BYTES_RECEIVED%",
    "%REQUEST_HEADERS_BYTES%",
    "%RESPONSE_HEADERS_BYTES%",
    "%RESPONSE_TRAILERS_BYTES%",
)


def mask_operator(op, v):
    if op == "%HOSTNAME%":
        return "<a name>" if v not in ("", "-") else v
    if op == "%RESP(SERVER)%":
        return "<the proxy>" if v in ("envoy", "skiff") else v
    if op in SIZES:
        return "<number>" if v.isdigit() and int(v) > 0 else v  # sizes hold the width of ports and of generated headers
    return v


def all_operators(t, ops, **kw):
    n = t.count_lines("ops.log")
    t.req("o", **kw)
    line = after(t, "ops.log", n)
    if len(line) != 1 or line[0].count(" ~ ") != len(ops) - 1:
        return {"line": line}
    return {op.strip("%"): mask_operator(op, v) for op, v in zip(ops, line[0].split(" ~ "))}


for label, ops in (("", COMMON), ("-second", SECOND), ("-rare", RARE), ("-sizes", SIZES)):
    g = Group("log-operators" + label, "access log")
    clusters(g)
    g.http("o", ROUTES, hcm=logs(logger("ops", " ~ ".join(ops))))
    for name, kw in (
        (
            "ok",
            {
                "path": "/ok/x?q=1&r=2",
                "headers": [
                    ("user-agent", "some-agent"),
                    ("x-given", "given"),
                    ("x-twice", "1"),
                    ("x-twice", "2"),
                    ("x-do", "body=hello;trailer=x-t:tt"),
                ],
            },
        ),
        ("post", {"path": "/ok", "method": "POST", "body": "12345", "headers": [("x-do", "body=hi")]}),
        ("rewritten", {"path": "/rewritten/x?q=9", "headers": [("x-do", "body=hi")]}),
        ("direct", {"path": "/direct?q=1"}),
        ("refused", {"path": "/dead"}),
        ("no-route", {"path": "/none"}),
    ):
        g.case(name)(lambda t, kw=kw, ops=ops: all_operators(t, ops, **kw))

# ---- sizes to the byte: all headers are given, so that none has a width of its own
g = Group("log-sizes-exact", "access log")
clusters(g)
g.http(
    "z",
    ROUTES,
    filters="""
    - name: envoy.filters.http.router
      typed_config: {"@type": @T@filters.http.router.v3.Router, suppress_envoy_headers: true}
    """,
    router=False,
    hcm=logs(logger("sizes", " ".join(SIZES + ("%BYTES_RECEIVED%", "%BYTES_SENT%"))))
    + "server_header_transformation: PASS_THROUGH\nuse_remote_address: false\n",
)
GIVEN = "Host: h.test\r\nX-Request-Id: 0aea6c92-8840-43ba-95a0-6ef8a9f742d0\r\nX-Forwarded-Proto: http\r\n"


def sizes_of(*heads_and_bodies, given=GIVEN):
    """The sizes that are logged for requests on one connection. The upstream's answer is raw."""

    def run(t):
        t.up.raws["sized"] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b\r\ndate: x\r\n\r\nhello"
        t.up.raws["chunked"] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: x\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        n = t.count_lines("sizes.log")
        c = t.conn("z")
        for line, body in heads_and_bodies:
            c.send(f"{line}\r\n{given}{body}".encode())
            c.answer()
        c.close()
        return [
            dict(zip((x.strip("%") for x in SIZES + ("%BYTES_RECEIVED%", "%BYTES_SENT%")), map(int, line.split())))
            for line in t.lines("sizes.log", len(heads_and_bodies), skip=n)
        ]

    return run


for name, asked in (
    ("get", [("GET /ok HTTP/1.1", "x-do: raw=sized\r\n\r\n")]),
    ("post", [("POST /ok HTTP/1.1", "x-do: raw=sized\r\nContent-Length: 3\r\n\r\nabc")]),
    ("chunked", [("POST /ok HTTP/1.1", "x-do: raw=chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")]),
    ("direct-twice", [("GET /direct HTTP/1.1", "\r\n"), ("GET /direct HTTP/1.1", "x: y\r\n\r\n")]),
    ("no-route", [("GET /none HTTP/1.1", "\r\n")]),
    ("refused", [("GET /dead HTTP/1.1", "\r\n")]),
    ("blanks", [("GET  /ok  HTTP/1.1", "x-do: raw=sized\r\nX-B:   c  \r\n\r\n")]),
):
    g.case(name)(sizes_of(*asked))
g.case("malformed")(sizes_of(("GET /ok HTTP/1.1", "Transfer-Encoding: gzip\r\n\r\n")))
g.case("no-host")(sizes_of(("GET /ok HTTP/1.1", "x: y\r\n\r\n"), given="X-A: b\r\n"))

# ---- times
g = Group("log-times", "access log")
clusters(g)
TIMES = (
    "%START_TIME%",
    "%START_TIME(%Y/%m/%d)%",
    "%START_TIME(%H:%M:%S)%",
    "%START_TIME(%s)%",
    "%START_TIME(%s.%3f)%",
    "%START_TIME(%s%6f)%",
    "%START_TIME(%Y-%m-%dT%H:%M:%S.%9fZ)%",
    "%START_TIME(%f)%",
    "%START_TIME(%3f)%",
    "%START_TIME(%a %b %e)%",
    "%EMIT_TIME(%s)%",
    "%DURATION%",
    "%REQUEST_DURATION%",
    "%RESPONSE_DURATION%",
    "%RESPONSE_TX_DURATION%",
    "%REQUEST_TX_DURATION%",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "%CONNECTION_ID%",
)
g.http("time", ROUTES, hcm=logs(logger("time", "|".join(TIMES))))


def shape(op, v):
    """Digits as 9s; numbers of no fixed width as <n>; names of days and months as Aaa."""
    if v.isdigit():
        return "9" * len(v) if "TIME(" in op else "<n>"
    return re.sub(r"\d", "9", re.sub(r"^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d$", "Aaa Aaa 99", v))


@g.case("shapes")
def _(t):
    n = t.count_lines("time.log")
    t.req("time", path="/ok", headers=[("x-do", "delay=60;body=x")])
    return {op.strip("%"): shape(op, v) for op, v in zip(TIMES, after(t, "time.log", n)[0].split("|"))}


@g.case("values")
def _(t):
    """Durations that a slow upstream makes."""
    n = t.count_lines("time.log")
    now = time.time()
    t.req("time", path="/ok", headers=[("x-do", "delay=150;slow=2,100")])
    v = dict(zip(TIMES, after(t, "time.log", n)[0].split("|")))
    return {
        "start": abs(int(v["%START_TIME(%s)%"]) - now) < 3,
        "duration": 340 <= int(v["%DURATION%"]) < 900,
        "response": 145 <= int(v["%RESPONSE_DURATION%"]) < 300,
        "tx": 190 <= int(v["%RESPONSE_TX_DURATION%"]) < 600,
        "request": int(v["%REQUEST_DURATION%"]) < 100,
    }


@g.case("direct")
def _(t):
    n = t.count_lines("time.log")
    t.req("time", path="/direct")
    v = dict(zip(TIMES, after(t, "time.log", n)[0].split("|")))
    return {k.strip("%"): "<n>" if v[k].isdigit() else v[k] for k in TIMES[11:]}


# ---- formats
g = Group("log-formats", "access log")
clusters(g)
g.http(
    "old",
    ROUTES,
    hcm=logs(
        f'- name: envoy.access_loggers.file\n  typed_config: {{"@type": {FILE}, path: "@tmp@/old.log", format: "old %RESPONSE_CODE% %REQ(X)%\\n"}}\n'
    ),
)
g.http(
    "text",
    ROUTES,
    hcm=logs(
        f'- name: envoy.access_loggers.file\n  typed_config: {{"@type": {FILE}, path: "@tmp@/text.log", log_format: {{text_format: "text %RESPONSE_CODE% %REQ(X)%\\n"}}}}\n'
    ),
)
g.http(
    "omit",
    ROUTES,
    hcm=logs(
        logger("omit", "a=%REQ(X)% b=%RESPONSE_CODE% c=%UPSTREAM_HOST% d=%RESP(Y)%", extra="omit_empty_values: true, ")
    ),
)
g.http(
    "noline",
    ROUTES,
    hcm=logs(
        f'- name: envoy.access_loggers.file\n  typed_config: {{"@type": {FILE}, path: "@tmp@/noline.log", log_format: {{text_format_source: {{inline_string: "[%RESPONSE_CODE%]"}}}}}}\n'
    ),
)
g.http("percent", ROUTES, hcm=logs(logger("percent", "100%% of %RESPONSE_CODE% 50%% \t tab {}")))
g.http("two", ROUTES, hcm=logs(logger("two-a", "a %RESPONSE_CODE%"), logger("two-b", "b %REQ(:PATH)%")))
g.http("same", ROUTES, hcm=logs(logger("same", "1 %REQ(:PATH)%"), logger("same", "2 %REQ(:PATH)%")))
g.http(
    "stdout",
    ROUTES,
    hcm=logs(
        '- name: envoy.access_loggers.stdout\n  typed_config: {"@type": @T@access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "STDOUT %RESPONSE_CODE% %REQ(:PATH)%\\n"}}}\n'
    ),
)
g.http(
    "dev",
    ROUTES,
    hcm=logs(
        f'- name: envoy.access_loggers.file\n  typed_config: {{"@type": {FILE}, path: /dev/stdout, log_format: {{text_format_source: {{inline_string: "DEV %RESPONSE_CODE%\\n"}}}}}}\n'
    ),
)
logged(g, "format", "old", ask("old", "/direct"))
logged(g, "text-format", "text", ask("text", "/direct"))
logged(g, "omit-empty", "omit", ask("omit", "/direct"))
logged(g, "percent-and-tab", "percent", ask("percent", "/direct"))
logged(g, "two-files.first", "two", ask("two", "/direct"), "two-a.log")
logged(g, "two-files.second", "two", ask("two", "/direct"), "two-b.log")


@g.case("same-file-twice")
def _(t):
    n = t.count_lines("same.log")
    t.req("same", path="/direct")
    return t.lines("same.log", 2, skip=n)


@g.case("no-newline-added")
def _(t):
    t.req("noline", path="/direct")
    t.req("noline", path="/none")
    path = t.tmp + "/noline.log"
    t.settle(lambda: len(open(path).read()) >= 10)
    return open(path).read()


logged(g, "stdout", "stdout", ask("stdout", "/direct"), "stdout")
logged(g, "dev-stdout", "dev", ask("dev", "/direct"), "stdout")


@g.case("order-of-lines")
def _(t):
    n = t.count_lines("two-b.log")
    for i in range(20):
        t.req("two", path=f"/direct/{i}")
    return t.lines("two-b.log", 20, skip=n) == [f"b /direct/{i}" for i in range(20)]


@g.case("kept-alive")
def _(t):
    """A line for each request, when it ends, not when the connection does."""
    n = t.count_lines("two-b.log")
    c = t.conn("two")
    for i in range(3):
        c.send(request("GET", f"/direct/{i}"))
        c.answer()
    return t.lines("two-b.log", 3, skip=n)


# ---- JSON
g = Group("log-json", "access log")
clusters(g)
JSON = (
    "{code: '%RESPONSE_CODE%', path: '%REQ(:PATH)%', none: '%REQ(x-none)%', both: '%PROTOCOL%-%RESPONSE_CODE%', sent: '%BYTES_SENT%', fixed: text, number: 5, flag: true, upstream: '%UPSTREAM_HOST%', quote: '%REQ(x-q)%', "
    "nested: {a: '%REQ(:METHOD)%', b: {c: '%RESPONSE_FLAGS%'}}, list: ['%REQ(:METHOD)%', two]}"
)
for n, extra in (("json", ""), ("jsonomit", "omit_empty_values: true, ")):
    g.http(
        n,
        ROUTES,
        hcm=logs(
            f'- name: envoy.access_loggers.file\n  typed_config: {{"@type": {FILE}, path: "@tmp@/{n}.log", log_format: {{{extra}json_format: {JSON}}}}}\n'
        ),
    )
    logged(g, n + ".ok", n, ask(n, "/ok", [("x-do", "body=hello"), ("x-q", 'a"b\\c')]))
    logged(g, n + ".direct", n, ask(n, "/direct"))
    logged(
        g,
        n + ".typed",
        n,
        ask(n, "/direct"),
        fix=lambda x: {k: [type(v).__name__, v] for k, v in json.loads(x).items()},
    )

# ---- filters
g = Group("log-filters", "access log")
clusters(g)
FILTERS = (
    ("ge500", "status_code_filter: {comparison: {op: GE, value: {default_value: 500, runtime_key: a.b}}}"),
    ("eq404", "status_code_filter: {comparison: {op: EQ, value: {default_value: 404, runtime_key: a.b}}}"),
    ("le200", "status_code_filter: {comparison: {op: LE, value: {default_value: 200, runtime_key: a.b}}}"),
    ("slow", "duration_filter: {comparison: {op: GE, value: {default_value: 150, runtime_key: a.b}}}"),
    ("header", "header_filter: {header: {name: x-log, string_match: {exact: 'yes'}}}"),
    ("noheader", "header_filter: {header: {name: x-log, present_match: true, invert_match: true}}"),
    ("flags", "response_flag_filter: {flags: [UF, NR]}"),
    ("anyflag", "response_flag_filter: {}"),
    ("nohealth", "not_health_check_filter: {}"),
    (
        "and",
        "and_filter: {filters: [{status_code_filter: {comparison: {op: GE, value: {default_value: 400, runtime_key: a.b}}}}, {header_filter: {header: {name: x-log, present_match: true}}}]}",
    ),
    (
        "or",
        "or_filter: {filters: [{status_code_filter: {comparison: {op: GE, value: {default_value: 400, runtime_key: a.b}}}}, {header_filter: {header: {name: x-log, present_match: true}}}]}",
    ),
    ("none", "runtime_filter: {runtime_key: a.b, percent_sampled: {numerator: 0}}"),
    ("all", "runtime_filter: {runtime_key: a.b, percent_sampled: {numerator: 100}}"),
)
for i in range(0, len(FILTERS), 5):
    g.http(
        f"fl{i}",
        ROUTES,
        hcm=logs(
            *(
                logger("filter-" + n, "%RESPONSE_CODE% %REQ(:PATH)%", f"  filter: {{{f}}}\n")
                for n, f in FILTERS[i : i + 5]
            )
        ),
    )
ASKED = (
    ("/direct", []),
    ("/none", []),
    ("/dead", []),
    ("/ok", [("x-do", "status=500")]),
    ("/ok", [("x-do", "delay=200;body=x")]),
    ("/direct", [("x-log", "yes")]),
    ("/none", [("x-log", "no")]),
)
for i, (n, _) in enumerate(FILTERS):

    def run(t, n=n, port=f"fl{i // 5 * 5}"):
        at = t.count_lines(f"filter-{n}.log")
        for p, h in ASKED:
            t.req(port, path=p, headers=h)
        time.sleep(0.15)
        return t.no_lines(f"filter-{n}.log", at, 0.05)

    g.case(n)(run)

# ---- the listener's own log, and options of the connection manager's
g = Group("log-listener", "access log")
clusters(g)
g.http(
    "lis",
    ROUTES,
    extra=logs(
        logger(
            "lis",
            "%RESPONSE_CODE% %BYTES_RECEIVED% %PROTOCOL% %DOWNSTREAM_LOCAL_ADDRESS% %RESPONSE_FLAGS% %UPSTREAM_CLUSTER%",
        )
    ),
)


@g.case("connection")
def _(t):
    n = t.count_lines("lis.log")
    c = t.conn("lis")
    for _ in range(2):
        c.send(request("GET", "/direct"))
        c.answer()
    before = t.no_lines("lis.log", n, 0.15)
    c.close()
    return [before, t.lines("lis.log", skip=n)]
