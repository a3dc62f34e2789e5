"""Which route a request takes: paths, headers, query parameters, domains. Each route answers with its own name."""

from lib.case import Group


def says(match, name, more=""):
    """A route that answers 200 with its name."""
    return f"""
    - match: {match}
      direct_response: {{status: 200, body: {{inline_string: {name}}}}}
{more}"""


def table(group, port, cases):
    """cases: (name, path or headers...) each recorded as [status, body]."""
    for name, kw in cases:

        def run(t, kw=kw):
            r = t.req(port, **kw)
            return [r.get("status"), r.get("body")] if "status" in r else r

        group.case(name)(run)


def paths(group, port, *pairs):
    table(group, port, [(n, {"path": p}) for n, p in pairs])


# ---- path
g = Group("route-path", "routing")
g.cluster("b1")
g.http(
    "p",
    "".join(
        [
            says("{path: /exact}", "exact"),
            says("{path: /exact/slash/}", "exact-slash"),
            says("{prefix: /prefix/}", "prefix-slash"),
            says("{prefix: /prefix}", "prefix"),
            says("{path_separated_prefix: /sep}", "separated"),
            says("{safe_regex: {regex: '/re/[0-9]+'}}", "regex"),
            says("{safe_regex: {regex: '/alt/(a|b)(/.*)?'}}", "regex-alt"),
            says("{prefix: /Folded, case_sensitive: false}", "prefix-nocase"),
            says("{path: /FoldedExact, case_sensitive: false}", "exact-nocase"),
            says("{path_separated_prefix: /FoldSep, case_sensitive: false}", "separated-nocase"),
            says("{prefix: '/sp%20ace'}", "escaped"),
            says("{path: /twice}", "first"),
            says("{path: /twice}", "second"),
            says("{prefix: ''}", "rest"),
        ]
    ),
)
paths(
    g,
    "p",
    ("exact", "/exact"),
    ("exact.query", "/exact?a=b"),
    ("exact.empty-query", "/exact?"),
    ("exact.slash", "/exact/"),
    ("exact.longer", "/exacter"),
    ("exact.case", "/EXACT"),
    ("exact.escaped", "/%65xact"),
    ("exact.own-slash", "/exact/slash/"),
    ("exact.own-slash-missing", "/exact/slash"),
    ("exact.double-slash", "//exact"),
    ("prefix", "/prefix"),
    ("prefix.under", "/prefix/x"),
    ("prefix.word", "/prefixes"),
    ("prefix.query", "/prefix?x=/prefix/"),
    ("prefix.dots", "/prefix/../exact"),
    ("separated", "/sep"),
    ("separated.under", "/sep/x/y"),
    ("separated.slash", "/sep/"),
    ("separated.word", "/separate"),
    ("separated.query", "/sep?x"),
    ("separated.query-slash", "/sep/?x"),
    ("regex", "/re/123"),
    ("regex.whole", "/re/123x"),
    ("regex.begin", "/x/re/123"),
    ("regex.query", "/re/123?q=1"),
    ("regex.alt", "/alt/b/c/d"),
    ("regex.alt-none", "/alt/c"),
    ("regex.slash", "/re/123/"),
    ("nocase.prefix", "/fOLDED/x"),
    ("nocase.exact", "/foldedexact"),
    ("nocase.exact-longer", "/foldedexactx"),
    ("nocase.separated", "/foldsep/x"),
    ("nocase.separated-word", "/foldsepx"),
    ("escaped", "/sp%20ace/x"),
    ("order", "/twice"),
    ("root", "/"),
    ("rest", "/nothing/here"),
    ("query-only", "/?x=/exact"),
    ("semicolon", "/exact;v=1"),
)

