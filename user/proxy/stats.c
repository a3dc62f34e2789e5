/* SPDX-License-Identifier: Apache-2.0 */
/* Registers the tables of names. */
#include "proxy/stats.h"

void http_stats_register(struct http_stats *s, struct slice prefix)
{
#define X(field, kind, name) \
	s->field = stats_registerf(STAT_##kind, "http.%.*s." name, SLICE_ARG(prefix));
	HTTP_STATS(X)
#undef X
}

void rpc_stats_register(struct rpc_stats *s, const char *codec, struct slice prefix)
{
#define X(field, kind, name) \
	s->field = stats_registerf(STAT_##kind, "%s.%.*s." name, codec, SLICE_ARG(prefix));
	RPC_STATS(X)
#undef X
}

void tcp_stats_register(struct tcp_stats *s, struct slice prefix)
{
#define X(field, kind, name) \
	s->field = stats_registerf(STAT_##kind, "tcp.%.*s." name, SLICE_ARG(prefix));
	TCP_STATS(X)
#undef X
}

void listener_stats_register(struct listener_stats *s, struct slice name)
{
#define X(field, kind, text) \
	s->field = stats_registerf(STAT_##kind, "listener.%.*s." text, SLICE_ARG(name));
	LISTENER_STATS(X)
#undef X
}

void listener_http_stats_register(struct listener_http_stats *s, struct slice listener,
				  struct slice prefix)
{
#define X(field, kind, text) \
	s->field = stats_registerf(STAT_##kind, "listener.%.*s.http.%.*s." text, \
				   SLICE_ARG(listener), SLICE_ARG(prefix));
	LISTENER_HTTP_STATS(X)
#undef X
}
