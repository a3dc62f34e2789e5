/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scripted control plane for tests of the ADS client: no sockets, no real resources. What the
 * client sends is told as text ("EDS +a +b", "CDS ack n1"), what the server says is written as
 * text ("a =1 eds:a, b bad"), and so is what is published ("CDS a=1 b; EDS a").
 *
 * A resource: NAME and, behind blanks: =TEXT its content; v=VERSION; ttl=MS; cds:NAME eds:NAME ...
 * what it needs, with ~ weakly; bad (does not compile); as=NAME (its content has another name);
 * empty (no content); alien (of another type).
 */
#ifndef SKIFF_TEST_T_ADS_H
#define SKIFF_TEST_T_ADS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "xds/ads_impl.h"
#include "xds/wire.h"

#define T_TEXT 65536
#define T_URL "type.googleapis.com/envoy.service.discovery.v3.Resource"

static const char *const t_kinds[MESH_PART_KINDS] = { "cds",  "eds",  "lds", "rds",
						      "drds", "ecds", "sds", "vhds" };

static inline void t_append(char *at, const char *fmt, ...) printf_like(2, 3);
static inline void t_append(char *at, const char *fmt, ...)
{
	size_t n = strlen(at);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(at + n, T_TEXT - n, fmt, ap);
	va_end(ap);
}

/* ---- contents: field 1 name, 1001 text, 1002 "kind:name", 1003 "bad" ----------------------------
 */

static void put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 128; v >>= 7)
		buf_add_char(b, (char)(v | 128));
	buf_add_char(b, (char)v);
}

static void put_bytes(struct buf *b, uint32_t number, struct slice s)
{
	put_varint(b, (uint64_t)number << 3 | WIRE_BYTES);
	put_varint(b, s.len);
	buf_add_slice(b, s);
}

static int t_kind(struct slice s)
{
	for (int k = 0; k < MESH_PART_KINDS; k++)
		if (slice_is_equal(s, slice_str(t_kinds[k])))
			return k;
	return -1;
}

static unsigned int t_compiled;

/* The fake of xds_compile. */
static int t_compile(enum mesh_part_kind kind, struct slice value,
		     const struct xds_resource *before, struct xds_report *report,
		     struct mesh_part **ret_part, struct err *e)
{
	struct mesh_part *p;
	struct slice s = value, name;
	struct wire_item i;
	bool is_weak;

	(void)report;
	(void)before;
	t_compiled++;
	if (wire_bytes(value, 1003).len)
		return err_set(e, -EINVAL, "it is bad");
	p = mesh_part_new(kind, wire_bytes(value, 1));
	p->body = arena_str(&p->arena, wire_bytes(value, 1001));
	for (; s.len && wire_item_next(s, &i) == 0; s = slice_skip(s, i.used)) {
		if (i.number != 1002)
			continue;
		name = i.data;
		is_weak = slice_has_prefix(name, SLICE("~"));
		name = slice_skip(name, is_weak);
		s = slice_skip(s, 0);
		kind = (enum mesh_part_kind)t_kind(slice_split(&name, ':'));
		mesh_part_need(p, kind, name, is_weak);
	}
	mesh_part_finish(p);
	*ret_part = p;
	return 0;
}

struct t_spec {
	struct slice name, version;
	uint64_t ttl;
	bool has_content, is_alien;
	struct buf content;
};

static inline void t_spec_parse(struct slice text, struct t_spec *x)
{
	struct slice w;

	memset(x, 0, sizeof(*x));
	x->has_content = true;
	text = slice_trim(text);
	x->name = slice_split(&text, ' ');
	while (text.len) {
		w = slice_split(&text, ' ');
		if (slice_has_prefix(w, SLICE("=")))
			put_bytes(&x->content, 1001, slice_skip(w, 1));
		else if (slice_has_prefix(w, SLICE("v=")))
			x->version = slice_skip(w, 2);
		else if (slice_has_prefix(w, SLICE("ttl=")))
			slice_to_u64(slice_skip(w, 4), &x->ttl);
		else if (slice_has_prefix(w, SLICE("as=")))
			put_bytes(&x->content, 1, slice_skip(w, 3));
		else if (slice_is_equal(w, SLICE("bad")))
			put_bytes(&x->content, 1003, w);
		else if (slice_is_equal(w, SLICE("empty")))
			x->has_content = false;
		else if (slice_is_equal(w, SLICE("alien")))
			x->is_alien = true;
		else
			put_bytes(&x->content, 1002, w);
	}
	if (!wire_bytes(buf_slice(&x->content), 1).len)
		put_bytes(&x->content, 1, x->name);
}

