"""tcp_proxy and the choice of a filter chain."""

import time

from lib.case import Group
from lib.context import digest, share, took

TCP = "@T@filters.network.tcp_proxy.v3.TcpProxy"


def proxy(name, more):
    return f"""
- filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config: {{"@type": {TCP}, stat_prefix: {name}, {more}}}
"""


def tcp(g, name, more, extra=""):
    g.raw_listener(name, proxy(name, more), extra)


def log(name, text, filters=""):
    return (
        f"access_log: [{{name: envoy.access_loggers.file, {filters}typed_config: {{\"@type\": @T@access_loggers.file.v3.FileAccessLog, path: '@tmp@/{name}.log', "
        f'log_format: {{text_format_source: {{inline_string: "{text}\\n"}}}}}}}}]'
    )


def talk(t, port, data, wait=0.3, **kw):
    """What comes back on one connection, and whether it is open then."""
    c = t.conn(port, **kw)
    c.send(data)
    d, st = c.rest(wait)
    return [d.decode("latin-1"), st]


g = Group("tcp-proxy", "tcp")
for c in ("t1", "t2", "banner", "dead", "mute"):
    g.cluster(c)
g.cluster("mixed", hosts=["dead", "t1"])
g.cluster("both", hosts=["t1", "t2"])
g.cluster("empty", hosts=[])
g.cluster("t3")
tcp(g, "plain", "cluster: t1")
tcp(g, "counted", "cluster: t3")
tcp(g, "weighted", "weighted_clusters: {clusters: [{name: t1, weight: 70}, {name: t2, weight: 30}]}")
tcp(g, "zero", "weighted_clusters: {clusters: [{name: t2, weight: 5}]}")
tcp(g, "first", "cluster: banner")
tcp(g, "refused", "cluster: dead")
tcp(g, "nohosts", "cluster: empty")
tcp(g, "unknown", "cluster: nowhere")
tcp(g, "attempts", "cluster: mixed, max_connect_attempts: 4")
tcp(g, "robin", "cluster: both")
tcp(g, "idle", "cluster: t1, idle_timeout: 0.4s")
tcp(g, "duration", "cluster: t1, max_downstream_connection_duration: 0.4s")
tcp(g, "noidle", "cluster: t1, idle_timeout: 0s")
g.case("echo")(lambda t: talk(t, "plain", b"hello\nthere\n"))
g.case("server-first")(lambda t: talk(t, "first", b""))
g.case("server-first.then-talk")(lambda t: talk(t, "first", b"hi\n"))
g.case("refused")(lambda t: talk(t, "refused", b"hi\n", 1.5))
g.case("refused.silent-client")(lambda t: talk(t, "refused", b"", 1.5))
g.case("no-endpoints")(lambda t: talk(t, "nohosts", b"hi\n", 1.5))
g.case("unknown-cluster")(lambda t: talk(t, "unknown", b"hi\n", 1.5))
g.case("connect-attempts")(lambda t: [talk(t, "attempts", b"hi\n", 0.3) for _ in range(4)])
g.case("weighted")(
    lambda t: share([talk_name(t, "weighted") for _ in range(150)], {"t1": (0.55, 0.85), "t2": (0.15, 0.45)})
)
g.case("weighted.one")(lambda t: sorted({talk_name(t, "zero") for _ in range(5)}))
g.case("round-robin")(lambda t: share([talk_name(t, "robin") for _ in range(20)], {"t1": (0.5, 0.5), "t2": (0.5, 0.5)}))


def talk_name(t, port):
    c = t.conn(port)
    c.send(b"x\n")
    try:
        return c.until(b":", time.monotonic() + 2).decode()
    finally:
        c.close()


@g.case("half-close.client")
def _(t):
    """The client ends its side; the upstream sees that and still answers."""
    c = t.conn("plain")
    c.send(b"one\ntwo\n")
    c.half_close()
    d, st = c.rest(2.0)
    return [d.decode(), st]


