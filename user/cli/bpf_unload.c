/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl bpf unload */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	struct err e = { "" };

	if (cli_option(c, &cli_bpf_unload, argc, argv, options) != -1 ||
	    cli_no_words(c, &cli_bpf_unload, argc, argv))
		return CLI_USAGE;
	if (!c->env->bpf_unload)
		return cli_fail(c, CLI_FAILED, "this build has no capture");
	/* Taking the programs away under a skiffd would leave its pods uncaptured without a word.
	 */
	if (cli_is_running(c))
		return cli_fail(c, CLI_FAILED, "skiffd is running: stop it first");
	if (c->env->bpf_unload(&e) < 0)
		return cli_fail(c, CLI_FAILED, "%s", e.text);
	fputs("programs, links and maps are gone; pods connect as if Skiff had never been here\n",
	      c->env->out);
	return CLI_OK;
}

static const char help[] =
	"Detaches Skiff's programs from the kernel and removes all that is pinned below\n"
	"/sys/fs/bpf/skiff. They outlive skiffd on purpose; this is for taking Skiff off a node,\n"
	"or before a version whose maps have another layout. Refused while a skiffd answers.\n";

const struct cli_verb cli_bpf_unload = {
	.name = "bpf unload",
	.run = run,
	.summary = "take all programs and maps out of the kernel",
	.usage = "",
	.help = help,
};
