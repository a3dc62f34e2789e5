"""The upstreams: small servers that answer with what they received, or do what the request tells them.

A script comes in the header `x-do` or in the path after `/do/`: commands `word` or `word=value`, separated by `;`:
  status=N reason=T version=V hdr=N:V ctype=T body=T big=N cl=N chunked noclen trailer=N:V 1xx=N slow=N,MS
  delay=MS partial=N abort close reset bye early raw=NAME stay hang upgrade no100 count seq=A,B key=K at=NAME
All servers run on one asyncio loop in a thread of the suite."""

import asyncio
import hashlib
import itertools
import json
import socket
import struct
import threading

CLOSING = ("raw", "bye", "noclen", "close", "reset", "partial", "early", "upgrade")


class Script:
    def __init__(self, value, path):
        if value is None and "/do/" in path:
            value = path.split("/do/", 1)[1].split("/", 1)[0].split("?", 1)[0]
        self.cmds = []
        for part in (value or "").split(";"):
            if part:
                k, _, v = part.partition("=")
                self.cmds.append((k, v))

    def __contains__(self, k):
        return any(c == k for c, _ in self.cmds)

    def get(self, k, default=None):
        for c, v in self.cmds:
            if c == k:
                return v
        return default

    def all(self, k):
        return [v for c, v in self.cmds if c == k]


def show(b):
    if len(b) > 1024:
        return f"<{len(b)} bytes {hashlib.sha256(b).hexdigest()[:16]}>"
    return b.decode("latin-1")


