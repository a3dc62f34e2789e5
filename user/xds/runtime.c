/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values by key (layered_runtime's static layers). They are read when the configuration is: a
 * change of theirs is a change of the file. Nothing changes them while skiffd runs.
 */
#include <xxhash.h>

#include "envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "xds/translate.h"

#define RUNTIME_DEPTH_MAX 8
#define K_LAYER(x) ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_##x

/* A fraction is written as a struct with a numerator; other structs are parts of names. */
static bool is_fraction(const Google__Protobuf__Struct *s)
{
	for (size_t i = 0; i < s->n_fields; i++)
		if (strcmp(s->fields[i]->key, "numerator") == 0 ||
		    strcmp(s->fields[i]->key, "denominator") == 0)
			return true;
	return false;
}

static double number_of(const Google__Protobuf__Value *v)
{
	return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE ? v->number_value :
										 0;
}

static json_t *fraction_to_json(const Google__Protobuf__Struct *s)
{
	double n = 0, of = 100;

	for (size_t i = 0; i < s->n_fields; i++) {
		const Google__Protobuf__Value *v = s->fields[i]->value;
		const char *text = v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE ?
					   v->string_value :
					   "";

		if (strcmp(s->fields[i]->key, "numerator") == 0)
			n = number_of(v);
		else if (strcmp(text, "TEN_THOUSAND") == 0)
			of = 10000;
		else if (strcmp(text, "MILLION") == 0)
			of = 1000000;
	}
	return json_pack("{s:f}", "parts", n / of * 1000000);
}

static json_t *value_to_json(const Google__Protobuf__Value *v)
{
	char *end;
	double d;

	switch (v->kind_case) {
	case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE: return json_real(v->number_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE: return json_boolean(v->bool_value);
	case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
		if (strcasecmp(v->string_value, "true") == 0)
			return json_true();
		if (strcasecmp(v->string_value, "false") == 0)
			return json_false();
		d = strtod(v->string_value, &end);
		return *v->string_value && !*end ? json_real(d) : NULL;
	default: return NULL;
	}
}

static int add_struct(struct translate *t, const char *prefix, const Google__Protobuf__Struct *s,
		      unsigned int depth)
{
	if (depth > RUNTIME_DEPTH_MAX)
		return tr_fail(t, "nested deeper than %d", RUNTIME_DEPTH_MAX);
	for (size_t i = 0; i < s->n_fields; i++) {
		const Google__Protobuf__Value *v = s->fields[i]->value;
		char *key = xasprintf("%s%s%s", prefix, *prefix ? "." : "", s->fields[i]->key);
		json_t *j = NULL;
		int rc = 0;

		if (v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE &&
		    !is_fraction(v->struct_value))
			rc = add_struct(t, key, v->struct_value, depth + 1);
		else if (v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
			j = fraction_to_json(v->struct_value);
		else if (v)
			j = value_to_json(v);
		if (j)
			json_object_set_new(t->runtime, key, j);
		free(key);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int tr_runtime_layers(struct translate *t,
		      const Envoy__Config__Bootstrap__V3__LayeredRuntime *m)
{
	for (size_t i = 0; i < m->n_layers; i++)
		/* An admin layer has nothing in it; others were reported when they were read. */
		if (m->layers[i]->layer_specifier_case == K_LAYER(STATIC_LAYER))
			TR_IN_AT(t, "layers", i, add_struct(t, "", m->layers[i]->static_layer, 0));
	return 0;
}

/* The value of @key, or NULL. What it is counts in the part's hash: messages do not show it. */
static const json_t *find(struct translate *t, const char *key)
{
	const json_t *j = t->runtime && *key ? json_object_get(t->runtime, key) : NULL;
	char *text = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;

	if (text)
		t->hash_seed = XXH3_64bits_withSeed(text, strlen(text), t->hash_seed);
	free(text);
	return j;
}

uint32_t tr_runtime_u32(struct translate *t, const char *key, uint32_t dflt)
{
	const json_t *j = find(t, key);
	double d = json_is_real(j) ? json_real_value(j) : -1;

	return d >= 0 && d <= UINT32_MAX ? (uint32_t)d : dflt;
}

bool tr_runtime_bool(struct translate *t, const char *key, bool dflt)
{
	const json_t *j = find(t, key);

	if (json_is_real(j))
		return json_real_value(j) != 0;
	return json_is_boolean(j) ? json_is_true(j) : dflt;
}

uint32_t tr_runtime_fraction(struct translate *t, const char *key, uint32_t dflt)
{
	const json_t *j = find(t, key);
	double d = -1;

	if (json_is_object(j))
		d = json_real_value(json_object_get(j, "parts"));
	/* A number is whole percents: what is behind the point is cut. */
	else if (json_is_real(j) && json_real_value(j) >= 0 && json_real_value(j) <= UINT32_MAX)
		d = (double)(uint32_t)json_real_value(j) * 10000;
	if (d < 0)
		return dflt;
	return d > 1000000 ? 1000000 : (uint32_t)d;
}
