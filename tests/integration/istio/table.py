# SPDX-License-Identifier: Apache-2.0
"""The requests that a real Envoy and skiffd get in the same mesh (tests/data/istio/bookinfo), and what of the answer is compared.

A Case is data; ask.py sends it. kind says what is compared:
  http      status, headers, body; which server got what; hits: how many requests reached the servers
  each      the statuses and servers of @repeat requests, in order
  share     the servers (or statuses) of @repeat requests within four sigma of @expect {name: share}
  rotate    @repeat requests use all of @expect equally
  sticky    @repeat requests with each value of x-user reach one server a value, and not all the same
  parallel  statuses of @repeat requests sent @gap seconds apart without waiting, sorted
  eject     requests until a server has failed twice, then which servers get the next ones
  tcp       who answers on a TCP connection, and that it repeats what it gets; @repeat and @expect as for share
  banner    who speaks first
  tls       who answers behind TLS with the server name @host
  refused   nothing may come: the connection is refused, reset or closed
"""
import dataclasses

DOMAIN = "svc.cluster.local"


@dataclasses.dataclass
class Case:
    """One entry. @pod sends it; @to is "ADDRESS:PORT", the address an IP or the name of a pod or server; @host goes into Host or
    SNI. @took: (least, most) seconds. @inbound: pods whose own sidecar takes part, too."""
    name: str
    to: str
    kind: str = "http"
    pod: str = "productpage"
    host: str = ""
    method: str = "GET"
    path: str = "/"
    headers: tuple = ()
    body: bytes = b""
    do: str = ""
    repeat: int = 1
    expect: dict = None
    by: str = "server"
    gap: float = 0
    took: tuple = None
    inbound: tuple = ()


# name: (VIP, port)
SERVICES = {"productpage": ("10.96.1.1", 9080), "details": ("10.96.1.2", 9080), "reviews": ("10.96.1.3", 9080),
            "ratings": ("10.96.1.4", 9080), "mongo": ("10.96.1.5", 27017), "api": ("10.96.1.6", 8080),
            "flaky": ("10.96.1.7", 8080), "half-dead": ("10.96.1.8", 8080), "dead": ("10.96.1.9", 8080), "empty": ("10.96.1.10", 8080),
            "rr": ("10.96.1.11", 8082), "sticky": ("10.96.1.11", 8082), "narrow": ("10.96.1.11", 8082), "outlier": ("10.96.1.11", 8082),
            "queue": ("10.96.1.12", 5672), "unnamed": ("10.96.1.13", 7070), "vault": ("10.96.1.14", 8200),
            "ledger": ("10.96.1.15", 8300), "report": ("10.96.1.16", 8080)}


def get(name, service, path="/", *headers, port=None, host=None, **more):
    """A request to a service of the mesh, by its VIP and full name."""
    vip, usual = SERVICES[service]
    namespace = "batch" if service == "report" else "default"
    return Case(name, f"{vip}:{port or usual}", path=path, headers=headers,
                host=f"{service}.{namespace}.{DOMAIN}" if host is None else host, **more)


def api(path, *headers, name=None, **more):
    return get(name or "api" + path.partition("?")[0].replace("/", "-").rstrip("-"), "api", path, *headers, **more)


def flaky(path, do, **more):
    return get(more.pop("name", "flaky" + path.replace("/", "-")), "flaky", path, do=do, **more)


