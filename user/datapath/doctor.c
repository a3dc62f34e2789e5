/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel has and lacks, and what skiff does about each. Looks, changes nothing.
 */
#include "datapath/datapath_impl.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has_btf(void)
{
	return access("/sys/kernel/btf/vmlinux", R_OK) == 0;
}

static bool has_cgroup2(void)
{
	char path[PATH_MAX];

	return cgroup_find(path, sizeof(path), NULL) == 0;
}

static bool has_bpffs(void)
{
	char line[256];
	bool found = false;
	FILE *f = fopen("/proc/filesystems", "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, "\tbpf\n") != NULL;
	if (f)
		fclose(f);
	return found;
}

static bool has_netns_cookie(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	uint64_t cookie;
	bool has = fd >= 0 && netns_cookie_get(fd, &cookie, NULL) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

static bool has_helper(enum bpf_prog_type type, enum bpf_func_id helper)
{
	return libbpf_probe_bpf_helper(type, helper, NULL) > 0;
}

/* Cookies in sockops and sk_msg came in 5.15, later than in connect. */
static bool has_cookie_helper(void)
{
	return has_helper(BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_get_netns_cookie) &&
	       has_helper(BPF_PROG_TYPE_SK_MSG, BPF_FUNC_get_netns_cookie);
}

static bool has_task_helper(void)
{
	return has_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_get_current_task) &&
	       has_helper(BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_get_current_task);
}

static bool has_mptcp_helper(void)
{
	return has_helper(BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_skc_to_mptcp_sock);
}

static bool has_sock_storage_everywhere(void)
{
	return libbpf_probe_bpf_map_type(BPF_MAP_TYPE_SK_STORAGE, NULL) > 0 &&
	       has_helper(BPF_PROG_TYPE_SK_MSG, BPF_FUNC_sk_storage_get) &&
	       has_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_sk_storage_get);
}

static bool has_pidfd_getfd(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, pidfd, 0);

	if (fd >= 0)
		close(fd);
	if (pidfd >= 0)
		close(pidfd);
	return fd >= 0;
}

static bool has_uring(void)
{
	/* a NULL argument is refused with EFAULT where the call exists and is allowed */
	return syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EFAULT;
}

#define PROBE_PROG(name, type)                                                                     \
	static bool has_##name(void)                                                               \
	{                                                                                          \
		return libbpf_probe_bpf_prog_type(type, NULL) > 0;                                 \
	}
#define PROBE_MAP(name, type)                                                                      \
	static bool has_##name(void)                                                               \
	{                                                                                          \
		return libbpf_probe_bpf_map_type(type, NULL) > 0;                                  \
	}

PROBE_PROG(sock_addr, BPF_PROG_TYPE_CGROUP_SOCK_ADDR)
PROBE_PROG(sock_ops, BPF_PROG_TYPE_SOCK_OPS)
PROBE_PROG(sk_msg, BPF_PROG_TYPE_SK_MSG)
PROBE_PROG(sk_lookup, BPF_PROG_TYPE_SK_LOOKUP)
PROBE_MAP(sockhash, BPF_MAP_TYPE_SOCKHASH)
PROBE_MAP(ringbuf, BPF_MAP_TYPE_RINGBUF)
PROBE_MAP(lpm_trie, BPF_MAP_TYPE_LPM_TRIE)

static const struct {
	const char *name;
	bool (*has)(void);
	bool required;
	const char *what;
} features[] = {
	{"kernel BTF (CONFIG_DEBUG_INFO_BTF)", has_btf, true,
	 "programs are fitted to the kernel with /sys/kernel/btf/vmlinux; needed"},
	{"cgroup2", has_cgroup2, true,
	 "connect and sockops programs attach to its root; mount it where it is missing"},
	{"the BPF file system (CONFIG_BPF_SYSCALL)", has_bpffs, true,
	 "maps and links are pinned there; skiff mounts it itself"},
	{"cgroup/connect programs (Linux 4.17, CONFIG_CGROUP_BPF)", has_sock_addr, true,
	 "outbound capture; there is no other way"},
	{"sockops programs (Linux 4.13)", has_sock_ops, true,
	 "original destinations; there is no other way"},
	{"sk_lookup programs (Linux 5.9)", has_sk_lookup, true,
	 "inbound capture; there is no other way"},
	{"sk_msg programs (Linux 4.17, CONFIG_NET_SOCK_MSG)", has_sk_msg, true,
	 "acceleration, part of the object that is loaded"},
	{"SOCKHASH maps (Linux 4.18)", has_sockhash, true,
	 "the engine's listeners and accelerated sockets"},
	{"socket storage in connect and sk_msg (Linux 5.11)", has_sock_storage_everywhere, true,
	 "original destinations are kept with the socket"},
	{"ring buffer maps (Linux 5.8)", has_ringbuf, true, "events"},
	{"LPM trie maps (Linux 4.11)", has_lpm_trie, true, "policies by prefix"},
	{"SO_NETNS_COOKIE (Linux 5.14)", has_netns_cookie, true, "pods are known by it"},
	{"netns cookies in sockops and sk_msg (Linux 5.15)", has_cookie_helper, true,
	 "pods are known by it"},
	{"the running task in connect and sockops", has_task_helper, false,
	 "executables are told apart for `auto`; without it `auto` accelerates nothing"},
	{"bpf_skc_to_mptcp_sock (Linux 5.19)", has_mptcp_helper, false,
	 "MPTCP sockets stay on TCP; without it the kernel has to refuse them itself"},
	{"pidfd_getfd (Linux 5.6)", has_pidfd_getfd, false,
	 "servers that listened before their pod joined are classified; without it they stay on "
	 "TCP in `auto`"},
	{"io_uring", has_uring, false, "the engine's fast path; without it the engine uses epoll"},
};

_Static_assert(ARRAY_LEN(features) <= DATAPATH_FEATURES_MAX, "callers have room");

int datapath_doctor(struct datapath_feature out[static DATAPATH_FEATURES_MAX])
{
	for (size_t i = 0; i < ARRAY_LEN(features); i++) {
		out[i] = (struct datapath_feature){
			.name = features[i].name,
			.present = features[i].has(),
			.required = features[i].required,
			.what = features[i].what,
		};
	}
	return (int)ARRAY_LEN(features);
}
