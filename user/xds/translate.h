/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf -> mesh, shared inside translate*.c and load.c only. Every function reads one message
 * into one struct of the mesh, in the part's arena, or sets the error "<path>: <reason>".
 *
 * HINT: on failure the path is left where the error is; nobody goes on after one.
 */
#ifndef SKIFF_XDS_TRANSLATE_H
#define SKIFF_XDS_TRANSLATE_H

#include <errno.h>

#include "envoy/config/accesslog/v3/accesslog.pb-c.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/common/mutation_rules/v3/mutation_rules.pb-c.h"
#include "envoy/config/core/v3/substitution_format_string.pb-c.h"
#include "envoy/config/listener/v3/listener.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h" /* style: generated name */
#include "envoy/extensions/filters/network/dubbo_proxy/v3/route.pb-c.h"
#include "envoy/type/metadata/v3/metadata.pb-c.h"
#include "envoy/type/v3/token_bucket.pb-c.h"
#include "mesh/mesh.h"
#include "mesh/part.h"
#include "xds/pb.h"
#include "xds/protojson.h"

struct translate_regex;
struct mesh_port_rule;

struct translate {
	struct protojson pj;              /* path, report, error; the messages' arena */
	struct mesh_part *part;           /* what is being built */
	struct arena *a;                  /* its own */
	struct translate_regex **regexes; /* list in the part, freed with it */
	const json_t *clusters;           /* set of the names of all clusters, for routes */
	json_t *runtime;                  /* values by key; NULL: there are none */
	/* From a control plane: resources may name others by name, and what files may not ask for
	 * yet is taken where it fails closed. */
	bool is_xds;
	uint64_t hash_seed; /* of texts that the listener takes from files and the environment */
	const struct tr_hosts *hosts; /* of the route table; NULL: they stand in its message */
};

/* Takes the field's name on the path while @call runs; returns from the function when it fails. */
#define TR_IN(t, field, call) \
	do { \
		size_t mark_ = xds_path_push(&(t)->pj.path, field); \
		int rc_ = (call); \
		if (rc_ < 0) \
			return rc_; \
		xds_path_pop(&(t)->pj.path, mark_); \
	} while (0)
#define TR_IN_AT(t, field, i, call) \
	do { \
		size_t mark_ = xds_path_push_at(&(t)->pj.path, field, i); \
		int rc_ = (call); \
		if (rc_ < 0) \
			return rc_; \
		xds_path_pop(&(t)->pj.path, mark_); \
	} while (0)
/* A new array of @n in the part's arena. */
#define TR_ARRAY(t, type, n) arena_array((t)->a, type, (n) ? (n) : 1)

/* ---- translate_util.c -------------------------------------------------------------------------
 */
int tr_fail(struct translate *t, const char *fmt, ...) printf_like(2, 3);
/* Fails: "<field>: <what> is not supported yet by this version". */
int tr_unsupported(struct translate *t, const char *field, const char *what);
/* Fails when files ask for @field of @m, which only a control plane may. */
int tr_files_refuse(struct translate *t, const ProtobufCMessage *m, const char *field);
/* Reports that @field of @m has no effect, when it is set. */
void tr_no_effect(struct translate *t, const ProtobufCMessage *m, const char *field, bool is_set);
/* The part that is built names the resource @name. Nothing in a whole view. */
void tr_need(struct translate *t, enum mesh_part_kind kind, struct slice name, bool is_weak);
/* One line in the report, at the place of @field (may be ""). */
void tr_warn(struct translate *t, const char *field, const char *fmt, ...) printf_like(3, 4);
int tr_required(struct translate *t, const char *field, bool is_there);
int tr_nonempty(struct translate *t, const char *field, const char *text);
struct slice tr_str(struct translate *t, const char *s); /* copies; NULL gives an empty slice */
struct slice tr_lower(struct translate *t, const char *s);
/* Copies a text that ends up in a message's head: no line break, no NUL. */
int tr_line(struct translate *t, const char *field, const char *s, struct slice *ret_s);
struct slice tr_bytes(struct translate *t, ProtobufCBinaryData b);
/* Repeated strings; @lower: in lower case. */
struct slice *tr_strs(struct translate *t, char **v, size_t n, bool lower);
/* Milliseconds of @d, or @dflt when absent; a fraction of a millisecond is cut, as in Envoy. */
int tr_ms(struct translate *t, const char *field, const Google__Protobuf__Duration *d,
	  uint32_t dflt, uint32_t *ret_ms);
