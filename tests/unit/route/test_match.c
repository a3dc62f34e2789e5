/* SPDX-License-Identifier: Apache-2.0 */
/* Header, query and path matchers: the answers that Envoy 1.40 gave to the same questions. */
#include "tests/unit/fixture.h"

#include "base/clock.h"
#include "route/route.h"

#define TEXT(k, t) \
	{ \
		.name = { "x-a", 3 }, .string = { \
			.kind = MESH_STRING_##k, \
			.text = { t, sizeof(t) - 1 } \
		} \
	}
#define NOCASE(k, t) \
	{ \
		.name = { "x-a", 3 }, .string = { \
			.kind = MESH_STRING_##k, \
			.ignore_case = true, \
			.text = { t, sizeof(t) - 1 } \
		} \
	}

static struct regex *o_words, *o_any;

struct header_case {
	const struct mesh_header_match *h;
	const char *v1, *v2; /* values of x-a; NULL: no such header */
	bool want;
};

static void check(const struct header_case *c, int number, bool resolve)
{
	struct arena a = { 0 };
	struct l7_msg m = request_of(&a, "h.test", "/path?q=1");
	struct mesh_header_match h = *c->h;

	if (c->v1)
		msg_add(&m, "x-a", c->v1);
	if (c->v2)
		msg_add(&m, "x-a", c->v2);
	if (resolve)
		route_headers_resolve(&h, 1);
	if (route_headers_are_match(&h, 1, &m, &a) != c->want)
		fail_msg("case %d: not %d", number, c->want);
	arena_done(&a);
}

#define REGEX { .name = { "x-a", 3 }, .string = { .kind = MESH_STRING_REGEX } }
#define RANGE(from, to) \
	{ .name = { "x-a", 3 }, .kind = MESH_HEADER_RANGE, .range_start = from, .range_end = to }
#define PRESENT(is) { .name = { "x-a", 3 }, .kind = MESH_HEADER_PRESENT, .present = is }

static struct mesh_header_match exact = TEXT(EXACT, "one"), prefix = TEXT(PREFIX, "on"),
				suffix = TEXT(SUFFIX, "ne"), contains = TEXT(CONTAINS, "n"),
				comma = TEXT(CONTAINS, ","), empty = TEXT(EXACT, ""),
				exact_nc = NOCASE(EXACT, "One"), prefix_nc = NOCASE(PREFIX, "ON"),
				contains_nc = NOCASE(CONTAINS, "N"), regex = REGEX,
				range = RANGE(-10, 10), present = PRESENT(true),
				absent = PRESENT(false);
/* The same inverted, or with a missing header taken as empty: filled by matchers_init. */
static struct mesh_header_match not_exact, not_regex, not_range, not_present, not_absent,
	miss_empty, miss_not;

static struct mesh_header_match inverted(struct mesh_header_match h)
{
	h.invert = true;
	return h;
}

static void matchers_init(void)
{
	struct mesh_header_match narrow = RANGE(1, 3);

	regex.string.regex = o_words;
	not_regex = inverted(regex);
	not_regex.string.regex = o_any;
	not_exact = inverted(exact);
	not_range = inverted(narrow);
	not_present = inverted(present);
	not_absent = inverted(absent);
	miss_empty = empty;
	miss_empty.treat_missing_as_empty = true;
	miss_not = not_exact;
	miss_not.treat_missing_as_empty = true;
}

