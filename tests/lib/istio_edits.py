# SPDX-License-Identifier: Apache-2.0
"""Random edits of a Shop's configuration (istio_shop.py) that no request may notice, and that are seen to arrive.

    edits = Edits(shop, load, seed)
    for _ in range(1000):
        edits.one()
    edits.settle()                  all that was written is in force, by requests

By construction every edit leaves each service that is asked with a server: at least one endpoint of each version stays, a subset is
used after it was sent and given up before it goes, a service is asked after it arrived and until it goes. All servers live all the
time. Everything else is allowed, and nothing is asked twice: web's own retries are off most of the time.
"""
import collections
import random
import time

from istio_shop import CACHE, DOMAIN, DUBBO, GREET, HTTP, SERVERS, TCP, WEB, Echo, Http, Wrong, entry, version

EXTRAS = 4  # services that come and go and are asked meanwhile, at most
HOST = f"web.{DOMAIN}"
HEAD = "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {ns}}}\nspec:\n"
NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"


def head(api, kind, name, ns="default"):
    return HEAD.format(api=api, kind=kind, name=name, ns=ns)


def to(subset, weight=None):
    return f"{{destination: {{host: {HOST}, subset: {subset}}}{'' if weight is None else f', weight: {weight}'}}}"


# What a VirtualService may do beside routing; none of it keeps a plain GET of / from being answered.
FEATURES = {
    "retries": "retries: {attempts: 2, perTryTimeout: 2s, retryOn: \"5xx,connect-failure\"}",
    "timeout": "timeout: 10s",
    "headers": "headers: {request: {set: {x-set: one}, remove: [x-gone]}, response: {add: {x-more: two}}}",
    "mirror": f"mirrors: [{{destination: {{host: {HOST}, subset: v2}}, percentage: {{value: 30}}}}]",
    "rewrite": "rewrite: {uri: /}",
    "cors": "corsPolicy: {allowOrigins: [{exact: \"https://a.example.test\"}], allowMethods: [GET], maxAge: 1h}",
    "fault": "fault: {delay: {percentage: {value: 10}, fixedDelay: 0.05s}}",
}
# Rules before the one that the load meets.
RULES = {
    "redirect": "  - match: [{uri: {prefix: /moved}}]\n    redirect: {uri: /}\n",
    "direct": "  - match: [{uri: {prefix: /direct}}]\n    directResponse: {status: 299, body: {string: here}}\n",
    "abort": f"  - match: [{{headers: {{x-abort: {{exact: \"1\"}}}}}}]\n    fault: {{abort: {{percentage: {{value: 100}}, httpStatus: 555}}}}\n    route: [{to('v1')}]\n",
    "regex": f"  - match: [{{uri: {{regex: \"/re/[a-z]+\"}}, method: {{exact: POST}}}}]\n    route: [{to('v2')}]\n",
    "query": f"  - match: [{{queryParams: {{v: {{exact: \"2\"}}}}}}]\n    route: [{to('v2')}]\n",
}
POLICIES = {
    "lb": ("loadBalancer: {simple: ROUND_ROBIN}", "loadBalancer: {simple: RANDOM}", "loadBalancer: {simple: LEAST_REQUEST}", ""),
    "pool": ("connectionPool: {http: {http1MaxPendingRequests: 1000}, tcp: {maxConnections: 1000, connectTimeout: 3s}}",
             "connectionPool: {http: {maxRequestsPerConnection: 50}}", ""),
    "outlier": ("outlierDetection: {consecutive5xxErrors: 50, interval: 10s}", ""),
}


