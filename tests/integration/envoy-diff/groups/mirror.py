"""Copies of requests for another cluster: what that sees, and that nobody else notices."""

from groups.retry import LOG, about, logged, policy
from lib.case import Group
from lib.client import request
from lib.context import took

COUNTERS = ("upstream_rq_total", "upstream_rq_completed", "upstream_rq_200", "upstream_rq_503", "upstream_rq_504", "upstream_rq_5xx",
            "upstream_rq_timeout", "internal.upstream_rq_200", "internal.upstream_rq_5xx", "external.upstream_rq_200",
            "upstream_rq_retry", "upstream_cx_connect_fail", "upstream_rq_pending_overflow", "upstream_cx_none_healthy")


def mirror(to, more=""):
    return f"request_mirror_policies: [{{{to}{', ' + more if more else ''}}}]"


ALWAYS = "runtime_fraction: {default_value: {numerator: 100}}"
ROUTES = ""
for path, more in (("/plain", mirror("cluster: b2")), ("/half", mirror("cluster: b2", "runtime_fraction: {default_value: {numerator: 50}}")),
                   ("/never", mirror("cluster: b2", "runtime_fraction: {default_value: {numerator: 0}}")),
                   ("/header", mirror("cluster_header: x-to")), ("/keep", mirror("cluster: b2", "disable_shadow_host_suffix_append: true")),
                   ("/literal", mirror("cluster: b2", "host_rewrite_literal: copy.test")),
                   ("/two", "request_mirror_policies: [{cluster: b2}, {cluster: b3, " + ALWAYS + "}]"),
                   ("/dead", mirror("cluster: dead")), ("/empty", mirror("cluster: empty")), ("/mute", mirror("cluster: mute")),
                   ("/edit", mirror("cluster: b2") + ", prefix_rewrite: /new, host_rewrite_literal: other.test"),
                   ("/notime", mirror("cluster: b2") + ", timeout: 0s"), ("/again", mirror("cluster: b2") + ", retry_policy: " + policy("5xx")),
                   ("/full", mirror("cluster: full"))):
    ROUTES += f"- match: {{prefix: {path}}}\n  route: {{cluster: b1, {more}}}\n"
ROUTES += "- match: {prefix: /direct}\n  direct_response: {status: 200}\n"

g = Group("mirror", "mirror")
for name in ("b1", "b2", "b3", "dead", "mute"):
    g.cluster(name)
g.cluster("empty", hosts=[])
g.cluster("full", hosts=["b2"], extra="circuit_breakers: {thresholds: [{max_requests: 0, max_pending_requests: 0, max_connections: 0}]}\n")
g.http("c", ROUTES, hcm=LOG.replace("NAME", "mirror"))
g.http("remote", ROUTES, hcm="use_remote_address: true\n")
g.http("vhost", vhosts="- name: v\n  domains: ['v.test']\n  request_mirror_policies: [{cluster: b2}]\n  routes:\n"
       "  - match: {prefix: /own}\n    route: {cluster: b1, request_mirror_policies: [{cluster: b3}]}\n"
       "  - match: {prefix: /}\n    route: {cluster: b1}\n- name: all\n  domains: ['*']\n  routes:\n"
       "  - match: {prefix: /}\n    route: {cluster: b1}\n", route_config="request_mirror_policies: [{cluster: b3}]\n")


def copied(name, path, headers=(), copies=1, port="c", counted=None, log=False, **kw):
    @g.case(name)
    def _(t):
        out = {}

        def go():
            out.update(t.req(port, path=path, headers=[*headers, ("x-n", name)], **kw))
            t.settle(lambda: len(t.up.seen) > copies and all(e.get("complete", True) for e in t.up.seen), 1.5)

        if counted:
            out["counted"] = {k: v for c in counted for k, v in t.delta([f"cluster.{c}.{n}" for n in COUNTERS], go).items() if v}
        else:
            go()
        out["seen"] = sorted(about(t.seen()), key=lambda e: e["server"])
        about([out.get("upstream", {})])
        if log:
            out["log"] = logged(t, "mirror.log", name)
        return out


copied("plain", "/plain", [("x-one", "1"), ("cookie", "a=1")], counted=("b2",), log=True)
copied("plain.remote", "/plain", port="remote")
copied("plain.port", "/plain", host="h.test:8080")
copied("plain.v6", "/plain", host="[::1]:8080")
copied("plain.head", "/plain", method="HEAD")
for size in (0, 1, 1000, 100000):
    copied(f"body.{size}", "/plain", method="POST", body="0123456789abcdef" * (size // 16) + "z" * (size % 16))
    copied(f"chunked.{size}", "/plain", method="POST", body="0123456789abcdef" * (size // 16), chunked=True)
copied("never", "/never", copies=0)
copied("header", "/header", [("x-to", "b3")])
copied("header.missing", "/header", copies=0)
copied("header.unknown", "/header", [("x-to", "zz")], copies=0)
copied("keep", "/keep")
copied("literal", "/literal")
copied("two", "/two", copies=2)
copied("dead", "/dead", copies=0, counted=("dead",), log=True)
copied("empty", "/empty", copies=0, counted=("empty",), log=True)
copied("full", "/full", copies=0, counted=("full",), log=True)
copied("edit", "/edit/x?q=1")
copied("notime", "/notime")
copied("direct", "/direct", copies=0)
copied("failed-copy", "/plain", [("x-do", "status=503;at=b2;body=x")], counted=("b2",), log=True)
copied("broken-copy", "/plain", [("x-do", "reset;at=b2")], counted=("b2",), log=True)
copied("failed-original", "/plain", [("x-do", "status=503;at=b1;body=x")], counted=("b2",), log=True)
copied("again", "/again", [("x-do", "seq=503,200;at=b1")], copies=2, counted=("b2",), log=True)
copied("vhost", "/", port="vhost", host="v.test")
copied("vhost.own", "/own", port="vhost", host="v.test")
copied("table", "/", port="vhost")
copied("expect", "/plain", [("expect", "100-continue")], method="POST", body="abc", interim=True)
copied("upgrade-asked", "/plain", [("connection", "upgrade"), ("upgrade", "websocket")], copies=0)
copied("asked-timeout", "/plain", [("x-envoy-upstream-rq-timeout-ms", "5000")], port="remote")


@g.case("half")
def _(t):
    for _ in range(200):
        t.status("c", "/half")
    t.settle(lambda: False, 0.1)
    n = t.attempts().count("b2")
    return "within" if 65 <= n <= 135 else n


@g.case("slow-copy")
def _(t):
    return took(lambda: t.status("c", "/plain", [("x-do", "delay=700;at=b2")]), 0, 0.4)


@g.case("mute-copy")
def _(t):
    return took(lambda: t.status("c", "/mute", method="POST", body="x" * 100000), 0, 0.6)


@g.case("client-gone")
def _(t):
    """A request that never becomes whole: its copy ends, too."""
    c = t.conn("c")
    c.send("POST /plain HTTP/1.1\r\nhost: h.test\r\ncontent-length: 100\r\n\r\nabc")
    t.settle(lambda: len(t.up.seen) == 2)
    before = len(t.up.writers["b2"])
    c.reset()
    return t.settle(lambda: len(t.up.writers["b2"]) < before, 1.5)


@g.case("pipelined")
def _(t):
    c = t.conn("c")
    c.send(b"".join(request("GET", f"/plain/{i}") for i in range(3)))
    out = [t.answer(c)["status"] for _ in range(3)]
    t.settle(lambda: len(t.up.seen) == 6)
    return out, sorted((e["server"], e["line"]) for e in t.up.seen)
