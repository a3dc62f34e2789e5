/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pinned maps as tables for people. Reads only; needs no running skiffd.
 */
#include "datapath/datapath_impl.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"

#define ENTRY_MAX 128 /* bytes of any key or value shown here */

static const char *name_of(unsigned int i, const char *const *names, size_t n)
{
	return i < n ? names[i] : "?";
}

static void print_addr(FILE *out, const struct skiff_addr *a, uint16_t port)
{
	struct addr x = addr_from_map(a, port);
	char text[ADDR_TEXT_MAX];

	addr_format(&x, text);
	fprintf(out, "%-28s", text);
}

static void print_prefix(FILE *out, const struct skiff_addr *a, unsigned int bits)
{
	struct addr x = addr_from_map(a, 0);
	char ip[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 8];

	if (bits < 96 && addr_is_v4(&x))
		snprintf(text, sizeof(text), "::/%u", bits);
	else {
		addr_format_ip(&x, ip);
		snprintf(text, sizeof(text), "%s/%u", ip, addr_is_v4(&x) ? bits - 96 : bits);
	}
	fprintf(out, "%-28s", text);
}

static void print_port(FILE *out, uint16_t port)
{
	if (port)
		fprintf(out, " %-6u", port);
	else
		fprintf(out, " %-6s", "any");
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void row_pod(FILE *out, const void *key, const void *value)
{
	const struct skiff_pod *p = value;
	uint64_t netns;

	memcpy(&netns, key, sizeof(netns));
	fprintf(out, "%-5u %-20" PRIu64 " %-10s %-7s", p->id, netns,
		p->flags & SKIFF_POD_BOTH   ? "both" :
		p->flags & SKIFF_POD_AUTO ? "auto" :
					    "off",
		p->flags & SKIFF_POD_CLOSED ? "closed" : "open");
	for (int i = 0; i < p->addrs && i < SKIFF_POD_ADDRS; i++) {
		struct addr a = addr_from_map(&p->addr[i], 0);
		char text[ADDR_TEXT_MAX];

		addr_format_ip(&a, text);
		fprintf(out, " %s", text);
	}
	fputc('\n', out);
}

static void row_policy(FILE *out, const void *key, const void *value)
{
	static const char *const verdicts[] = {"bypass", "l4", "l7", "deny"};
	const struct skiff_policy_key *k = key;
	const struct skiff_policy *p = value;

	fprintf(out, "%-5u %-4s ", k->pod, k->direction == SKIFF_INBOUND ? "in" : "out");
	print_prefix(out, &k->addr, k->prefixlen - SKIFF_POLICY_FIXED);
	print_port(out, k->port);
	fprintf(out, " %-8s %-10u %-8x %u\n", name_of(p->verdict, verdicts, ARRAY_LEN(verdicts)),
		p->service, p->authz, p->generation);
}

static void row_authz(FILE *out, const void *key, const void *value)
{
	const struct skiff_authz_key *k = key;
	const struct skiff_authz *a = value;

	fprintf(out, "%-8x ", k->list);
	print_prefix(out, &k->addr, k->prefixlen - SKIFF_AUTHZ_FIXED);
	print_port(out, k->port);
	fprintf(out, " %-8s %u\n", a->action == SKIFF_AUTHZ_PASS ? "pass" : "deny",
		a->generation);
}

static void row_service(FILE *out, const void *key, const void *value)
{
	const struct skiff_service *s = value;
	uint32_t id;

	memcpy(&id, key, sizeof(id));
	fprintf(out, "%-8u %-9u %-4u %-10u %u\n", id, s->count, s->set, s->total, s->generation);
}

static void row_backend(FILE *out, const void *key, const void *value)
{
	const struct skiff_backend_key *k = key;
	const struct skiff_backend *b = value;

	fprintf(out, "%-8u %-4u %-6u ", k->service, k->set, k->slot);
	print_addr(out, &b->addr, b->port);
	fprintf(out, " %u\n", b->weight);
}

static void row_node(FILE *out, const void *key, const void *value)
{
	const struct skiff_node *n = value;

	print_prefix(out, key, 128);
	fprintf(out, " %u\n", n->generation);
}

static void row_exec(FILE *out, const void *key, const void *value)
{
	static const char *const verdicts[] = {"unknown", "pending", "plain",
					      "splices", "watched", "waits"};
	const struct skiff_exec_key *k = key;
	const struct skiff_exec *e = value;

	fprintf(out, "%3u:%-8u %-12" PRIu64 " %-8s %u\n", (unsigned int)(k->device >> 20),
		(unsigned int)(k->device & 0xfffff), (uint64_t)k->inode,
		name_of(e->verdict, verdicts, ARRAY_LEN(verdicts)), e->tgid);
}

static void row_pod_stat(FILE *out, const void *key, const void *value)
{
	const struct skiff_pod_stat_key *k = key;
	const struct skiff_count *c = value;

	fprintf(out, "%-5u %-12" PRIu64 " %s\n", k->pod, (uint64_t)c->count,
		datapath_reason_text((enum skiff_reason)k->reason));
}

static void row_beat(FILE *out, const void *key, const void *value)
{
	const struct skiff_beat *b = value;

	(void)key;
	if (b->time)
		fprintf(out, "%.3f s ago", (double)(clock_mono_ns() - b->time) / NSEC_PER_SEC);
	else
		fprintf(out, "never");
	fprintf(out, ", process %u, cgroup %" PRIu64 ", layout %u\n", b->tgid, (uint64_t)b->cgroup,
		b->layout);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const struct {
	enum datapath_map map;
	const char *head;
	void (*row)(FILE *out, const void *key, const void *value);
} tables[] = {
	{MAP_beat, "heartbeat", row_beat},
	{MAP_pods, "pod   netns                accelerate engine gone, addresses", row_pod},
	{MAP_policy,
	 "pod   dir  destination                  port   verdict  service    authz    generation",
	 row_policy},
	{MAP_authz, "list     source                       port   action   generation", row_authz},
	{MAP_services, "service  backends  set  weights    generation", row_service},
	{MAP_backends, "service  set  slot   address                      weight", row_backend},
	{MAP_nodes, "node                         generation", row_node},
	{MAP_execs, "device       inode        verdict  process", row_exec},
	{MAP_pod_stats, "pod   count        what happened", row_pod_stat},
};

static int map_open(const char *pin_dir, enum datapath_map map, struct err *err)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", pin_dir, map_name(map));
	fd = bpf_obj_get(path);
	if (fd < 0)
		return err_set(err, -errno, "open %s: %m; is skiffd installed on this node?", path);
	return fd;
}

static void table_print(FILE *out, size_t t, int fd)
{
	/* aligned for every key and value struct */
	uint64_t key[ENTRY_MAX / 8], value[ENTRY_MAX / 8];
	void *previous = NULL;

	fprintf(out, "%s\n%s\n", map_name(tables[t].map), tables[t].head);
	while (bpf_map_get_next_key(fd, previous, key) == 0) {
		previous = key;
		if (bpf_map_lookup_elem(fd, key, value) == 0)
			tables[t].row(out, key, value);
	}
	fputc('\n', out);
}

static void stats_print(FILE *out, int fd)
{
	unsigned int cpus = (unsigned int)libbpf_num_possible_cpus();
	struct skiff_count *counts = xcalloc(cpus, sizeof(*counts));

	fprintf(out, "%s\n", map_name(MAP_stats));
	for (__u32 reason = 0; reason < SKIFF_R_COUNT; reason++) {
		uint64_t sum = 0;

		if (bpf_map_lookup_elem(fd, &reason, counts) < 0)
			continue;
		for (unsigned int cpu = 0; cpu < cpus; cpu++)
			sum += counts[cpu].count;
		if (sum)
			fprintf(out, "%12" PRIu64 "  %s\n", sum,
				datapath_reason_text((enum skiff_reason)reason));
	}
	free(counts);
}

/* ---- one pod --------------------------------------------------------------------------------- */

/* The maps that say what the kernel does with a pod's connections. */
struct pod_maps {
	int policy, authz, services, backends, stats;
};

static int pod_maps_open(const char *pin_dir, struct pod_maps *m, struct err *err)
{
	*m = (struct pod_maps){-1, -1, -1, -1, -1};
	if ((m->policy = map_open(pin_dir, MAP_policy, err)) < 0)
		return m->policy;
	if ((m->authz = map_open(pin_dir, MAP_authz, err)) < 0)
		return m->authz;
	if ((m->services = map_open(pin_dir, MAP_services, err)) < 0)
		return m->services;
	if ((m->backends = map_open(pin_dir, MAP_backends, err)) < 0)
		return m->backends;
	m->stats = map_open(pin_dir, MAP_pod_stats, err);
	return m->stats < 0 ? m->stats : 0;
}

static void pod_maps_close(struct pod_maps *m)
{
	const int fds[] = {m->policy, m->authz, m->services, m->backends, m->stats};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void print_backends(FILE *out, const struct pod_maps *m, __u32 service)
{
	struct skiff_service s;

	if (bpf_map_lookup_elem(m->services, &service, &s) < 0 || !s.count) {
		fprintf(out, "      no healthy endpoint: refused\n");
		return;
	}
	for (__u32 i = 0; i < s.count; i++) {
		struct skiff_backend_key k = {
			.service = service, .set = (__u16)s.set, .slot = (__u16)i};
		struct skiff_backend b;

		if (bpf_map_lookup_elem(m->backends, &k, &b) < 0)
			continue;
		fprintf(out, "      -> ");
		print_addr(out, &b.addr, b.port);
		fprintf(out, " %.1f%%\n", s.total ? 100.0 * b.weight / s.total : 0.0);
	}
}

/* Who is refused by the kernel itself; all others are the engine's. */
static void print_authz(FILE *out, const struct pod_maps *m, __u32 list)
{
	struct skiff_authz_key key;
	struct skiff_authz a;
	void *previous = NULL;

	while (bpf_map_get_next_key(m->authz, previous, &key) == 0) {
		previous = &key;
		if (key.list != list || bpf_map_lookup_elem(m->authz, &key, &a) < 0)
			continue;
		fprintf(out, "      <- ");
		print_prefix(out, &key.addr, key.prefixlen - SKIFF_AUTHZ_FIXED);
		if (key.port)
			fprintf(out, " at port %u", key.port);
		fprintf(out, "%s\n",
			a.action == SKIFF_AUTHZ_PASS ? " to the engine" : " refused");
	}
}

static void pod_policies(FILE *out, const struct pod_maps *m, uint32_t pod)
{
	static const char *const texts[] = {
		"left alone", "endpoint picked in the kernel", "to the engine", "refused (EPERM)"};
	struct skiff_policy_key key;
	struct skiff_policy p;
	void *previous = NULL;
	size_t n = 0;

	fprintf(out, "DIRECTION DESTINATION                  PORT   VERDICT\n");
	while (bpf_map_get_next_key(m->policy, previous, &key) == 0) {
		previous = &key;
		if (key.pod != pod || bpf_map_lookup_elem(m->policy, &key, &p) < 0)
			continue;
		fprintf(out, "%-9s ", key.direction == SKIFF_INBOUND ? "inbound" : "outbound");
		print_prefix(out, &key.addr, key.prefixlen - SKIFF_POLICY_FIXED);
		print_port(out, key.port);
		fprintf(out, " %s%s\n", name_of(p.verdict, texts, ARRAY_LEN(texts)),
			p.authz ? ", but by source:" : "");
		if (p.verdict == SKIFF_L4)
			print_backends(out, m, p.service);
		if (p.authz)
			print_authz(out, m, p.authz);
		n++;
	}
	fprintf(out, n ? "everything else is left alone\n" : "everything is left alone\n");
}

/* What the kernel refused, and other troubles. */
static void pod_stats(FILE *out, const struct pod_maps *m, uint32_t pod)
{
	bool any = false;

	for (__u32 reason = 0; reason < SKIFF_R_COUNT; reason++) {
		struct skiff_pod_stat_key key = {.pod = pod, .reason = reason};
		struct skiff_count c;

		if (bpf_map_lookup_elem(m->stats, &key, &c) < 0)
			continue;
		if (!any)
			fprintf(out, "\n       COUNT  WHAT HAPPENED\n");
		any = true;
		fprintf(out, "%12" PRIu64 "  %s\n", (uint64_t)c.count,
			datapath_reason_text((enum skiff_reason)reason));
	}
}

int datapath_show_pod(const char *pin_dir, uint32_t pod, FILE *out, struct err *err)
{
	struct pod_maps m;
	int r = pod_maps_open(pin_dir ? pin_dir : DATAPATH_PIN_DIR, &m, err);

	if (r == 0) {
		pod_policies(out, &m, pod);
		pod_stats(out, &m, pod);
	}
	pod_maps_close(&m);
	return r;
}

/* ---- all ------------------------------------------------------------------------------------- */

int datapath_show(const char *pin_dir, FILE *out, struct err *err)
{
	int fd;

	if (!pin_dir)
		pin_dir = DATAPATH_PIN_DIR;
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		fd = map_open(pin_dir, tables[t].map, err);
		if (fd < 0)
			return fd;
		table_print(out, t, fd);
		close(fd);
	}
	fd = map_open(pin_dir, MAP_stats, err);
	if (fd < 0)
		return fd;
	stats_print(out, fd);
	close(fd);
	return 0;
}
