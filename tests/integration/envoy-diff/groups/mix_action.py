"""What a route does, in combination: rewrites, redirects, direct answers, weights, header changes at all levels, time-outs."""

from lib.case import Group
from lib.context import share

CAT = "routing"


def clusters(g):
    for n in ("b1", "b2", "b3"):
        g.cluster(n)
    g.cluster("dead")
    g.cluster("mute")
    g.cluster("none", hosts=[])


# ---- rewrites and redirects
g = Group("mix-rewrite", CAT)
clusters(g)
RX = "regex_rewrite: {{pattern: {{regex: '{}'}}, substitution: '{}'}}"
R0 = RX.format('^/swap/([^/]+)/([^/]+)(.*)$', '/\\2/\\1\\3')
R1 = RX.format('o', '00')
R2 = RX.format('(?i)FOO', 'bar')
R3 = RX.format('[a-z]+', '<\\0>')
R4 = RX.format('.*', '')
R5 = RX.format('/slash', '\\\\x')
g.http("w", f"""
- match: {{prefix: /p/}}
  route: {{cluster: b1, prefix_rewrite: /}}
- match: {{prefix: /pq}}
  route: {{cluster: b1, prefix_rewrite: "/n?added=1"}}
- match: {{path_separated_prefix: /sep}}
  route: {{cluster: b1, prefix_rewrite: /new}}
- match: {{path_separated_prefix: /base}}
  route: {{cluster: b1, prefix_rewrite: /}}
- match: {{path: /whole}}
  route: {{cluster: b1, prefix_rewrite: /other/whole}}
- match: {{safe_regex: {{regex: '/rx/.*'}}}}
  route: {{cluster: b1, prefix_rewrite: /gone}}
- match: {{prefix: /IC/, case_sensitive: false}}
  route: {{cluster: b1, prefix_rewrite: /ci/}}
- match: {{prefix: /swap/}}
  route: {{cluster: b1, {R0}}}
- match: {{prefix: /all/}}
  route: {{cluster: b1, {R1}}}
- match: {{prefix: /case/}}
  route: {{cluster: b1, {R2}}}
- match: {{prefix: /whole0/}}
  route: {{cluster: b1, {R3}}}
- match: {{prefix: /empty/}}
  route: {{cluster: b1, {R4}}}
- match: {{prefix: /slash/}}
  route: {{cluster: b1, {R5}}}
- match: {{prefix: /h/lit}}
  route: {{cluster: b1, host_rewrite_literal: "lit.test:8080"}}
- match: {{prefix: /h/header}}
  route: {{cluster: b1, host_rewrite_header: x-host}}
- match: {{prefix: /h/regex}}
  route: {{cluster: b1, host_rewrite_path_regex: {{pattern: {{regex: '^/h/regex/(.+?)(?:/.*)?$'}}, substitution: '\\1.test'}}}}
- match: {{prefix: /h/append}}
  route: {{cluster: b1, host_rewrite_literal: lit.test, append_x_forwarded_host: true}}
- match: {{prefix: /h/same}}
  route: {{cluster: b1, host_rewrite_literal: h.test, append_x_forwarded_host: true}}
- match: {{prefix: /r/host}}
  redirect: {{host_redirect: new.test}}
- match: {{prefix: /r/hostport}}
  redirect: {{host_redirect: "new.test:81", port_redirect: 82}}
- match: {{prefix: /r/port}}
  redirect: {{port_redirect: 8443}}
- match: {{prefix: /r/https-port}}
  redirect: {{https_redirect: true, port_redirect: 443}}
- match: {{prefix: /r/https}}
  redirect: {{https_redirect: true}}
- match: {{prefix: /r/scheme}}
  redirect: {{scheme_redirect: ftp, response_code: SEE_OTHER}}
- match: {{prefix: /r/path-query}}
  redirect: {{path_redirect: "/to?mine=1"}}
- match: {{prefix: /r/path-strip}}
  redirect: {{path_redirect: /to, strip_query: true, response_code: FOUND}}
- match: {{prefix: /r/path}}
  redirect: {{path_redirect: /to, response_code: TEMPORARY_REDIRECT}}
- match: {{prefix: /r/prefix/}}
  redirect: {{prefix_rewrite: /q/, response_code: PERMANENT_REDIRECT}}
- match: {{prefix: /r/regex}}
  redirect: {{regex_rewrite: {{pattern: {{regex: '/r/regex/(\\d+)'}}, substitution: '/n/\\1'}}, strip_query: true}}
- match: {{prefix: /r/added}}
  redirect: {{host_redirect: a.test}}
  response_headers_to_add: [{{header: {{key: x-why, value: "moved %REQ(:PATH)% %RESPONSE_CODE%"}}}}, {{header: {{key: location, value: "http://mine/"}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]
- match: {{prefix: /r/}}
  redirect: {{}}
- match: {{prefix: /up/}}
  route: {{cluster: b1, regex_rewrite: {{pattern: {{regex: '^/up'}}, substitution: ''}}, host_rewrite_literal: "x.%REQ(x-host)%"}}
""")
for i, p in enumerate((
    "/p/", "/p/a?b", "/p//a", "/p/#f", "/pq", "/pq?a=2", "/pqr/s?t", "/sep", "/sep?q", "/sep/", "/sep/x/y?z", "/base", "/base/a", "/base?x", "/whole?x=/whole", "/rx/abc/d?e",
    "/ic/a", "/Ic/b?IC", "/swap/a/b/c?d=/swap/", "/swap/a", "/all/foo/oo?o=o", "/case/fOo/FOO", "/whole0/a1b?z", "/empty/a?b", "/slash/a", "/up/x", "/up//",
    "/h/lit", "/h/regex/a.b?c", "/h/regex/a/b", "/h/regex/", "/h/append", "/h/same",
)):
    g.get(f"rewrite.{i}", "w", p)
