/* SPDX-License-Identifier: Apache-2.0 */
/* Shared inside the admin room: the server's struct, its own routes, the forms of the statistics.
 */
#ifndef SKIFF_ADMIN_ADMIN_IMPL_H
#define SKIFF_ADMIN_ADMIN_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "admin/admin.h"
#include "base/stats.h"

struct MHD_Daemon;
struct prom_tags;

struct admin_entry {
	const struct admin_route *route;
	void *ctx;
};

/* meter.c: what the admin server and the process count of themselves. */
enum meter_what {
	METER_RQ_TOTAL,
	METER_RQ_HTTP1,
	METER_RQ_ACTIVE,
	METER_RQ_COMPLETED,
	METER_RQ_1XX, /* the five classes stay together */
	METER_RQ_2XX,
	METER_RQ_3XX,
	METER_RQ_4XX,
	METER_RQ_5XX,
	METER_CX_TOTAL,
	METER_CX_HTTP1,
	METER_CX_ACTIVE,
	METER_CX_DESTROY,
	METER_UPTIME,
	METER_ALLOCATED,
	METER_HEAP,
	METER_RESIDENT,
	METER_COUNT,
};

struct meter {
	struct stats_set *set;
	stat_id ids[METER_COUNT];
	uint64_t last[METER_COUNT]; /* of gauges that are set */
};

struct admin {
	struct admin_options opts;
	struct admin_entry entries[ADMIN_ROUTES_MAX];
	size_t entries_n;
	struct MHD_Daemon *tcp, *control;
	int tcp_fd, control_fd; /* -1: not open, or the daemon's */
	int wake_fd;
	uint16_t port;
	pthread_t thread;
	bool running;
	atomic_bool stop;
	uint64_t started_ns;
	struct prom_tags *tags;
	struct meter meter;
};

void meter_init(struct meter *m);
void meter_done(struct meter *m);
/* Admin thread only, as the two below. */
void meter_add(struct meter *m, enum meter_what what, int64_t n);
void meter_answered(struct meter *m, unsigned int status);
/* Brings uptime and memory up to date. */
void meter_refresh(struct admin *a);

struct admin_memory {
	uint64_t allocated, heap, free, resident; /* bytes */
};
struct admin_memory admin_memory_read(void);

/* socket.c: listening sockets, non-blocking. The descriptor, or -errno with @e set. */
int admin_socket_tcp(const struct addr *at, bool allow_any, uint16_t *ret_port, struct err *e);
/* Mode 0600 from its first moment. A socket that nobody answers at is replaced. */
int admin_socket_control(const char *path, struct err *e);

/* serve.c: one daemon of libmicrohttpd on @fd, which it owns; NULL when it cannot be made. */
struct MHD_Daemon *admin_serve(struct admin *a, int fd, bool control);
/* Handles what @d has waiting. */
void admin_serve_turn(struct MHD_Daemon *d);
/* Descriptor to poll and how long at most (ms, -1: for ever). */
int admin_serve_fd(struct MHD_Daemon *d);
int admin_serve_wait(struct MHD_Daemon *d);
void admin_serve_stop(struct MHD_Daemon *d);

/* own.c: /, /help, /ready, /logging, /server_info, /memory, /quitquitquit. stats.c: /stats... */
void admin_add_own(struct admin *a);
/* The list of commands that @req could have asked for. */
void admin_write_help(const struct admin *a, const struct admin_request *req,
		      struct admin_reply *reply);
void admin_add_stats(struct admin *a);

/* ---- statistics: one reading of the registry, sorted by name --------------------------------- */

#define STAT_ROW_CELLS (STATS_BUCKETS + 1)

struct stat_row {
	char *name;
	enum stat_kind kind;
	uint64_t value; /* of a histogram: how many values */
	uint64_t *hist; /* STATS_BUCKETS counts and the sum in us; NULL for the others */
};

struct stat_rows {
	struct stat_row *rows;
	size_t n, cap;
};

/* stats_text.c: the forms of /stats. */
void stats_write_text(struct buf *out, const struct stat_rows *rows, const char *buckets);
/* -ENOMEM when the text cannot be made. */
int stats_write_json(struct buf *out, const struct stat_rows *rows);

/* stats_prom.c: the exposition format. */
void stats_write_prom(struct buf *out, const struct stat_rows *rows, const struct prom_tags *tags);

/* ---- prom_tags.c: which part of a name is a label -------------------------------------------- */

struct prom_tags *prom_tags_new(void);
void prom_tags_free(struct prom_tags *t);
/*
 * Splits @name into its family ("envoy_cluster_upstream_rq_total") and labels
 * (envoy_cluster_name="a"), both appended. A name that brings its labels in braces is left as it
 * is.
 */
void prom_tags_split(const struct prom_tags *t, const char *name, struct buf *family,
		     struct buf *labels);

#endif
