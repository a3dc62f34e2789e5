/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of the admin server itself (Envoy's http.admin.*; of the TCP port only) and of the
 * process (server.uptime, server.memory_*). The admin thread owns the set of values.
 */
#include "admin/admin_impl.h"
#include "base/clock.h"

#define RQ "http.admin.downstream_rq_"
#define CX "http.admin.downstream_cx_"

static const struct {
	enum stat_kind kind;
	const char *name;
} names[METER_COUNT] = {
	[METER_RQ_TOTAL] = { STAT_COUNTER, RQ "total" },
	[METER_RQ_HTTP1] = { STAT_COUNTER, RQ "http1_total" },
	[METER_RQ_ACTIVE] = { STAT_GAUGE, RQ "active" },
	[METER_RQ_COMPLETED] = { STAT_COUNTER, RQ "completed" },
	[METER_RQ_1XX] = { STAT_COUNTER, RQ "1xx" },
	[METER_RQ_2XX] = { STAT_COUNTER, RQ "2xx" },
	[METER_RQ_3XX] = { STAT_COUNTER, RQ "3xx" },
	[METER_RQ_4XX] = { STAT_COUNTER, RQ "4xx" },
	[METER_RQ_5XX] = { STAT_COUNTER, RQ "5xx" },
	[METER_CX_TOTAL] = { STAT_COUNTER, CX "total" },
	[METER_CX_HTTP1] = { STAT_COUNTER, CX "http1_total" },
	[METER_CX_ACTIVE] = { STAT_GAUGE, CX "active" },
	[METER_CX_DESTROY] = { STAT_COUNTER, CX "destroy" },
	[METER_UPTIME] = { STAT_GAUGE, "server.uptime" },
	[METER_ALLOCATED] = { STAT_GAUGE, "server.memory_allocated" },
	[METER_HEAP] = { STAT_GAUGE, "server.memory_heap_size" },
	[METER_RESIDENT] = { STAT_GAUGE, "server.memory_physical_size" },
};

void meter_init(struct meter *m)
{
	m->set = stats_set_new();
	for (size_t i = 0; i < METER_COUNT; i++)
		m->ids[i] = stats_register(names[i].kind, names[i].name);
}

void meter_done(struct meter *m)
{
	stats_set_free(m->set);
	m->set = NULL;
}

void meter_add(struct meter *m, enum meter_what what, int64_t n)
{
	stats_add(m->set, m->ids[what], (uint64_t)n);
}

/* Brings the gauge to @value; nobody else writes to it. */
static void set_gauge(struct meter *m, enum meter_what what, uint64_t value)
{
	meter_add(m, what, (int64_t)(value - m->last[what]));
	m->last[what] = value;
}

void meter_refresh(struct admin *a)
{
	struct admin_memory mem = admin_memory_read();
	struct meter *m = &a->meter;

	set_gauge(m, METER_UPTIME, (clock_mono_ns() - a->started_ns) / NSEC_PER_SEC);
	set_gauge(m, METER_ALLOCATED, mem.allocated);
	set_gauge(m, METER_HEAP, mem.heap);
	set_gauge(m, METER_RESIDENT, mem.resident);
}

void meter_answered(struct meter *m, unsigned int status)
{
	meter_add(m, METER_RQ_COMPLETED, 1);
	if (status >= 100 && status < 600)
		meter_add(m, METER_RQ_1XX + status / 100 - 1, 1);
}
