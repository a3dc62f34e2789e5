/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared inside ads*.c only.
 *
 * GLOSSARY  entry: one resource of one node by name. next: the latest good content that the control
 * plane sent; cur: the content in the published set. held: both count as users of what they need
 * (wants of the entries of named resources). fresh, idle: names to be subscribed, to be given up
 * with the next request. structure: all that is published but endpoints.
 */
#ifndef SKIFF_XDS_ADS_IMPL_H
#define SKIFF_XDS_ADS_IMPL_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "xds/ads.h"
#include "xds/protojson.h"

#define PB_DISCOVERY(x) Envoy__Service__Discovery__V3__##x
#define ADS_NACK_CODE 13        /* INTERNAL, as Envoy's */
#define ADS_TTL_MAX_S 1000000   /* longer ones are none */
#define ADS_STATUS_TEXT_MAX 512 /* bytes of a status text that are kept */

enum {
	ADS_SUBSCRIBED = 1, /* the control plane was asked for it on this stream */
	ADS_ANSWERED = 2,   /* its content came, was refused, or it does not exist */
	ADS_EXPIRED = 4,    /* not answered within the fetch time-out: nobody waits any more */
	ADS_SEEN = 8,       /* in the response that is being read */
	ADS_USED = 16,      /* a published route or listener names this cluster */
};

/* What an entry's deadline is for. */
enum ads_clock { ADS_CLOCK_NONE, ADS_CLOCK_FETCH, ADS_CLOCK_LINGER, ADS_CLOCK_TTL };

struct ads_entry {
	struct xds_name *name;
	struct xds_name *version; /* of next, as the control plane says; NULL: "" */
	struct xds_resource *next, *cur;
	uint32_t wants;    /* users of a named resource */
	uint32_t deadline; /* ms of the loop's clock; wraps */
	uint32_t updated;  /* wall clock, s: when next became what it is */
	uint8_t flags, clock;
};

/* Entries by interned name, dense. Pointers to entries are good until the next get or del. */
struct ads_table {
	struct ads_entry *v;
	uint32_t n, cap;
	uint32_t *slots; /* place + 1; 0: empty; at most half full */
	uint32_t mask;
};

struct ads_entry *ads_table_find(const struct ads_table *t, const struct xds_name *name);
/* The entry, made when there is none; it then takes a reference to @name. */
struct ads_entry *ads_table_get(struct ads_table *t, struct xds_name *name);
/* Takes the entry out; the last one takes its place. References of its members stay. */
void ads_table_del(struct ads_table *t, struct ads_entry *e);
void ads_table_done(struct ads_table *t);

struct ads_names {
	struct xds_name **v; /* with references */
	uint32_t n, cap;
};

void ads_names_add(struct ads_names *l, struct xds_name *name); /* takes a reference */
void ads_names_clear(struct xds_store *s, struct ads_names *l);

struct ads_rejected {
	struct xds_name *name;
	char *reason;
};

/* One type of a node. */
struct ads_sub {
	enum mesh_part_kind kind;
	bool asked;    /* the first request of this stream was sent */
	bool answered; /* a response was taken, on any stream */
	bool changed;  /* some next is not cur: settle looks at it */
	struct ads_table table;
	uint32_t warming; /* entries that settle left waiting */
	uint32_t removed; /* entries without next that settle left published */
	struct ads_names fresh, idle;
	char *version, *nonce, *error; /* NULL: "" */
	struct ads_rejected *rejected;
	uint32_t n_rejected;
	uint64_t responses, nacks, ignored;
	uint64_t last_push; /* wall ns */
	uint64_t pushed_at; /* mono ns of a response whose effect is to come; 0: none */
	uint64_t latency_ns;
};

struct ads_proto;

/* A route table with vhds: what RDS says of it. */
struct ads_vhds {
	struct xds_resource *base; /* referenced */
};