@g.case("half-close.client-nothing-sent")
def _(t):
    c = t.conn("plain")
    c.half_close()
    d, st = c.rest(2.0)
    return [d.decode(), st]


@g.case("half-close.upstream")
def _(t):
    """The upstream ends its side; what the client sends after that still arrives."""
    c = t.conn("plain")
    c.send(b"shut\n")
    d, st = c.rest(1.0)
    sent = c.send(b"after\n")
    arrived = t.settle(lambda: "after" in t.up.seen[0]["body"], 1.0)
    return [d.decode(), st, sent, arrived]


@g.case("upstream-closes")
def _(t):
    return talk(t, "plain", b"hi\nclose\n", 1.5)


@g.case("upstream-resets")
def _(t):
    return talk(t, "plain", b"hi\nreset\n", 1.5)[1]


@g.case("client-resets")
def _(t):
    c = t.conn("plain")
    c.send(b"hi\n")
    c.rest(0.1)
    n = len(t.up.writers["t1"])
    c.reset()
    return t.settle(lambda: len(t.up.writers["t1"]) < n, 1.5)


@g.case("big.to-client")
def _(t):
    c = t.conn("plain", timeout=10)
    c.send(b"push 33554432\n")
    c.half_close()
    d, st = c.rest(10)
    return [digest(d[:33554432]), d[33554432:].decode(), st]


@g.case("big.to-upstream")
def _(t):
    c = t.conn("plain", timeout=10)
    c.s.settimeout(10)
    c.send(b"sink\n")
    time.sleep(0.05)
    for i in range(512):
        c.send(bytes([i % 256]) * 65536)
    c.half_close()
    d, st = c.rest(10)
    return [d.decode(), st]


@g.case("many-connections")
def _(t):
    cs = [t.conn("plain") for _ in range(100)]
    for i, c in enumerate(cs):
        c.send(b"n%d\n" % i)
    return sum(c.until(b"\n", time.monotonic() + 3) == b"t1:n%d" % i for i, c in enumerate(cs))


@g.case("connect-then-close")
def _(t):
    """300 short connections: each line must arrive."""
    for i in range(300):
        c = t.conn("plain")
        c.send(b"short\n")
        c.half_close()
        c.rest(1.0)
        c.close()
    return sum(e.get("body") == "short\n" for e in t.up.seen)


@g.case("idle-timeout")
def _(t):
    return took(lambda: talk(t, "idle", b"hi\n", 3.0), 0.35, 1.5)


@g.case("idle-timeout.busy")
def _(t):
    c = t.conn("idle")
    for _ in range(4):
        c.send(b"x\n")
        time.sleep(0.2)
    return c.state(0.05)


@g.case("connection-duration")
def _(t):
    def busy():
        c = t.conn("duration")
        while c.state(0.05) == "open" and c.send(b"x\n"):
            pass
        return "ended"

    return took(busy, 0.35, 1.5)


@g.case("idle-timeout.off")
def _(t):
    c = t.conn("noidle")
    c.send(b"x\n")
    return c.state(0.8)


@g.case("stats")
def _(t):
    names = [
        "tcp.counted.downstream_cx_total",
        "tcp.counted.downstream_cx_no_route",
        "tcp.counted.downstream_cx_rx_bytes_total",
        "tcp.counted.downstream_cx_tx_bytes_total",
        "cluster.t3.upstream_cx_total",
        "cluster.t3.upstream_cx_active",
        "cluster.t3.upstream_cx_rx_bytes_total",
        "cluster.t3.upstream_cx_tx_bytes_total",
        "tcp.counted.downstream_cx_rx_bytes_buffered",
    ]

    def run():
        c = t.conn("counted")
        c.send(b"four\n")
        c.half_close()
        c.rest(1.0)
        c.close()

    return t.delta(names, run)


