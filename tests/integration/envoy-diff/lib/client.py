"""Raw clients: bytes out, parsed answers in. Nothing is corrected on the way out."""

import socket
import struct
import time


class Closed(Exception):
    """The peer ended the connection before the answer was complete."""


class Answer:
    def __init__(self):
        self.status, self.reason, self.version = 0, "", ""
        self.headers, self.trailers, self.body, self.interim = [], [], b"", []
        self.framing = ""
        self.complete = True

    def get(self, name):
        for n, v in self.headers:
            if n.lower() == name:
                return v
        return None


class Conn:
    def __init__(self, port, timeout=4.0, source=None, host="127.0.0.1"):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.settimeout(timeout)
        if source:
            s.bind((source, 0))
        s.connect((host, port))
        self.s, self.buf, self.eof = s, b"", None
        self.timeout = timeout
        self.local_port = s.getsockname()[1]

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        try:
            self.s.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def fill(self, deadline):
        if self.eof:
            raise Closed(self.eof)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.s.settimeout(left)
        try:
            d = self.s.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            self.eof = "reset"
            raise Closed("reset")
        except socket.timeout:
            raise TimeoutError
        if not d:
            self.eof = "closed"
            raise Closed("closed")
        self.buf += d

    def until(self, mark, deadline):
        while mark not in self.buf:
            self.fill(deadline)
        i = self.buf.index(mark)
        head, self.buf = self.buf[:i], self.buf[i + len(mark) :]
        return head

    def exactly(self, n, deadline):
        while len(self.buf) < n:
            self.fill(deadline)
        d, self.buf = self.buf[:n], self.buf[n:]
        return d

    def answer(self, method="GET", timeout=None):
        """One final response with the interim ones before it."""
        end = time.monotonic() + (timeout or self.timeout)
        interim = []
        while True:
            a = self._head(end)
            if 100 <= a.status < 200 and a.status != 101:
                interim.append([a.status, a.headers])
                continue
            a.interim = interim
            try:
                self._body(a, method, end)
            except Closed as e:
                a.complete = False
                a.framing += " cut: " + str(e)
            return a

    def _head(self, end):
        lines = self.until(b"\r\n\r\n", end).decode("latin-1").split("\r\n")
        a = Answer()
        parts = lines[0].split(" ", 2) + ["", ""]
        a.version, a.reason = parts[0], parts[2]
        a.status = int(parts[1]) if parts[1].isdigit() else -1
        for l in lines[1:]:
            n, _, v = l.partition(":")
            a.headers.append([n, v.strip()])
        return a

    def _body(self, a, method, end):
        if method == "HEAD" or a.status in (204, 304, 101) or (method == "CONNECT" and a.status == 200):
            a.framing = "none"
            return
        te, cl = a.get("transfer-encoding"), a.get("content-length")
        if te and "chunked" in te:
            a.framing = "chunked"
            while True:
                size = int(self.until(b"\r\n", end).split(b";")[0], 16)
                if size == 0:
                    break
                a.body += self.exactly(size, end)
                self.exactly(2, end)
            while True:
                l = self.until(b"\r\n", end)
                if not l:
                    break
                n, _, v = l.decode("latin-1").partition(":")
                a.trailers.append([n, v.strip()])
        elif cl is not None:
            a.framing = "length"
            n = int(cl)
            while len(self.buf) < n:
                try:
                    self.fill(end)
                except Closed:
                    a.body, self.buf = self.buf, b""
                    raise
            a.body = self.exactly(n, end)
        else:
            a.framing = "close"
            try:
                while True:
                    self.fill(end)
            except Closed as e:
                if str(e) != "closed":
                    a.framing = "close by reset"
            a.body, self.buf = self.buf, b""

    def state(self, wait=0.03):
        """'open', 'closed' (EOF or reset) as seen within `wait` seconds."""
        if self.eof:
            return "closed"
        end = time.monotonic() + wait
        try:
            while True:
                self.fill(end)
        except TimeoutError:
            return "open"
        except Closed:
            return "closed"

    def rest(self, wait=1.0):
        """Everything until EOF or `wait` seconds: (bytes, open|closed)."""
        st = self.state(wait)
        d, self.buf = self.buf, b""
        return d, st

    def half_close(self):
        self.s.shutdown(socket.SHUT_WR)

    def reset(self):
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        try:
            self.s.close()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()


def request(method, path, headers=(), body=b"", host="h.test", version="1.1", chunked=False, trailers=()):
    """Bytes of one HTTP/1 request. A content-length is added for a body unless chunked or given."""
    out = [f"{method} {path} HTTP/{version}"]
    if host is not None:
        out.append(f"Host: {host}")
    names = {h[0].lower() for h in headers}
    out += [f"{n}: {v}" for n, v in headers]
    if isinstance(body, str):
        body = body.encode()
    if chunked:
        out.append("Transfer-Encoding: chunked")
        data = b""
        for part in (body if isinstance(body, (list, tuple)) else [body]):
            part = part.encode() if isinstance(part, str) else part
            if part:
                data += b"%x\r\n%s\r\n" % (len(part), part)
        data += b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in trailers) + b"\r\n"
    else:
        data = body
        if body and "content-length" not in names:
            out.append(f"Content-Length: {len(body)}")
    return "\r\n".join(out).encode("latin-1") + b"\r\n\r\n" + data
