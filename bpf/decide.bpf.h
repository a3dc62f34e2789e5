/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * Every decision of the kernel side, as pure inline functions over the structs of skiff/bpf.h.
 * Compiled into the programs and, natively, into tests/unit/bpf.
 * No map, no helper, no context appears here: the programs look up and do, this file decides.
 */
#ifndef SKIFF_DECIDE_BPF_H
#define SKIFF_DECIDE_BPF_H

#include "skiff/bpf.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define DECIDE_NS_PER_SEC 1000000000ull

/* ---- addresses ------------------------------------------------------------------------------- */

/* Word i (0..3) of an address, in network order. */
static __always_inline __u32 ip_word(const struct skiff_addr *a, int i)
{
	__u32 w;

	__builtin_memcpy(&w, a->b + 4 * i, sizeof(w));
	return w;
}

static __always_inline void ip_set_word(struct skiff_addr *a, int i, __u32 w)
{
	__builtin_memcpy(a->b + 4 * i, &w, sizeof(w));
}

static __always_inline int ip_equal(const struct skiff_addr *a, const struct skiff_addr *b)
{
	return ip_word(a, 0) == ip_word(b, 0) && ip_word(a, 1) == ip_word(b, 1) &&
	       ip_word(a, 2) == ip_word(b, 2) && ip_word(a, 3) == ip_word(b, 3);
}

/* ::ffff:0:0/96, that is IPv4. */
static __always_inline int ip_is_v4(const struct skiff_addr *a)
{
	return !ip_word(a, 0) && !ip_word(a, 1) && !a->b[8] && !a->b[9] && a->b[10] == 0xff &&
	       a->b[11] == 0xff;
}

/* <v4> is in network order. */
static __always_inline void ip_from_v4(struct skiff_addr *a, __u32 v4)
{
	ip_set_word(a, 0, 0);
	ip_set_word(a, 1, 0);
	a->b[8] = 0;
	a->b[9] = 0;
	a->b[10] = 0xff;
	a->b[11] = 0xff;
	ip_set_word(a, 3, v4);
}

/* 127/8 or ::1. */
static __always_inline int ip_is_loopback(const struct skiff_addr *a)
{
	if (ip_is_v4(a))
		return a->b[12] == 127;
	return !ip_word(a, 0) && !ip_word(a, 1) && !ip_word(a, 2) && !a->b[12] &&
	       !a->b[13] && !a->b[14] && a->b[15] == 1;
}

/* 0.0.0.0 or ::, which connect(2) takes for the host itself. */
static __always_inline int ip_is_any(const struct skiff_addr *a)
{
	if (ip_is_v4(a))
		return !ip_word(a, 3);
	return !ip_word(a, 0) && !ip_word(a, 1) && !ip_word(a, 2) && !ip_word(a, 3);
}

/* One of the addresses of the pod. */
static __always_inline int pod_has_addr(const struct skiff_pod *pod, const struct skiff_addr *a)
{
#pragma GCC unroll 4
	for (int i = 0; i < SKIFF_POD_ADDRS; i++) {
		if (i < pod->addrs && ip_equal(&pod->addr[i], a))
			return 1;
	}
	return 0;
}

/* The connection never leaves the pod. */
static __always_inline int ip_is_self(const struct skiff_pod *pod, const struct skiff_addr *a)
{
	return ip_is_loopback(a) || ip_is_any(a) || pod_has_addr(pod, a);
}

/* ---- the engine ------------------------------------------------------------------------------ */

/*
 * The engine lives: it has a listener in the pod (a closed one leaves the map at once) and its
 * heartbeat is younger than <timeout_s>. <now> in ns of the same clock. <beat> may be NULL.
 */
static __always_inline int decide_alive(const struct skiff_beat *beat, int has_listener, __u64 now,
					__u32 timeout_s)
{
	if (!beat || !has_listener || !beat->time)
		return 0;
	return now < beat->time || now - beat->time <= timeout_s * DECIDE_NS_PER_SEC;
}

/*
 * A socket of the engine: it carries the mark, and the task that connects is in the engine's
 * cgroup where that is known (a pod with CAP_NET_RAW may set any mark).
 */
static __always_inline int decide_engine(const struct skiff_beat *beat, __u32 mark, __u64 cgroup)
{
	if (mark != SKIFF_MARK)
		return 0;
	return !beat || !beat->cgroup || beat->cgroup == cgroup;
}

/* ---- connect --------------------------------------------------------------------------------- */

