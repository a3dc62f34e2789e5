"""HTTP/1 semantics in combination: framing, connections, forwarded headers, upgrades, options that work together."""

import time

from lib.case import Group, script
from lib.client import request

CAT = "http1"
H = "Host: h.test\r\n"
G = "GET /%s HTTP/1.1\r\n" + H


def ordinary(g):
    for n in ("b1", "b2", "dead", "mute"):
        g.cluster(n)


def seen(g, name, port, *steps):
    """A case on one connection: what was answered and which whole requests the upstream saw."""
    @g.case(name)
    def _(t):
        c = t.conn(port)
        out, closes = [], False
        for s in steps:
            if s in ("answer", "head"):
                out.append(t.answer(c, "HEAD" if s == "head" else "GET"))
                closes = ["connection", "close"] in out[-1].get("headers", ())
                if "upstream" in out[-1]:
                    out[-1]["headers"] = [h for h in out[-1]["headers"] if h[0] == "connection"]
            elif s == "state":
                out.append(c.state(2.0 if closes else 0.02))
            elif s == "closed?":
                out.append(c.state(2.0))
            elif s == "shut":
                c.half_close()
            elif isinstance(s, float):
                time.sleep(s)
            else:
                c.send(s)
        return out + t.seen()


ROUTES = """
- match: {prefix: /direct}
  direct_response: {status: 200, body: {inline_string: direct}}
- match: {prefix: /dead}
  route: {cluster: dead}
- match: {prefix: /}
  route: {cluster: b1}
"""

# ---- keep-alive and framing
g = Group("mix-http1-flow", CAT)
ordinary(g)
g.http("p", ROUTES)
g.http("ten", ROUTES, hcm="http_protocol_options: {accept_http_10: true, default_host_for_http_10: ten.test}")
g.http("lax", ROUTES, hcm="http_protocol_options: {allow_chunked_length: true, enable_trailers: true, allow_absolute_url: true}")
for port, v in (("p", "1.1"), ("ten", "1.0")):
    for c in ("close", "keep-alive", "Keep-Alive, close", "CLOSE", "x, keep-alive", "upgrade", "", "te", "close, x-gone, x-kept"):
        for where in ("direct", "up"):
            key = c.replace(", ", "+") or "empty"
            seen(g, f"{port}.{v}.{key}.{where}", port, f"GET /{where} HTTP/{v}\r\n{H}Connection: {c}\r\nX-Gone: 1\r\nX-Kept: 2\r\nTE: trailers\r\n\r\n", "answer", "state")
CONN = ("keep-alive", "proxy-connection: keep-alive", "proxy-connection: close", "keep-alive: timeout=5", "connection: close\r\nconnection: keep-alive", "connection: keep-alive\r\nconnection: close",
        "connection: te\r\nte: gzip", "te: trailers, deflate", "te: Trailers", "connection: host", "connection: content-length", "connection: :path", "connection: ,,x,", "connection: transfer-encoding",
        "connection: x-forwarded-for\r\nx-forwarded-for: 1.1.1.1", "connection: cookie\r\ncookie: a=b", "upgrade: h2c", "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AA", "upgrade: websocket\r\nconnection: keep-alive",
        "trailer: x-t", "expect: 100-continue", "expect: 200-ok", "expect: 100-Continue", "max-forwards: 0", "content-length: 0", "transfer-encoding: identity", "range: bytes=0-1", "via: 1.0 other", "date: yesterday",
        "authorization: Basic YTpi", "x-envoy-upstream-rq-timeout-ms: 100", "x-envoy-expected-rq-timeout-ms: 5", "x-envoy-max-retries: 2", "x-envoy-internal: true", "x-envoy-decorator-operation: a", "x-envoy-original-path: /a", "x-envoy-original-host: b",
        "x-envoy-external-address: 1.2.3.4", "x-envoy-force-trace: true", "x-forwarded-proto: https", "x-forwarded-proto: bad", "x-forwarded-host: f.test", "x-forwarded-port: 99", "forwarded: for=1.2.3.4", "x-request-id: mine", "x-request-id: ",
        "x-forwarded-for: 1.2.3.4, 10.0.0.1", "x-forwarded-for: garbage", "x-envoy-downstream-service-cluster: c", "x-envoy-downstream-service-node: n", "x-client-trace-id: t", "user-agent: ", "referer: ", "x-empty:", "X-UPPER: V", "x_under: 1",
        "connection: " + ", ".join("abcdefghij"), "connection: " + ", ".join("abcdefghi") + ",,", "connection: " + ",".join("abcde") + "\r\nconnection: " + ",".join("fghij"), "connection: X-Forwarded-Host", "connection: x-forwarded-proto, close", "connection: x-forwarded-port\r\nx-forwarded-port: 1",
        "connection: :authority", "connection: x:y", "connection: te\r\nte: " + "a" * 300, "connection: te\r\nte: trailers, " + "a" * 200, "te: trailers, " + "a" * 300, "connection: x-forwarded-for, upgrade\r\nupgrade: websocket", "connection: http2-settings, x-a\r\nx-a: 1\r\nhttp2-settings: x", "connection: x-envoy-internal\r\nx-envoy-internal: true", "connection: x-request-id\r\nx-request-id: a", "connection: connection, x-a\r\nx-a: 1", "connection: user-agent;q=1\r\nuser-agent: a")
