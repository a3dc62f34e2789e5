/* SPDX-License-Identifier: Apache-2.0 */
/* Formats: compiling "%COMMAND(ARGS):LENGTH%" into parts, evaluating them as text and as JSON. */
#include "l7/format_impl.h"

#include <errno.h>

#define DEFAULT_FORMAT \
	"[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" " \
	"%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% " \
	"%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" " \
	"\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n"

/* ---- compiling ------------------------------------------------------------------------------- */

static size_t count(struct slice s, bool (*is_in)(char c))
{
	size_t n = 0;

	while (n < s.len && is_in(s.ptr[n]))
		n++;
	return n;
}

static bool is_name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The ":LENGTH" and '%' at the front. Bytes used, 0: they are not there. */
static size_t read_tail(struct slice s, struct command *c)
{
	size_t n = 0;

	if (s.len && s.ptr[0] == ':') {
		n = count(slice_skip(s, 1), is_digit);
		if (!n)
			return 0;
		c->length = slice_of(s.ptr + 1, n++);
	}
	c->has_length = n > 0;
	return n < s.len && s.ptr[n] == '%' ? n + 1 : 0;
}

/* @s begins with '%'. false: no command stands there. */
static bool read_command(struct slice s, struct command *c)
{
	size_t at = 1, tail;

	*c = (struct command){ 0 };
	c->name = slice_first(slice_skip(s, 1), count(slice_skip(s, 1), is_name_char));
	at += c->name.len;
	if (!c->name.len)
		return false;
	tail = read_tail(slice_skip(s, at), c);
	if (!tail && at < s.len && s.ptr[at] == '(') {
		/* The arguments may hold ')' and '%': they end where the tail begins. */
		for (size_t end = at + 1; end < s.len && !tail; end++)
			if (s.ptr[end] == ')') {
				tail = read_tail(slice_skip(s, end + 1), c);
				c->args = slice_of(s.ptr + at + 1, end - at - 1);
			}
		c->has_args = true;
		at += c->args.len + 2;
	}
	c->used = at + tail;
	return tail > 0;
}

int part_compile(const struct command *c, size_t at, struct part *p, struct arena *a, struct err *e)
{
	const struct op *op = op_find(c->name);
	uint64_t length = SIZE_MAX;
	int r = 0;

	if (!op)
		return err_set(e, -EINVAL, "format: unknown operator %%%.*s%% at %zu",
			       SLICE_ARG(c->name), at);
	if (op->args == ARGS_NONE && c->has_args)
		return err_set(e, -EINVAL, "format: %%%s%% at %zu takes no parameters", op->name,
			       at);
	if (op->args == ARGS_MUST && !c->args.len)
		return err_set(e, -EINVAL, "format: %%%s%% at %zu needs parameters", op->name, at);
	if (c->has_length && !op->has_length)
		return err_set(e, -EINVAL, "format: %%%s%% at %zu takes no length", op->name, at);
	if (c->has_length && (slice_to_u64(c->length, &length) < 0 || length > L7_FORMAT_VALUE_MAX))
		return err_set(e, -EINVAL, "format: length of %%%s%% at %zu is over %d", op->name,
			       at, L7_FORMAT_VALUE_MAX);
	*p = (struct part){ .append = op->append, .option = op->option, .max_len = length };
	p->text = c->args;
	if (op->prepare)
		r = op->prepare(p, c->args, a, e);
	if (r < 0)
		return err_prefix(e, r, "format: %%%s%% at %zu", op->name, at);
	return 0;
}

/*
 * Adds literal text. Text right behind other text is moved up to it inside our own copy of the
 * format: what was read always lies at or behind where it goes.
 */
static void add_literal(struct l7_format *f, struct slice text)
{
	struct part *last = f->n ? &f->parts[f->n - 1] : NULL;
	char *end = last && !last->append ? (char *)last->text.ptr + last->text.len : NULL;

	if (end && last->text.ptr >= f->copy && text.ptr >= end &&
	    text.ptr < f->copy + f->copy_len) {
		memmove(end, text.ptr, text.len);
		last->text.len += text.len;
		return;
	}
	f->parts[f->n++] = (struct part){ .text = text, .max_len = SIZE_MAX };
}

/* Takes what stands at the front of @s: "%%", a command or plain text. Bytes used, or -EINVAL. */
static ssize_t compile_piece(struct l7_format *f, struct slice s, size_t at, struct arena *a,
			     struct err *e)
{
	struct command c;
	struct part p;
	ptrdiff_t percent = slice_find(s, '%');
	int r;

