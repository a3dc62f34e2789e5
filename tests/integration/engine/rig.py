# SPDX-License-Identifier: Apache-2.0
"""What the engine's tests share: a skiffd of the test's own, upstreams, raw clients, resources in Envoy's format, TAP.

Every Skiffd has its own folder, admin port, control socket and pin folder; everything is removed at the end. Sanitizer
reports and an end that is not clean fail the test that caused them. It knows nothing of namespaces: see ../pods.
"""
import atexit
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from http.client import HTTPConnection

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
from cases import until  # noqa: E402 (not on the path before)
from server import Reader, Server  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
SKIFFD = os.environ.get("SKIFFD") or os.path.join(BUILD, "skiffd")
SKIFFCTL = os.path.join(BUILD, "skiffctl")
ASAN = os.path.join(ROOT, "build-asan", "skiffd")
T = "type.googleapis.com/envoy.extensions."
START_S, STOP_S = 20, 15
REPORTS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "ThreadSanitizer")


def free_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def wait(what, condition, seconds=5.0):
    """Waits until @condition() is true and returns its value."""
    return until(condition, seconds, f"not within {seconds} s: {what}")


def expect(have, want, what=""):
    if have != want:
        raise AssertionError(f"{what + ': ' if what else ''}{have!r} instead of {want!r}")


# ---- resources -----------------------------------------------------------------------------------

def address(ip, port):
    return {"socket_address": {"address": ip, "port_value": port}}


