#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""Acceleration with sk_msg: nothing lost, nothing out of order, memory bounded, splicing peers left on TCP."""
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from capture import PEER, SPLICE_PEER, Counted, Mesh, Setup, expect, run

MIB = 1 << 20
CREDIT = 256 * 1024
# what one direction may hold in plain TCP buffers, both connections of the engine, and the engine itself
TCP_LIMIT = 24 * MIB
RSS_LIMIT = 16 * MIB  # of which much is receive buffers of all connections, touched for the first time


class Accelerated(Mesh):
    """Client and server in the mesh, all traffic through the engine."""

    def __init__(self, mode, server=None, early=False):
        super().__init__()
        self.mode, self.argv, self.early = mode, server or [PEER, "serve", "8080", "echo"], early

    def begin(self):
        if self.early:
            self.start_server()
        for pod in (self.client, self.server):
            self.engine.add(pod, accelerate=self.mode)
        self.engine.policy("rule cli out l7 0.0.0.0/0 0")
        if not self.early:
            self.start_server()

    def start_server(self):
        self.child = self.server.popen(self.argv, stdout=subprocess.PIPE, text=True)
        expect(self.child.stdout.readline().strip(), "ready")

    def start_client(self, verb, *args, to=None):
        return self.client.popen([PEER, verb, to or self.server.ip4, "8080", *map(str, args)],
                                 stdout=subprocess.PIPE, text=True)

    def run_client(self, verb, *args, to=None, timeout=120):
        out, _ = self.start_client(verb, *args, to=to).communicate(timeout=timeout)
        return out.strip()

    def settle(self):
        """Both executables have been looked at, and seen reading."""
        self.run_client("talk", 1, 10)
        time.sleep(0.2)
        self.run_client("talk", 64, 10)


def talk(mode, redirected, **kw):
    with Accelerated(mode, **kw) as m:
        for to in (m.server.ip4, m.server.ip6, f"::ffff:{m.server.ip4}"):
            m.settle()
            with Counted(m.engine) as moved:
                expect(m.run_client("talk", 500, 1000, to=to), "bytes 500000 good", to)
            expect(moved["OUT_L7"], 1)
            if redirected:
                # application to engine to application, and back
                expect(moved["MSG_BYTES"], 4 * 500 * 1000, f"redirected, {to}: {moved.moved}")
                expect(moved["ACCEL_ON"], 4)
            else:
                expect(moved["MSG_BYTES"], 0, to)


def a_conversation_moves_past_tcp_in_both():
    talk("both", True)


def a_conversation_moves_past_tcp_in_auto_for_plain_executables():
    talk("auto", True)


def auto_knows_servers_that_listened_before():
    talk("auto", True, early=True)


def off_moves_nothing():
    talk("off", False)


def short_connections(mode):
    with Accelerated(mode, server=[PEER, "serve", "8080", "collect"]) as m:
        for _ in range(50):  # until the executable has been looked at, and seen reading
            with Counted(m.engine) as first:
                m.run_client("short", 20, 100000)
                for _ in range(20):
                    expect(m.child.stdout.readline().strip(), "bytes 100000 good", "first connections")
            if first["MSG_BYTES"] or mode == "off":
                break
            time.sleep(0.1)
        with Counted(m.engine) as moved:
            expect(m.run_client("short", 300, 100000), "bytes 30000000 good")
            for i in range(300):
                expect(m.child.stdout.readline().strip(), "bytes 100000 good", f"connection {i}")
        expect(moved["OUT_L7"], 300)
        assert (moved["MSG_BYTES"] > 0) == (mode != "off"), moved.moved


def write_then_close_loses_nothing_off():
    short_connections("off")


def write_then_close_loses_nothing_auto():
    short_connections("auto")


def write_then_close_loses_nothing_both():
    short_connections("both")


