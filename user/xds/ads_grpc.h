/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ads over grpc: all nodes' streams on one connection, which is made again whenever it ends. This
 * is what skiffd uses; ads.h says what the callbacks mean and how nodes are added.
 */
#ifndef SKIFF_XDS_ADS_GRPC_H
#define SKIFF_XDS_ADS_GRPC_H

#include "xds/ads.h"
#include "xds/grpc.h"

struct ads_grpc;

/*
 * Begins to connect. @opts: transport and transport_arg are set here. 0, or -EINVAL with @e
 * (addresses, files: see grpc_channel_new).
 */
int ads_grpc_new(struct io *io, const struct grpc_opts *grpc, const struct ads_opts *opts,
		 const struct ads_ops *ops, void *owner, struct ads_grpc **ret_g, struct err *e);
/* Its ads and all nodes too. NULL is allowed. */
void ads_grpc_free(struct ads_grpc *g);
struct ads *ads_grpc_ads(const struct ads_grpc *g);
/* For its info, and to be told to reconnect. */
struct grpc_channel *ads_grpc_channel(const struct ads_grpc *g);

#endif
