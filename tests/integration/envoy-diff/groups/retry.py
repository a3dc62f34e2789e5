"""Further tries of a request, and copies of it for another cluster: what the upstreams see, what the client gets, what is counted."""

import json
import time

from lib.case import Group
from lib.client import request
from lib.context import digest, took

FILE = "@T@access_loggers.file.v3.FileAccessLog"
LINE = ("%REQ(X-N)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_CLUSTER% "
        "%UPSTREAM_HOST%")
LOG = ("access_log:\n- name: envoy.access_loggers.file\n"
       f'  typed_config: {{"@type": {FILE}, path: "@tmp@/NAME.log", log_format: {{text_format_source: {{inline_string: '
       f'{json.dumps(LINE + chr(10))}}}}}}}\n')
INTERNAL = "internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}\nuse_remote_address: true\n"
PREVIOUS = ('retry_host_predicate: [{name: p, typed_config: {"@type": '
            "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]")
FAST = "retry_back_off: {base_interval: 0.005s}"
COUNTERS = ("upstream_rq_retry", "upstream_rq_retry_success", "upstream_rq_retry_limit_exceeded", "upstream_rq_retry_overflow",
            "upstream_rq_retry_backoff_exponential", "upstream_rq_retry_backoff_ratelimited", "upstream_rq_per_try_timeout",
            "upstream_rq_per_try_idle_timeout", "upstream_rq_timeout", "upstream_rq_total", "upstream_rq_completed",
            "upstream_rq_200", "upstream_rq_503", "upstream_rq_504", "upstream_rq_5xx", "retry.upstream_rq_503",
            "retry.upstream_rq_5xx", "retry.upstream_rq_completed", "retry_or_shadow_abandoned", "internal.upstream_rq_200",
            "external.upstream_rq_200", "external.upstream_rq_503", "upstream_cx_connect_fail")


def policy(on, more="", n=2):
    return f"{{retry_on: '{on}', num_retries: {n}, {FAST}{', ' + more if more else ''}}}"


