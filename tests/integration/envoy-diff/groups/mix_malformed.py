"""Malformed requests and answers that are like none of the other files."""

import time

from lib.case import Group

H = "Host: h.test\r\n"
G = "GET /m HTTP/1.1\r\n" + H

g = Group("mix-malformed", "malformed")
g.cluster("b1")
ROUTES = "- match: {prefix: /direct}\n  direct_response: {status: 200, body: {inline_string: d}}\n- match: {prefix: /}\n  route: {cluster: b1}\n"
g.http("p", ROUTES)
g.http("ten", ROUTES, hcm="http_protocol_options: {accept_http_10: true}\nnormalize_path: true\nmerge_slashes: true")


def whole(t):
    """The requests that came to the upstream whole, without what every request gets."""
    out = []
    for e in t.seen():
        if e.get("complete") is not False:
            out.append({k: [h for h in v if not h[0].startswith("x-")] if k == "headers" else v for k, v in e.items() if k != "server"})
    return out


def bad(name, data, port="p", wait=0.15, answers=1):
    @g.case(name)
    def _(t):
        c = t.conn(port)
        c.send(data)
        out = []
        for _ in range(answers):
            r = t.answer(c, timeout=wait)
            closes = ["connection", "close"] in r.get("headers", ())
            out.append({k: r[k] for k in ("status", "body", "answer") if k in r} | ({"closes": True} if closes else {}))
            if "upstream" in r:
                out[-1].pop("body", None)
        out.append(c.state(2.0 if closes else 0.02))
        return [out, whole(t)]


LINES = ("GET  /m HTTP/1.1", "GET /m  HTTP/1.1", " GET /m HTTP/1.1", "GET /m HTTP/1.1 ", "GET\t/m\tHTTP/1.1", "GET /m HTTP/1.1\t", "GET /m http/1.1", "GET /m HTTP/1,1", "GET /m HTTP/01.1", "GET /m HTTP/1.10", "GET /m HTTP/1.1x", "GET /m HTTPS/1.1", "GET /m ICE/1.0",
         "G@T /m HTTP/1.1", "GE\x00T /m HTTP/1.1", "GET /\x00 HTTP/1.1", "GET /a\x7f HTTP/1.1", "GET /a\x01 HTTP/1.1", "GET /\x80\xff HTTP/1.1", "GET /m\r HTTP/1.1", "GET m HTTP/1.1", "GET ./m HTTP/1.1", "GET ?m HTTP/1.1", "GET #m HTTP/1.1", "GET \\m HTTP/1.1", "GET /m", "GET", "GET ", "/m HTTP/1.1", "HTTP/1.1 200 OK",
         "PRI * HTTP/2.0", "GET" + "T" * 40 + " /m HTTP/1.1", "GET /" + "a" * 9000 + " HTTP/1.1", "OPTIONS /* HTTP/1.1", "OPTIONS * HTTP/1.1", "HEAD * HTTP/1.1", "GET http://h.test:0x50/m HTTP/1.1", "GET http://h.test:-1/m HTTP/1.1", "GET http://h.test:65536/m HTTP/1.1", "GET http://h.test:65535/m HTTP/1.1", "GET http://[::1/m HTTP/1.1", "GET http://::1/m HTTP/1.1",
         "GET http://a_b.test/m HTTP/1.1", "GET http://a@b@c/m HTTP/1.1", "GET http://%41.test/m HTTP/1.1", "GET http://h.test\\m HTTP/1.1", "GET https:h.test/m HTTP/1.1", "GET javascript:alert(1) HTTP/1.1", "GET file:///etc HTTP/1.1", "GET ws://h.test/m HTTP/1.1")
for i, x in enumerate(LINES):
    bad(f"line.{i}", f"{x}\r\n{H}\r\n")
    if "HTTP/1.1" in x and i % 3 == 0:
        bad(f"line.{i}.ten", f"{x.replace('HTTP/1.1', 'HTTP/1.0')}\r\n{H}\r\n", "ten")
HEADERS = ("a b: c", "a\t: c", " a: c", "\ta: c", ": c", ":", "a", "a;b: c", "a(b): c", "a\"b: c", "a/b: c", "a[b]: c", "a{: c", "a@b: c", "a=b: c", "a,b: c", "\xe9: c", "a\x80: c", "!#$%&'*+-.^_`|~1: c", "a: b\x01c", "a: b\x1fc", "a: b\x7fc", "a: \xff\xfe", "a: b\tc", "a:\t b \t", "a:b", "a::b", "a: :b", "a: ", "a:\x0bb", "a: \x0cb",
           "a: b\x00", "content-length: 0\r\nContent-Length: 0", "content-length: ", "content-length: -0", "content-length: 0x0", "content-length: 0 ", "content-length: 0,0", "content-length: 0, 0", "content-length: 00", "content-length: 1e0", "content-length: \xb2", "content-length: 18446744073709551615", "content-length: 9223372036854775808", "content-length: 0;", "content-length: 0\t",
           "transfer-encoding: ", "transfer-encoding: identity", "transfer-encoding: identity, chunked", "transfer-encoding: chunked, identity", "transfer-encoding: chunked, chunked", "transfer-encoding: gzip, chunked", "transfer-encoding: chunked;q=1", "transfer-encoding: \"chunked\"", "transfer-encoding: xchunked", "transfer-encoding: ,chunked", "transfer-encoding: chunked,", "transfer-encoding : chunked", "transfer_encoding: chunked",
           "host: h.test", "Host: h.test\r\nHost: other", "host: ", "connection: close\r\nconnection: upgrade", "upgrade: ", "expect: ", "expect: 100-continue, x", "te: chunked", "trailer: content-length", "cookie: a=b; c=\xe9", "authorization: \x02", "x" * 300 + ": y", "a: " + "b" * 30000, "keep-alive: \x7f", "sec-fetch: a\\b", "a: b\r\na: b\r\nA: c")