def a_gibibyte_each_way_keeps_its_order_over_the_fall_back():
    with Accelerated("both") as m:
        with Counted(m.engine) as moved:
            expect(m.run_client("stream", 1 << 30, timeout=400), f"bytes {1 << 30} good")
        assert moved["MSG_FALLBACK"] >= 2, f"a stream stays on sk_msg: {moved.moved}"
        assert 0 < moved["MSG_BYTES"] < 1 << 29, moved.moved
        m.engine.wait_event("MSG_FALLBACK", f"netns {m.engine.cookie(m.client)} ")


def streams_through_waiting_peers(mode, server, client, count, fresh, taught=False):
    """Programs that wait in recv(2): the kernel answers EAGAIN there to those that stay on sk_msg, about one stream in ten."""
    for _ in range(count if fresh else 1):
        with Accelerated(mode, server=[PEER, *server, "serve", "8080", "echo"]) as m:
            if taught:
                m.client.popen([PEER, *client, "talk", m.server.ip4, "8080", "10", "10"], stdout=subprocess.DEVNULL).wait(timeout=20)
            for i in range(1 if fresh else count):
                out = m.client.popen([PEER, *client, "stream", m.server.ip4, "8080", str(1 << 28)], stdout=subprocess.PIPE, text=True)
                expect(out.communicate(timeout=200)[0].strip(), f"bytes {1 << 28} good", f"stream {i}")


def a_server_that_waits_in_recv_never_sees_eagain():
    streams_through_waiting_peers("both", ["wait"], [], 10, True)


def a_client_and_a_server_that_wait_never_see_eagain_in_auto():
    streams_through_waiting_peers("auto", ["wait"], ["wait"], 5, False)


def a_client_and_a_server_that_wait_never_see_eagain_in_both():
    """After their first wait: "Known limits" of docs/contract-bpf.md."""
    streams_through_waiting_peers("both", ["wait"], ["wait"], 5, False, taught=True)


def an_executable_that_waits_leaves_acceleration_at_its_first_wait():
    with Accelerated("both", server=[PEER, "wait", "serve", "8080", "echo"]) as m:
        with Counted(m.engine) as moved:
            expect(m.run_client("talk", 200, 1000), "bytes 200000 good")
        expect((moved["ACCEL_ON"], moved["EXEC_WAITS"]), (4, 1), str(moved.moved))
        assert moved["ACCEL_LEFT"] >= 1, moved.moved
        with Counted(m.engine) as moved:
            expect(m.run_client("talk", 200, 1000), "bytes 200000 good")
        # one: the engine's own end, towards a server that stays away
        expect((moved["ACCEL_ON"], moved["ACCEL_WAITS"], moved["MSG_BYTES"]), (1, 2, 0), str(moved.moved))


def auto_accelerates_only_what_was_seen_reading():
    with Accelerated("auto") as m:
        m.run_client("talk", 1, 10)
        time.sleep(0.2)
        with Counted(m.engine) as moved:
            expect(m.run_client("talk", 64, 1000), "bytes 64000 good")
        expect((moved["ACCEL_ON"], moved["ACCEL_WATCHED"], moved["EXEC_PLAIN"]), (1, 2, 1), str(moved.moved))
        with Counted(m.engine) as moved:
            expect(m.run_client("talk", 10, 1000), "bytes 10000 good")
        expect((moved["ACCEL_ON"], moved["MSG_BYTES"]), (4, 40000), str(moved.moved))


def auto_never_accelerates_what_waits():
    with Accelerated("auto", server=[PEER, "wait", "serve", "8080", "echo"]) as m:
        m.settle()
        with Counted(m.engine) as moved:
            expect(m.run_client("talk", 100, 1000), "bytes 100000 good")
        expect((moved["ACCEL_ON"], moved["MSG_BYTES"]), (1, 0), str(moved.moved))


def a_stream_leaves_acceleration_once_it_is_on_tcp():
    with Accelerated("both") as m:
        m.settle()
        with Counted(m.engine) as moved:
            expect(m.run_client("stream", 1 << 26), f"bytes {1 << 26} good")
        expect((moved["ACCEL_ON"], moved["ACCEL_LEFT"]), (4, 2), str(moved.moved))


