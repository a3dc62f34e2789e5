/* SPDX-License-Identifier: Apache-2.0 */
/* Ordinary ports inside pods; see ports.h. Main thread. */
#include "proxy/ports.h"

#include <errno.h>

#include "base/log.h"

struct pod_port {
	struct list node;
	struct addr addr;
	char *listener; /* its name */
	bool wanted;
	struct wlisten **listens; /* by worker; NULL: not open, and error says why */
	char *error;
};

static struct pod_port *find(struct list *ports, const struct addr *at)
{
	list_for_each(n, ports) {
		struct pod_port *p = list_entry(n, struct pod_port, node);

		if (addr_is_equal(&p->addr, at))
			return p;
	}
	return NULL;
}

/* Says so once, not with every try. */
static void failed(struct pod_port *p, const struct epod *pod, const char *why)
{
	if (p->error && strcmp(p->error, why) == 0)
		return;
	log_error("proxy", "pod %u: listener '%s' is not open: %s; it is tried again", pod->id,
		  p->listener, why);
	free(p->error);
	p->error = xstrdup(why);
}

static void open_port(struct engine *e, struct pod_port *p, struct epod *pod)
{
	struct wlisten **listens = xcalloc(e->n_workers, sizeof(struct wlisten *));
	struct err err;

	if (listens_open(e, &p->addr, pod, WLISTEN_PORT, listens, &err) < 0) {
		free(listens);
		failed(p, pod, err.text);
		stats_add(e->stats,
			  stats_register(STAT_COUNTER, "listener_manager.listener_create_failure"),
			  1);
		return;
	}
	if (p->error)
		log_info("proxy", "pod %u: listener '%s' is open now", pod->id, p->listener);
	free(p->error);
	p->error = NULL;
	p->listens = listens;
	listens_start(e, listens);
}

static void port_free(struct pod_port *p)
{
	list_del(&p->node);
	free(p->listens);
	free(p->listener);
	free(p->error);
	free(p);
}

static void want(struct engine *e, struct list *ports, struct epod *pod,
		 const struct mesh_listener *l, const struct addr *at)
{
	struct pod_port *p = find(ports, at);

	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->addr = *at;
		list_push(ports, &p->node);
	}
	free(p->listener);
	p->listener = slice_dup(l->name);
	p->wanted = true;
	if (!p->listens)
		open_port(e, p, pod);
}

/* The virtual listeners are the ones that captured connections come to: they are open already. */
static bool is_bound(const struct mesh_listener *l)
{
	return l->bind_in_pod && !l->use_original_dst;
}

void pod_ports_set(struct engine *e, struct list *ports, struct epod *pod,
		   const struct mesh_view *v)
{
	list_for_each(n, ports)
		list_entry(n, struct pod_port, node)->wanted = false;
	for (uint32_t i = 0; v && i < v->n_listeners; i++) {
		const struct mesh_listener *l = mesh_view_listener_at(v, i);

		if (!is_bound(l))
			continue;
		want(e, ports, pod, l, &l->addr);
		for (uint32_t k = 0; k < l->n_more; k++)
			want(e, ports, pod, l, &l->more[k]);
	}
	list_for_each_safe(n, tmp, ports) {
		struct pod_port *p = list_entry(n, struct pod_port, node);

		if (p->wanted)
			continue;
		if (p->listens)
			listens_stop(e, p->listens);
		port_free(p);
	}
}

unsigned int pod_ports_retry(struct engine *e, struct list *ports, struct epod *pod)
{
	unsigned int closed = 0;

	list_for_each(n, ports) {
		struct pod_port *p = list_entry(n, struct pod_port, node);

		if (!p->listens)
			open_port(e, p, pod);
		closed += !p->listens;
	}
	return closed;
}

void pod_ports_each(const struct list *ports, void (*fn)(void *arg, const struct engine_port *p),
		    void *arg)
{
	list_for_each(n, ports) {
		const struct pod_port *p = list_entry(n, struct pod_port, node);
		struct engine_port o = { p->listener, p->addr, p->listens ? NULL : p->error };

		fn(arg, &o);
	}
}

void pod_ports_free(struct list *ports)
{
	list_for_each_safe(n, tmp, ports)
		port_free(list_entry(n, struct pod_port, node));
}
