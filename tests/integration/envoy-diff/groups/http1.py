"""HTTP/1 semantics towards the client: connections, framing, forwarded headers, upgrades."""

import time

from lib.case import Group, script
from lib.client import request

B = """
    - match: {prefix: /direct}
      direct_response: {status: 200, body: {inline_string: direct}}
    - match: {prefix: /}
      route: {cluster: b1}
"""


H = "Host: h.test\r\n"

# ---- keep-alive, close, pipelines
g = Group("http1-connection", "http1")
g.cluster("b1")
g.http("k", B)
OK = f"GET / HTTP/1.1\r\n{H}x-do: body=ok\r\n\r\n"
script(g, "keep-alive", "k", OK, "answer", OK, "answer", "state")
script(g, "close.client", "k", f"GET / HTTP/1.1\r\n{H}x-do: body=ok\r\nConnection: close\r\n\r\n", "answer", "closed?")
script(
    g,
    "close.client.upper",
    "k",
    f"GET / HTTP/1.1\r\n{H}x-do: body=ok\r\nCONNECTION: CLOSE\r\n\r\n",
    "answer",
    "closed?",
)
script(
    g,
    "close.client.list",
    "k",
    f"GET / HTTP/1.1\r\n{H}x-do: body=ok\r\nConnection: foo, close\r\n\r\n",
    "answer",
    "state",
)
script(
    g,
    "close.client.proxy-connection",
    "k",
    f"GET / HTTP/1.1\r\n{H}x-do: body=ok\r\nProxy-Connection: close\r\n\r\n",
    "answer",
    "state",
)
script(
    g,
    "close.upstream",
    "k",
    f"GET / HTTP/1.1\r\n{H}x-do: body=ok;hdr=connection:close;bye\r\n\r\n",
    "answer",
    "state",
    0.1,
    OK,
    "answer",
    "state",
)
script(
    g,
    "keep-alive.named",
    "k",
    f"GET / HTTP/1.1\r\n{H}x-do: body=ok\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n",
    "answer",
    "state",
)
script(
    g,
    "half-close.before-answer",
    "k",
    f"GET / HTTP/1.1\r\n{H}x-do: body=ok;delay=150\r\n\r\n",
    "shut",
    "answer",
    "closed?",
)
script(g, "half-close.in-head", "k", "GET / HTTP/1.1\r\nHost:", "shut", "closed?")
script(g, "half-close.in-body", "k", f"POST / HTTP/1.1\r\n{H}Content-Length: 10\r\n\r\nabc", 0.05, "shut", "closed?")
script(
    g,
    "pipeline.three",
    "k",
    "".join(f"GET /{i} HTTP/1.1\r\n{H}\r\n" for i in range(3)),
    "answer",
    "answer",
    "answer",
    "state",
)
script(
    g,
    "pipeline.slow-first",
    "k",
    f"GET /1 HTTP/1.1\r\n{H}x-do: delay=200;body=1\r\n\r\nGET /2 HTTP/1.1\r\n{H}x-do: body=2\r\n\r\n",
    "answer",
    "answer",
    "state",
)
script(g, "pipeline.direct-two", "k", f"GET /direct HTTP/1.1\r\n{H}\r\n" * 2, "answer", "answer", "state")
script(
    g, "pipeline.direct", "k", f"GET /direct HTTP/1.1\r\n{H}\r\n" * 4, "answer", "answer", "answer", "answer", "state"
)
script(
    g,
    "pipeline.posts",
    "k",
    f"POST /1 HTTP/1.1\r\n{H}Content-Length: 3\r\n\r\noneGET /2 HTTP/1.1\r\n{H}\r\nPOST /3 HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n",
    "answer",
    "answer",
    "answer",
    "state",
)
script(
    g,
    "pipeline.close-first",
    "k",
    f"GET /1 HTTP/1.1\r\n{H}x-do: body=1\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n{H}\r\n",
    "answer",
    "closed?",
)
script(
    g,
    "pipeline.bad-second",
    "k",
    f"GET /1 HTTP/1.1\r\n{H}x-do: body=1\r\n\r\nBAD\r\n\r\n",
    "answer",
    "answer",
    "closed?",
)
script(
    g,
    "pipeline.head",
    "k",
    f"HEAD /1 HTTP/1.1\r\n{H}x-do: big=500\r\n\r\nGET /2 HTTP/1.1\r\n{H}x-do: body=2\r\n\r\n",
    "head",
    "answer",
    "state",
)
script(
    g,
    "request-in-pieces",
    "k",
    "GE",
    0.02,
    "T / HT",
    0.02,
    "TP/1.1\r",
    0.02,
    "\nHost: h",
    0.02,
    ".test\r\nx-do: body=ok\r\n",
    0.02,
    "\r\n",
    "answer",
    "state",
)
script(
    g,
    "body-in-pieces",
    "k",
    f"POST / HTTP/1.1\r\n{H}Content-Length: 6\r\n\r\na",
    0.03,
    "bc",
    0.03,
    "def",
    "answer",
    "state",
)
script(
    g,
    "chunks-in-pieces",
    "k",
    f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n",
    0.03,
    "3",
    0.03,
    "\r\nab",
    0.03,
    "c\r\n0",
    0.03,
    "\r\n\r",
    0.03,
    "\n",
    "answer",
    "state",
)
script(
    g,
    "answer-before-body-end",
    "k",
    f"POST /direct HTTP/1.1\r\n{H}Content-Length: 1000\r\n\r\nabc",
    "answer",
    "closed?",
)
script(g, "empty-lines-between", "k", OK, "answer", "\r\n\r\n" + OK, "answer", "state")


