/* SPDX-License-Identifier: Apache-2.0 */
/* What routes say beside where to: retries, mirrors, hashes for the balancer. */
#include "base/regex.h"
#include "xds/translate.h"

#define PREVIOUS_HOSTS "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
#define HOST_ATTEMPTS_MAX 1000
#define RESET_MAX_MS 300000 /* a longer wait that an answer asks for does not count */
#define COOKIE_ATTRIBUTES_MAX 64
#define K_HASH(x) K_ROUTE(ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_##x)

int tr_regex_subst(struct translate *t, const PB_MATCHER(RegexMatchAndSubstitute) * m,
		   const struct regex **ret_re, struct slice *ret_subst)
{
	int rc = tr_line(t, "substitution", m->substitution, ret_subst);
	struct err e;

	if (rc == 0)
		rc = tr_regex(t, "pattern", m->pattern, ret_re);
	/* Envoy takes it, too, and then rewrites less than was meant. */
	if (rc == 0 && regex_check_subst(*ret_re, *ret_subst, &e) < 0)
		tr_warn(t, "substitution", "%s", e.text);
	return rc;
}

/* ---- retries --------------------------------------------------------------------------------- */

static int back_off(struct translate *t, const PB_ROUTE(RetryPolicy__RetryBackOff) * m,
		    struct mesh_retry *r)
{
	int rc = tr_required(t, "base_interval", m->base_interval);

	if (rc == 0)
		rc = tr_ms(t, "base_interval", m->base_interval, 0, &r->base_ms);
	if (rc == 0)
		rc = tr_ms(t, "max_interval", m->max_interval, 0, &r->max_ms);
	if (rc == 0 && !m->base_interval->seconds && !m->base_interval->nanos)
		return tr_fail(t, "base_interval must be over 0");
	if (!r->base_ms)
		r->base_ms = 1;
	if (rc == 0 && m->max_interval && r->max_ms < r->base_ms)
		return tr_fail(t, "max_interval must be at least base_interval");
	return rc;
}

static int rate_limited(struct translate *t,
			const PB_ROUTE(RetryPolicy__RateLimitedRetryBackOff) * m,
			struct mesh_retry *r)
{
	if (!m->n_reset_headers)
		return tr_fail(t, "reset_headers may not be empty");
	r->resets = TR_ARRAY(t, struct mesh_retry_reset, m->n_reset_headers);
	r->n_resets = (uint32_t)m->n_reset_headers;
	for (size_t i = 0; i < m->n_reset_headers; i++) {
		const PB_ROUTE(RetryPolicy__ResetHeader) *h = m->reset_headers[i];

		if (tr_nonempty(t, "reset_headers.name", h->name) < 0)
			return -EINVAL;
		r->resets[i].name = tr_lower(t, h->name);
		r->resets[i].is_time = h->format ==
				       K_ROUTE(RETRY_POLICY__RESET_HEADER_FORMAT__UNIX_TIMESTAMP);
	}
	return tr_ms(t, "max_interval", m->max_interval, RESET_MAX_MS, &r->reset_max_ms);
}

void tr_body_limit(const Google__Protobuf__UInt64Value *max,
		   const Google__Protobuf__UInt32Value *request, struct mesh_body_limit *l)
{
	*l = (struct mesh_body_limit){ .has_max = max != NULL, .has_request = request != NULL };
	if (max)
		l->max = max->value;
	if (request)
		l->request = request->value;
}

