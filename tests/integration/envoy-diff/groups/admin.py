"""What the admin port shows: counters that move with the traffic, and the shape of its pages."""

import json
import re
import time

from lib.case import Group
from lib.client import request

ROUTES = """
    - match: {prefix: /direct}
      direct_response: {status: 200, body: {inline_string: direct}}
    - match: {prefix: /redirect}
      redirect: {path_redirect: /x}
    - match: {prefix: /short}
      route: {cluster: b1, timeout: 0.15s}
    - match: {prefix: /dead}
      route: {cluster: dead}
    - match: {prefix: /empty}
      route: {cluster: empty}
    - match: {prefix: /unknown}
      route: {cluster_header: x-none}
    - match: {prefix: /ok}
      route: {cluster: b1}
"""


def clusters(g):
    g.cluster("b1")
    g.cluster("dead")
    g.cluster("empty", hosts=[])


# ---- counters
g = Group("stats", "admin")
clusters(g)
g.http("http", ROUTES)
DOWN = [
    "http.http." + n
    for n in (
        "downstream_rq_total",
        "downstream_rq_1xx",
        "downstream_rq_2xx",
        "downstream_rq_3xx",
        "downstream_rq_4xx",
        "downstream_rq_5xx",
        "downstream_rq_completed",
        "downstream_rq_http1_total",
        "downstream_rq_active",
        "downstream_cx_total",
        "downstream_cx_http1_total",
        "downstream_cx_active",
        "downstream_cx_destroy",
        "downstream_cx_protocol_error",
        "downstream_rq_rx_reset",
        "downstream_rq_tx_reset",
        "downstream_rq_too_large",
        "downstream_rq_timeout",
        "downstream_rq_idle_timeout",
        "no_route",
        "no_cluster",
        "rq_total",
        "rq_direct_response",
        "rq_redirect",
    )
]
UP = [
    "cluster.b1." + n
    for n in (
        "upstream_rq_total",
        "upstream_rq_completed",
        "upstream_rq_2xx",
        "upstream_rq_4xx",
        "upstream_rq_5xx",
        "upstream_rq_200",
        "upstream_rq_503",
        "upstream_rq_504",
        "upstream_rq_timeout",
        "upstream_rq_rx_reset",
        "upstream_rq_tx_reset",
        "upstream_rq_pending_failure_eject",
        "upstream_cx_destroy_remote_with_active_rq",
        "upstream_cx_protocol_error",
        "upstream_rq_active",
        "upstream_rq_pending_active",
        "external.upstream_rq_200",
        "external.upstream_rq_2xx",
    )
]
DEAD = [
    "cluster.dead." + n
    for n in (
        "upstream_cx_connect_fail",
        "upstream_cx_total",
        "upstream_rq_total",
        "upstream_rq_503",
        "upstream_rq_5xx",
        "upstream_rq_completed",
        "upstream_rq_pending_failure_eject",
        "upstream_cx_active",
    )
]
EMPTY = [
    "cluster.empty." + n
    for n in (
        "upstream_cx_none_healthy",
        "upstream_rq_503",
        "upstream_rq_total",
        "upstream_rq_completed",
        "membership_total",
        "membership_healthy",
    )
]


def moved(name, fn, names=None):
    """Counters that change through fn, zeros left out."""

    @g.case(name)
    def _(t):
        got = t.delta(names or DOWN + UP + DEAD + EMPTY, lambda: fn(t))
        return {k: v for k, v in got.items() if v}


def ask(path, headers=(), **kw):
    return lambda t: t.req("http", path=path, headers=headers, **kw)


def alone(text, wait=0.1, reset=False):
    def run(t):
        c = t.conn("http")
        c.send(text)
        time.sleep(wait)
        c.state(0.3)
        c.reset() if reset else c.close()

    return run