# ---- no catch-all: what is left is a 404
g = Group("route-none", "routing")
g.cluster("b1")
g.http("one", "\n    - match: {path: /one}\n      route: {cluster: b1}\n")
g.http("empty", vhosts="- {name: none, domains: [only.test]}\n")
g.get("not-found", "one", "/two")
g.get("not-found.post", "one", "/two", method="POST", body="some body")
g.get("not-found.head", "one", "/two", method="HEAD")
g.get("no-virtual-host", "empty", "/")
g.get("virtual-host-without-routes", "empty", "/", host="only.test")
g.get("asterisk", "one", "*", method="OPTIONS")

# ---- headers
g = Group("route-header", "routing")
g.cluster("b1")


def by_header(name, matcher):
    return says("{prefix: /%s, headers: [%s]}" % (name, matcher), name)


g.http(
    "h",
    "".join(
        by_header(*x)
        for x in (
            ("exact", "{name: x-a, string_match: {exact: one}}"),
            ("nocase", "{name: x-a, string_match: {exact: One, ignore_case: true}}"),
            ("prefix", "{name: x-a, string_match: {prefix: 'on'}}"),
            ("prefnc", "{name: x-a, string_match: {prefix: 'ON', ignore_case: true}}"),
            ("suffix", "{name: x-a, string_match: {suffix: ne}}"),
            ("contains", "{name: x-a, string_match: {contains: 'n'}}"),
            ("contnc", "{name: x-a, string_match: {contains: 'N', ignore_case: true}}"),
            ("regex", "{name: x-a, string_match: {safe_regex: {regex: 'o[a-z]+'}}}"),
            ("range", "{name: x-a, range_match: {start: -10, end: 10}}"),
            ("present", "{name: x-a, present_match: true}"),
            ("absent", "{name: x-a, present_match: false}"),
            ("bare", "{name: x-a}"),
            ("notexact", "{name: x-a, string_match: {exact: one}, invert_match: true}"),
            ("notpresent", "{name: x-a, present_match: true, invert_match: true}"),
            ("notabsent", "{name: x-a, present_match: false, invert_match: true}"),
            ("notrange", "{name: x-a, range_match: {start: 1, end: 3}, invert_match: true}"),
            ("notregex", "{name: x-a, string_match: {safe_regex: {regex: 'o.*'}}, invert_match: true}"),
            ("missempty", "{name: x-a, string_match: {exact: ''}, treat_missing_header_as_empty: true}"),
            (
                "missnot",
                "{name: x-a, string_match: {exact: one}, invert_match: true, treat_missing_header_as_empty: true}",
            ),
            ("method", "{name: ':method', string_match: {exact: POST}}"),
            ("authority", "{name: ':authority', string_match: {suffix: '.test'}}"),
            ("path", "{name: ':path', string_match: {contains: 'q=1'}}"),
            ("scheme", "{name: ':scheme', string_match: {exact: http}}"),
            ("host", "{name: host, string_match: {exact: h.test}}"),
            ("upper", "{name: X-A, string_match: {exact: one}}"),
        )
    )
    + says(
        "{prefix: /two, headers: [{name: x-a, string_match: {exact: one}}, {name: x-b, present_match: true}]}", "two"
    )
    + says("{prefix: /}", "rest"),
)

