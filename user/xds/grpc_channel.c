/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel: makes a connection (grpc_conn.c) over TCP or TLS, notices when it is dead, makes the
 * next one. A round tries every address of every name in order; after a round without success it
 * waits, longer each time and never as long as others do (jitter).
 *
 * One timer has the state's deadline, one does what must not be done inside a call of the owner.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "xds/grpc_impl.h"

#define ROOM "grpc"
#define KEEPALIVE_MAX_MS (3600 * 1000)
#define STABLE_MS 10000 /* up for so long: the next failure is the first one */
#define LOG_AGAIN_MS 60000
#define LOW_BYTES 65536 /* nghttp2 is asked for more output when less is pending */
#define TOO_MANY SLICE("too_many_pings")
#define ENHANCE_YOUR_CALM 11 /* HTTP/2's code that goes with it */

/* ---- ends ------------------------------------------------------------------------------------ */

static void enter(struct grpc_channel *ch)
{
	ch->depth++;
}

static void leave(struct grpc_channel *ch)
{
	if (--ch->depth == 0 && ch->freed)
		channel_delete(ch);
}

/* Drops the attempt or the connection. Streams are gone without a word. */
static void drop(struct grpc_channel *ch)
{
	io_timer_cancel(ch->io, &ch->deadline);
	io_lookup_cancel(ch->lookup);
	ch->lookup = NULL;
	grpc_conn_free(ch->conn);
	ch->conn = NULL;
	/* What is pending may be our reason: an alert, a GOAWAY. */
	if (ch->stream && ch->state != CONNECTING)
		io_stream_close_flush(ch->stream, 0);
	else
		io_stream_close(ch->stream);
	ch->stream = NULL;
	tls_free(ch->tls);
	ch->tls = NULL;
	ch->kicked = false;
	ch->is_leaving = ch->tell_leaving = false;
	ch->pinged = 0;
}

/* The same reason again and again is worth a line a minute. */
static void log_error_once(struct grpc_channel *ch, uint32_t ms)
{
	uint64_t now = io_now(ch->io);

	if (strcmp(ch->error.text, ch->logged.text) == 0 &&
	    now - ch->logged_at < LOG_AGAIN_MS * NSEC_PER_MSEC)
		return;
	ch->logged = ch->error;
	ch->logged_at = now;
	log_warn(ROOM, "%s: trying again in %.1f s", ch->error.text, ms / 1000.0);
}

/* The n-th wait is in [d/2, d], d doubling. */
static uint32_t backoff_ms(struct grpc_channel *ch)
{
	unsigned int n = ch->failed < 16 ? ch->failed : 16;
	uint64_t d = (uint64_t)ch->backoff_min_ms << (n ? n : 1);

	if (d > ch->backoff_max_ms)
		d = ch->backoff_max_ms;
	return (uint32_t)(d - rng_below(&ch->rng, (uint32_t)(d / 2) + 1));
}

/* Nothing is left of the attempt: waits and tells. */
static void wait_again(struct grpc_channel *ch)
{
	uint32_t ms;

	ch->failed++;
	ms = backoff_ms(ch);
	ch->state = WAITING;
	ch->since = io_now(ch->io);
	io_timer_set(ch->io, &ch->deadline, ms);
	log_error_once(ch, ms);
	ch->ops->down(ch, ch->error.text);
}

/* The connection that was up ended. */
static void go_down(struct grpc_channel *ch, const struct err *why)
{
	uint64_t lasted = io_now(ch->io) - ch->since;

	if (lasted >= STABLE_MS * NSEC_PER_MSEC)
		ch->failed = 0;
	err_set(&ch->error, 0, "%s: %s", ch->targets[ch->target].text, why->text);
	ch->state = WAITING; /* closed() shall not open streams */
	grpc_conn_fail(ch->conn, GRPC_UNAVAILABLE, ch->error.text);
	if (ch->freed)
		return;
	drop(ch);
	wait_again(ch);
}

/* The address at hand is no good: the next one is. */
static void attempt_failed(struct grpc_channel *ch, const struct err *why)
{
	err_set(&ch->error, 0, "%s: %s", ch->targets[ch->target].text, why->text);
	if (ch->n_addrs) {
		char at[ADDR_TEXT_MAX];

		addr_format(&ch->addrs[ch->addr], at);
		if (strcmp(at, ch->targets[ch->target].text) != 0)
			err_set(&ch->error, 0, "%s (%s): %s", ch->targets[ch->target].text, at,
				why->text);
	}
	drop(ch);
	ch->addr++;
	ch->state = NEXT;
	io_timer_set(ch->io, &ch->deadline, 0);
}

