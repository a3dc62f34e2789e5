/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the io room share: the loop, the stream, the timer wheel, and the face of a
 * backend. Not for other rooms.
 *
 * The common half (stream.c, input.c, output.c) owns every decision: when to read, to send, to
 * close. A backend only arms and disarms operations and reports what came of them through
 * stream_on_* and listener_on_*. A stream's memory goes at the end of a turn, when `flight` is 0.
 */
#ifndef SKIFF_IO_IO_IMPL_H
#define SKIFF_IO_IO_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "io/io.h"

#define IO_RECV_BUFFERS 256	     /* provided buffers of a loop; a power of two */
#define IO_OUT_FIRST 4096	     /* bytes of a fresh output buffer */
#define IO_SEND_EARLY (48 * 1024)    /* so much output is sent before the turn's end */
#define IO_PUSH_MAX (16 * 1024)	     /* so much output of a stream goes with the loop's wait */
#define IO_SPARE_MAX 64		     /* output buffers that a loop keeps, each at most BUF_KEEP */
#define IO_MARK_HIGH (256 * 1024)
#define IO_MARK_LOW (128 * 1024)
#define IO_ACCEPT_PAUSE_MS 100
#define IO_BROKEN_MS 100	     /* from a failed send to failed(): for input under way */
#define IO_LOOK_MS 500		     /* between looks at the peer of a stream that is not read */
#define IO_FLUSH_MIN_MS 1000	     /* least patience of io_stream_close_flush with output */
#define IO_HOME_MS 1000		     /* longest stay in a pod's network namespace */

/* ---- timer wheel (timer.c) ----------------------------------------------------------- */

#define WHEEL_BITS 8
#define WHEEL_SLOTS (1u << WHEEL_BITS)
#define WHEEL_LEVELS 4

