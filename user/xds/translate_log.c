/* SPDX-License-Identifier: Apache-2.0 */
/* Access logs: sinks, text and JSON formats, filters. */
#include "envoy/extensions/access_loggers/file/v3/file.pb-c.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb-c.h"
#include "l7/format.h"
#include "xds/translate.h"

#define FILE_LOG Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog
#define STDOUT_LOG Envoy__Extensions__AccessLoggers__Stream__V3__StdoutAccessLog
#define STDERR_LOG Envoy__Extensions__AccessLoggers__Stream__V3__StderrAccessLog
#define K_FILE_FORMAT(x) \
	ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_##x
#define K_STRING_FORMAT(x) K_CORE(SUBSTITUTION_FORMAT_STRING__FORMAT_##x)
#define K_VALUE(x) GOOGLE__PROTOBUF__VALUE__KIND_##x
#define JSON_FORMAT_DEPTH_MAX 16

/* ---- JSON formats ---------------------------------------------------------------------------- */

static int json_value(struct translate *t, const Google__Protobuf__Value *v, unsigned int depth,
		      struct mesh_json_format *ret_f);

static int json_object_format(struct translate *t, const Google__Protobuf__Struct *s,
			      unsigned int depth, struct mesh_json_format *f)
{
	f->kind = MESH_JSON_OBJECT;
	f->sub = TR_ARRAY(t, struct mesh_json_format, s->n_fields);
	for (size_t i = 0; i < s->n_fields; i++) {
		f->sub[i].key = tr_str(t, s->fields[i]->key);
		TR_IN(t, s->fields[i]->key,
		      json_value(t, s->fields[i]->value, depth + 1, &f->sub[i]));
	}
	f->n_sub = (uint32_t)s->n_fields;
	return 0;
}

static int json_list_format(struct translate *t, const Google__Protobuf__ListValue *l,
			    unsigned int depth, struct mesh_json_format *f)
{
	f->kind = MESH_JSON_LIST;
	f->sub = TR_ARRAY(t, struct mesh_json_format, l->n_values);
	for (size_t i = 0; i < l->n_values; i++)
		TR_IN_AT(t, "", i, json_value(t, l->values[i], depth + 1, &f->sub[i]));
	f->n_sub = (uint32_t)l->n_values;
	return 0;
}

static int json_value(struct translate *t, const Google__Protobuf__Value *v, unsigned int depth,
		      struct mesh_json_format *f)
{
	if (depth > JSON_FORMAT_DEPTH_MAX)
		return tr_fail(t, "nested deeper than %d", JSON_FORMAT_DEPTH_MAX);
	switch (v ? v->kind_case : K_VALUE(NULL_VALUE)) {
	case K_VALUE(STRING_VALUE):
		f->kind = MESH_JSON_FORMAT;
		return tr_format(t, slice_str(v->string_value), &f->format);
	case K_VALUE(NUMBER_VALUE):
		f->kind = MESH_JSON_NUMBER;
		f->number = v->number_value;
		return 0;
	case K_VALUE(BOOL_VALUE):
		f->kind = MESH_JSON_BOOL;
		f->flag = v->bool_value;
		return 0;
	case K_VALUE(STRUCT_VALUE): return json_object_format(t, v->struct_value, depth, f);
	case K_VALUE(LIST_VALUE): return json_list_format(t, v->list_value, depth, f);
	default: f->kind = MESH_JSON_NULL; return 0;
	}
}

static int json_format(struct translate *t, const Google__Protobuf__Struct *s,
		       struct mesh_access_log *l)
{
	struct mesh_json_format *f = arena_new(t->a, struct mesh_json_format);
	int rc = json_object_format(t, s, 0, f);

	l->json = f;
	return rc;
}

/* ---- formats --------------------------------------------------------------------------------- */

static int text_source(struct translate *t, const PB_CORE(DataSource) * d,
		       const struct l7_format **ret_f)
{
	struct slice text = { 0 };
	int rc = tr_data_source(t, d, L7_FORMAT_MAX, &text);

	return rc < 0 ? rc : tr_format(t, text, ret_f);
}

