# SPDX-License-Identifier: Apache-2.0
"""A skiffd of the test's own: configuration from Python, statistics as numbers, its log when something fails.

It uses a free admin port, a control socket and a pin folder of its own, so that several may run at once.
"""
import collections
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PROGRAM = os.environ.get("SKIFFD", f"{BUILD}/skiffd")
PROXY = "type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy"
LIMIT = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
SERVICE = "demo.GreetingService"
START_S = 15


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


# ---- resources in Envoy's format -----------------------------------------------------------------

def address(ip, port):
    return {"socket_address": {"address": ip, "port_value": port}}


def cluster(name, *hosts, **more):
    """@hosts: (ip, port); without any the cluster is empty."""
    lbs = [{"endpoint": {"address": address(*h)}} for h in hosts]
    return {"name": name, "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": lbs}] if lbs else []}, **more}


def to(where):
    """A route's action: a cluster's name, or a dict of weights."""
    if isinstance(where, dict):
        return {"weighted_clusters": {"clusters": [{"name": k, "weight": v} for k, v in where.items()]}}
    return {"cluster": where}


def route(where, method=None, headers=None):
    """@method: None for all, a name, or a StringMatcher. @headers: attachment -> exact value."""
    if method is None:
        method = {"safe_regex": {"regex": ".*"}}
    elif isinstance(method, str):
        method = {"exact": method}
    match = {"method": {"name": method}}
    if headers:
        match["headers"] = [{"name": k, "string_match": {"exact": v}} for k, v in headers.items()]
    return {"match": match, "route": to(where)}


def table(*routes, interface=SERVICE, **group_and_version):
    return {"name": "r", "interface": interface, "routes": list(routes), **group_and_version}


def limit(tokens, interval="60s"):
    """local_ratelimit as a dubbo filter."""
    whole = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {"name": "envoy.filters.http.local_ratelimit", "config": {
        "@type": LIMIT, "stat_prefix": "calls", "filter_enabled": whole, "filter_enforced": whole,
        "token_bucket": {"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": interval}}}


def dubbo(prefix, ip, port, *tables, direction=None, filters=()):
    """A listener with dubbo_proxy; its statistics are dubbo.<prefix>.*"""
    proxy = {"@type": PROXY, "stat_prefix": prefix, "protocol_type": "Dubbo", "serialization_type": "Hessian2",
             "route_config": list(tables),
             "dubbo_filters": [*filters, {"name": "envoy.filters.dubbo.router"}]}
    listener = {"name": prefix, "address": address(ip, port),
                "filter_chains": [{"filters": [{"name": "envoy.filters.network.dubbo_proxy", "typed_config": proxy}]}]}
    if direction:
        listener["traffic_direction"] = direction
    return listener


def resources(listeners, clusters):
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


# ---- the daemon ------------------------------------------------------------------------------------

class Skiffd:
    """with Skiffd(resources, workers=1) as s: ... s.stats()["dubbo.d.request"] ... s.reload(resources)"""

    def __init__(self, own=None, pods=None, workers=2, **config):
        """@own: resources of skiffd's own namespace. @pods: entries of pods[], their resources as dicts."""
        self.dir = tempfile.mkdtemp(prefix="skiff-dubbo-")
        self.admin = free_port()
        self.config = {"workers": workers, "admin": f"127.0.0.1:{self.admin}", "control": f"{self.dir}/control",
                       "state_dir": f"{self.dir}/state", **config}
        self.child = None
        if own is not None:
            self.config["resources"] = [self.write("own", own)]
        if pods:
            pin = f"/sys/fs/bpf/{os.path.basename(self.dir)}"
            self.config["capture"] = {"pin_dir": pin, "heartbeat_seconds": 2}
            self.config["pods"] = [{**p, "resources": [self.write(p["name"], p["resources"])]} for p in pods]

    def write(self, name, content):
        path = f"{self.dir}/{name}.json"
        with open(path + ".new", "w") as f:
            json.dump(content, f)
        os.rename(path + ".new", path)
        return path

    def __enter__(self):
        config = self.write("skiffd", self.config)
        try:
            with open(f"{self.dir}/log", "w") as log:
                self.child = subprocess.Popen([PROGRAM, "--config", config], stdout=log, stderr=log)
        except OSError:
            shutil.rmtree(self.dir)
            raise
        end = time.monotonic() + START_S
        while not self.is_ready():
            if self.child.poll() is not None or time.monotonic() > end:
                said = self.log()
                self.stop()
                raise RuntimeError("skiffd does not start:\n" + said)
            time.sleep(0.05)
        return self

    def __exit__(self, *failure):
        if failure[0]:
            print("# skiffd's log:\n" + "".join(f"#   {x}\n" for x in self.log().splitlines()[-40:]), end="")
        died = self.child.poll()
        self.stop()
        if died is not None and not failure[0]:
            raise RuntimeError(f"skiffd died: {died}")

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        pin = self.config.get("capture", {}).get("pin_dir")
        if pin:
            shutil.rmtree(pin, ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        try:
            with open(f"{self.dir}/log") as f:
                return f.read()
        except OSError:
            return ""

    def get(self, path, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}{path}", method=method)
        with urllib.request.urlopen(request, timeout=5) as r:
            return r.read().decode()

    def is_ready(self):
        try:
            return self.get("/ready").strip() == "LIVE"
        except OSError:
            return False

    def stats(self):
        """Every counter and gauge by name; a name that is not there is 0."""
        class Zero(dict):
            def __missing__(self, key):
                return 0
        out = Zero()
        for line in self.get("/stats").splitlines():
            name, _, value = line.partition(": ")
            if value.isdigit():
                out[name] = int(value)
        return out

    def kernel(self):
        """What the BPF programs counted, by the names of `skiffctl bpf show`."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(self.config["control"])
            s.sendall(b"GET /bpf HTTP/1.1\r\nHost: skiffd\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        lines = text.partition("skiff_stats\n")[2].splitlines()
        found = (re.match(r" *(\d+)  (.+)$", line) for line in lines)
        return collections.Counter({m.group(2): int(m.group(1)) for m in found if m})

    def reload(self, resources, name="own"):
        """New resources of the own namespace, or of the pod @name; returns when they are in force."""
        before = self.log().count("is in force")
        self.write(name, resources)
        self.child.send_signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while self.log().count("is in force") == before:
            if time.monotonic() > end:
                raise RuntimeError("the new configuration is not in force:\n" + self.log())
            time.sleep(0.02)
