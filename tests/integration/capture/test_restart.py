#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""What outlives skiffd in the kernel: closed pods, pins that are taken over, refused or removed. Killed under load: ../pods."""
import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from capture import SKIFFCTL, SKIFFD, Counted, Engine, Mesh, Setup, expect, refused, remove_pins, rows_of, run, wait
from rig import Server, echo_tcp

CLONE_NEWNS = 0x20000
CHILD_S = 20


class Nodes(Mesh):
    """An open client, a closed one, a closed server with an echo on 8080; and a pod outside."""

    names = ("opn", "srv", "out")

    def __init__(self):
        super().__init__(heartbeat_seconds=2)

    def begin(self):
        self.open, self.closed = self.client, self.net.pod("cls")
        self.echo = Server(echo_tcp, self.server.listen("::", 8080))
        self.configure(self.engine)

    def configure(self, engine, *more):
        engine.add(self.open)
        engine.add(self.closed, gone="closed")
        engine.add(self.server, gone="closed")
        engine.policy("rule opn out l7 0.0.0.0/0 8080", "rule cls out l7 0.0.0.0/0 8080", "rule srv in l7 0.0.0.0/0 8081", *more)

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self.echo.close()

    def ask(self, pod):
        """One connection, one echo."""
        with pod.connect((self.server.ip4, 8080)) as s:
            s.sendall(b"ping")
            expect(s.recv(4), b"ping")

    def after_the_kill(self):
        """io_uring keeps listeners open for some milliseconds after a process is gone."""
        self.engine.kill()
        wait("EPERM", lambda: connect_errno(self.closed, (self.server.ip4, 8080)) == errno.EPERM, 1)


def connect_errno(pod, to):
    try:
        pod.connect(to).close()
    except OSError as e:
        return e.errno
    return 0


def closed_pods_refuse_both_ways_when_the_engine_is_gone():
    with Nodes() as m:
        inner = m.server.listen("0.0.0.0", 8081)
        m.outside.connect((m.server.ip4, 8081)).close()
        m.after_the_kill()
        m.ask(m.open)
        refused(m.outside, (m.server.ip4, 8081), errno.ECONNREFUSED)
        m.server.connect((m.server.ip4, 8081)).close()  # the pod itself
        m.outside.connect((m.server.ip4, 8080)).close()  # no policy names it
        inner.close()


def closed_pods_refuse_both_ways_when_the_engine_hangs():
    with Nodes() as m:
        inner = m.server.listen("0.0.0.0", 8081)
        child = m.engine.skiffd.child
        child.send_signal(signal.SIGSTOP)
        try:
            wait("the heartbeat is too old", lambda: connect_errno(m.closed, (m.server.ip4, 8080)) == errno.EPERM, 4)
            refused(m.outside, (m.server.ip4, 8081), errno.ECONNREFUSED)
        finally:
            child.send_signal(signal.SIGCONT)
        wait("it is back", lambda: connect_errno(m.closed, (m.server.ip4, 8080)) == 0, 4)
        m.engine.wait_event("IN_CLOSED")
        m.outside.connect((m.server.ip4, 8081)).close()
        inner.close()


class Asking(threading.Thread):
    """Asks from one pod all the time; keeps what failed."""

    def __init__(self, mesh, pod):
        super().__init__(daemon=True)
        self.mesh, self.pod, self.stop, self.asked, self.failed = mesh, pod, False, 0, []
        self.start()

    def run(self):
        while not self.stop:
            try:
                self.mesh.ask(self.pod)
            except (OSError, AssertionError) as e:
                self.failed.append(repr(e))
            self.asked += 1

    def finish(self):
        self.stop = True
        self.join()


def a_new_engine_beside_the_old_one_takes_over_all():
    with Nodes() as m:
        asking, old = Asking(m, m.open), m.engine
        m.configure(m.setup.another())
        m.engine = m.setup.engine
        asking.finish()
        expect(asking.failed, [], f"while both live, of {asking.asked}")
        assert asking.asked > 20, asking.asked
        old.kill()
        time.sleep(0.1)
        with Counted(m.engine) as moved:
            for _ in range(50):
                m.ask(m.open)
                m.ask(m.closed)
        expect((moved["OUT_L7"], moved["OUT_OPEN"]), (100, 0))


def the_pins_carry_programs_that_are_replaced_not_added():
    with Nodes() as m:
        def links():
            return sorted(os.listdir(f"{m.setup.pin_dir}/links"))

        before, counted = links(), m.engine.stats()["OUT_L7"]
        m.after_the_kill()
        m.configure(m.setup.another())
        expect(links(), before)
        with Counted(m.setup.engine) as moved:
            m.ask(m.open)
        expect(moved["OUT_L7"], 1, "one program, not two")
        assert m.setup.engine.stats()["OUT_L7"] > counted, "counters were kept"


