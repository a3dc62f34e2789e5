/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl config diff: what one pod has and another has not, or what changed since a dump. */
#include <getopt.h>
#include <limits.h>
#include <sys/stat.h>

#include "cli/cli_impl.h"

#define DEPTH_MAX 100 /* messages within messages */

struct diff {
	struct cli *c;
	const char *resource; /* in which we are; printed before its first difference */
	bool said;
	size_t found;
};

/* ---- dumps ----------------------------------------------------------------------------------- */

static bool is_file(const char *what)
{
	struct stat st;

	return strcmp(what, "-") == 0 || (stat(what, &st) == 0 && !S_ISDIR(st.st_mode)) ||
	       *what == '/' || *what == '.';
}

/* A dump that was saved, or the one of the pod @what now. NULL: said why. */
static json_t *dump_of(struct cli *c, const char *what)
{
	struct buf target = { 0 };
	json_error_t why;
	json_t *j;

	if (is_file(what)) {
		j = strcmp(what, "-") ? json_load_file(what, 0, &why) : json_loadf(stdin, 0, &why);
		if (!j)
			cli_fail(c, CLI_FAILED, "%s: %s (line %d)", what, why.text, why.line);
		return cli_json_clean(j);
	}
	buf_add_slice(&target, slice_str(SKIFF_PATH_CONFIG_DUMP));
	cli_add_query(&target, "pod", what);
	cli_add_query(&target, "include_eds", "1");
	buf_add_char(&target, '\0');
	j = cli_ask_json(c, "GET", buf_ptr(&target), SLICE_NONE);
	buf_done(&target);
	return j;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* Puts the resource in @o, whatever wraps it, into @out as "cluster NAME". */
static void take(json_t *out, const json_t *o)
{
	static const char *const members[] = { "cluster", "listener", "route_config",
					       "endpoint_config", "ecds_filter" };
	const json_t *state = json_object_get(o, "active_state");

	if (state)
		o = state;
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_t *r = json_object_get(o, members[i]);
		const char *name = *text_of(r, "name") ? text_of(r, "name") :
							 text_of(r, "cluster_name");
		char *key;

		if (!r)
			continue;
		key = xasprintf("%s %s", members[i], name);
		json_object_set(out, key, r);
		free(key);
	}
}

/* All resources of a dump by kind and name. */
static json_t *resources_of(const json_t *dump)
{
	json_t *out = json_object(), *config, *list, *o;
	const char *key;
	size_t i, k;

	json_array_foreach(json_object_get(dump, "configs"), i, config) {
		take(out, config); /* of --resource */
		json_object_foreach(config, key, list)
			/* Tables inside listeners are compared with them. */
			if (strcmp(key, "static_route_configs") != 0)
				json_array_foreach(list, k, o)
					take(out, o);
	}
	return out;
}

/* ---- differences ----------------------------------------------------------------------------- */

static void say_resource(struct diff *d)
{
	if (!d->said)
		fprintf(d->c->env->out, "%s\n", d->resource);
	d->said = true;
	d->found++;
	fputs("  ", d->c->env->out);
}

static void say_moved(struct diff *d, const char *path)
{
	say_resource(d);
	cli_paint(d->c, CLI_YELLOW, 0, "~");
	fprintf(d->c->env->out, " %s: the order is another\n", path);
}

static void say(struct diff *d, const char *mark, const char *path, const json_t *v)
{
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

	say_resource(d);
	cli_paint(d->c, *mark == '-' ? CLI_RED : CLI_GREEN, 0, mark);
	fprintf(d->c->env->out, " %s: %s\n", path, text ? text : "");
	free(text);
}

static void compare(struct diff *d, const char *path, const json_t *a, const json_t *b, int depth);

static void compare_member(struct diff *d, const char *path, const char *key, const json_t *a,
			   const json_t *b, int depth)
{
	char *full = xasprintf("%s%s%s", path, *path && *key != '[' ? "." : "", key);

	if (!b)
		say(d, "-", full, a);
	else if (!a)
		say(d, "+", full, b);
	else
		compare(d, full, a, b, depth + 1);
	free(full);
}

static void compare_objects(struct diff *d, const char *path, const json_t *a, const json_t *b,
			    int depth)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)a, key, v)
		compare_member(d, path, key, v, json_object_get(b, key), depth);
	json_object_foreach((json_t *)b, key, v)
		if (!json_object_get(a, key))
			compare_member(d, path, key, NULL, v, depth);
}

/* By what an element is found in the other list: its name, an endpoint's address; "": nothing. */
static void identity(const json_t *o, char *text, size_t n)
{
	const json_t *at = json_object_get(o, "endpoint");

	at = json_object_get(json_object_get(at, "address"), "socket_address");
	if (at)
		snprintf(text, n, "%s:%lld", text_of(at, "address"),
			 (long long)json_integer_value(json_object_get(at, "port_value")));
	else
		snprintf(text, n, "%s", text_of(o, "name"));
}

static bool is_alike(const json_t *a, const json_t *b)
{
	char x[NAME_MAX + 1], y[NAME_MAX + 1];

	identity(a, x, sizeof(x));
	identity(b, y, sizeof(y));
	return *x && strcmp(x, y) == 0;
}

/*
 * Which element of @b belongs to each of @a: the same one, else one that is called the same, else
 * (both have no name) the one at its place. Places + 1; 0: none.
 */
