/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl bpf show */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	struct err e = { "" };

	if (cli_option(c, &cli_bpf_show, argc, argv, options) != -1 ||
	    cli_no_words(c, &cli_bpf_show, argc, argv))
		return CLI_USAGE;
	/* A skiffd knows where its maps are pinned; without one they are still there to be read. */
	if (!c->env->bpf_show || cli_is_running(c))
		return cli_print_answer(c, "GET", SKIFF_PATH_BPF);
	if (c->env->bpf_show(c->env->out, &e) < 0)
		return cli_fail(c, CLI_FAILED, "%s", e.text);
	return CLI_OK;
}

static const char help[] =
	"Prints what the kernel side of capture knows: pods, policies, services, listeners and\n"
	"counters by reason. Without a running skiffd it reads the maps that are pinned below\n"
	"/sys/fs/bpf/skiff. `bpftool map dump pinned PATH` reads the same maps.\n";

const struct cli_verb cli_bpf_show = {
	.name = "bpf show",
	.run = run,
	.summary = "the BPF maps as tables",
	.usage = "",
	.help = help,
};
