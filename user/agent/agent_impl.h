/* SPDX-License-Identifier: Apache-2.0 */
/* Shared inside the agent room. */
#ifndef SKIFF_AGENT_IMPL_H
#define SKIFF_AGENT_IMPL_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "agent/agent.h"
#include "base/list.h"
#include "datapath/datapath.h"

#define AGENT_PODS_MAX 1024
#define AGENT_PORTS_MS 2000 /* between tries to open a port of a pod */

/* What becomes of a pod's connections. */
enum agent_phase {
	AGENT_SERVED,
	AGENT_HELD,   /* its first configuration is not there yet: they wait */
	AGENT_CLOSED, /* it did not come in time, and the pod fails closed: they are refused */
};

struct ads_node;
struct agent_rules;
struct agent_xds;
struct grpc_channel;

/* A managed pod. */
struct agent_pod {
	struct list node;
	struct skiffd_pod conf; /* strings live in arena */
	struct arena arena;
	int netns; /* -1 when not in service */
	struct datapath_pod_ref ref;
	bool in_engine, in_kernel;
	struct addr *addresses;
	uint32_t n_addresses;
	struct mesh_view *view;
	enum agent_phase phase;
	/* policy.c: the kernel has these (referenced), and what else there is of it is unchanged */
	struct agent_rules *rules;
	bool rules_changed;
	/* xds.c: NULL: configured by files */
	struct ads_node *xds;
	bool is_changing;     /* next_view is being published */
	enum agent_phase next_phase;
	bool is_due;          /* its node has published another set than view is made of */
	bool is_alone;        /* its view has state of its own: shared with no other pod */
	uint64_t joined_ms;   /* monotonic: since when it waits, while held */
	uint64_t check_at_ms; /* are the pods of a shared view still equal? 0: no need */
	char *refusal;        /* why the engine did not take the last set; NULL */
	char *xds_said;       /* who it is to the control plane */
	char *record; /* its file in the pod folder; NULL: none */
	uint64_t record_stamp;
	bool has_record; /* while the folder is read: the file is there */
	bool from_file; /* the configuration names it; skiffctl's pods stay at a reload */
	/* while reloading */
	struct mesh_view *next_view;
	struct agent_pod *was; /* kept: what it was configured as */
	bool named, leaving;
};

/* netns cookies for the engine's threads: a small table, written by the main thread only. */
struct cookie_entry {
	_Atomic uint32_t pod;
	_Atomic uint64_t cookie;
};

/* Something that another thread wants done on the main thread. */
struct agent_task {
	struct list node;
	void (*fn)(struct agent *a, void *arg);
	void *arg;
	bool running, done;
};

struct dns;
struct heart;

struct agent {
	struct skiffd_config *conf;
	struct agent_engine engine;
	struct datapath *dp;
	struct list pods;
	uint32_t n_pods;
	struct mesh_view *host;
	struct mesh_snapshot *snap;
	uint64_t version;
	uint64_t started_ns, published_ns; /* monotonic */
	struct cookie_entry cookies[AGENT_PODS_MAX];
	_Atomic int state; /* enum admin_state */
	_Atomic bool quit;
	struct dns *dns;
	struct heart *heart; /* NULL: it does not beat */
	struct l4 *l4; /* services that the kernel balances; NULL without capture */
	struct guards *guards; /* who the kernel refuses; NULL without capture */
	struct list rules;       /* policy.c: struct agent_rules */
	bool l4_changed;         /* endpoints of some service */
	uint64_t l4_check_at_ms; /* do the users of shared services still agree? 0: no need */
	struct agent_xds *xds; /* NULL: no control plane */
	/* tasks of other threads */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct list tasks;
	int wake; /* eventfd */
	int signals; /* signalfd */
	int watch; /* inotify */
	int folder;         /* watch of the pod folder; -1: none */
	bool folder_changed;
	uint64_t ports_at_ms; /* monotonic: are closed ports to be had by now? 0: none is closed */
	uint64_t reload_at; /* monotonic ms; a change of files settles first; 0 = none */
	uint64_t reloads, reloads_refused;
	uint64_t event_second; /* of event_lines */
	unsigned int event_lines;
	char last_error[ERR_TEXT_MAX];
};

/* ---- pods.c ---- */
/* Addresses of a namespace's interfaces without loopback and link-local ones; they lie in @arena.
 */
struct agent_addresses {
	int netns;
	struct arena *arena;
	struct addr *addrs;
	uint32_t n;
	bool has_ipv6; /* a loopback address of IPv6 is there */
	int err;
};

int agent_addresses_read(struct agent_addresses *l); /* 0 or -errno */
/* Is the pod's namespace the one that @netns names now? */
bool agent_pod_is_in(const struct agent_pod *p, const char *netns);
/* The addresses of an open pod: the configured ones, or those that its interfaces have now. */
int agent_pod_look(struct agent_pod *p, struct err *e);
/* Writes the kernel's entry of an open pod again after its configuration changed. */
int agent_pod_write(struct agent *a, struct agent_pod *p, struct err *e);
int agent_pod_open(struct agent *a, struct agent_pod *p,
		   struct err *e); /* namespace, kernel, engine */