def about(records):
    """Later tries have what is left of the time: rounded up to a second."""
    for r in records:
        for h in r.get("headers", ()):
            if h[0].lower() == "x-envoy-expected-rq-timeout-ms" and int(h[1]) > 1000:
                h[1] = str(-(-int(h[1]) // 1000) * 1000)
    return records


def logged(t, file, name):
    """The lines of the case's own requests."""
    t.settle(lambda: any(x.startswith(name + " ") for x in t.lines(file, 0)))
    return [x for x in t.lines(file, 0) if x.startswith(name + " ")]


def route(path, retry, cluster="b1", more=""):
    return f"- match: {{prefix: {path}}}\n  route: {{cluster: {cluster}, retry_policy: {retry}{', ' + more if more else ''}}}\n"


def tried(group, name, port, path, do, headers=(), cluster=None, log=None, **kw):
    """The answer, and what every upstream saw of each try."""

    @group.case(name)
    def _(t):
        out = {}
        t.up.raws["not-http"] = b"NONSENSE\r\n\r\n"

        def go():
            out.update(t.req(port, path=path, headers=[*([("x-do", do)] if do else ()), ("x-n", name), *headers], **kw))

        if cluster:
            out["counted"] = {k: v for k, v in t.delta([f"cluster.{cluster}.{c}" for c in COUNTERS], go).items() if v}
        else:
            go()
        out["tries"] = len(t.up.seen)
        if "only" not in kw:
            out["seen"] = about(t.seen())
        about([out.get("upstream", {})])
        if log:
            out["log"] = logged(t, log, name)
        return out


# ---- conditions
g = Group("retry-conditions", "retry")
g.cluster("b1")
g.cluster("dead")
g.http("c", "".join(route("/" + on.replace(",", "+"), policy(on)) for on in (
    "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "refused-stream", "retriable-4xx",
    "envoy-ratelimited", "nonsense", "5xx,nonsense")) +
    route("/codes", policy("retriable-status-codes", "retriable_status_codes: [418, 200]")) +
    route("/nocodes", policy("5xx", "retriable_status_codes: [418]")) +
    route("/headers", policy("retriable-headers", "retriable_headers: [{name: x-again}, {name: ':status', string_match: {exact: '404'}}]")) +
    route("/onlyif", policy("5xx", "retriable_request_headers: [{name: x-yes}, {name: ':method', string_match: {exact: PUT}}]")) +
    route("/grpc", policy("cancelled,deadline-exceeded,internal,resource-exhausted,unavailable")) +
    route("/default", "{retry_on: 5xx}") + route("/zero", policy("5xx", n=0)) + route("/many", policy("5xx", n=6)) +
    route("/dead/connect", policy("connect-failure"), "dead") + route("/dead/5xx", policy("5xx"), "dead") +
    route("/dead/before", policy("reset-before-request"), "dead") + route("/dead/reset", policy("reset"), "dead") +
    route("/dead/4xx", policy("retriable-4xx"), "dead") +
    "- match: {prefix: /none}\n  route: {cluster: b1}\n", hcm=LOG.replace("NAME", "conditions"))

for on in ("5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "refused-stream", "retriable-4xx",
           "envoy-ratelimited", "nonsense", "5xx+nonsense"):
    for what in ("500", "501", "502", "503", "504", "599", "429", "409", "404", "close", "reset"):
        tried(g, f"{on}.{what}", "c", "/" + on, f"seq={what},200", log="conditions.log")
    tried(g, f"{on}.garbage", "c", "/" + on, "raw=not-http", log="conditions.log")
    tried(g, f"{on}.ratelimited", "c", "/" + on, "status=503;hdr=x-envoy-ratelimited:true;body=x", log="conditions.log")
    tried(g, f"{on}.overloaded", "c", "/" + on, "status=503;hdr=x-envoy-overloaded:true;body=x", log="conditions.log")
for what in ("418", "200", "503"):
    tried(g, f"codes.{what}", "c", "/codes", f"seq={what},404")
    tried(g, f"nocodes.{what}", "c", "/nocodes", f"seq={what},404")
tried(g, "headers.yes", "c", "/headers", "seq=hdrx-again:1,200")
tried(g, "headers.empty", "c", "/headers", "seq=hdrx-again:,200")
tried(g, "headers.status", "c", "/headers", "seq=404,200")
tried(g, "headers.no", "c", "/headers", "seq=503,200")
tried(g, "onlyif.no", "c", "/onlyif", "seq=503,200")
tried(g, "onlyif.header", "c", "/onlyif", "seq=503,200", [("x-yes", "1")])
tried(g, "onlyif.method", "c", "/onlyif", "seq=503,200", method="PUT", body="abc")
for status in (0, 1, 2, 4, 8, 13, 14, 16):
    tried(g, f"grpc.{status}", "c", "/grpc", f"status=200;hdr=grpc-status:{status};body=x", [("content-type", "application/grpc")])
tried(g, "grpc.plain-503", "c", "/grpc", "seq=503,200")
tried(g, "default.once", "c", "/default", "seq=503,200", cluster="b1")
tried(g, "default.twice", "c", "/default", "seq=503,503,200", cluster="b1", log="conditions.log")
tried(g, "zero", "c", "/zero", "seq=503,200", cluster="b1", log="conditions.log")
tried(g, "many", "c", "/many", "seq=503,502,504,500,599,503,200", cluster="b1", log="conditions.log")
tried(g, "many.too", "c", "/many", "status=503;body=no", cluster="b1", log="conditions.log")
tried(g, "none", "c", "/none", "seq=503,200", log="conditions.log")
tried(g, "success.counted", "c", "/5xx", "seq=503,200", cluster="b1", log="conditions.log")
tried(g, "reset.counted", "c", "/reset", "seq=reset,close,200", cluster="b1", log="conditions.log")
tried(g, "reset.limit", "c", "/reset", "seq=reset", cluster="b1", log="conditions.log")
tried(g, "other-failure-then", "c", "/gateway-error", "seq=503,500", cluster="b1", log="conditions.log")
tried(g, "head", "c", "/5xx", "seq=503,200", method="HEAD", log="conditions.log")
tried(g, "no-body-answer", "c", "/5xx", "status=503;cl=0;body=", log="conditions.log")
for kind in ("connect", "5xx", "before", "reset", "4xx"):
    tried(g, f"dead.{kind}", "c", "/dead/" + kind, None, cluster="dead", log="conditions.log")
tried(g, "dead.post", "c", "/dead/connect", None, method="POST", body="x" * 1000, log="conditions.log")


# ---- the request is the same each time
g = Group("retry-requests", "retry")
g.cluster("b1")
ROUTES = (route("/edit", policy("5xx"), more="prefix_rewrite: /new, host_rewrite_literal: other.test, append_x_forwarded_host: true")[:-1] +
          "\n  request_headers_to_add: [{header: {key: x-added, value: 'a%REQ(x-one)%'}}]\n"
          "  response_headers_to_add: [{header: {key: x-answer, value: '%RESPONSE_CODE% %UPSTREAM_REQUEST_ATTEMPT_COUNT%'}}]\n" +
          route("/auto", policy("5xx"), "named", "auto_host_rewrite: true") +
          route("/t", policy("5xx", "per_try_timeout: 5s"), more="timeout: 30s") +
          route("/big-try", policy("5xx", "per_try_timeout: 40s"), more="timeout: 30s") +
          route("/no-timeout", policy("5xx", "per_try_timeout: 4s"), more="timeout: 0s") + route("/", policy("5xx")))
g.clusters.append("""- name: named
  type: STATIC
  connect_timeout: 1s
  load_assignment:
    cluster_name: named
    endpoints:
    - lb_endpoints:
      - {endpoint: {hostname: first.test, address: {socket_address: {address: 127.0.0.1, port_value: @up:b1@}}}}
      - {endpoint: {hostname: second.test, address: {socket_address: {address: 127.0.0.1, port_value: @up:b2@}}}}
""")
g.http("c", ROUTES, hcm=LOG.replace("NAME", "requests"))
g.http("count", vhosts="- name: count\n  domains: ['*']\n  include_request_attempt_count: true\n  include_attempt_count_in_response: true\n"
       "  retry_policy: " + policy("5xx,reset") + "\n  routes:\n"
       "  - match: {prefix: /own}\n    route: {cluster: b1, retry_policy: " + policy("gateway-error", n=1) + "}\n"
       "  - match: {prefix: /direct}\n    direct_response: {status: 200}\n"
       "  - match: {prefix: /auto}\n    route: {cluster: named, auto_host_rewrite: true}\n"
       "  - match: {prefix: /}\n    route: {cluster: b1}\n", hcm=LOG.replace("NAME", "requests"))
tried(g, "edit", "c", "/edit/x?q=1", "seq=503,503,200", [("x-one", "1"), ("cookie", "a=1"), ("cookie", "b=2")])
tried(g, "timeout.try", "c", "/t", "seq=503,503,200")
tried(g, "timeout.longer-try", "c", "/big-try", "seq=503,200")
tried(g, "timeout.none", "c", "/no-timeout", "seq=503,200")
tried(g, "count", "count", "/x", "seq=503,503,200")
tried(g, "count.first", "count", "/x", "seq=200")
tried(g, "count.limit", "count", "/x", "status=503;body=x", log="requests.log")
tried(g, "count.reset", "count", "/x", "reset", log="requests.log")
tried(g, "count.asked", "count", "/x", "seq=503,200", [("x-envoy-attempt-count", "7")])
tried(g, "count.direct", "count", "/direct", None)
tried(g, "vhost.own", "count", "/own", "seq=503,503,200")
tried(g, "vhost.own-500", "count", "/own", "seq=500,200")
for size in (0, 1, 1000, 100000, 1000000):
    tried(g, f"body.{size}", "c", "/b", "seq=503,reset,200", method="POST", body="0123456789abcdef" * (size // 16) + "z" * (size % 16))
    tried(g, f"chunked.{size}", "c", "/b", "seq=503,200,200", method="POST", body="0123456789abcdef" * (size // 16), chunked=True)
tried(g, "expect", "c", "/b", "seq=503,200", [("expect", "100-continue")], method="POST", body="abc", interim=True)


@g.case("body.over-a-megabyte")
def _(t):
    return t.req("c", "POST", "/b", [("x-do", "seq=503,200")], "x" * 1200000), len(t.up.seen)


@g.case("pipelined")
def _(t):
    c = t.conn("c")
    c.send(b"".join(request("GET", f"/{i}", [("x-do", f"seq=503,200;key={i};body=ok{i}")]) for i in range(3)))
    return [t.answer(c) for _ in range(3)], [e["line"] for e in t.up.seen]


@g.case("answer-before-the-body")
def _(t):
    """A failure that comes before the whole request: the next try gets what came so far, and then the rest."""
    c = t.conn("c")
    c.send("POST /b HTTP/1.1\r\nhost: h.test\r\ncontent-length: 10\r\nx-do: early;seq=503,200;body=e\r\n\r\n01234")
    time.sleep(0.15)
    c.send("56789")
    return t.answer(c), len(t.up.seen)


@g.case("connection-of-whole-answers-is-kept")
def _(t):
    t.req("c", path="/b", headers=[("x-do", "seq=503,503,200;body=;cl=0")])
    return [(e["conn"] == t.up.seen[0]["conn"]) for e in t.up.seen]


# ---- limits of the body
g = Group("retry-limits", "retry")
g.cluster("b1")
for name, limits, vlimits in (("plain", "", ""), ("route", "  per_request_buffer_limit_bytes: 1000\n", ""),
                              ("vhost", "", "  per_request_buffer_limit_bytes: 1000\n"),
                              ("both", "  per_request_buffer_limit_bytes: 3000\n", "  per_request_buffer_limit_bytes: 1000\n"),
                              ("new", "  request_body_buffer_limit: 1000\n", ""),
                              ("newvhost", "", "  request_body_buffer_limit: 1000\n"),
                              ("high", "  request_body_buffer_limit: 50000\n", ""),
                              ("higher", "  per_request_buffer_limit_bytes: 50000\n", ""),
                              ("mixed", "  per_request_buffer_limit_bytes: 1000\n", "  request_body_buffer_limit: 3000\n")):
    g.http(name, vhosts=f"- name: v\n  domains: ['*']\n{vlimits}  routes:\n"
           "  - match: {prefix: /}\n" + ("  " + limits if limits else "") + "    route: {cluster: b1, retry_policy: " + policy("5xx,reset") + "}\n",
           extra="per_connection_buffer_limit_bytes: 4000\n")
    for size in (1000, 1001, 3000, 3001, 4000, 4001, 40000, 60000):
        if size < 40000 or name in ("high", "higher", "plain"):
            tried(g, f"{name}.{size}", name, "/", "seq=503,200;body=", method="POST", body="x" * size, cluster="b1",
                  only=("status", "counted", "tries"))


# ---- headers of trusted callers
g = Group("retry-headers", "retry")
g.cluster("b1")
HROUTES = (route("/own", policy("5xx", n=1), more="timeout: 3s") +
           "- match: {prefix: /}\n  route: {cluster: b1, timeout: 3s}\n")
g.http("in", HROUTES, hcm=INTERNAL)
g.http("out", HROUTES)
for who in ("in", "out"):
    for i, (path, do, headers) in enumerate((
            ("/", "seq=503,200", [("x-envoy-retry-on", "5xx")]),
            ("/", "seq=503,503,200", [("x-envoy-retry-on", "5xx")]),
            ("/", "seq=503,503,503,200", [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3")]),
            ("/own", "seq=503,503,503,200", [("x-envoy-max-retries", "3")]),
            ("/own", "seq=503,200", [("x-envoy-max-retries", "0")]),
            ("/own", "seq=503,200", [("x-envoy-max-retries", "x")]),
            ("/own", "seq=409,200", [("x-envoy-retry-on", "retriable-4xx , reset")]),
            ("/", "seq=418,200", [("x-envoy-retry-on", "retriable-status-codes"), ("x-envoy-retriable-status-codes", "400, 418,x")]),
            ("/", "seq=hdrx-again:1,200", [("x-envoy-retry-on", "retriable-headers"), ("x-envoy-retriable-header-names", "x-no,X-Again")]),
            ("/", "status=200;hdr=grpc-status:14;body=", [("x-envoy-retry-grpc-on", "unavailable")]),
            ("/", "status=200;hdr=grpc-status:14;body=", [("x-envoy-retry-on", "unavailable")]),
            ("/", "seq=503,200", [("x-envoy-retry-grpc-on", "5xx")]),
            ("/", "seq=delay600,200;body=", [("x-envoy-retry-on", "5xx"), ("x-envoy-upstream-rq-per-try-timeout-ms", "200")]),
            ("/", "delay=600;body=", [("x-envoy-upstream-rq-per-try-timeout-ms", "200")]),
            ("/own", "seq=503,200", [("x-envoy-upstream-rq-timeout-ms", "2000"), ("x-envoy-upstream-rq-per-try-timeout-ms", "4000")]),
            ("/own", "seq=503,200", [("x-envoy-hedge-on-per-try-timeout", "false")]))):
        tried(g, f"{who}.{i}", who, path, do, headers)


# ---- where the next try goes
g = Group("retry-hosts", "retry")
g.cluster("three", hosts=["b1", "b2", "b3"])
g.cluster("half", hosts=["b1", "dead"])
g.cluster("one", hosts=["b1"])
g.http("c", route("/other", policy("5xx", PREVIOUS + ", host_selection_retry_max_attempts: 5", n=2), "three") +
       route("/plain", policy("5xx", n=2), "three") + route("/half", policy("connect-failure", n=1), "half") +
       route("/one", policy("5xx", PREVIOUS + ", host_selection_retry_max_attempts: 3"), "one"))


@g.case("other")
def _(t):
    out = []
    for i in range(6):
        t.up.reset()
        out.append((t.status("c", "/other", [("x-do", f"seq=503,503,200;key={i}")]), len(set(t.attempts())), len(t.attempts())))
    return out


@g.case("plain")
def _(t):
    out = []
    for i in range(6):
        t.up.reset()
        out.append((t.status("c", "/plain", [("x-do", f"seq=503,503,200;key={i}")]), len(set(t.attempts()))))
    return out


@g.case("half")
def _(t):
    return [t.status("c", "/half") for _ in range(10)]


tried(g, "one", "c", "/one", "seq=503,503,200")


# ---- times
g = Group("retry-times", "retry")
g.cluster("b1")
g.cluster("stuck", timeout="0.2s")
g.http("c", route("/try", policy("5xx", "per_try_timeout: 0.25s", n=1)) + route("/reset", policy("reset", "per_try_timeout: 0.25s", n=1)) +
       route("/connect", policy("connect-failure", "per_try_timeout: 0.25s", n=1)) +
       route("/bare", "{per_try_timeout: 0.25s}") + route("/idle", policy("5xx", "per_try_idle_timeout: 0.25s", n=1)) +
       route("/all", policy("5xx", "per_try_timeout: 0.3s", n=9), more="timeout: 0.8s") +
       route("/wait", "{retry_on: 5xx, num_retries: 3, retry_back_off: {base_interval: 60s, max_interval: 60s}}", more="timeout: 0.4s") +
       route("/ratelimited", policy("5xx", "rate_limited_retry_back_off: {reset_headers: [{name: Retry-After}, {name: x-reset, "
                                    "format: UNIX_TIMESTAMP}], max_interval: 2s}", n=1)) +
       route("/stuck", policy("connect-failure", n=1), "stuck"), hcm=LOG.replace("NAME", "times"))


def late(name, path, do, low, high, **kw):
    @g.case(name)
    def _(t):
        out = {}

        def go():
            r, out["when"] = took(lambda: t.req("c", path=path, headers=[("x-do", do), ("x-n", name)], **kw), low, high)
            out.update(r)

        cluster = "stuck" if "stuck" in path else "b1"
        out["counted"] = {k: v for k, v in t.delta([f"cluster.{cluster}.{c}" for c in COUNTERS], go).items() if v}
        out["tries"] = len(t.up.seen)
        out["log"] = logged(t, "times.log", name)
        return out


late("try.first", "/try", "seq=delay600,200;body=", 0.2, 0.5)
late("try.both", "/try", "delay=600;body=", 0.45, 0.9)
late("try.reset", "/reset", "seq=delay600,200;body=", 0.2, 0.5)
late("try.connect", "/connect", "seq=delay600,200;body=", 0.2, 0.5)
late("try.bare", "/bare", "seq=delay600,200;body=", 0.2, 0.5)
late("try.body", "/try", "slow=8,60", 0.4, 1.5)
late("try.post", "/try", "seq=delay600,200;body=", 0.2, 0.5, method="POST", body="x" * 500)
late("idle.first", "/idle", "seq=delay600,200;body=", 0.2, 0.5)
late("idle.both", "/idle", "delay=600;body=", 0.45, 0.9)
late("idle.body", "/idle", "slow=8,60", 0.4, 1.5)
late("idle.gap", "/idle", "slow=2,500", 0.2, 0.6)
late("all", "/all", "delay=3000", 0.7, 1.2)
late("wait", "/wait", "seq=503,200", 0.3, 0.7)
late("ratelimited.seconds", "/ratelimited", "status=503;hdr=retry-after:1;body=x", 0.9, 2.2)
late("ratelimited.too-long", "/ratelimited", "status=503;hdr=retry-after:9;body=x", 0, 0.5)
late("ratelimited.zero", "/ratelimited", "status=503;hdr=retry-after:0;body=x", 0, 0.5)
late("ratelimited.word", "/ratelimited", "status=503;hdr=retry-after:soon;body=x", 0, 0.5)
late("ratelimited.past", "/ratelimited", "status=503;hdr=x-reset:1000;body=x", 0, 0.5)
late("stuck", "/stuck", "", 0.35, 1.0)


# ---- the cluster's limit
g = Group("retry-overflow", "retry")
g.cluster("b1", extra="circuit_breakers: {thresholds: [{max_retries: 0}]}\n")
g.http("c", route("/", policy("5xx,reset")), hcm=LOG.replace("NAME", "overflow"))
tried(g, "answer", "c", "/", "seq=503,200", cluster="b1", log="overflow.log")
tried(g, "reset", "c", "/", "reset", cluster="b1", log="overflow.log")
