/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract between skiffd's admin server and skiffctl: where the control socket is and which
 * paths it answers. docs/contract-admin.md says what goes in and comes out of each.
 */
#ifndef SKIFF_ADMIN_CONTRACT_H
#define SKIFF_ADMIN_CONTRACT_H

#define SKIFF_CONTROL_SOCKET "/run/skiff/skiffd.sock"
#define SKIFF_ADMIN_PORT 15000 /* of 127.0.0.1 */

/* Control socket only: these change what the node does, or show every pod. */
#define SKIFF_PATH_PODS "/pods"	    /* GET list; POST one pod; DELETE ?name=&namespace= */
#define SKIFF_PATH_RELOAD "/reload" /* POST */
#define SKIFF_PATH_BPF "/bpf"	    /* GET: the pinned maps as text tables */
#define SKIFF_PATH_STATUS "/xds"    /* GET: the control plane, each pod's state */
#define SKIFF_PATH_EXPLAIN "/explain" /* GET ?pod=&method=&url= ... */
#define SKIFF_PATH_POLICY "/policy"   /* GET ?pod=: verdicts as text */
#define SKIFF_PATH_QUIT "/quitquitquit"

/* Also on the TCP port, with Envoy's names and shapes. */
#define SKIFF_PATH_READY "/ready"
#define SKIFF_PATH_HELP "/help"
#define SKIFF_PATH_STATS "/stats"
#define SKIFF_PATH_PROMETHEUS "/stats/prometheus"
#define SKIFF_PATH_LOGGING "/logging" /* POST shows; POST ?level= sets */
#define SKIFF_PATH_SERVER_INFO "/server_info"
#define SKIFF_PATH_MEMORY "/memory"
#define SKIFF_PATH_CLUSTERS "/clusters"
#define SKIFF_PATH_LISTENERS "/listeners"
#define SKIFF_PATH_CONFIG_DUMP "/config_dump"
#define SKIFF_PATH_DRAIN "/drain_listeners" /* POST; ?inboundonly */

#endif