/* The first half of closing: the kernel hands over no more connections of the pod. */
void agent_pod_unhook(struct agent *a, struct agent_pod *p);
/* Gives the workers the moment that they need to accept what was handed over before. */
void agent_settle(void);
void agent_pod_close(struct agent *a, struct agent_pod *p);
struct agent_pod *agent_pod_new(const struct skiffd_pod *conf);
void agent_pod_free(struct agent_pod *p);
struct agent_pod *agent_pod_find(struct agent *a, const char *ns, const char *name);
int agent_pod_add(struct agent *a, const struct skiffd_pod *conf, struct err *e);
/*
 * The same pod (name and network namespace) is configured as @conf (copied) from now on; its
 * listeners and connections stay. On failure it is as it was. In reload.c.
 */
int agent_pod_change(struct agent *a, struct agent_pod *p, const struct skiffd_pod *conf,
		     struct err *e);
int agent_pod_drop(struct agent *a, const char *ns, const char *name, struct err *e);
void agent_pods_json(struct agent *a, struct buf *out);

/* ---- agent.c ---- */
/* @ms (-1: for ever), or less when @at (ms; 0: never) is earlier. */
int agent_earlier(int ms, uint64_t at, uint64_t now);

/* ---- policy.c ---- */
/*
 * Writes the policies of the pods that changed, and the services that they need, into the kernel,
 * by difference: additions first.
 */
int agent_policy_apply(struct agent *a, struct err *e);
/* The pod's kernel side is to be written anew: it is another pod, or the kernel may have less. */
void agent_policy_touch(struct agent_pod *p);
/* The pod's share of the rules; before it is freed. */
void agent_policy_drop(struct agent_pod *p);
/*
 * The endpoints of cluster @name of @v are those of @part from now on (NULL: none): in the engine
 * at once, O(1) in the number of services; in the kernel, where it balances them, with the next
 * turn of agent_run, once for all that changed.
 */
void agent_endpoints(struct agent *a, struct mesh_view *v, struct slice name,
		     struct mesh_part *part);
/* What agent_endpoints left for the kernel. */
void agent_policy_catch_up(struct agent *a);

/* ---- l4.c: services that the kernel balances ---- */
struct l4 *l4_new(struct datapath *dp);
void l4_free(struct l4 *l); /* NULL is allowed */

struct l4_service;

/* Is it for the kernel at all, as far as the listener itself says? */
bool l4_is_candidate(const struct mesh_listener *l);
/* The service for the listener with the endpoints of now, with a reference; NULL: the engine. */
struct l4_service *l4_service_get(struct l4 *l, const struct mesh_view *v,
				  const struct mesh_listener *lis);
struct l4_service *l4_service_ref(struct l4_service *s);
void l4_service_unref(struct l4_service *s); /* NULL is allowed; it goes with the next l4_trim */
uint32_t l4_service_id(const struct l4_service *s);
bool l4_service_is_shared(const struct l4_service *s); /* has several users */
/* The names of the candidate's clusters, in @out of L4_TARGETS_MAX; 0: too many for the kernel. */
#define L4_TARGETS_MAX 16
uint32_t l4_clusters(const struct mesh_listener *lis, struct slice *out);
/*
 * The service takes the endpoints that @v has now. false: it can not (there are none, too many):
 * the rules must be made anew.
 */
bool l4_service_renew(struct l4_service *s, const struct mesh_view *v,
		      const struct mesh_listener *lis);
/* Would a service made now have other endpoints than @s? */
bool l4_service_differs(const struct l4_service *s, const struct mesh_view *v,
			const struct mesh_listener *lis);
/* Writes what is new or changed. */
int l4_write(struct l4 *l, uint32_t generation, struct err *e);
/* Takes those out of the kernel that nobody names any more. */
void l4_trim(struct l4 *l);

/* ---- authz.c: what the kernel can decide of the authorization of connections ---- */
/* A pod of this node, which is known by its address. */
struct authz_who {
	struct addr addr;
	struct slice principal;
	uint32_t order; /* of two with one address the first counts */
};

struct authz_ask {
	const struct mesh_listener *listener;
	const struct addr *local; /* the only destination, or NULL */
	uint16_t port;            /* the only one, or 0 */
	const struct authz_who *who; /* sorted by address, each one once */
	uint32_t n_who;
};

#define AUTHZ_ENTRIES_MAX (SKIFF_MAX_AUTHZ / 4)

/* Does a chain authorize connections? @ret_identity: also by who the client is. */
bool authz_is_asked(const struct mesh_listener *l, bool *ret_identity);
/*
 * Makes the list of who is refused in any case, to be freed; none, when the kernel can refuse
 * nobody. Never more permissive and never stricter than the engine together with it. 0, or -E2BIG:
 * too much for the kernel, the engine decides all.
 */
