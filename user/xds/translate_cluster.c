/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters and their endpoints. */
#include <xxhash.h>

#include "envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.pb-c.h"
#include "envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb-c.h"
#include "envoy/extensions/load_balancing_policies/random/v3/random.pb-c.h"
#include "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.pb-c.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"
#include "xds/translate.h"

#define K_TYPE(x) K_CLUSTER(CLUSTER__DISCOVERY_TYPE__##x)
#define K_LB(x) K_CLUSTER(CLUSTER__LB_POLICY__##x)
#define K_DNS(x) K_CLUSTER(CLUSTER__DNS_LOOKUP_FAMILY__##x)
#define K_LOCALITY(x) K_CLUSTER(CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_##x)
#define HTTP_OPTIONS "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#define CONNECT_TIMEOUT_MS 5000
#define DNS_REFRESH_MS 5000
#define IDLE_TIMEOUT_MS 3600000
#define CONNECTION_BUFFER 1048576
#define PANIC_PERCENT 50
#define REQUESTS_MAX 1024 /* circuit breakers by default */
#define RETRIES_MAX 3

/* ---- kind and balancing ---------------------------------------------------------------------- */

/* Endpoints that come from elsewhere than the same stream are none that we would ever get. */
static int eds(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	const PB_CLUSTER(Cluster__EdsClusterConfig) *e = m->eds_cluster_config;

	if (!e || !e->eds_config)
		return tr_fail(t, "eds_cluster_config.eds_config is required for type EDS");
	if (!tr_is_ads(e->eds_config))
		return tr_unsupported(t, "eds_cluster_config.eds_config",
				      "another source than ads (or self)");
	c->service_name = tr_str(t, *e->service_name ? e->service_name : m->name);
	tr_need(t, MESH_PART_ENDPOINTS, c->service_name, false);
	return 0;
}

static int cluster_kind(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	if (m->cluster_discovery_type_case != K_CLUSTER(CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE) &&
	    m->cluster_discovery_type_case != 0)
		return tr_unsupported(t, "cluster_type", "a custom cluster type");
	switch (m->type) {
	case K_TYPE(STATIC): c->kind = MESH_CLUSTER_STATIC; return 0;
	case K_TYPE(STRICT_DNS): c->kind = MESH_CLUSTER_STRICT_DNS; return 0;
	case K_TYPE(LOGICAL_DNS): c->kind = MESH_CLUSTER_LOGICAL_DNS; return 0;
	case K_TYPE(ORIGINAL_DST): c->kind = MESH_CLUSTER_ORIGINAL_DST; return 0;
	case K_TYPE(EDS):
		c->kind = MESH_CLUSTER_EDS;
		if (t->is_xds)
			return eds(t, m, c);
		xds_path_push(&t->pj.path, "type");
		return tr_fail(t, "EDS needs a control plane (xDS), and none is configured; give "
				  "the endpoints in load_assignment of a STATIC cluster");
	default: return tr_fail(t, "type %d is not known", (int)m->type);
	}
}

#define LEAST_REQUEST Envoy__Extensions__LoadBalancingPolicies__LeastRequest__V3__LeastRequest

static const struct {
	const ProtobufCMessageDescriptor *type;
	enum mesh_lb lb;
} balancers[] = {
	{ D_EXT(load_balancing_policies__round_robin__v3__round_robin), MESH_LB_ROUND_ROBIN },
	{ D_EXT(load_balancing_policies__least_request__v3__least_request), MESH_LB_LEAST_REQUEST },
	{ D_EXT(load_balancing_policies__random__v3__random), MESH_LB_RANDOM },
	{ D_EXT(load_balancing_policies__cluster_provided__v3__cluster_provided),
	  MESH_LB_PROVIDED },
};

/* One entry of load_balancing_policy. 1: not known, the next one is tried. */
static int balancer(struct translate *t, const PB_CLUSTER(LoadBalancingPolicy__Policy) * m,
		    struct mesh_cluster *c)
{
	const Google__Protobuf__Any *any =
		m->typed_extension_config ? m->typed_extension_config->typed_config : NULL;
	ProtobufCMessage *x = NULL;
	int rc;

	if (!any)
		return tr_fail(t, "typed_extension_config.typed_config is required");
	rc = tr_any(t, any, &x);
	if (rc < 0)
		return rc == -ENOENT ? 1 : rc;
	for (size_t i = 0; i < ARRAY_LEN(balancers); i++) {
		if (balancers[i].type != x->descriptor)
			continue;
		c->lb = balancers[i].lb;
		if (c->lb == MESH_LB_LEAST_REQUEST)
			c->choice_count = tr_u32(((const LEAST_REQUEST *)x)->choice_count, 2);
		return 0;
	}
	return 1;
}

