/* SPDX-License-Identifier: Apache-2.0 */
/* Writing of the last good configuration; see lkg.h. */
#include "xds/lkg.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#define FLUSH_BYTES 65536

/* All published resources, once, sorted by address: the place is the number in the file. */
struct pool {
	const struct xds_resource **v;
	size_t n, cap;
};

struct writer {
	struct pool pool;
	struct lkg_header h;
	struct buf out;
	XXH3_state_t *sum;
	int fd;
	int rc; /* first failure */
	uint32_t in_node;
	lkg_good_fn is_good;
	bool has_bad;
	struct lkg *old; /* what the file has now; NULL: nothing, or it is not needed */
};

static void out_flush(struct writer *w, size_t at_least)
{
	size_t n = buf_len(&w->out), done = 0;
	ssize_t wrote;

	if (n < at_least || w->rc < 0)
		return;
	XXH3_64bits_update(w->sum, n ? buf_ptr(&w->out) : "", n);
	w->h.length += n;
	while (done < n && w->rc == 0) {
		wrote = write(w->fd, buf_ptr(&w->out) + done, n - done);
		if (wrote < 0 && errno != EINTR)
			w->rc = -errno;
		done += wrote > 0 ? (size_t)wrote : 0;
	}
	buf_clear(&w->out);
}

static void put_u32(struct writer *w, uint32_t v)
{
	buf_add(&w->out, &v, sizeof(v));
}

/* ---- what is in it ----------------------------------------------------------------------------
 */

static void pool_add(void *arg, struct xds_resource *r)
{
	struct pool *p = &((struct writer *)arg)->pool;

	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 1024;
		p->v = xrealloc(p->v, p->cap * sizeof(struct xds_resource *));
	}
	p->v[p->n++] = r;
}

static bool is_good(const struct writer *w, const struct ads_node *n)
{
	return ads_node_is_ready(n) && (!w->is_good || w->is_good(n));
}

struct each {
	void (*fn)(void *arg, struct xds_resource *r);
	void *arg;
};

static void each_item(void *arg, const struct ads_item *item)
{
	const struct each *e = arg;

	if (item->published)
		e->fn(e->arg, (struct xds_resource *)(uintptr_t)item->published);
}

/* Calls @fn for what is to be written of @n. false: nothing is. */
static bool each_good(struct writer *w, const struct ads_node *n,
		      void (*fn)(void *arg, struct xds_resource *r))
{
	struct each e = { fn, w };

	if (!is_good(w, n))
		return w->old && lkg_each(w->old, ads_node_id(n), fn, w);
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		if (k != MESH_PART_SECRET)
			ads_node_each(n, (enum mesh_part_kind)k, each_item, &e);
	return true;
}

static void pool_add_node(void *arg, struct ads_node *n)
{
	struct writer *w = arg;

	w->h.n_nodes += each_good(w, n, pool_add);
}

static int address_compare(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;

	return x < y ? -1 : x > y;
}

static void pool_sort(struct pool *p)
{
	size_t kept = 0;

	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), address_compare);
	for (size_t i = 0; i < p->n; i++)
		if (i == 0 || p->v[i] != p->v[i - 1])
			p->v[kept++] = p->v[i];
	p->n = kept;
}

static void put_resource(struct writer *w, const struct xds_resource *r)
{
	buf_add_char(&w->out, (char)r->kind);
	put_u32(w, (uint32_t)r->bytes.len);
	buf_add_slice(&w->out, r->bytes);
	out_flush(w, FLUSH_BYTES);
}

static void count_one(void *arg, struct xds_resource *r)
{
	struct writer *w = arg;

	(void)r;
	w->in_node++;
}

static void put_place(void *arg, struct xds_resource *r)
{
	const struct xds_resource *key = r, **at;
	struct writer *w = arg;

	at = bsearch(&key, w->pool.v, w->pool.n, sizeof(*at), address_compare);
	put_u32(w, (uint32_t)(at - w->pool.v));
}

