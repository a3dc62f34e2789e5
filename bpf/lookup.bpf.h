/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * Look-ups that more than one hook makes: policy, heartbeat, the engine's listeners.
 */
#ifndef SKIFF_LOOKUP_BPF_H
#define SKIFF_LOOKUP_BPF_H

#include "log.bpf.h"

/* The entry for the exact port, else the one for any port, else NULL. */
static __always_inline struct skiff_policy *policy_find(__u32 pod, __u8 direction,
							const struct skiff_addr *addr, __u16 port)
{
	struct skiff_policy_key key = {
		.prefixlen = SKIFF_POLICY_FIXED + 128,
		.pod = pod,
		.direction = direction,
		.port = port,
		.addr = *addr,
	};
	struct skiff_policy *pol = bpf_map_lookup_elem(&skiff_policy, &key);

	if (pol)
		return pol;
	key.port = 0;
	return bpf_map_lookup_elem(&skiff_policy, &key);
}

static __always_inline struct skiff_beat *beat_find(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&skiff_beat, &zero);
}

/* Is the engine there for this pod? A closed listener leaves skiff_listen by itself. */
static __always_inline int engine_alive(__u32 pod, __u32 role)
{
	struct skiff_listen_key key = {.pod = pod, .role = role};
	struct bpf_sock *listener = bpf_map_lookup_elem(&skiff_listen, &key);

	if (!listener)
		return 0;
	bpf_sk_release(listener);
	return decide_alive(beat_find(), 1, bpf_ktime_get_ns(), cfg_beat_seconds);
}

#endif
