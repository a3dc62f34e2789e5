# SPDX-License-Identifier: Apache-2.0
"""Sends the cases of table.py into a running mesh and makes records of them that can be compared: what is random becomes a
verdict, what differs between runs (addresses, ids, times) a word.

    ask(mesh, case) -> dict        differences(want, have) -> [text]
"""
import collections
import json
import math
import os
import re
import ssl
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
from server import Reader
from table import CASES

LIMIT_S = 15
HASH = re.compile(r"\b[0-9a-f]{64}\b")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+\b")


def words(mesh, text):
    """@text with addresses of this run replaced by names."""
    text = ADDRESS.sub(lambda m: f"<{mesh.names[m[0]]}>" if m[0] in mesh.names else m[0], text)
    return HASH.sub("<hash>", UUID.sub("<uuid>", text))


def client(mesh, case):
    pod = mesh.world if case.pod == "world" else mesh.pods[case.pod]
    return pod.connect(mesh.where(case.to), timeout=LIMIT_S)


def read_answer(s, method):
    """(status, [(name, value)], body)."""
    r = Reader(s)
    lines = r.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = [(n.lower(), v.strip()) for n, _, v in (x.partition(":") for x in lines[1:])]
    low = dict(headers)
    body = b""
    if method == "HEAD" or status in (204, 304):
        pass
    elif "chunked" in low.get("transfer-encoding", ""):
        while size := int(r.until(b"\r\n").split(b";")[0], 16):
            body += r.take(size)
            r.take(2)
        while r.until(b"\r\n"):
            pass
    else:
        body = r.take(int(low.get("content-length", 0)))
    return status, headers, body


def request(case, key, headers=()):
    lines = [f"{case.method} {case.path} HTTP/1.1", f"Host: {case.host}", f"x-case: {key}"]
    lines += [f"{n}: {v}" for n, v in (*case.headers, *headers)]
    if case.do:
        lines.append(f"x-do: {case.do}")
    if case.body:
        lines.append(f"content-length: {len(case.body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + case.body


def exchange(mesh, case, key, headers=(), s=None):
    """One request, over @s or a connection of its own: (status, headers, body), or ("closed", [], b"")."""
    own = s is None
    try:
        s = s or client(mesh, case)
        s.sendall(request(case, key, headers))
        return read_answer(s, case.method)
    except (OSError, EOFError) as e:
        return ("late" if isinstance(e, TimeoutError) else "closed"), [], b""
    finally:
        if own and s:
            s.close()


# ---- records ---------------------------------------------------------------------------------------

def show_headers(mesh, headers, drop):
    out = []
    for name, value in sorted(headers):
        if name == "x-envoy-upstream-service-time":
            value = "<ms>"
        if name not in drop:
            out.append(f"{name}: {words(mesh, value)}")
    return out


def show(mesh, case, answer):
    """The record of one answer."""
    status, headers, body = answer
    record = {"status": status}
    drop = {"date"}
    try:
        seen = json.loads(body)
        record["server"] = seen["server"]
        record["line"] = seen["line"]
        record["request"] = show_headers(mesh, [tuple(h) for h in seen["headers"]], {"x-case", "x-do"})
        record["peer"] = words(mesh, seen["peer"])
        if seen["body"]:
            record["sent"] = seen["body"]
        drop.add("content-length")
    except (ValueError, KeyError, TypeError):
        record["body"] = words(mesh, body.decode("latin-1"))
    if status not in ("closed", "late"):
        record["response"] = show_headers(mesh, headers, drop)
    return record


def hits(mesh, key, settle=True):
    """{server: requests} of the case; waits for the ones on their way (mirrors, abandoned tries)."""
    end, last = time.monotonic() + 2, None
    while settle and time.monotonic() < end:
        now = mesh.hits.of(key)
        if now == last:
            break
        last = now
        time.sleep(.08)
    return mesh.hits.of(key)


def verdict(counts, expect):
    """"as expected" when all shares are within four sigma, else the counts."""
    n = sum(counts.values())
    near = set(counts) <= set(expect) and all(
        abs(counts.get(k, 0) - n * p) <= 4 * math.sqrt(n * p * (1 - p)) + (1e-9 if p < 1 else 0) for k, p in expect.items())
    return "as expected" if n and near else dict(sorted(counts.items()))


def server_of(answer):
    """Which server answered; without one, the status."""
    status, headers, body = answer
    try:
        return json.loads(body)["server"]
    except (ValueError, KeyError, TypeError):
        return dict(headers).get("x-backend", str(status))


# ---- kinds -----------------------------------------------------------------------------------------

def http(mesh, case, key):
    start = time.monotonic()
    answer = exchange(mesh, case, key)
    took = time.monotonic() - start
    record = show(mesh, case, answer)
    if case.took:
        least, most = case.took
        record["took"] = "in time" if least * .95 <= took <= most else f"{took:.2f} s instead of {least} to {most}"
    record["hits"] = hits(mesh, key)
    return record


def each(mesh, case, key):
    return {"answers": [f"{a[0]} {server_of(a)}" for a in (exchange(mesh, case, key) for _ in range(case.repeat))]}


def many(mesh, case, key):
    """Answers of @repeat requests over one connection (a new one whenever it is closed)."""
    out, s = [], None
    for _ in range(case.repeat):
        s = s or client(mesh, case)
        answer = exchange(mesh, case, key, s=s)
        out.append(answer)
        if answer[0] in ("closed", "late") or dict(answer[1]).get("connection") == "close":
            s.close()
            s = None
    if s:
        s.close()
    return out


def share(mesh, case, key):
    answers = many(mesh, case, key)
    if case.by == "hits":
        counts = hits(mesh, key)
    else:
        counts = collections.Counter(str(a[0]) if case.by == "status" else server_of(a) for a in answers)
    return {"share": verdict(counts, case.expect)}


def rotate(mesh, case, key):
    counts = collections.Counter(server_of(a) for a in many(mesh, case, key))
    even = set(counts) == set(case.expect) and max(counts.values()) == min(counts.values())
    return {"rotate": "evenly" if even else dict(sorted(counts.items()))}


def sticky(mesh, case, key):
    users = [f"user-{i}" for i in range(12)]
    reached = [{server_of(exchange(mesh, case, key, [("x-user", u)])) for _ in range(case.repeat)} for u in users]
    return {"one server a user": all(len(r) == 1 for r in reached), "several servers": len(set().union(*reached)) > 1}


def parallel(mesh, case, key):
    answers = [None] * case.repeat

    def one(i):
        answers[i] = exchange(mesh, case, key)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(case.repeat)]
    for t in threads:
        t.start()
        time.sleep(case.gap)
    for t in threads:
        t.join()
    flags = sorted({v for a in answers for n, v in a[1] if n == "x-envoy-overloaded"})
    return {"statuses": sorted(str(a[0]) for a in answers), "x-envoy-overloaded": flags}


