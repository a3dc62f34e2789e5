# SPDX-License-Identifier: Apache-2.0
"""Plain sockets for tests: a server with a thread a connection, and a reader of lines and lengths."""
import socket
import struct
import threading


class Server:
    """Runs @serve(socket) in a thread for every connection; what it raises about sockets ends that connection."""

    def __init__(self, serve, listener=None):
        self.socket = listener or socket.create_server(("127.0.0.1", 0), backlog=512)
        self.socket.settimeout(None)
        self.port = self.socket.getsockname()[1]
        self.serve, self.connections, self.open = serve, 0, set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(s)
            threading.Thread(target=self._run, args=(s,), daemon=True).start()

    def _run(self, s):
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.serve(s)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            self.open.discard(s)
            s.close()

    def reset_all(self):
        """Resets every connection: their threads wake up and close them."""
        for s in list(self.open):
            try:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RD)
            except OSError:
                pass

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        for s in list(self.open):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Reader:
    """Reads a byte stream in pieces that make sense."""

    def __init__(self, s, have=b""):
        self.s, self.have = s, have

    def fill(self):
        d = self.s.recv(1 << 18)
        if not d:
            raise EOFError(self.have[:200])
        self.have += d

    def until(self, end):
        while end not in self.have:
            self.fill()
        head, _, self.have = self.have.partition(end)
        return head

    def take(self, n):
        pieces, have = [], 0
        while have < n:
            if not self.have:
                self.fill()
            piece, self.have = self.have[:n - have], self.have[n - have:]
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)

    def skip(self, n):
        """Drops @n bytes without keeping them."""
        while n:
            if not self.have:
                self.fill()
            k = min(n, len(self.have))
            self.have, n = self.have[k:], n - k

    def rest(self):
        """Everything to the end of the stream."""
        out = [self.have]
        while d := self.s.recv(1 << 18):
            out.append(d)
        self.have = b""
        return b"".join(out)
