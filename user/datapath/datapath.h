/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door to the kernel side of capture: load and pin the programs, describe pods, policies and
 * services to them, hear what they report. The only room that sees libbpf and the skeleton.
 * It carries no traffic and knows no configuration format.
 *
 * GLOSSARY  pod: a network namespace in the mesh, known by its netns cookie and a small id.
 * pin: what outlives skiffd, files below the pin directory. Generation: the caller's number of the
 * configuration that changed an entry last. One thread at a time may call the functions that
 * change something; those marked MT-safe may be called from any thread.
 */
#ifndef SKIFF_DATAPATH_DATAPATH_H
#define SKIFF_DATAPATH_DATAPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/err.h"
#include "skiff/bpf.h"

#define DATAPATH_PIN_DIR "/sys/fs/bpf/skiff"

struct datapath;

/* ---- life ------------------------------------------------------------------------------------ */

/* Zero or NULL means the default. */
struct datapath_options {
	const char *pin_dir;   /* DATAPATH_PIN_DIR; on a bpffs, mounted when it is not */
	const char *cgroup;    /* the cgroup2 whose tasks are looked at: the root of the mount */
	uint32_t credit;       /* bytes; SKIFF_CREDIT_BYTES */
	uint32_t beat_seconds; /* SKIFF_BEAT_SECONDS */
	bool quiet;            /* no log lines about take-over and lowered modes */
};

/*
 * Loads the programs, takes over what an earlier skiffd left pinned (maps are kept, programs are
 * replaced without a gap), else makes it. Refuses, saying what lacks or what to do: no root, no
 * BPF feature (named), pinned maps of another layout. The options may go afterwards.
 */
int datapath_open(const struct datapath_options *options, struct datapath **ret_dp,
		  struct err *err);
/* Leaves everything pinned and working. NULL is fine. */
void datapath_close(struct datapath *dp);
/* Detaches and removes everything below @pin_dir (NULL: the default). Nothing there is fine. */
int datapath_unload(const char *pin_dir, struct err *err);

/* Tells the kernel side that the engine lives; call it once a second. MT-safe. */
int datapath_beat(struct datapath *dp);
/* The opposite, for a planned stop: pods are open or closed from now on. MT-safe. */
int datapath_beat_stop(struct datapath *dp);

/* ---- pods ------------------------------------------------------------------------------------ */

enum datapath_accelerate {
	DATAPATH_OFF,
	DATAPATH_AUTO,
	DATAPATH_BOTH,
};

const char *datapath_accelerate_name(enum datapath_accelerate mode);
/* 0 or -EINVAL. */
int datapath_accelerate_parse(const char *name, enum datapath_accelerate *ret_mode);

struct datapath_pod {
	int netns; /* fd of the namespace, borrowed for the call */
	enum datapath_accelerate accelerate;
	bool closed;       /* engine gone: refuse rather than connect straight */
	uint32_t identity; /* opaque */
	uint16_t out_port; /* of the outbound listener; 0: SKIFF_OUTBOUND_PORT */
	const struct addr *addrs; /* the pod's own; ports ignored */
	unsigned int addrs_n;     /* at most SKIFF_POD_ADDRS */
};

/* How the other calls name a pod. */
struct datapath_pod_ref {
	uint64_t netns; /* cookie */
	uint32_t id;    /* stable over restarts of skiffd, as long as the namespace lives */
};

/*
 * Takes the namespace into the mesh, or changes it. Its policies stay. Refuses the node's own
 * namespace (-EINVAL). From here on the pod's programs run; traffic is captured once policies name
 * it and listeners are set.
 */
int datapath_pod_add(struct datapath *dp, const struct datapath_pod *pod,
		     struct datapath_pod_ref *ret_ref, struct err *err);
/*
 * Says which listening TCP socket, made inside the pod's namespace, gets the connections
 * (SKIFF_LISTEN_IN: dual-stack [::], not v6-only) or proves the engine's life (SKIFF_LISTEN_OUT4,
 * SKIFF_LISTEN_OUT6: on pod.out_port of 127.0.0.1, [::1]). With SO_REUSEPORT one of the group is
 * enough. A closed listener leaves by itself. The listener and every socket that the engine makes
 * in a pod must carry SO_MARK = SKIFF_MARK, set before listen or connect. @fd stays the caller's.
 */
int datapath_pod_listener_set(struct datapath *dp, uint32_t pod, enum skiff_listener role, int fd,
			      struct err *err);
/* Forgets the pod, its policies and counters. An unknown pod is fine. */
int datapath_pod_remove(struct datapath *dp, uint64_t netns, struct err *err);

/* What the map holds, also from an earlier skiffd; returns how many, at most @max filled. */
struct datapath_pod_info {
	struct datapath_pod_ref ref;
	struct skiff_pod pod;
};
int datapath_pod_list(struct datapath *dp, struct datapath_pod_info *out, size_t max);

/* ---- policy: whole lists, applied by difference, additions before removals ------------------- */

struct datapath_rule {
	enum skiff_direction direction;
	enum skiff_verdict verdict;
	struct addr addr;  /* the destination; its port, or 0 for any */
	unsigned int bits; /* prefix length, of 128 (IPv4: + 96) */
	uint32_t service;  /* of SKIFF_L4 */
	uint32_t authz;    /* inbound: the list that is asked first; 0: none */
};

