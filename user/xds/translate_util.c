/* SPDX-License-Identifier: Apache-2.0 */
/* Small readers that all of the translation uses; see translate.h. */
#include <stdarg.h>
#include <xxhash.h>

#include "base/regex.h"
#include "xds/translate.h"
#include "xds/yaml.h"

#define TRANSLATE_TEXT_MAX 512
#define PRESERVE_CASE \
	"envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"

struct translate_regex {
	struct translate_regex *next;
	struct regex *re;
};

static void regexes_release(struct mesh_part *p)
{
	struct translate_regex **list = p->release_arg;

	for (struct translate_regex *r = list ? *list : NULL; r; r = r->next)
		regex_free(r->re);
}

void tr_part_init(struct translate *t, struct mesh_part *p)
{
	t->part = p;
	t->a = &p->arena;
	t->regexes = arena_new(t->a, struct translate_regex *);
	p->release = regexes_release;
	p->release_arg = t->regexes;
}

int tr_fail(struct translate *t, const char *fmt, ...)
{
	char text[TRANSLATE_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return protojson_fail(&t->pj, -EINVAL, "%s", text);
}

int tr_unsupported(struct translate *t, const char *field, const char *what)
{
	xds_path_push(&t->pj.path, field);
	return tr_fail(t, "%s is not supported yet by this version", what);
}

int tr_files_refuse(struct translate *t, const ProtobufCMessage *m, const char *field)
{
	return tr_fail(t, "field \"%s\" of %s is not supported yet by this version", field,
		       m->descriptor->name);
}

void tr_no_effect(struct translate *t, const ProtobufCMessage *m, const char *field, bool is_set)
{
	const ProtobufCFieldDescriptor *f;

	if (!is_set)
		return;
	f = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, field);
	must(f);
	tr_warn(t, "", "field number %u (%s) of %s has no effect in this version", f->id, field,
		m->descriptor->name);
}

void tr_need(struct translate *t, enum mesh_part_kind kind, struct slice name, bool is_weak)
{
	if (t->part && name.len)
		mesh_part_need(t->part, kind, name, is_weak);
}

void tr_warn(struct translate *t, const char *field, const char *fmt, ...)
{
	char text[TRANSLATE_TEXT_MAX];
	size_t mark = t->pj.path.len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (*field)
		xds_path_push(&t->pj.path, field);
	xds_report_add(t->pj.report, t->pj.path.text, "%s", text);
	xds_path_pop(&t->pj.path, mark);
}

int tr_required(struct translate *t, const char *field, bool is_there)
{
	return is_there ? 0 : tr_fail(t, "%s is required", field);
}

int tr_nonempty(struct translate *t, const char *field, const char *text)
{
	return text && *text ? 0 : tr_fail(t, "%s is required and may not be empty", field);
}

struct slice tr_str(struct translate *t, const char *s)
{
	return s && *s ? arena_slice(t->a, slice_str(s)) : SLICE_NONE;
}

struct slice tr_lower(struct translate *t, const char *s)
{
	struct slice out = tr_str(t, s);
	char *p = (char *)(uintptr_t)out.ptr;

	for (size_t i = 0; i < out.len; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] + 'a' - 'A');
	return out;
}

int tr_line(struct translate *t, const char *field, const char *s, struct slice *ret_s)
{
	if (s && strpbrk(s, "\r\n"))
		return tr_fail(t, "%s has a line break", field);
	*ret_s = tr_str(t, s);
	return 0;
}

struct slice tr_bytes(struct translate *t, ProtobufCBinaryData b)
{
	return b.len ? arena_slice(t->a, slice_of(b.data, b.len)) : SLICE_NONE;
}

struct slice *tr_strs(struct translate *t, char **v, size_t n, bool lower)
{
	struct slice *out = TR_ARRAY(t, struct slice, n);

	for (size_t i = 0; i < n; i++)
		out[i] = lower ? tr_lower(t, v[i]) : tr_str(t, v[i]);
	return out;
}

int tr_ms(struct translate *t, const char *field, const Google__Protobuf__Duration *d,
	  uint32_t dflt, uint32_t *ret_ms)
{
	int64_t ms;

	*ret_ms = dflt;
	if (!d)
		return 0;
	if (d->seconds < 0 || d->nanos < 0 || d->nanos > 999999999 ||
	    d->seconds > UINT32_MAX / 1000 - 1) {
		xds_path_push(&t->pj.path, field);
		return tr_fail(t, "the duration must be between 0 and %us", UINT32_MAX / 1000 - 1);
	}
	ms = d->seconds * 1000 + d->nanos / 1000000;
	*ret_ms = (uint32_t)ms;
	return 0;
}

