/* SPDX-License-Identifier: Apache-2.0 */
/* JSON <-> numbers, booleans, strings, bytes and enums. */
#include <errno.h>
#include <math.h>

#include "xds/protojson_impl.h"
#include "xds/yaml.h"

static int need(struct protojson *pj, const char *what, const json_t *j)
{
	static const char *const names[] = { "an object", "a list",    "text",      "a number",
					     "a number",  "a boolean", "a boolean", "null" };

	return protojson_fail(pj, -EINVAL, "%s is needed here, not %s", what,
			      names[json_typeof(j)]);
}

/* Reads a whole number between @min and @max; text holds it too (protobuf writes 64 bits so). */
static int int_read(struct protojson *pj, const json_t *j, int64_t min, int64_t max, int64_t *ret_v)
{
	int64_t v;
	char *end;

	if (json_is_integer(j)) {
		v = json_integer_value(j);
	} else if (json_is_real(j)) {
		double d = json_real_value(j);

		if (d != floor(d) || d < -9.2e18 || d > 9.2e18)
			return need(pj, "a whole number", j);
		v = (int64_t)d;
	} else if (json_is_string(j)) {
		const char *s = json_string_value(j);

		errno = 0;
		v = strtoll(s, &end, 10);
		if (*end == '.') /* "2.0" is whole too */
			end += 1 + strspn(end + 1, "0");
		if (end == s || *end || errno)
			return protojson_fail(pj, -EINVAL, "\"%s\" is not a whole number in range",
					      s);
	} else {
		return need(pj, "a number", j);
	}
	if (v < min || v > max)
		return protojson_fail(pj, -EINVAL, "%lld is out of range (%lld to %lld)",
				      (long long)v, (long long)min, (long long)max);
	*ret_v = v;
	return 0;
}

static int u64_read(struct protojson *pj, const json_t *j, uint64_t *ret_v)
{
	int64_t v = 0;
	int rc;

	if (json_is_string(j) && slice_to_u64(slice_str(json_string_value(j)), ret_v) == 0)
		return 0;
	rc = int_read(pj, j, 0, INT64_MAX, &v);
	if (rc == 0)
		*ret_v = (uint64_t)v;
	return rc;
}

static int double_read(struct protojson *pj, const json_t *j, double *ret_v)
{
	const char *s;
	char *end;
	double v;

	if (json_is_number(j)) {
		*ret_v = json_number_value(j);
		return 0;
	}
	if (!json_is_string(j))
		return need(pj, "a number", j);
	s = json_string_value(j);
	v = strtod(s, &end);
	if (end == s || *end)
		return protojson_fail(pj, -EINVAL, "\"%s\" is not a number", s);
	*ret_v = v;
	return 0;
}

/* By name; the case does not matter, as in Envoy. */
static const ProtobufCEnumValue *enum_find(const ProtobufCEnumDescriptor *d, const char *name)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(d, name);

	for (unsigned int i = 0; !v && i < d->n_values; i++)
		if (strcasecmp(d->values[i].name, name) == 0)
			v = &d->values[i];
	return v;
}

static int enum_read(struct protojson *pj, const ProtobufCEnumDescriptor *d, const json_t *j,
		     int *ret_v)
{
	const ProtobufCEnumValue *v;
	int64_t n = 0;
	int rc;

	if (json_is_string(j)) {
		v = enum_find(d, json_string_value(j));
		if (!v)
			return protojson_fail(pj, -EINVAL, "\"%s\" is not a value of %s",
					      json_string_value(j), d->name);
		*ret_v = v->value;
		return 0;
	}
	rc = int_read(pj, j, INT32_MIN, INT32_MAX, &n);
	if (rc == 0)
		*ret_v = (int)n;
	return rc;
}

static int string_read(struct protojson *pj, const json_t *j, char **ret_s)
{
	size_t len = json_string_length(j);
	const char *s = json_string_value(j);

	if (!json_is_string(j)) {
		if (json_is_number(j) || json_is_boolean(j))
			return protojson_fail(pj, -EINVAL,
					      "text is needed here, not a %s; put it in quotes",
					      json_is_number(j) ? "number" : "boolean");
		return need(pj, "text", j);
	}
	if (memchr(s, '\0', len))
		return protojson_fail(pj, -EINVAL, "the text has a NUL byte");
	*ret_s = arena_str(pj->arena, slice_of(s, len));
	return 0;
}

