/* SPDX-License-Identifier: Apache-2.0 */
/* What a channel is told and asked: its settings, its state, new streams with their token. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "xds/grpc_impl.h"

#define CONNECT_MS 10000
#define KEEPALIVE_MS 30000
#define KEEPALIVE_TIMEOUT_MS 20000
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000

/* ---- settings -------------------------------------------------------------------------------- */

/* "name:port", "1.2.3.4:port", "[v6]:port". */
static int parse_target(struct target *t, const char *text, struct err *e)
{
	const char *colon = strrchr(text, ':');
	struct slice host = slice_of(text, colon ? (size_t)(colon - text) : 0);
	uint64_t port = 0;

	if (!colon || slice_to_u64(slice_str(colon + 1), &port) < 0 || !port || port > UINT16_MAX)
		return err_set(e, -EINVAL, "'%s' is not an address with a port", text);
	if (host.len && host.ptr[0] == '[') {
		struct addr ip;

		host = slice_of(host.ptr + 1, host.len > 1 ? host.len - 2 : 0);
		if (colon[-1] != ']' || addr_parse_ip(host, &ip) < 0)
			return err_set(e, -EINVAL, "'%s': an IP address belongs in the brackets",
				       text);
	} else if (slice_find(host, ':') >= 0) {
		return err_set(e, -EINVAL, "'%s': an IPv6 address stands in brackets", text);
	}
	if (!host.len || host.len > 255)
		return err_set(e, -EINVAL, "'%s' has no name before the port", text);
	*t = (struct target){ xstrdup(text), slice_dup(host), (uint16_t)port };
	return 0;
}

static int check_opts(const struct grpc_opts *o, struct err *e)
{
	bool files = o->ca_file || o->cert_file || o->key_file || o->server_name;

	if (!o->n_addresses || o->n_addresses > GRPC_ADDRESSES_MAX)
		return err_set(e, -EINVAL, "1 to %d addresses are needed", GRPC_ADDRESSES_MAX);
	if (!o->tls && files)
		return err_set(e, -EINVAL,
			       "certificates and server name are for TLS, which is off");
	if (!o->cert_file != !o->key_file)
		return err_set(e, -EINVAL,
			       "a certificate needs its key, and a key its certificate");
	if (!o->tls && o->token_file)
		return err_set(e, -EINVAL, "without TLS anybody on the way could read the token");
	return 0;
}

static uint32_t or_default(unsigned int v, uint32_t dflt)
{
	return v ? v : dflt;
}

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static void copy_opts(struct grpc_channel *ch, const struct grpc_opts *o)
{
	ch->authority = copy(o->authority);
	ch->user_agent = xstrdup(o->user_agent ? o->user_agent : "skiff/" SKIFF_VERSION);
	ch->server_name = copy(o->server_name);
	ch->token_file = copy(o->token_file);
	ch->use_tls = o->tls;
	ch->tls_opts = (struct tls_opts){
		.ca_file = copy(o->ca_file),
		.cert_file = copy(o->cert_file),
		.key_file = copy(o->key_file),
		.alpn = "h2",
	};
	ch->socket = (struct io_socket_opts){ .netns = -1, .mark = o->mark };
	ch->connect_ms = or_default(o->connect_timeout_ms, CONNECT_MS);
	ch->keepalive_ms = or_default(o->keepalive_ms, KEEPALIVE_MS);
	ch->keepalive_timeout_ms = or_default(o->keepalive_timeout_ms, KEEPALIVE_TIMEOUT_MS);
	ch->backoff_min_ms = or_default(o->backoff_min_ms, BACKOFF_MIN_MS);
	ch->backoff_max_ms = or_default(o->backoff_max_ms, BACKOFF_MAX_MS);
	ch->message_max = o->message_max ? o->message_max : GRPC_MESSAGE_MAX;
}

void channel_delete(struct grpc_channel *ch)
{
	for (unsigned int i = 0; i < ch->n_targets; i++) {
		free(ch->targets[i].text);
		free(ch->targets[i].host);
	}
	free(ch->authority);
	free(ch->user_agent);
	free(ch->server_name);
	free(ch->token_file);
	tls_ctx_free(ch->tls_ctx);
	free((char *)ch->tls_opts.ca_file);
	free((char *)ch->tls_opts.cert_file);
	free((char *)ch->tls_opts.key_file);
	free(ch);
}

int grpc_channel_new(struct io *io, const struct grpc_opts *opts,
		     const struct grpc_channel_ops *ops, void *owner, struct grpc_channel **ret_ch,
		     struct err *e)
{
	struct grpc_channel *ch;
	int r = check_opts(opts, e);

	if (r < 0)
		return r;
	ch = xcalloc(1, sizeof(*ch));
	ch->io = io;
	ch->ops = ops;
	ch->owner = owner;
	rng_init(&ch->rng, clock_mono_ns() ^ (uintptr_t)ch);
	io_timer_init(&ch->deadline, channel_on_deadline);
	io_timer_init(&ch->chores, channel_on_chores);
	copy_opts(ch, opts);
	for (size_t i = 0; i < opts->n_addresses && r == 0; i++) {
		r = parse_target(&ch->targets[i], opts->addresses[i], e);
		ch->n_targets += r == 0;
	}
	if (r < 0) {
		channel_delete(ch);
		return r;
	}
	io_timer_set(io, &ch->deadline, 0); /* WAITING: the first round */
	*ret_ch = ch;
	return 0;
}