MATCH = [
    api("/exact"),
    api("/exact/", name="api-exact-slash"),
    api("/exact?a=b", name="api-exact-query"),
    api("/a/../exact", name="api-path-dots"),
    api("//exact", name="api-path-slashes"),
    api("/%65xact", name="api-path-escaped"),
    api("/a%2F..%2Fexact", name="api-path-escaped-slash"),
    api("/exact#part", name="api-path-fragment"),
    api("/Case", name="api-case-same"),
    api("/cASE", name="api-case-other"),
    api("/re/abc42"),
    api("/re/abc4", name="api-re-not"),
    api("/re/abc42/more", name="api-re-whole"),
    api("/header", ("x-user", "jason"), name="api-header-exact"),
    api("/header", ("x-user", "admin"), name="api-header-prefix"),
    api("/header", ("x-user", "u77"), name="api-header-regex"),
    api("/header", ("x-user", "u77x"), name="api-header-regex-whole"),
    api("/header", ("x-present", ""), name="api-header-present"),
    api("/header", name="api-header-none"),
    api("/without", name="api-without"),
    api("/without", ("x-no", "1"), name="api-without-has"),
    api("/query?v=2", name="api-query-exact"),
    api("/query?a=1&v=33", name="api-query-regex"),
    api("/query?v=4", name="api-query-not"),
    api("/method", method="POST", body=b"hello", name="api-method-post"),
    api("/method", method="PATCH", name="api-method-regex"),
    api("/method", name="api-method-other"),
    api("/authority", name="api-authority-prefix"),
    api("/authority", host="api.example.test", name="api-authority-exact"),
    api("/port", port=8081, host=f"api.default.{DOMAIN}:8081", name="api-port"),
    api("/port", name="api-port-other"),
    api("/source", name="api-source-namespace"),
    api("/source", pod="curl", name="api-source-labels"),
    api("/source", pod="sleep", name="api-source-none"),
    api("/either"),
    api("/or", ("x-either", "1"), name="api-or"),
    api("/", name="api-rest"),
    api("/elsewhere"),
    api("/lost"),
    api("/nobody"),
    api("/split", kind="share", repeat=120, expect={"api-v1": .7, "api-v2": .3}),
    api("/all-to-two", kind="share", repeat=10, expect={"api-v2": 1}),
    get("reviews-user", "reviews", "/reviews/0", ("end-user", "jason")),
    get("reviews-cookie", "reviews", "/reviews/0", ("cookie", "a=b;user=beta")),
    get("reviews-split", "reviews", kind="share", repeat=120, expect={"reviews-v1": .8, "reviews-v3": .2}),
]

HOSTS = [
    get("host-port", "ratings", host=f"ratings.default.{DOMAIN}:9080"),
    get("host-short", "ratings", host="ratings"),
    get("host-short-port", "ratings", host="ratings:9080"),
    get("host-namespace", "ratings", host="ratings.default"),
    get("host-upper", "ratings", host=f"Ratings.Default.{DOMAIN}"),
    get("host-dot", "ratings", host=f"ratings.default.{DOMAIN}."),
    get("host-wrong-port", "ratings", host=f"ratings.default.{DOMAIN}:9999"),
    get("host-vip", "ratings", host="10.96.1.4"),
    get("host-vip-port", "ratings", host="10.96.1.4:9080"),
    Case("host-other-namespace", "10.96.1.3:9080", pod="sleep", host="reviews.default", headers=(("end-user", "jason"),)),
    Case("pod-address", "reviews-v2:9080", host=f"ratings.default.{DOMAIN}"),
    Case("external", "ext-1:80", host="partner.example.test"),
    Case("external-any-address", "10.96.9.9:80", host="partner.example.test"),
    Case("external-dns", "10.96.2.1:80", host="named.example.test"),
    Case("wildcard", "ext-1:8080", host="a.wild.example.test"),
    Case("wildcard-deep", "ext-2:8080", host="a.b.wild.example.test"),
    Case("unknown-host-allowed", "ext-2:9080", host="nobody.example.test"),
    Case("unknown-port-allowed", "ext-2:7000", kind="tcp"),
    Case("unknown-http-allowed", "ext-1:8080", host="who.example.test"),
    Case("server-first-allowed", "ext-1:2525", kind="banner"),
]

