/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods as nodes of a control plane: connects, makes a node of each pod without resources of its
 * own, hears what its set is, keeps the last good one on disk. On the main thread, whose poll(2)
 * serves the loop of the connection, too. What becomes of a set is in xds_view.c.
 */
#include "agent/xds.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/poll.h"
#include "xds/compile.h"
#include "xds/node.h"

/*
 * After a change others follow at once: the streams of the pods are pushed to one by one. The first
 * is taken up immediately, the others together: after as long as that took, so that no more than
 * half of the time goes there, and at least a millisecond.
 */
#define GATHER_MAX_MS 5
#define LKG_NAME "last-good"

/* ---- what nodes tell ------------------------------------------------------------------------- */

static struct agent_xds *xds_of(struct ads_node *n)
{
	return ads_owner(ads_node_ads(n));
}

static void on_ready(struct ads_node *n)
{
	struct agent_pod *p = ads_node_owner(n);
	struct agent_xds *x = xds_of(n);

	p->is_due = x->is_due = true;
}

static void on_endpoints(struct ads_node *n, struct slice cluster, struct mesh_part *part)
{
	struct agent_xds *x = xds_of(n);

	xds_endpoints(x, ads_node_owner(n), cluster, part);
	if (x->keeper)
		lkg_keeper_touch(x->keeper);
}

/* What the engine refused, or has not seen yet, is not good: a restart would serve it. */
static bool is_good(const struct ads_node *n)
{
	const struct agent_pod *p = ads_node_owner(n);

	return !p->is_due && !p->refusal;
}

static void on_host(struct ads_node *n, struct slice table, struct slice host)
{
	xds_host_answered(xds_of(n), ads_node_owner(n), table, host);
}

static const struct ads_ops ops = { .ready = on_ready,
				    .endpoints = on_endpoints,
				    .host = on_host };

/* ---- start and end --------------------------------------------------------------------------- */

static int connect_server(struct agent_xds *x, const struct skiffd_xds *c, struct err *e)
{
	static const enum ads_mode modes[] = { [SKIFFD_XDS_AUTO] = ADS_AUTO,
					       [SKIFFD_XDS_DELTA] = ADS_DELTA,
					       [SKIFFD_XDS_SOTW] = ADS_SOTW };
	struct grpc_opts g = {
		.addresses = (const char *const *)c->servers,
		.n_addresses = c->n_servers,
		.tls = c->tls,
		.ca_file = c->ca_file,
		.cert_file = c->cert_file,
		.key_file = c->key_file,
		.server_name = c->server_name,
		.token_file = c->token_file,
	};
	struct ads_opts o = { .mode = modes[c->mode],
			      .store = x->store,
			      .fetch_timeout_ms = c->fetch_timeout_ms };
	int r = ads_grpc_new(x->io, &g, &o, &ops, x, &x->grpc, e);

	return r < 0 ? err_prefix(e, r, "xds") : 0;
}

/* The last good configuration: read now, served to each pod that is known there. */
static void open_disk(struct agent_xds *x)
{
	const char *dir = x->a->conf->state_dir;
	struct err e;
	int r;

	if (!dir || !*dir)
		return;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		log_warn("xds", "state_dir %s: %s: the last good configuration is not kept", dir,
			 strerror(errno));
	x->lkg_path = xasprintf("%s/" LKG_NAME, dir);
	r = lkg_load(x->lkg_path, x->store, &x->lkg, &e);
	if (r < 0 && r != -ENOENT)
		log_warn("xds", "the last good configuration cannot be used: %s", e.text);
	if (x->lkg)
		x->lkg_written_ns = lkg_written(x->lkg);
	x->keeper = lkg_keeper_new(x->io, x->lkg_path, ads_grpc_ads(x->grpc), is_good);
}

int agent_xds_new(struct agent *a, struct err *e)
{
	struct agent_xds *x;
	int r;

	if (!a->conf->xds)
		return 0;
	x = xcalloc(1, sizeof(*x));
	x->a = a;
	list_init(&x->answered);
	a->xds = x;
	r = io_new(IO_EPOLL, &x->io, e);
	if (r < 0)
		return r;
	x->conf = skiffd_xds_copy(&x->arena, a->conf->xds);
	x->store = xds_store_new(xds_compile);
	xds_store_set_check(x->store, a->engine.check, a->engine.arg);
	r = connect_server(x, x->conf, e);
	if (r == 0)
		open_disk(x);
	return r;
}

