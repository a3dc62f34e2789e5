/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authorization rules. What cannot be expressed fails closed: a policy that allows is left out
 * whole (under NOT a rule that never matches would open the door), one that denies refuses its
 * resource. Shadow rules are only counted: a policy of theirs is left out, too.
 */
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb-c.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb-c.h"
#include "envoy/extensions/path/match/uri_template/v3/uri_template_match.pb-c.h"
#include "xds/translate.h"

#define PB_RBAC(x) Envoy__Config__Rbac__V3__##x
#define K_PERMISSION(x) ENVOY__CONFIG__RBAC__V3__PERMISSION__RULE_##x
#define K_PRINCIPAL(x) ENVOY__CONFIG__RBAC__V3__PRINCIPAL__IDENTIFIER_##x
#define K_ACTION(x) ENVOY__CONFIG__RBAC__V3__RBAC__ACTION__##x
#define PB_HTTP_RBAC(x) Envoy__Extensions__Filters__Http__Rbac__V3__##x
#define PB_NET_RBAC(x) Envoy__Extensions__Filters__Network__Rbac__V3__##x
#define URI_MATCH Envoy__Extensions__Path__Match__UriTemplate__V3__UriTemplateMatchConfig
#define PEER_PRINCIPAL "io.istio.peer_principal" /* Istio's: the identity of the peer */
#define RULES_DEPTH_MAX 64                       /* rules within each other */
#define CANNOT 1                                 /* a rule that we have no form for */

/* Returns what @call says of the rule in @field; where it could not be read the path stays. */
#define RULE_IN(t, field, call) \
	do { \
		size_t mark_ = xds_path_push(&(t)->pj.path, field); \
		int rc_ = (call); \
		if (rc_ == 0) \
			xds_path_pop(&(t)->pj.path, mark_); \
		return rc_; \
	} while (0)

