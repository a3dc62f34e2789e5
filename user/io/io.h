/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of one thread: streams, listeners, timers, posts from other threads. Two
 * backends with the same promises: io_uring (SINGLE_ISSUER | DEFER_TASKRUN, multishot accept and
 * recv on a provided buffer ring, what a turn arms is submitted by the wait of the next) and epoll.
 * Only this room sees liburing. Everything is called on the loop's own thread unless it says
 * otherwise.
 *
 * A turn: completions are handled (callbacks run), then the turn hook, then every stream with
 * new output is sent (one send each; a stream with much output sends some of it before). Work a
 * turn is bounded: at most IO_TURN_BYTES are delivered for one stream before the others had theirs.
 */
#ifndef SKIFF_IO_IO_H
#define SKIFF_IO_IO_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"

enum io_backend { IO_AUTO, IO_URING, IO_EPOLL };

struct io;	    /* one loop */
struct io_stream;   /* one connected (or connecting) stream socket */
struct io_listener; /* one listening socket */

#define IO_RECV_BUFFER 16384   /* bytes of one provided buffer */
#define IO_TURN_BYTES (512 * 1024)

/* ---- loop ------------------------------------------------------------------------------ */

/*
 * Makes a loop; must be called on the thread that will run it (SINGLE_ISSUER). IO_AUTO tries
 * io_uring and falls back to epoll with one log line that says why. -ENOSYS etc. with @e set.
 */
int io_new(enum io_backend want, struct io **ret_io, struct err *e);
/* Closes what is still open. NULL is allowed. */
void io_free(struct io *io);
const char *io_backend_name(const struct io *io); /* "uring" or "epoll" */

void io_run(struct io *io);  /* until io_stop */
void io_stop(struct io *io); /* any thread */
/*
 * Lets the loop wait awake for up to @us before it sleeps, when the last waits say that the event
 * comes within that time (an answer, mostly). Lower latency at low rates for some CPU; gives way to
 * whoever wants the CPU. 0 (the default): never. Nothing happens on epoll.
 */
void io_set_busy_poll(struct io *io, unsigned int us);
/* One turn; waits up to @timeout_ms (-1: for ever). For tests and for loops with other duties. */
void io_run_once(struct io *io, int timeout_ms);

/* Monotonic ns, read once a turn. */
uint64_t io_now(const struct io *io);

/* Runs @fn(@arg) on the loop's thread, in order of posting. Any thread; wakes the loop. */
void io_post(struct io *io, void (*fn)(void *arg), void *arg);

/* Called at the end of every turn, before output is sent. One hook a loop. */
void io_set_turn_hook(struct io *io, void (*fn)(void *arg), void *arg);

/* ---- timers: embedded, O(1), 1 ms steps ------------------------------------------------- */

struct io_timer {
	struct list node;
	uint64_t at; /* ms tick; 0 = not armed */
	void (*fn)(struct io_timer *t);
};

void io_timer_init(struct io_timer *t, void (*fn)(struct io_timer *t));
/* (Re)arms @t to fire once, not before @ms milliseconds from io_now. */
void io_timer_set(struct io *io, struct io_timer *t, uint64_t ms);
void io_timer_cancel(struct io *io, struct io_timer *t); /* harmless when not armed */
static inline bool io_timer_is_armed(const struct io_timer *t)
{
	return t->at != 0;
}

/* ---- sockets ----------------------------------------------------------------------------- */

/*
 * How a socket is made. @netns: descriptor of the network namespace to make it in, -1 for
 * skiffd's own (the thread enters it around socket(2); a loop's thread may stay inside for up to a
 * second, so nothing else may make sockets on it). @mark: SO_MARK, 0 = none
 * (the capture programs leave sockets with SKIFF_MARK alone).
 */
struct io_socket_opts {
	int netns;
	uint32_t mark;
	bool dual_stack; /* listeners on an IPv6 address: take IPv4 (mapped) too */
};

/*
 * Makes a listening socket (SO_REUSEADDR, SO_REUSEPORT, TCP_NODELAY inherited, non-blocking,
 * CLOEXEC). Any thread. Returns the descriptor or -errno with @e set ("address in use" names the
 * address and the fix).
 */
int io_listen_socket(const struct addr *at, const struct io_socket_opts *opts, struct err *e);

struct io_listener_ops {
	/* A new connection; the callee owns @fd (io_stream_new or close). */
	void (*accepted)(struct io_listener *l, int fd);
};

/*
 * Starts accepting on @fd, which the listener owns from now on. Survives EMFILE by waiting 100 ms.
 */
struct io_listener *io_listener_new(struct io *io, int fd, const struct io_listener_ops *ops,
				    void *owner);
void *io_listener_owner(const struct io_listener *l);
int io_listener_fd(const struct io_listener *l);
void io_listener_close(struct io_listener *l);

/* ---- streams ----------------------------------------------------------------------------- */

/*
 * Callbacks. Any of them may call any function on the stream, also io_stream_close. None comes
 * after io_stream_close / _close_flush / _abort. NULL members are allowed for connected/drained.
 */
