/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer, from the downstream connection through one or two managers to an
 * upstream connection and back. Protocol-neutral; what a connection manager of HTTP or of an RPC
 * protocol does beside lies in manager_http.c and manager_rpc.c behind struct manager.
 */
#ifndef SKIFF_PROXY_STREAM_H
#define SKIFF_PROXY_STREAM_H

#include "proxy/conn.h"
#include "route/route.h"

#define STREAM_HOPS_MAX 2
#define STREAM_FREE_MAX 1024 /* recycled streams kept by a worker */
#define STREAM_HELD_MAX (1024 * 1024) /* request body kept while the upstream is not there yet */

struct uconn;
struct stream;
struct hop;
struct retry; /* proxy/retry.h */
struct mirror; /* proxy/mirror.h */
struct moved; /* proxy/moved.c */

/* What one kind of connection manager does with messages. Every member is required. */
struct manager {
	/* The request entered @h: checks, routes, makes it fit to forward. false: it was answered.
	 */
	bool (*request)(struct stream *st, struct hop *h);
	/* The filters let it through: answer it here (direct response ...), or name the cluster in
	 * h->cluster_name. false: it was answered. */
	bool (*route)(struct stream *st, struct hop *h);
	/* The host is known; last changes before the message goes up. */
	void (*forward)(struct stream *st, struct hop *h, const struct upstream_host *host);
	/* An upstream's answer entered @h (before the filters). */
	void (*response)(struct stream *st, struct hop *h);
	/* Any answer leaves @h towards the client (after the filters). */
	void (*response_out)(struct stream *st, struct hop *h);
	/* Makes the answer @r out of nothing: sends it down. */
	void (*reply)(struct stream *st, struct hop *h, const struct l7_reply *r);
	/* The stream ends in @h. */
	void (*end)(struct stream *st, struct hop *h);
};

extern const struct manager manager_http, manager_rpc;

/* Does the manager leave 100 Continue to the upstream (proxy_100_continue)? */
bool http_passes_continue(const struct stream *st);

/* One pass through a manager. */
struct hop {
	struct stream *st;
	const struct manager *mgr;
	const struct pchain *chain;
	struct wview *view; /* referenced */
	struct epod *pod;   /* whose policy this is; referenced */
	struct pfilter *filters;
	uint32_t n_filters;
	struct filter_ctx *ctx; /* one a filter */
	uint32_t at;		/* next filter of the request's way */
	uint32_t entered; /* filters that saw the request: the answer passes them in reverse */
	struct slice cluster_name;
	struct upstream_cluster *cluster; /* referenced */
	struct upstream_host *host;	  /* referenced */
	const struct plogs *logs;
	struct l7_info info;
	uint64_t upstream_start_ns;
	bool counted_active; /* in the cluster's requests */
	bool counted_up;     /* in its statistics */
	struct retry *retry; /* NULL: one try is all */
	struct route_decision http;
	struct route_rpc_decision rpc;
	uint32_t timeout_ms; /* of the route; 0 = none */
	bool is_internal, is_edge;
	uint32_t redirects; /* that were followed to get here */
	bool is_moved;	    /* its answer was one: another hop answers */
	bool logs_at_times;
	struct io_timer log_timer; /* only then */
};

/* Bytes on the wire, for the logs: whole messages, and of them the properties of the heads. */
struct stream_bytes {
	uint64_t down_rx; /* multiplexed; a serial codec knows it */
	uint64_t down_tx, up_tx, up_rx;
	uint32_t down_head_rx, down_head_tx, up_head_rx, up_head_tx;
};

/* What a try that is over referred to: it goes when nobody can look at it any more. */
struct stream_old {
	struct upstream_cluster *cluster;
	struct wview *view;
	struct epod *pod, *netns;
};

struct stream {
	struct list node;	  /* conn->streams */
	struct list pending_node; /* pool->pending */
	struct conn *c;
	struct worker *w;
	struct arena *arena; /* own, or the connection's for a serial codec */
	struct arena own;
	uint64_t id;
	struct l7_msg req, resp;
	struct hop hops[STREAM_HOPS_MAX];
	uint32_t n_hops;
	struct uconn *up;
	uint64_t up_id;
	struct upstream_pool *pool; /* waits in its pending list */
	struct epod *netns; /* where its upstream connection is made; referenced by a hop or by: */
	struct epod *netns_ref;	    /* a pod of this node that is no hop; referenced */
	struct stream_old old;
	struct wview **before; /* by which it was routed before, and chains of its lie in; ref'd */
	uint32_t n_before;
	struct mirror *mirror;	/* not NULL: a copy of another request, without client */
	struct stream *mirrors; /* copies of this one, while it is not whole */
	struct buf body;	    /* request body held until it can go up, or for other tries */
	struct buf held;	    /* answer's body while another one is being written */
	struct list held_node;	    /* conn->held: whole, waits for its turn */
	struct l7_props *req_trailers;
	struct io_timer route_timer, idle_timer, filter_timer, request_timer, life_timer;
	struct slice request_id;
	struct moved *moved; /* proxy/moved.c */
	struct stream_bytes bytes;
	uint64_t last_ns;
	uint64_t kept;	     /* bytes of the request as it is, counted as held */
	uint64_t waiting;    /* of them in conn->waiting */
	bool req_end;	     /* the whole request was received */
	bool req_kept;	     /* req's slices are copies */
	bool head_up;	     /* the request's head went up */
	bool end_up;	     /* its end too */
	bool paused;	     /* a filter waits */
	bool had_interim;    /* an interim answer of the upstream went down */
	bool resp_started;   /* the answer's head went down */
	bool resp_end;	     /* all of it */
	bool local_reply;
	bool is_head;	     /* answers have no body */
	bool is_oneway;
	bool is_grpc;
	bool collects;	     /* the answer gathers in held */
	bool upgraded;	     /* bytes from here on */
	bool down_reading_stopped;
	bool ended;
	bool timed_out;
	bool has_retry;	 /* some hop has a struct retry */
	bool keeps_body; /* for other tries, although it went up */
};

