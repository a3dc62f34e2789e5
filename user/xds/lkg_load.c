/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of the last good configuration; see lkg.h. The file may be anything. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/arena.h"
#include "xds/lkg.h"

struct lkg_node {
	struct slice id;
	uint32_t *places;
	uint32_t n;
};

struct lkg {
	struct arena arena;
	struct xds_store *store;
	struct xds_resource **resources; /* with references */
	uint32_t n_resources;
	struct lkg_node *nodes;
	uint32_t n_nodes;
	uint64_t written;
};

static int bad(struct err *e, const char *what)
{
	return err_set(e, -EINVAL, "it is damaged: %s", what);
}

/* Takes @n bytes off @s; NULL: there are not so many. */
static const char *take(struct slice *s, size_t n)
{
	const char *p = s->ptr;

	if (s->len < n)
		return NULL;
	*s = slice_skip(*s, n);
	return p;
}

static bool take_u32(struct slice *s, uint32_t *ret_v)
{
	const char *p = take(s, sizeof(*ret_v));

	if (p)
		memcpy(ret_v, p, sizeof(*ret_v));
	return p != NULL;
}

static int resource_take(struct lkg *l, struct slice *s, struct err *e)
{
	const char *kind = take(s, 1), *bytes;
	uint32_t len;

	if (!kind || (unsigned char)*kind >= MESH_PART_KINDS || !take_u32(s, &len))
		return bad(e, "a resource");
	bytes = take(s, len);
	if (!bytes)
		return bad(e, "the length of a resource");
	l->resources[l->n_resources++] =
		xds_store_get(l->store, (enum mesh_part_kind) * kind, slice_of(bytes, len));
	return 0;
}

static int node_take(struct lkg *l, struct slice *s, struct err *e)
{
	struct lkg_node *n = &l->nodes[l->n_nodes];
	const char *p;
	uint32_t len;

	if (!take_u32(s, &len))
		return bad(e, "a node");
	p = take(s, len);
	if (!p || !take_u32(s, &n->n))
		return bad(e, "a node's name");
	n->id = arena_slice(&l->arena, slice_of(p, len));
	p = take(s, (size_t)n->n * sizeof(uint32_t));
	if (!p)
		return bad(e, "a node's resources");
	n->places = arena_alloc(&l->arena, (size_t)n->n * sizeof(uint32_t));
	if (n->n)
		memcpy(n->places, p, (size_t)n->n * sizeof(uint32_t));
	for (uint32_t i = 0; i < n->n; i++)
		if (n->places[i] >= l->n_resources)
			return bad(e, "the place of a resource");
	l->n_nodes++;
	return 0;
}

int lkg_parse(const struct lkg_header *h, struct slice body, struct xds_store *s,
	      struct lkg **ret_l, struct err *e)
{
	struct lkg *l = xcalloc(1, sizeof(*l));
	int rc = 0;

	l->store = s;
	l->written = h->written;
	/* Each takes some bytes: the numbers are bound by the length before memory is taken. */
	if (h->n_resources > body.len / 5 || h->n_nodes > body.len / 8)
		rc = bad(e, "its numbers");
	if (rc == 0) {
		l->resources = xcalloc(h->n_resources + 1, sizeof(struct xds_resource *));
		l->nodes = xcalloc(h->n_nodes + 1, sizeof(*l->nodes));
	}
	for (uint32_t i = 0; i < h->n_resources && rc == 0; i++)
		rc = resource_take(l, &body, e);
	for (uint32_t i = 0; i < h->n_nodes && rc == 0; i++)
		rc = node_take(l, &body, e);
	if (rc == 0 && body.len)
		rc = bad(e, "something follows");
	if (rc < 0)
		lkg_free(l);
	else
		*ret_l = l;
	return rc;
}

static int file_check(const struct lkg_header *h, struct slice body, struct err *e)
{
	if (memcmp(h->magic, "skifflkg", 8) != 0)
		return err_set(e, -EINVAL, "it is no such file");
	if (h->format != LKG_FORMAT)
		return err_set(e, -EINVAL, "its format is %u, not %d", h->format, LKG_FORMAT);
	if (h->length != body.len)
		return bad(e, "its length");
	if (h->checksum != XXH3_64bits(body.ptr, body.len))
		return bad(e, "its checksum");
	return 0;
}

static int map_parse(struct slice file, struct xds_store *s, struct lkg **ret_l, struct err *e)
{
	struct slice body = slice_skip(file, sizeof(struct lkg_header));
	struct lkg_header h;
	int rc;

	memcpy(&h, file.ptr, sizeof(h));
	rc = file_check(&h, body, e);
	return rc < 0 ? rc : lkg_parse(&h, body, s, ret_l, e);
}

int lkg_load(const char *path, struct xds_store *s, struct lkg **ret_l, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = err_set(e, -errno, "%s: %s", path, strerror(errno));
		goto out;
	}
	if ((uint64_t)st.st_size < sizeof(struct lkg_header) ||
	    (uint64_t)st.st_size > LKG_FILE_MAX) {
		rc = err_prefix(e, bad(e, "its length"), "%s", path);
		goto out;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		rc = err_set(e, -errno, "%s: %s", path, strerror(errno));
		goto out;
	}
	rc = map_parse(slice_of(p, (size_t)st.st_size), s, ret_l, e);
	if (rc < 0)
		err_prefix(e, rc, "%s", path);
	munmap(p, (size_t)st.st_size);
out:
	if (fd >= 0)
		close(fd);
	return rc;
}

void lkg_free(struct lkg *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; i < l->n_resources; i++)
		xds_resource_unref(l->store, l->resources[i]);
	free(l->resources);
	free(l->nodes);
	arena_done(&l->arena);
	free(l);
}

uint64_t lkg_written(const struct lkg *l)
{
	return l->written;
}

bool lkg_each(const struct lkg *l, const char *id, void (*fn)(void *arg, struct xds_resource *r),
	      void *arg)
{
	for (uint32_t i = 0; i < l->n_nodes; i++) {
		const struct lkg_node *x = &l->nodes[i];

		if (!slice_is_equal(x->id, slice_str(id)))
			continue;
		for (uint32_t j = 0; j < x->n; j++)
			fn(arg, l->resources[x->places[j]]);
		return true;
	}
	return false;
}

static void restore(void *n, struct xds_resource *r)
{
	ads_node_restore(n, xds_resource_ref(r));
}

bool lkg_restore(const struct lkg *l, struct ads_node *n)
{
	if (!lkg_each(l, ads_node_id(n), restore, n))
		return false;
	ads_node_restored(n);
	return true;
}
