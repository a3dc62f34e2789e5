/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that a stream writes into its access logs: at its end, and before. */
#include "proxy/stream.h"

/* The hops of a stream share its two connections. */
static void info_bytes(const struct stream *st, struct l7_info *in)
{
	const struct codec *k = st->c->codec;
	const struct stream_bytes *b = &st->bytes;

	in->downstream_wire_rx = k->message_bytes ? k->message_bytes(st->c->cstate) : b->down_rx;
	in->downstream_wire_tx = b->down_tx;
	in->downstream_head_rx = b->down_head_rx;
	in->downstream_head_tx = b->down_head_tx;
	in->upstream_wire_rx = b->up_rx;
	in->upstream_wire_tx = b->up_tx;
	in->upstream_head_rx = b->up_head_rx;
	in->upstream_head_tx = b->up_head_tx;
}

void hop_name_host(struct hop *h)
{
	h->info.upstream_remote = h->host->lb.addr;
	h->info.upstream_hostname = arena_slice(h->st->arena, h->host->lb.hostname);
	h->info.metadata[L7_META_HOST] = metadata_copy(h->st->arena, h->host->metadata);
	h->info.has_upstream = true;
}

void hop_log(struct hop *h, enum l7_log_type type)
{
	if (!h->logs->n)
		return;
	info_bytes(h->st, &h->info);
	h->info.log_type = type;
	h->info.now_ns = io_now(h->st->w->io);
	worker_log(h->st->w, h->logs, &h->info);
	h->info.log_type = L7_LOG_AT_END;
}

static void on_log_timer(struct io_timer *t)
{
	struct hop *h = container_of(t, struct hop, log_timer);

	hop_log(h, L7_LOG_PERIODIC);
	io_timer_set(h->st->w->io, t, h->chain->http.conf->log_when.interval_ms);
}

void hop_log_begin(struct hop *h)
{
	const struct mesh_log_when *when = &h->chain->http.conf->log_when;

	if (when->interval_ms && h->logs->n) {
		h->logs_at_times = true;
		io_timer_init(&h->log_timer, on_log_timer);
		io_timer_set(h->st->w->io, &h->log_timer, when->interval_ms);
	}
	if (when->on_start)
		hop_log(h, L7_LOG_START);
}

void hop_log_end(struct hop *h)
{
	if (h->logs_at_times)
		io_timer_cancel(h->st->w->io, &h->log_timer);
	hop_log(h, L7_LOG_AT_END);
}
