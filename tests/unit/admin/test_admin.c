/* SPDX-License-Identifier: Apache-2.0 */
/* The admin server as a real HTTP client sees it, over TCP and over the control socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <curl/curl.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "base/stats.h"

#define SOCKET_FORM "/tmp/skiff-test-admin-%d.sock"

struct fixture {
	struct admin *admin;
	char socket[64];
	enum admin_state state;
	int quits;
	char last[256]; /* what the echo route saw */
};

struct answer {
	long status;
	char type[128];
	struct buf body;
};

static enum admin_state state_now(void *ctx)
{
	return ((struct fixture *)ctx)->state;
}

static void quit_now(void *ctx)
{
	((struct fixture *)ctx)->quits++;
}

static unsigned int echo(void *ctx, const struct admin_request *req, struct admin_reply *reply)
{
	struct fixture *f = ctx;
	const char *name = admin_query(req, "name");

	snprintf(f->last, sizeof(f->last), "%s %s name=%s bytes=%zu %s", req->method, req->path,
		 name ? name : "(none)", req->body.len, req->control ? "control" : "tcp");
	reply->type = ADMIN_JSON;
	return admin_text(reply, 201, "%.*s", SLICE_ARG(slice_first(req->body, 100)));
}

static unsigned int refuse(void *ctx, const struct admin_request *req, struct admin_reply *reply)
{
	(void)ctx;
	(void)req;
	return admin_error(reply, 409, "a \"quoted\"\nreason with \\");
}

static const struct admin_route added[] = {
	{ "POST", "/echo", false, echo, "says what came" },
	{ "DELETE", "/pods", true, echo, "control only" },
	{ "GET", "/refuse", false, refuse, "always refuses" },
};

static const char *const options[][2] = { { "config", "a.yaml" }, { NULL, NULL } };

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct admin_options o = { .tcp = true, .control = f->socket, .version = "9.9",
				   .command_line = options, .state = state_now, .quit = quit_now,
				   .ctx = f };
	struct err e;

	snprintf(f->socket, sizeof(f->socket), SOCKET_FORM, (int)getpid());
	assert_int_equal(addr_parse(SLICE("127.0.0.1:0"), &o.listen), 0);
	assert_int_equal(admin_new(&o, &f->admin, &e), 0);
	admin_add(f->admin, added, ARRAY_LEN(added), f);
	assert_int_equal(admin_start(f->admin, &e), 0);
	assert_int_not_equal(admin_port(f->admin), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	admin_free(f->admin);
	assert_int_equal(access(f->socket, F_OK), -1);
	free(f);
	return 0;
}

static size_t collect(char *p, size_t size, size_t n, void *arg)
{
	buf_add(arg, p, size * n);
	return size * n;
}

/* @body NULL: none. The answer's body is NUL-terminated; give it back with buf_done. */
static struct answer ask(struct fixture *f, bool control, const char *method, const char *target,
			 struct slice body, const char *header)
{
	struct curl_slist *headers = header ? curl_slist_append(NULL, header) : NULL;
	CURL *c = curl_easy_init();
	struct answer a = { 0 };
	char url[512];
	char *type;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", admin_port(f->admin), target);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 20L);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(c, CURLOPT_NOBODY, strcmp(method, "HEAD") == 0 ? 1L : 0L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &a.body);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	if (control)
		curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, f->socket);
	if (body.ptr) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.ptr);
	}
	curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a.status);
	curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &type);
	snprintf(a.type, sizeof(a.type), "%s", type ? type : "");
	buf_add_char(&a.body, '\0');
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	return a;
}

/* Asks and expects a status and a text in the body. */
static void expect(struct fixture *f, bool control, const char *method, const char *target,
		   long status, const char *text)
{
	struct answer a = ask(f, control, method, target, SLICE_NONE, NULL);

	assert_int_equal(a.status, status);
	if (!strstr(buf_ptr(&a.body), text))
		fail_msg("%s %s: no \"%s\" in: %s", method, target, text, buf_ptr(&a.body));
	buf_done(&a.body);
}

