/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reader of skiffd's own file: tables of fields, each with its reader. Unlike Envoy's resources,
 * an unknown field here is an error: the file is ours, so it is a typing mistake.
 */
#include "xds/skiffd_config.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>

#include "base/log.h"
#include "xds/skiffd_config_impl.h"
#include "xds/yaml.h"

#define CONFIG_FILE_MAX 16777216
#define CREDIT_MIN 4096
#define HEARTBEAT_MAX 3600
#define WORKERS_MAX 256
#define TIME_MAX_MS 3600000u

int config_fail(struct config_reader *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(r->err, -EINVAL, "%s%s%s", r->path.text,
		       r->path.len && r->path.text[r->path.len - 1] == ' ' ? "" : ": ", text);
}

/* ---- values ---------------------------------------------------------------------------------- */

int config_text_read(struct config_reader *r, const json_t *j, char **ret_s)
{
	const char *s = json_string_value(j);

	if (!s)
		return config_fail(r, "text is needed here%s",
				   json_is_number(j) || json_is_boolean(j) ? "; put it in quotes" :
									     "");
	*ret_s = arena_str(r->a, slice_str(s));
	return 0;
}

/* A whole number; text may end in Ki, Mi or Gi. */
static int number_read(struct config_reader *r, const json_t *j, uint64_t min, uint64_t max,
		       uint64_t *ret_v)
{
	static const char *const units[] = { "Ki", "Mi", "Gi" };
	struct slice s = slice_of(json_string_value(j), json_string_length(j));
	unsigned int shift = 0;
	uint64_t v = 0;

	for (unsigned int i = 0; i < ARRAY_LEN(units); i++)
		if (s.len > 2 && slice_has_suffix(s, slice_str(units[i]))) {
			shift = 10 * (i + 1);
			s.len -= 2;
		}
	if (json_is_integer(j) && json_integer_value(j) >= 0)
		v = (uint64_t)json_integer_value(j);
	else if (!json_is_string(j) || slice_to_u64(s, &v) < 0)
		return config_fail(r, "a whole number is needed here");
	if (v > max >> shift || v << shift < min)
		return config_fail(r, "must be between %llu and %llu", (unsigned long long)min,
				   (unsigned long long)max);
	*ret_v = v << shift;
	return 0;
}

int config_u32_read(struct config_reader *r, const json_t *j, uint32_t min, uint32_t max,
		    uint32_t *ret_v)
{
	uint64_t v = 0;
	int rc = number_read(r, j, min, max, &v);

	if (rc == 0)
		*ret_v = (uint32_t)v;
	return rc;
}

int config_bool_read(struct config_reader *r, const json_t *j, bool *ret_b)
{
	if (!json_is_boolean(j))
		return config_fail(r, "true or false is needed here");
	*ret_b = json_is_true(j);
	return 0;
}

int config_time_read(struct config_reader *r, const json_t *j, uint32_t *ret_ms)
{
	struct slice s = slice_of(json_string_value(j), json_string_length(j));
	uint64_t v = 0, unit = 1000;

	if (slice_has_suffix(s, SLICE("ms"))) {
		s.len -= 2;
		unit = 1;
	} else if (slice_has_suffix(s, SLICE("s"))) {
		s.len--;
	}
	if (json_is_integer(j) && json_integer_value(j) >= 0)
		v = (uint64_t)json_integer_value(j);
	else if (!json_is_string(j) || slice_to_u64(s, &v) < 0)
		return config_fail(r, "a time is needed here, such as \"15s\" or \"500ms\"");
	if (v > TIME_MAX_MS / unit)
		return config_fail(r, "must be at most an hour");
	*ret_ms = (uint32_t)(v * unit);
	return 0;
}

int config_word_read(struct config_reader *r, const json_t *j, const char *const *words, size_t n,
		     int *ret_i)
{
	const char *s = json_string_value(j);
	char known[128] = "";

	for (size_t i = 0; i < n; i++) {
		size_t at = strlen(known);

		if (s && strcmp(s, words[i]) == 0) {
			*ret_i = (int)i;
			return 0;
		}
		snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", words[i]);
	}
	return config_fail(r, "must be one of %s", known);
}

