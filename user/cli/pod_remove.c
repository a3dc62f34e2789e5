/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl pod remove */
#include <getopt.h>

#include "cli/cli_impl.h"

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "namespace", required_argument, NULL, 'n' },
						 { 0 } };
	struct buf target = { 0 }, answer = { 0 };
	const char *namespace = NULL;
	int o, rc;

	while ((o = cli_option(c, &cli_pod_remove, argc, argv, options)) != -1) {
		if (o == '?')
			return CLI_USAGE;
		namespace = optarg;
	}
	if (optind + 1 != argc)
		return cli_misused(c, &cli_pod_remove, "one NAME is needed");
	buf_add_slice(&target, slice_str(SKIFF_PATH_PODS));
	cli_add_query(&target, "name", argv[optind]);
	if (namespace)
		cli_add_query(&target, "namespace", namespace);
	buf_add_char(&target, '\0');
	rc = cli_ask(c, "DELETE", buf_ptr(&target), SLICE_NONE, &answer);
	if (rc == 0)
		fprintf(c->env->out, "pod %s has left the mesh\n", argv[optind]);
	buf_done(&target);
	buf_done(&answer);
	return rc ? CLI_FAILED : CLI_OK;
}

static const char help[] =
	"Takes the pod NAME out of the mesh: its new connections are plain again. Connections\n"
	"that the engine serves are closed.\n"
	"\n"
	"  --namespace NS  the pod's Kubernetes namespace (skiffd's default: default)\n"
	"\n"
	"A pod of skiffd's configuration file comes back when that file is read again.\n";

const struct cli_verb cli_pod_remove = {
	.name = "pod remove",
	.run = run,
	.summary = "take a pod out of the mesh",
	.usage = "NAME [--namespace NS]",
	.help = help,
};
