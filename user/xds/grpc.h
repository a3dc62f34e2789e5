/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gRPC client: one channel (one HTTP/2 connection that is made again whenever it ends) with many
 * bidirectional streams of messages, on an event loop of the caller's thread. Plaintext (h2c) or
 * TLS. Messages are bytes; protobuf is not known here. No compression, no deadlines, no unary
 * convenience: what an xDS client needs.
 *
 * Nothing is called back from inside a call of this header, but grpc_* may be called from every
 * callback, also grpc_channel_free.
 */
#ifndef SKIFF_XDS_GRPC_H
#define SKIFF_XDS_GRPC_H

#include "base/err.h"
#include "base/slice.h"
#include "io/io.h"

#define GRPC_MESSAGE_MAX (64u << 20) /* bytes of one message, unless grpc_opts says otherwise */
#define GRPC_OUT_MAX (64u << 20)     /* bytes that one stream has not sent yet */
/*
 * Bytes of unfinished messages that a channel holds before it lets only the stream that began
 * first go on; the bound is this, one message_max and one GRPC_WINDOW a stream.
 */
#define GRPC_HELD_MAX (32u << 20)
#define GRPC_WINDOW (1u << 20) /* flow control window of a stream */
#define GRPC_TEXT_MAX 1024     /* bytes of a status text that are kept */
#define GRPC_TOKEN_MAX 65536   /* bytes of a bearer token's file */
#define GRPC_ADDRESSES_MAX 16  /* of grpc_opts, and of one name */

/* The public codes of gRPC. */
#define GRPC_STATUSES(X) \
	X(OK) X(CANCELLED) X(UNKNOWN) X(INVALID_ARGUMENT) X(DEADLINE_EXCEEDED) X(NOT_FOUND) \
	X(ALREADY_EXISTS) X(PERMISSION_DENIED) X(RESOURCE_EXHAUSTED) X(FAILED_PRECONDITION) \
	X(ABORTED) X(OUT_OF_RANGE) X(UNIMPLEMENTED) X(INTERNAL) X(UNAVAILABLE) X(DATA_LOSS) \
	X(UNAUTHENTICATED)

enum grpc_status {
#define X(id) GRPC_##id,
	GRPC_STATUSES(X)
#undef X
};

/* "UNAVAILABLE"; "?" for a number that gRPC does not know. */
const char *grpc_status_name(int status);

struct grpc_channel;
struct grpc_stream;

/* ---- channel ----------------------------------------------------------------------------- */

/* Everything is copied. 0 or NULL: the default, in parentheses. */
struct grpc_opts {
	/* "name:port", "10.0.0.1:15010", "[::1]:15010"; tried in order, a name's addresses too. */
	const char *const *addresses;
	size_t n_addresses;
	const char *authority;  /* :authority (the address in use, as written) */
	const char *user_agent; /* (skiff/VERSION) */

	/*
	 * Files are PEM, looked at before each connection and read again when they changed; what
	 * cannot be read then leaves the last good ones in force (there are none yet: down() with
	 * the reason). A skiffd without pods may not read files of other users once it runs.
	 */
	bool tls;
	const char *ca_file;   /* roots (the system's) */
	const char *cert_file; /* our certificate and chain; with key_file */
	const char *key_file;
	const char *server_name; /* a name or IP that the certificate must have (the address's) */
	const char *token_file; /* bearer token, read at each grpc_stream_open; only with tls */

	uint32_t mark;                   /* SO_MARK (none); needs CAP_NET_ADMIN */
	unsigned int connect_timeout_ms; /* name, TCP, TLS, HTTP/2; for each address (10 s) */
	unsigned int keepalive_ms; /* silence before a PING (30 s; doubled when the peer minds) */
	unsigned int keepalive_timeout_ms; /* from a PING to giving up when nothing comes (20 s) */
	unsigned int backoff_min_ms;       /* (500) */
	unsigned int backoff_max_ms;       /* (30 s) */
	size_t message_max;                /* bytes (GRPC_MESSAGE_MAX) */
};

