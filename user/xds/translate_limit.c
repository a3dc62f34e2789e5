/* SPDX-License-Identifier: Apache-2.0 */
/* Local rate limits: token buckets, descriptors, and the actions that make descriptors. */
#include "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb-c.h"
#include "xds/translate.h"

#define K_ACTION(x) K_ROUTE(RATE_LIMIT__ACTION__ACTION_SPECIFIER_##x)
#define FILL_INTERVAL_MIN_NS 50000000ull /* as Envoy's limit */
#define STAGE_MAX 10
#define VALUES_DEFAULT 20
#define VALUES_MAX 4096 /* of ours */
#define RESPONSE_HEADERS_MAX 10 /* as Envoy's limit */

int tr_token_bucket(struct translate *t, const PB_TYPE(TokenBucket) * b,
		    struct mesh_token_bucket *ret_b)
{
	const Google__Protobuf__Duration *d = b->fill_interval;

	if (b->tokens_per_fill && !b->tokens_per_fill->value)
		return tr_fail(t, "tokens_per_fill must be over 0");
	if (!d)
		return tr_fail(t, "fill_interval is required");
	if (d->seconds < 0 || d->nanos < 0 || d->nanos > 999999999 || d->seconds > UINT32_MAX)
		return tr_fail(t, "fill_interval is out of range");
	ret_b->max_tokens = b->max_tokens;
	ret_b->tokens_per_fill = tr_u32(b->tokens_per_fill, 1);
	ret_b->fill_interval_ns = (uint64_t)d->seconds * 1000000000ull + (uint64_t)d->nanos;
	if (ret_b->fill_interval_ns < FILL_INTERVAL_MIN_NS)
		return tr_fail(t, "fill_interval must be at least 0.05s");
	return 0;
}

/* ---- actions --------------------------------------------------------------------------------- */

static struct slice or_default(struct translate *t, const char *text, const char *dflt)
{
	return tr_str(t, *text ? text : dflt);
}

static int header_value_action(struct translate *t,
			       const PB_ROUTE(RateLimit__Action__HeaderValueMatch) * m,
			       struct mesh_rl_action *a)
{
	a->kind = MESH_RL_HEADER_VALUE_MATCH;
	a->key = or_default(t, m->descriptor_key, "header_match");
	a->value = tr_str(t, m->descriptor_value);
	a->expect_match = tr_bool(m->expect_match, true);
	if (!m->n_headers || !*m->descriptor_value)
		return tr_fail(t, "headers and descriptor_value may not be empty");
	return tr_header_matches(t, "headers", m->headers, m->n_headers, false, &a->headers,
				 &a->n_headers);
}

static int query_value_action(struct translate *t,
			      const PB_ROUTE(RateLimit__Action__QueryParameterValueMatch) * m,
			      struct mesh_rl_action *a)
{
	a->kind = MESH_RL_QUERY_VALUE_MATCH;
	a->key = or_default(t, m->descriptor_key, "query_match");
	a->value = tr_str(t, m->descriptor_value);
	a->expect_match = tr_bool(m->expect_match, true);
	if (!m->n_query_parameters || !*m->descriptor_value)
		return tr_fail(t, "query_parameters and descriptor_value may not be empty");
	return tr_query_matches(t, "query_parameters", m->query_parameters, m->n_query_parameters,
				&a->queries, &a->n_queries);
}

static int request_headers_action(struct translate *t,
				  const PB_ROUTE(RateLimit__Action__RequestHeaders) * m,
				  struct mesh_rl_action *a)
{
	int rc = tr_nonempty(t, "header_name", m->header_name);

	a->kind = MESH_RL_REQUEST_HEADERS;
	a->header = tr_lower(t, m->header_name);
	a->key = tr_str(t, m->descriptor_key);
	a->skip_if_absent = m->skip_if_absent;
	return rc < 0 ? rc : tr_nonempty(t, "descriptor_key", m->descriptor_key);
}

static int query_parameters_action(struct translate *t,
				   const PB_ROUTE(RateLimit__Action__QueryParameters) * m,
				   struct mesh_rl_action *a)
{
	int rc = tr_nonempty(t, "query_parameter_name", m->query_parameter_name);

