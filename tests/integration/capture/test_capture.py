#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Capture in real namespaces: outbound and inbound, IPv4, IPv6 and mapped; what must stay untouched; denies; authz."""
import ctypes
import errno
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from capture import Counted, Mesh, expect, refused, run
from netns import enter
from rig import Client, Reader, answer, read_message

ANY = ("0.0.0.0/0", "::/0")


class Pair(Mesh):
    """A client pod and a server pod, both in the mesh, and a pod that is not."""

    def begin(self):
        self.listener = self.server.listen("::", 8080)
        for pod in (self.client, self.server):
            self.engine.add(pod)


def outbound(pair, to, addr, shown=None):
    with Counted(pair.engine) as moved:
        client = pair.client.connect(to)
        served, address = pair.listener.accept()
        client.sendall(b"question")
        expect(served.recv(100), b"question", "server")
        served.sendall(b"answer")
        expect(client.recv(100), b"answer", "client")
        expect(client.getpeername()[:2], shown or (addr, 8080), "getpeername")
        client.close()
        expect(served.recv(100), b"", "end of stream")
    expect((moved["OUT_L7"], moved["ORIGDST"]), (1, 1), "captured")
    # the engine came from inside the server's pod: the short cut over the wire's head
    expect(address[0].removeprefix("::ffff:"), pair.server.ip6 if ":" in addr and "ffff" not in addr else
           pair.server.ip4, "source that the server sees")


def outbound_ipv4_is_captured_and_getpeername_is_what_was_asked():
    with Pair() as p:
        p.engine.policy("rule cli out l7 0.0.0.0/0 8080")
        outbound(p, (p.server.ip4, 8080), p.server.ip4)


def outbound_ipv6_is_captured():
    with Pair() as p:
        p.engine.policy("rule cli out l7 ::/0 8080")
        outbound(p, (p.server.ip6, 8080), p.server.ip6)


def outbound_mapped_ipv6_is_captured_as_ipv4():
    with Pair() as p:
        p.engine.policy(f"rule cli out l7 {p.server.ip4}/32 8080")
        outbound(p, (f"::ffff:{p.server.ip4}", 8080), f"::ffff:{p.server.ip4}")


def nonblocking_connect_is_captured():
    with Pair() as p:
        p.engine.policy(f"rule cli out l7 {p.server.ip4}/32 8080")
        s = p.client.socket()
        s.setblocking(False)
        expect(s.connect_ex((p.server.ip4, 8080)), errno.EINPROGRESS)
        served, _ = p.listener.accept()
        s.settimeout(5)
        s.sendall(b"x")
        expect(served.recv(1), b"x")
        expect(s.getpeername(), (p.server.ip4, 8080))


def a_socket_bound_to_the_pods_address_is_captured():
    with Pair() as p:
        p.engine.policy("rule cli out l7 0.0.0.0/0 8080", "rule cli out l7 ::/0 8080")
        for own, to in ((p.client.ip4, p.server.ip4), (p.client.ip6, p.server.ip6)):
            s = p.client.socket(socket.AF_INET6 if ":" in own else socket.AF_INET)
            s.settimeout(5)
            s.bind((own, 0))
            with Counted(p.engine) as moved:
                s.connect((to, 8080))
                served, _ = p.listener.accept()
                s.sendall(b"x")
                expect(served.recv(1), b"x")
            expect((moved["OUT_L7"], moved["ORIGDST"]), (1, 1), own)
            expect(s.getpeername()[:2], (to, 8080))


def inbound(pair, source, to):
    with Counted(pair.engine) as moved:
        client = source.connect(to)
        served, address = pair.listener.accept()
        client.sendall(b"hello")
        expect(served.recv(100), b"hello")
        expect(client.getpeername()[:2], to, "client's peer")
    expect(moved["IN_L7"], 1, "steered")
    # the engine connects from the pod itself
    expect(address[0].removeprefix("::ffff:"), to[0])


def inbound_ipv4_from_outside_goes_through_the_engine():
    with Pair() as p:
        p.engine.policy("rule srv in l7 0.0.0.0/0 8080")
        inbound(p, p.outside, (p.server.ip4, 8080))


def inbound_ipv6_from_outside_goes_through_the_engine():
    with Pair() as p:
        p.engine.policy("rule srv in l7 ::/0 8080")
        inbound(p, p.outside, (p.server.ip6, 8080))


