/* SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only) */
/*
 * Tells the process that runs it (BPF_PROG_TEST_RUN) its own cgroup id, as the connect hook will
 * see it: /proc cannot tell inside a cgroup namespace. Attached to nothing.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* args[0]: how far to shift the 64-bit id, of which 32 bits can be returned. */
SEC("raw_tp")
int skiff_whoami(struct bpf_raw_tracepoint_args *ctx)
{
	return (int)(bpf_get_current_cgroup_id() >> (ctx->args[0] & 63));
}

char _license[] __weak SEC("license") = "Dual BSD/GPL";
