/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes may form header lines and chunk lines at all. llhttp is lenient in places that
 * request smuggling lives from (bare CR and LF, folded lines, chunk extensions); nothing reaches it
 * that did not pass here. Incremental: any split of the input gives the same verdict.
 */
#include "codec/http1/http1_impl.h"

#define ONES 0x0101010101010101ull
#define HIGH 0x8080808080808080ull

/* Offset of the first control character (also DEL) at or after @i, or @n. */
static size_t next_control(const char *p, size_t i, size_t n)
{
	uint64_t w;

	for (; i + 8 <= n; i += 8) {
		uint64_t low, del;

		memcpy(&w, p + i, 8);
		low = (w - ONES * 0x20) & ~w;
		del = w ^ ONES * 0x7f;
		del = (del - ONES) & ~del;
		if ((low | del) & HIGH)
			break;
	}
	for (; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c < 0x20 || c == 0x7f)
			break;
	}
	return i;
}

/* The byte behind a CR must be LF: 1 = it ended the block, 0 = a line, negative: it is none. */
static int line_end(struct gate *g, char c)
{
	if (c != '\n')
		return -EPROTO;
	g->cr = false;
	if (!g->in_line)
		return g->lines || g->ends_at_empty ? 1 : -EPROTO;
	g->in_line = false;
	g->lines++;
	return 0;
}

/* The first byte of a line: 1 = a new one, so the one before is whole; 0 = it was folded. */
static int line_start(struct gate *g, char c)
{
	g->in_line = c != '\r';
	if (c != ' ' && c != '\t')
		return 1;
	/* Only a header can be folded. */
	if (!g->lenient || g->lines < (g->ends_at_empty ? 1 : 2))
		return -EPROTO;
	g->folded = true;
	return 0;
}

int http1_gate_lines(struct gate *g, const char *p, size_t n, size_t *ret_used, size_t *ret_lines)
{
	size_t i = 0;
	int r;

	*ret_lines = 0;
	g->whole = false;
	while (i < n) {
		if (g->cr || (g->lenient && p[i] == '\n')) {
			g->bare_lf |= !g->cr;
			r = line_end(g, p[i]);
			if (r < 0)
				return r;
			*ret_used = ++i;
			if (r || !g->lenient) {
				*ret_lines = i;
				g->whole = true;
			}
			if (r)
				return GATE_END;
			continue;
		}
		if (!g->in_line) {
			r = line_start(g, p[i]);
			if (r < 0)
				return r;
			if (r && g->lenient) {
				*ret_lines = i;
				g->whole = true;
			}
		}
		i = next_control(p, i, n);
		if (i == n)
			break;
		if (p[i] == '\n' && g->lenient)
			continue;
		if (p[i] == '\r')
			g->cr = true;
		else if (p[i] != '\t')
			return p[i] == '\n' ? -EPROTO : -EILSEQ;
		i++;
	}
	*ret_used = n;
	return GATE_MORE;
}

static int hex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In the size: a digit, or what ends it. */
static int chunk_size(struct chunk *c, unsigned char ch)
{
	int d = hex(ch);

	if (d >= 0) {
		if (c->left >> 59)
			return -EPROTO;
		c->left = c->left << 4 | (unsigned int)d;
		c->digits++;
		return CHUNK_SIZE;
	}
	if (!c->digits)
		return -EPROTO;
	return ch == ';' ? CHUNK_EXT : ch == '\r' ? CHUNK_LF : -EPROTO;
}

/* Behind a whole extension name or value. */
static int chunk_ext_next(unsigned char ch)
{
	return ch == ';' ? CHUNK_EXT : ch == '\r' ? CHUNK_LF : -EPROTO;
}

static int chunk_step(struct chunk *c, unsigned char ch)
{
	bool token = http1_token[ch];

	switch (c->state) {
	case CHUNK_SIZE:
		return chunk_size(c, ch);
	case CHUNK_EXT:
		return token ? CHUNK_EXT_NAME : ch == ' ' || ch == '\t' ? CHUNK_EXT : -EPROTO;
	case CHUNK_EXT_NAME:
		return token ? CHUNK_EXT_NAME : ch == '=' ? CHUNK_EXT_VALUE : chunk_ext_next(ch);
	case CHUNK_EXT_VALUE:
		return token ? CHUNK_EXT_TOKEN : ch == '"' ? CHUNK_EXT_QUOTED : -EPROTO;
	case CHUNK_EXT_TOKEN:
		return token ? CHUNK_EXT_TOKEN : chunk_ext_next(ch);
	case CHUNK_EXT_QUOTED:
		if (ch == '"')
			return CHUNK_EXT_AFTER;
		if ((ch < 0x20 && ch != '\t') || ch == 0x7f)
			return -EPROTO;
		return ch == '\\' ? CHUNK_EXT_ESCAPE : CHUNK_EXT_QUOTED;
	case CHUNK_EXT_ESCAPE:
		return (ch < 0x20 && ch != '\t') || ch == 0x7f ? -EPROTO : CHUNK_EXT_QUOTED;
	case CHUNK_EXT_AFTER:
		return chunk_ext_next(ch);
	case CHUNK_LF:
		return ch == '\n' ? CHUNK_DATA : -EPROTO;
	case CHUNK_DATA:
	case CHUNK_DATA_CR:
	case CHUNK_DATA_LF:
		break; /* not on a size line */
	}
	return -EPROTO;
}

int http1_chunk_line(struct chunk *c, const char *p, size_t n, size_t *ret_used)
{
	for (size_t i = 0; i < n; i++) {
		int next = chunk_step(c, (unsigned char)p[i]);

		if (next < 0 || ++c->line > HTTP1_CHUNK_LINE)
			return -EPROTO;
		c->state = (enum chunk_state)next;
		if (c->state == CHUNK_DATA) {
			*ret_used = i + 1;
			return 1;
		}
	}
	*ret_used = n;
	return 0;
}

bool http1_is_visible(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c <= 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

bool http1_is_value(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		i = next_control(s.ptr, i, s.len);
		if (i < s.len && s.ptr[i] != '\t')
			return false;
	}
	return true;
}

#define SAME(c) [c] = c
#define PAIR(upper, lower) [upper] = lower, [lower] = lower
const unsigned char http1_token[256] = {
	SAME('!'), SAME('#'), SAME('$'), SAME('%'), SAME('&'), SAME('\''), SAME('*'), SAME('+'),
	SAME('-'), SAME('.'), SAME('^'), SAME('_'), SAME('`'), SAME('|'), SAME('~'),
	SAME('0'), SAME('1'), SAME('2'), SAME('3'), SAME('4'), SAME('5'), SAME('6'), SAME('7'),
	SAME('8'), SAME('9'),
	PAIR('A', 'a'), PAIR('B', 'b'), PAIR('C', 'c'), PAIR('D', 'd'), PAIR('E', 'e'),
	PAIR('F', 'f'), PAIR('G', 'g'), PAIR('H', 'h'), PAIR('I', 'i'), PAIR('J', 'j'),
	PAIR('K', 'k'), PAIR('L', 'l'), PAIR('M', 'm'), PAIR('N', 'n'), PAIR('O', 'o'),
	PAIR('P', 'p'), PAIR('Q', 'q'), PAIR('R', 'r'), PAIR('S', 's'), PAIR('T', 't'),
	PAIR('U', 'u'), PAIR('V', 'v'), PAIR('W', 'w'), PAIR('X', 'x'), PAIR('Y', 'y'),
	PAIR('Z', 'z'),
};
