/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared inside the room: the handle and the helpers that more than one file uses.
 */
#ifndef SKIFF_DATAPATH_DATAPATH_IMPL_H
#define SKIFF_DATAPATH_DATAPATH_IMPL_H

#include <limits.h>
#include <uthash.h>

#include "datapath/datapath.h"

struct ring_buffer;
struct skiff_bpf;

/* Every map of bpf/maps.bpf.h. */
#define DATAPATH_MAPS(X)                                                                           \
	X(pods) X(policy) X(authz) X(services) X(backends) X(nodes) X(beat) X(sock) X(origdst)     \
	X(socks) X(pairs) X(listen) X(execs) X(stats) X(pod_stats) X(events)

enum datapath_map {
#define X(name) MAP_##name,
	DATAPATH_MAPS(X)
#undef X
	MAP_COUNT,
};

/* What an LPM map holds of one owner (a pod, a list): sorted, keys and values back to back. */
struct shadow {
	UT_hash_handle hh;
	uint32_t owner;
	unsigned char *items;
	size_t n, room;
};

struct datapath {
	char pin_dir[PATH_MAX];
	int map[MAP_COUNT];
	struct skiff_bpf *skel;
	struct ring_buffer *ring;
	void (*each)(void *arg, const struct skiff_event *event); /* during datapath_events_read */
	void *each_arg;
	struct shadow *policy, *authz; /* by owner */
	int answers;     /* executables judged in this datapath_events_read() */
	uint64_t cgroup; /* of this process, 0: unknown */
	uint32_t credit, beat_seconds;
	unsigned int cpus;
	bool quiet;
	bool has_exec, has_mptcp, has_unread; /* what the loaded programs may use */
	uint64_t waiter; /* address of the kernel's woken_wake_function, 0: unknown */
	enum datapath_accelerate ceiling;
	bool splice_ok;
	uint64_t selftest_netns; /* its events are nobody's */
};

/* ---- load.c ---------------------------------------------------------------------------------- */

enum load_what {
	LOAD_NODE,   /* what is attached once a node */
	LOAD_LOOKUP, /* sk_lookup for one pod, @netns */
	LOAD_WHOAMI,
};

/* Opens the skeleton and loads one set of programs, with the maps of @dp where it has them. */
int load_programs(struct datapath *dp, enum load_what what, uint64_t netns,
		  struct skiff_bpf **ret_skel, struct err *err);

/* ---- pin.c ----------------------------------------------------------------------------------- */

const char *map_name(enum datapath_map map);
/* Makes @pin_dir, mounting bpffs when it is not there. */
int pin_dir_make(const char *pin_dir, struct err *err);
/* Finds the mount point of cgroup2. */
int cgroup_find(char *ret_path, size_t size, struct err *err);
/* Opens the pinned map, -ENOENT when it is not there, -ESTALE with a reason for another layout. */
int pin_map_get(const char *pin_dir, enum datapath_map map, struct skiff_bpf *skel,
		struct err *err);
int pin_map_put(const char *pin_dir, enum datapath_map map, int fd, struct err *err);
/* Attaches @prog to @target, or replaces the program of the pinned link. */
int pin_link_set(const char *pin_dir, const char *name, int prog, int target, int type,
		 struct err *err);
void pin_link_remove(const char *pin_dir, const char *name);
/* Forgets pods whose namespace has died since. */
void pin_pods_prune(struct datapath *dp);
void pin_lookup_name(uint64_t netns, char *ret_name, size_t size);

/* ---- netns.c --------------------------------------------------------------------------------- */

/* Runs @fn in the namespace @netns on this thread and comes back. Aborts when it cannot. */
int netns_run(int netns, int (*fn)(void *arg), void *arg, struct err *err);
int netns_cookie_get(int netns, uint64_t *ret_cookie, struct err *err);

/* ---- policy.c -------------------------------------------------------------------------------- */

/* Reads what is pinned, so that the first list is applied by difference too. */
int policy_load(struct datapath *dp, struct err *err);
void policy_free(struct datapath *dp);

/* ---- service.c ------------------------------------------------------------------------------- */

/* Waits until no program runs any more that was running when it was called (some milliseconds). */
void programs_settle(void);

/* ---- classify.c, exec.c ---------------------------------------------------------------------- */

/*
 * Can the ELF file @fd, or what it imports, splice(2) from a socket? SKIFF_EXEC_PLAIN or
 * SKIFF_EXEC_SPLICES; what cannot be read counts as splicing. @library: only its imports count.
 */
enum skiff_exec_verdict classify_file(int fd, bool library);
/* The same for a running process and the libraries that it has mapped. */
enum skiff_exec_verdict classify_process(uint32_t tgid);
/* Answers a question of the kernel side. */
void exec_answer(struct datapath *dp, const struct skiff_event *event);
/* Questions that an earlier skiffd left open are asked again. */
void exec_reset(struct datapath *dp);
/* Notes the executables of the sockets that listen in the namespace already. */
void exec_scan(struct datapath *dp, int netns);

/* ---- conversions ----------------------------------------------------------------------------- */

static inline struct skiff_addr addr_to_map(const struct addr *a)
{
	struct skiff_addr out;

	memcpy(out.b, a->ip, sizeof(out.b));
	return out;
}

static inline struct addr addr_from_map(const struct skiff_addr *a, uint16_t port)
{
	struct addr out = {.port = port};

	memcpy(out.ip, a->b, sizeof(out.ip));
	return out;
}

/* The first @bits stay, the rest is zero. */
static inline void addr_mask(struct skiff_addr *a, unsigned int bits)
{
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int keep = bits > i * 8 ? bits - i * 8 : 0;

		if (keep < 8)
			a->b[i] &= (unsigned char)(0xff00u >> keep);
	}
}

#endif
