#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""What outlives the engine: open and closed pods without it, take-over of the pins, refusal of other layouts."""
import errno
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from capture import ENGINE, Counted, EngineError, Setup, expect, pin_dir_new, pin_dir_remove, run, start_engine
from netns import Net


class Mesh:
    """An open client, a closed client and a server, with an echo server; and a pod outside."""

    def __enter__(self):
        self.net = Net().__enter__()
        self.setup = None
        try:
            self.open, self.closed, self.server, self.outside = (self.net.pod(n) for n in ("opn", "cls", "srv", "out"))
            self.listener = self.server.listen("::", 8080)
            threading.Thread(target=self._serve, daemon=True).start()
            self.setup = Setup("beat=1").__enter__()
            self.configure(self.setup.engine)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.setup:
            self.setup.__exit__()
        self.net.close()

    def configure(self, engine):
        self.engine = engine
        engine.add(self.open)
        engine.add(self.closed, gone="closed")
        engine.add(self.server, gone="closed")
        engine.policy("rule opn out l7 0.0.0.0/0 8080", "rule cls out l7 0.0.0.0/0 8080",
                      "rule srv in l7 0.0.0.0/0 8081")

    def _serve(self):
        self.listener.settimeout(None)
        while True:
            try:
                served, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(served,), daemon=True).start()

    @staticmethod
    def _echo(served):
        try:
            while data := served.recv(65536):
                served.sendall(data)
        except OSError:
            pass
        served.close()

    def ask(self, pod):
        """One connection, one echo."""
        s = pod.connect((self.server.ip4, 8080))
        try:
            s.sendall(b"ping")
            expect(s.recv(4), b"ping")
        finally:
            s.close()


def refused(pod, to, wanted):
    try:
        pod.connect(to)
    except OSError as e:
        expect(e.errno, wanted, f"connect to {to}")
        return
    raise AssertionError(f"connect to {to} was not refused")


def without_the_engine_open_pods_connect_straight_and_closed_ones_get_eperm():
    with Mesh() as m:
        for pod in (m.open, m.closed):
            with Counted(m.engine) as moved:
                m.ask(pod)
            expect(moved["OUT_L7"], 1)
        m.engine.kill()
        m.ask(m.open)  # at once: no waiting for the heartbeat
        refused(m.closed, (m.server.ip4, 8080), errno.EPERM)
        inner = m.server.listen("0.0.0.0", 8081)
        refused(m.outside, (m.server.ip4, 8081), errno.ECONNREFUSED)
        m.server.connect((m.server.ip4, 8081))  # the pod itself
        inner.close()


def an_engine_that_hangs_is_gone_after_its_heartbeat():
    with Mesh() as m:
        m.engine.tell("beat", "off")
        time.sleep(1.3)
        with Counted(m.engine) as moved:
            m.ask(m.open)
            refused(m.closed, (m.server.ip4, 8080), errno.EPERM)
        expect((moved["OUT_OPEN"], moved["OUT_CLOSED"], moved["OUT_L7"]), (1, 1, 0))
        m.engine.tell("beat", "on")
        with Counted(m.engine) as moved:
            m.ask(m.open)
            m.ask(m.closed)
        expect(moved["OUT_L7"], 2, "back")


def an_inbound_listener_is_not_fed_when_the_engine_hangs():
    with Mesh() as m:
        m.server.listen("0.0.0.0", 8081)
        m.outside.connect((m.server.ip4, 8081)).close()
        m.engine.tell("beat", "off")
        time.sleep(1.3)
        refused(m.outside, (m.server.ip4, 8081), errno.ECONNREFUSED)
        m.engine.wait_event("IN_CLOSED")


class Asking(threading.Thread):
    """Asks from one pod all the time; keeps when each failed question began."""

    def __init__(self, mesh, pod):
        super().__init__(daemon=True)
        self.mesh, self.pod, self.stop, self.asked, self.failed = mesh, pod, False, 0, []
        self.start()

    def run(self):
        while not self.stop:
            began = time.time()
            try:
                self.mesh.ask(self.pod)
            except (OSError, AssertionError) as e:
                self.failed.append((began, e))
            self.asked += 1

    def finish(self):
        self.stop = True
        self.join()


def a_restarted_engine_takes_over_without_a_gap():
    with Mesh() as m:
        m.engine.add(m.closed, gone="open")
        before = m.engine.stats()["OUT_L7"]
        asking = Asking(m, m.open)
        time.sleep(0.5)
        m.engine.kill()
        killed = time.time()  # the process is gone and its sockets are closed
        time.sleep(0.5)
        m.configure(m.setup.restart())
        time.sleep(0.5)
        asking.finish()
        late = [f for f in asking.failed if f[0] > killed]
        expect(late, [], "questions asked after the kill")
        # those on their way through the engine when it died; each of them fails at once
        assert len(asking.failed) <= 5 and asking.asked > 100, f"{asking.failed} of {asking.asked}"
        assert m.engine.stats()["OUT_L7"] > before, "counters were kept"
        with Counted(m.engine) as moved:
            m.ask(m.open)
        expect(moved["OUT_L7"], 1, "captured again")


