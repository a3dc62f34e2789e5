"""What a route does: weighted clusters, direct answers, redirects, rewrites."""

from lib.case import Group
from lib.context import share

ADD = "OVERWRITE_IF_EXISTS_OR_ADD"

# ---- weighted clusters
g = Group("route-weighted", "routing")
for b in ("b1", "b2", "b3"):
    g.cluster(b)
g.http(
    "w",
    """
    - match: {prefix: /half}
      route: {weighted_clusters: {clusters: [{name: b1, weight: 50}, {name: b2, weight: 50}]}}
    - match: {prefix: /most}
      route: {weighted_clusters: {clusters: [{name: b1, weight: 80}, {name: b2, weight: 20}]}}
    - match: {prefix: /three}
      route: {weighted_clusters: {clusters: [{name: b1, weight: 1}, {name: b2, weight: 1}, {name: b3, weight: 2}]}}
    - match: {prefix: /all}
      route: {weighted_clusters: {clusters: [{name: b1, weight: 0}, {name: b2, weight: 7}]}}
    - match: {prefix: /total}
      route: {weighted_clusters: {total_weight: 1000, clusters: [{name: b1, weight: 999}, {name: b2, weight: 1}]}}
    - match: {prefix: /key}
      route: {weighted_clusters: {runtime_key_prefix: some.key, clusters: [{name: b1, weight: 0}, {name: b3, weight: 100}]}}
    - match: {prefix: /one}
      route: {weighted_clusters: {clusters: [{name: b2, weight: 1}]}}
""",
)
for name, path, bounds in (
    ("half", "/half", {"b1": (0.35, 0.65), "b2": (0.35, 0.65)}),
    ("most", "/most", {"b1": (0.68, 0.92), "b2": (0.08, 0.32)}),
    ("three", "/three", {"b1": (0.13, 0.37), "b2": (0.13, 0.37), "b3": (0.36, 0.64)}),
    ("zero-weight", "/all", {"b2": (1, 1)}),
    ("runtime-key", "/key", {"b3": (1, 1)}),
    ("single", "/one", {"b2": (1, 1)}),
):
    g.case(name)(lambda t, p=path, b=bounds: share(t.backends("w", 200, p), b))


@g.case("spread-over-connections")
def _(t):
    return share([t.backends("w", 1, "/half")[0] for _ in range(100)], {"b1": (0.3, 0.7), "b2": (0.3, 0.7)})


g = Group("route-weighted-by-header", "routing")
for b in ("b1", "b2"):
    g.cluster(b)
g.http(
    "w",
    """
    - match: {prefix: /byheader}
      route: {weighted_clusters: {header_name: x-pick, clusters: [{name: b1, weight: 30}, {name: b2, weight: 70}]}}
""",
)
for v in ("0", "29", "30", "99", "100", "130", "word", "-1"):
    g.case("header-value." + v)(
        lambda t, v=v: (
            t.backends("w", 3, "/byheader", [("x-pick", v)])
            if v not in ("word", "-1")
            else share(t.backends("w", 200, "/byheader", [("x-pick", v)]), {"b1": (0.1, 0.5), "b2": (0.5, 0.9)})
        )
    )

# ---- header changes of the chosen cluster, its own host
g = Group("route-weighted-headers", "routing")
g.cluster("b1")
g.cluster("b2")
g.http(
    "w",
    f"""
    - match: {{prefix: /}}
      route:
        weighted_clusters:
          clusters:
          - name: b1
            weight: 100
            host_rewrite_literal: one.example
            request_headers_to_add: [{{header: {{key: x-cluster, value: one}}, append_action: {ADD}}}]
            request_headers_to_remove: [x-gone]
            response_headers_to_add: [{{header: {{key: x-from, value: one}}, append_action: {ADD}}}]
            response_headers_to_remove: [x-backend]
          - name: b2
            weight: 0
            request_headers_to_add: [{{header: {{key: x-cluster, value: two}}, append_action: {ADD}}}]
""",
)
g.get("headers", "w", "/", [("x-gone", "1"), ("x-cluster", "mine")])