bool tr_bool(const Google__Protobuf__BoolValue *b, bool dflt);
uint32_t tr_u32(const Google__Protobuf__UInt32Value *v, uint32_t dflt);
/* Parts of a million; NULL gives @dflt. */
uint32_t tr_percent(const PB_TYPE(FractionalPercent) * p, uint32_t dflt);
int tr_header_steps(struct translate *t, const char *field,
		    Envoy__Config__Common__MutationRules__V3__HeaderMutation **v, size_t n,
		    struct mesh_header_steps *s);
int tr_internal_redirect(struct translate *t, const PB_ROUTE(InternalRedirectPolicy) * m,
			 const struct mesh_internal_redirect **ret_r);
/* runtime.c: layers of a file; what stands under @key, else @dflt. */
int tr_runtime_layers(struct translate *t,
		      const Envoy__Config__Bootstrap__V3__LayeredRuntime *m);
uint32_t tr_runtime_u32(struct translate *t, const char *key, uint32_t dflt);
bool tr_runtime_bool(struct translate *t, const char *key, bool dflt);
/* Parts of a million. */
uint32_t tr_runtime_fraction(struct translate *t, const char *key, uint32_t dflt);
int tr_runtime_percent(struct translate *t, const char *field,
		       const PB_CORE(RuntimeFractionalPercent) * p, uint32_t dflt, uint32_t *ret_v);
int tr_upgrades_unique(struct translate *t, const struct mesh_upgrade *v, uint32_t n);
int tr_regex(struct translate *t, const char *field, const PB_MATCHER(RegexMatcher) * m,
	     const struct regex **ret_re);
int tr_regex_text(struct translate *t, struct slice pattern, const struct regex **ret_re);
/* The text of a DataSource of at most @max bytes. */
int tr_data_source(struct translate *t, const PB_CORE(DataSource) * d, size_t max,
		   struct slice *ret_text);
int tr_cidr(struct translate *t, const PB_CORE(CidrRange) * c, struct mesh_prefix *ret_p);
int tr_cidrs(struct translate *t, const char *field, PB_CORE(CidrRange) * *v, size_t n,
	     struct mesh_prefix **ret_v, uint32_t *ret_n);
int tr_socket_address(struct translate *t, const PB_CORE(Address) * a,
		      const PB_CORE(SocketAddress) * *ret_sa);
/* How header names are written. NULL: in lower case. */
int tr_key_format(struct translate *t, const PB_CORE(Http1ProtocolOptions__HeaderKeyFormat) * m,
		  bool *ret_proper_case, bool *ret_preserve_case);
/* Does the resource come over the stream that its owner came over? */
bool tr_is_ads(const PB_CORE(ConfigSource) * c);
/* Opens a typed_config, which must be there; -ENOENT when its type is not known. */
int tr_any(struct translate *t, const Google__Protobuf__Any *any, ProtobufCMessage **ret_m);
/* As tr_any(); the message must be a @want: else it is told that it is not @what ("a path match").
 */
int tr_any_of(struct translate *t, const Google__Protobuf__Any *any,
	      const ProtobufCMessageDescriptor *want, const char *what, ProtobufCMessage **ret_m);
/* Makes @p the part that is built: its arena, the list of regexes and its release. */
void tr_part_init(struct translate *t, struct mesh_part *p);