static int addr_read(struct config_reader *r, const json_t *j, struct addr *ret_a)
{
	const char *s = json_string_value(j);

	if (!s || addr_parse(slice_str(s), ret_a) < 0)
		return config_fail(
			r, "an address with port is needed here, such as \"127.0.0.1:15000\"");
	return 0;
}

int config_list_read(struct config_reader *r, const json_t *j, size_t max, size_t size,
		     int (*read)(struct config_reader *r, const json_t *j, void *obj), void **ret_v,
		     uint32_t *ret_n)
{
	size_t n = json_array_size(j);
	char *v;

	if (!json_is_array(j))
		return config_fail(r, "a list is needed here");
	if (n > max)
		return config_fail(r, "more than %zu entries", max);
	v = arena_zalloc(r->a, (n ? n : 1) * size);
	for (size_t i = 0; i < n; i++) {
		size_t mark = xds_path_push_at(&r->path, "", i);
		int rc = read(r, json_array_get(j, i), v + i * size);

		if (rc < 0)
			return rc;
		xds_path_pop(&r->path, mark);
	}
	*ret_v = v;
	*ret_n = (uint32_t)n;
	return 0;
}

static int ip_read(struct config_reader *r, const json_t *j, void *obj)
{
	const char *s = json_string_value(j);

	if (!s || addr_parse_ip(slice_str(s), obj) < 0)
		return config_fail(r, "an IP address is needed here");
	return 0;
}

