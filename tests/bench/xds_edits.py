# SPDX-License-Identifier: Apache-2.0
"""How long an edit takes from the arrival of istiod's response until a request sees it (tests/bench/xds).

A client in a pod asks every millisecond (edit_watch.c), a relay in front of the subject notes when the bytes that make the change
pass (tests/lib/tap.py); what istiod needs itself does not count. Kinds of edits: endpoint (EDS), route (RDS), subset (a cluster that
was not there, its endpoints and the route to it), tcp (EDS of a service that skiffd balances in the kernel).
"""
import os
import random
import time

from sandbox import BUILD, Failed, wait_until

VIP = {"endpoint": "10.99.0.1", "route": "10.99.0.2", "subset": "10.99.0.3", "tcp": "10.99.0.4"}
PORT, TCP = 8080, 9090
DOMAIN = "default.svc.cluster.local"


def head(kind, name):
    group = "networking.istio.io/v1"
    return f"apiVersion: {group}\nkind: {kind}\nmetadata: {{name: {name}, namespace: default}}\nspec:\n"


def service(kind, ends):
    """@ends: [(address, version)]."""
    tcp = kind == "tcp"
    listed = "".join(f"\n  - {{address: {a}, labels: {{version: {v}}}}}" for a, v in ends)
    return (head("ServiceEntry", kind) + f"  hosts: [{kind}.{DOMAIN}]\n  addresses: [{VIP[kind]}]\n  location: MESH_INTERNAL\n"
            f"  resolution: STATIC\n  ports: [{{number: {TCP if tcp else PORT}, name: {'tcp' if tcp else 'http'}, "
            f"protocol: {'TCP' if tcp else 'HTTP'}}}]\n  endpoints:{listed}\n")


class Edited:
    """The edited services. @servers: two addresses whose servers answer "one" and "two" at both ports."""

    def __init__(self, servers):
        self.servers, self.n = servers, dict.fromkeys(VIP, 0)

    def all(self):
        """{file: YAML} to begin with."""
        return {f"edit-{kind}": self.make(kind)[0] for kind in VIP}

    def make(self, kind):
        """The n-th version: (YAML, bytes that bring it, the answer that shows it)."""
        n, both = self.n[kind], [(a, f"v{i + 1}") for i, a in enumerate(self.servers)]
        which = n % 2
        if kind in ("endpoint", "tcp"):
            return service(kind, [both[which]]), self.servers[which], f"200 {('one', 'two')[which]}"
        if kind == "route":
            text = (f"---\n{head('VirtualService', kind)}  hosts: [{kind}.{DOMAIN}]\n  http:\n"
                    f"  - directResponse: {{status: 200, body: {{string: mark-{n:06d}}}}}\n")
            return service(kind, both) + text, f"mark-{n:06d}", f"200 mark-{n:06d}"
        # The one before stays: endpoints of a subset that is gone are, for istiod, all of the service.
        subsets = ", ".join(f"{{name: sub-{i:06d}, labels: {{version: v{i % 2 + 1}}}}}" for i in (n, n - 1) if i >= 0)
        text = (f"---\n{head('DestinationRule', kind)}  host: {kind}.{DOMAIN}\n  subsets: [{subsets}]\n"
                f"---\n{head('VirtualService', kind)}  hosts: [{kind}.{DOMAIN}]\n"
                f"  http: [{{route: [{{destination: {{host: {kind}.{DOMAIN}, subset: sub-{n:06d}}}}}]}}]\n")
        return service(kind, both) + text, f"|sub-{n:06d}|", f"200 {('one', 'two')[which]}"

    def next(self, kind):
        self.n[kind] += 1
        return self.make(kind)


class Watch:
    """edit_watch in a pod; its lines."""

    def __init__(self, box, pod, kind, group):
        port, more = (TCP, ["-C"]) if kind == "tcp" else (PORT, [])
        self.box = box
        self.child = box.spawn([os.path.join(BUILD, "tests/bench/edit_watch"), "-a", VIP[kind], "-p", str(port), "-H", f"{kind}.{DOMAIN}", *more],
                               pod.path, group, log=f"watch-{kind}.log")

    def lines(self):
        with open(self.child.log, encoding="utf-8") as f:
            return f.read().splitlines()

    def seen(self, answer, after):
        """ns when the first such answer came that is later than @after; None: not yet."""
        for line in reversed(self.lines()):
            words = line.split(" ", 2)
            if words[0].isdigit() and int(words[1]) >= after and words[2] == answer:
                return int(words[1])
        return None

    def end(self):
        self.box.end(self.child)
        return [x for x in self.lines() if x.startswith("FAILED")]


def measure(box, istiod, edited, tap, pod, group, count):
    """{kind: [ms]} and [failed polls] of @count edits of each kind, one at a time."""
    out, failed = {}, []
    for kind in VIP:
        watch = Watch(box, pod, kind, group)
        wait_until(f"{kind} answers", lambda w=watch: any(" 200 " in x for x in w.lines()), 20, watch.child)
        out[kind] = []
        for _ in range(count):
            time.sleep(random.uniform(.05, .3))
            text, word, answer = edited.next(kind)
            tap.watch(word)
            began = time.monotonic_ns()
            istiod.write(f"edit-{kind}", text)
            wait_until(f"the {kind} edit {edited.n[kind]}", lambda w=watch, a=answer, b=began: w.seen(a, b), 20, watch.child)
            at = watch.seen(answer, began)
            came = tap.last(word, at)
            if came:  # else its bytes were cut in two
                out[kind].append((at - came) / 1e6)
        failed += watch.end()
        if len(out[kind]) < count * .8:
            raise Failed(f"{kind}: just {len(out[kind])} of {count} arrivals were noticed")
    return out, failed


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]
