/* SPDX-License-Identifier: Apache-2.0 */
/* Access logs: lines gather in each worker and are written every LOG_FLUSH_MS or when many. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/proxy_impl.h"

static int sink_add(struct engine *e, const char *path, int fd, struct err *err)
{
	if (e->n_sinks == LOG_SINKS_MAX)
		return err_set(err, -ENOSPC, "more than %d access log files", LOG_SINKS_MAX);
	e->sinks[e->n_sinks] = (struct log_sink){ path ? xstrdup(path) : NULL, fd };
	return (int)e->n_sinks++;
}

int log_sink_open(struct engine *e, const struct mesh_access_log *conf, struct err *err)
{
	int std = conf->sink == MESH_LOG_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
	char path[4096];
	int fd;

	if (conf->sink != MESH_LOG_FILE) {
		for (uint32_t i = 0; i < e->n_sinks; i++)
			if (!e->sinks[i].path && e->sinks[i].fd == std)
				return (int)i;
		return sink_add(e, NULL, std, err);
	}
	if (conf->path.len == 0 || conf->path.len >= sizeof(path))
		return err_set(err, -EINVAL, "access log: path of %zu bytes", conf->path.len);
	memcpy(path, conf->path.ptr, conf->path.len);
	path[conf->path.len] = '\0';
	for (uint32_t i = 0; i < e->n_sinks; i++)
		if (e->sinks[i].path && strcmp(e->sinks[i].path, path) == 0)
			return (int)i;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_set(err, -errno, "access log %s: %s", path, strerror(errno));
	return sink_add(e, path, fd, err);
}

static void sink_flush(struct worker *w, uint32_t i)
{
	struct buf *b = &w->log_bufs[i];
	int fd = w->e->sinks[i].fd;

	while (buf_len(b)) {
		ssize_t n = write(fd, buf_ptr(b), buf_len(b));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			log_warn("proxy", "access log %s: %s: %zu bytes are lost",
				 w->e->sinks[i].path ? w->e->sinks[i].path : "(standard stream)",
				 strerror(errno), buf_len(b));
			buf_clear(b);
			return;
		}
		buf_consume(b, (size_t)n);
	}
}

void worker_log_flush(struct worker *w)
{
	for (uint32_t i = 0; i < LOG_SINKS_MAX; i++)
		if (buf_len(&w->log_bufs[i]))
			sink_flush(w, i);
}

static void on_log_timer(struct io_timer *t)
{
	worker_log_flush(container_of(t, struct worker, log_timer));
}

void worker_log_init(struct worker *w)
{
	io_timer_init(&w->log_timer, on_log_timer);
}

void worker_log(struct worker *w, const struct plogs *logs, const struct l7_info *in)
{
	for (uint32_t i = 0; i < logs->n; i++) {
		const struct plog *l = &logs->v[i];
		struct buf *b = &w->log_bufs[l->sink];

		if (!filter_log_is_wanted(l->conf->filter, in, &w->rng))
			continue;
		filter_log_line(l->conf, in, b);
		if (buf_len(b) >= LOG_FLUSH_BYTES)
			sink_flush(w, l->sink);
		else if (!io_timer_is_armed(&w->log_timer))
			io_timer_set(w->io, &w->log_timer, LOG_FLUSH_MS);
	}
}
