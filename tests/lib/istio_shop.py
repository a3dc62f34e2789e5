# SPDX-License-Identifier: Apache-2.0
"""A mesh for tests under load: a real istiod, real pods that skiffd serves, clients that never stop and miss no failure.

    with Shop() as shop:
        shop.skiffd = shop.start_skiffd()
        with shop.load() as load:
            shop.istiod.kill()
        load.check()

Pods c1, c2 (clients) and w1..w4 (servers) are skiffd's; o1, o2 (servers) and "out" (a client) are outside of the mesh. Every server
has HTTP (nginx) at 8080, an echo at 9090 and Dubbo at 20880; odd ones are version v1, even ones v2. Services of istiod, with addresses
of their own: web (HTTP), cache (TCP, balanced in the kernel), greet (TCP of Istio, made Dubbo's by an EnvoyFilter).
istio_edits.py changes them. It compares nothing with Envoy.
"""
import collections
import json
import os
import socket
import threading
import time

from istio import Istiod, Node
from istio_fleet import Fleet
from sandbox import BUILD, ROOT, Failed, Scene, Skiffd, admin_get, wait_until

CLIENTS, INSIDE, OUTSIDE = ("c1", "c2"), ("w1", "w2", "w3", "w4"), ("o1", "o2")
SERVERS = INSIDE + OUTSIDE
HTTP, TCP, DUBBO = 8080, 9090, 20880
WEB, CACHE, GREET = "10.98.1.1", "10.98.1.2", "10.98.1.3"
DOMAIN = "default.svc.cluster.local"
HEADER = 16
NGINX = ("daemon off; worker_processes 1; pid nginx-{name}.pid; error_log stderr; events {{ worker_connections 4096; }}\n"
         "http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; default_type text/plain;\n"
         "server {{ listen 8080; location / {{ return 200 '{name}'; }} }} }}\n")


def version(server):
    return "v1" if int(server[1:]) % 2 else "v2"


# ---- clients -----------------------------------------------------------------------------------------

class Wrong(Exception):
    """An answer that is not the right one."""


def receive(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise Wrong(f"closed after {len(data)} of {n} bytes")
        data += more
    return data


def is_over(s):
    """Has the other side ended the idle connection? Anybody may: a client that looks sends nothing on it."""
    s.setblocking(False)
    try:
        return not s.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        s.settimeout(5)


def http_answer(s):
    """(status, {header: value}, body) of an answer with a length."""
    have = b""
    while b"\r\n\r\n" not in have:
        more = s.recv(65536)
        if not more:
            raise Wrong(f"closed after {have[:100]!r}")
        have += more
    head, _, body = have.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (x.partition(":") for x in lines[1:])}
    body += receive(s, int(headers.get("content-length", 0)) - len(body))
    return int(lines[0].split(" ")[1]), headers, body.decode("latin-1")


class Http:
    """GETs of the service @name; @keep: over one connection as long as it lasts."""

    def __init__(self, name, keep=True, path="/", servers=SERVERS):
        self.keep, self.servers = keep, servers
        self.request = f"GET {path} HTTP/1.1\r\nHost: {name}.{DOMAIN}\r\n\r\n".encode()

    def __call__(self, s):
        """Returns (who answered, whether the connection goes on)."""
        s.sendall(self.request)
        status, headers, body = http_answer(s)
        if status != 200 or body not in self.servers:
            raise Wrong(f"{status} {body[:100]!r} {headers}")
        return body, self.keep and headers.get("connection") != "close"


class Echo:
    """Bytes that come back. @keep: one connection for ever, which nothing may end."""
    is_for_ever = True

    def __init__(self, keep):
        self.keep = keep
        self.n = 0

    def __call__(self, s):
        self.n += 1
        sent = b"%015d\n" % self.n
        s.sendall(sent)
        got = receive(s, len(sent))
        if got != sent:
            raise Wrong(f"{got!r} instead of {sent!r}")
        return "echo", self.keep


class Greeting:
    """Dubbo calls over one connection."""

    def __init__(self, keep=True):
        with open(os.path.join(ROOT, "tests/data/dubbo/v27-hello-001-c2s.bin"), "rb") as f:
            self.frame = bytearray(f.read())
        self.n, self.keep = 0, keep

    def __call__(self, s):
        self.n += 1
        self.frame[4:12] = self.n.to_bytes(8, "big")
        s.sendall(self.frame)
        head = receive(s, HEADER)
        body = receive(s, int.from_bytes(head[12:], "big"))
        if head[3] != 20 or head[4:12] != self.frame[4:12] or b"Hello" not in body:
            raise Wrong(f"{head!r} {body[:200]!r}")
        return "dubbo", self.keep


