/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl config diff: what one pod has and another has not, or what changed since a dump. */
#include <getopt.h>

#include "cli/cli_impl.h"

#define DEPTH_MAX 100 /* messages within messages */

struct diff {
	struct cli *c;
	const char *resource; /* in which we are; printed before its first difference */
	bool said;
	size_t found;
};

/* ---- dumps ----------------------------------------------------------------------------------- */

/* A dump that was saved, or the one of the pod @what now. NULL: said why. */
static json_t *dump_of(struct cli *c, const char *what)
{
	struct buf target = { 0 };
	json_error_t why;
	json_t *j;

	if (strcmp(what, "-") == 0 || strchr(what, '.')) {
		j = strcmp(what, "-") ? json_load_file(what, 0, &why) : json_loadf(stdin, 0, &why);
		if (!j)
			cli_fail(c, CLI_FAILED, "%s: %s (line %d)", what, why.text, why.line);
		return j;
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

	json_array_foreach(json_object_get(dump, "configs"), i, config)
		json_object_foreach(config, key, list)
			json_array_foreach(list, k, o)
				take(out, o);
	return out;
}

/* ---- differences ----------------------------------------------------------------------------- */

static void say(struct diff *d, const char *mark, const char *path, const json_t *v)
{
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!d->said)
		fprintf(d->c->env->out, "%s\n", d->resource);
	d->said = true;
	d->found++;
	fputs("  ", d->c->env->out);
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

static void compare_arrays(struct diff *d, const char *path, const json_t *a, const json_t *b,
			   int depth)
{
	size_t n = json_array_size(a) > json_array_size(b) ? json_array_size(a) :
							     json_array_size(b);

	for (size_t i = 0; i < n; i++) {
		char key[32];

		snprintf(key, sizeof(key), "[%zu]", i);
		compare_member(d, path, key, json_array_get(a, i), json_array_get(b, i), depth);
	}
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
	"  A, B  a pod (NAMESPACE/NAME, or NAME), or a file with a dump: a name with a dot, or -\n"
	"        for standard input\n"
	"\n"
	"Lines with - are of A, with + of B. Exit status 0: nothing differs, 1: something does.\n"
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