g.get("h.header", "w", "/h/header", [("x-host", "from.header:99")])
g.get("h.header-missing", "w", "/h/header")
g.get("h.header-empty", "w", "/h/header", [("x-host", "")])
g.get("h.header-two", "w", "/h/header", [("x-host", "a.test"), ("x-host", "b.test")])
g.get("h.append-more", "w", "/h/append", [("x-forwarded-host", "old.test")])
g.get("h.literal-format", "w", "/up/z", [("x-host", "y")])
for i, (p, h) in enumerate((
    ("/r/host/a?b", "h.test"), ("/r/host/a?b", "h.test:8080"), ("/r/hostport", "h.test"), ("/r/port?x", "h.test:1"), ("/r/port", "[::1]:80"), ("/r/port", "[::1]"),
    ("/r/https-port", "h.test:80"), ("/r/https", "h.test:80"), ("/r/https", "h.test:443"), ("/r/https", "h.test:8080"), ("/r/scheme", "h.test"), ("/r/path-query?b=2", "h.test"), ("/r/path-strip?a", "h.test"),
    ("/r/path?a=1#f", "h.test"), ("/r/path#f", "h.test"), ("/r/prefix/x/y?z", "h.test"), ("/r/regex/12/34?x", "h.test"), ("/r/regex/ab", "h.test"), ("/r/added", "h.test"), ("/r/", "h.test"), ("/r/x?", "H.Test"),
    ("http://other.test:80/r/port?x", "h.test"), ("/r/host/%0d%0a\xe9", "h.test"),
)):
    g.get(f"redirect.{i}", "w", p, host=h)
g.get("redirect.head", "w", "/r/host", method="HEAD")
g.get("redirect.post-body", "w", "/r/host", method="POST", body="abc")
g.get("redirect.https-forwarded", "w", "/r/https", [("x-forwarded-proto", "https")], host="h.test:443")

