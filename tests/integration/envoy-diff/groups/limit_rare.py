"""Rarer settings of local rate limits, of TCP proxies and of log formats."""

from groups.ratelimit import HOUR, limit, percent
from lib.case import Group, ep

USER = "rate_limits: [{%sactions: [{request_headers: {header_name: x-user, descriptor_key: user}}]}]"
BOB = "descriptors: [{entries: [{key: user, value: bob}], token_bucket: {max_tokens: 1, %s}%s}]"
WIDE = f"{{max_tokens: 1000, {HOUR}}}"
NARROW = f"{{max_tokens: 2, {HOUR}}}"
COUNTERS = ["enabled", "enforced", "ok", "rate_limited", "shadow_mode"]


def limited(name, more, route=USER % "", vhost="", tokens=WIDE, top="", **kw):
    g = Group("ratelimit-rare-" + name, "rate limit")
    g.top = top
    g.cluster("b1")
    g.http(
        "r",
        vhosts=f"- name: v\n  domains: ['*']\n  {vhost or 'rate_limits: []'}\n  routes:\n  - match: {{prefix: /}}\n    route: {{cluster: b1, {route or 'timeout: 15s'}}}\n",
        filters=limit(more, tokens, **kw),
    )

    @g.case("burst")
    def _(t):
        out = [t.req("r", headers=[("x-user", "bob")], only=("status", "headers")) for _ in range(4)]
        s = t.stats(*[f"rl.http_local_rate_limit.{x}" for x in COUNTERS])
        return out + [s]

    g.case("others")(
        lambda t: [t.req("r", headers=[("x-user", u)], only=("status",))["status"] for u in ("ann", "eve", "ann")]
    )


ONE = BOB % (HOUR, "")
limited("retry-after", "enable_retry_after_header: true", tokens=f"{{max_tokens: 1, {HOUR}}}")
limited("shadow", BOB % (HOUR, ", shadow_mode: true"))
limited("shadow-narrow", BOB % (HOUR, ", shadow_mode: true"), tokens=NARROW)
limited("stage", f"stage: 1, {ONE}")
limited("stage-same", f"stage: 1, {ONE}", route=USER % "stage: 1, ")
limited("disabled", ONE, route=USER % "disable_key: k, ")
limited("vhost-ignore", f"vh_rate_limits: IGNORE, {ONE}", route="", vhost=USER % "")
limited("vhost-include", f"vh_rate_limits: INCLUDE, {ONE}", route=USER.replace("x-user", "x-none") % "", vhost=USER % "")
limited("vhost-override", ONE, route=USER.replace("x-user", "x-none") % "", vhost=USER % "")
limited("values", f"max_dynamic_descriptors: 1, descriptors: [{{entries: [{{key: user}}], token_bucket: {{max_tokens: 1, {HOUR}}}}}]")
limited(
    "address",
    f"descriptors: [{{entries: [{{key: k, value: v}}], token_bucket: {{max_tokens: 1, {HOUR}}}}}]",
    route="rate_limits: [{actions: [{remote_address_match: {descriptor_key: k, descriptor_value: v, address_matcher: {ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}}}]}]",
)
limited(
    "address-not",
    f"descriptors: [{{entries: [{{key: remote_address_match, value: v}}], token_bucket: {{max_tokens: 1, {HOUR}}}}}]",
    route="rate_limits: [{actions: [{remote_address_match: {descriptor_value: v, address_matcher: {invert_match: true, ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}}}]}]",
)
KEYS = "filter_enabled: {runtime_key: rl.on, default_value: {numerator: %d}}, filter_enforced: {runtime_key: rl.enf, default_value: {numerator: %d}}"
LAYER = "layered_runtime: {layers: [{name: s, static_layer: {rl.on: %d, rl: {enf: {numerator: %d, denominator: HUNDRED}}}}]}\n"
limited("runtime-on", "", tokens=NARROW, on=KEYS % (0, 0), top=LAYER % (100, 100))
limited("runtime-shadow", "", tokens=NARROW, on=KEYS % (0, 100), top=LAYER % (100, 0))
limited("runtime-off", "", tokens=NARROW, on=KEYS % (100, 100), top=LAYER % (0, 100))

# TCP: what periodic lines know, which counters move, and the flag of a try that failed before the one that did not.
g = Group("tcp-rare", "tcp")
g.cluster("t1")
g.cluster("dm", ["dead", "t1"])
g.cluster("dead", timeout="0.3s")
FLAGS = "%BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %ACCESS_LOG_TYPE%"


def proxy(name, more):
    g.raw_listener(
        name,
        "- filters:\n  - {name: envoy.filters.network.tcp_proxy, typed_config: {'@type': @T@filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: "
        + name
        + ", "
        + more
        + ", access_log: [{name: a, typed_config: {'@type': @T@access_loggers.file.v3.FileAccessLog, path: '@tmp@/tcp-rare-"
        + name
        + '.log\', log_format: {text_format_source: {inline_string: "'
        + FLAGS
        + '\\n"}}}}]}}',
    )


