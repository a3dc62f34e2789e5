/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services and backends of L4 verdicts. A service changes in one piece: the new backends are
 * written into the set that is not in use, then the service entry flips to it. The set before
 * stays until the next change, so a connect(2) that is under way finds what it looks for.
 */
#include "datapath/datapath_impl.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int backend_write(struct datapath *dp, const struct skiff_backend_key *key,
			 const struct skiff_backend *be, struct err *err)
{
	if (bpf_map_update_elem(dp->map[MAP_backends], key, be, BPF_ANY) == 0)
		return 0;
	return err_set(err, -errno, "service %u: write skiff_backends (at most %u in all): %m",
		       key->service, SKIFF_MAX_BACKENDS);
}

/* Removes the slots @from and up of a set. */
static void backends_cut(struct datapath *dp, __u32 service, __u32 set, __u32 from)
{
	struct skiff_backend_key key = {.service = service, .set = (__u16)set};

	for (__u32 slot = from; slot < SKIFF_SERVICE_SLOTS; slot++) {
		key.slot = (__u16)slot;
		if (bpf_map_delete_elem(dp->map[MAP_backends], &key) < 0)
			return; /* slots are without gaps */
	}
}

/* Turns the list into backends with running sums; -E2BIG when a limit is passed. */
static int backends_make(const struct datapath_service *s, struct skiff_backend *out,
			 struct skiff_service *ret_svc, struct err *err)
{
	struct skiff_service svc = {0};

	for (size_t i = 0; i < s->backends_n; i++) {
		const struct datapath_backend *b = &s->backends[i];

		if (!b->weight)
			continue;
		if (svc.count == SKIFF_SERVICE_SLOTS)
			return err_set(err, -E2BIG, "service %u has more than %d backends", s->id,
				       SKIFF_SERVICE_SLOTS);
		if (__builtin_add_overflow(svc.total, b->weight, &svc.total))
			return err_set(err, -E2BIG, "service %u: the weights sum to more than 2^32",
				       s->id);
		out[svc.count++] = (struct skiff_backend){
			.addr = addr_to_map(&b->addr),
			.port = b->addr.port,
			.weight = b->weight,
			.upto = svc.total,
		};
	}
	*ret_svc = svc;
	return 0;
}

/* Does the map hold just these backends already? */
static bool backends_are(struct datapath *dp, __u32 service, const struct skiff_service *now,
			 const struct skiff_backend *want, const struct skiff_service *svc)
{
	struct skiff_backend_key key = {.service = service, .set = (__u16)now->set};
	struct skiff_backend be;

	if (now->count != svc->count || now->total != svc->total)
		return false;
	for (__u32 slot = 0; slot < now->count; slot++) {
		key.slot = (__u16)slot;
		if (bpf_map_lookup_elem(dp->map[MAP_backends], &key, &be) < 0 ||
		    memcmp(&be, &want[slot], sizeof(be)) != 0)
			return false;
	}
	return true;
}

static int service_flip(struct datapath *dp, __u32 id, const struct skiff_backend *want,
			struct skiff_service *svc, struct err *err)
{
	struct skiff_backend_key key = {.service = id, .set = (__u16)svc->set};
	int r;

	for (__u32 slot = 0; slot < svc->count; slot++) {
		key.slot = (__u16)slot;
		r = backend_write(dp, &key, &want[slot], err);
		if (r < 0)
			return r;
	}
	backends_cut(dp, id, svc->set, svc->count);
	if (bpf_map_update_elem(dp->map[MAP_services], &id, svc, BPF_ANY) < 0)
		return err_set(err, -errno, "service %u: write skiff_services (at most %d): %m", id,
			       SKIFF_MAX_SERVICES);
	return 0;
}

int datapath_service_set(struct datapath *dp, const struct datapath_service *service,
			 uint32_t generation, struct err *err)
{
	struct skiff_backend *want = xcalloc(service->backends_n + 1, sizeof(*want));
	struct skiff_service now = {0}, svc;
	bool known;
	int r;

	r = backends_make(service, want, &svc, err);
	if (r < 0)
		goto out;
	known = bpf_map_lookup_elem(dp->map[MAP_services], &service->id, &now) == 0;
	if (known && backends_are(dp, service->id, &now, want, &svc))
		goto out;
	svc.set = known ? !now.set : 0;
	svc.generation = generation;
	r = service_flip(dp, service->id, want, &svc, err);
out:
	free(want);
	return r;
}

/* ---- the whole list -------------------------------------------------------------------------- */

static int id_compare(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;

	return x < y ? -1 : x > y;
}

/* A connect(2) may have read its policy already, and not yet the service. */
void programs_settle(void)
{
	struct timespec ms20 = {.tv_nsec = 20 * 1000 * 1000};

	/* Refused on kernels with CPUs that take no ticks. */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
		nanosleep(&ms20, NULL);
}

/* Fills @ret_out with the services of the map that are not among the sorted @ids. */
static size_t services_others(struct datapath *dp, const __u32 *ids, size_t n, __u32 *ret_out)
{
	__u32 key, *previous = NULL, id;
	size_t out_n = 0;

	for (size_t i = 0; i < SKIFF_MAX_SERVICES; i++) {
		if (bpf_map_get_next_key(dp->map[MAP_services], previous, &id) < 0)
			break;
		key = id;
		previous = &key;
		if (!n || !bsearch(&id, ids, n, sizeof(*ids), id_compare))
			ret_out[out_n++] = id;
	}
	return out_n;
}

void datapath_services_trim(struct datapath *dp, const struct datapath_service *services, size_t n)
{
	__u32 *ids = xcalloc(n + 1, sizeof(*ids));
	__u32 *gone = xcalloc(SKIFF_MAX_SERVICES, sizeof(*gone));
	size_t gone_n;

	for (size_t i = 0; i < n; i++)
		ids[i] = services[i].id;
	if (n)
		qsort(ids, n, sizeof(*ids), id_compare);
	gone_n = services_others(dp, ids, n, gone);
	if (gone_n)
		programs_settle();
	for (size_t i = 0; i < gone_n; i++) {
		bpf_map_delete_elem(dp->map[MAP_services], &gone[i]);
		backends_cut(dp, gone[i], 0, 0);
		backends_cut(dp, gone[i], 1, 0);
	}
	free(gone);
	free(ids);
}

int datapath_services_set(struct datapath *dp, const struct datapath_service *services, size_t n,
			  uint32_t generation, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = datapath_service_set(dp, &services[i], generation, err);
	return r;
}
