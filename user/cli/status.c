/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl status: is each pod configured as the control plane wants it? */
#include <getopt.h>
#include <time.h>

#include "cli/cli_impl.h"

static const char *const types[] = { "CDS", "EDS", "LDS", "RDS" };

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long number_of(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static bool is_set(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* "850 ms", "12 s", "3 min", "5 h", "2 days". */
static void span_text(double seconds, char *text, size_t n)
{
	if (seconds < 0)
		seconds = 0;
	if (seconds < 1)
		snprintf(text, n, "%.0f ms", seconds * 1000);
	else if (seconds < 120)
		snprintf(text, n, "%.0f s", seconds);
	else if (seconds < 7200)
		snprintf(text, n, "%.0f min", seconds / 60);
	else if (seconds < 172800)
		snprintf(text, n, "%.0f h", seconds / 3600);
	else
		snprintf(text, n, "%.0f days", seconds / 86400);
}

/* ---- skiffd itself --------------------------------------------------------------------------- */

static void print_self(struct cli *c, const json_t *answer)
{
	long long files = number_of(answer, "pods_from_files");
	char up[32], age[32];

	span_text(json_number_value(json_object_get(answer, "uptime_seconds")), up, sizeof(up));
	span_text(json_number_value(json_object_get(answer, "version_seconds")), age, sizeof(age));
	fputs("skiffd         ", c->env->out);
	cli_paint(c, CLI_BOLD, 0, text_of(answer, "skiffd"));
	fprintf(c->env->out, "  up %s, configuration %lld in force for %s", up,
		number_of(answer, "version"), age);
	if (files)
		fprintf(c->env->out, ", %lld %s from files", files, files == 1 ? "pod" : "pods");
	fputc('\n', c->env->out);
	if (!*text_of(answer, "error"))
		return;
	fputs("               ", c->env->out);
	cli_paint(c, CLI_RED, 0, "the last reload was refused:");
	fprintf(c->env->out, " %s\n", text_of(answer, "error"));
}

/* ---- the control plane ----------------------------------------------------------------------- */

static void print_server(struct cli *c, const json_t *x)
{
	bool up = is_set(x, "connected");
	char since[32];

	span_text(json_number_value(json_object_get(x, "since_seconds")), since, sizeof(since));
	fputs("control plane  ", c->env->out);
	cli_paint(c, CLI_BOLD, 0, text_of(x, "server"));
	fputs("  ", c->env->out);
	cli_paint(c, up ? CLI_GREEN : CLI_RED, 0, up ? "connected" : "not connected");
	fprintf(c->env->out, " for %s", since);
	if (!up && *text_of(x, "error"))
		fprintf(c->env->out, ": %s", text_of(x, "error"));
	fputc('\n', c->env->out);
}

/* ---- pods ------------------------------------------------------------------------------------ */

/* Published, and what waits or is missing: "15", "9 +1 warming". */
static void add_type(struct cli_table *t, const json_t *node, const char *name)
{
	const json_t *type = json_object_get(json_object_get(node, "types"), name);
	long long warming = number_of(type, "warming"), missing = number_of(type, "missing");
	char text[64];
	int n;

	if (!type) {
		cli_table_add(t, NULL);
		return;
	}
	n = snprintf(text, sizeof(text), "%lld", number_of(type, "published"));
	if (warming)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " +%lld warming", warming);
	if (missing)
		snprintf(text + n, sizeof(text) - (size_t)n, " -%lld missing", missing);
	cli_table_add(t, text);
}

/* Entries of the lists @key of all types. */
static size_t count_of(const json_t *node, const char *key)
{
	const char *name;
	json_t *type;
	size_t n = 0;

	json_object_foreach(json_object_get(node, "types"), name, type)
		n += json_array_size(json_object_get(type, key));
	return n;
}

static const char *state_of(const json_t *node)
{
	if (strcmp(text_of(node, "connections"), "closed") == 0)
		return "refusing";
	if (is_set(node, "stale"))
		return "from disk";
	if (!is_set(node, "complete"))
		return "waiting";
	if (!is_set(node, "connected"))
		return "disconnected";
	if (count_of(node, "rejected"))
		return "rejected";
	return is_set(node, "in_sync") ? "in sync" : "updating";
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

/* The newest push of any type: its version, how long ago; the longest way of any type to effect. */
static void add_push(struct cli_table *t, const json_t *node)
{
	const char *name, *version = "";
	double last = 0, latency = 0;
	char text[32];
	json_t *type;

	json_object_foreach(json_object_get(node, "types"), name, type) {
		double at = json_number_value(json_object_get(type, "last_push"));
		double took = json_number_value(json_object_get(type, "latency_ms"));

		if (at > last) {
			last = at;
			version = text_of(type, "version");
		}
		if (took > latency)
			latency = took;
	}
	cli_table_add(t, *version ? version : NULL);
	if (last > 0)
		span_text((now_ms() - last) / 1000, text, sizeof(text));
	cli_table_add(t, last > 0 ? text : NULL);
	snprintf(text, sizeof(text), "%.1f ms", latency);
	cli_table_add(t, last > 0 ? text : NULL);
}

static void add_count(struct cli_table *t, size_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", n);
	cli_table_add(t, text);
}

static void print_nodes(struct cli *c, const json_t *nodes)
{
	static const char *const heading[] = { "POD",	  "STATE", "CDS",     "EDS",
					       "LDS",	  "RDS",   "VERSION", "AGE",
					       "LATENCY", "REJECTED", "NO EFFECT" };
	struct cli_table t = { .columns = ARRAY_LEN(heading) };
	size_t i;
	json_t *node;

	for (i = 0; i < ARRAY_LEN(heading); i++)
		cli_table_add(&t, heading[i]);
	json_array_foreach(nodes, i, node) {
		cli_table_add(&t, text_of(node, "pod"));
		cli_table_add(&t, state_of(node));
		for (size_t k = 0; k < ARRAY_LEN(types); k++)
			add_type(&t, node, types[k]);
		add_push(&t, node);
		add_count(&t, count_of(node, "rejected"));
		add_count(&t, count_of(node, "no_effect"));
	}
	cli_table_print(c, &t);
	cli_table_done(&t);
}

/* ---- what is wrong with them ----------------------------------------------------------------- */

/* The list @key of each type; @place: NULL or the key of what stands behind the name. */
static void print_list(struct cli *c, const json_t *node, const char *key, const char *title,
		       const char *place, const char *reason)
{
	const char *name;
	json_t *type, *r;
	size_t i;

	json_object_foreach(json_object_get(node, "types"), name, type) {
		json_array_foreach(json_object_get(type, key), i, r) {
			fprintf(c->env->out, "  ");
			cli_paint(c, place ? CLI_YELLOW : CLI_RED, 0, title);
			fprintf(c->env->out, " %s %s: ", name, text_of(r, "name"));
			if (place)
				fprintf(c->env->out, "%s: ", text_of(r, place));
			fprintf(c->env->out, "%s\n", text_of(r, reason));
		}
	}
}

/* Ports that are asked for and not open. */
static size_t closed_ports(const json_t *node)
{
	size_t i, n = 0;
	json_t *p;

	json_array_foreach(json_object_get(node, "ports"), i, p)
		n += *text_of(p, "error") != '\0';
	return n;
}

static void print_ports(struct cli *c, const json_t *node)
{
	size_t i;
	json_t *p;

	json_array_foreach(json_object_get(node, "ports"), i, p) {
		if (!*text_of(p, "error"))
			continue;
		fputs("  ", c->env->out);
		cli_paint(c, CLI_RED, 0, "not open");
		fprintf(c->env->out, " %s of listener %s: %s\n", text_of(p, "address"),
			text_of(p, "listener"), text_of(p, "error"));
	}
}

static void print_trouble(struct cli *c, const json_t *node, bool fields)
{
	bool stale = is_set(node, "stale");

	if (!count_of(node, "rejected") && !*text_of(node, "error") && !stale &&
	    !closed_ports(node) && !(fields && count_of(node, "no_effect")))
		return;
	fputc('\n', c->env->out);
	cli_paint(c, CLI_BOLD, 0, text_of(node, "pod"));
	fputc('\n', c->env->out);
	if (stale)
		fprintf(c->env->out, "  serves the last good configuration from disk, %lld s old\n",
			number_of(node, "age_seconds"));
	if (*text_of(node, "error"))
		fprintf(c->env->out, "  %s\n", text_of(node, "error"));
	print_list(c, node, "rejected", "rejected", NULL, "reason");
	print_ports(c, node);
	if (fields)
		print_list(c, node, "no_effect", "without effect", "path", "text");
}

static void print_troubles(struct cli *c, const json_t *nodes, bool fields)
{
	size_t i;
	json_t *node;

	json_array_foreach(nodes, i, node)
		print_trouble(c, node, fields);
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int print_status(struct cli *c, const json_t *answer, bool fields)
{
	const json_t *nodes = json_object_get(answer, "nodes");
	const json_t *x = json_object_get(answer, "xds");

	print_self(c, answer);
	if (!json_is_object(x)) {
		fputs("no control plane: skiffd's file has no `xds` section\n", c->env->out);
		return CLI_OK;
	}
	print_server(c, x);
	if (json_array_size(nodes)) {
		print_nodes(c, nodes);
		print_troubles(c, nodes, fields);
	} else {
		fputs("no pod asks it: skiffctl pod add takes a network namespace into the mesh\n",
		      c->env->out);
	}
	return CLI_OK;
}

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "fields", no_argument, NULL, 'f' },
						 { 0 } };
	bool as_json = false, fields = false;
	json_t *answer;
	int o, status;

	while ((o = cli_option(c, &cli_status, argc, argv, options)) != -1) {
		if (o == '?')
			return CLI_USAGE;
		as_json |= o == 'j';
		fields |= o == 'f';
	}
	if (cli_no_words(c, &cli_status, argc, argv))
		return CLI_USAGE;
	if (as_json)
		return cli_print_answer(c, "GET", SKIFF_PATH_STATUS);
	answer = cli_ask_json(c, "GET", SKIFF_PATH_STATUS, SLICE_NONE);
	if (!answer)
		return CLI_FAILED;
	status = print_status(c, answer, fields);
	json_decref(answer);
	return status;
}