struct grpc_channel_ops {
	/* The peer speaks HTTP/2: streams can be opened. */
	void (*up)(struct grpc_channel *ch);
	/*
	 * The connection ended, after closed() of all of its streams, or no address could be
	 * reached; the channel has logged it and tries again by itself. @reason lives until the
	 * return.
	 */
	void (*down)(struct grpc_channel *ch, const char *reason);
	/*
	 * The peer wants to end the connection in its own time (GOAWAY without an error): streams
	 * that are open go on for a while, no new ones can be opened. Whoever knows this makes
	 * another channel (grpc_channel_clone) and frees this one. NULL: it goes down at once.
	 */
	void (*leaving)(struct grpc_channel *ch);
};

/*
 * Begins to connect; up() or down() follows. Names are looked up in a thread of their own, so the
 * loop never waits. To be called after skiffd gave up its rights: the thread has those of the
 * moment. 0, or -EINVAL with @e (an address, a mixture of options).
 */
int grpc_channel_new(struct io *io, const struct grpc_opts *opts,
		     const struct grpc_channel_ops *ops, void *owner, struct grpc_channel **ret_ch,
		     struct err *e);
/* Another one with the settings and counters of @ch, which begins to connect after @delay_ms. */
struct grpc_channel *grpc_channel_clone(const struct grpc_channel *ch, uint32_t delay_ms,
					void *owner);
/* Ends everything without a callback; streams are gone too. NULL is allowed. */
void grpc_channel_free(struct grpc_channel *ch);
void *grpc_channel_owner(const struct grpc_channel *ch);

bool grpc_channel_is_up(const struct grpc_channel *ch);
/* Ends the connection, if there is one, and begins anew; closed() and down() come later. */
void grpc_channel_reconnect(struct grpc_channel *ch, const char *reason);

/* The peer is of use: when this connection ends, the wait is that of a first failure. */
void grpc_channel_prove(struct grpc_channel *ch);

struct grpc_channel_info {
	bool is_up;
	const char *address; /* in use or tried last, "" at first; lives as long as the channel */
	const char *error;   /* why the last connection or attempt ended, "" at first; likewise */
	uint64_t since;      /* monotonic ns of the last up or down */
	uint64_t connects;   /* connections that were up */
	uint64_t failures;   /* rounds over all addresses without success */
	uint64_t bytes_in, bytes_out; /* of HTTP/2 */
	uint64_t held;                /* bytes of unfinished messages */
	uint32_t streams;
};
void grpc_channel_info_get(const struct grpc_channel *ch, struct grpc_channel_info *ret_info);

/* ---- streams ----------------------------------------------------------------------------- */

struct grpc_stream_ops {
	/* One whole message, lent until the return. */
	void (*message)(struct grpc_stream *st, struct slice bytes);
	/*
	 * The stream ended, for whatever reason; @text says why (lent, may be empty). It is the
	 * last call, and @st is gone after it. What went wrong here or on the way has the code
	 * that gRPC gives it: UNAVAILABLE when the connection ended, RESOURCE_EXHAUSTED for a
	 * message over message_max.
	 */
	void (*closed)(struct grpc_stream *st, int status, struct slice text);
};

/*
 * Opens a stream of @method ("/package.Service/Method"). NULL with @e when the channel is not up
 * or the token cannot be read. The peer's limit of concurrent streams may make it wait, unseen.
 */
struct grpc_stream *grpc_stream_open(struct grpc_channel *ch, const char *method,
				     const struct grpc_stream_ops *ops, void *owner, struct err *e);
/* The same with another token than the channel's, if @token_file is not NULL. */
struct grpc_stream *grpc_stream_open_as(struct grpc_channel *ch, const char *method,
					const char *token_file, const struct grpc_stream_ops *ops,
					void *owner, struct err *e);
void *grpc_stream_owner(const struct grpc_stream *st);
struct grpc_channel *grpc_stream_channel(const struct grpc_stream *st);

/*
 * Sends a message (copied). 0; -ENOBUFS when over GRPC_OUT_MAX would wait; -EPIPE after
 * grpc_stream_close.
 */
int grpc_stream_send(struct grpc_stream *st, struct slice bytes);
/* Bytes that are still to be sent. */
size_t grpc_stream_pending(const struct grpc_stream *st);
/* No more messages from us (half-close), once what is pending is out; closed() follows the peer's.
 */
void grpc_stream_close(struct grpc_stream *st);
/* Cancels; @st is gone, nothing is called back. NULL is allowed. */
void grpc_stream_reset(struct grpc_stream *st);

#endif
