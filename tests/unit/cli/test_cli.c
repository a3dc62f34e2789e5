/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl's words, answers, errors and exit statuses against a real admin server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "base/stats.h"
#include "cli/cli.h"

#define WORDS_MAX 32

struct fixture {
	struct admin *admin;
	char socket[64];
	char seen[1024]; /* what the routes saw, in order */
	unsigned int status;
	bool colour, bare; /* a terminal; without what other rooms give */
	bool hostile;	   /* answers hold control characters */
	char *out, *err;
};

static void note(struct fixture *f, const struct admin_request *req, const char *text)
{
	size_t at = strlen(f->seen);

	snprintf(f->seen + at, sizeof(f->seen) - at, "%s %s %s;", req->method, req->path, text);
}

static unsigned int pods_list(void *ctx, const struct admin_request *req, struct admin_reply *reply)
{
	const struct fixture *f = ctx;

	(void)req;
	reply->type = ADMIN_JSON;
	if (f->hostile)
		return admin_text(reply, 200,
				  "{\"pods\": [{\"namespace\": \"b\\u001b[2J\\r\\nprod\", "
				  "\"name\": \"c\xc2\x9b" "31m\x7f\"}]}\n");
	return admin_text(reply, 200,
			  "{\"pods\": [{\"name\": \"shop\", \"namespace\": \"prod\", \"id\": 7, "
			  "\"addresses\": [\"10.0.0.1\", \"fd00::1\"], \"accelerate\": \"auto\","
			  "\"fail_open\": true, \"listeners\": 2, \"clusters\": 3, "
			  "\"netns\": \"/run/netns/shop\"}, {\"name\": \"b\"}]}");
}

static unsigned int pods_change(void *ctx, const struct admin_request *req,
				struct admin_reply *reply)
{
	struct fixture *f = ctx;
	const char *name = admin_query(req, "name"), *ns = admin_query(req, "namespace");
	char text[512];

	snprintf(text, sizeof(text), "%s/%s %.*s", ns ? ns : "-", name ? name : "-",
		 SLICE_ARG(req->body));
	note(f, req, text);
	if (f->hostile)
		return admin_error(reply, f->status, "no\033]0;title\a way");
	if (f->status != 200)
		return admin_error(reply, f->status, "pod b is there already");
	return admin_text(reply, 200, "OK");
}

static unsigned int reload(void *ctx, const struct admin_request *req, struct admin_reply *reply)
{
	struct fixture *f = ctx;

	note(f, req, "");
	if (f->status != 200)
		return admin_error(reply, f->status,
				   "a.yaml: static_resources.clusters[0]: no name");
	return admin_text(reply, 200, "OK");
}

static unsigned int plain(void *ctx, const struct admin_request *req, struct admin_reply *reply)
{
	note(ctx, req, admin_query(req, "inboundonly") ? "inbound" : "");
	return admin_text(reply, 200, "OK\n");
}

static const struct admin_route routes[] = {
	{ "GET", SKIFF_PATH_PODS, true, pods_list, "" },
	{ "POST", SKIFF_PATH_PODS, true, pods_change, "" },
	{ "DELETE", SKIFF_PATH_PODS, true, pods_change, "" },
	{ "POST", SKIFF_PATH_RELOAD, true, reload, "" },
	{ "POST", SKIFF_PATH_DRAIN, false, plain, "" },
	{ "GET", SKIFF_PATH_BPF, true, plain, "" },
};

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct admin_options o = { .control = f->socket, .version = "9.9" };
	struct err e;

	f->status = 200;
	snprintf(f->socket, sizeof(f->socket), "/tmp/skiff-test-cli-%d.sock", (int)getpid());
	assert_int_equal(admin_new(&o, &f->admin, &e), 0);
	admin_add(f->admin, routes, ARRAY_LEN(routes), f);
	assert_int_equal(admin_start(f->admin, &e), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	admin_free(f->admin);
	free(f->out);
	free(f->err);
	free(f);
	return 0;
}

