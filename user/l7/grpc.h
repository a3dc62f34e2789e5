/* SPDX-License-Identifier: Apache-2.0 */
/* What matching, filters and logs must know of gRPC, whatever protocol carries it. */
#ifndef SKIFF_L7_GRPC_H
#define SKIFF_L7_GRPC_H

#include "l7/info.h"

/* Content type "application/grpc" or "application/grpc+...". */
bool l7_msg_is_grpc(const struct l7_msg *m);
/* The gRPC status of an answer: of trailers, headers, or made from the status. false: there is
 * none, or one that is no number. */
bool l7_grpc_status(const struct l7_info *in, uint64_t *ret_status);

#endif
