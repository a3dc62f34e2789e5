/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics: names, sums over sets, histograms, kinds; and the intrusive list. */
#include "tests/unit/fixture.h"

#include <pthread.h>

#include "base/list.h"
#include "base/stats.h"

static void counters(void **state)
{
	struct stats_set *a = stats_set_new(), *b = stats_set_new();
	stat_id id = stats_register(STAT_COUNTER, "t.counter");
	stat_id gauge = stats_registerf(STAT_GAUGE, "t.%s", "gauge");

	(void)state;
	assert_int_not_equal(id, 0);
	assert_int_equal(stats_register(STAT_COUNTER, "t.counter"), id);
	stats_add(a, id, 5);
	stats_inc(b, id);
	stats_inc(a, gauge);
	stats_dec(b, gauge); /* ends on another worker */
	stats_inc(a, gauge);
	stats_inc(a, 0); /* the sink */
	assert_int_equal(stats_value(id), 6);
	assert_int_equal(stats_value_by_name("t.gauge"), 1);
	assert_int_equal(stats_value_by_name("t.nothing"), 0);
	stats_set_free(b);
	assert_int_equal(stats_value(id), 5);
	stats_set_free(a);
	stats_set_free(NULL);
}

/* A name that is a counter must never be written as a histogram. */
static void kinds(void **state)
{
	struct stats_set *a = stats_set_new();
	stat_id counter = stats_register(STAT_COUNTER, "t.kind"),
		next = stats_register(STAT_COUNTER, "t.next");
	stat_id wrong = stats_register(STAT_HISTOGRAM, "t.kind");

	(void)state;
	assert_int_equal(wrong, 0);
	stats_record(a, wrong, 1000);
	assert_int_equal(stats_value(counter), 0);
	assert_int_equal(stats_value(next), 0);
	stats_set_free(a);
}

struct seen {
	char last[64];
	uint64_t hist[STATS_BUCKETS + 1];
	uint64_t count;
	bool sorted, found;
};

static void see(void *arg, const char *name, enum stat_kind kind, uint64_t value,
		const uint64_t *hist)
{
	struct seen *s = arg;

	s->sorted = s->sorted && strcmp(s->last, name) < 0;
	snprintf(s->last, sizeof(s->last), "%s", name);
	if (strcmp(name, "t.hist") != 0)
		return;
	assert_int_equal(kind, STAT_HISTOGRAM);
	s->found = true;
	s->count = value;
	memcpy(s->hist, hist, sizeof(s->hist));
}

static void histogram(void **state)
{
	static const struct {
		uint64_t us;
		int bucket;
	} cases[] = { { 0, 0 },
		      { 500, 0 },
		      { 501, 1 },
		      { 1000, 1 },
		      { 5001, 3 },
		      { 3600000000ull, 18 },
		      { 3600000001ull, 19 } };
	struct stats_set *a = stats_set_new();
	stat_id id = stats_register(STAT_HISTOGRAM, "t.hist");
	struct seen s = { .sorted = true };
	uint64_t sum = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		stats_record(a, id, cases[i].us);
		sum += cases[i].us;
	}
	stats_walk(see, &s);
	assert_true(s.sorted && s.found);
	assert_int_equal(s.count, ARRAY_LEN(cases));
	assert_int_equal(s.hist[0], 2);
	assert_int_equal(s.hist[1], 2);
	assert_int_equal(s.hist[3], 1);
	assert_int_equal(s.hist[18], 1);
	assert_int_equal(s.hist[19], 1);
	assert_true(s.hist[STATS_BUCKETS] == sum);
	stats_set_free(a);
}

static void say(void *arg, const struct stats_sink *out)
{
	(void)arg;
	out->value(out->arg, STAT_COUNTER, "t.source.zz", 3);
	out->value(out->arg, STAT_GAUGE, "t.source.b", 2);
	out->value(out->arg, STAT_GAUGE, "t.source.b", 2);
	out->value(out->arg, STAT_COUNTER, "t.source.known", 99);
	out->value(out->arg, STAT_HISTOGRAM, "t.source.hist", 5);
}

struct told {
	char last[256];
	char text[256];
	bool sorted;
};

