# SPDX-License-Identifier: Apache-2.0
"""What the capture tests share: the engine under test behind start_engine(), counters of the kernel side, a TAP runner.

The engine under test is skiffd, with pods and TCP listeners written from short lines:

    rule POD out|in l7|http|bypass|deny PREFIX PORT     port 0: any
    rule POD out l4 ADDRESS/BITS PORT SERVICE           with `backend SERVICE ADDRESS:PORT WEIGHT`; weight 0: not healthy
    allow|deny POD PORT PREFIX...                       who may connect to that port of the pod (network RBAC)

An l7 rule is a listener with tcp_proxy to where the application wanted to go (http: with a connection manager), or, for a
prefix that is neither all nor one address, an entry of the pod's own policy, and then the engine passes it through.
"""
import ipaddress
import json
import os
import random
import re
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "engine"), os.path.join(os.path.dirname(os.path.dirname(HERE)), "lib")]
import rig
from rig import ROOT, SKIFFCTL, SKIFFD, address, expect, http, remove_pins, resources, route, tcp, wait

BUILD = rig.BUILD
PEER = os.path.join(BUILD, "tests/lib/tcp_peer")
SPLICE_PEER = os.path.join(BUILD, "tests/lib/splice_peer")
VIRTUAL_PORT = {"OUTBOUND": 15001, "INBOUND": 15006}
ORIGINAL = {"name": "original", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "5s"}


def reasons():
    """Name -> text of the kernel side's counters, from the contract."""
    with open(os.path.join(ROOT, "include/skiff/bpf.h"), encoding="utf-8") as f:
        return dict(re.findall(r'^\tX\((\w+), "([^"]+)", [01]\)', f.read(), re.M))


REASONS = reasons()


# ---- lines -> configuration ----------------------------------------------------------------------

class PodConfig:
    """What the lines ask of one pod."""

    def __init__(self):
        self.listeners, self.clusters, self.policy = {}, {"original": ORIGINAL}, []

    def resources(self):
        return resources(list(self.listeners.values()), list(self.clusters.values()))

    def listener(self, direction, ip, port, cluster, **more):
        name = f"{direction.lower()}-{ip}-{port}"
        one = tcp(name, port, cluster, ip=ip, listener={"traffic_direction": direction, "bind_to_port": False, **more})
        self.listeners[name] = one

    def authz(self, action, port, prefixes):
        self.listener("INBOUND", "0.0.0.0", port, "original")
        nets = [ipaddress.ip_network(p) for p in prefixes]
        policy = {"permissions": [{"any": True}], "principals": [
            {"direct_remote_ip": {"address_prefix": str(n.network_address), "prefix_len": n.prefixlen}} for n in nets]}
        self.listeners[f"inbound-0.0.0.0-{port}"]["filter_chains"][0]["filters"].insert(0, {
            "name": "rbac", "typed_config": {"@type": rig.T + "filters.network.rbac.v3.RBAC", "stat_prefix": "tcp.",
                                             "rules": {"action": action.upper(), "policies": {"p": policy}}}})

    def http(self, direction, ip, port):
        name = f"{direction.lower()}-{ip}-{port}"
        self.listeners[name] = http(name, port, route("/", "original"), ip=ip,
                                    listener={"traffic_direction": direction, "bind_to_port": False})

    def rule(self, way, verdict, prefix, port, service=None):
        direction, net = {"out": "OUTBOUND", "in": "INBOUND"}[way], ipaddress.ip_network(prefix)
        ip = str(net.network_address)
        if verdict == "http":
            self.http(direction, ip, port)
        elif verdict == "l4":
            self.listener(direction, ip, port, f"service{service}")
        elif verdict != "l7" or net.prefixlen not in (0, net.max_prefixlen) or (net.prefixlen and not port):
            self.policy.append({"direction": direction.lower(), "destination": prefix, "port": port, "verdict": verdict})
        elif port:  # one listener is for both families
            self.listener(direction, "0.0.0.0" if not net.prefixlen else ip, port, "original")
        else:
            self.listener(direction, "0.0.0.0", VIRTUAL_PORT[direction], "original", use_original_dst=True)

    def backend(self, service, to, weight):
        name = f"service{service}"
        ip, _, port = to.rpartition(":")
        one = {"endpoint": {"address": address(ip.strip("[]"), int(port))}}
        one |= {"load_balancing_weight": weight} if weight else {"health_status": "UNHEALTHY"}
        empty = {"name": name, "type": "STATIC", "connect_timeout": "1s",
                 "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": []}]}}
        self.clusters.setdefault(name, empty)["load_assignment"]["endpoints"][0]["lb_endpoints"].append(one)


def configs(names, lines):
    """Pod name -> PodConfig."""
    out = {name: PodConfig() for name in names}
    for word, *rest in (line.split() for line in lines):
        if word == "rule":
            pod, way, verdict, prefix, port, *service = rest
            out[pod].rule(way, verdict, prefix, int(port), *service)
        elif word in ("allow", "deny"):
            out[rest[0]].authz(word, int(rest[1]), rest[2:])
        else:
            for pod in out.values():
                pod.backend(rest[0], rest[1], int(rest[2]))
    return out


# ---- the engine under test -----------------------------------------------------------------------

