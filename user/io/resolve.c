/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One detached thread a look-up. getaddrinfo cannot be interrupted, so a cancelled look-up goes on
 * by itself and its memory goes with its thread.
 */
#include "io/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>

#define STACK_BYTES (512 * 1024) /* resolver modules use much of it */

struct io_lookup {
	pthread_mutex_t lock;
	struct io *io; /* NULL: cancelled */
	void (*fn)(void *arg, const struct addr *v, unsigned int n, const char *reason);
	void *arg;
	char *name;
	uint16_t port;
	struct addr addrs[IO_LOOKUP_ADDRS];
	unsigned int n;
	int error; /* of getaddrinfo */
};

static void lookup_free(struct io_lookup *l)
{
	pthread_mutex_destroy(&l->lock);
	free(l->name);
	free(l);
}

/* On the loop. */
static void lookup_tell(void *arg)
{
	struct io_lookup *l = arg;
	const char *reason = l->error ? gai_strerror(l->error) : "it has no address";
	bool wanted;

	/* Also waits for the thread that posted to be out of the lock. */
	pthread_mutex_lock(&l->lock);
	wanted = l->io != NULL;
	pthread_mutex_unlock(&l->lock);
	if (wanted)
		l->fn(l->arg, l->addrs, l->n, l->n ? NULL : reason);
	lookup_free(l);
}

static void lookup_ask(struct io_lookup *l)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;

	l->error = getaddrinfo(l->name, NULL, &hints, &all);
	for (struct addrinfo *i = all; i && l->n < IO_LOOKUP_ADDRS; i = i->ai_next) {
		if (addr_from_sockaddr(i->ai_addr, &l->addrs[l->n]) == 0)
			l->addrs[l->n++].port = l->port;
	}
	if (all)
		freeaddrinfo(all);
}

static void *lookup_main(void *arg)
{
	struct io_lookup *l = arg;
	bool wanted;

	pthread_setname_np(pthread_self(), "skiff-lookup");
	lookup_ask(l);
	pthread_mutex_lock(&l->lock);
	wanted = l->io != NULL;
	if (wanted)
		io_post(l->io, lookup_tell, l);
	pthread_mutex_unlock(&l->lock);
	if (!wanted)
		lookup_free(l);
	return NULL;
}

static int start_thread(struct io_lookup *l)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, lookup_main, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}

struct io_lookup *io_lookup_start(struct io *io, const char *name, uint16_t port,
				  void (*fn)(void *arg, const struct addr *v, unsigned int n,
					     const char *reason),
				  void *arg, struct err *e)
{
	struct io_lookup *l = xcalloc(1, sizeof(*l));
	int r;

	pthread_mutex_init(&l->lock, NULL);
	l->io = io;
	l->fn = fn;
	l->arg = arg;
	l->name = xstrdup(name);
	l->port = port;
	r = start_thread(l);
	if (r < 0) {
		err_set(e, r, "cannot make a thread to look up %s: %s", name, strerror(-r));
		lookup_free(l);
		return NULL;
	}
	return l;
}

void io_lookup_cancel(struct io_lookup *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->io = NULL;
	pthread_mutex_unlock(&l->lock);
}