def the_self_test_is_no_pods():
    with Accelerated("both") as m:
        m.settle()
        cookies = {str(m.engine.cookie(p)) for p in (m.client, m.server)}
        of = set(re.findall(r"capture: pod \d+ netns (\d+) ", m.engine.skiffd.log()))
        assert of and of <= cookies, f"events of {of - cookies}, pods are {cookies}"


def stalled(mode):
    with Accelerated(mode, server=[PEER, "serve", "8080", "stall"]) as m:
        m.run_client("short", 1, 10)
        before = m.engine.rss_kb()
        with Counted(m.engine) as moved:
            client = m.start_client("flood")
            sent = int(re.fullmatch(r"blocked (\d+)", client.stdout.readline().strip())[1])
        assert sent < TCP_LIMIT, f"{sent} bytes went in"
        grown = m.engine.rss_kb() - before
        print(f"# skiffd has grown by {grown} KiB, {sent >> 10} KiB went in")
        assert grown < RSS_LIMIT // 1024, f"skiffd has grown by {grown} KiB"
        # two directions of use: each may have held its credit and no more
        assert moved["MSG_BYTES"] <= 2 * CREDIT, moved.moved
        assert (moved["MSG_BYTES"] > 0) == (mode != "off"), moved.moved
        client.send_signal(signal.SIGUSR1)
        expect(client.stdout.readline().strip(), f"bytes {sent} good")
        m.child.send_signal(signal.SIGUSR1)
        expect(m.child.stdout.readline().strip(), "bytes 10 good", "of the connection before")
        expect(m.child.stdout.readline().strip(), f"bytes {sent} good", "in order over the fall-back")


def a_stalled_reader_stops_the_writer_off():
    stalled("off")


def a_stalled_reader_stops_the_writer_both():
    stalled("both")


def a_reader_that_only_talks_does_not_renew_the_credit():
    """It sends a byte for every answer, and never reads: speaking alone proves nothing."""
    with Accelerated("both") as m:
        m.settle()
        client = m.start_client("mumble", 4000, 4096)
        with Counted(m.engine) as moved:
            said = int(re.fullmatch(r"mumbled (\d+)", client.stdout.readline().strip())[1])
        m.engine.wait_event("MSG_FALLBACK", f"netns {m.engine.cookie(m.client)} ", "local 127.0.0.1:15001")
        # at most: client to engine to server to engine, and the credit of engine to client
        assert moved["MSG_BYTES"] <= 3 * said + CREDIT + 65536, f"of {said}: {moved.moved}"
        assert said > 4 * CREDIT, f"only {said} bytes were said: that proves nothing"
        client.send_signal(signal.SIGUSR1)
        expect(client.stdout.readline().strip(), f"bytes {said} good")


def splicing_server(mode, early):
    with Accelerated(mode, server=[SPLICE_PEER, "8080"], early=early) as m:
        m.settle()
        with Counted(m.engine) as moved:
            expect(m.run_client("talk", 200, 1000, timeout=20), "bytes 200000 good")
        expect(moved["ACCEL_SPLICES"], 1, f"the server's socket: {moved.moved}")
        # the client's side is plain and stays accelerated, both ways
        expect(moved["MSG_BYTES"], 2 * 200 * 1000, str(moved.moved))


def a_splicing_server_works_in_auto():
    splicing_server("auto", False)


def a_splicing_server_that_listened_before_works_in_auto():
    splicing_server("auto", True)


def both_leaves_out_what_is_known_to_splice():
    splicing_server("both", True)


def the_self_test_passes_on_this_kernel():
    with Setup() as s:
        s.engine.policy()
        log = s.engine.skiffd.log()
        assert "could not run" not in log and "acceleration is off" not in log, log


def an_mptcp_client_is_captured_but_stays_on_tcp():
    with Accelerated("both") as m:
        m.settle()
        with Counted(m.engine) as moved:
            child = m.client.popen([PEER, "mptcp", "talk", m.server.ip4, "8080", "200", "1000"], stdout=subprocess.PIPE, text=True)
            expect(child.communicate(timeout=20)[0].strip(), "bytes 200000 good")
        expect((moved["OUT_L7"], moved["ACCEL_EARLY"]), (1, 1), moved.moved)
        # the server's side is plain and stays accelerated, both ways
        expect(moved["MSG_BYTES"], 2 * 200 * 1000, moved.moved)


