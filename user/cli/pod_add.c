/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl pod add */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <unistd.h>

#include "cli/cli_impl.h"

enum { NETNS, NAMESPACE, LABEL, ACCOUNT, TOKEN, RESOURCES, ACCELERATE, CLOSED };

static const struct option options[] = {
	{ "netns", required_argument, NULL, NETNS },
	{ "namespace", required_argument, NULL, NAMESPACE },
	{ "label", required_argument, NULL, LABEL },
	{ "service-account", required_argument, NULL, ACCOUNT },
	{ "token-file", required_argument, NULL, TOKEN },
	{ "resources", required_argument, NULL, RESOURCES },
	{ "accelerate", required_argument, NULL, ACCELERATE },
	{ "closed", no_argument, NULL, CLOSED },
	{ 0 },
};

/* skiffd has another working folder: every path goes as an absolute one. */
static int put_path(struct cli *c, json_t *array_or_pod, const char *key, const char *path)
{
	char real[PATH_MAX];

	if (!realpath(path, real))
		return cli_fail(c, -1, "%s: %s", path, strerror(errno));
	if (key)
		return json_object_set_new(array_or_pod, key, json_string(real));
	return json_array_append_new(array_or_pod, json_string(real));
}

/* A process id, the name of an `ip netns`, or a path. */
static int put_netns(struct cli *c, json_t *pod, const char *word)
{
	char path[PATH_MAX];
	uint64_t pid;

	if (slice_to_u64(slice_str(word), &pid) == 0)
		snprintf(path, sizeof(path), "/proc/%llu/ns/net", (unsigned long long)pid);
	else if (strchr(word, '/'))
		snprintf(path, sizeof(path), "%s", word);
	else
		snprintf(path, sizeof(path), "/run/netns/%s", word);
	if (access(path, R_OK))
		return cli_fail(c, -1,
				"no network namespace at %s: %s; give a path, a name that `ip "
				"netns` lists, or a process id",
				path, strerror(errno));
	/* Not realpath: what stands behind /proc/PID/ns/net is no path. */
	if (path[0] != '/')
		return put_path(c, pod, "netns", path);
	return json_object_set_new(pod, "netns", json_string(path));
}

/* Not realpath: what a kubelet links is another file with each rotation. */
static int put_token_file(struct cli *c, json_t *pod, const char *path)
{
	char here[PATH_MAX];
	char *full;

	if (path[0] != '/' && !getcwd(here, sizeof(here)))
		return cli_fail(c, -1, "%s: %s", path, strerror(errno));
	full = path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", here, path);
	json_object_set_new(pod, "token_file", json_string(full));
	free(full);
	return 0;
}

static int put_label(struct cli *c, json_t *pod, const char *word)
{
	const char *equal = strchr(word, '=');
	json_t *labels = json_object_get(pod, "labels");
	char *key;

	if (!equal || equal == word)
		return cli_fail(c, -1, "--label %s: write KEY=VALUE", word);
	if (!labels) {
		labels = json_object();
		json_object_set_new(pod, "labels", labels);
	}
	key = slice_dup(slice_of(word, (size_t)(equal - word)));
	json_object_set_new(labels, key, json_string(equal + 1));
	free(key);
	return 0;
}

static int put_resources(struct cli *c, json_t *pod, const char *path)
{
	json_t *list = json_object_get(pod, "resources");

	if (!list) {
		list = json_array();
		json_object_set_new(pod, "resources", list);
	}
	return put_path(c, list, NULL, path);
}

static int put_accelerate(struct cli *c, json_t *pod, const char *mode)
{
	if (strcmp(mode, "both") != 0 && strcmp(mode, "auto") != 0 && strcmp(mode, "off") != 0)
		return cli_fail(c, -1, "--accelerate %s: there are both, auto and off", mode);
	return json_object_set_new(pod, "accelerate", json_string(mode));
}

static int put_option(struct cli *c, json_t *pod, int option)
{
	switch (option) {
	case NETNS: return put_netns(c, pod, optarg);
	case NAMESPACE: return json_object_set_new(pod, "namespace", json_string(optarg));
	case LABEL: return put_label(c, pod, optarg);
	case ACCOUNT: return json_object_set_new(pod, "service_account", json_string(optarg));
	case TOKEN: return put_token_file(c, pod, optarg);
	case RESOURCES: return put_resources(c, pod, optarg);
	case ACCELERATE: return put_accelerate(c, pod, optarg);
	case CLOSED: return json_object_set_new(pod, "fail_open", json_false());
	}
	return -1;
}

static int read_words(struct cli *c, int argc, char **argv, json_t *pod)
{
	int o;

	while ((o = cli_option(c, &cli_pod_add, argc, argv, options)) != -1)
		if (o == '?' || put_option(c, pod, o))
			return CLI_USAGE;
	if (optind + 1 != argc)
		return cli_misused(c, &cli_pod_add, "one NAME is needed");
	if (!json_object_get(pod, "netns"))
		return cli_misused(c, &cli_pod_add, "--netns is needed");
	json_object_set_new(pod, "name", json_string(argv[optind]));
	return CLI_OK;
}

static int run(struct cli *c, int argc, char **argv)
{
	json_t *pod = json_object();
	int status = read_words(c, argc, argv, pod);
	struct buf answer = { 0 };
	char *text = NULL;

	if (status)
		goto out;
	text = json_dumps(pod, JSON_COMPACT);
	if (!text) {
		status = cli_fail(c, CLI_USAGE, "the words are no UTF-8 text");
		goto out;
	}
	status = CLI_FAILED;
	if (cli_ask(c, "POST", SKIFF_PATH_PODS, slice_str(text), &answer))
		goto out;
	status = CLI_OK;
	fprintf(c->env->out, "pod %s is in the mesh\n",
		json_string_value(json_object_get(pod, "name")));
out:
	free(text);
	buf_done(&answer);
	json_decref(pod);
	return status;
}

static const char help[] =
	"Takes a network namespace into the mesh as the pod NAME, until skiffd forgets it or\n"
	"`skiffctl pod remove`. No Kubernetes is needed.\n"
	"\n"
	"  --netns NETNS           a path, a name that `ip netns` lists, or a process id\n"
	"  --namespace NS          the pod's Kubernetes namespace (skiffd's default: default)\n"
	"  --label KEY=VALUE       a label, for selectors; may be repeated\n"
	"  --service-account NAME  for the pod's identity\n"
	"  --token-file FILE       bearer token of its stream to the control plane, instead of\n"
	"                          the one in skiffd's file\n"
	"  --resources PATH        a file or folder with the pod's configuration, in Envoy's\n"
	"                          format; may be repeated\n"
	"  --accelerate MODE       both, auto or off, instead of skiffd's default\n"
	"  --closed                refuse connections while no skiffd lives (default: connect\n"
	"                          straight)\n"
	"\n"
	"Examples:\n"
	"  ip netns add shop\n"
	"  skiffctl pod add shop --netns shop --label app=shop --resources shop.yaml\n"
	"  skiffctl pod add web-1 --netns 4242 --namespace prod\n";

const struct cli_verb cli_pod_add = {
	.name = "pod add",
	.run = run,
	.summary = "take a network namespace into the mesh",
	.usage = "NAME --netns NETNS [--namespace NS] [--label KEY=VALUE]... [--resources PATH]...",
	.help = help,
};
