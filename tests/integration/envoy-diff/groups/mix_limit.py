"""Local rate limits, tcp_proxy and access logs in combination."""

import json
import re
import time

from lib.case import Group
from lib.client import request
from lib.context import digest, share

LIMIT = "@T@filters.http.local_ratelimit.v3.LocalRateLimit"
TCP = "@T@filters.network.tcp_proxy.v3.TcpProxy"
FILE = "@T@access_loggers.file.v3.FileAccessLog"
ON = "filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}"


def bucket(n, more="fill_interval: 3600s"):
    return f"token_bucket: {{max_tokens: {n}, tokens_per_fill: {n}, {more}}}"


def limit(body):
    return f'- name: envoy.filters.http.local_ratelimit\n  typed_config: {{"@type": {LIMIT}, stat_prefix: rl, {body}}}\n'


def own(body):
    return f'typed_per_filter_config: {{envoy.filters.http.local_ratelimit: {{"@type": {LIMIT}, stat_prefix: rl, {body}}}}}'


def answers(t, port, n, path="/", headers=(), keep=("x-ratelimit", "x-envoy-ratelimited", "retry-after", "x-mine", "content-type"), **kw):
    out = []
    for _ in range(n):
        r = t.req(port, path=path, headers=headers, **kw)
        hs = [[a, "*" if a == "x-ratelimit-reset" else b] for a, b in r["headers"] if a.startswith(keep)]
        out.append([r["status"], hs, r.get("body"), [h for h in r.get("upstream", {}).get("headers", ()) if h[0].lower().startswith("x-mine")]])
    return out


def burst(g, name, port, n=3, path="/", headers=(), **kw):
    g.case(name)(lambda t: answers(t, port, n, path, headers, **kw))


ROUTE = "- match: {prefix: /}\n  route: {cluster: b1}\n"

g = Group("mix-limit", "ratelimit")
for n in ("b1", "b2"):
    g.cluster(n)
g.http("all", ROUTE, filters=limit(f"{bucket(2)}, {ON}, status: {{code: 503}}, response_headers_to_add: [{{header: {{key: x-mine, value: '%RESPONSE_CODE% %REQ(:PATH)%'}}}}, {{header: {{key: content-type, value: a/b}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}], request_headers_to_add_when_not_enforced: [{{header: {{key: x-mine, value: 'yes'}}}}], enable_x_ratelimit_headers: DRAFT_VERSION_03"))
g.http("shadow", ROUTE, filters=limit(f"{bucket(1)}, filter_enabled: {{default_value: {{numerator: 100}}}}, filter_enforced: {{default_value: {{numerator: 0}}}}, request_headers_to_add_when_not_enforced: [{{header: {{key: x-mine, value: '%REQ(:METHOD)%'}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}], enable_x_ratelimit_headers: DRAFT_VERSION_03"))
g.http("million", ROUTE, filters=limit(f"{bucket(1)}, filter_enabled: {{default_value: {{numerator: 1000000, denominator: MILLION}}}}, filter_enforced: {{default_value: {{numerator: 10000, denominator: TEN_THOUSAND}}}}, status: {{code: 200}}"))
g.http("low-status", ROUTE, filters=limit(f"{bucket(1)}, {ON}, status: {{code: 302}}"))
g.http("half", ROUTE, filters=limit(f"{bucket(1)}, filter_enabled: {{default_value: {{numerator: 50}}}}, filter_enforced: {{default_value: {{numerator: 100}}}}"))
g.http("refill", ROUTE, filters=limit("token_bucket: {max_tokens: 3, tokens_per_fill: 1, fill_interval: 0.3s}, " + ON + ", enable_x_ratelimit_headers: DRAFT_VERSION_03"))
g.http("conn", ROUTE, filters=limit(f"{bucket(2)}, {ON}, local_rate_limit_per_downstream_connection: true"))
g.http("nothing", ROUTE, filters=limit("stat_prefix: nothing").replace("stat_prefix: rl, ", ""))
g.http("levels", vhosts=f"""
- name: own
  domains: [own.test]
  {own(bucket(1) + ', ' + ON + ', status: {code: 403}')}
  routes:
  - match: {{prefix: /route}}
    route: {{cluster: b1}}
    {own(bucket(2) + ', ' + ON + ', enable_x_ratelimit_headers: DRAFT_VERSION_03')}
  - match: {{prefix: /off}}
    route: {{cluster: b1}}
    {own(bucket(1))}
  - match: {{prefix: /weighted}}
    route:
      weighted_clusters:
        clusters:
        - name: b2
          weight: 1
          {own(bucket(1) + ', ' + ON + ', status: {code: 421}')}
  - match: {{prefix: /direct}}
    direct_response: {{status: 200}}
  - match: {{prefix: /}}
    route: {{cluster: b1}}
- name: rest
  domains: ['*']
  routes:
  - match: {{prefix: /}}
    route: {{cluster: b1}}
""", filters=limit(f"{bucket(3)}, {ON}"))


