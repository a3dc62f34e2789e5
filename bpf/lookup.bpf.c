/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * Inbound capture: sk_lookup, loaded and attached once per pod namespace (cfg_netns says which,
 * because this hook cannot ask). Connections from outside go to the engine's in-pod listener;
 * the pod's own, and those of this node (kubelet probes), are left alone.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/socket.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lookup.bpf.h"

#define AF_INET 2

static __always_inline void ends_read(struct bpf_sk_lookup *ctx, struct skiff_sock_key *key)
{
	key->netns = cfg_netns;
	key->local_port = ctx->local_port;
	key->remote_port = bpf_ntohs(ctx->remote_port);
	if (ctx->family == AF_INET) {
		ip_from_v4(&key->local, ctx->local_ip4);
		ip_from_v4(&key->remote, ctx->remote_ip4);
		return;
	}
	ip_set_word(&key->local, 0, ctx->local_ip6[0]);
	ip_set_word(&key->local, 1, ctx->local_ip6[1]);
	ip_set_word(&key->local, 2, ctx->local_ip6[2]);
	ip_set_word(&key->local, 3, ctx->local_ip6[3]);
	ip_set_word(&key->remote, 0, ctx->remote_ip6[0]);
	ip_set_word(&key->remote, 1, ctx->remote_ip6[1]);
	ip_set_word(&key->remote, 2, ctx->remote_ip6[2]);
	ip_set_word(&key->remote, 3, ctx->remote_ip6[3]);
}

/* The entry of the list for the exact port, else the one for any port, else NULL. */
static __always_inline struct skiff_authz *authz_find(__u32 list, const struct skiff_sock_key *key)
{
	struct skiff_authz_key want = {
		.prefixlen = SKIFF_AUTHZ_FIXED + 128,
		.list = list,
		.port = key->local_port,
		.addr = key->remote,
	};
	struct skiff_authz *found = bpf_map_lookup_elem(&skiff_authz, &want);

	if (found)
		return found;
	want.port = 0;
	return bpf_map_lookup_elem(&skiff_authz, &want);
}

/* Gives the connection to the engine; returns the reason. */
static __always_inline __u32 steer(struct bpf_sk_lookup *ctx, const struct skiff_pod *pod)
{
	struct skiff_listen_key key = {.pod = pod->id, .role = SKIFF_LISTEN_IN};
	struct bpf_sock *listener = bpf_map_lookup_elem(&skiff_listen, &key);
	long err;

	if (!listener)
		return pod->flags & SKIFF_POD_CLOSED ? SKIFF_R_IN_CLOSED : SKIFF_R_IN_OPEN;
	err = bpf_sk_assign(ctx, listener, 0);
	bpf_sk_release(listener);
	return err ? SKIFF_R_IN_ASSIGN : SKIFF_R_IN_L7;
}

static __always_inline int inbound(struct bpf_sk_lookup *ctx, const struct skiff_pod *pod,
				   const struct skiff_sock_key *key, __u32 *reason)
{
	struct skiff_authz *authz = NULL;
	struct skiff_policy *pol;
	struct decision d;
	int alive = 0;

	pol = policy_find(pod->id, SKIFF_INBOUND, &key->local, key->local_port);
	if (pol && pol->verdict == SKIFF_L7)
		alive = engine_alive(pod->id, SKIFF_LISTEN_IN);
	if (pol && pol->authz)
		authz = authz_find(pol->authz, key);
	d = decide_inbound(pod, pol, authz, alive);
	*reason = d.reason;
	if (d.action == DECIDE_PASS)
		return SK_PASS;
	if (d.action == DECIDE_REFUSE)
		return SK_DROP;
	*reason = steer(ctx, pod);
	return *reason == SKIFF_R_IN_L7 || *reason == SKIFF_R_IN_OPEN ? SK_PASS : SK_DROP;
}

SEC("sk_lookup")
int skiff_lookup(struct bpf_sk_lookup *ctx)
{
	__u64 netns = cfg_netns;
	struct skiff_sock_key key = {};
	struct skiff_pod *pod;
	__u32 reason = SKIFF_R_IN_SELF;
	int verdict = SK_PASS;

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	pod = bpf_map_lookup_elem(&skiff_pods, &netns);
	if (!pod)
		return SK_PASS;
	ends_read(ctx, &key);
	if (decide_inbound_own(pod, &key.remote, &key.local))
		reason = SKIFF_R_IN_SELF;
	else if (bpf_map_lookup_elem(&skiff_nodes, &key.remote))
		reason = SKIFF_R_IN_NODE;
	else
		verdict = inbound(ctx, pod, &key, &reason);
	report(reason, pod->id, &key, 0);
	return verdict;
}

char _license[] __weak SEC("license") = "Dual BSD/GPL";
