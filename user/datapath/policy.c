/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole lists of policies (of a pod) and authorizations (of a list), applied by difference: what is
 * new or changed is written first, what is not wanted any more is removed after, nothing else is
 * touched. Shadows of what each owner has in the LPM maps save walking those; they are read from
 * the pins at start.
 */
#include "datapath/datapath_impl.h"

#include <bpf/bpf.h>
#include <errno.h>

/*
 * An item is key and value back to back. In both maps the key is 28 bytes and begins with
 * prefixlen and owner; the value ends with the generation, which is not compared.
 */
#define KEY_SIZE sizeof(struct skiff_policy_key)

_Static_assert(sizeof(struct skiff_authz_key) == KEY_SIZE, "one key size");
_Static_assert(offsetof(struct skiff_authz_key, list) == offsetof(struct skiff_policy_key, pod),
	       "one place of the owner");

struct lpm {
	int fd;
	const char *name;
	size_t value; /* bytes */
	unsigned int max;
	struct shadow **shadows;
};

struct policy_item {
	struct skiff_policy_key key;
	struct skiff_policy value;
};

struct authz_item {
	struct skiff_authz_key key;
	struct skiff_authz value;
};

static struct lpm lpm_policy(struct datapath *dp)
{
	return (struct lpm){dp->map[MAP_policy], map_name(MAP_policy),
			    sizeof(struct skiff_policy), SKIFF_MAX_POLICY, &dp->policy};
}

static struct lpm lpm_authz(struct datapath *dp)
{
	return (struct lpm){dp->map[MAP_authz], map_name(MAP_authz), sizeof(struct skiff_authz),
			    SKIFF_MAX_AUTHZ, &dp->authz};
}

static size_t item_size(const struct lpm *m)
{
	return KEY_SIZE + m->value;
}

static unsigned char *item_at(const struct lpm *m, const struct shadow *s, size_t i)
{
	return s->items + i * item_size(m);
}

static __u32 item_owner(const unsigned char *item)
{
	__u32 owner;

	memcpy(&owner, item + offsetof(struct skiff_policy_key, pod), sizeof(owner));
	return owner;
}

static int item_compare(const void *a, const void *b)
{
	return memcmp(a, b, KEY_SIZE);
}

static bool item_is_same(const struct lpm *m, const unsigned char *a, const unsigned char *b)
{
	return memcmp(a, b, KEY_SIZE + m->value - sizeof(__u32)) == 0;
}

static const unsigned char *item_find(const struct lpm *m, const struct shadow *s, const void *key)
{
	return s->n ? bsearch(key, s->items, s->n, item_size(m), item_compare) : NULL;
}

static void shadow_push(const struct lpm *m, struct shadow *s, const void *item)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 16;
		s->items = xrealloc(s->items, s->room * item_size(m));
	}
	memcpy(item_at(m, s, s->n++), item, item_size(m));
}

static void shadow_sort(const struct lpm *m, struct shadow *s)
{
	if (s->n)
		qsort(s->items, s->n, item_size(m), item_compare);
}

/* What is there of @owner, maybe nothing yet. */
static struct shadow *shadow_of(const struct lpm *m, uint32_t owner)
{
	struct shadow *s;

	HASH_FIND(hh, *m->shadows, &owner, sizeof(owner), s);
	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->owner = owner;
	HASH_ADD(hh, *m->shadows, owner, sizeof(owner), s);
	return s;
}

static void shadow_free(const struct lpm *m, struct shadow *s)
{
	HASH_DEL(*m->shadows, s);
	free(s->items);
	free(s);
}

/* ---- reading the pins ------------------------------------------------------------------------ */

