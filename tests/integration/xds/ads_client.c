/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ADS client by itself, for tests with real control planes: it subscribes for nodes, compiles
 * what comes as skiffd does, and tells what it would publish. It serves nothing.
 *
 * usage: ads_client ADDRESS delta|sotw|auto NODES.json [CA.pem TOKEN-FILE]
 *
 * NODES.json: [{"id", "cluster", "metadata"}]. Standard output: a line of JSON for each event. A
 * line on standard input, "status" or "quit", is answered with {"event": "status", ...}.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "xds/ads_grpc.h"
#include "xds/compile.h"

static struct ads_grpc *wire;
static struct xds_store *store;
static uint64_t started, compiling;

static void say(json_t *j)
{
	json_object_set_new(
		j, "ms", json_integer((json_int_t)((clock_mono_ns() - started) / NSEC_PER_MSEC)));
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(j);
}

static void list_published(void *arg, const struct ads_item *item)
{
	if (item->published)
		json_array_append_new(arg, json_stringn(item->name.ptr, item->name.len));
}

static void ready(struct ads_node *n)
{
	json_t *sets = json_object();

	for (unsigned int k = 0; k < MESH_PART_KINDS; k++) {
		json_t *names = json_array();

		ads_node_each(n, (enum mesh_part_kind)k, list_published, names);
		json_object_set_new(sets, xds_type_short((enum mesh_part_kind)k), names);
	}
	say(json_pack("{s:s, s:s, s:I, s:o}", "event", "ready", "node", ads_node_id(n),
		      "fingerprint", (json_int_t)(ads_node_fingerprint(n) >> 1), "set", sets));
}

static void endpoints(struct ads_node *n, struct slice cluster, struct mesh_part *part)
{
	say(json_pack("{s:s, s:s, s:s%, s:i}", "event", "endpoints", "node", ads_node_id(n),
		      "cluster", cluster.ptr, cluster.len, "endpoints",
		      (int)mesh_part_endpoints(part).n));
}

static void add_node(void *arg, struct ads_node *n)
{
	json_array_append_new(arg, ads_node_json(n));
}

static void status(void)
{
	json_t *nodes = json_array();
	struct xds_store_totals t;
	struct grpc_channel_info i;

	ads_each(ads_grpc_ads(wire), add_node, nodes);
	xds_store_totals_get(store, &t);
	grpc_channel_info_get(ads_grpc_channel(wire), &i);
	say(json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "event", "status",
		      "nodes", nodes, "resources", (json_int_t)t.resources, "bytes",
		      (json_int_t)t.bytes, "compiled", (json_int_t)t.compiled, "hits",
		      (json_int_t)t.hits, "connects", (json_int_t)i.connects, "streams",
		      (json_int_t)i.streams, "compile_us", (json_int_t)(compiling / 1000),
		      "channel_error", i.error));
}

/* xds_compile with a clock. */
static int compile(enum mesh_part_kind kind, struct slice value, const struct xds_resource *before,
		   struct xds_report *report, struct mesh_part **ret_part, struct err *e)
{
	uint64_t from = clock_mono_ns();
	int rc = xds_compile(kind, value, before, report, ret_part, e);

	compiling += clock_mono_ns() - from;
	return rc;
}

/* false: the end. */
static bool commands(void)
{
	static char line[64];
	static size_t n;
	ssize_t got = read(0, line + n, 1);

	for (; got > 0; got = read(0, line + n, 1)) {
		if (line[n] != '\n') {
			n = (n + 1) % (sizeof(line) - 1);
			continue;
		}
		status();
		if (n == 4)
			return false;
		n = 0;
	}
	return got != 0;
}

static enum ads_mode mode_of(const char *s)
{
	return strcmp(s, "delta") == 0 ? ADS_DELTA : strcmp(s, "sotw") == 0 ? ADS_SOTW : ADS_AUTO;
}

static void nodes_add(json_t *nodes)
{
	json_t *j;
	size_t i;

	json_array_foreach(nodes, i, j)
		ads_node_add(ads_grpc_ads(wire),
			     &(struct ads_node_info){
				     .id = json_string_value(json_object_get(j, "id")),
				     .cluster = json_string_value(json_object_get(j, "cluster")),
				     .metadata = json_object_get(j, "metadata"),
			     },
			     NULL);
}

int main(int argc, char **argv)
{
	const struct ads_ops ops = { .ready = ready, .endpoints = endpoints };
	json_t *nodes = argc >= 4 ? json_load_file(argv[3], 0, NULL) : NULL;
	struct grpc_opts g = { .n_addresses = 1 };
	struct ads_opts o = { 0 };
	struct err e = { "" };
	struct io *io;

	if (!nodes) {
		fprintf(stderr, "usage: ads_client ADDRESS MODE NODES.json [CA.pem TOKEN-FILE]\n");
		return 2;
	}
	started = clock_mono_ns();
	store = xds_store_new(compile);
	o.mode = mode_of(argv[2]);
	o.store = store;
	g.addresses = (const char *const *)&argv[1];
	if (argc >= 6) {
		g.tls = true;
		g.ca_file = argv[4];
		g.token_file = argv[5];
		g.server_name = "istiod.istio-system.svc";
	}
	if (io_new(IO_EPOLL, &io, &e) < 0 || ads_grpc_new(io, &g, &o, &ops, NULL, &wire, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	nodes_add(nodes);
	fcntl(0, F_SETFL, O_NONBLOCK);
	while (commands())
		io_run_once(io, 10);
	ads_grpc_free(wire);
	xds_store_free(store);
	io_free(io);
	json_decref(nodes);
	return 0;
}