@g.case("idle-connections-are-left-alone")
def _(t):
    c = t.conn("k")
    time.sleep(0.5)
    c.send(OK)
    return [c.answer().status, c.state()]


@g.case("many-requests")
def _(t):
    return len([x for x in t.backends("k", 200) if x == "b1"])


# ---- HTTP/1.0
g = Group("http1-version-1.0", "http1")
g.cluster("b1")
g.http("refuse", B)
g.http("accept", B, hcm="http_protocol_options: {accept_http_10: true, default_host_for_http_10: default.test}")
g.http("nohost", B, hcm="http_protocol_options: {accept_http_10: true}")
g.get("refused", "refuse", "/", version="1.0")
g.get("refused.head", "refuse", "/", version="1.0", method="HEAD")
g.get("accepted", "accept", "/", version="1.0", persist=True)
g.get("accepted.keep-alive", "accept", "/", [("Connection", "keep-alive")], version="1.0", persist=True)
g.get(
    "accepted.keep-alive-chunked-answer",
    "accept",
    "/",
    [("Connection", "keep-alive"), ("x-do", "body=hello;chunked")],
    version="1.0",
    persist=True,
)
g.get("accepted.chunked-answer", "accept", "/", [("x-do", "body=hello;chunked")], version="1.0", persist=True)
g.get("accepted.no-host", "accept", "/", host=None, version="1.0", persist=True)
g.get("accepted.no-host-no-default", "nohost", "/", host=None, version="1.0", persist=True)
g.get("accepted.post", "accept", "/", version="1.0", method="POST", body="data", persist=True)
g.get("accepted.chunked-request", "accept", "/", version="1.0", method="POST", body="data", chunked=True, persist=True)
g.get("accepted.direct", "accept", "/direct", version="1.0", persist=True)
g.get("accepted.direct-keep-alive", "accept", "/direct", [("Connection", "keep-alive")], version="1.0", persist=True)
script(g, "version-0.9", "accept", "GET /\r\n\r\n", "answer", "closed?")

