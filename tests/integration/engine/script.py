# SPDX-License-Identifier: Apache-2.0
"""An upstream that does what the path of the request tells it, each stage of an exchange at a time.

/big/N  N bytes         /chunks/N/SIZE  N chunks and trailers     /cut/N/reset|close  the first N bytes of an answer, then the end
/close  /reset          no answer       /early  413, then close   /early-stay  200 before the body is read, the body after it
/upgrade  101, then "echo:" before what comes, "bye" after the client's half-close          /mute  nothing
/slow/N/MS  N pieces of 1 KiB            else: "METHOD PATH SUM", SUM being the length and checksum of the body
"""
import time
import zlib

from rig import Reader, answer, read_chunks, read_head, reset

BLOCK = bytes(range(256)) * 256  # 64 KiB


def pattern(n):
    """@n bytes that show when a piece is missing or doubled."""
    whole = b"".join(b"%08x" % i for i in range((n + 7) // 8))
    return whole[:n]


def summary(data):
    return f"{len(data)}-{zlib.crc32(data):08x}"


WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\nx-a: b\r\n\r\n" + b"0123456789" * 2
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-t: 1\r\n\r\n"


def send_chunks(s, n, size):
    s.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n")
    data = b""
    for i in range(n):
        piece = pattern(size)[: size - i % 7]
        data += piece
        s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    s.sendall(f"0\r\nx-sum: {summary(data)}\r\n\r\n".encode())


def upgraded(s, r):
    s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: test\r\n\r\nhello")
    while True:
        if r.have:
            data, r.have = r.have, b""
            s.sendall(b"echo:" + data)
        try:
            r.fill()
        except EOFError:
            break
    s.sendall(b"bye")


def read_body(r, m):
    if "chunked" in m.headers.get("transfer-encoding", ""):
        m.body, m.trailers = read_chunks(r)
    else:
        m.body = r.take(int(m.headers.get("content-length", 0)))


def one(s, r):
    """Serves one request. False: the connection ends."""
    m = read_head(r)
    method, path, _ = m.line.split(" ")
    what, *args = path.strip("/").split("/")
    if what == "reset":
        reset(s)
        return False
    if what == "close":
        return False
    if what == "early":
        answer(s, "too much", "413 Payload Too Large", [("connection", "close")])
        return False
    if what == "early-stay":
        answer(s, "early")
    if what == "upgrade":
        upgraded(s, r)
        return False
    read_body(r, m)
    if what == "big":
        answer(s, pattern(int(args[0])))
    elif what == "chunks":
        send_chunks(s, int(args[0]), int(args[1]))
    elif what in ("cut", "cut-chunked"):
        s.sendall((WHOLE if what == "cut" else CHUNKED)[: int(args[0])])
        if args[1] == "reset":
            reset(s)
        return False
    elif what == "mute":
        s.recv(1)  # whatever comes next ends it
        return False
    elif what == "slow":
        s.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {int(args[0]) * 1024}\r\n\r\n".encode())
        for _ in range(int(args[0])):
            s.sendall(b"x" * 1024)
            time.sleep(int(args[1]) / 1000)
    elif method == "HEAD":
        s.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
    elif what != "early-stay":
        answer(s, f"{method} {path} {summary(m.body)}{''.join(f' {k}={v}' for k, v in m.trailers.items())}")
    return "close" not in m.headers.get("connection", "")


def scripted(s):
    r = Reader(s)
    while one(s, r):
        pass