/* ---- the control plane --------------------------------------------------------------------------
 */

struct t {
	struct io *io;
	struct xds_store *store;
	struct ads *ads;
	struct ads_node *n;
	char requests[T_TEXT], events[T_TEXT], set[T_TEXT];
	unsigned int opened, resets;
	bool refuse_open, fail_send;
};

static struct t t;

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void tell_names(const char *mark, char **v, size_t n)
{
	char *sorted[1000];

	must(n < ARRAY_LEN(sorted));
	if (!n)
		return;
	memcpy(sorted, v, n * sizeof(*v));
	qsort(sorted, n, sizeof(*v), text_cmp);
	for (size_t i = 0; i < n; i++)
		t_append(t.requests, " %s%s", mark, sorted[i]);
}

static const char *url_short(const char *url)
{
	enum mesh_part_kind kind;

	return xds_type_find(slice_str(url), &kind) == 0 ? xds_type_short(kind) : "?";
}

static void tell_delta(struct slice b)
{
	PB_DISCOVERY(DeltaDiscoveryRequest) *q =
		envoy__service__discovery__v3__delta_discovery_request__unpack(
			NULL, b.len, (const uint8_t *)b.ptr);
	char *known[1000];

	must(q != NULL && q->n_initial_resource_versions < 1000);
	t_append(t.requests, "%s%s%s", *t.requests ? "; " : "", q->node ? "node " : "",
		 url_short(q->type_url));
	tell_names("+", q->resource_names_subscribe, q->n_resource_names_subscribe);
	tell_names("-", q->resource_names_unsubscribe, q->n_resource_names_unsubscribe);
	for (size_t i = 0; i < q->n_initial_resource_versions; i++)
		known[i] = xasprintf("%s=%s", q->initial_resource_versions[i]->key,
				     q->initial_resource_versions[i]->value);
	tell_names("have ", known, q->n_initial_resource_versions);
	for (size_t i = 0; i < q->n_initial_resource_versions; i++)
		free(known[i]);
	if (*q->response_nonce)
		t_append(t.requests, " %s %s", q->error_detail ? "nack" : "ack", q->response_nonce);
	if (q->error_detail)
		t_append(t.requests, " (%s)", q->error_detail->message);
	envoy__service__discovery__v3__delta_discovery_request__free_unpacked(q, NULL);
}

static void tell_sotw(struct slice b)
{
	PB_DISCOVERY(DiscoveryRequest) *q =
		envoy__service__discovery__v3__discovery_request__unpack(NULL, b.len,
									 (const uint8_t *)b.ptr);

	must(q != NULL);
	t_append(t.requests, "%s%s%s", *t.requests ? "; " : "", q->node ? "node " : "",
		 url_short(q->type_url));
	tell_names("", q->resource_names, q->n_resource_names);
	if (*q->version_info)
		t_append(t.requests, " version %s", q->version_info);
	if (*q->response_nonce)
		t_append(t.requests, " %s %s", q->error_detail ? "nack" : "ack", q->response_nonce);
	if (q->error_detail)
		t_append(t.requests, " (%s)", q->error_detail->message);
	envoy__service__discovery__v3__discovery_request__free_unpacked(q, NULL);
}

/* A stream is its node and the protocol. */
struct t_stream {
	struct ads_node *n;
	bool is_delta;
};

