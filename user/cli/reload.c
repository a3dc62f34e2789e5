/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl reload */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	json_t *answer;

	if (cli_option(c, &cli_reload, argc, argv, options) != -1 ||
	    cli_no_words(c, &cli_reload, argc, argv))
		return CLI_USAGE;
	answer = cli_ask_json(c, "POST", SKIFF_PATH_RELOAD, SLICE_NONE);
	if (!answer)
		return CLI_FAILED;
	fprintf(c->env->out, "configuration %lld is in force\n",
		(long long)json_integer_value(json_object_get(answer, "generation")));
	json_decref(answer);
	return CLI_OK;
}

static const char help[] =
	"Has skiffd read its configuration and resource files again, as SIGHUP does, and waits\n"
	"for the verdict. Requests under way end on the old configuration. When something is\n"
	"wrong nothing changes: the file, the path in it and the reason are printed and the exit\n"
	"status is 1.\n";

const struct cli_verb cli_reload = {
	.name = "reload",
	.run = run,
	.summary = "read the configuration files again",
	.usage = "",
	.help = help,
};
