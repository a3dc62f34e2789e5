# SPDX-License-Identifier: Apache-2.0
"""A management server for tests: it serves what it is given over ADS, delta and state-of-the-world, and misbehaves on command.

    server = XdsServer().load("tests/data/xds/bookinfo/productpage-delta")
    server.set("cds", {name: bytes, ...})       pushes the difference to every stream
    server.wait(lambda r: r.error)              the first request that a client sent or sends for which that is true
    server.send_raw(b"not protobuf")            and the other send_*, below: to every open stream

It keeps every request (requests), also those of streams that have ended. Needs Debian's python3-h2. It knows nothing about skiff.
"""
import itertools
import os
import queue
import socket
import ssl
import struct
import sys
import threading
import time

try:
    import h2  # noqa: F401
except ImportError:  # another Python than Debian's: h2, hpack and hyperframe are plain Python
    sys.path.append("/usr/lib/python3/dist-packages")
import h2.config
import h2.connection
import h2.events
import h2.exceptions

from xds_wire import (CDS, LDS, TYPES, any_of, delta_response, field, fields, first, read_request, read_resources, resource_of,
                      sotw_response)

SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
WILD = (CDS, LDS)


def kind_of(kind):
    return TYPES.get(kind, kind)


class Stream:
    """One ADS stream. What it sends goes through a thread of its own: waiting for the client's window holds up nobody else."""

    def __init__(self, connection, number, delta):
        self.connection, self.number, self.delta = connection, number, delta
        self.server = connection.server
        self.types, self.node, self.data, self.open = {}, None, b"", True
        self.jobs = queue.Queue()
        threading.Thread(target=self.work, daemon=True).start()

    # ---- what the client sends
    def received(self, data):
        self.data += data
        while len(self.data) >= 5:
            size = struct.unpack(">I", self.data[1:5])[0]
            if len(self.data) < 5 + size:
                return
            message, self.data = self.data[5:5 + size], self.data[5 + size:]
            request = read_request(message, self.delta)
            if request.node is not None:
                self.node = first(request.node, 1).decode()
            self.server.note(self, request)
            self.answer(request)

    def answer(self, request):
        """Does what a good server does: notes what is wanted and sends what is missing."""
        if request.nonce and request.type in self.types and not (request.names or request.gone) and self.delta:
            return
        new = request.type not in self.types
        state = self.types.setdefault(request.type, {"names": set(), "wild": False, "has": {}})
        before = set(state["names"]), state["wild"]
        if self.delta:
            state["names"] |= set(request.names) - {"*"}
            state["names"] -= set(request.gone)
            for name in request.gone:
                state["has"].pop(name, None)
            state["wild"] |= "*" in request.names or (new and not request.names and request.type in WILD)
            if "*" in request.gone:
                state["wild"] = False
            if new:
                state["has"] = dict(request.versions)
            for name in request.names:
                state["has"].pop(name, None)
            if new or request.names:
                self.push(request.type, unknown=set(request.names) - {"*"})
            return
        state["names"], state["wild"] = set(request.names), not request.names and request.type in WILD
        if new or (state["names"], state["wild"]) != before:
            self.push(request.type)

    # ---- what it is sent
    def push(self, kind, unknown=()):
        """The difference between what it has and what the server has, of one type."""
        state = self.types.get(kind)
        if not state or self.server.held is True or kind in (self.server.held or ()):
            return
        with self.server.lock:
            have = self.server.resources.get(kind, {})
            wanted = {n: v for n, v in have.items() if state["wild"] or n in state["names"]}
        nonce = self.server.nonce()
        if self.delta:
            changed = {n: (data, version) for n, (data, version) in wanted.items() if state["has"].get(n) != version}
            removed = [n for n in state["has"] if n not in wanted] + [n for n in unknown if n not in have]
            state["has"] = {n: version for n, (_, version) in wanted.items()}
            if not (changed or removed or kind in WILD):
                return
            body = delta_response(kind, [resource_of(kind, n, d, v) for n, (d, v) in changed.items()], dict.fromkeys(removed),
                                  self.server.version(), nonce)
        else:
            body = sotw_response(kind, [any_of(kind, d) for d, _ in wanted.values()], self.server.version(), nonce)
        self.send(body)

    def send(self, body, flag=0, length=None):
        """One gRPC message. @flag, @length: what its prefix says, true or not."""
        prefix = struct.pack(">BI", flag, len(body) if length is None else length)
        self.jobs.put(lambda: self.connection.send_data(self.number, prefix + body))

    def drip(self, body, piece, seconds):
        """One message, @piece bytes every @seconds."""
        data = struct.pack(">BI", 0, len(body)) + body

        def job():
            for i in range(0, len(data), piece):
                if not self.open:
                    return
                self.connection.send_data(self.number, data[i:i + piece])
                time.sleep(seconds)

        self.jobs.put(job)

    def end(self, status=0, message=""):
        """Trailers: the server has said its last word."""
        def job():
            headers = [("grpc-status", str(status))] + ([("grpc-message", message)] if message else [])
            self.connection.do(lambda c: c.send_headers(self.number, headers, end_stream=True))
        self.jobs.put(job)

    def half_close(self):
        """END_STREAM without trailers, which gRPC does not allow."""
        self.jobs.put(lambda: self.connection.do(lambda c: c.end_stream(self.number)))

    def reset(self, code=2):
        self.jobs.put(lambda: self.connection.do(lambda c: c.reset_stream(self.number, code)))

    def work(self):
        while True:
            job = self.jobs.get()
            if job is None:
                return
            try:
                job()
            except (OSError, h2.exceptions.ProtocolError):
                self.open = False

    def close(self):
        self.open = False
        self.jobs.put(None)


