/* SPDX-License-Identifier: Apache-2.0 */
/* Text as a JSON string. */
#include "l7/format.h"

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
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
	valid = plain == s.len || slice_is_utf8(s);
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
