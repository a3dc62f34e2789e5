#!/usr/bin/env python3
"""What a Dubbo proxy answers when something is wrong: no route, upstreams that fail, broken frames.

usage: answers.py [--expect FILE] [--port BASE] COMMAND...

COMMAND starts the proxy; {config} in it becomes the path of an Envoy bootstrap with one dubbo_proxy
listener a case. Prints the answers as JSON, one case a line; with --expect compares status, event and end of
the connection with FILE. A subject that dies is noted and started again.
  answers.py --expect envoy-1.40.0.json build/peers/envoy/envoy -c {config} --concurrency 1 -l error
Exit status: 0 as expected, 1 not, 2 the subject does not start.
"""
import argparse
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FRAMES = os.path.join(HERE, "..", "..", "data", "dubbo")
WAIT = 0.7  # seconds until "no answer"
SERVICE = "demo.GreetingService"


def frame(name):
    with open(os.path.join(FRAMES, name + ".bin"), "rb") as f:
        return f.read()


HELLO, ONEWAY, BEAT, FASTJSON2, OK = map(frame, (
    "v3-hello-001-c2s", "v3-oneway-001-c2s", "v3-heartbeat-003-c2s", "v3-fastjson2-001-c2s", "v3-hello-002-s2c"))


def request(body, flag=0xC2, length=None):
    return struct.pack(">BBBBQI", 0xDA, 0xBB, flag, 0, 7, len(body) if length is None else length) + body


LEAD = b"\x052.0.2\x14" + SERVICE.encode() + b"\x050.0.0\x08sayHello"
ARG = LEAD + b"\x12Ljava/lang/String;"

