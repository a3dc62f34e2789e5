/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * The contract between the kernel programs (bpf/) and user space: map keys and values, constants,
 * names. Included by both sides, and by native unit tests.
 * It is not a place for code: decisions are in bpf/decide.bpf.h, map definitions in bpf/maps.bpf.h.
 * Addresses are 16 bytes (IPv4 as ::ffff:a.b.c.d), ports are in host order, everywhere.
 * A change of any struct here needs a new SKIFF_LAYOUT. docs/contract-bpf.md explains the maps.
 */
#ifndef SKIFF_BPF_H
#define SKIFF_BPF_H

#include <linux/types.h>

#define SKIFF_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)

/* Version of everything below; a pinned map of another layout is refused. */
#define SKIFF_LAYOUT 2

/* SO_MARK of the engine's own sockets: never captured. No bit that kube-proxy or Cilium uses. */
#define SKIFF_MARK 0x51f10001

#define SKIFF_OUTBOUND_PORT 15001 /* in-pod outbound listener, on 127.0.0.1 and [::1] */
#define SKIFF_INBOUND_PORT  15006 /* in-pod inbound listener, any address */

#define SKIFF_CREDIT_BYTES  (256u * 1024) /* default limit of rule 1 (docs/contract-bpf.md) */
#define SKIFF_BEAT_SECONDS  3u            /* default age of the heartbeat that means "gone" */

#define SKIFF_MAX_PODS      1024
#define SKIFF_POD_ADDRS     4
#define SKIFF_MAX_POLICY    65536
#define SKIFF_MAX_AUTHZ     16384
#define SKIFF_MAX_SERVICES  8192
#define SKIFF_MAX_BACKENDS  131072 /* over all services, two sets each while one is replaced */
#define SKIFF_SERVICE_SLOTS 4096   /* backends of one service */
#define SKIFF_PICK_STEPS    13     /* halvings that find one of SKIFF_SERVICE_SLOTS */
#define SKIFF_MAX_ORIGDST   65536
#define SKIFF_MAX_SOCKS     65536
#define SKIFF_MAX_PAIRS     65536
#define SKIFF_MAX_EXECS     8192
#define SKIFF_MAX_NODES     256
#define SKIFF_MAX_POD_STATS 8192
#define SKIFF_EVENT_BYTES   (256 * 1024)

struct skiff_addr {
	__u8 b[16];
} __attribute__((aligned(4)));

/* ---- pods ------------------------------------------------------------------------------------ */

enum skiff_pod_flag {
	SKIFF_POD_CLOSED = 1,     /* engine gone: refuse; unset: connect straight */
	SKIFF_POD_AUTO = 2,       /* accelerate executables known not to splice */
	SKIFF_POD_BOTH = 4,       /* accelerate everything */
	SKIFF_POD_SPLICE_OK = 8,  /* this kernel lets splice(2) see redirected bytes */
};

/* skiff_pods: netns cookie -> pod */
struct skiff_pod {
	__u32 id;
	__u32 flags;    /* enum skiff_pod_flag */
	__u32 identity; /* of the policy layer; opaque here */
	__u16 out_port; /* port of the outbound listener */
	__u16 addrs;    /* used entries of addr[] */
	struct skiff_addr addr[SKIFF_POD_ADDRS];
};
SKIFF_SIZE(struct skiff_pod, 80);

/* ---- policy ---------------------------------------------------------------------------------- */

enum skiff_direction {
	SKIFF_OUTBOUND,
	SKIFF_INBOUND,
};

enum skiff_verdict {
	SKIFF_BYPASS, /* as if no policy named it, but counted */
	SKIFF_L4,     /* pick a backend of the service in the kernel */
	SKIFF_L7,     /* hand it to the engine */
	SKIFF_DENY,
};

/*
 * skiff_policy, LPM trie: asked with the exact port first, then with port 0 (any).
 * addr is the destination: the remote end outbound, the pod's own end inbound.
 */
struct skiff_policy_key {
	__u32 prefixlen; /* SKIFF_POLICY_FIXED + bits of addr */
	__u32 pod;
	__u8 direction;
	__u8 pad;
	__u16 port;
	struct skiff_addr addr;
};
SKIFF_SIZE(struct skiff_policy_key, 28);
#define SKIFF_POLICY_FIXED 64