def cluster(name, *ports, host="127.0.0.1", **more):
    """@ports: of hosts at @host, or (ip, port)."""
    hosts = [p if isinstance(p, tuple) else (host, p) for p in ports]
    return {"name": name, "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": name, "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address(*h)}} for h in hosts]}]}, **more}


def route(prefix, to, **action):
    return {"match": {"prefix": prefix}, "route": {"cluster": to, **action}}


def direct(prefix, body, status=200):
    return {"match": {"prefix": prefix}, "direct_response": {"status": status, "body": {"inline_string": body}}}


def limit(tokens, interval="600s", prefix="rl"):
    whole = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {"name": "envoy.filters.http.local_ratelimit", "typed_config": {
        "@type": T + "filters.http.local_ratelimit.v3.LocalRateLimit", "stat_prefix": prefix,
        "filter_enabled": whole, "filter_enforced": whole,
        "token_bucket": {"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": interval}}}


def http(name, port, *routes, ip="127.0.0.1", filters=(), listener=(), **hcm):
    """A listener with a connection manager; statistics are http.<name>.*"""
    manager = {"@type": T + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": name,
               "delayed_close_timeout": "0.1s",
               "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": list(routes)}]},
               "http_filters": [*filters, {"name": "envoy.filters.http.router",
                                           "typed_config": {"@type": T + "filters.http.router.v3.Router"}}], **hcm}
    return {"name": name, "address": address(ip, port), **dict(listener), "filter_chains": [
        {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}


def tcp(name, port, to, ip="127.0.0.1", listener=(), **proxy):
    conf = {"@type": T + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": to, **proxy}
    return {"name": name, "address": address(ip, port), **dict(listener), "filter_chains": [
        {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": conf}]}]}


def resources(listeners, clusters):
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


# ---- the daemon ----------------------------------------------------------------------------------

def interesting(log):
    """The lines that tell why: the last ones, or a sanitizer's report from its beginning."""
    lines = log.splitlines()
    first = next((i for i, x in enumerate(lines) if any(r in x for r in REPORTS)), None)
    return lines[-60:] if first is None else lines[max(0, first - 10):first + 60]


class Skiffd:
    """with Skiffd(resources(...)) as s: ... ; leaving it sends SIGTERM and wants a clean end."""

    def __init__(self, own=None, pods=(), binary=None, args=(), workers=1, env=None, files=None,
                 before=None, **config):
        """@pods: entries of pods[] with their resources as dicts. @files: limit of open files. @before: called in the child."""
        self.dir = tempfile.mkdtemp(prefix="skiff-it-")
        atexit.register(self.discard)
        self.binary, self.args, self.files, self.before = binary or SKIFFD, list(args), files, before
        self.env = {**os.environ, **(env or {})}
        self.admin = free_port()
        self.control = f"{self.dir}/control"
        self.config = {"workers": workers, "admin": f"127.0.0.1:{self.admin}", "control": self.control,
                       "state_dir": f"{self.dir}/state", **config}
        self.child, self.pin = None, None
        if own is not None:
            self.config["resources"] = [self.write("own", own)]
        if pods or "--pods" in self.args:
            self.pin = f"/sys/fs/bpf/{os.path.basename(self.dir).replace('-', '_')}"
            self.config["capture"] = {"pin_dir": self.pin, "heartbeat_seconds": 2, **config.get("capture", {})}
        if pods:
            self.config["pods"] = [{**p, "resources": [self.write(p["name"], p["resources"])]} for p in pods]
        self.path = self.write("skiffd", self.config)

    # ---- files ----
    def write(self, name, content):
        """Replaces the file of that name in one step. Text and bytes are written as they are."""
        path = f"{self.dir}/{name}.yaml"
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content)).encode()
        with open(path + ".new", "wb") as f:
            f.write(content)
        os.rename(path + ".new", path)
        return path

    def log(self):
        try:
            with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def wait_log(self, text, seconds=5.0, times=1):
        wait(f"{text!r} in the log", lambda: self.log().count(text) >= times, seconds)

    # ---- life ----
    def start(self):
        def limits():
            if self.files:
                import resource
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))
            if self.before:
                self.before()
        with open(f"{self.dir}/log", "a", encoding="utf-8") as log:
            self.child = subprocess.Popen([self.binary, "--config", self.path, *self.args], stdout=log, stderr=log,
                                          stdin=subprocess.DEVNULL, env=self.env, preexec_fn=limits)
        end = time.monotonic() + START_S
        while not self.is_ready():
            if self.child.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"skiffd does not start ({self.child.poll()}):\n{self.log()}")
            time.sleep(0.02)
        return self

    __enter__ = start

    def __exit__(self, kind, *_):
        if kind:
            print("# log of skiffd:\n" + "".join(f"#   {x[:300]}\n" for x in interesting(self.log())), end="")
        died = self.child.poll()
        try:
            status = self.end()
            if not kind:
                self.check_reports()
                expect(died, None, "skiffd died")
                expect(status, 0, "exit status after SIGTERM")
        finally:
            self.discard()

    def check_reports(self):
        found = [x for x in self.log().splitlines() if any(r in x for r in REPORTS)]
        if found:
            raise AssertionError("sanitizer: " + " | ".join(found[:3]) + "\n" + self.log()[-6000:])

    def end(self, sig=signal.SIGTERM):
        """The exit status; None: it had to be killed."""
        if self.child.poll() is None:
            self.child.send_signal(sig)
            try:
                self.child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                return None
        return self.child.returncode

    def discard(self):
        if self.child and self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        if self.pin:
            remove_pins(self.pin)
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- admin ----
    def ask(self, path, method="GET"):
        """(status, headers in lower case, body)."""
        c = http_client("127.0.0.1", self.admin)
        try:
            c.request(method, path)
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read().decode()
        finally:
            c.close()

    def is_ready(self):
        try:
            return self.ask("/ready")[0] == 200
        except OSError:
            return False

    def stats(self):
        """Every counter and gauge by name; a name that is not there is 0."""
        class Zero(dict):
            def __missing__(self, key):
                return 0
        return Zero((x["name"], x["value"]) for x in json.loads(self.ask("/stats?format=json")[2])["stats"]
                    if "value" in x)

    def stat(self, name):
        return self.stats()[name]

    def wait_stat(self, name, value, seconds=5.0):
        try:
            wait(name, lambda: self.stat(name) == value, seconds)
        except AssertionError:
            expect(self.stat(name), value, name)

    def ctl(self, *words):
        """(status, standard output, standard error)."""
        done = subprocess.run([SKIFFCTL, "--socket", self.control, *words], capture_output=True, text=True, timeout=30,
                              stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout, done.stderr

    def reload(self, content, name="own"):
        """New resources; returns when they are in force."""
        before = self.log().count("is in force")
        self.write(name, content)
        self.child.send_signal(signal.SIGHUP)
        self.wait_log("is in force", 10, before + 1)


def remove_pins(folder):
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            os.unlink(os.path.join(where, name))
        os.rmdir(where)


def http_client(host, port, timeout=10):
    return HTTPConnection(host, port, timeout=timeout)


# ---- upstreams -----------------------------------------------------------------------------------

def reset(s):
    """Closes with a reset."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Message:
    """A request or an answer: first line, headers (lower case), body, trailers."""

    def __init__(self, line, headers, body=b"", trailers=()):
        self.line, self.headers, self.body, self.trailers = line, headers, body, dict(trailers)

    @property
    def status(self):
        return int(self.line.split(" ")[1])


def parse_fields(lines):
    out = {}
    for line in lines:
        k, _, v = line.partition(b":")
        k, v = k.decode().lower(), v.decode().strip()
        out[k] = f"{out[k]},{v}" if k in out else v
    return out


def read_head(r):
    lines = r.until(b"\r\n\r\n").split(b"\r\n")
    return Message(lines[0].decode(), parse_fields(lines[1:]))


def read_chunks(r):
    body = []
    while size := int(r.until(b"\r\n").split(b";")[0], 16):
        body.append(r.take(size))
        expect(r.take(2), b"\r\n", "end of a chunk")
    trailers = []
    while line := r.until(b"\r\n"):
        trailers.append(line)
    return b"".join(body), parse_fields(trailers)


def read_message(r, has_body=True):
    """A whole message. An answer without a length goes to the end of the connection."""
    m = read_head(r)
    if not has_body or (m.line.startswith("HTTP/") and (m.status < 200 or m.status in (204, 304))):
        return m
    if "chunked" in m.headers.get("transfer-encoding", ""):
        m.body, m.trailers = read_chunks(r)
    elif "content-length" in m.headers:
        m.body = r.take(int(m.headers["content-length"]))
    elif m.line.startswith("HTTP/"):
        m.body = r.rest()
    return m


def answer(s, body=b"", status="200 OK", headers=()):
    if isinstance(body, str):
        body = body.encode()
    more = "".join(f"{k}: {v}\r\n" for k, v in headers)
    s.sendall(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body)


def echo_http(name="up", seen=None):
    """An upstream that answers "<name> <method> <path> <bytes of the body>", for ever."""
    def serve(s):
        r = Reader(s)
        while True:
            m = read_message(r)
            method, path, _ = m.line.split(" ")
            if seen is not None:
                seen.append(m)
            answer(s, b"" if method == "HEAD" else f"{name} {method} {path} {len(m.body)}", headers=[("x-up", name)])
    return serve


def echo_tcp(s):
    while d := s.recv(1 << 16):
        s.sendall(d)


# ---- clients -------------------------------------------------------------------------------------

class Client:
    """One raw connection."""

    def __init__(self, port, host="127.0.0.1", timeout=15, rcvbuf=None, sock=None):
        self.s = sock
        if not sock:
            self.s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            if rcvbuf:
                self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            self.s.settimeout(timeout)
            self.s.connect((host, port))
        self.s.settimeout(timeout)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.r = Reader(self.s)

    def send(self, data):
        self.s.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def request(self, path="/", method="GET", body=b"", headers=()):
        more = "".join(f"{k}: {v}\r\n" for k, v in headers)
        if body:
            more += f"content-length: {len(body)}\r\n"
        return self.send(f"{method} {path} HTTP/1.1\r\nhost: t\r\n{more}\r\n".encode() + body)

    def read(self, has_body=True):
        return read_message(self.r, has_body)

    def get(self, path="/", **kw):
        self.request(path, **kw)
        return self.read(kw.get("method") != "HEAD")

    def is_closed(self, seconds=3.0):
        """Did the other side end the connection (after whatever it still had to say)?"""
        self.s.settimeout(seconds)
        try:
            while self.s.recv(1 << 16):
                pass
            return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.s.close()

    def reset(self):
        reset(self.s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def get(port, path="/", **kw):
    with Client(port) as c:
        return c.get(path, **kw)


# ---- TAP -----------------------------------------------------------------------------------------

def run(*tests):
    """Runs the functions (those that an argument names, if there are any), prints TAP, exits."""
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda *_: sys.exit(1))
    words = sys.argv[1:]
    chosen = [t for t in tests if not words or any(w in t.__name__ for w in words)]
    failed = 0
    print(f"1..{len(chosen)}", flush=True)
    for i, test in enumerate(chosen, 1):
        name = test.__name__.strip("_").replace("_", " ")
        began = time.monotonic()
        try:
            test()
            print(f"ok {i} - {name}", flush=True)
        except Exception:  # whatever it is, the next test runs
            failed += 1
            print("".join(f"# {x}\n" for x in traceback.format_exc().splitlines()), end="")
            print(f"not ok {i} - {name}", flush=True)
        if os.environ.get("TIMES"):
            print(f"# {time.monotonic() - began:.1f} s", flush=True)
    sys.exit(1 if failed else 0)
