/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and their streams: opening, back-off, the choice of the protocol, sending; see ads.h. */
#include <errno.h>

#include "base/log.h"
#include "xds/ads_impl.h"

#define FETCH_TIMEOUT_MS 15000
#define LINGER_MS 5000
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
#define STATUS_UNIMPLEMENTED 12

static void stream_open(struct ads_node *n);

void ads_node_changed(struct ads_node *n)
{
	if (n->ads->ops.state)
		n->ads->ops.state(n);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void settle_fired(struct io_timer *t)
{
	struct ads *a = container_of(t, struct ads, settle);
	struct list now, *l;

	list_init(&now);
	list_splice(&now, &a->dirty);
	while ((l = list_pop(&now)) != NULL)
		ads_settle(list_entry(l, struct ads_node, dirty));
}

void ads_node_touch(struct ads_node *n)
{
	struct ads *a = n->ads;

	if (list_is_empty(&n->dirty))
		list_push(&a->dirty, &n->dirty);
	if (!io_timer_is_armed(&a->settle))
		io_timer_set(a->io, &a->settle, 0);
}

static void clock_fired(struct io_timer *t)
{
	ads_clock_fire(container_of(t, struct ads_node, clock));
}

/* ---- requests ------------------------------------------------------------------------------- */

void ads_node_send(struct ads_node *n, const ProtobufCMessage *m)
{
	struct arena a = { 0 };

	if (n->stream && !n->send_failed &&
	    n->ads->opts.transport->send(n->stream, protojson_pack(m, &a)) < 0)
		n->send_failed = true;
	arena_done(&a);
}

static uint64_t fetch_ms(const struct ads_node *n, const struct ads_sub *s,
			 const struct ads_entry *e)
{
	uint64_t ms = n->ads->opts.fetch_timeout_ms;

	return s->kind == MESH_PART_VHOST && ms > ADS_VHDS_FIRST_MS &&
			       ads_vhds_is_table(n, e->name) ?
		       ADS_VHDS_FIRST_MS :
		       ms;
}

/* Takes the fresh ones that are still wanted into the flags; the others leave the list. */
static void fresh_take(struct ads_node *n, struct ads_sub *s, struct ads_names *l)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		struct ads_entry *e = ads_table_find(&s->table, l->v[i]);

		if (!e || !e->wants || e->flags & ADS_SUBSCRIBED || !n->stream) {
			xds_name_unref(ads_store(n), l->v[i]);
			continue;
		}
		e->flags |= ADS_SUBSCRIBED;
		if (!(e->flags & ADS_ANSWERED))
			ads_entry_clock(n, e, ADS_CLOCK_FETCH, fetch_ms(n, s, e));
		l->v[kept++] = l->v[i];
	}
	l->n = kept;
}

/* Drops entries that nobody wants any more; those that were subscribed stay in the list. */
static void idle_take(struct ads_node *n, struct ads_sub *s, struct ads_names *l)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		struct ads_entry *e = ads_table_find(&s->table, l->v[i]);
		bool tell = e && !e->wants && e->flags & ADS_SUBSCRIBED;

		if (e && !e->wants)
			ads_entry_drop(n, s, e);
		if (tell && n->stream)
			l->v[kept++] = l->v[i];
		else
			xds_name_unref(ads_store(n), l->v[i]);
	}
	l->n = kept;
}

static void sub_first(struct ads_node *n, struct ads_sub *s)
{
	s->asked = true;
	n->proto->first(n, s);
}

static void sub_flush(struct ads_node *n, struct ads_sub *s)
{
	struct ads_names fresh = s->fresh, idle = s->idle;

	s->fresh = s->idle = (struct ads_names){ 0 };
	idle_take(n, s, &idle);
	fresh_take(n, s, &fresh);
	if (fresh.n && !s->asked)
		sub_first(n, s);
	else if ((fresh.n || idle.n) && s->asked)
		n->proto->names(n, s, &fresh, &idle);
	ads_names_clear(ads_store(n), &fresh);
	ads_names_clear(ads_store(n), &idle);
}

void ads_node_flush(struct ads_node *n)
{
	bool again;

	/* What is dropped may leave others without a user. */
	do {
		again = false;
		for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
			struct ads_sub *s = &n->subs[k];

			if (!s->fresh.n && !s->idle.n)
				continue;
			sub_flush(n, s);
			again = true;
		}
	} while (again);
}