static size_t features(struct cli_feature *out, size_t max)
{
	assert_true(max >= 2);
	out[0] = (struct cli_feature){ "BTF", true, true, "types" };
	out[1] = (struct cli_feature){ "sk_lookup", false, true, "inbound capture" };
	return 2;
}

static int bpf_show(FILE *out, struct err *e)
{
	if (getenv("SKIFF_TEST_NO_BPF"))
		return err_set(e, -EPERM, "maps need root");
	fputs("skiff_pods\n", out);
	return 0;
}

/* Runs skiffctl with @words, blank-separated, and --socket before them; "@" stands for a blank. */
static int run(struct fixture *f, const char *words)
{
	char *line = xstrdup(words), *argv[WORDS_MAX] = { "skiffctl", "--socket", f->socket };
	struct cli_env env = { .colour = f->colour, .version = "9.9", .features = features,
			       .bpf_show = bpf_show };
	size_t out_size, err_size;
	int argc = 3, status;

	if (f->bare) {
		env.features = NULL;
		env.bpf_show = NULL;
	}
	for (char *save, *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		for (char *p = w; *p; p++)
			*p = *p == '@' ? ' ' : *p;
		argv[argc++] = w;
		assert_true(argc < WORDS_MAX);
	}
	free(f->out);
	free(f->err);
	env.out = open_memstream(&f->out, &out_size);
	env.err = open_memstream(&f->err, &err_size);
	status = cli_main(&env, argc, argv);
	fclose(env.out);
	fclose(env.err);
	free(line);
	return status;
}

static void expect(struct fixture *f, const char *words, int status, const char *out,
		   const char *err)
{
	int got = run(f, words);

	if (got != status || !strstr(f->out, out) || !strstr(f->err, err))
		fail_msg("%s: status %d, out: %s, err: %s", words, got, f->out, f->err);
	if (!*err)
		assert_string_equal(f->err, "");
}

static int lines(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void help_pages_exist_for_every_verb(void **state)
{
	static const char *const verbs[] = { "pod list", "pod add", "pod remove", "stats",
					     "bpf show", "config dump", "reload", "drain",
					     "log", "doctor", "version" };

	expect(*state, "--help", CLI_OK, "usage: skiffctl", "");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		char words[64];

		expect(*state, "--help", CLI_OK, verbs[i], "");
		snprintf(words, sizeof(words), "%s --help", verbs[i]);
		expect(*state, words, CLI_OK, verbs[i], "");
	}
	expect(*state, "pod --help", CLI_OK, "pod remove", "");
	assert_null(strstr(((struct fixture *)*state)->out, "drain"));
	expect(*state, "help", CLI_OK, "drain", "");
}

static void what_is_not_understood_is_said(void **state)
{
	expect(*state, "", CLI_USAGE, "usage", "");
	expect(*state, "fly", CLI_USAGE, "", "no verb 'fly'");
	expect(*state, "pod fly", CLI_USAGE, "", "no verb 'pod fly'");
	expect(*state, "--fly", CLI_USAGE, "", "--fly is not understood");
	expect(*state, "pod list --fly", CLI_USAGE, "", "skiffctl pod list: no option --fly; see");
	expect(*state, "pod remove", CLI_USAGE, "", "one NAME is needed");
	expect(*state, "pod remove a --namespace", CLI_USAGE, "", "--namespace needs a value");
	expect(*state, "reload now", CLI_USAGE, "", "'now' is one word too many");
	expect(*state, "log loud", CLI_USAGE, "", "no level 'loud'");
}

static void nobody_answers(void **state)
{
	struct fixture *f = *state;

	admin_free(f->admin);
	f->admin = NULL;
	expect(f, "stats", CLI_FAILED, "", "no skiffd answers at /tmp/");
	expect(f, "stats", CLI_FAILED, "", "start skiffd or give --socket PATH");
	expect(f, "version", CLI_OK, "skiffd does not run", "");
}