/*
 * All rules of the pod. Two rules with one key are refused (-EEXIST), a full map is -E2BIG. Costs
 * O(the pod's rules), however many others have.
 */
int datapath_policy_set(struct datapath *dp, uint32_t pod, const struct datapath_rule *rules,
			size_t n, uint32_t generation, struct err *err);

struct datapath_authz {
	struct addr source; /* port: the pod's own port, or 0 for any */
	unsigned int bits;  /* prefix length, of 128 */
	bool is_deny;       /* else: left to the engine */
};

/*
 * The whole list @list (not 0), which rules may name once it is there: who is refused by the kernel
 * itself. The exact port is asked before any port, then the longest prefix wins; what no entry
 * matches passes. Rules of several pods may name one list.
 */
int datapath_authz_set(struct datapath *dp, uint32_t list, const struct datapath_authz *entries,
		       size_t n, uint32_t generation, struct err *err);
/*
 * Removes the lists that are not among @lists: after the rules that named them. Waits for programs
 * that are under way when there is something to remove.
 */
void datapath_authz_trim(struct datapath *dp, const uint32_t *lists, size_t n);

struct datapath_backend {
	struct addr addr;
	uint32_t weight; /* 0: left out */
};

struct datapath_service {
	uint32_t id;
	const struct datapath_backend *backends; /* the healthy ones; none: refused */
	size_t backends_n; /* at most SKIFF_SERVICE_SLOTS of positive weight */
};

/*
 * All services. Each one changes in one piece. First they are set, then the policies that name
 * them, then the others are removed: a policy never names one that is not there. The removal waits
 * for connects that are under way (some milliseconds), when there is something to remove.
 */
int datapath_services_set(struct datapath *dp, const struct datapath_service *services, size_t n,
			  uint32_t generation, struct err *err);
void datapath_services_trim(struct datapath *dp, const struct datapath_service *services, size_t n);
/* One service, the others stay: health and endpoint changes. */
int datapath_service_set(struct datapath *dp, const struct datapath_service *service,
			 uint32_t generation, struct err *err);

/* All addresses of this node: inbound connections from them are never steered (kubelet probes). */
int datapath_nodes_set(struct datapath *dp, const struct addr *addrs, size_t n,
		       uint32_t generation, struct err *err);

/* ---- connections ----------------------------------------------------------------------------- */

/*
 * What the client end @client (address and port, as accept(2) says it) of the pod @netns asked
 * for. 0, or -ENOENT: not a captured connection. One system call, no lock. MT-safe.
 */
int datapath_origdst_get(struct datapath *dp, uint64_t netns, const struct addr *client,
			 struct addr *ret_dst);

/* ---- what happened --------------------------------------------------------------------------- */

const char *datapath_reason_name(enum skiff_reason reason); /* "out_l7" */
const char *datapath_reason_text(enum skiff_reason reason);

/* Sums of all CPUs since the maps were made. MT-safe. */
int datapath_stats_read(struct datapath *dp, uint64_t ret_counts[static SKIFF_R_COUNT]);

/* For poll(2), POLLIN: then call datapath_events_read(). */
int datapath_events_fd(const struct datapath *dp);
/*
 * Hands every waiting record to @each (may be NULL), and classifies the executables that the
 * kernel side asks about, which reads files: not for an engine worker. Returns how many.
 */
int datapath_events_read(struct datapath *dp,
			 void (*each)(void *arg, const struct skiff_event *event), void *arg);
/* One line about the record; returns the length. */
size_t datapath_event_format(const struct skiff_event *event, char *out, size_t size);

/* ---- what this kernel can -------------------------------------------------------------------- */

struct datapath_feature {
	const char *name;
	bool present;
	bool required;    /* datapath_open() refuses without it */
	const char *what; /* what skiff does about it: literal */
};

#define DATAPATH_FEATURES_MAX 32

/* Looks at the running kernel; returns how many. Needs root for a true answer. */
int datapath_doctor(struct datapath_feature out[static DATAPATH_FEATURES_MAX]);

struct datapath_selftest {
	bool order, eof, back_pressure, splice; /* true: holds on this kernel */
	enum datapath_accelerate ceiling;       /* no pod gets more from now on */
	char text[256];                         /* what was lowered and why; empty: nothing */
};

/*
 * Proves in a namespace of its own (about 100 ms) that redirected bytes keep their order, end in
 * EOF and stop at a stalled reader; when not, acceleration is off for all pods. Where splice(2)
 * misses redirected bytes, `both` leaves out the executables that are known to splice. Call it
 * after datapath_open() and before pods are added; logs what it lowers. An error means that the
 * test could not run; then acceleration is off.
 */
int datapath_selftest(struct datapath *dp, struct datapath_selftest *ret_result, struct err *err);

/* Prints the pinned maps as tables; works without a running skiffd. */
int datapath_show(const char *pin_dir, FILE *out, struct err *err);
/* What the kernel does with the connections of one pod, and did, from the pinned maps. */
int datapath_show_pod(const char *pin_dir, uint32_t pod, FILE *out, struct err *err);

#endif
