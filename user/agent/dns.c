/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of DNS clusters, resolved by libc in a few threads: it may block there as long as the
 * resolver likes, and uses what the machine uses (/etc/hosts, nsswitch). Answers go to the cells of
 * the views through the main thread; a failed look-up keeps the last addresses. The same cluster of
 * many views is looked up once, and what a configuration leaves as it is keeps its answer. Names
 * whose server was silent take half of the threads at most: they do not delay the others.
 */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <uthash.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/log.h"

#define DNS_HOSTS_MAX 1024 /* addresses taken from one cluster's names */
#define DNS_END_MS 300     /* so long skiffd's end waits for a look-up */
#define DNS_THREADS 8
#define DNS_SLOW_THREADS (DNS_THREADS / 2)
#define DNS_SLOW_MS 500 /* a look-up that takes longer is slow, until it is faster again */

struct dns_job {
	UT_hash_handle hh;        /* by the hash of its part */
	struct mesh_part *part;   /* the cluster; referenced */
	struct mesh_part *answer; /* endpoints; NULL: none yet. Written by the main thread */
	uint64_t due;             /* monotonic ns */
	bool tried, wanted, slow;
	bool running, gone; /* gone: freed when it has run */
};

struct dns {
	struct agent *a;
	pthread_t threads[DNS_THREADS];
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct dns_job *jobs; /* all but those that are gone; under lock */
	unsigned int slow;    /* that run now */
	unsigned int n_threads; /* that have not ended */
	bool stop;
};

/* ---- one look-up ----------------------------------------------------------------------------- */

static int family(const struct mesh_cluster *c)
{
	return c->dns_family == MESH_DNS_V4 ? AF_INET :
	       c->dns_family == MESH_DNS_V6 ? AF_INET6 :
					      AF_UNSPEC;
}

static int resolve_name(const struct mesh_cluster *c, const struct mesh_endpoint *e,
			struct mesh_endpoint *out, uint32_t max)
{
	struct addrinfo hints = { .ai_family = family(c), .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	char *name = slice_dup(e->dns_name);
	int r = getaddrinfo(name, NULL, &hints, &all);
	bool v4 = false;
	int n = 0;

