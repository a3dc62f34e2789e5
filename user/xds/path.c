/* SPDX-License-Identifier: Apache-2.0 */
/* Text of the place in a resource; see path.h. */
#include "xds/path.h"

#include <string.h>

/* No printf: it is done for every field of every resource that comes. */
static void add(struct xds_path *p, const char *text, size_t n)
{
	size_t room = sizeof(p->text) - 1 - p->len;

	if (n > room)
		n = room;
	memcpy(p->text + p->len, text, n);
	p->len += n;
	p->text[p->len] = '\0';
}

static void add_str(struct xds_path *p, const char *text)
{
	add(p, text, strlen(text));
}

static void add_number(struct xds_path *p, size_t v)
{
	char digits[20], *at = digits + sizeof(digits);

	do
		*--at = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	add(p, at, (size_t)(digits + sizeof(digits) - at));
}

void xds_path_init(struct xds_path *p, const char *root)
{
	p->len = 0;
	p->text[0] = '\0';
	add_str(p, root);
}

/* What stands between the path so far and the next field. */
static const char *dot(const struct xds_path *p)
{
	return p->len && p->text[p->len - 1] != ' ' ? "." : "";
}

size_t xds_path_push(struct xds_path *p, const char *field)
{
	size_t mark = p->len;

	add_str(p, dot(p));
	add_str(p, field);
	return mark;
}

size_t xds_path_push_at(struct xds_path *p, const char *field, size_t index)
{
	size_t mark = *field ? xds_path_push(p, field) : p->len;

	add(p, "[", 1);
	add_number(p, index);
	add(p, "]", 1);
	return mark;
}

size_t xds_path_push_raw(struct xds_path *p, const char *text)
{
	size_t mark = p->len;

	add_str(p, text);
	return mark;
}

size_t xds_path_push_key(struct xds_path *p, const char *key)
{
	size_t mark = p->len;

	add(p, "[", 1);
	add_str(p, key);
	add(p, "]", 1);
	return mark;
}

void xds_path_pop(struct xds_path *p, size_t mark)
{
	p->len = mark;
	p->text[mark] = '\0';
}
