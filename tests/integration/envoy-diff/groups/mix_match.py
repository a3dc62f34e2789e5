"""Route matching in combination: hosts, paths, headers, query parameters, and which of several routes wins."""

from lib.case import Group

CAT = "routing"


def said(body):
    """A route action that answers with its own name."""
    return f"direct_response: {{status: 200, body: {{inline_string: {body!r}}}}}"


def route(match, body):
    return f"- match: {{{match}}}\n  {said(body)}\n"


def tell(g, name, port, path="/", headers=(), **kw):
    """A case whose record is the status and the body: which route it was."""
    g.case(name)(lambda t: t.req(port, path=path, headers=headers, only=("status", "body", "answer"), **kw))


# ---- headers
g = Group("mix-match-header", CAT)
HEADERS = (
    ("exact", "name: X-A, string_match: {exact: Abc}"),
    ("exact-ic", "name: x-b, string_match: {exact: aBc, ignore_case: true}"),
    ("prefix-ic", "name: x-c, string_match: {prefix: 'Ab ', ignore_case: true}"),
    ("suffix", "name: x-d, string_match: {suffix: .Test}"),
    ("suffix-ic", "name: x-e, string_match: {suffix: .Test, ignore_case: true}"),
    ("contains-ic", "name: x-f, string_match: {contains: NeedLe, ignore_case: true}"),
    ("regex", "name: x-g, string_match: {safe_regex: {regex: 'a+|b{2,3}'}}"),
    ("regex-flag", "name: x-h, string_match: {safe_regex: {regex: '(?i)abc.*'}}"),
    ("range", "name: x-i, range_match: {start: -5, end: 5}"),
    ("range-invert", "name: x-j, range_match: {start: 10, end: 20}, invert_match: true"),
    ("present", "name: x-k, present_match: true"),
    ("exact-invert-missing", "name: x-l, string_match: {exact: 'no'}, invert_match: true, treat_missing_header_as_empty: true"),
    ("prefix-missing-empty", "name: x-m, string_match: {exact: ''}, treat_missing_header_as_empty: false"),
)
routes = "".join(
    route(f"prefix: /{n}/, headers: [{{{m}}}]", "yes " + n) + route(f"prefix: /{n}/", "no " + n) for n, m in HEADERS
)
routes += route("prefix: /absent/, headers: [{name: x-k, present_match: false}]", "yes absent")
routes += route("prefix: /absent-invert/, headers: [{name: x-k, present_match: true, invert_match: true}]", "yes absent")
routes += route("prefix: /absent-twice/, headers: [{name: x-k, present_match: false, invert_match: true}]", "yes present")
routes += route("prefix: /bare/, headers: [{name: x-k}]", "yes bare")
routes += route("prefix: /pseudo/, headers: [{name: ':method', string_match: {exact: PUT}}, {name: ':authority', string_match: {prefix: H., ignore_case: true}}]", "yes pseudo")
routes += route("prefix: /pseudo-path/, headers: [{name: ':path', string_match: {suffix: '?x=1'}}]", "yes pseudo path")
routes += route("prefix: /pseudo-scheme/, headers: [{name: ':scheme', string_match: {exact: http}}]", "yes scheme")
routes += route("prefix: /host-name/, headers: [{name: host, string_match: {exact: h.test}}]", "yes host")
routes += route("prefix: /both/, headers: [{name: x-a, string_match: {exact: '1'}}, {name: x-b, string_match: {exact: '2'}, invert_match: true}]", "yes both")
routes += route("prefix: /cl/, headers: [{name: content-length, range_match: {start: 1, end: 4}}]", "yes cl")
routes += route("prefix: /xfp/, headers: [{name: x-forwarded-proto, string_match: {exact: http}}]", "yes xfp")
routes += route("prefix: /rid/, headers: [{name: x-request-id, present_match: true}]", "yes rid")
routes += route("prefix: /empty-prefix/, headers: [{name: x-a, string_match: {safe_regex: {regex: '.*'}}}]", "yes empty regex")
routes += route("prefix: /or/, headers: [{name: x-a, string_match: {safe_regex: {regex: '^(one|two)$'}}}]", "yes or")
routes += route("prefix: /range64/, headers: [{name: x-a, range_match: {start: 9223372036854775806, end: 9223372036854775807}}]", "yes 64")
routes += route("prefix: /", "else")
g.http("m", routes)
for i, (path, value) in enumerate((
    ("exact/", "Abc"), ("exact/", "abc"), ("exact/", ""), ("exact-ic/", "ABC"), ("exact-ic/", "abcd"),
    ("prefix-ic/", "aB c"), ("prefix-ic/", "ab"), ("suffix/", "x.Test"), ("suffix/", "x.test"), ("suffix-ic/", "a.tEST"),
    ("contains-ic/", "a nEEDle b"), ("regex/", "aaa"), ("regex/", "bb"), ("regex/", "xa"), ("regex/", "bbbb"),
    ("regex-flag/", "ABCxyz"), ("regex-flag/", "xabc"),
    ("range/", "-5"), ("range/", "4"), ("range/", "5"), ("range/", "+3"), ("range/", "3 "), ("range/", "0x3"),
    ("range/", "3.0"), ("range/", "003"), ("range/", ""), ("range/", "99999999999999999999"),
    ("range-invert/", "15"), ("range-invert/", "9"), ("range-invert/", "abc"),
    ("present/", ""), ("present/", "x"), ("exact-invert-missing/", "no"), ("exact-invert-missing/", "on"),
    ("prefix-missing-empty/", ""),
)):
    name = path[:-1]
    header = "x-" + "abcdefghijklm"[[n for n, _ in HEADERS].index(name)]
    tell(g, f"{name}.{i}", "m", "/" + path, [(header, value)])
