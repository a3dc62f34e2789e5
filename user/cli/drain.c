/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl drain */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "inbound", no_argument, NULL, 'i' }, { 0 } };
	const char *target = SKIFF_PATH_DRAIN;
	int o;

	while ((o = cli_option(c, &cli_drain, argc, argv, options)) != -1) {
		if (o == '?')
			return CLI_USAGE;
		target = SKIFF_PATH_DRAIN "?inboundonly";
	}
	if (cli_no_words(c, &cli_drain, argc, argv))
		return CLI_USAGE;
	return cli_print_answer(c, "POST", target);
}

static const char help[] =
	"Has skiffd take no new connections, before an upgrade or a shutdown; answers on the\n"
	"open ones say `connection: close`, and what is under way ends. New connections of the\n"
	"pods are plain or refused then, as each pod's fail mode says.\n"
	"\n"
	"  --inbound  only the inbound listeners\n";

const struct cli_verb cli_drain = {
	.name = "drain",
	.run = run,
	.summary = "stop taking new connections, let the open ones end",
	.usage = "[--inbound]",
	.help = help,
};