moved("ok", ask("/ok", [("x-do", "body=x")]))
moved("status-404", ask("/ok", [("x-do", "status=404")]))
moved("status-503", ask("/ok", [("x-do", "status=503")]))
moved("direct", ask("/direct"))
moved("redirect", ask("/redirect"))
moved("no-route", ask("/none"))
moved("no-cluster", ask("/unknown"))
moved("refused", ask("/dead"))
moved("no-endpoints", ask("/empty"))
moved("timeout", ask("/short", [("x-do", "delay=400")]))
moved("upstream-closes", ask("/ok", [("x-do", "close")]))
moved(
    "upstream-protocol-error",
    lambda t: (t.up.raws.update(junk=b"junk\r\n\r\n"), t.req("http", path="/ok", headers=[("x-do", "raw=junk")])),
)
moved("bad-request", alone("BAD\r\n\r\n"))
moved("too-big", lambda t: t.req("http", path="/ok", headers=[("x-a", "v" * 70000)]))
moved("http-1.0", ask("/ok", version="1.0"))
moved("client-leaves", alone("GET /ok HTTP/1.1\r\nHost: h.test\r\nx-do: delay=600\r\n\r\n", reset=True))


@g.case("three-on-one-connection")
def _(t):
    def run():
        c = t.conn("http")
        for _ in range(3):
            c.send(request("GET", "/ok", [("x-do", "body=x")]))
            c.answer()
        c.close()

    return {k: v for k, v in t.delta(DOWN + UP, run).items() if v}


@g.case("gauges")
def _(t):
    """What is active while a request waits and after."""
    names = [
        "http.http.downstream_cx_active",
        "http.http.downstream_rq_active",
        "cluster.b1.upstream_rq_active",
        "cluster.b1.membership_total",
        "cluster.b1.membership_healthy",
        "cluster.empty.membership_total",
    ]
    c = t.conn("http")
    c.send(request("GET", "/ok", [("x-do", "delay=400;body=x")]))
    t.settle(lambda: t.up.seen, 2)
    before = t.stats(*names)
    c.answer()
    c.close()
    t.settle(lambda: t.stats(names[0])[names[0]] == 0, 2)
    return [before, t.stats(*names)]


@g.case("listener")
def _(t):
    p = f"listener.127.0.0.1_{t.ports['http']}."
    names = [
        p + n
        for n in (
            "downstream_cx_total",
            "downstream_cx_active",
            "http.http.downstream_rq_2xx",
            "http.http.downstream_rq_completed",
        )
    ]
    return {k[len(p) :]: v for k, v in t.delta(names, lambda: t.req("http", path="/direct")).items()}


@g.case("managers")
def _(t):
    return t.stats(
        "listener_manager.total_listeners_active",
        "listener_manager.listener_added",
        "listener_manager.listener_create_success",
        "cluster_manager.cluster_added",
        "cluster_manager.active_clusters",
        "server.live",
        "server.concurrency",
        "server.state",
    )


# ---- pages
g = Group("admin-pages", "admin")
clusters(g)
g.http("http", ROUTES)


def page(name, path, fn=None, method="GET"):
    @g.case(name)
    def _(t):
        t.req("http", path="/ok", headers=[("x-do", "body=x")])
        status, body, headers = t.subject.admin_full(path, method)
        return {
            "status": status,
            "type": headers.get("content-type"),
            "body": fn(t, body) if fn else t.normal.text(body),
        }


def keys(x, depth=2):
    """The names of an object, some levels down."""
    if depth and isinstance(x, dict):
        return {k: keys(v, depth - 1) for k, v in sorted(x.items())}
    if depth and isinstance(x, list):
        return [keys(x[0], depth)] if x else []
    return type(x).__name__


def some_stats(t, body):
    lines = t.normal.text(body).split("\n")
    return [
        x
        for x in lines
        if re.match(
            r"(cluster\.b1\.membership_\w+|http\.http\.downstream_rq_active|cluster\.empty\.membership_total): ", x
        )
    ]


