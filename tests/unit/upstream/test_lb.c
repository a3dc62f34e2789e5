/* SPDX-License-Identifier: Apache-2.0 */
/* Balancing: rotation, weights, least request, random, priorities, panic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upstream/lb.h"

#define HOSTS 10

struct field {
	struct lb_host host[HOSTS];
	struct lb_host *v[HOSTS];
	struct lb_set set;
	struct rng rng;
	int picks[HOSTS];
};

static void field_init(struct field *f, uint32_t n)
{
	memset(f, 0, sizeof(*f));
	rng_init(&f->rng, 42);
	for (uint32_t i = 0; i < n; i++) {
		f->host[i] = (struct lb_host){ .weight = 1, .healthy = true };
		f->v[i] = &f->host[i];
	}
	f->set = (struct lb_set){ .hosts = f->v, .n = n, .choice_count = 2, .panic_threshold = 50 };
}

static void pick(struct field *f, enum mesh_lb policy, int n)
{
	const struct lb *lb = lb_find(policy);

	memset(f->picks, 0, sizeof(f->picks));
	lb->rebuild(&f->set, &f->rng);
	for (int i = 0; i < n; i++) {
		struct lb_host *h = lb->pick(&f->set, &f->rng);

		assert_non_null(h);
		f->picks[h - f->host]++;
	}
}

static void rotation(void **state)
{
	struct field f;
	const struct lb_host *seen[9];

	(void)state;
	field_init(&f, 3);
	lb_round_robin.rebuild(&f.set, &f.rng);
	for (int i = 0; i < 9; i++)
		seen[i] = lb_round_robin.pick(&f.set, &f.rng);
	for (int i = 3; i < 9; i++)
		assert_ptr_equal(seen[i], seen[i - 3]);
	assert_ptr_not_equal(seen[0], seen[1]);
	assert_ptr_not_equal(seen[1], seen[2]);
	assert_ptr_not_equal(seen[0], seen[2]);
}

static void weights(void **state)
{
	struct field f;

	(void)state;
	field_init(&f, 3);
	f.host[0].weight = 1;
	f.host[1].weight = 3;
	f.host[2].weight = 6;
	pick(&f, MESH_LB_ROUND_ROBIN, 1000);
	assert_in_range(f.picks[0], 99, 101);
	assert_in_range(f.picks[1], 299, 301);
	assert_in_range(f.picks[2], 599, 601);
	/* Equal shares whatever the weights. */
	pick(&f, MESH_LB_RANDOM, 3000);
	for (int i = 0; i < 3; i++)
		assert_in_range(f.picks[i], 880, 1120);
}

static void least_request(void **state)
{
	struct field f;

	(void)state;
	field_init(&f, 10);
	for (int i = 0; i < 10; i++)
		f.host[i].active = i ? 5 : 0;
	pick(&f, MESH_LB_LEAST_REQUEST, 10000);
	/* Two draws of ten find the idle one in 19 % of the cases. */
	assert_in_range(f.picks[0], 1700, 2100);
	f.set.choice_count = 10;
	pick(&f, MESH_LB_LEAST_REQUEST, 100);
	assert_int_equal(f.picks[0], 100);
	field_init(&f, 2);
	f.host[0].weight = 2;
	f.host[0].active = 3;
	f.host[1].active = 0;
	/* 2 / (3 + 1) against 1 / (0 + 1). */
	pick(&f, MESH_LB_LEAST_REQUEST, 300);
	assert_in_range(f.picks[0], 98, 102);
}

static void unhealthy(void **state)
{
	struct field f;

	(void)state;
	field_init(&f, 4);
	f.host[1].healthy = false;
	pick(&f, MESH_LB_ROUND_ROBIN, 300);
	assert_int_equal(f.picks[1], 0);
	assert_int_equal(f.picks[0], 100);
	/* One of four: panic, everybody serves. */
	f.host[0].healthy = f.host[2].healthy = false;
	pick(&f, MESH_LB_ROUND_ROBIN, 400);
	for (int i = 0; i < 4; i++)
		assert_int_equal(f.picks[i], 100);
	f.set.panic_threshold = 0;
	pick(&f, MESH_LB_ROUND_ROBIN, 100);
	assert_int_equal(f.picks[3], 100);
	f.host[3].healthy = false;
	lb_round_robin.rebuild(&f.set, &f.rng);
	assert_null(lb_round_robin.pick(&f.set, &f.rng));
	field_init(&f, 0);
	lb_round_robin.rebuild(&f.set, &f.rng);
	assert_null(lb_round_robin.pick(&f.set, &f.rng));
	assert_null(lb_find(MESH_LB_PROVIDED));
}

static void priorities(void **state)
{
	struct field f;

	(void)state;
	field_init(&f, 8);
	for (int i = 0; i < 4; i++)
		f.host[i].priority = 1; /* given in any order */
	pick(&f, MESH_LB_ROUND_ROBIN, 400);
	for (int i = 0; i < 8; i++)
		assert_int_equal(f.picks[i], i < 4 ? 0 : 100);
	/* Half of the best: 70 % stay (factor 1.4), the rest spills over. */
	f.host[4].healthy = f.host[5].healthy = false;
	pick(&f, MESH_LB_RANDOM, 10000);
	assert_in_range(f.picks[6] + f.picks[7], 6800, 7200);
	assert_int_equal(f.picks[4] + f.picks[5], 0);
	/* None of the best. */
	f.host[6].healthy = f.host[7].healthy = false;
	pick(&f, MESH_LB_ROUND_ROBIN, 400);
	for (int i = 0; i < 8; i++)
		assert_int_equal(f.picks[i], i < 4 ? 100 : 0);
	/* None at all: panic everywhere, by the number of hosts. */
	for (int i = 0; i < 4; i++)
		f.host[i].healthy = false;
	pick(&f, MESH_LB_RANDOM, 8000);
	for (int i = 0; i < 8; i++)
		assert_in_range(f.picks[i], 850, 1150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rotation),      cmocka_unit_test(weights),
		cmocka_unit_test(least_request), cmocka_unit_test(unhealthy),
		cmocka_unit_test(priorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