static int shadow_read(const struct lpm *m, struct err *err)
{
	unsigned char item[KEY_SIZE + sizeof(struct skiff_policy)], next[KEY_SIZE];
	struct shadow *s, *tmp;
	void *previous = NULL;
	unsigned int n = 0;

	while (bpf_map_get_next_key(m->fd, previous, next) == 0) {
		memcpy(item, next, KEY_SIZE);
		previous = item;
		if (bpf_map_lookup_elem(m->fd, item, item + KEY_SIZE) == 0)
			shadow_push(m, shadow_of(m, item_owner(item)), item);
		if (n++ == m->max)
			return err_set(err, -EIO, "%s: more entries than it can have", m->name);
	}
	HASH_ITER(hh, *m->shadows, s, tmp)
		shadow_sort(m, s);
	return 0;
}

int policy_load(struct datapath *dp, struct err *err)
{
	struct lpm policy = lpm_policy(dp), authz = lpm_authz(dp);
	int r = shadow_read(&policy, err);

	return r < 0 ? r : shadow_read(&authz, err);
}

void policy_free(struct datapath *dp)
{
	struct lpm maps[] = {lpm_policy(dp), lpm_authz(dp)};
	struct shadow *s, *tmp;

	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		HASH_ITER(hh, *maps[i].shadows, s, tmp)
			shadow_free(&maps[i], s);
}

/* ---- applying -------------------------------------------------------------------------------- */

static int item_write(const struct lpm *m, const unsigned char *item, struct err *err)
{
	if (bpf_map_update_elem(m->fd, item, item + KEY_SIZE, BPF_ANY) == 0)
		return 0;
	if (errno == ENOSPC || errno == E2BIG)
		return err_set(err, -E2BIG, "%s is full: at most %u entries a node", m->name,
			       m->max);
	return err_set(err, -errno, "write %s: %m", m->name);
}

/* Writes what is new or changed against @was; @now gets what is there of @want, also on failure. */
static int list_write(const struct lpm *m, const struct shadow *was, const struct shadow *want,
		      struct shadow *now, struct err *err)
{
	int r;

	for (size_t i = 0; i < want->n; i++) {
		const unsigned char *item = item_at(m, want, i);
		const unsigned char *old = item_find(m, was, item);

		if (old && item_is_same(m, old, item)) {
			shadow_push(m, now, old);
			continue;
		}
		r = item_write(m, item, err);
		if (r < 0)
			return r;
		shadow_push(m, now, item);
	}
	return 0;
}

/* Makes @want (sorted) the entries of @owner. On failure the old ones are all still there. */
static int list_apply(const struct lpm *m, __u32 owner, const struct shadow *want, struct err *err)
{
	struct shadow *was = shadow_of(m, owner), now = {0};
	int r = list_write(m, was, want, &now, err);
	size_t written = now.n;

	for (size_t i = 0; i < was->n; i++) {
		const unsigned char *old = item_at(m, was, i);
		const struct shadow done = {.items = now.items, .n = written};

		if (item_find(m, &done, old))
			continue;
		if (r == 0)
			bpf_map_delete_elem(m->fd, old);
		else
			shadow_push(m, &now, old);
	}
	free(was->items);
	was->items = now.items;
	was->n = now.n;
	was->room = now.room;
	shadow_sort(m, was);
	if (!was->n)
		shadow_free(m, was);
	return r;
}

/* Sorts @want, refuses two entries of one key, applies. */
static int list_set(const struct lpm *m, __u32 owner, struct shadow *want, struct err *err)
{
	shadow_sort(m, want);
	for (size_t i = 1; i < want->n; i++) {
		if (item_compare(item_at(m, want, i - 1), item_at(m, want, i)) == 0)
			return err_set(err, -EEXIST, "%s: two entries for one prefix and port "
						     "of %u", m->name, owner);
	}
	return list_apply(m, owner, want, err);
}

static int bits_check(const struct lpm *m, unsigned int bits, struct err *err)
{
	return bits <= 128 ? 0 : err_set(err, -EINVAL, "%s: prefix of %u bits", m->name, bits);
}

