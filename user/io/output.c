/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that go out: `out` is filled by the owner while the kernel takes `sending`. The buffers
 * come from the loop and go back when they are empty.
 */
#include "io/io_impl.h"

#include <errno.h>

static void out_take(struct io *io, struct buf *b)
{
	if (io->n_spare) {
		*b = io->spare[--io->n_spare];
		return;
	}
	b->base = xmalloc(IO_OUT_FIRST);
	b->cap = IO_OUT_FIRST;
}

/* Gives the memory of @b, whose bytes are of no use any more, back to the loop. */
static void out_give(struct io *io, struct buf *b)
{
	if (!b->base)
		return;
	b->head = b->tail = 0;
	if (io->n_spare == IO_SPARE_MAX || b->cap > BUF_KEEP || b->cap < IO_OUT_FIRST) {
		buf_done(b);
		return;
	}
	io->spare[io->n_spare++] = *b;
	*b = (struct buf){ 0 };
}

void stream_drop_output(struct io_stream *s)
{
	out_give(s->io, &s->out);
	if (!(s->flight & IO_SEND))
		out_give(s->io, &s->sending);
}

/*
 * A failed send does not end the stream at once: a server may answer, close, and so reset what we
 * still send; its answer waits in our receive queue. Input is read to its end first, within
 * IO_BROKEN_MS.
 */
static void stream_break(struct io_stream *s, int err)
{
	if ((err != -EPIPE && err != -ECONNRESET) || !s->reading || s->eof_seen || s->orphan) {
		stream_fail(s, err);
		return;
	}
	s->broken = err;
	stream_drop_output(s);
	io_timer_set(s->io, &s->timer, IO_BROKEN_MS);
}

static void stream_took(struct io_stream *s, size_t n)
{
	s->io->totals.bytes_out += n;
	s->sent += n;
	s->sending.head += n;
	if (!buf_len(&s->sending))
		out_give(s->io, &s->sending);
	if (s->orphan)
		io_timer_set(s->io, &s->timer,
			     s->linger_ms > IO_FLUSH_MIN_MS ? s->linger_ms : IO_FLUSH_MIN_MS);
}

static void stream_turn_over(struct io_stream *s)
{
	struct buf b = s->sending;

	s->sending = s->out;
	s->out = b;
}

/*
 * Sends until nothing is left or the kernel's buffer is full; the rest goes to the backend, which
 * knows when there is room. 0 or -errno.
 */
static int stream_send(struct io_stream *s)
{
	while (io_stream_pending(s)) {
		ssize_t n;
		size_t len;

		if (!buf_len(&s->sending))
			stream_turn_over(s);
		len = buf_len(&s->sending);
		n = send(s->fd, buf_ptr(&s->sending), len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n > 0)
			stream_took(s, (size_t)n);
		if (n < (ssize_t)len) {
			s->io->backend->send(s);
			return 0;
		}
	}
	/* An empty buffer that io_stream_out gave and nobody filled. */
	out_give(s->io, &s->out);
	return 0;
}

void stream_on_sent(struct io_stream *s, int res)
{
	if (s->phase != IO_OPEN)
		return;
	if (res >= 0)
		stream_took(s, (size_t)res);
	else if (res != -EAGAIN && res != -EINTR && res != -ECANCELED)
		stream_break(s, res);
}

/*
 * The ordinary message: all of the turn's pushes are made by one system call, the one that waits,
 * and whom they wake does not take the processor away before the last. Where something follows
 * the output (its end, a `drained`), it is sent now: the loop may sleep before it hears of a push.
 */
static bool stream_push(struct io_stream *s)
{
	if (!s->io->backend->push || buf_len(&s->sending) || !buf_len(&s->out) ||
	    buf_len(&s->out) > IO_PUSH_MAX || s->was_full || s->shut_wanted || s->orphan ||
	    s->send_err)
		return false;
	stream_turn_over(s);
	if (s->io->backend->push(s))
		return true;
	stream_turn_over(s);
	return false;
}

void stream_on_pushed(struct io_stream *s, int res)
{
	stream_on_sent(s, res);
	if (s->phase == IO_DEAD || io_stream_pending(s) || s->was_full || s->shut_wanted ||
	    s->orphan)
		stream_on_idle(s);
}

void stream_settle_output(struct io_stream *s)
{
	if (s->flight & IO_SEND)
		return;
	if (s->broken || s->shut_done)
		stream_drop_output(s);
	if (stream_push(s))
		return;
	if (!s->send_err)
		s->send_err = stream_send(s);
	if (s->send_err && !s->broken)
		stream_break(s, s->send_err);
}

void stream_settle_drained(struct io_stream *s)
{
	if (!s->was_full || io_stream_pending(s) > s->low)
		return;
	s->was_full = false;
	if (stream_is_owned(s) && !s->broken && s->ops->drained)
		s->ops->drained(s);
}

struct buf *io_stream_out(struct io_stream *s)
{
	if (!s->out.base)
		out_take(s->io, &s->out);
	return &s->out;
}

void io_stream_flush(struct io_stream *s)
{
	if (s->phase > IO_OPEN) {
		stream_drop_output(s);
		return;
	}
	if (io_stream_is_full(s))
		s->was_full = true;
	stream_mark_dirty(s);
	/*
	 * Much output does not wait for the end of the turn: it would outgrow the recycled
	 * buffers and the processor's cache. What fails is told at the end of the turn.
	 */
	if (buf_len(&s->out) >= IO_SEND_EARLY && s->phase == IO_OPEN && !(s->flight & IO_SEND) &&
	    !s->broken && !s->shut_done && !s->send_err)
		s->send_err = stream_send(s);
}

void io_stream_write(struct io_stream *s, const void *p, size_t n)
{
	buf_add(io_stream_out(s), p, n);
	io_stream_flush(s);
}

size_t io_stream_pending(const struct io_stream *s)
{
	return buf_len(&s->out) + buf_len(&s->sending);
}

void io_stream_set_marks(struct io_stream *s, size_t high, size_t low)
{
	s->high = high < UINT32_MAX ? (uint32_t)high : UINT32_MAX;
	s->low = low < UINT32_MAX ? (uint32_t)low : UINT32_MAX;
}

size_t io_stream_high(const struct io_stream *s)
{
	return s->high;
}

uint64_t io_stream_written(const struct io_stream *s)
{
	return s->sent + io_stream_pending(s);
}