static const char help[] =
	"Says whether the control plane is reached and whether each pod has what it was sent.\n"
	"\n"
	"  --fields  also every field of a resource that this version does not act on\n"
	"  --json    skiffd's answer as it is\n"
	"\n"
	"Columns:\n"
	"  STATE     in sync; updating: something it was sent waits for something else; waiting:\n"
	"            the first configuration is not complete, connections are held; rejected: a\n"
	"            resource was refused, its last good version serves; disconnected: what was\n"
	"            sent last serves; from disk: the last good configuration of an earlier run;\n"
	"            refusing: no configuration came in time, and the pod fails closed\n"
	"  CDS, EDS, LDS, RDS  clusters, endpoints, listeners, route tables in force\n"
	"  VERSION   of the newest push that was accepted, as the control plane calls it\n"
	"  AGE       how long ago the newest push came\n"
	"  LATENCY   from the last push of a type to its effect, the longest of all types\n"
	"  NO EFFECT fields that this version does not act on: --fields lists them\n"
	"\n"
	"Below the table: every rejected resource, by type and name, with the reason that the\n"
	"control plane was told, and ports of pods that could not be opened.\n";

const struct cli_verb cli_status = {
	.name = "status",
	.run = run,
	.summary = "is every pod configured as the control plane wants it?",
	.usage = "[--fields] [--json]",
	.help = help,
};
