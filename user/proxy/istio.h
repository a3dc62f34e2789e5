/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Istio's standard metrics with its labels (istio.io, "Istio Standard Metrics"), so that boards
 * made for sidecars go on working. One series a combination of labels, found by a small key and
 * named when it is first seen.
 */
#ifndef SKIFF_PROXY_ISTIO_H
#define SKIFF_PROXY_ISTIO_H

#include "proxy/proxy_impl.h"

#define ISTIO_SERIES_MAX 20000 /* of one worker; more count under "stats.istio_overflow" */

struct istio_series;

/* What one request or connection is counted by. */
struct istio_event {
	const struct epod *pod;	 /* whose sidecar would have reported */
	const struct epod *peer; /* the other end if it is a pod of this node, else NULL */
	const struct mesh_cluster *cluster; /* NULL: none was chosen */
	bool is_source;		 /* reporter: the client's side */
	const char *protocol;	 /* "http", "grpc", "dubbo", "tcp"; literal */
	uint32_t status;	 /* response_code */
	uint32_t flags;		 /* L7_FLAG bits */
	const struct l7_info *info;
};

/* istio_requests_total, istio_request_duration_milliseconds, istio_{request,response}_bytes. */
void istio_count_request(struct worker *w, const struct istio_event *ev);
/* istio_tcp_connections_{opened,closed}_total, istio_tcp_{sent,received}_bytes_total, at the end.
 */
void istio_count_connection(struct worker *w, const struct istio_event *ev);
void istio_done(struct worker *w);

#endif
