# SPDX-License-Identifier: Apache-2.0
"""What becomes of the rows: JSON, a Markdown page with the ratios that count, and an SVG chart. No measuring here."""
import json
import os
import platform
import re

BASE, PAIR = "none", "envoy"

# (what, case, subject, against, field, kind, floor, later). "least": ours / theirs, at least the floor;
# "most": at most; "speed": theirs / ours, at least (for latencies).
GOALS = (
    ("HTTP, 32 connections, `both`: throughput against no mesh", "http32", "skiff-both", BASE, "rps", "least", 0.70, 0.95),
    ("HTTP, 32 connections, `both`: CPU per request against no mesh", "http32", "skiff-both", BASE, "cpu_us_per_req", "most", 1.5, 1.1),
    ("HTTP, 1 connection, `both`: p50 against no mesh", "http1", "skiff-both", BASE, "p50_us", "most", 1.35, 1.1),
    ("HTTP, 32 connections, TCP only: throughput against the Envoy pair", "http32", "skiff-tcp", PAIR, "rps", "least", 4, 5),
    ("HTTP, 32 connections, `both`: throughput against the Envoy pair", "http32", "skiff-both", PAIR, "rps", "least", 6, 8.5),
    ("1,000 requests/s over 16 connections, `both`: p50 against the Envoy pair", "rate1000", "skiff-both", PAIR, "p50_us", "most", 1 / 3, 1 / 5),
    ("1,000 requests/s over 16 connections, `both`: p99 against the Envoy pair", "rate1000", "skiff-both", PAIR, "p99_us", "most", 1 / 3, 1 / 5),
    ("1,000 requests/s over 16 connections, TCP only: p50 against the Envoy pair", "rate1000", "skiff-tcp", PAIR, "p50_us", "most", 1 / 3, 1 / 5),
    ("1,000 requests/s over 16 connections, TCP only: p99 against the Envoy pair", "rate1000", "skiff-tcp", PAIR, "p99_us", "most", 1 / 3, 1 / 5),
    ("A connection a request, TCP only: throughput against the Envoy pair", "close32", "skiff-tcp", PAIR, "rps", "least", 1.6, 2.2),
    ("A connection a request, `both`: throughput against the Envoy pair", "close32", "skiff-both", PAIR, "rps", "least", 1.6, 2.2),
    ("Dubbo, 32 connections, TCP only: throughput against the dubbo_proxy pair", "dubbo32", "skiff-tcp", "envoy-dubbo", "rps", "least", 2, 2.5),
    ("Dubbo, 32 connections, `both`: throughput against the dubbo_proxy pair", "dubbo32", "skiff-both", "envoy-dubbo", "rps", "least", 3, 4.5),
    ("Dubbo, 4 x 16 in flight, `both`: throughput against the dubbo_proxy pair", "dubbo4x16", "skiff-both", "envoy-dubbo", "rps", "least", 8, 15),
    ("L4 verdict, 32 connections: throughput against no mesh", "http32", "skiff-l4", BASE, "rps", "least", 0.98, 1.0),
    ("L4 verdict, 1 connection: p50 against no mesh", "http1", "skiff-l4", BASE, "p50_us", "speed", 0.98, 1.0),
    ("RSS, 2 pods, 1,000 idle connections, `auto`: against the Envoy pair", "idle", "skiff-auto", PAIR, "rss_kb", "most", 1 / 4, 1 / 10),
)
COLOURS = {"none": "#9aa5b1", "skiff-tcp": "#7cc4fa", "skiff-auto": "#3994e0", "skiff-both": "#1d5fa8", "skiff-l4": "#2f9e78",
           "envoy": "#d9822b", "envoy-dubbo": "#d9822b", "envoy-generic": "#e8b06a"}


def ratios(rows):
    """[(what, ratio or None, kind, floor, later, reached)] of the goals whose rows were measured."""
    by = {(r["case"], r["subject"]): r for r in rows}
    out = []
    for what, case, subject, against, field, kind, floor, later in GOALS:
        ours, theirs = by.get((case, subject)), by.get((case, against))
        if not ours or not theirs:
            continue
        a, b = ours[field], theirs[field]
        ratio = None if not a or not b else b / a if kind == "speed" else a / b
        reached = ratio is not None and (ratio <= floor if kind == "most" else ratio >= floor)
        out.append((what, ratio, kind, floor, later, reached))
    return out


# ---- Markdown ------------------------------------------------------------------------------------

def number(v, digits=0):
    return "" if v is None else f"{v:,.{digits}f}"


def machine():
    model = "?"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        found = re.search(r"model name\s*: (.+)", f.read())
        model = found[1] if found else model
    kernel = platform.release().split("-")[0]
    return f"{os.cpu_count()} CPUs ({model}), Linux {kernel}"


def goal_table(rows):
    out = ["| | measured | floor | later | |", "|---|---|---|---|---|"]
    for what, ratio, kind, floor, later, reached in ratios(rows):
        at = "at most " if kind == "most" else ""
        shown = "failed" if ratio is None else f"{ratio:.2f}"
        out.append(f"| {what} | {shown} | {at}{floor:.3g} | {later:.3g} | {'reached' if reached else '**missed**'} |")
    return out if len(out) > 2 else []