@g.case("stats.failures")
def _(t):
    return t.delta(
        [
            "cluster.dead.upstream_cx_connect_fail",
            "cluster.dead.upstream_cx_total",
            "cluster.empty.upstream_cx_none_healthy",
            "tcp.unknown.downstream_cx_no_route",
            "tcp.refused.downstream_cx_total",
        ],
        lambda: [talk(t, p, b"x\n", 1.0) for p in ("refused", "nohosts", "unknown")],
    )


# ---- access log of connections
g = Group("tcp-log", "tcp")
for c in ("t1", "dead", "t2"):
    g.cluster(c)
TEXT = (
    "%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% "
    "%REQ(X)% %ROUTE_NAME% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %REQUESTED_SERVER_NAME% %UPSTREAM_TRANSPORT_FAILURE_REASON% %FILTER_CHAIN_NAME%"
)
tcp(g, "ok", "cluster: t1, " + log("ok", TEXT))
tcp(g, "bad", "cluster: dead, " + log("bad", TEXT))
tcp(g, "unk", "cluster: nowhere, " + log("unk", TEXT))
tcp(g, "idle", "cluster: t1, idle_timeout: 0.2s, " + log("idle", TEXT))
tcp(g, "max", "cluster: t1, max_downstream_connection_duration: 0.2s, " + log("max", TEXT))
tcp(
    g,
    "default",
    "cluster: t1, access_log: [{name: envoy.access_loggers.file, typed_config: {\"@type\": @T@access_loggers.file.v3.FileAccessLog, path: '@tmp@/default.log'}}]",
)
tcp(g, "dur", "cluster: t1, " + log("dur", "%DURATION% %START_TIME% %CONNECTION_ID%"))


def logged(name, port, fn, mask=None):
    @g.case(name)
    def _(t):
        n = t.count_lines(port + ".log")
        fn(t)
        lines = t.lines(port + ".log", skip=n)
        return [mask(x) for x in lines] if mask else lines


def polite(port):
    def run(t):
        c = t.conn(port)
        c.send(b"hello\n")
        c.until(b"\n", time.monotonic() + 2)
        c.half_close()
        c.rest(1.0)
        c.close()

    return run


def talk_and_leave(t, port, data):
    c = t.conn(port)
    c.send(data)
    c.rest(1.0)
    c.close()


def masked(line):
    import re

    line = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<time>", line)
    return re.sub(r"(?<=- )\d+ \d+ \d+ -", "<numbers>", line) if "[<time>]" in line else re.sub(r"\d+", "<n>", line)


logged("served", "ok", polite("ok"))
logged("upstream-closes", "ok", lambda t: talk_and_leave(t, "ok", b"close\n"))
logged("refused", "bad", lambda t: talk(t, "bad", b"x\n", 1.0))
logged("unknown-cluster", "unk", lambda t: talk(t, "unk", b"x\n", 1.0))
logged("idle", "idle", lambda t: talk(t, "idle", b"x\n", 1.5))
logged("duration", "max", lambda t: talk(t, "max", b"x\n", 1.5))
logged("default-format", "default", polite("default"), masked)
logged("times", "dur", polite("dur"), masked)

# ---- choosing a chain
g = Group("filter-chains", "tcp")
for c in ("t1", "t2", "t3", "b1"):
    g.cluster(c)


def chain(match, cluster):
    m = f"filter_chain_match: {{{match}}}\n  " if match else ""
    return f'\n- {m}filters:\n  - name: envoy.filters.network.tcp_proxy\n    typed_config: {{"@type": {TCP}, stat_prefix: x, cluster: {cluster}}}\n'


def prefix(a, n=32):
    return f"{{address_prefix: {a}, prefix_len: {n}}}"