int config_path_read(struct config_reader *r, const json_t *j, void *obj)
{
	char **out = obj;
	int rc = config_text_read(r, j, out);

	if (rc == 0 && !**out)
		return config_fail(r, "a file or folder is needed here");
	if (rc == 0 && r->base && **out != '/')
		*out = (char *)(uintptr_t)arena_printf(r->a, "%s/%s", r->base, *out).ptr;
	return rc;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const struct config_field *field_find(const struct config_field *fields, size_t n,
					     const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

static int unknown(struct config_reader *r, const struct config_field *fields, size_t n,
		   const char *name)
{
	char known[384] = "";

	for (size_t i = 0; i < n; i++) {
		size_t at = strlen(known);

		snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", fields[i].name);
	}
	xds_path_push(&r->path, name);
	return config_fail(r, "no such field; the fields here are %s", known);
}

int config_object_read(struct config_reader *r, const json_t *j, const struct config_field *fields,
		       size_t n, void *obj)
{
	const char *key;
	json_t *value;

	if (!json_is_object(j))
		return config_fail(r, "fields are needed here");
	json_object_foreach((json_t *)(uintptr_t)j, key, value)
	{
		const struct config_field *f = field_find(fields, n, key);
		size_t mark;
		int rc;

		if (!f)
			return unknown(r, fields, n, key);
		if (json_is_null(value))
			continue;
		mark = xds_path_push(&r->path, key);
		rc = f->read(r, value, obj);
		if (rc < 0)
			return rc;
		xds_path_pop(&r->path, mark);
	}
	return 0;
}

static const char *const accelerate_words[] = { "auto", "both", "off" };

/* Words and enum mesh_accelerate have the same order. */
static int accelerate_read(struct config_reader *r, const json_t *j, enum mesh_accelerate *ret_a)
{
	int i = 0, rc = config_word_read(r, j, accelerate_words, ARRAY_LEN(accelerate_words), &i);

	if (rc == 0)
		*ret_a = (enum mesh_accelerate)i;
	return rc;
}

/* ---- pods[].policy[] ------------------------------------------------------------------------- */

struct policy_ctx {
	struct skiffd_policy *p;
	bool has_destination, has_verdict;
};

static int policy_direction(struct config_reader *r, const json_t *j, void *obj)
{
	static const char *const words[] = { "outbound", "inbound" };
	struct policy_ctx *x = obj;
	int i = 0, rc = config_word_read(r, j, words, ARRAY_LEN(words), &i);

	x->p->direction = i ? MESH_INBOUND : MESH_OUTBOUND;
	return rc;
}

static int policy_destination(struct config_reader *r, const json_t *j, void *obj)
{
	struct policy_ctx *x = obj;
	const char *s = json_string_value(j);
	uint16_t port = x->p->net.port;

	if (!s || addr_parse_prefix(slice_str(s), &x->p->net, &x->p->bits) < 0)
		return config_fail(
			r, "an IP address or prefix is needed here, such as \"10.0.0.0/8\"");
	x->p->net.port = port;
	x->has_destination = true;
	return 0;
}

static int policy_port(struct config_reader *r, const json_t *j, void *obj)
{
	struct policy_ctx *x = obj;
	uint32_t port = 0;
	int rc = config_u32_read(r, j, 0, 65535, &port);

	x->p->net.port = (uint16_t)port;
	return rc;
}

static int policy_verdict(struct config_reader *r, const json_t *j, void *obj)
{
	static const char *const words[] = { "bypass", "deny", "l7" };
	struct policy_ctx *x = obj;
	int i = 0, rc = config_word_read(r, j, words, ARRAY_LEN(words), &i);

	x->p->verdict = (enum skiffd_verdict)i;
	x->has_verdict = true;
	return rc;
}

static const struct config_field policy_fields[] = {
	{ "direction", policy_direction },
	{ "destination", policy_destination },
	{ "port", policy_port },
	{ "verdict", policy_verdict },
};

static int policy_read(struct config_reader *r, const json_t *j, void *obj)
{
	struct policy_ctx x = { .p = obj };
	int rc;

	x.p->direction = MESH_OUTBOUND;
	rc = config_object_read(r, j, policy_fields, ARRAY_LEN(policy_fields), &x);
	if (rc == 0 && !x.has_destination)
		return config_fail(
			r, "destination is missing, such as \"10.0.0.0/8\" or \"0.0.0.0/0\"");
	if (rc == 0 && !x.has_verdict)
		return config_fail(r, "verdict is missing: bypass, deny or l7");
	return rc;
}

/* ---- pods[] ---------------------------------------------------------------------------------- */

#define TEXT_FIELD(fn, type, member) \
	static int fn(struct config_reader *r, const json_t *j, void *obj) \
	{ \
		return config_text_read(r, j, &((struct type *)obj)->member); \
	}

TEXT_FIELD(pod_name, skiffd_pod, name)
TEXT_FIELD(pod_namespace, skiffd_pod, namespace_)
TEXT_FIELD(pod_service_account, skiffd_pod, service_account)

static int pod_token_file(struct config_reader *r, const json_t *j, void *obj)
{
	return config_path_read(r, j, &((struct skiffd_pod *)obj)->token_file);
}

static int pod_netns(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_pod *p = obj;
	int rc = config_text_read(r, j, &p->netns);

	if (rc == 0 && !*p->netns)
		return config_fail(
			r,
			"a network namespace is needed here: its name (`ip netns list`) or a path");
	if (rc == 0 && !strchr(p->netns, '/'))
		p->netns = (char *)(uintptr_t)arena_printf(r->a, "/run/netns/%s", p->netns).ptr;
	return rc;
}

static int pod_labels(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_pod *p = obj;
	const char *key;
	json_t *value;

	if (!json_is_object(j))
		return config_fail(r, "labels are needed here: a map of texts");
	p->labels = arena_array(r->a, struct skiffd_label, json_object_size(j) + 1);
	json_object_foreach((json_t *)(uintptr_t)j, key, value)
	{
		size_t mark = xds_path_push(&r->path, key);
		int rc = config_text_read(r, value, &p->labels[p->n_labels].value);

		if (rc < 0)
			return rc;
		p->labels[p->n_labels++].key = arena_str(r->a, slice_str(key));
		xds_path_pop(&r->path, mark);
	}
	return 0;
}

static int pod_resources(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_pod *p = obj;

	return config_list_read(r, j, SKIFFD_LIST_MAX, sizeof(char *), config_path_read,
				(void **)&p->resources, &p->n_resources);
}

static int pod_accelerate(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_pod *p = obj;

	p->has_accelerate = true;
	return accelerate_read(r, j, &p->accelerate);
}

static int pod_fail_open(struct config_reader *r, const json_t *j, void *obj)
{
	return config_bool_read(r, j, &((struct skiffd_pod *)obj)->fail_open);
}

static int pod_xds(struct config_reader *r, const json_t *j, void *obj)
{
	return config_bool_read(r, j, &((struct skiffd_pod *)obj)->xds);
}

static int pod_addresses(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_pod *p = obj;

	return config_list_read(r, j, SKIFFD_LIST_MAX, sizeof(struct addr), ip_read,
				(void **)&p->addresses, &p->n_addresses);
}

static int pod_policy(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_pod *p = obj;

	return config_list_read(r, j, SKIFFD_LIST_MAX, sizeof(struct skiffd_policy), policy_read,
				(void **)&p->policy, &p->n_policy);
}

static const struct config_field pod_fields[] = {
	{ "name", pod_name },
	{ "namespace", pod_namespace },
	{ "netns", pod_netns },
	{ "labels", pod_labels },
	{ "service_account", pod_service_account },
	{ "token_file", pod_token_file },
	{ "resources", pod_resources },
	{ "accelerate", pod_accelerate },
	{ "fail_open", pod_fail_open },
	{ "addresses", pod_addresses },
	{ "policy", pod_policy },
	{ "xds", pod_xds },
};

static int pod_read(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_pod *p = obj;
	int rc;

	*p = (struct skiffd_pod){ .fail_open = true, .xds = true };
	rc = config_object_read(r, j, pod_fields, ARRAY_LEN(pod_fields), p);
	if (rc < 0)
		return rc;
	if (!p->name || !*p->name)
		return config_fail(r, "name is missing");
	if (!p->netns)
		return config_fail(
			r, "netns is missing: the name (`ip netns list`) or path of the pod's "
			   "network namespace");
	if (!p->namespace_ || !*p->namespace_)
		p->namespace_ = arena_str(r->a, SLICE("default"));
	if (!p->service_account || !*p->service_account)
		p->service_account = arena_str(r->a, SLICE("default"));
	return 0;
}

/* ---- limits and capture ---------------------------------------------------------------------- */

#define U32_FIELD(fn, member, min, max) \
	static int fn(struct config_reader *r, const json_t *j, void *obj) \
	{ \
		return config_u32_read(r, j, min, max, &((struct skiffd_config *)obj)->member); \
	}
#define U64_FIELD(fn, member, min, max) \
	static int fn(struct config_reader *r, const json_t *j, void *obj) \
	{ \
		return number_read(r, j, min, max, &((struct skiffd_config *)obj)->member); \
	}

U32_FIELD(max_connections, max_connections, 0, UINT32_MAX)
U32_FIELD(max_connections_per_pod, max_connections_per_pod, 0, UINT32_MAX)
U64_FIELD(max_buffer_bytes, max_buffer_bytes, 0, INT64_MAX)
U64_FIELD(max_buffer_bytes_per_pod, max_buffer_bytes_per_pod, 0, INT64_MAX)

static const struct config_field limits_fields[] = {
	{ "max_connections", max_connections },
	{ "max_connections_per_pod", max_connections_per_pod },
	{ "max_buffer_bytes", max_buffer_bytes },
	{ "max_buffer_bytes_per_pod", max_buffer_bytes_per_pod },
};

TEXT_FIELD(capture_cgroup, skiffd_config, cgroup)
TEXT_FIELD(capture_pin_dir, skiffd_config, pin_dir)
U32_FIELD(capture_credit, credit_bytes, CREDIT_MIN, INT32_MAX)
U32_FIELD(capture_heartbeat, heartbeat_seconds, 1, HEARTBEAT_MAX)

static int capture_nodes(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_config *c = obj;

	return config_list_read(r, j, SKIFFD_LIST_MAX, sizeof(struct addr), ip_read,
				(void **)&c->node_addresses, &c->n_node_addresses);
}

static const struct config_field capture_fields[] = {
	{ "cgroup", capture_cgroup },        { "pin_dir", capture_pin_dir },
	{ "credit_bytes", capture_credit },  { "heartbeat_seconds", capture_heartbeat },
	{ "node_addresses", capture_nodes },
};

/* ---- the file -------------------------------------------------------------------------------- */

U32_FIELD(top_workers, workers, 0, WORKERS_MAX)
TEXT_FIELD(top_control, skiffd_config, control)

static int top_state_dir(struct config_reader *r, const json_t *j, void *obj)
{
	return config_path_read(r, j, &((struct skiffd_config *)obj)->state_dir);
}

static int top_admin(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_config *c = obj;
	const char *s = json_string_value(j);

	c->has_admin = !s || strcmp(s, "off") != 0;
	return c->has_admin ? addr_read(r, j, &c->admin) : 0;
}

static int top_io(struct config_reader *r, const json_t *j, void *obj)
{
	static const char *const words[] = { "auto", "uring", "epoll" };
	int i = 0, rc = config_word_read(r, j, words, ARRAY_LEN(words), &i);

	return rc < 0 ? rc : config_text_read(r, j, &((struct skiffd_config *)obj)->io);
}

static int top_log_level(struct config_reader *r, const json_t *j, void *obj)
{
	enum log_level level;
	const char *s = json_string_value(j);

	if (!s || !log_level_parse(s, &level))
		return config_fail(r, "must be one of trace, debug, info, warning, error, off");
	return config_text_read(r, j, &((struct skiffd_config *)obj)->log_level);
}

static int top_accelerate(struct config_reader *r, const json_t *j, void *obj)
{
	return accelerate_read(r, j, &((struct skiffd_config *)obj)->accelerate);
}

static int top_resources(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_config *c = obj;

	return config_list_read(r, j, SKIFFD_LIST_MAX, sizeof(char *), config_path_read,
				(void **)&c->resources, &c->n_resources);
}

static int top_pods(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_config *c = obj;

	return config_list_read(r, j, SKIFFD_PODS_MAX, sizeof(struct skiffd_pod), pod_read,
				(void **)&c->pods, &c->n_pods);
}

static int top_limits(struct config_reader *r, const json_t *j, void *obj)
{
	return config_object_read(r, j, limits_fields, ARRAY_LEN(limits_fields), obj);
}

static int top_capture(struct config_reader *r, const json_t *j, void *obj)
{
	return config_object_read(r, j, capture_fields, ARRAY_LEN(capture_fields), obj);
}

static int top_xds(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_config *c = obj;

	c->xds = arena_new(r->a, struct skiffd_xds);
	return config_xds_read(r, j, c->xds);
}

static int top_pod_folder(struct config_reader *r, const json_t *j, void *obj)
{
	return config_path_read(r, j, &((struct skiffd_config *)obj)->pod_folder);
}

U32_FIELD(top_busy_poll, busy_poll_us, 0, SKIFFD_BUSY_POLL_MAX)

static const struct config_field top_fields[] = {
	{ "workers", top_workers },
	{ "admin", top_admin },
	{ "control", top_control },
	{ "io", top_io },
	{ "accelerate", top_accelerate },
	{ "log_level", top_log_level },
	{ "resources", top_resources },
	{ "pods", top_pods },
	{ "limits", top_limits },
	{ "capture", top_capture },
	{ "state_dir", top_state_dir },
	{ "busy_poll_us", top_busy_poll },
	{ "xds", top_xds },
	{ "pod_folder", top_pod_folder },
};

static int pods_unique(struct config_reader *r, const struct skiffd_config *c)
{
	for (uint32_t i = 0; i < c->n_pods; i++)
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(c->pods[i].name, c->pods[k].name) == 0 &&
			    strcmp(c->pods[i].namespace_, c->pods[k].namespace_) == 0) {
				xds_path_push_at(&r->path, "pods", i);
				return config_fail(r, "%s/%s is there twice", c->pods[i].namespace_,
						   c->pods[i].name);
			}
	return 0;
}

/* One namespace is one pod. */
static int netns_unique(struct config_reader *r, const struct skiffd_config *c)
{
	for (uint32_t i = 0; i < c->n_pods; i++)
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(c->pods[i].netns, c->pods[k].netns) == 0) {
				xds_path_push_at(&r->path, "pods", i);
				return config_fail(r, "netns %s is that of %s/%s already",
						   c->pods[i].netns, c->pods[k].namespace_,
						   c->pods[k].name);
			}
	return 0;
}

