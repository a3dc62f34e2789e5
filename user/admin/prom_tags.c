/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parts of a statistic's name are labels for Prometheus: Envoy's default tags, with the
 * additions that Istio makes for names with dots. Our own regexes (base/regex.h) have no groups,
 * so this file speaks to PCRE2 itself; the patterns are constants, the names are ours.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "admin/admin_impl.h"

/* An address as it stands in a listener's name: ':' is '_' there. */
#define ADDRESS "(?:\\[[0-9a-fA-F_:.]*\\]|(?:\\d{1,3}\\.){3}\\d{1,3})_\\d+"
/* Istio's prefix of a connection manager: an address too, but for its direction. */
#define IN_OR_OUT "(?:(?:in|out)bound_)?(?:\\d{1,3}\\.){3}\\d{1,3}(?:_\\d+)?"
#define SERVICE "(?:\\..+?\\.svc\\.cluster\\.local)?"

/* Group 1 leaves the name, group 2 is the value. @hint: a text without which it cannot match. */
static const struct tag {
	const char *label, *hint, *pattern;
} tags[] = {
	/* In the order in which Envoy writes them. */
	{ "envoy_response_code", "_rq_", "_rq(_(\\d{3}))$" },
	{ "envoy_response_code_class", "_rq_", "_rq_((\\d))xx$" },
	{ "envoy_http_conn_manager_prefix", "http.",
	  "^(?:listener\\..*?\\.)?http\\.((" IN_OR_OUT "|[^.]+)\\.)" },
	{ "envoy_worker_id", ".worker_", "^(?:listener|server)\\.(?:.*\\.)?worker_((\\d+)\\.)" },
	{ "envoy_cluster_name", "cluster.", "^cluster\\.((.+?" SERVICE ")\\.)" },
	{ "envoy_listener_address", "listener.", "^listener\\.((" ADDRESS ")\\.)" },
	{ "envoy_virtual_cluster", ".vcluster.", "^vhost\\..*?\\.vcluster\\.((.*?)\\.)" },
	{ "envoy_route", ".route.", "^vhost\\..*?\\.route\\.((.*?)\\.)" },
	{ "envoy_virtual_host", "vhost.", "^vhost\\.((.*?)\\.)" },
	{ "envoy_rds_route_config", ".rds.", "^http\\..*?\\.rds\\.((.*?)\\.)\\w+$" },
	{ "envoy_tcp_prefix", "tcp.", "^tcp\\.((.*?)\\.)\\w+$" },
	{ "envoy_udp_prefix", "udp.", "^udp\\.((.*?)\\.)\\w+$" },
	{ "envoy_ratelimit_prefix", "ratelimit.", "^ratelimit\\.((.*?)\\.)\\w+$" },
	{ "envoy_local_http_ratelimit_prefix", ".http_local_rate_limit.",
	  "^((.*?)\\.)http_local_rate_limit\\." },
	{ "envoy_local_network_ratelimit_prefix", "local_rate_limit.",
	  "^local_rate_limit\\.((.*?)\\.)\\w+$" },
};

struct prom_tags {
	pcre2_code *codes[ARRAY_LEN(tags)];
	pcre2_match_data *match;
};

struct prom_tags *prom_tags_new(void)
{
	struct prom_tags *t = xcalloc(1, sizeof(*t));

	for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
		PCRE2_SIZE at;
		int code;

		t->codes[i] = pcre2_compile((PCRE2_SPTR)tags[i].pattern, PCRE2_ZERO_TERMINATED, 0,
					    &code, &at, NULL);
		must(t->codes[i]);
		/* Without JIT it is only slower. */
		pcre2_jit_compile(t->codes[i], PCRE2_JIT_COMPLETE);
	}
	t->match = pcre2_match_data_create(3, NULL);
	must(t->match);
	return t;
}

void prom_tags_free(struct prom_tags *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		pcre2_code_free(t->codes[i]);
	pcre2_match_data_free(t->match);
	free(t);
}

/* Quotes, backslashes and line ends are written with a backslash. */
static void add_label(struct buf *labels, const char *name, struct slice value)
{
	if (buf_len(labels))
		buf_add_char(labels, ',');
	buf_printf(labels, "%s=\"", name);
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c == '"' || c == '\\')
			buf_add_char(labels, '\\');
		if (c == '\n')
			buf_add_slice(labels, SLICE("\\n"));
		else
			buf_add_char(labels, c);
	}
	buf_add_char(labels, '"');
}

static bool is_metric_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == ':';
}

/* A name that was made for Prometheus: istio_requests_total{reporter="source"}. */
static void split_labelled(const char *name, const char *brace, struct buf *family,
			   struct buf *labels)
{
	size_t len = strlen(brace + 1);

	if (len && brace[len] == '}')
		len--;
	buf_add(family, name, (size_t)(brace - name));
	buf_add(labels, brace + 1, len);
}

void prom_tags_split(const struct prom_tags *t, const char *name, struct buf *family,
		     struct buf *labels)
{
	const char *brace = strchr(name, '{');
	size_t len = strlen(name);
	char *kept = NULL; /* the name with the label's bytes set to NUL */

	if (brace) {
		split_labelled(name, brace, family, labels);
		return;
	}
	kept = xstrdup(name);
	for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
		const PCRE2_SIZE *at;

		if (!strstr(name, tags[i].hint) ||
		    pcre2_match(t->codes[i], (PCRE2_SPTR)name, len, 0, 0, t->match, NULL) < 3)
			continue;
		at = pcre2_get_ovector_pointer(t->match);
		add_label(labels, tags[i].label, slice_of(name + at[4], at[5] - at[4]));
		memset(kept + at[2], 0, at[3] - at[2]);
	}
	/* What people name themselves keeps its name: only Envoy's own get the prefix. */
	if (strncmp(name, "istio_", 6) != 0 && strncmp(name, "skiff_", 6) != 0)
		buf_add_slice(family, SLICE("envoy_"));
	for (size_t i = 0; i < len; i++)
		if (kept[i])
			buf_add_char(family, is_metric_char(kept[i]) ? kept[i] : '_');
	free(kept);
}
