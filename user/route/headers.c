/* SPDX-License-Identifier: Apache-2.0 */
/* Header changes of routes, virtual hosts, tables and filters, in Envoy's order. */
#include "l7/format.h"
#include "l7/join.h"
#include "route/route.h"

struct pending {
	const struct mesh_header_add *add;
	struct slice value;
	bool overwrite;
};

/* The field of @m that @name stands for, or NULL. */
static struct slice *field(struct l7_msg *m, struct slice name)
{
	if (slice_is_equal(name, SLICE("host")) || slice_is_equal(name, SLICE(":authority")))
		return &m->host;
	if (slice_is_equal(name, SLICE(":path")))
		return &m->path;
	if (slice_is_equal(name, SLICE(":method")))
		return &m->method;
	if (slice_is_equal(name, SLICE(":scheme")))
		return &m->scheme;
	return NULL;
}

static bool is_special(struct slice name)
{
	return (name.len && name.ptr[0] == ':') || slice_is_equal(name, SLICE("host"));
}

static bool is_there(struct l7_msg *m, struct slice name)
{
	struct slice *f = field(m, name);

	return f ? f->len > 0 : l7_props_find(&m->props, name) != NULL;
}

static void set_field(struct l7_msg *m, struct slice name, struct slice value)
{
	struct slice *f = l7_msg_is_request(m) ? field(m, name) : NULL;

	if (f)
		*f = value;
}

static void add_value(struct l7_msg *m, struct slice name, struct slice value, struct arena *a)
{
	struct slice old;

	if (is_special(name)) {
		set_field(m, name, value);
		return;
	}
	if (!l7_name_is_joined(name, l7_msg_is_request(m)) ||
	    !l7_props_joined(&m->props, name, a, &old)) {
		l7_props_add(&m->props, l7_key_find(name), name, value);
		return;
	}
	if (old.len && value.len)
		value = arena_join(a, (struct slice[]){ old, SLICE(","), value }, 3);
	else if (old.len)
		value = old;
	l7_props_set_name(&m->props, name, value);
}

/* Keeps no older value. */
static void overwrite_value(struct l7_msg *m, struct slice name, struct slice value)
{
	if (is_special(name))
		set_field(m, name, value);
	else
		l7_props_set_name(&m->props, name, value);
}

/* false: the action leaves the message alone. */
static bool is_wanted(const struct mesh_header_add *add, struct l7_msg *m, struct pending *p)
{
	p->overwrite = add->action == MESH_OVERWRITE_OR_ADD ||
		       add->action == MESH_OVERWRITE_IF_EXISTS;
	if (!p->value.len && !add->keep_empty)
		return false;
	if (add->action == MESH_ADD_IF_ABSENT)
		return !is_there(m, add->name);
	return add->action != MESH_OVERWRITE_IF_EXISTS || is_there(m, add->name);
}

static struct slice format_value(const struct mesh_header_add *add, const struct l7_info *in,
				 struct arena *a, struct buf *scratch)
{
	struct slice text;

	if (l7_format_is_literal(add->value, &text))
		return text;
	buf_clear(scratch);
	l7_format_text(add->value, in, true, scratch);
	return arena_slice(a, buf_slice(scratch));
}

void route_headers_steps(const struct mesh_header_steps *s, struct l7_msg *m,
			 const struct l7_info *in, struct arena *a)
{
	for (uint32_t i = 0; i < s->n; i++)
		route_headers_apply(&s->v[i], m, in, a);
}

void route_headers_apply(const struct mesh_header_ops *ops, struct l7_msg *m,
			 const struct l7_info *in, struct arena *a)
{
	struct buf scratch = { 0 };
	struct pending *p;
	uint32_t n = 0;

	for (uint32_t i = 0; i < ops->n_remove; i++)
		if (!is_special(ops->remove[i]))
			l7_props_remove_name(&m->props, ops->remove[i]);
	if (!ops->n_add)
		return;
	/* All values come from the message as it was before any of them was set. */
	p = arena_alloc(a, sizeof(*p) * ops->n_add);
	for (uint32_t i = 0; i < ops->n_add; i++) {
		p[n].add = &ops->add[i];
		p[n].value = format_value(p[n].add, in, a, &scratch);
		if (is_wanted(p[n].add, m, &p[n]))
			n++;
	}
	for (uint32_t i = 0; i < n; i++)
		if (p[i].overwrite)
			overwrite_value(m, p[i].add->name, p[i].value);
	for (uint32_t i = 0; i < n; i++)
		if (!p[i].overwrite)
			add_value(m, p[i].add->name, p[i].value, a);
	buf_done(&scratch);
}