class Client(threading.Thread):
    """One request after the other, @gap seconds apart; what failed is kept with its time."""

    def __init__(self, name, pod, to, speak, gap=.01):
        super().__init__(daemon=True)
        self.what, self.pod, self.to, self.speak, self.gap = name, pod, to, speak, gap
        self.count, self.failures, self.slowest, self.who, self.over = 0, [], 0, collections.Counter(), False

    def run(self):
        s = None
        while not self.over:
            began = time.monotonic()
            try:
                if s and not isinstance(self.speak, Echo) and is_over(s):
                    s.close()
                    s = None
                s = s or self.pod.connect(self.to)
                who, goes_on = self.speak(s)
                self.who[who] += 1
            except (OSError, Wrong, ValueError) as e:
                self.failures.append((began, time.monotonic() - began, repr(e)))
                goes_on = False
            self.count += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            if not goes_on and s:
                s.close()
                s = None
            time.sleep(self.gap)
        if s:
            s.close()


class Load:
    """Several clients. Of those that were taken out again the figures stay."""

    def __init__(self):
        self.clients, self.began = {}, time.monotonic()

    def add(self, name, *args, **more):
        client = self.clients[name] = Client(name, *args, **more)
        client.start()
        return client

    def remove(self, name):
        self.clients[name].over = True
        self.clients[name].join()

    @property
    def count(self):
        return sum(c.count for c in self.clients.values())

    @property
    def failures(self):
        """[(seconds since the start, seconds that it took, client, why)]."""
        return sorted((round(t - self.began, 3), round(took, 3), c.what, why) for c in self.clients.values() for t, took, why in c.failures)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for c in self.clients.values():
            c.over = True
        for c in self.clients.values():
            c.join()

    def check(self, at_least=100):
        """Every client worked, and nothing failed."""
        bad = self.failures
        assert not bad, f"{len(bad)} of {self.count} requests failed: {bad[:10]}"
        idle = [c.what for c in self.clients.values() if not c.count]
        assert self.count >= at_least and not idle, (self.count, idle)

    def text(self):
        slowest = max(self.clients.values(), key=lambda c: c.slowest)
        return f"{self.count} requests of {len(self.clients)} clients, {len(self.failures)} failed; the slowest took {slowest.slowest:.3f} s ({slowest.what})"


# ---- configuration -------------------------------------------------------------------------------------

def entry(name, vip, ports, endpoints):
    """A ServiceEntry. @ports: {number: protocol}; @endpoints: [(address, version)]."""
    listed = ", ".join(f"{{number: {n}, name: {p.lower()}-{n}, protocol: {p}}}" for n, p in ports.items())
    ends = "".join(f"\n  - {{address: {a}, labels: {{app: {name}, version: {v}}}}}" for a, v in endpoints)
    return (f"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: default}}\nspec:\n"
            f"  hosts: [{name}.{DOMAIN}]\n  addresses: [{vip}]\n  location: MESH_INTERNAL\n  resolution: STATIC\n"
            f"  ports: [{listed}]\n  endpoints:{ends}\n")


def dubbo_filter(name, vip):
    """The TCP listener of the service becomes one of Dubbo."""
    return f"""apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: dubbo-{name}, namespace: default}}
spec:
  configPatches:
  - applyTo: NETWORK_FILTER
    match: {{context: SIDECAR_OUTBOUND, listener: {{name: "{vip}_{DUBBO}", filterChain: {{filter: {{name: envoy.filters.network.tcp_proxy}}}}}}}}
    patch:
      operation: REPLACE
      value:
        name: envoy.filters.network.dubbo_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy
          stat_prefix: {name}
          protocol_type: Dubbo
          serialization_type: Hessian2
          route_config:
          - name: {name}
            interface: "*"
            routes:
            - match: {{method: {{name: {{prefix: say}}}}}}
              route: {{cluster: "outbound|{DUBBO}||{name}.{DOMAIN}"}}
          dubbo_filters:
          - name: envoy.filters.dubbo.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.router.v3.Router}}
"""


