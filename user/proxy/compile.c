/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot -> runnable form, on the main thread. */
#include "proxy/compile.h"

#include <errno.h>
#include <stdatomic.h>

#include "proxy/proxy_impl.h"
#include "route/route.h"

/* What one compilation needs at every step. */
struct comp {
	struct engine *e;
	struct pview *v;
	const struct pview *old;
	struct err *err;
	struct slice listener; /* its name in statistics */
};

static const struct filter *find_filter(const struct engine *e, const char *kind)
{
	for (const struct filter *const *f = e->opts.filters; *f; f++)
		if (strcmp((*f)->kind, kind) == 0)
			return *f;
	return NULL;
}

static int comp_filters(struct comp *c, const struct mesh_filter *conf, uint32_t n,
			struct slice prefix, struct pfilter **ret_v)
{
	struct pfilter *v = arena_array(&c->v->arena, struct pfilter, n);

	/* Seen by pview_free even when a later one fails. */
	*ret_v = v;
	for (uint32_t i = 0; i < n; i++) {
		v[i].conf = &conf[i];
		v[i].ops = find_filter(c->e, conf[i].kind);
		if (!v[i].ops)
			return err_set(c->err, -EINVAL, "filter '%.*s': no filter '%s' is built in",
				       SLICE_ARG(conf[i].name), conf[i].kind);
		if (v[i].ops->shared_new)
			v[i].shared = v[i].ops->shared_new(&conf[i], conf[i].config, prefix);
	}
	return 0;
}

static int comp_logs(struct comp *c, struct mesh_access_log *conf, uint32_t n,
		     struct plogs *ret_logs)
{
	ret_logs->v = arena_array(&c->v->arena, struct plog, n);
	ret_logs->n = n;
	for (uint32_t i = 0; i < n; i++) {
		int sink = log_sink_open(c->e, &conf[i], c->err);

		if (sink < 0)
			return sink;
		ret_logs->v[i] = (struct plog){ &conf[i], (uint32_t)sink };
	}
	return 0;
}

/* ---- overrides ------------------------------------------------------------------------------- */

static int comp_overrides(struct comp *c, const struct mesh_overrides *o, struct slice prefix)
{
	for (uint32_t i = 0; i < o->n; i++) {
		const struct mesh_filter_override *ov = &o->v[i];
		const struct filter *ops;
		struct poverride *p;
		struct mesh_filter conf = { .name = ov->name,
					    .kind = ov->kind,
					    .config = ov->config };

		if (!ov->config)
			continue;
		ops = find_filter(c->e, ov->kind);
		if (!ops || !ops->shared_new)
			continue;
		HASH_FIND_PTR(c->v->overrides, &ov->config, p);
		if (p)
			continue;
		p = arena_new(&c->v->arena, struct poverride);
		p->config = ov->config;
		p->ops = ops;
		p->shared = ops->shared_new(&conf, ov->config, prefix);
		HASH_ADD_PTR(c->v->overrides, config, p);
	}
	return 0;
}

static void comp_table(struct comp *c, const struct mesh_route_table *t, struct slice prefix)
{
	if (!t)
		return;
	comp_overrides(c, &t->overrides, prefix);
	for (uint32_t i = 0; i < t->n_vhosts; i++) {
		const struct mesh_vhost *vh = &t->vhosts[i];

		comp_overrides(c, &vh->overrides, prefix);
		for (uint32_t j = 0; j < vh->n_routes; j++) {
			const struct mesh_route *r = &vh->routes[j];

			comp_overrides(c, &r->overrides, prefix);
			for (uint32_t k = 0; k < r->n_weighted; k++)
				comp_overrides(c, &r->weighted[k].overrides, prefix);
		}
	}
}

/* ---- terminals ------------------------------------------------------------------------------- */