def a_policy_that_went_while_the_engine_was_away_goes():
    with Nodes() as m:
        m.engine.policy("rule opn out deny 0.0.0.0/0 8080")
        refused(m.open, (m.server.ip4, 8080), errno.EPERM)
        m.engine.kill()
        refused(m.open, (m.server.ip4, 8080), errno.EPERM)  # denies need no engine
        new = m.setup.another()
        new.add(m.open)
        new.policy()
        m.ask(m.open)


def a_pod_that_died_while_the_engine_was_away_is_forgotten():
    with Nodes() as m:
        expect(len(m.engine.table("skiff_pods")), 3)
        m.engine.kill()
        m.closed.remove()
        m.setup.another().policy()
        expect(m.setup.engine.table("skiff_pods"), [], "pods that nobody names any more")
        m.ask(m.open)


def show_prints_tables():
    with Nodes() as m:
        m.engine.policy("rule opn out l7 10.0.0.0/8 80", "rule cls out l4 192.0.2.0/32 8443 7", "backend 7 10.1.2.3:99 5",
                        "deny srv 8080 fd00::/64")
        pods = m.engine.table("skiff_pods")
        expect(len(pods), 3)
        assert any(m.closed.ip4 in row and "closed" in row for row in pods), pods
        policy = "\n".join(m.engine.table("skiff_policy"))
        for text in ("out  10.0.0.0/8", "80     l7", "out  192.0.2.0/32", "8443   l4"):
            assert text in policy, (text, policy)
        assert "10.1.2.3:99" in m.engine.table("skiff_backends")[0]
        everybody, some = sorted(row.split()[1:] for row in m.engine.table("skiff_authz"))
        expect((everybody[:3], some[:3]), (["::/0", "any", "pass"], ["fd00::/64", "any", "deny"]))
        assert any(row.startswith(m.net.host4) for row in m.engine.table("skiff_nodes"))
        dump = subprocess.run(["bpftool", "map", "dump", "pinned", f"{m.setup.pin_dir}/skiff_backends"],
                              capture_output=True, text=True, timeout=10, check=True).stdout
        for text in ('"port": 99', "255,255,10,1,2,3"):
            assert text in dump, dump


def only_what_changed_is_written():
    """Each reload is a new generation; an entry keeps the one that wrote it."""
    with Nodes() as m:
        def generations(engine):
            return {row.split()[2]: row.split()[-1] for row in engine.table("skiff_policy")}

        a, b, c = (f"rule opn out deny 10.0.{i}.0/24 0" for i in range(3))
        m.engine.policy(a, b)
        first = generations(m.engine)
        expect(sorted(first), ["10.0.0.0/24", "10.0.1.0/24"])
        m.engine.policy(a, b.replace("deny", "l7"), c)
        second = generations(m.engine)
        expect(second["10.0.0.0/24"], first["10.0.0.0/24"], "unchanged")
        assert int(second["10.0.1.0/24"]) > int(first["10.0.1.0/24"]), "changed"
        m.engine.kill()
        new = m.setup.another()
        new.add(m.open)
        new.policy(c)
        expect(generations(new), {"10.0.2.0/24": second["10.0.2.0/24"]}, "a restarted one knows what is there")


# ---- starts that cannot be -----------------------------------------------------------------------

def says_why(pin_dir, *texts, argv=(), **how):
    """skiffd must not start: status 1, one line that is neither a warning nor information, with all @texts."""
    engine = Engine(pin_dir)
    try:
        command = [*argv, SKIFFD, "--config", engine.skiffd.path, "--pods", "--log-level", "info"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_S, stdin=subprocess.DEVNULL, check=False, **how)
        lines = [x for x in done.stderr.splitlines() if " warning " not in x and " info " not in x]
        expect((done.returncode, len(lines)), (1, 1), done.stderr)
        for text in texts:
            assert text in lines[0], (text, lines[0])
    finally:
        engine.close()


def a_map_of_another_layout_is_refused_by_name():
    with Setup() as s:
        os.makedirs(f"{s.pin_dir}/links")
        subprocess.run(["bpftool", "map", "create", f"{s.pin_dir}/skiff_pods", "type", "hash", "key", "8", "value", "64",
                        "entries", "1024", "name", "skiff_pods"], check=True, timeout=10, capture_output=True)
        says_why(s.pin_dir, f"{s.pin_dir}/skiff_pods", "value size 64", "skiffctl bpf unload")
        expect(os.listdir(s.pin_dir + "/links"), [], "nothing was attached")


