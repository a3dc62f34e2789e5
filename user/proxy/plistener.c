/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners ready to run: chains, filters with their state, logs. */
#include "proxy/compile.h"

#include <errno.h>
#include <stdatomic.h>

#include "proxy/proxy_impl.h"
#include "route/route.h"

/* What one compilation needs at every step. */
struct comp {
	struct engine *e;
	const struct pview *v; /* for what the listener names; NULL: only a trial */
	struct plistener *l;
	struct err *err;
	struct slice listener; /* its name in statistics */
};

/* ---- filters --------------------------------------------------------------------------------- */

static enum filter_verdict refuse_request(struct filter_ctx *ctx, struct l7_msg *m)
{
	(void)m;
	ctx->reply = (struct l7_reply){
		.code = L7_REPLY_INTERNAL,
		.status = 500,
		.details = SLICE("extension_config_not_available"),
	};
	l7_props_init(&ctx->reply.props, ctx->arena);
	return FILTER_REPLY;
}

/* Stands for a filter whose settings the control plane has not sent: nothing passes it. */
static const struct filter filter_absent = { .kind = "absent", .request = refuse_request };

const struct filter *filter_by_kind(const struct engine *e, const char *kind)
{
	for (const struct filter *const *f = e->opts.filters; *f; f++)
		if (strcmp((*f)->kind, kind) == 0)
			return *f;
	return NULL;
}

/* The settings of a filter that is named: the view's, or the default that came with the name. */
static const struct mesh_filter *named_filter(struct comp *c, const struct mesh_filter *conf)
{
	const struct mesh_part *part =
		c->v ? mesh_view_part(c->v->mesh, MESH_PART_FILTER, conf->discovery) : NULL;
	const struct mesh_filter *found = part ? part->body : NULL;
	struct mesh_filter *f;

	/* Another type than was asked for is none. */
	if (!found || !mesh_part_allows(c->l->part, part))
		return conf;
	f = arena_new(&c->l->arena, struct mesh_filter);
	*f = *conf;
	f->kind = found->kind;
	f->config = found->config;
	return f;
}

static int comp_filter(struct comp *c, const struct mesh_filter *conf, struct slice prefix,
		       struct pfilter *p)
{
	p->conf = slice_is_empty(conf->discovery) ? conf : named_filter(c, conf);
	p->ops = p->conf->kind ? filter_by_kind(c->e, p->conf->kind) : &filter_absent;
	if (!p->ops)
		return err_set(c->err, -EINVAL, "filter '%.*s': no filter '%s' is built in",
			       SLICE_ARG(conf->name), p->conf->kind);
	if (p->ops->shared_new)
		p->shared = p->ops->shared_new(p->conf, p->conf->config, prefix);
	return 0;
}

static int comp_filters(struct comp *c, const struct mesh_filter *conf, uint32_t n,
			struct slice prefix, struct pfilter **ret_v)
{
	struct pfilter *v = arena_array(&c->l->arena, struct pfilter, n);

