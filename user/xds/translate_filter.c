/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP (and RPC) filters and their settings per route. A new filter adds one line to kinds[]. */
#include "envoy/extensions/filters/http/cors/v3/cors.pb-c.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb-c.h"
#include "envoy/extensions/filters/http/header_mutation/v3/header_mutation.pb-c.h"
#include "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb-c.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb-c.h"
#include "envoy/extensions/filters/http/on_demand/v3/on_demand.pb-c.h"
#include "envoy/extensions/filters/http/router/v3/router.pb-c.h"
#include "envoy/extensions/filters/network/dubbo_proxy/router/v3/router.pb-c.h"
#include "xds/translate.h"

#define CORS_FILTER "envoy.filters.http.cors"

/* ---- fault ----------------------------------------------------------------------------------- */

#define FAULT_COMMON(x) Envoy__Extensions__Filters__Common__Fault__V3__##x
#define K_DELAY(x) \
	ENVOY__EXTENSIONS__FILTERS__COMMON__FAULT__V3__FAULT_DELAY__FAULT_DELAY_SECIFIER_##x
#define K_ABORT(x) ENVOY__EXTENSIONS__FILTERS__HTTP__FAULT__V3__FAULT_ABORT__ERROR_TYPE_##x

static int fault_delay(struct translate *t, const FAULT_COMMON(FaultDelay) * m,
		       struct mesh_fault *f)
{
	f->has_delay = true;
	f->delay_fraction = tr_percent(m->percentage, 0);
	switch (m->fault_delay_secifier_case) {
	case K_DELAY(FIXED_DELAY):
		if (m->fixed_delay->seconds == 0 && m->fixed_delay->nanos == 0)
			return tr_fail(t, "fixed_delay must be over 0");
		return tr_ms(t, "fixed_delay", m->fixed_delay, 0, &f->delay_ms);
	case K_DELAY(HEADER_DELAY): f->delay_by_header = true; return 0;
	default: return tr_fail(t, "one of fixed_delay and header_delay is required");
	}
}

static int fault_abort(struct translate *t, const PB_FAULT(FaultAbort) * m, struct mesh_fault *f)
{
	f->has_abort = true;
	f->abort_fraction = tr_percent(m->percentage, 0);
	switch (m->error_type_case) {
	case K_ABORT(HTTP_STATUS):
		if (m->http_status < 200 || m->http_status >= 600)
			return tr_fail(t, "http_status %u is not between 200 and 599",
				       m->http_status);
		f->abort_status = m->http_status;
		return 0;
	case K_ABORT(GRPC_STATUS):
		f->abort_is_grpc = true;
		f->abort_status = m->grpc_status;
		return 0;
	case K_ABORT(HEADER_ABORT): f->abort_by_header = true; return 0;
	default: return tr_fail(t, "one of http_status, grpc_status and header_abort is required");
	}
}

static int fault(struct translate *t, const ProtobufCMessage *msg, bool per_route,
		 const void **ret_config)
{
	const PB_FAULT(HTTPFault) *m = (const PB_FAULT(HTTPFault) *)msg;
	struct mesh_fault *f = arena_new(t->a, struct mesh_fault);

	(void)per_route;
	if (m->delay)
		TR_IN(t, "delay", fault_delay(t, m->delay, f));
	if (m->abort)
		TR_IN(t, "abort", fault_abort(t, m->abort, f));
	if (m->response_rate_limit)
		return tr_unsupported(t, "response_rate_limit", "a rate of answers");
	f->upstream_cluster = tr_str(t, m->upstream_cluster);
	f->nodes = tr_strs(t, m->downstream_nodes, m->n_downstream_nodes, false);
	f->n_nodes = (uint32_t)m->n_downstream_nodes;
	f->max_active = tr_u32(m->max_active_faults, 0);
	if (m->max_active_faults && !f->max_active) {
		tr_warn(t, "max_active_faults", "0 switches this fault off");
		f->has_delay = f->has_abort = false;
	}
	*ret_config = f;
	return tr_header_matches(t, "headers", m->headers, m->n_headers, false, &f->headers,
				 &f->n_headers);
}

/* ---- CORS ------------------------------------------------------------------------------------ */