A = "x-a"
HEADER_CASES = [
    ("exact", "/exact", [(A, "one")]),
    ("exact.no", "/exact", [(A, "two")]),
    ("exact.none", "/exact", []),
    ("exact.case", "/exact", [(A, "One")]),
    ("exact.name-case", "/exact", [("X-A", "one")]),
    ("exact.space", "/exact", [(A, "  one  ")]),
    ("exact.twice", "/exact", [(A, "one"), (A, "two")]),
    ("exact.twice-same", "/exact", [(A, "one"), (A, "one")]),
    ("exact.second-value", "/exact", [(A, "two"), (A, "one")]),
    ("prefix.second-value", "/prefix", [(A, "x"), (A, "once")]),
    ("not-exact.one-of-two", "/notexact", [(A, "one"), (A, "two")]),
    ("not-exact.none-of-two", "/notexact", [(A, "x"), (A, "two")]),
    ("range.second-value", "/range", [(A, "50"), (A, "5")]),
    ("regex.list", "/regex", [(A, "xx"), (A, "oyy")]),
    ("exact.list", "/exact", [(A, "one,two")]),
    ("ignore-case", "/nocase", [(A, "oNE")]),
    ("prefix", "/prefix", [(A, "onward")]),
    ("prefix.no", "/prefix", [(A, "no")]),
    ("prefix.ignore-case", "/prefnc", [(A, "online")]),
    ("suffix", "/suffix", [(A, "alone")]),
    ("suffix.no", "/suffix", [(A, "alone!")]),
    ("contains", "/contains", [(A, "one")]),
    ("contains.no", "/contains", [(A, "two")]),
    ("contains.ignore-case", "/contnc", [(A, "one")]),
    ("regex", "/regex", [(A, "one")]),
    ("regex.part", "/regex", [(A, "one1")]),
    ("range.low", "/range", [(A, "-10")]),
    ("range.high", "/range", [(A, "10")]),
    ("range.in", "/range", [(A, "9")]),
    ("range.word", "/range", [(A, "9x")]),
    ("range.none", "/range", []),
    ("range.float", "/range", [(A, "1.5")]),
    ("range.plus", "/range", [(A, "+5")]),
    ("present", "/present", [(A, "")]),
    ("present.none", "/present", []),
    ("absent", "/absent", []),
    ("absent.there", "/absent", [(A, "x")]),
    ("bare", "/bare", [(A, "x")]),
    ("bare.none", "/bare", []),
    ("not-exact", "/notexact", [(A, "two")]),
    ("not-exact.same", "/notexact", [(A, "one")]),
    ("not-exact.none", "/notexact", []),
    ("not-present", "/notpresent", []),
    ("not-present.there", "/notpresent", [(A, "x")]),
    ("not-absent", "/notabsent", [(A, "x")]),
    ("not-absent.none", "/notabsent", []),
    ("not-range", "/notrange", [(A, "5")]),
    ("not-range.in", "/notrange", [(A, "2")]),
    ("not-range.none", "/notrange", []),
    ("not-regex", "/notregex", [(A, "two")]),
    ("not-regex.none", "/notregex", []),
    ("missing-as-empty", "/missempty", []),
    ("missing-as-empty.there", "/missempty", [(A, "x")]),
    ("missing-as-empty.not", "/missnot", []),
    ("upper-name", "/upper", [(A, "one")]),
    ("scheme", "/scheme", []),
    ("authority", "/authority", []),
    ("path", "/path?q=1", []),
    ("host", "/host", []),
    ("and", "/two", [(A, "one"), ("x-b", "")]),
    ("and.half", "/two", [(A, "one")]),
]
table(g, "h", [(n, {"path": p, "headers": h}) for n, p, h in HEADER_CASES])
table(
    g,
    "h",
    [
        ("method", {"path": "/method", "method": "POST"}),
        ("method.no", {"path": "/method"}),
        ("authority.no", {"path": "/authority", "host": "h.example"}),
    ],
)

# ---- the older spellings, still accepted
g = Group("route-header-old", "routing")
g.cluster("b1")
g.http(
    "o",
    "".join(
        by_header(*x)
        for x in (
            ("exact", "{name: x-a, exact_match: one}"),
            ("prefix", "{name: x-a, prefix_match: 'on'}"),
            ("suffix", "{name: x-a, suffix_match: ne}"),
            ("contains", "{name: x-a, contains_match: 'n'}"),
            ("regex", "{name: x-a, safe_regex_match: {regex: 'o.e'}}"),
        )
    )
    + says("{prefix: /}", "rest"),
)
table(
    g,
    "o",
    [
        (f"{n}{s}", {"path": "/" + n, "headers": [(A, v)]})
        for n, yes, no in (
            ("exact", "one", "on"),
            ("prefix", "onx", "no"),
            ("suffix", "xne", "en"),
            ("contains", "n", "m"),
            ("regex", "oxe", "oxxe"),
        )
        for s, v in (("", yes), (".no", no))
    ],
)

