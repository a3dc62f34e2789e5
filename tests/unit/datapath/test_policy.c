/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of policies and authorizations against maps that only remember: what is written for one
 * owner, in which order, and at which cost when others have much.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <uthash.h>

#include "base/clock.h"
#include "datapath/datapath_impl.h"

#define KEY sizeof(struct skiff_policy_key)
#define VALUE_MAX sizeof(struct skiff_policy)
#define ROOM 60000

/* ---- the kernel ------------------------------------------------------------------------------ */

struct entry {
	UT_hash_handle hh;
	unsigned char key[KEY], value[VALUE_MAX];
};

static struct entry *maps[2]; /* by fd: policy, authz */
static char log_text[256];    /* +/- and the last byte of the address of each change */
static unsigned int changes;
static int fail_at; /* this update fails; 0: none */

static size_t value_size(int fd)
{
	return fd ? sizeof(struct skiff_authz) : sizeof(struct skiff_policy);
}

static void note(char what, const unsigned char *key)
{
	size_t n = strlen(log_text);

	changes++;
	snprintf(log_text + n, sizeof(log_text) - n, "%c%u ", what, key[KEY - 1]);
}

static struct entry *entry_find(int fd, const void *key)
{
	struct entry *e;

	HASH_FIND(hh, maps[fd], key, KEY, e);
	return e;
}

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	struct entry *e = entry_find(fd, key);

	(void)flags;
	if (fail_at && --fail_at == 0) {
		errno = ENOSPC;
		return -ENOSPC;
	}
	note('+', key);
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		memcpy(e->key, key, KEY);
		HASH_ADD(hh, maps[fd], key, KEY, e);
	}
	memcpy(e->value, value, value_size(fd));
	return 0;
}

int bpf_map_delete_elem(int fd, const void *key)
{
	struct entry *e = entry_find(fd, key);

	note('-', key);
	assert_non_null(e);
	HASH_DEL(maps[fd], e);
	free(e);
	return 0;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value)
{
	const struct entry *e = entry_find(fd, key);

	if (e)
		memcpy(value, e->value, value_size(fd));
	return e ? 0 : -ENOENT;
}

int bpf_map_get_next_key(int fd, const void *key, void *next)
{
	const struct entry *e = key ? entry_find(fd, key) : NULL;

	e = e ? e->hh.next : key ? NULL : maps[fd];
	if (!e)
		return -ENOENT;
	memcpy(next, e->key, KEY);
	return 0;
}

/* ---- the room -------------------------------------------------------------------------------- */

static struct datapath *dp;
static struct err err;

static int begin(void **state)
{
	(void)state;
	dp = xcalloc(1, sizeof(*dp));
	dp->map[MAP_policy] = 0;
	dp->map[MAP_authz] = 1;
	log_text[0] = 0;
	changes = 0;
	fail_at = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	policy_free(dp);
	free(dp);
	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		struct entry *e, *tmp;

		HASH_ITER(hh, maps[i], e, tmp) {
			HASH_DEL(maps[i], e);
			free(e);
		}
	}
	return 0;
}

/* @n rules, for 10.x.y.first and the next ones. */
static struct datapath_rule *rules_of(uint32_t first, size_t n)
{
	struct datapath_rule *v = xcalloc(n, sizeof(*v));

	for (size_t i = 0; i < n; i++) {
		uint32_t at = first + (uint32_t)i;

		must(addr_parse_ip(SLICE("10.0.0.0"), &v[i].addr) == 0);
		v[i].addr.ip[13] = (uint8_t)(at >> 16);
		v[i].addr.ip[14] = (uint8_t)(at >> 8);
		v[i].addr.ip[15] = (uint8_t)at;
		v[i].bits = 128;
		v[i].verdict = SKIFF_DENY;
	}
	return v;
}

/* What changed in the map. */
static const char *set(uint32_t pod, const struct datapath_rule *v, size_t n)
{
	log_text[0] = 0;
	assert_int_equal(datapath_policy_set(dp, pod, v, n, 1, &err), 0);
	return log_text;
}

