"""Redirects that are followed here, rewrites by formats, path templates, values at run time, referers, time-outs of gRPC."""

from lib.case import Group

CAT = "routing"
URL = "http://h.test"
LOG = "%REQ(:PATH)% %REQ(X-ENVOY-ORIGINAL-URL)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %ROUTE_NAME% %UPSTREAM_CLUSTER%"
PREDICATE = "{name: p, typed_config: {'@type': @T@internal_redirect.%s}}"
POLICIES = {
    "default": "{}",
    "codes": "{redirect_response_codes: [301, 302, 303, 307, 308], max_internal_redirects: 2}",
    "cross": "{allow_cross_scheme_redirect: true, response_headers_to_copy: [x-copied]}",
    "safe": "{allow_cross_scheme_redirect: true, predicates: ["
    + PREDICATE % "safe_cross_scheme.v3.SafeCrossSchemeConfig"
    + "]}",
    "loops": "{max_internal_redirects: 3, predicates: ["
    + PREDICATE % "previous_routes.v3.PreviousRoutesConfig"
    + "]}",
    "allowed": "{predicates: ["
    + PREDICATE % "allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [target]"
    + "]}",
}
REDIRECTS = {
    "302": (302, URL + "/next?x=1", "GET", b""),
    "post": (302, URL + "/next", "POST", b"body"),
    "303": (303, URL + "/next", "POST", b"body"),
    "308-head": (308, URL + "/next", "HEAD", b""),
    "relative": (302, "/next", "GET", b""),
    "https": (302, "https://h.test/next", "GET", b""),
    "direct": (302, "http://other.test/gone", "GET", b""),
    "nowhere": (302, "", "GET", b""),
    "no-url": (302, "not a url", "GET", b""),
    "again": (302, URL + "/do/again", "GET", b""),
    "unlisted": (302, URL + "/other", "GET", b""),
    "no-route": (302, URL + "/zz#frag", "GET", b""),
    "304": (304, URL + "/next", "GET", b""),
}


def followed(group, name, status, location, method, body):
    @group.case(name)
    def _(t):
        log = group.name + ".log"
        n = t.count_lines(log)
        do = f"status={status};at=b1;hdr=x-copied:cc" + (f";hdr=location:{location}" if location else "")
        r = t.req("r", method, "/do/at=b1", (("x-do", do),), body, seen=True, persist=True)
        # the last line is that of the answer: all are there when its status is in one that is no redirect's
        t.settle(lambda: len(t._log(log)) >= n + max(1, len(t.up.seen)), 1.0)
        r["log"] = t.lines(log, max(1, len(t.up.seen)), skip=n)
        if method == "HEAD":
            t.mask("content-length")
            r["headers"] = [[k, "*" if k == "content-length" else v] for k, v in r["headers"]]
        return r


for name, policy in POLICIES.items():
    g = Group("route-followed-" + name, CAT)
    g.cluster("b1")
    g.cluster("b2")
    g.http(
        "r",
        f"""
- {{match: {{prefix: /do}}, name: start, route: {{cluster: b1, internal_redirect_policy: {policy}}}, request_headers_to_add: [{{header: {{key: x-r, value: a}}}}]}}
- {{match: {{prefix: /next}}, name: target, route: {{cluster: b2, internal_redirect_policy: {policy}}}, request_headers_to_add: [{{header: {{key: x-r, value: b}}}}]}}
- {{match: {{prefix: /gone}}, direct_response: {{status: 410}}}}
- {{match: {{prefix: /other}}, name: o, route: {{cluster: b2}}}}
""",
        hcm="access_log: [{name: a, typed_config: {'@type': @T@access_loggers.file.v3.FileAccessLog, path: '@tmp@/"
        + g.name
        + '.log\', log_format: {text_format_source: {inline_string: "'
        + LOG
        + '\\n"}}}}]',
    )
    for n, x in REDIRECTS.items():
        followed(g, n, *x)

STATS = [f"cluster.b1.upstream_internal_redirect_{x}_total" for x in ("succeeded", "failed")] + [
    "http.r.passthrough_internal_redirect_" + x
    for x in ("bad_location", "no_route", "predicate", "too_many_redirects", "unsafe_scheme")
]


def redirected(t, location):
    t.req("r", "GET", "/do/x", (("x-do", f"status=302;at=b1;hdr=location:{location}"),))


g.case("stats")(
    lambda t: t.delta(
        STATS,
        lambda: [redirected(t, x) for x in (URL + "/next", URL + "/other", URL + "/zz", "https://h.test/next", "/x")],
    )
)

