/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pod records: a folder with a file for each pod, as in pods[] of the configuration. The folder is
 * the desire: a file that comes brings its pod, one that goes takes it away, one that changes
 * changes it in place, as long as name and network namespace stay. What skiffctl adds is written
 * there, so that a restart keeps it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "base/log.h"

/* Files of the folder; a file that cannot be read or used leaves its pod as it is. */
static bool is_record(const char *name)
{
	struct slice s = slice_str(name);

	return *name != '.' &&
	       (slice_has_suffix(s, SLICE(".json")) || slice_has_suffix(s, SLICE(".yaml")) ||
		slice_has_suffix(s, SLICE(".yml")));
}

static struct agent_pod *pod_of_record(struct agent *a, const char *path)
{
	list_for_each(n, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->record && strcmp(p->record, path) == 0)
			return p;
	}
	return NULL;
}

/* What changes when the file is another one. */
static uint64_t stamp_of(const struct stat *st)
{
	return ((uint64_t)st->st_mtim.tv_sec * 1000000000ull + (uint64_t)st->st_mtim.tv_nsec) ^
	       ((uint64_t)st->st_ino << 32) ^ (uint64_t)st->st_size;
}

static void note(struct agent_pod *p, const char *path, uint64_t stamp)
{
	free(p->record);
	p->record = xstrdup(path);
	p->record_stamp = stamp;
}

static bool is_still(const struct agent_pod *p, const struct skiffd_pod *conf)
{
	const char *ns = conf->namespace_ ? conf->namespace_ : "default";

	return strcmp(p->conf.name, conf->name) == 0 && strcmp(p->conf.namespace_, ns) == 0 &&
	       agent_pod_is_in(p, conf->netns);
}

static int record_open(struct agent *a, const char *path, uint64_t stamp, struct err *e)
{
	struct agent_pod *was = pod_of_record(a, path), *p;
	struct arena arena = { 0 };
	struct skiffd_pod conf;
	int r = skiffd_pod_file_read(path, &arena, &conf, e);

	if (r < 0)
		goto out;
	if (was && is_still(was, &conf)) {
		r = agent_pod_change(a, was, &conf, e);
		if (r == 0)
			note(was, path, stamp);
		goto out;
	}
	if (was && access(conf.netns, F_OK) < 0) {
		r = err_set(e, -errno, "network namespace %s: %s", conf.netns, strerror(errno));
		goto out;
	}
	if (was)
		r = agent_pod_drop(a, was->conf.namespace_, was->conf.name, e);
	p = agent_pod_find(a, conf.namespace_, conf.name);
	if (r == 0 && p && !p->record && !p->from_file) {
		note(p, path, stamp); /* skiffctl has just brought it */
		goto out;
	}
	if (r == 0)
		r = agent_pod_add(a, &conf, e);
	if (r == 0)
		note(agent_pod_find(a, conf.namespace_, conf.name), path, stamp);
out:
	arena_done(&arena);
	return r;
}

static void record_look(struct agent *a, const char *path)
{
	struct agent_pod *p = pod_of_record(a, path);
	struct stat st;
	struct err e;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (p)
		p->has_record = true;
	if (p && p->record_stamp == stamp_of(&st))
		return;
	if (record_open(a, path, stamp_of(&st), &e) < 0) {
		log_error("agent", "pod record %s: %s", path, e.text);
		return;
	}
	p = pod_of_record(a, path);
	if (p)
		p->has_record = true;
}

static void drop_without(struct agent *a)
{
	struct err e;

	list_for_each_safe(n, tmp, &a->pods) {
		struct agent_pod *p = list_entry(n, struct agent_pod, node);

		if (p->record && !p->has_record &&
		    agent_pod_drop(a, p->conf.namespace_, p->conf.name, &e) < 0)
			log_error("agent", "%s", e.text);
	}
}

void agent_records_read(struct agent *a)
{
	const char *folder = a->conf->pod_folder;
	DIR *d = folder ? opendir(folder) : NULL;
	struct dirent *f;

	if (!folder)
		return;
	if (!d) {
		log_error("agent", "pod_folder %s: %s", folder, strerror(errno));
		return;
	}
	list_for_each(n, &a->pods)
		list_entry(n, struct agent_pod, node)->has_record = false;
	while ((f = readdir(d)) != NULL) {
		char *path = is_record(f->d_name) ? xasprintf("%s/%s", folder, f->d_name) : NULL;

		if (path)
			record_look(a, path);
		free(path);
	}
	closedir(d);
	drop_without(a);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Beside, synced, renamed: a record is there whole or not at all. */
static int write_whole(const char *path, struct slice text, struct err *e)
{
	char *temporary = xasprintf("%s.new", path);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && write(fd, text.ptr, text.len) != (ssize_t)text.len)
		r = errno ? -errno : -EIO;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		err_set(e, r, "the pod's record %s cannot be written: %s", path, strerror(-r));
	}
	free(temporary);
	return r;
}

int agent_record_write(struct agent *a, struct agent_pod *p, struct slice json, struct err *e)
{
	struct stat st;
	char *path;
	int r;

	if (!a->conf->pod_folder)
		return 0;
	/* Names of Kubernetes have no slash; others shall not lead out of the folder. */
	if (strchr(p->conf.name, '/') || strchr(p->conf.namespace_, '/'))
		return err_set(e, -EINVAL,
			       "pod %s/%s: a name with a slash cannot be kept in a file",
			       p->conf.namespace_, p->conf.name);
	path = xasprintf("%s/%s.%s.json", a->conf->pod_folder, p->conf.namespace_, p->conf.name);
	r = write_whole(path, json, e);
	if (r == 0 && stat(path, &st) == 0)
		note(p, path, stamp_of(&st));
	free(path);
	return r;
}

void agent_record_remove(const struct agent_pod *p)
{
	if (p->record && unlink(p->record) < 0 && errno != ENOENT)
		log_warn("agent", "pod record %s: %s: the pod comes back with a restart", p->record,
			 strerror(errno));
}
