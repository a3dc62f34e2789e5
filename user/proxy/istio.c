/* SPDX-License-Identifier: Apache-2.0 */
/* Istio's metrics: keys, labels, counting. */
#include "proxy/istio.h"

#include "l7/format.h"

struct istio_key {
	uint64_t cluster;
	const char *protocol;
	uint32_t pod, peer;
	uint32_t status, flags;
	uint32_t is_source;
	uint32_t zero; /* no padding: the key is compared as bytes */
};

struct istio_series {
	struct istio_key key;
	stat_id requests, duration, request_bytes, response_bytes;
	stat_id opened, closed, sent, received;
	UT_hash_handle hh;
};

/* ---- labels ---------------------------------------------------------------------------------- */

static void add_label(struct buf *b, const char *name, struct slice v)
{
	if (buf_len(b) && buf_ptr(b)[buf_len(b) - 1] != '{')
		buf_add_char(b, ',');
	buf_printf(b, "%s=\"", name);
	for (size_t i = 0; i < v.len; i++) {
		/* Prometheus' text format escapes these three. */
		if (v.ptr[i] == '"' || v.ptr[i] == '\\')
			buf_add_char(b, '\\');
		if (v.ptr[i] == '\n')
			buf_add_slice(b, SLICE("\\n"));
		else
			buf_add_char(b, v.ptr[i]);
	}
	buf_add_char(b, '"');
}

static const struct mesh_pod *pod_of(const struct worker *w, const struct epod *p)
{
	return p && p->id && w->snap ? mesh_snapshot_pod(w->snap->ps->mesh, p->id) : NULL;
}

static struct slice label_of(const struct mesh_pod *p, struct slice key)
{
	for (uint32_t i = 0; p && i < p->n_labels; i++)
		if (slice_is_equal(p->labels[i].key, key))
			return p->labels[i].value;
	return SLICE_NONE;
}

static struct slice or_unknown(struct slice s)
{
	return s.len ? s : SLICE("unknown");
}

static void add_end(struct buf *b, const char *end, const struct mesh_pod *p)
{
	struct slice app = label_of(p, SLICE("app"));
	struct slice version = label_of(p, SLICE("version"));
	struct slice canonical = label_of(p, SLICE("service.istio.io/canonical-name"));
	char name[64];

	if (!canonical.len)
		canonical = app.len ? app : p ? p->name : SLICE_NONE;
#define LABEL(suffix, value) \
	do { \
		snprintf(name, sizeof(name), "%s_" suffix, end); \
		add_label(b, name, or_unknown(value)); \
	} while (0)
	LABEL("workload", p ? p->name : SLICE_NONE);
	LABEL("workload_namespace", p ? p->namespace_ : SLICE_NONE);
	LABEL("app", app);
	LABEL("version", version);
	LABEL("canonical_service", canonical);
	LABEL("canonical_revision", version.len ? version : SLICE("latest"));
#undef LABEL
}

/* "outbound|80|v1|reviews.default.svc.cluster.local" -> the host; any other name is taken whole. */
static struct slice service_host(const struct mesh_cluster *c)
{
	struct slice rest = c ? c->name : SLICE_NONE;
	struct slice last = rest;
	unsigned int bars = 0;

	while (rest.ptr) {
		last = slice_split(&rest, '|');
		bars += rest.ptr != NULL;
	}
	return bars == 3 ? last : c ? c->name : SLICE_NONE;
}

static void add_service(struct buf *b, const struct mesh_cluster *c, const struct mesh_pod *dst)
{
	struct slice host = service_host(c);
	struct slice rest = host;
	struct slice name = slice_split(&rest, '.');
	struct slice ns = rest.ptr ? slice_split(&rest, '.') : SLICE_NONE;

	add_label(b, "destination_service", or_unknown(host));
	add_label(b, "destination_service_name", or_unknown(name));
	add_label(b, "destination_service_namespace",
		  or_unknown(ns.len ? ns :
			     dst    ? dst->namespace_ :
				      SLICE_NONE));
}

static void labels(struct worker *w, const struct istio_event *ev, bool is_request, struct buf *b)
{
	const struct mesh_pod *own = pod_of(w, ev->pod), *peer = pod_of(w, ev->peer);
	const struct mesh_pod *src = ev->is_source ? own : peer, *dst = ev->is_source ? peer : own;
	struct buf text = { 0 };

	add_label(b, "reporter", ev->is_source ? SLICE("source") : SLICE("destination"));
	add_end(b, "source", src);
	add_end(b, "destination", dst);
	add_service(b, ev->cluster, dst);
	add_label(b, "request_protocol", slice_str(ev->protocol));
	if (is_request) {
		buf_add_u64(&text, ev->status);
		add_label(b, "response_code", buf_slice(&text));
		buf_clear(&text);
		add_label(b, "grpc_response_status", SLICE_NONE);
	}
	l7_flags_text(ev->flags, false, &text);
	add_label(b, "response_flags", buf_slice(&text));
	add_label(b, "connection_security_policy",
		  ev->is_source ? SLICE("unknown") : SLICE("none"));
	buf_done(&text);
}

