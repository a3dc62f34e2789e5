/* SPDX-License-Identifier: Apache-2.0 */
/* Redirects of upstreams that are followed here (InternalRedirectPolicy). */
#include "envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config.pb-c.h" /* style: generated name */
#include "envoy/extensions/internal_redirect/previous_routes/v3/previous_routes_config.pb-c.h"
#include "envoy/extensions/internal_redirect/safe_cross_scheme/v3/safe_cross_scheme_config.pb-c.h"
#include "xds/translate.h"

#define ALLOWED Envoy__Extensions__InternalRedirect__AllowListedRoutes__V3__AllowListedRoutesConfig

static int codes(struct translate *t, const PB_ROUTE(InternalRedirectPolicy) * m,
		 struct mesh_internal_redirect *r)
{
	static const uint32_t known[] = { 301, 302, 303, 307, 308 };

	r->codes = m->n_redirect_response_codes ? 0 : 1u << (302 - MESH_MOVED_FIRST);
	if (m->n_redirect_response_codes > 5)
		return tr_fail(t, "more than 5 redirect_response_codes");
	for (size_t i = 0; i < m->n_redirect_response_codes; i++)
		for (size_t k = 0; k < ARRAY_LEN(known); k++)
			if (m->redirect_response_codes[i] == known[k])
				r->codes |= 1u << (known[k] - MESH_MOVED_FIRST);
	return 0;
}

static int predicate(struct translate *t, const PB_CORE(TypedExtensionConfig) * x,
		     struct mesh_internal_redirect *r)
{
	ProtobufCMessage *m = NULL;
	int rc = tr_any(t, x->typed_config, &m);

	if (rc < 0)
		return rc;
	if (m->descriptor ==
	    D_EXT(internal_redirect__previous_routes__v3__previous_routes_config)) {
		r->no_loops = true;
	} else if (m->descriptor ==
		   D_EXT(internal_redirect__safe_cross_scheme__v3__safe_cross_scheme_config)) {
		r->safe_scheme = true;
	} else if (m->descriptor ==
		   D_EXT(internal_redirect__allow_listed_routes__v3__allow_listed_routes_config)) {
		const ALLOWED *a = (const ALLOWED *)m;

		if (r->has_allowed)
			return tr_unsupported(t, "predicates", "more than one list of routes");
		r->has_allowed = true;
		r->allowed = tr_strs(t, a->allowed_route_names, a->n_allowed_route_names, false);
		r->n_allowed = (uint32_t)a->n_allowed_route_names;
	} else {
		return tr_fail(t, "%s is not a predicate of redirects", m->descriptor->name);
	}
	return 0;
}

int tr_internal_redirect(struct translate *t, const PB_ROUTE(InternalRedirectPolicy) * m,
			 const struct mesh_internal_redirect **ret_r)
{
	struct mesh_internal_redirect *r = arena_new(t->a, struct mesh_internal_redirect);
	int rc = codes(t, m, r);

	if (rc < 0)
		return rc;
	r->max = tr_u32(m->max_internal_redirects, 1);
	r->cross_scheme = m->allow_cross_scheme_redirect;
	r->copy = tr_strs(t, m->response_headers_to_copy, m->n_response_headers_to_copy, true);
	r->n_copy = (uint32_t)m->n_response_headers_to_copy;
	for (size_t i = 0; i < m->n_predicates; i++)
		TR_IN_AT(t, "predicates", i, predicate(t, m->predicates[i], r));
	*ret_r = r;
	return 0;
}
