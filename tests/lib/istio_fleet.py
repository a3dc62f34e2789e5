# SPDX-License-Identifier: Apache-2.0
"""Many services as Istio YAML, for measurements: 1,000 or 5,000 of them, and single edits that change as little as possible.

    fleet = Fleet(1000, real={0: ["10.1.2.3"]})          service 0 has endpoints where somebody listens
    config, live = fleet.split()
    istiod = Istiod(box, config=config, live=live).start()
    istiod.write(*fleet.move(999))                         one endpoint of service 999 gets another address

Service i is s<i>.default.svc.cluster.local at vip(i), port 8080, HTTP; every @tcp_every'th is TCP at port 9090 instead. The files
hold SHARD services each, so that istiod reads one anew for an edit. It starts nothing itself.
"""
SHARD = 50
HTTP, TCP = 8080, 9090


def address(base, n):
    """The @n'th address below @base ("11" or "10.97"); the last byte is never 0 or 255."""
    rest = [n // 254 // 256, n // 254 % 256, n % 254 + 1]
    return ".".join([base, *map(str, rest[base.count("."):])])


class Fleet:
    """@endpoints: of each service. @real: {service: [addresses]} instead of made-up ones in 11.0.0.0/8 (nothing is there).
    @rules_every: every such service has a VirtualService with two versions, too (0: none)."""

    def __init__(self, services, endpoints=5, tcp_every=0, rules_every=0, real=()):
        self.services, self.endpoints, self.tcp_every, self.rules_every = services, endpoints, tcp_every, rules_every
        self.hosts = {i: [address("11", i * endpoints + j) for j in range(endpoints)] for i in range(services)}
        self.hosts.update(dict(real))
        self.moves = 0

    def vip(self, i):
        return address("10.97", i)

    def host(self, i):
        return f"s{i}.default.svc.cluster.local"

    def is_tcp(self, i):
        return bool(self.tcp_every) and i % self.tcp_every == self.tcp_every - 1

    def port(self, i):
        return TCP if self.is_tcp(i) else HTTP

    def service(self, i):
        """YAML of one service."""
        kind = "TCP" if self.is_tcp(i) else "HTTP"
        hosts = "".join(f"\n  - {{address: {a}, labels: {{app: s{i}, version: v{j % 2 + 1}}}}}" for j, a in enumerate(self.hosts[i]))
        out = (f"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{i}, namespace: default}}\nspec:\n"
               f"  hosts: [{self.host(i)}]\n  addresses: [{self.vip(i)}]\n  location: MESH_INTERNAL\n  resolution: STATIC\n"
               f"  ports: [{{number: {self.port(i)}, name: {kind.lower()}, protocol: {kind}}}]\n  endpoints:{hosts}\n")
        if not self.rules_every or i % self.rules_every or self.is_tcp(i):
            return out
        to = [f"{{destination: {{host: {self.host(i)}, subset: v{v}}}, weight: {w}}}" for v, w in ((1, 90), (2, 10))]
        return out + (
            f"---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: s{i}, namespace: default}}\nspec:\n"
            f"  host: {self.host(i)}\n  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]\n"
            f"---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s{i}, namespace: default}}\nspec:\n"
            f"  hosts: [{self.host(i)}]\n  http: [{{route: [{', '.join(to)}]}}]\n")

    def file(self, i):
        """(name, YAML) of the file that service @i is in."""
        shard = i // SHARD
        last = min((shard + 1) * SHARD, self.services)
        return f"fleet-{shard:04d}", "---\n".join(self.service(k) for k in range(shard * SHARD, last))

    def config(self):
        """{file: YAML} of all."""
        return dict(self.file(i) for i in range(0, self.services, SHARD))

    def split(self, live=SHARD):
        """(config, live) for Istiod: the files of the last @live services apart, so that edits of those are quick."""
        files, cut = self.config(), max(0, self.services - live) // SHARD
        names = sorted(files)
        return {n: files[n] for n in names[:cut]}, {n: files[n] for n in names[cut:]}

    # ---- edits; each returns the (name, YAML) to write
    def move(self, i):
        """The last endpoint of service @i gets an address that nobody had."""
        self.moves += 1
        return self.set(i, self.hosts[i][:-1] + [address("21", self.moves)])

    def set(self, i, addresses):
        self.hosts[i] = list(addresses)
        return self.file(i)

    def add(self):
        """One more service; its number is services - 1."""
        i = self.services
        self.services += 1
        self.hosts[i] = [address("11", i * self.endpoints + j) for j in range(self.endpoints)]
        return self.file(i)
