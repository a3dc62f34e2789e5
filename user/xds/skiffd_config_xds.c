/* SPDX-License-Identifier: Apache-2.0 */
/* The section "xds" of skiffd's own file: which control plane, and what pods tell it. */
#include <errno.h>

#include "xds/skiffd_config_impl.h"

#define SERVERS_MAX 16

#define TEXT_FIELD(member) \
	static int xds_##member(struct config_reader *r, const json_t *j, void *obj) \
	{ \
		return config_text_read(r, j, &((struct skiffd_xds *)obj)->member); \
	}
#define FILE_FIELD(member) \
	static int xds_##member(struct config_reader *r, const json_t *j, void *obj) \
	{ \
		return config_path_read(r, j, &((struct skiffd_xds *)obj)->member); \
	}
#define TIME_FIELD(fn, member) \
	static int fn(struct config_reader *r, const json_t *j, void *obj) \
	{ \
		return config_time_read(r, j, &((struct skiffd_xds *)obj)->member); \
	}

/* ---- servers --------------------------------------------------------------------------------- */

static int server_read(struct config_reader *r, const json_t *j, void *obj)
{
	char **out = obj;
	int rc = config_text_read(r, j, out);
	const char *colon = rc == 0 ? strrchr(*out, ':') : NULL;
	uint64_t port;

	if (rc < 0)
		return rc;
	if (!colon || colon == *out || slice_to_u64(slice_str(colon + 1), &port) < 0 || !port ||
	    port > 65535)
		return config_fail(r, "an address with port is needed here, such as "
				      "\"istiod.istio-system.svc:15010\"");
	return 0;
}

static int xds_server(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_xds *x = obj;

	if (x->n_servers)
		return config_fail(r, "server and servers are one thing: give one of them");
	x->servers = arena_array(r->a, char *, 1);
	x->n_servers = 1;
	return server_read(r, j, x->servers);
}

static int xds_servers(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_xds *x = obj;

	if (x->n_servers)
		return config_fail(r, "server and servers are one thing: give one of them");
	return config_list_read(r, j, SERVERS_MAX, sizeof(char *), server_read,
				(void **)&x->servers, &x->n_servers);
}

static int xds_mode(struct config_reader *r, const json_t *j, void *obj)
{
	static const char *const words[] = { "auto", "delta", "sotw" };
	int i = 0, rc = config_word_read(r, j, words, ARRAY_LEN(words), &i);

	((struct skiffd_xds *)obj)->mode = (enum skiffd_xds_mode)i;
	return rc;
}

/* ---- trust ----------------------------------------------------------------------------------- */

FILE_FIELD(ca_file)
FILE_FIELD(cert_file)
FILE_FIELD(key_file)
FILE_FIELD(token_file)
TEXT_FIELD(server_name)

static const struct config_field tls_fields[] = {
	{ "ca_file", xds_ca_file },
	{ "cert_file", xds_cert_file },
	{ "key_file", xds_key_file },
	{ "server_name", xds_server_name },
};

static int xds_tls(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_xds *x = obj;
	int rc = config_object_read(r, j, tls_fields, ARRAY_LEN(tls_fields), x);

	x->tls = true;
	if (rc == 0 && !x->cert_file != !x->key_file)
		return config_fail(r, "cert_file and key_file go together");
	return rc;
}

/* ---- what pods say --------------------------------------------------------------------------- */

TEXT_FIELD(cluster_id)
TEXT_FIELD(domain)
TEXT_FIELD(trust_domain)
TEXT_FIELD(istio_version)
TEXT_FIELD(network)
TEXT_FIELD(locality)
TIME_FIELD(xds_fetch_timeout, fetch_timeout_ms)
TIME_FIELD(xds_hold_timeout, hold_timeout_ms)

static int xds_metadata(struct config_reader *r, const json_t *j, void *obj)
{
	struct skiffd_xds *x = obj;
	char *text;

	if (!json_is_object(j))
		return config_fail(r, "fields are needed here: what every pod's node metadata has, "
				      "too");
	text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	must(text != NULL);
	x->metadata = arena_str(r->a, slice_str(text));
	free(text);
	return 0;
}

static const struct config_field xds_fields[] = {
	{ "server", xds_server },
	{ "servers", xds_servers },
	{ "mode", xds_mode },
	{ "tls", xds_tls },
	{ "token_file", xds_token_file },
	{ "cluster_id", xds_cluster_id },
	{ "domain", xds_domain },
	{ "trust_domain", xds_trust_domain },
	{ "istio_version", xds_istio_version },
	{ "network", xds_network },
	{ "locality", xds_locality },
	{ "metadata", xds_metadata },
	{ "fetch_timeout", xds_fetch_timeout },
	{ "hold_timeout", xds_hold_timeout },
};

int config_xds_read(struct config_reader *r, const json_t *j, struct skiffd_xds *x)
{
	int rc;

	*x = (struct skiffd_xds){ .fetch_timeout_ms = SKIFFD_FETCH_MS,
				  .hold_timeout_ms = SKIFFD_HOLD_MS };
	rc = config_object_read(r, j, xds_fields, ARRAY_LEN(xds_fields), x);
	if (rc < 0)
		return rc;
	if (!x->n_servers)
		return config_fail(r, "server is missing, such as "
				      "\"istiod.istio-system.svc:15010\"");
	if (x->token_file && !x->tls)
		return config_fail(r, "token_file is sent over TLS only: add tls, such as "
				      "tls: {ca_file: root-cert.pem}");
	return 0;
}

/* ---- copies ---------------------------------------------------------------------------------- */

static const size_t texts[] = {
#define AT(member) offsetof(struct skiffd_xds, member)
	AT(ca_file),       AT(cert_file),  AT(key_file), AT(server_name),
	AT(token_file),    AT(cluster_id), AT(domain),   AT(trust_domain),
	AT(istio_version), AT(network),    AT(locality), AT(metadata),
#undef AT
};

static char **text_at(const struct skiffd_xds *x, size_t i)
{
	return (char **)((char *)(uintptr_t)x + texts[i]);
}

struct skiffd_xds *skiffd_xds_copy(struct arena *a, const struct skiffd_xds *x)
{
	struct skiffd_xds *c = arena_new(a, struct skiffd_xds);

	*c = *x;
	c->servers = arena_array(a, char *, x->n_servers);
	for (uint32_t i = 0; i < x->n_servers; i++)
		c->servers[i] = arena_str(a, slice_str(x->servers[i]));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (*text_at(x, i))
			*text_at(c, i) = arena_str(a, slice_str(*text_at(x, i)));
	return c;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool skiffd_xds_is_same(const struct skiffd_xds *a, const struct skiffd_xds *b)
{
	bool same;

	if (!a || !b)
		return a == b;
	same = a->n_servers == b->n_servers && a->mode == b->mode && a->tls == b->tls &&
	       a->fetch_timeout_ms == b->fetch_timeout_ms &&
	       a->hold_timeout_ms == b->hold_timeout_ms;
	for (uint32_t i = 0; same && i < a->n_servers; i++)
		same = strcmp(a->servers[i], b->servers[i]) == 0;
	for (size_t i = 0; same && i < ARRAY_LEN(texts); i++)
		same = same_text(*text_at(a, i), *text_at(b, i));
	return same;
}
