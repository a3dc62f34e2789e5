/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods: their entry in skiff_pods, their sk_lookup program, their listeners.
 */
#include "datapath/datapath_impl.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "skiff.skel.h"

static const char *const accelerate_names[] = {
	[DATAPATH_OFF] = "off",
	[DATAPATH_AUTO] = "auto",
	[DATAPATH_BOTH] = "both",
};

const char *datapath_accelerate_name(enum datapath_accelerate mode)
{
	return accelerate_names[mode];
}

int datapath_accelerate_parse(const char *name, enum datapath_accelerate *ret_mode)
{
	for (size_t i = 0; i < ARRAY_LEN(accelerate_names); i++) {
		if (strcmp(name, accelerate_names[i]) == 0) {
			*ret_mode = (enum datapath_accelerate)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* ---- the entry ------------------------------------------------------------------------------- */

static __u32 flags_of(const struct datapath *dp, const struct datapath_pod *pod)
{
	enum datapath_accelerate mode = pod->accelerate;
	__u32 flags = pod->closed ? SKIFF_POD_CLOSED : 0;

	if (mode > dp->ceiling)
		mode = dp->ceiling;
	if (mode == DATAPATH_AUTO)
		flags |= SKIFF_POD_AUTO;
	if (mode == DATAPATH_BOTH)
		flags |= SKIFF_POD_BOTH;
	if (dp->splice_ok)
		flags |= SKIFF_POD_SPLICE_OK;
	return flags;
}

static int entry_make(const struct datapath *dp, const struct datapath_pod *pod, __u32 id,
		      struct skiff_pod *ret_entry, struct err *err)
{
	struct skiff_pod e = {
		.id = id,
		.flags = flags_of(dp, pod),
		.identity = pod->identity,
		.out_port = pod->out_port ? pod->out_port : SKIFF_OUTBOUND_PORT,
		.addrs = (__u16)pod->addrs_n,
	};

	if (pod->addrs_n > SKIFF_POD_ADDRS)
		return err_set(err, -E2BIG, "a pod has at most %d addresses, not %u",
			       SKIFF_POD_ADDRS, pod->addrs_n);
	for (unsigned int i = 0; i < pod->addrs_n; i++)
		e.addr[i] = addr_to_map(&pod->addrs[i]);
	*ret_entry = e;
	return 0;
}

int datapath_pod_list(struct datapath *dp, struct datapath_pod_info *out, size_t max)
{
	uint64_t netns, *previous = NULL;
	size_t n = 0;

	while (bpf_map_get_next_key(dp->map[MAP_pods], previous, &netns) == 0) {
		struct skiff_pod pod;

		previous = &netns;
		if (bpf_map_lookup_elem(dp->map[MAP_pods], &netns, &pod) < 0)
			continue;
		if (n < max)
			out[n] = (struct datapath_pod_info){.ref = {netns, pod.id}, .pod = pod};
		n++;
	}
	return (int)n;
}

/* The smallest id that no pod has; 0 when all are taken. */
static __u32 id_free(struct datapath *dp)
{
	struct datapath_pod_info *pods = xcalloc(SKIFF_MAX_PODS, sizeof(*pods));
	bool *taken = xcalloc(SKIFF_MAX_PODS + 1, sizeof(*taken));
	int n = datapath_pod_list(dp, pods, SKIFF_MAX_PODS);
	__u32 id;

	for (int i = 0; i < n && i < SKIFF_MAX_PODS; i++) {
		if (pods[i].ref.id <= SKIFF_MAX_PODS)
			taken[pods[i].ref.id] = true;
	}
	for (id = 1; id <= SKIFF_MAX_PODS && taken[id]; id++)
		;
	free(taken);
	free(pods);
	return id <= SKIFF_MAX_PODS ? id : 0;
}

/* ---- sk_lookup ------------------------------------------------------------------------------- */

static int lookup_attach(struct datapath *dp, int netns, uint64_t cookie, struct err *err)
{
	struct skiff_bpf *skel;
	char name[32];
	int r;

	r = load_programs(dp, LOAD_LOOKUP, cookie, &skel, err);
	if (r < 0)
		return r;
	pin_lookup_name(cookie, name, sizeof(name));
	r = pin_link_set(dp->pin_dir, name, bpf_program__fd(skel->progs.skiff_lookup), netns,
			 BPF_SK_LOOKUP, err);
	skiff_bpf__destroy(skel);
	return r;
}

/* ---- the calls ------------------------------------------------------------------------------- */

static bool is_netns_of(const char *path, uint64_t cookie)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t other = 0;

	if (fd < 0)
		return false;
	if (netns_cookie_get(fd, &other, NULL) < 0)
		other = 0;
	close(fd);
	return other == cookie;
}

/* The namespace of the node or of skiffd itself, usually one and the same. */
static bool is_node_netns(uint64_t cookie)
{
	return is_netns_of("/proc/self/ns/net", cookie) || is_netns_of("/proc/1/ns/net", cookie);
}

int datapath_pod_add(struct datapath *dp, const struct datapath_pod *pod,
		     struct datapath_pod_ref *ret_ref, struct err *err)
{
	struct skiff_pod known, entry;
	uint64_t cookie;
	__u32 id;
	int r;

	r = netns_cookie_get(pod->netns, &cookie, err);
	if (r < 0)
		return r;
	if (is_node_netns(cookie))
		return err_set(err, -EINVAL, "this is the network namespace of the node or of "
					     "skiffd: pods with hostNetwork stay outside the mesh");
	id = bpf_map_lookup_elem(dp->map[MAP_pods], &cookie, &known) == 0 ? known.id : id_free(dp);
	if (!id)
		return err_set(err, -E2BIG, "skiff_pods is full: at most %d pods a node",
			       SKIFF_MAX_PODS);
	r = entry_make(dp, pod, id, &entry, err);
	if (r < 0)
		return r;
	/* the entry first: without it the programs of the pod leave everything alone */
	if (bpf_map_update_elem(dp->map[MAP_pods], &cookie, &entry, BPF_ANY) < 0)
		return err_set(err, -errno, "write skiff_pods: %m");
	r = lookup_attach(dp, pod->netns, cookie, err);
	if (r < 0) {
		datapath_pod_remove(dp, cookie, NULL);
		return r;
	}
	if (entry.flags & (SKIFF_POD_AUTO | SKIFF_POD_BOTH))
		exec_scan(dp, pod->netns);
	*ret_ref = (struct datapath_pod_ref){.netns = cookie, .id = id};
	return 0;
}

int datapath_pod_listener_set(struct datapath *dp, uint32_t pod, enum skiff_listener role, int fd,
			      struct err *err)
{
	struct skiff_listen_key key = {.pod = pod, .role = role};
	__u64 value = (__u64)fd;
	socklen_t size = sizeof(int);
	int listens = 0, mark = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return err_set(err, -errno, "pod %u listener %d: %m", pod, (int)role);
	size = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &size) < 0 || !listens ||
	    mark != SKIFF_MARK)
		return err_set(err, -EINVAL, "pod %u listener %d: the socket must listen and carry "
					     "the mark %#x", pod, (int)role, SKIFF_MARK);
	if (bpf_map_update_elem(dp->map[MAP_listen], &key, &value, BPF_ANY) < 0)
		return err_set(err, -errno, "pod %u listener %d: write skiff_listen: %m", pod,
			       (int)role);
	return 0;
}

int datapath_pod_remove(struct datapath *dp, uint64_t netns, struct err *err)
{
	struct skiff_pod pod;
	char name[32];

	pin_lookup_name(netns, name, sizeof(name));
	pin_link_remove(dp->pin_dir, name);
	if (bpf_map_lookup_elem(dp->map[MAP_pods], &netns, &pod) < 0)
		return 0;
	if (bpf_map_delete_elem(dp->map[MAP_pods], &netns) < 0 && errno != ENOENT)
		return err_set(err, -errno, "write skiff_pods: %m");
	for (__u32 role = SKIFF_LISTEN_IN; role <= SKIFF_LISTEN_OUT6; role++) {
		struct skiff_listen_key key = {.pod = pod.id, .role = role};

		bpf_map_delete_elem(dp->map[MAP_listen], &key);
	}
	for (__u32 reason = 0; reason < SKIFF_R_COUNT; reason++) {
		struct skiff_pod_stat_key key = {.pod = pod.id, .reason = reason};

		bpf_map_delete_elem(dp->map[MAP_pod_stats], &key);
	}
	return datapath_policy_set(dp, pod.id, NULL, 0, 0, err);
}
