/* SPDX-License-Identifier: Apache-2.0 */
/* skiffd: reads the command line and joins agent, engine and admin port. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/admin.h"
#include "agent/agent.h"
#include "base/log.h"
#include "cmd/builtin.h"
#include "cmd/harden.h"
#include "proxy/engine.h"
#include "proxy/explain.h"
#include "skiff/bpf.h"
#include "xds/load.h"

static const char usage[] =
	"skiffd " SKIFF_VERSION
	" - a service mesh without sidecars: one daemon serves all pods of a node\n"
	"\n"
	"usage: skiffd --config FILE [options]\n"
	"\n"
	"  -c, --config FILE    skiffd's configuration, or an Envoy bootstrap (static_resources)\n"
	"      --io KIND        auto, uring or epoll (default: the configuration's, else auto)\n"
	"      --workers N      worker threads (default: the configuration's, else one a CPU)\n"
	"      --pods           capture even if no pods are configured (skiffctl pod add)\n"
	"      --xds-mode M     how to speak to the control plane: delta, sotw (state of the\n"
	"                       world) or auto: delta, and sotw where that is refused\n"
	"      --validate       read and check everything, say what is wrong or unused, stop\n"
	"      --log-level L    trace, debug, info, warning, error or off\n"
	"      --no-sandbox     keep all capabilities and system calls (for debugging)\n"
	"  -V, --version        print the version\n"
	"  -h, --help           this text\n"
	"\n"
	"signals: SIGHUP reads the configuration again (changed files do that by themselves); a\n"
	"         bad one is refused whole and the old one stays. SIGTERM and SIGINT end it: pods\n"
	"         are then open (connect straight) or closed (EPERM), as their fail_open says.\n"
	"files:   /run/skiff/skiffd.sock (skiffctl); /sys/fs/bpf/skiff (programs and maps, which\n"
	"         outlive skiffd)\n"
	"exit:    0 ended by a signal, 1 failed, 2 the command line is wrong\n";

struct options {
	const char *config, *io, *log_level;
	int workers;  /* -1: not given */
	int xds_mode; /* enum skiffd_xds_mode, -1: not given */
	bool pods, validate, no_sandbox;
};

/* ---- agent -> engine ------------------------------------------------------------------------- */

static int hook_apply(void *arg, struct mesh_snapshot *s, struct err *e)
{
	return engine_apply(arg, s, e);
}

static int hook_pod_add(void *arg, uint32_t pod, int netns, bool has_ipv6, bool held,
			struct agent_pod_fds *ret, struct err *e)
{
	struct engine_pod_fds fds;
	int r = engine_pod_add(arg, pod, netns, has_ipv6, held, &fds, e);

	if (r == 0)
		*ret = (struct agent_pod_fds){ fds.outbound4, fds.outbound6, fds.inbound };
	return r;
}

static void hook_pod_serve(void *arg, uint32_t pod)
{
	engine_pod_serve(arg, pod);
}

static void hook_pod_remove(void *arg, uint32_t pod)
{
	engine_pod_remove(arg, pod);
}

struct port_call {
	void (*fn)(void *to, const struct agent_port *p);
	void *to;
};

static void tell_port(void *arg, const struct engine_port *p)
{
	const struct port_call *c = arg;
	struct agent_port o = { p->listener, p->addr, p->error };

	c->fn(c->to, &o);
}

static void hook_pod_ports(void *arg, uint32_t pod,
			   void (*fn)(void *to, const struct agent_port *p), void *to)
{
	struct port_call c = { fn, to };

	engine_pod_ports(arg, pod, tell_port, &c);
}

static unsigned int hook_ports_retry(void *arg)
{
	return engine_ports_retry(arg);
}

static int hook_check(void *arg, struct mesh_part *part, struct err *e)
{
	return engine_check(arg, part, e);
}

static int hook_endpoints(void *arg, struct mesh_view *v, struct slice cluster,
			  struct mesh_part *part)
{
	return engine_endpoints(arg, v, cluster, part);
}

static void hook_host_answered(void *arg, uint32_t pod, struct slice table, struct slice host)
{
	engine_host_answered(arg, pod, table, host);
}

static bool hook_is_alive(void *arg, uint32_t max_ms)
{
	return engine_is_alive(arg, max_ms);
}