void agent_xds_free(struct agent *a)
{
	struct agent_xds *x = a->xds;

	if (!x)
		return;
	lkg_keeper_free(x->keeper);
	list_for_each(n, &a->pods)
		agent_xds_leave(a, list_entry(n, struct agent_pod, node));
	lkg_free(x->lkg);
	xds_hosts_done(x);
	ads_grpc_free(x->grpc);
	if (x->store)
		xds_store_free(x->store);
	io_free(x->io);
	free(x->lkg_path);
	arena_done(&x->arena);
	free(x);
	a->xds = NULL;
}

/* ---- pods ------------------------------------------------------------------------------------ */

bool agent_xds_wants(const struct agent *a, const struct skiffd_pod *conf)
{
	return a->xds && conf->xds && !conf->n_resources;
}

const char *agent_xds_trust_domain(const struct agent *a)
{
	return a->xds ? a->xds->conf->trust_domain : NULL;
}

/* "region/zone/subzone" in three. */
static void locality_split(struct arena *arena, const char *text, struct xds_pod *p)
{
	const char **out[] = { &p->region, &p->zone, &p->sub_zone };
	struct slice rest = slice_str(text ? text : "");

	for (size_t i = 0; i < ARRAY_LEN(out) && rest.len; i++) {
		const char *slash = i < 2 ? memchr(rest.ptr, '/', rest.len) : NULL;
		size_t n = slash ? (size_t)(slash - rest.ptr) : rest.len;

		*out[i] = arena_str(arena, slice_of(rest.ptr, n));
		rest = slice_of(rest.ptr + n + (slash != NULL), rest.len - n - (slash != NULL));
	}
}

static int node_make(struct agent *a, struct agent_pod *p, struct arena *arena,
		     struct xds_node *ret_n, struct err *e)
{
	const struct skiffd_xds *c = a->xds->conf;
	struct xds_pod_label *labels = arena_array(arena, struct xds_pod_label, p->conf.n_labels);
	struct xds_pod d = {
		.name = p->conf.name,
		.namespace_ = p->conf.namespace_,
		.addresses = p->addresses,
		.n_addresses = p->n_addresses,
		.service_account = p->conf.service_account,
		.labels = labels,
		.n_labels = p->conf.n_labels,
		.cluster_id = c->cluster_id,
		.mesh_id = c->trust_domain,
		.domain = c->domain,
		.network = c->network,
		.istio_version = c->istio_version,
	};
	json_t *more;
	int r;

	for (uint32_t i = 0; i < p->conf.n_labels; i++)
		labels[i] =
			(struct xds_pod_label){ p->conf.labels[i].key, p->conf.labels[i].value };
	if (p->conf.token_file && !c->tls)
		return err_set(e, -EINVAL,
			       "pod %s: its token_file is sent over TLS only: add tls to xds",
			       p->conf.name);
	locality_split(arena, c->locality, &d);
	r = xds_node_make(&d, ret_n, e);
	if (r < 0)
		return r;
	ret_n->info.token_file = p->conf.token_file;
	if (!c->metadata)
		return 0;
	more = json_loads(c->metadata, 0, NULL);
	json_object_update(ret_n->metadata, more);
	json_decref(more);
	return 0;
}

static char *node_text(const struct xds_node *n)
{
	char *metadata = json_dumps(n->metadata, JSON_COMPACT | JSON_SORT_KEYS);
	const char *token = n->info.token_file;
	char *text = xasprintf("%s %s %s %s", n->id, n->cluster, metadata, token ? token : "");

	free(metadata);
	return text;
}

static void join(struct agent *a, struct agent_pod *p, const struct xds_node *n, char *text)
{
	struct agent_xds *x = a->xds;

	agent_xds_leave(a, p);
	p->xds_said = text;
	p->joined_ms = clock_mono_ns() / NSEC_PER_MSEC;
	p->xds = ads_node_add(ads_grpc_ads(x->grpc), &n->info, p);
	if (x->lkg && lkg_restore(x->lkg, p->xds))
		log_warn("xds",
			 "pod %s/%s: serving the last good configuration from disk, %llu s old, "
			 "until the control plane answers",
			 p->conf.namespace_, p->conf.name,
			 (unsigned long long)agent_xds_disk_age(a));
}

