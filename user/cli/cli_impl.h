/* SPDX-License-Identifier: Apache-2.0 */
/* Shared inside the cli room: one run, the verbs, the client of the control socket, printing. */
#ifndef SKIFF_CLI_CLI_IMPL_H
#define SKIFF_CLI_CLI_IMPL_H

#include <jansson.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "skiff/admin.h"

#define CLI_ANSWER_MAX (256u << 20) /* bytes of one answer of skiffd */
#define CLI_TIMEOUT_SECONDS 30

struct cli {
	const struct cli_env *env;
	const char *socket;
};

/* ---- verbs: one a file, listed in cli.c ------------------------------------------------------ */

struct cli_verb {
	const char *name; /* one word, or two ("pod add") */
	/* @argv[0] is the verb's last word, as for main. Returns the exit status. */
	int (*run)(struct cli *c, int argc, char **argv);
	const char *summary; /* one line, for the list */
	const char *usage;   /* what follows the name: "[FILTER] [--used]" */
	const char *help;    /* the page: what it does, options, examples */
};

extern const struct cli_verb cli_bpf_show, cli_bpf_unload, cli_config_diff, cli_config_dump,
	cli_doctor, cli_drain, cli_log, cli_pod_add, cli_pod_list, cli_pod_remove, cli_policy_show,
	cli_reload, cli_route_explain, cli_stats, cli_status, cli_version;

/* A line on standard error: "skiffctl: ...". Returns @status. */
int cli_fail(const struct cli *c, int status, const char *fmt, ...) printf_like(3, 4);
/* "skiffctl VERB: ...; see skiffctl VERB --help". Returns CLI_USAGE. */
int cli_misused(const struct cli *c, const struct cli_verb *v, const char *fmt, ...)
	printf_like(3, 4);
/*
 * One step of getopt_long over @argv with the short options derived from @options; prints what is
 * wrong. Returns the option's val, -1 at the end (optind as in getopt), or '?'.
 */
struct option;
int cli_option(const struct cli *c, const struct cli_verb *v, int argc, char **argv,
	       const struct option *options);
/* CLI_OK when no words are left after the options, else it says so and returns CLI_USAGE. */
int cli_no_words(const struct cli *c, const struct cli_verb *v, int argc, char **argv);

/* ---- client.c -------------------------------------------------------------------------------- */

/*
 * Asks skiffd. @body of no bytes: none. 0 and the answer's body in @ret_body (buf_done it), when
 * the status is 2xx; else -1 after having said why and what to do.
 */
int cli_ask(struct cli *c, const char *method, const char *target, struct slice body,
	    struct buf *ret_body);
/* The same, and reads the answer as a JSON object; free with json_decref. NULL: said why. */
json_t *cli_ask_json(struct cli *c, const char *method, const char *target, struct slice body);
/* Asks and prints the body as it came. Returns the exit status. */
int cli_print_answer(struct cli *c, const char *method, const char *target);
/* Does somebody answer at the socket? Prints nothing. */
bool cli_is_running(struct cli *c);
/* Appends "?name=value" or "&name=value", percent-encoded, to @target. */
void cli_add_query(struct buf *target, const char *name, const char *value);

/* ---- out.c ----------------------------------------------------------------------------------- */

enum cli_colour { CLI_PLAIN, CLI_BOLD, CLI_RED, CLI_GREEN, CLI_YELLOW };

/* Prints @text in @colour when the output takes colours, padded with blanks to @width columns. */
void cli_paint(const struct cli *c, enum cli_colour colour, int width, const char *text);

/* @s with all control characters but those in @keep escaped; free(3). */
char *cli_text(struct slice s, const char *keep);
/*
 * Escapes them in all strings and keys of @j, whoever made it: names and reasons come from control
 * planes and pods. Takes @j over, NULL too; what comes back is instead of it.
 */
json_t *cli_json_clean(json_t *j);

#define CLI_COLUMNS_MAX 12

/* Rows of text, printed in columns as wide as their widest cell; the first row is the heading. */
struct cli_table {
	size_t columns, cells_n, cap;
	char **cells;
};
void cli_table_add(struct cli_table *t, const char *cell); /* copies; NULL is "-" */
void cli_table_print(const struct cli *c, const struct cli_table *t);
void cli_table_done(struct cli_table *t);

#endif