struct io_stream_ops {
	/* io_connect ended: 0, or -errno; on failure the owner must still io_stream_close. */
	void (*connected)(struct io_stream *s, int err);
	/*
	 * @n bytes came; the memory may be written to (in-place lower-casing) and is lent until the
	 * return. Never called while reading is stopped.
	 */
	void (*data)(struct io_stream *s, char *p, size_t n);
	/*
	 * The peer sends no more (half-close); output is still possible. Not while reading is
	 * stopped.
	 */
	void (*eof)(struct io_stream *s);
	/*
	 * The connection broke (@err = -errno: -ECONNRESET, -EPIPE, -ETIMEDOUT ...); nothing more
	 * can be sent or received; the owner must close. Comes even while reading is stopped, half
	 * a second late at most: see io_stream_set_watch. Input that had come before a failed send
	 * is delivered first.
	 */
	void (*failed)(struct io_stream *s, int err);
	/* Pending output fell to or under the low mark after having been over the high mark. */
	void (*drained)(struct io_stream *s);
};

/* Wraps a connected descriptor (accepted). Reading starts at once. Takes @fd. */
struct io_stream *io_stream_new(struct io *io, int fd, const struct io_stream_ops *ops,
				void *owner);

/*
 * Starts a connection to @to. Returns the stream (connected() follows, also for immediate errors,
 * never from inside this call), or NULL with -errno in @ret_err when no socket can be made.
 * @from: local address to bind (port 0 = any), or NULL.
 */
struct io_stream *io_connect(struct io *io, const struct addr *to, const struct addr *from,
			     const struct io_socket_opts *opts, const struct io_stream_ops *ops,
			     void *owner, int *ret_err);

void *io_stream_owner(const struct io_stream *s);
void io_stream_set_owner(struct io_stream *s, const struct io_stream_ops *ops, void *owner);
struct io *io_stream_io(const struct io_stream *s);
int io_stream_fd(const struct io_stream *s);
/* The socket's own and the peer's address, read once and cached. 0 or -errno. */
int io_stream_local(struct io_stream *s, struct addr *ret_a);
int io_stream_peer(struct io_stream *s, struct addr *ret_a);

/*
 * Output: append to the buffer that io_stream_out returns, then io_stream_flush. The bytes leave
 * at the end of the turn. Order is kept. A stream without pending output holds no buffer.
 */
struct buf *io_stream_out(struct io_stream *s);
void io_stream_flush(struct io_stream *s);
/* Appends and flushes. */
void io_stream_write(struct io_stream *s, const void *p, size_t n);
/* Bytes that the kernel has not taken yet. */
size_t io_stream_pending(const struct io_stream *s);
/* All bytes of output so far, taken by the kernel or pending. */
uint64_t io_stream_written(const struct io_stream *s);
/* Marks for drained(); default 256 KiB / 128 KiB. The caller of write watches pending itself. */
void io_stream_set_marks(struct io_stream *s, size_t high, size_t low);
static inline bool io_stream_is_full(const struct io_stream *s);

/* Stops and restarts data/eof callbacks; unread bytes stay in the kernel (or are held). */
void io_stream_read_stop(struct io_stream *s);
void io_stream_read_start(struct io_stream *s);

/*
 * What ends a stream, with failed(), while it is not read: bytes that lie unread hide their
 * sender's end. BYTES (at first): they are wanted whatever became of the peer; a reset is told
 * when there are none. PEER: not without it; a reset is told at once. ANSWERS: nor once it sends no
 * more, as it will not wait for answers either.
 */
enum io_watch { IO_WATCH_BYTES, IO_WATCH_PEER, IO_WATCH_ANSWERS };
void io_stream_set_watch(struct io_stream *s, enum io_watch what);

/* Half-close: SHUT_WR once the pending output is out. */
void io_stream_shutdown(struct io_stream *s);
/* Closes now; pending output is dropped. The stream's memory goes when the kernel is done. */
void io_stream_close(struct io_stream *s);
/*
 * Sends the pending output, half-closes, then reads and drops what the peer still sends until it
 * closes or @linger_ms passed, then closes. Keeps a peer that is still sending from losing our
 * last answer to a reset. Output that does not drain for @linger_ms (at least 1 s) is dropped.
 */
void io_stream_close_flush(struct io_stream *s, unsigned int linger_ms);
/* Closes with a reset (SO_LINGER 0). */
void io_stream_abort(struct io_stream *s);

/* Totals for statistics and tests. */
struct io_totals {
	uint64_t streams;  /* open now */
	uint64_t in_flight; /* operations that the kernel holds now */
	uint64_t turns;
	uint64_t bytes_in, bytes_out;
};
void io_totals_get(const struct io *io, struct io_totals *ret_t);

size_t io_stream_high(const struct io_stream *s);
static inline bool io_stream_is_full(const struct io_stream *s)
{
	return io_stream_pending(s) > io_stream_high(s);
}

#endif
