/* SPDX-License-Identifier: Apache-2.0 */
/* Access logs: which streams are logged, and the line as text or JSON. Writing is the engine's. */
#include "base/clock.h"
#include "filter/filter.h"
#include "l7/format.h"
#include "l7/grpc.h"
#include "route/route.h"

#define GRPC_UNKNOWN 2 /* gRPC's status code of that name */

/* ---- filters --------------------------------------------------------------------------------- */

static bool compare(enum mesh_compare op, uint64_t a, uint64_t b)
{
	switch (op) {
	case MESH_EQ:
		return a == b;
	case MESH_GE:
		return a >= b;
	case MESH_LE:
		return a <= b;
	case MESH_NE:
		return a != b;
	}
	return false;
}

static bool header_is_match(const struct mesh_log_filter *f, const struct l7_info *in)
{
	struct arena a = { 0 };
	struct l7_msg none;
	bool match;

	/* What was refused unread has no header at all. */
	if (!in->request)
		l7_msg_init(&none, L7_REQUEST, &a);
	match = route_headers_are_match(&f->header, 1, in->request ? in->request : &none, &a);

	arena_done(&a);
	return match;
}

static bool grpc_is_match(const struct mesh_log_filter *f, const struct l7_info *in)
{
	uint64_t status;
	bool found;

	if (!l7_grpc_status(in, &status))
		status = GRPC_UNKNOWN;
	found = status < 64 && (f->value >> status & 1);

	return found != (f->op == MESH_NE);
}

static bool any_wanted(const struct mesh_log_filter *f, const struct l7_info *in, struct rng *rng,
		       bool stop_at)
{
	for (uint32_t i = 0; i < f->n_sub; i++)
		if (filter_log_is_wanted(&f->sub[i], in, rng) == stop_at)
			return stop_at;
	return !stop_at;
}

bool filter_log_is_wanted(const struct mesh_log_filter *f, const struct l7_info *in,
			  struct rng *rng)
{
	if (!f)
		return true;
	switch (f->kind) {
	case MESH_LOG_STATUS:
		return compare(f->op, in->status, f->value);
	case MESH_LOG_DURATION:
		return compare(f->op,
			       ((in->end_ns ? in->end_ns : in->now_ns) - in->start_ns) /
				       NSEC_PER_MSEC,
			       f->value);
	case MESH_LOG_NOT_HEALTH:
		return true; /* Skiff answers no health checks itself */
	case MESH_LOG_TRACEABLE:
		return false; /* and samples no traces */
	case MESH_LOG_RUNTIME:
		return f->fraction >= 1000000 ||
		       (f->fraction && rng_below(rng, 1000000) < f->fraction);
	case MESH_LOG_AND:
		return any_wanted(f, in, rng, false);
	case MESH_LOG_OR:
		return any_wanted(f, in, rng, true);
	case MESH_LOG_HEADER:
		return header_is_match(f, in);
	case MESH_LOG_FLAGS:
		return f->flags ? (in->flags & f->flags) != 0 : in->flags != 0;
	case MESH_LOG_GRPC_STATUS:
		return grpc_is_match(f, in);
	case MESH_LOG_TYPE:
		return (f->value >> l7_log_type(in) & 1) != (f->op == MESH_NE);
	}
	return false;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static bool append_json(const struct mesh_json_format *j, const struct l7_info *in, bool omit,
			struct buf *out);

static int by_key(const struct mesh_json_format *a, const struct mesh_json_format *b)
{
	size_t n = a->key.len < b->key.len ? a->key.len : b->key.len;
	int r = n ? memcmp(a->key.ptr, b->key.ptr, n) : 0;

	return r ? r : (a->key.len > b->key.len) - (a->key.len < b->key.len);
}

/* The member that comes after @last in the order of keys, which is Envoy's; NULL: none. */
static const struct mesh_json_format *next_member(const struct mesh_json_format *j,
						  const struct mesh_json_format *last)
{
	const struct mesh_json_format *best = NULL;

	for (uint32_t i = 0; i < j->n_sub; i++) {
		const struct mesh_json_format *m = &j->sub[i];

		if ((!last || by_key(m, last) > 0) && (!best || by_key(m, best) < 0))
			best = m;
	}
	return best;
}

static bool is_sorted(const struct mesh_json_format *j)
{
	for (uint32_t i = 1; i < j->n_sub; i++)
		if (by_key(&j->sub[i - 1], &j->sub[i]) >= 0)
			return false;
	return true;
}

static bool append_member(const struct mesh_json_format *m, const struct l7_info *in, bool omit,
			  bool first, struct buf *out)
{
	size_t before = buf_len(out);

	if (!first)
		buf_add_char(out, ',');
	if (m->key.ptr) {
		l7_json_text(m->key, out);
		buf_add_char(out, ':');
	}
	if (append_json(m, in, omit, out))
		return true;
	out->tail -= buf_len(out) - before;
	return false;
}

static uint32_t append_object(const struct mesh_json_format *j, const struct l7_info *in, bool omit,
			      struct buf *out)
{
	const struct mesh_json_format *m = NULL;
	uint32_t n = 0;

	buf_add_char(out, '{');
	if (is_sorted(j))
		for (uint32_t i = 0; i < j->n_sub; i++)
			n += append_member(&j->sub[i], in, omit, n == 0, out);
	else
		while ((m = next_member(j, m)) != NULL)
			n += append_member(m, in, omit, n == 0, out);
	buf_add_char(out, '}');
	return n;
}

static void append_list(const struct mesh_json_format *j, const struct l7_info *in, bool omit,
			struct buf *out)
{
	uint32_t n = 0;

	buf_add_char(out, '[');
	for (uint32_t i = 0; i < j->n_sub; i++)
		n += append_member(&j->sub[i], in, omit, n == 0, out);
	buf_add_char(out, ']');
}

/* The shortest form that reads back as the same number. */
static void append_number(double v, struct buf *out)
{
	char text[32];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_add_slice(out, slice_str(text));
}

/* false: nothing to show (only with @omit). */
static bool append_json(const struct mesh_json_format *j, const struct l7_info *in, bool omit,
			struct buf *out)
{
	switch (j->kind) {
	case MESH_JSON_FORMAT:
		return l7_format_json_value(j->format, in, omit, out);
	case MESH_JSON_OBJECT:
		return append_object(j, in, omit, out) || !omit;
	case MESH_JSON_LIST:
		append_list(j, in, omit, out);
		return true;
	case MESH_JSON_NUMBER:
		append_number(j->number, out);
		return true;
	case MESH_JSON_BOOL:
		buf_add_slice(out, j->flag ? SLICE("true") : SLICE("false"));
		return true;
	case MESH_JSON_NULL:
		buf_add_slice(out, SLICE("null"));
		return !omit;
	}
	return false;
}

void filter_log_line(const struct mesh_access_log *log, const struct l7_info *in, struct buf *out)
{
	if (!log->json) {
		l7_format_text(log->format, in, log->omit_empty, out);
		return;
	}
	/* An object without members still is a line. */
	if (log->json->kind == MESH_JSON_OBJECT)
		append_object(log->json, in, log->omit_empty, out);
	else
		append_json(log->json, in, log->omit_empty, out);
	buf_add_char(out, '\n');
}
