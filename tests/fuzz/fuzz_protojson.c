/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: messages from JSON and from the wire. The first byte chooses the type and the form.
 * What is read can be packed, unpacked and written as JSON, and that JSON is read as the same
 * bytes.
 */
#include "xds/protojson.h"
#include "xds/registry.h"
#include "xds/translate.h"

#define FORM_WIRE 0x80

static const ProtobufCMessageDescriptor *type_of(uint8_t b)
{
	static const char *const names[] = {
		"envoy.config.listener.v3.Listener",
		"envoy.config.cluster.v3.Cluster",
		"envoy.config.route.v3.RouteConfiguration",
		"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		"google.protobuf.Struct",
		"xds.type.v3.TypedStruct",
		"google.protobuf.Any",
	};

	return registry_find(slice_str(names[b % ARRAY_LEN(names)]));
}

static int read_any(struct protojson *pj, const ProtobufCMessageDescriptor *d, bool wire,
		    struct slice in, ProtobufCMessage **ret_m)
{
	json_t *j;
	int rc;

	if (wire)
		return protojson_unpack(pj, d, in, ret_m);
	j = json_loadb(in.ptr, in.len, JSON_DECODE_ANY, NULL);
	if (!j)
		return -EINVAL;
	rc = protojson_read(pj, d, j, ret_m);
	json_decref(j);
	return rc;
}

/* JSON of what came from JSON reads as the same bytes. */
static void round_trip(const ProtobufCMessage *m, struct arena *a, bool from_json)
{
	struct protojson pj;
	ProtobufCMessage *again = NULL;
	struct slice first = protojson_pack(m, a), second;
	json_t *j = protojson_write(m);
	struct err e;
	int rc;

	protojson_init(&pj, a, NULL, &e);
	rc = protojson_read(&pj, m->descriptor, j, &again);
	json_decref(j);
	if (!from_json)
		return; /* the wire holds what JSON cannot: bad UTF-8, types that are not known */
	must(rc == 0);
	second = protojson_pack(again, a);
	must(second.len == first.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct xds_report report = { 0 };
	struct arena a = { 0 };
	struct protojson pj;
	ProtobufCMessage *m = NULL;
	struct err e = { "" };

	if (!len)
		return 0;
	protojson_init(&pj, &a, &report, &e);
	pj.refuse = xds_refuse_unknown;
	if (read_any(&pj, type_of(data[0] & 0x7f), data[0] & FORM_WIRE, slice_of(data + 1, len - 1),
		     &m) == 0)
		round_trip(m, &a, !(data[0] & FORM_WIRE));
	xds_report_done(&report);
	arena_done(&a);
	return 0;
}
