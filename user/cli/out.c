/* SPDX-License-Identifier: Apache-2.0 */
/* Colours, columns, and text that a terminal can be given. */
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

char *cli_text(struct slice s, const char *keep)
{
	char *text = xmalloc(s.len * SLICE_ESCAPED + 1);

	text[slice_escape(s, keep, text, 0, s.len * SLICE_ESCAPED)] = '\0';
	return text;
}

static json_t *object_clean(json_t *o)
{
	json_t *clean = json_object(), *v;
	const char *key;

	json_object_foreach(o, key, v)
	{
		char *text = cli_text(slice_str(key), "");

		json_object_set_new_nocheck(clean, text, cli_json_clean(json_incref(v)));
		free(text);
	}
	json_decref(o);
	return clean;
}

json_t *cli_json_clean(json_t *j)
{
	if (json_is_object(j))
		return object_clean(j);
	if (json_is_string(j)) {
		struct slice s = slice_of(json_string_value(j), json_string_length(j));
		char *text = cli_text(s, "");

		json_string_set_nocheck(j, text);
		free(text);
	}
	for (size_t i = 0; json_is_array(j) && i < json_array_size(j); i++)
		json_array_set_new(j, i, cli_json_clean(json_incref(json_array_get(j, i))));
	return j;
}
