/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * sk_msg: conversations move from socket to socket without the TCP stack, streams stay on TCP
 * (rule 1 of docs/contract-bpf.md). Every miss means SK_PASS.
 * Sockets enter skiff_socks in sockops.bpf.c, never here.
 */
#include <linux/bpf.h>
#include <linux/socket.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "exec.bpf.h"
#include "psock.bpf.h"

#define AF_INET 2

/* The few kernel fields that are read; offsets are relocated at load time. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct inet_connection_sock {
	const void *icsk_ulp_ops;
};
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 write_seq;
	__u32 snd_nxt;
	__u32 data_segs_out;
};
#pragma clang attribute pop

static __always_inline void ends_read(struct sk_msg_md *msg, struct skiff_sock_key *key)
{
	key->netns = bpf_get_netns_cookie(msg);
	key->local_port = msg->local_port;
	key->remote_port = bpf_ntohl(msg->remote_port);
	if (msg->family == AF_INET) {
		ip_from_v4(&key->local, msg->local_ip4);
		ip_from_v4(&key->remote, msg->remote_ip4);
		return;
	}
	ip_set_word(&key->local, 0, msg->local_ip6[0]);
	ip_set_word(&key->local, 1, msg->local_ip6[1]);
	ip_set_word(&key->local, 2, msg->local_ip6[2]);
	ip_set_word(&key->local, 3, msg->local_ip6[3]);
	ip_set_word(&key->remote, 0, msg->remote_ip6[0]);
	ip_set_word(&key->remote, 1, msg->remote_ip6[1]);
	ip_set_word(&key->remote, 2, msg->remote_ip6[2]);
	ip_set_word(&key->remote, 3, msg->remote_ip6[3]);
}

/*
 * The other end's use of its credit now that this one speaks. Speaking alone proves nothing about
 * reading, so where the kernel lets us see what waits in our own queue, that is what counts.
 */
static __always_inline __u64 credit_used(struct tcp_sock *self, __u64 used)
{
	struct sock *sk = (struct sock *)self;
	struct sk_psock *psock;

	if (!cfg_unread)
		return 0;
	psock = sk ? psock_of(sk) : 0;
	if (!psock)
		return used;
	if (bpf_core_field_exists(psock->msg_tot_len))
		return BPF_CORE_READ(psock, msg_tot_len);
	return psock_is_empty(psock) ? 0 : used;
}

/* Kernel TLS was put on the socket after it was established: its bytes are not ours to move. */
static __always_inline int has_ulp(struct tcp_sock *self)
{
	return cfg_unread && self && BPF_CORE_READ(self, inet_conn.icsk_ulp_ops);
}

/*
 * Bytes went by TCP although the socket was never told to: TCP Fast Open, or a send(2) that waited
 * for the connection. What is redirected after them would overtake them.
 */
static __always_inline int has_sent(struct tcp_sock *self)
{
	return cfg_unread && self &&
	       (BPF_CORE_READ(self, data_segs_out) ||
		BPF_CORE_READ(self, write_seq) != BPF_CORE_READ(self, snd_nxt));
}

/*
 * Does the application wait in recv(2) or send(2)? On an accelerated socket the kernel's recv(2)
 * waits for one wake-up, whatever it is for, and then answers EAGAIN. The engine sees it first,
 * when it answers; the executable is known on the application's own side.
 */
static __always_inline int app_waits(struct bpf_sock *sk, struct skiff_sock *st,
				     struct tcp_sock *self, struct skiff_pair *pair, int me,
				     const struct skiff_sock_key *key)
{
	struct sock *app = (struct sock *)pair->sock[!me];

	if (st->flags & SKIFF_SOCK_TCP || !cfg_waiter)
		return 0;
	if (sk->mark == SKIFF_MARK) {
		if (!app || !sock_is_waited_for(app))
			return 0;
		__sync_fetch_and_or(&pair->present[!me], SKIFF_WAITED_FOR);
		return 1;
	}
	if (!(pair->present[me & 1] & SKIFF_WAITED_FOR) &&
	    !(self && sock_is_waited_for((struct sock *)self)))
		return 0;
	exec_waits(st, key);
	return 1;
}

/* A direction goes to TCP for good; says why, if that is news. */
static __always_inline void redirect_stop(enum redirect_step step, const struct skiff_sock_key *key)
{
	struct skiff_pod *pod = bpf_map_lookup_elem(&skiff_pods, &key->netns);
	__u32 id = pod ? pod->id : 0;

	if (step == REDIRECT_MISS)
		report(SKIFF_R_MSG_MISS, id, key, 0);
	else if (step == REDIRECT_OVER)
		report(SKIFF_R_MSG_FALLBACK, id, key, 0);
	else if (step == REDIRECT_EARLY)
		report(SKIFF_R_ACCEL_EARLY, id, key, 0);
}

SEC("sk_msg")
int skiff_redirect(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;
	struct skiff_sock_key key = {}, peer;
	struct skiff_pair_key pair_key;
	enum redirect_step step;
	struct skiff_pair *pair;
	struct skiff_sock *st;
	struct tcp_sock *self;
	__u32 size = msg->size;
	int me;

	if (!sk)
		return SK_PASS;
	st = bpf_sk_storage_get(&skiff_sock, sk, 0, 0);
	if (!st || !(st->flags & SKIFF_SOCK_ACCEL))
		return SK_PASS;
	ends_read(msg, &key);
	me = pair_key_from(&pair_key, &key);
	pair = bpf_map_lookup_elem(&skiff_pairs, &pair_key);
	self = bpf_skc_to_tcp_sock(sk);
	if (pair && (has_ulp(self) || app_waits(sk, st, self, pair, me, &key))) {
		__sync_fetch_and_and(&pair->present[0], ~SKIFF_IN_SOCKS);
		__sync_fetch_and_and(&pair->present[1], ~SKIFF_IN_SOCKS);
	}
	step = decide_redirect(st->flags, has_sent(self), pair, me, size, cfg_credit);
	if (pair) {
		pair->sent[!me] = credit_used(self, pair->sent[!me]);
		pair->sent[me & 1] += size;
	}
	if (step != REDIRECT_GO) {
		st->flags |= SKIFF_SOCK_TCP;
		if (pair) /* what went before has arrived: sends of one end take turns */
			__sync_fetch_and_or(&pair->present[me & 1], SKIFF_SENDS_TCP);
		if (!pair) /* nothing to look at any more: the next message passes at once */
			st->flags &= ~SKIFF_SOCK_ACCEL;
		redirect_stop(step, &key);
		return SK_PASS;
	}
	count(SKIFF_R_MSG_REDIRECT);
	count_by(SKIFF_R_MSG_BYTES, size);
	peer = sock_key_peer(&key);
	return bpf_msg_redirect_hash(msg, &skiff_socks, &peer, BPF_F_INGRESS);
}

char _license[] __weak SEC("license") = "Dual BSD/GPL";