# ---- bodies and trailers
g = Group("http1-body", "http1")
g.cluster("b1")
g.http("p", B)
g.get("post.length", "p", "/", method="POST", body="hello")
g.get("post.empty", "p", "/", [("Content-Length", "0")], method="POST")
g.get("post.no-length", "p", "/", method="POST")
g.get("post.chunked", "p", "/", method="POST", body=["hel", "lo"], chunked=True)
g.get("post.chunked-empty", "p", "/", method="POST", body=b"", chunked=True)
g.get("post.chunked-trailers", "p", "/", method="POST", body="hello", chunked=True, trailers=[("x-trailer", "1")])
g.get("post.big", "p", "/", method="POST", body="0123456789" * 200000)
g.get("post.big-chunked", "p", "/", method="POST", body=["0123456789" * 5000] * 20, chunked=True)
g.get("get.body", "p", "/", method="GET", body="hello")
g.get("delete.body", "p", "/", method="DELETE", body="hello")
for m in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "PURGE", "CUSTOM", "get", "G!T"):
    g.get("method." + m.replace("!", "_"), "p", "/", method=m, persist=True)
g.get("head", "p", "/", [("x-do", "big=1234")], method="HEAD")
g.get("head.body", "p", "/", [("x-do", "big=1234")], method="HEAD", body="hello")
g.get("answer.chunked", "p", "/", [("x-do", "body=hello;chunked")])
g.get("answer.trailers", "p", "/", [("x-do", "body=hello;trailer=x-t:1;hdr=trailer:x-t")])
g.get("answer.trailers-te", "p", "/", [("TE", "trailers"), ("x-do", "body=hello;trailer=x-t:1")])
g.get("answer.empty", "p", "/", [("x-do", "body=")])
g.get("answer.empty-chunked", "p", "/", [("x-do", "body=;chunked")])
script(
    g,
    "chunk.extension",
    "p",
    f'POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n5;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n',
    "answer",
    "state",
)
script(
    g,
    "chunk.upper-hex",
    "p",
    f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "answer",
    "state",
)
script(
    g,
    "chunk.leading-zeros",
    "p",
    f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n",
    "answer",
    "state",
)
script(
    g,
    "chunk.upper-name",
    "p",
    f"POST / HTTP/1.1\r\n{H}TRANSFER-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "answer",
    "state",
)


@g.case("slow-reader")
def _(t):
    """16 MiB for a client that reads late: nothing is lost."""
    c = t.conn("p", timeout=10)
    c.send(request("GET", "/", [("x-do", "big=16777216")]))
    time.sleep(0.6)
    return t.answer(c, timeout=10)["body"]


@g.case("slow-upstream")
def _(t):
    """A long request to an upstream that answers late."""
    c = t.conn("p", timeout=10)
    c.s.settimeout(10)
    c.send(request("POST", "/", [("x-do", "delay=300;body=ok")], b"0123456789abcdef" * (1 << 19)))
    return [t.answer(c, timeout=10).get("body"), t.seen()[0]["body"]]


@g.case("many-clients")
def _(t):
    cs = [t.conn("p") for _ in range(60)]
    for i, c in enumerate(cs):
        c.send(request("GET", f"/{i}", [("x-do", f"delay=50;body=b{i}")]))
    return sum(c.answer().body == b"b%d" % i for i, c in enumerate(cs))


g = Group("http1-trailers", "http1")
g.cluster(
    "b1",
    extra="""
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": @T@upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http_protocol_options: {enable_trailers: true}}
""",
)
g.http("p", B, hcm="http_protocol_options: {enable_trailers: true}")
g.get("request", "p", "/", method="POST", body="hello", chunked=True, trailers=[("X-Trailer", "1"), ("x-two", "2")])
g.get("answer", "p", "/", [("x-do", "body=hello;trailer=x-t:1;trailer=X-U:2")])
g.get("answer.te", "p", "/", [("TE", "trailers"), ("x-do", "body=hello;trailer=x-t:1")])
g.get("both", "p", "/", [("x-do", "trailer=x-t:1")], method="POST", body="hello", chunked=True, trailers=[("x-r", "1")])

# ---- Expect
g = Group("http1-expect", "http1")
g.cluster("b1")
g.http("e", B)
g.http("proxy", B, hcm="proxy_100_continue: true")
for port in ("e", "proxy"):
    script(
        g,
        port + ".waits",
        port,
        f"POST / HTTP/1.1\r\n{H}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        0.1,
        "state",
        "hello",
        "answer",
        "state",
    )
    script(
        g,
        port + ".does-not-wait",
        port,
        f"POST / HTTP/1.1\r\n{H}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "answer",
        "state",
    )
    script(
        g,
        port + ".refused",
        port,
        f"POST / HTTP/1.1\r\n{H}x-do: early;status=417\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "answer",
        "closed?",
    )