struct wheel {
	uint64_t tick; /* ms; everything at or before it has fired */
	uint64_t used[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* slots that may hold timers */
	struct list slot[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ns);
/* Disarms every timer. */
void wheel_done(struct wheel *w);
/* Fires what is due at @now_ns, in order of time. */
void wheel_run(struct wheel *w, uint64_t now_ns);
/*
 * The ms tick at which wheel_run has something to do; UINT64_MAX: never. Never later than the
 * next timer; earlier at most once a level, when a coarse slot has to be spread.
 */
uint64_t wheel_next(struct wheel *w);

/* ---- backends ------------------------------------------------------------------------ */

/* Operations of one stream that the backend holds (io_stream.flight). */
enum { IO_RECV = 1, IO_SEND = 2, IO_CONN = 4 };

struct io_backend_ops {
	const char *name;
	int connect_flags; /* SOCK_* flags of the sockets that connect */
	int (*open)(struct io *io, struct err *e);
	void (*close)(struct io *io);
	/* Hands over what was armed and waits for an event; @ns: -1 for ever, 0 not at all. */
	void (*wait)(struct io *io, int64_t ns);
	/* Is there something to report? Without a system call; NULL where that cannot be told. */
	bool (*ready)(const struct io *io);
	/* Reports what the wait found. */
	void (*dispatch)(struct io *io);
	/* Each sets its bit in flight; stream_on_* clears nothing, the backend does, before it. */
	void (*recv)(struct io_stream *s);
	void (*recv_cancel)(struct io_stream *s);
	void (*send)(struct io_stream *s); /* of s->sending, which stays untouched until then */
	/*
	 * Sends s->sending, as far as the kernel takes it at once, at the beginning of the next
	 * wait; stream_on_pushed follows before anything that this wait found. False: it cannot.
	 * NULL where that saves nothing.
	 */
	bool (*push)(struct io_stream *s);
	/* To s->to. 0: stream_on_connect follows; -errno: it does not. */
	int (*connect)(struct io_stream *s);
	/* Asks for the end of everything in flight. */
	void (*cancel)(struct io_stream *s);
	void (*accept)(struct io_listener *l);
	void (*accept_cancel)(struct io_listener *l);
};

extern const struct io_backend_ops io_uring_ops, io_epoll_ops;

/* ---- busy polling (busy.c) ------------------------------------------------------------ */

struct io_busy_guess {
	int score; /* over 0: the event is expected soon */
	int penalty;
};

struct io_busy {
	uint64_t limit_ns;   /* 0: never */
	int events; /* a turn, mean of the last ones, in 1/256 */
	unsigned int history; /* the last two waits, a bit each: was it short? */
	struct io_busy_guess guess[4]; /* by history */
};

/* Polls for a moment if that is likely to spare the sleep; true: there is something to report. */
bool busy_poll(struct io *io);
/* A turn found so many events. */
void busy_count(struct io *io, unsigned int events);
void busy_learn(struct io *io, uint64_t waited_ns);

/* ---- loop ---------------------------------------------------------------------------- */

struct io_call { /* a post */
	struct io_call *next;
	void (*fn)(void *arg);
	void *arg;
};

struct io {
	const struct io_backend_ops *backend;
	void *impl; /* the backend's own state */
	uint64_t now;
	struct list streams;
	struct list listeners;
	struct list dirty; /* streams to be settled at the end of the turn */
	struct list ready; /* streams with input or an answer that is told in the next turn */
	struct list dead;  /* streams whose memory goes at the end of the turn */
	struct list dead_listeners;
	void (*hook)(void *arg);
	void *hook_arg;
	struct io_totals totals;
	struct buf spare[IO_SPARE_MAX];
	unsigned int n_spare;
	struct io_busy busy;
	bool woken;	      /* the backend saw wake_fd */
	struct io_timer home; /* takes the thread back to skiffd's own network namespace */

	/* Shared with other threads. */
	int wake_fd;
	atomic_bool stop;
	pthread_mutex_t lock; /* for calls */
	struct io_call *calls, **calls_end;

	struct wheel wheel;
};

/* ---- streams (stream.c) -------------------------------------------------------------- */

enum io_phase { IO_CONNECTING, IO_OPEN, IO_FAILED, IO_DEAD };

union io_sockaddr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct io_stream {
	struct io *io;
	const struct io_stream_ops *ops;
	void *owner;
	struct list node;
	struct list dirty_node;
	struct list ready_node;
	struct buf out;	    /* filled by the owner */
	struct buf sending; /* at its front what the kernel is taking */
	struct buf held;    /* input that came after io_stream_read_stop */
	uint64_t sent;	    /* bytes that the kernel took */
	struct io_timer timer; /* close_flush, broken, and looks while it is not read */
	int fd;
	int broken;	    /* -errno of a failed send whose input is still awaited */
	int send_err;	    /* -errno of a send, told at the end of the turn */
	int early;	    /* -errno of a connection that failed before it began */
	unsigned int linger_ms;
	uint32_t turn, turn_bytes; /* uring: what came in that turn, for IO_TURN_BYTES */
	int pushed;		   /* uring: what became of a push, as of send(2) */
	uint32_t high, low;
	uint32_t poll_mask; /* epoll: events asked for */
	uint8_t phase;
	uint8_t flight;
	uint8_t watch; /* enum io_watch */
	bool polled : 1;	 /* epoll: the descriptor is registered */
	bool recv_cancelling : 1;
	bool pushing : 1;	 /* IO_SEND is in flight for a push */
	bool reading : 1;	 /* the owner wants input */
	bool orphan : 1;	 /* io_stream_close_flush was called */
	bool eof_seen : 1;
	bool eof_told : 1;
	bool shut_wanted : 1;
	bool shut_done : 1;
	bool lingering : 1;	 /* an orphan's output is out */
	bool was_full : 1;
	bool has_local : 1;
	bool has_peer : 1;
	struct addr local, peer;
	union io_sockaddr to; /* of io_connect; the kernel reads it at submission */
};

/* Reports of a backend. @res: as of the system call, -errno on failure. */
void stream_on_connect(struct io_stream *s, int res);
void stream_on_data(struct io_stream *s, char *p, size_t n);
/* 0 is the end of input; an error ends the stream. */
void stream_on_recv_end(struct io_stream *s, int res);
void stream_on_sent(struct io_stream *s, int res);
/* The same for a push; the stream has left flight, and may die here. */
void stream_on_pushed(struct io_stream *s, int res);
/* To be called when an operation left flight: the stream may be rearmed or die now. */
void stream_on_idle(struct io_stream *s);

/* Ends @s without a word to its owner. */
void stream_kill(struct io_stream *s);
/* The connection is of no more use: tells the owner, or ends @s when there is none. */
void stream_fail(struct io_stream *s, int err);
/* Nothing is received now: has the peer gone meanwhile? */
void stream_look(struct io_stream *s);
/* Drops the output, except what the kernel holds. */
void stream_drop_output(struct io_stream *s);

static inline void stream_mark_dirty(struct io_stream *s)
{
	if (list_is_empty(&s->dirty_node))
		list_push(&s->io->dirty, &s->dirty_node);
}

static inline void stream_mark_ready(struct io_stream *s)
{
	if (list_is_empty(&s->ready_node))
		list_push(&s->io->ready, &s->ready_node);
}

/* Is there an owner that may be called? */
static inline bool stream_is_owned(const struct io_stream *s)
{
	return !s->orphan && s->phase <= IO_OPEN;
}

/* Does @s take bytes now: for the owner, or to be dropped? */
static inline bool stream_is_reading(const struct io_stream *s)
{
	return s->phase == IO_OPEN && !s->eof_seen && (s->reading || s->orphan);
}

/* Steps of settling an open stream; each may fail it. */
void stream_settle_output(struct io_stream *s);
void stream_settle_input(struct io_stream *s);
void stream_settle_drained(struct io_stream *s);

/* The phases of a turn. */
void streams_tell_ready(struct io *io);
void streams_settle(struct io *io);
void streams_reap(struct io *io);

/* ---- listeners (listener.c) ---------------------------------------------------------- */

struct io_listener {
	struct io *io;
	const struct io_listener_ops *ops;
	void *owner;
	struct list node;
	struct io_timer pause;
	int fd;
	bool armed;
	bool closed;
	bool starving; /* out of descriptors; logged */
};

/* @res: a new descriptor or -errno. */
void listener_on_accept(struct io_listener *l, int res);
/* To be called when the accept operation ended: it is armed again, or the listener dies. */
void listener_on_idle(struct io_listener *l);
void listeners_reap(struct io *io);

/* ---- sockets (socket.c) -------------------------------------------------------------- */

/*
 * Makes a TCP socket for the family of @a in @opts->netns, with its mark. @type_flags: SOCK_*
 * flags. The thread may stay in that namespace until the next call or socket_go_home. Descriptor
 * or -errno.
 */
int socket_make(const struct addr *a, const struct io_socket_opts *opts, int type_flags);
/* What the kernel keeps as the error of @fd, which it forgets then: -errno or 0. */
int socket_error(int fd);
/* Back to skiffd's own network namespace. */
void socket_go_home(void);

#endif