static stat_id series_id(enum stat_kind kind, const char *metric, struct slice set)
{
	char *name = xasprintf("%s{%.*s}", metric, SLICE_ARG(set));
	stat_id id = stats_register(kind, name);

	free(name);
	return id;
}

/* ---- series ---------------------------------------------------------------------------------- */

static struct istio_series *series_new(struct worker *w, const struct istio_event *ev,
				       const struct istio_key *key, bool is_request)
{
	struct istio_series *s;
	struct buf b = { 0 };

	if (HASH_COUNT(w->istio) >= ISTIO_SERIES_MAX) {
		stats_inc(w->stats, stats_register(STAT_COUNTER, "stats.istio_overflow"));
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->key = *key;
	labels(w, ev, is_request, &b);
	if (is_request) {
		s->requests = series_id(STAT_COUNTER, "istio_requests_total", buf_slice(&b));
		s->duration = series_id(STAT_HISTOGRAM, "istio_request_duration_milliseconds",
					buf_slice(&b));
		s->request_bytes = series_id(STAT_HISTOGRAM, "istio_request_bytes", buf_slice(&b));
		s->response_bytes =
			series_id(STAT_HISTOGRAM, "istio_response_bytes", buf_slice(&b));
	} else {
		s->opened = series_id(STAT_COUNTER, "istio_tcp_connections_opened_total",
				      buf_slice(&b));
		s->closed = series_id(STAT_COUNTER, "istio_tcp_connections_closed_total",
				      buf_slice(&b));
		s->sent = series_id(STAT_COUNTER, "istio_tcp_sent_bytes_total", buf_slice(&b));
		s->received =
			series_id(STAT_COUNTER, "istio_tcp_received_bytes_total", buf_slice(&b));
	}
	buf_done(&b);
	HASH_ADD(hh, w->istio, key, sizeof(s->key), s);
	return s;
}

static struct istio_series *series_get(struct worker *w, const struct istio_event *ev,
				       bool is_request)
{
	struct istio_key key = {
		.cluster = ev->cluster ? ev->cluster->hash : 0,
		.protocol = ev->protocol,
		.pod = ev->pod->id,
		.peer = ev->peer ? ev->peer->id : 0,
		.status = ev->status,
		.flags = ev->flags,
		.is_source = ev->is_source,
	};
	struct istio_series **last = &w->istio_last[ev->is_source];
	struct istio_series *s = *last;

	/* Traffic comes in runs of the same kind, one run on each side. */
	if (s && memcmp(&s->key, &key, sizeof(key)) == 0)
		return s;
	HASH_FIND(hh, w->istio, &key, sizeof(key), s);
	if (!s)
		s = series_new(w, ev, &key, is_request);
	*last = s;
	return s;
}

void istio_count_request(struct worker *w, const struct istio_event *ev)
{
	const struct l7_info *in = ev->info;
	struct istio_series *s = series_get(w, ev, true);

	if (!s)
		return;
	stats_inc(w->stats, s->requests);
	stats_record(w->stats, s->duration, (in->end_ns - in->start_ns) / 1000);
	/* The histogram's unit is a thousandth of its bounds' (us and ms): bytes count as
	 * thousands. */
	stats_record(w->stats, s->request_bytes, in->bytes_received * 1000);
	stats_record(w->stats, s->response_bytes, in->bytes_sent * 1000);
}

void istio_count_connection(struct worker *w, const struct istio_event *ev)
{
	struct istio_series *s = series_get(w, ev, false);

	if (!s)
		return;
	stats_inc(w->stats, s->opened);
	stats_inc(w->stats, s->closed);
	stats_add(w->stats, s->sent, ev->info->bytes_sent);
	stats_add(w->stats, s->received, ev->info->bytes_received);
}

void istio_done(struct worker *w)
{
	struct istio_series *s, *tmp;

	HASH_ITER(hh, w->istio, s, tmp) {
		HASH_DEL(w->istio, s);
		free(s);
	}
	w->istio_last[0] = w->istio_last[1] = NULL;
}
