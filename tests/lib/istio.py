# SPDX-License-Identifier: Apache-2.0
"""A real istiod without Kubernetes, and real Envoys as its sidecars (tests/peers/istio, tests/peers/envoy).

    with Sandbox("x") as box, Net() as net:
        istiod = Istiod(box, net.host4, {"shop": YAML}).start()
        node = Node("web-1", "default", pod.ip4, {"app": "web"})
        envoy = Envoy(box, pod, node, Agent(box, istiod)).start()     # captures all TCP of the pod, as Istio's init does
        istiod.write("shop", OTHER_YAML); istiod.kill(); istiod.start()

It knows nothing about skiff. Files of Istio YAML may hold @name@, which mapping is given by the test (fill()).
"""
import base64
import http.server
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

from sandbox import ROOT, Failed, admin_get, wait_until

GID = 1337  # the group of Envoy, as Istio's: what it sends is not captured again
OUT_PORT, IN_PORT = 15001, 15006
OFFSETS = {"grpc": 10, "tls": 12, "monitoring": 14, "https": 17, "http": 80}
VERSION = "1.31.0"
ISSUER, AUDIENCE = "skiff-test", "istio-ca"


def peer(name):
    """Path that tests/peers/<name>/install prints; builds it the first time (its progress goes to standard error)."""
    done = subprocess.run([os.path.join(ROOT, "tests/peers", name, "install")], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failed(f"tests/peers/{name}/install failed")
    return done.stdout.split()[-1]


def fill(text, names):
    """Replaces each @key@ in @text; one that nobody knows is an error."""
    def value(m):
        if m[1] not in names:
            raise Failed(f"nobody knows @{m[1]}@")
        return str(names[m[1]])
    return re.sub(r"@([a-z][a-z0-9-]*)@", value, text)


def read_config(folder, names):
    """{file name without .yaml: text} of a folder, filled; for Istiod(config=...)."""
    out = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".yaml"):
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                out[name[:-5]] = fill(f.read(), names)
    return out


def port_base(host):
    """A base whose ports (OFFSETS) are free at @host."""
    for _ in range(200):
        base = random.randrange(18000, 31000, 100)
        try:
            for offset in OFFSETS.values():
                with socket.socket() as s:
                    s.bind((host, base + offset))
            return base
        except OSError:
            pass
    raise Failed(f"no free ports at {host}")


class Node:
    """A workload as istiod knows it. @ip is what ServiceEntry endpoints are compared with."""

    def __init__(self, name, namespace, ip, labels=None, account="default", **metadata):
        self.name, self.namespace, self.ip = name, namespace, ip
        self.id = f"sidecar~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local"
        self.cluster = f"{(labels or {}).get('app', name)}.{namespace}"
        self.metadata = {"NAME": name, "NAMESPACE": namespace, "INSTANCE_IPS": ip, "LABELS": labels or {},
                         "SERVICE_ACCOUNT": account, "WORKLOAD_NAME": name, "CLUSTER_ID": "Kubernetes", "MESH_ID": "cluster.local", "ISTIO_VERSION": VERSION,
                         "INTERCEPTION_MODE": "REDIRECT", **metadata}