g.raw_listener(
    "source",
    chain(f"source_prefix_ranges: [{prefix('127.0.0.5')}]", "t2")
    + chain(f"source_prefix_ranges: [{prefix('127.0.0.8', 29)}]", "t3")
    + chain("", "t1"),
)
g.raw_listener("nodefault", chain(f"source_prefix_ranges: [{prefix('127.0.0.5')}]", "t2"))
g.raw_listener(
    "dest",
    chain(f"prefix_ranges: [{prefix('127.0.0.20')}]", "t2")
    + chain(f"prefix_ranges: [{prefix('127.0.0.16', 28)}]", "t3")
    + chain("", "t1"),
    address="0.0.0.0",
)
g.raw_listener(
    "port", chain("destination_port: @port:port@", "t2") + chain("destination_port: 1", "t3") + chain("", "t1")
)
g.raw_listener("type", chain("source_type: SAME_IP_OR_LOOPBACK", "t2") + chain("source_type: EXTERNAL", "t3"))
g.raw_listener(
    "both",
    chain(f"prefix_ranges: [{prefix('127.0.0.20')}], source_prefix_ranges: [{prefix('127.0.0.5')}]", "t3")
    + chain(f"source_prefix_ranges: [{prefix('127.0.0.5')}]", "t2")
    + chain("", "t1"),
    address="0.0.0.0",
)
g.raw_listener(
    "default",
    chain(f"source_prefix_ranges: [{prefix('127.0.0.5')}]", "t2"),
    'default_filter_chain: {filters: [{name: envoy.filters.network.tcp_proxy, typed_config: {"@type": %s, stat_prefix: x, cluster: t3}}]}'
    % TCP,
)
g.raw_listener(
    "mixed",
    chain(f"source_prefix_ranges: [{prefix('127.0.0.5')}]", "t2") + """
- filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": @T@filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: mixed
      route_config: {virtual_hosts: [{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: b1}}]}]}
      http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": @T@filters.http.router.v3.Router}}]
""",
)
for name, port, src, dst in (
    ("source.exact", "source", "127.0.0.5", None),
    ("source.range", "source", "127.0.0.9", None),
    ("source.other", "source", "127.0.0.6", None),
    ("no-match", "nodefault", "127.0.0.6", None),
    ("no-match.other", "nodefault", "127.0.0.5", None),
    ("destination.exact", "dest", None, "127.0.0.20"),
    ("destination.range", "dest", None, "127.0.0.18"),
    ("destination.other", "dest", None, "127.0.0.1"),
    ("port", "port", None, None),
    ("source-type", "type", None, None),
    ("both", "both", "127.0.0.5", "127.0.0.20"),
    ("both.only-source", "both", "127.0.0.5", "127.0.0.1"),
    ("both.only-destination", "both", "127.0.0.6", "127.0.0.20"),
    ("default-chain", "default", "127.0.0.6", None),
    ("default-chain.other", "default", "127.0.0.5", None),
    ("mixed.tcp", "mixed", "127.0.0.5", None),
):
    g.case(name)(lambda t, p=port, s=src, d=dst: talk(t, p, b"hi\n", 0.3, source=s, host=d or "127.0.0.1"))
g.case("mixed.http")(lambda t: t.req("mixed", headers=[("x-do", "body=hello")]))


@g.case("no-match.stats")
def _(t):
    return t.delta(
        ["listener.127.0.0.1_%d.no_filter_chain_match" % t.ports["nodefault"]],
        lambda: talk(t, "nodefault", b"x\n", 0.5, source="127.0.0.6"),
    ).popitem()[1]


g = Group("filter-chains-tls", "tcp")
for c in ("t1", "t2"):
    g.cluster(c)
g.raw_listener("transport", chain("transport_protocol: tls", "t2") + chain("transport_protocol: raw_buffer", "t1"))
g.raw_listener("server", chain("server_names: [a.test]", "t2") + chain("", "t1"))
g.case("transport")(lambda t: talk(t, "transport", b"hi\n", 0.3))
g.case("server-name")(lambda t: talk(t, "server", b"hi\n", 0.3))