def entry(n, *kv, more=""):
    return "{entries: [" + ", ".join(f"{{key: {k}" + (f", value: {v!r}" if v is not None else "") + "}" for k, v in kv) + f"], {bucket(n)}{more}}}"


DESCRIPTORS = ", ".join((
    entry(1, ("user", "a")), entry(2, ("user", "a"), ("path", "/two")), entry(1, ("remote_address", "127.0.0.9")),
    entry(1, ("generic_key", "g")), entry(1, ("mine", "g2")), entry(1, ("header_match", "m")), entry(1, ("hm", "m2")), entry(1, ("query_match", "q")), entry(1, ("destination_cluster", "b2")),
    entry(1, ("q", "1")), entry(2, ("any", None)), entry(1, ("empty", "")),
))
ACTIONS = {
    "user": "[{request_headers: {header_name: x-user, descriptor_key: user}}]",
    "two": "[{request_headers: {header_name: x-user, descriptor_key: user}}, {request_headers: {header_name: ':path', descriptor_key: path}}]",
    "addr": "[{remote_address: {}}]",
    "generic": "[{generic_key: {descriptor_value: g}}]",
    "named": "[{generic_key: {descriptor_value: g2, descriptor_key: mine}}]",
    "match": "[{header_value_match: {descriptor_value: m, headers: [{name: x-user, present_match: true}]}}]",
    "match-not": "[{header_value_match: {descriptor_value: m2, descriptor_key: hm, expect_match: false, headers: [{name: x-user, string_match: {exact: a}}]}}]",
    "query": "[{query_parameter_value_match: {descriptor_value: q, query_parameters: [{name: q, string_match: {exact: '1'}}]}}]",
    "dest": "[{destination_cluster: {}}]",
    "qp": "[{query_parameters: {query_parameter_name: q, descriptor_key: q}}]",
    "any": "[{request_headers: {header_name: x-user, descriptor_key: any}}]",
    "empty": "[{request_headers: {header_name: x-none, descriptor_key: empty, skip_if_absent: true}}]",
}


def desc_routes(names):
    return "".join(f"- match: {{prefix: /{n}}}\n  route: {{cluster: {'b2' if n == 'dest' else 'b1'}, rate_limits: [{{actions: {ACTIONS[n]}}}]}}\n" for n in names)


NAMES = list(ACTIONS)
g.http("desc", desc_routes(NAMES) + "- match: {prefix: /multi}\n  route: {cluster: b1, rate_limits: [{actions: %s}, {actions: %s}, {stage: 1, actions: %s}]}\n" % (ACTIONS["generic"], ACTIONS["user"], ACTIONS["named"]) + ROUTE,
       filters=limit(f"{bucket(1000)}, {ON}, descriptors: [{DESCRIPTORS}], enable_x_ratelimit_headers: DRAFT_VERSION_03"), hcm="use_remote_address: true")