	a->kind = MESH_RL_QUERY_PARAMETERS;
	a->header = tr_str(t, m->query_parameter_name);
	a->key = tr_str(t, m->descriptor_key);
	a->skip_if_absent = m->skip_if_absent;
	return rc < 0 ? rc : tr_nonempty(t, "descriptor_key", m->descriptor_key);
}

static int masked_address(struct translate *t,
			  const PB_ROUTE(RateLimit__Action__MaskedRemoteAddress) * m,
			  struct mesh_rl_action *a)
{
	a->kind = MESH_RL_MASKED_ADDRESS;
	a->key = tr_str(t, "masked_remote_address");
	a->v4_bits = tr_u32(m->v4_prefix_mask_len, 32);
	a->v6_bits = tr_u32(m->v6_prefix_mask_len, 128);
	if (a->v4_bits > 32 || a->v6_bits > 128)
		return tr_fail(t, "v4_prefix_mask_len is over 32 or v6_prefix_mask_len over 128");
	return 0;
}

static int metadata(struct translate *t, const PB_ROUTE(RateLimit__Action__MetaData) * m,
			   struct mesh_rl_action *a)
{
	int rc;

	a->kind = m->source == K_ROUTE(RATE_LIMIT__ACTION__META_DATA__SOURCE__ROUTE_ENTRY) ?
			  MESH_RL_ROUTE_METADATA :
			  MESH_RL_DYNAMIC_METADATA;
	a->skip_if_absent = m->skip_if_absent;
	rc = tr_nonempty(t, "descriptor_key", m->descriptor_key);
	if (rc == 0)
		rc = tr_required(t, "metadata_key", m->metadata_key != NULL);
	if (rc < 0)
		return rc;
	a->key = tr_str(t, m->descriptor_key);
	a->path = tr_metadata_path(t, m->metadata_key);
	a->value = tr_str(t, m->default_value);
	return tr_nonempty(t, "metadata_key.key", m->metadata_key->key);
}

static int address_match(struct translate *t,
			 const PB_ROUTE(RateLimit__Action__RemoteAddressMatch) * m,
			 struct mesh_rl_action *a)
{
	const Envoy__Type__Matcher__V3__AddressMatcher *x = m->address_matcher;
	int rc = tr_nonempty(t, "descriptor_value", m->descriptor_value);

	a->kind = MESH_RL_REMOTE_ADDRESS_MATCH;
	a->key = or_default(t, m->descriptor_key, "remote_address_match");
	a->value = tr_str(t, m->descriptor_value);
	if (rc == 0)
		rc = tr_required(t, "address_matcher", x != NULL);
	if (rc < 0)
		return rc;
	a->expect_match = !x->invert_match;
	return tr_cidrs(t, "address_matcher.ranges", x->ranges, x->n_ranges, &a->ranges,
			&a->n_ranges);
}

static int action(struct translate *t, const PB_ROUTE(RateLimit__Action) * m,
		  struct mesh_rl_action *a)
{
	*a = (struct mesh_rl_action){ .expect_match = true };
	switch (m->action_specifier_case) {
	case K_ACTION(SOURCE_CLUSTER):
		a->kind = MESH_RL_SOURCE_CLUSTER;
		a->key = tr_str(t, "source_cluster");
		return 0;
	case K_ACTION(DESTINATION_CLUSTER):
		a->kind = MESH_RL_DESTINATION_CLUSTER;
		a->key = tr_str(t, "destination_cluster");
		return 0;
	case K_ACTION(REMOTE_ADDRESS):
		a->kind = MESH_RL_REMOTE_ADDRESS;
		a->key = tr_str(t, "remote_address");
		return 0;
	case K_ACTION(GENERIC_KEY):
		a->kind = MESH_RL_GENERIC_KEY;
		a->key = or_default(t, m->generic_key->descriptor_key, "generic_key");
		a->value = tr_str(t, m->generic_key->descriptor_value);
		return tr_nonempty(t, "generic_key.descriptor_value",
				   m->generic_key->descriptor_value);
	case K_ACTION(REQUEST_HEADERS):
		TR_IN(t, "request_headers", request_headers_action(t, m->request_headers, a));
		return 0;
	case K_ACTION(HEADER_VALUE_MATCH):
		TR_IN(t, "header_value_match", header_value_action(t, m->header_value_match, a));
		return 0;
	case K_ACTION(QUERY_PARAMETER_VALUE_MATCH):
		TR_IN(t, "query_parameter_value_match",
		      query_value_action(t, m->query_parameter_value_match, a));
		return 0;
	case K_ACTION(QUERY_PARAMETERS):
		TR_IN(t, "query_parameters", query_parameters_action(t, m->query_parameters, a));
		return 0;
	case K_ACTION(MASKED_REMOTE_ADDRESS):
		TR_IN(t, "masked_remote_address", masked_address(t, m->masked_remote_address, a));
		return 0;
	case K_ACTION(REMOTE_ADDRESS_MATCH):
		TR_IN(t, "remote_address_match", address_match(t, m->remote_address_match, a));
		return 0;
	case K_ACTION(METADATA):
		TR_IN(t, "metadata", metadata(t, m->metadata, a));
		return 0;
	default:
		return tr_fail(
			t,
			"the action's kind is required, or is not supported yet by this version");
	}
}

