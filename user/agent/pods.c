/* SPDX-License-Identifier: Apache-2.0 */
/* Pods come and go: namespace, kernel maps, engine sockets. */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/log.h"

#define SETTLE_MS 20

/* ---- records --------------------------------------------------------------------------------- */

static char *copy(struct arena *a, const char *s)
{
	return s ? arena_str(a, slice_str(s)) : NULL;
}

struct agent_pod *agent_pod_new(const struct skiffd_pod *conf)
{
	struct agent_pod *p = xcalloc(1, sizeof(*p));
	struct arena *a = &p->arena;

	p->netns = -1;
	p->rules_changed = true;
	list_init(&p->node);
	p->conf = *conf;
	p->conf.name = copy(a, conf->name);
	p->conf.namespace_ = copy(a, conf->namespace_ ? conf->namespace_ : "default");
	p->conf.service_account =
		copy(a, conf->service_account ? conf->service_account : "default");
	p->conf.netns = copy(a, conf->netns);
	p->conf.token_file = copy(a, conf->token_file);
	p->conf.resources = arena_array(a, char *, conf->n_resources);
	for (uint32_t i = 0; i < conf->n_resources; i++)
		p->conf.resources[i] = copy(a, conf->resources[i]);
	p->conf.addresses = arena_array(a, struct addr, conf->n_addresses);
	if (conf->n_addresses)
		memcpy(p->conf.addresses, conf->addresses, conf->n_addresses * sizeof(struct addr));
	p->conf.labels = arena_array(a, struct skiffd_label, conf->n_labels);
	for (uint32_t i = 0; i < conf->n_labels; i++) {
		p->conf.labels[i].key = copy(a, conf->labels[i].key);
		p->conf.labels[i].value = copy(a, conf->labels[i].value);
	}
	p->conf.policy = arena_array(a, struct skiffd_policy, conf->n_policy);
	if (conf->n_policy)
		memcpy(p->conf.policy, conf->policy, conf->n_policy * sizeof(struct skiffd_policy));
	return p;
}

void agent_pod_free(struct agent_pod *p)
{
	if (!p)
		return;
	if (p->netns >= 0)
		close(p->netns);
	agent_policy_drop(p);
	mesh_view_unref(p->view);
	mesh_view_unref(p->next_view);
	free(p->refusal);
	free(p->record);
	arena_done(&p->arena);
	free(p);
}

struct agent_pod *agent_pod_find(struct agent *a, const char *ns, const char *name)
{
	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (strcmp(p->conf.name, name) == 0 && (!ns || strcmp(p->conf.namespace_, ns) == 0))
			return p;
	}
	return NULL;
}

/* ---- looking into the namespace -------------------------------------------------------------- */

/* The calling thread's own namespace. */
int agent_addresses_read(struct agent_addresses *l)
{
	struct ifaddrs *all = NULL;
	uint32_t max = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (struct ifaddrs *i = all; i; i = i->ifa_next)
		max++;
	l->addrs = arena_array(l->arena, struct addr, max);
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct addr a;

		if (!i->ifa_addr || addr_from_sockaddr(i->ifa_addr, &a) < 0)
			continue;
		if (addr_is_loopback(&a)) {
			l->has_ipv6 |= !addr_is_v4(&a);
			continue;
		}
		if (!addr_is_v4(&a) && a.ip[0] == 0xfe && (a.ip[1] & 0xc0) == 0x80)
			continue; /* link-local */
		a.port = 0;
		l->addrs[l->n++] = a;
	}
	freeifaddrs(all);
	return 0;
}

/* In a thread of its own, which ends there: nobody else's namespace changes. */
static void *look_inside(void *arg)
{
	struct agent_addresses *l = arg;

	l->err = setns(l->netns, CLONE_NEWNET) < 0 ? -errno : agent_addresses_read(l);
	return NULL;
}

static int pod_look(struct agent_pod *p, bool *ret_ipv6, struct err *e)
{
	struct agent_addresses l = { .netns = p->netns, .arena = &p->arena };
	pthread_t t;

	if (pthread_create(&t, NULL, look_inside, &l) != 0)
		return err_set(e, -EAGAIN, "cannot start a thread: %s", strerror(errno));
	pthread_join(t, NULL);
	if (l.err)
		return err_set(e, l.err, "cannot enter the network namespace %s: %s%s",
			       p->conf.netns, strerror(-l.err),
			       l.err == -EPERM ? " (skiffd needs root for pods)" : "");
	*ret_ipv6 = l.has_ipv6;
	p->addresses = p->conf.n_addresses ? p->conf.addresses : l.addrs;
	p->n_addresses = p->conf.n_addresses ? p->conf.n_addresses : l.n;
	return 0;
}

/* ---- in and out of service ------------------------------------------------------------------- */

static enum datapath_accelerate accelerate(const struct agent *a, const struct agent_pod *p)
{
	static const enum datapath_accelerate map[] = {
		[MESH_ACCELERATE_AUTO] = DATAPATH_AUTO, [MESH_ACCELERATE_BOTH] = DATAPATH_BOTH,
		[MESH_ACCELERATE_OFF] = DATAPATH_OFF,
	};