/* ---- streams ----------------------------------------------------------------------------------
 */

static void error_set(struct ads_node *n, int status, struct slice text)
{
	free(n->error);
	n->error = text.len ? slice_dup(slice_first(text, ADS_STATUS_TEXT_MAX)) : NULL;
	n->grpc_status = status;
}

/* Opens the next stream after a jittered, growing while. */
static void stream_retry(struct ads_node *n)
{
	const struct ads_opts *o = &n->ads->opts;
	unsigned int shift = n->attempts < 16 ? n->attempts : 16;
	uint64_t ms = (uint64_t)o->backoff_min_ms << shift;

	if (ms > o->backoff_max_ms)
		ms = o->backoff_max_ms;
	n->attempts++;
	ms = ms / 2 + rng_below(&n->ads->rng, (uint32_t)(ms / 2 + 1));
	if (n->ads->is_up)
		io_timer_set(n->ads->io, &n->retry, ms);
}

static void retry_fired(struct io_timer *t)
{
	stream_open(container_of(t, struct ads_node, retry));
}

/* Nothing was asked on the stream that begins. */
static void subs_forget(struct ads_node *n)
{
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
		struct ads_sub *s = &n->subs[k];

		s->asked = false;
		free(s->nonce);
		s->nonce = NULL;
		for (uint32_t i = 0; i < s->table.n; i++) {
			struct ads_entry *e = &s->table.v[i];

			e->flags &= (uint8_t)~ADS_SUBSCRIBED;
			if (e->wants)
				ads_names_add(&s->fresh, e->name);
		}
	}
}

/* The stream is gone, by whomever. */
static void stream_ended(struct ads_node *n, int status, struct slice text)
{
	n->stream = NULL;
	n->send_failed = false;
	n->stream_answered = false;
	error_set(n, status, text);
}

/* Ends the stream from our side when something in it went wrong. */
static void stream_fail(struct ads_node *n, int status, const char *text)
{
	n->ads->opts.transport->reset(n->stream);
	stream_ended(n, status, slice_str(text));
	log_warn("xds",
		 "node %s: the stream is ended: %s; it will be opened again, what was taken "
		 "stays",
		 n->self->id, text);
	stream_retry(n);
	ads_node_changed(n);
}

static void send_check(struct ads_node *n)
{
	if (n->stream && n->send_failed)
		stream_fail(n, -1, "a request could not be sent");
}

static const struct ads_proto *proto_choose(const struct ads *a)
{
	return a->opts.mode == ADS_SOTW || (a->opts.mode == ADS_AUTO && a->sotw) ? &ads_proto_sotw :
										   &ads_proto_delta;
}

static void stream_open(struct ads_node *n)
{
	struct ads *a = n->ads;
	struct err e = { "" };

	io_timer_cancel(a->io, &n->retry);
	if (n->stream || !a->is_up)
		return;
	n->proto = proto_choose(a);
	n->stream = a->opts.transport->open(a->opts.transport_arg, n, n->proto->method, &e);
	if (!n->stream) {
		error_set(n, -1, slice_str(e.text));
		stream_retry(n);
		return;
	}
	n->streams++;
	n->self_sent = false;
	subs_forget(n);
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		if (ads_kind_is_wildcard((enum mesh_part_kind)k))
			sub_first(n, &n->subs[k]);
		else
			sub_flush(n, &n->subs[k]);
	ads_node_flush(n);
	send_check(n);
}

void ads_stream_message(struct ads_node *n, struct slice bytes)
{
	struct err e = { "" };

	if (n->proto->message(n, bytes, &e) < 0) {
		stream_fail(n, -1, e.text);
		return;
	}
	n->attempts = 0;
	if (!n->stream_answered) {
		n->stream_answered = true;
		ads_node_changed(n);
	}
	send_check(n);
}