static int rate_limit(struct translate *t, const PB_ROUTE(RateLimit) * m,
		      struct mesh_rl_descriptor_source *ret_s)
{
	ret_s->stage = tr_u32(m->stage, 0);
	if (ret_s->stage > STAGE_MAX)
		return tr_fail(t, "stage is over %d", STAGE_MAX);
	if (!m->n_actions)
		return tr_fail(t, "actions may not be empty");
	ret_s->actions = TR_ARRAY(t, struct mesh_rl_action, m->n_actions);
	ret_s->n_actions = (uint32_t)m->n_actions;
	for (size_t i = 0; i < m->n_actions; i++)
		TR_IN_AT(t, "actions", i, action(t, m->actions[i], &ret_s->actions[i]));
	return 0;
}

int tr_rate_limits(struct translate *t, const char *field, PB_ROUTE(RateLimit) * *v, size_t n,
		   struct mesh_rl_descriptor_source **ret_v, uint32_t *ret_n)
{
	struct mesh_rl_descriptor_source *out = TR_ARRAY(t, struct mesh_rl_descriptor_source, n);
	uint32_t at = 0;

	for (size_t i = 0; i < n; i++) {
		TR_IN_AT(t, field, i, rate_limit(t, v[i], &out[at]));
		/* As Envoy: local limits leave out what can be disabled at run time. */
		at += !*v[i]->disable_key;
	}
	*ret_v = out;
	*ret_n = at;
	return 0;
}

/* ---- the filter ------------------------------------------------------------------------------ */

static int descriptor(struct translate *t,
		      const Envoy__Extensions__Common__Ratelimit__V3__LocalRateLimitDescriptor *m,
		      struct mesh_rl_descriptor *d)
{
	if (!m->n_entries)
		return tr_fail(t, "entries may not be empty");
	if (!m->token_bucket)
		return tr_fail(t, "token_bucket is required");
	d->entries = TR_ARRAY(t, struct mesh_rl_entry, m->n_entries);
	d->n_entries = (uint32_t)m->n_entries;
	for (size_t i = 0; i < m->n_entries; i++) {
		TR_IN_AT(t, "entries", i, tr_nonempty(t, "key", m->entries[i]->key));
		d->entries[i].key = tr_str(t, m->entries[i]->key);
		d->entries[i].value = tr_str(t, m->entries[i]->value);
	}
	TR_IN(t, "token_bucket", tr_token_bucket(t, m->token_bucket, &d->bucket));
	d->shadow = m->shadow_mode;
	return 0;
}

static bool descriptors_are_equal(const struct mesh_rl_descriptor *a,
				  const struct mesh_rl_descriptor *b)
{
	if (a->n_entries != b->n_entries)
		return false;
	for (uint32_t i = 0; i < a->n_entries; i++)
		if (!slice_is_equal(a->entries[i].key, b->entries[i].key) ||
		    !slice_is_equal(a->entries[i].value, b->entries[i].value))
			return false;
	return true;
}