/* Text too: a map's keys are always text, and YAML has more words than true and false. */
static int bool_read(struct protojson *pj, const json_t *j, protobuf_c_boolean *ret_v)
{
	static const char *const words[][2] = {
		{ "true", "false" }, { "yes", "no" }, { "on", "off" }, { "y", "n" }
	};
	const char *s = json_string_value(j);

	if (json_is_boolean(j)) {
		*ret_v = json_is_true(j);
		return 0;
	}
	for (size_t i = 0; s && i < ARRAY_LEN(words); i++)
		if (yaml_word_is(s, words[i][0]) || yaml_word_is(s, words[i][1])) {
			*ret_v = yaml_word_is(s, words[i][0]);
			return 0;
		}
	return need(pj, "true or false", j);
}

static int bytes_read(struct protojson *pj, const json_t *j, ProtobufCBinaryData *ret_b)
{
	if (!json_is_string(j))
		return need(pj, "base64 text", j);
	if (base64_read(pj->arena, slice_of(json_string_value(j), json_string_length(j)), ret_b) <
	    0)
		return protojson_fail(pj, -EINVAL, "the text is not base64");
	return 0;
}

int scalar_read(struct protojson *pj, const ProtobufCFieldDescriptor *f, const json_t *j, void *out)
{
	int64_t v = 0;
	double d = 0;
	int rc;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		rc = int_read(pj, j, INT32_MIN, INT32_MAX, &v);
		*(int32_t *)out = (int32_t)v;
		return rc;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		rc = int_read(pj, j, 0, UINT32_MAX, &v);
		*(uint32_t *)out = (uint32_t)v;
		return rc;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64: return int_read(pj, j, INT64_MIN, INT64_MAX, out);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64: return u64_read(pj, j, out);
	case PROTOBUF_C_TYPE_FLOAT:
		rc = double_read(pj, j, &d);
		*(float *)out = (float)d;
		return rc;
	case PROTOBUF_C_TYPE_DOUBLE: return double_read(pj, j, out);
	case PROTOBUF_C_TYPE_BOOL: return bool_read(pj, j, out);
	case PROTOBUF_C_TYPE_ENUM: return enum_read(pj, f->descriptor, j, out);
	case PROTOBUF_C_TYPE_STRING: return string_read(pj, j, out);
	case PROTOBUF_C_TYPE_BYTES: return bytes_read(pj, j, out);
	case PROTOBUF_C_TYPE_MESSAGE: break;
	}
	must(!"a message is not a scalar");
	return -EINVAL;
}

static json_t *text_number(const char *fmt, unsigned long long v)
{
	char buf[32];

	snprintf(buf, sizeof(buf), fmt, v);
	return json_string(buf);
}

static json_t *double_write(double v)
{
	if (isnan(v))
		return json_string("NaN");
	if (isinf(v))
		return json_string(v > 0 ? "Infinity" : "-Infinity");
	if (v == floor(v) && fabs(v) < 9e15)
		return json_integer((json_int_t)v);
	return json_real(v);
}

static json_t *bytes_write(const ProtobufCBinaryData *b)
{
	struct arena a = { 0 };
	json_t *j = json_string(base64_write(&a, b->data, b->len));

	arena_done(&a);
	return j;
}

static json_t *enum_write(const ProtobufCEnumDescriptor *d, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);

	return v ? json_string(v->name) : json_integer(value);
}

json_t *scalar_write(const ProtobufCFieldDescriptor *f, const void *at, unsigned int depth)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32: return json_integer(*(const int32_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32: return json_integer(*(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64: return text_number("%lld", *(const unsigned long long *)at);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64: return text_number("%llu", *(const unsigned long long *)at);
	case PROTOBUF_C_TYPE_FLOAT: return double_write(*(const float *)at);
	case PROTOBUF_C_TYPE_DOUBLE: return double_write(*(const double *)at);
	case PROTOBUF_C_TYPE_BOOL: return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_ENUM: return enum_write(f->descriptor, *(const int *)at);
	case PROTOBUF_C_TYPE_STRING: return json_string(*(char *const *)at);
	case PROTOBUF_C_TYPE_BYTES: return bytes_write(at);
	case PROTOBUF_C_TYPE_MESSAGE: return message_write(*(ProtobufCMessage *const *)at, depth);
	}
	return NULL;
}
