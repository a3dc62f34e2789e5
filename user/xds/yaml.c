/* SPDX-License-Identifier: Apache-2.0 */
/* YAML -> JSON values: walks libyaml's events; see yaml.h. */
#include "xds/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

struct anchor {
	char *name;
	json_t *value; /* NULL while it is being read */
	size_t nodes;
};

struct reader {
	yaml_parser_t parser;
	const char *name;
	enum yaml_typing typing;
	struct err *err;
	struct anchor *anchors;
	size_t n_anchors;
	size_t nodes;
	unsigned int depth;
};

static int node_read(struct reader *r, yaml_event_t *ev, json_t **ret_j);

static int fail(struct reader *r, const yaml_mark_t *at, int code, const char *what,
		const char *detail)
{
	return err_set(r->err, code, "%s:%zu:%zu: %s%s", r->name, at->line + 1, at->column + 1,
		       what, detail);
}

static int event_next(struct reader *r, yaml_event_t *ev)
{
	if (yaml_parser_parse(&r->parser, ev))
		return 0;
	return fail(r, &r->parser.problem_mark, -EINVAL,
		    r->parser.problem ? r->parser.problem : "not YAML", "");
}

static int node_count(struct reader *r, const yaml_mark_t *at, size_t n)
{
	r->nodes += n;
	if (r->nodes > YAML_NODES_MAX)
		return fail(r, at, -E2BIG, "too many values", "");
	return 0;
}

/* ---- scalars --------------------------------------------------------------------------------- */

bool yaml_word_is(const char *s, const char *word)
{
	size_t n = strlen(word);
	bool lower = true, upper = true, title = true;

	if (strlen(s) != n || strcasecmp(s, word) != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool up = s[i] >= 'A' && s[i] <= 'Z';

		lower = lower && !up;
		upper = upper && up;
		title = title && up == (i == 0);
	}
	return lower || upper || title;
}

static json_t *number_plain(const char *s, enum yaml_typing typing)
{
	char *end, text[32];
	long long v;
	double d;

	if (!strchr("+-.0123456789", *s))
		return NULL;
	errno = 0;
	v = strtoll(s, &end, 0);
	if (*end == '\0' && end != s && !errno) {
		if (typing == YAML_TYPING_CORE || (v >= INT32_MIN && v <= INT32_MAX))
			return json_integer(v);
		snprintf(text, sizeof(text), "%lld", v);
		return json_string(text);
	}
	if (typing == YAML_TYPING_ENVOY)
		return NULL;
	d = strtod(s, &end);
	return *end == '\0' && end != s ? json_real(d) : NULL;
}

static json_t *scalar_plain(const char *s, enum yaml_typing typing)
{
	json_t *j;

	if (*s == '\0' || strcmp(s, "~") == 0 || yaml_word_is(s, "null"))
		return json_null();
	if (yaml_word_is(s, "true") || yaml_word_is(s, "false"))
		return json_boolean(*s == 't' || *s == 'T');
	j = number_plain(s, typing);
	return j ? j : json_string(s);
}

static int scalar_read(struct reader *r, yaml_event_t *ev, json_t **ret_j)
{
	const char *s = (const char *)ev->data.scalar.value,
		   *tag = (const char *)ev->data.scalar.tag;
	size_t len = ev->data.scalar.length;
	bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !tag && strlen(s) == len;
	json_t *j = plain ? scalar_plain(s, r->typing) : json_stringn(s, len);

	if (!j)
		return fail(r, &ev->start_mark, -EINVAL, "the text is not UTF-8", "");
	*ret_j = j;
	return 0;
}

/* ---- anchors --------------------------------------------------------------------------------- */

static int anchor_add(struct reader *r, const yaml_event_t *ev, const char *name, size_t *ret_i)
{
	if (r->n_anchors == YAML_ANCHORS_MAX)
		return fail(r, &ev->start_mark, -E2BIG, "too many anchors", "");
	r->anchors = xrealloc(r->anchors, (r->n_anchors + 1) * sizeof(*r->anchors));
	r->anchors[r->n_anchors] = (struct anchor){ .name = xstrdup(name) };
	*ret_i = r->n_anchors++;
	return 0;
}

