/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two halves of HTTP's connection manager. */
#ifndef SKIFF_PROXY_HTTP_H
#define SKIFF_PROXY_HTTP_H

#include "l7/format.h"
#include "proxy/conn_msg.h"
#include "proxy/stream.h"

/* Checks and rewrites a request that enters @h. false: it was answered. */
bool http_request_in(struct stream *st, struct hop *h);
/* The part of it that is about host and path: all that is new where a redirect is followed. */
bool http_target_in(struct stream *st, struct hop *h);
/* Finds the route of @h, by the view that it has now, and what the log knows of it. */
void http_route_lookup(struct stream *st, struct hop *h);
/* Does the answer send the request of @h elsewhere, and may it? Then it is rewritten. moved.c */
bool http_moves(struct stream *st, struct hop *h);
/* Is the request of @h, just routed, to be repeated? retry_http.c */
void http_retry_begin(struct stream *st, struct hop *h);
/*
 * What a gRPC request asks for in grpc-timeout becomes @ms, within the limits of @r; a request that
 * asks for nothing leaves it as it is.
 */
void http_grpc_timeout(const struct stream *st, const struct mesh_route *r, uint64_t *ms);
/* Tells the upstream of a gRPC request how long that is, where the route limits its time-out. */
void http_grpc_tell(struct stream *st, const struct mesh_route *r, uint64_t ms);
/* Tells the upstream how long its answer may take. */
void http_expect_timeout(struct stream *st, struct hop *h);
/* The text that @f makes, %LOCAL_REPLY_BODY% being @body; in @a. */
struct slice http_format_body(const struct mesh_body_format *f, struct l7_info *in,
			      struct slice body, struct arena *a);
/*
 * Rewrites our own answer @m and its @body as @l says; the body's type is set. @in: of its stream,
 * its status becomes the answer's.
 */
void http_rewrite_reply(const struct mesh_local_reply *l, struct l7_msg *m, struct l7_info *in,
			struct rng *rng, struct arena *a, struct slice *body);
/* An absolute URL; all of it is borrowed. http_url.c */
struct http_url {
	struct slice scheme, user;
	struct slice host; /* never empty, with its port */
	struct slice path; /* with its query; begins with '/' or '?', or is empty */
	bool has_fragment;
};
/* false: it is none, and @ret_u is of no use. */
bool http_url_read(struct slice s, struct http_url *ret_u);
/* Is @s an absolute URI or a relative reference without user and fragment? */
bool http_referer_is_good(struct slice s);
/* Did the client use TLS, as far as we can believe it? */
bool http_is_https(const struct stream *st);
/* Appends @v to the property, with @sep when it has a value already. */
void http_append(struct l7_props *p, enum l7_key key, struct slice v, struct slice sep,
		 struct arena *a);

#endif
