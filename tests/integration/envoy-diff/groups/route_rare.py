"""Conditions of routes that need TLS, metadata or cookies, and rate limit actions over addresses and metadata."""

from lib.case import Group

CAT = "routing"


def direct(n, match):
    return f"- match: {{prefix: /{n}, {match}}}\n  direct_response: {{status: 200, body: {{inline_string: {n}}}}}\n"


g = Group("route-tls-context", CAT)
TLS = {
    "presented": "tls_context: {presented: true}", "not-presented": "tls_context: {presented: false}",
    "validated": "tls_context: {validated: true}", "not-validated": "tls_context: {validated: false}",
    "both": "tls_context: {presented: false, validated: true}", "neither": "tls_context: {presented: false, validated: false}", "empty": "tls_context: {}",
}
META = {
    "m-exact": "dynamic_metadata: [{filter: a, path: [{key: b}], value: {string_match: {exact: c}}}]",
    "m-invert": "dynamic_metadata: [{filter: a, path: [{key: b}], value: {string_match: {exact: c}}, invert: true}]",
    "m-present": "dynamic_metadata: [{filter: a, path: [{key: b}], value: {present_match: true}}]",
    "m-null": "dynamic_metadata: [{filter: a, path: [{key: b}, {key: c}], value: {null_match: {}}}]",
    "m-list": "dynamic_metadata: [{filter: a, path: [{key: b}], value: {list_match: {one_of: {string_match: {prefix: c}}}}}]",
    "m-or": "dynamic_metadata: [{filter: a, path: [{key: b}], value: {or_match: {value_matchers: [{bool_match: false}, {double_match: {exact: 1}}]}}}]",
    "m-two": "dynamic_metadata: [{filter: a, path: [{key: b}], value: {bool_match: true}, invert: true}, {filter: a, path: [{key: b}], value: {present_match: true}}]",
}
g.http("r", "".join(direct(n, m) for n, m in {**TLS, **META}.items()) + "- match: {prefix: /}\n  direct_response: {status: 200, body: {inline_string: rest}}\n")
for n in {**TLS, **META}:
    g.get(n, "r", "/" + n)

g = Group("route-cookie", CAT)
COOKIE = {
    "exact": "cookies: [{name: a, string_match: {exact: one}}]",
    "prefix": "cookies: [{name: a, string_match: {prefix: 'on'}}]",
    "regex": "cookies: [{name: a, string_match: {safe_regex: {regex: 'o.e'}}}]",
    "nocase": "cookies: [{name: a, string_match: {exact: ONE, ignore_case: true}}]",
    "invert": "cookies: [{name: a, string_match: {exact: one}, invert_match: true}]",
    "two": "cookies: [{name: a, string_match: {exact: one}}, {name: b, string_match: {exact: two}}]",
    "blank": "cookies: [{name: a, string_match: {exact: ''}}]",
}
g.http("r", "".join(direct(n, m) for n, m in COOKIE.items()) + "- match: {prefix: /}\n  direct_response: {status: 200, body: {inline_string: rest}}\n")
SENT = {
    "none": [], "one": ["a=one"], "other": ["a=two"], "second": ["b=two; a=one"], "twice": ["a=two; a=one"], "again": ["a=one; a=two"], "lines": ["a=two", "a=one"], "more": ["b=x", "b=two; a=one"],
    "quoted": ['a="one"'], "spaces": [" a = one "], "tight": ["b=two;a=one;"], "upper": ["A=one"], "empty": ["a="], "bare": ["a"], "value": ["a=one=x"], "junk": [";;=;a=one"], "trail": ["a=one ; b=two ;"], "half": ['a="one'], "quote": ['a="'], "tab": ["b=1;\ta=one"],
}
for n in COOKIE:
    for k, v in SENT.items():
        g.get(f"{n}.{k}", "r", "/" + n, [("cookie", x) for x in v])

g = Group("ratelimit-actions-more", "rate limit")
g.cluster("b1")


def limited(n, actions, entries, metadata=""):
    return f"""
- match: {{prefix: /{n}}}
  route:
    cluster: b1
    rate_limits: [{{actions: [{actions}]}}]
  {metadata}
  typed_per_filter_config:
    envoy.filters.http.local_ratelimit:
      "@type": @T@filters.http.local_ratelimit.v3.LocalRateLimit
      stat_prefix: l
      token_bucket: {{max_tokens: 1000, tokens_per_fill: 1000, fill_interval: 3600s}}
      filter_enabled: {{default_value: {{numerator: 100}}}}
      filter_enforced: {{default_value: {{numerator: 100}}}}
      descriptors:
      - entries: [{entries}]
        token_bucket: {{max_tokens: 1, tokens_per_fill: 1, fill_interval: 3600s}}
"""


