/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing: load the skeleton for this kernel, take over or make the pins, attach.
 */
#include "datapath/datapath_impl.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "skiff.skel.h"

#define ROOM "datapath"

/* The last complaint of libbpf on this thread: the reason of a load that failed. */
static _Thread_local char libbpf_said[256];

static int libbpf_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[256];
	size_t n;

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	n = strcspn(line, "\n");
	line[n] = '\0';
	/* the verifier's log and its frame are many lines: the sentence before them says more */
	if (n && !strstr(line, "BEGIN PROG LOAD LOG") && !strstr(line, "END PROG LOAD LOG") &&
	    strncmp(line, "libbpf: failed to load object", 29) != 0)
		memcpy(libbpf_said, line, sizeof(line));
	return 0;
}

/* ---- loading --------------------------------------------------------------------------------- */

static void settings_write(const struct datapath *dp, uint64_t netns, struct skiff_bpf *skel)
{
	skel->rodata->cfg_netns = netns;
	skel->rodata->cfg_credit = dp->credit;
	skel->rodata->cfg_beat_seconds = dp->beat_seconds;
	skel->rodata->cfg_exec = dp->has_exec;
	skel->rodata->cfg_mptcp = dp->has_mptcp;
	skel->rodata->cfg_unread = dp->has_unread;
	skel->rodata->cfg_waiter = dp->waiter;
}

static int maps_reuse(struct datapath *dp, struct skiff_bpf *skel, struct err *err)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(skel->obj, map_name(i));
		int r;

		must(map);
		if (dp->map[i] < 0)
			continue;
		r = bpf_map__reuse_fd(map, dp->map[i]);
		if (r < 0)
			return err_set(err, r, "use map %s: %s", map_name(i), strerror(-r));
	}
	return 0;
}

/* Which set a program belongs to. */
static enum load_what belongs_to(const struct skiff_bpf *skel, const struct bpf_program *prog)
{
	if (prog == skel->progs.skiff_lookup)
		return LOAD_LOOKUP;
	return prog == skel->progs.skiff_whoami ? LOAD_WHOAMI : LOAD_NODE;
}

int load_programs(struct datapath *dp, enum load_what what, uint64_t netns,
		  struct skiff_bpf **ret_skel, struct err *err)
{
	struct skiff_bpf *skel;
	struct bpf_program *prog;
	int r;

	libbpf_said[0] = '\0';
	skel = skiff_bpf__open();
	if (!skel)
		return err_set(err, -errno, "read the built-in BPF object: %m %s", libbpf_said);
	bpf_object__for_each_program(prog, skel->obj)
		bpf_program__set_autoload(prog, belongs_to(skel, prog) == what);
	settings_write(dp, netns, skel);
	r = maps_reuse(dp, skel, err);
	if (r < 0)
		goto out;
	r = skiff_bpf__load(skel);
	if (r < 0) {
		err_set(err, r, "load the BPF programs: %s %s", strerror(-r), libbpf_said);
		goto out;
	}
	*ret_skel = skel;
	skel = NULL;
out:
	skiff_bpf__destroy(skel);
	return r;
}

/* Names the first thing that the kernel lacks, in place of the verifier's words. */
static int refuse(int code, struct err *err)
{
	struct datapath_feature f[DATAPATH_FEATURES_MAX];
	int n;

	if (geteuid() != 0 || code == -EPERM)
		return err_set(err, -EPERM, "capture needs root with CAP_BPF, CAP_NET_ADMIN, "
					    "CAP_PERFMON and CAP_SYS_ADMIN, and a kernel that is "
					    "not locked down: start skiffd so");
	n = datapath_doctor(f);
	for (int i = 0; i < n; i++) {
		if (f[i].required && !f[i].present)
			return err_set(err, -ENOTSUP, "this kernel lacks %s: %s", f[i].name,
				       f[i].what);
	}
	return code;
}

/* What a thread that sleeps in recv(2) or send(2) puts into the wait queue of its socket. */
#define WAITER "woken_wake_function"

/* Its address, 0 where the kernel does not tell. */
static uint64_t waiter_find(void)
{
	char line[256], name[128];
	uint64_t address = 0, found = 0;
	FILE *f = fopen("/proc/kallsyms", "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 " %*c %127s", &address, name) == 2 &&
		    strcmp(name, WAITER) == 0)
			found = address;
	}
	if (f)
		fclose(f);
	return found;
}

