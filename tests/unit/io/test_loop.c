/* SPDX-License-Identifier: Apache-2.0 */
/* The loop itself: posts, stop, hook, many connections, running out of descriptors. */
#include <sys/resource.h>

#include "tests/unit/io/t_io.h"

/* ---- posts --------------------------------------------------------------------------- */

#define POSTERS 4
#define POSTS 20000

struct poster {
	struct io *io;
	pthread_t thread;
	int next; /* seen by the loop */
	int wrong;
	atomic_int *done;
};

struct posted {
	struct poster *p;
	int n;
};

static void posted_run(void *arg)
{
	struct posted *x = arg;

	x->p->wrong += x->n != x->p->next;
	x->p->next++;
	if (x->p->next == POSTS && atomic_fetch_add(x->p->done, 1) + 1 == POSTERS)
		io_stop(x->p->io);
	free(x);
}

static void *poster_run(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < POSTS; i++) {
		struct posted *x = xmalloc(sizeof(*x));

		*x = (struct posted){ .p = p, .n = i };
		io_post(p->io, posted_run, x);
	}
	return NULL;
}

static void test_posts(void **state)
{
	struct io *io = t_io_new();
	struct poster p[POSTERS] = { 0 };
	atomic_int done = 0;

	(void)state;
	for (int i = 0; i < POSTERS; i++) {
		p[i].io = io;
		p[i].done = &done;
		pthread_create(&p[i].thread, NULL, poster_run, &p[i]);
	}
	io_run(io);
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(p[i].thread, NULL);
		assert_int_equal(p[i].next, POSTS);
		assert_int_equal(p[i].wrong, 0);
	}
	t_free(io);
}

static void *stop_later(void *arg)
{
	usleep(50000);
	io_stop(arg);
	return NULL;
}

static void test_stop(void **state)
{
	struct io *io = t_io_new();
	pthread_t t;

	(void)state;
	for (int i = 0; i < 3; i++) {
		pthread_create(&t, NULL, stop_later, io);
		io_run(io);
		pthread_join(t, NULL);
	}
	io_stop(io);
	io_run(io); /* stopped before it began */
	t_free(io);
}

static void never(void *arg)
{
	(void)arg;
	fail_msg("a post ran after the loop's end");
}

static void test_free_with_posts(void **state)
{
	struct io *io = t_io_new();

	(void)state;
	io_post(io, never, NULL);
	io_free(io);
	io_free(NULL);
}

/* ---- the hook ------------------------------------------------------------------------ */

static struct t_end hook_a, hook_b;
static int hooks;

static void hook_writes(void *arg)
{
	assert_ptr_equal(arg, &hooks);
	hooks++;
	if (hook_a.s && hook_b.data < 5 && !io_stream_pending(hook_a.s))
		io_stream_write(hook_a.s, "x", 1);
}

/* What the hook writes leaves in the same turn. */
static void test_hook(void **state)
{
	struct io *io = t_io_new();
	struct io_totals t0, t1;

	(void)state;
	memset(&hook_a, 0, sizeof(hook_a));
	memset(&hook_b, 0, sizeof(hook_b));
	t_pair(io, &hook_a, &hook_b);
	hooks = 0;
	io_set_turn_hook(io, hook_writes, &hooks);
	io_totals_get(io, &t0);
	io_run_once(io, 0);
	assert_int_equal(hooks, 1);
	/* What it wrote goes out with the end of this turn or the beginning of the next. */
	io_set_turn_hook(io, NULL, NULL);
	io_run_once(io, 0);
	io_totals_get(io, &t1);
	assert_int_equal(t1.bytes_out - t0.bytes_out, 1);
	assert_int_equal(io_stream_pending(hook_a.s), 0);
	io_set_turn_hook(io, hook_writes, &hooks);
	t_until(io, hook_b.data >= 5);
	io_set_turn_hook(io, NULL, NULL);
	t_close(&hook_a);
	t_close(&hook_b);
	t_free(io);
}

/* ---- many connections ---------------------------------------------------------------- */

#define MANY 2000

static struct t_end many_a[MANY], many_b[MANY];

static void raise_limit(void)
{
	struct rlimit r = { .rlim_cur = 3 * MANY, .rlim_max = 3 * MANY };
	struct rlimit now;

	getrlimit(RLIMIT_NOFILE, &now);
	if (now.rlim_cur >= r.rlim_cur)
		return;
	if (now.rlim_max > r.rlim_max)
		r.rlim_max = now.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
}

