/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A protocol, sans I/O: bytes in, events out; messages in, bytes out. No sockets, no clock, no
 * malloc: the connection state is the caller's memory of conn_size bytes, messages live in the
 * caller's arena.
 *
 * HINT: to add a protocol, fill one struct codec in codec/<name>/ and add one line to
 * cmd/builtin.c. The Dubbo codec is the example of a multiplexed protocol, http1 of a serial one.
 */
#ifndef SKIFF_CODEC_CODEC_H
#define SKIFF_CODEC_CODEC_H

#include "base/buf.h"
#include "l7/l7.h"

enum codec_side {
	CODEC_SERVER, /* downstream: decodes requests, encodes responses */
	CODEC_CLIENT, /* upstream: encodes requests, decodes responses */
};

enum sniff { SNIFF_NO, SNIFF_YES, SNIFF_MORE };

/* Limits that a listener or cluster configures; 0 is never "no limit": use the defaults. */
struct codec_limits {
	uint32_t head_bytes;   /* all of the head; default CODEC_HEAD_BYTES */
	uint32_t props;	       /* number of properties; default CODEC_PROPS */
	uint32_t frame_bytes;  /* a whole message where the protocol frames it; default
				  CODEC_FRAME_BYTES */
	uint32_t depth;	       /* nesting of serialized values; default CODEC_DEPTH */
};

#define CODEC_HEAD_BYTES (60 * 1024)
#define CODEC_PROPS 100
#define CODEC_FRAME_BYTES (8u * 1024 * 1024 + 16)
#define CODEC_DEPTH 64

/* Options of a side that change the wire form; all zero is the default. */
struct codec_opts {
	bool accept_http10;	   /* server: HTTP/1.0 requests are allowed */
	bool proper_case;	   /* encode names as Proper-Case-Words */
	bool preserve_case; /* keep the case of names when decoding, write it when encoding */
	bool enable_trailers;	   /* keep trailers; else they are dropped */
	bool allow_chunked_length; /* server: both lengths given: chunked wins, else refused */
	bool allow_absolute_url;   /* server: absolute-form request targets */
	bool reject_underscores;   /* server: names with '_' refuse the request */
	bool drop_underscores;	   /* server: names with '_' are dropped */
	bool pass_refused; /* server: what is refused for its meaning comes as a head all the same:
			      a request without a host (its ptr is NULL) or with a fragment */
	struct slice default_host; /* server: host of HTTP/1.0 requests without one */
	/* server: is an upgrade to @type to be overlooked? NULL: none is */
	bool (*ignores_upgrade)(const void *arg, struct slice type);
	const void *ignores_arg;
};

/* Why decode gave up. */
struct codec_fault {
	enum l7_reply_code code; /* the answer that the protocol defines, through reject() */
	const struct l7_props
		*props; /* for reject(): further properties of the answer; may be NULL */
	const char
		*details; /* static text for logs and statistics, as Envoy names it where it does */
	uint32_t status;	 /* HTTP-like number of the answer, 0 = the default of code */
	const struct l7_msg *request; /* server: the head that was refused as a whole, for logs;
					 else NULL. Lent as long as the bytes that decode got */
	uint32_t props_bytes;	 /* of the properties that were read of it, see l7_msg */
	/* for reject(): changes the answer before it is written; may be NULL */
	void (*rewrite)(void *owner, struct l7_reply *r);
	void *rewrite_owner;
};

/*
 * Events of decode. @m and what it points to are lent until the return. A callback returns 0, or
 * 1 to stop decoding after the bytes used so far (the caller calls decode again later with the
 * rest), or a negative errno to give the connection up (decode returns it).
 */
struct codec_events {
	/* A message starts. @end: it has no body, end() does not follow. */
	int (*head)(void *owner, struct l7_msg *m, bool end);
	int (*body)(void *owner, uint64_t id, struct slice data);
	/* The message is whole. @trailers may be NULL. */
	int (*end)(void *owner, uint64_t id, struct l7_props *trailers);
	/* client side: an answer before the final one (100, 103); lent like head(). */
	int (*interim)(void *owner, struct l7_msg *m);
	/*
	 * A message that the codec answers or swallows itself (heartbeat, event). It has appended
	 * its answer to @reply, which the caller sends. @kind_text is static, for statistics.
	 */
	int (*control)(void *owner, const char *kind_text);
};

