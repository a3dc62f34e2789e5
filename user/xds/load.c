/* SPDX-License-Identifier: Apache-2.0 */
/* Bootstrap files -> messages -> parts -> view. Several files merge: their lists are put one after
 * the other. */
#include "xds/load.h"

#include <dirent.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "xds/translate.h"
#include "xds/yaml.h"

#define BOOTSTRAP Envoy__Config__Bootstrap__V3__Bootstrap

struct loaded {
	const char *name;
	const BOOTSTRAP *b;
};

struct loader {
	struct translate t;
	struct arena arena; /* messages */
	struct loaded *v;
	size_t n;
	json_t *clusters;         /* names */
	struct mesh_part **parts; /* one a cluster and a listener */
	uint32_t n_parts, max_parts;
};

/* ---- files ----------------------------------------------------------------------------------- */

/* "file: static_resources..." */
static void path_at_file(struct loader *l, const char *name)
{
	xds_path_init(&l->t.pj.path, name);
	xds_path_push_raw(&l->t.pj.path, ": ");
}

static int document_add(struct loader *l, const char *name, const json_t *j)
{
	ProtobufCMessage *m = NULL;
	int rc;

	path_at_file(l, name);
	rc = protojson_read(&l->t.pj, &envoy__config__bootstrap__v3__bootstrap__descriptor, j, &m);
	if (rc < 0)
		return rc;
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] =
		(struct loaded){ arena_str(&l->arena, slice_str(name)), (const BOOTSTRAP *)m };
	return 0;
}

static int file_add(struct loader *l, const char *path)
{
	json_t *j = NULL;
	int rc;

	if (l->n >= XDS_FILES_MAX)
		return err_set(l->t.pj.err, -E2BIG, "more than %d files", XDS_FILES_MAX);
	rc = yaml_load(path, YAML_TYPING_ENVOY, &j, l->t.pj.err);
	if (rc == 0)
		rc = document_add(l, path, j);
	json_decref(j);
	return rc;
}

static int name_is_resource(const struct dirent *d)
{
	struct slice name = slice_str(d->d_name);

	return d->d_name[0] != '.' &&
	       (slice_has_suffix(name, SLICE(".yaml")) || slice_has_suffix(name, SLICE(".yml")) ||
		slice_has_suffix(name, SLICE(".json")));
}

static int folder_add(struct loader *l, const char *path)
{
	struct dirent **v = NULL;
	int n = scandir(path, &v, name_is_resource, alphasort), rc = 0;

	if (n < 0)
		return err_set(l->t.pj.err, -errno, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		char *file = xasprintf("%s/%s", path, v[i]->d_name);

		if (rc == 0)
			rc = file_add(l, file);
		free(file);
		free(v[i]);
	}
	free(v);
	return rc;
}

static int path_add(struct loader *l, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(l->t.pj.err, -errno, "%s: %s", path, strerror(errno));
	return S_ISDIR(st.st_mode) ? folder_add(l, path) : file_add(l, path);
}

/* ---- resources ------------------------------------------------------------------------------- */

/* All cluster names first: routes of one file may name clusters of another. */
static int clusters_name(struct loader *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const BOOTSTRAP *b = l->v[i].b;

		if (!b->static_resources)
			continue;
		for (size_t k = 0; k < b->static_resources->n_clusters; k++) {
			const char *name = b->static_resources->clusters[k]->name;

			path_at_file(l, l->v[i].name);
			xds_path_push_at(&l->t.pj.path, "static_resources.clusters", k);
			if (json_object_get(l->clusters, name))
				return tr_fail(&l->t, "cluster \"%s\" is there twice", name);
			json_object_set_new_nocheck(l->clusters, name, json_true());
		}
	}
	return 0;
}

/* A part for the message that is read next; the loader's until the view has it. */
static struct mesh_part *part_add(struct loader *l, enum mesh_part_kind kind, const char *name,
				  size_t body)
{
	struct mesh_part *p = mesh_part_new(kind, slice_str(name));

	if (l->n_parts == l->max_parts) {
		l->max_parts = l->max_parts ? 2 * l->max_parts : 16;
		l->parts = xrealloc(l->parts, l->max_parts * sizeof(struct mesh_part *));
	}
	l->parts[l->n_parts++] = p;
	tr_part_init(&l->t, p);
	p->body = arena_zalloc(&p->arena, body);
	return p;
}

static int cluster_read(struct loader *l, const PB_CLUSTER(Cluster) * m)
{
	struct mesh_part *p = part_add(l, MESH_PART_CLUSTER, m->name, sizeof(struct mesh_cluster));
	int rc = tr_cluster(&l->t, m, p->body);

	p->hash = mesh_part_cluster(p)->hash;
	return rc;
}

static int clusters_read(struct loader *l, const BOOTSTRAP *b)
{
	for (size_t i = 0; i < b->static_resources->n_clusters; i++)
		TR_IN_AT(&l->t, "static_resources.clusters", i,
			 cluster_read(l, b->static_resources->clusters[i]));
	return 0;
}