g.http("tight", desc_routes(["user", "generic"]) + ROUTE, filters=limit(f"{bucket(2)}, {ON}, descriptors: [{entry(5, ('user', 'a'))}], always_consume_default_token_bucket: false, enable_x_ratelimit_headers: DRAFT_VERSION_03"))
g.http("tight-always", desc_routes(["user"]) + ROUTE, filters=limit(f"{bucket(2)}, {ON}, descriptors: [{entry(5, ('user', 'a'))}], enable_x_ratelimit_headers: DRAFT_VERSION_03"))
burst(g, "all", "all", 4, "/x?y")
burst(g, "all.head", "all", 4, method="HEAD")
g.case("all.post-limited")(lambda t: [t.req("all") for _ in range(3)][2:] + [t.req("all", method="POST", body="abc"), t.req("all", method="POST", body="abc", chunked=True)])
burst(g, "shadow", "shadow", 3, headers=[("x-mine", "old")])
burst(g, "million", "million", 3)
burst(g, "low-status", "low-status", 2)
g.case("half")(lambda t: share([t.status("half") for _ in range(200)], {200: (0.33, 0.67), 429: (0.33, 0.67)}))


@g.case("refill")
def _(t):
    out = answers(t, "refill", 4)
    time.sleep(0.35)
    out += answers(t, "refill", 2)
    time.sleep(1.3)
    return out + answers(t, "refill", 4)


g.case("conn")(lambda t: [t.backends("conn", 4, conn=t.conn("conn")) for _ in range(2)])
burst(g, "nothing", "nothing", 3)
burst(g, "levels.default", "levels", 5)
burst(g, "levels.vhost", "levels", 3, host="own.test")
burst(g, "levels.route", "levels", 4, "/route", host="own.test")
burst(g, "levels.off", "levels", 3, "/off", host="own.test")
burst(g, "levels.weighted", "levels", 3, "/weighted", host="own.test")
burst(g, "levels.direct", "levels", 3, "/direct", host="own.test")
U = [("x-user", "a")]
for n in NAMES:
    burst(g, "desc." + n, "desc", 3, f"/{n}?q=1", U)
    burst(g, f"desc.{n}.other", "desc", 3, f"/{n}?q=2", [("x-user", "b")])
    burst(g, f"desc.{n}.none", "desc", 3, f"/{n}", ())
burst(g, "desc.two.exact", "desc", 4, "/two", U)
burst(g, "desc.addr.nine", "desc", 3, "/addr", source="127.0.0.9")
burst(g, "desc.multi", "desc", 4, "/multi", U)
burst(g, "desc.empty.header", "desc", 3, "/empty", [("x-none", "")])
burst(g, "desc.user.xff", "desc", 3, "/addr", [("x-forwarded-for", "127.0.0.9")])
burst(g, "tight.user", "tight", 5, "/user", U)
burst(g, "tight.generic", "tight", 4, "/generic")
burst(g, "tight-always.user", "tight-always", 5, "/user", U)


@g.case("grpc")
def _(t):
    return [t.req("low-status", headers=[("content-type", "application/grpc")]) for _ in range(3)][2]


# ---- tcp
g = Group("mix-tcp", "tcp")
for n in ("t1", "t2", "t3", "mute", "dead", "banner", "b1"):
    g.cluster(n)
g.cluster("pair", hosts=["t1", "t2"])
g.cluster("half-dead", hosts=["dead", "t1"])
g.cluster("few", hosts=["t1"], extra="circuit_breakers: {thresholds: [{max_connections: 1}]}")
g.cluster("empty", hosts=[])
LOG = ("%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %PROTOCOL% %RESPONSE_CODE% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS% %REQ(A)% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
       "%UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_RECEIVED% %DOWNSTREAM_WIRE_BYTES_SENT% %DOWNSTREAM_WIRE_BYTES_RECEIVED% %RESPONSE_FLAGS_LONG% %FILTER_CHAIN_NAME% %ACCESS_LOG_TYPE%")


def proxy(name, what, before="", log=LOG):
    access = f', access_log: [{{name: l, typed_config: {{"@type": {FILE}, path: "@tmp@/{name}.log", log_format: {{text_format_source: {{inline_string: {json.dumps(log + chr(10))}}}}}}}}}]'
    g.raw_listener(name, "- filters:\n" + before + f'  - name: tcp\n    typed_config: {{"@type": {TCP}, stat_prefix: {name}, {what}{access}}}\n')


