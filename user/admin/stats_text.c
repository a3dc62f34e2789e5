/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics as text and as JSON in Envoy's shapes. Quantiles are estimates: a value lies anywhere
 * in its bucket. Intervals are not kept, so their half of a pair is nan (text) or null (JSON).
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>

#include "admin/admin_impl.h"

static const double bounds[] = STATS_BOUNDS;
static const double quantiles[] = { 0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100 };

/* The value in ms below which @percent of the values are. @total is not 0. */
static double quantile_of(const uint64_t *hist, uint64_t total, double percent)
{
	double rank = percent / 100 * (double)total;
	double below = 0;

	for (size_t i = 0; i < STATS_BUCKETS; i++) {
		double low = i ? bounds[i - 1] : 0;
		double here = (double)hist[i];

		if (here > 0 && below + here >= rank) {
			if (i == ARRAY_LEN(bounds))
				return low; /* no upper end to go towards */
			return low + (bounds[i] - low) * (rank - below) / here;
		}
		below += here;
	}
	return bounds[ARRAY_LEN(bounds) - 1];
}

static void write_quantiles(struct buf *out, const struct stat_row *row)
{
	if (!row->value) {
		buf_printf(out, "%s: No recorded values\n", row->name);
		return;
	}
	buf_printf(out, "%s:", row->name);
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		buf_printf(out, " P%g(nan,%.10g)", quantiles[i],
			   quantile_of(row->hist, row->value, quantiles[i]));
	buf_add_char(out, '\n');
}

static void write_buckets(struct buf *out, const struct stat_row *row, bool cumulative)
{
	uint64_t sum = 0;

	buf_printf(out, "%s:", row->name);
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		sum = (cumulative ? sum : 0) + row->hist[i];
		buf_printf(out, " B%g(nan,%llu)", bounds[i], (unsigned long long)sum);
	}
	buf_add_char(out, '\n');
}

void stats_write_text(struct buf *out, const struct stat_rows *rows, const char *buckets)
{
	bool as_buckets = buckets && strcmp(buckets, "none") != 0;

	for (size_t i = 0; i < rows->n; i++)
		if (rows->rows[i].kind != STAT_HISTOGRAM)
			buf_printf(out, "%s: %llu\n", rows->rows[i].name,
				   (unsigned long long)rows->rows[i].value);
	/* Histograms stand at the end. */
	for (size_t i = 0; i < rows->n; i++) {
		const struct stat_row *row = rows->rows + i;

		if (row->kind == STAT_HISTOGRAM && as_buckets)
			write_buckets(out, row, strcmp(buckets, "cumulative") == 0);
		else if (row->kind == STAT_HISTOGRAM)
			write_quantiles(out, row);
	}
}

static json_t *histogram_json(const struct stat_row *row)
{
	json_t *values = json_array();

	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
		json_t *v = json_null();

		if (row->value)
			v = json_real(quantile_of(row->hist, row->value, quantiles[i]));
		json_array_append_new(values, json_pack("{s:o, s:n}", "cumulative", v, "interval"));
	}
	return json_pack("{s:s, s:o}", "name", row->name, "values", values);
}

/* All histograms are one last element of the list. NULL when there are none. */
static json_t *histograms_json(const struct stat_rows *rows)
{
	json_t *supported, *computed = json_array();

	for (size_t i = 0; i < rows->n; i++)
		if (rows->rows[i].kind == STAT_HISTOGRAM)
			json_array_append_new(computed, histogram_json(rows->rows + i));
	if (!json_array_size(computed)) {
		json_decref(computed);
		return NULL;
	}
	supported = json_array();
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		json_array_append_new(supported, json_real(quantiles[i]));
	return json_pack("{s:{s:o, s:o}}", "histograms", "supported_quantiles", supported,
			 "computed_quantiles", computed);
}

int stats_write_json(struct buf *out, const struct stat_rows *rows)
{
	json_t *list = json_array(), *top = json_object(), *histograms = histograms_json(rows);
	char *text;

	for (size_t i = 0; i < rows->n; i++)
		if (rows->rows[i].kind != STAT_HISTOGRAM)
			json_array_append_new(list, json_pack("{s:s, s:I}", "name",
							      rows->rows[i].name, "value",
							      (json_int_t)rows->rows[i].value));
	if (histograms)
		json_array_append_new(list, histograms);
	json_object_set_new(top, "stats", list);
	text = json_dumps(top, JSON_COMPACT | JSON_REAL_PRECISION(10));
	json_decref(top);
	if (!text)
		return -ENOMEM;
	buf_add_slice(out, slice_str(text));
	buf_add_char(out, '\n');
	free(text);
	return 0;
}
