/* SPDX-License-Identifier: Apache-2.0 */
/* skiffd's own file: every field, defaults, a bootstrap given directly, errors with file, field and
 * fix. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "xds/skiffd_config.h"

static char dir[] = "/tmp/skiff-config-XXXXXX";
static char path[64];

static int read_text(const char *text, struct skiffd_config **ret_c, struct xds_report *report,
		     struct err *e)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return skiffd_config_read(path, ret_c, report, e);
}

static struct skiffd_config *take(const char *text)
{
	struct skiffd_config *c = NULL;
	struct err e = { "" };

	if (read_text(text, &c, NULL, &e) < 0)
		fail_msg("%s", e.text);
	return c;
}

static void defaults(void **state)
{
	struct skiffd_config *c = take("");
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_string_equal(c->path, path);
	assert_int_equal(c->workers, 0);
	assert_true(c->has_admin);
	addr_format(&c->admin, text);
	assert_string_equal(text, "127.0.0.1:15000");
	assert_string_equal(c->control, "/run/skiff/skiffd.sock");
	assert_string_equal(c->io, "auto");
	assert_null(c->log_level);
	assert_int_equal(c->accelerate, MESH_ACCELERATE_AUTO);
	assert_int_equal(c->n_resources + c->n_pods + c->n_node_addresses, 0);
	assert_int_equal(c->max_buffer_bytes, 0);
	skiffd_config_free(c);
	skiffd_config_free(NULL);
}

static void everything(void **state)
{
	struct skiffd_config *c =
		take("workers: 2\nadmin: '127.0.0.1:16000'\ncontrol: ''\nio: epoll\naccelerate: "
		     "off\nlog_level: debug\n"
		     "resources: [mesh.yaml, /abs/dir]\nstate_dir: /var/lib/skiff\n"
		     "limits: {max_connections: 10, max_connections_per_pod: 5, max_buffer_bytes: "
		     "8Gi, max_buffer_bytes_per_pod: 1048576}\n"
		     "capture: {cgroup: /sys/fs/cgroup, pin_dir: /sys/fs/bpf/s, credit_bytes: "
		     "64Ki, heartbeat_seconds: 5, "
		     "node_addresses: [10.0.0.1, 'fd00::1']}\n");
	char want[128];

	(void)state;
	assert_int_equal(c->workers, 2);
	assert_int_equal(c->admin.port, 16000);
	assert_string_equal(c->control, "");
	assert_string_equal(c->io, "epoll");
	assert_int_equal(c->accelerate, MESH_ACCELERATE_OFF);
	assert_string_equal(c->log_level, "debug");
	snprintf(want, sizeof(want), "%s/mesh.yaml", dir);
	assert_string_equal(c->resources[0], want);
	assert_string_equal(c->resources[1], "/abs/dir");
	assert_string_equal(c->state_dir, "/var/lib/skiff");
	assert_int_equal(c->max_connections, 10);
	assert_int_equal(c->max_connections_per_pod, 5);
	assert_true(c->max_buffer_bytes == 8ull << 30);
	assert_int_equal(c->max_buffer_bytes_per_pod, 1048576);
	assert_string_equal(c->cgroup, "/sys/fs/cgroup");
	assert_string_equal(c->pin_dir, "/sys/fs/bpf/s");
	assert_int_equal(c->credit_bytes, 65536);
	assert_int_equal(c->heartbeat_seconds, 5);
	assert_int_equal(c->n_node_addresses, 2);
	assert_false(addr_is_v4(&c->node_addresses[1]));
	skiffd_config_free(c);
	c = take("admin: off\n");
	assert_false(c->has_admin);
	skiffd_config_free(c);
}

static void control_plane(void **state)
{
	struct skiffd_config *c =
		take("xds: {servers: ['a:1', '[::1]:2'], mode: sotw, tls: {ca_file: ca.pem}, "
		     "token_file: /t, metadata: {b: 1, a: [x]}, hold_timeout: 500ms, "
		     "locality: r/z}\n"
		     "pods: [{name: a, netns: x}, {name: b, netns: y, xds: false}]\n");
	struct arena a = { 0 };
	struct skiffd_xds *x;
	char want[128];

	(void)state;
	x = skiffd_xds_copy(&a, c->xds);
	assert_true(c->pods[0].xds && !c->pods[1].xds);
	assert_true(skiffd_xds_is_same(x, c->xds) && !skiffd_xds_is_same(x, NULL));
	skiffd_config_free(c);
	assert_int_equal(x->n_servers, 2);
	assert_string_equal(x->servers[1], "[::1]:2");
	assert_int_equal(x->mode, SKIFFD_XDS_SOTW);
	assert_true(x->tls);
	snprintf(want, sizeof(want), "%s/ca.pem", dir);
	assert_string_equal(x->ca_file, want);
	assert_string_equal(x->token_file, "/t");
	assert_string_equal(x->metadata, "{\"a\":[\"x\"],\"b\":1}");
	assert_string_equal(x->locality, "r/z");
	assert_null(x->network);
	assert_int_equal(x->hold_timeout_ms, 500);
	assert_int_equal(x->fetch_timeout_ms, SKIFFD_FETCH_MS);
	c = take("xds: {server: 'a:1'}\n");
	assert_false(c->xds->tls);
	assert_false(skiffd_xds_is_same(x, c->xds));
	skiffd_config_free(c);
	arena_done(&a);
}

static void pods(void **state)
{
	struct skiffd_config *c =
		take("pods:\n"
		     "- {name: a, netns: ns1}\n"
		     "- name: b\n  namespace: shop\n  netns: /proc/7/ns/net\n  service_account: "
		     "sa\n  token_file: t\n  labels: {app: b, v: '1'}\n"
		     "  resources: [b.yaml]\n  accelerate: both\n  fail_open: false\n  addresses: "
		     "[10.1.1.1]\n"
		     "  policy:\n  - {destination: 10.0.0.0/8, port: 80, verdict: deny}\n"
		     "  - {direction: inbound, port: 22, destination: '::/0', verdict: bypass}\n");
	const struct skiffd_pod *p = c->pods;
	char want[128];

	(void)state;
	assert_int_equal(c->n_pods, 2);
	assert_string_equal(p[0].namespace_, "default");
	assert_string_equal(p[0].service_account, "default");
	assert_string_equal(p[0].netns, "/run/netns/ns1");
	assert_true(p[0].fail_open);
	assert_false(p[0].has_accelerate);
	assert_string_equal(p[1].namespace_, "shop");
	assert_string_equal(p[1].netns, "/proc/7/ns/net");
	assert_string_equal(p[1].labels[1].key, "v");
	assert_string_equal(p[1].labels[1].value, "1");
	snprintf(want, sizeof(want), "%s/b.yaml", dir);
	assert_string_equal(p[1].resources[0], want);
	snprintf(want, sizeof(want), "%s/t", dir);
	assert_string_equal(p[1].token_file, want);
	assert_null(p[0].token_file);
	assert_true(p[1].has_accelerate);
	assert_int_equal(p[1].accelerate, MESH_ACCELERATE_BOTH);
	assert_false(p[1].fail_open);
	assert_int_equal(p[1].n_addresses, 1);
	assert_int_equal(p[1].n_policy, 2);
	assert_int_equal(p[1].policy[0].direction, MESH_OUTBOUND);
	assert_int_equal(p[1].policy[0].verdict, SKIFFD_DENY);
	assert_int_equal(p[1].policy[0].bits, 96 + 8);
	assert_int_equal(p[1].policy[0].net.port, 80);
	assert_int_equal(p[1].policy[1].direction, MESH_INBOUND);
	assert_int_equal(p[1].policy[1].bits, 0);
	assert_int_equal(p[1].policy[1].net.port, 22);
	skiffd_config_free(c);
}

static void bootstrap(void **state)
{
	struct xds_report r = { 0 };
	struct skiffd_config *c = NULL;
	struct err e = { "" };

	(void)state;
	assert_int_equal(read_text("static_resources: {}\nadmin: {address: {socket_address: "
				   "{address: 127.0.0.1, port_value: 9901}}}\n",
				   &c, &r, &e),
			 0);
	assert_int_equal(c->n_resources, 1);
	assert_string_equal(c->resources[0], path);
	assert_int_equal(c->admin.port, 9901);
	assert_int_equal(r.n, 0);
	skiffd_config_free(c);
	assert_int_equal(read_text("static_resources: {}\nadmin: {address: {socket_address: "
				   "{address: 0.0.0.0, port_value: 1}}}\n",
				   &c, &r, &e),
			 0);
	assert_int_equal(r.n, 1);
	skiffd_config_free(c);
	xds_report_done(&r);
}

struct bad {
	const char *yaml, *error; /* after "file: " */
};