/* Which hosts a retry may go to. */
static int retry_hosts(struct translate *t, const PB_ROUTE(RetryPolicy) * m, struct mesh_retry *r)
{
	r->host_attempts = 1;
	if (m->host_selection_retry_max_attempts > 0)
		r->host_attempts = m->host_selection_retry_max_attempts > HOST_ATTEMPTS_MAX ?
					   HOST_ATTEMPTS_MAX :
					   (uint32_t)m->host_selection_retry_max_attempts;
	tr_no_effect(t, &m->base, "retry_priority", m->retry_priority != NULL);
	for (size_t i = 0; i < m->n_retry_host_predicate; i++) {
		const PB_ROUTE(RetryPolicy__RetryHostPredicate) *p = m->retry_host_predicate[i];
		/* Istio's older versions say it by the name alone. */
		bool is_previous =
			p->typed_config ?
				strcmp(protojson_any_type(&t->pj, &p->typed_config->base),
				       PREVIOUS_HOSTS) == 0 :
				strcmp(p->name, "envoy.retry_host_predicates.previous_hosts") == 0;

		if (is_previous)
			r->other_hosts = true;
		else
			tr_warn(t, "retry_host_predicate", "\"%s\" has no effect in this version",
				p->name);
	}
	return 0;
}

int tr_retry(struct translate *t, const PB_ROUTE(RetryPolicy) * m, struct mesh_retry **ret_r)
{
	struct mesh_retry *r = arena_new(t->a, struct mesh_retry);
	struct slice rest = slice_str(m->retry_on);
	int rc;

	while (rest.ptr && rest.len) {
		struct slice word = slice_trim(slice_split(&rest, ','));
		uint32_t bit = mesh_retry_bit(word);

		r->on |= bit;
		/* Istio puts numbers there too; Envoy takes them for codes. */
		if (!bit && word.len)
			tr_warn(t, "retry_on", "\"%.*s\" has no effect in this version",
				SLICE_ARG(word));
	}
	r->num = tr_u32(m->num_retries, 1);
	r->codes = TR_ARRAY(t, uint32_t, m->n_retriable_status_codes);
	r->n_codes = (uint32_t)m->n_retriable_status_codes;
	for (size_t i = 0; i < m->n_retriable_status_codes; i++)
		r->codes[i] = m->retriable_status_codes[i];
	rc = tr_ms(t, "per_try_timeout", m->per_try_timeout, 0, &r->per_try_timeout_ms);
	if (rc == 0)
		rc = tr_ms(t, "per_try_idle_timeout", m->per_try_idle_timeout, 0,
			   &r->per_try_idle_ms);
	if (rc == 0)
		rc = retry_hosts(t, m, r);
	if (rc == 0)
		rc = tr_header_matches(t, "retriable_headers", m->retriable_headers,
				       m->n_retriable_headers, false, &r->headers, &r->n_headers);
	if (rc == 0)
		rc = tr_header_matches(t, "retriable_request_headers", m->retriable_request_headers,
				       m->n_retriable_request_headers, false, &r->request_headers,
				       &r->n_request_headers);
	if (rc < 0)
		return rc;
	if (m->retry_back_off)
		TR_IN(t, "retry_back_off", back_off(t, m->retry_back_off, r));
	if (m->rate_limited_retry_back_off)
		TR_IN(t, "rate_limited_retry_back_off",
		      rate_limited(t, m->rate_limited_retry_back_off, r));
	*ret_r = r;
	return 0;
}

/* ---- mirrors --------------------------------------------------------------------------------- */

static int mirror(struct translate *t, const PB_ROUTE(RouteAction__RequestMirrorPolicy) * m,
		  struct mesh_mirror *out)
{
	if (!*m->cluster == !*m->cluster_header)
		return tr_fail(t, "one of cluster and cluster_header is required, and only one");
	out->cluster = tr_str(t, m->cluster);
	out->cluster_header = tr_lower(t, m->cluster_header);
	out->keep_host = m->disable_shadow_host_suffix_append;
	tr_need(t, MESH_PART_CLUSTER, out->cluster, true);
	if (tr_line(t, "host_rewrite_literal", m->host_rewrite_literal, &out->host_rewrite) < 0)
		return -EINVAL;
	return tr_runtime_percent(t, "runtime_fraction", m->runtime_fraction, 1000000,
				  &out->fraction);
}

int tr_mirrors(struct translate *t, PB_ROUTE(RouteAction__RequestMirrorPolicy) * *v, size_t n,
	       struct mesh_mirror **ret_v, uint32_t *ret_n)
{
	*ret_v = TR_ARRAY(t, struct mesh_mirror, n);
	for (size_t i = 0; i < n; i++)
		TR_IN_AT(t, "request_mirror_policies", i, mirror(t, v[i], &(*ret_v)[i]));
	*ret_n = (uint32_t)n;
	return 0;
}

