# SPDX-License-Identifier: Apache-2.0
"""Dubbo frames by hand: a client socket that checks what it gets, providers whose answers a test decides,
and a TAP runner. The captured frames are in tests/data/dubbo."""
import os
import socket
import struct
import sys
import threading
import time
import traceback

from skiffd import ROOT, SERVICE

DATA = os.path.join(ROOT, "tests/data/dubbo")
HEADER = 16
BEAT = bytes.fromhex("dabbe200000000000000006300000001") + b"N"


def captured(name):
    with open(f"{DATA}/{name}.bin", "rb") as f:
        return f.read()


def with_id(frame, number):
    return frame[:4] + struct.pack(">Q", number) + frame[12:]


def text(s):
    """A hessian2 string of ASCII."""
    b = s.encode()
    out = b""
    while len(b) > 32768:
        out += b"R\x80\x00" + b[:32768]
        b = b[32768:]
    return out + (bytes([len(b)]) + b if len(b) < 32 else b"S" + struct.pack(">H", len(b)) + b)


def frame(flag, status, number, body, length=None):
    return struct.pack(">BBBBQI", 0xDA, 0xBB, flag, status, number, len(body) if length is None else length) + body


def lead(method="sayHello", interface=SERVICE, version="0.0.0"):
    return text("2.0.2") + text(interface) + text(version) + text(method)


def request(number, word, method="sayHello", flag=0xC2, **attachments):
    """sayHello(word) as a consumer sends it."""
    body = lead(method) + text("Ljava/lang/String;") + text(word) + b"H"
    for k, v in {"path": SERVICE, "interface": SERVICE, **attachments}.items():
        body += text(k) + text(v)
    return frame(flag, 0, number, body + b"Z")


def answer(number, value):
    return frame(0x02, 20, number, b"\x94" + text(value) + b"H\x05dubbo\x052.0.2Z")


def value_of(body):
    """The hessian2 string behind the first byte of an answer, or the text of an error."""
    at, out = 1 if 0x90 <= body[0] <= 0x95 else 0, b""
    while True:
        tag = body[at]
        if tag == 0x52 or tag == 0x53:
            n, at = struct.unpack(">H", body[at + 1:at + 3])[0], at + 3
        elif 0x30 <= tag <= 0x33:
            n, at = (tag - 0x30) << 8 | body[at + 1], at + 2
        elif tag < 0x20:
            n, at = tag, at + 1
        else:
            raise ValueError(f"not a string: {body[:40]!r}")
        out += body[at:at + n]
        at += n
        if tag != 0x52:
            return out.decode()


class Frames:
    """A socket read frame by frame."""

    def __init__(self, sock, timeout=10):
        self.sock, self.data = sock, b""
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def more(self, n):
        pieces, have = [self.data], len(self.data)
        while have < n:
            piece = self.sock.recv(1 << 18)
            if not piece:
                self.data = b"".join(pieces)
                return False
            pieces.append(piece)
            have += len(piece)
        self.data = b"".join(pieces)
        return True

    def next(self):
        """(flag, status, id, body), or None at the end of the connection."""
        if not self.more(HEADER):
            if self.data:
                raise ValueError(f"cut within a header: {self.data!r}")
            return None
        magic, flag, status, number, length = struct.unpack(">HBBQI", self.data[:HEADER])
        if magic != 0xDABB:
            raise ValueError(f"not a frame: {self.data[:40]!r}")
        if not self.more(HEADER + length):
            raise ValueError(f"cut within frame {number:x} of {length} bytes")
        body, self.data = self.data[HEADER:HEADER + length], self.data[HEADER + length:]
        return flag, status, number, body

    def is_closed(self):
        """Nothing more comes and the connection ends."""
        try:
            return self.next() is None
        except ConnectionError:
            return True


def client(port, timeout=10):
    return Frames(socket.create_connection(("127.0.0.1", port)), timeout)


class Upstream:
    """A provider: @serve(frames, provider) runs for each connection in a thread of its own."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.host = ("127.0.0.1", self.port)
        self.serve, self.conns, self.seen = serve, [], []
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            self.conns.append(sock)
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        try:
            self.serve(Frames(sock, None), self)
        except (OSError, ValueError):
            pass
        sock.close()

    def drop(self):
        """Breaks every connection and listens no more."""
        self.listener.close()
        for c in self.conns:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def word_of(body):
    """The argument of request()."""
    return value_of(b"\x94" + body[len(lead() + text("Ljava/lang/String;")):])


def expect(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def within(seconds, condition, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def run(cases):
    """Runs [(name, function)], prints TAP, exits. Arguments name the cases to run."""
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    only, failed = sys.argv[1:], 0
    cases = [c for c in cases if not only or any(o in c[0] for o in only)]
    print(f"1..{len(cases)}")
    for number, (name, case) in enumerate(cases, 1):
        start = time.monotonic()
        try:
            case()
            print(f"ok {number} - {name}\n# {time.monotonic() - start:.1f} s", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}")
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    sys.exit(1 if failed else 0)
