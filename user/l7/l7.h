/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generic message. Codecs turn bytes into it and back; routing, filters, limits,
 * authorization, statistics and plugins see only this. No protocol's name appears here.
 *
 * GLOSSARY  property: a header, or an attachment. key: the number of an interned property name.
 * host: the authority or the service's name. Slices are borrowed from the receive buffer until
 * the event callback returns; a step that must wait calls l7_msg_keep first.
 */
#ifndef SKIFF_L7_L7_H
#define SKIFF_L7_L7_H

#include <stdbool.h>

#include "base/arena.h"
#include "l7/key.h"

enum l7_kind { L7_REQUEST, L7_ONEWAY, L7_RESPONSE, L7_HEARTBEAT, L7_ERROR };

struct l7_prop {
	struct slice name; /* lower case where the protocol ignores case */
	struct slice value;
	uint64_t caps; /* bit i: byte i of the name is a capital on the wire, where that is kept */
	enum l7_key key; /* L7_KEY_NONE when the name is not interned */
	bool dead;	 /* removed; skipped by everyone */
};

/* An ordered list with duplicates. Lives in the message's arena. */
struct l7_props {
	struct l7_prop *v;
	uint32_t n, cap;
	struct arena *arena;
};

struct l7_msg {
	enum l7_kind kind;
	uint64_t id;	       /* stream id within its connection */
	struct slice scheme;   /* "http"; may be empty */
	struct slice host;     /* authority; service name */
	struct slice method;
	struct slice path;     /* with query; empty where the protocol has none */
	struct slice group;    /* of the service; empty when none */
	struct slice version;  /* of the service */
	uint32_t status;       /* of a response, in the protocol's numbers */
	struct slice reason;   /* the status as text, may be empty */
	struct slice protocol; /* for logs: name and version */
	struct l7_props props;
	int64_t body_len;      /* -1: not known beforehand */
	bool is_upgrade; /* asks for, or (response) agrees to, another protocol on this stream */
	bool wants_upgrade; /* request: asks for it, also where its body makes it an ordinary one */
	bool is_ok;	       /* response: a success in its protocol's terms */
	bool close;	       /* the sender will close after this message */
	bool expect_continue;  /* the body waits for our consent */
	uint32_t wire;	       /* a word of the codec's own (flags, serialization); copied along */
	uint32_t props_bytes;  /* of the properties on the wire, set when it is decoded and when
				  encoded */
	uint32_t frame_bytes;  /* multiplexed, decoded: on the wire, without what comes as body() */
	struct slice raw; /* the whole message where the codec forwards it as it is; else empty */
};

void l7_props_init(struct l7_props *p, struct arena *a);
/* Appends; the slices are not copied. */
struct l7_prop *l7_props_add(struct l7_props *p, enum l7_key key, struct slice name,
			     struct slice value);
/* First live property of that key / name (case as stored); NULL if none. */
struct l7_prop *l7_props_get(const struct l7_props *p, enum l7_key key);
struct l7_prop *l7_props_find(const struct l7_props *p, struct slice name);
/* The value of the first, or an empty slice. */
struct slice l7_props_value(const struct l7_props *p, enum l7_key key);
/* Removes all of that key / name; returns how many. */
unsigned int l7_props_remove(struct l7_props *p, enum l7_key key);
unsigned int l7_props_remove_name(struct l7_props *p, struct slice name);
/* Replaces the first and removes the others, or appends. Slices are not copied. */
void l7_props_set(struct l7_props *p, enum l7_key key, struct slice value);
void l7_props_set_name(struct l7_props *p, struct slice name, struct slice value);
/* All values of one name joined with "," into the arena (Envoy's matching of repeated headers). */
bool l7_props_joined(const struct l7_props *p, struct slice name, struct arena *a,
		     struct slice *ret_v);

#define l7_props_each(p, i) \
	for (uint32_t i = 0; i < (p)->n; i++) \
		if (!(p)->v[i].dead)

/* Clears @m (all empty, body_len -1) with its properties in @a. */
void l7_msg_init(struct l7_msg *m, enum l7_kind kind, struct arena *a);
/* Copies all borrowed slices of @m into @a and makes @a its arena: for steps that wait. */
void l7_msg_keep(struct l7_msg *m, struct arena *a);
/*
 * The value that matchers and formats see under @name: properties, and the pseudo names ":method",
 * ":path", ":authority", ":scheme", ":status". false: absent.
 */
bool l7_msg_value(const struct l7_msg *m, struct slice name, struct arena *a, struct slice *ret_v);

/* ---- answers that Skiff gives itself -------------------------------------------------------- */

/* Why; each codec maps it to its protocol (a status code, an error frame). */
#define L7_REPLIES(X) \
	X(BAD_REQUEST, 400) X(FORBIDDEN, 403) X(NO_ROUTE, 404) X(TIMEOUT_REQUEST, 408) X(TOO_LARGE, 413) \
	X(UPGRADE_REFUSED, 403) X(RATE_LIMITED, 429) X(HEADERS_TOO_LARGE, 431) X(INTERNAL, 500) \
	X(BAD_GATEWAY, 502) X(NO_UPSTREAM, 503) X(OVERLOAD, 503) X(UPSTREAM_RESET, 503) X(TIMEOUT, 504) \
	X(DIRECT, 200)

enum l7_reply_code {
#define X(id, status) L7_REPLY_##id,
	L7_REPLIES(X)
#undef X
};

struct l7_reply {
	enum l7_reply_code code;
	uint32_t status;	 /* HTTP-like number, 0 = the default of code */
	struct slice body;	 /* plain text */
	struct slice details;	 /* %RESPONSE_CODE_DETAILS% */
	struct l7_props props;	 /* further properties; may be zero */
	bool is_final;		 /* a filter's business: nothing is rewritten */
};

uint32_t l7_reply_status(const struct l7_reply *r);

#endif