int agent_xds_sync(struct agent *a, struct agent_pod *p, struct err *e)
{
	struct arena arena = { 0 };
	struct xds_node n;
	char *text;
	int r;

	if (!agent_xds_wants(a, &p->conf)) {
		agent_xds_leave(a, p);
		return 0;
	}
	r = node_make(a, p, &arena, &n, e);
	if (r < 0)
		goto out;
	text = node_text(&n);
	if (p->xds && strcmp(text, p->xds_said) == 0)
		free(text);
	else
		join(a, p, &n, text);
	xds_node_done(&n);
out:
	arena_done(&arena);
	return r;
}

void agent_xds_leave(struct agent *a, struct agent_pod *p)
{
	(void)a;
	ads_node_remove(p->xds);
	p->xds = NULL;
	p->is_due = false;
	p->check_at_ms = 0;
	free(p->xds_said);
	p->xds_said = NULL;
}

uint64_t agent_xds_disk_age(const struct agent *a)
{
	uint64_t now = clock_wall_ns();

	if (!a->xds || !a->xds->lkg_written_ns || now < a->xds->lkg_written_ns)
		return 0;
	return (now - a->xds->lkg_written_ns) / NSEC_PER_SEC;
}

const struct grpc_channel *agent_xds_channel(const struct agent *a)
{
	return a->xds ? ads_grpc_channel(a->xds->grpc) : NULL;
}

/* ---- the loop -------------------------------------------------------------------------------- */

int agent_xds_fd(const struct agent *a)
{
	return a->xds ? io_poll_fd(a->xds->io) : -1;
}

static uint64_t publish_at(const struct agent_xds *x)
{
	return x->published_ms + x->gather_ms;
}

int agent_xds_timeout(const struct agent *a, int ms, uint64_t now_ms)
{
	const struct agent_xds *x = a->xds;
	int io;

	if (!x)
		return ms;
	io = io_next_timeout(x->io);
	if (io >= 0 && (ms < 0 || io < ms))
		ms = io;
	if (x->is_due)
		ms = agent_earlier(ms, publish_at(x), now_ms);
	list_for_each(n, &a->pods)
		ms = agent_earlier(ms, list_entry(n, struct agent_pod, node)->check_at_ms, now_ms);
	return agent_earlier(ms, xds_hold_next(x), now_ms);
}

bool agent_xds_is_waiting(const struct agent *a)
{
	list_for_each(n, &a->pods)
		if (list_entry(n, struct agent_pod, node)->phase == AGENT_HELD)
			return true;
	return false;
}

/* What was on disk is of no more use when the control plane has answered everybody. */
static void forget_disk(struct agent_xds *x)
{
	if (!x->lkg || !grpc_channel_is_up(ads_grpc_channel(x->grpc)))
		return;
	list_for_each(n, &x->a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->xds && !ads_node_is_complete(p->xds))
			return;
	}
	lkg_free(x->lkg);
	x->lkg = NULL;
}

static void publish(struct agent_xds *x)
{
	uint64_t began = clock_mono_ns() / NSEC_PER_MSEC;

	xds_publish(x);
	x->published_ms = clock_mono_ns() / NSEC_PER_MSEC;
	x->gather_ms = (uint32_t)(x->published_ms - began) + 1;
	if (x->gather_ms > GATHER_MAX_MS)
		x->gather_ms = GATHER_MAX_MS;
}

void agent_xds_turn(struct agent *a, uint64_t now_ms)
{
	struct agent_xds *x = a->xds;
	int initial = ADMIN_INITIALIZING;

	if (!x)
		return;
	io_run_once(x->io, 0);
	if (x->is_due && now_ms >= publish_at(x)) {
		publish(x);
		forget_disk(x);
	}
	xds_hosts_turn(x);
	xds_check_shared(x, now_ms);
	xds_hold_turn(x, now_ms);
	if (!agent_xds_is_waiting(a))
		atomic_compare_exchange_strong(&a->state, &initial, ADMIN_LIVE);
}
