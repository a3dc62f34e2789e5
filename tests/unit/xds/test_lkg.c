/* SPDX-License-Identifier: Apache-2.0 */
/* The last good configuration: written, read again, refused when anything in it is wrong. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t_ads.h"

#include "xds/lkg.h"

static char path[] = "/tmp/skiff-lkg-XXXXXX/file", folder[sizeof(path)];

static void start(void)
{
	memcpy(folder, path, strlen(path) - 5);
	must(mkdtemp(folder) != NULL);
	memcpy(path, folder, strlen(folder));
	t_start(ADS_DELTA);
}

static void end(void)
{
	t_end();
	unlink(path);
	must(rmdir(folder) == 0); /* nothing is left beside the file */
	memset(path + 15, 'X', 6);
}

static void fill(void)
{
	ads_link_up(t.ads);
	t_delta(MESH_PART_CLUSTER, "n1", "a eds:a v=3, b sds:key, c bad", "");
	t_delta(MESH_PART_ENDPOINTS, "n2", "a =1", "");
	t_delta(MESH_PART_LISTENER, "n3", "l rds:r", "");
	t_delta(MESH_PART_ROUTES, "n4", "r ~cds:a", "");
	t_delta(MESH_PART_SECRET, "n5", "key =private", "");
	assert_events("ready");
	assert_set("CDS a b; EDS a=1; LDS l; RDS r; SDS key=private");
}

/* A new process: all is forgotten but the file. */
static void restart(void)
{
	t_end();
	t_start(ADS_DELTA);
}

static void test_round_trip(void **state)
{
	struct err e = { "" };
	struct lkg *l = NULL;
	struct stat st;

	(void)state;
	start();
	fill();
	assert_int_equal(lkg_save(path, t.ads, NULL, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	restart();
	assert_int_equal(lkg_load(path, t.store, &l, &e), 0);
	assert_true(clock_wall_ns() - lkg_written(l) < 60 * NSEC_PER_SEC);
	assert_true(lkg_restore(l, t.n));
	lkg_free(l);
	assert_events("ready");
	assert_true(ads_node_is_stale(t.n));
	assert_set("CDS a b; EDS a=1; LDS l; RDS r");
	end();
}

static void test_many_nodes_share(void **state)
{
	struct err e = { "" };
	struct lkg *l = NULL;
	struct stat st, more;

	(void)state;
	start();
	fill();
	assert_int_equal(lkg_save(path, t.ads, NULL, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	for (int i = 0; i < 20; i++) {
		char id[16];

		snprintf(id, sizeof(id), "m%d", i);
		ads_node_add(t.ads, &(struct ads_node_info){ .id = id }, NULL);
	}
	assert_int_equal(lkg_load(path, t.store, &l, &e), 0);
	assert_false(
		lkg_restore(l, ads_node_add(t.ads, &(struct ads_node_info){ .id = "x" }, NULL)));
	lkg_free(l);
	t_turn();
	assert_int_equal(lkg_save(path, t.ads, NULL, &e), 0);
	assert_int_equal(stat(path, &more), 0);
	assert_int_equal(more.st_size, st.st_size); /* those are not ready */
	end();
}

static bool is_not_t(const struct ads_node *n)
{
	return n != t.n;
}

/* A set that the engine refused takes the place of no good one, and others are written all the
 * same. */
static void test_refused_sets(void **state)
{
	struct err e = { "" };
	struct lkg *l = NULL;
	struct ads_node *m;

	(void)state;
	start();
	fill();
	assert_int_equal(lkg_save(path, t.ads, is_not_t, &e), 0);
	assert_int_equal(lkg_load(path, t.store, &l, &e), 0);
	assert_false(lkg_restore(l, t.n)); /* there has been no good one */
	lkg_free(l);
	assert_int_equal(lkg_save(path, t.ads, NULL, &e), 0);
	m = ads_node_add(t.ads, &(struct ads_node_info){ .id = "m" }, NULL);
	t_turn();
	t_say(m, MESH_PART_CLUSTER, "n", "c", "");
	t_say(m, MESH_PART_LISTENER, "n", "k", "");
	t_delta(MESH_PART_LISTENER, "n6", "l =refused", "");
	t_turn();
	assert_set("CDS a b; EDS a=1; LDS l=refused; SDS key=private");
	assert_int_equal(lkg_save(path, t.ads, is_not_t, &e), 0);
	restart();
	assert_int_equal(lkg_load(path, t.store, &l, &e), 0);
	m = ads_node_add(t.ads, &(struct ads_node_info){ .id = "m" }, NULL);
	assert_true(lkg_restore(l, t.n));
	assert_true(lkg_restore(l, m));
	lkg_free(l);
	t_turn();
	assert_set("CDS a b; EDS a=1; LDS l; RDS r");
	assert_string_equal(t_set_of(m), "CDS c; LDS k");
	end();
}

static void corrupt(off_t at, char with)
{
	int fd = open(path, O_RDWR);

	must(fd >= 0 && pwrite(fd, &with, 1, at) == 1);
	close(fd);
}

static void test_damage(void **state)
{
	struct err e = { "" };
	struct lkg *l = NULL;
	struct stat st;

	(void)state;
	start();
	fill();
	assert_int_equal(lkg_load(path, t.store, &l, &e), -ENOENT);
	for (off_t at = 0;; at++) {
		char was;
		int fd;

		assert_int_equal(lkg_save(path, t.ads, NULL, &e), 0);
		assert_int_equal(stat(path, &st), 0);
		if (at == st.st_size)
			break;
		if (at >= 24 && at < 32)
			continue; /* the time of writing */
		fd = open(path, O_RDONLY);
		assert_int_equal(pread(fd, &was, 1, at), 1);
		close(fd);
		if (at >= 20 && at < 24)
			continue; /* not used */
		corrupt(at, (char)(was ^ 1));
		assert_int_equal(lkg_load(path, t.store, &l, &e), -EINVAL);
	}
	for (off_t len = 0; len < st.st_size; len += 7) {
		assert_int_equal(truncate(path, len), 0);
		assert_int_equal(lkg_load(path, t.store, &l, &e), -EINVAL);
		assert_int_equal(lkg_save(path, t.ads, NULL, &e), 0);
	}
	end();
}

static void test_keeper(void **state)
{
	struct err e = { "" };
	struct lkg_keeper *k;
	struct lkg *l = NULL;

	(void)state;
	start();
	k = lkg_keeper_new(t.io, path, t.ads, NULL);
	fill();
	lkg_keeper_touch(k);
	lkg_keeper_touch(k);
	t_turn();
	assert_int_equal(access(path, F_OK), -1);
	t_wait(LKG_DELAY_MS + 300);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	lkg_keeper_touch(k);
	lkg_keeper_free(k);
	assert_int_equal(lkg_load(path, t.store, &l, &e), 0);
	lkg_free(l);
	end();
}

static void test_no_place(void **state)
{
	struct lkg_keeper *k;
	struct err e = { "" };

	(void)state;
	start();
	fill();
	assert_int_equal(lkg_save("/proc/nowhere/x", t.ads, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/proc/nowhere/x"));
	k = lkg_keeper_new(t.io, "/proc/nowhere/x", t.ads, NULL);
	lkg_keeper_touch(k);
	lkg_keeper_free(k);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_many_nodes_share),
		cmocka_unit_test(test_damage),     cmocka_unit_test(test_keeper),
		cmocka_unit_test(test_no_place),   cmocka_unit_test(test_refused_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
