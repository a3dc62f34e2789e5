/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * What the programs say: counters by reason and records in the event ring. Nothing here decides.
 */
#ifndef SKIFF_LOG_BPF_H
#define SKIFF_LOG_BPF_H

#include "decide.bpf.h"
#include "maps.bpf.h"

static __always_inline void count_by(__u32 reason, __u64 n)
{
	struct skiff_count *c = bpf_map_lookup_elem(&skiff_stats, &reason);

	if (c)
		c->count += n; /* per CPU; a preempted update may lose one, never corrupts */
}

static __always_inline void count(__u32 reason)
{
	count_by(reason, 1);
}

/* Counts for the pod what an operator must see of it. */
static __always_inline void count_pod(__u32 pod, __u32 reason)
{
	struct skiff_pod_stat_key key = {.pod = pod, .reason = reason};
	struct skiff_count first = {.count = 1};
	struct skiff_count *c = bpf_map_lookup_elem(&skiff_pod_stats, &key);

	if (c)
		__sync_fetch_and_add(&c->count, 1);
	else /* two at once for the first time: one is lost; a full map counts no more pods */
		bpf_map_update_elem(&skiff_pod_stats, &key, &first, BPF_NOEXIST);
}

/* Which reasons write a record. */
static __always_inline int reason_has_event(__u32 reason)
{
	switch (reason) {
#define REASON_EVENT(name, text, event)                                                            \
	case SKIFF_R_##name:                                                                       \
		return event;
		SKIFF_REASONS(REASON_EVENT)
#undef REASON_EVENT
	}
	return 0;
}

/* A record to fill and submit, or NULL (counted) when the ring is full. */
static __always_inline struct skiff_event *event_open(__u32 reason, __u64 netns, __u32 pod)
{
	struct skiff_event *e = bpf_ringbuf_reserve(&skiff_events, sizeof(*e), 0);

	if (!e) {
		count(SKIFF_R_EVENT_LOST);
		return NULL;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time = bpf_ktime_get_ns();
	e->netns = netns;
	e->pod = pod;
	e->reason = reason;
	return e;
}

/*
 * Counts <reason> and, where it has one, writes a record about the connection <key>.
 * <in_task>, a constant: the hook runs in the application's task, so name it.
 */
static __always_inline void report(__u32 reason, __u32 pod, const struct skiff_sock_key *key,
				   int in_task)
{
	struct skiff_event *e;

	count(reason);
	if (!reason_has_event(reason))
		return;
	count_pod(pod, reason);
	e = event_open(reason, key->netns, pod);
	if (!e)
		return;
	e->local = key->local;
	e->remote = key->remote;
	e->local_port = key->local_port;
	e->remote_port = key->remote_port;
	if (in_task) {
		e->tgid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(e->comm, sizeof(e->comm));
	}
	bpf_ringbuf_submit(e, 0);
}

#endif
