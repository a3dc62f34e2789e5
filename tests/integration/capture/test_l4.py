#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""L4 verdicts: a plain tcp_proxy to known endpoints needs no proxy; the kernel picks a backend by weight."""
import errno
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from capture import Counted, Mesh, expect, refused, run

VIP4, VIP6 = "198.51.100.7", "2001:db8::7"


class Service(Mesh):
    """A client in the mesh; three servers outside of it."""

    names = ("cli", "s0", "s1")

    def begin(self):
        self.servers = [self.server, self.outside, self.net.pod("s2")]
        self.listeners = [s.listen("::", 8080) for s in self.servers]
        self.engine.add(self.client)

    def hits(self, n, to):
        """Connects @n times; how many each server got."""
        counts = [0, 0, 0]
        for s in self.listeners:
            s.setblocking(False)
        for _ in range(n):
            client = self.client.connect(to)
            expect(client.getpeername()[:2], to, "getpeername is the service")
            for i, listener in enumerate(self.listeners):
                try:
                    served, address = listener.accept()
                except BlockingIOError:
                    continue
                expect(address[1], client.getsockname()[1], "no proxy between")
                served.close()
                counts[i] += 1
            client.close()
        return counts


def weights_are_kept_and_unhealthy_hosts_get_nothing():
    with Service() as m:
        m.engine.policy(f"rule cli out l4 {VIP4}/32 80 1", *(
            f"backend 1 {s.ip4}:8080 {weight}" for s, weight in zip(m.servers, (70, 30, 0))))
        with Counted(m.engine) as moved:
            counts = m.hits(400, (VIP4, 80))
        expect((sum(counts), counts[2]), (400, 0))
        assert 230 <= counts[0] <= 330, f"70 of 100 is far from {counts}"  # six standard deviations
        expect((moved["OUT_L4"], moved["OUT_L7"]), (400, 0))


def ipv6_and_mapped_addresses():
    with Service() as m:
        m.engine.policy(f"rule cli out l4 {VIP6}/128 80 1", f"backend 1 [{m.servers[0].ip6}]:8080 1",
                        f"rule cli out l4 {VIP4}/32 80 2", f"backend 2 {m.servers[1].ip4}:8080 1")
        expect(m.hits(5, (VIP6, 80)), [5, 0, 0])
        expect(m.hits(5, (f"::ffff:{VIP4}", 80)), [0, 5, 0])


def without_a_healthy_backend_the_engine_decides():
    """What to do in a panic is not for the kernel."""
    with Service() as m:
        m.engine.policy(f"rule cli out l4 {VIP4}/32 80 1", f"backend 1 {m.servers[0].ip4}:8080 0")
        with Counted(m.engine) as moved:
            m.client.connect((VIP4, 80)).close()
        expect((moved["OUT_L4"], moved["OUT_L7"]), (0, 1))


def a_backend_of_the_other_family_is_refused():
    with Service() as m:
        m.engine.policy(f"rule cli out l4 {VIP4}/32 80 1", f"backend 1 [{m.servers[0].ip6}]:8080 1")
        refused(m.client, (VIP4, 80), errno.EPERM)
        m.engine.wait_event("OUT_FAMILY")


def backends_change_without_a_refused_connection():
    with Service() as m:
        rule = f"rule cli out l4 {VIP4}/32 80 1"
        for round_ in range(20):
            first, second = m.servers[round_ % 3], m.servers[(round_ + 1) % 3]
            lines = [f"backend 1 {first.ip4}:8080 1"] + [f"backend 1 {second.ip4}:8080 3"] * (round_ % 2)
            m.engine.policy(rule, *lines)
            counts = m.hits(5, (VIP4, 80))
            expect(sum(counts), 5)
            expect(counts[(round_ + 2) % 3], 0, "a backend that is gone gets nothing")


def the_engine_is_not_needed():
    with Service() as m:
        m.engine.policy(f"rule cli out l4 {VIP4}/32 80 1", f"backend 1 {m.servers[0].ip4}:8080 1")
        m.engine.kill()
        expect(m.hits(5, (VIP4, 80)), [5, 0, 0])


run([weights_are_kept_and_unhealthy_hosts_get_nothing, ipv6_and_mapped_addresses,
     without_a_healthy_backend_the_engine_decides, a_backend_of_the_other_family_is_refused,
     backends_change_without_a_refused_connection, the_engine_is_not_needed])
