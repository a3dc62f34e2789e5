/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one HTTP/1 connection, shared by the files of this folder. */
#ifndef SKIFF_CODEC_HTTP1_IMPL_H
#define SKIFF_CODEC_HTTP1_IMPL_H

#include <errno.h>
#include <llhttp.h>
#include <sys/types.h>

#include "codec/http1/http1.h"

/* ---- the gate: which bytes may be a head at all (gate.c) ----------------------------------- */

struct gate {
	bool cr;	/* the last byte was a CR */
	bool lenient;	/* a bare LF ends a line too, and a line may be folded (RFC 9112 5.2) */
	bool bare_lf;	/* one was seen */
	bool folded;	/* one was seen */
	bool whole;	/* this call found that a line is whole, maybe one of earlier calls */
	bool in_line;	/* the line at hand has bytes */
	unsigned int lines; /* whole lines seen */
	bool ends_at_empty; /* an empty first line ends the block (trailers) */
};

enum { GATE_MORE, GATE_END };

/*
 * Looks through header lines. GATE_END when the empty line was seen, GATE_MORE, -EPROTO for a
 * bare CR or LF or a folded line, -EILSEQ for another control character. @ret_used: bytes looked
 * at; @ret_lines: offset behind the last line that is known to be whole (also when it fails).
 */
int http1_gate_lines(struct gate *g, const char *p, size_t n, size_t *ret_used, size_t *ret_lines);

enum chunk_state {
	CHUNK_SIZE, CHUNK_EXT, CHUNK_EXT_NAME, CHUNK_EXT_VALUE, CHUNK_EXT_TOKEN, CHUNK_EXT_QUOTED,
	CHUNK_EXT_ESCAPE, CHUNK_EXT_AFTER, CHUNK_LF, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF,
};

struct chunk {
	enum chunk_state state;
	unsigned int digits;
	uint32_t line;	 /* bytes of the size line so far */
	uint64_t left;	 /* of the data */
};

/* Reads a chunk's size line up to its LF. 1 = whole, 0 = more is needed, -EPROTO. */
int http1_chunk_line(struct chunk *c, const char *p, size_t n, size_t *ret_used);

/* Is @c allowed in a token (RFC 9110)? The lower-case form, or 0. */
extern const unsigned char http1_token[256];
/* No byte of @s is a control character, blank or 0x7f. */
bool http1_is_visible(struct slice s);
/* No byte of @s is CR, LF or NUL. */
bool http1_is_value(struct slice s);

/* ---- faults ------------------------------------------------------------------------------- */

#define HTTP1_FAULTS(X) \
	X(CODEC, 400, "http1.codec_error") \
	X(HEAD_SIZE, 431, "http1.headers_too_large") \
	X(HEAD_COUNT, 431, "http1.too_many_headers") \
	X(CHARACTERS, 400, "http1.invalid_characters") \
	X(URL, 400, "http1.invalid_url") \
	X(SCHEME, 400, "http1.invalid_scheme") \
	X(TRANSFER, 501, "http1.invalid_transfer_encoding") \
	X(LENGTHS, 400, "http1.content_length_and_chunked_not_allowed") \
	X(BODY, 400, "http1.body_disallowed") \
	X(UNDERSCORE, 400, "http1.unexpected_underscore") \
	X(VERSION, 426, "low_version") \
	X(NO_HOST, 400, "missing_host_header") \
	X(QUERY_TYPE, 400, "query_missing_content_type") \
	X(HOST, 400, "http.invalid_authority") \
	X(FRAGMENT, 400, "path_normalization_failed") \
	X(NOMINATED, 400, "http1.connection_header_rejected") \
	X(UNASKED, 400, "http1.unasked_response") \
	X(INTERIM, 400, "http1.too_many_interim_responses") \
	X(CUT, 400, "http1.message_cut")

enum http1_fault {
	HTTP1_OK,
#define X(id, status, details) HTTP1_FAULT_##id,
	HTTP1_FAULTS(X)
#undef X
};

/* ---- the connection ----------------------------------------------------------------------- */

