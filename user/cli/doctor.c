/* SPDX-License-Identifier: Apache-2.0 */
/* skiffctl doctor: what this node has and lacks, and what skiff does about each. */
#include <errno.h>
#include <getopt.h>
#include <linux/io_uring.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/cli_impl.h"

#define FILES_WANTED 65536 /* two descriptors for each of many connections */

/* A ring with @flags: 0 or -errno. The descriptor is closed at once. */
static int try_ring(unsigned int flags)
{
	struct io_uring_params p = { .flags = flags };
	int fd = (int)syscall(SYS_io_uring_setup, 8, &p);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static bool has_ring(void)
{
	return try_ring(0) == 0;
}

static bool has_deferred_ring(void)
{
	return try_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN) == 0;
}

static bool is_root(void)
{
	return geteuid() == 0;
}

static bool has_files(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_max >= FILES_WANTED;
}

static bool has_cores_for_one(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

static const struct {
	const char *name;
	bool (*has)(void);
	bool required;
	const char *what;
} checks[] = {
	{ "root", is_root, true, "BPF programs, other network namespaces; skiffd drops the rest" },
	{ "io_uring", has_ring, false,
	  "the engine's event loop; without it (or with kernel.io_uring_disabled) epoll" },
	{ "io_uring deferred work", has_deferred_ring, false,
	  "one wake-up for a whole turn (6.1); without it epoll" },
	{ "65536 open files", has_files, false,
	  "hard limit; with less, connections over it wait (LimitNOFILE= in the unit)" },
	{ "more than one core", has_cores_for_one, false,
	  "a worker for each; with one, one worker" },
};

/* Prints one line; false: it is required and lacks. */
static bool print_feature(const struct cli *c, const struct cli_feature *f)
{
	fputs("  ", c->env->out);
	if (f->present)
		cli_paint(c, CLI_GREEN, 6, "has");
	else if (f->required)
		cli_paint(c, CLI_RED, 6, "FAILS");
	else
		cli_paint(c, CLI_YELLOW, 6, "lacks");
	cli_paint(c, CLI_BOLD, 0, f->name);
	fprintf(c->env->out, ": %s\n", f->what);
	return f->present || !f->required;
}

static size_t print_own(const struct cli *c)
{
	size_t failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		struct cli_feature f = { checks[i].name, checks[i].has(), checks[i].required,
					 checks[i].what };

		failed += !print_feature(c, &f);
	}
	return failed;
}

static bool is_own(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		if (strcmp(checks[i].name, name) == 0)
			return true;
	return false;
}

static size_t print_capture(const struct cli *c)
{
	struct cli_feature features[CLI_FEATURES_MAX];
	size_t n, failed = 0;

	if (!c->env->features)
		return 0;
	n = c->env->features(features, ARRAY_LEN(features));
	for (size_t i = 0; i < n; i++)
		if (!is_own(features[i].name))
			failed += !print_feature(c, features + i);
	return failed;
}

static int run(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	struct utsname u = { 0 };
	size_t failed;

	if (cli_option(c, &cli_doctor, argc, argv, options) != -1 ||
	    cli_no_words(c, &cli_doctor, argc, argv))
		return CLI_USAGE;
	uname(&u);
	fprintf(c->env->out, "%s %s %s, %ld cores\n", u.sysname, u.release, u.machine,
		sysconf(_SC_NPROCESSORS_ONLN));
	fputs("engine:\n", c->env->out);
	failed = print_own(c);
	if (c->env->features)
		fputs("capture:\n", c->env->out);
	failed += print_capture(c);
	fprintf(c->env->out, "skiffd: %s at %s\n",
		cli_is_running(c) ? "answers" : "nobody answers", c->socket);
	if (failed && !is_root())
		return cli_fail(c, CLI_FAILED, "not as root: what is said to fail may be there");
	if (failed)
		return cli_fail(c, CLI_FAILED,
				"skiffd does not start here: %zu of what it needs is not "
				"there",
				failed);
	return CLI_OK;
}

static const char help[] =
	"Looks at the running kernel and at this node's limits, changes nothing, and prints for\n"
	"each thing whether it is there and what skiff does about it:\n"
	"\n"
	"  has    it is there\n"
	"  lacks  it is not; skiffd works in the way that the line says\n"
	"  FAILS  it is not, and skiffd does not start without it\n"
	"\n"
	"Run it as root: the kernel tells others less. Exit status: 1 when something FAILS.\n";

const struct cli_verb cli_doctor = {
	.name = "doctor",
	.run = run,
	.summary = "what this node has and lacks for skiff",
	.usage = "",
	.help = help,
};
