"""Normalisation of what was observed, and the difference of two records."""

import hashlib
import json
import re

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LOOPBACK_PORT = re.compile(r"(127\.0\.0\.\d{1,3}):(\d{4,5})(?!\d)")
DROP = {"date"}
STAR = {"server", "x-envoy-upstream-service-time"}


def own_addresses():
    """This machine's IPv4 addresses other than loopback: Envoy puts one in x-forwarded-for for a loopback client."""
    try:
        with open("/proc/net/fib_trie", encoding="ascii") as f:
            text = f.read()
    except OSError:
        return []
    found = re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", text)
    return sorted({a for a in found if not a.startswith("127.")}, key=len, reverse=True)


class Normal:
    """Replaces what may differ from run to run: ports by their names, identifiers by a mark."""

    def __init__(self, ports, tmp):
        self.names = {str(p): n for n, p in ports.items()}
        self.tmp = tmp
        self.mask, self.exact = set(), set()
        own = own_addresses()
        self.own = re.compile(r"(?<![\d.])(" + "|".join(map(re.escape, own)) + r")(?![\d.])") if own else None
        self.re = re.compile(r"(?<!\d)(" + "|".join(sorted(self.names, key=len, reverse=True)) + r")(?!\d)")

    def text(self, s):
        s = s.replace(self.tmp, "<tmp>") if self.tmp else s
        s = UUID.sub("<uuid>", s)
        s = self.re.sub(lambda m: "<" + self.names[m.group(1)] + ">", s)
        s = LOOPBACK_PORT.sub(r"\1:<port>", s)
        if self.own:
            s = self.own.sub("<own address>", s)
        return s

    def headers(self, pairs, drop=True, lower=True, ordered=False):
        out = []
        for n, v in pairs:
            ln = n.lower()
            if drop and ln in DROP and ln not in self.exact:
                continue
            if ln in self.mask or (ln in STAR and ln not in self.exact):
                v = "*"
            out.append([ln if lower else n, self.text(v)])
        return out if ordered else sorted(out, key=lambda p: p[0].lower())

    def body(self, b):
        if len(b) > 2048:
            return {"length": len(b), "sha256": hashlib.sha256(b).hexdigest()[:16]}
        try:
            return self.text(b.decode("utf-8"))
        except UnicodeDecodeError:
            return {"hex": b.hex()}

    def echo(self, b, ordered=False):
        """The upstream's own account of the request, when the body is one."""
        if not b.startswith(b'{"server"'):
            return None
        try:
            e = json.loads(b)
        except ValueError:
            return None
        return self.seen(e, ordered)

    def seen(self, e, ordered=False):
        e = {k: v for k, v in e.items() if v not in (None, [], "") and k not in ("conn", "nth")}
        e["line"] = self.text(e["line"])
        e["headers"] = self.headers(e.get("headers", ()), drop=False, lower=False, ordered=ordered)
        if "trailers" in e:
            e["trailers"] = self.headers(e["trailers"], drop=False, lower=False)
        if "body" in e:
            e["body"] = self.text(e["body"])
        return e


def diff(want, got, path=""):
    """Lines that say where two records differ."""
    if isinstance(want, dict) and isinstance(got, dict):
        return diff_dicts(want, got, path)
    if is_pairs(want) and is_pairs(got):
        return diff_pairs([tuple(x) for x in want], [tuple(x) for x in got], path)
    if isinstance(want, list) and isinstance(got, list):
        out = []
        if len(want) != len(got):
            out.append(f"{path}: {len(got)} items for {len(want)}")
        for i, (a, b) in enumerate(zip(want, got)):
            out += diff(a, b, f"{path}[{i}]")
        return out
    return [] if want == got and type(want) is type(got) else [f"{path or 'result'}: {short(got)} for {short(want)}"]


def diff_dicts(want, got, path):
    out = []
    for k in sorted(set(want) | set(got)):
        p = f"{path}.{k}" if path else k
        if k not in want:
            out.append(f"{p}: not wanted: {short(got[k])}")
        elif k not in got:
            out.append(f"{p}: missing: {short(want[k])}")
        else:
            out += diff(want[k], got[k], p)
    return out


def diff_pairs(w, g, path):
    if w == g:
        return []
    out = [f"{path}: missing {n}: {short(v)}" for n, v in w if w.count((n, v)) > g.count((n, v))]
    out += [f"{path}: not wanted {n}: {short(v)}" for n, v in g if g.count((n, v)) > w.count((n, v))]
    return out or [f"{path}: other order: {short([n for n, _ in g])} for {short([n for n, _ in w])}"]


def is_pairs(x):
    return isinstance(x, list) and all(
        isinstance(i, list) and len(i) == 2 and isinstance(i[0], str) and isinstance(i[1], str) for i in x
    )


def short(x):
    s = json.dumps(x, ensure_ascii=False)
    return s if len(s) < 160 else s[:150] + "…"
