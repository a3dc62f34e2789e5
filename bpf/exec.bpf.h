/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * Which executable owns a socket: noted by hooks that run in the application's own task
 * (connect(2), listen(2)), judged by user space, which is asked through the ring.
 */
#ifndef SKIFF_EXEC_BPF_H
#define SKIFF_EXEC_BPF_H

#include "log.bpf.h"

#include <bpf/bpf_core_read.h>

/* The few kernel fields that are read; offsets are relocated at load time. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct super_block {
	__u32 s_dev;
};
struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	__u32 i_generation;
};
struct file {
	struct inode *f_inode;
};
struct mm_struct {
	struct file *exe_file;
};
struct task_struct {
	struct mm_struct *mm;
	int tgid;
};
#pragma clang attribute pop

static __always_inline int exec_key(struct skiff_exec_key *key, __u32 *tgid)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct inode *inode = BPF_CORE_READ(task, mm, exe_file, f_inode);

	if (!inode)
		return -1; /* a kernel thread */
	__builtin_memset(key, 0, sizeof(*key));
	key->device = BPF_CORE_READ(inode, i_sb, s_dev);
	key->inode = BPF_CORE_READ(inode, i_ino);
	key->generation = BPF_CORE_READ(inode, i_generation);
	*tgid = BPF_CORE_READ(task, tgid);
	return 0;
}

static __always_inline void exec_ask(__u64 netns, __u32 pod, const struct skiff_exec_key *key,
				     __u32 tgid)
{
	struct skiff_exec ask = {.verdict = SKIFF_EXEC_PENDING, .tgid = tgid};
	struct skiff_event *e;

	if (bpf_map_update_elem(&skiff_execs, key, &ask, BPF_NOEXIST))
		return;
	count(SKIFF_R_EXEC_ASK);
	e = event_open(SKIFF_R_EXEC_ASK, netns, pod);
	if (!e) {
		bpf_map_delete_elem(&skiff_execs, key); /* ask again next time */
		return;
	}
	e->tgid = tgid;
	e->exec = *key;
	bpf_ringbuf_submit(e, 0);
}

/*
 * Notes the running executable in its socket's storage, and asks user space about it when nobody
 * has looked at it yet. The verdict is looked up later, when a connection is there.
 */
static __always_inline void exec_note(struct skiff_sock *st, __u64 netns, __u32 pod)
{
	struct skiff_exec_key key;
	__u32 tgid;

	if (!cfg_exec || exec_key(&key, &tgid))
		return;
	st->file = key;
	st->exec = SKIFF_EXEC_UNKNOWN;
	st->flags |= SKIFF_SOCK_EXEC;
	if (!bpf_map_lookup_elem(&skiff_execs, &key))
		exec_ask(netns, pod, &key, tgid);
}

/* What is noted with the socket itself, that it waited, goes first. */
static __always_inline __u32 exec_verdict(const struct skiff_sock *st)
{
	struct skiff_exec_key key;
	struct skiff_exec *known;

	if (!(st->flags & SKIFF_SOCK_EXEC))
		return SKIFF_EXEC_UNKNOWN;
	if (st->exec != SKIFF_EXEC_UNKNOWN)
		return st->exec;
	key = st->file;
	known = bpf_map_lookup_elem(&skiff_execs, &key);
	return known ? known->verdict : SKIFF_EXEC_UNKNOWN;
}

/* Somebody waits in recv(2) or send(2) on a socket of <st>: its executable is left on TCP. */
static __always_inline void exec_waits(struct skiff_sock *st, const struct skiff_sock_key *key)
{
	struct skiff_exec_key file = st->file;
	struct skiff_exec *known;
	struct skiff_pod *pod;
	__u64 netns = key->netns;
	struct skiff_event *e;

	st->exec = SKIFF_EXEC_WAITS;
	if (!(st->flags & SKIFF_SOCK_EXEC))
		return;
	known = bpf_map_lookup_elem(&skiff_execs, &file);
	if (!known || known->verdict == SKIFF_EXEC_WAITS)
		return;
	known->verdict = SKIFF_EXEC_WAITS;
	count(SKIFF_R_EXEC_WAITS);
	pod = bpf_map_lookup_elem(&skiff_pods, &netns);
	e = event_open(SKIFF_R_EXEC_WAITS, netns, pod ? pod->id : 0);
	if (!e)
		return;
	e->local = key->local;
	e->remote = key->remote;
	e->local_port = key->local_port;
	e->remote_port = key->remote_port;
	e->tgid = known->tgid;
	e->exec = file;
	bpf_ringbuf_submit(e, 0);
}

#endif