struct skiff_policy {
	__u32 verdict; /* enum skiff_verdict */
	__u32 service; /* of SKIFF_L4 */
	__u32 authz;   /* inbound: the list of skiff_authz that is asked first; 0: none */
	__u32 generation;
};
SKIFF_SIZE(struct skiff_policy, 16);

/*
 * skiff_authz, LPM trie: who is refused whatever he would say. Asked with the exact port (the pod's
 * own), then with port 0; addr is the source. No entry: as the policy says.
 */
struct skiff_authz_key {
	__u32 prefixlen; /* SKIFF_AUTHZ_FIXED + bits of addr */
	__u32 list;
	__u16 port;
	__u16 pad;
	struct skiff_addr addr;
};
SKIFF_SIZE(struct skiff_authz_key, 28);
#define SKIFF_AUTHZ_FIXED 64

enum skiff_authz_action {
	SKIFF_AUTHZ_PASS, /* not refused here: what the policy says, the engine decides */
	SKIFF_AUTHZ_DENY,
};

struct skiff_authz {
	__u32 action; /* enum skiff_authz_action */
	__u32 generation;
};
SKIFF_SIZE(struct skiff_authz, 8);

/* ---- services -------------------------------------------------------------------------------- */

/* skiff_services: service id -> what to pick from. Replaced in one piece: set flips 0 <-> 1. */
struct skiff_service {
	__u32 count; /* slots 0..count-1 of the set */
	__u32 set;
	__u32 total; /* sum of the weights */
	__u32 generation;
};
SKIFF_SIZE(struct skiff_service, 16);

/* skiff_backends: only healthy backends of positive weight are written. */
struct skiff_backend_key {
	__u32 service;
	__u16 set;
	__u16 slot;
};
SKIFF_SIZE(struct skiff_backend_key, 8);

struct skiff_backend {
	struct skiff_addr addr;
	__u16 port;
	__u16 pad;
	__u32 weight;
	__u32 upto; /* sum of the weights of the slots up to and with this one */
};
SKIFF_SIZE(struct skiff_backend, 28);

/* ---- sockets --------------------------------------------------------------------------------- */

enum skiff_exec_verdict {
	SKIFF_EXEC_UNKNOWN, /* nobody asked, or it cannot be known */
	SKIFF_EXEC_PENDING, /* user space was asked */
	SKIFF_EXEC_PLAIN,   /* cannot splice, reads without waiting: safe to accelerate */
	SKIFF_EXEC_SPLICES, /* may splice: stays on TCP */
	SKIFF_EXEC_WATCHED, /* cannot splice; whether it waits in recv(2) is not known yet */
	SKIFF_EXEC_WAITS,   /* was seen waiting in recv(2) or send(2): stays on TCP */
};

/* skiff_execs: executable file -> verdict */
struct skiff_exec_key {
	__u64 device; /* kernel encoding: major << 20 | minor; stat(2)'s with SKIFF_EXEC_BY_STAT */
	__u64 inode;
	__u32 generation; /* of the inode: a reused number is another file */
	__u32 pad;
};
SKIFF_SIZE(struct skiff_exec_key, 24);

struct skiff_exec {
	__u32 verdict; /* enum skiff_exec_verdict */
	__u32 tgid;    /* who was looked at */
	__u32 reads;   /* of SKIFF_EXEC_WATCHED: acknowledgements while nobody waited */
	__u32 pad[3];
};
SKIFF_SIZE(struct skiff_exec, 24);

/* So many, and nobody seen waiting, make a watched executable a plain one. */
#define SKIFF_EXEC_READS 16

/* The file of a server that listened before its pod joined: only user space could look. */
#define SKIFF_EXEC_BY_STAT (1ull << 63)

enum skiff_sock_flag {
	SKIFF_SOCK_ORIG = 1,     /* orig, port: what the application asked for */
	SKIFF_SOCK_CAPTURED = 2, /* connected to the engine instead */
	SKIFF_SOCK_EXEC = 4,     /* exec or file is known; accepted sockets inherit it */
	SKIFF_SOCK_ACCEL = 8,    /* in skiff_socks */
	SKIFF_SOCK_TCP = 16,     /* this direction uses TCP, for good */
};