static const struct bad bad_files[] = {
	{ "worker: 1", "worker: no such field; the fields here are workers, admin, control, io, "
		       "accelerate, log_level, "
		       "resources, pods, limits, capture, state_dir, busy_poll_us, xds, "
		       "pod_folder" },
	{ "[]", "fields are needed here" },
	{ "workers: many", "workers: a whole number is needed here" },
	{ "workers: 257", "workers: must be between 0 and 256" },
	{ "workers: -1", "workers: a whole number is needed here" },
	{ "admin: 15000",
	  "admin: an address with port is needed here, such as \"127.0.0.1:15000\"" },
	{ "io: kqueue", "io: must be one of auto, uring, epoll" },
	{ "accelerate: yes", "accelerate: must be one of auto, both, off" },
	{ "log_level: loud", "log_level: must be one of trace, debug, info, warning, error, off" },
	{ "resources: x.yaml", "resources: a list is needed here" },
	{ "resources: [5]", "resources[0]: text is needed here; put it in quotes" },
	{ "resources: ['']", "resources[0]: a file or folder is needed here" },
	{ "limits: {max_connections: 99999999999}",
	  "limits.max_connections: must be between 0 and 4294967295" },
	{ "limits: {max_buffer_bytes: 9999999999Gi}",
	  "limits.max_buffer_bytes: must be between 0 and 9223372036854775807" },
	{ "capture: {credit_bytes: 1}",
	  "capture.credit_bytes: must be between 4096 and 2147483647" },
	{ "capture: {node_addresses: [x]}",
	  "capture.node_addresses[0]: an IP address is needed here" },
	{ "pods: [{netns: x}]", "pods[0]: name is missing" },
	{ "pods: [{name: a}]", "pods[0]: netns is missing: the name (`ip netns list`) or path of "
			       "the pod's network namespace" },
	{ "pods: [{name: a, netns: ''}]", "pods[0].netns: a network namespace is needed here: its "
					  "name (`ip netns list`) or a path" },
	{ "pods: [{name: a, netns: x, fail_open: 1}]",
	  "pods[0].fail_open: true or false is needed here" },
	{ "pods: [{name: a, netns: x, labels: {v: 1}}]",
	  "pods[0].labels.v: text is needed here; put it in quotes" },
	{ "pods: [{name: a, netns: x}, {name: a, netns: y}]", "pods[1]: default/a is there twice" },
	{ "pods: [{name: a, netns: x}, {name: b, netns: x}]",
	  "pods[1]: netns /run/netns/x is that of default/a already" },
	{ "pods: [{name: a, netns: x, policy: [{verdict: deny}]}]",
	  "pods[0].policy[0]: destination is missing, such as \"10.0.0.0/8\" or \"0.0.0.0/0\"" },
	{ "pods: [{name: a, netns: x, policy: [{destination: 1.1.1.1}]}]",
	  "pods[0].policy[0]: verdict is missing: bypass, deny or l7" },
	{ "pods: [{name: a, netns: x, policy: [{destination: 1.1.1.1/40, verdict: l7}]}]",
	  "pods[0].policy[0].destination: an IP address or prefix is needed here, such as "
	  "\"10.0.0.0/8\"" },
	{ "xds: {}",
	  "xds: server is missing, such as \"istiod.istio-system.svc:15010\"" },
	{ "xds: {server: istiod}",
	  "xds.server: an address with port is needed here, such as "
	  "\"istiod.istio-system.svc:15010\"" },
	{ "xds: {server: 'a:1', servers: ['b:1']}",
	  "xds.servers: server and servers are one thing: give one of them" },
	{ "xds: {server: 'a:1', token_file: t}",
	  "xds: token_file is sent over TLS only: add tls, such as tls: {ca_file: root-cert.pem}" },
	{ "xds: {server: 'a:1', tls: {cert_file: c}}",
	  "xds.tls: cert_file and key_file go together" },
	{ "xds: {server: 'a:1', hold_timeout: soon}",
	  "xds.hold_timeout: a time is needed here, such as \"15s\" or \"500ms\"" },
	{ "xds: {server: 'a:1', hold_timeout: 2h}",
	  "xds.hold_timeout: a time is needed here, such as \"15s\" or \"500ms\"" },
	{ "xds: {server: 'a:1', fetch_timeout: 3601}",
	  "xds.fetch_timeout: must be at most an hour" },
	{ "static_resources: {}\nadmin: {address: {socket_address: {address: x, port_value: 1}}}\n",
	  "admin.address.socket_address: address and port_value are needed here" },
};

