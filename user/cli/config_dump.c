/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl config dump */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "pod", required_argument, NULL, 'p' },
						 { "resource", required_argument, NULL, 'r' },
						 { "include-eds", no_argument, NULL, 'e' },
						 { 0 } };
	struct buf target = { 0 };
	int o, status;

	buf_add_slice(&target, slice_str(SKIFF_PATH_CONFIG_DUMP));
	while ((o = cli_option(c, &cli_config_dump, argc, argv, options)) != -1) {
		if (o == '?') {
			buf_done(&target);
			return CLI_USAGE;
		}
		if (o == 'e')
			cli_add_query(&target, "include_eds", "1");
		else
			cli_add_query(&target, o == 'p' ? "pod" : "resource", optarg);
	}
	buf_add_char(&target, '\0');
	status = cli_no_words(c, &cli_config_dump, argc, argv);
	if (status == CLI_OK)
		status = cli_print_answer(c, "GET", buf_ptr(&target));
	buf_done(&target);
	return status;
}

static const char help[] =
	"Prints the listeners, routes and clusters that skiffd has in force, in the shape of\n"
	"Envoy's /config_dump, with the version of each and what was refused and why.\n"
	"\n"
	"  --pod NAME       only of this pod: NAMESPACE/NAME, or NAME\n"
	"  --resource KIND  only this part, as in Envoy: static_listeners, static_clusters,\n"
	"                   dynamic_listeners ...\n"
	"  --include-eds    endpoints too\n"
	"\n"
	"Example:\n"
	"  skiffctl config dump | jq '.configs[].\"@type\"'\n";

const struct cli_verb cli_config_dump = {
	.name = "config dump",
	.run = run,
	.summary = "the configuration in force, as JSON",
	.usage = "[--pod NAME] [--resource KIND] [--include-eds]",
	.help = help,
};