/* An Envoy bootstrap given directly: it is the resources, and its admin address is ours. */
static int bootstrap_read(struct config_reader *r, const json_t *j, struct skiffd_config *c)
{
	json_t *admin = json_object_get(json_object_get(j, "admin"), "address"), *port;
	const char *ip;

	c->resources = arena_array(r->a, char *, 1);
	c->resources[0] = c->path;
	c->n_resources = 1;
	admin = json_object_get(admin, "socket_address");
	if (!admin)
		return 0;
	ip = json_string_value(json_object_get(admin, "address"));
	port = json_object_get(admin, "port_value");
	xds_path_push(&r->path, "admin.address.socket_address");
	if (!ip || addr_parse_ip(slice_str(ip), &c->admin) < 0 || !json_is_integer(port) ||
	    json_integer_value(port) < 0 || json_integer_value(port) > 65535)
		return config_fail(r, "address and port_value are needed here");
	c->admin.port = (uint16_t)json_integer_value(port);
	return 0;
}

static int document_read(struct config_reader *r, const json_t *j, struct skiffd_config *c)
{
	int rc;

	if (json_object_get(j, "static_resources"))
		rc = bootstrap_read(r, j, c);
	else
		rc = config_object_read(r, j, top_fields, ARRAY_LEN(top_fields), c);
	if (rc == 0)
		rc = pods_unique(r, c);
	if (rc == 0)
		rc = netns_unique(r, c);
	if (rc == 0 && c->has_admin && !addr_is_loopback(&c->admin))
		xds_report_add(r->report, r->path.text,
			       "admin: the address is not a loopback address: whoever reaches it "
			       "can read and drain this skiffd");
	return rc;
}

