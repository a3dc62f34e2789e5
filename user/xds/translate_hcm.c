/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP connection manager. */
#include "envoy/extensions/filters/http/router/v3/router.pb-c.h"
#include "envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.pb-c.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h" /* style: generated name */
#include "xds/translate.h"

#define K_MANAGER(x) K_HCM(HTTP_CONNECTION_MANAGER__##x)
#define IDLE_TIMEOUT_MS 3600000
#define STREAM_IDLE_TIMEOUT_MS 300000
#define DELAYED_CLOSE_MS 1000
#define DRAIN_TIMEOUT_MS 5000
#define REQUEST_ID "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
#define HEADERS_MAX 100
#define HEAD_KB_MAX 60
#define HEAD_KB_LIMIT 8192 /* as Envoy's limit of max_request_headers_kb */

int tr_upgrades_unique(struct translate *t, const struct mesh_upgrade *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < i; k++)
			if (slice_is_equal(v[i].type, v[k].type))
				return tr_fail(t, "upgrade_configs: \"%.*s\" is there twice",
					       SLICE_ARG(v[i].type));
	return 0;
}

int tr_upgrade(struct translate *t, const char *type, const Google__Protobuf__BoolValue *enabled,
	       struct mesh_upgrade *ret_u)
{
	ret_u->type = tr_lower(t, type);
	ret_u->enabled = tr_bool(enabled, true);
	return tr_nonempty(t, "upgrade_type", type);
}

static int codec(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		 struct mesh_http_manager *h)
{
	switch (m->codec_type) {
	case K_MANAGER(CODEC_TYPE__AUTO): h->codec_type = MESH_CODEC_AUTO; return 0;
	case K_MANAGER(CODEC_TYPE__HTTP1): h->codec_type = MESH_CODEC_HTTP1; return 0;
	case K_MANAGER(CODEC_TYPE__HTTP2):
		h->codec_type = MESH_CODEC_HTTP2;
		return tr_unsupported(t, "codec_type", "HTTP2");
	default: return tr_unsupported(t, "codec_type", "HTTP3");
	}
}

static int times(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		 struct mesh_http_manager *h)
{
	const PB_CORE(HttpProtocolOptions) *o = m->common_http_protocol_options;
	const char *where = "common_http_protocol_options";
	int rc = tr_ms(t, where, o ? o->idle_timeout : NULL, IDLE_TIMEOUT_MS, &h->idle_timeout_ms);

	if (rc == 0)
		rc = tr_ms(t, where, o ? o->max_connection_duration : NULL, 0,
			   &h->max_connection_ms);
	if (rc == 0)
		rc = tr_ms(t, where, o ? o->max_stream_duration : NULL, 0, &h->max_stream_ms);
	if (rc == 0)
		rc = tr_ms(t, "stream_idle_timeout", m->stream_idle_timeout, STREAM_IDLE_TIMEOUT_MS,
			   &h->stream_idle_timeout_ms);
	if (rc == 0)
		rc = tr_ms(t, "request_timeout", m->request_timeout, 0, &h->request_timeout_ms);
	if (rc == 0)
		rc = tr_ms(t, "request_headers_timeout", m->request_headers_timeout, 0,
			   &h->request_headers_timeout_ms);
	if (rc == 0)
		rc = tr_ms(t, "delayed_close_timeout", m->delayed_close_timeout, DELAYED_CLOSE_MS,
			   &h->delayed_close_ms);
	if (rc == 0)
		rc = tr_ms(t, "drain_timeout", m->drain_timeout, DRAIN_TIMEOUT_MS,
			   &h->drain_timeout_ms);
	return rc;
}

