/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport sockets: what a connection needs is kept in the mesh; nothing here speaks TLS. Files
 * may not name any yet; from a control plane they are taken, and connections that need them fail
 * closed.
 */
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"
#include "xds/translate.h"

#define TLS(x) Envoy__Extensions__TransportSockets__Tls__V3__##x
#define K_TLS(x) ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__##x
#define K_VALIDATION(x) K_TLS(COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_##x)

/* ---- secrets --------------------------------------------------------------------------------- */

/* A secret's name. Only those that come over the same stream are asked for: Istio's are the
 * business of the node's own agent. */
static struct slice secret(struct translate *t, const TLS(SdsSecretConfig) * m)
{
	struct slice name = tr_str(t, m->name);

	if (tr_is_ads(m->sds_config))
		tr_need(t, MESH_PART_SECRET, name, true);
	return name;
}

static int peer_names(struct translate *t, const TLS(CertificateValidationContext) * m,
		      struct mesh_tls *out)
{
	if (!m)
		return 0;
	out->peer_names = TR_ARRAY(t, struct mesh_string, m->n_match_subject_alt_names);
	for (size_t i = 0; i < m->n_match_subject_alt_names; i++)
		TR_IN_AT(t, "match_subject_alt_names", i,
			 tr_string(t, m->match_subject_alt_names[i], &out->peer_names[i]));
	out->n_peer_names = (uint32_t)m->n_match_subject_alt_names;
	return 0;
}

static int validation(struct translate *t, const TLS(CommonTlsContext) * m, struct mesh_tls *out)
{
	const TLS(CommonTlsContext__CombinedCertificateValidationContext) * both;

	switch (m->validation_context_type_case) {
	case K_VALIDATION(VALIDATION_CONTEXT):
		TR_IN(t, "validation_context", peer_names(t, m->validation_context, out));
		return 0;
	case K_VALIDATION(VALIDATION_CONTEXT_SDS_SECRET_CONFIG):
		out->authorities = secret(t, m->validation_context_sds_secret_config);
		return 0;
	case K_VALIDATION(COMBINED_VALIDATION_CONTEXT):
		both = m->combined_validation_context;
		if (both->validation_context_sds_secret_config)
			out->authorities = secret(t, both->validation_context_sds_secret_config);
		TR_IN(t, "combined_validation_context.default_validation_context",
		      peer_names(t, both->default_validation_context, out));
		return 0;
	default: return 0;
	}
}

/* ---- contexts -------------------------------------------------------------------------------- */

static uint32_t tls_version(int v)
{
	static const uint32_t versions[] = { 0, 10, 11, 12, 13 };

	return v >= 0 && (size_t)v < ARRAY_LEN(versions) ? versions[v] : 0;
}

static int common(struct translate *t, const TLS(CommonTlsContext) * m, struct mesh_tls *out)
{
	if (!m)
		return 0;
	if (m->tls_params) {
		out->min_version = tls_version(m->tls_params->tls_minimum_protocol_version);
		out->max_version = tls_version(m->tls_params->tls_maximum_protocol_version);
		out->ciphers = tr_strs(t, m->tls_params->cipher_suites,
				       m->tls_params->n_cipher_suites, false);
		out->n_ciphers = (uint32_t)m->tls_params->n_cipher_suites;
	}
	out->alpn = tr_strs(t, m->alpn_protocols, m->n_alpn_protocols, false);
	out->n_alpn = (uint32_t)m->n_alpn_protocols;
	out->certificates = TR_ARRAY(t, struct slice, m->n_tls_certificate_sds_secret_configs);
	for (size_t i = 0; i < m->n_tls_certificate_sds_secret_configs; i++)
		out->certificates[out->n_certificates++] =
			secret(t, m->tls_certificate_sds_secret_configs[i]);
	return validation(t, m, out);
}

static int tls(struct translate *t, const ProtobufCMessage *m, bool is_downstream,
	       struct mesh_socket *s)
{
	const TLS(DownstreamTlsContext) *down = (const TLS(DownstreamTlsContext) *)m;
	const TLS(UpstreamTlsContext) *up = (const TLS(UpstreamTlsContext) *)m;
	struct mesh_tls *out = arena_new(t->a, struct mesh_tls);

	s->kind = MESH_SOCKET_TLS;
	s->tls = out;
	out->is_downstream = is_downstream;
	if (is_downstream)
		out->require_client_certificate = tr_bool(down->require_client_certificate, false);
	else
		out->server_name = tr_str(t, up->sni);
	TR_IN(t, "common_tls_context",
	      common(t, is_downstream ? down->common_tls_context : up->common_tls_context, out));
	return 0;
}

int tr_socket(struct translate *t, const PB_CORE(TransportSocket) * m, bool is_downstream,
	      struct mesh_socket *ret_s)
{
	const ProtobufCMessageDescriptor *wanted =
		is_downstream ? D_EXT(transport_sockets__tls__v3__downstream_tls_context) :
				D_EXT(transport_sockets__tls__v3__upstream_tls_context);
	size_t mark = t->pj.path.len;
	ProtobufCMessage *c = NULL;
	int rc;