for i, c in enumerate(CONN):
    g.case(f"request.{i}")(lambda t, c=c: (lambda k: (k.send(f"GET /r HTTP/1.1\r\n{H}{c}\r\n\r\n"), (lambda a: (a, k.state(2.0 if ["connection", "close"] in a.get("headers", ()) else 0.02)))(t.answer(k))))(t.conn("p"))[1])
for i, c in enumerate(("keep-alive: x;hdr=connection:keep-alive", "connection:close", "connection:x-a;hdr=x-a:1", "proxy-connection:close", "upgrade:h2c;hdr=connection:upgrade", "te:trailers", "transfer-encoding:identity;noclen",
                       "server:mine", "date:yesterday", "via:1.1 up", "x-envoy-upstream-service-time:5", "x-request-id:theirs", "content-length:0", "set-cookie:a=1;hdr=set-cookie:b=2", "vary:a;hdr=vary:b", "etag:a;hdr=etag:b", "X-Case:Kept",
                       "x-empty:", "x-high:\xe9", "x-tab:a\tb", "x-envoy-overloaded:true", "x-envoy-degraded:1", "x-envoy-immediate-health-check-fail:1", "alt-svc:h3", "trailer:x", "www-authenticate:Basic;hdr=www-authenticate:Digest",
                       "cache-control:a;hdr=cache-control:b", "content-type:a/b", "server:a;hdr=server:b", "grpc-status:0", "x-envoy-attempt-count:7")):
    g.get(f"response.{i}", "p", "/r", [("x-do", "body=ok;hdr=" + c)])
for m in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "M-SEARCH", "PURGE", "UNLINK", "QUERY", "get", "FOO", "LINK", "SOURCE", "REPORT", "PRI"):
    g.get(f"method.{m}", "p", "/m", [("x-do", "body=ok")] if m == "HEAD" else (), method=m)
g.get("method.QUERY.type", "p", "/m", [("content-type", "a/b")], method="QUERY")
g.get("method.QUERY.body", "p", "/m", [("content-type", "a/b")], method="QUERY", body="abc")
for i, n in enumerate(("accept", "accept-encoding", "accept-language", "cookie", "cache-control", "if-match", "if-none-match", "user-agent", "referer", "origin", "authorization", "te", "via", "pragma", "range", "x-custom", "forwarded",
                       "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-request-id", "content-type", "content-encoding", "expect", "grpc-timeout", "if-modified-since", "access-control-request-method", "proxy-connection", "x-envoy-retry-on", "keep-alive", "max-forwards", "proxy-authorization", "x-client-trace-id")):
    g.get(f"twice.{n}", "p", "/t", [(n, "a"), ("x-between", "1"), (n, "b"), (n, ""), (n.title(), "c")])
    g.get(f"twice.answer.{n}", "p", "/t", [("x-do", f"body=ok;hdr={n}:a;hdr={n}:b;hdr={n}:")])
