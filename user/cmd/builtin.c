/* SPDX-License-Identifier: Apache-2.0 */
/* The only list of codecs and filters: a new one is one line here. */
#include "cmd/builtin.h"

#include "codec/dubbo/dubbo.h"
#include "codec/http1/http1.h"
#include "filter/filter.h"
#include "proxy/on_demand.h"

const struct codec *const builtin_codecs[] = {
	&codec_http1,
	&codec_dubbo,
	NULL,
};

const struct filter *const builtin_filters[] = {
	&filter_router,
	&filter_local_ratelimit,
	&filter_fault,
	&filter_cors,
	&filter_header_mutation,
	&filter_rbac,
	&filter_nothing,
	&filter_on_demand,
	NULL,
};
