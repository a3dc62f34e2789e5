# SPDX-License-Identifier: Apache-2.0
"""What is compared. A subject owns two pods (a client, a server with nginx and the Dubbo origin), so that all of them are up at
the same time and differ in nothing but what stands between: nothing, skiffd in one of its modes, or a pair of Envoys.

A subject has: name, protocols, http and dubbo (where its client connects to), pids() of its proxies, group (its cgroup), and
requests_seen(), what its proxies counted themselves.
"""
import os
import re
import shutil
import subprocess

import configs
from sandbox import BUILD, ROOT, Failed, Skiffd, admin_stats, wait_port, wait_until

ENVOY_UID = 1337
OUT_PORT, IN_PORT = 15001, 15006
SIZES = {"1k": 1 << 10, "64k": 64 << 10, "1m": 1 << 20}
NGINX = """worker_processes 1; daemon off; master_process off; user root; pid {dir}/{name}.pid; error_log {dir}/{name}.err;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600; sendfile on; tcp_nopush on;
        open_file_cache max=16 inactive=600s; open_file_cache_valid 600s; default_type text/plain;
        client_body_temp_path {dir}/tmp; proxy_temp_path {dir}/tmp; fastcgi_temp_path {dir}/tmp; uwsgi_temp_path {dir}/tmp;
        scgi_temp_path {dir}/tmp;
        server {{ listen 8080 backlog=4096; root {dir}/www; }} }}
"""


class Subject:
    """No mesh: the baseline, and the base of the others."""
    name, text, protocols = "none", "no mesh", ("http", "dubbo")

    def __init__(self, box, net, number):
        self.box = box
        self.group = box.group(self.name)
        self.load = box.group(self.name, "load")
        self.origin = box.group(self.name, "origin")
        self.proxy = box.group(self.name, "proxy")
        self.client, self.server = net.pod(f"c{number}"), net.pod(f"s{number}")
        for pod in (self.client, self.server):
            for setting in ("net.ipv4.ip_local_port_range=10240 65000", "net.ipv4.tcp_tw_reuse=1", "net.core.somaxconn=4096"):
                subprocess.run(["ip", "netns", "exec", pod.netns, "sysctl", "-qw", setting], check=True)
        self.http, self.dubbo = (self.server.ip4, configs.HTTP_PORT), (self.server.ip4, configs.DUBBO_PORT)
        self.proxies = []
        self.start_origin()
        self.start()

    def start_origin(self):
        www = os.path.join(self.box.dir, "www")
        if not os.path.isdir(www):
            os.mkdir(www)
            os.mkdir(os.path.join(self.box.dir, "tmp"))
            for name, size in SIZES.items():
                self.box.write(f"www/{name}", "x" * size)
        conf = self.box.write(f"{self.name}-nginx.conf", NGINX.format(dir=self.box.dir, name=self.name))
        web = self.box.spawn(["nginx", "-c", conf, "-e", "stderr"], self.server.path, self.origin, log=f"{self.name}-nginx.log")
        echo = self.box.spawn([os.path.join(BUILD, "tests/bench/dubbo_echo"), "0.0.0.0", str(configs.DUBBO_PORT), "86400"],
                              self.server.path, self.origin, log=f"{self.name}-echo.log")
        wait_port(self.server, configs.HTTP_PORT, child=web)
        wait_port(self.server, configs.DUBBO_PORT, child=echo)

    def start(self):
        """Starts what stands between the pods."""

    def pids(self):
        for child in self.proxies:
            if child.poll() is not None:
                raise Failed(f"{self.name}: a proxy ended with {child.returncode}")
        return [child.pid for child in self.proxies]

    def requests_seen(self):
        """Requests that the outbound side has counted; None where nothing counts."""
        return None


class Skiff(Subject):
    """One skiffd with both pods."""
    accelerate = "off"

    def pods(self):
        client = self.box.write(f"{self.name}-client.yaml", configs.skiff_client(self.server.ip4))
        server = self.box.write(f"{self.name}-server.yaml", configs.skiff_server())
        return [{"name": "client", "netns": self.client.path, "resources": [client]},
                {"name": "server", "netns": self.server.path, "resources": [server]}]

    def start(self):
        self.mesh = Skiffd(self.box, {"accelerate": self.accelerate, "pods": self.pods()}, self.name, self.group, "proxy")
        self.proxies = [self.mesh.child]

    def requests_seen(self):
        stats = self.mesh.stats()
        return sum(v for k, v in stats.items() if k in ("http.out.downstream_rq_total", "dubbo.out.request"))


class SkiffTcp(Skiff):
    name, text = "skiff-tcp", "skiff, TCP"


class SkiffAuto(Skiff):
    name, text, accelerate = "skiff-auto", "skiff, auto", "auto"


class SkiffBoth(Skiff):
    name, text, accelerate = "skiff-both", "skiff, both", "both"