# ---- direct answers
g = Group("route-direct", "routing")
g.cluster("b1")
g.http(
    "d",
    f"""
    - match: {{path: /text}}
      direct_response: {{status: 200, body: {{inline_string: "hello\\n"}}}}
    - match: {{path: /none}}
      direct_response: {{status: 200}}
    - match: {{path: /teapot}}
      direct_response: {{status: 418, body: {{inline_string: short}}}}
    - match: {{path: /bytes}}
      direct_response: {{status: 503, body: {{inline_bytes: aGVsbG8=}}}}
    - match: {{path: /nocontent}}
      direct_response: {{status: 204}}
    - match: {{path: /unchanged}}
      direct_response: {{status: 304}}
    - match: {{path: /typed}}
      direct_response: {{status: 200, body: {{inline_string: '{{"a":1}}'}}}}
      response_headers_to_add: [{{header: {{key: content-type, value: application/json}}, append_action: {ADD}}}, {{header: {{key: x-more, value: yes it is}}}}]
    - match: {{path: /redirecting}}
      direct_response: {{status: 302}}
      response_headers_to_add: [{{header: {{key: location, value: /elsewhere}}}}]
    - match: {{path: /big}}
      direct_response: {{status: 200, body: {{inline_string: "{'0123456789' * 400}"}}}}
    - match: {{path: /500}}
      direct_response: {{status: 500, body: {{inline_string: "%PROTOCOL%"}}}}
""",
)
for n in ("text", "none", "teapot", "bytes", "nocontent", "unchanged", "typed", "redirecting", "big", "500"):
    g.get(n, "d", "/" + n)
g.get("head", "d", "/text", method="HEAD")
g.get("head.none", "d", "/none", method="HEAD")
g.get("post", "d", "/text", method="POST", body="a body")
g.get("post.chunked", "d", "/text", method="POST", body="a body", chunked=True)
g.get("http-1.0", "d", "/text", version="1.0")
g.get("close", "d", "/text", [("Connection", "close")])


@g.case("keep-alive")
def _(t):
    c = t.conn("d")
    out = []
    for _ in range(3):
        c.send("GET /text HTTP/1.1\r\nHost: h.test\r\n\r\n")
        out.append(t.answer(c))
    return out + [c.state()]


# ---- redirects
g = Group("route-redirect", "routing")
g.cluster("b1")
REDIRECTS = (
    ("host", "prefix: /host", "{host_redirect: new.test}"),
    ("hostport", "prefix: /hostport", "{host_redirect: 'new.test:8443'}"),
    ("path", "prefix: /path", "{path_redirect: /new}"),
    ("pathquery", "prefix: /pathquery", "{path_redirect: '/new?fixed=1'}"),
    ("prefix", "prefix: /prefix", "{prefix_rewrite: /fresh}"),
    ("https", "prefix: /https", "{https_redirect: true}"),
    ("scheme", "prefix: /scheme", "{scheme_redirect: ftp}"),
    ("port", "prefix: /port", "{port_redirect: 8443}"),
    ("httpsport", "prefix: /shp", "{https_redirect: true, port_redirect: 443}"),
    ("strip", "prefix: /strip", "{path_redirect: /new, strip_query: true}"),
    ("stripprefix", "prefix: /sp", "{prefix_rewrite: /x, strip_query: true}"),
    ("striphost", "prefix: /striphost", "{host_redirect: new.test, strip_query: true}"),
    ("found", "prefix: /found", "{path_redirect: /new, response_code: FOUND}"),
    ("seeother", "prefix: /see", "{path_redirect: /new, response_code: SEE_OTHER}"),
    ("temporary", "prefix: /temp", "{path_redirect: /new, response_code: TEMPORARY_REDIRECT}"),
    ("permanent", "prefix: /perm", "{path_redirect: /new, response_code: PERMANENT_REDIRECT}"),
    ("moved", "prefix: /moved", "{path_redirect: /new, response_code: MOVED_PERMANENTLY}"),
    (
        "regex",
        "safe_regex: {regex: '/regex/.*'}",
        "{regex_rewrite: {pattern: {regex: '/regex/([a-z]+)/(.*)'}, substitution: '/\\2/\\1'}}",
    ),
    (
        "all",
        "prefix: /all",
        "{https_redirect: true, host_redirect: new.test, port_redirect: 444, path_redirect: /n, response_code: FOUND}",
    ),
)
g.http(
    "r",
    "".join(f"\n    - match: {{{m}}}\n      redirect: {r}\n" for _, m, r in REDIRECTS)
    + f"\n    - match: {{prefix: /added}}\n      redirect: {{path_redirect: /new}}\n"
    f"      response_headers_to_add: [{{header: {{key: x-added, value: 'yes'}}, append_action: {ADD}}}]\n",
)
for n, p in (
    ("host", "/host/a?b=c"),
    ("hostport", "/hostport"),
    ("path", "/path/a?b=c"),
    ("pathquery", "/pathquery?b=c"),
    ("prefix", "/prefix/a/b?c=d"),
    ("prefix.exact", "/prefix"),
    ("https", "/https/x?y"),
    ("scheme", "/scheme"),
    ("port", "/port?x"),
    ("httpsport", "/shp"),
    ("strip", "/strip/a?b=c"),
    ("stripprefix", "/sp/a?b=c"),
    ("striphost", "/striphost/a?b=c"),
    ("found", "/found"),
    ("seeother", "/see"),
    ("temporary", "/temp"),
    ("permanent", "/perm"),
    ("moved", "/moved"),
    ("regex", "/regex/abc/def?q=1"),
    ("all", "/all/x?y=z"),
    ("added", "/added"),
):
    g.get(n, "r", p)