def a_new_engine_beside_the_old_one_takes_over_all():
    with Mesh() as m:
        old = m.engine
        asking = Asking(m, m.open)
        m.configure(m.setup.restart())
        asking.finish()
        expect(asking.failed, [], "while both live")
        old.kill()
        with Counted(m.engine) as moved:
            for _ in range(50):
                m.ask(m.open)
                m.ask(m.closed)
        expect((moved["OUT_L7"], moved["OUT_OPEN"]), (100, 0))


def the_pins_carry_programs_that_are_replaced_not_added():
    with Mesh() as m:
        def links():
            folder = f"{m.setup.pin_dir}/links"
            return sorted(os.listdir(folder))

        before = links()
        m.engine.kill()
        m.configure(m.setup.restart())
        expect(links(), before)
        with Counted(m.engine) as moved:
            m.ask(m.open)
        expect(moved["OUT_L7"], 1, "one program, not two")


def a_policy_that_went_while_the_engine_was_away_goes():
    with Mesh() as m:
        m.engine.policy("rule opn out deny 0.0.0.0/0 8080")
        refused(m.open, (m.server.ip4, 8080), errno.EPERM)
        m.engine.kill()
        refused(m.open, (m.server.ip4, 8080), errno.EPERM)  # denies need no engine
        m.engine = m.setup.restart()
        m.engine.add(m.open)
        refused(m.open, (m.server.ip4, 8080), errno.EPERM)
        m.engine.policy()
        m.ask(m.open)


def a_pod_that_died_while_the_engine_was_away_is_forgotten():
    with Mesh() as m:
        m.engine.kill()
        pods = len(show(m.setup.pin_dir, "skiff_pods"))
        m.outside.remove()
        m.closed.remove()
        end, left = time.time() + 10, pods
        while left == pods and time.time() < end:
            m.setup.restart().close()
            left = len(show(m.setup.pin_dir, "skiff_pods"))
            time.sleep(0.2)
        expect(left, pods - 1, "pods that are left")


def show(pin_dir, table):
    """The rows of one table of `show`."""
    out = subprocess.run([ENGINE, pin_dir, "show"], capture_output=True, text=True, timeout=10, check=True).stdout
    block = next(b for b in out.split("\n\n") if b.startswith(table + "\n"))
    return block.splitlines()[2:]


def show_prints_tables():
    with Mesh() as m:
        m.engine.policy("rule opn out l7 10.0.0.0/8 80", "rule cls out l4 ::/0 0 7", "backend 7 10.1.2.3:99 5",
                        "authz srv deny fd00::/64 0", "node 10.9.9.9")
        pods = show(m.setup.pin_dir, "skiff_pods")
        expect(len(pods), 3)
        assert any(m.closed.ip4 in row and "closed" in row for row in pods), pods
        policy = "\n".join(show(m.setup.pin_dir, "skiff_policy"))
        for text in ("out  10.0.0.0/8", "80     l7", "out  ::/0", "any    l4       7"):
            assert text in policy, (text, policy)
        assert "10.1.2.3:99" in show(m.setup.pin_dir, "skiff_backends")[0]
        assert "fd00::/64" in show(m.setup.pin_dir, "skiff_authz")[0]
        assert "10.9.9.9" in show(m.setup.pin_dir, "skiff_nodes")[0]
        dump = subprocess.run(["bpftool", "map", "dump", "pinned", f"{m.setup.pin_dir}/skiff_backends"],
                              capture_output=True, text=True, timeout=10).stdout
        for text in ('"service": 7', '"weight": 5', '"port": 99', "255,255,10,1,2,3"):
            assert text in dump, dump


def only_what_changed_is_written():
    """Each commit of the relay engine is a new generation; an entry keeps the one that wrote it."""
    with Mesh() as m:
        def generations():
            return {row.split()[2]: row.split()[-1] for row in show(m.setup.pin_dir, "skiff_policy")}

        a, b, c = (f"rule opn out deny 10.0.{i}.0/24 0" for i in range(3))
        m.engine.policy(a, b)
        first = generations()
        expect(sorted(first), ["10.0.0.0/24", "10.0.1.0/24"])
        m.engine.policy(a, b.replace("deny", "l7"), c)
        second = generations()
        expect(second["10.0.0.0/24"], first["10.0.0.0/24"], "unchanged")
        assert int(second["10.0.1.0/24"]) > int(first["10.0.1.0/24"]), "changed"
        m.engine.kill()
        m.engine = m.setup.restart()
        m.engine.add(m.open)
        m.engine.policy(c)
        expect(generations(), {"10.0.2.0/24": second["10.0.2.0/24"]}, "a restarted engine knows what is there")