int datapath_policy_set(struct datapath *dp, uint32_t pod, const struct datapath_rule *rules,
			size_t n, uint32_t generation, struct err *err)
{
	struct lpm m = lpm_policy(dp);
	struct shadow want = {0};
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct policy_item item = {
			.key.prefixlen = SKIFF_POLICY_FIXED + rules[i].bits,
			.key.pod = pod,
			.key.direction = (__u8)rules[i].direction,
			.key.port = rules[i].addr.port,
			.key.addr = addr_to_map(&rules[i].addr),
			.value = {rules[i].verdict, rules[i].service, rules[i].authz, generation},
		};

		addr_mask(&item.key.addr, rules[i].bits);
		shadow_push(&m, &want, &item);
		r = bits_check(&m, rules[i].bits, err);
	}
	if (r == 0)
		r = list_set(&m, pod, &want, err);
	free(want.items);
	return r;
}

int datapath_authz_set(struct datapath *dp, uint32_t list, const struct datapath_authz *entries,
		       size_t n, uint32_t generation, struct err *err)
{
	struct lpm m = lpm_authz(dp);
	struct shadow want = {0};
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct authz_item item = {
			.key.prefixlen = SKIFF_AUTHZ_FIXED + entries[i].bits,
			.key.list = list,
			.key.port = entries[i].source.port,
			.key.addr = addr_to_map(&entries[i].source),
			.value.action = entries[i].is_deny ? SKIFF_AUTHZ_DENY : SKIFF_AUTHZ_PASS,
			.value.generation = generation,
		};

		addr_mask(&item.key.addr, entries[i].bits);
		shadow_push(&m, &want, &item);
		r = bits_check(&m, entries[i].bits, err);
	}
	if (r == 0)
		r = list_set(&m, list, &want, err);
	free(want.items);
	return r;
}

void datapath_authz_trim(struct datapath *dp, const uint32_t *lists, size_t n)
{
	struct lpm m = lpm_authz(dp);
	struct shadow *s, *tmp, *live = NULL;
	const struct shadow none = {0};

	/* What stays is put aside, then the rest goes. */
	for (size_t i = 0; i < n; i++) {
		HASH_FIND(hh, *m.shadows, &lists[i], sizeof(lists[i]), s);
		if (!s)
			continue;
		HASH_DEL(*m.shadows, s);
		HASH_ADD(hh, live, owner, sizeof(s->owner), s);
	}
	/* A program may have read the rule already, and not yet the list. */
	if (*m.shadows)
		programs_settle();
	HASH_ITER(hh, *m.shadows, s, tmp)
		list_apply(&m, s->owner, &none, NULL);
	*m.shadows = live;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool addr_is_listed(const struct skiff_addr *a, const struct addr *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (memcmp(a->b, list[i].ip, sizeof(a->b)) == 0)
			return true;
	}
	return false;
}

int datapath_nodes_set(struct datapath *dp, const struct addr *addrs, size_t n,
		       uint32_t generation, struct err *err)
{
	struct skiff_addr have[SKIFF_MAX_NODES], *previous = NULL, key;
	size_t have_n = 0;

	while (have_n < SKIFF_MAX_NODES &&
	       bpf_map_get_next_key(dp->map[MAP_nodes], previous, &key) == 0) {
		have[have_n] = key;
		previous = &have[have_n++];
	}
	for (size_t i = 0; i < n; i++) {
		struct skiff_node value = {.generation = generation};

		key = addr_to_map(&addrs[i]);
		if (bpf_map_update_elem(dp->map[MAP_nodes], &key, &value, BPF_NOEXIST) < 0 &&
		    errno != EEXIST)
			return err_set(err, -errno, "write skiff_nodes (at most %d): %m",
				       SKIFF_MAX_NODES);
	}
	for (size_t i = 0; i < have_n; i++) {
		if (!addr_is_listed(&have[i], addrs, n))
			bpf_map_delete_elem(dp->map[MAP_nodes], &have[i]);
	}
	return 0;
}
