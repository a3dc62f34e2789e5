/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a question -> addresses and a request. */
#include <errno.h>

#include "proxy/explain.h"

#define HTTP_PORT 80

static bool is_pod(const struct mesh_pod *p, struct slice ns, struct slice name)
{
	return slice_is_equal(p->name, name) && (!ns.len || slice_is_equal(p->namespace_, ns));
}

static const struct mesh_pod *find_pod(const struct mesh_snapshot *s, const char *text,
				       struct err *e)
{
	struct slice name = slice_str(text), ns = SLICE_NONE;
	const char *slash = strchr(text, '/');
	const struct mesh_pod *found = NULL;

	if (slash) {
		ns = slice_of(text, (size_t)(slash - text));
		name = slice_str(slash + 1);
	}
	for (uint32_t i = 0; i < s->n_pods; i++) {
		if (!is_pod(&s->pods[i], ns, name))
			continue;
		if (found) {
			err_set(e, -EINVAL, "%s is in several namespaces: say NAMESPACE/%s", text,
				text);
			return NULL;
		}
		found = &s->pods[i];
	}
	if (!found)
		err_set(e, -ENOENT, "no pod %s here (skiffctl pod list)", text);
	return found;
}

static int address(const char *text, const char *what, struct addr *ret_a, struct err *e)
{
	struct slice s = slice_str(text);

	if (addr_parse(s, ret_a) < 0 && addr_parse_ip(s, ret_a) < 0)
		return err_set(e, -EINVAL, "%s: '%s' is not an address like 10.0.0.1:80", what,
			       text);
	return 0;
}

/* "http://host:port/path?query", "host/path" or "/path". */
static void split_url(struct slice url, struct slice *ret_host, struct slice *ret_path)
{
	const char *p;
	size_t n = 0;

	if (slice_has_prefix(url, SLICE("http://")))
		url = slice_of(url.ptr + 7, url.len - 7);
	while (n < url.len && url.ptr[n] != '/' && url.ptr[n] != '?')
		n++;
	p = url.ptr + n;
	*ret_host = slice_of(url.ptr, n);
	*ret_path = n < url.len ? slice_of(p, url.len - n) : SLICE("/");
}

static uint16_t port_of(struct slice host)
{
	uint32_t port = 0;

	for (size_t i = host.len; i > 0 && host.ptr[i - 1] != ':'; i--)
		if (host.ptr[i - 1] < '0' || host.ptr[i - 1] > '9')
			return HTTP_PORT;
	if (!memchr(host.ptr, ':', host.len))
		return HTTP_PORT;
	for (const char *p = (const char *)memrchr(host.ptr, ':', host.len) + 1;
	     p < host.ptr + host.len && port <= UINT16_MAX; p++)
		port = port * 10 + (uint32_t)(*p - '0');
	return port && port <= UINT16_MAX ? (uint16_t)port : HTTP_PORT;
}

static void destination(struct slice host, struct addr *ret_a)
{
	if (addr_parse(host, ret_a) == 0)
		return;
	if (addr_parse_ip(host, ret_a) < 0)
		addr_parse_ip(SLICE("0.0.0.0"), ret_a);
	ret_a->port = port_of(host);
}

json_t *explain(const struct mesh_snapshot *s, const struct explain_args *args, struct err *e)
{
	struct explain_question q = {
		.direction = args->inbound ? MESH_INBOUND : MESH_OUTBOUND,
		.method = slice_str(args->method ? args->method : "GET"),
		.headers = args->headers,
	};
	const struct mesh_pod *p = find_pod(s, args->pod, e);
	json_t *out;

	if (!p)
		return NULL;
	split_url(slice_str(args->url ? args->url : "/"), &q.host, &q.path);
	destination(q.host, &q.to);
	if (args->to && address(args->to, "to", &q.to, e) < 0)
		return NULL;
	if (args->from && address(args->from, "from", &q.from, e) < 0)
		return NULL;
	if (!p->view) {
		err_set(e, -ENOENT, "pod %s has no configuration yet", args->pod);
		return NULL;
	}
	out = explain_request(p->view, &q);
	json_object_set_new(out, "pod",
			    json_sprintf("%.*s/%.*s", SLICE_ARG(p->namespace_),
					 SLICE_ARG(p->name)));
	return out;
}