enum decide_action {
	DECIDE_PASS,
	DECIDE_REFUSE,
	DECIDE_PICK,   /* rewrite to a backend of the service */
	DECIDE_ENGINE, /* rewrite to, or assign, the engine's listener */
};

struct decision {
	__u32 action; /* enum decide_action */
	__u32 reason; /* enum skiff_reason */
};

static __always_inline struct decision decision_of(__u32 action, __u32 reason)
{
	return (struct decision){.action = action, .reason = reason};
}

/* What to do with a connection that the policy entry <pol> (NULL: none) names. */
static __always_inline struct decision
decide_outbound(const struct skiff_pod *pod, const struct skiff_policy *pol, int alive)
{
	if (!pol)
		return decision_of(DECIDE_PASS, SKIFF_R_OUT_UNNAMED);
	if (pol->verdict == SKIFF_BYPASS)
		return decision_of(DECIDE_PASS, SKIFF_R_OUT_BYPASS);
	if (pol->verdict == SKIFF_L4)
		return decision_of(DECIDE_PICK, SKIFF_R_OUT_L4);
	if (pol->verdict != SKIFF_L7)
		return decision_of(DECIDE_REFUSE, SKIFF_R_OUT_DENY);
	if (alive)
		return decision_of(DECIDE_ENGINE, SKIFF_R_OUT_L7);
	if (pod->flags & SKIFF_POD_CLOSED)
		return decision_of(DECIDE_REFUSE, SKIFF_R_OUT_CLOSED);
	return decision_of(DECIDE_PASS, SKIFF_R_OUT_OPEN);
}

/* An L4 pick keeps the address family: a connected socket cannot change it. */
static __always_inline int ip_same_family(const struct skiff_addr *a,
					      const struct skiff_addr *b)
{
	return ip_is_v4(a) == ip_is_v4(b);
}

/* ---- weighted pick --------------------------------------------------------------------------- */

/* A point of 0..total-1 from 32 random bits; 0 when total is 0. */
static __always_inline __u32 pick_point(const struct skiff_service *svc, __u32 random)
{
	return ((__u64)random * svc->total) >> 32;
}

/* One halving: the slots lo..hi-1 hold the one wanted; <upto> belongs to slot (lo + hi) / 2. */
static __always_inline void pick_halve(__u32 *lo, __u32 *hi, __u32 upto, __u32 point)
{
	__u32 mid = (*lo + *hi) / 2;

	if (point < upto)
		*hi = mid;
	else
		*lo = mid + 1;
}

/* ---- inbound --------------------------------------------------------------------------------- */

/* A connection to the pod from outside that only this node or the pod itself could make. */
static __always_inline int decide_inbound_own(const struct skiff_pod *pod,
					      const struct skiff_addr *remote,
					      const struct skiff_addr *local)
{
	return ip_equal(remote, local) || ip_is_loopback(local) || ip_is_loopback(remote) ||
	       pod_has_addr(pod, remote);
}

/* What to do with a connection from elsewhere; <pol>, <authz> of its list: NULL where none matches.
 */
static __always_inline struct decision
decide_inbound(const struct skiff_pod *pod, const struct skiff_policy *pol,
	       const struct skiff_authz *authz, int alive)
{
	if (!pol)
		return decision_of(DECIDE_PASS, SKIFF_R_IN_UNNAMED);
	if (authz && authz->action != SKIFF_AUTHZ_PASS)
		return decision_of(DECIDE_REFUSE, SKIFF_R_IN_AUTHZ);
	if (pol->verdict == SKIFF_BYPASS || pol->verdict == SKIFF_L4)
		return decision_of(DECIDE_PASS, SKIFF_R_IN_BYPASS);
	if (pol->verdict != SKIFF_L7)
		return decision_of(DECIDE_REFUSE, SKIFF_R_IN_DENY);
	if (alive)
		return decision_of(DECIDE_ENGINE, SKIFF_R_IN_L7);
	if (pod->flags & SKIFF_POD_CLOSED)
		return decision_of(DECIDE_REFUSE, SKIFF_R_IN_CLOSED);
	return decision_of(DECIDE_PASS, SKIFF_R_IN_OPEN);
}

/* ---- acceleration ---------------------------------------------------------------------------- */

static __always_inline int pod_accelerates(const struct skiff_pod *pod)
{
	return pod->flags & (SKIFF_POD_AUTO | SKIFF_POD_BOTH);
}

