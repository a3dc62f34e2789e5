/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers that Skiff gives itself, always in hessian2, which every Dubbo peer reads. An error
 * status makes the consumer's cluster try another provider (it is RemotingException there); an
 * exception of the service does not. So what must not be tried again (over a limit, not allowed)
 * is an RpcException with Dubbo's own code, and what may is a status. See docs/dubbo-answers.md.
 */
#include "codec/dubbo/dubbo_impl.h"

#include "codec/dubbo/dubbo.h"
#include "codec/dubbo/hessian2.h"

/* The codes of Dubbo's RpcException that we use. */
enum { RPC_FORBIDDEN = 4, RPC_LIMIT_EXCEEDED = 7 };

#define TEXT_BYTES 512

/* Appends a header whose length is not known yet; returns where it stands in @out. */
static size_t answer_begin(struct buf *out, uint64_t id, unsigned int status)
{
	struct dubbo_frame f = { .flag = DUBBO_SER_HESSIAN2, .status = (uint8_t)status, .id = id };
	size_t at = buf_len(out);

	dubbo_frame_write(&f, buf_reserve(out, DUBBO_HEADER));
	buf_commit(out, DUBBO_HEADER);
	return at;
}

static void answer_end(struct buf *out, size_t at)
{
	char *p = buf_ptr(out) + at;
	struct dubbo_frame f;

	dubbo_frame_parse(p, &f);
	f.len = (uint32_t)(buf_len(out) - at - DUBBO_HEADER);
	dubbo_frame_write(&f, p);
}

void dubbo_write_error(struct buf *out, uint64_t id, unsigned int status, struct slice text)
{
	size_t at = answer_begin(out, id, status);

	hessian2_write_string(out, text);
	answer_end(out, at);
}

/* An int from -16 to 47. */
static void small_int(struct buf *out, int v)
{
	buf_add_char(out, (char)(0x90 + v));
}

/* The answer's kind, and after the value its attachments when there are any. */
static void kind_write(struct buf *out, enum dubbo_answer kind, const struct l7_props *props)
{
	int with = props->n ? DUBBO_ANSWER_EXCEPTION_PROPS - DUBBO_ANSWER_EXCEPTION : 0;

	small_int(out, (int)kind + with);
}

static void props_write(struct buf *out, const struct l7_props *props)
{
	if (!props->n)
		return;
	buf_add_char(out, 'H');
	l7_props_each(props, i) {
		hessian2_write_string(out, props->v[i].name);
		hessian2_write_string(out, props->v[i].value);
	}
	buf_add_char(out, 'Z');
}

/* org.apache.dubbo.rpc.RpcException { code, detailMessage } */
static void exception_write(struct buf *out, uint64_t id, int code, struct slice text,
			    const struct l7_props *props)
{
	size_t at = answer_begin(out, id, DUBBO_OK);

	kind_write(out, DUBBO_ANSWER_EXCEPTION, props);
	buf_add_char(out, 'C');
	hessian2_write_string(out, SLICE("org.apache.dubbo.rpc.RpcException"));
	small_int(out, 2);
	hessian2_write_string(out, SLICE("code"));
	hessian2_write_string(out, SLICE("detailMessage"));
	buf_add_char(out, 0x60); /* an object of that class */
	small_int(out, code);
	hessian2_write_string(out, text);
	props_write(out, props);
	answer_end(out, at);
}

static void value_write(struct buf *out, uint64_t id, struct slice text,
			const struct l7_props *props)
{
	size_t at = answer_begin(out, id, DUBBO_OK);

	kind_write(out, DUBBO_ANSWER_VALUE, props);
	hessian2_write_string(out, text);
	props_write(out, props);
	answer_end(out, at);
}

/* A direct answer that names an HTTP-like error becomes the code that means the same. */
static enum l7_reply_code direct_code(uint32_t status)
{
	switch (status) {
	case 400:
	case 413:
	case 431:
		return L7_REPLY_BAD_REQUEST;
	case 401:
	case 403:
		return L7_REPLY_FORBIDDEN;
	case 404:
		return L7_REPLY_NO_ROUTE;
	case 429:
		return L7_REPLY_RATE_LIMITED;
	case 502:
		return L7_REPLY_BAD_GATEWAY;
	case 503:
		return L7_REPLY_NO_UPSTREAM;
	case 504:
		return L7_REPLY_TIMEOUT;
	default:
		return status < 400 ? L7_REPLY_DIRECT : L7_REPLY_INTERNAL;
	}
}

