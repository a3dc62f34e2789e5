"""Access log lines before the end: on start, when connected, from time to time; and filters on types and metadata."""

import time

from lib.case import Group, T
from lib.client import request

CAT = "access log"
TEXT = "%ACCESS_LOG_TYPE% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:PATH)% %ROUTE_NAME% %UPSTREAM_HOST%\\n"


def log(name, filter="", text=TEXT):
    return (f"- name: f\n" + (f"  filter: {filter}\n" if filter else "") +
            f"  typed_config:\n    \"@type\": {T}access_loggers.file.v3.FileAccessLog\n    path: \"@tmp@/{name}.log\"\n"
            f"    log_format: {{text_format_source: {{inline_string: \"{text}\"}}}}\n")


def pad(text, n):
    return "".join(" " * n + x + "\n" for x in text.strip("\n").split("\n"))


ROUTES = """
- match: {prefix: /up}
  route: {cluster: b1}
  name: up
- match: {prefix: /ws}
  route: {cluster: b1, upgrade_configs: [{upgrade_type: websocket}]}
  name: ws
- match: {prefix: /dead}
  route: {cluster: dead}
- match: {prefix: /direct}
  direct_response: {status: 200, body: {inline_string: d}}
- match: {prefix: /redirect}
  redirect: {path_redirect: /x}
"""
TYPES = ("DownstreamStart", "DownstreamEnd", "DownstreamTunnelSuccessfullyEstablished")


def http(name, options):
    g = Group("log-when-" + name, CAT)
    g.cluster("b1")
    g.cluster("dead")
    logs = log(name)
    for k, f in FILTERS.items():
        logs += log(f"{name}-{k}", f, "%ACCESS_LOG_TYPE% %REQ(:PATH)%\\n")
    g.http("l", ROUTES, hcm="access_log:\n" + logs + options)

    def logged(case, fn, wait=0.0, lines=1):
        @g.case(case)
        def _(t):
            names = [name] + [f"{name}-{k}" for k in FILTERS]
            had = {n: t.count_lines(n + ".log") for n in names}
            r = fn(t)
            t.lines(name + ".log", lines, skip=had[name])
            return [r, {n: t.no_lines(n + ".log", had[n], 0.1 if n == name else 0.0) for n in names}]

    for p in ("up", "dead", "direct", "redirect", "nothing"):
        logged(p, lambda t, p=p: t.req("l", path="/" + p), lines=2)
    logged("post", lambda t: t.req("l", "POST", "/up", body="12345"), lines=2)
    logged("bad-host", lambda t: t.req("l", path="/up", host="a b"))
    logged("fragment", lambda t: t.req("l", path="/up#x"))
    logged("refused-upgrade", lambda t: t.req("l", path="/up", headers=[("connection", "upgrade"), ("upgrade", "websocket")]), lines=2)

    def ws(t):
        c = t.conn("l")
        c.send("GET /ws HTTP/1.1\r\nhost: h.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-do: upgrade\r\n\r\n")
        r = t.answer(c)
        time.sleep(0.1)
        c.close()
        return r.get("status")

    logged("tunnel", ws, lines=2)


FILTERS = {
    "start": "{log_type_filter: {types: [DownstreamStart]}}",
    "end": "{log_type_filter: {types: [DownstreamEnd, TcpConnectionEnd]}}",
    "not-end": "{log_type_filter: {types: [DownstreamEnd], exclude: true}}",
    "none": "{log_type_filter: {}}",
    "all": "{log_type_filter: {exclude: true}}",
    "meta": '{metadata_filter: {matcher: {filter: a, path: [{key: b}], value: {string_match: {exact: c}}}}}',
    "meta-not": '{metadata_filter: {matcher: {filter: a, path: [{key: b}], value: {bool_match: true}}, match_if_key_not_found: false}}',
    "meta-invert": '{metadata_filter: {matcher: {filter: a, path: [{key: b}], value: {present_match: true}, invert: true}, match_if_key_not_found: true}}',
    "meta-empty": "{metadata_filter: {}}",
    "and": "{and_filter: {filters: [{log_type_filter: {types: [DownstreamEnd]}}, {metadata_filter: {match_if_key_not_found: true}}]}}",
}
http("end", "")
http("start", "access_log_options: {flush_access_log_on_new_request: true, flush_log_on_tunnel_successfully_established: true}\n")
http("old", "flush_access_log_on_new_request: true\n")


def times(name, options):
    g = Group("log-times-" + name, CAT)
    g.cluster("b1")
    g.http("l", "- match: {prefix: /}\n  route: {cluster: b1}\n", hcm="access_log:\n" + log(name, text="%ACCESS_LOG_TYPE% %RESPONSE_CODE% %REQ(:PATH)%\\n") + options)

    @g.case("slow")
    def _(t):
        had = t.count_lines(name + ".log")
        r = t.req("l", path="/x", headers=[("x-do", "delay=750")])
        return [r["status"], t.lines(name + ".log", 3, skip=had)]

    @g.case("fast")
    def _(t):
        had = t.count_lines(name + ".log")
        c = t.conn("l")
        out = []
        for _ in range(2):
            c.send(request("GET", "/y"))
            out.append(t.answer(c)["status"])
        time.sleep(0.5)
        return [out, t.lines(name + ".log", 2, skip=had)]


times("new", "access_log_options: {access_log_flush_interval: 0.3s}\n")
times("old", "access_log_flush_interval: 0.3s\n")


def tcp(name, options):
    g = Group("log-tcp-" + name, CAT)
    for c in ("t1", "dead"):
        g.cluster(c)
    text = "%ACCESS_LOG_TYPE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %UPSTREAM_CLUSTER%\\n"
    for port in ("t1", "dead"):
        g.raw_listener(port, f"""
- filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config:
      "@type": {T}filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: {port}
      cluster: {port}
      {options}
      access_log:
{pad(log(name, text=text) + log(name + '-filter', '{log_type_filter: {types: [TcpUpstreamConnected, TcpConnectionStart]}}', text), 6)}
""")

    @g.case("echo")
    def _(t):
        had = [t.count_lines(name + x + ".log") for x in ("", "-filter")]
        c = t.conn("t1")
        c.send(b"abc")
        c.rest(0.75)
        c.half_close()
        c.rest(0.3)
        c.close()
        return [t.lines(name + ".log", 1, skip=had[0]), time.sleep(0.2), t.lines(name + ".log", 1, skip=had[0]), t.no_lines(name + "-filter.log", had[1], 0.1)]

    @g.case("dead")
    def _(t):
        had = t.count_lines(name + ".log")
        c = t.conn("dead")
        time.sleep(0.3)
        c.close()
        return t.lines(name + ".log", 1, skip=had)


tcp("plain", "")
tcp("options", "access_log_options: {access_log_flush_interval: 0.3s, flush_access_log_on_connected: true, flush_access_log_on_start: true}")
tcp("connected", "flush_access_log_on_connected: true")
tcp("start", "access_log_options: {flush_access_log_on_start: true}")