struct ads_node {
	struct list node, dirty;
	struct ads *ads;
	void *owner;
	struct arena arena; /* of self */
	Envoy__Config__Core__V3__Node *self;
	const char *token_file;
	void *stream;
	const struct ads_proto *proto; /* of the stream that is or was last open */
	bool self_sent, stream_answered, send_failed;
	bool structure_changed; /* something was activated or dropped since the last ready() */
	bool is_ready, is_complete, is_stale;
	unsigned int attempts;
	struct io_timer retry, clock;
	uint64_t streams;
	uint64_t unknown; /* responses for types that nobody asked for */
	int grpc_status;
	char *error;
	struct ads_vhds *vhds; /* ads_vhds.c */
	uint32_t n_vhds;
	struct ads_names hosts; /* names of virtual hosts that somebody waits for */
	struct ads_names moved; /* EDS names with other endpoints since the last turn */
	uint64_t fingerprint;   /* sum over the published set */
	struct ads_sub subs[MESH_PART_KINDS];
};

struct ads {
	struct io *io;
	struct ads_opts opts;
	struct ads_ops ops;
	void *owner;
	struct list nodes, dirty;
	struct io_timer settle;
	struct rng rng;
	bool is_up;
	bool sotw;                /* auto: the control plane does not know delta */
	struct mesh_part **parts; /* of ads_node_parts */
	uint32_t parts_cap;
};

/* What the two protocols differ in. */
struct ads_proto {
	const char *method;
	/* The first request of a type on a new stream. */
	void (*first)(struct ads_node *n, struct ads_sub *s);
	/* Tells names that are fresh or idle, after they were taken into the table's flags. */
	void (*names)(struct ads_node *n, struct ads_sub *s, const struct ads_names *fresh,
		      const struct ads_names *idle);
	/* ACK of the last response, or NACK with @reasons. */
	void (*ack)(struct ads_node *n, struct ads_sub *s, const char *reasons);
	/* A response. 0, or -EINVAL with @e: not one at all. */
	int (*message)(struct ads_node *n, struct slice bytes, struct err *e);
};

extern const struct ads_proto ads_proto_delta, ads_proto_sotw;

static inline bool ads_kind_is_wildcard(enum mesh_part_kind kind)
{
	return kind == MESH_PART_CLUSTER || kind == MESH_PART_LISTENER;
}

static inline struct xds_store *ads_store(const struct ads_node *n)
{
	return n->ads->opts.store;
}

static inline uint32_t ads_ms(const struct ads *a)
{
	return (uint32_t)(io_now(a->io) / NSEC_PER_MSEC);
}

/* ---- ads_entry.c: entries, what they hold, one resource of a response ------------------------ */

/* One resource of a response. */
struct ads_update {
	struct slice name; /* as the envelope says; empty: none */
	struct slice version;
	bool has_content;
	struct slice type, value; /* of the Any */
	uint64_t ttl_ms;          /* 0: none */
	struct slice *aliases;
	uint32_t n_aliases;
};

/* The subscription that a response is for; NULL (and counted): there is none. */
struct ads_sub *ads_sub_find(struct ads_node *n, struct slice type_url);

/* What is wrong with a response so far. */
struct ads_verdict {
	struct buf reasons;
	uint32_t n;
	bool is_whole;    /* nothing of it was taken */
	bool is_nameless; /* something was refused whose name is not known */
};

void ads_verdict_add(struct ads_verdict *v, struct slice name, const char *fmt, ...)
	printf_like(3, 4);
/* Takes the resource, or rejects it and says so in @v. */
void ads_update_apply(struct ads_node *n, struct ads_sub *s, const struct ads_update *u,
		      struct ads_verdict *v);
/* Makes @r its next content; takes over the reference. */
void ads_entry_set(struct ads_node *n, struct ads_sub *s, struct ads_entry *e,
		   struct xds_resource *r);