# ---- query parameters
g = Group("route-query", "routing")
g.cluster("b1")


def by_query(name, matcher):
    return says("{prefix: /%s, query_parameters: [%s]}" % (name, matcher), name)


g.http(
    "q",
    "".join(
        by_query(*x)
        for x in (
            ("exact", "{name: a, string_match: {exact: one}}"),
            ("prefix", "{name: a, string_match: {prefix: 'on'}}"),
            ("regex", "{name: a, string_match: {safe_regex: {regex: '[0-9]+'}}}"),
            ("present", "{name: a, present_match: true}"),
            ("nocase", "{name: a, string_match: {exact: ONE, ignore_case: true}}"),
            ("empty", "{name: a, string_match: {exact: ''}}"),
            ("two", "{name: a, string_match: {exact: one}}, {name: b, present_match: true}"),
        )
    )
    + says("{prefix: /}", "rest"),
)
paths(
    g,
    "q",
    ("exact", "/exact?a=one"),
    ("exact.no", "/exact?a=two"),
    ("exact.none", "/exact"),
    ("exact.second", "/exact?b=1&a=one"),
    ("exact.twice-first", "/exact?a=one&a=two"),
    ("exact.twice-last", "/exact?a=two&a=one"),
    ("exact.name-case", "/exact?A=one"),
    ("exact.escaped", "/exact?a=%6fne"),
    ("exact.escaped-name", "/exact?%61=one"),
    ("exact.plus", "/exact?a=one+"),
    ("exact.fragment", "/exact?a=one#f"),
    ("exact.semicolon", "/exact?b=1;a=one"),
    ("exact.second-question", "/exact?x?a=one"),
    ("prefix", "/prefix?a=online"),
    ("regex", "/regex?a=42"),
    ("regex.part", "/regex?a=42x"),
    ("present", "/present?a"),
    ("present.empty", "/present?a="),
    ("present.prefix", "/present?ab=1"),
    ("ignore-case", "/nocase?a=oNe"),
    ("empty", "/empty?a="),
    ("empty.bare", "/empty?a"),
    ("empty.none", "/empty"),
    ("and", "/two?a=one&b=2"),
    ("and.half", "/two?a=one"),
    ("double-ampersand", "/exact?&&a=one&"),
)

# ---- fraction
g = Group("route-fraction", "routing")
g.cluster("b1")
g.http(
    "f",
    says("{prefix: /none, runtime_fraction: {default_value: {numerator: 0}}}", "none")
    + says("{prefix: /all, runtime_fraction: {default_value: {numerator: 100}}}", "all")
    + says(
        "{prefix: /key, runtime_fraction: {default_value: {numerator: 1000000, denominator: MILLION}, runtime_key: some.key}}",
        "key",
    )
    + says("{prefix: /over, runtime_fraction: {default_value: {numerator: 200}}}", "over")
    + says("{prefix: /}", "rest"),
)
paths(g, "f", ("none", "/none"), ("all", "/all"), ("runtime-key", "/key"), ("over-hundred", "/over"))

# ---- gRPC requests
g = Group("route-grpc", "routing")
g.cluster("b1")
g.http("g", says("{prefix: /, grpc: {}}", "grpc") + says("{prefix: /}", "rest"))
table(
    g,
    "g",
    [
        (n, {"headers": [("content-type", v)], "method": "POST"})
        for n, v in (
            ("grpc", "application/grpc"),
            ("grpc-proto", "application/grpc+proto"),
            ("grpc-web", "application/grpc-web"),
            ("json", "application/json"),
            ("grpc-semicolon", "application/grpc; x=y"),
        )
    ],
)

# ---- domains
g = Group("route-domain", "routing")
g.cluster("b1")


def host(name, *domains):
    ds = ", ".join(f"'{d}'" for d in domains)
    return f"- name: {name}\n  domains: [{ds}]\n  routes:\n  - match: {{prefix: /}}\n    direct_response: {{status: 200, body: {{inline_string: {name}}}}}\n"