static void only_the_difference_is_written(void **state)
{
	struct datapath_rule *v = rules_of(1, 5);

	(void)state;
	assert_string_equal(set(1, v, 3), "+1 +2 +3 ");
	assert_string_equal(set(1, v, 3), "");
	v[1].verdict = SKIFF_BYPASS;
	assert_string_equal(set(1, v, 3), "+2 ");
	v[1].authz = 7;
	assert_string_equal(set(1, v, 3), "+2 ");
	assert_string_equal(set(1, v + 1, 4), "+4 +5 -1 ");
	assert_string_equal(set(2, v, 1), "+1 ");
	assert_string_equal(set(1, NULL, 0), "-2 -3 -4 -5 ");
	assert_string_equal(set(2, v, 1), "");
	free(v);
}

static void a_full_map_keeps_what_was(void **state)
{
	struct datapath_rule *v = rules_of(1, 5);

	(void)state;
	set(1, v, 2);
	fail_at = 2;
	assert_int_equal(datapath_policy_set(dp, 1, v + 2, 2, 1, &err), -E2BIG);
	assert_string_equal(set(1, v + 2, 2), "+4 -1 -2 ");
	v[3] = v[2];
	assert_int_equal(datapath_policy_set(dp, 1, v + 2, 2, 1, &err), -EEXIST);
	assert_string_equal(set(1, v + 2, 1), "-4 ");
	free(v);
}

static void what_an_earlier_one_left_is_known(void **state)
{
	struct datapath_rule *v = rules_of(1, 3);

	(void)state;
	set(1, v, 2);
	set(2, v, 1);
	policy_free(dp);
	assert_int_equal(policy_load(dp, &err), 0);
	assert_string_equal(set(1, v, 3), "+3 ");
	assert_string_equal(set(2, NULL, 0), "-1 ");
	free(v);
}

static void lists_go_when_nobody_names_them(void **state)
{
	struct datapath_authz v[2] = { { .bits = 0 }, { .bits = 128, .is_deny = true } };
	const uint32_t live[] = { 3, 9 }; /* 9 is none */

	(void)state;
	v[1].source.ip[15] = 8;
	for (uint32_t list = 3; list < 6; list++)
		assert_int_equal(datapath_authz_set(dp, list, v, 2, 1, &err), 0);
	assert_int_equal(HASH_COUNT(maps[1]), 6);
	datapath_authz_trim(dp, live, 2);
	assert_int_equal(HASH_COUNT(maps[1]), 2);
	changes = 0;
	assert_int_equal(datapath_authz_set(dp, 3, v, 2, 2, &err), 0);
	assert_int_equal(changes, 0);
	datapath_authz_trim(dp, NULL, 0);
	assert_int_equal(HASH_COUNT(maps[1]), 0);
}

/* In ns, of some changes of one small pod. */
static uint64_t small_changes(uint32_t pod, struct datapath_rule *v)
{
	uint64_t start = clock_mono_ns();

	for (int i = 0; i < 200; i++) {
		v[0].verdict = i & 1 ? SKIFF_DENY : SKIFF_L7;
		set(pod, v, 3);
	}
	return clock_mono_ns() - start;
}

/*
 * 100 times what it cost alone would be 200 rules of the pod's own: when every change walks, copies
 * or sorts all that is in the map, it is thousands of times.
 */
static void a_small_pod_pays_for_itself(void **state)
{
	struct datapath_rule *v = rules_of(0, ROOM);
	uint64_t alone, among;

	(void)state;
	alone = small_changes(1, v);
	for (uint32_t pod = 2; pod < 102; pod++)
		set(pod, v + (pod - 2) * (ROOM / 100), ROOM / 100);
	assert_true(HASH_COUNT(maps[0]) > ROOM - 1);
	among = small_changes(1, v);
	print_message("alone %llu us, among %d entries %llu us\n",
		      (unsigned long long)alone / 1000, ROOM, (unsigned long long)among / 1000);
	assert_true(among < 100 * alone);
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_the_difference_is_written, begin, end),
		cmocka_unit_test_setup_teardown(a_full_map_keeps_what_was, begin, end),
		cmocka_unit_test_setup_teardown(what_an_earlier_one_left_is_known, begin, end),
		cmocka_unit_test_setup_teardown(lists_go_when_nobody_names_them, begin, end),
		cmocka_unit_test_setup_teardown(a_small_pod_pays_for_itself, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
