/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics in Prometheus' exposition format, as Envoy writes them: names begin with envoy_, parts
 * of the name become labels, histograms have cumulative buckets in ms. All samples of a family
 * must stand together, so they are gathered and sorted first.
 */
#include "admin/admin_impl.h"

static const double bounds[] = STATS_BOUNDS;

struct sample {
	char *family, *labels; /* NUL-terminated, owned */
	const struct stat_row *row;
};

static char *take_text(struct buf *b)
{
	char *s = slice_dup(buf_slice(b));

	buf_clear(b);
	return s;
}

static struct sample *gather(const struct stat_rows *rows, const struct prom_tags *tags)
{
	struct sample *samples = xcalloc(rows->n ? rows->n : 1, sizeof(*samples));
	struct buf family = { 0 }, labels = { 0 };

	for (size_t i = 0; i < rows->n; i++) {
		prom_tags_split(tags, rows->rows[i].name, &family, &labels);
		samples[i].row = rows->rows + i;
		samples[i].family = take_text(&family);
		samples[i].labels = take_text(&labels);
	}
	buf_done(&family);
	buf_done(&labels);
	return samples;
}

static int by_family(const void *pa, const void *pb)
{
	const struct sample *a = pa, *b = pb;
	int d = strcmp(a->family, b->family);

	if (d == 0)
		d = (int)a->row->kind - (int)b->row->kind;
	return d ? d : strcmp(a->labels, b->labels);
}

static const char *type_name(enum stat_kind kind)
{
	switch (kind) {
	case STAT_COUNTER: return "counter";
	case STAT_GAUGE: return "gauge";
	case STAT_HISTOGRAM: return "histogram";
	}
	return "untyped";
}

static void write_histogram(struct buf *out, const struct sample *s)
{
	const char *comma = *s->labels ? "," : "";
	const uint64_t *hist = s->row->hist;
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		sum += hist[i];
		buf_printf(out, "%s_bucket{%s%sle=\"%.10g\"} %llu\n", s->family, s->labels, comma,
			   bounds[i], (unsigned long long)sum);
	}
	buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", s->family, s->labels, comma,
		   (unsigned long long)s->row->value);
	buf_printf(out, "%s_sum{%s} %.10g\n", s->family, s->labels,
		   (double)hist[STATS_BUCKETS] / 1000);
	buf_printf(out, "%s_count{%s} %llu\n", s->family, s->labels,
		   (unsigned long long)s->row->value);
}

static bool is_new_family(const struct sample *s, const struct sample *before)
{
	return !before || strcmp(s->family, before->family) != 0 ||
	       s->row->kind != before->row->kind;
}

void stats_write_prom(struct buf *out, const struct stat_rows *rows, const struct prom_tags *tags)
{
	struct sample *samples = gather(rows, tags);

	qsort(samples, rows->n, sizeof(*samples), by_family);
	for (size_t i = 0; i < rows->n; i++) {
		const struct sample *s = samples + i;

		if (is_new_family(s, i ? s - 1 : NULL))
			buf_printf(out, "# TYPE %s %s\n", s->family, type_name(s->row->kind));
		if (s->row->kind == STAT_HISTOGRAM)
			write_histogram(out, s);
		else
			buf_printf(out, "%s{%s} %llu\n", s->family, s->labels,
				   (unsigned long long)s->row->value);
	}
	for (size_t i = 0; i < rows->n; i++) {
		free(samples[i].family);
		free(samples[i].labels);
	}
	free(samples);
}