for n in ("vary", "etag", "age", "expires", "last-modified", "location", "date", "set-cookie", "server", "www-authenticate", "link", "access-control-allow-origin", "access-control-expose-headers", "retry-after", "allow", "x-envoy-upstream-canary", "x-envoy-ratelimited", "proxy-status", "grpc-message", "upgrade", "trailer", "warning", "content-language", "alt-svc"):
    g.get(f"twice.answer.{n}", "p", "/t", [("x-do", f"body=ok;hdr={n}:a;hdr=x:1;hdr={n}:b")])
for m in ("GET", "DELETE", "OPTIONS", "TRACE"):
    g.get(f"method.{m}.body", "p", "/m", method=m, body="abc")
    g.get(f"method.{m}.chunked", "p", "/m", method=m, body="abc", chunked=True)
for s in (200, 201, 204, 205, 206, 226, 300, 304, 399, 404, 421, 451, 499, 500, 507, 511, 599, 600, 700, 999):
    g.get(f"status.{s}", "p", "/s", [("x-do", f"status={s};reason=Mine;body=x")])
    if s in (204, 205, 304, 200, 500):
        g.get(f"status.{s}.head", "p", "/s", [("x-do", f"status={s};body=xyz")], method="HEAD")
        g.get(f"status.{s}.chunked", "p", "/s", [("x-do", f"status={s};body=xyz;chunked")])
        g.get(f"status.{s}.head-chunked", "p", "/s", [("x-do", f"status={s};body=xyz;chunked")], method="HEAD")
        g.get(f"status.{s}.length", "p", "/s", [("x-do", f"status={s};cl=0;body=")])
        g.get(f"status.{s}.ten", "ten", "/s", [("x-do", f"status={s};body=xyz;chunked")], version="1.0")
for i, do in enumerate(("1xx=100;body=a", "1xx=102;1xx=103;body=a", "1xx=103;status=204", "noclen;body=abc", "noclen;body=", "version=1.0;body=abc", "version=1.0;noclen;body=abc", "version=1.0;hdr=connection:keep-alive;body=abc",
                        "trailer=x-t:1;body=abc", "trailer=x-t:1;trailer=x-t:2;trailer=Y-t:;body=abc", "chunked;body=", "bye;body=abc", "early;body=abc", "partial=3;body=abcdef", "partial=3;chunked;body=abcdef", "partial=3;abort;body=abcdef",
                        "close", "reset", "delay=50;close", "big=100000", "big=100000;chunked", "slow=3,30")):
    for port, v in (("lax", "1.1"), ("ten", "1.0")):
        g.get(f"answer.{i}.{port}", port, "/a", [("x-do", do)], version=v)
