/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skiffd's own configuration file (docs/configuration.md) as a plain struct: read whole or refused
 * whole, with file, field and fix in the reason. Defaults are filled in.
 * (This header is the agent's contract: fields may be added, not renamed.)
 */
#ifndef SKIFF_XDS_SKIFFD_CONFIG_H
#define SKIFF_XDS_SKIFFD_CONFIG_H

#include "base/arena.h"
#include "base/err.h"
#include "mesh/listener.h"
#include "mesh/mesh.h"
#include "xds/report.h"

enum skiffd_verdict { SKIFFD_BYPASS, SKIFFD_DENY, SKIFFD_L7 };

/* pods[].policy[]: beside what the pod's listeners ask for. */
struct skiffd_policy {
	enum mesh_direction direction; /* outbound unless said */
	struct addr net;               /* destination; its port: 0 = any */
	unsigned int bits;             /* of 128 */
	enum skiffd_verdict verdict;
};

#define SKIFFD_PODS_MAX 1024 /* of one file */
#define SKIFFD_BUSY_POLL_US 200
#define SKIFFD_BUSY_POLL_MAX 1000
#define SKIFFD_LIST_MAX 10000 /* entries of any other list in the file */

struct skiffd_label {
	char *key, *value;
};

struct skiffd_pod {
	char *name, *namespace_, *service_account;
	char *netns; /* path, or a name below /run/netns made a path */
	char **resources;
	uint32_t n_resources;
	bool has_accelerate;
	enum mesh_accelerate accelerate;
	bool fail_open;         /* default true */
	struct addr *addresses; /* empty: those of the namespace's interfaces */
	uint32_t n_addresses;
	struct skiffd_policy *policy;
	uint32_t n_policy;
	struct skiffd_label *labels;
	uint32_t n_labels;
	char *token_file; /* for its stream to the control plane; NULL: that of xds */
	bool xds; /* without resources, a node of the control plane (if there is one); default */
};

#define SKIFFD_FETCH_MS 15000
#define SKIFFD_HOLD_MS 15000

enum skiffd_xds_mode { SKIFFD_XDS_AUTO, SKIFFD_XDS_DELTA, SKIFFD_XDS_SOTW };

/* xds: the control plane of pods without resources of their own. NULL: the default of node.h. */
struct skiffd_xds {
	char **servers; /* "host:port", tried in order */
	uint32_t n_servers;
	enum skiffd_xds_mode mode;
	bool tls;
	char *ca_file, *cert_file, *key_file, *server_name, *token_file;
	char *cluster_id, *domain, *trust_domain, *istio_version, *network;
	char *locality;            /* "region/zone/subzone" */
	char *metadata;            /* a JSON object: more of each node's */
	uint32_t fetch_timeout_ms; /* nobody waits longer for a named resource */
	uint32_t hold_timeout_ms;  /* so long a new pod's connections wait for its configuration */
};

struct skiffd_config {
	struct arena arena;
	char *path;
	uint32_t workers;
	bool has_admin;
	struct addr admin;     /* default 127.0.0.1:15000 */
	char *control;         /* control socket, default /run/skiff/skiffd.sock; "" = none */
	char *io;              /* "auto", "uring", "epoll" */
	uint32_t busy_poll_us; /* default SKIFFD_BUSY_POLL_US; 0: never */
	char *log_level;       /* NULL: info */
	enum mesh_accelerate accelerate;
	char **resources; /* of skiffd's own namespace; absolute, or made so */
	uint32_t n_resources;
	struct skiffd_pod *pods;
	uint32_t n_pods;
	/* limits; 0 = default */
	uint32_t max_connections, max_connections_per_pod;
	uint64_t max_buffer_bytes, max_buffer_bytes_per_pod;
	/* capture */
	char *cgroup, *pin_dir; /* NULL: default */
	uint32_t credit_bytes, heartbeat_seconds;
	struct addr *node_addresses;
	uint32_t n_node_addresses;
	char *state_dir;
	char *pod_folder;       /* a file for each pod, watched; NULL: none */
	struct skiffd_xds *xds; /* NULL: no control plane */
};

/* A file with static_resources is taken as a configuration that consists of it. */
int skiffd_config_read(const char *path, struct skiffd_config **ret_c, struct xds_report *report,
		       struct err *e);
/* One pod as JSON, as in pods[] (control socket). @base: folder for relative paths. */
int skiffd_pod_read(struct slice json, const char *base, struct arena *a, struct skiffd_pod *ret_p,
		    struct err *e);
/* The same from a file of its own, JSON or YAML; paths are relative to it. */
int skiffd_pod_file_read(const char *path, struct arena *a, struct skiffd_pod *ret_p,
			 struct err *e);
/* A copy that lives in @a. */
struct skiffd_xds *skiffd_xds_copy(struct arena *a, const struct skiffd_xds *x);
/* Do both (either may be NULL) say the same? */
bool skiffd_xds_is_same(const struct skiffd_xds *a, const struct skiffd_xds *b);
void skiffd_config_free(struct skiffd_config *c);

#endif