static void put_node(void *arg, struct ads_node *n)
{
	struct slice id = slice_str(ads_node_id(n));
	struct writer *w = arg;

	w->in_node = 0;
	if (!each_good(w, n, count_one))
		return;
	put_u32(w, (uint32_t)id.len);
	buf_add_slice(&w->out, id);
	put_u32(w, w->in_node);
	each_good(w, n, put_place);
	out_flush(w, FLUSH_BYTES);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void write_all(struct writer *w, struct ads *a)
{
	memcpy(w->h.magic, "skifflkg", 8);
	w->h.format = LKG_FORMAT;
	w->h.written = clock_wall_ns();
	w->sum = XXH3_createState();
	XXH3_64bits_reset(w->sum);
	ads_each(a, pool_add_node, w);
	pool_sort(&w->pool);
	w->h.n_resources = (uint32_t)w->pool.n;
	/* The header comes last: its place is left free. */
	if (lseek(w->fd, sizeof(w->h), SEEK_SET) < 0)
		w->rc = -errno;
	for (size_t i = 0; i < w->pool.n; i++)
		put_resource(w, w->pool.v[i]);
	ads_each(a, put_node, w);
	out_flush(w, 0);
	w->h.checksum = XXH3_64bits_digest(w->sum);
	if (w->rc == 0 && pwrite(w->fd, &w->h, sizeof(w->h), 0) != (ssize_t)sizeof(w->h))
		w->rc = errno ? -errno : -EIO;
	XXH3_freeState(w->sum);
	free(w->pool.v);
	buf_done(&w->out);
}

/* A file that is written and waits to be synced and moved into its place. */
struct pending {
	int fd;
	char *from, *to;
};

/* The folder too: a rename that is not on disk is none. 0 or -errno. */
static int folder_sync(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? slice_dup(slice_of(path, (size_t)(slash - path) + 1)) : xstrdup(".");
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	free(folder);
	return rc;
}

/* Ends @p. 0 or -errno. */
static int pending_finish(struct pending *p)
{
	int rc = 0;

	if (fsync(p->fd) < 0 || rename(p->from, p->to) < 0)
		rc = -errno;
	close(p->fd);
	if (rc < 0)
		unlink(p->from);
	else
		rc = folder_sync(p->to);
	free(p->from);
	free(p->to);
	free(p);
	return rc;
}

static void look_for_bad(void *arg, struct ads_node *n)
{
	struct writer *w = arg;

	w->has_bad |= ads_node_is_ready(n) && !is_good(w, n);
}

/* What the file has of nodes whose sets are not good now. A damaged one has nothing. */
static void old_open(struct writer *w, const char *path, struct ads *a)
{
	struct err ignored;

	ads_each(a, look_for_bad, w);
	if (w->has_bad && lkg_load(path, ads_store_get(a), &w->old, &ignored) < 0)
		w->old = NULL;
}

static int pending_write(const char *path, struct ads *a, lkg_good_fn good, struct pending **ret_p)
{
	struct pending *p = xcalloc(1, sizeof(*p));
	struct writer w = { .is_good = good };

	p->from = xasprintf("%s.new", path);
	p->to = xstrdup(path);
	p->fd = open(p->from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	w.fd = p->fd;
	w.rc = p->fd < 0 ? -errno : 0;
	if (w.rc == 0) {
		old_open(&w, path, a);
		write_all(&w, a);
		lkg_free(w.old);
	}
	if (w.rc < 0) {
		if (p->fd >= 0) {
			close(p->fd);
			unlink(p->from);
		}
		free(p->from);
		free(p->to);
		free(p);
		return w.rc;
	}
	*ret_p = p;
	return 0;
}

int lkg_save(const char *path, struct ads *a, lkg_good_fn good, struct err *e)
{
	struct pending *p;
	int rc = pending_write(path, a, good, &p);

	if (rc == 0)
		rc = pending_finish(p);
	return rc < 0 ? err_set(e, rc, "%s cannot be written: %s", path, strerror(-rc)) : 0;
}

/* ---- keeper ---------------------------------------------------------------------------------- */

struct lkg_keeper {
	struct io *io;
	struct ads *ads;
	lkg_good_fn is_good;
	char *path;
	struct io_timer timer;
	pthread_t thread;
	bool has_thread;
	bool is_failing; /* said so */
	int rc;          /* of the thread; read after joining it */
	struct pending *pending;
};

static void *keeper_sync(void *arg)
{
	struct lkg_keeper *k = arg;

	k->rc = pending_finish(k->pending);
	return NULL;
}

/* The result of the last saving is known now. */
static void keeper_join(struct lkg_keeper *k)
{
	if (k->has_thread)
		pthread_join(k->thread, NULL);
	k->has_thread = false;
	if (k->rc < 0 && !k->is_failing)
		log_warn("xds",
			 "the last good configuration cannot be written to %s: %s; "
			 "trying again with the next change",
			 k->path, strerror(-k->rc));
	k->is_failing = k->rc < 0;
}

static void keeper_save(struct io_timer *t)
{
	struct lkg_keeper *k = container_of(t, struct lkg_keeper, timer);

	keeper_join(k);
	k->rc = pending_write(k->path, k->ads, k->is_good, &k->pending);
	if (k->rc == 0 && pthread_create(&k->thread, NULL, keeper_sync, k) == 0)
		k->has_thread = true;
	else if (k->rc == 0)
		k->rc = pending_finish(k->pending);
}

struct lkg_keeper *lkg_keeper_new(struct io *io, const char *path, struct ads *a,
				  lkg_good_fn good)
{
	struct lkg_keeper *k = xcalloc(1, sizeof(*k));

	k->io = io;
	k->ads = a;
	k->path = xstrdup(path);
	k->is_good = good;
	io_timer_init(&k->timer, keeper_save);
	return k;
}

void lkg_keeper_touch(struct lkg_keeper *k)
{
	if (!io_timer_is_armed(&k->timer))
		io_timer_set(k->io, &k->timer, k->has_thread ? LKG_PAUSE_MS : LKG_DELAY_MS);
}

void lkg_keeper_free(struct lkg_keeper *k)
{
	if (!k)
		return;
	if (io_timer_is_armed(&k->timer)) {
		io_timer_cancel(k->io, &k->timer);
		keeper_save(&k->timer);
	}
	keeper_join(k);
	free(k->path);
	free(k);
}
