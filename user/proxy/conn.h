/* SPDX-License-Identifier: Apache-2.0 */
/* A downstream connection: accepted, matched to a listener and chain, then served by one kind. */
#ifndef SKIFF_PROXY_CONN_H
#define SKIFF_PROXY_CONN_H

#include "proxy/proxy_impl.h"

#define CONN_HELD_MAX 65536 /* bytes of pipelined requests kept while one is answered */
#define CONN_FRAME_MS 10000 /* a frame that was begun gets no byte more for so long */
#define CONN_STALL_MS \
	10000 /* a client of a multiplexed protocol that takes nothing holds others up so long */

/* How a connection is served: TCP relay, or messages. */
struct conn_ops {
	int (*start)(struct conn *c); /* after the chain is known; negative: close */
	void (*data)(struct conn *c, char *p, size_t n);
	void (*eof)(struct conn *c);
	void (*failed)(struct conn *c, int err);
	void (*drained)(struct conn *c);
	void (*timer)(struct conn *c);	/* conn->timer fired */
	void (*resume)(struct conn *c); /* look at held input again (end of turn) */
	void (*life)(struct conn *c);	/* conn->life fired: the longest that it may live is over */
	void (*done)(struct conn *c);	/* the connection closes: let go of everything */
};

extern const struct conn_ops conn_tcp_ops, conn_msg_ops;

struct conn {
	struct list node;
	struct list ready;
	struct worker *w;
	struct io_stream *io;
	struct wview *view;
	struct epod *pod;
	const struct plistener *pl;  /* NULL: passed through */
	const struct pchain *chain;  /* NULL: passed through */
	const struct conn_ops *ops;  /* NULL while sniffing */
	struct wlisten *from; /* only while it is accepted */
	bool is_direct; /* it came to the listener's own port: there is no other destination */
	enum mesh_direction direction;
	uint64_t id;
	uint64_t start_ns, start_wall_ns, last_ns;
	struct addr local, remote; /* original destination, client */
	struct slice server_name;  /* SNI; empty: none was said */
	struct slice refusal;	   /* why it was closed by a rule; in slot_arena */
	struct slice principal;	   /* who the client is, where the chain asks; in slot_arena */
	struct buf in;		   /* input that waits */
	struct io_timer timer, life;
	uint64_t rx, tx;
	uint32_t served;
	bool sniffing;	  /* counted as such */
	bool closed;	  /* io is gone; freed at the end of the turn */
	bool close_after; /* close when the current streams are done */
	bool draining;
	bool remote_closed;
	bool is_stale;	  /* there is a newer configuration */
	/* conn_msg */
	const struct codec *codec;
	void *cstate;
	struct arena arena; /* heads of a serial codec; scratch of a multiplexed one */
	struct buf reply, after; /* the codec's own answers; what must wait for the writer */
	struct list streams;
	struct stream *writer; /* multiplexed: whose answer is half written */
	struct list held;      /* streams with a whole answer that waits for the writer */
	uint32_t n_streams;
	uint64_t in_counted; /* bytes of in that are counted as held */
	uint64_t waiting;    /* multiplexed: bytes of requests that wait for an upstream */
	bool in_decode, read_stopped, arena_dirty, eof, head_started, stalled, in_frame;
	void **filter_slots; /* per connection state of filters, by filter index */
	struct arena slot_arena;
	/* conn_tcp */
	struct tcp *tcp;
};

extern const struct io_listener_ops conn_listener_ops; /* owner: struct wlisten */

/* Closes now (@reset: with a reset) or after sending what is pending. Freed at the end of the turn.
 */
void conn_close(struct conn *c, bool reset);
void conn_close_flush(struct conn *c, uint32_t linger_ms);
void conn_free_dead(struct worker *w);
/* @w has a new configuration: its connections take it up when they can. */
void conn_all_stale(struct worker *w);
/* Counts @n bytes kept for @c in its pod's and the engine's limits. false: over one of them, but
 * counted. */
bool conn_hold(struct conn *c, uint64_t n);
void conn_unhold(struct conn *c, uint64_t n);
/* Asks for ops->resume at the end of the turn. */
void conn_make_ready(struct conn *c);
/* The address of its client, as the server at @towards would see it. */
struct addr conn_client(const struct conn *c, const struct addr *towards);
/* Who its client is ("spiffe://..."), in its slot_arena; empty when that is not known. */
struct slice conn_principal(struct conn *c);
/* Fills what a log line of @c can say. */
void conn_info(const struct conn *c, struct l7_info *in);

#endif