class Edits:
    def __init__(self, shop, load, seed):
        self.shop, self.load, self.random = shop, load, random.Random(seed)
        self.counts, self.log, self.number, self.extras, self.used_names = collections.Counter(), [], 0, {}, 0
        self.sets = {"web": list(SERVERS), "cache": list(SERVERS), "greet": list(SERVERS)}
        self.ports, self.weights, self.features, self.rules = {HTTP: "HTTP"}, (50, 50), set(), set()
        self.policies = {k: "" for k in POLICIES}
        self.subset = None  # of web, made from v1's servers: None, "there" or "used"
        self.authz, self.mtls, self.scope, self.filter = 0, 0, 0, 0
        self.kinds = {"endpoint": self.endpoint, "weight": self.weight, "service": self.service, "deletion": self.deletion,
                      "policy": self.policy, "subset": self.edit_subset, "feature": self.feature, "rule": self.rule,
                      "destination": self.destination, "port": self.port, "scope": self.edit_scope, "filter": self.edit_filter}

    # ---- files ---------------------------------------------------------------------------------

    def write_web(self):
        self.number += 1
        self.shop.istiod.write("web", self.web())

    def web(self):
        """The service and its rules. Each version of it names itself in the header x-edit of answers to /mark."""
        subsets = "".join(f"\n  - {{name: {n}, labels: {{version: {v}}}}}" for n, v in
                          (("v1", "v1"), ("v2", "v2"), *((("canary", "v1"),) if self.subset else ())))
        policy = ", ".join(x for x in self.policies.values() if x)
        routes = ", ".join(to(v, w) for v, w in zip(("v1", "v2"), self.weights))
        if self.subset == "used":
            routes = ", ".join((to("v1", self.weights[0] // 2), to("canary", self.weights[0] - self.weights[0] // 2), to("v2", self.weights[1])))
        lines = [FEATURES[f] for f in sorted(self.features)] + ([] if "retries" in self.features else ["retries: {attempts: 0}"])
        return (entry("web", WEB, self.ports, self.shop.ends(self.sets["web"])) + "---\n" + head(NETWORKING, "DestinationRule", "web") +
                f"  host: {HOST}\n" + (f"  trafficPolicy: {{{policy}}}\n" if policy else "") + f"  subsets:{subsets}\n---\n" +
                head(NETWORKING, "VirtualService", "web") + f"  hosts: [{HOST}]\n  http:\n"
                f"  - match: [{{uri: {{exact: /mark}}}}]\n    directResponse: {{status: 200, body: {{string: \"{self.number}\"}}}}\n" +
                "".join(RULES[r] for r in sorted(self.rules)) + f"  - route: [{routes}]\n" + "".join(f"    {x}\n" for x in lines))

    # ---- kinds: each returns what it did, or None if it does not apply now ------------------------

    def some_servers(self):
        """At least one of each version."""
        n = self.random.randint(1, 2)
        names = self.random.sample([s for s in SERVERS if version(s) == "v1"], n) + \
            self.random.sample([s for s in SERVERS if version(s) == "v2"], self.random.randint(1, 3))
        return sorted(names)

    def endpoint(self):
        name = self.random.choice(["web", "cache", "greet"])
        self.sets[name] = self.some_servers()
        if name == "web":
            self.write_web()
        else:
            vip, ports = (CACHE, {TCP: "TCP"}) if name == "cache" else (GREET, {DUBBO: "TCP"})
            self.shop.istiod.write(name, entry(name, vip, ports, self.shop.ends(self.sets[name])))
        return f"{name} {' '.join(self.sets[name])}"

    def weight(self):
        first = self.random.choice([0, 1, 10, 50, 90, 99, 100])
        self.weights = (first, 100 - first)
        self.write_web()
        return str(self.weights)

    def extra(self, name):
        vip, is_tcp, servers = self.extras[name]
        return entry(name, vip, {TCP: "TCP"} if is_tcp else {HTTP: "HTTP"}, self.shop.ends(servers))

    def service(self):
        if len(self.extras) >= EXTRAS:
            return None
        self.used_names += 1
        name, is_tcp = f"extra{self.used_names}", self.random.random() < .5
        vip = f"10.98.{2 + self.used_names // 250}.{1 + self.used_names % 250}"
        self.extras[name] = (vip, is_tcp, self.some_servers())
        self.shop.istiod.write(name, self.extra(name))
        self.appear(name)
        pod = self.shop.pods["c1"]
        if is_tcp:
            self.load.add(name, pod, (vip, TCP), Echo(False))
        else:
            self.load.add(name, pod, (vip, HTTP), Http(name, keep=self.random.random() < .5))
        return f"{name} {'TCP' if is_tcp else 'HTTP'}"

    def appear(self, name):
        """Waits until the new service answers: only then requests are asked for."""
        vip, is_tcp, _ = self.extras[name]
        speak = Echo(False) if is_tcp else Http(name, keep=False)

        def answers():
            try:
                with self.shop.pods["c1"].connect((vip, TCP if is_tcp else HTTP), timeout=.3) as s:
                    speak(s)
                return True
            except (OSError, Wrong, ValueError):  # not yet
                return False

        self.shop.until(f"the new service {name}", answers)

    def deletion(self):
        if not self.extras:
            return None
        name = self.random.choice(sorted(self.extras))
        self.load.remove(name)
        del self.extras[name]
        self.shop.istiod.remove(name)
        return name

    def policy(self):
        """Who may come in is told anew; the clients always may."""
        net = self.shop.net.host4.rsplit(".", 1)[0] + ".0/24"
        if self.random.random() < .3:
            self.mtls = self.random.choice(["PERMISSIVE", "DISABLE", "UNSET"])
            self.shop.istiod.write("mtls", head(SECURITY, "PeerAuthentication", "default") + f"  mtls: {{mode: {self.mtls}}}\n")
            return f"mtls {self.mtls}"
        selector = "  selector: {matchLabels: {app: web}}\n"
        allow = head(SECURITY, "AuthorizationPolicy", "allow") + selector + "  action: ALLOW\n  rules:\n" + (
            f"  - from: [{{source: {{ipBlocks: [\"{net}\"]}}}}]\n    to: [{{operation: {{ports: [\"{HTTP}\", \"{TCP}\", \"{DUBBO}\"]}}}}]\n")
        deny = head(SECURITY, "AuthorizationPolicy", "deny") + selector + "  action: DENY\n  rules:\n" + (
            f"  - from: [{{source: {{ipBlocks: [\"192.0.2.{self.random.randint(1, 250)}\"]}}}}]\n"
            f"  - to: [{{operation: {{ports: [\"{self.random.randint(1, 999)}\"]}}}}]\n")
        texts = self.random.choice([[allow], [deny], [allow, deny], ["# none\n"]])
        self.shop.istiod.write("authz", "---\n".join(texts))
        return f"{len(texts)} rules of who may come in"

    def edit_subset(self):
        """One step of the life of a subset: made, used, no longer used, gone."""
        self.subset = {None: "there", "there": self.random.choice(["used", None]), "used": "there"}[self.subset]
        self.write_web()
        self.arrived()  # a subset that goes with its last use, in one push, is Istio's own gap
        return f"canary {self.subset}"

    def feature(self):
        self.features ^= {self.random.choice(sorted(FEATURES))}
        self.write_web()
        return " ".join(sorted(self.features))

    def rule(self):
        self.rules ^= {self.random.choice(sorted(RULES))}
        self.write_web()
        return " ".join(sorted(self.rules))

    def destination(self):
        kind = self.random.choice(sorted(POLICIES))
        self.policies[kind] = self.random.choice(POLICIES[kind])
        self.write_web()
        return f"{kind}: {self.policies[kind]}"

    def port(self):
        """The service has one port more, or no longer: its listeners and clusters change, too."""
        number = self.random.choice([8081, 8082])
        if number in self.ports:
            del self.ports[number]
        else:
            self.ports[number] = self.random.choice(["HTTP", "TCP"])
        self.write_web()
        return str(sorted(self.ports))

    def edit_scope(self):
        """What c2 sees: all, or just what it asks for."""
        self.scope = not self.scope
        if self.scope:
            hosts = ", ".join(f"\"./{n}.{DOMAIN}\"" for n in ("web", "cache", "greet"))
            self.shop.istiod.write("scope", head(NETWORKING, "Sidecar", "scope") + "  workloadSelector: {labels: {app: c2}}\n"
                                   f"  egress: [{{hosts: [{hosts}]}}]\n")
        else:
            self.shop.istiod.remove("scope")
        return "narrow" if self.scope else "wide"

    def edit_filter(self):
        """A limit that is never met, at the clients or the servers, or none."""
        self.filter = self.random.choice(["SIDECAR_OUTBOUND", "SIDECAR_INBOUND", ""])
        if not self.filter:
            self.shop.istiod.write("filter", "# none\n")
            return "none"
        self.shop.istiod.write("filter", f"""apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: limit, namespace: default}}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {{context: {self.filter}, listener: {{filterChain: {{filter: {{name: envoy.filters.network.http_connection_manager}}}}}}}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.local_ratelimit
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          value:
            stat_prefix: edits
            token_bucket: {{max_tokens: {self.random.randint(50000, 90000)}, tokens_per_fill: 50000, fill_interval: 1s}}
            filter_enabled: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}
            filter_enforced: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}
""")
        return self.filter

    # ---- running --------------------------------------------------------------------------------

    def one(self, least=.02, most=.4):
        """One edit and a pause of up to @most seconds: istiod sends some together, others alone."""
        while True:
            kind = self.random.choice(sorted(self.kinds))
            began = time.monotonic()
            what = self.kinds[kind]()
            if what is not None:
                break
        self.counts[kind] += 1
        self.log.append((round(began - self.load.began, 3), kind, what))
        time.sleep(self.random.uniform(least, most))

    def mark(self, pod):
        try:
            return self.shop.ask(pod, path="/mark")[2]
        except OSError:
            return None

    def arrived(self, seconds=20):
        """Waits until both clients' routes are those that were written last."""
        want = str(self.number)
        for pod in ("c1", "c2"):
            self.shop.until(f"edit {want} at {pod}", lambda p=pod: self.mark(p) == want, seconds)

    def settle(self):
        """Everything that was written is in force: routes, endpoints, and nothing was refused."""
        self.write_web()
        self.arrived()
        self.shop.wait_in_sync(self.shop.skiffd)
        weights = dict(zip(("v1", "v2"), self.weights))
        want = {s for s in self.sets["web"] if weights[version(s)]}
        seen = set()

        def all_of_them():
            """Asks 60 times; what was seen stays, a weight of 1 in 100 needs many turns; begins anew after a wrong one."""
            seen.update(self.shop.ask()[2] for _ in range(60))
            if seen <= want:
                return seen == want
            seen.clear()
            return False

        self.shop.until(f"the servers of web, {sorted(want)}", all_of_them, 30)

    def near(self, failures, before=1.5):
        """The edits shortly before each failure, for a human."""
        out = []
        for at, took, who, why in failures[:12]:
            out.append(f"{at:.3f} s, {who}, after {took:.3f} s: {why}")
            out += [f"    {t:.3f} s {kind}: {what}" for t, kind, what in self.log if at + took - before < t < at + took + .1]
        return out

