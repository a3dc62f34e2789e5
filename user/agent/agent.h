/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's desire: configuration -> mesh snapshot -> engine and kernel. Runs on the main thread;
 * knows the engine only through struct agent_engine, so that either can live without the other.
 */
#ifndef SKIFF_AGENT_AGENT_H
#define SKIFF_AGENT_AGENT_H

#include "admin/admin.h"
#include "base/err.h"
#include "mesh/mesh.h"
#include "xds/skiffd_config.h"

struct agent;
struct datapath;

/* Listening descriptors that the engine opened in a pod; outbound6 -1 without IPv6. */
struct agent_pod_fds {
	int outbound4, outbound6, inbound;
};

/* See engine_port. */
struct agent_port {
	const char *listener;
	struct addr addr;
	const char *error; /* NULL: it is open */
};

/* What the agent asks of the engine; main thread. */
struct agent_engine {
	int (*apply)(void *arg, struct mesh_snapshot *s, struct err *e);
	/* @held: connections wait, unread, until pod_serve. */
	int (*pod_add)(void *arg, uint32_t pod, int netns, bool has_ipv6, bool held,
		       struct agent_pod_fds *ret, struct err *e);
	void (*pod_serve)(void *arg, uint32_t pod);
	void (*pod_remove)(void *arg, uint32_t pod);
	/* See engine_pod_ports, engine_ports_retry. */
	void (*pod_ports)(void *arg, uint32_t pod,
			  void (*fn)(void *to, const struct agent_port *p), void *to);
	unsigned int (*ports_retry)(void *arg);
	/* See engine_check. */
	int (*check)(void *arg, struct mesh_part *part, struct err *e);
	/* See engine_endpoints. */
	int (*endpoints)(void *arg, struct mesh_view *v, struct slice cluster,
			 struct mesh_part *part);
	/* See engine_host_answered. */
	void (*host_answered)(void *arg, uint32_t pod, struct slice table, struct slice host);
	/* Have all workers answered within @max_ms? Asked by a thread of its own. */
	bool (*is_alive)(void *arg, uint32_t max_ms);
	void (*drain)(void *arg, bool inbound_only);
	void *arg;
};

/*
 * Takes @conf (owned from here on). Opens the datapath when pods are configured or @with_pods asks
 * for it. Nothing is served yet.
 */
int agent_new(struct skiffd_config *conf, bool with_pods, struct agent **ret_a, struct err *e);
void agent_set_engine(struct agent *a, const struct agent_engine *engine);
void agent_free(struct agent *a);

/* Brings all that the configuration names into service; refused whole with the reason. */
int agent_start(struct agent *a, struct err *e);
/* Reads the files again; on any error everything stays as it is (logged, and in @e). */
int agent_reload(struct agent *a, struct err *e);
/* Serves until SIGTERM or SIGINT: files watched, heartbeat, kernel events, tasks. Returns the
 * signal. */
int agent_run(struct agent *a);
void agent_quit(struct agent *a); /* any thread */
/* The end begins: the kernel side stops sending connections here. Before the engine goes. */
void agent_stop(struct agent *a);

/* The original destination for the engine (engine_opts.original_dst). Any thread. */
int agent_original_dst(void *arg, uint32_t pod, const struct addr *peer, struct addr *ret_dst);

/* Asks the control plane for a virtual host (engine_opts.want_host). Any thread. */
void agent_want_host(void *arg, uint32_t pod, struct slice table, struct slice host);

/* Runs @fn on the main thread and waits for it. Not from the main thread. */
void agent_call(struct agent *a, void (*fn)(struct agent *a, void *arg), void *arg);

/* Adds /pods, /reload, /bpf, /config_dump, /drain_listeners to @admin. */
void agent_admin_routes(struct agent *a, struct admin *admin);
enum admin_state agent_state(void *a);
const struct mesh_snapshot *agent_snapshot(const struct agent *a);
/*
 * What is in force for the pod "NAMESPACE/NAME" or "NAME" (the first of that name), until the next
 * change; NULL: there is no such pod, or it has no configuration yet. Main thread.
 */
const struct mesh_view *agent_pod_view(struct agent *a, const char *pod);

#endif
