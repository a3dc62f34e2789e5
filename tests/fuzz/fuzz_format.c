/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: substitution formats. Whatever compiles can be evaluated, with a stream and without
 * messages; a format without operators is its own value; JSON values hold no raw control bytes.
 */
#include "base/buf.h"
#include "l7/format.h"

#define INPUT_MAX 8192

static void add(struct l7_msg *m, const char *name, const char *value)
{
	l7_props_add(&m->props, l7_key_find(slice_str(name)), slice_str(name), slice_str(value));
}

static void evaluate(const struct l7_format *f, const struct l7_info *in)
{
	struct buf text = { 0 }, json = { 0 };
	struct slice literal;

	l7_format_text(f, in, false, &text);
	if (l7_format_is_literal(f, &literal))
		must(slice_is_equal(literal, buf_slice(&text)));
	buf_clear(&text);
	l7_format_text(f, in, true, &text);
	must(l7_format_json_value(f, in, false, &json));
	must(buf_len(&json) > 0);
	for (size_t i = 0; i < buf_len(&json); i++)
		must((unsigned char)buf_ptr(&json)[i] >= 0x20);
	buf_clear(&json);
	if (!l7_format_json_value(f, in, true, &json))
		must(buf_len(&json) == 0);
	buf_done(&text);
	buf_done(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = { 0 };
	const struct l7_format *f = NULL;
	struct err e = { "" };
	struct l7_msg req, resp;
	struct l7_info none = { 0 };

	if (size > INPUT_MAX)
		return 0;
	if (l7_format_compile(slice_of(data, size), &a, &f, &e) < 0) {
		must(e.text[0] && !f);
		arena_done(&a);
		return 0;
	}
	l7_msg_init(&req, L7_REQUEST, &a);
	req.method = SLICE("GET");
	req.path = SLICE("/p?q=1");
	req.host = SLICE("h");
	add(&req, "x-a", "v\"\xff\n");
	add(&req, "content-type", "application/grpc");
	l7_msg_init(&resp, L7_RESPONSE, &a);
	resp.status = 200;
	add(&resp, "grpc-status", "5");
	const struct l7_info full = { .request = &req,
				      .response = &resp,
				      .trailers = &resp.props,
				      .status = 200,
				      .start_wall_ns = 1795444928276703000ull,
				      .start_ns = 1,
				      .end_ns = 5000000,
				      .flags = L7_FLAG(UF),
				      .cluster = SLICE("c") };

	evaluate(f, &none);
	evaluate(f, &full);
	arena_done(&a);
	return 0;
}