class Upstreams:
    def __init__(self, ports):
        self.ports = ports
        self.seen, self.seq, self.conns = [], {}, {}
        self.raws = {}  # answers to the byte, by name
        self.closing = False  # some script made a server close a connection
        self.cids = itertools.count(1)
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, what: None)
        self.servers, self.writers = {}, {}
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def call(self, coro):
        return asyncio.run_coroutine_threadsafe(coro, self.loop).result(10)

    def reset(self):
        self.seen.clear()
        self.seq.clear()

    def start(self, name, kind):
        if kind == "stuck":
            self.held = self.stick(self.ports[name])
            return
        serve = {"http": self.h1, "tcp": self.tcp, "banner": self.banner, "mute": self.mute}[kind]

        async def wrapped(r, w):
            self.writers.setdefault(name, set()).add(w)
            self.conns[name] = self.conns.get(name, 0) + 1
            try:
                w.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await serve(name, r, w)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError):
                pass
            finally:
                self.writers[name].discard(w)
                w.close()

        async def go():
            self.servers[name] = await asyncio.start_server(
                wrapped, "127.0.0.1", self.ports[name], limit=1 << 22, reuse_address=True
            )

        self.call(go())

    def stick(self, port):
        """A full backlog that nobody accepts from: further connections hang in their handshake. The sockets that do it."""
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen(0)
        fill = [socket.socket() for _ in range(4)]
        for s in fill:
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
        return [server, *fill]

    # ---- HTTP/1 ----------------------------------------------------------
    async def h1(self, name, r, w):
        cid, nth = next(self.cids), 0
        while True:
            head = await r.readuntil(b"\r\n\r\n")
            nth += 1
            lines = head[:-4].decode("latin-1").split("\r\n")
            hs = []
            for line in lines[1:]:
                n, _, v = line.partition(":")
                hs.append([n, v[1:] if v.startswith(" ") else v])
            low = {}
            for n, v in hs:
                low.setdefault(n.lower(), v)
            e = {"server": name, "line": lines[0], "headers": hs, "conn": cid, "nth": nth}
            self.seen.append(e)
            do = Script(low.get("x-do"), (lines[0].split(" ") + ["", ""])[1])
            if do.get("at", name) != name:
                do = Script("", "")
            if not await self.exchange(name, lines[0].split(" ")[0], do, e, r, w, low):
                return

    async def exchange(self, name, method, do, e, r, w, low):
        """One request from its head on. True: the connection stays."""
        item = self.next_item(do)
        if any(x in do for x in CLOSING) or item in ("close", "reset"):
            self.closing = True
        early = "early" in do
        if low.get("expect", "").lower() == "100-continue" and not early and "no100" not in do:
            w.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await w.drain()
        if not early:
            e["body"], e["trailers"], e["complete"] = "", [], False
            _, e["trailers"] = await self.read_body(r, low, e)
            e.pop("complete")
        if not await self.respond(name, method, do, item, e, r, w, low):
            return False
        return low.get("connection", "").lower() != "close" and not early

    def next_item(self, do):
        if "seq" not in do:
            return None
        key = do.get("key", "") + do.get("seq")
        i = self.seq.get(key, 0)
        self.seq[key] = i + 1
        items = do.get("seq").split(",")
        return items[min(i, len(items) - 1)]

    async def read_body(self, r, low, e):
        data, trailers = b"", []
        if "chunked" in low.get("transfer-encoding", ""):
            while True:
                size = int((await self.line(r)).split(b";")[0], 16)
                if size == 0:
                    break
                data += await r.readexactly(size)
                await r.readexactly(2)
                e["body"] = show(data)
            while line := (await self.line(r)).rstrip(b"\r\n"):
                n, _, v = line.decode("latin-1").partition(":")
                trailers.append([n, v.strip()])
        elif "content-length" in low:
            left = int(low["content-length"])
            while left > 0:
                d = await r.read(min(left, 65536))
                if not d:
                    raise asyncio.IncompleteReadError(data, left)
                data += d
                left -= len(d)
                e["body"] = show(data)
        e["body"] = show(data)
        return data, trailers

    async def line(self, r):
        line = await r.readline()
        if not line.endswith(b"\n"):
            raise asyncio.IncompleteReadError(line, None)
        return line

    def abort(self, w):
        s = w.get_extra_info("socket")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        w.transport.abort()

    async def respond(self, name, method, do, item, e, r, w, low):
        """Answers as the script says. True: the connection may stay."""
        status = 200
        if "delay" in do:
            await asyncio.sleep(int(do.get("delay")) / 1000)
        if item and item.startswith("delay"):
            await asyncio.sleep(int(item[5:]) / 1000)
        elif item and item.startswith("hdr"):
            do.cmds.append(("hdr", item[3:]))
        elif item and item not in ("close", "reset"):
            status = int(item)
        if "close" in do or item == "close":
            return False
        if "reset" in do or item == "reset":
            self.abort(w)
            return False
        if "raw" in do:
            w.write(self.raws[do.get("raw")])
            await w.drain()
            if "hang" in do:
                await asyncio.sleep(3)
            return "stay" in do
        if "upgrade" in do:
            return await self.upgraded(name, r, w, low)
        for c in do.all("1xx"):
            w.write(f"HTTP/1.1 {c} Interim\r\nlink: </a.css>; rel=preload\r\n\r\n".encode())
            await w.drain()
        if "status" in do and status == 200:
            status = int(do.get("status"))
        return await self.send(name, method, do, status, e, w)

    async def upgraded(self, name, r, w, low):
        w.write(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: %s\r\nx-backend: %s\r\n\r\n"
            % (low.get("upgrade", "").encode(), name.encode())
        )
        while d := await r.read(65536):
            w.write(b"echo:" + d)
            await w.drain()
        return False

    def content(self, name, do, status, e):
        """(body, content-type); the body of a slow answer is None."""
        if "slow" in do:
            return None, "application/json"
        if "big" in do:
            n = int(do.get("big"))
            return (b"0123456789abcdef" * (n // 16 + 1))[:n], "application/octet-stream"
        if "count" in do:
            return json.dumps({"conn": e["conn"], "nth": e["nth"]}).encode(), "text/plain"
        if status != 200 or "body" in do:
            return do.get("body", f"status {status} from {name}").encode(), "text/plain"
        return json.dumps(e).encode(), "application/json"

    async def send(self, name, method, do, status, e, w):
        body, ctype = self.content(name, do, status, e)
        bodiless = status in (204, 304)
        out = [f"HTTP/{do.get('version', '1.1')} {status} {do.get('reason', 'OK' if status == 200 else 'Status')}"]
        if not bodiless or "cl" in do:
            out.append(f"content-type: {do.get('ctype', ctype)}")
        out.append(f"x-backend: {name}")
        for h in do.all("hdr"):
            n, _, v = h.partition(":")
            out.append(f"{n}: {v}")
        chunked = "chunked" in do or "trailer" in do or body is None
        if chunked:
            out.append("transfer-encoding: chunked")
        elif "cl" in do or ("noclen" not in do and not bodiless):
            out.append(f"content-length: {do.get('cl', len(body))}")
        w.write("\r\n".join(out).encode("latin-1") + b"\r\n\r\n")
        if method != "HEAD" and not bodiless:
            if "partial" in do:
                await self.send_part(do, body, chunked, w)
                return False
            await self.send_body(do, body, chunked, w)
        await w.drain()
        return not ("noclen" in do or "bye" in do)

    async def send_part(self, do, body, chunked, w):
        k = int(do.get("partial"))
        await w.drain()
        await asyncio.sleep(0.05)
        w.write(b"%x\r\n%s\r\n" % (k, body[:k]) if chunked else body[:k])
        await w.drain()
        await asyncio.sleep(0.1)
        if "abort" in do:
            self.abort(w)

    async def send_body(self, do, body, chunked, w):
        if body is None:
            n, ms = map(int, do.get("slow").split(","))
            for i in range(n):
                w.write(b"a\r\n%09d\n\r\n" % i)
                await w.drain()
                await asyncio.sleep(ms / 1000)
            w.write(b"0\r\n\r\n")
        elif chunked:
            half = len(body) // 2
            for part in (body[:half], body[half:]):
                if part:
                    w.write(b"%x\r\n%s\r\n" % (len(part), part))
            w.write(b"0\r\n")
            for t in do.all("trailer"):
                n, _, v = t.partition(":")
                w.write(f"{n}: {v}\r\n".encode())
            w.write(b"\r\n")
        else:
            w.write(body)

    # ---- TCP -------------------------------------------------------------
    async def tcp(self, name, r, w):
        """Echoes lines with its name before them; at EOF tells how much it got. A line can be a command:
        `close`, `reset`, `push N` (N bytes), `shut` (half close), `sink` (swallow until EOF, answer with a checksum).
        """
        e = {"server": name, "line": "tcp", "body": ""}
        self.seen.append(e)
        total = 0
        while True:
            line = await r.readline()
            if not line:
                w.write(f"{name}:eof {total}\n".encode())
                await w.drain()
                return
            total += len(line)
            e["body"] = (e["body"] + line.decode("latin-1"))[:200]
            word = line.strip().decode("latin-1")
            if word == "close":
                return
            if word == "reset":
                self.abort(w)
                return
            if word == "sink":
                await self.sink(name, r, w)
                return
            if word.startswith("push "):
                w.write(b"0123456789abcdef" * (int(word[5:]) // 16))
            elif word == "shut":
                w.write(b"shut\n")
                w.write_eof()
            elif not w.transport.is_closing() and w.can_write_eof() and "shut\n" not in e["body"]:
                w.write(f"{name}:".encode() + line)
            await w.drain()

    async def sink(self, name, r, w):
        n, h = 0, hashlib.sha256()
        while d := await r.read(1 << 18):
            n += len(d)
            h.update(d)
        w.write(f"{name}:sank {n} {h.hexdigest()[:16]}\n".encode())
        await w.drain()

    async def banner(self, name, r, w):
        w.write(f"{name} ready\r\n".encode())
        await self.tcp(name, r, w)

    async def mute(self, name, r, w):
        """Accepts and reads, and says nothing."""
        while await r.read(65536):
            pass
