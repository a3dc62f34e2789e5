/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COALESCE({"operators": [...]}): the first of its operators that has a value. An operator is its
 * name, or {"command": name, "param": text, "max_length": number}.
 */
#include <errno.h>
#include <jansson.h>

#include "l7/format_impl.h"

#define CHOICES_MAX 32

static const char *const members[] = { "command", "param", "max_length" };

static int check_members(json_t *o, struct err *e)
{
	const char *name;
	json_t *v;

	json_object_foreach(o, name, v) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(members); i++)
			known |= strcmp(name, members[i]) == 0;
		if (!known)
			return err_set(e, -EINVAL, "an operator has no member '%s'", name);
	}
	return 0;
}

/* A text member into @a; false: it is there and no text. */
static bool text_of(json_t *v, struct arena *a, struct slice *ret_s)
{
	if (v && !json_is_string(v))
		return false;
	if (v)
		*ret_s = arena_slice(a, slice_of(json_string_value(v), json_string_length(v)));
	return true;
}

/* @v as a command; its slices lie in @a. */
static int read_choice(json_t *v, struct arena *a, struct command *ret_c, struct err *e)
{
	struct command c = { 0 };
	json_t *length;
	int r;

	if (json_is_string(v)) {
		text_of(v, a, &ret_c->name);
		return 0;
	}
	if (!json_is_object(v))
		return err_set(e, -EINVAL, "an operator is a text or an object");
	r = check_members(v, e);
	if (r < 0)
		return r;
	length = json_object_get(v, members[2]);
	if (!text_of(json_object_get(v, members[0]), a, &c.name) || !c.name.len)
		return err_set(e, -EINVAL, "an operator needs the text 'command'");
	if (!text_of(json_object_get(v, members[1]), a, &c.args))
		return err_set(e, -EINVAL, "'param' of an operator is no text");
	if (length && (!json_is_integer(length) || json_integer_value(length) <= 0))
		return err_set(e, -EINVAL, "'max_length' of an operator is no positive number");
	c.has_args = c.args.len > 0;
	c.has_length = length != NULL;
	if (length)
		c.length = arena_printf(a, "%lld", (long long)json_integer_value(length));
	*ret_c = c;
	return 0;
}

static int read_choices(json_t *list, struct part *p, struct arena *a, struct err *e)
{
	size_t n = json_array_size(list);
	struct part *v;

	if (!json_is_array(list) || !n || n > CHOICES_MAX)
		return err_set(e, -EINVAL, "'operators' must be a list of 1 to %d", CHOICES_MAX);
	v = arena_array(a, struct part, n);
	for (size_t i = 0; i < n; i++) {
		struct command c = { 0 };
		int r = read_choice(json_array_get(list, i), a, &c, e);

		if (r == 0 && slice_is_equal(c.name, SLICE("COALESCE")))
			r = err_set(e, -EINVAL, "COALESCE cannot stand in itself");
		if (r == 0)
			r = part_compile(&c, i, &v[i], a, e);
		if (r < 0)
			return err_prefix(e, r, "operator %zu", i);
	}
	p->choices = v;
	p->option = (uint32_t)n;
	return 0;
}

int prepare_coalesce(struct part *p, struct slice args, struct arena *a, struct err *e)
{
	json_error_t why;
	json_t *root = json_loadb(args.ptr, args.len, JSON_REJECT_DUPLICATES, &why);
	int r;

	if (!json_is_object(root) || json_object_size(root) != 1 ||
	    !json_object_get(root, "operators"))
		r = err_set(e, -EINVAL, "'%.*s' is not {\"operators\": [...]}", SLICE_ARG(args));
	else
		r = read_choices(json_object_get(root, "operators"), p, a, e);
	json_decref(root);
	return r;
}

enum value_kind append_coalesce(const struct part *p, const struct l7_info *in, struct buf *out)
{
	enum value_kind kind = VALUE_ABSENT;

	for (uint32_t i = 0; i < p->option && kind == VALUE_ABSENT; i++)
		kind = part_append(&p->choices[i], in, out);
	return kind;
}