ACTIONS = [
    api("/rewrite/prefix/a/b?c=d"),
    api("/rewrite/exact"),
    api("/rewrite/regex/one/two?x=y"),
    api("/redirect/path?keep=1"),
    api("/redirect/prefix/a/b"),
    api("/redirect/host/x"),
    api("/redirect/scheme/x"),
    api("/direct"),
    api("/direct", method="HEAD", name="api-direct-head"),
    api("/mirror/a", method="POST", body=b"twice"),
    api("/mirror-half", kind="share", repeat=120, by="hits", expect={"api-v1": 2 / 3, "api-v2": 1 / 3}),
    api("/headers", ("x-remove", "1"), ("x-add", "old"), ("x-set", "old"), do="hdr=x-secret:s;hdr=x-added:was"),
    api("/headers", method="POST", body=b"{}", name="api-headers-post"),
    api("/cors", ("origin", "https://ok.example.test"), name="api-cors-exact"),
    api("/cors", ("origin", "https://a.corp.test"), name="api-cors-regex"),
    api("/cors", ("origin", "https://bad.example.test"), name="api-cors-other"),
    api("/cors", name="api-cors-none"),
    api("/cors", ("origin", "https://ok.example.test"), ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x-token"), method="OPTIONS", name="api-cors-preflight"),
    api("/cors", ("origin", "https://bad.example.test"), ("access-control-request-method", "POST"), method="OPTIONS",
        name="api-cors-preflight-other"),
    api("/fault/abort"),
    api("/fault/half", kind="share", repeat=120, by="status", expect={"200": .5, "500": .5}),
    api("/fault/delay", took=(.4, .7)),
    api("/fault/both", took=(.3, .6)),
]

RETRIES = [
    flaky("/retry-5xx", "first=2,503"),
    flaky("/retry-5xx", "first=9,500", name="flaky-retry-5xx-in-vain"),
    flaky("/retry-5xx", "first=1,500", method="POST", body=b"again", name="flaky-retry-5xx-post"),
    flaky("/retry-5xx", "status=404", name="flaky-retry-5xx-404"),
    flaky("/retry-codes", "first=1,429"),
    flaky("/retry-reset", "first=1,reset"),
    flaky("/retry-reset", "first=1,503", name="flaky-retry-reset-503"),
    flaky("/retry-per-try", "first=1,delay800", took=(.3, .75)),
    flaky("/retry-per-try", "delay=800", name="flaky-retry-per-try-in-vain", took=(.9, 1.5)),
    flaky("/retry-never", "first=1,503"),
    flaky("/retry-never", "reset", name="flaky-retry-never-reset"),
    flaky("/timeout", "delay=900", took=(.4, .7)),
    flaky("/timeout", "delay=100", name="flaky-timeout-not"),
    flaky("/default", "first=1,503", name="flaky-default-503"),
    flaky("/default", "first=1,500", name="flaky-default-500"),
    flaky("/default", "first=1,reset", name="flaky-default-reset"),
    get("half-dead", "half-dead", kind="share", repeat=20, expect={"api-v1": 1}),
    get("dead", "dead"),
    get("empty", "empty"),
    get("client-retries", "ratings", "/", ("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "1"), do="first=1,500"),
    get("client-timeout", "ratings", "/", ("x-envoy-upstream-rq-timeout-ms", "300"), do="delay=800", took=(.8, 1.2)),
]

BALANCE = [
    get("rr", "rr", kind="rotate", repeat=12, expect={"api-v1": 1 / 3, "api-v2": 1 / 3, "api-v3": 1 / 3}),
    get("sticky", "sticky", kind="sticky", repeat=5),
    get("narrow", "narrow", kind="parallel", repeat=4, gap=.06, do="delay=500"),
    get("outlier", "outlier", kind="eject", repeat=9, do="at=api-v3;status=500"),
]

TCP = [
    Case("mongo", "10.96.1.5:27017", kind="tcp", repeat=100, expect={"mongo-1": .75, "mongo-2": .25}),
    Case("mongo-one", "mongo-2:27017", kind="tcp"),
    Case("queue", "10.96.1.12:5672", kind="tcp", repeat=100, expect={"mongo-1": .25, "mongo-2": .75}),
    Case("queue-two", "10.96.1.12:5673", kind="tcp"),
    Case("range-first", "10.96.2.65:7000", kind="tcp"),
    Case("range-last", "10.96.2.126:7000", kind="tcp"),
    Case("tcp-empty", "10.96.1.10:9999", kind="refused"),
    Case("tls-a", "10.96.9.1:443", kind="tls", host="tls-a.example.test"),
    Case("tls-b", "10.96.9.1:443", kind="tls", host="tls-b.example.test"),
    Case("tls-other", "10.96.9.1:443", kind="tls", host="tls-other.example.test"),
    Case("tcp-on-http-port", "10.96.1.4:9080", kind="tcp"),
    get("unnamed-http", "unnamed", port=7070),
    Case("unnamed-tcp", "10.96.1.13:7070", kind="tcp"),
]

SCOPES = [
    get("scope-own", "report", pod="sleep"),
    Case("scope-imported", "10.96.1.3:9080", pod="sleep", host=f"reviews.default.{DOMAIN}", headers=(("end-user", "jason"),)),
    get("scope-not-imported", "ratings", pod="sleep"),
    Case("scope-tcp", "10.96.1.5:27017", kind="tcp", pod="sleep", repeat=40, expect={"mongo-1": .75, "mongo-2": .25}),
    Case("registry-only-host", "ext-2:9080", pod="sleep", host="nobody.example.test"),
    Case("registry-only-tcp", "ext-2:7000", pod="sleep", kind="refused"),
    Case("registry-only-banner", "ext-1:2525", pod="sleep", kind="refused"),
    Case("registry-only-external", "ext-1:80", pod="sleep", host="partner.example.test"),
    Case("private-elsewhere", "ext-1:8080", host=f"report.batch.{DOMAIN}"),
    get("envoyfilter-vhost", "ratings", pod="curl"),
    get("envoyfilter-not-selected", "ratings"),
    get("envoyfilter-routes", "reviews", "/", ("end-user", "jason"), pod="curl"),
]

INBOUND = [
    get("details", "details", "/details/0", inbound=("details",)),
    Case("details-direct", "details:9080", pod="world", host="details", inbound=("details",)),
    Case("details-any-host", "details:9080", pod="world", host="x.example.test", path="/p?q", inbound=("details",)),
    Case("details-xff", "details:9080", pod="world", host="details", headers=(("x-forwarded-for", "203.0.113.9"),),
         inbound=("details",)),
    Case("details-tcp", "10.96.1.2:9090", kind="tcp", inbound=("details",)),
    Case("details-tcp-direct", "details:9090", kind="tcp", pod="world", inbound=("details",)),
    Case("details-unknown-port", "details:9099", pod="world", host="details", inbound=("details",)),
    get("details-limit", "details", port=80, kind="each", repeat=5, inbound=("details",)),
    get("details-503", "details", do="status=503", inbound=("details",)),
    get("details-reset", "details", do="reset", inbound=("details",)),
    Case("vault-strict", "vault:8200", kind="refused", pod="world", host="vault", inbound=("vault",)),
    Case("vault-strict-mesh", "10.96.1.14:8200", host=f"vault.default.{DOMAIN}", inbound=("vault",)),
    Case("vault-open-port", "vault:8201", pod="world", host="vault", inbound=("vault",)),
    Case("ledger-http", "10.96.1.15:8300", host=f"ledger.default.{DOMAIN}", inbound=("ledger",)),
    Case("ledger-http-curl", "10.96.1.15:8300", pod="curl", host=f"ledger.default.{DOMAIN}", inbound=("ledger",)),
    Case("ledger-http-other", "ledger:8300", pod="world", host="ledger", inbound=("ledger",)),
    Case("ledger-tcp", "10.96.1.15:8301", kind="tcp", inbound=("ledger",)),
    Case("ledger-tcp-denied", "10.96.1.15:8301", kind="refused", pod="curl", inbound=("ledger",)),
    Case("ledger-tcp-other", "ledger:8301", kind="refused", pod="world", inbound=("ledger",)),
]

GROUPS = {"match": MATCH, "hosts": HOSTS, "actions": ACTIONS, "retries": RETRIES, "balance": BALANCE, "tcp": TCP,
          "scopes": SCOPES, "inbound": INBOUND}
CASES = [case for group in GROUPS.values() for case in group]
MTLS = INBOUND  # what is asked again with mutual TLS between the sidecars
