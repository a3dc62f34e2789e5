/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a change costs in a mesh of many services and pods: one part of one that changes must not
 * make the others be compiled again, a view must be small, endpoints must not cost more with more
 * services, also where workers use the cluster. Figures go to the standard error; callgrind counts
 * instructions (the sum of all threads):
 *   valgrind --tool=callgrind --toggle-collect=engine_endpoints
 *            --toggle-collect=worker_endpoints_changed build/tests/unit/proxy/test_scale in-use
 * 5000
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <malloc.h>
#include <semaphore.h>
#include <time.h>

#include "cmd/builtin.h"
#include "proxy/proxy_impl.h"
#include "tests/unit/xds/t_compile.h"

#define PODS 30
#define LISTENERS 40
#define ROUNDS 20
#define T "type.googleapis.com/envoy.extensions.filters."

struct world {
	struct engine *e;
	struct mesh_part **parts;
	uint32_t n;
	struct mesh_view *views[PODS];
	uint32_t n_clusters;
};

static struct mesh_part *cluster(uint32_t i, uint64_t hash)
{
	char name[64];
	struct mesh_part *p;
	struct mesh_cluster *c;

	snprintf(name, sizeof(name), "outbound|8080||service-%u.shop.svc.cluster.local", i);
	p = mesh_part_new(MESH_PART_CLUSTER, slice_str(name));
	c = arena_new(&p->arena, struct mesh_cluster);
	*c = (struct mesh_cluster){ .name = p->name,
				    .stat_name = p->name,
				    .service_name = p->name,
				    .kind = MESH_CLUSTER_EDS,
				    .hash = hash };
	p->body = c;
	p->hash = hash;
	return p;
}

static struct mesh_part *endpoints(struct slice name, uint32_t i)
{
	struct mesh_endpoint v[2] = { { .weight = 1 }, { .weight = 1 } };

	must(addr_parse(SLICE("10.1.0.1:8080"), &v[0].addr) == 0);
	v[1] = v[0];
	v[1].addr.ip[13] = (uint8_t)(i >> 8);
	v[1].addr.ip[14] = (uint8_t)i;
	return mesh_part_endpoints_copy(name, v, 2);
}

static struct mesh_part *listener(uint32_t i)
{
	char json[1024];

	snprintf(json, sizeof(json),
		 "{'name': '0.0.0.0_%u', 'bind_to_port': false, 'address': {'socket_address': "
		 "{'address': '0.0.0.0', 'port_value': %u}}, 'filter_chains': [{'filters': "
		 "[{'name': 'hcm', 'typed_config': {'@type': '" T
		 "network.http_connection_manager.v3.HttpConnectionManager', 'stat_prefix': "
		 "'outbound_%u', 'rds': {'route_config_name': '%u', 'config_source': {'ads': {}}}, "
		 "'http_filters': [{'name': 'router', 'typed_config': {'@type': '" T
		 "http.router.v3.Router'}}]}}]}]}",
		 1000 + i, 1000 + i, i, 1000 + i);
	return t_part(MESH_PART_LISTENER, json);
}

static struct mesh_part *routes(uint32_t i)
{
	char json[512];

	snprintf(json, sizeof(json),
		 "{'name': '%u', 'virtual_hosts': [{'name': 'v', 'domains': ['*'], 'routes': "
		 "[{'match': {'prefix': '/'}, 'route': {'cluster': "
		 "'outbound|8080||service-%u.shop.svc.cluster.local'}}]}]}",
		 1000 + i, i);
	return t_part(MESH_PART_ROUTES, json);
}

/* New views of all pods, applied. What one changed part of all pods costs. */
__attribute__((noinline)) static void change_part(struct world *w)
{
	struct mesh_snapshot *s = mesh_snapshot_new();
	struct err e = { "" };

	s->pods = arena_array(&s->arena, struct mesh_pod, PODS);
	s->n_pods = PODS;
	for (uint32_t i = 0; i < PODS; i++) {
		mesh_view_unref(w->views[i]);
		if (mesh_view_build(w->parts, w->n, SLICE("x"), &w->views[i], &e) < 0)
			fail_msg("%s", e.text);
		s->pods[i] = (struct mesh_pod){ .id = i + 1, .view = mesh_view_ref(w->views[i]) };
	}
	if (engine_apply(w->e, s, &e) < 0)
		fail_msg("%s", e.text);
	mesh_snapshot_unref(s);
}

__attribute__((noinline)) static void change_endpoints(struct world *w, struct mesh_part *p)
{
	engine_endpoints(w->e, w->views[7], w->parts[w->n_clusters / 2]->name, p);
}

static void world_new(struct world *w, uint32_t n_clusters)
{
	struct engine_opts o = {
		.workers = 2, .io = IO_EPOLL, .codecs = builtin_codecs, .filters = builtin_filters
	};
	struct err e;

	*w = (struct world){ .n_clusters = n_clusters };
	must(engine_new(&o, &w->e, &e) == 0);
	w->parts = xcalloc(2 * n_clusters + 2 * LISTENERS, sizeof(struct mesh_part *));
	for (uint32_t i = 0; i < n_clusters; i++)
		w->parts[w->n++] = cluster(i, i + 1);
	for (uint32_t i = 0; i < n_clusters; i++)
		w->parts[w->n++] = endpoints(w->parts[i]->name, i);
	for (uint32_t i = 0; i < LISTENERS; i++)
		w->parts[w->n++] = listener(i);
	for (uint32_t i = 0; i < LISTENERS; i++)
		w->parts[w->n++] = routes(i);
}