class Engine:
    """skiffd with the pods of add(); policy() starts it, or changes what it serves."""

    def __init__(self, pin_dir, **capture):
        self.pin_dir, self.pods, self.lines, self.killed = pin_dir, {}, (), False
        self.skiffd = rig.Skiffd(args=["--pods"], log_level="debug", capture={"pin_dir": pin_dir, **capture})

    def add(self, pod, accelerate="off", gone="open"):
        """The pod is in the mesh from the next policy() on; @gone says what happens without the engine."""
        self.pods[pod.name] = {"name": pod.name, "netns": pod.path, "accelerate": accelerate, "fail_open": gone == "open"}

    def remove(self, pod):
        del self.pods[pod.name]
        self.policy(*(line for line in self.lines if line.split()[1] != pod.name))

    def policy(self, *lines):
        """The whole policy; it is in force when this returns."""
        s, self.lines = self.skiffd, lines
        s.config["pods"] = [
            {**self.pods[name], "policy": conf.policy, "resources": [s.write(name, conf.resources())]}
            for name, conf in configs(self.pods, lines).items()]
        s.write("skiffd", s.config)
        if s.child:
            status, out, err = s.ctl("reload")
            expect(status, 0, f"reload: {out}{err}")
        else:
            s.start()

    def stats(self):
        """Counters of the kernel side by the names of SKIFF_REASONS."""
        status, out, err = self.skiffd.ctl("bpf", "show")
        expect(status, 0, f"bpf show: {err}")
        rows = out.partition("skiff_stats\n")[2]
        counts = {text: int(n) for n, text in re.findall(r"^ *(\d+)  (\S.*)$", rows, re.M)}
        return {name: counts.get(text, 0) for name, text in REASONS.items()}

    def table(self, name):
        """The rows of one table of `skiffctl bpf show`."""
        return rows_of(self.skiffd.ctl("bpf", "show")[1], name)

    def wait_event(self, reason, *texts, seconds=5):
        """The first line of skiffd's log about an event of that reason, with all @texts."""
        def find():
            return next((x for x in self.skiffd.log().splitlines() if f" {reason}: " in x and all(t in x for t in texts)), None)
        return wait(f"event {reason} {texts}", find, seconds)

    def cookie(self, pod):
        """The pod's network namespace as the kernel side names it."""
        return next(row.split()[1] for row in self.table("skiff_pods") if pod.ip4 in re.split("[ ,]+", row))

    def rss_kb(self):
        with open(f"/proc/{self.skiffd.child.pid}/status", encoding="ascii", errors="replace") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    def kill(self):
        """Without a chance to tidy up. Its sockets are closed when this returns."""
        self.killed = True
        self.skiffd.end(signal.SIGKILL)

    def stop(self):
        """In good order."""
        expect(self.skiffd.end(), 0, "exit status of skiffd")

    def close(self):
        """Ends it, if need be. Returns the exit status, 0 when it was killed or never started; raises a sanitizer's report."""
        try:
            self.skiffd.check_reports()
            return 0 if self.killed or not self.skiffd.child else self.skiffd.end()
        finally:
            self.skiffd.discard()


def rows_of(text, table):
    block = next(b for b in text.split("\n\n") if b.startswith(table + "\n"))
    return block.splitlines()[2:]


def start_engine(pin_dir, **capture):
    """The engine under test. It keeps what is pinned in @pin_dir, as a restarted one does."""
    return Engine(pin_dir, **capture)


def pin_dir_new():
    return f"/sys/fs/bpf/skiff_test_{random.randrange(16 ** 8):08x}"


class Setup:
    """Engines that share a pin directory of their own, which is removed at the end."""

    def __init__(self, **capture):
        self.pin_dir, self.capture = pin_dir_new(), capture
        self.engines = [start_engine(self.pin_dir, **capture)]

    @property
    def engine(self):
        return self.engines[-1]

    def another(self):
        """The next skiffd on the same pins, whether the one before lives or not."""
        self.engines.append(start_engine(self.pin_dir, **self.capture))
        return self.engine

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            print("".join(f"#   {x[:300]}\n" for x in rig.interesting(self.engine.skiffd.log())), end="")
        try:
            statuses = [e.close() for e in self.engines]
        finally:
            if os.path.isdir(self.pin_dir):
                remove_pins(self.pin_dir)
        if not kind:
            expect(statuses, [0] * len(statuses), "exit status of skiffd")


class Counted:
    """Counters that moved inside a `with` block."""

    def __init__(self, engine):
        self.engine = engine

    def __enter__(self):
        self.before = self.engine.stats()
        return self

    def __exit__(self, *_):
        after = self.engine.stats()
        self.moved = {k: v - self.before[k] for k, v in after.items() if v != self.before[k]}

    def __getitem__(self, name):
        return self.moved.get(name, 0)


class Mesh:
    """Pods @names of one network, an engine; subclasses say which of them are in the mesh."""

    names = ("cli", "srv", "out")

    def __init__(self, **capture):
        from netns import Net
        self.net, self.capture, self.setup = Net(), capture, None

    def __enter__(self):
        self.net.__enter__()
        try:
            self.client, self.server, self.outside = (self.net.pod(n) for n in self.names)
            self.setup = Setup(**self.capture)
            self.engine = self.setup.engine
            self.begin()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def begin(self):
        """Listeners and pods of the test; may be empty."""

    def __exit__(self, *failure):
        try:
            if self.setup:
                self.setup.__exit__(*(failure or (None,)))
        finally:
            self.net.close()


def refused(pod, to, wanted):
    """connect(2) of the pod must fail with the errno @wanted."""
    try:
        pod.connect(to).close()
    except OSError as e:
        expect(e.errno, wanted, f"connect to {to}")
        return
    raise AssertionError(f"connect to {to} was not refused")


def run(cases):
    """Runs the functions, prints TAP, exits. A missing program or root is a skip with its reason."""
    missing = [p for p in (SKIFFD, SKIFFCTL, PEER, SPLICE_PEER) if not os.path.exists(p)]
    if os.geteuid() != 0 or missing:
        print("needs root" if os.geteuid() else f"not built: {' '.join(missing)} (make)")
        sys.exit(77)
    rig.run(*cases)
