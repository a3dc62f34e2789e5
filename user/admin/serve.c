/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From libmicrohttpd's callbacks to a route's handler: bodies with a limit, the table look-up, the
 * answer. It knows no path.
 */
#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin_impl.h"

/* One request while its body comes. */
struct exchange {
	struct buf body;
	bool too_big;
	bool counted; /* came over TCP */
};

const char *admin_query(const struct admin_request *req, const char *name)
{
	struct MHD_Connection *c = (struct MHD_Connection *)(uintptr_t)req->conn;
	const char *value = NULL;
	size_t len;

	if (MHD_lookup_connection_value_n(c, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value,
					  &len) != MHD_YES)
		return NULL;
	return value ? value : "";
}

bool admin_has_query(const struct admin_request *req)
{
	struct MHD_Connection *c = (struct MHD_Connection *)(uintptr_t)req->conn;

	return MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, NULL, NULL) > 0;
}

static void add_text(struct buf *out, const char *fmt, va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	buf_add_slice(out, slice_str(text));
}

unsigned int admin_text(struct admin_reply *reply, unsigned int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_text(&reply->body, fmt, ap);
	va_end(ap);
	return status;
}

/* JSON forbids quotes, backslashes and control characters in a string. */
static void add_json_escaped(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < 0x20)
			buf_printf(out, "\\u%04x", c);
		else
			buf_add_char(out, (char)c);
	}
}

unsigned int admin_error(struct admin_reply *reply, unsigned int status, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	add_text(&text, fmt, ap);
	va_end(ap);
	buf_clear(&reply->body);
	reply->type = ADMIN_JSON;
	buf_add_slice(&reply->body, SLICE("{\"error\": \""));
	add_json_escaped(&reply->body, buf_slice(&text));
	buf_add_slice(&reply->body, SLICE("\"}\n"));
	buf_done(&text);
	return status;
}

/*
 * The entry for the request; else NULL and in @ret_allow the method that the path wants, if there
 * is such a path. As in Envoy what is read with GET may be asked for with POST.
 */
static const struct admin_entry *entry_find(const struct admin *a, const char *method,
					    const char *path, const char **ret_allow)
{
	const struct admin_entry *reads = NULL;

	*ret_allow = NULL;
	for (size_t i = 0; i < a->entries_n; i++) {
		const struct admin_route *r = a->entries[i].route;

		if (strcmp(r->path, path) != 0)
			continue;
		if (strcmp(r->method, method) == 0)
			return a->entries + i;
		if (strcmp(r->method, "GET") == 0)
			reads = a->entries + i;
		*ret_allow = r->method;
	}
	return strcmp(method, "POST") == 0 ? reads : NULL;
}

static unsigned int dispatch(const struct admin *a, const struct admin_request *req,
			     struct admin_reply *reply, const char **ret_allow)
{
	const struct admin_entry *e = entry_find(a, req->method, req->path, ret_allow);

	if (!e && *ret_allow)
		return admin_text(reply, MHD_HTTP_METHOD_NOT_ALLOWED,
				  "Method %s not allowed, %s required.", req->method, *ret_allow);
	if (!e) {
		admin_text(reply, MHD_HTTP_NOT_FOUND, "invalid path. ");
		admin_write_help(a, req, reply);
		return MHD_HTTP_NOT_FOUND;
	}
	if (e->route->control_only && !req->control)
		return admin_error(reply, MHD_HTTP_FORBIDDEN,
				   "only over the control socket (skiffctl)");
	return e->route->handler(e->ctx, req, reply);
}

/* Hands @reply's memory to libmicrohttpd. */
static enum MHD_Result answer(struct admin *a, bool control, struct MHD_Connection *c,
			      unsigned int status, struct admin_reply *reply, const char *allow)
{
	size_t len = buf_len(&reply->body);
	enum MHD_Result rc;
	struct MHD_Response *r;

	/* Only ever appended to, so the bytes begin where the memory does. */
	must(reply->body.head == 0);
	r = MHD_create_response_from_buffer(len, reply->body.base, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		buf_done(&reply->body);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE,
				reply->type ? reply->type : "text/plain; charset=UTF-8");
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache, max-age=0");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	if (allow)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, allow);
	rc = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	if (!control)
		meter_answered(&a->meter, status);
	return rc;
}

/* A page in a browser must not change anything here: browsers send Origin with a POST, tools do
 * not. */
static bool is_from_page(struct MHD_Connection *c, const char *method)
{
	return strcmp(method, "GET") != 0 &&
	       MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ORIGIN);
}