/* skiff_sock: socket storage */
struct skiff_sock {
	struct skiff_addr orig;
	__u16 port;
	__u16 flags; /* enum skiff_sock_flag */
	__u32 exec;  /* enum skiff_exec_verdict, where user space wrote it; else see skiff_execs */
	struct skiff_exec_key file;
};
SKIFF_SIZE(struct skiff_sock, 48);

/* skiff_origdst: the client's end of a captured connection -> what it asked for */
struct skiff_origdst_key {
	__u64 netns;
	struct skiff_addr addr;
	__u16 port;
	__u16 pad[3];
};
SKIFF_SIZE(struct skiff_origdst_key, 32);

struct skiff_origdst {
	struct skiff_addr addr;
	__u16 port;
	__u16 pad;
};
SKIFF_SIZE(struct skiff_origdst, 20);

/* skiff_socks: local end, remote end */
struct skiff_sock_key {
	__u64 netns;
	struct skiff_addr local;
	struct skiff_addr remote;
	__u16 local_port;
	__u16 remote_port;
	__u32 pad;
};
SKIFF_SIZE(struct skiff_sock_key, 48);

/* skiff_pairs: both ends of one connection, the smaller end is end[0] */
struct skiff_pair_key {
	__u64 netns;
	struct skiff_addr addr[2];
	__u16 port[2];
	__u32 pad;
};
SKIFF_SIZE(struct skiff_pair_key, 48);

enum skiff_presence {
	SKIFF_IN_SOCKS = 1, /* in skiff_socks: it may be sent to */
	SKIFF_SENDS_TCP = 2, /* its bytes go by TCP for good, and none is on another way any more */
	SKIFF_WAITED_FOR = 4, /* somebody sleeps in recv(2) or send(2) there */
};

struct skiff_pair {
	__u64 sent[2];    /* bytes that end i sent since the other end last spoke */
	__u32 present[2]; /* enum skiff_presence of end i */
	__u64 sock[2];    /* kernel address of end i, only ever to look at who waits there */
};
SKIFF_SIZE(struct skiff_pair, 40);

/* skiff_listen: the engine's in-pod listeners; a closed listener leaves the map by itself */
enum skiff_listener {
	SKIFF_LISTEN_IN,   /* dual stack, for sk_lookup */
	SKIFF_LISTEN_OUT4, /* 127.0.0.1, proof that the engine lives */
	SKIFF_LISTEN_OUT6, /* [::1] */
};

struct skiff_listen_key {
	__u32 pod;
	__u32 role; /* enum skiff_listener */
};
SKIFF_SIZE(struct skiff_listen_key, 8);

/* skiff_nodes: addresses of this node (kubelet probes come from them): never steered */
struct skiff_node {
	__u32 generation;
};
SKIFF_SIZE(struct skiff_node, 4);

/* skiff_beat: one entry, the life of the engine */
struct skiff_beat {
	__u64 time;   /* CLOCK_MONOTONIC, ns; 0 = never */
	__u64 cgroup; /* of the engine: a mark counts only from there; 0 = anywhere */
	__u32 tgid;
	__u32 layout; /* SKIFF_LAYOUT */
};
SKIFF_SIZE(struct skiff_beat, 24);

/* ---- reasons and events ---------------------------------------------------------------------- */

