/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl policy show */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	struct buf target = { 0 };
	int status;

	if (cli_option(c, &cli_policy_show, argc, argv, options) != -1)
		return CLI_USAGE;
	if (argc - optind != 1)
		return cli_misused(c, &cli_policy_show, "the name of one pod is needed");
	buf_add_slice(&target, slice_str(SKIFF_PATH_POLICY));
	cli_add_query(&target, "pod", argv[optind]);
	buf_add_char(&target, '\0');
	status = cli_print_answer(c, "GET", buf_ptr(&target));
	buf_done(&target);
	return status;
}

static const char help[] =
	"Prints what the kernel does with the connections of a pod: left alone, sent to the\n"
	"engine, sent straight to an endpoint that the kernel picks (with the endpoints and their\n"
	"weights), or refused; which sources are refused before the engine is asked; and what was\n"
	"refused so far.\n"
	"\n"
	"  POD  NAMESPACE/NAME, or NAME\n"
	"\n"
	"It reads the BPF maps themselves, not what skiffd means to have written.\n";

const struct cli_verb cli_policy_show = {
	.name = "policy show",
	.run = run,
	.summary = "what the kernel does with a pod's connections",
	.usage = "POD",
	.help = help,
};