/* The first policy that is known counts, as in Envoy. */
static int typed_balancing(struct translate *t, const PB_CLUSTER(LoadBalancingPolicy) * m,
			   struct mesh_cluster *c)
{
	size_t base = xds_path_push(&t->pj.path, "load_balancing_policy");
	int rc = 1;

	for (size_t i = 0; rc == 1 && i < m->n_policies; i++) {
		size_t mark = xds_path_push_at(&t->pj.path, "policies", i);

		rc = balancer(t, m->policies[i], c);
		if (rc >= 0)
			xds_path_pop(&t->pj.path, mark);
	}
	if (rc == 1)
		return tr_fail(t, "none of the policies is supported yet by this version");
	if (rc == 0)
		xds_path_pop(&t->pj.path, base);
	return rc;
}

static void hashing(const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	c->hash_kind = m->lb_policy == K_LB(MAGLEV) ? MESH_HASH_MAGLEV : MESH_HASH_RING;
	if (m->lb_config_case == K_CLUSTER(CLUSTER__LB_CONFIG_RING_HASH_LB_CONFIG)) {
		const PB_CLUSTER(Cluster__RingHashLbConfig) *r = m->ring_hash_lb_config;

		c->ring_min = r->minimum_ring_size ? r->minimum_ring_size->value : 0;
		c->ring_max = r->maximum_ring_size ? r->maximum_ring_size->value : 0;
	}
	if (m->lb_config_case == K_CLUSTER(CLUSTER__LB_CONFIG_MAGLEV_LB_CONFIG) &&
	    m->maglev_lb_config->table_size)
		c->table_size = m->maglev_lb_config->table_size->value;
}

static int enum_balancing(struct translate *t, const PB_CLUSTER(Cluster) * m,
			  struct mesh_cluster *c)
{
	switch (m->lb_policy) {
	case K_LB(ROUND_ROBIN): c->lb = MESH_LB_ROUND_ROBIN; break;
	case K_LB(LEAST_REQUEST): c->lb = MESH_LB_LEAST_REQUEST; break;
	case K_LB(RANDOM): c->lb = MESH_LB_RANDOM; break;
	case K_LB(CLUSTER_PROVIDED): c->lb = MESH_LB_PROVIDED; break;
	case K_LB(RING_HASH):
	case K_LB(MAGLEV):
		c->lb = MESH_LB_RANDOM;
		hashing(m, c);
		tr_warn(t, "lb_policy",
			"consistent hashing is not there yet; endpoints are picked at random, as "
			"for requests without a hash");
		break;
	default: return tr_fail(t, "lb_policy %d needs load_balancing_policy", (int)m->lb_policy);
	}
	if (m->lb_config_case == K_CLUSTER(CLUSTER__LB_CONFIG_LEAST_REQUEST_LB_CONFIG))
		c->choice_count = tr_u32(m->least_request_lb_config->choice_count, 2);
	return 0;
}

static int balancing(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	int rc;

	c->choice_count = 2;
	rc = m->load_balancing_policy ? typed_balancing(t, m->load_balancing_policy, c) :
					enum_balancing(t, m, c);
	if (rc < 0)
		return rc;
	if (c->choice_count < 2)
		return tr_fail(t, "choice_count must be at least 2");
	if ((c->kind == MESH_CLUSTER_ORIGINAL_DST) != (c->lb == MESH_LB_PROVIDED))
		return tr_fail(t,
			       "lb_policy CLUSTER_PROVIDED and type ORIGINAL_DST belong together");
	if (m->lb_config_case == K_CLUSTER(CLUSTER__LB_CONFIG_ORIGINAL_DST_LB_CONFIG))
		c->use_original_dst_header = m->original_dst_lb_config->use_http_header;
	return 0;
}