static int cannot(struct translate *t, const char *field)
{
	xds_path_push(&t->pj.path, field);
	return CANNOT;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

static int rule_header(struct translate *t, const PB_ROUTE(HeaderMatcher) * m,
		       struct mesh_rbac_rule *r)
{
	struct mesh_header_match *h = arena_new(t->a, struct mesh_header_match);

	r->kind = MESH_RBAC_HEADER;
	r->header = h;
	return tr_header_match(t, m, false, h);
}

static int rule_string(struct translate *t, const PB_MATCHER(StringMatcher) * m,
		       enum mesh_rbac_kind kind, struct mesh_rbac_rule *r)
{
	struct mesh_string *s;

	r->kind = kind;
	if (!m)
		return kind == MESH_RBAC_PRINCIPAL ? 0 : tr_fail(t, "a text to match is required");
	s = arena_new(t->a, struct mesh_string);
	r->string = s;
	r->has_string = true;
	return tr_string(t, m, s);
}

static int rule_prefix(struct translate *t, const PB_CORE(CidrRange) * m, enum mesh_rbac_kind kind,
		       struct mesh_rbac_rule *r)
{
	struct mesh_prefix *p = arena_new(t->a, struct mesh_prefix);

	r->kind = kind;
	r->prefix = p;
	return tr_cidr(t, m, p);
}

static int rule_ports(struct translate *t, int64_t start, int64_t end, struct mesh_rbac_rule *r)
{
	if (start < 0 || end < start || end > 65536)
		return tr_fail(t, "ports %lld to %lld are no range", (long long)start,
			       (long long)end);
	r->kind = MESH_RBAC_PORT;
	r->ports.start = (uint32_t)start;
	r->ports.end = (uint32_t)end;
	return 0;
}

static int rule_template(struct translate *t, const PB_CORE(TypedExtensionConfig) * x,
			 struct mesh_rbac_rule *r)
{
	struct mesh_string *s = arena_new(t->a, struct mesh_string);
	struct slice pattern = { 0 };
	ProtobufCMessage *m = NULL;
	int rc = tr_any(t, x->typed_config, &m);

	if (rc == -ENOENT)
		return CANNOT;
	if (rc < 0)
		return rc;
	if (m->descriptor != D_EXT(path__match__uri_template__v3__uri_template_match_config))
		return CANNOT;
	rc = tr_template_pattern(t, slice_str(((const URI_MATCH *)m)->path_template), &pattern);
	if (rc < 0)
		return rc;
	s->kind = MESH_STRING_REGEX;
	r->kind = MESH_RBAC_PATH;
	r->string = s;
	r->has_string = true;
	return tr_regex_text(t, pattern, &s->regex);
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* What a Permission or Principal is made of, when it stands for others: and, or, not. */
struct parts {
	const char *field; /* NULL: it is a leaf */
	enum mesh_rbac_kind kind;
	void *const *v; /* messages of its own kind */
	size_t n;
};

#define PARTS(field_, kind_, v_, n_) ((struct parts){ field_, kind_, (void *const *)(v_), n_ })

#define MADE_OF(...) \
	do { \
		*ret_p = PARTS(__VA_ARGS__); \
		return 0; \
	} while (0)

/* Reads one message: a leaf into @r, else what it is made of into @ret_p. */
typedef int (*rule_fn)(struct translate *t, const void *msg, struct mesh_rbac_rule *r,
		       struct parts *ret_p);

static int rules_within(struct translate *t, rule_fn read, const struct parts *p,
			unsigned int depth, struct mesh_rbac_rule *r)
{
	if (depth > RULES_DEPTH_MAX)
		return tr_fail(t, "rules nested deeper than %d", RULES_DEPTH_MAX);
	r->kind = p->kind;
	r->parts = TR_ARRAY(t, struct mesh_rbac_rule, p->n);
	r->n_parts = (uint32_t)p->n;
	for (size_t i = 0; i < p->n; i++) {
		size_t mark = xds_path_push_at(&t->pj.path, p->field, i);
		struct parts inner = { 0 };
		int rc = read(t, p->v[i], &r->parts[i], &inner);

		if (rc == 0 && inner.field)
			rc = rules_within(t, read, &inner, depth + 1, &r->parts[i]);
		if (rc != 0)
			return rc;
		xds_path_pop(&t->pj.path, mark);
	}
	return 0;
}

static int rule_any(struct translate *t, bool any, struct mesh_rbac_rule *r)
{
	r->kind = MESH_RBAC_ANY;
	return any ? 0 : cannot(t, "any");
}

static int permission(struct translate *t, const void *msg, struct mesh_rbac_rule *r,
		      struct parts *ret_p)
{
	const PB_RBAC(Permission) *m = msg;

	if (m->base.n_unknown_fields)
		return CANNOT;
	switch (m->rule_case) {
	case K_PERMISSION(AND_RULES):
		MADE_OF("and_rules.rules", MESH_RBAC_AND, m->and_rules->rules,
			m->and_rules->n_rules);
	case K_PERMISSION(OR_RULES):
		MADE_OF("or_rules.rules", MESH_RBAC_OR, m->or_rules->rules, m->or_rules->n_rules);
	case K_PERMISSION(NOT_RULE):
		MADE_OF("not_rule", MESH_RBAC_NOT, &m->not_rule, 1);
	case K_PERMISSION(ANY): return rule_any(t, m->any, r);
	case K_PERMISSION(HEADER): RULE_IN(t, "header", rule_header(t, m->header, r));
	case K_PERMISSION(DESTINATION_IP):
		RULE_IN(t, "destination_ip",
			rule_prefix(t, m->destination_ip, MESH_RBAC_DESTINATION, r));
	case K_PERMISSION(DESTINATION_PORT):
		return rule_ports(t, m->destination_port, (int64_t)m->destination_port + 1, r);
	case K_PERMISSION(DESTINATION_PORT_RANGE):
		return rule_ports(t, m->destination_port_range->start,
				  m->destination_port_range->end, r);
	case K_PERMISSION(REQUESTED_SERVER_NAME):
		RULE_IN(t, "requested_server_name",
			rule_string(t, m->requested_server_name, MESH_RBAC_SERVER_NAME, r));
	case K_PERMISSION(URL_PATH):
		RULE_IN(t, "url_path.path", rule_string(t, m->url_path->path, MESH_RBAC_PATH, r));
	case K_PERMISSION(URI_TEMPLATE):
		RULE_IN(t, "uri_template", rule_template(t, m->uri_template, r));
	default: return CANNOT;
	}
}

static int authenticated(struct translate *t, const PB_RBAC(Principal__Authenticated) * m,
			 struct mesh_rbac_rule *r)
{
	if (m->base.n_unknown_fields)
		return CANNOT;
	return rule_string(t, m->principal_name, MESH_RBAC_PRINCIPAL, r);
}

static int filter_state(struct translate *t, const PB_MATCHER(FilterStateMatcher) * m,
			struct mesh_rbac_rule *r)
{
	if (m->base.n_unknown_fields || strcmp(m->key, PEER_PRINCIPAL) != 0 ||
	    m->matcher_case != K_MATCHER(FILTER_STATE_MATCHER__MATCHER_STRING_MATCH))
		return CANNOT;
	return rule_string(t, m->string_match, MESH_RBAC_PRINCIPAL, r);
}

static int principal(struct translate *t, const void *msg, struct mesh_rbac_rule *r,
		     struct parts *ret_p)
{
	const PB_RBAC(Principal) *m = msg;

	if (m->base.n_unknown_fields)
		return CANNOT;
	switch (m->identifier_case) {
	case K_PRINCIPAL(AND_IDS):
		MADE_OF("and_ids.ids", MESH_RBAC_AND, m->and_ids->ids, m->and_ids->n_ids);
	case K_PRINCIPAL(OR_IDS):
		MADE_OF("or_ids.ids", MESH_RBAC_OR, m->or_ids->ids, m->or_ids->n_ids);
	case K_PRINCIPAL(NOT_ID):
		MADE_OF("not_id", MESH_RBAC_NOT, &m->not_id, 1);
	case K_PRINCIPAL(ANY): return rule_any(t, m->any, r);
	case K_PRINCIPAL(AUTHENTICATED):
		RULE_IN(t, "authenticated", authenticated(t, m->authenticated, r));
	case K_PRINCIPAL(FILTER_STATE):
		RULE_IN(t, "filter_state", filter_state(t, m->filter_state, r));
	case K_PRINCIPAL(HEADER): RULE_IN(t, "header", rule_header(t, m->header, r));
	case K_PRINCIPAL(URL_PATH):
		RULE_IN(t, "url_path.path", rule_string(t, m->url_path->path, MESH_RBAC_PATH, r));
	case K_PRINCIPAL(SOURCE_IP):
		RULE_IN(t, "source_ip", rule_prefix(t, m->source_ip, MESH_RBAC_SOURCE, r));
	case K_PRINCIPAL(DIRECT_REMOTE_IP):
		RULE_IN(t, "direct_remote_ip",
			rule_prefix(t, m->direct_remote_ip, MESH_RBAC_SOURCE, r));
	case K_PRINCIPAL(REMOTE_IP):
		RULE_IN(t, "remote_ip", rule_prefix(t, m->remote_ip, MESH_RBAC_REMOTE, r));
	default: return CANNOT;
	}
}

/* ---- policies -------------------------------------------------------------------------------- */

static int policy(struct translate *t, const PB_RBAC(Policy) * m, struct mesh_rbac_policy *p)
{
	int rc;

	if (!m->n_permissions || !m->n_principals)
		return tr_fail(t, "permissions and principals may not be empty");
	if (m->base.n_unknown_fields)
		return cannot(t, "condition");
	rc = rules_within(t, permission,
			  &PARTS("permissions", MESH_RBAC_OR, m->permissions, m->n_permissions), 0,
			  &p->permissions);
	if (rc == 0)
		rc = rules_within(t, principal,
				  &PARTS("principals", MESH_RBAC_OR, m->principals,
					 m->n_principals),
				  0, &p->principals);
	return rc;
}

static int policy_compare(const void *a, const void *b)
{
	const struct mesh_rbac_policy *x = a, *y = b;
	size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
	int d = n ? memcmp(x->name.ptr, y->name.ptr, n) : 0;

	return d ? d : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

/* 0: read or left out. @must_have: what cannot be expressed refuses. */
static int policy_entry(struct translate *t, const PB_RBAC(RBAC__PoliciesEntry) * e, bool must_have,
			struct mesh_rbac_rules *out)
{
	struct mesh_rbac_policy *p = &out->policies[out->n_policies];
	int rc;

	if (!e->value)
		return tr_fail(t, "a policy is required");
	*p = (struct mesh_rbac_policy){ .name = tr_str(t, e->key) };
	rc = policy(t, e->value, p);
	if (rc < 0)
		return rc;
	if (rc == CANNOT && must_have)
		return tr_fail(t, "this rule is not supported yet by this version, and what it "
				  "denies may not pass");
	if (rc == CANNOT)
		tr_warn(t, "",
			"this rule is not supported yet by this version: the policy \"%s\" "
			"allows nothing",
			e->key);
	else
		out->n_policies++;
	return 0;
}

static int rules(struct translate *t, const PB_RBAC(RBAC) * m, bool is_shadow,
		 const struct mesh_rbac_rules **ret_r)
{
	struct mesh_rbac_rules *r;
	size_t base = t->pj.path.len;
	int rc = 0;

	if (!m || m->action == K_ACTION(LOG))
		return 0;
	if (m->action != K_ACTION(ALLOW) && m->action != K_ACTION(DENY))
		return tr_fail(t, "action %d is not known", (int)m->action);
	r = arena_new(t->a, struct mesh_rbac_rules);
	r->is_deny = m->action == K_ACTION(DENY);
	r->policies = TR_ARRAY(t, struct mesh_rbac_policy, m->n_policies);
	for (size_t i = 0; rc == 0 && i < m->n_policies; i++) {
		xds_path_push(&t->pj.path, "policies");
		xds_path_push_key(&t->pj.path, m->policies[i]->key);
		rc = policy_entry(t, m->policies[i], r->is_deny && !is_shadow, r);
		if (rc == 0)
			xds_path_pop(&t->pj.path, base);
	}
	qsort(r->policies, r->n_policies, sizeof(*r->policies), policy_compare);
	*ret_r = r;
	return rc;
}

/* ---- the filters ----------------------------------------------------------------------------- */

static int http_rbac(struct translate *t, const PB_HTTP_RBAC(RBAC) * m, struct mesh_rbac *out)
{
	out->rules_prefix = tr_str(t, m->rules_stat_prefix);
	out->shadow_prefix = tr_str(t, m->shadow_rules_stat_prefix);
	out->count_policies = m->track_per_rule_stats;
	TR_IN(t, "rules", rules(t, m->rules, false, &out->rules));
	TR_IN(t, "shadow_rules", rules(t, m->shadow_rules, true, &out->shadow));
	return 0;
}

int tr_rbac(struct translate *t, const ProtobufCMessage *m, bool per_route, const void **ret_config)
{
	const PB_HTTP_RBAC(RBAC) *src = (const PB_HTTP_RBAC(RBAC) *)m;
	struct mesh_rbac *out = arena_new(t->a, struct mesh_rbac);

	*ret_config = out;
	if (!per_route)
		return http_rbac(t, src, out);
	src = ((const PB_HTTP_RBAC(RBACPerRoute) *)m)->rbac;
	if (src) /* else there are no rules on this route */
		TR_IN(t, "rbac", http_rbac(t, src, out));
	return 0;
}

static bool has_header(const struct mesh_rbac_rule *r)
{
	bool found = r->kind == MESH_RBAC_HEADER;

	for (uint32_t i = 0; !found && i < r->n_parts; i++)
		found = has_header(&r->parts[i]);
	return found;
}

/* A connection has no headers: Envoy does not take rules about them there. */
static int no_headers(struct translate *t, const struct mesh_rbac_rules *r)
{
	for (uint32_t i = 0; r && i < r->n_policies; i++)
		if (has_header(&r->policies[i].permissions) ||
		    has_header(&r->policies[i].principals))
			return tr_fail(t, "policies[%.*s]: a connection has no headers",
				       SLICE_ARG(r->policies[i].name));
	return 0;
}

int tr_net_rbac(struct translate *t, const ProtobufCMessage *msg, struct mesh_net_filter *f)
{
	const PB_NET_RBAC(RBAC) *m = (const PB_NET_RBAC(RBAC) *)msg;
	struct mesh_rbac *out = arena_new(t->a, struct mesh_rbac);
	int rc = tr_nonempty(t, "stat_prefix", m->stat_prefix);

	if (rc < 0)
		return rc;
	out->stat_prefix = tr_str(t, m->stat_prefix);
	out->shadow_prefix = tr_str(t, m->shadow_rules_stat_prefix);
	f->kind = MESH_NET_RBAC;
	f->rbac = out;
	TR_IN(t, "rules", rules(t, m->rules, false, &out->rules));
	TR_IN(t, "shadow_rules", rules(t, m->shadow_rules, true, &out->shadow));
	TR_IN(t, "rules", no_headers(t, out->rules));
	TR_IN(t, "shadow_rules", no_headers(t, out->shadow));
	tr_no_effect(t, &m->base, "delay_deny", m->delay_deny != NULL);
	return 0;
}
