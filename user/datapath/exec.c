/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdicts on executables: answers to the kernel side's questions, and the sockets that listened
 * in a pod before it joined the mesh. How a file is judged is in classify.c.
 */
#include "datapath/datapath_impl.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Judged at once; a pod that makes new executables all the time waits. */
#define ANSWERS_MAX 64

/* What cannot splice has still to be seen reading. */
static enum skiff_exec_verdict judge(uint32_t tgid)
{
	enum skiff_exec_verdict verdict = classify_process(tgid);

	return verdict == SKIFF_EXEC_PLAIN ? SKIFF_EXEC_WATCHED : verdict;
}

void exec_answer(struct datapath *dp, const struct skiff_event *event)
{
	enum skiff_exec_verdict verdict;
	struct skiff_exec known;

	verdict = dp->answers++ < ANSWERS_MAX ? judge(event->tgid) : SKIFF_EXEC_UNKNOWN;
	/* reading files takes its time: meanwhile it may have been seen waiting */
	if (bpf_map_lookup_elem(dp->map[MAP_execs], &event->exec, &known) < 0 ||
	    known.verdict != SKIFF_EXEC_PENDING)
		return;
	if (verdict == SKIFF_EXEC_UNKNOWN) {
		bpf_map_delete_elem(dp->map[MAP_execs], &event->exec);
		return;
	}
	known.verdict = verdict;
	bpf_map_update_elem(dp->map[MAP_execs], &event->exec, &known, BPF_EXIST);
}

void exec_reset(struct datapath *dp)
{
	struct skiff_exec_key key, next, *previous = NULL;
	struct skiff_exec known;
	bool more;

	more = bpf_map_get_next_key(dp->map[MAP_execs], NULL, &next) == 0;
	for (unsigned int i = 0; more && i < SKIFF_MAX_EXECS; i++) {
		key = next;
		previous = &key;
		more = bpf_map_get_next_key(dp->map[MAP_execs], previous, &next) == 0;
		if (bpf_map_lookup_elem(dp->map[MAP_execs], &key, &known) == 0 &&
		    known.verdict == SKIFF_EXEC_PENDING)
			bpf_map_delete_elem(dp->map[MAP_execs], &key);
	}
}

/* ---- sockets that listen already ------------------------------------------------------------- */

struct scan {
	struct datapath *dp;
	uint64_t netns_ino;
	uint32_t tgid;
	bool judged;               /* the process at hand: file is in skiff_execs */
	struct skiff_exec_key file;
};

static bool is_tcp_listener(int fd)
{
	int listens = 0, protocol = 0, mark = 0;
	socklen_t size = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens)
		return false;
	size = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0 ||
	    protocol != IPPROTO_TCP)
		return false;
	size = sizeof(int);
	return getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &size) == 0 && mark != SKIFF_MARK;
}

/* Puts the process at hand into skiff_execs. What is known of its file from before stays. */
static void scan_judge(struct scan *scan)
{
	struct skiff_exec known = {.tgid = scan->tgid};
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/exe", scan->tgid);
	if (stat(path, &st) < 0)
		return;
	scan->file = (struct skiff_exec_key){
		.device = (uint64_t)st.st_dev | SKIFF_EXEC_BY_STAT,
		.inode = st.st_ino,
	};
	scan->judged = true;
	if (bpf_map_lookup_elem(scan->dp->map[MAP_execs], &scan->file, &(struct skiff_exec){0}) ==
	    0)
		return;
	known.verdict = judge(scan->tgid);
	if (known.verdict != SKIFF_EXEC_UNKNOWN)
		bpf_map_update_elem(scan->dp->map[MAP_execs], &scan->file, &known,
				    BPF_NOEXIST);
}

/* Notes the file in the socket's storage, where accepted sockets inherit it. */
static void listener_note(struct scan *scan, int fd)
{
	struct skiff_sock st = {.flags = SKIFF_SOCK_EXEC};
	struct skiff_sock known;

	if (bpf_map_lookup_elem(scan->dp->map[MAP_sock], &fd, &known) == 0 &&
	    known.flags & SKIFF_SOCK_EXEC)
		return;
	if (!scan->judged)
		scan_judge(scan);
	if (!scan->judged)
		return;
	st.file = scan->file;
	bpf_map_update_elem(scan->dp->map[MAP_sock], &fd, &st, BPF_ANY);
}

static void scan_fd(struct scan *scan, int pidfd, const char *fds, const char *name)
{
	char path[128], link[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%.16s", fds, name);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 8 || strncmp(link, "socket:[", 8) != 0)
		return;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, strtol(name, NULL, 10), 0);
	if (fd < 0)
		return;
	if (is_tcp_listener(fd))
		listener_note(scan, fd);
	close(fd);
}

static void scan_process(struct scan *scan, const char *pid)
{
	char path[64];
	struct dirent *d;
	struct stat st;
	int pidfd;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/ns/net", pid);
	if (stat(path, &st) < 0 || st.st_ino != scan->netns_ino)
		return;
	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	pidfd = (int)syscall(SYS_pidfd_open, strtol(pid, NULL, 10), 0);
	if (pidfd < 0)
		return;
	dir = opendir(path);
	scan->tgid = (uint32_t)strtoul(pid, NULL, 10);
	scan->judged = false;
	while (dir && (d = readdir(dir))) {
		if (isdigit((unsigned char)d->d_name[0]))
			scan_fd(scan, pidfd, path, d->d_name);
	}
	if (dir)
		closedir(dir);
	close(pidfd);
}

void exec_scan(struct datapath *dp, int netns)
{
	struct scan scan = {.dp = dp};
	struct dirent *d;
	struct stat st;
	DIR *proc;

	if (!dp->has_exec || fstat(netns, &st) < 0)
		return;
	scan.netns_ino = st.st_ino;
	proc = opendir("/proc");
	while (proc && (d = readdir(proc))) {
		if (isdigit((unsigned char)d->d_name[0]))
			scan_process(&scan, d->d_name);
	}
	if (proc)
		closedir(proc);
}
