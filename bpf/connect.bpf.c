/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * Outbound capture: cgroup/connect4 and connect6 (real and IPv4-mapped addresses), and
 * getpeername4/6, which tell the application the address that it asked for.
 * Runs in the application's task. What happens after connect(2) is in sockops.bpf.c.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/socket.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "exec.bpf.h"
#include "lookup.bpf.h"

#define SOCK_STREAM 1

enum { REFUSE = 0, ALLOW = 1 };

/* Where the connection goes; starts as what the application asked for. */
struct target {
	struct skiff_addr addr;
	__u16 port;
	__u16 changed;
};

/* A socket that connects again must not answer with an address of an earlier attempt. */
static __always_inline void orig_forget(struct bpf_sock *sk)
{
	struct skiff_sock *st = bpf_sk_storage_get(&skiff_sock, sk, 0, 0);

	if (st)
		st->flags &= ~(SKIFF_SOCK_ORIG | SKIFF_SOCK_CAPTURED);
}

static __always_inline struct skiff_sock *orig_store(struct bpf_sock *sk, const struct target *to,
						     __u16 flags)
{
	struct skiff_sock *st;

	st = bpf_sk_storage_get(&skiff_sock, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st)
		return NULL;
	st->orig = to->addr;
	st->port = to->port;
	st->flags = flags;
	return st;
}

/* Picks a backend of <service> by weight; returns the reason. */
static __always_inline __u32 backend_pick(__u32 service, struct target *to)
{
	struct skiff_service *known = bpf_map_lookup_elem(&skiff_services, &service);
	struct skiff_backend_key key = {.service = service};
	struct skiff_backend *be;
	struct skiff_service svc;
	__u32 lo = 0, hi, point;

	if (!known)
		return SKIFF_R_OUT_NO_BACKEND;
	svc = *known;
	key.set = svc.set;
	hi = svc.count;
	point = pick_point(&svc, bpf_get_prandom_u32());
	for (int i = 0; i < SKIFF_PICK_STEPS && lo < hi; i++) {
		key.slot = (lo + hi) / 2;
		be = bpf_map_lookup_elem(&skiff_backends, &key);
		if (!be)
			return SKIFF_R_OUT_NO_BACKEND;
		pick_halve(&lo, &hi, be->upto, point);
	}
	key.slot = lo;
	be = bpf_map_lookup_elem(&skiff_backends, &key);
	if (!be || lo >= svc.count)
		return SKIFF_R_OUT_NO_BACKEND;
	if (!ip_same_family(&be->addr, &to->addr))
		return SKIFF_R_OUT_FAMILY;
	to->addr = be->addr;
	to->port = be->port;
	to->changed = 1;
	return SKIFF_R_OUT_L4;
}

static __always_inline __u32 to_backend(struct bpf_sock *sk, __u32 service, struct target *to)
{
	struct target asked = *to;
	__u32 reason = backend_pick(service, to);

	if (reason == SKIFF_R_OUT_L4 && !orig_store(sk, &asked, SKIFF_SOCK_ORIG))
		return SKIFF_R_OUT_NO_MEMORY;
	return reason;
}

static __always_inline __u32 to_engine(struct bpf_sock *sk, __u64 netns,
				       const struct skiff_pod *pod, struct target *to)
{
	struct skiff_sock *st;

	st = orig_store(sk, to, SKIFF_SOCK_ORIG | SKIFF_SOCK_CAPTURED);
	if (!st)
		return SKIFF_R_OUT_NO_MEMORY;
	if (pod_accelerates(pod))
		exec_note(st, netns, pod->id);
	if (ip_is_v4(&to->addr)) {
		ip_from_v4(&to->addr, bpf_htonl(0x7f000001));
	} else {
		__builtin_memset(&to->addr, 0, sizeof(to->addr));
		to->addr.b[15] = 1;
	}
	to->port = pod->out_port;
	to->changed = 1;
	return SKIFF_R_OUT_L7;
}

/* Carries out what the policy says about <to>; fills the reason, returns REFUSE or ALLOW. */
static __always_inline int outbound(struct bpf_sock *sk, __u64 netns, const struct skiff_pod *pod,
				    struct target *to, __u32 *reason)
{
	struct skiff_policy *pol = policy_find(pod->id, SKIFF_OUTBOUND, &to->addr, to->port);
	struct decision d;
	__u32 role;
	int alive = 0;