struct codec {
	const char *name;	/* "http1"; also the name in sniffing and statistics */
	size_t conn_size;
	bool multiplexed;	/* many messages at once on a connection, matched by id */
	bool has_request_first; /* the client speaks first */

	/* Looks at the first @n bytes of a connection. */
	enum sniff (*sniff)(const char *p, size_t n);

	/*
	 * @conn: conn_size bytes, zeroed here. @arena: where heads live; the caller resets it
	 * between messages of a serial codec, never inside decode. @reply: where control answers
	 * go. All pointers must outlive the state.
	 */
	void (*init)(void *conn, enum codec_side side, const struct codec_limits *limits,
		     const struct codec_opts *opts, const struct codec_events *ev, void *owner,
		     struct arena *arena, struct buf *reply);

	/*
	 * Reads up to @n bytes (the memory may be changed in place) and raises events. Returns the
	 * bytes used, possibly 0 (a whole frame is needed first: see need()); what was not used is
	 * given again, at the front, with more behind it. Negative: -EPROTO or -E2BIG with
	 * @ret_fault set, or what a callback returned.
	 */
	ssize_t (*decode)(void *conn, char *p, size_t n, struct codec_fault *ret_fault);
	/* Bytes that decode wants to see together before it can go on; 0 = any. A hint for
	 * buffering. */
	size_t (*need)(const void *conn);
	/*
	 * The peer half-closed. Ends a message that lasts until the end of the connection (raises
	 * end()), returns 0 when nothing was cut, -EPROTO with the fault when a message was.
	 */
	int (*eof)(void *conn, struct codec_fault *ret_fault);

	/* Append one message's parts to @out. @m->id tells which stream. */
	void (*encode_head)(void *conn, struct l7_msg *m, bool end, struct buf *out);
	void (*encode_body)(void *conn, uint64_t id, struct slice data, struct buf *out);
	void (*encode_end)(void *conn, uint64_t id, const struct l7_props *trailers,
			   struct buf *out);
	/* server: an interim answer (100 Continue), where the protocol has them; else NULL. */
	void (*encode_interim)(void *conn, struct l7_msg *m, struct buf *out);
	/*
	 * server: Skiff's own answer to the request @req (may be NULL for reject of garbage: then
	 * only what the protocol allows). Whole message.
	 */
	void (*encode_reply)(void *conn, const struct l7_msg *req, const struct l7_reply *r,
			     struct buf *out);
	/* server: the answer to a peer that broke the protocol (after a decode fault); may append
	 * nothing. The caller closes after sending. */
	void (*reject)(void *conn, const struct codec_fault *fault, struct buf *out);

	/* May the connection take another message after those in progress? (keep-alive) */
	bool (*is_reusable)(const void *conn);
	/* Tell the peer with the next response that we will close (connection: close; else no-op).
	 */
	void (*want_close)(void *conn);
	/* Is no message half read or half answered? */
	bool (*is_idle)(const void *conn);
	/*
	 * The stream became another protocol (is_upgrade agreed to): from now on decode passes all
	 * bytes as body() of the message in progress until eof(), encode_body writes them plain.
	 * NULL where the protocol has no such thing.
	 */
	void (*set_raw)(void *conn);
	/*
	 * Multiplexed: is a message half written, so that no other one may be begun on this
	 * connection before encode_end, nor the control answers be sent? NULL: messages may be
	 * mixed.
	 */
	bool (*is_writing)(const void *conn);
	/*
	 * Serial: bytes used so far of the message being read, or of the last one that was read; 0
	 * when the answer (client) has not begun. Also inside events. NULL: not known.
	 */
	uint64_t (*message_bytes)(const void *conn);
};

/* Tries every codec of the NULL-terminated table. SNIFF_YES sets @ret_codec. */
enum sniff codec_sniff(const struct codec *const *table, const char *p, size_t n,
		       const struct codec **ret_codec);
const struct codec *codec_find(const struct codec *const *table, const char *name);

#endif
