/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the datapath does at its limits, on the real maps: full maps, contradictory lists, too many
 * backends. Prints TAP. Run by test_limits. usage: limits PIN_DIR
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "datapath/datapath.h"

static struct datapath *dp;
static const char *pin_dir;
static struct err err;
static int number, failed;

static void check(bool good, const char *what)
{
	number++;
	failed += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", number, what);
	if (!good)
		printf("# %s\n", err.text);
}

static bool says(const char *text)
{
	return strstr(err.text, text) != NULL;
}

/* A pod in a new namespace, which lives as long as the fd. */
static struct datapath_pod_ref pod_new(void)
{
	struct datapath_pod_ref ref = {0};
	struct datapath_pod pod = {0};
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	must(unshare(CLONE_NEWNET) == 0);
	pod.netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	must(setns(home, CLONE_NEWNET) == 0);
	close(home);
	if (datapath_pod_add(dp, &pod, &ref, &err) < 0) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	return ref;
}

/* @n denies for 10.0.0.0 and up. */
static struct datapath_rule *rules_make(size_t n)
{
	struct datapath_rule *rules = xcalloc(n, sizeof(*rules));

	for (size_t i = 0; i < n; i++) {
		must(addr_parse_ip(SLICE("10.0.0.0"), &rules[i].addr) == 0);
		rules[i].addr.ip[13] = (uint8_t)(i >> 16);
		rules[i].addr.ip[14] = (uint8_t)(i >> 8);
		rules[i].addr.ip[15] = (uint8_t)i;
		rules[i].verdict = SKIFF_DENY;
		rules[i].bits = 128;
	}
	return rules;
}

/* How many policies are in the map: as many as fit beside the limit, tried with another pod. */
static bool has_room_for(uint32_t pod, const struct datapath_rule *rules, size_t n)
{
	bool fits = datapath_policy_set(dp, pod, rules, n, 1, &err) == 0;

	must(datapath_policy_set(dp, pod, NULL, 0, 1, NULL) == 0);
	return fits;
}

static void policies(void)
{
	struct datapath_pod_ref a = pod_new(), b = pod_new();
	struct datapath_rule *rules = rules_make(SKIFF_MAX_POLICY + 1);

	check(a.id != b.id && a.netns != b.netns, "pods have ids of their own");
	check(datapath_policy_set(dp, a.id, rules, SKIFF_MAX_POLICY, 1, &err) == 0,
	      "a full map of policies");
	check(datapath_policy_set(dp, b.id, rules, 1, 1, &err) == -E2BIG && says("skiff_policy"),
	      "one more is refused with the name of the map");
	check(datapath_policy_set(dp, a.id, rules, 1000, 2, &err) == 0, "a shorter list");
	check(has_room_for(b.id, rules, SKIFF_MAX_POLICY - 1000),
	      "what is not wanted any more was removed");
	check(!has_room_for(b.id, rules, SKIFF_MAX_POLICY - 999), "and no more than that");
	rules[1] = rules[0];
	rules[1].verdict = SKIFF_BYPASS;
	check(datapath_policy_set(dp, a.id, rules, 2, 3, &err) == -EEXIST,
	      "two verdicts for one key are refused");
	check(!has_room_for(b.id, rules + 2, SKIFF_MAX_POLICY - 999), "and change nothing");
	rules[0].bits = 129;
	check(datapath_policy_set(dp, a.id, rules, 1, 3, &err) == -EINVAL, "a prefix of 129 bits");
	check(datapath_pod_remove(dp, a.netns, &err) == 0, "a pod is removed");
	check(has_room_for(b.id, rules + 2, SKIFF_MAX_POLICY - 1), "and its policies with it");
	check(datapath_pod_remove(dp, a.netns, &err) == 0, "an unknown pod is fine");
	check(pod_new().id == a.id, "the smallest free id is used");
	free(rules);
}