/* Loads with everything that this kernel lets the programs do, giving up niceties one by one. */
static int load_best(struct datapath *dp, struct err *err)
{
	static const struct {
		bool exec, unread;
	} tries[] = {{true, true}, {true, false}, {false, true}, {false, false}};
	struct err first = {{0}};
	int r = 0;

	dp->has_mptcp = libbpf_probe_bpf_helper(BPF_PROG_TYPE_SOCK_OPS,
						BPF_FUNC_skc_to_mptcp_sock, NULL) > 0;
	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		dp->has_exec = tries[i].exec;
		dp->has_unread = tries[i].unread;
		dp->waiter = tries[i].unread ? waiter_find() : 0;
		r = load_programs(dp, LOAD_NODE, 0, &dp->skel, i ? NULL : &first);
		if (r == 0)
			break;
	}
	if (r < 0) {
		if (err)
			*err = first;
		return refuse(r, err);
	}
	if (!dp->has_exec && !dp->quiet)
		log_warn(ROOM, "this kernel does not let capture programs see the executable (%s): "
			       "`auto` accelerates nothing", first.text);
	if (dp->has_exec && !dp->waiter && !dp->quiet)
		log_warn(ROOM, "cannot see who waits in recv(2) (%s is not in /proc/kallsyms, or "
			       "programs may not look): `auto` accelerates nothing, and `both` is "
			       "for programs that never wait in recv(2)", WAITER);
	if (!dp->has_unread && !dp->quiet)
		log_warn(ROOM, "this kernel does not let sk_msg see what its socket has not read "
			       "(%s): an answer counts as reading", first.text);
	return 0;
}

/* ---- maps ------------------------------------------------------------------------------------ */

/* What is pinned must fit the object that will use it. */
static int maps_take_over(struct datapath *dp, struct err *err)
{
	struct skiff_bpf *skel = skiff_bpf__open();
	int r = 0;

	if (!skel)
		return err_set(err, -errno, "read the built-in BPF object: %m %s", libbpf_said);
	for (int i = 0; i < MAP_COUNT; i++) {
		r = pin_map_get(dp->pin_dir, i, skel, err);
		if (r == -ENOENT)
			r = 0;
		else if (r >= 0)
			dp->map[i] = r;
		else
			break;
	}
	skiff_bpf__destroy(skel);
	return r < 0 ? r : 0;
}

static int maps_pin(struct datapath *dp, struct err *err)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		int fd, r;

		if (dp->map[i] >= 0)
			continue;
		fd = bpf_object__find_map_fd_by_name(dp->skel->obj, map_name(i));
		r = pin_map_put(dp->pin_dir, i, fd, err);
		if (r < 0)
			return r;
		dp->map[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (dp->map[i] < 0)
			return err_set(err, -errno, "keep map %s: %m", map_name(i));
	}
	return 0;
}

static int layout_check(struct datapath *dp, struct err *err)
{
	struct skiff_beat beat = {0};
	__u32 zero = 0;

	if (bpf_map_lookup_elem(dp->map[MAP_beat], &zero, &beat) < 0)
		return err_set(err, -errno, "read %s: %m", map_name(MAP_beat));
	if (beat.layout && beat.layout != SKIFF_LAYOUT)
		return err_set(err, -ESTALE,
			       "pinned maps in %s are of another version of skiff (%s says layout "
			       "%u, this one needs %u): drain the node, remove them with `skiffctl "
			       "bpf unload`, start again",
			       dp->pin_dir, map_name(MAP_beat), beat.layout, SKIFF_LAYOUT);
	if (beat.layout)
		return 0;
	beat.layout = SKIFF_LAYOUT;
	if (bpf_map_update_elem(dp->map[MAP_beat], &zero, &beat, BPF_ANY) < 0)
		return err_set(err, -errno, "write %s: %m", map_name(MAP_beat));
	return 0;
}

/* ---- attaching ------------------------------------------------------------------------------- */

static int attach_all(struct datapath *dp, const char *cgroup, struct err *err)
{
	const struct {
		const char *name;
		struct bpf_program *prog;
		enum bpf_attach_type type;
	} links[] = {
		/* first what a captured connection needs, last what captures */
		{"sockops", dp->skel->progs.skiff_sockops, BPF_CGROUP_SOCK_OPS},
		{"peername4", dp->skel->progs.skiff_peername4, BPF_CGROUP_INET4_GETPEERNAME},
		{"peername6", dp->skel->progs.skiff_peername6, BPF_CGROUP_INET6_GETPEERNAME},
		{"connect4", dp->skel->progs.skiff_connect4, BPF_CGROUP_INET4_CONNECT},
		{"connect6", dp->skel->progs.skiff_connect6, BPF_CGROUP_INET6_CONNECT},
	};
	int fd, r = 0;

	if (bpf_prog_attach(bpf_program__fd(dp->skel->progs.skiff_redirect), dp->map[MAP_socks],
			    BPF_SK_MSG_VERDICT, 0) < 0)
		return err_set(err, -errno, "attach skiff_redirect to %s: %m", map_name(MAP_socks));
	fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open cgroup %s: %m", cgroup);
	for (size_t i = 0; i < ARRAY_LEN(links) && r == 0; i++)
		r = pin_link_set(dp->pin_dir, links[i].name, bpf_program__fd(links[i].prog), fd,
				 links[i].type, err);
	close(fd);
	return r;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* One half of the cgroup id of the calling task; -1: cannot be told. */
static int64_t whoami_run(int prog, uint64_t shift)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &shift, .ctx_size_in = sizeof(shift));

	return bpf_prog_test_run_opts(prog, &opts) < 0 ? -1 : (int64_t)opts.retval;
}

