/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What outlives skiffd: maps and links as files of a bpffs, taken over by the next one.
 * Programs are not pinned by name: a link holds its program, skiff_socks holds skiff_redirect.
 */
#include "datapath/datapath_impl.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <mntent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "skiff.skel.h"

#define LOOKUP_PREFIX "lookup_"

static const char *const map_names[] = {
#define X(name) [MAP_##name] = "skiff_" #name,
	DATAPATH_MAPS(X)
#undef X
};

const char *map_name(enum datapath_map map)
{
	return map_names[map];
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

/* "/a/b/c" -> "/a/b", which must exist or be makeable. */
static void parent_of(const char *path, char *ret_parent, size_t size)
{
	char *slash;

	snprintf(ret_parent, size, "%s", path);
	slash = strrchr(ret_parent, '/');
	if (slash && slash != ret_parent)
		*slash = '\0';
}

static bool is_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool empty = d != NULL;

	while (empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	if (d)
		closedir(d);
	return empty;
}

int pin_dir_make(const char *pin_dir, struct err *err)
{
	char parent[PATH_MAX], links[PATH_MAX + 8];

	parent_of(pin_dir, parent, sizeof(parent));
	if (!is_bpffs(parent)) {
		if (mkdir(parent, 0700) < 0 && errno != EEXIST)
			return err_set(err, -errno, "mkdir %s: %m", parent);
		/* A mount would hide what is there. */
		if (!is_empty(parent))
			return err_set(err, -EINVAL,
				       "%s is not in a BPF file system: choose a folder below "
				       "/sys/fs/bpf or mount one (mount -t bpf bpf PATH)", pin_dir);
		if (mount("bpf", parent, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
			return err_set(err, -errno,
				       "mount a BPF file system on %s: %m; skiff keeps its maps "
				       "there, run as root or mount it (mount -t bpf bpf %s)",
				       parent, parent);
	}
	snprintf(links, sizeof(links), "%s/links", pin_dir);
	if ((mkdir(pin_dir, 0700) < 0 && errno != EEXIST) ||
	    (mkdir(links, 0700) < 0 && errno != EEXIST))
		return err_set(err, -errno, "mkdir %s: %m", links);
	return 0;
}

int cgroup_find(char *ret_path, size_t size, struct err *err)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	int r = -ENOENT;

	if (!mounts)
		return err_set(err, -errno, "open /proc/self/mounts: %m");
	while (r < 0 && (m = getmntent(mounts))) {
		if (strcmp(m->mnt_type, "cgroup2") == 0) {
			snprintf(ret_path, size, "%s", m->mnt_dir);
			r = 0;
		}
	}
	endmntent(mounts);
	if (r < 0)
		return err_set(err, r,
			       "no cgroup2 file system is mounted: mount it (mount -t cgroup2 none "
			       "/sys/fs/cgroup), in a container with the host's /sys/fs/cgroup");
	return 0;
}

/* ---- maps ------------------------------------------------------------------------------------ */

static int layout_compare(const char *path, int fd, const struct bpf_map *want, struct err *err)
{
	struct bpf_map_info have = {0};
	__u32 size = sizeof(have);
	struct {
		const char *what;
		unsigned int have, want;
	} facts[5];

	if (bpf_obj_get_info_by_fd(fd, &have, &size) < 0)
		return err_set(err, -errno, "pinned map %s: %m", path);
	facts[0].what = "type";
	facts[0].have = have.type;
	facts[0].want = bpf_map__type(want);
	facts[1].what = "key size";
	facts[1].have = have.key_size;
	facts[1].want = bpf_map__key_size(want);
	facts[2].what = "value size";
	facts[2].have = have.value_size;
	facts[2].want = bpf_map__value_size(want);
	facts[3].what = "number of entries";
	facts[3].have = have.max_entries;
	facts[3].want = bpf_map__max_entries(want);
	facts[4].what = "flags";
	facts[4].have = have.map_flags;
	facts[4].want = bpf_map__map_flags(want);
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		if (facts[i].have != facts[i].want)
			return err_set(err, -ESTALE,
				       "pinned map %s is of another version of skiff (%s %u, this "
				       "one needs %u): drain the node, remove it with `skiffctl "
				       "bpf unload`, start again",
				       path, facts[i].what, facts[i].have, facts[i].want);
	}
	return 0;
}

int pin_map_get(const char *pin_dir, enum datapath_map map, struct skiff_bpf *skel,
		struct err *err)
{
	struct bpf_map *want = bpf_object__find_map_by_name(skel->obj, map_name(map));
	char path[PATH_MAX + 32];
	int fd, r;

	must(want);
	snprintf(path, sizeof(path), "%s/%s", pin_dir, map_name(map));
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : err_set(err, -errno, "open %s: %m", path);
	r = layout_compare(path, fd, want, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int pin_map_put(const char *pin_dir, enum datapath_map map, int fd, struct err *err)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", pin_dir, map_name(map));
	if (bpf_obj_pin(fd, path) < 0 && errno != EEXIST)
		return err_set(err, -errno, "pin %s: %m", path);
	return 0;
}

/* ---- links ----------------------------------------------------------------------------------- */

static void link_path(const char *pin_dir, const char *name, char *ret_path, size_t size)
{
	snprintf(ret_path, size, "%s/links/%s", pin_dir, name);
}

/* Is the pinned link attached to what @target is? A link of a dead namespace or cgroup is not. */
static bool link_is_on(int link, int target)
{
	struct bpf_link_info info = {0};
	__u32 size = sizeof(info);
	struct stat st;

	if (bpf_obj_get_info_by_fd(link, &info, &size) < 0 || fstat(target, &st) < 0)
		return false;
	if (info.type == BPF_LINK_TYPE_CGROUP)
		return info.cgroup.cgroup_id == st.st_ino;
	return info.type == BPF_LINK_TYPE_NETNS && info.netns.netns_ino == st.st_ino;
}

int pin_link_set(const char *pin_dir, const char *name, int prog, int target, int type,
		 struct err *err)
{
	char path[PATH_MAX + 64], fresh[PATH_MAX + 72];
	int link, r = 0;

	link_path(pin_dir, name, path, sizeof(path));
	link = bpf_obj_get(path);
	if (link >= 0 && link_is_on(link, target)) {
		if (bpf_link_update(link, prog, NULL) < 0)
			r = err_set(err, -errno, "replace the program of %s: %m", path);
		close(link);
		return r;
	}
	if (link >= 0)
		close(link);
	link = bpf_link_create(prog, target, type, NULL);
	if (link < 0)
		return err_set(err, -errno, "attach %s: %m", name);
	/* the new one is pinned before the old one goes; bpffs can rename over it */
	snprintf(fresh, sizeof(fresh), "%s_new", path);
	unlink(fresh);
	if (bpf_obj_pin(link, fresh) < 0 || rename(fresh, path) < 0)
		r = err_set(err, -errno, "pin %s: %m", path);
	close(link);
	return r;
}

/* Now, not when the kernel gets round to dropping the last reference. */
static void link_detach(const char *path)
{
	int link = bpf_obj_get(path);

	if (link < 0)
		return;
	bpf_link_detach(link);
	close(link);
}

void pin_link_remove(const char *pin_dir, const char *name)
{
	char path[PATH_MAX + 64];

	link_path(pin_dir, name, path, sizeof(path));
	link_detach(path);
	unlink(path);
}

void pin_lookup_name(uint64_t netns, char *ret_name, size_t size)
{
	snprintf(ret_name, size, LOOKUP_PREFIX "%" PRIu64, netns);
}

static bool link_is_dead(const char *path)
{
	struct bpf_link_info info = {0};
	__u32 size = sizeof(info);
	int link = bpf_obj_get(path);
	bool dead;

	if (link < 0)
		return false;
	dead = bpf_obj_get_info_by_fd(link, &info, &size) == 0 &&
	       info.type == BPF_LINK_TYPE_NETNS && info.netns.netns_ino == 0;
	close(link);
	return dead;
}

void pin_pods_prune(struct datapath *dp)
{
	char dir_path[PATH_MAX + 8], path[2 * PATH_MAX];
	struct dirent *d;
	uint64_t netns;
	DIR *dir;

	snprintf(dir_path, sizeof(dir_path), "%s/links", dp->pin_dir);
	dir = opendir(dir_path);
	if (!dir)
		return;
	while ((d = readdir(dir))) {
		if (sscanf(d->d_name, LOOKUP_PREFIX "%" SCNu64, &netns) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir_path, d->d_name);
		if (link_is_dead(path))
			datapath_pod_remove(dp, netns, NULL);
	}
	closedir(dir);
}

/* ---- unload ---------------------------------------------------------------------------------- */

static int dir_empty(const char *path, bool links, struct err *err)
{
	char file[PATH_MAX + 256];
	DIR *dir = opendir(path);
	struct dirent *d;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : err_set(err, -errno, "open %s: %m", path);
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.' || d->d_type == DT_DIR)
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, d->d_name);
		if (links)
			link_detach(file);
		if (unlinkat(dirfd(dir), d->d_name, 0) < 0 && errno != ENOENT)
			r = err_set(err, -errno, "remove %s/%s: %m", path, d->d_name);
	}
	closedir(dir);
	return r;
}

int datapath_unload(const char *pin_dir, struct err *err)
{
	char links[PATH_MAX];
	int r;

	if (!pin_dir)
		pin_dir = DATAPATH_PIN_DIR;
	if (access(pin_dir, F_OK) < 0)
		return 0;
	if (!is_bpffs(pin_dir))
		return err_set(err, -EINVAL, "%s is not on a BPF file system: nothing removed",
			       pin_dir);
	/* links first: no program may run over maps that are going */
	snprintf(links, sizeof(links), "%s/links", pin_dir);
	r = dir_empty(links, true, err);
	if (r < 0)
		return r;
	r = dir_empty(pin_dir, false, err);
	if (r < 0)
		return r;
	rmdir(links);
	if (rmdir(pin_dir) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove %s: %m", pin_dir);
	return 0;
}
