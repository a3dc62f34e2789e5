"""Headers that routes, virtual hosts and route configurations add and remove, and the operators in their values."""

from lib.case import Group, indent

OVER = "OVERWRITE_IF_EXISTS_OR_ADD"
ACTIONS = ("APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", OVER, "OVERWRITE_IF_EXISTS")


def add(key, value, action=None, more=""):
    tail = f", append_action: {action}" if action else ""
    return f"{{header: {{key: {key}, value: {value}}}{tail}{more}}}"


# ---- append actions
g = Group("headers-actions", "routing")
g.cluster("b1")
g.http(
    "a",
    "".join(f"""
    - match: {{prefix: /{a}}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('x-q', 'new', a)}]
      response_headers_to_add: [{add('x-p', 'new', a)}]
""" for a in ACTIONS)
    + f"""
    - match: {{prefix: /default}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('x-q', 'new')}]
      response_headers_to_add: [{add('x-p', 'new')}]
    - match: {{prefix: /appendfalse}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('x-q', 'new', None, ', append: false')}]
      response_headers_to_add: [{add('x-p', 'new', None, ', append: false')}]
    - match: {{prefix: /twice}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('x-q', 'one')}, {add('x-q', 'two')}]
      response_headers_to_add: [{add('x-p', 'one')}, {add('x-p', 'two')}]
    - match: {{prefix: /empty}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('x-e', "''")}, {add('x-r', "'%REQ(x-none)%'")}]
    - match: {{prefix: /keepempty}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('x-e', "''", None, ', keep_empty_value: true')}]
    - match: {{prefix: /upper}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('X-Upper-Name', 'UPPER')}]
      response_headers_to_add: [{add('X-Upper-Name', 'UPPER')}]
    - match: {{prefix: /inline}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('user-agent', 'mine')}, {add('cookie', 'c=d')}, {add('content-type', 'text/x')}]
      response_headers_to_add: [{add('cache-control', 'no-store')}, {add('set-cookie', 'a=b')}, {add('content-type', 'text/y')}]
    - match: {{prefix: /host}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('x-first', "'%REQ(:authority)%'", OVER)}]
    - match: {{prefix: /remove}}
      route: {{cluster: b1}}
      request_headers_to_remove: [x-gone, X-Gone-Too, user-agent, x-request-id, x-forwarded-proto]
      response_headers_to_remove: [x-backend, X-Also, content-type, x-envoy-upstream-service-time]
    - match: {{prefix: /both}}
      route: {{cluster: b1}}
      request_headers_to_add: [{add('x-q', 'new')}]
      request_headers_to_remove: [x-q]
      response_headers_to_add: [{add('x-p', 'new')}]
      response_headers_to_remove: [x-p]
""",
)
for a in ACTIONS + ("default", "appendfalse"):
    n = a.lower().replace("_", "-")
    g.get(n + ".there", "a", "/" + a, [("x-q", "old"), ("x-do", "hdr=x-p:old")])
    g.get(n + ".absent", "a", "/" + a)
g.get("overwrite.two-old", "a", "/" + OVER, [("x-q", "a"), ("x-q", "b"), ("x-do", "hdr=x-p:a;hdr=x-p:b")])
g.get("append.two-old", "a", "/APPEND_IF_EXISTS_OR_ADD", [("x-q", "a"), ("x-q", "b"), ("x-do", "hdr=x-p:a;hdr=x-p:b")])
g.get("twice", "a", "/twice")
g.get("empty-value", "a", "/empty")
g.get("empty-value.kept", "a", "/keepempty")
g.case("upper-case-name")(lambda t: t.req("a", path="/upper", ordered=True))
g.get(
    "well-known",
    "a",
    "/inline",
    [
        ("user-agent", "u"),
        ("cookie", "a=b"),
        ("content-type", "text/plain"),
        ("x-do", "hdr=cache-control:max-age=1;hdr=set-cookie:x=y"),
    ],
)
g.get("from-authority", "a", "/host")
g.get(
    "remove",
    "a",
    "/remove",
    [
        ("x-gone", "1"),
        ("X-GONE-too", "1"),
        ("user-agent", "u"),
        ("x-stays", "1"),
        ("x-do", "hdr=x-also:1;hdr=x-stays:1"),
    ],
)
g.get("add-and-remove", "a", "/both", [("x-q", "old"), ("x-do", "hdr=x-p:old")])