static int comp_http(struct comp *c, const struct mesh_http_manager *conf, struct phttp *p)
{
	int r;

	if (conf->codec_type == MESH_CODEC_HTTP2)
		return err_set(
			c->err, -EINVAL,
			"http connection manager '%.*s': codec_type HTTP2 is not built yet: "
			"use AUTO or HTTP1",
			SLICE_ARG(conf->stat_prefix));
	p->conf = conf;
	p->stat_prefix = arena_printf(&c->v->arena, "http.%.*s", SLICE_ARG(conf->stat_prefix));
	http_stats_register(&p->stats, conf->stat_prefix);
	listener_http_stats_register(&p->listener_stats, c->listener, conf->stat_prefix);
	p->opts = (struct codec_opts){
		.accept_http10 = conf->accept_http10,
		.proper_case = conf->proper_case,
		.preserve_case = conf->preserve_case,
		.enable_trailers = conf->enable_trailers,
		.allow_chunked_length = conf->allow_chunked_length,
		.allow_absolute_url = conf->allow_absolute_url,
		.reject_underscores = conf->underscores == MESH_UNDERSCORES_REJECT,
		.drop_underscores = conf->underscores == MESH_UNDERSCORES_DROP,
		.default_host = conf->default_host_http10,
	};
	p->limits.head_bytes = conf->max_head_kb * 1024;
	p->limits.props = conf->max_headers;
	p->n_filters = conf->n_filters;
	r = comp_filters(c, conf->filters, conf->n_filters, p->stat_prefix, &p->filters);
	if (r < 0)
		return r;
	/* The one thing in a mesh view that is filled in later: by the room that searches it, once,
	 * before anyone else sees the view. */
	if (conf->routes) {
		r = route_table_index((struct mesh_route_table *)conf->routes, &c->v->arena,
				      c->err);
		if (r < 0)
			return r;
	}
	comp_table(c, conf->routes, p->stat_prefix);
	return comp_logs(c, conf->logs, conf->n_logs, &p->logs);
}

static int comp_rpc(struct comp *c, const struct mesh_rpc_proxy *conf, struct prpc *p)
{
	int r;

	p->conf = conf;
	p->codec = codec_find(c->e->opts.codecs, conf->codec);
	if (!p->codec)
		return err_set(c->err, -EINVAL, "no codec '%s' is built in", conf->codec);
	p->stat_prefix =
		arena_printf(&c->v->arena, "%s.%.*s", conf->codec, SLICE_ARG(conf->stat_prefix));
	rpc_stats_register(&p->stats, conf->codec, conf->stat_prefix);
	p->n_filters = conf->n_filters;
	r = comp_filters(c, conf->filters, conf->n_filters, p->stat_prefix, &p->filters);
	if (r < 0)
		return r;
	return comp_logs(c, conf->logs, conf->n_logs, &p->logs);
}

static int comp_terminal(struct comp *c, const struct mesh_net_filter *f, struct pchain *p)
{
	p->kind = f->kind;
	switch (f->kind) {
	case MESH_NET_HTTP:
		return comp_http(c, f->http, &p->http);
	case MESH_NET_RPC:
		return comp_rpc(c, f->rpc, &p->rpc);
	case MESH_NET_TCP:
		p->tcp.conf = f->tcp;
		tcp_stats_register(&p->tcp.stats, f->tcp->stat_prefix);
		return comp_logs(c, f->tcp->logs, f->tcp->n_logs, &p->tcp.logs);
	case MESH_NET_RATELIMIT:
	case MESH_NET_RBAC:
		break;
	}
	return err_set(c->err, -EINVAL,
		       "the last network filter must be one that serves the connection");
}

static void comp_rbac(const struct mesh_rbac *conf, struct prbac *p)
{
	p->conf = conf;
	rbac_stats_register(&p->stats, conf, conf->stat_prefix);
}

static bool has_rbac(const struct mesh_filter *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (v[i].discovery.len || (v[i].kind && strcmp(v[i].kind, "rbac") == 0))
			return true;
	return false;
}

/* Does a filter for messages ask who the client is? */
static bool asks_identity(const struct mesh_net_filter *f)
{
	switch (f->kind) {
	case MESH_NET_HTTP:
		return has_rbac(f->http->filters, f->http->n_filters);
	case MESH_NET_RPC:
		return has_rbac(f->rpc->filters, f->rpc->n_filters);
	default:
		return false;
	}
}