static int cors_policy(struct translate *t, const PB_CORS(CorsPolicy) * m, struct mesh_cors **ret_c)
{
	struct mesh_cors *c = arena_new(t->a, struct mesh_cors);

	c->origins = TR_ARRAY(t, struct mesh_string, m->n_allow_origin_string_match);
	c->n_origins = (uint32_t)m->n_allow_origin_string_match;
	for (size_t i = 0; i < m->n_allow_origin_string_match; i++)
		TR_IN_AT(t, "allow_origin_string_match", i,
			 tr_string(t, m->allow_origin_string_match[i], &c->origins[i]));
	c->methods = tr_str(t, m->allow_methods);
	c->headers = tr_str(t, m->allow_headers);
	c->expose = tr_str(t, m->expose_headers);
	c->max_age = tr_str(t, m->max_age);
	c->credentials = tr_bool(m->allow_credentials, false);
	c->private_network = tr_bool(m->allow_private_network_access, false);
	c->forward_not_matching = tr_bool(m->forward_not_matching_preflights, true);
	*ret_c = c;
	return tr_runtime_percent(t, "filter_enabled", m->filter_enabled, 1000000, &c->enabled);
}

static int cors_route(struct translate *t, const ProtobufCMessage *m, bool per_route,
		      const void **ret_config)
{
	struct mesh_cors *c = NULL;
	int rc = cors_policy(t, (const PB_CORS(CorsPolicy) *)m, &c);

	(void)per_route;
	*ret_config = c;
	return rc;
}

int tr_cors_override(struct translate *t, const PB_ROUTE(CorsPolicy) * m, struct mesh_overrides *o)
{
	PB_CORS(CorsPolicy) c;
	struct mesh_filter_override *v;
	struct mesh_cors *out = NULL;

	if (!m)
		return 0;
	for (uint32_t i = 0; i < o->n; i++)
		if (slice_is_equal(o->v[i].name, SLICE(CORS_FILTER)))
			return 0; /* the newer place has precedence */
	envoy__extensions__filters__http__cors__v3__cors_policy__init(&c);
	c.n_allow_origin_string_match = m->n_allow_origin_string_match;
	c.allow_origin_string_match = m->allow_origin_string_match;
	c.allow_methods = m->allow_methods;
	c.allow_headers = m->allow_headers;
	c.expose_headers = m->expose_headers;
	c.max_age = m->max_age;
	c.allow_credentials = m->allow_credentials;
	c.filter_enabled = m->filter_enabled;
	c.allow_private_network_access = m->allow_private_network_access;
	c.forward_not_matching_preflights = m->forward_not_matching_preflights;
	TR_IN(t, "cors", cors_policy(t, &c, &out));
	v = TR_ARRAY(t, struct mesh_filter_override, o->n + 1);
	if (o->n)
		memcpy(v, o->v, o->n * sizeof(*v));
	v[o->n] = (struct mesh_filter_override){ .name = SLICE(CORS_FILTER),
						 .kind = "cors",
						 .config = out };
	o->v = v;
	o->n++;
	return 0;
}

/* ---- header mutation ------------------------------------------------------------------------- */

#define RULES(x) Envoy__Config__Common__MutationRules__V3__##x
#define K_RULES(x) ENVOY__CONFIG__COMMON__MUTATION_RULES__V3__HEADER_MUTATION__ACTION_##x

static int header_rule(struct translate *t, const RULES(HeaderMutation) * m,
		       struct mesh_header_ops *o)
{
	switch (m->action_case) {
	case K_RULES(REMOVE):
		o->remove = TR_ARRAY(t, struct slice, 1);
		o->remove[o->n_remove++] = tr_lower(t, m->remove);
		return tr_nonempty(t, "remove", m->remove);
	case K_RULES(APPEND):
		o->add = TR_ARRAY(t, struct mesh_header_add, 1);
		TR_IN(t, "append", tr_header_add(t, m->append, &o->add[0]));
		o->n_add++;
		return 0;
	default:
		return tr_fail(t, "one of remove and append is required; others are not supported "
				  "yet by this version");
	}
}

int tr_header_steps(struct translate *t, const char *field, RULES(HeaderMutation) * *v, size_t n,
		    struct mesh_header_steps *s)
{
	s->v = TR_ARRAY(t, struct mesh_header_ops, n);
	for (size_t i = 0; i < n; i++) {
		s->v[i] = (struct mesh_header_ops){ 0 };
		TR_IN_AT(t, field, i, header_rule(t, v[i], &s->v[i]));
	}
	s->n = (uint32_t)n;
	return 0;
}

#define PB_MUTATION(x) Envoy__Extensions__Filters__Http__HeaderMutation__V3__##x

