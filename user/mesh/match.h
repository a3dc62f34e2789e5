/* SPDX-License-Identifier: Apache-2.0 */
/* Matchers as data: strings, headers, query parameters. The latter two are evaluated in route/. */
#ifndef SKIFF_MESH_MATCH_H
#define SKIFF_MESH_MATCH_H

#include <stdbool.h>

#include "base/slice.h"

struct regex; /* base/regex.h */

/* envoy.type.matcher.v3.StringMatcher */
enum mesh_string_kind {
	MESH_STRING_EXACT,
	MESH_STRING_PREFIX,
	MESH_STRING_SUFFIX,
	MESH_STRING_CONTAINS,
	MESH_STRING_REGEX
};

struct mesh_string {
	enum mesh_string_kind kind;
	bool ignore_case;
	struct slice text;
	const struct regex *regex; /* MESH_STRING_REGEX */
};

bool mesh_string_is_match(const struct mesh_string *s, struct slice text);

/* envoy.config.route.v3.HeaderMatcher */
enum mesh_header_kind { MESH_HEADER_STRING, MESH_HEADER_RANGE, MESH_HEADER_PRESENT };

struct mesh_header_match {
	struct slice name; /* lower case; pseudo names as ":path" too */
	enum mesh_header_kind kind;
	struct mesh_string string;
	int64_t range_start, range_end; /* [start, end) */
	bool present;			/* MESH_HEADER_PRESENT: must be present (true) or absent */
	bool invert;
	bool treat_missing_as_empty;
	/* Filled by route_headers_resolve; all zero works too, it only costs a look-up each time.
	 */
	bool is_resolved, joined_in_request, joined_in_response;
	uint16_t key; /* enum l7_key */
};

/* envoy.config.route.v3.QueryParameterMatcher */
struct mesh_query_match {
	struct slice name;
	bool is_present_match; /* else string */
	bool present;
	struct mesh_string string;
};

#endif