static int comp_chain(struct comp *c, const struct mesh_chain *conf, struct pchain *p)
{
	p->conf = conf;
	if (!conf->n_filters)
		return err_set(c->err, -EINVAL, "filter chain '%.*s' has no filters",
			       SLICE_ARG(conf->name));
	p->limits = arena_array(&c->v->arena, struct pratelimit, conf->n_filters);
	p->rbac = arena_array(&c->v->arena, struct prbac, conf->n_filters);
	for (uint32_t i = 0; i + 1 < conf->n_filters; i++) {
		const struct mesh_net_filter *f = &conf->filters[i];

		if (f->kind == MESH_NET_RBAC) {
			comp_rbac(f->rbac, &p->rbac[p->n_rbac++]);
			p->asks_identity = true;
			continue;
		}
		if (f->kind != MESH_NET_RATELIMIT)
			return err_set(c->err, -EINVAL,
				       "network filter '%.*s' must be the last of its chain",
				       SLICE_ARG(f->name));
		p->limits[p->n_limits++] = (struct pratelimit){
			filter_bucket_new(&f->ratelimit->bucket),
			stats_registerf(STAT_COUNTER, "local_rate_limit.%.*s.rate_limited",
					SLICE_ARG(f->ratelimit->stat_prefix)),
		};
	}
	p->asks_identity |= asks_identity(&conf->filters[conf->n_filters - 1]);
	return comp_terminal(c, &conf->filters[conf->n_filters - 1], p);
}

static struct slice listener_stat_name(struct comp *c, const struct mesh_listener *l)
{
	char text[ADDR_TEXT_MAX];

	if (l->stat_prefix.len)
		return l->stat_prefix;
	addr_format(&l->addr, text);
	for (char *p = text; *p; p++)
		if (*p == ':')
			*p = '_';
	return arena_slice(&c->v->arena, slice_str(text));
}

static int comp_listener(struct comp *c, const struct mesh_listener *conf, struct plistener *p)
{
	int r = 0;

	p->conf = conf;
	p->view = c->v;
	p->n_chains = conf->n_chains + (conf->default_chain ? 1 : 0);
	p->chains = arena_array(&c->v->arena, struct pchain, p->n_chains);
	c->listener = listener_stat_name(c, conf);
	listener_stats_register(&p->stats, c->listener);
	for (uint32_t i = 0; i < p->n_chains && r == 0; i++)
		r = comp_chain(c, i < conf->n_chains ? &conf->chains[i] : conf->default_chain,
			       &p->chains[i]);
	if (r == 0)
		r = comp_logs(c, conf->logs, conf->n_logs, &p->logs);
	if (r < 0)
		return err_prefix(c->err, r, "listener '%.*s'", SLICE_ARG(conf->name));
	return 0;
}

/* ---- clusters -------------------------------------------------------------------------------- */

static void pcluster_unref(struct pcluster *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	upstream_shared_done(&p->shared);
	mesh_view_unref(p->owner);
	free(p);
}

static struct pcluster *comp_cluster(struct comp *c, const struct mesh_cluster *conf)
{
	const struct mesh_cluster *was = c->old ? mesh_view_cluster(c->old->mesh, conf->name) :
						  NULL;
	struct pcluster *p;

	if (was && was->hash == conf->hash) {
		p = c->old->clusters[was->index];
		atomic_fetch_add(&p->refs, 1);
		return p;
	}
	p = xcalloc(1, sizeof(*p));
	p->owner = mesh_view_ref(c->v->mesh);
	atomic_store(&p->refs, 1);
	upstream_shared_init(&p->shared, conf);
	return p;
}

/* ---- views and snapshots --------------------------------------------------------------------- */

static void free_filters(struct pfilter *v, uint32_t n)
{
	for (uint32_t i = 0; v && i < n; i++)
		if (v[i].shared && v[i].ops->shared_free)
			v[i].ops->shared_free(v[i].shared);
}

static void chain_done(struct pchain *p)
{
	for (uint32_t i = 0; i < p->n_limits; i++)
		filter_bucket_free(p->limits[i].bucket);
	if (p->kind == MESH_NET_HTTP)
		free_filters(p->http.filters, p->http.n_filters);
	else if (p->kind == MESH_NET_RPC)
		free_filters(p->rpc.filters, p->rpc.n_filters);
}

static void pview_free(struct pview *v)
{
	struct poverride *o, *tmp;

	for (uint32_t i = 0; v->listeners && i < v->mesh->n_listeners; i++)
		for (uint32_t j = 0; j < v->listeners[i].n_chains; j++)
			chain_done(&v->listeners[i].chains[j]);
	for (uint32_t i = 0; v->clusters && i < v->mesh->n_clusters; i++)
		pcluster_unref(v->clusters[i]);
	HASH_ITER(hh, v->overrides, o, tmp) {
		HASH_DEL(v->overrides, o);
		if (o->shared && o->ops->shared_free)
			o->ops->shared_free(o->shared);
	}
	arena_done(&v->arena);
	mesh_view_unref(v->mesh);
	free(v);
}

