/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl pod list */
#include <getopt.h>

#include "cli/cli_impl.h"

static const char *text_of(const json_t *pod, const char *key)
{
	const char *s = json_string_value(json_object_get(pod, key));

	return s && *s ? s : NULL;
}

static void add_number(struct cli_table *t, const json_t *pod, const char *key)
{
	const json_t *n = json_object_get(pod, key);
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(n));
	cli_table_add(t, json_is_integer(n) ? text : NULL);
}

static void add_addresses(struct cli_table *t, const json_t *pod)
{
	struct buf text = { 0 };
	size_t i;
	json_t *a;

	json_array_foreach(json_object_get(pod, "addresses"), i, a) buf_printf(
		&text, "%s%s", i ? "," : "", json_string_value(a) ? json_string_value(a) : "");
	buf_add_char(&text, '\0');
	cli_table_add(t, *buf_ptr(&text) ? buf_ptr(&text) : NULL);
	buf_done(&text);
}

static void add_fail(struct cli_table *t, const json_t *pod)
{
	const json_t *open = json_object_get(pod, "fail_open");

	if (json_is_boolean(open))
		cli_table_add(t, json_is_true(open) ? "open" : "closed");
	else
		cli_table_add(t, NULL);
}

static void print_pods(struct cli *c, const json_t *pods)
{
	static const char *const heading[] = {
		"NAMESPACE", "NAME",	  "ID",	      "ADDRESSES", "ACCELERATE",
		"FAIL",	     "LISTENERS", "CLUSTERS", "NETNS",
	};
	struct cli_table t = { .columns = ARRAY_LEN(heading) };
	size_t i;
	json_t *pod;

	for (i = 0; i < ARRAY_LEN(heading); i++)
		cli_table_add(&t, heading[i]);
	json_array_foreach(pods, i, pod) {
		cli_table_add(&t, text_of(pod, "namespace"));
		cli_table_add(&t, text_of(pod, "name"));
		add_number(&t, pod, "id");
		add_addresses(&t, pod);
		cli_table_add(&t, text_of(pod, "accelerate"));
		add_fail(&t, pod);
		add_number(&t, pod, "listeners");
		add_number(&t, pod, "clusters");
		cli_table_add(&t, text_of(pod, "netns"));
	}
	cli_table_print(c, &t);
	cli_table_done(&t);
}

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { 0 } };
	bool as_json = false;
	json_t *answer, *pods;
	int o;

	while ((o = cli_option(c, &cli_pod_list, argc, argv, options)) != -1) {
		if (o == '?')
			return CLI_USAGE;
		as_json = true;
	}
	if (cli_no_words(c, &cli_pod_list, argc, argv))
		return CLI_USAGE;
	if (as_json)
		return cli_print_answer(c, "GET", SKIFF_PATH_PODS);
	answer = cli_ask_json(c, "GET", SKIFF_PATH_PODS, SLICE_NONE);
	if (!answer)
		return CLI_FAILED;
	pods = json_object_get(answer, "pods");
	if (json_array_size(pods))
		print_pods(c, pods);
	else
		fputs("no pods: skiffctl pod add takes a network namespace into the mesh\n",
		      c->env->out);
	json_decref(answer);
	return CLI_OK;
}

static const char help[] =
	"Lists the network namespaces that skiffd serves.\n"
	"\n"
	"  --json  skiffd's answer as it is\n"
	"\n"
	"Columns:\n"
	"  ID          the pod's number in the BPF maps (skiffctl bpf show)\n"
	"  ACCELERATE  both, auto or off: whether payload skips the TCP stack between sockets\n"
	"              of one pod\n"
	"  FAIL        what the kernel does while no skiffd lives: open connects straight,\n"
	"              closed refuses\n"
	"  LISTENERS, CLUSTERS  how many its configuration has\n";

const struct cli_verb cli_pod_list = {
	.name = "pod list",
	.run = run,
	.summary = "the pods of this node that are in the mesh",
	.usage = "[--json]",
	.help = help,
};
