# SPDX-License-Identifier: Apache-2.0
"""The program ads_client (the ADS client by itself) for tests: what it would publish, and its status."""
import json
import os
import queue
import subprocess
import threading
import time

from sandbox import BUILD


class Client:
    """A running ads_client: its events so far, by node."""

    def __init__(self, box, address, mode, members, *tls):
        file = box.write(f"nodes-{time.monotonic_ns()}.json",
                         json.dumps([{"id": n.id, "cluster": n.cluster, "metadata": n.metadata} for n in members]))
        self.members = members
        self.child = subprocess.Popen([os.path.join(BUILD, "tests/integration/xds/ads_client"), address, mode, file, *tls],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events, self.inbox, self.sets = [], queue.Queue(), {}
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.inbox.put(json.loads(line))

    def take(self, seconds):
        """The next event, or None."""
        try:
            event = self.inbox.get(timeout=max(0, seconds))
        except queue.Empty:
            return None
        self.events.append(event)
        if event["event"] == "ready":
            self.sets[event["node"]] = {k: set(v) for k, v in event["set"].items()}
        return event

    def until(self, condition, seconds=15, what=""):
        """The first event for which that is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            event = self.take(end - time.monotonic())
            if event and condition(event):
                return event
        raise AssertionError(f"{what or 'an event'} did not come; the last: {json.dumps(self.events[-1:])[:500]}")

    def quiet(self, seconds=1.0):
        """Waits until nothing came for so long."""
        while self.take(seconds):
            pass

    def status(self):
        self.child.stdin.write("status\n")
        self.child.stdin.flush()
        return self.until(lambda e: e["event"] == "status", what="status")

    def all_ready(self, seconds=20):
        end = time.monotonic() + seconds
        while len(self.sets) < len(self.members):
            assert self.take(end - time.monotonic()) or time.monotonic() < end, f"ready: {list(self.sets)}"
        self.quiet(.5)

    def end(self):
        if self.child.poll() is None:
            self.child.stdin.write("quit\n")
            self.child.stdin.flush()
            self.until(lambda e: e["event"] == "status", what="the end")
        assert self.child.wait(10) == 0


def complaints(status):
    """What was rejected, and who is not in sync."""
    return [f"{n['node']} {t}: {r['name']}: {r['reason']}" for n in status["nodes"] for t, x in n["types"].items()
            for r in x["rejected"]] + [n["node"] for n in status["nodes"] if not n["in_sync"]]