# ---- direct answers, errors, local replies
DIRECT = """
- match: {prefix: /empty}
  direct_response: {status: 200}
- match: {prefix: /204}
  direct_response: {status: 204, body: {inline_string: nobody}}
- match: {prefix: /304}
  direct_response: {status: 304}
- match: {prefix: /503}
  direct_response: {status: 503, body: {inline_bytes: "AGFiYw=="}}
- match: {prefix: /599}
  direct_response: {status: 599, body: {inline_string: "odd\\n"}}
- match: {prefix: /201}
  direct_response: {status: 201, body: {inline_string: "{}"}}
  response_headers_to_add:
  - {header: {key: content-type, value: application/json}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - {header: {key: x-two, value: "1"}}
  - {header: {key: x-two, value: "2"}}
  - {header: {key: content-length, value: "99"}}
  response_headers_to_remove: [server, date]
- match: {prefix: /type}
  direct_response: {status: 200, body: {inline_string: "<p>"}}
  response_headers_to_add:
  - {header: {key: Content-Type, value: text/html}}
- match: {prefix: /format}
  direct_response: {status: 200, body: {inline_string: "%REQ(:PATH)%"}}
  response_headers_to_add:
  - {header: {key: x-fmt, value: "%PROTOCOL% %REQ(X-None?X-Alt):3% %REQ(:METHOD)% %REQ(HOST)% %RESPONSE_CODE% %RESPONSE_FLAGS% %ROUTE_NAME% 100%%"}}
  - {header: {key: x-addr, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_ADDRESS%|%DOWNSTREAM_LOCAL_PORT%|%UPSTREAM_HOST%"}}
  - {header: {key: x-time-ok, value: "%START_TIME(x%%y)%"}}
  name: the-format
- match: {prefix: /dead}
  route: {cluster: dead}
- match: {prefix: /none}
  route: {cluster: none}
- match: {prefix: /unknown}
  route: {cluster_header: x-cluster, cluster_not_found_response_code: NOT_FOUND}
- match: {prefix: /slow}
  route: {cluster: b1, timeout: 0.15s}
- match: {prefix: /limited}
  route: {cluster: b1, max_stream_duration: {max_stream_duration: 0.2s}}
- match: {prefix: /mute}
  route: {cluster: mute, timeout: 0.15s}
- match: {prefix: /nocl}
  route: {cluster: b1}
"""
REPLIES = """
local_reply_config:
  mappers:
  - filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 504, runtime_key: a}}}}
    status_code: 500
    body: {inline_string: "was %RESPONSE_CODE% for %REQ(:PATH)%: "}
    body_format_override: {text_format_source: {inline_string: "<%LOCAL_REPLY_BODY%|%RESPONSE_CODE_DETAILS%>"}, content_type: "text/html; charset=UTF-8"}
    headers_to_add:
    - {header: {key: x-mapped, value: "%RESPONSE_FLAGS%"}}
  - filter: {header_filter: {header: {name: x-map, string_match: {exact: "1"}}}}
    status_code: 418
    headers_to_add:
    - {header: {key: x-mapped, value: by-header}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: server, value: mine}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - filter: {response_flag_filter: {flags: [UF, URX]}}
    body: {inline_string: "no upstream\\n"}
  body_format: {text_format: "%LOCAL_REPLY_BODY%:%RESPONSE_CODE%:%REQ(:METHOD)%\\n"}
"""


def local_replies(name, hcm):
    g = Group(name, CAT)
    clusters(g)
    g.http("d", DIRECT, hcm=hcm)
    for p in ("empty", "204", "304", "503", "599", "201", "type", "dead", "none", "unknown", "slow", "nothing", "mute"):
        g.get("d." + p, "d", "/" + p, [("x-do", "delay=400")] if p == "slow" else ())
        if p not in ("slow", "mute"):
            g.get(f"d.{p}.head", "d", "/" + p, method="HEAD")
            g.get(f"d.{p}.mapped", "d", "/" + p, [("x-map", "1")], method="DELETE")
    g.get("d.format", "d", "/format?x", [("x-alt", "abcdef")])
    g.get("d.post", "d", "/201", method="POST", body="12345")
    g.get("d.chunked", "d", "/empty", method="POST", body="12345", chunked=True)
    g.get("d.unknown-named", "d", "/unknown", [("x-cluster", "nobody")])
    g.get("d.unknown-good", "d", "/unknown", [("x-cluster", "b2")])
    g.get("d.limited", "d", "/limited", [("x-do", "delay=500")])
    g.get("d.limited-late", "d", "/limited", [("x-do", "slow=6,100")])
    g.get("d.upstream-504", "d", "/nocl", [("x-do", "status=504")])
    g.get("d.bad-host", "d", "/empty", host="a b")
    g.get("d.1.0", "d", "/empty", version="1.0")
    g.case("d.bad-line")(lambda t: (lambda c: (c.send("GET /\r\n\r\n"), t.answer(c))[1])(t.conn("d")))
    g.case("d.big-header")(lambda t: t.req("d", path="/empty", headers=[("x", "y" * 70000)]))


