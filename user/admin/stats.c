/* SPDX-License-Identifier: Apache-2.0 */
/* /stats and /stats/prometheus: reads the registry once, filters, and has it written in a form. */
#include "admin/admin_impl.h"
#include "base/regex.h"

#define OK 200
#define BAD_REQUEST 400

struct reading {
	struct stat_rows rows;
	const struct regex *filter; /* NULL: all */
	bool used_only;
	const char *type; /* Envoy's names: "Counters", "Gauges", "Histograms"; NULL: all */
};

static bool is_wanted(const struct reading *r, const char *name, enum stat_kind kind,
		      uint64_t value)
{
	static const char *const types[] = {
		[STAT_COUNTER] = "Counters",
		[STAT_GAUGE] = "Gauges",
		[STAT_HISTOGRAM] = "Histograms",
	};

	if (r->used_only && value == 0)
		return false;
	if (r->type && strcasecmp(r->type, types[kind]) != 0)
		return false;
	return !r->filter || regex_is_match(r->filter, slice_str(name));
}

static void read_one(void *arg, const char *name, enum stat_kind kind, uint64_t value,
		     const uint64_t *hist)
{
	struct reading *r = arg;
	struct stat_rows *rows = &r->rows;
	struct stat_row *row;

	if (!is_wanted(r, name, kind, value))
		return;
	if (rows->n == rows->cap) {
		rows->cap = rows->cap ? rows->cap * 2 : 256;
		rows->rows = xrealloc(rows->rows, rows->cap * sizeof(*rows->rows));
	}
	row = rows->rows + rows->n++;
	*row = (struct stat_row){ .name = xstrdup(name), .kind = kind, .value = value };
	if (hist) {
		row->hist = xcalloc(STAT_ROW_CELLS, sizeof(*row->hist));
		memcpy(row->hist, hist, STAT_ROW_CELLS * sizeof(*row->hist));
	}
}

static void rows_done(struct stat_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		free(rows->rows[i].name);
		free(rows->rows[i].hist);
	}
	free(rows->rows);
}

/* Envoy's filter may match any part of a name; our regexes match the whole. */
static int filter_compile(const char *pattern, struct regex **ret_re, struct err *e)
{
	char *whole = xasprintf(".*(?:%s).*", pattern);
	int rc = regex_compile(slice_str(whole), ret_re, e);

	free(whole);
	return rc;
}

static bool is_type(const char *type)
{
	return !type || strcasecmp(type, "Counters") == 0 || strcasecmp(type, "Gauges") == 0 ||
	       strcasecmp(type, "Histograms") == 0;
}

static bool is_buckets(const char *form)
{
	return !form || strcmp(form, "none") == 0 || strcmp(form, "cumulative") == 0 ||
	       strcmp(form, "disjoint") == 0;
}

static unsigned int write_form(const struct admin *a, const struct admin_request *req,
			       const struct stat_rows *rows, const char *form,
			       struct admin_reply *reply)
{
	if (strcmp(form, "prometheus") == 0) {
		stats_write_prom(&reply->body, rows, a->tags);
	} else if (strcmp(form, "json") == 0) {
		reply->type = ADMIN_JSON;
		if (stats_write_json(&reply->body, rows))
			return admin_error(reply, 500, "the answer cannot be written as JSON");
	} else {
		stats_write_text(&reply->body, rows, admin_query(req, "histogram_buckets"));
	}
	return OK;
}

static unsigned int reply_stats(struct admin *a, const struct admin_request *req, const char *form,
				struct admin_reply *reply)
{
	struct reading r = {
		.used_only = admin_query(req, "usedonly") != NULL,
		.type = admin_query(req, "type"),
	};
	const char *pattern = admin_query(req, "filter");
	struct regex *filter = NULL;
	unsigned int status;
	struct err e;

	if (r.type && strcasecmp(r.type, "All") == 0)
		r.type = NULL;
	if (!is_type(r.type))
		return admin_text(reply, BAD_REQUEST, "invalid &type= param");
	if (pattern && *pattern && filter_compile(pattern, &filter, &e))
		return admin_text(reply, BAD_REQUEST, "Invalid regex: %s\n", e.text);
	r.filter = filter;
	meter_refresh(a);
	stats_walk(read_one, &r);
	status = write_form(a, req, &r.rows, form, reply);
	rows_done(&r.rows);
	regex_free(filter);
	return status;
}

static unsigned int handle_stats(void *ctx, const struct admin_request *req,
				 struct admin_reply *reply)
{
	const char *form = admin_query(req, "format");

	if (!form)
		form = "text";
	if (strcmp(form, "text") != 0 && strcmp(form, "json") != 0 &&
	    strcmp(form, "prometheus") != 0)
		return admin_text(reply, BAD_REQUEST,
				  "usage: /stats?format=(json|prometheus|text)\n\n");
	if (!is_buckets(admin_query(req, "histogram_buckets")))
		return admin_text(reply, BAD_REQUEST,
				  "usage: /stats?histogram_buckets=(none|cumulative|disjoint)\n");
	return reply_stats(ctx, req, form, reply);
}

static unsigned int handle_prometheus(void *ctx, const struct admin_request *req,
				      struct admin_reply *reply)
{
	return reply_stats(ctx, req, "prometheus", reply);
}

static const struct admin_route routes[] = {
	{ "GET", SKIFF_PATH_STATS, false, handle_stats,
	  "?filter=REGEX &usedonly &type=Counters|Gauges|Histograms &format=text|json|prometheus" },
	{ "GET", SKIFF_PATH_PROMETHEUS, false, handle_prometheus,
	  "the same for Prometheus; ?filter=REGEX &usedonly" },
};

void admin_add_stats(struct admin *a)
{
	admin_add(a, routes, ARRAY_LEN(routes), a);
}
