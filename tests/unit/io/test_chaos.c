/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random calls, at random moments, on many streams. What must hold: bytes come in order and from
 * the beginning; nothing is told while reading is stopped, twice, or after the end; everything is
 * given back.
 */
#include "tests/unit/io/t_io.h"

#define PAIRS 40
#define TURNS 4000

struct actor {
	struct io_stream *s; /* NULL: ended */
	bool stopped, shut, eof, connected, failed, dialled;
	uint32_t sent, got; /* positions, which are also the bytes' values */
};

static struct io *io;
static struct io_listener *listener;
static struct addr at;
static struct rng rng;
static struct actor actors[2 * PAIRS];
static struct actor *waiting[2 * PAIRS]; /* accepting sides, recycled */
static unsigned int n_waiting;
static uint64_t told_bytes, told_ends;

static const struct io_stream_ops chaos_ops;

static void act(struct actor *a);

static char byte_at(uint32_t pos)
{
	return (char)((pos * 2654435761u) >> 24);
}

static void end_actor(struct actor *a)
{
	struct io_stream *s = a->s;

	a->s = NULL;
	switch (rng_below(&rng, 3)) {
	case 0:
		io_stream_close(s);
		break;
	case 1:
		io_stream_close_flush(s, rng_below(&rng, 30));
		break;
	default:
		io_stream_abort(s);
		break;
	}
	told_ends++;
}

static void write_some(struct actor *a)
{
	uint32_t n = rng_below(&rng, 4) ? rng_below(&rng, 300) : rng_below(&rng, 200000);
	char *p;

	if (a->shut || io_stream_is_full(a->s))
		return;
	p = buf_reserve(io_stream_out(a->s), n);
	for (uint32_t i = 0; i < n; i++)
		p[i] = byte_at(a->sent++);
	buf_commit(io_stream_out(a->s), n);
	io_stream_flush(a->s);
}

static void act(struct actor *a)
{
	if (!a->s)
		return;
	switch (rng_below(&rng, 14)) {
	case 0:
		if (rng_below(&rng, 4) == 0)
			end_actor(a);
		return;
	case 1:
		if (rng_below(&rng, 4) == 0) {
			a->shut = true;
			io_stream_shutdown(a->s);
		}
		return;
	case 2:
		a->stopped = true;
		io_stream_read_stop(a->s);
		return;
	case 3:
	case 4:
	case 5:
		a->stopped = false;
		io_stream_read_start(a->s);
		return;
	default:
		write_some(a);
		return;
	}
}

static struct actor *told(struct io_stream *s)
{
	struct actor *a = io_stream_owner(s);

	assert_ptr_equal(a->s, s); /* not after the end */
	assert_false(a->failed);
	return a;
}

static void on_connected(struct io_stream *s, int err)
{
	struct actor *a = told(s);

	assert_true(a->dialled);
	assert_false(a->connected);
	a->connected = true;
	a->failed = err != 0;
	if (err)
		end_actor(a);
	else
		act(a);
}

static void on_data(struct io_stream *s, char *p, size_t n)
{
	struct actor *a = told(s);

	assert_false(a->stopped || a->eof || (a->dialled && !a->connected));
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte_at(a->got++))
			fail_msg("byte %u is wrong", a->got - 1);
	told_bytes += n;
	act(a);
	memset(p, 0, n);
}

static void on_eof(struct io_stream *s)
{
	struct actor *a = told(s);

	assert_false(a->stopped || a->eof);
	a->eof = true;
	if (a->shut)
		end_actor(a);
	else
		act(a);
}

static void on_failed(struct io_stream *s, int err)
{
	struct actor *a = told(s);

	assert_true(err < 0);
	assert_true(!a->dialled || a->connected);
	a->failed = true;
	end_actor(a);
}

static void on_drained(struct io_stream *s)
{
	assert_false(io_stream_is_full(s));
	act(told(s));
}

static const struct io_stream_ops chaos_ops = {
	.connected = on_connected,
	.data = on_data,
	.eof = on_eof,
	.failed = on_failed,
	.drained = on_drained,
};

static void on_accepted(struct io_listener *l, int fd)
{
	struct actor *a;

	(void)l;
	for (unsigned int i = 0; i < n_waiting; i++) {
		a = waiting[i];
		if (a->s)
			continue;
		*a = (struct actor){ 0 };
		a->s = io_stream_new(io, fd, &chaos_ops, a);
		io_stream_set_marks(a->s, 50000, 10000);
		act(a);
		return;
	}
	close(fd);
}

static const struct io_listener_ops chaos_listener = { .accepted = on_accepted };

static void dial(struct actor *a)
{
	int err = 0;

	*a = (struct actor){ .dialled = true };
	a->s = io_connect(io, &at, NULL, NULL, &chaos_ops, a, &err);
	assert_non_null(a->s);
	io_stream_set_marks(a->s, 50000, 10000);
	act(a);
}

static void chaos(uint64_t seed)
{
	rng_init(&rng, seed);
	memset(actors, 0, sizeof(actors));
	told_bytes = told_ends = 0;
	io = t_io_new();
	listener = io_listener_new(io, t_listen_fd(&at), &chaos_listener, NULL);
	n_waiting = 0;
	for (unsigned int i = 0; i < PAIRS; i++)
		waiting[n_waiting++] = &actors[PAIRS + i];
	for (int turn = 0; turn < TURNS; turn++) {
		struct actor *a = &actors[rng_below(&rng, PAIRS)];

		if (!a->s)
			dial(a);
		act(&actors[rng_below(&rng, 2 * PAIRS)]);
		io_run_once(io, rng_below(&rng, 4) == 0);
	}
	io_listener_close(listener);
	for (unsigned int i = 0; i < 2 * PAIRS; i++)
		if (actors[i].s)
			end_actor(&actors[i]);
	t_until(io, ({ struct io_totals t; io_totals_get(io, &t); !t.streams && !t.in_flight; }));
	/* It was a test of something. */
	assert_true(told_bytes > 1000000);
	assert_true(told_ends > 200);
	t_free(io);
}

static void test_chaos(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++)
		chaos(seed);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_chaos),
};

t_main(tests)