class Connection:
    """One HTTP/2 connection and its thread."""

    def __init__(self, server, sock):
        self.server, self.sock, self.streams, self.open = server, sock, {}, True
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.lock = threading.Condition()
        threading.Thread(target=self.run, daemon=True).start()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def do(self, what):
        with self.lock:
            what(self.h2)
            self.flush()

    def send_data(self, number, data):
        """Waits for the client's window as long as the connection lives."""
        view = memoryview(data)
        while view:
            with self.lock:
                while self.open and number in self.streams and self.h2.local_flow_control_window(number) <= 0:
                    self.lock.wait(1)
                if not self.open or number not in self.streams:
                    raise OSError("closed")
                n = min(len(view), self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
                self.h2.send_data(number, bytes(view[:n]))
                self.flush()
            view = view[n:]

    def run(self):
        try:
            if self.server.tls:
                self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
            self.do(lambda c: c.initiate_connection())
            while True:
                while self.server.deaf and self.open:
                    time.sleep(.02)
                data = self.sock.recv(1 << 16)
                if not data:
                    break
                with self.lock:
                    events = self.h2.receive_data(data)
                    for event in events:
                        if isinstance(event, h2.events.DataReceived):
                            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self.flush()
                    self.lock.notify_all()
                for event in events:
                    self.on(event)
        except (OSError, h2.exceptions.ProtocolError) as e:
            if self.open:
                self.server.errors.append(str(e))
        finally:
            self.close()
            self.sock.close()

    def on(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.begin(event.stream_id, dict(event.headers))
        elif isinstance(event, h2.events.DataReceived) and event.stream_id in self.streams:
            self.streams[event.stream_id].received(event.data)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)) and event.stream_id in self.streams:
            stream = self.streams[event.stream_id]
            if isinstance(event, h2.events.StreamEnded):
                stream.end(0)
            with self.lock:
                if isinstance(event, h2.events.StreamReset):
                    del self.streams[event.stream_id]
            stream.close()

    def begin(self, number, headers):
        path = headers.get(":path", "")
        self.server.headers.append(headers)
        refuse = self.server.refusal(headers)
        if path not in (SERVICE + "DeltaAggregatedResources", SERVICE + "StreamAggregatedResources"):
            refuse = refuse or [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12")]
        if path.endswith("/DeltaAggregatedResources") and not self.server.delta:
            refuse = refuse or [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12")]
        if refuse:
            self.do(lambda c: c.send_headers(number, refuse, end_stream=True))
            return
        self.do(lambda c: c.send_headers(number, [(":status", "200"), ("content-type", "application/grpc")]))
        with self.lock:
            self.streams[number] = Stream(self, number, path.endswith("/DeltaAggregatedResources"))

    def close(self, with_reset=False):
        """Wakes the reading thread, which closes the socket: closed from here, its number could be another file's while OpenSSL
        still writes to it."""
        with self.lock:
            if not self.open:
                return
            self.open = False
            self.lock.notify_all()
        for stream in list(self.streams.values()):
            stream.close()
        try:
            if with_reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket.shutdown(self.sock, socket.SHUT_RD if with_reset else socket.SHUT_RDWR)
        except OSError:
            pass


class XdsServer:
    """@listener: a listening socket (a pod's, say); without, one at @host:@port (0: any). @tls: an ssl.SSLContext of a server (see
    server_context()). @token: what the header authorization must be ("Bearer ..."). @delta False: has no delta (UNIMPLEMENTED)."""

    def __init__(self, host="127.0.0.1", port=0, listener=None, tls=None, token=None, delta=True):
        self.listener = listener or socket.create_server((host, port), reuse_port=False)
        self.listener.settimeout(None)
        self.host, self.port = self.listener.getsockname()[:2]
        self.tls, self.token, self.delta = tls, token, delta
        self.lock, self.told = threading.RLock(), threading.Condition()
        self.resources, self.requests, self.headers, self.errors = {}, [], [], []  # type -> {name: (bytes, version)}
        self.connections, self.held, self.deaf, self.refuse = [], False, False, None
        self.count, self.pushes = itertools.count(1), 1
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections = [c for c in self.connections if c.open] + [Connection(self, s)]

    def refusal(self, headers):
        if self.refuse:
            return self.refuse
        if self.token and headers.get("authorization") != self.token:
            return [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "16"), ("grpc-message", "no token")]
        return None

    # ---- what it serves
    def nonce(self):
        return f"n{next(self.count)}"

    def version(self):
        return f"v{self.pushes}"

    def set(self, kind, resources, push=True):
        """All resources of a type ("cds" or a type URL): {name: bytes}. What is new or changed, and what is gone, is pushed."""
        kind = kind_of(kind)
        with self.lock:
            self.pushes += 1
            old = self.resources.get(kind, {})
            self.resources[kind] = {n: old[n] if n in old and old[n][0] == d else (d, f"{n[:8]}-{self.pushes}")
                                    for n, d in resources.items()}
        if push:
            for stream in self.streams():
                stream.push(kind)
        return self

    def get(self, kind):
        """{name: bytes}."""
        with self.lock:
            return {n: d for n, (d, _) in self.resources.get(kind_of(kind), {}).items()}

    def hold(self, on=True):
        """Held, it answers nothing (or nothing of the type URLs @on); released (@on False), it sends what is missing."""
        self.held = on
        for stream in self.streams() if not on else ():
            for kind in list(stream.types):
                stream.push(kind)

    def load(self, folder):
        """The recorded responses (*.pb) of a folder of tests/data/xds. Pushes nothing."""
        for name in sorted(os.listdir(folder)):
            if name.endswith(".pb"):
                with open(os.path.join(folder, name), "rb") as f:
                    kind, resources = read_resources(f.read())
                self.set(kind, resources, push=False)
        return self

    # ---- what clients said
    def note(self, stream, request):
        with self.told:
            self.requests.append(request)
            self.told.notify_all()

    def wait(self, condition, seconds=10, since=0):
        """The first of requests[since:], now or later, that meets @condition; raises after @seconds."""
        end = time.monotonic() + seconds
        with self.told:
            while True:
                for r in self.requests[since:]:
                    if condition(r):
                        return r
                if not self.told.wait(max(0, end - time.monotonic())) and time.monotonic() >= end:
                    raise AssertionError(f"no such request in {seconds} s; the last are {self.requests[-5:]}")

    def nacks(self):
        return [r for r in self.requests if r.error is not None]

    def mark(self):
        """For wait(since=...): what came up to now does not count."""
        return len(self.requests)

    def streams(self):
        """The open ones."""
        return [s for c in self.connections if c.open for s in list(c.streams.values()) if s.open]

    # ---- what good servers do not do; each to every open stream
    def send_response(self, kind, resources=(), removed=(), nonce=None, version=None, alone=False):
        """A response made by hand, whatever the server has. @resources: (name, bytes or None) or (name, bytes, ttl); the same name
        twice is possible; bytes None is a heartbeat. To a state-of-the-world stream goes all else that the server has of the type
        (but for @removed), too, unless @alone: what is missing there is gone. Returns the nonce."""
        nonce, kind = self.nonce() if nonce is None else nonce, kind_of(kind)
        for s in self.streams():
            s.send(self.response(s.delta, kind, resources, removed, nonce, version, alone))
        return nonce

    def response(self, delta, kind, resources, removed, nonce, version, alone):
        """The encoded message of send_response()."""
        inner = [resource_of(kind, r[0], r[1], version or "x", r[2] if len(r) > 2 else None) for r in resources]
        if delta:
            return delta_response(kind, inner, removed, version or self.version(), nonce)
        wrapper = "type.googleapis.com/envoy.service.discovery.v3.Resource"
        anys = [any_of(kind, r[1]) if len(r) < 3 else any_of(wrapper, i) for r, i in zip(resources, inner)]
        if not alone:
            other = {*removed, *(r[0] for r in resources)}
            anys += [any_of(kind, d) for n, d in self.get(kind).items() if n not in other]
        return sotw_response(kind, anys, version or self.version(), nonce)

    def send_raw(self, data, flag=0, length=None):
        """Bytes as a gRPC message. @flag 1 says compressed; @length lies about the size."""
        for s in self.streams():
            s.send(data, flag, length)

    def send_huge(self, kind, megabytes, name="huge"):
        """One response with a resource of that size: valid protobuf, an unknown field full of zeros."""
        self.send_response(kind, [(name, field(1, name) + field(15000, bytes(megabytes << 20)))])

    def send_slowly(self, kind, resources, piece=1, seconds=.05):
        """A good response, @piece bytes at a time; otherwise as send_response()."""
        kind = kind_of(kind)
        for s in self.streams():
            s.drip(self.response(s.delta, kind, resources, (), self.nonce(), "slow", False), piece, seconds)

    def end_streams(self, status=0, message=""):
        """Trailers with a gRPC status."""
        for s in self.streams():
            s.end(status, message)

    def half_close(self):
        for s in self.streams():
            s.half_close()

    def reset_streams(self, code=2):
        for s in self.streams():
            s.reset(code)

    def goaway(self):
        """No new streams on the connections that are there; those that are open stay until they are ended."""
        for c in self.connections:
            if c.open:
                last = max(c.streams, default=0)
                self.send_bytes(struct.pack(">IBIII", 8 << 8 | 7, 0, 0, last, 0), c)

    def send_bytes(self, data, only=None):
        """Bytes between HTTP/2 frames: a broken peer."""
        for c in self.connections:
            if c.open and only in (None, c):
                with c.lock:
                    c.sock.sendall(data)

    def drop(self, with_reset=False):
        """Ends the TCP connections."""
        for c in self.connections:
            c.close(with_reset)

    def refuse_with(self, status=None, grpc_status=14, message="go away"):
        """New streams get that HTTP status, or a gRPC status. refuse = None ends it."""
        self.refuse = ([(":status", str(status))] if status else
                       [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", str(grpc_status)),
                        ("grpc-message", message)])

    def close(self):
        """Like a server that died: nobody listens any more."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def server_context(certificate, key, client_ca=None):
    """For XdsServer(tls=...): h2 by ALPN; @client_ca: a certificate of the client is wanted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def node_metadata(node):
    """The metadata of Request.node as Python values (for what a client says about itself)."""
    def value(data):
        for number, v in fields(data):
            if number == 3:
                return v.decode()
            if number == 4:
                return bool(v)
            if number == 5:
                return struct(v)
            if number == 6:
                return [value(x) for n, x in fields(v) if n == 1]
            if number == 2:
                return memoryview(v).cast("d")[0]
        return None

    def struct(data):
        return {first(e, 1).decode(): value(first(e, 2)) for n, e in fields(data) if n == 1}

    return struct(first(node, 3))