def start_fails(pin_dir, *texts):
    try:
        start_engine(pin_dir).kill()
    except EngineError as e:
        for text in texts:
            assert text in str(e), e
        return
    raise AssertionError("started")


def a_map_of_another_layout_is_refused_by_name():
    pin_dir = pin_dir_new()
    try:
        os.makedirs(f"{pin_dir}/links")
        subprocess.run(["bpftool", "map", "create", f"{pin_dir}/skiff_pods", "type", "hash", "key", "8", "value", "64",
                        "entries", "1024", "name", "skiff_pods"], check=True, timeout=10, capture_output=True)
        start_fails(pin_dir, f"{pin_dir}/skiff_pods", "value size 64", "skiffctl bpf unload")
        expect(os.listdir(pin_dir + "/links"), [], "nothing was attached")
    finally:
        pin_dir_remove(pin_dir)


def another_layout_number_is_refused():
    with Setup() as s:
        s.engine.close()
        subprocess.run(["bpftool", "map", "update", "pinned", f"{s.pin_dir}/skiff_beat", "key", "hex", "0", "0", "0",
                        "0", "value", "hex", *(["0"] * 20), "63", "0", "0", "0"], check=True, timeout=10,
                       capture_output=True)
        start_fails(s.pin_dir, "layout 99", "skiffctl bpf unload")


def unload_leaves_nothing():
    with Mesh() as m:
        m.engine.kill()
        refused(m.closed, (m.server.ip4, 8080), errno.EPERM)
        subprocess.run([ENGINE, m.setup.pin_dir, "unload"], check=True, timeout=10)
        expect(os.path.exists(m.setup.pin_dir), False)
        m.ask(m.closed)
        subprocess.run([ENGINE, m.setup.pin_dir, "unload"], check=True, timeout=10)  # again: fine


def without_root_one_clear_line():
    done = subprocess.run([ENGINE, pin_dir_new()], capture_output=True, text=True, timeout=10, user=65534,
                          stdin=subprocess.DEVNULL)
    expect(done.returncode, 1)
    assert done.stdout.count("\n") == 1 and "root" in done.stdout, done.stdout


def without_capabilities_one_clear_line():
    pin_dir = pin_dir_new()
    try:
        done = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", ENGINE, pin_dir],
                              capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
        expect(done.returncode, 1)
        assert done.stdout.count("\n") == 1 and "CAP_BPF" in done.stdout, done.stdout
    finally:
        pin_dir_remove(pin_dir)


def in_mounts_of_its_own(script):
    """What the engine says when it starts after @script changed the mounts."""
    done = subprocess.run(["unshare", "-m", "sh", "-ec", f"{script}; exec {ENGINE} /sys/fs/bpf/skiff_test </dev/null"],
                          capture_output=True, text=True, timeout=20)
    return done.stdout.splitlines()[0]


def without_cgroup2_one_clear_line():
    line = in_mounts_of_its_own("for m in $(awk '$3 == \"cgroup2\" {print $2}' /proc/mounts); do umount -l $m; done")
    assert line.startswith("error ") and "cgroup2" in line and "mount" in line, line


def a_missing_bpf_file_system_is_mounted():
    expect(in_mounts_of_its_own("umount -l /sys/fs/bpf"), "ok open")


def doctor_names_features_and_what_is_done_about_each():
    out = subprocess.run([ENGINE, "/nowhere", "doctor"], capture_output=True, text=True, timeout=20, check=True).stdout
    rows = out.splitlines()
    assert len(rows) >= 15, out
    for row in rows:
        assert row.startswith("has ") or " optional " in row, f"this kernel runs the tests, so it has it: {row}"


run([without_the_engine_open_pods_connect_straight_and_closed_ones_get_eperm,
     an_engine_that_hangs_is_gone_after_its_heartbeat, an_inbound_listener_is_not_fed_when_the_engine_hangs,
     a_restarted_engine_takes_over_without_a_gap, a_new_engine_beside_the_old_one_takes_over_all,
     the_pins_carry_programs_that_are_replaced_not_added, a_policy_that_went_while_the_engine_was_away_goes,
     a_pod_that_died_while_the_engine_was_away_is_forgotten, show_prints_tables, only_what_changed_is_written,
     a_map_of_another_layout_is_refused_by_name, another_layout_number_is_refused, unload_leaves_nothing,
     without_root_one_clear_line, without_capabilities_one_clear_line, without_cgroup2_one_clear_line,
     a_missing_bpf_file_system_is_mounted, doctor_names_features_and_what_is_done_about_each])
