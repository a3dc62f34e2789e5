# SPDX-License-Identifier: Apache-2.0
"""Processes of the demo and the bench: started in a pod, a cgroup and as a user, always ended; and skiffd itself.

    with Sandbox("demo") as box:
        box.spawn(["nginx", ...], netns=pod.path)
        mesh = Skiffd(box, {"pods": [...]})
        mesh.ctl("stats", "--used")

A Sandbox has a temporary folder (box.dir) and cgroups (box.group(), in the cgroup2 hierarchy, and beside it where another one
counts CPU). Children die with this process, even if it is killed.
Needs root. It knows nothing of networks: see netns.py.
"""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from netns import LIBC, Net, enter

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PR_SET_PDEATHSIG = 1
BPFFS = "/sys/fs/bpf"


class Failed(Exception):
    """Something did not come up or went wrong; the text says what."""


STOPPERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def unstoppable():
    """Inside, a signal that ends us waits: what is made is also noted, so that it will be removed."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPERS)
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def cgroup_mounts():
    """(cgroup2 mount, folder that counts CPU: cgroup2 itself or the v1 controller)."""
    v2 = v1 = None
    with open("/proc/mounts", encoding="ascii", errors="replace") as f:
        for line in f:
            _, where, kind, options = line.split()[:4]
            if kind == "cgroup2":
                v2 = v2 or where
            elif kind == "cgroup" and "cpuacct" in options.split(","):
                v1 = v1 or where
    if not v2:
        raise Failed("no cgroup2 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")
    return v2, v1 or v2


class Sandbox:
    """A folder, cgroups and children; close() ends and removes all of them."""

    def __init__(self, name):
        self.v2, self.cpu_mount = cgroup_mounts()
        os.environ["PATH"] += ":/usr/sbin:/sbin"  # where nginx, nft and ip are, and su does not look
        self.dir = tempfile.mkdtemp(prefix=f"skiff-{name}-")
        os.chmod(self.dir, 0o755)
        self.name = os.path.basename(self.dir)
        self.cgroups, self.children, self.pins, self.open = [], [], [], True

    def __enter__(self):
        for sig in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, lambda *_: sys.exit(1))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
        return self

    def __exit__(self, *_):
        self.close()

    # ---- cgroups -------------------------------------------------------------------------------

    def group(self, *parts):
        """Makes the cgroup of that path below the sandbox's; returns its path below the mounts."""
        path = self.name
        with unstoppable():
            for part in ("", *parts):
                path = os.path.join(path, part).rstrip("/")
                for mount in {self.v2, self.cpu_mount}:
                    folder = os.path.join(mount, path)
                    if os.path.isdir(folder):
                        continue
                    try:
                        os.mkdir(folder)
                    except OSError as e:
                        raise Failed(f"cannot make a cgroup: {e.strerror}: {folder}") from None
                    self.cgroups.append(folder)
        return path

    def cpu_us(self, group):
        """CPU time that the tasks of @group and below have used."""
        folder = os.path.join(self.cpu_mount, group)
        if self.cpu_mount != self.v2:
            with open(os.path.join(folder, "cpuacct.usage"), encoding="ascii") as f:
                return int(f.read()) / 1e3
        with open(os.path.join(folder, "cpu.stat"), encoding="ascii") as f:
            return int(re.search(r"usage_usec (\d+)", f.read())[1])

    @contextlib.contextmanager
    def inside(self, group):
        """This process is in @group meanwhile: what it connects in a pod is captured where that is below skiffd's cgroup."""
        def move(path):
            for mount in {self.v2, self.cpu_mount}:
                with open(os.path.join(mount, path, "cgroup.procs"), "w", encoding="ascii") as f:
                    f.write("0")
        with open("/proc/self/cgroup", encoding="ascii") as f:
            home = {line.split(":")[1]: line.strip().split(":", 2)[2].lstrip("/") for line in f}
        move(group)
        try:
            yield
        finally:
            move(home.get("", ""))

    # ---- processes -----------------------------------------------------------------------------

    def _child(self, netns, group, uid, mask):
        for mount in {self.v2, self.cpu_mount} if group else ():
            with open(os.path.join(mount, group, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write("0")
        if netns:
            enter(netns)
        if uid:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def spawn(self, argv, netns=None, group=None, uid=None, log=None, **options):
        """A child, apart from the terminal's Ctrl-C. @log: a file name in the folder for what it prints."""
        if not shutil.which(argv[0]):
            raise Failed(f"{argv[0]} is missing: make, and scripts/deps, bring all that is needed")
        if log:
            options["stdout"] = open(os.path.join(self.dir, log), "wb")
            options["stderr"] = subprocess.STDOUT
        with unstoppable() as mask:
            child = subprocess.Popen(argv, preexec_fn=lambda: self._child(netns, group, uid, mask), start_new_session=True,
                                     stdin=subprocess.DEVNULL, **options)
            self.children.append(child)
        if log:
            options["stdout"].close()
        child.log = os.path.join(self.dir, log) if log else None
        return child

    def run(self, argv, netns=None, group=None, timeout=60, **options):
        """A child that is waited for; (exit status, stdout, stderr) as texts."""
        child = self.spawn(argv, netns, group, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.end(child)
            raise Failed(f"{' '.join(argv)}: no end after {timeout} s") from None
        self.children.remove(child)
        return child.returncode, out, err

    def end(self, *children, seconds=10):
        for child in children:
            if child.poll() is None:
                child.terminate()
        for child in children:
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child in self.children:
                self.children.remove(child)

    def write(self, name, text):
        """A file in the folder; an object becomes JSON. Returns its path."""
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text if isinstance(text, str) else json.dumps(text, indent=1))
        os.chmod(path, 0o644)
        return path

    def close(self):
        if not self.open:
            return
        self.open = False
        for sig in STOPPERS:  # a second Ctrl-C shall not leave half of it
            signal.signal(sig, signal.SIG_IGN)
        self.end(*list(self.children), seconds=3)
        for pin in self.pins:
            pin_remove(pin)
        for folder in reversed(self.cgroups):
            for _ in range(50):  # a killed task leaves its cgroup a moment later
                try:
                    os.rmdir(folder)
                    break
                except OSError:
                    time.sleep(0.02)
        shutil.rmtree(self.dir, ignore_errors=True)


class Scene:
    """A Sandbox .box, a Net .net and what build() of a subclass makes with them; all of it ends together."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.box = Sandbox(self.name).__enter__()
        self.net = Net().__enter__()
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.box.close()
        self.net.close()


def wait_until(what, condition, seconds=10, child=None):
    """Waits until @condition() is true; @child must live meanwhile."""
    end = time.monotonic() + seconds
    while True:
        if condition():
            return
        if child and child.poll() is not None:
            raise Failed(f"{what}: the process ended with {child.returncode}{tail(child)}")
        if time.monotonic() > end:
            raise Failed(f"{what}: not after {seconds} s{tail(child)}")
        time.sleep(0.02)


def tail(child):
    """The last lines that @child printed to its log, for an error text."""
    if not child or not child.log or not os.path.exists(child.log):
        return ""
    with open(child.log, encoding="utf-8", errors="replace") as f:
        lines = f.read().strip().splitlines()[-12:]
    return "".join(f"\n    {line}" for line in lines)


def wait_port(pod, port, seconds=10, child=None, ip="127.0.0.1"):
    def answers():
        try:
            pod.connect((ip, port), timeout=1).close()
            return True
        except OSError:
            return False

    wait_until(f"{pod.name}: port {port}", answers, seconds, child)


def memory_kb(pid):
    """(VmRSS, RssAnon) in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        text = f.read()
    return tuple(int(re.search(rf"{k}:\s+(\d+)", text)[1]) for k in ("VmRSS", "RssAnon"))


# ---- skiffd --------------------------------------------------------------------------------------

class UnixConnection(http.client.HTTPConnection):
    """HTTP to a unix socket: the control socket of skiffd, the admin pipe of Envoy."""

    def __init__(self, path):
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def admin_get(path, target):
    """(status, text) of GET @target at the unix socket @path."""
    c = UnixConnection(path)
    try:
        c.request("GET", target)
        r = c.getresponse()
        return r.status, r.read().decode("utf-8", "replace")
    finally:
        c.close()


def admin_stats(path):
    """The counters and gauges by name."""
    status, text = admin_get(path, "/stats?format=json")
    if status != 200:
        raise Failed(f"/stats answered {status}")
    return {s["name"]: s["value"] for s in json.loads(text)["stats"] if "name" in s}


def pin_remove(path):
    """Unpins everything below @path: what was attached by it is detached."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


class Skiffd:
    """A running skiffd with a pin directory, a control socket and a log of its own.

    @config: as in its configuration file; workers, admin, control, cgroup and pin_dir are filled in unless given. It captures
    what runs in the cgroup @group (and below) of the sandbox, and is itself in @group/@part.
    """

    def __init__(self, box, config, name="skiffd", group=None, part="skiffd", seconds=20, wait=True):
        self.box, self.name = box, name
        self.socket = os.path.join(box.dir, f"{name}.sock")
        self.pin_dir = os.path.join(BPFFS, f"{box.name}-{name}".replace(".", "_"))
        top = group or box.group()
        self.group = box.group(*top.split("/")[1:], part)
        self.config = {"workers": 1, "admin": "off", "control": self.socket} | config
        self.config["capture"] = {"cgroup": os.path.join(box.v2, top), "pin_dir": self.pin_dir} | config.get("capture", {})
        self.file = box.write(f"{name}.yaml", self.config)
        box.pins.append(self.pin_dir)
        self.child = box.spawn([os.path.join(BUILD, "skiffd"), "--config", self.file], group=self.group, log=f"{name}.log")
        wait_until(name, self.is_ready if wait else self.is_there, seconds, self.child)

    def is_there(self):
        try:
            return admin_get(self.socket, "/ready")[0] > 0
        except OSError:
            return False

    def is_ready(self):
        try:
            return admin_get(self.socket, "/ready")[0] == 200
        except OSError:
            return False

    def ctl(self, *words):
        """What skiffctl prints; raises if it fails."""
        status, out, err = self.box.run([os.path.join(BUILD, "skiffctl"), "--socket", self.socket, *words])
        if status:
            raise Failed(f"skiffctl {' '.join(words)}: {err.strip() or out.strip()}")
        return out

    def stats(self):
        return admin_stats(self.socket)

    def bpf_show(self):
        status, text = admin_get(self.socket, "/bpf")
        if status != 200:
            raise Failed(f"/bpf answered {status}: {text.strip()}")
        return text

    def kernel_counts(self):
        """What the kernel side counted since it was loaded: reason in words -> count."""
        _, _, rows = self.bpf_show().partition("skiff_stats\n")
        return {m[2]: int(m[1]) for m in re.finditer(r"^ *(\d+)  (\S.*)$", rows, re.M)}

    def log(self):
        with open(self.child.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        self.box.end(self.child)
        pin_remove(self.pin_dir)
