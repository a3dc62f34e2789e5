/* SPDX-License-Identifier: Apache-2.0 */
/* Downstream connections that carry messages. */
#ifndef SKIFF_PROXY_CONN_MSG_H
#define SKIFF_PROXY_CONN_MSG_H

#include "proxy/stream.h"

/* The head of an answer is about to be encoded: says "close" in it when the connection will end. */
/* The client is full, and connections to providers that it shares with others wait for it: not for
 * ever. */
void conn_msg_stalled(struct conn *c);
void conn_msg_before_response(struct conn *c, struct stream *st);
/* @st ended: next request, or close. */
void conn_msg_stream_done(struct conn *c, struct stream *st);

/* manager_http.c: the answer to a client that broke the protocol; the caller closes. */
void http_reject(struct conn *c, const struct codec_fault *fault);
/* manager_http.c: an answer to a request that never became whole; the caller closes. */
void http_reply_without_request(struct conn *c, uint32_t status, const char *body,
				const char *details, uint32_t flags);

#endif