local_replies("mix-direct", "")
local_replies("mix-local-reply", REPLIES)

# ---- header changes, all levels at once
g = Group("mix-headers", CAT)
clusters(g)


def add(key, value, action=None, keep=False):
    return f"{{header: {{key: {key}, value: {value!r}}}" + (f", append_action: {action}" if action else "") + (", keep_empty_value: true" if keep else "") + "}"


def both(adds, req_remove="", resp_remove=""):
    return (f"request_headers_to_add: [{', '.join(adds)}]\nresponse_headers_to_add: [{', '.join(adds)}]\n"
            f"request_headers_to_remove: [{req_remove}]\nresponse_headers_to_remove: [{resp_remove}]\n")


def pad(text, n):
    return "".join(" " * n + x + "\n" for x in text.strip().split("\n"))


A, O, N, X = "APPEND_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS"


def level(n):
    return both([
        add("x-append", n, A), add("x-over", n, O), add("x-absent", n, N), add("x-exists", n, X), add(f"X-Only-{n}", n),
        add("x-empty", "%REQ(x-nothing)%"), add("x-empty-kept", "%REQ(x-nothing)%", O, True), add("x-seen", f"{n}:%REQ(x-over)%:%RESP(x-over)%"), add("user-agent", n, N),
    ], f"x-rm-{n}, x-rm-all", f"x-rm-{n}, x-rm-all")


def levels(first):
    return dict(vhosts=f"""
- name: all
  domains: ['*']
{pad(level('vhost'), 2)}  routes:
  - match: {{prefix: /plain}}
    route: {{cluster: b1}}
  - match: {{prefix: /weighted}}
{pad(level('route'), 4)}    route:
      weighted_clusters:
        clusters:
        - name: b1
          weight: 1
          host_rewrite_literal: weighted.test
{pad(level('weight'), 10)}  - match: {{prefix: /direct}}
{pad(level('route'), 4)}    direct_response: {{status: 200, body: {{inline_string: d}}}}
  - match: {{prefix: /dead}}
{pad(level('route'), 4)}    route: {{cluster: dead}}
  - match: {{prefix: /}}
{pad(level('route'), 4)}    route: {{cluster: b1, prefix_rewrite: /new/, host_rewrite_literal: new.test}}
""", route_config=level("table") + f"most_specific_header_mutations_wins: {first}\n")


g.http("general", **levels("false"))
g.http("special", **levels("true"))
RM = [("x-rm-vhost", "1"), ("X-RM-Route", "1"), ("x-rm-table", "1"), ("x-rm-weight", "1"), ("x-rm-all", "1"), ("x-keep", "1")]
RESP = ";".join(f"hdr={n}:up" for n in ("x-append", "x-over", "x-absent", "x-exists", "x-rm-vhost", "x-rm-table", "x-rm-route", "x-rm-weight", "x-rm-all", "x-keep"))
for port in ("general", "special"):
    for p in ("plain", "weighted", "direct", "dead", "other"):
        g.get(f"{port}.{p}", port, f"/{p}?q", RM)
        g.get(f"{port}.{p}.exists", port, f"/{p}?q", [(n, "client") for n in ("x-append", "x-over", "x-absent", "x-exists")] + [("x-append", "again"), ("x-over", "again"), ("x-do", RESP), ("user-agent", "me")])

