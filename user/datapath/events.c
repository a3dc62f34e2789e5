/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened: counters, the event ring, and the look-up of original destinations.
 */
#include "datapath/datapath_impl.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>

static const char *const reason_texts[] = {
#define X(name, text, event) [SKIFF_R_##name] = text,
	SKIFF_REASONS(X)
#undef X
};

const char *datapath_reason_name(enum skiff_reason reason)
{
	static const char *const names[] = {
#define X(name, text, event) [SKIFF_R_##name] = #name,
		SKIFF_REASONS(X)
#undef X
	};

	return reason < SKIFF_R_COUNT ? names[reason] : "UNKNOWN";
}

const char *datapath_reason_text(enum skiff_reason reason)
{
	return reason < SKIFF_R_COUNT ? reason_texts[reason] : "a reason of another version";
}

int datapath_stats_read(struct datapath *dp, uint64_t ret_counts[static SKIFF_R_COUNT])
{
	struct skiff_count *cpus = xcalloc(dp->cpus, sizeof(*cpus));
	uint64_t counts[SKIFF_R_COUNT] = {0};
	int r = 0;

	for (__u32 reason = 0; reason < SKIFF_R_COUNT && r == 0; reason++) {
		if (bpf_map_lookup_elem(dp->map[MAP_stats], &reason, cpus) < 0)
			r = -errno;
		for (unsigned int cpu = 0; cpu < dp->cpus && r == 0; cpu++)
			counts[reason] += cpus[cpu].count;
	}
	free(cpus);
	if (r == 0)
		memcpy(ret_counts, counts, sizeof(counts));
	return r;
}

int datapath_origdst_get(struct datapath *dp, uint64_t netns, const struct addr *client,
			 struct addr *ret_dst)
{
	struct skiff_origdst_key key = {
		.netns = netns,
		.addr = addr_to_map(client),
		.port = client->port,
	};
	struct skiff_origdst dst;

	if (bpf_map_lookup_elem(dp->map[MAP_origdst], &key, &dst) < 0)
		return -errno;
	*ret_dst = addr_from_map(&dst.addr, dst.port);
	return 0;
}

/* ---- the ring -------------------------------------------------------------------------------- */

static int on_record(void *arg, void *data, size_t size)
{
	const struct skiff_event *event = data;
	struct datapath *dp = arg;

	if (size < sizeof(*event))
		return 0;
	if (event->reason == SKIFF_R_EXEC_ASK)
		exec_answer(dp, event);
	if (dp->each && event->netns != dp->selftest_netns)
		dp->each(dp->each_arg, event);
	return 0;
}

int datapath_events_fd(const struct datapath *dp)
{
	/* a ring buffer map is itself pollable: it needs no epoll of ours around it */
	return dp->map[MAP_events];
}

int datapath_events_read(struct datapath *dp,
			 void (*each)(void *arg, const struct skiff_event *event), void *arg)
{
	int n;

	if (!dp->ring)
		dp->ring = ring_buffer__new(dp->map[MAP_events], on_record, dp, NULL);
	if (!dp->ring)
		return -errno;
	dp->each = each;
	dp->each_arg = arg;
	dp->answers = 0;
	n = ring_buffer__consume(dp->ring);
	dp->each = NULL;
	return n;
}

size_t datapath_event_format(const struct skiff_event *event, char *out, size_t size)
{
	struct addr local = addr_from_map(&event->local, event->local_port);
	struct addr remote = addr_from_map(&event->remote, event->remote_port);
	char l[ADDR_TEXT_MAX], r[ADDR_TEXT_MAX];
	int n;

	addr_format(&local, l);
	addr_format(&remote, r);
	n = snprintf(out, size, "pod %u netns %" PRIu64 " %s: %s, local %s remote %s, %.16s[%u]",
		     event->pod, (uint64_t)event->netns, datapath_reason_name(event->reason),
		     datapath_reason_text(event->reason), l, r,
		     event->comm[0] ? event->comm : "-", event->tgid);
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}