/* ---- translate_match.c -------------------------------------------------------------------------
 */
int tr_string(struct translate *t, const PB_MATCHER(StringMatcher) * m, struct mesh_string *ret_s);
int tr_header_match(struct translate *t, const PB_ROUTE(HeaderMatcher) * m, bool keep_case,
		    struct mesh_header_match *ret_h);
int tr_header_matches(struct translate *t, const char *field, PB_ROUTE(HeaderMatcher) * *v,
		      size_t n, bool keep_case, struct mesh_header_match **ret_v, uint32_t *ret_n);
int tr_query_matches(struct translate *t, const char *field, PB_ROUTE(QueryParameterMatcher) * *v,
		     size_t n, struct mesh_query_match **ret_v, uint32_t *ret_n);

/* ---- translate_header.c ------------------------------------------------------------------------
 */
int tr_header_add(struct translate *t, const PB_CORE(HeaderValueOption) * o,
		  struct mesh_header_add *ret_h);
int tr_header_adds(struct translate *t, const char *field, PB_CORE(HeaderValueOption) * *v,
		   size_t n, struct mesh_header_ops *ret_ops);
int tr_header_removes(struct translate *t, const char *field, char **v, size_t n,
		      struct mesh_header_ops *ret_ops);
/* The four lists that routes, virtual hosts, tables and weighted clusters have. */
#define TR_MUTATIONS(t, m, out) \
	tr_mutations(t, (m)->request_headers_to_add, (m)->n_request_headers_to_add, \
		     (m)->request_headers_to_remove, (m)->n_request_headers_to_remove, \
		     (m)->response_headers_to_add, (m)->n_response_headers_to_add, \
		     (m)->response_headers_to_remove, (m)->n_response_headers_to_remove, out)
int tr_mutations(struct translate *t, PB_CORE(HeaderValueOption) * *req_add, size_t n_req_add,
		 char **req_remove, size_t n_req_remove, PB_CORE(HeaderValueOption) * *resp_add,
		 size_t n_resp_add, char **resp_remove, size_t n_resp_remove,
		 struct mesh_mutations *ret_m);
int tr_format(struct translate *t, struct slice text, const struct l7_format **ret_f);

/* ---- translate_log.c ---------------------------------------------------------------------------
 */
int tr_access_logs(struct translate *t, const char *field, PB_LOG(AccessLog) * *v, size_t n,
		   struct mesh_access_log **ret_v, uint32_t *ret_n);
/* access_log_flush_interval. 0 when absent. */
int tr_log_interval(struct translate *t, const Google__Protobuf__Duration *d, uint32_t *ret_ms);
int tr_log_filter(struct translate *t, const PB_LOG(AccessLogFilter) * m,
		  const struct mesh_log_filter **ret_f);
/* Fills the format of @l. */
int tr_string_format(struct translate *t, const PB_CORE(SubstitutionFormatString) * f,
		     struct mesh_access_log *l);

/* ---- translate_reply.c -------------------------------------------------------------------------
 */
/* What makes the body of an answer. */
int tr_body_format(struct translate *t, const PB_CORE(SubstitutionFormatString) * f,
		   const struct mesh_body_format **ret_f);
/* What becomes of our own answers. */
int tr_local_reply(struct translate *t, const PB_HCM(LocalReplyConfig) * m,
		   const struct mesh_local_reply **ret_r);

/* ---- translate_limit.c -------------------------------------------------------------------------
 */
int tr_rate_limits(struct translate *t, const char *field, PB_ROUTE(RateLimit) * *v, size_t n,
		   struct mesh_rl_descriptor_source **ret_v, uint32_t *ret_n);
int tr_token_bucket(struct translate *t, const PB_TYPE(TokenBucket) * b,
		    struct mesh_token_bucket *ret_b);
int tr_local_ratelimit(struct translate *t, const ProtobufCMessage *m, bool per_route,
		       const void **ret_config);

