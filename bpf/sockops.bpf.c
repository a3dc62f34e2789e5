/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * sockops: at ESTABLISHED, keeps the original destination for the engine's accept, and puts both
 * ends of a connection between an application and the engine into skiff_socks; at listen(2), notes
 * the executable; at CLOSE, cleans up. Never inserts a socket later than ESTABLISHED.
 */
#include <linux/bpf.h>
#include <linux/socket.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "exec.bpf.h"
#include "psock.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct tcp_sock {
	__u32 copied_seq;
	__u32 rcv_nxt;
};
#pragma clang attribute pop

#define AF_INET 2
#define AF_INET6 10

static __always_inline void ends_read(struct bpf_sock_ops *ctx, struct skiff_sock_key *key)
{
	key->local_port = ctx->local_port;
	key->remote_port = bpf_ntohl(ctx->remote_port);
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

static __always_inline void close_watch(struct bpf_sock_ops *ctx)
{
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* Calls on_answer() whenever bytes that went by TCP are acknowledged. */
static __always_inline void answers_watch(struct bpf_sock_ops *ctx)
{
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG);
}

static __always_inline void answers_unwatch(struct bpf_sock_ops *ctx)
{
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* The connection stays on TCP, and shows what its executable does. */
static __always_inline int is_watched(__u32 reason)
{
	return reason == SKIFF_R_ACCEL_WATCHED || reason == SKIFF_R_ACCEL_UNKNOWN;
}

/* Bytes that came by TCP before, or a protocol on top that sk_msg does not know. */
static __always_inline int is_early(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	if (ctx->data_segs_in || ctx->data_segs_out)
		return 1;
	return cfg_mptcp && bpf_skc_to_mptcp_sock(sk);
}

static __always_inline int orig_publish(const struct skiff_sock *st,
					const struct skiff_sock_key *key)
{
	struct skiff_origdst_key at = {
		.netns = key->netns,
		.addr = key->local,
		.port = key->local_port,
	};
	struct skiff_origdst dst = {.addr = st->orig, .port = st->port};

	return bpf_map_update_elem(&skiff_origdst, &at, &dst, BPF_ANY);
}

/* Enters the socket; the pair must exist. Order: flags, map, presence, as the peer reads them. */
static __always_inline __u32 join(struct bpf_sock_ops *ctx, struct skiff_sock *st,
				  struct skiff_sock_key *key, struct skiff_pair *pair, int me,
				  struct bpf_sock *sk)
{
	st->flags = (st->flags | SKIFF_SOCK_ACCEL) & ~SKIFF_SOCK_TCP;
	if (bpf_sock_hash_update(ctx, &skiff_socks, key, BPF_ANY)) {
		st->flags &= ~SKIFF_SOCK_ACCEL;
		return SKIFF_R_ACCEL_FAIL;
	}
	pair->sock[me & 1] = (__u64)bpf_skc_to_tcp_sock(sk);
	__sync_fetch_and_or(&pair->present[me & 1], SKIFF_IN_SOCKS);
	close_watch(ctx);
	if (sk->mark != SKIFF_MARK)
		answers_watch(ctx);
	return SKIFF_R_ACCEL_ON;
}

/* The end that connected comes first: it makes the pair. */
static __always_inline __u32 join_active(struct bpf_sock_ops *ctx, struct bpf_sock *sk,
					 struct skiff_sock *st, struct skiff_sock_key *key)
{
	struct skiff_pair fresh = {};
	struct skiff_pair_key pair_key;
	struct skiff_pair *pair;
	int me;

	if (is_early(ctx, sk))
		return SKIFF_R_ACCEL_EARLY;
	me = pair_key_from(&pair_key, key);
	if (bpf_map_update_elem(&skiff_pairs, &pair_key, &fresh, BPF_ANY))
		return SKIFF_R_ACCEL_FAIL;
	pair = bpf_map_lookup_elem(&skiff_pairs, &pair_key);
	if (!pair)
		return SKIFF_R_ACCEL_FAIL;
	return join(ctx, st, key, pair, me, sk);
}

/* connect(2) of an application that was captured, or of the engine towards an application. */
static __always_inline void on_active(struct bpf_sock_ops *ctx, const struct skiff_pod *pod,
				      struct bpf_sock *sk, struct skiff_sock_key *key)
{
	struct skiff_sock *st;
	__u32 reason;

	if (sk->mark == SKIFF_MARK) {
		if (!pod_accelerates(pod) || !decide_inbound_own(pod, &key->remote, &key->local))
			return;
		st = bpf_sk_storage_get(&skiff_sock, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		reason = st ? join_active(ctx, sk, st, key) : SKIFF_R_ACCEL_FAIL;
		report(reason, pod->id, key, 0);
		return;
	}
	st = bpf_sk_storage_get(&skiff_sock, sk, 0, 0);
	if (!st || !(st->flags & SKIFF_SOCK_CAPTURED))
		return;
	reason = orig_publish(st, key) ? SKIFF_R_ORIGDST_FAIL : SKIFF_R_ORIGDST;
	report(reason, pod->id, key, 0);
	if (!pod_accelerates(pod))
		return;
	reason = decide_accelerate(pod, exec_verdict(st));
	if (reason == SKIFF_R_ACCEL_ON)
		reason = join_active(ctx, sk, st, key);
	else if (is_watched(reason))
		answers_watch(ctx);
	report(reason, pod->id, key, 0);
}

/* The accepted end joins only a peer that is there; then both know of each other. */
static __always_inline void on_passive(struct bpf_sock_ops *ctx, const struct skiff_pod *pod,
				       struct bpf_sock *sk, struct skiff_sock_key *key)
{
	struct skiff_pair_key pair_key;
	struct skiff_pair *pair;
	struct skiff_sock *st;
	__u32 reason = SKIFF_R_ACCEL_ON;
	int me, engine = sk->mark == SKIFF_MARK;

	if (engine)
		close_watch(ctx);
	me = pair_key_from(&pair_key, key);
	pair = bpf_map_lookup_elem(&skiff_pairs, &pair_key);
	if (!pair || !(pair->present[!me] & SKIFF_IN_SOCKS))
		return;
	st = bpf_sk_storage_get(&skiff_sock, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st)
		reason = SKIFF_R_ACCEL_FAIL;
	else if (!engine)
		reason = decide_accelerate(pod, exec_verdict(st));
	if (reason == SKIFF_R_ACCEL_ON && is_early(ctx, sk))
		reason = SKIFF_R_ACCEL_EARLY;
	if (reason == SKIFF_R_ACCEL_ON && st)
		reason = join(ctx, st, key, pair, me, sk);
	if (reason != SKIFF_R_ACCEL_ON)
		bpf_map_delete_elem(&skiff_pairs, &pair_key);
	if (is_watched(reason))
		answers_watch(ctx);
	report(reason, pod->id, key, 0);
}

/* listen(2): what accepted sockets inherit. Runs in the server's task. */
static __always_inline void on_listen(const struct skiff_pod *pod, struct bpf_sock *sk, __u64 netns)
{
	struct skiff_sock *st;

	if (sk->mark == SKIFF_MARK || !pod_accelerates(pod))
		return;
	st = bpf_sk_storage_get(&skiff_sock, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st)
		return;
	exec_note(st, netns, pod->id);
}

/* An executable that nobody has seen waiting, whenever bytes came for it, proves itself. */
static __always_inline void exec_reads(struct bpf_sock_ops *ctx, struct skiff_sock *st,
				       const struct tcp_sock *tcp,
				       const struct skiff_sock_key *at)
{
	struct skiff_exec_key key = st->file;
	struct skiff_exec *known = bpf_map_lookup_elem(&skiff_execs, &key);

	if (!known ||
	    (known->verdict != SKIFF_EXEC_WATCHED && known->verdict != SKIFF_EXEC_PENDING)) {
		answers_unwatch(ctx);
		return;
	}
	if (sock_is_waited_for((struct sock *)tcp)) {
		exec_waits(st, at);
		return;
	}
	/* it has read; what came with this acknowledgement it cannot have read yet */
	if (!cfg_waiter || known->verdict == SKIFF_EXEC_PENDING ||
	    ctx->bytes_received <= tcp->rcv_nxt - tcp->copied_seq)
		return;
	if (__sync_fetch_and_add(&known->reads, 1) + 1 != SKIFF_EXEC_READS)
		return;
	known->verdict = SKIFF_EXEC_PLAIN;
	count(SKIFF_R_EXEC_PLAIN);
}

/*
 * Bytes that went by TCP were acknowledged. Once both directions are on TCP for good and the queue
 * of redirected messages is empty, acceleration has nothing left to give, and plain TCP, which
 * waits in recv(2) as it should, takes the socket back. Only ever an application's: the engine's
 * sends take turns, so that none can still be on its way here. Runs under the socket's lock.
 */
static __always_inline void on_answer(struct bpf_sock_ops *ctx, struct bpf_sock *sk,
				      struct skiff_sock_key *key)
{
	struct skiff_sock *st = bpf_sk_storage_get(&skiff_sock, sk, 0, 0);
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct skiff_pair_key pair_key;
	struct skiff_pair *pair;
	struct sk_psock *psock;
	int me;

	if (!st || !tcp || !cfg_unread)
		return;
	if (!(st->flags & SKIFF_SOCK_ACCEL)) {
		exec_reads(ctx, st, tcp, key);
		return;
	}
	me = pair_key_from(&pair_key, key);
	pair = bpf_map_lookup_elem(&skiff_pairs, &pair_key);
	if (!decide_leave(st->flags, pair, me))
		return;
	psock = psock_of((struct sock *)tcp);
	if (!psock || !psock_is_empty(psock))
		return;
	if (!pair || sk->mark == SKIFF_MARK) /* known; the verifier wants to see it */
		return;
	st->flags &= ~SKIFF_SOCK_ACCEL;
	__sync_fetch_and_and(&pair->present[me & 1], ~SKIFF_IN_SOCKS);
	bpf_map_delete_elem(&skiff_socks, key);
	answers_unwatch(ctx);
	count(SKIFF_R_ACCEL_LEFT);
}

static __always_inline void on_close(struct bpf_sock *sk, const struct skiff_sock_key *key)
{
	struct skiff_origdst_key at = {
		.netns = key->netns,
		.addr = key->remote,
		.port = key->remote_port,
	};
	struct skiff_pair_key pair_key;

	pair_key_from(&pair_key, key);
	bpf_map_delete_elem(&skiff_pairs, &pair_key);
	/* The application may be done before the engine accepts: only the engine's end ends it. */
	if (sk->mark == SKIFF_MARK)
		bpf_map_delete_elem(&skiff_origdst, &at);
}

SEC("sockops")
int skiff_sockops(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk; /* read once: the verifier refuses a second load */
	struct skiff_sock_key key = {};
	struct skiff_pod *pod;

	if (!sk || (ctx->family != AF_INET && ctx->family != AF_INET6))
		return 0;
	key.netns = bpf_get_netns_cookie(ctx);
	pod = bpf_map_lookup_elem(&skiff_pods, &key.netns);
	if (!pod)
		return 0;
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		ends_read(ctx, &key);
		on_active(ctx, pod, sk, &key);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		ends_read(ctx, &key);
		on_passive(ctx, pod, sk, &key);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		on_listen(pod, sk, key.netns);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		ends_read(ctx, &key);
		on_answer(ctx, sk, &key);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		ends_read(ctx, &key);
		if (ctx->args[1] == BPF_TCP_CLOSE)
			on_close(sk, &key);
		break;
	}
	return 0;
}

char _license[] __weak SEC("license") = "Dual BSD/GPL";
