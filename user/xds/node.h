/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pod as Istio's control plane knows it: the node id, cluster and metadata that its sidecar would
 * send, so that Sidecar scopes, selectors, EnvoyFilters and locality work unchanged.
 */
#ifndef SKIFF_XDS_NODE_H
#define SKIFF_XDS_NODE_H

#include "base/addr.h"
#include "xds/ads.h"

struct xds_pod_label {
	const char *key, *value;
};

/* NULL or 0: not known, or the default. */
struct xds_pod {
	const char *name, *namespace_; /* needed */
	const struct addr *addresses;  /* needed: the first one is in the id */
	uint32_t n_addresses;
	const char *service_account; /* "default" */
	const struct xds_pod_label *labels;
	uint32_t n_labels;
	const char *workload;      /* the owner's name: label app or the pod's name */
	const char *cluster_id;    /* "Kubernetes" */
	const char *mesh_id;       /* "cluster.local" */
	const char *domain;        /* "cluster.local" */
	const char *network;       /* none */
	const char *istio_version; /* XDS_ISTIO_VERSION */
	const char *interception;  /* "REDIRECT" */
	const char *node_name;     /* of the machine */
	const char *region, *zone, *sub_zone;
};

/* The version that control planes are told: they choose by it what a proxy understands. */
#define XDS_ISTIO_VERSION "1.31.0"

/* Owns the texts of info. */
struct xds_node {
	struct ads_node_info info;
	char *id, *cluster;
	json_t *metadata;
};

/* 0, or -EINVAL with @e when something needed is missing. Texts of @p need live only so long as
 * region, zone and sub_zone are used. */
int xds_node_make(const struct xds_pod *p, struct xds_node *ret_n, struct err *e);
void xds_node_done(struct xds_node *n);

#endif