static void hear(void *arg, const char *name, enum stat_kind kind, uint64_t value,
		 const uint64_t *hist)
{
	struct told *t = arg;
	size_t n = strlen(t->text);

	t->sorted = t->sorted && strcmp(t->last, name) < 0;
	snprintf(t->last, sizeof(t->last), "%s", name);
	assert_true((kind == STAT_HISTOGRAM) == (hist != NULL));
	if (strncmp(name, "t.source.", 9) == 0)
		snprintf(t->text + n, sizeof(t->text) - n, "%s=%llu ", name + 9,
			 (unsigned long long)value);
}

/* Values that nobody registered stand among the others, in order, each once. */
static void sources(void **state)
{
	struct stats_set *a = stats_set_new();
	struct told t = { .sorted = true };
	int me;

	(void)state;
	stats_inc(a, stats_register(STAT_COUNTER, "t.source.known"));
	stats_inc(a, stats_register(STAT_COUNTER, "t.source.a"));
	stats_source_add(say, &me);
	stats_walk(hear, &t);
	assert_true(t.sorted);
	assert_string_equal(t.text, "a=1 b=2 hist=0 known=1 zz=3 ");
	stats_source_remove(&me);
	t = (struct told){ .sorted = true };
	stats_walk(hear, &t);
	assert_string_equal(t.text, "a=1 known=1 ");
	stats_set_free(a);
}

/* Ids go over chunks; a histogram never straddles two. */
static void many(void **state)
{
	struct stats_set *a = stats_set_new();

	(void)state;
	for (int i = 0; i < 3000; i++) {
		stat_id id = stats_registerf(STAT_COUNTER, "t.many.%d", i);
		stat_id h = i % 50 ? 0 : stats_registerf(STAT_HISTOGRAM, "t.manyhist.%d", i);

		assert_int_not_equal(id, 0);
		stats_inc(a, id);
		assert_true(i % 50 || h / STATS_CHUNK == (h + STATS_BUCKETS) / STATS_CHUNK);
	}
	for (int i = 0; i < 3000; i += 999)
		assert_int_equal(stats_value(stats_registerf(STAT_COUNTER, "t.many.%d", i)), 1);
	stats_set_free(a);
}

static void *reader(void *arg)
{
	uint64_t last = 0;

	for (int i = 0; i < 2000; i++) {
		uint64_t v = stats_value(*(stat_id *)arg);

		if (v < last)
			return arg;
		last = v;
	}
	return NULL;
}

static void concurrent(void **state)
{
	struct stats_set *a = stats_set_new();
	stat_id id = stats_register(STAT_COUNTER, "t.concurrent");
	pthread_t t;
	void *bad;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, reader, &id), 0);
	for (int i = 0; i < 100000; i++)
		stats_inc(a, id);
	assert_int_equal(pthread_join(t, &bad), 0);
	assert_null(bad);
	assert_int_equal(stats_value(id), 100000);
	stats_set_free(a);
}

struct item {
	int v;
	struct list node;
};

static void lists(void **state)
{
	struct item v[4] = { { .v = 0 }, { .v = 1 }, { .v = 2 }, { .v = 3 } };
	struct list head, other;
	int sum = 0;

	(void)state;
	list_init(&head);
	list_init(&other);
	assert_null(list_pop(&head));
	list_splice(&head, &other);
	assert_true(list_is_empty(&head));
	list_push(&head, &v[1].node);
	list_push_front(&head, &v[0].node);
	list_push(&other, &v[2].node);
	list_push(&other, &v[3].node);
	list_splice(&head, &other);
	assert_true(list_is_empty(&other));
	list_for_each(n, &head)
		assert_int_equal(list_entry(n, struct item, node)->v, sum++);
	assert_int_equal(sum, 4);
	list_for_each_safe(n, tmp, &head)
		if (list_entry(n, struct item, node)->v % 2)
			list_del(n);
	list_del(&v[1].node); /* again: allowed */
	assert_ptr_equal(list_pop(&head), &v[0].node);
	assert_ptr_equal(list_pop(&head), &v[2].node);
	assert_true(list_is_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters),   cmocka_unit_test(kinds),
		cmocka_unit_test(histogram),  cmocka_unit_test(sources),
		cmocka_unit_test(many),
		cmocka_unit_test(concurrent), cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
