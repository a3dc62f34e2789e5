"""Malformed HTTP/1: what is answered, whether the connection stays, and which whole requests reach the upstream."""

import random

from lib.case import Group
from lib.client import Closed

B = """
    - match: {prefix: /direct}
      direct_response: {status: 200, body: {inline_string: direct}}
    - match: {prefix: /}
      route: {cluster: b1}
"""
H = b"Host: h.test\r\n"


def answers(c, limit=4):
    """The answers on a connection, as [status, body] with whether each announces the close, then the state."""
    out = []
    for _ in range(limit):
        try:
            a = c.answer(timeout=0.15 if out else 0.6)
        except Closed:
            break
        except TimeoutError:
            break
        body = a.body.decode("latin-1") if not a.body.startswith(b'{"server"') else "<echo>"
        out.append([a.status, body, "close" if a.get("connection") == "close" else "keep"])
        if not a.complete or a.status < 0:
            break
    return out


def bad(group, name, data, port="m"):
    """Sends bytes. A request that reached the upstream counts when all of it did."""

    @group.case(name)
    def _(t):
        c = t.conn(port)
        c.send(data)
        out = {"answers": answers(c)}
        out["conn"] = c.state(2.0 if any(a[2] == "close" for a in out["answers"]) else 0.05)
        seen = [e for e in t.seen() if "complete" not in e]
        if seen:
            out["seen"] = [
                [
                    e["line"],
                    [
                        h
                        for h in e["headers"]
                        if not h[0].startswith("x-envoy") and h[0] not in ("x-request-id", "x-forwarded-proto")
                    ],
                    e.get("body", ""),
                ]
                for e in seen
            ]
        return out


def each(group, prefix, items, form):
    for n, x in items:
        bad(group, f"{prefix}.{n}", form(x))


def get(line=b"GET / HTTP/1.1", headers=b"", host=H, body=b""):
    return line + b"\r\n" + host + headers + b"\r\n" + body


def post(headers, body=b"hello"):
    return b"POST / HTTP/1.1\r\n" + H + headers + b"\r\n" + body


# ---- the request line
g = Group("malformed-line", "malformed")
g.cluster("b1")
g.http("m", B)
each(
    g,
    "line",
    (
        ("version-1.2", b"GET / HTTP/1.2"),
        ("version-2.0", b"GET / HTTP/2.0"),
        ("version-3", b"GET / HTTP/3"),
        ("version-lower", b"GET / http/1.1"),
        ("version-missing", b"GET /"),
        ("version-garbage", b"GET / FTP/1.1"),
        ("version-1.10", b"GET / HTTP/1.10"),
        ("version-01.1", b"GET / HTTP/01.1"),
        ("version-empty", b"GET / "),
        ("version-1.1x", b"GET / HTTP/1.1x"),
        ("version-space", b"GET / HTTP/1.1 "),
        ("version-1", b"GET / HTTP/1"),
        ("version-0.9", b"GET / HTTP/0.9"),
        ("version-dash", b"GET / HTTP-1.1"),
        ("two-spaces", b"GET  / HTTP/1.1"),
        ("two-spaces-version", b"GET /  HTTP/1.1"),
        ("tab", b"GET\t/ HTTP/1.1"),
        ("tab-version", b"GET /\tHTTP/1.1"),
        ("leading-space", b" GET / HTTP/1.1"),
        ("space-in-path", b"GET /a b HTTP/1.1"),
        ("no-path", b"GET HTTP/1.1"),
        ("method-only", b"GET"),
        ("relative-path", b"GET path HTTP/1.1"),
        ("query-without-path", b"GET ?a HTTP/1.1"),
        ("method-lower", b"get / HTTP/1.1"),
        ("method-mixed", b"Get / HTTP/1.1"),
        ("method-unknown", b"FOO / HTTP/1.1"),
        ("method-long", b"A" * 100 + b" / HTTP/1.1"),
        ("method-symbol", b"G@T / HTTP/1.1"),
        ("method-empty", b" / HTTP/1.1"),
        ("method-nul", b"G\0T / HTTP/1.1"),
        ("method-high", b"G\xc3T / HTTP/1.1"),
        ("path-nul", b"GET /a\0b HTTP/1.1"),
        ("path-control", b"GET /a\x01b HTTP/1.1"),
        ("path-del", b"GET /a\x7fb HTTP/1.1"),
        ("path-high", b"GET /a\xe4\xffb HTTP/1.1"),
        ("path-utf8", b"GET /caf\xc3\xa9 HTTP/1.1"),
        ("path-cr", b"GET /a\rb HTTP/1.1"),
        ("path-tab", b"GET /a\tb HTTP/1.1"),
        ("path-fragment", b"GET /a#frag HTTP/1.1"),
        ("path-fragment-query", b"GET /a?b#frag HTTP/1.1"),
        ("path-hash-only", b"GET # HTTP/1.1"),
        ("path-star-get", b"GET * HTTP/1.1"),
        ("path-10-kib", b"GET /" + b"a" * 10240 + b" HTTP/1.1"),
        ("path-70-kib", b"GET /" + b"a" * 71680 + b" HTTP/1.1"),
        ("uri-no-slashes", b"GET http:/h.test/ HTTP/1.1"),
        ("uri-empty-host", b"GET http:///x HTTP/1.1"),
        ("uri-bad-port", b"GET http://h.test:99999/ HTTP/1.1"),
        ("uri-port-word", b"GET http://h.test:abc/ HTTP/1.1"),
        ("uri-upper-scheme", b"GET HTTP://h.test/ HTTP/1.1"),
        ("uri-fragment", b"GET http://h.test/a#b HTTP/1.1"),
        ("uri-authority-only", b"GET h.test:80 HTTP/1.1"),
        ("uri-space", b"GET http://h test/ HTTP/1.1"),
    ),
    get,
)
bad(g, "line.bare-lf", b"GET / HTTP/1.1\n" + H + b"\r\n")
bad(g, "line.bare-cr", b"GET / HTTP/1.1\r" + H + b"\r\n")
bad(g, "line.crcrlf", b"GET / HTTP/1.1\r\r\n" + H + b"\r\n")
bad(g, "line.all-bare-lf", b"GET / HTTP/1.1\nHost: h.test\n\n")
bad(g, "line.empty-lines-before", b"\r\n\r\n" + get())
bad(g, "line.empty-lf-before", b"\n\n" + get())
bad(g, "line.spaces-before", b"  \r\n" + get())
bad(g, "line.many-empty-lines", b"\r\n" * 1000 + get())
bad(g, "line.nul-before", b"\0" + get())
bad(g, "line.only-empty-lines", b"\r\n\r\n\r\n")