static int descriptors(struct translate *t, const PB_LIMIT(LocalRateLimit) * m,
		       struct mesh_local_ratelimit *l)
{
	l->descriptors = TR_ARRAY(t, struct mesh_rl_descriptor, m->n_descriptors);
	for (size_t i = 0; i < m->n_descriptors; i++) {
		TR_IN_AT(t, "descriptors", i, descriptor(t, m->descriptors[i], &l->descriptors[i]));
		for (size_t k = 0; k < i; k++)
			if (descriptors_are_equal(&l->descriptors[k], &l->descriptors[i]))
				return tr_fail(t, "descriptors[%zu] and descriptors[%zu] are equal",
					       k, i);
	}
	l->n_descriptors = (uint32_t)m->n_descriptors;
	return 0;
}

/* Which rate_limits of routes count, and how much is remembered of them. */
static int ratelimit_scope(struct translate *t, const PB_LIMIT(LocalRateLimit) * m,
			   struct mesh_local_ratelimit *l)
{
	if (m->stage > STAGE_MAX)
		return tr_fail(t, "stage is over %d", STAGE_MAX);
	l->stage = m->stage;
	l->vh = m->vh_rate_limits == 1 ? MESH_RL_VH_INCLUDE :
		m->vh_rate_limits == 2 ? MESH_RL_VH_IGNORE :
					 MESH_RL_VH_OVERRIDE;
	l->max_values = tr_u32(m->max_dynamic_descriptors, VALUES_DEFAULT);
	if (!l->max_values || l->max_values > VALUES_MAX)
		return tr_fail(t, "max_dynamic_descriptors is not between 1 and %d", VALUES_MAX);
	l->retry_after = m->enable_retry_after_header;
	return 0;
}

static int ratelimit_headers(struct translate *t, const PB_LIMIT(LocalRateLimit) * m,
			     struct mesh_local_ratelimit *l)
{
	int rc;

	if (m->n_response_headers_to_add > RESPONSE_HEADERS_MAX)
		return tr_fail(t, "response_headers_to_add has more than %d entries",
			       RESPONSE_HEADERS_MAX);
	rc = tr_header_adds(t, "response_headers_to_add", m->response_headers_to_add,
			    m->n_response_headers_to_add, &l->response_add);
	if (rc == 0)
		rc = tr_header_adds(t, "request_headers_to_add_when_not_enforced",
				    m->request_headers_to_add_when_not_enforced,
				    m->n_request_headers_to_add_when_not_enforced, &l->request_add);
	return rc;
}

int tr_local_ratelimit(struct translate *t, const ProtobufCMessage *msg, bool per_route,
		       const void **ret_config)
{
	const PB_LIMIT(LocalRateLimit) *m = (const PB_LIMIT(LocalRateLimit) *)msg;
	struct mesh_local_ratelimit *l = arena_new(t->a, struct mesh_local_ratelimit);
	int rc = tr_nonempty(t, "stat_prefix", m->stat_prefix);

	if (rc < 0)
		return rc;
	l->stat_prefix = tr_str(t, m->stat_prefix);
	if (m->status && m->status->code < 100)
		return tr_fail(t, "status.code %d is not a status", (int)m->status->code);
	l->status = m->status && m->status->code >= 400 && m->status->code < 600 ?
			    (uint32_t)m->status->code :
			    429;
	l->has_bucket = m->token_bucket != NULL;
	if (!l->has_bucket && per_route)
		return tr_fail(t, "token_bucket is required in settings of a route");
	if (l->has_bucket)
		TR_IN(t, "token_bucket", tr_token_bucket(t, m->token_bucket, &l->bucket));
	rc = tr_runtime_percent(t, "filter_enabled", m->filter_enabled, 0, &l->enabled);
	if (rc == 0)
		rc = tr_runtime_percent(t, "filter_enforced", m->filter_enforced, 0, &l->enforced);
	if (rc < 0)
		return rc;
	l->per_connection = m->local_rate_limit_per_downstream_connection;
	l->x_ratelimit_headers = m->enable_x_ratelimit_headers != 0;
	l->resource_exhausted = m->rate_limited_as_resource_exhausted;
	l->always_consume_default = tr_bool(m->always_consume_default_token_bucket, true);
	rc = ratelimit_scope(t, m, l);
	if (rc == 0)
		rc = ratelimit_headers(t, m, l);
	if (rc == 0)
		rc = descriptors(t, m, l);
	if (rc == 0)
		rc = tr_rate_limits(t, "rate_limits", m->rate_limits, m->n_rate_limits,
				    &l->rate_limits, &l->n_rate_limits);
	*ret_config = l;
	return rc;
}