void ads_stream_closed(struct ads_node *n, int status, struct slice text)
{
	struct ads *a = n->ads;
	bool answered = n->stream_answered, is_delta = n->proto == &ads_proto_delta;

	stream_ended(n, status, text);
	log_debug("xds", "node %s: the stream ended with status %d: %.*s", n->self->id, status,
		  SLICE_ARG(text));
	if (status == STATUS_UNIMPLEMENTED && !answered && a->opts.mode == ADS_AUTO) {
		/* Both unknown: they take turns, with the usual waiting. */
		if (is_delta && !a->sotw)
			log_info("xds", "the control plane does not know incremental xDS; using "
					"the state of the world");
		a->sotw = is_delta;
		if (is_delta) {
			stream_open(n);
			return;
		}
	}
	stream_retry(n);
	ads_node_changed(n);
}

void ads_link_up(struct ads *a)
{
	a->is_up = true;
	a->sotw = false; /* perhaps it is another control plane */
	list_for_each(l, &a->nodes) {
		struct ads_node *n = list_entry(l, struct ads_node, node);

		n->attempts = 0;
		stream_open(n);
	}
}

void ads_link_moved(struct ads *a)
{
	list_for_each(l, &a->nodes) {
		struct ads_node *n = list_entry(l, struct ads_node, node);
		void *old = n->stream;
		const char *was = n->proto->method;

		/* Nothing is lost, and nobody needs to know: what it has stays answered. */
		n->stream = NULL;
		n->send_failed = false;
		n->attempts = 0;
		stream_open(n);
		if (old)
			a->opts.transport->reset(old);
		if (!n->stream || strcmp(was, n->proto->method) != 0)
			n->stream_answered = false;
	}
}

