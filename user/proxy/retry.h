/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further tries of a request that failed: how many, when, where to, with a copy of the body. What
 * counts as a failure is said by the manager of the protocol (retry_http.c for HTTP).
 *
 * GLOSSARY  try: the request on its way to one host; the first one is a try too. Each hop has its
 * own policy: a try of the first hop is a pass through the second one.
 */
#ifndef SKIFF_PROXY_RETRY_H
#define SKIFF_PROXY_RETRY_H

#include "proxy/stream.h"

#define RETRY_HOSTS_MAX 64 /* hosts that one request remembers not to go to again */

/* What a manager asks of the tries of one request. */
struct retry_policy {
	uint32_t on;  /* MESH_RETRY_*; 0: only the times count */
	uint32_t num; /* tries behind the first one */
	uint32_t per_try_ms, per_try_idle_ms; /* 0: none */
	uint32_t base_ms, max_ms;	      /* back-off */
	uint64_t body_max;		      /* a longer request is not repeated */
	bool other_hosts;
	uint32_t host_attempts;
	/*
	 * The upstream's answer lies in st->resp: is it a failure? @ret_ms is set when the answer
	 * says how long to wait.
	 */
	bool (*wants)(struct stream *st, struct hop *h, uint32_t *ret_ms);
	/*
	 * The answer sends the request elsewhere: it starts again from the hop's entry, and st->req
	 * is what it is there. NULL: no answer does.
	 */
	bool (*moves)(struct stream *st, struct hop *h);
	const void *arg; /* the manager's own */
	/* Makes st->req fit to go up once more, to h->host. */
	void (*again)(struct stream *st, struct hop *h);
};

struct retry {
	struct hop *h;
	struct retry_policy p;
	uint32_t left;	  /* tries that may follow */
	uint32_t done;	  /* that were begun behind the first one */
	uint32_t next_ms; /* upper end of the next back-off */
	uint64_t begun_ns; /* the try under way */
	struct addr *tried;
	uint32_t n_tried;
	bool is_counted; /* in the cluster's retries: until its outcome is known */
	bool is_waiting; /* between two tries */
	bool is_asked;	 /* the answer said how long */
	bool is_begun;	 /* a try is on its way */
	bool was_sent;	 /* some try had a connection */
	bool is_moving;	 /* waits to start again from the hop's entry */
	struct io_timer wait, try_timer, idle_timer;
	struct l7_msg req; /* as it left this hop, when a second one follows */
	bool has_req;
};

/* The request of @h may be repeated. Allocates in the stream's arena. */
void retry_begin(struct stream *st, struct hop *h, const struct retry_policy *p);
/* A try of @h went on: its connection is there, or the second hop is entered. */
void retry_started(struct hop *h);
/* The same, into the second hop: keeps st->req for other tries, as it is now. */
void retry_through(struct hop *h);
/* Gives back what the last try referred to. */
void retry_release(struct stream *st);
/* The request is whole: the times of the tries under way count from here. */
void retry_request_end(struct stream *st);
/* The next host of @h, not one that was tried where the policy says so; NULL: none. */
struct upstream_host *retry_pick(struct hop *h);

/*
 * The answer st->resp reached @h, from an upstream or from the second hop itself; @end: it is
 * whole. true: another try follows.
 */
bool retry_after_answer(struct stream *st, struct hop *h, bool end, bool from_upstream);
/* The newest hop got no answer, for the reason in @flags. true: another try follows. */
bool retry_after_reset(struct stream *st, uint32_t flags);
/* The answer goes down: what was kept for other tries is not needed any more. */
void retry_accepted(struct stream *st);

/*
 * @n further bytes of the request: gives up on tries that would need more than is allowed. false:
 * there was nothing but a try to come, and the request was answered.
 */
bool retry_body(struct stream *st, size_t n);
/* Keeps a copy of what goes up; without room for it there will be no further try. */
void retry_copy_body(struct stream *st, struct slice data);
/* No further try of @from and the hops behind it, whatever happens. */
void retry_stop(struct stream *st, uint32_t from);
/* @h ends: its timers and what it counted in. */
void retry_end(struct hop *h);

/* Is @h between two tries? */
static inline bool retry_is_waiting(const struct hop *h)
{
	return h->retry && h->retry->is_waiting;
}

/* Is the present try another one than the first? */
static inline bool retry_is_again(const struct hop *h)
{
	return h->retry && h->retry->done;
}

#endif
