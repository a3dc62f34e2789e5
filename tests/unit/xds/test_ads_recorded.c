/* SPDX-License-Identifier: Apache-2.0 */
/* What a real istiod was recorded to send is taken whole, by the real compiler. */
#include "t_ads.h"

#include "xds/compile.h"

#define FOLDER TESTDATA "/xds/bookinfo/"

static void start(enum ads_mode mode)
{
	t_start(mode);
	ads_free(t.ads);
	xds_store_free(t.store);
	t.store = xds_store_new(xds_compile);
	t.ads = ads_new(t.io,
			&(struct ads_opts){ .mode = mode,
					    .store = t.store,
					    .transport = &t_transport,
					    .transport_arg = &t },
			&t_ops, &t);
	t.n = ads_node_add(t.ads, &(struct ads_node_info){ .id = "n1" }, &t);
	ads_link_up(t.ads);
}

static void say_file(const char *folder, const char *name)
{
	char *path = xasprintf(FOLDER "%s/%s", folder, name);
	FILE *f = fopen(path, "rb");
	char *bytes = xmalloc(1 << 20);

	if (!f)
		fail_msg("%s cannot be read", path);
	ads_stream_message(t.n, slice_of(bytes, fread(bytes, 1, 1 << 20, f)));
	fclose(f);
	free(bytes);
	free(path);
}

static void assert_good(void)
{
	struct ads_status s;
	char *text;
	json_t *j;

	t_turn();
	ads_node_status(t.n, &s);
	if (s.is_in_sync && s.is_complete)
		return;
	j = ads_node_json(t.n);
	text = json_dumps(j, JSON_INDENT(1));
	fail_msg("%s", text);
}

static void all_of(const char *folder)
{
	say_file(folder, "cds.pb");
	say_file(folder, "lds.pb");
	say_file(folder, "eds.pb");
	say_file(folder, "rds.pb");
	assert_good();
	assert_null(strstr(t.requests, "nack"));
}

static void test_delta(void **state)
{
	static const char *const folders[] = { "curl-delta",   "details-delta",
					       "ledger-delta", "productpage-delta",
					       "sleep-delta",  "vault-delta-mtls" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		start(ADS_DELTA);
		all_of(folders[i]);
		t_end();
	}
}

static void test_sotw(void **state)
{
	(void)state;
	start(ADS_SOTW);
	all_of("sleep-sotw");
	t_end();
}

/* Two pods of one mesh: what both have is held once, whatever the order of map entries. */
static void test_pods_share(void **state)
{
	struct xds_store_totals one, two;

	(void)state;
	start(ADS_DELTA);
	all_of("curl-delta");
	xds_store_totals_get(t.store, &one);
	t.n = ads_node_add(t.ads, &(struct ads_node_info){ .id = "n2" }, &t);
	t_turn();
	all_of("productpage-delta");
	xds_store_totals_get(t.store, &two);
	assert_in_range(two.resources, one.resources, one.resources + one.resources / 5);
	t_end();
}

static void test_edits(void **state)
{
	static const char *const files[] = {
		"01-cds", "02-lds", "03-eds", "04-rds", "05-eds", "06-eds", "07-cds",
		"08-lds", "09-rds", "10-cds", "11-lds", "12-rds", "13-eds", "14-cds",
		"15-eds", "16-lds", "17-rds", "18-cds", "19-eds", "20-lds", "21-rds",
	};

	(void)state;
	start(ADS_DELTA);
	all_of("productpage-delta");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char name[16];

		snprintf(name, sizeof(name), "%s.pb", files[i]);
		say_file("edits", name);
		t_turn();
		assert_null(strstr(t.requests, "nack"));
	}
	t_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delta),
		cmocka_unit_test(test_sotw),
		cmocka_unit_test(test_pods_share),
		cmocka_unit_test(test_edits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