static int header_mutation(struct translate *t, const ProtobufCMessage *m, bool per_route,
			   const void **ret_config)
{
	struct mesh_header_mutation *h = arena_new(t->a, struct mesh_header_mutation);
	const PB_MUTATION(Mutations) *src =
		per_route ? ((const PB_MUTATION(HeaderMutationPerRoute) *)m)->mutations :
			    ((const PB_MUTATION(HeaderMutation) *)m)->mutations;
	size_t mark;
	int rc = 0;

	*ret_config = h;
	if (!src)
		return 0;
	mark = xds_path_push(&t->pj.path, "mutations");
	rc = tr_header_steps(t, "request_mutations", src->request_mutations,
			     src->n_request_mutations, &h->request);
	if (rc == 0)
		rc = tr_header_steps(t, "response_mutations", src->response_mutations,
				     src->n_response_mutations, &h->response);
	if (rc == 0)
		xds_path_pop(&t->pj.path, mark);
	return rc;
}

/* on_demand: what Envoy has there is for clusters. */
static int no_settings(struct translate *t, const ProtobufCMessage *m, bool per_route,
		       const void **ret_config)
{
	(void)t;
	(void)m;
	(void)per_route;
	*ret_config = NULL;
	return 0;
}

/* ---- the list -------------------------------------------------------------------------------- */

struct kind {
	const char *kind; /* as mesh_filter.kind */
	bool is_router;
	const ProtobufCMessageDescriptor *filter; /* type in http_filters */
	const ProtobufCMessageDescriptor *route;  /* type in typed_per_filter_config, or NULL */
	/* NULL: has no settings. */
	int (*read)(struct translate *t, const ProtobufCMessage *m, bool per_route,
		    const void **ret_config);
	int (*read_route)(struct translate *t, const ProtobufCMessage *m, bool per_route,
			  const void **ret_config);
};

static const struct kind kinds[] = {
	{ "router", true, D_EXT(filters__http__router__v3__router), NULL, NULL, NULL },
	{ "router", true, D_EXT(filters__network__dubbo_proxy__router__v3__router), NULL, NULL,
	  NULL },
	{ "local_ratelimit", false, D_EXT(filters__http__local_ratelimit__v3__local_rate_limit),
	  D_EXT(filters__http__local_ratelimit__v3__local_rate_limit), tr_local_ratelimit,
	  tr_local_ratelimit },
	{ "fault", false, D_EXT(filters__http__fault__v3__httpfault),
	  D_EXT(filters__http__fault__v3__httpfault), fault, fault },
	{ "cors", false, D_EXT(filters__http__cors__v3__cors),
	  D_EXT(filters__http__cors__v3__cors_policy), NULL, cors_route },
	{ "rbac", false, D_EXT(filters__http__rbac__v3__rbac),
	  D_EXT(filters__http__rbac__v3__rbacper_route), tr_rbac, tr_rbac },
	{ "on_demand", false, D_EXT(filters__http__on_demand__v3__on_demand),
	  D_EXT(filters__http__on_demand__v3__per_route_config), NULL, no_settings },
	{ "header_mutation", false, D_EXT(filters__http__header_mutation__v3__header_mutation),
	  D_EXT(filters__http__header_mutation__v3__header_mutation_per_route), header_mutation,
	  header_mutation },
};

static const struct kind *kind_find(const ProtobufCMessageDescriptor *d, bool per_route)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if ((per_route ? kinds[i].route : kinds[i].filter) == d)
			return &kinds[i];
	return NULL;
}

/* Refuses what nobody knows, or leaves it out (1) when it is optional. The path is at the Any. */
static int unknown_filter(struct translate *t, const char *name, const Google__Protobuf__Any *any,
			  bool is_optional)
{
	const char *type = protojson_any_type(&t->pj, &any->base);

	if (!is_optional)
		return tr_fail(t,
			       "filter \"%s\" of type \"%s\" is not supported yet by this version",
			       name, type);
	tr_warn(t, "", "filter \"%s\" of type \"%s\" is not known and optional: left out", name,
		type);
	return 1;
}

/* Opens @any and finds its kind. 1: left out. */
static int kind_open(struct translate *t, const char *name, const Google__Protobuf__Any *any,
		     bool per_route, bool is_optional, ProtobufCMessage **ret_m,
		     const struct kind **ret_k)
{
	int rc = tr_any(t, any, ret_m);

	if (rc < 0 && rc != -ENOENT)
		return rc;
	*ret_k = rc == 0 ? kind_find((*ret_m)->descriptor, per_route) : NULL;
	return *ret_k ? 0 : unknown_filter(t, name, any, is_optional);
}