/* Whatever goes on has failed. */
static void broken(struct grpc_channel *ch, const struct err *why)
{
	struct err copy = *why; /* it may be ours */

	if (ch->state == UP)
		go_down(ch, &copy);
	else if (ch->state > NEXT)
		attempt_failed(ch, &copy);
}

/* The connection shall end, but not inside this call. */
static void kick(struct grpc_channel *ch, const char *why)
{
	if (ch->kicked)
		return;
	ch->kicked = true;
	err_set(&ch->why, 0, "%s", why);
	io_timer_set(ch->io, &ch->chores, 0);
}

/* ---- bytes out ------------------------------------------------------------------------------- */

/* Takes from nghttp2 what there is to send. 0, 1: more later, -EPROTO. */
static int pump_once(struct grpc_channel *ch, struct err *e)
{
	struct buf plain = { 0 };
	int r, w;

	if (!ch->tls) {
		struct buf *out = io_stream_out(ch->stream);
		size_t before = buf_len(out);

		r = grpc_conn_send(ch->conn, out, before + LOW_BYTES, e);
		ch->bytes_out += buf_len(out) - before;
		return r;
	}
	r = grpc_conn_send(ch->conn, &plain, LOW_BYTES, e);
	ch->bytes_out += buf_len(&plain);
	w = tls_write(ch->tls, buf_ptr(&plain), buf_len(&plain), io_stream_out(ch->stream), e);
	buf_done(&plain);
	return w < 0 ? w : r;
}

/* Calls no owner: what fails is told later. */
static void pump(struct grpc_channel *ch)
{
	struct err e;
	int r = 1;

	if (!ch->conn || ch->freed)
		return;
	while (r == 1 && io_stream_pending(ch->stream) < LOW_BYTES)
		r = pump_once(ch, &e);
	io_stream_flush(ch->stream);
	if (r < 0)
		kick(ch, e.text);
	else if (grpc_conn_has_news(ch->conn))
		io_timer_set(ch->io, &ch->chores, 0);
}

/* ---- bytes in -------------------------------------------------------------------------------- */

static void on_settled(void *owner)
{
	struct grpc_channel *ch = owner;

	/* up() waits until nghttp2 is not at work. */
	if (ch->state == GREETING)
		ch->state = UP;
}

static void on_goaway(void *owner, uint32_t code, struct slice text)
{
	struct grpc_channel *ch = owner;
	bool too_many = code == ENHANCE_YOUR_CALM && slice_is_equal(text, TOO_MANY);
	char *said = grpc_text_decode(text);
	char *why = xasprintf("the peer ends the connection (GOAWAY, code %" PRIu32 "%s%s)", code,
			      text.len ? ": " : "", said);

	if (!code && ch->ops->leaving && ch->state == UP) {
		/* Told once nghttp2 is not at work; said twice by a server that does it well. */
		if (!ch->is_leaving) {
			log_info(ROOM, "%s: %s: opening another one first",
				 ch->targets[ch->target].text, why);
			ch->is_leaving = ch->tell_leaving = true;
			ch->failed = 0; /* it is no failure */
			io_timer_set(ch->io, &ch->chores, 0);
		}
		goto out;
	}
	if (too_many && ch->keepalive_ms < KEEPALIVE_MAX_MS)
		ch->keepalive_ms *= 2;
	kick(ch, why);
out:
	free(why);
	free(said);
}

static void on_output(void *owner)
{
	pump(owner);
}

static const struct grpc_conn_ops conn_ops = {
	.settled = on_settled,
	.goaway = on_goaway,
	.output = on_output,
};

static void came_up(struct grpc_channel *ch)
{
	char at[ADDR_TEXT_MAX];

	addr_format(&ch->addrs[ch->addr], at);
	log_info(ROOM, "connected to %s (%s, %s)", ch->targets[ch->target].text, at,
		 ch->tls ? tls_version(ch->tls) : "plaintext");
	ch->connects++;
	ch->since = io_now(ch->io);
	ch->logged.text[0] = '\0';
	io_timer_set(ch->io, &ch->deadline, ch->keepalive_ms);
	ch->ops->up(ch);
}

/* HTTP/2 bytes of the peer. */
static int take(struct grpc_channel *ch, struct slice in, struct err *e)
{
	struct grpc_conn *conn = ch->conn;
	bool was_up = ch->state == UP;
	int r;

	ch->bytes_in += in.len;
	r = grpc_conn_recv(conn, in, e);
	/* A callback may have ended the channel. */
	if (ch->freed)
		return 0;
	pump(ch);
	if (r == 0 && !was_up && ch->state == UP && !ch->kicked)
		came_up(ch);
	return r;
}

static void begin_http(struct grpc_channel *ch)
{
	ch->state = GREETING;
	ch->conn = grpc_conn_new(ch->message_max, &conn_ops, ch);
	pump(ch);
}