/* ---- translate_filter.c ------------------------------------------------------------------------
 */
/* One HTTP or RPC filter. 1: left out (unknown, but optional). */
int tr_filter(struct translate *t, const char *name, const Google__Protobuf__Any *any,
	      bool is_optional, bool disabled, struct mesh_filter *ret_f,
	      const ProtobufCMessage **ret_router);
/* Entries of typed_per_filter_config. */
#define TR_OVERRIDES(t, m, out) \
	tr_overrides( \
		t, (const struct tr_override_entry *const *)(void *)(m)->typed_per_filter_config, \
		(m)->n_typed_per_filter_config, out)
/* All of the generated map entries string -> Any look like this. */
struct tr_override_entry {
	ProtobufCMessage base;
	char *key;
	Google__Protobuf__Any *value;
};
int tr_overrides(struct translate *t, const struct tr_override_entry *const *v, size_t n,
		 struct mesh_overrides *ret_o);
/* The deprecated cors field of routes and virtual hosts: an override of the CORS filter. */
int tr_cors_override(struct translate *t, const PB_ROUTE(CorsPolicy) * c, struct mesh_overrides *o);
/* A list whose last, and only last, filter is the terminal one. */
int tr_filter_order(struct translate *t, const char *field, const struct mesh_filter *v,
		    uint32_t n);

/* ---- translate_route.c, translate_action.c, translate_template.c -------------------------------
 */
int tr_route_table(struct translate *t, const PB_ROUTE(RouteConfiguration) * m,
		   bool validate_by_default, const struct mesh_route_table **ret_table);
/* A virtual host; @max_body: bytes of a direct response. */
int tr_vhost_fill(struct translate *t, const PB_ROUTE(VirtualHost) * m, size_t max_body,
		  struct mesh_vhost *v);
/* One virtual host as a table without a name. */
int tr_vhost(struct translate *t, PB_ROUTE(VirtualHost) * m,
	     const struct mesh_route_table **ret_table);
int tr_route_action(struct translate *t, const PB_ROUTE(RouteAction) * m, struct mesh_route *r);
int tr_redirect(struct translate *t, const PB_ROUTE(RedirectAction) * m, struct mesh_route *r);
int tr_direct_response(struct translate *t, const PB_ROUTE(DirectResponseAction) * m,
		       size_t max_body, struct mesh_route *r);
/* Is @name a cluster of this set of resources? */
bool tr_cluster_exists(const struct translate *t, struct slice name);
/* A path template ("/a/{b}/{c=**}") as an anchored pattern, and a rewrite ("/x/{c}") as its
 * substitution. */
int tr_template_pattern(struct translate *t, struct slice text, struct slice *ret_pattern);
int tr_template_rewrite(struct translate *t, struct slice match, struct slice text,
			struct slice *ret_subst);

/* ---- translate_hcm.c, translate_net.c -------------------------------------------------------- */
int tr_http_manager(struct translate *t, const ProtobufCMessage *m,
		    const struct mesh_http_manager **ret_h);
int tr_net_filters(struct translate *t, PB_LISTENER(Filter) * *v, size_t n, struct mesh_chain *c);
int tr_rpc_tables(struct translate *t, const PB_DUBBO(MultipleRouteConfiguration) * m,
		  struct mesh_rpc_tables *ret_r);
int tr_upgrade(struct translate *t, const char *type, const Google__Protobuf__BoolValue *enabled,
	       struct mesh_upgrade *ret_u);

/* ---- resources ----------------------------------------------------------------------------------
 */
int tr_listener(struct translate *t, const PB_LISTENER(Listener) * m, struct mesh_listener *ret_l);
int tr_cluster(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *ret_c);

/* ---- translate_endpoint.c ----------------------------------------------------------------------
 */
int tr_endpoints(struct translate *t, const PB_ENDPOINT(ClusterLoadAssignment) * m,
		 enum mesh_cluster_kind kind, struct mesh_endpoints *ret_e);

