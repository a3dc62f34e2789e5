# SPDX-License-Identifier: Apache-2.0
"""The messages of the discovery service as Python values, written and read by hand: tests want to make wrong ones, too.

Resources are bytes (what stands in an Any); text() makes them from protobuf's text format with protoc and our proto/ folder.
"""
import collections
import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
T = "type.googleapis.com/"
CDS, LDS = T + "envoy.config.cluster.v3.Cluster", T + "envoy.config.listener.v3.Listener"
EDS, RDS = T + "envoy.config.endpoint.v3.ClusterLoadAssignment", T + "envoy.config.route.v3.RouteConfiguration"
SDS = T + "envoy.extensions.transport_sockets.tls.v3.Secret"
ECDS, VHDS = T + "envoy.config.core.v3.TypedExtensionConfig", T + "envoy.config.route.v3.VirtualHost"
DRDS = T + "envoy.extensions.filters.network.dubbo_proxy.v3.MultipleRouteConfiguration"
TYPES = {"cds": CDS, "lds": LDS, "eds": EDS, "rds": RDS, "sds": SDS, "ecds": ECDS, "vhds": VHDS, "drds": DRDS}

# One request of a client. delta: names is what it subscribes to, gone what it unsubscribes from, versions what it holds already;
# sotw: names is all that it wants, version what it has accepted. error: text of a NACK, None of an ACK or a first request.
Request = collections.namedtuple("Request", "type nonce version names gone versions error node delta")


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def field(number, value):
    """A field: bytes and text with their length, numbers as varints."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def spans(data):
    """[(number, int or bytes, the whole field as it was)] of a message."""
    out, i = [], 0

    def number():
        nonlocal i
        n = shift = 0
        while True:
            b = data[i]
            i += 1
            n |= (b & 127) << shift
            shift += 7
            if not b & 128:
                return n

    while i < len(data):
        start, key = i, number()
        if key & 7 == 0:
            value = number()
        else:
            size = number() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            value = data[i:i + size]
            i += size
        if i > len(data):
            raise ValueError("cut message")
        out.append((key >> 3, value, data[start:i]))
    return out


def fields(data):
    """[(number, int or bytes)]."""
    return [(number, value) for number, value, _ in spans(data)]


def first(data, number, default=b""):
    return next((v for n, v in fields(data) if n == number), default)


def proto_files():
    folder = os.path.join(ROOT, "proto")
    return sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)


def text(kind, source):
    """The bytes of a message of the type @kind (envoy.config.cluster.v3.Cluster) from protobuf's text format; an Any in it is
    written out: typed_config { [type.googleapis.com/x.Y] { ... } }."""
    argv = ["protoc", f"-I{os.path.join(ROOT, 'proto')}", f"--encode={kind}", *proto_files()]
    done = subprocess.run(argv, input=source.encode(), capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"{done.stderr.decode()} in {source}")
    return done.stdout


class Word(str):
    """The name of an enum's value, for pb()."""


def text_of(value):
    """Protobuf's text format of a dict: "@type" makes an Any of it, lists are repeated fields."""
    if isinstance(value, dict):
        inner = " ".join(f"{k}: {text_of(x)}" for k, v in value.items() if k != "@type" for x in (v if isinstance(v, list) else [v]))
        return f"{{ [{value['@type']}] {{ {inner} }} }}" if "@type" in value else f"{{ {inner} }}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, str) and not isinstance(value, Word) else str(value)


def pb(url, value):
    """The bytes of a message of the type @url (or its name) from a dict with the fields' names."""
    return text(url.removeprefix(T), text_of(value)[1:-1])


def name_of(resource):
    """Clusters, listeners, routes, endpoints and secrets have their name in field 1."""
    return first(resource, 1).decode()


def renamed(resource, name):
    return field(1, name) + b"".join(raw for n, _, raw in spans(resource) if n != 1)


def any_of(kind, resource):
    return field(1, kind) + field(2, resource)


def duration(seconds):
    whole = int(seconds)
    return field(1, whole) + field(2, int((seconds - whole) * 1e9))


def resource_of(kind, name, resource, version="", ttl=None):
    """A Resource of a delta response (and of a sotw one that needs a time to live). @resource None: a heartbeat."""
    out = field(1, version) if version else b""
    if resource is not None:
        out += field(2, any_of(kind, resource))
    return out + field(3, name) + (field(6, duration(ttl)) if ttl else b"")


def delta_response(kind, resources, removed=(), version="", nonce=""):
    """@resources: encoded Resources."""
    return (field(1, version) + b"".join(field(2, r) for r in resources) + field(4, kind) + field(5, nonce)
            + b"".join(field(6, n) for n in removed))


def sotw_response(kind, resources, version="", nonce=""):
    """@resources: encoded Anys."""
    return field(1, version) + b"".join(field(2, r) for r in resources) + field(4, kind) + field(5, nonce)


def read_request(data, delta):
    get = collections.defaultdict(list)
    for number, value in fields(data):
        get[number].append(value)

    def one(number):
        return get[number][-1].decode() if get[number] else ""

    def error(number):
        return first(get[number][-1], 2).decode() if get[number] else None

    if delta:
        versions = {first(v, 1).decode(): first(v, 2).decode() for v in get[5]}
        return Request(one(2), one(6), "", [n.decode() for n in get[3]], [n.decode() for n in get[4]], versions, error(7),
                       get[1][-1] if get[1] else None, True)
    return Request(one(4), one(5), one(1), [n.decode() for n in get[3]], [], {}, error(6), get[2][-1] if get[2] else None, False)


def read_resources(data):
    """{name: bytes} and the type of a recorded response, delta or sotw."""
    out, kind = {}, first(data, 4).decode()
    for number, value in fields(data):
        if number == 2:
            inner = first(value, 2)
            # A Resource's field 1 is a version, an Any's its type.
            resource = inner if first(value, 1).startswith(b"type.googleapis.com/") else first(inner, 2)
            out[name_of(resource)] = resource
    return kind, out