static int alias_read(struct reader *r, const yaml_event_t *ev, json_t **ret_j)
{
	const char *name = (const char *)ev->data.alias.anchor;

	/* The latest of a name counts. */
	for (size_t i = r->n_anchors; i > 0; i--) {
		struct anchor *a = &r->anchors[i - 1];
		int rc;

		if (strcmp(a->name, name) != 0)
			continue;
		if (!a->value)
			return fail(r, &ev->start_mark, -EINVAL, "alias to what it stands in: *",
				    name);
		rc = node_count(r, &ev->start_mark, a->nodes);
		if (rc == 0)
			*ret_j = json_incref(a->value);
		return rc;
	}
	return fail(r, &ev->start_mark, -EINVAL, "no such anchor: *", name);
}

/* ---- lists and maps ---------------------------------------------------------------------------
 */

static int list_read(struct reader *r, json_t *list)
{
	yaml_event_t ev;
	json_t *j = NULL;
	int rc;

	for (;;) {
		rc = event_next(r, &ev);
		if (rc < 0)
			return rc;
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&ev);
			return 0;
		}
		rc = node_read(r, &ev, &j);
		yaml_event_delete(&ev);
		if (rc < 0)
			return rc;
		json_array_append_new(list, j);
	}
}

/* "<<": what @from has and @into lacks. */
static int merge(json_t *into, json_t *from)
{
	json_t *item;
	size_t i;

	if (json_is_object(from)) {
		json_object_update_missing(into, from);
		return 0;
	}
	if (!json_is_array(from))
		return -EINVAL;
	json_array_foreach(from, i, item)
	{
		if (!json_is_object(item))
			return -EINVAL;
		json_object_update_missing(into, item);
	}
	return 0;
}

/* One key and its value; @merges collects the values of "<<". */
static int pair_read(struct reader *r, yaml_event_t *key_ev, json_t *map, json_t *merges)
{
	const char *key = (const char *)key_ev->data.scalar.value;
	size_t len = key_ev->data.scalar.length;
	yaml_event_t ev;
	json_t *j = NULL;
	int rc;

	if (key_ev->type != YAML_SCALAR_EVENT)
		return fail(r, &key_ev->start_mark, -EINVAL, "a map's key must be plain text", "");
	if (strlen(key) != len)
		return fail(r, &key_ev->start_mark, -EINVAL, "the key has a NUL byte", "");
	if (json_object_get(map, key))
		return fail(r, &key_ev->start_mark, -EINVAL, "the key is there twice: ", key);
	rc = event_next(r, &ev);
	if (rc < 0)
		return rc;
	rc = node_read(r, &ev, &j);
	yaml_event_delete(&ev);
	if (rc < 0)
		return rc;
	if (strcmp(key, "<<") == 0 && key_ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return json_array_append_new(merges, j);
	if (json_object_set_new(map, key, j) < 0)
		return fail(r, &key_ev->start_mark, -EINVAL, "the key is not UTF-8", "");
	return 0;
}

static int map_read(struct reader *r, json_t *map)
{
	json_t *merges = json_array(), *m;
	yaml_event_t ev;
	size_t i;
	int rc;

	for (;;) {
		bool end;

		rc = event_next(r, &ev);
		if (rc < 0)
			goto out;
		end = ev.type == YAML_MAPPING_END_EVENT;
		rc = end ? 0 : pair_read(r, &ev, map, merges);
		yaml_event_delete(&ev);
		if (rc < 0)
			goto out;
		if (end)
			break;
	}
	json_array_foreach(merges, i, m)
	{
		if (merge(map, m) < 0) {
			rc = fail(r, &r->parser.mark, -EINVAL,
				  "\"<<\" needs a map or a list of maps", "");
			break;
		}
	}
out:
	json_decref(merges);
	return rc;
}

static const char *event_anchor(const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_SCALAR_EVENT: return (const char *)ev->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT: return (const char *)ev->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT: return (const char *)ev->data.mapping_start.anchor;
	default: return NULL;
	}
}

/* A list or map; its start is @ev. */
static int nest_read(struct reader *r, const yaml_event_t *ev, json_t **ret_j)
{
	bool is_map = ev->type == YAML_MAPPING_START_EVENT;
	json_t *j;
	int rc;

	if (r->depth >= YAML_DEPTH_MAX)
		return fail(r, &ev->start_mark, -E2BIG, "nested too deep", "");
	r->depth++;
	j = is_map ? json_object() : json_array();
	rc = is_map ? map_read(r, j) : list_read(r, j);
	r->depth--;
	if (rc < 0)
		json_decref(j);
	else
		*ret_j = j;
	return rc;
}