HOSTS = (
    host("exact", "a.test", "Upper.Test", "with.port:8080")
    + host("suffix", "*.a.test")
    + host("longer", "*.b.a.test")
    + host("dash", "*-dash.test")
    + host("prefix", "pre.*")
    + host("longprefix", "pre.fix.*")
    + host("ip", "10.1.2.3", "[::1]")
)
g.http("star", vhosts=HOSTS + host("any", "*"))
g.http("nostar", vhosts=HOSTS)
g.http("ignoreport", vhosts=HOSTS + host("any", "*"), route_config="ignore_port_in_host_matching: true")
DOMAINS = (
    ("exact", "a.test"),
    ("exact.case", "A.TEST"),
    ("exact.upper-config", "upper.test"),
    ("port", "a.test:80"),
    ("port.other", "a.test:8080"),
    ("port.configured", "with.port:8080"),
    ("port.configured-missing", "with.port"),
    ("port.configured-other", "with.port:81"),
    ("port.empty", "a.test:"),
    ("suffix", "x.a.test"),
    ("suffix.deep", "y.x.a.test"),
    ("suffix.longest", "x.b.a.test"),
    ("suffix.port", "x.a.test:80"),
    ("suffix.case", "X.A.Test"),
    ("suffix.empty-label", ".a.test"),
    ("suffix.dash", "x-dash.test"),
    ("suffix.dash-only", "-dash.test"),
    ("prefix", "pre.x"),
    ("prefix.longest", "pre.fix.org"),
    ("prefix.port", "pre.x:99"),
    ("prefix.nothing", "pre."),
    ("trailing-dot", "a.test."),
    ("other", "other.test"),
    ("ip", "10.1.2.3"),
    ("ip.port", "10.1.2.3:80"),
    ("ipv6", "[::1]"),
    ("ipv6.port", "[::1]:80"),
    ("empty", ""),
)
for port in ("star", "nostar", "ignoreport"):
    table(
        g,
        port,
        [
            (f"{port}.{n}", {"host": h})
            for n, h in DOMAINS
            if port == "star"
            or port == "nostar"
            and n in ("exact", "other", "empty", "port")
            or port == "ignoreport"
            and "port" in n
        ],
    )

# ---- a match may join several conditions; the first of all wins, not the best
g = Group("route-order", "routing")
g.cluster("b1")
g.http(
    "o",
    says("{prefix: /a, headers: [{name: x-v, string_match: {exact: '2'}}]}", "header")
    + says("{prefix: /a, query_parameters: [{name: v, present_match: true}]}", "query")
    + says("{prefix: /}", "all")
    + says("{path: /a/exact}", "never"),
)
table(
    g,
    "o",
    [
        ("header", {"path": "/a/exact", "headers": [("x-v", "2")]}),
        ("query", {"path": "/a/exact?v=1"}),
        ("header-and-query", {"path": "/a?v=1", "headers": [("x-v", "2")]}),
        ("catch-all-first", {"path": "/a/exact"}),
    ],
)

# ---- template patterns
g = Group("route-template", "routing")
g.cluster("b1")


def template(pattern):
    return (
        '{path_match_policy: {name: envoy.path.match.uri_template.uri_template_matcher, typed_config: {"@type": '
        "@T@path.match.uri_template.v3.UriTemplateMatchConfig, path_template: '%s'}}}" % pattern
    )


g.http(
    "t",
    says(template("/v1/{id}/end"), "var")
    + says(template("/glob/*/x"), "star")
    + says(template("/deep/**"), "deep")
    + says("{prefix: /}", "rest"),
)
paths(
    g,
    "t",
    ("variable", "/v1/42/end"),
    ("variable.two", "/v1/4/2/end"),
    ("star", "/glob/a/x"),
    ("star.none", "/glob//x"),
    ("deep", "/deep/a/b/c"),
    ("query", "/v1/42/end?q"),
    ("other", "/v1"),
)
