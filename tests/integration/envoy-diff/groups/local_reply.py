"""What becomes of the answers that the proxy makes itself: local_reply_config."""

from lib.case import Group

CAT = "routing: local replies"

ROUTES = """
- match: {prefix: /direct}
  direct_response: {status: 200, body: {inline_string: direct}}
- match: {prefix: /redirect}
  redirect: {path_redirect: /there}
- match: {prefix: /dead}
  route: {cluster: dead}
- match: {prefix: /none}
  route: {cluster: none}
- match: {prefix: /slow}
  route: {cluster: b1, timeout: 0.15s}
- match: {prefix: /typed}
  direct_response: {status: 201, body: {inline_string: typed}}
  response_headers_to_add:
  - {header: {key: content-type, value: text/route}}
  - {header: {key: x-route, value: "%RESPONSE_CODE%"}}
- match: {prefix: /bare}
  direct_response: {status: 202}
  response_headers_to_add: [{header: {key: content-type, value: text/route}}]
- match: {prefix: /formatted}
  direct_response: {status: 200, body: {inline_string: "in"}, body_format: {text_format: "[%LOCAL_REPLY_BODY%]"}}
- match: {prefix: /up}
  route: {cluster: b1}
- match: {prefix: /limited}
  route: {cluster: b1}
  typed_per_filter_config:
    envoy.filters.http.local_ratelimit:
      "@type": @T@filters.http.local_ratelimit.v3.LocalRateLimit
      stat_prefix: l
      token_bucket: {max_tokens: 1, tokens_per_fill: 1, fill_interval: 3600s}
      filter_enabled: {default_value: {numerator: 100}}
      filter_enforced: {default_value: {numerator: 100}}
- match: {prefix: /cors}
  route: {cluster: b1}
  typed_per_filter_config:
    envoy.filters.http.cors:
      "@type": @T@filters.http.cors.v3.CorsPolicy
      allow_origin_string_match: [{exact: "http://a.test"}]
      allow_methods: GET
- match: {prefix: /fault}
  route: {cluster: b1}
  typed_per_filter_config:
    envoy.filters.http.fault:
      "@type": @T@filters.http.fault.v3.HTTPFault
      abort: {http_status: 555, percentage: {numerator: 100}}
"""
FILTERS = """
- name: envoy.filters.http.cors
  typed_config: {"@type": @T@filters.http.cors.v3.Cors}
- name: envoy.filters.http.fault
  typed_config: {"@type": @T@filters.http.fault.v3.HTTPFault}
- name: envoy.filters.http.local_ratelimit
  typed_config:
    "@type": @T@filters.http.local_ratelimit.v3.LocalRateLimit
    stat_prefix: l
"""
LOG = """
access_log:
- name: f
  typed_config:
    "@type": @T@access_loggers.file.v3.FileAccessLog
    path: "@tmp@/NAME.log"
    log_format: {text_format_source: {inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_SENT% %RESP(content-type)% %RESP(x-mapped)% %RESP(:status)% %LOCAL_REPLY_BODY%|\\n"}}
"""
PATHS = ("direct", "redirect", "dead", "none", "slow", "typed", "bare", "formatted", "up", "limited", "fault", "nothing")


