/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's body: the leading strings, the arguments (stepped over) and the attachments, into
 * the generic message. All of it is one Hessian stream, so the attachments can be reached only
 * through the arguments.
 */
#include "codec/dubbo/dubbo_impl.h"

#include <errno.h>

#include "codec/dubbo/hessian2.h"

/* Attachments that most requests stay below: room for them is made at once. */
#define PROPS_FIRST 16
/* Text of the protocol's version that a log shows at most. */
#define PROTOCOL_BYTES 32

bool dubbo_invocation_is_readable(unsigned int serialization)
{
	return serialization == DUBBO_SER_HESSIAN2 || serialization == DUBBO_SER_FASTJSON2;
}

int dubbo_types_count(struct slice types)
{
	int n = 0;

	while (types.len) {
		while (types.len && *types.ptr == '[')
			types = slice_skip(types, 1);
		if (!types.len)
			return -1;
		if (*types.ptr == 'L') {
			ptrdiff_t end = slice_find(types, ';');

			if (end < 2)
				return -1;
			types = slice_skip(types, (size_t)end + 1);
		} else {
			if (!memchr("BCDFIJSZ", *types.ptr, 8))
				return -1;
			types = slice_skip(types, 1);
		}
		n++;
	}
	return n;
}

int dubbo_prop_add(struct l7_msg *m, struct slice name, struct slice value,
		   const struct codec_limits *limits, size_t *room, const char **ret_why)
{
	if (m->props.n >= limits->props) {
		*ret_why = "too many attachments";
		return -E2BIG;
	}
	if (name.len + value.len > *room) {
		*ret_why = "attachments are too large";
		return -E2BIG;
	}
	*room -= name.len + value.len;
	l7_props_add(&m->props, l7_key_find(name), name, value);
	if (slice_is_equal(name, SLICE("group")))
		m->group = value;
	return 0;
}

static int lead_read(struct hessian2 *h, struct dubbo_lead *lead)
{
	int r = hessian2_string(h, &lead->protocol);

	if (r == 0)
		r = hessian2_string(h, &lead->path);
	if (r == 0)
		r = hessian2_string(h, &lead->version);
	if (r == 0)
		r = hessian2_string(h, &lead->method);
	if (r == 0)
		r = hessian2_string(h, &lead->types);
	return r;
}

/* One key and its value. Keys or values that are not strings are of no use for routing. */
static int attachment_read(struct hessian2 *h, struct l7_msg *m, const struct codec_limits *limits,
			   size_t *room, const char **ret_why)
{
	struct slice name = SLICE_NONE, value;
	int r;

	r = hessian2_is_string(h) ? hessian2_string(h, &name) : hessian2_skip(h);
	if (r < 0)
		return r;
	if (!name.ptr || !hessian2_is_string(h))
		return hessian2_skip(h);
	r = hessian2_string(h, &value);
	return r < 0 ? r : dubbo_prop_add(m, name, value, limits, room, ret_why);
}

static int attachments_read(struct hessian2 *h, struct l7_msg *m,
			    const struct codec_limits *limits, const char **ret_why)
{
	size_t room = limits->head_bytes;
	int r;

	if (hessian2_is_end(h))
		return 0; /* peers older than attachments */
	r = hessian2_map_open(h);
	if (r <= 0)
		return r;
	while (!hessian2_map_is_done(h)) {
		r = attachment_read(h, m, limits, &room, ret_why);
		if (r < 0)
			return r;
	}
	return 0;
}

int dubbo_hessian2_read(struct l7_msg *m, struct dubbo_lead *lead, struct slice body,
			const struct codec_limits *limits, struct arena *a, const char **ret_why)
{
	struct hessian2 h;
	int args, r;

	hessian2_init(&h, body, limits->depth, limits->head_bytes, a);
	r = lead_read(&h, lead);
	if (r == 0) {
		args = dubbo_types_count(lead->types);
		if (args < 0) {
			*ret_why = "parameter types are not a descriptor";
			return -EPROTO;
		}
		while (r == 0 && args--)
			r = hessian2_skip(&h);
	}
	if (r == 0)
		r = attachments_read(&h, m, limits, ret_why);
	if (r < 0 && h.error)
		*ret_why = h.error;
	return r;
}

/* "Dubbo/2.0.2" for logs. */
static struct slice protocol_text(struct slice version, struct arena *a)
{
	if (likely(slice_is_equal(version, SLICE("2.0.2"))))
		return SLICE("Dubbo/2.0.2");
	version = slice_first(version, PROTOCOL_BYTES);
	return version.len ? arena_printf(a, "Dubbo/%.*s", SLICE_ARG(version)) : SLICE("Dubbo");
}

int dubbo_invocation_read(struct l7_msg *m, unsigned int serialization, struct slice body,
			  const struct codec_limits *limits, struct arena *a, const char **ret_why)
{
	struct dubbo_lead lead = { 0 };
	int r;

	if (!m->props.cap) {
		m->props.v = arena_alloc(a, PROPS_FIRST * sizeof(*m->props.v));
		m->props.cap = PROPS_FIRST;
	}
	r = serialization == DUBBO_SER_FASTJSON2 ?
		    dubbo_fastjson2_read(m, &lead, body, limits, ret_why) :
		    dubbo_hessian2_read(m, &lead, body, limits, a, ret_why);
	if (r < 0)
		return r;
	if (!lead.path.len || !lead.method.len) {
		*ret_why = "interface or method is empty";
		return -EPROTO;
	}
	m->host = lead.path;
	m->version = lead.version;
	m->method = lead.method;
	m->protocol = protocol_text(lead.protocol, a);
	return 0;
}
