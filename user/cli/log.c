/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl log */
#include <getopt.h>

#include "base/log.h"
#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	struct buf target = { 0 };
	enum log_level level;
	int status;

	if (cli_option(c, &cli_log, argc, argv, options) != -1)
		return CLI_USAGE;
	if (optind == argc)
		return cli_print_answer(c, "POST", SKIFF_PATH_LOGGING);
	if (!log_level_parse(argv[optind], &level))
		return cli_misused(c, &cli_log, "no level '%s'", argv[optind]);
	buf_add_slice(&target, slice_str(SKIFF_PATH_LOGGING));
	cli_add_query(&target, "level", argv[optind++]);
	buf_add_char(&target, '\0');
	status = cli_no_words(c, &cli_log, argc, argv);
	if (status == CLI_OK)
		status = cli_print_answer(c, "POST", buf_ptr(&target));
	buf_done(&target);
	return status;
}

static const char help[] =
	"Without a word: the level in force. With one: sets it until skiffd ends.\n"
	"\n"
	"Levels: trace, debug, info, warning, error, off.\n";

const struct cli_verb cli_log = {
	.name = "log",
	.run = run,
	.summary = "show or set skiffd's log level",
	.usage = "[LEVEL]",
	.help = help,
};