static void expect_not(struct fixture *f, const char *target, const char *text)
{
	struct answer a = ask(f, false, "GET", target, SLICE_NONE, NULL);

	assert_int_equal(a.status, 200);
	assert_null(strstr(buf_ptr(&a.body), text));
	buf_done(&a.body);
}

static void help_lists_every_route(void **state)
{
	expect(*state, false, "GET", "/", 200, "/stats/prometheus: ");
	expect(*state, false, "GET", "/help", 200, "  /echo (POST): says what came\n");
	expect_not(*state, "/help", "control only");
	expect(*state, true, "GET", "/help", 200, "  /pods (DELETE): control only\n");
}

static void ready_follows_the_state(void **state)
{
	struct fixture *f = *state;

	expect(f, false, "GET", "/ready", 200, "LIVE\n");
	f->state = ADMIN_DRAINING;
	expect(f, false, "GET", "/ready", 503, "DRAINING\n");
	f->state = ADMIN_PRE_INITIALIZING;
	expect(f, false, "GET", "/ready", 503, "PRE_INITIALIZING\n");
}

static void unknown_things_are_refused(void **state)
{
	expect(*state, false, "GET", "/nothing", 404, "invalid path. admin commands are:\n  /: ");
	expect(*state, false, "GET", "/echo", 405, "Method GET not allowed, POST required.");
	expect(*state, false, "PUT", "/stats", 405, "Method PUT not allowed, GET required.");
	expect(*state, false, "GET", "/pods", 405, "Method GET not allowed, DELETE required.");
	expect(*state, false, "GET", "/refuse", 409,
	       "{\"error\": \"a \\\"quoted\\\"\\u000areason with \\\\\"}");
}

static void control_routes_are_not_on_tcp(void **state)
{
	struct fixture *f = *state;

	expect(f, false, "DELETE", "/pods?name=a%20b", 403, "control socket");
	assert_string_equal(f->last, "");
	expect(f, true, "DELETE", "/pods?name=a%20b", 201, "");
	assert_string_equal(f->last, "DELETE /pods name=a b bytes=0 control");
	expect(f, false, "POST", "/quitquitquit", 403, "control socket");
	assert_int_equal(f->quits, 0);
	expect(f, true, "POST", "/quitquitquit", 200, "OK");
	assert_int_equal(f->quits, 1);
}

static void bodies_arrive_and_have_a_limit(void **state)
{
	struct fixture *f = *state;
	char *big = xcalloc(1, ADMIN_BODY_MAX + 1);
	struct answer a = ask(f, true, "POST", "/echo", SLICE("{\"name\":1}"), NULL);

	assert_int_equal(a.status, 201);
	assert_string_equal(a.type, "application/json");
	assert_string_equal(buf_ptr(&a.body), "{\"name\":1}");
	assert_string_equal(f->last, "POST /echo name=(none) bytes=10 control");
	buf_done(&a.body);

	a = ask(f, false, "POST", "/echo", slice_of(big, ADMIN_BODY_MAX), NULL);
	assert_int_equal(a.status, 201);
	buf_done(&a.body);
	a = ask(f, false, "POST", "/echo", slice_of(big, ADMIN_BODY_MAX + 1), NULL);
	assert_int_equal(a.status, 413);
	buf_done(&a.body);
	/* Without a length the limit is only seen on the way. */
	a = ask(f, false, "POST", "/echo", slice_of(big, ADMIN_BODY_MAX + 1),
		"Transfer-Encoding: chunked");
	assert_int_equal(a.status, 413);
	buf_done(&a.body);
	free(big);
}

static void pages_of_a_browser_change_nothing(void **state)
{
	struct answer a = ask(*state, false, "POST", "/logging?level=off", SLICE("x"),
			      "Origin: http://evil.example");

	assert_int_equal(a.status, 403);
	assert_int_not_equal(log_level_get(), LOG_OFF);
	buf_done(&a.body);
}

