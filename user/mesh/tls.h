/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How connections are secured, as data (envoy.config.core.v3.TransportSocket). Nothing here speaks
 * TLS: a connection that needs a socket of another kind than MESH_SOCKET_RAW fails closed until
 * the engine can.
 */
#ifndef SKIFF_MESH_TLS_H
#define SKIFF_MESH_TLS_H

#include "mesh/match.h"

/* envoy.extensions.transport_sockets.tls.v3.{Upstream,Downstream}TlsContext */
struct mesh_tls {
	bool is_downstream;
	bool require_client_certificate; /* downstream */
	struct slice server_name;        /* upstream: SNI to send */
	struct slice *alpn;
	uint32_t n_alpn;
	/* 0: the library's own; 10, 11, 12, 13 */
	uint32_t min_version, max_version;
	struct slice *ciphers;
	uint32_t n_ciphers;
	/* Names of secrets (SDS): own certificates, the authorities that the peer's is checked by.
	 */
	struct slice *certificates;
	uint32_t n_certificates;
	struct slice authorities;
	struct mesh_string *peer_names; /* one of the peer's alternative names must match */
	uint32_t n_peer_names;
};

enum mesh_socket_kind {
	MESH_SOCKET_RAW,
	MESH_SOCKET_TLS,
	MESH_SOCKET_OTHER /* one that this version does not know */
};

struct mesh_socket {
	enum mesh_socket_kind kind;
	const struct mesh_tls *tls; /* MESH_SOCKET_TLS */
};

struct mesh_pair {
	struct slice key, value;
};

/* envoy.config.cluster.v3.Cluster.TransportSocketMatch */
struct mesh_socket_match {
	struct slice name;
	struct mesh_pair *match; /* all must be in the endpoint's metadata; none: always */
	uint32_t n_match;
	struct mesh_socket socket;
};

#endif
