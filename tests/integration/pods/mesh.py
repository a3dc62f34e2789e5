# SPDX-License-Identifier: Apache-2.0
"""A skiffd with real pods, for the tests of this folder. What is not about namespaces is in ../engine/rig.py."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "engine"), os.path.join(os.path.dirname(os.path.dirname(HERE)), "lib")]
from netns import Net
from rig import Client, Reader, Server, Skiffd, answer, cluster, echo_tcp, http, read_message, resources, route

PORT, TCP_PORT, VIP = 8080, 9090, "198.51.100.7"
OUT = {"traffic_direction": "OUTBOUND", "bind_to_port": False}
IN = {"traffic_direction": "INBOUND", "bind_to_port": False}


def served(name):
    """Answers with who it is, who it sees, and the headers that it got."""
    def serve(s):
        r = Reader(s)
        while True:
            m = read_message(r)
            answer(s, json.dumps({"name": name, "peer": s.getpeername()[0], "local": s.getsockname()[0], "line": m.line,
                                  "headers": m.headers, "body": len(m.body)}))
    return serve


class Mesh:
    """Pods cli and srv in the mesh, out not; an HTTP server on 8080 and an echo on 9090 in srv and out."""

    def __init__(self, outbound=None, inbound=None, policy=(), open_client=True, **skiffd):
        skiffd.setdefault("accelerate", os.environ.get("ACCELERATE", "auto"))
        self.net = Net().__enter__()
        self.servers = []
        try:
            self.cli, self.srv, self.out = (self.net.pod(n) for n in ("cli", "srv", "out"))
            for pod in (self.srv, self.out):
                self.servers += [Server(served(pod.name), pod.listen("::", PORT)), Server(echo_tcp, pod.listen("::", TCP_PORT))]
            self.s = Skiffd(pods=[
                {"name": "cli", "netns": self.cli.path, "fail_open": open_client, "policy": list(policy),
                 "resources": self.outbound() if outbound is None else outbound(self)},
                {"name": "srv", "netns": self.srv.path, "fail_open": open_client,
                 "resources": self.inbound() if inbound is None else inbound(self)}], **skiffd)
        except BaseException:
            self.net.close()
            raise

    def outbound(self, *routes, filters=(), to=None):
        """Listeners of the client for the server's addresses."""
        return resources(
            [http(f"out{v}", PORT, *routes, route("/", f"srv{v}"), ip=ip, listener=OUT, filters=filters,
                  stat_prefix="out") for v, ip in ((4, self.srv.ip4), (6, self.srv.ip6))],
            [cluster(f"srv{v}", PORT, host=to or ip) for v, ip in ((4, self.srv.ip4), (6, self.srv.ip6))])

    def inbound(self, filters=(), **hcm):
        return resources([http(f"in{v}", PORT, route("/", "app"), ip=ip, listener=IN, filters=filters, stat_prefix="in", **hcm)
                          for v, ip in ((4, self.srv.ip4), (6, self.srv.ip6))], [cluster("app", PORT)])

    def __enter__(self):
        try:
            self.s.start()
        except BaseException:
            self.net.close()
            raise
        return self

    def __exit__(self, *failure):
        try:
            self.s.__exit__(*failure)
        finally:
            for server in self.servers:
                server.close()
            self.net.close()

    def ask(self, pod, to=None, path="/", **kw):
        """One request over a connection of its own: (status, what the server saw)."""
        with Client(0, sock=pod.connect((to or self.srv.ip4, PORT))) as c:
            m = c.get(path, **kw)
            return m.status, json.loads(m.body) if m.body.startswith(b"{") else m.body.decode()

    def kernel(self):
        """Counters of the kernel side that are not 0, by their text."""
        out = {}
        for line in self.s.ctl("bpf", "show")[1].splitlines():
            out[line.strip()] = True
        return out