seen(g, "pipe.mixed", "p", G % "do/body=one" + "\r\n" + "POST /2 HTTP/1.1\r\n" + H + "Content-Length: 3\r\n\r\nabc" + G % "do/body=three" + "\r\n", "answer", "answer", "answer", "state")
seen(g, "pipe.direct-last", "p", G % "a" + "\r\n" + G % "direct" + "\r\n", "answer", "answer", "state")
seen(g, "pipe.close-in-middle", "p", G % "a" + "Connection: close\r\n\r\n" + G % "b" + "\r\n", "answer", "closed?")
seen(g, "pipe.head-get", "p", "HEAD /direct HTTP/1.1\r\n" + H + "\r\n" + G % "a" + "\r\n", "head", "answer", "state")
seen(g, "pipe.chunked-then-get", "p", "POST /1 HTTP/1.1\r\n" + H + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + G % "2" + "\r\n", "answer", "answer", "state")
seen(g, "pipe.bad-second", "p", G % "a" + "\r\n" + "BAD\r\n\r\n", "answer", "answer", "closed?")
seen(g, "pipe.no-route-body", "p", "POST /direct HTTP/1.1\r\n" + H + "Content-Length: 5\r\n\r\n", "answer", "closed?")
seen(g, "pipe.direct-body-whole", "p", "POST /direct HTTP/1.1\r\n" + H + "Content-Length: 5\r\n\r\n12345" + G % "a" + "\r\n", "answer", "answer", "state")
seen(g, "pipe.dead-body", "p", "POST /dead HTTP/1.1\r\n" + H + "Content-Length: 5\r\n\r\n12", "answer", 0.05, "345", "state")
seen(g, "crlf-before", "p", "\r\n\r\n" + G % "a" + "\r\n", "answer", "state")
seen(g, "crlf-after-body", "p", "POST / HTTP/1.1\r\n" + H + "Content-Length: 1\r\n\r\nx\r\n" + G % "a" + "\r\n", "answer", "answer", "state")
seen(g, "byte-by-byte", "p", *[x for ch in "GET /z HTTP/1.1\r\nHost: h.test\r\n\r\n" for x in (ch, 0.001)], "answer")
seen(g, "split-crlf", "p", "GET /z HTTP/1.1\r", 0.02, "\nHost: h.test\r\n\r", 0.02, "\n", "answer")
seen(g, "chunk-split", "p", "POST /z HTTP/1.1\r\n" + H + "Transfer-Encoding: chunked\r\n\r\n1", 0.02, "0\r", 0.02, "\n0123456789", 0.02, "abcdef\r\n0\r\n", 0.02, "\r\n", "answer", "state")
seen(g, "shut-in-head", "p", "GET /a HTTP/1.1\r\nHo", "shut", "closed?")
seen(g, "shut-in-body", "p", "POST /a HTTP/1.1\r\n" + H + "Content-Length: 5\r\n\r\n12", 0.05, "shut", "answer")
seen(g, "expect.body-later", "p", "POST /a HTTP/1.1\r\n" + H + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", 0.05, "ok", "answer", "state")
seen(g, "expect.direct", "p", "POST /direct HTTP/1.1\r\n" + H + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", "answer", "closed?")
seen(g, "expect.ten", "ten", "POST /a HTTP/1.0\r\n" + H + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok", "answer", "state")
seen(g, "ten.no-host", "ten", "GET /a HTTP/1.0\r\n\r\n", "answer", "closed?")
seen(g, "ten.empty-host", "ten", "GET /a HTTP/1.0\r\nHost:\r\n\r\n", "answer", "closed?")
seen(g, "ten.no-host-1.1", "ten", "GET /a HTTP/1.1\r\n\r\n", "answer", "closed?")
seen(g, "ten.chunked-request", "ten", "POST /a HTTP/1.0\r\n" + H + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "answer", "closed?")
seen(g, "ten.absolute", "ten", "GET http://abs.test/x HTTP/1.0\r\n\r\n", "answer", "closed?")
seen(g, "ten.post-no-length", "ten", "POST /a HTTP/1.0\r\n" + H + "\r\n", "answer", "closed?")
seen(g, "ten.upgrade", "ten", "GET /a HTTP/1.0\r\n" + H + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", "answer", "closed?")
seen(g, "lax.both", "lax", "POST /a HTTP/1.1\r\n" + H + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "answer", "state")
seen(g, "lax.trailers", "lax", "POST /a HTTP/1.1\r\n" + H + "Trailer: x-t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-T: 1\r\nx-u: \r\n\r\n", "answer", "state")
seen(g, "lax.trailer-forbidden", "lax", "POST /a HTTP/1.1\r\n" + H + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nContent-Length: 9\r\nHost: evil\r\nTransfer-Encoding: x\r\n\r\n", "answer", "state")
for i, target in enumerate(("http://h.test/x", "HTTP://H.TEST/x", "https://h.test:443/x?q", "http://h.test:80", "http://h.test?x", "http://h.test/", "ftp://h.test/x", "http:///x", "http://", "http:/x", "http://[::1]:80/x", "http://u:p@h.test/x", "http://h test/x", "//h.test/x", "h.test:80", "/x#y", "/x y", "*", "?x", "", "/\xe9", "/a\tb", "/%", "/%zz", "/%00", "/a|b\"<>{}\\^`", "http://h.test/x#f")):
    seen(g, f"target.{i}", "lax", f"GET {target} HTTP/1.1\r\n{H}\r\n", "answer", "state")

# ---- forwarded headers
g = Group("mix-http1-forwarded", CAT)
ordinary(g)
VARIANTS = {
    "plain": "",
    "remote": "use_remote_address: true",
    "remote-1": "use_remote_address: true\nxff_num_trusted_hops: 1",
    "hops-2": "xff_num_trusted_hops: 2",
    "skip": "use_remote_address: true\nskip_xff_append: true",
    "skip-plain": "skip_xff_append: true",
    "inner": "use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}, {address_prefix: 127.0.0.0, prefix_len: 29}]}",
    "unix": "internal_address_config: {unix_sockets: true, cidr_ranges: [{address_prefix: 1.2.3.0, prefix_len: 24}]}",
    "port": "use_remote_address: true\nappend_x_forwarded_port: true\nvia: me\nserver_name: mine",
    "port-plain": "append_x_forwarded_port: true",
    "port-hops": "use_remote_address: true\nxff_num_trusted_hops: 1\nappend_x_forwarded_port: true",
    "ids": "preserve_external_request_id: true\nalways_set_request_id_in_response: true\nuse_remote_address: true",
    "no-ids": "generate_request_id: false\nalways_set_request_id_in_response: true",
    "agent": "add_user_agent: true\nuse_remote_address: true",
    "scheme": "scheme_header_transformation: {scheme_to_overwrite: https}",
    "pass": "server_header_transformation: PASS_THROUGH\nserver_name: mine\nvia: front",
    "absent": "server_header_transformation: APPEND_IF_ABSENT\nserver_name: mine",
    "mapped": "use_remote_address: true\nrepresent_ipv4_remote_address_as_ipv4_mapped_ipv6: true",
}
for n, hcm in VARIANTS.items():
    g.http(n, """
- match: {prefix: /log}
  route: {cluster: b1}
  request_headers_to_add: [{header: {key: x-remote, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}}]
- match: {prefix: /direct}
  direct_response: {status: 200}
- match: {prefix: /}
  route: {cluster: b1}
""", hcm=hcm)
    g.get(f"{n}.plain", n, "/log")
    g.get(f"{n}.one", n, "/log", [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("x-request-id", "mine"), ("user-agent", "me/1")])
    g.get(f"{n}.three", n, "/log", [("x-forwarded-for", "8.8.8.8,10.0.0.9 ,  9.9.9.9"), ("x-forwarded-port", "7"), ("x-forwarded-host", "f.test"), ("via", "1.0 a"), ("x-envoy-external-address", "5.5.5.5"), ("x-envoy-internal", "true"), ("x-envoy-max-retries", "3")])
    g.case(f"{n}.lines")(lambda t, n=n: t.req(n, path="/log", headers=[("x-forwarded-for", "7.7.7.7"), ("x-forwarded-for", "10.1.1.1"), ("via", "a"), ("via", "b")], source="127.0.0.9"))
    g.get(f"{n}.v6", n, "/log", [("x-forwarded-for", "2001:db8::1, ::ffff:10.0.0.1")])
    g.get(f"{n}.odd", n, "/log", [("x-forwarded-for", "1.2.3.4:80,,unknown, 10.0.0.7")])
    g.get(f"{n}.direct", n, "/direct", [("x-request-id", "3fdc8f4e-1111-4222-8333-123456789012"), ("x-forwarded-for", "10.3.3.3")])
    g.get(f"{n}.server", n, "/s", [("x-do", "hdr=server:theirs;hdr=via:up;body=x"), ("x-forwarded-proto", "http")])

# ---- options together
g = Group("mix-http1-options", CAT)
ordinary(g)
OPTIONS = {
    "norm": "normalize_path: true\nmerge_slashes: true",
    "esc-keep": "normalize_path: true\npath_with_escaped_slashes_action: KEEP_UNCHANGED",
    "esc-reject": "path_with_escaped_slashes_action: REJECT_REQUEST",
    "esc-redirect": "normalize_path: true\npath_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT",
    "esc-forward": "merge_slashes: true\npath_with_escaped_slashes_action: UNESCAPE_AND_FORWARD",
    "strip": "strip_matching_host_port: true",
    "strip-any": "strip_any_host_port: true\nstrip_trailing_host_dot: true",
    "under-reject": "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}",
    "under-drop": "common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}",
    "count": "common_http_protocol_options: {max_headers_count: 6}",
    "kb": "max_request_headers_kb: 2",
    "proper": "http_protocol_options: {header_key_format: {proper_case_words: {}}}",
    "keep-case": "http_protocol_options: {header_key_format: {stateful_formatter: {name: preserve_case, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}}}}",
    "requests": "common_http_protocol_options: {max_requests_per_connection: 2}",
    "no-abs": "http_protocol_options: {allow_absolute_url: false}",
    "stay": "stream_error_on_invalid_http_message: true",
    "stay-1": "http_protocol_options: {override_stream_error_on_invalid_http_message: true}",
    "ws": "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: foo, enabled: false}]",
    "connect": "upgrade_configs: [{upgrade_type: CONNECT}]",
}
for n, hcm in OPTIONS.items():
    g.http(n, ("""
- match: {connect_matcher: {}}
  direct_response: {status: 406, body: {inline_string: no tunnels}}
""" if n == "connect" else "") + """
- match: {path: /a/b}
  route: {cluster: b1}
  response_headers_to_add: [{header: {key: x-route, value: exact}}]
- match: {prefix: /foo}
  route: {cluster: b1, upgrade_configs: [{upgrade_type: foo}, {upgrade_type: websocket, enabled: false}]}
- match: {prefix: /direct}
  direct_response: {status: 200, body: {inline_string: d}}
- match: {prefix: /}
  route: {cluster: b1}
""", hcm=hcm)
PATHS = ("/a/./b", "/a/x/../b", "/../a/b", "/a//b", "//a/b", "/a%2Fb", "/a%2fb?x=%2f", "/a%5Cb", "/a\\b", "/a/b/..", "/a/b/.", "/%61/b", "/a/%2e/b", "/a/x/%2E%2e/b", "/a/b?x=/../y", "/a/b#/../c", "/a/..;/b", "/a/%252e/b", "/a/b%20c", "/a/b;c=d", "/%C3%A9/../a/b", "/a/b//?x//y", "/a%2F%2Fb", "/a%2F../b", "/..%2fa/b", "/a/..;x/b", "/a/.;/b", "/a/%2e%2e;/b", "/a/b;x/../b", "/x/..;", "/a;/b", "/x/..;x=1?y", "/a/...;/b", "/;/a/b", "/a/..;/", "/..;/a/b", "/a/x/..;/..;/a/b", "/a/.;x", "/a/..%3b/b", "/%", "/%zz/../a/b", "/\xc3\xa9")
for n in ("norm", "esc-keep", "esc-reject", "esc-redirect", "esc-forward", "strip"):
    for i, p in enumerate(PATHS):
        seen(g, f"{n}.{i}", n, f"GET {p} HTTP/1.1\r\n{H}\r\n", "answer")
for n in ("strip", "strip-any", "norm"):
    for i, h in enumerate(("h.test:80", "h.test:@", "h.test:8080", "h.test.", "h.test.:80", "h.test:", "[::1]:80", "[::1]", "h.test:0080", "h.test:abc", "H.TEST:1")):
        g.case(f"{n}.host.{i}")(lambda t, n=n, h=h: t.req(n, path="/a/b", host=h.replace("@", str(t.ports[n]))))
for n in ("under-reject", "under-drop"):
    g.get(f"{n}.name", n, "/a/b", [("x_y", "1"), ("z", "2")])
    g.get(f"{n}.value", n, "/a/b", [("xy", "1_2")])
    g.get(f"{n}.do", n, "/a/b", [("x-do", "hdr=a_b:1")])
    seen(g, f"{n}.length", n, f"POST /a/b HTTP/1.1\r\n{H}Content_Length: 5\r\nContent-Length: 0\r\n\r\n", "answer", "state")
for k in (3, 4, 5, 6, 7):
    g.get(f"count.{k}", "count", "/a/b", [(f"x-{i}", "1") for i in range(k)])
for k in (1900, 1985, 2000, 2020, 2048, 3000):
    g.get(f"kb.{k}", "kb", "/a/b", [("x", "y" * k)])
    g.get(f"kb.path.{k}", "kb", "/" + "y" * k)
for n in ("proper", "keep-case"):
    g.case(f"{n}.order")(lambda t, n=n: t.req(n, path="/a/b", headers=[("X-MixED-case", "1"), ("a", "2"), ("x--y", "3"), ("ETAG", "4"), ("www-Authenticate", "5"), ("x_Y", "6"), ("1a", "7")], ordered=True))
    g.case(f"{n}.answer")(lambda t, n=n: t.req(n, path="/a/b", headers=[("X-DO", "body=x;hdr=X-MixED:1;hdr=dnt:2;hdr=Set-cookie:3")], ordered=True))
    g.case(f"{n}.direct")(lambda t, n=n: t.req(n, path="/direct", ordered=True))
    g.case(f"{n}.bad")(lambda t, n=n: (lambda c: (c.send("GET / HTTP/1.1\r\n\r\n"), t.answer(c, ordered=True))[1])(t.conn(n)))
seen(g, "requests.three", "requests", G % "1" + "\r\n", "answer", "state", G % "2" + "\r\n", "answer", "closed?")
seen(g, "requests.pipelined", "requests", (G % "x" + "\r\n") * 3, "answer", "answer", "closed?")
seen(g, "no-abs.absolute", "no-abs", "GET http://o.test/a/b HTTP/1.1\r\n" + H + "\r\n", "answer", "state")
for n in ("stay", "stay-1"):
    for i, r in enumerate(("GET /a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", "GET /a HTTP/1.1\r\n" + H + "Content-Length: x\r\n\r\n", "GET /a HTTP/1.1\r\n" + H + "a\x01: b\r\n\r\n", "GET a HTTP/1.1\r\n" + H + "\r\n", "POST /a HTTP/1.1\r\n" + H + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "CONNECT h:1 HTTP/1.1\r\n" + H + "\r\n", "GET /a HTTP/1.1\r\n" + H + "x: a\x7fb\r\n\r\n", "POST /a HTTP/1.1\r\n" + H + "Transfer-Encoding: gzip\r\n\r\n")):
        seen(g, f"{n}.{i}", n, r, "answer", "state")
WS = "Connection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Key: x\r\n"


def upgrade(name, port, path, kind, do="upgrade", more="", data="hello"):
    @g.case(name)
    def _(t):
        c = t.conn(port)
        c.send(f"GET {path} HTTP/1.1\r\n{H}{WS % kind}X-Do: {do}\r\n{more}\r\n")
        out = [t.answer(c)]
        if out[0].get("status") == 101:
            c.send(data)
            out.append(c.rest(0.15)[0].decode("latin-1"))
            c.half_close()
            out.append(c.state(1.0))
        else:
            out.append(c.state(1.0))
        return out + t.seen()


for port in ("ws", "norm"):
    for kind in ("websocket", "WebSocket", "foo", "websocket, foo", ""):
        upgrade(f"{port}.upgrade.{kind.replace(', ', '+') or 'none'}", port, "/a/b", kind)
upgrade("ws.route-allows", "ws", "/foo", "foo")
upgrade("ws.route-forbids", "ws", "/foo", "websocket")
upgrade("ws.refused-200", "ws", "/a/b", "websocket", do="status=404;body=no")
upgrade("ws.direct", "ws", "/direct", "websocket")
for port in ("ws", "norm", "connect"):
    for i, target in enumerate(("h.test:443", "h.test", "/a", "http://h.test/", "[::1]:1", "h.test:0", "")):
        seen(g, f"{port}.connect.{i}", port, f"CONNECT {target} HTTP/1.1\r\n{H}\r\n", "answer", "state")

# ---- time-outs
g = Group("mix-http1-time", CAT)
ordinary(g)
g.http("t", """
- match: {prefix: /route}
  route: {cluster: b1, timeout: 0.2s}
- match: {prefix: /none}
  route: {cluster: b1, timeout: 0s, idle_timeout: 0.25s}
- match: {prefix: /life}
  route: {cluster: b1, timeout: 0s, max_stream_duration: {max_stream_duration: 0.25s}}
- match: {prefix: /life-off}
  route: {cluster: b1, timeout: 0s, max_stream_duration: {max_stream_duration: 0s}}
- match: {prefix: /mute}
  route: {cluster: mute, timeout: 0.2s}
- match: {prefix: /direct}
  direct_response: {status: 200}
- match: {prefix: /}
  route: {cluster: b1}
""", hcm="request_timeout: 0.4s\nrequest_headers_timeout: 0.3s\nstream_idle_timeout: 0.6s\ncommon_http_protocol_options: {idle_timeout: 0.5s, max_stream_duration: 0.8s}")
seen(g, "route.slow", "t", G % "route" + "X-Do: delay=500\r\n\r\n", "answer", "state")
seen(g, "route.asked", "t", G % "route" + "X-Envoy-Upstream-Rq-Timeout-Ms: 700\r\nX-Do: delay=400\r\n\r\n", "answer", "state")
seen(g, "route.asked-shorter", "t", G % "x" + "X-Envoy-Upstream-Rq-Timeout-Ms: 100\r\nX-Do: delay=400\r\n\r\n", "answer", "state")
seen(g, "route.asked-zero", "t", G % "route" + "X-Envoy-Upstream-Rq-Timeout-Ms: 0\r\nX-Do: delay=400\r\n\r\n", "answer", "state")
seen(g, "route.asked-bad", "t", G % "route" + "X-Envoy-Upstream-Rq-Timeout-Ms: abc\r\nX-Do: delay=400\r\n\r\n", "answer", "state")
seen(g, "route.streaming", "t", G % "route" + "X-Do: slow=6,100\r\n\r\n", "answer", "closed?")
seen(g, "route.body-late", "t", "POST /route HTTP/1.1\r\n" + H + "Content-Length: 4\r\n\r\n12", 0.3, "34", "answer", "state")
seen(g, "idle.slow", "t", G % "none" + "X-Do: delay=600\r\n\r\n", "answer", "state")
seen(g, "idle.streaming", "t", G % "none" + "X-Do: slow=4,150\r\n\r\n", "answer", "state")
seen(g, "life.slow", "t", G % "life" + "X-Do: delay=600\r\n\r\n", "answer", "state")
seen(g, "life.streaming", "t", G % "life" + "X-Do: slow=5,100\r\n\r\n", "answer", "closed?")
seen(g, "life-off", "t", G % "life-off" + "X-Do: slow=10,95\r\n\r\n", "answer", "state")
seen(g, "headers.none", "t", "closed?")
seen(g, "headers.half", "t", "GET / HTTP/1.1\r\nHost:", "answer", "closed?")
seen(g, "headers.dribble", "t", "GET / HTTP/1.1\r\n", 0.15, "Host: h\r\n", 0.15, "A: b\r\n", 0.1, "\r\n", "answer", "closed?")
seen(g, "headers.second", "t", G % "direct" + "\r\n", "answer", 0.1, "GET / HT", "answer", "closed?")
seen(g, "body.late", "t", "POST /x HTTP/1.1\r\n" + H + "Content-Length: 4\r\n\r\n12", "answer", "closed?")
seen(g, "body.late-direct", "t", "POST /direct HTTP/1.1\r\n" + H + "Content-Length: 4\r\n\r\n12", "answer", "closed?")
seen(g, "idle.connection", "t", G % "direct" + "\r\n", "answer", 0.6, "state", G % "direct" + "\r\n", "answer")
seen(g, "mute", "t", G % "mute" + "\r\n", "answer", "state")
