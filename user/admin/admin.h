/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin server: a TCP port for people, Prometheus and istioctl (Envoy's paths), and a control
 * socket for skiffctl. Both answer from one table of routes, on one thread of their own: never on
 * a worker's. It holds no mesh state: whoever has some adds routes. HTTP is libmicrohttpd's.
 */
#ifndef SKIFF_ADMIN_ADMIN_H
#define SKIFF_ADMIN_ADMIN_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "skiff/admin.h"

#define ADMIN_BODY_MAX (4u << 20)    /* bytes of a request's body; more is 413 */
#define ADMIN_HEAD_MAX 32768	     /* bytes of a request's head, and of a connection's memory */
#define ADMIN_CONNECTIONS_MAX 64     /* on each of the two sockets */
#define ADMIN_IDLE_SECONDS 30	     /* without a byte: closed */
#define ADMIN_ROUTES_MAX 64	     /* more is our own mistake */

struct admin;

struct admin_request {
	const char *method; /* "GET" also for HEAD */
	const char *path;   /* without the query */
	struct slice body;
	bool control;	    /* came over the control socket */
	const void *conn;   /* private */
};

/* The query's parameter @name, percent-decoded: NULL when it is not there, "" without a value. */
const char *admin_query(const struct admin_request *req, const char *name);

/* Is there a query with any parameter? */
bool admin_has_query(const struct admin_request *req);

struct admin_reply {
	struct buf body;
	const char *type; /* literal; NULL is "text/plain; charset=UTF-8" */
};

#define ADMIN_JSON "application/json"

/*
 * Answers @req: appends to @reply->body and returns the HTTP status. Runs on the admin thread, one
 * request at a time; may wait for a worker, but everyone else's requests wait with it.
 */
typedef unsigned int (*admin_handler)(void *ctx, const struct admin_request *req,
				      struct admin_reply *reply);

struct admin_route {
	const char *method; /* "GET", "POST", "DELETE" */
	const char *path;   /* exact; a path may appear once for each method */
	bool control_only;  /* over TCP: 403 */
	admin_handler handler;
	const char *help; /* one line, for /help */
};

/* An answer that is one line of text: writes it and returns @status. */
unsigned int admin_text(struct admin_reply *reply, unsigned int status, const char *fmt, ...)
	printf_like(3, 4);
/* A refusal in the contract's form, {"error": "..."}; returns @status. */
unsigned int admin_error(struct admin_reply *reply, unsigned int status, const char *fmt, ...)
	printf_like(3, 4);

/* What /ready and /server_info say. The order is Envoy's. */
#define ADMIN_STATES(X) \
	X(LIVE, "LIVE") \
	X(DRAINING, "DRAINING") \
	X(PRE_INITIALIZING, "PRE_INITIALIZING") \
	X(INITIALIZING, "INITIALIZING")

enum admin_state {
#define X(id, name) ADMIN_##id,
	ADMIN_STATES(X)
#undef X
};

struct admin_options {
	bool tcp;	      /* is @listen given? */
	struct addr listen;   /* port 0: any; admin_port() says which */
	bool allow_any;	      /* without it an address that is not loopback is refused */
	const char *control;  /* path of the control socket; NULL: none */
	const char *version;  /* for /server_info; literal */
	/* Command line options as {name, value} pairs, ended by NULL; literals; may be NULL. */
	const char *const (*command_line)[2];
	enum admin_state (*state)(void *ctx); /* NULL: always LIVE */
	void (*quit)(void *ctx);	      /* POST /quitquitquit; NULL: no such route */
	void *ctx;			      /* for state and quit */
};

/*
 * Opens the sockets, so that a port in use or a missing folder is known at start-up; serves nothing
 * yet. Strings in @opts are borrowed until admin_free. 0 or -errno with @e set.
 */
int admin_new(const struct admin_options *opts, struct admin **ret_admin, struct err *e);
/* Adds @n routes, borrowed, whose handlers get @ctx. Before admin_start. */
void admin_add(struct admin *a, const struct admin_route *routes, size_t n, void *ctx);
/* Starts the thread. 0 or -errno with @e set. */
int admin_start(struct admin *a, struct err *e);
/* The TCP port; 0 when there is none. */
uint16_t admin_port(const struct admin *a);
/* Stops the thread after the request in hand and removes the control socket. NULL is fine. */
void admin_free(struct admin *a);

#endif
