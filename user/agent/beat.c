/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heart, in a thread of its own: reading a big configuration takes the main thread longer than
 * a heartbeat may be old, and pods must not fall open or closed for that. It stops with the main
 * thread all the same, only later: one that does not come back for HANG_MS hangs.
 */
#include "agent/agent_impl.h"
#include "base/clock.h"

#define BEAT_MS 300 /* several in the shortest time that may be configured, 1 s */
#define HANG_MS 60000

struct heart {
	struct agent *a;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NSEC_PER_MSEC;
}

static void wait_ms(struct heart *h, uint64_t ms)
{
	uint64_t at = clock_mono_ns() + ms * NSEC_PER_MSEC;
	struct timespec ts = {
		.tv_sec = (time_t)(at / NSEC_PER_SEC),
		.tv_nsec = (long)(at % NSEC_PER_SEC),
	};

	pthread_cond_timedwait(&h->cond, &h->lock, &ts);
}

static void *heart_main(void *arg)
{
	struct heart *h = arg;

	pthread_setname_np(pthread_self(), "skiff-beat");
	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		/* Under the lock: after heart_stop nothing beats any more. */
		if (now_ms() - atomic_load(&h->a->turn_ms) < HANG_MS)
			datapath_beat(h->a->dp);
		wait_ms(h, BEAT_MS);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

void heart_turn(struct agent *a)
{
	atomic_store(&a->turn_ms, now_ms());
}

void heart_start(struct agent *a)
{
	struct heart *h = xcalloc(1, sizeof(*h));
	pthread_condattr_t attr;

	h->a = a;
	heart_turn(a);
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->cond, &attr);
	must(pthread_create(&h->thread, NULL, heart_main, h) == 0);
	a->heart = h;
}

void heart_stop(struct agent *a)
{
	struct heart *h = a->heart;

	if (h) {
		pthread_mutex_lock(&h->lock);
		h->stop = true;
		pthread_cond_signal(&h->cond);
		pthread_mutex_unlock(&h->lock);
		pthread_join(h->thread, NULL);
		pthread_cond_destroy(&h->cond);
		pthread_mutex_destroy(&h->lock);
		free(h);
		a->heart = NULL;
	}
	if (a->dp)
		datapath_beat_stop(a->dp);
}