/* The control plane says that the resource is gone, or does not exist. */
void ads_entry_remove(struct ads_node *n, struct ads_sub *s, struct ads_entry *e);
/* The same by name, which may be that of one which was only rejected. */
void ads_name_remove(struct ads_node *n, struct ads_sub *s, struct slice name);
/* Nothing counts as rejected any more. */
void ads_rejected_clear(struct ads_node *n, struct ads_sub *s);
/* The version of its next content, as the control plane says. */
void ads_entry_version(struct ads_node *n, struct ads_entry *e, struct slice version);
/* The entry's published content becomes its next one (also none). */
void ads_entry_activate(struct ads_node *n, struct ads_sub *s, struct ads_entry *e);
/* Gives back all that it holds, and the entry. */
void ads_entry_drop(struct ads_node *n, struct ads_sub *s, struct ads_entry *e);
/* (Re)arms the entry's clock and the node's timer. */
void ads_entry_clock(struct ads_node *n, struct ads_entry *e, enum ads_clock what, uint64_t ms);
/* The node's timer went off. */
void ads_clock_fire(struct ads_node *n);
/* The last good content stays; nobody waits for a better one. */
void ads_update_reject(struct ads_node *n, struct ads_sub *s, struct slice name,
		       const char *reason, struct ads_verdict *v);
void ads_rejected_forget(struct ads_node *n, struct ads_sub *s, struct slice name);
/* Ends a response of @s: status, ACK or NACK, requests for new names, publishing to come. */
void ads_response_done(struct ads_node *n, struct ads_sub *s, struct slice version,
		       struct slice nonce, struct ads_verdict *v);
void ads_sub_done(struct ads_node *n, struct ads_sub *s);

/* ---- ads_wire.c: responses, in place --------------------------------------------------------- */

/* What a response says. */
struct ads_response {
	struct slice type, version, nonce;
	struct ads_update *v;
	uint32_t n;
	struct slice *gone; /* removed_resources */
	uint32_t n_gone;
};

/*
 * Reads a DeltaDiscoveryResponse, or a DiscoveryResponse, whose resources then have no name of
 * their own. All is borrowed from @s, but for the lists, which are in @a. 0; -EINVAL or -E2BIG
 * with @e.
 */
int ads_response_read(struct slice s, bool is_delta, struct arena *a, struct ads_response *ret_m,
		      struct err *e);
/* The same of one packed Resource. */
int ads_update_read(struct slice envelope, struct arena *a, struct ads_update *ret_u,
		    struct err *e);

/* ---- ads_vhds.c --------------------------------------------------------------------------------
 */

#define ADS_VHDS_FIRST_MS 1000 /* so long a table waits for hosts that come unasked */

/* Does the name of an entry stand for a whole table? */
bool ads_vhds_is_table(const struct ads_node *n, const struct xds_name *name);
/* Does the route table @r have vhds? */
bool ads_vhds_is(const struct xds_resource *r);
/* What RDS says of such a table; it becomes its entry's next one with its virtual hosts. 0, or
 * -EINVAL with @e: they do not go together. */
int ads_vhds_base(struct ads_node *n, struct xds_resource *base, struct err *e);
/* The table is gone, or has no vhds any more. */
void ads_vhds_forget(struct ads_node *n, const struct xds_name *table);
/* An entry that led to nothing is forgotten. */
void ads_vhds_expire(struct ads_node *n, struct ads_entry *e);
/* The time to live of a virtual host is over: as if it had been removed. */
void ads_vhds_time_out(struct ads_node *n, struct ads_entry *e);
void ads_vhds_response(struct ads_node *n, const struct ads_response *m, struct ads_verdict *v);
/* Tells of hosts that were asked for and are answered, after what they changed is published. */
void ads_vhds_tell(struct ads_node *n);
void ads_vhds_done(struct ads_node *n);

/* ---- ads_settle.c ------------------------------------------------------------------------------
 */

/* Activates what is complete, publishes. Calls ops. */
void ads_settle(struct ads_node *n);
/* Are these endpoints those of a removed cluster that is still in use, and of nobody else? */
bool ads_endpoints_wait(const struct ads_node *n, const struct ads_entry *e);

/* ---- ads.c --------------------------------------------------------------------------------------
 */

/* Lets the node be settled at the end of this turn. */
void ads_node_touch(struct ads_node *n);
/* Sends the subscriptions that are fresh or idle. */
void ads_node_flush(struct ads_node *n);
/* Packs and sends; a failure is remembered and ends the stream when the callback is over. */
void ads_node_send(struct ads_node *n, const ProtobufCMessage *m);
void ads_node_changed(struct ads_node *n); /* ops.state */

#endif