int tr_string_format(struct translate *t, const PB_CORE(SubstitutionFormatString) * f,
		     struct mesh_access_log *l)
{
	l->omit_empty = f->omit_empty_values;
	if (f->json_format_options)
		l->sort_json = f->json_format_options->sort_properties;
	switch (f->format_case) {
	case K_STRING_FORMAT(TEXT_FORMAT):
		TR_IN(t, "text_format", tr_format(t, slice_str(f->text_format), &l->format));
		return 0;
	case K_STRING_FORMAT(TEXT_FORMAT_SOURCE):
		TR_IN(t, "text_format_source", text_source(t, f->text_format_source, &l->format));
		return 0;
	case K_STRING_FORMAT(JSON_FORMAT):
		TR_IN(t, "json_format", json_format(t, f->json_format, l));
		return 0;
	default:
		return tr_fail(
			t, "one of text_format, text_format_source and json_format is required");
	}
}

static int file_log(struct translate *t, const FILE_LOG *m, struct mesh_access_log *l)
{
	int rc = tr_nonempty(t, "path", m->path);

	if (rc < 0)
		return rc;
	l->sink = MESH_LOG_FILE;
	l->path = tr_str(t, m->path);
	if (strcmp(m->path, "/dev/stdout") == 0)
		l->sink = MESH_LOG_STDOUT;
	if (strcmp(m->path, "/dev/stderr") == 0)
		l->sink = MESH_LOG_STDERR;
	switch (m->access_log_format_case) {
	case K_FILE_FORMAT(LOG_FORMAT):
		TR_IN(t, "log_format", tr_string_format(t, m->log_format, l));
		break;
	case K_FILE_FORMAT(FORMAT):
		if (*m->format)
			TR_IN(t, "format", tr_format(t, slice_str(m->format), &l->format));
		break;
	case K_FILE_FORMAT(JSON_FORMAT):
		TR_IN(t, "json_format", json_format(t, m->json_format, l));
		break;
	case K_FILE_FORMAT(TYPED_JSON_FORMAT):
		TR_IN(t, "typed_json_format", json_format(t, m->typed_json_format, l));
		break;
	default: break;
	}
	return 0;
}

static int sink(struct translate *t, const PB_LOG(AccessLog) * m, struct mesh_access_log *l)
{
	const PB_CORE(SubstitutionFormatString) *f = NULL;
	ProtobufCMessage *c;
	int rc;

	if (!m->typed_config)
		return tr_fail(t, "typed_config is required");
	xds_path_push(&t->pj.path, "typed_config");
	rc = tr_any(t, m->typed_config, &c);
	if (rc < 0)
		return rc;
	if (c->descriptor == D_EXT(access_loggers__file__v3__file_access_log)) {
		rc = file_log(t, (const FILE_LOG *)c, l);
	} else if (c->descriptor == D_EXT(access_loggers__stream__v3__stdout_access_log)) {
		l->sink = MESH_LOG_STDOUT;
		f = ((const STDOUT_LOG *)c)->log_format;
	} else if (c->descriptor == D_EXT(access_loggers__stream__v3__stderr_access_log)) {
		l->sink = MESH_LOG_STDERR;
		f = ((const STDERR_LOG *)c)->log_format;
	} else {
		return tr_fail(t, "%s is not an access log", c->descriptor->name);
	}
	if (f)
		TR_IN(t, "log_format", tr_string_format(t, f, l));
	if (rc == 0 && !l->format && !l->json)
		l->format = l7_format_default(t->a);
	return rc;
}

/* ---- filters --------------------------------------------------------------------------------- */

static int log_filter(struct translate *t, const PB_LOG(AccessLogFilter) * m, unsigned int depth,
		      struct mesh_log_filter *ret_f);

static int comparison(struct translate *t, const PB_LOG(ComparisonFilter) * c,
		      enum mesh_log_filter_kind kind, struct mesh_log_filter *f)
{
	static const enum mesh_compare ops[] = { MESH_EQ, MESH_GE, MESH_LE, MESH_NE };

