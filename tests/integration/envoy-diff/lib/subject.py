"""Starts and stops the program under test on one configuration file."""

import http.client
import json
import os
import signal
import subprocess
import time

READY_S = 15


class Subject:
    """kind: envoy or skiff; binary: its path. One process at a time."""

    def __init__(self, kind, binary, tmp, admin_port):
        self.kind, self.binary, self.tmp, self.admin_port, self.p = kind, binary, tmp, admin_port, None

    def argv(self, name, path):
        if self.kind == "envoy":
            admin = f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {self.admin_port}}}}}}}"
            return [
                self.binary,
                "-c",
                path,
                "--config-yaml",
                admin,
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "warning",
                "--file-flush-interval-msec",
                "50",
                "--drain-time-s",
                "1",
                "--parent-shutdown-time-s",
                "2",
            ]
        wrapper = os.path.join(self.tmp, name + ".skiffd.yaml")
        with open(wrapper, "w", encoding="utf-8") as f:
            f.write(f"workers: 1\nadmin: 127.0.0.1:{self.admin_port}\nresources:\n- {path}\n")
        return [self.binary, "--config", wrapper]

    def start(self, name, config):
        path = os.path.join(self.tmp, name + ".yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(config)
        self.log_path = os.path.join(self.tmp, name + ".log")
        self.out_path = os.path.join(self.tmp, name + ".out")
        with open(self.log_path, "wb") as log, open(self.out_path, "wb") as out:
            self.p = subprocess.Popen(
                self.argv(name, path), stdout=out, stderr=log, stdin=subprocess.DEVNULL, cwd=self.tmp
            )
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            if self.p.poll() is not None:
                raise RuntimeError(f"{self.kind} ended with {self.p.returncode}: {self.tail()}")
            try:
                if self.admin("/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"{self.kind} not ready after {READY_S} s: {self.tail()}")

    def alive(self):
        return self.p is not None and self.p.poll() is None

    def tail(self):
        with open(self.log_path, "rb") as f:
            lines = [x for x in f.read().decode("utf-8", "replace").split("\n") if "[warning]" not in x]
        return "\n".join(x if len(x) < 500 else x[:400] + " … " + x[-100:] for x in lines[-12:]).strip()

    def stop(self):
        if self.p is None:
            return
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(3)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.p = None

    def admin(self, path, method="GET"):
        status, body, _ = self.admin_full(path, method)
        return status, body

    def admin_full(self, path, method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
        try:
            c.request(method, path)
            r = c.getresponse()
            return r.status, r.read().decode("utf-8", "replace"), dict((k.lower(), v) for k, v in r.getheaders())
        except http.client.HTTPException as e:
            raise OSError(str(e)) from e
        finally:
            c.close()

    def stats(self):
        """{name: value} of counters and gauges."""
        _, body = self.admin("/stats?format=json")
        return {s["name"]: s["value"] for s in json.loads(body)["stats"] if "value" in s}
