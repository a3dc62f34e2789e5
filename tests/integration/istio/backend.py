# SPDX-License-Identifier: Apache-2.0
"""The origin servers of the mesh: they answer with who they are and what they got, or do what the request tells them.

Header x-do: commands `word` or `word=value`, separated by `;`:
  status=N   delay=MS   hdr=NAME:VALUE   reset (a TCP reset in place of an answer)   body=TEXT
  at=NAME  only that server does what follows, others answer as usual
  first=N,WHAT   WHAT (a status, `reset` or `delay500`) for the first N requests of this x-case, then as usual
Header x-case names the case; Hits counts requests by case and server. TCP servers say their name and repeat what they get.
"""
import collections
import json
import socket
import ssl
import struct
import threading
import time

from server import Reader


class Hits:
    """Requests by case and server, from all servers of the mesh."""

    def __init__(self):
        self.lock, self.counts = threading.Lock(), collections.defaultdict(collections.Counter)

    def add(self, case, server):
        """Notes one and returns how many the case had before."""
        with self.lock:
            before = sum(self.counts[case].values())
            self.counts[case][server] += 1
            return before

    def of(self, case):
        with self.lock:
            return dict(sorted(self.counts[case].items()))


def read_request(r):
    """(request line, [(name, value)], body)."""
    lines = r.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
    headers = [(n.lower(), v.strip()) for n, _, v in (x.partition(":") for x in lines[1:])]
    low = dict(headers)
    if "chunked" in low.get("transfer-encoding", ""):
        body = b""
        while size := int(r.until(b"\r\n").split(b";")[0], 16):
            body += r.take(size)
            r.take(2)
        while r.until(b"\r\n"):
            pass
    else:
        body = r.take(int(low.get("content-length", 0)))
    return lines[0], headers, body


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise EOFError


def split(what):
    """The command of first=N,WHAT as (word, value)."""
    if what.startswith("delay"):
        return "delay", what[5:]
    return ("reset", "") if what == "reset" else ("status", what)


def http(name, hits):
    """An HTTP/1 server of that name."""
    def serve(s, have=b""):
        r = Reader(s, have)
        while True:
            line, headers, body = read_request(r)
            low = dict(headers)
            before = hits.add(low.get("x-case", ""), name)
            do = [tuple(x.partition("=")[::2]) for x in low.get("x-do", "").split(";") if x]
            status, more, text, delay = 200, [("x-backend", name)], None, 0
            for word, value in do:
                if word == "at":
                    if value != name:
                        break
                elif word == "first":
                    times, what = value.split(",")
                    if before >= int(times):
                        continue
                    word, value = split(what)
                if word == "status":
                    status = int(value)
                elif word == "delay":
                    delay = int(value)
                elif word == "hdr":
                    more.append(tuple(value.split(":", 1)))
                elif word == "reset":
                    reset(s)
                elif word == "body":
                    text = value
            time.sleep(delay / 1000)
            if text is None:
                text = json.dumps({"server": name, "line": line, "headers": headers, "body": body.decode("latin-1"),
                                   "peer": s.getpeername()[0].replace("::ffff:", "")})
            if line.startswith("HEAD "):
                text = ""
            data = text.encode()
            head = "".join(f"{n}: {v}\r\n" for n, v in more)
            s.sendall(f"HTTP/1.1 {status} Said\r\n{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            if low.get("connection", "").lower() == "close":
                return
    return serve


def tcp(name, hits):
    """Says its name and the client's address, then repeats."""
    def serve(s):
        data = s.recv(65536)
        if not data:
            return
        hits.add("tcp", name)
        s.sendall(f"{name} {s.getpeername()[0].replace('::ffff:', '')}\n".encode())
        while data:
            s.sendall(data)
            data = s.recv(65536)
    return serve


def mixed(name, hits):
    """HTTP if it looks like it, else as tcp()."""
    speak_http, speak_tcp = http(name, hits), tcp(name, hits)

    def serve(s):
        head = s.recv(4, socket.MSG_PEEK)
        (speak_http if head[:3] in (b"GET", b"POS", b"PUT") else speak_tcp)(s)
    return serve


def banner(name, hits):
    """Speaks first."""
    def serve(s):
        s.sendall(f"220 {name} ready\r\n".encode())
        hits.add("banner", name)
        while data := s.recv(65536):
            s.sendall(data)
    return serve


def tls(name, hits, certificate, key):
    """HTTP over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    speak = http(name, hits)

    def serve(s):
        with context.wrap_socket(s, server_side=True) as t:
            speak(t)
    return serve