# ---- header lines
g = Group("malformed-header", "malformed")
g.cluster("b1")
g.http("m", B)
each(
    g,
    "name",
    (
        ("space-before-colon", b"x-a : 1\r\n"),
        ("tab-before-colon", b"x-a\t: 1\r\n"),
        ("space-in-name", b"x a: 1\r\n"),
        ("leading-space", b" x-a: 1\r\n"),
        ("no-colon", b"x-a\r\n"),
        ("empty", b": 1\r\n"),
        ("nul", b"x\0a: 1\r\n"),
        ("control", b"x\x01a: 1\r\n"),
        ("high", b"x\xe4a: 1\r\n"),
        ("del", b"x\x7fa: 1\r\n"),
        ("parentheses", b"x(a): 1\r\n"),
        ("quote", b'x"a: 1\r\n'),
        ("slash", b"x/a: 1\r\n"),
        ("comma", b"x,a: 1\r\n"),
        ("at", b"x@a: 1\r\n"),
        ("brackets", b"x[a]: 1\r\n"),
        ("braces", b"x{a}: 1\r\n"),
        ("all-legal", b"!#$%&'*+-.^_`|~09: 1\r\n"),
        ("colon-first", b":path: /x\r\n"),
        ("pseudo-authority", b":authority: evil\r\n"),
        ("cr", b"x\ra: 1\r\n"),
        ("lf", b"x\na: 1\r\n"),
        ("long", b"x" * 20000 + b": 1\r\n"),
        ("underscore", b"x_a: 1\r\n"),
        ("two-colons", b"x-a:: 1\r\n"),
        ("no-space", b"x-a:1\r\n"),
    ),
    lambda h: get(headers=h),
)
each(
    g,
    "value",
    (
        ("nul", b"x-a: a\0b\r\n"),
        ("control", b"x-a: a\x01b\r\n"),
        ("del", b"x-a: a\x7fb\r\n"),
        ("high", b"x-a: \xe4\xf6\xff\r\n"),
        ("utf8", b"x-a: caf\xc3\xa9\r\n"),
        ("tab-inside", b"x-a: a\tb\r\n"),
        ("tabs-around", b"x-a:\t a \t\r\n"),
        ("bare-cr", b"x-a: a\rb\r\n"),
        ("bare-lf", b"x-a: a\nx-b: b\r\n"),
        ("cr-at-end", b"x-a: a\r\r\n"),
        ("escape", b"x-a: \x1b[1m\r\n"),
        ("obs-fold", b"x-a: one\r\n two\r\n"),
        ("obs-fold-tab", b"x-a: one\r\n\ttwo\r\n"),
        ("obs-fold-empty", b"x-a: one\r\n \r\n"),
        ("obs-fold-first", b"x-a:\r\n one\r\n"),
        ("obs-fold-twice", b"x-a: 1\r\n 2\r\n 3\r\n"),
        ("empty", b"x-a:\r\n"),
        ("lf-line-end", b"x-a: 1\n"),
        ("colon", b"x-a: b: c\r\n"),
    ),
    lambda h: get(headers=h),
)
each(
    g,
    "host",
    (
        ("missing", b""),
        ("empty", b"Host:\r\n"),
        ("two", b"Host: a.test\r\nHost: b.test\r\n"),
        ("two-same", b"Host: h.test\r\nHost: h.test\r\n"),
        ("list", b"Host: a.test, b.test\r\n"),
        ("space", b"Host: a b\r\n"),
        ("slash", b"Host: a/b\r\n"),
        ("at", b"Host: user@h.test\r\n"),
        ("port-word", b"Host: h.test:abc\r\n"),
        ("port-big", b"Host: h.test:99999\r\n"),
        ("high", b"Host: h\xe4.test\r\n"),
        ("nul", b"Host: h\0.test\r\n"),
        ("bracket", b"Host: [::1\r\n"),
        ("underscore", b"Host: a_b.test\r\n"),
        ("percent", b"Host: h%41.test\r\n"),
        ("question", b"Host: h?x\r\n"),
        ("hash", b"Host: h#x\r\n"),
        ("backslash", b"Host: h\\x\r\n"),
        ("quote", b'Host: h"x\r\n'),
        ("angle", b"Host: <h>\r\n"),
        ("obs-fold", b"Host: h.test\r\n x\r\n"),
        ("space-before-colon", b"Host : h.test\r\n"),
        ("star", b"Host: *\r\n"),
        ("colon-only", b"Host: :80\r\n"),
        ("long", b"Host: " + b"h" * 300 + b"\r\n"),
    ),
    lambda h: get(host=h),
)
bad(g, "first-line-folded", b"GET / HTTP/1.1\r\n x: y\r\n" + H + b"\r\n")
bad(g, "end.bare-lf", b"GET / HTTP/1.1\r\n" + H + b"\n")
bad(g, "end.lflf", b"GET / HTTP/1.1\r\nHost: h.test\n\n")
bad(g, "end.cr-only", b"GET / HTTP/1.1\r\n" + H + b"\r")
bad(g, "big.1-mib", get(headers=b"x-a: " + b"v" * (1 << 20) + b"\r\n"))
bad(g, "big.1-mib-many", get(headers=b"".join(b"x-%d: %s\r\n" % (i, b"v" * 1000) for i in range(1000))))
bad(g, "big.1-mib-never-ends", b"GET / HTTP/1.1\r\n" + H + b"x-a: " + b"v" * (1 << 20))
bad(g, "big.1-mib-name", get(headers=b"n" * (1 << 20) + b": v\r\n"))
bad(g, "many.10000", get(headers=b"".join(b"x-%d: v\r\n" % i for i in range(10000))))