def network_limit(n):
    return f'  - name: rl\n    typed_config: {{"@type": @T@filters.network.local_ratelimit.v3.LocalRateLimit, stat_prefix: net, {bucket(n)}}}\n'


proxy("plain", "cluster: t1")
proxy("pair", "cluster: pair")
proxy("half-dead", "cluster: half-dead, max_connect_attempts: 2")
proxy("dead", "cluster: dead")
proxy("none", "cluster: empty")
proxy("unknown", "weighted_clusters: {clusters: [{name: gone, weight: 1}]}")
proxy("weighted", "weighted_clusters: {clusters: [{name: t1, weight: 30}, {name: t2, weight: 70}]}")
proxy("idle", "cluster: mute, idle_timeout: 0.25s")
proxy("idle-echo", "cluster: t1, idle_timeout: 0.3s")
proxy("life", "cluster: mute, max_downstream_connection_duration: 0.3s")
proxy("few", "cluster: few")
proxy("banner", "cluster: banner")
proxy("http", "cluster: b1")
proxy("limited", "cluster: t1", network_limit(2))
proxy("json", "cluster: t1", log="%START_TIME(tcp)%|%BYTES_SENT%")


def line(name):
    """The log's new lines, once the connections of a case are closed."""
    def read(t, n):
        for c in t.open:
            c.close()
        return t.lines(name + ".log", 1, skip=n)
    return read


def session(name, port, *steps, wait=0.15):
    """text is sent, a float is slept, "rest" tells what came and whether the connection is open, "shut" ends our side, "reset" kills it."""
    @g.case(name)
    def _(t):
        n = t.count_lines(port + ".log")
        c = t.conn(port)
        out = []
        for s in steps:
            if s == "rest":
                d, st = c.rest(wait)
                out.append([d.decode("latin-1") if len(d) < 300 else digest(d), st])
            elif s == "shut":
                c.half_close()
            elif s == "reset":
                c.reset()
            elif isinstance(s, float):
                time.sleep(s)
            else:
                c.send(s)
        return out + line(port)(t, n)


session("echo", "plain", "a\n", "rest", "b\n", "rest")
session("shut", "plain", "a\n", "shut", "rest")
session("shut-at-once", "plain", "shut", "rest")
session("no-bytes", "plain", 0.1)
session("upstream-close", "plain", "close\n", "rest")
session("upstream-reset", "plain", "reset\n", "rest")
session("upstream-shut", "plain", "shut\n", "rest", "more\n", "rest", "shut", "rest")
session("reset", "plain", "a\n", 0.05, "reset")
session("push", "plain", "push 200000\n", "rest", "shut", "rest")
session("big", "plain", "sink\n" + "x" * 300000, "shut", "rest")
session("binary", "plain", b"\x00\xff\r\n\n", "rest", "shut", "rest")
session("dead", "dead", "rest")
session("dead.data", "dead", "hello\n", "rest")
session("none", "none", "rest")
session("unknown", "unknown", "x\n", "rest")
session("idle", "idle", "x", "rest", wait=1.0)
session("idle.silent", "idle", "rest", wait=1.0)
session("idle-echo.kept", "idle-echo", "a\n", 0.2, "b\n", 0.2, "c\n", "rest", "rest", wait=0.5)
session("idle-echo.half", "idle-echo", "a\n", "shut", "rest", wait=1.0)
session("life", "life", "x", "rest", wait=1.0)
session("banner", "banner", "rest", "a\n", "rest")
session("banner.shut", "banner", "shut", "rest")
session("http", "http", "GET /do/body=hi HTTP/1.0\r\n\r\n", "rest")
session("start-time", "json", "a\n", "rest")


@g.case("pair")
def _(t):
    out = []
    for _ in range(4):
        c = t.conn("pair")
        c.send("hi\n")
        out.append(c.rest(0.1)[0].decode()[:2])
    return sorted(out)