static void logging_shows_and_sets(void **state)
{
	log_level_set(LOG_WARN);
	expect(*state, false, "POST", "/logging", 200, "active loggers:\n  skiff: warning\n");
	expect(*state, false, "POST", "/logging?level=error", 200, "skiff: error\n");
	assert_int_equal(log_level_get(), LOG_ERROR);
	expect(*state, false, "POST", "/logging?level=loud", 400, "error: unknown logger level\n");
	expect(*state, false, "POST", "/logging?skiff=info", 200, "skiff: info\n");
	expect(*state, false, "POST", "/logging?http=debug", 400, "error: unknown logger name\n");
	expect(*state, false, "POST", "/logging?paths=skiff:error", 200, "skiff: error\n");
	expect(*state, false, "GET", "/logging?level=off", 405, "POST required");
	assert_int_equal(log_level_get(), LOG_ERROR);
}

static void server_info_has_envoys_fields(void **state)
{
	expect(*state, false, "GET", "/server_info", 200, "\"version\": \"9.9\"");
	expect(*state, false, "GET", "/server_info", 200, "\"state\": \"LIVE\"");
	expect(*state, false, "GET", "/server_info", 200, "\"config\": \"a.yaml\"");
	expect(*state, false, "GET", "/server_info", 200, "\"uptime_current_epoch\": \"");
	expect(*state, false, "GET", "/server_info", 200, "\"user_agent_name\": \"skiff\"");
	expect(*state, false, "POST", "/server_info", 200, "\"hot_restart_version\": \"disabled\"");
	expect(*state, false, "GET", "/memory", 200, "\"total_physical_bytes\": \"");
	expect_not(*state, "/memory", "\"total_physical_bytes\": \"0\"");
}

static void head_has_no_body(void **state)
{
	struct answer a = ask(*state, false, "HEAD", "/ready", SLICE_NONE, NULL);

	assert_int_equal(a.status, 200);
	assert_int_equal(buf_len(&a.body), 1);
	buf_done(&a.body);
}

static struct stats_set *fill(void)
{
	struct stats_set *s = stats_set_new();
	stat_id time = stats_register(STAT_HISTOGRAM, "cluster.a.upstream_rq_time");

	stats_add(s, stats_register(STAT_COUNTER, "cluster.a.upstream_rq_2xx"), 7);
	stats_add(s, stats_register(STAT_COUNTER, "cluster.b.upstream_rq_2xx"), 1);
	stats_register(STAT_COUNTER, "cluster.a.never");
	stats_add(s, stats_register(STAT_GAUGE, "cluster.a.upstream_cx_active"), 3);
	stats_register(STAT_HISTOGRAM, "cluster.b.upstream_rq_time");
	stats_add(s, stats_register(STAT_COUNTER, "istio_requests_total{reporter=\"source\"}"), 5);
	stats_record(s, time, 400);   /* 0.4 ms */
	stats_record(s, time, 20000); /* 20 ms */
	return s;
}