static void pods_are_listed_as_a_table(void **state)
{
	struct fixture *f = *state;

	expect(f, "pod list", CLI_OK,
	       "prod       shop  7   10.0.0.1,fd00::1  auto        open  2          3         "
	       "/run/netns/shop\n",
	       "");
	expect(f, "pod list", CLI_OK, "\n-          b     -   -  ", "");
	assert_null(strchr(f->out, '\033'));
	expect(f, "pod list --json", CLI_OK, "{\"pods\": [{\"name\": \"shop\"", "");
	f->colour = true;
	expect(f, "pod list", CLI_OK, "\033[1mNAMESPACE\033[0m  ", "");
}

static void pods_are_added(void **state)
{
	struct fixture *f = *state;
	char words[256];

	snprintf(words, sizeof(words),
		 "pod add shop --netns %d --label app=shop --label a=b=c --namespace prod --closed "
		 "--resources /dev/null", (int)getpid());
	expect(f, words, CLI_OK, "pod shop is in the mesh\n", "");
	assert_non_null(strstr(f->seen, "POST /pods -/- {\"netns\":\"/proc/"));
	assert_non_null(strstr(f->seen, "/ns/net\",\"labels\":{\"app\":\"shop\",\"a\":\"b=c\"},"
					"\"namespace\":\"prod\",\"fail_open\":false,"
					"\"resources\":[\"/dev/null\"],\"name\":\"shop\"};"));
	f->status = 409;
	expect(f, words, CLI_FAILED, "", "skiffd refuses (409): pod b is there already\n");
}

static void pods_are_not_added_blindly(void **state)
{
	struct fixture *f = *state;

	expect(f, "pod add a", CLI_USAGE, "", "--netns is needed");
	expect(f, "pod add --netns /proc/self/ns/net", CLI_USAGE, "", "one NAME is needed");
	expect(f, "pod add a --netns no-such-netns", CLI_USAGE, "",
	       "no network namespace at /run/netns/no-such-netns");
	expect(f, "pod add a --netns /proc/self/ns/net --label x", CLI_USAGE, "", "KEY=VALUE");
	expect(f, "pod add a --netns /proc/self/ns/net --accelerate fast", CLI_USAGE, "",
	       "there are both, auto and off");
	expect(f, "pod add a --netns /proc/self/ns/net --resources /no/such", CLI_USAGE, "",
	       "/no/such: No such file");
	assert_string_equal(f->seen, "");
}

static void pods_are_removed(void **state)
{
	struct fixture *f = *state;

	expect(f, "pod remove a@b&c --namespace prod", CLI_OK, "pod a b&c has left the mesh\n", "");
	assert_string_equal(f->seen, "DELETE /pods prod/a b&c ;");
	f->status = 404;
	expect(f, "pod remove x", CLI_FAILED, "", "skiffd refuses (404): pod b is there already");
}

static void reload_waits_for_the_verdict(void **state)
{
	struct fixture *f = *state;

	expect(f, "reload", CLI_OK, "is in force\n", "");
	f->status = 422;
	expect(f, "reload", CLI_FAILED, "",
	       "skiffd refuses (422): a.yaml: static_resources.clusters[0]: no name\n");
}

static void drain_log_and_dump(void **state)
{
	struct fixture *f = *state;

	expect(f, "drain", CLI_OK, "OK\n", "");
	expect(f, "drain --inbound", CLI_OK, "OK\n", "");
	assert_string_equal(f->seen, "POST /drain_listeners ;POST /drain_listeners inbound;");
	expect(f, "log error", CLI_OK, "skiff: error", "");
	expect(f, "log", CLI_OK, "skiff: error", "");
	log_level_set(LOG_WARN);
	expect(f, "config dump", CLI_FAILED, "", "this skiffd has no GET /config_dump");
	expect(f, "version", CLI_OK, "skiffctl 9.9\nskiffd 9.9, LIVE, up ", "");
}