bool tr_bool(const Google__Protobuf__BoolValue *b, bool dflt)
{
	return b ? b->value : dflt;
}

uint32_t tr_u32(const Google__Protobuf__UInt32Value *v, uint32_t dflt)
{
	return v ? v->value : dflt;
}

uint32_t tr_percent(const PB_TYPE(FractionalPercent) * p, uint32_t dflt)
{
	static const uint32_t scale[] = { 10000, 100, 1 };
	uint64_t v;

	if (!p)
		return dflt;
	v = (uint64_t)p->numerator *
	    scale[p->denominator >= 0 && p->denominator < 3 ? p->denominator : 2];
	return v > 1000000 ? 1000000 : (uint32_t)v;
}

int tr_runtime_percent(struct translate *t, const char *field,
		       const PB_CORE(RuntimeFractionalPercent) * p, uint32_t dflt, uint32_t *ret_v)
{
	*ret_v = dflt;
	if (!p)
		return 0;
	if (!p->default_value)
		return tr_fail(t, "%s.default_value is required", field);
	*ret_v = tr_runtime_fraction(t, p->runtime_key, tr_percent(p->default_value, 0));
	return 0;
}

int tr_regex_text(struct translate *t, struct slice pattern, const struct regex **ret_re)
{
	struct translate_regex *node;
	struct regex *re = NULL;
	struct err e;

	if (regex_compile(pattern, &re, &e) < 0)
		return tr_fail(t, "%s", e.text);
	node = arena_new(t->a, struct translate_regex);
	node->re = re;
	node->next = *t->regexes;
	*t->regexes = node;
	*ret_re = re;
	return 0;
}

static int regex_matcher(struct translate *t, const PB_MATCHER(RegexMatcher) * m,
			 const struct regex **ret_re)
{
	int rc = tr_nonempty(t, "regex", m->regex);

	return rc < 0 ? rc : tr_regex_text(t, slice_str(m->regex), ret_re);
}

int tr_regex(struct translate *t, const char *field, const PB_MATCHER(RegexMatcher) * m,
	     const struct regex **ret_re)
{
	int rc = tr_required(t, field, m);

	if (rc < 0)
		return rc;
	TR_IN(t, field, regex_matcher(t, m, ret_re));
	return 0;
}

static int file_text(struct translate *t, const char *path, size_t max, struct slice *ret_text)
{
	char *text = NULL;
	struct err e;
	size_t len;

	if (yaml_file_read(path, max, &text, &len, &e) < 0)
		return tr_fail(t, "%s", e.text);
	*ret_text = arena_slice(t->a, slice_of(text, len));
	free(text);
	return 0;
}

/* What stands outside of the resource counts for its hash. */
static void outside_text(struct translate *t, struct slice text)
{
	t->hash_seed = XXH64(text.ptr, text.len, t->hash_seed);
}

int tr_data_source(struct translate *t, const PB_CORE(DataSource) * d, size_t max,
		   struct slice *ret_text)
{
	const char *env;

	switch (d->specifier_case) {
	case K_CORE(DATA_SOURCE__SPECIFIER_INLINE_STRING):
		*ret_text = tr_str(t, d->inline_string);
		break;
	case K_CORE(DATA_SOURCE__SPECIFIER_INLINE_BYTES):
		*ret_text = tr_bytes(t, d->inline_bytes);
		break;
	case K_CORE(DATA_SOURCE__SPECIFIER_FILENAME):
		if (file_text(t, d->filename, max, ret_text) < 0)
			return -EINVAL;
		outside_text(t, *ret_text);
		break;
	case K_CORE(DATA_SOURCE__SPECIFIER_ENVIRONMENT_VARIABLE):
		env = getenv(d->environment_variable);
		if (!env)
			return tr_fail(t, "the environment has no variable \"%s\"",
				       d->environment_variable);
		*ret_text = tr_str(t, env);
		outside_text(t, *ret_text);
		break;
	default:
		return tr_fail(t, "one of filename, inline_bytes, inline_string and "
				  "environment_variable is required");
	}
	if (ret_text->len > max)
		return tr_fail(t, "the text has %zu bytes; %zu are allowed", ret_text->len, max);
	return 0;
}