static void stats_as_text(void **state)
{
	struct stats_set *s = fill();

	expect(*state, false, "GET", "/stats", 200, "cluster.a.never: 0\n");
	expect(*state, false, "GET", "/stats", 200, "cluster.a.upstream_rq_2xx: 7\n");
	expect(*state, false, "GET", "/stats", 200, "cluster.a.upstream_rq_time: P0(nan,0) ");
	expect(*state, false, "GET", "/stats", 200, " P50(nan,0.5) ");
	expect(*state, false, "GET", "/stats", 200, " P100(nan,25)\n");
	expect(*state, false, "GET", "/stats", 200,
	       "cluster.b.upstream_rq_time: No recorded values\n");
	expect(*state, false, "GET", "/stats?histogram_buckets=cumulative", 200,
	       " B0.5(nan,1) B1(nan,1) B5(nan,1) B10(nan,1) B25(nan,2) ");
	expect(*state, false, "GET", "/stats?histogram_buckets=cumulative", 200,
	       " B1.8e+06(nan,2) B3.6e+06(nan,2)\n");
	expect(*state, false, "GET", "/stats?histogram_buckets=disjoint", 200,
	       " B0.5(nan,1) B1(nan,0) B5(nan,0) B10(nan,0) B25(nan,1) B50(nan,0) ");
	expect_not(*state, "/stats?usedonly", "cluster.a.never");
	expect_not(*state, "/stats?usedonly", "No recorded");
	expect(*state, false, "GET", "/stats?usedonly&filter=_rq_", 200,
	       "cluster.b.upstream_rq_2xx: 1\n");
	expect_not(*state, "/stats?filter=_rq_", "cx_active");
	expect_not(*state, "/stats?filter=%5Ecluster.a%7C%5Eb", "cluster.b");
	expect_not(*state, "/stats?type=Gauges", "_rq_2xx");
	expect(*state, false, "GET", "/stats?type=Gauges", 200,
	       "cluster.a.upstream_cx_active: 3\n");
	expect(*state, false, "GET", "/stats?filter=(", 400, "Invalid regex: ");
	expect(*state, false, "GET", "/stats?format=xml", 400,
	       "usage: /stats?format=(json|prometheus|text)");
	expect(*state, false, "GET", "/stats?type=Text", 400, "invalid &type= param");
	expect(*state, false, "GET", "/stats?histogram_buckets=x", 400,
	       "usage: /stats?histogram_buckets=");
	stats_set_free(s);
}

static void the_server_counts_itself(void **state)
{
	struct fixture *f = *state;
	uint64_t total = stats_value_by_name("http.admin.downstream_rq_total");
	uint64_t bad = stats_value_by_name("http.admin.downstream_rq_4xx");
	char text[64];

	expect(f, false, "GET", "/nothing", 404, "invalid path");
	expect(f, true, "GET", "/nothing", 404, "invalid path"); /* not counted */
	snprintf(text, sizeof(text), "http.admin.downstream_rq_total: %llu\n",
		 (unsigned long long)total + 2);
	expect(f, false, "GET", "/stats", 200, text);
	assert_int_equal(stats_value_by_name("http.admin.downstream_rq_4xx"), bad + 1);
	expect(f, false, "GET", "/stats/prometheus", 200,
	       "envoy_http_downstream_rq_active{envoy_http_conn_manager_prefix=\"admin\"} 1\n");
	expect(f, false, "GET", "/stats", 200, "http.admin.downstream_cx_active: 1\n");
	expect(f, false, "GET", "/stats?filter=uptime", 200, "server.uptime: 0\n");
	expect_not(f, "/stats?filter=memory", "server.memory_physical_size: 0\n");
}

static void stats_as_json(void **state)
{
	struct stats_set *s = fill();
	struct answer a =
		ask(*state, false, "GET", "/stats?format=json&filter=cluster.b", SLICE_NONE, NULL);

	assert_string_equal(a.type, "application/json");
	assert_non_null(strstr(buf_ptr(&a.body),
			       "{\"stats\":[{\"name\":\"cluster.b.upstream_rq_2xx\","
			       "\"value\":1},{\"histograms\":{"
			       "\"supported_quantiles\":[0.0,25.0,"));
	assert_non_null(strstr(buf_ptr(&a.body),
			       "{\"name\":\"cluster.b.upstream_rq_time\",\"values\":["
			       "{\"cumulative\":null,\"interval\":null},"));
	buf_done(&a.body);
	expect(*state, false, "GET", "/stats?format=json&filter=cluster.a", 200,
	       "{\"cumulative\":25.0,\"interval\":null}]}");
	expect(*state, false, "GET", "/stats?format=json&type=Gauges&filter=nothing", 200,
	       "{\"stats\":[]}");
	stats_set_free(s);
}