static void world_free(struct world *w)
{
	engine_free(w->e);
	for (uint32_t i = 0; i < PODS; i++)
		mesh_view_unref(w->views[i]);
	for (uint32_t i = 0; i < w->n; i++)
		mesh_part_unref(w->parts[i]);
	free(w->parts);
}

static uint64_t cpu_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void a_change_of_one_part(void **state)
{
	const struct plistener *l[PODS];
	const struct ptable *t[PODS];
	uint64_t began, spent;
	size_t empty, used;
	struct world w;

	(void)state;
	world_new(&w, 1000);
	empty = mallinfo2().uordblks;
	change_part(&w);
	used = mallinfo2().uordblks - empty;
	for (uint32_t i = 0; i < PODS; i++) {
		l[i] = w.e->snap->pods[i]->listeners[5];
		t[i] = pview_table(w.e->snap->pods[i], l[i]->chains[0].http.slot);
		assert_non_null(t[i]);
	}
	mesh_part_unref(w.parts[17]);
	w.parts[17] = cluster(17, 999999);
	began = cpu_us(CLOCK_THREAD_CPUTIME_ID);
	change_part(&w);
	spent = cpu_us(CLOCK_THREAD_CPUTIME_ID) - began;
	for (uint32_t i = 0; i < PODS; i++) {
		assert_ptr_equal(w.e->snap->pods[i]->listeners[5], l[i]);
		assert_ptr_equal(pview_table(w.e->snap->pods[i], l[i]->chains[0].http.slot), t[i]);
	}
	fprintf(stderr, "# 1000 clusters x %d views: %zu bytes a view, a changed part %llu us\n",
		PODS, used / PODS, (unsigned long long)spent);
	/* Pointers, indexes and the listeners' own state: no copy of a cluster is in it. */
	assert_true(used / PODS < 256 * 1024);
	world_free(&w);
}

/* ---- a cluster that the workers use ---------------------------------------------------------- */

struct use {
	struct world *w;
	struct worker *worker;
	sem_t done;
	size_t hosts;
};

static void use_cluster(void *arg)
{
	struct use *u = arg;
	struct upstream_cluster *c = wview_cluster(worker_view(u->worker, 8),
						   u->w->parts[u->w->n_clusters / 2]->name);

	u->hosts = c ? c->n_hosts : 0;
	sem_post(&u->done);
}

/* Returns when every worker has used the cluster that change_endpoints() changes; its hosts. */
static size_t use_by_all(struct world *w)
{
	struct use u = { .w = w };

	sem_init(&u.done, 0, 0);
	for (unsigned int i = 0; i < w->e->n_workers; i++) {
		u.worker = &w->e->workers[i];
		io_post(u.worker->io, use_cluster, &u);
		sem_wait(&u.done);
	}
	sem_destroy(&u.done);
	return u.hosts;
}

/*
 * The least CPU time in us of @ROUNDS changes of endpoints, 100 each. @in_use: the workers take up
 * each change before the next one, and their time counts too.
 */
static uint64_t endpoints_us(struct world *w, bool in_use)
{
	clockid_t clock = in_use ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID;
	uint64_t best = UINT64_MAX;

	if (in_use)
		assert_int_equal(use_by_all(w), 2);
	for (uint32_t r = 0; r < ROUNDS; r++) {
		struct mesh_part *p = endpoints(SLICE("x"), r);
		uint64_t began = cpu_us(clock), spent;

		for (int k = 0; k < 100; k++) {
			change_endpoints(w, k % 2 ? p : NULL);
			if (in_use)
				assert_int_equal(use_by_all(w), k % 2 ? 2 : 0);
		}
		spent = cpu_us(clock) - began;
		best = spent < best ? spent : best;
		mesh_part_unref(p);
	}
	return best;
}

/* As endpoints_us(), in a mesh of @n clusters. */
static uint64_t sized_us(uint32_t n, bool in_use)
{
	struct world w;
	uint64_t us;

	world_new(&w, n);
	change_part(&w);
	us = endpoints_us(&w, in_use);
	fprintf(stderr, "# %u clusters: 100 changes of endpoints%s %llu us\n", n,
		in_use ? " in use by 2 workers" : "", (unsigned long long)us);
	world_free(&w);
	return us;
}

/* Five times the services, not twice the time (and @more us for the caches). */
static void grows_little(bool in_use, uint64_t more)
{
	uint64_t small = sized_us(1000, in_use);

	assert_true(sized_us(5000, in_use) < 2 * small + more);
}

static void changes_of_endpoints_in_use(void **state)
{
	(void)state;
	grows_little(true, 2000);
}

static void changes_of_endpoints(void **state)
{
	(void)state;
	grows_little(false, 100);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_of_one_part),
		cmocka_unit_test(changes_of_endpoints),
		cmocka_unit_test(changes_of_endpoints_in_use),
	};

	/* For callgrind: just the changes. */
	if (argc == 3 && strcmp(argv[1], "in-use") == 0)
		return sized_us((uint32_t)strtoul(argv[2], NULL, 10), true) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