/* ---- translate_tls.c ---------------------------------------------------------------------------
 */
int tr_socket(struct translate *t, const PB_CORE(TransportSocket) * m, bool is_downstream,
	      struct mesh_socket *ret_s);
int tr_cluster_sockets(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c);
/* The metadata for @filter, one of its values, a value's text; NULL and empty when not there. */
const Google__Protobuf__Struct *tr_metadata(const PB_CORE(Metadata) * m, const char *filter);
const Google__Protobuf__Value *tr_value(const Google__Protobuf__Struct *s, const char *key);
/* All values of @m, also those of objects. -EINVAL when there are too many. translate_meta.c */
int tr_metadata_values(struct translate *t, const PB_CORE(Metadata) * m,
		       const struct metadata **ret_m);
/* "filter" and the keys of @m as the path of a struct metadata_value. */
struct slice tr_metadata_path(struct translate *t,
			      const Envoy__Type__Metadata__V3__MetadataKey *m);
struct slice tr_value_text(struct translate *t, const Google__Protobuf__Value *v);
/* The texts of @s (may be NULL). @only_text: fails for other values, else they are left out. */
int tr_pairs(struct translate *t, const Google__Protobuf__Struct *s, bool only_text,
	     struct mesh_pair **ret_v, uint32_t *ret_n);

/* ---- translate_istio.c -------------------------------------------------------------------------
 */
/* Is @any (may be NULL) an extension whose work is done elsewhere, or not needed? */
bool tr_is_nothing(struct translate *t, const Google__Protobuf__Any *any);
int tr_cluster_filters(struct translate *t, const PB_CLUSTER(Cluster) * m);
void tr_cluster_service(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c);

/* ---- translate_rbac.c --------------------------------------------------------------------------
 */
int tr_rbac(struct translate *t, const ProtobufCMessage *m, bool per_route,
	    const void **ret_config);
int tr_net_rbac(struct translate *t, const ProtobufCMessage *m, struct mesh_net_filter *f);

/* ---- translate_retry.c -------------------------------------------------------------------------
 */
/* request_body_buffer_limit and per_request_buffer_limit_bytes; NULL: not said. */
void tr_body_limit(const Google__Protobuf__UInt64Value *max,
		   const Google__Protobuf__UInt32Value *request, struct mesh_body_limit *l);
int tr_retry(struct translate *t, const PB_ROUTE(RetryPolicy) * m, struct mesh_retry **ret_r);
int tr_mirrors(struct translate *t, PB_ROUTE(RouteAction__RequestMirrorPolicy) * *v, size_t n,
	       struct mesh_mirror **ret_v, uint32_t *ret_n);
int tr_hashes(struct translate *t, const PB_ROUTE(RouteAction) * m, struct mesh_route *r);
int tr_regex_subst(struct translate *t, const PB_MATCHER(RegexMatchAndSubstitute) * m,
		   const struct regex **ret_re, struct slice *ret_subst);

/* ---- translate_vhosts.c ------------------------------------------------------------------------
 */

struct xds_resource;

/* Virtual hosts of a route table in their packed form. */
struct tr_hosts {
	struct slice *v;
	uint32_t n;
	const struct xds_resource *before; /* the version before; NULL: none */
};

/* The bytes of the virtual hosts in a RouteConfiguration, in @a, and all the rest of it. */
struct slice *tr_hosts_split(struct slice s, struct arena *a, uint32_t *ret_n,
			     struct slice *ret_rest);
/* Makes t->hosts those of @r: only those that the version before has not are compiled. */
int tr_hosts_take(struct translate *t, size_t max_body, struct mesh_route_table *r);

/* ---- refuse.c -------------------------------------------------------------------------------- */
/* For protojson.refuse: fields that may not be ignored. */
const char *xds_refuse_unknown(const char *message, const char *name, uint32_t number);

#endif