def eject(mesh, case, key):
    bad = case.do.partition("=")[2].partition(";")[0]
    for _ in range(40):
        if mesh.hits.of(key).get(bad, 0) >= 2:
            break
        exchange(mesh, case, key)
    time.sleep(.1)
    after = [server_of(exchange(mesh, case, key)) for _ in range(case.repeat)]
    return {"failures": mesh.hits.of(key).get(bad, 0), "afterwards": sorted(set(after))}


def tcp(mesh, case, key):
    who, peers, echo = collections.Counter(), set(), True
    for _ in range(case.repeat):
        try:
            with client(mesh, case) as s:
                s.sendall(b"hello\n")
                r = Reader(s)
                name, peer = r.until(b"\n").decode().split(" ")
                who[name] += 1
                peers.add(words(mesh, peer))
                echo = r.until(b"\n") == b"hello" and echo
        except (OSError, EOFError, ValueError) as e:
            who["late" if isinstance(e, TimeoutError) else "closed"] += 1
    return {"who": verdict(who, case.expect) if case.expect else dict(who), "peers": sorted(peers), "echo": echo}


def banner(mesh, case, key):
    try:
        with client(mesh, case) as s:
            return {"says": Reader(s).until(b"\n").decode().strip()}
    except (OSError, EOFError) as e:
        return {"says": "late" if isinstance(e, TimeoutError) else "closed"}


def tls(mesh, case, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with client(mesh, case) as s, context.wrap_socket(s, server_hostname=case.host) as t:
            t.sendall(request(case, key))
            return {"server": server_of(read_answer(t, case.method))}
    except (OSError, EOFError) as e:
        return {"server": "late" if isinstance(e, TimeoutError) else "closed"}


def refused(mesh, case, key):
    try:
        with client(mesh, case) as s:
            s.sendall(request(case, key))
            data = s.recv(65536)
    except TimeoutError:
        return {"refused": "nothing comes and nothing ends"}
    except OSError:
        data = b""
    return {"refused": words(mesh, data[:60].decode("latin-1")) if data else True}


KINDS = {f.__name__: f for f in (http, each, share, rotate, sticky, parallel, eject, tcp, banner, tls, refused)}
turn = 0


def ask(mesh, case):
    """Sends @case and returns its record. May be called again with the same mesh: hits are counted anew."""
    global turn
    turn += 1
    return KINDS[case.kind](mesh, case, f"{case.name}.{turn}")


def differences(want, have):
    """Lines that tell what of a record is not as it was recorded."""
    out = []
    for key in sorted({*want, *have}):
        a, b = want.get(key), have.get(key)
        if isinstance(a, list) and isinstance(b, list):
            out += [f"{key}: no {x!r}" for x in a if x not in b] + [f"{key}: also {x!r}" for x in b if x not in a]
            if sorted(map(str, a)) == sorted(map(str, b)) and a != b:
                out.append(f"{key}: another order")
        elif a != b:
            out.append(f"{key}: {b!r} instead of {a!r}")
    return out


# ---- recorded answers --------------------------------------------------------------------------------

def read_records(file):
    """{case: record} of a file beside this one; empty without it."""
    try:
        with open(os.path.join(HERE, file), encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def write_records(file, records):
    """One case a line, in the order of the table."""
    lines = ",\n".join(f"{json.dumps(c.name)}: {json.dumps(records[c.name])}" for c in CASES if c.name in records)
    with open(os.path.join(HERE, file), "w", encoding="utf-8") as f:
        f.write("{\n" + lines + "\n}\n")
