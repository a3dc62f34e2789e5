"""What a case gets: clients towards the subject, the upstreams' log, normalised records."""

import hashlib
import json
import os
import time

from .client import Closed, Conn, request


class Ctx:
    def __init__(self, group, ports, up, subject, normal, tmp):
        self.group, self.ports, self.up, self.subject, self.normal, self.tmp = group, ports, up, subject, normal, tmp
        self.open = []

    def fresh(self):
        if self.up.closing:  # let the subject see the end of a pooled connection before it can use it again
            time.sleep(0.06)
            self.up.closing = False
        self.up.reset()
        self.normal.mask = set(self.group.mask)
        self.normal.exact = set(self.group.exact)
        for c in self.open:
            c.close()
        self.open = []

    def mask(self, *names):
        self.normal.mask.update(names)

    # ---- clients ---------------------------------------------------------
    def conn(self, port, timeout=4.0, source=None, host="127.0.0.1"):
        c = Conn(self.ports[port], timeout, source, host)
        self.open.append(c)
        return c

    # ---- one exchange ----------------------------------------------------
    def req(
        self,
        port,
        method="GET",
        path="/",
        headers=(),
        body=b"",
        host="h.test",
        version="1.1",
        chunked=False,
        trailers=(),
        seen=False,
        ordered=False,
        timeout=None,
        source=None,
        only=None,
        interim=False,
        persist=None,
    ):
        c = self.conn(port, source=source)
        c.send(request(method, path, headers, body, host, version, chunked, trailers))
        r = self.answer(c, method, ordered=ordered, timeout=timeout, interim=interim)
        if seen:
            r["seen"] = self.seen()
        closes = any(h == ["connection", "close"] for h in r.get("headers", ()))
        if persist or (persist is None and closes):
            r["conn"] = c.state(2.0 if closes else 0.05)
        if only:
            r = {k: r[k] for k in only if k in r}
        c.close()
        return r

    def answer(self, c, method="GET", ordered=False, timeout=None, interim=False):
        try:
            a = c.answer(method, timeout)
        except Closed as e:
            return {"answer": "none", "conn": str(e)}
        except TimeoutError:
            return {"answer": "none", "conn": "open, no answer"}
        return self.rec(a, ordered, interim)

    def rec(self, a, ordered=False, interim=False):
        r = {"status": a.status, "headers": self.normal.headers(a.headers, lower=not ordered, ordered=ordered)}
        e = self.normal.echo(a.body, ordered)
        if e:
            r["upstream"] = e
            r["headers"] = [h if h[0].lower() != "content-length" else [h[0], "*"] for h in r["headers"]]
        elif a.body:
            r["body"] = self.normal.body(a.body)
        if a.trailers:
            r["trailers"] = self.normal.headers(a.trailers)
        if not a.complete:
            r["cut"] = a.framing
        if interim or a.interim:
            r["interim"] = [[s, self.normal.headers(h)] for s, h in a.interim]
        return r

    def status(self, port, path="/", headers=(), method="GET", **kw):
        return self.req(port, method, path, headers, **kw).get("status")

    def backend(self, port, path="/", headers=(), **kw):
        """Name of the upstream that answered, or the status."""
        r = self.req(port, "GET", path, headers, **kw)
        return (
            r.get("upstream", {}).get("server")
            or dict(map(tuple, r.get("headers", ()))).get("x-backend")
            or r.get("status")
        )

    def backends(self, port, n, path="/", headers=(), conn=None):
        """Names of the upstreams of n requests over one connection."""
        c = conn or self.conn(port)
        out = []
        for _ in range(n):
            c.send(request("GET", path, headers))
            try:
                a = c.answer()
            except (Closed, TimeoutError) as e:
                out.append(type(e).__name__)
                c = self.conn(port)
                continue
            out.append(a.get("x-backend") or a.status)
            if a.get("connection") == "close":
                c.close()
                c = self.conn(port)
        return out

    # ---- the other side --------------------------------------------------
    def seen(self, ordered=False, wait=0):
        if wait:
            end = time.monotonic() + 2
            while len(self.up.seen) < wait and time.monotonic() < end:
                time.sleep(0.01)
        return [self.normal.seen(json.loads(json.dumps(e)), ordered) for e in self.up.seen]

    def attempts(self):
        return [e["server"] for e in self.up.seen]

    def settle(self, check, timeout=3.0, step=0.02):
        """True as soon as check() holds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if check():
                return True
            time.sleep(step)
        return bool(check())

    def stats(self, *names):
        s = self.subject.stats()
        return {n: s.get(n) for n in names}

    def delta(self, names, fn, timeout=2.0):
        """How much the counters move through fn(); waits a moment for those that are written at the end of a stream."""
        a = self.subject.stats()
        fn()
        last, same, end = None, 0, time.monotonic() + timeout
        while same < 3 and time.monotonic() < end:
            time.sleep(0.05)
            b = self.subject.stats()
            now = {n: b.get(n, 0) - a.get(n, 0) if n in a or n in b else None for n in names}
            same = same + 1 if now == last else 0
            last = now
        return last

    # ---- logs ------------------------------------------------------------
    def _log(self, name):
        path = self.subject.out_path if name == "stdout" else os.path.join(self.tmp, name)
        try:
            with open(path, encoding="utf-8", errors="replace") as f:
                return f.read().split("\n")[:-1]
        except OSError:
            return []

    def count_lines(self, name):
        return len(self._log(name))

    def lines(self, name, n=1, timeout=3.0, skip=0):
        """n lines of a log (a file of the run's folder, or `stdout`), past `skip` ones; shows a line too many, too."""
        self.settle(lambda: len(self._log(name)) >= skip + n, timeout)
        return [self.normal.text(x) for x in self._log(name)[skip:]]

    def no_lines(self, name, skip, wait=0.3):
        """What came into a log within `wait` seconds: nothing, it is hoped."""
        time.sleep(wait)
        return [self.normal.text(x) for x in self._log(name)[skip:]]


def digest(data):
    """Length and checksum of a long transfer."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


def took(fn, low, high):
    """(result of fn, verdict whether it took between low and high seconds)."""
    t = time.monotonic()
    r = fn()
    d = time.monotonic() - t
    return r, ("in time" if low <= d <= high else f"{'early' if d < low else 'late'}: {d:.2f} s")


def share(names, bounds):
    """Verdict on a distribution: {name: (low, high)} as parts of the whole."""
    out = {}
    names = [str(n) for n in names]
    bounds = {str(n): b for n, b in bounds.items()}
    for n, (lo, hi) in bounds.items():
        p = names.count(n) / len(names)
        out[n] = "within" if lo <= p <= hi else f"{p:.2f} not in {lo}..{hi}"
    rest = sorted(set(names) - set(bounds))
    if rest:
        out["others"] = rest
    return out


def cycle(names, n):
    """Verdict on strict rotation: every window of n holds n different names, in one order."""
    if len(names) < 2 * n:
        return "too few"
    first = names[:n]
    ok = len(set(first)) == n and all(names[i] == first[i % n] for i in range(len(names)))
    return "rotates" if ok else "no rotation: " + " ".join(map(str, names[:12]))