static const struct header_case header_cases[] = {
	{ &exact, "one", NULL, true },
	{ &exact, "two", NULL, false },
	{ &exact, NULL, NULL, false },
	{ &exact, "One", NULL, false },
	{ &exact, "one", "two", true },
	{ &exact, "two", "one", true },
	{ &exact, "one,two", NULL, false },
	{ &exact, "", "one", true },
	{ &exact_nc, "oNE", NULL, true },
	{ &prefix, "onward", NULL, true },
	{ &prefix, "no", NULL, false },
	{ &prefix, "x", "once", true },
	{ &prefix_nc, "online", NULL, true },
	{ &suffix, "alone", NULL, true },
	{ &suffix, "alone!", NULL, false },
	{ &contains, "one", NULL, true },
	{ &contains, "two", NULL, false },
	{ &contains_nc, "one", NULL, true },
	{ &comma, "one", "two", false },
	{ &regex, "one", NULL, true },
	{ &regex, "one1", NULL, false },
	{ &regex, "xx", "oyy", true },
	{ &range, "-10", NULL, true },
	{ &range, "10", NULL, false },
	{ &range, "9", NULL, true },
	{ &range, "9x", NULL, false },
	{ &range, NULL, NULL, false },
	{ &range, "1.5", NULL, false },
	{ &range, "+5", NULL, true },
	{ &range, "50", "5", true },
	{ &range, "99999999999999999999", NULL, false },
	{ &present, "", NULL, true },
	{ &present, NULL, NULL, false },
	{ &absent, NULL, NULL, true },
	{ &absent, "x", NULL, false },
	{ &not_exact, "two", NULL, true },
	{ &not_exact, "one", NULL, false },
	{ &not_exact, NULL, NULL, false },
	{ &not_exact, "one", "two", false },
	{ &not_exact, "x", "two", true },
	{ &not_present, NULL, NULL, true },
	{ &not_present, "x", NULL, false },
	{ &not_absent, "x", NULL, true },
	{ &not_absent, NULL, NULL, false },
	{ &not_range, "5", NULL, true },
	{ &not_range, "2", NULL, false },
	{ &not_range, NULL, NULL, false },
	{ &not_regex, "two", NULL, true },
	{ &not_regex, NULL, NULL, false },
	{ &miss_empty, NULL, NULL, true },
	{ &miss_empty, "x", NULL, false },
	{ &miss_not, NULL, NULL, true },
	{ &empty, "", "one", true },
};

static void headers(void **state)
{
	(void)state;
	matchers_init();
	for (size_t i = 0; i < ARRAY_LEN(header_cases); i++) {
		check(&header_cases[i], (int)i, false);
		check(&header_cases[i], (int)i, true);
	}
}

/* Fields of the message, and names whose values are one list. */
static void fields_and_lists(void **state)
{
	static const struct {
		const char *name, *want;
		bool match;
	} cases[] = {
		{ ":method", "GET", true },       { ":path", "/path?q=1", true },
		{ ":authority", "h.test", true }, { "host", "h.test", true },
		{ ":scheme", "http", true },      { ":method", "POST", false },
		{ "user-agent", "a", false },     { "user-agent", "a,b", true },
		{ ":nothing", "", false },        { "cookie", "b=2", true },
		{ "cookie", "a=1,b=2", false },
	};
	struct arena a = { 0 };
	struct l7_msg m = request_of(&a, "h.test", "/path?q=1");

	(void)state;
	msg_add(&m, "user-agent", "a");
	msg_add(&m, "user-agent", "b");
	msg_add(&m, "cookie", "a=1");
	msg_add(&m, "cookie", "b=2");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mesh_header_match h = { .name = S(cases[i].name),
					       .string = { .text = S(cases[i].want) } };

		if (route_headers_are_match(&h, 1, &m, &a) != cases[i].match)
			fail_msg("%s %s", cases[i].name, cases[i].want);
	}
	arena_done(&a);
}

