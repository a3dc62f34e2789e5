/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl stats */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "used", no_argument, NULL, 'u' },
						 { "format", required_argument, NULL, 'f' },
						 { 0 } };
	struct buf target = { 0 };
	int o, status;

	buf_add_slice(&target, slice_str(SKIFF_PATH_STATS));
	while ((o = cli_option(c, &cli_stats, argc, argv, options)) != -1) {
		if (o == '?') {
			buf_done(&target);
			return CLI_USAGE;
		}
		if (o == 'u')
			cli_add_query(&target, "usedonly", "");
		else
			cli_add_query(&target, "format", optarg);
	}
	if (optind < argc)
		cli_add_query(&target, "filter", argv[optind++]);
	buf_add_char(&target, '\0');
	status = cli_no_words(c, &cli_stats, argc, argv);
	if (status == CLI_OK)
		status = cli_print_answer(c, "GET", buf_ptr(&target));
	buf_done(&target);
	return status;
}

static const char help[] =
	"Prints skiffd's statistics, sorted by name, with Envoy's and Istio's names.\n"
	"\n"
	"  FILTER         a regular expression that some part of the name matches\n"
	"  --used         without those that are 0\n"
	"  --format FORM  text (the default), json or prometheus\n"
	"\n"
	"Examples:\n"
	"  skiffctl stats --used\n"
	"  skiffctl stats '^cluster[.]shop[.]'\n"
	"  skiffctl stats _rq_5xx --format prometheus\n";

const struct cli_verb cli_stats = {
	.name = "stats",
	.run = run,
	.summary = "counters, gauges and histograms",
	.usage = "[FILTER] [--used] [--format text|json|prometheus]",
	.help = help,
};
