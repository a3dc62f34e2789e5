/* SPDX-License-Identifier: Apache-2.0 */
/* header_mutation: changes headers of requests and responses where the filter stands. */
#include "filter/filter.h"
#include "route/route.h"

static enum filter_verdict request(struct filter_ctx *ctx, struct l7_msg *m)
{
	const struct mesh_header_mutation *c = ctx->config;

	if (c)
		route_headers_steps(&c->request, m, ctx->info, ctx->arena);
	return FILTER_NEXT;
}

static enum filter_verdict response(struct filter_ctx *ctx, struct l7_msg *m)
{
	const struct mesh_header_mutation *c = ctx->config;

	if (c)
		route_headers_steps(&c->response, m, ctx->info, ctx->arena);
	return FILTER_NEXT;
}

const struct filter filter_header_mutation = {
	.kind = "header_mutation",
	.request = request,
	.needs_request = true, /* formats may name its headers */
	.response = response,
};