int tr_cidr(struct translate *t, const PB_CORE(CidrRange) * c, struct mesh_prefix *ret_p)
{
	uint32_t bits = tr_u32(c->prefix_len, 0);

	if (addr_parse_ip(slice_str(c->address_prefix), &ret_p->net) < 0)
		return tr_fail(t, "\"%s\" is not an IP address", c->address_prefix);
	if (bits > 128)
		return tr_fail(t, "prefix_len %u is over 128", bits);
	/* Over 32 counts as 32, as in Envoy. */
	if (addr_is_v4(&ret_p->net) && !strchr(c->address_prefix, ':'))
		bits = bits > 32 ? 128 : bits + 96;
	ret_p->bits = bits;
	return 0;
}

int tr_cidrs(struct translate *t, const char *field, PB_CORE(CidrRange) * *v, size_t n,
	     struct mesh_prefix **ret_v, uint32_t *ret_n)
{
	struct mesh_prefix *out = TR_ARRAY(t, struct mesh_prefix, n);

	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, field, i, tr_cidr(t, v[i], &out[i]));
	*ret_v = out;
	*ret_n = (uint32_t)n;
	return 0;
}

int tr_socket_address(struct translate *t, const PB_CORE(Address) * a,
		      const PB_CORE(SocketAddress) * *ret_sa)
{
	const PB_CORE(SocketAddress) * sa;
	size_t mark = t->pj.path.len;

	if (!a)
		return tr_fail(t, "address is required");
	xds_path_push(&t->pj.path, "address");
	if (a->address_case == K_CORE(ADDRESS__ADDRESS_PIPE))
		return tr_unsupported(t, "pipe", "a Unix domain socket");
	if (a->address_case != K_CORE(ADDRESS__ADDRESS_SOCKET_ADDRESS))
		return tr_fail(t, "socket_address is required");
	sa = a->socket_address;
	xds_path_push(&t->pj.path, "socket_address");
	if (sa->protocol != K_CORE(SOCKET_ADDRESS__PROTOCOL__TCP))
		return tr_unsupported(t, "protocol", "UDP");
	if (!*sa->address)
		return tr_fail(t, "address is required and may not be empty");
	if (sa->port_specifier_case != K_CORE(SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE))
		return tr_fail(t, "port_value is required");
	if (sa->port_value > 65535)
		return tr_fail(t, "port_value %u is over 65535", sa->port_value);
	xds_path_pop(&t->pj.path, mark);
	*ret_sa = sa;
	return 0;
}

bool tr_is_ads(const PB_CORE(ConfigSource) * c)
{
	return c && (c->config_source_specifier_case ==
			     K_CORE(CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS) ||
		     c->config_source_specifier_case ==
			     K_CORE(CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_SELF));
}

int tr_any(struct translate *t, const Google__Protobuf__Any *any, ProtobufCMessage **ret_m)
{
	return any ? protojson_any_open(&t->pj, &any->base, ret_m) :
		     tr_fail(t, "typed_config is required");
}

int tr_any_of(struct translate *t, const Google__Protobuf__Any *any,
	      const ProtobufCMessageDescriptor *want, const char *what, ProtobufCMessage **ret_m)
{
	ProtobufCMessage *m = NULL;
	int rc = tr_any(t, any, &m);

	if (rc < 0)
		return rc;
	if (m->descriptor != want)
		return tr_fail(t, "%s is not %s", m->descriptor->name, what);
	*ret_m = m;
	return 0;
}

int tr_key_format(struct translate *t, const PB_CORE(Http1ProtocolOptions__HeaderKeyFormat) * m,
		  bool *ret_proper_case, bool *ret_preserve_case)
{
	const Google__Protobuf__Any *any;

	if (m && m->header_format_case == K_KEY_FORMAT(_NOT_SET))
		return tr_fail(t, "header_key_format: one of proper_case_words and "
				  "stateful_formatter is required");
	*ret_proper_case = m && m->header_format_case == K_KEY_FORMAT(PROPER_CASE_WORDS);
	*ret_preserve_case = m && m->header_format_case == K_KEY_FORMAT(STATEFUL_FORMATTER);
	if (!*ret_preserve_case)
		return 0;
	any = m->stateful_formatter->typed_config;
	if (!any || strcmp(protojson_any_type(&t->pj, &any->base), PRESERVE_CASE) != 0)
		return tr_fail(t, "header_key_format.stateful_formatter: only %s is known",
			       PRESERVE_CASE);
	return 0;
}