	if (!c || !c->value)
		return tr_fail(t, "comparison.value is required");
	if (c->op < 0 || (size_t)c->op >= ARRAY_LEN(ops))
		return tr_fail(t, "comparison.op %d is not known", (int)c->op);
	*f = (struct mesh_log_filter){ .kind = kind,
				       .op = ops[c->op],
				       .value = tr_runtime_u32(t, c->value->runtime_key,
							       c->value->default_value) };
	return 0;
}

static int sub_filters(struct translate *t, PB_LOG(AccessLogFilter) * *v, size_t n,
		       unsigned int depth, enum mesh_log_filter_kind kind,
		       struct mesh_log_filter *f)
{
	*f = (struct mesh_log_filter){ .kind = kind };
	if (n < 2)
		return tr_fail(t, "at least two filters are required");
	f->sub = TR_ARRAY(t, struct mesh_log_filter, n);
	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, "filters", i, log_filter(t, v[i], depth + 1, &f->sub[i]));
	f->n_sub = (uint32_t)n;
	return 0;
}

/* The bit of a response flag's short name; 0: none of ours. */
static uint32_t flag_bit(const char *name)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} flags[] = {
#define X(id, s, l) { s, L7_FLAG(id) },
		L7_FLAGS(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (strcmp(flags[i].name, name) == 0)
			return flags[i].bit;
	return 0;
}

/* Flags of parts that are not there yet. */
static bool flag_is_known(const char *name)
{
	static const char *const others[] = { "RLSE", "RFCF", "NFCF", "DO", "DR", "UDO" };

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strcmp(others[i], name) == 0)
			return true;
	return false;
}

static int response_flags(struct translate *t, const PB_LOG(ResponseFlagFilter) * m,
			  struct mesh_log_filter *f)
{
	*f = (struct mesh_log_filter){ .kind = MESH_LOG_FLAGS };
	for (size_t i = 0; i < m->n_flags; i++) {
		uint32_t bit = flag_bit(m->flags[i]);

		if (!bit && !flag_is_known(m->flags[i]))
			return tr_fail(t, "flags[%zu]: \"%s\" is not a response flag", i,
				       m->flags[i]);
		if (!bit)
			tr_warn(t, "flags", "flag \"%s\" never comes up in this version",
				m->flags[i]);
		/* 0 would mean "any flag": an unused bit never matches. */
		f->flags |= bit ? bit : 1u << 31;
	}
	return 0;
}

static int grpc_statuses(const PB_LOG(GrpcStatusFilter) * m, struct mesh_log_filter *f)
{
	*f = (struct mesh_log_filter){ .kind = MESH_LOG_GRPC_STATUS,
				       .op = m->exclude ? MESH_NE : MESH_EQ };
	for (size_t i = 0; i < m->n_statuses; i++)
		if (m->statuses[i] >= 0 && m->statuses[i] < 64)
			f->value |= 1ull << m->statuses[i];
	return 0;
}

static int header_filter(struct translate *t, const PB_LOG(HeaderFilter) * m,
			 struct mesh_log_filter *f)
{
	*f = (struct mesh_log_filter){ .kind = MESH_LOG_HEADER };
	if (!m->header)
		return tr_fail(t, "header is required");
	TR_IN(t, "header", tr_header_match(t, m->header, false, &f->header));
	return 0;
}

static int log_types(struct translate *t, const PB_LOG(LogTypeFilter) * m,
		     struct mesh_log_filter *f)
{
	*f = (struct mesh_log_filter){ .kind = MESH_LOG_TYPE,
				       .op = m->exclude ? MESH_NE : MESH_EQ };
	for (size_t i = 0; i < m->n_types; i++) {
		if (m->types[i] < 0 || m->types[i] >= 64)
			return tr_fail(t, "types[%zu] %d is not known", i, (int)m->types[i]);
		f->value |= 1ull << m->types[i];
	}
	return 0;
}

/* No filter of ours writes dynamic metadata: the key is never found. */
static int metadata(const PB_LOG(MetadataFilter) * m, struct mesh_log_filter *f)
{
	*f = (struct mesh_log_filter){ .kind = MESH_LOG_RUNTIME };
	f->fraction = tr_bool(m->match_if_key_not_found, true) ? 1000000 : 0;
	return 0;
}

