/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heart: as long as it beats, the kernel sends the pods' connections to the engine. It has a
 * thread of its own: reading a big configuration takes the main thread longer than a heartbeat may
 * be old, and pods must not fall open or closed for that. It stops when a worker hangs.
 */
#include <signal.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/log.h"

#define BEAT_MS 300  /* several in the shortest time that may be configured, 1 s */
#define HANG_MS 3000 /* a worker that does not answer for so long */

struct heart {
	struct agent *a;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;
	bool is_still; /* a worker hangs */
};

static void wait_ms(struct heart *h, uint64_t ms)
{
	uint64_t at = clock_mono_ns() + ms * NSEC_PER_MSEC;
	struct timespec ts = {
		.tv_sec = (time_t)(at / NSEC_PER_SEC),
		.tv_nsec = (long)(at % NSEC_PER_SEC),
	};

	pthread_cond_timedwait(&h->cond, &h->lock, &ts);
}

static void beat(struct heart *h)
{
	struct agent *a = h->a;
	bool alive = a->engine.is_alive(a->engine.arg, HANG_MS);

	if (alive)
		datapath_beat(a->dp);
	if (alive != h->is_still)
		return;
	h->is_still = !alive;
	if (alive)
		log_warn("agent",
			 "the workers answer again: the kernel knows that pods are served");
	else
		log_error("agent",
			  "a worker has not answered for %d ms: the heart stops, pods will "
			  "fall open or closed",
			  HANG_MS);
}

static void *heart_main(void *arg)
{
	struct heart *h = arg;

	pthread_setname_np(pthread_self(), "skiff-beat");
	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		/* Under the lock: after heart_stop nothing beats any more. */
		beat(h);
		wait_ms(h, BEAT_MS);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

void heart_start(struct agent *a)
{
	pthread_condattr_t attr;
	struct heart *h;
	sigset_t all, old;

	if (!a->dp)
		return;
	h = xcalloc(1, sizeof(*h));
	h->a = a;
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->cond, &attr);
	/* Pods are steered from here on, not only when the thread comes to run. */
	datapath_beat(a->dp);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	must(pthread_create(&h->thread, NULL, heart_main, h) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
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
