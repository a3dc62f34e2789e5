/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl reload */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	struct buf answer = { 0 };

	if (cli_option(c, &cli_reload, argc, argv, options) != -1 ||
	    cli_no_words(c, &cli_reload, argc, argv))
		return CLI_USAGE;
	if (cli_ask(c, "POST", SKIFF_PATH_RELOAD, SLICE_NONE, &answer))
		return CLI_FAILED;
	buf_done(&answer);
	fputs("the configuration was read again and is in force\n", c->env->out);
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
