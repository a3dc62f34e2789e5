/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that come in: told to the owner, held while reading is stopped, dropped when there is no
 * owner any more.
 */
#include "io/io_impl.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>

void stream_on_data(struct io_stream *s, char *p, size_t n)
{
	s->io->totals.bytes_in += n;
	if (!stream_is_owned(s))
		return;
	/* Nothing is armed while bytes are held, so they are at most what was under way. */
	if (!s->reading || buf_len(&s->held))
		buf_add(&s->held, p, n);
	else
		s->ops->data(s, p, n);
}

static void stream_tell_eof(struct io_stream *s)
{
	if (s->broken) {
		stream_fail(s, s->broken);
		return;
	}
	s->eof_told = true;
	s->ops->eof(s);
}

/* Hands over what came while reading was stopped. */
static void stream_tell_held(struct io_stream *s)
{
	/* Taken out: the callback may close, and its memory is lent until it returns. */
	struct buf b = s->held;
	size_t told = 0;

	s->held = (struct buf){ 0 };
	while (buf_len(&b) && stream_is_owned(s) && s->reading && told < IO_TURN_BYTES) {
		size_t n = buf_len(&b) < IO_RECV_BUFFER ? buf_len(&b) : IO_RECV_BUFFER;
		char *p = buf_ptr(&b);

		b.head += n;
		told += n;
		s->ops->data(s, p, n);
	}
	if (buf_len(&b) && stream_is_owned(s)) {
		s->held = b;
		if (s->reading)
			stream_mark_ready(s);
		return;
	}
	buf_done(&b);
}

void stream_on_recv_end(struct io_stream *s, int res)
{
	if (s->phase != IO_OPEN)
		return;
	if (res < 0) {
		/* The bytes before a reset are still good. */
		if (buf_len(&s->held) && s->reading)
			stream_tell_held(s);
		stream_fail(s, res);
		return;
	}
	s->eof_seen = true;
	if (s->orphan)
		stream_mark_dirty(s);
	else if (s->reading && !buf_len(&s->held))
		stream_tell_eof(s);
}

static void stream_tell_ready(struct io_stream *s)
{
	if (s->early) {
		stream_fail(s, s->early);
		return;
	}
	if (buf_len(&s->held))
		stream_tell_held(s);
	if (!stream_is_owned(s) || !s->reading || buf_len(&s->held))
		return;
	if (s->eof_seen && !s->eof_told)
		stream_tell_eof(s);
	else
		stream_mark_dirty(s);
}

void streams_tell_ready(struct io *io)
{
	struct list now;
	struct list *n;

	list_init(&now);
	list_splice(&now, &io->ready);
	while ((n = list_pop(&now)) != NULL)
		stream_tell_ready(list_entry(n, struct io_stream, ready_node));
}

void io_stream_read_stop(struct io_stream *s)
{
	s->reading = false;
	stream_mark_dirty(s);
}

void io_stream_read_start(struct io_stream *s)
{
	if (s->reading || s->phase > IO_OPEN)
		return;
	s->reading = true;
	if (buf_len(&s->held) || (s->eof_seen && !s->eof_told))
		stream_mark_ready(s);
	stream_mark_dirty(s);
}

void io_stream_set_watch(struct io_stream *s, enum io_watch what)
{
	s->watch = what;
}

static bool stream_has_unread(struct io_stream *s)
{
	int n = 0;

	return buf_len(&s->held) || (ioctl(s->fd, FIONREAD, &n) == 0 && n > 0);
}

/* The end of a peer that is not read from: -errno, or 0 if it may be there still. */
static int stream_peer_end(struct io_stream *s)
{
	bool eof_ends = s->watch == IO_WATCH_ANSWERS && !s->eof_told;
	struct pollfd p = { .fd = s->fd, .events = eof_ends ? POLLRDHUP : 0 };

	if (poll(&p, 1, 0) <= 0)
		return 0;
	if ((p.revents & POLLERR) && (s->watch != IO_WATCH_BYTES || !stream_has_unread(s)))
		return socket_error(s->fd);
	return p.revents & p.events ? -ECONNRESET : 0;
}

/*
 * The kernel tells nothing of the peer now, so it is asked. A poll operation and its end would
 * burden every stop, and in a transfer with back-pressure they are many; the timer, once armed,
 * goes through all of them.
 */
static void stream_look_later(struct io_stream *s)
{
	if (!s->orphan && !s->broken && !io_timer_is_armed(&s->timer))
		io_timer_set(s->io, &s->timer, IO_LOOK_MS);
}

void stream_look(struct io_stream *s)
{
	int err;

	if (s->phase != IO_OPEN || s->flight & IO_RECV)
		return;
	err = stream_peer_end(s);
	if (err)
		stream_fail(s, err);
	else
		stream_look_later(s);
}

void stream_settle_input(struct io_stream *s)
{
	bool want = stream_is_reading(s) && !buf_len(&s->held);

	if (want && !(s->flight & IO_RECV))
		s->io->backend->recv(s);
	else if (!want && (s->flight & IO_RECV) && !s->recv_cancelling)
		s->io->backend->recv_cancel(s);
	if (!want)
		stream_look_later(s);
}