g.get("https.port-in-host", "r", "/https", host="h.test:8080")
g.get("https.port-80", "r", "/https", host="h.test:80")
g.get("port.port-in-host", "r", "/port", host="h.test:8080")
g.get("port.ipv6", "r", "/port", host="[::1]:8080")
g.get("host.port-in-host", "r", "/host", host="h.test:8080")
g.get("post", "r", "/path", method="POST", body="data")
g.get("head", "r", "/path", method="HEAD")

g = Group("route-require-tls", "routing")
g.cluster("b1")
g.http(
    "tls",
    vhosts="""
    - name: all
      domains: [all.test]
      require_tls: ALL
      routes: [{match: {prefix: /}, route: {cluster: b1}}]
    - name: external
      domains: [external.test]
      require_tls: EXTERNAL_ONLY
      routes: [{match: {prefix: /}, route: {cluster: b1}}]
    - name: any
      domains: ['*']
      routes: [{match: {prefix: /}, route: {cluster: b1}}]
""",
)
g.get("all", "tls", "/a?b", host="all.test")
g.get("all.forwarded-proto", "tls", "/a?b", [("x-forwarded-proto", "https")], host="all.test")
g.get("external-only", "tls", "/a?b", host="external.test")
g.get("none", "tls", "/a?b")

# ---- rewrites
g = Group("route-rewrite", "routing")
g.cluster("b1")
g.http(
    "r",
    """
    - match: {prefix: /api/}
      route: {cluster: b1, prefix_rewrite: /}
    - match: {prefix: /old}
      route: {cluster: b1, prefix_rewrite: /new/path}
    - match: {path: /whole}
      route: {cluster: b1, prefix_rewrite: /replaced}
    - match: {prefix: /Fold, case_sensitive: false}
      route: {cluster: b1, prefix_rewrite: /f}
    - match: {path_separated_prefix: /sep}
      route: {cluster: b1, prefix_rewrite: /s}
    - match: {safe_regex: {regex: '/rx/.*'}}
      route: {cluster: b1, prefix_rewrite: /all-of-it}
    - match: {prefix: /service}
      route: {cluster: b1, regex_rewrite: {pattern: {regex: '^/service/([^/]+)(/.*)$'}, substitution: '\\2/instance/\\1'}}
    - match: {prefix: /every}
      route: {cluster: b1, regex_rewrite: {pattern: {regex: 'one'}, substitution: 'two'}}
    - match: {prefix: /ci}
      route: {cluster: b1, regex_rewrite: {pattern: {regex: '(?i)/aaa/'}, substitution: '/bbb/'}}
    - match: {prefix: /whole-match}
      route: {cluster: b1, regex_rewrite: {pattern: {regex: '^.*$'}, substitution: '/x\\0'}}
    - match: {prefix: /}
      route: {cluster: b1}
""",
)
for n, p in (
    ("prefix", "/api/v1/x?q=/api/"),
    ("prefix.bare", "/api/"),
    ("prefix.replaced", "/old/x"),
    ("prefix.word", "/older"),
    ("prefix.query", "/old?x=1"),
    ("path", "/whole"),
    ("path.query", "/whole?a"),
    ("ignore-case", "/fOLD/er"),
    ("separated", "/sep/a"),
    ("separated.bare", "/sep"),
    ("regex-match-prefix-rewrite", "/rx/abc?d"),
    ("regex", "/service/foo/v1/api?q=1"),
    ("regex.no-match", "/service/foo"),
    ("regex.every", "/every/one/one?one"),
    ("regex.inline-flag", "/ci/AAA/x"),
    ("regex.whole", "/whole-match/a?b"),
    ("none", "/plain?x"),
):
    g.get(n, "r", p)