static void hook_drain(void *arg, bool inbound_only)
{
	engine_drain(arg, inbound_only);
}

/* ---- admin routes of the engine -------------------------------------------------------------- */

struct server {
	struct agent *agent;
	struct engine *engine;
	struct admin *admin;
	char *trust_domain; /* of the engine's options: outlives configurations */
};

struct text_call {
	struct server *s;
	const struct admin_request *req;
	struct admin_reply *reply;
	void (*text)(struct engine *e, const struct mesh_view *only, struct buf *out);
	void (*json)(struct engine *e, const struct mesh_view *only, struct buf *out);
	unsigned int status;
};

/* Of the pod of ?pod=, or of everything. */
static void do_text(struct agent *a, void *arg)
{
	struct text_call *c = arg;
	const char *format = admin_query(c->req, "format"), *pod = admin_query(c->req, "pod");
	bool as_json = format && strcmp(format, "json") == 0;
	const struct mesh_view *only = pod ? agent_pod_view(a, pod) : NULL;

	if (pod && !only) {
		c->status = admin_error(c->reply, 404, "no pod %s with a configuration here", pod);
		return;
	}
	(as_json ? c->json : c->text)(c->s->engine, only, &c->reply->body);
	if (as_json)
		c->reply->type = ADMIN_JSON;
	c->status = 200;
}

static unsigned int get_clusters(void *ctx, const struct admin_request *req,
				 struct admin_reply *reply)
{
	struct text_call c = { ctx, req, reply, engine_clusters_text, engine_clusters_json, 503 };

	agent_call(c.s->agent, do_text, &c);
	return c.status;
}

static unsigned int get_listeners(void *ctx, const struct admin_request *req,
				  struct admin_reply *reply)
{
	struct text_call c = { ctx, req, reply, engine_listeners_text, engine_listeners_json,
			       503 };

	agent_call(c.s->agent, do_text, &c);
	return c.status;
}

struct explain_call {
	struct server *s;
	const struct admin_request *req;
	struct admin_reply *reply;
	unsigned int status;
};

static void do_explain(struct agent *a, void *arg)
{
	struct explain_call *c = arg;
	const char *headers = admin_query(c->req, "headers");
	json_t *h = headers ? json_loads(headers, 0, NULL) : NULL, *answer = NULL;
	struct explain_args args = {
		.pod = admin_query(c->req, "pod"),
		.inbound = admin_query(c->req, "inbound") != NULL,
		.to = admin_query(c->req, "to"),
		.from = admin_query(c->req, "from"),
		.method = admin_query(c->req, "method"),
		.url = admin_query(c->req, "url"),
		.headers = json_is_object(h) ? h : NULL,
	};
	struct err e = { .text = "?pod= is missing" };
	char *text;

	if (args.pod)
		answer = explain(agent_snapshot(a), &args, &e);
	json_decref(h);
	if (!answer) {
		c->status = admin_error(c->reply, 400, "%s", e.text);
		return;
	}
	text = json_dumps(answer, JSON_INDENT(1));
	buf_add_slice(&c->reply->body, slice_str(text));
	buf_add_char(&c->reply->body, '\n');
	c->reply->type = ADMIN_JSON;
	c->status = 200;
	free(text);
	json_decref(answer);
}

static unsigned int get_explain(void *ctx, const struct admin_request *req,
				struct admin_reply *reply)
{
	struct explain_call c = { ctx, req, reply, 503 };

	agent_call(c.s->agent, do_explain, &c);
	return c.status;
}

static const struct admin_route routes[] = {
	{ "GET", SKIFF_PATH_EXPLAIN, true, get_explain,
	  "what would become of a request (?pod=&method=&url=)" },
	{ "GET", SKIFF_PATH_CLUSTERS, false, get_clusters,
	  "clusters and their hosts (?pod=&format=json)" },
	{ "GET", SKIFF_PATH_LISTENERS, false, get_listeners,
	  "listeners and their addresses (?pod=&format=json)" },
};

static enum admin_state state(void *ctx)
{
	const struct server *s = ctx;

	return agent_state(s->agent);
}

static void quit(void *ctx)
{
	const struct server *s = ctx;

	agent_quit(s->agent);
}