for n in ("exact", "range", "range-invert", "present", "exact-invert-missing", "prefix-missing-empty", "regex"):
    tell(g, f"{n}.missing", "m", f"/{n}/")
tell(g, "exact.two-values", "m", "/exact/", [("x-a", "Abc"), ("x-a", "Abc")])
tell(g, "suffix-ic.two-values", "m", "/suffix-ic/", [("x-e", "one"), ("x-e", "two.test")])
tell(g, "exact-ic.comma", "m", "/exact-ic/", [("x-b", "abc,abc")])
tell(g, "range.two-values", "m", "/range/", [("x-i", "1"), ("x-i", "2")])
for n in ("absent", "absent-invert", "absent-twice", "bare"):
    tell(g, f"{n}.with", "m", f"/{n}/", [("X-K", "v")])
    tell(g, f"{n}.without", "m", f"/{n}/")
tell(g, "pseudo.yes", "m", "/pseudo/", method="PUT")
tell(g, "pseudo.no", "m", "/pseudo/", method="POST", body="x")
tell(g, "pseudo.host-case", "m", "/pseudo/", method="PUT", host="H.Test")
tell(g, "pseudo-path.yes", "m", "/pseudo-path/?x=1")
tell(g, "pseudo-path.no", "m", "/pseudo-path/?x=12")
tell(g, "pseudo-scheme", "m", "/pseudo-scheme/")
tell(g, "pseudo-scheme.absolute-https", "m", "https://h.test/pseudo-scheme/")
tell(g, "host-name", "m", "/host-name/")
tell(g, "both.yes", "m", "/both/", [("x-a", "1")])
tell(g, "both.no", "m", "/both/", [("x-a", "1"), ("x-b", "2")])
tell(g, "cl.yes", "m", "/cl/", method="POST", body="xyz")
tell(g, "cl.no", "m", "/cl/", method="POST", body="wxyz")
tell(g, "cl.zero", "m", "/cl/", [("content-length", "0")], method="POST")
tell(g, "xfp", "m", "/xfp/")
tell(g, "xfp.https", "m", "/xfp/", [("x-forwarded-proto", "https")])
tell(g, "rid", "m", "/rid/")
tell(g, "regex-any.missing", "m", "/empty-prefix/")
tell(g, "regex-any.empty", "m", "/empty-prefix/", [("x-a", "")])
tell(g, "or.one", "m", "/or/", [("x-a", "one")])
tell(g, "or.three", "m", "/or/", [("x-a", "three")])
tell(g, "range64.yes", "m", "/range64/", [("x-a", "9223372036854775806")])
tell(g, "range64.no", "m", "/range64/", [("x-a", "9223372036854775807")])
tell(g, "high-bytes", "m", "/exact/", [("x-a", "Abc\xe9")])