	return map[p->conf.has_accelerate ? p->conf.accelerate : a->conf->accelerate];
}

static void cookie_set(struct agent *a, uint32_t pod, uint64_t cookie)
{
	for (size_t i = 0; i < AGENT_PODS_MAX; i++) {
		struct cookie_entry *c = &a->cookies[i];

		if (cookie ? atomic_load(&c->pod) == 0 : atomic_load(&c->pod) == pod) {
			atomic_store(&c->cookie, cookie);
			atomic_store(&c->pod, cookie ? pod : 0);
			return;
		}
	}
}

int agent_original_dst(void *arg, uint32_t pod, const struct addr *peer, struct addr *ret_dst)
{
	struct agent *a = arg;

	if (!a->dp)
		return -ENOENT;
	for (size_t i = 0; i < AGENT_PODS_MAX; i++)
		if (atomic_load_explicit(&a->cookies[i].pod, memory_order_acquire) == pod)
			return datapath_origdst_get(a->dp, atomic_load(&a->cookies[i].cookie), peer,
						    ret_dst);
	return -ENOENT;
}

static int kernel_add(struct agent *a, struct agent_pod *p, struct err *e)
{
	struct datapath_pod d = {
		.netns = p->netns, .accelerate = accelerate(a, p), .closed = !p->conf.fail_open,
		.addrs = p->addresses,
		.addrs_n = p->n_addresses > SKIFF_POD_ADDRS ? SKIFF_POD_ADDRS : p->n_addresses,
	};
	int r = datapath_pod_add(a->dp, &d, &p->ref, e);

	if (r == 0) {
		if (!p->in_kernel)
			cookie_set(a, p->ref.id, p->ref.netns);
		p->in_kernel = true;
	}
	return r;
}

static int kernel_listeners(struct agent *a, struct agent_pod *p, const struct agent_pod_fds *f,
			    struct err *e)
{
	int r = datapath_pod_listener_set(a->dp, p->ref.id, SKIFF_LISTEN_OUT4, f->outbound4, e);

	if (r == 0 && f->outbound6 >= 0)
		r = datapath_pod_listener_set(a->dp, p->ref.id, SKIFF_LISTEN_OUT6, f->outbound6, e);
	if (r == 0)
		r = datapath_pod_listener_set(a->dp, p->ref.id, SKIFF_LISTEN_IN, f->inbound, e);
	return r;
}

bool agent_pod_is_in(const struct agent_pod *p, const char *netns)
{
	struct stat have, want;

	if (p->netns < 0 || fstat(p->netns, &have) < 0)
		return false;
	/* The pod may have ended while the configuration still names it. */
	if (stat(netns, &want) < 0)
		return strcmp(p->conf.netns, netns) == 0;
	return have.st_dev == want.st_dev && have.st_ino == want.st_ino;
}

/* Two pods in one namespace would take each other's entries in the kernel away. */
static int pod_is_alone(struct agent *a, const struct agent_pod *p, struct err *e)
{
	list_for_each(n, &a->pods) {
		const struct agent_pod *o = list_entry(n, struct agent_pod, node);

		if (o != p && agent_pod_is_in(o, p->conf.netns))
			return err_set(e, -EEXIST, "the network namespace %s is pod %s/%s already",
				       p->conf.netns, o->conf.namespace_, o->conf.name);
	}
	return 0;
}

int agent_pod_look(struct agent_pod *p, struct err *e)
{
	bool ipv6;

	return pod_look(p, &ipv6, e);
}

int agent_pod_write(struct agent *a, struct agent_pod *p, struct err *e)
{
	return kernel_add(a, p, e);
}

static int pod_open_steps(struct agent *a, struct agent_pod *p, struct err *e)
{
	struct agent_pod_fds fds;
	bool ipv6 = false;
	int r;

	p->netns = open(p->conf.netns, O_RDONLY | O_CLOEXEC);
	if (p->netns < 0)
		return err_set(e, -errno,
			       "network namespace %s: %s: is the pod running? (`ip netns list`)",
			       p->conf.netns, strerror(errno));
	r = pod_is_alone(a, p, e);
	if (r == 0)
		r = pod_look(p, &ipv6, e);
	if (r == 0)
		r = kernel_add(a, p, e);
	if (r == 0)
		r = a->engine.pod_add(a->engine.arg, p->ref.id, p->netns, ipv6,
				      p->phase == AGENT_HELD, &fds, e);
	if (r < 0)
		return r;
	p->in_engine = true;
	return kernel_listeners(a, p, &fds, e);
}

int agent_pod_open(struct agent *a, struct agent_pod *p, struct err *e)
{
	int r;

	p->phase = agent_xds_wants(a, &p->conf) && !p->view ? AGENT_HELD : AGENT_SERVED;
	r = pod_open_steps(a, p, e);
	if (r == 0)
		r = agent_xds_sync(a, p, e);
	if (r < 0) {
		agent_pod_close(a, p);
		return err_prefix(e, r, "pod %s/%s", p->conf.namespace_, p->conf.name);
	}
	return 0;
}