static int node_read(struct reader *r, yaml_event_t *ev, json_t **ret_j)
{
	const char *anchor = event_anchor(ev);
	size_t i = 0, before = r->nodes;
	int rc;

	if (ev->type == YAML_ALIAS_EVENT)
		return alias_read(r, ev, ret_j);
	rc = node_count(r, &ev->start_mark, 1);
	if (rc == 0 && anchor)
		rc = anchor_add(r, ev, anchor, &i);
	if (rc < 0)
		return rc;
	rc = ev->type == YAML_SCALAR_EVENT ? scalar_read(r, ev, ret_j) : nest_read(r, ev, ret_j);
	if (rc == 0 && anchor) {
		r->anchors[i].value = json_incref(*ret_j);
		r->anchors[i].nodes = r->nodes - before;
	}
	return rc;
}

/* ---- documents and files ----------------------------------------------------------------------
 */

static int document_read(struct reader *r, json_t **ret_j)
{
	json_t *j = NULL;
	int rc = 0;

	for (;;) {
		yaml_event_t ev;
		yaml_event_type_t type;

		rc = event_next(r, &ev);
		if (rc < 0)
			break;
		type = ev.type;
		if (type == YAML_DOCUMENT_START_EVENT && j)
			rc = fail(r, &ev.start_mark, -EINVAL, "more than one document in a file",
				  "");
		else if (event_anchor(&ev) || type == YAML_SCALAR_EVENT ||
			 type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT ||
			 type == YAML_ALIAS_EVENT)
			rc = node_read(r, &ev, &j);
		yaml_event_delete(&ev);
		if (rc < 0 || type == YAML_STREAM_END_EVENT)
			break;
	}
	if (rc < 0) {
		json_decref(j);
		return rc;
	}
	*ret_j = j ? j : json_object();
	return 0;
}

int yaml_parse(struct slice text, const char *name, enum yaml_typing typing, json_t **ret_j,
	       struct err *e)
{
	struct reader r = { .name = name, .typing = typing, .err = e };
	int rc;

	if (text.len > YAML_FILE_MAX)
		return err_set(e, -E2BIG, "%s: over %d bytes", name, YAML_FILE_MAX);
	must(yaml_parser_initialize(&r.parser));
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.ptr, text.len);
	rc = document_read(&r, ret_j);
	yaml_parser_delete(&r.parser);
	for (size_t i = 0; i < r.n_anchors; i++) {
		json_decref(r.anchors[i].value);
		free(r.anchors[i].name);
	}
	free(r.anchors);
	return rc;
}

static int json_parse(struct slice text, const char *name, json_t **ret_j, struct err *e)
{
	json_error_t je;
	json_t *j = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &je);

	if (!j)
		return err_set(e, -EINVAL, "%s:%d:%d: %s", name, je.line, je.column, je.text);
	*ret_j = j;
	return 0;
}

int yaml_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
	size_t len = 0, cap = 65536;
	char *text = NULL;
	struct stat st;

	if (fd < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
		rc = err_set(e, -EISDIR, "%s: not a file", path);
		goto out;
	}
	text = xmalloc(cap);
	for (;;) {
		ssize_t n = read(fd, text + len, cap - len);

		if (n < 0) {
			rc = err_set(e, -errno, "%s: %s", path, strerror(errno));
			goto out;
		}
		len += (size_t)n;
		if (n == 0)
			break;
		if (len > max) {
			rc = err_set(e, -E2BIG, "%s: over %zu bytes", path, max);
			goto out;
		}
		if (len == cap)
			text = xrealloc(text, cap *= 2);
	}
	*ret_text = text;
	*ret_len = len;
	text = NULL;
out:
	free(text);
	close(fd);
	return rc;
}

int yaml_load(const char *path, enum yaml_typing typing, json_t **ret_j, struct err *e)
{
	struct slice text;
	char *p = NULL;
	int rc = yaml_file_read(path, YAML_FILE_MAX, &p, &text.len, e);

	if (rc < 0)
		return rc;
	text.ptr = p;
	if (slice_has_suffix(slice_str(path), SLICE(".json")))
		rc = json_parse(text, path, ret_j, e);
	else
		rc = yaml_parse(text, path, typing, ret_j, e);
	free(p);
	return rc;
}
