/* SPDX-License-Identifier: Apache-2.0 */
/* The ADS client's transport over a gRPC channel; see ads_grpc.h. */
#include "xds/ads_grpc.h"

#include "base/clock.h"
#include "base/rand.h"

#define LEAVE_MS 500 /* at most so long until the next connection: not everybody at once */

struct ads_grpc {
	struct ads *ads;
	struct grpc_channel *channel;
	struct grpc_channel *next; /* instead of one that the server wants to end; NULL: none */
	struct rng rng;
};

static void stream_message(struct grpc_stream *st, struct slice bytes)
{
	grpc_channel_prove(grpc_stream_channel(st));
	ads_stream_message(grpc_stream_owner(st), bytes);
}

static void stream_closed(struct grpc_stream *st, int status, struct slice text)
{
	ads_stream_closed(grpc_stream_owner(st), status, text);
}

static const struct grpc_stream_ops stream_ops = { stream_message, stream_closed };

static void *transport_open(void *arg, struct ads_node *n, const char *method, struct err *e)
{
	struct ads_grpc *g = arg;

	return grpc_stream_open_as(g->channel, method, ads_node_token_file(n), &stream_ops, n, e);
}

static int transport_send(void *stream, struct slice bytes)
{
	return grpc_stream_send(stream, bytes);
}

static void transport_reset(void *stream)
{
	grpc_stream_reset(stream);
}

static const struct ads_transport transport = { transport_open, transport_send, transport_reset };

static void channel_up(struct grpc_channel *ch)
{
	struct ads_grpc *g = grpc_channel_owner(ch);
	struct grpc_channel *old = g->channel;

	if (ch != g->next) {
		ads_link_up(g->ads);
		return;
	}
	g->channel = ch;
	g->next = NULL;
	ads_link_moved(g->ads);
	grpc_channel_free(old);
}

static void channel_down(struct grpc_channel *ch, const char *reason)
{
	struct ads_grpc *g = grpc_channel_owner(ch);

	if (ch == g->next)
		return; /* the one before it serves, and this one tries again */
	ads_link_down(g->ads, reason);
	if (!g->next)
		return;
	g->channel = g->next;
	g->next = NULL;
	grpc_channel_free(ch);
}

static void channel_leaving(struct grpc_channel *ch)
{
	struct ads_grpc *g = grpc_channel_owner(ch);

	if (ch == g->channel && !g->next)
		g->next = grpc_channel_clone(ch, rng_below(&g->rng, LEAVE_MS), g);
	else
		grpc_channel_reconnect(ch, "the peer ends the connection");
}

static const struct grpc_channel_ops channel_ops = { channel_up, channel_down, channel_leaving };

int ads_grpc_new(struct io *io, const struct grpc_opts *grpc, const struct ads_opts *opts,
		 const struct ads_ops *ops, void *owner, struct ads_grpc **ret_g, struct err *e)
{
	struct ads_grpc *g = xcalloc(1, sizeof(*g));
	struct ads_opts o = *opts;
	int rc;

	rng_init(&g->rng, clock_mono_ns() ^ (uintptr_t)g);
	rc = grpc_channel_new(io, grpc, &channel_ops, g, &g->channel, e);

	if (rc < 0) {
		free(g);
		return rc;
	}
	o.transport = &transport;
	o.transport_arg = g;
	g->ads = ads_new(io, &o, ops, owner);
	*ret_g = g;
	return 0;
}

void ads_grpc_free(struct ads_grpc *g)
{
	if (!g)
		return;
	ads_free(g->ads);
	grpc_channel_free(g->next);
	grpc_channel_free(g->channel);
	free(g);
}

struct ads *ads_grpc_ads(const struct ads_grpc *g)
{
	return g->ads;
}

struct grpc_channel *ads_grpc_channel(const struct ads_grpc *g)
{
	return g->channel;
}