static struct skiffd_config *config_new(const char *path)
{
	struct skiffd_config *c = xcalloc(1, sizeof(*c));
	char full[PATH_MAX];

	/* Absolute, so that a later reload does not depend on the working folder. */
	c->path = arena_str(&c->arena, slice_str(realpath(path, full) ? full : path));
	c->has_admin = true;
	must(addr_parse(SLICE("127.0.0.1:15000"), &c->admin) == 0);
	c->control = arena_str(&c->arena, SLICE("/run/skiff/skiffd.sock"));
	c->io = arena_str(&c->arena, SLICE("auto"));
	c->accelerate = MESH_ACCELERATE_AUTO;
	c->busy_poll_us = SKIFFD_BUSY_POLL_US;
	return c;
}

static const char *folder_of(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? arena_str(a, slice_of(path, (size_t)(slash - path))) : ".";
}

int skiffd_config_read(const char *path, struct skiffd_config **ret_c, struct xds_report *report,
		       struct err *e)
{
	struct skiffd_config *c;
	struct config_reader r = { .report = report, .err = e };
	json_t *j = NULL;
	int rc = yaml_load(path, YAML_TYPING_CORE, &j, e);

	if (rc < 0)
		return rc;
	c = config_new(path);
	r.a = &c->arena;
	r.base = folder_of(&c->arena, c->path);
	xds_path_init(&r.path, path);
	xds_path_push_raw(&r.path, ": ");
	rc = document_read(&r, j, c);
	json_decref(j);
	if (rc < 0)
		skiffd_config_free(c);
	else
		*ret_c = c;
	return rc;
}

