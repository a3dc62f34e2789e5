/* SPDX-License-Identifier: Apache-2.0 */
/* Text as a JSON string. */
#include "l7/format.h"

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Bytes of the well-formed UTF-8 character at the front, 0: it is none. */
static size_t utf8(struct slice s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char c = (unsigned char)s.ptr[0];
	size_t n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
	uint32_t v = n == 1 ? c : c & (0x7fu >> n);

	if (!n || n > s.len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s.ptr[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | ((unsigned char)s.ptr[i] & 0x3f);
	}
	return v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? 0 : n;
}

static bool is_utf8(struct slice s)
{
	for (size_t i = 0, n; i < s.len; i += n) {
		n = utf8(slice_skip(s, i));
		if (!n)
			return false;
	}
	return true;
}

static void escape(unsigned char c, struct buf *out)
{
	static const char *const names[] = { ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n",
					     ['\f'] = "\\f", ['\r'] = "\\r" };

	if (c == '"' || c == '\\') {
		buf_add_char(out, '\\');
		buf_add_char(out, (char)c);
	} else if (c < ARRAY_LEN(names) && names[c]) {
		buf_add_slice(out, slice_str(names[c]));
	} else if (c < 0x20) {
		buf_printf(out, "\\u%04x", c);
	} else {
		buf_add_char(out, (char)c);
	}
}

void l7_json_text(struct slice s, struct buf *out)
{
	size_t plain = 0;
	bool valid;

	while (plain < s.len && is_plain((unsigned char)s.ptr[plain]))
		plain++;
	buf_add_char(out, '"');
	buf_add_slice(out, slice_first(s, plain));
	valid = plain == s.len || is_utf8(s);
	for (size_t i = plain; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (valid)
			escape(c, out);
		else if (is_plain(c))
			buf_add_char(out, (char)c);
		else
			buf_printf(out, "\\u%04x", c);
	}
	buf_add_char(out, '"');
}
