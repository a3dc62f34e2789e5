/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts of a cluster in one worker when its endpoints change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rand.h"
#include "upstream/cluster.h"

#define MANY 5000

static struct upstream_shared shared;
static struct stats_set *stats;
static struct rng rng;
static const struct mesh_cluster conf = { .name = { "eds", 3 },
					  .stat_name = { "eds", 3 },
					  .kind = MESH_CLUSTER_EDS,
					  .limits = { 10, 10, 10, 3 } };

static void close_conn(struct upstream_conn *c)
{
	(void)c;
}

static struct upstream_cluster *cluster(void)
{
	rng_init(&rng, 1);
	stats = stats_set_new();
	memset(&shared, 0, sizeof(shared));
	upstream_shared_init(&shared, &conf);
	return upstream_cluster_new(&shared, stats, &rng, close_conn);
}

static void done(struct upstream_cluster *c)
{
	upstream_cluster_unref(c);
	upstream_shared_done(&shared);
	stats_set_free(stats);
}

/* Endpoints 10.0.x.y from @first on, weight @weight. */
static struct mesh_part *endpoints(uint32_t first, uint32_t n, uint32_t weight)
{
	struct mesh_endpoint *v = xcalloc(n, sizeof(*v));
	struct mesh_part *p;

	for (uint32_t i = 0; i < n; i++) {
		must(addr_parse(SLICE("10.0.0.0:80"), &v[i].addr) == 0);
		v[i].addr.ip[14] = (uint8_t)((first + i) >> 8);
		v[i].addr.ip[15] = (uint8_t)(first + i);
		v[i].weight = weight;
	}
	p = mesh_part_endpoints_copy(SLICE("eds"), v, n);
	free(v);
	return p;
}

static void set(struct upstream_cluster *c, struct mesh_part *p)
{
	upstream_cluster_set_endpoints(c, p);
	mesh_part_unref(p);
}

static struct upstream_host *first(const struct upstream_cluster *c)
{
	return list_entry(c->hosts.next, struct upstream_host, node);
}

static void hosts_that_stay_are_the_same(void **state)
{
	struct upstream_cluster *c = cluster();
	struct upstream_host *h, *in_use;

	(void)state;
	assert_null(upstream_pick(c));
	set(c, endpoints(0, 3, 1));
	assert_int_equal(c->n_hosts, 3);
	h = list_entry(first(c)->node.next, struct upstream_host, node);
	set(c, endpoints(1, 2, 7));
	assert_int_equal(c->n_hosts, 2);
	assert_ptr_equal(first(c), h);
	assert_int_equal(h->lb.weight, 7);
	in_use = upstream_pick(c);
	set(c, NULL);
	assert_int_equal(c->n_hosts, 0);
	assert_null(upstream_pick(c));
	assert_true(in_use->removed);
	upstream_host_put(in_use); /* the last one to use it */
	assert_true(list_is_empty(&c->retired));
	done(c);
}

static void the_same_twice(void **state)
{
	struct upstream_cluster *c = cluster();
	struct mesh_part *p = endpoints(0, 2, 1);
	struct mesh_endpoints *e = p->body;
	uint64_t before = stats_value_by_name("cluster.eds.membership_change");

	(void)state;
	e->v[1].addr = e->v[0].addr;
	e->v[1].weight = 9;
	upstream_cluster_set_endpoints(c, p);
	upstream_cluster_set_endpoints(c, p);
	assert_int_equal(c->n_hosts, 1);
	assert_int_equal(first(c)->lb.weight, 1);
	assert_int_equal(stats_value_by_name("cluster.eds.membership_change"), before + 1);
	mesh_part_unref(p);
	done(c);
}

static void many(void **state)
{
	struct upstream_cluster *c = cluster();
	struct upstream_host *h;

	(void)state;
	set(c, endpoints(0, MANY, 1));
	assert_int_equal(c->n_hosts, MANY);
	h = list_entry(c->hosts.prev, struct upstream_host, node);
	set(c, endpoints(MANY - 1, MANY, 1));
	assert_int_equal(c->n_hosts, MANY);
	assert_ptr_equal(first(c), h);
	done(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_that_stay_are_the_same),
		cmocka_unit_test(the_same_twice),
		cmocka_unit_test(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