static void stats_for_prometheus(void **state)
{
	struct stats_set *s = fill();
	struct answer a = ask(*state, false, "GET", "/stats/prometheus?usedonly", SLICE_NONE, NULL);

	assert_string_equal(a.type, "text/plain; charset=UTF-8");
	assert_non_null(strstr(buf_ptr(&a.body),
			       "# TYPE envoy_cluster_upstream_rq_xx counter\n"
			       "envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"2\","
			       "envoy_cluster_name=\"a\"} 7\n"
			       "envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"2\","
			       "envoy_cluster_name=\"b\"} 1\n# TYPE "));
	buf_done(&a.body);
	expect(*state, false, "GET", "/stats?format=prometheus", 200,
	       "# TYPE istio_requests_total counter\n"
	       "istio_requests_total{reporter=\"source\"} 5\n");
	expect(*state, false, "GET", "/stats/prometheus", 200,
	       "# TYPE envoy_cluster_upstream_rq_time histogram\n"
	       "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"a\",le=\"0.5\"} 1\n");
	expect(*state, false, "GET", "/stats/prometheus", 200,
	       "upstream_rq_time_bucket{envoy_cluster_name=\"a\",le=\"+Inf\"} 2\n"
	       "envoy_cluster_upstream_rq_time_sum{envoy_cluster_name=\"a\"} 20.4\n"
	       "envoy_cluster_upstream_rq_time_count{envoy_cluster_name=\"a\"} 2\n");
	expect(*state, false, "GET", "/stats/prometheus", 200,
	       "# TYPE envoy_cluster_upstream_cx_active gauge\n");
	stats_set_free(s);
}

static void socket_is_private_and_not_stolen(void **state)
{
	struct fixture *f = *state;
	struct admin_options o = { .control = f->socket };
	struct admin *second = NULL;
	struct stat st;
	struct err e;

	assert_int_equal(stat(f->socket, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(admin_new(&o, &second, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "another skiffd answers"));
	assert_int_equal(stat(f->socket, &st), 0);
}

static void stale_socket_is_replaced_but_no_file(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct admin_options o = { .control = un.sun_path };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct admin *a = NULL;
	struct err e;
	FILE *plain;

	(void)state;
	snprintf(un.sun_path, sizeof(un.sun_path), SOCKET_FORM ".2", (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd); /* nobody listens: as after kill -9 */
	assert_int_equal(admin_new(&o, &a, &e), 0);
	admin_free(a);
	assert_int_equal(access(un.sun_path, F_OK), -1);

	plain = fopen(un.sun_path, "w");
	assert_non_null(plain);
	fclose(plain);
	assert_int_equal(admin_new(&o, &a, &e), -EEXIST);
	assert_int_equal(access(un.sun_path, F_OK), 0);
	unlink(un.sun_path);
}

static void addresses_are_checked(void **state)
{
	struct fixture *f = *state;
	struct admin_options o = { .tcp = true };
	struct admin *a = NULL;
	char text[32];
	struct err e;

	assert_int_equal(addr_parse(SLICE("0.0.0.0:0"), &o.listen), 0);
	assert_int_equal(admin_new(&o, &a, &e), -EPERM);
	assert_non_null(strstr(e.text, "not loopback"));
	o.allow_any = true;
	log_level_set(LOG_OFF);
	assert_int_equal(admin_new(&o, &a, &e), 0);
	admin_free(a);
	o.allow_any = false;
	snprintf(text, sizeof(text), "127.0.0.1:%u", admin_port(f->admin));
	assert_int_equal(addr_parse(slice_str(text), &o.listen), 0);
	assert_int_equal(admin_new(&o, &a, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "choose another port"));
	log_level_set(LOG_WARN);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(help_lists_every_route),
		CASE(ready_follows_the_state),
		CASE(unknown_things_are_refused),
		CASE(control_routes_are_not_on_tcp),
		CASE(bodies_arrive_and_have_a_limit),
		CASE(pages_of_a_browser_change_nothing),
		CASE(logging_shows_and_sets),
		CASE(server_info_has_envoys_fields),
		CASE(head_has_no_body),
		CASE(stats_as_text),
		CASE(the_server_counts_itself),
		CASE(stats_as_json),
		CASE(stats_for_prometheus),
		CASE(socket_is_private_and_not_stolen),
		cmocka_unit_test(stale_socket_is_replaced_but_no_file),
		CASE(addresses_are_checked),
	};

	log_level_set(LOG_WARN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
