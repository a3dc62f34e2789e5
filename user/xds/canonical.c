/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed messages in one form: the entries of maps sorted by key. Only whole entries change places,
 * so lengths and everything around them stay, and it is done in place. Maps are known by our
 * descriptors; those within messages that our subset lacks stay as they came.
 */
#include "base/buf.h"
#include "xds/protojson_impl.h"
#include "xds/registry.h"
#include "xds/store.h"
#include "xds/wire.h"

struct run {
	struct slice *v; /* entries, tags included, as they stand behind each other */
	size_t n, cap;
	struct buf scratch;
};

static void canonicalize(const ProtobufCMessageDescriptor *d, char *p, size_t n, struct run *r,
			 unsigned int depth);

/* The key of a map entry, packed, tag included: equal keys have equal bytes. */
static struct slice entry_key(struct slice entry)
{
	struct wire_item outer, i;
	struct slice s;

	if (wire_item_next(entry, &outer) < 0)
		return SLICE_NONE;
	for (s = outer.data; s.len && wire_item_next(s, &i) == 0; s = slice_skip(s, i.used))
		if (i.number == 1)
			return i.data;
	return SLICE_NONE;
}

static int slice_compare(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.ptr, b.ptr, n) : 0;

	return c ? c : a.len < b.len ? -1 : a.len > b.len;
}

/* By key; entries with the same key keep their order (the last one counts). */
static int entry_compare(const void *x, const void *y)
{
	const struct slice *a = x, *b = y;
	int c = slice_compare(entry_key(*a), entry_key(*b));

	return c ? c : a->ptr < b->ptr ? -1 : a->ptr > b->ptr;
}

/* Sorts the entries from @from on, which stand behind each other at @p, and forgets them. */
static void run_sort(struct run *r, size_t from, char *p)
{
	if (r->n - from > 1) {
		buf_clear(&r->scratch);
		qsort(r->v + from, r->n - from, sizeof(*r->v), entry_compare);
		for (size_t i = from; i < r->n; i++)
			buf_add_slice(&r->scratch, r->v[i]);
		memcpy(p, buf_ptr(&r->scratch), buf_len(&r->scratch));
	}
	r->n = from;
}

static void run_add(struct run *r, struct slice entry)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 32;
		r->v = xrealloc(r->v, r->cap * sizeof(*r->v));
	}
	r->v[r->n++] = entry;
}

/* What a field of type bytes or message holds; @inner: the type within the Any around it. */
static void field_canonicalize(const ProtobufCFieldDescriptor *f,
			       const ProtobufCMessageDescriptor *inner, struct wire_item *i,
			       struct run *r, unsigned int depth)
{
	char *p = (char *)(uintptr_t)i->data.ptr;

	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		canonicalize(f->descriptor, p, i->data.len, r, depth);
	else if (inner && f->id == 2)
		canonicalize(inner, p, i->data.len, r, depth);
}

/* The type of what an Any holds; NULL when @d is none. */
static const ProtobufCMessageDescriptor *any_inner(const ProtobufCMessageDescriptor *d,
						   struct slice bytes)
{
	return d == &google__protobuf__any__descriptor ? registry_find(wire_bytes(bytes, 1)) : NULL;
}

static void canonicalize(const ProtobufCMessageDescriptor *d, char *p, size_t n, struct run *r,
			 unsigned int depth)
{
	const ProtobufCMessageDescriptor *inner;
	const ProtobufCFieldDescriptor *f;
	struct slice s = slice_of(p, n);
	size_t from = r->n;
	uint32_t in = 0; /* the map whose entries have been collected */
	char *first = p;
	struct wire_item i;

	if (!d || depth >= PROTOJSON_DEPTH_MAX)
		return;
	inner = any_inner(d, s);
	while (s.len && wire_item_next(s, &i) == 0) {
		f = protobuf_c_message_descriptor_get_field(d, i.number);
		if (f && i.type == WIRE_BYTES)
			field_canonicalize(f, inner, &i, r, depth + 1);
		if (in != i.number) {
			run_sort(r, from, first);
			first = (char *)(uintptr_t)s.ptr;
			in = f && i.type == WIRE_BYTES && field_is_map(f) ? i.number : 0;
		}
		if (in)
			run_add(r, slice_first(s, i.used));
		s = slice_skip(s, i.used);
	}
	run_sort(r, from, first);
}

void xds_canonicalize(struct slice type_name, char *p, size_t n)
{
	struct run r = { 0 };

	canonicalize(registry_find(type_name), p, n, &r, 0);
	free(r.v);
	buf_done(&r.scratch);
}