int tr_filter(struct translate *t, const char *name, const Google__Protobuf__Any *any,
	      bool is_optional, bool disabled, struct mesh_filter *ret_f,
	      const ProtobufCMessage **ret_router)
{
	const struct kind *k = NULL;
	size_t mark = t->pj.path.len;
	ProtobufCMessage *m = NULL;
	int rc = tr_nonempty(t, "name", name);

	if (rc < 0)
		return rc;
	if (!any)
		return tr_fail(t, "typed_config is required for filter \"%s\"", name);
	if (tr_is_nothing(t, any))
		return 1;
	xds_path_push(&t->pj.path, "typed_config");
	rc = kind_open(t, name, any, false, is_optional, &m, &k);
	*ret_f = (struct mesh_filter){ .name = tr_str(t, name), .disabled = disabled };
	if (rc == 0) {
		ret_f->kind = k->kind;
		if (k->is_router)
			*ret_router = m;
		if (k->read)
			rc = k->read(t, m, false, &ret_f->config);
	}
	if (rc >= 0)
		xds_path_pop(&t->pj.path, mark);
	return rc;
}

int tr_filter_order(struct translate *t, const char *field, const struct mesh_filter *v, uint32_t n)
{
	if (!n)
		return tr_fail(t, "%s needs at least the router filter", field);
	for (uint32_t i = 0; i < n; i++) {
		bool is_router = v[i].kind && strcmp(v[i].kind, "router") == 0;

		if (is_router && i + 1 < n)
			return tr_fail(t, "%s: filter \"%.*s\" ends the chain and must be the last",
				       field, SLICE_ARG(v[i].name));
		if (!is_router && i + 1 == n)
			return tr_fail(t, "%s: the last filter must be the router, not \"%.*s\"",
				       field, SLICE_ARG(v[i].name));
	}
	if (v[n - 1].disabled)
		return tr_fail(t, "%s: the router filter may not be disabled", field);
	return 0;
}

/* ---- settings per route ---------------------------------------------------------------------- */

/* A FilterConfig around the settings: switches the filter on or off. */
static int filter_config(struct translate *t, const PB_ROUTE(FilterConfig) * c, const char *name,
			 const Google__Protobuf__Any **ret_any, struct mesh_filter_override *o)
{
	if (c->disabled) {
		o->disabled = true;
		return 0;
	}
	if (!c->config)
		return tr_fail(t, "config is required for filter \"%s\"", name);
	if (*c->config->type_url)
		*ret_any = c->config;
	return 0;
}

/* 1: left out. */
static int override(struct translate *t, const struct tr_override_entry *e,
		    struct mesh_filter_override *o)
{
	const Google__Protobuf__Any *any = e->value;
	const struct kind *k = NULL;
	ProtobufCMessage *m = NULL;
	bool is_optional = false;
	int rc;

	*o = (struct mesh_filter_override){ .name = tr_str(t, e->key), .kind = "" };
	if (!any)
		return tr_fail(t, "settings are required");
	rc = tr_any(t, any, &m);
	if (rc == 0 && m->descriptor == &envoy__config__route__v3__filter_config__descriptor) {
		const PB_ROUTE(FilterConfig) *c = (const PB_ROUTE(FilterConfig) *)m;

		is_optional = c->is_optional;
		any = NULL;
		rc = filter_config(t, c, e->key, &any, o);
	}
	if ((rc < 0 && rc != -ENOENT) || !any)
		return rc;
	if (tr_is_nothing(t, any))
		return 1;
	rc = kind_open(t, e->key, any, true, is_optional, &m, &k);
	if (rc != 0)
		return rc;
	o->kind = k->kind;
	return k->read_route(t, m, true, &o->config);
}

int tr_overrides(struct translate *t, const struct tr_override_entry *const *v, size_t n,
		 struct mesh_overrides *ret_o)
{
	size_t base = xds_path_push(&t->pj.path, "typed_per_filter_config");

	ret_o->v = TR_ARRAY(t, struct mesh_filter_override, n);
	ret_o->n = 0;
	for (size_t i = 0; i < n; i++) {
		size_t mark = xds_path_push_key(&t->pj.path, v[i]->key);
		int rc = override(t, v[i], &ret_o->v[ret_o->n]);

		if (rc < 0)
			return rc;
		if (rc == 0)
			ret_o->n++;
		xds_path_pop(&t->pj.path, mark);
	}
	xds_path_pop(&t->pj.path, base);
	return 0;
}