def replies(name, config, more=()):
    g = Group("reply-" + name, CAT)
    g.cluster("b1")
    g.cluster("dead")
    g.cluster("none", [])
    hcm = "local_reply_config:\n" + "".join("  " + x + "\n" for x in config.strip("\n").split("\n"))
    g.http("d", ROUTES, filters=FILTERS, hcm=hcm + LOG.replace("NAME", name) + "upgrade_configs: [{upgrade_type: none}]\nrequest_headers_timeout: 0.3s\n")

    def logged(case, fn):
        @g.case(case)
        def _(t):
            had = t.count_lines(name + ".log")
            r = fn(t)
            return [r, t.lines(name + ".log", skip=had)]

    def one(case, *a, **kw):
        logged(case, lambda t: t.req("d", *a, **kw))

    for p in PATHS:
        if p == "limited":
            logged(p, lambda t: [t.status("d", "/limited", [("x-do", "status=201")]), t.req("d", path="/limited")][1])
            continue
        one(p, path="/" + p, headers=[("x-do", {"slow": "delay=400", "up": "status=201"}[p])] if p in ("slow", "up") else [])
        if p not in ("slow", "up"):
            one(p + ".head", "HEAD", "/" + p)
            one(p + ".map", path="/" + p, headers=[("x-map", "1")])
        if p in ("dead", "nothing", "fault", "none", "direct"):
            one(p + ".grpc", "POST", "/" + p, headers=[("content-type", "application/grpc")])
            one(p + ".grpc-map", "POST", "/" + p, headers=[("content-type", "application/grpc"), ("x-map", "1")])
    one("up-503", path="/up", headers=[("x-do", "status=503")])
    one("post", "POST", "/nothing", body="12345")
    one("upgrade", path="/up", headers=[("connection", "upgrade"), ("upgrade", "other")])
    one("connect", "CONNECT", "h.test:80")
    one("preflight", "OPTIONS", "/cors", headers=[("origin", "http://a.test"), ("access-control-request-method", "GET")])
    one("preflight.map", "OPTIONS", "/cors", headers=[("origin", "http://a.test"), ("access-control-request-method", "GET"), ("x-map", "1")])
    one("bad-host", path="/up", host="a b")
    one("fragment", path="/up#x")
    one("fragment.map", path="/up#x", headers=[("x-map", "1")])
    one("chunked-bad", "POST", "/up", headers=[("transfer-encoding", "gzip")])
    one("too-big", path="/up", headers=[("x", "y" * 70000)])

    def raw(case, *text):
        def go(t):
            c = t.conn("d")
            for x in text:
                c.send(x)
            return t.answer(c)

        logged(case, go)

    raw("no-host", "GET /up HTTP/1.1\r\n\r\n")
    raw("no-host.map", "GET /up HTTP/1.1\r\nx-map: 1\r\n\r\n")
    raw("bad-method", "NONE /up HTTP/1.1\r\nhost: a\r\n\r\n")
    raw("bad-chunk", "POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
    raw("late-head", "GET /up HTTP/1.1\r\nhost: a\r\n")
    raw("head.bad", "HEAD /up HTTP/1.1\r\nhost: a b\r\n\r\n")


MAP = '{header_filter: {header: {name: x-map, string_match: {exact: "1"}}}}'


def status(op, value):
    return "{status_code_filter: {comparison: {op: %s, value: {default_value: %d, runtime_key: k}}}}" % (op, value)


replies("empty", "mappers: []\n")
replies("plain", f"""
mappers:
- filter: {MAP}
  body: {{inline_string: ""}}
  headers_to_add:
  - {{header: {{key: x-mapped, value: first}}}}
- filter: {status("EQ", 404)}
  status_code: 410
  body: {{inline_string: "gone %REQ(:PATH)%"}}
  headers_to_add:
  - {{header: {{key: x-mapped, value: "%RESPONSE_CODE% %RESP(:status)% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %ROUTE_NAME% %REQ(:METHOD)%"}}}}
- filter: {status("GE", 503)}
  headers_to_add:
  - {{header: {{key: content-type, value: text/mapped}}}}
  - {{header: {{key: x-mapped, value: "%RESPONSE_FLAGS%"}}}}
- filter: {status("LE", 201)}
  status_code: 299
- filter: {status("NE", 1)}
  headers_to_add:
  - {{header: {{key: x-mapped, value: rest}}}}
""")
replies("json", f"""
mappers:
- filter: {MAP}
  body: {{inline_string: "a \\"quoted\\" body\\n"}}
  headers_to_add:
  - {{header: {{key: x-mapped, value: "%RESP(content-type)%"}}}}
body_format:
  json_format:
    status: "%RESPONSE_CODE%"
    text: "code %RESPONSE_CODE%"
    message: "%LOCAL_REPLY_BODY%"
    flags: "%RESPONSE_FLAGS%"
    path: "%REQ(:path)%"
    a-list: [1, "%REQ(none)%", true, null]
    inner: {{method: "%REQ(:method)%", type: "%RESP(content-type)%", "none": "%REQ(none)%"}}
""")
replies("json-type", f"""
mappers:
- filter: {MAP}
  status_code: 200
  body_format_override:
    text_format: "<p>%LOCAL_REPLY_BODY%</p>%RESP(x-mapped)%\\n"
    content_type: text/html
  headers_to_add:
  - {{header: {{key: x-mapped, value: "1"}}}}
- filter: {{response_flag_filter: {{}}}}
  body_format_override: {{json_format: {{flags: "%RESPONSE_FLAGS%", none: "%REQ(none)%"}}, omit_empty_values: true}}
body_format:
  omit_empty_values: true
  json_format: {{none: "%REQ(none)%", method: "%REQ(:method)%", message: "%LOCAL_REPLY_BODY%"}}
  content_type: application/problem+json
""")
replies("flags", f"""
mappers:
- filter: {{response_flag_filter: {{flags: [NR]}}}}
  status_code: 599
  body: {{inline_string: "no route"}}
- filter: {{response_flag_filter: {{flags: [UH, UF, UT]}}}}
  body: {{inline_bytes: "AAEC"}}
- filter: {{response_flag_filter: {{flags: [DPE]}}}}
  status_code: 401
  body: {{inline_string: "protocol"}}
- filter: {{and_filter: {{filters: [{status("GE", 400)}, {{not_health_check_filter: {{}}}}, {MAP}]}}}}
  body: {{inline_string: "and"}}
- filter: {{or_filter: {{filters: [{status("EQ", 429)}, {status("EQ", 555)}]}}}}
  body: {{inline_string: "or"}}
- filter: {{runtime_filter: {{runtime_key: none, percent_sampled: {{numerator: 0}}}}}}
  body: {{inline_string: "never"}}
- filter: {{duration_filter: {{comparison: {{op: GE, value: {{default_value: 60000, runtime_key: k}}}}}}}}
  body: {{inline_string: "late"}}
- filter: {{header_filter: {{header: {{name: host, present_match: true, invert_match: true}}}}}}
  body: {{inline_string: "no host"}}
- filter: {{header_filter: {{header: {{name: ":method", string_match: {{exact: HEAD}}}}}}}}
  headers_to_add: [{{header: {{key: x-mapped, value: head}}}}]
- filter: {{runtime_filter: {{runtime_key: always, percent_sampled: {{numerator: 100}}}}}}
  headers_to_add:
  - {{header: {{key: x-mapped, value: rest}}}}
  - {{header: {{key: x-mapped, value: more}}, append_action: APPEND_IF_EXISTS_OR_ADD}}
  - {{header: {{key: x-route, value: over}}, append_action: OVERWRITE_IF_EXISTS}}
  - {{header: {{key: location, value: "/elsewhere"}}, append_action: OVERWRITE_IF_EXISTS}}
  - {{header: {{key: x-absent, value: "%REQ(none)%"}}, keep_empty_value: true}}
""")