enum rx_state {
	RX_START, RX_HEAD, RX_LENGTH, RX_CHUNKED, RX_TRAILERS, RX_UNTIL_CLOSE,
	RX_HOLD, /* an upgrade waits for its answer */
	RX_RAW,
};
enum tx_state { TX_IDLE, TX_NONE, TX_LENGTH, TX_CHUNKED, TX_UNTIL_CLOSE, TX_RAW };

struct http1 {
	enum codec_side side;
	enum rx_state rx;
	enum tx_state tx;
	enum http1_fault fault;
	struct codec_limits limits;
	struct codec_opts opts;
	const struct codec_events *ev;
	void *owner;
	struct arena *arena;

	/* reading */
	llhttp_t parser;
	struct gate gate;
	struct chunk chunk;
	struct l7_msg m;
	struct l7_props trailers;
	bool in_trailers;
	bool first_line;      /* the request or status line is still to come */
	bool head_done;	      /* llhttp saw the end of the head */
	enum rx_state body;   /* how the body of the message being read is framed; RX_START: none */
	bool empty_cr;	      /* an empty line before a request is half read */
	bool skip_prop;	      /* the line at hand is dropped */
	bool http10;	      /* version of the message being read */
	uint8_t interims;
	uint16_t empty_lines;
	uint32_t head_bytes, lines;
	char *part;	      /* a line's beginning from earlier calls, in the arena */
	size_t part_len, part_cap;
	uint64_t left;	      /* of a body with a length */
	uint64_t message_bytes; /* used of the message being read, without the present step's */
	size_t step_used;

	/* the exchange at hand */
	uint64_t id;	      /* of the message being read (client: of the request in flight) */
	bool pending;	      /* server: a request waits for its answer; client: ours does */
	bool rx_done;	      /* the peer's message is whole */
	bool peer10;	      /* server: the request was HTTP/1.0 */
	bool is_head, is_connect, is_upgrade; /* what the request was */
	bool is_query; /* server: a method that llhttp does not know, read as POST */
	bool keep;	      /* the peer allows another message */
	bool closing;	      /* we cannot take another one */
	bool draining;	      /* server: the next answer announces that it is the last */
	bool over;	      /* server: an answer has announced it */
	uint64_t tx_left;
};

/* Raises the events of @p; see codec.h (decode.c). */
ssize_t http1_decode(void *conn, char *p, size_t n, struct codec_fault *ret_fault);
int http1_eof(void *conn, struct codec_fault *ret_fault);
void http1_parser_init(struct http1 *c);
/* Fills what @c->fault says and returns -EPROTO or -E2BIG. */
int http1_fault(const struct http1 *c, struct codec_fault *ret_fault);

/*
 * Checks the request or status line, without its line end, before llhttp sees it (head.c).
 * @ret_line: what llhttp shall get in its place, with CRLF, when that differs.
 */
enum http1_fault http1_check_first_line(struct http1 *c, struct slice line, struct slice *ret_line);
/* What the whole head means: framing, host, path, upgrade. Sets c->body, c->left, c->m. */
enum http1_fault http1_head_request(struct http1 *c);
enum http1_fault http1_head_response(struct http1 *c);

void http1_encode_head(void *conn, struct l7_msg *m, bool end, struct buf *out);
void http1_encode_body(void *conn, uint64_t id, struct slice data, struct buf *out);
void http1_encode_end(void *conn, uint64_t id, const struct l7_props *trailers, struct buf *out);
void http1_encode_interim(void *conn, struct l7_msg *m, struct buf *out);
void http1_encode_reply(void *conn, const struct l7_msg *req, const struct l7_reply *r,
			struct buf *out);
void http1_reject(void *conn, const struct codec_fault *fault, struct buf *out);

/* The exchange is over when both directions are: makes ready for the next (http1.c). */
void http1_settle(struct http1 *c);
void http1_go_raw(struct http1 *c);
/* The standard reason text, or "Unknown". */
struct slice http1_reason(uint32_t status);

#endif
