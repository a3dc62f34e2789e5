/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl version */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	const char *version, *state, *uptime;
	json_t *info;

	if (cli_option(c, &cli_version, argc, argv, options) != -1 ||
	    cli_no_words(c, &cli_version, argc, argv))
		return CLI_USAGE;
	fprintf(c->env->out, "skiffctl %s\n", c->env->version);
	if (!cli_is_running(c)) {
		fprintf(c->env->out, "skiffd does not run (nobody answers at %s)\n", c->socket);
		return CLI_OK;
	}
	info = cli_ask_json(c, "GET", SKIFF_PATH_SERVER_INFO, SLICE_NONE);
	if (!info)
		return CLI_FAILED;
	version = json_string_value(json_object_get(info, "version"));
	state = json_string_value(json_object_get(info, "state"));
	uptime = json_string_value(json_object_get(info, "uptime_current_epoch"));
	fprintf(c->env->out, "skiffd %s, %s, up %s\n", version ? version : "?", state ? state : "?",
		uptime ? uptime : "?");
	json_decref(info);
	return CLI_OK;
}

static const char help[] =
	"Prints the version of skiffctl and, when it runs, the version, state and uptime of\n"
	"skiffd.\n";

const struct cli_verb cli_version = {
	.name = "version",
	.run = run,
	.summary = "the versions of skiffctl and of the running skiffd",
	.usage = "",
	.help = help,
};
