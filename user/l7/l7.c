/* SPDX-License-Identifier: Apache-2.0 */
/* The generic message: its property list, keeping it past an event, and values by name. */
#include "l7/l7.h"

#define PROPS_FIRST 16 /* entries of a list's first array */

void l7_props_init(struct l7_props *p, struct arena *a)
{
	*p = (struct l7_props){ .arena = a };
}

static void props_grow(struct l7_props *p)
{
	uint32_t cap = p->cap ? p->cap * 2 : PROPS_FIRST;
	struct l7_prop *v;

	must(p->arena && cap > p->cap);
	v = arena_alloc(p->arena, sizeof(*v) * cap);
	if (p->n)
		memcpy(v, p->v, sizeof(*v) * p->n);
	p->v = v;
	p->cap = cap;
}

struct l7_prop *l7_props_add(struct l7_props *p, enum l7_key key, struct slice name,
			     struct slice value)
{
	struct l7_prop *prop;

	if (unlikely(p->n == p->cap))
		props_grow(p);
	prop = &p->v[p->n++];
	*prop = (struct l7_prop){ .name = name, .value = value, .key = key };
	return prop;
}

struct l7_prop *l7_props_get(const struct l7_props *p, enum l7_key key)
{
	l7_props_each(p, i)
		if (p->v[i].key == key)
			return &p->v[i];
	return NULL;
}

/* A list may hold interned names without their key: then bytes decide. */
static bool prop_is(const struct l7_prop *prop, enum l7_key key, struct slice name)
{
	if (key != L7_KEY_NONE && prop->key != L7_KEY_NONE)
		return prop->key == key;
	return slice_is_equal(prop->name, name);
}

struct l7_prop *l7_props_find(const struct l7_props *p, struct slice name)
{
	enum l7_key key = l7_key_find(name);

	l7_props_each(p, i)
		if (prop_is(&p->v[i], key, name))
			return &p->v[i];
	return NULL;
}

struct slice l7_props_value(const struct l7_props *p, enum l7_key key)
{
	const struct l7_prop *prop = l7_props_get(p, key);

	return prop ? prop->value : SLICE_NONE;
}

unsigned int l7_props_remove(struct l7_props *p, enum l7_key key)
{
	unsigned int n = 0;

	l7_props_each(p, i)
		if (p->v[i].key == key) {
			p->v[i].dead = true;
			n++;
		}
	return n;
}

unsigned int l7_props_remove_name(struct l7_props *p, struct slice name)
{
	enum l7_key key = l7_key_find(name);
	unsigned int n = 0;

	l7_props_each(p, i)
		if (prop_is(&p->v[i], key, name)) {
			p->v[i].dead = true;
			n++;
		}
	return n;
}

static void props_put(struct l7_props *p, enum l7_key key, struct slice name, struct slice value)
{
	struct l7_prop *first = NULL;

	l7_props_each(p, i) {
		if (!prop_is(&p->v[i], key, name))
			continue;
		if (first)
			p->v[i].dead = true;
		else
			first = &p->v[i];
	}
	if (first)
		first->value = value;
	else
		l7_props_add(p, key, name, value);
}

void l7_props_set(struct l7_props *p, enum l7_key key, struct slice value)
{
	props_put(p, key, l7_key_name(key), value);
}

void l7_props_set_name(struct l7_props *p, struct slice name, struct slice value)
{
	props_put(p, l7_key_find(name), name, value);
}

bool l7_props_joined(const struct l7_props *p, struct slice name, struct arena *a,
		     struct slice *ret_v)
{
	enum l7_key key = l7_key_find(name);
	const struct l7_prop *first = NULL;
	size_t len = 0, n = 0;
	char *to, *at;

	l7_props_each(p, i) {
		if (!prop_is(&p->v[i], key, name))
			continue;
		if (!first)
			first = &p->v[i];
		len += p->v[i].value.len;
		n++;
	}
	if (!first)
		return false;
	if (n == 1) {
		*ret_v = first->value;
		return true;
	}
	to = at = arena_alloc(a, len + n - 1);
	l7_props_each(p, i) {
		struct slice v = p->v[i].value;

		if (!prop_is(&p->v[i], key, name))
			continue;
		if (&p->v[i] != first)
			*at++ = ',';
		if (v.len)
			memcpy(at, v.ptr, v.len);
		at += v.len;
	}
	*ret_v = slice_of(to, (size_t)(at - to));
	return true;
}

void l7_msg_init(struct l7_msg *m, enum l7_kind kind, struct arena *a)
{
	*m = (struct l7_msg){ .kind = kind, .body_len = -1 };
	l7_props_init(&m->props, a);
}

static struct slice keep(struct slice s, char **at)
{
	char *to = *at;

	if (!s.len)
		return SLICE_NONE;
	memcpy(to, s.ptr, s.len);
	*at += s.len;
	return slice_of(to, s.len);
}

void l7_msg_keep(struct l7_msg *m, struct arena *a)
{
	struct slice *own[] = { &m->scheme, &m->host, &m->method, &m->path, &m->group,
				&m->version, &m->reason, &m->protocol, &m->raw };
	struct l7_props props = { .arena = a };
	size_t len = 0;
	char *at;

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		len += own[i]->len;
	l7_props_each(&m->props, i) {
		len += m->props.v[i].value.len;
		if (m->props.v[i].key == L7_KEY_NONE)
			len += m->props.v[i].name.len;
		props.cap++;
	}
	at = arena_alloc(a, len);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		*own[i] = keep(*own[i], &at);
	if (props.cap)
		props.v = arena_alloc(a, sizeof(*props.v) * props.cap);
	l7_props_each(&m->props, i) {
		struct l7_prop p = m->props.v[i];

		p.name = p.key == L7_KEY_NONE ? keep(p.name, &at) : l7_key_name(p.key);
		p.value = keep(p.value, &at);
		props.v[props.n++] = p;
	}
	m->props = props;
}

static bool pseudo(struct slice v, struct slice *ret_v)
{
	if (!v.len)
		return false;
	*ret_v = v;
	return true;
}

bool l7_msg_value(const struct l7_msg *m, struct slice name, struct arena *a, struct slice *ret_v)
{
	if (name.len && name.ptr[0] == ':') {
		if (slice_is_equal(name, SLICE(":path")))
			return pseudo(m->path, ret_v);
		if (slice_is_equal(name, SLICE(":authority")))
			return pseudo(m->host, ret_v);
		if (slice_is_equal(name, SLICE(":method")))
			return pseudo(m->method, ret_v);
		if (slice_is_equal(name, SLICE(":scheme")))
			return pseudo(m->scheme, ret_v);
		if (slice_is_equal(name, SLICE(":status")) && m->status) {
			*ret_v = arena_printf(a, "%u", m->status);
			return true;
		}
		return false;
	}
	if (l7_props_joined(&m->props, name, a, ret_v))
		return true;
	/* Codecs move this property to m->host. */
	return slice_is_equal(name, l7_key_name(L7_KEY_HOST)) && pseudo(m->host, ret_v);
}

uint32_t l7_reply_status(const struct l7_reply *r)
{
	static const uint16_t status[] = {
#define X(id, number) [L7_REPLY_##id] = number,
		L7_REPLIES(X)
#undef X
	};

	if (r->status)
		return r->status;
	must((size_t)r->code < ARRAY_LEN(status));
	return status[r->code];
}
