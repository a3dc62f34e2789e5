/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two halves of HTTP's connection manager. */
#ifndef SKIFF_PROXY_HTTP_H
#define SKIFF_PROXY_HTTP_H

#include "l7/format.h"
#include "proxy/conn_msg.h"
#include "proxy/stream.h"

/* Checks and rewrites a request that enters @h. false: it was answered. */
bool http_request_in(struct stream *st, struct hop *h);
/* Did the client use TLS, as far as we can believe it? */
bool http_is_https(const struct stream *st);
/* Appends @v to the property, with @sep when it has a value already. */
void http_append(struct l7_props *p, enum l7_key key, struct slice v, struct slice sep,
		 struct arena *a);

#endif
