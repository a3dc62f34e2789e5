/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * Every map and every setting of the programs, one block a map. Key and value types are named
 * structs of skiff/bpf.h, so that `bpftool map dump pinned` prints a table.
 * Weak, because each program file includes this one and they are linked into one object.
 */
#ifndef SKIFF_MAPS_BPF_H
#define SKIFF_MAPS_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "skiff/bpf.h"

#define SKIFF_MAP __weak SEC(".maps")

/* ---- settings, written by user space before loading ------------------------------------------ */

const volatile __u64 cfg_netns __weak = 0; /* lookup only: the namespace that it is attached to */
const volatile __u32 cfg_credit __weak = SKIFF_CREDIT_BYTES;
const volatile __u32 cfg_beat_seconds __weak = SKIFF_BEAT_SECONDS;
const volatile __u8 cfg_exec __weak = 1;   /* executables can be told apart on this kernel */
const volatile __u8 cfg_mptcp __weak = 1;  /* bpf_skc_to_mptcp_sock exists */
const volatile __u8 cfg_unread __weak = 1; /* the queue of a redirected socket can be read */

const volatile __u64 cfg_waiter __weak = 0; /* address of woken_wake_function; 0: not known */

/* ---- configuration --------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SKIFF_MAX_PODS);
	__type(key, __u64); /* netns cookie */
	__type(value, struct skiff_pod);
} skiff_pods SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, SKIFF_MAX_POLICY);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct skiff_policy_key);
	__type(value, struct skiff_policy);
} skiff_policy SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, SKIFF_MAX_AUTHZ);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct skiff_authz_key);
	__type(value, struct skiff_authz);
} skiff_authz SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SKIFF_MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); /* service id */
	__type(value, struct skiff_service);
} skiff_services SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SKIFF_MAX_BACKENDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct skiff_backend_key);
	__type(value, struct skiff_backend);
} skiff_backends SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SKIFF_MAX_NODES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct skiff_addr);
	__type(value, struct skiff_node);
} skiff_nodes SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct skiff_beat);
} skiff_beat SKIFF_MAP;

/* ---- connections ----------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct skiff_sock);
} skiff_sock SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SKIFF_MAX_ORIGDST);
	__type(key, struct skiff_origdst_key);
	__type(value, struct skiff_origdst);
} skiff_origdst SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, SKIFF_MAX_SOCKS);
	__type(key, struct skiff_sock_key);
	__type(value, __u64);
} skiff_socks SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SKIFF_MAX_PAIRS);
	__type(key, struct skiff_pair_key);
	__type(value, struct skiff_pair);
} skiff_pairs SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, SKIFF_MAX_PODS * 3);
	__type(key, struct skiff_listen_key);
	__type(value, __u64);
} skiff_listen SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SKIFF_MAX_EXECS);
	__type(key, struct skiff_exec_key);
	__type(value, struct skiff_exec);
} skiff_execs SKIFF_MAP;

/* ---- what happened --------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SKIFF_R_COUNT);
	__type(key, __u32); /* enum skiff_reason; an array wants a plain integer */
	__type(value, struct skiff_count);
} skiff_stats SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SKIFF_MAX_POD_STATS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct skiff_pod_stat_key);
	__type(value, struct skiff_count);
} skiff_pod_stats SKIFF_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SKIFF_EVENT_BYTES);
} skiff_events SKIFF_MAP;

#endif