def case_table(rows, case, texts):
    out = [f"### {case.text}", "",
           "| subject | requests/s [min .. max] | p50 us [min .. max] | p99 us | CPU us a request | RSS MiB of the proxies |",
           "|---|---|---|---|---|---|"]
    for r in rows:
        if r["case"] != case.name:
            continue
        if "error" in r:
            out.append(f"| {texts[r['subject']]} | **failed**: {r['error']} | | | | |")
            continue
        rps = f"{number(r['rps'])} [{number(r['rps_min'])} .. {number(r['rps_max'])}]" if r["rps"] else ""
        p50 = f"{number(r['p50_us'])} [{number(r['p50_us_min'])} .. {number(r['p50_us_max'])}]" if r["p50_us"] else ""
        rss = number(r["rss_kb"] / 1024, 1) if r["rss_kb"] else ""
        out.append(f"| {texts[r['subject']]} | {rps} | {p50} | {number(r['p99_us'])} | "
                   f"{number(r['cpu_us_per_req'], 1)} | {rss} |")
    return out + [""]


def page(rows, o):
    texts = {s.name: s.text for s in o.subjects}
    out = ["# Benchmarks", "", "Written by `make bench`; only ratios within one run mean anything.", "",
           f"{machine()}. {o.rounds} rounds of {o.secs:g} s, medians; the subjects of a case take turns within each round.",
           "Two pods a subject (network namespaces on a bridge): the load generator in one, nginx and the Dubbo origin in the other. "
           "One worker each; router, local rate limit (HTTP) and statistics on, access log off. The Envoy pair is two real Envoys 1.40 "
           "behind nft redirect, outbound and inbound, as sidecars are. CPU is that of load generator, proxies and origin together, "
           "kernel included. The p50 of one connection has two modes: all programs on one CPU, or spread over two.", "",
           "Again: `make bench`, about 13 minutes. A look at some of it: `make bench QUICK=1 CASES=http32,dubbo32 SUBJECTS=skiff-both,envoy` "
           "(`tests/bench/run --list`). Where the time goes: [profile.md](profile.md).", "",
           "![throughput](bench.svg)", ""]
    goals = goal_table(rows)
    if goals:
        out += ["## What it must reach", "", *goals, ""]
    out += ["## All figures", ""]
    for case in o.cases:
        out += case_table(rows, case, texts)
    return "\n".join(out)


# ---- SVG -------------------------------------------------------------------------------------------

WIDTH, LABEL, BAR, GAP, HEAD = 860, 210, 16, 4, 40


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def text_at(x, y, text, extra=""):
    return f'<text x="{x:g}" y="{y:g}" {extra}>{escape(text)}</text>'


def panel(y, case, rows, texts):
    """Bars of one case, of its rates, or of its p50 where the rate is given; returns (elements, height)."""
    given = "rate" in case.how
    key = "p50_us" if given else "rps"
    top = max(r[key] for r in rows)
    out = [text_at(0, y + 16, case.text + (": p50, shorter is better" if given else ""), 'class="h"')]
    y += 26
    for r in rows:
        width = (WIDTH - LABEL - 230) * r[key] / top
        out += [text_at(LABEL - 8, y + 12, texts[r["subject"]], 'text-anchor="end"'),
                f'<rect x="{LABEL}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" fill="{COLOURS[r["subject"]]}"/>',
                text_at(LABEL + width + 6, y + 12, f"{r['rps']:,.0f}/s, p50 {r['p50_us']:,.0f} us, p99 {r['p99_us']:,.0f} us", 'class="n"')]
        y += BAR + GAP
    return out, 26 + len(rows) * (BAR + GAP) + 14


def chart(rows, o):
    texts, y, body = {s.name: s.text for s in o.subjects}, HEAD, []
    for case in o.cases:
        mine = [r for r in rows if r["case"] == case.name and r["rps"]]
        if mine:
            elements, height = panel(y, case, mine, texts)
            body += elements
            y += height
    style = "text{font:12px sans-serif;fill:#333}.h{font-weight:bold;font-size:13px}.n{fill:#666}"
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 0 {WIDTH + 16} {y}" width="{WIDTH}" role="img">',
                      f"<style>{style}</style>", f'<rect x="-8" width="{WIDTH + 16}" height="{y}" fill="#fff"/>',
                      text_at(0, 20, "Requests a second through two pods (longer is better)", 'class="h"'), *body, "</svg>", ""])


def write(rows, o, build, docs):
    """Files into @build, and the page and chart into the folder @docs if it is not None."""
    with open(os.path.join(build, "bench.json"), "w", encoding="utf-8") as f:
        json.dump(rows, f, indent=1)
        f.write("\n")
    for folder, name in ((build, "bench.md"), *([(docs, "README.md")] if docs else [])):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(page(rows, o))
        with open(os.path.join(folder, "bench.svg"), "w", encoding="utf-8") as f:
            f.write(chart(rows, o))
    for what, ratio, kind, floor, _, reached in ratios(rows):
        shown = "failed" if ratio is None else f"{ratio:.2f}"
        print(f"  {'reached' if reached else 'MISSED ':8} {shown:>7} ({'at most' if kind == 'most' else 'floor'} {floor:.2f})  {what}")