@g.case("half-dead")
def _(t):
    out = []
    for _ in range(4):
        c = t.conn("half-dead")
        c.send("hi\n")
        out.append([c.rest(0.15)[0].decode(), c.state(0.05)])
    return out


@g.case("weighted")
def _(t):
    out = []
    for _ in range(200):
        c = t.conn("weighted")
        c.send("x\n")
        out.append(c.until(b":", time.monotonic() + 2).decode())
        c.close()
    return share(out, {"t1": (0.17, 0.43), "t2": (0.57, 0.83)})


@g.case("few")
def _(t):
    n = t.count_lines("few.log")
    a, b = t.conn("few"), t.conn("few")
    a.send("x\n")
    first = a.rest(0.15)
    second = b.rest(0.3)
    a.close()
    time.sleep(0.1)
    c = t.conn("few")
    c.send("y\n")
    third = c.rest(0.15)
    c.close()
    t.lines("few.log", 3, skip=n)
    return [[d.decode(), s] for d, s in (first, second, third)] + t.lines("few.log", 3, skip=n)


@g.case("limited")
def _(t):
    out = []
    for _ in range(4):
        c = t.conn("limited")
        c.send("x\n")
        d, s = c.rest(0.15)
        out.append([d.decode(), s])
    return out


# ---- access logs
g = Group("mix-log", "access log")
for n in ("b1", "b2", "dead", "mute"):
    g.cluster(n)