/* Opens and closes in every manner, at random, in waves. */
static void test_churn(void **state)
{
	struct io *io = t_io_new();
	struct t_server sv;
	struct rng r;

	(void)state;
	raise_limit();
	rng_init(&r, 11);
	memset(many_a, 0, sizeof(many_a));
	memset(many_b, 0, sizeof(many_b));
	for (int i = 0; i < MANY; i++)
		many_b[i].echo = true;
	t_server_start(&sv, io, many_b, MANY);
	for (int i = 0; i < MANY; i++) {
		t_connect(io, &many_a[i], &sv.at);
		io_stream_write(many_a[i].s, "hello", 5);
		if (i % 50 == 0)
			io_run_once(io, 0);
		if (i > 20) {
			struct t_end *e = &many_a[rng_below(&r, (uint32_t)i)];

			if (e->s && rng_below(&r, 2)) {
				io_stream_abort(e->s);
				e->s = NULL;
			} else if (e->s) {
				io_stream_close_flush(e->s, 10);
				e->s = NULL;
			}
		}
	}
	t_turns(io, 50);
	for (int i = 0; i < MANY; i++) {
		if (many_a[i].s) {
			t_until(io, many_a[i].total == 5 || many_a[i].connect_err);
			assert_int_equal(many_a[i].connect_err, 0);
			assert_memory_equal(buf_ptr(&many_a[i].got), "hello", 5);
		}
		t_close(&many_a[i]);
		t_close(&many_b[i]);
	}
	io_listener_close(sv.l);
	t_until(io, ({ struct io_totals t; io_totals_get(io, &t); t.streams == 0; }));
	for (size_t i = 0; i < MANY; i++)
		t_close(&many_b[i]);
	t_free(io);
}

/* More streams with input in one turn than there are receive buffers: all are heard. */
static void test_more_streams_than_buffers(void **state)
{
	enum { N = 600 };
	struct io *io = t_io_new();
	struct t_server sv;
	struct sockaddr_storage ss;
	static int fd[N];
	static char block[40000];

	(void)state;
	raise_limit();
	memset(many_b, 0, sizeof(many_b));
	t_server_start(&sv, io, many_b, N);
	for (int i = 0; i < N; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fd[i], (void *)&ss, addr_to_sockaddr(&sv.at, &ss)), 0);
		many_b[i].drop = true;
	}
	t_until(io, sv.n == N);
	t_turns(io, 3);
	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < N; i++)
			assert_int_equal(write(fd[i], block, sizeof(block)), sizeof(block));
		for (int i = 0; i < N; i++)
			t_until(io, many_b[i].total == (size_t)round * sizeof(block));
	}
	for (int i = 0; i < N; i++) {
		close(fd[i]);
		t_close(&many_b[i]);
	}
	io_listener_close(sv.l);
	t_free(io);
}

/* ---- descriptors run out ------------------------------------------------------------- */

static void test_emfile(void **state)
{
	struct io *io = t_io_new();
	struct t_end b[4] = { 0 };
	struct sockaddr_storage ss;
	struct rlimit old, low;
	struct io_totals before, after;
	struct t_server sv;
	int client[2], top;

	(void)state;
	t_server_start(&sv, io, b, 4);
	for (int i = 0; i < 2; i++)
		client[i] = socket(AF_INET, SOCK_STREAM, 0);
	/*
	 * Before the first turn: io_uring reads the limit when accepting begins. The lowest
	 * free number is the first that is too high.
	 */
	top = dup(0);
	close(top);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)top;
	setrlimit(RLIMIT_NOFILE, &low);
	for (int i = 0; i < 2; i++)
		assert_int_equal(connect(client[i], (void *)&ss, addr_to_sockaddr(&sv.at, &ss)), 0);
	io_totals_get(io, &before);
	for (uint64_t end = clock_mono_ns() + 350 * NSEC_PER_MSEC; clock_mono_ns() < end;)
		io_run_once(io, 50);
	io_totals_get(io, &after);
	assert_int_equal(sv.n, 0);
	assert_true(after.turns - before.turns < 60); /* it paused */
	setrlimit(RLIMIT_NOFILE, &old);
	t_until(io, sv.n == 2);
	for (int i = 0; i < 2; i++) {
		close(client[i]);
		t_close(&b[i]);
	}
	io_listener_close(sv.l);
	t_free(io);
}

static void close_listener(struct io_listener *l, int fd)
{
	struct t_server *sv = io_listener_owner(l);

	sv->n++;
	close(fd);
	io_listener_close(l);
}

static void test_close_listener_inside_accepted(void **state)
{
	static const struct io_listener_ops ops = { .accepted = close_listener };
	struct io *io = t_io_new();
	struct t_server sv = { .io = io };
	struct sockaddr_storage ss;
	struct addr at;
	int client[5], fd = t_listen_fd(&at);

	(void)state;
	sv.l = io_listener_new(io, fd, &ops, &sv);
	assert_int_equal(io_listener_fd(sv.l), fd);
	for (int i = 0; i < 5; i++) {
		client[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(client[i], (void *)&ss, addr_to_sockaddr(&at, &ss)), 0);
	}
	t_until(io, sv.n);
	t_turns(io, 3);
	assert_int_equal(sv.n, 1);
	for (int i = 0; i < 5; i++)
		close(client[i]);
	t_free(io);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_posts),
	cmocka_unit_test(test_stop),
	cmocka_unit_test(test_free_with_posts),
	cmocka_unit_test(test_hook),
	cmocka_unit_test(test_churn),
	cmocka_unit_test(test_more_streams_than_buffers),
	cmocka_unit_test(test_emfile),
	cmocka_unit_test(test_close_listener_inside_accepted),
};

t_main(tests)