def an_mptcp_server_answers_the_engine():
    with Accelerated("both", server=[PEER, "mptcp", "serve", "8080", "echo"]) as m:
        expect(m.run_client("talk", 200, 1000, timeout=20), "bytes 200000 good")


def kernel_tls_after_the_first_bytes_goes_on():
    """On an accelerated socket: TCP from the switch on, or a clear refusal; never a lost byte."""
    with Accelerated("both") as m:
        m.settle()
        with Counted(m.engine) as moved:
            child = m.client.popen([PEER, "tls", "talk", m.server.ip4, "8080", "200", "1000"], stdout=subprocess.PIPE, text=True)
            lines = child.communicate(timeout=20)[0].splitlines()
        expect(lines[-1], "bytes 200000 good")
        print(f"# kernel TLS in the pod: {lines[0]}")
        # server's side: 2 * 200,000; client's: engine to client 200,000, and what was said before the switch or all
        said = 1000 if lines[0] == "tls on" else 200 * 1000
        assert moved["MSG_BYTES"] <= 3 * 200 * 1000 + said, moved.moved
        if lines[0] != "tls on":
            assert lines[0].startswith("tls off: "), lines
            expect(moved["MSG_BYTES"], 4 * 200 * 1000, "a refusal changes nothing")


def bytes_of_tcp_fast_open_are_not_overtaken():
    with Accelerated("both") as m:
        for _ in range(20):
            s = m.client.socket()  # blocking: the first send waits for the connection, then goes by TCP
            with Counted(m.engine) as moved:
                s.sendto(b"first.", socket.MSG_FASTOPEN, (m.server.ip4, 8080))
                s.sendall(b"second.")
                got = b""
                while len(got) < 13:
                    got += s.recv(100)
            expect(got, b"first.second.")
            assert moved["ACCEL_EARLY"] or moved["ACCEL_SPLICES"], moved.moved
            s.close()


def maps_are_empty_afterwards():
    with Accelerated("both") as m:
        m.run_client("short", 50, 1000)
        m.run_client("talk", 10, 1000)
        time.sleep(0.5)
        for name in ("skiff_pairs", "skiff_origdst"):
            out = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{m.setup.pin_dir}/{name}"],
                                 capture_output=True, text=True, timeout=10).stdout
            expect(out.strip(), "[]", name)


run([the_self_test_passes_on_this_kernel, a_conversation_moves_past_tcp_in_both,
     a_conversation_moves_past_tcp_in_auto_for_plain_executables, auto_knows_servers_that_listened_before,
     off_moves_nothing, write_then_close_loses_nothing_off, write_then_close_loses_nothing_auto,
     write_then_close_loses_nothing_both, a_gibibyte_each_way_keeps_its_order_over_the_fall_back,
     a_server_that_waits_in_recv_never_sees_eagain, a_client_and_a_server_that_wait_never_see_eagain_in_auto,
     a_client_and_a_server_that_wait_never_see_eagain_in_both,
     an_executable_that_waits_leaves_acceleration_at_its_first_wait, auto_accelerates_only_what_was_seen_reading,
     auto_never_accelerates_what_waits, a_stream_leaves_acceleration_once_it_is_on_tcp, the_self_test_is_no_pods,
     a_stalled_reader_stops_the_writer_off, a_stalled_reader_stops_the_writer_both,
     a_reader_that_only_talks_does_not_renew_the_credit, a_splicing_server_works_in_auto,
     a_splicing_server_that_listened_before_works_in_auto, both_leaves_out_what_is_known_to_splice,
     an_mptcp_client_is_captured_but_stays_on_tcp, an_mptcp_server_answers_the_engine,
     kernel_tls_after_the_first_bytes_goes_on, bytes_of_tcp_fast_open_are_not_overtaken,
     maps_are_empty_afterwards])