int skiffd_pod_file_read(const char *path, struct arena *a, struct skiffd_pod *ret_p, struct err *e)
{
	struct config_reader r = { .a = a, .base = folder_of(a, path), .err = e };
	struct skiffd_pod p;
	json_t *j = NULL;
	int rc = yaml_load(path, YAML_TYPING_CORE, &j, e);

	if (rc < 0)
		return rc;
	xds_path_init(&r.path, path);
	xds_path_push_raw(&r.path, ": ");
	rc = pod_read(&r, j, &p);
	json_decref(j);
	if (rc == 0)
		*ret_p = p;
	return rc;
}

int skiffd_pod_read(struct slice json, const char *base, struct arena *a, struct skiffd_pod *ret_p,
		    struct err *e)
{
	struct config_reader r = { .a = a, .base = base, .err = e };
	json_error_t je;
	struct skiffd_pod p;
	json_t *j;
	int rc;

	if (json.len > CONFIG_FILE_MAX)
		return err_set(e, -E2BIG, "pod: over %d bytes", CONFIG_FILE_MAX);
	j = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &je);
	if (!j)
		return err_set(e, -EINVAL, "pod: %d:%d: %s", je.line, je.column, je.text);
	xds_path_init(&r.path, "pod");
	rc = pod_read(&r, j, &p);
	json_decref(j);
	if (rc == 0)
		*ret_p = p;
	return rc;
}

void skiffd_config_free(struct skiffd_config *c)
{
	struct arena a;

	if (!c)
		return;
	a = c->arena;
	arena_done(&a);
	free(c);
}