void agent_pod_unhook(struct agent *a, struct agent_pod *p)
{
	struct err e;

	if (p->in_kernel && datapath_pod_remove(a->dp, p->ref.netns, &e) < 0)
		log_warn("agent", "pod %s/%s: %s", p->conf.namespace_, p->conf.name, e.text);
	p->in_kernel = false;
}

void agent_settle(void)
{
	struct timespec t = { .tv_nsec = SETTLE_MS * NSEC_PER_MSEC };

	nanosleep(&t, NULL);
}

void agent_pod_close(struct agent *a, struct agent_pod *p)
{
	agent_xds_leave(a, p);
	agent_pod_unhook(a, p);
	if (p->in_engine)
		a->engine.pod_remove(a->engine.arg, p->ref.id);
	if (p->ref.id)
		cookie_set(a, p->ref.id, 0);
	p->ref.id = 0;
	p->in_engine = false;
	if (p->netns >= 0)
		close(p->netns);
	p->netns = -1;
}

int agent_pod_add(struct agent *a, const struct skiffd_pod *conf, struct err *e)
{
	struct agent_pod *p;
	int r = 0;

	if (agent_pod_find(a, conf->namespace_ ? conf->namespace_ : "default", conf->name))
		return err_set(e, -EEXIST, "pod %s/%s is managed already",
			       conf->namespace_ ? conf->namespace_ : "default", conf->name);
	if (!a->dp)
		return err_set(
			e, -ENOTSUP,
			"skiffd was started without capture: start it with --pods, or with "
			"pods in its configuration");
	if (a->n_pods == AGENT_PODS_MAX)
		return err_set(e, -ENOSPC, "more than %d pods", AGENT_PODS_MAX);
	p = agent_pod_new(conf);
	if (!agent_xds_wants(a, conf))
		r = agent_load_view(a, p->conf.resources, p->conf.n_resources, &p->view, e);
	if (r == 0)
		r = agent_pod_open(a, p, e);
	if (r < 0) {
		agent_pod_free(p);
		return r;
	}
	list_push(&a->pods, &p->node);
	a->n_pods++;
	r = agent_publish(a, e);
	if (r < 0) {
		struct err ignored;

		list_del(&p->node);
		a->n_pods--;
		agent_pod_close(a, p);
		agent_pod_free(p);
		agent_publish(a, &ignored);
		return r;
	}
	log_info("agent", "pod %s/%s is in the mesh",
		 conf->namespace_ ? conf->namespace_ : "default", conf->name);
	return 0;
}

int agent_pod_drop(struct agent *a, const char *ns, const char *name, struct err *e)
{
	struct agent_pod *p = agent_pod_find(a, ns, name);
	int r;

	if (!p)
		return err_set(e, -ENOENT, "no managed pod %s/%s", ns ? ns : "*", name);
	agent_pod_unhook(a, p);
	agent_settle();
	agent_pod_close(a, p);
	list_del(&p->node);
	a->n_pods--;
	log_info("agent", "pod %s/%s has left the mesh", p->conf.namespace_, p->conf.name);
	agent_pod_free(p);
	r = agent_publish(a, e);
	return r;
}

/* ---- what is managed ------------------------------------------------------------------------- */

static json_t *pod_json(const struct agent *a, const struct agent_pod *p)
{
	json_t *o = json_object();
	json_t *addrs = json_array();

	for (uint32_t i = 0; i < p->n_addresses; i++) {
		char text[ADDR_TEXT_MAX];

		addr_format_ip(&p->addresses[i], text);
		json_array_append_new(addrs, json_string(text));
	}
	json_object_set_new(o, "name", json_string(p->conf.name));
	json_object_set_new(o, "namespace", json_string(p->conf.namespace_));
	json_object_set_new(o, "id", json_integer(p->ref.id));
	json_object_set_new(o, "netns", json_string(p->conf.netns));
	json_object_set_new(o, "addresses", addrs);
	json_object_set_new(o, "accelerate",
			    json_string(datapath_accelerate_name(accelerate(a, p))));
	json_object_set_new(o, "fail_open", json_boolean(p->conf.fail_open));
	json_object_set_new(o, "listeners", json_integer(p->view ? p->view->n_listeners : 0));
	json_object_set_new(o, "clusters", json_integer(p->view ? p->view->n_clusters : 0));
	return o;
}

void agent_pods_json(struct agent *a, struct buf *out)
{
	json_t *list = json_array();
	json_t *root = json_object();
	char *text;

	list_for_each(n, &a->pods)
		json_array_append_new(list, pod_json(a, list_entry(n, struct agent_pod, node)));
	json_object_set_new(root, "pods", list);
	text = json_dumps(root, JSON_INDENT(2));
	buf_add_slice(out, slice_str(text));
	buf_add_char(out, '\n');
	free(text);
	json_decref(root);
}
