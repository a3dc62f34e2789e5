# SPDX-License-Identifier: Apache-2.0
"""Pods for tests: network namespaces on a bridge, IPv4 and IPv6, always cleaned up.

    with Net() as net:
        a, b = net.pod("a"), net.pod("b")
        server = b.listen("0.0.0.0", 80)        # a socket of this process, made inside the pod
        client = a.connect((b.ip4, 80))
        child = b.popen(["nginx", ...])         # a process inside the pod

Names carry a random suffix, so that several tests may run at once. The bridge is in the namespace of the test:
net.host4 and net.host6 are the node's own addresses. Needs root and ip(8). It knows nothing about skiff.
"""
import atexit
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*args):
    done = subprocess.run(["ip", *args], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def enter(path):
    """Moves the calling thread into the namespace @path."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)


class Pod:
    """One namespace. Sockets made by socket(), listen() and connect() live in it, whoever uses them."""

    def __init__(self, net, name, number):
        self.net, self.name = net, name
        net.pods.append(self)  # first, so that half of a pod is removed, too
        self.netns = f"sk{net.suffix}{name}"
        self.path = f"/run/netns/{self.netns}"
        self.ip4, self.ip6 = f"10.{net.x}.{net.y}.{number}", f"fd{net.x:02x}:{net.y:x}::{number:x}"
        veth = f"sk{net.suffix}v{number}"
        ip("netns", "add", self.netns)
        ip("link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        ip("link", "set", veth, "master", net.bridge, "up")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "eth0", "up")
        self.ip("addr", "add", f"{self.ip4}/24", "dev", "eth0")
        self.ip("-6", "addr", "add", f"{self.ip6}/64", "dev", "eth0", "nodad")
        self.ip("route", "add", "default", "via", net.host4)
        self.ip("-6", "route", "add", "default", "via", net.host6)

    def ip(self, *args):
        return ip("-n", self.netns, *args)

    def inside(self, function):
        """Runs @function with this thread inside the namespace."""
        enter(self.path)
        try:
            return function()
        finally:
            enter(self.net.home)

    def socket(self, family=socket.AF_INET):
        return self.inside(lambda: socket.socket(family, socket.SOCK_STREAM))

    def listen(self, address, port, backlog=512):
        """A listening socket; "::" is dual-stack."""
        s = self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if s.family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind((address, port))
        s.listen(backlog)
        s.settimeout(5)
        return s

    def connect(self, to, timeout=5):
        """A connected socket; raises what connect(2) says."""
        s = self.socket(socket.AF_INET6 if ":" in to[0] else socket.AF_INET)
        s.settimeout(timeout)
        try:
            s.connect(to)
        except BaseException:
            s.close()
            raise
        return s

    def popen(self, argv, **options):
        """A process inside the pod, ended with the Net at the latest."""
        child = subprocess.Popen(argv, preexec_fn=lambda: enter(self.path), **options)
        self.net.children.append(child)
        return child

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.netns], capture_output=True)


class Net:
    """A bridge and its pods."""

    def __init__(self):
        self.suffix = f"{random.randrange(16 ** 4):04x}"
        self.x, self.y = random.randrange(100, 250), random.randrange(1, 250)
        self.bridge = f"sk{self.suffix}br"
        self.host4, self.host6 = f"10.{self.x}.{self.y}.1", f"fd{self.x:02x}:{self.y:x}::1"
        self.home = f"/proc/self/fd/{os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)}"
        self.pods, self.children, self.open = [], [], False

    def __enter__(self):
        atexit.register(self.close)
        for sig in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, lambda *_: sys.exit(1))
        self.open = True
        ip("link", "add", self.bridge, "type", "bridge")
        ip("link", "set", self.bridge, "up")
        ip("addr", "add", f"{self.host4}/24", "dev", self.bridge)
        ip("-6", "addr", "add", f"{self.host6}/64", "dev", self.bridge, "nodad")
        return self

    def __exit__(self, *_):
        self.close()

    def pod(self, name):
        return Pod(self, name, len(self.pods) + 2)

    def close(self):
        if not self.open:
            return
        self.open = False
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        for pod in self.pods:
            pod.remove()
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True)