	if (percent != 0) {
		struct slice plain = percent < 0 ? s : slice_first(s, (size_t)percent);

		add_literal(f, plain);
		return (ssize_t)plain.len;
	}
	if (s.len > 1 && s.ptr[1] == '%') {
		add_literal(f, slice_first(s, 1));
		return 2;
	}
	if (!read_command(s, &c))
		return err_set(e, -EINVAL, "format: no operator at %zu of '%.*s'", at,
			       (int)(s.len < 60 ? s.len : 60), s.ptr);
	r = part_compile(&c, at, &p, a, e);
	if (r < 0)
		return r;
	/* An operator whose value is known now is text. */
	if (p.append)
		f->parts[f->n++] = p;
	else
		f->parts[f->n++] = (struct part){ .text = slice_first(p.text, p.max_len),
						  .max_len = SIZE_MAX };
	return (ssize_t)c.used;
}

int l7_format_compile(struct slice text, struct arena *a, const struct l7_format **ret_f,
		      struct err *e)
{
	struct l7_format *f;
	size_t n = 1, at = 0;

	if (text.len > L7_FORMAT_MAX)
		return err_set(e, -EINVAL, "format: %zu bytes are over the limit of %d", text.len,
			       L7_FORMAT_MAX);
	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == '%';
	f = arena_new(a, struct l7_format);
	f->parts = arena_array(a, struct part, n + 1);
	text = arena_slice(a, text);
	f->copy = text.ptr;
	f->copy_len = text.len;
	while (at < text.len) {
		ssize_t used = compile_piece(f, slice_skip(text, at), at, a, e);

		if (used < 0)
			return (int)used;
		at += (size_t)used;
	}
	*ret_f = f;
	return 0;
}

const struct l7_format *l7_format_default(struct arena *a)
{
	const struct l7_format *f = NULL;
	struct err e;

	must(l7_format_compile(SLICE(DEFAULT_FORMAT), a, &f, &e) == 0);
	return f;
}

bool l7_format_is_literal(const struct l7_format *f, struct slice *ret_text)
{
	if (f->n > 1 || (f->n == 1 && f->parts[0].append))
		return false;
	*ret_text = f->n ? f->parts[0].text : SLICE("");
	return true;
}

/* ---- evaluating ------------------------------------------------------------------------------ */

static enum value_kind append_whole(const struct part *p, const struct l7_info *in, struct buf *out)
{
	if (p->append)
		return p->append(p, in, out);
	buf_add_slice(out, p->text);
	return VALUE_TEXT;
}

/* Cuts what was appended to @out since it had @before bytes. */
static void cut(const struct part *p, size_t before, struct buf *out)
{
	size_t max = p->max_len < L7_FORMAT_VALUE_MAX ? p->max_len : L7_FORMAT_VALUE_MAX;

	if (p->append && buf_len(out) - before > max)
		out->tail -= buf_len(out) - before - max;
}

enum value_kind part_append(const struct part *p, const struct l7_info *in, struct buf *out)
{
	size_t before = buf_len(out);
	enum value_kind kind = append_whole(p, in, out);

	cut(p, before, out);
	return kind;
}

void l7_format_text(const struct l7_format *f, const struct l7_info *in, bool omit_empty,
		    struct buf *out)
{
	for (uint32_t i = 0; i < f->n; i++)
		if (part_append(&f->parts[i], in, out) == VALUE_ABSENT && !omit_empty)
			buf_add_char(out, '-');
}

bool l7_format_json_value(const struct l7_format *f, const struct l7_info *in, bool omit_empty,
			  struct buf *out)
{
	struct buf text = { 0 };
	enum value_kind kind = VALUE_TEXT;

	if (f->n == 1)
		kind = append_whole(&f->parts[0], in, &text);
	else
		l7_format_text(f, in, omit_empty, &text);
	/* A number is typed, so it has no length. */
	if (f->n == 1 && kind == VALUE_TEXT)
		cut(&f->parts[0], 0, &text);
	switch (kind) {
	case VALUE_ABSENT:
		if (!omit_empty)
			buf_add(out, "null", 4);
		break;
	case VALUE_NUMBER:
		buf_add_slice(out, buf_slice(&text));
		break;
	case VALUE_TEXT:
		l7_json_text(buf_slice(&text), out);
		break;
	}
	buf_done(&text);
	return kind != VALUE_ABSENT || !omit_empty;
}

void l7_flags_text(uint32_t flags, bool long_names, struct buf *out)
{
	static const char *const names[][2] = {
#define X(id, s, l) { s, l },
		L7_FLAGS(X)
#undef X
	};
	bool any = false;

	if (flags & L7_FLAG_URX_FIRST) {
		buf_add_slice(out, slice_str(names[L7_FLAG_URX_BIT][long_names]));
		flags &= ~L7_FLAG(URX);
		any = true;
	}
	for (uint32_t i = 0; i < L7_FLAG_COUNT; i++) {
		if (!(flags & (1u << i)))
			continue;
		if (any)
			buf_add_char(out, ',');
		buf_add_slice(out, slice_str(names[i][long_names]));
		any = true;
	}
	if (!any)
		buf_add_char(out, '-');
}