static int start_admin(struct server *s, const struct skiffd_config *c, struct err *e)
{
	struct admin_options o = {
		.tcp = c->has_admin,
		.listen = c->admin,
		.control = c->control && *c->control ? c->control : NULL,
		.version = SKIFF_VERSION,
		.state = state,
		.quit = quit,
		.ctx = s,
	};
	int r = admin_new(&o, &s->admin, e);

	if (r < 0)
		return r;
	admin_add(s->admin, routes, ARRAY_LEN(routes), s);
	agent_admin_routes(s->agent, s->admin);
	return admin_start(s->admin, e);
}

/* ---- start ----------------------------------------------------------------------------------- */

static int parse_io(const char *name, enum io_backend *ret)
{
	static const char *const names[] = {
		[IO_AUTO] = "auto", [IO_URING] = "uring", [IO_EPOLL] = "epoll"
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum io_backend)i;
			return 0;
		}
	return -EINVAL;
}

static int start_engine(struct server *s, const struct options *o, const struct skiffd_config *c,
			struct err *e)
{
	struct engine_opts opts = {
		.workers = o->workers >= 0 ? (unsigned int)o->workers : c->workers,
		.codecs = builtin_codecs,
		.filters = builtin_filters,
		.mark = SKIFF_MARK,
		.busy_poll_us = c->busy_poll_us,
		.limits = { .connections = c->max_connections,
			    .connections_per_pod = c->max_connections_per_pod,
			    .buffer_bytes = c->max_buffer_bytes,
			    .buffer_bytes_per_pod = c->max_buffer_bytes_per_pod },
		.original_dst = agent_original_dst,
		.want_host = agent_want_host,
		.trust_domain = s->trust_domain,
		.arg = s->agent,
	};
	const char *io = o->io ? o->io : c->io;
	struct agent_engine hooks = {
		.apply = hook_apply,
		.pod_add = hook_pod_add,
		.pod_serve = hook_pod_serve,
		.pod_remove = hook_pod_remove,
		.pod_ports = hook_pod_ports,
		.ports_retry = hook_ports_retry,
		.check = hook_check,
		.endpoints = hook_endpoints,
		.host_answered = hook_host_answered,
		.is_alive = hook_is_alive,
		.drain = hook_drain,
	};
	int r;

	if (parse_io(io, &opts.io) < 0)
		return err_set(e, -EINVAL, "io: '%s' is not auto, uring or epoll", io);
	r = engine_new(&opts, &s->engine, e);
	if (r < 0)
		return r;
	hooks.arg = s->engine;
	agent_set_engine(s->agent, &hooks);
	return 0;
}

/* As many descriptors as the system allows: two a proxied connection. */
static void raise_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static int validate(const struct skiffd_config *c, struct err *e)
{
	struct xds_report report = { 0 };
	struct mesh_view *v = NULL;
	int r = xds_load_files((const char *const *)c->resources, c->n_resources, &v, &report, e);

	mesh_view_unref(v);
	for (uint32_t i = 0; i < c->n_pods && r == 0; i++) {
		v = NULL;
		r = xds_load_files((const char *const *)c->pods[i].resources,
				   c->pods[i].n_resources, &v, &report, e);
		mesh_view_unref(v);
	}
	for (size_t i = 0; i < report.n; i++)
		printf("%.*s: %.*s\n", SLICE_ARG(report.v[i].path), SLICE_ARG(report.v[i].text));
	if (r == 0)
		printf("%s: good, %zu fields are not used by this version\n", c->path,
		       report.n + report.dropped);
	xds_report_done(&report);
	return r;
}

static int serve(struct server *s, const struct options *o, struct skiffd_config *c, struct err *e)
{
	bool pods = c->n_pods || o->pods || c->pod_folder;
	int r = agent_new(c, pods, &s->agent, e);

	if (r < 0) {
		skiffd_config_free(c);
		return r;
	}
	/* Threads inherit what is given up here. */
	if (!o->no_sandbox)
		r = harden(pods, e);
	if (r == 0)
		r = start_engine(s, o, c, e);
	if (r == 0)
		r = start_admin(s, c, e);
	if (r == 0)
		r = agent_start(s->agent, e);
	if (r < 0)
		return r;
	log_info("skiffd", "version " SKIFF_VERSION " serves with %u workers on %s",
		 engine_workers(s->engine), engine_io_name(s->engine));
	r = agent_run(s->agent);
	log_info("skiffd", "ends%s%s", r ? " on " : "", r ? strsignal(r) : "");
	return 0;
}