static int limits(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		  struct mesh_http_manager *h)
{
	static const enum mesh_underscores underscores[] = { MESH_UNDERSCORES_ALLOW,
							     MESH_UNDERSCORES_REJECT,
							     MESH_UNDERSCORES_DROP };
	const PB_CORE(HttpProtocolOptions) *o = m->common_http_protocol_options;

	h->max_headers = HEADERS_MAX;
	h->max_head_kb = tr_u32(m->max_request_headers_kb, HEAD_KB_MAX);
	if (!h->max_head_kb || h->max_head_kb > HEAD_KB_LIMIT)
		return tr_fail(t, "max_request_headers_kb %u is not between 1 and %d",
			       h->max_head_kb, HEAD_KB_LIMIT);
	if (!o)
		return 0;
	h->max_headers = tr_u32(o->max_headers_count, HEADERS_MAX);
	if (!h->max_headers)
		return tr_fail(t, "common_http_protocol_options.max_headers_count must be over 0");
	h->max_requests_per_connection = tr_u32(o->max_requests_per_connection, 0);
	if (o->headers_with_underscores_action >= 0 &&
	    (size_t)o->headers_with_underscores_action < ARRAY_LEN(underscores))
		h->underscores = underscores[o->headers_with_underscores_action];
	return 0;
}

static int addresses(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		     struct mesh_http_manager *h)
{
	h->use_remote_address = tr_bool(m->use_remote_address, false);
	h->xff_trusted_hops = m->xff_num_trusted_hops;
	h->skip_xff_append = m->skip_xff_append;
	h->append_x_forwarded_port = m->append_x_forwarded_port;
	h->add_user_agent = tr_bool(m->add_user_agent, false);
	h->forward_proto = true;
	h->has_internal_address_config = m->internal_address_config != NULL;
	if (!m->internal_address_config)
		return 0;
	if (m->internal_address_config->unix_sockets)
		tr_warn(t, "internal_address_config.unix_sockets",
			"has no effect: Unix domain sockets are not served");
	return tr_cidrs(t, "internal_address_config.cidr_ranges",
			m->internal_address_config->cidr_ranges,
			m->internal_address_config->n_cidr_ranges, &h->internal_addresses,
			&h->n_internal_addresses);
}

static int identity(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		    struct mesh_http_manager *h)
{
	static const enum mesh_server_header server[] = { MESH_SERVER_OVERWRITE,
							  MESH_SERVER_APPEND_IF_ABSENT,
							  MESH_SERVER_PASS };
	int rc;

	h->stat_prefix = tr_str(t, m->stat_prefix);
	rc = tr_line(t, "server_name", *m->server_name ? m->server_name : "skiff", &h->server_name);
	if (rc == 0)
		rc = tr_line(t, "via", m->via, &h->via);
	if (rc < 0)
		return rc;
	if (m->server_header_transformation >= 0 &&
	    (size_t)m->server_header_transformation < ARRAY_LEN(server))
		h->server_header = server[m->server_header_transformation];
	h->generate_request_id = tr_bool(m->generate_request_id, true);
	h->preserve_external_request_id = m->preserve_external_request_id;
	h->request_id_in_response = m->always_set_request_id_in_response;
	h->proxy_100_continue = m->proxy_100_continue;
	/* The others keep it only from clients with a certificate. */
	h->keep_client_cert = m->forward_client_cert_details ==
			      K_MANAGER(FORWARD_CLIENT_CERT_DETAILS__ALWAYS_FORWARD_ONLY);
	if (m->forward_client_cert_details != K_MANAGER(FORWARD_CLIENT_CERT_DETAILS__SANITIZE) &&
	    !h->keep_client_cert)
		tr_warn(t, "forward_client_cert_details",
			"x-forwarded-client-cert is always removed: client certificates are not "
			"there yet");
	return tr_nonempty(t, "stat_prefix", m->stat_prefix);
}