void ads_link_down(struct ads *a, const char *reason)
{
	a->is_up = false;
	list_for_each(l, &a->nodes) {
		struct ads_node *n = list_entry(l, struct ads_node, node);

		io_timer_cancel(a->io, &n->retry);
		if (n->stream)
			continue;
		error_set(n, -1, slice_str(reason));
		ads_node_changed(n);
	}
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void default_to(unsigned int *v, unsigned int value)
{
	if (!*v)
		*v = value;
}

struct ads *ads_new(struct io *io, const struct ads_opts *opts, const struct ads_ops *ops,
		    void *owner)
{
	struct ads *a = xcalloc(1, sizeof(*a));

	a->io = io;
	a->opts = *opts;
	a->ops = *ops;
	a->owner = owner;
	default_to(&a->opts.fetch_timeout_ms, FETCH_TIMEOUT_MS);
	default_to(&a->opts.linger_ms, LINGER_MS);
	default_to(&a->opts.backoff_min_ms, BACKOFF_MIN_MS);
	default_to(&a->opts.backoff_max_ms, BACKOFF_MAX_MS);
	list_init(&a->nodes);
	list_init(&a->dirty);
	io_timer_init(&a->settle, settle_fired);
	rng_init(&a->rng, clock_mono_ns());
	return a;
}

void ads_free(struct ads *a)
{
	struct list *l;

	if (!a)
		return;
	while ((l = a->nodes.next) != &a->nodes)
		ads_node_remove(list_entry(l, struct ads_node, node));
	io_timer_cancel(a->io, &a->settle);
	free(a->parts);
	free(a);
}

void *ads_owner(const struct ads *a)
{
	return a->owner;
}

struct xds_store *ads_store_get(const struct ads *a)
{
	return a->opts.store;
}

void ads_each(struct ads *a, void (*fn)(void *arg, struct ads_node *n), void *arg)
{
	list_for_each(l, &a->nodes)
		fn(arg, list_entry(l, struct ads_node, node));
}

static char *text_copy(struct arena *a, const char *s)
{
	return arena_str(a, slice_str(s ? s : ""));
}

/* Envoy's Node of @info; metadata that is no JSON object of scalars and lists is left out. */
static void self_make(struct ads_node *n, const struct ads_node_info *info)
{
	Envoy__Config__Core__V3__Node *self = arena_new(&n->arena, Envoy__Config__Core__V3__Node);
	Envoy__Config__Core__V3__Locality *where;
	struct protojson pj;
	ProtobufCMessage *m;
	struct err e;

	*self = (Envoy__Config__Core__V3__Node)ENVOY__CONFIG__CORE__V3__NODE__INIT;
	self->id = text_copy(&n->arena, info->id);
	self->cluster = text_copy(&n->arena, info->cluster);
	protojson_init(&pj, &n->arena, NULL, &e);
	if (info->metadata &&
	    protojson_read(&pj, &google__protobuf__struct__descriptor, info->metadata, &m) == 0)
		self->metadata = (Google__Protobuf__Struct *)m;
	if (info->region || info->zone || info->sub_zone) {
		where = arena_new(&n->arena, Envoy__Config__Core__V3__Locality);
		*where = (Envoy__Config__Core__V3__Locality)ENVOY__CONFIG__CORE__V3__LOCALITY__INIT;
		where->region = text_copy(&n->arena, info->region);
		where->zone = text_copy(&n->arena, info->zone);
		where->sub_zone = text_copy(&n->arena, info->sub_zone);
		self->locality = where;
	}
	n->self = self;
}

struct ads_node *ads_node_add(struct ads *a, const struct ads_node_info *info, void *owner)
{
	struct ads_node *n = xcalloc(1, sizeof(*n));

	n->ads = a;
	n->owner = owner;
	n->grpc_status = -1;
	n->proto = proto_choose(a);
	self_make(n, info);
	if (info->token_file)
		n->token_file = text_copy(&n->arena, info->token_file);
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		n->subs[k].kind = (enum mesh_part_kind)k;
	list_init(&n->dirty);
	list_push(&a->nodes, &n->node);
	io_timer_init(&n->clock, clock_fired);
	io_timer_init(&n->retry, retry_fired);
	/* Not now: the last good configuration may be restored first. */
	if (a->is_up)
		io_timer_set(a->io, &n->retry, 0);
	return n;
}

void ads_node_remove(struct ads_node *n)
{
	/* Whoever needs others before these. */
	static const enum mesh_part_kind drop_order[] = {
		MESH_PART_LISTENER, MESH_PART_RPC_ROUTES, MESH_PART_ROUTES,    MESH_PART_CLUSTER,
		MESH_PART_FILTER,   MESH_PART_SECRET,     MESH_PART_ENDPOINTS, MESH_PART_VHOST,
	};

	if (!n)
		return;
	if (n->stream)
		n->ads->opts.transport->reset(n->stream);
	n->stream = NULL;
	list_del(&n->node);
	list_del(&n->dirty);
	io_timer_cancel(n->ads->io, &n->retry);
	for (size_t i = 0; i < ARRAY_LEN(drop_order); i++) {
		struct ads_table *t = &n->subs[drop_order[i]].table;

		while (t->n)
			ads_entry_drop(n, &n->subs[drop_order[i]], &t->v[t->n - 1]);
	}
	io_timer_cancel(n->ads->io, &n->clock);
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		ads_sub_done(n, &n->subs[k]);
	ads_names_clear(ads_store(n), &n->moved);
	ads_vhds_done(n);
	arena_done(&n->arena);
	free(n->error);
	free(n);
}

void *ads_node_owner(const struct ads_node *n)
{
	return n->owner;
}

const char *ads_node_id(const struct ads_node *n)
{
	return n->self->id;
}

const char *ads_node_token_file(const struct ads_node *n)
{
	return n->token_file;
}

struct ads *ads_node_ads(const struct ads_node *n)
{
	return n->ads;
}

/* ---- last good configuration --------------------------------------------------------------------
 */

void ads_node_restore(struct ads_node *n, struct xds_resource *r)
{
	struct ads_sub *s = &n->subs[r->kind];
	struct ads_entry *e;

	if (r->part && s->table.n < ADS_RESOURCES_MAX) {
		e = ads_table_get(&s->table, r->name);
		ads_entry_set(n, s, e, r);
	} else {
		xds_resource_unref(ads_store(n), r);
	}
}

void ads_node_restored(struct ads_node *n)
{
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
		struct ads_sub *s = &n->subs[k];

		for (uint32_t i = 0; i < s->table.n; i++) {
			struct ads_entry *e = &s->table.v[i];

			if (e->next && e->cur != e->next)
				ads_entry_activate(n, s, e);
		}
	}
	for (unsigned int k = 0; k < MESH_PART_KINDS; k++)
		for (uint32_t i = 0; i < n->subs[k].table.n; i++)
			if (!ads_kind_is_wildcard((enum mesh_part_kind)k) &&
			    !n->subs[k].table.v[i].wants)
				ads_names_add(&n->subs[k].idle, n->subs[k].table.v[i].name);
	n->is_stale = n->structure_changed = true;
	ads_node_flush(n);
	ads_node_touch(n);
}