	/* Seen by plistener_free even when a later one fails. */
	*ret_v = v;
	for (uint32_t i = 0; i < n; i++) {
		int r = comp_filter(c, &conf[i], prefix, &v[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int comp_logs(struct comp *c, struct mesh_access_log *conf, uint32_t n,
		     struct plogs *ret_logs)
{
	ret_logs->v = arena_array(&c->l->arena, struct plog, n);
	ret_logs->n = n;
	for (uint32_t i = 0; i < n; i++) {
		int sink = log_sink_open(c->e, &conf[i], c->err);

		if (sink < 0)
			return sink;
		ret_logs->v[i] = (struct plog){ &conf[i], (uint32_t)sink };
	}
	return 0;
}

/* ---- terminals ------------------------------------------------------------------------------- */

static bool ignores_upgrade(const void *arg, struct slice type)
{
	const struct mesh_http_manager *conf = arg;

	for (uint32_t i = 0; i < conf->n_ignored_upgrades; i++)
		if (mesh_string_is_match(&conf->ignored_upgrades[i], type))
			return true;
	return false;
}

static int comp_http(struct comp *c, const struct mesh_http_manager *conf, struct phttp *p)
{
	int r;

	if (conf->codec_type == MESH_CODEC_HTTP2)
		return err_set(c->err, -EINVAL,
			       "http connection manager '%.*s': codec_type HTTP2 is not built yet: "
			       "use AUTO or HTTP1",
			       SLICE_ARG(conf->stat_prefix));
	p->conf = conf;
	p->slot = PTABLE_INLINE;
	p->stat_prefix = arena_printf(&c->l->arena, "http.%.*s", SLICE_ARG(conf->stat_prefix));
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
		.pass_refused = conf->keeps_bad_requests,
		.ignores_upgrade = conf->n_ignored_upgrades ? ignores_upgrade : NULL,
		.ignores_arg = conf,
	};
	p->limits.head_bytes = conf->max_head_kb * 1024;
	p->limits.props = conf->max_headers;
	p->n_filters = conf->n_filters;
	r = comp_filters(c, conf->filters, conf->n_filters, p->stat_prefix, &p->filters);
	if (r < 0)
		return r;
	if (conf->routes)
		r = ptable_new(c->e, conf->routes, c->l->part, p->stat_prefix, &p->table, c->err);
	else
		p->slot = ptable_slot_take(c->e, MESH_PART_ROUTES, conf->route_name);
	if (r < 0)
		return r;
	return comp_logs(c, conf->logs, conf->n_logs, &p->logs);
}

static int comp_rpc(struct comp *c, const struct mesh_rpc_proxy *conf, struct prpc *p)
{
	int r;

	p->conf = conf;
	p->slot = slice_is_empty(conf->route_name) ?
			  PTABLE_INLINE :
			  ptable_slot_take(c->e, MESH_PART_RPC_ROUTES, conf->route_name);
	p->codec = codec_find(c->e->opts.codecs, conf->codec);
	if (!p->codec)
		return err_set(c->err, -EINVAL, "no codec '%s' is built in", conf->codec);
	p->stat_prefix =
		arena_printf(&c->l->arena, "%s.%.*s", conf->codec, SLICE_ARG(conf->stat_prefix));
	rpc_stats_register(&p->stats, conf->codec, conf->stat_prefix);
	p->n_filters = conf->n_filters;
	p->tables = (struct mesh_rpc_tables){ conf->tables, conf->n_tables };
	r = comp_filters(c, conf->filters, conf->n_filters, p->stat_prefix, &p->filters);
	if (r < 0)
		return r;
	return comp_logs(c, conf->logs, conf->n_logs, &p->logs);
}

static int comp_terminal(struct comp *c, const struct mesh_net_filter *f, struct pchain *p)
{
	p->kind = f->kind;
	switch (f->kind) {
	case MESH_NET_HTTP: return comp_http(c, f->http, &p->http);
	case MESH_NET_RPC: return comp_rpc(c, f->rpc, &p->rpc);
	case MESH_NET_TCP:
		p->tcp.conf = f->tcp;
		tcp_stats_register(&p->tcp.stats, f->tcp->stat_prefix);
		return comp_logs(c, f->tcp->logs, f->tcp->n_logs, &p->tcp.logs);
	case MESH_NET_RATELIMIT:
	case MESH_NET_RBAC: break;
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
	case MESH_NET_HTTP: return has_rbac(f->http->filters, f->http->n_filters);
	case MESH_NET_RPC: return has_rbac(f->rpc->filters, f->rpc->n_filters);
	default: return false;
	}
}

static int comp_chain(struct comp *c, const struct mesh_chain *conf, struct pchain *p)
{
	p->conf = conf;
	if (!conf->n_filters)
		return err_set(c->err, -EINVAL, "filter chain '%.*s' has no filters",
			       SLICE_ARG(conf->name));
	p->limits = arena_array(&c->l->arena, struct pratelimit, conf->n_filters);
	p->rbac = arena_array(&c->l->arena, struct prbac, conf->n_filters);
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
	return arena_slice(&c->l->arena, slice_str(text));
}

static int comp_listener(struct comp *c, const struct mesh_listener *conf, struct plistener *p)
{
	int r = 0;

	p->n_chains = conf->n_chains + (conf->default_chain ? 1 : 0);
	p->chains = arena_array(&p->arena, struct pchain, p->n_chains);
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

const struct pchain *plistener_chain(const struct plistener *l, const struct mesh_chain *c)
{
	if (c == l->conf->default_chain)
		return &l->chains[l->n_chains - 1];
	return &l->chains[c - l->conf->chains];
}

/* ---- life ------------------------------------------------------------------------------------ */

static void free_filters(struct pfilter *v, uint32_t n)
{
	for (uint32_t i = 0; v && i < n; i++)
		if (v[i].shared && v[i].ops->shared_free)
			v[i].ops->shared_free(v[i].shared);
}

static void chain_done(struct engine *e, struct pchain *p)
{
	for (uint32_t i = 0; i < p->n_limits; i++)
		filter_bucket_free(p->limits[i].bucket);
	if (p->kind == MESH_NET_HTTP && p->http.conf) {
		free_filters(p->http.filters, p->http.n_filters);
		if (p->http.slot != PTABLE_INLINE)
			ptable_slot_give(e, p->http.slot);
		ptable_unref(p->http.table);
	} else if (p->kind == MESH_NET_RPC && p->rpc.conf) {
		free_filters(p->rpc.filters, p->rpc.n_filters);
		if (p->rpc.slot != PTABLE_INLINE)
			ptable_slot_give(e, p->rpc.slot);
	}
}

static void plistener_free(struct plistener *l)
{
	for (uint32_t i = 0; l->chains && i < l->n_chains; i++)
		chain_done(l->e, &l->chains[i]);
	for (uint32_t i = 0; i < l->n_filters; i++)
		mesh_part_unref(l->filters[i]);
	mesh_part_unref(l->part);
	arena_done(&l->arena);
	free(l);
}

void plistener_unref(struct plistener *l)
{
	if (l && atomic_fetch_sub(&l->refs, 1) == 1)
		plistener_free(l);
}

/* The filters that @part names, as @v has them now. */
static void named_filters(struct plistener *l, const struct pview *v)
{
	const struct mesh_part *part = l->part;

	l->filters = arena_array(&l->arena, struct mesh_part *, part->n_refs);
	for (uint32_t i = 0; i < part->n_refs; i++)
		if (part->refs[i].kind == MESH_PART_FILTER)
			l->filters[l->n_filters++] = mesh_part_ref(
				mesh_view_part(v->mesh, MESH_PART_FILTER, part->refs[i].name));
}

/* Is @was what would be made of @part in @v? */
static bool is_same(const struct plistener *was, const struct mesh_part *part,
		    const struct pview *v)
{
	uint32_t k = 0;

	if (!mesh_part_is_same(was->part, part))
		return false;
	for (uint32_t i = 0; i < part->n_refs; i++)
		if (part->refs[i].kind == MESH_PART_FILTER &&
		    !mesh_part_is_same(was->filters[k++], mesh_view_part(v->mesh, MESH_PART_FILTER,
									 part->refs[i].name)))
			return false;
	return true;
}

/* @v: NULL for a trial. */
static int plistener_new(struct engine *e, const struct pview *v, struct mesh_part *part,
			 struct plistener **ret_l, struct err *err)
{
	struct plistener *l = xcalloc(1, sizeof(*l));
	struct comp c = { e, v, l, err, SLICE_NONE };
	int r;

	atomic_store(&l->refs, 1);
	l->e = e;
	l->conf = mesh_part_listener(part);
	l->part = mesh_part_ref(part);
	if (v)
		named_filters(l, v);
	r = comp_listener(&c, l->conf, l);
	if (r < 0)
		plistener_unref(l);
	else
		*ret_l = l;
	return r;
}

int plistener_check(struct engine *e, struct mesh_part *part, struct err *err)
{
	struct plistener *l = NULL;
	int r = plistener_new(e, NULL, part, &l, err);

	plistener_unref(l);
	return r;
}

int plistener_get(struct engine *e, const struct pview *v, struct mesh_part *part,
		  struct plistener *was, struct plistener **ret_l, struct err *err)
{
	if (was && is_same(was, part, v)) {
		atomic_fetch_add(&was->refs, 1);
		*ret_l = was;
		return 0;
	}
	return plistener_new(e, v, part, ret_l, err);
}