	if (pol && pol->verdict == SKIFF_L7) {
		role = ip_is_v4(&to->addr) ? SKIFF_LISTEN_OUT4 : SKIFF_LISTEN_OUT6;
		alive = engine_alive(pod->id, role);
	}
	d = decide_outbound(pod, pol, alive);
	*reason = d.reason;
	if (d.action == DECIDE_PICK && pol)
		*reason = to_backend(sk, pol->service, to);
	else if (d.action == DECIDE_ENGINE)
		*reason = to_engine(sk, netns, pod, to);
	else if (d.action == DECIDE_PASS)
		orig_forget(sk);
	if (d.action == DECIDE_PASS)
		return ALLOW;
	return *reason == SKIFF_R_OUT_L4 || *reason == SKIFF_R_OUT_L7 ? ALLOW : REFUSE;
}

static __always_inline int on_connect(struct bpf_sock_addr *ctx, struct target *to)
{
	struct skiff_sock_key seen = {.remote = to->addr, .remote_port = to->port};
	struct bpf_sock *sk = ctx->sk;
	struct skiff_pod *pod;
	__u32 reason = SKIFF_R_OUT_SELF;
	int verdict = ALLOW;

	if (ctx->type != SOCK_STREAM || ctx->protocol != IPPROTO_TCP || !sk)
		return ALLOW;
	seen.netns = bpf_get_netns_cookie(ctx);
	pod = bpf_map_lookup_elem(&skiff_pods, &seen.netns);
	if (!pod)
		return ALLOW;
	if (decide_engine(beat_find(), sk->mark, bpf_get_current_cgroup_id()))
		reason = SKIFF_R_OUT_ENGINE;
	else if (ip_is_self(pod, &to->addr))
		orig_forget(sk);
	else
		verdict = outbound(sk, seen.netns, pod, to, &reason);
	report(reason, pod->id, &seen, 1);
	return verdict;
}

SEC("cgroup/connect4")
int skiff_connect4(struct bpf_sock_addr *ctx)
{
	struct target to = {.port = bpf_ntohs(ctx->user_port)};
	int verdict;

	ip_from_v4(&to.addr, ctx->user_ip4);
	verdict = on_connect(ctx, &to);
	if (to.changed && verdict == ALLOW) {
		ctx->user_ip4 = ip_word(&to.addr, 3);
		ctx->user_port = bpf_htons(to.port);
	}
	return verdict;
}

static __always_inline void ip6_read(struct bpf_sock_addr *ctx, struct skiff_addr *addr)
{
	ip_set_word(addr, 0, ctx->user_ip6[0]);
	ip_set_word(addr, 1, ctx->user_ip6[1]);
	ip_set_word(addr, 2, ctx->user_ip6[2]);
	ip_set_word(addr, 3, ctx->user_ip6[3]);
}

static __always_inline void ip6_write(struct bpf_sock_addr *ctx, const struct skiff_addr *addr)
{
	ctx->user_ip6[0] = ip_word(addr, 0);
	ctx->user_ip6[1] = ip_word(addr, 1);
	ctx->user_ip6[2] = ip_word(addr, 2);
	ctx->user_ip6[3] = ip_word(addr, 3);
}

SEC("cgroup/connect6")
int skiff_connect6(struct bpf_sock_addr *ctx)
{
	struct target to = {.port = bpf_ntohs(ctx->user_port)};
	int verdict;

	ip6_read(ctx, &to.addr);
	verdict = on_connect(ctx, &to);
	if (to.changed && verdict == ALLOW) {
		ip6_write(ctx, &to.addr);
		ctx->user_port = bpf_htons(to.port);
	}
	return verdict;
}

/* What the application asked for, where that differs from the peer that it has; or NULL. */
static __always_inline struct skiff_sock *orig_find(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct skiff_sock *st;

	if (!sk)
		return NULL;
	st = bpf_sk_storage_get(&skiff_sock, sk, 0, 0);
	return st && st->flags & SKIFF_SOCK_ORIG ? st : NULL;
}

SEC("cgroup/getpeername4")
int skiff_peername4(struct bpf_sock_addr *ctx)
{
	struct skiff_sock *st = orig_find(ctx);

	if (st) {
		ctx->user_ip4 = ip_word(&st->orig, 3);
		ctx->user_port = bpf_htons(st->port);
	}
	return ALLOW;
}

SEC("cgroup/getpeername6")
int skiff_peername6(struct bpf_sock_addr *ctx)
{
	struct skiff_sock *st = orig_find(ctx);

	if (st) {
		ip6_write(ctx, &st->orig);
		ctx->user_port = bpf_htons(st->port);
	}
	return ALLOW;
}

char _license[] __weak SEC("license") = "Dual BSD/GPL";