# ---- the body's length
g = Group("malformed-length", "malformed")
g.cluster("b1")
g.http("m", B)
NEXT = b"GET /smuggled HTTP/1.1\r\n" + H + b"\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
each(
    g,
    "length",
    (
        ("negative", b"-5"),
        ("plus", b"+5"),
        ("hex", b"0x5"),
        ("word", b"five"),
        ("empty", b""),
        ("float", b"5.0"),
        ("exponent", b"5e0"),
        ("space-inside", b"5 5"),
        ("list-same", b"5, 5"),
        ("list-two", b"5, 6"),
        ("trailing-comma", b"5,"),
        ("huge", b"99999999999999999999999999"),
        ("2-to-64", b"18446744073709551616"),
        ("2-to-64-plus-5", b"18446744073709551621"),
        ("leading-zeros", b"0005"),
        ("tab", b"\t5\t"),
        ("octal", b"05"),
        ("minus-zero", b"-0"),
        ("quoted", b'"5"'),
        ("high", b"\xb5"),
    ),
    lambda v: post(b"Content-Length: " + v + b"\r\n") + NEXT,
)
bad(g, "length.two-same", post(b"Content-Length: 5\r\nContent-Length: 5\r\n") + NEXT)
bad(g, "length.two-different", post(b"Content-Length: 5\r\nContent-Length: 6\r\n") + NEXT)
bad(g, "length.two-different-second-zero", post(b"Content-Length: 5\r\nContent-Length: 0\r\n") + NEXT)
bad(g, "length.space-before-colon", post(b"Content-Length : 5\r\n") + NEXT)
bad(g, "length.and-chunked", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", CHUNKS) + NEXT)
bad(g, "length.and-chunked-other-order", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", CHUNKS) + NEXT)
bad(g, "length.and-identity", post(b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n") + NEXT)
bad(g, "length.get-with-body", b"GET / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\nhello" + NEXT)
bad(g, "length.too-little-body", post(b"Content-Length: 10\r\n"))
bad(g, "length.zero-with-body", post(b"Content-Length: 0\r\n", b"GET /smuggled HTTP/1.1\r\n" + H + b"\r\n"))
bad(g, "length.in-http-1.0", b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS)
each(
    g,
    "te",
    (
        ("identity", b"identity"),
        ("gzip", b"gzip"),
        ("gzip-chunked", b"gzip, chunked"),
        ("chunked-gzip", b"chunked, gzip"),
        ("chunked-chunked", b"chunked, chunked"),
        ("chunked-identity", b"chunked, identity"),
        ("upper", b"CHUNKED"),
        ("mixed", b"ChUnKeD"),
        ("trailing-comma", b"chunked,"),
        ("leading-comma", b", chunked"),
        ("parameter", b"chunked; q=1"),
        ("semicolon", b"chunked;"),
        ("xchunked", b"xchunked"),
        ("chunkedx", b"chunkedx"),
        ("empty", b""),
        ("space-inside", b"chun ked"),
        ("tab-before", b"\tchunked"),
        ("vertical-tab", b"\x0bchunked"),
        ("quoted", b'"chunked"'),
        ("trailing-space", b"chunked "),
        ("nul", b"chunked\0"),
    ),
    lambda v: post(b"Transfer-Encoding: " + v + b"\r\n", CHUNKS) + NEXT,
)
bad(g, "te.two-headers", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKS) + NEXT)
bad(g, "te.two-chunked", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKS) + NEXT)
bad(g, "te.folded", post(b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS) + NEXT)
bad(g, "te.space-before-colon", post(b"Transfer-Encoding : chunked\r\n", CHUNKS) + NEXT)
bad(g, "te.underscore", post(b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", b"hello") + NEXT)
bad(g, "te.get", b"GET / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS + NEXT)

# ---- chunks
g = Group("malformed-chunk", "malformed")
g.cluster("b1")
g.http("m", B)
g.http("trailers", B, hcm="http_protocol_options: {enable_trailers: true}")
TE = b"Transfer-Encoding: chunked\r\n"
each(
    g,
    "chunk",
    (
        ("size-word", b"zz\r\nhello\r\n0\r\n\r\n"),
        ("size-negative", b"-5\r\nhello\r\n0\r\n\r\n"),
        ("size-plus", b"+5\r\nhello\r\n0\r\n\r\n"),
        ("size-0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("size-empty", b"\r\nhello\r\n0\r\n\r\n"),
        ("size-space-before", b" 5\r\nhello\r\n0\r\n\r\n"),
        ("size-space-after", b"5 \r\nhello\r\n0\r\n\r\n"),
        ("size-tab-after", b"5\t\r\nhello\r\n0\r\n\r\n"),
        ("size-huge", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("size-2-to-64", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("size-bare-lf", b"5\nhello\r\n0\r\n\r\n"),
        ("size-bare-cr", b"5\rhello\r\n0\r\n\r\n"),
        ("data-longer", b"5\r\nhello!\r\n0\r\n\r\n"),
        ("data-shorter", b"6\r\nhello\r\n0\r\n\r\n"),
        ("data-no-crlf", b"5\r\nhello0\r\n\r\n"),
        ("data-bare-lf", b"5\r\nhello\n0\r\n\r\n"),
        ("extension", b"5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("extension-quoted", b'5;a="b;c"\r\nhello\r\n0\r\n\r\n'),
        ("extension-lf", b"5;a\nhello\r\n0\r\n\r\n"),
        ("extension-cr", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("extension-nul", b"5;a\0\r\nhello\r\n0\r\n\r\n"),
        ("extension-high", b"5;\xe4\r\nhello\r\n0\r\n\r\n"),
        ("extension-20-kib", b"5;" + b"e" * 20000 + b"\r\nhello\r\n0\r\n\r\n"),
        ("extension-empty", b"5;\r\nhello\r\n0\r\n\r\n"),
        ("extension-space", b"5 ; a\r\nhello\r\n0\r\n\r\n"),
        ("end-bare-lf", b"5\r\nhello\r\n0\n\n"),
        ("end-one-crlf", b"5\r\nhello\r\n0\r\n"),
        ("end-zeros", b"5\r\nhello\r\n0000\r\n\r\n"),
        ("zero-x", b"5\r\nhello\r\n0x\r\n\r\n"),
        ("after-end", b"5\r\nhello\r\n0\r\n\r\njunk"),
        ("size-g", b"5g\r\nhello\r\n0\r\n\r\n"),
        ("size-high", b"\xb5\r\nhello\r\n0\r\n\r\n"),
        ("size-long-zeros", b"0" * 100 + b"5\r\nhello\r\n0\r\n\r\n"),
    ),
    lambda b: post(TE, b),
)
for port in ("m", "trailers"):
    for n, x in (
        ("plain", b"x-t: 1\r\n"),
        ("content-length", b"content-length: 5\r\n"),
        ("host", b"host: evil\r\n"),
        ("transfer-encoding", b"transfer-encoding: chunked\r\n"),
        ("space-before-colon", b"x-t : 1\r\n"),
        ("no-colon", b"x-t\r\n"),
        ("nul", b"x-t: \0\r\n"),
        ("folded", b"x-t: 1\r\n 2\r\n"),
        ("70-kib", b"x-t: " + b"v" * 71680 + b"\r\n"),
        ("bare-lf", b"x-t: 1\n"),
    ):
        bad(
            g,
            f"{'trailer' if port == 'm' else 'kept-trailer'}.{n}",
            post(TE, b"5\r\nhello\r\n0\r\n" + x + b"\r\n"),
            port,
        )

# ---- no HTTP at all
g = Group("malformed-bytes", "malformed")
g.cluster("b1")
g.http("m", B)
RND = random.Random(7)
each(
    g,
    "bytes",
    (
        ("random", bytes(RND.randrange(256) for _ in range(500))),
        ("zeros", b"\0" * 200),
        ("text", b"hello there\r\n\r\n"),
        ("one-byte", b"\x16"),
        ("lf", b"\n" * 10),
        ("quit", b"QUIT\r\n"),
        (
            "tls-hello",
            bytes.fromhex(
                "16030100c8010000c403030000000000000000000000000000000000000000000000000000000000000000000002c02f0100"
            )
            + b"\0" * 60,
        ),
        ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("smtp", b"EHLO me\r\n"),
        ("redis", b"*1\r\n$4\r\nPING\r\n"),
        ("dubbo", b"\xda\xbb\xc2\x00" + b"\0" * 12),
        ("proxy-v1", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get()),
        ("proxy-v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\0" * 12 + get()),
        ("answer", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("utf16", "GET / HTTP/1.1\r\n".encode("utf-16")),
        ("bom", b"\xef\xbb\xbf" + get()),
        ("64-kib-no-newline", b"A" * 65536),
        ("1-mib-no-newline", b"A" * (1 << 20)),
        ("get-no-newline", b"GET /" + b"a" * (1 << 20)),
    ),
    lambda b: b,
)
bad(g, "after-good", get() + b"\x16\x03\x01\x00\x10garbage\r\n\r\n")
bad(g, "after-good-direct", get(b"GET /direct HTTP/1.1") + b"garbage\r\n\r\n")


@g.case("cut-in-head")
def _(t):
    c = t.conn("m")
    c.send(b"GET / HTTP/1.1\r\nHost: h")
    c.half_close()
    return {"answers": answers(c), "conn": c.state(1.0), "seen": t.seen()}


@g.case("still-serves")
def _(t):
    return t.req("m", path="/", headers=[("x-do", "body=alive")])