g.http("ops", f"""
- match: {{prefix: /}}
  route: {{cluster: b1}}
  request_headers_to_add:
  - {add('x-1', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%')}
  - {add('x-2', '%PROTOCOL% %REQ(:METHOD)% %REQ(:AUTHORITY)% %REQ(:PATH):4% %REQ(:SCHEME)% %REQ(a?b)%')}
  - {add('x-4', '%QUERY_PARAM(k)% %QUERY_PARAM(k):1%')}
  - {add('x-5', '%PATH(NQ)% %PATH(WQ:ORIG)% %PATH(WQ):3%')}
  - {add('x-6', '%VIRTUAL_CLUSTER_NAME% %ROUTE_NAME% %UPSTREAM_CLUSTER% %CLUSTER_METADATA(a:b)% %ENVIRONMENT(NO_SUCH_VARIABLE)%')}
  - {add('x-7', '%STREAM_ID% %REQUEST_HEADERS_BYTES%')}
  - {add('x-8', '%CONNECTION_ID_NOT%').replace('%CONNECTION_ID_NOT%', '%START_TIME(%%)% %START_TIME(abc)%')}
  - {add('cookie', 'added=1')}
  - {add('accept', 'added/1')}
  response_headers_to_add:
  - {add('x-1', '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESP(x-backend)% %RESP(no?x-backend):1% %UPSTREAM_CLUSTER% %UPSTREAM_HOST%')}
  - {add('x-2', '%REQ(:PATH)% %REQ(x-3)% %REQ(HOST)% %PROTOCOL% %UPSTREAM_PROTOCOL%')}
  - {add('x-3', '%UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%')}
  - {add('set-cookie', 'a=b')}
  - {add('set-cookie', 'c=d')}
  - {add('vary', 'x-y')}
  - {add('cache-control', 'no-store')}
""")
g.case("ops.plain")(lambda t: [t.mask("x-7"), t.req("ops", path="/p/q?k=vw&l", headers=[("b", "bb"), ("x-q", "/abc?d")])][1])
g.case("ops.lists")(lambda t: [t.mask("x-7"), t.req("ops", path="/", headers=[("cookie", "x=1"), ("cookie", "y=2"), ("accept", "a/b"), ("x-do", "hdr=set-cookie:u=1;hdr=set-cookie:v=2;hdr=vary:a;hdr=vary:b;hdr=cache-control:public")])][1])

# ---- weights
g = Group("mix-weight", CAT)
clusters(g)
g.http("w", """
- match: {prefix: /header}
  route:
    weighted_clusters:
      header_name: x-weight
      clusters: [{name: b1, weight: 10}, {name: b2, weight: 30}, {name: b3, weight: 60}]
- match: {prefix: /byname}
  route:
    weighted_clusters:
      clusters: [{cluster_header: x-c1, weight: 1}, {name: b2, weight: 0}]
- match: {prefix: /zero}
  route:
    weighted_clusters:
      clusters: [{name: b1, weight: 0}, {name: b2, weight: 5}]
- match: {prefix: /random}
  route:
    weighted_clusters:
      total_weight: 100
      clusters: [{name: b1, weight: 25}, {name: b2, weight: 75}]
- match: {prefix: /runtime}
  route:
    weighted_clusters:
      runtime_key_prefix: some.key
      clusters: [{name: b1, weight: 1}, {name: dead, weight: 0}]
- match: {prefix: /}
  route: {cluster: b3}
""")
for v in ("0", "9", "10", "39", "40", "99", "100", "139", "abc", "", "-1", "18446744073709551615", "18446744073709551616", " 12 ", "1e1", "0x10"):
    g.case(f"header.{v.strip().replace('-', 'minus') or 'empty'}")(lambda t, v=v: (lambda r: r if r in ("b1", "b2", "b3") and v not in ("abc", "", "-1", "18446744073709551616", "1e1", "0x10") else type(r).__name__)(t.backend("w", "/header", [("x-weight", v)])))
g.case("byname")(lambda t: [t.backend("w", "/byname", [("x-c1", "b3")]) for _ in range(3)])
g.case("byname.unknown")(lambda t: t.req("w", path="/byname", headers=[("x-c1", "zz")]))
g.case("byname.missing")(lambda t: t.req("w", path="/byname"))
g.case("zero")(lambda t: t.backends("w", 20, "/zero"))
g.case("runtime")(lambda t: t.backends("w", 10, "/runtime"))
g.case("random")(lambda t: share(t.backends("w", 300, "/random"), {"b1": (0.15, 0.35), "b2": (0.65, 0.85)}))