# Which URLs are followed, and that host and path are checked and normalized as those of any request.
URLS = {
    "dots": URL + "/deep/../next",
    "dots-out": URL + "/do/../../next",
    "slashes": URL + "//next",
    "escaped-slash": URL + "/a%2f..%2fnext",
    "nul": URL + "/n%00",
    "not-escaped": URL + "/n%zz",
    "odd": URL + "/n\"e<x>t|^`{}\\a",
    "query": URL + "?x=1",
    "fragment": URL + "/next?a#b?c#d",
    "host-alone": URL,
    "host-fragment": URL + "#f",
    "scheme-upper": "HTTP://H.Test/next",
    "port": URL + ":0/next",
    "port-empty": URL + ":/next",
    "port-high": URL + ":65536/next",
    "user": "http://u@h.test/next",
    "user-password": "http://u:p%20w@h.test/next",
    "user-twice": "http://a@b@h.test/next",
    "host-none": "http:///next",
    "host-odd": "http://-h-.test./next",
    "host-escaped": "http://h%20.test/next",
    "host-quote": "http://h\"t/next",
    "host-underscore": "http://h_x.test/next",
    "host-v6": "http://[::1]/next",
    "host-v6-bad": "http://[zz]/next",
    "ftp": "ftp://h.test/next",
    "blank": URL + "/next x",
    "not-ascii": URL + "/\xe9",
}
EARLY = "early_header_mutation_extensions: [{name: e, typed_config: {'@type': @T@http.early_header_mutation.header_mutation.v3.HeaderMutation, mutations: [{append: {header: {key: x-e, value: a}}}]}}]"


def urls(name, slashes):
    group = Group("route-followed-" + name, CAT)
    group.cluster("b1")
    group.cluster("b2")
    group.http(
        "r",
        """
- {match: {prefix: /do}, route: {cluster: b1, internal_redirect_policy: {}}}
- {match: {safe_regex: {regex: ".*"}}, route: {cluster: b2}}
""",
        hcm=f"normalize_path: true\nmerge_slashes: true\nstrip_matching_host_port: true\npath_with_escaped_slashes_action: {slashes}\n{EARLY}",
    )
    return group


def asked(t, location):
    return t.req("r", "GET", "/do/at=b1", (("x-do", f"status=302;at=b1;hdr=location:{location}"),), seen=True)


g = urls("urls", "UNESCAPE_AND_FORWARD")
for n, u in URLS.items():
    g.case(n)(lambda t, u=u: asked(t, u))
g.case("stats")(
    lambda t: t.delta(
        STATS + [f"http.r.downstream_rq_{x}" for x in ("total", "2xx", "3xx", "4xx")],
        lambda: [asked(t, u) and None for u in URLS.values()],
    )
)
g = urls("slashes", "UNESCAPE_AND_REDIRECT")
g.case("escaped-slash")(lambda t: asked(t, URL + "/a%2fb"))

# Rewrites by formats.
g = Group("route-formats", CAT)
g.cluster("b1")
g.http(
    "r",
    """
- {match: {prefix: /host}, route: {cluster: b1, host_rewrite: '%REQ(x-v)%.test', append_x_forwarded_host: true}}
- {match: {prefix: /path}, route: {cluster: b1, path_rewrite: '/n/%REQ(x-v)%/%REQ(:METHOD)%'}}
- {match: {prefix: /red}, redirect: {path_rewrite: '/n/%REQ(x-v)%'}}
- {match: {prefix: /strip}, redirect: {path_rewrite: '/n/%REQ(x-v)%', strip_query: true}}
""",
)
for p in ("host", "path", "red", "strip"):
    g.get(p, "r", f"/{p}/a?q=1", (("x-v", "v"),))
    g.get(p + ".absent", "r", f"/{p}/a?q=1")

# Templates of paths with literals in a segment.
TEMPLATES = {
    "suffix": ("/v/{id}.m3u8", "/x/{id}"),
    "prefix": ("/a-{b}", "/{b}"),
    "verb": ("/{a=**}:verb", "/{a}"),
    "middle": ("/m/**/b", "/z"),
    "glob": ("/*.jpg", "/z"),
    "inner": ("/{a=i/**}x", "/{a}"),
    "star": ("/{c=*/x}/end", "/p-{c}-q*"),
}
g = Group("route-templates", CAT)
g.cluster("b1")
E2 = "{name: t, typed_config: {'@type': @T@path.%s.uri_template.v3.UriTemplate%sConfig, path_template%s: '%s'}}"
g.http(
    "r",
    "".join(
        f"- match: {{path_match_policy: {E2 % ('match', 'Match', '', m)}}}\n  route: {{cluster: b1, path_rewrite_policy: {E2 % ('rewrite', 'Rewrite', '_rewrite', w)}}}\n"
        for m, w in TEMPLATES.values()
    ),
)
for i, p in enumerate(
    "/v/7.m3u8 /v/.m3u8 /v/7.m3u9 /a-b /a- /x/y:verb /:verb /x/y /m/q/r/b /m/b /p.jpg /.jpg /i/jx /i/ /k/x/end /k/y/end".split()
):
    g.get(f"p{i:02}", "r", p, only=("status", "upstream"))