def inbound_other_ports_are_untouched():
    with Pair() as p:
        other = p.server.listen("0.0.0.0", 9090)
        p.engine.policy("rule srv in l7 0.0.0.0/0 8080")
        with Counted(p.engine) as moved:
            client = p.outside.connect((p.server.ip4, 9090))
            _, address = other.accept()
        expect(address, client.getsockname(), "the server sees the client itself")
        expect((moved["IN_L7"], moved["IN_UNNAMED"]), (0, 1))


def a_connection_of_the_pod_to_itself_is_untouched():
    with Pair() as p:
        p.engine.policy(*(f"rule srv {way} l7 {prefix} 0" for way in ("in", "out") for prefix in ANY))
        for to in (p.server.ip4, "127.0.0.1", p.server.ip6, "::1", f"::ffff:{p.server.ip4}", "0.0.0.0"):
            with Counted(p.engine) as moved:
                client = p.server.connect((to, 8080))
                served, address = p.listener.accept()
                expect(address[:2][1], client.getsockname()[1], f"{to}: same connection at both ends")
            expect((moved["OUT_L7"], moved["IN_L7"]), (0, 0), to)
            expect(moved["OUT_SELF"], 1, to)


def a_pod_that_is_not_managed_stays_untouched():
    with Pair() as p:
        p.engine.policy("rule cli out deny 0.0.0.0/0 0")
        listener = p.client.listen("0.0.0.0", 8081)
        third = p.net.pod("thd")
        with Counted(p.engine) as moved:
            inner = third.listen("0.0.0.0", 8082)
            client = p.outside.connect((third.ip4, 8082))
            _, address = inner.accept()
            expect(address, client.getsockname())
        expect(moved.moved, {}, "nothing was looked at")
        listener.close()


def what_no_policy_names_is_left_alone():
    with Pair() as p:
        p.engine.policy("rule cli out l7 192.0.2.0/24 0")
        with Counted(p.engine) as moved:
            client = p.client.connect((p.server.ip4, 8080))
            _, address = p.listener.accept()
            expect(address[0], f"::ffff:{p.client.ip4}", "direct")
            expect(address[1], client.getsockname()[1])
        expect((moved["OUT_UNNAMED"], moved["OUT_L7"]), (1, 0))


def bypass_wins_over_a_wider_prefix_and_an_exact_port_over_any():
    with Pair() as p:
        p.engine.policy("rule cli out deny 0.0.0.0/0 0", f"rule cli out bypass {p.server.ip4}/32 0",
                        "rule cli out deny 0.0.0.0/0 9999")
        with Counted(p.engine) as moved:
            p.client.connect((p.server.ip4, 8080))
        expect(moved["OUT_BYPASS"], 1)
        refused(p.client, (p.server.ip4, 9999), errno.EPERM)


def deny_outbound_is_eperm_with_an_event():
    with Pair() as p:
        p.engine.policy(*(f"rule cli out deny {prefix} 8080" for prefix in ANY))
        for to in (p.server.ip4, p.server.ip6, f"::ffff:{p.server.ip4}"):
            with Counted(p.engine) as moved:
                refused(p.client, (to, 8080), errno.EPERM)
            expect(moved["OUT_DENY"], 1, to)
        event = p.engine.wait_event("OUT_DENY")
        assert f"remote {p.server.ip4}:8080" in event and f"python3[{os.getpid()}]" in event, event


def deny_inbound_is_refused_with_an_event():
    with Pair() as p:
        p.engine.policy("rule srv in deny 0.0.0.0/0 8080")
        refused(p.outside, (p.server.ip4, 8080), errno.ECONNREFUSED)
        event = p.engine.wait_event("IN_DENY")
        assert f"local {p.server.ip4}:8080 remote {p.outside.ip4}:" in event, event


