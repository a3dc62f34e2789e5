/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skiffctl without its main: finds the verb, reads its words, asks skiffd over the control socket
 * and prints. What needs another room (BPF maps, kernel probes) comes in through struct cli_env,
 * filled by cmd/skiffctl.c; this room knows neither libbpf nor the engine.
 */
#ifndef SKIFF_CLI_CLI_H
#define SKIFF_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

#define CLI_FEATURES_MAX 64

/* Exit statuses. */
enum {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
};

/* One thing that a kernel has or lacks. */
struct cli_feature {
	const char *name;
	bool present;
	bool required;	  /* skiffd does not start without it */
	const char *what; /* what skiff does about it; literal */
};

/* What main gives. NULL members: the verb says that this build has it not. */
struct cli_env {
	FILE *out, *err;
	bool colour; /* on @out */
	const char *version;
	/* Looks at the running kernel; fills at most @max; returns how many. */
	size_t (*features)(struct cli_feature *out, size_t max);
	/* Prints the pinned maps as tables, with or without a running skiffd. 0 or -errno. */
	int (*bpf_show)(FILE *out, struct err *e);
	/* Removes all programs and maps from the kernel. 0 or -errno. */
	int (*bpf_unload)(struct err *e);
};

/* Runs skiffctl with main's arguments. Returns the exit status. */
int cli_main(const struct cli_env *env, int argc, char **argv);

#endif
