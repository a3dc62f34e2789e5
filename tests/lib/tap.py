# SPDX-License-Identifier: Apache-2.0
"""A relay that notes when certain bytes pass from the server to the client: the moment a configuration arrives.

    tap = Tap(("10.1.2.1", 0), ("10.1.2.1", 15010))        # or paths of unix sockets
    tap.watch("mark-7"); ...; tap.last("mark-7", before_ns)
    tap.began, tap.ended                                   # of its connections, None: goes on
Plaintext only. The time is taken before the bytes are handed on. What is cut in two by a frame's header is not found.
"""
import collections
import socket
import threading
import time


def make(where):
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


class Tap:
    def __init__(self, listen, server):
        self.server, self.seen, self.words, self.open = server, collections.defaultdict(list), (), []
        self.began, self.ended = [], []  # of connections, by their order
        self.listener = make(listen)
        self.listener.bind(listen)
        self.listener.listen(64)
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def watch(self, *words):
        """From now on these, and no others."""
        self.seen.clear()
        self.words = tuple(w.encode() for w in words)

    def last(self, word, before):
        """CLOCK_MONOTONIC ns when @word passed for the last time before @before, or None."""
        return max((t for t in self.seen[word.encode()] if t <= before), default=None)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = make(self.server)
                server.connect(self.server)
            except OSError:
                return
            for s in (client, server):
                if s.family == socket.AF_INET:
                    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open += [client, server]
            self.began.append(time.monotonic_ns())
            self.ended.append(None)
            threading.Thread(target=self.watch_end, args=(len(self.began) - 1, client, server), daemon=True).start()
            threading.Thread(target=self.relay, args=(server, client, True), daemon=True).start()

    def watch_end(self, number, client, server):
        """What the client says, until it says no more."""
        self.relay(client, server, False)
        self.ended[number] = time.monotonic_ns()

    def relay(self, source, to, is_watched):
        tail = b""
        try:
            while data := source.recv(1 << 18):
                if is_watched and self.words:
                    now, text = time.monotonic_ns(), tail + data
                    for word in self.words:
                        if text.find(word) >= 0:
                            self.seen[word].append(now)
                    tail = data[-max(map(len, self.words)) + 1:]
                to.sendall(data)
        except OSError:
            pass
        for s in (source, to):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        for s in (self.listener, *self.open):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