static bool is_announced_too_big(struct MHD_Connection *c)
{
	const char *text = MHD_lookup_connection_value(c, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t len;

	return text && (slice_to_u64(slice_str(text), &len) || len > ADMIN_BODY_MAX);
}

static enum MHD_Result answer_too_big(struct admin *a, bool control, struct MHD_Connection *c)
{
	struct admin_reply reply = { 0 };

	admin_error(&reply, MHD_HTTP_CONTENT_TOO_LARGE, "the body is over %u bytes",
		    ADMIN_BODY_MAX);
	return answer(a, control, c, MHD_HTTP_CONTENT_TOO_LARGE, &reply, NULL);
}

static enum MHD_Result answer_request(struct admin *a, struct MHD_Connection *c, const char *path,
				      const char *method, const struct exchange *x, bool control)
{
	struct admin_request req = {
		.method = strcmp(method, "HEAD") == 0 ? "GET" : method,
		.path = path,
		.body = buf_slice(&x->body),
		.control = control,
		.conn = c,
	};
	struct admin_reply reply = { 0 };
	const char *allow = NULL;
	unsigned int status;

	if (!control && is_from_page(c, req.method))
		status = admin_error(&reply, MHD_HTTP_FORBIDDEN, "not from a web page");
	else
		status = dispatch(a, &req, &reply, &allow);
	return answer(a, control, c, status, &reply, allow);
}

static struct exchange *exchange_new(struct admin *a, bool control)
{
	struct exchange *x = xcalloc(1, sizeof(*x));

	x->counted = !control;
	if (x->counted) {
		meter_add(&a->meter, METER_RQ_TOTAL, 1);
		meter_add(&a->meter, METER_RQ_HTTP1, 1);
		meter_add(&a->meter, METER_RQ_ACTIVE, 1);
	}
	return x;
}

/* libmicrohttpd calls this once with the head, then for each piece of body, then once to answer. */
static enum MHD_Result on_request(struct admin *a, bool control, struct MHD_Connection *c,
				  const char *path, const char *method, const char *data,
				  size_t *size, void **state)
{
	struct exchange *x = *state;

	if (!x) {
		x = exchange_new(a, control);
		*state = x;
		return is_announced_too_big(c) ? answer_too_big(a, control, c) : MHD_YES;
	}
	if (*size) {
		/* No answer is possible in the middle of a body: read on, keep nothing. */
		x->too_big = x->too_big || buf_len(&x->body) + *size > ADMIN_BODY_MAX;
		if (!x->too_big)
			buf_add(&x->body, data, *size);
		*size = 0;
		return MHD_YES;
	}
	return x->too_big ? answer_too_big(a, control, c) :
			    answer_request(a, c, path, method, x, control);
}

static enum MHD_Result on_tcp(void *arg, struct MHD_Connection *c, const char *path,
			      const char *method, const char *version, const char *data,
			      size_t *size, void **state)
{
	(void)version;
	return on_request(arg, false, c, path, method, data, size, state);
}

static enum MHD_Result on_control(void *arg, struct MHD_Connection *c, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **state)
{
	(void)version;
	return on_request(arg, true, c, path, method, data, size, state);
}

static void on_completed(void *arg, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode why)
{
	struct exchange *x = *state;
	struct admin *a = arg;

	(void)c;
	(void)why;
	if (!x)
		return;
	if (x->counted)
		meter_add(&a->meter, METER_RQ_ACTIVE, -1);
	buf_done(&x->body);
	free(x);
	*state = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *c, void **state,
			  enum MHD_ConnectionNotificationCode what)
{
	bool starts = what == MHD_CONNECTION_NOTIFY_STARTED;
	struct admin *a = arg;

	(void)c;
	(void)state;
	meter_add(&a->meter, METER_CX_ACTIVE, starts ? 1 : -1);
	meter_add(&a->meter, starts ? METER_CX_TOTAL : METER_CX_DESTROY, 1);
	if (starts)
		meter_add(&a->meter, METER_CX_HTTP1, 1);
}

static void on_control_connection(void *arg, struct MHD_Connection *c, void **state,
				  enum MHD_ConnectionNotificationCode what)
{
	(void)arg;
	(void)c;
	(void)state;
	(void)what; /* skiffctl leaves no trace in the port's statistics */
}

struct MHD_Daemon *admin_serve(struct admin *a, int fd, bool control)
{
	const struct MHD_OptionItem options[] = {
		{ MHD_OPTION_LISTEN_SOCKET, fd, NULL },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, a },
		{ MHD_OPTION_NOTIFY_CONNECTION,
		  control ? (intptr_t)on_control_connection : (intptr_t)on_connection, a },
		{ MHD_OPTION_CONNECTION_LIMIT, ADMIN_CONNECTIONS_MAX, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, ADMIN_IDLE_SECONDS, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, ADMIN_HEAD_MAX, NULL },
		{ MHD_OPTION_END, 0, NULL },
	};

	return MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, control ? on_control : on_tcp, a,
				MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

void admin_serve_turn(struct MHD_Daemon *d)
{
	MHD_run(d);
}

int admin_serve_fd(struct MHD_Daemon *d)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_EPOLL_FD);

	return info ? info->epoll_fd : -1;
}

int admin_serve_wait(struct MHD_Daemon *d)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(d, &ms) != MHD_YES)
		return -1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

void admin_serve_stop(struct MHD_Daemon *d)
{
	if (d)
		MHD_stop_daemon(d);
}