static enum dubbo_status status_of(enum l7_reply_code code)
{
	switch (code) {
	case L7_REPLY_BAD_REQUEST:
	case L7_REPLY_TIMEOUT_REQUEST:
	case L7_REPLY_TOO_LARGE:
	case L7_REPLY_UPGRADE_REFUSED:
	case L7_REPLY_HEADERS_TOO_LARGE:
		return DUBBO_BAD_REQUEST;
	case L7_REPLY_NO_ROUTE:
		return DUBBO_SERVICE_NOT_FOUND;
	case L7_REPLY_TIMEOUT:
		return DUBBO_SERVER_TIMEOUT;
	case L7_REPLY_OVERLOAD:
		return DUBBO_SERVER_THREADPOOL_EXHAUSTED_ERROR;
	case L7_REPLY_BAD_GATEWAY:
		return DUBBO_BAD_RESPONSE;
	case L7_REPLY_INTERNAL:
	case L7_REPLY_NO_UPSTREAM:
	case L7_REPLY_UPSTREAM_RESET:
		return DUBBO_SERVER_ERROR;
	case L7_REPLY_FORBIDDEN: /* these three are answered with status OK */
	case L7_REPLY_RATE_LIMITED:
	case L7_REPLY_DIRECT:
		return DUBBO_OK;
	}
	return DUBBO_SERVER_ERROR;
}

/* What is said when the one who refused gave no text of his own. */
static const char *text_of(enum l7_reply_code code)
{
	switch (code) {
	case L7_REPLY_BAD_REQUEST:
		return "dubbo request is not valid";
	case L7_REPLY_FORBIDDEN:
		return "call is forbidden by policy";
	case L7_REPLY_NO_ROUTE:
		return "dubbo router: no route for interface";
	case L7_REPLY_TIMEOUT_REQUEST:
		return "dubbo request did not come whole in time";
	case L7_REPLY_TOO_LARGE:
	case L7_REPLY_HEADERS_TOO_LARGE:
		return "dubbo request is too large";
	case L7_REPLY_UPGRADE_REFUSED:
		return "dubbo upgrade is refused";
	case L7_REPLY_RATE_LIMITED:
		return "rate limit is exceeded";
	case L7_REPLY_INTERNAL:
		return "internal error of the proxy";
	case L7_REPLY_BAD_GATEWAY:
		return "dubbo upstream sent an answer that is not valid";
	case L7_REPLY_NO_UPSTREAM:
		return "dubbo router: no healthy upstream";
	case L7_REPLY_OVERLOAD:
		return "proxy is overloaded";
	case L7_REPLY_UPSTREAM_RESET:
		return "dubbo upstream closed the connection before it answered";
	case L7_REPLY_TIMEOUT:
		return "dubbo upstream did not answer in time";
	case L7_REPLY_DIRECT:
		return "";
	}
	return "";
}

void dubbo_write_reply(struct buf *out, const struct l7_msg *req, const struct l7_reply *r)
{
	enum l7_reply_code code =
		r->code == L7_REPLY_DIRECT ? direct_code(l7_reply_status(r)) : r->code;
	struct slice text = r->body;
	char tmp[TEXT_BYTES];

	if (!text.len && code != L7_REPLY_DIRECT) {
		int n = snprintf(tmp, sizeof(tmp), "%s '%.*s', method '%.*s'", text_of(code),
				 SLICE_ARG(slice_first(req->host, TEXT_BYTES / 4)),
				 SLICE_ARG(slice_first(req->method, TEXT_BYTES / 4)));

		text = slice_of(tmp, (size_t)n < sizeof(tmp) ? (size_t)n : sizeof(tmp) - 1);
	}
	if (code == L7_REPLY_FORBIDDEN)
		exception_write(out, req->id, RPC_FORBIDDEN, text, &r->props);
	else if (code == L7_REPLY_RATE_LIMITED)
		exception_write(out, req->id, RPC_LIMIT_EXCEEDED, text, &r->props);
	else if (code == L7_REPLY_DIRECT)
		value_write(out, req->id, text, &r->props);
	else
		dubbo_write_error(out, req->id, status_of(code), text);
}