for i, x in enumerate(HEADERS):
    bad(f"header.{i}", f"{G}{x}\r\n\r\n")
    if i % 4 == 0:
        bad(f"header.{i}.direct", f"GET /direct HTTP/1.1\r\n{H}{x}\r\n\r\n")
for i, x in enumerate(("h test", "h\ttest", "h/test", "h?test", "h#test", "h\\test", "user@h", "h:80:80", "h:x", "h:-1", "h:99999", "[::1", "::1", "[::1]x", "[::1]:80x", "h%20", "h%zz", "h,i", "h;i", "<h>", "\"h\"", "h\xe9", "h\x7f", "*", "..", "h..i", "-", "h|i", "h^i", "h`", "{h}", "a" * 300)):
    bad(f"host.{i}", f"GET /m HTTP/1.1\r\nHost: {x}\r\n\r\n")
POST = "POST /m HTTP/1.1\r\n" + H
CH = POST + "Transfer-Encoding: chunked\r\n\r\n"
for i, x in enumerate(("3\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n00000\r\n\r\n", "0003\r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n", "-3\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3h\r\nabc\r\n0\r\n\r\n", " 3\r\nabc\r\n0\r\n\r\n", "\r\n3\r\nabc\r\n0\r\n\r\n", "3;a\r\nabc\r\n0\r\n\r\n", "3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n", "3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
                       "3 ;a=b\r\nabc\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n", "a\r\n0123456789\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3\r\nab\r\n0\r\n\r\n", "3\r\nabc0\r\n\r\n", "3\r\nabc\r\n0\r\nA: b\r\n\r\n", "3\r\nabc\r\n0\r\nbad trailer\r\n\r\n", "3\r\nabc\r\n0\r\nA : b\r\n\r\n", "3\r\nabc\r\n0\r\n: b\r\n\r\n", "3\r\nabc\r\n0\r\nA: \x00\r\n\r\n", "3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n",
                       "ffffffffffffffff\r\nabc", "10000000000000000\r\nabc", "7fffffffffffffff\r\nabc", "\r\n\r\n", ";\r\n\r\n", "g\r\n\r\n", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\n", "0\r\n\r\nGET", "0\r\n\r\n" + G + "\r\n")):
    bad(f"chunk.{i}", CH + x)
    if i % 5 == 0:
        bad(f"chunk.{i}.direct", CH.replace("/m", "/direct") + x)
for i, x in enumerate(("Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" + H + "\r\n", "Content-Length: 3\r\n\r\nabcd", "Content-Length: 3\r\n\r\nabc\r\n\r\n", "Content-Length: 3\r\n\r\nabc\n", "Content-Length: 3\r\n\r\nabc\x00", "Content-Length: +3\r\n\r\nabc", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                       "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "Content-Length: 3, 3\r\n\r\nabc", "Content-Length: 3\r\n X: y\r\n\r\nabc", "Content-Length: 0\r\n\r\nabc", "\r\nabc", "Connection: close\r\nContent-Length: 1\r\n\r\nxyz")):
    bad(f"body.{i}", POST + x, answers=2)
for i, x in enumerate(("\r\n" * 3 + G + "\r\n", "\r\n" * 600 + G + "\r\n", "\n" + G + "\r\n", "\r" + G + "\r\n", " \r\n" + G + "\r\n", "\x00", "\x16\x03\x01\x02\x00", "SSH-2.0-x\r\n", "\xff\xfe", "{}\r\n", "GET", "\r\n", G + "a: b", G.replace("\r\n", "\n") + "\n", G + "\r\n" + G, G + "\r\n\r\n\r\n" + G + "\r\n", G + "\r\nBAD\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + G + "\r\n")):
    bad(f"stream.{i}", x, answers=2)
for k in (99, 100, 101):
    bad(f"count.{k}", G + "".join(f"x-{i}: 1\r\n" for i in range(k - 1)) + "\r\n")
for k in (61000, 61300, 61440, 62000):
    bad(f"size.{k}", G + "x: " + "y" * (k - 60) + "\r\n\r\n")

# ---- answers
g = Group("mix-answers", "http1")
g.cluster("b1")
g.http("p", "- match: {prefix: /}\n  route: {cluster: b1, timeout: 0.25s}\n")
OK = "HTTP/1.1 200 OK\r\n"
ANSWERS = (OK + "content-length: 2\r\n\r\nok", OK + "content-length: 2\r\n\r\nokmore", OK + "content-length: 5\r\n\r\nok", OK + "content-length: 2\r\ncontent-length: 2\r\n\r\nok", OK + "content-length: 2\r\ncontent-length: 3\r\n\r\nok", OK + "content-length: 2, 2\r\n\r\nok", OK + "content-length: +2\r\n\r\nok", OK + "content-length: x\r\n\r\nok", OK + "content-length:\r\n\r\nok", OK + "content-length: 02\r\n\r\nok",
           OK + "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", OK + "transfer-encoding: gzip\r\n\r\nok", OK + "transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", OK + "transfer-encoding: identity\r\n\r\nok", OK + "Transfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", OK + "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n", OK + "transfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n", OK + "transfer-encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
           OK + "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n", OK + "transfer-encoding: chunked\r\n\r\n0\r\n\r\nextra", OK + "\r\nok", OK + "\r\n", "HTTP/1.1 200\r\n\r\nok", "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1  200 OK\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 -1 OK\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nok", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok", "HTTP/0.9 200 OK\r\ncontent-length: 2\r\n\r\nok",
           "http/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "ICY 200 OK\r\n\r\n", "ok\r\n\r\n", "\r\n\r\n", "\r\n" + OK + "content-length: 2\r\n\r\nok", " " + OK + "\r\n", "<html>", "", "\x00" * 20, "\x15\x03\x01\x00\x02\x02\x16", "SSH-2.0-x\r\n", OK + "a b: c\r\ncontent-length: 0\r\n\r\n", OK + " a: c\r\ncontent-length: 0\r\n\r\n", OK + "a : c\r\ncontent-length: 0\r\n\r\n", OK + ": c\r\ncontent-length: 0\r\n\r\n", OK + "a\r\ncontent-length: 0\r\n\r\n",
           OK + "a: b\x00c\r\ncontent-length: 0\r\n\r\n", OK + "a: b\x01c\r\ncontent-length: 0\r\n\r\n", OK + "a: \xe9\r\ncontent-length: 0\r\n\r\n", OK + "a: b\r\n c\r\ncontent-length: 0\r\n\r\n", OK + "a: b\rc\r\ncontent-length: 0\r\n\r\n", OK.replace("\r\n", "\n") + "content-length: 2\n\nok", OK + "x: " + "y" * 70000 + "\r\ncontent-length: 0\r\n\r\n", OK + "".join(f"x-{i}: 1\r\n" for i in range(110)) + "content-length: 0\r\n\r\n", OK + "content-length: 0\r\nx_y: 1\r\n\r\n",
           "HTTP/1.1 100 Continue\r\n\r\n" + OK + "content-length: 2\r\n\r\nok", "HTTP/1.1 102 P\r\nx-a: 1\r\n\r\n" + OK + "content-length: 2\r\n\r\nok", "HTTP/1.1 103 E\r\nlink: a\r\n\r\nHTTP/1.1 103 E\r\nlink: b\r\n\r\n" + OK + "content-length: 2\r\n\r\nok", "HTTP/1.1 199 X\r\n\r\n" + OK + "content-length: 2\r\n\r\nok", "HTTP/1.1 100 Continue\r\ncontent-length: 2\r\n\r\nok" + OK + "content-length: 2\r\n\r\nok", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
           "HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 204 No\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 204 No\r\n\r\nextra", "HTTP/1.1 205 R\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 304 N\r\ncontent-length: 2\r\n\r\n", "HTTP/1.1 304 N\r\ntransfer-encoding: chunked\r\n\r\n", "HTTP/1.1 304 N\r\n\r\n", "HTTP/1.1 304 N\r\ncontent-length: 2\r\n\r\nok",
           OK + "connection: close\r\ncontent-length: 2\r\n\r\nok", OK + "connection: keep-alive, x-a\r\nx-a: 1\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok", OK + "connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nok", OK + "trailer: x\r\nte: trailers\r\nproxy-connection: a\r\nexpect: b\r\ncontent-length: 2\r\n\r\nok", OK + "content-length: 2\r\n\r\nok" + OK + "content-length: 3\r\n\r\nbad", "HTTP/1.1 999 X\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 600 X\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 1000 X\r\n\r\n")


def answer(name, raw, method="GET", stay=False):
    @g.case(name)
    def _(t):
        t.up.raws["it"] = raw.encode("latin-1")
        r = t.req("p", method, "/a", [("x-do", "raw=it" + (";stay" if stay else ""))], timeout=2)
        time.sleep(0.02)
        t.up.closing = False
        second = t.req("p", "GET", "/b", [("x-do", "body=fine")], only=("status", "body"))
        return [r, second]


for i, x in enumerate(ANSWERS):
    answer(f"raw.{i}", x)
    if i % 4 == 0:
        answer(f"raw.{i}.stay", x, stay=True)
    if i % 6 == 0:
        answer(f"raw.{i}.head", x, "HEAD")
    if i % 14 == 0:
        answer(f"raw.{i}.post", x, "POST")