	free(name);
	if (r != 0)
		return r == EAI_NONAME ? 0 : -EAGAIN;
	for (struct addrinfo *i = all; i; i = i->ai_next)
		v4 |= i->ai_family == AF_INET;
	for (struct addrinfo *i = all; i && (uint32_t)n < max; i = i->ai_next) {
		/* AUTO without a preference: one family, IPv6 only when there is no IPv4. */
		if (c->dns_family == MESH_DNS_AUTO && v4 && i->ai_family != AF_INET)
			continue;
		out[n] = *e;
		if (addr_from_sockaddr(i->ai_addr, &out[n].addr) == 0) {
			out[n].addr.port = e->addr.port;
			n++;
		}
		if (c->kind == MESH_CLUSTER_LOGICAL_DNS && n)
			break;
	}
	freeaddrinfo(all);
	return n;
}

/* ---- answers --------------------------------------------------------------------------------- */

struct answer {
	struct dns *d;
	struct dns_job *job;
	struct mesh_part *endpoints;
};

static void view_answer(struct agent *a, struct mesh_view *v, const struct answer *ans)
{
	for (uint32_t i = 0; v && i < v->n_resolved; i++) {
		const struct mesh_part *c = v->clusters[v->resolved[i]];

		if (mesh_part_is_same(c, ans->job->part))
			agent_endpoints(a, v, c->name, ans->endpoints);
	}
}

static void deliver(struct agent *a, void *arg)
{
	const struct answer *ans = arg;
	struct mesh_part *was = ans->job->answer;
	bool gone;

	pthread_mutex_lock(&ans->d->lock);
	gone = ans->job->gone;
	if (!gone)
		ans->job->answer = mesh_part_ref(ans->endpoints);
	pthread_mutex_unlock(&ans->d->lock);
	/* A new job of the same cluster may know more by now. */
	if (gone)
		return;
	mesh_part_unref(was);
	view_answer(a, a->snap->host, ans);
	for (uint32_t i = 0; i < a->snap->n_pods; i++)
		view_answer(a, a->snap->pods[i].view, ans);
}

static bool is_same(const struct mesh_part *was, const struct mesh_endpoint *eps, uint32_t n)
{
	struct mesh_endpoints v = mesh_part_endpoints(was);

	if (!was || v.n != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!addr_is_equal(&v.v[i].addr, &eps[i].addr))
			return false;
	return true;
}

static bool is_stopped(struct dns *d)
{
	bool stop;

	pthread_mutex_lock(&d->lock);
	stop = d->stop;
	pthread_mutex_unlock(&d->lock);
	return stop;
}

static void take_answer(struct dns *d, struct dns_job *j, const struct mesh_endpoint *eps,
			uint32_t n)
{
	struct answer ans = { d, j, NULL };

	/* Only deliver writes it, and only on behalf of the thread that runs the job. */
	if (is_same(j->answer, eps, n))
		return;
	ans.endpoints = mesh_part_endpoints_copy(j->part->name, eps, n);
	agent_call(d->a, deliver, &ans);
	mesh_part_unref(ans.endpoints);
}

static void run_job(struct dns *d, struct dns_job *j)
{
	const struct mesh_cluster *c = mesh_part_cluster(j->part);
	struct mesh_endpoint *eps = xcalloc(DNS_HOSTS_MAX, sizeof(*eps));
	uint32_t used = 0;
	bool failed = false;

	for (uint32_t i = 0; i < c->n_endpoints; i++) {
		int n = resolve_name(c, &c->endpoints[i], eps + used, DNS_HOSTS_MAX - used);

		failed |= n < 0;
		used += n > 0 ? (uint32_t)n : 0;
	}
	if (is_stopped(d)) {
		/* Nobody waited for this: the agent is perhaps gone. */
	} else if (failed && used == 0) {
		log_warn("dns", "cluster %.*s: its names cannot be resolved now: %s",
			 SLICE_ARG(c->name),
			 j->answer ? "keeping the last addresses" :
				     "it has no addresses of its own yet");
	} else {
		take_answer(d, j, eps, used);
	}
	free(eps);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* The first that is due and that nobody runs; the wait is 0 when it is to be run now. */
static struct dns_job *next_job(struct dns *d, uint64_t *ret_wait_ns)
{
	struct dns_job *best = NULL, *j, *tmp;
	uint64_t now = clock_mono_ns();

	HASH_ITER(hh, d->jobs, j, tmp)
		if (!j->running && !(j->slow && d->slow >= DNS_SLOW_THREADS) &&
		    (!best || j->due < best->due))
			best = j;
	*ret_wait_ns = !best ? NSEC_PER_SEC * 3600 : best->due > now ? best->due - now : 0;
	return best;
}

static void job_free(struct dns_job *j)
{
	mesh_part_unref(j->part);
	mesh_part_unref(j->answer);
	free(j);
}

/* Forgets @j; one that runs, when it has run. */
static void job_drop(struct dns *d, struct dns_job *j)
{
	HASH_DEL(d->jobs, j);
	if (j->running)
		j->gone = true;
	else
		job_free(j);
}

static void wait_ns(struct dns *d, uint64_t ns)
{
	struct timespec ts;
	uint64_t at = clock_mono_ns() + ns;

	ts.tv_sec = (time_t)(at / NSEC_PER_SEC);
	ts.tv_nsec = (long)(at % NSEC_PER_SEC);
	pthread_cond_timedwait(&d->cond, &d->lock, &ts);
}

/* Under the lock, which it leaves meanwhile. */
static void job_turn(struct dns *d, struct dns_job *j)
{
	uint64_t began = clock_mono_ns();
	bool was_slow = j->slow;

	j->running = true;
	d->slow += was_slow;
	pthread_mutex_unlock(&d->lock);
	run_job(d, j);
	pthread_mutex_lock(&d->lock);
	j->running = false;
	j->tried = true;
	d->slow -= was_slow;
	j->slow = clock_mono_ns() - began > DNS_SLOW_MS * NSEC_PER_MSEC;
	j->due = clock_mono_ns() +
		 (uint64_t)mesh_part_cluster(j->part)->dns_refresh_ms * NSEC_PER_MSEC;
	if (j->gone)
		job_free(j);
	/* Others may sleep longer than until @j is due, or for a place among the slow ones. */
	pthread_cond_broadcast(&d->cond);
}

static void *dns_main(void *arg)
{
	struct dns *d = arg;

	pthread_setname_np(pthread_self(), "skiff-dns");
	pthread_mutex_lock(&d->lock);
	while (!d->stop) {
		struct dns_job *j;
		uint64_t wait;

		j = next_job(d, &wait);
		if (wait)
			wait_ns(d, wait);
		else
			job_turn(d, j);
	}
	d->n_threads--;
	pthread_cond_broadcast(&d->cond);
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

struct dns *dns_new(struct agent *a)
{
	struct dns *d = xcalloc(1, sizeof(*d));
	pthread_condattr_t attr;
	sigset_t all, old;

	d->a = a;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->cond, &attr);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	d->n_threads = DNS_THREADS;
	for (unsigned int i = 0; i < DNS_THREADS; i++)
		must(pthread_create(&d->threads[i], NULL, dns_main, d) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return d;
}

static void drop_jobs(struct dns *d)
{
	struct dns_job *j, *tmp;

	HASH_ITER(hh, d->jobs, j, tmp)
		job_drop(d, j);
}

void dns_free(struct dns *d)
{
	uint64_t end = clock_mono_ns() + DNS_END_MS * NSEC_PER_MSEC;
	bool ended;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	drop_jobs(d);
	pthread_cond_broadcast(&d->cond);
	for (uint64_t now = clock_mono_ns(); d->n_threads && now < end; now = clock_mono_ns())
		wait_ns(d, end - now);
	ended = d->n_threads == 0;
	pthread_mutex_unlock(&d->lock);
	if (!ended) {
		/* libc may wait minutes for a silent name server, and cannot be called off. The
		 * threads keep @d, touch nothing else, and end with the process. */
		for (unsigned int i = 0; i < DNS_THREADS; i++)
			pthread_detach(d->threads[i]);
		return;
	}
	for (unsigned int i = 0; i < DNS_THREADS; i++)
		pthread_join(d->threads[i], NULL);
	free(d);
}

/* ---- configurations -------------------------------------------------------------------------- */

static struct dns_job *job_find(struct dns *d, const struct mesh_part *part)
{
	struct dns_job *j;

	HASH_FIND(hh, d->jobs, &part->hash, sizeof(part->hash), j);
	return j;
}

static void want_jobs(struct dns *d, const struct mesh_view *v)
{
	for (uint32_t i = 0; v && i < v->n_resolved; i++) {
		struct mesh_part *part = v->clusters[v->resolved[i]];
		struct dns_job *j = job_find(d, part);

		if (!j) {
			j = xcalloc(1, sizeof(*j));
			j->part = mesh_part_ref(part);
			HASH_ADD_KEYPTR(hh, d->jobs, &j->part->hash, sizeof(part->hash), j);
		}
		j->wanted = true;
	}
}

void dns_set(struct dns *d, const struct mesh_snapshot *s)
{
	struct dns_job *j, *tmp;

	pthread_mutex_lock(&d->lock);
	HASH_ITER(hh, d->jobs, j, tmp)
		j->wanted = false;
	want_jobs(d, s->host);
	for (uint32_t i = 0; i < s->n_pods; i++)
		want_jobs(d, s->pods[i].view);
	HASH_ITER(hh, d->jobs, j, tmp)
		if (!j->wanted)
			job_drop(d, j);
	pthread_cond_broadcast(&d->cond);
	pthread_mutex_unlock(&d->lock);
}

bool dns_is_settled(struct dns *d)
{
	struct dns_job *j, *tmp;
	bool settled = true;

	pthread_mutex_lock(&d->lock);
	HASH_ITER(hh, d->jobs, j, tmp)
		settled = settled && j->tried;
	pthread_mutex_unlock(&d->lock);
	return settled;
}

/* What the cluster of that name has in the view until now, with a reference; NULL: nothing. */
static struct mesh_part *before(struct mesh_view *was, const struct mesh_part *c)
{
	int place = was ? mesh_view_cluster_place(was, c->name) : -1;
	struct mesh_endpoints own;

	if (place < 0)
		return NULL;
	if (mesh_cluster_has_cell(mesh_view_cluster_at(was, (uint32_t)place)))
		return mesh_view_endpoints_get(was, (uint32_t)place);
	own = mesh_view_endpoints(was, (uint32_t)place);
	return own.n ? mesh_part_endpoints_copy(c->name, own.v, own.n) : NULL;
}

static void seed_view(struct dns *d, struct mesh_view *v, struct mesh_view *was)
{
	for (uint32_t i = 0; v && v != was && i < v->n_resolved; i++) {
		uint32_t place = v->resolved[i];
		const struct mesh_part *c = v->clusters[place];
		struct dns_job *j;
		struct mesh_part *part;

		pthread_mutex_lock(&d->lock);
		j = job_find(d, c);
		part = j ? mesh_part_ref(j->answer) : NULL;
		pthread_mutex_unlock(&d->lock);
		if (!part)
			part = before(was, c);
		if (part)
			mesh_view_endpoints_set(v, place, part);
		mesh_part_unref(part);
	}
}

void dns_seed(struct dns *d, struct mesh_snapshot *s, const struct mesh_snapshot *was)
{
	seed_view(d, s->host, was ? was->host : NULL);
	for (uint32_t i = 0; i < s->n_pods; i++) {
		const struct mesh_pod *p = was ? mesh_snapshot_pod(was, s->pods[i].id) : NULL;

		seed_view(d, s->pods[i].view, p ? p->view : NULL);
	}
}