static void match_arrays(const json_t *a, const json_t *b, size_t *pair, bool *taken)
{
	size_t na = json_array_size(a), nb = json_array_size(b), first = 0;
	char x[NAME_MAX + 1], y[NAME_MAX + 1];

	for (; first < na && first < nb &&
	       json_equal(json_array_get(a, first), json_array_get(b, first));
	     first++) {
		pair[first] = first + 1;
		taken[first] = true;
	}
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = first; i < na; i++)
			for (size_t k = first; k < nb && !pair[i]; k++) {
				const json_t *v = json_array_get(a, i), *w = json_array_get(b, k);

				if (taken[k] || !(pass ? is_alike(v, w) : json_equal(v, w)))
					continue;
				pair[i] = k + 1;
				taken[k] = true;
			}
	for (size_t i = first; i < na && i < nb; i++) {
		identity(json_array_get(a, i), x, sizeof(x));
		identity(json_array_get(b, i), y, sizeof(y));
		if (pair[i] || taken[i] || *x || *y)
			continue;
		pair[i] = i + 1;
		taken[i] = true;
	}
}

static void compare_element(struct diff *d, const char *path, size_t i, const json_t *a,
			    const json_t *b, int depth)
{
	char name[NAME_MAX + 1], key[NAME_MAX + 4];

	identity(a ? a : b, name, sizeof(name));
	if (*name)
		snprintf(key, sizeof(key), "[%s]", name);
	else
		snprintf(key, sizeof(key), "[%zu]", i);
	compare_member(d, path, key, a, b, depth);
}

static void compare_arrays(struct diff *d, const char *path, const json_t *a, const json_t *b,
			   int depth)
{
	size_t na = json_array_size(a), nb = json_array_size(b), last = 0;
	size_t *pair = xcalloc(na + 1, sizeof(*pair));
	bool *taken = xcalloc(nb + 1, sizeof(*taken));
	bool moved = false;

	match_arrays(a, b, pair, taken);
	for (size_t i = 0; i < na; i++) {
		const json_t *other = pair[i] ? json_array_get(b, pair[i] - 1) : NULL;

		compare_element(d, path, i, json_array_get(a, i), other, depth);
		moved |= pair[i] && pair[i] < last;
		last = pair[i] ? pair[i] : last;
	}
	for (size_t k = 0; k < nb; k++)
		if (!taken[k])
			compare_element(d, path, k, NULL, json_array_get(b, k), depth);
	if (moved)
		say_moved(d, path);
	free(pair);
	free(taken);
}

static void compare(struct diff *d, const char *path, const json_t *a, const json_t *b, int depth)
{
	if (json_equal(a, b))
		return;
	if (depth < DEPTH_MAX && json_is_object(a) && json_is_object(b)) {
		compare_objects(d, path, a, b, depth);
	} else if (depth < DEPTH_MAX && json_is_array(a) && json_is_array(b)) {
		compare_arrays(d, path, a, b, depth);
	} else {
		say(d, "-", path, a);
		say(d, "+", path, b);
	}
}

static void only(struct diff *d, const char *mark, const char *name)
{
	cli_paint(d->c, *mark == '-' ? CLI_RED : CLI_GREEN, 0, mark);
	fprintf(d->c->env->out, " %s\n", name);
	d->found++;
}

static size_t print_diff(struct cli *c, const json_t *a, const json_t *b)
{
	json_t *x = resources_of(a), *y = resources_of(b), *v;
	struct diff d = { .c = c };
	const char *name;

	json_object_foreach(x, name, v) {
		const json_t *other = json_object_get(y, name);

		d.resource = name;
		d.said = false;
		if (!other)
			only(&d, "-", name);
		else
			compare(&d, "", v, other, 0);
	}
	json_object_foreach(y, name, v)
		if (!json_object_get(x, name))
			only(&d, "+", name);
	json_decref(x);
	json_decref(y);
	return d.found;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	json_t *a, *b = NULL;
	int status = CLI_FAILED;

	if (cli_option(c, &cli_config_diff, argc, argv, options) != -1)
		return CLI_USAGE;
	if (argc - optind != 2)
		return cli_misused(c, &cli_config_diff, "two pods or saved dumps are needed");
	a = dump_of(c, argv[optind]);
	if (a)
		b = dump_of(c, argv[optind + 1]);
	if (b)
		status = print_diff(c, a, b) ? CLI_FAILED : CLI_OK;
	json_decref(a);
	json_decref(b);
	return status;
}

static const char help[] =
	"Prints what differs between the configurations of two pods, or between one that was\n"
	"saved and the one in force: resources that only one has, and the fields that differ.\n"
	"\n"
	"  A, B  a pod (NAMESPACE/NAME, or NAME), or a file with a dump, or - for standard input\n"
	"\n"
	"Lines with - are of A, with + of B, with ~ of lists whose order is another: elements are\n"
	"compared by their names. A dump of an Envoy may be one of the two; it has fields that\n"
	"this version does not know. Exit status 0: nothing differs, 1: something does.\n"
	"\n"
	"Examples:\n"
	"  skiffctl config dump --pod default/web --include-eds > before.json\n"
	"  skiffctl config diff before.json default/web\n";

const struct cli_verb cli_config_diff = {
	.name = "config diff",
	.run = run,
	.summary = "what differs between two pods, or since a dump",
	.usage = "A B",
	.help = help,
};
