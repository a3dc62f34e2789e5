/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of DNS clusters, resolved by libc in a thread of its own: it may block there as long as the
 * resolver likes, and uses what the machine uses (/etc/hosts, nsswitch). Answers go to the workers
 * through the main thread; a failed look-up keeps the last addresses.
 */
#include <errno.h>
#include <netdb.h>
#include <signal.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/log.h"

#define DNS_HOSTS_MAX 1024 /* addresses taken from one cluster's names */
#define DNS_END_MS 300	   /* so long skiffd's end waits for a look-up */

struct dns_job {
	struct list node;
	struct mesh_snapshot *snap; /* keeps conf alive */
	const struct mesh_cluster *conf;
	uint64_t due; /* monotonic ns */
	struct addr last[DNS_HOSTS_MAX];
	uint32_t n_last;
	bool answered, tried;
};

struct dns {
	struct agent *a;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct list jobs;
	uint64_t generation;
	bool running; /* a job is being looked up */
	bool stop, ended;
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

struct answer {
	const struct mesh_cluster *conf;
	struct mesh_endpoint *eps;
	uint32_t n;
};

static void deliver(struct agent *a, void *arg)
{
	struct answer *d = arg;

	a->engine.cluster_hosts(a->engine.arg, d->conf->hash, d->conf->name, d->eps, d->n);
}

static bool is_same(struct dns_job *j, const struct mesh_endpoint *eps, uint32_t n)
{
	if (!j->answered || j->n_last != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!addr_is_equal(&j->last[i], &eps[i].addr))
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

static void run_job(struct dns *d, struct dns_job *j)
{
	struct mesh_endpoint *eps = xcalloc(DNS_HOSTS_MAX, sizeof(*eps));
	struct answer ans = { j->conf, eps, 0 };
	bool failed = false;

	for (uint32_t i = 0; i < j->conf->n_endpoints; i++) {
		int n = resolve_name(j->conf, &j->conf->endpoints[i], eps + ans.n,
				     DNS_HOSTS_MAX - ans.n);

		failed |= n < 0;
		ans.n += n > 0 ? (uint32_t)n : 0;
	}
	if (is_stopped(d)) {
		/* Nobody waited for this: the agent is perhaps gone. */
	} else if (failed && ans.n == 0) {
		log_warn("dns", "cluster %.*s: its names cannot be resolved now: %s",
			 SLICE_ARG(j->conf->name),
			 j->answered ? "keeping the last addresses" : "it has no endpoints yet");
	} else if (!is_same(j, eps, ans.n)) {
		agent_call(d->a, deliver, &ans);
		j->answered = true;
		j->n_last = ans.n;
		for (uint32_t i = 0; i < ans.n; i++)
			j->last[i] = eps[i].addr;
	}
	free(eps);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static struct dns_job *next_job(struct dns *d, uint64_t *ret_wait_ns)
{
	struct dns_job *best = NULL;
	uint64_t now = clock_mono_ns();

	list_for_each(n, &d->jobs) {
		struct dns_job *j = list_entry(n, struct dns_job, node);

		if (!best || j->due < best->due)
			best = j;
	}
	*ret_wait_ns = !best ? NSEC_PER_SEC * 3600 : best->due > now ? best->due - now : 0;
	return best;
}

static void job_free(struct dns_job *j)
{
	mesh_snapshot_unref(j->snap);
	free(j);
}

static void wait_ns(struct dns *d, uint64_t ns)
{
	struct timespec ts;
	uint64_t at = clock_mono_ns() + ns;

	ts.tv_sec = (time_t)(at / NSEC_PER_SEC);
	ts.tv_nsec = (long)(at % NSEC_PER_SEC);
	pthread_cond_timedwait(&d->cond, &d->lock, &ts);
}

static void *dns_main(void *arg)
{
	struct dns *d = arg;

	pthread_setname_np(pthread_self(), "skiff-dns");
	pthread_mutex_lock(&d->lock);
	while (!d->stop) {
		uint64_t wait, gen = d->generation;
		struct dns_job *j = next_job(d, &wait);

		if (wait) {
			wait_ns(d, wait);
			continue;
		}
		list_del(&j->node);
		d->running = true;
		pthread_mutex_unlock(&d->lock);
		run_job(d, j);
		pthread_mutex_lock(&d->lock);
		d->running = false;
		j->tried = true;
		j->due = clock_mono_ns() + (uint64_t)j->conf->dns_refresh_ms * NSEC_PER_MSEC;
		if (gen == d->generation && !d->stop)
			list_push(&d->jobs, &j->node);
		else
			job_free(j); /* another configuration came meanwhile */
	}
	d->ended = true;
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
	list_init(&d->jobs);
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->cond, &attr);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	must(pthread_create(&d->thread, NULL, dns_main, d) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return d;
}

static void drop_jobs(struct dns *d)
{
	struct list *n;

	while ((n = list_pop(&d->jobs)) != NULL)
		job_free(list_entry(n, struct dns_job, node));
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
	for (uint64_t now = clock_mono_ns(); !d->ended && now < end; now = clock_mono_ns())
		wait_ns(d, end - now);
	ended = d->ended;
	pthread_mutex_unlock(&d->lock);
	if (!ended) {
		/* libc may wait minutes for a silent name server, and cannot be called off. The
		 * thread keeps @d, touches nothing else, and ends with the process. */
		pthread_detach(d->thread);
		return;
	}
	pthread_join(d->thread, NULL);
	free(d);
}

static void add_jobs(struct dns *d, const struct mesh_snapshot *s, const struct mesh_view *v)
{
	for (uint32_t i = 0; v && i < v->n_clusters; i++) {
		struct dns_job *j;

		if (v->clusters[i].kind != MESH_CLUSTER_STRICT_DNS &&
		    v->clusters[i].kind != MESH_CLUSTER_LOGICAL_DNS)
			continue;
		j = xcalloc(1, sizeof(*j));
		j->snap = mesh_snapshot_ref((struct mesh_snapshot *)s);
		j->conf = &v->clusters[i];
		list_push(&d->jobs, &j->node);
	}
}

bool dns_is_settled(struct dns *d)
{
	bool settled;

	pthread_mutex_lock(&d->lock);
	settled = !d->running;
	list_for_each(n, &d->jobs)
		settled = settled && list_entry(n, struct dns_job, node)->tried;
	pthread_mutex_unlock(&d->lock);
	return settled;
}

void dns_set(struct dns *d, const struct mesh_snapshot *s)
{
	pthread_mutex_lock(&d->lock);
	d->generation++;
	drop_jobs(d);
	add_jobs(d, s, s->host);
	for (uint32_t i = 0; i < s->n_pods; i++)
		add_jobs(d, s, s->pods[i].view);
	pthread_cond_signal(&d->cond);
	pthread_mutex_unlock(&d->lock);
}