MORE = {
    "mask": ("masked_remote_address: {}", "{key: masked_remote_address, value: 127.0.0.1/32}"),
    "mask24": ("masked_remote_address: {v4_prefix_mask_len: 24}", "{key: masked_remote_address, value: 127.0.0.0/24}"),
    "mask25": ("masked_remote_address: {v4_prefix_mask_len: 25}", "{key: masked_remote_address, value: 10.1.2.128/25}"),
    "mask12": ("masked_remote_address: {v4_prefix_mask_len: 12}", "{key: masked_remote_address, value: 10.16.0.0/12}"),
    "mask0": ("masked_remote_address: {v4_prefix_mask_len: 0}", "{key: masked_remote_address, value: 0.0.0.0/0}"),
    "mask6": ("masked_remote_address: {v6_prefix_mask_len: 64}", "{key: masked_remote_address, value: '2001:db8::/64'}"),
    "mask61": ("masked_remote_address: {v6_prefix_mask_len: 61}", "{key: masked_remote_address, value: '2001:db8:0:8::/61'}"),
    "any": ("masked_remote_address: {v4_prefix_mask_len: 24}", "{key: masked_remote_address}"),
    "route-meta": ("metadata: {descriptor_key: k, metadata_key: {key: f, path: [{key: x}]}, source: ROUTE_ENTRY}", "{key: k, value: hello}", "metadata: {filter_metadata: {f: {x: hello}}}"),
    "route-deep": ("metadata: {descriptor_key: k, metadata_key: {key: f, path: [{key: x}, {key: 'y'}]}, source: ROUTE_ENTRY}", "{key: k, value: deep}", "metadata: {filter_metadata: {f: {x: {'y': deep}}}}"),
    "route-number": ("metadata: {descriptor_key: k, metadata_key: {key: f, path: [{key: x}]}, source: ROUTE_ENTRY, default_value: dflt}", "{key: k, value: dflt}", "metadata: {filter_metadata: {f: {x: 5}}}"),
    "route-missing": ("metadata: {descriptor_key: k, metadata_key: {key: f, path: [{key: x}]}, source: ROUTE_ENTRY}", "{key: k}"),
    "route-default": ("metadata: {descriptor_key: k, metadata_key: {key: f, path: [{key: x}]}, source: ROUTE_ENTRY, default_value: dflt}", "{key: k, value: dflt}"),
    "route-skip": ("metadata: {descriptor_key: k, metadata_key: {key: f, path: [{key: x}]}, source: ROUTE_ENTRY, skip_if_absent: true}, generic_key: {descriptor_value: g}".replace("}, generic", "}}, {generic"), "{key: generic_key, value: g}"),
    "dynamic": ("metadata: {descriptor_key: k, metadata_key: {key: f, path: [{key: x}]}}", "{key: k}", "metadata: {filter_metadata: {f: {x: hello}}}"),
    "dynamic-default": ("metadata: {descriptor_key: k, metadata_key: {key: f, path: [{key: x}]}, default_value: dflt}", "{key: k, value: dflt}"),
    "generic-format": ("generic_key: {descriptor_value: '%REQ(x-a)%'}", "{key: generic_key, value: one}"),
    "generic-literal": ("generic_key: {descriptor_value: '%REQ(x-a)%'}", "{key: generic_key, value: '%REQ(x-a)%'}"),
    "header-format": ("header_value_match: {descriptor_value: 'v-%REQ(x-a)%', headers: [{name: x-a, present_match: true}]}", "{key: header_match, value: v-one}"),
}
g.http("r", "".join(limited(n, "{" + v[0] + "}", *v[1:]) for n, v in MORE.items()), filters="""
- name: envoy.filters.http.local_ratelimit
  typed_config:
    "@type": @T@filters.http.local_ratelimit.v3.LocalRateLimit
    stat_prefix: l
""", hcm="use_remote_address: true\nxff_num_trusted_hops: 1\n")
XFF = {"mask25": "10.1.2.200", "mask12": "10.17.3.4", "mask6": "2001:db8::1:2:3:4", "mask61": "2001:db8:0:9::1"}
for n in MORE:
    headers = [("x-a", "one")] + ([("x-forwarded-for", XFF[n])] if n in XFF else [])
    g.case(n)(lambda t, n=n, h=headers: [t.status("r", "/" + n, h) for _ in range(3)])