/* 1: the peer has closed properly. */
static int take_tls(struct grpc_channel *ch, const char *p, size_t n, struct err *e)
{
	struct buf plain = { 0 }; /* not in @ch: it is lent to callbacks that may end all of it */
	int r = tls_read(ch->tls, p, n, &plain, io_stream_out(ch->stream), e);

	io_stream_flush(ch->stream);
	if (ch->state == SHAKING && tls_is_ready(ch->tls))
		begin_http(ch);
	if (buf_len(&plain) && ch->conn) {
		/* The reason of TLS comes first. */
		int h = take(ch, buf_slice(&plain), r < 0 ? NULL : e);

		if (r >= 0 && h < 0)
			r = h;
	}
	buf_done(&plain);
	return r;
}

static void on_data(struct io_stream *s, char *p, size_t n)
{
	struct grpc_channel *ch = io_stream_owner(s);
	struct err e = { .text = "" };
	int r;

	enter(ch);
	ch->heard = io_now(ch->io);
	ch->pinged = 0;
	r = ch->tls ? take_tls(ch, p, n, &e) : take(ch, slice_of(p, n), &e);
	if (!ch->freed && r != 0 && ch->stream == s) {
		if (r > 0)
			err_set(&e, 0, "the peer closed the connection");
		broken(ch, ch->kicked ? &ch->why : &e);
	}
	leave(ch);
}

static void on_end(struct io_stream *s, const char *why)
{
	struct grpc_channel *ch = io_stream_owner(s);
	struct err e;

	enter(ch);
	err_set(&e, 0, "%s", why);
	broken(ch, ch->kicked ? &ch->why : &e);
	leave(ch);
}

static void on_eof(struct io_stream *s)
{
	on_end(s, "the peer closed the connection");
}

static void on_failed(struct io_stream *s, int err)
{
	on_end(s, strerror(-err));
}