static int run(const struct options *o)
{
	struct xds_report report = { 0 };
	struct skiffd_config *c = NULL;
	struct server s = { 0 };
	enum log_level level;
	struct err e = { "" };
	int r = skiffd_config_read(o->config, &c, &report, &e);

	for (size_t i = 0; i < report.n; i++)
		log_warn("config", "%.*s: %.*s", SLICE_ARG(report.v[i].path),
			 SLICE_ARG(report.v[i].text));
	xds_report_done(&report);
	if (r < 0)
		goto out;
	if (c->xds && o->xds_mode >= 0)
		c->xds->mode = (enum skiffd_xds_mode)o->xds_mode;
	if (c->xds && c->xds->trust_domain)
		s.trust_domain = xstrdup(c->xds->trust_domain);
	if ((o->log_level || c->log_level) &&
	    log_level_parse(o->log_level ? o->log_level : c->log_level, &level))
		log_level_set(level);
	if (o->validate) {
		r = validate(c, &e);
		skiffd_config_free(c);
		goto out;
	}
	raise_files();
	r = serve(&s, o, c, &e);
	/* Whoever waits for the main thread shall not any more; pods fall open or closed at once.
	 */
	if (s.agent)
		agent_stop(s.agent);
	admin_free(s.admin);
	engine_free(s.engine);
	agent_free(s.agent);
out:
	free(s.trust_domain);
	if (r < 0)
		fprintf(stderr, "skiffd: %s\n", e.text);
	return r < 0 ? 1 : 0;
}

/* ---- command line ---------------------------------------------------------------------------- */

static const struct option longs[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "io", required_argument, NULL, 'i' },
	{ "workers", required_argument, NULL, 'w' },
	{ "xds-mode", required_argument, NULL, 'x' },
	{ "pods", no_argument, NULL, 'p' },
	{ "validate", no_argument, NULL, 'v' },
	{ "log-level", required_argument, NULL, 'l' },
	{ "no-sandbox", no_argument, NULL, 'n' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int bad(const char *what)
{
	fprintf(stderr, "skiffd: %s (skiffd --help)\n", what);
	return 2;
}

static int xds_mode_of(const char *word)
{
	static const char *const words[] = {
		[SKIFFD_XDS_AUTO] = "auto", [SKIFFD_XDS_DELTA] = "delta", [SKIFFD_XDS_SOTW] = "sotw"
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(word, words[i]) == 0)
			return (int)i;
	return -1;
}

static int parse(int argc, char **argv, struct options *o)
{
	enum log_level level;
	uint64_t n;
	int opt;

	while ((opt = getopt_long(argc, argv, "c:Vh", longs, NULL)) >= 0)
		switch (opt) {
		case 'c': o->config = optarg; break;
		case 'i': o->io = optarg; break;
		case 'w':
			if (slice_to_u64(slice_str(optarg), &n) < 0 || n > ENGINE_WORKERS_MAX)
				return bad("--workers is a number up to 256");
			o->workers = (int)n;
			break;
		case 'p': o->pods = true; break;
		case 'x':
			o->xds_mode = xds_mode_of(optarg);
			if (o->xds_mode < 0)
				return bad("--xds-mode is delta, sotw or auto");
			break;
		case 'v': o->validate = true; break;
		case 'l':
			if (!log_level_parse(optarg, &level))
				return bad(
					"--log-level is trace, debug, info, warning, error or off");
			o->log_level = optarg;
			break;
		case 'n': o->no_sandbox = true; break;
		case 'V': puts("skiffd " SKIFF_VERSION); return -1;
		case 'h': fputs(usage, stdout); return -1;
		default: return bad("unknown option");
		}
	if (optind < argc)
		return bad("only options are taken");
	return o->config ? 0 : bad("--config FILE is missing");
}

int main(int argc, char **argv)
{
	struct options o = { .workers = -1, .xds_mode = -1 };
	int r = parse(argc, argv, &o);

	if (r)
		return r < 0 ? 0 : r;
	return run(&o);
}