static void stats_are_filtered(void **state)
{
	struct fixture *f = *state;
	struct stats_set *s = stats_set_new();

	stats_add(s, stats_register(STAT_COUNTER, "cluster.a.upstream_rq_total"), 7);
	stats_register(STAT_COUNTER, "cluster.a.never");
	expect(f, "stats", CLI_OK, "cluster.a.never: 0\n", "");
	expect(f, "stats --used ^cluster[.](a|b)[.]", CLI_OK, "cluster.a.upstream_rq_total: 7\n",
	       "");
	assert_null(strstr(f->out, "never"));
	expect(f, "stats never --format json", CLI_OK, "{\"name\":\"cluster.a.never\",\"value\":0}",
	       "");
	expect(f, "stats --format xml", CLI_FAILED, "",
	       "usage: /stats?format=(json|prometheus|text)");
	stats_set_free(s);
}

static void doctor_says_what_lacks(void **state)
{
	struct fixture *f = *state;

	expect(f, "doctor", CLI_FAILED, "has   BTF: types\n", "skiffctl: ");
	expect(f, "doctor", CLI_FAILED, "FAILS sk_lookup: inbound capture\n", "skiffctl: ");
	expect(f, "doctor", CLI_FAILED, "skiffd: answers at /tmp/", "skiffctl: ");
	f->colour = true;
	expect(f, "doctor", CLI_FAILED,
	       "\033[31mFAILS \033[0m\033[1msk_lookup\033[0m: ", "skiffctl: ");
}

static void bpf_show_needs_no_skiffd(void **state)
{
	struct fixture *f = *state;

	expect(f, "bpf show", CLI_OK, "OK\n", "");
	assert_string_equal(f->seen, "GET /bpf ;");
	admin_free(f->admin);
	f->admin = NULL;
	expect(f, "bpf show", CLI_OK, "skiff_pods\n", "");
	setenv("SKIFF_TEST_NO_BPF", "1", 1);
	expect(f, "bpf show", CLI_FAILED, "", "skiffctl: maps need root\n");
	unsetenv("SKIFF_TEST_NO_BPF");
	f->bare = true;
	expect(f, "bpf show", CLI_FAILED, "", "no skiffd answers");
}

/* Bytes that a terminal would obey, as a name, a reason or a refusal from outside. */
static void terminals_are_not_steered(void **state)
{
	struct fixture *f = *state;

	f->hostile = true;
	expect(f, "pod list", CLI_OK, "b\\u001b[2J\\r\\nprod ", "");
	expect(f, "pod list", CLI_OK, " c\\u009b31m\\u007f ", "");
	assert_int_equal(lines(f->out), 2);
	/* What is printed as it came is still the same JSON. */
	expect(f, "pod list --json", CLI_OK, "\"c\\u009b31m\\u007f\"", "");
	f->status = 409;
	expect(f, "pod remove b", CLI_FAILED, "", "(409): no\\u001b]0;title\\u0007 way\n");
	assert_int_equal(lines(f->err), 1);
	expect(f, "pod\033[2J fly", CLI_USAGE, "", "'pod\\u001b[2J fly'");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(help_pages_exist_for_every_verb),
		CASE(what_is_not_understood_is_said),
		CASE(nobody_answers),
		CASE(pods_are_listed_as_a_table),
		CASE(pods_are_added),
		CASE(pods_are_not_added_blindly),
		CASE(pods_are_removed),
		CASE(reload_waits_for_the_verdict),
		CASE(drain_log_and_dump),
		CASE(stats_are_filtered),
		CASE(doctor_says_what_lacks),
		CASE(bpf_show_needs_no_skiffd),
		CASE(terminals_are_not_steered),
	};

	log_level_set(LOG_WARN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
