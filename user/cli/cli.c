/* SPDX-License-Identifier: Apache-2.0 */
/* The table of verbs, the words before a verb, and the help pages. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>

#include "cli/cli_impl.h"

static const struct cli_verb *const verbs[] = {
	&cli_status,	    &cli_pod_list,    &cli_pod_add,	  &cli_pod_remove, &cli_stats,
	&cli_route_explain, &cli_policy_show, &cli_config_dump, &cli_config_diff,
	&cli_bpf_show,	    &cli_bpf_unload,  &cli_reload,	  &cli_drain,	   &cli_log,
	&cli_doctor,	    &cli_version,
};

static const char about[] =
	"usage: skiffctl [--socket PATH] VERB [WORDS] [OPTIONS]\n"
	"\n"
	"Looks at and steers the skiffd of this node over its control socket.\n";

static const char about_end[] =
	"\n"
	"  --socket PATH  skiffd's control socket (default: $SKIFF_SOCKET, else\n"
	"                 " SKIFF_CONTROL_SOCKET ")\n"
	"  --help         this text; after a verb: the verb's page\n"
	"  --version      the version of skiffctl\n"
	"\n"
	"Colours are used on a terminal unless NO_COLOR is set.\n"
	"Exit status: 0 done, 1 it failed and said why, 2 the command was not understood.\n";

static void say(const struct cli *c, const char *fmt, va_list ap)
{
	char *raw = NULL, *text;

	if (vasprintf(&raw, fmt, ap) < 0)
		return;
	text = cli_text(slice_str(raw), "");
	fputs(text, c->env->err);
	free(text);
	free(raw);
}

int cli_fail(const struct cli *c, int status, const char *fmt, ...)
{
	va_list ap;

	fputs("skiffctl: ", c->env->err);
	va_start(ap, fmt);
	say(c, fmt, ap);
	va_end(ap);
	fputc('\n', c->env->err);
	return status;
}

int cli_misused(const struct cli *c, const struct cli_verb *v, const char *fmt, ...)
{
	va_list ap;

	fprintf(c->env->err, "skiffctl %s: ", v->name);
	va_start(ap, fmt);
	say(c, fmt, ap);
	va_end(ap);
	fprintf(c->env->err, "; see skiffctl %s --help\n", v->name);
	return CLI_USAGE;
}

int cli_option(const struct cli *c, const struct cli_verb *v, int argc, char **argv,
	       const struct option *options)
{
	/* ':' first: tell a missing value from an unknown option, print nothing. */
	int o = getopt_long(argc, argv, ":", options, NULL);

	if (o == ':')
		cli_misused(c, v, "%s needs a value", argv[optind - 1]);
	else if (o == '?')
		cli_misused(c, v, "no option %s", argv[optind - 1]);
	return o == ':' ? '?' : o;
}

int cli_no_words(const struct cli *c, const struct cli_verb *v, int argc, char **argv)
{
	if (optind < argc)
		return cli_misused(c, v, "'%s' is one word too many", argv[optind]);
	return CLI_OK;
}

static int help_list(const struct cli *c, const char *prefix)
{
	size_t len = strlen(prefix);

	fputs(about, c->env->out);
	fputc('\n', c->env->out);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strncmp(verbs[i]->name, prefix, len) != 0)
			continue;
		fputs("  ", c->env->out);
		cli_paint(c, CLI_BOLD, 13, verbs[i]->name);
		fprintf(c->env->out, "  %s\n", verbs[i]->summary);
	}
	fputs(about_end, c->env->out);
	return CLI_OK;
}

static int help_page(const struct cli *c, const struct cli_verb *v)
{
	fprintf(c->env->out, "usage: skiffctl %s%s%s\n\n%s", v->name, *v->usage ? " " : "",
		v->usage, v->help);
	return CLI_OK;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* The verb that the first one or two words name; @ret_words says how many. */
static const struct cli_verb *verb_find(int argc, char **argv, int *ret_words)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		const char *name = verbs[i]->name;
		const char *blank = strchr(name, ' ');
		size_t first = blank ? (size_t)(blank - name) : strlen(name);

		if (strlen(argv[0]) != first || memcmp(argv[0], name, first) != 0)
			continue;
		if (blank && (argc < 2 || strcmp(argv[1], blank + 1) != 0))
			continue;
		*ret_words = blank ? 2 : 1;
		return verbs[i];
	}
	return NULL;
}

/* "pod" alone, "pod --help", "help", or something that does not exist. */
static int no_verb(const struct cli *c, int argc, char **argv)
{
	bool asked = strcmp(argv[0], "help") == 0 || (argc > 1 && is_help(argv[1]));
	const char *prefix = strcmp(argv[0], "help") == 0 ? "" : argv[0];
	size_t len = strlen(prefix);

	for (size_t i = 0; asked && i < ARRAY_LEN(verbs); i++)
		if (strncmp(verbs[i]->name, prefix, len) == 0)
			return help_list(c, prefix);
	return cli_fail(c, CLI_USAGE, "there is no verb '%s%s%s'; skiffctl --help lists them",
			argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
}

static int run_verb(struct cli *c, int argc, char **argv)
{
	const struct cli_verb *v;
	int words = 1;

	v = verb_find(argc, argv, &words);
	if (!v)
		return no_verb(c, argc, argv);
	for (int i = words; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (is_help(argv[i]))
			return help_page(c, v);
	optind = 0; /* start anew, also for a second run in one process */
	return v->run(c, argc - words + 1, argv + words - 1);
}

int cli_main(const struct cli_env *env, int argc, char **argv)
{
	const char *from_env = getenv("SKIFF_SOCKET");
	struct cli c = { .env = env, .socket = from_env ? from_env : SKIFF_CONTROL_SOCKET };
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (is_help(argv[i]))
			return help_list(&c, "");
		if (strcmp(argv[i], "--version") == 0)
			return fprintf(env->out, "skiffctl %s\n", env->version) < 0;
		if (strncmp(argv[i], "--socket=", 9) == 0)
			c.socket = argv[i] + 9;
		else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc)
			c.socket = argv[++i];
		else
			return cli_fail(&c, CLI_USAGE, "%s is not understood; see skiffctl --help",
					argv[i]);
	}
	if (i == argc) {
		help_list(&c, "");
		return CLI_USAGE;
	}
	return run_verb(&c, argc - i, argv + i);
}