static void queries(void **state)
{
	struct regex *digits = regex_of("[0-9]+");
	const struct mesh_query_match q_exact = { .name = { "a", 1 },
						.string = { .text = { "one", 3 } } },
				      q_empty = { .name = { "a", 1 } },
				      q_present = { .name = { "a", 1 },
						  .is_present_match = true,
						  .present = true },
				      q_number = { .name = { "a", 1 },
						 .string = { .kind = MESH_STRING_REGEX,
							     .regex = digits } };
	const struct {
		const struct mesh_query_match *q;
		const char *path;
		bool want;
	} cases[] = {
		{ &q_exact, "/exact?a=one", true },
		{ &q_exact, "/exact?a=two", false },
		{ &q_exact, "/exact", false },
		{ &q_exact, "/exact?b=1&a=one", true },
		{ &q_exact, "/exact?a=one&a=two", true },
		{ &q_exact, "/exact?a=two&a=one", false },
		{ &q_exact, "/exact?A=one", false },
		{ &q_exact, "/exact?a=%6fne", false },
		{ &q_exact, "/exact?%61=one", false },
		{ &q_exact, "/exact?a=one+", false },
		{ &q_exact, "/exact?b=1;a=one", false },
		{ &q_exact, "/exact?x?a=one", false },
		{ &q_exact, "/exact?&&a=one&", true },
		{ &q_present, "/present?a", true },
		{ &q_present, "/present?a=", true },
		{ &q_present, "/present?ab=1", false },
		{ &q_number, "/regex?a=42", true },
		{ &q_number, "/regex?a=42x", false },
		{ &q_empty, "/empty?a=", true },
		{ &q_empty, "/empty?a", true },
		{ &q_empty, "/empty", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (route_queries_are_match(cases[i].q, 1, S(cases[i].path)) != cases[i].want)
			fail_msg("%zu: %s", i, cases[i].path);
	regex_free(digits);
}

static struct mesh_route route_of(enum mesh_path_kind kind, const char *path, const char *name)
{
	return (struct mesh_route){
		.name = S(name), .path_kind = kind, .path = S(path), .fraction = 1000000
	};
}

static const char *const path_cases[][2] = {
	{ "/exact", "exact" }, { "/exact?a=b", "exact" }, { "/exact?", "exact" },
	{ "/exact/", "rest" }, { "/exacter", "rest" }, { "/EXACT", "rest" },
	{ "/%65xact", "rest" }, { "/exact/slash/", "exact-slash" }, { "/exact/slash", "rest" },
	{ "//exact", "rest" }, { "/prefix", "prefix" }, { "/prefix/x", "prefix-slash" },
	{ "/prefixes", "prefix" }, { "/prefix?x=/prefix/", "prefix" }, { "/sep", "separated" },
	{ "/sep/x/y", "separated" }, { "/sep/", "separated" }, { "/separate", "rest" },
	{ "/sep?x", "separated" }, { "/sep/?x", "separated" }, { "/re/123", "regex" },
	{ "/re/123x", "rest" }, { "/x/re/123", "rest" }, { "/re/123?q=1", "regex" },
	{ "/alt/b/c/d", "regex-alt" }, { "/alt/c", "rest" }, { "/fOLDED/x", "prefix-nocase" },
	{ "/foldsep/x", "separated-nocase" }, { "/foldsepx", "rest" }, { "/twice", "first" },
	{ "/", "rest" }, { "/?x=/exact", "rest" }, { "/exact;v=1", "rest" }, { "", "rest" },
};

static void paths(void **state)
{
	struct regex *re = regex_of("/re/[0-9]+"), *alt = regex_of("/alt/(a|b)(/.*)?");
	struct mesh_route r[] = {
		route_of(MESH_PATH_EXACT, "/exact", "exact"),
		route_of(MESH_PATH_EXACT, "/exact/slash/", "exact-slash"),
		route_of(MESH_PATH_PREFIX, "/prefix/", "prefix-slash"),
		route_of(MESH_PATH_PREFIX, "/prefix", "prefix"),
		route_of(MESH_PATH_SEPARATED, "/sep", "separated"),
		route_of(MESH_PATH_REGEX, "", "regex"),
		route_of(MESH_PATH_REGEX, "", "regex-alt"),
		route_of(MESH_PATH_PREFIX, "/Folded", "prefix-nocase"),
		route_of(MESH_PATH_SEPARATED, "/FoldSep", "separated-nocase"),
		route_of(MESH_PATH_EXACT, "/twice", "first"),
		route_of(MESH_PATH_EXACT, "/twice", "second"),
		route_of(MESH_PATH_PREFIX, "", "rest"),
	};
	struct slice any = S("*");
	struct mesh_vhost vh = {
		.domains = &any, .n_domains = 1, .routes = r, .n_routes = ARRAY_LEN(r)
	};
	struct mesh_route_table t = { .vhosts = &vh, .n_vhosts = 1 };
	struct arena a = { 0 };
	struct rng rng = { 1 };
	struct err e;

	(void)state;
	r[5].path_regex = re;
	r[6].path_regex = alt;
	r[7].ignore_case = r[8].ignore_case = true;
	assert_int_equal(route_table_index(&t, &a, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(path_cases); i++) {
		struct l7_msg m = request_of(&a, "h", path_cases[i][0]);
		struct route_decision d;

		route_match(&t, &m, &a, &rng, &d);
		assert_non_null(d.route);
		assert_slice(d.route->name, path_cases[i][1]);
	}
	arena_done(&a);
	regex_free(re);
	regex_free(alt);
}

/* The first that fits wins, whatever fits better; a gRPC route wants gRPC. */
static void order_and_grpc(void **state)
{
	struct mesh_header_match v2 = { .name = { "x-v", 3 }, .string = { .text = { "2", 1 } } };
	struct mesh_query_match v = { .name = { "v", 1 },
				      .is_present_match = true,
				      .present = true };
	struct mesh_route r[] = { route_of(MESH_PATH_PREFIX, "/", "grpc"),
				  route_of(MESH_PATH_PREFIX, "/a", "header"),
				  route_of(MESH_PATH_PREFIX, "/a", "query"),
				  route_of(MESH_PATH_PREFIX, "/", "all"),
				  route_of(MESH_PATH_EXACT, "/a/exact", "never") };
	struct slice any = S("*");
	struct mesh_vhost vh = {
		.domains = &any, .n_domains = 1, .routes = r, .n_routes = ARRAY_LEN(r)
	};
	struct mesh_route_table t = { .vhosts = &vh, .n_vhosts = 1 };
	static const struct {
		const char *path, *v, *type, *want;
	} cases[] = {
		{ "/a/exact", "2", NULL, "header" },
		{ "/a/exact?v=1", NULL, NULL, "query" },
		{ "/a?v=1", "2", NULL, "header" },
		{ "/a/exact", NULL, NULL, "all" },
		{ "/", NULL, "application/grpc", "grpc" },
		{ "/", NULL, "application/grpc+proto", "grpc" },
		{ "/", NULL, "application/grpc-web", "all" },
		{ "/", NULL, "application/grpc; x=y", "all" },
	};
	struct arena a = { 0 };
	struct rng rng = { 1 };
	struct err e;

	(void)state;
	r[0].grpc = true;
	r[1].headers = &v2;
	r[1].n_headers = 1;
	r[2].queries = &v;
	r[2].n_queries = 1;
	assert_int_equal(route_table_index(&t, &a, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct l7_msg m = request_of(&a, "h", cases[i].path);
		struct route_decision d;

		if (cases[i].v)
			msg_add(&m, "x-v", cases[i].v);
		if (cases[i].type)
			msg_add(&m, "content-type", cases[i].type);
		route_match(&t, &m, &a, &rng, &d);
		assert_slice(d.route->name, cases[i].want);
	}
	arena_done(&a);
}

/* The hot path takes no memory, and is fast enough to be called for every request. */
static void cost(void **state)
{
	struct mesh_header_match h = { .name = { "x-v", 3 }, .string = { .text = { "2", 1 } } };
	struct mesh_route r[] = { route_of(MESH_PATH_EXACT, "/one", "1"),
				  route_of(MESH_PATH_PREFIX, "/two/", "2"),
				  route_of(MESH_PATH_PREFIX, "/api", "3"),
				  route_of(MESH_PATH_PREFIX, "/", "4") };
	struct slice name = S("a.default.svc.cluster.local");
	struct mesh_vhost vh = {
		.domains = &name, .n_domains = 1, .routes = r, .n_routes = ARRAY_LEN(r)
	};
	struct mesh_route_table t = { .vhosts = &vh, .n_vhosts = 1 };
	struct arena a = { 0 };
	struct rng rng = { 1 };
	struct route_decision d;
	struct err e;
	size_t left;
	uint64_t start;

	(void)state;
	r[2].headers = &h;
	r[2].n_headers = 1;
	assert_int_equal(route_table_index(&t, &a, &e), 0);
	struct l7_msg m = request_of(&a, "a.default.svc.cluster.local", "/api/v1/users?id=1");
	msg_add(&m, "user-agent", "curl");
	msg_add(&m, "accept", "*/*");
	msg_add(&m, "x-request-id", "1");
	left = a.left;
	start = clock_mono_ns();
	for (int i = 0; i < 100000; i++)
		route_match(&t, &m, &a, &rng, &d);
	print_message("route_match: %llu ns\n",
		      (unsigned long long)(clock_mono_ns() - start) / 100000);
	assert_slice(d.route->name, "4");
	assert_int_equal(a.left, left);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),        cmocka_unit_test(fields_and_lists),
		cmocka_unit_test(queries),        cmocka_unit_test(paths),
		cmocka_unit_test(order_and_grpc), cmocka_unit_test(cost),
	};
	int r;

	o_words = regex_of("o[a-z]+");
	o_any = regex_of("o.*");
	r = cmocka_run_group_tests(tests, NULL, NULL);
	regex_free(o_words);
	regex_free(o_any);
	return r;
}