/* Two listeners cannot have one address; of a pod, one may be for each direction. */
static int address_unique(struct loader *l, const struct mesh_listener *last)
{
	for (uint32_t i = 0; i < l->n_parts; i++) {
		const struct mesh_listener *o = mesh_part_listener(l->parts[i]);

		if (l->parts[i]->kind == MESH_PART_LISTENER && o != last &&
		    o->direction == last->direction && last->addr.port &&
		    addr_is_equal(&o->addr, &last->addr))
			return tr_fail(&l->t,
				       "listener \"%.*s\" has the address of listener \"%.*s\"",
				       SLICE_ARG(last->name), SLICE_ARG(o->name));
	}
	return 0;
}

static int listener_read(struct loader *l, const PB_LISTENER(Listener) * m)
{
	struct mesh_part *p =
		part_add(l, MESH_PART_LISTENER, m->name, sizeof(struct mesh_listener));
	struct mesh_listener *out = p->body;
	int rc = tr_listener(&l->t, m, out);

	if (rc < 0)
		return rc;
	p->hash = out->hash;
	if (!slice_is_equal(p->name, out->name))
		mesh_part_rename(p, out->name); /* without one it is called by its address */
	return address_unique(l, out);
}

static int listeners_read(struct loader *l, const BOOTSTRAP *b)
{
	for (size_t i = 0; i < b->static_resources->n_listeners; i++)
		TR_IN_AT(&l->t, "static_resources.listeners", i,
			 listener_read(l, b->static_resources->listeners[i]));
	return 0;
}

static int runtime_read(struct loader *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!l->v[i].b->layered_runtime)
			continue;
		path_at_file(l, l->v[i].name);
		TR_IN(&l->t, "layered_runtime",
		      tr_runtime_layers(&l->t, l->v[i].b->layered_runtime));
	}
	return 0;
}

static int resources_read(struct loader *l)
{
	int rc = runtime_read(l);

	if (rc == 0)
		rc = clusters_name(l);

	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		path_at_file(l, l->v[i].name);
		if (l->v[i].b->static_resources)
			rc = clusters_read(l, l->v[i].b);
	}
	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		path_at_file(l, l->v[i].name);
		if (l->v[i].b->static_resources)
			rc = listeners_read(l, l->v[i].b);
	}
	return rc;
}

/* ---- the view -------------------------------------------------------------------------------- */

static void dump_add(json_t *listeners, json_t *clusters, const BOOTSTRAP *b)
{
	for (size_t i = 0; i < b->static_resources->n_listeners; i++)
		json_array_append_new(listeners,
				      protojson_write(&b->static_resources->listeners[i]->base));
	for (size_t i = 0; i < b->static_resources->n_clusters; i++)
		json_array_append_new(clusters,
				      protojson_write(&b->static_resources->clusters[i]->base));
}

/* {"static_listeners": [...], "static_clusters": [...]} */
static void dump_write(struct loader *l, struct mesh_view *v)
{
	json_t *listeners = json_array(), *clusters = json_array();
	json_t *o =
		json_pack("{s:o,s:o}", "static_listeners", listeners, "static_clusters", clusters);
	char *text;

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].b->static_resources)
			dump_add(listeners, clusters, l->v[i].b);
	text = json_dumps(o, JSON_COMPACT);
	if (text)
		v->config_json = arena_slice(&v->arena, slice_str(text));
	free(text);
	json_decref(o);
}

static void loader_init(struct loader *l, struct xds_report *report, struct err *e)
{
	*l = (struct loader){ .clusters = json_object() };
	protojson_init(&l->t.pj, &l->arena, report, e);
	l->t.pj.refuse = xds_refuse_unknown;
	l->t.pj.room = SIZE_MAX;
	l->t.clusters = l->clusters;
	l->t.runtime = json_object();
}

/* Builds the view from the messages that were read. */
static int view_build(struct loader *l, struct slice source, struct mesh_view **ret_view)
{
	int rc = resources_read(l);

	if (rc == 0)
		rc = mesh_view_build(l->parts, l->n_parts, source, ret_view, l->t.pj.err);
	if (rc == 0)
		dump_write(l, *ret_view);
	return rc;
}

static void loader_done(struct loader *l)
{
	for (uint32_t i = 0; i < l->n_parts; i++)
		mesh_part_unref(l->parts[i]);
	free(l->parts);
	json_decref(l->clusters);
	json_decref(l->t.runtime);
	arena_done(&l->arena);
	free(l->v);
}

int xds_load_files(const char *const *paths, size_t n, struct mesh_view **ret_view,
		   struct xds_report *report, struct err *e)
{
	struct slice source = { 0 };
	struct loader l;
	int rc = 0;

	loader_init(&l, report, e);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = path_add(&l, paths[i]);
		source = arena_printf(&l.arena, "%.*s%s%s", SLICE_ARG(source), i ? ", " : "",
				      paths[i]);
	}
	if (rc == 0)
		rc = view_build(&l, source, ret_view);
	loader_done(&l);
	return rc;
}

int xds_load_text(struct slice text, const char *name, struct mesh_view **ret_view,
		  struct xds_report *report, struct err *e)
{
	json_t *j = NULL;
	struct loader l;
	int rc;

	loader_init(&l, report, e);
	rc = yaml_parse(text, name, YAML_TYPING_ENVOY, &j, e);
	if (rc == 0)
		rc = document_add(&l, name, j);
	if (rc == 0)
		rc = view_build(&l, slice_str(name), ret_view);
	json_decref(j);
	loader_done(&l);
	return rc;
}
