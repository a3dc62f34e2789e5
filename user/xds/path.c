/* SPDX-License-Identifier: Apache-2.0 */
/* Text of the place in a resource; see path.h. */
#include "xds/path.h"

#include <stdarg.h>

static size_t push(struct xds_path *p, const char *fmt, ...) printf_like(2, 3);

static size_t push(struct xds_path *p, const char *fmt, ...)
{
	size_t mark = p->len, room = sizeof(p->text) - p->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(p->text + p->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		p->len += (size_t)n < room ? (size_t)n : room - 1;
	return mark;
}

void xds_path_init(struct xds_path *p, const char *root)
{
	p->len = 0;
	p->text[0] = '\0';
	push(p, "%s", root);
}

/* What stands between the path so far and the next field. */
static const char *dot(const struct xds_path *p)
{
	return p->len && p->text[p->len - 1] != ' ' ? "." : "";
}

size_t xds_path_push(struct xds_path *p, const char *field)
{
	return push(p, "%s%s", dot(p), field);
}

size_t xds_path_push_at(struct xds_path *p, const char *field, size_t index)
{
	return push(p, "%s%s[%zu]", *field ? dot(p) : "", field, index);
}

size_t xds_path_push_raw(struct xds_path *p, const char *text)
{
	return push(p, "%s", text);
}

size_t xds_path_push_key(struct xds_path *p, const char *key)
{
	return push(p, "[%s]", key);
}

void xds_path_pop(struct xds_path *p, size_t mark)
{
	p->len = mark;
	p->text[mark] = '\0';
}