static void errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_files); i++) {
		struct skiffd_config *c = NULL;
		struct err e = { "" };
		char want[512];

		if (read_text(bad_files[i].yaml, &c, NULL, &e) == 0)
			fail_msg("taken: %s", bad_files[i].yaml);
		snprintf(want, sizeof(want), "%s: %s", path, bad_files[i].error);
		assert_string_equal(e.text, want);
		assert_null(c);
	}
}

static void missing(void **state)
{
	struct skiffd_config *c = NULL;
	struct err e = { "" };

	(void)state;
	assert_int_equal(skiffd_config_read("/nonexistent/skiffd.yaml", &c, NULL, &e), -ENOENT);
	assert_string_equal(e.text, "/nonexistent/skiffd.yaml: No such file or directory");
}

static void one_pod(void **state)
{
	struct arena a = { 0 };
	struct skiffd_pod p;
	struct err e = { "" };

	(void)state;
	assert_int_equal(
		skiffd_pod_read(SLICE("{\"name\":\"a\",\"netns\":\"n\",\"resources\":[\"r\"]}"),
				"/etc/skiff", &a, &p, &e),
		0);
	assert_string_equal(p.resources[0], "/etc/skiff/r");
	assert_int_equal(
		skiffd_pod_read(SLICE("{\"name\":\"a\",\"netns\":\"n\",\"resources\":[\"r\"]}"),
				NULL, &a, &p, &e),
		0);
	assert_string_equal(p.resources[0], "r");
	assert_int_equal(skiffd_pod_read(SLICE("{\"name\":\"a\",\"net\":\"n\"}"), NULL, &a, &p, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "pod.net: no such field"));
	assert_int_equal(skiffd_pod_read(SLICE("{"), NULL, &a, &p, &e), -EINVAL);
	assert_int_equal(skiffd_pod_read(SLICE("{}"), NULL, &a, &p, &e), -EINVAL);
	assert_string_equal(e.text, "pod: name is missing");
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(everything),
		cmocka_unit_test(pods),     cmocka_unit_test(bootstrap),
		cmocka_unit_test(errors),   cmocka_unit_test(missing),
		cmocka_unit_test(one_pod),  cmocka_unit_test(control_plane),
	};
	int rc;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/skiffd.yaml", dir);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(dir);
	return rc;
}
