/* SPDX-License-Identifier: Apache-2.0 */
/* Texts against string matchers, with Envoy 1.40's answers. */
#include "mesh/match.h"

#include "base/regex.h"

static bool has_inside_nocase(struct slice text, struct slice part)
{
	for (size_t i = 0; i + part.len <= text.len; i++)
		if (strncasecmp(text.ptr + i, part.ptr, part.len) == 0)
			return true;
	return part.len == 0;
}

static bool has_inside(struct slice text, struct slice part, bool ignore_case)
{
	if (ignore_case)
		return has_inside_nocase(text, part);
	return !part.len || (text.len && memmem(text.ptr, text.len, part.ptr, part.len));
}

static bool part_is_equal(struct slice part, struct slice to, bool ignore_case)
{
	return ignore_case ? slice_is_equal_nocase(part, to) : slice_is_equal(part, to);
}

bool mesh_string_is_match(const struct mesh_string *s, struct slice text)
{
	struct slice want = s->text;

	switch (s->kind) {
	case MESH_STRING_EXACT:
		return part_is_equal(text, want, s->ignore_case);
	case MESH_STRING_PREFIX:
		return text.len >= want.len &&
		       part_is_equal(slice_first(text, want.len), want, s->ignore_case);
	case MESH_STRING_SUFFIX:
		return text.len >= want.len &&
		       part_is_equal(slice_skip(text, text.len - want.len), want, s->ignore_case);
	case MESH_STRING_CONTAINS:
		return has_inside(text, want, s->ignore_case);
	case MESH_STRING_REGEX:
		return regex_is_match(s->regex, text);
	}
	return false;
}
