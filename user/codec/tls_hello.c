/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ClientHello (RFC 8446, 4.1.2; RFC 6066, RFC 7301). It may be spread over several records. Nothing
 * is believed but the two lists that filter chains are chosen by.
 */
#include "codec/tls_hello.h"

#define RECORD_HANDSHAKE 22
#define RECORD_MAX (16384 + 256)
#define MESSAGE_CLIENT_HELLO 1
#define EXTENSION_SERVER_NAME 0
#define EXTENSION_ALPN 16
#define NAME_HOST 0

struct reader {
	const uint8_t *p;
	size_t n, at;
	size_t record; /* bytes left of the current record */
	bool is_short; /* the bytes ended */
	bool is_bad;
};

/* Steps into the next record. */
static void record_begin(struct reader *r)
{
	const uint8_t *h = r->p + r->at;
	size_t have = r->n - r->at;

	/* What is there already must fit, before more is waited for. */
	if ((have > 0 && h[0] != RECORD_HANDSHAKE) || (have > 1 && h[1] != 3)) {
		r->is_bad = true;
		return;
	}
	if (have < 5) {
		r->is_short = true;
		return;
	}
	r->record = (size_t)h[3] << 8 | h[4];
	r->at += 5;
	if (!r->record || r->record > RECORD_MAX)
		r->is_bad = true;
}

static bool failed(const struct reader *r)
{
	return r->is_short || r->is_bad;
}

static uint32_t byte(struct reader *r)
{
	if (!failed(r) && !r->record)
		record_begin(r);
	if (!failed(r) && r->at == r->n)
		r->is_short = true;
	if (failed(r))
		return 0;
	r->record--;
	return r->p[r->at++];
}

static uint32_t number(struct reader *r, unsigned int bytes)
{
	uint32_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | byte(r);
	return v;
}

/* Takes @n bytes off what is @left of something; too many make it bad. */
static bool take(struct reader *r, uint32_t *left, uint32_t n)
{
	if (failed(r))
		return false;
	if (n > *left) {
		r->is_bad = true;
		return false;
	}
	*left -= n;
	return true;
}

static uint32_t number_of(struct reader *r, uint32_t *left, unsigned int bytes)
{
	return take(r, left, bytes) ? number(r, bytes) : 0;
}

static void skip(struct reader *r, uint32_t *left, uint32_t n)
{
	if (!take(r, left, n))
		return;
	while (n-- > 0 && !failed(r))
		byte(r);
}

/* ---- extensions ------------------------------------------------------------------------------ */

/* Letters, digits and what else stands in a name; lower case. */
static void name_read(struct reader *r, uint32_t n, struct tls_hello *h)
{
	bool is_good = n > 0 && n <= TLS_NAME_MAX;

	for (uint32_t i = 0; i < n && !failed(r); i++) {
		uint32_t c = byte(r);

		is_good = is_good && c > ' ' && c < 127;
		if (is_good)
			h->server_name[i] = (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
	}
	if (is_good && !failed(r))
		h->server_name_len = (uint8_t)n;
}

static void names_read(struct reader *r, uint32_t left, struct tls_hello *h)
{
	uint32_t list = number_of(r, &left, 2);

	if (list != left && !r->is_short)
		r->is_bad = true;
	while (left && !failed(r)) {
		uint32_t kind = number_of(r, &left, 1);
		uint32_t n = number_of(r, &left, 2);

		if (kind != NAME_HOST || h->server_name_len)
			skip(r, &left, n);
		else if (take(r, &left, n))
			name_read(r, n, h);
	}
}

static void alpn_read(struct reader *r, uint32_t left, struct tls_hello *h)
{
	uint32_t list = number_of(r, &left, 2);

	if (list != left && !r->is_short)
		r->is_bad = true;
	while (left && !failed(r)) {
		uint32_t n = number_of(r, &left, 1);
		bool kept = n && h->n_alpn < TLS_ALPN_MAX;

		if (!kept) {
			skip(r, &left, n);
			continue;
		}
		if (!take(r, &left, n))
			return;
		for (uint32_t i = 0; i < n; i++)
			h->alpn[h->n_alpn].text[i] = (char)byte(r);
		h->alpn[h->n_alpn++].len = (uint8_t)n;
	}
}

static void extensions_read(struct reader *r, uint32_t left, struct tls_hello *h)
{
	while (left && !failed(r)) {
		uint32_t type = number_of(r, &left, 2);
		uint32_t n = number_of(r, &left, 2);

		if (type != EXTENSION_SERVER_NAME && type != EXTENSION_ALPN)
			skip(r, &left, n);
		else if (take(r, &left, n) && type == EXTENSION_SERVER_NAME)
			names_read(r, n, h);
		else if (!failed(r))
			alpn_read(r, n, h);
	}
}

static void hello_read(struct reader *r, struct tls_hello *h)
{
	uint32_t left, n;

	if (byte(r) != MESSAGE_CLIENT_HELLO && !failed(r))
		r->is_bad = true;
	left = number(r, 3);
	if (left > TLS_HELLO_MAX && !r->is_short)
		r->is_bad = true;
	skip(r, &left, 2 + 32); /* version, random */
	n = number_of(r, &left, 1);
	skip(r, &left, n); /* session */
	n = number_of(r, &left, 2);
	skip(r, &left, n); /* ciphers */
	n = number_of(r, &left, 1);
	skip(r, &left, n); /* compression */
	if (failed(r) || !left)
		return;
	n = number_of(r, &left, 2);
	if (n != left && !r->is_short)
		r->is_bad = true;
	extensions_read(r, left, h);
}

enum sniff tls_hello_read(const char *p, size_t n, struct tls_hello *ret_h)
{
	struct reader r = { .p = (const uint8_t *)p, .n = n };

	ret_h->server_name_len = ret_h->n_alpn = 0;
	hello_read(&r, ret_h);
	if (r.is_bad)
		return SNIFF_NO;
	return r.is_short ? SNIFF_MORE : SNIFF_YES;
}