def authz_by_source_and_port():
    with Pair() as p:
        other = p.server.listen("0.0.0.0", 9090)
        p.engine.policy(f"allow srv 8080 {p.outside.ip4}/32", f"deny srv 9090 {p.outside.ip4}/32")
        p.outside.connect((p.server.ip4, 8080))
        with Counted(p.engine) as moved:
            refused(p.client, (p.server.ip4, 8080), errno.ECONNREFUSED)
            refused(p.outside, (p.server.ip6, 8080), errno.ECONNREFUSED)
            refused(p.outside, (p.server.ip4, 9090), errno.ECONNREFUSED)
        expect((moved["IN_AUTHZ"], moved["IN_L7"]), (3, 0))
        p.client.connect((p.server.ip4, 9090))
        p.server.connect((p.server.ip4, 8080))  # the pod itself is not asked
        event = p.engine.wait_event("IN_AUTHZ")
        assert f"local {p.server.ip4}:8080 remote {p.client.ip4}:" in event, event
        p.engine.policy(f"allow srv 8080 {p.client.ip4}/32")
        p.client.connect((p.server.ip4, 8080))
        refused(p.outside, (p.server.ip4, 8080), errno.ECONNREFUSED)
        p.outside.connect((p.server.ip4, 9090))
        p.engine.policy()
        p.outside.connect((p.server.ip4, 8080))
        expect(p.engine.table("skiff_authz"), [], "nobody is refused any more")
        other.close()


def a_probe_from_the_node_is_untouched():
    with Pair() as p:
        p.engine.policy("deny srv 8080 0.0.0.0/0 ::/0")
        for to, source in ((p.server.ip4, f"::ffff:{p.net.host4}"), (p.server.ip6, p.net.host6)):
            with Counted(p.engine) as moved:
                probe = socket.create_connection((to, 8080), timeout=5)
                _, address = p.listener.accept()
                expect(address[:2], (source, probe.getsockname()[1]), "the server sees the node")
            expect((moved["IN_NODE"], moved["IN_L7"]), (1, 0))


def both_sides_at_once_pass_the_engine_only_once():
    """Client and server are captured: the short cut enters the server's pod, and is not captured again."""
    with Pair() as p:
        p.engine.policy("rule cli out http 0.0.0.0/0 8080", "rule srv in http 0.0.0.0/0 8080")
        with Counted(p.engine) as moved:
            client = Client(0, sock=p.client.connect((p.server.ip4, 8080))).request("/both")
            served, address = p.listener.accept()
            expect(read_message(Reader(served)).line, "GET /both HTTP/1.1")
            answer(served, "yes")
            expect(client.read().body, b"yes")
        expect((moved["OUT_L7"], moved["IN_L7"], moved["OUT_ENGINE"]), (1, 0, 1), moved.moved)
        expect(address[0], f"::ffff:{p.server.ip4}", "source that the server sees")
        stats = p.engine.skiffd.stats()
        for side in ("outbound", "inbound"):
            expect(stats[f"http.{side}-0.0.0.0-8080.downstream_rq_2xx"], 1, side)


def both_sides_of_plain_tcp_are_captured():
    """Bytes that the server's side inspects take the wire between the two: its policy sees the client's address."""
    with Pair() as p:
        p.engine.policy("rule cli out l7 0.0.0.0/0 8080", "rule srv in l7 0.0.0.0/0 8080")
        with Counted(p.engine) as moved:
            client = p.client.connect((p.server.ip4, 8080))
            served, _ = p.listener.accept()
            client.sendall(b"x")
            expect(served.recv(1), b"x")
        expect((moved["OUT_L7"], moved["IN_L7"]), (1, 1))
        stats = p.engine.skiffd.stats()
        for side in ("outbound", "inbound"):
            expect(stats[f"tcp.{side}-0.0.0.0-8080.downstream_cx_total"], 1, side)


def a_captured_client_does_not_get_past_what_the_server_denies():
    """The short cut opens its connection inside the server's pod, where no inbound rule is asked."""
    for verdict in ("l7", "http"):
        with Pair() as p:
            p.engine.policy(f"rule cli out {verdict} 0.0.0.0/0 8080", "rule srv in deny 0.0.0.0/0 8080")
            client = Client(0, sock=p.client.connect((p.server.ip4, 8080))).request("/secret")
            p.engine.wait_event("IN_DENY")
            if verdict == "http":
                expect(client.read().status, 503)
            else:
                expect(client.is_closed(), True)
            p.listener.settimeout(0.2)
            try:
                p.listener.accept()
            except TimeoutError:
                continue
            raise AssertionError(f"{verdict}: the server was reached")


