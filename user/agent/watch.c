/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changed files: the folders of all configuration files are watched (editors and Kubernetes replace
 * files by renaming), and after things have been quiet for a moment everything is read again.
 */
#include <errno.h>
#include <libgen.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/log.h"

#define SETTLE_MS 100
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE)

static void watch_path(struct agent *a, const char *path)
{
	struct stat st;
	char *dir = xstrdup(path);
	const char *folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? path : dirname(dir);

	if (inotify_add_watch(a->watch, folder, EVENTS) < 0)
		log_warn("agent", "cannot watch %s for changes: %s: use SIGHUP to reload", folder,
			 strerror(errno));
	free(dir);
}

static void watch_all(struct agent *a)
{
	watch_path(a, a->conf->path);
	if (a->conf->pod_folder)
		a->folder = inotify_add_watch(a->watch, a->conf->pod_folder, EVENTS);
	for (uint32_t i = 0; i < a->conf->n_resources; i++)
		watch_path(a, a->conf->resources[i]);
	list_for_each(n, &a->pods) {
		const struct agent_pod *p = list_entry(n, struct agent_pod, node);

		for (uint32_t i = 0; i < p->conf.n_resources; i++)
			watch_path(a, p->conf.resources[i]);
	}
}

int agent_watch_start(struct agent *a, struct err *e)
{
	if (a->watch < 0)
		a->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (a->watch < 0)
		return err_set(e, -errno, "inotify: %s", strerror(errno));
	watch_all(a);
	return 0;
}

/* Is the file one that configuration could be in? Logs and editors' droppings are not. */
static bool is_ours(const struct agent *a, const struct inotify_event *ev)
{
	struct slice name = slice_str(ev->len ? ev->name : "");
	const char *base = strrchr(a->conf->path, '/');

	if (name.len && name.ptr[0] == '.' && !slice_has_prefix(name, SLICE("..data")))
		return false;
	return slice_has_suffix(name, SLICE(".yaml")) || slice_has_suffix(name, SLICE(".yml")) ||
	       slice_has_suffix(name, SLICE(".json")) || slice_has_prefix(name, SLICE("..data")) ||
	       slice_is_equal(name, slice_str(base ? base + 1 : a->conf->path));
}

void agent_watch_event(struct agent *a)
{
	_Alignas(struct inotify_event) char buf[8192];
	ssize_t n;

	while ((n = read(a->watch, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const void *)p;

			/* Some were lost: it may have been any of them. */
			a->folder_changed |= ev->wd == a->folder || ev->mask & IN_Q_OVERFLOW;
			if (ev->mask & IN_Q_OVERFLOW || (ev->wd != a->folder && is_ours(a, ev)))
				a->reload_at = clock_mono_ns() / NSEC_PER_MSEC + SETTLE_MS;
			p += sizeof(*ev) + ev->len;
		}
}