proxy("periodic", "cluster: t1, access_log_options: {access_log_flush_interval: 0.2s}")
proxy("tries", "cluster: dm, max_connect_attempts: 3")
proxy("refused", "cluster: dead, max_connect_attempts: 2")


@g.case("periodic")
def _(t):
    c = t.conn("periodic")
    c.send("hi\n")
    c.rest(0.3)
    c.close()
    return t.lines("tcp-rare-periodic.log", 2)[:1]


@g.case("tries")
def _(t):
    for _ in range(2):  # one of them meets the dead host first
        c = t.conn("tries")
        c.send("hi\n")
        c.rest(0.1)
        c.half_close()
        c.rest(1.0)
    return max(t.lines("tcp-rare-tries.log", 2))


def talk(t, port):
    c = t.conn(port)
    c.send("hi\n")
    if c.rest(0.1)[1] == "open":
        c.half_close()
        c.rest(1.0)


CLUSTER = ["cx_total", "cx_destroy", "cx_destroy_remote", "cx_destroy_local", "cx_connect_fail", "rq_total", "rq_pending_total", "rq_pending_failure_eject"]
g.case("counters")(lambda t: t.delta([f"cluster.t1.upstream_{x}" for x in CLUSTER], lambda: talk(t, "periodic")))
g.case("counters.refused")(lambda t: t.delta([f"cluster.dead.upstream_{x}" for x in CLUSTER], lambda: talk(t, "refused")))

# What a connection's log knows of its listener, cluster and host.
g = Group("tcp-log-metadata", "tcp")
META = "{filter_metadata: {m: {k: %s}}}"
g.cluster("t1", extra="metadata: " + META % "of-cluster", assignment="- lb_endpoints: [" + ep("t1")[:-1] + ", metadata: " + META % "of-host" + "}]")
g.raw_listener(
    "p",
    "- filters:\n  - {name: envoy.filters.network.tcp_proxy, typed_config: {'@type': @T@filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: p, cluster: t1, access_log: [{name: a, typed_config: {'@type': @T@access_loggers.file.v3.FileAccessLog, path: '@tmp@/tcp-meta.log', log_format: {text_format_source: {inline_string: \"%UPSTREAM_METADATA(m:k)% %CLUSTER_METADATA(m:k)% %METADATA(LISTENER:m:k)% %METADATA(UPSTREAM_HOST:m)%\\n\"}}}}]}}",
    extra="metadata: " + META % "of-listener",
)


@g.case("line")
def _(t):
    talk(t, "p")
    return t.lines("tcp-meta.log", 1)


# Metadata of all that has some.
g = Group("log-metadata-rare", "access log")
g.cluster("b1", extra="metadata: {filter_metadata: {m: {c: cv, n: 1.5, o: {z: true}}}}")
META = "%CLUSTER_METADATA(m:c)%|%CLUSTER_METADATA(m)%|%METADATA(CLUSTER:m:n)%|%METADATA(VIRTUAL_HOST:m:v)%|%METADATA(LISTENER:m:l)%|%METADATA(ROUTE:m:r)%|%METADATA(CLUSTER:m:x)%"
ADD = "request_headers_to_add: [{header: {key: x-m, value: '" + META + "'}}]\n    response_headers_to_add: [{header: {key: x-m, value: '" + META + "'}}]"
g.http(
    "r",
    vhosts=f"""
- name: v
  domains: ['*']
  metadata: {{filter_metadata: {{m: {{v: vv}}}}}}
  routes:
  - match: {{prefix: /dr}}
    direct_response: {{status: 200}}
    {ADD}
  - match: {{prefix: /}}
    route: {{cluster: b1}}
    {ADD}
""",
    extra="metadata: {filter_metadata: {m: {l: lv}}}",
)
g.get("cluster", "r", "/")
g.get("direct", "r", "/dr")

# Formats.
g = Group("log-formats-rare", "access log")
g.cluster("b1")
FORMATS = {
    "aliases": "%REQUEST_HEADER(X-A):2% %RESPONSE_HEADER(x-r)% %RESPONSE_TRAILER(x-t)%",
    "query": "%QUERY_PARAM(a)%|%QUERY_PARAM(a b)%|%QUERY_PARAM(c):3%|%QUERY_PARAMS(ORIG)%|%QUERY_PARAMS(DECODED)%",
    "zone": "%START_TIME(%Ez %E*z %:z %::z)%",
}
g.http(
    "r",
    "".join(
        f"- {{match: {{prefix: /{n}}}, direct_response: {{status: 200, body_format: {{text_format_source: {{inline_string: '{f}'}}}}}}}}\n"
        for n, f in FORMATS.items()
    ),
)
g.get("aliases", "r", "/aliases", (("x-a", "abc"),), only=("body",))
g.get("zone", "r", "/zone", only=("body",))
for i, q in enumerate("?a=1+2&a%20b=3 ?a=%zz&c=%41%42%43%44 ?a=%4 ?%61=x ?a ?c=a%26b&a=x%3dy ?a+b=7&a=1&a=2 ?a=b;c=d ?a=%2B%00%7f%e9".split()):
    g.get(f"query.{i}", "r", "/query" + q, only=("body",))