static int paths(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		 struct mesh_http_manager *h)
{
	static const enum mesh_escaped_slashes slashes[] = { MESH_SLASHES_KEEP, MESH_SLASHES_KEEP,
							     MESH_SLASHES_REJECT,
							     MESH_SLASHES_REDIRECT,
							     MESH_SLASHES_UNESCAPE };

	h->normalize_path = tr_bool(m->normalize_path, false);
	h->merge_slashes = m->merge_slashes;
	if (m->path_with_escaped_slashes_action >= 0 &&
	    (size_t)m->path_with_escaped_slashes_action < ARRAY_LEN(slashes))
		h->escaped_slashes = slashes[m->path_with_escaped_slashes_action];
	h->strip_matching_port = m->strip_matching_host_port;
	h->strip_any_port = m->strip_port_mode_case ==
				    K_MANAGER(STRIP_PORT_MODE_STRIP_ANY_HOST_PORT) &&
			    m->strip_any_host_port;
	h->strip_trailing_dot = m->strip_trailing_host_dot;
	if (h->strip_matching_port && h->strip_any_port)
		return tr_fail(
			t,
			"only one of strip_matching_host_port and strip_any_host_port may be set");
	/* match_upstream needs nothing: upstreams see no scheme. */
	if (!m->scheme_header_transformation ||
	    m->scheme_header_transformation->transformation_case ==
		    K_CORE(SCHEME_HEADER_TRANSFORMATION__TRANSFORMATION__NOT_SET))
		return 0;
	h->scheme_overwrite = tr_str(t, m->scheme_header_transformation->scheme_to_overwrite);
	if (!slice_is_equal(h->scheme_overwrite, SLICE("http")) &&
	    !slice_is_equal(h->scheme_overwrite, SLICE("https")))
		return tr_fail(
			t,
			"scheme_header_transformation.scheme_to_overwrite must be http or https");
	return 0;
}

static int http1(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		 struct mesh_http_manager *h)
{
	const PB_CORE(Http1ProtocolOptions) *o = m->http_protocol_options;

	h->allow_absolute_url = true;
	h->keeps_bad_requests = tr_bool(m->stream_error_on_invalid_http_message, false);
	if (!o)
		return 0;
	h->allow_absolute_url = tr_bool(o->allow_absolute_url, true);
	h->accept_http10 = o->accept_http_10;
	h->default_host_http10 = tr_str(t, o->default_host_for_http_10);
	h->enable_trailers = o->enable_trailers;
	h->allow_chunked_length = o->allow_chunked_length;
	h->keeps_bad_requests =
		tr_bool(o->override_stream_error_on_invalid_http_message, h->keeps_bad_requests);
	h->ignored_upgrades = TR_ARRAY(t, struct mesh_string, o->n_ignore_http_11_upgrade);
	h->n_ignored_upgrades = (uint32_t)o->n_ignore_http_11_upgrade;
	for (size_t i = 0; i < o->n_ignore_http_11_upgrade; i++)
		TR_IN_AT(t, "ignore_http_11_upgrade", i,
			 tr_string(t, o->ignore_http_11_upgrade[i], &h->ignored_upgrades[i]));
	return tr_key_format(t, o->header_key_format, &h->proper_case, &h->preserve_case);
}

/* What stands behind the last slash: a type without "type.googleapis.com/". */
static struct slice type_name(const char *url)
{
	const char *slash = strrchr(url, '/');

	return slice_str(slash ? slash + 1 : url);
}

/* A filter whose settings are a resource of their own (ECDS). 1: what is left is nothing. */
static int discovered(struct translate *t, const PB_HCM(HttpFilter) * m, struct mesh_filter *f)
{
	const PB_CORE(ExtensionConfigSource) *s = m->config_discovery;
	const ProtobufCMessage *router = NULL;
	size_t mark;
	int rc;

	if (!t->is_xds)
		return tr_files_refuse(t, &m->base, "config_discovery");
	mark = xds_path_push(&t->pj.path, "config_discovery");
	if (!tr_is_ads(s->config_source))
		return tr_unsupported(t, "config_source", "another source than ads");
	if (!s->n_type_urls)
		return tr_fail(t, "type_urls may not be empty");
	*f = (struct mesh_filter){ .name = tr_str(t, m->name), .disabled = m->disabled };
	if (s->default_config) {
		size_t inner = xds_path_push(&t->pj.path, "default_config");

		rc = tr_filter(t, m->name, s->default_config, false, m->disabled, f, &router);
		if (rc < 0)
			return rc;
		if (rc > 0)
			*f = (struct mesh_filter){ .name = tr_str(t, m->name), .kind = "nothing" };
		xds_path_pop(&t->pj.path, inner);
	}
	if (router)
		return tr_fail(t, "the router may not be a resource of its own");
	f->discovery = tr_str(t, m->name);
	for (size_t i = 0; t->part && i < s->n_type_urls; i++)
		mesh_part_type_add(t->part, f->discovery, type_name(s->type_urls[i]));
	tr_need(t, MESH_PART_FILTER, f->discovery, s->apply_default_config_without_warming);
	xds_path_pop(&t->pj.path, mark);
	return tr_nonempty(t, "name", m->name);
}