/* ---- hashes ---------------------------------------------------------------------------------- */

static int hash_cookie(struct translate *t, const PB_ROUTE(RouteAction__HashPolicy__Cookie) * m,
		       struct mesh_hash_policy *out)
{
	struct slice v[4 * COOKIE_ATTRIBUTES_MAX];
	size_t n = 0;
	uint32_t ms = 0;

	out->source = MESH_HASH_COOKIE;
	if (tr_line(t, "name", m->name, &out->name) < 0 ||
	    tr_line(t, "path", m->path, &out->path) < 0)
		return -EINVAL;
	if (m->n_attributes > COOKIE_ATTRIBUTES_MAX)
		return tr_fail(t, "more than %d attributes", COOKIE_ATTRIBUTES_MAX);
	for (size_t i = 0; i < m->n_attributes; i++) {
		if (strpbrk(m->attributes[i]->name, "\r\n;") ||
		    strpbrk(m->attributes[i]->value, "\r\n;"))
			return tr_fail(t, "attributes[%zu] has a line break or ';'", i);
		v[n++] = SLICE("; ");
		v[n++] = slice_str(m->attributes[i]->name);
		if (*m->attributes[i]->value) {
			v[n++] = SLICE("=");
			v[n++] = slice_str(m->attributes[i]->value);
		}
	}
	out->attributes = n ? arena_join(t->a, v, n) : SLICE_NONE;
	out->has_ttl = m->ttl != NULL;
	if (tr_ms(t, "ttl", m->ttl, 0, &ms) < 0)
		return -EINVAL;
	out->ttl_s = ms / 1000;
	return tr_nonempty(t, "name", m->name);
}

/* 1: left out. */
static int hash_policy(struct translate *t, const PB_ROUTE(RouteAction__HashPolicy) * m,
		       struct mesh_hash_policy *out)
{
	*out = (struct mesh_hash_policy){ .is_terminal = m->terminal };
	switch (m->policy_specifier_case) {
	case K_HASH(HEADER):
		out->source = MESH_HASH_HEADER;
		out->name = tr_lower(t, m->header->header_name);
		if (m->header->regex_rewrite)
			TR_IN(t, "header.regex_rewrite",
			      tr_regex_subst(t, m->header->regex_rewrite, &out->regex,
					     &out->subst));
		return tr_nonempty(t, "header.header_name", m->header->header_name);
	case K_HASH(COOKIE): TR_IN(t, "cookie", hash_cookie(t, m->cookie, out)); return 0;
	case K_HASH(CONNECTION_PROPERTIES):
		out->source = MESH_HASH_SOURCE_IP;
		return !m->connection_properties->source_ip;
	case K_HASH(QUERY_PARAMETER):
		out->source = MESH_HASH_QUERY;
		out->name = tr_str(t, m->query_parameter->name);
		return tr_nonempty(t, "query_parameter.name", m->query_parameter->name);
	case K_HASH(FILTER_STATE):
		tr_warn(t, "filter_state", "has no effect in this version");
		return 1;
	default:
		return tr_fail(t, "one of header, cookie, connection_properties and "
				  "query_parameter is required");
	}
}

int tr_hashes(struct translate *t, const PB_ROUTE(RouteAction) * m, struct mesh_route *r)
{
	r->hashes = TR_ARRAY(t, struct mesh_hash_policy, m->n_hash_policy);
	for (size_t i = 0; i < m->n_hash_policy; i++) {
		size_t mark = xds_path_push_at(&t->pj.path, "hash_policy", i);
		int rc = hash_policy(t, m->hash_policy[i], &r->hashes[r->n_hashes]);

		if (rc < 0)
			return rc;
		if (rc == 0)
			r->n_hashes++;
		xds_path_pop(&t->pj.path, mark);
	}
	tr_no_effect(t, &m->base, "hash_policy", r->n_hashes != 0);
	return 0;
}