int authz_derive(const struct authz_ask *q, struct datapath_authz **ret_v, size_t *ret_n);

/* ---- guard.c: such lists in the kernel, one for all listeners that have the same ---- */
struct guards;
struct guard;

struct guards *guards_new(struct datapath *dp);
void guards_free(struct guards *g); /* NULL is allowed */
/* The pods that are known by address are those that the next snapshot serves. */
void guards_know(struct guards *g, const struct agent *a);
/* A number for what they know; another one when it changed. */
uint64_t guards_known(const struct guards *g);
/* The list for connections to @to (port 0: any; @bits 0: any address), referenced; NULL: none. */
struct guard *guard_get(struct guards *g, const struct mesh_listener *l, const struct addr *to,
			unsigned int bits);
void guard_unref(struct guard *g);         /* NULL is allowed; it goes with the next guards_trim */
uint32_t guard_id(const struct guard *g); /* of datapath_rule; 0 for NULL */
/* Writes what is new; then the rules may name it. */
int guards_write(struct guards *g, uint32_t generation, struct err *e);
/* Takes those out of the kernel that nobody names any more. */
void guards_trim(struct guards *g);

/* ---- xds.c: pods as nodes of a control plane ---- */
/* Of the identities of pods; NULL: the default. */
const char *agent_xds_trust_domain(const struct agent *a);
/* Connects, when the configuration has a control plane. */
int agent_xds_new(struct agent *a, struct err *e);
void agent_xds_free(struct agent *a);
/* Is a pod that is configured so a node of the control plane? */
bool agent_xds_wants(const struct agent *a, const struct skiffd_pod *conf);
/* Makes the pod a node, or makes it none, as its configuration says now. */
int agent_xds_sync(struct agent *a, struct agent_pod *p, struct err *e);
/* The pod changed: another node takes its place. */
void agent_xds_leave(struct agent *a, struct agent_pod *p);
int agent_xds_fd(const struct agent *a); /* for poll(2); -1: none */
/* @ms (-1: for ever), or less: so long may the next turn be waited for. */
int agent_xds_timeout(const struct agent *a, int ms, uint64_t now_ms);
/* What came, and what is due. */
void agent_xds_turn(struct agent *a, uint64_t now_ms);
/* Does some pod still wait for its first configuration? */
bool agent_xds_is_waiting(const struct agent *a);
/* Seconds since what was on disk at the start was written; 0: there was nothing. */
uint64_t agent_xds_disk_age(const struct agent *a);
/* The way to the control plane; NULL without one. */
const struct grpc_channel *agent_xds_channel(const struct agent *a);

/* ---- publish.c ---- */
/* Views of all pods and the host -> snapshot -> engine -> kernel. */
int agent_load_view(struct agent *a, char **paths, uint32_t n, struct mesh_view **ret_v,
		    struct err *e);
int agent_load_all(struct agent *a, struct mesh_view **ret_host, struct err *e);
/* Lets the views go that agent_load_all read. */
void agent_views_drop(struct agent *a, struct mesh_view *host);
int agent_publish(struct agent *a, struct err *e);

/* ---- dns.c ---- */
struct dns *dns_new(struct agent *a);
void dns_free(struct dns *d);
/*
 * Before @s is applied: its DNS clusters get the addresses that are known of them, else those of
 * the cluster of that name in @was (may be NULL), until their first answer, as Envoy's warming.
 */
void dns_seed(struct dns *d, struct mesh_snapshot *s, const struct mesh_snapshot *was);
/* The clusters to resolve from now on: those of the snapshot. */
void dns_set(struct dns *d, const struct mesh_snapshot *s);
/* Has every cluster been looked up once, with whatever result? */
bool dns_is_settled(struct dns *d);

/* ---- beat.c ---- */
/* Tells the kernel again and again that the engine lives, as long as it does. */
void heart_start(struct agent *a);
/* It beats no more, and the kernel knows; harmless without a heart. */
void heart_stop(struct agent *a);

/* ---- dump.c ---- */
/*
 * {"configs": [...]}: of @pod, or of all and of skiffd's own namespace (NULL); with @resource only
 * the entries of lists of that name. NULL: there is no such list.
 */
json_t *agent_dump(struct agent *a, const struct agent_pod *pod, bool with_endpoints,
		   const char *resource);

/* ---- status.c ---- */
/* docs/contract-admin.md, GET /xds. */
json_t *agent_status(struct agent *a);

/* ---- records.c ---- */
/* Brings what the pod folder says into service; troubles are logged. */
void agent_records_read(struct agent *a);
/* Keeps a pod that was added by hand; 0 also without a folder. */
int agent_record_write(struct agent *a, struct agent_pod *p, struct slice json, struct err *e);
/* A pod that was removed by hand does not come back. */
void agent_record_remove(const struct agent_pod *p);

/* ---- watch.c ---- */
int agent_watch_start(struct agent *a, struct err *e);
void agent_watch_event(struct agent *a);

#endif
