/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent answers on the admin port and the control socket. */
#include <errno.h>
#include <jansson.h>

#include "agent/agent_impl.h"

/* ---- pods ------------------------------------------------------------------------------------ */

struct pod_call {
	const struct admin_request *req;
	struct admin_reply *reply;
	unsigned int status;
};

static unsigned int status_of(int r)
{
	switch (r) {
	case -ENOENT:
		return 404;
	case -EEXIST:
		return 409;
	case -EINVAL:
		return 400;
	default:
		return 500;
	}
}

static void list_pods(struct agent *a, void *arg)
{
	struct pod_call *c = arg;

	agent_pods_json(a, &c->reply->body);
	c->reply->type = ADMIN_JSON;
	c->status = 200;
}

/* In the mesh or not at all: a pod that a restart would lose is not taken. */
static int keep_pod(struct agent *a, const struct skiffd_pod *conf, struct slice json,
		    struct err *e)
{
	struct err ignored;
	int r = agent_record_write(a, agent_pod_find(a, conf->namespace_, conf->name), json, e);

	if (r < 0)
		agent_pod_drop(a, conf->namespace_, conf->name, &ignored);
	return r;
}

static void add_pod(struct agent *a, void *arg)
{
	struct pod_call *c = arg;
	struct arena arena = { 0 };
	struct skiffd_pod pod = { 0 };
	struct err e;
	int r = skiffd_pod_read(c->req->body, NULL, &arena, &pod, &e);

	if (r == 0)
		r = agent_pod_add(a, &pod, &e);
	if (r == 0)
		r = keep_pod(a, &pod, c->req->body, &e);
	c->status = r < 0 ? admin_error(c->reply, status_of(r), "%s", e.text) :
			    admin_text(c->reply, 200, "OK");
	arena_done(&arena);
}

static void remove_pod(struct agent *a, void *arg)
{
	struct pod_call *c = arg;
	const char *name = admin_query(c->req, "name");
	const char *ns = admin_query(c->req, "namespace");
	const struct agent_pod *pod;
	struct err e;
	int r;

	if (!name || !*name) {
		c->status = admin_error(c->reply, 400, "?name= is missing");
		return;
	}
	pod = agent_pod_find(a, ns && *ns ? ns : NULL, name);
	if (pod)
		agent_record_remove(pod);
	r = agent_pod_drop(a, ns && *ns ? ns : NULL, name, &e);
	c->status = r < 0 ? admin_error(c->reply, status_of(r), "%s", e.text) :
			    admin_text(c->reply, 200, "OK");
}

static unsigned int call(void *ctx, const struct admin_request *req, struct admin_reply *reply,
			 void (*fn)(struct agent *a, void *arg))
{
	struct pod_call c = { req, reply, 503 };

	agent_call(ctx, fn, &c);
	return c.status;
}

static unsigned int get_pods(void *ctx, const struct admin_request *req, struct admin_reply *reply)
{
	return call(ctx, req, reply, list_pods);
}

static unsigned int post_pods(void *ctx, const struct admin_request *req, struct admin_reply *reply)
{
	return call(ctx, req, reply, add_pod);
}

static unsigned int delete_pods(void *ctx, const struct admin_request *req,
				struct admin_reply *reply)
{
	return call(ctx, req, reply, remove_pod);
}

/* ---- the others ------------------------------------------------------------------------------ */

static void do_reload(struct agent *a, void *arg)
{
	struct pod_call *c = arg;
	struct err e;
	int r = agent_reload(a, &e);

	c->status = r < 0 ? admin_error(c->reply, 400, "%s", e.text) :
			    admin_text(c->reply, 200, "OK");
}

static unsigned int post_reload(void *ctx, const struct admin_request *req,
				struct admin_reply *reply)
{
	return call(ctx, req, reply, do_reload);
}

static void do_drain(struct agent *a, void *arg)
{
	struct pod_call *c = arg;

	a->engine.drain(a->engine.arg, admin_query(c->req, "inboundonly") != NULL);
	c->status = admin_text(c->reply, 200, "OK\n");
}

static unsigned int post_drain(void *ctx, const struct admin_request *req,
			       struct admin_reply *reply)
{
	return call(ctx, req, reply, do_drain);
}

static void do_bpf(struct agent *a, void *arg)
{
	struct pod_call *c = arg;
	char *text = NULL;
	size_t n = 0;
	struct err e;
	FILE *f;

	if (!a->dp) {
		c->status = admin_error(c->reply, 404, "this skiffd captures no pods");
		return;
	}
	f = open_memstream(&text, &n);
	must(f != NULL);
	c->status = datapath_show(a->conf->pin_dir, f, &e) < 0 ?
			    admin_error(c->reply, 500, "%s", e.text) :
			    200;
	fclose(f);
	if (c->status == 200)
		buf_add(&c->reply->body, text, n);
	free(text);
}