int tr_log_interval(struct translate *t, const Google__Protobuf__Duration *d, uint32_t *ret_ms)
{
	int rc = tr_ms(t, "access_log_flush_interval", d, 0, ret_ms);

	if (rc == 0 && d && !*ret_ms)
		return tr_fail(t, "access_log_flush_interval must be at least 0.001s");
	return rc;
}

#define K_FILTER(x) K_LOG(ACCESS_LOG_FILTER__FILTER_SPECIFIER_##x)

static int log_filter(struct translate *t, const PB_LOG(AccessLogFilter) * m, unsigned int depth,
		      struct mesh_log_filter *f)
{
	if (depth > JSON_FORMAT_DEPTH_MAX)
		return tr_fail(t, "nested deeper than %d", JSON_FORMAT_DEPTH_MAX);
	switch (m->filter_specifier_case) {
	case K_FILTER(STATUS_CODE_FILTER):
		return comparison(t, m->status_code_filter->comparison, MESH_LOG_STATUS, f);
	case K_FILTER(DURATION_FILTER):
		return comparison(t, m->duration_filter->comparison, MESH_LOG_DURATION, f);
	case K_FILTER(NOT_HEALTH_CHECK_FILTER):
		*f = (struct mesh_log_filter){ .kind = MESH_LOG_NOT_HEALTH };
		return 0;
	case K_FILTER(TRACEABLE_FILTER):
		*f = (struct mesh_log_filter){ .kind = MESH_LOG_TRACEABLE };
		return 0;
	case K_FILTER(RUNTIME_FILTER):
		*f = (struct mesh_log_filter){ .kind = MESH_LOG_RUNTIME };
		f->fraction = tr_runtime_fraction(
			t, m->runtime_filter->runtime_key,
			tr_percent(m->runtime_filter->percent_sampled, 0));
		return tr_nonempty(t, "runtime_filter.runtime_key", m->runtime_filter->runtime_key);
	case K_FILTER(AND_FILTER):
		return sub_filters(t, m->and_filter->filters, m->and_filter->n_filters, depth,
				   MESH_LOG_AND, f);
	case K_FILTER(OR_FILTER):
		return sub_filters(t, m->or_filter->filters, m->or_filter->n_filters, depth,
				   MESH_LOG_OR, f);
	case K_FILTER(HEADER_FILTER): return header_filter(t, m->header_filter, f);
	case K_FILTER(RESPONSE_FLAG_FILTER): return response_flags(t, m->response_flag_filter, f);
	case K_FILTER(GRPC_STATUS_FILTER): return grpc_statuses(m->grpc_status_filter, f);
	case K_FILTER(METADATA_FILTER): return metadata(m->metadata_filter, f);
	case K_FILTER(LOG_TYPE_FILTER): return log_types(t, m->log_type_filter, f);
	default:
		return tr_fail(
			t,
			"the filter's kind is required, or is not supported yet by this version");
	}
}

int tr_log_filter(struct translate *t, const PB_LOG(AccessLogFilter) * m,
		  const struct mesh_log_filter **ret_f)
{
	struct mesh_log_filter *f = arena_new(t->a, struct mesh_log_filter);

	TR_IN(t, "filter", log_filter(t, m, 0, f));
	*ret_f = f;
	return 0;
}

static int access_log(struct translate *t, const PB_LOG(AccessLog) * m,
		      struct mesh_access_log *ret_l)
{
	size_t mark = t->pj.path.len;
	int rc;

	*ret_l = (struct mesh_access_log){ 0 };
	rc = m->filter ? tr_log_filter(t, m->filter, &ret_l->filter) : 0;
	if (rc == 0)
		rc = sink(t, m, ret_l);
	if (rc == 0)
		xds_path_pop(&t->pj.path, mark);
	return rc;
}

int tr_access_logs(struct translate *t, const char *field, PB_LOG(AccessLog) * *v, size_t n,
		   struct mesh_access_log **ret_v, uint32_t *ret_n)
{
	struct mesh_access_log *out = TR_ARRAY(t, struct mesh_access_log, n);

	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, field, i, access_log(t, v[i], &out[i]));
	*ret_v = out;
	*ret_n = (uint32_t)n;
	return 0;
}