g.cluster("none", hosts=[])
ROUTES = """
- name: slow
  match: {prefix: /slow}
  route: {cluster: b1, timeout: 0.15s}
- name: direct
  match: {prefix: /direct}
  direct_response: {status: 299, body: {inline_string: hello}}
- match: {prefix: /redirect}
  redirect: {path_redirect: /x}
- name: the dead
  match: {prefix: /dead}
  route: {cluster: dead}
- match: {prefix: /none}
  route: {cluster: none}
- match: {prefix: /gone}
  route: {cluster_header: x-c}
- match: {prefix: /rw}
  route: {cluster: b1, prefix_rewrite: /new, host_rewrite_literal: new.test}
  request_headers_to_add: [{header: {key: x-added, value: up}}]
  response_headers_to_add: [{header: {key: x-added, value: down}}]
- match: {prefix: /up}
  route: {cluster: b1}
"""
TEXTS = {
    "req": "%REQ(:METHOD)%|%REQ(:PATH)%|%REQ(:AUTHORITY)%|%REQ(host)%|%REQ(:scheme)%|%REQ(X-A)%|%REQ(x-a?x-b)%|%REQ(x-n?x-b):2%|%REQ(x-e)%|%REQ(x-added)%|%REQ(USER-AGENT)%|%REQ(x-forwarded-proto)%|%REQ(content-length)%|%REQ(x-envoy-original-path)%|%REQ(x-request-id):0%",
    "resp": "%RESP(:STATUS)%|%RESP(content-type)%|%RESP(CONTENT-LENGTH)%|%RESP(x-added)%|%RESP(x-n?x-backend)%|%RESP(x-multi)%|%RESP(x-none)%|%RESP(location)%|%TRAILER(x-t)%|%TRAILER(x-t?x-u):1%|%RESP(vary)%",
    "codes": "%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_FLAGS_LONG%|%RESPONSE_CODE_DETAILS%|%CONNECTION_TERMINATION_DETAILS%|%UPSTREAM_TRANSPORT_FAILURE_REASON%|%PROTOCOL%|%UPSTREAM_PROTOCOL%",
    "bytes": "%BYTES_RECEIVED%|%BYTES_SENT%|%DOWNSTREAM_WIRE_BYTES_RECEIVED%|%DOWNSTREAM_HEADER_BYTES_RECEIVED%|%UPSTREAM_WIRE_BYTES_RECEIVED%|%UPSTREAM_HEADER_BYTES_RECEIVED%",
    "who": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_ADDRESS%|%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_PORT%|%UPSTREAM_HOST%|%UPSTREAM_CLUSTER%|%UPSTREAM_CLUSTER_RAW%|%UPSTREAM_REMOTE_ADDRESS%|%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%UPSTREAM_REMOTE_PORT%|%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%|%UPSTREAM_HOST_NAME%|%UPSTREAM_HOST_NAME_WITHOUT_PORT%|%DOWNSTREAM_TRANSPORT_FAILURE_REASON%|%REQUESTED_SERVER_NAME%|%UPSTREAM_REQUEST_ATTEMPT_COUNT%|%DOWNSTREAM_TLS_VERSION%|%DOWNSTREAM_PEER_SUBJECT%|%UPSTREAM_TLS_VERSION%",
    "misc": "%ROUTE_NAME%|%VIRTUAL_CLUSTER_NAME%|%FILTER_CHAIN_NAME%|%ACCESS_LOG_TYPE%|%DYNAMIC_METADATA(a:b)%|%FILTER_STATE(x)%|%CLUSTER_METADATA(a)%|%UPSTREAM_METADATA(a:b)%|%ENVIRONMENT(NO_SUCH)%|%METADATA(ROUTE:a:b)%|%QUERY_PARAM(q)%|%QUERY_PARAM(q):2%|%PATH(NQ:ORIG)%|%PATH(WQ)%|%PATH(WQ:PATH):4%|100%%|%START_TIME(just text)%",
    "times": "%DURATION%|%REQUEST_DURATION%|%RESPONSE_DURATION%|%RESPONSE_TX_DURATION%|%REQUEST_TX_DURATION%|%COMMON_DURATION(DS_RX_BEG:DS_RX_END:ms)%|%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%|%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%|%START_TIME%|%START_TIME(%Y-%m)%|%START_TIME(%s)%|%START_TIME(%s.%3f)%|%START_TIME(%f)%|%EMIT_TIME%|%START_TIME_LOCAL%",
}
JSON = {
    "text": "%REQ(:PATH)% and %RESPONSE_CODE%", "number": "%RESPONSE_CODE%", "bytes": "%BYTES_SENT%", "missing": "%REQ(x-none)%", "flags": "%RESPONSE_FLAGS%", "two": "%RESPONSE_CODE%%BYTES_SENT%", "literal": "plain",
    "nested": {"host": "%REQ(HOST)%", "deep": {"port": "%DOWNSTREAM_LOCAL_PORT%"}}, "list": ["%PROTOCOL%", "%REQ(x-a)%", "x"], "n": 5, "b": True, "upstream": "%UPSTREAM_CLUSTER%", "attempt": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "quote": "%REQ(x-q)%", "empty": "%REQ(x-e)%", "meta": "%DYNAMIC_METADATA(a)%",
}


def loggers(items):
    return "access_log:\n" + "".join(items)


def text_log(file, text, filt="", omit=False):
    return (f"- name: l\n" + (f"  filter: {filt}\n" if filt else "") +
            f'  typed_config: {{"@type": {FILE}, path: "@tmp@/{file}.log", log_format: {{{"omit_empty_values: true, " if omit else ""}text_format_source: {{inline_string: {json.dumps(text + chr(10))}}}}}}}\n')


def json_log(file, fmt, options=""):
    return f'- name: l\n  typed_config: {{"@type": {FILE}, path: "@tmp@/{file}.log", log_format: {{{options}json_format: {json.dumps(fmt)}}}}}\n'


