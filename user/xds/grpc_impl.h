/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel, for its two files: what people ask of it (grpc.c) and the life of its connections
 * (grpc_channel.c). Not for others.
 */
#ifndef SKIFF_XDS_GRPC_IMPL_H
#define SKIFF_XDS_GRPC_IMPL_H

#include "base/rand.h"
#include "io/resolve.h"
#include "io/tls.h"
#include "xds/grpc_conn.h"

enum channel_state {
	WAITING,    /* for the next round */
	NEXT,       /* an address has failed: the next one, not deeper on the stack */
	LOOKING,    /* for a name's addresses */
	CONNECTING, /* TCP */
	SHAKING,    /* TLS */
	GREETING,   /* HTTP/2: waits for the peer's SETTINGS */
	UP,
};

struct target {
	char *text; /* as written */
	char *host; /* without port and brackets */
	uint16_t port;
};

struct grpc_channel {
	struct io *io;
	const struct grpc_channel_ops *ops;
	void *owner;

	/* Settings. */
	struct target targets[GRPC_ADDRESSES_MAX];
	unsigned int n_targets;
	char *authority, *user_agent, *server_name, *token_file;
	struct tls_opts tls_opts; /* its files are ours */
	struct tls_ctx *tls_ctx;  /* NULL until its files were good once */
	bool use_tls;
	struct io_socket_opts socket;
	uint32_t connect_ms, keepalive_ms, keepalive_timeout_ms, backoff_min_ms, backoff_max_ms;
	size_t message_max;

	/* The round and the connection. */
	enum channel_state state;
	unsigned int target; /* of targets */
	struct addr addrs[IO_LOOKUP_ADDRS];
	unsigned int addr, n_addrs;
	struct io_lookup *lookup;
	struct io_stream *stream;
	struct tls *tls;
	struct grpc_conn *conn;
	struct io_timer deadline, chores;
	unsigned int failed; /* rounds since the last good connection */
	uint64_t heard;      /* when bytes came last */
	uint64_t pinged;     /* when a PING was sent that nothing came after; 0: none */
	bool is_leaving, tell_leaving; /* GOAWAY: streams may end in their own time */
	bool kicked;         /* the connection ends as soon as it may; reason in why */
	struct err why;
	struct rng rng;

	/* For people. */
	struct err error;
	struct err logged;
	uint64_t logged_at;
	uint64_t since, connects, failures, bytes_in, bytes_out;

	unsigned int depth; /* our functions on the stack that go on after a callback */
	bool freed;
};

/* Timers of the channel. WAITING with a deadline begins a round. */
void channel_on_deadline(struct io_timer *t);
void channel_on_chores(struct io_timer *t);
/* Gives back what is left of a channel whose connection is dropped. */
void channel_delete(struct grpc_channel *ch);

#endif