	*ret_s = (struct mesh_socket){ .kind = MESH_SOCKET_OTHER };
	if (!m->typed_config)
		return tr_fail(t, "typed_config is required for transport socket \"%s\"", m->name);
	xds_path_push(&t->pj.path, "typed_config");
	rc = tr_any(t, m->typed_config, &c);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (rc == 0 && c->descriptor == wanted) {
		rc = tls(t, c, is_downstream, ret_s);
		if (rc < 0)
			return rc;
	} else if (rc == 0 &&
		   c->descriptor == D_EXT(transport_sockets__raw_buffer__v3__raw_buffer)) {
		ret_s->kind = MESH_SOCKET_RAW;
	} else {
		tr_warn(t, "",
			"transport socket \"%s\" of type \"%s\" is not known to this version: "
			"connections that need it fail",
			m->name, protojson_any_type(&t->pj, &m->typed_config->base));
	}
	xds_path_pop(&t->pj.path, mark);
	return 0;
}

/* ---- metadata -------------------------------------------------------------------------------- */

const Google__Protobuf__Struct *tr_metadata(const PB_CORE(Metadata) * m, const char *filter)
{
	for (size_t i = 0; m && i < m->n_filter_metadata; i++)
		if (strcmp(m->filter_metadata[i]->key, filter) == 0)
			return m->filter_metadata[i]->value;
	return NULL;
}

const Google__Protobuf__Value *tr_value(const Google__Protobuf__Struct *s, const char *key)
{
	for (size_t i = 0; s && i < s->n_fields; i++)
		if (strcmp(s->fields[i]->key, key) == 0)
			return s->fields[i]->value;
	return NULL;
}

struct slice tr_value_text(struct translate *t, const Google__Protobuf__Value *v)
{
	if (!v || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
		return SLICE_NONE;
	return tr_str(t, v->string_value);
}

/* Only texts can be compared with; another value never fits. */
int tr_pairs(struct translate *t, const Google__Protobuf__Struct *s, bool only_text,
	     struct mesh_pair **ret_v, uint32_t *ret_n)
{
	struct mesh_pair *v = TR_ARRAY(t, struct mesh_pair, s ? s->n_fields : 0);
	uint32_t n = 0;

	for (size_t i = 0; s && i < s->n_fields; i++) {
		const Google__Protobuf__Value *x = s->fields[i]->value;

		if (x && x->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
			v[n++] = (struct mesh_pair){ tr_str(t, s->fields[i]->key),
						     tr_str(t, x->string_value) };
		else if (only_text)
			return tr_fail(t, "match.%s: only a text is supported", s->fields[i]->key);
	}
	*ret_v = v;
	*ret_n = n;
	return 0;
}

static int socket_match(struct translate *t, const PB_CLUSTER(Cluster__TransportSocketMatch) * m,
			struct mesh_socket_match *out)
{
	int rc = tr_nonempty(t, "name", m->name);

	out->name = tr_str(t, m->name);
	if (rc == 0)
		rc = tr_pairs(t, m->match, true, &out->match, &out->n_match);
	if (rc == 0 && m->transport_socket)
		TR_IN(t, "transport_socket",
		      tr_socket(t, m->transport_socket, false, &out->socket));
	return rc;
}

/* Some endpoints, or all, cannot be reached: said once a cluster. */
static void sockets_warn(struct translate *t, const struct mesh_cluster *c)
{
	if (c->socket.kind == MESH_SOCKET_TLS)
		tr_warn(t, "transport_socket",
			"TLS to the upstream is not there yet: connections that need it fail");
	for (uint32_t i = 0; i < c->n_socket_matches; i++)
		if (c->socket_matches[i].socket.kind == MESH_SOCKET_TLS) {
			tr_warn(t, "transport_socket_matches",
				"TLS to the upstream is not there yet: connections to endpoints "
				"that need it fail");
			return;
		}
}

int tr_cluster_sockets(struct translate *t, const PB_CLUSTER(Cluster) * m, struct mesh_cluster *c)
{
	if (!t->is_xds && m->transport_socket)
		return tr_files_refuse(t, &m->base, "transport_socket");
	if (!t->is_xds && m->n_transport_socket_matches)
		return tr_files_refuse(t, &m->base, "transport_socket_matches");
	if (m->transport_socket)
		TR_IN(t, "transport_socket", tr_socket(t, m->transport_socket, false, &c->socket));
	c->socket_matches = TR_ARRAY(t, struct mesh_socket_match, m->n_transport_socket_matches);
	c->n_socket_matches = (uint32_t)m->n_transport_socket_matches;
	for (size_t i = 0; i < m->n_transport_socket_matches; i++)
		TR_IN_AT(t, "transport_socket_matches", i,
			 socket_match(t, m->transport_socket_matches[i], &c->socket_matches[i]));
	sockets_warn(t, c);
	return 0;
}