def prometheus(t, body):
    """The lines for a few metrics, with their types."""
    want = (
        "envoy_cluster_membership_total",
        "envoy_cluster_membership_healthy",
        "envoy_http_downstream_rq_active",
        "envoy_server_live",
    )
    return sorted(
        x
        for x in t.normal.text(body).split("\n")
        if x.startswith("# TYPE") and x.split()[2] in want or x.split("{")[0] in want
    )


def cluster_lines(t, body):
    """Names of the lines; values where they do not depend on what went before."""
    out = []
    for line in t.normal.text(body).strip().split("\n"):
        head, _, value = line.rpartition("::")
        out.append(
            line
            if re.search(
                r"health_flags|weight|region|zone|sub_zone|canary|priority|added_via_api|observability_name|max_|hostname",
                line,
            )
            else f"{head}::<value>"
        )
    return sorted(out)


page("ready", "/ready")
page("clusters", "/clusters", cluster_lines)
page("listeners", "/listeners")
page(
    "listeners.json",
    "/listeners?format=json",
    lambda t, b: json.loads(t.normal.text(re.sub(r"(?<=port_value\": )(\d+)", r'"\1"', b))),
)
page(
    "clusters.json", "/clusters?format=json", lambda t, b: sorted(c["name"] for c in json.loads(b)["cluster_statuses"])
)
page(
    "clusters.json.host",
    "/clusters?format=json",
    lambda t, b: [keys(c["host_statuses"], 3) for c in json.loads(b)["cluster_statuses"] if c["name"] == "b1"],
)
page("stats", "/stats", some_stats)
page("stats.filter", "/stats?filter=cluster.b1.membership", lambda t, b: b.split("\n"))
page("stats.json-filter", "/stats?format=json&filter=cluster.b1.membership_t", lambda t, b: json.loads(b))
page("stats.prometheus", "/stats/prometheus", prometheus)
page("stats.prometheus-by-format", "/stats?format=prometheus", prometheus)
page("server-info", "/server_info", lambda t, b: {k: json.loads(b).get(k) for k in ("state",)})
page(
    "server-info.names",
    "/server_info",
    lambda t, b: sorted(
        k
        for k in json.loads(b)
        if k
        in (
            "state",
            "version",
            "uptime_current_epoch",
            "uptime_all_epochs",
            "hot_restart_version",
            "command_line_options",
            "node",
        )
    ),
)
page("config-dump", "/config_dump", lambda t, b: [c["@type"] for c in json.loads(b)["configs"]])
page(
    "config-dump.listener",
    "/config_dump",
    lambda t, b: [
        x["listener"]["name"]
        for c in json.loads(b)["configs"]
        if "ListenersConfigDump" in c["@type"]
        for x in c["static_listeners"]
    ],
)
page(
    "config-dump.clusters",
    "/config_dump",
    lambda t, b: sorted(
        x["cluster"]["name"]
        for c in json.loads(b)["configs"]
        if "ClustersConfigDump" in c["@type"]
        for x in c["static_clusters"]
    ),
)
page("unknown", "/nothing/here", lambda t, b: b.split("\n")[0][:60])
page("logging.get", "/logging", lambda t, b: b[:60])
page("logging.post", "/logging?level=info", lambda t, b: b.split("\n")[0], "POST")
page("logging.bad-level", "/logging?level=nonsense", lambda t, b: b.split("\n")[0], "POST")
page("drain.get", "/drain_listeners", None)


# ---- what ends the listeners
g = Group("admin-drain", "admin")
g.cluster("b1")
g.http("http", "\n    - match: {prefix: /}\n      direct_response: {status: 200}\n")


@g.case("drain-listeners")
def _(t):
    """New connections are refused; the process goes on."""
    c = t.conn("http")
    c.send(request("GET", "/direct"))
    first = c.answer().status
    status, body, _ = t.subject.admin_full("/drain_listeners", "POST")

    def refused():
        try:
            t.conn("http").close()
            return False
        except ConnectionError:
            return True

    return [first, status, body, t.settle(refused, 3.0), t.subject.admin("/ready")]