static int http_filter(struct translate *t, const PB_HCM(HttpFilter) * m,
		       struct mesh_http_manager *h, struct mesh_filter *f)
{
	const ProtobufCMessage *router = NULL;
	int rc;

	if (m->config_type_case == K_HCM(HTTP_FILTER__CONFIG_TYPE_CONFIG_DISCOVERY))
		return discovered(t, m, f);
	rc = tr_filter(t, m->name,
		       m->config_type_case == K_HCM(HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG) ?
			       m->typed_config :
			       NULL,
		       m->is_optional, m->disabled, f, &router);

	if (router && router->descriptor == D_EXT(filters__http__router__v3__router))
		h->suppress_envoy_headers =
			((const Envoy__Extensions__Filters__Http__Router__V3__Router *)router)
				->suppress_envoy_headers;
	return rc;
}

static int http_filters(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
			struct mesh_http_manager *h)
{
	h->filters = TR_ARRAY(t, struct mesh_filter, m->n_http_filters);
	for (size_t i = 0; i < m->n_http_filters; i++) {
		size_t mark = xds_path_push_at(&t->pj.path, "http_filters", i);
		int rc = http_filter(t, m->http_filters[i], h, &h->filters[h->n_filters]);

		if (rc < 0)
			return rc;
		if (rc == 0)
			h->n_filters++;
		xds_path_pop(&t->pj.path, mark);
	}
	return tr_filter_order(t, "http_filters", h->filters, h->n_filters);
}

static int upgrades(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		    struct mesh_http_manager *h)
{
	h->upgrades = TR_ARRAY(t, struct mesh_upgrade, m->n_upgrade_configs);
	h->n_upgrades = (uint32_t)m->n_upgrade_configs;
	for (size_t i = 0; i < m->n_upgrade_configs; i++)
		TR_IN_AT(t, "upgrade_configs", i,
			 tr_upgrade(t, m->upgrade_configs[i]->upgrade_type,
				    m->upgrade_configs[i]->enabled, &h->upgrades[i]));
	return tr_upgrades_unique(t, h->upgrades, h->n_upgrades);
}

static int rds(struct translate *t, const PB_HCM(Rds) * m, struct mesh_http_manager *h)
{
	if (!m->config_source)
		return tr_fail(t, "config_source is required");
	if (!tr_is_ads(m->config_source))
		return tr_unsupported(t, "config_source", "another source than ads");
	h->route_name = tr_str(t, m->route_config_name);
	tr_need(t, MESH_PART_ROUTES, h->route_name, false);
	return tr_nonempty(t, "route_config_name", m->route_config_name);
}

static int routes(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		  struct mesh_http_manager *h)
{
	switch (m->route_specifier_case) {
	case K_MANAGER(ROUTE_SPECIFIER_ROUTE_CONFIG):
		TR_IN(t, "route_config", tr_route_table(t, m->route_config, true, &h->routes));
		return 0;
	case K_MANAGER(ROUTE_SPECIFIER_RDS):
		if (t->is_xds)
			TR_IN(t, "rds", rds(t, m->rds, h));
		if (t->is_xds)
			return 0;
		xds_path_push(&t->pj.path, "rds");
		return tr_fail(t, "routes by name need a control plane (xDS), and none is "
				  "configured; use route_config");
	default:
		return tr_fail(t, "route_config is required; scoped_routes are not supported yet "
				  "by this version");
	}
}

#define EARLY Envoy__Extensions__Http__EarlyHeaderMutation__HeaderMutation__V3__HeaderMutation

static int early_mutation(struct translate *t, const PB_CORE(TypedExtensionConfig) * x,
			  struct mesh_header_steps *ret_s)
{
	ProtobufCMessage *m = NULL;
	int rc = tr_any_of(t, x->typed_config,
			   D_EXT(http__early_header_mutation__header_mutation__v3__header_mutation),
			   "an early mutation", &m);