script(
    g,
    "direct",
    "e",
    f"POST /direct HTTP/1.1\r\n{H}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "answer",
    "closed?",
)
script(
    g, "other-value", "e", f"POST / HTTP/1.1\r\n{H}Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", "answer", "state"
)
script(
    g, "upper", "e", f"POST / HTTP/1.1\r\n{H}Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello", "answer", "state"
)
script(g, "no-body", "e", f"GET / HTTP/1.1\r\n{H}Expect: 100-continue\r\n\r\n", "answer", "state")

# ---- upgrades and CONNECT
g = Group("http1-upgrade", "http1")
g.cluster("b1")
g.cluster("t1")
g.http(
    "ws",
    """
    - match: {prefix: /off}
      route: {cluster: b1, upgrade_configs: [{upgrade_type: websocket, enabled: false}]}
    - match: {prefix: /}
      route: {cluster: b1, timeout: 0.3s}
""",
    hcm="upgrade_configs: [{upgrade_type: websocket}]",
)
g.http("other", B, hcm="upgrade_configs: [{upgrade_type: custom-proto}]")
g.http("none", B)
g.http(
    "route",
    """
    - match: {prefix: /on}
      route: {cluster: b1, upgrade_configs: [{upgrade_type: websocket}]}
    - match: {prefix: /}
      route: {cluster: b1}
""",
)
WS = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"


def upgrade(name, port, path="/", headers=WS, do="upgrade", wait=0.0):
    @g.case(name)
    def _(t):
        c = t.conn(port)
        c.send(f"GET {path} HTTP/1.1\r\n{H}{headers}x-do: {do}\r\n\r\n")
        r = t.answer(c)
        r["seen"] = t.seen()
        if r.get("status") == 101:
            c.send(b"ping\x00\xff")
            time.sleep(max(0.1, wait))
            c.send(b"more")
            time.sleep(0.1)
            r["bytes"] = c.rest(0.1)[0].decode("latin-1")
            c.half_close()
            r["end"] = c.state(1.0)
        else:
            r["conn"] = c.state(2.0 if ["connection", "close"] in r.get("headers", ()) else 0.1)
        return r


upgrade("websocket", "ws")
upgrade("websocket.longer-than-route-timeout", "ws", wait=0.6)
upgrade("websocket.upper", "ws", headers="Connection: UPGRADE\r\nUpgrade: WebSocket\r\n")
upgrade("websocket.connection-list", "ws", headers="Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n")
upgrade("websocket.refused-by-upstream", "ws", do="status=403")
upgrade("websocket.accepted-as-200", "ws", do="body=plain")
upgrade("websocket.route-off", "ws", "/off")
upgrade("websocket.no-connection-header", "ws", headers="Upgrade: websocket\r\n", do="body=x")
upgrade("websocket.no-upgrade-header", "ws", headers="Connection: Upgrade\r\n", do="body=x")
upgrade("other-protocol", "ws", headers="Connection: Upgrade\r\nUpgrade: custom-proto\r\n")
upgrade("other-protocol.allowed", "other", headers="Connection: Upgrade\r\nUpgrade: custom-proto\r\n")
upgrade("not-allowed", "none")
upgrade(
    "not-allowed.h2c",
    "none",
    headers="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    do="body=x",
)
upgrade("route-on", "route", "/on")
upgrade("route-on.other-route", "route", "/")
script(g, "connect", "none", "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n", "answer", "closed?")
script(g, "connect.no-port", "none", "CONNECT h.test HTTP/1.1\r\nHost: h.test\r\n\r\n", "answer", "closed?")
script(g, "connect.path", "none", "CONNECT / HTTP/1.1\r\nHost: h.test\r\n\r\n", "answer", "closed?")
