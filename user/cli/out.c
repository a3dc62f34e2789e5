/* SPDX-License-Identifier: Apache-2.0 */
/* Colours and columns. */
#include "cli/cli_impl.h"

#define GAP 2 /* blanks between columns */

void cli_paint(const struct cli *c, enum cli_colour colour, int width, const char *text)
{
	static const char *const codes[] = {
		[CLI_PLAIN] = "", [CLI_BOLD] = "1", [CLI_RED] = "31", [CLI_GREEN] = "32",
		[CLI_YELLOW] = "33",
	};

	if (!c->env->colour || colour == CLI_PLAIN)
		fprintf(c->env->out, "%-*s", width, text);
	else
		fprintf(c->env->out, "\033[%sm%-*s\033[0m", codes[colour], width, text);
}

void cli_table_add(struct cli_table *t, const char *cell)
{
	if (t->cells_n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->cells = xrealloc(t->cells, t->cap * sizeof(*t->cells));
	}
	t->cells[t->cells_n++] = xstrdup(cell ? cell : "-");
}

void cli_table_print(const struct cli *c, const struct cli_table *t)
{
	int width[CLI_COLUMNS_MAX] = { 0 };

	must(t->columns && t->columns <= CLI_COLUMNS_MAX && t->cells_n % t->columns == 0);
	for (size_t i = 0; i < t->cells_n; i++) {
		int len = (int)strlen(t->cells[i]);

		if (len > width[i % t->columns])
			width[i % t->columns] = len;
	}
	for (size_t i = 0; i < t->cells_n; i++) {
		size_t column = i % t->columns;
		bool last = column + 1 == t->columns;

		cli_paint(c, i < t->columns ? CLI_BOLD : CLI_PLAIN, last ? 0 : width[column],
			  t->cells[i]);
		fprintf(c->env->out, "%*s", last ? 0 : GAP, "");
		if (last)
			fputc('\n', c->env->out);
	}
}

void cli_table_done(struct cli_table *t)
{
	for (size_t i = 0; i < t->cells_n; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct cli_table){ 0 };
}