/* X(name, text, event): event = 1 when the kernel side also writes a record to skiff_events. */
#define SKIFF_REASONS(X)                                                                           \
	X(OUT_UNNAMED, "outbound: no policy names the destination, left alone", 0)                 \
	X(OUT_ENGINE, "outbound: the engine's own connection", 0)                                  \
	X(OUT_SELF, "outbound: loopback or the pod itself, left alone", 0)                         \
	X(OUT_BYPASS, "outbound: policy says bypass", 0)                                           \
	X(OUT_L4, "outbound: backend picked in the kernel", 0)                                     \
	X(OUT_L7, "outbound: handed to the engine", 0)                                             \
	X(OUT_DENY, "outbound: denied by policy", 1)                                               \
	X(OUT_OPEN, "outbound: engine away, pod is open, connected straight", 0)                   \
	X(OUT_CLOSED, "outbound: engine away, pod is closed, refused", 1)                          \
	X(OUT_NO_BACKEND, "outbound: service has no healthy backend, refused", 1)                  \
	X(OUT_FAMILY, "outbound: picked backend is of another address family, refused", 1)         \
	X(OUT_NO_MEMORY, "outbound: no memory for socket storage", 1)                              \
	X(IN_UNNAMED, "inbound: no policy names the port, left alone", 0)                          \
	X(IN_SELF, "inbound: from the pod itself, left alone", 0)                                  \
	X(IN_NODE, "inbound: from this node's own address, left alone", 0)                         \
	X(IN_BYPASS, "inbound: policy says bypass", 0)                                             \
	X(IN_L7, "inbound: steered to the engine", 0)                                              \
	X(IN_DENY, "inbound: denied by policy", 1)                                                 \
	X(IN_AUTHZ, "inbound: source not authorised", 1)                                           \
	X(IN_OPEN, "inbound: engine away, pod is open, left alone", 0)                             \
	X(IN_CLOSED, "inbound: engine away, pod is closed, refused", 1)                            \
	X(IN_ASSIGN, "inbound: the kernel refused the engine's listener", 1)                       \
	X(ORIGDST, "original destination stored", 0)                                               \
	X(ORIGDST_FAIL, "original destination could not be stored", 1)                             \
	X(ACCEL_ON, "socket accelerated", 0)                                                       \
	X(ACCEL_SPLICES, "socket left on TCP: executable may splice", 0)                           \
	X(ACCEL_UNKNOWN, "socket left on TCP: executable not classified yet", 0)                   \
	X(ACCEL_EARLY, "socket left on TCP: data, MPTCP or TLS came before", 0)                    \
	X(ACCEL_FAIL, "socket left on TCP: the kernel refused it or the map is full", 1)           \
	X(ACCEL_WATCHED, "socket left on TCP: whether the executable waits in recv(2) is not known", 0) \
	X(ACCEL_WAITS, "socket left on TCP: executable waits in recv(2)", 0)                       \
	X(ACCEL_LEFT, "socket left acceleration: both directions were on TCP", 0)                  \
	X(MSG_REDIRECT, "messages moved past the TCP stack", 0)                                    \
	X(MSG_BYTES, "bytes moved past the TCP stack", 0)                                          \
	X(MSG_MISS, "direction stays on TCP: the other end is not accelerated", 0)                 \
	X(MSG_FALLBACK, "direction fell back to TCP: over the credit", 1)                          \
	X(EXEC_ASK, "executable to be classified", 1)                                              \
	X(EXEC_WAITS, "executable waits in recv(2): no longer accelerated", 1)                     \
	X(EXEC_PLAIN, "executable reads without waiting: accelerated from now on", 0)              \
	X(EVENT_LOST, "events lost: the ring was full", 0)

enum skiff_reason {
#define SKIFF_REASON_ENUM(name, text, event) SKIFF_R_##name,
	SKIFF_REASONS(SKIFF_REASON_ENUM)
#undef SKIFF_REASON_ENUM
	SKIFF_R_COUNT,
};

struct skiff_count {
	__u64 count;
};

/* skiff_pod_stats: what happened to one pod, for the reasons that have an event */
struct skiff_pod_stat_key {
	__u32 pod;
	__u32 reason; /* enum skiff_reason */
};
SKIFF_SIZE(struct skiff_pod_stat_key, 8);

/* A record of skiff_events. Ends are as the application sees them: local, remote (asked for). */
struct skiff_event {
	__u64 time; /* CLOCK_MONOTONIC, ns */
	__u64 netns;
	__u32 pod;
	__u32 reason; /* enum skiff_reason */
	struct skiff_addr local;
	struct skiff_addr remote;
	__u16 local_port;
	__u16 remote_port;
	__u32 tgid; /* 0 where the hook does not run in the application's task */
	char comm[16];
	struct skiff_exec_key exec; /* of SKIFF_R_EXEC_ASK, SKIFF_R_EXEC_WAITS */
};
SKIFF_SIZE(struct skiff_event, 104);

#endif
