/* SPDX-License-Identifier: Apache-2.0 */
/* How long a gRPC request may take: grpc-timeout within what its route allows. */
#include "l7/grpc.h"
#include "proxy/http.h"

#define DIGITS_MAX 8 /* of grpc-timeout (grpc/doc/PROTOCOL-HTTP2.md) */
#define MS_MAX 99999999 /* in so many digits */

/* "20S" in ms, rounded up. false: it is none. */
static bool read_timeout(struct slice v, uint64_t *ret_ms)
{
	static const struct {
		char unit;
		uint64_t times, parts;
	} units[] = {
		{ 'H', 3600000, 1 }, { 'M', 60000, 1 },	 { 'S', 1000, 1 },
		{ 'm', 1, 1 },	     { 'u', 1, 1000 }, { 'n', 1, 1000000 },
	};
	uint64_t n;

	v = slice_trim(v);
	if (v.len < 2 || v.len > DIGITS_MAX + 1 || slice_to_u64(slice_first(v, v.len - 1), &n) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (v.ptr[v.len - 1] == units[i].unit) {
			*ret_ms = (n * units[i].times + units[i].parts - 1) / units[i].parts;
			return true;
		}
	return false;
}

void http_grpc_timeout(const struct stream *st, const struct mesh_route *r, uint64_t *ms)
{
	const struct l7_prop *p = l7_props_find(&st->req.props, SLICE("grpc-timeout"));
	uint64_t asked = 0; /* for ever */

	if (!l7_msg_is_grpc(&st->req))
		return;
	if (!p || !read_timeout(p->value, &asked)) {
		/* Without a wish a stream has its own limit, a request all that is allowed. */
		if (r->grpc_is_stream)
			return;
		asked = 0;
	}
	if (r->grpc_offset_ms && asked > r->grpc_offset_ms)
		asked -= r->grpc_offset_ms;
	if (r->max_grpc_ms && (!asked || asked > r->max_grpc_ms))
		asked = r->max_grpc_ms;
	*ms = asked;
}

void http_grpc_tell(struct stream *st, const struct mesh_route *r, uint64_t ms)
{
	if (r->grpc_is_stream)
		return;
	l7_props_set_name(&st->req.props, SLICE("grpc-timeout"),
			  ms > MS_MAX ? arena_printf(st->arena, "%lluS",
						     (unsigned long long)(ms / 1000)) :
					arena_printf(st->arena, "%llum", (unsigned long long)ms));
}