class Shop(Scene):
    """The mesh. @services: so many others of 5 endpoints (istio_fleet.py); @more: other client pods (m0..), for skiffd, too; @age: of
    istiod's connections."""

    def __init__(self, name="shop", more=0, services=0, env=(), age=0):
        super().__init__(name)
        self.more, self.services, self.env, self.age, self.skiffd = more, services, dict(env), age, None

    def build(self):
        self.others = [f"m{i}" for i in range(self.more)]
        self.pods = {n: self.net.pod(n) for n in (*CLIENTS, *SERVERS, "out", *self.others)}
        self.address = {n: p.ip4 for n, p in self.pods.items()}
        self.nodes = {n: Node(n, "default", self.address[n], self.labels(n)) for n in (*CLIENTS, *INSIDE, *self.others)}
        self.group = self.box.group("pods")
        for name in SERVERS:
            self.serve(name)
        own, fleet = self.config(), Fleet(self.services).config()
        self.istiod = Istiod(self.box, self.net.host4, fleet or own, {"enableAutoMtls": False}, env=self.env, live=own if fleet else (), age=self.age).start(120)

    @staticmethod
    def labels(name):
        return {"app": "web", "version": version(name)} if name in SERVERS else {"app": name}

    def serve(self, name):
        pod, tests = self.pods[name], os.path.join(BUILD, "tests")
        conf = self.box.write(f"nginx-{name}.conf", NGINX.format(name=name))
        for log, argv in (("nginx", ["nginx", "-p", self.box.dir, "-c", conf]),
                          ("echo", [os.path.join(tests, "lib/tcp_peer"), "serve", str(TCP), "echo"]),
                          ("dubbo", [os.path.join(tests, "bench/dubbo_echo"), "0.0.0.0", str(DUBBO), "7200"])):
            self.box.spawn(argv, pod.path, log=f"{log}-{name}.log")

    def ends(self, names=SERVERS):
        return [(self.address[n], version(n)) for n in names]

    def config(self):
        """{file: YAML}: the three services with all servers."""
        return {"web": entry("web", WEB, {HTTP: "HTTP"}, self.ends()), "cache": entry("cache", CACHE, {TCP: "TCP"}, self.ends()),
                "greet": entry("greet", GREET, {DUBBO: "TCP"}, self.ends()), "dubbo": dubbo_filter("greet", GREET)}

    # ---- skiffd ------------------------------------------------------------------------------------

    def record(self, name, **more):
        n = self.nodes[name]
        return {"name": name, "netns": self.pods[name].path, "labels": n.metadata["LABELS"], "fail_open": False, **more}

    def start_skiffd(self, names=None, name="skiffd", server=None, **config):
        """A skiffd with these pods (all that have none by default), configured."""
        names = names or [*CLIENTS, *INSIDE, *self.others]
        xds = {"server": server or self.istiod.grpc, **config.pop("xds", {})}
        s = Skiffd(self.box, {"pods": [self.record(n) for n in names], "xds": xds, **config}, name, self.group, name, 60)
        wait_until("the pods' configuration", lambda: all(n["complete"] or n["stale"] for n in self.status(s)), 60, s.child)
        return s

    @staticmethod
    def status(s):
        return json.loads(admin_get(s.socket, "/xds")[1])["nodes"]

    def wait_in_sync(self, s, seconds=40):
        wait_until("in sync", lambda: all(n["in_sync"] for n in self.status(s)), seconds, s.child)

    # ---- load --------------------------------------------------------------------------------------

    def load(self, clients=CLIENTS, gap=.01):
        """What every test asks all the time."""
        load = Load()
        for n in clients:
            pod = self.pods[n]
            load.add(f"{n} http", pod, (WEB, HTTP), Http("web"), gap=gap)
            load.add(f"{n} http new", pod, (WEB, HTTP), Http("web", keep=False), gap=gap)
            load.add(f"{n} tcp", pod, (CACHE, TCP), Echo(True), gap=gap)
            load.add(f"{n} tcp new", pod, (CACHE, TCP), Echo(False), gap=gap)
            load.add(f"{n} dubbo", pod, (GREET, DUBBO), Greeting(), gap=gap)
            load.add(f"{n} dubbo new", pod, (GREET, DUBBO), Greeting(False), gap=gap)
        load.add("inbound", self.pods["out"], (self.address["w1"], HTTP), Http("web"), gap=gap)
        load.add("inbound new", self.pods["out"], (self.address["w2"], HTTP), Http("web", keep=False), gap=gap)
        load.add("inbound tcp", self.pods["out"], (self.address["w3"], TCP), Echo(True), gap=gap)
        return load

    def ask(self, pod="c1", to=WEB, name="web", path="/", headers=""):
        """(status, headers, body) of one request over a connection of its own."""
        with self.pods[pod].connect((to, HTTP), timeout=5) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}.{DOMAIN}\r\n{headers}\r\n".encode())
            return http_answer(s)

    def until(self, what, condition, seconds=20):
        wait_until(what, condition, seconds, self.skiffd and self.skiffd.child)


__all__ = ["Shop", "Load", "Client", "Http", "Echo", "Greeting", "Failed", "entry", "version"]
