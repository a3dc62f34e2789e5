# SPDX-License-Identifier: Apache-2.0
"""A Bookinfo-like mesh in real namespaces, fed by a real istiod: pods, origin servers, configuration. What stands in the pods'
way (an Envoy each, or skiffd) is started by the test: envoys(), or pods and nodes() for skiffd.

    with Bookinfo() as m:
        m.envoys("productpage")
        record = m.ask(case)                       # a case of table.py; a record can be compared

Pods that can have a sidecar: productpage, curl (namespace default), sleep (namespace batch) as clients; details, vault, ledger as
servers. All other names of the configuration are plain servers in the namespace "world".
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TESTS, "lib"))
import backend
from istio import Agent, Authority, Envoy, Istiod, Node, read_config
from sandbox import Scene
from server import Server

CONFIG = os.path.join(TESTS, "data", "istio", "bookinfo")
# name: (namespace, labels, service account)
PODS = {
    "productpage": ("default", {"app": "productpage", "version": "v1"}, "bookinfo-productpage"),
    "curl": ("default", {"app": "curl", "version": "v2"}, "curl"),
    "sleep": ("batch", {"app": "sleep"}, "sleep"),
    "details": ("default", {"app": "details", "version": "v1"}, "bookinfo-details"),
    "vault": ("default", {"app": "vault"}, "vault"),
    "ledger": ("default", {"app": "ledger"}, "ledger"),
}
CLIENTS, SERVERS = ("productpage", "curl", "sleep"), ("details", "vault", "ledger")
WORLD = ["reviews-v1", "reviews-v2", "reviews-v3", "ratings", "mongo-1", "mongo-2", "api-v1", "api-v2", "api-v3", "mixed",
         "ext-1", "ext-2", "dead"]
# What listens where: {name: {port: kind}}
PORTS = {
    **{name: {9080: "http"} for name in ("reviews-v1", "reviews-v2", "reviews-v3", "ratings")},
    **{name: {8080: "http"} for name in ("api-v1", "api-v2", "api-v3")},
    **{name: {27017: "tcp"} for name in ("mongo-1", "mongo-2")},
    "mixed": {7070: "mixed"},
    "ext-1": {8080: "http", 9080: "http", 27017: "tcp", 8443: "tls", 2525: "banner"},
    "ext-2": {8080: "http", 9080: "http", 8443: "tls", 7000: "tcp"},
    "productpage": {9080: "http"},
    "details": {9080: "http", 9081: "http", 9090: "tcp"},
    "vault": {8200: "http", 8201: "http"},
    "ledger": {8300: "http", 8301: "tcp"},
}
LOCAL = {name: {8090: "http"} for name in CLIENTS}  # on their loopback
FIXED = {name: f"10.240.0.{10 + i}" for i, name in enumerate([*PODS, *WORLD])}  # for recorded messages, where nothing is sent


def nodes(addresses):
    """{pod: Node} with the given {name: address}."""
    return {name: Node(f"{name}-1", ns, addresses[name], labels, account) for name, (ns, labels, account) in PODS.items()}


class Bookinfo(Scene):
    """The running mesh. @config: {name: YAML} beside or instead (same name) of the files; None takes a file away. @mesh: fields
    of MeshConfig. @mtls: sidecars speak mutual TLS to each other. @tls: Envoys reach istiod's TLS port."""

    def __init__(self, config=(), mesh=(), mtls=False, tls=False, name="istio"):
        super().__init__(name)
        self.more, self.mtls, self.tls = dict(config), mtls, tls
        self.mesh = {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}, "enableAutoMtls": mtls, **dict(mesh)}
        self.hits, self.servers, self.sidecars, self.agent = backend.Hits(), [], {}, None

    def __exit__(self, *_):
        for server in self.servers:
            server.close()
        super().__exit__()

    def build(self):
        self.pods = {name: self.net.pod(name) for name in PODS}
        self.world = self.net.pod("world")
        self.addresses = {name: pod.ip4 for name, pod in self.pods.items()}
        prefix = self.net.host4.rsplit(".", 1)[0]
        for i, name in enumerate(WORLD):
            self.addresses[name] = f"{prefix}.{100 + i}"
            self.world.ip("addr", "add", f"{self.addresses[name]}/24", "dev", "eth0")
        self.names = {address: name for name, address in self.addresses.items()} | {self.net.host4: "node"}
        self.certificate, self.key = (os.path.join(self.box.dir, x) for x in ("origin.pem", "origin.key"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=origin",
                        "-keyout", self.key, "-out", self.certificate], check=True, capture_output=True)
        for name, ports in PORTS.items():
            for port, kind in ports.items():
                self.serve(self.pods.get(name, self.world), self.addresses[name], port, kind, name)
        for name, ports in LOCAL.items():
            for port, kind in ports.items():
                self.serve(self.pods[name], "127.0.0.1", port, kind, f"local-{name}")
        self.nodes = nodes(self.addresses)
        authority = Authority(self.box, self.net.host4)
        self.istiod = Istiod(self.box, self.net.host4, self.config(), self.mesh, authority).start()

    def config(self):
        """{file: YAML} with this run's addresses."""
        files = {**read_config(CONFIG, self.addresses), **self.more}
        return {name: text for name, text in files.items() if text is not None}

    def serve(self, pod, address, port, kind, name):
        args = (name, self.hits) + ((self.certificate, self.key) if kind == "tls" else ())
        self.servers.append(Server(getattr(backend, kind)(*args), pod.listen(address, port)))

    def envoys(self, *names):
        """A real Envoy as the sidecar of each of these pods (all of them by default)."""
        if not self.agent:
            self.agent = Agent(self.box, self.istiod, self.nodes.values(), tls=self.tls).start()
        for name in names or PODS:
            self.sidecars[name] = Envoy(self.box, self.pods[name], self.nodes[name], self.agent).start()
        return self.sidecars

    def remove_envoys(self):
        for envoy in self.sidecars.values():
            envoy.stop()
        self.sidecars = {}

    def where(self, to):
        """(address, port) of "NAME:PORT", NAME being a pod, a server or an address."""
        name, _, port = to.rpartition(":")
        return self.addresses.get(name, name), int(port)