static int dns(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	int rc = tr_ms(t, "dns_refresh_rate", m->dns_refresh_rate, DNS_REFRESH_MS,
		       &c->dns_refresh_ms);

	if (rc == 0 && c->dns_refresh_ms <= 1)
		return tr_fail(t, "dns_refresh_rate must be over 0.001s");
	switch (m->dns_lookup_family) {
	case K_DNS(V4_ONLY): c->dns_family = MESH_DNS_V4; break;
	case K_DNS(V6_ONLY): c->dns_family = MESH_DNS_V6; break;
	case K_DNS(ALL): c->dns_family = MESH_DNS_ALL; break;
	case K_DNS(V4_PREFERRED):
		c->dns_family = MESH_DNS_V4;
		tr_warn(t, "dns_lookup_family", "V4_PREFERRED is read as V4_ONLY by this version");
		break;
	default: c->dns_family = MESH_DNS_AUTO; break;
	}
	return rc;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void thresholds(struct translate *t, const PB_CLUSTER(CircuitBreakers) * b,
		       struct mesh_thresholds *l)
{
	*l = (struct mesh_thresholds){ REQUESTS_MAX, REQUESTS_MAX, REQUESTS_MAX, RETRIES_MAX };
	for (size_t i = 0; b && i < b->n_thresholds; i++) {
		const PB_CLUSTER(CircuitBreakers__Thresholds) *x = b->thresholds[i];

		if (x->priority != K_CORE(ROUTING_PRIORITY__DEFAULT)) {
			tr_warn(t, "circuit_breakers",
				"thresholds of priority HIGH have no effect in this version");
			continue;
		}
		l->max_connections = tr_u32(x->max_connections, REQUESTS_MAX);
		l->max_pending_requests = tr_u32(x->max_pending_requests, REQUESTS_MAX);
		l->max_requests = tr_u32(x->max_requests, REQUESTS_MAX);
		l->max_retries = tr_u32(x->max_retries, RETRIES_MAX);
		return;
	}
}

static int panic(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	const PB_TYPE(Percent) *p =
		m->common_lb_config ? m->common_lb_config->healthy_panic_threshold : NULL;

	c->panic_threshold = PANIC_PERCENT;
	if (!p)
		return 0;
	if (!(p->value >= 0 && p->value <= 100))
		return tr_fail(
			t, "common_lb_config.healthy_panic_threshold must be between 0 and 100");
	c->panic_threshold = (uint32_t)p->value;
	return 0;
}

/* ---- protocol -------------------------------------------------------------------------------- */

static int common_http(struct translate *t, const PB_CORE(HttpProtocolOptions) * o,
		       struct mesh_cluster *c)
{
	if (!o)
		return 0;
	c->max_headers = tr_u32(o->max_headers_count, 0);
	if (o->max_requests_per_connection)
		c->max_requests_per_connection = o->max_requests_per_connection->value;
	if (o->max_connection_duration)
		tr_warn(t, "max_connection_duration", "has no effect on a cluster in this version");
	return tr_ms(t, "idle_timeout", o->idle_timeout, IDLE_TIMEOUT_MS, &c->idle_timeout_ms);
}

static int http1(struct translate *t, const PB_CORE(Http1ProtocolOptions) * o,
		 struct mesh_cluster *c)
{
	if (!o)
		return 0;
	c->enable_trailers = o->enable_trailers;
	return tr_key_format(t, o->header_key_format, &c->proper_case, &c->preserve_case);
}

#define K_OPTIONS(x) K_HTTP(HTTP_PROTOCOL_OPTIONS__##x)

static int http_options(struct translate *t, const PB_HTTP(HttpProtocolOptions) * o,
			struct mesh_cluster *c)
{
	const PB_HTTP(HttpProtocolOptions__ExplicitHttpConfig) * x;
	int rc = 0;

	switch (o->upstream_protocol_options_case) {
	case K_OPTIONS(UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG):
		x = o->explicit_http_config;
		if (x->protocol_config_case ==
		    K_OPTIONS(EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS))
			c->http2 = true;
		else if (x->protocol_config_case ==
			 K_OPTIONS(EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP_PROTOCOL_OPTIONS))
			rc = http1(t, x->http_protocol_options, c);
		else
			return tr_fail(t, "explicit_http_config: one of http_protocol_options and "
					  "http2_protocol_options is required");
		break;
	case K_OPTIONS(UPSTREAM_PROTOCOL_OPTIONS_USE_DOWNSTREAM_PROTOCOL_CONFIG):
		c->use_downstream_protocol = true;
		rc = http1(t, o->use_downstream_protocol_config->http_protocol_options, c);
		break;
	case K_OPTIONS(UPSTREAM_PROTOCOL_OPTIONS_AUTO_CONFIG):
		return tr_unsupported(t, "auto_config", "choosing the upstream's protocol by ALPN");
	default:
		return tr_fail(t, "one of explicit_http_config, use_downstream_protocol_config and "
				  "auto_config is required");
	}
	if (rc < 0)
		return rc;
	if (o->common_http_protocol_options)
		TR_IN(t, "common_http_protocol_options",
		      common_http(t, o->common_http_protocol_options, c));
	return 0;
}

static int protocol_entry(struct translate *t,
			  const PB_CLUSTER(Cluster__TypedExtensionProtocolOptionsEntry) * e,
			  struct mesh_cluster *c)
{
	ProtobufCMessage *m = NULL;
	int rc;

	if (!e->value)
		return tr_fail(t, "settings are required");
	if (strcmp(e->key, HTTP_OPTIONS) != 0)
		return tr_fail(t, "the only key known here is %s", HTTP_OPTIONS);
	rc = tr_any(t, e->value, &m);
	if (rc < 0)
		return rc;
	if (m->descriptor == D_EXT(upstreams__http__v3__http_protocol_options))
		return http_options(t, (const PB_HTTP(HttpProtocolOptions) *)m, c);
	tr_warn(t, "", "settings of type \"%s\" have no effect in this version",
		m->descriptor->name);
	return 0;
}

static int protocol(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	c->idle_timeout_ms = IDLE_TIMEOUT_MS;
	c->max_requests_per_connection = tr_u32(m->max_requests_per_connection, 0);
	c->http2 = m->http2_protocol_options != NULL;
	if (http1(t, m->http_protocol_options, c) < 0)
		return -EINVAL;
	if (m->common_http_protocol_options)
		TR_IN(t, "common_http_protocol_options",
		      common_http(t, m->common_http_protocol_options, c));
	for (size_t i = 0; i < m->n_typed_extension_protocol_options; i++) {
		size_t mark = xds_path_push(&t->pj.path, "typed_extension_protocol_options");
		int rc;

		xds_path_push_key(&t->pj.path, m->typed_extension_protocol_options[i]->key);
		rc = protocol_entry(t, m->typed_extension_protocol_options[i], c);
		if (rc < 0)
			return rc;
		xds_path_pop(&t->pj.path, mark);
	}
	if (c->http2 && !t->is_xds)
		return tr_fail(t, "HTTP/2 to the upstream is not supported yet by this version");
	if (c->http2)
		tr_warn(t, "", "HTTP/2 to the upstream is not there yet: HTTP/1.1 is spoken");
	return 0;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int outlier(struct translate *t, const PB_CLUSTER(OutlierDetection) * m,
		   const struct mesh_outlier **ret_o)
{
	struct mesh_outlier *o = arena_new(t->a, struct mesh_outlier);
	int rc;

	o->consecutive_5xx = tr_u32(m->consecutive_5xx, 5);
	o->consecutive_gateway = tr_u32(m->consecutive_gateway_failure, 5);
	o->consecutive_local = tr_u32(m->consecutive_local_origin_failure, 5);
	o->enforce_5xx = tr_u32(m->enforcing_consecutive_5xx, 100);
	o->enforce_gateway = tr_u32(m->enforcing_consecutive_gateway_failure, 0);
	o->enforce_local = tr_u32(m->enforcing_consecutive_local_origin_failure, 100);
	o->enforce_success_rate = tr_u32(m->enforcing_success_rate, 100);
	o->max_ejection_percent = tr_u32(m->max_ejection_percent, 10);
	o->split_local = m->split_external_local_origin_errors;
	rc = tr_ms(t, "interval", m->interval, 10000, &o->interval_ms);
	if (rc == 0)
		rc = tr_ms(t, "base_ejection_time", m->base_ejection_time, 30000,
			   &o->base_ejection_ms);
	if (rc == 0)
		rc = tr_ms(t, "max_ejection_time", m->max_ejection_time, 300000,
			   &o->max_ejection_ms);
	if (rc == 0 && (!o->interval_ms || !o->base_ejection_ms))
		return tr_fail(t, "interval and base_ejection_time must be over 0");
	if (rc == 0 &&
	    (o->max_ejection_percent > 100 || o->enforce_5xx > 100 || o->enforce_gateway > 100 ||
	     o->enforce_local > 100 || o->enforce_success_rate > 100))
		return tr_fail(t, "a percentage is over 100");
	*ret_o = o;
	return rc;
}

static void keepalive(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	const PB_CLUSTER(UpstreamConnectionOptions) *o = m->upstream_connection_options;
	struct mesh_keepalive *k;

	if (!o || !o->tcp_keepalive)
		return;
	k = arena_new(t->a, struct mesh_keepalive);
	k->probes = tr_u32(o->tcp_keepalive->keepalive_probes, 0);
	k->time_s = tr_u32(o->tcp_keepalive->keepalive_time, 0);
	k->interval_s = tr_u32(o->tcp_keepalive->keepalive_interval, 0);
	c->keepalive = k;
	tr_no_effect(t, &m->base, "upstream_connection_options", true);
}

static int bind_address(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	const PB_CORE(SocketAddress) *sa =
		m->upstream_bind_config ? m->upstream_bind_config->source_address : NULL;

	if (!sa)
		return 0;
	if (addr_parse_ip(slice_str(sa->address), &c->bind) < 0)
		return tr_fail(t,
			       "upstream_bind_config.source_address: \"%s\" is not an IP address",
			       sa->address);
	if (sa->port_value > 65535)
		return tr_fail(t,
			       "upstream_bind_config.source_address: port_value %u is over 65535",
			       sa->port_value);
	c->bind.port = (uint16_t)sa->port_value;
	c->has_bind = true;
	/* Istio's mark of what a sidecar itself has sent: ours need none. */
	tr_no_effect(t, &m->base, "upstream_bind_config", true);
	return 0;
}

static int extras(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	int rc = tr_cluster_sockets(t, m, c);

	if (rc == 0)
		rc = tr_cluster_filters(t, m);
	if (rc == 0)
		rc = bind_address(t, m, c);
	if (rc < 0)
		return rc;
	if (m->outlier_detection) {
		TR_IN(t, "outlier_detection", outlier(t, m->outlier_detection, &c->outlier));
		tr_no_effect(t, &m->base, "outlier_detection", true);
	}
	keepalive(t, m, c);
	tr_cluster_service(t, m, c);
	c->locality_weighted = m->common_lb_config &&
			       m->common_lb_config->locality_config_specifier_case ==
				       K_LOCALITY(LOCALITY_WEIGHTED_LB_CONFIG);
	if (m->common_lb_config)
		tr_no_effect(t, &m->common_lb_config->base, "locality_weighted_lb_config",
			     c->locality_weighted);
	/* The C library's resolver tells no life times. */
	tr_no_effect(t, &m->base, "respect_dns_ttl", m->respect_dns_ttl);
	return 0;
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static int endpoints(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	struct mesh_endpoints e = { NULL, 0 };

	if (m->load_assignment && c->kind == MESH_CLUSTER_ORIGINAL_DST)
		return tr_fail(t, "load_assignment may not be set for type ORIGINAL_DST");
	if (c->kind == MESH_CLUSTER_EDS) {
		tr_no_effect(t, &m->base, "load_assignment", m->load_assignment != NULL);
		return 0;
	}
	if (m->load_assignment)
		TR_IN(t, "load_assignment", tr_endpoints(t, m->load_assignment, c->kind, &e));
	c->endpoints = e.v;
	c->n_endpoints = e.n;
	if (c->kind == MESH_CLUSTER_LOGICAL_DNS && c->n_endpoints != 1)
		return tr_fail(t, "a LOGICAL_DNS cluster needs exactly one endpoint, not %u",
			       c->n_endpoints);
	return 0;
}

static struct slice stat_name(struct translate *t, const PB_CLUSTER(Cluster) * m)
{
	struct slice s = tr_str(t, *m->alt_stat_name ? m->alt_stat_name : m->name);
	char *p = (char *)(uintptr_t)s.ptr;

	for (size_t i = 0; i < s.len; i++)
		if (p[i] == ':')
			p[i] = '_';
	return s;
}

int tr_cluster(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	struct slice packed = protojson_pack(&m->base, t->pj.arena);
	int rc = tr_nonempty(t, "name", m->name);

	if (rc < 0)
		return rc;
	*c = (struct mesh_cluster){ .name = tr_str(t, m->name), .stat_name = stat_name(t, m) };
	c->per_connection_buffer = tr_u32(m->per_connection_buffer_limit_bytes, CONNECTION_BUFFER);
	c->hash = XXH64(packed.ptr, packed.len, 0);
	rc = tr_ms(t, "connect_timeout", m->connect_timeout, CONNECT_TIMEOUT_MS,
		   &c->connect_timeout_ms);
	if (rc == 0 && !c->connect_timeout_ms)
		return tr_fail(t, "connect_timeout must be over 0");
	if (rc == 0)
		rc = cluster_kind(t, m, c);
	if (rc == 0)
		rc = balancing(t, m, c);
	if (rc == 0)
		rc = dns(t, m, c);
	if (rc == 0)
		rc = panic(t, m, c);
	if (rc == 0)
		rc = protocol(t, m, c);
	if (rc == 0)
		rc = endpoints(t, m, c);
	if (rc == 0)
		rc = extras(t, m, c);
	/* A control plane sends some with each of thousands, for others than formats. */
	if (rc == 0 && m->metadata && !t->is_xds)
		TR_IN(t, "metadata", tr_metadata_values(t, m->metadata, &c->metadata));
	thresholds(t, m->circuit_breakers, &c->limits);
	return rc;
}