static void on_drained(struct io_stream *s)
{
	pump(io_stream_owner(s));
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* The files as they are now, or the last good ones. -errno: there were no good ones yet. */
static int refresh_files(struct grpc_channel *ch, struct err *e)
{
	int r;

	if (!ch->tls_ctx)
		return tls_ctx_new(&ch->tls_opts, &ch->tls_ctx, e);
	r = tls_ctx_reload(ch->tls_ctx, e);
	if (r > 0)
		log_info(ROOM, "the certificate files have changed: using the new ones");
	else if (r < 0)
		log_warn(ROOM, "%s: going on with the certificates read before", e->text);
	return 0;
}

static void begin_tls(struct grpc_channel *ch)
{
	const char *name = ch->server_name ? ch->server_name : ch->targets[ch->target].host;
	struct buf none = { 0 };
	struct err e;
	int r;

	ch->state = SHAKING;
	ch->tls = tls_new(ch->tls_ctx, name);
	r = tls_read(ch->tls, NULL, 0, &none, io_stream_out(ch->stream), &e);
	io_stream_flush(ch->stream);
	if (r < 0)
		broken(ch, &e);
}

static void on_connected(struct io_stream *s, int err)
{
	struct grpc_channel *ch = io_stream_owner(s);
	struct err e;

	enter(ch);
	if (err < 0) {
		err_set(&e, err, "%s", strerror(-err));
		broken(ch, &e);
	} else if (ch->use_tls) {
		begin_tls(ch);
	} else {
		begin_http(ch);
	}
	leave(ch);
}

static const struct io_stream_ops stream_ops = {
	.connected = on_connected,
	.data = on_data,
	.eof = on_eof,
	.failed = on_failed,
	.drained = on_drained,
};

static void connect_address(struct grpc_channel *ch)
{
	int err = 0;
	struct err e;

	ch->state = CONNECTING;
	if (ch->use_tls && refresh_files(ch, &e) < 0) {
		attempt_failed(ch, &e);
		return;
	}
	ch->stream =
		io_connect(ch->io, &ch->addrs[ch->addr], NULL, &ch->socket, &stream_ops, ch, &err);
	if (!ch->stream) {
		err_set(&e, err, "no socket: %s", strerror(-err));
		attempt_failed(ch, &e);
		return;
	}
	/* nghttp2 keeps the rest. */
	io_stream_set_marks(ch->stream, LOW_BYTES - 1, LOW_BYTES / 2);
	io_timer_set(ch->io, &ch->deadline, ch->connect_ms);
}

static void on_lookup(void *arg, const struct addr *v, unsigned int n, const char *reason)
{
	struct grpc_channel *ch = arg;
	struct err e;

	enter(ch);
	ch->lookup = NULL;
	if (n) {
		memcpy(ch->addrs, v, n * sizeof(*v));
		ch->n_addrs = n;
		connect_address(ch);
	} else {
		err_set(&e, 0, "the name cannot be resolved: %s", reason);
		attempt_failed(ch, &e);
	}
	leave(ch);
}

/* The addresses of the target at hand: known at once, or looked up. */
static void begin_target(struct grpc_channel *ch)
{
	struct target *t = &ch->targets[ch->target];
	struct err e;

	ch->addr = 0;
	ch->n_addrs = 0;
	if (addr_parse_ip(slice_str(t->host), &ch->addrs[0]) == 0) {
		ch->addrs[0].port = t->port;
		ch->n_addrs = 1;
		connect_address(ch);
		return;
	}
	ch->state = LOOKING;
	ch->lookup = io_lookup_start(ch->io, t->host, t->port, on_lookup, ch, &e);
	if (ch->lookup)
		io_timer_set(ch->io, &ch->deadline, ch->connect_ms);
	else
		attempt_failed(ch, &e);
}

static void next_address(struct grpc_channel *ch)
{
	if (ch->addr < ch->n_addrs) {
		connect_address(ch);
	} else if (ch->target + 1 < ch->n_targets) {
		ch->target++;
		begin_target(ch);
	} else {
		ch->failures++;
		wait_again(ch);
	}
}

static void begin_round(struct grpc_channel *ch)
{
	ch->target = 0;
	begin_target(ch);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void keep_alive(struct grpc_channel *ch)
{
	uint64_t now = io_now(ch->io);
	uint64_t quiet_ms = (now - ch->heard) / NSEC_PER_MSEC;
	struct err e;

	if (ch->pinged) {
		err_set(&e, 0, "no answer to a PING within %" PRIu32 " ms",
			ch->keepalive_timeout_ms);
		go_down(ch, &e);
	} else if (quiet_ms >= ch->keepalive_ms) {
		ch->pinged = now;
		grpc_conn_ping(ch->conn);
		io_timer_set(ch->io, &ch->deadline, ch->keepalive_timeout_ms);
	} else {
		io_timer_set(ch->io, &ch->deadline, ch->keepalive_ms - quiet_ms);
	}
}

static const char *slow(enum channel_state s)
{
	switch (s) {
	case LOOKING: return "the name is not resolved in time";
	case CONNECTING: return "no connection in time";
	case SHAKING: return "the TLS handshake does not end in time";
	case GREETING: return "no HTTP/2 SETTINGS in time";
	case WAITING:
	case NEXT:
	case UP: break;
	}
	return "";
}

void channel_on_deadline(struct io_timer *t)
{
	struct grpc_channel *ch = container_of(t, struct grpc_channel, deadline);
	struct err e;

	enter(ch);
	switch (ch->state) {
	case WAITING: begin_round(ch); break;
	case NEXT: next_address(ch); break;
	case UP: keep_alive(ch); break;
	case LOOKING:
	case CONNECTING:
	case SHAKING:
	case GREETING:
		err_set(&e, -ETIMEDOUT, "%s", slow(ch->state));
		attempt_failed(ch, &e);
		break;
	}
	leave(ch);
}

void channel_on_chores(struct io_timer *t)
{
	struct grpc_channel *ch = container_of(t, struct grpc_channel, chores);

	enter(ch);
	if (ch->conn)
		grpc_conn_tell(ch->conn);
	if (!ch->freed && ch->tell_leaving) {
		ch->tell_leaving = false;
		ch->ops->leaving(ch);
	}
	if (!ch->freed && ch->kicked) {
		ch->kicked = false;
		broken(ch, &ch->why);
	}
	leave(ch);
}

/* ---- for the owner --------------------------------------------------------------------------- */

/* The peer is told that this is the end, without waiting for it. */
static void say_goodbye(struct grpc_channel *ch)
{
	struct err e;

	if (ch->state != UP || ch->kicked)
		return;
	grpc_conn_goodbye(ch->conn);
	pump_once(ch, &e);
	if (ch->tls)
		tls_shutdown(ch->tls, io_stream_out(ch->stream));
	io_stream_flush(ch->stream);
	io_stream_close_flush(ch->stream, 0);
	ch->stream = NULL;
}

void grpc_channel_free(struct grpc_channel *ch)
{
	if (!ch || ch->freed)
		return;
	enter(ch);
	ch->freed = true;
	/* Inside a message's callback nghttp2 is at work. */
	if (ch->depth == 1)
		say_goodbye(ch);
	drop(ch);
	io_timer_cancel(ch->io, &ch->chores);
	leave(ch);
}

void grpc_channel_reconnect(struct grpc_channel *ch, const char *reason)
{
	if (ch->state <= NEXT)
		io_timer_set(ch->io, &ch->deadline, 0);
	else
		kick(ch, reason);
}