g.http("text", ROUTES, hcm="use_remote_address: true\n" + loggers([text_log("text-" + n, x) for n, x in TEXTS.items()] + [text_log("text-omit", TEXTS["req"] + TEXTS["who"], omit=True), json_log("text-json", JSON), json_log("text-json-omit", JSON, "omit_empty_values: true, "), json_log("text-json-sorted", JSON, "json_format_options: {sort_properties: true}, ")]))
FILES = ["text-" + n for n in TEXTS if n != "times"] + ["text-omit", "text-json", "text-json-omit", "text-json-sorted"]
REQUESTS = {
    "up": dict(path="/up?q=val&r", headers=[("x-a", "1"), ("x-b", "abc"), ("x-e", ""), ("x-do", "body=hello;hdr=x-multi:1;hdr=x-multi:2;hdr=vary:a;hdr=vary:b"), ("x-q", 'a"b\\c\t\xe9')]),
    "post": dict(path="/up", method="POST", body="12345", headers=[("x-do", "body=hello;chunked"), ("user-agent", "me")]),
    "chunked": dict(path="/up", method="PUT", body=["123", "45"], chunked=True, headers=[("x-do", "body=hello;trailer=x-t:tail;trailer=x-u:2")]),
    "head": dict(path="/up", method="HEAD", headers=[("x-do", "body=hello")]),
    "rewritten": dict(path="/rw/a?b", headers=[("x-do", "body=hello"), ("x-forwarded-for", "1.2.3.4")]),
    "direct": dict(path="/direct?q=x"),
    "redirect": dict(path="/redirect"),
    "dead": dict(path="/dead"),
    "none": dict(path="/none"),
    "gone": dict(path="/gone"),
    "gone-named": dict(path="/gone", headers=[("x-c", "zzz")]),
    "no-route": dict(path="/zzz"),
    "slow": dict(path="/slow", headers=[("x-do", "delay=300;body=x")]),
    "slow-streaming": dict(path="/slow", headers=[("x-do", "slow=4,100")]),
    "close": dict(path="/up", headers=[("x-do", "close")]),
    "reset": dict(path="/up", headers=[("x-do", "reset")]),
    "partial": dict(path="/up", headers=[("x-do", "partial=3;body=abcdef")]),
    "500": dict(path="/up", headers=[("x-do", "status=500;body=bad")]),
    "204": dict(path="/up", headers=[("x-do", "status=204")]),
    "close-header": dict(path="/up", headers=[("connection", "close"), ("x-do", "body=ok")]),
    "bad-host": dict(path="/up", host="a b"),
    "no-host": dict(path="/up", host=None),
    "1.0": dict(path="/up", version="1.0"),
    "big": dict(path="/up", headers=[("x", "y" * 70000)]),
    "upgrade": dict(path="/up", headers=[("connection", "upgrade"), ("upgrade", "websocket")]),
    "connect": dict(path="a:1", method="CONNECT"),
}
for name, kw in REQUESTS.items():
    @g.case("text." + name)
    def _(t, kw=kw):
        before = {f: t.count_lines(f + ".log") for f in FILES}
        t.req("text", **kw)
        return {f: t.lines(f + ".log", 1, skip=n) for f, n in before.items()}
for name, raw in {"line": "BAD\r\n\r\n", "length": "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", "both": "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunk": "POST /up HTTP/1.1\r\nHost: h\r\nX-Do: body=x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "te": "POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "abort": "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n12", "early": "GET /slow HTTP/1.1\r\nHost: h\r\nX-Do: delay=100\r\n\r\n"}.items():
    @g.case("raw." + name)
    def _(t, raw=raw, name=name):
        before = {f: t.count_lines(f + ".log") for f in ("text-codes", "text-req", "text-misc")}
        c = t.conn("text")
        c.send(raw)
        if name in ("abort", "early"):
            time.sleep(0.05)
            c.close()
        else:
            c.state(1.0)
        return {f: t.lines(f + ".log", 1, skip=n) for f, n in before.items()}


@g.case("times")
def _(t):
    n = t.count_lines("text-times.log")
    t.req("text", path="/up", headers=[("x-do", "delay=20;body=x")])
    with_numbers = t.lines("text-times.log", 1, skip=n)
    return [re.sub(r"\d+", "N", x) for x in with_numbers]