/* The id of this process' cgroup as the connect hook sees it; 0 where it cannot be told. */
static uint64_t own_cgroup(struct datapath *dp)
{
	int64_t low = -1, high = -1;
	struct skiff_bpf *skel;

	if (load_programs(dp, LOAD_WHOAMI, 0, &skel, NULL) == 0) {
		int prog = bpf_program__fd(skel->progs.skiff_whoami);

		low = whoami_run(prog, 0);
		high = whoami_run(prog, 32);
		skiff_bpf__destroy(skel);
	}
	if (low >= 0 && high >= 0)
		return (uint64_t)high << 32 | (uint64_t)low;
	if (!dp->quiet)
		log_warn(ROOM, "cannot tell the own cgroup: a pod with CAP_NET_RAW that sets the "
			       "mark %#x is taken for the engine", SKIFF_MARK);
	return 0;
}

static void options_apply(struct datapath *dp, const struct datapath_options *options)
{
	snprintf(dp->pin_dir, sizeof(dp->pin_dir), "%s",
		 options->pin_dir ? options->pin_dir : DATAPATH_PIN_DIR);
	dp->credit = options->credit ? options->credit : SKIFF_CREDIT_BYTES;
	dp->beat_seconds = options->beat_seconds ? options->beat_seconds : SKIFF_BEAT_SECONDS;
	dp->quiet = options->quiet;
	dp->ceiling = DATAPATH_BOTH;
	for (int i = 0; i < MAP_COUNT; i++)
		dp->map[i] = -1;
}

static int open_all(struct datapath *dp, const struct datapath_options *options, struct err *err)
{
	char mount[PATH_MAX];
	int r;

	if (geteuid() != 0)
		return refuse(-EPERM, err);
	r = cgroup_find(mount, sizeof(mount), err);
	if (r < 0)
		return r;
	dp->cpus = (unsigned int)libbpf_num_possible_cpus();
	r = pin_dir_make(dp->pin_dir, err);
	if (r < 0)
		return r;
	r = maps_take_over(dp, err);
	if (r < 0)
		return r;
	r = load_best(dp, err);
	if (r < 0)
		return r;
	r = maps_pin(dp, err);
	if (r < 0)
		return r;
	dp->cgroup = own_cgroup(dp);
	r = layout_check(dp, err);
	if (r < 0)
		return r;
	r = policy_load(dp, err);
	if (r < 0)
		return r;
	exec_reset(dp);
	r = attach_all(dp, options->cgroup ? options->cgroup : mount, err);
	if (r < 0)
		return r;
	pin_pods_prune(dp);
	return 0;
}

int datapath_open(const struct datapath_options *options, struct datapath **ret_dp, struct err *err)
{
	struct datapath *dp = xcalloc(1, sizeof(*dp));
	int r;

	libbpf_set_print(libbpf_print);
	options_apply(dp, options);
	r = open_all(dp, options, err);
	if (r < 0) {
		datapath_close(dp);
		return err_prefix(err, r, "capture");
	}
	*ret_dp = dp;
	return 0;
}

void datapath_close(struct datapath *dp)
{
	if (!dp)
		return;
	ring_buffer__free(dp->ring);
	skiff_bpf__destroy(dp->skel);
	policy_free(dp);
	for (int i = 0; i < MAP_COUNT; i++) {
		if (dp->map[i] >= 0)
			close(dp->map[i]);
	}
	free(dp);
}

/* ---- heartbeat ------------------------------------------------------------------------------- */

static int beat_write(struct datapath *dp, uint64_t time)
{
	struct skiff_beat beat = {
		.time = time,
		.cgroup = dp->cgroup,
		.tgid = (__u32)getpid(),
		.layout = SKIFF_LAYOUT,
	};
	__u32 zero = 0;

	return bpf_map_update_elem(dp->map[MAP_beat], &zero, &beat, BPF_ANY) < 0 ? -errno : 0;
}

int datapath_beat(struct datapath *dp)
{
	return beat_write(dp, clock_mono_ns());
}

int datapath_beat_stop(struct datapath *dp)
{
	return beat_write(dp, 0);
}