# Values of layered_runtime instead of defaults.
g = Group("route-runtime", CAT)
g.top = "layered_runtime: {layers: [{name: a, static_layer: {r.on: 100, r: {off: 0, half: 0.5, m: {numerator: 1000000, denominator: MILLION}}}}, {name: b, static_layer: {r: {late: 100}}}, {name: c, admin_layer: {}}]}\n"
g.cluster("b1")
g.http(
    "r",
    "".join(
        f"- {{match: {{prefix: /{k}, runtime_fraction: {{runtime_key: {k}, default_value: {{numerator: {d}}}}}}}, direct_response: {{status: 200}}}}\n"
        for k, d in {"r.on": 0, "r.off": 100, "r.half": 100, "r.m": 0, "r.late": 0, "r.other": 100}.items()
    ),
)
for k in ("r.on", "r.off", "r.half", "r.m", "r.late", "r.other"):
    g.get(k, "r", "/" + k, only=("status",))

# Small things: the first of several cluster headers, a route that forwards nothing.
g = Group("route-small", CAT)
g.cluster("b1")
g.http("r", "- {match: {prefix: /ch}, route: {cluster_header: x-c}}\n- {match: {prefix: /none}, non_forwarding_action: {}}")
g.get("cluster-header.two", "r", "/ch", (("x-c", "b1"), ("x-c", "b2")))
g.get("non-forwarding", "r", "/none")

# The type of a direct response is that of its format; gRPC gets a status also where a Location stands.
g = Group("route-direct-formats", CAT)
g.cluster("b1")
DIRECT = {
    "json": "{status: 200, body_format: {json_format: {a: '%REQ(:METHOD)%', n: 1}}}",
    "html": "{status: 200, body: {inline_string: b}, body_format: {text_format: '<%LOCAL_REPLY_BODY%>', content_type: text/html}}",
    "302": "{status: 302}",
    "201": "{status: 201, body: {inline_string: made}}",
}
g.http(
    "r",
    "".join(
        f"- match: {{prefix: /{n}}}\n  direct_response: {d}\n  response_headers_to_add: [{{header: {{key: content-type, value: own/type}}, append_action: OVERWRITE_IF_EXISTS}}]\n"
        for n, d in DIRECT.items()
    )
    + "- {match: {prefix: /moved}, redirect: {path_redirect: /x}}\n",
)
for n in [*DIRECT, "moved"]:
    g.get(n, "r", "/" + n)
    g.get(n + ".grpc", "r", "/" + n, (("content-type", "application/grpc"),), method="POST")
    g.get(n + ".head", "r", "/" + n, method="HEAD")

# grpc-timeout.
g = Group("route-grpc-timeout", CAT)
g.cluster("mute", ["mute"])
g.cluster("b1")
g.http(
    "r",
    """
- {match: {prefix: /stream}, route: {cluster: mute, max_stream_duration: {grpc_timeout_header_max: 0.3s}}}
- {match: {prefix: /old}, route: {cluster: mute, max_grpc_timeout: 0.3s}}
- {match: {prefix: /seen}, route: {cluster: b1, max_grpc_timeout: 5s, grpc_timeout_offset: 1s}}
- {match: {prefix: /free}, route: {cluster: b1, max_grpc_timeout: 0s}}
""",
)
for p in ("stream", "old"):
    for v in ("100m", "9S"):
        g.get(f"{p}.{v}", "r", "/" + p, (("content-type", "application/grpc"), ("grpc-timeout", v)), method="POST")
for p in ("seen", "free"):
    for v in ("100m", "3S", "9S", "bad", "1234567890S"):
        g.get(f"{p}.{v}", "r", "/" + p, (("content-type", "application/grpc"), ("grpc-timeout", v)), method="POST")
    g.get(p + ".absent", "r", "/" + p, (("content-type", "application/grpc"),), method="POST")
    g.get(p + ".http", "r", "/" + p, (("grpc-timeout", "2S"),))

# What is no URL is no Referer.
g = Group("http1-referer", "http1")
g.cluster("b1")
g.http("r", "- {match: {prefix: /}, route: {cluster: b1}}", hcm="via: mine")
REFERERS = "http://a.test/x|http://a.test/x?y#z|/relative|a.test||http://|http:///x|ftp://a.test/|android-app://com.x/|http://[::1]:80/|http://u:p@h/x|http://@h/|http://a_b.test/|http://a.test:99999/|http://a.test:/|http://a.test/a b|http://a.test/<x>|about:blank|a/b:c|/a\"b|http://a.test/\xe9|http://[zz]/"
for i, v in enumerate(REFERERS.split("|")):
    g.get(f"r{i:02}", "r", "/", (("referer", v),), only=("status", "upstream"))
g.get("two", "r", "/", (("referer", "http://a.test/"), ("referer", "http://b.test/")), only=("status", "upstream"))
g.get("via-of-1.0", "r", "/", version="1.0")
