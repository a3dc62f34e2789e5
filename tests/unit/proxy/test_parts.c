/* SPDX-License-Identifier: Apache-2.0 */
/* The engine with views of parts as a control plane gives them: routes, filters and endpoints by
 * name, what one that changes leaves alone. One worker, real sockets on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/builtin.h"
#include "proxy/proxy_impl.h"
#include "tests/unit/xds/t_compile.h"

#define PARTS_MAX 32
#define T "type.googleapis.com/envoy.extensions.filters."

/* ---- an upstream that says its letter -------------------------------------------------------- */

struct origin {
	int fd;
	uint16_t port;
	char letter;
	pthread_t thread;
};

static void *origin_main(void *arg)
{
	struct origin *o = arg;
	char in[4096], out[128];
	int fd;

	while ((fd = accept(o->fd, NULL, NULL)) >= 0) {
		if (read(fd, in, sizeof(in)) > 0) {
			int n = snprintf(out, sizeof(out),
					 "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: "
					 "close\r\n\r\n%c",
					 o->letter);

			(void)!write(fd, out, (size_t)n);
		}
		close(fd);
	}
	return NULL;
}

static int listen_any(uint16_t *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	must(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && listen(fd, 16) == 0);
	must(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static void origin_start(struct origin *o, char letter)
{
	o->letter = letter;
	o->fd = listen_any(&o->port);
	must(pthread_create(&o->thread, NULL, origin_main, o) == 0);
}

static void origin_stop(struct origin *o)
{
	shutdown(o->fd, SHUT_RDWR);
	pthread_join(o->thread, NULL);
	close(o->fd);
}

/* ---- the engine ------------------------------------------------------------------------------ */

static struct engine *engine;
static uint16_t port;
static struct mesh_part *parts[PARTS_MAX]; /* of the view, replaced by name */
static uint32_t n_parts;
static struct mesh_view *view; /* in force */

static int start(void **state)
{
	struct engine_opts o = {
		.workers = 1, .io = IO_EPOLL, .codecs = builtin_codecs, .filters = builtin_filters
	};
	struct err e;

	(void)state;
	close(listen_any(&port));
	return engine_new(&o, &engine, &e);
}

static int stop(void **state)
{
	(void)state;
	engine_free(engine);
	engine = NULL;
	mesh_view_unref(view);
	view = NULL;
	while (n_parts)
		mesh_part_unref(parts[--n_parts]);
	return 0;
}

/* Takes the reference; a part of the same kind and name goes. */
static void put(struct mesh_part *p)
{
	uint32_t i = 0;

	while (i < n_parts &&
	       (parts[i]->kind != p->kind || !slice_is_equal(parts[i]->name, p->name)))
		i++;
	if (i < n_parts)
		mesh_part_unref(parts[i]);
	else
		n_parts++;
	must(n_parts <= PARTS_MAX);
	parts[i] = p;
}

static void apply(void)
{
	struct mesh_snapshot *s = mesh_snapshot_new();
	struct mesh_view *v = NULL;
	struct err e = { "" };

	if (mesh_view_build(parts, n_parts, SLICE("test"), &v, &e) < 0)
		fail_msg("%s", e.text);
	s->host = mesh_view_ref(v);
	if (engine_apply(engine, s, &e) < 0)
		fail_msg("%s", e.text);
	mesh_snapshot_unref(s);
	mesh_view_unref(view);
	view = v;
}

/* The status of GET @path, its body in @body. */
static int get(const char *path, char *body, size_t cap)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0), status = 0;
	char text[4096];
	size_t used = 0;
	ssize_t n;
	char *at;

	must(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	dprintf(fd, "GET %s HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", path);
	while (used < sizeof(text) - 1 && (n = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	close(fd);
	text[used] = '\0';
	must(sscanf(text, "HTTP/1.1 %d", &status) == 1);
	at = strstr(text, "\r\n\r\n");
	snprintf(body, cap, "%s", at ? at + 4 : "");
	return status;
}

#define assert_get(path, want_status, want_body) \
	do { \
		char body_[256]; \
		assert_int_equal(get(path, body_, sizeof(body_)), want_status); \
		assert_string_equal(body_, want_body); \
	} while (0)

static void put_listener(const char *filters)
{
	struct arena a = { 0 };
	struct slice s = arena_printf(
		&a,
		"{'name': 'l', 'address': {'socket_address': {'address': '127.0.0.1', "
		"'port_value': %u}}, 'filter_chains': [{'filters': [{'name': 'hcm', "
		"'typed_config': {'@type': '" T
		"network.http_connection_manager.v3.HttpConnectionManager', 'stat_prefix': 'h', "
		"'rds': {'route_config_name': 'r', 'config_source': {'ads': {}}}, "
		"'http_filters': [%s{'name': 'router', 'typed_config': {'@type': '" T
		"http.router.v3.Router'}}]}}]}]}",
		port, filters);

	put(t_part(MESH_PART_LISTENER, arena_str(&a, s)));
	arena_done(&a);
}

static void put_routes(const char *action)
{
	struct arena a = { 0 };
	struct slice s = arena_printf(&a,
				      "{'name': 'r', 'virtual_hosts': [{'name': 'v', 'domains': "
				      "['*'], 'routes': [{'match': {'prefix': '/'}, %s}]}]}",
				      action);

	put(t_part(MESH_PART_ROUTES, arena_str(&a, s)));
	arena_done(&a);
}

static void put_direct(const char *text)
{
	char action[256];

	snprintf(action, sizeof(action),
		 "'direct_response': {'status': 200, 'body': {'inline_string': '%s'}}", text);
	put_routes(action);
}

static void put_cluster(const char *name)
{
	char json[256];

	snprintf(json, sizeof(json),
		 "{'name': '%s', 'type': 'EDS', 'eds_cluster_config': {'eds_config': {'ads': {}}, "
		 "'service_name': 'svc-%s'}}",
		 name, name);
	put(t_part(MESH_PART_CLUSTER, json));
}

static struct mesh_part *endpoints(const char *name, uint16_t to)
{
	char json[512];

	snprintf(json, sizeof(json),
		 "{'cluster_name': 'svc-%s', 'endpoints': [{'lb_endpoints': [{'endpoint': "
		 "{'address': {'socket_address': {'address': '127.0.0.1', 'port_value': %u}}}}]}]}",
		 name, to);
	return t_part(MESH_PART_ENDPOINTS, json);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void routes_by_name(void **state)
{
	const struct plistener *l;

	(void)state;
	put_listener("");
	apply();
	assert_get("/", 404, ""); /* not there yet */
	l = engine->snap->host->listeners[0];
	put_direct("one");
	apply();
	assert_get("/", 200, "one");
	put_direct("two");
	apply();
	assert_get("/", 200, "two");
	assert_ptr_equal(engine->snap->host->listeners[0], l);
	put_routes("'route': {'cluster': 'nowhere'}");
	apply();
	assert_get("/", 503, "");
	put_listener("{'name': 'n', 'disabled': true, 'typed_config': {'@type': '" T
		     "http.fault.v3.HTTPFault'}}, ");
	apply();
	assert_ptr_not_equal(engine->snap->host->listeners[0], l);
	assert_get("/", 503, "");
}

#define LIMIT \
	"{'name': 'limit', 'typed_config': {'@type': '" T \
	"http.local_ratelimit.v3.LocalRateLimit', 'stat_prefix': 'rl', 'token_bucket': " \
	"{'max_tokens': 2, 'fill_interval': '3600s'}, 'filter_enabled': {'default_value': " \
	"{'numerator': 100}}, 'filter_enforced': {'default_value': {'numerator': 100}}}}"

/* A bucket is as full as it was when only the routes change, also when equal resources are sent
 * again. */
static void buckets_stay(void **state)
{
	(void)state;
	put_listener(LIMIT ", ");
	put_direct("one");
	apply();
	assert_get("/", 200, "one");
	put_direct("two");
	put_listener(LIMIT ", ");
	apply();
	assert_get("/", 200, "two");
	put_direct("three");
	apply();
	assert_get("/", 429, "local_rate_limited");
}

static void filters_by_name(void **state)
{
	(void)state;
	put_listener("{'name': 'limit', 'config_discovery': {'config_source': {'ads': {}}, "
		     "'type_urls': ['" T "http.local_ratelimit.v3.LocalRateLimit']}}, ");
	put_direct("one");
	apply();
	assert_get("/", 500, ""); /* nothing passes what is not known */
	put(t_part(MESH_PART_FILTER, LIMIT));
	apply();
	assert_get("/", 200, "one");
	assert_get("/", 200, "one");
	assert_get("/", 429, "local_rate_limited");
}

static bool soon(const char *want)
{
	char body[256];

	for (int i = 0; i < 100; i++) {
		if (get("/", body, sizeof(body)) == 200 && strcmp(body, want) == 0)
			return true;
		usleep(10000);
	}
	return false;
}

struct seen {
	uint64_t total, zeros, change;
};

static void see(void *arg, const char *name, enum stat_kind kind, uint64_t value,
		const uint64_t *hist)
{
	struct seen *s = arg;

	(void)kind;
	(void)hist;
	if (strcmp(name, "cluster.idle.membership_total") == 0)
		s->total = value;
	if (strcmp(name, "cluster.idle.upstream_rq_total") == 0)
		s->zeros += value == 0;
	if (strcmp(name, "cluster.used.membership_change") == 0)
		s->change = value;
}

static bool is_shown(const char *text)
{
	struct buf b = { 0 };
	bool found;

	engine_clusters_text(engine, NULL, &b);
	buf_add_char(&b, '\0');
	found = strstr(buf_slice(&b).ptr, text) != NULL;
	buf_done(&b);
	return found;
}

static void endpoints_by_name(void **state)
{
	struct origin a, b;
	struct mesh_part *pa, *pb, *idle;
	struct seen s = { 0 };
	char text[128];

	(void)state;
	origin_start(&a, 'a');
	origin_start(&b, 'b');
	pa = endpoints("used", a.port);
	pb = endpoints("used", b.port);
	idle = endpoints("idle", a.port);
	put_listener("");
	put_routes("'route': {'cluster': 'used'}");
	put_cluster("used");
	put_cluster("idle");
	apply();
	assert_get("/", 503, "no healthy upstream");
	assert_int_equal(engine_endpoints(engine, view, SLICE("used"), pa), 0);
	assert_true(soon("a"));
	assert_int_equal(engine_endpoints(engine, view, SLICE("used"), pb), 0);
	assert_true(soon("b"));
	/* The same again, as each pod of a view is told of it: nobody has to do anything. */
	assert_int_equal(engine_endpoints(engine, view, SLICE("used"), pb), 1);
	assert_int_equal(engine_endpoints(engine, view, SLICE("used"), NULL), 0);
	assert_int_equal(engine_endpoints(engine, view, SLICE("nobody"), pb), -ENOENT);
	assert_int_equal(engine_endpoints(engine, view, SLICE("idle"), idle), 0);
	/* A view that is built of parts has its endpoints at once. */
	put(mesh_part_ref(pa));
	put(mesh_part_ref(idle));
	apply();
	assert_get("/", 200, "a");
	snprintf(text, sizeof(text), "idle::127.0.0.1:%u::rq_total::0\n", a.port);
	assert_true(is_shown(text));
	snprintf(text, sizeof(text), "used::127.0.0.1:%u::rq_total::2\n", a.port);
	assert_true(is_shown(text) || is_shown("rq_total::1\n"));
	stats_walk(see, &s);
	assert_int_equal(s.total, 1);
	assert_int_equal(s.zeros, 1);
	assert_true(s.change >= 3);
	assert_null(engine->snap->host->clusters[mesh_view_cluster_place(view, SLICE("idle"))]);
	mesh_part_unref(pa);
	mesh_part_unref(pb);
	mesh_part_unref(idle);
	origin_stop(&a);
	origin_stop(&b);
}

static void hang(void *arg)
{
	sem_t *s = arg;

	while (sem_wait(s) != 0)
		;
}

static void a_worker_that_hangs(void **state)
{
	sem_t s;

	(void)state;
	sem_init(&s, 0, 0);
	assert_true(engine_is_alive(engine, 100));
	usleep(50000);
	assert_true(engine_is_alive(engine, 100));
	usleep(50000);
	io_post(engine->workers[0].io, hang, &s);
	assert_true(engine_is_alive(engine, 100)); /* asked, and has time */
	usleep(150000);
	assert_false(engine_is_alive(engine, 100));
	sem_post(&s);
	usleep(50000);
	assert_true(engine_is_alive(engine, 100));
	sem_destroy(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(routes_by_name),    TEST(buckets_stay),        TEST(filters_by_name),
		TEST(endpoints_by_name), TEST(a_worker_that_hangs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