# name: (upstream, bytes, half-close after them)
CASES = {
    "ok": ("echo", HELLO, False),
    "no-route": ("no-route", HELLO, False),
    "no-route-oneway": ("no-route", ONEWAY, False),
    "no-hosts": ("empty", HELLO, False),
    "unknown-cluster": ("unknown", HELLO, False),
    "upstream-refuses": ("refused", HELLO, False),
    "upstream-closes": ("closes", HELLO, False),
    "upstream-cuts": ("cuts", HELLO, False),
    "upstream-garbage": ("garbage", HELLO, False),
    "heartbeat": ("echo", BEAT, False),
    "heartbeat-then-call": ("echo", BEAT + HELLO, False),
    "fastjson2": ("echo", FASTJSON2, False),
    "kryo": ("echo", HELLO[:2] + b"\xc8" + HELLO[3:], False),
    "bad-magic": ("echo", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", False),
    "call-then-bad-magic": ("echo", HELLO + b"x" * 32, False),
    "cut-frame": ("echo", HELLO[:100], True),
    "over-16-mib": ("echo", request(b"", length=(16 << 20) + 1), False),
    "length-minus-1": ("echo", request(b"", length=0xFFFFFFFF), False),
    "cut-body": ("echo", request(LEAD), False),
    "bad-argument": ("echo", request(ARG + b"Z"), False),
    "deep": ("echo", request(ARG + b"W" * 200000), False),
    "cut-attachments-then-call": ("echo", request(LEAD + b"\x00H\x01aZ") + HELLO, False),
    "no-attachments": ("echo", request(LEAD + b"\x00"), False),
    "empty-body": ("echo", request(b""), False),
    "response-from-client": ("echo", OK, False),
}


# ---- upstreams ---------------------------------------------------------------------------------

def reply_to(data):
    return OK[:4] + data[4:12] + OK[12:]


def up_echo(c):
    while data := c.recv(1 << 18):
        if not data[2] & 0x20:
            c.sendall(reply_to(data))


def up_closes(c):
    c.recv(65536)


def up_cuts(c):
    c.sendall(reply_to(c.recv(65536))[:30])


def up_garbage(c):
    c.recv(65536)
    c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    time.sleep(WAIT)


UPSTREAMS = {"echo": up_echo, "closes": up_closes, "cuts": up_cuts, "garbage": up_garbage}


def serve(handler):
    s = socket.create_server(("127.0.0.1", 0))

    def one(c):
        try:
            handler(c)
        except OSError:
            pass
        c.close()

    def loop():
        while True:
            threading.Thread(target=one, args=(s.accept()[0],), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


# ---- the subject -------------------------------------------------------------------------------

def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(name, port):
    interface = "other.Service" if name == "no-route" else SERVICE
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy",
        "stat_prefix": "d", "protocol_type": "Dubbo", "serialization_type": "Hessian2",
        "route_config": [{"name": "r", "interface": interface, "routes": [
            {"match": {"method": {"name": {"exact": "sayHello"}}},
             "route": {"cluster": "echo" if name == "no-route" else name}}]}],
        "dubbo_filters": [{"name": "envoy.filters.dubbo.router"}]}
    return {"name": name, "address": address(port),
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.dubbo_proxy", "typed_config": proxy}]}]}


def cluster(name, port):
    hosts = [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}] if port else []
    return {"name": name, "connect_timeout": "1s", "type": "STATIC",
            "load_assignment": {"cluster_name": name, "endpoints": hosts}}


class Subject:
    def __init__(self, command, base):
        names = sorted({case[0] for case in CASES.values()})
        self.ports = {name: base + i for i, name in enumerate(names)}
        clusters = [cluster(name, serve(UPSTREAMS[name])) for name in sorted(UPSTREAMS)]
        clusters += [cluster("empty", 0), cluster("refused", free_port())]
        self.file = tempfile.NamedTemporaryFile("w", suffix=".json")
        json.dump({"static_resources": {"listeners": [listener(n, p) for n, p in self.ports.items()],
                                        "clusters": clusters}}, self.file)
        self.file.flush()
        self.command = [a.replace("{config}", self.file.name) for a in command]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            if self.process.poll() is not None:
                break
            try:
                for port in self.ports.values():
                    socket.create_connection(("127.0.0.1", port)).close()
                time.sleep(0.2)
                return
            except OSError:
                time.sleep(0.1)
        print("answers.py: the subject does not listen:", " ".join(self.command), file=sys.stderr)
        self.stop()
        sys.exit(2)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def ask(self, name, data, half_close):
        out, end = b"", "open"
        with socket.create_connection(("127.0.0.1", self.ports[name])) as s:
            s.settimeout(WAIT)
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                while piece := s.recv(65536):
                    out += piece
                end = "closed"
            except socket.timeout:
                pass
            except OSError:
                end = "closed"
        time.sleep(0.1)
        if self.process.poll() is not None:
            end = "subject died"
            self.start()
        return out, end


def frames_of(out):
    """The frames of an answer as [flag, status, text]."""
    got = []
    while len(out) >= 16:
        size = 16 + struct.unpack(">I", out[12:16])[0]
        got.append([f"{out[2]:02x}", out[3], out[16:size].decode("latin1")[:120]])
        out = out[size:]
    return got


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expect")
    parser.add_argument("--port", type=int, default=31100)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if not args.command:
        parser.error("COMMAND is missing")
    expected = None
    if args.expect:
        with open(args.expect) as f:
            expected = json.load(f)
    subject = Subject(args.command, args.port)
    wrong = 0
    try:
        for name, (upstream, data, half_close) in CASES.items():
            out, end = subject.ask(upstream, data, half_close)
            got = {"end": end, "frames": frames_of(out)}
            print(json.dumps({name: got}))
            if expected is None:
                continue
            want = expected[name]
            if end != want["end"] or [f[:2] for f in got["frames"]] != [f[:2] for f in want["frames"]]:
                wrong += 1
                print(f"answers.py: {name}: wanted {json.dumps(want)}", file=sys.stderr)
    finally:
        subject.stop()
    if expected is not None:
        print(f"answers.py: {len(CASES) - wrong} as expected, {wrong} not", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
