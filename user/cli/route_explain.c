/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl route explain: what would become of a request. */
#include <ctype.h>
#include <getopt.h>

#include "cli/cli_impl.h"

#define LABEL 15 /* columns of "virtual host" and blanks */

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long number_of(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static void label(struct cli *c, const char *name)
{
	cli_paint(c, CLI_BOLD, LABEL, name);
}

static void line(struct cli *c, const char *name, const char *value)
{
	if (!*value)
		return;
	label(c, name);
	fprintf(c->env->out, "%s\n", value);
}

/* ---- parts of the answer --------------------------------------------------------------------- */

static void print_connection(struct cli *c, const json_t *a)
{
	const json_t *l = json_object_get(a, "listener"), *f = json_object_get(a, "filter_chain");
	size_t i;
	json_t *name;

	line(c, "destination", text_of(a, "destination"));
	if (!l)
		return;
	label(c, "listener");
	fprintf(c->env->out, "%s at %s: %s\n", text_of(l, "name"), text_of(l, "address"),
		text_of(l, "why"));
	if (!f)
		return;
	label(c, "filter chain");
	if (json_is_true(json_object_get(f, "is_default")))
		fprintf(c->env->out, "the default one");
	else
		fprintf(c->env->out, "#%lld", number_of(f, "number"));
	fprintf(c->env->out, "%s%s:", *text_of(f, "name") ? " " : "", text_of(f, "name"));
	json_array_foreach(json_object_get(f, "network_filters"), i, name)
		fprintf(c->env->out, " %s", json_string_value(name));
	fputc('\n', c->env->out);
}

static void print_match(struct cli *c, const json_t *match)
{
	const char *key;
	json_t *v;
	bool first = true;

	json_object_foreach((json_t *)match, key, v)
	{
		fputs(first ? ": " : ", ", c->env->out);
		first = false;
		if (json_is_string(v))
			fprintf(c->env->out, "%s %s", key, json_string_value(v));
		else
			fprintf(c->env->out, "%s %lld", key, (long long)json_integer_value(v));
	}
}

static void print_route(struct cli *c, const json_t *h)
{
	size_t i;
	json_t *f;

	line(c, "route table", text_of(h, "table"));
	line(c, "virtual host", text_of(h, "virtual_host"));
	if (json_object_get(h, "number")) {
		label(c, "route");
		fprintf(c->env->out, "#%lld of %lld %s", number_of(h, "number"), number_of(h, "of"),
			text_of(h, "route"));
		print_match(c, json_object_get(h, "match"));
		if (json_object_get(h, "timeout_ms"))
			fprintf(c->env->out, "; time-out %lld ms", number_of(h, "timeout_ms"));
		if (json_object_get(h, "retries"))
			fprintf(c->env->out, "; %lld retries", number_of(h, "retries"));
		fputc('\n', c->env->out);
	}
	label(c, "filters");
	json_array_foreach(json_object_get(h, "filters"), i, f)
	{
		fprintf(c->env->out, "%s%s", i ? ", " : "", text_of(f, "name"));
		if (*text_of(f, "override"))
			fprintf(c->env->out, " (%s)", text_of(f, "override"));
	}
	fputc('\n', c->env->out);
}

static void print_clusters(struct cli *c, const json_t *o)
{
	size_t i, k;
	json_t *cluster, *e;

	json_array_foreach(json_object_get(o, "clusters"), i, cluster)
	{
		label(c, i ? "" : "cluster");
		fprintf(c->env->out, "%s", text_of(cluster, "name"));
		if (json_object_get(cluster, "weight"))
			fprintf(c->env->out, ", weight %lld", number_of(cluster, "weight"));
		if (json_is_true(json_object_get(cluster, "missing"))) {
			cli_paint(c, CLI_RED, 0, ", which is not there: 503\n");
			continue;
		}
		fprintf(c->env->out, " (%s)\n", text_of(cluster, "type"));
		json_array_foreach(json_object_get(cluster, "endpoints"), k, e)
			fprintf(c->env->out, "%*s%s %s weight %lld, priority %lld, %s\n", LABEL + 2,
				"", text_of(e, "address"), text_of(e, "name"),
				number_of(e, "weight"), number_of(e, "priority"),
				text_of(e, "health"));
		if (json_is_array(json_object_get(cluster, "endpoints")) && !k)
			fprintf(c->env->out, "%*sno endpoints: 503\n", LABEL + 2, "");
	}
}

static void print(struct cli *c, const json_t *a)
{
	const json_t *http = json_object_get(a, "http"), *tcp = json_object_get(a, "tcp");

	line(c, "pod", text_of(a, "pod"));
	print_connection(c, a);
	if (http) {
		print_route(c, http);
		print_clusters(c, http);
	}
	if (tcp)
		print_clusters(c, tcp);
	line(c, "outcome", text_of(a, "outcome"));
}

/* ---- the verb -------------------------------------------------------------------------------- */

/* "Name: value" into @headers. */
static bool add_header(json_t *headers, const char *text)
{
	const char *colon = strchr(text, ':');
	char name[256];
	size_t n;

	if (!colon || colon == text || (size_t)(colon - text) >= sizeof(name))
		return false;
	for (n = 0; text + n < colon; n++)
		name[n] = (char)tolower((unsigned char)text[n]);
	name[n] = '\0';
	for (colon++; *colon == ' '; colon++)
		;
	return json_object_set_new(headers, name, json_string(colon)) == 0;
}

/* The options into @target and @headers; false: said what is wrong. */
static bool options(struct cli *c, int argc, char **argv, struct buf *target, json_t *headers,
		    bool *ret_json)
{
	static const struct option known[] = { { "to", required_argument, NULL, 't' },
					       { "from", required_argument, NULL, 'f' },
					       { "header", required_argument, NULL, 'H' },
					       { "inbound", no_argument, NULL, 'i' },
					       { "json", no_argument, NULL, 'j' },
					       { 0 } };
	int o;

	while ((o = cli_option(c, &cli_route_explain, argc, argv, known)) != -1) {
		switch (o) {
		case 't': cli_add_query(target, "to", optarg); break;
		case 'f': cli_add_query(target, "from", optarg); break;
		case 'H':
			if (add_header(headers, optarg))
				break;
			cli_misused(c, &cli_route_explain, "--header '%s' is not NAME:VALUE",
				    optarg);
			return false;
		case 'i': cli_add_query(target, "inbound", "1"); break;
		case 'j': *ret_json = true; break;
		default: return false;
		}
	}
	return true;
}

static int ask(struct cli *c, const char *target, bool as_json)
{
	json_t *answer;

	if (as_json)
		return cli_print_answer(c, "GET", target);
	answer = cli_ask_json(c, "GET", target, SLICE_NONE);
	if (!answer)
		return CLI_FAILED;
	print(c, answer);
	json_decref(answer);
	return CLI_OK;
}

static int run(struct cli *c, int argc, char **argv)
{
	json_t *headers = json_object();
	struct buf target = { 0 };
	bool as_json = false;
	int status = CLI_USAGE;
	char *text;

	buf_add_slice(&target, slice_str(SKIFF_PATH_EXPLAIN));
	if (!options(c, argc, argv, &target, headers, &as_json))
		goto out;
	if (argc - optind != 3) {
		status = cli_misused(c, &cli_route_explain, "POD METHOD URL are needed");
		goto out;
	}
	cli_add_query(&target, "pod", argv[optind]);
	cli_add_query(&target, "method", argv[optind + 1]);
	cli_add_query(&target, "url", argv[optind + 2]);
	text = json_dumps(headers, JSON_COMPACT);
	cli_add_query(&target, "headers", text);
	free(text);
	buf_add_char(&target, '\0');
	status = ask(c, buf_ptr(&target), as_json);
out:
	buf_done(&target);
	json_decref(headers);
	return status;
}

static const char help[] =
	"Says what would become of a request of a pod, with the configuration in force: which\n"
	"listener, filter chain, virtual host, route, filters, cluster and endpoints, and why.\n"
	"Nothing is sent.\n"
	"\n"
	"  POD       NAMESPACE/NAME, or NAME\n"
	"  URL       http://HOST[:PORT]/PATH; HOST is also the Host header\n"
	"  --to ADDRESS[:PORT]    where the application connects to; without it the URL's host if\n"
	"                         that is an address, else any address and its port\n"
	"  --from ADDRESS[:PORT]  where it comes from, for policies that look at that\n"
	"  --header NAME:VALUE    may be there several times\n"
	"  --inbound              a request to the pod instead of one from it\n"
	"  --json                 skiffd's answer as it is\n"
	"\n"
	"Weights and fractions are told, not drawn.\n"
	"\n"
	"Example:\n"
	"  skiffctl route explain default/web GET http://reviews:9080/1 --header end-user:jason\n";

const struct cli_verb cli_route_explain = {
	.name = "route explain",
	.run = run,
	.summary = "what would become of a request, and why",
	.usage = "POD METHOD URL [--to ADDR] [--from ADDR] [--header NAME:VALUE]... [--inbound] "
		 "[--json]",
	.help = help,
};
