/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses as they are on the wire, in place: most of the resources in one are those that the node
 * has, and nothing of them is unpacked or copied. As protobuf has it, unknown fields are skipped
 * and the last one of a field counts. What is in a resource is looked at when it is compiled.
 */
#include <errno.h>

#include "xds/ads_impl.h"
#include "xds/wire.h"

#define MEMORY_MAX PROTOJSON_MEMORY_MAX /* bytes that the list of a response may take */

struct reader {
	struct arena *arena;
	struct err *err;
	const char *type; /* of the message that is being read */
	ptrdiff_t at;     /* the resource that is being read; -1: the response itself */
	size_t room;
	struct slice any_type; /* of the resource before: mostly the same */
};

static int broken(const struct reader *r)
{
	return err_set(r->err, -EINVAL, "the bytes are not a message of type %s", r->type);
}

static void *take_array(struct reader *r, size_t n, size_t size)
{
	size_t bytes = (n + 1) * size; /* never none: NULL is a failure */

	if (n >= r->room / size) {
		err_set(r->err, -E2BIG, "unpacked it takes more than %u MiB of memory",
			MEMORY_MAX >> 20);
		return NULL;
	}
	r->room -= bytes;
	return arena_alloc(r->arena, bytes);
}

static int text_fail(const struct reader *r, const char *field, const char *why)
{
	if (r->at < 0)
		return err_set(r->err, -EINVAL, "%s: %s", field, why);
	return err_set(r->err, -EINVAL, "resources[%td].%s: %s", r->at, field, why);
}

static int text_read(const struct reader *r, const char *field, const struct wire_item *i,
		     struct slice *ret_s)
{
	if (i->type != WIRE_BYTES)
		return broken(r);
	if (!slice_is_utf8(i->data))
		return text_fail(r, field, "the text is no UTF-8");
	if (slice_find(i->data, '\0') >= 0)
		return text_fail(r, field, "the text has a NUL byte");
	*ret_s = i->data;
	return 0;
}

static size_t field_count(struct slice s, uint32_t number)
{
	struct wire_item i;
	size_t n = 0;

	for (; s.len && wire_item_next(s, &i) == 0; s = slice_skip(s, i.used))
		n += i.number == number;
	return n;
}

/* ---- a resource ------------------------------------------------------------------------------ */

static int type_read(struct reader *r, const struct wire_item *i, struct ads_update *u)
{
	int rc = 0;

	if (i->type != WIRE_BYTES || !slice_is_equal(i->data, r->any_type))
		rc = text_read(r, "resource.type_url", i, &r->any_type);
	u->type = r->any_type;
	return rc;
}

static int any_read(struct reader *r, struct slice s, struct ads_update *u)
{
	struct wire_item i;
	int rc = 0;

	u->has_content = true;
	for (; s.len && rc == 0; s = slice_skip(s, i.used)) {
		if (wire_item_next(s, &i) < 0)
			return broken(r);
		if (i.number == 1)
			rc = type_read(r, &i, u);
		else if (i.number == 2 && i.type != WIRE_BYTES)
			rc = broken(r);
		else if (i.number == 2)
			u->value = i.data;
	}
	return rc;
}

static int ttl_read(struct reader *r, struct slice s, struct ads_update *u)
{
	uint64_t v, seconds = 0, nanos = 0;
	struct wire_item i;

	for (; s.len; s = slice_skip(s, i.used)) {
		if (wire_item_next(s, &i) < 0)
			return broken(r);
		if (i.number > 2)
			continue;
		if (i.type != WIRE_VARINT || !wire_varint(i.data, &v))
			return broken(r);
		*(i.number == 1 ? &seconds : &nanos) = v;
	}
	/* Negative ones are large here. */
	if (seconds < ADS_TTL_MAX_S && nanos < NSEC_PER_SEC)
		u->ttl_ms = seconds * 1000 + nanos / NSEC_PER_MSEC;
	return 0;
}

static int alias_read(struct reader *r, struct slice envelope, const struct wire_item *i,
		      struct ads_update *u)
{
	if (!u->aliases)
		u->aliases = take_array(r, field_count(envelope, i->number), sizeof(struct slice));
	if (!u->aliases)
		return -E2BIG;
	return text_read(r, "aliases", i, &u->aliases[u->n_aliases++]);
}

static int resource_read(struct reader *r, struct slice envelope, struct ads_update *u)
{
	struct slice s = envelope;
	struct wire_item i;
	int rc = 0;

	for (; s.len && rc == 0; s = slice_skip(s, i.used)) {
		if (wire_item_next(s, &i) < 0)
			return broken(r);
		switch (i.number) {
		case 1: rc = text_read(r, "version", &i, &u->version); break;
		case 2: rc = i.type == WIRE_BYTES ? any_read(r, i.data, u) : broken(r); break;
		case 3: rc = text_read(r, "name", &i, &u->name); break;
		case 4: rc = alias_read(r, envelope, &i, u); break;
		case 6: rc = i.type == WIRE_BYTES ? ttl_read(r, i.data, u) : broken(r); break;
		default: break;
		}
	}
	return rc;
}

int ads_update_read(struct slice envelope, struct arena *a, struct ads_update *ret_u, struct err *e)
{
	struct reader r = { a, e, "envoy.service.discovery.v3.Resource", -1, MEMORY_MAX,
			    SLICE_NONE };
	struct ads_update u = { .n_aliases = 0 };
	int rc = resource_read(&r, envelope, &u);

	if (rc == 0)
		*ret_u = u;
	return rc;
}

/* ---- a response ------------------------------------------------------------------------------ */

/* The next resource; without increments it is an Any. */
static int response_resource(struct reader *r, const struct wire_item *i, bool is_delta,
			     struct ads_response *m)
{
	struct ads_update *u = &m->v[m->n];
	int rc;

	if (i->type != WIRE_BYTES)
		return broken(r);
	*u = (struct ads_update){ .n_aliases = 0 };
	r->at = m->n++;
	rc = is_delta ? resource_read(r, i->data, u) : any_read(r, i->data, u);
	r->at = -1;
	return rc;
}

int ads_response_read(struct slice s, bool is_delta, struct arena *a, struct ads_response *ret_m,
		      struct err *e)
{
	struct reader r = { a, e,
			    is_delta ? "envoy.service.discovery.v3.DeltaDiscoveryResponse" :
				       "envoy.service.discovery.v3.DiscoveryResponse",
			    -1, MEMORY_MAX, SLICE_NONE };
	struct ads_response m = { .n = 0 };
	struct wire_item i;
	int rc = 0;

	m.v = take_array(&r, field_count(s, 2), sizeof(*m.v));
	m.gone = take_array(&r, is_delta ? field_count(s, 6) : 0, sizeof(*m.gone));
	if (!m.v || !m.gone)
		return -E2BIG;
	for (; s.len && rc == 0; s = slice_skip(s, i.used)) {
		if (wire_item_next(s, &i) < 0)
			return broken(&r);
		if (i.number == 1)
			rc = text_read(&r, "version_info", &i, &m.version);
		else if (i.number == 2)
			rc = response_resource(&r, &i, is_delta, &m);
		else if (i.number == 4)
			rc = text_read(&r, "type_url", &i, &m.type);
		else if (i.number == 5)
			rc = text_read(&r, "nonce", &i, &m.nonce);
		else if (i.number == 6 && is_delta)
			rc = text_read(&r, "removed_resources", &i, &m.gone[m.n_gone++]);
	}
	if (rc == 0)
		*ret_m = m;
	return rc;
}