g.get("original-path-kept", "r", "/old/x", [("x-envoy-original-path", "/mine")])

g = Group("route-template-rewrite", "routing")
g.cluster("b1")
g.http(
    "t",
    """
    - match:
        path_match_policy:
          name: envoy.path.match.uri_template.uri_template_matcher
          typed_config: {"@type": @T@path.match.uri_template.v3.UriTemplateMatchConfig, path_template: '/v1/{kind}/{id}'}
      route:
        cluster: b1
        path_rewrite_policy:
          name: envoy.path.rewrite.uri_template.uri_template_rewriter
          typed_config: {"@type": @T@path.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: '/{id}/of/{kind}'}
""",
)
g.get("template", "t", "/v1/users/42?q=1")

# ---- host rewrites
g = Group("route-host", "routing")
g.cluster("b1")
g.cluster(
    "dns",
    hosts=[],
    type="STRICT_DNS",
    extra="dns_lookup_family: V4_ONLY",
    assignment="""
    - lb_endpoints:
      - endpoint: {address: {socket_address: {address: localhost, port_value: @up:b2@}}, hostname: named.test}
""",
)
g.cluster(
    "plaindns",
    hosts=[],
    type="STRICT_DNS",
    extra="dns_lookup_family: V4_ONLY",
    assignment="""
    - lb_endpoints:
      - endpoint: {address: {socket_address: {address: localhost, port_value: @up:b2@}}}
""",
)
ROUTES = (
    ("/literal", "{cluster: b1, host_rewrite_literal: lit.test}"),
    ("/auto", "{cluster: plaindns, auto_host_rewrite: true}"),
    ("/named", "{cluster: dns, auto_host_rewrite: true}"),
    ("/static", "{cluster: b1, auto_host_rewrite: true}"),
    ("/header", "{cluster: b1, host_rewrite_header: x-host}"),
    (
        "/regex",
        "{cluster: b1, host_rewrite_path_regex: {pattern: {regex: '^/regex/([^/?]+).*$'}, substitution: '\\1.test'}}",
    ),
    ("/xfh", "{cluster: b1, host_rewrite_literal: lit.test, append_x_forwarded_host: true}"),
    ("/", "{cluster: b1}"),
)
g.http("h", "".join(f"\n    - match: {{prefix: {p}}}\n      route: {r}\n" for p, r in ROUTES))
g.get("literal", "h", "/literal", [("x-forwarded-host", "x.test")])
g.get("literal.port", "h", "/literal", host="h.test:80")
for n in ("auto", "named", "static"):
    g.get(n, "h", "/" + n)
g.get("header", "h", "/header", [("x-host", "from-header.test")])
g.get("header.missing", "h", "/header")
g.get("header.empty", "h", "/header", [("x-host", "")])
g.get("path-regex", "h", "/regex/abc/def?q=1")
g.get("x-forwarded-host", "h", "/xfh")
g.get("x-forwarded-host.appended", "h", "/xfh", [("x-forwarded-host", "first.test")])
g.get("none", "h", "/")