# ---- paths and queries
g = Group("mix-match-path", CAT)
g.http("p", (
    route("path: /exact", "exact") + route("path: /ExAcT-ic, case_sensitive: false", "exact ic")
    + route("path_separated_prefix: /sep", "sep") + route("path_separated_prefix: /SEP-ic, case_sensitive: false", "sep ic")
    + route("prefix: /pre/Fix, case_sensitive: false", "prefix ic")
    + route("safe_regex: {regex: '/r/[0-9]{1,3}/?'}", "regex") + route("safe_regex: {regex: '/alt|/other/.+'}", "alt")
    + route("safe_regex: {regex: '/uni/\\p{L}+|/uni/\\d+(\\.\\d+)?'}", "classes")
    + route("safe_regex: {regex: '/dot/.'}", "dot")
    + route("prefix: /q/, query_parameters: [{name: a, string_match: {exact: '1'}}, {name: b, present_match: true}]", "q both")
    + route("prefix: /q/, query_parameters: [{name: a, string_match: {safe_regex: {regex: '[a-c]+'}}}]", "q regex")
    + route("prefix: /q/, query_parameters: [{name: a, string_match: {prefix: X, ignore_case: true}}]", "q prefix ic")
    + route("prefix: /q/, query_parameters: [{name: 'k k', present_match: true}]", "q space")
    + route("prefix: /q/, query_parameters: [{name: none, present_match: false}, {name: only}]", "q absent")
    + route("prefix: /q/", "q else")
    + route("prefix: /half, runtime_fraction: {default_value: {numerator: 0}}", "never")
    + route("prefix: /half, runtime_fraction: {default_value: {numerator: 1000000, denominator: MILLION}}", "always")
    + route("prefix: /grpc, grpc: {}", "grpc")
   
    + route("prefix: '/%61'", "escaped") + route("prefix: '/sp%20ace'", "escaped space")
    + route("prefix: /*", "star") + route("path: /", "root") + route("prefix: ''", "else")
))
for i, p in enumerate((
    "/exact", "/exact?x", "/exact/", "/exact#frag", "/exact?", "/EXACT", "/eXaCt-IC", "/EXACT-IC/?q", "/sep", "/sep/", "/sep/x", "/sep?x", "/separate",
    "/sep#f", "/sep%2Fx", "/sep-IC/x", "/PRE/fix", "/pre/FIXture", "/pre/fi", "/r/1", "/r/123/", "/r/1234", "/r/12?x=/", "/r/", "/alt", "/alt/x",
    "/other/", "/other/y", "/uni/12", "/uni/12.5", "/uni/12.", "/uni/%C3%A9", "/uni/\xc3\xa9", "/dot/\xe9", "/dot/x", "/dot/", "/q/?a=1&b", "/q/?b=&a=1", "/q/?a=1", "/q/?a=abc",
    "/q/?a=abcd", "/q/?a=xyz", "/q/?a=1&a=abc&b", "/q/?a=abc&a=1&b", "/q/?a=%31&b=2", "/q/?k+k", "/q/?k%20k=1", "/q/?only", "/q/?only&none=1",
    "/q/?only=%", "/q/?&&only&", "/q/?ONLY", "/q/?a==1", "/q/?;a=1;b", "/q/#?a=1&b", "/q/?a=1#&b", "/half", "/grpc/S/M", "/tls", "/a", "/%61x", "/%41", "/sp%20ace", "/*x", "/", "//", "/?x", "/x/../exact",
    "/./exact", "//exact",
)):
    tell(g, f"path.{i}", "p", p)
tell(g, "grpc.type", "p", "/grpc/S/M", [("content-type", "application/grpc")], method="POST", body="x")
tell(g, "grpc.subtype", "p", "/grpc/S/M", [("content-type", "application/grpc+proto")], method="POST")
tell(g, "grpc.web", "p", "/grpc/S/M", [("content-type", "application/grpc-web")], method="POST")
tell(g, "star", "p", "*", method="OPTIONS")
tell(g, "no-slash", "p", "exact")
tell(g, "absolute.exact", "p", "http://h.test/exact?z")
tell(g, "absolute.no-path", "p", "http://h.test")
tell(g, "absolute.query-only", "p", "http://h.test?x=1")

# ---- hosts
g = Group("mix-match-host", CAT)


def vhost(name, domains, more=""):
    return f"- name: {name}\n  domains: {domains}\n{more}  routes:\n  - match: {{prefix: /}}\n    {said(name)}\n"


g.http("h", vhosts=(
    vhost("exact", "[a.test, 'a.test:8080', 'UPPER.test']") + vhost("suffix", "['*.a.test', '*-x.test']")
    + vhost("longer", "['*.b.a.test']") + vhost("prefix", "['a.*', 'pre.a.*']") + vhost("ip", "['127.0.0.1', '[::1]', '[::1]:80']")
    + vhost("numbers", "['10.*']")
    + "- name: secure\n  domains: [tls.test]\n  require_tls: ALL\n  routes:\n  - match: {prefix: /}\n    " + said("secure") + "\n"
    + "- name: outside\n  domains: [ext.test]\n  require_tls: EXTERNAL_ONLY\n  routes:\n  - match: {prefix: /}\n    " + said("outside") + "\n"
    + "- name: nothing\n  domains: [nothing.test]\n"
    + "- name: only\n  domains: [only.test]\n  routes:\n  - match: {path: /here}\n    " + said("only") + "\n"
), hcm="use_remote_address: true\n")
for i, h in enumerate((
    "a.test", "A.TEST", "a.test:8080", "a.test:80", "upper.test", "UPPER.TEST", "x.a.test", "x.a.test:99", "a-x.test", "-x.test", ".a.test",
    "y.b.a.test", "b.a.test", "a.org", "a.", "pre.a.test", "pre.a.org", "127.0.0.1", "[::1]", "[::1]:80", "[::1]:81", "10.1.2.3", "other.test", "a.test.",
    "tls.test", "ext.test", "nothing.test", "only.test", "a test", "a.test, b.test", "user@a.test", "a_b.test", "xn--9ca.test", "a.test:", ":80", "a.test:99999",
)):
    g.case(f"host.{i}")(lambda t, h=h: t.req("h", host=h, path="/here" if h != "only.test" else "/there"))
g.get("tls.forwarded", "h", "/x?y", [("x-forwarded-proto", "https")], host="tls.test")
g.get("tls.post", "h", "/x?y", host="tls.test", method="POST", body="x")
g.get("host.empty", "h", "/", host="")
g.get("host.none-1.0", "h", "/", host=None, version="1.0")
g.get("absolute.wins", "h", "http://a.test/", host="x.a.test")
g.get("absolute.port", "h", "http://a.test:8080/", host="x.a.test")
g.get("absolute.user", "h", "http://me:pw@a.test/", host="x.a.test")