static void authz(void)
{
	struct datapath_authz *v = xcalloc(SKIFF_MAX_AUTHZ + 1, sizeof(*v));
	const uint32_t second = 2;

	for (size_t i = 0; i <= SKIFF_MAX_AUTHZ; i++) {
		must(addr_parse_ip(SLICE("10.0.0.0"), &v[i].source) == 0);
		v[i].source.ip[14] = (uint8_t)(i >> 8);
		v[i].source.ip[15] = (uint8_t)i;
		v[i].bits = 128;
		v[i].is_deny = true;
	}
	v[SKIFF_MAX_AUTHZ].source.ip[13] = 1;
	check(datapath_authz_set(dp, 1, v, SKIFF_MAX_AUTHZ, 1, &err) == 0,
	      "a full map of authorizations");
	check(datapath_authz_set(dp, 2, v, 1, 1, &err) == -E2BIG && says("skiff_authz"),
	      "one more is refused with the name of the map");
	check(datapath_authz_set(dp, 1, v, 10, 2, &err) == 0 &&
		      datapath_authz_set(dp, 2, v, SKIFF_MAX_AUTHZ - 10, 2, &err) == 0,
	      "a shorter list makes room for another");
	datapath_authz_trim(dp, &second, 1);
	check(datapath_authz_set(dp, 2, v, SKIFF_MAX_AUTHZ, 3, &err) == 0,
	      "a list that nobody names makes room, too");
	datapath_authz_trim(dp, NULL, 0);
	check(datapath_authz_set(dp, 3, v, SKIFF_MAX_AUTHZ, 3, &err) == 0, "all lists go");
	datapath_authz_trim(dp, NULL, 0);
	free(v);
}

/* Is the service in the pinned map? */
static bool has_service(__u32 id)
{
	char path[PATH_MAX];
	struct skiff_service s;
	int map, r;

	snprintf(path, sizeof(path), "%s/skiff_services", pin_dir);
	map = bpf_obj_get(path);
	must(map >= 0);
	r = bpf_map_lookup_elem(map, &id, &s);
	close(map);
	return r == 0;
}

static void services(void)
{
	struct datapath_backend *backends = xcalloc(SKIFF_SERVICE_SLOTS + 1, sizeof(*backends));
	struct datapath_service s = {1, backends, SKIFF_SERVICE_SLOTS};

	for (size_t i = 0; i <= SKIFF_SERVICE_SLOTS; i++) {
		must(addr_parse(SLICE("10.0.0.1:1"), &backends[i].addr) == 0);
		backends[i].weight = 1;
	}
	check(datapath_service_set(dp, &s, 1, &err) == 0, "as many backends as fit");
	s.backends_n++;
	check(datapath_service_set(dp, &s, 2, &err) == -E2BIG && says("service 1"), "one more");
	backends[7].weight = 0;
	check(datapath_service_set(dp, &s, 2, &err) == 0, "a weight of 0 takes no place");
	backends[0].weight = backends[1].weight = UINT32_MAX;
	check(datapath_service_set(dp, &s, 3, &err) == -E2BIG && says("weights"),
	      "weights overflow");
	s.id = 2;
	s.backends_n = 1;
	check(datapath_services_set(dp, &s, 1, 4, &err) == 0 && has_service(1) && has_service(2),
	      "others stay until no policy names them");
	datapath_services_trim(dp, &s, 1);
	check(!has_service(1) && has_service(2), "then they go");
	datapath_services_trim(dp, NULL, 0);
	check(!has_service(2), "all services go");
	free(backends);
}

static void pods(void)
{
	struct addr addrs[SKIFF_POD_ADDRS + 1] = {0};
	struct datapath_pod pod = {.addrs = addrs, .addrs_n = SKIFF_POD_ADDRS + 1};
	struct datapath_pod_ref ref;
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	must(unshare(CLONE_NEWNET) == 0);
	pod.netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	must(setns(home, CLONE_NEWNET) == 0);
	check(datapath_pod_add(dp, &pod, &ref, &err) == -E2BIG, "too many addresses");
	pod.addrs_n = 0;
	pod.netns = open("/dev/null", O_RDONLY | O_CLOEXEC);
	check(datapath_pod_add(dp, &pod, &ref, &err) < 0 && says("namespace"),
	      "a file that is no namespace");
	check(datapath_pod_listener_set(dp, 1, SKIFF_LISTEN_IN, pod.netns, &err) < 0,
	      "a listener that is no socket");
}

int main(int argc, char **argv)
{
	struct datapath_options options = {.quiet = true};

	if (argc != 2)
		return 2;
	options.pin_dir = pin_dir = argv[1];
	if (datapath_open(&options, &dp, &err) < 0) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	policies();
	authz();
	services();
	pods();
	datapath_close(dp);
	check(datapath_unload(options.pin_dir, &err) == 0, "unload");
	printf("1..%d\n", number);
	return failed > 0;
}