FILTERS = {
    "ge": "{status_code_filter: {comparison: {op: GE, value: {default_value: 400, runtime_key: k}}}}",
    "le": "{status_code_filter: {comparison: {op: LE, value: {default_value: 204, runtime_key: k}}}}",
    "eq": "{status_code_filter: {comparison: {op: EQ, value: {default_value: 404, runtime_key: k}}}}",
    "ne": "{status_code_filter: {comparison: {op: NE, value: {default_value: 200, runtime_key: k}}}}",
    "duration": "{duration_filter: {comparison: {op: GE, value: {default_value: 60, runtime_key: k}}}}",
    "duration-le": "{duration_filter: {comparison: {op: LE, value: {default_value: 60, runtime_key: k}}}}",
    "header": "{header_filter: {header: {name: x-log, string_match: {prefix: 'y'}}}}",
    "header-not": "{header_filter: {header: {name: x-log, present_match: true, invert_match: true}}}",
    "flag": "{response_flag_filter: {flags: [NR, UF, UT]}}",
    "flag-any": "{response_flag_filter: {}}",
    "and": "{and_filter: {filters: [{header_filter: {header: {name: x-log, present_match: true}}}, {status_code_filter: {comparison: {op: GE, value: {default_value: 300, runtime_key: k}}}}]}}",
    "or": "{or_filter: {filters: [{response_flag_filter: {flags: [DPE]}}, {header_filter: {header: {name: ':method', string_match: {exact: POST}}}}, {and_filter: {filters: [{not_health_check_filter: {}}, {status_code_filter: {comparison: {op: EQ, value: {default_value: 299, runtime_key: k}}}}]}}]}}",
    "none": "{runtime_filter: {runtime_key: k, percent_sampled: {numerator: 0}}}",
    "all": "{runtime_filter: {runtime_key: k, percent_sampled: {numerator: 100}}}",
    "health": "{not_health_check_filter: {}}",
    "grpc": "{grpc_status_filter: {statuses: [OK, UNAVAILABLE]}}",
    "grpc-not": "{grpc_status_filter: {statuses: [OK], exclude: true}}",
}
g.http("filters", ROUTES, hcm=loggers([text_log("f-" + n, f"%REQ(:PATH)% %RESPONSE_CODE%", f) for n, f in FILTERS.items()] + [text_log("f-end", "end %REQ(:PATH)%")]))


@g.case("filters")
def _(t):
    t.req("filters", path="/up?200", headers=[("x-do", "body=x"), ("x-log", "yes")])
    t.req("filters", path="/up?204", headers=[("x-do", "status=204")])
    t.req("filters", path="/up?404", headers=[("x-do", "status=404"), ("x-log", "no")])
    t.req("filters", path="/up?500", headers=[("x-do", "status=500"), ("x-log", "y")], method="POST", body="x")
    t.req("filters", path="/up?delay", headers=[("x-do", "delay=100;body=x")])
    t.req("filters", path="/direct")
    t.req("filters", path="/zzz", headers=[("x-log", "yes")])
    t.req("filters", path="/dead")
    t.req("filters", path="/slow", headers=[("x-do", "delay=300")])
    t.req("filters", path="/up?grpc", headers=[("content-type", "application/grpc"), ("x-do", "body=x;hdr=grpc-status:0")])
    t.req("filters", path="/up?grpc14", headers=[("content-type", "application/grpc"), ("x-do", "body=x;hdr=grpc-status:14")])
    t.req("filters", path="/dead?grpc", headers=[("content-type", "application/grpc")])
    t.req("filters", path="/up?bad", host="a b")
    t.lines("f-end.log", 13)
    time.sleep(0.2)
    return {n: t.lines(f"f-{n}.log", 0) for n in FILTERS}

g.http("limited", "- match: {prefix: /direct}\n  direct_response: {status: 200}\n- match: {prefix: /}\n  route: {cluster: b1, timeout: 1s}\n", filters=limit(f"{bucket(1)}, {ON}"), hcm=loggers([text_log("limited", "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %ROUTE_NAME% %BYTES_SENT% %REQ(x-envoy-expected-rq-timeout-ms)% %UPSTREAM_REQUEST_ATTEMPT_COUNT%")]))


@g.case("limited")
def _(t):
    n = t.count_lines("limited.log")
    for path in ("/direct", "/a", "/direct", "/b"):
        t.req("limited", path=path)
    return t.lines("limited.log", 4, skip=n)
