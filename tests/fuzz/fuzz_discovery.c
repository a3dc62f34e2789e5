/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: what a control plane may send. The input is a run of { u8 what, u32 length, bytes }:
 * messages of either protocol, with the real compiler behind, ends of streams, turns of the loop,
 * and (as the file may be anything, too) the body of a last good configuration. Whatever comes, all
 * that is held is given back in the end, and what is published stays consistent.
 */
#include <errno.h>

#include "base/buf.h"
#include "base/log.h"
#include "xds/ads.h"
#include "xds/compile.h"
#include "xds/lkg.h"

#define STEPS_MAX 64

static int a_stream; /* any address */
static bool is_open;

static void *stream_open(void *arg, struct ads_node *n, const char *method, struct err *e)
{
	(void)arg;
	(void)n;
	(void)method;
	(void)e;
	is_open = true;
	return &a_stream;
}

static int stream_send(void *stream, struct slice bytes)
{
	(void)stream;
	return bytes.len == 13 ? -ENOBUFS : 0; /* now and then it cannot */
}

static void stream_reset(void *stream)
{
	must(stream == &a_stream && is_open);
	is_open = false;
}

static const struct ads_transport transport = { stream_open, stream_send, stream_reset };

/* A cluster or listener that is published has, strongly needed, what is not missing or refused. */
static void on_ready(struct ads_node *n)
{
	struct mesh_part *const *v;
	uint32_t many;

	v = ads_node_parts(n, &many);
	for (uint32_t i = 0; i < many; i++)
		must(v[i] && v[i]->users > 0 && v[i]->name.len);
}

static void on_endpoints(struct ads_node *n, struct slice cluster, struct mesh_part *part)
{
	must(n && cluster.len && part && part->kind == MESH_PART_ENDPOINTS);
}

static void restore(struct xds_store *s, struct ads_node *n, struct slice body)
{
	struct lkg_header h = { .n_resources = 3, .n_nodes = 1 };
	struct lkg *l;
	struct err e;

	if (lkg_parse(&h, body, s, &l, &e) == 0) {
		lkg_restore(l, n);
		lkg_free(l);
	}
}

static void step(struct io *io, struct xds_store *s, struct ads_node *n, uint8_t what,
		 struct slice bytes)
{
	switch (what % 8) {
	case 0: io_run_once(io, 1); break;
	case 1: restore(s, n, bytes); break;
	case 7:
		if (is_open) {
			is_open = false;
			ads_stream_closed(n, (int)bytes.len, bytes);
		}
		break;
	default:
		/* Messages come only on a stream that is there. */
		if (is_open)
			ads_stream_message(n, bytes);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct ads_ops ops = { .ready = on_ready, .endpoints = on_endpoints };
	struct xds_store *s = xds_store_new(xds_compile);
	struct ads_opts o = { .store = s, .transport = &transport };
	struct slice in = slice_of(data, len);
	struct xds_store_totals t;
	struct ads_node *n;
	struct io *io;
	struct ads *a;
	struct err e;

	log_level_set(LOG_OFF);
	must(io_new(IO_EPOLL, &io, &e) == 0);
	o.mode = len && data[0] & 128 ? ADS_SOTW : ADS_DELTA;
	a = ads_new(io, &o, &ops, NULL);
	n = ads_node_add(a, &(struct ads_node_info){ .id = "n" }, NULL);
	ads_link_up(a);
	for (int i = 0; i < STEPS_MAX && in.len >= 5; i++) {
		uint8_t what = (uint8_t)in.ptr[0];
		uint32_t size;

		memcpy(&size, in.ptr + 1, sizeof(size));
		in = slice_skip(in, 5);
		step(io, s, n, what, slice_first(in, size));
		in = slice_skip(in, size);
	}
	io_run_once(io, 2);
	io_run_once(io, 2);
	json_decref(ads_node_json(n));
	ads_free(a);
	xds_store_totals_get(s, &t);
	must(t.resources == 0 && t.names == 0 && t.bytes == 0);
	xds_store_free(s);
	io_free(io);
	return 0;
}
