"""Registry: a Group is one subject configuration with its cases."""

import re
import time

GROUPS = []

T = "type.googleapis.com/envoy.extensions."
ROUTER = f"""- name: envoy.filters.http.router
  typed_config: {{"@type": {T}filters.http.router.v3.Router}}
"""


def indent(text, n):
    pad = " " * n
    return "".join(pad + l + "\n" if l.strip() else "" for l in text.strip("\n").split("\n"))


def dedent(text):
    """textwrap.dedent, but a text that starts on the first line is left alone."""
    import textwrap

    return textwrap.dedent(text).strip("\n") + "\n" if text.strip() else ""


class Group:
    """name: golden file and prefix of the case ids; category: line in the closing table."""

    def __init__(self, name, category):
        self.name, self.category = name, category
        self.listeners, self.clusters, self.cases = [], [], []
        self.ports = []  # listener names in order: each gets a port
        self.top = ""  # further top level YAML of the bootstrap
        self.mask = ()  # headers whose value is not compared
        self.exact = ()  # headers whose value is compared although it is masked elsewhere
        GROUPS.append(self)

    # ---- configuration -------------------------------------------------
    def raw_listener(self, name, filter_chains, extra="", address="127.0.0.1"):
        self.ports.append(name)
        self.listeners.append(
            f"- name: {name}\n"
            f"  address: {{socket_address: {{address: {address}, port_value: @port:{name}@}}}}\n"
            + indent(dedent(extra), 2)
            + "  filter_chains:\n"
            + indent(dedent(filter_chains), 2)
        )

    def http(
        self,
        name,
        routes="",
        vhosts=None,
        filters="",
        hcm="",
        extra="",
        chain="",
        route_config="",
        router=True,
        codec="AUTO",
        address="127.0.0.1",
    ):
        """One listener with a connection manager. `routes` go in a catch-all virtual host."""
        self.raw_listener(
            name, hcm_chain(name, routes, vhosts, filters, hcm, chain, route_config, router, codec), extra, address
        )

    def cluster(self, name, hosts=None, extra="", type="STATIC", lb="ROUND_ROBIN", assignment=None, timeout="1s"):
        hosts = [name] if hosts is None else hosts
        text = (
            f"- name: {name}\n  type: {type}\n  connect_timeout: {timeout}\n"
            + (f"  lb_policy: {lb}\n" if lb else "")
            + indent(dedent(extra), 2)
        )
        if assignment is not None:
            text += f"  load_assignment:\n    cluster_name: {name}\n    endpoints:\n" + indent(dedent(assignment), 4)
        else:
            text += f"  load_assignment:\n    cluster_name: {name}\n    endpoints:\n    - lb_endpoints:\n"
            if not hosts:
                text = text.rstrip("\n") + " []\n"
            for h in hosts:
                text += "      - " + ep(h) + "\n"
        self.clusters.append(text)

    def yaml(self):
        text = (
            self.top
            + "static_resources:\n  listeners:\n"
            + indent("".join(self.listeners), 2)
            + "  clusters:\n"
            + indent("".join(self.clusters), 2)
        )
        return text

    # ---- cases ---------------------------------------------------------
    def case(self, name):
        def add(fn):
            assert name not in [c[0] for c in self.cases], f"{self.name}/{name} twice"
            assert re.fullmatch(r"[A-Za-z0-9_.+-]+", name), name
            self.cases.append((name, fn))
            return fn

        return add

    def get(self, name, port, path, headers=(), method="GET", body=b"", host="h.test", version="1.1", **kw):
        """Declares a case that is one plain request."""
        self.case(name)(lambda t: t.req(port, method, path, headers, body, host, version, **kw))


def script(group, name, port, *steps, ordered=False):
    """A case that takes its steps on one connection: text is sent, a float is slept; "answer" reads an answer ("head" one to HEAD),
    "state" and "closed?" tell whether the connection is open (the second waits for its end), "shut" ends the sending side.
    """

    @group.case(name)
    def _(t):
        c = t.conn(port)
        out = []
        for s in steps:
            if s in ("answer", "head"):
                out.append(t.answer(c, "HEAD" if s == "head" else "GET", ordered=ordered))
            elif s in ("state", "closed?"):
                out.append(c.state(0.1 if s == "state" else 2.0))
            elif s == "shut":
                c.half_close()
            elif isinstance(s, float):
                time.sleep(s)
            else:
                c.send(s)
        return out


def ep(host, more=""):
    """One endpoint in flow style."""
    return (
        f"{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: @up:{host}@}}}}}}"
        + (", " + more if more else "")
        + "}"
    )


def hcm_filter(name, routes="", vhosts=None, filters="", hcm="", route_config="", router=True, codec="AUTO"):
    if "delayed_close_timeout" not in hcm:  # Envoy's default of 1 s makes every closing case last that long
        hcm = dedent(hcm) + "delayed_close_timeout: 0.1s\n"
    if vhosts is None:
        vhosts = "- name: all\n  domains: ['*']\n  routes:\n" + indent(dedent(routes), 2)
    return (
        f"- name: envoy.filters.network.http_connection_manager\n"
        f"  typed_config:\n"
        f'    "@type": {T}filters.network.http_connection_manager.v3.HttpConnectionManager\n'
        f"    stat_prefix: {name}\n"
        + (f"    codec_type: {codec}\n" if codec else "")
        + indent(dedent(hcm), 4)
        + f"    route_config:\n      name: {name}\n"
        + indent(dedent(route_config), 6)
        + "      virtual_hosts:\n"
        + indent(dedent(vhosts), 6)
        + "    http_filters:\n"
        + indent(dedent(filters), 4)
        + (indent(ROUTER, 4) if router else "")
    )


def hcm_chain(name, routes="", vhosts=None, filters="", hcm="", chain="", route_config="", router=True, codec="AUTO"):
    f = indent(hcm_filter(name, routes, vhosts, filters, hcm, route_config, router, codec), 2)
    body = dedent(chain) + "filters:\n" + f
    lines = body.rstrip("\n").split("\n")
    return "- " + lines[0] + "\n" + "".join("  " + l + "\n" for l in lines[1:])