def another_layout_number_is_refused():
    with Setup() as s:
        s.engine.policy()
        s.engine.stop()
        subprocess.run(["bpftool", "map", "update", "pinned", f"{s.pin_dir}/skiff_beat", "key", "hex", "0", "0", "0",
                        "0", "value", "hex", *(["0"] * 20), "63", "0", "0", "0"], check=True, timeout=10,
                       capture_output=True)
        says_why(s.pin_dir, "layout 99", "skiffctl bpf unload")


def without_capabilities_one_clear_line():
    with Setup() as s:
        says_why(s.pin_dir, "CAP_BPF", argv=["setpriv", "--bounding-set=-all", "--inh-caps=-all"])


def without_cgroup2_one_clear_line():
    script = "for m in $(awk '$3 == \"cgroup2\" {print $2}' /proc/mounts); do umount -l $m; done; exec \"$@\""
    with Setup() as s:
        says_why(s.pin_dir, "cgroup2", "mount", argv=["unshare", "-m", "sh", "-ec", script, "sh"])


class PrivateMounts:
    """A mount namespace with a BPF file system of its own, or none, at the usual place."""

    def __init__(self, script):
        self.child = subprocess.Popen(["unshare", "-m", "sh", "-ec", f"{script}; echo ready; exec sleep {CHILD_S}"],
                                      stdout=subprocess.PIPE, text=True)
        expect(self.child.stdout.readline(), "ready\n")

    def enter(self):
        fd = os.open(f"/proc/{self.child.pid}/ns/mnt", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNS):
            os._exit(99)
        os.close(fd)

    def run(self, *argv):
        return subprocess.run(argv, preexec_fn=self.enter, capture_output=True, text=True, timeout=CHILD_S, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()


class UsualPlace(Engine):
    """skiffd with its default pin directory, in mounts of its own."""

    def __init__(self, mounts):
        super().__init__("/sys/fs/bpf/skiff")
        self.skiffd.before = mounts.enter


def unload_leaves_nothing():
    with Nodes() as m, PrivateMounts("mount -t bpf none /sys/fs/bpf") as mounts:
        m.engine.stop()
        remove_pins(m.setup.pin_dir)  # else its programs would refuse for the closed pods
        engine = UsualPlace(mounts)

        def ctl(*words):
            done = mounts.run(SKIFFCTL, "--socket", engine.skiffd.control, *words)
            return done.returncode, done.stdout + done.stderr
        try:
            m.configure(engine)
            m.ask(m.closed)
            status, text = ctl("bpf", "unload")
            expect((status, "stop it first" in text), (1, True), text)
            engine.kill()
            wait("EPERM", lambda: connect_errno(m.closed, (m.server.ip4, 8080)) == errno.EPERM, 1)
            status, text = ctl("bpf", "show")  # without a skiffd, from the pins
            expect((status, len(rows_of(text, "skiff_pods"))), (0, 3), text)
            expect(ctl("bpf", "unload")[0], 0)
            expect("skiff" in mounts.run("ls", "/sys/fs/bpf").stdout, False)
            m.ask(m.closed)
            expect(ctl("bpf", "unload")[0], 0, "again: fine")
        finally:
            engine.close()


def a_missing_bpf_file_system_is_mounted():
    with PrivateMounts("umount -l /sys/fs/bpf") as mounts:
        engine = UsualPlace(mounts)
        try:
            engine.policy()
            assert "skiff_pods" in mounts.run("ls", "/sys/fs/bpf/skiff").stdout
        finally:
            expect(engine.close(), 0)


def doctor_names_what_this_kernel_has():
    done = subprocess.run([SKIFFCTL, "doctor"], capture_output=True, text=True, timeout=CHILD_S, check=True)
    rows = done.stdout.partition("capture:\n")[2].splitlines()
    for feature in ("cgroup/connect programs", "sockops programs", "sk_lookup programs", "SOCKHASH maps", "SO_NETNS_COOKIE"):
        assert any(row.split()[0] == "has" and feature in row and ": " in row for row in rows), (feature, done.stdout)


run([closed_pods_refuse_both_ways_when_the_engine_is_gone, closed_pods_refuse_both_ways_when_the_engine_hangs,
     a_new_engine_beside_the_old_one_takes_over_all, the_pins_carry_programs_that_are_replaced_not_added,
     a_policy_that_went_while_the_engine_was_away_goes, a_pod_that_died_while_the_engine_was_away_is_forgotten,
     show_prints_tables, only_what_changed_is_written, a_map_of_another_layout_is_refused_by_name,
     another_layout_number_is_refused, without_capabilities_one_clear_line, without_cgroup2_one_clear_line,
     unload_leaves_nothing, a_missing_bpf_file_system_is_mounted, doctor_names_what_this_kernel_has])