struct pview *pview_ref(struct pview *v)
{
	atomic_fetch_add(&v->refs, 1);
	return v;
}

void pview_unref(struct pview *v)
{
	if (v && atomic_fetch_sub(&v->refs, 1) == 1)
		pview_free(v);
}

static int pview_compile(struct engine *e, struct mesh_view *m, const struct pview *old,
			 struct pview **ret_v, struct err *err)
{
	struct pview *v = xcalloc(1, sizeof(*v));
	struct comp c = { e, v, old, err, SLICE_NONE };
	int r = 0;

	v->mesh = mesh_view_ref(m);
	atomic_store(&v->refs, 1);
	v->clusters = arena_array(&v->arena, struct pcluster *, m->n_clusters);
	for (uint32_t i = 0; i < m->n_clusters; i++)
		v->clusters[i] = comp_cluster(&c, &m->clusters[i]);
	v->listeners = arena_array(&v->arena, struct plistener, m->n_listeners);
	for (uint32_t i = 0; i < m->n_listeners && r == 0; i++)
		r = comp_listener(&c, &m->listeners[i], &v->listeners[i]);
	if (r < 0) {
		pview_unref(v);
		return r;
	}
	*ret_v = v;
	return 0;
}

void *pview_override(const struct pview *v, const void *config)
{
	struct poverride *o;

	HASH_FIND_PTR(v->overrides, &config, o);
	return o ? o->shared : NULL;
}

const struct pchain *plistener_chain(const struct plistener *l, const struct mesh_chain *c)
{
	if (c == l->conf->default_chain)
		return &l->chains[l->n_chains - 1];
	return &l->chains[c - l->conf->chains];
}

/* The compiled form of @m that @p already has, for pods that share a view. */
static struct pview *find_view(const struct psnap *p, const struct mesh_view *m, uint32_t n)
{
	if (!p)
		return NULL;
	if (p->host && p->host->mesh == m)
		return p->host;
	for (uint32_t i = 0; i < n; i++)
		if (p->pods[i] && p->pods[i]->mesh == m)
			return p->pods[i];
	return NULL;
}

static const struct pview *old_pod_view(const struct psnap *old, uint32_t id)
{
	for (uint32_t i = 0; old && i < old->mesh->n_pods; i++)
		if (old->mesh->pods[i].id == id)
			return old->pods[i];
	return NULL;
}

static int psnap_view(struct engine *e, struct psnap *p, const struct psnap *old,
		      struct mesh_view *m, const struct pview *was, struct pview **ret_v,
		      struct err *err)
{
	struct pview *have = find_view(p, m, p->mesh->n_pods);

	if (!have && old)
		have = find_view(old, m, old->mesh->n_pods);
	if (have) {
		*ret_v = pview_ref(have);
		return 0;
	}
	return pview_compile(e, m, was, ret_v, err);
}

int psnap_compile(struct engine *e, struct mesh_snapshot *s, struct psnap *old,
		  struct psnap **ret_p, struct err *err)
{
	struct psnap *p = xcalloc(1, sizeof(*p));
	int r = 0;

	atomic_store(&p->refs, 1);
	p->mesh = mesh_snapshot_ref(s);
	p->pods = xcalloc(s->n_pods, sizeof(*p->pods));
	if (s->host)
		r = psnap_view(e, p, old, s->host, old ? old->host : NULL, &p->host, err);
	for (uint32_t i = 0; i < s->n_pods && r == 0; i++)
		if (s->pods[i].view)
			r = psnap_view(e, p, old, s->pods[i].view, old_pod_view(old, s->pods[i].id),
				       &p->pods[i], err);
	if (r < 0) {
		psnap_unref(p);
		return r;
	}
	*ret_p = p;
	return 0;
}

struct psnap *psnap_ref(struct psnap *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void psnap_unref(struct psnap *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	pview_unref(p->host);
	for (uint32_t i = 0; i < p->mesh->n_pods; i++)
		pview_unref(p->pods[i]);
	free(p->pods);
	mesh_snapshot_unref(p->mesh);
	free(p);
}
