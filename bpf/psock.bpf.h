/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * A socket from within, as far as the programs look: its queue of redirected messages, and who
 * waits for it.
 */
#ifndef SKIFF_PSOCK_BPF_H
#define SKIFF_PSOCK_BPF_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "maps.bpf.h"

/* libbpf 1.1 has no such macro for a type */
#define SKIFF_FIELD_OFFSET(type, field)                                                            \
	__builtin_preserve_field_info(((type *)0)->field, BPF_FIELD_BYTE_OFFSET)

/* The few kernel fields that are read; offsets are relocated at load time. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct list_head {
	struct list_head *next;
};
struct sk_psock {
	struct list_head ingress_msg;
	__u32 msg_tot_len; /* since 6.18.8 or so */
};
struct wait_queue_entry {
	void *func;
	struct list_head entry;
};
struct wait_queue_head {
	struct list_head head;
};
struct socket_wq {
	struct wait_queue_head wait;
};
struct sock {
	void *sk_user_data;
	struct socket_wq *sk_wq;
};
#pragma clang attribute pop

#define SK_USER_DATA_FLAGS 7ul

/* NULL where <sk> is not in a sockhash. */
static __always_inline struct sk_psock *psock_of(struct sock *sk)
{
	unsigned long data = (unsigned long)BPF_CORE_READ(sk, sk_user_data);

	return (void *)(data & ~SK_USER_DATA_FLAGS);
}

static __always_inline int psock_is_empty(struct sk_psock *psock)
{
	struct list_head *first = BPF_CORE_READ(psock, ingress_msg.next);

	return (void *)first == (void *)__builtin_preserve_access_index(&psock->ingress_msg);
}

#define WAITERS_LOOKED_AT 4

/*
 * Does a thread sleep in recv(2) or send(2) on <sk>? poll, epoll and io_uring wait with functions
 * of their own. Looks without a lock: a queue that changes meanwhile may give a wrong answer, once.
 */
static __always_inline int sock_is_waited_for(struct sock *sk)
{
	struct socket_wq *wq = BPF_CORE_READ(sk, sk_wq);
	struct wait_queue_entry *w;
	struct list_head *head, *at;

	if (!wq || !cfg_waiter)
		return 0;
	head = (void *)__builtin_preserve_access_index(&wq->wait.head);
	at = BPF_CORE_READ(head, next);
	for (int i = 0; i < WAITERS_LOOKED_AT && at && at != head; i++) {
		w = (void *)at - SKIFF_FIELD_OFFSET(struct wait_queue_entry, entry);
		if ((__u64)BPF_CORE_READ(w, func) == cfg_waiter)
			return 1;
		at = BPF_CORE_READ(at, next);
	}
	return 0;
}

#endif