/*
 * May an application's socket be accelerated? Returns SKIFF_R_ACCEL_ON, or why it stays on TCP.
 * `both` includes executables that nobody has classified or seen reading, and those that splice
 * only where a self-test has shown that splice(2) sees redirected bytes. Those that wait in recv(2)
 * never: the kernel wakes an accelerated one with EAGAIN (rule 2 of docs/contract-bpf.md).
 */
static __always_inline __u32 decide_accelerate(const struct skiff_pod *pod, __u32 exec)
{
	if (exec == SKIFF_EXEC_PLAIN)
		return SKIFF_R_ACCEL_ON;
	if (exec == SKIFF_EXEC_WAITS)
		return SKIFF_R_ACCEL_WAITS;
	if (exec == SKIFF_EXEC_SPLICES)
		return pod->flags & SKIFF_POD_BOTH && pod->flags & SKIFF_POD_SPLICE_OK ?
			       SKIFF_R_ACCEL_ON :
			       SKIFF_R_ACCEL_SPLICES;
	if (pod->flags & SKIFF_POD_BOTH)
		return SKIFF_R_ACCEL_ON;
	return exec == SKIFF_EXEC_WATCHED ? SKIFF_R_ACCEL_WATCHED : SKIFF_R_ACCEL_UNKNOWN;
}

/* Both directions are on TCP, and nothing is on its way past it to end <me> of <pair>. */
static __always_inline int decide_leave(__u32 flags, const struct skiff_pair *pair, int me)
{
	return flags & SKIFF_SOCK_ACCEL && flags & SKIFF_SOCK_TCP && pair &&
	       pair->present[!me] & SKIFF_SENDS_TCP;
}

/* -1, 0, 1: order of two ends of one connection. */
static __always_inline int end_compare(const struct skiff_addr *a, __u32 a_port,
				       const struct skiff_addr *b, __u32 b_port)
{
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		if (ip_word(a, i) != ip_word(b, i))
			return ip_word(a, i) < ip_word(b, i) ? -1 : 1;
	}
	if (a_port != b_port)
		return a_port < b_port ? -1 : 1;
	return 0;
}

/* Fills <pair>, the same from both ends; returns the index (0, 1) of the local end. */
static __always_inline int pair_key_from(struct skiff_pair_key *pair,
					 const struct skiff_sock_key *own)
{
	int me = end_compare(&own->local, own->local_port, &own->remote, own->remote_port) > 0;

	pair->netns = own->netns;
	pair->pad = 0;
	if (me) {
		pair->addr[1] = own->local;
		pair->addr[0] = own->remote;
		pair->port[1] = own->local_port;
		pair->port[0] = own->remote_port;
	} else {
		pair->addr[0] = own->local;
		pair->addr[1] = own->remote;
		pair->port[0] = own->local_port;
		pair->port[1] = own->remote_port;
	}
	return me;
}

/* The key of the other end. */
static __always_inline struct skiff_sock_key sock_key_peer(const struct skiff_sock_key *own)
{
	return (struct skiff_sock_key){
		.netns = own->netns,
		.local = own->remote,
		.remote = own->local,
		.local_port = own->remote_port,
		.remote_port = own->local_port,
	};
}

enum redirect_step {
	REDIRECT_GO,    /* move the message */
	REDIRECT_TCP,   /* this direction is on TCP already */
	REDIRECT_EARLY, /* from now on TCP: bytes went there before */
	REDIRECT_MISS,  /* from now on TCP: the other end is not there */
	REDIRECT_OVER,  /* from now on TCP: over the credit */
};

/*
 * Rule 1. May end <me> of <pair> (NULL: unknown pair) move <size> bytes? <flags> are those of its
 * own socket, <sent>: it has sent by TCP. TCP after the psock queue keeps the order of bytes, the
 * reverse does not: the caller must set SKIFF_SOCK_TCP on all but GO, and never clear it.
 */
static __always_inline enum redirect_step
decide_redirect(__u32 flags, int sent, const struct skiff_pair *pair, int me, __u32 size,
		__u32 limit)
{
	if (flags & SKIFF_SOCK_TCP)
		return REDIRECT_TCP;
	if (sent)
		return REDIRECT_EARLY;
	if (!pair || !(pair->present[!me] & SKIFF_IN_SOCKS))
		return REDIRECT_MISS;
	if (pair->sent[me & 1] + size > limit)
		return REDIRECT_OVER;
	return REDIRECT_GO;
}

#endif