g = Group("route-parameters", CAT)
g.cluster("b1")
PARAMETERS = """
- match: {path: /exact}
  direct_response: {status: 200, body: {inline_string: exact}}
- match: {safe_regex: {regex: "/r[0-9]+"}}
  direct_response: {status: 200, body: {inline_string: regex}}
- match: {path_separated_prefix: /sep}
  route: {cluster: b1, prefix_rewrite: /new}
- match: {prefix: /pre/x}
  route: {cluster: b1, prefix_rewrite: /new}
- match: {prefix: /re}
  redirect: {prefix_rewrite: /to}
- match: {prefix: /;}
  direct_response: {status: 200, body: {inline_string: semicolon}}
- match: {prefix: /}
  direct_response: {status: 200, body: {inline_string: rest}}
"""
g.http("cut", PARAMETERS, route_config="ignore_path_parameters_in_path_matching: true\n")
g.http("whole", PARAMETERS)
for port in ("cut", "whole"):
    for i, p in enumerate(("/exact", "/exact;a=1", "/exact;a=1?q", "/exact?q;a", "/exact;a/b", "/r12;x", "/sep;v=1", "/sep;v/more", "/sep/a;v=1?q=1;2", "/pre/x;a=1", "/pre;a=1/x", "/re;x=1/y?z", "/;", "/;x", "/%3Bx")):
        g.get(f"{port}.{i}", port, p)

g = Group("route-log-names", CAT)
g.cluster("b1")
FORMAT = "|".join(("%VIRTUAL_CLUSTER_NAME%", "%METADATA(ROUTE:f:text)%", "%METADATA(ROUTE:f:n)%", "%METADATA(ROUTE:f:b)%", "%METADATA(ROUTE:f:deep:x)%", "%METADATA(ROUTE:f:deep)%", "%METADATA(ROUTE:f:list)%", "%METADATA(ROUTE:f)%", "%METADATA(ROUTE:none)%", "%METADATA(ROUTE:f:text):3%", "%METADATA(CLUSTER:f:text)%", "%METADATA(DYNAMIC:f:text)%", "%DYNAMIC_METADATA(f:text)%", "%METADATA(ROUTE:f:half)%", "%METADATA(ROUTE:f:null)%"))
LOG = """
access_log:
- name: f
  typed_config:
    "@type": @T@access_loggers.file.v3.FileAccessLog
    path: "@tmp@/names.log"
    log_format: {text_format_source: {inline_string: "FORMAT\\n"}}
- name: f
  typed_config:
    "@type": @T@access_loggers.file.v3.FileAccessLog
    path: "@tmp@/names.json"
    log_format: {json_format: {vc: "%VIRTUAL_CLUSTER_NAME%", text: "%METADATA(ROUTE:f:text)%", n: "%METADATA(ROUTE:f:n)%", b: "%METADATA(ROUTE:f:b)%", deep: "%METADATA(ROUTE:f:deep)%", list: "%METADATA(ROUTE:f:list)%", both: "a %METADATA(ROUTE:f:n)%", none: "%METADATA(ROUTE:f:none)%"}}
""".replace("FORMAT", FORMAT)
VHOSTS = """
- name: clusters
  domains: [vc.test]
  virtual_clusters:
  - {name: posts, headers: [{name: ":method", string_match: {exact: POST}}, {name: ":path", string_match: {prefix: /p}}]}
  - {name: users, headers: [{name: ":path", string_match: {safe_regex: {regex: "/users/[0-9]+"}}}]}
  routes:
  - match: {prefix: /direct}
    direct_response: {status: 200}
  - match: {prefix: /}
    route: {cluster: b1}
- name: all
  domains: ['*']
  routes:
  - match: {prefix: /meta}
    metadata: {filter_metadata: {f: {text: hello, n: 5, b: true, "null": null, deep: {x: inner, y: 1}, list: [1, two, {z: 3}]}, g: {}}}
    route: {cluster: b1}
    response_headers_to_add: [{header: {key: x-meta, value: "%METADATA(ROUTE:f:text)% %METADATA(ROUTE:f:n)%"}}]
  - match: {prefix: /}
    route: {cluster: b1}
"""
g.http("l", vhosts=VHOSTS, hcm=LOG)


def named(case, *a, **kw):
    @g.case(case)
    def _(t):
        had = [t.count_lines("names.log"), t.count_lines("names.json")]
        r = t.req("l", *a, headers=[("x-do", "status=200")], **kw)
        return [r, t.lines("names.log", skip=had[0]), t.lines("names.json", skip=had[1])]


for i, (m, p, h) in enumerate((("POST", "/p/1", "vc.test"), ("GET", "/p/1", "vc.test"), ("GET", "/users/12", "vc.test"), ("GET", "/users/x", "vc.test"), ("GET", "/users/12?q", "vc.test"), ("POST", "/direct", "vc.test"), ("GET", "/plain", "h.test"), ("GET", "/meta", "h.test"))):
    named(str(i), m, p, host=h)