class SkiffL4(Skiff):
    """Only the kernel stands between: connect(2) to a service address goes straight to the endpoint."""
    name, text, protocols = "skiff-l4", "skiff, L4 verdict", ("http",)

    def pods(self):
        self.http = (re.sub(r"\d+$", "250", self.server.ip4), configs.HTTP_PORT)
        client = self.box.write(f"{self.name}-client.yaml", configs.skiff_l4(self.http[0], self.server.ip4))
        return [{"name": "client", "netns": self.client.path, "resources": [client]}]

    def requests_seen(self):
        """Connections: nothing else passes here."""
        return self.mesh.kernel_counts().get("outbound: backend picked in the kernel", 0)


class Envoys(Subject):
    """A pair of sidecars with nft redirect; one worker each."""
    name, text, protocols = "envoy", "Envoy pair", ("http",)
    port, stat = configs.HTTP_PORT, r"http\.out\.downstream_rq_total"

    def filters(self, side):
        return configs.http("up", side)

    def clusters(self):
        return configs.cluster("up"), configs.cluster("up", ("127.0.0.1", self.port))

    def start(self):
        out, into = self.clusters()
        sockets = os.path.join(self.box.dir, f"{self.name}-admin")
        os.mkdir(sockets)
        os.chown(sockets, ENVOY_UID, ENVOY_UID)
        self.admin = os.path.join(sockets, "out")
        self.proxies = [self.start_one(self.client, OUT_PORT, "out", out, self.admin),
                        self.start_one(self.server, IN_PORT, "in", into, os.path.join(sockets, "in"))]
        nft(self.client, "type nat hook output priority -100;",
            f"meta skuid != {ENVOY_UID} tcp dport {self.port} redirect to :{OUT_PORT}")
        nft(self.server, "type nat hook prerouting priority -100;", f"tcp dport {self.port} redirect to :{IN_PORT}")

    def start_one(self, pod, port, side, cluster, admin):
        Envoys.ids = getattr(Envoys, "ids", os.getpid() % 20000) + 1
        conf = self.box.write(f"{self.name}-{side}.json", configs.envoy_sidecar(port, self.filters(side), cluster, admin))
        child = self.box.spawn([envoy_binary(self.box), "-c", conf, "--concurrency", "1", "--base-id", str(Envoys.ids), "-l", "warn"],
                               pod.path, self.proxy, ENVOY_UID, f"{self.name}-{side}.log")
        wait_port(pod, port, 30, child)
        return child

    def requests_seen(self):
        return sum(v for k, v in admin_stats(self.admin).items() if re.fullmatch(self.stat, k))


class EnvoyDubbo(Envoys):
    name, text, protocols = "envoy-dubbo", "Envoy pair, dubbo_proxy", ("dubbo",)
    port, stat = configs.DUBBO_PORT, r"dubbo\.out\.request"

    def filters(self, side):
        return configs.dubbo("up", side)

    def clusters(self):
        return configs.cluster("up", self.dubbo), configs.cluster("up", ("127.0.0.1", self.port))


class EnvoyGeneric(EnvoyDubbo):
    name, text = "envoy-generic", "Envoy pair, generic_proxy"
    stat = r"generic_proxy\.out\.downstream_rq_total"

    def filters(self, side):
        return configs.generic("up", side)


ALL = (Subject, SkiffTcp, SkiffAuto, SkiffBoth, SkiffL4, Envoys, EnvoyDubbo, EnvoyGeneric)


def nft(pod, hook, rule):
    subprocess.run(["ip", "netns", "exec", pod.netns, "nft", f"add table ip bench; add chain ip bench c {{ {hook} }}; "
                    f"add rule ip bench c {rule}"], check=True)


def envoy_binary(box):
    """The real Envoy, where the user that runs it may execute it."""
    copy = os.path.join(box.dir, "envoy")
    if os.path.exists(copy):
        return copy
    done = subprocess.run([os.path.join(ROOT, "tests/peers/envoy/install")], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"the real Envoy is missing: {done.stderr.strip()}")
    binary = done.stdout.split()[-1]
    folder, open_to_all = os.path.dirname(binary), True
    while folder != "/":
        open_to_all &= bool(os.stat(folder).st_mode & 0o001)
        folder = os.path.dirname(folder)
    if open_to_all:
        return binary
    shutil.copy(binary, copy)
    return copy


def wait_served(subject):
    """Until one request of each protocol comes through."""
    last = ""

    def comes(argv):
        nonlocal last
        status, _, last = subject.box.run(argv, subject.client.path, subject.load)
        return status == 0

    for protocol in subject.protocols:
        argv = load_argv(subject, protocol, 0.05, conns=1, warm=0)
        try:
            wait_until(f"{subject.name}: {protocol}", lambda: comes(argv), 10)
        except Failed as e:
            raise Failed(f"{e}: {last.strip()}") from None


def load_argv(subject, protocol, seconds, conns, warm=0.3, rate=0, path="1k", flags=()):
    ip, port = subject.http if protocol == "http" else subject.dubbo
    argv = [os.path.join(BUILD, f"tests/bench/{protocol}_load"), "-a", ip, "-p", str(port), "-c", str(conns), "-d", str(seconds),
            "-w", str(warm), *flags]
    if rate:
        argv += ["-r", str(rate)]
    return argv + (["-u", f"/{path}"] if protocol == "http" else [])