def a_second_connect_on_a_socket_forgets_the_first():
    with Pair() as p:
        p.engine.policy(f"rule cli out l7 {p.server.ip4}/32 1")
        s = p.client.socket()
        s.settimeout(5)
        s.connect((p.server.ip4, 1))
        expect(s.getpeername(), (p.server.ip4, 1), "captured")
        unspec = ctypes.create_string_buffer(16)  # AF_UNSPEC takes the connection apart
        expect(ctypes.CDLL(None).connect(s.fileno(), unspec, 16), 0, "disconnect")
        s.connect((p.server.ip4, 8080))
        expect(s.getpeername(), (p.server.ip4, 8080), "not captured")


CLAIM = """
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x51f10001)
print(s.connect_ex((sys.argv[1], 8080)))
"""


def a_pod_that_sets_the_engines_mark_is_not_the_engine():
    root = next(line.split()[1] for line in open("/proc/self/mounts", encoding="utf-8") if " cgroup2 " in line)
    group = f"{root}/skiff_test_{os.getpid()}"
    with Pair() as p:
        p.engine.policy("rule cli out deny 0.0.0.0/0 0")
        os.mkdir(group)
        try:
            def join():
                with open(f"{group}/cgroup.procs", "w", encoding="ascii") as f:
                    f.write(str(os.getpid()))
                enter(p.client.path)

            done = subprocess.run([sys.executable, "-c", CLAIM, p.server.ip4], preexec_fn=join, capture_output=True,
                                  text=True, timeout=10)
            expect((done.stdout.strip(), done.stderr), (str(errno.EPERM), ""))
        finally:
            os.rmdir(group)


def policies_of_one_pod_do_not_touch_another():
    with Pair() as p:
        p.engine.policy("rule srv out deny 0.0.0.0/0 0")
        p.client.connect((p.server.ip4, 8080))
        p.engine.policy("rule cli out deny 0.0.0.0/0 0")
        refused(p.client, (p.server.ip4, 8080), errno.EPERM)
        p.engine.policy()
        p.client.connect((p.server.ip4, 8080))


def a_removed_pod_is_untouched_and_may_come_back():
    with Pair() as p:
        p.engine.policy("rule cli out deny 0.0.0.0/0 0", "rule srv in deny 0.0.0.0/0 0")
        refused(p.client, (p.server.ip4, 8080), errno.EPERM)
        p.engine.remove(p.client)
        p.engine.remove(p.server)
        p.client.connect((p.server.ip4, 8080))
        p.engine.add(p.client)
        p.engine.policy("rule cli out deny 0.0.0.0/0 0")
        refused(p.client, (p.server.ip4, 8080), errno.EPERM)


def udp_is_left_alone():
    with Pair() as p:
        p.engine.policy("rule cli out deny 0.0.0.0/0 0", "rule srv in deny 0.0.0.0/0 0")
        server = p.server.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind(("0.0.0.0", 53))
        server.settimeout(5)
        client = p.client.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.connect((p.server.ip4, 53))
        client.send(b"query")
        expect(server.recv(10), b"query")


run([outbound_ipv4_is_captured_and_getpeername_is_what_was_asked, outbound_ipv6_is_captured,
     outbound_mapped_ipv6_is_captured_as_ipv4, nonblocking_connect_is_captured,
     a_socket_bound_to_the_pods_address_is_captured,
     inbound_ipv4_from_outside_goes_through_the_engine, inbound_ipv6_from_outside_goes_through_the_engine,
     inbound_other_ports_are_untouched, a_connection_of_the_pod_to_itself_is_untouched,
     a_pod_that_is_not_managed_stays_untouched, what_no_policy_names_is_left_alone,
     bypass_wins_over_a_wider_prefix_and_an_exact_port_over_any, deny_outbound_is_eperm_with_an_event,
     deny_inbound_is_refused_with_an_event, authz_by_source_and_port, a_probe_from_the_node_is_untouched,
     both_sides_at_once_pass_the_engine_only_once, both_sides_of_plain_tcp_are_captured,
     a_captured_client_does_not_get_past_what_the_server_denies, a_second_connect_on_a_socket_forgets_the_first,
     a_pod_that_sets_the_engines_mark_is_not_the_engine, policies_of_one_pod_do_not_touch_another, a_removed_pod_is_untouched_and_may_come_back,
     udp_is_left_alone])
