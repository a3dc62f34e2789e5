/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: YAML -> messages -> mesh. The input is a bootstrap file. Whatever it holds, it is
 * taken whole or refused with a reason; what is taken can be dumped as JSON that is taken again.
 */
#include "xds/load.h"
#include "xds/yaml.h"

/* The dump of a view, as a bootstrap in JSON. */
static char *bootstrap_of(const struct mesh_view *v)
{
	struct slice dump = v->config_json;
	json_t *j = json_loadb(dump.ptr, dump.len, 0, NULL), *o, *b;
	char *text;

	must(j != NULL);
	o = json_object();
	json_object_set(o, "listeners", json_object_get(j, "static_listeners"));
	json_object_set(o, "clusters", json_object_get(j, "static_clusters"));
	b = json_object();
	json_object_set_new(b, "static_resources", o);
	text = json_dumps(b, JSON_INDENT(1));
	must(text != NULL);
	json_decref(b);
	json_decref(j);
	return text;
}

static void reload(const struct mesh_view *v)
{
	char *text = bootstrap_of(v);
	struct mesh_view *again = NULL;
	struct err e;
	int rc = xds_load_text(slice_str(text), "dump", &again, NULL, &e);

	if (rc < 0)
		fprintf(stderr, "%s\n%s\n", e.text, text);
	must(rc == 0);
	must(again->n_listeners == v->n_listeners && again->n_clusters == v->n_clusters);
	mesh_view_unref(again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct xds_report report = { 0 };
	struct mesh_view *v = NULL;
	struct err e = { "" };
	int rc = xds_load_text(slice_of(data, len), "fuzz", &v, &report, &e);

	must(rc <= 0 && (rc == 0) == (v != NULL));
	must(rc == 0 || e.text[0] != '\0');
	if (v)
		reload(v);
	mesh_view_unref(v);
	xds_report_done(&report);
	return 0;
}