static unsigned int get_bpf(void *ctx, const struct admin_request *req, struct admin_reply *reply)
{
	return call(ctx, req, reply, do_bpf);
}

/* NAMESPACE/NAME or NAME. */
static struct agent_pod *named_pod(struct agent *a, const char *name)
{
	const char *slash = strchr(name, '/');
	char *ns = slash ? slice_dup(slice_of(name, (size_t)(slash - name))) : NULL;
	struct agent_pod *p = agent_pod_find(a, ns, slash ? slash + 1 : name);

	free(ns);
	return p;
}

const struct mesh_view *agent_pod_view(struct agent *a, const char *pod)
{
	const struct agent_pod *p = named_pod(a, pod);

	return p ? p->view : NULL;
}

/* The pod of ?pod=; NULL after having answered. */
static struct agent_pod *asked_pod(struct agent *a, struct pod_call *c)
{
	const char *name = admin_query(c->req, "pod");
	struct agent_pod *p;

	if (!name || !*name) {
		c->status = admin_error(c->reply, 400, "?pod= is missing");
		return NULL;
	}
	p = named_pod(a, name);
	if (!p)
		c->status = admin_error(c->reply, 404, "no pod %s here (skiffctl pod list)", name);
	return p;
}

static void do_status(struct agent *a, void *arg)
{
	struct pod_call *c = arg;
	json_t *o = agent_status(a);
	char *text = json_dumps(o, JSON_INDENT(1));

	buf_add_slice(&c->reply->body, slice_str(text));
	buf_add_char(&c->reply->body, '\n');
	c->reply->type = ADMIN_JSON;
	c->status = 200;
	free(text);
	json_decref(o);
}

static unsigned int get_status(void *ctx, const struct admin_request *req,
			       struct admin_reply *reply)
{
	return call(ctx, req, reply, do_status);
}

static void do_policy(struct agent *a, void *arg)
{
	struct pod_call *c = arg;
	struct agent_pod *p = asked_pod(a, c);
	char *text = NULL;
	size_t n = 0;
	struct err e;
	FILE *f;

	if (!p)
		return;
	f = open_memstream(&text, &n);
	must(f != NULL);
	c->status = datapath_show_pod(a->conf->pin_dir, p->ref.id, f, &e) < 0 ?
			    admin_error(c->reply, 500, "%s", e.text) :
			    200;
	fclose(f);
	if (c->status == 200)
		buf_add(&c->reply->body, text, n);
	free(text);
}

static unsigned int get_policy(void *ctx, const struct admin_request *req,
			       struct admin_reply *reply)
{
	return call(ctx, req, reply, do_policy);
}

/* ---- config_dump ----------------------------------------------------------------------------- */

static void do_dump(struct agent *a, void *arg)
{
	struct pod_call *c = arg;
	const char *resource = admin_query(c->req, "resource");
	struct agent_pod *p = NULL;
	json_t *o;
	char *text;

	if (admin_query(c->req, "pod") && (p = asked_pod(a, c)) == NULL)
		return;
	o = agent_dump(a, p, admin_query(c->req, "include_eds") != NULL, resource);
	if (!o) {
		c->status = admin_error(c->reply, 400, "%s is not in the dump", resource);
		return;
	}
	text = json_dumps(o, JSON_INDENT(1));
	buf_add_slice(&c->reply->body, slice_str(text));
	buf_add_char(&c->reply->body, '\n');
	c->reply->type = ADMIN_JSON;
	c->status = 200;
	free(text);
	json_decref(o);
}

static unsigned int get_dump(void *ctx, const struct admin_request *req, struct admin_reply *reply)
{
	return call(ctx, req, reply, do_dump);
}

static const struct admin_route routes[] = {
	{ "GET", SKIFF_PATH_PODS, true, get_pods, "managed pods as JSON" },
	{ "POST", SKIFF_PATH_PODS, true, post_pods,
	  "take a pod into the mesh (JSON as in the configuration file)" },
	{ "DELETE", SKIFF_PATH_PODS, true, delete_pods, "let a pod go (?name=&namespace=)" },
	{ "POST", SKIFF_PATH_RELOAD, true, post_reload, "read the configuration again" },
	{ "GET", SKIFF_PATH_BPF, true, get_bpf, "the kernel's maps as tables" },
	{ "GET", SKIFF_PATH_STATUS, true, get_status,
	  "the control plane and what each pod has of it (JSON)" },
	{ "GET", SKIFF_PATH_POLICY, true, get_policy,
	  "what the kernel does with a pod's connections (?pod=)" },
	{ "GET", SKIFF_PATH_CONFIG_DUMP, false, get_dump,
	  "the configuration in force (?pod=&resource=&include_eds; Envoy's shape)" },
	{ "POST", SKIFF_PATH_DRAIN, false, post_drain,
	  "stop accepting, let streams end (?inboundonly)" },
};

void agent_admin_routes(struct agent *a, struct admin *admin)
{
	admin_add(admin, routes, ARRAY_LEN(routes), a);
}