class Authority:
    """A certificate authority, and the key that signs service account tokens; in a folder, as istiod's ROOT_CA_DIR wants it."""

    def __init__(self, box, host="127.0.0.1"):
        self.dir = os.path.join(box.dir, "authority")
        os.mkdir(self.dir)
        self.root = self.path("root-cert.pem")
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/O=cluster.local/CN=Root",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.path("ca-key.pem"), "-out", self.root)
        with open(self.root, encoding="ascii") as f:
            pem = f.read()
        for name in ("ca-cert.pem", "cert-chain.pem"):
            box.write(os.path.join("authority", name), pem)
        self.openssl("genrsa", "-out", self.path("token-key.pem"), "2048")
        self.box, self.host = box, host
        self.serve_keys()

    def path(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *args, data=None):
        done = subprocess.run(["openssl", *args], input=data, capture_output=True, check=False)
        if done.returncode:
            raise Failed(f"openssl {args[0]}: {done.stderr.decode().strip()}")
        return done.stdout

    def serve_keys(self):
        """An HTTP server with the public half of the token key (JWKS)."""
        modulus = self.openssl("rsa", "-in", self.path("token-key.pem"), "-noout", "-modulus").decode().strip().split("=")[1]
        keys = json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "e": "AQAB",
                                     "n": b64url(bytes.fromhex(modulus))}]}).encode()

        class Keys(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(keys)))
                self.end_headers()
                self.wfile.write(keys)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((self.host, 0), Keys)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def rule(self):
        """JWT_RULE for istiod."""
        keys = f"http://{self.host}:{self.server.server_port}/jwks"
        return json.dumps({"issuer": ISSUER, "jwks_uri": keys, "audiences": [AUDIENCE]})

    def token(self, namespace="default", account="default", seconds=3600):
        """Text of a bearer token of that service account; a negative @seconds makes one that is over."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": [AUDIENCE], "sub": f"system:serviceaccount:{namespace}:{account}", "iat": now,
                  "exp": now + seconds}
        text = ".".join(b64url(json.dumps(x).encode()) for x in ({"alg": "RS256", "typ": "JWT", "kid": "1"}, claims))
        return text + "." + b64url(self.openssl("dgst", "-sha256", "-sign", self.path("token-key.pem"), data=text.encode()))

    def token_file(self, namespace="default", account="default", seconds=3600):
        return self.box.write(f"authority/token-{namespace}-{account}", self.token(namespace, account, seconds))


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Istiod:
    """One istiod. @config: {name: Istio YAML}; @mesh: fields of MeshConfig. With @authority its TLS port takes that authority's
    tokens and certificates; without, it makes an authority of its own and takes no token. start() after stop() or kill() uses
    the same ports and the files as they are then. An edit makes istiod read the whole folder anew (4 s for 5,000 services): files
    of @live are in a folder of their own, where also new ones go if there is any. @age: seconds after which it ends a connection
    (GOAWAY, then 10 s of grace), 0: never."""

    def __init__(self, box, host="127.0.0.1", config=(), mesh=(), authority=None, name="istiod", env=(), base=None,
                 live=(), age=0):
        self.box, self.host, self.name, self.authority, self.age = box, host, name, authority, age
        self.base = base or port_base(host)
        self.folder, self.live = (os.path.join(box.dir, f"{name}-{x}") for x in ("config", "live"))
        self.folders, self.other = {}, self.live if live else self.folder  # file -> folder; where a new one goes
        for folder, files in ((self.folder, config), (self.live, live)):
            os.mkdir(folder)
            for file, text in dict(files).items():
                self.folders[file] = folder
                self.write(file, text)
        sources = [{"address": f"fs://{x}"} for x in ((self.folder, self.live) if live else (self.folder,))]
        self.mesh_file = box.write(f"{name}-mesh.yaml", {
            "configSources": sources, "accessLogFile": "",
            "defaultConfig": {"discoveryAddress": f"{host}:{self.port('grpc')}"}, **dict(mesh)})
        self.env = {**os.environ, "POD_NAME": "istiod-1", "POD_NAMESPACE": "istio-system", **dict(env)}
        if authority:
            self.env |= {"ROOT_CA_DIR": authority.dir, "JWT_RULE": authority.rule()}
        self.child = None

    def port(self, which):
        return self.base + OFFSETS[which]

    @property
    def grpc(self):
        """host:port of plaintext xDS."""
        return f"{self.host}:{self.port('grpc')}"

    @property
    def tls(self):
        """host:port of xDS and certificates over TLS; the certificate's name is istiod.istio-system.svc."""
        return f"{self.host}:{self.port('tls')}"

    # ---- configuration, also while it runs (in force after some 0.3 s)
    def write(self, name, text):
        """Adds or replaces the file @name in one step."""
        path = os.path.join(self.folders.setdefault(name, self.other), f"{name}.yaml")
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def remove(self, name):
        os.unlink(os.path.join(self.folders.pop(name), f"{name}.yaml"))

    def replace(self, config):
        """Exactly these files."""
        for name in [x for x in self.folders if x not in config]:
            self.remove(name)
        for name, text in config.items():
            self.write(name, text)

    # ---- life
    def start(self, seconds=30):
        """Returns when it serves: its gRPC port opens only after its configuration was read."""
        self.child = self.box.spawn([os.path.join(peer("istio"), "istiod"), "nokube", "-mesh", self.mesh_file, "-host", self.host,
                                     "-port", str(self.base), "-age", f"{self.age}s"], env=self.env, log=f"{self.name}.log")
        wait_until(self.name, self.is_open, seconds, self.child)
        return self

    def is_open(self):
        try:
            socket.create_connection((self.host, self.port("grpc")), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.box.end(self.child)

    def kill(self):
        """SIGKILL: no goodbye to its clients."""
        self.child.kill()
        self.box.end(self.child)

    def pause(self, on=True):
        """SIGSTOP, SIGCONT: connections stay and nothing comes."""
        self.child.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def log(self):
        with open(self.child.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def dump(self, node, folder, mode="delta", seconds=2.0):
        """Writes what @node is sent within @seconds to @folder, as NN-*.json and NN-*.pb (raw responses). Returns the summary."""
        status, out, err = self.box.run(
            [os.path.join(peer("istio"), "xdsdump"), "-addr", self.grpc, "-node", node.id, "-meta", json.dumps(node.metadata),
             "-mode", mode, "-out", folder, "-for", f"{seconds}s"], timeout=seconds + 20)
        if status:
            raise Failed(f"xdsdump: {out}{err}")
        return out


class Agent:
    """What Envoys talk to in place of istiod: relays ADS without the filters that only Istio's build of Envoy has, serves SDS.
    One is enough for all Envoys of an istiod. With @tls it speaks to istiod's TLS port, for each Envoy with the token of its
    workload: istiod wants the node's namespace and account in it. They are made for @nodes."""

    def __init__(self, box, istiod, nodes=(), name="agent", tls=False):
        self.box, self.istiod, self.nodes, self.name, self.tls = box, istiod, nodes, name, tls
        self.socket = os.path.join(box.dir, f"{name}.sock")
        self.child = None

    def start(self):
        to = self.istiod.tls if self.tls else self.istiod.grpc
        argv = [os.path.join(peer("istio"), "agent"), "-socket", self.socket, "-istiod", to]
        if self.istiod.authority:
            argv += ["-ca", self.istiod.authority.dir]
        if self.tls:
            argv += ["-tokens", self.istiod.authority.dir]
            for node in self.nodes:
                self.istiod.authority.token_file(node.namespace, node.metadata["SERVICE_ACCOUNT"])
        self.child = self.box.spawn(argv, log=f"{self.name}.log")
        wait_until(self.name, lambda: os.path.exists(self.socket), 10, self.child)
        return self

    def stop(self):
        self.box.end(self.child)


class Envoy:
    """A sidecar in @pod. @capture: outbound and inbound TCP of the pod goes through it (nft, as Istio's iptables rules)."""
    ids = os.getpid() % 20000

    def __init__(self, box, pod, node, agent, capture=True, delta=True, concurrency=1, group=None):
        self.box, self.pod, self.node, self.agent, self.capture = box, pod, node, agent, capture
        self.name = f"envoy-{node.name}"
        self.admin = os.path.join(box.dir, f"{self.name}.admin")
        self.config = box.write(f"{self.name}.json", bootstrap(node, agent.socket, self.admin, delta))
        self.concurrency, self.group, self.child = concurrency, group, None

    def start(self, seconds=30):
        """Returns when all of its first configuration is in force and, with capture, the pod's traffic goes through it."""
        Envoy.ids += 1
        self.child = self.box.spawn(
            ["setpriv", "--regid", str(GID), "--clear-groups", peer("envoy"), "-c", self.config, "--base-id", str(Envoy.ids),
             "--concurrency", str(self.concurrency), "-l", "warning", "--component-log-level", "misc:error"],
            self.pod.path, self.group, log=f"{self.name}.log")
        wait_until(self.name, self.is_ready, seconds, self.child)
        if self.capture:
            capture(self.pod)
        return self

    def is_ready(self):
        try:
            return admin_get(self.admin, "/ready")[0] == 200 and "virtualOutbound" in admin_get(self.admin, "/listeners")[1]
        except OSError:
            return False

    def get(self, target):
        """Text of an admin page."""
        return admin_get(self.admin, target)[1]

    def stats(self):
        return {s["name"]: s["value"] for s in json.loads(self.get("/stats?format=json"))["stats"] if "name" in s}

    def rejected(self):
        """{counter: value} of updates that it refused and still has not replaced; empty is good."""
        return {k: v for k, v in self.stats().items() if k.endswith("update_rejected") and v}

    def log(self):
        with open(self.child.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.capture:
            release(self.pod)
        self.box.end(self.child)


def nft(pod, text):
    argv = ["ip", "netns", "exec", pod.netns, "nft", "-f", "-"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"nft: {done.stderr.strip()}")


def capture(pod):
    """Istio's rules: all but loopback and Envoy's own to 15001, all that comes in to 15006."""
    nft(pod, f"""
table ip istio {{
	chain output {{
		type nat hook output priority -100;
		ip saddr 127.0.0.6 oifname lo return
		oifname lo ip daddr != 127.0.0.1 meta skgid {GID} tcp dport != 15008 redirect to :{IN_PORT}
		oifname lo meta skgid != {GID} return
		meta skgid {GID} return
		ip daddr 127.0.0.1 return
		meta l4proto tcp redirect to :{OUT_PORT}
	}}
	chain prerouting {{
		type nat hook prerouting priority -100;
		iifname lo return
		meta l4proto tcp redirect to :{IN_PORT}
	}}
}}
""")


def release(pod):
    nft(pod, "delete table ip istio\n")


def grpc_cluster(name, path):
    options = {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
               "explicit_http_config": {"http2_protocol_options": {}}}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"pipe": {"path": path}}}}]}]}}


def bootstrap(node, socket_path, admin, delta):
    """Envoy's bootstrap as Istio's agent writes it, as far as it bears on traffic."""
    ads = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    return {
        "node": {"id": node.id, "cluster": node.cluster, "metadata": node.metadata},
        "layered_runtime": {"layers": [{"name": "deprecation", "static_layer": {
            "re2.max_program_size.error_level": 32768, "envoy.reloadable_features.http_reject_path_with_fragment": False}},
            {"name": "admin", "admin_layer": {}}]},
        "admin": {"address": {"pipe": {"path": admin, "mode": 438}}},
        "dynamic_resources": {"lds_config": ads, "cds_config": ads, "ads_config": {
            "api_type": "DELTA_GRPC" if delta else "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]}},
        "static_resources": {"clusters": [grpc_cluster("xds-grpc", socket_path), grpc_cluster("sds-grpc", socket_path)]}}