/*
 * The hop at the end starts again with the request as it is now, its line in the log being written:
 * an upstream sent it elsewhere.
 */
void stream_hop_again(struct stream *st);

/* The log knows the cluster; NULL: none. */
static inline void hop_name_cluster(struct l7_info *in, const struct mesh_cluster *k)
{
	in->cluster = k ? k->name : SLICE_NONE;
	in->cluster_stat_name = k ? k->stat_name : SLICE_NONE;
	in->metadata[L7_META_CLUSTER] = k ? k->metadata : NULL;
}

/* Events of the downstream codec; owner is the conn. */
extern const struct codec_events stream_events;

/* ---- from the connection --------------------------------------------------------------------- */
void stream_reset(struct stream *st, uint32_t flags,
		  const char *details); /* the client went away */
/* The client takes bytes again. true: its upstream connection was stopped and goes on. */
bool stream_down_drained(struct stream *st);
/* Error answer at the newest hop. */
void stream_reply(struct stream *st, enum l7_reply_code code, uint32_t flags, const char *details,
		  const char *body);
void stream_reply_full(struct stream *st, struct hop *h, struct l7_reply *r, uint32_t flags);
/* The same as stream_reply, for what no further try would make better. */
void stream_refuse(struct stream *st, enum l7_reply_code code, uint32_t flags, const char *details,
		   const char *body);

/* @st waits for an upstream no more: its client may send others. */
void stream_waited(struct stream *st);
/* Forgets the held request body, and its share of the limits. */
void stream_drop(struct stream *st, struct buf *b);
/* Appends to it; false: over a limit, @st must be refused. */
bool stream_keep(struct stream *st, struct buf *b, struct slice data);

/* ---- from the managers ----------------------------------------------------------------------- */
/* Sends @st->resp down from hop @h on (filters in reverse), then @body whole when @end. */
void stream_answer(struct stream *st, struct hop *h, struct slice body, bool end);
struct hop *stream_hop(struct stream *st); /* the newest */
/* Writes the codec's own form of the answer @r, in its turn. */
void stream_write_reply(struct stream *st, const struct l7_reply *r);
void stream_touch(struct stream *st);

/* ---- from upstream connections --------------------------------------------------------------- */
void stream_up_ready(struct stream *st, struct uconn *u);	    /* a connection for it */
void stream_up_failed(struct stream *st, uint32_t flags, const char *reason, const char *failure);
int stream_up_head(struct stream *st, struct l7_msg *m, bool end);
int stream_up_body(struct stream *st, struct slice data);
int stream_up_end(struct stream *st, struct l7_props *trailers);
/* Before the head of the answer: a reset gives 503, after it the client is reset too. */
void stream_up_reset(struct stream *st, uint32_t flags, const char *details);
void stream_up_drained(struct stream *st);

/* Logs and counts the end of @h, and lets go of its host. */
void stream_hop_end(struct hop *h);
/* Gives back the host of @h, and what it counts there. */
void stream_hop_let_go(struct hop *h);
/* A cleared stream of @w. */
struct stream *stream_alloc(struct worker *w);

/* Counts the end of @st in @h by Istio's metrics, when a pod stands behind it. */
void stream_count_istio(struct stream *st, struct hop *h, const char *protocol, uint32_t status);

/* stream_log.c: the log knows the host of @h as it is now, also when it is gone. */
void hop_name_host(struct hop *h);
/* Lines in the access logs of @h. */
void hop_log(struct hop *h, enum l7_log_type type);
void hop_log_begin(struct hop *h); /* HTTP: as the configuration wants it before the end */
void hop_log_end(struct hop *h);

/* timeouts.c: the timers of struct stream. */
void stream_on_route_timer(struct io_timer *t);
void stream_on_idle_timer(struct io_timer *t);
void stream_on_request_timer(struct io_timer *t);
void stream_on_life_timer(struct io_timer *t);

/* Runs on: filters, router. Called at the start and when a filter or pool lets go on. */
void stream_run(struct stream *st);
void stream_end(struct stream *st);
void streams_recycle(struct worker *w); /* end of turn */
void streams_free(struct worker *w);

#endif
