/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of requests for other clusters. A copy is a stream without a client: it lives on its own,
 * its answer is read and forgotten, and when it would need too much it is given up. The original
 * never waits for it.
 */
#ifndef SKIFF_PROXY_MIRROR_H
#define SKIFF_PROXY_MIRROR_H

#include "proxy/stream.h"

#define MIRROR_HELD_MAX (1024 * 1024) /* of a copy's body, while its connection is not there */
#define MIRROR_MS 15000 /* what an answer may take when the route says nothing of time */

/* Copies st->req, as it leaves @h, to @cluster, and what follows of its body. */
void mirror_begin(struct stream *st, struct hop *h, struct slice cluster, struct slice host);
/* More of the original's body; its end; the original is over. */
void mirror_body(struct stream *st, struct slice data);
void mirror_request_end(struct stream *st);
void mirror_detach(struct stream *st);

/* The upstream's events of a copy: as the functions of stream.h. */
void mirror_up_ready(struct stream *m, struct uconn *u);
void mirror_up_head(struct stream *m, const struct l7_msg *answer, bool end);
void mirror_up_end(struct stream *m);
void mirror_up_failed(struct stream *m, uint32_t status);

/* Ends the copies of @pod, NULL: all. */
void mirrors_end(struct worker *w, const struct epod *pod);

#endif