struct grpc_channel *grpc_channel_clone(const struct grpc_channel *ch, uint32_t delay_ms,
					void *owner)
{
	const char *addresses[GRPC_ADDRESSES_MAX];
	struct grpc_opts o = {
		.addresses = addresses,
		.n_addresses = ch->n_targets,
		.authority = ch->authority,
		.user_agent = ch->user_agent,
		.tls = ch->use_tls,
		.ca_file = ch->tls_opts.ca_file,
		.cert_file = ch->tls_opts.cert_file,
		.key_file = ch->tls_opts.key_file,
		.server_name = ch->server_name,
		.token_file = ch->token_file,
		.mark = ch->socket.mark,
		.connect_timeout_ms = ch->connect_ms,
		.keepalive_ms = ch->keepalive_ms,
		.keepalive_timeout_ms = ch->keepalive_timeout_ms,
		.backoff_min_ms = ch->backoff_min_ms,
		.backoff_max_ms = ch->backoff_max_ms,
		.message_max = ch->message_max,
	};
	struct grpc_channel *c = NULL;
	struct err e;

	for (unsigned int i = 0; i < ch->n_targets; i++)
		addresses[i] = ch->targets[i].text;
	must(grpc_channel_new(ch->io, &o, ch->ops, owner, &c, &e) == 0); /* they were good once */
	c->connects = ch->connects;
	c->failures = ch->failures;
	c->bytes_in = ch->bytes_in;
	c->bytes_out = ch->bytes_out;
	io_timer_set(c->io, &c->deadline, delay_ms);
	return c;
}

void *grpc_channel_owner(const struct grpc_channel *ch)
{
	return ch->owner;
}

bool grpc_channel_is_up(const struct grpc_channel *ch)
{
	return ch->state == UP && !ch->kicked && !ch->is_leaving;
}

void grpc_channel_prove(struct grpc_channel *ch)
{
	ch->failed = 0;
}

void grpc_channel_info_get(const struct grpc_channel *ch, struct grpc_channel_info *ret_info)
{
	struct grpc_conn_count n = { 0 };

	if (ch->conn)
		grpc_conn_count_get(ch->conn, &n);
	*ret_info = (struct grpc_channel_info){
		.is_up = ch->state == UP,
		.address = ch->targets[ch->target].text,
		.error = ch->error.text,
		.since = ch->since,
		.connects = ch->connects,
		.failures = ch->failures,
		.bytes_in = ch->bytes_in,
		.bytes_out = ch->bytes_out,
		.held = n.held,
		.streams = n.streams,
	};
}

/* ---- opening streams ------------------------------------------------------------------------- */

/* Only what may stand in a header; a line end at the end of the file is usual. */
static int check_token(const char *file, struct slice token, struct err *e)
{
	if (!token.len)
		return err_set(e, -EINVAL, "%s: there is no token in it", file);
	for (size_t i = 0; i < token.len; i++)
		if (token.ptr[i] <= ' ' || token.ptr[i] > '~')
			return err_set(e, -EINVAL, "%s: not a bearer token", file);
	return 0;
}

/* Appends "Bearer TOKEN" to @out. */
static int read_token(const char *file, struct buf *out, struct err *e)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct slice token;
	ssize_t n;
	int r;

	if (fd < 0)
		return err_set(e, -errno, "%s: %s", file, strerror(errno));
	buf_add_slice(out, SLICE("Bearer "));
	n = read(fd, buf_reserve(out, GRPC_TOKEN_MAX + 1), GRPC_TOKEN_MAX + 1);
	r = n < 0 ? -errno : 0;
	close(fd);
	if (r < 0)
		return err_set(e, r, "%s: %s", file, strerror(-r));
	if (n > GRPC_TOKEN_MAX)
		return err_set(e, -E2BIG, "%s: over %d bytes", file, GRPC_TOKEN_MAX);
	while (n && strchr("\r\n \t", buf_ptr(out)[buf_len(out) + (size_t)n - 1]))
		n--;
	token = slice_of(buf_ptr(out) + buf_len(out), (size_t)n);
	buf_commit(out, (size_t)n);
	return check_token(file, token, e);
}

struct grpc_stream *grpc_stream_open(struct grpc_channel *ch, const char *method,
				     const struct grpc_stream_ops *ops, void *owner, struct err *e)
{
	return grpc_stream_open_as(ch, method, NULL, ops, owner, e);
}

struct grpc_stream *grpc_stream_open_as(struct grpc_channel *ch, const char *method,
					const char *token_file, const struct grpc_stream_ops *ops,
					void *owner, struct err *e)
{
	struct grpc_request q = { .method = method, .user_agent = ch->user_agent };
	struct grpc_stream *st = NULL;
	struct buf token = { 0 };

	if (!grpc_channel_is_up(ch)) {
		err_set(e, -ENOTCONN, "the channel is not connected");
		return NULL;
	}
	q.scheme = ch->tls ? "https" : "http";
	q.authority = ch->authority ? ch->authority : ch->targets[ch->target].text;
	if (!token_file)
		token_file = ch->token_file;
	if (token_file && !ch->tls) {
		err_set(e, -EINVAL, "without TLS anybody on the way could read the token");
		goto out;
	}
	if (token_file && read_token(token_file, &token, e) < 0)
		goto out;
	q.authorization = buf_slice(&token);
	st = grpc_conn_open(ch->conn, &q, ops, owner, e);
out:
	buf_done(&token);
	return st;
}
