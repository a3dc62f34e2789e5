/* SPDX-License-Identifier: Apache-2.0 */
/* Upstream connections of message protocols: pooled, serial or multiplexed. */
#ifndef SKIFF_PROXY_UCONN_H
#define SKIFF_PROXY_UCONN_H

#include "proxy/stream.h"

#define UCONN_STREAMS_MAX 4096 /* requests in flight on one multiplexed connection */

struct uconn_slot {
	struct stream *st;
	uint32_t gen;
	uint32_t next_free;
};

struct uconn {
	struct upstream_conn base; /* first */
	struct worker *w;
	struct io_stream *io;
	const struct codec *codec;
	void *cstate;
	struct arena arena;
	struct buf in, reply;
	struct upstream_cluster *cluster; /* referenced while connecting or busy: see uconn.c */
	struct stream *st;		  /* serial: the one request */
	struct stream *stopped_by;	  /* whose client is full; valid while reading_stopped */
	struct uconn_slot *slots;	  /* multiplexed */
	uint32_t n_slots, free_slot;
	struct io_timer timer;		  /* connect, then idle */
	uint64_t id;
	uint64_t start_ns, connected_ns;
	uint64_t rx, rx_at_give; /* bytes received: all, and when the present request came */
	struct list dead;
	bool closed, in_decode, reading_stopped, remote_closed, had_active, arena_dirty;
	bool in_give;	    /* a request is being written to it */
	bool rest_later;    /* serial: its answer is whole, but decode is still reading */
	bool is_over_limit; /* made although the cluster had no room: not counted there */
};

/* Gets a connection of @host that speaks @codec, made in st->netns, for @st: at once
 * (stream_up_ready) or later. */
void uconn_want(struct stream *st, struct upstream_host *host, const struct codec *codec);
/* @st leaves the queue of its pool. */
void uconn_unwant(struct stream *st);
/* @st is done with its connection. @whole: the answer was read completely and the request sent. */
void uconn_release(struct stream *st, bool whole);
struct buf *uconn_out(struct uconn *u);
/* Reads again, after a client was full. */
void uconn_read_start(struct uconn *u);
void uconn_flush(struct uconn *u);
void uconn_close_base(struct upstream_conn *c); /* upstream_cluster's close_conn */
void uconn_free_dead(struct worker *w);

/* slots.c */
#define UCONN_SLOT_NONE UINT32_MAX
uint64_t uconn_slot_take(struct uconn *u, struct stream *st); /* the request's id upstream */
struct stream *uconn_slot_find(const struct uconn *u, uint64_t id); /* NULL: over, or never was */
void uconn_slot_give(struct uconn *u, uint64_t id);

#endif