# ---- levels
for name, most in (("headers-levels", False), ("headers-levels-specific", True)):
    g = Group(name, "routing")
    g.cluster("b1")

    def level(n, where):
        return indent(
            f"""
request_headers_to_add: [{add('x-over', n, OVER)}, {add('x-app', n)}, {add('x-abs', n, 'ADD_IF_ABSENT')}, {add('x-' + n, n)}]
request_headers_to_remove: [x-del-{n}, x-chain]
response_headers_to_add: [{add('p-over', n, OVER)}, {add('p-app', n)}, {add('p-abs', n, 'ADD_IF_ABSENT')}]
response_headers_to_remove: [p-del-{n}]
""",
            where,
        )

    g.http(
        "l",
        vhosts="- name: v\n  domains: ['*']\n" + level("vhost", 2) + "  routes:\n  - match: {prefix: /direct}\n"
        "    direct_response: {status: 200, body: {inline_string: direct}}\n"
        + level("route", 4)
        + "  - match: {prefix: /redirect}\n    redirect: {path_redirect: /x}\n"
        + level("route", 4)
        + "  - match: {prefix: /weighted}\n    route:\n      weighted_clusters:\n        clusters:\n        - name: b1\n          weight: 1\n"
        + level("cluster", 10)
        + level("route", 4)
        + "  - match: {prefix: /plain}\n    route: {cluster: b1}\n"
        + "  - match: {prefix: /}\n    route: {cluster: b1}\n"
        + level("route", 4),
        route_config=level("config", 0) + ("most_specific_header_mutations_wins: true" if most else ""),
    )
    REMOVE = [(f"x-del-{n}", "1") for n in ("vhost", "route", "config", "cluster")] + [
        ("x-over", "client"),
        ("x-app", "client"),
        ("x-chain", "1"),
    ]
    g.get("route", "l", "/", REMOVE)
    g.get("no-route-level", "l", "/plain", REMOVE)
    g.get("weighted", "l", "/weighted", REMOVE)
    g.get("direct", "l", "/direct")
    g.get("redirect", "l", "/redirect")
    g.get(
        "answers",
        "l",
        "/",
        [
            (
                "x-do",
                "hdr=p-del-vhost:1;hdr=p-del-route:1;hdr=p-del-config:1;hdr=p-del-cluster:1;hdr=p-over:up;hdr=p-app:up;hdr=p-abs:up",
            )
        ],
    )
    if not most:
        g.http("none", vhosts="- name: v\n  domains: [only.test]\n  routes: []\n", route_config=level("config", 0))
        g.get("not-found", "none", "/")

# ---- operators in values
g = Group("headers-operators", "routing")
g.cluster("b1", extra="alt_stat_name: alt")
OPERATORS = (
    ("remote", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("remote-ip", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("direct", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"),
    ("direct-ip", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("local", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("local-ip", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"),
    ("local-port", "%DOWNSTREAM_LOCAL_PORT%"),
    ("protocol", "%PROTOCOL%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(:PATH)%"),
    ("auth", "%REQ(:AUTHORITY)%"),
    ("scheme", "%REQ(:SCHEME)%"),
    ("hdr", "%REQ(X-Some)%"),
    ("alternative", "%REQ(X-None?X-Some)%"),
    ("cut", "%REQ(X-Some):3%"),
    ("missing", "%REQ(X-None)%"),
    ("both", "a-%REQ(X-Some)%-b-%PROTOCOL%"),
    ("partly", "a-%REQ(X-None)%-b"),
    ("percent", "100%%"),
    ("cluster", "%UPSTREAM_CLUSTER%"),
    ("route", "%ROUTE_NAME%"),
    ("host", "%UPSTREAM_HOST%"),
    ("upremote", "%UPSTREAM_REMOTE_ADDRESS%"),
    ("plain", "plain text, with a comma"),
)
MORE = (
    ("pathonly", "%PATH(NQ)%"),
    ("pathorig", "%PATH(WQ:ORIG)%"),
    ("query", "%QUERY_PARAM(q)%"),
    ("nothing", "%DYNAMIC_METADATA(some:key)%"),
    ("state", "%FILTER_STATE(some.key)%"),
    ("id", "%STREAM_ID%"),
)
LIST = ", ".join(add("x-" + n, f"'{v}'", OVER) for n, v in OPERATORS)
ANSWER = (
    ("code", "%RESPONSE_CODE%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("resp", "%RESP(X-Backend)%"),
    ("reqhdr", "%REQ(X-Some)%"),
    ("cluster", "%UPSTREAM_CLUSTER%"),
    ("uphost", "%UPSTREAM_HOST%"),
    ("route", "%ROUTE_NAME%"),
    ("bytes", "%BYTES_RECEIVED%"),
    ("protocol", "%PROTOCOL%"),
    ("path", "%REQ(:PATH)%"),
    ("method", "%REQ(:METHOD)%"),
    ("up", "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
)
RLIST = ", ".join(add("p-" + n, f"'{v}'", OVER) for n, v in ANSWER)
g.http(
    "o",
    f"""
    - name: some-route
      match: {{prefix: /o}}
      route: {{cluster: b1, prefix_rewrite: /p}}
      request_headers_to_add: [{LIST}]
      response_headers_to_add: [{RLIST}]
    - name: direct-route
      match: {{prefix: /direct}}
      direct_response: {{status: 410}}
      response_headers_to_add: [{RLIST}]
    - name: failing-route
      match: {{prefix: /dead}}
      route: {{cluster: dead}}
      response_headers_to_add: [{RLIST}]
""",
)
g.cluster("dead")
g.get("route", "o", "/ov/er?q=1", [("x-some", "something")])
g.get("post", "o", "/o", method="POST", body="12345")
g.get("direct", "o", "/direct", [("x-some", "s")])
g.get("refused", "o", "/dead", [("x-some", "s")])
g.get("error-from-upstream", "o", "/o", [("x-do", "status=500")])

g = Group("headers-operators-more", "routing")
g.cluster("b1")
g.http(
    "o",
    f"""
    - match: {{prefix: /o}}
      route: {{cluster: b1, prefix_rewrite: /p}}
      request_headers_to_add: [{", ".join(add("x-" + n, f"'{v}'", OVER) for n, v in MORE)}]
""",
)
g.get("route", "o", "/ov/er?q=1&r=2")
