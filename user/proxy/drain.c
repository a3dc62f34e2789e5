/* SPDX-License-Identifier: Apache-2.0 */
/* Draining: no new connections, those that are there end with their streams. */
#include <stdatomic.h>

#include "base/log.h"
#include "proxy/conn.h"
#include "proxy/engine.h"
#include "proxy/worker.h"

static void drain_worker(struct worker *w, void *arg)
{
	const bool *inbound_only = arg;

	list_for_each_safe(n, tmp, &w->listens) {
		struct wlisten *l = list_entry(n, struct wlisten, node);

		if (*inbound_only && l->kind == WLISTEN_OUTBOUND)
			continue;
		if (l->io)
			io_listener_close(l->io);
		l->io = NULL;
	}
	list_for_each_safe(n, tmp, &w->conns) {
		struct conn *c = list_entry(n, struct conn, node);

		c->draining = true;
	}
}

void engine_drain(struct engine *e, bool inbound_only)
{
	if (!inbound_only)
		atomic_store(&e->draining, true);
	log_info("proxy", "draining %slisteners: no new connections, streams end",
		 inbound_only ? "inbound " : "");
	engine_on_all(e, drain_worker, &inbound_only);
}
