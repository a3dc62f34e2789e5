# SPDX-License-Identifier: Apache-2.0
"""What the capture tests share: the engine under test behind start_engine(), and a TAP runner.

The engine under test is relay_engine, the smallest program that uses the datapath. To point the tests at another
one, give start_engine() another class with the methods of RelayEngine.
"""
import os
import queue
import random
import re
import subprocess
import sys
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
ENGINE = os.path.join(BUILD, "tests/integration/capture/relay_engine")
PEER = os.path.join(BUILD, "tests/lib/tcp_peer")
SPLICE_PEER = os.path.join(BUILD, "tests/lib/splice_peer")


class EngineError(Exception):
    """The engine refused a command; the text is its reason."""


class RelayEngine:
    """A running engine: pods and policy go in, counters and events come out."""

    def __init__(self, pin_dir, options):
        self.child = subprocess.Popen([ENGINE, pin_dir, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, bufsize=1)
        self.events, self.answers = [], queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.started = self._answer()

    def _read(self):
        for line in self.child.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "event":
                self.events.append(rest)
            else:
                self.answers.put((word, rest))
        self.answers.put(("error", "the engine ended"))

    def _answer(self):
        word, rest = self.answers.get(timeout=20)
        if word != "ok":
            raise EngineError(rest)
        return rest

    def tell(self, *words):
        self.child.stdin.write(" ".join(str(w) for w in words) + "\n")
        return self._answer()

    def add(self, pod, accelerate="off", gone="open", addrs=None):
        """Takes the pod into the mesh; @gone says what happens without the engine."""
        self.tell("pod", pod.name, pod.path, accelerate, gone, *(addrs or [pod.ip4, pod.ip6]))

    def policy(self, *lines):
        """The whole policy: lines `rule POD out|in VERDICT PREFIX PORT [SERVICE]`, `authz ...`, `backend ...`."""
        self.tell("reset")
        for line in lines:
            self.tell(line)
        self.tell("commit")

    def stats(self):
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", self.tell("stats"))}

    def wait_event(self, reason, seconds=5):
        """The first event of that reason, as text."""
        end = time.time() + seconds
        while time.time() < end:
            for event in list(self.events):
                if f" {reason}:" in event:
                    return event
            time.sleep(0.02)
        raise AssertionError(f"no event {reason}; events: {self.events[-5:]}")

    def kill(self):
        self.child.kill()
        self.child.wait()

    def close(self):
        if self.child.poll() is None:
            self.child.stdin.close()
            self.child.wait(timeout=10)


def pin_dir_new():
    return f"/sys/fs/bpf/skiff_test_{random.randrange(16 ** 8):08x}"


def pin_dir_remove(pin_dir):
    for folder in (os.path.join(pin_dir, "links"), pin_dir):
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                if not os.path.isdir(os.path.join(folder, name)):
                    os.unlink(os.path.join(folder, name))
    for folder in (os.path.join(pin_dir, "links"), pin_dir):
        if os.path.isdir(folder):
            os.rmdir(folder)


def start_engine(pin_dir, *options):
    """The engine under test. It keeps what is pinned in @pin_dir, as a restarted one does."""
    return RelayEngine(pin_dir, options)


class Setup:
    """One engine with a pin directory of its own, removed at the end."""

    def __init__(self, *options):
        self.pin_dir, self.options, self.engine = pin_dir_new(), options, None

    def __enter__(self):
        try:
            self.engine = start_engine(self.pin_dir, *self.options)
        except BaseException:
            pin_dir_remove(self.pin_dir)
            raise
        return self

    def __exit__(self, *_):
        if self.engine:
            self.engine.kill()
        pin_dir_remove(self.pin_dir)

    def restart(self, *options):
        self.engine = start_engine(self.pin_dir, *(options or self.options))
        return self.engine


class Counted:
    """Counters that moved inside a `with` block."""

    def __init__(self, engine):
        self.engine = engine

    def __enter__(self):
        self.before = self.engine.stats()
        return self

    def __exit__(self, *_):
        after = self.engine.stats()
        self.moved = {k: v - self.before[k] for k, v in after.items() if v != self.before[k]}

    def __getitem__(self, name):
        return self.moved.get(name, 0)


def expect(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def run(cases):
    """Runs the functions, prints TAP, exits. A missing program or root is a skip with its reason."""
    missing = [p for p in (ENGINE, PEER, SPLICE_PEER) if not os.path.exists(p)]
    if os.geteuid() != 0 or missing:
        print("needs root" if os.geteuid() else f"not built: {' '.join(missing)} (make tools)")
        sys.exit(77)
    only, failed = sys.argv[1:], 0
    cases = [c for c in cases if not only or any(o in c.__name__ for o in only)]
    print(f"1..{len(cases)}")
    for number, case in enumerate(cases, 1):
        name = case.__name__.replace("_", " ")
        try:
            case()
            print(f"ok {number} - {name}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}")
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    sys.exit(1 if failed else 0)
