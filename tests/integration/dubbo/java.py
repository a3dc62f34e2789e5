# SPDX-License-Identifier: Apache-2.0
"""Apache Dubbo providers and consumers in pods (tests/peers/dubbo), driven by text.

It knows nothing about skiff. A consumer is one JVM that does what it is told line by line, so that
many scenarios cost one start.
"""
import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
START_S, ANSWER_S = 60, 60
OPENS = [f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in (
    "java.lang", "java.util", "java.math", "java.time", "java.net", "sun.reflect.generics.reflectiveObjects")]


def install():
    """Builds the peers. A machine without Java skips, unless CI is set: there it fails."""
    missing = [p for p in ("java", "javac", "mvn") if not shutil.which(p)]
    if missing and not os.environ.get("CI"):
        print(f"{', '.join(missing)} missing: scripts/deps test")
        sys.exit(77)
    subprocess.run([os.path.join(ROOT, "tests/peers/dubbo/install")], check=True)


def java(pod, version, main, **properties):
    home = os.path.join(BUILD, "peers/dubbo", version)
    return pod.popen(
        ["java", *OPENS, "-Xmx128m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
         "-Djava.net.preferIPv4Stack=true", "-Ddubbo.application.logger=slf4j", "-Dfile.encoding=UTF-8",
         "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-Ddubbo.service.shutdown.wait=1000",
         *(f"-D{k}={v}" for k, v in properties.items()), "-cp", f"{home}/classes:{home}/lib/*", "demo." + main],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        errors="replace", bufsize=1)


class Process:
    """A JVM whose lines are read by a thread."""

    def __init__(self, pod, version, main, **properties):
        self.pod, self.version, self.properties, self.main = pod, version, properties, main
        self.start()

    def start(self):
        self.child = java(self.pod, self.version, self.main, **self.properties)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, args=(self.child, self.lines), daemon=True).start()

    @staticmethod
    def read(child, lines):
        for line in child.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def until(self, last, seconds):
        """The lines before the line @last."""
        got = []
        while True:
            try:
                line = self.lines.get(timeout=seconds)
            except queue.Empty:
                line = None
            if line is None:
                tail = "\n".join(got[-20:])
                raise RuntimeError(f"{self.version} {self.main} did not say {last} in {seconds} s:\n{tail}")
            if line == last:
                return got
            got.append(line)

    def stop(self, sig=signal.SIGTERM):
        """Ends it and waits for that."""
        if self.child.poll() is None:
            self.child.send_signal(sig)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Provider(Process):
    def __init__(self, pod, version, port=20880, **properties):
        self.port = port
        super().__init__(pod, version, "Provider", port=port, host=pod.ip4, **properties)

    def wait(self):
        self.until("READY", START_S)
        return self

    @property
    def url(self):
        return f"dubbo://{self.pod.ip4}:{self.port}"


class Consumer(Process):
    def __init__(self, pod, version, **properties):
        self.refs = 0
        super().__init__(pod, version, "Consumer", **properties)

    def wait(self):
        self.until("DONE", START_S)
        return self

    def do(self, command):
        """The lines that it prints for one command."""
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        return self.until("DONE", ANSWER_S)

    @contextlib.contextmanager
    def ref(self, url, **options):
        """A reference to call; it is closed at the end of the block."""
        self.refs += 1
        name = f"r{self.refs}"
        said = self.do(" ".join(["ref", name, "url=" + url, *(f"{k}={v}" for k, v in options.items())]))
        try:
            if said:
                raise RuntimeError(f"{self.version} consumer: ref {url}: {said}")
            yield lambda *scenarios: self.do(" ".join(["call", name, *scenarios]))
        finally:
            if self.child.poll() is None:
                self.do("drop " + name)