static void *t_open(void *arg, struct ads_node *n, const char *method, struct err *e)
{
	struct t_stream *s;

	must(arg == &t);
	t.opened++;
	if (t.refuse_open) {
		err_set(e, -ECONNREFUSED, "refused");
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	*s = (struct t_stream){ n, strstr(method, "/Delta") != NULL };
	return s;
}

static int t_send(void *stream, struct slice bytes)
{
	struct t_stream *s = stream;

	if (t.fail_send)
		return -ENOBUFS;
	if (s->is_delta)
		tell_delta(bytes);
	else
		tell_sotw(bytes);
	return 0;
}

static inline void t_reset(void *stream)
{
	t.resets++;
	free(stream);
}

static const struct ads_transport t_transport = { t_open, t_send, t_reset };

static void ev_ready(struct ads_node *n)
{
	(void)n;
	t_append(t.events, "%sready", *t.events ? "; " : "");
}

static void ev_endpoints(struct ads_node *n, struct slice cluster, struct mesh_part *part)
{
	(void)n;
	t_append(t.events, "%sendpoints %.*s=%s", *t.events ? "; " : "", SLICE_ARG(cluster),
		 (const char *)part->body);
}

static const struct ads_ops t_ops = { .ready = ev_ready, .endpoints = ev_endpoints };

static inline void t_start_with(struct ads_opts o)
{
	struct err e;

	memset(&t, 0, sizeof(t));
	t_compiled = 0;
	must(io_new(IO_EPOLL, &t.io, &e) == 0);
	t.store = xds_store_new(t_compile);
	o.store = t.store;
	o.transport = &t_transport;
	o.transport_arg = &t;
	t.ads = ads_new(t.io, &o, &t_ops, &t);
	t.n = ads_node_add(t.ads, &(struct ads_node_info){ .id = "n1", .cluster = "c" }, &t);
}

static inline void t_start(enum ads_mode mode)
{
	t_start_with((struct ads_opts){ .mode = mode, .backoff_min_ms = 2, .backoff_max_ms = 4 });
}

/* The fingerprint is kept as changes come: it must be what a sum over all gives. */
static inline void t_check_print(void *arg, struct ads_node *n)
{
	uint64_t sum = 0;

	(void)arg;
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		for (uint32_t i = 0; i < n->subs[k].table.n; i++)
			if (n->subs[k].table.v[i].cur)
				sum += (n->subs[k].table.v[i].cur->hash | 1) *
				       0x9e3779b97f4a7c15ull;
	assert_int_equal(ads_node_fingerprint(n), sum);
}

static inline void t_end(void)
{
	struct xds_store_totals totals;

	ads_each(t.ads, t_check_print, NULL);
	ads_free(t.ads);
	xds_store_totals_get(t.store, &totals);
	assert_int_equal(totals.resources, 0);
	assert_int_equal(totals.names, 0);
	assert_int_equal(totals.bytes, 0);
	xds_store_free(t.store);
	io_free(t.io);
}

/* Lets the loop turn for @ms. */
static inline void t_wait(unsigned int ms)
{
	uint64_t end = clock_mono_ns() + ms * NSEC_PER_MSEC;

	do
		io_run_once(t.io, 1);
	while (clock_mono_ns() < end);
}

static inline void t_turn(void)
{
	t_wait(5);
}

/* ---- responses ------------------------------------------------------------------------------- */

static Google__Protobuf__Any *t_any(const struct t_spec *x, enum mesh_part_kind kind,
				    struct arena *a)
{
	Google__Protobuf__Any *any = arena_new(a, Google__Protobuf__Any);

	*any = (Google__Protobuf__Any)GOOGLE__PROTOBUF__ANY__INIT;
	any->type_url =
		(char *)(uintptr_t)(x->is_alien ? "type.googleapis.com/x.Y" : xds_type_url(kind));
	any->value.data = (uint8_t *)buf_ptr(&x->content);
	any->value.len = buf_len(&x->content);
	return any;
}

static PB_DISCOVERY(Resource) *
	t_resource(const struct t_spec *x, enum mesh_part_kind kind, struct arena *a)
{
	PB_DISCOVERY(Resource) *r = arena_new(a, PB_DISCOVERY(Resource));

	*r = (PB_DISCOVERY(Resource))ENVOY__SERVICE__DISCOVERY__V3__RESOURCE__INIT;
	r->name = arena_str(a, x->name);
	r->version = arena_str(a, x->version);
	if (x->has_content)
		r->resource = t_any(x, kind, a);
	if (x->ttl) {
		r->ttl = arena_new(a, Google__Protobuf__Duration);
		*r->ttl = (Google__Protobuf__Duration)GOOGLE__PROTOBUF__DURATION__INIT;
		r->ttl->seconds = (int64_t)x->ttl / 1000;
		r->ttl->nanos = (int32_t)(x->ttl % 1000) * 1000000;
	}
	return r;
}

/* A message of the server, packed in @a: delta when @gone is given, else the state of the world. */
static struct slice t_pack(enum mesh_part_kind kind, const char *version, const char *nonce,
			   const char *resources, const char *gone, struct arena *a)
{
	PB_DISCOVERY(DeltaDiscoveryResponse)
	d = ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_RESPONSE__INIT;
	PB_DISCOVERY(DiscoveryResponse)
	w = ENVOY__SERVICE__DISCOVERY__V3__DISCOVERY_RESPONSE__INIT;
	struct slice rest = slice_str(resources), left = slice_str(gone);
	struct t_spec *specs = arena_array(a, struct t_spec, 1000);
	size_t n = 0;
	struct slice out;

	d.resources = arena_array(a, PB_DISCOVERY(Resource) *, 1000);
	w.resources = arena_array(a, Google__Protobuf__Any *, 1000);
	d.removed_resources = arena_array(a, char *, 1000);
	for (; rest.len; n++) {
		t_spec_parse(slice_split(&rest, ','), &specs[n]);
		d.resources[n] = t_resource(&specs[n], kind, a);
		w.resources[n] = t_any(&specs[n], kind, a);
		if (specs[n].ttl || !specs[n].has_content) {
			struct slice b = protojson_pack(&d.resources[n]->base, a);

			w.resources[n]->type_url = (char *)(uintptr_t)T_URL;
			w.resources[n]->value =
				(ProtobufCBinaryData){ b.len, (uint8_t *)(uintptr_t)b.ptr };
		}
	}
	while (left.len)
		d.removed_resources[d.n_removed_resources++] =
			arena_str(a, slice_trim(slice_split(&left, ',')));
	d.n_resources = w.n_resources = n;
	d.type_url = w.type_url = (char *)(uintptr_t)xds_type_url(kind);
	d.nonce = w.nonce = (char *)(uintptr_t)nonce;
	d.system_version_info = w.version_info = (char *)(uintptr_t)version;
	out = protojson_pack(gone ? &d.base : &w.base, a);
	while (n)
		buf_done(&specs[--n].content);
	return out;
}

static inline void t_say(struct ads_node *n, enum mesh_part_kind kind, const char *nonce,
			 const char *resources, const char *gone)
{
	struct arena a = { 0 };

	ads_stream_message(n, t_pack(kind, nonce, nonce, resources, gone, &a));
	arena_done(&a);
}

static inline void t_delta(enum mesh_part_kind kind, const char *nonce, const char *resources,
			   const char *gone)
{
	t_say(t.n, kind, nonce, resources, gone);
}

static inline void t_sotw(enum mesh_part_kind kind, const char *nonce, const char *resources)
{
	t_say(t.n, kind, nonce, resources, NULL);
}

/* The server ends the stream. */
static inline void t_close(int status)
{
	free(t.n->stream);
	ads_stream_closed(t.n, status, SLICE("said so"));
}

/* ---- expectations ---------------------------------------------------------------------------- */

static int part_cmp(const void *x, const void *y)
{
	const struct mesh_part *a = *(struct mesh_part *const *)x,
			       *b = *(struct mesh_part *const *)y;
	size_t n = a->name.len < b->name.len ? a->name.len : b->name.len;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return memcmp(a->name.ptr, b->name.ptr, n) ? memcmp(a->name.ptr, b->name.ptr, n) :
	       a->name.len < b->name.len           ? -1 :
						     1;
}

static void add_print(void *sum, const struct ads_item *item)
{
	if (item->published)
		*(uint64_t *)sum += (item->published->hash | 1) * 0x9e3779b97f4a7c15ull;
}

/* What the node keeps in step with its set is what the set as it is now comes to. */
static void check_fingerprint(const struct ads_node *n)
{
	uint64_t sum = 0;

	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		ads_node_each(n, (enum mesh_part_kind)k, add_print, &sum);
	assert_int_equal(ads_node_fingerprint(n), sum);
}

static inline const char *t_set_of(struct ads_node *n)
{
	struct mesh_part *const *all, *v[1000];
	uint32_t many;
	int kind = -1;

	check_fingerprint(n);
	all = ads_node_parts(n, &many);
	must(many < ARRAY_LEN(v));
	*t.set = '\0';
	if (!many)
		return t.set;
	memcpy(v, all, many * sizeof(*v));
	qsort(v, many, sizeof(*v), part_cmp);
	*t.set = '\0';
	for (uint32_t i = 0; i < many; i++) {
		if ((int)v[i]->kind != kind)
			t_append(t.set, "%s%s", i ? "; " : "", xds_type_short(v[i]->kind));
		kind = (int)v[i]->kind;
		t_append(t.set, " %.*s%s%s", SLICE_ARG(v[i]->name),
			 *(const char *)v[i]->body ? "=" : "", (const char *)v[i]->body);
	}
	return t.set;
}

/* What the client sent since the last time. */
#define assert_sent(text) \
	do { \
		assert_string_equal(t.requests, text); \
		*t.requests = '\0'; \
	} while (0)
/* What it called since the last time, after the loop turned. */
#define assert_events(text) \
	do { \
		t_turn(); \
		assert_string_equal(t.events, text); \
		*t.events = '\0'; \
	} while (0)
#define assert_set(text) assert_string_equal(t_set_of(t.n), text)

#endif