	if (rc < 0)
		return rc;
	return tr_header_steps(t, "mutations", ((const EARLY *)m)->mutations,
			       ((const EARLY *)m)->n_mutations, ret_s);
}

/* Several lists become one. */
static int early_mutations(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
			   struct mesh_header_steps *ret_s)
{
	for (size_t i = 0; i < m->n_early_header_mutation_extensions; i++) {
		struct mesh_header_steps one = { 0 }, all;

		TR_IN_AT(t, "early_header_mutation_extensions", i,
			 early_mutation(t, m->early_header_mutation_extensions[i], &one));
		all.n = ret_s->n + one.n;
		all.v = TR_ARRAY(t, struct mesh_header_ops, all.n);
		for (uint32_t k = 0; k < all.n; k++)
			all.v[k] = k < ret_s->n ? ret_s->v[k] : one.v[k - ret_s->n];
		*ret_s = all;
	}
	return 0;
}

/* What has nothing to act on: there are no spans yet. */
static int extensions(struct translate *t, const PB_HCM(HttpConnectionManager) * m)
{
	const char *type;

	if (m->tracing)
		tr_no_effect(t, &m->tracing->base, "provider", m->tracing->provider != NULL);
	if (!m->request_id_extension || !m->request_id_extension->typed_config)
		return 0;
	type = protojson_any_type(&t->pj, &m->request_id_extension->typed_config->base);
	if (strcmp(type, REQUEST_ID) == 0)
		return 0;
	xds_path_push(&t->pj.path, "request_id_extension.typed_config");
	return tr_fail(t, "type \"%s\" is not supported yet by this version", type);
}

static int log_when(struct translate *t, const PB_HCM(HttpConnectionManager) * m,
		    struct mesh_log_when *w)
{
	const PB_HCM(HttpConnectionManager__HcmAccessLogOptions) *o = m->access_log_options;

	if (o && (m->access_log_flush_interval || m->flush_access_log_on_new_request))
		return tr_fail(t, "only access_log_options or the deprecated "
				  "access_log_flush_interval and flush_access_log_on_new_request "
				  "may be set");
	w->on_start = m->flush_access_log_on_new_request;
	if (!o)
		return tr_log_interval(t, m->access_log_flush_interval, &w->interval_ms);
	w->on_start = o->flush_access_log_on_new_request;
	w->on_connected = o->flush_log_on_tunnel_successfully_established;
	TR_IN(t, "access_log_options",
	      tr_log_interval(t, o->access_log_flush_interval, &w->interval_ms));
	return 0;
}

int tr_http_manager(struct translate *t, const ProtobufCMessage *msg,
		    const struct mesh_http_manager **ret_h)
{
	const PB_HCM(HttpConnectionManager) *m = (const PB_HCM(HttpConnectionManager) *)msg;
	struct mesh_http_manager *h = arena_new(t->a, struct mesh_http_manager);
	int rc = identity(t, m, h);

	if (rc == 0)
		rc = codec(t, m, h);
	if (rc == 0)
		rc = times(t, m, h);
	if (rc == 0)
		rc = limits(t, m, h);
	if (rc == 0)
		rc = addresses(t, m, h);
	if (rc == 0)
		rc = paths(t, m, h);
	if (rc == 0)
		rc = http1(t, m, h);
	if (rc == 0)
		rc = http_filters(t, m, h);
	if (rc == 0)
		rc = upgrades(t, m, h);
	if (rc == 0)
		rc = early_mutations(t, m, &h->early);
	if (rc == 0)
		rc = extensions(t, m);
	if (rc == 0)
		rc = tr_access_logs(t, "access_log", m->access_log, m->n_access_log, &h->logs,
				    &h->n_logs);
	if (rc == 0)
		rc = log_when(t, m, &h->log_when);
	if (rc == 0 && m->local_reply_config)
		TR_IN(t, "local_reply_config",
		      tr_local_reply(t, m->local_reply_config, &h->local_reply));
	if (rc == 0)
		rc = routes(t, m, h);
	*ret_h = h;
	return rc;
}
