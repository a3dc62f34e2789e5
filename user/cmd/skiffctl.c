/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl's main: gives the cli room what it may not include itself. */
#include <unistd.h>

#include "cli/cli.h"
#include "datapath/datapath.h"

_Static_assert(DATAPATH_FEATURES_MAX <= CLI_FEATURES_MAX, "every feature has room");

static size_t features(struct cli_feature *out, size_t max)
{
	struct datapath_feature found[DATAPATH_FEATURES_MAX];
	int n = datapath_doctor(found);

	for (int i = 0; i < n && (size_t)i < max; i++)
		out[i] = (struct cli_feature){ found[i].name, found[i].present, found[i].required,
					       found[i].what };
	return n < 0 ? 0 : (size_t)n;
}

static int bpf_show(FILE *out, struct err *e)
{
	return datapath_show(NULL, out, e);
}

static int bpf_unload(struct err *e)
{
	return datapath_unload(NULL, e);
}

int main(int argc, char **argv)
{
	const char *no_colour = getenv("NO_COLOR");
	const struct cli_env env = {
		.out = stdout,
		.err = stderr,
		.colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour),
		.version = SKIFF_VERSION,
		.features = features,
		.bpf_show = bpf_show,
		.bpf_unload = bpf_unload,
	};
	int status = cli_main(&env, argc, argv);

	/* A full disk or a closed pipe is a failure too. */
	if (fflush(stdout) || ferror(stdout))
		return CLI_FAILED;
	return status;
}
