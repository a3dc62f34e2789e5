# SPDX-License-Identifier: Apache-2.0
"""skiffd fed by a management server of the test's own (tests/lib/xds_server.py): a pod "web" that asks, servers that say their
names, resources written by hand."""
import json
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "engine"), os.path.join(TESTS, "lib")]
from cases import Cases, until  # noqa: F401 (for those who import this)
from netns import Net
from rig import Client, Server, answer, Reader, read_message
from sandbox import Sandbox, Skiffd, admin_get
from xds_server import XdsServer
from xds_wire import CDS, LDS, RDS, T, Word, pb

E = T + "envoy.extensions."
HCM = E + "filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "envoy.filters.http.router", "typed_config": {"@type": E + "filters.http.router.v3.Router"}}
ADS = {"ads": {}, "resource_api_version": Word("V3")}
VIP = "10.96.7.7"


# ---- resources -----------------------------------------------------------------------------------

def address(ip, port):
    return {"socket_address": {"address": ip, "port_value": port}}


def cluster(name, ip, port):
    return pb(CDS, {"name": name, "type": Word("STATIC"), "connect_timeout": {"seconds": 1}, "load_assignment": {
        "cluster_name": name, "endpoints": {"lb_endpoints": {"endpoint": {"address": address(ip, port)}}}}})


def listener(name, ip, port, filter_name, typed_config, **more):
    return pb(LDS, {"name": name, "address": address(ip, port), "traffic_direction": Word("OUTBOUND"), **more, "filter_chains": {
        "filters": {"name": filter_name, "typed_config": typed_config}}})


def http(name, ip, port, routes, *filters, hcm=(), **more):
    """A listener of HTTP; @routes: a name (RDS) or a route configuration. @filters stand before the router."""
    where = ({"rds": {"config_source": ADS, "route_config_name": routes}} if isinstance(routes, str) else
             {"route_config": routes})
    return listener(name, ip, port, "envoy.filters.network.http_connection_manager",
                    {"@type": HCM, "stat_prefix": name, **where, **dict(hcm), "http_filters": [*filters, ROUTER]}, **more)


def host(name, to, *domains, **more):
    """A virtual host: everything to one cluster."""
    return {"name": name, "domains": list(domains or (name,)), "routes": {"match": {"prefix": "/"}, "route": {"cluster": to}},
            **more}


def table(name, *hosts, **more):
    return pb(RDS, {"name": name, "virtual_hosts": list(hosts), **more})


# ---- the world -----------------------------------------------------------------------------------

def named(name):
    """Answers each request with its name."""
    def serve(s):
        r = Reader(s)
        while True:
            m = read_message(r)
            answer(s, f"{name} {m.line.split(' ')[1]}")
    return serve


class World:
    """A pod "web", servers by name (addresses in .servers), a management server; skiffd is started by start()."""

    def __init__(self, name, *servers, **server):
        """@server: of XdsServer."""
        self.box, self.net, self.running = Sandbox(name).__enter__(), Net().__enter__(), []
        self.skiffd, self.group = None, None
        try:
            self.web, self.out = self.net.pod("web"), self.net.pod("out")
            self.servers = {n: (self.out.ip4, 8001 + i) for i, n in enumerate(servers)}
            self.running += [Server(named(n), self.out.listen(*a)) for n, a in self.servers.items()]
            self.server = XdsServer(**server)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        self.group = self.box.inside(self.box.group("tester"))  # what connects must be in a cgroup that is captured
        self.group.__enter__()
        return self

    def __exit__(self, *failure):
        if self.group:
            self.group.__exit__(*failure)
        for s in self.running:
            s.close()
        self.box.close()
        self.net.close()

    def clusters(self, *names, push=True):
        self.server.set("cds", {n: cluster(n, *self.servers[n]) for n in names}, push=push)

    def start(self, wait=True, pod=(), config=(), **xds):
        """A skiffd with the pod; one that runs is ended."""
        if self.skiffd:
            self.skiffd.stop()
        self.skiffd = Skiffd(self.box, {
            "pods": [{"name": "web", "netns": self.web.path, "labels": {"app": "web"}, "fail_open": False, **dict(pod)}],
            "xds": {"server": f"127.0.0.1:{self.server.port}", **xds}, **dict(config)}, wait=wait)
        return self.skiffd

    def node(self):
        """What status says of the pod."""
        return json.loads(admin_get(self.skiffd.socket, "/xds")[1])["nodes"][0]

    def page(self):
        return json.loads(admin_get(self.skiffd.socket, "/xds")[1])

    def in_sync(self, seconds=15):
        until(lambda: self.node()["in_sync"], seconds, lambda: json.dumps(self.node())[:3000])

    def ask(self, host="one", path="/", to=(VIP, 80), timeout=10):
        """(status, body)."""
        with Client(0, sock=self.web.connect(to, timeout=timeout), timeout=timeout) as c:
            m = c.send(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").read()
            return m.status, m.body.decode()

    def gets(self, want, host="one", **how):
        """Waits until requests are answered so."""
        until(lambda: self.ask(host, **how) == want, 10, lambda: f"{self.ask(host, **how)} instead of {want}")


class Load(threading.Thread):
    """Requests one after the other until it is ended; what was not answered with 200 fails."""

    def __init__(self, world, **how):
        super().__init__(daemon=True)
        self.world, self.how, self.count, self.bad, self.over = world, how, 0, [], False

    def run(self):
        while not self.over:
            try:
                got = self.world.ask(**self.how)
                if got[0] != 200:
                    self.bad.append(got)
            except Exception as e:  # noqa: BLE001
                self.bad.append(repr(e))
                time.sleep(.1)
            self.count += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *failure):
        self.over = True
        self.join()
        if not failure[0]:
            assert self.count > 10 and not self.bad, (self.count, self.bad[:5])
